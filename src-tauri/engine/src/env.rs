//! Time of day, chance and secrets: what the engine takes as inputs so that a test can choose them.
//!
//! Monotonic time is `tokio::time::Instant` everywhere and needs no injection: the paused clock reaches
//! it. Nothing else in the engine reads the system's clock or random numbers.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rand::rngs::{SmallRng, StdRng};
use rand::{RngCore, SeedableRng};
use serde::{Deserialize, Deserializer};

/// The wall clock and the source of randomness. Cheap to clone.
#[derive(Clone)]
pub struct Env {
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    seed: Arc<Mutex<StdRng>>,
}

impl Env {
    /// The system's clock and randomness.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemTime::now), seed: Arc::new(Mutex::new(StdRng::from_os_rng())) }
    }

    /// A chosen clock and seed, for tests.
    #[must_use]
    pub fn fixed(clock: impl Fn() -> SystemTime + Send + Sync + 'static, seed: u64) -> Self {
        Self { clock: Arc::new(clock), seed: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))) }
    }

    /// Time of day. For people and for file names, never for measuring how long something took.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        (self.clock)()
    }

    /// A generator of its own for one owner: fast, not for secrets.
    #[must_use]
    pub fn rng(&self) -> SmallRng {
        let mut seed = self.seed.lock().unwrap_or_else(PoisonError::into_inner);
        SmallRng::seed_from_u64(seed.next_u64())
    }

    /// `N` unpredictable bytes, for tokens.
    #[must_use]
    pub fn token<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.seed.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env")
    }
}

/// Something that must appear in no log, event, error or URL: its `Debug` shows three stars, and it is
/// never serialised.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps it.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, at the place where it is used.
    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(format!("{:?}", Some(&secret)), "Some(***)");
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn the_same_seed_gives_the_same_chance() {
        let a = Env::fixed(|| SystemTime::UNIX_EPOCH, 7);
        let b = Env::fixed(|| SystemTime::UNIX_EPOCH, 7);
        assert_eq!(a.rng().next_u64(), b.rng().next_u64());
        assert_ne!(a.rng().next_u64(), b.token::<8>().map(u64::from)[0]);
    }
}
