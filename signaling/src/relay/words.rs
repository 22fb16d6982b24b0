//! What the relay says, in the words of each dialect.

use serde_json::json;

use super::limits;
use super::rooms::DESK;
use super::seat::Seat;
use crate::inbound::{MESSAGE_MAX, SDP_MAX};
use crate::legacy;
use crate::message::{
    Answer, Bye, Candidate, Envelope, Error, ErrorCode, IceCandidate, IceServer, JoinedRoom, Limited,
    MediaStatus, Message, Offer, Peer, PeerLeft, Reconnect, ReconnectMode, RestartCapture, Sdp, ToPhone,
    VERSION,
};

/// How a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    V1,
    Legacy,
}

fn write(envelope: Envelope, body: ToPhone) -> String {
    let envelope = Envelope { v: Some(VERSION), ..envelope };
    serde_json::to_string(&Message { envelope, body }).expect("messages have no keys that are not texts")
}

pub(super) fn v1(body: ToPhone, re: Option<String>) -> String {
    write(Envelope { re, ..Envelope::default() }, body)
}

fn of(generation: u32, from: &str) -> Envelope {
    Envelope { generation: Some(generation), from: Some(from.to_owned()), ..Envelope::default() }
}

pub(super) fn limited() -> Limited {
    let small = |n: usize| u32::try_from(n).expect("limits are small numbers");
    Limited {
        message_bytes: small(MESSAGE_MAX),
        sdp_bytes: small(SDP_MAX),
        candidates_per_gen: small(limits::CANDIDATES),
        messages_per_second: limits::MESSAGES_PER_SECOND,
        offers_per_minute: small(limits::OFFERS),
    }
}

pub(super) fn pong(dialect: Dialect, re: Option<String>) -> String {
    match dialect {
        Dialect::V1 => v1(ToPhone::Pong, re),
        Dialect::Legacy => json!({"type": "pong"}).to_string(),
    }
}

pub(super) fn error(
    dialect: Dialect,
    re: Option<String>,
    code: ErrorCode,
    message: &str,
    fatal: bool,
) -> String {
    match dialect {
        Dialect::Legacy => legacy::error(message),
        Dialect::V1 => {
            let body = Error { code, message: message.to_owned(), retry_ms: None, fatal };
            v1(ToPhone::Error(body), re)
        }
    }
}

pub(super) fn stale(dialect: Dialect, re: Option<String>, generation: u32) -> String {
    let message = "A newer connection was offered already";
    match dialect {
        Dialect::Legacy => legacy::error(message),
        Dialect::V1 => {
            let body =
                Error { code: ErrorCode::Stale, message: message.to_owned(), retry_ms: None, fatal: false };
            write(Envelope { re, generation: Some(generation), ..Envelope::default() }, ToPhone::Error(body))
        }
    }
}

pub(super) fn bye(dialect: Dialect, reason: &str) -> String {
    match dialect {
        Dialect::Legacy => legacy::error(reason),
        Dialect::V1 => v1(ToPhone::Bye(Bye { reason: reason.to_owned() }), None),
    }
}

pub(super) fn joined_room(
    dialect: Dialect,
    seat: &Seat,
    peer_id: &str,
    peers: Vec<Peer>,
    ice_servers: Vec<IceServer>,
) -> String {
    match dialect {
        Dialect::Legacy => legacy::joined_room(&seat.room, peer_id, &peers),
        Dialect::V1 => {
            let body = JoinedRoom {
                peer_id: peer_id.to_owned(),
                peers,
                gen_hint: seat.generation,
                ice_servers,
                resume: seat.resumed,
            };
            let envelope =
                Envelope { room: Some(seat.room.clone()), re: seat.re.clone(), ..Envelope::default() };
            write(envelope, ToPhone::JoinedRoom(body))
        }
    }
}

pub(super) fn peer_joined(dialect: Dialect, room: &str, peer: &Peer) -> String {
    match dialect {
        Dialect::Legacy => legacy::peer_joined(&peer.peer_id, peer.role),
        Dialect::V1 => write(
            Envelope { room: Some(room.to_owned()), ..Envelope::default() },
            ToPhone::PeerJoined(peer.clone()),
        ),
    }
}

pub(super) fn peer_left(dialect: Dialect, room: &str, peer_id: &str) -> String {
    match dialect {
        Dialect::Legacy => legacy::peer_left(peer_id),
        Dialect::V1 => {
            let body = ToPhone::PeerLeft(PeerLeft { peer_id: peer_id.to_owned() });
            write(Envelope { room: Some(room.to_owned()), ..Envelope::default() }, body)
        }
    }
}

pub(super) fn answer(dialect: Dialect, re: Option<String>, generation: u32, neg: u16, sdp: &Sdp) -> String {
    match dialect {
        Dialect::Legacy => legacy::description("answer", sdp, None),
        Dialect::V1 => {
            let envelope = Envelope { re, neg: Some(neg), ..of(generation, DESK) };
            write(envelope, ToPhone::Answer(Answer { sdp: sdp.clone() }))
        }
    }
}

/// A description from one peer to another.
pub(super) fn forwarded(
    dialect: Dialect,
    kind: &str,
    generation: u32,
    neg: u16,
    sdp: &Sdp,
    from: &str,
) -> String {
    match dialect {
        Dialect::Legacy => legacy::description(kind, sdp, Some(from)),
        Dialect::V1 => {
            let body = match kind {
                "offer" => ToPhone::Offer(Offer { sdp: sdp.clone(), reason: None }),
                _ => ToPhone::Answer(Answer { sdp: sdp.clone() }),
            };
            write(Envelope { neg: Some(neg), ..of(generation, from) }, body)
        }
    }
}

pub(super) fn candidate(dialect: Dialect, generation: u32, candidate: &Candidate, from: &str) -> String {
    match dialect {
        Dialect::Legacy => legacy::candidate(candidate, (from != DESK).then_some(from)),
        Dialect::V1 => {
            let body = ToPhone::IceCandidate(IceCandidate { candidate: Some(candidate.clone()) });
            write(of(generation, from), body)
        }
    }
}

pub(super) fn restart_capture(generation: u32, reason: String) -> String {
    write(of(generation, DESK), ToPhone::RestartCapture(RestartCapture { reason }))
}

pub(super) fn media_status(generation: u32, status: MediaStatus) -> String {
    write(of(generation, DESK), ToPhone::MediaStatus(status))
}

pub(super) fn reconnect(dialect: Dialect, generation: u32, reason: &str) -> String {
    match dialect {
        Dialect::Legacy => legacy::RECONNECT.to_owned(),
        Dialect::V1 => {
            let body = Reconnect {
                mode: ReconnectMode::Full,
                command: Some("reconnect".to_owned()),
                after_ms: 0,
                reason: reason.to_owned(),
            };
            write(Envelope { generation: Some(generation), ..Envelope::default() }, ToPhone::Reconnect(body))
        }
    }
}
