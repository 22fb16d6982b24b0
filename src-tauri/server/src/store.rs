//! The data directory: cameras that were added while running, their secrets, and the lock that keeps two
//! programs off it.
//!
//! A file is written beside its place, brought to the disk and renamed: after a crash the old or the new
//! text is there. Secrets can be read by the user alone from their first byte on, and are sealed where a
//! key is given.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use nightjar_engine::config::ConfigStore;

use crate::seal::{self, SealKey};

const CAMERAS: &str = "cameras.json";
const SECRETS: &str = "secrets.json";
const ALERTS: &str = "alerts.json";
const LOCK: &str = "lock";
/// A file larger than this is not ours.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// A data directory that this program has to itself.
#[derive(Debug)]
pub struct FileStore {
    dir: PathBuf,
    key: Option<SealKey>,
    /// The lock goes when the file is closed, however the program ends.
    _lock: File,
}

/// The data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    #[error("the data directory {} cannot be used: {source}", dir.display())]
    Io { dir: PathBuf, source: io::Error },
    #[error("Nightjar already runs on the data directory {}; end it, or choose another directory", .0.display())]
    Taken(PathBuf),
}

impl FileStore {
    /// Makes the directory where it is missing, and locks it. Blocks.
    ///
    /// # Errors
    /// [`DirError::Taken`] while another program holds it.
    pub fn open(dir: &Path) -> Result<Self, DirError> {
        Self::open_with(dir, || None)
    }

    /// The same, with a key for the secrets, asked for once the directory is ours. Secrets that were saved
    /// without one are sealed now; with none, sealed ones stay as they are and cannot be read.
    ///
    /// # Errors
    /// [`DirError::Taken`] while another program holds the directory.
    pub fn open_with(dir: &Path, key: impl FnOnce() -> Option<SealKey>) -> Result<Self, DirError> {
        let failed = |source| DirError::Io { dir: dir.to_owned(), source };
        make_dir(dir).map_err(failed)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(LOCK));
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DirError::Taken(dir.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let store = Self { dir: dir.to_owned(), key: key(), _lock: lock };
        for name in [SECRETS, ALERTS] {
            if let (Some(_), Some(text)) = (&store.key, store.read(name).map_err(failed)?)
                && !seal::is_sealed(&text)
            {
                store.sealed(name, &text).map_err(failed)?;
            }
        }
        Ok(store)
    }

    /// The text of a file of ours; `None` where there is none. Blocks.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<String>> {
        let file = match File::open(self.dir.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        file.take(FILE_MAX).read_to_string(&mut text)?;
        Ok(Some(text))
    }

    /// Replaces a file of ours, readable by the user alone. Blocks.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let beside = self.dir.join(format!("{name}.new"));
        // A rest of an earlier crash may have other rights: it is not written into.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private().write(true).create_new(true).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        drop(file);
        fs::rename(&beside, self.dir.join(name))?;
        // The rename itself is on the disk once the directory is; only Unix can say so.
        #[cfg(unix)]
        File::open(&self.dir)?.sync_all()?;
        Ok(())
    }
}

impl FileStore {
    fn unsealed(&self, name: &str) -> io::Result<Option<String>> {
        let Some(text) = self.read(name)? else { return Ok(None) };
        let opened = seal::open(self.key.as_ref(), text);
        let told = |error| io::Error::other(format!("{}: {error}", self.dir.join(name).display()));
        opened.map(Some).map_err(told)
    }

    fn sealed(&self, name: &str, text: &str) -> io::Result<()> {
        match &self.key {
            Some(key) => self.write(name, &key.seal(text)),
            None => self.write(name, text),
        }
    }
}

impl ConfigStore for FileStore {
    fn load(&self) -> io::Result<Option<String>> {
        self.read(CAMERAS)
    }

    fn save(&self, cameras: &str) -> io::Result<()> {
        self.write(CAMERAS, cameras)
    }

    fn load_secrets(&self) -> io::Result<Option<String>> {
        self.unsealed(SECRETS)
    }

    fn save_secrets(&self, secrets: &str) -> io::Result<()> {
        self.sealed(SECRETS, secrets)
    }

    fn load_alerts(&self) -> io::Result<Option<String>> {
        self.unsealed(ALERTS)
    }

    fn save_alerts(&self, alerts: &str) -> io::Result<()> {
        self.sealed(ALERTS, alerts)
    }
}

/// Files that only the user can read.
fn private() -> OpenOptions {
    #[allow(unused_mut, reason = "other systems inherit the rights of the user's own folder")]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Where a user's data lie when nothing else is said; `None` without a home.
#[must_use]
pub fn default_dir() -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        var("APPDATA")?
    } else if cfg!(target_os = "macos") {
        var("HOME")?.join("Library/Application Support")
    } else {
        var("XDG_DATA_HOME").or_else(|| Some(var("HOME")?.join(".local/share")))?
    };
    Some(base.join("nightjar"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_there_and_secrets_are_the_user_s_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let store = FileStore::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), None);
        // What a crash left behind is readable by all; the next save must not write into it.
        fs::write(path.join("secrets.json.new"), "rest").unwrap();
        store.save("one").unwrap();
        store.save("two").unwrap();
        store.save_secrets("hush").unwrap();
        assert_eq!(store.load().unwrap().as_deref(), Some("two"));
        assert_eq!(store.load_secrets().unwrap().as_deref(), Some("hush"));
        #[cfg(unix)]
        for name in [CAMERAS, SECRETS] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(path.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let mut names: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [CAMERAS, LOCK, SECRETS], "nothing else is left");
    }

    #[test]
    fn secrets_are_sealed_once_there_is_a_key_and_stay_so_without_it() {
        let dir = tempfile::tempdir().unwrap();
        let key = || Some(SealKey::new(&[7; 32]));
        let plain = FileStore::open(dir.path()).unwrap();
        plain.save_secrets("hush").unwrap();
        // A webhook's address has its secret in it.
        plain.save_alerts("hush").unwrap();
        drop(plain);
        let store = FileStore::open_with(dir.path(), key).unwrap();
        for name in [SECRETS, ALERTS] {
            assert!(!fs::read_to_string(dir.path().join(name)).unwrap().contains("hush"), "{name}");
        }
        assert_eq!(store.load_alerts().unwrap().as_deref(), Some("hush"));
        assert_eq!(store.load_secrets().unwrap().as_deref(), Some("hush"));
        drop(store);
        let locked = FileStore::open(dir.path()).unwrap().load_secrets().unwrap_err();
        assert!(locked.to_string().contains("unlock the keychain"), "{locked}");
        let store = FileStore::open_with(dir.path(), key).unwrap();
        assert_eq!(store.load_secrets().unwrap().as_deref(), Some("hush"));
    }

    #[test]
    fn a_directory_has_one_program_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::open(dir.path()).unwrap();
        assert!(matches!(FileStore::open(dir.path()), Err(DirError::Taken(_))));
        drop(store);
        FileStore::open(dir.path()).unwrap();
    }
}
