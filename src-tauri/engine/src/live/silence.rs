//! Packets of silence: a page stalls where a track has a hole, and a camera whose microphone is off, or
//! whose packets are lost, must not stop its picture.

use bytes::Bytes;

use crate::media::{Codec, Parameters, TrackInfo, rescale};

/// One packet of silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) data: Bytes,
    /// Its length in ticks of the track.
    pub(super) ticks: i64,
}

/// AAC-LC (ISO 14496-3 4.4.2.1): a channel element whose spectrum has no band at all, then the end mark.
/// Every field is zero but the element's and the end's identifiers.
const AAC_MONO: &[u8] = &[0, 0, 0, 7];
const AAC_STEREO: &[u8] = &[0x20, 0, 0, 0, 0, 0, 0x0e];
/// Opus (RFC 6716): 20 ms of full-band CELT whose silence flag is set.
const OPUS: &[u8] = &[0xf8, 0xff, 0xfe];

impl Silence {
    /// The silence of a track, where it is known.
    pub(super) fn of(track: &TrackInfo) -> Option<Self> {
        let (data, count, rate) = match (track.codec, &track.parameters) {
            (Codec::Aac, Parameters::Aac { config, sample_rate, .. }) => (aac(config)?, 1_024, *sample_rate),
            (Codec::Opus, _) => (OPUS, 960, 48_000),
            _ => return None,
        };
        let ticks = rescale(count, (rate > 0).then_some(rate)?, track.timescale);
        (ticks > 0).then_some(Self { data: Bytes::from_static(data), ticks })
    }
}

/// For object type 2 with packets of 1024 samples and one or two channels.
fn aac(config: &[u8]) -> Option<&'static [u8]> {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(config).for_each(|(to, from)| *to = *from);
    let bits = u64::from_be_bytes(bytes);
    let take = |from: u32, count: u32| bits << from >> (64 - count);
    let after_rate = if take(5, 4) == 15 { 33 } else { 9 };
    let (object, channels, short) = (take(0, 5), take(after_rate, 4), take(after_rate + 4, 1));
    match (object, channels, short) {
        (2, 1, 0) => Some(AAC_MONO),
        (2, 2, 0) => Some(AAC_STEREO),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channels_decide_which_silence_it_is() {
        assert_eq!(aac(&[0x11, 0x90]), Some(AAC_STEREO), "48 kHz");
        assert_eq!(aac(&[0x14, 0x08]), Some(AAC_MONO), "16 kHz");
        assert_eq!(aac(&[0x17, 0x80, 0x1f, 0x40, 0x08]), Some(AAC_MONO), "a rate written out");
        assert_eq!(aac(&[0x14, 0x0c]), None, "960 samples a packet");
        assert_eq!(aac(&[0x2b, 0x92, 0x08, 0x00]), None, "HE-AAC");
        assert_eq!(aac(&[]), None);
    }
}
