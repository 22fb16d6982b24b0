//! Decode times for streams that carry presentation times only.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// More pictures than any level of H.264 or H.265 lets a decoder hold back.
const MOST_REORDER: u8 = 16;

/// Derives decode times from presentation times that come in decode order.
///
/// A decoder that may hold back `reorder` pictures shows its first one when it has been given `reorder`
/// more; so the decode time of a frame is the presentation time of the picture shown `reorder` places
/// earlier. That needs no look-ahead: a frame is stamped the moment it comes. Without B-frames decode and
/// presentation time are the same.
///
/// Invariants: decode times strictly increase; decode + offset is the presentation time, exactly. Offsets
/// are not negative where the stream keeps its promise of `reorder`; they may be where it lies.
#[derive(Clone, Debug)]
pub struct DecodeClock {
    reorder: usize,
    step: i64,
    /// Presentation times that were not used as a decode time yet; at most `reorder` between calls.
    waiting: BinaryHeap<Reverse<i64>>,
    first: i64,
    seen: usize,
    last: Option<i64>,
}

/// When a frame is decoded and how much later it is shown, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub decode: i64,
    pub offset: i64,
}

impl DecodeClock {
    /// A clock for a track. `reorder` is its [`crate::media::TrackInfo::reorder`].
    #[must_use]
    pub fn new(reorder: u8, timescale: u32) -> Self {
        Self {
            reorder: usize::from(reorder.min(MOST_REORDER)),
            step: i64::from(timescale / 25).max(1),
            waiting: BinaryHeap::new(),
            first: 0,
            seen: 0,
            last: None,
        }
    }

    /// How long before the first presentation time decode times begin, in ticks; zero without B-frames.
    /// Whoever writes unsigned decode times lets presentation start this late.
    #[must_use]
    pub fn lead(&self) -> i64 {
        i64::try_from(self.reorder).unwrap_or(0) * self.step
    }

    /// The stream starts anew at the next frame, which is a key frame. Decode times go on increasing.
    pub fn restart(&mut self) {
        self.waiting.clear();
        self.seen = 0;
    }

    /// Stamps the next frame in decode order.
    pub fn stamp(&mut self, pts: i64) -> Stamp {
        if self.seen == 0 {
            self.first = pts;
        }
        self.waiting.push(Reverse(pts));
        let due = if self.seen < self.reorder {
            let missing = i64::try_from(self.reorder - self.seen).unwrap_or(0);
            self.seen += 1;
            self.first.saturating_sub(missing * self.step)
        } else {
            self.waiting.pop().map_or(pts, |Reverse(shown)| shown)
        };
        let decode = self.last.map_or(due, |last| due.max(last.saturating_add(1)));
        self.last = Some(decode);
        Stamp { decode, offset: pts.saturating_sub(decode) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_b_frames_decode_time_is_presentation_time() {
        let mut clock = DecodeClock::new(0, 90_000);
        for pts in [0, 3_600, 7_200, 90_000] {
            assert_eq!(clock.stamp(pts), Stamp { decode: pts, offset: 0 });
        }
    }

    #[test]
    fn a_pyramid_of_b_frames_gets_even_decode_times() {
        // I0 P4 B2 b1 b3 P8 B6 b5 b7, two pictures out of order at most.
        let mut clock = DecodeClock::new(2, 25);
        let stamps: Vec<_> = [0, 4, 2, 1, 3, 8, 6, 5, 7].map(|pts| clock.stamp(pts)).into();
        assert_eq!(stamps.iter().map(|s| s.decode).collect::<Vec<_>>(), [-2, -1, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(stamps.iter().map(|s| s.offset).collect::<Vec<_>>(), [2, 5, 2, 0, 1, 5, 2, 0, 1]);
        assert_eq!(clock.lead(), 2);
    }

    /// Presentation times of a stream in decode order whose groups of `reorder` B-frames follow the picture
    /// that is shown after them; frame distances vary.
    fn groups(reorder: u8, distances: &[u16]) -> Vec<i64> {
        let mut at = 0;
        let shown: Vec<i64> = distances
            .iter()
            .map(|&d| {
                at += i64::from(d) + 1;
                at
            })
            .collect();
        let mut coded = Vec::new();
        coded.push(shown[0]);
        for group in shown[1..].chunks(usize::from(reorder) + 1) {
            coded.extend(group.last());
            // Nested as deep as it goes: the last B-frame is decoded first.
            coded.extend(group[..group.len() - 1].iter().rev());
        }
        coded
    }

    proptest! {
        #[test]
        fn decode_times_increase_and_presentation_is_kept(
            reorder in 0u8..5, distances in prop::collection::vec(0u16..9_000, 1..200)
        ) {
            let mut clock = DecodeClock::new(reorder, 90_000);
            let mut last = i64::MIN;
            for pts in groups(reorder, &distances) {
                let stamp = clock.stamp(pts);
                prop_assert!(stamp.decode > last);
                prop_assert!(stamp.offset >= 0, "{stamp:?}");
                prop_assert_eq!(stamp.decode + stamp.offset, pts);
                prop_assert!(stamp.decode + clock.lead() >= 0);
                last = stamp.decode;
            }
        }

        #[test]
        fn a_lying_stream_still_gets_increasing_decode_times(
            reorder in 0u8..20, times in prop::collection::vec(any::<i32>(), 1..200), cut in 0usize..200
        ) {
            let mut clock = DecodeClock::new(reorder, 90_000);
            let mut last = i64::MIN;
            for (n, pts) in times.into_iter().map(i64::from).enumerate() {
                if n == cut {
                    clock.restart();
                }
                let stamp = clock.stamp(pts);
                prop_assert!(stamp.decode > last);
                prop_assert_eq!(stamp.decode + stamp.offset, pts);
                last = stamp.decode;
            }
        }
    }
}
