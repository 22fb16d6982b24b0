//! One connection to the computer: messages in, messages out, until it ends.
//!
//! Everything has a bound: the time to connect, the bytes of a message, the messages that wait. Invariant: after
//! [`Event::Ended`] nothing comes any more, and it always comes, once.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tracing::debug;
use url::Url;

use crate::pin::PinnedTls;

/// Bytes of a message, either way.
pub const MESSAGE_MAX: usize = 128 * 1024;
/// Messages that wait to be sent; beyond it [`Wire::send`] says no, and whoever sends hangs up.
const OUT_MAX: usize = 256;
/// Messages that wait to be read; beyond it the socket is not read, and the computer waits.
const IN_MAX: usize = 64;
/// TCP, TLS and the WebSocket together.
const CONNECT: Duration = Duration::from_secs(4);
/// A goodbye is waited for no longer.
const GOODBYE: Duration = Duration::from_secs(1);

/// Where a computer answers: `https://192.168.1.20:8443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    /// As the `Host` header has it, and as the phone's proof names it.
    authority: String,
}

/// It is no address of a computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address is https://host:port")]
pub struct BadAddress;

impl Address {
    /// Reads an origin; whatever follows the port is left out.
    ///
    /// # Errors
    /// [`BadAddress`] where it is not `https`, or carries a name and a password.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let url = Url::parse(text).map_err(|_| BadAddress)?;
        let host = url.host_str().filter(|_| url.scheme() == "https").ok_or(BadAddress)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadAddress);
        }
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self { host: bare.to_owned(), port: url.port().unwrap_or(443), authority })
    }

    /// As the phone's proof names it.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

/// What happens on a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Message(String),
    Ended(End),
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The computer closed it, with this code where it gave one.
    Closed(Option<u16>),
    /// It broke, or what came was too large.
    Broken,
    /// We hung up.
    Ours,
}

/// Why no wire could be opened.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("the computer did not answer in time")]
    Late,
    #[error("the computer cannot be reached: {0}")]
    Unreachable(std::io::ErrorKind),
    /// The other side has not shown that the pinned key is its own. Nothing was sent to it.
    #[error("this is not the computer whose code was scanned")]
    Impostor,
    #[error("the computer does not speak signaling")]
    Refused,
}

/// An open connection. Dropping it hangs up.
#[derive(Debug)]
pub struct Wire {
    out: mpsc::Sender<String>,
    events: mpsc::Receiver<Event>,
}

type Socket = WebSocketStream<TlsStream<TcpStream>>;

impl Wire {
    /// Connects once.
    ///
    /// # Errors
    /// [`WireError`]; nobody but the owner of a pinned key has seen or said anything then.
    pub async fn open(address: &Address, tls: &PinnedTls) -> Result<Self, WireError> {
        let socket = timeout(CONNECT, connect(address, tls)).await.map_err(|_| WireError::Late)??;
        let (out, to_send) = mpsc::channel(OUT_MAX);
        let (tell, events) = mpsc::channel(IN_MAX);
        tokio::spawn(run(socket, to_send, tell));
        Ok(Self { out, events })
    }

    /// Queues a message. `false`: it was too large, or the wire is over or full.
    pub fn send(&self, message: String) -> bool {
        message.len() <= MESSAGE_MAX && self.out.try_send(message).is_ok()
    }

    /// The next thing that happens; `None` after the end.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

async fn connect(address: &Address, tls: &PinnedTls) -> Result<Socket, WireError> {
    let unreachable = |error: std::io::Error| WireError::Unreachable(error.kind());
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let name = ServerName::try_from(address.host.clone()).map_err(|_| WireError::Refused)?;
    let stream = TlsConnector::from(tls.0.clone()).connect(name, stream).await.map_err(|error| {
        debug!(%error, "TLS was not agreed on");
        // What rustls says comes wrapped; everything else is the network.
        let by_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
        if by_tls { WireError::Impostor } else { unreachable(error) }
    })?;
    let url = format!("wss://{}/signal", address.authority);
    let limits =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
    let (socket, _) = tokio_tungstenite::client_async_with_config(url, stream, Some(limits))
        .await
        .map_err(|_| WireError::Refused)?;
    Ok(socket)
}

async fn run(mut socket: Socket, mut out: mpsc::Receiver<String>, tell: mpsc::Sender<Event>) {
    let end = loop {
        tokio::select! {
            said = socket.next() => match said {
                Some(Ok(Message::Text(text))) => {
                    if tell.send(Event::Message(text.as_str().to_owned())).await.is_err() {
                        break End::Ours;
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    break End::Closed(frame.map(|CloseFrame { code, .. }| code.into()));
                }
                // Pings are answered by the library; bytes mean nothing here.
                Some(Ok(_)) => {}
                Some(Err(tungstenite::Error::ConnectionClosed)) | None => break End::Closed(None),
                Some(Err(_)) => break End::Broken,
            },
            queued = out.recv() => match queued {
                Some(text) => {
                    if socket.send(Message::text(text)).await.is_err() {
                        break End::Broken;
                    }
                }
                None => break End::Ours,
            },
        }
    };
    // Whoever does not answer a goodbye is not waited for.
    let _ = timeout(GOODBYE, socket.close(None)).await;
    let _ = tell.send(Event::Ended(end)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_computer_and_nothing_else() {
        let one = Address::parse("https://192.168.1.20:8443/publish#1.secret").expect("it is one");
        assert_eq!(
            (one.host.as_str(), one.port, one.authority()),
            ("192.168.1.20", 8443, "192.168.1.20:8443")
        );
        let six = Address::parse("https://[fe80::1]:8443").expect("it is one");
        assert_eq!((six.host.as_str(), six.authority()), ("fe80::1", "[fe80::1]:8443"));
        assert_eq!(Address::parse("https://cam.local").expect("it is one").port, 443);
        for bad in ["", "http://192.168.1.20:8443", "wss://h:1", "https://", "https://u:p@h:1", "not one"] {
            assert_eq!(Address::parse(bad), Err(BadAddress), "{bad}");
        }
    }
}
