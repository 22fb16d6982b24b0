//! Which cameras there are, in order, and how those that were added are kept.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use super::entry::Entry;
use super::patch::tidy;
use super::private::shown;
use crate::api::CameraSpec;
use crate::config::{ConfigStore, Invalid, check_camera, demo_camera};
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
    /// Which secrets are theirs; see [`Kept`].
    #[serde(default)]
    generation: u64,
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

/// Passwords by camera.
type Secrets = BTreeMap<String, Secret<String>>;

/// The file of the secrets. They have a number that rises whenever they change, and stand there beside those of before
/// until the cameras of their number are kept: whatever a crash or a full disk leaves, no camera has another's secrets,
/// and none goes to an address that it was not given for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Kept {
    Sets {
        sets: BTreeMap<String, Secrets>,
    },
    /// An earlier form, without a number.
    Plain(Secrets),
}

impl Kept {
    /// Those of this number, or the newest: somebody may have put back a copy of the cameras.
    fn of(self, generation: u64) -> Secrets {
        match self {
            Self::Plain(secrets) => secrets,
            Self::Sets { mut sets } => {
                let newest = || sets.keys().max_by_key(|number| number.parse::<u64>().ok()).cloned();
                let own = Some(generation.to_string()).filter(|own| sets.contains_key(own)).or_else(newest);
                own.and_then(|own| sets.remove(&own)).unwrap_or_default()
            }
        }
    }
}

/// Reads what was saved. Blocks.
pub(super) fn load(store: &dyn ConfigStore) -> Result<Vec<CameraSpec>, LoadError> {
    let Some(text) = store.load()? else { return Ok(Vec::new()) };
    let stored: Stored =
        serde_json::from_str(&text).map_err(|error| LoadError::Damaged("cameras.json", error))?;
    if stored.version > VERSION {
        return Err(LoadError::Newer(stored.version));
    }
    let mut passwords = match store.load_secrets()? {
        Some(text) => {
            let kept: Kept =
                serde_json::from_str(&text).map_err(|error| LoadError::Damaged("secrets.json", error))?;
            kept.of(stored.generation)
        }
        None => Secrets::new(),
    };
    let mut cameras = stored.cameras;
    for camera in &mut cameras {
        if let Some(id) = &camera.id {
            let fields = [("url", Some(&mut camera.url)), ("sub_url", camera.sub_url.as_mut())];
            for (field, url) in fields.into_iter().filter_map(|(field, url)| Some((field, url?))) {
                // Somebody may have written another address into the file since.
                let whole =
                    passwords.remove(&hidden(id, field)).filter(|whole| shown(whole.reveal()) == *url);
                *url = whole.map_or_else(|| std::mem::take(url), |whole| whole.reveal().clone());
            }
            camera.password = passwords.remove(id);
        }
        tidy(camera);
    }
    // Earlier versions took any address of a demo camera. One that means none never had a picture.
    cameras.retain(|camera| {
        let lost = camera.url.starts_with("demo:") && demo_camera(&camera.url).is_none();
        if lost {
            warn!(tag = "RTSP", camera = camera.id, "a demo camera that there is none of is left out");
        }
        !lost
    });
    cameras.iter().try_for_each(check_camera)?;
    Ok(cameras)
}

/// Saves: all of it, or as if nothing had been tried. Blocks.
pub(super) fn save(store: &dyn ConfigStore, mut cameras: Vec<CameraSpec>) -> io::Result<()> {
    let mut secrets = Secrets::new();
    for camera in &mut cameras {
        let Some(id) = &camera.id else { continue };
        secrets.extend(camera.password.as_ref().map(|password| (id.clone(), password.clone())));
        let fields = [("url", Some(&mut camera.url)), ("sub_url", camera.sub_url.as_mut())];
        for (field, url) in fields.into_iter().filter_map(|(field, url)| Some((field, url?))) {
            let whole = std::mem::replace(url, shown(url));
            if whole != *url {
                secrets.insert(hidden(id, field), Secret::new(whole));
            }
        }
    }
    let (generation, before) = present(store)?;
    let stored = |generation| serde_json::to_string_pretty(&Stored { version: VERSION, generation, cameras });
    if secrets == before {
        return store.save(&stored(generation)?);
    }
    let next = generation.wrapping_add(1);
    store.save_secrets(&told(&[(generation, &before), (next, &secrets)])?)?;
    store.save(&stored(next)?)?;
    if let Err(error) = store.save_secrets(&told(&[(next, &secrets)])?) {
        // They are nobody's, and go with the next change.
        debug!(tag = "STORAGE", %error, "secrets of before cannot be removed");
    }
    Ok(())
}

/// The number and the secrets of what is kept now.
fn present(store: &dyn ConfigStore) -> io::Result<(u64, Secrets)> {
    #[derive(Deserialize)]
    struct Number {
        #[serde(default)]
        generation: u64,
    }
    let generation = match store.load()? {
        Some(text) => serde_json::from_str::<Number>(&text)?.generation,
        None => 0,
    };
    let secrets = match store.load_secrets()? {
        Some(text) => serde_json::from_str::<Kept>(&text)?.of(generation),
        None => Secrets::new(),
    };
    Ok((generation, secrets))
}

/// The text of the secrets' file.
fn told(sets: &[(u64, &Secrets)]) -> serde_json::Result<String> {
    let open = |secrets: &Secrets| -> BTreeMap<String, String> {
        secrets.iter().map(|(name, secret)| (name.clone(), secret.reveal().clone())).collect()
    };
    let sets: BTreeMap<String, _> =
        sets.iter().map(|(number, secrets)| (number.to_string(), open(secrets))).collect();
    serde_json::to_string_pretty(&BTreeMap::from([("sets", sets)]))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::config::MemoryStore;

    /// Takes so many writes and no more, as before a power cut or on a full disk.
    #[derive(Default)]
    struct Fails {
        store: MemoryStore,
        left: AtomicUsize,
    }

    impl Fails {
        fn take(&self) -> io::Result<()> {
            let left =
                self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            left.map(drop).map_err(|_| io::ErrorKind::StorageFull.into())
        }
    }

    impl ConfigStore for Fails {
        fn load(&self) -> io::Result<Option<String>> {
            self.store.load()
        }

        fn save(&self, cameras: &str) -> io::Result<()> {
            self.take()?;
            self.store.save(cameras)
        }

        fn load_secrets(&self) -> io::Result<Option<String>> {
            self.store.load_secrets()
        }

        fn save_secrets(&self, secrets: &str) -> io::Result<()> {
            self.take()?;
            self.store.save_secrets(secrets)
        }

        fn load_alerts(&self) -> io::Result<Option<String>> {
            self.store.load_alerts()
        }

        fn save_alerts(&self, alerts: &str) -> io::Result<()> {
            self.store.save_alerts(alerts)
        }
    }

    fn camera(id: &str, url: &str, password: &str) -> CameraSpec {
        CameraSpec {
            id: Some(id.to_owned()),
            url: url.to_owned(),
            username: Some("admin".to_owned()),
            password: Some(Secret::new(password.to_owned())),
            ..CameraSpec::default()
        }
    }

    #[test]
    fn a_save_that_fails_or_is_cut_short_changes_nothing() {
        let before =
            [camera("door", "rtsp://10.0.0.1/", "old-word"), camera("yard", "rtsp://10.0.0.2/", "yes")];
        let after =
            [camera("door", "rtsp://203.0.113.9/", "new-word"), camera("shed", "rtsp://10.0.0.3/", "no")];
        for writes in 0..=3 {
            let store = Fails { left: AtomicUsize::new(9), ..Fails::default() };
            save(&store, before.to_vec()).unwrap();
            store.left.store(writes, Ordering::Relaxed);
            let said = save(&store, after.to_vec());
            let there = load(&store).unwrap();
            assert_eq!(there, if said.is_ok() { after.to_vec() } else { before.to_vec() }, "{writes}");
            assert_eq!(said.is_ok(), writes >= 2, "{writes}");
            // The next one is as if nothing had been.
            store.left.store(9, Ordering::Relaxed);
            save(&store, after.to_vec()).unwrap();
            save(&store, after[1..].to_vec()).unwrap();
            assert_eq!(load(&store).unwrap(), after[1..]);
            let secrets = store.load_secrets().unwrap().unwrap();
            assert!(!secrets.contains("-word"), "what is not used is not kept");
            assert!(!store.load().unwrap().unwrap().contains("\"no\""));
        }
    }

    #[test]
    fn secrets_of_an_earlier_form_are_read_and_kept() {
        let store = MemoryStore::default();
        let old = camera("sets", "rtsp://10.0.0.1/", "word");
        let text = serde_json::json!({ "version": 1, "cameras": [&old] }).to_string();
        store.save(&text).unwrap();
        store.save_secrets("{\"sets\": \"word\"}").unwrap();
        assert_eq!(load(&store).unwrap(), std::slice::from_ref(&old));
        let other = camera("yard", "rtsp://10.0.0.2/", "yes");
        save(&store, vec![old.clone(), other.clone()]).unwrap();
        assert_eq!(load(&store).unwrap(), [old, other]);
        // A person may put back a copy of the cameras: the newest secrets are what there is.
        store.save(&text).unwrap();
        assert!(load(&store).unwrap()[0].password.is_some());
    }
}
