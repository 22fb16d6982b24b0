//! Publishing by WHIP (RFC 9725): a phone's way without signaling, for OBS and others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use super::link::{OfferError, PeerCard, PeerRole};
use super::{EngineHandle, PhonePeer};
use crate::api::{ApiError, ErrorCode};
use crate::config::is_id;
use crate::env::Secret;
use crate::sfu::{Answer, SfuError};

/// An encoder that was lost for this long does not bring its connection back: it has no line to do it by.
const LOST: Duration = Duration::from_secs(30);

/// Publishers by WHIP, by the name of their session.
#[derive(Default)]
pub(super) struct Whip {
    sessions: Mutex<HashMap<Uuid, (String, Arc<PhonePeer>)>>,
}

impl Whip {
    fn sessions(&self) -> MutexGuard<'_, HashMap<Uuid, (String, Arc<PhonePeer>)>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, room: &str, session: &Uuid) -> Result<Arc<PhonePeer>, ApiError> {
        let sessions = self.sessions();
        let found = sessions.get(session).filter(|(of, _)| of == room);
        found.map(|(_, peer)| Arc::clone(peer)).ok_or_else(no_session)
    }
}

impl EngineHandle {
    /// Answers a publisher's offer; its camera is named like the room.
    ///
    /// # Errors
    /// `Invalid` for a room that cannot be, `Duplicate` where the room is a camera that is no phone,
    /// `NotPlayable`, `Malformed`, `TooLarge`, `Busy`.
    pub async fn whip_offer(&self, room: &str, offer: &str) -> Result<Answer, ApiError> {
        if !is_id(room) {
            let reason = "a room is named by 1 to 64 letters, digits, \"_\" and \"-\", and not \"probe\"";
            return Err(ApiError::invalid("room", reason));
        }
        let card = PeerCard {
            peer_id: self.token(),
            room: room.to_owned(),
            role: PeerRole::Publisher,
            name: None,
            legacy: true,
        };
        let peer = Arc::new(PhonePeer::new(self.clone(), card, None));
        let answer =
            peer.offer(1, 1, Secret::new(offer.to_owned())).await.map_err(|error| refusal(&error))?;
        let Some(call) = peer.call() else { return Err(no_session()) };
        if call.publication().is_none() {
            call.close();
            let message = "The offer sends neither picture nor sound.";
            return Err(ApiError::new(ErrorCode::NotPlayable, message));
        }
        let id = call.id();
        self.whip().sessions().insert(id, (room.to_owned(), Arc::clone(&peer)));
        let engine = self.clone();
        self.spawn(async move {
            let lost = async {
                match call.publication() {
                    Some(publication) => publication.lost(LOST).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = call.ended() => {}
                () = lost => peer.go(),
            }
            // Whoever lost the connection publishes anew.
            engine.whip().sessions().remove(&id);
        });
        Ok(Answer { id, sdp: answer.sdp.reveal().clone() })
    }

    /// Adds a publisher's candidates.
    ///
    /// # Errors
    /// `NotFound`, `Malformed`, `TooLarge`.
    pub async fn whip_trickle(&self, room: &str, session: &Uuid, fragment: &str) -> Result<(), ApiError> {
        let call = self.whip().get(room, session)?.call().ok_or_else(no_session)?;
        call.trickle(fragment).await.map_err(|error| refusal(&OfferError::Sfu(error)))
    }

    /// Ends a publisher; its camera goes.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn whip_close(&self, room: &str, session: &Uuid) -> Result<(), ApiError> {
        self.whip().get(room, session)?;
        let peer = self.whip().sessions().remove(session);
        if let Some((_, peer)) = peer {
            peer.go();
        }
        Ok(())
    }
}

fn no_session() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "There is no such session.")
}

fn refusal(error: &OfferError) -> ApiError {
    let code = match error {
        OfferError::NotAPhone(_) => ErrorCode::Duplicate,
        OfferError::Busy => ErrorCode::Busy,
        OfferError::Stale { .. } | OfferError::Fingerprint | OfferError::MayNotWatch => ErrorCode::Malformed,
        OfferError::Sfu(error) => match error {
            SfuError::NoCommonCodec(_) => ErrorCode::NotPlayable,
            SfuError::Malformed(_) => ErrorCode::Malformed,
            SfuError::TooLarge => ErrorCode::TooLarge,
            SfuError::UnknownViewer | SfuError::NotLive => ErrorCode::NotFound,
            SfuError::TooManyViewers | SfuError::NoPort | SfuError::ShuttingDown => ErrorCode::Busy,
            SfuError::Internal(_) => ErrorCode::Internal,
        },
    };
    let message = error.to_string();
    let mut letters = message.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    ApiError::new(code, format!("{first}{}.", letters.as_str()))
}
