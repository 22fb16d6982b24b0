//! Devices and tokens on the disk. The newest state is written, by a thread of its own: nobody waits for it but who
//! took a right away, because what is not written comes back with a restart.

use std::collections::HashSet;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nightjar_signaling::relay::Keep;
use nightjar_signaling::relay::keys::{Device, WhipToken};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::store::FileStore;

const FILE: &str = "phones.json";
/// After a write that failed, until the next attempt that nobody asked for.
const AGAIN: Duration = Duration::from_secs(30);
/// A disk that takes longer has failed, for whoever waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    devices: Vec<Device>,
    whip: Vec<WhipToken>,
}

/// What is to be written.
#[derive(Debug, Default)]
struct Draft {
    content: Content,
    /// Raised at each wish to write.
    version: u64,
    /// Rights that were taken away, not yet on the disk. Each was in the content once, so that there are no more
    /// than of those.
    owed: HashSet<String>,
}

/// How the newest write went.
#[derive(Clone, Debug, Default)]
struct Written {
    version: u64,
    error: Option<String>,
}

/// Keeps it.
pub(crate) struct Kept {
    draft: Arc<Mutex<Draft>>,
    /// Holds one wake; more would say no more.
    wake: SyncSender<()>,
    written: watch::Receiver<Written>,
}

/// What was taken away holds now, and not after a restart.
#[derive(Debug, thiserror::Error)]
#[error("it holds for now, but could not be written to the data directory and ends with a restart: {0}")]
pub(crate) struct NotKept(String);

impl NotKept {
    /// What the disk said.
    pub(crate) fn why(&self) -> &str {
        &self.0
    }
}

fn lock(draft: &Mutex<Draft>) -> MutexGuard<'_, Draft> {
    draft.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    /// Reads what was kept. Blocks.
    pub(crate) fn load(store: Arc<FileStore>) -> io::Result<Self> {
        let text = store.read(FILE)?.unwrap_or_else(|| "{}".to_owned());
        let content: Content =
            serde_json::from_str(&text).map_err(|error| io::Error::other(format!("{FILE}: {error}")))?;
        let draft = Arc::new(Mutex::new(Draft { content, ..Draft::default() }));
        let (wake, woken) = sync_channel(1);
        let (told, written) = watch::channel(Written::default());
        let writer = Arc::clone(&draft);
        std::thread::Builder::new()
            .name("phones".to_owned())
            .spawn(move || write(&store, &writer, &woken, &told))?;
        Ok(Self { draft, wake, written })
    }

    pub(crate) fn devices(&self) -> Vec<Device> {
        lock(&self.draft).content.devices.clone()
    }

    pub(crate) fn whip(&self) -> Vec<WhipToken> {
        lock(&self.draft).content.whip.clone()
    }

    /// Keeps these tokens, soon.
    pub(crate) fn keep_whip(&self, whip: Vec<WhipToken>) {
        self.change(|draft| draft.content.whip = whip);
    }

    /// Whether the loss of a right has still to be written.
    pub(crate) fn owes(&self, id: &str) -> bool {
        lock(&self.draft).owed.contains(id)
    }

    /// Waits until everything up to now is on the disk. `without`: the device or token that lost its right.
    ///
    /// # Errors
    /// [`NotKept`]; it is tried again by itself, and with the next call.
    pub(crate) async fn flush(&self, without: Option<&str>) -> Result<(), NotKept> {
        let version = self.change(|draft| draft.owed.extend(without.map(str::to_owned)));
        let mut written = self.written.clone();
        let waited = tokio::time::timeout(PATIENCE, written.wait_for(|done| done.version >= version)).await;
        match waited {
            Ok(Ok(done)) => done.error.clone().map_or(Ok(()), |error| Err(NotKept(error))),
            Ok(Err(_)) => Err(NotKept("the program ends".to_owned())),
            Err(_) => Err(NotKept("the disk does not answer".to_owned())),
        }
    }

    /// Gives the number of the change.
    fn change(&self, change: impl FnOnce(&mut Draft)) -> u64 {
        let version = {
            let mut draft = lock(&self.draft);
            change(&mut draft);
            draft.version += 1;
            draft.version
        };
        match self.wake.try_send(()) {
            // It will look anyway.
            Ok(()) | Err(TrySendError::Full(())) => {}
            Err(TrySendError::Disconnected(())) => warn!(tag = "STORAGE", "phones cannot be kept any more"),
        }
        version
    }
}

impl Keep for Kept {
    fn keep(&self, devices: Vec<Device>) {
        self.change(|draft| draft.content.devices = devices);
    }
}

fn write(store: &FileStore, draft: &Mutex<Draft>, woken: &Receiver<()>, told: &watch::Sender<Written>) {
    let mut failed = false;
    loop {
        let woken = if failed {
            woken.recv_timeout(AGAIN)
        } else {
            woken.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        let over = woken == Err(RecvTimeoutError::Disconnected);
        if over && !failed {
            return;
        }
        let (content, version, owed) = {
            let draft = lock(draft);
            (draft.content.clone(), draft.version, draft.owed.clone())
        };
        let text = serde_json::to_string_pretty(&content).map_err(io::Error::other);
        let error = text.and_then(|text| store.write(FILE, &text)).err();
        match &error {
            Some(error) if !failed => warn!(tag = "STORAGE", %error, "phones cannot be kept"),
            None if failed => info!(tag = "STORAGE", "phones are kept again"),
            _ => {}
        }
        failed = error.is_some();
        if !failed {
            lock(draft).owed.retain(|id| !owed.contains(id));
        }
        told.send_replace(Written { version, error: error.map(|error| error.to_string()) });
        if over {
            return;
        }
    }
}
