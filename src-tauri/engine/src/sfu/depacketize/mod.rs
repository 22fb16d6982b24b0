//! RTP payloads in, access units out.
//!
//! Pure. Input is foreign: whatever it holds, at most a unit is dropped and a key frame is waited for; a
//! unit has at most [`UNIT_MAX`] bytes. Invariant: after damage nothing comes out before the next key
//! frame, so that whoever reads can decode all it gets. Packets come in order; holes between them are told
//! by [`Part::lost`]. Nothing here knows sequence numbers, streams or clocks.

mod av1;
mod bits;
mod h264;
mod vp8;
mod vp9;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::media::{Codec, Parameters};

/// Largest access unit. A 4K key frame has about a megabyte.
pub(super) const UNIT_MAX: usize = 4 << 20;

/// One packet, in its order.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    /// Packets known to be lost right before this one.
    pub(super) lost: u16,
    pub(super) payload: Bytes,
}

/// An access unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) timestamp: u32,
    pub(super) key: bool,
    /// Packets lost since the unit before it.
    pub(super) loss: u16,
    /// As in [`crate::media::Frame::data`].
    pub(super) data: Bytes,
}

/// Puts the units of one stream together.
#[derive(Debug)]
pub(super) struct Depacketizer {
    codec: Codec,
    format: Format,
    /// Bytes of the unit under way.
    data: BytesMut,
    /// Its time; `None` between units.
    timestamp: Option<u32>,
    key: bool,
    /// It cannot be completed.
    broken: bool,
    /// Nothing is given out before a key frame.
    waiting: bool,
    loss: u16,
    parameters: Parameters,
    ready: VecDeque<Unit>,
}

#[derive(Debug)]
enum Format {
    H264(h264::Sets),
    Vp8,
    Vp9,
    Av1(av1::Tail),
    Sound,
}

/// The payload cannot belong to a whole unit.
#[derive(Debug, PartialEq, Eq)]
struct Damage;

impl Depacketizer {
    /// For the payloads of `codec`; `None` where Nightjar does not know them.
    pub(super) fn new(codec: Codec) -> Option<Self> {
        let (format, parameters) = match codec {
            Codec::H264 => (Format::H264(h264::Sets::default()), Parameters::Unknown),
            Codec::Vp8 => (Format::Vp8, Parameters::Unknown),
            Codec::Vp9 => (Format::Vp9, Parameters::Unknown),
            Codec::Av1 => (Format::Av1(av1::Tail::default()), Parameters::Unknown),
            // Opus in RTP always says two channels; a mono stream plays in both.
            Codec::Opus => (Format::Sound, Parameters::Audio { sample_rate: 48_000, channels: 2 }),
            Codec::Pcmu | Codec::Pcma => {
                (Format::Sound, Parameters::Audio { sample_rate: 8_000, channels: 1 })
            }
            _ => return None,
        };
        Some(Self {
            codec,
            waiting: !matches!(format, Format::Sound),
            format,
            data: BytesMut::new(),
            timestamp: None,
            key: false,
            broken: false,
            loss: 0,
            parameters,
            ready: VecDeque::new(),
        })
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// What a decoder must know, as of the newest unit. `Unknown` before the first.
    pub(super) fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Whether a key frame is needed before anything comes out.
    pub(super) fn waits_for_key(&self) -> bool {
        self.waiting
    }

    /// The next unit that is complete.
    pub(super) fn pop(&mut self) -> Option<Unit> {
        self.ready.pop_front()
    }

    /// Takes the next packet.
    pub(super) fn push(&mut self, part: &Part) {
        if matches!(self.format, Format::Sound) {
            self.loss = self.loss.saturating_add(part.lost);
            if !part.payload.is_empty() {
                let (timestamp, data, loss) =
                    (part.timestamp, part.payload.clone(), std::mem::take(&mut self.loss));
                self.ready.push_back(Unit { timestamp, key: true, loss, data });
            }
            return;
        }
        if self.timestamp.is_some_and(|timestamp| timestamp != part.timestamp) {
            // The end of the unit before was not marked, or its mark is lost.
            self.broken |= part.lost > 0;
            self.finish();
        }
        if part.lost > 0 {
            self.loss = self.loss.saturating_add(part.lost);
            self.damage();
        }
        let first = self.timestamp.is_none();
        self.timestamp = Some(part.timestamp);
        if !self.broken && !part.payload.is_empty() {
            let room = UNIT_MAX.saturating_sub(self.data.len());
            let taken = match &mut self.format {
                Format::H264(sets) => h264::take(&part.payload, sets, &mut self.data, &mut self.key),
                Format::Vp8 => vp8::take(&part.payload, first, &mut self.data, &mut self.key),
                Format::Vp9 => vp9::take(&part.payload, first, &mut self.data, &mut self.key),
                Format::Av1(tail) => av1::take(&part.payload, tail, &mut self.data, &mut self.key),
                Format::Sound => Ok(()),
            };
            if taken.is_err() || part.payload.len() > room {
                self.damage();
            }
        }
        if part.marker {
            self.finish();
        }
    }

    /// What is under way is lost, and what follows cannot be decoded.
    fn damage(&mut self) {
        self.broken = true;
        self.waiting = true;
        self.data.clear();
        if let Format::Av1(tail) = &mut self.format {
            *tail = av1::Tail::default();
        }
    }

    fn finish(&mut self) {
        let Some(timestamp) = self.timestamp.take() else { return };
        let key = std::mem::take(&mut self.key);
        let whole = match &mut self.format {
            Format::H264(sets) => sets.close(),
            Format::Av1(tail) => av1::close(tail, &mut self.data).is_ok(),
            _ => true,
        };
        let data = self.data.split().freeze();
        let broken = std::mem::take(&mut self.broken);
        if broken || !whole {
            self.waiting = true;
            return;
        }
        if data.is_empty() {
            return;
        }
        if key {
            let parameters = match &self.format {
                Format::H264(sets) => sets.parameters(),
                Format::Vp8 => vp8::parameters(&data),
                Format::Vp9 => vp9::parameters(&data),
                Format::Av1(_) => av1::parameters(&data),
                Format::Sound => None,
            };
            let Some(parameters) = parameters else {
                self.waiting = true;
                return;
            };
            self.parameters = parameters;
            self.waiting = false;
        } else if self.waiting {
            return;
        }
        self.ready.push_back(Unit { timestamp, key, loss: std::mem::take(&mut self.loss), data });
    }
}

#[cfg(test)]
mod tests;
