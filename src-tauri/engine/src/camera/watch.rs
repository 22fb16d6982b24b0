//! Trouble that does not stop a stream: what it is and how long it holds.
//!
//! Decides from frames and figures alone; `now` is an argument. Never ends a session, see [`crate::retry`]
//! for that, and knows nothing of protocols.

use std::hash::{DefaultHasher, Hasher as _};
use std::time::Duration;

use tokio::time::Instant;

use super::Reading;
use crate::media::{Codec, h264, h265};
use crate::source::{SourceError, SourceErrorCode as Code};

/// Below this level trouble is ahead (R-K3) …
const LOW_PCT: u8 = 20;
/// … and it is over when this one is reached again.
const HIGH_PCT: u8 = 40;
/// Pictures that come for this long without a key frame are worth a word; viewers see nothing.
const KEY_FRAME_DUE: Duration = Duration::from_secs(10);
/// Sound that came and is missing for this long, while pictures flow.
const SOUND_DUE: Duration = Duration::from_secs(30);
/// The same picture for this long is a frozen one.
const FROZEN_AFTER: Duration = Duration::from_secs(30);
/// Key frames that must have been the same.
const FROZEN_COUNT: u32 = 3;
/// Between two looks at key frames: of a stream of nothing else, as MJPEG is, one a second is enough.
const LOOK_EVERY: Duration = Duration::from_millis(900);
/// A picture that says no more than "as before" is smaller than this …
const UNCHANGED_BYTES: usize = 512;
/// … or than this share of a key frame.
const UNCHANGED_SHARE: usize = 100;

/// Watches one session.
#[derive(Debug)]
pub struct Watch {
    begun: Instant,
    pictures: Option<Instant>,
    key_frame: bool,
    sound: Option<Instant>,
    buffering: bool,
    stillness: Stillness,
}

impl Watch {
    /// Of a session that opened at `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            begun: now,
            pictures: None,
            key_frame: false,
            sound: None,
            buffering: false,
            stillness: Stillness::default(),
        }
    }

    /// A picture came.
    pub fn picture(&mut self, now: Instant, codec: Codec, key: bool, data: &[u8]) {
        self.pictures = Some(now);
        self.key_frame |= key;
        self.stillness.feed(now, codec, key, data);
    }

    /// Sound came.
    pub fn sound(&mut self, now: Instant) {
        self.sound = Some(now);
    }

    /// What is wrong now, at most one of a kind, in a fixed order.
    pub fn warnings(&mut self, now: Instant, reading: &Reading) -> Vec<SourceError> {
        let limit = if self.buffering { HIGH_PCT } else { LOW_PCT };
        self.buffering = self.pictures.is_some() && reading.buffer_pct < limit;
        let mut found = Vec::new();
        let mut tell = |code, text: &str| found.push(SourceError::new(code, text));
        if self.buffering {
            tell(
                Code::Buffering,
                "Pictures arrive late: the network is too slow for this camera's bit rate, or disturbed.",
            );
        }
        let flows = |at: Option<Instant>, due| at.is_some_and(|at| now.saturating_duration_since(at) < due);
        let pictures = flows(self.pictures, KEY_FRAME_DUE);
        if pictures && !self.key_frame && now.saturating_duration_since(self.begun) >= KEY_FRAME_DUE {
            tell(
                Code::NoKeyFrame,
                "Data arrives, but no complete picture to start from. A shorter key frame interval helps.",
            );
        }
        if pictures && self.sound.is_some() && !flows(self.sound, SOUND_DUE) {
            tell(Code::NoSound, "The sound of this camera stopped; pictures go on.");
        }
        if pictures && self.stillness.lasts(now) {
            tell(
                Code::Frozen,
                "The camera sends the very same picture again and again. Restarting the camera may help.",
            );
        }
        found
    }
}

/// Tells a picture that stands still although frames come: noise alone makes two key frames of a living
/// sensor differ.
#[derive(Debug, Default)]
struct Stillness {
    looked: Option<Instant>,
    /// Of the newest two key frames: encoders number them alternately.
    seen: [Option<u64>; 2],
    key_bytes: usize,
    /// Since when, and how many key frames were the same.
    same: Option<(Instant, u32)>,
}

impl Stillness {
    fn feed(&mut self, now: Instant, codec: Codec, key: bool, data: &[u8]) {
        if !key {
            if data.len() > UNCHANGED_BYTES.max(self.key_bytes / UNCHANGED_SHARE) {
                *self = Self::default();
            }
            return;
        }
        if self.looked.is_some_and(|at| now.saturating_duration_since(at) < LOOK_EVERY) {
            return;
        }
        self.looked = Some(now);
        self.key_bytes = data.len();
        let content = content(codec, data);
        if self.seen.contains(&Some(content)) {
            let (since, count) = self.same.unwrap_or((now, 0));
            self.same = Some((since, count.saturating_add(1)));
        } else {
            self.same = None;
        }
        self.seen = [Some(content), self.seen[0]];
    }

    fn lasts(&self, now: Instant) -> bool {
        self.same.is_some_and(|(since, count)| {
            count >= FROZEN_COUNT && now.saturating_duration_since(since) >= FROZEN_AFTER
        })
    }
}

/// A number for what is seen in a key frame: its slices, without what is said about them, which may hold
/// the time.
fn content(codec: Codec, mut data: &[u8]) -> u64 {
    let mut hash = DefaultHasher::new();
    if !matches!(codec, Codec::H264 | Codec::H265) {
        hash.write(data);
        return hash.finish();
    }
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        let Some((unit, rest)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize) else { break };
        data = rest;
        let Some(&header) = unit.first() else { continue };
        let slice = match codec {
            Codec::H264 => (1..=h264::nal::IDR).contains(&h264::nal::kind(header)),
            _ => h265::nal::kind(header) <= h265::nal::LAST_IRAP,
        };
        if slice {
            hash.write(unit);
        }
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Reading =
        Reading { fps: 25.0, bitrate: 1_000_000, buffer_pct: 100, jitter: Duration::ZERO, gop: 25 };

    /// Seconds of 25 frames, the first a key frame with this content.
    fn play(
        watch: &mut Watch,
        start: Instant,
        seconds: std::ops::Range<u64>,
        key: impl Fn(u64) -> Vec<u8>,
        rest: usize,
    ) {
        for second in seconds {
            for frame in 0..25 {
                let now = start + Duration::from_millis(second * 1_000 + frame * 40);
                let data = if frame == 0 { key(second) } else { vec![0; rest] };
                watch.picture(now, Codec::H264, frame == 0, &data);
            }
        }
    }

    fn unit(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len() + 1).unwrap();
        [&length.to_be_bytes()[..], &[kind], content].concat()
    }

    fn codes(watch: &mut Watch, now: Instant, reading: &Reading) -> Vec<Code> {
        watch.warnings(now, reading).iter().map(|warning| warning.code).collect()
    }

    #[test]
    fn r_k3_a_low_buffer_warns_below_20_until_40_percent() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        watch.picture(start, Codec::H264, true, &[]);
        let mut at = |buffer_pct| codes(&mut watch, start, &Reading { buffer_pct, ..FINE });
        assert!(at(20).is_empty());
        assert_eq!(at(19), [Code::Buffering]);
        assert_eq!(at(39), [Code::Buffering]);
        assert!(at(40).is_empty());
        assert!(at(20).is_empty());
    }

    #[test]
    fn r_k2_pictures_without_a_key_frame_are_told_after_ten_seconds() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        watch.picture(at(9), Codec::H264, false, &[0; 600]);
        assert!(codes(&mut watch, at(9), &FINE).is_empty());
        watch.picture(at(10), Codec::H264, false, &[0; 600]);
        assert_eq!(codes(&mut watch, at(10), &FINE), [Code::NoKeyFrame]);
        watch.picture(at(11), Codec::H264, true, &[0; 600]);
        assert!(codes(&mut watch, at(11), &FINE).is_empty());
    }

    #[test]
    fn r_k2_sound_that_stops_is_told_and_a_camera_without_any_is_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = Watch::new(start);
        watch.picture(at(60), Codec::H264, true, &[]);
        assert!(codes(&mut watch, at(60), &FINE).is_empty());
        watch.sound(at(60));
        watch.picture(at(90), Codec::H264, true, &[]);
        assert_eq!(codes(&mut watch, at(90), &FINE), [Code::NoSound]);
    }

    #[test]
    fn the_same_picture_for_half_a_minute_is_frozen() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        // Two numbers in turn, and a message with the time before the picture.
        let still = |second: u64| {
            let told = unit(6, &second.to_be_bytes());
            [told, unit(0x65, &[u8::try_from(second % 2).unwrap(); 4_000])].concat()
        };
        play(&mut watch, start, 0..30, still, 40);
        assert!(codes(&mut watch, start + Duration::from_secs(30), &FINE).is_empty());
        play(&mut watch, start, 30..33, still, 40);
        assert_eq!(codes(&mut watch, start + Duration::from_secs(33), &FINE), [Code::Frozen]);
        // It moves again.
        play(&mut watch, start, 33..34, |second| unit(0x65, &second.to_be_bytes()), 40);
        assert!(codes(&mut watch, start + Duration::from_secs(34), &FINE).is_empty());
    }

    #[test]
    fn a_clip_that_comes_again_and_again_moves() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        play(&mut watch, start, 0..90, |_| unit(0x65, &[7; 4_000]), 900);
        assert!(codes(&mut watch, start + Duration::from_secs(90), &FINE).is_empty());
    }
}
