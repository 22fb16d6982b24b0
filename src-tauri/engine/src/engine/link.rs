//! The seam between the engine and whoever carries signaling: what is said to a peer, and what a peer says.
//!
//! Values and one trait; the engine does not know how messages travel, and the carrier does not know what
//! becomes of them. Every media message names the generation of the peer connection that it is about
//! (its generation, raised by the peer for each new one) so that stale ones can be told.

pub use crate::retry::Stage;
use crate::sfu::SfuError;

/// What the engine says to one peer. Implemented by the door.
pub trait SignalLink: Send + Sync + 'static {
    /// Never blocks. What cannot be queued closes the peer.
    fn send(&self, message: ToPeer);
}

/// A message to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToPeer {
    /// One candidate of ours (R-S2), of connection `generation`, with the prefix `candidate:`.
    Candidate { generation: u32, candidate: String, mid: Option<String>, index: Option<u16> },
    /// Stop the camera of the phone and start it again; the connection stays.
    RestartCapture { generation: u32, reason: String },
    /// Tear down, build anew, fresh offer. The door words it for v1 and for legacy clients
    /// (`{"command":"reconnect"}`).
    Reconnect { generation: u32, reason: String },
    /// How a publication arrives, every two seconds and on change. `last_frame_ms` is the age of the newest
    /// frame.
    MediaStatus { generation: u32, packets: u64, frames: u64, last_frame_ms: Option<u64>, stage: Stage },
    /// The engine wants this peer gone: its camera was removed, or its right to be here was withdrawn.
    Bye { reason: String },
}

/// What a peer came for, as far as it said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PeerRole {
    Publisher,
    Viewer,
    /// Its offer will tell.
    #[default]
    Unknown,
}

/// A peer that joined a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCard {
    /// Unique among the peers of this process.
    pub peer_id: String,
    /// 1 to 64 of `A-Z a-z 0-9 _ -`; the id of the camera it is about.
    pub room: String,
    pub role: PeerRole,
    /// What people call the phone.
    pub name: Option<String>,
    /// It knows the messages of the older systems only.
    pub legacy: bool,
}

/// A candidate of a peer, normalised: prefix `candidate:` exactly once, one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCandidate {
    pub candidate: String,
    pub mid: Option<String>,
    pub index: Option<u16>,
}

/// What a phone says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhoneState {
    pub generation: u32,
    pub capture: Capture,
    pub why: Option<Why>,
    /// `wifi`, `cellular` and so on, in the phone's words.
    pub net: Option<String>,
    /// Per cent.
    pub battery: Option<u8>,
    pub charging: Option<bool>,
    /// Too hot or too busy for what it was asked to send.
    pub hot: bool,
    /// How much less it sends than it was asked to: 0 nothing, 1 fewer pictures, 2 smaller ones.
    pub thrift: u8,
    /// Degrees clockwise.
    pub orientation: Option<u16>,
}

/// Whether the phone's camera gives pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Capture {
    #[default]
    Live,
    /// It will come back by itself: the screen is locked, a call, another app.
    Paused,
    /// Nothing captures any more.
    Ended,
}

/// Why it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    Hidden,
    Locked,
    Call,
    /// Too hot, or the system is short of something.
    Pressure,
    User,
}

/// What a phone counted since its last report, two seconds as a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhoneStats {
    pub generation: u32,
    /// Pictures from the camera.
    pub src_frames: u32,
    /// Pictures encoded, and key frames among them.
    pub enc: u32,
    pub keys: u32,
    /// RTP packets and bytes sent.
    pub pkts: u32,
    pub bytes: u64,
    /// Requests for a picture that reached it.
    pub pli: u32,
    /// What limits the quality: `none`, `cpu`, `bandwidth`, `other`.
    pub qlr: Option<String>,
    pub target_bps: Option<u64>,
    pub pair_rtt_ms: Option<u32>,
    /// Answers to ICE checks on the path in use.
    pub resp: u32,
    pub muted: bool,
    /// The page is visible.
    pub vis: bool,
}

/// Why a peer may not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("a room is named by 1 to 64 letters, digits, \"_\" and \"-\", and not \"probe\"")]
    BadRoom,
    #[error("too many peers are here")]
    Busy,
    #[error("shutting down")]
    ShuttingDown,
}

/// Why an offer is not answered. Fit to be shown after "Failed to process offer: ".
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// The room is the name of a camera that is no phone.
    #[error("camera \"{0}\" is not a phone, so nobody can publish there")]
    NotAPhone(String),
    /// It was let in to publish, and wants to see.
    #[error("a phone may publish here and not watch")]
    MayNotWatch,
    /// It belongs to an earlier connection than the present one.
    #[error("the offer is older than the connection {current}")]
    Stale { current: u32 },
    /// Another certificate within one connection.
    #[error("the certificate changed within a connection")]
    Fingerprint,
    #[error("too many cameras are here")]
    Busy,
    #[error(transparent)]
    Sfu(#[from] SfuError),
}
