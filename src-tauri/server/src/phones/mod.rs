//! The door for phones: a TLS listener of its own on the network, whose certificate comes from an authority that
//! lives on this machine alone, and a page over plain HTTP that helps a phone to trust it.
//!
//! It serves the publisher page, signaling and WHIP, and nothing else. That it cannot be opened stops nothing: it
//! is told in the log and to who asks for devices.

mod addresses;
mod authority;
mod kept;
mod name;
mod trust;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nightjar_engine::api::Timestamp;
use nightjar_engine::env::Env;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub(crate) use authority::Authority;
pub(crate) use kept::{Kept, NotKept};
pub(crate) use trust::router as trust_router;

use crate::store::FileStore;
use crate::tls::Tls;

/// Between two looks at the addresses of this machine.
const LOOK: Duration = Duration::from_secs(30);
/// Ports that are tried for the trust page, the first first.
const TRUST_PORTS: std::ops::Range<u16> = 8_080..8_100;

/// How phones are let in.
#[derive(Debug)]
pub struct PhoneOptions {
    /// Where they come; TLS.
    pub listen: SocketAddr,
    /// Where keys, devices and tokens are kept.
    pub store: Arc<FileStore>,
    /// A certificate of the owner's, for the owner's names. Our own stays for our addresses and our name: it is
    /// the one that invitations name.
    pub tls: Option<Tls>,
}

/// The listeners, bound.
pub(crate) struct Listeners {
    pub(crate) phones: Option<(TcpListener, Tls)>,
    pub(crate) trust: Option<TcpListener>,
}

/// What is known of the door for phones.
pub(crate) struct Phones {
    pub(crate) authority: Arc<Authority>,
    listen: SocketAddr,
    bound: Result<SocketAddr, String>,
    trust: Option<SocketAddr>,
    env: Env,
}

/// How the door stands, for people.
#[derive(Clone, Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct PhoneDoor {
    /// Phones can come.
    pub(crate) open: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Addresses of the publisher page, best first.
    pub(crate) urls: Vec<String>,
    /// The page that helps a phone to trust this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trust_url: Option<String>,
    /// SHA-256 of the authority's certificate, to be compared with what the phone shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<String>,
    /// Phones that trusted an earlier certificate of the authority must take this one by then: the earlier one runs
    /// out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trust_again_by: Option<Timestamp>,
}

impl Phones {
    /// Makes or reads keys and takes the ports.
    ///
    /// # Errors
    /// Where the keys cannot be read or kept.
    pub(crate) async fn open(options: PhoneOptions, env: Env) -> io::Result<(Self, Listeners)> {
        let PhoneOptions { listen, store, tls } = options;
        let made = {
            let (store, wall) = (Arc::clone(&store), env.wall());
            let ips = addresses::of(listen.ip());
            tokio::task::spawn_blocking(move || Authority::load(store, &ips, wall))
        };
        let authority = made.await.map_err(io::Error::other)??;
        let authority = Arc::new(authority);
        let tls = authority.tls(tls.as_ref());
        let (bound, phones) = match TcpListener::bind(listen).await {
            Ok(listener) => (listener.local_addr().map_err(|e| e.to_string()), Some((listener, tls))),
            Err(error) => {
                let reason = match error.kind() {
                    io::ErrorKind::AddrInUse => format!("another program listens on {listen} already"),
                    _ => format!("{listen} cannot be listened on: {error}"),
                };
                warn!(%listen, reason, "phones cannot come in");
                (Err(reason), None)
            }
        };
        let trust = if phones.is_some() { trust_listener(listen.ip()).await } else { None };
        let trust_at = trust.as_ref().and_then(|listener| listener.local_addr().ok());
        if let Ok(addr) = &bound {
            info!(%addr, trust = ?trust_at, "door for phones open");
        }
        let phones_state = Self { authority, listen, bound, trust: trust_at, env };
        Ok((phones_state, Listeners { phones, trust }))
    }

    /// The name of this machine on the network, without a dot at its end.
    pub(crate) fn host(&self) -> String {
        self.authority.host()
    }

    /// How it stands.
    pub(crate) fn door(&self) -> PhoneDoor {
        let hosts = self.hosts();
        let (urls, reason) = match &self.bound {
            Ok(addr) => {
                (hosts.iter().map(|host| format!("https://{host}:{}/publish", addr.port())).collect(), None)
            }
            Err(reason) => (Vec::new(), Some(reason.clone())),
        };
        let trust_url =
            self.trust.and_then(|addr| Some(format!("http://{}:{}/trust", hosts.first()?, addr.port())));
        let fingerprint = Some(self.authority.fingerprint());
        let trust_again_by = self.authority.trust_again_by(self.env.wall()).map(Timestamp::from);
        PhoneDoor { open: reason.is_none(), reason, urls, trust_url, fingerprint, trust_again_by }
    }

    /// The address of a QR code: the secrets stand after `#` and so reach no server.
    pub(crate) fn invitation(&self, token: &str) -> Result<String, String> {
        let addr = self.bound.clone()?;
        let host = self.hosts().into_iter().next().ok_or("this machine has no address on a network")?;
        let pin = self.authority.relay_id();
        let name = self.authority.host().trim_end_matches(".local").to_owned();
        let alt = self.authority.host();
        Ok(format!("https://{host}:{}/publish#1.{token}.{pin}.{name}.{alt}", addr.port()))
    }

    /// Hosts for addresses: the default route's, the others, the name.
    fn hosts(&self) -> Vec<String> {
        let ips = addresses::of(self.listen.ip());
        let mut hosts: Vec<String> = ips
            .iter()
            .map(|ip| match ip {
                IpAddr::V4(v4) => v4.to_string(),
                IpAddr::V6(v6) => format!("[{v6}]"),
            })
            .collect();
        if !self.listen.ip().is_loopback() {
            hosts.push(self.authority.host());
        }
        hosts
    }

    /// Keeps certificate and name as the addresses of this machine are, until the end.
    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let Ok(addr) = self.bound.clone() else { return };
        let listen = self.listen.ip();
        let told =
            ["v=1".to_owned(), format!("id={}", self.authority.relay_id()), "path=/publish".to_owned()];
        let named = name::Named { host: self.authority.host(), port: addr.port(), told: told.to_vec() };
        let name = async {
            if !listen.is_loopback() {
                name::answer(named, || addresses::of(listen), stop.clone()).await;
            }
        };
        let certificate = async {
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(LOOK) => {}
                }
                let (authority, wall) = (Arc::clone(&self.authority), self.env.wall());
                let look = move || {
                    let ips = addresses::of(listen);
                    if authority.renew(&ips, wall) {
                        info!(?ips, "certificate for phones issued anew");
                    }
                };
                // One that panics is looked at anew in half a minute.
                let _ = tokio::task::spawn_blocking(look).await;
            }
        };
        tokio::join!(name, certificate);
    }
}

async fn trust_listener(ip: IpAddr) -> Option<TcpListener> {
    for port in TRUST_PORTS {
        if let Ok(listener) = TcpListener::bind((ip, port)).await {
            return Some(listener);
        }
    }
    warn!(?TRUST_PORTS, "no port is free for the page that helps phones to trust this machine");
    None
}
