//! The ways in: a WebSocket, or HTTPS with a stream of events and posted messages. Both carry the same texts.
//!
//! Every wait has an end: a peer that says nothing, one that does not read, one that answers no pings.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, Stream};
use subtle::ConstantTimeEq as _;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{debug, info};

use super::keys::random;
use super::limits::{HEARTBEAT, MISSED};
use super::outbox::{Next, Outbox};
use super::rooms::{Origin, SocketId};
use super::{Relay, Shared, lock};
use crate::inbound::MESSAGE_MAX;
use crate::message::{Closed, Hidden, Opened, PROTOCOL};

/// A text must be written in this time.
const WRITE: Duration = Duration::from_secs(10);
/// How long a peer may take to answer a goodbye.
const GOODBYE: Duration = Duration::from_millis(500);
/// A session over HTTPS that posts nothing for this long is over.
const SILENCE: Duration = Duration::from_secs(30);

/// A posted message that is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostError {
    /// It is no JSON with a session and a message.
    Malformed,
    /// There is no such session any more: open the stream again.
    NoSession,
}

/// A connection's place in the relay; gives it back when dropped.
struct Place {
    shared: Arc<Shared>,
    socket: SocketId,
    line: Arc<Outbox>,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.shared.lines).remove(&self.socket);
        self.shared.act(|rooms, at| rooms.closed(self.socket, at));
    }
}

impl Relay {
    /// Takes a connection in; `None` where there are too many.
    fn place(&self, origin: Origin) -> Option<Place> {
        let shared = Arc::clone(&self.0);
        if shared.stop.is_cancelled() {
            return None;
        }
        let socket = shared.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let peer_id = shared.uuid();
        let line = Arc::new(Outbox::default());
        lock(&shared.lines).insert(socket, Arc::clone(&line));
        if !shared.with(|rooms, at| rooms.opened(socket, origin, peer_id, at)) {
            lock(&shared.lines).remove(&socket);
            return None;
        }
        shared.wake.notify_one();
        Some(Place { shared, socket, line })
    }

    /// Takes up a WebSocket. `Err`: there are too many.
    ///
    /// # Errors
    /// The upgrade, unused.
    #[allow(clippy::result_large_err, reason = "it is handed back as it came")]
    pub fn websocket(&self, upgrade: WebSocketUpgrade, origin: Origin) -> Result<Response, WebSocketUpgrade> {
        let Some(place) = self.place(origin) else { return Err(upgrade) };
        // A little more than is taken, so that who is only just over hears why.
        let most = MESSAGE_MAX + 4 * 1_024;
        let upgrade = upgrade.max_message_size(most).max_frame_size(most).protocols([PROTOCOL]);
        let tasks = self.0.tasks.token();
        Ok(upgrade.on_upgrade(async move |mut socket| {
            let _held = tasks;
            let end = talk(&place, &mut socket).await;
            debug!(socket = place.socket, ?end, "signaling ended");
            match end {
                End::Ours(code, reason) => goodbye(&mut socket, code, reason).await,
                End::Closed => answer_goodbye(&mut socket).await,
                End::Left | End::Silent | End::Stuck => {}
            }
        }))
    }

    /// Opens a stream of events (SSE). `None`: there are too many.
    #[must_use]
    pub fn stream(&self, origin: Origin) -> Option<Response> {
        let place = self.place(origin)?;
        let session = self.0.moment(|at| random::<16>(at.chance));
        lock(&self.0.sessions).insert(session.clone(), (place.socket, Instant::now()));
        let opened = serde_json::to_string(&Opened { session: Hidden(session.clone()) });
        let first = format!("event: session\ndata: {}\n\n", opened.expect("a text can be written"));
        let events = Events { feed: None, place: Some(SseFeed { place, session, first: Some(first) }) };
        let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
        Some((headers, Body::from_stream(events)).into_response())
    }

    /// Takes a posted message: `{"session","message"}`.
    ///
    /// # Errors
    /// [`PostError`].
    pub fn post(&self, body: &[u8]) -> Result<(), PostError> {
        let parsed: serde_json::Value = serde_json::from_slice(body).map_err(|_| PostError::Malformed)?;
        let session = parsed["session"].as_str().ok_or(PostError::Malformed)?;
        let message = parsed.get("message").filter(|m| m.is_object()).ok_or(PostError::Malformed)?;
        let socket = match lock(&self.0.sessions).get_mut(session) {
            Some((socket, heard)) => {
                *heard = Instant::now();
                *socket
            }
            None => return Err(PostError::NoSession),
        };
        let text = message.to_string();
        self.0.act(|rooms, at| rooms.text(socket, &text, at));
        Ok(())
    }
}

/// Why a WebSocket ended.
#[derive(Debug)]
enum End {
    /// We close it.
    Ours(u16, &'static str),
    /// The peer said goodbye.
    Closed,
    /// The connection broke.
    Left,
    /// It answers no pings.
    Silent,
    /// It does not read.
    Stuck,
}

async fn talk(place: &Place, socket: &mut WebSocket) -> End {
    let Place { shared, socket: id, line } = place;
    let mut pings = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut missed = 0;
    loop {
        let message = tokio::select! {
            () = line.cut.cancelled() => return End::Stuck,
            heard = socket.recv() => {
                missed = 0;
                match heard {
                    Some(Ok(Message::Text(text))) => shared.act(|rooms, at| rooms.text(*id, &text, at)),
                    Some(Ok(Message::Binary(_))) => shared.act(|rooms, at| rooms.no_text(*id, false, at)),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Err(error)) if is_too_large(&error) => {
                        shared.act(|rooms, at| rooms.no_text(*id, true, at));
                    }
                    Some(Ok(Message::Close(_))) => return End::Closed,
                    Some(Err(_)) | None => return End::Left,
                }
                continue;
            }
            _ = pings.tick() => {
                if missed >= MISSED {
                    return End::Silent;
                }
                missed += 1;
                Message::Ping(Bytes::new())
            }
            next = line.next() => match next {
                Next::Text(text) => Message::text(text),
                Next::Close(code, reason) => return End::Ours(code, reason),
            },
        };
        let sent = tokio::select! {
            () = line.cut.cancelled() => return End::Stuck,
            sent = timeout(WRITE, socket.send(message)) => sent,
        };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Left,
            Err(_) => return End::Stuck,
        }
    }
}

/// The library says so in words only.
fn is_too_large(error: &axum::Error) -> bool {
    let text = error.to_string();
    text.contains("too long") || text.contains("too large") || text.contains("too big")
}

/// A peer that says goodbye hears it back (RFC 6455 section 5.5.1): the library says it when it is asked for more.
async fn answer_goodbye(socket: &mut WebSocket) {
    let rest = async { while let Some(Ok(_)) = socket.recv().await {} };
    // Late or not: the socket is dropped now.
    let _ = timeout(GOODBYE, rest).await;
}

async fn goodbye(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let wave = async {
        let frame = CloseFrame { code, reason: reason.into() };
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // Late or not: the socket is dropped now.
    let _ = timeout(GOODBYE, wave).await;
}

/// A stream of events, as a body.
struct Events {
    feed: Option<BoxFuture<'static, (Option<String>, SseFeed)>>,
    place: Option<SseFeed>,
}

struct SseFeed {
    place: Place,
    session: String,
    first: Option<String>,
}

impl Drop for SseFeed {
    fn drop(&mut self) {
        lock(&self.place.shared.sessions).remove(&self.session);
    }
}

impl SseFeed {
    /// The next event; `None` at the end. `session` is emptied once the last was told.
    async fn next(mut self) -> (Option<String>, Self) {
        if let Some(first) = self.first.take() {
            return (Some(first), self);
        }
        let line = Arc::clone(&self.place.line);
        let heard = lock(&self.place.shared.sessions).get(&self.session).map(|(_, heard)| *heard);
        let Some(heard) = heard else { return (None, self) };
        if heard.elapsed() > SILENCE {
            return (None, self);
        }
        let event = tokio::select! {
            () = line.cut.cancelled() => None,
            next = timeout(HEARTBEAT, line.next()) => Some(match next {
                // No line feed can stand in JSON as we write it.
                Ok(Next::Text(text)) => format!("data: {text}\n\n"),
                Ok(Next::Close(code, reason)) => {
                    lock(&self.place.shared.sessions).remove(&self.session);
                    let closed = serde_json::to_string(&Closed { code, reason: reason.to_owned() });
                    format!("event: close\ndata: {}\n\n", closed.expect("a number and a text can be written"))
                }
                Err(_) => ": still here\n\n".to_owned(),
            }),
        };
        (event, self)
    }
}

impl Stream for Events {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(feed) = self.place.take() {
            self.feed = Some(feed.next().boxed());
        }
        let Some(feed) = &mut self.feed else { return Poll::Ready(None) };
        let (event, rest) = std::task::ready!(feed.poll_unpin(cx));
        self.feed = None;
        match event {
            Some(event) => {
                self.place = Some(rest);
                Poll::Ready(Some(Ok(Bytes::from(event))))
            }
            None => Poll::Ready(None),
        }
    }
}

/// Who may join rooms by their names where the relay stands alone.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Asked of everybody when set; without it only this machine may come.
    pub room_key: Option<Hidden>,
    /// Names under which it may be reached, besides addresses and `localhost`.
    pub hosts: Vec<String>,
}

impl Gate {
    fn admit(
        &self,
        from: SocketAddr,
        headers: &HeaderMap,
        query: Option<&str>,
    ) -> Result<Origin, StatusCode> {
        let host = headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let name = host
            .rsplit_once(':')
            .map_or(host, |(name, port)| if port.bytes().all(|b| b.is_ascii_digit()) { name } else { host });
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let own = bare == "localhost" || bare.parse::<std::net::IpAddr>().is_ok();
        if !own && !self.hosts.iter().any(|host| host.eq_ignore_ascii_case(bare)) {
            return Err(StatusCode::MISDIRECTED_REQUEST);
        }
        // A page of another site may not speak for its visitor.
        if let Some(origin) = headers.get(header::ORIGIN) {
            let authority = origin.to_str().ok().and_then(|o| o.split_once("://")).map(|(_, a)| a);
            if authority != Some(host) {
                return Err(StatusCode::FORBIDDEN);
            }
        }
        let legacy = match &self.room_key {
            None => from.ip().to_canonical().is_loopback(),
            Some(key) => {
                let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
                let mut shown = pairs.filter(|(name, _)| matches!(&**name, "key" | "k"));
                shown.any(|(_, shown)| bool::from(shown.as_bytes().ct_eq(key.0.as_bytes())))
            }
        };
        if !legacy {
            return Err(StatusCode::UNAUTHORIZED);
        }
        Ok(Origin { ip: from.ip(), host: host.to_owned(), legacy })
    }
}

/// The relay alone, as a service. Needs `into_make_service_with_connect_info::<SocketAddr>()`.
pub fn router(relay: Relay, gate: Gate) -> Router {
    Router::new()
        .route("/signal", get(signal))
        .route("/api/v1/sig/stream", get(stream))
        .route("/api/v1/sig", post(take).layer(DefaultBodyLimit::max(MESSAGE_MAX + 1_024)))
        .with_state((relay, Arc::new(gate)))
}

type Here = State<(Relay, Arc<Gate>)>;

async fn signal(
    State((relay, gate)): Here,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Result<Response, StatusCode> {
    let origin = gate.admit(from, request.headers(), request.uri().query())?;
    let upgrade = upgrade.map_err(|_| StatusCode::BAD_REQUEST)?;
    info!(from = %origin.ip, "signaling connection");
    relay.websocket(upgrade, origin).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

async fn stream(
    State((relay, gate)): Here,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, StatusCode> {
    let origin = gate.admit(from, request.headers(), request.uri().query())?;
    relay.stream(origin).ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

async fn take(State((relay, _)): Here, headers: HeaderMap, body: Bytes) -> Result<StatusCode, StatusCode> {
    let json = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).is_some_and(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if !json {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    match relay.post(&body) {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(PostError::Malformed) => Err(StatusCode::BAD_REQUEST),
        Err(PostError::NoSession) => Err(StatusCode::NOT_FOUND),
    }
}
