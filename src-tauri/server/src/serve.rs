//! The listener and its connections.
//!
//! Every wait has an end: a TLS handshake, the head of a request, its body, a peer that does not read.
//! There are so many connections at most. When it is told to stop, nothing new is taken, WebSockets are
//! closed with 1001, and what does not end by itself is cut off within [`DRAIN`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nightjar_engine::engine::EngineHandle;
use nightjar_engine::env::{Env, Secret};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};
use url::Url;

use crate::auth::{Auth, Ticket};
use crate::door::{Arrival, Door, Way};
use crate::guard;
use crate::hosts::Hosts;
use crate::metrics::Figures;
use crate::phones::{self, Kept, Listeners, PhoneOptions, Phones};
use crate::routes;
use crate::shares::{Places, Share, Shares};
use crate::signal::{Identity, Signal};
use crate::tls::Tls;
use crate::webhook;
use crate::wire::Wire;

/// Connections beyond this wait in the system's queue. What became a WebSocket counts there instead.
const MAX_CONNECTIONS: usize = 1_024;
/// Further ones for this machine alone: who sits at it is not kept out by a crowd elsewhere.
const OWN_CONNECTIONS: usize = 64;
/// Of all, those of one address beyond this machine. It is more than the phones' [`SHARE`]: a proxy elsewhere has no
/// more for everybody behind it.
const MAIN_SHARE: usize = 256;
/// The same for phones, and for those that want to trust us.
const MAX_PHONE_CONNECTIONS: usize = 512;
const MAX_TRUST_CONNECTIONS: usize = 64;
/// Of these, those of one address; see [`Shares`].
const SHARE: usize = 32;
/// A TLS handshake must be done by then.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The head of a request must be there by then; an idle connection is closed after the same time.
const HEAD: Duration = Duration::from_secs(30);
/// The same where anybody on the network may knock.
const PHONE_HEAD: Duration = Duration::from_secs(10);
/// Bytes that the head of a request may have.
const HEAD_MAX: usize = 32 * 1024;
/// After this long at the end, connections are cut off.
const DRAIN: Duration = Duration::from_millis(1_500);
/// The wait after an accept that failed, for instance for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the door is like.
#[derive(Debug)]
pub struct ServerOptions {
    pub listen: SocketAddr,
    /// Asked of everybody when set. Needed beyond loopback.
    pub token: Option<Secret<String>>,
    /// The address people use, where it differs from `listen`.
    pub public_url: Option<Url>,
    /// Further names under which it may be reached, with or without a port.
    pub allowed_hosts: Vec<String>,
    /// Origins of pages that are not served from here but may use it: the desktop's web view.
    pub allowed_origins: Vec<String>,
    pub tls: Option<Tls>,
    /// The door for phones; none without it.
    pub phones: Option<PhoneOptions>,
    pub env: Env,
}

impl ServerOptions {
    /// A plain door at this address.
    #[must_use]
    pub fn new(listen: SocketAddr, env: Env) -> Self {
        Self {
            listen,
            token: None,
            public_url: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            tls: None,
            phones: None,
            env,
        }
    }
}

/// The door, bound and not yet open.
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    tls: Option<Tls>,
    listeners: Listeners,
    door: Arc<Door>,
}

/// Hands out tickets for an open door. Cheap to clone.
#[derive(Clone)]
pub struct Tickets(Arc<Door>);

impl Tickets {
    /// A ticket for a path below `/api/v1/` and what lies below it; a query is ignored.
    #[must_use]
    pub fn ticket(&self, path: &str) -> Ticket {
        self.0.auth.ticket(path.split('?').next().unwrap_or_default())
    }
}

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    /// Where the address cannot be had; `InvalidInput` where it lies beyond loopback and there is no token.
    pub async fn bind(options: ServerOptions, engine: EngineHandle) -> io::Result<Self> {
        let ServerOptions { listen, token, public_url, allowed_hosts, allowed_origins, tls, phones, env } =
            options;
        if token.is_none() && !listen.ip().is_loopback() {
            let message = "server.token: is needed to listen beyond loopback";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let wanted = phones.filter(|_| engine.config().signaling.enabled);
        let (phones, identity, kept, listeners) = open_phones(wanted, &env).await;
        let phone_names: Vec<String> =
            allowed_hosts.iter().cloned().chain(phones.as_ref().map(|phones| phones.host())).collect();
        let signal = Signal::start(&engine, &env, identity, kept);
        if let Some(signal) = &signal {
            engine.expect_phones(signal.known(), true).await;
        }
        let door = Door {
            figures: Figures::new(&env),
            signal,
            phones,
            phone_hosts: Hosts::new(public_url.as_ref(), &phone_names, &[]),
            engine,
            auth: Auth::new(token, env),
            hosts: Hosts::new(public_url.as_ref(), &allowed_hosts, &allowed_origins),
            cookie: format!("nightjar_{}", addr.port()),
            probes: Semaphore::new(Door::MAX_PROBES),
            sockets: Arc::new(Semaphore::new(Door::MAX_SOCKETS)),
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        Ok(Self { listener, addr, tls, listeners, door: Arc::new(door) })
    }

    /// Where it listens, with the port that was taken.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address for a browser on this machine.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.addr)
    }

    /// For a page that cannot send headers.
    #[must_use]
    pub fn tickets(&self) -> Tickets {
        Tickets(Arc::clone(&self.door))
    }

    /// Serves until told to stop; then ends within two seconds. The engine is left running.
    pub async fn run(self, stop: CancellationToken) {
        let Self { listener, addr, tls, listeners, door } = self;
        let router = routes::router(Arc::clone(&door));
        let places = Places::new(MAX_CONNECTIONS, OWN_CONNECTIONS);
        info!(%addr, tls = tls.is_some(), "door open");
        let (engine, told) = (door.engine.clone(), door.stop.clone());
        door.tasks.spawn(async move {
            told.run_until_cancelled(webhook::run(engine)).await;
        });
        let ways = WaysIn { door: Arc::clone(&door), places, shares: Shares::new(MAIN_SHARE), stop };
        let Listeners { phones, trust } = listeners;
        let main = ways.take(listener, Way::Main, tls, router.clone());
        let for_phones = async {
            let Some((listener, tls)) = phones else { return };
            // Phones have places of their own: a crowd of them does not keep the wall out, nor it them.
            let places = Places::new(MAX_PHONE_CONNECTIONS, 0);
            let ways = WaysIn { places, shares: Shares::new(SHARE), ..ways.clone() };
            ways.take(listener, Way::Phones, Some(tls), router).await;
        };
        let for_trust = async {
            let (Some(listener), Some(phones)) = (trust, &door.phones) else { return };
            let places = Places::new(MAX_TRUST_CONNECTIONS, 0);
            let ways = WaysIn { places, shares: Shares::new(SHARE / 4), ..ways.clone() };
            let router = phones::trust_router(Arc::clone(&phones.authority));
            ways.take(listener, Way::Trust, None, router).await;
        };
        let names = async {
            if let Some(phones) = &door.phones {
                Arc::clone(phones).watch(ways.stop.clone()).await;
            }
        };
        tokio::join!(main, for_phones, for_trust, names);
        door.stop.cancel();
        door.tasks.close();
        let drained = async {
            if let Some(signal) = &door.signal {
                signal.relay.shutdown().await;
            }
            door.tasks.wait().await;
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            debug!(left = door.tasks.len(), "connections cut off at the end");
        }
        door.cut.cancel();
        info!(%addr, "door closed");
    }
}

/// Opens the door for phones, where it is wanted. That it cannot be opened is told and stops nothing.
async fn open_phones(
    wanted: Option<PhoneOptions>,
    env: &Env,
) -> (Option<Arc<Phones>>, Identity, Option<Arc<Kept>>, Listeners) {
    let nothing = || (None, Identity::default(), None, Listeners { phones: None, trust: None });
    let Some(options) = wanted else { return nothing() };
    let store = Arc::clone(&options.store);
    let kept =
        tokio::task::spawn_blocking(move || Kept::load(store)).await.map_err(io::Error::other).flatten();
    let opened = match kept {
        Ok(kept) => Phones::open(options, env.clone()).await.map(|opened| (opened, Arc::new(kept))),
        Err(error) => Err(error),
    };
    match opened {
        Ok(((phones, listeners), kept)) => {
            let phones = Arc::new(phones);
            let identity = Identity {
                relay_id: phones.authority.relay_id(),
                signer: Some(Arc::clone(&phones.authority) as Arc<dyn nightjar_signaling::relay::Signer>),
                devices: kept.devices(),
            };
            (Some(phones), identity, Some(kept), listeners)
        }
        Err(error) => {
            warn!(tag = "STORAGE", %error, "phones cannot come in: what is known of them cannot be read");
            nothing()
        }
    }
}

/// What all listeners share.
#[derive(Clone)]
struct WaysIn {
    door: Arc<Door>,
    places: Places,
    /// What one address may have of the places.
    shares: Arc<Shares>,
    stop: CancellationToken,
}

impl WaysIn {
    /// Takes connections until told to stop.
    async fn take(&self, listener: TcpListener, way: Way, tls: Option<Tls>, router: Router) {
        loop {
            let (stream, peer, place) = tokio::select! {
                () = self.stop.cancelled() => break,
                arrived = self.accept(&listener) => arrived,
            };
            let Some(share) = self.shares.take(peer.ip()) else { continue };
            let connection = Connection {
                door: Arc::clone(&self.door),
                router: router.clone(),
                tls: tls.clone(),
                way,
                peer,
                share,
                _place: place,
            };
            let cut = self.door.cut.clone();
            self.door.tasks.spawn(async move {
                tokio::select! {
                    () = cut.cancelled() => {}
                    () = connection.run(stream) => {}
                }
            });
        }
    }

    /// The next connection and its place.
    async fn accept(&self, listener: &TcpListener) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
        loop {
            let place = self.places.free().await;
            match listener.accept().await {
                // What has no place is hung up on.
                Ok((stream, peer)) => {
                    if let Some(place) = self.places.take(place, peer.ip()) {
                        return (stream, peer, place);
                    }
                }
                Err(error) => {
                    warn!(%error, "a connection cannot be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

struct Connection {
    door: Arc<Door>,
    router: Router,
    tls: Option<Tls>,
    way: Way,
    peer: SocketAddr,
    /// Held as long as the connection.
    share: Share,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let Ok(local) = stream.local_addr() else { return };
        // Frames are small and must not wait for each other.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        match &self.tls {
            None => self.speak(stream, local).await,
            Some(tls) => {
                let handshake = tokio::time::timeout(HANDSHAKE, tls.acceptor.accept(stream));
                let stop = self.door.stop.clone();
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.share.displaced() => debug!("TLS made way for a newer connection of its address"),
                    shaken = handshake => match shaken {
                        Ok(Ok(stream)) => self.speak(stream, local).await,
                        Ok(Err(error)) => debug!(%error, "TLS could not be agreed on"),
                        Err(_) => debug!("TLS was not agreed on in time"),
                    },
                }
            }
        }
    }

    async fn speak(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, local: SocketAddr) {
        let arrival = Arrival { local, peer: self.peer, tls: self.tls.is_some(), way: self.way };
        let answer = service_fn(|request: Request<Incoming>| {
            let (door, router) = (Arc::clone(&self.door), self.router.clone());
            async move {
                let answer = guard::answer(&door, router, arrival, request.map(Body::new)).await;
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(if self.way == Way::Main { HEAD } else { PHONE_HEAD })
            .max_buf_size(HEAD_MAX)
            .serve_connection(TokioIo::new(Wire::new(stream)), answer)
            .with_upgrades();
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.door.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            // What is being answered is answered; a connection that only waits ends at once.
            () = self.share.displaced() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "a connection broke");
        }
    }
}
