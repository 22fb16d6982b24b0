//! AV1 (the Alliance's RTP payload format). OBUs come out with their sizes, temporal delimiters left out.

use bytes::{BufMut, Bytes, BytesMut};

use super::bits::Bits;
use super::{Damage, UNIT_MAX};
use crate::media::Parameters;

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const HAS_SIZE: u8 = 0x02;
const HAS_EXTENSION: u8 = 0x04;

/// The beginning of an OBU whose end is in the next packet.
#[derive(Debug, Default)]
pub(super) struct Tail {
    open: Option<BytesMut>,
}

pub(super) fn take(
    payload: &Bytes,
    tail: &mut Tail,
    data: &mut BytesMut,
    key: &mut bool,
) -> Result<(), Damage> {
    let (&aggregation, mut rest) = payload.split_first().ok_or(Damage)?;
    let (continues, goes_on) = (aggregation & 0x80 != 0, aggregation & 0x40 != 0);
    let count = aggregation >> 4 & 3;
    if continues != tail.open.is_some() {
        return Err(Damage);
    }
    let mut n = 0;
    while !rest.is_empty() {
        n += 1;
        let element = if count == n {
            std::mem::take(&mut rest)
        } else {
            let (length, after) = leb128(rest).ok_or(Damage)?;
            let element = after.get(..length).ok_or(Damage)?;
            rest = &after[length..];
            element
        };
        let last = rest.is_empty();
        let mut obu = match tail.open.take() {
            Some(open) => open,
            None => BytesMut::with_capacity(element.len()),
        };
        if data.len() + obu.len() + element.len() > UNIT_MAX {
            return Err(Damage);
        }
        obu.put_slice(element);
        if last && goes_on {
            tail.open = Some(obu);
        } else {
            *key |= whole(&obu, data)?;
        }
    }
    Ok(())
}

/// The end of a temporal unit: nothing may be open.
pub(super) fn close(tail: &mut Tail, _data: &mut BytesMut) -> Result<(), Damage> {
    tail.open.take().map_or(Ok(()), |_| Err(Damage))
}

/// Writes an OBU with its size; tells whether it is a sequence header, which key frames alone bring.
fn whole(obu: &[u8], data: &mut BytesMut) -> Result<bool, Damage> {
    let Some(&header) = obu.first() else { return Ok(false) };
    let kind = header >> 3 & 0xf;
    if header & 0x80 != 0 {
        return Err(Damage);
    }
    if matches!(kind, TEMPORAL_DELIMITER | TILE_LIST) {
        return Ok(false);
    }
    let prefix = 1 + usize::from(header & HAS_EXTENSION != 0);
    let mut body = obu.get(prefix..).ok_or(Damage)?;
    if header & HAS_SIZE != 0 {
        let (length, after) = leb128(body).ok_or(Damage)?;
        body = after.get(..length).ok_or(Damage)?;
    }
    data.put_u8(header | HAS_SIZE);
    data.put_slice(&obu[1..prefix]);
    let mut length = body.len();
    loop {
        let low = u8::try_from(length & 0x7f).map_err(|_| Damage)?;
        length >>= 7;
        data.put_u8(if length == 0 { low } else { low | 0x80 });
        if length == 0 {
            break;
        }
    }
    data.put_slice(body);
    Ok(kind == SEQUENCE_HEADER)
}

fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0usize;
    for (n, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[n + 1..]));
        }
    }
    None
}

/// Of a key frame: the size its sequence header allows.
pub(super) fn parameters(mut unit: &[u8]) -> Option<Parameters> {
    loop {
        let header = *unit.first()?;
        let prefix = 1 + usize::from(header & HAS_EXTENSION != 0);
        let (length, after) = leb128(unit.get(prefix..)?)?;
        let body = after.get(..length)?;
        if header >> 3 & 0xf == SEQUENCE_HEADER {
            let (width, height) = sequence(body)?;
            return Some(Parameters::Video { width, height });
        }
        unit = &after[length..];
    }
}

/// `sequence_header_obu()` as far as the size (AV1 specification, 5.5.1).
fn sequence(body: &[u8]) -> Option<(u16, u16)> {
    let mut bits = Bits::new(body);
    bits.read(4)?;
    if bits.flag()? {
        bits.read(5)?;
    } else {
        let mut model = None;
        if bits.flag()? {
            bits.read(32)?;
            bits.read(32)?;
            if bits.flag()? {
                bits.skip_uvlc()?;
            }
            if bits.flag()? {
                model = Some(bits.read(5)? + 1);
                bits.read(32)?;
                bits.read(10)?;
            }
        }
        let delays = bits.flag()?;
        for _ in 0..=bits.read(5)? {
            bits.read(12)?;
            if bits.read(5)? > 7 {
                bits.read(1)?;
            }
            if let Some(length) = model
                && bits.flag()?
            {
                bits.read(length)?;
                bits.read(length)?;
                bits.read(1)?;
            }
            if delays && bits.flag()? {
                bits.read(4)?;
            }
        }
    }
    let (width, height) = (bits.read(4)? + 1, bits.read(4)? + 1);
    let (width, height) = (bits.read(width)? + 1, bits.read(height)? + 1);
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}
