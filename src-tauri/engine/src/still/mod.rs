//! Key frame → picture → JPEG.
//!
//! Invariants: whatever bytes a camera sends, the answer is a picture or a [`StillError`], never a panic
//! and never an allocation beyond 50 megapixels; one picture is decoded once, however many ask for it.
//! Everything but [`Stills`] is synchronous and takes milliseconds of CPU: call it on a blocking thread.
//! It knows neither cameras nor the hub.

mod colour;
mod decode;
mod jpeg;
mod picture;
mod stills;

use bytes::Bytes;

use crate::media::{Codec, Frame, TrackInfo};

pub use decode::decode;
pub use picture::Picture;
pub use stills::{Decoders, Stills};

/// Pixels on a side.
const MOST_SIDE: usize = 8_192;
/// Pixels in all.
const MOST_PIXELS: usize = 50_000_000;
/// Widths that may be asked for, in pixels.
pub const WIDTHS: std::ops::RangeInclusive<u16> = 16..=3_840;

/// Why there is no picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StillError {
    /// Nothing here decodes this codec.
    #[error("stills of {0} are not supported")]
    Codec(Codec),
    /// The decoder configuration is not known yet.
    #[error("the camera has not said yet how its picture is to be decoded")]
    Parameters,
    /// Larger than 8192 on a side or 50 megapixels.
    #[error("a picture of {width} × {height} is too large")]
    TooLarge { width: usize, height: usize },
    /// The coded picture is damaged, or uses what the decoder does not know.
    #[error("the picture could not be decoded: {0}")]
    Decoder(String),
    /// The decoder or the encoder failed in a way it must not; contained.
    #[error("the decoder gave up")]
    Panicked,
}

/// A frame as JPEG, no wider than `width` pixels and never enlarged. Motion JPEG at full width is passed on
/// as it came.
///
/// # Errors
/// [`StillError`]; the frame must be a key frame of `track`.
pub fn jpeg(track: &TrackInfo, frame: &Frame, width: Option<u16>) -> Result<Bytes, StillError> {
    let width = width.map(|width| width.clamp(*WIDTHS.start(), *WIDTHS.end()));
    if track.codec == Codec::Mjpeg {
        let (whole, _) = jpeg::dimensions(&frame.data)?;
        if width.is_none_or(|width| usize::from(width) >= whole) {
            return Ok(frame.data.clone());
        }
    }
    let picture = decode(track, frame)?;
    match width.map(usize::from).filter(|&width| width < picture.width()) {
        Some(width) => picture.scaled(width).to_jpeg(),
        None => picture.to_jpeg(),
    }
}

/// Refuses what would take too much memory.
fn check_size(width: usize, height: usize) -> Result<(), StillError> {
    if width == 0 || height == 0 {
        return Err(StillError::Decoder("it has no size".to_owned()));
    }
    if width > MOST_SIDE || height > MOST_SIDE || width * height > MOST_PIXELS {
        return Err(StillError::TooLarge { width, height });
    }
    Ok(())
}

/// Runs a decoder that was written by others.
fn contained<T>(work: impl FnOnce() -> Result<T, StillError>) -> Result<T, StillError> {
    // Nothing the closure touches is looked at again when it panicked.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(Err(StillError::Panicked))
}

#[cfg(test)]
mod tests;
