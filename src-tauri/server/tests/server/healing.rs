//! What tells people and programs that something broke: the report of a defect, and the webhook.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::DeflateDecoder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use nightjar_engine::api::{Camera, StateName};
use nightjar_engine::config::{Config, MemoryStore};
use nightjar_engine::engine::{EngineHandle, Parts, Rtsp};
use nightjar_engine::env::Env;
use nightjar_testcam::{Fault, Options, Start, TestCam};
use tokio::time::{Instant, sleep};

use crate::knock::{House, PATIENCE};
use crate::program::{Running, program};

/// The files of an archive, read by its central directory as every program does.
fn unzip(bytes: &[u8]) -> Vec<(String, String)> {
    let u16_at = |at: usize| usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()));
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let end = bytes.len() - 22;
    assert_eq!(&bytes[end..end + 4], b"PK\x05\x06");
    let (count, mut at) = (u16_at(end + 10), u32_at(end + 16));
    let mut files = Vec::new();
    for _ in 0..count {
        assert_eq!(&bytes[at..at + 4], b"PK\x01\x02");
        let (packed, whole, name, local) =
            (u32_at(at + 20), u32_at(at + 24), u16_at(at + 28), u32_at(at + 42));
        let start = local + 30 + u16_at(local + 26) + u16_at(local + 28);
        let mut text = String::new();
        DeflateDecoder::new(&bytes[start..start + packed]).read_to_string(&mut text).unwrap();
        assert_eq!(text.len(), whole);
        files.push((String::from_utf8(bytes[at + 46..at + 46 + name].to_vec()).unwrap(), text));
        at += 46 + name;
    }
    files
}

#[tokio::test]
async fn r_n13_a_report_holds_what_is_needed_and_nothing_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("given.toml");
    let secrets = [
        "door-token-1",
        "ümlaut pass\"word",
        "added-pass-3",
        "in-the-query-4",
        "room-key-5",
        "turn-cred-6",
        "hook-secret-7",
        "config-user-8",
        "path-secret-9",
        "added-user-10",
    ];
    let text = r#"
        [server]
        token = "door-token-1"
        [signaling]
        listen = "127.0.0.1:0"
        room_key = "room-key-5"
        [webrtc]
        ice_servers = [{ urls = ["turn:127.0.0.1:9"], username = "someone", credential = "turn-cred-6" }]
        [alerts]
        webhook = "http://127.0.0.1:9/hook-secret-7?x=1"
        [[camera]]
        id = "fixed"
        url = "rtsp://127.0.0.1:9/path-secret-9/live?password=in-the-query-4"
        username = "config-user-8"
        password = 'ümlaut pass"word'
    "#;
    std::fs::write(&file, text).unwrap();
    let mut command = program(dir.path());
    command.arg("--config").arg(&file).args(["--listen", "127.0.0.1:0", "--log", "debug"]);
    let running = Running::start(command).await;
    let login = "Authorization: Bearer door-token-1\r\n";
    let body =
        r#"{"id":"added","url":"rtsp://127.0.0.1:9/a","username":"added-user-10","password":"added-pass-3"}"#;
    assert!(running.post("/api/v1/cameras", login, body).await.contains("201"));
    // A page that tells more than it should: everything, in every form.
    let planted = secrets.map(|secret| {
        let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, secret);
        let escaped: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        [secret.to_owned(), base64, escaped]
    });
    let kept = planted.iter().flatten().cloned().collect::<Vec<_>>();
    for word in &kept {
        let report =
            serde_json::json!({ "class": "DECODER", "detail": format!("trouble: {word}") }).to_string();
        assert!(running.post("/api/v1/cameras/fixed/fault", login, &report).await.contains("204"));
    }
    let files = unzip(&running.get("/api/v1/debug/bundle", login).await);
    let names: Vec<_> = files.iter().map(|(name, _)| &**name).collect();
    let expected =
        ["about.txt", "log.txt", "cameras.json", "alerts.json", "config.txt", "metrics.txt", "pipeline.dot"];
    assert_eq!(names, expected);
    let of = |wanted: &str| &files.iter().find(|(name, _)| name == wanted).unwrap().1;
    assert!(of("about.txt").contains(env!("CARGO_PKG_VERSION")));
    assert!(
        of("log.txt").contains("door open") && of("log.txt").contains("trouble: ***"),
        "{}",
        of("log.txt")
    );
    assert!(of("cameras.json").contains("rtsp://127.0.0.1:9/"));
    assert!(of("config.txt").contains("keepalive_timeout: 5"));
    // User names and paths are not known to be secret when a page shouts them; nothing else tells them.
    let shouted = |word: &str| ["config-user-8", "added-user-10", "path-secret-9"].contains(&word);
    for (name, text) in &files {
        for (secret, forms) in secrets.iter().zip(&planted) {
            let quiet = shouted(secret) && name == "log.txt";
            for form in forms.iter().filter(|_| !quiet) {
                assert!(!text.contains(&**form), "{name} tells {form:?}:\n{text}");
            }
        }
    }
    running.end("-TERM").await;
}

#[tokio::test]
async fn r_n10_a_webhook_that_fails_is_told_again() {
    let hook = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("given.toml");
    let text = format!(
        "[signaling]\nlisten = \"127.0.0.1:0\"\n[alerts]\nafter_seconds = 0\nwebhook = \"http://{}/hook?token=hush-hush\"\n\
         [[camera]]\nid = \"gone\"\nname = \"Gate\"\nurl = \"rtsp://127.0.0.1:9/a\"\n",
        hook.local_addr().unwrap()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = program(dir.path());
    command.arg("--config").arg(&file).args(["--listen", "127.0.0.1:0"]);
    let running = Running::start(command).await;
    let mut told = Vec::new();
    for answer in ["", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 Yes\r\n\r\n"] {
        let (mut stream, _) = timeout(PATIENCE, hook.accept()).await.expect("it is told").unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            assert!(timeout(PATIENCE, stream.read_buf(&mut request)).await.unwrap().unwrap() > 0);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        told.push(String::from_utf8(request).unwrap());
    }
    assert!(told[0].starts_with("POST /hook?token=hush-hush HTTP/1.1\r\n"), "{}", told[0]);
    let body = |text: &str| {
        let json = text.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str::<serde_json::Value>(json).unwrap()
    };
    let alert = body(&told[0]);
    assert_eq!((&alert["kind"], &alert["camera"]), (&"camera_lost".into(), &"gone".into()));
    assert!(alert["message"].as_str().unwrap().contains("Gate"));
    assert_eq!(told[1], told[0]);
    assert_eq!(told[2], told[0]);
    let (_, log) = running.end("-TERM").await;
    assert!(!log.contains("hush-hush"), "{log}");
    tokio::time::timeout(Duration::ZERO, hook.accept()).await.expect_err("told once it was taken");
}

/// A real camera that is recorded, and the house it belongs to.
struct Watched {
    camera: TestCam,
    house: House,
    _dir: tempfile::TempDir,
}

impl Watched {
    async fn new(streaming: &str) -> Self {
        // Its next key frame comes soon: the clip has one every four seconds.
        let options =
            Options { start: Start::KeyFrame, offset: Duration::from_millis(3_700), ..Options::default() };
        let camera = TestCam::spawn(options).await.expect("a free port");
        let dir = tempfile::tempdir().unwrap();
        let config = format!("{streaming}\n[[camera]]\nid = \"gate\"\nurl = \"{}\"\n", camera.url());
        let parts = Parts {
            env: Env::system(),
            config: Config::parse(&config).expect("valid"),
            store: Arc::new(MemoryStore::default()),
            sources: Arc::new(Rtsp::default()),
            demo: None,
            data_dir: Some(dir.path().into()),
        };
        let engine = EngineHandle::start(parts).await.expect("it starts");
        let watched = Self { camera, house: House::before(engine, |_| {}).await, _dir: dir };
        watched.until("it is live", |camera| camera.state.name == StateName::Live).await;
        watched
    }

    fn now(&self) -> Camera {
        self.house.engine.camera("gate").expect("it is there")
    }

    /// Waits until the camera is so; how long that took.
    async fn until(&self, what: &str, is_so: impl Fn(&Camera) -> bool) -> Duration {
        let from = Instant::now();
        let wait = async {
            while !is_so(&self.now()) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, wait)
            .await
            .unwrap_or_else(|_| panic!("not in time: {what}: {:?}", self.now().state));
        from.elapsed()
    }

    /// The recordings by their states, once there are so many and something of the last is on the disk.
    async fn files(&self, count: usize) -> Vec<serde_json::Value> {
        let wait = async {
            loop {
                let listed = self.house.ask("GET", "/api/v1/recordings?camera=gate").await.json();
                let files = listed["segments"].as_array().unwrap().clone();
                let begun = files.last().is_some_and(|file| file["bytes"].as_u64() > Some(0));
                if files.len() >= count && begun {
                    return files.iter().map(|file| file["state"].clone()).collect();
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("it is recorded")
    }

    async fn close(self) {
        self.house.close().await;
        self.camera.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k7_a_camera_whose_power_was_cut_is_recorded_on_in_a_new_file() {
    let watched = Watched::new("").await;
    assert_eq!(watched.files(1).await, ["open"]);
    watched.camera.power_off().await;
    let lost = watched.until("it is lost", |c| c.state.name == StateName::Reconnecting).await;
    assert!(lost < Duration::from_secs(1), "{lost:?}");
    sleep(Duration::from_secs(2)).await;
    watched.camera.power_on().await.expect("its port is free");
    let back = watched.until("it is back", |c| c.state.name == StateName::Live).await;
    assert!(back < Duration::from_secs(3), "{back:?}");
    assert_eq!(watched.files(2).await, ["sealed", "open"]);
    watched.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k7_losses_of_two_to_three_seconds_end_no_session_and_no_file() {
    let watched = Watched::new("").await;
    watched.files(1).await;
    for _ in 0..3 {
        watched.camera.set_fault(Fault::Silent).await;
        sleep(Duration::from_millis(2_600)).await;
        assert_eq!(watched.now().state.name, StateName::Stalled);
        watched.camera.set_fault(Fault::None).await;
        watched.until("it goes on", |c| c.state.name == StateName::Live).await;
    }
    assert_eq!(watched.now().stats.reconnects, 0);
    assert_eq!(watched.files(1).await, ["open"]);
    watched.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k7_with_a_keep_alive_of_three_seconds_a_dead_camera_is_found_in_three_to_six() {
    let watched = Watched::new("[streaming]\nkeepalive_timeout = 3").await;
    watched.camera.set_fault(Fault::Dead).await;
    let found = watched.until("it is found", |c| c.state.name == StateName::Reconnecting).await;
    assert!((3_000..6_000).contains(&found.as_millis()), "{found:?}");
    watched.close().await;
}
