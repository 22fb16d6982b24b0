//! The connection to the camera: name, TCP, and TLS for `rtsps`.
//!
//! Every failure is told in words that a person can act on. Knows nothing of RTSP.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rustls::DigitallySignedStruct;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::names::{NAMES, Names};
use crate::source::{Reach, SourceError, SourceErrorCode as Code};

/// SHA-256 of a certificate's DER form.
pub type Fingerprint = [u8; 32];

/// A connection request that got lost is sent again by the system after 1, 3, 7 … s. So that a camera is
/// reached as soon as it can answer, a fresh request joins the first one at this pace.
const FRESH: Duration = Duration::from_millis(400);

/// Addresses of one name that are tried, all at once.
const MAX_ADDRESSES: usize = 4;
/// A name server that takes longer than this is not waited for where it is known what the name meant last.
const RESOLVE_SOON: Duration = Duration::from_millis(400);
/// While no address answers, the name is looked up again after this.
const RESOLVE_AGAIN: Duration = Duration::from_millis(400);

/// The reading half of a connection, plain or within TLS.
pub(super) type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// The writing half.
pub(super) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// An open connection to a camera.
pub(super) struct Dialed {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// Of the certificate that the camera showed.
    pub(super) fingerprint: Option<Fingerprint>,
}

/// The camera's address as people know it; never with user, path or query, which may hold secrets.
#[must_use]
pub fn host_of(url: &Url) -> String {
    match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => "?".to_owned(),
    }
}

fn port_of(url: &Url) -> u16 {
    // IANA's numbers for rtsp and rtsps.
    url.port().unwrap_or(if url.scheme() == "rtsps" { 322 } else { 554 })
}

/// How far the camera answers within `limit`. It is asked for nothing but its methods, without a login; a
/// camera that speaks TLS is not asked, a handshake costs both sides more than it tells: that it accepts is all that is
/// known of it.
pub async fn reach(url: &Url, limit: Duration) -> Reach {
    let deadline = Instant::now() + limit;
    let Ok(mut stream) = connect(&NAMES, url, deadline).await else { return Reach::Nothing };
    if url.scheme() == "rtsps" {
        return Reach::Accepts;
    }
    let host = url.host().map(|host| host.to_string()).unwrap_or_default();
    let question = format!("OPTIONS rtsp://{host}:{}/ RTSP/1.0\r\nCSeq: 1\r\n\r\n", port_of(url));
    let mut answer = [0; 5];
    let asked = async {
        stream.write_all(question.as_bytes()).await?;
        stream.read_exact(&mut answer).await
    };
    match timeout_at(deadline, asked).await {
        // Whatever it says, also that it wants a login: it speaks.
        Ok(Ok(_)) if answer == *b"RTSP/" => Reach::Answers,
        _ => Reach::Accepts,
    }
}

/// Connects, and agrees on TLS where the URL says `rtsps`.
pub(super) async fn dial(
    url: &Url,
    pin: Option<Fingerprint>,
    limit: Duration,
) -> Result<Dialed, SourceError> {
    let deadline = Instant::now() + limit;
    let stream = connect(&NAMES, url, deadline).await?;
    let host = host_of(url);
    let ends = stream.set_nodelay(true).and_then(|()| Ok((stream.local_addr()?, stream.peer_addr()?)));
    let (local, peer) = ends.map_err(|error| lost(&host, &error))?;
    if url.scheme() != "rtsps" {
        let (reader, writer) = stream.into_split();
        let (reader, writer) = (Box::new(reader), Box::new(writer));
        return Ok(Dialed { reader, writer, local, peer, fingerprint: None });
    }
    let verifier = Arc::new(Verifier::new(pin));
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| SourceError::new(Code::Internal, format!("TLS could not be set up: {error}.")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = match url.host() {
        Some(Host::Ipv4(address)) => ServerName::from(std::net::IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => ServerName::from(std::net::IpAddr::V6(address)),
        _ => ServerName::try_from(host.clone())
            .map_err(|_| SourceError::new(Code::Tls, format!("{host} is no valid name for TLS.")))?,
    };
    let connector = TlsConnector::from(Arc::new(config));
    let stream = match timeout_at(deadline, connector.connect(name, stream)).await {
        Err(_) => {
            let detail = format!(
                "The camera at {host} did not finish the TLS handshake in time; it may not speak TLS here."
            );
            return Err(SourceError::new(Code::Timeout, detail));
        }
        Ok(Err(error)) => return Err(no_tls(&host, &error, verifier.mismatched())),
        Ok(Ok(stream)) => stream,
    };
    let fingerprint = verifier.seen();
    let (reader, writer) = tokio::io::split(stream);
    Ok(Dialed { reader: Box::new(reader), writer: Box::new(writer), local, peer, fingerprint })
}

async fn connect(names: &Names, url: &Url, deadline: Instant) -> Result<TcpStream, SourceError> {
    let (host, port) = (host_of(url), port_of(url));
    // Of an address that is none of the web's the parser takes numbers for a name.
    let (address, name) = match url.host() {
        Some(Host::Ipv4(address)) => (Some(address.into()), None),
        Some(Host::Ipv6(address)) => (Some(address.into()), None),
        Some(Host::Domain(text)) => match text.parse::<IpAddr>() {
            Ok(address) => (Some(address), None),
            Err(_) => (None, Some(text)),
        },
        None => (None, None),
    };
    let mut tried: Vec<SocketAddr> = match (address, name) {
        (Some(address), _) => vec![(address, port).into()],
        (None, Some(name)) => resolve(names, name, port, deadline).await,
        (None, None) => Vec::new(),
    };
    if tried.is_empty() {
        return Err(SourceError::new(Code::Dns, format!("The name {host} could not be resolved.")));
    }
    let mut attempts: FuturesUnordered<_> = tried.iter().map(|address| persist(*address)).collect();
    let mut failure = None;
    let found = timeout_at(deadline, async {
        loop {
            // A camera that is given another address meanwhile is found there.
            let later = async {
                sleep(RESOLVE_AGAIN).await;
                match name {
                    Some(name) => on_port(names.look_up(name).await, port),
                    None => Vec::new(),
                }
            };
            tokio::select! {
                done = attempts.next() => match done {
                    Some(Ok(stream)) => return Some(stream),
                    Some(Err(error)) => failure = Some(error),
                    None => return None,
                },
                addresses = later => {
                    for address in addresses.into_iter().filter(|address| !tried.contains(address)).collect::<Vec<_>>() {
                        if tried.len() < MAX_ADDRESSES {
                            tried.push(address);
                            attempts.push(persist(address));
                        }
                    }
                }
            }
        }
    });
    if let Ok(Some(stream)) = found.await {
        return Ok(stream);
    }
    Err(match failure {
        Some(error) => unconnected(&host, port, &error),
        None => silent(&host, port),
    })
}

/// The addresses of a name, as they are found now; where nobody says so in time, as they were found last. None where
/// they never were, or where it is said that there are none: the old ones may be somebody else's by now.
async fn resolve(names: &Names, name: &str, port: u16, deadline: Instant) -> Vec<SocketAddr> {
    let soon = deadline.min(Instant::now() + RESOLVE_SOON);
    let found = match timeout_at(soon, names.look_up(name)).await {
        Ok(found) => found,
        Err(_) => match names.known(name) {
            known if known.is_empty() => timeout_at(deadline, names.look_up(name)).await.unwrap_or_default(),
            known => known,
        },
    };
    on_port(found, port)
}

fn on_port(mut addresses: Vec<SocketAddr>, port: u16) -> Vec<SocketAddr> {
    addresses.truncate(MAX_ADDRESSES);
    addresses.iter_mut().for_each(|address| address.set_port(port));
    addresses
}

/// Connects by whichever of two requests gets through: the first, for hosts that are far away, or the
/// newest, for those that have just come back. What the newest hears from the host is the answer too.
async fn persist(address: SocketAddr) -> io::Result<TcpStream> {
    let first = TcpStream::connect(address);
    tokio::pin!(first);
    if let Ok(done) = timeout(FRESH, &mut first).await {
        return done;
    }
    loop {
        let fresh = timeout(FRESH, TcpStream::connect(address));
        let done = tokio::select! {
            biased;
            done = &mut first => Ok(done),
            done = fresh => done,
        };
        if let Ok(done) = done {
            return done;
        }
    }
}

fn unconnected(host: &str, port: u16, error: &io::Error) -> SourceError {
    use io::ErrorKind as Kind;
    let (code, detail) = match error.kind() {
        Kind::ConnectionRefused => {
            (Code::Unreachable, format!("Nothing answers on port {port} of {host} (connection refused)."))
        }
        Kind::HostUnreachable => (Code::Unreachable, format!("{host} cannot be reached (no route to host).")),
        Kind::NetworkUnreachable => {
            (Code::Unreachable, format!("{host} cannot be reached (network unreachable)."))
        }
        Kind::TimedOut => return silent(host, port),
        Kind::ConnectionReset => {
            (Code::Reset, format!("{host} reset the connection on port {port} at once."))
        }
        _ => (Code::Unreachable, format!("{host} cannot be reached ({}).", error.kind())),
    };
    SourceError::new(code, detail)
}

/// Nobody took the connection, or refused it.
fn silent(host: &str, port: u16) -> SourceError {
    let detail = format!("The camera at {host} did not answer on port {port} in time.");
    SourceError { reached: Reach::Nothing, ..SourceError::new(Code::Timeout, detail) }
}

fn no_tls(host: &str, error: &io::Error, mismatched: bool) -> SourceError {
    if mismatched {
        let detail = format!(
            "The camera at {host} shows another certificate than the one that is kept. If it was reset or replaced, edit it and save it anew; if not, somebody may stand in between."
        );
        return SourceError::new(Code::Tls, detail);
    }
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => SourceError::new(
                Code::Tls,
                format!("The camera at {host} hung up during the TLS handshake; it may not speak TLS here."),
            ),
            _ => lost(host, error),
        };
    };
    let detail = match tls {
        rustls::Error::InvalidMessage(_) => {
            format!("The camera at {host} does not speak TLS on this port; try rtsp:// instead of rtsps://.")
        }
        rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(_) => format!(
            "The camera at {host} only offers TLS that is too old to be safe (TLS 1.2 with a modern cipher is needed)."
        ),
        rustls::Error::InvalidCertificate(_) => {
            format!(
                "The camera at {host} shows a certificate that cannot be used (too short a key, or damaged)."
            )
        }
        _ => format!("TLS with the camera at {host} failed."),
    };
    SourceError::new(Code::Tls, detail)
}

/// How a connection that was there ended.
pub(super) fn lost(host: &str, error: &io::Error) -> SourceError {
    use io::ErrorKind as Kind;
    if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        return SourceError::new(Code::Tls, format!("TLS with the camera at {host} broke."));
    }
    match error.kind() {
        Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted => {
            SourceError::new(Code::Reset, format!("The camera at {host} reset the connection."))
        }
        Kind::TimedOut => {
            SourceError::new(Code::Timeout, format!("The connection to the camera at {host} timed out."))
        }
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => {
            SourceError::new(Code::Unreachable, format!("The camera at {host} cannot be reached any more."))
        }
        // TLS without a goodbye ends like this.
        Kind::UnexpectedEof => closed(host),
        kind => {
            SourceError::new(Code::Reset, format!("The connection to the camera at {host} broke ({kind})."))
        }
    }
}

pub(super) fn closed(host: &str) -> SourceError {
    SourceError::new(Code::Closed, format!("The camera at {host} closed the connection."))
}

/// Cameras sign their certificates themselves, so there is no chain to verify: a pinned fingerprint
/// decides, or any certificate is taken. That the camera holds the key is verified either way.
struct Verifier {
    provider: Arc<CryptoProvider>,
    pin: Option<Fingerprint>,
    seen: Mutex<Option<Fingerprint>>,
}

impl Verifier {
    fn new(pin: Option<Fingerprint>) -> Self {
        Self { provider: Arc::new(ring::default_provider()), pin, seen: Mutex::new(None) }
    }

    fn seen(&self) -> Option<Fingerprint> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mismatched(&self) -> bool {
        self.pin.is_some() && self.seen().is_some() && self.pin != self.seen()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

/// SHA-256 by the TLS library's own provider.
fn sha256(data: &[u8]) -> Fingerprint {
    let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let hash = suite.tls13().expect("a suite of TLS 1.3").common.hash_provider.hash(data);
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let fingerprint = sha256(end_entity);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(fingerprint);
        if self.pin.is_some_and(|pin| pin != fingerprint) {
            return Err(rustls::CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::names::tests::server;
    use super::*;

    #[tokio::test]
    async fn a_camera_is_found_where_it_was_when_the_name_server_is_silent() {
        let camera = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("rtsp://door.test:{}/", camera.local_addr().unwrap().port())).unwrap();
        // Each answer comes late, and the second says that there is no such name.
        let late = RESOLVE_SOON + Duration::from_millis(200);
        let (names, asked) = server(1, late, "127.0.0.1:0".parse().unwrap());
        for nth in 1..=2 {
            let begun = Instant::now();
            connect(&names, &url, begun + Duration::from_secs(5)).await.expect("there it is");
            camera.accept().unwrap();
            assert_eq!(asked.load(Ordering::Relaxed), nth);
            assert_eq!(begun.elapsed() < late, nth == 2, "the second is not waited for");
            // Until that answer is old.
            sleep(late + Duration::from_millis(500)).await;
        }
        // Somebody else may have its address by now.
        let (none, _) = server(0, Duration::ZERO, "127.0.0.1:0".parse().unwrap());
        let soon = Instant::now() + Duration::from_secs(1);
        assert_eq!(connect(&none, &url, soon).await.err().map(|error| error.code), Some(Code::Dns));
        let nobody = server(0, Duration::from_secs(60), "127.0.0.1:0".parse().unwrap()).0;
        let soon = Instant::now() + Duration::from_millis(100);
        assert_eq!(connect(&nobody, &url, soon).await.err().map(|error| error.code), Some(Code::Dns));
    }

    #[tokio::test]
    async fn that_a_camera_with_tls_accepts_is_no_answer() {
        let camera = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("rtsps://{}/", camera.local_addr().unwrap())).unwrap();
        assert_eq!(reach(&url, Duration::from_secs(1)).await, Reach::Accepts);
    }
}
