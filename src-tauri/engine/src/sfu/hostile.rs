//! What takes foreign bytes, in the form in which the fuzz targets feed it.

use super::agreement::Agreement;
use super::arrivals::Arrivals;
use super::depacketize::{Depacketizer, Part, UNIT_MAX};
use super::sdp::{self, Description, Fragment};
use crate::media::Codec;

/// An offer, an answer or a trickled fragment, whichever it takes itself for.
pub fn description(text: &str) {
    let _ = Fragment::parse(text);
    let _ = sdp::ufrag(text);
    let _ = sdp::settle(text, true);
    if let Ok(offer) = Description::parse(text)
        && let Ok(agreement) = Agreement::of_room(&offer, true)
    {
        let narrowed = sdp::narrow(text, &agreement.payload_types());
        // What was found is still there.
        assert!(
            Description::parse(&narrowed).is_ok_and(|narrowed| Agreement::of_room(&narrowed, true).is_ok())
        );
    }
    for line in text.lines() {
        let _ = (sdp::reaches_out(line, false), sdp::candidate_kind(line));
    }
}

/// Packets of a stream: for each a byte of length, flags, then the payload.
pub fn packets(bytes: &[u8]) {
    let codecs = [Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::Opus];
    let Some((choice, mut rest)) = bytes.split_first() else { return };
    let Some(mut stream) = Depacketizer::new(codecs[usize::from(*choice) % codecs.len()]) else { return };
    let mut arrivals = Arrivals::new(std::time::Duration::from_millis(400), true);
    let start = tokio::time::Instant::now().into_std();
    let mut sequence = 0u16;
    while let [length, flags, after @ ..] = rest {
        let (payload, left) = after.split_at(usize::from(*length).min(after.len()));
        rest = left;
        sequence = sequence.wrapping_add(u16::from(flags >> 4));
        let now = start + std::time::Duration::from_millis(u64::from(sequence) * 7);
        let item = (flags & 1 == 1, u32::from(flags >> 1 & 3), bytes::Bytes::copy_from_slice(payload));
        arrivals.insert(now, sequence, flags & 8 == 8, item);
        let _ = arrivals.wanted(now);
        while let Some(arrived) = arrivals.pop(now) {
            let (marker, timestamp, payload) = arrived.item;
            stream.push(&Part { timestamp, marker, lost: arrived.lost, payload });
            while let Some(unit) = stream.pop() {
                assert!(!unit.data.is_empty() && unit.data.len() <= UNIT_MAX);
            }
        }
    }
}
