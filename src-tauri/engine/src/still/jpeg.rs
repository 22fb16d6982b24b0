//! JPEG in and out.

use bytes::Bytes;
use image::ImageDecoder as _;
use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, SamplingFactor};

use super::colour::Colour;
use super::picture::{Picture, Plane};
use super::{StillError, check_size, contained};

/// Of 100: no artefacts that a person sees in a snapshot, at a third of the size of 95.
const QUALITY: u8 = 85;

impl Picture {
    /// As JPEG (4:2:0).
    ///
    /// # Errors
    /// [`StillError::TooLarge`] beyond what JPEG can say.
    pub fn to_jpeg(&self) -> Result<Bytes, StillError> {
        check_size(self.width, self.height)?;
        let mut out = Vec::with_capacity(self.width * self.height / 4);
        let mut encoder = Encoder::new(&mut out, QUALITY);
        encoder.set_sampling_factor(SamplingFactor::F_2_2);
        contained(|| {
            encoder.encode_image(Rows(self)).map_err(|error| StillError::Decoder(error.to_string()))
        })?;
        Ok(out.into())
    }
}

/// Gives the encoder a picture row by row, converted.
struct Rows<'a>(&'a Picture);

impl ImageBuffer for Rows<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        u16::try_from(self.0.width).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        u16::try_from(self.0.height).unwrap_or(u16::MAX)
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let picture = self.0;
        let y = usize::from(y);
        let [luma, blue, red, _] = buffers;
        let starts = [luma.len(), blue.len(), red.len()];
        luma.extend_from_slice(picture.luma.row(y));
        for (buffer, plane) in [(&mut *blue, &picture.blue), (&mut *red, &picture.red)] {
            let end = buffer.len() + picture.width;
            buffer.extend(plane.row(y / 2).iter().flat_map(|&sample| [sample, sample]));
            buffer.truncate(end);
        }
        picture.colour.convert(&mut luma[starts[0]..], &mut blue[starts[1]..], &mut red[starts[2]..]);
    }
}

/// Width and height of a JPEG.
pub(super) fn dimensions(bytes: &[u8]) -> Result<(usize, usize), StillError> {
    let size = contained(|| decoder(bytes).map(|decoder| decoder.dimensions()))?;
    let (width, height) = (size.0 as usize, size.1 as usize);
    check_size(width, height)?;
    Ok((width, height))
}

/// A JPEG as a picture, for scaling.
pub(super) fn read(bytes: &[u8]) -> Result<Picture, StillError> {
    let (width, height) = dimensions(bytes)?;
    let pixels = contained(|| {
        let decoder = decoder(bytes)?;
        image::DynamicImage::from_decoder(decoder).map_err(broken)
    })?
    .into_rgb8();
    if (pixels.width() as usize, pixels.height() as usize) != (width, height) {
        return Err(StillError::Decoder("its size changed while it was read".to_owned()));
    }
    let half = |at: usize| at.div_ceil(2);
    let mut luma = Vec::with_capacity(width * height);
    let mut chroma = vec![(0i32, 0i32, 0i32); half(width) * half(height)];
    for (y, row) in pixels.rows().enumerate() {
        for (x, pixel) in row.enumerate() {
            let [r, g, b] = pixel.0.map(i32::from);
            luma.push(clamp((19_595 * r + 38_470 * g + 7_471 * b + 32_768) >> 16));
            let cell = &mut chroma[y / 2 * half(width) + x / 2];
            cell.0 += (-11_059 * r - 21_709 * g + 32_768 * b) >> 8;
            cell.1 += (32_768 * r - 27_439 * g - 5_329 * b) >> 8;
            cell.2 += 256;
        }
    }
    let plane = |sum: fn(&(i32, i32, i32)) -> i32| Plane {
        width: half(width),
        samples: chroma.iter().map(|cell| clamp(sum(cell) / cell.2.max(1) + 128)).collect(),
    };
    let planes = [Plane { width, samples: luma }, plane(|c| c.0), plane(|c| c.1)];
    Picture::new((width, height), planes, Colour::JPEG)
}

fn decoder(bytes: &[u8]) -> Result<image::codecs::jpeg::JpegDecoder<std::io::Cursor<&[u8]>>, StillError> {
    image::codecs::jpeg::JpegDecoder::new(std::io::Cursor::new(bytes)).map_err(broken)
}

fn broken(error: image::ImageError) -> StillError {
    StillError::Decoder(error.to_string())
}

fn clamp(value: i32) -> u8 {
    u8::try_from(value.clamp(0, 255)).unwrap_or(0)
}
