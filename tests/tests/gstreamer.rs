//! Ingest against GStreamer's RTSP server, which nobody here wrote.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::future::poll_fn;
use std::process::Stdio;
use std::time::Duration;

use nightjar_engine::env::{Env, Secret};
use nightjar_engine::ingest::{Question, RtspOptions, RtspSource, Transport, probe};
use nightjar_engine::media::{Codec, Frame, Parameters, TrackInfo, TrackKind};
use nightjar_engine::record::unrecorded;
use nightjar_engine::source::{SessionEvent, Source, SourceErrorCode};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// The server encodes in real time, on a machine that compiles something else.
const SOON: Duration = Duration::from_secs(30);

/// The server ends with its standard input.
struct Server {
    _child: Child,
    _stdin: ChildStdin,
    open: u64,
    digest: u64,
}

async fn start() -> Server {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/gstreamer/rtsp_server.py");
    // Debian's own Python has the bindings; another one in the path has not.
    let mut child = Command::new("/usr/bin/python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python3, python3-gi and gir1.2-gst-rtsp-server-1.0 are installed by scripts/setup.mjs");
    let stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(SOON, lines.next_line()).await.unwrap().unwrap().expect("the server tells its ports");
    let ports: serde_json::Value = serde_json::from_str(&line).unwrap();
    let port = |name: &str| ports[name].as_u64().unwrap();
    Server { open: port("open"), digest: port("digest"), _child: child, _stdin: stdin }
}

fn options(port: u64, mount: &str, transport: Transport) -> RtspOptions {
    let mut options = RtspOptions::new(format!("rtsp://127.0.0.1:{port}/{mount}").parse().unwrap());
    options.transport = transport;
    options.tcp_timeout = SOON;
    options.keepalive_timeout = Duration::from_secs(1);
    options
}

struct Seen {
    tracks: Vec<TrackInfo>,
    video: Vec<Frame>,
    audio: Vec<Frame>,
    rtt: Option<u64>,
}

/// Watches until a key frame, a second of pictures, some sound where there is any, and an answered
/// keep-alive were seen.
async fn watch(options: RtspOptions) -> Seen {
    let what = format!("{} by {:?}", options.url.path(), options.transport);
    let seen = match look(options.clone(), &what).await {
        // GStreamer 1.22 now and then leaves a media paused of which a stream is not set up: its first picture
        // comes and no other. The engine dials again after 5 s; so does this, once.
        Err(seen) if seen.video.len() <= 1 && seen.tracks.iter().any(|track| !track.carried()) => {
            look(options, &what).await
        }
        seen => seen,
    };
    seen.unwrap_or_else(|seen| {
        let (pictures, sounds, rtt) = (seen.video.len(), seen.audio.len(), seen.rtt);
        panic!("{what}: {pictures} pictures, {sounds} of sound, keep-alive answered in {rtt:?} µs")
    })
}

/// One session. What was seen when the time was over is the error.
async fn look(options: RtspOptions, what: &str) -> Result<Seen, Seen> {
    let mut source = RtspSource::new(options, Env::system());
    let mut session = source.open().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let (mut video, mut audio): (Vec<Frame>, Vec<Frame>) = (Vec::new(), Vec::new());
    let came = timeout(SOON, async {
        loop {
            match poll_fn(|cx| session.poll_next(cx)).await.unwrap() {
                SessionEvent::Frame(frame) => {
                    let kind = session.tracks()[usize::from(frame.track)].kind;
                    if kind == TrackKind::Video { video.push(frame) } else { audio.push(frame) }
                }
                SessionEvent::Tracks => {}
                SessionEvent::Warning(warning) => panic!("{warning}"),
            }
            let sounds = session.tracks().iter().any(|t| t.kind == TrackKind::Audio && t.carried());
            let heard = !sounds || audio.len() > 10;
            let known = session.stats().keepalive_rtt_us.is_some();
            if heard && known && video.len() > 30 && video.iter().any(|frame| frame.key) {
                break;
            }
        }
    })
    .await;
    let seen =
        Seen { tracks: session.tracks().to_vec(), video, audio, rtt: session.stats().keepalive_rtt_us };
    if came.is_ok() { Ok(seen) } else { Err(seen) }
}

fn steady(frames: &[Frame]) -> bool {
    frames.windows(2).all(|pair| pair[0].pts < pair[1].pts)
}

#[tokio::test]
async fn r_m1_r_m3_gstreamer_serves_and_is_understood() {
    static SERVER: OnceCell<Server> = OnceCell::const_new();
    let server = SERVER.get_or_init(start).await;

    for transport in [Transport::Tcp, Transport::Udp] {
        let seen = watch(options(server.open, "h264", transport)).await;
        assert_eq!(seen.tracks[0].dimensions(), Some((320, 240)), "{transport:?}");
        assert!(matches!(seen.tracks[0].parameters, Parameters::H264 { reorder: 0, .. }));
        assert_eq!(seen.tracks[1].codec, Codec::Aac);
        assert_eq!(seen.tracks[1].sound(), Some((16_000, 1)));
        assert!(steady(&seen.video) && steady(&seen.audio));
        assert!(seen.rtt.is_some());
        // The tracks share their zero.
        let (picture, sound) = (seen.video.last().unwrap(), seen.audio.last().unwrap());
        let apart = picture.pts as f64 / 90_000.0 - sound.pts as f64 / 16_000.0;
        assert!(apart.abs() < 1.0, "{apart} s apart by {transport:?}");

        let seen = watch(options(server.open, "h265", transport)).await;
        assert_eq!(seen.tracks[0].codec, Codec::H265);
        assert!(matches!(seen.tracks[0].parameters, Parameters::H265 { width: 320, height: 240, .. }));
        assert!(steady(&seen.video));
    }

    let seen = watch(options(server.open, "mjpeg", Transport::Tcp)).await;
    assert_eq!((seen.tracks[0].codec, seen.tracks[0].dimensions()), (Codec::Mjpeg, Some((320, 240))));
    assert!(seen.video.iter().skip(1).all(|f| f.key && f.data.starts_with(&[0xff, 0xd8])));

    for (mount, codec) in [("pcmu", Codec::Pcmu), ("pcma", Codec::Pcma)] {
        let seen = watch(options(server.open, mount, Transport::Tcp)).await;
        assert_eq!((seen.tracks[1].codec, seen.tracks[1].sound()), (codec, Some((8_000, 1))));
    }

    for (mount, codec) in [("g722", Codec::G722), ("l16", Codec::L16)] {
        let seen = watch(options(server.open, mount, Transport::Tcp)).await;
        assert_eq!((seen.tracks[1].codec, seen.tracks[1].carried()), (codec, true), "it is received");
        let said = unrecorded(&seen.tracks, &seen.tracks[1]);
        assert!(said.expect("and it is told").contains("recordings are without sound"));
    }

    let seen = watch(options(server.open, "opus", Transport::Tcp)).await;
    assert!(seen.tracks[1].note.as_ref().unwrap().contains("Opus"));

    let mut with_password = options(server.digest, "h264", Transport::Tcp);
    with_password.username = "admin".to_owned();
    with_password.password = Secret::new("s3cret".to_owned());
    watch(with_password.clone()).await;
    with_password.password = Secret::new("guess".to_owned());
    let error = RtspSource::new(with_password, Env::system()).open().await.err().unwrap();
    assert_eq!(error.code, SourceErrorCode::Unauthorized, "{error}");

    let error = probe(options(server.open, "nothing", Transport::Tcp), &Env::system()).await.unwrap_err();
    assert_eq!(error.code, SourceErrorCode::NotFound, "{error}");
    let report = probe(options(server.open, "h264", Transport::Tcp), &Env::system()).await.unwrap();
    assert_eq!(report.keepalive, Some(Question::GetParameter));
    let interval = report.figures[0].key_frame_interval.unwrap();
    assert!((interval.as_secs_f32() - 1.0).abs() < 0.2, "{interval:?}");
}
