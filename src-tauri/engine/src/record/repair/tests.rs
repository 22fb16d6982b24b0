use std::time::{Duration, SystemTime};

use super::super::reel::Reel;
use super::*;
use crate::fmp4::Sample;
use crate::fmp4::clips::{Clip, decoded};
use crate::store::{Disks, Query, micros};

const NOW: u64 = 1_795_186_242;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + seconds)
}

/// Writes four seconds in fragments of one, and leaves the file as a crash would.
fn crashed(root: &Path, seconds: u64) -> Reel {
    let clip = Clip::h264();
    let mut reel =
        Reel::create(root, MAIN, "cam", at(seconds), &clip.tracks, &Taken::default()).expect("made");
    let pace = clip.tracks[0].timescale / 25;
    let mut decode = 0;
    for (n, second) in clip.frames.chunks(25).enumerate() {
        let samples: Vec<Sample> = (second.iter())
            .map(|frame| {
                let data = frame.data.clone();
                let sample = Sample { track: 0, decode, duration: pace, offset: 0, key: frame.key, data };
                decode += u64::from(pace);
                sample
            })
            .collect();
        reel.append(&samples, Duration::from_secs(n as u64 + 1)).expect("written");
    }
    reel
}

fn pictures(path: &Path) -> usize {
    decoded(&fs::read(path).unwrap(), "v").len()
}

fn names(root: &Path) -> Vec<String> {
    let dir = fs::read_dir(root.join("cam")).unwrap().next().unwrap().unwrap().path();
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn r_n9_what_a_crash_left_is_made_whole() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let mut reel = crashed(root, 0);
    let path = reel.segment.path.clone();
    let place = root.join(&path);
    let open = fs::read(&place).unwrap();

    // A torn end: whole fragments stay, and the file plays as a plain one.
    fs::write(&place, &open[..open.len() - 100]).unwrap();
    let found = mend(root, &path).expect("repaired").expect("there are pictures");
    assert_eq!((found.state, found.segment.id), (SegmentState::Repaired, reel.segment.id));
    assert_eq!(found.end_us - found.segment.start_us, 3_000_000);
    assert_eq!(pictures(&place), 75);
    assert_eq!(names(root).len(), 1, "nothing is left beside it: {:?}", names(root));

    // It is whole now: nothing is changed any more.
    let whole = fs::read(&place).unwrap();
    assert_eq!(mend(root, &path).unwrap().unwrap().state, SegmentState::Sealed);
    assert_eq!(fs::read(&place).unwrap(), whole);

    // The state between the tables and the header.
    fs::write(&place, &open).unwrap();
    reel.seal(&[]).expect("sealed");
    let sealed = fs::read(&place).unwrap();
    let mut between = sealed.clone();
    between[..open.len().min(200)].copy_from_slice(&open[..open.len().min(200)]);
    fs::write(&place, &between).unwrap();
    assert_eq!(mend(root, &path).unwrap().unwrap().state, SegmentState::Repaired);
    assert_eq!(fs::read(&place).unwrap(), sealed);
}

#[test]
fn r_n9_a_repair_never_makes_it_worse() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let reel = crashed(root, 0);
    let place = root.join(&reel.segment.path);
    // Whole until the third fragment, nonsense from there on.
    let whole = fs::read(&place).unwrap();
    let mut damaged = whole.clone();
    let third = damaged.windows(4).enumerate().filter(|(_, four)| four == b"moof").nth(2).unwrap().0;
    damaged[third - 4..].fill(0xff);
    fs::write(&place, &damaged).unwrap();
    mend(root, &reel.segment.path).expect("what is whole is kept");
    assert_eq!(pictures(&place), 50);

    // Nothing but the third is damaged: what lies behind it is not thrown away.
    fs::write(&place, &whole).unwrap();
    let mut damaged = whole.clone();
    damaged[third..third + 4].fill(0xff);
    fs::write(&place, &damaged).unwrap();
    mend(root, &reel.segment.path).expect("what is whole is kept");
    assert_eq!(pictures(&place), 50);
    let kept = place.with_extension(DAMAGED);
    assert_eq!(fs::read(&kept).unwrap(), damaged[third - 4..]);
    assert_eq!(mend(root, &reel.segment.path).unwrap().unwrap().state, SegmentState::Sealed);
    assert!(kept.exists());
    // A repair that was itself cut short wrote over some of it: what it laid aside is more.
    let mut half = damaged.clone();
    half[third - 4..third + 200].fill(0x11);
    fs::write(&place, &half).unwrap();
    mend(root, &reel.segment.path).expect("what is whole is kept");
    assert_eq!(fs::read(&kept).unwrap(), damaged[third - 4..]);

    // The first is damaged, or the head: it is no file without a picture.
    let first = whole.windows(4).position(|four| four == b"moof").unwrap();
    let head = whole.windows(4).position(|four| four == b"moov").unwrap();
    for (at, with) in [(first, 0xff), (head - 4, 0xff)] {
        let mut damaged = whole.clone();
        damaged[at..at + 4].fill(with);
        fs::write(&place, &damaged).unwrap();
        assert!(matches!(mend(root, &reel.segment.path), Err(RepairError::Survey(SurveyError::Damaged))));
        assert_eq!(fs::read(&place).unwrap(), damaged);
    }
    // Too much for a torn end, whatever it is.
    for whole_until in [third - 4, first - 4] {
        let mut file = whole[..whole_until].to_vec();
        file.extend_from_slice(b"\0\0\0\x01");
        fs::write(&place, &file).unwrap();
        let length = whole_until as u64 + TORN_MAX + 1;
        OpenOptions::new().write(true).open(&place).unwrap().set_len(length).unwrap();
        assert!(matches!(mend(root, &reel.segment.path), Err(RepairError::Damaged(_))));
        assert_eq!(fs::metadata(&place).unwrap().len(), length);
    }

    // Not ours, or not readable as ours: untouched.
    for bytes in [&b"\0\0\0\x18ftypmp42 somebody else's film"[..], b"text"] {
        fs::write(&place, bytes).unwrap();
        assert!(mend(root, &reel.segment.path).is_err());
        assert_eq!(fs::read(&place).unwrap(), bytes);
    }
    // A file that was made and never written to.
    fs::write(&place, b"").unwrap();
    assert_eq!(mend(root, &reel.segment.path).unwrap(), None);
    assert!(!place.exists());
}

#[test]
fn only_names_of_files_that_are_being_written_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (root, tracks) = (dir.path(), Clip::h264().tracks);
    // Of a run before.
    let left = crashed(root, 0).segment.path;
    let taken = Taken::default();
    let make = || Reel::create(root, MAIN, "cam", at(0), &tracks, &taken).expect("made").segment.path;
    let own = [make(), make()];
    assert!(!own.contains(&left));
    assert_eq!(*taken.lock().unwrap(), HashSet::from(own), "what is being written stays taken");
}

#[test]
fn times_beyond_all_bounds_end_nothing_and_neither_does_a_defect() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let reel = crashed(root, 0);
    let place = root.join(&reel.segment.path);
    // Decode times that a torn page may hold.
    let mut torn = fs::read(&place).unwrap();
    let times: Vec<usize> =
        torn.windows(4).enumerate().filter(|(_, four)| four == b"tfdt").map(|(at, _)| at).collect();
    for at in times {
        assert_eq!(torn[at + 4], 1, "a time of 64 bits");
        torn[at + 8..at + 16].copy_from_slice(&(u64::MAX / 2 - 300_000).to_be_bytes());
    }
    fs::write(&place, &torn).unwrap();
    let _ = mend(root, &reel.segment.path);
    let broken = contained::<()>(|| panic!("a defect"));
    assert!(matches!(broken, Err(RepairError::Panicked)));
}

#[test]
fn a_time_at_which_nobody_recorded_makes_a_file_somebody_else_s() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let reel = crashed(root, 0);
    let place = root.join(&reel.segment.path);
    let mut bytes = fs::read(&place).unwrap();
    let told = reel.segment.start_us.to_string().into_bytes();
    let at = bytes.windows(told.len()).position(|part| part == told).expect("it says so itself");
    bytes[at] = b'-';
    fs::write(&place, &bytes).unwrap();
    assert!(matches!(mend(root, &reel.segment.path), Err(RepairError::Survey(SurveyError::Foreign))));
    assert_eq!(fs::read(&place).unwrap(), bytes, "nothing is changed");

    let note = |start_us| {
        let NewSegment { id, camera, codec, width, height, .. } = reel.segment.clone();
        serde_json::to_vec(&Note { id, camera, start_us, codec, width, height }).unwrap()
    };
    assert_eq!(believed(&note(LATEST - 7), 7).expect("just so").1, LATEST);
    for (start_us, duration_us) in [(LATEST - 6, 7), (i64::MAX, 0), (0, u64::MAX), (-1, 5)] {
        assert!(believed(&note(start_us), duration_us).is_err(), "{start_us} {duration_us}");
    }
}

#[test]
fn a_look_through_everything_that_was_interrupted_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (root, aside) = (dir.path().join("recordings"), dir.path().join("aside"));
    fs::create_dir(&root).unwrap();
    let (catalogue, _) = Catalogue::open(&dir.path().join("catalogue.db")).unwrap();
    let unknown = crashed(&root, 60).segment;
    let ledger = Arc::new(super::super::ledger::Ledger::open(dir.path().join("recording.json")));
    let mut place = super::super::root::Root::new(MAIN.to_owned(), root.clone(), ledger);
    place.open().expect("ready");
    let base = place.base().expect("open");
    let estate = Estate::new(Disks::one(root.clone()));
    let shelf =
        Shelf { catalogue: Arc::new(catalogue), disk: MAIN.to_owned(), estate, taken: Taken::default() };
    let (stop, through) = (AtomicBool::new(false), AtomicBool::new(false));
    let look = || {
        let (jobs, inbox) = sync_channel(1);
        jobs.send(Job { base: Arc::clone(&base), all: true }).unwrap();
        drop(jobs);
        run(&inbox, &shelf, &stop, &through);
        through.load(Ordering::Relaxed)
    };
    // The disk goes: what is left of it looks empty.
    fs::create_dir(&aside).unwrap();
    for name in ["cam", MARKER] {
        fs::rename(root.join(name), aside.join(name)).unwrap();
    }
    assert!(!look(), "it is not done");
    for name in ["cam", MARKER] {
        fs::rename(aside.join(name), root.join(name)).unwrap();
    }
    // The program ends.
    stop.store(true, Ordering::Relaxed);
    assert!(!look());
    stop.store(false, Ordering::Relaxed);
    assert!(look(), "all of it was seen");
    assert!(shelf.catalogue.segment(unknown.id).unwrap().is_some());
}

#[test]
fn the_catalogue_is_filled_from_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("recordings");
    fs::create_dir(&root).unwrap();
    let (catalogue, _) = Catalogue::open(&dir.path().join("catalogue.db")).unwrap();
    // One that is known and was being written, one that nobody knows, one that is being written now.
    let known = crashed(&root, 0);
    catalogue.segment_opened(&known.segment).unwrap();
    let unknown = crashed(&root, 60);
    let busy = crashed(&root, 120);
    catalogue.segment_opened(&busy.segment).unwrap();
    let gone = crashed(&root, 180);
    catalogue.segment_opened(&gone.segment).unwrap();
    fs::remove_file(root.join(&gone.segment.path)).unwrap();
    fs::write(root.join("cam/notes.txt"), "mine").unwrap();
    // Protected in a catalogue that nobody has any more.
    let kept = crashed(&root, 240);
    keepsake::put_on(&root, &kept.segment.path).unwrap();
    let ledger = Arc::new(super::super::ledger::Ledger::open(dir.path().join("recording.json")));
    let mut place = super::super::root::Root::new(MAIN.to_owned(), root.clone(), ledger);
    place.open().expect("ready");

    let taken = Taken::default();
    taken.lock().unwrap().insert(busy.segment.path.clone());
    let job = Job { base: place.base().expect("open"), all: true };
    let before = fs::read(root.join(&busy.segment.path)).unwrap();
    let estate = Estate::new(Disks::one(root.clone()));
    let shelf = Shelf { catalogue: Arc::new(catalogue), disk: MAIN.to_owned(), estate, taken };
    go_through(&job, &shelf, &AtomicBool::new(false)).expect("looked through");
    let catalogue = &shelf.catalogue;
    let all = Query { camera: None, from_us: 0, to_us: i64::MAX };
    let rows = catalogue.segments(all).unwrap();
    let open: Vec<_> = catalogue.open_segments(MAIN).unwrap().into_iter().map(|row| row.path).collect();
    assert_eq!(open, std::slice::from_ref(&busy.segment.path));
    assert_eq!(fs::read(root.join(&busy.segment.path)).unwrap(), before, "it is not touched");
    let of = |id| rows.iter().find(|row| row.id == id);
    assert_eq!(of(known.segment.id).unwrap().state, SegmentState::Repaired);
    let found = of(unknown.segment.id).expect("found");
    assert_eq!((found.start_us, found.end_us - found.start_us), (micros(at(60)), 4_000_000));
    assert_eq!((found.codec.as_str(), found.width), ("h264", 320));
    assert!(of(gone.segment.id).is_none());
    assert!(of(kept.segment.id).expect("found").protected && !found.protected);
    assert!(root.join("cam/notes.txt").exists());
}

#[test]
fn a_file_that_was_moved_to_another_disk_is_found_there_and_a_copy_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let [main, attic] = ["recordings", "attic"].map(|name| dir.path().join(name));
    let (catalogue, _) = Catalogue::open(&dir.path().join("catalogue.db")).unwrap();
    let ledger = Arc::new(super::super::ledger::Ledger::open(dir.path().join("recording.json")));
    let open = |disk: &str, path: &Path| {
        let mut root = super::super::root::Root::new(disk.to_owned(), path.to_owned(), Arc::clone(&ledger));
        root.open().expect("ready");
        root
    };
    let (main_root, attic_root) = (open(MAIN, &main), open("attic", &attic));
    let disks = Disks::new(main.clone(), [("attic".to_owned(), attic.clone())]);
    let (catalogue, estate) = (Arc::new(catalogue), Estate::new(disks));
    let look = |disk: &str, root: &super::super::root::Root| {
        let (catalogue, estate, taken) = (Arc::clone(&catalogue), Arc::clone(&estate), Taken::default());
        let shelf = Shelf { catalogue, disk: disk.to_owned(), estate, taken };
        let job = Job { base: root.base().expect("open"), all: true };
        go_through(&job, &shelf, &AtomicBool::new(false)).expect("looked through");
    };
    let made = [0, 60, 120].map(|seconds| crashed(&main, seconds).segment);
    look(MAIN, &main_root);
    // One is moved, one is copied, and the third belonged to a disk that has another name now.
    catalogue.segment_moved(made[2].id, "cam", "loft", &made[2].path).unwrap();
    let there = attic.join(Path::new(&made[0].path).parent().expect("a day"));
    fs::create_dir_all(there).unwrap();
    fs::rename(main.join(&made[0].path), attic.join(&made[0].path)).unwrap();
    fs::copy(main.join(&made[1].path), attic.join(&made[1].path)).unwrap();
    look("attic", &attic_root);
    look(MAIN, &main_root);
    let disk = |n: usize| catalogue.segment(made[n].id).unwrap().expect("known").disk;
    assert_eq!([0, 1, 2].map(disk), ["attic", MAIN, MAIN]);
}
