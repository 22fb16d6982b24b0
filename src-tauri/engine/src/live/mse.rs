//! A camera as a stream of messages for Media Source Extensions.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tracing::{debug, warn};

use super::Plan;
use super::lane::{Anchor, Lane, NANOS};
use crate::fmp4::{MuxError, Muxer, Sample};
use crate::hub::{Gap, Slot, Subscriber};
use crate::media::{Codec, Frame, TrackInfo, TrackKind, rescale};

/// Sound waits for a picture to travel with, but no longer than this (nanoseconds of it).
const SOUND_BATCH: i64 = 40_000_000;
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
            Self::SourceLost => "source_lost",
            Self::NotPlayable(_) => "not_playable",
        }
    }
}

/// The stream of one viewer.
///
/// The output has no holes: after a reconnect, or where a slow viewer skipped frames, decode and
/// presentation times go on where they ended, so a page plays on without seeking; its distance from
/// `buffered.end` is its distance from live. The frames that wait in the hub at a start come as one
/// fragment whose pictures are squeezed into a tenth of a second. Times go on across a new `Mime` too.
#[derive(Debug)]
pub struct Mse {
    subscriber: Subscriber,
    /// At most one gap's messages and a fragment.
    out: VecDeque<MseMessage>,
    stream: Option<Stream>,
    /// Where the output ended when its tracks were replaced, in nanoseconds.
    end: i64,
    told: Option<MseState>,
    closed: bool,
}

/// A playable set of tracks.
#[derive(Debug)]
struct Stream {
    muxer: Muxer,
    lanes: Vec<(TrackInfo, Lane)>,
    /// Frames flow, and the anchor is set.
    running: bool,
    /// Sound that waits for a picture.
    held: Vec<Sample>,
    /// Where the output of the tracks before these ended; no decode time is earlier.
    floor: i64,
}

impl Mse {
    /// A viewer of this camera, beginning at its newest cached key frame.
    #[must_use]
    pub fn new(slot: &Slot) -> Self {
        let subscriber = slot.subscribe();
        let tracks = Arc::clone(subscriber.tracks());
        let mut mse =
            Self { subscriber, out: VecDeque::new(), stream: None, end: 0, told: None, closed: false };
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
            match self.subscriber.next().await {
                Ok(frame) => self.run(frame),
                Err(gap) => self.gap(gap),
            }
        }
    }

    /// Frames that wait in the hub because the caller was slow.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.subscriber.behind()
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
            match stream.fragment(&frames) {
                Some(Ok(fragment)) => {
                    self.tell(MseState::Live);
                    self.out.push_back(MseMessage::Fragment(fragment));
                }
                Some(Err(error)) => warn!(%error, "frames left out of a live stream"),
                None => {}
            }
        }
        if let Some(gap) = gap {
            self.gap(gap);
        }
    }

    fn gap(&mut self, gap: Gap) {
        match self.stream.as_mut().and_then(Stream::pause) {
            Some(Ok(fragment)) => self.out.push_back(MseMessage::Fragment(fragment)),
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
        let plan = Plan::of(tracks);
        if let Some(stream) = &self.stream {
            if stream.plays(&plan.carried) {
                return;
            }
            self.end = self.end.max(stream.end());
        }
        self.stream = None;
        let made = plan.muxer().and_then(|muxer| {
            let init = muxer.init().map_err(|error| super::NotPlayable { reason: error.to_string() })?;
            Ok((muxer, init))
        });
        match made {
            Ok((muxer, init)) => {
                self.out.push_back(MseMessage::Mime(muxer.mime()));
                self.out.push_back(MseMessage::Init(init));
                self.stream = Some(Stream::new(muxer, plan.carried, self.end));
            }
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
    fn new(muxer: Muxer, tracks: Vec<TrackInfo>, floor: i64) -> Self {
        let lanes = tracks
            .into_iter()
            .map(|track| {
                let lane = Lane::new(&track, track.kind == TrackKind::Video, usual_pace(&track));
                (track, lane)
            })
            .collect();
        Self { muxer, lanes, running: false, held: Vec::new(), floor }
    }

    /// Whether these tracks need no other init segment.
    fn plays(&self, tracks: &[TrackInfo]) -> bool {
        let same = |a: &TrackInfo, b: &TrackInfo| {
            (a.id, a.codec, a.timescale, &a.parameters) == (b.id, b.codec, b.timescale, &b.parameters)
        };
        self.lanes.len() == tracks.len() && self.lanes.iter().zip(tracks).all(|((a, _), b)| same(a, b))
    }

    /// Where the output ends, in nanoseconds.
    fn end(&self) -> i64 {
        self.lanes.iter().map(|(_, lane)| lane.end()).fold(self.floor, i64::max)
    }

    /// What comes next does not follow what came last. Gives the sound that still waited.
    fn pause(&mut self) -> Option<Result<Bytes, MuxError>> {
        self.running = false;
        (!self.held.is_empty()).then(|| self.send())
    }

    fn send(&mut self) -> Result<Bytes, MuxError> {
        let samples = std::mem::take(&mut self.held);
        self.muxer.fragment(&samples).map(|fragment| fragment.to_bytes())
    }

    /// Frames that came together, as one fragment. `None` while there is nothing to show or to send.
    fn fragment(&mut self, frames: &[Arc<Frame>]) -> Option<Result<Bytes, MuxError>> {
        let frames = if self.running { frames } else { self.start(frames)? };
        let mut pictures = false;
        for frame in frames {
            let Some((track, lane)) = self.lanes.iter_mut().find(|(track, _)| track.id == frame.track) else {
                continue;
            };
            let Some(placed) = lane.place(frame) else { continue };
            pictures |= track.kind == TrackKind::Video;
            self.held.push(Sample {
                track: frame.track,
                decode: placed.decode,
                duration: placed.duration,
                offset: placed.offset,
                key: frame.key,
                data: frame.data.clone(),
            });
        }
        if self.held.is_empty() || !(pictures || self.sound_held() >= SOUND_BATCH) {
            return None;
        }
        Some(self.send())
    }

    /// Sets the anchor at the first frame that can be shown, and gives the frames from there on.
    fn start<'a>(&mut self, frames: &'a [Arc<Frame>]) -> Option<&'a [Arc<Frame>]> {
        // The picture leads where there is one; sound that comes before it is not played.
        let (lead, lane) = self
            .lanes
            .iter()
            .find(|(track, _)| track.kind == TrackKind::Video)
            .or_else(|| self.lanes.first())?;
        let first = frames.iter().position(|frame| frame.track == lead.id && frame.key)?;
        let frames = frames.get(first..)?;
        let times = frames.iter().filter(|frame| frame.track == lead.id).map(|frame| lane.media(frame));
        let (from, edge) =
            times.fold((i64::MAX, i64::MIN), |(low, high), time| (low.min(time), high.max(time)));
        let lead = self.lanes.iter().map(|(_, lane)| lane.lead()).fold(0, i64::max);
        let at = self.end().max(self.floor + lead);
        let anchor = Anchor::new(from, edge, at);
        for (_, lane) in &mut self.lanes {
            lane.restart(anchor);
        }
        self.running = true;
        Some(frames)
    }

    /// Nanoseconds of sound that wait.
    fn sound_held(&self) -> i64 {
        let lengths = self.held.iter().filter_map(|sample| {
            let (track, _) = self.lanes.iter().find(|(track, _)| track.id == sample.track)?;
            Some(rescale(i64::from(sample.duration), track.timescale, NANOS))
        });
        lengths.sum()
    }
}

/// Ticks between frames until two of them have come.
fn usual_pace(track: &TrackInfo) -> i64 {
    let ticks = |count: u32, rate: u32| rescale(i64::from(count), rate, track.timescale);
    match (track.codec, track.sound()) {
        (Codec::Aac, Some((rate, _))) if rate > 0 => ticks(1_024, rate),
        (_, Some(_)) => ticks(1, 50),
        (_, None) => ticks(1, 25),
    }
}
