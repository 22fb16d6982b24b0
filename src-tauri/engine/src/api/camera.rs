//! A camera, as it is and as it shall be.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use specta::Type;

use super::Timestamp;
use crate::env::Secret;

/// A camera as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Camera {
    pub id: String,
    pub name: String,
    pub kind: CameraKind,
    pub state: CameraState,
    pub tracks: Vec<Track>,
    pub recording: Recording,
    /// Trouble that does not stop the camera, as long as it holds.
    #[serde(default)]
    pub warnings: Vec<Cause>,
    pub stats: Stats,
    /// Address without user name and password; none for phones.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub url: Option<String>,
    /// Address of the sub-stream, likewise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sub_url: Option<String>,
    /// It has a sub-stream, for small tiles.
    pub sub: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    /// A password is stored. It is never given out.
    pub has_password: bool,
    /// Of `rtsps`: the SHA-256 of the only certificate that is taken, as 64 hexadecimal digits; any where
    /// there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls_fingerprint: Option<String>,
    pub transport: Transport,
    /// Record when connected (R-N14).
    pub record: bool,
    /// The `[streaming]` settings that are this camera's own; the others are the program's.
    #[serde(flatten)]
    pub own: OwnSettings,
    /// When and how it is recorded, beyond that.
    #[serde(flatten)]
    pub recorded: RecordSettings,
    /// Its troubles raise alerts.
    #[serde(default = "yes")]
    pub alerts: bool,
    /// Of a phone that is connected: what it says of itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub phone: Option<PhoneHealth>,
    /// Defined in the configuration file; cannot be changed here.
    pub read_only: bool,
}

/// Settings that a camera may have for itself, by the names of `[streaming]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
pub struct OwnSettings {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tcp_timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keepalive_timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auto_reconnect: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_reconnect_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reconnect_delay_seconds: Option<u32>,
}

/// How a phone fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
pub struct PhoneHealth {
    /// Per cent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub battery: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub charging: Option<bool>,
    /// Too hot or too busy for what it was asked to send.
    pub hot: bool,
    /// How much less it sends than it was asked to: 0 nothing, 1 fewer pictures, 2 smaller ones.
    pub thrift: u8,
    /// `wifi`, `cellular` and so on, in the phone's words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub net: Option<String>,
}

/// When and how a camera is recorded, by the names of `[[camera]]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct RecordSettings {
    /// Spans of the week in which it is recorded by itself, such as `Mon-Fri 08:00-18:00`; always where
    /// there are none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub record_schedule: Option<Vec<String>>,
    /// Recordings begin this long before they were switched on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pre_roll_seconds: Option<u32>,
    /// What its recordings may take, in gigabytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(type = Option<specta_typescript::Number>)]
    pub record_quota_gb: Option<f64>,
    /// The disk of the configuration that it is recorded to; the main one where there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub record_disk: Option<String>,
}

const fn yes() -> bool {
    true
}

/// Where a camera's pictures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CameraKind {
    Rtsp,
    Phone,
    Demo,
}

/// How RTP reaches us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    #[default]
    Tcp,
    Udp,
}

/// The state and since when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct CameraState {
    pub name: StateName,
    pub since: Timestamp,
    /// Which try in a row this is, or will be; of a camera that was given up after that many, how many.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Cause>,
    /// When the next try begins.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_at: Option<Timestamp>,
    /// When the last picture came, of a camera that had one and is not live: whatever was tried since.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_picture_at: Option<Timestamp>,
}

/// Names of the states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StateName {
    Idle,
    Connecting,
    Live,
    Stalled,
    Reconnecting,
    Failed,
    Refused,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Cause {
    /// Such as `unauthorized` or `stalled`.
    pub code: String,
    /// One of `RTSP_NETWORK`, `STORAGE`, `DISK_FULL`, `DECODER`, `VIDEO_SINK`.
    pub class: String,
    /// One sentence, free of secrets.
    pub detail: String,
}

/// A track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Track {
    pub kind: TrackKind,
    pub codec: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub width: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub height: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sample_rate: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub channels: Option<u8>,
    /// Why it cannot be played, in plain words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
    /// What kind of reason `note` is, such as `not_received`; others may come.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note_code: Option<String>,
    /// Why it is not in recordings although it is received, in plain words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unrecorded: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrackKind {
    Video,
    Audio,
}

/// Recording of a camera.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Recording {
    pub state: RecordingState,
    pub since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Cause>,
    /// The disk it goes to, where that is not the main root.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disk: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    Off,
    Recording,
    StorageLost,
    DiskFull,
    Failed,
}

/// Figures of a camera, renewed every two seconds while it is live (R-P8).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Stats {
    /// Pictures per second over the last seconds.
    #[specta(type = specta_typescript::Number)]
    pub fps: f32,
    /// Bits per second over the last seconds.
    #[specta(type = specta_typescript::Number)]
    pub bitrate: u64,
    /// Pictures since the camera was added.
    #[specta(type = specta_typescript::Number)]
    pub frames: u64,
    /// Age of the newest frame in milliseconds; null before the first.
    #[specta(type = Option<specta_typescript::Number>)]
    pub last_frame_ms: Option<u64>,
    /// 100 = frames arrive as they were made, 0 = two seconds late (R-K3).
    pub buffer_pct: u8,
    /// Times a session was lost and opened again.
    #[specta(type = specta_typescript::Number)]
    pub reconnects: u64,
    /// Packets lost on the way, in the present session.
    #[specta(type = specta_typescript::Number)]
    pub lost: u64,
    /// Who watches or records now.
    pub viewers: u32,
    /// Jitter of arrival against media time, in milliseconds.
    #[specta(type = specta_typescript::Number)]
    pub jitter_ms: f32,
    /// Pictures between two key frames, newest figure.
    pub gop: u32,
    /// How full the way from the network to the decoder was lately, in percent; 100 holds the camera up.
    #[serde(default)]
    pub backlog_pct: u8,
    /// Troubles that viewers' decoders and displays had since the camera was added.
    #[serde(default)]
    #[specta(type = specta_typescript::Number)]
    pub viewer_faults: u64,
    /// Viewers that had one within the last minute.
    #[serde(default)]
    pub degraded_viewers: u32,
}

/// A camera to be added or probed. The same keys as `[[camera]]` in the configuration file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraSpec {
    /// 1 to 64 of `A-Z a-z 0-9 _ -`; chosen for you when left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// Shown on the wall; the id when left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// `rtsp://` or `rtsps://`, without user name and password.
    pub url: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    /// Taken, kept with the other secrets, never given out.
    #[serde(default, skip_serializing_if = "always", serialize_with = "nothing")]
    #[specta(optional, type = Option<String>)]
    #[schemars(with = "Option<String>")]
    pub password: Option<Secret<String>>,
    /// Of `rtsps`: the SHA-256 of the only certificate to take, as hexadecimal digits, with or without
    /// colons; a look at the camera tells it. Any when left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls_fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transport: Option<Transport>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sub_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub record: Option<bool>,
    /// Spans of the week in which it is recorded by itself, such as `Mon-Fri 08:00-18:00`, local time; at
    /// all times when left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub record_schedule: Option<Vec<String>>,
    /// Recordings begin this long before they are switched on (0 to 60); 0 when left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pre_roll_seconds: Option<u32>,
    /// What its recordings may take, in gigabytes; the oldest go where it is more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(optional, type = Option<specta_typescript::Number>)]
    pub record_quota_gb: Option<f64>,
    /// The disk that it is recorded to, by its name in `[[recording.disk]]`; the main root when left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub record_disk: Option<String>,
    /// Raise alerts; yes when left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub alerts: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tcp_timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keepalive_timeout: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub auto_reconnect: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_reconnect_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reconnect_delay_seconds: Option<u32>,
}

/// A change of a camera: what is left out stays, `null` clears.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Type, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CameraPatch {
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<String>)]
    pub name: Option<Option<String>>,
    /// Cannot be cleared.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "not_null")]
    #[specta(optional, type = String)]
    #[schemars(with = "String")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<String>)]
    pub username: Option<Option<String>>,
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "always",
        serialize_with = "nothing"
    )]
    #[specta(optional, type = Option<String>)]
    #[schemars(with = "Option<Option<String>>")]
    pub password: Option<Option<Secret<String>>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<String>)]
    pub tls_fingerprint: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<Transport>)]
    pub transport: Option<Option<Transport>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<String>)]
    pub sub_url: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<bool>)]
    pub record: Option<Option<bool>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<Vec<String>>)]
    pub record_schedule: Option<Option<Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<u32>)]
    pub pre_roll_seconds: Option<Option<u32>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<specta_typescript::Number>)]
    pub record_quota_gb: Option<Option<f64>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<String>)]
    pub record_disk: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<bool>)]
    pub alerts: Option<Option<bool>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<u32>)]
    pub tcp_timeout: Option<Option<u32>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<u32>)]
    pub keepalive_timeout: Option<Option<u32>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<bool>)]
    pub auto_reconnect: Option<Option<bool>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<u32>)]
    pub max_reconnect_attempts: Option<Option<u32>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<u32>)]
    pub reconnect_delay_seconds: Option<Option<u32>>,
}

/// A secret is taken but never given: its field is left out whenever it is serialised.
pub(super) fn always<T>(_: &T) -> bool {
    true
}

pub(super) fn nothing<T, S: Serializer>(_: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_none()
}

/// Tells `null` from a key that is not there.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

fn not_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// Trouble that a page saw with a camera (R-N2).
#[derive(Clone, Debug, Serialize, Deserialize, Type, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub class: FaultKind,
    /// What the browser said; at most 1,000 characters are kept.
    #[serde(default)]
    pub detail: String,
    /// A name that the page made up for this viewer and keeps: up to 64 of `A-Z a-z 0-9 _ -`. Who has one
    /// is told what to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub viewer: Option<String>,
    /// How the viewer was connected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transport: Option<ViewerTransport>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FaultKind {
    Decoder,
    VideoSink,
}

/// How a page gets its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ViewerTransport {
    Webrtc,
    Mse,
    Stills,
}

/// What a viewer shall do about its trouble. Nobody else is concerned.
#[derive(Clone, Debug, Serialize, Deserialize, Type, JsonSchema)]
pub struct FaultAdvice {
    pub action: ViewerAction,
    pub cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ViewerAction {
    /// Connect anew; a key frame was asked for where the camera can be asked.
    Redial,
    /// That did not help: take another transport.
    FallBack,
}

/// Which of a camera's streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    #[default]
    Main,
    /// The small one; the main one where the camera has no other or it does not come.
    Sub,
}
