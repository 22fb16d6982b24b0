//! Tells another program of alerts: each change of one is posted as JSON to the configured address.
//!
//! Invariants: one delivery at a time, in order; what cannot be delivered is tried again a few times and
//! then dropped with a word in the log; a receiver that does not listen costs [`QUEUE`] alerts of memory.
//! The address may hold a secret and stands in no log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use nightjar_engine::api::{Alert, Event};
use nightjar_engine::engine::EngineHandle;
use nightjar_engine::env::Secret;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tracing::{debug, warn};
use url::{Host, Url};

/// Alerts that wait for their delivery; further ones are dropped and counted.
const QUEUE: usize = 64;
/// One delivery, from the connection to the answer.
const DELIVERY: Duration = Duration::from_secs(10);
/// Waits before another try of the same alert; after the last one it is dropped.
const AGAIN: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120)];

/// Why a delivery failed.
#[derive(Debug, thiserror::Error)]
enum Undelivered {
    #[error("no connection: {0}")]
    Io(#[from] std::io::Error),
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    #[error("answered {0}")]
    Status(StatusCode),
    #[error("no answer in time")]
    Late,
}

/// Follows the engine's alerts, and the address they are to be told to, until the engine ends.
pub(crate) async fn run(engine: EngineHandle) {
    let mut rules = engine.alert_rules();
    loop {
        let url = rules.borrow_and_update().webhook.clone();
        let telling = async {
            match &url {
                Some(url) => tell(&engine, url).await,
                None => std::future::pending().await,
            }
        };
        let moved = async { while rules.changed().await.is_ok() && rules.borrow().webhook == url {} };
        tokio::select! {
            () = telling => return,
            () = moved => {}
        }
    }
}

async fn tell(engine: &EngineHandle, url: &Secret<String>) {
    let Ok(url) = Url::parse(url.reveal()) else { return };
    let (queue, waiting) = mpsc::channel(QUEUE);
    let mut events = engine.events();
    let follow = async {
        while let Some(event) = events.next().await {
            let alerts = match event {
                // What was raised before the door opened; what is over was told by an earlier run.
                Event::Snapshot { mut alerts, .. } => {
                    alerts.retain(|alert| alert.until.is_none());
                    alerts
                }
                Event::Alert { alert, .. } => vec![*alert],
                _ => continue,
            };
            for alert in alerts {
                if queue.try_send(alert).is_err() {
                    warn!("an alert is not passed on: the receiver of alerts does not keep up");
                }
            }
        }
    };
    let deliver = deliver_all(&url, waiting);
    tokio::select! {
        () = follow => {}
        () = deliver => {}
    }
}

async fn deliver_all(url: &Url, mut waiting: mpsc::Receiver<Alert>) {
    while let Some(alert) = waiting.recv().await {
        let body = Bytes::from(serde_json::to_vec(&alert).expect("alerts have no keys that are not texts"));
        let mut again = AGAIN.into_iter();
        while let Err(error) = deliver(url, body.clone()).await {
            let Some(wait) = again.next() else {
                warn!(%error, alert = alert.id, "an alert could not be passed on");
                break;
            };
            debug!(%error, alert = alert.id, "an alert will be passed on later");
            sleep(wait).await;
        }
    }
}

async fn deliver(url: &Url, body: Bytes) -> Result<(), Undelivered> {
    let work = async {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(443);
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        if url.scheme() == "http" {
            return post(stream, url, body).await;
        }
        post(encrypt(url, stream).await?, url, body).await
    };
    timeout(DELIVERY, work).await.unwrap_or(Err(Undelivered::Late))
}

async fn encrypt(
    url: &Url,
    stream: TcpStream,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    // Reading the system's certificates blocks, and happens seldom.
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(std::io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
    let name = match url.host() {
        Some(Host::Ipv4(address)) => ServerName::from(std::net::IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => ServerName::from(std::net::IpAddr::V6(address)),
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)?,
        None => return Err(std::io::ErrorKind::InvalidInput.into()),
    };
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

async fn post(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    url: &Url,
    body: Bytes,
) -> Result<(), Undelivered> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post(&url[url::Position::BeforePath..url::Position::AfterQuery])
        .header(HOST, &url[url::Position::BeforeHost..url::Position::AfterPort])
        .header(USER_AGENT, concat!("Nightjar/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .expect("parts of a URL and constants");
    let answer = async {
        let status = sender.send_request(request).await?.status();
        if status.is_success() { Ok(()) } else { Err(Undelivered::Status(status)) }
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => {
            ended?;
            answer.await
        }
    }
}
