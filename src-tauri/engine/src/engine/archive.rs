//! Looking back, as the doors ask for it: recordings, their files and pictures, and what they take.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use tracing::{error, warn};
use uuid::Uuid;

use super::EngineHandle;
use super::alerts::keeper;
use super::exports::Exports;
use super::handle::blocking;
use super::recording::Records;
use crate::api::{
    ApiError, ErrorCode, Occurrence, RecordingGap, Recordings, Segment, SegmentState, Timestamp,
};
use crate::archive::{Archive, ArchiveError};
use crate::env::Env;
use crate::fmp4::SpliceError;
use crate::still::StillError;
use crate::store::{self, Catalogue, MAIN, Micros, Query, SegmentRow, StoreError};

const EXPORTS: &str = "exports";
/// Recordings, and gaps, that are listed at most: a week of sixteen cameras is a fifth of it.
const LISTED_MAX: usize = 50_000;
/// Thumbnails that may wait for a decoder; beyond it they are refused: scrubbing asks for new ones anyway.
const THUMBNAILS_MAX: usize = 32;

/// What the engine keeps of the past.
pub(super) struct Shelf {
    pub(super) archive: Archive,
    pub(super) exports: Exports,
    thumbnails: AtomicUsize,
}

/// A recording's file, open for reading.
#[derive(Debug)]
pub struct RecordingFile {
    pub file: File,
    /// Its size now; of one that is being written it grows.
    pub bytes: u64,
    pub open: bool,
    pub modified: Option<SystemTime>,
}

impl Shelf {
    /// Over the recordings that there are. Blocks.
    pub(super) fn open(records: &Records, data_dir: &Path, env: Env) -> Self {
        let exports = Exports::open(data_dir.join(EXPORTS), env.clone());
        let archive = Archive::new(Arc::clone(&records.catalogue), records.disks().clone(), env);
        Self { archive, exports, thumbnails: AtomicUsize::new(0) }
    }
}

impl EngineHandle {
    /// What was recorded, of one camera or all, in a span or ever.
    ///
    /// # Errors
    /// `NotFound` for a camera that neither is nor left anything; `Invalid` for a span that is empty or
    /// holds too much.
    pub async fn recordings(
        &self,
        camera: Option<String>,
        from: Option<SystemTime>,
        to: Option<SystemTime>,
    ) -> Result<Recordings, ApiError> {
        let (from_us, to_us) =
            (from.map_or(Micros::MIN / 4, store::micros), to.map_or(Micros::MAX / 4, store::micros));
        if from_us >= to_us {
            return Err(ApiError::invalid("to", "must be after \"from\""));
        }
        let now = self.ground().env.wall();
        let known = self.camera_known(camera.as_deref());
        self.with_archive(move |archive| {
            let catalogue = archive.catalogue();
            if !known {
                known_by(catalogue, camera.as_deref())?;
            }
            let query = Query { camera: camera.as_deref(), from_us, to_us };
            let segments = catalogue.first_segments(query, LISTED_MAX + 1).map_err(tell_store)?;
            let gaps = catalogue.first_gaps(query, LISTED_MAX + 1).map_err(tell_store)?;
            if segments.len().max(gaps.len()) > LISTED_MAX {
                let reason = format!(
                    "more than {LISTED_MAX} recordings or gaps are in this span; ask for a shorter one"
                );
                return Err(ApiError::invalid("from", reason));
            }
            let events = catalogue.alerts_between(query).map_err(tell_store)?;
            let time = |at: Micros| Timestamp::from(store::wall(at));
            // Times are told in milliseconds: who goes on from an end that was told does not get it again.
            let reaches = |end_us: Micros| end_us - end_us.rem_euclid(1_000) > from_us;
            // Nothing can be played of one that was only just begun.
            let holds = |row: &SegmentRow| row.state != store::SegmentState::Open || row.bytes > 0;
            Ok(Recordings {
                segments: segments
                    .into_iter()
                    .filter(|row| reaches(row.end_us) && holds(row))
                    .map(segment)
                    .collect(),
                gaps: gaps
                    .into_iter()
                    .filter(|gap| gap.end_us.is_none_or(reaches))
                    .map(|gap| RecordingGap {
                        camera: gap.camera,
                        start: time(gap.start_us),
                        end: time(gap.end_us.unwrap_or_else(|| store::micros(now).max(gap.start_us))),
                        cause: gap.cause,
                        open: gap.end_us.is_none(),
                        disk: named(gap.disk),
                    })
                    .collect(),
                events: events
                    .into_iter()
                    .map(|alert| (keeper::about(&alert), alert))
                    .filter(|(cameras, _)| camera.as_ref().is_none_or(|one| cameras.contains(one)))
                    .map(|(cameras, alert)| Occurrence {
                        id: alert.id.to_string(),
                        cameras,
                        camera: alert.camera,
                        kind: alert.kind,
                        start: time(alert.since_us),
                        end: alert.until_us.map(time),
                        message: alert.message,
                    })
                    .collect(),
            })
        })
        .await
    }

    /// One recording.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn recording(&self, id: Uuid) -> Result<Segment, ApiError> {
        self.with_archive(move |archive| one(archive, id)).await
    }

    /// A recording's file.
    ///
    /// # Errors
    /// `NotFound`, also where only the file is gone.
    pub async fn recording_file(&self, id: Uuid) -> Result<RecordingFile, ApiError> {
        self.with_archive(move |archive| {
            let (row, file, bytes) = archive.file(id).map_err(tell)?;
            let modified = file.metadata().and_then(|about| about.modified()).ok();
            Ok(RecordingFile { file, bytes, open: row.state == store::SegmentState::Open, modified })
        })
        .await
    }

    /// Protects a recording from being cleaned away, or no more.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn protect(&self, id: Uuid, on: bool) -> Result<Segment, ApiError> {
        self.with_archive(move |archive| archive.protect(id, on).map(segment).map_err(tell)).await
    }

    /// Removes a recording.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` while it is being written or protected.
    pub async fn remove_recording(&self, id: Uuid) -> Result<(), ApiError> {
        self.with_archive(move |archive| archive.remove(id).map_err(tell)).await
    }

    /// A picture of a recording as JPEG and when it was taken: the key frame at or before `at`, or the first.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for a moment outside of it, `NotPlayable`, `Busy`.
    pub async fn thumbnail(
        &self,
        id: Uuid,
        at: Option<SystemTime>,
        width: Option<u16>,
    ) -> Result<(Bytes, SystemTime), ApiError> {
        struct Place<'a>(&'a AtomicUsize);
        impl Drop for Place<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let shelf = self.shelf()?;
        let place = Place(&shelf.thumbnails);
        if shelf.thumbnails.fetch_add(1, Ordering::Relaxed) >= THUMBNAILS_MAX {
            return Err(ApiError::new(ErrorCode::Busy, "Too many pictures are asked for at once."));
        }
        let at_us = at.map(store::micros);
        let found = self.with_archive(move |archive| archive.key_picture(id, at_us).map_err(tell)).await?;
        let jpeg = self.ground().decoders.jpeg(&found.track, &found.frame, width).await;
        drop(place);
        let jpeg = jpeg.map_err(|error| {
            let code = match error {
                StillError::Codec(_) | StillError::TooLarge { .. } => ErrorCode::NotPlayable,
                _ => ErrorCode::Internal,
            };
            ApiError::new(code, error.to_string())
        })?;
        Ok((jpeg, found.frame.wall))
    }

    pub(super) fn shelf(&self) -> Result<&Arc<Shelf>, ApiError> {
        self.kept().ok_or_else(|| {
            let message = "Nothing is recorded: there is no data directory.";
            ApiError::new(ErrorCode::Internal, message)
        })
    }

    /// Whether a camera is there now; `None` means all.
    pub(super) fn camera_known(&self, camera: Option<&str>) -> bool {
        camera.is_none_or(|id| self.entry(id).is_ok())
    }

    /// Does something that blocks.
    pub(super) async fn with_archive<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Archive) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let shelf = Arc::clone(self.shelf()?);
        blocking(move || work(&shelf.archive)).await
    }
}

/// A camera that was removed may have left recordings.
pub(super) fn known_by(catalogue: &Catalogue, camera: Option<&str>) -> Result<(), ApiError> {
    let Some(camera) = camera else { return Ok(()) };
    let usage = catalogue.usage().map_err(tell_store)?;
    if usage.iter().any(|usage| usage.camera == camera) { Ok(()) } else { Err(ApiError::no_camera(camera)) }
}

fn one(archive: &Archive, id: Uuid) -> Result<Segment, ApiError> {
    let row = archive.catalogue().segment(id).map_err(tell_store)?;
    row.map(segment).ok_or_else(|| tell(ArchiveError::Unknown(id)))
}

/// The main root has no name to tell.
fn named(disk: String) -> Option<String> {
    Some(disk).filter(|disk| disk != MAIN)
}

fn segment(row: SegmentRow) -> Segment {
    Segment {
        id: row.id.to_string(),
        camera: row.camera,
        start: store::wall(row.start_us).into(),
        end: store::wall(row.end_us).into(),
        bytes: row.bytes,
        state: match row.state {
            store::SegmentState::Open => SegmentState::Open,
            store::SegmentState::Sealed => SegmentState::Sealed,
            store::SegmentState::Repaired => SegmentState::Repaired,
        },
        protected: row.protected,
        codec: row.codec,
        width: row.width,
        height: row.height,
        disk: named(row.disk),
    }
}

pub(super) fn tell_store(error: StoreError) -> ApiError {
    match error {
        StoreError::Unknown(id) => tell(ArchiveError::Unknown(id)),
        other => {
            error!(tag = "STORAGE", "{other}");
            ApiError::new(
                ErrorCode::Internal,
                "The catalogue of recordings cannot be read. The log says why.",
            )
        }
    }
}

/// An error's public face.
pub(super) fn tell(error: ArchiveError) -> ApiError {
    let code = match &error {
        ArchiveError::Unknown(_) => {
            return ApiError::new(ErrorCode::NotFound, "There is no such recording.");
        }
        ArchiveError::Gone(_) => {
            let message =
                "The file of this recording is not there. It was removed, or its disk is not connected.";
            return ApiError::new(ErrorCode::NotFound, message);
        }
        ArchiveError::NoDisk(name) => {
            let message = format!(
                "This recording lies on the disk \"{name}\", which is not in the configuration (recording.disk). Put \
                 the disk back there to have it."
            );
            return ApiError::new(ErrorCode::NotFound, message);
        }
        ArchiveError::Open => {
            let message = "This recording is still being written. Stop it first.";
            return ApiError::new(ErrorCode::Conflict, message);
        }
        ArchiveError::Protected => {
            let message = "This recording is protected. Take the protection off first.";
            return ApiError::new(ErrorCode::Conflict, message);
        }
        ArchiveError::Nothing => return ApiError::invalid("from", "nothing was recorded in this span"),
        ArchiveError::Outside => return ApiError::invalid("at", "is not within this recording"),
        ArchiveError::Splice(SpliceError::TooLong) => {
            return ApiError::invalid("to", "an export may hold a day of recordings at most");
        }
        ArchiveError::Splice(SpliceError::Differs) => {
            let message = "The camera changed its codec within this span. Export the parts before and after.";
            return ApiError::new(ErrorCode::Conflict, message);
        }
        ArchiveError::Full { needs } => {
            let message =
                format!("There is not enough space: the export needs {} MB.", needs.div_ceil(1_000_000));
            return ApiError::new(ErrorCode::NoSpace, message);
        }
        ArchiveError::Store(_) => ErrorCode::Internal,
        ArchiveError::Codec => ErrorCode::NotPlayable,
        _ => ErrorCode::Internal,
    };
    warn!(tag = "STORAGE", "{error}");
    ApiError::new(code, error.to_string())
}
