//! When the frames of a track are decoded and shown in a page, across breaks of the source.

use std::time::Duration;

use tokio::time::Instant;

use crate::fmp4::DecodeClock;
use crate::media::{Frame, TrackInfo, rescale};

/// Nanoseconds: what the lanes of a stream share.
pub(super) const NANOS: u32 = 1_000_000_000;
/// What the frames that were waiting when a stream starts are squeezed into: a page begins at a cached key
/// frame and is at the live edge this much later, without seeking.
const SQUEEZED: i64 = 100_000_000;
/// A frame's stated duration is never longer: the buffer would seem to reach into the future.
const LONGEST: Duration = Duration::from_secs(1);
/// Media time that departs from arrival by more than this is a camera that set its clock.
const CLOCK_SET: i64 = 3_000_000_000;

/// A frame's place in the output, in ticks of its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) decode: u64,
    pub(super) duration: u32,
    pub(super) offset: i32,
}

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

/// One track of the output.
#[derive(Debug)]
pub(super) struct Lane {
    timescale: u32,
    clock: DecodeClock,
    /// The picture is squeezed; sound is never played faster, what is too old of it is left out.
    squeezes: bool,
    /// Added to presentation times since the camera set its clock.
    fix: i64,
    /// Newest presentation time (after `fix`) and arrival, to notice that.
    newest: Option<(i64, Instant)>,
    /// Decode time of the newest frame before it was placed.
    raw: Option<i64>,
    /// Ticks between the newest two frames.
    pace: i64,
    from: i64,
    edge: i64,
    at: i64,
    squeezed: i64,
    /// Decode time and stated duration of the newest frame in the output.
    last: Option<(i64, i64)>,
    /// Where the newest picture in the output ends.
    end: i64,
}

impl Lane {
    pub(super) fn new(track: &TrackInfo, squeezes: bool, first_pace: i64) -> Self {
        Self {
            timescale: track.timescale,
            clock: DecodeClock::new(track.reorder(), track.timescale),
            squeezes,
            fix: 0,
            newest: None,
            raw: None,
            pace: first_pace.max(1),
            from: 0,
            edge: 0,
            at: 0,
            squeezed: 0,
            last: None,
            end: 0,
        }
    }

    /// How late presentation must start, in nanoseconds.
    pub(super) fn lead(&self) -> i64 {
        rescale(self.clock.lead(), self.timescale, NANOS)
    }

    /// Where the output of this track ends so far, in nanoseconds.
    pub(super) fn end(&self) -> i64 {
        rescale(self.end, self.timescale, NANOS)
    }

    /// A frame's media time in nanoseconds.
    pub(super) fn media(&self, frame: &Frame) -> i64 {
        rescale(frame.pts, self.timescale, NANOS)
    }

    /// A new stretch begins.
    pub(super) fn restart(&mut self, anchor: Anchor) {
        let ticks = |nanos| rescale(nanos, NANOS, self.timescale);
        self.from = ticks(anchor.from);
        self.edge = ticks(anchor.edge);
        self.at = ticks(anchor.at);
        self.squeezed = ticks(anchor.squeezed);
        self.fix = 0;
        self.newest = None;
        self.raw = None;
        self.clock.restart();
    }

    /// Places the next frame in decode order; `None` for sound that is too old.
    pub(super) fn place(&mut self, frame: &Frame) -> Option<Placed> {
        let pts = self.steady(frame);
        let raw = self.clock.stamp(pts);
        if let Some(before) = self.raw.replace(raw.decode) {
            let longest = rescale(i64::try_from(LONGEST.as_nanos()).unwrap_or(0), NANOS, self.timescale);
            self.pace = raw.decode.saturating_sub(before).clamp(1, longest.max(1));
        }
        let shown = self.map(pts);
        if !self.squeezes && shown < self.at {
            return None;
        }
        let mut decode = self.map(raw.decode).max(0);
        if let Some((last, duration)) = self.last {
            // Browsers take a decode time more than two durations after the last for a break and wait for
            // the next key frame. Decode times may lie: presentation is kept by the offset.
            decode = decode.clamp(last + 1, (last + 2 * duration - 1).max(last + 1));
        }
        self.last = Some((decode, self.pace));
        self.end = self.end.max(shown.saturating_add(self.pace));
        Some(Placed {
            decode: u64::try_from(decode).unwrap_or(0),
            duration: u32::try_from(self.pace).unwrap_or(u32::MAX),
            offset: i32::try_from(shown - decode).unwrap_or(0),
        })
    }

    /// The decode times inside a fragment speak for themselves: the duration of a frame is the distance to
    /// its successor there.
    pub(super) fn map(&self, raw: i64) -> i64 {
        if !self.squeezes || raw >= self.edge {
            return self.at.saturating_add(self.squeezed).saturating_add(raw.saturating_sub(self.edge));
        }
        if raw <= self.from {
            return self.at.saturating_sub(self.from.saturating_sub(raw));
        }
        // Both are within one stretch of a ring: far from overflow once checked against each other.
        let span = i128::from(self.edge) - i128::from(self.from);
        let part = (i128::from(raw) - i128::from(self.from)) * i128::from(self.squeezed) / span.max(1);
        self.at.saturating_add(i64::try_from(part).unwrap_or(0))
    }

    /// The frame's presentation time without the jumps of a camera that sets its clock.
    fn steady(&mut self, frame: &Frame) -> i64 {
        let mut pts = frame.pts.saturating_add(self.fix);
        if let Some((newest, arrived)) = self.newest {
            let waited = frame.arrival.saturating_duration_since(arrived).as_nanos();
            let waited = i64::try_from(waited).unwrap_or(i64::MAX);
            let went = rescale(pts.saturating_sub(newest), self.timescale, NANOS);
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
}
