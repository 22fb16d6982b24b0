//! What a decoder, a page and a file must know of an H.265 sequence parameter set (ITU-T H.265 7.3.2.2).
//!
//! Input is foreign: every read is bounded, nonsense gives `None`.

use super::bits::BitReader;

/// NAL unit types that matter outside a decoder.
pub mod nal {
    /// First of the types of pictures that need no earlier one.
    pub const FIRST_IRAP: u8 = 16;
    /// Last of them.
    pub const LAST_IRAP: u8 = 23;
    /// Video parameter set.
    pub const VPS: u8 = 32;
    /// Sequence parameter set.
    pub const SPS: u8 = 33;
    /// Picture parameter set.
    pub const PPS: u8 = 34;

    /// The type of a NAL unit by its first byte.
    #[must_use]
    pub const fn kind(header: u8) -> u8 {
        header >> 1 & 0x3f
    }
}

/// The facts of a sequence parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// Pixels shown.
    pub width: u16,
    /// Pixels shown.
    pub height: u16,
    /// Pictures that may precede a picture in decoding order and follow it in output order.
    pub reorder: u8,
}

/// Largest side of a picture that is believed.
const MAX_SIDE: u32 = 16_384;

impl Sps {
    /// Reads a NAL unit, its two-byte header included, without start code.
    #[must_use]
    pub fn parse(unit: &[u8]) -> Option<Self> {
        let payload = unit.get(2..)?;
        if nal::kind(unit[0]) != nal::SPS {
            return None;
        }
        let mut bits = BitReader::new(payload);
        let r = &mut bits;
        r.skip(4)?;
        let sub_layers = r.bits(3)?;
        if sub_layers > 6 {
            return None;
        }
        r.bit()?;
        profile_tier_level(r, sub_layers)?;
        r.ue_max(15)?;
        let chroma = r.ue_max(3)?;
        let separate = chroma == 3 && r.bit()?;
        let mut width = r.ue_max(MAX_SIDE)?;
        let mut height = r.ue_max(MAX_SIDE)?;
        if r.bit()? {
            let (x, y) = match chroma {
                _ if separate => (1, 1),
                1 => (2, 2),
                2 => (2, 1),
                _ => (1, 1),
            };
            let mut crop = || r.ue_max(MAX_SIDE);
            let (left, right, top, bottom) = (crop()?, crop()?, crop()?, crop()?);
            width = width.checked_sub((left + right) * x)?;
            height = height.checked_sub((top + bottom) * y)?;
        }
        if width == 0 || height == 0 {
            return None;
        }
        r.ue_max(8)?;
        r.ue_max(8)?;
        r.ue_max(12)?;
        // Either all sub-layers are told or only the highest, which is the one that is decoded.
        let told = if r.bit()? { sub_layers + 1 } else { 1 };
        let mut reorder = 0;
        for _ in 0..told {
            r.ue_max(16)?;
            reorder = r.ue_max(16)?;
            r.ue()?;
        }
        Some(Self {
            width: width.try_into().ok()?,
            height: height.try_into().ok()?,
            reorder: reorder.try_into().ok()?,
        })
    }
}

fn profile_tier_level(r: &mut BitReader, sub_layers: u32) -> Option<()> {
    r.skip(88)?;
    r.skip(8)?;
    let mut present = [(false, false); 6];
    for flags in present.iter_mut().take(sub_layers as usize) {
        *flags = (r.bit()?, r.bit()?);
    }
    if sub_layers > 0 {
        r.skip(2 * (8 - sub_layers as usize))?;
    }
    for (profile, level) in present.iter().take(sub_layers as usize) {
        if *profile {
            r.skip(88)?;
        }
        if *level {
            r.skip(8)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn sets_of_a_real_encoder_are_read() {
        let flat = Sps::parse(&unhex(
            "420101016000000300900000030000030078a003c08010e5964a924caf016808000003000800000300c840",
        ));
        assert_eq!(flat, Some(Sps { width: 1920, height: 1080, reorder: 0 }));
        let pyramid = Sps::parse(&unhex(
            "42010101600000030090000003000003005da00284802d9dc996565924caf0168080000003008000000c84",
        ));
        assert_eq!(pyramid, Some(Sps { width: 1284, height: 722, reorder: 2 }));
    }

    #[test]
    fn a_set_cut_short_or_of_another_kind_is_none() {
        let whole = unhex("420101016000000300900000030000030078a003c08010e5964a924caf0168");
        for cut in 0..25 {
            assert_eq!(Sps::parse(&whole[..cut]), None);
        }
        assert_eq!(Sps::parse(&unhex("4401c172b46240")), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut unit in proptest::collection::vec(any::<u8>(), 2..200)) {
            let _ = Sps::parse(&unit);
            unit[0] = 0x42;
            if let Some(sps) = Sps::parse(&unit) {
                prop_assert!(sps.width > 0 && sps.height > 0);
            }
        }
    }
}
