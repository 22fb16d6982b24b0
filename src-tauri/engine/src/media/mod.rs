//! What flows: access units and the description of the tracks they belong to.
//!
//! Layer 0: no I/O, no async, no protocol. The invariant is that a [`Frame`] never changes once it was
//! made; everybody shares it by `Arc`. Nothing here knows where a frame came from or where it goes.

pub(crate) mod bits;
mod codec;
mod frame;
pub mod h264;
pub mod h265;
mod timeline;
mod track;

pub use codec::Codec;
pub use frame::{Frame, Packets};
pub use timeline::Timeline;
pub use track::{Note, NoteKind, Parameters, TrackId, TrackInfo, TrackKind};

/// Rescales `ticks` from one timescale to another, rounding to nearest, without overflow.
#[must_use]
pub fn rescale(ticks: i64, from: u32, to: u32) -> i64 {
    if from == to || from == 0 {
        return ticks;
    }
    let (t, f, o) = (i128::from(ticks), i128::from(from), i128::from(to));
    let half = if ticks >= 0 { f / 2 } else { -(f / 2) };
    i64::try_from((t * o + half) / f).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::rescale;

    #[test]
    fn rescale_rounds_to_nearest_on_both_sides_of_zero() {
        assert_eq!(rescale(90_000, 90_000, 1_000), 1_000);
        assert_eq!(rescale(3_003, 90_000, 1_000), 33);
        assert_eq!(rescale(-3_003, 90_000, 1_000), -33);
        assert_eq!(rescale(i64::MAX, 1, 90_000), i64::MAX);
        assert_eq!(rescale(7, 0, 90_000), 7);
    }
}
