//! The relay alone: offers, answers and candidates go from peer to peer.
//!
//! Who publishes offers, who watches answers. What names a peer of the room goes to that one; else offers and
//! candidates of a publisher go to all who watch, and theirs to all who publish.

use super::rooms::{Output, Rooms, SocketId};
use super::words;
use crate::message::{Candidate, Envelope, Role, Sdp};

impl Rooms {
    /// The members that a message is for.
    fn recipients(&self, socket: SocketId, to: Option<&str>) -> Vec<SocketId> {
        let Some(seat) = self.peers.get(&socket).and_then(|peer| peer.seat.as_ref()) else {
            return Vec::new();
        };
        let others = self.others(&seat.room, socket);
        let fits = |other: &SocketId| match to {
            Some(to) => self.peer_id(*other).as_deref() == Some(to),
            None => {
                let other = self.peers.get(other).and_then(|peer| peer.seat.as_ref()?.role);
                (seat.role == Some(Role::Publisher)) != (other == Some(Role::Publisher))
            }
        };
        others.into_iter().filter(fits).collect()
    }

    fn forward(
        &self,
        socket: SocketId,
        to: Option<&str>,
        out: &mut Vec<Output>,
        word: impl Fn(words::Dialect, &str) -> String,
    ) {
        let Some(from) = self.peer_id(socket) else { return };
        for other in self.recipients(socket, to) {
            if let Some(peer) = self.peers.get(&other) {
                out.push(Output::Send { socket: other, text: word(peer.dialect(), &from) });
            }
        }
    }

    pub(super) fn forward_offer(
        &mut self,
        socket: SocketId,
        to: Option<&str>,
        sdp: &Sdp,
        out: &mut Vec<Output>,
    ) {
        let Some(seat) = self.seat(socket) else { return };
        // Without a word about its role: who offers publishes.
        seat.role = seat.role.or(Some(Role::Publisher));
        let (generation, neg) = (seat.generation, seat.neg);
        self.forward(socket, to, out, |dialect, from| {
            words::forwarded(dialect, "offer", generation, neg, sdp, from)
        });
    }

    /// An answer counts for the newest offer of each publisher, and not for an older one.
    pub(super) fn forward_answer(
        &mut self,
        socket: SocketId,
        envelope: &Envelope,
        sdp: &Sdp,
        out: &mut Vec<Output>,
    ) {
        let Some(from) = self.peer_id(socket) else { return };
        if let Some(seat) = self.seat(socket) {
            // Its candidates are of a new connection now.
            seat.candidates = 0;
        }
        for other in self.recipients(socket, envelope.to.as_deref()) {
            let Some(peer) = self.peers.get(&other) else { continue };
            let Some(seat) = &peer.seat else { continue };
            let generation = envelope.generation.unwrap_or(seat.generation);
            let neg = envelope.neg.unwrap_or(seat.neg);
            if seat.neg == 0 || (generation, neg) != (seat.generation, seat.neg) {
                self.counts.stale += 1;
                continue;
            }
            let text = words::forwarded(peer.dialect(), "answer", generation, neg, sdp, &from);
            out.push(Output::Send { socket: other, text });
        }
    }

    pub(super) fn forward_candidate(
        &mut self,
        socket: SocketId,
        to: Option<&str>,
        generation: u32,
        candidate: &Candidate,
        out: &mut Vec<Output>,
    ) {
        self.forward(socket, to, out, |dialect, from| words::candidate(dialect, generation, candidate, from));
    }
}
