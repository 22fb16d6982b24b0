//! One media clock across reconnects of a source.

use tokio::time::Instant;

use super::{Frame, rescale};

/// Maps the presentation times of successive sessions onto one clock that only goes forward, so that a
/// viewer or a file survives a reconnect without a jump back.
///
/// All tracks share the mapping: one `Timeline` for a subscriber. After [`Timeline::restart`] the next
/// frame is placed by its arrival: as far after the newest frame before the break as it arrived later.
#[derive(Debug, Default)]
pub struct Timeline {
    base: Option<Base>,
    /// The newest instant on the output clock and when its frame arrived.
    newest: Option<(i64, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Base {
    /// Added to media time, in nanoseconds.
    offset: i64,
}

const NANOS: u32 = 1_000_000_000;
/// Frames after a break start at least this much after the newest before it.
const STEP: i64 = 1_000_000;

impl Timeline {
    /// A clock that starts at zero with its first frame.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The source was lost or replaced: its media times have nothing to do with the earlier ones.
    pub fn restart(&mut self) {
        self.base = None;
    }

    /// The frame's time on the continuous clock, in ticks of `timescale` (the track's).
    ///
    /// The first frame after a start defines the zero; a frame of another track that is older than it
    /// may come out slightly negative.
    pub fn map(&mut self, frame: &Frame, timescale: u32) -> i64 {
        let media = rescale(frame.pts, timescale, NANOS);
        let base = *self.base.get_or_insert_with(|| {
            let start = match self.newest {
                None => 0,
                Some((at, arrived)) => {
                    let gap = frame.arrival.saturating_duration_since(arrived).as_nanos();
                    at.saturating_add(i64::try_from(gap).unwrap_or(i64::MAX)).saturating_add(STEP)
                }
            };
            Base { offset: start.saturating_sub(media) }
        });
        let at = media.saturating_add(base.offset);
        if self.newest.is_none_or(|(newest, _)| at > newest) {
            self.newest = Some((at, frame.arrival));
        }
        rescale(at, NANOS, timescale)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use bytes::Bytes;

    use super::*;

    fn frame(pts: i64, arrival: Instant) -> Frame {
        Frame {
            track: 0,
            pts,
            arrival,
            wall: SystemTime::UNIX_EPOCH,
            key: true,
            generation: 0,
            loss: 0,
            data: Bytes::new(),
            packets: Default::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconnect_goes_on_by_the_time_that_passed() {
        let start = Instant::now();
        let mut clock = Timeline::new();
        assert_eq!(clock.map(&frame(900_000, start), 90_000), 0);
        assert_eq!(clock.map(&frame(903_600, start + Duration::from_millis(40)), 90_000), 3_600);
        clock.restart();
        // Two seconds later a session starts whose clock begins at zero.
        let back = clock.map(&frame(0, start + Duration::from_millis(2_040)), 90_000);
        assert_eq!(back, 3_600 + 180_000 + 90);
        assert_eq!(clock.map(&frame(3_600, start + Duration::from_millis(2_080)), 90_000), back + 3_600);
    }

    #[tokio::test(start_paused = true)]
    async fn tracks_of_a_session_share_the_clock() {
        let start = Instant::now();
        let mut clock = Timeline::new();
        assert_eq!(clock.map(&frame(0, start), 90_000), 0);
        assert_eq!(clock.map(&frame(8_000, start), 8_000), 8_000);
        assert_eq!(clock.map(&frame(90_000, start), 90_000), 90_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_starts_over_at_the_same_instant_still_moves_forward() {
        let start = Instant::now();
        let mut clock = Timeline::new();
        let before = clock.map(&frame(90_000, start), 90_000);
        clock.restart();
        assert!(clock.map(&frame(0, start), 90_000) > before);
    }
}
