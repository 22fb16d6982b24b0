//! `nightjar-relay`: the relay alone. Peers of a room hear each other's offers, answers and candidates.
//!
//! On this machine it asks for nothing; beyond it, for the key of its rooms. It carries no media and keeps
//! nothing. Ends with 0 when it was told to, with 2 where the command line is not right.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Parser;
use nightjar_signaling::message::{Hidden, IceServer};
use nightjar_signaling::relay::turn::Turn;
use nightjar_signaling::relay::{Gate, Mode, Nature, Parts, Relay, Terms, router};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;

/// After this long at the end, connections are cut off.
const DRAIN: Duration = Duration::from_millis(1_500);

/// Brings phones and those who watch them together.
#[derive(Debug, Parser)]
#[command(name = "nightjar-relay", version)]
struct Args {
    /// Where to listen
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8421")]
    listen: SocketAddr,
    /// The key that peers show as ?key=; needed beyond loopback [or NIGHTJAR_ROOM_KEY]
    #[arg(long, value_name = "KEY")]
    room_key: Option<String>,
    /// A name under which it is reached, besides its addresses
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// A STUN server that peers are told of
    #[arg(long, value_name = "URL")]
    stun: Vec<String>,
    /// A TURN server that peers are told of, with credentials of ten minutes
    #[arg(long, value_name = "URL")]
    turn: Vec<String>,
    /// The secret that the TURN server shares (`static-auth-secret` of coturn) [or NIGHTJAR_TURN_SECRET]
    #[arg(long, value_name = "SECRET")]
    turn_secret: Option<String>,
    /// What to log to the standard error output
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
}

/// The system's clock and chance.
struct System(SystemRandom);

impl Nature for System {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place of this program that reads the system's clock"
    )]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn chance(&self, bytes: &mut [u8]) {
        self.0.fill(bytes).expect("the system has random bytes, or nothing here would be safe");
    }
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    // Not on the command line, where every user of the machine could read them.
    let kept = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    args.room_key = args.room_key.or_else(|| kept("NIGHTJAR_ROOM_KEY"));
    args.turn_secret = args.turn_secret.or_else(|| kept("NIGHTJAR_TURN_SECRET"));
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            // Where even this cannot be written, the exit code is all there is.
            let _ = writeln!(std::io::stderr(), "nightjar-relay: {message}");
            ExitCode::from(code)
        }
    }
}

fn run(args: Args) -> Result<(), (u8, String)> {
    if args.room_key.as_deref().is_none_or(str::is_empty) && !args.listen.ip().is_loopback() {
        return Err((2, format!("--room-key: is needed to listen on {}, beyond loopback", args.listen)));
    }
    if !args.turn.is_empty() && args.turn_secret.is_none() {
        return Err((2, "--turn-secret: is needed beside --turn".to_owned()));
    }
    let filter = EnvFilter::try_new(&args.log).map_err(|error| (2, format!("--log: {error}")))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| (1, format!("the threads cannot be started: {error}")))?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> Result<(), (u8, String)> {
    let stop = signal().map_err(|error| (1, format!("signals cannot be listened for: {error}")))?;
    let listener = tokio::net::TcpListener::bind(args.listen).await;
    let listener = listener.map_err(|error| (1, format!("--listen: {}: {error}", args.listen)))?;
    let addr = listener.local_addr().map_err(|error| (1, format!("--listen: {error}")))?;
    let turn = args.turn_secret.filter(|_| !args.turn.is_empty());
    let turn = turn.map(|secret| Turn { urls: args.turn, secret: Hidden(secret) });
    let stun = (!args.stun.is_empty()).then(|| IceServer {
        urls: args.stun.clone(),
        username: None,
        credential: None,
    });
    let ice_servers = move |peer: &str, wall| {
        stun.iter().cloned().chain(turn.as_ref().map(|turn| turn.credential(peer, wall))).collect()
    };
    let terms = Terms {
        mode: Mode::Forward,
        relay_id: String::new(),
        signer: None,
        ice_servers: Arc::new(ice_servers),
        tcp: true,
    };
    let nature = Arc::new(System(SystemRandom::new()));
    let relay = Relay::start(Parts { terms, devices: Vec::new(), desk: None, keep: None, nature });
    let gate = Gate { room_key: args.room_key.map(Hidden), hosts: args.host };
    let service = router(relay.clone(), gate).into_make_service_with_connect_info::<SocketAddr>();
    let mut out = std::io::stdout();
    // Whoever started us without reading has closed the pipe, which is no reason not to serve.
    let _ = writeln!(out, "listening on http://{addr}").and_then(|()| out.flush());
    let ending = Arc::new(Notify::new());
    let begun = Arc::clone(&ending);
    let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
        stop.await;
        begun.notify_one();
        relay.shutdown().await;
    });
    tokio::select! {
        ended = serving.into_future() => ended.map_err(|error| (1, error.to_string())),
        // Who sent half a request does not hold the program.
        () = async { ending.notified().await; tokio::time::sleep(DRAIN).await } => Ok(()),
    }
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
