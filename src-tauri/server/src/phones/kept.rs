//! Devices and tokens on the disk. The newest state is written, by a thread of its own: nobody waits for it.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use nightjar_signaling::relay::Keep;
use nightjar_signaling::relay::keys::{Device, WhipToken};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::store::FileStore;

const FILE: &str = "phones.json";

/// What is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Content {
    devices: Vec<Device>,
    whip: Vec<WhipToken>,
}

/// Keeps it.
pub(crate) struct Kept {
    content: Arc<Mutex<Content>>,
    /// Holds one wake; more would say no more.
    wake: SyncSender<()>,
}

impl Kept {
    /// Reads what was kept. Blocks.
    pub(crate) fn load(store: Arc<FileStore>) -> io::Result<Self> {
        let text = store.read(FILE)?.unwrap_or_else(|| "{}".to_owned());
        let content: Content =
            serde_json::from_str(&text).map_err(|error| io::Error::other(format!("{FILE}: {error}")))?;
        let content = Arc::new(Mutex::new(content));
        let (wake, woken) = sync_channel(1);
        let writer = Arc::clone(&content);
        std::thread::Builder::new()
            .name("phones".to_owned())
            .spawn(move || write(&store, &writer, &woken))?;
        Ok(Self { content, wake })
    }

    pub(crate) fn devices(&self) -> Vec<Device> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).devices.clone()
    }

    pub(crate) fn whip(&self) -> Vec<WhipToken> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).whip.clone()
    }

    pub(crate) fn keep_whip(&self, whip: Vec<WhipToken>) {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).whip = whip;
        self.wake();
    }

    fn wake(&self) {
        match self.wake.try_send(()) {
            // It will look anyway.
            Ok(()) | Err(TrySendError::Full(())) => {}
            Err(TrySendError::Disconnected(())) => warn!(tag = "STORAGE", "phones cannot be kept any more"),
        }
    }
}

impl Keep for Kept {
    fn keep(&self, devices: Vec<Device>) {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).devices = devices;
        self.wake();
    }
}

fn write(store: &FileStore, content: &Mutex<Content>, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        let content = content.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let written = serde_json::to_string_pretty(&content).map_err(io::Error::other);
        if let Err(error) = written.and_then(|text| store.write(FILE, &text)) {
            warn!(tag = "STORAGE", %error, "phones cannot be kept");
        }
    }
}
