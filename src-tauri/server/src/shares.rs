//! What one address may have of a door's places: so that one of them does not keep all others out.
//!
//! A connection beyond the share takes the place of the oldest of its own address, which ends as soon as it has
//! answered what it was asked: twenty phones behind one address go on, although their browsers keep more
//! connections than they need. What becomes a WebSocket leaves its place here and is counted by signaling, which
//! knows who has proved itself. An address of this machine has no share: a proxy would have that of everybody.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nightjar_signaling::relay::limits::network;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The places of a door.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    /// Further ones, for connections from this machine alone.
    own: Arc<Semaphore>,
}

impl Places {
    pub(crate) fn new(all: usize, own: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), own: Arc::new(Semaphore::new(own)) }
    }

    /// Waits for a place.
    pub(crate) async fn free(&self) -> OwnedSemaphorePermit {
        let place = tokio::select! {
            biased;
            place = Arc::clone(&self.all).acquire_owned() => place,
            place = Arc::clone(&self.own).acquire_owned() => place,
        };
        place.expect("the places are never closed")
    }

    /// The place of a connection from there, given the one that was free; `None` where only places of this machine's
    /// own are left.
    pub(crate) fn take(&self, free: OwnedSemaphorePermit, from: IpAddr) -> Option<OwnedSemaphorePermit> {
        if Arc::ptr_eq(free.semaphore(), &self.all) {
            return Some(free);
        }
        // Another one may have ended since.
        let given_back = Arc::clone(&self.all).try_acquire_owned().ok();
        given_back.or_else(|| from.to_canonical().is_loopback().then_some(free))
    }
}

/// Connections of each address.
#[derive(Debug)]
pub(crate) struct Shares {
    /// Those that go on; as many again may be about to end. Beyond it new ones are refused.
    most: usize,
    held: Mutex<HashMap<IpAddr, VecDeque<CancellationToken>>>,
}

/// A connection's part of its address's share; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    /// `None`: it needs none.
    held: Option<(Arc<Shares>, IpAddr)>,
    displaced: CancellationToken,
}

impl Shares {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::default() })
    }

    /// For a connection from there; `None` where too many of that address do not end.
    pub(crate) fn take(self: &Arc<Self>, from: IpAddr) -> Option<Share> {
        let displaced = CancellationToken::new();
        if from.to_canonical().is_loopback() {
            return Some(Share { held: None, displaced });
        }
        let from = network(from);
        let mut all = self.lock();
        let own = all.entry(from).or_default();
        if own.len() >= 2 * self.most {
            return None;
        }
        let staying = own.iter().filter(|held| !held.is_cancelled());
        if staying.clone().count() >= self.most
            && let Some(oldest) = staying.clone().next()
        {
            oldest.cancel();
        }
        own.push_back(displaced.clone());
        drop(all);
        Some(Share { held: Some((Arc::clone(self), from)), displaced })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, VecDeque<CancellationToken>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Ends when the place is wanted for a newer connection of the same address.
    pub(crate) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some((shares, from)) = self.held.take() else { return };
        let mut all = shares.lock();
        if let Some(own) = all.get_mut(&from) {
            // Which of those that end it was makes no difference; one that stays is known by its mark.
            self.displaced.cancel();
            if let Some(at) = own.iter().position(CancellationToken::is_cancelled) {
                own.remove(at);
            }
            if own.is_empty() {
                all.remove(&from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_crowd_elsewhere_keeps_nobody_at_this_machine_out() {
        let (there, here) = ("192.0.2.1".parse().unwrap(), "::ffff:127.0.0.1".parse().unwrap());
        let places = Places::new(2, 1);
        let one = places.take(places.free().await, there).expect("free");
        let _other = places.take(places.free().await, there).expect("free");
        assert!(places.take(places.free().await, there).is_none());
        let own = places.take(places.free().await, here).expect("its own");
        let full = tokio::time::timeout(std::time::Duration::from_millis(10), places.free());
        assert!(full.await.is_err(), "nobody is taken beyond that");
        drop(own);
        let free = places.free().await;
        drop(one);
        assert!(places.take(free, there).is_some(), "one ended while it was waited for");
        assert!(places.take(places.free().await, here).is_some());
    }

    #[test]
    fn an_address_has_its_share_and_the_newest_connections_of_it_go_on() {
        let shares = Shares::new(32);
        let from = |ip: &str| shares.take(ip.parse().unwrap());
        let mut crowd: Vec<Share> = (0..32).map(|_| from("192.168.1.9").unwrap()).collect();
        assert!(crowd.iter().all(|share| !share.displaced.is_cancelled()));
        // Another address knows nothing of it.
        assert!(!from("192.168.1.10").unwrap().displaced.is_cancelled());
        crowd.extend((0..8).map(|_| from("192.168.1.9").unwrap()));
        let gone = crowd.iter().position(|share| !share.displaced.is_cancelled());
        assert_eq!(gone, Some(8), "the oldest make way");
        // What does not end, holds: nothing more than twice the share.
        crowd.extend((0..24).map(|_| from("::ffff:192.168.1.9").unwrap()));
        assert!(from("192.168.1.9").is_none());
        crowd.drain(..32);
        assert_eq!(shares.lock()[&"192.168.1.9".parse::<IpAddr>().unwrap()].len(), 32);
        assert!(from("192.168.1.9").is_some());
        crowd.clear();
        assert!(shares.lock().is_empty(), "nothing is remembered");
        // One house of IPv6 is one.
        let house: Vec<Share> = (0..64).map(|n| from(&format!("2001:db8::{n:x}")).unwrap()).collect();
        assert!(from("2001:db8::ffff").is_none());
        drop(house);
        // A proxy on this machine speaks for everybody.
        assert!((0..1_000).map(|_| from("127.0.0.1").unwrap()).all(|share| !share.displaced.is_cancelled()));
    }
}
