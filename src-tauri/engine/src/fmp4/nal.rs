//! The few fields of H.264 and H.265 parameter sets that a sample entry repeats or a player stumbles over.

/// As much of a parameter set as is looked at; what matters stands at its beginning.
const LOOK: usize = 512;

/// Bits of a NAL unit without its emulation prevention bytes. Every read past the end is `None`.
struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    /// Reads after `header` bytes of NAL unit header.
    fn of(nal: &[u8], header: usize) -> Self {
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

    fn bit(&mut self) -> Option<u32> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = (byte >> (7 - self.at % 8)) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }

    /// Up to 32 bits.
    fn take(&mut self, count: u32) -> Option<u32> {
        (0..count).try_fold(0, |value, _| Some((value << 1) | self.bit()?))
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(8).and_then(|value| u8::try_from(value).ok())
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count)?;
        (self.at <= self.bytes.len() * 8).then_some(())
    }

    /// Exp-Golomb.
    fn golomb(&mut self) -> Option<u32> {
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
        let format = if has_format(profile) {
            bits.golomb()?;
            Some(format(&mut bits, |_| Some(()))?)
        } else {
            None
        };
        Some(Self { profile, compatibility, level, format })
    }
}

/// Profiles whose SPS names its sample format.
fn has_format(profile: u8) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

/// What follows the picture's size in an H.264 SPS (ISO 14496-10 7.3.2.1.1 and E.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vui {
    /// Samples use 0–255.
    pub(crate) full_range: bool,
    /// Matrix coefficients as in ISO 23091-2; 2 = not said.
    pub(crate) matrix: u32,
    /// Bit of the payload where `vui_parameters_present_flag` stands.
    begin: usize,
    /// Bit where `timing_info_present_flag` stands, if there is one.
    timing: usize,
    missing: bool,
    /// `num_units_in_tick` and `time_scale`; a frame takes two ticks.
    pub(crate) rate: Option<(u32, u32)>,
    /// Frames that a decoder keeps for reference.
    references: u32,
    /// Where `bitstream_restriction_flag` stands.
    restriction: usize,
    /// Pictures out of order at most, where that is said.
    pub(crate) reorder: Option<u32>,
}

impl Default for Vui {
    fn default() -> Self {
        Self {
            full_range: false,
            matrix: 2,
            begin: 0,
            timing: 0,
            missing: false,
            rate: None,
            references: 0,
            restriction: 0,
            reorder: None,
        }
    }
}

/// The two fields and `fixed_frame_rate_flag`.
const RATE_BITS: usize = 32 + 32 + 1;

impl Vui {
    pub(crate) fn of_h264(sps: &[u8]) -> Option<Self> {
        let mut bits = Bits::of(sps, 1);
        let profile = bits.byte()?;
        bits.skip(16)?;
        bits.golomb()?;
        if has_format(profile) {
            let chroma = format(&mut bits, |_| Some(()))?.chroma;
            bits.skip(1)?;
            if bits.bit()? == 1 {
                for list in 0..if chroma == 3 { 12 } else { 8 } {
                    if bits.bit()? == 1 {
                        scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        bits.golomb()?;
        match bits.golomb()? {
            0 => {
                bits.golomb()?;
            }
            1 => {
                bits.skip(1)?;
                bits.golomb()?;
                bits.golomb()?;
                for _ in 0..bits.golomb()?.min(255) {
                    bits.golomb()?;
                }
            }
            _ => {}
        }
        let references = bits.golomb()?;
        bits.skip(1)?;
        bits.golomb()?;
        bits.golomb()?;
        if bits.bit()? == 0 {
            bits.skip(1)?;
        }
        bits.skip(1)?;
        if bits.bit()? == 1 {
            for _ in 0..4 {
                bits.golomb()?;
            }
        }
        let mut vui = Self { begin: bits.at, references, ..Self::default() };
        if bits.bit()? == 0 {
            return Some(Self { missing: true, ..vui });
        }
        if bits.bit()? == 1 && bits.byte()? == 255 {
            bits.skip(32)?;
        }
        if bits.bit()? == 1 {
            bits.skip(1)?;
        }
        if bits.bit()? == 1 {
            bits.skip(3)?;
            vui.full_range = bits.bit()? == 1;
            if bits.bit()? == 1 {
                bits.skip(16)?;
                vui.matrix = bits.take(8)?;
            }
        }
        if bits.bit()? == 1 {
            bits.golomb()?;
            bits.golomb()?;
        }
        vui.timing = bits.at;
        if bits.bit()? == 1 {
            vui.rate = Some((bits.take(32)?, bits.take(32)?));
            bits.skip(1)?;
        }
        let (network, video) = (buffers(&mut bits)?, buffers(&mut bits)?);
        bits.skip(if network || video { 2 } else { 1 })?;
        vui.restriction = bits.at;
        if bits.bit()? == 1 {
            bits.skip(1)?;
            for _ in 0..4 {
                bits.golomb()?;
            }
            vui.reorder = Some(bits.golomb()?);
        }
        Some(vui)
    }
}

/// Hypothetical buffers (E.1.2), which nobody here needs; whether there are any.
fn buffers(bits: &mut Bits) -> Option<bool> {
    if bits.bit()? == 0 {
        return Some(false);
    }
    let count = bits.small(31)?;
    bits.skip(8)?;
    for _ in 0..=count {
        bits.golomb()?;
        bits.golomb()?;
        bits.skip(1)?;
    }
    bits.skip(20)?;
    Some(true)
}

/// An H.264 SPS that says `time_scale / (2 * units)` frames per second and, where it did not say so itself,
/// how many pictures come out of order: a decoder that is not told holds back as many as it could. It is the
/// same otherwise.
pub(crate) fn for_live(sps: &[u8], (units, time_scale): (u32, u32), reorder: u8) -> Option<Vec<u8>> {
    let vui = Vui::of_h264(sps)?;
    // Longer than what is looked at: leave it as it is.
    (sps.len() < LOOK).then_some(())?;
    let payload = Bits::of(sps, 1).bytes;
    let bit = |n: usize| payload.get(n / 8).is_some_and(|byte| (byte >> (7 - n % 8)) & 1 == 1);
    // The stop bit is the last one that is set.
    let stop = (0..payload.len() * 8).rev().find(|&n| bit(n))?;
    let before = if vui.missing { vui.begin } else { vui.timing };
    let mut bits: Vec<bool> = (0..before).map(bit).collect();
    if vui.missing {
        // There is one now; it says nothing of shape, overscan, signal and chroma.
        bits.extend([true, false, false, false, false]);
    }
    bits.push(true);
    for field in [units, time_scale] {
        bits.extend((0..32).rev().map(|n| (field >> n) & 1 == 1));
    }
    bits.push(true);
    if vui.missing {
        // Nor of buffers and picture structure.
        bits.extend([false, false, false]);
    } else {
        let rest = vui.timing + 1 + if vui.rate.is_some() { RATE_BITS } else { 0 };
        (rest <= stop).then_some(())?;
        let end = if vui.reorder.is_some() { stop } else { vui.restriction };
        bits.extend((rest..end).map(bit));
    }
    if vui.reorder.is_none() {
        let reorder = u32::from(reorder);
        bits.extend([true, true]);
        // What is said of sizes is what holds when nothing is said (E.2.1).
        for value in [2, 1, 16, 16, reorder, vui.references.min(16).max(reorder)] {
            golomb(value, &mut bits);
        }
    }
    bits.push(true);
    Some(written(*sps.first()?, &bits))
}

/// A NAL unit with one byte of header, emulation prevention and all.
fn written(header: u8, bits: &[bool]) -> Vec<u8> {
    let mut nal = vec![header];
    let mut zeros = 0;
    for byte in bits.chunks(8) {
        let byte = byte.iter().enumerate().fold(0, |sum, (n, &set)| sum | (u8::from(set) << (7 - n)));
        if zeros >= 2 && byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
    nal
}

/// Appends an Exp-Golomb code.
fn golomb(value: u32, bits: &mut Vec<bool>) {
    let code = u64::from(value) + 1;
    let length = 64 - code.leading_zeros();
    bits.extend((1..length).map(|_| false));
    bits.extend((0..length).rev().map(|n| (code >> n) & 1 == 1));
}

fn scaling_list(bits: &mut Bits, size: usize) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            let code = i64::from(bits.golomb()?);
            let delta = if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) };
            next = (last + delta).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
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

/// An H.264 SPS that ends before its VUI, as many cameras have it.
#[cfg(test)]
pub(super) fn without_vui(sps: &[u8]) -> Vec<u8> {
    let begin = Vui::of_h264(sps).expect("an SPS").begin;
    let mut bits = Bits::of(sps, 1);
    let kept = (0..begin).map(|_| bits.bit() == Some(1));
    written(sps[0], &kept.chain([false, true]).collect::<Vec<_>>())
}
