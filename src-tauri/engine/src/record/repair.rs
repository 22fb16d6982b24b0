//! Makes whole what a crash left: cuts what is torn, writes the tables, notes it in the catalogue.
//!
//! Invariants: a file is changed in place so that each step can be undone, and is undone where the result
//! does not read back as it should; the bytes that are cut lie beside it until then. Files that are not
//! named as ours are, or do not begin as ours do, are left alone.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::cutter::FRAGMENT_BYTES;
use super::estate::Estate;
use super::ledger::sync_dir;
use super::naming;
use super::reel::Note;
use super::root::{Base, write_at};
use crate::fmp4::{Index, MuxError, Survey, SurveyError, survey};
use crate::store::{
    Catalogue, FoundSegment, MAIN, MARKER, Micros, NewSegment, SegmentState, StoreError, keepsake,
};

/// What is cut off a file lies here until the rest is known to be good.
const TORN: &str = "torn";
/// What is cut off a damaged file stays here: there are pictures in it.
pub(super) const DAMAGED: &str = "damaged";
/// More than this is no torn end but damage: the file is left as it is. Some fragments at most were not waited
/// for.
const TORN_MAX: u64 = 4 * FRAGMENT_BYTES as u64;
/// What waited for another disk is looked at again after this long.
const REMIND: Duration = Duration::from_secs(60);
/// No recording ends later: the last moment of the year 9999.
const LATEST: Micros = 253_402_300_799_999_999;

/// Why a file could not be made whole. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    #[error(transparent)]
    Survey(#[from] SurveyError),
    #[error("the file cannot be written: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Mux(#[from] MuxError),
    #[error("{0} bytes at its end are not readable: it was damaged, not cut short")]
    Damaged(u64),
    #[error("what was written does not read back")]
    NotVerified,
    #[error("it is made in a way that was not foreseen")]
    Panicked,
}

/// The recordings below a root, as their names tell, oldest day first for each camera.
pub fn scan(root: &Path) -> impl Iterator<Item = String> + use<> {
    let root = root.to_owned();
    let below = |dir: PathBuf| {
        let mut names: Vec<PathBuf> =
            fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        names.sort();
        names
    };
    let days = below(root.clone()).into_iter().filter(|path| path.is_dir()).flat_map(below);
    days.filter(|path| path.is_dir()).flat_map(below).filter_map(move |path| {
        let path = path.strip_prefix(&root).ok()?;
        naming::camera_of(path)?;
        Some(path.to_str()?.replace('\\', "/"))
    })
}

/// Reads one recording of the main root and makes it whole where it is not. `None` for a file without a single picture: it
/// is removed. Blocks.
///
/// # Errors
/// [`RepairError`]; the file is as it was then.
pub fn mend(root: &Path, path: &str) -> Result<Option<FoundSegment>, RepairError> {
    let place = root.join(path);
    let torn = place.with_extension(TORN);
    let length = fs::metadata(&place)?.len();
    let found = survey(&mut BufReader::new(File::open(&place)?), length);
    let segment = match found {
        Ok(Survey::Sealed { note, duration_us }) => {
            let (note, end_us) = believed(&note, duration_us)?;
            found_segment(root, path, note, end_us, length, SegmentState::Sealed)?
        }
        Ok(Survey::Open { note, index, damaged }) => {
            // Before anything is changed.
            let (note, end_us) = believed(&note, index.duration_us())?;
            let beside = if damaged { &place.with_extension(DAMAGED) } else { &torn };
            let whole = seal(&place, beside, length, &index)?;
            if damaged {
                let cut = length - index.end();
                warn!(tag = "STORAGE", path, cut, kept = %beside.display(), "a recording is damaged within");
            }
            found_segment(root, path, note, end_us, whole, SegmentState::Repaired)?
        }
        Err(SurveyError::Empty) if length > TORN_MAX => return Err(RepairError::Damaged(length)),
        Err(SurveyError::Empty) => {
            fs::remove_file(&place)?;
            let _ = fs::remove_file(&torn);
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    // Left by a repair that was itself cut short.
    let _ = fs::remove_file(&torn);
    Ok(Some(segment))
}

/// What a file says of itself, and when it ends, where that is a time at which anybody can have recorded.
fn believed(note: &[u8], duration_us: u64) -> Result<(Note, Micros), SurveyError> {
    let note: Note = serde_json::from_slice(note).map_err(|_| SurveyError::Foreign)?;
    let end_us = note.start_us.checked_add_unsigned(duration_us);
    let end_us =
        end_us.filter(|end_us| note.start_us >= 0 && *end_us <= LATEST).ok_or(SurveyError::Foreign)?;
    Ok((note, end_us))
}

fn found_segment(
    root: &Path,
    path: &str,
    note: Note,
    end_us: Micros,
    bytes: u64,
    state: SegmentState,
) -> Result<FoundSegment, SurveyError> {
    let Note { id, start_us, codec, width, height, .. } = note;
    // The directory says whose it is: a file may have been moved to another camera by hand.
    let camera = naming::camera_of(Path::new(path)).ok_or(SurveyError::Foreign)?.to_owned();
    let (disk, path_text) = (MAIN.to_owned(), path.to_owned());
    let segment = NewSegment { id, camera, disk, path: path_text, start_us, codec, width, height };
    Ok(FoundSegment { segment, end_us, bytes, state, protected: keepsake::is_on(root, path) })
}

/// Seals a file of fragments; its length then.
fn seal(place: &Path, beside: &Path, length: u64, index: &Index) -> Result<u64, RepairError> {
    let cut = length - index.end();
    let seal = index.seal()?;
    // The tables of a long file may be all there is.
    if cut > TORN_MAX.max(2 * seal.moov.len() as u64) {
        return Err(RepairError::Damaged(cut));
    }
    let mut file = OpenOptions::new().read(true).write(true).open(place)?;
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(seal.end))?;
    file.read_to_end(&mut tail)?;
    let mut head = seal.header;
    file.seek(SeekFrom::Start(seal.at))?;
    file.read_exact(&mut head)?;
    // Where an earlier repair was itself cut short, what it laid aside is more than what is left.
    let kept = fs::metadata(beside).is_ok_and(|there| there.len() >= tail.len() as u64);
    let lay_aside = !(tail.is_empty() || kept && beside.extension().is_some_and(|ending| ending == DAMAGED));
    if lay_aside {
        let mut aside = File::create(beside)?;
        aside.write_all(&tail)?;
        aside.sync_all()?;
        sync_dir(beside.parent().unwrap_or(Path::new(".")))?;
    }
    let whole = seal.end + seal.moov.len() as u64;
    let written = (|| {
        write_at(&mut file, seal.end, &seal.moov)?;
        file.set_len(whole)?;
        file.sync_data()?;
        write_at(&mut file, seal.at, &seal.header)?;
        file.sync_data()
    })();
    let verified = written.map_err(RepairError::from).and_then(|()| {
        match survey(&mut BufReader::new(File::open(place)?), whole)? {
            Survey::Sealed { duration_us, .. } if duration_us.abs_diff(index.duration_us()) <= 1 => Ok(()),
            _ => Err(RepairError::NotVerified),
        }
    });
    if let Err(error) = verified {
        write_at(&mut file, seal.at, &head)?;
        file.set_len(seal.end)?;
        write_at(&mut file, seal.end, &tail)?;
        file.sync_data()?;
        if lay_aside {
            let _ = fs::remove_file(beside);
        }
        return Err(error);
    }
    Ok(whole)
}

/// What is to be gone through.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) base: Arc<Base>,
    /// Also what the catalogue does not know.
    pub(super) all: bool,
}

/// Paths that this process writes: they are not touched.
pub(super) type Taken = Arc<Mutex<HashSet<String>>>;

/// What is known of the files of one disk.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) disk: String,
    pub(super) estate: Arc<Estate>,
    pub(super) taken: Taken,
}

/// The thread that repairs, so that recording need not wait for it.
#[derive(Debug)]
pub(super) struct Mender {
    jobs: SyncSender<Job>,
    /// Everything was gone through once in this run.
    through: Arc<AtomicBool>,
    asked: Cell<Instant>,
}

impl Mender {
    /// Starts it. It ends after the file at hand when `stop` is set, and when its owner is gone.
    pub(super) fn start(shelf: Shelf, stop: Arc<AtomicBool>) -> io::Result<Self> {
        // Two jobs that wait are as good as one.
        let (jobs, inbox) = sync_channel(1);
        let through = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&through);
        std::thread::Builder::new()
            .name("nightjar-mend".to_owned())
            .spawn(move || run(&inbox, &shelf, &stop, &done))?;
        Ok(Self { jobs, through, asked: Cell::new(Instant::now()) })
    }

    /// Makes whole what was left there. Everything is looked through until that was done once without the storage
    /// having gone meanwhile.
    pub(super) fn want(&self, base: Arc<Base>) {
        self.asked.set(Instant::now());
        let job = Job { base, all: !self.through.load(Ordering::Relaxed) };
        if let Err(TrySendError::Disconnected(_)) = self.jobs.try_send(job) {
            warn!(tag = "STORAGE", "files cannot be repaired any more in this run");
        }
    }

    /// Asks again now and then, for as long as not everything was gone through.
    pub(super) fn remind(&self, base: Arc<Base>) {
        if self.asked.get().elapsed() >= REMIND && !self.through.load(Ordering::Relaxed) {
            self.want(base);
        }
    }
}

fn run(inbox: &Receiver<Job>, shelf: &Shelf, stop: &AtomicBool, through: &AtomicBool) {
    while let Ok(job) = inbox.recv() {
        match go_through(&job, shelf, stop) {
            Ok(Looked { count, waiting }) => {
                // A disk that goes looks like an empty one.
                if job.all
                    && !waiting
                    && !stop.load(Ordering::Relaxed)
                    && job.base.path().join(MARKER).exists()
                {
                    through.store(true, Ordering::Relaxed);
                }
                if count > 0 {
                    info!(tag = "STORAGE", count, "recordings were looked through and made whole");
                }
            }
            Err(error) => warn!(tag = "STORAGE", %error, "recordings cannot be looked through"),
        }
    }
}

/// What lies on a disk may be made in ways that nobody thought of: one file does not end the others' repair.
fn contained<T>(work: impl FnOnce() -> Result<T, RepairError>) -> Result<T, RepairError> {
    // Nothing the closure touches is looked at again when it panicked.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(RepairError::Panicked))
}

impl Shelf {
    /// Notes a file that the catalogue does not know there. One that it knows elsewhere is a copy; where it is not
    /// there any more it was moved, or its disk was given another name. False where that cannot be said as long as
    /// the disk is away on which it was known.
    fn take_in(&self, root: &Path, mut found: FoundSegment) -> Result<bool, StoreError> {
        found.segment.disk.clone_from(&self.disk);
        if self.catalogue.segments_found(std::slice::from_ref(&found))? > 0 {
            return Ok(true);
        }
        let FoundSegment { segment: NewSegment { id, camera, disk, path, .. }, state, end_us, bytes, .. } =
            found;
        let Some(row) = self.catalogue.segment(id)? else { return Ok(true) };
        let disks = &self.estate.disks;
        if let Some(place) = disks.place(&row.disk, &row.path) {
            if !disks.is_there(&row.disk) {
                return Ok(false);
            }
            if place.exists() {
                return Ok(true);
            }
        }
        info!(
            tag = "STORAGE",
            path,
            disk,
            before = row.path,
            disk_before = row.disk,
            "a recording was moved"
        );
        self.catalogue.segment_moved(id, &camera, &disk, &path)?;
        if row.protected
            && let Err(error) = keepsake::put_on(root, &path)
        {
            warn!(tag = "STORAGE", path, %error, "that it is protected is known to the catalogue alone");
        }
        if row.state == SegmentState::Open {
            self.catalogue.segment_closed(id, state, end_us, bytes)?;
        }
        Ok(true)
    }
}

/// What became of a look through a root.
struct Looked {
    /// Files that were looked into.
    count: usize,
    /// Some have to wait for another disk.
    waiting: bool,
}

fn go_through(job: &Job, shelf: &Shelf, stop: &AtomicBool) -> Result<Looked, StoreError> {
    let Shelf { catalogue, disk, taken, .. } = shelf;
    let root = job.base.path();
    let (mut count, mut waiting) = (0, false);
    let is_taken = |path: &str| taken.lock().unwrap_or_else(PoisonError::into_inner).contains(path);
    let left: Vec<String> = catalogue.open_segments(disk)?.into_iter().map(|row| row.path).collect();
    let unknown = scan(root).filter(|_| job.all);
    for path in left.into_iter().map(|path| (path, true)).chain(unknown.map(|path| (path, false))) {
        let (path, known) = path;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if is_taken(&path) {
            continue;
        }
        // Asked after the look at what is taken: what was let go of since is complete.
        let row = catalogue.segment_at(disk, &path)?;
        if row.as_ref().is_some_and(|row| !known || row.state != SegmentState::Open) {
            continue;
        }
        count += 1;
        if count % 100 == 0 {
            info!(tag = "STORAGE", count, "looking through recordings");
        }
        match (contained(|| mend(root, &path)), row) {
            (Ok(Some(found)), Some(row)) => {
                debug!(tag = "STORAGE", path, state = ?found.state, "made whole");
                let lasts = found.end_us.saturating_sub(found.segment.start_us);
                let end = row.start_us.saturating_add(lasts).min(LATEST);
                catalogue.segment_closed(row.id, found.state, end, found.bytes)?;
            }
            (Ok(Some(found)), None) => waiting |= !shelf.take_in(root, found)?,
            (Ok(None), row) => {
                info!(tag = "STORAGE", path, "a file without a picture is removed");
                if let Some(row) = row {
                    catalogue.segment_removed(row.id)?;
                }
            }
            (Err(RepairError::Io(error)), Some(row)) if error.kind() == io::ErrorKind::NotFound => {
                // Only where the root is there is a file known to be missing.
                if root.join(MARKER).exists() {
                    catalogue.segment_removed(row.id)?;
                }
            }
            (Err(error), _) => warn!(tag = "STORAGE", path, %error, "a recording is left as it is"),
        }
    }
    Ok(Looked { count, waiting })
}

#[cfg(test)]
mod tests;
