//! What happens, told to whoever listens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use specta::Type;

use super::camera::{always, nothing, nullable};
use super::{Camera, Cause, Device, Pairing, Timestamp};
use crate::env::Secret;

/// A message of the event stream. `seq` counts from 0 per connection without holes; whoever misses a
/// number connects anew. Objects are always whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The first message: everything as it is.
    Snapshot {
        #[specta(type = specta_typescript::Number)]
        seq: u64,
        cameras: Vec<Camera>,
        alerts: Vec<Alert>,
        /// This run of the program: with another one, no connection of an earlier one lives any more.
        #[serde(default)]
        run: String,
    },
    /// A camera was added or changed.
    Camera {
        #[specta(type = specta_typescript::Number)]
        seq: u64,
        camera: Box<Camera>,
    },
    CameraRemoved {
        #[specta(type = specta_typescript::Number)]
        seq: u64,
        id: String,
    },
    /// An alert was raised or changed.
    Alert {
        #[specta(type = specta_typescript::Number)]
        seq: u64,
        alert: Box<Alert>,
    },
    /// A pairing began or moved on.
    Pairing {
        #[specta(type = specta_typescript::Number)]
        seq: u64,
        pairing: Pairing,
    },
    /// A phone was let in, renamed, came or went.
    Device {
        #[specta(type = specta_typescript::Number)]
        seq: u64,
        device: Device,
    },
    /// A phone is let in no more.
    DeviceRemoved {
        #[specta(type = specta_typescript::Number)]
        seq: u64,
        id: String,
    },
    /// Nothing happened for ten seconds, and the connection holds: a page cannot see the pings of a socket.
    Alive {
        #[specta(type = specta_typescript::Number)]
        seq: u64,
    },
}

impl Event {
    /// The same event with the number that it has on its connection.
    #[must_use]
    pub fn numbered(mut self, number: u64) -> Self {
        let (Self::Snapshot { seq, .. }
        | Self::Camera { seq, .. }
        | Self::CameraRemoved { seq, .. }
        | Self::Alert { seq, .. }
        | Self::Pairing { seq, .. }
        | Self::Device { seq, .. }
        | Self::DeviceRemoved { seq, .. }
        | Self::Alive { seq }) = &mut self;
        *seq = number;
        self
    }
}

/// Something the user would want to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Alert {
    pub id: String,
    pub kind: AlertKind,
    /// The camera concerned, where it is one alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub camera: Option<String>,
    /// All cameras concerned: several that fell together are one alert.
    #[serde(default)]
    pub cameras: Vec<String>,
    /// Those among them that are well again.
    #[serde(default)]
    pub back: Vec<String>,
    pub since: Timestamp,
    /// When it was over; open alerts have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Cause>,
    /// What happened, in one sentence.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub remedy: String,
    /// Raised in quiet hours: nobody is to be disturbed.
    #[serde(default)]
    pub quiet: bool,
    /// The disk of recordings concerned, where that is one with a name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disk: Option<String>,
}

/// What is told of cameras in trouble, when and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
pub struct AlertSettings {
    /// A loss must last this long, in seconds.
    pub after_seconds: u32,
    /// From and until when nobody is disturbed, such as `22:00`, local time; both or none.
    pub quiet_from: Option<String>,
    pub quiet_until: Option<String>,
    /// The host that alerts are posted to. The whole address may hold a secret and is never given out.
    pub webhook: Option<String>,
}

/// A change of them: what is left out stays; `null` switches off, or brings the default back.
#[derive(Clone, Debug, Default, Deserialize, Serialize, Type, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertSettingsPatch {
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<u32>)]
    pub after_seconds: Option<Option<u32>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<String>)]
    pub quiet_from: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "nullable")]
    #[specta(optional, type = Option<String>)]
    pub quiet_until: Option<Option<String>>,
    /// `http://` or `https://`.
    #[serde(
        default,
        deserialize_with = "nullable",
        skip_serializing_if = "always",
        serialize_with = "nothing"
    )]
    #[specta(optional, type = Option<String>)]
    #[schemars(with = "Option<Option<String>>")]
    pub webhook: Option<Option<Secret<String>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// No picture; being reconnected to.
    CameraLost,
    /// Refused for a reason that does not go away by itself.
    CameraRefused,
    /// The attempts are used up; tried now and then.
    CameraFailed,
    /// It runs, with trouble.
    CameraDegraded,
    /// Pictures arrive late.
    Buffering,
    StorageLost,
    DiskFull,
    /// Recordings will go, or recording will stop, before the days to keep are over.
    SpaceShort,
    RecordingFailed,
    PhoneAsleep,
}
