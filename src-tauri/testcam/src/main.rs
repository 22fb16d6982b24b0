//! The test camera as a program of its own.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use nightjar_testcam::{Auth, Builtin, Clip, Fault, Options, Sound, TestCam};
use tokio::sync::mpsc;

/// A small real RTSP camera that loops a clip, with fault modes.
#[derive(Parser)]
#[command(version, after_help = Fault::help())]
struct Args {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8554")]
    listen: SocketAddr,
    /// The clip: an mp4 or mov file, an Annex-B file (.h264, .h265), or builtin:NAME.
    #[arg(long, value_name = "FILE", default_value = "builtin:front-door")]
    clip: PathBuf,
    /// The clip of the sub-stream (/sub).
    #[arg(long, value_name = "FILE")]
    sub: Option<PathBuf>,
    /// Pictures per second of an Annex-B file.
    #[arg(long, default_value_t = 25.0)]
    fps: f32,
    /// Ask for this user, by Digest or Basic.
    #[arg(long, requires = "password")]
    user: Option<String>,
    /// The password of --user.
    #[arg(long, requires = "user")]
    password: Option<String>,
    /// What goes wrong; the modes are listed below.
    #[arg(long, value_name = "MODE", default_value = "none")]
    fault: Fault,
    /// Sound: the clip's own, G.711 made by the camera, or none.
    #[arg(long, value_enum, default_value_t = SoundArg::Clip)]
    sound: SoundArg,
    /// How much faster than it says the camera samples its sound, in parts per million.
    #[arg(long, value_name = "PPM", default_value_t = 0, allow_negative_numbers = true)]
    sound_drift: i16,
    /// Fill frames up to this bit rate, in bit/s.
    #[arg(long)]
    bitrate: Option<u32>,
    /// Serve rtsps with a certificate made at the start.
    #[arg(long)]
    tls: bool,
    /// Session timeout to announce, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..))]
    timeout: u16,
    /// Take orders from the standard input, one a line: "fault MODE", or "reset" of what plays now, which is
    /// told when it is done.
    #[arg(long)]
    control: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum SoundArg {
    Clip,
    Pcmu,
    Pcma,
    Off,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // Strange boxes in a clip are the clip's affair.
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "warn,mp4_atom=error".into());
    let filter = tracing_subscriber::EnvFilter::new(filter);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            ExitCode::from(2)
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let clip = |path: &PathBuf| match path.to_str().and_then(|p| p.strip_prefix("builtin:")) {
        Some(name) => Ok(Clip::builtin(name.parse::<Builtin>()?)),
        None => anyhow::Ok(Clip::open(path, args.fps)?),
    };
    let mut options = Options {
        listen: args.listen,
        clip: clip(&args.clip)?,
        sub: args.sub.as_ref().map(clip).transpose()?,
        fault: args.fault,
        bitrate: args.bitrate,
        tls: args.tls,
        session_timeout: Duration::from_secs(args.timeout.into()),
        sound_drift: args.sound_drift,
        sound: match args.sound {
            SoundArg::Clip => Sound::Clip,
            SoundArg::Pcmu => Sound::Pcmu,
            SoundArg::Pcma => Sound::Pcma,
            SoundArg::Off => Sound::Off,
        },
        ..Options::default()
    };
    if let (Some(user), Some(password)) = (args.user, args.password) {
        options.auth = Some(Auth::any(user, password));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ends = Ends::new()?;
        let cam = TestCam::spawn(options).await?;
        say_ready(&cam);
        tokio::select! {
            () = ends.wait() => {}
            () = obey(&cam), if args.control => {}
        }
        cam.stop().await;
        Ok(())
    })
}

/// Takes orders. Never returns: a closed input leaves the camera as it is.
async fn obey(cam: &TestCam) {
    // One at a time: whoever gives orders faster waits.
    let (orders, mut inbox) = mpsc::channel(1);
    // Reading blocks, and cannot be called off: a thread that ends with the process.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if orders.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = inbox.recv().await {
        match line.strip_prefix("fault ").map(str::parse) {
            Some(Ok(fault)) => cam.set_fault(fault).await,
            Some(Err(error)) => say_error(&anyhow::Error::new(error)),
            None if line == "reset" => {
                cam.set_fault(Fault::Reset(Duration::ZERO)).await;
                cam.wait(|stats| stats.playing == 0).await;
                say_reset();
                cam.set_fault(Fault::None).await;
            }
            None => say_error(&anyhow::anyhow!("an order is \"fault MODE\" or \"reset\"")),
        }
    }
    std::future::pending().await
}

/// The signals that end the program, listened for before anybody is told that it runs.
struct Ends {
    #[cfg(unix)]
    term: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Ends {
    fn new() -> anyhow::Result<Self> {
        #[cfg(unix)]
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            #[cfg(unix)]
            term: signal(SignalKind::terminate())?,
            #[cfg(unix)]
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.term.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// The lines that tell whoever started the program that the camera is up, and when which frame leaves.
#[allow(clippy::print_stdout)]
fn say_ready(cam: &TestCam) {
    println!("ready at {}", cam.url());
    let clip = &cam.options().clip;
    let began = cam.began().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    if let Some(began) = began {
        let (at, length) = (began.as_secs_f64() * 1e3, clip.duration().as_millis());
        println!("frame 0 of {} left at {at:.3} ms, the clip lasts {length} ms", clip.frames());
    }
}

#[allow(clippy::print_stdout)]
fn say_reset() {
    println!("reset");
}

#[allow(clippy::print_stderr)]
fn say_error(error: &anyhow::Error) {
    eprintln!("nightjar-testcam: {error}");
}
