//! When a camera is recorded: its own setting, its schedule, and what a person switches.

#![allow(clippy::unwrap_used, reason = "a test may fail loudly")]

#[allow(dead_code, reason = "the other scenarios need all of it")]
mod scripted;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};

use nightjar_engine::api::{CameraPatch, CameraSpec, ErrorCode, RecordingState};
use nightjar_engine::config::{Config, ConfigStore, MemoryStore};
use nightjar_engine::engine::{EngineHandle, KnownPhone, Parts};
use nightjar_engine::env::Env;
use nightjar_engine::record::local;

use scripted::World;

const PATIENCE: Duration = Duration::from_secs(10);
const HOUR: u64 = 3_600;

/// A wall clock to set, and an engine that starts again and again in one place.
struct House {
    dir: tempfile::TempDir,
    clock: Arc<AtomicU64>,
    store: Arc<MemoryStore>,
}

impl House {
    fn new() -> Self {
        // 2026-11-20 is a Friday; midnight as this machine's clocks show it.
        let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_132_800);
        let offset = i64::from(local(midnight).whole_seconds());
        let clock = Arc::new(AtomicU64::new(1_795_132_800_u64.saturating_add_signed(-offset)));
        Self { dir: tempfile::tempdir().unwrap(), clock, store: Arc::new(MemoryStore::default()) }
    }

    fn later(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::Relaxed);
    }

    async fn engine(&self) -> EngineHandle {
        self.engine_with(Arc::clone(&self.store) as _).await
    }

    async fn engine_with(&self, store: Arc<dyn ConfigStore>) -> EngineHandle {
        let clock = Arc::clone(&self.clock);
        let wall = move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed));
        let data_dir: &Path = self.dir.path();
        let parts = Parts {
            env: Env::fixed(wall, 1),
            config: Config::parse("[recording]\nmin_free_gb = 0.0").expect("valid"),
            store,
            sources: Arc::new(World::default()),
            demo: None,
            data_dir: Some(data_dir.to_owned()),
        };
        EngineHandle::start(parts).await.expect("it starts")
    }
}

fn is_on(engine: &EngineHandle) -> bool {
    engine.camera("shop").expect("there").recording.state != RecordingState::Off
}

async fn until(engine: &EngineHandle, on: bool) {
    let mut events = engine.events();
    let reached = async {
        while is_on(engine) != on {
            events.next().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("not in time: {on}"));
}

#[tokio::test]
async fn r_n14_a_schedule_switches_and_a_person_s_word_holds_until_it_switches_again() {
    let house = House::new();
    house.later(7 * HOUR);
    let engine = house.engine().await;
    let spec = CameraSpec {
        id: Some("shop".into()),
        url: "rtsp://h/shop".into(),
        record_schedule: Some(vec!["Mon-Sat 08:00-18:00".into()]),
        ..CameraSpec::default()
    };
    let camera = engine.add_camera(spec.clone()).await.expect("added");
    assert_eq!(camera.recorded.record_schedule, spec.record_schedule);
    assert!(!is_on(&engine), "at seven");
    house.later(HOUR);
    until(&engine, true).await;
    // Somebody wants privacy; over a restart, too.
    engine.set_recording("shop", false).await.expect("switched");
    engine.shutdown().await;
    house.later(HOUR);
    let engine = house.engine().await;
    assert!(!is_on(&engine), "r_n4: what was switched is kept");
    engine.shutdown().await;
    // Both edges pass while nobody looks: the next morning is another day.
    house.later(24 * HOUR);
    let engine = house.engine().await;
    assert!(is_on(&engine), "at nine on the next day");
    house.later(9 * HOUR);
    until(&engine, false).await;
    engine.set_recording("shop", true).await.expect("on demand");
    assert!(is_on(&engine));
    // The newer word counts: without a schedule it is recorded at all times.
    engine.set_recording("shop", false).await.expect("switched");
    let patch = CameraPatch { record_schedule: Some(None), ..CameraPatch::default() };
    engine.change_camera("shop", patch).await.expect("changed");
    assert!(is_on(&engine));
    let patch = CameraPatch { pre_roll_seconds: Some(Some(10)), ..CameraPatch::default() };
    engine.set_recording("shop", false).await.expect("switched");
    let camera = engine.change_camera("shop", patch).await.expect("changed");
    assert_eq!(camera.recorded.pre_roll_seconds, Some(10));
    assert!(!is_on(&engine), "how it is recorded is no word about when");
    for (patch, field) in [
        (CameraPatch { record_schedule: Some(Some(vec![])), ..Default::default() }, "record_schedule"),
        (
            CameraPatch { record_schedule: Some(Some(vec!["Mon".into()])), ..Default::default() },
            "record_schedule[0]",
        ),
        (CameraPatch { pre_roll_seconds: Some(Some(61)), ..Default::default() }, "pre_roll_seconds"),
        (CameraPatch { record_quota_gb: Some(Some(0.0)), ..Default::default() }, "record_quota_gb"),
    ] {
        let error = engine.change_camera("shop", patch).await.expect_err(field);
        assert!(error.message.starts_with(&format!("{field}: ")), "{error:?}");
    }
    engine.shutdown().await;
}

#[tokio::test]
async fn r_n4_what_is_set_of_a_phone_outlives_the_program_and_its_name_is_checked() {
    let house = House::new();
    let phones =
        || vec![KnownPhone { peer_id: "p1".into(), room: "shop".into(), name: "Phone of the shop".into() }];
    let engine = house.engine().await;
    engine.expect_phones(phones(), true).await;
    assert!(is_on(&engine), "as every camera");
    let record = |on| CameraPatch { record: Some(Some(on)), ..CameraPatch::default() };
    engine.change_camera("shop", record(false)).await.expect("changed");
    assert!(!is_on(&engine));
    for name in ["", "a\nb"] {
        let patch = CameraPatch { name: Some(Some(name.into())), ..CameraPatch::default() };
        let refused = engine.change_camera("shop", patch).await.expect_err("no name");
        assert_eq!((refused.code, refused.field.as_deref()), (ErrorCode::Invalid, Some("name")));
    }
    engine.shutdown().await;
    let engine = house.engine().await;
    engine.expect_phones(phones(), true).await;
    assert!(!is_on(&engine), "somebody wants privacy, over a restart, too");
    let patch = CameraPatch {
        record_schedule: Some(Some(vec!["Mon-Sat 08:00-18:00".into()])),
        pre_roll_seconds: Some(Some(10)),
        ..record(true)
    };
    let before = engine.change_camera("shop", patch).await.expect("changed");
    assert!(!is_on(&engine), "at midnight");
    engine.shutdown().await;
    house.later(9 * HOUR);
    let engine = house.engine().await;
    engine.expect_phones(phones(), true).await;
    assert_eq!(engine.camera("shop").expect("there").recorded, before.recorded);
    assert!(is_on(&engine), "as its schedule says");
    // One that is shown out leaves nothing behind for the next of its name.
    engine.dismiss_phone("p1").await;
    engine.expect_phones(phones(), false).await;
    assert_eq!(engine.camera("shop").expect("there").recorded, Default::default());
    engine.shutdown().await;
}

/// A store whose disk takes its time, from one moment on.
#[derive(Default)]
struct SlowStore {
    store: MemoryStore,
    slow: AtomicBool,
    /// Somebody waits for it; nobody has to any more.
    waits: (Mutex<bool>, Condvar),
    done: (Mutex<bool>, Condvar),
}

fn wait((told, wakes): &(Mutex<bool>, Condvar)) {
    let told = wakes.wait_timeout_while(told.lock().unwrap(), PATIENCE, |told| !*told).unwrap();
    assert!(*told.0, "not in time");
}

fn tell((told, wakes): &(Mutex<bool>, Condvar)) {
    *told.lock().unwrap() = true;
    wakes.notify_all();
}

impl ConfigStore for SlowStore {
    fn load(&self) -> io::Result<Option<String>> {
        self.store.load()
    }

    fn save(&self, cameras: &str) -> io::Result<()> {
        if self.slow.load(Ordering::Relaxed) {
            tell(&self.waits);
            wait(&self.done);
        }
        self.store.save(cameras)
    }

    fn load_secrets(&self) -> io::Result<Option<String>> {
        self.store.load_secrets()
    }

    fn save_secrets(&self, secrets: &str) -> io::Result<()> {
        self.store.save_secrets(secrets)
    }

    fn load_alerts(&self) -> io::Result<Option<String>> {
        self.store.load_alerts()
    }

    fn save_alerts(&self, alerts: &str) -> io::Result<()> {
        self.store.save_alerts(alerts)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_while_a_camera_changes_is_switched_after_the_change() {
    let (house, store) = (House::new(), Arc::new(SlowStore::default()));
    let engine = house.engine_with(Arc::clone(&store) as _).await;
    let spec = CameraSpec { id: Some("shop".into()), url: "rtsp://h/shop".into(), ..CameraSpec::default() };
    engine.add_camera(spec).await.expect("added");
    assert!(is_on(&engine));
    store.slow.store(true, Ordering::Relaxed);
    let patch = CameraPatch { record: Some(Some(true)), ..CameraPatch::default() };
    let changes = tokio::spawn({
        let engine = engine.clone();
        async move { engine.change_camera("shop", patch).await }
    });
    let watched = Arc::clone(&store);
    tokio::task::spawn_blocking(move || wait(&watched.waits)).await.unwrap();
    // The change is as good as made: what is switched now comes after it.
    let switched = engine.set_recording("shop", false);
    tokio::pin!(switched);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut switched).await.is_err(), "its turn");
    tell(&store.done);
    changes.await.unwrap().expect("changed");
    switched.await.expect("switched");
    assert!(!is_on(&engine), "the newer word counts");
    engine.shutdown().await;
}
