//! What a supervisor lets others see.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Reading;
use crate::api::StateName;
use crate::retry::Phase;
use crate::source::{SessionStats, SourceError};

/// A stream as it is now.
#[derive(Clone, Debug)]
pub struct Status {
    pub phase: Phase,
    pub since: SystemTime,
    /// Wall time of the next try, while reconnecting.
    pub retry_at: Option<SystemTime>,
    pub frames: u64,
    pub last_frame: Option<Instant>,
    /// Wall time of the newest frame when the stream last stopped being live.
    pub last_picture: Option<SystemTime>,
    /// Sessions that were opened after the first.
    pub reconnects: u64,
    pub reading: Reading,
    pub session: SessionStats,
    /// Trouble that does not stop the stream, as long as it holds.
    pub warnings: Vec<SourceError>,
}

/// The public name of a phase. A row of attempts after a loss is one `reconnecting`, whether an attempt is
/// under way or awaited, so that nobody who looks now and then misses it.
#[must_use]
pub const fn state_name(phase: &Phase) -> StateName {
    match phase {
        Phase::Idle => StateName::Idle,
        Phase::Connecting { cause: None, .. } => StateName::Connecting,
        Phase::Connecting { cause: Some(_), .. } | Phase::Reconnecting { .. } => StateName::Reconnecting,
        Phase::Live => StateName::Live,
        Phase::Stalled => StateName::Stalled,
        Phase::Failed { .. } => StateName::Failed,
        Phase::Refused { .. } => StateName::Refused,
    }
}

/// A [`Status`] that many may read while one writes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StatusCell {
    status: Arc<Mutex<Status>>,
    /// Raised when something changed that an onlooker wants to know. Holds a count, never a queue.
    version: Arc<watch::Sender<u64>>,
    /// Raised together with `version`: somebody who looks at all cameras listens here.
    any: Arc<watch::Sender<u64>>,
}

impl StatusCell {
    /// An idle stream. `any` is shared by all cameras.
    #[must_use]
    pub fn new(now: SystemTime, any: Arc<watch::Sender<u64>>) -> Self {
        let status = Status {
            phase: Phase::Idle,
            since: now,
            retry_at: None,
            frames: 0,
            last_frame: None,
            last_picture: None,
            reconnects: 0,
            reading: Reading::default(),
            session: SessionStats::default(),
            warnings: Vec::new(),
        };
        Self { status: Arc::new(Mutex::new(status)), version: Arc::new(watch::Sender::new(0)), any }
    }

    /// A copy.
    #[must_use]
    pub fn get(&self) -> Status {
        self.lock().clone()
    }

    /// Differs after every change.
    #[must_use]
    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Tells of every change from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells onlookers. The version is taken from the count that all cameras share, so that a camera that
    /// replaces another of the same id never shows a version that was seen.
    pub fn touch(&self) {
        self.any.send_modify(|n| {
            *n += 1;
            self.version.send_replace(*n);
        });
    }
}
