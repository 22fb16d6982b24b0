//! The frame number that every self-made clip carries in its picture, and how to read it back.
//!
//! Along the top edge of each picture runs a dark strip with 24 black or white cells, so that a
//! program can read the number of the frame it sees after decoding, scaling and compression. All
//! positions are fractions of the picture's width and height, so any size works:
//!
//! ```text
//! strip        x 0 … 1            y 0 … 1/12      dark grey
//! cell i       x (i+1)/26 … (i+2)/26   y 1/60 … 4/60   i = 0 … 23, from the left
//! cell 0       white    \  guard
//! cell 1       black    /
//! cells 2–17   the frame number, 16 bits, the highest bit first, white = 1
//! cells 18–21  check = (n ^ n>>4 ^ n>>8 ^ n>>12 ^ 0b1010) & 15, the highest bit first
//! cell 22      black    \  guard
//! cell 23      white    /
//! ```
//!
//! To read: take the mean brightness of the middle half (in both directions) of each cell, put the
//! threshold half-way between the white and the black guards, refuse the picture when these are
//! less than 40 of 255 apart, when a guard is wrong, or when the check does not fit.
//!
//! The number counts the frames of the clip from 0 and starts again when the clip loops;
//! [`Clip::frames`](crate::Clip::frames) is the length by which a reader unwraps it.
//!
//! This module does not know how pictures are made, decoded or sent. The painter of the committed
//! clips (`clips/paint.rs`) includes it, so that both sides share one definition.

/// Number of cells in the row.
pub const CELLS: usize = 24;
/// Columns across the whole width: the cells and an empty column on either side.
pub const COLUMNS: usize = CELLS + 2;
/// Height of the dark strip, as a fraction of the picture's height.
pub const STRIP: f32 = 1.0 / 12.0;
/// Top of the cells, as a fraction of the picture's height.
pub const TOP: f32 = 1.0 / 60.0;
/// Bottom of the cells, as a fraction of the picture's height.
pub const BOTTOM: f32 = 4.0 / 60.0;
/// White and black guards must differ by at least this much (of 255).
pub const CONTRAST: f32 = 40.0;

/// The cells that stand for a frame number: `true` is white.
pub fn cells(number: u16) -> [bool; CELLS] {
    let mut out = [false; CELLS];
    out[0] = true;
    out[23] = true;
    for bit in 0..16 {
        out[2 + bit] = number >> (15 - bit) & 1 == 1;
    }
    let check = check(number);
    for bit in 0..4 {
        out[18 + bit] = check >> (3 - bit) & 1 == 1;
    }
    out
}

/// Reads the frame number out of a picture given as a brightness function over pixels (0–255).
///
/// Returns `None` when the picture carries no number that can be trusted.
pub fn read(width: usize, height: usize, luma: impl Fn(usize, usize) -> u8) -> Option<u16> {
    if width < COLUMNS * 2 || height < 36 {
        return None;
    }
    let cell = |index: usize| {
        let column = width as f32 / COLUMNS as f32;
        let left = (index + 1) as f32 * column;
        let rows = (BOTTOM - TOP) * height as f32;
        let top = TOP * height as f32;
        let (x0, x1) = ((left + column * 0.25) as usize, (left + column * 0.75) as usize);
        let (y0, y1) = ((top + rows * 0.25) as usize, (top + rows * 0.75) as usize);
        let (mut sum, mut count) = (0u32, 0u32);
        for y in y0..=y1.min(height - 1) {
            for x in x0..=x1.min(width - 1) {
                sum += u32::from(luma(x, y));
                count += 1;
            }
        }
        sum as f32 / count.max(1) as f32
    };
    let values: Vec<f32> = (0..CELLS).map(cell).collect();
    let white = (values[0] + values[23]) / 2.0;
    let black = (values[1] + values[22]) / 2.0;
    if white - black < CONTRAST {
        return None;
    }
    let threshold = (white + black) / 2.0;
    let mut number = 0u16;
    for value in &values[2..18] {
        number = number << 1 | u16::from(*value > threshold);
    }
    let seen: Vec<bool> = values.iter().map(|value| *value > threshold).collect();
    (seen == cells(number)).then_some(number)
}

fn check(number: u16) -> u16 {
    (number ^ number >> 4 ^ number >> 8 ^ number >> 12 ^ 0b1010) & 15
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(number: u16, width: usize, height: usize) -> Vec<u8> {
        let row = cells(number);
        let mut out = vec![40u8; width * height];
        for y in 0..height {
            for x in 0..width {
                let column = x * COLUMNS / width;
                let v = y as f32 / height as f32;
                if (1..=CELLS).contains(&column) && (TOP..BOTTOM).contains(&v) {
                    out[y * width + x] = if row[column - 1] { 230 } else { 20 };
                }
            }
        }
        out
    }

    #[test]
    fn every_number_is_read_back_at_any_size() {
        for (width, height) in [(640, 360), (320, 180), (160, 90), (1920, 1080), (333, 187)] {
            for number in [0, 1, 99, 199, 0x5555, 0xAAAA, 0xFFFF, 12345] {
                let picture = draw(number, width, height);
                let seen = read(width, height, |x, y| picture[y * width + x]);
                assert_eq!(seen, Some(number), "{width}x{height}");
            }
        }
    }

    #[test]
    fn a_damaged_row_is_refused() {
        let (width, height) = (640, 360);
        for cell in 0..CELLS {
            let mut picture = draw(1234, width, height);
            for y in 0..height / 12 {
                for x in (cell + 1) * width / COLUMNS..(cell + 2) * width / COLUMNS {
                    picture[y * width + x] = 250 - picture[y * width + x];
                }
            }
            assert_eq!(read(width, height, |x, y| picture[y * width + x]), None, "cell {cell}");
        }
        assert_eq!(read(width, height, |_, _| 90), None, "a grey picture");
    }
}
