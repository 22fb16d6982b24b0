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
use crate::door::{Arrival, Door};
use crate::guard;
use crate::hosts::Hosts;
use crate::metrics::Figures;
use crate::routes;
use crate::signal::{Identity, Signal};
use crate::tls::Tls;
use crate::wire::Wire;

/// Connections beyond this wait in the system's queue. What became a WebSocket counts there instead.
const MAX_CONNECTIONS: usize = 1_024;
/// A TLS handshake must be done by then.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The head of a request must be there by then; an idle connection is closed after the same time.
const HEAD: Duration = Duration::from_secs(30);
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
            env,
        }
    }
}

/// The door, bound and not yet open.
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    tls: Option<Tls>,
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
        let ServerOptions { listen, token, public_url, allowed_hosts, allowed_origins, tls, env } = options;
        if token.is_none() && !listen.ip().is_loopback() {
            let message = "server.token: is needed to listen beyond loopback";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let door = Door {
            figures: Figures::new(&env),
            signal: Signal::start(&engine, &env, Identity::default()),
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
        Ok(Self { listener, addr, tls, door: Arc::new(door) })
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
        let Self { listener, addr, tls, door } = self;
        let router = routes::router(Arc::clone(&door));
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        info!(%addr, tls = tls.is_some(), "door open");
        loop {
            let (stream, peer, place) = tokio::select! {
                () = stop.cancelled() => break,
                arrived = accept(&listener, &places) => arrived,
            };
            let connection = Connection {
                door: Arc::clone(&door),
                router: router.clone(),
                tls: tls.clone(),
                peer,
                _place: place,
            };
            let cut = door.cut.clone();
            door.tasks.spawn(async move {
                tokio::select! {
                    () = cut.cancelled() => {}
                    () = connection.run(stream) => {}
                }
            });
        }
        drop(listener);
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

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("the places are never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            Err(error) => {
                warn!(%error, "a connection cannot be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

struct Connection {
    door: Arc<Door>,
    router: Router,
    tls: Option<Tls>,
    peer: SocketAddr,
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
        let arrival = Arrival { local, peer: self.peer, tls: self.tls.is_some() };
        let answer = service_fn(|request: Request<Incoming>| {
            let (door, router) = (Arc::clone(&self.door), self.router.clone());
            async move {
                let answer = guard::answer(&door, router, arrival, request.map(Body::new)).await;
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
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
        };
        if let Err(error) = ended {
            debug!(%error, "a connection broke");
        }
    }
}
