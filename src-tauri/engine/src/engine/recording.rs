//! What is recorded: the recorders and their catalogue in the engine, and the switch of each camera.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use tokio::time::sleep;
use tracing::{info, warn};

use super::EngineHandle;
use super::handle::{Inner, blocking};
use super::phone::Phone;
use super::space::bytes;
use crate::api::{self, ApiError, Camera, CameraSpec, Cause};
use crate::config::{self, Invalid, check_shown};
use crate::env::Env;
use crate::record::{
    self, Estate, Figures, Habits, Ledger, Limits, Options, Plan, Recorder, Retention, Schedule, State, local,
};
use crate::store::{Catalogue, Disks, MAIN, StoreError};

const CATALOGUE: &str = "catalogue.db";
const LEDGER: &str = "recording.json";
const RECORDINGS: &str = "recordings";
/// How often schedules are looked at.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Where recordings lie and what is known of them. There is none for an engine without a data directory.
#[derive(Clone)]
pub(super) struct Records {
    pub(super) catalogue: Arc<Catalogue>,
    estate: Arc<Estate>,
    ledger: Arc<Ledger>,
    env: Env,
    /// One for each root, the main one's first; none where recording is switched off for all.
    recorders: Arc<[Recorder]>,
}

/// The recordings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// Roots that meet on this machine.
    #[error(transparent)]
    Config(#[from] Invalid),
    #[error(transparent)]
    Catalogue(#[from] StoreError),
    #[error("the recorder cannot be started: {0}")]
    Io(#[from] std::io::Error),
}

impl Records {
    /// Opens the catalogue and starts the recorder. Blocks; within a runtime.
    pub(super) fn open(data_dir: &Path, config: &config::Recording, env: &Env) -> Result<Self, RecordsError> {
        let main = config.root.clone().unwrap_or_else(|| data_dir.join(RECORDINGS));
        config.check_places(&main)?;
        let (catalogue, opened) = Catalogue::open(&data_dir.join(CATALOGUE))?;
        if let crate::store::Opened::Damaged { aside } = opened {
            warn!(tag = "STORAGE", aside = %aside.display(), "the catalogue was damaged and is made anew");
        }
        let catalogue = Arc::new(catalogue);
        let ledger = Arc::new(Ledger::open(data_dir.join(LEDGER)));
        // What is listed for people keeps no file waiting.
        let own = Arc::new(catalogue.beside()?);
        let others = config.disk.iter().map(|disk| (disk.name.clone(), disk.root.clone()));
        let estate = Estate::new(Disks::new(main, others));
        let start = |name: &str, min_free_gb: Option<f64>, quota_gb: Option<f64>| {
            let options = Options {
                disk: name.to_owned(),
                estate: Arc::clone(&estate),
                limits: Limits { seconds: config.segment_seconds, bytes: config.segment_bytes },
                retention: Retention {
                    days: config.retention_days,
                    min_free: bytes(min_free_gb.unwrap_or(config.min_free_gb)),
                    overwrite: config.overwrite,
                    quota: bytes(quota_gb.unwrap_or(config.quota_gb)),
                },
                catalogue: Arc::clone(&own),
                ledger: Arc::clone(&ledger),
            };
            Recorder::start(options, env)
        };
        let others = config.disk.iter().map(|disk| start(&disk.name, disk.min_free_gb, disk.quota_gb));
        let recorders: Vec<Recorder> = match config.enabled {
            true => std::iter::once(start(MAIN, None, None)).chain(others).collect::<Result<_, _>>()?,
            false => Vec::new(),
        };
        let recorders = recorders.into();
        Ok(Self { catalogue, estate, ledger, env: env.clone(), recorders })
    }

    /// Where recordings are.
    pub(super) fn disks(&self) -> &Disks {
        self.estate.disks()
    }

    pub(super) fn recorders(&self) -> &[Recorder] {
        &self.recorders
    }

    /// The recorder for a camera. One whose disk is in the configuration no more is recorded to the main root: what
    /// arrives is lost nowhere.
    pub(super) fn recorder(&self, disk: Option<&str>) -> Option<&Recorder> {
        let wanted = disk.unwrap_or(MAIN);
        self.recorders.iter().find(|recorder| recorder.disk() == wanted).or(self.recorders.first())
    }

    /// Seals every file.
    pub(super) async fn shutdown(&self) {
        join_all(self.recorders.iter().map(Recorder::shutdown)).await;
    }

    /// Whether a camera is to be recorded now: what a person switched counts more than its own setting and
    /// schedule.
    pub(super) fn wanted(&self, id: &str, setting: bool, schedule: Option<&Schedule>) -> bool {
        wanted_at(self.env.wall(), &self.ledger, id, setting, schedule)
    }

    /// Adds what a person set of a phone to what is known of it. What is not right is as if it were not there.
    pub(super) fn recall(&self, id: &str, spec: &mut CameraSpec) {
        let Some(habits) = self.ledger.habits(id) else { return };
        let with = CameraSpec {
            record: habits.record,
            record_schedule: habits.schedule,
            pre_roll_seconds: habits.pre_roll_seconds,
            record_quota_gb: habits.quota_gb,
            record_disk: habits.disk,
            alerts: habits.alerts,
            // Who was let in has the name that is kept with its key.
            name: spec.name.clone().or(habits.name),
            ..spec.clone()
        };
        match check_shown(&with) {
            Ok(()) => *spec = with,
            Err(error) => warn!(tag = "RECORDING", camera = id, %error, "what was set of it is forgotten"),
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
        let _one_at_a_time = self.one_change().await;
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

    /// Keeps what was set of a phone: how it is recorded, its alerts, and its name unless that is kept with its
    /// key. Of a camera that is gone nothing.
    pub(super) async fn keep_habits(&self, id: &str, said: Option<(&CameraSpec, Option<&Phone>)>) {
        let Some(records) = self.records() else { return };
        let habits = said.map(|(spec, phone)| Habits {
            record: spec.record,
            schedule: spec.record_schedule.clone(),
            pre_roll_seconds: spec.pre_roll_seconds,
            quota_gb: spec.record_quota_gb,
            disk: spec.record_disk.clone(),
            alerts: spec.alerts,
            name: spec.name.clone().filter(|_| phone.is_some_and(|phone| !phone.is_known())),
        });
        records.ledger.note_habits(id, habits.unwrap_or_default());
        let ledger = Arc::clone(&records.ledger);
        if let Err(error) = blocking(move || ledger.keep()).await {
            warn!(tag = "RECORDING", %error, "what was set of a phone cannot be kept");
        }
    }

    /// Figures of the recorders, where there are some: by the names of their disks, the main one's first.
    #[must_use]
    pub fn recorder_figures(&self) -> Vec<(String, Figures)> {
        let recorders = self.records().map(Records::recorders).unwrap_or_default();
        recorders.iter().map(|recorder| (recorder.disk().to_owned(), recorder.figures())).collect()
    }
}

/// A recording's public face; `disk` is where its camera is to be recorded.
pub(super) fn tell(recording: &record::Recording, disk: Option<&str>) -> api::Recording {
    let status = recording.status();
    let state = match status.state {
        State::Off => api::RecordingState::Off,
        State::Recording => api::RecordingState::Recording,
        State::StorageLost => api::RecordingState::StorageLost,
        State::DiskFull => api::RecordingState::DiskFull,
        State::Failed => api::RecordingState::Failed,
    };
    let stray = disk.filter(|name| status.state == State::Recording && *name != recording.disk());
    let stray = stray.map(|name| record::Cause {
        code: record::Code::DiskUnknown,
        detail: format!(
            "The disk \"{name}\" is not in the configuration (recording.disk): the camera is recorded to the main root."
        ),
    });
    let cause = status.cause.as_ref().or(stray.as_ref()).map(tell_cause);
    let disk = Some(recording.disk()).filter(|disk| *disk != MAIN).map(str::to_owned);
    api::Recording { state, since: status.since.into(), cause, disk }
}

/// A cause's public face.
pub(super) fn tell_cause(cause: &record::Cause) -> Cause {
    Cause {
        code: cause.code.name().to_owned(),
        class: cause.verdict().class.name().to_owned(),
        detail: cause.detail.clone(),
    }
}
