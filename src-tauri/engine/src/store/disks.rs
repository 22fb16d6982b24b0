//! Where recordings lie: a name and a directory for each disk.
//!
//! Every file of a recording is found here and nowhere else. What the catalogue says lies on a disk that is not
//! among these has no place: it is looked for under no other root.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::MARKER;

/// The disk of `recording.root`, which has no name.
pub const MAIN: &str = "";

/// The roots of the configuration. They stay the same for as long as the program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disks {
    main: PathBuf,
    others: BTreeMap<String, PathBuf>,
}

impl Disks {
    /// The main root alone.
    #[must_use]
    pub fn one(main: PathBuf) -> Self {
        Self::new(main, [])
    }

    /// The main root, and others by name.
    pub fn new(main: PathBuf, others: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        Self { main, others: others.into_iter().collect() }
    }

    /// The directory of a disk; none where the configuration does not know it.
    #[must_use]
    pub fn root(&self, disk: &str) -> Option<&Path> {
        if disk == MAIN { Some(&self.main) } else { self.others.get(disk).map(PathBuf::as_path) }
    }

    /// The file of a recording; none where its disk is not known, and for a path that leads out of its root.
    #[must_use]
    pub fn place(&self, disk: &str, path: &str) -> Option<PathBuf> {
        let inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        self.root(disk).filter(|_| inside).map(|root| root.join(path))
    }

    /// Whether a disk is known, and seems to be there.
    #[must_use]
    pub fn is_there(&self, disk: &str) -> bool {
        self.root(disk).is_some_and(|root| root.join(MARKER).exists())
    }

    /// All names, the main root's first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(MAIN).chain(self.others.keys().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_found_below_its_own_root_or_nowhere() {
        let disks = Disks::new("/srv/video".into(), [("attic".to_owned(), PathBuf::from("/mnt/attic"))]);
        let place = |disk, path| disks.place(disk, path).map(|path| path.display().to_string());
        assert_eq!(place(MAIN, "cam/a.mp4").as_deref(), Some("/srv/video/cam/a.mp4"));
        assert_eq!(place("attic", "cam/a.mp4").as_deref(), Some("/mnt/attic/cam/a.mp4"));
        assert_eq!(place("cellar", "cam/a.mp4"), None);
        for outside in ["../a.mp4", "/etc/passwd", "cam/../../a.mp4", "./a.mp4"] {
            assert_eq!(place("attic", outside), None, "{outside}");
        }
        assert_eq!(disks.names().collect::<Vec<_>>(), ["", "attic"]);
    }
}
