//! A file that plays at every moment of its making: fragments while it grows, a plain MP4 once sealed.
//!
//! `ftyp | free | moov(mvex) | (moof mdat)*`; the seal appends a full `moov` and turns `free` into the
//! header of one `mdat` that swallows the fragments. The `free` box has room for a note to those who
//! find the file later; it stays where it is.

use bytes::{BufMut as _, Bytes, BytesMut};
use mp4_atom::Encode as _;

use super::index::{Entry, Index, LONG_HEADER, MOVIE, Seal};
use super::{Fragment, MuxError, Muxer, Sample, number};
use crate::media::{TrackId, TrackInfo};

/// Bytes that a note may have.
pub const NOTE_MAX: usize = 1_024;
/// What stands in `ftyp`: brand, version 512, compatible brands. By it our files are known again.
pub(super) const BRANDS: &[u8] = b"isom\0\0\x02\0isomiso6mp41nj01";
/// From 1904 to 1970, in seconds.
const EPOCH_1904: u64 = 2_082_844_800;

/// Writes one file.
#[derive(Debug)]
pub struct Hybrid {
    muxer: Muxer,
    index: Index,
}

impl Hybrid {
    /// A file of these tracks, and its first bytes. `created` counts seconds since 1970; `note` has
    /// [`NOTE_MAX`] bytes at most and is cut there.
    ///
    /// # Errors
    /// As [`Muxer::new`].
    pub fn new(tracks: &[TrackInfo], created: u64, note: &[u8]) -> Result<(Self, Bytes), MuxError> {
        let muxer = Muxer::new(tracks)?;
        let mut template = muxer.moov();
        template.mvhd.timescale = MOVIE;
        template.mvhd.creation_time = created.saturating_add(EPOCH_1904);
        template.mvhd.modification_time = template.mvhd.creation_time;
        let mut head = BytesMut::new();
        head.put_u32(8 + 24);
        head.put_slice(b"ftyp");
        head.put_slice(BRANDS);
        let room = head.len() as u64;
        let note = note.get(..NOTE_MAX).unwrap_or(note);
        let size = LONG_HEADER + 2 + note.len();
        head.put_u32(u32::try_from(size).map_err(|_| MuxError::TooLarge(size))?);
        head.put_slice(b"free");
        head.put_u64(0);
        head.put_u16(u16::try_from(note.len()).unwrap_or(0));
        head.put_slice(note);
        template.encode(&mut head)?;
        let index = Index::new(template, room, head.len() as u64);
        Ok((Self { muxer, index }, head.freeze()))
    }

    /// The next bytes of the file. Samples of one track are in decode order. They count once they are
    /// [`Hybrid::written`].
    ///
    /// # Errors
    /// As [`Muxer::fragment`].
    pub fn fragment(&mut self, samples: &[Sample]) -> Result<Fragment, MuxError> {
        self.muxer.fragment(samples)
    }

    /// The fragment of these samples is in the file.
    pub fn written(&mut self, fragment: &Fragment, samples: &[Sample]) {
        let mut at = self.index.end() + fragment.head.len() as u64;
        let ids: Vec<TrackId> = self.muxer.tracks().map(|track| track.id).collect();
        for id in ids {
            let run = || samples.iter().filter(|sample| sample.track == id);
            let Some(place) = self.index.place(number(id)) else { continue };
            self.index.run(place, at, run().map(entry));
            at += run().map(|sample| sample.data.len() as u64).sum::<u64>();
        }
        self.index.grow(at);
    }

    /// The tables so far.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The newest sample of a track lasts until `decode`, not as long as it was said to.
    pub fn lasts_until(&mut self, track: TrackId, decode: u64) {
        if let Some(place) = self.index.place(number(track)) {
            self.index.lasts_until(place, decode);
        }
    }

    /// What makes a plain file of it.
    ///
    /// # Errors
    /// As [`Index::seal`].
    pub fn seal(&self) -> Result<Seal, MuxError> {
        self.index.seal()
    }

    /// The exact MIME type.
    #[must_use]
    pub fn mime(&self) -> String {
        self.muxer.mime()
    }
}

fn entry(sample: &Sample) -> Entry {
    Entry {
        decode: sample.decode,
        duration: sample.duration,
        offset: sample.offset,
        size: u32::try_from(sample.data.len()).unwrap_or(u32::MAX),
        key: sample.key,
    }
}

#[cfg(test)]
mod tests;
