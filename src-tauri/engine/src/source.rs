//! What a camera's frames come from: the seam between the engine and its protocols.
//!
//! `ingest` implements it for RTSP, `sfu` for phones, tests with scripts. An implementation makes one
//! attempt and never retries: the camera's supervisor owns that. It never touches the hub.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::fault::{Kind, Part, Verdict, classify};
use crate::media::{Frame, TrackInfo};

/// A boxed future, so that sources of different kinds fit one supervisor.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that can be opened.
pub trait Source: Send {
    /// One attempt, from nothing to the point where frames are about to flow. Every step inside has its
    /// own time limit. Dropping the future ends the attempt.
    fn open(&mut self) -> BoxFuture<'_, Result<Box<dyn Session>, SourceError>>;

    /// How far the camera answers now: cheap, bounded to about a second, without logging in.
    fn reach(&self) -> BoxFuture<'static, Reach> {
        Box::pin(std::future::ready(Reach::Nothing))
    }

    /// Whether the camera offers pictures now, without playing anything: for one that offered sound alone.
    /// It may log in.
    fn offers_pictures(&self) -> BoxFuture<'static, bool> {
        Box::pin(std::future::ready(false))
    }
}

/// How far a camera answers. More than before is a reason to try again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Nothing accepts connections there.
    Nothing,
    /// Connections are accepted; that is all a system needs no program for, frozen ones included.
    Accepts,
    /// The camera's program answers.
    Answers,
}

/// An open source. Dropping it ends it; it says goodbye to the camera in the background.
pub trait Session: Send {
    /// The tracks as they are now. Changes only together with a [`SessionEvent::Tracks`].
    fn tracks(&self) -> Arc<[TrackInfo]>;

    /// The next thing that happened. After an error the session is over.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<SessionEvent, SourceError>>;

    /// Asks for a key frame where the protocol can; a no-op elsewhere.
    fn request_key_frame(&mut self) {}

    /// Figures that only the protocol knows.
    fn stats(&self) -> SessionStats {
        SessionStats::default()
    }
}

/// What a session tells.
#[derive(Debug)]
pub enum SessionEvent {
    /// A frame of one of [`Session::tracks`]. Generations count from zero in each session.
    Frame(Frame),
    /// [`Session::tracks`] changed; the frames after this belong to the new ones.
    Tracks,
    /// Something a user may want to know although media flows on, for instance an unanswered keep-alive.
    Warning(SourceError),
}

/// Figures of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SessionStats {
    /// Packets lost on the way, as far as their numbers tell.
    pub lost: u64,
    /// Round trip of the newest answered keep-alive, in microseconds.
    pub keepalive_rtt_us: Option<u64>,
    /// Keep-alives that were not answered in time.
    pub keepalive_missed: u64,
    /// The newest keep-alive was not.
    pub keepalive_unanswered: bool,
    /// How full the way from the network to the reader was at most since the last look, in percent.
    pub backlog_pct: u8,
}

/// Why a source could not be opened or ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct SourceError {
    /// What the interface acts on.
    pub code: SourceErrorCode,
    /// One sentence for people, free of secrets.
    pub detail: String,
    /// How far the camera answered all the same: only what is more than that is news of it.
    pub reached: Reach,
}

impl SourceError {
    /// An error with its sentence. A camera that could be found and did not refuse the connection is taken for one
    /// that answers.
    #[must_use]
    pub fn new(code: SourceErrorCode, detail: impl Into<String>) -> Self {
        let nothing = matches!(code, SourceErrorCode::Dns | SourceErrorCode::Unreachable);
        let reached = if nothing { Reach::Nothing } else { Reach::Answers };
        Self { code, detail: detail.into(), reached }
    }

    /// Its class, and what is done about it where it ended an attempt or a session.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        classify(self.code.kind(), Part::Source, &self.detail)
    }
}

/// Kinds of failure, by what can be done about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceErrorCode {
    /// The name of the camera could not be resolved.
    Dns,
    /// Nothing listens there, or the host says that it is unreachable.
    Unreachable,
    /// No answer in time.
    Timeout,
    /// The camera closed the connection.
    Closed,
    /// The connection was reset.
    Reset,
    /// TLS could not be agreed on.
    Tls,
    /// User name or password missing or wrong (401, 403). Parks.
    Unauthorized,
    /// There is no such stream (404). Parks.
    NotFound,
    /// No track that Nightjar can carry. Parks.
    NoCodec,
    /// The camera refused for another reason (4xx, 5xx).
    Rejected,
    /// The camera broke the protocol.
    Protocol,
    /// Frames stopped although the connection is there.
    Stalled,
    /// Pictures stopped although sound flows.
    NoVideo,
    /// Packets come but no key frame.
    NoKeyFrame,
    /// A keep-alive was not answered; a loss where no media came since, else a warning.
    KeepaliveUnanswered,
    /// Pictures arrive late (R-K3). A warning.
    Buffering,
    /// The same picture for long although frames come. A warning.
    Frozen,
    /// Sound stopped although pictures flow. A warning.
    NoSound,
    /// Several viewers cannot decode the pictures. A warning.
    Undecodable,
    /// Several viewers cannot show the pictures. A warning.
    NotShown,
    /// The phone said that it pauses, and why.
    Paused,
    PausedLocked,
    PausedHidden,
    PausedCall,
    PausedPressure,
    /// The phone is connected, but its camera gives nothing.
    CaptureStopped,
    /// The phone is there, but its media does not get through.
    PathDead,
    /// Neither media nor signaling of the phone.
    PhoneGone,
    /// A defect of Nightjar, contained.
    Internal,
}

impl SourceErrorCode {
    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Tls => "tls",
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::NoCodec => "no_codec",
            Self::Rejected => "rejected",
            Self::Protocol => "protocol",
            Self::Stalled => "stalled",
            Self::NoVideo => "no_video",
            Self::NoKeyFrame => "no_key_frame",
            Self::KeepaliveUnanswered => "keepalive_unanswered",
            Self::Buffering => "buffering",
            Self::Frozen => "frozen",
            Self::NoSound => "no_sound",
            Self::Undecodable => "undecodable",
            Self::NotShown => "not_shown",
            Self::Paused => "paused",
            Self::PausedLocked => "paused_locked",
            Self::PausedHidden => "paused_hidden",
            Self::PausedCall => "paused_call",
            Self::PausedPressure => "paused_pressure",
            Self::CaptureStopped => "capture_stopped",
            Self::PathDead => "path_dead",
            Self::PhoneGone => "phone_gone",
            Self::Internal => "internal",
        }
    }

    /// What kind of fault it is.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Unauthorized | Self::NotFound => Kind::Refusal,
            Self::NoCodec => Kind::Codec,
            Self::NoKeyFrame | Self::Frozen | Self::Undecodable => Kind::Pictures,
            Self::NotShown => Kind::Display,
            Self::Internal => Kind::Other,
            Self::Dns
            | Self::Unreachable
            | Self::Timeout
            | Self::Closed
            | Self::Reset
            | Self::Tls
            | Self::Rejected
            | Self::Protocol
            | Self::Stalled
            | Self::NoVideo
            | Self::KeepaliveUnanswered
            | Self::Buffering
            | Self::NoSound
            | Self::Paused
            | Self::PausedLocked
            | Self::PausedHidden
            | Self::PausedCall
            | Self::PausedPressure
            | Self::CaptureStopped
            | Self::PathDead
            | Self::PhoneGone => Kind::Connection,
        }
    }
}

impl fmt::Display for SourceErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
