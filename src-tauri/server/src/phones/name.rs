//! This machine's name on the network, by multicast DNS (RFC 6762), and the service under it (RFC 6763).
//!
//! It answers for its own name and its own service and for nothing else, and it asks nobody anything. A packet is
//! hostile until it was read: names are bounded, pointers lead backwards only, and what cannot be read is dropped.
//! (The crates for this bring an event loop and a thread of their own for far more than one name.)

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::addresses;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5_353;
/// Between two looks at the addresses of this machine, and before another attempt.
const LOOK: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(5);
/// Between two answers to all: nobody needs to be told more often (RFC 6762, section 6).
const PACE: Duration = Duration::from_secs(1);
/// Answers to one alone, in that time.
const ALONE: u32 = 10;
/// What others look for.
const SERVICE: &str = "_camrelay._tcp.local";
/// Seconds that an answer holds: a name that goes away is forgotten soon.
const TTL: u32 = 120;
/// Bytes of a packet, questions of one, and labels of a name.
const PACKET: usize = 1_500;
const QUESTIONS: usize = 32;
const LABELS: usize = 16;

const A: u16 = 1;
const PTR: u16 = 12;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const ANY: u16 = 255;
/// The internet, and the bit by which an answer replaces older ones.
const IN: u16 = 1;
const FLUSH: u16 = 0x8000;

/// What is answered for.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// Such as `nightjar-3f2a.local`.
    pub(super) host: String,
    pub(super) port: u16,
    /// Pairs for whoever browses.
    pub(super) told: Vec<String>,
}

/// Answers until told to stop; begins anew when the addresses of this machine change. `ips` are those.
pub(super) async fn answer(named: Named, ips: impl Fn() -> Vec<IpAddr>, stop: CancellationToken) {
    let mut told = false;
    loop {
        let now = ips();
        match open(&now) {
            Ok(socket) => {
                told = false;
                serve(&named, &socket, &now, &ips, &stop).await;
            }
            Err(error) if !told => {
                told = true;
                warn!(%error, host = named.host, "the name cannot be announced; addresses work");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Answers on these addresses, as long as they are those of this machine.
async fn serve(
    named: &Named,
    socket: &UdpSocket,
    on: &[IpAddr],
    ips: &impl Fn() -> Vec<IpAddr>,
    stop: &CancellationToken,
) {
    let group = SocketAddr::from((GROUP, PORT));
    let near = addresses::networks();
    let mut pace = Pace::new(Instant::now());
    let mut looks = tokio::time::interval(LOOK);
    let mut packet = [0; PACKET];
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => break,
            _ = looks.tick() => {
                if ips() != on {
                    return;
                }
                continue;
            }
            () = sleep_until(pace.due.unwrap_or_else(Instant::now)), if pace.due.is_some() => {
                pace.told(Instant::now());
                if let Err(error) = socket.send_to(&named.reply(on, 0, TTL), group).await {
                    debug!(%error, "the name was not told");
                }
                continue;
            }
            received = socket.recv_from(&mut packet) => received,
        };
        let Ok((length, from)) = received else { return };
        // Whoever asks from elsewhere is no neighbour (RFC 6762, section 11), and the answer is longer than the
        // question: others could be hit with it.
        if !near.iter().any(|network| network.holds(from.ip())) {
            continue;
        }
        let Some(id) = packet.get(..length).and_then(|packet| named.is_asked(packet)) else { continue };
        if from.port() == PORT {
            pace.asked(Instant::now());
            continue;
        }
        // Who asks from another port is no responder itself and gets the answer alone (section 6.7).
        if !pace.may_answer_alone(Instant::now()) {
            continue;
        }
        if let Err(error) = socket.send_to(&named.reply(on, id, TTL), from).await {
            debug!(%error, "a question for the name was not answered");
        }
    }
    // Goodbye: others forget the name at once.
    let _ = socket.send_to(&named.reply(on, 0, 0), group).await;
}

/// How often is answered. Pure; time is an argument.
#[derive(Debug)]
struct Pace {
    /// When all are told next.
    due: Option<Instant>,
    last: Option<Instant>,
    /// Answers to one alone since then.
    alone: (Instant, u32),
}

impl Pace {
    /// All are told at once.
    fn new(now: Instant) -> Self {
        Self { due: Some(now), last: None, alone: (now, 0) }
    }

    /// Somebody wants all to be told.
    fn asked(&mut self, now: Instant) {
        let earliest = self.last.map_or(now, |last| now.max(last + PACE));
        self.due.get_or_insert(earliest);
    }

    /// All were told.
    fn told(&mut self, now: Instant) {
        (self.due, self.last) = (None, Some(now));
    }

    /// Whether one may be answered alone; counts it.
    fn may_answer_alone(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.alone.0) >= PACE {
            self.alone = (now, 0);
        }
        self.alone.1 += 1;
        self.alone.1 <= ALONE
    }
}

fn open(ips: &[IpAddr]) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // The system's own responder listens there, too.
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
    // RFC 6762, section 11: nothing of it leaves the network.
    socket.set_multicast_ttl_v4(255)?;
    let mut joined = 0;
    for ip in ips {
        if let IpAddr::V4(ip) = ip {
            joined += u32::from(socket.join_multicast_v4(&GROUP, ip).is_ok());
        }
    }
    if joined == 0 {
        return Err(io::Error::other("no network takes part"));
    }
    UdpSocket::from_std(socket.into())
}

impl Named {
    fn instance(&self) -> String {
        format!("{}.{SERVICE}", self.host.trim_end_matches(".local"))
    }

    /// The id of a packet that asks for something of ours.
    fn is_asked(&self, packet: &[u8]) -> Option<u16> {
        let word = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
        let (id, flags, questions) = (word(0)?, word(2)?, usize::from(word(4)?));
        // An answer, or another kind of question.
        if flags & 0xf800 != 0 || questions > QUESTIONS {
            return None;
        }
        let (host, instance) = (self.host.to_ascii_lowercase(), self.instance().to_ascii_lowercase());
        let mut at = 12;
        let mut ours = false;
        for _ in 0..questions {
            let (name, next) = name(packet, at)?;
            let (kind, class) = (word(next)?, word(next + 2)? & !FLUSH);
            at = next + 4;
            let asked = (name == host && matches!(kind, A | AAAA | ANY))
                || (name == SERVICE && matches!(kind, PTR | ANY))
                || (name == instance && matches!(kind, SRV | TXT | ANY));
            ours |= asked && matches!(class, IN | ANY);
        }
        ours.then_some(id)
    }

    /// All that there is to tell.
    fn reply(&self, ips: &[IpAddr], id: u16, ttl: u32) -> Vec<u8> {
        let instance = self.instance();
        let mut records = vec![
            record(SERVICE, PTR, IN, ttl, &label(&instance)),
            record(&instance, SRV, IN | FLUSH, ttl, &{
                let mut data = vec![0, 0, 0, 0];
                data.extend_from_slice(&self.port.to_be_bytes());
                data.extend(label(&self.host));
                data
            }),
            record(&instance, TXT, IN | FLUSH, ttl, &{
                let mut data = Vec::new();
                for pair in &self.told {
                    let pair = &pair.as_bytes()[..pair.len().min(255)];
                    data.push(u8::try_from(pair.len()).unwrap_or(u8::MAX));
                    data.extend_from_slice(pair);
                }
                data
            }),
        ];
        records.extend(ips.iter().map(|ip| match ip {
            IpAddr::V4(v4) => record(&self.host, A, IN | FLUSH, ttl, &v4.octets()),
            IpAddr::V6(v6) => record(&self.host, AAAA, IN | FLUSH, ttl, &v6.octets()),
        }));
        let mut packet = Vec::with_capacity(512);
        packet.extend_from_slice(&id.to_be_bytes());
        packet.extend_from_slice(&[0x84, 0, 0, 0]);
        packet.extend_from_slice(&u16::try_from(records.len()).unwrap_or(u16::MAX).to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, 0]);
        packet.extend(records.into_iter().flatten());
        packet
    }
}

/// A name as labels.
fn label(name: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    for part in name.split('.').filter(|part| !part.is_empty()) {
        let part = &part.as_bytes()[..part.len().min(63)];
        bytes.push(u8::try_from(part.len()).unwrap_or(63));
        bytes.extend_from_slice(part);
    }
    bytes.push(0);
    bytes
}

fn record(name: &str, kind: u16, class: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = label(name);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&class.to_be_bytes());
    bytes.extend_from_slice(&ttl.to_be_bytes());
    bytes.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// Reads a name in lower case; where it ends. A pointer leads backwards, so that this ends.
fn name(packet: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut end, mut least) = (start, None, start);
    let mut parts: Vec<String> = Vec::new();
    loop {
        let length = usize::from(*packet.get(at)?);
        match length {
            0 => return Some((parts.join("."), end.unwrap_or(at + 1))),
            1..=63 => {
                let part = packet.get(at + 1..at + 1 + length)?;
                parts.push(String::from_utf8_lossy(part).to_ascii_lowercase());
                at += 1 + length;
            }
            192.. => {
                let to = (length & 0x3f) << 8 | usize::from(*packet.get(at + 1)?);
                end.get_or_insert(at + 2);
                if to >= least {
                    return None;
                }
                (at, least) = (to, to);
            }
            _ => return None,
        }
        if parts.len() > LABELS {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named() -> Named {
        Named { host: "nightjar-3f2a.local".into(), port: 8_443, told: vec!["v=1".into()] }
    }

    fn question(name: &str, kind: u16, class: u16) -> Vec<u8> {
        let mut packet = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        packet.extend(label(name));
        packet.extend_from_slice(&kind.to_be_bytes());
        packet.extend_from_slice(&class.to_be_bytes());
        packet
    }

    #[test]
    fn it_answers_for_its_own_name_and_service_alone() {
        for (name, kind, class, ours) in [
            ("nightjar-3f2a.local", A, IN, true),
            ("Nightjar-3F2A.local", AAAA, IN | FLUSH, true),
            (SERVICE, PTR, IN, true),
            ("nightjar-3f2a._camrelay._tcp.local", SRV, IN, true),
            ("other.local", A, IN, false),
            ("nightjar-3f2a.local", TXT, IN, false),
            ("nightjar-3f2a.local", A, 3, false),
        ] {
            assert_eq!(named().is_asked(&question(name, kind, class)), ours.then_some(7), "{name} {kind}");
        }
        let mut answer = question("nightjar-3f2a.local", A, IN);
        answer[2] = 0x84;
        assert_eq!(named().is_asked(&answer), None);
    }

    #[test]
    fn what_it_tells_can_be_read() {
        let ip: IpAddr = "192.168.1.20".parse().unwrap();
        let reply = named().reply(&[ip], 7, TTL);
        assert_eq!((&reply[..4], &reply[6..8]), (&[0, 7, 0x84, 0][..], &[0, 4][..]));
        let (first, _) = name(&reply, 12).unwrap();
        assert_eq!(first, SERVICE);
        assert!(reply.ends_with(&[0, 0, 0, 120, 0, 4, 192, 168, 1, 20]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_of_questions_is_answered_once_a_second() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.due, Some(start), "it tells its name at the start");
        pace.told(start);
        for _ in 0..1_000 {
            pace.asked(start + Duration::from_millis(300));
        }
        assert_eq!(pace.due, Some(start + PACE), "late, and not forgotten");
        pace.told(start + PACE);
        assert_eq!(pace.due, None);
        let later = start + 5 * PACE;
        pace.asked(later);
        assert_eq!(pace.due, Some(later));
        assert_eq!((0..1_000).filter(|_| pace.may_answer_alone(later)).count(), 10);
        assert!(pace.may_answer_alone(later + PACE));
    }

    #[test]
    fn a_name_that_points_at_itself_is_none() {
        let mut packet = vec![0; 12];
        packet.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
        assert_eq!(name(&packet, 12), None);
    }

    proptest! {
        #[test]
        fn no_packet_makes_it_fall(packet in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = named().is_asked(&packet);
        }
    }
}
