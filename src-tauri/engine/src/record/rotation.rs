//! When a file is full. Pure: time comes in with each key frame.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// A wall clock that moved this far against the monotonic one was set.
const CLOCK_STEP: Duration = Duration::from_secs(5);
/// After a hole of this length the next frames go into a file of their own.
const HOLE: Duration = Duration::from_secs(10);

/// A file that is this many hundredths longer by arrival than it may be by the camera's clock ends too: that clock
/// runs slow.
const SLOW: u32 = 110;

/// How large a file may become. It ends at the first key frame afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub seconds: u32,
    /// 0 = no limit.
    pub bytes: u64,
}

/// Why a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is as long as it may be.
    Time,
    /// It is as large as it may be.
    Size,
    /// The camera's tracks or their parameters changed.
    Parameters,
    /// Somebody set the clock: times within one file are to be true.
    ClockStep,
    /// Frames were lost for longer than a file should show a still picture.
    Hole,
    /// The camera is gone.
    SourceLost,
    /// Recording was switched off, or the program ends.
    Stopped,
}

impl Why {
    /// For logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Size => "size",
            Self::Parameters => "parameters",
            Self::ClockStep => "clock_step",
            Self::Hole => "hole",
            Self::SourceLost => "source_lost",
            Self::Stopped => "stopped",
        }
    }
}

/// Where a frame stands on the three clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// Presentation time in the session, in nanoseconds.
    pub(super) media: i64,
    pub(super) arrival: Instant,
    pub(super) wall: SystemTime,
}

/// The measure of one file.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    limits: Limits,
    began: Mark,
    newest: Instant,
    bytes: u64,
}

impl Rotation {
    /// A file that begins with this frame.
    pub(super) fn new(limits: Limits, began: Mark) -> Self {
        Self { limits, began, newest: began.arrival, bytes: 0 }
    }

    /// A frame went into the file.
    pub(super) fn add(&mut self, bytes: usize, arrival: Instant) {
        self.bytes += bytes as u64;
        self.newest = self.newest.max(arrival);
    }

    /// Whether the key frame `at` begins another file.
    pub(super) fn due(&self, at: Mark) -> Option<Why> {
        let passed = at.arrival.saturating_duration_since(self.began.arrival);
        let expected = self.began.wall + passed;
        let stepped = match at.wall.duration_since(expected) {
            Ok(ahead) => ahead,
            Err(behind) => behind.duration(),
        };
        let length = i64::from(self.limits.seconds).saturating_mul(1_000_000_000);
        let longest = Duration::from_secs(u64::from(self.limits.seconds)) * SLOW / 100;
        if stepped > CLOCK_STEP {
            Some(Why::ClockStep)
        } else if at.arrival.saturating_duration_since(self.newest) > HOLE {
            Some(Why::Hole)
        } else if at.media.saturating_sub(self.began.media) >= length || passed >= longest {
            Some(Why::Time)
        } else if self.limits.bytes > 0 && self.bytes >= self.limits.bytes {
            Some(Why::Size)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_n8_a_file_ends_by_time_size_hole_or_a_clock_that_was_set() {
        let start = Instant::now();
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_186_242);
        let at = |seconds: u64, wall: i64| Mark {
            media: i64::try_from(seconds).unwrap() * 1_000_000_000,
            arrival: start + Duration::from_secs(seconds),
            wall: noon + Duration::from_secs(u64::try_from(i64::try_from(seconds).unwrap() + wall).unwrap()),
        };
        let mut file = Rotation::new(Limits { seconds: 60, bytes: 1_000 }, at(0, 0));
        let feed = |file: &mut Rotation, second: u64| file.add(1, at(second, 0).arrival);
        feed(&mut file, 59);
        assert_eq!(file.due(at(59, 0)), None);
        assert_eq!(file.due(at(60, 0)), Some(Why::Time));
        assert_eq!(file.due(at(59, 4)), None, "a clock is disciplined in small steps");
        assert_eq!(file.due(at(59, 6)), Some(Why::ClockStep));
        assert_eq!(file.due(at(59, -6)), Some(Why::ClockStep));
        assert_eq!(file.due(at(59, 86_400)), Some(Why::ClockStep));
        file.add(999, at(59, 0).arrival);
        assert_eq!(file.due(at(59, 0)), Some(Why::Size));
        // A camera whose clock runs at half its pace.
        let slow = |seconds: u64| Mark { media: at(seconds / 2, 0).media, ..at(seconds, 0) };
        let mut file = Rotation::new(Limits { seconds: 60, bytes: 0 }, slow(0));
        feed(&mut file, 65);
        assert_eq!((file.due(slow(65)), file.due(slow(66))), (None, Some(Why::Time)));
        let mut quiet = Rotation::new(Limits { seconds: 900, bytes: 0 }, at(0, 0));
        feed(&mut quiet, 1);
        assert_eq!(quiet.due(at(11, 0)), None);
        assert_eq!(quiet.due(at(12, 0)), Some(Why::Hole));
    }
}
