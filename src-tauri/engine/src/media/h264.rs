//! What a decoder, a page and a file must know of an H.264 sequence parameter set (ITU-T H.264 7.3.2.1).
//!
//! Input is foreign: every read is bounded, nonsense gives `None`.

use super::bits::BitReader;

/// NAL unit types that matter outside a decoder.
pub mod nal {
    /// Coded slice of an IDR picture.
    pub const IDR: u8 = 5;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;

    /// The type of a NAL unit by its first byte.
    #[must_use]
    pub const fn kind(header: u8) -> u8 {
        header & 0x1f
    }
}

/// The facts of a sequence parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// profile_idc, the constraint flags, and level_idc: the six digits of `avc1.…`.
    pub profile: [u8; 3],
    /// Pixels shown.
    pub width: u16,
    /// Pixels shown.
    pub height: u16,
    /// Pictures that may precede a picture in decoding order and follow it in output order, where the
    /// stream says so.
    pub reorder: Option<u8>,
    /// Frames that a decoder keeps for reference.
    pub references: u32,
    /// Bit of the payload where `vui_parameters_present_flag` stands, emulation prevention not counted.
    pub vui_at: usize,
    /// The usability information; `None` where there is none, and where it is damaged.
    pub vui: Option<Vui>,
}

/// Sample format, as files repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// chroma_format_idc.
    pub chroma: u8,
    /// Bits of a sample.
    pub luma_depth: u8,
    /// Bits of a sample.
    pub chroma_depth: u8,
}

/// The usability information of a sequence parameter set (ITU-T H.264 E.1.1). Bits are counted as for [`Sps::vui_at`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vui {
    /// Samples use 0–255.
    pub full_range: bool,
    /// Matrix coefficients as in ISO 23091-2; 2 = not said.
    pub matrix: u32,
    /// Where `timing_info_present_flag` stands.
    pub timing_at: usize,
    /// `num_units_in_tick` and `time_scale`; a frame takes two ticks.
    pub rate: Option<(u32, u32)>,
    /// Where what follows the timing begins.
    pub rest_at: usize,
    /// Where `bitstream_restriction_flag` stands.
    pub restriction_at: usize,
    /// Pictures out of order at most, where that is said.
    pub reorder: Option<u8>,
}

/// Profile as in [`Sps::profile`] and, where the profile has one, the sample format: the beginning of a sequence
/// parameter set, for those whose rest cannot be read.
#[must_use]
pub fn profile(unit: &[u8]) -> Option<([u8; 3], Option<Format>)> {
    let mut bits = BitReader::new(unit.get(1..)?);
    let profile = [bits.byte()?, bits.byte()?, bits.byte()?];
    if !names_format(profile[0]) {
        return Some((profile, None));
    }
    bits.ue()?;
    Some((profile, Some(format(&mut bits)?.0)))
}

/// Whether a slice, its header byte included, is one that may look forward in time.
#[must_use]
pub fn is_b_slice(unit: &[u8]) -> bool {
    // The two numbers in question have at most 31 bits each, emulation prevention included.
    let payload = unit.get(1..).unwrap_or_default();
    let mut bits = BitReader::new(&payload[..payload.len().min(12)]);
    bits.ue().is_some() && matches!(bits.ue(), Some(1 | 6))
}

/// Largest picture that is believed, in macroblocks a side: 16,384 pixels.
const MAX_MACROBLOCKS: u32 = 1024;

impl Sps {
    /// Reads a NAL unit, header included, without start code.
    #[must_use]
    pub fn parse(unit: &[u8]) -> Option<Self> {
        let (&header, payload) = unit.split_first()?;
        if nal::kind(header) != nal::SPS {
            return None;
        }
        let mut bits = BitReader::new(payload);
        let r = &mut bits;
        let profile = [r.byte()?, r.byte()?, r.byte()?];
        r.ue_max(31)?;
        let (chroma, separate) = chroma(r, profile[0])?;
        r.ue_max(12)?;
        let order_type = picture_order(r)?;
        let references = r.ue_max(16)?;
        r.bit()?;
        let columns = r.ue_max(MAX_MACROBLOCKS - 1)? + 1;
        let map_rows = r.ue_max(MAX_MACROBLOCKS - 1)? + 1;
        let frames_only = r.bit()?;
        if !frames_only {
            r.bit()?;
        }
        r.bit()?;
        let (width, height) = size(r, columns, map_rows, frames_only, chroma, separate)?;
        let vui_at = r.at();
        // Damage in what follows, which is about display, does not make the picture undecodable.
        let vui = if r.bit() == Some(true) { vui(r) } else { None };
        let reorder = match vui.and_then(|vui| vui.reorder) {
            Some(reorder) => Some(reorder),
            // Output order is decoding order, by definition or because the profile has no B slices.
            None if order_type == 2 || profile[0] == 66 => Some(0),
            None => None,
        };
        Some(Self { profile, width, height, reorder, references, vui_at, vui })
    }
}

/// Profiles whose sets name the sample format.
fn names_format(profile: u8) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

/// The sample format, and separate_colour_plane_flag.
fn format(r: &mut BitReader) -> Option<(Format, bool)> {
    let small = |value: u32| u8::try_from(value).ok();
    let chroma = r.ue_max(3)?;
    let separate = chroma == 3 && r.bit()?;
    let (luma, other) = (r.ue_max(6)?, r.ue_max(6)?);
    let format =
        Format { chroma: small(chroma)?, luma_depth: small(8 + luma)?, chroma_depth: small(8 + other)? };
    Some((format, separate))
}

/// chroma_format_idc and separate_colour_plane_flag, and what profiles put around them.
fn chroma(r: &mut BitReader, profile: u8) -> Option<(u8, bool)> {
    if !names_format(profile) {
        return Some((1, false));
    }
    let (Format { chroma, .. }, separate) = format(r)?;
    r.bit()?;
    if r.bit()? {
        for i in 0..if chroma == 3 { 12 } else { 8 } {
            if r.bit()? {
                scaling_list(r, if i < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some((chroma, separate))
}

fn scaling_list(r: &mut BitReader, size: usize) -> Option<()> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            next = last.checked_add(r.se()?)?.rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

fn picture_order(r: &mut BitReader) -> Option<u32> {
    let kind = r.ue_max(2)?;
    match kind {
        0 => {
            r.ue_max(12)?;
        }
        1 => {
            r.bit()?;
            r.se()?;
            r.se()?;
            for _ in 0..r.ue_max(255)? {
                r.se()?;
            }
        }
        _ => {}
    }
    Some(kind)
}

fn size(
    r: &mut BitReader,
    columns: u32,
    map_rows: u32,
    frames_only: bool,
    chroma: u8,
    separate: bool,
) -> Option<(u16, u16)> {
    let fields = if frames_only { 1 } else { 2 };
    let (mut width, mut height) = (columns * 16, map_rows * 16 * fields);
    if r.bit()? {
        let (x, y) = match chroma {
            _ if separate => (1, fields),
            1 => (2, 2 * fields),
            2 => (2, fields),
            _ => (1, fields),
        };
        let mut crop = || r.ue_max(MAX_MACROBLOCKS * 16);
        let (left, right, top, bottom) = (crop()?, crop()?, crop()?, crop()?);
        width = width.checked_sub((left + right) * x).filter(|w| *w > 0)?;
        height = height.checked_sub((top + bottom) * y).filter(|h| *h > 0)?;
    }
    Some((width.try_into().ok()?, height.try_into().ok()?))
}

fn vui(r: &mut BitReader) -> Option<Vui> {
    const EXTENDED_SAR: u32 = 255;
    if r.bit()? && r.bits(8)? == EXTENDED_SAR {
        r.skip(32)?;
    }
    if r.bit()? {
        r.bit()?;
    }
    let (mut full_range, mut matrix) = (false, 2);
    if r.bit()? {
        r.skip(3)?;
        full_range = r.bit()?;
        if r.bit()? {
            r.skip(16)?;
            matrix = r.bits(8)?;
        }
    }
    if r.bit()? {
        r.ue()?;
        r.ue()?;
    }
    let timing_at = r.at();
    let mut rate = None;
    if r.bit()? {
        rate = Some((r.bits(32)?, r.bits(32)?));
        r.bit()?;
    }
    let rest_at = r.at();
    let nal_hrd = r.bit()?;
    if nal_hrd {
        hrd(r)?;
    }
    let vcl_hrd = r.bit()?;
    if vcl_hrd {
        hrd(r)?;
    }
    if nal_hrd || vcl_hrd {
        r.bit()?;
    }
    r.bit()?;
    let restriction_at = r.at();
    let mut reorder = None;
    if r.bit()? {
        r.bit()?;
        for _ in 0..4 {
            r.ue()?;
        }
        reorder = u8::try_from(r.ue_max(16)?).ok();
    }
    Some(Vui { full_range, matrix, timing_at, rate, rest_at, restriction_at, reorder })
}

fn hrd(r: &mut BitReader) -> Option<()> {
    let count = r.ue_max(31)? + 1;
    r.skip(8)?;
    for _ in 0..count {
        r.ue()?;
        r.ue()?;
        r.bit()?;
    }
    r.skip(20)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    fn parse(text: &str) -> Sps {
        Sps::parse(&unhex(text)).unwrap()
    }

    #[test]
    fn sets_of_a_real_encoder_are_read() {
        let baseline = parse("6742c01fd9005005bb011000000300100000030320f1832480");
        assert_eq!((baseline.width, baseline.height, baseline.reorder), (1280, 720, Some(0)));
        assert_eq!(baseline.profile, [0x42, 0xc0, 0x1f]);
        let high = parse("67640028acd940780227e5c044000003000400000300c83c60c658");
        assert_eq!((high.width, high.height, high.reorder), (1920, 1080, Some(2)));
        let main = parse("674d401ed900a02ff93011000003000100000300320f162e48");
        assert_eq!((main.width, main.height, main.reorder), (640, 362, Some(0)));
        // 4:2:2, interlaced, with rate control information.
        let fields = parse("677a001fbcd940b826f11086022000000300200000064c4c001e848003d09498601f162d96");
        assert_eq!((fields.width, fields.height, fields.reorder), (722, 578, Some(2)));
    }

    #[test]
    fn a_set_cut_short_or_of_another_kind_is_none() {
        let whole = unhex("6742c01fd9005005bb011000000300100000030320f1832480");
        for cut in 0..8 {
            assert_eq!(Sps::parse(&whole[..cut]), None);
        }
        // Cut within the usability information: the picture is known all the same.
        assert_eq!(Sps::parse(&whole[..12]).map(|sps| sps.width), Some(1280));
        assert_eq!(Sps::parse(&unhex("68cb83cb20")), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut unit in proptest::collection::vec(any::<u8>(), 1..200)) {
            let _ = Sps::parse(&unit);
            unit[0] = 0x67;
            if let Some(sps) = Sps::parse(&unit) {
                prop_assert!(sps.width > 0 && sps.height > 0);
            }
        }
    }
}
