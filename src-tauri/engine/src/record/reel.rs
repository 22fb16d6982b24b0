//! One file being written: created without overwriting, made durable fragment by fragment, sealed.
//!
//! Writing and waiting for the disk are two steps, so that many files can be waited for together.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write as _};
use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ledger::id_text;
use super::naming;
use super::repair::Taken;
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
    /// Its directory, and those above where they were made for it, until their names are on the disk.
    dirs: Vec<File>,
    waiting: Waiting,
    /// Bytes that are on the disk.
    durable: u64,
    /// The disk did not take something. A system says so once, and yes the next time that it is asked.
    failed: bool,
}

/// What was written and not waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) fragments: u64,
    pub(super) frames: u64,
}

impl Reel {
    /// Makes the file. Its path is `taken` before it is there.
    pub(super) fn create(
        root: &Path,
        disk: &str,
        camera: &str,
        start: SystemTime,
        tracks: &[TrackInfo],
        taken: &Taken,
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
        let (file, path, fresh) = unused(root, camera, start, taken)?;
        // Its name reaches the disk with the first fragment; only Unix can say so.
        let above = if fresh { 3 } else { 1 };
        let place = root.join(&path);
        let dirs = place.ancestors().skip(1).take(above).filter(|_| cfg!(unix)).map(File::open);
        let dirs = dirs.collect::<io::Result<Vec<_>>>()?;
        let Note { id, camera, start_us, codec, width, height } = note;
        let disk = disk.to_owned();
        let segment = NewSegment { id, camera, disk, path, start_us, codec, width, height };
        Ok(Self {
            file,
            head,
            hybrid,
            segment,
            start,
            reaches: Duration::ZERO,
            dirs,
            waiting: Waiting::default(),
            durable: 0,
            failed: false,
        })
    }

    /// Writes a fragment. It is on the disk after [`Reel::sync`] only. Answers the bytes of the file.
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
        self.hybrid.written(&fragment, samples);
        self.reaches = self.reaches.max(reaches);
        self.waiting.fragments += 1;
        self.waiting.frames += samples.len() as u64;
        Ok(self.bytes())
    }

    /// What was written and not waited for.
    pub(super) fn waiting(&self) -> Waiting {
        self.waiting
    }

    /// Sends what was written on its way to the disk. Where a file system gives blocks to a file only then, and
    /// keeps a journal of that, all files that are sent before the first is waited for share one commit.
    pub(super) fn start_sync(&self) {
        #[cfg(target_os = "linux")]
        if self.waiting.fragments > 0 {
            // What is still to be written stays in memory, whatever the name says; it is a hint all the same.
            let _ = rustix::fs::fadvise(&self.file, self.durable, None, rustix::fs::Advice::DontNeed);
        }
    }

    /// Waits until all that was written is on the disk. Answers what that was.
    pub(super) fn sync(&mut self) -> Result<Waiting, Fault> {
        if self.waiting.fragments > 0 {
            self.settle()?;
        }
        Ok(std::mem::take(&mut self.waiting))
    }

    /// Its content is on the disk, and so is its name.
    fn settle(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(io::Error::other("an earlier part did not reach the disk"));
        }
        self.file.sync_data()?;
        for dir in &self.dirs {
            dir.sync_all()?;
        }
        self.dirs.clear();
        (self.durable, self.failed) = (self.bytes(), false);
        Ok(())
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
        self.settle()?;
        write_at(&mut self.file, seal.at, &seal.header)?;
        self.file.sync_data()?;
        Ok(length)
    }

    /// Not one frame is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.hybrid.index().samples() == 0
    }

    /// Bytes that are whole; on the disk once nothing is [`Reel::waiting`].
    pub(super) fn bytes(&self) -> u64 {
        self.hybrid.index().end()
    }

    /// When its newest picture ends; on the disk once nothing is [`Reel::waiting`].
    pub(super) fn end(&self) -> SystemTime {
        self.start + self.reaches
    }

    /// Whether its name still leads to it.
    pub(super) fn is_there(&self, root: &Path) -> bool {
        let named = fs::metadata(root.join(&self.segment.path));
        named.is_ok_and(|named| self.file.metadata().is_ok_and(|own| super::root::same(&named, &own)))
    }
}

/// A file of a name that is not taken, its path, and whether its directory was made for it.
fn unused(
    root: &Path,
    camera: &str,
    start: SystemTime,
    taken: &Taken,
) -> Result<(File, String, bool), ReelError> {
    let mut made = false;
    for nth in 1..=naming::TRIES {
        let (dir, name) = naming::name(camera, start, nth);
        let path = format!("{dir}/{name}");
        made |= !root.join(&dir).exists();
        fs::create_dir_all(root.join(&dir))?;
        let names = || taken.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = names().insert(path.clone());
        // What was there before is left to whoever makes it whole.
        let release = || fresh && names().remove(&path);
        match OpenOptions::new().write(true).create_new(true).open(root.join(&path)) {
            Ok(file) => return Ok((file, path, made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                release();
            }
            Err(error) => {
                release();
                return Err(error.into());
            }
        }
    }
    Err(io::Error::from(io::ErrorKind::AlreadyExists).into())
}
