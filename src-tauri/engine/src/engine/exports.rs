//! Exports under way and done: one is written at a time, each lies in a file of its own until it is
//! removed, a day has passed, or the program starts anew.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::format_description;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use uuid::Uuid;

use super::EngineHandle;
use super::archive::{Shelf, known_by, tell};
use super::handle::blocking;
use crate::api::{ApiError, ErrorCode, Export, ExportBegun, ExportCut, ExportSpec, ExportState, Timestamp};
use crate::archive::{ArchiveError, Cut, Progress, Span};
use crate::env::Env;
use crate::record::free_space;
use crate::store::{micros, wall};

/// Exports that are kept or wait; the oldest that is done makes way for a new one.
const KEPT: usize = 32;
/// One that is done is removed after this.
const LIFE: Duration = Duration::from_secs(86_400);
/// What an export leaves of the disk, in bytes.
const LEFT_FREE: u64 = 256 << 20;

/// All exports.
pub(super) struct Exports {
    dir: PathBuf,
    jobs: Mutex<BTreeMap<Uuid, Arc<Job>>>,
    turn: Arc<Semaphore>,
    /// Apart from the engine's: what is copied must not keep the recorder from finishing its files.
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Job {
    id: Uuid,
    span: Span,
    progress: Progress,
    /// It was removed, or made way.
    gone: CancellationToken,
    state: Mutex<State>,
}

enum State {
    Waiting,
    Running,
    Done { bytes: u64 },
    Failed(ApiError),
}

/// A finished export.
#[derive(Debug)]
pub struct ExportFile {
    pub file: File,
    pub bytes: u64,
    /// What it is to be called.
    pub name: String,
}

impl Exports {
    /// What an earlier run left is removed. Blocks.
    pub(super) fn open(dir: PathBuf) -> Self {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let ours = path.file_stem().is_some_and(|stem| Uuid::try_parse(&stem.to_string_lossy()).is_ok());
            if ours && let Err(error) = fs::remove_file(&path) {
                warn!(tag = "STORAGE", "an old export cannot be removed: {error}");
            }
        }
        Self {
            dir,
            jobs: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    /// Ends what is under way.
    pub(super) fn cancel_all(&self) {
        self.stop.cancel();
        for job in self.jobs().values() {
            job.progress.cancelled.store(true, Ordering::Relaxed);
        }
        self.tasks.close();
    }

    /// Waits for what was cancelled.
    pub(super) async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// Forgets one that has been there for long enough.
    async fn expire(&self, job: &Job) {
        tokio::select! {
            () = self.stop.cancelled() => return,
            () = job.gone.cancelled() => return,
            () = tokio::time::sleep(LIFE) => {}
        }
        if self.jobs().remove(&job.id).is_some() {
            let path = self.path(job.id);
            blocking(move || remove_file(&path)).await;
        }
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<Uuid, Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn job(&self, id: Uuid) -> Result<Arc<Job>, ApiError> {
        let none = || ApiError::new(ErrorCode::NotFound, "There is no such export.");
        self.jobs().get(&id).cloned().ok_or_else(none)
    }

    fn path(&self, id: Uuid) -> PathBuf {
        self.dir.join(format!("{id}.mp4"))
    }

    /// Takes a place for a new one; the one that has to go for it.
    fn place(&self, job: Arc<Job>) -> Result<Option<Uuid>, ApiError> {
        let mut jobs = self.jobs();
        let mut going = None;
        if jobs.len() >= KEPT {
            let over = |job: &Job| matches!(*job.state(), State::Done { .. } | State::Failed(_));
            // Version 7: the first is the oldest.
            let oldest = jobs.values().find(|job| over(job)).map(|job| job.id);
            let busy =
                || ApiError::new(ErrorCode::Busy, "Too many exports wait already. Cancel one, or wait.");
            going = Some(oldest.ok_or_else(busy)?);
        }
        if let Some(job) = going.and_then(|id| jobs.remove(&id)) {
            job.gone.cancel();
        }
        jobs.insert(job.id, job);
        Ok(going)
    }
}

impl Job {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self) -> String {
        let stamp = format_description!("[year][month][day]_[hour][minute][second]");
        let at = OffsetDateTime::from(wall(self.span.from_us));
        let at = at.format(stamp).expect("every component is there in any time");
        format!("{}_{at}Z.mp4", self.span.camera)
    }

    fn to_api(&self) -> Export {
        let (done, total) =
            (self.progress.done.load(Ordering::Relaxed), self.progress.total.load(Ordering::Relaxed));
        let (state, error, bytes) = match &*self.state() {
            State::Waiting => (ExportState::Waiting, None, done),
            State::Running => (ExportState::Running, None, done),
            State::Done { bytes } => (ExportState::Done, None, *bytes),
            State::Failed(error) => (ExportState::Failed, Some(error.clone()), done),
        };
        let plays_us = self.progress.plays_us.load(Ordering::Relaxed);
        Export {
            id: self.id.to_string(),
            camera: self.span.camera.clone(),
            from: wall(self.span.from_us).into(),
            to: wall(self.span.to_us).into(),
            cut: match self.span.cut {
                Cut::Exact => ExportCut::Exact,
                Cut::Key => ExportCut::Key,
            },
            state,
            progress: match state {
                ExportState::Done => 1.0,
                _ if total == 0 => 0.0,
                _ => (done as f64 / total as f64).min(1.0),
            },
            bytes,
            total_bytes: (total > 0).then_some(total),
            seconds: (plays_us > 0).then_some(plays_us as f64 / 1e6),
            name: self.name(),
            error,
        }
    }
}

impl EngineHandle {
    /// Begins to write a span into one file.
    ///
    /// # Errors
    /// `Invalid` with the field, `NotFound` for the camera, `Busy`.
    pub async fn export(&self, spec: ExportSpec) -> Result<ExportBegun, ApiError> {
        let moment = |field: &str, text: &str| {
            let reason = "must be a time such as 2026-11-20T14:50:42Z";
            Timestamp::read(text).ok_or_else(|| ApiError::invalid(field, reason))
        };
        let from_us = micros(moment("from", &spec.from)?);
        let to_us = micros(moment("to", &spec.to)?);
        let cut = match spec.cut {
            ExportCut::Exact => Cut::Exact,
            ExportCut::Key => Cut::Key,
        };
        let camera = spec.camera;
        let shelf = Arc::clone(self.shelf()?);
        let known = self.camera_known(Some(&camera));
        let span = Span { camera, from_us, to_us, cut };
        let checked = span.clone();
        self.with_archive(move |archive| {
            if !known {
                known_by(archive.catalogue(), Some(&checked.camera))?;
            }
            if checked.from_us >= checked.to_us {
                return Err(ApiError::invalid("to", "must be after \"from\""));
            }
            archive.check_export(&checked).map_err(tell)
        })
        .await?;
        let job = Arc::new(Job {
            id: fresh_id(&self.ground().env),
            span,
            progress: Progress::default(),
            gone: CancellationToken::new(),
            state: Mutex::new(State::Waiting),
        });
        let going = shelf.exports.place(Arc::clone(&job))?;
        let id = job.id;
        let tasks = shelf.exports.tasks.clone();
        tasks.spawn(async move {
            let turn = Arc::clone(&shelf.exports.turn).acquire_owned().await;
            let (copied, written) = (Arc::clone(&shelf), Arc::clone(&job));
            blocking(move || {
                if let Some(id) = going {
                    remove_file(&copied.exports.path(id));
                }
                run(&copied, &written);
                drop(turn);
            })
            .await;
            shelf.exports.expire(&job).await;
        });
        Ok(ExportBegun { id: id.to_string() })
    }

    /// How an export is.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn export_state(&self, id: Uuid) -> Result<Export, ApiError> {
        Ok(self.shelf()?.exports.job(id)?.to_api())
    }

    /// All exports, the oldest first.
    ///
    /// # Errors
    /// `Internal` where there is no catalogue.
    pub fn exports(&self) -> Result<Vec<Export>, ApiError> {
        Ok(self.shelf()?.exports.jobs().values().map(|job| job.to_api()).collect())
    }

    /// Ends and forgets an export; its file goes.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_export(&self, id: Uuid) -> Result<(), ApiError> {
        let shelf = Arc::clone(self.shelf()?);
        let job = shelf.exports.job(id)?;
        shelf.exports.jobs().remove(&id);
        job.gone.cancel();
        job.progress.cancelled.store(true, Ordering::Relaxed);
        blocking(move || {
            // One that is being written removes its file itself.
            if !matches!(*job.state(), State::Waiting | State::Running) {
                remove_file(&shelf.exports.path(id));
            }
        })
        .await;
        Ok(())
    }

    /// A finished export's file.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` before it is done.
    pub async fn export_file(&self, id: Uuid) -> Result<ExportFile, ApiError> {
        let shelf = Arc::clone(self.shelf()?);
        let job = shelf.exports.job(id)?;
        match &*job.state() {
            State::Done { .. } => {}
            State::Failed(error) => {
                return Err(ApiError::new(ErrorCode::Conflict, format!("The export failed: {error}")));
            }
            _ => return Err(ApiError::new(ErrorCode::Conflict, "The export is not finished yet.")),
        }
        blocking(move || {
            let gone = |error| tell(ArchiveError::Gone(error));
            let file = File::open(shelf.exports.path(id)).map_err(gone)?;
            let bytes = file.metadata().map_err(gone)?.len();
            Ok(ExportFile { file, bytes, name: job.name() })
        })
        .await
    }
}

/// Writes one.
fn run(shelf: &Shelf, job: &Job) {
    *job.state() = State::Running;
    let path = shelf.exports.path(job.id);
    let written = fs::create_dir_all(&shelf.exports.dir).map_err(ArchiveError::Write).and_then(|()| {
        let free = free_space(&shelf.exports.dir).map_err(ArchiveError::Write)?;
        // More would make the recorder remove recordings for it, perhaps these.
        shelf.archive.export(&job.span, &path, free.saturating_sub(LEFT_FREE), &job.progress)
    });
    let mut state = job.state();
    *state = match written {
        Ok(()) => {
            let bytes = job.progress.total.load(Ordering::Relaxed);
            info!(tag = "STORAGE", camera = job.span.camera, bytes, "exported");
            State::Done { bytes }
        }
        // Somebody wanted that.
        Err(ArchiveError::Cancelled) => {
            State::Failed(ApiError::new(ErrorCode::Conflict, "The export was cancelled."))
        }
        Err(error) => State::Failed(tell(error)),
    };
    // It was removed in the moment in which it was done.
    if job.progress.cancelled.load(Ordering::Relaxed) {
        remove_file(&path);
    }
}

/// Version 7, of the environment's time and chance.
fn fresh_id(env: &Env) -> Uuid {
    let ms = u64::try_from(micros(env.wall()) / 1_000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(ms, &env.token()).into_uuid()
}

fn remove_file(path: &std::path::Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            warn!(tag = "STORAGE", "an export cannot be removed: {error}");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_for_the_end_of_an_export_that_made_way() {
        let dir = tempfile::tempdir().expect("made");
        let exports = Exports::open(dir.path().to_owned());
        let job = || {
            Arc::new(Job {
                id: fresh_id(&Env::system()),
                span: Span { camera: "door".to_owned(), from_us: 0, to_us: 1, cut: Cut::Key },
                progress: Progress::default(),
                gone: CancellationToken::new(),
                state: Mutex::new(State::Done { bytes: 0 }),
            })
        };
        let jobs: Vec<_> = (0..=KEPT).map(|_| job()).collect();
        let going: Vec<_> =
            jobs.iter().filter_map(|job| exports.place(Arc::clone(job)).expect("there is room")).collect();
        assert_eq!(going.len(), 1);
        let gone = jobs.iter().find(|job| job.id == going[0]).expect("one of them");
        let begun = tokio::time::Instant::now();
        exports.expire(gone).await;
        assert!(begun.elapsed() < LIFE);
    }
}
