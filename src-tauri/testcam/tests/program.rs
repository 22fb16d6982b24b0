//! The program: what it prints, what it refuses, how it ends, which files it plays.
#![allow(clippy::unwrap_used)]

use std::{path::PathBuf, process::Stdio, time::Duration};

use nightjar_testcam::{Builtin, Clip};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt as _, BufReader},
    process::Command,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nightjar-testcam"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn clip_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clips").join(name)
}

#[tokio::test]
async fn it_says_where_it_is_and_ends_cleanly_on_a_signal() {
    for signal in ["-TERM", "-INT"] {
        let mut child = program().args(["--listen", "127.0.0.1:0", "--sound", "pcmu"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let url = line.strip_prefix("ready at ").unwrap();
        assert!(url.starts_with("rtsp://127.0.0.1:"), "{line}");
        let addr = url.split('/').nth(2).unwrap().to_owned();
        tokio::net::TcpStream::connect(&addr).await.unwrap();
        let id = child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
        let status = timeout(Duration::from_secs(5), child.wait()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(0), "{signal}");
    }
}

#[tokio::test]
async fn it_takes_orders_while_it_runs() {
    let mut command = program();
    let mut child =
        command.args(["--listen", "127.0.0.1:0", "--control"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let addr = line.split('/').nth(2).unwrap().to_owned();
    let mut orders = child.stdin.take().unwrap();
    for (fault, open) in [("refuse", false), ("none", true)] {
        orders.write_all(format!("nonsense\nfault {fault}\n").as_bytes()).await.unwrap();
        let obeyed = async {
            while tokio::net::TcpStream::connect(&addr).await.is_ok() != open {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, obeyed).await.unwrap();
    }
    orders.write_all(b"reset\n").await.unwrap();
    let told = async { while lines.next_line().await.unwrap().unwrap() != "reset" {} };
    timeout(PATIENCE, told).await.expect("it tells when it has reset");
}

#[tokio::test]
async fn bad_input_ends_it_with_one_clear_line() {
    let readme = clip_file("README.md");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (args, word) in [
        (vec!["--clip", "/nowhere.mp4"], "/nowhere.mp4"),
        (vec!["--clip", readme.to_str().unwrap()], "not an mp4 file"),
        (vec!["--clip", "builtin:x"], "there are only front-door"),
        (vec!["--fault", "nope"], "unknown fault mode"),
        (vec!["--listen", "nowhere"], "--listen"),
        (vec!["--user", "u"], "--password"),
        (vec!["--listen", &taken], "cannot listen on"),
    ] {
        let output = timeout(PATIENCE, program().args(&args).output()).await.unwrap().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(word), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    let help = program().arg("--help").output().await.unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for mode in ["silent", "close[=SECONDS]", "garbage-sdp", "refuse"] {
        assert!(help.contains(mode), "{mode} in the help");
    }
}

#[tokio::test]
async fn files_made_by_ffmpeg_are_clips() {
    let folder = std::env::temp_dir().join(format!("nightjar-testcam-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (input, output, args, frames) in [
        ("second.mp4", "a.h264", "-c copy -an -bsf:v h264_mp4toannexb", 200),
        ("h265.mp4", "a.h265", "-c copy -an -bsf:v hevc_mp4toannexb", 200),
        ("sub.mp4", "plain.mp4", "-c copy", 80),
        ("b-frames.mp4", "plain2.mp4", "-c copy", 200),
    ] {
        let path = folder.join(output);
        let done = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-i"])
            .arg(clip_file(input))
            .args(args.split(' '))
            .arg(&path)
            .status();
        assert!(timeout(PATIENCE, done).await.unwrap().unwrap().success());
        let clip = Clip::open(&path, 25.0).unwrap();
        assert_eq!(clip.frames(), frames, "{output}");
        assert!((clip.fps() - if frames == 80 { 10.0 } else { 25.0 }).abs() < 0.01, "{output}");
    }
    let annexb = Clip::open(folder.join("a.h264"), 25.0).unwrap();
    assert_eq!(annexb.key_frames(), Clip::builtin(Builtin::Second).key_frames());
    std::fs::remove_dir_all(&folder).unwrap();
}
