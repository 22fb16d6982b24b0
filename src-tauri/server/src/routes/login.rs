//! The token for a session, and tickets for what cannot send headers.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use nightjar_engine::env::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::body;
use crate::door::{Arrival, Door};
use crate::guard;
use crate::reply::{Refusal, Reply, json};

/// The token, for a session.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    #[schemars(with = "String")]
    token: Secret<String>,
}

/// What a ticket shall open.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TicketFor {
    /// A path below `/api/v1/`; what lies below it is opened too. A query is ignored.
    path: String,
}

/// What a form in a page without a script sends.
const FORM: &str = "application/x-www-form-urlencoded";
/// Longest path that a ticket is made for.
const PATH_MAX: usize = 512;

pub(super) async fn login(
    State(door): State<Arc<Door>>,
    Extension(arrival): Extension<Arrival>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Reply {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|v| guard::bearer(v.to_str().ok()?));
    let form = body::is_type(&headers, FORM);
    let token = match bearer {
        Some(token) if bytes.is_empty() => Secret::new(token.to_owned()),
        _ if form => of_form(&bytes)?,
        _ => body::json::<Login>(&headers, &bytes)?.token,
    };
    guard::check_token(&door, arrival, token.reveal()).await?;
    // A form without a script shows what it is answered with.
    let mut response = match form {
        true => (StatusCode::SEE_OTHER, [(header::LOCATION, "/")]).into_response(),
        false => StatusCode::NO_CONTENT.into_response(),
    };
    if !door.auth.is_open() {
        let https = headers.get(header::ORIGIN).is_some_and(|v| v.as_bytes().starts_with(b"https://"));
        let cookie = guard::session_cookie(&door, arrival.tls || https);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// The token out of a form's fields.
fn of_form(bytes: &[u8]) -> Result<Secret<String>, Refusal> {
    let mut fields = url::form_urlencoded::parse(bytes);
    let (_, token) =
        fields.find(|(name, _)| name == "token").ok_or_else(|| Refusal::invalid("token", "is missing"))?;
    Ok(Secret::new(token.into_owned()))
}

pub(super) async fn ticket(State(door): State<Arc<Door>>, headers: HeaderMap, bytes: Bytes) -> Reply {
    let TicketFor { path } = body::json(&headers, &bytes)?;
    let path = path.split('?').next().unwrap_or_default();
    let below = path.strip_prefix("/api/v1/").is_some_and(|rest| !rest.trim_matches('/').is_empty());
    if !below || path.len() > PATH_MAX {
        return Err(Refusal::invalid("path", "must be an address below /api/v1/"));
    }
    Ok(json(StatusCode::CREATED, &door.auth.ticket(path.trim_end_matches('/'))))
}
