//! One zero for the tracks of a session, from what cameras tell of it.
//!
//! A camera that names the start of each track in its answer to PLAY is believed as far as arrival bears
//! it out; otherwise a track starts where its first frame arrived. A camera whose clock steps while it
//! plays is put back on the line that arrival draws. Pure: time comes in with each frame.

use std::time::Duration;

use tokio::time::Instant;

/// How far a camera's own account of the start may lie from arrival.
const CREDIBLE_START: Duration = Duration::from_secs(5);
/// How far media time may run from arrival between two frames of a track. A network that comes back
/// after its longest tolerated gap stays below it.
const CREDIBLE_STEP: Duration = Duration::from_secs(10);

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
    /// Ticks per second.
    rate: u32,
    /// Added to the camera's ticks; set by the first frame.
    offset: Option<i64>,
    last: Option<(i64, Instant)>,
}

impl Clock {
    /// A session that began playing at `start`, its tracks by their ticks per second.
    pub(super) fn new(start: Instant, named: Vec<u32>, rates: impl IntoIterator<Item = u32>) -> Self {
        let tracks = rates.into_iter().map(|rate| Line { rate, offset: None, last: None }).collect();
        Self { start, named, tracks }
    }

    /// The time of a frame in ticks since the session's start. `elapsed` counts from `first`, the RTP time
    /// that the client took for the track's start.
    pub(super) fn place(&mut self, track: usize, elapsed: i64, first: u32, arrival: Instant) -> i64 {
        let Some(line) = self.tracks.get_mut(track) else { return elapsed };
        let since_start = ticks(arrival.saturating_duration_since(self.start), line.rate);
        let offset = match line.offset {
            Some(offset) => offset,
            None => {
                let told = self.named.contains(&first);
                let credible =
                    elapsed.abs_diff(since_start) <= ticks(CREDIBLE_START, line.rate).unsigned_abs();
                if told && credible { 0 } else { since_start.saturating_sub(elapsed) }
            }
        };
        line.offset = Some(offset);
        let mut pts = elapsed.saturating_add(offset);
        if let Some((last, arrived)) = line.last {
            let passed = ticks(arrival.saturating_duration_since(arrived), line.rate);
            let step = pts.saturating_sub(last);
            if step.abs_diff(passed) > ticks(CREDIBLE_STEP, line.rate).unsigned_abs() {
                pts = last.saturating_add(passed.max(1));
                line.offset = Some(pts.saturating_sub(elapsed));
            }
        }
        line.last = Some((pts, arrival));
        pts
    }
}

fn ticks(duration: Duration, rate: u32) -> i64 {
    i64::try_from(duration.as_micros() * u128::from(rate) / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn a_start_that_the_camera_names_is_kept() {
        let start = Instant::now();
        let mut clock = Clock::new(start, vec![5_000, 70], [90_000, 8_000]);
        assert_eq!(clock.place(0, 900, 5_000, ms(start, 40)), 900);
        assert_eq!(clock.place(1, 160, 70, ms(start, 300)), 160);
        assert_eq!(clock.place(0, 4_500, 5_000, ms(start, 80)), 4_500);
    }

    #[test]
    fn tracks_without_a_named_start_begin_where_they_arrived() {
        let start = Instant::now();
        let mut clock = Clock::new(start, vec![], [90_000, 8_000]);
        assert_eq!(clock.place(0, 0, 5_000, ms(start, 400)), 36_000);
        assert_eq!(clock.place(1, 0, 70, ms(start, 100)), 800);
        assert_eq!(clock.place(0, 3_600, 5_000, ms(start, 445)), 39_600);
        // A start in last week is no start.
        let mut clock = Clock::new(start, vec![1], [90_000]);
        assert_eq!(clock.place(0, 90_000 * 600_000, 1, ms(start, 100)), 9_000);
    }

    #[test]
    fn a_clock_that_steps_is_put_back_and_one_that_jitters_is_left() {
        let start = Instant::now();
        let mut clock = Clock::new(start, vec![], [90_000]);
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
}
