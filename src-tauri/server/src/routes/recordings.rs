//! What was recorded: lists, files, pictures of moments, and what it all takes.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use nightjar_engine::api::{ErrorCode, SegmentPatch, Timestamp};
use nightjar_engine::config::is_id;
use uuid::Uuid;

use super::{Named, done};
use crate::body;
use crate::door::Door;
use crate::file::{self, Offer};
use crate::guard::parameter;
use crate::reply::{Refusal, Reply, json};

/// A time of a query.
fn moment(uri: &Uri, name: &str) -> Result<Option<SystemTime>, Refusal> {
    let Some(text) = parameter(uri.query(), name) else { return Ok(None) };
    // A plus that was not encoded is a space by now.
    let read = Timestamp::read(&text.replacen(' ', "+", 1));
    read.map(Some).ok_or_else(|| Refusal::invalid(name, "must be a time such as 2026-11-20T14:50:42Z"))
}

pub(super) async fn list(State(door): State<Arc<Door>>, OriginalUri(uri): OriginalUri) -> Reply {
    let camera = parameter(uri.query(), "camera");
    if let Some(id) = camera.as_deref().filter(|id| !is_id(id)) {
        let shown: String = id.chars().filter(|c| !c.is_control()).take(64).collect();
        return Err(Refusal::new(ErrorCode::NotFound, format!("There is no camera \"{shown}\".")));
    }
    let (from, to) = (moment(&uri, "from")?, moment(&uri, "to")?);
    Ok(json(StatusCode::OK, &door.engine.recordings(camera, from, to).await?))
}

/// The file where the address ends with `.mp4`, else what is known of it.
pub(super) async fn one(
    State(door): State<Arc<Door>>,
    Recording { id, file }: Recording,
    method: Method,
    headers: HeaderMap,
) -> Reply {
    if !file {
        return Ok(json(StatusCode::OK, &door.engine.recording(id).await?));
    }
    let found = door.engine.recording_file(id).await?;
    let state = if found.open { "-open" } else { "" };
    let offer = Offer {
        tag: format!("\"{}-{:x}{state}\"", id.simple(), found.bytes),
        file: found.file,
        bytes: found.bytes,
        modified: found.modified,
        name: None,
    };
    Ok(file::give(offer, &method, &headers))
}

pub(super) async fn change(
    State(door): State<Arc<Door>>,
    recording: Recording,
    headers: HeaderMap,
    bytes: Bytes,
) -> Reply {
    let id = recording.itself()?;
    door.engine.recording(id).await?;
    let SegmentPatch { protected } = body::json(&headers, &bytes)?;
    Ok(json(StatusCode::OK, &door.engine.protect(id, protected).await?))
}

pub(super) async fn remove(State(door): State<Arc<Door>>, recording: Recording) -> Reply {
    let id = recording.itself()?;
    let engine = door.engine.clone();
    door.finish(async move { engine.remove_recording(id).await }).await?;
    done()
}

pub(super) async fn thumbnail(
    State(door): State<Arc<Door>>,
    recording: Recording,
    OriginalUri(uri): OriginalUri,
) -> Reply {
    let id = recording.itself()?;
    door.engine.recording(id).await?;
    let (width, at) = (super::media::width(&uri)?, moment(&uri, "at")?);
    let (jpeg, taken) = door.engine.thumbnail(id, at, width).await?;
    let mut response = ([(header::CONTENT_TYPE, "image/jpeg")], jpeg).into_response();
    let headers = response.headers_mut();
    // What was recorded does not change.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=3600"));
    if taken >= SystemTime::UNIX_EPOCH
        && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(taken))
    {
        headers.insert(header::LAST_MODIFIED, date);
    }
    Ok(response)
}

pub(super) async fn storage(State(door): State<Arc<Door>>) -> Reply {
    Ok(json(StatusCode::OK, &door.engine.storage().await?))
}

/// A recording, by its id.
pub(super) struct Recording {
    id: Uuid,
    /// Its file is meant.
    file: bool,
}

impl Recording {
    /// The id where the recording is meant and not its file.
    fn itself(&self) -> Result<Uuid, Refusal> {
        if self.file { Err(Refusal::nothing_here()) } else { Ok(self.id) }
    }
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Recording {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Response> {
        let (id, file) = named_file(parts, state).await?;
        let none = || Refusal::new(ErrorCode::NotFound, "There is no such recording.").into_response();
        Ok(Self { id: id.ok_or_else(none)?, file })
    }
}

/// What may be done with a file.
pub(super) const FILE_METHODS: &str = "GET,HEAD";

/// Whether a path is that of a recording's or an export's file.
pub(super) fn names_file(path: &str) -> bool {
    let rest = ["/api/v1/recordings/", "/api/v1/exports/"].iter().find_map(|under| path.strip_prefix(under));
    rest.is_some_and(|name| name.ends_with(".mp4") && !name.contains('/'))
}

/// The id of an address that ends with `<id>` or `<id>.mp4`, and whether it is the latter. Files are only read.
pub(super) async fn named_file<S: Send + Sync>(
    parts: &mut axum::http::request::Parts,
    state: &S,
) -> Result<(Option<Uuid>, bool), Response> {
    use axum::extract::FromRequestParts as _;
    let named = Named::<std::collections::HashMap<String, String>>::from_request_parts(parts, state).await;
    let Named(named) = named.map_err(Refusal::into_response)?;
    let text = named.get("id").map(String::as_str).unwrap_or_default();
    let (text, file) = text.strip_suffix(".mp4").map_or((text, false), |id| (id, true));
    if file && !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(([(header::ALLOW, FILE_METHODS)], Refusal::wrong_method()).into_response());
    }
    // In the one form in which ids are given out.
    let id = Uuid::try_parse(text).ok().filter(|id| id.to_string() == text);
    Ok((id, file))
}
