//! Where cameras that were added while running are kept.

use std::io;
use std::sync::{Mutex, PoisonError};

/// Keeps three small texts. The desktop has its own store, the server a folder, tests their memory.
///
/// The calls block and are made from a blocking thread. Saving is all or nothing: after a crash the old or
/// the new text is there, never a part.
pub trait ConfigStore: Send + Sync + 'static {
    /// The cameras without their secrets, as JSON; `None` before the first save.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn load(&self) -> io::Result<Option<String>>;

    /// # Errors
    /// Where the store cannot be written.
    fn save(&self, cameras: &str) -> io::Result<()>;

    /// Passwords by camera id, as JSON, from a place that only the user can read.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn load_secrets(&self) -> io::Result<Option<String>>;

    /// # Errors
    /// Where the store cannot be written.
    fn save_secrets(&self, secrets: &str) -> io::Result<()>;

    /// What was set of alerts, as JSON. An address in it may hold a secret: kept like the passwords.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn load_alerts(&self) -> io::Result<Option<String>>;

    /// # Errors
    /// Where the store cannot be written.
    fn save_alerts(&self, alerts: &str) -> io::Result<()>;
}

/// Keeps nothing beyond the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    cameras: Mutex<Option<String>>,
    secrets: Mutex<Option<String>>,
    alerts: Mutex<Option<String>>,
}

impl ConfigStore for MemoryStore {
    fn load(&self) -> io::Result<Option<String>> {
        Ok(self.cameras.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn save(&self, cameras: &str) -> io::Result<()> {
        *self.cameras.lock().unwrap_or_else(PoisonError::into_inner) = Some(cameras.to_owned());
        Ok(())
    }

    fn load_secrets(&self) -> io::Result<Option<String>> {
        Ok(self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn save_secrets(&self, secrets: &str) -> io::Result<()> {
        *self.secrets.lock().unwrap_or_else(PoisonError::into_inner) = Some(secrets.to_owned());
        Ok(())
    }

    fn load_alerts(&self) -> io::Result<Option<String>> {
        Ok(self.alerts.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn save_alerts(&self, alerts: &str) -> io::Result<()> {
        *self.alerts.lock().unwrap_or_else(PoisonError::into_inner) = Some(alerts.to_owned());
        Ok(())
    }
}
