//! What is said to clients of the older systems: `{"type":…,"data":…}`, in the words they know.

use serde_json::{Value, json};

use crate::message::{Candidate, Peer, Role, Sdp};

/// The whole of what tells a publisher to tear its connection down and to send a fresh offer.
pub const RECONNECT: &str = r#"{"command":"reconnect"}"#;

/// You are in the room; these are the others.
#[must_use]
pub fn joined_room(room: &str, peer_id: &str, peers: &[Peer]) -> String {
    let peers: Vec<Value> = peers.iter().map(|p| json!({"peer_id": p.peer_id, "role": p.role})).collect();
    data("joined_room", json!({"room": room, "peer_id": peer_id, "peers": peers}))
}

/// Somebody came.
#[must_use]
pub fn peer_joined(peer_id: &str, role: Role) -> String {
    data("peer_joined", json!({"peer_id": peer_id, "role": role}))
}

/// Somebody went.
#[must_use]
pub fn peer_left(peer_id: &str) -> String {
    data("peer_left", json!({"peer_id": peer_id}))
}

/// An answer, or, between peers, an offer; `from` where another peer made it.
#[must_use]
pub fn description(kind: &str, sdp: &Sdp, from: Option<&str>) -> String {
    let mut inner = json!({"sdp": sdp.0, "type": kind});
    if let Some(from) = from {
        inner["from"] = from.into();
    }
    data(kind, inner)
}

/// A candidate, flat. The end of candidates is never said.
#[must_use]
pub fn candidate(candidate: &Candidate, from: Option<&str>) -> String {
    let mut inner = json!({
        "candidate": candidate.candidate,
        "sdpMid": candidate.sdp_mid,
        "sdpMLineIndex": candidate.sdp_m_line_index,
    });
    if let Some(from) = from {
        inner["from"] = from.into();
    }
    data("ice_candidate", inner)
}

/// Something was not right.
#[must_use]
pub fn error(message: &str) -> String {
    data("error", json!({"message": message}))
}

fn data(kind: &str, data: Value) -> String {
    json!({"type": kind, "data": data}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_clients_hear_what_they_know() {
        let peers = [Peer { peer_id: "p".into(), role: Role::Publisher, name: Some("Mina".into()) }];
        for (text, expected) in [
            (
                joined_room("r", "me", &peers),
                json!({"type": "joined_room", "data": {"room": "r", "peer_id": "me", "peers": [{"peer_id": "p", "role": "publisher"}]}}),
            ),
            (
                peer_joined("p", Role::Viewer),
                json!({"type": "peer_joined", "data": {"peer_id": "p", "role": "viewer"}}),
            ),
            (peer_left("p"), json!({"type": "peer_left", "data": {"peer_id": "p"}})),
            (
                description("answer", &Sdp("v=0".into()), None),
                json!({"type": "answer", "data": {"sdp": "v=0", "type": "answer"}}),
            ),
            (
                candidate(
                    &Candidate {
                        candidate: "candidate:1".into(),
                        sdp_mid: Some("0".into()),
                        sdp_m_line_index: None,
                    },
                    None,
                ),
                json!({"type": "ice_candidate", "data": {"candidate": "candidate:1", "sdpMid": "0", "sdpMLineIndex": null}}),
            ),
            (error("Not in a room"), json!({"type": "error", "data": {"message": "Not in a room"}})),
        ] {
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        }
    }
}
