//! Phones that were let in, and those that ask to be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use specta::Type;

use super::Timestamp;

/// A phone that was let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Device {
    pub id: String,
    pub name: String,
    /// The room it publishes in, which is the id of its camera.
    pub room: String,
    pub paired_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_seen: Option<Timestamp>,
    /// It is connected.
    pub online: bool,
}

/// Changes to a phone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DevicePatch {
    /// 1 to 64 characters.
    pub name: String,
}

/// What a new pairing is for. All of it may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PairingSpec {
    /// The room, and so the camera, that the phone is to publish in; a new one where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
}

/// A pairing that begins. Its address is told once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
pub struct NewPairing {
    pub id: String,
    /// For the phone; what follows `#` is secret, and good for one phone.
    pub url: String,
    /// The address as a QR code: an SVG document.
    pub qr: String,
    /// Six digits to compare with those on the phone: none before a phone asks, see [`Pairing`].
    pub code: Option<String>,
    pub expires_at: Timestamp,
    /// The page that helps a phone to trust this computer, where one is of use.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trust_url: Option<String>,
}

/// How far a pairing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairingState {
    /// The QR code waits for a phone.
    Waiting,
    /// A phone shows `code` and asks to be let in: compare, then allow or delete.
    Asked,
    /// The phone is in.
    Paired,
    /// It was refused, guessed at too often, or its time is over.
    Ended,
}

/// A pairing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Pairing {
    pub id: String,
    pub state: PairingState,
    /// Six digits to compare with those on the phone, once it asks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    /// What the phone calls itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The id of the phone, once it is in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
}

/// A right to publish by WHIP in one room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
pub struct WhipToken {
    pub id: String,
    pub name: String,
    pub room: String,
    pub made_at: Timestamp,
    /// For `Authorization: Bearer`; shown once, when it is made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
}

/// A right to publish that is to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhipTokenSpec {
    pub room: String,
    /// 1 to 64 characters; the room's where it is left out.
    #[serde(default)]
    pub name: Option<String>,
}
