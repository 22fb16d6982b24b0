//! Real players read the camera: ffmpeg and GStreamer from Debian, and the frame numbers in what
//! they decode.
#![allow(clippy::unwrap_used)]

use std::{process::Stdio, time::Duration};

use nightjar_testcam::{Auth, Builtin, Clip, Fault, Options, Start, TestCam, picture};
use tokio::{process::Command, task::JoinSet, time::timeout};

/// A player that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(60);

async fn camera(change: impl FnOnce(&mut Options)) -> TestCam {
    let mut options = Options::default();
    change(&mut options);
    TestCam::spawn(options).await.unwrap()
}

async fn run(program: &str, args: &[&str]) -> (bool, Vec<u8>, String) {
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is needed for this test: {error}"));
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends in time").unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), output.stdout, said)
}

/// Decodes so many pictures with ffmpeg at 320×180 and reads the numbers in them.
async fn numbers(url: &str, transport: &str, pictures: usize) -> Vec<Option<u16>> {
    let count = pictures.to_string();
    #[rustfmt::skip]
    let args = [
        "-v", "error", "-rtsp_transport", transport, "-i", url, "-frames:v", &count, "-an",
        "-fps_mode", "passthrough",
        "-vf", "scale=320:180", "-pix_fmt", "gray", "-f", "rawvideo", "-",
    ];
    let (ok, raw, said) = run("ffmpeg", &args).await;
    assert!(ok, "ffmpeg: {said}");
    let read = |gray: &[u8]| picture::read(320, 180, |x, y| gray[y * 320 + x]);
    raw.chunks_exact(320 * 180).map(read).collect()
}

/// Every number is read and each is one more than the last, around the loop's seam too.
fn assert_counting(numbers: &[Option<u16>], clip: &Clip, what: &str) {
    assert!(numbers.len() >= 20, "{what}: {numbers:?}");
    let read: Option<Vec<usize>> = numbers.iter().map(|n| n.map(usize::from)).collect();
    let read = read.unwrap_or_else(|| panic!("{what}: {numbers:?}"));
    for pair in read.windows(2) {
        assert_eq!(pair[1], (pair[0] + 1) % clip.frames(), "{what}: {numbers:?}");
    }
}

#[tokio::test]
async fn ffmpeg_plays_every_clip_and_the_picture_counts() {
    let mut players = JoinSet::new();
    for which in Builtin::ALL {
        players.spawn(async move {
            let clip = Clip::builtin(which);
            let cam = camera(|o| {
                o.clip = clip.clone();
                o.start = Start::KeyFrame;
                // Before the seam of the clip, and with it before a key frame.
                // A minute must not pass because a player started late.
                let rest = if which == Builtin::LongGop { 12 } else { 3 };
                o.offset = clip.duration() - Duration::from_secs(rest);
            })
            .await;
            let pictures = if clip.fps() < 8.0 { 25 } else { 50 };
            let seen = numbers(&cam.url(), "tcp", pictures).await;
            assert_counting(&seen, &clip, which.name());
            cam.stop().await;
        });
    }
    players.join_all().await;
}

#[tokio::test]
async fn ffmpeg_plays_by_udp_with_digest_and_with_every_place_of_the_parameter_sets() {
    let mut players = JoinSet::new();
    for fault in [Fault::None, Fault::SdpParamsOnly, Fault::InBandParamsOnly] {
        players.spawn(async move {
            let cam = camera(|o| {
                o.auth = Some(Auth::digest("admin", "s3cret"));
                o.fault = fault;
                o.start = Start::KeyFrame;
            })
            .await;
            let url = cam.url().replace("rtsp://", "rtsp://admin:s3cret@");
            let seen = numbers(&url, "udp", 50).await;
            assert_counting(&seen, &Clip::builtin(Builtin::FrontDoor), &fault.to_string());
            let wrong = cam.url().replace("rtsp://", "rtsp://admin:wrong@");
            let (ok, _, said) = run("ffprobe", &["-v", "error", &wrong]).await;
            assert!(!ok && said.contains("401"), "{said}");
            cam.stop().await;
        });
    }
    players.join_all().await;
}

#[tokio::test]
async fn ffprobe_sees_the_tracks_as_they_are() {
    let cam = camera(|o| o.sub = Some(Clip::builtin(Builtin::Sub))).await;
    for (url, size) in [(cam.url(), "640,360"), (cam.sub_url(), "320,180")] {
        let entries = "stream=codec_name,width,height,sample_rate,channels";
        let args =
            ["-v", "error", "-rtsp_transport", "tcp", "-show_entries", entries, "-of", "csv=p=0", &url];
        let (ok, out, said) = run("ffprobe", &args).await;
        let out = String::from_utf8(out).unwrap();
        assert!(ok && out.contains(&format!("h264,{size}")), "{out} {said}");
        assert!(out.contains("aac,16000,1"), "{out}");
    }
    cam.stop().await;
}

#[tokio::test]
async fn ffmpeg_accepts_rtsps() {
    let cam = camera(|o| {
        o.tls = true;
        o.start = Start::KeyFrame;
        o.offset = Duration::from_millis(7700);
    })
    .await;
    assert!(cam.url().starts_with("rtsps://"));
    assert_counting(&numbers(&cam.url(), "tcp", 50).await, &Clip::builtin(Builtin::FrontDoor), "rtsps");
    cam.stop().await;
}

#[tokio::test]
async fn gstreamer_plays_h264_and_h265_by_tcp_and_udp() {
    let mut players = JoinSet::new();
    for (which, protocol) in
        [Builtin::FrontDoor, Builtin::H265].into_iter().flat_map(|which| [(which, "tcp"), (which, "udp")])
    {
        players.spawn(async move {
            let cam = camera(|o| {
                o.clip = Clip::builtin(which);
                o.start = Start::KeyFrame;
            })
            .await;
            let source = format!("location={}", cam.url());
            let protocols = format!("protocols={protocol}");
            #[rustfmt::skip]
            let args = [
                "-q", "rtspsrc", &source, &protocols, "latency=100", "!", "application/x-rtp,media=video", "!",
                "decodebin", "!", "videoconvert", "!", "video/x-raw,format=GRAY8", "!", "identity", "eos-after=40", "!",
                "fdsink", "fd=1",
            ];
            // Its exit tells nothing: an end that overtakes its own PAUSE is an error to it.
            let (_, raw, said) = run("gst-launch-1.0", &args).await;
            let read = |gray: &[u8]| picture::read(640, 360, |x, y| gray[y * 640 + x]);
            let seen: Vec<Option<u16>> = raw.chunks_exact(640 * 360).map(read).collect();
            // The fortieth buffer is the end.
            assert_eq!(seen.len(), 39, "{which:?} by {protocol}: {said}");
            assert_counting(&seen, &Clip::builtin(which), &format!("{which:?} by {protocol}"));
            cam.stop().await;
        });
    }
    players.join_all().await;
}
