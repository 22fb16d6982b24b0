//! A span of a camera as one file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{Archive, ArchiveError};
use crate::fmp4::{Extent, Footage, Splice, SpliceError, Start};
use crate::media::rescale;
use crate::store::{Micros, SegmentRow, SegmentState};

/// Bytes that are copied at a time; a cancelled export ends after so many.
const BLOCK: usize = 1 << 20;
/// Clocks that tell of the same picture differ by less, in microseconds.
const NEAR: u64 = 1_000_000;
/// The longest export: a day, and what a change of the clocks adds.
const LONGEST: Micros = 25 * 3_600 * 1_000_000;

/// Where the file begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// At the first picture of the span.
    #[default]
    Exact,
    /// At the key frame at or before it: for players that ignore edit lists.
    Key,
}

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub camera: String,
    pub from_us: Micros,
    pub to_us: Micros,
    pub cut: Cut,
}

/// How far an export is, and the way to end it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of the whole file; 0 until they are known.
    pub total: AtomicU64,
    pub done: AtomicU64,
    /// How long the file plays, in microseconds; 0 until it is known.
    pub plays_us: AtomicU64,
    pub cancelled: AtomicBool,
}

impl Progress {
    fn go_on(&self) -> Result<(), ArchiveError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(ArchiveError::Cancelled) } else { Ok(()) }
    }
}

impl Archive {
    /// Whether a span can be exported at all, from the catalogue alone.
    ///
    /// # Errors
    /// [`ArchiveError::Nothing`]; [`SpliceError::TooLong`] for more than a day of recordings.
    pub fn check_export(&self, span: &Span) -> Result<(), ArchiveError> {
        let rows = self.within(span)?;
        if rows.is_empty() {
            return Err(ArchiveError::Nothing);
        }
        let inside = |row: &SegmentRow| row.end_us.min(span.to_us) - row.start_us.max(span.from_us);
        if rows.iter().map(inside).sum::<Micros>() > LONGEST {
            return Err(SpliceError::TooLong.into());
        }
        Ok(())
    }

    /// Writes the span into `to`, which is complete or not there; more than `most` bytes are not begun.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn export(&self, span: &Span, to: &Path, most: u64, progress: &Progress) -> Result<(), ArchiveError> {
        let (splice, parts) = self.plan(span, progress)?;
        let created = self.env.wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
        let head = splice.head(created)?;
        let total = head.len() as u64 + splice.payload();
        progress.total.store(total, Ordering::Relaxed);
        progress.plays_us.store(splice.duration_us(), Ordering::Relaxed);
        if total > most {
            return Err(ArchiveError::Full { needs: total });
        }
        let beside = to.with_extension("part");
        let written = self.write(&beside, &head, splice.extents(), &parts, progress);
        let written = written.and_then(|()| fs::rename(&beside, to).map_err(|error| fault(error, total)));
        if written.is_err() {
            // It may not be there; the error that counts is the first.
            let _ = fs::remove_file(&beside);
        }
        written.map_err(|error| match error {
            ArchiveError::Full { .. } => ArchiveError::Full { needs: total },
            other => other,
        })
    }

    /// What comes from which recording.
    fn plan(&self, span: &Span, progress: &Progress) -> Result<(Splice, Vec<SegmentRow>), ArchiveError> {
        let start = match span.cut {
            Cut::Exact => Start::Exact,
            Cut::Key => Start::Key,
        };
        let mut splice = Splice::new();
        let mut parts = Vec::new();
        let mut push = |(row, footage): (SegmentRow, Footage), to_us: Micros| {
            let from = (span.from_us - row.start_us).max(0);
            if splice.push(&footage, from, to_us - row.start_us, start)? {
                parts.push(row);
            }
            Ok::<_, ArchiveError>(())
        };
        let mut before: Option<(SegmentRow, Footage)> = None;
        for row in self.within(span)? {
            progress.go_on()?;
            let (file, length) = match self.open(&row) {
                Ok(open) => open,
                // It was cleaned away since: a gap more.
                Err(ArchiveError::Gone(_)) if self.catalogue.segment(row.id)?.is_none() => continue,
                Err(error) => return Err(error),
            };
            let footage = match Footage::read(&mut BufReader::new(file), length) {
                Ok(footage) => footage,
                // One that was just begun has no picture yet.
                Err(_) if row.state == SegmentState::Open => continue,
                Err(error) => return Err(error.into()),
            };
            let part = (row, footage);
            if let Some(before) = before.take() {
                let until = repeated(&before, &part).unwrap_or(span.to_us);
                push(before, until.min(span.to_us))?;
            }
            before = Some(part);
        }
        if let Some(last) = before {
            push(last, span.to_us)?;
        }
        if parts.is_empty() {
            return Err(ArchiveError::Nothing);
        }
        Ok((splice, parts))
    }

    fn write(
        &self,
        to: &Path,
        head: &[u8],
        extents: &[Extent],
        parts: &[SegmentRow],
        progress: &Progress,
    ) -> Result<(), ArchiveError> {
        let failed = |error| fault(error, 0);
        let mut out = OpenOptions::new().write(true).create_new(true).open(to).map_err(failed)?;
        out.write_all(head).map_err(failed)?;
        progress.done.store(head.len() as u64, Ordering::Relaxed);
        let mut block = vec![0; BLOCK];
        let mut open: Option<(usize, File)> = None;
        for extent in extents {
            let file = match &mut open {
                Some((part, file)) if *part == extent.part => file,
                place => {
                    let row = parts.get(extent.part).expect("extents name parts that were pushed");
                    &mut place.insert((extent.part, self.open(row)?.0)).1
                }
            };
            file.seek(SeekFrom::Start(extent.at)).map_err(ArchiveError::Gone)?;
            let mut left = extent.length;
            while left > 0 {
                progress.go_on()?;
                let size = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
                file.read_exact(&mut block[..size]).map_err(ArchiveError::Gone)?;
                out.write_all(&block[..size]).map_err(failed)?;
                left -= size as u64;
                progress.done.fetch_add(size as u64, Ordering::Relaxed);
            }
        }
        out.sync_all().map_err(failed)
    }
}

/// The moment from which on the pictures of a recording are those with which the next begins.
fn repeated((row, footage): &(SegmentRow, Footage), (next, again): &(SegmentRow, Footage)) -> Option<Micros> {
    let strip = &footage.picture;
    let near = |from: Micros, to: Micros| from.abs_diff(to) <= NEAR;
    let overlap =
        next.start_us >= row.start_us && (next.start_us < row.end_us || near(next.start_us, row.end_us));
    let at = strip.repeated_by(&again.picture).filter(|_| overlap)?;
    let at = row.start_us.saturating_add(rescale(at - strip.begins(), strip.timescale, 1_000_000));
    near(at, next.start_us).then_some(at)
}

fn fault(error: io::Error, needs: u64) -> ArchiveError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ArchiveError::Full { needs },
        _ => ArchiveError::Write(error),
    }
}
