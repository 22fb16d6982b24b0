//! The event stream of one listener.

use std::collections::{HashMap, HashSet, VecDeque};

use tokio::sync::watch;
use tracing::debug;

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
    /// The newest change of an alert that was told.
    alerts: u64,
    /// Events of one look around; at most one per camera and alert.
    ready: VecDeque<Event>,
}

impl EventStream {
    pub(super) fn new(engine: EngineHandle, changes: watch::Receiver<u64>) -> Self {
        Self {
            engine,
            changes,
            seq: 0,
            started: false,
            seen: HashMap::new(),
            alerts: 0,
            ready: VecDeque::new(),
        }
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
        self.seen.clear();
        let mut cameras = Vec::new();
        for entry in self.engine.entries() {
            // Read before the camera: a change in between is told once more, never missed.
            self.seen.insert(entry.id.clone(), entry.main.status.version());
            cameras.push(entry.to_api());
        }
        let (alerts, newest) = self.engine.board().all();
        self.alerts = newest;
        debug!(tag = "UI SYNC", cameras = cameras.len(), alerts = alerts.len(), "a listener has everything");
        let run = self.engine.run().to_owned();
        self.ready.push_back(Event::Snapshot { seq: self.seq, cameras, alerts, run });
    }

    fn look_around(&mut self) {
        let Some((alerts, newest)) = self.engine.board().since(self.alerts) else {
            // More changed than anybody remembers: it has everything anew.
            self.seq += 1;
            return self.snapshot();
        };
        let entries = self.engine.entries();
        for entry in &entries {
            let version = entry.main.status.version();
            if self.seen.insert(entry.id.clone(), version) != Some(version) {
                self.seq += 1;
                self.ready.push_back(Event::Camera { seq: self.seq, camera: Box::new(entry.to_api()) });
            }
        }
        let left: HashSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        let gone: Vec<String> = self.seen.keys().filter(|id| !left.contains(id.as_str())).cloned().collect();
        for id in gone {
            self.seen.remove(&id);
            self.seq += 1;
            self.ready.push_back(Event::CameraRemoved { seq: self.seq, id });
        }
        self.alerts = newest;
        for alert in alerts {
            self.seq += 1;
            self.ready.push_back(Event::Alert { seq: self.seq, alert: Box::new(alert) });
        }
    }
}
