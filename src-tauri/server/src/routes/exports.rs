//! Spans of recordings as one file.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use nightjar_engine::api::{ErrorCode, Export, ExportSpec};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use super::done;
use super::recordings::named_file;
use crate::body;
use crate::door::Door;
use crate::file::{self, Offer};
use crate::reply::{Refusal, Reply, json};

/// All exports.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Exports {
    exports: Vec<Export>,
}

pub(super) async fn list(State(door): State<Arc<Door>>) -> Reply {
    Ok(json(StatusCode::OK, &Exports { exports: door.engine.exports()? }))
}

pub(super) async fn begin(State(door): State<Arc<Door>>, headers: HeaderMap, bytes: Bytes) -> Reply {
    let spec: ExportSpec = body::json(&headers, &bytes)?;
    let begun = door.engine.export(spec).await?;
    let mut response = json(StatusCode::ACCEPTED, &begun);
    let location = HeaderValue::try_from(format!("/api/v1/exports/{}", begun.id));
    response.headers_mut().insert(header::LOCATION, location.expect("an id is fit for a header"));
    Ok(response)
}

/// The file where the address ends with `.mp4`, else how far it is.
pub(super) async fn one(
    State(door): State<Arc<Door>>,
    Wanted { id, file }: Wanted,
    method: Method,
    headers: HeaderMap,
) -> Reply {
    if !file {
        return Ok(json(StatusCode::OK, &door.engine.export_state(id)?));
    }
    let found = door.engine.export_file(id).await?;
    let offer = Offer {
        tag: format!("\"{}\"", id.simple()),
        file: found.file,
        bytes: found.bytes,
        modified: None,
        name: Some(found.name),
    };
    Ok(file::give(offer, &method, &headers))
}

pub(super) async fn remove(State(door): State<Arc<Door>>, Wanted { id, .. }: Wanted) -> Reply {
    let engine = door.engine.clone();
    door.finish(async move { engine.remove_export(id).await }).await?;
    done()
}

/// An export, by its id, or its file.
pub(super) struct Wanted {
    id: Uuid,
    file: bool,
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Wanted {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Response> {
        let (id, file) = named_file(parts, state).await?;
        let none = || Refusal::new(ErrorCode::NotFound, "There is no such export.").into_response();
        Ok(Self { id: id.ok_or_else(none)?, file })
    }
}
