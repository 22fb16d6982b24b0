//! Trouble that pages see: it is taken note of, and its viewer told what to do (R-N2).

use std::sync::PoisonError;

use tokio::time::Instant;
use tracing::{info, warn};

use super::EngineHandle;
use crate::api::{ApiError, Cause, Fault, FaultAdvice, FaultKind, ViewerAction};
use crate::fault::{Class, Kind};

/// Letters of a page's words that are kept.
const DETAIL_MAX: usize = 1_000;
/// Letters that the name of a viewer may have.
const VIEWER_MAX: usize = 64;

impl EngineHandle {
    /// Takes note of trouble that a page saw, asks for a key frame where that may help, and says what the
    /// viewer shall do. The camera's source and its recording go on as they were.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` where the viewer's name is not one.
    pub fn report_fault(&self, id: &str, fault: &Fault) -> Result<FaultAdvice, ApiError> {
        let entry = self.entry(id)?;
        let viewer = fault.viewer.as_deref().unwrap_or_default();
        let fit = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if viewer.len() > VIEWER_MAX || !viewer.chars().all(fit) {
            let reason = format!("must be up to {VIEWER_MAX} of A-Z a-z 0-9 _ -");
            return Err(ApiError::invalid("viewer", reason));
        }
        let detail: String = fault.detail.chars().filter(|c| !c.is_control()).take(DETAIL_MAX).collect();
        let detail = without_logins(&detail);
        let kind = match fault.class {
            FaultKind::Decoder => Kind::Pictures,
            FaultKind::VideoSink => Kind::Display,
        };
        let now = Instant::now();
        let (advice, before, after) = {
            let mut complaints = entry.complaints.lock().unwrap_or_else(PoisonError::into_inner);
            let before = complaints.warning(now).is_some();
            let advice = complaints.hear(now, viewer, kind, &detail);
            (advice, before, complaints.warning(now))
        };
        let tag = if advice.class == Class::VideoSink { "VIDEOSINK" } else { "DECODER" };
        let camera = &entry.id;
        let transport = fault.transport.map(tracing::field::debug);
        warn!(tag, camera, viewer, transport, action = ?advice.action, "a page reports: {detail}");
        if let Some(warning) = after.filter(|_| !before) {
            warn!(tag, camera, code = %warning.code, "{}", warning.detail);
        }
        if advice.key_frame {
            // A phone makes one; an RTSP camera has no way to be asked, and viewers begin at its newest.
            entry.main.slot.request_key_frame();
            if let Some(sub) = &entry.sub {
                sub.running.slot.request_key_frame();
            }
        }
        if advice.action == ViewerAction::FallBack {
            info!(tag, camera, viewer, "it is told to take another transport");
        }
        entry.main.status.touch();
        let cause = Cause {
            code: if advice.class == Class::VideoSink { "not_shown" } else { "undecodable" }.to_owned(),
            class: advice.class.name().to_owned(),
            detail,
        };
        Ok(FaultAdvice { action: advice.action, cause })
    }
}

/// A page's words without what stands between `://` and `@`: it may be a password.
fn without_logins(text: &str) -> String {
    let mut parts = text.split("://");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let authority = part.find(|c: char| c.is_whitespace() || "/?#".contains(c)).unwrap_or(part.len());
        let host = part[..authority].rfind('@').map_or(0, |at| at + 1);
        out.push_str("://");
        out.push_str(&part[host..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_s_words_are_logged_without_logins() {
        for (said, logged) in [
            ("no url", "no url"),
            ("rtsp://u:hunter2@h/x failed", "rtsp://h/x failed"),
            ("a http://h/@x b rtsp://hunter2@[::1]:5", "a http://h/@x b rtsp://[::1]:5"),
            ("://hunter2@", "://"),
        ] {
            assert_eq!(without_logins(said), logged);
        }
    }
}
