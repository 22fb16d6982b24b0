//! The addresses under which phones may find this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Most of them: a machine with many virtual networks has many that lead nowhere.
const MOST: usize = 16;

/// All that a listener on `listen` is reached at: the default route's first, IPv4 before IPv6, loopback only
/// where there is nothing else.
pub(super) fn of(listen: IpAddr) -> Vec<IpAddr> {
    if !listen.is_unspecified() {
        return vec![listen];
    }
    let mut found: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter(|interface| !interface.is_loopback() && !interface.is_link_local())
        .map(|interface| interface.ip())
        .filter(|ip| listen.is_ipv6() || ip.is_ipv4())
        .collect();
    let default = default_route();
    found.sort_by_key(|ip| (Some(*ip) != default, ip.is_ipv6(), *ip));
    found.dedup();
    found.truncate(MOST);
    if found.is_empty() {
        found.push(if listen.is_ipv6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() });
    }
    found
}

/// A network that this machine is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    address: Ipv4Addr,
    mask: Ipv4Addr,
}

impl Network {
    /// Whether an address is of it.
    pub(super) fn holds(&self, ip: IpAddr) -> bool {
        let IpAddr::V4(ip) = ip.to_canonical() else { return false };
        ip & self.mask == self.address & self.mask
    }
}

/// The networks of this machine; IPv4 alone.
pub(super) fn networks() -> Vec<Network> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default().into_iter();
    let networks = interfaces.filter_map(|interface| match interface.addr {
        if_addrs::IfAddr::V4(v4) => Some(Network { address: v4.ip, mask: v4.netmask }),
        if_addrs::IfAddr::V6(_) => None,
    });
    networks.collect()
}

/// The address that packets to elsewhere would carry. Nothing is sent.
fn default_route() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // An address for documentation (RFC 5737): only the route to it is asked for.
    socket.connect(SocketAddr::from(([192, 0, 2, 1], 9))).ok()?;
    socket.local_addr().ok().map(|addr| addr.ip()).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_address_stands_alone_and_there_is_always_one() {
        let chosen: IpAddr = "192.168.7.7".parse().unwrap();
        assert_eq!(of(chosen), [chosen]);
        let all = of(Ipv4Addr::UNSPECIFIED.into());
        assert!(!all.is_empty() && all.iter().all(IpAddr::is_ipv4));
    }

    #[test]
    fn a_network_holds_its_own_addresses_alone() {
        let network = Network { address: [192, 168, 1, 20].into(), mask: [255, 255, 255, 0].into() };
        for (ip, near) in [
            ("192.168.1.7", true),
            ("::ffff:192.168.1.7", true),
            ("192.168.2.7", false),
            ("8.8.8.8", false),
            ("::1", false),
        ] {
            assert_eq!(network.holds(ip.parse().unwrap()), near, "{ip}");
        }
        assert!(networks().iter().any(|network| network.holds(Ipv4Addr::LOCALHOST.into())));
    }
}
