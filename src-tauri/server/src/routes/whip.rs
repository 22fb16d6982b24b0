//! Publishing by WHIP (RFC 9725): a phone's way without signaling, for OBS and others.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use nightjar_engine::api::ErrorCode;
use uuid::Uuid;

use super::Named;
use super::media::{FRAGMENT, SDP, etag, ice_links, matches, text};
use crate::door::Door;
use crate::reply::{Refusal, Reply};

/// A publisher's offer.
pub(super) async fn offer(
    State(door): State<Arc<Door>>,
    Named(room): Named<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Reply {
    let offer = text(&headers, SDP, &bytes)?;
    let answer = door.engine.whip_offer(&room, offer).await?;
    let mut response = (StatusCode::CREATED, [(header::CONTENT_TYPE, SDP)], answer.sdp).into_response();
    for (name, value) in [
        (header::LOCATION, format!("/api/v1/whip/{room}/{}", answer.id)),
        (header::ETAG, etag(&answer.id)),
        (header::HeaderName::from_static("accept-patch"), FRAGMENT.to_owned()),
    ] {
        let value = HeaderValue::try_from(value).expect("rooms and ids are fit for a header");
        response.headers_mut().insert(name, value);
    }
    for link in ice_links(&door.engine.config().webrtc.ice_servers) {
        response.headers_mut().append(header::LINK, link);
    }
    Ok(response)
}

/// A publisher's candidates. The answer carried ours. A restart of ICE is a new session: 422 by section
/// 4.3.3 of the RFC.
pub(super) async fn trickle(
    State(door): State<Arc<Door>>,
    Named((room, session)): Named<(String, String)>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Reply {
    let fragment = text(&headers, FRAGMENT, &bytes)?;
    let session = named(&session)?;
    let restart = HeaderValue::from_static("*");
    if headers.get_all(header::IF_MATCH).iter().any(|value| *value == restart) {
        return Err(Refusal::invalid("if-match", "ICE restarts are not taken: begin a new session"));
    }
    if !matches(&headers, &etag(&session)) {
        return Err(Refusal::new(ErrorCode::NoMatch, "If-Match names another session than this one."));
    }
    door.engine.whip_trickle(&room, &session, fragment).await?;
    super::done()
}

pub(super) async fn hang_up(
    State(door): State<Arc<Door>>,
    Named((room, session)): Named<(String, String)>,
) -> Reply {
    door.engine.whip_close(&room, &named(&session)?)?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn offer_options() -> Response {
    let headers = [("allow", "POST,OPTIONS"), ("accept-post", SDP)];
    (StatusCode::NO_CONTENT, headers).into_response()
}

pub(super) async fn session_options() -> Response {
    let headers = [("allow", "PATCH,DELETE,OPTIONS"), ("accept-patch", FRAGMENT)];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn named(session: &str) -> Result<Uuid, Refusal> {
    Uuid::try_parse(session).map_err(|_| Refusal::new(ErrorCode::NotFound, "There is no such session."))
}
