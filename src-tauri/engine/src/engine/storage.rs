//! What recordings take on each disk and on all together, and how long that goes on.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::EngineHandle;
use super::archive::tell_store;
use super::space::{Space, bytes};
use crate::api::{ApiError, CameraStorage, DiskState, DiskStorage, Storage, StorageOutlook};
use crate::record::{Recorder, State};
use crate::store::{self, MAIN, Query, SegmentRow, Usage};

use super::recording;

const DAY: Duration = Duration::from_secs(86_400);
/// A rate is not told of less than this.
const RATE_SPAN: Duration = Duration::from_secs(60);

/// What is known of a disk before the catalogue is asked.
#[derive(Debug)]
struct Look {
    name: String,
    state: DiskState,
    cause: Option<crate::api::Cause>,
    free: Option<u64>,
    reserved: u64,
    /// 0 = no limit.
    quota: u64,
}

/// The storage, and what the rate meets on each disk that was looked at.
pub(super) struct Survey {
    pub(super) storage: Storage,
    pub(super) spaces: Vec<(String, Space)>,
}

impl EngineHandle {
    /// What recordings take, and how long that can go on.
    ///
    /// # Errors
    /// `Internal` where the catalogue cannot be read.
    pub async fn storage(&self) -> Result<Storage, ApiError> {
        Ok(self.survey().await?.storage)
    }

    pub(super) async fn survey(&self) -> Result<Survey, ApiError> {
        let recording = self.config().recording.clone();
        let now = self.ground().env.wall();
        let looks = self.looks();
        let entries = self.entries();
        let chosen: BTreeMap<String, String> =
            entries.iter().map(|entry| (entry.id.clone(), entry.disk().to_owned())).collect();
        self.with_archive(move |archive| {
            let usage = archive.catalogue().usage().map_err(tell_store)?;
            let from_us = store::micros(now.checked_sub(DAY).unwrap_or(now));
            let query = Query { camera: None, from_us, to_us: store::micros(now) };
            let day = archive.catalogue().segments(query).map_err(tell_store)?;
            let room: HashMap<&str, u64> = (looks.iter())
                .filter_map(|look| Some((&*look.name, look.free?.saturating_sub(look.reserved))))
                .collect();
            let mut cameras: Vec<(CameraStorage, String)> = Vec::new();
            for rows in usage.chunk_by(|a, b| a.camera == b.camera) {
                // One that is gone goes on nowhere: what it did counts where it was last.
                let last = rows.iter().max_by_key(|one| one.newest_us).map_or(MAIN, |one| &one.disk);
                let disk = chosen.get(&rows[0].camera).map_or(last, String::as_str);
                cameras.push((camera_storage(rows, &day, query, room.get(disk).copied()), disk.to_owned()));
            }
            let stray: Vec<Look> = {
                let known = |name: &str| looks.iter().any(|look| look.name == name);
                let mut names: Vec<&str> =
                    usage.iter().map(|one| &*one.disk).filter(|name| !known(name)).collect();
                names.sort_unstable();
                names.dedup();
                names.into_iter().map(Look::at_nothing).collect()
            };
            let mut spaces = Vec::new();
            let disks: Vec<DiskStorage> = (looks.into_iter().chain(stray))
                .map(|look| {
                    let own = usage.iter().filter(|one| one.disk == look.name);
                    let (used, protected) =
                        own.fold((0, 0), |sum, one| (sum.0 + one.bytes, sum.1 + one.protected_bytes));
                    let rate =
                        cameras.iter().filter(|(_, disk)| *disk == look.name).map(|(c, _)| c.bytes_per_day);
                    let rate = rate.sum();
                    let room = look.free.map(|free| free.saturating_sub(look.reserved));
                    let space = room.map(|room| Space {
                        room: if look.quota == 0 { room } else { room.min(look.quota.saturating_sub(used)) },
                        used,
                        protected,
                        rate,
                        days: recording.retention_days,
                        // What is over a quota goes, whatever else may not.
                        overwrite: recording.overwrite || look.quota > 0,
                    });
                    let outlook = space.as_ref().map_or(StorageOutlook::Unknown, Space::outlook);
                    spaces.extend(space.map(|space| (look.name.clone(), space)));
                    let there = chosen.iter().filter(|(_, disk)| **disk == look.name);
                    DiskStorage {
                        cameras: there.map(|(camera, _)| camera.clone()).collect(),
                        name: look.name,
                        state: look.state,
                        cause: look.cause,
                        used_bytes: used,
                        free_bytes: look.free,
                        reserved_bytes: look.reserved,
                        bytes_per_day: rate,
                        days_left: room.and_then(|room| days(room, rate)),
                        outlook,
                    }
                })
                .collect();
            let free = disks.iter().filter_map(|disk| disk.free_bytes);
            let storage = Storage {
                root: archive.disks().root(MAIN).map(|root| root.display().to_string()).unwrap_or_default(),
                used_bytes: disks.iter().map(|disk| disk.used_bytes).sum(),
                free_bytes: disks.iter().any(|disk| disk.free_bytes.is_some()).then(|| free.sum()),
                reserved_bytes: disks.iter().map(|disk| disk.reserved_bytes).sum(),
                bytes_per_day: cameras.iter().map(|(camera, _)| camera.bytes_per_day).sum(),
                days_left: disks.iter().filter_map(|disk| disk.days_left).min_by(f64::total_cmp),
                retention_days: recording.retention_days,
                outlook: worst(disks.iter().map(|disk| disk.outlook)),
                cameras: cameras.into_iter().map(|(camera, _)| camera).collect(),
                disks,
            };
            Ok(Survey { storage, spaces })
        })
        .await
    }

    /// The disks of the configuration, the main one first.
    fn looks(&self) -> Vec<Look> {
        let recording = &self.config().recording;
        let recorders = self.records().map(super::recording::Records::recorders).unwrap_or_default();
        let look = |name: &str, min_free_gb: Option<f64>, quota_gb: Option<f64>| {
            let recorder = recorders.iter().find(|recorder| recorder.disk() == name);
            let (state, cause) = recorder.map_or((DiskState::Unknown, None), disk_state);
            // Nothing at all is what a recorder says that has not looked yet; of what is gone it says what was.
            let free = recorder.filter(|_| matches!(state, DiskState::Ready | DiskState::Full));
            let free = free.map(|recorder| recorder.figures().free_bytes).filter(|free| *free > 0);
            Look {
                name: name.to_owned(),
                state,
                cause,
                free,
                reserved: bytes(min_free_gb.unwrap_or(recording.min_free_gb)),
                quota: bytes(quota_gb.unwrap_or(recording.quota_gb)),
            }
        };
        let others = recording.disk.iter().map(|disk| look(&disk.name, disk.min_free_gb, disk.quota_gb));
        std::iter::once(look(MAIN, None, None)).chain(others).collect()
    }
}

impl Look {
    /// A disk that the configuration does not know any more.
    fn at_nothing(name: &str) -> Self {
        let (state, cause) = (DiskState::NotConfigured, None);
        Self { name: name.to_owned(), state, cause, free: None, reserved: 0, quota: 0 }
    }
}

fn disk_state(recorder: &Recorder) -> (DiskState, Option<crate::api::Cause>) {
    let Some((state, cause)) = recorder.storage() else { return (DiskState::Unknown, None) };
    let state = match state {
        State::Off | State::Recording => DiskState::Ready,
        State::StorageLost => DiskState::Lost,
        State::DiskFull => DiskState::Full,
        State::Failed => DiskState::Failed,
    };
    (state, cause.as_ref().map(recording::tell_cause))
}

fn worst(outlooks: impl Iterator<Item = StorageOutlook>) -> StorageOutlook {
    let weight = |outlook: &StorageOutlook| match outlook {
        StorageOutlook::Unknown => 0,
        StorageOutlook::Enough => 1,
        StorageOutlook::Short => 2,
        StorageOutlook::Ending => 3,
    };
    outlooks.max_by_key(weight).unwrap_or(StorageOutlook::Unknown)
}

/// A camera's on all disks; `room` is where it goes on.
fn camera_storage(rows: &[Usage], day: &[SegmentRow], last: Query<'_>, room: Option<u64>) -> CameraStorage {
    let camera = &rows[0].camera;
    let inside: f64 = (day.iter().filter(|row| row.camera == *camera))
        .map(|row| {
            let length = (row.end_us - row.start_us).max(1);
            let within = row.end_us.min(last.to_us) - row.start_us.max(last.from_us);
            rate_of(row.bytes) * (within.max(0) as f64 / length as f64)
        })
        .sum();
    let oldest_us = rows.iter().map(|one| one.oldest_us).min().unwrap_or_default();
    let newest_us = rows.iter().map(|one| one.newest_us).max().unwrap_or_default();
    let span = (last.to_us - oldest_us.max(last.from_us)) as f64 / 1e6;
    let span = span.max(RATE_SPAN.as_secs_f64());
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is far below 2⁶³")]
    let bytes_per_day = (inside / span * DAY.as_secs_f64()) as u64;
    CameraStorage {
        camera: camera.clone(),
        bytes: rows.iter().map(|one| one.bytes).sum(),
        protected_bytes: rows.iter().map(|one| one.protected_bytes).sum(),
        segments: rows.iter().map(|one| one.segments).sum(),
        oldest: store::wall(oldest_us).into(),
        newest: store::wall(newest_us).into(),
        bytes_per_day,
        days_left: room.and_then(|room| days(room, bytes_per_day)),
    }
}

fn rate_of(bytes: u64) -> f64 {
    bytes as f64
}

/// How many days the room lasts, to a tenth.
fn days(room: u64, bytes_per_day: u64) -> Option<f64> {
    (bytes_per_day > 0).then(|| (rate_of(room) / rate_of(bytes_per_day) * 10.0).floor() / 10.0)
}
