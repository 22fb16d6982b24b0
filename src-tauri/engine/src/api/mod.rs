//! The only serialised surface: what both doors, HTTP and Tauri, take and give.
//!
//! The shapes are a public contract; other programs are written against them. TypeScript types and the
//! OpenAPI document are made from these types. Nothing below the engine's top layer sees them.

mod camera;
mod error;
mod event;
mod phone;
mod probe;
mod recording;
mod timestamp;

pub use camera::{
    Camera, CameraKind, CameraPatch, CameraSpec, CameraState, Cause, Fault, FaultAdvice, FaultKind,
    OwnSettings, PhoneHealth, RecordSettings, Recording, RecordingState, StateName, Stats, Stream, Track,
    TrackKind, Transport, ViewerAction, ViewerTransport,
};
pub use error::{ApiError, ErrorCode};
pub use event::{Alert, AlertKind, AlertSettings, AlertSettingsPatch, Event};
pub use phone::{
    Device, DevicePatch, NewPairing, Pairing, PairingSpec, PairingState, WhipToken, WhipTokenSpec,
};
pub use probe::{Playback, Probe, ProbeSub, ProbeTrack};
pub use recording::{
    CameraStorage, DiskState, DiskStorage, Export, ExportBegun, ExportCut, ExportSpec, ExportState,
    Occurrence, RecordingGap, Recordings, Segment, SegmentPatch, SegmentState, Storage, StorageOutlook,
};
pub use timestamp::Timestamp;
