//! The decoders, each of them for one key frame.

use openh264::OpenH264API;
use openh264::decoder::{Decoder as OpenH264, DecoderConfig};
use openh264::formats::YUVSource as _;
use rusty_h265::Decoder as RustyH265;

use super::colour::Colour;
use super::picture::{Picture, Plane};
use super::{StillError, check_size, contained, jpeg};
use crate::media::{Codec, Frame, Parameters, TrackInfo};

/// Decodes a key frame of `track`. Takes milliseconds of CPU, tens for large pictures: call it on a
/// blocking thread.
///
/// # Errors
/// [`StillError`] for whatever is not a whole picture of a known codec.
pub fn decode(track: &TrackInfo, frame: &Frame) -> Result<Picture, StillError> {
    match (track.codec, &track.parameters) {
        (Codec::H264, Parameters::H264 { sps, pps, width, height, .. }) => {
            check_size(usize::from(*width), usize::from(*height))?;
            h264(sps, pps, &frame.data)
        }
        (Codec::H265, Parameters::H265 { vps, sps, pps, width, height, .. }) => {
            check_size(usize::from(*width), usize::from(*height))?;
            h265([vps, sps, pps], &frame.data)
        }
        (Codec::Mjpeg, _) => jpeg::read(&frame.data),
        (Codec::H264 | Codec::H265, _) => Err(StillError::Parameters),
        (codec, _) => Err(StillError::Codec(codec)),
    }
}

/// The NAL units of a frame; an error where a length points outside.
fn units(mut data: &[u8]) -> impl Iterator<Item = Result<&[u8], StillError>> {
    std::iter::from_fn(move || {
        if data.is_empty() {
            return None;
        }
        let split = data.split_first_chunk().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        let Some((unit, rest)) = split else {
            data = &[];
            return Some(Err(StillError::Decoder("it is cut short".to_owned())));
        };
        data = rest;
        Some(Ok(unit))
    })
}

fn h264(sps: &[u8], pps: &[u8], data: &[u8]) -> Result<Picture, StillError> {
    const START: [u8; 4] = [0, 0, 0, 1];
    let mut stream = Vec::with_capacity(data.len() + sps.len() + pps.len() + 64);
    for set in [sps, pps] {
        stream.extend_from_slice(&START);
        stream.extend_from_slice(set);
    }
    for unit in units(data) {
        let unit = unit?;
        // Slices only: other parameter sets than those whose size was checked must not come in.
        if unit.first().is_some_and(|header| (1..=5).contains(&(header & 0x1f))) {
            stream.extend_from_slice(&START);
            stream.extend_from_slice(unit);
        }
    }
    contained(|| {
        let mut decoder =
            OpenH264::with_api_config(OpenH264API::from_source(), DecoderConfig::new()).map_err(said)?;
        if let Some(decoded) = decoder.decode(&stream).map_err(said)? {
            return planar(&decoded, sps);
        }
        let held = decoder.flush_remaining().map_err(said)?;
        let decoded = held.first().ok_or_else(|| StillError::Decoder("it is incomplete".to_owned()))?;
        planar(decoded, sps)
    })
}

fn planar(decoded: &openh264::decoder::DecodedYUV<'_>, sps: &[u8]) -> Result<Picture, StillError> {
    let (width, height) = decoded.dimensions();
    check_size(width, height)?;
    let (luma, blue, red) = decoded.strides();
    let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
    let short = || StillError::Decoder("a plane is too small".to_owned());
    let planes = [
        Plane::copied(decoded.y(), luma, width, height).ok_or_else(short)?,
        Plane::copied(decoded.u(), blue, half_width, half_height).ok_or_else(short)?,
        Plane::copied(decoded.v(), red, half_width, half_height).ok_or_else(short)?,
    ];
    Picture::new((width, height), planes, Colour::of_h264(sps, height))
}

fn said(error: openh264::Error) -> StillError {
    StillError::Decoder(error.to_string())
}

fn h265(sets: [&[u8]; 3], data: &[u8]) -> Result<Picture, StillError> {
    let said = |error: rusty_h265::Error| StillError::Decoder(error.to_string());
    contained(|| {
        let mut decoder = RustyH265::new();
        for set in sets {
            decoder.push_nal(set, None).map_err(said)?;
        }
        for unit in units(data) {
            let unit = unit?;
            // Slices only, as above.
            if unit.first().is_some_and(|header| (header >> 1) & 0x3f < 32) {
                decoder.push_nal(unit, None).map_err(said)?;
            }
        }
        decoder.flush();
        let frame = decoder.next_frame().map_err(said)?;
        let picture = &frame.picture;
        let (left, top, width, height) = picture.crop;
        check_size(width, height)?;
        let half = |at: usize| at / 2;
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let luma = narrowed(&picture.planes[0], (left, top), (width, height), picture.bit_depth_luma)?;
        let chroma = |n: usize| match picture.chroma_format_idc {
            0 => Ok(Plane { width: half_width, samples: vec![128; half_width * half_height] }),
            1 => narrowed(
                &picture.planes[n],
                (half(left), half(top)),
                (half_width, half_height),
                picture.bit_depth_chroma,
            ),
            _ => Err(StillError::Decoder("its colours are stored in an unusual way".to_owned())),
        };
        let colour = h265_colour(sets[1], height);
        Picture::new((width, height), [luma, chroma(1)?, chroma(2)?], colour)
    })
}

/// Eight bits of each sample of a rectangle.
fn narrowed(
    plane: &rusty_h265::Plane,
    (left, top): (usize, usize),
    (width, height): (usize, usize),
    depth: u8,
) -> Result<Plane, StillError> {
    let shift = u32::from(depth.saturating_sub(8)).min(8);
    let mut samples = Vec::with_capacity(width * height);
    for y in top..top + height {
        let at = y * plane.stride + left;
        let row = plane.data.get(at..at + width);
        let row = row.ok_or_else(|| StillError::Decoder("a plane is too small".to_owned()))?;
        samples.extend(row.iter().map(|&sample| u8::try_from(sample >> shift).unwrap_or(u8::MAX)));
    }
    Ok(Plane { width, samples })
}

fn h265_colour(sps: &[u8], height: usize) -> Colour {
    let payload = rusty_h265::nal::unescape(sps.get(2..).unwrap_or_default());
    let vui = rusty_h265::ps::parse_sps(&payload.data).ok().and_then(|sps| sps.vui);
    let (full, coefficients) =
        vui.map_or((false, 2), |vui| (vui.video_full_range_flag, u32::from(vui.matrix_coeffs)));
    Colour::new(full, coefficients, height)
}
