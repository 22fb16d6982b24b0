//! What a person keeps of the wall: pictures, reports and exports, in the system's folder for downloads.
//!
//! The web view's own downloads differ from system to system, and some are dropped without a word; so the shell
//! writes the files. Nothing that exists is ever overwritten, and a name leads nowhere but into that folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tauri::{AppHandle, Manager};

use crate::commands::ShellError;

/// Files of one name before it is given up.
const SAME_NAME: u32 = 1_000;
/// Bytes of a name; file systems take 255, of which a number needs some.
const NAME_MAX: usize = 200;

/// Writes a file of this name, or of one like it that is free; where it is now. Blocks.
pub(crate) fn bytes(app: &AppHandle, name: &str, bytes: &[u8]) -> Result<PathBuf, ShellError> {
    keep(app, name, |file| file.write_all(bytes))
}

/// The same with what a file holds. Blocks for as long as the disks need.
pub(crate) fn copy(app: &AppHandle, name: &str, mut from: File) -> Result<PathBuf, ShellError> {
    keep(app, name, |file| io::copy(&mut from, file).map(drop))
}

fn keep(
    app: &AppHandle,
    name: &str,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<PathBuf, ShellError> {
    let paths = app.path();
    // Not every desktop says where: then where browsers put them.
    let folder = paths.download_dir().or_else(|_| paths.home_dir().map(|home| home.join("Downloads")));
    let folder = folder.map_err(|error| ShellError::new("save", error))?;
    store(&folder, name, write)
        .map_err(|error| ShellError::new("save", format!("{}: {error}", folder.display())))
}

fn store(folder: &Path, name: &str, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let (path, mut file) = create(folder, &plain(name))?;
    if let Err(error) = write(&mut file).and_then(|()| file.sync_all()) {
        // Half a file would be taken for the whole.
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    Ok(path)
}

/// A file that was not there before.
fn create(folder: &Path, name: &str) -> io::Result<(PathBuf, File)> {
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() => (stem, format!(".{ending}")),
        _ => (name, String::new()),
    };
    for n in 1..=SAME_NAME {
        let number = if n == 1 { String::new() } else { format!(" ({n})") };
        let path = folder.join(format!("{stem}{number}{ending}"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (path, file)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A name that every file system takes.
fn plain(name: &str) -> String {
    let strange = |c: char| c.is_control() || "/\\:*?\"<>|".contains(c);
    let plain: String = name.chars().map(|c| if strange(c) { '_' } else { c }).collect();
    // From the end, so that the ending stays.
    let from = (0..=plain.len()).find(|at| plain.len() - at <= NAME_MAX && plain.is_char_boundary(*at));
    match plain[from.unwrap_or(0)..].trim_matches(|c: char| c == '.' || c.is_whitespace()) {
        "" => "nightjar".to_owned(),
        short => short.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(bytes: &'static [u8]) -> impl FnOnce(&mut File) -> io::Result<()> {
        move |file| file.write_all(bytes)
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_leaves_the_folder() {
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().join("Downloads");
        let first = store(&folder, "gate.jpg", write(b"1")).expect("saved");
        let second = store(&folder, "gate.jpg", write(b"2")).expect("saved");
        assert_eq!((first, second), (folder.join("gate.jpg"), folder.join("gate (2).jpg")));
        assert_eq!(fs::read(folder.join("gate.jpg")).expect("there"), b"1");
        for (name, kept) in [
            ("../../x.mp4", "_.._x.mp4"),
            ("", "nightjar"),
            ("..", "nightjar (2)"),
            ("a:b\n.zip", "a_b_.zip"),
        ] {
            assert_eq!(store(&folder, name, write(b"")).expect("saved"), folder.join(kept), "{name:?}");
        }
        let long = store(&folder, &format!("{}.mp4", "현관".repeat(200)), write(b"")).expect("saved");
        assert!(long.extension().is_some_and(|ending| ending == "mp4"), "{}", long.display());
    }

    #[test]
    fn half_a_file_does_not_stay() {
        let dir = tempfile::tempdir().expect("a folder");
        let full = |file: &mut File| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        };
        assert!(store(dir.path(), "clip.mp4", full).is_err());
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0);
    }
}
