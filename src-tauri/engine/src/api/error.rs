//! What goes wrong, told outward.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use specta::Type;

use super::Cause;

/// An answer that is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What a program acts on.
    pub code: ErrorCode,
    /// One sentence for people: what is wrong and what to do. Free of secrets.
    pub message: String,
    /// The field of the request that is invalid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub field: Option<String>,
    /// What a camera that was looked at answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Box<Cause>>,
}

/// Kinds of errors. Each belongs to one HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 400: not readable.
    Malformed,
    /// 401: no or wrong token.
    Unauthorized,
    /// 403: a page of another origin asked.
    ForeignOrigin,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 406: nothing of this camera can be played that way.
    NotPlayable,
    /// 409: the id exists.
    Duplicate,
    /// 409: defined in the configuration file.
    ReadOnly,
    /// 412: `If-Match` names another session.
    NoMatch,
    /// 409: not in its present state.
    Conflict,
    /// 413
    TooLarge,
    /// 415
    UnsupportedMediaType,
    /// 421: this is not the host that was asked for.
    ForeignHost,
    /// 422: readable, but `field` is not valid.
    Invalid,
    /// 502: the camera could not be reached or refused.
    CameraUnavailable,
    /// 501: not built yet.
    NotImplemented,
    /// 503: the camera gives no picture now.
    NotLive,
    /// 503: too many at once.
    Busy,
    /// 507: the disk is full.
    NoSpace,
    /// 500: a defect or a fault of this machine.
    Internal,
}

impl ApiError {
    /// An error with its sentence.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, cause: None }
    }

    /// A field that is readable but not valid.
    #[must_use]
    pub fn invalid(field: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        let field = field.into();
        let message = format!("{field}: {reason}");
        Self { field: Some(field), ..Self::new(ErrorCode::Invalid, message) }
    }

    /// No camera of that id.
    #[must_use]
    pub fn no_camera(id: &str) -> Self {
        Self::new(ErrorCode::NotFound, format!("There is no camera \"{id}\"."))
    }
}
