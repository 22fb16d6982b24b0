//! The camera as a whole: its power, its listener, and the handle by which tests steer it.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Error, Fault, Options, Stats,
    auth::Gate,
    session::{Camera, End, serve},
    stats::Ledger,
    stream::Stream,
};

/// Connections beyond this are closed at once.
const MAX_CONNECTIONS: usize = 1024;
/// A TLS handshake must be done by then.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Between tries to get a port back that was given up.
const REBIND: Duration = Duration::from_millis(50);

/// A running camera. Dropping it switches it off without waiting; [`TestCam::stop`] waits.
pub struct TestCam {
    options: Options,
    addr: SocketAddr,
    fault: watch::Sender<Fault>,
    ledger: Arc<Ledger>,
    tls: Option<(TlsAcceptor, Vec<u8>)>,
    power: Mutex<Option<Power>>,
}

struct Power {
    main: Arc<Stream>,
    end: CancellationToken,
    tasks: TaskTracker,
    accepts: watch::Receiver<bool>,
}

impl TestCam {
    /// Starts a camera; when this returns it answers (unless its fault says otherwise).
    pub async fn spawn(options: Options) -> Result<Self, Error> {
        let tls = if options.tls { Some(certificate()?) } else { None };
        let mut cam = Self {
            addr: options.listen,
            fault: watch::Sender::new(options.fault),
            ledger: Arc::new(Ledger::new()),
            tls,
            power: Mutex::new(None),
            options,
        };
        let listener = bind(cam.addr).await?;
        let source = |source| Error::Listen { addr: cam.options.listen, source };
        cam.addr = listener.local_addr().map_err(source)?;
        cam.start(listener).await;
        Ok(cam)
    }

    /// The URL of the main stream, without credentials.
    pub fn url(&self) -> String {
        self.url_of("main")
    }

    /// The URL of the sub-stream; it answers 404 when the camera has none.
    pub fn sub_url(&self) -> String {
        self.url_of("sub")
    }

    /// The URL of any path on this camera.
    pub fn url_of(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "rtsps" } else { "rtsp" };
        let ip = match self.addr.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        format!("{scheme}://{}/{}", SocketAddr::new(ip, self.port()), path.trim_start_matches('/'))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port it listens on; the same after a power cycle.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The certificate in DER, with TLS.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.tls.as_ref().map(|(_, der)| &der[..])
    }

    /// When frame 0 of the main stream's first loop left, by this machine's time of day; frame `n` of
    /// loop `k` leaves `k · duration + n / fps` later. `None` while the power is off.
    pub fn began(&self) -> Option<std::time::SystemTime> {
        self.lock().as_ref().map(|power| power.main.began())
    }

    /// What the camera was made of.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Switches to another fault, or with [`Fault::None`] back to health. It is in force when this
    /// returns: the listener is closed or open, the next frame or answer obeys it.
    pub async fn set_fault(&self, fault: Fault) {
        self.fault.send_replace(fault);
        let accepts = self.lock().as_ref().map(|power| power.accepts.clone());
        if let Some(mut accepts) = accepts {
            // An error means that the camera was switched off meanwhile.
            let _ = accepts.wait_for(|open| *open == (fault != Fault::Refuse)).await;
        }
    }

    /// The fault in force.
    pub fn fault(&self) -> Fault {
        *self.fault.borrow()
    }

    /// A copy of the counters and the latest requests.
    pub fn stats(&self) -> Stats {
        self.ledger.read(Stats::clone)
    }

    /// Returns when the counters satisfy the condition; the caller sets the time limit. Looked at
    /// whenever a request, a connection or a session changes something (not with every frame).
    pub async fn wait(&self, ready: impl FnMut(&Stats) -> bool) {
        self.ledger.wait(ready).await;
    }

    /// Cuts the power: connections and the listener are closed; nothing is said to the clients.
    pub async fn power_off(&self) {
        let power = self.lock().take();
        if let Some(power) = power {
            power.end.cancel();
            power.tasks.close();
            power.tasks.wait().await;
        }
    }

    /// Power is back: the same port, a new stream from the beginning of the clip with new RTP
    /// times, sequence numbers and SSRCs. Does nothing when the power was on.
    pub async fn power_on(&self) -> Result<(), Error> {
        if self.lock().is_some() {
            return Ok(());
        }
        let listener = bind(self.addr).await?;
        self.start(listener).await;
        Ok(())
    }

    /// Power off, power on.
    pub async fn restart(&self) -> Result<(), Error> {
        self.power_off().await;
        self.power_on().await
    }

    /// Switches the camera off and waits until all its tasks have ended.
    pub async fn stop(self) {
        self.power_off().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Power>> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(&self, listener: TcpListener) {
        let mut options = self.options.clone();
        options.fault = self.fault();
        let stream = |clip, main| Arc::new(Stream::new(&options, clip, main, Arc::clone(&self.ledger)));
        let main = stream(&options.clip, true);
        let sub = options.sub.as_ref().map(|clip| stream(clip, false));
        let end = CancellationToken::new();
        let tasks = TaskTracker::new();
        for stream in [Some(&main), sub.as_ref()].into_iter().flatten() {
            tasks.spawn(Arc::clone(stream).run(self.fault.subscribe(), end.clone()));
        }
        let camera = Arc::new(Camera {
            fault: self.fault.subscribe(),
            ledger: Arc::clone(&self.ledger),
            gate: Mutex::new(Gate::new(options.auth.clone())),
            main: Arc::clone(&main),
            sub,
            end: end.clone(),
            options,
        });
        let (accepting, mut accepts) = watch::channel(true);
        let listening = Listening {
            addr: self.addr,
            camera,
            tls: self.tls.as_ref().map(|(acceptor, _)| acceptor.clone()),
            tasks: tasks.clone(),
            accepting,
        };
        tasks.spawn(listening.run(listener));
        if self.fault() == Fault::Refuse {
            let _ = accepts.wait_for(|open| !open).await;
        }
        *self.lock() = Some(Power { main, end, tasks, accepts });
    }
}

impl Drop for TestCam {
    fn drop(&mut self) {
        if let Some(power) = self.lock().take() {
            power.end.cancel();
        }
    }
}

/// The door of a camera that has power.
struct Listening {
    addr: SocketAddr,
    camera: Arc<Camera>,
    tls: Option<TlsAcceptor>,
    tasks: TaskTracker,
    accepting: watch::Sender<bool>,
}

impl Listening {
    async fn run(self, listener: TcpListener) {
        let mut fault = self.camera.fault.clone();
        let mut door = Some(listener);
        loop {
            let refuses = *fault.borrow_and_update() == Fault::Refuse;
            if refuses {
                door = None;
                self.accepting.send_replace(false);
            } else if door.is_none() {
                door = bind(self.addr).await.ok();
                self.accepting.send_replace(door.is_some());
            }
            let accept = async {
                match &door {
                    Some(listener) => listener.accept().await,
                    None if refuses => std::future::pending().await,
                    None => {
                        sleep(REBIND).await;
                        Err(std::io::ErrorKind::AddrInUse.into())
                    }
                }
            };
            tokio::select! {
                () = self.camera.end.cancelled() => return,
                changed = fault.changed() => if changed.is_err() { return },
                accepted = accept => match accepted {
                    Ok((socket, peer)) => self.greet(socket, peer),
                    // Out of descriptors: wait for one rather than spin.
                    Err(_) => sleep(REBIND).await,
                },
            }
        }
    }

    fn greet(&self, socket: TcpStream, peer: SocketAddr) {
        let ledger = Arc::clone(&self.camera.ledger);
        if ledger.read(|stats| stats.open) >= MAX_CONNECTIONS {
            return;
        }
        ledger.note(|stats| {
            stats.accepted += 1;
            stats.open += 1;
        });
        let (camera, tls) = (Arc::clone(&self.camera), self.tls.clone());
        self.tasks.spawn(async move {
            connection(socket, peer, &camera, tls).await;
            ledger.note(|stats| stats.open -= 1);
        });
    }
}

async fn connection(socket: TcpStream, peer: SocketAddr, camera: &Arc<Camera>, tls: Option<TlsAcceptor>) {
    let Ok(local) = socket.local_addr() else {
        return;
    };
    // Frames go out whole; waiting for more would only add delay.
    let _ = socket.set_nodelay(true);
    let (mut socket, end) = match tls {
        None => serve(socket, peer, local, camera).await,
        Some(acceptor) => {
            let shaken = tokio::select! {
                () = camera.end.cancelled() => return,
                shaken = timeout(HANDSHAKE, acceptor.accept(socket)) => shaken,
            };
            let Ok(Ok(socket)) = shaken else { return };
            let (socket, end) = serve(socket, peer, local, camera).await;
            (socket.into_inner().0, end)
        }
    };
    match end {
        End::Reset => {
            let _ = socket.set_zero_linger();
        }
        End::Closed => {
            let _ = socket.shutdown().await;
        }
    }
}

async fn bind(addr: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(addr).await.map_err(|source| Error::Listen { addr, source })
}

/// A certificate for this machine that nobody signed, and what answers TLS with it.
fn certificate() -> Result<(TlsAcceptor, Vec<u8>), Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::Tls(error.to_string());
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(|e| wrong(&e))?;
    let der = made.cert.der().clone();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(&e))?
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], key.into())
        .map_err(|e| wrong(&e))?;
    Ok((TlsAcceptor::from(Arc::new(config)), der.to_vec()))
}
