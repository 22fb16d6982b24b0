//! One viewer, one task: reads the camera's slot and sends what it gets, until either side is over.
//!
//! A viewer keeps its connection through whatever happens to the source, as long as the codec stays:
//! the same stream, numbers without a hole, times that go on by the time that passed. A slow viewer
//! loses frames in its own subscription and holds up nobody.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use super::agreement::{Agreement, Side, unplayable};
use super::clock::ViewerClock;
use super::outlet::{Burst, Outlet, Route};
use super::packetize;
use super::peer::{Peer, ViewerState};
use crate::hub::{Gap, Slot, Subscriber};
use crate::media::{Codec, Frame, TrackId, TrackInfo, TrackKind};

/// An answer that nobody follows up.
pub(super) const CONNECT: Duration = Duration::from_secs(20);
/// Packets a viewer is sent within a millisecond. A cached group of pictures comes at up to 460 Mbit/s:
/// a browser's socket holds about a hundred packets while its owner is busy elsewhere.
const PACE: usize = 48;
/// Packets that leave together: three batches of the socket's.
const BURST: usize = 24;
/// Bursts in the driver's hands, beyond which its viewer waits. They cost memory there; waiting costs
/// nothing, the ring keeps the rest.
const IN_HAND: usize = 2;
/// A request for a picture is answered from the cache at most this often, and half as often each time.
const REPLAY_FIRST: Duration = Duration::from_secs(1);
const REPLAY_LAST: Duration = Duration::from_secs(16);

/// Why a viewer ended, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Asked,
    Left,
    NeverConnected,
    ConnectionLost,
    CameraRemoved,
    CodecChanged,
}

impl End {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Asked => "closed by its owner",
            Self::Left => "the viewer left",
            Self::NeverConnected => "did not connect",
            Self::ConnectionLost => "connection lost",
            Self::CameraRemoved => "camera removed",
            Self::CodecChanged => "the camera's codec changed",
        }
    }
}

/// The negotiated codecs and their ways.
#[derive(Clone, Debug, Default)]
pub(super) struct Codecs {
    pub(super) video: Vec<(Codec, Route)>,
    pub(super) audio: Vec<(Codec, Route)>,
}

impl Codecs {
    pub(super) fn of(agreement: &Agreement) -> Self {
        let routes = |sides: &[Side]| {
            let routes = sides.iter().map(|(codec, found)| {
                let format = &found.format;
                let (payload_type, clock_rate) = (format.payload_type, format.clock_rate);
                (*codec, Route { payload_type, repair: found.repair, clock_rate })
            });
            routes.collect()
        };
        Self { video: routes(&agreement.video), audio: routes(&agreement.audio) }
    }

    fn route(&self, track: &TrackInfo) -> Option<Route> {
        let routes = match track.kind {
            TrackKind::Video => &self.video,
            TrackKind::Audio => &self.audio,
        };
        routes.iter().find(|(codec, _)| *codec == track.codec).map(|(_, route)| *route)
    }
}

/// What is watched.
#[derive(Clone, Debug)]
pub(super) enum Sight {
    /// One camera, and the end of it is the viewer's end.
    Camera(Slot),
    /// Whatever a room has to show, which changes.
    Room(watch::Receiver<Option<Slot>>),
}

pub(super) struct Viewer {
    /// Its name in logs.
    label: String,
    sight: Sight,
    codecs: Codecs,
    outlet: Outlet,
    waker: Option<Arc<TrackLocalStaticRTP>>,
    clock: ViewerClock,
    pacer: Pacer,
    /// The tracks whose frames are sent.
    video: Option<(TrackInfo, Route)>,
    audio: Option<(TrackInfo, Route)>,
    began: Instant,
    patience: Duration,
}

impl Viewer {
    /// `origin` is the instant of the wall time that the peer's outlet was made with.
    pub(super) fn new(label: &str, sight: Sight, codecs: Codecs, peer: &Peer, origin: Instant) -> Self {
        Self {
            label: label.to_owned(),
            sight,
            codecs,
            outlet: peer.outlet.clone(),
            waker: peer.waker.clone(),
            clock: ViewerClock::new(origin),
            pacer: Pacer { left: PACE, at: origin },
            video: None,
            audio: None,
            began: origin,
            patience: REPLAY_FIRST,
        }
    }

    /// Serves until the end. Leaves the closing of the connection to its caller.
    pub(super) async fn run(mut self, peer: &mut Peer) -> End {
        let over = peer.over.clone();
        {
            let connected = peer.state.wait_for(|state| *state != ViewerState::Connecting);
            let connected = tokio::time::timeout(CONNECT, over.run_until_cancelled(connected)).await;
            if !matches!(connected, Ok(Some(Ok(_)))) {
                return End::NeverConnected;
            }
        }
        let after_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let path = peer.path().await.unwrap_or_default();
        info!(viewer = self.label, after_ms, path, "viewer connected");
        let end = tokio::select! {
            end = over.run_until_cancelled(self.serve()) => end,
            () = peer.left() => Some(End::Left),
        };
        match end {
            Some(end) => end,
            None if *peer.state.borrow() == ViewerState::Closed => End::ConnectionLost,
            None => End::Asked,
        }
    }

    async fn serve(&mut self) -> End {
        let mut room = match self.sight.clone() {
            Sight::Camera(slot) => return self.watch(&slot).await,
            Sight::Room(room) => room,
        };
        loop {
            let slot = room.borrow_and_update().clone();
            let shown = async {
                match &slot {
                    Some(slot) => self.watch(slot).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = room.changed() => {
                    if changed.is_err() {
                        return End::CameraRemoved;
                    }
                }
                end = shown => match end {
                    // Another camera may take its place.
                    End::CameraRemoved | End::CodecChanged => {
                        if room.changed().await.is_err() {
                            return End::CameraRemoved;
                        }
                    }
                    end => return end,
                },
            }
            // What follows has nothing to do with what was shown, the last burst of which may have been cut off.
            self.outlet.announce_all();
            self.clock.source_lost();
            self.clock.catch_up();
        }
    }

    /// Serves one camera.
    async fn watch(&mut self, slot: &Slot) -> End {
        let mut subscriber = slot.subscribe();
        if !self.select(&Arc::clone(subscriber.tracks())) && !self.in_room() {
            return End::CodecChanged;
        }
        if self.in_room() {
            // A phone can make a picture at once.
            slot.request_key_frame();
        }
        self.began = Instant::now();
        loop {
            let item = tokio::select! {
                biased;
                () = self.outlet.picture_wanted() => {
                    if let Some(again) = self.replay(slot) {
                        subscriber = again;
                    }
                    continue;
                }
                item = subscriber.next() => item,
            };
            match item {
                Ok(frame) => {
                    let newest = self.clock.catching_up() && subscriber.behind() == 0;
                    if !self.send(&frame, newest).await {
                        return End::ConnectionLost;
                    }
                }
                Err(Gap::Skipped { frames }) => {
                    debug!(viewer = self.label, frames, "viewer too slow");
                    self.clock.catch_up();
                }
                Err(Gap::TracksChanged(tracks)) => {
                    // Somebody in a room waits for something that it can play.
                    if !self.select(&tracks) && !self.in_room() {
                        return End::CodecChanged;
                    }
                }
                Err(Gap::SourceLost) => self.clock.source_lost(),
                Err(Gap::Closed) => return End::CameraRemoved,
            }
        }
    }

    /// Finds the tracks of the negotiated codecs; false where the picture cannot go on.
    fn select(&mut self, tracks: &[TrackInfo]) -> bool {
        let find = |kind| {
            let first = tracks.iter().find(|track| track.kind == kind && track.carried())?;
            let route = self.codecs.route(first)?;
            (kind == TrackKind::Audio || unplayable(first).is_none()).then(|| (first.clone(), route))
        };
        let (audio, video) = (find(TrackKind::Audio), find(TrackKind::Video));
        (self.audio, self.video) = (audio, video);
        let pictures = tracks.iter().any(|track| track.kind == TrackKind::Video && track.carried());
        let wanted = if self.codecs.video.is_empty() || (self.in_room() && !pictures) {
            &self.audio
        } else {
            &self.video
        };
        // Before the first source there are no tracks: nothing changed yet.
        tracks.is_empty() || wanted.is_some()
    }

    fn in_room(&self) -> bool {
        matches!(self.sight, Sight::Room(_))
    }

    fn track(&self, id: TrackId) -> Option<&(TrackInfo, Route)> {
        [&self.video, &self.audio].into_iter().flatten().find(|(track, _)| track.id == id)
    }

    /// False where the connection takes nothing any more.
    async fn send(&mut self, frame: &Frame, newest: bool) -> bool {
        let Some((track, route)) = self.track(frame.track).cloned() else { return true };
        if !self.outlet.carries(track.kind) {
            return true;
        }
        let Some(at) = self.clock.time(&track, frame, Instant::now(), newest) else { return true };
        let packets = packetize::packets(&track, frame);
        let mut from = 0;
        while from < packets.len() {
            let now = Instant::now();
            let count = self.pacer.take(BURST.min(packets.len() - from), now);
            if count == 0 {
                tokio::time::sleep_until(self.pacer.next()).await;
                continue;
            }
            let burst = Burst {
                kind: track.kind,
                route,
                at,
                packets: Arc::clone(&packets),
                part: from..from + count,
                key: frame.key,
            };
            from += count;
            // An empty packet passes the driver's channel and ends at the outlet, which then has its turn.
            self.outlet.push(burst);
            let Some(waker) = &self.waker else { return false };
            if waker.write_rtcp(Vec::new()).await.is_err() {
                return false;
            }
            if self.outlet.in_hand() > IN_HAND {
                self.outlet.drained().await;
            }
        }
        true
    }

    /// The viewer lost its picture. A phone can make a new one; what is cached helps at once.
    fn replay(&mut self, slot: &Slot) -> Option<Subscriber> {
        slot.request_key_frame();
        let since = self.began.elapsed();
        if since < self.patience || self.clock.catching_up() || !slot.is_published() {
            return None;
        }
        self.patience =
            if since > 2 * REPLAY_LAST { REPLAY_FIRST } else { (self.patience * 2).min(REPLAY_LAST) };
        let subscriber = slot.subscribe();
        if !self.select(&Arc::clone(subscriber.tracks())) {
            // The old subscription will tell.
            return None;
        }
        debug!(viewer = self.label, "picture asked for, replayed");
        self.began = Instant::now();
        self.clock.catch_up();
        Some(subscriber)
    }
}

/// At most [`PACE`] packets a millisecond.
#[derive(Debug)]
struct Pacer {
    left: usize,
    at: Instant,
}

impl Pacer {
    /// How many of `wanted` may go now.
    fn take(&mut self, wanted: usize, now: Instant) -> usize {
        if now.saturating_duration_since(self.at) >= Duration::from_millis(1) {
            self.at = now;
            self.left = PACE;
        }
        let count = wanted.min(self.left);
        self.left -= count;
        count
    }

    /// When more may go.
    fn next(&self) -> Instant {
        self.at + Duration::from_millis(1)
    }
}
