//! Keeps the computer from going to sleep by itself while anything is to be recorded (a setting).
//!
//! What is wanted is decided by [`Recorders`]; the system is asked from a thread of its own, because asking
//! blocks. A system that cannot be asked is told of once, in the log: recording goes on.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, sync_channel};

use nightjar_engine::api::{Event, RecordingState};
use nightjar_engine::engine::EventStream;
use tauri::{AppHandle, Manager};

use crate::settings::Settings;

/// Wishes that may wait; only the last one counts, so the follower waits with a full one.
const WISHES: usize = 4;

/// The cameras that are to be recorded now.
#[derive(Debug, Default)]
struct Recorders(BTreeSet<String>);

impl Recorders {
    fn take(&mut self, event: Event) {
        match event {
            Event::Snapshot { cameras, .. } => {
                self.0.clear();
                cameras.iter().for_each(|camera| self.look(&camera.id, camera.recording.state));
            }
            Event::Camera { camera, .. } => self.look(&camera.id, camera.recording.state),
            Event::CameraRemoved { id, .. } => {
                self.0.remove(&id);
            }
            _ => {}
        }
    }

    /// One that is away counts too, and one whose disk is gone or full: neither could come back to a sleeping computer,
    /// and nobody could make room.
    fn look(&mut self, id: &str, state: RecordingState) {
        match state {
            RecordingState::Off => drop(self.0.remove(id)),
            RecordingState::Recording
            | RecordingState::StorageLost
            | RecordingState::DiskFull
            | RecordingState::Failed => drop(self.0.insert(id.to_owned())),
        }
    }
}

/// Follows the cameras until the engine ends.
pub(crate) async fn follow(app: AppHandle, mut events: EventStream) {
    let (wish, wishes) = sync_channel(WISHES);
    if let Err(error) = std::thread::Builder::new().name("awake".to_owned()).spawn(move || hold(&wishes)) {
        tracing::warn!(%error, "the computer may go to sleep while it records");
        return;
    }
    let mut settings = app.state::<Settings>().changes();
    let (mut recorders, mut told) = (Recorders::default(), false);
    loop {
        let wanted = settings.borrow_and_update().keep_awake && !recorders.0.is_empty();
        if wanted != told {
            told = wanted;
            let wish = wish.clone();
            // The thread may be asking the system, which may take its time.
            let _ = tauri::async_runtime::spawn_blocking(move || wish.send(wanted)).await;
        }
        tokio::select! {
            event = events.next() => match event {
                Some(event) => recorders.take(event),
                None => return,
            },
            changed = settings.changed() => if changed.is_err() { return },
        }
    }
}

/// Does what is wished until nobody wishes any more; then the computer may sleep again.
fn hold(wishes: &Receiver<bool>) {
    let mut held = None;
    let mut warned = false;
    for wanted in wishes {
        held = wanted.then(ask).transpose().unwrap_or_else(|error| {
            if !std::mem::replace(&mut warned, true) {
                tracing::warn!(%error, "the computer may go to sleep while it records");
            }
            None
        });
        tracing::debug!(held = held.is_some(), "awake");
    }
    drop(held);
}

/// The screen may go dark, and a person may still send the computer to sleep on macOS and Windows.
fn ask() -> keepawake::Result<keepawake::KeepAwake> {
    keepawake::Builder::default()
        .display(false)
        .idle(true)
        .sleep(cfg!(target_os = "linux"))
        .reason("Cameras are being recorded")
        .app_name("Nightjar")
        .app_reverse_domain("app.nightjar")
        .create()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_to_be_recorded_keeps_the_computer_awake() {
        use RecordingState::{DiskFull, Failed, Off, Recording, StorageLost};
        let mut recorders = Recorders::default();
        for state in [Recording, StorageLost, DiskFull, Failed] {
            recorders.look("door", state);
            assert_eq!(recorders.0.len(), 1, "{state:?}");
            recorders.look("door", Off);
            assert!(recorders.0.is_empty());
        }
        recorders.look("yard", Recording);
        recorders.take(Event::CameraRemoved { seq: 1, id: "yard".to_owned() });
        assert!(recorders.0.is_empty());
    }
}
