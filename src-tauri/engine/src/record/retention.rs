//! Which recordings go when space is wanted (R-N7), or when there are more than there may be.
//!
//! Invariants: only complete recordings of the catalogue go, none that is protected, none whose name is
//! not one of ours; what is older than the days to keep goes first, oldest first; younger ones go only
//! where that is allowed and where it helps. Each disk gives of its own alone; a camera's quota is over all of them,
//! and the disk that has its oldest recording gives.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tracing::{info, warn};

use super::naming;
use crate::store::{Catalogue, Micros, SegmentRow, StoreError, keepsake, micros};

/// What is kept, and what is kept free.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retention {
    /// Recordings older than this go first; 0 = age does not matter.
    pub days: u32,
    /// Bytes that are to be free.
    pub min_free: u64,
    /// Younger recordings may go, too.
    pub overwrite: bool,
    /// Bytes that all recordings of the disk together may take; 0 = no limit. The oldest go where it is more, whatever
    /// their age: it was asked for.
    pub quota: u64,
}

/// Recordings that go in one call at most, so that writing goes on in between.
const AT_ONCE: usize = 64;

/// Recordings that cannot be removed and are passed over in one call at most.
const STUCK_MAX: usize = 1_000;

/// What a call did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cleaned {
    pub(super) removed: usize,
    pub(super) bytes: u64,
    /// Bytes of the catalogue whose files were gone already.
    forgotten: u64,
    /// Some of them were younger than the days to keep.
    pub(super) early: bool,
    /// There is more to remove.
    pub(super) more: bool,
    /// Those that the disk does not let go; they are tried again with the next call.
    stuck: usize,
    /// The newest of them began then: the search goes on behind it.
    behind: Micros,
}

impl Cleaned {
    pub(super) const fn nothing() -> Self {
        Self { removed: 0, bytes: 0, forgotten: 0, early: false, more: false, stuck: 0, behind: Micros::MIN }
    }

    /// Bytes that the catalogue counts no more.
    fn uncounted(&self) -> u64 {
        self.bytes + self.forgotten
    }

    fn is_enough(&self) -> bool {
        self.removed >= AT_ONCE || self.stuck >= STUCK_MAX
    }
}

/// The recordings of one disk.
#[derive(Clone, Copy)]
pub(super) struct Stock<'a> {
    /// Its root.
    pub(super) base: &'a Path,
    pub(super) disk: &'a str,
    pub(super) catalogue: &'a Catalogue,
}

/// Removes recordings until `wanted` more bytes are free.
pub(super) fn make_room(
    stock: Stock<'_>,
    retention: Retention,
    now: SystemTime,
    wanted: u64,
) -> Result<Cleaned, StoreError> {
    let mut cleaned = Cleaned::nothing();
    let done = clean(stock, retention, now, wanted, &mut cleaned);
    if cleaned.stuck > 0 {
        warn!(tag = "DISK", count = cleaned.stuck, "recordings cannot be removed; see the first above");
    }
    done.map(|()| cleaned)
}

fn clean(
    stock: Stock<'_>,
    retention: Retention,
    now: SystemTime,
    wanted: u64,
    cleaned: &mut Cleaned,
) -> Result<(), StoreError> {
    let Stock { disk, catalogue, .. } = stock;
    let age = Duration::from_secs(u64::from(retention.days) * 86_400);
    let expired = now.checked_sub(age).filter(|_| retention.days > 0).map(micros);
    while let Some(expired) = expired.filter(|_| cleaned.bytes < wanted) {
        let Some(row) = catalogue.oldest_unprotected(disk, cleaned.behind, Some(expired))? else { break };
        stock.remove(&row, cleaned)?;
        if cleaned.is_enough() {
            cleaned.more = cleaned.removed > 0;
            return Ok(());
        }
    }
    if !retention.overwrite || cleaned.bytes >= wanted {
        return Ok(());
    }
    // Footage is not given away for a disk that stays full all the same.
    let usage = catalogue.usage()?.into_iter().filter(|usage| usage.disk == disk);
    let open: u64 = catalogue.open_segments(disk)?.iter().map(|row| row.bytes).sum();
    let loose: u64 = usage.map(|camera| camera.bytes.saturating_sub(camera.protected_bytes)).sum();
    if cleaned.bytes + loose.saturating_sub(open) < wanted {
        return Ok(());
    }
    while cleaned.bytes < wanted && !cleaned.is_enough() {
        let Some(row) = catalogue.oldest_unprotected(disk, cleaned.behind, None)? else { break };
        let before = cleaned.removed;
        stock.remove(&row, cleaned)?;
        cleaned.early |= cleaned.removed > before;
    }
    cleaned.more = cleaned.removed >= AT_ONCE;
    Ok(())
}

/// Removes recordings until each camera keeps to its own quota on the disks that are there (`ready`), and all of this
/// disk to theirs.
pub(super) fn keep_quotas(
    stock: Stock<'_>,
    all: u64,
    own: &HashMap<String, u64>,
    ready: &BTreeSet<String>,
) -> Result<Cleaned, StoreError> {
    let Stock { disk, catalogue, .. } = stock;
    let mut cleaned = Cleaned::nothing();
    for (camera, quota) in own {
        cleaned.behind = Micros::MIN;
        while !cleaned.is_enough() {
            let there = |other: &str| other == disk || ready.contains(other);
            let usage = catalogue.usage_of(camera)?;
            let bytes: u64 = usage.iter().filter(|one| there(&one.disk)).map(|one| one.bytes).sum();
            if bytes <= *quota {
                break;
            }
            let Some(row) = catalogue.oldest_unprotected_of(camera, disk, cleaned.behind)? else { break };
            let mut others = usage.iter().filter(|one| one.disk != disk && there(&one.disk));
            let older = others.try_fold(false, |older, other| {
                let oldest = catalogue.oldest_unprotected_of(camera, &other.disk, Micros::MIN)?;
                Ok::<_, StoreError>(older || oldest.is_some_and(|oldest| oldest.start_us < row.start_us))
            })?;
            if older {
                // It is the other disk's turn.
                break;
            }
            stock.remove(&row, &mut cleaned)?;
        }
    }
    let total = || -> Result<u64, StoreError> {
        let usage = catalogue.usage()?.into_iter().filter(|usage| usage.disk == disk);
        Ok(usage.map(|usage| usage.bytes).sum())
    };
    let over = if all == 0 { 0 } else { total()?.saturating_sub(all) };
    let before = cleaned.uncounted();
    cleaned.behind = Micros::MIN;
    while cleaned.uncounted() - before < over && !cleaned.is_enough() {
        let Some(row) = catalogue.oldest_unprotected(disk, cleaned.behind, None)? else { break };
        stock.remove(&row, &mut cleaned)?;
    }
    Ok(cleaned)
}

impl Stock<'_> {
    fn remove(self, row: &SegmentRow, cleaned: &mut Cleaned) -> Result<(), StoreError> {
        let Self { base, catalogue, .. } = self;
        let path = Path::new(&row.path);
        if naming::camera_of(path) != Some(row.camera.as_str()) {
            warn!(tag = "DISK", path = row.path, "not a recording of ours: it is left where it is");
            return catalogue.segment_removed(row.id);
        }
        match fs::remove_file(base.join(path)) {
            Ok(()) => cleaned.bytes += row.bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => cleaned.forgotten += row.bytes,
            Err(error) => {
                if cleaned.stuck == 0 {
                    warn!(tag = "DISK", path = row.path, %error, "a recording cannot be removed");
                }
                cleaned.stuck += 1;
                cleaned.behind = row.start_us;
                return Ok(());
            }
        }
        cleaned.removed += 1;
        // Of an earlier protection, which is over.
        let _ = keepsake::take_off(base, &row.path);
        // Mostly there is none.
        let _ = fs::remove_file(base.join(path).with_extension(super::repair::DAMAGED));
        info!(tag = "DISK", path = row.path, bytes = row.bytes, "removed to make room");
        if let Some(day) = path.parent() {
            // The last one of its day takes the directory along; one that is not empty stays.
            let _ = fs::remove_dir(base.join(day));
        }
        catalogue.segment_removed(row.id)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::{FoundSegment, MAIN, NewSegment, SegmentState};

    const DAY: u64 = 86_400;
    const NOW: u64 = 1_795_186_242;

    fn at(days_ago: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(NOW - days_ago * DAY)
    }

    struct Disk {
        dir: tempfile::TempDir,
        catalogue: Catalogue,
    }

    impl Disk {
        /// Files of 100 bytes, of these ages in days.
        fn with(ages: &[u64]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (catalogue, _) = Catalogue::open(&dir.path().join("catalogue.db")).unwrap();
            let disk = Self { dir, catalogue };
            for age in ages {
                disk.add(*age, SegmentState::Sealed, false);
            }
            disk
        }

        fn add(&self, age: u64, state: SegmentState, protected: bool) {
            self.add_of("cam", age, state, protected);
        }

        fn add_of(&self, camera: &str, age: u64, state: SegmentState, protected: bool) {
            let (day, name) = naming::name(camera, at(age), 1);
            let path = format!("{day}/{name}");
            fs::create_dir_all(self.dir.path().join(day)).unwrap();
            fs::write(self.dir.path().join(&path), [0; 100]).unwrap();
            let segment = NewSegment {
                id: Uuid::now_v7(),
                camera: camera.into(),
                disk: String::new(),
                path,
                start_us: micros(at(age)),
                codec: "h264".into(),
                width: 0,
                height: 0,
            };
            let end_us = segment.start_us + 1;
            let found = FoundSegment { segment, end_us, bytes: 100, state, protected };
            self.catalogue.segments_found(&[found]).unwrap();
        }

        fn clean(&self, overwrite: bool, wanted: u64) -> Cleaned {
            let retention = Retention { days: 7, min_free: 0, overwrite, quota: 0 };
            make_room(self.stock(MAIN), retention, at(0), wanted).unwrap()
        }

        fn stock<'a>(&'a self, disk: &'a str) -> Stock<'a> {
            Stock { base: self.dir.path(), disk, catalogue: &self.catalogue }
        }

        /// Ages in days of what is left.
        fn left(&self) -> Vec<u64> {
            let all = crate::store::Query { camera: None, from_us: 0, to_us: i64::MAX };
            let rows = self.catalogue.segments(all).unwrap();
            for row in &rows {
                assert!(self.dir.path().join(&row.path).exists());
            }
            rows.iter().map(|row| (NOW - u64::try_from(row.start_us).unwrap() / 1_000_000) / DAY).collect()
        }
    }

    #[test]
    fn r_n7_what_is_too_old_goes_first_oldest_first_and_only_as_much_as_is_wanted() {
        let disk = Disk::with(&[10, 9, 8, 3, 2]);
        let cleaned = disk.clean(true, 150);
        assert_eq!((cleaned.removed, cleaned.bytes, cleaned.early), (2, 200, false));
        assert_eq!(disk.left(), [8, 3, 2]);
        assert!(disk.clean(true, 200).early);
        assert_eq!(disk.left(), [2]);
    }

    #[test]
    fn r_n7_younger_ones_stay_where_it_is_forbidden_or_does_not_help() {
        let disk = Disk::with(&[9, 3, 2]);
        assert_eq!(disk.clean(false, 1_000).removed, 1);
        assert_eq!(disk.left(), [3, 2]);
        assert_eq!(disk.clean(true, 201).removed, 0, "200 bytes would not be enough");
        assert_eq!(disk.clean(true, 200).removed, 2);
    }

    #[test]
    fn r_n7_what_the_disk_does_not_let_go_is_passed_over_and_stays_unprotected() {
        let disk = Disk::with(&[10, 9, 8]);
        // A directory in a file's place: nobody can remove it as a file, not even root.
        let (day, name) = naming::name("cam", at(10), 1);
        let stuck = disk.dir.path().join(day).join(name);
        fs::remove_file(&stuck).unwrap();
        fs::create_dir(&stuck).unwrap();
        let cleaned = disk.clean(true, 100);
        assert_eq!((cleaned.removed, cleaned.stuck, cleaned.more), (1, 1, false));
        assert_eq!(disk.left(), [10, 8]);
        fs::remove_dir(&stuck).unwrap();
        fs::write(&stuck, [0; 100]).unwrap();
        assert_eq!(disk.clean(true, 100).removed, 1, "it is tried again");
        assert_eq!(disk.left(), [8]);
    }

    #[test]
    fn r_n7_a_quota_of_a_camera_is_its_own_and_one_of_all_takes_the_oldest() {
        let disk = Disk::with(&[5, 4, 3]);
        for (age, protected) in [(9, true), (8, false), (6, false)] {
            disk.add_of("other", age, SegmentState::Sealed, protected);
        }
        let quotas = |all, own: &[(&str, u64)]| {
            let own = own.iter().map(|(camera, bytes)| ((*camera).to_owned(), *bytes)).collect();
            keep_quotas(disk.stock(MAIN), all, &own, &BTreeSet::new()).unwrap().removed
        };
        assert_eq!(quotas(0, &[]), 0);
        assert_eq!(quotas(600, &[("cam", 300)]), 0, "to the byte");
        assert_eq!(quotas(0, &[("cam", 299)]), 1);
        assert_eq!(disk.left(), [9, 8, 6, 4, 3], "the others' are older, and stay");
        assert_eq!(quotas(350, &[("other", 200)]), 2, "its own first, then the oldest of all");
        assert_eq!(disk.left(), [9, 4, 3]);
        // What somebody removed by hand is no reason to remove more.
        for row in disk
            .catalogue
            .segments(crate::store::Query { camera: None, from_us: 0, to_us: i64::MAX })
            .unwrap()
        {
            if row.start_us == micros(at(4)) {
                fs::remove_file(disk.dir.path().join(&row.path)).unwrap();
            }
        }
        assert_eq!(quotas(200, &[]), 1);
        assert_eq!(disk.left(), [9, 3]);
        disk.add(4, SegmentState::Sealed, false);
        assert_eq!(quotas(50, &[]), 2, "what is protected stays, and counts");
        assert_eq!(disk.left(), [9]);
    }

    #[test]
    fn r_n7_a_full_disk_gives_of_its_own_alone_and_a_cameras_quota_is_over_all_that_are_there() {
        let disk = Disk::with(&[5, 3]);
        let moved = |age: u64| {
            disk.add(age, SegmentState::Sealed, false);
            let all = crate::store::Query { camera: None, from_us: 0, to_us: i64::MAX };
            let row =
                disk.catalogue.segments(all).unwrap().into_iter().find(|row| row.start_us == micros(at(age)));
            let row = row.expect("it was just added");
            disk.catalogue.segment_moved(row.id, "cam", "attic", &row.path).unwrap();
        };
        // Older and younger ones on another disk.
        [10, 9, 4].into_iter().for_each(moved);
        let retention = Retention { days: 7, min_free: 0, overwrite: true, quota: 0 };
        let cleaned = make_room(disk.stock(MAIN), retention, at(0), 200).unwrap();
        assert_eq!((cleaned.removed, cleaned.early), (2, true));
        assert_eq!(disk.left(), [10, 9, 4], "the others are older, and not its own");
        disk.add(5, SegmentState::Sealed, false);
        disk.add(3, SegmentState::Sealed, false);
        let keep = |name: &str, quota: u64, ready: &[&str]| {
            let own = HashMap::from([("cam".to_owned(), quota)]);
            let ready = ready.iter().map(|name| (*name).to_owned()).collect();
            keep_quotas(disk.stock(name), 0, &own, &ready).unwrap().removed
        };
        assert_eq!(keep(MAIN, 400, &["attic"]), 0, "the oldest is the other's to give");
        assert_eq!(keep("attic", 400, &[MAIN]), 1);
        assert_eq!(disk.left(), [9, 5, 4, 3]);
        assert_eq!(keep(MAIN, 200, &[]), 0, "what is away counts when it is back");
        assert_eq!(keep(MAIN, 100, &[]), 1);
        assert_eq!(disk.left(), [9, 4, 3]);
        assert_eq!((keep("attic", 100, &[MAIN]), keep(MAIN, 100, &["attic"])), (2, 0));
        assert_eq!(disk.left(), [3]);
    }

    #[test]
    fn r_n7_what_is_protected_or_being_written_or_not_ours_stays() {
        let disk = Disk::with(&[5]);
        disk.add(20, SegmentState::Sealed, true);
        disk.add(4, SegmentState::Open, false);
        let foreign = disk.dir.path().join("holiday.mp4");
        fs::write(&foreign, [0; 100]).unwrap();
        let segment = NewSegment {
            id: Uuid::now_v7(),
            camera: "cam".into(),
            disk: String::new(),
            path: "holiday.mp4".into(),
            start_us: 1,
            codec: String::new(),
            width: 0,
            height: 0,
        };
        let found =
            FoundSegment { segment, end_us: 2, bytes: 100, state: SegmentState::Sealed, protected: false };
        disk.catalogue.segments_found(&[found]).unwrap();
        disk.clean(true, 100);
        assert_eq!(disk.left(), [20, 4]);
        assert!(foreign.exists(), "whatever the catalogue says");
    }
}
