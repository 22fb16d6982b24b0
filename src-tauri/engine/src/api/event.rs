//! What happens, told to whoever listens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use specta::Type;

use super::{Camera, Device, Pairing, Timestamp};

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
        alert: Alert,
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
        | Self::DeviceRemoved { seq, .. }) = &mut self;
        *seq = number;
        self
    }
}

/// Something the user would want to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Alert {
    pub id: String,
    pub kind: AlertKind,
    /// The camera concerned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub camera: Option<String>,
    pub since: Timestamp,
    /// When it was over; open alerts have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Timestamp>,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    CameraLost,
    CameraRefused,
}
