//! Cameras that speak RTSP: one attempt to open one, and the frames that come of it.
//!
//! Invariants: an attempt never retries; every step of it has its own time limit; nothing here waits for a
//! reader; a camera can send what it likes without ending the process. retina is the RTSP client and is
//! used nowhere else; over the network it sees the [`conduit`] only. Knows neither the hub nor who
//! decides about reconnects.

mod clock;
pub mod conduit;
mod picture;
mod probe;
mod rtsp;
mod tracks;

use std::fmt;
use std::time::Duration;

use tokio_util::task::TaskTracker;
use url::Url;

use crate::env::Secret;

pub use conduit::{Fingerprint, Question, host_of, reach};
pub use probe::{ProbeReport, Remark, TrackFigures, probe};
pub use rtsp::RtspSource;

/// How media travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Within the RTSP connection: nothing is lost on the way.
    #[default]
    Tcp,
    /// Datagrams: less delay where the network is bad, at the price of pictures with holes.
    Udp,
}

/// Everything needed to reach one stream of a camera.
#[derive(Clone)]
pub struct RtspOptions {
    /// `rtsp` or `rtsps`. User and password in it are taken for the fields below where those are empty.
    pub url: Url,
    pub username: String,
    pub password: Secret<String>,
    pub transport: Transport,
    /// Of each step: connecting, DESCRIBE, each SETUP, PLAY.
    pub tcp_timeout: Duration,
    /// From keep-alive to keep-alive, and how long each answer is waited for (R-K1).
    pub keepalive_timeout: Duration,
    /// Whether sound is asked for.
    pub audio: bool,
    /// With `rtsps`: the only certificate that is accepted. Without it any is, as cameras sign their own.
    pub tls_fingerprint: Option<Fingerprint>,
    /// Owns the conduits, so that whoever ends the program can wait for their goodbyes.
    pub conduits: TaskTracker,
}

impl RtspOptions {
    /// The defaults of R-K5 for an address.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self {
            url,
            username: String::new(),
            password: Secret::default(),
            transport: Transport::Tcp,
            tcp_timeout: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(5),
            audio: true,
            tls_fingerprint: None,
            conduits: TaskTracker::new(),
        }
    }

    /// Moves user and password out of the URL.
    fn without_url_credentials(mut self) -> Self {
        if self.username.is_empty() && self.password.reveal().is_empty() {
            self.username = unescaped(self.url.username());
            self.password = Secret::new(unescaped(self.url.password().unwrap_or_default()));
        }
        // They fail for URLs without a host only, which have no user either.
        let _ = self.url.set_username("");
        let _ = self.url.set_password(None);
        self.url.set_fragment(None);
        self
    }
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let hex = |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = &tail[2..];
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl fmt::Debug for RtspOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Path and query may hold a password: many cameras want it there.
        f.debug_struct("RtspOptions")
            .field("host", &host_of(&self.url))
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_url_and_nothing_shows_them() {
        let url = Url::parse("rtsp://ad%6Din:p%40ss@10.0.0.1/live?password=p@ss#x").unwrap();
        let options = RtspOptions::new(url).without_url_credentials();
        assert_eq!(options.url.as_str(), "rtsp://10.0.0.1/live?password=p@ss");
        assert_eq!((&*options.username, &**options.password.reveal()), ("admin", "p@ss"));
        assert!(!format!("{options:?}").contains("p@ss"), "{options:?}");
    }
}
