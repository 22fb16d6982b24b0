//! Looking back: the files of the catalogue, their pictures, and spans of them as one file.
//!
//! Invariants: only files that the catalogue names are touched, and the marks beside them, and only below
//! the root of the disk that they are on; recordings are read, never changed, and removed only when a person says so.
//! All calls block. It knows neither the recorder that wrote the files nor who asks.

mod export;

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use crate::env::Env;
use crate::fmp4::{Footage, FootageError, SpliceError};
use crate::media::{Frame, TrackInfo};
use crate::store::{Catalogue, Disks, Micros, Query, SegmentRow, SegmentState, StoreError, keepsake, wall};

pub use export::{Cut, Progress, Span};

/// A key frame larger than this is none.
const PICTURE_MAX: u32 = 64 << 20;
/// Why a stretch is missing that a person removed.
const REMOVED: &str = "removed";

/// What cannot be had of the recordings.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("there is no recording {0}")]
    Unknown(Uuid),
    /// The catalogue knows it, the disk does not have it.
    #[error("the file of this recording is not there: {0}")]
    Gone(io::Error),
    /// The configuration does not know the disk it lies on.
    #[error("this recording lies on the disk \"{0}\", which is not configured")]
    NoDisk(String),
    #[error("this recording is still being written")]
    Open,
    #[error("this recording is protected")]
    Protected,
    #[error("nothing was recorded in this span")]
    Nothing,
    /// The moment is not in the recording.
    #[error("the moment is not in this recording")]
    Outside,
    #[error("stills of this recording's codec are not supported")]
    Codec,
    #[error("the export needs {needs} bytes, and the disk is full")]
    Full { needs: u64 },
    #[error("the export was cancelled")]
    Cancelled,
    #[error(transparent)]
    Footage(#[from] FootageError),
    #[error(transparent)]
    Splice(#[from] SpliceError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the file cannot be written: {0}")]
    Write(io::Error),
}

/// A picture of a recording, coded.
#[derive(Debug)]
pub struct KeyPicture {
    pub track: TrackInfo,
    pub frame: Arc<Frame>,
}

/// The recordings of all disks.
#[derive(Clone, Debug)]
pub struct Archive {
    catalogue: Arc<Catalogue>,
    disks: Disks,
    env: Env,
}

impl Archive {
    /// The recordings that the catalogue knows on these disks.
    #[must_use]
    pub fn new(catalogue: Arc<Catalogue>, disks: Disks, env: Env) -> Self {
        Self { catalogue, disks, env }
    }

    /// What was recorded.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Where the files lie.
    #[must_use]
    pub fn disks(&self) -> &Disks {
        &self.disks
    }

    /// A recording, its file and the file's present size.
    ///
    /// # Errors
    /// [`ArchiveError::Unknown`], [`ArchiveError::Gone`], [`ArchiveError::NoDisk`].
    pub fn file(&self, id: Uuid) -> Result<(SegmentRow, File, u64), ArchiveError> {
        let row = self.catalogue.segment(id)?.ok_or(ArchiveError::Unknown(id))?;
        let (file, length) = self.open(&row)?;
        Ok((row, file, length))
    }

    fn open(&self, row: &SegmentRow) -> Result<(File, u64), ArchiveError> {
        let file = File::open(self.place(row)?).map_err(ArchiveError::Gone)?;
        let about = file.metadata().map_err(ArchiveError::Gone)?;
        if !about.is_file() {
            return Err(ArchiveError::Gone(io::Error::other("it is not a file")));
        }
        Ok((file, about.len()))
    }

    /// The place of a file. A path that leads out of the root leads nowhere.
    fn place(&self, row: &SegmentRow) -> Result<PathBuf, ArchiveError> {
        self.root_of(row)?;
        let place = self.disks.place(&row.disk, &row.path);
        place.ok_or_else(|| ArchiveError::Gone(io::ErrorKind::NotFound.into()))
    }

    fn root_of(&self, row: &SegmentRow) -> Result<&Path, ArchiveError> {
        self.disks.root(&row.disk).ok_or_else(|| ArchiveError::NoDisk(row.disk.clone()))
    }

    /// The key picture at or before a moment of a recording, or its first.
    ///
    /// # Errors
    /// [`ArchiveError::Outside`] for a moment more than a second outside of it.
    pub fn key_picture(&self, id: Uuid, at_us: Option<Micros>) -> Result<KeyPicture, ArchiveError> {
        const SLACK: Micros = 1_000_000;
        let (row, file, length) = self.file(id)?;
        let at_us = at_us.unwrap_or(row.start_us);
        if at_us < row.start_us - SLACK || at_us > row.end_us.saturating_add(SLACK) {
            return Err(ArchiveError::Outside);
        }
        let mut file = BufReader::new(file);
        let footage = Footage::read(&mut file, length)?;
        let strip = &footage.picture;
        let track = strip.track().ok_or(ArchiveError::Codec)?;
        let into = crate::media::rescale(at_us - row.start_us, 1_000_000, strip.timescale);
        let place = strip.samples[strip.key_before(strip.begins().saturating_add(into))];
        if place.size > PICTURE_MAX {
            return Err(FootageError::Damaged("a picture is too large").into());
        }
        let mut data = vec![0; place.size as usize];
        let read = file.seek(SeekFrom::Start(place.at)).and_then(|_| file.read_exact(&mut data));
        read.map_err(FootageError::Io)?;
        let shown = crate::media::rescale(strip.shown(&place) - strip.begins(), strip.timescale, 1_000_000);
        let frame = Frame {
            track: track.id,
            pts: strip.shown(&place),
            arrival: Instant::now(),
            wall: wall(row.start_us.saturating_add(shown)),
            key: true,
            generation: 0,
            loss: 0,
            data: Bytes::from(data),
            packets: Default::default(),
        };
        Ok(KeyPicture { track, frame: Arc::new(frame) })
    }

    /// Protects a recording from being cleaned away, or no more; also against the loss of the catalogue.
    ///
    /// # Errors
    /// [`ArchiveError::Unknown`].
    pub fn protect(&self, id: Uuid, on: bool) -> Result<SegmentRow, ArchiveError> {
        self.catalogue.protect(id, on)?;
        let row = self.catalogue.segment(id)?.ok_or(ArchiveError::Unknown(id))?;
        let marked = self.place(&row).and_then(|_| {
            let mark = if on { keepsake::put_on } else { keepsake::take_off };
            mark(self.root_of(&row)?, &row.path).map_err(ArchiveError::Write)
        });
        if let Err(error) = marked {
            // It holds for as long as the catalogue does.
            warn!(tag = "STORAGE", path = row.path, %error, "beside the file it is not noted");
        }
        Ok(row)
    }

    /// Removes a recording and its file. What it covered is a gap from then on.
    ///
    /// # Errors
    /// [`ArchiveError::Open`] while it is written, [`ArchiveError::Protected`], [`ArchiveError::Gone`] where
    /// the root is not there, [`ArchiveError::NoDisk`].
    pub fn remove(&self, id: Uuid) -> Result<(), ArchiveError> {
        let row = self.catalogue.segment(id)?.ok_or(ArchiveError::Unknown(id))?;
        if row.state == SegmentState::Open {
            return Err(ArchiveError::Open);
        }
        if row.protected {
            return Err(ArchiveError::Protected);
        }
        let (root, path) = (self.root_of(&row)?, self.place(&row)?);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(ArchiveError::Write(error)),
            // Its disk is away: the file comes back with it.
            Err(error) if !self.disks.is_there(&row.disk) => return Err(ArchiveError::Gone(error)),
            _ => {}
        }
        let _ = keepsake::take_off(root, &row.path);
        self.catalogue.segment_removed(id)?;
        self.catalogue.gap(&row.camera, &row.disk, row.start_us, Some(row.end_us), REMOVED)?;
        // A day without a file goes, too; where others are left this fails, which is right.
        if let Some(day) = path.parent().filter(|day| *day != root) {
            let _ = fs::remove_dir(day);
        }
        Ok(())
    }

    fn within(&self, span: &Span) -> Result<Vec<SegmentRow>, ArchiveError> {
        let query = Query { camera: Some(&span.camera), from_us: span.from_us, to_us: span.to_us };
        Ok(self.catalogue.segments(query)?)
    }
}

#[cfg(test)]
mod tests;
