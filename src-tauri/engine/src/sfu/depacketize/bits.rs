//! Reading of headers bit by bit, as they stand: without emulation prevention.

/// Reads past the end give `None`.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        Some(self.read(1)? == 1)
    }

    /// Up to 32 bits.
    pub(super) fn read(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count.min(32) {
            let byte = *self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// AV1's `uvlc()`; its value is of no interest.
    pub(super) fn skip_uvlc(&mut self) -> Option<()> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros >= 32 {
                return Some(());
            }
        }
        self.read(zeros).map(|_| ())
    }
}
