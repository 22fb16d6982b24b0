//! The key of the secrets, kept by the system: Keychain on macOS, Credential Manager on Windows, the
//! Secret Service (GNOME Keyring, KWallet) elsewhere.
//!
//! The keychain keeps one key for each data directory, not the passwords: Windows takes 2,560 bytes at
//! most. Without a keychain there is no key, and the secrets lie in a file that only the user can read.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use keyring::{Entry, Error};
use nightjar_server::SealKey;

const SERVICE: &str = "Nightjar";
/// A person may have to unlock the keychain first. Then the app goes on without it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The key for a data directory, made where the keychain has none yet. Blocks, also for a person.
pub(crate) fn key(dir: &Path) -> Option<SealKey> {
    let user = dir.to_string_lossy().into_owned();
    let (tell, told) = mpsc::sync_channel(1);
    // A thread of its own: nobody can end a call that waits for a person.
    std::thread::spawn(move || tell.send(find_or_make(&user)));
    match told.recv_timeout(PATIENCE) {
        Ok(Ok(bytes)) => Some(SealKey::new(&bytes)),
        Ok(Err(error)) => {
            tracing::warn!(%error, "no keychain: passwords lie in a file that only this user can read");
            None
        }
        Err(_) => {
            tracing::warn!(
                "the keychain does not answer: passwords lie in a file that only this user can read"
            );
            None
        }
    }
}

fn find_or_make(user: &str) -> Result<[u8; SealKey::LENGTH], Error> {
    let entry = Entry::new(SERVICE, user)?;
    match entry.get_secret() {
        Ok(found) => found.try_into().map_err(Error::BadEncoding),
        Err(Error::NoEntry) => {
            let made = nightjar_engine::env::Env::system().token::<{ SealKey::LENGTH }>();
            entry.set_secret(&made)?;
            // What is not given back would be lost with this run.
            entry.get_secret()?.try_into().map_err(Error::BadEncoding)
        }
        Err(error) => Err(error),
    }
}
