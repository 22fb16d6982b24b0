//! What reaches the log.
//!
//! Invariant: no filter that a user asks for brings out what a library says of a camera's session
//! description, which may hold a password.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Our own lines and what goes wrong elsewhere. The ICE agent warns of every viewer that has not sent its
/// candidates yet.
pub const DEFAULT: &str = "info,rtc=warn,rtc_ice=error,rtc_dtls=error,webrtc=warn";

/// A filter such as `info` or `nightjar_engine=debug`.
///
/// # Errors
/// Where it cannot be read.
pub fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    // The RTSP client writes whole session descriptions at `warn` and below.
    let quiet = "retina=error".parse().expect("a directive");
    Ok(EnvFilter::try_new(text)?.add_directive(quiet))
}
