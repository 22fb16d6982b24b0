//! Phones and viewers made of aiortc, which shares no code with Nightjar: a stock client.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nightjar_engine::config::{Config, MemoryStore};
use nightjar_engine::engine::{EngineHandle, Parts, Rtsp};
use nightjar_engine::env::Env;
use nightjar_server::{Server, ServerOptions};
use tokio::process::Command;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The script has limits of its own; this one is for a script that hangs.
const SOON: Duration = Duration::from_secs(150);

/// Where `scripts/setup.mjs` puts Python with aiortc.
fn python() -> PathBuf {
    std::env::var_os("NIGHTJAR_AIORTC").map_or_else(
        || {
            let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
            cache.unwrap_or_default().join("nightjar/tools/aiortc-1.16.0/bin/python3")
        },
        PathBuf::from,
    )
}

/// Runs a script against a server of its own and returns what it saw.
async fn against(configuration: &str, ports: &str, script: &str) -> serde_json::Value {
    let configuration = format!("[webrtc]\nudp_ports = \"{ports}\"\n{configuration}");
    let parts = Parts {
        env: Env::system(),
        config: Config::parse(&configuration).unwrap(),
        store: Arc::new(MemoryStore::default()),
        sources: Arc::new(Rtsp::default()),
        demo: None,
        data_dir: None,
    };
    let engine = EngineHandle::start(parts).await.unwrap();
    let options = ServerOptions::new("127.0.0.1:0".parse().unwrap(), Env::system());
    let server = Server::bind(options, engine.clone()).await.unwrap();
    let (url, stop) = (format!("http://{}", server.addr()), CancellationToken::new());
    let door = tokio::spawn(server.run(stop.clone()));
    let script = format!("{}/aiortc/{script}", env!("CARGO_MANIFEST_DIR"));
    let run = Command::new(python())
        .args([&script, &url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = timeout(SOON, run).await.expect("the script ends in time");
    let output = output.expect("Python with aiortc is installed by scripts/setup.mjs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    stop.cancel();
    door.await.unwrap();
    engine.shutdown().await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn r_p1_a_publisher_by_whip_is_a_camera_and_its_viewer_stays_through_its_rebirth() {
    let seen = against("", "51000-51049", "whip.py").await;
    for codec in ["h264", "vp8"] {
        let figures = &seen[codec];
        // Generous: this machine compiles something else.
        assert!(figures["first_frame_ms"].as_u64().is_some_and(|ms| ms < 5_000), "{seen}");
        assert!(figures["rebirth_ms"].as_u64().is_some_and(|ms| ms < 5_000), "{seen}");
    }
    assert_eq!(seen["h264"]["snapshot"], 200, "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r_p2_to_r_p7_a_phone_of_the_older_systems_that_freezes_is_born_again_and_one_that_ignores_it_is_told_again()
 {
    let seen = against("[signaling]\nlegacy_join = true", "51050-51099", "legacy.py").await;
    let frames_ms = seen["command_to_frame_ms"].as_u64();
    assert!(frames_ms.is_some_and(|ms| ms < 5_000), "{seen}");
    assert!(seen["server_candidates"].as_u64().is_some_and(|n| n > 0), "{seen}");
}
