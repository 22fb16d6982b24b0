//! ICE over TCP, for viewers that no datagram reaches: one listener for all of them.
//!
//! The crate would bind a listener for each connection, and only one of them could have the port. So each
//! connection is given a listener of its own that accepts nothing but what the [`Door`] passes on: a TCP
//! peer's first message is a STUN request that names the connection it wants. Until then a peer is a
//! stranger; strangers are few and have little time. Nothing here knows media or SDP beyond candidates.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};
use webrtc::runtime::{AsyncTcpListener, AsyncTcpStream};

/// Strangers at the same time. More are turned away.
const STRANGERS: usize = 64;
/// What a stranger has to say must be said in this time.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// Largest first message: a STUN request is a tenth of it.
const FIRST_MAX: usize = 1_500;
/// Streams that wait for a connection to take them; more are dropped, and the peer tries again.
const WAITING: usize = 4;
/// Names by which one connection is found at the same time.
const UFRAGS: usize = 2;
/// A peer that takes nothing for this long is gone.
const WRITE: Duration = Duration::from_secs(4);

const STUN_HEADER: usize = 20;
const STUN_BINDING_REQUEST: u16 = 0x0001;
const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const STUN_USERNAME: u16 = 0x0006;

/// The shared listener. Cheap to clone.
#[derive(Clone)]
pub(super) struct Door {
    shared: Arc<Shared>,
}

struct Shared {
    port: u16,
    open: AtomicBool,
    /// Connections by our username fragment.
    guests: Mutex<HashMap<String, mpsc::Sender<Arc<Stream>>>>,
    strangers: Arc<Semaphore>,
    tasks: TaskTracker,
    ending: CancellationToken,
}

/// A connection's right to be found. Dropping it ends it.
pub(super) struct Registration {
    door: Door,
    guest: mpsc::Sender<Arc<Stream>>,
    ufrags: Mutex<Vec<String>>,
}

impl Registration {
    /// ICE was restarted: the connection is found by this name too. Checks under the earlier one may be on
    /// their way.
    pub(super) fn also(&self, ufrag: &str) {
        let mut ufrags = self.ufrags.lock().unwrap_or_else(PoisonError::into_inner);
        if ufrags.iter().any(|known| known == ufrag) {
            return;
        }
        self.door.guests().insert(ufrag.to_owned(), self.guest.clone());
        ufrags.push(ufrag.to_owned());
        if ufrags.len() > UFRAGS {
            self.door.guests().remove(&ufrags.remove(0));
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.door.port()
    }
}

impl Door {
    /// Nothing is bound before [`Door::open`].
    pub(super) fn new(port: u16, tasks: TaskTracker, ending: CancellationToken) -> Self {
        let shared = Shared {
            port,
            open: AtomicBool::new(false),
            guests: Mutex::new(HashMap::new()),
            strangers: Arc::new(Semaphore::new(STRANGERS)),
            tasks,
            ending,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Listens, where it does not yet. A port that is taken is told and tried again next time: UDP does
    /// without.
    pub(super) async fn open(&self) -> bool {
        if self.shared.open.swap(true, Ordering::AcqRel) {
            return true;
        }
        let port = self.shared.port;
        let mut listeners = Vec::new();
        // The second serves IPv4 too on most systems, where the first then finds the port taken.
        for ip in [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)] {
            match TcpListener::bind(SocketAddr::new(ip, port)).await {
                Ok(listener) => listeners.push(listener),
                Err(error) if listeners.is_empty() => debug!(%ip, port, %error, "no ICE over TCP here"),
                Err(_) => {}
            }
        }
        if listeners.is_empty() {
            warn!(port, "the port for ICE over TCP cannot be had");
            self.shared.open.store(false, Ordering::Release);
            return false;
        }
        info!(port, "listening for ICE over TCP");
        for listener in listeners {
            let door = self.clone();
            self.shared.tasks.spawn(async move {
                let ending = door.shared.ending.clone();
                ending.run_until_cancelled(door.accept(listener)).await;
            });
        }
        true
    }

    pub(super) fn port(&self) -> u16 {
        self.shared.port
    }

    /// From now on peers that ask for `ufrag` reach `guest`.
    pub(super) fn register(&self, ufrag: &str, guest: mpsc::Sender<Arc<Stream>>) -> Registration {
        let registration = Registration { door: self.clone(), guest, ufrags: Mutex::default() };
        registration.also(ufrag);
        registration
    }

    async fn accept(&self, listener: TcpListener) {
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: a rest gives others time to return theirs.
                    debug!(%error, "accepting failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(stranger) = Arc::clone(&self.shared.strangers).try_acquire_owned() else { continue };
            let door = self.clone();
            self.shared.tasks.spawn(async move {
                let ending = door.shared.ending.clone();
                let meeting = ending.run_until_cancelled(door.introduce(stream));
                let _ = tokio::time::timeout(INTRODUCTION, meeting).await;
                drop(stranger);
            });
        }
    }

    /// Hears whom the peer wants and passes it on, with what it said.
    async fn introduce(&self, mut stream: TcpStream) -> Option<()> {
        let mut length = [0; 2];
        stream.read_exact(&mut length).await.ok()?;
        let size = usize::from(u16::from_be_bytes(length));
        if !(STUN_HEADER..=FIRST_MAX).contains(&size) {
            return None;
        }
        let mut first = vec![0; 2 + size];
        first[..2].copy_from_slice(&length);
        stream.read_exact(&mut first[2..]).await.ok()?;
        let guest = self.guests().get(wanted(&first[2..])?).cloned()?;
        // Small messages of a live picture must not wait for each other.
        let _ = stream.set_nodelay(true);
        let peer = stream.peer_addr().ok()?;
        let (reader, writer) = stream.into_split();
        let stream = Stream {
            local: Mutex::new(None),
            peer,
            reader: AsyncMutex::new(Reader { said: first, taken: 0, reader }),
            writer: AsyncMutex::new(writer),
            stuck: AtomicBool::new(false),
        };
        guest.try_send(Arc::new(stream)).ok()
    }

    fn guests(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<Arc<Stream>>>> {
        self.shared.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let ufrags = self.ufrags.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut guests = self.door.guests();
        for ufrag in ufrags {
            guests.remove(ufrag);
        }
    }
}

/// The username fragment that a STUN binding request asks for: ours, before the colon.
fn wanted(message: &[u8]) -> Option<&str> {
    let (header, mut attributes) = message.split_at_checked(STUN_HEADER)?;
    let kind = u16::from_be_bytes([header[0], header[1]]);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if kind != STUN_BINDING_REQUEST || length != attributes.len() || header[4..8] != STUN_COOKIE {
        return None;
    }
    while let [kind_high, kind_low, length_high, length_low, rest @ ..] = attributes {
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let value = rest.get(..length)?;
        if u16::from_be_bytes([*kind_high, *kind_low]) == STUN_USERNAME {
            return std::str::from_utf8(value).ok()?.split_once(':').map(|(ours, _)| ours);
        }
        // Attributes are padded to four bytes; the last one's padding may be missing.
        attributes = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

/// The listener that a connection is given. What it accepts seems to arrive at the address the connection
/// believes to have bound, which is the address of its candidate.
pub(super) struct Guest {
    local: SocketAddr,
    streams: AsyncMutex<mpsc::Receiver<Arc<Stream>>>,
}

/// The way to a [`Guest`].
pub(super) fn guest_channel() -> (mpsc::Sender<Arc<Stream>>, mpsc::Receiver<Arc<Stream>>) {
    mpsc::channel(WAITING)
}

impl Guest {
    pub(super) fn new(local: SocketAddr, streams: mpsc::Receiver<Arc<Stream>>) -> Self {
        Self { local, streams: AsyncMutex::new(streams) }
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guest").field("local", &self.local).finish_non_exhaustive()
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl AsyncTcpListener for Guest {
    fn accept(&self) -> Boxed<'_, io::Result<(Arc<dyn AsyncTcpStream>, SocketAddr)>> {
        Box::pin(async move {
            let Some(stream) = self.streams.lock().await.recv().await else {
                // Its registration is gone, and the connection with it.
                return std::future::pending().await;
            };
            *stream.local.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.local);
            let peer = stream.peer;
            Ok((stream as Arc<dyn AsyncTcpStream>, peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

/// A stream whose first message was read already.
#[derive(Debug)]
pub(super) struct Stream {
    local: Mutex<Option<SocketAddr>>,
    peer: SocketAddr,
    reader: AsyncMutex<Reader>,
    writer: AsyncMutex<OwnedWriteHalf>,
    /// A write took too long; no further one is tried.
    stuck: AtomicBool,
}

#[derive(Debug)]
struct Reader {
    said: Vec<u8>,
    taken: usize,
    reader: OwnedReadHalf,
}

impl AsyncTcpStream for Stream {
    fn read<'a, 'b>(
        &'a self,
        buffer: &'b mut [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<usize>> + Send + 'b>>
    where
        'a: 'b,
    {
        Box::pin(async move {
            let mut reader = self.reader.lock().await;
            let said = &reader.said[reader.taken..];
            if said.is_empty() {
                return reader.reader.read(buffer).await;
            }
            let count = said.len().min(buffer.len());
            buffer[..count].copy_from_slice(&said[..count]);
            reader.taken += count;
            Ok(count)
        })
    }

    fn write_all<'a, 'b>(
        &'a self,
        bytes: &'b [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'b>>
    where
        'a: 'b,
    {
        Box::pin(async move {
            // The driver waits for this: without a limit a peer that stalls would hold up its own end.
            if self.stuck.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let mut writer = self.writer.lock().await;
            match tokio::time::timeout(WRITE, writer.write_all(bytes)).await {
                Ok(written) => written,
                Err(_) => {
                    self.stuck.store(true, Ordering::Relaxed);
                    Err(io::ErrorKind::BrokenPipe.into())
                }
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        let local = *self.local.lock().unwrap_or_else(PoisonError::into_inner);
        local.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

/// Puts the shared listener's addresses where the answer names a connection's own.
pub(super) fn rewrite_candidates(answer: &str, addresses: &[IpAddr], port: u16) -> String {
    let mut out = String::with_capacity(answer.len() + 512);
    for line in answer.lines() {
        let mut words = line.split_ascii_whitespace();
        let tcp =
            line.starts_with("a=candidate:") && words.nth(2).is_some_and(|w| w.eq_ignore_ascii_case("tcp"));
        if !tcp {
            out.push_str(line);
            out.push_str("\r\n");
            continue;
        }
        // Active ones are promises to connect, which this end does not keep.
        if !line.contains("tcptype passive") {
            continue;
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        for (n, ip) in addresses.iter().enumerate() {
            let [foundation, component, transport, priority, _, _, rest @ ..] = &words[..] else { break };
            // One foundation for each address, and the first is the best.
            let priority =
                priority.parse::<u32>().unwrap_or(1).saturating_sub(u32::try_from(n).unwrap_or(0) << 8);
            out.push_str(&format!(
                "{foundation}{n} {component} {transport} {} {ip} {port} {}\r\n",
                priority.max(1),
                rest.join(" ")
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(username: &[u8]) -> Vec<u8> {
        let padded = username.len().next_multiple_of(4);
        let length = u16::try_from(8 + 4 + padded).expect("small");
        let mut message = STUN_BINDING_REQUEST.to_be_bytes().to_vec();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(&STUN_COOKIE);
        message.extend_from_slice(&[7; 12]);
        // Another attribute before it: PRIORITY.
        message.extend_from_slice(&[0, 0x24, 0, 4, 1, 2, 3, 4]);
        message.extend_from_slice(&STUN_USERNAME.to_be_bytes());
        message.extend_from_slice(&u16::try_from(username.len()).expect("small").to_be_bytes());
        message.extend_from_slice(username);
        message.resize(STUN_HEADER + usize::from(length), 0);
        message
    }

    #[test]
    fn a_request_says_whom_it_wants() {
        assert_eq!(wanted(&request(b"ours:theirs")), Some("ours"));
        assert_eq!(wanted(&request(b"nobody")), None);
        assert_eq!(wanted(&request(&[0xff, b':', b'a'])), None);
        let mut other = request(b"ours:theirs");
        other[0] = 1;
        assert_eq!(wanted(&other), None, "not a request");
        assert_eq!(wanted(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), None);
    }

    #[tokio::test]
    async fn after_a_restart_of_ice_both_names_lead_to_the_connection_and_none_after_its_end() {
        let door = Door::new(0, TaskTracker::new(), CancellationToken::new());
        let (guest, _streams) = guest_channel();
        let registration = door.register("first", guest);
        registration.also("second");
        registration.also("second");
        let known = || ["first", "second", "third"].map(|ufrag| door.guests().contains_key(ufrag));
        assert_eq!(known(), [true, true, false]);
        registration.also("third");
        assert_eq!(known(), [false, true, true], "the oldest is forgotten");
        drop(registration);
        assert_eq!(known(), [false; 3]);
    }

    #[test]
    fn the_answer_names_the_shared_port_on_every_address() {
        let answer = "v=0\r\na=candidate:1 1 udp 2130706431 10.0.0.1 50000 typ host\r\n\
            a=candidate:2 1 tcp 1671430143 127.0.0.1 40123 typ host tcptype passive\r\n\
            a=candidate:3 1 tcp 1671430143 127.0.0.1 9 typ host tcptype active\r\na=end-of-candidates\r\n";
        let addresses = ["10.0.0.1".parse().expect("v4"), "fd00::1".parse().expect("v6")];
        assert_eq!(
            rewrite_candidates(answer, &addresses, 8_555),
            "v=0\r\na=candidate:1 1 udp 2130706431 10.0.0.1 50000 typ host\r\n\
             a=candidate:20 1 tcp 1671430143 10.0.0.1 8555 typ host tcptype passive\r\n\
             a=candidate:21 1 tcp 1671429887 fd00::1 8555 typ host tcptype passive\r\na=end-of-candidates\r\n"
        );
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(
            mut message in prop::collection::vec(any::<u8>(), 0..200), honest: bool, cut in 0usize..60,
        ) {
            let _ = wanted(&message);
            if honest {
                message = request(&message);
                message.truncate(message.len().saturating_sub(cut));
            }
            let _ = wanted(&message);
        }
    }
}
