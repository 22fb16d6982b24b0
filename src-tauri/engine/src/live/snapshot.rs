//! The newest picture of a camera, as JPEG.

use bytes::Bytes;

use crate::hub::Slot;
use crate::still::{StillError, Stills};

/// Why there is no snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// No key frame has come yet. It may in a moment.
    #[error("there is no picture yet")]
    NoneYet,
    /// The key frame cannot be turned into a picture; another may.
    #[error(transparent)]
    Still(#[from] StillError),
}

/// The newest key frame of a camera as JPEG, at most `width` pixels wide; of the last source while there is
/// none now.
///
/// # Errors
/// [`SnapshotError::NoneYet`] before the first key frame.
pub async fn snapshot(slot: &Slot, stills: &Stills, width: Option<u16>) -> Result<Bytes, SnapshotError> {
    let (track, frame) = slot.newest_key().ok_or(SnapshotError::NoneYet)?;
    Ok(stills.jpeg(&track, &frame, width).await?)
}
