//! The event stream of one listener.

use std::collections::{HashMap, VecDeque};

use tokio::sync::watch;

use super::handle::EngineHandle;
use crate::api::Event;

/// Tells one listener everything that changes, from a snapshot on.
///
/// It keeps what the listener has seen, not a queue of what happened: a slow listener gets the newest
/// state of each camera once, and costs nobody memory.
pub struct EventStream {
    engine: EngineHandle,
    changes: watch::Receiver<u64>,
    seq: u64,
    started: bool,
    seen: HashMap<String, u64>,
    /// Events of one look around; at most one per camera.
    ready: VecDeque<Event>,
}

impl EventStream {
    pub(super) fn new(engine: EngineHandle, changes: watch::Receiver<u64>) -> Self {
        Self { engine, changes, seq: 0, started: false, seen: HashMap::new(), ready: VecDeque::new() }
    }

    /// The next event; `None` when the engine has shut down. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.engine.is_shut_down() {
                return None;
            }
            if self.started {
                self.changes.changed().await.ok()?;
                self.look_around();
            } else {
                self.started = true;
                self.changes.mark_unchanged();
                self.snapshot();
            }
        }
    }

    fn snapshot(&mut self) {
        let mut cameras = Vec::new();
        for (version, camera) in self.engine.versioned_cameras() {
            self.seen.insert(camera.id.clone(), version);
            cameras.push(camera);
        }
        self.ready.push_back(Event::Snapshot { seq: self.seq, cameras, alerts: Vec::new() });
    }

    fn look_around(&mut self) {
        let mut gone: Vec<String> = self.seen.keys().cloned().collect();
        for (version, camera) in self.engine.versioned_cameras() {
            gone.retain(|id| *id != camera.id);
            if self.seen.insert(camera.id.clone(), version) != Some(version) {
                self.seq += 1;
                self.ready.push_back(Event::Camera { seq: self.seq, camera: Box::new(camera) });
            }
        }
        for id in gone {
            self.seen.remove(&id);
            self.seq += 1;
            self.ready.push_back(Event::CameraRemoved { seq: self.seq, id });
        }
    }
}
