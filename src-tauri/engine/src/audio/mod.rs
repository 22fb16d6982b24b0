//! Sound that files cannot hold, turned into sound that they can: G.711 into Opus.
//!
//! Invariant: what a packet decodes to stands at the packet's time. An encoder looks ahead, so that its
//! output comes late by a few milliseconds; the packets are stamped earlier by as much, and nothing has to
//! be skipped at the start of a file, nor at any other place where somebody joins. Packets follow each other
//! without a seam while the sound does. The one user of `opus`. Knows neither files nor cameras.

mod g711;

use bytes::Bytes;
use opus::{Application, Bitrate, Channels, Encoder};
use tracing::warn;

use crate::media::{Codec, Parameters, TrackInfo, rescale};

/// Ticks per second of Opus, whatever goes in (RFC 7845 4).
const TICKS: u32 = 48_000;
/// Packets a second: 20 ms each.
const PACKETS: u32 = 50;
/// Bits a second and channel: more than telephone sound can use.
const BITS: i32 = 32_000;
/// Half of the best: at 8 kHz nobody hears the difference, and it costs a third less.
const COMPLEXITY: i32 = 5;
/// The longest packet of one frame (RFC 6716 3.4).
const PACKET_MAX: usize = 1_275;
/// Times may differ from the count of samples by less than a packet; more is a hole or an overlap. Cameras stamp by
/// other clocks than they sample by.
const SLACK: u32 = PACKETS;
/// A hole up to half a second is filled with silence, an overlap up to it cut; beyond it the sound begins anew.
const REPAIRED: u32 = 2;

/// The encoder did not take what it was given. It cannot be had for this sound.
#[derive(Debug, thiserror::Error)]
#[error("the sound cannot be encoded: {0}")]
pub struct AudioError(#[from] opus::Error);

/// One packet of Opus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When its first sample is heard, in ticks of 1/48,000 s on the time line of what went in.
    pub pts: i64,
    pub data: Bytes,
}

/// Turns one track.
#[derive(Debug)]
pub struct Transcoder {
    law: &'static [i16; 256],
    /// Ticks of what comes.
    timescale: u32,
    /// Samples per second and channel.
    rate: u32,
    channels: usize,
    encoder: Encoder,
    /// Ticks by which the encoder's output comes late.
    late: i64,
    /// Samples that do not fill a packet yet, channels mixed, and the time of the first, in samples.
    held: Vec<i16>,
    from: Option<i64>,
    out: Vec<u8>,
}

impl Transcoder {
    /// As what a track comes out; `None` for one that cannot be turned, or need not be.
    #[must_use]
    pub fn turned(track: &TrackInfo) -> Option<TrackInfo> {
        let (rate, channels) = track.sound()?;
        law(track.codec)?;
        let fits = matches!(rate, 8_000 | 12_000 | 16_000 | 24_000 | 48_000) && matches!(channels, 1 | 2);
        (fits && track.timescale > 0).then(|| TrackInfo {
            codec: Codec::Opus,
            timescale: TICKS,
            parameters: Parameters::Audio { sample_rate: rate, channels },
            ..track.clone()
        })
    }

    /// For a track that can be [`Transcoder::turned`]; `None` for another.
    ///
    /// # Errors
    /// [`AudioError`] where there is no encoder to be had.
    pub fn new(track: &TrackInfo) -> Result<Option<Self>, AudioError> {
        let (Some(law), Some((rate, channels)), Some(_)) =
            (law(track.codec), track.sound(), Self::turned(track))
        else {
            return Ok(None);
        };
        let layout = if channels == 2 { Channels::Stereo } else { Channels::Mono };
        let mut encoder = Encoder::new(rate, layout, Application::Audio)?;
        encoder.set_bitrate(Bitrate::Bits(BITS * i32::from(channels)))?;
        encoder.set_complexity(COMPLEXITY)?;
        let late = rescale(i64::from(encoder.get_lookahead()?), rate, TICKS);
        Ok(Some(Self {
            law,
            timescale: track.timescale,
            rate,
            channels: usize::from(channels),
            encoder,
            late,
            held: Vec::new(),
            from: None,
            out: vec![0; PACKET_MAX],
        }))
    }

    /// Takes the next packet of the track; gives what became whole.
    pub fn push(&mut self, pts: i64, data: &[u8]) -> Vec<Packet> {
        let at = rescale(pts, self.timescale, self.rate);
        let mut packets = Vec::new();
        let mut data = data;
        let apart = self.from.map(|from| at.saturating_sub(from.saturating_add(self.held_samples())));
        let (slack, repaired) = (u64::from(self.rate / SLACK), i64::from(self.rate / REPAIRED));
        match apart {
            Some(apart) if apart.unsigned_abs() < slack => {}
            Some(hole) if (0..=repaired).contains(&hole) => {
                let silence = usize::try_from(hole).unwrap_or(0) * self.channels;
                self.held.resize(self.held.len() + silence, 0);
            }
            Some(overlap) if (-repaired..0).contains(&overlap) => {
                let twice = usize::try_from(-overlap).unwrap_or(0) * self.channels;
                data = data.get(twice..).unwrap_or_default();
            }
            Some(_) => {
                packets = self.finish();
                self.from = Some(at);
            }
            None => self.from = Some(at),
        }
        let law = self.law;
        self.held.extend(data.iter().map(|code| law[usize::from(*code)]));
        self.encode(&mut packets);
        packets
    }

    /// Nothing follows: gives what is held, with silence at its end. Another sound may begin afterwards.
    pub fn finish(&mut self) -> Vec<Packet> {
        let mut packets = Vec::new();
        if !self.held.is_empty() {
            self.held.resize(self.packet(), 0);
            self.encode(&mut packets);
        }
        self.held.clear();
        self.from = None;
        // It cannot fail for an encoder that there is; what came before would be heard once more if it did.
        let _ = self.encoder.reset_state();
        packets
    }

    /// Samples of a packet, of all channels together.
    fn packet(&self) -> usize {
        (self.rate / PACKETS) as usize * self.channels
    }

    /// Samples that are held, of each channel.
    fn held_samples(&self) -> i64 {
        i64::try_from(self.held.len() / self.channels).unwrap_or(i64::MAX)
    }

    fn encode(&mut self, packets: &mut Vec<Packet>) {
        let size = self.packet();
        let mut done = 0;
        while let (Some(samples), Some(from)) = (self.held.get(done..done + size), self.from) {
            match self.encoder.encode(samples, &mut self.out) {
                Ok(length) => packets.push(Packet {
                    pts: rescale(from, self.rate, TICKS).saturating_sub(self.late),
                    data: Bytes::copy_from_slice(&self.out[..length]),
                }),
                Err(error) => warn!(tag = "RECORDING", %error, "20 ms of sound are lost"),
            }
            done += size;
            self.from = Some(from.saturating_add(i64::from(self.rate / PACKETS)));
        }
        self.held.drain(..done);
    }
}

fn law(codec: Codec) -> Option<&'static [i16; 256]> {
    match codec {
        Codec::Pcmu => Some(&g711::MU),
        Codec::Pcma => Some(&g711::A),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::media::TrackKind;

    pub(crate) fn track(codec: Codec, channels: u8) -> TrackInfo {
        TrackInfo {
            id: 1,
            kind: TrackKind::Audio,
            codec,
            timescale: 8_000,
            parameters: Parameters::Audio { sample_rate: 8_000, channels },
            generation: 0,
            note: None,
        }
    }

    /// The code that comes nearest.
    pub(crate) fn code(codec: Codec, level: i16) -> u8 {
        let table = law(codec).expect("G.711");
        let far = |code: &u8| (i32::from(table[usize::from(*code)]) - i32::from(level)).abs();
        (0..=u8::MAX).min_by_key(far).expect("256 codes")
    }

    /// Silence until `onset`, then a tone; both in samples of 8 kHz.
    pub(crate) fn tone(onset: usize, n: usize) -> i16 {
        if n < onset { 0 } else { (((n - onset) as f64 * TAU * 1_000.0 / 8_000.0).sin() * 12_000.0) as i16 }
    }

    /// Frequency by zero crossings, and the first sample that is loud.
    pub(crate) fn heard(samples: &[i16], rate: f64) -> (f64, f64) {
        let onset = samples.iter().position(|level| level.abs() > 2_000).expect("a tone");
        let body = &samples[onset + rate as usize / 20..];
        let body = &body[..body.len().min(rate as usize)];
        let rises: Vec<usize> = (1..body.len()).filter(|&n| body[n - 1] < 0 && body[n] >= 0).collect();
        let span = (rises[rises.len() - 1] - rises[0]) as f64 / rate;
        ((rises.len() - 1) as f64 / span, onset as f64 / rate)
    }

    fn decode(packets: &[Packet]) -> Vec<i16> {
        let mut decoder = opus::Decoder::new(TICKS, Channels::Mono).expect("a decoder");
        let mut all = Vec::new();
        for packet in packets {
            let mut samples = [0; 5_760];
            let count = decoder.decode(&packet.data, &mut samples, false).expect("a packet");
            assert_eq!(count, 960, "20 ms");
            all.extend_from_slice(&samples[..count]);
        }
        all
    }

    #[test]
    fn r_n9_a_tone_keeps_its_pitch_and_its_place() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            let mut turn = Transcoder::new(&track(codec, 1)).unwrap().expect("G.711");
            // Packets of 30 ms, as some cameras send.
            let packets: Vec<Packet> = (0..60)
                .flat_map(|n| {
                    let data: Vec<u8> =
                        (n * 240..(n + 1) * 240).map(|n| code(codec, tone(4_000, n))).collect();
                    turn.push(n as i64 * 240, &data)
                })
                .collect();
            assert_eq!(packets.len(), 90);
            assert!(packets.windows(2).all(|two| two[1].pts - two[0].pts == 960), "without a seam");
            let (pitch, onset) = heard(&decode(&packets), 48_000.0);
            assert!((pitch - 1_000.0).abs() < 3.0, "{codec}: {pitch} Hz");
            let onset = onset + packets[0].pts as f64 / 48_000.0;
            assert!((onset - 0.5).abs() < 0.004, "{codec}: {onset} s");
            let bits: usize = packets.iter().map(|packet| packet.data.len() * 8).sum();
            assert!(bits < 80_000, "{bits} bits of 1.8 s");
        }
    }

    #[test]
    fn holes_are_silence_overlaps_are_cut_and_jumps_begin_anew() {
        let mut turn = Transcoder::new(&track(Codec::Pcmu, 1)).unwrap().expect("G.711");
        let late = turn.late;
        let mut times = |pts: i64, samples: usize| -> Vec<i64> {
            turn.push(pts, &vec![0xff; samples]).into_iter().map(|packet| (packet.pts + late) / 6).collect()
        };
        assert_eq!(times(800, 160), [800]);
        assert_eq!(times(965, 160), [960], "a wobble is none");
        assert_eq!(times(2_080, 160), [1_120, 1_280, 1_440, 1_600, 1_760, 1_920, 2_080], "120 ms were lost");
        assert!(times(1_920, 320).is_empty(), "heard already");
        assert_eq!(times(2_080, 320), [2_240], "half of it");
        assert!(times(2_400, 100).is_empty());
        assert_eq!(times(90_000, 160), [2_400, 90_000], "another time line");
        assert_eq!(times(i64::MAX, 160).len(), 1);
        assert_eq!(times(i64::MIN, 160).len(), 1);
    }

    #[test]
    fn what_is_no_g711_is_left_alone() {
        assert_eq!(Transcoder::turned(&track(Codec::Aac, 1)), None);
        assert_eq!(Transcoder::turned(&track(Codec::Pcma, 3)), None);
        assert!(Transcoder::new(&track(Codec::G722, 1)).unwrap().is_none());
        let stereo = Transcoder::turned(&track(Codec::Pcma, 2)).expect("two channels");
        assert_eq!((stereo.codec, stereo.timescale, stereo.id), (Codec::Opus, 48_000, 1));
        let mut turn = Transcoder::new(&track(Codec::Pcma, 2)).unwrap().expect("G.711");
        assert_eq!(turn.push(0, &[0xd5; 640]).len(), 2);
        assert_eq!(turn.push(320, &[0xd5; 3]).len(), 0);
        assert_eq!(turn.finish().len(), 1);
    }
}
