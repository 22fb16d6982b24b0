//! Peers that came by signaling: phones that publish, and those who watch in their rooms.
//!
//! A phone in room `r` is camera `r`, a second one `r-2`. A member of a room is shown the room's camera,
//! phone or not, unless it is its own. Invariant: a peer has one connection at a time that counts; what
//! belongs to an older one is dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tracing::{debug, info};

use super::EngineHandle;
use super::entry::Entry;
use super::link::{
    JoinError, OfferError, PeerCandidate, PeerCard, PeerRole, PhoneState, PhoneStats, SignalLink, ToPeer,
};
use super::phone::{LISTEN, Phone};
use crate::api::CameraKind;
use crate::config::{ID_MAX, is_id};
use crate::env::Secret;
use crate::hub::Slot;
use crate::sfu::{Call, CallOptions, Candidate, Media};

/// Candidates of a peer that wait for its offer.
const EARLY: usize = 64;
/// Publishers of one room.
const PUBLISHERS: usize = 64;
/// A page that is loaded anew says goodbye too, and is back within this time: its viewers stay.
const RETURN: Duration = Duration::from_secs(3);

/// The ids that publishers of a room have, in the order in which they are given. The end of a long room's name
/// makes place for the number.
pub(super) fn places(room: &str) -> impl Iterator<Item = String> {
    (1..=PUBLISHERS).map(move |n| {
        let number = if n == 1 { String::new() } else { format!("-{n}") };
        format!("{}{number}", room.get(..ID_MAX - number.len()).unwrap_or(room))
    })
}

impl EngineHandle {
    /// A peer has joined a room.
    ///
    /// # Errors
    /// See [`JoinError`]. What a room's camera forbids is refused at the offer.
    pub fn join(&self, card: PeerCard, link: Arc<dyn SignalLink>) -> Result<PhonePeer, JoinError> {
        if self.is_shut_down() {
            return Err(JoinError::ShuttingDown);
        }
        if !is_id(&card.room) {
            return Err(JoinError::BadRoom);
        }
        info!(tag = "RECONNECT", peer = short(&card.peer_id), room = card.room, "peer joined");
        Ok(PhonePeer::new(self.clone(), card, Some(link)))
    }

    /// What a member of a room is shown: its camera, or the next of them, unless it is the member's own.
    fn shown(&self, room: &str, own: Option<&str>) -> Option<Slot> {
        let entries = self.entries();
        let in_room = |entry: &&Arc<Entry>| {
            entry.id == room || entry.phone.as_ref().is_some_and(|phone| phone.room == room)
        };
        let mut others = entries.iter().filter(in_room).filter(|entry| Some(entry.id.as_str()) != own);
        let first = others.clone().next().map(|entry| entry.main.slot.clone());
        // Who publishes goes before who is expected.
        others.find(|entry| entry.main.slot.is_published()).map(|entry| entry.main.slot.clone()).or(first)
    }

    /// The camera that a publisher of this room is.
    async fn phone_for(
        &self,
        card: &PeerCard,
        link: Option<&Arc<dyn SignalLink>>,
    ) -> Result<Arc<Entry>, OfferError> {
        let room = &card.room;
        let heard = self.listened(card).await;
        let _one_at_a_time = self.one_change().await;
        let entries = self.entries();
        if let Some(own) = self.entry_of(&card.peer_id) {
            own.phone.iter().for_each(|phone| phone.claim(card, link.cloned()));
            return Ok(own);
        }
        let is_silent = |phone: &Arc<Phone>| {
            let before = heard.iter().find(|(other, _)| Arc::ptr_eq(other, phone));
            before.is_some_and(|(_, before)| phone.heard() == Some(*before))
        };
        for id in places(room) {
            match entries.iter().find(|entry| entry.id == id) {
                None => {
                    let phone = Arc::new(Phone::new(card.clone(), link.cloned(), self.env()));
                    return self.add_phone(id, card.name.clone(), phone, false).ok_or(OfferError::Busy);
                }
                Some(entry) => {
                    let frame = entry.main.status.get().last_frame;
                    let phone = entry.phone.as_ref().filter(|phone| phone.room == *room);
                    if let Some(phone) = phone
                        && (phone.is_free(frame) || is_silent(phone))
                    {
                        phone.claim(card, link.cloned());
                        return Ok(Arc::clone(entry));
                    }
                }
            }
        }
        Err(OfferError::Busy)
    }

    /// What came, some time ago, of those who have the places in a room. Nobody waits for that but who wants one.
    async fn listened(&self, card: &PeerCard) -> Vec<(Arc<Phone>, u64)> {
        if self.entry_of(&card.peer_id).is_some() {
            return Vec::new();
        }
        let phones = self.entries().into_iter().filter_map(|entry| entry.phone.clone());
        let heard = phones.filter(|phone| phone.room == card.room).filter_map(|phone| {
            let count = phone.heard().filter(|_| phone.is_here())?;
            Some((phone, count))
        });
        let heard: Vec<_> = heard.collect();
        if !heard.is_empty() {
            tokio::time::sleep(LISTEN).await;
        }
        heard
    }
}

/// What an offer is answered.
#[derive(Clone, Debug)]
pub struct PhoneAnswer {
    pub sdp: Secret<String>,
    /// Its connection publishes: pictures, or sound alone.
    pub publishes: bool,
}

impl PhoneAnswer {
    fn of(call: &Call, sdp: Secret<String>) -> Self {
        Self { sdp, publishes: call.publication().is_some() }
    }
}

/// A peer in the engine. Dropping it says that its signaling is gone; its media lives on.
pub struct PhonePeer {
    engine: EngineHandle,
    card: PeerCard,
    link: Option<Arc<dyn SignalLink>>,
    /// One offer at a time.
    negotiating: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    /// Candidates that came before their offer was answered.
    early: Vec<(u32, PeerCandidate)>,
    /// What the phone said of itself, newest: it may say so before its offer made it a camera.
    said: Option<PhoneState>,
}

/// The connection that counts.
struct Current {
    generation: u32,
    negotiation: u16,
    call: Arc<Call>,
    answer: Secret<String>,
    camera: Option<Arc<Entry>>,
}

impl PhonePeer {
    pub(super) fn new(engine: EngineHandle, card: PeerCard, link: Option<Arc<dyn SignalLink>>) -> Self {
        let negotiating = tokio::sync::Mutex::new(());
        Self { engine, card, link, negotiating, state: Mutex::default() }
    }

    /// Answers an offer. `generation` names the peer's connection, `negotiation` the offer within it; an
    /// offer that was answered before is answered the same again.
    ///
    /// # Errors
    /// See [`OfferError`]; an offer that fails leaves the connection before it as it was.
    pub async fn offer(
        &self,
        generation: u32,
        negotiation: u16,
        sdp: Secret<String>,
    ) -> Result<PhoneAnswer, OfferError> {
        let _one_at_a_time = self.negotiating.lock().await;
        let offer = sdp.reveal();
        let same = {
            let state = self.inner();
            match &state.current {
                Some(now) if generation < now.generation => {
                    return Err(OfferError::Stale { current: now.generation });
                }
                Some(now) if generation == now.generation && negotiation <= now.negotiation => {
                    return Ok(PhoneAnswer::of(&now.call, now.answer.clone()));
                }
                // Clients of the older systems do not say whether it is the same connection.
                Some(now)
                    if generation == now.generation || self.card.legacy && now.call.continues(offer) =>
                {
                    if !now.call.is_of(offer) {
                        return Err(OfferError::Fingerprint);
                    }
                    Some(Arc::clone(&now.call))
                }
                _ => None,
            }
        };
        match same {
            Some(call) => self.again(generation, negotiation, offer, &call).await,
            None => self.anew(generation, negotiation, offer).await,
        }
    }

    async fn anew(&self, generation: u32, negotiation: u16, offer: &str) -> Result<PhoneAnswer, OfferError> {
        let room = &self.card.room;
        let media = Media::of(offer)?;
        let publishes = match self.card.role {
            // The older clients are what their offers say; but one that watches may offer both ways without
            // a thought, and only who takes nothing means it.
            PeerRole::Viewer => self.card.legacy && media.only_sends_video,
            PeerRole::Publisher => media.video || media.audio,
            // Sound alone beside pictures to receive is somebody who talks to the camera.
            PeerRole::Unknown => media.video || (media.audio && !media.wants_video),
        };
        // Of the older clients in a room everybody sees everybody; a phone that was let in has its own right
        // alone.
        let sees = self.card.legacy || self.card.role != PeerRole::Publisher;
        if !sees && !media.video && !media.audio {
            return Err(OfferError::MayNotWatch);
        }
        if publishes
            && let Ok(entry) = self.engine.entry(room)
            && entry.kind != CameraKind::Phone
        {
            return Err(OfferError::NotAPhone(room.clone()));
        }
        let (show, shown) = watch::channel(None);
        let options =
            CallOptions { room: room.clone(), show: shown, publish: publishes, trickle: self.link.is_some() };
        let call = Arc::new(self.engine.sfu().call(options, offer).await?);
        let camera = if call.publication().is_some() {
            match self.engine.phone_for(&self.card, self.link.as_ref()).await {
                Ok(camera) => Some(camera),
                Err(error) => {
                    call.close();
                    return Err(error);
                }
            }
        } else {
            None
        };
        if let Some((entry, phone)) = camera.as_ref().and_then(|entry| Some((entry, entry.phone.as_ref()?))) {
            let said = self.inner().said.clone();
            phone.adopt(&self.card, self.link.clone(), generation, &call, said);
            entry.wake(&self.engine.env());
        }
        if call.watches() && sees {
            let own = camera.as_ref().map(|entry| entry.id.clone());
            self.engine.spawn(keep_showing(self.engine.clone(), room.clone(), own, show, Arc::clone(&call)));
        }
        let answer = Secret::new(call.answer().to_owned());
        let (replaced, early) = {
            let mut state = self.inner();
            let early = std::mem::take(&mut state.early);
            let current =
                Current { generation, negotiation, call: Arc::clone(&call), answer: answer.clone(), camera };
            (state.current.replace(current), early)
        };
        if let Some(replaced) = replaced
            && replaced.call.publication().is_none()
        {
            // One that publishes makes way when the new one has brought media.
            replaced.call.close();
        }
        for (_, candidate) in early.into_iter().filter(|(of, _)| *of == generation) {
            self.add(&call, candidate);
        }
        let answered = PhoneAnswer::of(&call, answer);
        if let (Some(link), Some(own)) = (&self.link, call.candidates()) {
            self.engine.spawn(trickle(Arc::clone(link), generation, call, own));
        }
        Ok(answered)
    }

    async fn again(
        &self,
        generation: u32,
        negotiation: u16,
        offer: &str,
        call: &Arc<Call>,
    ) -> Result<PhoneAnswer, OfferError> {
        let answer = Secret::new(call.renegotiate(offer).await?);
        let mut state = self.inner();
        if let Some(current) = &mut state.current {
            current.generation = generation;
            current.negotiation = negotiation;
            current.answer = answer.clone();
            if let Some(phone) = current.camera.as_ref().and_then(|entry| entry.phone.as_ref()) {
                phone.renewed(generation);
            }
        }
        Ok(PhoneAnswer::of(call, answer))
    }

    /// Takes a candidate of the peer, or `None` for the end of them. What comes before its offer waits; what
    /// belongs to another connection is dropped.
    pub fn candidate(&self, generation: u32, candidate: Option<PeerCandidate>) {
        let Some(candidate) = candidate else { return };
        let call = {
            let mut state = self.inner();
            match &state.current {
                Some(now) if now.generation == generation => Arc::clone(&now.call),
                Some(now) if generation < now.generation => return,
                _ => {
                    if state.early.len() < EARLY {
                        state.early.push((generation, candidate));
                    } else {
                        debug!(peer = short(&self.card.peer_id), "too many candidates before the offer");
                    }
                    return;
                }
            }
        };
        self.add(&call, candidate);
    }

    fn add(&self, call: &Arc<Call>, candidate: PeerCandidate) {
        let call = Arc::clone(call);
        let PeerCandidate { candidate, mid, index } = candidate;
        self.engine.spawn(async move {
            call.add(Candidate { candidate, mid, index }).await;
        });
    }

    /// Takes note of what the phone says of itself.
    pub fn state(&self, state: PhoneState) {
        self.inner().said = Some(state.clone());
        if let Some(phone) = self.phone() {
            phone.says(&self.card.peer_id, state);
        }
    }

    /// Takes note of what the phone counted.
    pub fn stats(&self, stats: PhoneStats) {
        if let Some(phone) = self.phone() {
            phone.counts(&self.card.peer_id, stats);
        }
    }

    /// The peer said goodbye, or lost the right to be here: its connection ends. A phone of the older
    /// systems is taken off the wall; a paired one stays there, idle when it is not back in a moment.
    pub fn leave(self) {
        self.go();
    }

    pub(super) fn go(&self) {
        info!(tag = "RECONNECT", peer = short(&self.card.peer_id), "peer left");
        let current = self.inner().current.take();
        let Some(current) = current else { return };
        current.call.close();
        let Some(entry) = current.camera else { return };
        let Some(phone) = entry.phone.as_ref().filter(|phone| phone.is_of(&self.card.peer_id)) else {
            return;
        };
        phone.end();
        if self.card.legacy {
            let (engine, peer) = (self.engine.clone(), self.card.peer_id.clone());
            self.engine.spawn(async move { engine.forget_phone(&entry, &peer).await });
        } else {
            let (phone, env) = (Arc::clone(phone), self.engine.env());
            self.engine.spawn(async move {
                tokio::time::sleep(RETURN).await;
                if phone.is_here() {
                    return;
                }
                entry.rest();
                // Whoever came meanwhile found its camera awake.
                if phone.is_here() {
                    entry.wake(&env);
                }
            });
        }
    }

    pub(super) fn call(&self) -> Option<Arc<Call>> {
        self.inner().current.as_ref().map(|current| Arc::clone(&current.call))
    }

    fn phone(&self) -> Option<Arc<Phone>> {
        self.inner().current.as_ref()?.camera.as_ref()?.phone.clone()
    }

    fn inner(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PhonePeer {
    fn drop(&mut self) {
        if let Some(phone) = self.phone() {
            phone.abandoned(&self.card.peer_id);
        }
    }
}

/// Shows a member what its room has, until its connection ends.
async fn keep_showing(
    engine: EngineHandle,
    room: String,
    own: Option<String>,
    show: watch::Sender<Option<Slot>>,
    call: Arc<Call>,
) {
    let mut changes = engine.changes();
    loop {
        changes.mark_unchanged();
        let now = engine.shown(&room, own.as_deref());
        show.send_if_modified(|shown| {
            let same = match (&*shown, &now) {
                (Some(shown), Some(now)) => shown.is(now),
                (None, None) => true,
                _ => false,
            };
            *shown = now;
            !same
        });
        tokio::select! {
            () = call.ended() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Sends our candidates to the peer they belong to, however late they come (R-S2).
async fn trickle(
    link: Arc<dyn SignalLink>,
    generation: u32,
    call: Arc<Call>,
    mut own: tokio::sync::mpsc::Receiver<String>,
) {
    let (mid, index) = call.section();
    loop {
        let candidate = tokio::select! {
            () = call.ended() => return,
            candidate = own.recv() => candidate,
        };
        let Some(candidate) = candidate else { return };
        link.send(ToPeer::Candidate { generation, candidate, mid: mid.clone(), index: Some(index) });
    }
}

/// The part of a peer's id that logs show (R-S6).
fn short(peer_id: &str) -> &str {
    peer_id.get(..8).unwrap_or(peer_id)
}

#[cfg(test)]
mod tests {
    use super::super::{KnownPhone, Parts, Rtsp};
    use super::*;
    use crate::api::CameraPatch;
    use crate::config::{Config, MemoryStore};
    use crate::env::Env;

    async fn engine() -> EngineHandle {
        engine_in(None).await
    }

    async fn engine_in(data_dir: Option<std::path::PathBuf>) -> EngineHandle {
        let parts = Parts {
            env: Env::system(),
            config: Config::parse("").expect("valid"),
            store: Arc::new(MemoryStore::default()),
            sources: Arc::new(Rtsp::default()),
            demo: None,
            data_dir,
        };
        EngineHandle::start(parts).await.expect("it starts")
    }

    fn card(peer_id: &str) -> PeerCard {
        let (peer_id, room) = (peer_id.to_owned(), "hall".to_owned());
        PeerCard { peer_id, room, role: PeerRole::Publisher, name: None, legacy: true }
    }

    async fn place_of(engine: &EngineHandle, peer_id: &str) -> Arc<Entry> {
        engine.phone_for(&card(peer_id), None).await.expect("there is a place")
    }

    #[tokio::test]
    async fn a_second_publisher_leaves_one_that_is_still_connecting_in_peace() {
        let engine = engine().await;
        let first = place_of(&engine, "a").await;
        assert_eq!((&*first.id, &*place_of(&engine, "b").await.id), ("hall", "hall-2"));
        assert!(first.phone.as_ref().expect("a phone").is_of("a"));
        assert_eq!(place_of(&engine, "a").await.id, "hall", "who asks again has its own");
        engine.shutdown().await;
    }

    #[tokio::test]
    async fn no_camera_waits_while_somebody_who_may_be_gone_is_listened_to() {
        let engine = engine().await;
        let first = place_of(&engine, "a").await;
        first.phone.as_ref().expect("a phone").settled();
        let asking = tokio::spawn({
            let engine = engine.clone();
            async move { place_of(&engine, "b").await.id.clone() }
        });
        tokio::task::yield_now().await;
        assert!(tokio::time::timeout(LISTEN / 2, engine.one_change()).await.is_ok());
        assert_eq!(asking.await.expect("whole"), "hall", "nothing came of the first");
        engine.shutdown().await;
    }

    #[tokio::test]
    async fn one_that_came_meanwhile_is_not_taken_off_the_wall_with_the_one_that_went() {
        let engine = engine().await;
        let entry = place_of(&engine, "a").await;
        entry.phone.as_ref().expect("a phone").end();
        assert!(Arc::ptr_eq(&place_of(&engine, "b").await, &entry));
        engine.forget_phone(&entry, "a").await;
        assert!(engine.entry("hall").is_ok());
        // And the same phone, back under its own name.
        engine.forget_phone(&entry, "b").await;
        assert!(engine.entry("hall").is_ok());
        entry.phone.as_ref().expect("a phone").end();
        engine.forget_phone(&entry, "b").await;
        assert!(engine.entry("hall").is_err());
        engine.shutdown().await;
    }

    #[tokio::test]
    async fn the_place_of_a_phone_that_was_let_in_is_kept_for_it() {
        let engine = engine().await;
        let (peer_id, room, name) = ("owner".to_owned(), "hall".to_owned(), "Hall".to_owned());
        engine.expect_phones(vec![KnownPhone { peer_id, room, name }], false).await;
        assert_eq!(place_of(&engine, "guest").await.id, "hall-2");
        assert_eq!(place_of(&engine, "owner").await.id, "hall");
        engine.shutdown().await;
    }

    #[tokio::test]
    async fn what_was_set_of_a_phone_holds_when_it_comes_again_after_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let known = |name: &str| {
            let (peer_id, room) = ("owner".to_owned(), "door".to_owned());
            vec![KnownPhone { peer_id, room, name: name.to_owned() }]
        };
        let patch = |name: &str| CameraPatch {
            name: Some(Some(name.to_owned())),
            alerts: Some(Some(false)),
            ..CameraPatch::default()
        };
        let engine = engine_in(Some(dir.path().to_owned())).await;
        assert_eq!(place_of(&engine, "a").await.to_api().name, "hall");
        engine.expect_phones(known("Door"), false).await;
        engine.change_camera("hall", patch("Front hall")).await.expect("a change");
        engine.change_camera("door", patch("Back door")).await.expect("a change");
        engine.shutdown().await;

        let engine = engine_in(Some(dir.path().to_owned())).await;
        engine.expect_phones(known("Side door"), true).await;
        let hall = place_of(&engine, "b").await.to_api();
        assert_eq!((&*hall.name, hall.alerts), ("Front hall", false));
        let door = engine.camera("door").expect("it is expected");
        assert_eq!((&*door.name, door.alerts), ("Side door", false), "its name is kept with its key");
        // Back to what it says of itself.
        let nothing = CameraPatch { name: Some(None), alerts: Some(None), ..CameraPatch::default() };
        assert_eq!(engine.change_camera("hall", nothing).await.expect("a change").name, "hall");
        engine.shutdown().await;
        let engine = engine_in(Some(dir.path().to_owned())).await;
        let hall = place_of(&engine, "c").await.to_api();
        assert_eq!((&*hall.name, hall.alerts), ("hall", true));
        engine.shutdown().await;
    }

    #[test]
    fn every_publisher_of_a_room_has_an_id_that_can_be_asked_for() {
        for room in ["r".repeat(64), "r".repeat(63), "hall".to_owned()] {
            let ids: std::collections::HashSet<String> = places(&room).collect();
            assert!(ids.contains(&room) && ids.iter().all(|id| is_id(id)), "{ids:?}");
            assert_eq!(ids.len(), PUBLISHERS);
        }
        assert_eq!(places("hall").nth(1).as_deref(), Some("hall-2"));
        assert!(!is_id("probe") && !is_id("") && !is_id("a.b"));
    }
}
