//! Ways to watch: stills, WebRTC by WHEP, and fragments over a WebSocket.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use nightjar_engine::api::{ErrorCode, Stream};
use nightjar_engine::live::Sound;
use uuid::Uuid;

use super::CameraId;
use crate::body;
use crate::door::Door;
use crate::guard::parameter;
use crate::reply::{Refusal, Reply};

/// Widths that a still may have.
const WIDTHS: std::ops::RangeInclusive<u16> = 16..=3_840;
const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// `?stream=`: which of a camera's streams.
pub(super) fn stream(uri: &Uri) -> Result<Stream, Refusal> {
    match parameter(uri.query(), "stream").as_deref() {
        None | Some("main") => Ok(Stream::Main),
        Some("sub") => Ok(Stream::Sub),
        Some(_) => Err(Refusal::invalid("stream", "must be \"main\" or \"sub\"")),
    }
}

/// `?sound=`: whether a viewer listens.
pub(super) fn sound(uri: &Uri) -> Result<Sound, Refusal> {
    match parameter(uri.query(), "sound").as_deref() {
        None | Some("on") => Ok(Sound::On),
        Some("off") => Ok(Sound::Off),
        Some(_) => Err(Refusal::invalid("sound", "must be \"on\" or \"off\"")),
    }
}

pub(super) async fn snapshot(
    State(door): State<Arc<Door>>,
    CameraId(id): CameraId,
    OriginalUri(uri): OriginalUri,
) -> Reply {
    let width = parameter(uri.query(), "width")
        .map(|text| text.parse().ok().filter(|width| WIDTHS.contains(width)))
        .map(|width| {
            let reason = format!("must be {} to {} pixels", WIDTHS.start(), WIDTHS.end());
            width.ok_or_else(|| Refusal::invalid("width", reason))
        })
        .transpose()?;
    let taken = door.engine.slot(&id, Stream::Main).await?.newest_key().map(|(_, frame)| frame.wall);
    let jpeg = door.engine.snapshot(&id, width).await?;
    let mut response = ([(header::CONTENT_TYPE, "image/jpeg")], jpeg).into_response();
    if let Some(taken) = taken.filter(|at| *at >= SystemTime::UNIX_EPOCH)
        && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(taken))
    {
        response.headers_mut().insert(header::LAST_MODIFIED, date);
    }
    Ok(response)
}

/// A viewer's offer.
pub(super) async fn offer(
    State(door): State<Arc<Door>>,
    CameraId(id): CameraId,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    bytes: Bytes,
) -> Reply {
    door.engine.camera(&id)?;
    let offer = text(&headers, SDP, &bytes)?;
    let answer = door.engine.whep_offer(&id, stream(&uri)?, offer).await?;
    let mut response = (StatusCode::CREATED, [(header::CONTENT_TYPE, SDP)], answer.sdp).into_response();
    let viewer = answer.id;
    for (name, value) in [
        (header::LOCATION, format!("/api/v1/cameras/{id}/whep/{viewer}")),
        (header::ETAG, format!("\"{}\"", viewer.simple())),
        (header::HeaderName::from_static("accept-patch"), FRAGMENT.to_owned()),
    ] {
        let value = HeaderValue::try_from(value).expect("ids are fit for a header");
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// A viewer's candidates. Its answer carried ours.
pub(super) async fn trickle(
    State(door): State<Arc<Door>>,
    Viewing { camera, viewer }: Viewing,
    headers: HeaderMap,
    bytes: Bytes,
) -> Reply {
    let fragment = text(&headers, FRAGMENT, &bytes)?;
    door.engine.whep_trickle(&camera, &viewer, fragment).await?;
    super::done()
}

pub(super) async fn hang_up(State(door): State<Arc<Door>>, Viewing { camera, viewer }: Viewing) -> Reply {
    door.engine.whep_close(&camera, &viewer)?;
    Ok(StatusCode::OK.into_response())
}

pub(super) async fn offer_options() -> Response {
    let headers = [("allow", "POST,OPTIONS"), ("accept-post", SDP)];
    (StatusCode::NO_CONTENT, headers).into_response()
}

pub(super) async fn viewer_options() -> Response {
    let headers = [("allow", "PATCH,DELETE,OPTIONS"), ("accept-patch", FRAGMENT)];
    (StatusCode::NO_CONTENT, headers).into_response()
}

fn text<'a>(headers: &HeaderMap, kind: &str, bytes: &'a [u8]) -> Result<&'a str, Refusal> {
    body::expect_type(headers, kind)?;
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.trim().is_empty() => Ok(text),
        _ => Err(Refusal::new(ErrorCode::Malformed, "The session description cannot be read.")),
    }
}

/// A viewer of a camera, by the address that its offer was answered with.
pub(super) struct Viewing {
    camera: String,
    viewer: Uuid,
}

impl axum::extract::FromRequestParts<Arc<Door>> for Viewing {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        door: &Arc<Door>,
    ) -> Result<Self, Refusal> {
        let CameraId(camera) = CameraId::from_request_parts(parts, door).await?;
        let super::Named(named): super::Named<std::collections::HashMap<String, String>> =
            super::Named::from_request_parts(parts, door).await?;
        let viewer = named.get("viewer").and_then(|text| Uuid::try_parse(text).ok());
        let viewer = viewer.ok_or_else(|| Refusal::new(ErrorCode::NotFound, "There is no such viewer."))?;
        Ok(Self { camera, viewer })
    }
}
