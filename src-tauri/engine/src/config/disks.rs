//! The checks of `[[recording.disk]]`: names, and roots that do not touch each other.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use super::Recording;
use super::check::{ID_MAX, Invalid, is_word};

pub(super) const NAME_WANTED: &str = "must be 1 to 64 letters, digits, \"_\" or \"-\"";

/// Whether a disk may be called so.
pub(super) fn is_name(text: &str) -> bool {
    (1..=ID_MAX).contains(&text.len()) && text.chars().all(is_word)
}

impl Recording {
    pub(super) fn check_disks(&self) -> Result<(), Invalid> {
        let mut seen = HashSet::new();
        for (i, disk) in self.disk.iter().enumerate() {
            let wrong =
                |key: &str, reason: String| Err(Invalid::new(format!("recording.disk[{i}].{key}"), reason));
            if !is_name(&disk.name) {
                return wrong("name", NAME_WANTED.to_owned());
            }
            if !seen.insert(&disk.name) {
                return wrong("name", format!("\"{}\" is used twice", disk.name));
            }
            if disk.root.as_os_str().is_empty() {
                return wrong("root", "must not be empty".to_owned());
            }
            let is_amount = |value: f64| value.is_finite() && value >= 0.0;
            if disk.min_free_gb.is_some_and(|value| !is_amount(value)) {
                return wrong("min_free_gb", "must be 0 or more".to_owned());
            }
            if disk.quota_gb.is_some_and(|value| !is_amount(value)) {
                return wrong("quota_gb", "must be 0 or more; 0 is no limit".to_owned());
            }
        }
        self.root
            .as_deref()
            .map_or_else(|| self.check_roots(None, plain), |root| self.check_roots(Some(root), plain))
    }

    /// Whether the roots, as they lie on this machine, are apart from each other. `main` is where the main root is.
    /// Blocks.
    ///
    /// # Errors
    /// [`Invalid`] with the field of the later one.
    pub fn check_places(&self, main: &Path) -> Result<(), Invalid> {
        self.check_roots(Some(main), real)
    }

    fn check_roots(&self, main: Option<&Path>, place: fn(&Path) -> PathBuf) -> Result<(), Invalid> {
        let mut known: Vec<(String, PathBuf)> =
            main.map(|root| ("recording.root".to_owned(), place(root))).into_iter().collect();
        for (i, disk) in self.disk.iter().enumerate() {
            let (field, root) = (format!("recording.disk[{i}].root"), place(&disk.root));
            for (other, taken) in &known {
                let reason = if root == *taken {
                    format!("is the same directory as {other}")
                } else if root.starts_with(taken) {
                    format!("lies inside {other}; choose a directory of its own")
                } else if taken.starts_with(&root) {
                    format!("lies around {other}; choose a directory of its own")
                } else {
                    continue;
                };
                return Err(Invalid::new(field, reason));
            }
            known.push((field, root));
        }
        Ok(())
    }

    /// Whether a camera may be recorded there: on the main root, or a disk that there is.
    ///
    /// # Errors
    /// [`Invalid`] with the bare name of the field.
    pub fn check_choice(&self, name: Option<&str>) -> Result<(), Invalid> {
        let Some(name) = name.filter(|name| !self.disk.iter().any(|disk| disk.name == *name)) else {
            return Ok(());
        };
        let known: Vec<String> = self.disk.iter().map(|disk| format!("\"{}\"", disk.name)).collect();
        let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
        let reason = format!("there is no disk \"{name}\" in the configuration (recording.disk: {known})");
        Err(Invalid::new("record_disk", reason))
    }
}

/// A path without detours, as it is written.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if plain.file_name().is_some() => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// Where a path leads, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let whole = plain(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let there = whole.ancestors().find_map(|part| {
        let rest = whole.strip_prefix(part).expect("it is one of its ancestors");
        Some(part.canonicalize().ok()?.join(rest))
    });
    there.unwrap_or(whole)
}
