//! The messages of protocol v1, as both ends write them: flat JSON objects in text frames.
//!
//! A message is an [`Envelope`] with the fields of its `type` beside it. Unknown fields are ignored by both
//! ends, an unknown `type` is told and ignored. Absent fields and `null` are the same. What signs and what is
//! signed stands at [`Hello`], [`PairRequest`] and [`Auth`]; the texts are made by [`crate::proof`].

use serde::{Deserialize, Serialize};
use specta::Type;
use specta_typescript::Number;

/// Version of the protocol in [`Envelope::v`].
pub const VERSION: u8 = 1;
/// The name of the protocol in `hello.protos`, and as a WebSocket subprotocol.
pub const PROTOCOL: &str = "camrelay.v1";

/// A session description. Its `Debug` shows its length alone: it holds keys.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(transparent)]
pub struct Sdp(pub String);

impl std::fmt::Debug for Sdp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sdp({} bytes)", self.0.len())
    }
}

/// A text that appears in no log: its `Debug` shows three stars.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// What any message may carry beside the fields of its type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(default)]
pub struct Envelope {
    /// 1. A client that never sends it is one of the older systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub v: Option<u8>,
    /// Chosen by the sender; a second message of the same id is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub id: Option<String>,
    /// The `id` of the message that is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub re: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub room: Option<String>,
    /// The peer that sent it; always written by the relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub from: Option<String>,
    /// The peer it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub to: Option<String>,
    /// Number of the peer connection that the message is about: 1 or more, raised by the phone for each new
    /// one, `max(its own last, gen_hint) + 1`.
    #[serde(rename = "gen", skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub generation: Option<u32>,
    /// Number of the offer within it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub neg: Option<u16>,
    /// The sender's clock, milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional, type = Option<Number>)]
    pub ts: Option<u64>,
}

/// A message with its envelope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct Message<B> {
    #[serde(flatten)]
    pub envelope: Envelope,
    #[serde(flatten)]
    pub body: B,
}

/// What a phone, or a viewer, says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromPeer {
    /// First of all.
    Hello(Hello),
    PairRequest(PairRequest),
    Auth(Auth),
    /// The room stands in the envelope; one that was granted.
    JoinRoom(JoinRoom),
    LeaveRoom,
    Offer(Offer),
    /// Where the relay stands alone: of who watches, to who publishes.
    Answer(Answer),
    IceCandidate(IceCandidate),
    State(State),
    Stats(Stats),
    ReconnectRequest(ReconnectRequest),
    ControlOk(Control),
    Ping,
    Pong,
    Bye(Bye),
    Error(Error),
}

/// What the relay, or the desktop behind it, says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToPhone {
    /// The answer to `hello`.
    Hello(Welcome),
    PairPending(PairPending),
    PairOk(PairOk),
    PairRejected(Rejected),
    AuthOk(AuthOk),
    AuthFailed(Rejected),
    JoinedRoom(JoinedRoom),
    PeerJoined(Peer),
    PeerLeft(PeerLeft),
    Offer(Offer),
    Answer(Answer),
    IceCandidate(IceCandidate),
    MediaStatus(MediaStatus),
    RestartCapture(RestartCapture),
    Reconnect(Reconnect),
    Control(Control),
    IceServers(IceServers),
    Ping,
    Pong,
    Bye(Bye),
    Error(Error),
}

/// Who the client is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(default)]
pub struct Hello {
    /// Holds `camrelay.v1`.
    pub protos: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub client: Option<Client>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub caps: Option<Caps>,
    /// Base64url of 16 to 48 random bytes. The relay's signature covers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub nonce_c: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(default)]
pub struct Client {
    /// `web`, `app` or another word.
    pub kind: String,
    pub ver: String,
    pub ua: String,
}

/// What a phone can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(default)]
pub struct Caps {
    pub codecs: Vec<String>,
    pub torch: bool,
    pub zoom: bool,
    pub ice_restart: bool,
}

/// The relay's side of `hello`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct Welcome {
    pub protos: Vec<String>,
    /// Base64url of the SHA-256 of the relay's public key (SPKI, DER): the pin in the QR code.
    pub relay_id: String,
    /// Base64url of 16 random bytes; good for one `pair_request` or `auth` of this connection.
    pub nonce: String,
    /// Base64url of the ECDSA P-256 SHA-256 signature (64 bytes, r and s) of the lines `camrelay-v1-hello`,
    /// `relay_id`, `nonce`, `nonce_c`. Only where `nonce_c` was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub sig: Option<String>,
    pub limits: Limited,
    /// Seconds between pings of the relay.
    pub heartbeat_s: u32,
    /// The key (SPKI, DER, base64url) that `sig` is made with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub relay_key: Option<String>,
}

/// The limits that a client should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Limited {
    /// Bytes of a message.
    pub message_bytes: u32,
    /// Bytes of a session description.
    pub sdp_bytes: u32,
    pub candidates_per_gen: u32,
    pub messages_per_second: u32,
    pub offers_per_minute: u32,
}

/// Asks to be let in with the token of a QR code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct PairRequest {
    /// Base64url of 16 bytes: the second part of the fragment, or of what was typed.
    pub token: Hidden,
    /// The phone's public key: P-256, SPKI, DER, base64url.
    pub spki: String,
    /// What people call the phone.
    #[serde(default)]
    pub name: String,
    /// Base64url of 16 to 48 random bytes.
    pub nonce_c: String,
}

/// The desktop asks a person. Both screens show the same six digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct PairPending {
    /// From the SHA-256 of the lines `camrelay-v1-pair`, `relay_id`, `spki`, `nonce`, `nonce_c`: its first four
    /// bytes as a big-endian number, modulo a million, six digits. A phone that knows the pin computes it itself.
    pub code: String,
}

/// The phone is let in, for good. It may go on with `auth` on the same connection: `nonce` is new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct PairOk {
    pub device_id: String,
    pub rooms: Vec<String>,
    pub grants: Vec<String>,
    pub relay_id: String,
    pub nonce: String,
}

/// No, without a reason that would tell anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(default)]
pub struct Rejected {
    /// `auth_failed`, `pair_rejected`, `revoked` or `rate_limited`.
    pub code: Option<ErrorCode>,
}

/// Proves that the phone has its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Auth {
    pub device_id: String,
    /// Base64url of 16 to 48 random bytes.
    pub nonce_c: String,
    /// Base64url of the ECDSA P-256 SHA-256 signature (64 bytes, r and s, as WebCrypto makes it) of the lines
    /// `camrelay-v1-auth`, the relay's `nonce`, `nonce_c`, `relay_id`, `device_id`, `host`, joined by `\n`.
    pub sig: String,
    /// The authority that the phone asked for, such as `192.168.1.20:8443` (`location.host`).
    #[serde(default)]
    pub host: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct AuthOk {
    /// Number of this session, for logs.
    pub session: String,
    pub rooms: Vec<String>,
    pub grants: Vec<String>,
    pub ice_servers: Vec<IceServer>,
    /// The highest generation that was seen of this device.
    pub gen_hint: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Publisher,
    Viewer,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(default)]
pub struct JoinRoom {
    /// A wish; what was granted holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub role: Option<Role>,
    /// What people call the phone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct JoinedRoom {
    pub peer_id: String,
    /// Who else is here. Who publishes is told of no other publisher.
    pub peers: Vec<Peer>,
    pub gen_hint: u32,
    pub ice_servers: Vec<IceServer>,
    /// It was away for less than a minute: the connection `gen_hint`, where it still stands, goes on.
    pub resume: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Peer {
    pub peer_id: String,
    pub role: Role,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(optional)]
    pub name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct PeerLeft {
    pub peer_id: String,
}

/// As an `RTCIceServer` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct IceServer {
    pub urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(optional)]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(optional)]
    pub credential: Option<Hidden>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct IceServers {
    pub ice_servers: Vec<IceServer>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Offer {
    pub sdp: Sdp,
    /// `start`, `ice_restart`, `renegotiate` or `recover`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(optional)]
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Answer {
    pub sdp: Sdp,
}

/// A candidate. Clients may send what their browser gives; the relay sends [`Candidate`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct IceCandidate {
    /// `null` is the end of candidates.
    #[serde(default)]
    pub candidate: Option<Candidate>,
}

/// As an `RTCIceCandidateInit` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// With the prefix `candidate:`, once.
    pub candidate: String,
    #[serde(default)]
    pub sdp_mid: Option<String>,
    #[serde(default)]
    pub sdp_m_line_index: Option<u16>,
}

/// What a phone says of itself, at every change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(default)]
pub struct State {
    pub capture: Capture,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub why: Option<Why>,
    /// `wifi`, `cellular`, `ethernet` or another word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub net: Option<String>,
    /// Per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub battery: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub charging: Option<bool>,
    /// It is too hot, or its processor too busy, for what it was asked to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub hot: Option<bool>,
    /// How much less it sends than it was asked to, for heat's or the battery's sake: 0 nothing, 1 fewer
    /// pictures, 2 smaller ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub thrift: Option<u8>,
    /// Degrees clockwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub orientation: Option<u16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Capture {
    #[default]
    Live,
    Paused,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    Hidden,
    Locked,
    Call,
    Pressure,
    User,
}

/// What a phone counted since its last report, two seconds as a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(default)]
pub struct Stats {
    pub src_frames: u32,
    pub enc: u32,
    pub keys: u32,
    pub pkts: u32,
    #[specta(type = Number)]
    pub bytes: u64,
    pub pli: u32,
    /// `none`, `cpu`, `bandwidth` or `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub qlr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional, type = Option<Number>)]
    pub target_bps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub pair_rtt_ms: Option<u32>,
    pub resp: u32,
    pub muted: bool,
    pub vis: bool,
}

/// How what the phone sends arrives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct MediaStatus {
    #[specta(type = Number)]
    pub pkts: u64,
    #[specta(type = Number)]
    pub frames: u64,
    /// Age of the newest frame.
    #[specta(type = Option<Number>)]
    pub last_frame_ms: Option<u64>,
    /// `waiting`, `live`, `stalled`, `key_frame`, `capture`, `reconnect` or `paused`.
    pub stage: String,
}

/// Stop the camera and start it again; the connection stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct RestartCapture {
    pub reason: String,
}

/// Tear down, build anew, fresh offer. `gen` in the envelope is the connection to be replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Reconnect {
    pub mode: ReconnectMode,
    /// `reconnect`, where the mode is `full`: a client of the older systems understands it too.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(optional)]
    pub command: Option<String>,
    pub after_ms: u32,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum ReconnectMode {
    Ice,
    Full,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(default)]
pub struct ReconnectRequest {
    pub reason: String,
}

/// A wish of who watches (`control`), and what became of it (`control_ok`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
pub struct Control {
    /// `facing`, `torch`, `zoom`, `quality` or `mute`.
    pub op: String,
    #[serde(default)]
    pub value: Option<ControlValue>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type)]
#[serde(untagged)]
pub enum ControlValue {
    On(bool),
    Amount(#[specta(type = Number)] f64),
    Word(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(default)]
pub struct Bye {
    pub reason: String,
}

/// Something was not right. The text says nothing of rooms or devices that are not the peer's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(default)]
pub struct Error {
    pub code: ErrorCode,
    pub message: String,
    /// When it may be tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[specta(optional)]
    pub retry_ms: Option<u32>,
    /// The connection is closed after it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fatal: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    BadMessage,
    UnknownType,
    AuthRequired,
    AuthFailed,
    PairRejected,
    Forbidden,
    Revoked,
    RateLimited,
    TooBig,
    BadSdp,
    BadCandidate,
    Stale,
    Busy,
    Replaced,
    #[default]
    Internal,
}

impl ErrorCode {
    /// The word of it in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::BadMessage => "bad_message",
            Self::UnknownType => "unknown_type",
            Self::AuthRequired => "auth_required",
            Self::AuthFailed => "auth_failed",
            Self::PairRejected => "pair_rejected",
            Self::Forbidden => "forbidden",
            Self::Revoked => "revoked",
            Self::RateLimited => "rate_limited",
            Self::TooBig => "too_big",
            Self::BadSdp => "bad_sdp",
            Self::BadCandidate => "bad_candidate",
            Self::Stale => "stale",
            Self::Busy => "busy",
            Self::Replaced => "replaced",
            Self::Internal => "internal",
        }
    }

    /// The code that a WebSocket is closed with because of it.
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::BadMessage | Self::UnknownType | Self::BadSdp | Self::BadCandidate | Self::Stale => 4400,
            Self::AuthRequired | Self::AuthFailed | Self::PairRejected => 4401,
            Self::Forbidden | Self::Revoked => 4403,
            Self::Replaced => 4409,
            Self::TooBig => 4413,
            Self::RateLimited => 4429,
            Self::Busy => 1013,
            Self::Internal => 1011,
        }
    }
}

/// A client that did not say who it is in time is closed with this code.
pub const CLOSE_AUTH_TIMEOUT: u16 = 4408;

/// Body of `POST /api/v1/sig`: one message of the session that `GET /api/v1/sig/stream` opened.
#[derive(Clone, Debug, Serialize, Deserialize, Type)]
pub struct Posted<M> {
    /// From the first event of the stream.
    pub session: Hidden,
    pub message: M,
}

/// The first event of `GET /api/v1/sig/stream` (`event: session`). Messages follow as events without a name;
/// `event: close` with [`Closed`] is the last.
#[derive(Clone, Debug, Serialize, Deserialize, Type)]
pub struct Opened {
    pub session: Hidden,
}

/// Why a stream ends, as a WebSocket's close frame would say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Closed {
    pub code: u16,
    pub reason: String,
}
