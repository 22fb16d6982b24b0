//! One access unit in, its RTP payloads out.
//!
//! Pure, and done once for all viewers of the moment: each puts its own headers before the same payloads.
//! A payload never exceeds [`PAYLOAD_MAX`], and the fragments of a large unit are all of one size but
//! the last, so that a run of them leaves in a single system call. Nothing here knows sequence numbers,
//! timestamps or viewers.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use rtc::rtp::packetizer::Payloader;

use crate::media::{Codec, Frame, Packets, Parameters, TrackInfo};

/// Largest payload in bytes: with RTP, SRTP, UDP and IPv6 headers it stays under IPv6's smallest MTU.
pub(super) const PAYLOAD_MAX: usize = 1_200;

const NAL_TYPE: u8 = 0x1f;
const NAL_SPS: u8 = 7;
const NAL_STAP_A: u8 = 24;
const NAL_FU_A: u8 = 28;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;
/// FU indicator and FU header.
const FU_PREFIX: usize = 2;
/// Type byte of the aggregate; then two bytes of length before each unit.
const STAP_PREFIX: usize = 1;
const STAP_LENGTH: usize = 2;

/// The payloads of `frame`, made where no viewer has them in hand. Empty where there is nothing to send.
pub(super) fn packets(track: &TrackInfo, frame: &Frame) -> Packets {
    frame.packets.get_or_make(|| payloads(track, frame).into())
}

fn payloads(track: &TrackInfo, frame: &Frame) -> Vec<Bytes> {
    match track.codec {
        Codec::H264 => h264(track, frame),
        Codec::Vp8 => described(&frame.data, |first, _| if first { 0x10 } else { 0 }),
        // Neither picture ids nor layers: receivers then order frames by sequence number alone.
        Codec::Vp9 => described(&frame.data, |first, last| {
            u8::from(!frame.key) << 6 | u8::from(first) << 3 | u8::from(last) << 2
        }),
        Codec::Av1 => {
            // The payloader believes every size it reads.
            if !obus_fit(&frame.data) {
                return Vec::new();
            }
            let mut payloader = rtc::rtp::codec::av1::Av1Payloader {};
            payloader.payload(PAYLOAD_MAX, &frame.data).unwrap_or_default()
        }
        _ if frame.data.is_empty() => Vec::new(),
        _ => vec![frame.data.clone()],
    }
}

/// Payloads with a descriptor of one byte, which depends on where in the frame they are.
fn described(data: &[u8], descriptor: impl Fn(bool, bool) -> u8) -> Vec<Bytes> {
    let room = PAYLOAD_MAX - 1;
    let count = data.len().div_ceil(room);
    let mut buffer = BytesMut::with_capacity(data.len() + count);
    let chunks = data.chunks(room).enumerate();
    chunks
        .map(|(n, chunk)| {
            buffer.put_u8(descriptor(n == 0, n + 1 == count));
            buffer.put_slice(chunk);
            buffer.split().freeze()
        })
        .collect()
}

fn h264(track: &TrackInfo, frame: &Frame) -> Vec<Bytes> {
    let data = &frame.data;
    let units: Vec<Range<usize>> = Units { data, at: 0 }.filter(|unit| carried(data[unit.start])).collect();
    let sets = match &track.parameters {
        Parameters::H264 { sps, pps, .. } if frame.key && !units.is_empty() => Some((sps, pps)),
        _ => None,
    };

    // One buffer for all that cannot be a slice of the frame itself.
    let fragmented = units.iter().filter(|unit| unit.len() > PAYLOAD_MAX);
    let mut room: usize = fragmented.map(|unit| unit.len() + fragments(unit.len()) * FU_PREFIX).sum();
    if let Some((sps, pps)) = sets {
        room += STAP_PREFIX + 2 * STAP_LENGTH + sps.len() + pps.len();
    }
    let mut buffer = BytesMut::with_capacity(room);
    let mut out = Vec::with_capacity(2 + data.len() / (PAYLOAD_MAX - FU_PREFIX) + units.len());

    if let Some((sps, pps)) = sets {
        parameter_sets(sps, pps, &mut buffer, &mut out);
    }
    for unit in units {
        single_or_fragments(data, unit, &mut buffer, &mut out);
    }
    out
}

/// Both sets in one packet where they fit, so that neither is lost without the other.
fn parameter_sets(sps: &Bytes, pps: &Bytes, buffer: &mut BytesMut, out: &mut Vec<Bytes>) {
    let fits = STAP_PREFIX + 2 * STAP_LENGTH + sps.len() + pps.len() <= PAYLOAD_MAX;
    if sps.is_empty() || pps.is_empty() || !fits {
        for set in [sps, pps] {
            single_or_fragments(set, 0..set.len(), buffer, out);
        }
        return;
    }
    // The aggregate carries the highest importance of its parts.
    let importance = (sps[0] & 0x60).max(pps[0] & 0x60);
    buffer.put_u8(importance | NAL_STAP_A);
    for set in [sps, pps] {
        buffer.put_u16(u16::try_from(set.len()).expect("the aggregate fits a packet"));
        buffer.put_slice(set);
    }
    out.push(buffer.split().freeze());
}

fn single_or_fragments(data: &Bytes, unit: Range<usize>, buffer: &mut BytesMut, out: &mut Vec<Bytes>) {
    if unit.is_empty() {
        return;
    }
    if unit.len() <= PAYLOAD_MAX {
        out.push(data.slice(unit));
        return;
    }
    let header = data[unit.start];
    let indicator = header & !NAL_TYPE | NAL_FU_A;
    let count = fragments(unit.len());
    // The header byte travels in the prefix of each fragment.
    let body = data[unit.start + 1..unit.end].chunks(PAYLOAD_MAX - FU_PREFIX);
    for (n, fragment) in body.enumerate() {
        let mut fu = header & NAL_TYPE;
        if n == 0 {
            fu |= FU_START;
        }
        if n + 1 == count {
            fu |= FU_END;
        }
        buffer.put_u8(indicator);
        buffer.put_u8(fu);
        buffer.put_slice(fragment);
        out.push(buffer.split().freeze());
    }
}

fn fragments(unit: usize) -> usize {
    (unit - 1).div_ceil(PAYLOAD_MAX - FU_PREFIX)
}

/// Slices and what belongs to them. Parameter sets come from the track; delimiters, end marks and filler
/// say nothing to a decoder behind RTP; extensions and types of the payload format itself do not belong
/// into a frame.
fn carried(header: u8) -> bool {
    matches!(header & NAL_TYPE, 1..NAL_SPS)
}

/// Whether the OBUs of a temporal unit lie within it (AV1 specification, 5.3).
fn obus_fit(mut data: &[u8]) -> bool {
    while let [header, rest @ ..] = data {
        let extension = usize::from(header >> 2 & 1);
        let Some(mut rest) = rest.get(extension..) else { return false };
        if header & 2 == 0 {
            // Without a size it reaches to the end.
            return true;
        }
        let mut size = 0u64;
        for n in 0.. {
            let [byte, after @ ..] = rest else { return false };
            rest = after;
            size |= u64::from(byte & 0x7f) << (7 * n);
            if byte & 0x80 == 0 {
                break;
            }
            if n == 7 {
                return false;
            }
        }
        let Some(after) = usize::try_from(size).ok().and_then(|size| rest.get(size..)) else { return false };
        data = after;
    }
    true
}

/// NAL units behind 4-byte lengths; ends at the first length that lies.
struct Units<'a> {
    data: &'a [u8],
    at: usize,
}

impl Iterator for Units<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let length = self.data.get(self.at..self.at.checked_add(4)?)?;
            let length = u32::from_be_bytes(length.try_into().expect("four bytes were taken"));
            let start = self.at + 4;
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            if end > self.data.len() {
                return None;
            }
            self.at = end;
            if end > start {
                return Some(start..end);
            }
        }
    }
}

#[cfg(test)]
mod tests;
