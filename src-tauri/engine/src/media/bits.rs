//! Reading of parameter sets bit by bit.

/// A reader over the raw payload of a NAL unit, emulation prevention removed. Reads past the end give
/// `None`, nothing else can fail; it never allocates beyond [`MAX_PAYLOAD`].
#[derive(Debug)]
pub(crate) struct BitReader {
    bytes: Vec<u8>,
    /// In bits from the start.
    at: usize,
}

/// Longest parameter set that is looked at. Real ones have less than 200 bytes.
pub(crate) const MAX_PAYLOAD: usize = 4 << 10;

impl BitReader {
    /// Takes the payload of a NAL unit without its header.
    pub(crate) fn new(payload: &[u8]) -> Self {
        let payload = &payload[..payload.len().min(MAX_PAYLOAD)];
        let mut bytes = Vec::with_capacity(payload.len());
        let mut zeros = 0;
        for &byte in payload {
            if zeros >= 2 && byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            bytes.push(byte);
        }
        Self { bytes, at: 0 }
    }

    /// Bits that were read, counted from the start of the payload.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// All bits of the payload, up to the last that is set, which ends it (H.264 7.3.2.11).
    pub(crate) fn all(&self) -> Vec<bool> {
        let bit = |n: usize| self.bytes[n / 8] >> (7 - n % 8) & 1 == 1;
        let end = (0..self.bytes.len() * 8).rev().find(|n| bit(*n)).unwrap_or(0);
        (0..end).map(bit).collect()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.bits(8).and_then(|value| u8::try_from(value).ok())
    }

    pub(crate) fn bit(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// Up to 32 bits.
    pub(crate) fn bits(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u32;
        for _ in 0..count.min(32) {
            value = value << 1 | u32::from(self.bit()?);
        }
        Some(value)
    }

    pub(crate) fn skip(&mut self, count: usize) -> Option<()> {
        let at = self.at.checked_add(count)?;
        (at <= self.bytes.len() * 8).then(|| self.at = at)
    }

    /// Unsigned Exp-Golomb.
    pub(crate) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.bits(zeros)?)
    }

    /// Unsigned Exp-Golomb within a bound.
    pub(crate) fn ue_max(&mut self, max: u32) -> Option<u32> {
        self.ue().filter(|value| *value <= max)
    }

    /// Signed Exp-Golomb.
    pub(crate) fn se(&mut self) -> Option<i32> {
        let code = i64::from(self.ue()?);
        let value = if code % 2 == 1 { (code + 1) / 2 } else { -(code / 2) };
        i32::try_from(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_and_the_end() {
        // 1, 010, 011, 00100, 00101
        let mut bits = BitReader::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!(bits.ue(), Some(0));
        assert_eq!(bits.ue(), Some(1));
        assert_eq!(bits.ue(), Some(2));
        assert_eq!(bits.ue(), Some(3));
        assert_eq!(bits.se(), Some(-2));
        assert_eq!(bits.ue(), None);
        assert_eq!(BitReader::new(&[0; 8]).ue(), None);
    }

    #[test]
    fn emulation_prevention_is_taken_out() {
        let mut bits = BitReader::new(&[0, 0, 3, 1, 0, 0, 3]);
        assert_eq!(bits.bits(32), Some(0x0000_0100));
        assert_eq!(bits.bits(8), Some(0));
        assert_eq!(bits.bit(), None);
    }
}
