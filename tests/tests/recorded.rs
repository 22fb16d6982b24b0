//! A real camera, the real engine, real files: every picture of a numbered clip is in them once, in order, at its
//! time, and its sound with it; and players that nobody here wrote play them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nightjar_engine::config::{Config, MemoryStore};
use nightjar_engine::engine::{EngineHandle, Parts, Rtsp};
use nightjar_engine::env::Env;
use nightjar_engine::store::{Catalogue, Query, SegmentRow, SegmentState};
use nightjar_testcam::{Clip, Fault, Options, TestCam};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// The machine compiles something else meanwhile.
const PATIENCE: Duration = Duration::from_secs(90);
const FPS: usize = 25;
/// Ticks of 90,000 and microseconds from one picture to the next.
const TICKS: i64 = 3_600;
const FRAME_US: i64 = 40_000;
/// A key frame every so many pictures: files of a second end after 30.
const GROUP: usize = 10;
const SIDE: usize = 16;
const RATE: i64 = 48_000;
/// The picture of that number and multiples of it has a beep.
const BEEP: i64 = 25;
/// What the clip's encoder needs to begin; a camera's stream has no word for it.
const DELAY_US: i64 = 1_024 * 1_000_000 / RATE;
/// Sound and picture are in step.
const STEP_US: i64 = 40_000;

async fn run(program: &str, args: &[&str]) -> Vec<u8> {
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is installed by scripts/setup.mjs: {error}"));
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends in time").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{program} {args:?}: {said}");
    output.stdout
}

/// Pictures that carry their number as a row of black and white squares, and a beep of 40 ms each second.
async fn numbered(dir: &Path, seconds: usize) -> PathBuf {
    let path = dir.join("numbered.mp4");
    let width = SIDE * 16;
    let picture = format!(
        "nullsrc=s={width}x64:r={FPS},format=gray,\
         geq=lum='if(gt(mod(floor(N/pow(2,floor(X/{SIDE}))),2),0.5),235,16)':cb=128:cr=128"
    );
    let sound = format!("aevalsrc='if(lt(mod(t,1),0.04),0.8*sin(2*PI*1000*t),0)':s={RATE}");
    let (length, group) = (seconds.to_string(), GROUP.to_string());
    #[rustfmt::skip]
    run("ffmpeg", &[
        "-v", "error", "-nostdin", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound, "-t", &length,
        "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", &group, "-sc_threshold", "0",
        "-pix_fmt", "yuv420p", "-video_track_timescale", "90000", "-c:a", "aac", "-ac", "1",
        path.to_str().unwrap(),
    ])
    .await;
    path
}

/// A recording as ffmpeg sees it.
struct Reel {
    row: SegmentRow,
    /// Of its pictures: what is painted in them, and when they are shown, in ticks.
    numbers: Vec<i64>,
    shown: Vec<i64>,
    /// When its packets of sound begin, in samples.
    heard: Vec<i64>,
    /// When beeps begin, in samples.
    beeps: Vec<i64>,
}

/// The number in a grey picture.
fn painted(picture: &[u8]) -> i64 {
    (0..16).map(|bit| i64::from(picture[32 * SIDE * 16 + bit * SIDE + SIDE / 2] > 126) << bit).sum()
}

/// Presentation times of a track's packets, in ticks of its own.
async fn times(file: &str, track: &str) -> Vec<i64> {
    let entries = "packet=pts";
    let args = ["-v", "error", "-select_streams", track, "-show_entries", entries, "-of", "csv=p=0", file];
    let text = String::from_utf8(run("ffprobe", &args).await).unwrap();
    text.lines().map(|line| line.trim_end_matches(',').parse().unwrap()).collect()
}

impl Reel {
    async fn read(root: &Path, row: SegmentRow) -> Self {
        let path = root.join(&row.path);
        let file = path.to_str().unwrap();
        #[rustfmt::skip]
        let raw = run("ffmpeg", &[
            "-v", "error", "-nostdin", "-i", file, "-map", "0:v", "-fps_mode", "passthrough", "-f", "rawvideo",
            "-pix_fmt", "gray", "-",
        ])
        .await;
        #[rustfmt::skip]
        let pcm = run("ffmpeg", &[
            "-v", "error", "-nostdin", "-i", file, "-map", "0:a", "-af", "aresample=async=1:first_pts=0", "-f", "s16le",
            "-",
        ])
        .await;
        let loud: Vec<bool> =
            pcm.chunks_exact(2).map(|s| i16::from_le_bytes([s[0], s[1]]).unsigned_abs() > 6_000).collect();
        // Loud after a tenth of a second of silence.
        let quiet = usize::try_from(RATE / 10).unwrap();
        let begins = |at: &usize| loud[*at] && !loud[at - quiet..*at].contains(&true);
        let beeps = (quiet..loud.len()).filter(begins).map(|at| i64::try_from(at).unwrap()).collect();
        Self {
            numbers: raw.chunks_exact(SIDE * 16 * 64).map(painted).collect(),
            shown: times(file, "v:0").await,
            heard: times(file, "a:0").await,
            beeps,
            row,
        }
    }

    /// All that can be said of one file alone.
    fn assert_whole(&self) {
        let Self { row, numbers, shown, heard, .. } = self;
        assert_eq!(row.state, SegmentState::Sealed, "{row:?}");
        assert_eq!(shown.len(), numbers.len(), "{row:?}");
        let even = numbers.windows(2).all(|pair| pair[1] == pair[0] + 1);
        assert!(even, "every picture once, in order: {row:?} {numbers:?}");
        assert!(shown[0].abs() <= 1, "{row:?} begins at {}", shown[0]);
        for (n, at) in shown.iter().enumerate() {
            let expected = shown[0] + i64::try_from(n).unwrap() * TICKS;
            assert!((at - expected).abs() <= 1, "{row:?}: picture {n} at {at}");
        }
        assert!(heard.windows(2).all(|pair| (pair[1] - pair[0] - 1_024).abs() <= 1), "{row:?} {heard:?}");
    }

    /// How much later than their pictures beeps are heard, in microseconds. The first and the last may be cut by the
    /// file's ends.
    fn late(&self) -> impl Iterator<Item = i64> {
        let length = self.row.end_us - self.row.start_us;
        let beeps = self.beeps.iter().map(|beep| beep * 1_000_000 / RATE - DELAY_US);
        beeps.filter(move |us| *us > 100_000 && *us < length - 100_000).map(|us| {
            let numbered = self.numbers.iter().zip(&self.shown).filter(|(number, _)| *number % BEEP == 0);
            numbered.map(|(_, at)| us - at * 100 / 9).min_by_key(|late| late.abs()).unwrap_or(i64::MAX)
        })
    }

    /// When its sound begins or its last packet of it, in samples since 1970.
    fn sound_at(&self, packet: i64) -> f64 {
        self.row.start_us as f64 * RATE as f64 / 1e6 + packet as f64
    }
}

struct House {
    dir: TempDir,
    cam: TestCam,
    engine: EngineHandle,
}

impl House {
    /// Records a numbered clip in files of so many seconds.
    async fn new(seconds: u32) -> Self {
        let dir = TempDir::new().unwrap();
        let clip = Clip::open(numbered(dir.path(), 60).await, 25.0).unwrap();
        let cam = TestCam::spawn(Options { clip, ..Options::default() }).await.unwrap();
        let config = format!(
            "[recording]\nsegment_seconds = {seconds}\nmin_free_gb = 0.0\n[[camera]]\nid = \"cam\"\nurl = \"{}\"\nrecord = true\n",
            cam.url()
        );
        let parts = Parts {
            env: Env::system(),
            config: Config::parse(&config).unwrap(),
            store: Arc::new(MemoryStore::default()),
            sources: Arc::new(Rtsp::default()),
            demo: None,
            data_dir: Some(dir.path().to_owned()),
        };
        let engine = EngineHandle::start(parts).await.unwrap();
        Self { dir, cam, engine }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("recordings")
    }

    fn rows(&self) -> Vec<SegmentRow> {
        let (catalogue, _) = Catalogue::open(&self.dir.path().join("catalogue.db")).unwrap();
        catalogue.segments(Query { camera: None, from_us: 0, to_us: i64::MAX }).unwrap()
    }

    /// Waits until there are so many files.
    async fn files(&self, count: usize) {
        let written = || {
            let days = std::fs::read_dir(self.root().join("cam")).into_iter().flatten().flatten();
            days.map(|day| std::fs::read_dir(day.path()).into_iter().flatten().count()).sum::<usize>()
        };
        let wait = async {
            while written() < count {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, wait).await.expect("files are written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_n8_every_picture_is_recorded_once_in_order_at_its_time_across_rotations_and_a_reconnect() {
    let house = House::new(1).await;
    house.files(13).await;
    // The connection is reset: the camera counts on, and answers again at once.
    house.cam.set_fault(Fault::Reset(Duration::ZERO)).await;
    house.cam.wait(|stats| stats.playing == 0).await;
    house.cam.set_fault(Fault::None).await;
    house.files(26).await;
    house.engine.shutdown().await;

    let mut reels = Vec::new();
    for row in house.rows() {
        reels.push(Reel::read(&house.root(), row).await);
    }
    for reel in &reels {
        reel.assert_whole();
    }
    let late: Vec<i64> = reels.iter().flat_map(Reel::late).collect();
    assert!(late.len() > 15 && late.iter().all(|us| us.abs() <= STEP_US), "in step: {late:?}");
    let mut outages = 0;
    for pair in reels.windows(2) {
        let (one, next) = (&pair[0], &pair[1]);
        let skipped = next.numbers[0] - one.numbers.last().unwrap() - 1;
        let hole_us = next.row.start_us - one.row.end_us;
        if skipped > 0 {
            outages += 1;
            assert!(skipped < 75, "{skipped} pictures are missing around the outage");
            // The clocks of the sessions differ: the time of arrival tells how long it was.
            let off = hole_us - skipped * FRAME_US;
            assert!(off.abs() < 250_000, "{skipped} pictures, {hole_us} µs");
            continue;
        }
        assert_eq!(skipped, 0, "{:?} {:?}", one.row, next.row);
        let lasts = i64::try_from(one.numbers.len()).unwrap() * FRAME_US;
        let off = next.row.start_us - one.row.start_us - lasts;
        assert!(off.abs() <= 12, "a file begins where the one before it ended, to the tick: {off} µs");
        assert!(hole_us.abs() <= 12, "{hole_us} µs between {:?} and {:?}", one.row, next.row);
        let step = next.sound_at(next.heard[0]) - one.sound_at(*one.heard.last().unwrap());
        assert!((step - 1_024.0).abs() <= 1.5, "sound goes on: {step} samples from file to file");
        let drift = one.late().next().zip(next.late().next()).map(|(one, next)| (next - one).abs());
        assert!(drift.is_none_or(|us| us <= 1_000), "{drift:?} µs out of step at a rotation");
    }
    assert_eq!(outages, 1, "one hole, where the connection was reset");
    assert!(reels.len() > 21, "{} files", reels.len());
}

/// The newest is still being written.
#[tokio::test(flavor = "multi_thread")]
async fn r_n9_gstreamer_and_ffmpeg_play_files_to_the_end_and_seek_in_them_while_they_are_written_too() {
    let house = House::new(4).await;
    house.files(2).await;
    sleep(Duration::from_secs(3)).await;
    let rows = house.rows();
    let states: Vec<SegmentState> = rows.iter().map(|row| row.state).collect();
    assert_eq!(states, [SegmentState::Sealed, SegmentState::Open]);
    let files: Vec<String> =
        rows.iter().map(|row| house.root().join(&row.path).to_str().unwrap().to_owned()).collect();

    // In the middle of a picture, between key frames, back and forth.
    let moments = [1.5, 0.02, 1.14];
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/gstreamer/play.py");
    let text = moments.map(|moment| moment.to_string()).join(",");
    let out = run("/usr/bin/python3", &[script, &text, &files[0], &files[1]]).await;
    let said = String::from_utf8(out).unwrap();
    assert_eq!(said.lines().count(), 2, "{said}");
    for ((line, row), file) in said.lines().zip(&rows).zip(&files) {
        let seen: serde_json::Value = serde_json::from_str(line).unwrap();
        let list = |name: &str| -> Vec<i64> {
            seen[name].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect()
        };
        let numbers = list("numbers");
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{row:?} {numbers:?}");
        // What was durable when the catalogue was read, or more by now.
        let whole = (row.end_us - row.start_us) / FRAME_US;
        assert!(i64::try_from(numbers.len()).unwrap() >= whole, "{row:?}: {} pictures", numbers.len());
        let duration = seen["duration"].as_f64().unwrap();
        if row.state == SegmentState::Sealed {
            assert!((duration - whole as f64 * 0.04).abs() < 0.05, "{row:?} lasts {duration} s");
        }
        let expected = moments.map(|moment| numbers[0] + (moment * FPS as f64) as i64);
        assert_eq!(list("shown"), expected, "{row:?} of {duration} s");
        for moment in moments {
            let at = moment.to_string();
            #[rustfmt::skip]
            let raw = run("ffmpeg", &[
                "-v", "error", "-nostdin", "-ss", &at, "-i", file, "-map", "0:v", "-frames:v", "1", "-f", "rawvideo",
                "-pix_fmt", "gray", "-",
            ])
            .await;
            // ffmpeg begins with the first picture that begins at that moment or later.
            assert_eq!(
                painted(&raw),
                numbers[0] + (moment * FPS as f64).ceil() as i64,
                "{row:?} at {moment}"
            );
        }
    }
    house.engine.shutdown().await;
}
