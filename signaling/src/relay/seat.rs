//! A peer's stay in a room.

use tokio::time::Instant;

use super::limits::CANDIDATES;
use crate::message::{Candidate, Role, Sdp};

/// A peer in a room.
#[derive(Debug)]
pub(super) struct Seat {
    /// Tells stays apart; never used again.
    pub(super) number: u64,
    pub(super) room: String,
    /// What it came for, once it is known.
    pub(super) role: Option<Role>,
    pub(super) name: Option<String>,
    /// The desk let it in, and the others know of it.
    pub(super) admitted: bool,
    /// It was away for a moment only.
    pub(super) resumed: bool,
    /// Of its newest offer; 0 before the first. A phone that came back has that of its last stay.
    pub(super) generation: u32,
    /// Within it; 0 before the first offer of this stay.
    pub(super) neg: u16,
    /// The message that an answer will be for.
    pub(super) re: Option<String>,
    /// The newest answer, for an offer that comes twice.
    pub(super) answered: Option<(u32, u16, Sdp)>,
    /// Candidates of the peer for this generation, so far.
    pub(super) candidates: usize,
    /// Of the peer, before its offer; [`CANDIDATES`] at most.
    pub(super) early: Vec<Option<Candidate>>,
    /// Ours, before our answer; [`CANDIDATES`] at most, later ones are dropped.
    pub(super) held: Vec<Candidate>,
    /// When it was last told to reconnect, and of which generation it was.
    pub(super) commanded: Option<(u32, Instant)>,
    /// When it will be told, and why.
    pub(super) due: Option<(Instant, String)>,
}

/// What becomes of a candidate of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    Say,
    Kept,
    Stale,
}

impl Seat {
    pub(super) fn new(
        number: u64,
        room: String,
        role: Option<Role>,
        name: Option<String>,
        re: Option<String>,
    ) -> Self {
        Self {
            number,
            room,
            role,
            name,
            admitted: false,
            resumed: false,
            generation: 0,
            neg: 0,
            re,
            answered: None,
            candidates: 0,
            early: Vec::new(),
            held: Vec::new(),
            commanded: None,
            due: None,
        }
    }

    /// A new offer came.
    pub(super) fn offered(&mut self, generation: u32, neg: u16) {
        if self.generation != generation {
            self.candidates = self.early.len();
            self.held.clear();
        }
        (self.generation, self.neg) = (generation, neg);
    }

    /// A candidate of ours for a generation.
    pub(super) fn hold(&mut self, generation: u32, candidate: &Candidate) -> Held {
        if generation != self.generation {
            return Held::Stale;
        }
        if self.answered.as_ref().is_some_and(|(answered, ..)| *answered == generation) {
            return Held::Say;
        }
        if self.neg == 0 {
            // It resumed: the answer of this connection was of its last stay.
            return Held::Say;
        }
        if self.held.len() < CANDIDATES {
            self.held.push(candidate.clone());
        }
        Held::Kept
    }
}
