//! A phone as a camera: whose it is, what it publishes, and what is done when its pictures stop.
//!
//! One task a phone looks at [`Ladder`] and carries out what it says; the frames themselves go through the
//! camera's supervisor like anybody's. Invariants: a camera has one owner at a time; a connection makes way
//! for the next one of the same phone only when that one has brought media, so that nothing is lost by
//! trying.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::entry::Entry;
use super::link::{Capture, PeerCard, PhoneState, PhoneStats, SignalLink, Stage, ToPeer, Why};
use crate::api::PhoneHealth;
use crate::env::Env;
use crate::retry::{Facts, Ladder, Note, Rung};
use crate::sfu::{Call, Feed, ViewerState};
use crate::source::{SourceError, SourceErrorCode as Code};

/// Somebody else may take the place of an owner without frames for this long.
const TAKEOVER: Duration = Duration::from_secs(2);
/// So long an offer may take to bring its first media, over whatever way; nobody takes its place meanwhile.
const CONNECT: Duration = Duration::from_secs(10);
/// How long somebody who sends is listened to before another publisher is taken for a second one.
pub(super) const LISTEN: Duration = Duration::from_millis(300);
/// A phone of the older systems without signaling and without frames is taken off the wall after this long.
const LINGER: Duration = Duration::from_secs(600);
/// Phones make key frames when they are asked to: asked this often, new viewers start at once and files
/// can begin.
const KEY_EVERY: Duration = Duration::from_secs(6);
/// Pace of the status for the phone.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// Reports of the phone older than this say nothing about now.
const REPORT: Duration = Duration::from_secs(5);
/// Nothing heard of a connection for this long: it carries nothing.
const MUTE: Duration = Duration::from_secs(3);

/// What a phone's camera knows beyond what every camera knows.
pub(super) struct Phone {
    pub(super) room: String,
    pub(super) feed: Feed,
    env: Env,
    /// Something changed that its task wants to know. One permit.
    woken: Notify,
    state: Mutex<State>,
}

struct State {
    owner: Owner,
    /// Media comes from here.
    current: Option<Arc<Call>>,
    /// It was answered and has not brought media yet.
    next: Option<Arc<Call>>,
    offers: u64,
    offered: Instant,
    /// It was offered, or is about to be, and has brought no media yet.
    awaited: bool,
    /// Its owner was let in: the place is kept for it.
    known: bool,
    said: PhoneState,
    counted: Option<(Instant, PhoneStats)>,
    trouble: Option<SourceError>,
    retry_at: Option<Instant>,
    stage: Stage,
    /// Its camera's supervisor was told to let go.
    rests: bool,
}

/// Whoever publishes.
struct Owner {
    card: PeerCard,
    link: Option<Arc<dyn SignalLink>>,
    generation: u32,
    /// Its signaling is there.
    here: bool,
}

impl Phone {
    pub(super) fn new(card: PeerCard, link: Option<Arc<dyn SignalLink>>, env: Env) -> Self {
        let room = card.room.clone();
        let state = State {
            owner: Owner { card, link, generation: 0, here: true },
            current: None,
            next: None,
            offers: 0,
            offered: Instant::now(),
            awaited: true,
            known: false,
            said: PhoneState::default(),
            counted: None,
            trouble: None,
            retry_at: None,
            stage: Stage::Waiting,
            rests: true,
        };
        Self { room, feed: Feed::default(), env, woken: Notify::new(), state: Mutex::new(state) }
    }

    /// One that was let in and is not here.
    pub(super) fn away(card: PeerCard, env: Env) -> Self {
        let phone = Self::new(card, None, env);
        {
            let mut state = phone.state();
            (state.owner.here, state.awaited, state.known) = (false, false, true);
        }
        phone
    }

    /// Keeps the place for its owner alone.
    pub(super) fn keep(&self) {
        self.state().known = true;
    }

    /// Whether its owner was let in.
    pub(super) fn is_known(&self) -> bool {
        self.state().known
    }

    /// Whether its signaling is there.
    pub(super) fn is_here(&self) -> bool {
        self.state().owner.here
    }

    /// By what its owner joined.
    pub(super) fn owner(&self) -> String {
        self.state().owner.card.peer_id.clone()
    }

    /// The time of day.
    pub(super) fn wall(&self) -> SystemTime {
        self.env.wall()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this peer is its owner.
    pub(super) fn is_of(&self, peer_id: &str) -> bool {
        self.state().owner.card.peer_id == peer_id
    }

    /// Whether another peer may take its place: its owner went, or gives no frames.
    pub(super) fn is_free(&self, frame: Option<Instant>) -> bool {
        let state = self.state();
        let silent = frame.is_none_or(|at| at.elapsed() >= TAKEOVER);
        let given_up = silent && !state.settles() && state.offered.elapsed() >= TAKEOVER;
        !state.known && (!state.owner.here || given_up)
    }

    #[cfg(test)]
    pub(super) fn settled(&self) {
        self.state().awaited = false;
    }

    /// For a closer look at whether anything comes of it, as its connection may be closed without our knowing
    /// yet: what came so far. `None` where its place is not to be had anyway.
    pub(super) fn heard(&self) -> Option<u64> {
        let state = self.state();
        if state.known || state.settles() {
            return None;
        }
        let call = state.current.as_ref().or(state.next.as_ref());
        Some(call.and_then(|call| call.publication()).map_or(0, |publication| publication.stats().packets))
    }

    /// The place is this peer's from now on; its connection follows.
    pub(super) fn claim(&self, card: &PeerCard, link: Option<Arc<dyn SignalLink>>) {
        let mut state = self.state();
        let same = state.owner.card.peer_id == card.peer_id;
        let generation = if same { state.owner.generation } else { 0 };
        state.owner = Owner { card: card.clone(), link, generation, here: true };
        state.offered = Instant::now();
        state.awaited = true;
    }

    /// Takes a connection that was answered just now.
    pub(super) fn adopt(
        self: &Arc<Self>,
        card: &PeerCard,
        link: Option<Arc<dyn SignalLink>>,
        generation: u32,
        call: &Arc<Call>,
        said: Option<PhoneState>,
    ) {
        let Some(publication) = call.publication().cloned() else { return };
        let replaced = {
            let mut state = self.state();
            state.owner = Owner { card: card.clone(), link, generation, here: true };
            state.offers += 1;
            state.offered = Instant::now();
            state.awaited = true;
            // Its battery is as full as it said before, here or on its way in.
            if let Some(said) = said {
                state.said = said;
            }
            state.said.capture = Capture::Live;
            state.said.why = None;
            state.counted = None;
            state.next.replace(Arc::clone(call))
        };
        if let Some(replaced) = replaced {
            replaced.close();
        }
        self.woken.notify_one();
        let (phone, call) = (Arc::clone(self), Arc::clone(call));
        // It ends with the call.
        tokio::spawn(async move {
            if publication.arrived().await {
                phone.promote(&call);
            }
        });
    }

    /// Another round of negotiation on the same connection.
    pub(super) fn renewed(&self, generation: u32) {
        let mut state = self.state();
        state.owner.generation = generation;
        state.offers += 1;
        drop(state);
        self.woken.notify_one();
    }

    fn promote(&self, call: &Arc<Call>) {
        let replaced = {
            let mut state = self.state();
            if !state.next.as_ref().is_some_and(|next| Arc::ptr_eq(next, call)) {
                return;
            }
            state.next = None;
            state.awaited = false;
            state.current.replace(Arc::clone(call))
        };
        self.feed.set(call.publication().cloned());
        if let Some(replaced) = replaced {
            replaced.close();
        }
    }

    /// The owner's signaling is gone.
    pub(super) fn abandoned(&self, peer_id: &str) {
        let mut state = self.state();
        if state.owner.card.peer_id == peer_id {
            state.owner.here = false;
            state.owner.link = None;
        }
        drop(state);
        self.woken.notify_one();
    }

    /// Ends what it publishes.
    pub(super) fn end(&self) {
        let calls = {
            let mut state = self.state();
            state.owner.here = false;
            state.owner.link = None;
            [state.current.take(), state.next.take()]
        };
        self.feed.set(None);
        calls.into_iter().flatten().for_each(|call| call.close());
    }

    /// Says that its camera's supervisor rests, or does not; tells how it was.
    pub(super) fn set_rests(&self, rests: bool) -> bool {
        let was = std::mem::replace(&mut self.state().rests, rests);
        self.woken.notify_one();
        was
    }

    /// Waits until its camera rests no more; whether it did rest.
    async fn rested(&self) -> bool {
        let mut rested = false;
        loop {
            let woken = self.woken.notified();
            if !self.state().rests {
                return rested;
            }
            rested = true;
            woken.await;
        }
    }

    /// A person wants another try now.
    pub(super) fn retry(&self) {
        let (link, generation) = {
            let state = self.state();
            (state.owner.link.clone(), state.owner.generation)
        };
        if let Some(link) = link {
            info!(tag = "RECONNECT", "a person asks for another try: commanding a new connection");
            link.send(ToPeer::Reconnect { generation, reason: "A person asks for it".to_owned() });
        }
    }

    /// Its camera was removed.
    pub(super) fn dismiss(&self, reason: &str) {
        let link = self.state().owner.link.clone();
        if let Some(link) = link {
            link.send(ToPeer::Bye { reason: reason.to_owned() });
        }
        self.end();
    }

    pub(super) fn says(&self, peer_id: &str, said: PhoneState) {
        let mut state = self.state();
        if state.owner.card.peer_id == peer_id && state.owner.generation == said.generation {
            state.said = said;
        }
        drop(state);
        self.woken.notify_one();
    }

    pub(super) fn counts(&self, peer_id: &str, counted: PhoneStats) {
        let mut state = self.state();
        if state.owner.card.peer_id == peer_id && state.owner.generation == counted.generation {
            state.counted = Some((Instant::now(), counted));
        }
    }

    /// How it fares, where it said so and is here.
    pub(super) fn health(&self) -> Option<PhoneHealth> {
        let state = self.state();
        let PhoneState { battery, charging, hot, thrift, ref net, .. } = state.said;
        let health = PhoneHealth { battery, charging, hot, thrift, net: net.clone() };
        (state.owner.here && health != PhoneHealth::default()).then_some(health)
    }

    /// What is wrong, and when the next command is due.
    pub(super) fn trouble(&self) -> (Option<SourceError>, Option<Instant>) {
        let state = self.state();
        (state.trouble.clone(), state.retry_at)
    }
}

impl State {
    /// It may still be on its way to its first media.
    fn settles(&self) -> bool {
        let patience = if self.current.is_some() { TAKEOVER } else { CONNECT };
        self.awaited && self.owner.here && self.offered.elapsed() < patience
    }

    fn facts(&self, frame: Option<Instant>) -> Facts {
        Facts {
            frame,
            offers: self.offers,
            offered: self.offered,
            reachable: self.owner.here && self.owner.link.is_some(),
            talks: !self.owner.card.legacy,
            paused: self.said.capture == Capture::Paused,
            agreed: self.agreed(),
        }
    }

    /// Both ends' figures say that the connection carries nothing.
    fn agreed(&self) -> bool {
        let report = self.counted.as_ref().filter(|(at, _)| at.elapsed() < REPORT);
        report.is_some_and(|(_, counted)| counted.resp == 0) && self.mute()
    }

    /// Nothing comes from the connection, neither media nor reports.
    fn mute(&self) -> bool {
        let stats = self.current.as_ref().and_then(|call| call.publication()).map(|p| p.stats());
        stats.is_none_or(|stats| {
            let newest = stats.newest.max(stats.sign);
            newest.is_none_or(|at| at.elapsed() >= MUTE) || stats.state != ViewerState::Connected
        })
    }

    /// Which of phone, relay and network is at fault, and what to do (R-P11).
    fn diagnose(&self, frame: Option<Instant>) -> SourceError {
        let stats = self.current.as_ref().or(self.next.as_ref()).and_then(|call| call.publication());
        let packets = stats.map(super::super::sfu::Publication::stats);
        let media = packets.and_then(|stats| stats.newest).is_some_and(|at| at.elapsed() < MUTE);
        let (code, detail) = match self.said.capture {
            Capture::Paused => match self.said.why {
                Some(Why::Locked) => {
                    (Code::PausedLocked, "The phone's screen is locked. Unlock it to go on.")
                }
                Some(Why::Call) => {
                    (Code::PausedCall, "A call takes the phone's camera. It comes back when the call ends.")
                }
                Some(Why::Pressure) => {
                    (Code::PausedPressure, "The phone is too hot or short of memory. Let it cool down.")
                }
                Some(Why::Hidden) => (
                    Code::PausedHidden,
                    "Another app is in front on the phone. Bring Nightjar back to the front.",
                ),
                Some(Why::User) | None => (Code::Paused, "The phone's camera was paused. Resume it there."),
            },
            _ if media && frame.is_none_or(|at| at.elapsed() >= MUTE) => (
                Code::NoKeyFrame,
                "Data arrives from the phone, but no complete picture. A new one was asked for; the network loses \
                 too much, or the phone's encoder hangs.",
            ),
            Capture::Ended => (
                Code::CaptureStopped,
                "The phone's camera was taken away from the app. Open the app on the phone and allow the camera.",
            ),
            Capture::Live if !self.mute() => (
                Code::CaptureStopped,
                "The phone is connected but its camera gives no pictures. Look whether the app on the phone is \
                 open and no other app uses the camera.",
            ),
            Capture::Live if self.owner.here && self.owner.link.is_some() => (
                Code::PathDead,
                "The phone answers, but its pictures do not get through: the network between the phone and this \
                 computer is at fault. Check the phone's Wi-Fi, or whether it changed the network.",
            ),
            Capture::Live => (
                Code::PhoneGone,
                "Nothing is heard of the phone: the app was closed, the phone is off, or it has no network. Open \
                 the app on the phone again.",
            ),
        };
        SourceError::new(code, detail)
    }
}

/// What is wrong with a phone that was let in and is not here. Nobody is alarmed by it: phones come and go.
pub(super) fn away() -> SourceError {
    SourceError::new(Code::PhoneGone, "The phone is not connected. Open Nightjar on it.")
}

/// Watches over a phone until its camera goes. `remove` takes the camera off the wall.
/// It may find that the phone came back.
pub(super) async fn watch<F: Future<Output = ()> + Send>(
    phone: Arc<Phone>,
    entry: Arc<Entry>,
    remove: impl Fn() -> F + Send,
) {
    let mut rng = phone.env.rng();
    let stop = entry.stop().clone();
    let mut ladder = Ladder::new(Instant::now());
    let (mut told, mut keyed) = (Instant::now(), Instant::now());
    let mut health = None;
    let status = &entry.main.status;
    loop {
        let rested = tokio::select! {
            () = stop.cancelled() => return,
            rested = phone.rested() => rested,
        };
        let now = Instant::now();
        if rested {
            ladder = Ladder::new(now);
        }
        let frame = status.get().last_frame;
        let (verdict, facts, link, generation, changed, over) = {
            let mut state = phone.state();
            let facts = state.facts(frame);
            let verdict = ladder.look(now, &facts, &mut rng);
            let calm = matches!(verdict.stage, Stage::Live | Stage::Waiting);
            // Before this nothing can be told apart.
            let clear = facts.paused || fed(&facts).elapsed() >= MUTE;
            let trouble = (!calm && clear).then(|| state.diagnose(frame));
            let changed = trouble != state.trouble || verdict.stage != state.stage;
            if let (true, Some(trouble)) = (trouble != state.trouble, &trouble) {
                info!(tag = "RECONNECT", code = %trouble.code, stage = verdict.stage.name(), "{}", trouble.detail);
            }
            state.trouble = trouble;
            state.stage = verdict.stage;
            state.retry_at = verdict.retry_at;
            let forgotten = state.owner.card.legacy && !state.owner.here && fed(&facts).elapsed() >= LINGER;
            (verdict, facts, state.owner.link.clone(), state.owner.generation, changed, forgotten)
        };
        if over {
            info!(tag = "RECONNECT", "the phone did not come back");
            remove().await;
        }
        // Where nobody could be told, it is no news that nobody obeyed.
        if let Some(note) = verdict.note.filter(|note| link.is_some() || !matches!(note, Note::Failed { .. }))
        {
            log(note);
        }
        if let Some(rung) = verdict.rung {
            let silence = fed(&facts).elapsed();
            act(&phone, rung, generation, silence, link.as_deref());
        }
        let fares = phone.health();
        if changed || fares != health {
            health = fares;
            status.touch();
        }
        if changed || now.saturating_duration_since(told) >= STATUS_EVERY {
            told = now;
            if let Some(link) = link.filter(|_| facts.talks) {
                let stats = phone.feed.current().map(|publication| publication.stats());
                link.send(ToPeer::MediaStatus {
                    generation,
                    packets: stats.map_or(0, |stats| stats.packets),
                    frames: status.get().frames,
                    last_frame_ms: frame
                        .map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)),
                    stage: verdict.stage,
                });
            }
        }
        if now.saturating_duration_since(keyed) >= KEY_EVERY {
            keyed = now;
            entry.main.slot.request_key_frame();
        }
        let next = verdict
            .look_at
            .min(told + STATUS_EVERY)
            .min(keyed + KEY_EVERY)
            .max(now + Duration::from_millis(20));
        tokio::select! {
            () = stop.cancelled() => return,
            () = phone.woken.notified() => {}
            // Whoever comes wants a picture now.
            () = entry.main.slot.subscribers_changed() => entry.main.slot.request_key_frame(),
            () = tokio::time::sleep_until(next) => {}
        }
    }
}

/// When there was life last: a frame, or an offer that promised one.
fn fed(facts: &Facts) -> Instant {
    facts.frame.map_or(facts.offered, |frame| frame.max(facts.offered))
}

fn act(phone: &Phone, rung: Rung, generation: u32, silence: Duration, link: Option<&dyn SignalLink>) {
    let silent_ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
    let reason = format!("No frames for {}s", silence.as_secs());
    match (rung, link) {
        (Rung::KeyFrame, _) => {
            info!(tag = "RECONNECT", rung = "key_frame", silent_ms, "no frames: asking for a key frame");
            if let Some(publication) = phone.feed.current() {
                publication.request_key_frame();
            }
        }
        (Rung::Capture, Some(link)) => {
            info!(
                tag = "RECONNECT",
                rung = "capture",
                silent_ms,
                "no frames: asking for a restart of the camera"
            );
            link.send(ToPeer::RestartCapture { generation, reason });
        }
        (Rung::Reconnect { attempt }, Some(link)) => {
            warn!(
                tag = "RECONNECT",
                rung = "reconnect",
                attempt,
                silent_ms,
                "no frames: commanding a new connection"
            );
            link.send(ToPeer::Reconnect { generation, reason });
        }
        (_, None) => debug!(tag = "RECONNECT", "there is nobody to tell"),
    }
}

fn log(note: Note) {
    match note {
        Note::Warning { failure, seconds } => {
            warn!(tag = "RECONNECT", failure, seconds, "no frames");
        }
        Note::Recovered { after } => {
            let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            info!(tag = "RECONNECT", after_ms, "frames again, resuming monitoring");
        }
        Note::Failed { why, next } => {
            warn!(tag = "RECONNECT", next_s = next.as_secs(), "the attempt failed: {}", why.words());
        }
        Note::CameBack => info!(tag = "RECONNECT", "the phone came back by itself"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::PeerRole;
    use super::*;

    #[derive(Default)]
    struct Said(Mutex<Vec<ToPeer>>);

    impl SignalLink for Said {
        fn send(&self, message: ToPeer) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        }
    }

    #[tokio::test]
    async fn r_p3_the_request_for_a_new_connection_says_for_how_long_no_frames_came() {
        let said = Arc::new(Said::default());
        let (peer_id, room) = ("p".to_owned(), "hall".to_owned());
        let card = PeerCard { peer_id, room, role: PeerRole::Publisher, name: None, legacy: true };
        let link = Arc::clone(&said) as Arc<dyn SignalLink>;
        let phone = Phone::new(card, Some(Arc::clone(&link)), Env::system());
        let silence = Duration::from_millis(11_300);
        let reconnect = Rung::Reconnect { attempt: 1 };
        act(&phone, reconnect, 7, silence, Some(&*link));
        // The rung below it is for the connection's own way, and nobody can be told without a link.
        act(&phone, Rung::KeyFrame, 7, silence, Some(&*link));
        act(&phone, reconnect, 7, silence, None);
        let reason = "No frames for 11s".to_owned();
        let told = std::mem::take(&mut *said.0.lock().expect("whole"));
        assert_eq!(told, [ToPeer::Reconnect { generation: 7, reason }]);
    }
}
