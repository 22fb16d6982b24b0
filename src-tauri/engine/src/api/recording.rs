//! Recordings, exports and what they take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use specta::Type;

use super::{ApiError, Cause, Timestamp};

/// What was recorded in a span, and what was not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Recordings {
    /// Oldest first.
    pub segments: Vec<Segment>,
    pub gaps: Vec<RecordingGap>,
    /// What happened meanwhile.
    pub events: Vec<Occurrence>,
}

/// A recording: one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Segment {
    pub id: String,
    pub camera: String,
    pub start: Timestamp,
    /// Of one that is being written: as far as it goes now.
    pub end: Timestamp,
    #[specta(type = specta_typescript::Number)]
    pub bytes: u64,
    pub state: SegmentState,
    /// It is not cleaned away.
    pub protected: bool,
    pub codec: String,
    pub width: u16,
    pub height: u16,
    /// The disk it lies on, where that is not the main root.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disk: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SegmentState {
    /// Being written.
    Open,
    Sealed,
    /// Left by a crash and made whole.
    Repaired,
}

/// A span in which nothing was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct RecordingGap {
    pub camera: String,
    pub start: Timestamp,
    /// Of one that lasts: now.
    pub end: Timestamp,
    /// A code such as `storage_lost`.
    pub cause: String,
    /// It lasts.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub open: bool,
    /// The disk it was to be recorded to, where that was not the main root.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disk: Option<String>,
}

/// Something that happened, as a mark on the time line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Occurrence {
    pub id: String,
    /// Where it is one camera's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub camera: Option<String>,
    /// All that it is about: several that fell together, for instance.
    #[serde(default)]
    pub cameras: Vec<String>,
    /// Such as `camera_lost`.
    pub kind: String,
    pub start: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub end: Option<Timestamp>,
    pub message: String,
}

/// A change of a recording.
#[derive(Clone, Debug, Serialize, Deserialize, Type, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SegmentPatch {
    /// Keep it from being cleaned away.
    pub protected: bool,
}

/// A span that is wanted as one file.
#[derive(Clone, Debug, Serialize, Deserialize, Type, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportSpec {
    pub camera: String,
    /// RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub from: String,
    #[schemars(extend("format" = "date-time"))]
    pub to: String,
    #[serde(default)]
    #[specta(optional)]
    pub cut: ExportCut,
}

/// Where an export begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportCut {
    /// At the first picture of the span, by the file's edit list.
    #[default]
    Exact,
    /// At the key frame at or before it.
    Key,
}

/// An export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Export {
    pub id: String,
    pub camera: String,
    pub from: Timestamp,
    pub to: Timestamp,
    pub cut: ExportCut,
    pub state: ExportState,
    /// 0 to 1.
    #[specta(type = specta_typescript::Number)]
    pub progress: f64,
    /// Bytes that are written.
    #[specta(type = specta_typescript::Number)]
    pub bytes: u64,
    /// Bytes of the whole file, once they are known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(type = Option<specta_typescript::Number>)]
    pub total_bytes: Option<u64>,
    /// How long it plays, in seconds, once that is known. Gaps are left out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(type = Option<specta_typescript::Number>)]
    pub seconds: Option<f64>,
    /// What the file is to be called.
    pub name: String,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<ApiError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportState {
    /// Others come first.
    Waiting,
    Running,
    Done,
    Failed,
}

/// An export that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
pub struct ExportBegun {
    pub id: String,
}

/// What recordings take, and how long that can go on; of all disks together, where there are several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct Storage {
    /// Where the recordings are; of several disks the main one.
    pub root: String,
    #[specta(type = specta_typescript::Number)]
    pub used_bytes: u64,
    /// Free on the disks; not told where none can be asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(type = Option<specta_typescript::Number>)]
    pub free_bytes: Option<u64>,
    /// What is kept free.
    #[specta(type = specta_typescript::Number)]
    pub reserved_bytes: u64,
    /// Bytes a day, at the rate of the last day.
    #[specta(type = specta_typescript::Number)]
    pub bytes_per_day: u64,
    /// Days until the disk is full at that rate; of several, the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(type = Option<specta_typescript::Number>)]
    pub days_left: Option<f64>,
    /// Days that recordings are kept where there is room; 0 = as long as there is.
    pub retention_days: u32,
    /// What a person should know now; the worst of all disks.
    pub outlook: StorageOutlook,
    pub cameras: Vec<CameraStorage>,
    /// Each disk: the main one first, then those of the configuration, then those that are in it no more and have
    /// recordings.
    #[serde(default)]
    pub disks: Vec<DiskStorage>,
}

/// One disk of recordings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct DiskStorage {
    /// Its name; empty for the main one.
    pub name: String,
    pub state: DiskState,
    /// Why it is not well.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Cause>,
    #[specta(type = specta_typescript::Number)]
    pub used_bytes: u64,
    /// Not told where the disk cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(type = Option<specta_typescript::Number>)]
    pub free_bytes: Option<u64>,
    /// What is kept free.
    #[specta(type = specta_typescript::Number)]
    pub reserved_bytes: u64,
    /// Bytes a day, at the rate of the last day.
    #[specta(type = specta_typescript::Number)]
    pub bytes_per_day: u64,
    /// Days until it is full at that rate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(type = Option<specta_typescript::Number>)]
    pub days_left: Option<f64>,
    pub outlook: StorageOutlook,
    /// Cameras that are recorded to it.
    pub cameras: Vec<String>,
}

/// How a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiskState {
    Ready,
    /// It was not looked at yet, or recording is switched off for all.
    Unknown,
    Lost,
    Full,
    /// Nothing is tried any more.
    Failed,
    /// Recordings lie on it that cannot be had: the configuration does not know it.
    NotConfigured,
}

/// What becomes of the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Type, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StorageOutlook {
    /// There is room for all the days to keep.
    Enough,
    /// Older recordings will go before their days are over.
    Short,
    /// Recording will stop within a day: nothing may be overwritten, or all is protected.
    Ending,
    /// Not known yet.
    Unknown,
}

/// What a camera's recordings take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Type, JsonSchema)]
pub struct CameraStorage {
    pub camera: String,
    #[specta(type = specta_typescript::Number)]
    pub bytes: u64,
    #[specta(type = specta_typescript::Number)]
    pub protected_bytes: u64,
    #[specta(type = specta_typescript::Number)]
    pub segments: u64,
    pub oldest: Timestamp,
    /// When the newest recording began.
    pub newest: Timestamp,
    /// Bytes a day, at the rate of the last day.
    #[specta(type = specta_typescript::Number)]
    pub bytes_per_day: u64,
    /// Days until the disk is full if this camera alone went on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[specta(type = Option<specta_typescript::Number>)]
    pub days_left: Option<f64>,
}
