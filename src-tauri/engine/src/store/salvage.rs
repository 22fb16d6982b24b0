//! What becomes of a catalogue that is damaged: it is moved aside, and what can still be read of it is taken over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::OpenFlags;

use super::{Catalogue, StoreError, connect, rows};

/// What is moved aside has this ending. One is kept: the newest.
const ASIDE: &str = "damaged";

impl Catalogue {
    /// Takes over what can still be read of a catalogue that was moved aside: alerts, and the places of
    /// protected files. The rest is in the files.
    pub(super) fn salvage(&self, aside: &Path) {
        let Ok(old) = connect(aside, OpenFlags::SQLITE_OPEN_READ_WRITE) else { return };
        // Each row as far as they go: a damaged page ends the walk, not what came before it.
        let kept = old
            .prepare("SELECT disk, path FROM segments WHERE protected = 1")
            // An earlier form knew one root.
            .or_else(|_| old.prepare("SELECT '', path FROM segments WHERE protected = 1"));
        if let Ok(mut statement) = kept
            && let Ok(mut places) = statement.query([])
        {
            while let Ok(Some(row)) = places.next() {
                let (Ok(disk), Ok(path)) = (row.get::<_, String>(0), row.get::<_, String>(1)) else {
                    continue;
                };
                let _ =
                    self.write("INSERT OR IGNORE INTO kept_paths (disk, path) VALUES (?1, ?2)", [disk, path]);
            }
        }
        if let Ok(mut statement) =
            old.prepare("SELECT id, kind, camera, since_us, until_us, message, detail FROM alerts")
            && let Ok(mut alerts) = statement.query([])
        {
            while let Ok(Some(row)) = alerts.next() {
                let Ok(alert) = rows::alert(row) else { continue };
                let _ = self.put_alert(&alert);
            }
        }
    }
}

/// Moves a damaged catalogue out of the way with what belongs to it.
pub(super) fn move_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let beside = |suffix: &str, place: &Path| {
        let mut name = place.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = beside(&format!(".{ASIDE}"), path);
    for suffix in ["-wal", "-shm", ""] {
        let (from, to) = (beside(suffix, path), beside(suffix, &aside));
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::Io { path: from.clone(), source: error })
            }
            _ => Ok(()),
        };
        gone(fs::remove_file(&to))?;
        gone(fs::rename(&from, &to))?;
    }
    Ok(aside)
}
