//! VP9 (RFC 9628). Of a stream with spatial layers only the lowest is taken: it plays everywhere.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::bits::Bits;
use super::{Damage, UNIT_MAX};
use crate::media::Parameters;

/// Frames that a frame may refer to, by the payload format.
const REFERENCES: usize = 3;

pub(super) fn take(payload: &Bytes, first: bool, data: &mut BytesMut, key: &mut bool) -> Result<(), Damage> {
    let mut rest = &payload[..];
    let mut byte = || rest.try_get_u8().map_err(|_| Damage);
    let descriptor = byte()?;
    let flag = |mask: u8| descriptor & mask != 0;
    let (predicted, layered, flexible, begins, structured) =
        (flag(0x40), flag(0x20), flag(0x10), flag(0x08), flag(0x02));
    if flag(0x80) && byte()? & 0x80 != 0 {
        byte()?;
    }
    let mut layer = 0;
    if layered {
        layer = byte()? >> 1 & 7;
        if !flexible {
            byte()?;
        }
    }
    if flexible && predicted {
        let mut more = true;
        for _ in 0..REFERENCES {
            if more {
                more = byte()? & 1 != 0;
            }
        }
        if more {
            return Err(Damage);
        }
    }
    if structured {
        let structure = byte()?;
        if structure & 0x10 != 0 {
            for _ in 0..4 * (usize::from(structure >> 5) + 1) {
                byte()?;
            }
        }
        if structure & 0x08 != 0 {
            for _ in 0..byte()? {
                for _ in 0..byte()? >> 2 & 3 {
                    byte()?;
                }
            }
        }
    }
    if layer > 0 {
        return Ok(());
    }
    if first != begins || data.len() + rest.len() > UNIT_MAX {
        return Err(Damage);
    }
    if first {
        *key = !predicted && header(rest).is_some();
    }
    data.put_slice(rest);
    Ok(())
}

/// Of a key frame.
pub(super) fn parameters(frame: &[u8]) -> Option<Parameters> {
    let (width, height) = header(frame)?;
    Some(Parameters::Video { width, height })
}

/// Width and height from the uncompressed header of a key frame (VP9 specification, 6.2).
fn header(frame: &[u8]) -> Option<(u16, u16)> {
    const SYNC: u32 = 0x0049_8342;
    const RGB: u32 = 7;
    let mut bits = Bits::new(frame);
    (bits.read(2)? == 2).then_some(())?;
    let profile = bits.read(1)? | bits.read(1)? << 1;
    if profile == 3 {
        bits.read(1)?;
    }
    let (shows_existing, inter) = (bits.flag()?, bits.flag()?);
    if shows_existing || inter {
        return None;
    }
    bits.read(2)?;
    (bits.read(24)? == SYNC).then_some(())?;
    if profile >= 2 {
        bits.read(1)?;
    }
    if bits.read(3)? == RGB {
        if profile & 1 == 1 {
            bits.read(1)?;
        }
    } else {
        bits.read(if profile & 1 == 1 { 4 } else { 1 })?;
    }
    let (width, height) = (bits.read(16)? + 1, bits.read(16)? + 1);
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}
