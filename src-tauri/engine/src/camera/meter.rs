//! Figures of a running stream.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::media::rescale;

/// Lag that empties the buffer (R-K3).
const FULL_LAG: Duration = Duration::from_secs(2);
/// How fast the reference may creep after a camera whose clock runs slow, in nanoseconds per second.
/// Camera clocks are off by 50 ppm at most.
const CREEP: i64 = 100_000;
/// Window of rates.
const WINDOW: Duration = Duration::from_secs(4);
/// A lag from here on is looked at: it may be a camera that set its clock back.
const LATE: i64 = 300_000_000;
/// A lag that stays for so long as it is, while all frames come, is none: what is really late catches up, falls further
/// behind, or loses frames.
const SETTLES: Duration = Duration::from_secs(10);
/// The least lag of the first half of that time and of the second are this close, in nanoseconds.
const STEADY: i64 = 20_000_000;
/// This part of the frames is all of them.
const ALL: f64 = 0.9;

/// Measures one track by the arrival of its frames.
#[derive(Debug, Default)]
pub struct Meter {
    window: VecDeque<(Instant, usize)>,
    bytes: usize,
    reference: Option<Reference>,
    lag: Duration,
    /// Frames per second while there was no lag.
    pace: f64,
    late: Option<Late>,
    jitter: f64,
    previous: Option<i64>,
    /// Frames since a key frame was seen.
    since_key: Option<u32>,
    gop: u32,
}

/// The frame that came with the least delay so far.
#[derive(Clone, Copy, Debug)]
struct Reference {
    start: Instant,
    /// Arrival minus media time, both in nanoseconds, smallest seen.
    offset: i64,
    at: Instant,
}

/// A lag that lasts, since its first frame.
#[derive(Clone, Copy, Debug)]
struct Late {
    since: Instant,
    frames: u32,
    /// The smallest offsets of both halves of the time in which it may settle.
    least: [i64; 2],
}

/// What a [`Meter`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Frames per second.
    pub fps: f32,
    /// Bits per second.
    pub bitrate: u64,
    /// 100 = no lag, 0 = two seconds behind.
    pub buffer_pct: u8,
    /// Smoothed difference between the spacing of arrivals and of media times (RFC 3550 6.4.1).
    pub jitter: Duration,
    /// Frames from the last key frame but one to the last; 0 = not known.
    pub gop: u32,
}

impl Meter {
    /// Counts a frame. `pts` in ticks of `timescale`.
    pub fn feed(&mut self, arrival: Instant, pts: i64, timescale: u32, bytes: usize, key: bool) {
        self.window.push_back((arrival, bytes));
        self.bytes += bytes;
        self.forget(arrival);

        let start = self.reference.map_or(arrival, |r| r.start);
        let since = i64::try_from(arrival.saturating_duration_since(start).as_nanos()).unwrap_or(i64::MAX);
        let offset = since.saturating_sub(rescale(pts, timescale, 1_000_000_000));
        let reference = self.reference.get_or_insert(Reference { start, offset, at: arrival });
        let quiet = arrival.saturating_duration_since(reference.at).as_secs_f64();
        let crept = reference.offset.saturating_add((quiet * CREEP as f64) as i64);
        *reference = Reference { offset: offset.min(crept), at: arrival, ..*reference };
        let lag = offset.saturating_sub(reference.offset);
        self.lag = Duration::from_nanos(u64::try_from(lag).unwrap_or(0));
        if lag < LATE {
            self.late = None;
            self.pace = self.rate(arrival).unwrap_or(self.pace);
        } else {
            self.watch(arrival, offset);
        }
        if let Some(previous) = self.previous.replace(offset) {
            let apart = (offset.saturating_sub(previous)).unsigned_abs() as f64;
            self.jitter += (apart - self.jitter) / 16.0;
        }
        if key {
            self.gop = self.since_key.map_or(self.gop, |n| n.saturating_add(1));
            self.since_key = Some(0);
        } else if let Some(n) = &mut self.since_key {
            *n = n.saturating_add(1);
        }
    }

    /// A frame is late: takes the lag for the camera's clock once it has settled.
    fn watch(&mut self, arrival: Instant, offset: i64) {
        let fresh = Late { since: arrival, frames: 0, least: [i64::MAX; 2] };
        let late = self.late.get_or_insert(fresh);
        let passed = arrival.saturating_duration_since(late.since);
        late.frames += 1;
        let half = usize::from(passed * 2 >= SETTLES);
        late.least[half] = late.least[half].min(offset);
        if passed < SETTLES {
            return;
        }
        let [first, second] = late.least;
        let rate = f64::from(late.frames) / passed.as_secs_f64();
        if first.abs_diff(second) <= STEADY.unsigned_abs()
            && rate >= self.pace * ALL
            && let Some(reference) = &mut self.reference
        {
            reference.offset = first.min(second);
            self.lag = Duration::from_nanos(u64::try_from(offset - reference.offset).unwrap_or(0));
        }
        self.late = None;
    }

    /// Frames per second, where there were enough to say so.
    fn rate(&self, now: Instant) -> Option<f64> {
        let (first, _) = self.window.front()?;
        let span = now.saturating_duration_since(*first);
        (span * 2 >= WINDOW).then(|| (self.window.len() as f64 - 1.0) / span.as_secs_f64())
    }

    fn forget(&mut self, now: Instant) {
        while let Some(&(at, bytes)) = self.window.front()
            && now.saturating_duration_since(at) > WINDOW
        {
            self.window.pop_front();
            self.bytes -= bytes;
        }
    }

    /// The figures as of `now`: a stream that stopped slows down to zero.
    pub fn read(&mut self, now: Instant) -> Reading {
        self.forget(now);
        let span = match self.window.front() {
            // One frame has no rate.
            Some(&(first, _)) if self.window.len() > 1 => now.saturating_duration_since(first),
            _ => Duration::ZERO,
        };
        let rate = |n: f64| if span.is_zero() { 0.0 } else { n / span.as_secs_f64() };
        // What should have come by now is late too.
        let silent = match (self.reference, span.is_zero()) {
            (Some(newest), false) => {
                let due = span / u32::try_from(self.window.len().max(1)).unwrap_or(u32::MAX) * 2;
                now.saturating_duration_since(newest.at).saturating_sub(due)
            }
            _ => Duration::ZERO,
        };
        let lag = (self.lag + silent).as_secs_f64() / FULL_LAG.as_secs_f64();
        Reading {
            fps: rate(self.window.len() as f64 - 1.0) as f32,
            bitrate: rate(self.bytes as f64 * 8.0) as u64,
            buffer_pct: (100.0 * (1.0 - lag)).clamp(0.0, 100.0) as u8,
            jitter: Duration::from_nanos(self.jitter as u64),
            gop: self.gop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_k3_lag_empties_the_buffer() {
        let start = Instant::now();
        let mut meter = Meter::default();
        let mut feed = |n: i64, late_ms: u64| {
            let arrival = start + Duration::from_millis(n as u64 * 40 + late_ms);
            meter.feed(arrival, n * 3_600, 90_000, 5_000, n % 50 == 0);
            meter.read(arrival)
        };
        let mut reading = Reading::default();
        for n in 0..100 {
            reading = feed(n, 0);
        }
        assert_eq!((reading.buffer_pct, reading.gop), (100, 50));
        assert!((reading.fps - 25.0).abs() < 0.3, "{reading:?}");
        assert!(reading.bitrate.abs_diff(1_000_000) < 20_000, "{reading:?}");
        assert_eq!(feed(100, 1_000).buffer_pct, 50);
        assert_eq!(feed(101, 1_700).buffer_pct, 15);
        assert_eq!(feed(102, 3_000).buffer_pct, 0);
        assert!(feed(103, 0).buffer_pct >= 99);
    }

    #[test]
    fn r_k3_a_clock_that_was_set_back_is_no_lag_for_long_and_a_lag_is_no_clock() {
        let after = |late: &dyn Fn(u64) -> (u64, bool)| {
            let (start, mut meter, mut told) = (Instant::now(), Meter::default(), Vec::new());
            for n in 0..1_000_u64 {
                let (late_ms, comes) = if n < 250 { (0, true) } else { late(n - 250) };
                if !comes {
                    continue;
                }
                let arrival = start + Duration::from_millis(n * 40 + late_ms);
                meter.feed(arrival, n as i64 * 3_600, 90_000, 5_000, n % 50 == 0);
                told.push(meter.read(arrival).buffer_pct);
            }
            *told.last().unwrap()
        };
        // Three seconds, as media time sees them: the arrivals go on as before.
        let clock = {
            let (start, mut meter, mut told) = (Instant::now(), Meter::default(), Vec::new());
            for n in 0..700_u64 {
                let arrival = start + Duration::from_millis(n * 40 + n % 3 * 30);
                let back = if n < 250 { 0 } else { 3 * 90_000 };
                meter.feed(arrival, n as i64 * 3_600 - back, 90_000, 5_000, n % 50 == 0);
                told.push(meter.read(arrival).buffer_pct);
            }
            (told[260], told[480], *told.last().unwrap())
        };
        assert_eq!((clock.0, clock.1), (0, 0));
        assert!(clock.2 >= 90, "{clock:?}");
        // Falls behind, by one part in a hundred; every third frame is lost on the way.
        assert!(after(&|n| (1_000 + n * 40 / 100, true)) < 50);
        assert!(after(&|n| (1_000, n % 3 != 0)) <= 50);
    }

    #[test]
    fn a_stream_that_stopped_slows_to_zero() {
        let start = Instant::now();
        let mut meter = Meter::default();
        for n in 0..100u32 {
            meter.feed(start + n * Duration::from_millis(40), i64::from(n) * 3_600, 90_000, 1_000, n == 0);
        }
        assert_eq!(meter.read(start + Duration::from_secs(60)).fps, 0.0);
    }
}
