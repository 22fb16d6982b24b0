//! What an access unit holds, seen from the headers of its NAL units.

use crate::media::{Codec, h264, h265};

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Picture {
    /// No picture: parameter sets, delimiters, filler.
    None,
    /// A picture that needs no earlier one.
    Key,
    /// A picture. `bidirectional` where its first slice is a B slice, H.264 only.
    Other { bidirectional: bool },
}

/// Looks at NAL units with 4-byte lengths. Damage ends the look.
pub(super) fn look(codec: Codec, mut data: &[u8]) -> Picture {
    if !matches!(codec, Codec::H264 | Codec::H265) {
        return if data.is_empty() { Picture::None } else { Picture::Key };
    }
    let mut found = Picture::None;
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((unit, rest)) = rest.split_at_checked(length) else { break };
        data = rest;
        let Some(&header) = unit.first() else { continue };
        match codec {
            Codec::H264 => match h264::nal::kind(header) {
                h264::nal::IDR => return Picture::Key,
                1 if found == Picture::None => {
                    found = Picture::Other { bidirectional: h264::is_b_slice(unit) };
                }
                2..=4 if found == Picture::None => found = Picture::Other { bidirectional: false },
                _ => {}
            },
            _ => match h265::nal::kind(header) {
                h265::nal::FIRST_IRAP..=h265::nal::LAST_IRAP => return Picture::Key,
                0..=31 => found = Picture::Other { bidirectional: false },
                _ => {}
            },
        }
    }
    found
}

/// Counts how far pictures of an H.264 stream are out of display order, for streams that do not say.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Times of the pictures since the last key, newest last.
    recent: Vec<i64>,
    /// Pictures that preceded one in decoding order and follow it in display order, at most.
    pub(super) seen: u8,
}

/// The most that the format allows.
const MAX_REORDER: usize = 16;

impl Order {
    /// Takes note of the next picture in decoding order.
    pub(super) fn note(&mut self, pts: i64, picture: Picture) {
        match picture {
            Picture::Key => self.recent.clear(),
            // Only B slices may come back in time; a camera whose clock jitters has none.
            Picture::Other { bidirectional: true } => {
                let later = self.recent.iter().filter(|other| **other > pts).count();
                self.seen = self.seen.max(u8::try_from(later).unwrap_or(u8::MAX));
            }
            Picture::Other { .. } | Picture::None => {}
        }
        if self.recent.len() == MAX_REORDER {
            self.recent.remove(0);
        }
        self.recent.push(pts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(units: &[&[u8]]) -> Vec<u8> {
        let mut data = Vec::new();
        for unit in units {
            data.extend_from_slice(&u32::try_from(unit.len()).unwrap().to_be_bytes());
            data.extend_from_slice(unit);
        }
        data
    }

    #[test]
    fn an_access_unit_is_known_by_its_slices() {
        assert_eq!(look(Codec::H264, &units(&[&[9, 0x10], &[0x65, 0x88], &[12, 0xff]])), Picture::Key);
        assert_eq!(look(Codec::H264, &units(&[&[9, 0x10], &[12, 0xff]])), Picture::None);
        // first_mb_in_slice 0, slice_type 5 (P) and 6 (B).
        let p = Picture::Other { bidirectional: false };
        assert_eq!(look(Codec::H264, &units(&[&[0x41, 0b1001_1010, 0]])), p);
        let b = Picture::Other { bidirectional: true };
        assert_eq!(look(Codec::H264, &units(&[&[0x01, 0b1001_1110, 0]])), b);
        assert_eq!(look(Codec::H265, &units(&[&[19 << 1, 1, 0]])), Picture::Key);
        assert_eq!(look(Codec::H265, &units(&[&[38 << 1, 1, 0]])), Picture::None);
        assert_eq!(look(Codec::H265, &[0, 0, 0, 9, 1]), Picture::None);
        assert_eq!(look(Codec::Mjpeg, &[0xff, 0xd8]), Picture::Key);
    }

    #[test]
    fn only_b_slices_count_as_out_of_order() {
        let (p, b) = (Picture::Other { bidirectional: false }, Picture::Other { bidirectional: true });
        let mut order = Order::default();
        for (pts, picture) in [(0, Picture::Key), (8, p), (4, b), (2, b), (6, b)] {
            order.note(pts, picture);
        }
        assert_eq!(order.seen, 2);
        let mut order = Order::default();
        for (pts, picture) in [(0, Picture::Key), (8, p), (7, p), (9, p)] {
            order.note(pts, picture);
        }
        assert_eq!(order.seen, 0);
    }
}
