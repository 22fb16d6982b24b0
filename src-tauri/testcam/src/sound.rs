//! Sound: where it comes from, and the clock of its frames.
//!
//! The frames of a camera's sound follow each other without a seam; which frame of the clip they
//! carry is looked up by the place in the picture's loop, so that both stay in step for ever: G.711
//! to the sample, AAC within one frame. The clock may run by a crystal of its own.

use std::{f64::consts::TAU, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{Clip, Sound};

/// Samples in an AAC frame, and in 20 ms of G.711.
const AAC_FRAME: u64 = 1024;
const G711_FRAME: u64 = 160;
const G711_RATE: u32 = 8000;

/// What is sent as sound.
#[derive(Clone)]
pub(crate) enum Source {
    /// The AAC track of this clip.
    Aac(Clip),
    /// A second of chime, over and over.
    G711(Arc<Chime>),
}

pub(crate) struct Chime {
    law: Sound,
    second: Bytes,
}

impl Source {
    pub(crate) fn new(sound: Sound, clip: &Clip) -> Option<Self> {
        match sound {
            Sound::Off => None,
            Sound::Clip => clip.has_sound().then(|| Self::Aac(clip.clone())),
            Sound::Pcmu | Sound::Pcma => {
                let second = (0..G711_RATE).map(|i| compress(sound, chime(i))).collect();
                Some(Self::G711(Arc::new(Chime { law: sound, second })))
            }
        }
    }

    pub(crate) fn payload_type(&self) -> u8 {
        match self {
            Self::Aac(_) => 97,
            Self::G711(chime) if chime.law == Sound::Pcma => 8,
            Self::G711(_) => 0,
        }
    }

    /// RTP clock in Hz.
    pub(crate) fn rate(&self) -> u32 {
        match self {
            Self::Aac(clip) => clip.audio().map_or(G711_RATE, |audio| audio.rate),
            Self::G711(_) => G711_RATE,
        }
    }

    fn frame(&self) -> u64 {
        match self {
            Self::Aac(_) => AAC_FRAME,
            Self::G711(_) => G711_FRAME,
        }
    }
}

/// The clock of a camera's sound.
pub(crate) struct Voice {
    pub(crate) source: Source,
    /// The frame that is next, counted since the camera started.
    index: u64,
    /// Samples that are taken in a million seconds.
    pace: u128,
}

impl Voice {
    /// `drift`: how much faster than it says it samples, in parts per million.
    pub(crate) fn new(source: Source, drift: i16) -> Self {
        let parts = (1_000_000 + i64::from(drift)).unsigned_abs();
        let pace = u128::from(source.rate()) * u128::from(parts);
        Self { source, index: 0, pace }
    }

    fn at(&self, index: u64) -> Duration {
        let samples = u128::from(index * self.source.frame());
        Duration::from_nanos((samples * 1_000_000_000_000_000 / self.pace) as u64)
    }

    /// Samples that were taken by then.
    pub(crate) fn samples(&self, now: Duration) -> u64 {
        (now.as_nanos() * self.pace / 1_000_000_000_000_000) as u64
    }

    /// Camera time at which the next frame begins.
    pub(crate) fn start(&self) -> Duration {
        self.at(self.index)
    }

    /// Camera time at which the next frame is complete and goes out.
    pub(crate) fn due(&self) -> Duration {
        self.at(self.index + 1)
    }

    /// RTP time of the next frame, without the random start.
    pub(crate) fn time(&self) -> u32 {
        (self.index * self.source.frame()) as u32
    }

    pub(crate) fn skip_to(&mut self, now: Duration) {
        self.index = self.index.max(self.samples(now) / self.source.frame());
    }

    /// The next frame; `into` is the place in the picture's loop in seconds.
    pub(crate) fn take(&mut self, into: f64) -> Bytes {
        self.index += 1;
        match &self.source {
            Source::Aac(clip) => {
                let Some(audio) = clip.audio() else {
                    return Bytes::new();
                };
                let place = (into * f64::from(audio.rate) / AAC_FRAME as f64).round() as usize;
                audio.frames[place % audio.frames.len()].clone()
            }
            Source::G711(chime) => {
                let (second, frame) = (G711_RATE as usize, G711_FRAME as usize);
                let start = (into.fract() * f64::from(G711_RATE)).round() as usize % second;
                if start + frame <= second {
                    return chime.second.slice(start..start + frame);
                }
                [&chime.second[start..], &chime.second[..start + frame - second]].concat().into()
            }
        }
    }
}

/// A soft bell at the start of the second, −1 … 1.
fn chime(index: u32) -> f64 {
    let t = f64::from(index) / f64::from(G711_RATE);
    0.35 * (TAU * 880.0 * t).sin() * (-9.0 * t).exp()
}

fn compress(law: Sound, value: f64) -> u8 {
    let sample = (value * 32767.0) as i16;
    if law == Sound::Pcma { a_law(sample) } else { u_law(sample) }
}

/// G.711 µ-law of a 16-bit sample.
fn u_law(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = (i32::from(sample).abs() + 132).min(32767) as u32;
    let exponent = 24 - magnitude.leading_zeros().max(17);
    let mantissa = magnitude >> (exponent + 3) & 15;
    !(sign | (exponent as u8) << 4 | mantissa as u8)
}

/// G.711 A-law of a 16-bit sample.
fn a_law(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    let magnitude = (i32::from(sample).abs() >> 3).min(4095) as u32;
    let code = match magnitude {
        0..32 => magnitude >> 1,
        _ => {
            let exponent = 27 - magnitude.leading_zeros();
            exponent << 4 | magnitude >> exponent & 15
        }
    };
    (sign | code as u8) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The decoders of the standard, written the other way round.
    fn from_u_law(code: u8) -> i32 {
        let code = !code;
        let magnitude = ((i32::from(code & 15) << 3) + 132) << (code >> 4 & 7);
        if code & 0x80 == 0 { magnitude - 132 } else { 132 - magnitude }
    }

    fn from_a_law(code: u8) -> i32 {
        let code = code ^ 0x55;
        let base = i32::from(code & 15) << 4;
        let magnitude = match i32::from(code >> 4 & 7) {
            0 => base + 8,
            exponent => (base + 0x108) << (exponent - 1),
        };
        if code & 0x80 == 0 { -magnitude } else { magnitude }
    }

    #[test]
    fn g711_comes_back_within_its_step() {
        for sample in (-32000i32..32000).step_by(37) {
            let allowed = (sample.abs() / 16).max(16);
            for (name, back) in
                [("µ", from_u_law(u_law(sample as i16))), ("A", from_a_law(a_law(sample as i16)))]
            {
                assert!((back - sample).abs() <= allowed, "{name}: {sample} came back as {back}");
            }
        }
    }
}
