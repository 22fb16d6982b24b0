//! Recordings made by ffmpeg, exported, and read back by ffmpeg. Each frame carries its number as a row
//! of black and white squares, so that what is cut can be told to the frame.

use std::process::Command;
use std::sync::atomic::Ordering;

use tempfile::TempDir;

use super::*;
use crate::store::{FoundSegment, MAIN, MARKER, NewSegment};

/// Thirty pictures a second, a key frame every 20, and sound.
const FPS: i64 = 30;
const FRAME: Micros = 33_333;
const START: Micros = 1_795_186_800_000_000;

/// Runs ffmpeg; what it writes to its output.
fn ffmpeg(arguments: &[&str]) -> Vec<u8> {
    let run = Command::new("ffmpeg").args(["-v", "error", "-nostdin", "-y"]).args(arguments).output();
    let run = run.expect("ffmpeg is installed by scripts/setup.mjs");
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success() && said.is_empty(), "ffmpeg {arguments:?}: {said}");
    run.stdout
}

/// A camera's footage as files of so many frames each, numbered through; frames that are not in any file
/// were a gap.
struct Shelf {
    dir: TempDir,
    archive: Archive,
}

const CAMERA: &str = "cam_01";

impl Shelf {
    /// Files hold frames `first..last`.
    fn new(files: &[(i64, i64)], fragmented: bool, b_frames: u32) -> Self {
        let dir = TempDir::new().unwrap();
        let root = dir.path().join("recordings");
        fs::create_dir_all(root.join(CAMERA)).unwrap();
        let (catalogue, _) = Catalogue::open(&dir.path().join("catalogue.db")).unwrap();
        let mut found = Vec::new();
        for (n, (first, last)) in files.iter().enumerate() {
            let path = format!("{CAMERA}/{n}.mp4");
            let number = format!("(N+{})", first);
            // Sixteen squares of 16 × 16 pixels: the bits of the number.
            let picture = format!(
                "nullsrc=s=256x64:r={FPS},format=gray,geq=lum='if(gt(mod(floor({number}/pow(2,floor(X/16))),2),0.5),235,16)':cb=128:cr=128"
            );
            let seconds = format!("{}", (last - first) as f64 / FPS as f64);
            let flags = if fragmented { "frag_keyframe+delay_moov+default_base_moof" } else { "faststart" };
            ffmpeg(&[
                "-f",
                "lavfi",
                "-i",
                &picture,
                "-f",
                "lavfi",
                "-i",
                "sine=440:r=48000",
                "-t",
                &seconds,
                "-c:v",
                "libx264",
                "-g",
                "20",
                "-sc_threshold",
                "0",
                "-bf",
                &b_frames.to_string(),
                "-pix_fmt",
                "yuv420p",
                "-video_track_timescale",
                "90000",
                "-c:a",
                "aac",
                "-movflags",
                flags,
                root.join(&path).to_str().unwrap(),
            ]);
            let us = |frame: i64| START + frame * 1_000_000 / FPS;
            found.push(FoundSegment {
                segment: NewSegment {
                    id: Uuid::from_u128(n as u128 + 1),
                    camera: CAMERA.to_owned(),
                    disk: String::new(),
                    path: path.clone(),
                    start_us: us(*first),
                    codec: "h264".to_owned(),
                    width: 256,
                    height: 64,
                },
                end_us: us(*last),
                bytes: fs::metadata(root.join(&path)).unwrap().len(),
                state: SegmentState::Sealed,
                protected: false,
            });
        }
        catalogue.segments_found(&found).unwrap();
        let env = Env::fixed(|| wall(START), 1);
        Self { dir, archive: Archive::new(Arc::new(catalogue), Disks::one(root), env) }
    }

    /// The numbers of the frames of an export, and the time of each in ticks of 90,000.
    fn export(&self, from: Micros, to: Micros, cut: Cut) -> (Vec<i64>, Vec<i64>) {
        let span = Span { camera: CAMERA.to_owned(), from_us: START + from, to_us: START + to, cut };
        let to = self.dir.path().join("out.mp4");
        let progress = Progress::default();
        self.archive.check_export(&span).unwrap();
        self.archive.export(&span, &to, u64::MAX, &progress).unwrap();
        let size = fs::metadata(&to).unwrap().len();
        assert_eq!(progress.total.load(Ordering::Relaxed), size);
        assert_eq!(progress.done.load(Ordering::Relaxed), size);
        let raw = ffmpeg(&[
            "-i",
            to.to_str().unwrap(),
            "-map",
            "0:v",
            "-fps_mode",
            "passthrough",
            "-enc_time_base",
            "1:90000",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "-",
        ]);
        let numbers = raw
            .chunks(256 * 64)
            .map(|picture| (0..16).map(|bit| i64::from(picture[32 * 256 + bit * 16 + 8] > 126) << bit).sum());
        (numbers.collect(), times(&to, "v:0"))
    }
}

/// Presentation times of the frames that are shown, by ffprobe, in ticks of 90,000.
fn times(file: &Path, stream: &str) -> Vec<i64> {
    let run = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", stream, "-show_entries", "frame=best_effort_timestamp_time"])
        .args(["-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    assert!(run.status.success());
    let text = String::from_utf8(run.stdout).unwrap();
    let seconds = text.lines().filter_map(|line| line.trim_end_matches(',').parse::<f64>().ok());
    seconds.map(|s| (s * 90_000.0).round() as i64).collect()
}

fn at(frame: i64) -> Micros {
    frame * 1_000_000 / FPS
}

/// Every frame once, in order, a thirtieth of a second apart, from zero.
fn assert_frames((numbers, times): (Vec<i64>, Vec<i64>), expected: impl Iterator<Item = i64>) {
    assert_eq!(numbers, expected.collect::<Vec<_>>());
    let even: Vec<i64> = (0..numbers.len() as i64).map(|n| n * 3_000).collect();
    let off = times.iter().zip(&even).map(|(a, b)| (a - b).abs()).max();
    assert!(times.len() == even.len() && off <= Some(1), "{times:?}");
}

#[test]
fn an_export_is_exact_to_the_frame_across_files() {
    let shelf = Shelf::new(&[(0, 60), (60, 130), (130, 200)], false, 0);
    assert_frames(shelf.export(at(7), at(151), Cut::Exact), 7..151);
    assert_frames(shelf.export(at(60), at(130), Cut::Exact), 60..130);
    assert_frames(shelf.export(at(199), at(200), Cut::Exact), 199..200);
    // Times of the contract have milliseconds.
    let ms = |us: Micros| us / 1_000 * 1_000;
    assert_frames(shelf.export(ms(at(31)), ms(at(32)), Cut::Exact), 31..32);
    // Far beyond both ends: all there is.
    assert_frames(shelf.export(-9_000_000, 99_000_000, Cut::Exact), 0..200);
}

#[test]
fn an_export_is_exact_with_b_frames_and_with_fragments() {
    let shelf = Shelf::new(&[(0, 60), (60, 130)], true, 0);
    assert_frames(shelf.export(at(7), at(113), Cut::Exact), 7..113);
    let shelf = Shelf::new(&[(0, 60), (60, 130)], false, 2);
    assert_frames(shelf.export(at(7), at(112), Cut::Exact), 7..112);
    assert_frames(shelf.export(at(27), at(28), Cut::Exact), 27..28);
}

#[test]
fn a_gap_is_left_out_and_the_rest_is_whole() {
    let shelf = Shelf::new(&[(0, 40), (90, 130)], false, 0);
    assert_frames(shelf.export(at(33), at(101), Cut::Exact), (33..40).chain(90..101));
    let span = |from, to| Span {
        camera: CAMERA.into(),
        from_us: START + at(from),
        to_us: START + at(to),
        cut: Cut::Exact,
    };
    assert!(matches!(shelf.archive.check_export(&span(45, 80)), Err(ArchiveError::Nothing)));
    let elsewhere = Span { camera: "cam_02".to_owned(), ..span(0, 130) };
    assert!(matches!(shelf.archive.check_export(&elsewhere), Err(ArchiveError::Nothing)));
}

#[test]
fn r_n8_what_is_in_two_files_is_exported_once() {
    // The storage was away for a moment: the second file begins with the group of pictures that ends the first.
    let shelf = Shelf::new(&[(0, 50), (40, 90)], false, 0);
    let root = shelf.archive.disks().root(MAIN).unwrap().join(CAMERA);
    let whole = Shelf::new(&[(0, 90)], false, 0);
    let all = whole.archive.disks().root(MAIN).unwrap().join(CAMERA).join("0.mp4");
    let all = all.to_str().unwrap();
    let cut = |from: &str, length: &str, name: &str| {
        let to = root.join(name);
        let copy = ["-c", "copy", "-avoid_negative_ts", "make_zero", to.to_str().unwrap()];
        ffmpeg(&[&["-ss", from, "-t", length, "-i", all], &copy[..]].concat());
    };
    cut("0", "1.666", "0.mp4");
    cut("1.3334", "9", "1.mp4");
    assert_frames(shelf.export(at(7), at(85), Cut::Exact), 7..85);
    assert_frames(shelf.export(at(42), at(48), Cut::Exact), 42..48);
}

#[test]
fn a_cut_at_key_frames_begins_with_the_one_before() {
    let shelf = Shelf::new(&[(0, 60), (60, 130)], false, 0);
    assert_frames(shelf.export(at(27), at(90), Cut::Key), 20..90);
    // Without the edit list there is nothing more in it.
    let (numbers, _) = shelf.export(at(40), at(50), Cut::Key);
    assert_eq!(numbers, (40..50).collect::<Vec<_>>());
}

#[test]
fn sound_stays_with_the_pictures() {
    let shelf = Shelf::new(&[(0, 60), (60, 130)], false, 0);
    shelf.export(at(7), at(113), Cut::Exact);
    let sound = times(&shelf.dir.path().join("out.mp4"), "a:0");
    // 106 frames are 3.53 s, which 165 packets of 1,024 samples cover; the first may begin a little before.
    assert!((164..=168).contains(&sound.len()), "{}", sound.len());
    assert!(sound[0].abs() <= 1_920, "{}", sound[0]);
    let last = sound.last().unwrap();
    assert!((last - (106 * 3_000 - 1_920)).abs() <= 3_000, "{last}");
}

#[test]
fn a_moment_is_shown_by_the_key_picture_before_it() {
    let shelf = Shelf::new(&[(0, 60), (60, 130)], true, 0);
    let number = |id: u128, at_us| {
        let picture = shelf.archive.key_picture(Uuid::from_u128(id), at_us).unwrap();
        let decoded = crate::still::decode(&picture.track, &picture.frame).unwrap();
        drop(decoded);
        (picture.frame.wall.duration_since(wall(START)).unwrap().as_micros() as Micros + FRAME / 2) / FRAME
    };
    assert_eq!(number(1, None), 0);
    assert_eq!(number(1, Some(START + at(39))), 20);
    assert_eq!(number(1, Some(START + at(40))), 40);
    assert_eq!(number(2, Some(START + at(129))), 120);
    let outside = shelf.archive.key_picture(Uuid::from_u128(1), Some(START + at(200)));
    assert!(matches!(outside, Err(ArchiveError::Outside)));
}

#[test]
fn a_removed_recording_is_a_gap_and_what_is_protected_stays() {
    let shelf = Shelf::new(&[(0, 20), (20, 40)], false, 0);
    let archive = &shelf.archive;
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mark = archive.disks().root(MAIN).unwrap().join(CAMERA).join("0.protected");
    assert!(archive.protect(first, true).unwrap().protected);
    assert!(mark.exists(), "the catalogue is not the only one that knows");
    assert!(matches!(archive.remove(first), Err(ArchiveError::Protected)));
    assert!(!archive.protect(first, false).unwrap().protected);
    assert!(!mark.exists());
    archive.protect(first, true).unwrap();
    archive.remove(second).unwrap();
    assert!(matches!(archive.remove(second), Err(ArchiveError::Unknown(_))));
    assert!(!archive.disks().root(MAIN).unwrap().join(CAMERA).join("1.mp4").exists());
    assert!(archive.disks().root(MAIN).unwrap().join(CAMERA).join("0.mp4").exists());
    let all = Query { camera: None, from_us: 0, to_us: Micros::MAX };
    let gaps = archive.catalogue().gaps(all).unwrap();
    assert_eq!((gaps.len(), gaps[0].cause.as_str()), (1, "removed"));
}

#[test]
fn a_catalogue_cannot_lead_out_of_the_root() {
    let shelf = Shelf::new(&[(0, 20)], false, 0);
    fs::write(shelf.dir.path().join("secret.mp4"), "secret").unwrap();
    let outside = shelf.dir.path().join("secret.mp4");
    for (n, path) in ["../secret.mp4", outside.to_str().unwrap(), "a/../../secret.mp4", ""].iter().enumerate()
    {
        let id = Uuid::from_u128(100 + n as u128);
        let segment = NewSegment {
            id,
            camera: "x".to_owned(),
            disk: String::new(),
            path: (*path).to_owned(),
            start_us: 0,
            codec: String::new(),
            width: 0,
            height: 0,
        };
        shelf.archive.catalogue().segment_opened(&segment).unwrap();
        shelf.archive.catalogue().segment_closed(id, SegmentState::Sealed, 9, 6).unwrap();
        assert!(matches!(shelf.archive.file(id), Err(ArchiveError::Gone(_))), "{path}");
    }
    let _ = shelf.archive.remove(Uuid::from_u128(101));
    assert!(outside.exists());
}

#[test]
fn an_export_that_would_fill_the_disk_is_not_begun() {
    let shelf = Shelf::new(&[(0, 40)], false, 0);
    let span = Span { camera: CAMERA.into(), from_us: START, to_us: START + at(40), cut: Cut::Exact };
    let to = shelf.dir.path().join("out.mp4");
    let progress = Progress::default();
    let refused = shelf.archive.export(&span, &to, 1_000, &progress);
    let needs = progress.total.load(Ordering::Relaxed);
    assert!(matches!(refused, Err(ArchiveError::Full { needs: n }) if n == needs && n > 1_000));
    assert!(!to.exists());
    shelf.archive.export(&span, &to, needs, &progress).unwrap();
}

#[test]
fn r_n7_a_recording_whose_disk_is_away_is_not_forgotten() {
    let shelf = Shelf::new(&[(0, 40)], false, 0);
    let root = shelf.archive.disks().root(MAIN).unwrap().to_owned();
    fs::write(root.join(MARKER), "").unwrap();
    let (aside, id) = (root.with_extension("away"), Uuid::from_u128(1));
    fs::rename(&root, &aside).unwrap();
    fs::create_dir(&root).unwrap();
    assert!(matches!(shelf.archive.remove(id), Err(ArchiveError::Gone(_))));
    fs::remove_dir(&root).unwrap();
    fs::rename(&aside, &root).unwrap();
    shelf.archive.file(id).unwrap();
    shelf.archive.remove(id).unwrap();
    assert!(matches!(shelf.archive.file(id), Err(ArchiveError::Unknown(_))));
}

#[test]
fn a_cancelled_export_leaves_nothing() {
    let shelf = Shelf::new(&[(0, 40)], false, 0);
    let span = Span { camera: CAMERA.into(), from_us: START, to_us: START + at(40), cut: Cut::Exact };
    let to = shelf.dir.path().join("out.mp4");
    let progress = Progress::default();
    progress.cancelled.store(true, Ordering::Relaxed);
    assert!(matches!(shelf.archive.export(&span, &to, u64::MAX, &progress), Err(ArchiveError::Cancelled)));
    let left: Vec<_> = fs::read_dir(shelf.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("out")), "{left:?}");
}

#[test]
fn damaged_files_are_refused_and_never_a_panic() {
    let shelf = Shelf::new(&[(0, 40)], false, 0);
    let fragments = Shelf::new(&[(0, 40)], true, 0);
    for path in [
        shelf.archive.disks().root(MAIN).unwrap().join(CAMERA).join("0.mp4"),
        fragments.archive.disks().root(MAIN).unwrap().join(CAMERA).join("0.mp4"),
    ] {
        let whole = fs::read(&path).unwrap();
        let mut seed = 7_u32;
        let mut chance = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed as usize % below
        };
        for _ in 0..3_000 {
            let mut bytes = whole.clone();
            // The tables are at the beginning; that is where it hurts.
            let near = bytes.len().min(6_000);
            for _ in 0..1 + chance(4) {
                let at = chance(near);
                bytes[at] = [0, 0xff, 0x7f, 0x80][chance(4)];
            }
            bytes.truncate(bytes.len() - chance(bytes.len() / 2));
            if let Ok(footage) = Footage::read(&mut io::Cursor::new(&bytes), bytes.len() as u64) {
                let mut splice = crate::fmp4::Splice::new();
                let _ = splice.push(&footage, 0, 99_000_000, crate::fmp4::Start::Exact);
                let _ = splice.head(0);
                let whole = |e: &crate::fmp4::Extent| e.at + e.length <= bytes.len() as u64;
                assert!(splice.extents().iter().all(whole));
            }
        }
    }
}
