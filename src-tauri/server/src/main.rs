//! `nightjar-server`: Nightjar without a window.
//!
//! Ends with 0 when it was told to, with 2 and one line naming the field when the configuration is not
//! right, with 1 when it cannot run.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;
use nightjar_engine::config::{Config, ConfigStore};
use nightjar_engine::engine::{EngineHandle, Parts, RecordsError, Rtsp, StartError};
use nightjar_engine::env::Env;
use nightjar_server::demo::{self, DEMO_MAX, LoopbackCameras};
use nightjar_server::{DirError, FileStore, PhoneOptions, Server, ServerOptions, Tls, default_dir};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use url::Url;

/// After this long the end is not waited for any more.
const END: Duration = Duration::from_millis(4_500);
/// The configuration file in the data directory.
const CONFIG: &str = "nightjar.toml";
/// A configuration file larger than this is none.
const CONFIG_MAX: u64 = 1024 * 1024;

/// Watches cameras and serves the wall to browsers.
#[derive(Debug, Parser)]
#[command(name = "nightjar-server", version)]
struct Args {
    /// Configuration file [default: nightjar.toml in the data directory, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where cameras, secrets and recordings are kept
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to listen, before what the configuration says [default: 127.0.0.1:8420]
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Have this many demo cameras, for this run
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = clap::value_parser!(u32).range(0..=i64::from(DEMO_MAX)))]
    demo: Option<u32>,
    /// What to log to the standard error output, such as debug or nightjar_engine=debug
    #[arg(long, value_name = "FILTER", default_value = nightjar_server::log::DEFAULT, hide_default_value = true)]
    log: String,
}

/// `--listen`.
fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "must be an IP address and a port, such as 127.0.0.1:8420 or 0.0.0.0:8420")
}

/// Why it does not run.
enum Failure {
    /// The configuration or the command line is not right: exit code 2.
    Config(String),
    /// It cannot run: exit code 1.
    Run(String),
}

fn main() -> ExitCode {
    nightjar_server::memory::settle_allocator();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return if error.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        Err(error) => return complain(Failure::Config(one_line(&error.to_string()))),
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => complain(failure),
    }
}

fn complain(failure: Failure) -> ExitCode {
    let (message, code) = match failure {
        Failure::Config(message) => (message, 2),
        Failure::Run(message) => (message, 1),
    };
    // Where even this cannot be written, the exit code is all there is.
    let _ = writeln!(std::io::stderr(), "nightjar-server: {message}");
    ExitCode::from(code)
}

/// The first line of clap's message, with the values it goes on with.
fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    let said: Vec<&str> =
        lines.take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more")).collect();
    said.join(" ").trim_start_matches("error: ").to_owned()
}

fn run(args: Args) -> Result<(), Failure> {
    let filter = nightjar_server::log::filter(&args.log)
        .map_err(|error| Failure::Config(format!("--log: {}", one_line(&error.to_string()))))?;
    nightjar_server::log::init(filter);
    let data_dir = match args.data_dir.clone().or_else(default_dir) {
        Some(dir) => dir,
        None => return Err(Failure::Config("--data-dir: is needed where there is no home directory".into())),
    };
    let mut config = read_config(args.config.as_deref(), &data_dir)?;
    if let Some(listen) = args.listen {
        config.server.listen = listen;
    }
    let options = server_options(&config)?;
    let store = FileStore::open(&data_dir).map_err(|error| match error {
        DirError::Taken(_) | DirError::Io { .. } => Failure::Run(error.to_string()),
    })?;
    add_demo(&mut config, args.demo.unwrap_or(0), &store)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Run(format!("the threads cannot be started: {error}")))?;
    let ended = runtime.block_on(serve(options, config, store, data_dir));
    // A camera or a viewer that does not let go must not hold the program.
    runtime.shutdown_timeout(Duration::from_millis(200));
    ended
}

/// Reads the configuration: the file that was named, else the data directory's, else what is built in.
fn read_config(named: Option<&Path>, data_dir: &Path) -> Result<Config, Failure> {
    let beside = data_dir.join(CONFIG);
    let path = named.unwrap_or(&beside);
    let flag = if named.is_some() { "--config" } else { "--data-dir" };
    let wrong = |what: String| Failure::Config(format!("{flag}: {} {what}", path.display()));
    match std::fs::metadata(path) {
        Ok(file) if !file.is_file() => return Err(wrong("is not a file".to_owned())),
        Ok(file) if file.len() > CONFIG_MAX => return Err(wrong("is too large".to_owned())),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Config::default());
        }
        _ => {}
    }
    let bytes = std::fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8".to_owned()))?;
    Config::parse(&text).map_err(|invalid| Failure::Config(format!("{}: {invalid}", path.display())))
}

fn server_options(config: &Config) -> Result<ServerOptions, Failure> {
    let server = &config.server;
    if server.token.is_none() && !server.listen.ip().is_loopback() {
        let listen = server.listen;
        let message = format!("server.token: is needed to listen on {listen}, beyond loopback");
        return Err(Failure::Config(message));
    }
    let public_url = server.public_url.as_deref().map(Url::parse).transpose();
    let public_url = public_url.map_err(|error| Failure::Config(format!("server.public_url: {error}")))?;
    let tls = match (&server.tls_cert, &server.tls_key) {
        (Some(cert), Some(key)) => {
            Some(Tls::load(cert, key).map_err(|error| Failure::Config(one_line(&error.to_string())))?)
        }
        _ => None,
    };
    Ok(ServerOptions {
        token: server.token.clone(),
        public_url,
        allowed_hosts: server.allowed_hosts.clone(),
        tls,
        ..ServerOptions::new(server.listen, Env::system())
    })
}

/// Adds demo cameras to this run's configuration, but for those that were added for good.
fn add_demo(config: &mut Config, count: u32, store: &FileStore) -> Result<(), Failure> {
    if count == 0 {
        return Ok(());
    }
    let stored = store.load().map_err(|error| Failure::Run(format!("the stored cameras: {error}")))?;
    let stored: serde_json::Value =
        serde_json::from_str(stored.as_deref().unwrap_or("{}")).unwrap_or_default();
    let stored = stored["cameras"].as_array().cloned().unwrap_or_default();
    for spec in (1..=count).map(demo::spec) {
        let kept = |key: &str, value: &str| stored.iter().any(|c| c[key] == value);
        let configured = |c: &nightjar_engine::api::CameraSpec| c.id == spec.id || c.url == spec.url;
        let there = kept("url", &spec.url)
            || spec.id.as_ref().is_some_and(|id| kept("id", id))
            || config.camera.iter().any(configured);
        if !there {
            config.camera.push(spec);
        }
    }
    Ok(())
}

async fn serve(
    options: ServerOptions,
    config: Config,
    store: FileStore,
    data_dir: PathBuf,
) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    let listen = options.listen;
    // Listening for the signals before anything runs: one that comes early is not lost.
    let signal =
        signal().map_err(|error| Failure::Run(format!("signals cannot be listened for: {error}")))?;
    let store = Arc::new(store);
    let phones =
        PhoneOptions { listen: config.signaling.listen, store: Arc::clone(&store), tls: options.tls.clone() };
    let options = ServerOptions { phones: Some(phones), ..options };
    let parts = Parts {
        env: Env::system(),
        config,
        store,
        sources: Arc::new(Rtsp::default()),
        demo: Some(Arc::new(LoopbackCameras::default())),
        data_dir: Some(data_dir),
    };
    let engine = EngineHandle::start(parts).await.map_err(|error| match error {
        StartError::Twice { .. } | StartError::Records(RecordsError::Config(_)) => {
            Failure::Config(error.to_string())
        }
        StartError::Load(_) | StartError::Records(_) => Failure::Run(error.to_string()),
    })?;
    let server = match Server::bind(options, engine.clone()).await {
        Ok(server) => server,
        Err(error) => {
            engine.shutdown().await;
            return Err(Failure::Run(match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    format!("server.listen: another program listens on {listen} already")
                }
                _ => format!("server.listen: {listen} cannot be listened on: {error}"),
            }));
        }
    };
    let mut out = std::io::stdout();
    // Whoever started us without reading has closed the pipe, which is no reason not to serve.
    let _ = writeln!(out, "listening on {}", server.url()).and_then(|()| out.flush());
    let door = tokio::spawn(server.run(stop.clone()));
    signal.await;
    info!("told to end");
    stop.cancel();
    let end = async { tokio::join!(door, engine.shutdown()) };
    if tokio::time::timeout(END, end).await.is_err() {
        warn!("not everything ended in time");
    }
    Ok(())
}

/// Ends when the program is told to.
#[cfg(unix)]
fn signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ends when the program is told to.
#[cfg(not(unix))]
fn signal() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
