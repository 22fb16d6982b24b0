//! What a look at a camera found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use specta::Type;

use super::{Cause, Track, Transport};

/// What was found at an address, without saving anything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Probe {
    /// The address without user name and password.
    pub url: String,
    pub transport: Transport,
    pub tracks: Vec<ProbeTrack>,
    /// How it would play, best first.
    pub playback: Vec<Playback>,
    /// The first key frame as a `data:image/jpeg;base64,…` URL, 480 pixels wide at most.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub picture: Option<String>,
    /// Milliseconds from the call to the first frame.
    pub first_frame_ms: u32,
    /// Milliseconds from the call to the first key frame.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_key_frame_ms: Option<u32>,
    /// Of `rtsps`: the SHA-256 of the camera's certificate as 64 hexadecimal digits, to be kept with it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tls_fingerprint: Option<String>,
    /// The small stream, where an address of one was given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sub: Option<ProbeSub>,
    /// What may trouble, in plain words.
    pub warnings: Vec<String>,
    /// Of each of these in order what kind it is: `long_gop`, `no_key_frame`, `lost` or the code of a fault; others may
    /// come.
    #[serde(default)]
    pub warning_codes: Vec<String>,
}

/// What was found at the address of a small stream: its tracks, or why there are none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct ProbeSub {
    #[serde(default)]
    pub tracks: Vec<ProbeTrack>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Cause>,
}

/// A track and its measured figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct ProbeTrack {
    #[serde(flatten)]
    pub track: Track,
    /// Pictures or packets per second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(type = Option<specta_typescript::Number>)]
    pub fps: Option<f32>,
    /// Bits per second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bitrate: Option<u32>,
    /// Seconds between key frames.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(type = Option<specta_typescript::Number>)]
    pub key_frame_seconds: Option<f32>,
    /// The same where two were not seen while looking: it is at least this.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(type = Option<specta_typescript::Number>)]
    pub key_frame_at_least: Option<f32>,
    /// It has B-frames: WebRTC cannot play it.
    pub b_frames: bool,
}

/// One way to play.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Playback {
    /// `webrtc`, `mse` or `still`.
    pub transport: String,
    pub video: bool,
    pub audio: bool,
    /// The exact type for `MediaSource.isTypeSupported`, for `mse`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mime: Option<String>,
    /// Why it does not play, or plays without sound.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}
