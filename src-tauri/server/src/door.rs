//! What every route has at hand.

use std::net::SocketAddr;
use std::sync::Arc;

use nightjar_engine::engine::EngineHandle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Auth;
use crate::hosts::Hosts;
use crate::metrics::Figures;
use crate::phones::Phones;
use crate::signal::Signal;

/// The door as its routes see it.
pub(crate) struct Door {
    pub(crate) engine: EngineHandle,
    pub(crate) auth: Auth,
    pub(crate) hosts: Hosts,
    pub(crate) figures: Figures,
    /// Phones and older clients; `None` where it is switched off.
    pub(crate) signal: Option<Signal>,
    /// The door for phones; `None` where it is not wanted.
    pub(crate) phones: Option<Arc<Phones>>,
    /// The names under which phones may ask for it.
    pub(crate) phone_hosts: Hosts,
    /// Name of the session's cookie. Cookies know no ports, so the name holds it.
    pub(crate) cookie: String,
    /// Places for looks at cameras.
    pub(crate) probes: Semaphore,
    /// Places for WebSockets.
    pub(crate) sockets: Arc<Semaphore>,
    /// The end has come: WebSockets say goodbye.
    pub(crate) stop: CancellationToken,
    /// The time for goodbyes is over: everything is cut off.
    pub(crate) cut: CancellationToken,
    /// Connections, WebSockets and changes that are being made.
    pub(crate) tasks: TaskTracker,
}

impl Door {
    /// Looks at cameras that may be under way at once.
    pub(crate) const MAX_PROBES: usize = 4;
    /// WebSockets beyond this are refused. A wall of 64 tiles needs 65.
    pub(crate) const MAX_SOCKETS: usize = 1_024;

    /// Does work that must not end halfway because its client went away.
    pub(crate) async fn finish<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match self.tasks.spawn(work).await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// How a request came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The address on this machine that it came to.
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) way: Way,
}

/// Through which listener a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The server's own: everything.
    Main,
    /// The one for phones: the publisher page, signaling and WHIP.
    Phones,
    /// The one that helps phones to trust us: its page and the certificate.
    Trust,
}

impl Way {
    /// Whether there is anything for this way at a path.
    pub(crate) fn has(self, path: &str) -> bool {
        let below = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
        match self {
            Self::Main => true,
            Self::Phones => {
                matches!(path, "/publish" | "/signal" | "/api/v1/sig" | "/api/v1/sig/stream")
                    || below("/publish")
                    || below("/api/v1/whip")
            }
            Self::Trust => matches!(path, "/trust" | "/ca.crt" | "/ca.mobileconfig"),
        }
    }
}
