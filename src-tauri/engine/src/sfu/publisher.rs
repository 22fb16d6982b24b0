//! What a peer publishes, as a source like any other.
//!
//! A [`Publication`] is the media of one peer connection. A [`Feed`] is a camera's, and outlives its
//! publications: [`PhoneSource`] waits for the first frames of whatever is published there, and a session
//! goes on with the next publication when the phone has built a new connection. Nothing here decides when
//! a phone is dead, see [`crate::retry`]; an end of a connection is silence and no error.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ViewerState;
use super::depacketize::{Depacketizer, Unit};
use super::inlet::{self, Clocking, Delivery, Inlet};
use crate::env::Env;
use crate::media::{Codec, Frame, Parameters, TrackId, TrackInfo, TrackKind, rescale};
use crate::source::{BoxFuture, Session, SessionEvent, SessionStats, Source, SourceError};

/// How long sound alone waits for the picture that was announced with it.
const PICTURE_PATIENCE: Duration = Duration::from_secs(3);
/// Sound and picture are put together anew by the sender's clock when they are further apart than this:
/// the length of a video frame.
const SKEW_MAX: i64 = 40_000_000;
/// No sender's clocks are further apart than this.
const SKEW_BELIEVED: i64 = 10_000_000_000;
const NANOS: u32 = 1_000_000_000;

/// The media of one peer connection. Cheap to clone.
#[derive(Clone)]
pub struct Publication {
    pub(super) id: Uuid,
    pub(super) inlet: Inlet,
    pub(super) state: watch::Receiver<ViewerState>,
    pub(super) over: CancellationToken,
}

/// Figures of a publication.
#[derive(Clone, Copy, Debug)]
pub struct PublicationStats {
    pub state: ViewerState,
    /// RTP packets, each counted once.
    pub packets: u64,
    pub bytes: u64,
    /// Packets given up.
    pub lost: u64,
    /// Packets that came again although nobody missed them.
    pub needless: u64,
    /// Gaps that were filled, and requests for it.
    pub repaired: u64,
    pub asked: u64,
    /// Requests for a picture.
    pub plis: u64,
    /// When the newest media came.
    pub newest: Option<Instant>,
    /// When the newest report came, media or not.
    pub sign: Option<Instant>,
}

impl Publication {
    /// Names it; cannot be guessed.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Waits for the first media, or until the connection is over (false).
    pub async fn arrived(&self) -> bool {
        self.over.run_until_cancelled(self.inlet.arrived()).await.is_some()
    }

    /// Waits until the connection is over.
    pub async fn ended(&self) {
        self.over.cancelled().await;
    }

    /// Waits until the connection has been lost for `patience` without a break. A peer with a line to us
    /// brings it back; for one without a line that is the end.
    pub async fn lost(&self, patience: Duration) {
        let mut state = self.state.clone();
        let away = |state: &ViewerState| *state == ViewerState::Disconnected;
        while state.wait_for(away).await.is_ok() {
            let back = state.wait_for(|state| !away(state));
            if tokio::time::timeout(patience, back).await.is_err() {
                return;
            }
        }
    }

    /// Asks the peer for a key frame; at most one request a second leaves.
    pub fn request_key_frame(&self) {
        self.inlet.want_picture();
    }

    /// Ends its connection.
    pub fn close(&self) {
        self.over.cancel();
    }

    /// As of now.
    #[must_use]
    pub fn stats(&self) -> PublicationStats {
        let inlet::Figures { packets, bytes, lost, needless, repaired, asked, plis, newest, sign } =
            self.inlet.figures();
        PublicationStats {
            state: *self.state.borrow(),
            packets,
            bytes,
            lost,
            needless,
            repaired,
            asked,
            plis,
            newest: newest.map(Instant::from_std),
            sign: sign.map(Instant::from_std),
        }
    }
}

/// Where a camera takes its media from. Cheap to clone.
#[derive(Clone, Default)]
pub struct Feed {
    shared: Arc<Mutex<Fed>>,
}

#[derive(Default)]
struct Fed {
    current: Option<Publication>,
    /// Raised with each change.
    serial: u64,
    /// For the one session that reads.
    waker: Option<Waker>,
}

impl Feed {
    /// Media comes from here from now on.
    pub fn set(&self, publication: Option<Publication>) {
        let mut fed = self.lock();
        fed.current = publication;
        fed.serial += 1;
        if let Some(waker) = fed.waker.take() {
            waker.wake();
        }
    }

    /// Where media comes from.
    #[must_use]
    pub fn current(&self) -> Option<Publication> {
        self.lock().current.clone()
    }

    fn poll_changed(&self, serial: u64, cx: &mut Context<'_>) -> Option<(u64, Option<Publication>)> {
        let mut fed = self.lock();
        if fed.serial != serial {
            return Some((fed.serial, fed.current.clone()));
        }
        fed.waker = Some(cx.waker().clone());
        None
    }

    fn lock(&self) -> MutexGuard<'_, Fed> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A camera whose frames come from a feed.
pub struct PhoneSource {
    feed: Feed,
    env: Env,
}

impl PhoneSource {
    /// A source of what is published to `feed`.
    #[must_use]
    pub fn new(feed: Feed, env: Env) -> Self {
        Self { feed, env }
    }
}

impl Source for PhoneSource {
    /// Waits for the first frames however long it takes: when to call for them is not decided here.
    fn open(&mut self) -> BoxFuture<'_, Result<Box<dyn Session>, SourceError>> {
        Box::pin(async {
            let mut session = PhoneSession::new(self.feed.clone(), self.env.clone());
            session.ready().await;
            Ok(Box::new(session) as Box<dyn Session>)
        })
    }
}

/// An open source.
struct PhoneSession {
    feed: Feed,
    env: Env,
    /// Zero of the frames' times.
    start: Instant,
    serial: u64,
    reader: Option<Reader>,
    video: Option<Track>,
    audio: Option<Track>,
    /// Sound is given out without a picture.
    sound_alone: bool,
    /// The tracks are others than was told. New ones are told right before a key frame: a reader waits
    /// for one after each change.
    stale: bool,
    tracks: Arc<[TrackInfo]>,
    generation: u32,
    lost: u64,
    events: VecDeque<SessionEvent>,
}

/// Reads one publication.
struct Reader {
    publication: Publication,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.publication.inlet.shut();
    }
}

/// One stream of the present publication, or of the last one.
struct Track {
    kind: TrackKind,
    depacketizer: Depacketizer,
    timescale: u32,
    /// What its frames need, as told to the outside.
    told: Option<(Parameters, u32)>,
    /// Of the present publication.
    clock: Option<Clock>,
}

/// From RTP timestamps to the session's time.
struct Clock {
    /// RTP time of the first unit, without wrap, and its place in the session, in nanoseconds.
    first: i64,
    at: i64,
    newest: i64,
}

impl PhoneSession {
    fn new(feed: Feed, env: Env) -> Self {
        Self {
            feed,
            env,
            start: Instant::now(),
            serial: 0,
            reader: None,
            video: None,
            audio: None,
            sound_alone: false,
            stale: false,
            tracks: Arc::from([]),
            generation: 0,
            lost: 0,
            events: VecDeque::new(),
        }
    }

    /// Waits until the tracks are known: with the first key frame, or with sound where no picture comes.
    async fn ready(&mut self) {
        loop {
            let picture = std::future::poll_fn(|cx| self.poll_tracks(cx));
            let Ok(()) = tokio::time::timeout(PICTURE_PATIENCE, picture).await else {
                if self.hears() {
                    self.sound_alone = true;
                    self.announce();
                    break;
                }
                continue;
            };
            break;
        }
        // The tracks are told by `tracks()`.
        self.events.retain(|event| !matches!(event, SessionEvent::Tracks));
    }

    fn poll_tracks(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.tracks.is_empty() {
                return Poll::Ready(());
            }
            if self.poll_delivery(cx).is_pending() {
                let alone =
                    self.reader.as_ref().is_some_and(|r| !r.publication.inlet.expects(TrackKind::Video));
                if self.hears() && alone {
                    self.sound_alone = true;
                    self.announce();
                    return Poll::Ready(());
                }
                return Poll::Pending;
            }
        }
    }

    /// Takes one packet, or the change of the publication.
    fn poll_delivery(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((serial, publication)) = self.feed.poll_changed(self.serial, cx) {
            self.serial = serial;
            // The old one lets go before the new one is read: it may be the same.
            self.reader = None;
            if let Some(publication) = publication {
                self.begin(publication);
            }
            return Poll::Ready(());
        }
        let Some(reader) = &self.reader else { return Poll::Pending };
        let Poll::Ready(delivery) = reader.publication.inlet.poll(cx) else { return Poll::Pending };
        self.take(&delivery);
        Poll::Ready(())
    }

    /// Reads this publication from now on. Its streams have times of their own; what was told of them holds
    /// until they turn out to be different.
    fn begin(&mut self, publication: Publication) {
        publication.inlet.open();
        if let Some(track) = &mut self.video {
            track.restart();
        }
        match publication.inlet.first(TrackKind::Audio) {
            // Sound needs no look at its packets: it is told together with the picture.
            Some(codec) if self.audio.as_ref().is_none_or(|track| track.depacketizer.codec() != codec) => {
                self.audio = Track::new(TrackKind::Audio, codec);
                if let Some(track) = &mut self.audio {
                    track.told = Some((track.depacketizer.parameters().clone(), self.generation));
                    self.generation += 1;
                }
                self.stale = true;
            }
            Some(_) => {
                if let Some(track) = &mut self.audio {
                    track.restart();
                }
            }
            None => self.stale |= self.audio.take().is_some(),
        }
        self.reader = Some(Reader { publication });
    }

    fn hears(&self) -> bool {
        self.audio.as_ref().is_some_and(|track| track.clock.is_some())
    }

    fn take(&mut self, delivery: &Delivery) {
        self.lost += u64::from(delivery.part.lost);
        let side = match delivery.kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        };
        if side.as_ref().is_none_or(|track| track.depacketizer.codec() != delivery.codec) {
            let Some(track) = Track::new(delivery.kind, delivery.codec) else { return };
            *side = Some(track);
        }
        let Some(track) = side else { return };
        let waited = track.depacketizer.waits_for_key();
        track.depacketizer.push(&delivery.part);
        let units: Vec<Unit> = std::iter::from_fn(|| track.depacketizer.pop()).collect();
        // A new connection begins with a key frame by itself: after its first picture it is clear.
        if track.depacketizer.waits_for_key()
            && (delivery.part.marker || delivery.part.lost > 0)
            && let Some(reader) = &self.reader
        {
            if !waited {
                tracing::debug!(tag = "DECODER", "packets were lost: waiting for a key frame");
            }
            reader.publication.inlet.want_picture();
        }
        for unit in units {
            self.give(delivery.kind, Instant::from_std(delivery.at), unit);
        }
    }

    fn give(&mut self, kind: TrackKind, arrival: Instant, unit: Unit) {
        let arrived = nanos(arrival.saturating_duration_since(self.start));
        let skew = if kind == TrackKind::Audio { self.skew() } else { None };
        let side = match kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        };
        let Some(track) = side else { return };
        let parameters = track.depacketizer.parameters();
        let mut changed = false;
        if track.told.as_ref().is_none_or(|(told, _)| told != parameters) {
            track.told = Some((parameters.clone(), self.generation));
            self.generation += 1;
            changed = true;
        }
        let generation = track.told.as_ref().map_or(0, |(_, generation)| *generation);
        let pts = track.time(unit.timestamp, arrived, skew);
        self.stale |= changed;
        if self.stale {
            if (kind == TrackKind::Video && unit.key) || self.sound_alone {
                self.announce();
            } else if let Some(reader) = &self.reader {
                reader.publication.inlet.want_picture();
            }
        }
        let Some(id) = self.id(kind) else { return };
        self.events.push_back(SessionEvent::Frame(Frame {
            track: id,
            pts,
            arrival,
            wall: self.env.wall(),
            key: unit.key,
            generation,
            loss: unit.loss,
            data: unit.data,
            packets: Default::default(),
        }));
    }

    /// The tracks of now, as they are told to the outside.
    fn announce(&mut self) {
        self.stale = false;
        let told = [&self.video, &self.audio].into_iter().flatten().filter_map(|track| {
            let (parameters, generation) = track.told.clone()?;
            Some((track.kind, track.depacketizer.codec(), track.timescale, parameters, generation))
        });
        let tracks = told.zip(0..).map(|((kind, codec, timescale, parameters, generation), id)| TrackInfo {
            id,
            kind,
            codec,
            timescale,
            parameters,
            generation,
            note: None,
        });
        let tracks: Vec<TrackInfo> = tracks.collect();
        if *tracks != *self.tracks {
            self.tracks = tracks.into();
            self.events.push_back(SessionEvent::Tracks);
        }
    }

    fn id(&self, kind: TrackKind) -> Option<TrackId> {
        self.tracks.iter().find(|track| track.kind == kind).map(|track| track.id)
    }

    /// How far sound lies behind the picture where both were placed by their arrival: positive where it
    /// must come later. By the sender's reports.
    fn skew(&self) -> Option<i64> {
        let inlet = &self.reader.as_ref()?.publication.inlet;
        let place = |track: &Option<Track>, kind| {
            let track = track.as_ref()?;
            let clock = track.clock.as_ref()?;
            let (ntp, rtp): Clocking = inlet.clocking(kind)?;
            // Where the session has the moment of the report, and the sender's name for it.
            let ticks = clock.near(rtp) - clock.first;
            let at = clock.at + rescale(ticks, track.timescale, NANOS);
            let ntp = i128::from(ntp >> 32) * i128::from(NANOS)
                + ((i128::from(ntp & 0xffff_ffff) * i128::from(NANOS)) >> 32);
            Some((i128::from(at), ntp))
        };
        let (video, video_ntp) = place(&self.video, TrackKind::Video)?;
        let (audio, audio_ntp) = place(&self.audio, TrackKind::Audio)?;
        let skew = (audio_ntp - video_ntp) - (audio - video);
        i64::try_from(skew).ok().filter(|skew| skew.abs() < SKEW_BELIEVED)
    }
}

impl Session for PhoneSession {
    fn tracks(&self) -> Arc<[TrackInfo]> {
        Arc::clone(&self.tracks)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<SessionEvent, SourceError>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Ok(event));
            }
            if self.poll_delivery(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn request_key_frame(&mut self) {
        if let Some(reader) = &self.reader {
            reader.publication.request_key_frame();
        }
    }

    fn stats(&self) -> SessionStats {
        SessionStats { lost: self.lost, ..SessionStats::default() }
    }
}

impl Track {
    fn new(kind: TrackKind, codec: Codec) -> Option<Self> {
        let timescale = match codec {
            Codec::Opus => 48_000,
            Codec::Pcmu | Codec::Pcma => 8_000,
            _ => 90_000,
        };
        let depacketizer = Depacketizer::new(codec)?;
        Some(Self { kind, depacketizer, timescale, told: None, clock: None })
    }

    /// Another publication begins.
    fn restart(&mut self) {
        if let Some(depacketizer) = Depacketizer::new(self.depacketizer.codec()) {
            self.depacketizer = depacketizer;
        }
        self.clock = None;
    }

    /// Ticks from the session's start. The first unit is where it arrived.
    fn time(&mut self, timestamp: u32, arrived: i64, skew: Option<i64>) -> i64 {
        let clock = self.clock.get_or_insert(Clock {
            first: i64::from(timestamp),
            at: arrived,
            newest: i64::from(timestamp),
        });
        if let Some(skew) = skew.filter(|skew| skew.abs() > SKEW_MAX) {
            clock.at += skew;
        }
        let ticks = clock.near(timestamp);
        clock.newest = clock.newest.max(ticks);
        (ticks - clock.first).saturating_add(rescale(clock.at, NANOS, self.timescale))
    }
}

impl Clock {
    /// A timestamp without its wrap: the nearest to the newest one.
    fn near(&self, timestamp: u32) -> i64 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "timestamps wrap")]
        let newest = self.newest as u32;
        #[allow(clippy::cast_possible_wrap, reason = "the shorter way round")]
        let step = timestamp.wrapping_sub(newest) as i32;
        self.newest + i64::from(step)
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
