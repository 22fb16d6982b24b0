//! What is recorded: the recorder and its catalogue in the engine, and the switch of each camera.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;
use tracing::{info, warn};

use super::EngineHandle;
use super::handle::{Inner, blocking};
use super::space::bytes;
use crate::api::{self, ApiError, Camera, CameraSpec, Cause};
use crate::config::{self, check_shown};
use crate::env::Env;
use crate::record::{
    Figures, Habits, Ledger, Limits, Options, Plan, Recorder, Retention, Schedule, State, Status, local,
};
use crate::store::{Catalogue, StoreError};

const CATALOGUE: &str = "catalogue.db";
const LEDGER: &str = "recording.json";
const RECORDINGS: &str = "recordings";
/// How often schedules are looked at.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Where recordings lie and what is known of them. There is none for an engine without a data directory.
#[derive(Clone)]
pub(super) struct Records {
    pub(super) root: PathBuf,
    pub(super) catalogue: Arc<Catalogue>,
    ledger: Arc<Ledger>,
    env: Env,
    /// None where recording is switched off for all.
    pub(super) recorder: Option<Recorder>,
}

/// The recordings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    #[error(transparent)]
    Catalogue(#[from] StoreError),
    #[error("the recorder cannot be started: {0}")]
    Io(#[from] std::io::Error),
}

impl Records {
    /// Opens the catalogue and starts the recorder. Blocks; within a runtime.
    pub(super) fn open(data_dir: &Path, config: &config::Recording, env: &Env) -> Result<Self, RecordsError> {
        let root = config.root.clone().unwrap_or_else(|| data_dir.join(RECORDINGS));
        let (catalogue, opened) = Catalogue::open(&data_dir.join(CATALOGUE))?;
        if let crate::store::Opened::Damaged { aside } = opened {
            warn!(tag = "STORAGE", aside = %aside.display(), "the catalogue was damaged and is made anew");
        }
        let catalogue = Arc::new(catalogue);
        let ledger = Arc::new(Ledger::open(data_dir.join(LEDGER)));
        let options = || Options {
            root: root.clone(),
            limits: Limits { seconds: config.segment_seconds, bytes: config.segment_bytes },
            retention: Retention {
                days: config.retention_days,
                min_free: bytes(config.min_free_gb),
                overwrite: config.overwrite,
                quota: bytes(config.quota_gb),
            },
            catalogue: Arc::clone(&catalogue),
            ledger: Arc::clone(&ledger),
        };
        let recorder = config.enabled.then(|| Recorder::start(options(), env)).transpose()?;
        Ok(Self { root, catalogue, ledger, env: env.clone(), recorder })
    }

    /// Whether a camera is to be recorded now: what a person switched counts more than its own setting and
    /// schedule.
    pub(super) fn wanted(&self, id: &str, setting: bool, schedule: Option<&Schedule>) -> bool {
        wanted_at(self.env.wall(), &self.ledger, id, setting, schedule)
    }

    /// Adds how a phone is recorded to what is known of it. What is not right is as if it were not there.
    pub(super) fn recall(&self, id: &str, spec: &mut CameraSpec) {
        let Some(habits) = self.ledger.habits(id) else { return };
        let Habits { record, schedule: record_schedule, pre_roll_seconds, quota_gb: record_quota_gb } =
            habits;
        let with = CameraSpec { record, record_schedule, pre_roll_seconds, record_quota_gb, ..spec.clone() };
        match check_shown(&with) {
            Ok(()) => *spec = with,
            Err(error) => warn!(tag = "RECORDING", camera = id, %error, "how it is recorded is forgotten"),
        }
    }

    /// The same for moments that are over, of a camera with a schedule.
    pub(super) fn plan(&self, id: &str, setting: bool, schedule: &Schedule) -> Plan {
        let (ledger, id, schedule) = (Arc::clone(&self.ledger), id.to_owned(), schedule.clone());
        Plan::new(move |at| wanted_at(at, &ledger, &id, setting, Some(&schedule)))
    }
}

fn wanted_at(at: SystemTime, ledger: &Ledger, id: &str, setting: bool, schedule: Option<&Schedule>) -> bool {
    let planned = || setting && schedule.is_none_or(|schedule| schedule.is_on(at, local));
    ledger.switched(id, at).unwrap_or_else(planned)
}

/// Switches cameras on and off as their schedules say, until the engine ends. Looks at the clock every time:
/// it may be set, and change with the season.
pub(super) async fn follow(engine: Weak<Inner>) {
    loop {
        let Some(inner) = engine.upgrade() else { return };
        let stop = inner.stop.clone();
        inner.entries().iter().filter(|entry| entry.follow()).for_each(|entry| {
            info!(tag = "RECORDING", camera = entry.id, "switched by its schedule");
            entry.main.status.touch();
        });
        drop(inner);
        if stop.run_until_cancelled(sleep(FOLLOW_EVERY)).await.is_none() {
            return;
        }
    }
}

impl EngineHandle {
    /// Switches a camera's recording on or off. It stays so, over reconnects and restarts, until it is
    /// switched again, the camera's own setting is changed, or its schedule switches by itself.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` where recording is switched off for all, or `Internal` where it cannot be kept.
    pub async fn set_recording(&self, id: &str, on: bool) -> Result<Camera, ApiError> {
        let entry = self.entry(id)?;
        if on && entry.recording.is_none() {
            let reason = "recording is switched off in the configuration (recording.enabled)";
            return Err(ApiError::invalid("on", reason));
        }
        let now = self.ground().env.wall();
        let until = entry.schedule().and_then(|schedule| schedule.next_change(now, local));
        if let Some(records) = self.records() {
            // Before the switch: the schedule would take it back.
            records.ledger.note_switched(id, Some(on), until);
        }
        if let Some(recording) = &entry.recording {
            recording.switch(on, false);
        }
        self.keep_switched(id, Some(on), until).await;
        // After the switch: whoever wakes must find it.
        entry.main.status.touch();
        Ok(entry.to_api())
    }

    /// Keeps what was switched, or forgets it.
    pub(super) async fn keep_switched(&self, id: &str, on: Option<bool>, until: Option<SystemTime>) {
        let Some(records) = self.records() else { return };
        records.ledger.note_switched(id, on, until);
        let ledger = Arc::clone(&records.ledger);
        if let Err(error) = blocking(move || ledger.keep()).await {
            // It holds for this run; after a restart the camera's own setting decides.
            warn!(tag = "RECORDING", %error, "what was switched cannot be kept");
        }
    }

    /// Keeps how a phone is recorded, as far as that was said; of a camera that is gone nothing.
    pub(super) async fn keep_habits(&self, id: &str, spec: Option<&CameraSpec>) {
        let Some(records) = self.records() else { return };
        let habits = spec.map(|spec| Habits {
            record: spec.record,
            schedule: spec.record_schedule.clone(),
            pre_roll_seconds: spec.pre_roll_seconds,
            quota_gb: spec.record_quota_gb,
        });
        records.ledger.note_habits(id, habits.unwrap_or_default());
        let ledger = Arc::clone(&records.ledger);
        if let Err(error) = blocking(move || ledger.keep()).await {
            warn!(tag = "RECORDING", %error, "how a phone is recorded cannot be kept");
        }
    }

    /// What is known of recordings, and the directory that their paths are relative to.
    #[must_use]
    pub fn catalogue(&self) -> Option<(Arc<Catalogue>, PathBuf)> {
        self.records().map(|records| (Arc::clone(&records.catalogue), records.root.clone()))
    }

    /// Figures of the recorder, where there is one.
    #[must_use]
    pub fn recorder_figures(&self) -> Option<Figures> {
        Some(self.records()?.recorder.as_ref()?.figures())
    }
}

/// A recording's public face.
pub(super) fn tell(status: &Status) -> api::Recording {
    let state = match status.state {
        State::Off => api::RecordingState::Off,
        State::Recording => api::RecordingState::Recording,
        State::StorageLost => api::RecordingState::StorageLost,
        State::DiskFull => api::RecordingState::DiskFull,
        State::Failed => api::RecordingState::Failed,
    };
    let cause = status.cause.as_ref().map(|cause| Cause {
        code: cause.code.name().to_owned(),
        class: cause.verdict().class.name().to_owned(),
        detail: cause.detail.clone(),
    });
    api::Recording { state, since: status.since.into(), cause }
}
