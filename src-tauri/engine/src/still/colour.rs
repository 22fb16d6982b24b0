//! What the numbers of a decoded picture mean, and how they become JPEG's.

use crate::media::h264::Sps;

/// Matrix coefficients that are none (ISO 23091-2).
const NOT_SAID: u32 = 2;

/// Range and matrix of a picture's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour {
    /// 0–255; otherwise 16–235 and 16–240.
    pub(super) full: bool,
    pub(super) matrix: Matrix,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Matrix {
    Bt601,
    Bt709,
    Bt2020,
}

impl Colour {
    /// What JPEG has.
    pub(super) const JPEG: Self = Self { full: true, matrix: Matrix::Bt601 };

    /// `coefficients` as in ISO 23091-2; where it is not said, large pictures are BT.709 as in browsers.
    pub(super) fn new(full: bool, coefficients: u32, height: usize) -> Self {
        let matrix = match coefficients {
            1 => Matrix::Bt709,
            4..=6 => Matrix::Bt601,
            9 | 10 => Matrix::Bt2020,
            _ if height >= 720 => Matrix::Bt709,
            _ => Matrix::Bt601,
        };
        Self { full, matrix }
    }

    /// From the VUI of an H.264 SPS, where it has one.
    pub(super) fn of_h264(sps: &[u8], height: usize) -> Self {
        let vui = Sps::parse(sps).and_then(|set| set.vui);
        let (full, matrix) = vui.map_or((false, NOT_SAID), |vui| (vui.full_range, vui.matrix));
        Self::new(full, matrix, height)
    }

    /// Turns rows of luma and two rows of chroma at the same resolution into JPEG's numbers.
    pub(super) fn convert(self, luma: &mut [u8], blue: &mut [u8], red: &mut [u8]) {
        if self == Self::JPEG {
            return;
        }
        let table = self.table();
        for ((y, cb), cr) in luma.iter_mut().zip(blue).zip(red) {
            let (b, r) = (i32::from(*cb) - 128, i32::from(*cr) - 128);
            let l = i32::from(*y) - table.black;
            *y = byte(table.luma[0] * l + table.luma[1] * b + table.luma[2] * r);
            *cb = byte(table.blue[0] * b + table.blue[1] * r + (128 << SHIFT));
            *cr = byte(table.red[0] * b + table.red[1] * r + (128 << SHIFT));
        }
    }

    fn table(self) -> Table {
        let (y_scale, c_scale) = if self.full { (1.0, 1.0) } else { (255.0 / 219.0, 255.0 / 224.0) };
        // Weights of red and blue in luma: of the source, then of JPEG.
        let (kr, kb) = match self.matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
            Matrix::Bt2020 => (0.2627, 0.0593),
        };
        let (jr, jb) = (0.299, 0.114);
        let kg = 1.0 - kr - kb;
        // R = Y + rr·Cr, B = Y + bb·Cb, G = Y − gb·Cb − gr·Cr.
        let (rr, bb) = (2.0 * (1.0 - kr), 2.0 * (1.0 - kb));
        let (gb, gr) = (kb / kg * bb, kr / kg * rr);
        let jg = 1.0 - jr - jb;
        let luma = [1.0, jb * bb - jg * gb, jr * rr - jg * gr];
        // Cb = (B − Y) / (2 (1 − jb)), and Y itself cancels out.
        let cb = [(bb - luma[1]) / (2.0 * (1.0 - jb)), -luma[2] / (2.0 * (1.0 - jb))];
        let cr = [-luma[1] / (2.0 * (1.0 - jr)), (rr - luma[2]) / (2.0 * (1.0 - jr))];
        let fixed = |value: f64| (value * f64::from(1 << SHIFT)).round() as i32;
        Table {
            black: if self.full { 0 } else { 16 },
            luma: [fixed(luma[0] * y_scale), fixed(luma[1] * c_scale), fixed(luma[2] * c_scale)],
            blue: cb.map(|c| fixed(c * c_scale)),
            red: cr.map(|c| fixed(c * c_scale)),
        }
    }
}

const SHIFT: i32 = 16;

/// Fixed point coefficients.
struct Table {
    black: i32,
    luma: [i32; 3],
    blue: [i32; 2],
    red: [i32; 2],
}

fn byte(value: i32) -> u8 {
    u8::try_from(((value + (1 << (SHIFT - 1))) >> SHIFT).clamp(0, 255)).unwrap_or(0)
}
