//! The program `nightjar-server`: its words, its exit codes and its files.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use crate::knock::PATIENCE;

/// Phones find a program of a test on this machine alone.
const AT_HOME: &str = "[signaling]\nlisten = \"127.0.0.1:0\"\n";

pub(crate) fn program(dir: &Path) -> Command {
    let config = dir.join("nightjar.toml");
    if !config.exists() {
        std::fs::write(config, AT_HOME).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_nightjar-server"));
    command.arg("--data-dir").arg(dir).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
async fn run(mut command: Command) -> (Option<i32>, String, String) {
    let output = timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A program that serves.
pub(crate) struct Running {
    child: Child,
    addr: String,
}

impl Running {
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        timeout(PATIENCE, out.read_line(&mut line)).await.expect("it is ready in time").unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        let addr = url.split("://").nth(1).unwrap().to_owned();
        Self { child, addr }
    }

    /// The body of an answer.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.addr).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n", self.addr);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("headers");
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..end]));
        answer.split_off(end + 4)
    }

    pub(crate) async fn post(&self, path: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.addr).await.unwrap();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            self.addr,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        answer
    }

    /// Ends it by a signal; its log comes back.
    pub(crate) async fn end(self, signal: &str) -> (ExitStatus, String) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
        let output = timeout(PATIENCE, self.child.wait_with_output()).await.expect("it ends").unwrap();
        (output.status, String::from_utf8(output.stderr).unwrap())
    }
}

#[cfg(unix)]
#[tokio::test]
async fn r_n12_it_says_where_it_listens_and_ends_well_by_both_signals() {
    for signal in ["-TERM", "-INT"] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = program(dir.path());
        command.args(["--listen", "127.0.0.1:0", "--demo", "1"]);
        let running = Running::start(command).await;
        assert!(running.addr.starts_with("127.0.0.1:"));
        let mut idle = TcpStream::connect(&running.addr).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let began = Instant::now();
        let (status, log) = running.end(signal).await;
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert!(!log.contains("did not end in time"), "{log}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn r_n12_what_is_being_recorded_is_whole_when_the_program_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("given.toml");
    let text = "[signaling]\nenabled = false\n[[camera]]\nid = \"demo\"\nurl = \"demo:1\"\nrecord = true\n";
    std::fs::write(&file, text).unwrap();
    let mut command = program(dir.path());
    command.arg("--config").arg(&file).args(["--listen", "127.0.0.1:0"]);
    let running = Running::start(command).await;
    let written = async {
        loop {
            let listed = running.get("/api/v1/recordings", "").await;
            let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
            if listed["segments"][0]["bytes"].as_u64().is_some_and(|bytes| bytes > 0) {
                assert_eq!(listed["segments"][0]["state"], "open");
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, written).await.expect("it records");
    let (status, log) = running.end("-TERM").await;
    assert_eq!(status.code(), Some(0), "{log}");

    let mut again = program(dir.path());
    std::fs::write(&file, "[signaling]\nenabled = false\n").unwrap();
    again.arg("--config").arg(&file).args(["--listen", "127.0.0.1:0"]);
    let running = Running::start(again).await;
    let listed = running.get("/api/v1/recordings", "").await;
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    let states: Vec<_> = listed["segments"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["sealed"], "nothing was left for a repair: {log}");
    running.end("-TERM").await;
}

#[cfg(unix)]
#[tokio::test]
async fn r_m8_one_program_and_one_file_are_all_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let alone = dir.path().join("nightjar-server");
    std::fs::copy(env!("CARGO_BIN_EXE_nightjar-server"), &alone).unwrap();
    let text = "[server]\nlisten = \"127.0.0.1:0\"\n[signaling]\nenabled = false\n\
                [[camera]]\nid = \"door\"\nname = \"Front door\"\nurl = \"demo:1\"\n";
    std::fs::write(dir.path().join("nightjar.toml"), text).unwrap();
    // No window system, no programs beside it, nothing of the user's.
    let mut command = Command::new(alone);
    command.env_clear().current_dir(dir.path()).kill_on_drop(true);
    command.args(["--config", "nightjar.toml", "--data-dir", "data"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = Running::start(command).await;
    for page in ["/", "/publish"] {
        let page = String::from_utf8(running.get(page, "").await).unwrap();
        assert!(page.starts_with("<!doctype html>"), "{page}");
    }
    let plays = async {
        loop {
            let listed = running.get("/api/v1/cameras", "").await;
            let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
            assert_eq!(listed["cameras"][0]["name"], "Front door");
            if listed["cameras"][0]["state"]["name"] == "live" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, plays).await.expect("its camera plays");
    let (status, log) = running.end("-TERM").await;
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn a_wrong_configuration_is_one_line_that_names_the_field() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("given.toml");
    for (text, field) in [
        ("[server]\nlisten = \"nowhere\"", "server.listen"),
        ("[server]\nlisten = \"0.0.0.0:0\"", "server.token"),
        ("[server]\nport = 1", "server.port"),
        ("[server]\ntls_cert = \"/nope\"\ntls_key = \"/nope\"", "server.tls_cert"),
        ("[server]\ntls_cert = \"/nope\"", "server.tls_key"),
        ("[server]\npublic_url = \"nope\"", "server.public_url"),
        ("[streaming]\nkeepalive_timeout = 11", "streaming.keepalive_timeout"),
        ("[recording]\nmin_free_gb = \"2\"", "recording.min_free_gb"),
        ("[[recording.disk]]\nname = \"a b\"\nroot = \"/x\"", "recording.disk[0].name"),
        (
            "[[recording.disk]]\nname = \"a\"\nroot = \"DATA/recordings/a\"",
            "recording.disk[0].root: lies inside",
        ),
        ("[[camera]]\nurl = \"rtsp://h/\"\nrecord_disk = \"a\"", "camera[0].record_disk"),
        ("[webrtc]\nudp_ports = \"2-1\"", "webrtc.udp_ports"),
        ("[[camera]]\nid = \"a\"", "camera[0].url"),
        ("[[camera]]\nid = \"a\"\nurl = \"rtsp://u:hunter2@h/\"", "camera[0].url"),
        ("[nope]", "nope"),
        ("x", "given.toml: line 1"),
    ] {
        std::fs::write(&file, text.replace("DATA", dir.path().to_str().unwrap())).unwrap();
        let mut command = program(dir.path());
        command.args(["--listen", "127.0.0.1:0"].iter().filter(|_| !text.contains("listen")));
        command.arg("--config").arg(&file);
        let (code, out, err) = run(command).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{text}: {err}");
        assert!(err.contains(field) && err.lines().count() == 1, "{text}: {err}");
        assert!(!err.contains("hunter2"), "{err}");
    }
    std::fs::write(&file, b"\xff\xfe").unwrap();
    for (args, named) in [
        (vec!["--config", "/nope/nightjar.toml"], "--config"),
        (vec!["--config", dir.path().to_str().unwrap()], "--config"),
        (vec!["--config", file.to_str().unwrap()], "--config"),
        (vec!["--listen", "0.0.0.0:0"], "server.token"),
        (vec!["--listen", "[::]:0"], "server.token"),
        (vec!["--listen", "nowhere"], "--listen"),
        (vec!["--demo", "17"], "--demo"),
        (vec!["--demo", "-1"], "--demo"),
        (vec!["--log", "a=b=c"], "--log"),
        (vec!["--nope"], "--nope"),
    ] {
        let mut command = program(dir.path());
        command.args(&args);
        let (code, out, err) = run(command).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}: {err}");
        assert!(err.contains(named) && err.lines().count() == 1, "{args:?}: {err}");
    }
}

#[tokio::test]
async fn the_configuration_of_the_data_directory_counts() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("nightjar.toml"), "[streaming]\nnope = 1").unwrap();
    let (code, _, err) = run(program(dir.path())).await;
    assert_eq!(code, Some(2));
    assert!(err.contains("streaming.nope"), "{err}");
}

#[tokio::test]
async fn a_taken_port_and_a_taken_directory_are_told_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut command = program(dir.path());
    command.args(["--log", "off", "--listen", &taken.local_addr().unwrap().to_string()]);
    let (code, out, err) = run(command).await;
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{err}");
    assert!(err.contains(&taken.local_addr().unwrap().to_string()), "{err}");

    let mut command = program(dir.path());
    command.args(["--listen", "127.0.0.1:0"]);
    let first = Running::start(command).await;
    let mut second = program(dir.path());
    second.args(["--listen", "127.0.0.1:0"]);
    let (code, out, err) = run(second).await;
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{err}");
    assert!(err.contains(dir.path().to_str().unwrap()), "{err}");
    drop(first);
}

#[tokio::test]
async fn damaged_stored_cameras_are_told_and_left_alone() {
    for damaged in ["{", "{\"version\":1,\"cameras\":[{\"id\":\"a\"}]}", "{\"version\":99,\"cameras\":[]}"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cameras.json"), damaged).unwrap();
        let mut command = program(dir.path());
        command.args(["--listen", "127.0.0.1:0", "--log", "off"]);
        let (code, out, err) = run(command).await;
        assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{damaged}: {err}");
        assert!(err.contains("stored"), "{err}");
        assert_eq!(std::fs::read_to_string(dir.path().join("cameras.json")).unwrap(), damaged);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn cameras_outlive_it_and_no_secret_is_in_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("nightjar.toml");
    std::fs::write(&config, format!("[server]\ntoken = \"s3cr3t-token\"\n{AT_HOME}")).unwrap();
    let start = async || {
        let mut command = program(dir.path());
        command.args(["--listen", "127.0.0.1:0", "--log", "trace"]);
        Running::start(command).await
    };
    let running = start().await;
    let token = "Authorization: Bearer s3cr3t-token\r\n";
    let body = r#"{"id":"door","url":"rtsp://127.0.0.1:1/","username":"u","password":"hunter2-cam"}"#;
    assert!(running.post("/api/v1/cameras", token, body).await.starts_with("HTTP/1.1 201"));
    let login = running.post("/login", "", r#"{"token":"s3cr3t-token"}"#).await;
    let session = login.split("nightjar_").nth(1).unwrap().split(['=', ';']).nth(1).unwrap().to_owned();
    let made = running.post("/api/v1/tickets", token, r#"{"path":"/api/v1/events"}"#).await;
    let ticket = made.split("\"ticket\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    running.post(&format!("/api/v1/events?ticket={ticket}"), "", "").await;
    running.post("/api/v1/cameras", "Authorization: Bearer wr0ng-token\r\n", "{}").await;
    let (status, log) = running.end("-TERM").await;
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("/api/v1/tickets"), "the log does tell of requests");
    for secret in ["s3cr3t-token", "hunter2-cam", "wr0ng-token", &session, &ticket] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    let cameras = std::fs::read_to_string(dir.path().join("cameras.json")).unwrap();
    assert!(cameras.contains("door") && !cameras.contains("hunter2-cam"));
    let secrets = dir.path().join("secrets.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&secrets).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    let running = start().await;
    let again = running.post("/api/v1/cameras", token, body).await;
    assert!(again.starts_with("HTTP/1.1 409"), "{again}");
    running.end("-TERM").await;
}
