//! What reaches the log.
//!
//! Invariant: no filter that a user asks for brings out what a library says of a camera's session description, which
//! may hold a password, or of a peer's connection, whose messages hold the passwords of ICE and TURN.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{ParseError, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Our own lines and what goes wrong elsewhere. The ICE agent warns of every viewer that has not sent its
/// candidates yet.
pub const DEFAULT: &str = "info,rtc=warn,rtc_ice=error,rtc_dtls=error,webrtc=warn";

/// A filter such as `info` or `nightjar_engine=debug`.
///
/// # Errors
/// Where it cannot be read.
pub fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(text)
}

/// How our own parts are named: they keep secrets out by themselves.
const OURS: &str = "nightjar";

/// Whether a line may be logged at all, whatever the filter. The RTSP client writes whole session descriptions at `warn`
/// and below, and what other libraries write for those who mend them holds whole messages.
fn is_safe(about: &Metadata<'_>) -> bool {
    let most = match about.target() {
        ours if ours.starts_with(OURS) => Level::TRACE,
        client if client.starts_with("retina") => Level::ERROR,
        _ => Level::INFO,
    };
    *about.level() <= most
}

/// Lines of the log that are kept for a report of a defect.
const LINES: usize = 4_000;
/// Their bytes, at most; the oldest go.
const BYTES: usize = 1 << 20;
/// A longer line is cut.
const LINE_MAX: usize = 4_000;

static RECENT: Mutex<Recent> = Mutex::new(Recent { lines: VecDeque::new(), bytes: 0 });

/// The newest lines.
#[derive(Debug)]
struct Recent {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Recent {
    fn push(&mut self, line: &str) {
        let end = (0..=LINE_MAX.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        let line = line[..end].to_owned();
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > LINES || self.bytes > BYTES {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }
}

fn recent_lines() -> MutexGuard<'static, Recent> {
    // A push is whole or not begun: poisoned lines are lines.
    RECENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The newest lines of the log, oldest first.
pub(crate) fn recent() -> String {
    let recent = recent_lines();
    recent.lines.iter().fold(String::with_capacity(recent.bytes), |text, line| text + line)
}

/// Takes each line that is logged.
#[derive(Clone, Copy, Debug)]
struct Tail;

impl io::Write for Tail {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        recent_lines().push(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to log: to the standard error output, and to what a report of a defect takes along.
pub fn init(filter: EnvFilter) {
    let colours = io::stderr().is_terminal();
    let shown = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(colours);
    // A log that cannot be written (a full disk, a closed pipe) must not end what it tells of.
    let shown = shown.log_internal_errors(false);
    let kept = tracing_subscriber::fmt::layer().with_writer(|| Tail).with_ansi(false);
    tracing_subscriber::registry().with(filter).with(filter_fn(is_safe)).with(shown).with(kept).init();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part of the RTSP client, as its lines name it.
    const PART: &str = concat!("retina", "::client");

    #[test]
    fn no_filter_brings_out_what_libraries_say_of_secrets() {
        let kept = tracing_subscriber::fmt::layer().with_writer(|| Tail).with_ansi(false);
        let every = filter(&format!("trace,retina=trace,{PART}=trace,[{{session}}]=trace")).unwrap();
        let log = tracing_subscriber::registry().with(every).with(filter_fn(is_safe)).with(kept);
        tracing::subscriber::with_default(log, || {
            tracing::warn!(target: PART, "v=0 of hunter2");
            tracing::trace!(target: PART, "v=0 of hunter2");
            tracing::error!(target: PART, "no route");
            tracing::debug!(target: "rtc_ice::agent", "pwd hunter2");
            tracing::info!(target: "rtc_ice::agent", "connected");
            tracing::trace!(target: "tungstenite::protocol", "hunter2");
            tracing::trace!(target: "nightjar_engine", "our own");
        });
        let told = recent();
        assert!(!told.contains("hunter2"), "{told}");
        assert!(["no route", "connected", "our own"].iter().all(|line| told.contains(line)), "{told}");
    }
}
