//! What one address may have of the places where anybody on the network may knock: so that one of them does not
//! keep all others out.
//!
//! A connection beyond the share takes the place of the oldest of its own address, which ends as soon as it has
//! answered what it was asked: twenty phones behind one address go on, although their browsers keep more
//! connections than they need. What becomes a WebSocket leaves its place here and is counted by signaling, which
//! knows who has proved itself. An address of this machine has no share: a proxy would have that of everybody.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nightjar_signaling::relay::limits::network;
use tokio_util::sync::CancellationToken;

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
