//! H.264 (RFC 6184, packetization modes 0 and 1): single units, STAP-A and FU-A.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Damage, UNIT_MAX};
use crate::media::Parameters;
use crate::media::h264::Sps;

const TYPE: u8 = 0x1f;
const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;
/// Longest parameter set that is kept; real ones have less than 200 bytes.
const SET_MAX: usize = 4 << 10;

/// The parameter sets of the stream, and the fragmented unit under way.
#[derive(Debug, Default)]
pub(super) struct Sets {
    sps: Option<(Bytes, Sps)>,
    pps: Option<Bytes>,
    /// Where its length stands in the unit's bytes; it is written at the end.
    open: Option<usize>,
}

impl Sets {
    /// The end of an access unit; false where a fragment has no end.
    pub(super) fn close(&mut self) -> bool {
        self.open.take().is_none()
    }

    pub(super) fn parameters(&self) -> Option<Parameters> {
        let ((sps, facts), pps) = (self.sps.as_ref()?, self.pps.as_ref()?);
        Some(Parameters::H264 {
            sps: sps.clone(),
            pps: pps.clone(),
            width: facts.width,
            height: facts.height,
            // Encoders for calls do not look forward, whatever their set leaves open.
            reorder: facts.reorder.unwrap_or(0),
        })
    }

    fn unit(&mut self, unit: &[u8], data: &mut BytesMut, key: &mut bool) -> Result<(), Damage> {
        let Some(&header) = unit.first() else { return Ok(()) };
        match header & TYPE {
            SPS if unit.len() <= SET_MAX => {
                let facts = Sps::parse(unit).ok_or(Damage)?;
                self.sps = Some((Bytes::copy_from_slice(unit), facts));
            }
            PPS if unit.len() <= SET_MAX => self.pps = Some(Bytes::copy_from_slice(unit)),
            SPS | PPS => return Err(Damage),
            kind @ 1..=SEI => {
                if data.len() + unit.len() + 4 > UNIT_MAX {
                    return Err(Damage);
                }
                *key |= kind == IDR;
                data.put_u32(u32::try_from(unit.len()).map_err(|_| Damage)?);
                data.put_slice(unit);
            }
            // Delimiters, ends, filler: nothing to a decoder behind RTP.
            _ => {}
        }
        Ok(())
    }

    fn fragment(&mut self, payload: &[u8], data: &mut BytesMut, key: &mut bool) -> Result<(), Damage> {
        let [indicator, fu, body @ ..] = payload else { return Err(Damage) };
        let kind = fu & TYPE;
        match (fu & FU_START != 0, self.open) {
            (true, None) => {
                // Sets are never this long, and nothing else is of interest.
                if !(1..=SEI).contains(&kind) {
                    return Err(Damage);
                }
                self.open = Some(data.len());
                *key |= kind == IDR;
                data.put_u32(0);
                data.put_u8(indicator & !TYPE | kind);
            }
            (false, Some(_)) => {}
            _ => return Err(Damage),
        }
        if data.len() + body.len() > UNIT_MAX {
            return Err(Damage);
        }
        data.put_slice(body);
        if fu & FU_END != 0
            && let Some(at) = self.open.take()
        {
            let length = u32::try_from(data.len() - at - 4).map_err(|_| Damage)?;
            data[at..at + 4].copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }
}

pub(super) fn take(
    payload: &Bytes,
    sets: &mut Sets,
    data: &mut BytesMut,
    key: &mut bool,
) -> Result<(), Damage> {
    let header = *payload.first().ok_or(Damage)?;
    if data.is_empty() {
        // Whatever was open belonged to a unit that was dropped.
        sets.open = None;
    }
    match header & TYPE {
        FU_A => sets.fragment(payload, data, key),
        _ if sets.open.is_some() => Err(Damage),
        STAP_A => {
            let mut rest = &payload[1..];
            while let [high, low, after @ ..] = rest {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let unit = after.get(..length).ok_or(Damage)?;
                sets.unit(unit, data, key)?;
                rest = &after[length..];
            }
            Ok(())
        }
        // Interleaving is never agreed on.
        0 | 25..=27 | 29..=31 => Err(Damage),
        _ => sets.unit(payload, data, key),
    }
}
