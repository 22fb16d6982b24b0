//! Phones that were let in, and those that ask to be: devices and pairings. Pure; time and chance are arguments.
//!
//! A pairing is a token of 128 bits that a QR code carries. It is kept as a hash, lives two minutes, bears five
//! misses and lets one phone in, after a person said yes: whoever photographs the screen gets no further than
//! the question, and the six digits tell which phone asks. From then on the phone proves itself by its key.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use specta::Type;
use specta_typescript::Number;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use crate::message::Auth;
use crate::proof;

/// How long a QR code is good, and how long a person may think about it.
pub const PAIRING_TIME: Duration = Duration::from_secs(120);
/// Misses that end a pairing.
pub const PAIRING_TRIES: u32 = 5;
/// Pairings at once; a new one ends the oldest.
const PAIRINGS: usize = 4;
/// Devices at once, and revoked ones that are remembered so that they hear why.
const DEVICES: usize = 256;
const REVOKED: usize = 64;
/// What stands before the point in the SPKI of a P-256 key (RFC 5480).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Bytes that nobody can guess.
pub type Chance<'a> = &'a dyn Fn(&mut [u8]);

/// Base64url of `N` bytes of chance.
#[must_use]
pub fn random<const N: usize>(chance: Chance<'_>) -> String {
    let mut bytes = [0; N];
    chance(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// A phone that was let in, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub id: String,
    pub name: String,
    /// Its public key: P-256, SPKI, DER, base64url.
    pub spki: String,
    /// Where it may publish.
    pub room: String,
    /// Seconds since 1970.
    pub paired_at: u64,
    #[serde(default)]
    pub last_seen: Option<u64>,
    #[serde(default)]
    pub revoked: bool,
}

/// The phones that were let in.
#[derive(Debug, Default)]
pub struct Devices(Vec<Device>);

/// Why a phone may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Unknown, or its proof is wrong: nobody is told which.
    Failed,
    /// It was let in once.
    Revoked,
}

impl Devices {
    /// Those that were kept.
    #[must_use]
    pub fn new(mut kept: Vec<Device>) -> Self {
        kept.truncate(DEVICES + REVOKED);
        Self(kept)
    }

    /// All that are to be kept.
    #[must_use]
    pub fn kept(&self) -> &[Device] {
        &self.0
    }

    /// Those that may come in.
    pub fn listed(&self) -> impl Iterator<Item = &Device> {
        self.0.iter().filter(|device| !device.revoked)
    }

    /// One that may come in.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Device> {
        self.listed().find(|device| device.id == id)
    }

    /// Whether it is there, revoked or not.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.0.iter().any(|device| device.id == id)
    }

    /// Whether there is room for one more.
    #[must_use]
    pub fn full(&self) -> bool {
        self.listed().count() >= DEVICES
    }

    /// Checks the proof of a phone against what was asked of it.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn check(&self, auth: &Auth, nonce: &str, relay_id: &str, host: &str) -> Result<&Device, Denied> {
        let device = self.0.iter().find(|device| device.id == auth.device_id).ok_or(Denied::Failed)?;
        let text = proof::auth(nonce, &auth.nonce_c, relay_id, &auth.device_id, host);
        let point = point(&device.spki).ok_or(Denied::Failed)?;
        let signature = URL_SAFE_NO_PAD.decode(auth.sig.trim_end_matches('=')).map_err(|_| Denied::Failed)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(text.as_bytes(), &signature)
            .map_err(|_| Denied::Failed)?;
        if device.revoked { Err(Denied::Revoked) } else { Ok(device) }
    }

    /// Takes note that it is here.
    pub fn seen(&mut self, id: &str, wall: SystemTime) {
        for device in self.0.iter_mut().filter(|device| device.id == id) {
            device.last_seen = Some(seconds(wall));
        }
    }

    /// Renames one. Whether there is such a one.
    pub fn rename(&mut self, id: &str, name: &str) -> bool {
        let found = self.0.iter_mut().find(|device| device.id == id && !device.revoked);
        found.map(|device| name.clone_into(&mut device.name)).is_some()
    }

    /// Lets one in no more. Whether there was such a one.
    pub fn revoke(&mut self, id: &str) -> bool {
        let Some(device) = self.0.iter_mut().find(|device| device.id == id && !device.revoked) else {
            return false;
        };
        device.revoked = true;
        let revoked = self.0.iter().filter(|device| device.revoked).count();
        if revoked > REVOKED
            && let Some(oldest) = self.0.iter().position(|device| device.revoked)
        {
            self.0.remove(oldest);
        }
        true
    }

    fn add(&mut self, device: Device) {
        // A phone that pairs again, with the key it has, replaces what it was.
        self.0.retain(|other| other.spki != device.spki);
        self.0.push(device);
    }
}

/// The point of a P-256 key in SPKI form, as `ring` takes it.
fn point(spki: &str) -> Option<Vec<u8>> {
    let der = URL_SAFE_NO_PAD.decode(spki.trim_end_matches('=')).ok()?;
    let point = der.strip_prefix(&P256)?;
    (point.len() == 65 && point[0] == 4).then(|| point.to_vec())
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// How far a pairing has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "snake_case")]
pub enum PairingState {
    /// The QR code waits for a phone.
    Waiting,
    /// A phone shows `code` and asks; compare and answer.
    Asked,
    /// The phone is in.
    Paired,
    /// A person said no, there were too many misses, or the time is over.
    Ended,
}

/// A pairing, as the desktop sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct PairingView {
    pub id: String,
    pub state: PairingState,
    /// Six digits to compare with those on the phone, once it asks.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(optional)]
    pub code: Option<String>,
    /// What the phone calls itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(optional)]
    pub name: Option<String>,
    /// The phone, once it is in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(optional)]
    pub device: Option<String>,
    /// Raised at each change.
    #[specta(type = Number)]
    pub version: u64,
}

/// A pairing that begins.
#[derive(Clone, Debug)]
pub struct Started {
    pub id: String,
    /// For the fragment of the QR code's address; kept nowhere.
    pub token: String,
    pub expires: SystemTime,
}

#[derive(Debug)]
struct Pairing {
    view: PairingView,
    /// SHA-256 of the token's text.
    hash: [u8; 32],
    /// The room it was made for, where one was named.
    room: Option<String>,
    misses: u32,
    until: Instant,
    asked: Option<Asked>,
}

/// The phone that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub socket: u64,
    pub spki: String,
    pub name: String,
    pub code: String,
}

/// What comes of a phone's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A person is asked now.
    Pending { code: String },
    /// It is in already: the answer got lost.
    Paired { device: String },
    /// No, and nobody is told why.
    Rejected,
}

/// The pairings under way.
#[derive(Debug, Default)]
pub struct Pairings {
    list: Vec<Pairing>,
    version: u64,
}

impl Pairings {
    /// Begins one.
    pub fn start(
        &mut self,
        room: Option<String>,
        now: Instant,
        wall: SystemTime,
        id: String,
        chance: Chance<'_>,
    ) -> Started {
        self.list.retain(|pairing| pairing.until + PAIRING_TIME > now);
        if self.list.len() >= PAIRINGS {
            self.list.remove(0);
        }
        let token = random::<16>(chance);
        self.version += 1;
        let view = PairingView {
            id: id.clone(),
            state: PairingState::Waiting,
            code: None,
            name: None,
            device: None,
            version: self.version,
        };
        let hash = sha256(token.as_bytes());
        self.list.push(Pairing { view, hash, room, misses: 0, until: now + PAIRING_TIME, asked: None });
        Started { id, token, expires: wall + PAIRING_TIME }
    }

    /// Raised at each change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All of them.
    #[must_use]
    pub fn views(&self) -> Vec<PairingView> {
        self.list.iter().map(|pairing| pairing.view.clone()).collect()
    }

    /// A phone shows a token. Every pairing is compared with, in the same time whatever it shows.
    pub fn claim(&mut self, token: &str, asked: Asked, now: Instant) -> Claim {
        self.expire(now);
        if point(&asked.spki).is_none() {
            return Claim::Rejected;
        }
        let hash = sha256(token.trim_end_matches('=').as_bytes());
        let mut found = None;
        for (at, pairing) in self.list.iter().enumerate() {
            if bool::from(pairing.hash.ct_eq(&hash)) {
                found = Some(at);
            }
        }
        let version = self.version + 1;
        let Some(pairing) = found.and_then(|at| self.list.get_mut(at)) else {
            // Whom it was meant for is not known: it counts against all that wait.
            for pairing in self.list.iter_mut().filter(|p| p.view.state == PairingState::Waiting) {
                pairing.misses += 1;
                if pairing.misses >= PAIRING_TRIES {
                    pairing.view.state = PairingState::Ended;
                    pairing.view.version = version;
                    self.version = version;
                }
            }
            return Claim::Rejected;
        };
        let same = pairing.asked.as_ref().is_some_and(|before| before.spki == asked.spki);
        match pairing.view.state {
            PairingState::Waiting => {}
            PairingState::Asked if same => {}
            PairingState::Paired if same => {
                let device = pairing.view.device.clone();
                return device.map_or(Claim::Rejected, |device| Claim::Paired { device });
            }
            _ => return Claim::Rejected,
        }
        pairing.until = now + PAIRING_TIME;
        pairing.view.state = PairingState::Asked;
        pairing.view.code = Some(asked.code.clone());
        pairing.view.name = Some(asked.name.clone());
        pairing.view.version = version;
        self.version = version;
        let code = asked.code.clone();
        pairing.asked = Some(asked);
        Claim::Pending { code }
    }

    /// A person said yes. Gives the phone that waits and the device that it is now.
    pub fn allow(
        &mut self,
        id: &str,
        devices: &mut Devices,
        now: Instant,
        wall: SystemTime,
        device: String,
        free_room: impl FnOnce() -> String,
    ) -> Option<Asked> {
        self.expire(now);
        if devices.full() {
            return None;
        }
        let pairing =
            self.list.iter_mut().find(|p| p.view.id == id && p.view.state == PairingState::Asked)?;
        let asked = pairing.asked.clone()?;
        let room = pairing.room.clone().unwrap_or_else(free_room);
        let name = if asked.name.is_empty() { room.clone() } else { asked.name.clone() };
        let device = Device {
            id: device,
            name,
            spki: asked.spki.clone(),
            room,
            paired_at: seconds(wall),
            last_seen: None,
            revoked: false,
        };
        self.version += 1;
        pairing.view.state = PairingState::Paired;
        pairing.view.device = Some(device.id.clone());
        pairing.view.version = self.version;
        devices.add(device);
        Some(asked)
    }

    /// By which connection the phone of a pairing asked that a person let in, and what it is known by now.
    pub(crate) fn let_in(&self, id: &str) -> Option<(u64, String)> {
        let pairing = self.list.iter().find(|pairing| pairing.view.id == id)?;
        Some((pairing.asked.as_ref()?.socket, pairing.view.device.clone()?))
    }

    /// A person said no, or closed the dialog. Gives the phone that waits, where one does; `None` where there is
    /// no such pairing.
    pub fn end(&mut self, id: &str) -> Option<Option<Asked>> {
        let pairing = self.list.iter_mut().find(|pairing| pairing.view.id == id)?;
        let waits = pairing.view.state == PairingState::Asked;
        if matches!(pairing.view.state, PairingState::Waiting | PairingState::Asked) {
            self.version += 1;
            pairing.view.state = PairingState::Ended;
            pairing.view.version = self.version;
        }
        Some(pairing.asked.clone().filter(|_| waits))
    }

    /// Ends what is over; gives the phones that waited in vain.
    pub fn expire(&mut self, now: Instant) -> Vec<Asked> {
        let mut left = Vec::new();
        for pairing in self.list.iter_mut().filter(|pairing| pairing.until <= now) {
            if matches!(pairing.view.state, PairingState::Waiting | PairingState::Asked) {
                self.version += 1;
                pairing.view.state = PairingState::Ended;
                pairing.view.version = self.version;
                left.extend(pairing.asked.take());
            }
        }
        left
    }

    /// When the next of them is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let open = |p: &&Pairing| matches!(p.view.state, PairingState::Waiting | PairingState::Asked);
        self.list.iter().filter(open).map(|pairing| pairing.until).min()
    }
}

/// A right to publish by WHIP, as it is kept: the token itself is shown once and never kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhipToken {
    pub id: String,
    pub name: String,
    pub room: String,
    /// SHA-256 of the token's text, base64url.
    pub hash: String,
    /// Seconds since 1970.
    pub made_at: u64,
}

/// Rights to publish by WHIP.
#[derive(Debug, Default)]
pub struct WhipTokens(HashMap<String, WhipToken>);

/// Most of them.
const WHIP_TOKENS: usize = 256;

impl WhipTokens {
    /// Those that were kept.
    #[must_use]
    pub fn new(kept: Vec<WhipToken>) -> Self {
        Self(kept.into_iter().take(WHIP_TOKENS).map(|token| (token.id.clone(), token)).collect())
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<WhipToken> {
        let mut list: Vec<WhipToken> = self.0.values().cloned().collect();
        list.sort_by(|a, b| a.id.cmp(&b.id));
        list
    }

    /// Makes one; the text is shown once. `None` where there are too many.
    pub fn add(
        &mut self,
        id: String,
        name: String,
        room: String,
        wall: SystemTime,
        chance: Chance<'_>,
    ) -> Option<(WhipToken, String)> {
        if self.0.len() >= WHIP_TOKENS {
            return None;
        }
        let text = random::<32>(chance);
        let hash = URL_SAFE_NO_PAD.encode(sha256(text.as_bytes()));
        let token = WhipToken { id: id.clone(), name, room, hash, made_at: seconds(wall) };
        self.0.insert(id, token.clone());
        Some((token, text))
    }

    /// Whether there was such a one.
    pub fn remove(&mut self, id: &str) -> Option<WhipToken> {
        self.0.remove(id)
    }

    /// Whether a text opens a room.
    #[must_use]
    pub fn opens(&self, text: &str, room: &str) -> bool {
        let hash = URL_SAFE_NO_PAD.encode(sha256(text.as_bytes()));
        let mut opens = false;
        for token in self.0.values() {
            opens |= bool::from(token.hash.as_bytes().ct_eq(hash.as_bytes())) && token.room == room;
        }
        opens
    }
}
