//! Alerts: what the user would want to know, kept for whoever asks and told to whoever listens.
//!
//! A thin loop over [`ledger::Ledger`], which decides. Knows neither who is told nor how.

pub(super) mod keeper;
mod ledger;
pub(super) mod rules;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use super::handle::Inner;
use crate::api::{Alert, Cause};
use crate::config;

use ledger::Ledger;

/// Changes that come together are looked at together: figures alone change all the time.
const BREATH: Duration = Duration::from_millis(250);
/// Changes that a listener may have missed; with more, it gets all alerts anew.
const CHANGES: usize = 256;

/// The alerts of an engine.
#[derive(Debug)]
pub(super) struct Board {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    /// The newest changes, each with its number. Older ones give way.
    changes: VecDeque<(u64, Alert)>,
    number: u64,
}

impl Board {
    /// `earlier` are those of earlier runs, newest first.
    pub(super) fn new(rules: &config::Alerts, earlier: Vec<Alert>) -> Self {
        let ledger = Ledger::new(Duration::from_secs(rules.after_seconds.into()), earlier);
        Self { state: Mutex::new(State { ledger, changes: VecDeque::new(), number: 0 }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Disks on which the space for recordings is short, and no others. Holds from the next look on.
    pub(super) fn set_space(&self, short: HashMap<String, Cause>) {
        self.state().ledger.set_space(short);
    }

    /// All alerts, newest first, and the number of the newest change.
    pub(super) fn all(&self) -> (Vec<Alert>, u64) {
        let state = self.state();
        (state.ledger.all(), state.number)
    }

    /// Like [`Board::since`]; all where more changed than is remembered.
    pub(super) fn unwritten(&self, seen: u64) -> (Vec<Alert>, u64) {
        let state = self.state();
        state.since(seen).unwrap_or_else(|| (state.ledger.all(), state.number))
    }

    /// What changed after the change `seen`, each alert once, and the number of the newest change; `None` where more
    /// changed than is remembered.
    pub(super) fn since(&self, seen: u64) -> Option<(Vec<Alert>, u64)> {
        self.state().since(seen)
    }
}

impl State {
    fn since(&self, seen: u64) -> Option<(Vec<Alert>, u64)> {
        if self.changes.front().is_some_and(|(oldest, _)| *oldest > seen + 1) {
            return None;
        }
        let mut found: Vec<Alert> = Vec::new();
        for (_, alert) in self.changes.iter().filter(|(number, _)| *number > seen) {
            found.retain(|known| known.id != alert.id);
            found.push(alert.clone());
        }
        Some((found, self.number))
    }
}

/// Looks at the cameras whenever one changes or an alert falls due, until the engine ends.
pub(super) async fn run(engine: Weak<Inner>, mut changes: tokio::sync::watch::Receiver<u64>) {
    let mut due: Option<Instant> = None;
    loop {
        let changed = changes.changed();
        match due {
            Some(due) => tokio::select! {
                changed = changed => if changed.is_err() { return },
                () = sleep_until(due) => {}
            },
            None => {
                if changed.await.is_err() {
                    return;
                }
            }
        }
        let Some(inner) = engine.upgrade() else { return };
        if inner.stop.is_cancelled() {
            return;
        }
        due = inner.look_for_alerts();
        let stop = inner.stop.clone();
        drop(inner);
        if timeout(BREATH, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}

impl Inner {
    fn look_for_alerts(&self) -> Option<Instant> {
        let cameras: Vec<_> = self.entries().iter().map(|entry| entry.to_api()).collect();
        let wall = self.ground.env.wall();
        let rules = self.rules.now();
        let quiet = rules.is_quiet(wall);
        let mut state = self.board.state();
        state.ledger.set_after(Duration::from_secs(rules.after_seconds.into()));
        let id = || {
            let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            let chance = self.ground.env.token::<10>();
            uuid::Builder::from_unix_timestamp_millis(millis, &chance).into_uuid().to_string()
        };
        let (changed, due) = state.ledger.look((Instant::now(), wall), quiet, &cameras, id);
        if changed.is_empty() {
            return due;
        }
        for alert in &changed {
            match alert.until {
                None => {
                    warn!(tag = "RECONNECT", alert = ?alert.kind, cameras = ?alert.cameras, back = ?alert.back, "{}", alert.message)
                }
                Some(_) => info!(tag = "RECONNECT", alert = ?alert.kind, cameras = ?alert.cameras, "over"),
            }
        }
        for alert in changed {
            state.number += 1;
            let number = state.number;
            if state.changes.len() == CHANGES {
                state.changes.pop_front();
            }
            state.changes.push_back((number, alert));
        }
        drop(state);
        self.ground.changes.send_modify(|n| *n += 1);
        due
    }
}
