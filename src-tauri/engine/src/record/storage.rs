//! The state of a root, and when it is tried again. Pure: time and findings come in.

use std::time::Duration;

use tokio::time::Instant;

use super::Cause;

/// Between two tries to get a lost root back (R-N6).
pub(super) const RETRY: Duration = Duration::from_secs(6);
/// As many tries are made in a row.
pub(super) const TRIES: u32 = 20;
/// A look that writes nothing, which brings a try forward when it sees the storage again.
pub(super) const PEEK: Duration = Duration::from_secs(1);
/// The same after the last try.
pub(super) const SLOW_PEEK: Duration = Duration::from_secs(30);

/// How a root is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    Ready,
    /// Tried again every [`RETRY`].
    Lost(Cause),
    /// Waits for space.
    Full(Cause),
    /// Tried [`TRIES`] times; only looked at from now on.
    GivenUp(Cause),
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Try to open the root.
    Try,
    /// Look whether it is worth a try.
    Peek,
}

#[derive(Debug)]
pub(super) struct Storage {
    phase: Phase,
    tries: u32,
    next_try: Instant,
    next_peek: Instant,
}

impl Storage {
    /// A root that was not opened yet: to be tried at once.
    pub(super) fn new(now: Instant, cause: Cause) -> Self {
        Self { phase: Phase::Lost(cause), tries: 0, next_try: now, next_peek: now + PEEK }
    }

    pub(super) fn phase(&self) -> &Phase {
        &self.phase
    }

    pub(super) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// The root is open and has space.
    pub(super) fn ready(&mut self) {
        self.phase = Phase::Ready;
        self.tries = 0;
    }

    /// It cannot be written to. A fault found by a try counts it.
    pub(super) fn lost(&mut self, now: Instant, cause: Cause) {
        if matches!(self.phase, Phase::Ready | Phase::Full(_)) {
            self.tries = 0;
        }
        self.next_try = now + RETRY;
        self.next_peek = now + PEEK;
        if self.tries >= TRIES {
            self.phase = Phase::GivenUp(cause);
            self.next_peek = now + SLOW_PEEK;
        } else {
            self.phase = Phase::Lost(cause);
        }
    }

    /// There is no space.
    pub(super) fn full(&mut self, now: Instant, cause: Cause) {
        self.phase = Phase::Full(cause);
        self.tries = 0;
        self.next_peek = now + PEEK;
    }

    /// Somebody wants it to be tried now.
    pub(super) fn hurry(&mut self, now: Instant) {
        if let Phase::GivenUp(cause) = &self.phase {
            self.phase = Phase::Lost(cause.clone());
            self.tries = 0;
            self.next_try = now;
        }
    }

    /// What is due now; it is not due again before its time.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let peek = match self.phase {
            Phase::Ready => return None,
            Phase::Lost(_) if now >= self.next_try => {
                self.tries += 1;
                self.next_try = now + RETRY;
                return Some(Due::Try);
            }
            Phase::Lost(_) | Phase::Full(_) => PEEK,
            Phase::GivenUp(_) => SLOW_PEEK,
        };
        (now >= self.next_peek).then(|| {
            self.next_peek = now + peek;
            Due::Peek
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Code;
    use super::*;

    fn gone() -> Cause {
        Cause { code: Code::StorageGone, detail: "gone".into() }
    }

    #[test]
    fn r_n6_a_lost_root_is_tried_every_six_seconds_twenty_times_and_then_looked_at() {
        let start = Instant::now();
        let mut storage = Storage::new(start, gone());
        let mut tries = Vec::new();
        let mut peeks = Vec::new();
        for second in 0..300u64 {
            let now = start + Duration::from_secs(second);
            match storage.due(now) {
                Some(Due::Try) => {
                    tries.push(second);
                    storage.lost(now, gone());
                }
                Some(Due::Peek) => peeks.push(second),
                None => {}
            }
        }
        assert_eq!(tries, (0..20).map(|n| n * 6).collect::<Vec<_>>());
        assert!(matches!(storage.phase(), Phase::GivenUp(_)));
        assert!(peeks.contains(&1) && peeks.contains(&113), "the storage is looked for in between");
        let late: Vec<_> = peeks.into_iter().filter(|second| *second > 114).collect();
        assert_eq!(late, [144, 174, 204, 234, 264, 294]);
        let now = start + Duration::from_secs(300);
        storage.hurry(now);
        assert_eq!(storage.due(now), Some(Due::Try));
        storage.ready();
        assert_eq!(storage.due(now + RETRY), None);
        storage.lost(now, gone());
        assert!(matches!(storage.phase(), Phase::Lost(_)), "a new loss is tried again");
    }
}
