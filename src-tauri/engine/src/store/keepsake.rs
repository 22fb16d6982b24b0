//! What the catalogue must not be the only one to know: that a recording is protected.
//!
//! An empty file beside the recording, of the same name but for `.protected`: footage itself is never
//! written to for it, it goes along where somebody copies the directory, and people see it. The catalogue
//! decides while it is there; these are for the day on which it is made anew.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

const ENDING: &str = "protected";

fn beside(root: &Path, path: &str) -> PathBuf {
    root.join(path).with_extension(ENDING)
}

/// Whether the recording at `path` below `root` is marked.
#[must_use]
pub fn is_on(root: &Path, path: &str) -> bool {
    beside(root, path).is_file()
}

/// Marks it. Nothing is made where the recording itself is not there: an unmounted disk leaves its mount point.
///
/// # Errors
/// Where that cannot be written.
pub fn put_on(root: &Path, path: &str) -> io::Result<()> {
    fs::metadata(root.join(path))?;
    let mark = beside(root, path);
    OpenOptions::new().create(true).append(true).open(&mark)?.sync_all()?;
    sync_dir(&mark)
}

/// Marks it no more.
///
/// # Errors
/// Where a mark cannot be removed; none is not an error.
pub fn take_off(root: &Path, path: &str) -> io::Result<()> {
    let mark = beside(root, path);
    match fs::remove_file(&mark) {
        Ok(()) => sync_dir(&mark),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// A name is on the disk once its directory is; only Unix can say so.
fn sync_dir(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(dir) if cfg!(unix) => File::open(dir)?.sync_all(),
        _ => Ok(()),
    }
}
