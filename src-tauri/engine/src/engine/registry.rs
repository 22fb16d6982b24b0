//! Which cameras there are, in order, and how those that were added are kept.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::patch::tidy;
use super::private::shown;
use crate::api::CameraSpec;
use crate::config::{ConfigStore, Invalid, check_camera};
use crate::env::Secret;

/// The cameras, in the order in which they were added.
#[derive(Default)]
pub(super) struct Registry {
    pub(super) entries: Vec<Arc<Entry>>,
}

impl Registry {
    pub(super) fn get(&self, id: &str) -> Option<Arc<Entry>> {
        self.entries.iter().find(|e| e.id == id).cloned()
    }

    /// The first `cam_NN` that is neither here nor `reserved`.
    pub(super) fn free_id(&self, reserved: &HashSet<String>) -> String {
        (1..)
            .map(|n| format!("cam_{n:02}"))
            .find(|id| self.get(id).is_none() && !reserved.contains(id))
            .expect("there are more numbers than cameras")
    }

    /// Specifications of the cameras that are kept in the store.
    pub(super) fn added(&self) -> Vec<CameraSpec> {
        // Phones come by themselves.
        let added = self.entries.iter().filter(|e| !e.read_only && e.phone.is_none());
        added.map(|e| CameraSpec { id: Some(e.id.clone()), ..e.spec.clone() }).collect()
    }
}

/// The stored form. `version` rises when the meaning of a key changes.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    cameras: Vec<CameraSpec>,
}

const VERSION: u32 = 1;

/// The store cannot be read or holds something that is not valid.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the stored cameras cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error(
        "the stored cameras ({0}) are damaged; put back a copy of that file, or move it away to begin without it"
    )]
    Damaged(&'static str, #[source] serde_json::Error),
    #[error("the stored cameras come from a newer version of Nightjar ({0})")]
    Newer(u32),
    #[error("a stored camera is not valid: {0}")]
    Invalid(#[from] Invalid),
}

/// Among the secrets: the whole of an address of which a part is private. No id has such a sign.
fn hidden(id: &str, field: &str) -> String {
    format!("{id}?{field}")
}

/// Reads what was saved. Blocks.
pub(super) fn load(store: &dyn ConfigStore) -> Result<Vec<CameraSpec>, LoadError> {
    let Some(text) = store.load()? else { return Ok(Vec::new()) };
    let stored: Stored =
        serde_json::from_str(&text).map_err(|error| LoadError::Damaged("cameras.json", error))?;
    if stored.version > VERSION {
        return Err(LoadError::Newer(stored.version));
    }
    let mut passwords: BTreeMap<String, Secret<String>> = match store.load_secrets()? {
        Some(text) => {
            serde_json::from_str(&text).map_err(|error| LoadError::Damaged("secrets.json", error))?
        }
        None => BTreeMap::new(),
    };
    let mut cameras = stored.cameras;
    for camera in &mut cameras {
        if let Some(id) = &camera.id {
            let fields = [("url", Some(&mut camera.url)), ("sub_url", camera.sub_url.as_mut())];
            for (field, url) in fields.into_iter().filter_map(|(field, url)| Some((field, url?))) {
                // Somebody may have written another address into the file since.
                let whole = passwords.remove(&hidden(id, field)).filter(|whole| shown(whole.reveal()) == *url);
                *url = whole.map_or_else(|| std::mem::take(url), |whole| whole.reveal().clone());
            }
            camera.password = passwords.remove(id);
        }
        tidy(camera);
        check_camera(camera)?;
    }
    Ok(cameras)
}

/// Saves. Secrets go first: a camera without its password is worse than a password without its camera.
/// Blocks.
pub(super) fn save(store: &dyn ConfigStore, mut cameras: Vec<CameraSpec>) -> io::Result<()> {
    let mut secrets: BTreeMap<String, String> = BTreeMap::new();
    for camera in &mut cameras {
        let Some(id) = &camera.id else { continue };
        secrets.extend(camera.password.as_ref().map(|password| (id.clone(), password.reveal().clone())));
        let fields = [("url", Some(&mut camera.url)), ("sub_url", camera.sub_url.as_mut())];
        for (field, url) in fields.into_iter().filter_map(|(field, url)| Some((field, url?))) {
            let whole = std::mem::replace(url, shown(url));
            if whole != *url {
                secrets.insert(hidden(id, field), whole);
            }
        }
    }
    store.save_secrets(&serde_json::to_string_pretty(&secrets)?)?;
    store.save(&serde_json::to_string_pretty(&Stored { version: VERSION, cameras })?)
}
