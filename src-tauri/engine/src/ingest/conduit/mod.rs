//! The conduit: an in-process relay between the RTSP client and one camera.
//!
//! The client library opens its own TCP socket, knows no `rtsps`, keeps alive at its own pace and gives up
//! on replies that real cameras send. So it talks to this relay over the loopback, and the relay talks to
//! the camera: it carries TLS, answers for the password, asks the camera for life at the configured pace,
//! repairs what can be repaired in replies, says goodbye when the client is gone, and knows why a
//! connection ended. With UDP only the conversation passes through it; media goes straight to the client.
//!
//! Invariants: media passes unchanged and in order; a camera's bytes reach the client only through
//! [`message`]; every buffer is bounded; the task ends at most [`GOODBYE`] after the client went.

mod auth;
mod dial;
mod keepalive;
pub mod message;
mod names;
mod refusal;
mod relay;
mod repair;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::net::TcpSocket;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use url::Url;

use crate::env::{Env, Secret};
use crate::source::{SourceError, SourceErrorCode};

pub use dial::{Fingerprint, host_of, reach};
pub use keepalive::Question;

use auth::{Authenticator, Credentials};

/// How long the camera's answer to TEARDOWN is waited for.
pub const GOODBYE: Duration = Duration::from_secs(5);
/// What the kernel may hold between relay and client. Half a second of a 4 Mbit/s camera; a client that
/// stalls longer makes the camera wait.
const SOCKET_BUFFER: u32 = 256 << 10;
/// Warnings that wait for the session; older ones give way.
const MAX_WARNINGS: usize = 4;
/// `rtt_us` before the first answer.
const NO_RTT: u64 = u64::MAX;

/// What a conduit needs to know.
pub(super) struct Plan<'a> {
    /// `rtsp` or `rtsps`, without user and password.
    pub(super) url: &'a Url,
    pub(super) username: &'a str,
    pub(super) password: &'a Secret<String>,
    pub(super) pin: Option<Fingerprint>,
    /// Media goes by UDP.
    pub(super) udp: bool,
    pub(super) connect_timeout: Duration,
    pub(super) keepalive: Duration,
    /// Owns the relay's task.
    pub(super) conduits: &'a TaskTracker,
}

/// A running relay. It ends by itself once its client is gone.
#[derive(Debug)]
pub(super) struct Conduit {
    url: Url,
    fingerprint: Option<Fingerprint>,
    shared: Arc<Shared>,
}

/// What relay and session tell each other.
#[derive(Debug)]
pub(super) struct Shared {
    notes: Mutex<Notes>,
    session: AtomicWaker,
    begun: Instant,
    /// When media last came, in milliseconds since `begun`, plus one; zero before the first.
    media: AtomicU64,
    rtt_us: AtomicU64,
    missed: AtomicU64,
    /// The newest keep-alive was not answered in time.
    unanswered: AtomicBool,
    /// Most bytes that waited for the client since the last look.
    backlog: AtomicU64,
}

#[derive(Debug, Default)]
struct Notes {
    end: Option<SourceError>,
    refusal: Option<SourceError>,
    warnings: VecDeque<SourceError>,
    rtp_times: Vec<u32>,
    question: Option<Question>,
}

impl Conduit {
    /// Connects to the camera and starts the relay.
    ///
    /// # Errors
    /// Whatever kept the connection from standing.
    pub(super) async fn open(plan: &Plan<'_>, env: &Env) -> Result<Self, SourceError> {
        let dialed = dial::dial(plan.url, plan.pin, plan.connect_timeout).await?;
        // The client binds its UDP sockets to the address by which it reached the relay, so for UDP that
        // must be the one by which the camera is reached.
        let local = if plan.udp { dialed.local.ip() } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
        let listener = listen(local).map_err(|error| {
            let detail = format!("No local connection could be opened ({}).", error.kind());
            SourceError::new(SourceErrorCode::Internal, detail)
        })?;
        let (listener, address) = listener;
        let token = hex(&env.token::<16>());
        let prefix = format!("rtsp://{address}/{token}");
        let url = Url::parse(&prefix).expect("an address and a hexadecimal path");
        let shared = Arc::new(Shared {
            notes: Mutex::default(),
            session: AtomicWaker::new(),
            begun: Instant::now(),
            media: AtomicU64::new(0),
            rtt_us: AtomicU64::new(NO_RTT),
            missed: AtomicU64::new(0),
            unanswered: AtomicBool::new(false),
            backlog: AtomicU64::new(0),
        });
        let credentials = (!plan.username.is_empty() || !plan.password.reveal().is_empty())
            .then(|| Credentials { username: plan.username.to_owned(), password: plan.password.clone() });
        let fingerprint = dialed.fingerprint;
        let relay = relay::Relay::new(relay::Setting {
            target: plan.url.clone(),
            prefix,
            auth: Authenticator::new(credentials, true),
            pin: plan.pin,
            udp: plan.udp,
            connect_timeout: plan.connect_timeout,
            keepalive: plan.keepalive,
            peer: dialed.peer.ip(),
            shared: Arc::clone(&shared),
        });
        let run = relay.run(listener, dialed.reader, dialed.writer);
        plan.conduits.spawn(run.in_current_span());
        Ok(Self { url, fingerprint, shared })
    }

    /// Where the client finds the relay.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Of the camera's certificate, with `rtsps`.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// What relay and session share.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

fn listen(local: IpAddr) -> std::io::Result<(tokio::net::TcpListener, SocketAddr)> {
    let socket = if local.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Accepted sockets inherit it.
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.bind(SocketAddr::new(local, 0))?;
    let listener = socket.listen(4)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Shared {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Every change below is a single assignment: poisoned notes are whole.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the relay ended, if it did for a reason of its own or of the camera.
    pub(super) fn end(&self) -> Option<SourceError> {
        self.notes().end.clone()
    }

    /// The newest refusal of a request by the camera.
    pub(super) fn take_refusal(&self) -> Option<SourceError> {
        self.notes().refusal.take()
    }

    /// The oldest warning that was not read yet. Where there is none, `waker` is woken by the next.
    pub(super) fn poll_warning(&self, waker: &Waker) -> Option<SourceError> {
        self.session.register(waker);
        self.notes().warnings.pop_front()
    }

    /// RTP times that the camera's answer to PLAY named as the start of its tracks.
    pub(super) fn rtp_times(&self) -> Vec<u32> {
        self.notes().rtp_times.clone()
    }

    /// What the camera is asked to keep the session alive, once that is known.
    pub(super) fn question(&self) -> Option<Question> {
        self.notes().question
    }

    /// Something came from the camera beside the conversation.
    pub(super) fn saw_media(&self) {
        let passed = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.media.store(passed + 1, Ordering::Relaxed);
    }

    /// Round trip of the newest answered keep-alive, in microseconds.
    pub(super) fn rtt_us(&self) -> Option<u64> {
        Some(self.rtt_us.load(Ordering::Relaxed)).filter(|rtt| *rtt != NO_RTT)
    }

    /// Keep-alives that were not answered in time.
    pub(super) fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// Whether the newest keep-alive waits in vain.
    pub(super) fn is_unanswered(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// How full the relay was at most since the last call, in percent.
    pub(super) fn take_backlog_pct(&self) -> u8 {
        let most = self.backlog.swap(0, Ordering::Relaxed);
        u8::try_from(most.saturating_mul(100) / relay::HIGH_WATER as u64).unwrap_or(100).min(100)
    }

    fn saw_backlog(&self, bytes: usize) {
        self.backlog.fetch_max(bytes as u64, Ordering::Relaxed);
    }

    fn media(&self) -> Option<Instant> {
        let passed = self.media.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.begun + Duration::from_millis(passed))
    }

    fn set_end(&self, error: SourceError) {
        self.notes().end.get_or_insert(error);
    }

    fn set_refusal(&self, error: SourceError) {
        self.notes().refusal = Some(error);
    }

    fn set_rtp_times(&self, times: Vec<u32>) {
        self.notes().rtp_times = times;
    }

    fn answered(&self, rtt: Duration, question: Question) {
        let rtt = u64::try_from(rtt.as_micros()).unwrap_or(NO_RTT - 1);
        self.rtt_us.store(rtt, Ordering::Relaxed);
        self.unanswered.store(false, Ordering::Relaxed);
        self.notes().question = Some(question);
    }

    fn unanswered(&self, warning: Option<SourceError>) {
        self.missed.fetch_add(1, Ordering::Relaxed);
        self.unanswered.store(true, Ordering::Relaxed);
        if let Some(warning) = warning {
            let mut notes = self.notes();
            if notes.warnings.len() == MAX_WARNINGS {
                notes.warnings.pop_front();
            }
            notes.warnings.push_back(warning);
            drop(notes);
            self.session.wake();
        }
    }
}
