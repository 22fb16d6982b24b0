//! Growing waits.

use std::time::Duration;

use rand::Rng;

/// Waits of a retry: none before the first, then `first`, doubling up to `cap`, each shortened by up to a
/// fifth so that cameras which fell together do not come back together (R-N5).
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    tries: u32,
}

impl Backoff {
    /// A sequence that has not begun.
    #[must_use]
    pub const fn new(first: Duration, cap: Duration) -> Self {
        Self { first, cap, tries: 0 }
    }

    /// The wait before the next try.
    pub fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let n = self.tries;
        self.tries = n.saturating_add(1);
        if n == 0 {
            return Duration::ZERO;
        }
        let full = self.first.saturating_mul(1u32.checked_shl(n - 1).unwrap_or(u32::MAX)).min(self.cap);
        full.mul_f64(rng.random_range(0.8..=1.0))
    }

    /// Tries since the last reset.
    #[must_use]
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    /// Begins the sequence again.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    #[test]
    fn r_n5_waits_are_none_then_5_10_20_40_60_60_seconds_less_a_fifth_at_most() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(60));
        for full in [0, 5, 10, 20, 40, 60, 60] {
            let (wait, full) = (backoff.next(&mut rng), Duration::from_secs(full));
            assert!(wait <= full && wait >= full.mul_f64(0.8), "{wait:?} of {full:?}");
        }
        backoff.reset();
        assert_eq!(backoff.next(&mut rng), Duration::ZERO);
    }

    #[test]
    fn a_thousand_tries_do_not_overflow() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(60));
        for _ in 0..1_000 {
            assert!(backoff.next(&mut rng) <= Duration::from_secs(60));
        }
    }
}
