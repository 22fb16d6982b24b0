//! The few fields of H.264 and H.265 parameter sets that a sample entry repeats.

/// As much of a parameter set as is looked at; what matters stands at its beginning.
const LOOK: usize = 256;

/// Bits of a NAL unit without its emulation prevention bytes. Every read past the end is `None`.
pub(crate) struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    /// Reads after `header` bytes of NAL unit header.
    pub(crate) fn of(nal: &[u8], header: usize) -> Self {
        let mut bytes = Vec::with_capacity(nal.len().min(LOOK));
        let mut zeros = 0;
        for &byte in nal.iter().skip(header).take(LOOK) {
            if zeros >= 2 && byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            bytes.push(byte);
        }
        Self { bytes, at: 0 }
    }

    pub(crate) fn bit(&mut self) -> Option<u32> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = (byte >> (7 - self.at % 8)) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }

    /// Up to 32 bits.
    pub(crate) fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some((value << 1) | self.bit()?))
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(8).and_then(|value| u8::try_from(value).ok())
    }

    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count)?;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// Exp-Golomb.
    pub(crate) fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.take(zeros)?)
    }

    fn small(&mut self, most: u32) -> Option<u8> {
        let value = self.golomb()?;
        (value <= most).then_some(())?;
        u8::try_from(value).ok()
    }
}

/// Sample format, as avcC and hvcC repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) chroma: u8,
    pub(super) luma_depth: u8,
    pub(super) chroma_depth: u8,
}

/// Profile, compatibility and level of an H.264 SPS, and the format where the profile has one
/// (ISO 14496-10 7.3.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct H264 {
    pub(super) profile: u8,
    pub(super) compatibility: u8,
    pub(super) level: u8,
    pub(super) format: Option<Format>,
}

impl H264 {
    pub(super) fn parse(sps: &[u8]) -> Option<Self> {
        let mut bits = Bits::of(sps, 1);
        let (profile, compatibility, level) = (bits.byte()?, bits.byte()?, bits.byte()?);
        let format = match profile {
            100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135 => {
                bits.golomb()?;
                Some(format(&mut bits, |_| Some(()))?)
            }
            _ => None,
        };
        Some(Self { profile, compatibility, level, format })
    }
}

/// What hvcC and the codec string repeat of an H.265 SPS (ISO 23008-2 7.3.2.2, 7.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct H265 {
    pub(super) space: u8,
    pub(super) high_tier: bool,
    pub(super) profile: u8,
    pub(super) compatibility: [u8; 4],
    pub(super) constraints: [u8; 6],
    pub(super) level: u8,
    pub(super) layers: u8,
    pub(super) nested: bool,
    pub(super) format: Format,
}

impl H265 {
    pub(super) fn parse(sps: &[u8]) -> Option<Self> {
        let mut bits = Bits::of(sps, 2);
        bits.skip(4)?;
        let sub_layers = bits.take(3)?;
        let nested = bits.bit()? == 1;
        let general = bits.byte()?;
        let mut compatibility = [0; 4];
        for byte in &mut compatibility {
            *byte = bits.byte()?;
        }
        let mut constraints = [0; 6];
        for byte in &mut constraints {
            *byte = bits.byte()?;
        }
        let level = bits.byte()?;
        let mut present = Vec::new();
        for _ in 0..sub_layers {
            present.push((bits.bit()? == 1, bits.bit()? == 1));
        }
        if sub_layers > 0 {
            bits.skip((8 - sub_layers as usize) * 2)?;
        }
        for (profile, level) in present {
            bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
        }
        bits.golomb()?;
        let format = format(&mut bits, |bits| {
            bits.golomb()?;
            bits.golomb()?;
            if bits.bit()? == 1 {
                for _ in 0..4 {
                    bits.golomb()?;
                }
            }
            Some(())
        })?;
        Some(Self {
            space: general >> 6,
            high_tier: general & 0x20 != 0,
            profile: general & 0x1f,
            compatibility,
            constraints,
            level,
            layers: u8::try_from(sub_layers + 1).ok()?,
            nested,
            format,
        })
    }
}

/// `chroma_format_idc` to the bit depths; H.265 has the picture's size between them.
fn format(bits: &mut Bits, between: impl FnOnce(&mut Bits) -> Option<()>) -> Option<Format> {
    let chroma = bits.small(3)?;
    if chroma == 3 {
        bits.skip(1)?;
    }
    between(bits)?;
    let (luma, other) = (bits.small(6)?, bits.small(6)?);
    Some(Format { chroma, luma_depth: 8 + luma, chroma_depth: 8 + other })
}
