//! A camera's refusals in words that a person can act on.

use super::auth::Unanswered;
use crate::source::{SourceError, SourceErrorCode as Code};

/// The camera wants a password that it did not get.
pub(super) fn unauthorized(host: &str, why: Unanswered) -> SourceError {
    let what = match why {
        Unanswered::NoCredentials => "wants a user name and password (401)",
        Unanswered::Refused => "refused the user name or password (401)",
        Unanswered::Unsupported => "asks for a kind of password check that is not supported (401)",
    };
    SourceError::new(Code::Unauthorized, format!("The camera at {host} {what}."))
}

/// The camera refused a request with a status other than 401.
pub(super) fn refused(host: &str, method: &str, status: u16) -> SourceError {
    let (code, what) = match status {
        403 => (Code::Unauthorized, "does not allow this user to watch (403)"),
        404 => (Code::NotFound, "has no stream at this address (404); check the path of the URL"),
        453 => (Code::Rejected, "has no bandwidth left for another viewer (453)"),
        461 => (Code::Rejected, "does not offer this transport (461); try the other of TCP and UDP"),
        503 => (Code::Rejected, "is busy (503); it may have too many viewers"),
        _ => {
            let detail = format!("The camera at {host} refused {method} ({status}).");
            return SourceError::new(Code::Rejected, detail);
        }
    };
    SourceError::new(code, format!("The camera at {host} {what}."))
}
