//! The ways to the relay: a WebSocket, or a stream of events with posted messages.

use std::sync::Arc;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Extension, OriginalUri, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use nightjar_engine::api::ErrorCode;
use nightjar_signaling::relay::{Origin, PostError};

use crate::body;
use crate::door::{Arrival, Door};
use crate::guard;
use crate::reply::{Refusal, Reply};
use crate::signal::Signal;

fn signal(door: &Door) -> Result<&Signal, Refusal> {
    door.signal.as_ref().ok_or_else(|| Refusal::new(ErrorCode::NotFound, "Signaling is switched off."))
}

fn busy() -> Refusal {
    Refusal::new(ErrorCode::Busy, "Too many connections are open.")
}

fn origin(
    door: &Door,
    signal: &Signal,
    arrival: Arrival,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Origin {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let own = guard::is_own(door, arrival, headers);
    Origin { ip: arrival.peer.ip(), host: host.to_owned(), legacy: signal.lets_in(own, query) }
}

pub(super) async fn socket(
    State(door): State<Arc<Door>>,
    Extension(arrival): Extension<Arrival>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Reply {
    let signal = signal(&door)?;
    let upgrade = super::sockets::asked(upgrade)?;
    let origin = origin(&door, signal, arrival, &headers, uri.query());
    signal.relay.websocket(upgrade, origin).map_err(|_| busy())
}

pub(super) async fn stream(
    State(door): State<Arc<Door>>,
    Extension(arrival): Extension<Arrival>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Reply {
    let signal = signal(&door)?;
    let origin = origin(&door, signal, arrival, &headers, uri.query());
    signal.relay.stream(origin).ok_or_else(busy)
}

pub(super) async fn post(State(door): State<Arc<Door>>, headers: HeaderMap, bytes: Bytes) -> Reply {
    let signal = signal(&door)?;
    body::expect_type(&headers, "application/json")?;
    match signal.relay.post(&bytes) {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(PostError::Malformed) => {
            Err(Refusal::new(ErrorCode::Malformed, "The body must hold a session and a message."))
        }
        Err(PostError::NoSession) => Err(Refusal::new(
            ErrorCode::NotFound,
            "There is no such session any more. Open the stream again.",
        )),
    }
}
