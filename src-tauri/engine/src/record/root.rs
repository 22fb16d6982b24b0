//! One directory of recordings: whether it is the right one, whether it is still there, what is free.
//!
//! Invariant: nothing is made below a path that is not the root it was before. A disk that was unmounted,
//! even lazily under open files, leaves an empty mount point behind; footage must not land there. A marker
//! file tells the one from the other, and a lock on it keeps two programs apart.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use uuid::Uuid;

use super::ledger::{Known, Ledger, id_text, sync_dir};
use super::{Cause, Code};
use crate::store::{MAIN, MARKER};

/// Space that is given back when the disk is full, so that the files being written can be sealed.
const RESERVE: &str = ".nightjar-reserve";
const RESERVE_BYTES: u64 = 32 << 20;
/// The reserve takes no more than this part of a small volume.
const RESERVE_SHARE: u64 = 32;
/// Written and removed to see whether anything can be written.
const PROBE: &str = ".nightjar-probe";
const GIGABYTE: f64 = 1e9;

/// What the storage cannot do.
#[derive(Debug)]
pub(super) enum Fault {
    /// The path is gone, or another thing is there.
    Gone,
    /// The path is there but not what was recorded to before.
    Other,
    /// Another program records there.
    InUse,
    /// Not a directory.
    NoDirectory,
    Io(io::Error),
    /// No space left.
    Full,
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{NotFound, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Self::Full,
            NotFound => Self::Gone,
            _ => Self::Io(error),
        }
    }
}

impl Fault {
    /// In words, with what to do. `at` is where, `field` what chooses another place.
    fn cause(&self, at: &str, field: &str) -> Cause {
        let (code, detail) = match self {
            Self::Gone => (
                Code::StorageGone,
                format!(
                    "The storage at {at} is not there. Connect and mount the disk; recording resumes by itself."
                ),
            ),
            Self::Other => (
                Code::StorageOther,
                format!(
                    "At {at} is not the storage that was recorded to before. Mount the right disk. To record \
                     to this one from now on, put an empty file named {MARKER} into it."
                ),
            ),
            Self::InUse => (
                Code::StorageInUse,
                format!("Another Nightjar records to {at}. End it, or choose another directory ({field})."),
            ),
            Self::NoDirectory => {
                (Code::StorageInvalid, format!("{at} is not a directory. Choose another one ({field})."))
            }
            Self::Io(error) => (
                Code::StorageFailed,
                format!("{at} cannot be written to: {error}. Check the disk and its rights."),
            ),
            Self::Full => (Code::DiskFull, format!("The disk of {at} is full. Make room on it.")),
        };
        Cause { code, detail }
    }

    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Full)
    }

    /// Whether it may be of one directory or file alone, and not of the disk that all are on.
    pub(super) fn may_be_local(&self) -> bool {
        use io::ErrorKind::{
            AlreadyExists, InvalidFilename, IsADirectory, NotADirectory, PermissionDenied, ReadOnlyFilesystem,
        };
        match self {
            Self::Gone => true,
            Self::Io(error) => matches!(
                error.kind(),
                AlreadyExists
                    | InvalidFilename
                    | IsADirectory
                    | NotADirectory
                    | PermissionDenied
                    | ReadOnlyFilesystem
            ),
            Self::Other | Self::InUse | Self::NoDirectory | Self::Full => false,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct MarkerText {
    #[serde(with = "id_text")]
    nightjar_recordings: Uuid,
}

/// The root's directory as it was when it was opened: what is made below it lands there, even when another
/// thing lies at its path by now.
#[derive(Debug)]
pub(super) struct Base {
    path: PathBuf,
    /// What the path leads through, on Linux.
    _dir: File,
}

impl Base {
    fn open(path: &Path) -> io::Result<Self> {
        let dir = if cfg!(windows) { File::open(path.join(MARKER))? } else { File::open(path)? };
        #[cfg(target_os = "linux")]
        let path = {
            use std::os::fd::AsRawFd as _;
            let through = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
            if through.exists() { through } else { path.to_owned() }
        };
        #[cfg(not(target_os = "linux"))]
        let path = path.to_owned();
        Ok(Self { path, _dir: dir })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The root, open or not.
#[derive(Debug)]
pub(super) struct Root {
    /// Its name; the main root has none.
    disk: String,
    path: PathBuf,
    ledger: Arc<Ledger>,
    /// The marker is locked while the root is open.
    open: Option<(File, Arc<Base>)>,
}

impl Root {
    pub(super) fn new(disk: String, path: PathBuf, ledger: Arc<Ledger>) -> Self {
        Self { disk, path, ledger, open: None }
    }

    /// Its name; the main root's is empty.
    pub(super) fn disk(&self) -> &str {
        &self.disk
    }

    /// A place of it, for people: with the name of the disk where it has one.
    pub(super) fn place(&self, place: &Path) -> String {
        match &*self.disk {
            MAIN => place.display().to_string(),
            name => format!("{} (disk \"{name}\")", place.display()),
        }
    }

    /// A fault of it, or of a directory in it, in words.
    pub(super) fn cause(&self, fault: &Fault, dir: Option<&str>) -> Cause {
        let at = self.place(&dir.map_or_else(|| self.path.clone(), |dir| self.path.join(dir)));
        let field = match &*self.disk {
            MAIN => "recording.root".to_owned(),
            name => format!("the root of recording.disk \"{name}\""),
        };
        fault.cause(&at, &field)
    }

    /// Where it is, for looking and for people.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where to write, while it is open.
    pub(super) fn base(&self) -> Result<Arc<Base>, Fault> {
        self.open.as_ref().map(|(_, base)| Arc::clone(base)).ok_or(Fault::Gone)
    }

    /// Takes the root into use, if it is the right one and can be written to.
    pub(super) fn open(&mut self) -> Result<(), Fault> {
        self.open = None;
        let known = self.ledger.root(&self.path);
        match fs::metadata(&self.path) {
            Ok(there) if !there.is_dir() => return Err(Fault::NoDirectory),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let lost = known.as_ref().is_some_and(|known| known.apart);
                if lost || unmounted(&self.path) {
                    return Err(Fault::Gone);
                }
                fs::create_dir_all(&self.path)?;
                // Removed by a person, on the volume of the data: what was there is gone, and may be again.
                let id = known.as_ref().map_or_else(Uuid::now_v7, |known| known.id);
                self.mark(id)?;
            }
            Err(error) => return Err(error.into()),
        }
        let marker = match OpenOptions::new().read(true).open(self.path.join(MARKER)) {
            Ok(marker) => marker,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if known.is_some() || unmounted(&self.path) {
                    return Err(Fault::Gone);
                }
                self.mark(Uuid::now_v7())?;
                File::open(self.path.join(MARKER))?
            }
            Err(error) => return Err(error.into()),
        };
        match marker.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Fault::InUse),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut text = String::new();
        (&marker).take(4_096).read_to_string(&mut text)?;
        let id = match serde_json::from_str::<MarkerText>(&text) {
            Ok(said) => said.nightjar_recordings,
            Err(_) if text.trim().is_empty() => {
                // A person says that this is the one.
                drop(marker);
                let id = Uuid::now_v7();
                self.mark(id)?;
                self.ledger.put_root(&self.path, Known { id, apart: self.is_apart() })?;
                return self.open();
            }
            Err(_) => return Err(Fault::Other),
        };
        if known.is_some_and(|known| known.id != id) {
            return Err(Fault::Other);
        }
        let base = Base::open(&self.path)?;
        try_to_write(base.path())?;
        if let Err(error) = self.ledger.put_root(&self.path, Known { id, apart: self.is_apart() }) {
            warn!(tag = "STORAGE", %error, "the root of the recordings cannot be noted");
        }
        self.open = Some((marker, Arc::new(base)));
        self.check()?;
        self.reserve();
        info!(tag = "STORAGE", root = %self.path.display(), "the storage is ready");
        Ok(())
    }

    /// Lets go of it, so that it can be unmounted.
    pub(super) fn release(&mut self) {
        self.open = None;
    }

    fn mark(&self, id: Uuid) -> io::Result<()> {
        let text = serde_json::to_string(&MarkerText { nightjar_recordings: id })?;
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).open(self.path.join(MARKER))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        sync_dir(&self.path)
    }

    /// Whether the path still leads to what was opened.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let Some((marker, _)) = &self.open else { return Err(Fault::Gone) };
        let there = fs::metadata(self.path.join(MARKER))?;
        if same(&there, &marker.metadata()?) { Ok(()) } else { Err(Fault::Gone) }
    }

    /// Whether it is still there, and can be written to.
    pub(super) fn probe(&self) -> Result<(), Fault> {
        self.check()?;
        Ok(try_to_write(self.base()?.path())?)
    }

    /// Whether a file can be made in a directory of it, which is made where it is not.
    pub(super) fn probe_in(&self, dir: &str) -> Result<(), Fault> {
        self.check()?;
        let dir = self.base()?.path().join(dir);
        fs::create_dir_all(&dir)?;
        Ok(try_to_write(&dir)?)
    }

    /// Whether another file could be made beside `file`, which is being written. A look that writes nothing:
    /// a file is no directory that can be removed, but a system says first whether it would be allowed to.
    pub(super) fn bars(&self, file: &str) -> Option<Cause> {
        let (_, base) = self.open.as_ref()?;
        let error = fs::remove_dir(base.path().join(file)).err()?;
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem).then(|| {
            let dir = self.path.join(file);
            let detail = format!(
                "No more files can be made at {}: {error}. What is being written goes on for as long as its \
                 file. Check the disk and its rights.",
                self.place(dir.parent().unwrap_or(&self.path))
            );
            Cause { code: Code::StorageFailed, detail }
        })
    }

    /// A look that writes nothing: might [`Root::open`] succeed now?
    pub(super) fn looks_back(&self) -> bool {
        let known = self.ledger.root(&self.path);
        let text = fs::read_to_string(self.path.join(MARKER)).unwrap_or_default();
        match (known, serde_json::from_str::<MarkerText>(&text)) {
            (Some(known), Ok(said)) => known.id == said.nightjar_recordings,
            (Some(_), Err(_)) => false,
            (None, _) => self.path.is_dir(),
        }
    }

    /// Bytes that may be written; what is to be set aside does not count.
    pub(super) fn free(&self) -> io::Result<u64> {
        let base = self.open.as_ref().map_or(self.path.as_path(), |(_, base)| base.path());
        let aside = fs::metadata(base.join(RESERVE)).map_or(0, |there| there.len());
        Ok(free_space(base)?.saturating_sub(self.to_reserve().saturating_sub(aside)))
    }

    /// Bytes that have to be free so that recording is worth while, where `wanted` are to be.
    pub(super) fn needed(&self, wanted: u64) -> u64 {
        wanted.max(self.to_reserve())
    }

    fn to_reserve(&self) -> u64 {
        let base = self.open.as_ref().map_or(self.path.as_path(), |(_, base)| base.path());
        RESERVE_BYTES.min(fs4::total_space(base).unwrap_or(0) / RESERVE_SHARE)
    }

    /// Sets space aside, where it is not yet.
    pub(super) fn reserve(&self) {
        let Some((_, base)) = &self.open else { return };
        let wanted = self.to_reserve();
        let path = base.path().join(RESERVE);
        if fs::metadata(&path).is_ok_and(|there| there.len() == wanted) {
            return;
        }
        let made = File::create(&path).and_then(|mut file| {
            // At once, where the file system can: a slow disk would be busy with zeros for minutes.
            if fs4::FileExt::allocate(&file, wanted).is_ok() {
                return Ok(());
            }
            let zeros = [0; 64 << 10];
            let mut left = wanted;
            while left > 0 {
                let part = usize::try_from(left.min(zeros.len() as u64)).unwrap_or(zeros.len());
                file.write_all(&zeros[..part])?;
                left -= part as u64;
            }
            Ok(())
        });
        if made.is_err() {
            let _ = fs::remove_file(&path);
        }
    }

    /// Gives the reserve back.
    pub(super) fn spend_reserve(&self) {
        if let Some((_, base)) = &self.open {
            let _ = fs::remove_file(base.path().join(RESERVE));
        }
    }

    fn is_apart(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let device = |path: &Path| fs::metadata(path).map(|there| there.dev()).ok();
            device(&self.path) != device(self.ledger.dir())
        }
        #[cfg(not(unix))]
        false
    }
}

/// Makes a file and removes it.
fn try_to_write(dir: &Path) -> io::Result<()> {
    let probe = dir.join(PROBE);
    File::create(&probe)?.write_all(b"1")?;
    fs::remove_file(&probe)
}

/// Whether two looks saw the same file. Where the system has no numbers for files, lengths must do.
pub(super) fn same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        (a.dev(), a.ino()) == (b.dev(), b.ino())
    }
    #[cfg(not(unix))]
    {
        a.len() == b.len()
    }
}

/// Whether the system's table names a mount point at or above the path that nothing is mounted on.
fn unmounted(path: &Path) -> bool {
    let table = fs::read_to_string("/etc/fstab").unwrap_or_default();
    let points = table.lines().filter(|line| !line.trim_start().starts_with('#'));
    let points = points.filter_map(|line| line.split_whitespace().nth(1)).map(Path::new);
    points.filter(|point| *point != Path::new("/") && path.starts_with(point)).any(|point| {
        let parent = point.parent().unwrap_or(Path::new("/"));
        match (fs::metadata(point), fs::metadata(parent)) {
            #[cfg(unix)]
            (Ok(point), Ok(parent)) => {
                use std::os::unix::fs::MetadataExt as _;
                point.dev() == parent.dev()
            }
            #[cfg(not(unix))]
            (Ok(_), Ok(_)) => false,
            _ => true,
        }
    })
}

/// A size as people read it.
pub(super) fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / GIGABYTE)
}

/// Writes at a place of a file.
pub(super) fn write_at(file: &mut File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.write_all(bytes)
}

/// Bytes that may be written to the file system that a directory is on.
///
/// # Errors
/// Where the directory is not there.
pub fn free_space(dir: &Path) -> io::Result<u64> {
    fs4::available_space(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(dir: &Path) -> Root {
        Root::new(MAIN.to_owned(), dir.join("recordings"), Arc::new(Ledger::open(dir.join("recording.json"))))
    }

    #[test]
    fn r_n6_a_root_is_known_by_its_marker() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = root(dir.path());
        first.open().expect("made");
        first.check().expect("there");
        assert!(matches!(root(dir.path()).open(), Err(Fault::InUse)));
        first.release();
        let mut again = root(dir.path());
        again.open().expect("the same");
        // The disk goes; an empty mount point is what is left.
        let aside = dir.path().join("aside");
        fs::rename(again.path(), &aside).unwrap();
        assert!(matches!(again.check(), Err(Fault::Gone)));
        fs::create_dir(again.path()).unwrap();
        assert!(matches!(again.check(), Err(Fault::Gone)));
        assert!(!again.looks_back());
        assert!(matches!(again.open(), Err(Fault::Gone)));
        assert_eq!(fs::read_dir(again.path()).unwrap().count(), 0, "nothing is written into it");
        // Another disk that was recorded to.
        fs::write(again.path().join(MARKER), format!("{{\"nightjar_recordings\":\"{}\"}}", Uuid::nil()))
            .unwrap();
        assert!(matches!(again.open(), Err(Fault::Other)));
        // A person says that it is to be used.
        fs::write(again.path().join(MARKER), "").unwrap();
        again.open().expect("adopted");
        again.check().expect("there");
        // The first comes back: it is the other one now.
        fs::remove_dir_all(again.path()).unwrap();
        fs::rename(&aside, again.path()).unwrap();
        assert!(matches!(again.open(), Err(Fault::Other)));
    }

    #[test]
    fn a_directory_that_a_person_removed_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut it = root(dir.path());
        it.open().expect("made");
        fs::remove_dir_all(it.path()).unwrap();
        assert!(matches!(it.check(), Err(Fault::Gone)));
        it.open().expect("made anew: it is no disk of its own");
        it.check().expect("there");
    }

    #[test]
    fn a_look_at_whether_files_can_be_made_leaves_all_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut it = root(dir.path());
        assert_eq!(it.bars("cam/a.mp4"), None, "not open");
        it.open().expect("made");
        fs::create_dir(it.path().join("cam")).unwrap();
        fs::write(it.path().join("cam/a.mp4"), "pictures").unwrap();
        assert_eq!(it.bars("cam/a.mp4"), None);
        assert_eq!(it.bars("cam/none.mp4"), None, "what is gone bars nothing");
        assert_eq!(fs::read_to_string(it.path().join("cam/a.mp4")).unwrap(), "pictures");
    }
}
