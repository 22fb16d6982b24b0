//! What tells how it is: health, alerts, figures, the running graph, the description of the interface.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use nightjar_engine::api::{Alert, AlertSettingsPatch, ErrorCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::body;
use crate::bundle;
use crate::door::Door;
use crate::metrics::Page;
use crate::openapi;
use crate::reply::{Refusal, Reply, json};

/// It runs.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Health {
    /// `ok`
    pub(crate) status: &'static str,
    pub(crate) version: &'static str,
}

/// What the user would want to know.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Alerts {
    pub(crate) alerts: Vec<Alert>,
}

pub(super) async fn health() -> Response {
    json(StatusCode::OK, &Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

pub(super) async fn alerts(State(door): State<Arc<Door>>) -> Response {
    json(StatusCode::OK, &Alerts { alerts: door.engine.alerts() })
}

pub(super) async fn alert_settings(State(door): State<Arc<Door>>) -> Response {
    json(StatusCode::OK, &door.engine.alert_settings())
}

pub(super) async fn change_alert_settings(
    State(door): State<Arc<Door>>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Reply {
    let patch: AlertSettingsPatch = body::json(&headers, &bytes)?;
    let engine = door.engine.clone();
    let settings = door.finish(async move { engine.change_alert_settings(patch).await }).await?;
    Ok(json(StatusCode::OK, &settings))
}

pub(super) async fn openapi() -> Response {
    json(StatusCode::OK, openapi::document())
}

pub(super) async fn metrics(State(door): State<Arc<Door>>) -> Response {
    let mut page = Page::new();
    page.door(&door.figures);
    page.cameras(&door.engine.figures());
    page.alerts(&door.engine.alerts());
    page.viewers(&door.engine.viewers());
    page.ice_servers(&door.engine.ice_servers());
    page.recorders(&door.engine.recorder_figures());
    page.process();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], page.finish()).into_response()
}

pub(super) async fn pipeline(State(door): State<Arc<Door>>) -> Response {
    let kind = "text/vnd.graphviz; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], door.engine.pipeline_dot()).into_response()
}

pub(super) async fn bundle(State(door): State<Arc<Door>>) -> Response {
    let packed = tokio::task::spawn_blocking(move || bundle::make(&door)).await;
    let Ok(packed) = packed else {
        return Refusal::new(ErrorCode::Internal, "The report could not be put together.").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, "application/zip"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"nightjar-report.zip\""),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, packed).into_response()
}
