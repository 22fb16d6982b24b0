//! Pairings, the phones that were let in, and rights to publish by WHIP.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use nightjar_engine::api::{
    CameraKind, Device, DevicePatch, ErrorCode, NewPairing, Pairing, PairingSpec, PairingState, Timestamp,
    WhipToken, WhipTokenSpec,
};
use nightjar_engine::config::is_id;
use nightjar_signaling::relay::keys::{self, PairingView};
use nightjar_signaling::relay::{DeviceView, Relay};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Named, done};
use crate::body;
use crate::door::Door;
use crate::phones::{NotKept, PhoneDoor, Phones};
use crate::reply::{Refusal, Reply, json};
use crate::signal::Signal;

/// Characters of a name.
const NAME_MAX: usize = 64;

/// The phones, and how they come in.
#[derive(Serialize, JsonSchema)]
pub(crate) struct DeviceList {
    pub(crate) devices: Vec<Device>,
    /// The door for phones; `null` where there is none.
    pub(crate) door: Option<PhoneDoor>,
}

/// Rights to publish.
#[derive(Serialize, JsonSchema)]
pub(crate) struct WhipTokens {
    pub(crate) tokens: Vec<WhipToken>,
}

fn signal(door: &Door) -> Result<&Signal, Refusal> {
    door.signal.as_ref().ok_or_else(|| Refusal::new(ErrorCode::NotFound, "Signaling is switched off."))
}

fn phones(door: &Door) -> Result<&Arc<Phones>, Refusal> {
    let closed = || Refusal::new(ErrorCode::NotLive, "The door for phones is closed.");
    door.phones.as_ref().ok_or_else(closed)
}

fn no_device() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "There is no phone of that id.")
}

fn no_pairing() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "There is no pairing of that id.")
}

fn at(seconds: u64) -> Timestamp {
    (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).into()
}

/// A device, as the contract has it.
pub(crate) fn device(view: DeviceView) -> Device {
    let DeviceView { id, name, room, paired_at, last_seen, online } = view;
    Device { id, name, room, paired_at: at(paired_at), last_seen: last_seen.map(at), online }
}

/// A pairing, as the contract has it.
pub(crate) fn pairing(view: PairingView) -> Pairing {
    let PairingView { id, state, code, name, device, .. } = view;
    let state = match state {
        keys::PairingState::Waiting => PairingState::Waiting,
        keys::PairingState::Asked => PairingState::Asked,
        keys::PairingState::Paired => PairingState::Paired,
        keys::PairingState::Ended => PairingState::Ended,
    };
    Pairing { id, state, code, name, device }
}

fn find(relay: &Relay, id: &str) -> Result<Device, Refusal> {
    relay.devices().into_iter().find(|view| view.id == id).map(device).ok_or_else(no_device)
}

pub(super) async fn devices(State(door): State<Arc<Door>>) -> Reply {
    let devices = signal(&door)?.relay.devices().into_iter().map(device).collect();
    let door = door.phones.as_ref().map(|phones| phones.door());
    Ok(json(StatusCode::OK, &DeviceList { devices, door }))
}

pub(super) async fn one(State(door): State<Arc<Door>>, Named(id): Named<String>) -> Reply {
    Ok(json(StatusCode::OK, &find(&signal(&door)?.relay, &id)?))
}

fn named(name: &str) -> Result<&str, Refusal> {
    let name = name.trim();
    if !(1..=NAME_MAX).contains(&name.chars().count()) || name.chars().any(char::is_control) {
        return Err(Refusal::invalid("name", "must be 1 to 64 characters"));
    }
    Ok(name)
}

pub(super) async fn rename(
    State(door): State<Arc<Door>>,
    Named(id): Named<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Reply {
    let relay = &signal(&door)?.relay;
    find(relay, &id)?;
    let patch: DevicePatch = body::json(&headers, &bytes)?;
    let name = named(&patch.name)?.to_owned();
    if !relay.rename(&id, &name) {
        return Err(no_device());
    }
    let (engine, peer) = (door.engine.clone(), id.clone());
    door.finish(async move { engine.rename_phone(&peer, &name).await }).await;
    Ok(json(StatusCode::OK, &find(relay, &id)?))
}

/// From now on the phone hears that it may no longer publish; what it publishes ends.
pub(super) async fn revoke(State(door): State<Arc<Door>>, Named(id): Named<String>) -> Reply {
    let within = Arc::clone(&door);
    let kept = door.finish(async move {
        let revoked = signal(&within)?.revoke(&id).await;
        if matches!(revoked, Ok(false)) {
            return Err(no_device());
        }
        within.engine.dismiss_phone(&id).await;
        revoked.map_err(|error| not_kept(&error))
    });
    kept.await?;
    done()
}

pub(super) fn not_kept(error: &NotKept) -> Refusal {
    let message = error.to_string();
    let (first, rest) = message.split_at(1);
    Refusal::new(ErrorCode::Internal, format!("{}{rest}.", first.to_ascii_uppercase()))
}

fn room(room: &str) -> Result<(), Refusal> {
    if is_id(room) {
        return Ok(());
    }
    Err(Refusal::invalid("room", "must be 1 to 64 letters, digits, \"_\" or \"-\", and not \"probe\""))
}

pub(super) async fn pair(State(door): State<Arc<Door>>, headers: HeaderMap, bytes: Bytes) -> Reply {
    let spec = if bytes.is_empty() { PairingSpec::default() } else { body::json(&headers, &bytes)? };
    if let Some(named) = &spec.room {
        room(named)?;
        if door.engine.camera(named).is_ok_and(|camera| camera.kind != CameraKind::Phone) {
            let message = format!("The camera \"{named}\" is not a phone, so that no phone can film there.");
            return Err(Refusal::new(ErrorCode::Duplicate, message));
        }
    }
    let relay = &signal(&door)?.relay;
    let phones = phones(&door)?;
    // Asked before the pairing begins: a closed door lets nobody in.
    let open = phones.door();
    if let Some(reason) = open.reason {
        let message = format!("The door for phones is closed: {reason}.");
        return Err(Refusal::new(ErrorCode::NotLive, message));
    }
    let started = relay.start_pairing(spec.room);
    let url = phones
        .invitation(&started.token)
        .map_err(|why| Refusal::new(ErrorCode::NotLive, format!("{why}.")))?;
    let code = QrCode::with_error_correction_level(url.as_bytes(), EcLevel::M)
        .map_err(|_| Refusal::new(ErrorCode::Internal, "The address is too long for a QR code."))?;
    let qr = code.render::<svg::Color<'_>>().min_dimensions(240, 240).quiet_zone(true).build();
    let made = NewPairing {
        id: started.id.clone(),
        url,
        qr,
        code: None,
        expires_at: started.expires.into(),
        trust_url: open.trust_url,
    };
    let mut response = json(StatusCode::CREATED, &made);
    if let Ok(location) = format!("/api/v1/pairings/{}", started.id).parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn look(relay: &Relay, id: &str) -> Result<Pairing, Refusal> {
    relay.pairings().into_iter().find(|view| view.id == id).map(pairing).ok_or_else(no_pairing)
}

pub(super) async fn pairing_state(State(door): State<Arc<Door>>, Named(id): Named<String>) -> Reply {
    Ok(json(StatusCode::OK, &look(&signal(&door)?.relay, &id)?))
}

/// A person compared the digits and said yes. It never happens by itself: whoever photographs the QR code over a
/// shoulder would be in, and nobody would have seen which phone it was.
pub(super) async fn allow(State(door): State<Arc<Door>>, Named(id): Named<String>) -> Reply {
    let relay = &signal(&door)?.relay;
    look(relay, &id)?;
    let taken = |room: &str| door.engine.camera(room).is_ok();
    let before = signal(&door)?.known();
    if !relay.allow(&id, &taken) {
        return Err(Refusal::new(ErrorCode::Duplicate, "No phone waits at this pairing."));
    }
    // From now on it has its place on the wall, whether it films or not; what it was before has none.
    let (within, pairing) = (Arc::clone(&door), id.clone());
    let kept = door.finish(async move {
        let signal = signal(&within)?;
        let (engine, known) = (&within.engine, signal.known());
        for phone in before.into_iter().filter(|phone| known.iter().all(|now| now.peer_id != phone.peer_id)) {
            engine.dismiss_phone(&phone.peer_id).await;
        }
        engine.expect_phones(known, false).await;
        // What it is told outlives the program; where that cannot be, the person hears it.
        let kept = signal.kept().await;
        signal.relay.confirm(&pairing);
        kept.map_err(|error| not_kept(&error))
    });
    kept.await?;
    Ok(json(StatusCode::OK, &look(relay, &id)?))
}

pub(super) async fn end(State(door): State<Arc<Door>>, Named(id): Named<String>) -> Reply {
    if signal(&door)?.relay.end_pairing(&id) { done() } else { Err(no_pairing()) }
}

fn whip_token(token: keys::WhipToken, text: Option<String>) -> WhipToken {
    WhipToken { id: token.id, name: token.name, room: token.room, made_at: at(token.made_at), token: text }
}

pub(super) async fn whip_tokens(State(door): State<Arc<Door>>) -> Reply {
    let tokens = signal(&door)?.whip_tokens().into_iter().map(|token| whip_token(token, None)).collect();
    Ok(json(StatusCode::OK, &WhipTokens { tokens }))
}

pub(super) async fn make_whip_token(
    State(door): State<Arc<Door>>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Reply {
    let spec: WhipTokenSpec = body::json(&headers, &bytes)?;
    room(&spec.room)?;
    let name = named(spec.name.as_deref().unwrap_or(&spec.room))?;
    let made = signal(&door)?.make_whip_token(name.to_owned(), spec.room.clone()).await;
    let made = made.map_err(|error| {
        Refusal::new(ErrorCode::Internal, format!("The token was not made: {}.", error.why()))
    })?;
    let (token, text) = made.ok_or_else(|| Refusal::new(ErrorCode::Busy, "There are too many tokens."))?;
    Ok(json(StatusCode::CREATED, &whip_token(token, Some(text))))
}

pub(super) async fn remove_whip_token(
    State(door): State<Arc<Door>>,
    Named(named): Named<HashMap<String, String>>,
) -> Reply {
    let id = named.get("id").map(String::as_str).unwrap_or_default();
    if !signal(&door)?.remove_whip_token(id).await.map_err(|error| not_kept(&error))? {
        return Err(Refusal::new(ErrorCode::NotFound, "There is no token of that id."));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
