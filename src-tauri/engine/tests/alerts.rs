//! What the user is told when cameras fall and come back (R-N10), seen through the engine's handle only.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

mod scripted;

use std::sync::Arc;
use std::time::Duration;

use nightjar_engine::api::{Alert, AlertKind, Event};
use nightjar_engine::config::MemoryStore;
use nightjar_engine::engine::EventStream;
use nightjar_engine::source::SourceErrorCode;
use scripted::{Host, World};
use tokio::time::{Instant, timeout};

const CAMERAS: &str = r#"
[[camera]]
id = "door"
url = "rtsp://10.0.0.1/main"
[[camera]]
id = "yard"
url = "rtsp://10.0.0.2/main"
[[camera]]
id = "shed"
url = "rtsp://10.0.0.3/main"
alerts = false
"#;

async fn alert(events: &mut EventStream) -> Alert {
    let next = async {
        loop {
            match events.next().await.expect("the engine runs") {
                Event::Alert { alert, .. } => return *alert,
                _ => continue,
            }
        }
    };
    timeout(Duration::from_secs(300), next).await.expect("an alert")
}

#[tokio::test(start_paused = true)]
async fn r_n10_cameras_that_fall_together_are_one_alert_that_ends_with_them() {
    let world = World::default();
    let engine = world.engine(CAMERAS, Arc::new(MemoryStore::default())).await;
    let mut events = engine.events();
    let Some(Event::Snapshot { alerts, .. }) = events.next().await else { panic!("no snapshot") };
    assert!(alerts.is_empty());
    tokio::time::sleep(Duration::from_secs(60)).await;

    let fell = Instant::now();
    for n in 1..=3 {
        world.set(&format!("rtsp://10.0.0.{n}/main"), Host::Refuses(SourceErrorCode::Unreachable));
    }
    let told = alert(&mut events).await;
    let after = fell.elapsed().as_secs_f64();
    assert!((9.9..10.6).contains(&after), "told after {after} s");
    assert_eq!(
        (told.kind, &told.cameras[..]),
        (AlertKind::CameraLost, &["door".to_owned(), "yard".to_owned()][..])
    );
    assert!(told.until.is_none() && told.camera.is_none() && !told.quiet);
    assert_eq!(told.cause.as_ref().unwrap().class, "RTSP_NETWORK");

    // Whoever comes later finds it.
    let Some(Event::Snapshot { alerts, .. }) = engine.events().next().await else { panic!("no snapshot") };
    assert_eq!((alerts, engine.alerts()), (vec![told.clone()], vec![told.clone()]));

    world.set("rtsp://10.0.0.1/main", Host::Live);
    engine.retry("door").unwrap();
    let half = alert(&mut events).await;
    assert_eq!((&half.id, &half.back[..], &half.until), (&told.id, &["door".to_owned()][..], &None));
    world.set("rtsp://10.0.0.2/main", Host::Live);
    engine.retry("yard").unwrap();
    let over = alert(&mut events).await;
    assert!(over.id == told.id && over.until.is_some());
    // The one whose alerts are off is healed all the same.
    assert!(world.attempts_at("rtsp://10.0.0.3/main") > 1);
    engine.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn r_n10_alerts_are_there_after_a_restart_and_over() {
    let (world, store, dir) =
        (World::default(), Arc::new(MemoryStore::default()), tempfile::tempdir().unwrap());
    let config = format!("[recording]\nenabled = false\n{CAMERAS}");
    let engine = world.engine_in(Some(dir.path().into()), &config, store.clone()).await;
    let mut events = engine.events();
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.set("rtsp://10.0.0.1/main", Host::Refuses(SourceErrorCode::Unreachable));
    let told = alert(&mut events).await;
    engine.shutdown().await;

    let engine = world.engine_in(Some(dir.path().into()), &config, store).await;
    let [kept] = &engine.alerts()[..] else { panic!("one alert: {:?}", engine.alerts()) };
    assert!(kept.until.is_some(), "nobody watched since");
    assert_eq!(kept, &Alert { until: kept.until.clone(), back: told.cameras.clone(), ..told.clone() });
    let mut events = engine.events();
    let again = alert(&mut events).await;
    assert!(again.cameras == ["door"] && again.until.is_none(), "what still lasts is told anew");
    engine.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_fell_far_behind_gets_everything_anew() {
    let world = World::default();
    let camera = "[[camera]]\nid = \"door\"\nurl = \"rtsp://10.0.0.1/main\"\nmax_reconnect_attempts = 0";
    let engine = world.engine(camera, Arc::new(MemoryStore::default())).await;
    let mut behind = engine.events();
    let Some(Event::Snapshot { seq: 0, .. }) = behind.next().await else { panic!("no snapshot") };
    let mut events = engine.events();
    // Two changes each, and more than anybody remembers.
    for _ in 0..140 {
        world.set("rtsp://10.0.0.1/main", Host::Refuses(SourceErrorCode::Unreachable));
        assert!(alert(&mut events).await.until.is_none());
        world.set("rtsp://10.0.0.1/main", Host::Live);
        engine.retry("door").unwrap();
        assert!(alert(&mut events).await.until.is_some());
    }
    let Some(Event::Snapshot { seq, alerts, cameras, .. }) = behind.next().await else {
        panic!("no snapshot")
    };
    assert_eq!((seq, cameras.len(), alerts), (1, 1, engine.alerts()));
    world.set("rtsp://10.0.0.1/main", Host::Refuses(SourceErrorCode::Unreachable));
    assert!(alert(&mut behind).await.until.is_none(), "and goes on");
    engine.shutdown().await;
}
