//! One file being written: created without overwriting, made durable fragment by fragment, sealed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ledger::{id_text, sync_dir};
use super::naming;
use super::root::{Fault, write_at};
use crate::fmp4::{Hybrid, MuxError, Sample};
use crate::media::{TrackId, TrackInfo, TrackKind};
use crate::store::{NewSegment, micros};

/// What a file says of itself, for those who find it without the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    #[serde(with = "id_text")]
    pub(super) id: Uuid,
    pub(super) camera: String,
    pub(super) start_us: i64,
    pub(super) codec: String,
    pub(super) width: u16,
    pub(super) height: u16,
}

/// Why a file cannot be written.
#[derive(Debug)]
pub(super) enum ReelError {
    Storage(Fault),
    /// The fault is not the disk's.
    Mux(MuxError),
}

impl From<io::Error> for ReelError {
    fn from(error: io::Error) -> Self {
        Self::Storage(error.into())
    }
}

impl From<MuxError> for ReelError {
    fn from(error: MuxError) -> Self {
        Self::Mux(error)
    }
}

#[derive(Debug)]
pub(super) struct Reel {
    file: File,
    /// The first bytes of the file, which go with the first fragment: a file has pictures or nothing at all.
    head: Bytes,
    hybrid: Hybrid,
    pub(super) segment: NewSegment,
    start: SystemTime,
    reaches: Duration,
}

impl Reel {
    /// Makes the file. `taken` is asked to note its path before it is there.
    pub(super) fn create(
        root: &Path,
        camera: &str,
        start: SystemTime,
        tracks: &[TrackInfo],
        mut taken: impl FnMut(&str),
    ) -> Result<Self, ReelError> {
        let picture = tracks.iter().find(|track| track.kind == TrackKind::Video).or(tracks.first());
        let (width, height) = picture.and_then(TrackInfo::dimensions).unwrap_or_default();
        let note = Note {
            id: Uuid::now_v7(),
            camera: camera.to_owned(),
            start_us: micros(start),
            codec: picture.map_or("", |track| track.codec.name()).to_owned(),
            width,
            height,
        };
        let created = start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let text = serde_json::to_vec(&note).map_err(io::Error::from)?;
        let (hybrid, head) = Hybrid::new(tracks, created, &text)?;
        let (file, path) = unused(root, camera, start, &mut taken)?;
        // Its length reaches the disk with the first fragment, its name now.
        if let Some(dir) = root.join(&path).parent() {
            sync_dir(dir)?;
        }
        let Note { id, camera, start_us, codec, width, height } = note;
        let segment = NewSegment { id, camera, path, start_us, codec, width, height };
        Ok(Self { file, head, hybrid, segment, start, reaches: Duration::ZERO })
    }

    /// Writes a fragment and waits until it is on the disk. Answers the bytes of the file.
    pub(super) fn append(&mut self, samples: &[Sample], reaches: Duration) -> Result<u64, ReelError> {
        let fragment = self.hybrid.fragment(samples)?;
        let head = std::mem::take(&mut self.head);
        let mut slices: Vec<IoSlice<'_>> =
            std::iter::once(&head).chain(fragment.chunks()).map(|chunk| IoSlice::new(chunk)).collect();
        let mut left = slices.as_mut_slice();
        // Empty buffers at the front are none.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.file.write_vectored(left) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.file.sync_data()?;
        self.hybrid.written(&fragment, samples);
        self.reaches = self.reaches.max(reaches);
        Ok(self.bytes())
    }

    /// Makes a plain file of it. What was written in part since the last whole fragment goes.
    pub(super) fn seal(&mut self, lasts: &[(TrackId, u64)]) -> Result<u64, ReelError> {
        for (track, until) in lasts {
            self.hybrid.lasts_until(*track, *until);
        }
        let seal = self.hybrid.seal()?;
        write_at(&mut self.file, seal.end, &seal.moov)?;
        let length = seal.end + seal.moov.len() as u64;
        self.file.set_len(length)?;
        self.file.sync_data()?;
        write_at(&mut self.file, seal.at, &seal.header)?;
        self.file.sync_data()?;
        Ok(length)
    }

    /// Not one frame is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.hybrid.index().samples() == 0
    }

    /// Bytes that are whole.
    pub(super) fn bytes(&self) -> u64 {
        self.hybrid.index().end()
    }

    /// When its newest durable picture ends.
    pub(super) fn end(&self) -> SystemTime {
        self.start + self.reaches
    }

    /// Whether its name still leads to it.
    pub(super) fn is_there(&self, root: &Path) -> bool {
        let named = fs::metadata(root.join(&self.segment.path));
        named.is_ok_and(|named| self.file.metadata().is_ok_and(|own| super::root::same(&named, &own)))
    }
}

/// A file of a name that is not taken.
fn unused(
    root: &Path,
    camera: &str,
    start: SystemTime,
    taken: &mut impl FnMut(&str),
) -> Result<(File, String), ReelError> {
    for nth in 1..=naming::TRIES {
        let (dir, name) = naming::name(camera, start, nth);
        let path = format!("{dir}/{name}");
        fs::create_dir_all(root.join(&dir))?;
        taken(&path);
        match OpenOptions::new().write(true).create_new(true).open(root.join(&path)) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists).into())
}
