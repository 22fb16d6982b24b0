//! Reads what a peer says, in protocol v1 and in the legacy form, into one kind of value.
//!
//! Pure. Everything is bounded before it is looked at: bytes, depth, lengths of names. A message that comes out
//! is whole, but nothing is known yet of whether its sender may say it.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::candidate::{self, BadCandidate, Heard, Taken};
use crate::message::{
    Auth, Bye, Control, Envelope, Hello, PairRequest, ReconnectRequest, Role, Sdp, State, Stats,
};

/// Bytes of a message.
pub const MESSAGE_MAX: usize = 128 * 1024;
/// Bytes of a session description …
pub const SDP_MAX: usize = 64 * 1024;
/// … its lines, the bytes of one, and its media sections.
const SDP_LINES: usize = 2_000;
const SDP_LINE: usize = 2 * 1024;
const SDP_MEDIA: usize = 4;
/// Lists and objects within each other.
pub const DEPTH_MAX: usize = 8;
/// Characters of a name that people see.
const NAME_MAX: usize = 64;
/// Characters of a reason that a peer gives.
const REASON_MAX: usize = 200;
/// Bytes of a field that is a word or an id.
const WORD_MAX: usize = 512;
/// Bytes of a type that is repeated to its sender.
const TYPE_SHOWN: usize = 32;

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// It speaks protocol v1.
    pub v1: bool,
    pub envelope: Envelope,
    pub said: Said,
}

/// What it says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Hello(Hello),
    Pair(PairRequest),
    Auth(Auth),
    Join(Join),
    Leave,
    Offer(Result<Sdp, BadSdp>),
    Answer(Result<Sdp, BadSdp>),
    Candidate(Result<Heard, BadCandidate>),
    State(State),
    Stats(Stats),
    ReconnectRequest {
        reason: String,
    },
    ControlOk(Control),
    Ping,
    Pong,
    Bye,
    /// Something of ours that came back, or that no peer may say: it is counted and changes nothing.
    Idle,
    /// A type that is not known here, cut for repeating.
    Unknown(String),
}

/// A wish to join a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    pub room: Result<String, BadRoom>,
    pub role: Option<Role>,
    pub name: Option<String>,
}

/// The room's name is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoom {
    #[error("Room is missing")]
    Missing,
    #[error("Invalid room: 1 to 64 letters, digits, \"_\" and \"-\" name one")]
    Name,
}

/// A session description that is not even looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSdp {
    #[error("the session description is missing")]
    Missing,
    #[error("the description's type is not the message's")]
    Kind,
    #[error("the session description is larger than {SDP_MAX} bytes")]
    Large,
    #[error("the session description has too many lines, or too long ones")]
    Lines,
    #[error("the session description has more than {SDP_MEDIA} media sections")]
    Media,
    #[error("it is no session description")]
    Form,
}

/// A message that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("Message is too large")]
    Large,
    #[error("Message is not valid JSON")]
    Json,
    #[error("Message is nested too deeply")]
    Deep,
    #[error("Message must be a JSON object")]
    NotAnObject,
    #[error("Message has no type")]
    NoType,
    /// A field of a known type is not what it should be.
    #[error("Message has a field that is not valid")]
    Field,
}

/// Reads a text frame.
///
/// # Errors
/// [`Unreadable`] where it is no message.
pub fn read(text: &str, taken: Taken) -> Result<Spoken, Unreadable> {
    if text.len() > MESSAGE_MAX {
        return Err(Unreadable::Large);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Bounded { depth: 0 }.deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value)).map_err(|error| {
        if error.to_string().starts_with(DEEP) { Unreadable::Deep } else { Unreadable::Json }
    })?;
    let Value::Object(message) = value else { return Err(Unreadable::NotAnObject) };
    // A client that speaks v1 says so in every message; the number says which, and we know one.
    let v1 = message.get("v").is_some_and(|v| v.as_u64().is_some_and(|v| v >= 1));
    let envelope = if v1 { envelope(&message)? } else { Envelope::default() };
    let Some(kind) = message.get("type").and_then(Value::as_str) else {
        // `{"command":"reconnect"}` is ours to say.
        if message.contains_key("command") {
            return Ok(Spoken { v1, envelope, said: Said::Idle });
        }
        return Err(Unreadable::NoType);
    };
    let said = if v1 { said_v1(kind, &message, taken)? } else { said_legacy(kind, &message, taken) };
    Ok(Spoken { v1, envelope, said })
}

fn envelope(message: &Map<String, Value>) -> Result<Envelope, Unreadable> {
    let envelope: Envelope = fields(message)?;
    let words = [&envelope.id, &envelope.re, &envelope.room, &envelope.from, &envelope.to];
    if words.into_iter().flatten().any(|word| word.len() > WORD_MAX) {
        return Err(Unreadable::Field);
    }
    Ok(envelope)
}

fn said_v1(kind: &str, message: &Map<String, Value>, taken: Taken) -> Result<Said, Unreadable> {
    Ok(match kind {
        "hello" => {
            let mut hello: Hello = fields(message)?;
            hello.protos.truncate(8);
            Said::Hello(hello)
        }
        "pair_request" => {
            let asked: PairRequest = fields(message)?;
            let name = shown(&asked.name, NAME_MAX);
            if asked.token.0.len() > WORD_MAX || asked.spki.len() > WORD_MAX {
                return Err(Unreadable::Field);
            }
            Said::Pair(PairRequest { name, ..asked })
        }
        "auth" => {
            let auth: Auth = fields(message)?;
            if [&auth.device_id, &auth.sig, &auth.host].into_iter().any(|w| w.len() > WORD_MAX) {
                return Err(Unreadable::Field);
            }
            Said::Auth(auth)
        }
        "join_room" => Said::Join(join(message)),
        "leave_room" => Said::Leave,
        "offer" => Said::Offer(sdp(message, "offer")),
        "answer" => Said::Answer(sdp(message, "answer")),
        "ice_candidate" => Said::Candidate(candidate::read(message, taken)),
        "state" => {
            let state: State = fields(message)?;
            let net = state.net.map(|net| shown(&net, NAME_MAX));
            let (battery, thrift) = (state.battery.map(|b| b.min(100)), state.thrift.map(|t| t.min(2)));
            Said::State(State { net, battery, thrift, ..state })
        }
        "stats" => {
            let stats: Stats = fields(message)?;
            let qlr = stats.qlr.map(|qlr| shown(&qlr, NAME_MAX));
            Said::Stats(Stats { qlr, ..stats })
        }
        "reconnect_request" => {
            let asked: ReconnectRequest = fields(message)?;
            Said::ReconnectRequest { reason: shown(&asked.reason, REASON_MAX) }
        }
        "control_ok" => {
            let control: Control = fields(message)?;
            Said::ControlOk(Control { op: shown(&control.op, NAME_MAX), ..control })
        }
        "ping" => Said::Ping,
        "pong" => Said::Pong,
        "bye" => {
            let _: Bye = fields(message)?;
            Said::Bye
        }
        "joined_room" | "peer_joined" | "peer_left" | "error" | "reconnect" | "media_status"
        | "restart_capture" | "control" | "ice_servers" | "auth_ok" | "auth_failed" | "pair_ok"
        | "pair_pending" | "pair_rejected" => Said::Idle,
        other => Said::Unknown(shown(other, TYPE_SHOWN)),
    })
}

/// The fields of a legacy message stand in `data`, or beside `type`.
fn said_legacy(kind: &str, message: &Map<String, Value>, taken: Taken) -> Said {
    let data = message.get("data").and_then(Value::as_object);
    let part = |name: &str| data.and_then(|d| d.get(name)).or_else(|| message.get(name));
    match kind {
        "join_room" => {
            let mut both = Map::new();
            for name in ["room", "role", "name"] {
                if let Some(value) = part(name) {
                    both.insert(name.to_owned(), value.clone());
                }
            }
            Said::Join(join(&both))
        }
        "leave_room" => Said::Leave,
        "offer" | "answer" => {
            let found = match data {
                Some(data) => sdp(data, kind),
                // Without `data`, `type` is the message's own, which is right.
                None => sdp(message, kind),
            };
            if kind == "offer" { Said::Offer(found) } else { Said::Answer(found) }
        }
        "ice_candidate" => Said::Candidate(candidate::read(data.unwrap_or(message), taken)),
        "reconnect_request" => {
            let reason = part("reason").and_then(Value::as_str).unwrap_or_default();
            Said::ReconnectRequest { reason: shown(reason, REASON_MAX) }
        }
        "ping" => Said::Ping,
        "pong" => Said::Pong,
        "bye" => Said::Bye,
        "joined_room" | "peer_joined" | "peer_left" | "error" => Said::Idle,
        other => Said::Unknown(shown(other, TYPE_SHOWN)),
    }
}

fn join(message: &Map<String, Value>) -> Join {
    let room = match message.get("room") {
        None | Some(Value::Null) => Err(BadRoom::Missing),
        Some(Value::String(room)) if is_room(room) => Ok(room.clone()),
        Some(_) => Err(BadRoom::Name),
    };
    let role = match message.get("role").and_then(Value::as_str) {
        Some("publisher") => Some(Role::Publisher),
        Some("viewer") => Some(Role::Viewer),
        _ => None,
    };
    let name = message.get("name").and_then(Value::as_str).map(|name| shown(name, NAME_MAX));
    Join { room, role, name: name.filter(|name| !name.is_empty()) }
}

/// Whether a text names a room: 1 to 64 of `A-Z a-z 0-9 _ -`.
#[must_use]
pub fn is_room(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Takes a description, within its bounds. What it says is not looked at: lines and sections are counted.
fn sdp(message: &Map<String, Value>, kind: &str) -> Result<Sdp, BadSdp> {
    let text = match message.get("sdp") {
        None | Some(Value::Null) => return Err(BadSdp::Missing),
        Some(Value::String(text)) => text,
        // Some clients put the whole description where its text belongs.
        Some(Value::Object(inner)) => inner.get("sdp").and_then(Value::as_str).ok_or(BadSdp::Form)?,
        Some(_) => return Err(BadSdp::Form),
    };
    match message.get("type").and_then(Value::as_str) {
        Some(named) if named != kind => return Err(BadSdp::Kind),
        _ => {}
    }
    if text.len() > SDP_MAX {
        return Err(BadSdp::Large);
    }
    if text.trim().is_empty() {
        return Err(BadSdp::Missing);
    }
    let (mut lines, mut media) = (0, 0);
    for line in text.split('\n') {
        lines += 1;
        media += usize::from(line.starts_with("m="));
        if lines > SDP_LINES || line.len() > SDP_LINE {
            return Err(BadSdp::Lines);
        }
    }
    if media > SDP_MEDIA {
        return Err(BadSdp::Media);
    }
    // A line feed ends a line; a lone carriage return or a control character could bring one of its own.
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let alone = byte == b'\r' && bytes.peek() != Some(&b'\n');
        if alone || (byte < b' ' && !matches!(byte, b'\r' | b'\n' | b'\t')) {
            return Err(BadSdp::Form);
        }
    }
    Ok(Sdp(text.to_owned()))
}

/// A text of a peer as it may be shown: without control characters, and so long at most.
fn shown(text: &str, max: usize) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control() && !is_marker(*c)).take(max).collect();
    plain.trim().to_owned()
}

/// Characters that turn the direction of the text around them, or are not seen.
fn is_marker(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn fields<T: for<'de> Deserialize<'de>>(message: &Map<String, Value>) -> Result<T, Unreadable> {
    // `null` and absent are the same.
    let given = message.iter().filter(|(_, value)| !value.is_null());
    let given: Map<String, Value> = given.map(|(k, v)| (k.clone(), v.clone())).collect();
    T::deserialize(Value::Object(given)).map_err(|_| Unreadable::Field)
}

/// How an error about depth begins.
const DEEP: &str = "nested too deeply";

/// Reads any JSON, but not deeper than [`DEPTH_MAX`], and no key twice in an object.
struct Bounded {
    depth: usize,
}

impl Bounded {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        if self.depth >= DEPTH_MAX {
            return Err(E::custom(DEEP));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Bounded {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.deeper()?)? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = pairs.next_key::<String>()? {
            let value = pairs.next_value_seed(self.deeper()?)?;
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key stands twice"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn said(text: &str) -> Result<Said, Unreadable> {
        read(text, Taken::default()).map(|spoken| spoken.said)
    }

    #[test]
    fn a18_what_is_no_message_is_told_apart_and_nothing_falls() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let nine = format!("{{\"a\":{}1{}}}", "[".repeat(8), "]".repeat(8));
        let large = format!("{{\"type\":\"{}\"}}", "x".repeat(MESSAGE_MAX));
        for (text, why) in [
            ("", Unreadable::Json),
            ("{", Unreadable::Json),
            ("nul", Unreadable::Json),
            ("{\"type\":NaN}", Unreadable::Json),
            ("{\"type\":\"ping\"} {}", Unreadable::Json),
            ("{\"type\":\"ping\",\"type\":\"pong\"}", Unreadable::Json),
            ("{\"type\":\"\\ud800\"}", Unreadable::Json),
            (&deep, Unreadable::Deep),
            (&nine, Unreadable::Deep),
            (&large, Unreadable::Large),
            ("[]", Unreadable::NotAnObject),
            ("null", Unreadable::NotAnObject),
            ("\"join_room\"", Unreadable::NotAnObject),
            ("{}", Unreadable::NoType),
            ("{\"type\":5}", Unreadable::NoType),
            ("{\"type\":null}", Unreadable::NoType),
            ("{\"v\":1,\"type\":\"auth\"}", Unreadable::Field),
            ("{\"v\":1,\"type\":\"ping\",\"gen\":-1}", Unreadable::Field),
            ("{\"v\":1,\"type\":\"stats\",\"pkts\":\"many\"}", Unreadable::Field),
        ] {
            assert_eq!(said(text), Err(why), "{}", text.get(..60).unwrap_or(text));
        }
        let eight = format!("{{\"type\":\"ping\",\"a\":{}1{}}}", "[".repeat(7), "]".repeat(7));
        assert_eq!(said(&eight), Ok(Said::Ping));
        assert_eq!(said("{\"type\":\"dance\\n\"}"), Ok(Said::Unknown("dance".into())));
        assert_eq!(said("{\"command\":\"reconnect\"}"), Ok(Said::Idle));
    }

    #[test]
    fn r_s1_a_room_is_named_at_the_top_or_in_data() {
        let join = |value: Value| match said(&value.to_string()) {
            Ok(Said::Join(join)) => join,
            other => panic!("{value} gave {other:?}"),
        };
        for value in [
            json!({"type": "join_room", "data": {"room": "r-1_A", "role": "publisher"}}),
            json!({"type": "join_room", "room": "r-1_A", "role": "publisher"}),
            json!({"type": "join_room", "room": "r-1_A", "data": {"role": "publisher"}}),
            json!({"v": 1, "type": "join_room", "room": "r-1_A", "role": "publisher"}),
        ] {
            let expected = Join { room: Ok("r-1_A".into()), role: Some(Role::Publisher), name: None };
            assert_eq!(join(value), expected);
        }
        let long = "r".repeat(65);
        for (room, why) in [
            (json!(""), BadRoom::Name),
            (json!(long), BadRoom::Name),
            (json!("a b"), BadRoom::Name),
            (json!("../etc"), BadRoom::Name),
            (json!("방"), BadRoom::Name),
            (json!(7), BadRoom::Name),
            (json!(null), BadRoom::Missing),
        ] {
            assert_eq!(join(json!({"type": "join_room", "data": {"room": room}})).room, Err(why), "{room}");
        }
        let other =
            join(json!({"type": "join_room", "room": "r", "role": "receiver", "name": "\u{202e}Mi\nna"}));
        assert_eq!((other.role, other.name.as_deref()), (None, Some("Mina")));
    }

    #[test]
    fn a19_a_description_is_bounded_before_anybody_reads_it() {
        let offer = |sdp: &str| match said(
            &json!({"type": "offer", "data": {"sdp": sdp, "type": "offer"}}).to_string(),
        ) {
            Ok(Said::Offer(sdp)) => sdp,
            other => panic!("{other:?}"),
        };
        assert_eq!(offer("v=0\r\nm=video 9 x\r\n"), Ok(Sdp("v=0\r\nm=video 9 x\r\n".into())));
        for (sdp, why) in [
            (String::new(), BadSdp::Missing),
            (" \r\n".into(), BadSdp::Missing),
            ("a".repeat(SDP_MAX + 1), BadSdp::Large),
            (format!("v=0\r\n{}", "a=x\r\n".repeat(2_000)), BadSdp::Lines),
            (format!("v=0\r\na={}\r\n", "x".repeat(2_100)), BadSdp::Lines),
            (format!("v=0\r\n{}", "m=video 9 x\r\n".repeat(5)), BadSdp::Media),
            ("v=0\r\na=mid:0\ra=crypto:1\r\n".into(), BadSdp::Form),
            ("v=0\0\r\n".into(), BadSdp::Form),
        ] {
            assert_eq!(offer(&sdp), Err(why));
        }
        for (message, found) in [
            (json!({"type": "offer", "sdp": "v=0"}), Ok(Sdp("v=0".into()))),
            (
                json!({"type": "offer", "data": {"sdp": {"type": "offer", "sdp": "v=0"}}}),
                Ok(Sdp("v=0".into())),
            ),
            (json!({"type": "offer", "data": {"sdp": "v=0", "type": "answer"}}), Err(BadSdp::Kind)),
            (json!({"type": "offer"}), Err(BadSdp::Missing)),
            (json!({"type": "offer", "data": null}), Err(BadSdp::Missing)),
            (json!({"type": "offer", "data": {"sdp": 5}}), Err(BadSdp::Form)),
        ] {
            assert_eq!(said(&message.to_string()), Ok(Said::Offer(found)), "{message}");
        }
        assert!(!format!("{:?}", Sdp("a=ice-pwd:secret".into())).contains("secret"));
    }

    proptest! {
        #[test]
        fn nothing_makes_the_reader_fall(text in "\\PC{0,300}") {
            let _ = said(&text);
        }

        #[test]
        fn no_field_makes_the_reader_fall(
            kind in prop::sample::select(vec![
                "hello", "pair_request", "auth", "join_room", "leave_room", "offer", "answer", "ice_candidate",
                "state", "stats", "reconnect_request", "control_ok", "ping", "bye", "error", "?",
            ]),
            v in prop::option::of(0_u8..3),
            name in "[a-zA-Z_]{1,12}",
            value in "(null|true|-?[0-9]{1,20}|\"\\PC{0,20}\"|\\[\\]|\\{\\})",
        ) {
            let v = v.map(|v| format!("\"v\":{v},")).unwrap_or_default();
            let _ = said(&format!("{{{v}\"type\":\"{kind}\",\"{name}\":{value},\"data\":{{\"{name}\":{value}}}}}"));
        }
    }
}
