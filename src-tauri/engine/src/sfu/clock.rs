//! When a viewer is told to show a frame.
//!
//! A viewer that starts at a cached key frame must end up at the live edge, so it has two paces. While it
//! catches up, a frame's time is the moment it is sent: the browser sees seconds of pictures arrive in a
//! tenth of a second, and timed so, and holds nothing back. Once level with the source, times follow the
//! media clock, through reconnects too. Times only ever grow, whatever the camera's clock does.
//!
//! Pure: it knows neither packets nor sockets, and time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use crate::media::{Frame, Timeline, TrackInfo, TrackKind, rescale};

const NANOS: u32 = 1_000_000_000;
/// Two frames of a track are at least this far apart, in nanoseconds: nine ticks of 90 kHz.
const STEP: i64 = 100_000;
/// A media clock that runs ahead of the arrivals by more than this between two frames, or back at all,
/// was set anew.
const LEAP: i64 = 3_000_000_000;
/// A frame older than this is not the live edge, even where nothing newer waits: a still from the cache.
const FRESH: Duration = Duration::from_millis(100);

/// The clock of one viewer. Its output counts nanoseconds from its making.
#[derive(Debug)]
pub(super) struct ViewerClock {
    origin: Instant,
    /// `None` while catching up.
    level: Option<Level>,
    /// Newest output of video and of sound.
    newest: [i64; 2],
}

#[derive(Debug)]
struct Level {
    timeline: Timeline,
    /// From the timeline to the output, in nanoseconds.
    shift: i64,
    /// Output and arrival of the newest video frame of this session.
    video: Option<(i64, Instant)>,
}

impl ViewerClock {
    pub(super) fn new(origin: Instant) -> Self {
        Self { origin, level: None, newest: [-STEP; 2] }
    }

    /// What follows begins in the past again.
    pub(super) fn catch_up(&mut self) {
        self.level = None;
    }

    /// Whether the viewer is still behind the source.
    pub(super) fn catching_up(&self) -> bool {
        self.level.is_none()
    }

    /// The source was lost; the next frame belongs to another session.
    pub(super) fn source_lost(&mut self) {
        if let Some(level) = &mut self.level {
            level.timeline.restart();
            level.video = None;
        }
    }

    /// The output time of `frame`, sent at `now`; `None` for sound from the past, which must not be
    /// sent. `newest` says that nothing newer waits.
    pub(super) fn time(
        &mut self,
        track: &TrackInfo,
        frame: &Frame,
        now: Instant,
        newest: bool,
    ) -> Option<i64> {
        let mut at = match &mut self.level {
            Some(level) => {
                let at = level.time(track, frame);
                if track.kind == TrackKind::Video && level.leapt(at, frame) {
                    self.anchor(track, frame, now)
                } else {
                    at
                }
            }
            None if newest && now.saturating_duration_since(frame.arrival) < FRESH => {
                self.anchor(track, frame, now)
            }
            None if track.kind == TrackKind::Audio => return None,
            None => self.elapsed(now),
        };
        let before = &mut self.newest[usize::from(track.kind == TrackKind::Audio)];
        at = at.max(before.saturating_add(STEP));
        *before = at;
        if let (Some(level), TrackKind::Video) = (&mut self.level, track.kind) {
            level.video = Some((at, frame.arrival));
        }
        Some(at)
    }

    /// From here on times follow the media clock, and this frame is now.
    fn anchor(&mut self, track: &TrackInfo, frame: &Frame, now: Instant) -> i64 {
        let at = self.elapsed(now);
        let mut level = Level { timeline: Timeline::new(), shift: 0, video: None };
        level.shift = at.saturating_sub(level.time(track, frame));
        self.level = Some(level);
        at
    }

    fn elapsed(&self, now: Instant) -> i64 {
        nanos(now.saturating_duration_since(self.origin))
    }
}

impl Level {
    fn time(&mut self, track: &TrackInfo, frame: &Frame) -> i64 {
        let ticks = self.timeline.map(frame, track.timescale);
        rescale(ticks, track.timescale, NANOS).saturating_add(self.shift)
    }

    fn leapt(&self, at: i64, frame: &Frame) -> bool {
        self.video.is_some_and(|(before, arrival)| {
            let passed = nanos(frame.arrival.saturating_duration_since(arrival));
            let step = at.saturating_sub(before);
            step < -STEP || step > passed.saturating_add(LEAP)
        })
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;

    use super::*;
    use crate::media::{Codec, Parameters};

    const FRAME: Duration = Duration::from_millis(40);
    const MS: i64 = 1_000_000;

    fn track(kind: TrackKind) -> TrackInfo {
        let (codec, timescale) = match kind {
            TrackKind::Video => (Codec::H264, 90_000),
            TrackKind::Audio => (Codec::Opus, 48_000),
        };
        TrackInfo {
            id: 0,
            kind,
            codec,
            timescale,
            parameters: Parameters::Unknown,
            generation: 0,
            note: None,
        }
    }

    fn frame(pts: i64, arrival: Instant) -> Frame {
        Frame {
            track: 0,
            pts,
            arrival,
            wall: SystemTime::UNIX_EPOCH,
            key: false,
            generation: 0,
            loss: 0,
            data: Bytes::new(),
            packets: Default::default(),
        }
    }

    /// Four seconds of cached pictures, sent 1 ms apart; the last one came 15 ms ago.
    fn caught_up(start: Instant) -> (ViewerClock, i64, Instant) {
        let mut clock = ViewerClock::new(start);
        let video = track(TrackKind::Video);
        let mut last = -1;
        let newest_arrival = start + Duration::from_millis(85);
        for n in 0..100i64 {
            let now = start + Duration::from_millis(n.unsigned_abs());
            let age = FRAME * u32::try_from(99 - n).expect("small");
            let arrival = newest_arrival.checked_sub(age).expect("the clock runs long enough");
            let at = clock.time(&video, &frame(n * 3_600, arrival), now, n == 99).expect("video goes out");
            assert!(at > last && at <= last + 2 * MS, "frame {n} at {at} after {last}");
            last = at;
        }
        assert!(!clock.catching_up());
        (clock, last, newest_arrival)
    }

    async fn start() -> Instant {
        tokio::time::advance(Duration::from_secs(3_600)).await;
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn seconds_of_cache_pass_in_the_time_it_takes_to_send_them() {
        let start = start().await;
        let (mut clock, last, arrival) = caught_up(start);
        assert_eq!(last, 99 * MS, "the newest cached frame is now, not four seconds away");
        // From there on by the media clock, whatever the jitter of arrivals.
        let late = arrival + FRAME + Duration::from_millis(9);
        assert_eq!(clock.time(&track(TrackKind::Video), &frame(360_000, late), late, true), Some(139 * MS));
    }

    #[tokio::test(start_paused = true)]
    async fn old_sound_is_left_out_and_new_sound_shares_the_clock() {
        let start = start().await;
        let sound = track(TrackKind::Audio);
        let mut clock = ViewerClock::new(start);
        let past = start.checked_sub(Duration::from_secs(2)).expect("the clock runs long enough");
        assert_eq!(clock.time(&sound, &frame(0, past), start, false), None);
        assert_eq!(clock.time(&sound, &frame(0, past), start, true), None, "old, though the newest");
        let (mut clock, last, arrival) = caught_up(start);
        // 3.96 s of media is where the newest picture stands.
        let together = clock.time(&sound, &frame(48_000 * 396 / 100, arrival), arrival, true);
        assert_eq!(together, Some(last));
    }

    #[tokio::test(start_paused = true)]
    async fn a_still_from_the_cache_does_not_set_the_clock() {
        let start = start().await;
        let video = track(TrackKind::Video);
        let mut clock = ViewerClock::new(start);
        let past = start.checked_sub(Duration::from_secs(3)).expect("the clock runs long enough");
        assert_eq!(clock.time(&video, &frame(0, past), start, true), Some(0));
        assert!(clock.catching_up());
        let later = start + Duration::from_secs(1);
        assert_eq!(clock.time(&video, &frame(360_000, later), later, true), Some(1_000 * MS));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconnect_goes_on_by_the_time_that_passed() {
        let start = start().await;
        let (mut clock, last, arrival) = caught_up(start);
        clock.source_lost();
        let back = arrival + Duration::from_secs(5);
        let at = clock.time(&track(TrackKind::Video), &frame(0, back), back, true).expect("sent");
        assert!((at - last - 5_000 * MS).abs() < 2 * MS, "{}", at - last);
        let next = clock.time(&track(TrackKind::Video), &frame(3_600, back + FRAME), back + FRAME, true);
        assert_eq!(next, Some(at + 40 * MS));
    }

    #[tokio::test(start_paused = true)]
    async fn a_camera_that_sets_its_clock_moves_nobody_back_or_far_ahead() {
        let start = start().await;
        let video = track(TrackKind::Video);
        for pts in [-90_000 * 3_600, 90_000 * 3_600] {
            let (mut clock, last, arrival) = caught_up(start);
            let next = arrival + FRAME;
            let at = clock.time(&video, &frame(pts, next), next, true).expect("sent");
            assert!((1..100 * MS).contains(&(at - last)), "{pts}: {}", at - last);
            let after = clock.time(&video, &frame(pts + 3_600, next + FRAME), next + FRAME, true);
            assert_eq!(after, Some(at + 40 * MS));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_pause_stretches_nothing() {
        let start = start().await;
        let video = track(TrackKind::Video);
        let (mut clock, last, arrival) = caught_up(start);
        // Three seconds of silence, then all that was held comes at once.
        let now = arrival + Duration::from_secs(3);
        for n in 0..75 {
            let at = clock.time(&video, &frame((100 + n) * 3_600, now), now, false);
            assert_eq!(at, Some(last + (n + 1) * 40 * MS));
        }
    }
}
