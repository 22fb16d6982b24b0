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
//! of some seconds are compared, which the network shifts together. Pure: time comes in with each frame.

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
/// Reports that are older say nothing of now.
const REPORTED: Duration = Duration::from_secs(60);
/// What reports say is believed once they counted time as it passes for this long.
const PROVEN: Duration = Duration::from_secs(2);
/// Picture and sound may be this far apart before anything is done, in nanoseconds: half of what is seen. Less
/// would follow the delays of encoders.
const IN_STEP: i64 = 20_000_000;
/// Once something is done, they are led together up to this, in nanoseconds.
const TOGETHER: i64 = 1_000_000;
/// Pictures and sound are never this far apart, in nanoseconds: whoever says so is wrong.
const CREDIBLE_APART: i64 = 1_000_000_000;
/// What is too much is taken back by this part with each picture.
const GENTLY: i64 = 8;
/// The most by which a picture is moved against the one before, in nanoseconds: pictures stay in order.
const NUDGE: i64 = 5_000_000;
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
    /// Added to the camera's ticks; set by the first frame.
    offset: Option<i64>,
    last: Option<(i64, Instant)>,
    reports: Reports,
    delay: Delay,
    /// By how much later than sound pictures come while they are in step, in nanoseconds.
    apart: Option<i64>,
    /// It is being led to the sound.
    led: bool,
    /// By how much it was led in all, in nanoseconds.
    moved: i64,
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
            now.saturating_sub(then).abs_diff(passed)
                <= CREDIBLE_APART.unsigned_abs() + passed.unsigned_abs() / 100
        };
        self.wrong |= !(steady(report.wall, first.wall) && steady(report.media, first.media));
        self.newest = Some(report);
    }

    /// How far the track's time is ahead of the camera's time of day, in nanoseconds.
    fn ahead(&self, now: Instant) -> Option<i64> {
        let fresh = |report: &Report| now.saturating_duration_since(report.arrival) <= REPORTED;
        let report = self.newest.filter(|report| !self.wrong && fresh(report))?;
        let shown = report.arrival.saturating_duration_since(self.first?.arrival);
        (shown >= PROVEN).then_some(())?;
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
            offset: None,
            last: None,
            reports: Reports::default(),
            delay: Delay::default(),
            apart: None,
            led: false,
            moved: 0,
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
        let mut pts = elapsed.saturating_add(offset);
        if let Some((last, arrived)) = line.last {
            let passed = ticks(arrival.saturating_duration_since(arrived), line.rate);
            let step = pts.saturating_sub(last);
            if step.abs_diff(passed) > ticks(CREDIBLE_STEP, line.rate).unsigned_abs() {
                pts = last.saturating_add(passed.max(1));
                line.offset = Some(pts.saturating_sub(elapsed));
                // They are of another time.
                (line.reports.first, line.reports.newest) = (None, None);
            }
        }
        line.last = Some((pts, arrival));
        let delay = ticks(since_start, NANOS).saturating_sub(rescale(pts, line.rate, NANOS));
        line.delay.note(delay, arrival);
        if kind == TrackKind::Video {
            self.lead(track, arrival);
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

    /// Moves the pictures that follow towards the sound.
    fn lead(&mut self, track: usize, now: Instant) {
        let sound = self.sound().and_then(|line| line.delay.least(now));
        let offset = self.tracks.get(track).and_then(|line| line.offset);
        let reported = offset.and_then(|offset| self.reported(track, offset, now));
        let Some(line) = self.tracks.get_mut(track) else { return };
        let late = match (reported, sound, line.delay.least(now)) {
            (Some(late), ..) => {
                line.apart = None;
                late
            }
            (None, Some(sound), Some(picture)) => {
                let apart = picture.saturating_sub(sound);
                apart.saturating_sub(*line.apart.get_or_insert(apart))
            }
            _ => return,
        };
        line.led = late.saturating_abs() > if line.led { TOGETHER } else { IN_STEP };
        if line.led {
            let most = CREDIBLE_APART + ticks(now.saturating_duration_since(self.start), NANOS) / CRYSTAL;
            let nudge = (late / GENTLY).clamp(-NUDGE, NUDGE);
            let nudge = (line.moved + nudge).clamp(-most, most) - line.moved;
            line.moved += nudge;
            let nudge = rescale(nudge, NANOS, line.rate);
            line.offset = line.offset.map(|offset| offset.saturating_add(nudge));
            line.delay.shift(rescale(nudge, line.rate, NANOS));
        }
    }
}

fn ticks(duration: Duration, rate: u32) -> i64 {
    i64::try_from(duration.as_micros() * u128::from(rate) / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: (TrackKind, u32) = (TrackKind::Video, 90_000);
    const BOTH: [(TrackKind, u32); 2] = [PICTURE, (TrackKind::Audio, 8_000)];

    fn ms(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_start_that_the_camera_names_is_kept() {
        let start = Instant::now();
        let mut clock = Clock::new(start, vec![5_000, 70], BOTH);
        assert_eq!(clock.place(0, 900, 5_000, ms(start, 40)), 900);
        assert_eq!(clock.place(1, 160, 70, ms(start, 300)), 160);
        assert_eq!(clock.place(0, 4_500, 5_000, ms(start, 80)), 4_500);
    }

    #[test]
    fn tracks_without_a_named_start_begin_where_they_arrived() {
        let start = Instant::now();
        let mut clock = Clock::new(start, vec![], BOTH);
        assert_eq!(clock.place(0, 0, 5_000, ms(start, 400)), 36_000);
        assert_eq!(clock.place(1, 0, 70, ms(start, 100)), 800);
        assert_eq!(clock.place(0, 3_600, 5_000, ms(start, 445)), 39_600);
        // A start in last week is no start.
        let mut clock = Clock::new(start, vec![1], [PICTURE]);
        assert_eq!(clock.place(0, 90_000 * 600_000, 1, ms(start, 100)), 9_000);
    }

    #[test]
    fn a_clock_that_steps_is_put_back_and_one_that_jitters_is_left() {
        let start = Instant::now();
        let mut clock = Clock::new(start, vec![], [PICTURE]);
        clock.place(0, 0, 0, ms(start, 0));
        // The network was gone for four seconds and then gave everything at once.
        assert_eq!(clock.place(0, 3_600, 0, ms(start, 4_000)), 3_600);
        assert_eq!(clock.place(0, 7_200, 0, ms(start, 4_001)), 7_200);
        // B-frames come back in time.
        assert_eq!(clock.place(0, 5_400, 0, ms(start, 4_050)), 5_400);
        // The camera learned the date.
        assert_eq!(clock.place(0, 5_400 + 90_000 * 3_600, 0, ms(start, 4_090)), 5_400 + 3_600);
        assert_eq!(clock.place(0, 9_000 + 90_000 * 3_600, 0, ms(start, 4_130)), 5_400 + 7_200);
        assert_eq!(clock.place(0, i64::MIN, 0, ms(start, 4_170)), 5_400 + 10_800);
    }
    /// The time of day that is reported for a track when so many ms have passed.
    type Reported = fn(usize, i64) -> i64;

    /// A camera whose clocks are off by so many parts in a million, and what it says of them.
    #[derive(Clone, Copy, Default)]
    struct Camera {
        picture_ppm: i64,
        sound_ppm: i64,
        /// It names a start of the pictures that is so many ms before the one of the sound.
        amiss: i64,
        /// Its time of day in ms, as it reports it every 5 s.
        reports: Option<Reported>,
        /// The network delays by up to so many ms.
        jitter: u64,
    }

    /// An hour of 25 pictures a second and of sound in packets of 20 ms: by how much the sound is ahead of the
    /// picture of the same moment, in ms: the least and the most, in the first second and after the first minute.
    fn hour(camera: Camera) -> [(f64, f64); 2] {
        let start = Instant::now();
        let mut clock = Clock::new(start, vec![0], BOTH);
        let mut seen = [(f64::MAX, f64::MIN); 2];
        let (mut noise, mut last) = (1u64, i64::MIN);
        for packet in 0..180_000u64 {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let late = (noise >> 33) % camera.jitter.max(1);
            let at = i64::try_from(packet).unwrap() * 20;
            let ticks = |rate: i64, ppm: i64| {
                let ticks = i128::from(at) * i128::from(rate) * i128::from(1_000_000 + ppm);
                i64::try_from(ticks / 1_000_000_000).unwrap()
            };
            let picture = ticks(90_000, camera.picture_ppm) - camera.amiss * 90;
            let sound = ticks(8_000, camera.sound_ppm);
            let arrival = |by: u64| ms(start, packet * 20 + by + late);
            if let Some(reports) = camera.reports.filter(|_| at % 5_000 == 0) {
                for (track, elapsed) in [picture, sound].into_iter().enumerate() {
                    let wall = (u128::from(reports(track, at).unsigned_abs()) << 32) / 1_000;
                    clock.report(track, elapsed, u64::try_from(wall).unwrap(), arrival(0));
                }
            }
            let shown = (packet % 2 == 0).then(|| clock.place(0, picture, 0, arrival(30)));
            assert_eq!(clock.place(1, sound, 0, arrival(25)), sound, "nobody touches the sound");
            if let Some(shown) = shown {
                assert!(shown > last, "in order");
                last = shown;
                let ahead = sound as f64 / 8.0 - shown as f64 / 90.0;
                if let Some((least, most)) =
                    seen.get_mut(usize::from(at >= 60_000)).filter(|_| !(1_000..60_000).contains(&at))
                {
                    (*least, *most) = (least.min(ahead), most.max(ahead));
                }
            }
        }
        seen
    }

    const NOON: i64 = 3_900_000_000_000;
    const EXACT: Reported = |_, ms| NOON + ms;

    #[test]
    fn r_n9_clocks_that_run_together_are_left_alone() {
        for (reports, jitter) in [(None, 0), (None, 15), (Some(EXACT), 15)] {
            assert_eq!(hour(Camera { jitter, reports, ..Camera::default() }), [(0.0, 0.0); 2]);
        }
        let together = Camera { picture_ppm: 80, sound_ppm: 80, jitter: 15, ..Camera::default() };
        let [_, (least, most)] = hour(together);
        assert!(least > -0.2 && most < 0.2, "{least} to {most} ms");
    }

    #[test]
    fn r_n9_sound_that_runs_by_another_crystal_stays_in_step_for_an_hour() {
        for (picture_ppm, sound_ppm, jitter) in
            [(0, 100, 0), (0, -100, 15), (100, 0, 15), (-50, 50, 15), (0, 1_000, 15)]
        {
            for reports in [None, Some(EXACT)] {
                let [_, (least, most)] = hour(Camera { picture_ppm, sound_ppm, jitter, reports, amiss: 0 });
                assert!(
                    least > -40.0 && most < 40.0,
                    "{picture_ppm} {sound_ppm} {jitter}: {least} to {most} ms"
                );
            }
        }
    }

    #[test]
    fn r_n9_starts_that_are_named_amiss_are_put_right_by_reports() {
        for amiss in [40, -60] {
            let [_, (least, most)] =
                hour(Camera { amiss, reports: Some(EXACT), jitter: 15, ..Camera::default() });
            assert!(least > -1.1 && most < 1.1, "{amiss}: {least} to {most} ms");
        }
    }

    #[test]
    fn sound_that_counts_what_it_got_and_not_time_does_not_carry_the_pictures_away() {
        // One part in fifty slow: over a minute in the hour.
        let [_, (least, most)] = hour(Camera { sound_ppm: -20_000, jitter: 15, ..Camera::default() });
        let followed = -72_000.0 - least.min(most);
        assert!(followed.abs() < 5_000.0, "pictures were moved by {followed} ms");
    }

    #[test]
    fn reports_that_are_wrong_do_no_harm() {
        let wrong: [(&str, Reported); 5] = [
            ("no time of day", |_, _| 0),
            ("it stands still", |_, _| NOON),
            ("of one track only", |track, ms| NOON + if track == 0 { 0 } else { ms }),
            ("two times of day", |track, ms| if track == 0 { ms } else { NOON + ms }),
            ("ten times as fast", |_, ms| NOON + 10 * ms),
        ];
        for (what, reports) in wrong {
            let seen = hour(Camera { jitter: 15, reports: Some(reports), ..Camera::default() });
            for (least, most) in seen {
                assert!(least > -40.0 && most < 40.0, "{what}: {least} to {most} ms");
            }
        }
    }
}
