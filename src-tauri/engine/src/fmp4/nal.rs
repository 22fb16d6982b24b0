//! The few fields of H.264 and H.265 parameter sets that a sample entry repeats or a player stumbles over.

use crate::media::bits::{BitReader, MAX_PAYLOAD};
use crate::media::h264::{self, Format, Sps};

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
        let ([profile, compatibility, level], format) = h264::profile(sps)?;
        Some(Self { profile, compatibility, level, format })
    }
}

/// An H.264 SPS that says `time_scale / (2 * units)` frames per second and, where it did not say so itself,
/// how many pictures come out of order: a decoder that is not told holds back as many as it could. It is the
/// same otherwise.
pub(crate) fn for_live(sps: &[u8], (units, time_scale): (u32, u32), reorder: u8) -> Option<Vec<u8>> {
    let set = Sps::parse(sps)?;
    // Longer than what is looked at: leave it as it is.
    (sps.len() <= MAX_PAYLOAD).then_some(())?;
    let payload = BitReader::new(sps.get(1..)?).all();
    // What is there and cannot be read stays, too.
    let missing = !payload.get(set.vui_at).copied().unwrap_or(false);
    let vui = set.vui;
    (missing || vui.is_some()).then_some(())?;
    let before = vui.map_or(set.vui_at, |vui| vui.timing_at);
    let mut bits: Vec<bool> = payload.get(..before)?.to_vec();
    if missing {
        // There is one now; it says nothing of shape, overscan, signal and chroma.
        bits.extend([true, false, false, false, false]);
    }
    bits.push(true);
    for field in [units, time_scale] {
        bits.extend((0..32).rev().map(|n| (field >> n) & 1 == 1));
    }
    bits.push(true);
    let told = vui.and_then(|vui| vui.reorder);
    match vui {
        // Nor of buffers and picture structure.
        None => bits.extend([false, false, false]),
        Some(vui) => {
            let end = if told.is_some() { payload.len() } else { vui.restriction_at };
            bits.extend(payload.get(vui.rest_at..end)?);
        }
    }
    if told.is_none() {
        let reorder = u32::from(reorder);
        bits.extend([true, true]);
        // What is said of sizes is what holds when nothing is said (E.2.1).
        for value in [2, 1, 16, 16, reorder, set.references.max(reorder)] {
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
        let mut bits = BitReader::new(sps.get(2..)?);
        bits.skip(4)?;
        let sub_layers = bits.bits(3)?;
        let nested = bits.bit()?;
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
            present.push((bits.bit()?, bits.bit()?));
        }
        if sub_layers > 0 {
            bits.skip((8 - sub_layers as usize) * 2)?;
        }
        for (profile, level) in present {
            bits.skip(if profile { 88 } else { 0 } + if level { 8 } else { 0 })?;
        }
        bits.ue()?;
        let format = format(&mut bits)?;
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

/// `chroma_format_idc` to the bit depths, with the picture's size between them.
fn format(bits: &mut BitReader) -> Option<Format> {
    let small = |value: u32| u8::try_from(value).ok();
    let chroma = bits.ue_max(3)?;
    if chroma == 3 {
        bits.skip(1)?;
    }
    bits.ue()?;
    bits.ue()?;
    if bits.bit()? {
        for _ in 0..4 {
            bits.ue()?;
        }
    }
    let (luma, other) = (bits.ue_max(6)?, bits.ue_max(6)?);
    Some(Format { chroma: small(chroma)?, luma_depth: small(8 + luma)?, chroma_depth: small(8 + other)? })
}

/// An H.264 SPS that ends before its VUI, as many cameras have it.
#[cfg(test)]
pub(super) fn without_vui(sps: &[u8]) -> Vec<u8> {
    let begin = Sps::parse(sps).expect("an SPS").vui_at;
    let mut bits = BitReader::new(&sps[1..]).all();
    bits.truncate(begin);
    bits.extend([false, true]);
    written(sps[0], &bits)
}
