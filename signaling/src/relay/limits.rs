//! How much a peer may ask for: numbers, and the values that count against them. Pure; time is an argument.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

/// Between two pings; who answers neither of two is gone.
pub const HEARTBEAT: Duration = Duration::from_secs(10);
/// Pings that may go unanswered.
pub const MISSED: u32 = 2;
/// Messages and bytes that wait for a peer; beyond it the peer is let go.
pub const QUEUE: usize = 256;
pub const QUEUE_BYTES: usize = 1024 * 1024;
/// Who does not say in this time who it is, is sent away.
pub const UNKNOWN_TIME: Duration = Duration::from_secs(5);
/// Sockets of one address that have not said who they are.
pub const UNKNOWN_SOCKETS: usize = 8;
/// Sockets in all. Beyond it new ones are refused.
pub const SOCKETS: usize = 1_024;
/// Messages a second, and how many may come at once: a phone tells all its candidates in one breath.
pub const MESSAGES_PER_SECOND: u32 = 20;
pub const MESSAGES_AT_ONCE: u32 = 120;
/// Offers of a peer in a minute.
pub const OFFERS: usize = 10;
/// Offers of an address that could not be processed, in a minute.
pub const BAD_OFFERS: usize = 60;
/// Candidates of a peer for one connection.
pub const CANDIDATES: usize = 64;
/// Rooms that a peer asks for and may not have, in a minute; then it is sent away.
pub const FORBIDDEN: usize = 5;
/// Pairings that an address asks for in vain in a minute; then it is not listened to for another.
pub const BAD_PAIRINGS: usize = 5;
/// The same, of all addresses together.
pub const BAD_PAIRINGS_IN_ALL: usize = 30;
/// Ids of messages that are remembered, so that one that comes twice counts once.
pub const IDS: usize = 256;
/// Members of a room.
pub const MEMBERS: usize = 256;
/// Between two orders to reconnect to the same publisher.
pub const RECONNECT_PAUSE: Duration = Duration::from_secs(5);
/// Who comes back within this time goes on where it was.
pub const RESUME: Duration = Duration::from_secs(60);
/// The window of everything that is counted by the minute.
pub const MINUTE: Duration = Duration::from_secs(60);
/// Addresses that are remembered for their failures; the oldest is forgotten first.
const ADDRESSES: usize = 1_024;

/// A bucket of tokens that fills by itself.
#[derive(Debug)]
pub struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { tokens: f64::from(MESSAGES_AT_ONCE), at: now }
    }

    /// Takes a token, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let fresh = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(MESSAGES_PER_SECOND);
        self.tokens = (self.tokens + fresh).min(f64::from(MESSAGES_AT_ONCE));
        self.at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

/// Counts what happened within the last minute; never keeps more than it may count.
#[derive(Debug, Default)]
pub struct Window(VecDeque<Instant>);

impl Window {
    /// How often, up to now.
    pub fn count(&mut self, now: Instant) -> usize {
        while self.0.front().is_some_and(|at| now.saturating_duration_since(*at) >= MINUTE) {
            self.0.pop_front();
        }
        self.0.len()
    }

    /// Notes one more; whether it still was within `most`.
    pub fn note(&mut self, now: Instant, most: usize) -> bool {
        if self.count(now) >= most {
            return false;
        }
        self.0.push_back(now);
        true
    }
}

/// Windows by their owner, for so many owners at most.
#[derive(Debug)]
pub struct Windows<K>(HashMap<K, Window>);

impl<K> Default for Windows<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Windows<K> {
    /// See [`Window::note`].
    pub fn note(&mut self, key: K, now: Instant, most: usize) -> bool {
        if self.0.len() >= ADDRESSES && !self.0.contains_key(&key) {
            self.0.retain(|_, window| window.count(now) > 0);
            let oldest = self.0.iter().min_by_key(|(_, w)| w.0.back().copied()).map(|(k, _)| k.clone());
            if self.0.len() >= ADDRESSES
                && let Some(oldest) = oldest
            {
                self.0.remove(&oldest);
            }
        }
        self.0.entry(key).or_default().note(now, most)
    }

    /// How often, up to now.
    pub fn count(&mut self, key: &K, now: Instant) -> usize {
        self.0.get_mut(key).map_or(0, |window| window.count(now))
    }
}

/// Who counts as one: an IPv4 address, or an IPv6 network of 64 bits.
#[must_use]
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_and_a_window_let_through_what_they_say() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert_eq!((0..1_000).filter(|_| bucket.take(start)).count(), 120);
        let later = start + Duration::from_secs(1);
        assert_eq!((0..1_000).filter(|_| bucket.take(later)).count(), 20);
        let mut window = Window::default();
        assert_eq!((0..100).filter(|_| window.note(start, 10)).count(), 10);
        assert!(!window.note(start + MINUTE - Duration::from_millis(1), 10));
        assert!(window.note(start + MINUTE, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_of_addresses_takes_no_more_memory() {
        let mut windows = Windows::default();
        for n in 0..5_000_u32 {
            windows.note(n, Instant::now(), 5);
        }
        assert!(windows.0.len() <= ADDRESSES);
    }
}
