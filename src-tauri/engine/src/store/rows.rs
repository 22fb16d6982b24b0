//! What stands in the catalogue.

use std::time::{Duration, SystemTime};

use rusqlite::Row;
use uuid::Uuid;

/// Wall time in microseconds since 1970, UTC.
pub type Micros = i64;

/// A wall time as the catalogue writes it.
#[must_use]
pub fn micros(at: SystemTime) -> Micros {
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => Micros::try_from(since.as_micros()).unwrap_or(Micros::MAX),
        Err(before) => -Micros::try_from(before.duration().as_micros()).unwrap_or(Micros::MAX),
    }
}

/// A time of the catalogue as wall time.
#[must_use]
pub fn wall(at: Micros) -> SystemTime {
    let span = Duration::from_micros(at.unsigned_abs());
    let time = if at < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(span)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(span)
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// Being written, or left so by an earlier run.
    Open,
    Sealed,
    /// Left by a crash and made whole.
    Repaired,
}

impl SegmentState {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Open => 0,
            Self::Sealed => 1,
            Self::Repaired => 2,
        }
    }

    const fn of(number: i64) -> Self {
        match number {
            0 => Self::Open,
            2 => Self::Repaired,
            _ => Self::Sealed,
        }
    }
}

/// A recording that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSegment {
    /// Version 7.
    pub id: Uuid,
    pub camera: String,
    /// The name of the disk it lies on; empty for the main root.
    pub disk: String,
    /// Relative to the root of that disk, with `/`.
    pub path: String,
    pub start_us: Micros,
    /// Such as `h264`; of the picture.
    pub codec: String,
    pub width: u16,
    pub height: u16,
}

/// A file that was found on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSegment {
    pub segment: NewSegment,
    pub end_us: Micros,
    pub bytes: u64,
    pub state: SegmentState,
    pub protected: bool,
}

/// A recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRow {
    pub id: Uuid,
    pub camera: String,
    /// The name of the disk it lies on; empty for the main root.
    pub disk: String,
    /// Relative to the root of that disk, with `/`.
    pub path: String,
    pub start_us: Micros,
    pub end_us: Micros,
    pub bytes: u64,
    pub state: SegmentState,
    pub protected: bool,
    pub codec: String,
    pub width: u16,
    pub height: u16,
}

/// A span in which nothing was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapRow {
    pub id: i64,
    pub camera: String,
    pub start_us: Micros,
    /// None while it lasts.
    pub end_us: Option<Micros>,
    pub cause: String,
    /// The disk that it was to be recorded on; empty for the main root.
    pub disk: String,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRow {
    pub id: Uuid,
    pub kind: String,
    pub camera: Option<String>,
    pub since_us: Micros,
    /// None while it lasts.
    pub until_us: Option<Micros>,
    pub message: String,
    /// Whatever else its owner wants to keep, such as JSON.
    pub detail: Option<String>,
}

/// What a camera's recordings take on one disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    pub camera: String,
    /// Empty for the main root.
    pub disk: String,
    pub bytes: u64,
    /// Of these, what is protected.
    pub protected_bytes: u64,
    pub oldest_us: Micros,
    /// The newest file's start.
    pub newest_us: Micros,
    pub segments: u64,
}

/// From `from_us` until before `to_us`, of one camera or of all.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    pub camera: Option<&'a str>,
    pub from_us: Micros,
    pub to_us: Micros,
}

pub(super) fn segment(row: &Row<'_>) -> rusqlite::Result<SegmentRow> {
    Ok(SegmentRow {
        id: id(row, "id")?,
        camera: row.get("camera")?,
        disk: row.get("disk")?,
        path: row.get("path")?,
        start_us: row.get("start_us")?,
        end_us: row.get("end_us")?,
        bytes: unsigned(row.get("bytes")?),
        state: SegmentState::of(row.get("state")?),
        protected: row.get("protected")?,
        codec: row.get("codec")?,
        width: row.get("width")?,
        height: row.get("height")?,
    })
}

pub(super) fn gap(row: &Row<'_>) -> rusqlite::Result<GapRow> {
    Ok(GapRow {
        id: row.get("id")?,
        camera: row.get("camera")?,
        start_us: row.get("start_us")?,
        end_us: row.get("end_us")?,
        cause: row.get("cause")?,
        disk: row.get("disk")?,
    })
}

pub(super) fn alert(row: &Row<'_>) -> rusqlite::Result<AlertRow> {
    Ok(AlertRow {
        id: id(row, "id")?,
        kind: row.get("kind")?,
        camera: row.get("camera")?,
        since_us: row.get("since_us")?,
        until_us: row.get("until_us")?,
        message: row.get("message")?,
        detail: row.get("detail")?,
    })
}

pub(super) fn usage(row: &Row<'_>) -> rusqlite::Result<Usage> {
    Ok(Usage {
        camera: row.get(0)?,
        disk: row.get(1)?,
        bytes: unsigned(row.get(2)?),
        protected_bytes: unsigned(row.get(3)?),
        oldest_us: row.get(4)?,
        newest_us: row.get(5)?,
        segments: unsigned(row.get(6)?),
    })
}

fn id(row: &Row<'_>, column: &str) -> rusqlite::Result<Uuid> {
    row.get::<_, [u8; 16]>(column).map(Uuid::from_bytes)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
