//! Peers and their rooms: what is said to whom when somebody says something. A pure machine: inputs in, outputs
//! out; time and chance are arguments.
//!
//! Invariant: what a peer says reaches its own room, and only who it concerns there; `from` is always written
//! here. A room's name comes from what the peer was granted, or, in the legacy form, from its wish. Who breaks
//! a limit loses its connection, and nobody else notices.

mod entry;
mod media;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::keys::{Chance, Devices, Pairings};
use super::limits::{self, Bucket, Window, Windows, network};
use super::seat::Seat;
use super::words::{self, Dialect};
use crate::candidate::Taken;
use crate::inbound::{self, Join, Said, Spoken, Unreadable};
use crate::message::{
    CLOSE_AUTH_TIMEOUT, Candidate, Envelope, ErrorCode, IceServer, Peer as Other, Role, Sdp, State, Stats,
    ToPhone,
};

/// A connection, numbered; a number is never used again.
pub type SocketId = u64;

/// The desk's own name in `from` and `to`.
pub const DESK: &str = "n_desk";

/// What a room's offers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Whoever sits at the desk answers them.
    Desk,
    /// They are handed to the others of the room.
    Forward,
}

/// Signs what proves that the relay has its key. It is handed texts of [`crate::proof`] alone.
pub trait Signer: Send + Sync {
    /// The public key: SPKI, DER, base64url.
    fn relay_key(&self) -> String;
    /// Base64url of the signature, 64 bytes.
    fn sign(&self, text: &str) -> Option<String>;
}

/// Which STUN and TURN servers a peer of this id may use at this time.
pub type IceServers = Arc<dyn Fn(&str, SystemTime) -> Vec<IceServer> + Send + Sync>;

/// What does not change while the relay runs.
#[derive(Clone)]
pub struct Terms {
    pub mode: Mode,
    /// Base64url of the SHA-256 of the relay's public key.
    pub relay_id: String,
    pub signer: Option<Arc<dyn Signer>>,
    /// Asked anew for each peer.
    pub ice_servers: IceServers,
    /// TCP candidates are of use.
    pub tcp: bool,
}

/// Where a connection comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    pub ip: IpAddr,
    /// The authority that was asked for.
    pub host: String,
    /// It may join a room by its name, as the older clients do.
    pub legacy: bool,
}

/// Now, and chance.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    pub now: Instant,
    pub wall: SystemTime,
    pub chance: Chance<'a>,
}

/// What a peer is told by the desk. See the engine's messages of the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToPeer {
    Candidate { generation: u32, candidate: Candidate },
    RestartCapture { generation: u32, reason: String },
    Reconnect { generation: u32, reason: String },
    MediaStatus { generation: u32, status: crate::message::MediaStatus },
    Bye { reason: String },
}

/// What the desk says to an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub sdp: Sdp,
    /// The offer sends pictures or sound.
    pub publishes: bool,
}

/// A peer as the desk hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    pub peer_id: String,
    pub room: String,
    /// What it came for, as far as it said.
    pub role: Option<Role>,
    pub name: Option<String>,
    pub legacy: bool,
}

/// What the desk is asked, for a peer.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Answered by [`Rooms::admitted`], before anything else of this socket.
    Join(Card),
    /// Answered by [`Rooms::answered`].
    Offer {
        generation: u32,
        neg: u16,
        sdp: Sdp,
    },
    Candidate {
        generation: u32,
        candidate: Option<Candidate>,
    },
    State {
        generation: u32,
        state: State,
    },
    Stats {
        generation: u32,
        stats: Stats,
    },
    /// It said goodbye: what it publishes ends.
    Leave,
    /// Its socket is gone; what it publishes goes on.
    Gone,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Send {
        socket: SocketId,
        text: String,
    },
    /// After what was sent before.
    Close {
        socket: SocketId,
        code: u16,
        reason: &'static str,
    },
    /// `seat` tells a peer's stays in rooms apart.
    Desk {
        socket: SocketId,
        seat: u64,
        call: Call,
    },
    /// Devices changed: they are to be kept.
    Keep,
}

/// How often which kind of thing was not as it should be, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub stale: u64,
    pub candidates_dropped: u64,
    pub candidates_bad: u64,
    pub forbidden: u64,
    pub limited: u64,
}

/// A connection.
pub(super) struct Peer {
    origin: Origin,
    opened: Instant,
    /// It sent `v`.
    v1: bool,
    peer_id: String,
    nonce: Option<String>,
    device: Option<String>,
    /// It waits for a person to let it in.
    pairing: bool,
    pub(super) seat: Option<Seat>,
    bucket: Bucket,
    offers: Window,
    forbidden: Window,
    ids: VecDeque<String>,
}

impl Peer {
    fn known(&self) -> bool {
        self.origin.legacy || self.device.is_some()
    }

    pub(super) fn dialect(&self) -> Dialect {
        // Before its first word a connection that need not prove anything is taken for an older client.
        if self.v1 || !self.origin.legacy { Dialect::V1 } else { Dialect::Legacy }
    }
}

/// What is remembered of a device between two connections.
#[derive(Clone, Copy, Debug)]
struct Memory {
    generation: u32,
    left: Instant,
}

/// The machine.
pub struct Rooms {
    terms: Terms,
    pub(super) peers: HashMap<SocketId, Peer>,
    /// Members in the order in which they came.
    pub(super) rooms: HashMap<String, Vec<SocketId>>,
    pub devices: Devices,
    pub pairings: Pairings,
    memory: HashMap<String, Memory>,
    bad_offers: Windows<IpAddr>,
    bad_pairings: Windows<IpAddr>,
    bad_pairings_in_all: Window,
    seats: u64,
    /// Raised when devices or their being here changed.
    devices_version: u64,
    pub counts: Counts,
}

/// Devices whose last connection is remembered.
const MEMORIES: usize = 512;

impl Rooms {
    /// No peers yet, and these devices.
    #[must_use]
    pub fn new(terms: Terms, devices: Devices) -> Self {
        Self {
            terms,
            peers: HashMap::new(),
            rooms: HashMap::new(),
            devices,
            pairings: Pairings::default(),
            memory: HashMap::new(),
            bad_offers: Windows::default(),
            bad_pairings: Windows::default(),
            bad_pairings_in_all: Window::default(),
            seats: 0,
            devices_version: 0,
            counts: Counts::default(),
        }
    }

    /// Connections at present.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Whether a device is connected.
    #[must_use]
    pub fn is_online(&self, device: &str) -> bool {
        self.peers.values().any(|peer| peer.device.as_deref() == Some(device))
    }

    /// Raised when devices, pairings, or who is connected changed.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.devices_version + self.pairings.version()
    }

    /// Renames a device. `None`: there is no such device.
    pub fn rename(&mut self, device: &str, name: &str) -> Option<Vec<Output>> {
        self.devices_version += 1;
        self.devices.rename(device, name).then(|| vec![Output::Keep])
    }

    /// Forgets a connection.
    fn forget(&mut self, socket: SocketId) {
        if self.peers.remove(&socket).is_some_and(|peer| peer.device.is_some()) {
            self.devices_version += 1;
        }
    }

    /// Peers in rooms, by room.
    pub fn members(&self) -> impl Iterator<Item = (&str, usize)> {
        self.rooms.iter().map(|(room, members)| (room.as_str(), members.len()))
    }

    /// A connection came. `false`: it is refused, and nothing is known of it.
    pub fn opened(&mut self, socket: SocketId, origin: Origin, peer_id: String, at: &Moment<'_>) -> bool {
        if self.peers.len() >= limits::SOCKETS {
            return false;
        }
        if !origin.legacy {
            let from = network(origin.ip);
            let unknown = self.peers.values().filter(|p| !p.known() && network(p.origin.ip) == from);
            if unknown.count() >= limits::UNKNOWN_SOCKETS {
                self.counts.limited += 1;
                return false;
            }
        }
        let peer = Peer {
            origin,
            opened: at.now,
            v1: false,
            peer_id,
            nonce: None,
            device: None,
            pairing: false,
            seat: None,
            bucket: Bucket::new(at.now),
            offers: Window::default(),
            forbidden: Window::default(),
            ids: VecDeque::new(),
        };
        self.peers.insert(socket, peer);
        true
    }

    /// A connection is gone.
    pub fn closed(&mut self, socket: SocketId, at: &Moment<'_>) -> Vec<Output> {
        let mut out = Vec::new();
        self.leave_room(socket, Call::Gone, at, &mut out);
        self.forget(socket);
        out
    }

    /// A text came in.
    pub fn text(&mut self, socket: SocketId, text: &str, at: &Moment<'_>) -> Vec<Output> {
        let mut out = Vec::new();
        let Some(peer) = self.peers.get_mut(&socket) else { return out };
        if !peer.bucket.take(at.now) {
            self.counts.limited += 1;
            self.dismiss(socket, ErrorCode::RateLimited, "Too many messages", at, &mut out);
            return out;
        }
        let taken = Taken { tcp: self.terms.tcp, loopback: peer.origin.ip.to_canonical().is_loopback() };
        match inbound::read(text, taken) {
            Ok(spoken) => self.spoken(socket, spoken, at, &mut out),
            Err(Unreadable::Large) => self.too_large(socket, at, &mut out),
            Err(error) => self.unreadable(socket, &error.to_string(), at, &mut out),
        }
        out
    }

    /// Something came in that is no text, or was cut off for its size (`large`).
    pub fn no_text(&mut self, socket: SocketId, large: bool, at: &Moment<'_>) -> Vec<Output> {
        let mut out = Vec::new();
        let Some(peer) = self.peers.get_mut(&socket) else { return out };
        if large {
            self.too_large(socket, at, &mut out);
        } else if !peer.bucket.take(at.now) {
            self.counts.limited += 1;
            self.dismiss(socket, ErrorCode::RateLimited, "Too many messages", at, &mut out);
        } else {
            self.unreadable(socket, "Only text messages are understood", at, &mut out);
        }
        out
    }

    fn too_large(&mut self, socket: SocketId, at: &Moment<'_>, out: &mut Vec<Output>) {
        self.dismiss(socket, ErrorCode::TooBig, "Message is too large", at, out);
    }

    /// The older clients may err; who speaks v1 must not.
    fn unreadable(&mut self, socket: SocketId, message: &str, at: &Moment<'_>, out: &mut Vec<Output>) {
        match self.peers.get(&socket).map(Peer::dialect) {
            Some(Dialect::Legacy) => self.error(socket, None, ErrorCode::BadMessage, message, out),
            Some(Dialect::V1) => self.dismiss(socket, ErrorCode::BadMessage, message, at, out),
            None => {}
        }
    }

    fn spoken(&mut self, socket: SocketId, spoken: Spoken, at: &Moment<'_>, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&socket) else { return };
        peer.v1 |= spoken.v1;
        let Spoken { envelope, said, .. } = spoken;
        if let Some(id) = &envelope.id {
            if peer.ids.contains(id) {
                return;
            }
            if peer.ids.len() >= limits::IDS {
                peer.ids.pop_front();
            }
            peer.ids.push_back(id.clone());
        }
        let re = envelope.id.clone();
        let always = matches!(
            said,
            Said::Hello(_) | Said::Pair(_) | Said::Auth(_) | Said::Ping | Said::Pong | Said::Bye | Said::Idle
        );
        if !always && !peer.known() {
            return self.dismiss(socket, ErrorCode::AuthRequired, "Say who you are first", at, out);
        }
        // Who names another room, or somebody who is not in its own, is told no and nothing else.
        if let Some(seat) = peer.seat.as_ref().filter(|_| !matches!(said, Said::Join(_))) {
            let foreign = envelope.room.as_ref().is_some_and(|room| *room != seat.room);
            let to = envelope.to.clone().filter(|to| to != DESK);
            let room = seat.room.clone();
            if foreign || to.is_some_and(|to| !self.is_member(&room, &to)) {
                return self.forbid(socket, re, at, out);
            }
        }
        match said {
            Said::Hello(hello) => self.hello(socket, re, &hello, at, out),
            Said::Pair(asked) => self.pair(socket, re, asked, at, out),
            Said::Auth(auth) => self.auth(socket, re, &auth, at, out),
            Said::Join(join) => self.join(socket, re, join, at, out),
            Said::Ping => {
                if let Some(peer) = self.peers.get(&socket) {
                    out.push(Output::Send { socket, text: words::pong(peer.dialect(), re) });
                }
            }
            Said::Pong => {}
            Said::Bye => {
                self.leave_room(socket, Call::Leave, at, out);
                out.push(Output::Close { socket, code: 1000, reason: "" });
            }
            Said::Idle => self.counts.stale += 1,
            Said::Unknown(kind) => {
                let message = format!("Unknown message type: {kind}");
                self.error(socket, re, ErrorCode::UnknownType, &message, out);
            }
            said => {
                if self.peers.get(&socket).is_none_or(|p| p.seat.as_ref().is_none_or(|s| !s.admitted)) {
                    return self.error(socket, re, ErrorCode::Forbidden, "Not in a room", out);
                }
                self.seated(socket, re, &envelope, said, at, out);
            }
        }
    }

    /// What a member of a room says.
    fn seated(
        &mut self,
        socket: SocketId,
        re: Option<String>,
        envelope: &Envelope,
        said: Said,
        at: &Moment<'_>,
        out: &mut Vec<Output>,
    ) {
        let forward = self.terms.mode == Mode::Forward;
        match said {
            Said::Leave => self.leave_room(socket, Call::Leave, at, out),
            Said::Offer(Ok(sdp)) => self.offer(socket, re, envelope, sdp, at, out),
            Said::Offer(Err(error)) => self.bad_offer(socket, re, &error.to_string(), at, out),
            Said::Answer(Ok(sdp)) if forward => self.forward_answer(socket, envelope, &sdp, out),
            // Nobody was offered anything.
            Said::Answer(_) => self.counts.stale += 1,
            Said::Candidate(heard) => self.candidate(socket, re, envelope, heard, out),
            Said::ReconnectRequest { reason } => {
                self.reconnect_request(socket, re, envelope, &reason, at, out)
            }
            Said::State(_) | Said::Stats(_) | Said::ControlOk(_) if forward => {}
            Said::State(state) => {
                self.report(socket, envelope.generation, out, |generation| Call::State { generation, state })
            }
            Said::Stats(stats) => {
                self.report(socket, envelope.generation, out, |generation| Call::Stats { generation, stats })
            }
            _ => {}
        }
    }

    fn report(
        &mut self,
        socket: SocketId,
        generation: Option<u32>,
        out: &mut Vec<Output>,
        call: impl FnOnce(u32) -> Call,
    ) {
        let Some(seat) = self.seat(socket) else { return };
        let generation = generation.unwrap_or(seat.generation);
        // Of a connection whose offer is on its way it may speak already.
        if generation < seat.generation {
            self.counts.stale += 1;
            return;
        }
        out.push(Output::Desk { socket, seat: seat.number, call: call(generation) });
    }

    pub(super) fn seat(&mut self, socket: SocketId) -> Option<&mut Seat> {
        self.peers.get_mut(&socket)?.seat.as_mut()
    }

    fn is_member(&self, room: &str, peer_id: &str) -> bool {
        let mut members = self.rooms.get(room).into_iter().flatten();
        members.any(|socket| self.peers.get(socket).is_some_and(|peer| peer.peer_id == peer_id))
    }

    pub(super) fn say(&self, socket: SocketId, body: ToPhone, re: Option<String>, out: &mut Vec<Output>) {
        out.push(Output::Send { socket, text: words::v1(body, re) });
    }

    pub(super) fn error(
        &self,
        socket: SocketId,
        re: Option<String>,
        code: ErrorCode,
        message: &str,
        out: &mut Vec<Output>,
    ) {
        if let Some(peer) = self.peers.get(&socket) {
            out.push(Output::Send { socket, text: words::error(peer.dialect(), re, code, message, false) });
        }
    }

    /// Tells a peer why, and closes its connection.
    pub(super) fn dismiss(
        &mut self,
        socket: SocketId,
        code: ErrorCode,
        message: &str,
        at: &Moment<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peers.get(&socket) else { return };
        out.push(Output::Send { socket, text: words::error(peer.dialect(), None, code, message, true) });
        // A phone that is no longer wanted publishes no more; one that only lost its place here does.
        let call = if code == ErrorCode::Revoked { Call::Leave } else { Call::Gone };
        self.leave_room(socket, call, at, out);
        self.forget(socket);
        out.push(Output::Close { socket, code: code.close_code(), reason: code.word() });
    }

    fn forbid(&mut self, socket: SocketId, re: Option<String>, at: &Moment<'_>, out: &mut Vec<Output>) {
        self.counts.forbidden += 1;
        let Some(peer) = self.peers.get_mut(&socket) else { return };
        if peer.forbidden.note(at.now, limits::FORBIDDEN) {
            self.error(socket, re, ErrorCode::Forbidden, "This is not allowed", out);
        } else {
            self.counts.limited += 1;
            self.dismiss(socket, ErrorCode::RateLimited, "Too many attempts", at, out);
        }
    }

    fn join(
        &mut self,
        socket: SocketId,
        re: Option<String>,
        join: Join,
        at: &Moment<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peers.get_mut(&socket) else { return };
        let room = match join.room {
            Ok(room) => room,
            Err(error) => return self.error(socket, re, ErrorCode::BadMessage, &error.to_string(), out),
        };
        let (role, name) = match peer.device.as_ref().map(|id| self.devices.get(id)) {
            // What was granted holds, whatever it wishes.
            Some(Some(device)) if device.room == room => {
                (Some(Role::Publisher), join.name.or_else(|| Some(device.name.clone())))
            }
            Some(_) => return self.forbid(socket, re, at, out),
            None => (join.role, join.name),
        };
        if let Some(seat) = peer.seat.as_mut().filter(|seat| seat.room == room) {
            // Once more into the room it is in: it is told again, and nobody else.
            seat.role = role.or(seat.role);
            seat.re = re;
            return self.welcome(socket, at, out);
        }
        if self.rooms.get(&room).is_some_and(|members| members.len() >= limits::MEMBERS) {
            return self.error(socket, re, ErrorCode::Busy, "The room is full", out);
        }
        self.leave_room(socket, Call::Leave, at, out);
        self.seats += 1;
        let Some(peer) = self.peers.get_mut(&socket) else { return };
        let memory = peer.device.as_ref().and_then(|device| self.memory.get(device));
        let mut seat = Seat::new(self.seats, room.clone(), role, name.clone(), re);
        if let Some(memory) = memory {
            seat.generation = memory.generation;
            seat.resumed =
                memory.generation > 0 && at.now.saturating_duration_since(memory.left) < limits::RESUME;
        }
        let number = seat.number;
        peer.seat = Some(seat);
        match self.terms.mode {
            Mode::Forward => {
                self.admitted(socket, number, Ok(()), at, out);
            }
            Mode::Desk => {
                let legacy = peer.dialect() == Dialect::Legacy;
                let card = Card { peer_id: peer.peer_id.clone(), room, role, name, legacy };
                out.push(Output::Desk { socket, seat: number, call: Call::Join(card) });
            }
        }
    }

    /// The desk let a peer into its room, or not. `false`: its stay was over before the desk had decided.
    pub fn admitted(
        &mut self,
        socket: SocketId,
        seat: u64,
        result: Result<(), String>,
        at: &Moment<'_>,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(&socket) else { return false };
        let Some(own) = peer.seat.as_mut().filter(|own| own.number == seat) else { return false };
        if let Err(message) = result {
            let re = own.re.take();
            peer.seat = None;
            self.error(socket, re, ErrorCode::Busy, &message, out);
            return true;
        }
        own.admitted = true;
        let me = Other {
            peer_id: peer.peer_id.clone(),
            role: own.role.unwrap_or(Role::Viewer),
            name: own.name.clone(),
        };
        let room = own.room.clone();
        self.rooms.entry(room.clone()).or_default().push(socket);
        self.welcome(socket, at, out);
        for other in self.others(&room, socket) {
            if self.may_see(other, me.role) {
                let Some(peer) = self.peers.get(&other) else { continue };
                out.push(Output::Send {
                    socket: other,
                    text: words::peer_joined(peer.dialect(), &room, &me),
                });
            }
        }
        true
    }

    pub(super) fn others(&self, room: &str, socket: SocketId) -> Vec<SocketId> {
        self.rooms.get(room).into_iter().flatten().copied().filter(|other| *other != socket).collect()
    }

    /// A phone that publishes hears of no other publisher; everybody else of all.
    fn may_see(&self, socket: SocketId, role: Role) -> bool {
        self.peers.get(&socket).is_some_and(|peer| peer.device.is_none() || role == Role::Viewer)
    }

    fn welcome(&mut self, socket: SocketId, at: &Moment<'_>, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get(&socket) else { return };
        let Some(seat) = peer.seat.as_ref() else { return };
        let others = self.others(&seat.room, socket);
        let peers = others.into_iter().filter_map(|other| {
            let other_peer = self.peers.get(&other)?;
            let seat = other_peer.seat.as_ref()?;
            let role = seat.role.unwrap_or(Role::Viewer);
            let seen = Other { peer_id: other_peer.peer_id.clone(), role, name: seat.name.clone() };
            self.may_see(socket, role).then_some(seen)
        });
        let peers: Vec<Other> = peers.collect();
        let ice_servers = (self.terms.ice_servers)(&peer.peer_id, at.wall);
        let text = words::joined_room(peer.dialect(), seat, &peer.peer_id, peers, ice_servers);
        out.push(Output::Send { socket, text });
        if let Some(seat) = self.seat(socket) {
            seat.re = None;
        }
    }

    pub(super) fn leave_room(
        &mut self,
        socket: SocketId,
        call: Call,
        at: &Moment<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peers.get_mut(&socket) else { return };
        let Some(seat) = peer.seat.take() else { return };
        let (peer_id, device) = (peer.peer_id.clone(), peer.device.clone());
        if let Some(device) = device
            && call == Call::Gone
        {
            if self.memory.len() >= MEMORIES {
                let oldest = self.memory.iter().min_by_key(|(_, m)| m.left).map(|(id, _)| id.clone());
                oldest.map(|id| self.memory.remove(&id));
            }
            self.memory.insert(device, Memory { generation: seat.generation, left: at.now });
        }
        if self.terms.mode == Mode::Desk {
            out.push(Output::Desk { socket, seat: seat.number, call });
        }
        if !seat.admitted {
            return;
        }
        let role = seat.role.unwrap_or(Role::Viewer);
        if let Some(members) = self.rooms.get_mut(&seat.room) {
            members.retain(|member| *member != socket);
            if members.is_empty() {
                self.rooms.remove(&seat.room);
            }
        }
        for other in self.others(&seat.room, socket) {
            if self.may_see(other, role)
                && let Some(peer) = self.peers.get(&other)
            {
                let text = words::peer_left(peer.dialect(), &seat.room, &peer_id);
                out.push(Output::Send { socket: other, text });
            }
        }
    }

    /// When [`Rooms::tick`] has something to do next.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let peers = self.peers.values().flat_map(|peer| {
            let unknown = (!peer.known() && !peer.pairing).then(|| peer.opened + limits::UNKNOWN_TIME);
            let due = peer.seat.as_ref().and_then(|seat| Some(seat.due.as_ref()?.0));
            [unknown, due]
        });
        peers.chain([self.pairings.deadline()]).flatten().min()
    }

    /// Time has passed.
    pub fn tick(&mut self, at: &Moment<'_>) -> Vec<Output> {
        let mut out = Vec::new();
        for asked in self.pairings.expire(at.now) {
            self.reject(asked.socket, at, &mut out);
        }
        let mut late = Vec::new();
        let mut due = Vec::new();
        for (socket, peer) in &self.peers {
            if !peer.known() && !peer.pairing && at.now >= peer.opened + limits::UNKNOWN_TIME {
                late.push(*socket);
            }
            if let Some((when, reason)) = peer.seat.as_ref().and_then(|seat| seat.due.clone())
                && at.now >= when
            {
                due.push((*socket, reason));
            }
        }
        for (socket, reason) in due {
            self.command(socket, &reason, at, &mut out);
        }
        for socket in late {
            self.peers.remove(&socket);
            let text =
                words::error(Dialect::V1, None, ErrorCode::AuthRequired, "Say who you are first", true);
            out.push(Output::Send { socket, text });
            out.push(Output::Close { socket, code: CLOSE_AUTH_TIMEOUT, reason: "auth_timeout" });
        }
        out
    }

    pub(super) fn peer_id(&self, socket: SocketId) -> Option<String> {
        self.peers.get(&socket).map(|peer| peer.peer_id.clone())
    }
}
