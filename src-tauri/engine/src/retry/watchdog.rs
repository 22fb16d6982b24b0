//! How long it has been silent.

use std::time::Duration;

use tokio::time::Instant;

/// Tells silence apart by its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Shorter than anybody minds.
    None,
    /// Worth showing (R-K2), not worth a reconnect (R-K4).
    Stalled,
    /// Lost.
    Lost,
}

/// Fed by frames, asked for the silence since. Two limits: `stalled` is shown, `lost` is acted upon.
#[derive(Clone, Debug)]
pub struct Watchdog {
    stalled: Duration,
    lost: Duration,
    fed: Instant,
}

impl Watchdog {
    /// A watchdog that was fed at `now`.
    #[must_use]
    pub const fn new(stalled: Duration, lost: Duration, now: Instant) -> Self {
        Self { stalled, lost, fed: now }
    }

    /// Something arrived.
    pub fn feed(&mut self, now: Instant) {
        self.fed = self.fed.max(now);
    }

    /// When it was last fed.
    #[must_use]
    pub const fn fed(&self) -> Instant {
        self.fed
    }

    /// The silence up to `now`.
    #[must_use]
    pub fn silence(&self, now: Instant) -> Silence {
        let quiet = now.saturating_duration_since(self.fed);
        if quiet >= self.lost {
            Silence::Lost
        } else if quiet >= self.stalled {
            Silence::Stalled
        } else {
            Silence::None
        }
    }

    /// When the answer of [`Watchdog::silence`] changes next if nothing arrives.
    #[must_use]
    pub fn deadline(&self, now: Instant) -> Instant {
        match self.silence(now) {
            Silence::None => self.fed + self.stalled,
            Silence::Stalled | Silence::Lost => self.fed + self.lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_k2_stalled_at_two_seconds_and_lost_at_five() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut dog = Watchdog::new(Duration::from_secs(2), Duration::from_secs(5), at(0));
        assert_eq!((dog.silence(at(1_999)), dog.deadline(at(1_999))), (Silence::None, at(2_000)));
        assert_eq!((dog.silence(at(2_000)), dog.deadline(at(2_000))), (Silence::Stalled, at(5_000)));
        assert_eq!(dog.silence(at(4_999)), Silence::Stalled);
        assert_eq!(dog.silence(at(5_000)), Silence::Lost);
        dog.feed(at(4_999));
        dog.feed(at(1_000));
        assert_eq!(dog.silence(at(5_000)), Silence::None, "a late report does not turn the clock back");
    }
}
