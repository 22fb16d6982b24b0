//! One zero for the tracks of a session, from what cameras tell of it.
//!
//! A camera that names the start of each track in its answer to PLAY is believed as far as arrival bears
//! it out; otherwise a track starts where its first frame arrived. A camera whose clock steps while it
//! plays is put back on the line that arrival draws.
//!
//! Sound is sampled by another crystal than the one that stamps the pictures, and many cameras name starts that
//! are a frame apart. So pictures are led after the sound, whose times stay as they are: a tick more or less is
//! seen by nobody and heard by everybody. How far they are apart is said by the sender reports of both (RFC 3550
//! 6.4.1), as long as these count time as it passes; where they do not, the delays of the least delayed frames
//! of some seconds are compared, which the network shifts together.
//!
//! A camera whose pictures are stamped at a wrong pace (many count frames that they do not send) is timed by
//! arrival: a person looks for the moment when something was seen. Pure: time comes in with each frame.

use std::time::Duration;

use tokio::time::Instant;

use crate::media::{TrackKind, rescale};

/// How far a camera's own account of the start may lie from arrival.
const CREDIBLE_START: Duration = Duration::from_secs(5);
/// How far media time may run from arrival between two frames of a track. A network that comes back
/// after its longest tolerated gap stays below it.
const CREDIBLE_STEP: Duration = Duration::from_secs(10);
/// Delays are compared over the present window and the one before. The first tells nothing: many cameras begin
/// with what they have kept.
const WINDOW: Duration = Duration::from_secs(5);
/// Time that runs faster or slower than arrival by this part in two windows in a row is not what it says it is.
const ASTRAY: f64 = 0.05;
/// The two agree if they differ by less than this part.
const ALIKE: f64 = 0.2;
/// No camera is further off.
const PACES: std::ops::RangeInclusive<f64> = 0.02..=50.0;
/// Pictures without sound may be so far from arrival, in nanoseconds: networks and encoders are.
const BY_ARRIVAL: i64 = 250_000_000;
/// Reports that are older say nothing of now.
const REPORTED: Duration = Duration::from_secs(60);
/// Picture and sound may be this far apart before anything is done, in nanoseconds: half of what is seen. Less
/// would follow the delays of encoders.
const IN_STEP: i64 = 20_000_000;
/// Once something is done, they are led together up to this, in nanoseconds.
const TOGETHER: i64 = 1_000_000;
/// Pictures and sound are never this far apart, in nanoseconds: whoever says so is wrong.
const CREDIBLE_APART: i64 = 1_000_000_000;
/// What is too much is taken back by this part with each picture.
const GENTLY: i64 = 8;
/// The most by which a picture is moved against the one before, in nanoseconds, and as a part of the time since
/// then: pictures stay in order, and the pace stays one.
const NUDGE: i64 = 5_000_000;
const NUDGE_PART: i64 = 25;
/// Crystals are off by less than one part in this many. Sound that is further off is not followed: it counts what
/// it got, not time, and pictures belong to the moment when they were seen.
const CRYSTAL: i64 = 1_000;
const NANOS: u32 = 1_000_000_000;

/// Media times of one session.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    /// The tracks' first RTP times as the camera named them.
    named: Vec<u32>,
    tracks: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    kind: TrackKind,
    /// Ticks per second.
    rate: u32,
    /// Where the camera's ticks are stretched from, and by how much: 1 unless its pace is wrong.
    from: i64,
    stretch: f64,
    /// Added to the camera's ticks; set by the first frame.
    offset: Option<i64>,
    last: Option<(i64, Instant)>,
    reports: Reports,
    delay: Delay,
    pace: Pace,
    /// By how much later than sound pictures come while they are in step, in nanoseconds.
    apart: Option<i64>,
    /// By how much later than their times they come, where there is no sound to go by.
    alone: Option<i64>,
    /// The delay of the first frame.
    began: i64,
    /// It is being led.
    led: bool,
}

impl Line {
    /// The camera's ticks at the pace of arrival.
    fn counted(&self, elapsed: i64) -> i64 {
        if self.stretch == 1.0 {
            return elapsed;
        }
        let stretched = elapsed.saturating_sub(self.from) as f64 * self.stretch;
        self.from.saturating_add(stretched.round() as i64)
    }

    /// Times pass so much faster from here on. What they are behind by now (`delay`) is made good at once; `sound` is
    /// how late the first of it came.
    fn turn(&mut self, elapsed: i64, pts: i64, by: f64, delay: i64, sound: Option<i64>) {
        let stretch = self.stretch * by;
        if !PACES.contains(&stretch) {
            return;
        }
        (self.from, self.stretch) = (elapsed, stretch);
        let behind = delay.saturating_sub(self.began).max(0);
        let made_good = rescale(behind, NANOS, self.rate);
        self.offset = Some(pts.saturating_sub(elapsed).saturating_add(made_good));
        (self.delay, self.pace) = (Delay::default(), Pace::default());
        self.alone = Some(self.began);
        self.apart = sound.map(|sound| self.began.saturating_sub(sound));
    }

    /// Moves what follows by so many nanoseconds.
    fn shift(&mut self, by: i64) {
        let by = rescale(by, NANOS, self.rate);
        self.offset = self.offset.map(|offset| offset.saturating_add(by));
        self.delay.shift(rescale(by, self.rate, NANOS));
    }
}

/// How much faster than a track's time arrival passes.
#[derive(Debug, Default)]
struct Pace {
    since: Option<(Instant, i64)>,
    /// In the newest whole window, and in the one before.
    ratios: [Option<f64>; 2],
}

impl Pace {
    /// Whether a window is whole now.
    fn note(&mut self, media: i64, at: Instant) -> bool {
        let (since, from) = *self.since.get_or_insert((at, media));
        let passed = at.saturating_duration_since(since);
        if passed < WINDOW {
            return false;
        }
        let counted = media.saturating_sub(from);
        let ratio = (counted > 0).then(|| ticks(passed, NANOS) as f64 / counted as f64);
        (self.since, self.ratios) = (Some((at, media)), [ratio, self.ratios[0]]);
        true
    }

    /// It ran as it should, as far as is known.
    fn is_even(&self) -> bool {
        self.ratios[0].is_none_or(|ratio| (ratio - 1.0).abs() <= ASTRAY)
    }

    /// The wrong pace that it keeps.
    fn astray(&self) -> Option<f64> {
        let [Some(newest), Some(before)] = self.ratios else { return None };
        let off = |ratio: f64| (ratio - 1.0).abs() > ASTRAY;
        let both = off(newest) && off(before) && (newest / before - 1.0).abs() < ALIKE;
        both.then(|| f64::midpoint(newest, before))
    }
}

/// A sender report: the camera's time of day and the track's time, both in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Report {
    wall: i64,
    /// As the camera counts, without an offset of ours.
    media: i64,
    arrival: Instant,
}

/// What the camera reports of a track.
#[derive(Debug, Default)]
struct Reports {
    first: Option<Report>,
    newest: Option<Report>,
    /// They did not count time as it passes.
    wrong: bool,
}

impl Reports {
    fn note(&mut self, report: Report) {
        let first = *self.first.get_or_insert(report);
        let passed = ticks(report.arrival.saturating_duration_since(first.arrival), NANOS);
        let steady = |now: i64, then: i64| {
            let allowed = ticks(CREDIBLE_START, NANOS).saturating_add(passed / 100);
            now.saturating_sub(then).abs_diff(passed) <= allowed.unsigned_abs()
        };
        self.wrong |= !(steady(report.wall, first.wall) && steady(report.media, first.media));
        self.newest = Some(report);
    }

    /// How far the track's time is ahead of the camera's time of day, in nanoseconds.
    fn ahead(&self, now: Instant) -> Option<i64> {
        let fresh = |report: &Report| now.saturating_duration_since(report.arrival) <= REPORTED;
        let report = self.newest.filter(|report| !self.wrong && fresh(report))?;
        Some(report.media.saturating_sub(report.wall))
    }
}

/// The least delay of a track's frames lately: by how many nanoseconds arrival is past their times.
#[derive(Debug, Default)]
struct Delay {
    window: Option<(Instant, i64)>,
    /// Of the window before; `None` while that was the first.
    before: Option<i64>,
    warm: bool,
}

impl Delay {
    fn note(&mut self, delay: i64, at: Instant) {
        match &mut self.window {
            Some((since, least)) if at.saturating_duration_since(*since) < WINDOW => {
                *least = delay.min(*least);
            }
            Some((since, least)) => {
                // After a silence it begins anew.
                self.warm &= at.saturating_duration_since(*since) < 2 * WINDOW;
                self.before = self.warm.then_some(*least);
                self.warm = true;
                self.window = Some((at, delay));
            }
            None => self.window = Some((at, delay)),
        }
    }

    fn least(&self, now: Instant) -> Option<i64> {
        let (since, least) = self.window?;
        let fresh = now.saturating_duration_since(since) < 2 * WINDOW;
        self.before.filter(|_| fresh).map(|before| before.min(least))
    }

    /// The track's times are moved on by so much.
    fn shift(&mut self, by: i64) {
        if let Some((_, least)) = &mut self.window {
            *least = least.saturating_sub(by);
        }
        self.before = self.before.map(|least| least.saturating_sub(by));
    }
}

impl Clock {
    /// A session that began playing at `start`, its tracks by their kind and ticks per second.
    pub(super) fn new(
        start: Instant,
        named: Vec<u32>,
        tracks: impl IntoIterator<Item = (TrackKind, u32)>,
    ) -> Self {
        let line = |(kind, rate): (TrackKind, u32)| Line {
            kind,
            rate: rate.max(1),
            from: 0,
            stretch: 1.0,
            offset: None,
            last: None,
            reports: Reports::default(),
            delay: Delay::default(),
            pace: Pace::default(),
            apart: None,
            alone: None,
            began: 0,
            led: false,
        };
        Self { start, named, tracks: tracks.into_iter().map(line).collect() }
    }

    /// A sender report: at `wall`, in units of 2⁻³² s (RFC 3550 section 4), the track was at `elapsed`, counted as
    /// for [`Clock::place`].
    pub(super) fn report(&mut self, track: usize, elapsed: i64, wall: u64, arrival: Instant) {
        let Some(line) = self.tracks.get_mut(track) else { return };
        // The camera knows no time of day (RFC 3550 6.4.1).
        if wall == 0 {
            return;
        }
        let wall = (u128::from(wall) * u128::from(NANOS)) >> 32;
        let wall = i64::try_from(wall).unwrap_or(i64::MAX);
        line.reports.note(Report { wall, media: rescale(elapsed, line.rate, NANOS), arrival });
    }

    /// The time of a frame in ticks since the session's start. `elapsed` counts from `first`, the RTP time
    /// that the client took for the track's start.
    pub(super) fn place(&mut self, track: usize, elapsed: i64, first: u32, arrival: Instant) -> i64 {
        let since_start = arrival.saturating_duration_since(self.start);
        let Some(line) = self.tracks.get(track) else { return elapsed };
        let (kind, rate) = (line.kind, line.rate);
        let offset = line.offset.unwrap_or_else(|| {
            let told = self.named.contains(&first);
            let since_start = ticks(since_start, rate);
            let credible = elapsed.abs_diff(since_start) <= ticks(CREDIBLE_START, rate).unsigned_abs();
            let offset = if told && credible { 0 } else { since_start.saturating_sub(elapsed) };
            let late = (kind == TrackKind::Video).then(|| self.reported(track, offset, arrival)).flatten();
            offset.saturating_add(rescale(late.unwrap_or(0), NANOS, rate))
        });
        let Some(line) = self.tracks.get_mut(track) else { return elapsed };
        line.offset = Some(offset);
        let counted = line.counted(elapsed);
        let mut pts = counted.saturating_add(offset);
        let mut passed = Duration::ZERO;
        if let Some((last, arrived)) = line.last {
            passed = arrival.saturating_duration_since(arrived);
            let passed = ticks(passed, line.rate);
            let step = pts.saturating_sub(last);
            if step.abs_diff(passed) > ticks(CREDIBLE_STEP, line.rate).unsigned_abs() {
                pts = last.saturating_add(passed.max(1));
                line.offset = Some(pts.saturating_sub(counted));
                // They are of another time.
                (line.reports.first, line.reports.newest) = (None, None);
            }
        }
        let media = rescale(pts, line.rate, NANOS);
        let delay = ticks(since_start, NANOS).saturating_sub(media);
        if line.last.replace((pts, arrival)).is_none() {
            line.began = delay;
        }
        line.delay.note(delay, arrival);
        let whole = line.pace.note(media, arrival);
        if kind == TrackKind::Video {
            // What slows both down is the network; without sound nobody can tell.
            let heard = |sound: &Line| {
                sound.last.is_some_and(|(_, at)| arrival.saturating_duration_since(at) < WINDOW)
            };
            let alone = self.sound().is_some_and(|sound| sound.pace.is_even() && heard(sound));
            let sound = self.sound().filter(|sound| sound.last.is_some()).map(|sound| sound.began);
            if let Some(line) = self.tracks.get_mut(track)
                && let Some(by) = line.pace.astray().filter(|_| whole && alone)
            {
                line.turn(elapsed, pts, by, delay, sound);
            }
            self.lead(track, passed, arrival);
        }
        pts
    }

    fn sound(&self) -> Option<&Line> {
        self.tracks.iter().find(|line| line.kind == TrackKind::Audio)
    }

    /// By how many nanoseconds the pictures of a track, which has this offset, are to be moved on by what the
    /// camera reports.
    fn reported(&self, track: usize, offset: i64, now: Instant) -> Option<i64> {
        let (sound, picture) = (self.sound()?, self.tracks.get(track)?);
        // Sound whose start is named will begin there.
        let begun = sound.offset.or((!self.named.is_empty()).then_some(0))?;
        let at = |line: &Line, offset: i64| {
            Some(line.reports.ahead(now)?.saturating_add(rescale(offset, line.rate, NANOS)))
        };
        let late = at(sound, begun)?.saturating_sub(at(picture, offset)?);
        (late.saturating_abs() <= CREDIBLE_APART).then_some(late)
    }

    /// Moves the pictures that follow towards the sound; where there is none to go by, towards arrival.
    fn lead(&mut self, track: usize, passed: Duration, now: Instant) {
        let even = self.tracks.get(track).is_some_and(|line| line.pace.is_even());
        let drift = CREDIBLE_APART + ticks(now.saturating_duration_since(self.start), NANOS) / CRYSTAL;
        let sound = match self.sound().and_then(|line| Some((line, line.delay.least(now)?))) {
            Some((line, delay)) if delay.saturating_sub(line.began).saturating_abs() > drift => return,
            Some((line, delay)) if line.pace.is_even() => Some(delay),
            // What slows both down is the network; it passes. Sound that is off alone is not to be followed.
            Some((line, _)) if !even || line.pace.astray().is_none() => return,
            _ => None,
        };
        let offset = self.tracks.get(track).filter(|line| line.stretch == 1.0).and_then(|line| line.offset);
        let reported = offset.and_then(|offset| self.reported(track, offset, now));
        let Some(line) = self.tracks.get_mut(track) else { return };
        let picture = line.delay.least(now);
        let (late, allowed) = match (reported, sound, picture) {
            (Some(late), ..) => {
                (line.apart, line.alone) = (None, None);
                (late, IN_STEP)
            }
            (None, Some(sound), Some(picture)) => {
                line.alone = None;
                let apart = picture.saturating_sub(sound);
                (apart.saturating_sub(*line.apart.get_or_insert(apart)), IN_STEP)
            }
            (None, None, Some(picture)) if line.stretch != 1.0 => {
                (picture.saturating_sub(*line.alone.get_or_insert(picture)), BY_ARRIVAL)
            }
            _ => return,
        };
        line.led = late.saturating_abs() > if line.led { TOGETHER } else { allowed };
        if line.led {
            let most = NUDGE.min(ticks(passed, NANOS) / NUDGE_PART);
            line.shift((late / GENTLY).clamp(-most, most));
        }
    }
}

fn ticks(duration: Duration, rate: u32) -> i64 {
    i64::try_from(duration.as_micros() * u128::from(rate) / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
