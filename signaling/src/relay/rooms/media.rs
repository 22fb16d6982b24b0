//! What members of a room say about connections: offers, answers, candidates, and that pictures are missing.

use super::super::limits::{self, network};
use super::super::seat::Held;
use super::super::words::{self, Dialect};
use super::{Answered, Call, DESK, Mode, Moment, Output, Rooms, SocketId, ToPeer};
use crate::candidate::{BadCandidate, Heard};
use crate::message::{Envelope, ErrorCode, Role, Sdp};

impl Rooms {
    pub(super) fn offer(
        &mut self,
        socket: SocketId,
        re: Option<String>,
        envelope: &Envelope,
        sdp: Sdp,
        at: &Moment<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peers.get_mut(&socket) else { return };
        if !peer.offers.note(at.now, limits::OFFERS) && peer.device.is_some() {
            self.counts.limited += 1;
            return self.error(socket, re, ErrorCode::RateLimited, "Too many offers", out);
        }
        let dialect = peer.dialect();
        let Some(seat) = peer.seat.as_mut() else { return };
        // The older clients know no generations: each offer of theirs is of a new connection.
        let generation = envelope.generation.unwrap_or(seat.generation.saturating_add(1));
        let neg = envelope.neg.unwrap_or(1);
        let same = seat.answered.as_ref().filter(|(g, n, _)| (*g, *n) == (generation, neg));
        if let Some((_, _, answer)) = same
            && self.terms.mode == Mode::Desk
        {
            let text = words::answer(dialect, re, generation, neg, answer);
            out.push(Output::Send { socket, text });
            return;
        }
        if generation == 0 || (generation, neg) < (seat.generation, seat.neg) {
            self.counts.stale += 1;
            return self.stale(socket, re, out);
        }
        if (generation, neg) == (seat.generation, seat.neg) {
            // It is being answered.
            return;
        }
        seat.offered(generation, neg);
        seat.re = re;
        if self.terms.mode == Mode::Forward {
            return self.forward_offer(socket, envelope.to.as_deref(), &sdp, out);
        }
        let number = seat.number;
        out.push(Output::Desk { socket, seat: number, call: Call::Offer { generation, neg, sdp } });
        for candidate in std::mem::take(&mut seat.early) {
            out.push(Output::Desk { socket, seat: number, call: Call::Candidate { generation, candidate } });
        }
    }

    fn stale(&mut self, socket: SocketId, re: Option<String>, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get(&socket) else { return };
        let Some(seat) = &peer.seat else { return };
        out.push(Output::Send { socket, text: words::stale(peer.dialect(), re, seat.generation) });
    }

    pub(super) fn bad_offer(
        &mut self,
        socket: SocketId,
        re: Option<String>,
        why: &str,
        at: &Moment<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peers.get(&socket) else { return };
        let from = network(peer.origin.ip);
        let message = format!("Failed to process offer: {why}");
        self.error(socket, re, ErrorCode::BadSdp, &message, out);
        if !self.bad_offers.note(from, at.now, limits::BAD_OFFERS) {
            self.counts.limited += 1;
            self.dismiss(socket, ErrorCode::RateLimited, "Too many offers", at, out);
        }
    }

    /// The desk has answered an offer, or could not.
    pub fn answered(
        &mut self,
        socket: SocketId,
        seat: u64,
        (generation, neg): (u32, u16),
        result: Result<Answered, String>,
        at: &Moment<'_>,
    ) -> Vec<Output> {
        let mut out = Vec::new();
        let Some(peer) = self.peers.get_mut(&socket) else { return out };
        let dialect = peer.dialect();
        let Some(own) = peer.seat.as_mut().filter(|own| own.number == seat) else { return out };
        let newest = (own.generation, own.neg) == (generation, neg);
        match result {
            Err(why) => {
                let re = if newest { own.re.take() } else { None };
                self.bad_offer(socket, re, &why, at, &mut out);
            }
            Ok(_) if !newest => self.counts.stale += 1,
            Ok(Answered { sdp, publishes }) => {
                if publishes {
                    own.role = Some(Role::Publisher);
                }
                let re = own.re.take();
                out.push(Output::Send { socket, text: words::answer(dialect, re, generation, neg, &sdp) });
                own.answered = Some((generation, neg, sdp));
                // Ours that were found meanwhile: a client may not take them before the answer.
                for candidate in std::mem::take(&mut own.held) {
                    let text = words::candidate(dialect, generation, &candidate, DESK);
                    out.push(Output::Send { socket, text });
                }
            }
        }
        out
    }

    pub(super) fn candidate(
        &mut self,
        socket: SocketId,
        re: Option<String>,
        envelope: &Envelope,
        heard: Result<Heard, BadCandidate>,
        out: &mut Vec<Output>,
    ) {
        let candidate = match heard {
            Ok(Heard::Candidate { candidate, .. }) => Some(candidate),
            Ok(Heard::End) => None,
            Ok(Heard::Dropped(_)) => {
                self.counts.candidates_dropped += 1;
                return;
            }
            Err(error) => {
                self.counts.candidates_bad += 1;
                let message = format!("Invalid candidate: {error}");
                return self.error(socket, re, ErrorCode::BadCandidate, &message, out);
            }
        };
        let mode = self.terms.mode;
        let Some(seat) = self.seat(socket) else { return };
        // Who watches where the relay stands alone has no generation of its own.
        let own = mode == Mode::Desk || seat.role == Some(Role::Publisher);
        let generation = envelope.generation.unwrap_or(seat.generation);
        if own && generation != seat.generation {
            self.counts.stale += 1;
            return;
        }
        if seat.candidates >= limits::CANDIDATES {
            self.counts.candidates_dropped += 1;
            return;
        }
        seat.candidates += 1;
        if mode == Mode::Forward {
            if let Some(candidate) = candidate {
                self.forward_candidate(socket, envelope.to.as_deref(), generation, &candidate, out);
            }
        } else if seat.neg == 0 {
            // Its offer is still to come.
            seat.early.push(candidate);
        } else {
            let number = seat.number;
            out.push(Output::Desk { socket, seat: number, call: Call::Candidate { generation, candidate } });
        }
    }

    /// The desk says something to a peer.
    pub fn told(&mut self, socket: SocketId, seat: u64, message: ToPeer, at: &Moment<'_>) -> Vec<Output> {
        let mut out = Vec::new();
        let Some(peer) = self.peers.get_mut(&socket) else { return out };
        let dialect = peer.dialect();
        let Some(own) = peer.seat.as_mut().filter(|own| own.number == seat) else { return out };
        match message {
            ToPeer::Candidate { generation, candidate } => match own.hold(generation, &candidate) {
                Held::Say => {
                    let text = words::candidate(dialect, generation, &candidate, DESK);
                    out.push(Output::Send { socket, text });
                }
                Held::Kept => {}
                Held::Stale => self.counts.stale += 1,
            },
            ToPeer::Reconnect { generation, reason } => {
                if generation < own.generation {
                    self.counts.stale += 1;
                } else {
                    self.command(socket, &reason, at, &mut out);
                }
            }
            ToPeer::RestartCapture { generation, reason } if dialect == Dialect::V1 => {
                out.push(Output::Send { socket, text: words::restart_capture(generation, reason) });
            }
            ToPeer::MediaStatus { generation, status } if dialect == Dialect::V1 => {
                out.push(Output::Send { socket, text: words::media_status(generation, status) });
            }
            // The older clients know neither.
            ToPeer::RestartCapture { .. } | ToPeer::MediaStatus { .. } => {}
            ToPeer::Bye { reason } => {
                out.push(Output::Send { socket, text: words::bye(dialect, &reason) });
                self.leave_room(socket, Call::Gone, at, &mut out);
                self.forget(socket);
                out.push(Output::Close { socket, code: 1000, reason: "" });
            }
        }
        out
    }

    /// Somebody who watches sees nothing any more (R-P4).
    pub(super) fn reconnect_request(
        &mut self,
        socket: SocketId,
        re: Option<String>,
        envelope: &Envelope,
        reason: &str,
        at: &Moment<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(peer) = self.peers.get(&socket) else { return };
        // A phone asks for nobody.
        if peer.device.is_some() {
            return self.forbid(socket, re, at, out);
        }
        let Some(seat) = &peer.seat else { return };
        let members = self.rooms.get(&seat.room).cloned().unwrap_or_default();
        for member in members {
            let Some(peer) = self.peers.get(&member) else { continue };
            let publishes = peer.seat.as_ref().is_some_and(|seat| seat.role == Some(Role::Publisher));
            let meant = envelope.to.as_ref().is_none_or(|to| *to == peer.peer_id);
            if publishes && meant {
                self.command(member, reason, at, out);
            }
        }
    }

    /// Tells a publisher to tear down and build anew: once, however many complain, and not more often than
    /// every five seconds. A complaint about a connection that is younger than the last order is kept until then.
    pub(super) fn command(&mut self, socket: SocketId, reason: &str, at: &Moment<'_>, out: &mut Vec<Output>) {
        let Some(peer) = self.peers.get_mut(&socket) else { return };
        let dialect = peer.dialect();
        let Some(seat) = peer.seat.as_mut() else { return };
        if let Some((generation, when)) = seat.commanded
            && at.now < when + limits::RECONNECT_PAUSE
        {
            if seat.generation != generation {
                seat.due = Some((when + limits::RECONNECT_PAUSE, reason.to_owned()));
            }
            return;
        }
        seat.commanded = Some((seat.generation, at.now));
        seat.due = None;
        out.push(Output::Send { socket, text: words::reconnect(dialect, seat.generation, reason) });
    }
}
