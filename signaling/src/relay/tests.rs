//! The machine, played through without sockets: the legacy form, protocol v1, and who tries to break them.

mod attacks;
mod order;

use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::keys::{Claim, Device, Devices, PairingState};
use super::limits;
use super::rooms::{Answered, Call, Mode, Moment, Origin, Output, Rooms, SocketId, Terms, ToPeer};
use crate::message::{Candidate, Role, Sdp};
use crate::proof;

const HOST: &str = "192.168.1.2:8443";

/// A machine with a clock and a scripted desk.
struct Stage {
    rooms: Rooms,
    now: Instant,
    said: HashMap<SocketId, Vec<String>>,
    closed: HashMap<SocketId, u16>,
    calls: Vec<(SocketId, u64, Call)>,
    /// Whether offers send pictures.
    publishes: bool,
}

impl Stage {
    fn new(mode: Mode, devices: Vec<Device>) -> Self {
        let terms = Terms {
            mode,
            relay_id: "relay".into(),
            signer: None,
            ice_servers: Arc::new(|_, _| Vec::new()),
            tcp: false,
        };
        Self {
            rooms: Rooms::new(terms, Devices::new(devices)),
            now: Instant::now(),
            said: HashMap::new(),
            closed: HashMap::new(),
            calls: Vec::new(),
            publishes: true,
        }
    }

    fn desk() -> Self {
        Self::new(Mode::Desk, Vec::new())
    }

    fn act(&mut self, decide: impl FnOnce(&mut Rooms, &Moment<'_>) -> Vec<Output>) {
        let count = Cell::new(0_u8);
        let random = SystemRandom::new();
        let chance = |bytes: &mut [u8]| {
            count.set(count.get().wrapping_add(1));
            ring::rand::SecureRandom::fill(&random, bytes).unwrap();
        };
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_600_000);
        let at = Moment { now: self.now, wall, chance: &chance };
        let mut outputs: std::collections::VecDeque<Output> = decide(&mut self.rooms, &at).into();
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Send { socket, text } => self.said.entry(socket).or_default().push(text),
                Output::Close { socket, code, .. } => {
                    self.closed.insert(socket, code);
                }
                Output::Desk { socket, seat, call } => {
                    let mut more = Vec::new();
                    if let Call::Join(_) = call {
                        self.rooms.admitted(socket, seat, Ok(()), &at, &mut more);
                    }
                    self.calls.push((socket, seat, call));
                    more.into_iter().rev().for_each(|output| outputs.push_front(output));
                }
                Output::Keep => {}
            }
        }
    }

    fn open(&mut self, socket: SocketId, ip: &str, legacy: bool) -> bool {
        let origin = Origin { ip: ip.parse::<IpAddr>().unwrap(), host: HOST.into(), legacy };
        let mut opened = false;
        self.act(|rooms, at| {
            opened = rooms.opened(socket, origin, format!("peer-{socket}"), at);
            Vec::new()
        });
        opened
    }

    fn say(&mut self, socket: SocketId, message: Value) {
        self.act(|rooms, at| rooms.text(socket, &message.to_string(), at));
    }

    /// What was said since the last look.
    fn heard(&mut self, socket: SocketId) -> Vec<Value> {
        let texts = self.said.remove(&socket).unwrap_or_default();
        texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    fn only(&mut self, socket: SocketId) -> Value {
        let mut heard = self.heard(socket);
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard.remove(0)
    }

    fn join(&mut self, socket: SocketId, room: &str, role: Option<&str>) {
        self.open(socket, "127.0.0.1", true);
        self.say(socket, json!({"type": "join_room", "data": {"room": room, "role": role}}));
        assert_eq!(self.heard(socket)[0]["type"], "joined_room");
    }

    /// Answers the newest offer of a socket.
    fn answer(&mut self, socket: SocketId, result: Result<&str, &str>) {
        let calls = self.calls.iter().rev().filter(|(of, ..)| *of == socket);
        let (seat, at) = calls
            .filter_map(|(_, seat, call)| match call {
                Call::Offer { generation, neg, .. } => Some((*seat, (*generation, *neg))),
                _ => None,
            })
            .next()
            .expect("it has offered");
        self.answer_at(socket, seat, at, result);
    }

    fn answer_at(&mut self, socket: SocketId, seat: u64, of: (u32, u16), result: Result<&str, &str>) {
        let publishes = self.publishes;
        let result = result.map(|sdp| Answered { sdp: Sdp(sdp.into()), publishes }).map_err(str::to_owned);
        self.act(|rooms, at| rooms.answered(socket, seat, of, result, at));
    }

    fn offer(&mut self, socket: SocketId) {
        self.say(socket, json!({"type": "offer", "data": {"sdp": "v=0\r\n", "type": "offer"}}));
        self.answer(socket, Ok("v=0\r\nanswer"));
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.act(|rooms, at| rooms.tick(at));
    }

    fn calls_of(&mut self, socket: SocketId) -> Vec<Call> {
        let (of, rest) = std::mem::take(&mut self.calls).into_iter().partition(|(s, ..)| *s == socket);
        self.calls = rest;
        of.into_iter().map(|(_, _, call)| call).collect()
    }
}

fn error(message: &str) -> Value {
    json!({"type": "error", "data": {"message": message}})
}

/// A phone with a key.
struct Phone {
    key: EcdsaKeyPair,
    spki: String,
}

impl Phone {
    fn new() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let prefix = "3059301306072a8648ce3d020106082a8648ce3d030107034200";
        let mut der: Vec<u8> = (0..prefix.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&prefix[i..i + 2], 16).unwrap())
            .collect();
        der.extend_from_slice(key.public_key().as_ref());
        let spki = B64.encode(der);
        Self { key, spki }
    }

    fn auth(&self, device: &str, nonce: &str) -> Value {
        let nonce_c = "CCCCCCCCCCCCCCCCCCCCCC";
        let text = proof::auth(nonce, nonce_c, "relay", device, HOST);
        let sig = self.key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        json!({"v": 1, "type": "auth", "device_id": device, "nonce_c": nonce_c, "sig": B64.encode(sig), "host": HOST})
    }

    fn device(&self, id: &str, room: &str) -> Device {
        Device {
            id: id.into(),
            name: id.into(),
            spki: self.spki.clone(),
            room: room.into(),
            paired_at: 0,
            last_seen: None,
            revoked: false,
        }
    }
}

/// Opens a socket and says hello; gives the nonce.
fn greet(stage: &mut Stage, socket: SocketId) -> String {
    assert!(stage.open(socket, "192.168.1.9", false));
    stage.say(socket, json!({"v": 1, "type": "hello", "protos": ["camrelay.v1"]}));
    let hello = stage.only(socket);
    assert_eq!((&hello["type"], &hello["relay_id"]), (&json!("hello"), &json!("relay")));
    hello["nonce"].as_str().unwrap().to_owned()
}

fn enter(stage: &mut Stage, socket: SocketId, phone: &Phone, device: &str) -> Value {
    let nonce = greet(stage, socket);
    stage.say(socket, phone.auth(device, &nonce));
    stage.only(socket)
}

#[test]
fn r_s1_the_older_clients_meet_in_rooms() {
    let mut stage = Stage::desk();
    stage.join(1, "r", Some("viewer"));
    stage.open(2, "127.0.0.1", true);
    stage.say(2, json!({"type": "join_room", "room": "r", "data": {"role": "publisher"}}));
    assert_eq!(
        stage.only(2),
        json!({"type": "joined_room", "data": {"room": "r", "peer_id": "peer-2", "peers": [{"peer_id": "peer-1", "role": "viewer"}]}})
    );
    assert_eq!(
        stage.only(1),
        json!({"type": "peer_joined", "data": {"peer_id": "peer-2", "role": "publisher"}})
    );
    // Once more: told again, and nobody else is.
    stage.say(2, json!({"type": "join_room", "data": {"room": "r"}}));
    assert_eq!(stage.only(2)["data"]["peer_id"], "peer-2");
    assert_eq!(stage.heard(1), [] as [Value; 0]);
    // Into another: the first is left.
    stage.say(2, json!({"type": "join_room", "data": {"room": "other"}}));
    assert_eq!(stage.only(2)["data"]["peers"], json!([]));
    assert_eq!(stage.only(1), json!({"type": "peer_left", "data": {"peer_id": "peer-2"}}));
    stage.say(2, json!({"type": "leave_room"}));
    stage.say(2, json!({"type": "leave_room"}));
    assert_eq!(stage.heard(2), [error("Not in a room")]);
    stage.act(|rooms, at| rooms.closed(1, at));
    assert!(stage.rooms.rooms.is_empty());
}

#[test]
fn r_s1_outside_a_room_nothing_goes_and_the_connection_stays() {
    let mut stage = Stage::desk();
    stage.open(1, "127.0.0.1", true);
    for message in [
        json!({"type": "offer", "data": {"sdp": "v=0", "type": "offer"}}),
        json!({"type": "ice_candidate", "data": {"candidate": ""}}),
        json!({"type": "reconnect_request", "reason": "x"}),
        json!({"type": "leave_room"}),
    ] {
        stage.say(1, message);
        assert_eq!(stage.only(1), error("Not in a room"));
    }
    for (text, message) in [
        ("{", "Message is not valid JSON"),
        ("[]", "Message must be a JSON object"),
        ("{}", "Message has no type"),
        (r#"{"type":"dance"}"#, "Unknown message type: dance"),
        (r#"{"type":"join_room"}"#, "Room is missing"),
        (
            r#"{"type":"join_room","room":"a b"}"#,
            "Invalid room: 1 to 64 letters, digits, \"_\" and \"-\" name one",
        ),
    ] {
        stage.act(|rooms, at| rooms.text(1, text, at));
        assert_eq!(stage.only(1), error(message));
    }
    stage.act(|rooms, at| rooms.no_text(1, false, at));
    assert_eq!(stage.only(1), error("Only text messages are understood"));
    assert!(stage.closed.is_empty());
    stage.wait(Duration::from_secs(600));
    stage.say(1, json!({"type": "ping"}));
    assert_eq!(stage.only(1), json!({"type": "pong"}));
}

#[test]
fn r_p1_an_offer_is_answered_and_a_bad_one_told() {
    let mut stage = Stage::desk();
    stage.join(1, "r", None);
    stage.calls.clear();
    stage.say(
        1,
        json!({"type": "ice_candidate", "data": {"candidate": "1 1 udp 1 192.168.1.7 5000 typ host"}}),
    );
    assert_eq!(stage.calls, [], "R-S5: it waits for its offer");
    stage.say(1, json!({"type": "offer", "data": {"sdp": "v=0", "type": "offer"}}));
    let calls = stage.calls_of(1);
    assert!(matches!(calls[0], Call::Offer { generation: 1, neg: 1, .. }), "{calls:?}");
    let Call::Candidate { generation: 1, candidate: Some(candidate) } = &calls[1] else {
        panic!("{calls:?}")
    };
    assert_eq!(candidate.candidate, "candidate:1 1 udp 1 192.168.1.7 5000 typ host");
    // Ours wait for the answer, then go flat, with a section and without an end (R-S4).
    let ours = Candidate {
        candidate: "candidate:9 1 udp 1 192.168.1.2 50000 typ host".into(),
        sdp_mid: Some("0".into()),
        sdp_m_line_index: Some(0),
    };
    let tell = |rooms: &mut Rooms, generation, at: &Moment<'_>| {
        rooms.told(1, 1, ToPeer::Candidate { generation, candidate: ours.clone() }, at)
    };
    stage.act(|rooms, at| tell(rooms, 1, at));
    assert_eq!(stage.heard(1), [] as [Value; 0]);
    stage.answer_at(1, 1, (1, 1), Ok("v=0\r\nanswer"));
    let flat = json!({"type": "ice_candidate", "data": {"candidate": ours.candidate, "sdpMid": "0", "sdpMLineIndex": 0}});
    assert_eq!(
        stage.heard(1),
        [json!({"type": "answer", "data": {"sdp": "v=0\r\nanswer", "type": "answer"}}), flat.clone()]
    );
    stage.act(|rooms, at| tell(rooms, 1, at));
    assert_eq!(stage.only(1), flat);
    stage.act(|rooms, at| tell(rooms, 2, at));
    assert_eq!(stage.heard(1), [] as [Value; 0], "of a connection that is not");
    for message in [
        json!({"type": "offer"}),
        json!({"type": "offer", "data": {"type": "offer"}}),
        json!({"type": "offer", "data": {"sdp": 1, "type": "offer"}}),
    ] {
        stage.say(1, message);
        let text = stage.only(1)["data"]["message"].as_str().unwrap().to_owned();
        assert!(text.starts_with("Failed to process offer: "), "{text}");
    }
    stage.say(1, json!({"type": "offer", "data": {"sdp": "nonsense", "type": "offer"}}));
    stage.answer(1, Err("no media in it"));
    assert_eq!(stage.only(1), error("Failed to process offer: no media in it"));
    stage.say(1, json!({"type": "answer", "data": {"sdp": "v=0", "type": "answer"}}));
    stage.say(1, json!({"command": "reconnect"}));
    assert_eq!(
        (stage.heard(1), stage.rooms.counts.stale),
        (Vec::new(), 3),
        "A22: told to nobody, and counted"
    );
    assert!(stage.closed.is_empty());
}

#[test]
fn t3_a_late_answer_to_an_older_offer_is_dropped() {
    let mut stage = Stage::desk();
    stage.join(1, "r", None);
    for _ in 0..2 {
        stage.say(1, json!({"type": "offer", "data": {"sdp": "v=0", "type": "offer"}}));
    }
    stage.answer_at(1, 1, (1, 1), Ok("old"));
    stage.answer_at(1, 1, (2, 1), Ok("new"));
    assert_eq!(stage.only(1)["data"]["sdp"], "new");
}

#[test]
fn r_p4_reconnect_reaches_the_publishers_of_the_room_and_nobody_else() {
    let mut stage = Stage::desk();
    stage.join(1, "r", Some("publisher"));
    stage.join(2, "r", None);
    stage.join(3, "r", Some("viewer"));
    stage.join(4, "elsewhere", Some("publisher"));
    stage.offer(2);
    (1..=4).for_each(|socket| drop(stage.heard(socket)));
    let ask = json!({"type": "reconnect_request", "reason": "No frames for 11s"});
    for _ in 0..50 {
        stage.say(3, ask.clone());
    }
    for publisher in [1, 2] {
        assert_eq!(
            stage.said.remove(&publisher),
            Some(vec![r#"{"command":"reconnect"}"#.to_owned()]),
            "T5: once"
        );
    }
    assert_eq!((stage.heard(3), stage.heard(4)), (Vec::new(), Vec::new()));
    // A fresh offer, and it freezes again at once: the order is kept until five seconds are over.
    stage.offer(2);
    stage.heard(2);
    stage.say(3, ask.clone());
    assert_eq!(stage.heard(2), [] as [Value; 0]);
    stage.wait(limits::RECONNECT_PAUSE);
    assert_eq!(stage.only(2), json!({"command": "reconnect"}));
    assert_eq!(stage.heard(1), [] as [Value; 0], "this one has not offered since");
    stage.say(3, ask);
    assert_eq!(stage.only(1), json!({"command": "reconnect"}));
    // The engine's own order takes the same way.
    stage.wait(limits::RECONNECT_PAUSE);
    stage.act(|rooms, at| rooms.told(2, 2, ToPeer::Reconnect { generation: 1, reason: "old".into() }, at));
    assert_eq!(stage.heard(2), [] as [Value; 0]);
    stage.act(|rooms, at| rooms.told(2, 2, ToPeer::Reconnect { generation: 2, reason: "now".into() }, at));
    assert_eq!(stage.only(2), json!({"command": "reconnect"}));
}

#[test]
fn a1_a2_who_says_nothing_of_itself_is_sent_away() {
    let mut stage = Stage::desk();
    stage.open(1, "192.168.1.9", false);
    stage.wait(Duration::from_millis(4_999));
    assert!(stage.closed.is_empty());
    stage.wait(Duration::from_millis(1));
    assert_eq!((stage.closed[&1], stage.rooms.len()), (4408, 0));
    for (socket, message) in [
        (2, json!({"v": 1, "type": "join_room", "room": "r"})),
        (3, json!({"v": 1, "type": "offer", "gen": 1, "neg": 1, "sdp": "v=0"})),
        (4, json!({"type": "join_room", "data": {"room": "r"}})),
    ] {
        stage.open(socket, "192.168.1.9", false);
        stage.say(socket, message);
        assert_eq!(stage.only(socket)["code"], "auth_required");
        assert_eq!(stage.closed[&socket], 4401);
    }
    assert_eq!(stage.calls, []);
}

#[test]
fn a3_a5_a_token_lets_one_phone_in_and_says_no_alike() {
    let mut stage = Stage::desk();
    let (mut token, mut id) = (String::new(), String::new());
    stage.act(|rooms, at| {
        let started = rooms.pairings.start(None, at.now, at.wall, "p1".into(), at.chance);
        (token, id) = (started.token, started.id);
        Vec::new()
    });
    assert_eq!(token.len(), 22);
    let ask = |phone: &Phone, token: &str| json!({"v": 1, "type": "pair_request", "token": token, "spki": phone.spki, "name": "Mina", "nonce_c": "CCCCCCCCCCCCCCCCCCCCCC"});
    let (one, two) = (Phone::new(), Phone::new());
    let mut flipped = token.clone().into_bytes();
    flipped[0] = if flipped[0] == b'A' { b'B' } else { b'A' };
    greet(&mut stage, 1);
    stage.say(1, ask(&one, &String::from_utf8(flipped).unwrap()));
    let no = stage.only(1);
    assert_eq!((&no["type"], &no["code"]), (&json!("pair_rejected"), &json!("pair_rejected")));
    let nonce = greet(&mut stage, 2);
    stage.say(2, ask(&one, &token));
    let pending = stage.only(2);
    let hash =
        super::keys::sha256(proof::pair("relay", &one.spki, &nonce, "CCCCCCCCCCCCCCCCCCCCCC").as_bytes());
    assert_eq!((&pending["type"], &pending["code"]), (&json!("pair_pending"), &json!(proof::digits(&hash))));
    greet(&mut stage, 3);
    stage.say(3, ask(&two, &token));
    assert_eq!(stage.only(3)["type"], no["type"], "A5: the second phone hears what any other hears");
    let view = stage.rooms.pairings.views().remove(0);
    assert_eq!(
        (view.state, view.name.as_deref(), &view.code),
        (PairingState::Asked, Some("Mina"), &Some(proof::digits(&hash)))
    );
    // While a person thinks, the phone is not sent away.
    stage.wait(Duration::from_secs(60));
    assert!(!stage.closed.contains_key(&2));
    stage.act(|rooms, at| rooms.allow("p1", "d1".into(), &|name| name == "phone_01", at).unwrap());
    assert!(stage.heard(2).is_empty(), "it hears of it when it is kept");
    stage.act(|rooms, at| rooms.confirm("p1", at).unwrap());
    let ok = stage.only(2);
    assert_eq!(
        (&ok["type"], &ok["device_id"], &ok["rooms"]),
        (&json!("pair_ok"), &json!("d1"), &json!(["phone_02"]))
    );
    assert!(
        stage
            .rooms
            .allow(
                "p1",
                "d2".into(),
                &|_| false,
                &Moment { now: stage.now, wall: SystemTime::UNIX_EPOCH, chance: &|_| {} }
            )
            .is_none()
    );
    // The answer got lost: the same phone hears it again, another does not.
    greet(&mut stage, 4);
    stage.say(4, ask(&one, &token));
    assert_eq!(stage.only(4)["device_id"], "d1");
    // It goes on at once with the nonce that it was given.
    stage.say(2, one.auth("d1", ok["nonce"].as_str().unwrap()));
    assert_eq!(stage.only(2)["rooms"], json!(["phone_02"]));
    // Over.
    stage.act(|rooms, at| {
        token = rooms.pairings.start(None, at.now, at.wall, "p3".into(), at.chance).token;
        Vec::new()
    });
    stage.wait(super::keys::PAIRING_TIME);
    greet(&mut stage, 5);
    stage.say(5, ask(&two, &token));
    assert_eq!(stage.only(5), no);
}

#[test]
fn a4_guessing_tokens_is_over_after_five() {
    let mut stage = Stage::desk();
    stage.act(|rooms, at| {
        rooms.pairings.start(None, at.now, at.wall, "p1".into(), at.chance);
        Vec::new()
    });
    let phone = Phone::new();
    let guess = |stage: &mut Stage, socket| {
        greet(stage, socket);
        stage.say(socket, json!({"v": 1, "type": "pair_request", "token": "AAAAAAAAAAAAAAAAAAAAAA", "spki": phone.spki, "nonce_c": "CCCCCCCCCCCCCCCCCCCCCC"}));
        stage.act(|rooms, at| rooms.closed(socket, at));
    };
    (1..=5).for_each(|socket| guess(&mut stage, socket));
    assert!(stage.closed.is_empty());
    assert_eq!(
        stage.rooms.pairings.views()[0].state,
        PairingState::Ended,
        "the QR code has to be drawn anew"
    );
    guess(&mut stage, 6);
    assert_eq!(stage.closed[&6], 4429);
    stage.now += limits::MINUTE;
    guess(&mut stage, 7);
    assert!(!stage.closed.contains_key(&7));
}

#[test]
fn a6_a7_a8_a_phone_has_its_room_and_no_other() {
    let (one, two) = (Phone::new(), Phone::new());
    let mut stage = Stage::new(Mode::Desk, vec![one.device("d1", "r1"), two.device("d2", "r2")]);
    assert_eq!(enter(&mut stage, 1, &one, "d1")["type"], "auth_ok");
    assert_eq!(enter(&mut stage, 2, &two, "d2")["type"], "auth_ok");
    stage.say(2, json!({"v": 1, "type": "join_room", "room": "r2"}));
    stage.heard(2);
    stage.say(
        1,
        json!({"v": 1, "type": "join_room", "room": "r1", "role": "viewer", "from": "d2", "device_id": "d2"}),
    );
    let joined = stage.only(1);
    assert_eq!((&joined["peer_id"], &joined["room"]), (&json!("d1"), &json!("r1")));
    let Some(Call::Join(card)) = stage.calls_of(1).pop() else { panic!("not joined") };
    assert_eq!((card.role, card.room.as_str()), (Some(Role::Publisher), "r1"), "A8");
    for message in [
        json!({"v": 1, "type": "offer", "room": "r2", "gen": 1, "neg": 1, "sdp": "v=0"}),
        json!({"v": 1, "type": "ice_candidate", "to": "d2", "candidate": null}),
        json!({"v": 1, "type": "reconnect_request", "room": "r2", "reason": "x"}),
        json!({"v": 1, "type": "join_room", "room": "r2"}),
        json!({"v": 1, "type": "join_room", "room": "there_is_none"}),
    ] {
        stage.say(1, message);
        let no = stage.only(1);
        assert_eq!((&no["code"], &no["message"]), (&json!("forbidden"), &json!("This is not allowed")));
    }
    assert_eq!(
        (stage.heard(2), stage.calls_of(1), stage.rooms.counts.forbidden),
        (Vec::new(), Vec::new(), 5)
    );
    stage.say(1, json!({"v": 1, "type": "join_room", "room": "r3"}));
    assert_eq!(stage.closed[&1], 4429, "A6");
}

#[test]
fn a10_a_recorded_proof_is_worth_nothing() {
    let phone = Phone::new();
    let mut stage = Stage::new(Mode::Desk, vec![phone.device("d1", "r1")]);
    let nonce = greet(&mut stage, 1);
    let recorded = phone.auth("d1", &nonce);
    stage.say(1, recorded.clone());
    assert_eq!(stage.only(1)["type"], "auth_ok");
    greet(&mut stage, 2);
    stage.say(2, recorded);
    assert_eq!(stage.heard(2)[0]["type"], "auth_failed");
    assert_eq!(stage.closed[&2], 4401);
    // Another key, another device, another host, no signature.
    let nonce = greet(&mut stage, 3);
    stage.say(3, Phone::new().auth("d1", &nonce));
    let nonce = greet(&mut stage, 4);
    stage.say(4, phone.auth("d9", &nonce));
    let nonce = greet(&mut stage, 5);
    let mut empty = phone.auth("d1", &nonce);
    empty["sig"] = json!("");
    stage.say(5, empty);
    for socket in 3..=5 {
        assert_eq!(stage.heard(socket)[0], json!({"v": 1, "type": "auth_failed", "code": "auth_failed"}));
        assert_eq!(stage.closed[&socket], 4401);
    }
}

#[test]
fn a11_a24_a_revoked_phone_is_out_and_a_second_connection_replaces_the_first() {
    let phone = Phone::new();
    let mut stage = Stage::new(Mode::Desk, vec![phone.device("d1", "r1")]);
    enter(&mut stage, 1, &phone, "d1");
    stage.say(1, json!({"v": 1, "type": "join_room", "room": "r1"}));
    stage.say(1, json!({"v": 1, "type": "offer", "gen": 7, "neg": 1, "sdp": "v=0"}));
    stage.answer(1, Ok("answer"));
    stage.heard(1);
    stage.calls.clear();
    let ok = enter(&mut stage, 2, &phone, "d1");
    assert_eq!(stage.heard(1)[0]["code"], "replaced");
    assert_eq!(stage.closed[&1], 4409, "A24");
    assert_eq!(stage.calls_of(1), [Call::Gone], "its media lives on");
    assert_eq!(ok["gen_hint"], 7);
    stage.say(2, json!({"v": 1, "type": "join_room", "room": "r1"}));
    let joined = stage.only(2);
    assert_eq!((&joined["gen_hint"], &joined["resume"]), (&json!(7), &json!(true)), "T8");
    stage.calls.clear();
    stage.act(|rooms, at| rooms.revoke("d1", at).unwrap());
    assert_eq!(stage.heard(2)[0]["code"], "revoked");
    assert_eq!(
        (stage.closed[&2], stage.calls_of(2)),
        (4403, vec![Call::Leave]),
        "A11: what it publishes ends"
    );
    assert_eq!(enter_first(&mut stage, 3, &phone), json!({"v": 1, "type": "auth_failed", "code": "revoked"}));
    assert_eq!(stage.closed[&3], 4403);
    assert!(
        stage
            .rooms
            .revoke("d1", &Moment { now: stage.now, wall: SystemTime::UNIX_EPOCH, chance: &|_| {} })
            .is_none()
    );
}

#[test]
fn a_phone_that_paired_again_is_one_phone_wherever_it_is_connected() {
    let phone = Phone::new();
    let mut stage = Stage::new(Mode::Desk, vec![phone.device("d1", "r1")]);
    enter(&mut stage, 1, &phone, "d1");
    stage.say(1, json!({"v": 1, "type": "join_room", "room": "r1"}));
    stage.heard(1);
    stage.calls.clear();
    // In another tab, from a fresh QR code.
    let pair = |stage: &mut Stage, socket: SocketId, device: &str| {
        let mut started = None;
        stage.act(|rooms, at| {
            started = Some(rooms.pairings.start(None, at.now, at.wall, format!("of {device}"), at.chance));
            Vec::new()
        });
        let started = started.unwrap();
        stage.say(socket, json!({"v": 1, "type": "pair_request", "token": started.token, "spki": phone.spki, "name": "Mina", "nonce_c": "CCCCCCCCCCCCCCCCCCCCCC"}));
        assert_eq!(stage.only(socket)["type"], "pair_pending");
        stage.act(|rooms, at| rooms.allow(&started.id, device.into(), &|_| false, at).unwrap());
        stage.act(|rooms, at| rooms.confirm(&started.id, at).unwrap());
        let ok = stage.only(socket);
        assert_eq!((&ok["type"], &ok["device_id"]), (&json!("pair_ok"), &json!(device)));
        ok["nonce"].as_str().unwrap().to_owned()
    };
    greet(&mut stage, 2);
    let nonce = pair(&mut stage, 2, "d2");
    assert_eq!(stage.heard(1)[0]["code"], "replaced");
    assert_eq!(
        (stage.closed.get(&1).copied(), stage.calls_of(1)),
        (Some(4409), vec![Call::Leave]),
        "who is listed nowhere can be revoked nowhere: what it publishes ends"
    );
    assert!(!stage.rooms.is_online("d1"));
    stage.say(2, phone.auth("d2", &nonce));
    assert_eq!(stage.only(2)["type"], "auth_ok");
    // On the connection that it has: it says anew who it is, and is who it says.
    stage.say(2, json!({"v": 1, "type": "hello", "protos": ["camrelay.v1"]}));
    stage.heard(2);
    pair(&mut stage, 2, "d3");
    stage.say(2, json!({"v": 1, "type": "join_room", "room": "phone_01"}));
    assert_eq!((&stage.heard(2)[0]["code"], stage.closed.get(&2)), (&json!("auth_required"), Some(&4401)));
    assert_eq!(enter(&mut stage, 3, &phone, "d3")["type"], "auth_ok");
    stage.act(|rooms, at| rooms.revoke("d3", at).unwrap());
    assert_eq!(stage.closed.get(&3), Some(&4403), "and nobody of this phone is left");
    assert_eq!(stage.rooms.len(), 0);
}

fn enter_first(stage: &mut Stage, socket: SocketId, phone: &Phone) -> Value {
    let nonce = greet(stage, socket);
    stage.say(socket, phone.auth("d1", &nonce));
    stage.heard(socket).remove(0)
}

#[test]
fn a16_a_flood_costs_its_sender_the_connection_and_nobody_else() {
    let mut stage = Stage::desk();
    stage.join(1, "r", None);
    stage.join(2, "r", None);
    stage.heard(1);
    for _ in 0..1_000 {
        stage.say(2, json!({"type": "ping"}));
    }
    assert_eq!(stage.closed.get(&2), Some(&4429));
    assert!(stage.heard(2).len() <= 122);
    assert_eq!(stage.only(1)["type"], "peer_left");
    // Connections of an address that say nothing of themselves.
    let taken = (10..100).filter(|socket| stage.open(*socket, "192.168.1.66", false)).count();
    assert_eq!(taken, limits::UNKNOWN_SOCKETS);
    assert!(stage.open(200, "192.168.1.67", false));
}

#[test]
fn a18_who_speaks_v1_must_not_err_and_a_large_message_ends_it_for_all() {
    let phone = Phone::new();
    let mut stage = Stage::new(Mode::Desk, vec![phone.device("d1", "r1")]);
    enter(&mut stage, 1, &phone, "d1");
    stage.say(1, json!({"v": 1, "type": "dance", "id": "x"}));
    let unknown = stage.only(1);
    assert_eq!((&unknown["code"], &unknown["re"]), (&json!("unknown_type"), &json!("x")));
    assert!(stage.closed.is_empty());
    stage.act(|rooms, at| rooms.text(1, "{\"v\":1,\"v\":1}", at));
    assert_eq!(stage.closed[&1], 4400);
    stage.open(2, "127.0.0.1", true);
    let large = format!("{{\"type\":\"ping\",\"x\":\"{}\"}}", "x".repeat(129 * 1_024));
    stage.act(|rooms, at| rooms.text(2, &large, at));
    assert_eq!((stage.only(2), stage.closed[&2]), (error("Message is too large"), 4413), "A15");
}

#[test]
fn a20_candidates_are_filtered_and_counted() {
    let mut stage = Stage::desk();
    stage.join(1, "r", None);
    stage.offer(1);
    stage.heard(1);
    stage.calls.clear();
    for bad in ["169.254.169.254 80", "0.0.0.0 9", "127.0.0.1 22", "ff02::1 5", "3f2c.local 5"] {
        stage.say(1, json!({"type": "ice_candidate", "data": {"candidate": format!("candidate:1 1 udp 1 {bad} typ host")}}));
    }
    assert_eq!((stage.heard(1), stage.calls_of(1)), (Vec::new(), Vec::new()));
    stage.say(1, json!({"type": "ice_candidate", "data": {"candidate": "rubbish"}}));
    assert_eq!(stage.only(1), error("Invalid candidate: it is no candidate"));
    for n in 0..100 {
        stage.now += Duration::from_millis(50);
        stage.say(1, json!({"type": "ice_candidate", "data": {"candidate": format!("candidate:{n} 1 udp 1 10.0.0.1 5000 typ host")}}));
    }
    assert_eq!((stage.calls_of(1).len(), stage.rooms.counts.candidates_dropped), (64, 41));
}

#[test]
fn t4_the_same_offer_twice_is_answered_twice_alike_and_an_older_one_is_stale() {
    let phone = Phone::new();
    let mut stage = Stage::new(Mode::Desk, vec![phone.device("d1", "r1")]);
    enter(&mut stage, 1, &phone, "d1");
    stage.say(1, json!({"v": 1, "type": "join_room", "room": "r1"}));
    stage.heard(1);
    let offer = |generation: u32, neg: u32| json!({"v": 1, "type": "offer", "gen": generation, "neg": neg, "sdp": "v=0"});
    stage.say(1, offer(7, 1));
    stage.answer(1, Ok("one"));
    stage.say(1, offer(7, 1));
    let heard = stage.heard(1);
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0], heard[1]);
    assert_eq!(
        (&heard[0]["gen"], &heard[0]["neg"], &heard[0]["from"]),
        (&json!(7), &json!(1), &json!("n_desk"))
    );
    stage.say(1, offer(6, 1));
    let stale = stage.only(1);
    assert_eq!((&stale["code"], &stale["gen"]), (&json!("stale"), &json!(7)));
    // A message of the same id counts once.
    stage.calls.clear();
    for _ in 0..3 {
        stage.say(1, json!({"v": 1, "type": "offer", "id": "twice", "gen": 8, "neg": 1, "sdp": "v=0"}));
    }
    assert_eq!(stage.calls_of(1).len(), 1);
    stage.act(|rooms, at| {
        rooms.told(1, 1, ToPeer::Reconnect { generation: 8, reason: "no_frames_10s".into() }, at)
    });
    assert_eq!(
        stage.only(1),
        json!({"v": 1, "type": "reconnect", "command": "reconnect", "mode": "full", "gen": 8, "reason": "no_frames_10s", "after_ms": 0})
    );
}

#[test]
fn alone_the_relay_hands_offers_answers_and_candidates_from_peer_to_peer() {
    let mut stage = Stage::new(Mode::Forward, Vec::new());
    stage.join(1, "r", Some("publisher"));
    stage.join(2, "r", Some("viewer"));
    stage.join(3, "elsewhere", Some("viewer"));
    (1..=3).for_each(|socket| drop(stage.heard(socket)));
    stage.say(1, json!({"type": "offer", "data": {"sdp": "v=0", "type": "offer"}}));
    assert_eq!(
        stage.only(2),
        json!({"type": "offer", "data": {"sdp": "v=0", "type": "offer", "from": "peer-1"}})
    );
    stage.say(1, json!({"type": "ice_candidate", "data": {"candidate": "1 1 udp 1 10.0.0.1 5000 typ host"}}));
    assert_eq!(stage.only(2)["data"]["candidate"], "candidate:1 1 udp 1 10.0.0.1 5000 typ host");
    stage.say(2, json!({"type": "answer", "data": {"sdp": "v=0 a", "type": "answer"}}));
    assert_eq!(
        stage.only(1),
        json!({"type": "answer", "data": {"sdp": "v=0 a", "type": "answer", "from": "peer-2"}})
    );
    stage.say(2, json!({"v": 1, "type": "ice_candidate", "gen": 1, "candidate": {"candidate": "1 1 udp 1 10.0.0.2 5000 typ host"}}));
    assert_eq!(stage.only(1)["data"]["from"], "peer-2");
    stage.say(2, json!({"v": 1, "type": "answer", "gen": 9, "neg": 1, "sdp": "v=0"}));
    stage.say(2, json!({"v": 1, "type": "reconnect_request", "reason": "no frames"}));
    assert_eq!(stage.only(1), json!({"command": "reconnect"}));
    assert_eq!(stage.heard(3), [] as [Value; 0]);
    assert_eq!(stage.calls, []);
}

#[test]
fn a_claim_with_a_key_that_is_none_is_rejected() {
    let mut stage = Stage::desk();
    let asked =
        super::keys::Asked { socket: 1, spki: "AAAA".into(), name: String::new(), code: String::new() };
    let now = stage.now;
    assert_eq!(stage.rooms.pairings.claim("x", asked, now), Claim::Rejected);
}

/// Anything a crowd may do, in any order.
#[derive(Clone, Debug)]
enum Deed {
    Open(SocketId, bool),
    Close(SocketId),
    Say(SocketId, Value),
    Answer(SocketId, bool),
    Wait(u16),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let socket = 1..6_u64;
    let room = prop::sample::select(vec!["a", "b", "no good"]);
    let message = (room, prop::sample::select(vec!["publisher", "viewer", ""]), 0..3_u32, 0..12_usize)
        .prop_map(|(room, role, number, kind)| {
            let mut message = match kind {
                0 | 1 => json!({"type": "join_room", "room": room, "role": role}),
                2 => json!({"type": "leave_room"}),
                3 | 4 => json!({"type": "offer", "sdp": "v=0"}),
                5 => json!({"type": "ice_candidate", "candidate": "1 1 udp 1 10.0.0.1 5000 typ host"}),
                6 => json!({"type": "reconnect_request", "reason": "x"}),
                7 => json!({"type": "answer", "sdp": "v=0"}),
                8 => json!({"type": "hello"}),
                9 => json!({"type": "bye"}),
                10 => json!({"type": "state", "capture": "paused"}),
                _ => json!({"type": "ping"}),
            };
            if number > 0 {
                message["v"] = json!(1);
                message["gen"] = json!(number);
            }
            message
        });
    let deed = prop_oneof![
        2 => (socket.clone(), any::<bool>()).prop_map(|(s, legacy)| Deed::Open(s, legacy)),
        1 => socket.clone().prop_map(Deed::Close),
        8 => (socket.clone(), message).prop_map(|(s, m)| Deed::Say(s, m)),
        2 => (socket, any::<bool>()).prop_map(|(s, good)| Deed::Answer(s, good)),
        1 => any::<u16>().prop_map(Deed::Wait),
    ];
    prop::collection::vec(deed, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn whatever_a_crowd_does_rooms_and_members_agree_and_nobody_hears_of_other_rooms(deeds in deeds(), alone: bool) {
        let mut stage = Stage::new(if alone { Mode::Forward } else { Mode::Desk }, Vec::new());
        for deed in deeds {
            let before: HashMap<SocketId, Option<String>> = stage.rooms.peers.iter()
                .map(|(s, p)| (*s, p.seat.as_ref().map(|seat| seat.room.clone()))).collect();
            let (actor, is_open) = match &deed {
                Deed::Open(s, _) | Deed::Close(s) | Deed::Say(s, _) | Deed::Answer(s, _) => (*s, before.contains_key(s)),
                Deed::Wait(_) => (0, true),
            };
            match deed {
                Deed::Open(s, legacy) if !is_open => { stage.open(s, "127.0.0.1", legacy); }
                Deed::Open(..) => {}
                Deed::Close(s) => stage.act(|rooms, at| rooms.closed(s, at)),
                Deed::Say(s, message) => stage.say(s, message),
                Deed::Answer(s, good) => {
                    let offered = stage.calls.iter().rev().find_map(|(of, seat, call)| match call {
                        Call::Offer { generation, neg, .. } if *of == s => Some((*seat, (*generation, *neg))),
                        _ => None,
                    });
                    if let Some((seat, of)) = offered {
                        stage.answer_at(s, seat, of, if good { Ok("a") } else { Err("b") });
                    }
                }
                Deed::Wait(ms) => stage.wait(Duration::from_millis(u64::from(ms))),
            }
            for (room, members) in &stage.rooms.rooms {
                prop_assert!(!members.is_empty());
                for member in members {
                    let seat = stage.rooms.peers[member].seat.as_ref();
                    prop_assert!(seat.is_some_and(|seat| seat.room == *room && seat.admitted));
                }
            }
            for (socket, peer) in &stage.rooms.peers {
                let seated = peer.seat.as_ref().map(|seat| seat.room.clone());
                if let Some(room) = &seated {
                    prop_assert_eq!(stage.rooms.rooms[room].iter().filter(|s| *s == socket).count(), 1);
                }
            }
            let was = before.get(&actor).cloned().flatten();
            let is = stage.rooms.peers.get(&actor).and_then(|p| p.seat.as_ref().map(|s| s.room.clone()));
            for (heard, texts) in std::mem::take(&mut stage.said) {
                let of = stage.rooms.peers.get(&heard).and_then(|p| p.seat.as_ref().map(|s| s.room.clone()));
                let concerned = heard == actor || actor == 0 || of == was || of == is;
                prop_assert!(concerned, "{heard} heard {texts:?} of {actor}");
            }
        }
    }
}
