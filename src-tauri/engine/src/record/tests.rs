//! The recorder with a real directory: cameras are scripts, frames are real.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::fmp4::clips::{Clip, decoded};
use crate::hub::{Limits as HubLimits, Publisher, Subscriber};
use crate::media::rescale;
use crate::store::{Disks, MAIN, Query, SegmentRow, SegmentState};

mod clock;

const PATIENCE: Duration = Duration::from_secs(20);

/// A recorder on a directory of its own.
struct Bench {
    dir: tempfile::TempDir,
    recorder: Recorder,
    catalogue: Arc<Catalogue>,
    tasks: TaskTracker,
}

impl Bench {
    fn new(seconds: u32, min_free: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::on(dir, seconds, min_free)
    }

    fn on(dir: tempfile::TempDir, seconds: u32, min_free: u64) -> Self {
        Self::at(dir, seconds, min_free, &Env::system())
    }

    fn at(dir: tempfile::TempDir, seconds: u32, min_free: u64, env: &Env) -> Self {
        let (catalogue, _) = Catalogue::open(&dir.path().join("catalogue.db")).unwrap();
        let (catalogue, tasks) = (Arc::new(catalogue), TaskTracker::new());
        let options = Options {
            disk: String::new(),
            estate: Estate::new(Disks::one(dir.path().join("recordings"))),
            limits: Limits { seconds, bytes: 0 },
            retention: Retention { days: 7, min_free, overwrite: true, quota: 0 },
            catalogue: Arc::clone(&catalogue),
            ledger: Arc::new(Ledger::open(dir.path().join("recording.json"))),
        };
        let recorder = Recorder::start(options, env).expect("started");
        Self { dir, recorder, catalogue, tasks }
    }

    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("recordings")
    }

    fn rows(&self) -> Vec<SegmentRow> {
        self.catalogue.segments(Query { camera: None, from_us: 0, to_us: i64::MAX }).unwrap()
    }

    fn camera(&self, id: &str) -> (Slot, Recording) {
        let slot = Slot::new(HubLimits::default());
        let recording = self.recorder.camera(id, &slot, &self.tasks, || {});
        (slot, recording)
    }

    async fn close(self) -> tempfile::TempDir {
        self.tasks.close();
        let shutdown = self.recorder.shutdown();
        tokio::join!(shutdown, self.tasks.wait());
        self.dir
    }
}

mod disks;

/// Loops a clip into the hub, on its own time line.
struct Cam {
    clip: Clip,
    publisher: Publisher,
    start: Instant,
    next: usize,
    length: f64,
    /// Wall time of its start, as this computer's clock has it.
    began: SystemTime,
    /// Somebody who watches, and what it got.
    viewer: Subscriber,
    seen: usize,
    gaps: usize,
}

impl Cam {
    fn on(slot: &Slot, clip: &Clip) -> Self {
        let publisher = slot.publish(clip.tracks.clone().into()).expect("free");
        Self {
            clip: clip.clone(),
            publisher,
            start: Instant::now(),
            next: 0,
            length: 4.0,
            began: SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_186_242),
            viewer: slot.subscribe(),
            seen: 0,
            gaps: 0,
        }
    }

    /// Gives this many seconds of it, faster than they last; waits for the recorder to have read them.
    async fn give(&mut self, seconds: f64) {
        let until = self.at(self.next) + seconds;
        while self.at(self.next) < until - 0.001 {
            let (round, frame) = (self.next / self.clip.frames.len(), self.next % self.clip.frames.len());
            let at = self.start + Duration::from_secs_f64(self.at(self.next));
            let mut frame = self.clip.frames[frame].frame(at);
            let scale = self.clip.tracks[usize::from(frame.track)].timescale;
            frame.pts += rescale(round as i64 * 4, 1, scale);
            frame.wall = self.began + Duration::from_secs_f64(self.at(self.next));
            self.publisher.push(frame);
            self.next += 1;
            while let Some(item) = self.viewer.try_next() {
                match item {
                    Ok(_) => self.seen += 1,
                    Err(_) => self.gaps += 1,
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn at(&self, n: usize) -> f64 {
        let frames = &self.clip.frames;
        (n / frames.len()) as f64 * self.length + frames[n % frames.len()].at
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

fn state(recording: &Recording) -> State {
    recording.status().state
}

fn whole(path: &Path) -> Vec<String> {
    decoded(&fs::read(path).unwrap(), "v").into_iter().map(|(_, hash)| hash).collect()
}

#[tokio::test]
async fn r_n8_every_picture_is_in_one_file_across_twenty_rotations() {
    let bench = Bench::new(4, 0);
    let (slot, recording) = bench.camera("cam");
    let clip = Clip::h264_aac();
    let mut cam = Cam::on(&slot, &clip);
    recording.switch(true, false);
    until("ready", || recording.status().cause.is_some_and(|c| c.code == Code::WaitingForCamera)).await;
    cam.give(84.0).await;
    recording.switch(false, false);
    until("all files", || {
        bench.rows().len() == 21 && bench.catalogue.open_segments(MAIN).unwrap().is_empty()
    })
    .await;
    let rows = bench.rows();
    let source = {
        let mut hashes = decoded(&clip.file, "v");
        hashes.sort_by_key(|(at, _)| *at);
        hashes.into_iter().map(|(_, hash)| hash).collect::<Vec<_>>()
    };
    for row in &rows {
        assert_eq!(row.state, SegmentState::Sealed);
        assert_eq!(row.end_us - row.start_us, 4_000_000, "{row:?}");
        assert_eq!(whole(&bench.root().join(&row.path)), source, "{}", row.path);
    }
    assert!(rows.windows(2).all(|pair| pair[1].start_us == pair[0].end_us), "no hole between files");
    let names: Vec<&str> = rows.iter().map(|row| &row.path[..4]).collect();
    assert!(names.iter().all(|name| *name == "cam/"));
    assert_eq!(bench.recorder.figures().dropped, 0);
    bench.close().await;
}

#[tokio::test]
async fn r_n9_cameras_wait_for_the_disk_together() {
    let bench = Bench::new(900, 0);
    let clip = Clip::h264();
    let cameras: Vec<_> = (0..8).map(|n| bench.camera(&format!("cam_{n}"))).collect();
    until("ready", || bench.recorder.figures().free_bytes > 0).await;
    let mut running = Vec::new();
    for (slot, recording) in &cameras {
        recording.switch(true, false);
        running.push(Cam::on(slot, &clip));
    }
    for _ in 0..40 {
        for cam in &mut running {
            cam.give(0.5).await;
        }
    }
    // What is said to be on the disk was waited for.
    let told =
        |bench: &Bench| bench.rows().iter().filter(|row| row.end_us - row.start_us > 18_000_000).count();
    until("on the disk", || told(&bench) == 8).await;
    let figures = bench.recorder.figures();
    assert!(figures.fragments >= 8 * 20, "{figures:?}");
    assert!(figures.syncs * 5 < figures.fragments, "{figures:?}");
    cameras.iter().for_each(|(_, recording)| recording.switch(false, false));
    until("sealed", || bench.catalogue.open_segments(MAIN).unwrap().is_empty()).await;
    for row in bench.rows() {
        assert_eq!(whole(&bench.root().join(&row.path)).len(), 520, "{row:?}");
    }
    bench.close().await;
}

/// The sound of a file as anybody hears it, from the file's first moment on.
fn sound(path: &Path) -> Vec<i16> {
    let run = std::process::Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-v", "error", "-i"])
        .arg(path)
        .args(["-vn", "-af", "aresample=async=1:first_pts=0", "-ac", "1", "-ar", "48000", "-f", "s16le", "-"])
        .output()
        .expect("ffmpeg is installed by scripts/setup");
    assert!(run.status.success() && run.stderr.is_empty(), "{}", String::from_utf8_lossy(&run.stderr));
    run.stdout.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

#[tokio::test]
async fn r_n9_telephone_sound_is_recorded_as_opus_in_step_with_the_pictures() {
    use crate::audio::tests::{code, heard, tone, track};
    use crate::media::Codec;

    for codec in [Codec::Pcma, Codec::Pcmu] {
        let bench = Bench::new(4, 0);
        let (slot, recording) = bench.camera("cam");
        let mut clip = Clip::h264();
        clip.tracks.push(track(codec, 1));
        // From the second second of each round on it sounds; each packet goes out when it is complete.
        clip.frames.extend((0..200usize).map(|n| crate::fmp4::clips::ClipFrame {
            track: 1,
            pts: n as i64 * 160,
            key: true,
            data: (n * 160..(n + 1) * 160).map(|n| code(codec, tone(8_000, n))).collect(),
            at: n as f64 / 50.0,
        }));
        clip.frames.sort_by(|a, b| a.at.total_cmp(&b.at).then(a.track.cmp(&b.track)));
        let mut cam = Cam::on(&slot, &clip);
        recording.switch(true, false);
        until("ready", || bench.recorder.figures().free_bytes > 0).await;
        cam.give(12.0).await;
        recording.switch(false, false);
        until("all files", || {
            bench.rows().len() >= 3 && bench.catalogue.open_segments(MAIN).unwrap().is_empty()
        })
        .await;
        for row in bench.rows() {
            let path = bench.root().join(&row.path);
            let (pitch, onset) = heard(&sound(&path), 48_000.0);
            assert!((pitch - 1_000.0).abs() < 3.0, "{codec}: {pitch} Hz in {}", row.path);
            assert!((onset - 1.0).abs() < 0.01, "{codec}: from {onset} s in {}", row.path);
            assert_eq!(whole(&path).len(), 100, "{}", row.path);
        }
        bench.close().await;
    }
}

#[tokio::test]
async fn r_n1_switching_recording_leaves_other_readers_alone() {
    let bench = Bench::new(900, 0);
    let (slot, recording) = bench.camera("cam");
    let clip = Clip::h264();
    let mut cam = Cam::on(&slot, &clip);
    assert_eq!(state(&recording), State::Off);
    until("ready", || bench.recorder.figures().free_bytes > 0).await;
    for on in [true, false, true, true, false] {
        recording.switch(on, false);
        if on {
            until("ready", || recording.status().cause.is_none_or(|c| c.code == Code::WaitingForCamera))
                .await;
        }
        assert_eq!(state(&recording), if on { State::Recording } else { State::Off });
        cam.give(2.0).await;
    }
    assert_eq!((cam.seen, cam.gaps), (250, 0), "every frame, and no gap");
    until("two files", || bench.rows().len() == 2 && bench.catalogue.open_segments(MAIN).unwrap().is_empty())
        .await;
    let lengths: Vec<i64> = bench.rows().iter().map(|row| row.end_us - row.start_us).collect();
    assert_eq!(lengths.len(), 2, "{:?}", bench.rows());
    assert!(lengths[0] >= 1_900_000 && lengths[1] >= 3_900_000, "{lengths:?}");
    bench.close().await;
}

#[tokio::test]
async fn r_n14_a_recording_on_demand_begins_before_it_was_asked_for_and_every_frame_is_there_once() {
    let bench = Bench::new(900, 0);
    let (slot, recording) = bench.camera("cam");
    recording.set_pre_roll(Duration::from_secs(10));
    until("ready", || bench.recorder.figures().free_bytes > 0).await;
    let clip = Clip::h264_aac();
    let mut cam = Cam::on(&slot, &clip);
    // As if it had run for as long as its frames say.
    cam.start = Instant::now() - Duration::from_millis(25_500);
    cam.give(25.48).await;
    assert!(bench.rows().is_empty(), "it is off");
    let given = |cam: &Cam| (0..cam.next).filter(|n| clip.frames[n % clip.frames.len()].track == 0).count();
    let asked = cam.start.elapsed().as_secs_f64();
    recording.switch(true, false);
    cam.give(4.0).await;
    recording.switch(false, false);
    let first_until = given(&cam);
    until("sealed", || !bench.rows().is_empty() && bench.catalogue.open_segments(MAIN).unwrap().is_empty())
        .await;
    // Another one soon after: it does not hold again what the first holds.
    cam.give(3.0).await;
    recording.switch(true, false);
    cam.give(1.0).await;
    recording.switch(false, false);
    let second_until = given(&cam);
    until("sealed", || bench.rows().len() == 2 && bench.catalogue.open_segments(MAIN).unwrap().is_empty())
        .await;
    let source = {
        let mut hashes = decoded(&clip.file, "v");
        hashes.sort_by_key(|(at, _)| *at);
        hashes.into_iter().map(|(_, hash)| hash).collect::<Vec<_>>()
    };
    let rows = bench.rows();
    let mut begins = Vec::new();
    for (row, until) in rows.iter().zip([first_until, second_until]) {
        let pictures = whole(&bench.root().join(&row.path));
        let from = until - pictures.len();
        let expected: Vec<_> = (from..until).map(|n| source[n % 100].clone()).collect();
        assert!(pictures == expected, "each once, in order: {from}..{until}");
        begins.push(from);
    }
    // Ten seconds, and from the key frame before; they come every second.
    let wanted = asked - 10.0;
    let from = begins[0] as f64 / 25.0;
    assert!(begins[0] % 25 == 0 && from > wanted - 1.0 && from < wanted + 0.5, "{from} s, {wanted} s");
    assert_eq!(begins[1], first_until.next_multiple_of(25), "the first key frame after the other");
    assert_eq!(bench.recorder.figures().dropped, 0);
    assert_eq!((cam.gaps, cam.seen > 800), (0, true), "who watches sees every frame");
    let gaps = bench.catalogue.gaps(Query { camera: Some("cam"), from_us: 0, to_us: i64::MAX }).unwrap();
    assert!(gaps.is_empty(), "{gaps:?}");
    slot.close();
    bench.close().await;
}

#[tokio::test]
async fn off_and_on_again_within_a_group_of_pictures_records_no_frame_twice() {
    for pre_roll in [0, 10] {
        let bench = Bench::new(900, 0);
        let (slot, recording) = bench.camera("cam");
        recording.set_pre_roll(Duration::from_secs(pre_roll));
        until("ready", || bench.recorder.figures().free_bytes > 0).await;
        let mut cam = Cam::on(&slot, &Clip::h264());
        recording.switch(true, false);
        // Key frames come every second.
        for (seconds, on) in [(2.4, false), (0.2, true), (0.2, false), (0.0, true), (2.6, false)] {
            cam.give(seconds).await;
            // Its task reads what is there.
            sleep(Duration::from_millis(50)).await;
            recording.switch(on, false);
        }
        until("sealed", || {
            bench.rows().len() >= 2 && bench.catalogue.open_segments(MAIN).unwrap().is_empty()
        })
        .await;
        let rows = bench.rows();
        assert!(rows.windows(2).all(|pair| pair[0].end_us <= pair[1].start_us), "{rows:?}");
        assert_eq!((rows.len(), rows[1].start_us - rows[0].start_us), (2, 3_000_000), "the next key frame");
        slot.close();
        bench.close().await;
    }
}

#[tokio::test]
async fn r_n4_a_camera_that_is_back_is_recorded_in_another_file_and_the_gap_is_known() {
    let bench = Bench::new(900, 0);
    let (slot, recording) = bench.camera("cam");
    recording.switch(true, false);
    let clip = Clip::h264();
    until("ready", || recording.status().cause.is_some_and(|c| c.code == Code::WaitingForCamera)).await;
    let mut cam = Cam::on(&slot, &clip);
    cam.give(4.0).await;
    until("recording", || recording.status().cause.is_none()).await;
    drop(cam);
    until("waiting", || recording.status().cause.is_some()).await;
    assert_eq!(state(&recording), State::Recording, "it is on, and stays so");
    let mut cam = Cam::on(&slot, &clip);
    cam.start += Duration::from_secs(10);
    cam.next = 200;
    cam.give(3.0).await;
    recording.switch(false, false);
    until("two files", || bench.rows().len() == 2 && bench.catalogue.open_segments(MAIN).unwrap().is_empty())
        .await;
    let rows = bench.rows();
    let gaps = bench.catalogue.gaps(Query { camera: Some("cam"), from_us: 0, to_us: i64::MAX }).unwrap();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!((gaps[0].cause.as_str(), gaps[0].start_us), ("camera_lost", rows[0].end_us));
    assert_eq!(gaps[0].end_us, Some(rows[1].start_us));
    bench.close().await;
}

#[tokio::test]
async fn r_n12_an_end_of_the_program_finishes_the_files() {
    let bench = Bench::new(900, 0);
    let (slot, recording) = bench.camera("cam");
    recording.switch(true, false);
    let clip = Clip::h264();
    until("ready", || recording.status().cause.is_some_and(|c| c.code == Code::WaitingForCamera)).await;
    let mut cam = Cam::on(&slot, &clip);
    cam.give(3.52).await;
    slot.close();
    let (catalogue, root) = (Arc::clone(&bench.catalogue), bench.root());
    let _dir = bench.close().await;
    let rows = catalogue.segments(Query { camera: None, from_us: 0, to_us: i64::MAX }).unwrap();
    assert_eq!((rows.len(), rows[0].state), (1, SegmentState::Sealed));
    assert_eq!(whole(&root.join(&rows[0].path)).len(), 88, "to the last frame");
}

#[tokio::test]
async fn r_n14_what_a_schedule_missed_while_the_program_did_not_run_is_a_gap() {
    let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    // Frames are of this moment; the program comes back three minutes later.
    const FILMED: u64 = 1_795_186_242;
    let (full, next, now) = (FILMED + 18, FILMED + 78, FILMED + 180);
    let first = Bench::new(900, 0);
    until("ready", || first.recorder.figures().free_bytes > 0).await;
    for id in ["on", "off", "never"] {
        let (slot, recording) = first.camera(id);
        recording.switch(true, false);
        let mut cam = Cam::on(&slot, &Clip::h264());
        cam.give(4.0).await;
        recording.switch(false, false);
        let open = || first.catalogue.open_segments(MAIN).unwrap().len();
        until("sealed", || first.rows().iter().any(|row| row.camera == id) && open() == 0).await;
        slot.close();
    }
    let bench = Bench::at(first.close().await, 900, 0, &Env::fixed(move || at(now), 1));
    assert_eq!(bench.rows().len(), 3);
    let gaps = |id| {
        let query = Query { camera: Some(id), from_us: 0, to_us: i64::MAX };
        let rows = bench.catalogue.gaps(query).unwrap();
        let seconds = |us: i64| us / 1_000_000;
        rows.into_iter()
            .map(|gap| (seconds(gap.start_us) as u64, gap.end_us.map(seconds).unwrap() as u64, gap.cause))
            .collect::<Vec<_>>()
    };
    let missed = |from: u64, until: u64| (from, until, "not_running".to_owned());
    // One minute of it is over; in the other it is to be recorded now.
    let (slot, on) = bench.camera("on");
    on.set_plan(Plan::new(move |moment| moment < at(full) || moment >= at(next)));
    on.switch(true, true);
    let (_slot, off) = bench.camera("off");
    off.set_plan(Plan::new(move |moment| moment < at(full)));
    off.switch(false, true);
    let (_slot, never) = bench.camera("never");
    never.switch(false, true);
    until("the other's is noted", || !gaps("off").is_empty()).await;
    assert_eq!(gaps("off"), [missed(FILMED + 4, full)]);
    assert!(gaps("on").is_empty(), "it is not recorded again yet");
    until("ready", || bench.recorder.figures().free_bytes > 0).await;
    let mut cam = Cam::on(&slot, &Clip::h264());
    (cam.start, cam.next) = (Instant::now() - Duration::from_secs(180), 4_500);
    cam.give(2.0).await;
    until("noted", || gaps("on").len() == 2).await;
    assert_eq!(gaps("on"), [missed(FILMED + 4, full), missed(next, now)]);
    assert!(gaps("never").is_empty(), "a person switched it off");
    slot.close();
    bench.close().await;
}

#[tokio::test]
async fn r_n6_a_storage_that_goes_and_comes_stops_recording_alone() {
    let bench = Bench::new(900, 0);
    let (slot, recording) = bench.camera("cam");
    recording.switch(true, false);
    let clip = Clip::h264();
    until("ready", || recording.status().cause.is_some_and(|c| c.code == Code::WaitingForCamera)).await;
    let mut cam = Cam::on(&slot, &clip);
    cam.give(3.0).await;
    until("on the disk", || bench.rows().first().is_some_and(|row| row.end_us - row.start_us > 1_500_000))
        .await;
    let aside = bench.dir.path().join("aside");
    fs::rename(bench.root(), &aside).unwrap();
    fs::create_dir(bench.root()).unwrap();
    let gone = Instant::now();
    until("noticed", || state(&recording) == State::StorageLost).await;
    assert!(gone.elapsed() < Duration::from_secs(3), "{:?}", gone.elapsed());
    let cause = recording.status().cause.expect("it says why");
    assert_eq!((cause.code, cause.verdict().class.name()), (Code::StorageGone, "STORAGE"));
    cam.give(4.0).await;
    assert_eq!(fs::read_dir(bench.root()).unwrap().count(), 0, "nothing under the empty mount point");
    fs::remove_dir(bench.root()).unwrap();
    fs::rename(&aside, bench.root()).unwrap();
    let back = Instant::now();
    until("back", || state(&recording) == State::Recording).await;
    assert!(back.elapsed() < Duration::from_secs(7), "{:?}", back.elapsed());
    cam.give(3.0).await;
    assert_eq!((cam.seen, cam.gaps), (250, 0), "live view never notices");
    recording.switch(false, false);
    until("both files whole", || {
        bench.rows().len() == 2 && bench.catalogue.open_segments(MAIN).unwrap().is_empty()
    })
    .await;
    for row in bench.rows() {
        assert!(whole(&bench.root().join(&row.path)).len() >= 49, "{row:?}");
    }
    assert!(bench.recorder.figures().dropped > 0);
    let gaps = bench.catalogue.gaps(Query { camera: Some("cam"), from_us: 0, to_us: i64::MAX }).unwrap();
    assert_eq!((gaps.len(), gaps[0].cause.as_str()), (1, "storage_lost"), "{gaps:?}");
    bench.close().await;
}

#[tokio::test]
async fn r_n6_a_fault_of_one_cameras_directory_stops_that_camera_alone() {
    let filmed = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_186_242);
    let bench = Bench::at(tempfile::tempdir().unwrap(), 4, 0, &Env::fixed(move || filmed, 1));
    let clip = Clip::h264();
    let (slot, well) = bench.camera("well");
    let (other_slot, ill) = bench.camera("ill");
    until("ready", || bench.recorder.figures().free_bytes > 0).await;
    // Nobody can make a directory there, not even root.
    let barred = bench.root().join("ill");
    fs::write(&barred, "").unwrap();
    well.switch(true, false);
    ill.switch(true, false);
    let (mut cam, mut other) = (Cam::on(&slot, &clip), Cam::on(&other_slot, &clip));
    cam.give(4.0).await;
    other.give(4.0).await;
    until("noticed", || state(&ill) == State::StorageLost).await;
    let cause = ill.status().cause.expect("it says why");
    assert_eq!(cause.code, Code::StorageFailed);
    assert!(cause.detail.contains(&*barred.to_string_lossy()), "{}", cause.detail);
    cam.give(4.0).await;
    other.give(4.0).await;
    assert_eq!((state(&well), state(&ill)), (State::Recording, State::StorageLost));
    fs::remove_file(&barred).unwrap();
    let back = Instant::now();
    until("back", || state(&ill) == State::Recording).await;
    assert!(back.elapsed() < Duration::from_secs(7), "{:?}", back.elapsed());
    cam.give(4.0).await;
    other.give(4.0).await;
    well.switch(false, false);
    ill.switch(false, false);
    until("sealed", || bench.rows().len() >= 4 && bench.catalogue.open_segments(MAIN).unwrap().is_empty())
        .await;
    let of = |id: &str| bench.rows().into_iter().filter(|row| row.camera == id).collect::<Vec<_>>();
    let pictures = |rows: &[SegmentRow]| {
        rows.iter().map(|row| whole(&bench.root().join(&row.path)).len()).sum::<usize>()
    };
    assert_eq!(pictures(&of("well")), 300, "every one");
    assert!(pictures(&of("ill")) >= 100);
    let gaps = |id| bench.catalogue.gaps(Query { camera: Some(id), from_us: 0, to_us: i64::MAX }).unwrap();
    assert!(gaps("well").is_empty(), "{:?}", gaps("well"));
    assert_eq!(gaps("ill").first().map(|gap| gap.cause.clone()), Some("storage_lost".to_owned()));
    bench.close().await;
}

#[tokio::test]
async fn r_n7_a_disk_without_space_says_so() {
    let bench = Bench::new(900, u64::MAX / 2);
    let (slot, recording) = bench.camera("cam");
    recording.switch(true, false);
    let clip = Clip::h264();
    let mut cam = Cam::on(&slot, &clip);
    until("full", || state(&recording) == State::DiskFull).await;
    cam.give(2.0).await;
    let cause = recording.status().cause.expect("it says why");
    assert_eq!((cause.code, cause.verdict().class.name()), (Code::DiskFull, "DISK_FULL"));
    assert!(cause.detail.contains("min_free_gb"), "{}", cause.detail);
    assert!(bench.rows().is_empty());
    recording.switch(false, false);
    assert_eq!(state(&recording), State::Off);
    bench.close().await;
}

#[tokio::test]
async fn a_camera_that_cannot_be_recorded_says_so() {
    let bench = Bench::new(900, 0);
    let (slot, recording) = bench.camera("cam");
    recording.switch(true, false);
    let mut clip = Clip::h264();
    clip.tracks[0].codec = crate::media::Codec::Mjpeg;
    clip.tracks[0].parameters = crate::media::Parameters::Video { width: 320, height: 180 };
    let _cam = Cam::on(&slot, &clip);
    until("failed", || state(&recording) == State::Failed).await;
    assert_eq!(recording.status().cause.map(|cause| cause.code), Some(Code::NotRecordable));
    bench.close().await;
}
