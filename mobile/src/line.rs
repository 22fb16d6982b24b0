//! The page's line to its computer: one wire at a time, dialled, spoken on and hung up by number.
//!
//! The page says when to dial and when to hang up; what carries its words here, and back, is not known: Tauri's
//! commands in the app, a test's pipe elsewhere. Invariants: what is said goes out on the wire that the page
//! dialled with this number or nowhere, and of each wire the last thing that is told is that it is over, unless
//! the page hung up itself.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::mpsc;

use crate::{Address, BadAddress, BadPin, End, Event, Pin, PinnedTls, Wire, WireError};

/// Messages of the page that wait while the wire is being opened; one more is refused, and the page hangs up.
const EARLY: usize = 64;

/// What the page hears of its wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Told {
    Open,
    Message {
        text: String,
    },
    /// Over. With a code where the computer gave one; `impostor` where it was not the computer.
    Closed {
        code: Option<u16>,
        impostor: bool,
    },
}

/// Why nothing is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDial {
    #[error(transparent)]
    Address(#[from] BadAddress),
    #[error(transparent)]
    Pin(#[from] BadPin),
}

/// The line. Holds the wire that was dialled last.
#[derive(Debug, Default)]
pub struct Line {
    /// Its number, and the way to it: dropped to hang up.
    held: Mutex<Option<(u32, mpsc::Sender<String>)>>,
}

impl Line {
    /// Dials in place of the wire that is held. What comes of it is done by the future, which is to be spawned;
    /// it ends with the wire, or as soon as `tell` says that nobody listens (false).
    ///
    /// # Errors
    /// [`BadDial`]; the wire before stays.
    pub fn dial<T>(
        &self,
        number: u32,
        origin: &str,
        pins: &[String],
        tell: T,
    ) -> Result<impl Future<Output = ()> + Send + use<T>, BadDial>
    where
        T: Fn(Told) -> bool + Send + Sync + 'static,
    {
        let address = Address::parse(origin)?;
        let pins: Result<Vec<Pin>, BadPin> = pins.iter().map(|pin| Pin::parse(pin)).collect();
        let tls = PinnedTls::new(pins?);
        let (say, said) = mpsc::channel(EARLY);
        // The one before is hung up by this: its sender is gone.
        *self.lock() = Some((number, say));
        Ok(carry(address, tls, said, tell))
    }

    /// Sends a message on the wire of this number; says whether it could be queued.
    pub fn say(&self, number: u32, text: String) -> bool {
        match &*self.lock() {
            Some((is, say)) if *is == number => say.try_send(text).is_ok(),
            _ => false,
        }
    }

    /// Ends the wire of this number.
    pub fn hang_up(&self, number: u32) {
        let mut held = self.lock();
        if held.as_ref().is_some_and(|(is, _)| *is == number) {
            *held = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(u32, mpsc::Sender<String>)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn carry<T>(address: Address, tls: PinnedTls, mut said: mpsc::Receiver<String>, tell: T)
where
    T: Fn(Told) -> bool + Send + Sync + 'static,
{
    let closed = |code, impostor| Told::Closed { code, impostor };
    let mut wire = match Wire::open(&address, &tls).await {
        Ok(wire) => wire,
        Err(error) => {
            // A page that is gone hears nothing, and nothing is lost by it.
            tell(closed(None, matches!(error, WireError::Impostor)));
            return;
        }
    };
    if !tell(Told::Open) {
        return;
    }
    loop {
        let told = tokio::select! {
            text = said.recv() => match text {
                Some(text) => {
                    if wire.send(text) {
                        continue;
                    }
                    closed(None, false)
                }
                // Hung up by the page, which expects no answer.
                None => return,
            },
            event = wire.next() => match event {
                Some(Event::Message(text)) => Told::Message { text },
                Some(Event::Ended(End::Closed(code))) => closed(code, false),
                Some(Event::Ended(_)) | None => closed(None, false),
            },
        };
        let over = matches!(told, Told::Closed { .. });
        if !tell(told) || over {
            return;
        }
    }
}
