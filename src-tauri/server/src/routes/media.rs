//! Ways to watch: stills, WebRTC by WHEP, and fragments over a WebSocket.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use nightjar_engine::api::{ErrorCode, Stream};
use nightjar_engine::config::IceServer;
use nightjar_engine::live::Sound;
use uuid::Uuid;

use super::CameraId;
use crate::body;
use crate::door::Door;
use crate::guard::parameter;
use crate::reply::{Refusal, Reply};

/// Widths that a still may have.
const WIDTHS: std::ops::RangeInclusive<u16> = 16..=3_840;
pub(super) const SDP: &str = "application/sdp";
pub(super) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

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

/// `?width=`: of a still.
pub(super) fn width(uri: &Uri) -> Result<Option<u16>, Refusal> {
    parameter(uri.query(), "width")
        .map(|text| text.parse().ok().filter(|width| WIDTHS.contains(width)))
        .map(|width| {
            let reason = format!("must be {} to {} pixels", WIDTHS.start(), WIDTHS.end());
            width.ok_or_else(|| Refusal::invalid("width", reason))
        })
        .transpose()
}

pub(super) async fn snapshot(
    State(door): State<Arc<Door>>,
    CameraId(id): CameraId,
    OriginalUri(uri): OriginalUri,
) -> Reply {
    let width = width(&uri)?;
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
        (header::ETAG, etag(&viewer)),
        (header::HeaderName::from_static("accept-patch"), FRAGMENT.to_owned()),
    ] {
        let value = HeaderValue::try_from(value).expect("ids are fit for a header");
        response.headers_mut().insert(name, value);
    }
    for link in ice_links(&door.engine.config().webrtc.ice_servers) {
        response.headers_mut().append(header::LINK, link);
    }
    Ok(response)
}

/// The STUN and TURN servers for the other end, as RFC 9725 section 4.6 has them.
pub(super) fn ice_links(servers: &[IceServer]) -> impl Iterator<Item = HeaderValue> {
    let links = servers.iter().flat_map(|server| {
        let (user, secret) = (server.username.as_deref(), server.credential.as_ref());
        let login = user.zip(secret).map(|(user, secret)| {
            format!(
                "; username={}; credential={}; credential-type=\"password\"",
                quoted(user),
                quoted(secret.reveal())
            )
        });
        let login = login.unwrap_or_default();
        server.urls.iter().map(move |url| format!("<{url}>; rel=\"ice-server\"{login}"))
    });
    // What no header can carry is left out: the address comes from the configuration.
    links.filter_map(|link| HeaderValue::try_from(link).ok())
}

/// A quoted-string (RFC 9110 section 5.6.4).
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether the request is meant for this tag (RFC 9110 section 13.1.1).
pub(super) fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let mut meant = headers.get_all(header::IF_MATCH).iter().peekable();
    let names_it = |list: &HeaderValue| {
        list.as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|t| t == b"*" || t == tag.as_bytes())
    };
    meant.peek().is_none() || meant.any(names_it)
}

pub(super) fn etag(viewer: &Uuid) -> String {
    format!("\"{}\"", viewer.simple())
}

/// A viewer's candidates. Its answer carried ours.
pub(super) async fn trickle(
    State(door): State<Arc<Door>>,
    Viewing { camera, viewer }: Viewing,
    headers: HeaderMap,
    bytes: Bytes,
) -> Reply {
    let fragment = text(&headers, FRAGMENT, &bytes)?;
    if !matches(&headers, &etag(&viewer)) {
        return Err(Refusal::new(ErrorCode::NoMatch, "If-Match names another session than this one."));
    }
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

pub(super) fn text<'a>(headers: &HeaderMap, kind: &str, bytes: &'a [u8]) -> Result<&'a str, Refusal> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_s3_links_name_the_servers_and_nothing_breaks_out_of_its_quotes() {
        let servers = [
            IceServer {
                urls: vec!["stun:a".into(), "turn:b?transport=udp".into()],
                username: None,
                credential: None,
            },
            IceServer {
                urls: vec!["turn:c".into()],
                username: Some("u\"; x=\"".into()),
                credential: Some("p\\".to_owned().into()),
            },
            IceServer { urls: vec!["turn:d\r\nx: y".into()], username: None, credential: None },
        ];
        let links: Vec<_> = ice_links(&servers).map(|link| link.to_str().unwrap().to_owned()).collect();
        assert_eq!(
            links,
            [
                r#"<stun:a>; rel="ice-server""#,
                r#"<turn:b?transport=udp>; rel="ice-server""#,
                r#"<turn:c>; rel="ice-server"; username="u\"; x=\""; credential="p\\"; credential-type="password""#,
            ]
        );
    }
}
