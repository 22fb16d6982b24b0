//! The routes of the contract (DESIGN §5), each with its methods.
//!
//! A route reads, asks the engine and tells; it decides nothing. What is not built yet is there too and
//! answers 501.

mod cameras;
mod diagnosis;
mod exports;
mod login;
mod media;
mod phones;
mod recordings;
mod signaling;
mod sockets;
mod whip;

pub(crate) use cameras::{Cameras, Demo, RecordingSwitch};
pub(crate) use diagnosis::{Alerts, Health};
pub(crate) use exports::Exports;
pub(crate) use login::{Login, TicketFor};
pub(crate) use phones::{DeviceList, WhipTokens};
pub(crate) use sockets::LiveText;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, OriginalUri, Path, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, patch, post};
use nightjar_engine::api::ErrorCode;
use nightjar_engine::config::is_id;
use serde::de::DeserializeOwned;

use crate::door::Door;
use crate::reply::{Refusal, Reply};
use crate::wall;

/// All of them.
pub(crate) fn router(door: Arc<Door>) -> Router {
    Router::new()
        .route("/api/v1/health", get(diagnosis::health))
        .route("/api/v1/openapi.json", get(diagnosis::openapi))
        .route("/api/v1/debug/pipeline.dot", get(diagnosis::pipeline))
        .route("/api/v1/debug/bundle", get(diagnosis::bundle))
        .route("/metrics", get(diagnosis::metrics))
        .route("/login", get(wall::index).post(login::login))
        .route("/api/v1/tickets", post(login::ticket))
        .route("/api/v1/cameras", get(cameras::list).post(cameras::add))
        .route("/api/v1/cameras/probe", post(cameras::probe))
        .route("/api/v1/cameras/{id}", get(cameras::one).patch(cameras::change).delete(cameras::remove))
        .route("/api/v1/cameras/{id}/retry", post(cameras::retry))
        .route("/api/v1/cameras/{id}/fault", post(cameras::fault))
        .route("/api/v1/cameras/{id}/recording", post(cameras::recording))
        .route("/api/v1/cameras/{id}/snapshot.jpg", get(media::snapshot))
        .route("/api/v1/cameras/{id}/whep", post(media::offer).options(media::offer_options))
        .route(
            "/api/v1/cameras/{id}/whep/{viewer}",
            patch(media::trickle).delete(media::hang_up).options(media::viewer_options),
        )
        .route("/api/v1/cameras/{id}/live", get(sockets::live))
        .route("/api/v1/recordings", get(recordings::list))
        .route(
            "/api/v1/recordings/{id}",
            get(recordings::one).patch(recordings::change).delete(recordings::remove),
        )
        .route("/api/v1/recordings/{id}/thumbnail.jpg", get(recordings::thumbnail))
        .route("/api/v1/exports", get(exports::list).post(exports::begin))
        .route("/api/v1/exports/{id}", get(exports::one).delete(exports::remove))
        .route("/api/v1/storage", get(recordings::storage))
        .route("/api/v1/whip/{room}", post(whip::offer).options(whip::offer_options))
        .route(
            "/api/v1/whip/{room}/{session}",
            patch(whip::trickle).delete(whip::hang_up).options(whip::session_options),
        )
        .route("/api/v1/demo", post(cameras::demo))
        .route("/api/v1/alerts", get(diagnosis::alerts))
        .route(
            "/api/v1/alerts/settings",
            get(diagnosis::alert_settings).patch(diagnosis::change_alert_settings),
        )
        .route("/api/v1/events", get(sockets::events))
        .route("/api/v1/devices", get(phones::devices))
        .route("/api/v1/devices/{id}", get(phones::one).patch(phones::rename).delete(phones::revoke))
        .route("/api/v1/pairings", post(phones::pair))
        .route("/api/v1/pairings/{id}", get(phones::pairing_state).delete(phones::end))
        .route("/api/v1/pairings/{id}/allow", post(phones::allow))
        .route("/api/v1/whip-tokens", get(phones::whip_tokens).post(phones::make_whip_token))
        .route("/api/v1/whip-tokens/{id}", delete(phones::remove_whip_token))
        .route("/signal", get(signaling::socket))
        .route("/api/v1/sig", post(signaling::post))
        .route("/api/v1/sig/stream", get(signaling::stream))
        .route("/api/v1/cameras/{id}/ptz", post(ptz))
        .route("/", get(wall::index))
        .route("/publish", get(wall::phone))
        .fallback(wall::file)
        .method_not_allowed_fallback(wrong_method)
        .with_state(door)
}

/// Comes with camera control (R-N11).
async fn ptz(State(door): State<Arc<Door>>, CameraId(id): CameraId) -> Reply {
    door.engine.camera(&id)?;
    Err(Refusal::new(ErrorCode::NotImplemented, "Cameras cannot be moved yet."))
}

/// Files have the same routes as what they are of, and fewer methods; elsewhere the route knows its own.
async fn wrong_method(OriginalUri(uri): OriginalUri) -> Response {
    let refusal = Refusal::wrong_method().into_response();
    if recordings::names_file(uri.path()) {
        return ([(header::ALLOW, recordings::FILE_METHODS)], refusal).into_response();
    }
    refusal
}

/// Parts of the path. What cannot be decoded names nothing, so it is 404.
struct Named<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(named) = Path::from_request_parts(parts, state)
            .await
            .map_err(|_: PathRejection| Refusal::nothing_here())?;
        Ok(Self(named))
    }
}

/// A camera's id that could exist; what could not is 404 before the engine is asked.
struct CameraId(String);

impl<S: Send + Sync> FromRequestParts<S> for CameraId {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Named(mut named): Named<std::collections::HashMap<String, String>> =
            Named::from_request_parts(parts, state).await?;
        named
            .remove("id")
            .filter(|id| is_id(id))
            .map(Self)
            .ok_or_else(|| Refusal::new(ErrorCode::NotFound, "There is no camera of that id."))
    }
}

/// A done thing without words.
fn done() -> Reply {
    Ok(axum::http::StatusCode::NO_CONTENT.into_response())
}
