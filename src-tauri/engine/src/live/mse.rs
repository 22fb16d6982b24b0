//! A camera as a stream of messages for Media Source Extensions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use super::lane::{Anchor, Lane, NANOS, Tail, usual_distance};
use super::{Plan, Sound};
use crate::fmp4::nal::for_live;
use crate::fmp4::{MuxError, Muxer, Sample};
use crate::hub::{Gap, Slot, Subscriber};
use crate::media::h264::Sps;
use crate::media::{Frame, Parameters, TrackInfo, TrackKind, rescale};

/// Sound waits for a picture to travel with, but no longer than this (nanoseconds of it).
const SOUND_BATCH: i64 = 40_000_000;
/// Nanoseconds that sound may be behind the picture before silence takes its place, as sound has it.
const PATIENCE: std::ops::Range<i64> = 300_000_000..3_000_000_000;
/// Silence that a page is told of (R-K2).
const STALLED_AFTER: Duration = Duration::from_secs(2);
/// Bytes of frames that go into one fragment; a whole ring fits. More stays in the ring for the next one.
const FRAGMENT_BYTES: usize = 16 << 20;

/// What a page gets, in this order: `Mime`, `Init`, fragments; again from `Mime` when parameters change.
#[derive(Clone, Debug, PartialEq)]
pub enum MseMessage {
    /// For `MediaSource.isTypeSupported` and `addSourceBuffer` or `changeType`.
    Mime(String),
    /// The init segment.
    Init(Bytes),
    /// One `moof` and `mdat`.
    Fragment(Bytes),
    /// May come at any place between the others.
    State(MseState),
}

/// What a page should know about the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MseState {
    /// Fragments flow.
    Live,
    /// The source is there and has been silent for two seconds (R-K2); it may go on.
    Stalled,
    /// There is no source now; the stream goes on when it is back.
    SourceLost,
    /// The camera's tracks cannot be played by MSE, for this reason. It goes on when they change.
    NotPlayable(String),
}

impl MseState {
    /// The name in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stalled => "stalled",
            Self::SourceLost => "source_lost",
            Self::NotPlayable(_) => "not_playable",
        }
    }
}

/// The stream of one viewer.
///
/// The output has no holes: after a reconnect, or where a slow viewer skipped frames, decode and
/// presentation times go on where they ended, so a page plays on without seeking; its distance from
/// `buffered.end` is its distance from live. The frames that wait in the hub at a start come at
/// once, their pictures squeezed into a tenth of a second. Times go on across a new `Mime` too.
#[derive(Debug)]
pub struct Mse {
    subscriber: Subscriber,
    wanted: Sound,
    /// At most what one gap and one run of frames give.
    out: VecDeque<MseMessage>,
    stream: Option<Stream>,
    /// Where the output ended when its tracks were replaced.
    tails: Tails,
    told: Option<MseState>,
    /// When the newest frame arrived of what moves: the picture, or sound where that is all there is.
    moved: Instant,
    closed: bool,
}

/// By kind of track; at most one of each.
type Tails = Vec<(TrackKind, Tail)>;

/// A playable set of tracks.
#[derive(Debug)]
struct Stream {
    muxer: Muxer,
    lanes: Vec<Lane>,
    /// The page has the init segment of `muxer`.
    begun: bool,
    /// Frames flow, and the anchor is set.
    running: bool,
    /// Sound that waits for a picture.
    held: Vec<Sample>,
    sound: SoundWatch,
}

/// Whether sound comes.
#[derive(Debug)]
struct SoundWatch {
    /// None comes: silence takes its place up to the newest picture.
    silent: bool,
    /// How far sound may stay behind the picture before that (nanoseconds).
    patience: i64,
}

impl Mse {
    /// A viewer of this camera, beginning at its newest cached key frame.
    #[must_use]
    pub fn new(slot: &Slot, wanted: Sound) -> Self {
        let subscriber = slot.subscribe();
        let tracks = Arc::clone(subscriber.tracks());
        let mut mse = Self {
            subscriber,
            wanted,
            out: VecDeque::new(),
            stream: None,
            tails: Tails::new(),
            told: None,
            moved: Instant::now(),
            closed: false,
        };
        // A source that came before this line is in `tracks`, one that comes after it announces itself.
        if !slot.is_published() {
            mse.tell(MseState::SourceLost);
        }
        if !tracks.is_empty() {
            mse.adopt(&tracks);
        }
        mse
    }

    /// The next message; `None` when the camera was removed. Waits for as long as nothing comes.
    ///
    /// Cancel-safe. The caller need not hurry: what it does not take in time is skipped to a key frame.
    pub async fn next(&mut self) -> Option<MseMessage> {
        loop {
            if let Some(message) = self.out.pop_front() {
                return Some(message);
            }
            if self.closed {
                return None;
            }
            let flows = self.told == Some(MseState::Live);
            let item = tokio::select! {
                biased;
                item = self.subscriber.next() => item,
                () = sleep_until(self.moved + STALLED_AFTER), if flows => {
                    self.tell(MseState::Stalled);
                    continue;
                }
            };
            match item {
                Ok(frame) => self.run(frame),
                Err(gap) => self.gap(gap),
            }
        }
    }

    /// Takes a frame and all that came with it.
    fn run(&mut self, first: Arc<Frame>) {
        let mut bytes = first.data.len();
        let mut frames = vec![first];
        let mut gap = None;
        while bytes < FRAGMENT_BYTES && gap.is_none() {
            match self.subscriber.try_next() {
                Some(Ok(frame)) => {
                    bytes += frame.data.len();
                    frames.push(frame);
                }
                Some(Err(found)) => gap = Some(found),
                None => break,
            }
        }
        if let Some(stream) = &mut self.stream {
            let moved = stream.moved(&frames);
            self.moved = moved.map_or(self.moved, |at| at.max(self.moved));
            match stream.run(&frames) {
                Ok(messages) => {
                    // Sound alone does not make a picture move again.
                    if !messages.is_empty() && (moved.is_some() || self.told != Some(MseState::Stalled)) {
                        self.tell(MseState::Live);
                    }
                    self.out.extend(messages);
                }
                Err(error) => warn!(%error, "frames left out of a live stream"),
            }
        }
        if let Some(gap) = gap {
            self.gap(gap);
        }
    }

    fn gap(&mut self, gap: Gap) {
        match self.stream.as_mut().map(Stream::pause) {
            Some(Ok(messages)) => self.out.extend(messages),
            Some(Err(error)) => warn!(%error, "sound left out of a live stream"),
            None => {}
        }
        match gap {
            Gap::Skipped { frames } => debug!(frames, "a viewer was too slow"),
            Gap::TracksChanged(tracks) => self.adopt(&tracks),
            Gap::SourceLost => self.tell(MseState::SourceLost),
            Gap::Closed => self.closed = true,
        }
    }

    /// These tracks from now on.
    fn adopt(&mut self, tracks: &[TrackInfo]) {
        let mut plan = Plan::of(tracks);
        if self.wanted == Sound::Off {
            plan.mute();
        }
        if let Some(stream) = &self.stream {
            if stream.plays(&plan.carried) {
                return;
            }
            self.tails = stream.tails();
        }
        self.stream = None;
        match plan.muxer() {
            Ok(muxer) => {
                self.out.push_back(MseMessage::Mime(muxer.mime()));
                self.stream = Some(Stream::new(muxer, plan.carried, &self.tails));
            }
            // Parameters that come in band come with the first key frame, and new tracks with them.
            Err(_) if plan.left_out.iter().any(|left| left.pending) => {}
            Err(error) => self.tell(MseState::NotPlayable(error.reason)),
        }
    }

    fn tell(&mut self, state: MseState) {
        if self.told.as_ref() != Some(&state) {
            self.told = Some(state.clone());
            self.out.push_back(MseMessage::State(state));
        }
    }
}

impl Stream {
    /// These tracks, after those of `before`.
    fn new(muxer: Muxer, tracks: Vec<TrackInfo>, before: &Tails) -> Self {
        let lanes = tracks
            .into_iter()
            .map(|track| {
                let tail = before.iter().find(|(kind, _)| *kind == track.kind).map(|(_, tail)| *tail);
                Lane::new(track, tail)
            })
            .collect();
        let sound = SoundWatch { silent: false, patience: PATIENCE.start };
        Self { muxer, lanes, begun: false, running: false, held: Vec::new(), sound }
    }

    /// Whether these tracks need no other init segment.
    fn plays(&self, tracks: &[TrackInfo]) -> bool {
        let same = |a: &TrackInfo, b: &TrackInfo| {
            (a.id, a.codec, a.timescale, &a.parameters) == (b.id, b.codec, b.timescale, &b.parameters)
        };
        self.lanes.len() == tracks.len() && self.lanes.iter().zip(tracks).all(|(a, b)| same(a.track(), b))
    }

    /// When the newest of these frames arrived that the stream is judged by.
    fn moved(&self, frames: &[Arc<Frame>]) -> Option<Instant> {
        let leader = self.lanes.iter().find(|lane| lane.is_picture()).or(self.lanes.first())?;
        let own = frames.iter().filter(|frame| frame.track == leader.track().id);
        own.map(|frame| frame.arrival).max()
    }

    fn tails(&self) -> Tails {
        self.lanes.iter().filter_map(|lane| Some((lane.track().kind, lane.tail()?))).collect()
    }

    /// What comes next does not follow what came last. Gives the sound that still waited.
    fn pause(&mut self) -> Result<Vec<MseMessage>, MuxError> {
        self.running = false;
        let held = std::mem::take(&mut self.held);
        if held.is_empty() { Ok(Vec::new()) } else { Ok(vec![self.mux(&held)?]) }
    }

    fn mux(&mut self, samples: &[Sample]) -> Result<MseMessage, MuxError> {
        self.muxer.fragment(samples).map(|fragment| MseMessage::Fragment(fragment.to_bytes()))
    }

    /// Frames that came together: one fragment, at a start two; none while there is nothing to show or to
    /// send. The init segment before them, where one is due.
    fn run(&mut self, frames: &[Arc<Frame>]) -> Result<Vec<MseMessage>, MuxError> {
        let starts = !self.running;
        let mut messages = Vec::new();
        let frames = if starts {
            let Some(frames) = self.start(frames) else { return Ok(messages) };
            frames
        } else {
            frames
        };
        self.begin(frames, starts, &mut messages)?;
        let newest = self.lanes.iter().find(|lane| lane.is_picture()).map(Lane::end);
        let mut pictures = false;
        for frame in frames {
            let Some(lane) = self.lanes.iter_mut().find(|lane| lane.track().id == frame.track) else {
                continue;
            };
            if lane.is_picture() {
                pictures = true;
            } else if let Some(newest) = newest {
                let late = newest.saturating_sub(lane.shown(frame));
                self.sound.heard(late);
            }
            lane.place(frame, &mut self.held);
        }
        if pictures {
            self.keep_sound_up();
        }
        if self.held.is_empty() || !(pictures || self.sound_held() >= SOUND_BATCH) {
            return Ok(messages);
        }
        let held = std::mem::take(&mut self.held);
        // GStreamer's demuxer takes a frame rate from the first fragment unless that has a single sample.
        let (alone, rest) = held.split_at(usize::from(starts));
        for part in [alone, rest].into_iter().filter(|part| !part.is_empty()) {
            messages.push(self.mux(part)?);
        }
        Ok(messages)
    }

    /// The init segment, when none was sent yet or when it says a frame rate that is not the camera's.
    ///
    /// WebKitGTK shows a picture of H.264 for as long as the rate in its SPS says, or 20 ms without one, and
    /// whatever the fragments say: it stops in the holes of a camera that is slower, and waits for a key
    /// frame. So the SPS of a live stream says what the camera does.
    fn begin(
        &mut self,
        frames: &[Arc<Frame>],
        starts: bool,
        messages: &mut Vec<MseMessage>,
    ) -> Result<(), MuxError> {
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.is_picture()) else {
            if !self.begun {
                self.begun = true;
                messages.push(MseMessage::Init(self.muxer.init()?));
            }
            return Ok(());
        };
        let mut pictures = frames.iter().filter(|frame| frame.track == lane.track().id);
        // A new init segment must come before a key frame.
        let at_key = pictures.clone().next().is_some_and(|frame| frame.key);
        if self.begun && !at_key {
            return Ok(());
        }
        let seen = if starts {
            usual_distance(pictures.by_ref().map(|frame| frame.pts).collect())
        } else {
            lane.usual()
        };
        let track = lane.track().clone();
        let Parameters::H264 { sps, .. } = &track.parameters else {
            if !self.begun {
                self.begun = true;
                messages.push(MseMessage::Init(self.muxer.init()?));
            }
            return Ok(());
        };
        let told = lane.declared().or_else(|| declared_pace(sps, track.timescale));
        let pace = match (told, seen) {
            (Some(told), Some(seen)) if differ(told, seen) => seen,
            (Some(told), _) => told,
            (None, Some(seen)) => seen,
            (None, None) => i64::from(track.timescale / 25),
        };
        if self.begun && lane.declared() == Some(pace) {
            return Ok(());
        }
        lane.declare(pace);
        let reorder = track.reorder();
        let mut tracks: Vec<TrackInfo> = self.muxer.tracks().cloned().collect();
        for track in &mut tracks {
            if let Parameters::H264 { sps: written, .. } = &mut track.parameters {
                let units = u32::try_from(pace).unwrap_or(u32::MAX);
                if let Some(rated) = for_live(sps, (units, track.timescale.saturating_mul(2)), reorder) {
                    *written = rated.into();
                }
            }
        }
        self.muxer = Muxer::new(&tracks)?;
        if self.begun {
            messages.push(MseMessage::Mime(self.muxer.mime()));
        }
        self.begun = true;
        messages.push(MseMessage::Init(self.muxer.init()?));
        Ok(())
    }

    /// Where no sound comes, silence does: a page shows no picture whose sound is missing.
    fn keep_sound_up(&mut self) {
        let Some(newest) = self.lanes.iter().find(|lane| lane.is_picture()).map(Lane::end) else { return };
        for lane in self.lanes.iter_mut().filter(|lane| !lane.is_picture()) {
            if newest.saturating_sub(lane.end()) > self.sound.patience {
                self.sound.silent = true;
            }
            if self.sound.silent {
                lane.keep_up(newest, &mut self.held);
            }
        }
    }

    /// Sets the anchor at the first frame that can be shown, and gives the frames from there on.
    fn start<'a>(&mut self, frames: &'a [Arc<Frame>]) -> Option<&'a [Arc<Frame>]> {
        // The picture leads where there is one; sound that comes before it is not played.
        let leader = self.lanes.iter().find(|lane| lane.is_picture()).or(self.lanes.first())?;
        let lead = leader.track().id;
        let first = frames.iter().position(|frame| frame.track == lead && frame.key)?;
        let frames = frames.get(first..)?;
        let times = frames.iter().filter(|frame| frame.track == lead).map(|frame| leader.media(frame));
        let (from, edge) =
            times.fold((i64::MAX, i64::MIN), |(low, high), time| (low.min(time), high.max(time)));
        let earliest = self.lanes.iter().map(Lane::lead).fold(0, i64::max);
        let at = leader.end().max(earliest);
        for lane in &mut self.lanes {
            lane.restart(Anchor::new(from, edge, at));
        }
        // Seconds of pictures without sound: none will come.
        let heard = frames.iter().any(|frame| frame.track != lead);
        self.sound.silent = !heard && edge.saturating_sub(from) > self.sound.patience;
        self.running = true;
        Some(frames)
    }

    /// Nanoseconds of sound that wait.
    fn sound_held(&self) -> i64 {
        let lengths = self.held.iter().filter_map(|sample| {
            let lane = self.lanes.iter().find(|lane| lane.track().id == sample.track)?;
            Some(rescale(i64::from(sample.duration), lane.track().timescale, NANOS))
        });
        lengths.sum()
    }
}

/// Ticks between frames as an SPS says it.
fn declared_pace(sps: &[u8], timescale: u32) -> Option<i64> {
    let (units, scale) = Sps::parse(sps)?.vui?.rate?;
    let pace = rescale(i64::from(units).saturating_mul(2), (scale > 0).then_some(scale)?, timescale);
    (pace > 0).then_some(pace)
}

/// Too far apart for a player that goes by the one.
fn differ(told: i64, seen: i64) -> bool {
    seen > 0
        && (seen.saturating_mul(2) > told.saturating_mul(3)
            || told.saturating_mul(2) > seen.saturating_mul(3))
}

impl SoundWatch {
    /// Sound came that belongs this long before the newest picture (nanoseconds).
    fn heard(&mut self, late: i64) {
        self.silent = false;
        // Cameras whose sound is always late are waited for; a little more, for it varies.
        self.patience = late.saturating_add(PATIENCE.start).clamp(PATIENCE.start, PATIENCE.end);
    }
}
