use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use tempfile::TempDir;

use super::*;

const HOUR: Micros = 3_600_000_000;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn new(n: u128, camera: &str, start_us: Micros) -> NewSegment {
    NewSegment {
        id: id(n),
        camera: camera.to_owned(),
        disk: String::new(),
        path: format!("{camera}/2026-11-20/{camera}_{n}.mp4"),
        start_us,
        codec: "h264".to_owned(),
        width: 1_920,
        height: 1_080,
    }
}

fn sealed(n: u128, camera: &str, start_us: Micros, end_us: Micros) -> FoundSegment {
    let segment = new(n, camera, start_us);
    FoundSegment { segment, end_us, bytes: 1_000, state: SegmentState::Sealed, protected: false }
}

fn span(camera: Option<&str>, from_us: Micros, to_us: Micros) -> Query<'_> {
    Query { camera, from_us, to_us }
}

fn ids(rows: &[SegmentRow]) -> Vec<u128> {
    rows.iter().map(|row| row.id.as_u128()).collect()
}

fn alert(n: u128, since_us: Micros) -> AlertRow {
    AlertRow {
        id: id(n),
        kind: "camera_lost".to_owned(),
        camera: Some("a".to_owned()),
        since_us,
        until_us: None,
        message: "gone".to_owned(),
        detail: None,
    }
}

fn fresh() -> (TempDir, Catalogue) {
    let dir = TempDir::new().unwrap();
    let (catalogue, opened) = Catalogue::open(&dir.path().join("c.db")).unwrap();
    assert_eq!(opened, Opened::Fresh);
    (dir, catalogue)
}

#[test]
fn a_segment_grows_is_closed_and_goes() {
    let (_dir, catalogue) = fresh();
    catalogue.segment_opened(&new(1, "a", 10 * HOUR)).unwrap();
    let row = catalogue.segment(id(1)).unwrap().unwrap();
    assert_eq!((row.start_us, row.end_us, row.bytes), (10 * HOUR, 10 * HOUR, 0));
    assert_eq!((row.state, row.protected, row.width), (SegmentState::Open, false, 1_920));
    catalogue.segments_grew(&[(id(1), 11 * HOUR, 5_000)]).unwrap();
    assert_eq!(catalogue.open_segments(MAIN).unwrap()[0].bytes, 5_000);
    catalogue.segment_closed(id(1), SegmentState::Sealed, 12 * HOUR, 7_000).unwrap();
    let row = catalogue.segment_at(MAIN, "a/2026-11-20/a_1.mp4").unwrap().unwrap();
    assert_eq!((row.end_us, row.bytes, row.state), (12 * HOUR, 7_000, SegmentState::Sealed));
    assert!(catalogue.open_segments(MAIN).unwrap().is_empty());
    // A clock that went back makes no span that ends before it begins.
    catalogue.segments_grew(&[(id(1), HOUR, 7_000)]).unwrap();
    assert_eq!(catalogue.segment(id(1)).unwrap().unwrap().end_us, 10 * HOUR);
    catalogue.segment_removed(id(1)).unwrap();
    assert_eq!(catalogue.segment(id(1)).unwrap(), None);
    assert!(matches!(catalogue.segments_grew(&[(id(1), 0, 0)]), Err(StoreError::Unknown(_))));
    assert!(matches!(catalogue.segment_removed(id(1)), Err(StoreError::Unknown(_))));
}

#[test]
fn a_span_gives_what_reaches_into_it_and_nothing_else() {
    let (_dir, catalogue) = fresh();
    let rows = [
        sealed(1, "a", 0, 10),
        sealed(2, "a", 10, 20),
        sealed(3, "b", 0, 100),
        sealed(4, "a", 20, 30),
        sealed(5, "a", 500, 510),
    ];
    assert_eq!(catalogue.segments_found(&rows).unwrap(), 5);
    assert_eq!(catalogue.segments_found(&rows).unwrap(), 0, "known paths are left alone");
    let of = |query| ids(&catalogue.segments(query).unwrap());
    assert_eq!(of(span(Some("a"), 10, 20)), [2], "ends and beginnings that touch are not inside");
    assert_eq!(of(span(Some("a"), 9, 21)), [1, 2, 4]);
    assert_eq!(of(span(None, 90, 91)), [3], "a long one that began long before");
    assert_eq!(of(span(None, 0, 1_000)), [1, 3, 2, 4, 5]);
    assert!(of(span(Some("a' OR 1=1 --"), 0, 1_000)).is_empty());
}

#[test]
fn gaps_are_open_until_they_are_closed() {
    let (_dir, catalogue) = fresh();
    let open = catalogue.gap("a", MAIN, 100, None, "stalled").unwrap();
    catalogue.gap("a", MAIN, 10, Some(20), "disk_full").unwrap();
    catalogue.gap("b", MAIN, 10, Some(5), "clock").unwrap();
    let of = |camera, from, to| {
        let gaps = catalogue.gaps(span(camera, from, to)).unwrap();
        gaps.iter().map(|g| (g.start_us, g.end_us)).collect::<Vec<_>>()
    };
    assert_eq!(of(Some("a"), 0, 1_000), [(10, Some(20)), (100, None)]);
    assert_eq!(of(Some("a"), 5_000, 6_000), [(100, None)], "an open gap has no end");
    assert_eq!(of(None, 5, 11), [(10, Some(20))], "a gap without length is none");
    assert_eq!(catalogue.open_gaps().unwrap().len(), 1);
    catalogue.gap_closed(open, 200).unwrap();
    assert_eq!(of(Some("a"), 150, 6_000), [(100, Some(200))]);
    assert!(of(Some("a"), 200, 6_000).is_empty());
    assert_eq!(catalogue.forget_gaps(Some("b"), 150).unwrap(), 1, "of one camera");
    assert_eq!(catalogue.forget_gaps(None, 150).unwrap(), 1);
    assert_eq!(of(None, 0, 1_000), [(100, Some(200))]);
}

#[test]
fn gaps_do_not_grow_without_end() {
    let (_dir, catalogue) = fresh();
    let lasting = catalogue.gap("a", MAIN, 1, None, "camera_lost").unwrap();
    let over = catalogue.gap("a", MAIN, 2, Some(3), "camera_lost").unwrap();
    // As if all the others had been noted since.
    let newest = over + GAPS_MAX - 1;
    let noted = "INSERT INTO gaps (id, camera, start_us, end_us, cause, disk) VALUES (?1, 'b', 4, 5, '', '')";
    catalogue.writing().execute(noted, [newest]).unwrap();
    let listed = || catalogue.gaps(span(None, 0, 100)).unwrap().iter().map(|gap| gap.id).collect::<Vec<_>>();
    assert_eq!(listed(), [lasting, over, newest]);
    catalogue.gap("b", MAIN, 6, Some(7), "camera_lost").unwrap();
    assert_eq!(listed(), [lasting, newest, newest + 1], "one that lasts is closed yet");
}

#[test]
fn a_listing_gives_no_more_rows_than_were_asked_for() {
    let (_dir, catalogue) = fresh();
    let many: Vec<_> = (1..=9).map(|n| sealed(n, "a", n as Micros * 10, n as Micros * 10 + 5)).collect();
    catalogue.segments_found(&many).unwrap();
    for n in 1..=9 {
        catalogue.gap("a", MAIN, n * 10 + 5, Some(n * 10 + 10), "camera_lost").unwrap();
    }
    for camera in [None, Some("a")] {
        let all = span(camera, 0, 1_000);
        assert_eq!(ids(&catalogue.first_segments(all, 3).unwrap()), [1, 2, 3]);
        let gaps = catalogue.first_gaps(all, 3).unwrap();
        assert_eq!(gaps.iter().map(|gap| gap.start_us).collect::<Vec<_>>(), [15, 25, 35]);
        assert_eq!((catalogue.segments(all).unwrap().len(), catalogue.gaps(all).unwrap().len()), (9, 9));
    }
    assert_eq!(catalogue.newest_before("a", 40).unwrap().map(|row| row.id), Some(id(3)));
    assert_eq!(catalogue.newest_before("b", 40).unwrap(), None);
}

#[test]
fn who_has_a_way_of_its_own_does_not_wait_for_a_listing() {
    let (_dir, catalogue) = fresh();
    let own = catalogue.beside().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    // Somebody lists a year.
    let listing = catalogue.reading();
    let reader = std::thread::spawn(move || {
        own.segment_opened(&new(1, "a", 10)).unwrap();
        tell.send(own.open_segments(MAIN).unwrap().len()).unwrap();
    });
    assert_eq!(told.recv_timeout(BUSY), Ok(1));
    drop(listing);
    reader.join().unwrap();
    assert_eq!(catalogue.open_segments(MAIN).unwrap().len(), 1, "it is one catalogue");
}

#[test]
fn r_n7_the_oldest_goes_first_and_never_what_is_open_or_protected() {
    let (_dir, catalogue) = fresh();
    catalogue
        .segments_found(&[sealed(2, "a", 10, 20), sealed(3, "b", 5, 15), sealed(4, "a", 20, 30)])
        .unwrap();
    catalogue.segment_opened(&new(1, "a", 1)).unwrap();
    let oldest =
        |before| catalogue.oldest_unprotected(MAIN, Micros::MIN, before).unwrap().map(|row| row.id.as_u128());
    assert_eq!(oldest(None), Some(3));
    assert!(catalogue.protect(id(3), true).unwrap());
    assert!(!catalogue.protect(id(3), true).unwrap(), "it was");
    assert_eq!(oldest(None), Some(2));
    assert_eq!(oldest(Some(20)), None, "it ended at 20, not before");
    assert_eq!(oldest(Some(21)), Some(2));
    let of_b = || catalogue.oldest_unprotected_of("b", MAIN, Micros::MIN).unwrap();
    assert_eq!(of_b(), None);
    catalogue.protect(id(3), false).unwrap();
    assert_eq!(of_b().map(|row| row.id), Some(id(3)));
    assert!(matches!(catalogue.protect(id(9), true), Err(StoreError::Unknown(_))));
}

#[test]
fn what_a_camera_takes_is_counted_along() {
    let (_dir, catalogue) = fresh();
    catalogue
        .segments_found(&[sealed(1, "a", 10, 20), sealed(2, "a", 30, 40), sealed(3, "b", 0, 9)])
        .unwrap();
    catalogue.segment_opened(&new(4, "a", 50)).unwrap();
    catalogue.segments_grew(&[(id(4), 60, 500)]).unwrap();
    catalogue.protect(id(2), true).unwrap();
    catalogue.segment_removed(id(3)).unwrap();
    let usage = catalogue.usage().unwrap();
    let (camera, disk) = ("a".to_owned(), String::new());
    let a = Usage {
        camera,
        disk,
        bytes: 2_500,
        protected_bytes: 1_000,
        oldest_us: 10,
        newest_us: 50,
        segments: 3,
    };
    assert_eq!(usage, [a]);
}

#[test]
fn alerts_go_by_age_unless_they_last() {
    let (_dir, catalogue) = fresh();
    let over = |n, since| AlertRow { until_us: Some(since + 1), ..alert(n, since) };
    catalogue.put_alert(&over(1, 0)).unwrap();
    catalogue.put_alert(&alert(2, 0)).unwrap();
    catalogue.put_alert(&over(3, 2 * HOUR)).unwrap();
    catalogue.put_alert(&over(4, ALERTS_AGE + HOUR)).unwrap();
    let left: Vec<_> = catalogue.alerts(9).unwrap().iter().map(|row| row.id.as_u128()).collect();
    assert_eq!(left, [4, 3, 2]);
}

#[test]
fn alerts_are_renewed_and_listed_newest_first() {
    let (_dir, catalogue) = fresh();
    for n in 1..=5 {
        catalogue.put_alert(&alert(n, n as Micros * 10)).unwrap();
    }
    catalogue.put_alert(&AlertRow { until_us: Some(99), ..alert(3, 30) }).unwrap();
    let newest = catalogue.alerts(3).unwrap();
    assert_eq!(newest.iter().map(|a| a.id.as_u128()).collect::<Vec<_>>(), [5, 4, 3]);
    assert_eq!(newest[2].until_us, Some(99));
    assert_eq!(catalogue.alerts_between(span(Some("a"), 20, 40)).unwrap().len(), 2);
    assert_eq!(catalogue.alerts_between(span(Some("b"), 20, 40)).unwrap(), []);
    let of_many = AlertRow { camera: None, ..alert(6, 35) };
    catalogue.put_alert(&of_many).unwrap();
    assert_eq!(catalogue.alerts_between(span(Some("b"), 20, 40)).unwrap(), [of_many]);
    assert_eq!(catalogue.alerts(100).unwrap().len(), 6);
}

#[test]
fn all_is_there_after_the_end_of_the_program() {
    let (dir, catalogue) = fresh();
    catalogue.segment_opened(&new(1, "a", 10)).unwrap();
    catalogue.segments_grew(&[(id(1), 20, 7)]).unwrap();
    // What kill -9 leaves: the files as they are, the catalogue not closed.
    let left = TempDir::new().unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), left.path().join(entry.file_name())).unwrap();
    }
    let (after, opened) = Catalogue::open(&left.path().join("c.db")).unwrap();
    assert_eq!(opened, Opened::Existing);
    assert_eq!(after.open_segments(MAIN).unwrap()[0].bytes, 7);
    drop(catalogue);
    let (again, opened) = Catalogue::open(&dir.path().join("c.db")).unwrap();
    assert_eq!(opened, Opened::Existing);
    assert_eq!(again.open_segments(MAIN).unwrap().len(), 1);
}

/// Writes rubbish over a part of a file.
fn scratch(path: &Path, at: u64, length: usize) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&vec![0xa5; length]).unwrap();
}

#[test]
fn a_damaged_catalogue_is_moved_aside_and_what_protects_is_saved() {
    let (dir, catalogue) = fresh();
    let path = dir.path().join("c.db");
    let many: Vec<_> = (1..2_000).map(|n| sealed(n, "a", n as Micros * 10, n as Micros * 10 + 10)).collect();
    catalogue.segments_found(&many).unwrap();
    catalogue.protect(id(1), true).unwrap();
    catalogue.put_alert(&alert(1, 5)).unwrap();
    drop(catalogue);
    let size = fs::metadata(&path).unwrap().len();
    scratch(&path, size * 3 / 4, 8_192);
    let (catalogue, opened) = Catalogue::open(&path).unwrap();
    let Opened::Damaged { aside } = opened else { panic!("{opened:?}") };
    assert_eq!(fs::metadata(&aside).unwrap().len(), size);
    assert!(catalogue.segments(span(None, 0, Micros::MAX)).unwrap().is_empty());
    assert_eq!(catalogue.alerts(9).unwrap(), [alert(1, 5)]);
    catalogue.segments_found(&many).unwrap();
    assert!(catalogue.segment(id(1)).unwrap().unwrap().protected, "protection outlives the damage");
    assert!(!catalogue.segment(id(2)).unwrap().unwrap().protected);
    drop(catalogue);

    // Not a database at all, and one of somebody else.
    fs::write(&path, b"this is not a catalogue, but it is long enough to look like a file".repeat(40))
        .unwrap();
    let (catalogue, opened) = Catalogue::open(&path).unwrap();
    assert!(matches!(opened, Opened::Damaged { .. }), "{opened:?}");
    drop(catalogue);
    fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE mine (x); PRAGMA user_version = 7;").unwrap();
    drop(other);
    let (_, opened) = Catalogue::open(&path).unwrap();
    assert!(matches!(opened, Opened::Damaged { .. }), "{opened:?}");
}

#[test]
fn a_torn_catalogue_is_moved_aside() {
    let (dir, catalogue) = fresh();
    let path = dir.path().join("c.db");
    let many: Vec<_> = (1..500).map(|n| sealed(n, "a", n as Micros, n as Micros + 1)).collect();
    catalogue.segments_found(&many).unwrap();
    drop(catalogue);
    let size = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(size / 2).unwrap();
    let (_, opened) = Catalogue::open(&path).unwrap();
    assert!(matches!(opened, Opened::Damaged { .. }), "{opened:?}");
}

#[test]
fn damage_beside_a_log_that_was_not_cleared_costs_at_most_the_log() {
    let (dir, catalogue) = fresh();
    catalogue.segment_opened(&new(1, "a", 10)).unwrap();
    for (name, at) in [("c.db", 100), ("c.db", 3_000), ("c.db-wal", 0), ("c.db-wal", 5_000), ("c.db-shm", 0)]
    {
        let left = TempDir::new().unwrap();
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), left.path().join(entry.file_name())).unwrap();
        }
        scratch(&left.path().join(name), at, 8_192);
        // What is in the log is not read from the file. A log that is torn ends where it is torn.
        let (after, opened) = Catalogue::open(&left.path().join("c.db")).unwrap();
        assert!(
            after.open_segments(MAIN).unwrap().len() == 1 || name == "c.db-wal",
            "{name} {at} {opened:?}"
        );
        after.segment_opened(&new(2, "a", 10)).unwrap();
    }
}

#[test]
fn an_earlier_form_is_brought_up_to_date_and_a_later_one_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("c.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(schema::STEPS[0]).unwrap();
    old.execute_batch("PRAGMA application_id = 0x4e6a4374; PRAGMA user_version = 1;").unwrap();
    for (n, bytes, protected) in [(1_u8, 100, 0), (2, 50, 1)] {
        old.execute(
            "INSERT INTO segments VALUES (?1, 'a', ?2, 10, 20, ?3, 1, ?4, 'h264', 640, 360)",
            params![[n; 16], format!("a/{n}.mp4"), bytes, protected],
        )
        .unwrap();
    }
    drop(old);
    let (catalogue, opened) = Catalogue::open(&path).unwrap();
    assert_eq!(opened, Opened::Existing);
    let usage = catalogue.usage().unwrap();
    assert_eq!((usage[0].bytes, usage[0].protected_bytes, usage[0].segments), (150, 50, 2));
    catalogue.put_alert(&alert(1, 5)).unwrap();
    let rows = catalogue.segments(span(None, 0, 100)).unwrap();
    let found: Vec<_> = rows.iter().map(|row| (&*row.disk, &*row.path, row.bytes, row.protected)).collect();
    assert_eq!(found, [(MAIN, "a/1.mp4", 100, false), (MAIN, "a/2.mp4", 50, true)], "on the main root");
    catalogue.segment_removed(rows[0].id).unwrap();
    assert_eq!(catalogue.usage().unwrap()[0].bytes, 50, "it is counted on");
    drop(catalogue);
    let later = Connection::open(&path).unwrap();
    later.execute_batch("PRAGMA user_version = 900;").unwrap();
    drop(later);
    let before = fs::read(&path).unwrap();
    assert!(matches!(Catalogue::open(&path), Err(StoreError::Newer(900))));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_place_that_cannot_be_used_is_an_error_and_not_a_damaged_catalogue() {
    let dir = TempDir::new().unwrap();
    let inside_a_file = dir.path().join("file");
    fs::write(&inside_a_file, "x").unwrap();
    for path in [dir.path().join("missing/c.db"), inside_a_file.join("c.db")] {
        assert!(matches!(Catalogue::open(&path), Err(StoreError::Io { .. })), "{}", path.display());
    }
    assert!(matches!(Catalogue::open(dir.path()), Err(StoreError::Io { .. })));
}

#[test]
fn wall_time_and_back() {
    for us in [0, 1_795_186_242_120_456, -5] {
        assert_eq!(micros(wall(us)), us);
    }
}

#[test]
fn r_n7_nothing_is_walked_through_to_find_the_oldest_recording_that_may_go() {
    let (_dir, catalogue) = fresh();
    let plan = |sql: &str| -> String {
        let reading = catalogue.reading();
        let mut statement = reading.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let blank = vec![rusqlite::types::Null; statement.parameter_count()];
        let steps = statement.query_map(rusqlite::params_from_iter(blank), |row| row.get(3)).unwrap();
        steps.collect::<rusqlite::Result<Vec<String>>>().unwrap().join("; ")
    };
    let all = plan(OLDEST);
    assert!(all.contains("segments_that_may_go (disk=? AND start_us>? AND start_us<?)"), "{all}");
    let own = plan(OLDEST_OF);
    assert!(own.contains("segments_of_camera_on_disk (camera=? AND disk=? AND start_us>?)"), "{own}");
}

#[test]
fn each_disk_has_its_own_files_of_one_name_and_its_own_oldest() {
    let (_dir, catalogue) = fresh();
    let on = |n, disk: &str, start_us| {
        let mut found = sealed(n, "a", start_us, start_us + 10);
        found.segment.disk = disk.to_owned();
        found.segment.path = "a/one.mp4".to_owned();
        found
    };
    catalogue.segments_found(&[on(1, "attic", 10), on(2, MAIN, 20), on(3, "gone", 5)]).unwrap();
    assert_eq!(catalogue.segments_found(&[on(4, "attic", 10)]).unwrap(), 0, "its place is taken");
    assert_eq!(ids(&catalogue.segments(span(Some("a"), 0, 100)).unwrap()), [3, 1, 2], "one time line");
    let oldest = |disk| catalogue.oldest_unprotected(disk, Micros::MIN, None).unwrap().map(|row| row.id);
    assert_eq!((oldest(MAIN), oldest("attic"), oldest("cellar")), (Some(id(2)), Some(id(1)), None));
    assert_eq!(catalogue.segment_at("attic", "a/one.mp4").unwrap().map(|row| row.id), Some(id(1)));
    let taken = || {
        let usage = catalogue.usage().unwrap();
        usage.iter().map(|one| format!("{}:{}", one.disk, one.bytes)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(taken(), ":1000 attic:1000 gone:1000");
    catalogue.segment_moved(id(3), "a", "attic", "a/other.mp4").unwrap();
    assert_eq!(taken(), ":1000 attic:2000");
    assert!(catalogue.segment_moved(id(3), "a", "attic", "a/one.mp4").is_err(), "another lies there");
    catalogue.gap("a", "attic", 10, None, "storage_lost").unwrap();
    assert_eq!(catalogue.open_gaps().unwrap()[0].disk, "attic");
}
