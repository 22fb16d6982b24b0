//! VP8 (RFC 7741).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Damage, UNIT_MAX};
use crate::media::Parameters;

/// Behind the three bytes of the frame tag.
const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];

pub(super) fn take(payload: &Bytes, first: bool, data: &mut BytesMut, key: &mut bool) -> Result<(), Damage> {
    let mut rest = &payload[..];
    let mut byte = || rest.try_get_u8().map_err(|_| Damage);
    let descriptor = byte()?;
    if descriptor & 0x80 != 0 {
        let extension = byte()?;
        // The picture's number has one byte or two.
        if extension & 0x80 != 0 && byte()? & 0x80 != 0 {
            byte()?;
        }
        if extension & 0x40 != 0 {
            byte()?;
        }
        if extension & 0x30 != 0 {
            byte()?;
        }
    }
    // The first partition's first packet begins the picture, and nothing else does.
    let starts = descriptor & 0x17 == 0x10;
    if first != starts || data.len() + rest.len() > UNIT_MAX {
        return Err(Damage);
    }
    if first {
        *key = rest.first().ok_or(Damage)? & 1 == 0;
    }
    data.put_slice(rest);
    Ok(())
}

/// Of a key frame (RFC 6386, 9.1).
pub(super) fn parameters(frame: &[u8]) -> Option<Parameters> {
    let [_, _, _, a, b, c, w0, w1, h0, h1, ..] = frame else { return None };
    let side = |low: u8, high: u8| u16::from_le_bytes([low, high]) & 0x3fff;
    let (width, height) = (side(*w0, *w1), side(*h0, *h1));
    ([*a, *b, *c] == START_CODE && width > 0 && height > 0).then_some(Parameters::Video { width, height })
}
