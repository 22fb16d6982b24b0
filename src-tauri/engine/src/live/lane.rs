//! When the frames of a track are decoded and shown in a page, across breaks of the source.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::silence::Silence;
use crate::fmp4::{DecodeClock, Sample};
use crate::media::{Codec, Frame, TrackInfo, TrackKind, rescale};

/// Nanoseconds: what the lanes of a stream share.
pub(super) const NANOS: u32 = 1_000_000_000;
/// What the frames that were waiting when a stream starts are squeezed into: a page begins at a cached key
/// frame and is at the live edge this much later, without seeking.
const SQUEEZED: i64 = 100_000_000;
/// A frame's stated duration is never longer: the buffer would seem to reach into the future.
const LONGEST: Duration = Duration::from_secs(1);
/// Media time that departs from arrival by more than this is a camera that set its clock.
const CLOCK_SET: i64 = 3_000_000_000;
/// Missing pictures leave a hole that players stop at when it is longer than this; WebKit takes 83 ms.
const HOLE: Duration = Duration::from_millis(60);
/// Distances between frames that are remembered, and how many are enough to speak of a rate.
const PACES: usize = 32;
const ENOUGH: usize = 6;
/// Holes in the sound longer than this stay holes.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// Where the frames of a stretch without breaks belong: the oldest of them at `at`, squeezed up to `edge`,
/// in real time from there on. Nanoseconds; `from` and `edge` are media time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Anchor {
    from: i64,
    edge: i64,
    at: i64,
    squeezed: i64,
}

impl Anchor {
    /// Frames with media times `from..=edge` are there already; the output so far ends at `at`.
    pub(super) fn new(from: i64, edge: i64, at: i64) -> Self {
        let edge = edge.max(from);
        Self { from, edge, at, squeezed: (edge - from).min(SQUEEZED) }
    }
}

/// Where a track's output ended when its parameters changed, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    end: i64,
    decode: i64,
    duration: i64,
}

/// One track of the output.
#[derive(Debug)]
pub(super) struct Lane {
    track: TrackInfo,
    clock: DecodeClock,
    silence: Option<Silence>,
    /// Added to presentation times since the camera set its clock.
    fix: i64,
    /// Newest presentation time (after `fix`) and arrival, to notice that.
    newest: Option<(i64, Instant)>,
    /// Decode time of the newest frame before it was mapped.
    raw: Option<i64>,
    /// Ticks between the newest two frames.
    pace: i64,
    /// That of the newest frames.
    paces: VecDeque<i64>,
    /// The same as the init segment says it, where a player goes by that.
    declared: Option<i64>,
    from: i64,
    edge: i64,
    at: i64,
    squeezed: i64,
    /// Decode time and stated duration of the newest frame in the output.
    last: Option<(i64, i64)>,
    /// Where the newest frame in the output ends.
    end: i64,
}

impl Lane {
    /// A track; `tail` is where the one before it ended.
    pub(super) fn new(track: TrackInfo, tail: Option<Tail>) -> Self {
        let ticks = |nanos| rescale(nanos, NANOS, track.timescale);
        Self {
            clock: DecodeClock::new(track.reorder(), track.timescale),
            silence: Silence::of(&track),
            fix: 0,
            newest: None,
            raw: None,
            pace: usual_pace(&track).max(1),
            paces: VecDeque::with_capacity(PACES),
            declared: None,
            from: 0,
            edge: 0,
            at: 0,
            squeezed: 0,
            last: tail.map(|tail| (ticks(tail.decode), ticks(tail.duration).max(1))),
            end: tail.map_or(0, |tail| ticks(tail.end)),
            track,
        }
    }

    pub(super) fn track(&self) -> &TrackInfo {
        &self.track
    }

    /// What the init segment says about the distance between frames, in ticks.
    pub(super) fn declare(&mut self, pace: i64) {
        self.declared = Some(pace.max(1));
    }

    pub(super) fn declared(&self) -> Option<i64> {
        self.declared
    }

    /// The usual distance between frames, in ticks, once enough of them came.
    pub(super) fn usual(&self) -> Option<i64> {
        (self.paces.len() >= ENOUGH).then(|| median(self.paces.iter().copied().collect()))
    }

    pub(super) fn is_picture(&self) -> bool {
        self.track.kind == TrackKind::Video
    }

    /// How late presentation must start, in nanoseconds.
    pub(super) fn lead(&self) -> i64 {
        rescale(self.clock.lead(), self.track.timescale, NANOS)
    }

    /// Where the output of this track ends so far, in nanoseconds.
    pub(super) fn end(&self) -> i64 {
        rescale(self.end, self.track.timescale, NANOS)
    }

    /// For the track that takes this one's place.
    pub(super) fn tail(&self) -> Option<Tail> {
        let nanos = |ticks| rescale(ticks, self.track.timescale, NANOS);
        let (decode, duration) = self.last?;
        Some(Tail { end: nanos(self.end), decode: nanos(decode), duration: nanos(duration) })
    }

    /// A frame's media time in nanoseconds.
    pub(super) fn media(&self, frame: &Frame) -> i64 {
        rescale(self.pts(frame), self.track.timescale, NANOS)
    }

    /// Presentation time within what nanoseconds can say: a century.
    fn pts(&self, frame: &Frame) -> i64 {
        let most = i64::from(self.track.timescale).saturating_mul(3_000_000_000);
        frame.pts.clamp(-most, most)
    }

    /// Where a media time of now is in the output, both in nanoseconds.
    pub(super) fn shown(&self, frame: &Frame) -> i64 {
        let pts = self.pts(frame).saturating_add(self.fix);
        rescale(self.map(pts), self.track.timescale, NANOS)
    }

    /// A new stretch begins.
    pub(super) fn restart(&mut self, anchor: Anchor) {
        let ticks = |nanos| rescale(nanos, NANOS, self.track.timescale);
        self.from = ticks(anchor.from);
        self.edge = ticks(anchor.edge);
        self.at = ticks(anchor.at);
        self.squeezed = ticks(anchor.squeezed);
        self.fix = 0;
        self.newest = None;
        self.raw = None;
        // A new one: the times of the session before have nothing to do with those of this one.
        self.clock = DecodeClock::new(self.track.reorder(), self.track.timescale);
        if self.last.is_none() {
            self.end = self.at;
        }
    }

    /// Adds the next frame in decode order to `out`, and what silence belongs before it. Sound that is too
    /// old is left out.
    pub(super) fn place(&mut self, frame: &Frame, out: &mut Vec<Sample>) {
        let pts = self.steady(frame);
        let raw = self.clock.stamp(pts);
        if let Some(before) = self.raw.replace(raw.decode) {
            let longest = self.ticks(LONGEST);
            self.pace = raw.decode.saturating_sub(before).clamp(1, longest.max(1));
            if self.paces.len() == PACES {
                self.paces.pop_front();
            }
            self.paces.push_back(self.pace);
        }
        let (shown, decode) = (self.map(pts), self.map(raw.decode));
        if self.is_picture() {
            // A frame with the time of another is shown as long as others are.
            let pace = self.usual().filter(|usual| usual / 2 > self.pace).unwrap_or(self.pace);
            let hole = shown.saturating_sub(self.end);
            let late = self.last.is_some() && self.track.reorder() == 0 && hole > self.ticks(HOLE);
            if late {
                // Nothing was shown in between: this picture is, and the longer.
                self.push(frame, (self.end, self.end, pace.saturating_add(hole)), out);
            } else {
                self.push(frame, (shown, decode, pace), out);
            }
            return;
        }
        if shown < self.at {
            return;
        }
        let Some(packet) = self.silence.as_ref().map(|silence| silence.ticks) else {
            self.push(frame, (shown, shown, self.pace), out);
            return;
        };
        // Where silence was told already, or twice the same.
        if shown.saturating_add(packet / 2) < self.end {
            return;
        }
        self.fill(shown, out);
        let usual = (packet - packet / 4..=packet + packet / 4).contains(&self.pace);
        let length = if usual { self.pace } else { packet };
        // What is left is shorter than a packet: this one is stated to be longer.
        let rest = shown.saturating_sub(self.end);
        if (1..packet).contains(&rest) {
            self.push(frame, (self.end, self.end, length + rest), out);
        } else {
            self.push(frame, (shown, shown, length), out);
        }
    }

    /// Whole packets of silence up to `until` (nanoseconds), where the codec has them.
    pub(super) fn keep_up(&mut self, until: i64, out: &mut Vec<Sample>) {
        self.fill(rescale(until, NANOS, self.track.timescale), out);
    }

    fn fill(&mut self, until: i64, out: &mut Vec<Sample>) {
        let Some(Silence { ticks, data }) = self.silence.clone() else { return };
        if until.saturating_sub(self.end) > self.ticks(LONGEST_SILENCE) {
            return;
        }
        while self.end.saturating_add(ticks) <= until {
            let at = self.end;
            self.put((at, at, ticks), true, data.clone(), out);
        }
    }

    fn push(&mut self, frame: &Frame, times: (i64, i64, i64), out: &mut Vec<Sample>) {
        self.put(times, frame.key, frame.data.clone(), out);
    }

    fn put(
        &mut self,
        (shown, decode, duration): (i64, i64, i64),
        key: bool,
        data: Bytes,
        out: &mut Vec<Sample>,
    ) {
        let mut decode = decode.max(0);
        if let Some((last, stated)) = self.last {
            let duration = self.declared.map_or(stated, |declared| declared.min(stated));
            // Browsers take a decode time more than two durations after the last for a break and wait for
            // the next key frame. Decode times may lie: presentation is kept by the offset.
            decode = decode.clamp(last + 1, (last + 2 * duration - 1).max(last + 1));
        }
        self.last = Some((decode, duration));
        self.end = self.end.max(shown.saturating_add(duration));
        out.push(Sample {
            track: self.track.id,
            decode: u64::try_from(decode).unwrap_or(0),
            duration: u32::try_from(duration).unwrap_or(u32::MAX),
            offset: i32::try_from(shown.saturating_sub(decode)).unwrap_or(0),
            key,
            data,
        });
    }

    fn map(&self, raw: i64) -> i64 {
        // Sound is never played faster: what is too old of it is left out.
        if !self.is_picture() || raw >= self.edge {
            return self.at.saturating_add(self.squeezed).saturating_add(raw.saturating_sub(self.edge));
        }
        if raw <= self.from {
            return self.at.saturating_sub(self.from.saturating_sub(raw));
        }
        let span = i128::from(self.edge) - i128::from(self.from);
        let part = (i128::from(raw) - i128::from(self.from)) * i128::from(self.squeezed) / span.max(1);
        self.at.saturating_add(i64::try_from(part).unwrap_or(0))
    }

    /// The frame's presentation time without the jumps of a camera that sets its clock.
    fn steady(&mut self, frame: &Frame) -> i64 {
        let mut pts = self.pts(frame).saturating_add(self.fix);
        if let Some((newest, arrived)) = self.newest {
            let waited = frame.arrival.saturating_duration_since(arrived).as_nanos();
            let waited = i64::try_from(waited).unwrap_or(i64::MAX);
            let went = rescale(pts.saturating_sub(newest), self.track.timescale, NANOS);
            if went.saturating_sub(waited).saturating_abs() > CLOCK_SET && !(0..CLOCK_SET).contains(&went) {
                let wanted = newest.saturating_add(self.pace);
                self.fix = self.fix.saturating_add(wanted.saturating_sub(pts));
                pts = wanted;
            }
        }
        if self.newest.is_none_or(|(newest, _)| pts >= newest) {
            self.newest = Some((pts, frame.arrival));
        }
        pts
    }

    fn ticks(&self, time: Duration) -> i64 {
        rescale(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX), NANOS, self.track.timescale)
    }
}

/// The usual distance between pictures shown at these times, in the same unit, if there are enough.
pub(super) fn usual_distance(mut times: Vec<i64>) -> Option<i64> {
    times.sort_unstable();
    let distances: Vec<i64> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    (distances.len() >= ENOUGH).then(|| median(distances))
}

/// Of at least one.
fn median(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
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
