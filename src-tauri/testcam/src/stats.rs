//! What the camera saw of its clients: for tests to look at and to wait for.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::watch, time::Instant};

/// Requests kept; beyond this the oldest is forgotten.
const REQUESTS_KEPT: usize = 4096;

/// One RTSP request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    /// When it was read completely.
    pub at: Instant,
    /// Who sent it.
    pub peer: SocketAddr,
    /// The method, as written.
    pub method: String,
    /// The request URI, as written.
    pub uri: String,
    /// The header lines, names as written, in order.
    pub headers: Vec<(String, String)>,
    /// It came as a keep-alive: OPTIONS, GET_PARAMETER or SET_PARAMETER while playing.
    pub keep_alive: bool,
    /// The status of the answer; 0 when none was sent.
    pub status: u16,
}

impl Request {
    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Counters since the camera was spawned; they survive power cycles.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now.
    pub open: usize,
    /// Sessions playing now.
    pub playing: usize,
    /// PLAY requests that were obeyed.
    pub plays: u64,
    /// Keep-alive requests seen, answered or not.
    pub keep_alives: u64,
    /// TEARDOWN requests seen.
    pub teardowns: u64,
    /// Sessions ended because they gave no sign of life.
    pub expired: u64,
    /// RTCP packets received from clients.
    pub receiver_reports: u64,
    /// Frames (of any track) that a client's full queue could not take.
    pub dropped: u64,
    /// Media bytes written, all clients.
    pub sent_bytes: u64,
    /// The latest requests, oldest first.
    pub requests: VecDeque<Request>,
}

impl Stats {
    /// How many of the kept requests have this method.
    pub fn count(&self, method: &str) -> usize {
        self.requests.iter().filter(|r| r.method == method).count()
    }
}

/// The one place where counters are kept; wakes those who wait for a change.
pub(crate) struct Ledger {
    stats: Mutex<Stats>,
    changed: watch::Sender<u64>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { stats: Mutex::default(), changed: watch::Sender::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Stats> {
        // Counters stay usable whatever happened to the task that held the lock.
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Stats) -> T) -> T {
        look(&self.lock())
    }

    /// Changes a counter and wakes the waiting.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.lock());
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Changes a counter that moves with every frame: nobody is woken for it.
    pub(crate) fn note_quietly(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.lock());
    }

    pub(crate) fn request(&self, request: Request) {
        self.note(|stats| {
            stats.keep_alives += u64::from(request.keep_alive);
            stats.teardowns += u64::from(request.method == "TEARDOWN");
            if stats.requests.len() == REQUESTS_KEPT {
                stats.requests.pop_front();
            }
            stats.requests.push_back(request);
        });
    }

    pub(crate) async fn wait(&self, mut ready: impl FnMut(&Stats) -> bool) {
        let mut changed = self.changed.subscribe();
        while !self.read(&mut ready) {
            // The sender lives in `self`, so this cannot fail.
            let _ = changed.changed().await;
        }
    }
}
