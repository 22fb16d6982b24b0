//! Peers that came by signaling: phones that publish, and those who watch in their rooms.

use std::sync::Arc;

use tracing::info;

use super::EngineHandle;
use super::link::{
    JoinError, OfferError, PeerCandidate, PeerCard, PhoneState, PhoneStats, SignalLink, ToPeer,
};
use crate::env::Secret;

impl EngineHandle {
    /// A peer has joined a room.
    ///
    /// # Errors
    /// See [`JoinError`]. What a room's camera forbids is refused at the offer.
    pub fn join(&self, card: PeerCard, link: Arc<dyn SignalLink>) -> Result<PhonePeer, JoinError> {
        if self.is_shut_down() {
            return Err(JoinError::ShuttingDown);
        }
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !(1..=64).contains(&card.room.len()) || !card.room.chars().all(letter) {
            return Err(JoinError::BadRoom);
        }
        info!(tag = "RECONNECT", peer = short(&card.peer_id), room = card.room, "peer joined");
        Ok(PhonePeer { card, link })
    }
}

/// A peer in the engine. Dropping it says that its signaling is gone; its media lives on.
pub struct PhonePeer {
    card: PeerCard,
    link: Arc<dyn SignalLink>,
}

impl PhonePeer {
    /// Answers an offer.
    ///
    /// # Errors
    /// See [`OfferError`]; an offer that fails leaves the connection before it as it was.
    #[allow(clippy::unused_async, reason = "it will wait for the connection")]
    pub async fn offer(
        &self,
        _generation: u32,
        _neg: u16,
        _sdp: Secret<String>,
    ) -> Result<Secret<String>, OfferError> {
        Err(OfferError::NotYet("publishing"))
    }

    /// Takes a candidate of the peer, or `None` for the end of them.
    pub fn candidate(&self, _generation: u32, _candidate: Option<PeerCandidate>) {}

    /// Takes note of what the phone says of itself.
    pub fn state(&self, _state: PhoneState) {}

    /// Takes note of what the phone counted.
    pub fn stats(&self, _stats: PhoneStats) {}

    /// The peer said goodbye: what it publishes ends.
    pub fn leave(self) {
        self.link.send(ToPeer::Bye { reason: "left".to_owned() });
        info!(tag = "RECONNECT", peer = short(&self.card.peer_id), "peer left");
    }
}

/// The part of a peer's id that logs show (R-S6).
fn short(peer_id: &str) -> &str {
    peer_id.get(..8).unwrap_or(peer_id)
}
