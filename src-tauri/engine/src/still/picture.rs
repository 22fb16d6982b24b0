//! A decoded picture: three planes, 4:2:0.

use super::colour::Colour;
use super::{StillError, check_size};

/// 8-bit luma and half-size chroma. Scaling keeps the samples' meaning; writing a JPEG converts them.
#[derive(Clone, Debug)]
pub struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) luma: Plane,
    pub(super) blue: Plane,
    pub(super) red: Plane,
    pub(super) colour: Colour,
}

/// Samples without padding.
#[derive(Clone, Debug)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) samples: Vec<u8>,
}

impl Plane {
    /// Copies `width` × `height` samples out of rows that are `stride` apart; `None` where they are not there.
    pub(super) fn copied(from: &[u8], stride: usize, width: usize, height: usize) -> Option<Self> {
        (stride >= width && width > 0).then_some(())?;
        let mut samples = Vec::with_capacity(width * height);
        for row in 0..height {
            let at = row.checked_mul(stride)?;
            samples.extend_from_slice(from.get(at..at + width)?);
        }
        Some(Self { width, samples })
    }

    pub(super) fn row(&self, y: usize) -> &[u8] {
        let rows = self.samples.len() / self.width;
        let y = y.min(rows.saturating_sub(1));
        &self.samples[y * self.width..(y + 1) * self.width]
    }

    /// Each sample of the result is the mean of the area it covers.
    fn scaled(&self, width: usize, height: usize) -> Self {
        let rows = self.samples.len() / self.width;
        let area = |at: usize, of: usize, to: usize| {
            let from = at * of / to;
            from..((at + 1) * of / to).max(from + 1)
        };
        let mut samples = Vec::with_capacity(width * height);
        let mut sums = vec![0u32; self.width];
        for y in 0..height {
            let lines = area(y, rows, height);
            let count = lines.len();
            sums.fill(0);
            for line in lines {
                for (sum, &sample) in sums.iter_mut().zip(self.row(line)) {
                    *sum += u32::from(sample);
                }
            }
            for x in 0..width {
                let columns = area(x, self.width, width);
                let cells = u64::try_from(columns.len() * count).unwrap_or(1).max(1);
                let sum: u64 = sums[columns].iter().map(|&sum| u64::from(sum)).sum();
                samples.push(u8::try_from((sum + cells / 2) / cells).unwrap_or(u8::MAX));
            }
        }
        Self { width, samples }
    }
}

impl Picture {
    /// Planes whose chroma has half the width and height, rounded up.
    pub(super) fn new(
        (width, height): (usize, usize),
        planes: [Plane; 3],
        colour: Colour,
    ) -> Result<Self, StillError> {
        check_size(width, height)?;
        let [luma, blue, red] = planes;
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let whole = luma.width == width && luma.samples.len() == width * height;
        let halves = [&blue, &red]
            .iter()
            .all(|p| p.width == half_width && p.samples.len() == half_width * half_height);
        if !whole || !halves {
            return Err(StillError::Decoder("its planes do not fit together".to_owned()));
        }
        Ok(Self { width, height, luma, blue, red, colour })
    }

    /// In pixels.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// In pixels.
    #[must_use]
    pub const fn height(&self) -> usize {
        self.height
    }

    /// Brightness, row by row without padding, in the range the camera uses.
    #[must_use]
    pub fn luma(&self) -> &[u8] {
        &self.luma.samples
    }

    /// The same picture `width` pixels wide. It is made smaller only.
    #[must_use]
    pub fn scaled(&self, width: usize) -> Self {
        let width = width.clamp(1, self.width);
        let height = (self.height * width + self.width / 2) / self.width;
        let height = height.clamp(1, self.height);
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        Self {
            width,
            height,
            luma: self.luma.scaled(width, height),
            blue: self.blue.scaled(half_width, half_height),
            red: self.red.scaled(half_width, half_height),
            colour: self.colour,
        }
    }
}
