//! What a camera gave lately, for recordings that are to begin before they were asked for.
//!
//! Invariants: what is kept begins with the newest key frame that is at least as old as wanted, or with
//! the oldest there is; from there on nothing is missing. All rolls together stay within a budget: where
//! it is used up, what is kept is shorter.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::hub::Gap;
use crate::media::{Frame, TrackInfo, TrackKind};

/// What all cameras of a recorder may keep together: ten seconds of fifty cameras of 4 Mbit/s.
const BUDGET: usize = 256 << 20;
/// What one camera may keep: a minute at 4 Mbit/s.
const ROLL_MAX: usize = 32 << 20;

/// What the hub gave.
pub(super) type Item = Result<Arc<Frame>, Gap>;

/// Bytes that rolls keep, and may.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    all: usize,
    one: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { used: AtomicUsize::new(0), all: BUDGET, one: ROLL_MAX }
    }
}

#[derive(Debug)]
pub(super) struct Roll {
    span: Duration,
    budget: Arc<Budget>,
    /// What the first frame that is kept belongs to, and what the next one does.
    first: Arc<[TrackInfo]>,
    tracks: Arc<[TrackInfo]>,
    kept: VecDeque<Item>,
    /// Numbers of the key frames, counted as `kept` is from `popped`, and when they came.
    keys: VecDeque<(u64, Instant)>,
    popped: u64,
    bytes: usize,
}

fn size(item: &Item) -> usize {
    size_of::<Frame>() + item.as_ref().map_or(0, |frame| frame.data.len())
}

impl Roll {
    /// Keeps `span` of what comes after these tracks were told.
    pub(super) fn new(span: Duration, tracks: &Arc<[TrackInfo]>, budget: Arc<Budget>) -> Self {
        Self {
            span,
            budget,
            first: Arc::clone(tracks),
            tracks: Arc::clone(tracks),
            kept: VecDeque::new(),
            keys: VecDeque::new(),
            popped: 0,
            bytes: 0,
        }
    }

    pub(super) fn push(&mut self, item: Item) {
        let now = match &item {
            Ok(frame) => {
                let key = self.begins(frame);
                if self.kept.is_empty() && !key {
                    return;
                }
                if key {
                    self.keys.push_back((self.popped + self.kept.len() as u64, frame.arrival));
                }
                Some(frame.arrival)
            }
            Err(gap) => {
                if let Gap::TracksChanged(tracks) = gap {
                    self.tracks = Arc::clone(tracks);
                }
                if self.kept.is_empty() {
                    self.first = Arc::clone(&self.tracks);
                    return;
                }
                None
            }
        };
        let size = size(&item);
        self.bytes += size;
        self.budget.used.fetch_add(size, Ordering::Relaxed);
        self.kept.push_back(item);
        if let Some(now) = now {
            self.trim(now);
        }
        while self.bytes > self.budget.one || self.budget.used.load(Ordering::Relaxed) > self.budget.all {
            match self.keys.get(1) {
                Some((number, _)) => self.drop_to(*number),
                // Not even the newest group of pictures has room.
                None => return self.clear(),
            }
        }
    }

    /// What is kept, and the tracks that it begins with. Too old frames are not given.
    pub(super) fn take(mut self, now: Instant) -> (Arc<[TrackInfo]>, VecDeque<Item>) {
        self.trim(now);
        let newest = self.kept.iter().rev().find_map(|item| item.as_ref().ok());
        if newest.is_some_and(|frame| now.saturating_duration_since(frame.arrival) > self.span) {
            self.clear();
        }
        (Arc::clone(&self.first), std::mem::take(&mut self.kept))
    }

    /// Whether a file can begin with this frame.
    fn begins(&self, frame: &Frame) -> bool {
        let video = |track: &TrackInfo| track.kind == TrackKind::Video && track.carried();
        let own = self.tracks.get(usize::from(frame.track));
        frame.key && (own.is_some_and(video) || !self.tracks.iter().any(video))
    }

    /// Forgets what comes before the newest key frame that is old enough.
    fn trim(&mut self, now: Instant) {
        while let Some((number, at)) = self.keys.get(1).copied()
            && now.saturating_duration_since(at) >= self.span
        {
            self.drop_to(number);
        }
    }

    /// The key frame of that number is the first that is kept.
    fn drop_to(&mut self, number: u64) {
        while self.popped < number {
            let Some(item) = self.kept.pop_front() else { break };
            self.popped += 1;
            self.free(size(&item));
            if let Err(Gap::TracksChanged(tracks)) = item {
                self.first = tracks;
            }
        }
        self.keys.retain(|(key, _)| *key >= number);
    }

    fn clear(&mut self) {
        self.popped += self.kept.len() as u64;
        self.kept.clear();
        self.keys.clear();
        self.first = Arc::clone(&self.tracks);
        self.free(self.bytes);
    }

    fn free(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Roll {
    fn drop(&mut self) {
        self.free(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;

    use super::*;
    use crate::media::{Codec, Parameters};

    fn tracks(generation: u32) -> Arc<[TrackInfo]> {
        let track = |id, kind, codec| TrackInfo {
            id,
            kind,
            codec,
            timescale: 1_000,
            parameters: Parameters::Unknown,
            generation,
            note: None,
        };
        [track(0, TrackKind::Video, Codec::H264), track(1, TrackKind::Audio, Codec::Opus)].into()
    }

    /// A picture or a packet of sound at that many tenths of a second; key frames every two seconds.
    fn frame(track: u8, tenths: u64, start: Instant) -> Item {
        Ok(Arc::new(Frame {
            track,
            pts: tenths as i64 * 100,
            arrival: start + Duration::from_millis(tenths * 100),
            wall: SystemTime::UNIX_EPOCH,
            key: track == 1 || tenths.is_multiple_of(20),
            generation: 0,
            loss: 0,
            data: Bytes::from_static(&[0; 1_000]),
            packets: Default::default(),
        }))
    }

    fn times(items: &VecDeque<Item>) -> Vec<(u8, i64)> {
        items.iter().flatten().map(|frame| (frame.track, frame.pts / 100)).collect()
    }

    #[test]
    fn r_n14_it_begins_with_the_key_frame_that_is_old_enough_and_lacks_nothing() {
        let start = Instant::now();
        let mut roll = Roll::new(Duration::from_secs(10), &tracks(0), Arc::default());
        for n in 5..=231 {
            roll.push(frame(0, n, start));
            roll.push(frame(1, n, start));
        }
        let (_, kept) = roll.take(start + Duration::from_millis(23_150));
        let whole: Vec<_> = (120..=231).flat_map(|n| [(0, n), (1, n)]).collect();
        assert_eq!(times(&kept), whole, "13.15 s is wanted, 12 s is the key frame before it");
    }

    #[test]
    fn a_new_session_is_kept_with_the_old_and_what_is_too_old_is_not() {
        let start = Instant::now();
        let mut roll = Roll::new(Duration::from_secs(10), &tracks(0), Arc::default());
        (0..=40).for_each(|n| roll.push(frame(0, n, start)));
        roll.push(Err(Gap::SourceLost));
        roll.push(Err(Gap::TracksChanged(tracks(1))));
        (60..=100).for_each(|n| roll.push(frame(0, n, start)));
        assert_eq!(roll.first[0].generation, 0);
        (101..=160).for_each(|n| roll.push(frame(0, n, start)));
        assert_eq!((roll.first[0].generation, roll.kept.len()), (1, 101), "its mark went with the old one");
        let (_, kept) = roll.take(start + Duration::from_secs(27));
        assert!(kept.is_empty(), "the camera is long gone");
    }

    #[test]
    fn r_n14_the_budget_is_kept_and_given_back() {
        let start = Instant::now();
        let budget = Arc::new(Budget { used: AtomicUsize::new(0), all: 60_000, one: 50_000 });
        let mut one = Roll::new(Duration::from_secs(10), &tracks(0), Arc::clone(&budget));
        let mut other = Roll::new(Duration::from_secs(10), &tracks(0), Arc::clone(&budget));
        for n in 0..400 {
            one.push(frame(0, n, start));
            assert!(budget.used.load(Ordering::Relaxed) <= budget.all);
            assert!(one.bytes <= budget.one);
        }
        assert!(times(&one.kept)[0].1 >= 360, "shorter, and still from a key frame");
        assert_eq!(times(&one.kept)[0].1 % 20, 0);
        for n in 0..400 {
            other.push(frame(0, n, start));
            assert!(budget.used.load(Ordering::Relaxed) <= budget.all);
        }
        drop((one, other));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
