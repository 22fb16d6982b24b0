//! What the recorder must know before it opens a disk: which roots there were, and what was switched.
//!
//! A small JSON file in the data directory, replaced as a whole. One that cannot be read is as none: the
//! worst that follows is that a camera's own setting decides.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tracing::warn;
use uuid::Uuid;

use crate::store::micros;

/// A file larger than this is not ours.
const FILE_MAX: u64 = 1 << 20;

/// A root that recordings were written to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// What its marker says.
    #[serde(with = "id_text")]
    pub(super) id: Uuid,
    /// It lay on another volume than the data directory: where it is missing, so is a disk.
    pub(super) apart: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    roots: BTreeMap<PathBuf, Known>,
    /// Cameras that a person switched, against their own setting.
    switched: BTreeMap<String, Switched>,
    /// What was said of cameras that nobody else keeps anything of: phones.
    habits: BTreeMap<String, Habits>,
}

/// When and how a camera is recorded, and what else of it a person set. Read from a file: to be checked before use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Habits {
    pub record: Option<bool>,
    pub schedule: Option<Vec<String>>,
    pub pre_roll_seconds: Option<u32>,
    pub quota_gb: Option<f64>,
    pub disk: Option<String>,
    /// Whether its troubles raise alerts.
    pub alerts: Option<bool>,
    /// What it is called, where it says nothing of that itself.
    pub name: Option<String>,
}

/// What a person switched, and for how long that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Switched {
    Always(bool),
    /// The camera has a schedule: until that says something else by itself.
    Until {
        on: bool,
        until_us: i64,
    },
}

/// The file, and what stands in it.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    kept: Mutex<Kept>,
    /// What stands in the file. Never waited for by those who only ask.
    written: Mutex<Vec<u8>>,
}

impl Ledger {
    /// Reads it. Blocks.
    #[must_use]
    pub fn open(path: PathBuf) -> Self {
        let kept = match read(&path) {
            Ok(kept) => kept,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => {
                warn!(tag = "RECORDING", %error, "what was switched is forgotten: its file cannot be read");
                Kept::default()
            }
        };
        Self { path, kept: Mutex::new(kept), written: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The directory it lies in.
    pub(super) fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    pub(super) fn root(&self, path: &Path) -> Option<Known> {
        self.kept().roots.get(path).cloned()
    }

    /// # Errors
    /// Where it cannot be written. It holds in this process all the same.
    pub(super) fn put_root(&self, path: &Path, known: Known) -> io::Result<()> {
        if self.kept().roots.insert(path.to_owned(), known.clone()) == Some(known) {
            return Ok(());
        }
        self.keep()
    }

    /// Whether a camera was switched, and how, as far as that still counts.
    #[must_use]
    pub fn switched(&self, camera: &str, now: SystemTime) -> Option<bool> {
        let switched = *self.kept().switched.get(camera)?;
        match switched {
            Switched::Always(on) => Some(on),
            Switched::Until { on, until_us } => (micros(now) < until_us).then_some(on),
        }
    }

    /// Notes that a camera was switched, until some moment or for ever; `None` forgets it. It holds in this
    /// process at once, and in the next after [`Ledger::keep`].
    pub fn note_switched(&self, camera: &str, on: Option<bool>, until: Option<SystemTime>) {
        let mut kept = self.kept();
        match on {
            Some(on) => {
                let until = until.map(|until| Switched::Until { on, until_us: micros(until) });
                kept.switched.insert(camera.to_owned(), until.unwrap_or(Switched::Always(on)));
            }
            None => drop(kept.switched.remove(camera)),
        }
    }

    /// How a camera is recorded, where it is kept here.
    #[must_use]
    pub fn habits(&self, camera: &str) -> Option<Habits> {
        self.kept().habits.get(camera).cloned()
    }

    /// Notes how a camera is recorded; nothing at all forgets it. As with what is switched, [`Ledger::keep`]
    /// writes it down.
    pub fn note_habits(&self, camera: &str, habits: Habits) {
        let mut kept = self.kept();
        if habits == Habits::default() {
            kept.habits.remove(camera);
        } else {
            kept.habits.insert(camera.to_owned(), habits);
        }
    }

    /// Writes down what was noted. Blocks.
    ///
    /// # Errors
    /// Where it cannot be written. It holds in this process all the same.
    pub fn keep(&self) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let text = serde_json::to_vec_pretty(&*self.kept())?;
        if *written == text {
            return Ok(());
        }
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&beside, &self.path)?;
        sync_dir(self.dir())?;
        *written = text;
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Kept> {
    let mut text = String::new();
    File::open(path)?.take(FILE_MAX).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

/// An id as text.
pub(super) mod id_text {
    use serde::de::{Deserialize as _, Error as _};
    use serde::{Deserializer, Serializer};
    use uuid::Uuid;

    pub(in crate::record) fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(in crate::record) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Uuid, D::Error> {
        Uuid::try_parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A new name is on the disk once its directory is; only Unix can say so.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn r_n4_what_was_switched_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording.json");
        let ledger = Ledger::open(path.clone());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_186_242);
        let later = now + Duration::from_secs(60);
        assert_eq!(ledger.switched("a", now), None);
        ledger.note_switched("a", Some(true), None);
        ledger.note_switched("b", Some(false), None);
        ledger.note_switched("b", None, None);
        ledger.note_switched("c", Some(false), Some(later));
        let habits = Habits { pre_roll_seconds: Some(10), quota_gb: Some(1.5), ..Habits::default() };
        ledger.note_habits("phone", habits.clone());
        ledger.note_habits("other", habits.clone());
        ledger.note_habits("other", Habits::default());
        ledger.keep().unwrap();
        let root = Known { id: Uuid::nil(), apart: true };
        ledger.put_root(Path::new("/mnt/disk"), root.clone()).unwrap();
        let ledger = Ledger::open(path.clone());
        assert_eq!((ledger.switched("a", later), ledger.switched("b", now)), (Some(true), None));
        assert_eq!((ledger.switched("c", now), ledger.switched("c", later)), (Some(false), None));
        assert_eq!(ledger.root(Path::new("/mnt/disk")), Some(root));
        assert_eq!((ledger.habits("phone"), ledger.habits("other")), (Some(habits), None));
        fs::write(&path, r#"{"switched":{"a":false}}"#).unwrap();
        assert_eq!(
            Ledger::open(path.clone()).switched("a", now),
            Some(false),
            "as earlier versions wrote it"
        );
        fs::write(&path, "{").unwrap();
        assert_eq!(Ledger::open(path).switched("a", now), None);
    }
}
