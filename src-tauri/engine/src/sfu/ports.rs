//! Where viewers reach us: one port of the configured range for each viewer, on every usable address.
//!
//! A [`Lease`] holds a port until it is dropped. Nothing here knows viewers or sockets' contents.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Addresses offered to a viewer: each costs a socket and a few checks. A machine with more gets the
/// first ones.
const ADDRESSES: usize = 6;

/// Interfaces of containers and virtual machines: nobody outside reaches us there. Tunnels of VPNs stay:
/// a wall may well be watched through one.
const INTERNAL: [&str; 13] = [
    "docker",
    "br-",
    "veth",
    "virbr",
    "vmnet",
    "vboxnet",
    "cni",
    "flannel",
    "cali",
    "podman",
    "lxc",
    "lxdbr",
    "vEthernet",
];

/// The ports. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Ports {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    range: RangeInclusive<u16>,
    /// Where the search goes on, so that a port rests before it is used again.
    cursor: u16,
    leased: HashSet<u16>,
}

/// A port, ours until dropped.
#[derive(Debug)]
pub(super) struct Lease {
    ports: Ports,
    port: u16,
}

impl Ports {
    pub(super) fn new(range: RangeInclusive<u16>) -> Self {
        let cursor = *range.start();
        Self { shared: Arc::new(Mutex::new(State { range, cursor, leased: HashSet::new() })) }
    }

    /// The next port that is free on all `addresses` that can be bound at all; `None` where none is.
    pub(super) fn lease(&self, addresses: &[IpAddr]) -> Option<Lease> {
        let mut state = self.state();
        let (first, last) = (*state.range.start(), *state.range.end());
        for _ in first..=last {
            let port = state.cursor.clamp(first, last);
            state.cursor = if port == last { first } else { port + 1 };
            if !state.leased.contains(&port) && free(addresses, port) {
                state.leased.insert(port);
                return Some(Lease { ports: self.clone(), port });
            }
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// What a connection binds.
    pub(super) fn sockets(&self, addresses: &[IpAddr]) -> Vec<SocketAddr> {
        addresses.iter().map(|ip| SocketAddr::new(*ip, self.port)).collect()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.ports.state().leased.remove(&self.port);
    }
}

/// Nobody else has it. An address that went away since it was listed binds nothing and does not count.
fn free(addresses: &[IpAddr], port: u16) -> bool {
    let mut bound = false;
    for ip in addresses {
        match UdpSocket::bind(SocketAddr::new(*ip, port)) {
            Ok(_) => bound = true,
            Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {}
            Err(_) => return false,
        }
    }
    bound
}

/// This machine's addresses as viewers may use them, in the order of preference: IPv4 before IPv6;
/// loopback only where there is no other, for a browser on the same machine without a network.
pub(super) fn addresses() -> Vec<IpAddr> {
    let interfaces = rtc::shared::ifaces::ifaces().unwrap_or_default();
    let listed = interfaces.into_iter().filter_map(|i| Some((i.name, i.addr?.ip())));
    choose(listed)
}

fn choose(interfaces: impl Iterator<Item = (String, IpAddr)>) -> Vec<IpAddr> {
    let mut usable: Vec<IpAddr> = interfaces
        .filter(|(name, ip)| reachable(ip) && !INTERNAL.iter().any(|prefix| name.starts_with(prefix)))
        .map(|(_, ip)| ip)
        .collect();
    // Stable: within a family the system's order stays.
    usable.sort_by_key(IpAddr::is_ipv6);
    let mut seen = HashSet::new();
    usable.retain(|ip| seen.insert(*ip));
    usable.truncate(ADDRESSES);
    if usable.is_empty() {
        usable = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    usable
}

fn reachable(ip: &IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        // Useless without its scope, which a candidate cannot carry.
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    };
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || link_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::LOCALHOST)];

    /// A stretch of ports that were free a moment ago.
    fn range(length: u16) -> RangeInclusive<u16> {
        for _ in 0..100 {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let first = socket.local_addr().expect("bound").port();
            drop(socket);
            let Some(last) = first.checked_add(length - 1) else { continue };
            if (first..=last).all(|port| free(&LOCAL, port)) {
                return first..=last;
            }
        }
        unreachable!("no stretch of free ports on this machine");
    }

    #[test]
    fn every_viewer_gets_a_port_of_its_own_and_gives_it_back() {
        let range = range(3);
        let ports = Ports::new(range.clone());
        let mut leases: Vec<Lease> = (0..3).map(|_| ports.lease(&LOCAL).expect("free")).collect();
        let mut used: Vec<u16> = leases.iter().map(|lease| lease.port).collect();
        used.sort_unstable();
        assert_eq!(used, range.collect::<Vec<_>>());
        assert!(ports.lease(&LOCAL).is_none());
        let back = leases.remove(1);
        let port = back.port;
        drop(back);
        assert_eq!(ports.lease(&LOCAL).expect("given back").port, port);
    }

    #[test]
    fn a_port_of_somebody_else_is_passed_over() {
        let range = range(2);
        let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, *range.start())).expect("free");
        let ports = Ports::new(range.clone());
        let lease = ports.lease(&LOCAL).expect("the other one");
        assert_eq!(lease.port, *range.end());
        assert!(ports.lease(&LOCAL).is_none());
        drop(taken);
        assert!(ports.lease(&LOCAL).is_some());
    }

    #[test]
    fn containers_link_local_and_loopback_are_not_offered() {
        let list = |list: &[(&str, &str)]| {
            let list = list.iter().map(|(name, ip)| ((*name).to_owned(), ip.parse().expect("an address")));
            choose(list.collect::<Vec<_>>().into_iter()).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let all = [
            ("lo", "127.0.0.1"),
            ("eth0", "fd00::2"),
            ("eth0", "192.0.2.2"),
            ("eth0", "192.0.2.2"),
            ("eth0", "fe80::1"),
            ("docker0", "172.17.0.1"),
            ("wg0", "10.8.0.1"),
            ("usb0", "169.254.7.7"),
        ];
        assert_eq!(list(&all), ["192.0.2.2", "10.8.0.1", "fd00::2"]);
        assert_eq!(list(&all[..1]), ["127.0.0.1", "::1"]);
    }
}
