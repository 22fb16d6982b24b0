//! Cameras: listed, added, looked at, changed and removed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use nightjar_engine::api::{ApiError, Camera, CameraPatch, CameraSpec, ErrorCode, Fault};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CameraId, done};
use crate::body;
use crate::demo;
use crate::door::Door;
use crate::reply::{Refusal, Reply, json};

/// All cameras.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Cameras {
    pub(crate) cameras: Vec<Camera>,
}

/// How many demo cameras to add.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Demo {
    /// 1 to 16; there are 16 at most.
    pub(crate) count: u32,
}

/// Recording on or off.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordingSwitch {
    pub(crate) on: bool,
}

pub(super) async fn list(State(door): State<Arc<Door>>) -> Response {
    json(StatusCode::OK, &Cameras { cameras: door.engine.cameras() })
}

pub(super) async fn one(State(door): State<Arc<Door>>, CameraId(id): CameraId) -> Reply {
    Ok(json(StatusCode::OK, &door.engine.camera(&id)?))
}

pub(super) async fn add(State(door): State<Arc<Door>>, headers: HeaderMap, bytes: Bytes) -> Reply {
    let spec: CameraSpec = body::json(&headers, &bytes)?;
    let engine = door.engine.clone();
    let camera = door.finish(async move { engine.add_camera(spec).await }).await?;
    let mut response = json(StatusCode::CREATED, &camera);
    let location = HeaderValue::try_from(format!("/api/v1/cameras/{}", camera.id));
    response.headers_mut().insert(header::LOCATION, location.expect("an id is fit for a header"));
    Ok(response)
}

pub(super) async fn change(
    State(door): State<Arc<Door>>,
    CameraId(id): CameraId,
    headers: HeaderMap,
    bytes: Bytes,
) -> Reply {
    door.engine.camera(&id)?;
    let patch: CameraPatch = body::json(&headers, &bytes)?;
    let renamed = patch.name.is_some();
    let (engine, phone) = (door.engine.clone(), door.engine.phone_of(&id));
    let camera = door.finish(async move { engine.change_camera(&id, patch).await }).await?;
    if let (true, Some(signal), Some(phone)) = (renamed, &door.signal, phone) {
        // A phone that was paired keeps its name. Others are not known by theirs.
        signal.relay.rename(&phone, &camera.name);
    }
    Ok(json(StatusCode::OK, &camera))
}

pub(super) async fn remove(State(door): State<Arc<Door>>, CameraId(id): CameraId) -> Reply {
    let within = Arc::clone(&door);
    let removed = door.finish(async move {
        // A paired phone that is taken off the wall does not come back to it.
        let kept = match (&within.signal, within.engine.phone_of(&id)) {
            (Some(signal), Some(phone)) => signal.revoke(&phone).await.map(drop),
            _ => Ok(()),
        };
        within.engine.remove_camera(&id).await?;
        kept.map_err(|error| super::phones::not_kept(&error))
    });
    removed.await?;
    done()
}

pub(super) async fn probe(State(door): State<Arc<Door>>, headers: HeaderMap, bytes: Bytes) -> Reply {
    let spec: CameraSpec = body::json(&headers, &bytes)?;
    let Ok(_place) = door.probes.try_acquire() else {
        let message = "Other cameras are being looked at. Try again in a moment.";
        return Err(Refusal::new(ErrorCode::Busy, message));
    };
    Ok(json(StatusCode::OK, &door.engine.probe(spec).await?))
}

pub(super) async fn retry(State(door): State<Arc<Door>>, CameraId(id): CameraId) -> Reply {
    Ok(json(StatusCode::ACCEPTED, &door.engine.retry(&id)?))
}

pub(super) async fn recording(
    State(door): State<Arc<Door>>,
    CameraId(id): CameraId,
    headers: HeaderMap,
    bytes: Bytes,
) -> Reply {
    door.engine.camera(&id)?;
    let RecordingSwitch { on } = body::json(&headers, &bytes)?;
    let engine = door.engine.clone();
    let camera = door.finish(async move { engine.set_recording(&id, on).await }).await?;
    Ok(json(StatusCode::OK, &camera))
}

pub(super) async fn fault(
    State(door): State<Arc<Door>>,
    CameraId(id): CameraId,
    headers: HeaderMap,
    bytes: Bytes,
) -> Reply {
    door.engine.camera(&id)?;
    let fault: Fault = body::json(&headers, &bytes)?;
    let advice = door.engine.report_fault(&id, &fault)?;
    // Who gave no name does not ask what to do.
    if fault.viewer.is_none() { done() } else { Ok(json(StatusCode::OK, &advice)) }
}

pub(super) async fn demo(State(door): State<Arc<Door>>, headers: HeaderMap, bytes: Bytes) -> Reply {
    let Demo { count } = body::json(&headers, &bytes)?;
    let engine = door.engine.clone();
    let added: Result<Vec<Camera>, ApiError> =
        door.finish(async move { demo::add(&engine, count).await }).await;
    Ok(json(StatusCode::CREATED, &Cameras { cameras: added? }))
}
