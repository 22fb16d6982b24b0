//! Recordings on several disks: a real camera, the real engine, real files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nightjar_engine::api::{
    CameraPatch, CameraSpec, DiskState, ErrorCode, ExportCut, ExportSpec, ExportState, Segment,
};
use nightjar_engine::config::{Config, MemoryStore};
use nightjar_engine::engine::{EngineHandle, Parts, Rtsp, StartError};
use nightjar_engine::env::Env;
use nightjar_testcam::{Options, TestCam};
use tokio::time::{sleep, timeout};

/// The machine compiles something else meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place in which the engine starts again and again, with other disks.
struct House {
    dir: tempfile::TempDir,
    store: Arc<MemoryStore>,
    cam: TestCam,
}

impl House {
    async fn new() -> Self {
        let cam = TestCam::spawn(Options::default()).await.unwrap();
        Self { dir: tempfile::tempdir().unwrap(), store: Arc::default(), cam }
    }

    fn disk(&self, name: &str) -> String {
        format!(
            "[[recording.disk]]\nname = \"{name}\"\nroot = \"{}\"\n",
            self.dir.path().join("attic").display()
        )
    }

    async fn try_start(&self, disks: &str) -> Result<EngineHandle, StartError> {
        let config = format!("[recording]\nsegment_seconds = 2\nmin_free_gb = 0.0\n{disks}");
        let parts = Parts {
            env: Env::system(),
            config: Config::parse(&config).expect("valid"),
            store: Arc::clone(&self.store) as _,
            sources: Arc::new(Rtsp::default()),
            demo: None,
            data_dir: Some(self.dir.path().to_owned()),
        };
        EngineHandle::start(parts).await
    }

    async fn start(&self, disks: &str) -> EngineHandle {
        self.try_start(disks).await.expect("it starts")
    }

    fn spec(&self, disk: Option<&str>) -> CameraSpec {
        CameraSpec {
            id: Some("yard".into()),
            url: self.cam.url().to_string(),
            record: Some(true),
            record_disk: disk.map(str::to_owned),
            ..CameraSpec::default()
        }
    }
}

fn disk(name: Option<&str>) -> CameraPatch {
    CameraPatch { record_disk: Some(name.map(str::to_owned)), ..CameraPatch::default() }
}

/// Waits for so many complete recordings on each disk; all of them.
async fn complete(engine: &EngineHandle, main: usize, attic: usize) -> Vec<Segment> {
    let enough = async {
        loop {
            let all = engine.recordings(None, None, None).await.unwrap().segments;
            let count = |disk: Option<&str>| {
                let sealed = |one: &&Segment| one.state == nightjar_engine::api::SegmentState::Sealed;
                all.iter().filter(sealed).filter(|one| one.disk.as_deref() == disk).count()
            };
            if count(None) >= main && count(Some("attic")) >= attic {
                return all;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, enough).await.expect("files are complete in time")
}

/// Pictures of a file, as ffmpeg decodes it without a word.
fn pictures(path: &Path) -> usize {
    let args = [
        "-v",
        "error",
        "-count_frames",
        "-select_streams",
        "v",
        "-show_entries",
        "stream=nb_read_frames",
        "-of",
        "csv=p=0",
    ];
    let run = Command::new("ffprobe")
        .args(args)
        .arg(path)
        .output()
        .expect("ffprobe is installed by scripts/setup.mjs");
    assert!(run.stderr.is_empty(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap().trim().trim_end_matches(',').parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_camera_moves_between_disks_and_its_past_stays_one() {
    let house = House::new().await;
    let engine = house.start(&house.disk("attic")).await;
    let refused = engine.add_camera(house.spec(Some("cellar"))).await.expect_err("no such disk");
    assert_eq!((refused.code, refused.field.as_deref()), (ErrorCode::Invalid, Some("record_disk")));
    assert!(
        refused.message.contains("\"cellar\"") && refused.message.contains("\"attic\""),
        "{}",
        refused.message
    );
    let camera = engine.add_camera(house.spec(Some("attic"))).await.expect("added");
    assert_eq!(camera.recorded.record_disk.as_deref(), Some("attic"));
    complete(&engine, 0, 1).await;
    let moved = engine.change_camera("yard", disk(None)).await.expect("moved");
    assert_eq!((moved.recorded.record_disk, moved.recording.disk), (None, None));
    complete(&engine, 1, 1).await;
    let wrong = engine.change_camera("yard", disk(Some("cellar"))).await.expect_err("no such disk");
    assert_eq!(wrong.field.as_deref(), Some("record_disk"));
    let moved = engine.change_camera("yard", disk(Some("attic"))).await.expect("moved back");
    assert_eq!(moved.recording.disk.as_deref(), Some("attic"));
    let all = complete(&engine, 1, 2).await;
    let holes: Vec<i128> =
        all.windows(2).map(|pair| (time(&pair[1].start) - time(&pair[0].end)).abs()).collect();
    assert!(
        holes.iter().all(|us| *us < 100_000),
        "each file begins where the one before it ended: {holes:?}"
    );

    let storage = engine.storage().await.unwrap();
    let names: Vec<(&str, DiskState)> = storage.disks.iter().map(|one| (&*one.name, one.state)).collect();
    assert_eq!(names, [("", DiskState::Ready), ("attic", DiskState::Ready)]);
    assert!(storage.disks.iter().all(|one| one.used_bytes > 0 && one.free_bytes.is_some()));
    assert_eq!(storage.used_bytes, storage.disks.iter().map(|one| one.used_bytes).sum::<u64>());
    assert_eq!(storage.disks[1].cameras, ["yard"]);

    // One film of both disks.
    let sealed: Vec<&Segment> =
        all.iter().filter(|one| one.state == nightjar_engine::api::SegmentState::Sealed).collect();
    let (first, last) = (sealed[0], sealed[sealed.len() - 1]);
    let spec = ExportSpec {
        camera: "yard".into(),
        from: first.start.as_str().to_owned(),
        to: last.end.as_str().to_owned(),
        cut: ExportCut::Exact,
    };
    let begun = engine.export(spec).await.expect("begun");
    let id = begun.id.parse().unwrap();
    let done = async {
        loop {
            let export = engine.export_state(id).expect("there");
            match export.state {
                ExportState::Done => return export,
                ExportState::Failed => panic!("{:?}", export.error),
                _ => sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let export = timeout(PATIENCE, done).await.expect("exported in time");
    let lasts = (time(&last.end) - time(&first.start)) as f64 / 1e6;
    assert!((export.seconds.unwrap() - lasts).abs() < 0.2, "{:?} of {lasts} s", export.seconds);
    assert!(pictures(&house.dir.path().join("exports").join(format!("{id}.mp4"))) > 0);
    engine.shutdown().await;

    // The disk is taken out of the configuration.
    let of_attic = sealed.iter().find(|one| one.disk.is_some()).unwrap();
    let attic_id = of_attic.id.parse().unwrap();
    let engine = house.start("").await;
    let gone = engine.recording_file(attic_id).await.expect_err("its disk is not configured");
    assert_eq!(gone.code, ErrorCode::NotFound);
    assert!(gone.message.contains("\"attic\""), "{}", gone.message);
    assert!(engine.remove_recording(attic_id).await.is_err(), "nothing is forgotten for that");
    assert_eq!(engine.recording(attic_id).await.expect("known").disk.as_deref(), Some("attic"));
    let known = complete(&engine, 1, 2).await;
    let on_main = known.iter().filter(|one| one.disk.is_none()).count();
    complete(&engine, on_main + 1, 2).await;
    let camera = engine.camera("yard").unwrap();
    assert_eq!(
        camera.recording.cause.map(|cause| cause.code).as_deref(),
        Some("disk_unknown"),
        "and says so"
    );
    let renamed = CameraPatch { name: Some(Some("Yard".into())), ..CameraPatch::default() };
    engine.change_camera("yard", renamed).await.expect("it can be changed all the same");
    let storage = engine.storage().await.unwrap();
    assert_eq!(
        storage.disks.last().map(|one| (&*one.name, one.state)),
        Some(("attic", DiskState::NotConfigured))
    );
    engine.shutdown().await;

    // It is back, under another name: what it holds is found there.
    let engine = house.start(&house.disk("loft")).await;
    let found = async {
        while engine.recording(attic_id).await.unwrap().disk.as_deref() != Some("loft") {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, found).await.expect("found in time");
    engine.recording_file(attic_id).await.expect("it plays again");
    assert!(engine.recordings(None, None, None).await.unwrap().segments.len() > known.len());
    engine.shutdown().await;

    // Roots that meet are a fault of the configuration.
    let inside = house.dir.path().join("recordings/deep");
    let error =
        house.try_start(&format!("[[recording.disk]]\nname = \"a\"\nroot = \"{}\"", inside.display())).await;
    let error = error.err().expect("refused").to_string();
    assert!(error.starts_with("recording.disk[0].root: lies inside recording.root"), "{error}");
}

/// Microseconds.
fn time(at: &nightjar_engine::api::Timestamp) -> i128 {
    let at = nightjar_engine::api::Timestamp::read(at.as_str()).expect("a time");
    i128::try_from(at.duration_since(std::time::UNIX_EPOCH).unwrap().as_micros()).unwrap()
}
