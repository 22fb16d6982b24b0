//! Exports under way and done: one is written at a time, each lies in a file of its own until it is
//! removed or a day has passed. A note beside it says what it is: after a restart it is there as before, and one
//! that the end of the program cut off says so.
//!
//! Invariant: what lies in the directory is an export that is listed, or is removed at the start.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
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
use crate::config::is_id;
use crate::env::Env;
use crate::record::free_space;
use crate::store::{Micros, micros, wall};

/// Exports that are kept or wait; the oldest that is done makes way for a new one.
const KEPT: usize = 32;
/// One that is done is removed after this.
const LIFE: Duration = Duration::from_secs(86_400);
/// What an export leaves of the disk, in bytes.
const LEFT_FREE: u64 = 256 << 20;
/// A note larger than this is not ours.
const NOTE_MAX: u64 = 4_096;

/// All exports.
pub(super) struct Exports {
    dir: PathBuf,
    env: Env,
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
    /// It is kept for so long once it is done.
    life: Duration,
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

/// What is known of an export after a restart.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    camera: String,
    from_us: Micros,
    to_us: Micros,
    exact: bool,
    /// When it was begun, or done.
    at_us: Micros,
    done: Option<Done>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Done {
    bytes: u64,
    plays_us: u64,
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
    /// What an earlier run left is there again, as far as its time is not over and it is whole; the rest is removed.
    /// Blocks.
    pub(super) fn open(dir: PathBuf, env: Env) -> Self {
        let id_of = |path: &Path| Uuid::try_parse(&path.file_stem()?.to_string_lossy()).ok();
        let found = fs::read_dir(&dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let files: Vec<(Uuid, PathBuf)> = found.filter_map(|path| Some((id_of(&path)?, path))).collect();
        let mut jobs: BTreeMap<Uuid, Arc<Job>> = BTreeMap::new();
        for (id, path) in &files {
            if path.extension().is_some_and(|kind| kind == "json")
                && let Some(job) = recall(&dir, *id, env.wall())
            {
                jobs.insert(*id, Arc::new(job));
            }
        }
        // Version 7: the first is the oldest.
        while jobs.len() > KEPT {
            jobs.pop_first();
        }
        for (id, path) in files {
            let kept = match path.extension().and_then(|kind| kind.to_str()) {
                Some("json") => jobs.contains_key(&id),
                Some("mp4") => jobs.get(&id).is_some_and(|job| matches!(*job.state(), State::Done { .. })),
                _ => false,
            };
            if !kept {
                remove_file(&path);
            }
        }
        Self {
            dir,
            env,
            jobs: Mutex::new(jobs),
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
            () = tokio::time::sleep(job.life) => {}
        }
        if self.jobs().remove(&job.id).is_some() {
            let (path, note) = (self.path(job.id), self.note_path(job.id));
            blocking(move || {
                remove_file(&path);
                remove_file(&note);
            })
            .await;
        }
    }

    /// Writes down what is known of one. Where it cannot be, it does not outlive the program. Blocks.
    fn note(&self, job: &Job, done: Option<Done>) {
        let Span { camera, from_us, to_us, cut } = job.span.clone();
        let (exact, at_us) = (matches!(cut, Cut::Exact), micros(self.env.wall()));
        let note = Note { camera, from_us, to_us, exact, at_us, done };
        let path = self.note_path(job.id);
        let beside = path.with_extension("new");
        let written = serde_json::to_vec(&note).map_err(io::Error::from);
        let written =
            written.and_then(|text| fs::write(&beside, text)).and_then(|()| fs::rename(&beside, &path));
        if let Err(error) = written {
            warn!(tag = "STORAGE", "an export is gone after a restart: {error}");
        }
    }

    /// Removes what lies there of one. Blocks.
    fn discard(&self, id: Uuid) {
        remove_file(&self.path(id));
        remove_file(&self.note_path(id));
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

    fn note_path(&self, id: Uuid) -> PathBuf {
        self.dir.join(format!("{id}.json"))
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

impl Shelf {
    /// The exports of an earlier run go when their time is over.
    pub(super) fn watch_exports(self: &Arc<Self>) {
        let jobs: Vec<Arc<Job>> = self.exports.jobs().values().cloned().collect();
        for job in jobs {
            let shelf = Arc::clone(self);
            self.exports.tasks.spawn(async move { shelf.exports.expire(&job).await });
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
            life: LIFE,
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
                    copied.exports.discard(id);
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
                shelf.exports.discard(id);
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
    let exports = &shelf.exports;
    let path = exports.path(job.id);
    let written = fs::create_dir_all(&exports.dir).map_err(ArchiveError::Write).and_then(|()| {
        exports.note(job, None);
        let free = free_space(&shelf.exports.dir).map_err(ArchiveError::Write)?;
        // More would make the recorder remove recordings for it, perhaps these.
        shelf.archive.export(&job.span, &path, free.saturating_sub(LEFT_FREE), &job.progress)
    });
    match &written {
        Ok(()) => {
            let load = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
            let (bytes, plays_us) = (load(&job.progress.total), load(&job.progress.plays_us));
            exports.note(job, Some(Done { bytes, plays_us }));
        }
        // The end of the program cut it off: that is told after the next start.
        Err(ArchiveError::Cancelled) if exports.stop.is_cancelled() && !job.gone.is_cancelled() => {}
        Err(_) => remove_file(&exports.note_path(job.id)),
    }
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
    if job.gone.is_cancelled() {
        exports.discard(job.id);
    }
}

/// An export of an earlier run; `None` where its time is over, or it is not whole. Blocks.
fn recall(dir: &Path, id: Uuid, now: SystemTime) -> Option<Job> {
    let mut text = String::new();
    let file = File::open(dir.join(format!("{id}.json"))).ok()?;
    file.take(NOTE_MAX).read_to_string(&mut text).ok()?;
    let note: Note = serde_json::from_str(&text).ok()?;
    if !is_id(&note.camera) || note.from_us >= note.to_us {
        return None;
    }
    // A clock that was set back makes nothing live longer.
    let age = now.duration_since(wall(note.at_us)).unwrap_or_default();
    let life = LIFE.checked_sub(age).filter(|left| !left.is_zero())?;
    let progress = Progress::default();
    let state = match note.done {
        Some(Done { bytes, plays_us }) => {
            let length = fs::metadata(dir.join(format!("{id}.mp4"))).ok()?.len();
            if length != bytes {
                return None;
            }
            progress.total.store(bytes, Ordering::Relaxed);
            progress.done.store(bytes, Ordering::Relaxed);
            progress.plays_us.store(plays_us, Ordering::Relaxed);
            State::Done { bytes }
        }
        None => {
            let message = "Nightjar ended before the export was finished. Begin it again.";
            State::Failed(ApiError::new(ErrorCode::Conflict, message))
        }
    };
    let cut = if note.exact { Cut::Exact } else { Cut::Key };
    let span = Span { camera: note.camera, from_us: note.from_us, to_us: note.to_us, cut };
    Some(Job { id, span, progress, life, gone: CancellationToken::new(), state: Mutex::new(state) })
}

/// Version 7, of the environment's time and chance.
fn fresh_id(env: &Env) -> Uuid {
    let ms = u64::try_from(micros(env.wall()) / 1_000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(ms, &env.token()).into_uuid()
}

fn remove_file(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(tag = "STORAGE", "an export cannot be removed: {error}");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(env: &Env, bytes: u64) -> Job {
        Job {
            id: fresh_id(env),
            span: Span { camera: "door".to_owned(), from_us: 0, to_us: 1, cut: Cut::Exact },
            progress: Progress::default(),
            life: LIFE,
            gone: CancellationToken::new(),
            state: Mutex::new(State::Done { bytes }),
        }
    }

    #[test]
    fn exports_are_there_after_a_restart_for_the_rest_of_their_day_and_nothing_else_is_left() {
        let begun = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_186_242);
        let at = |hours: u64| Env::fixed(move || begun + Duration::from_secs(hours * 3_600), 7 + hours);
        let dir = tempfile::tempdir().expect("made");
        let open = |env: Env| Exports::open(dir.path().to_owned(), env);
        let exports = open(at(0));
        let whole = done(&at(1), 5);
        fs::write(exports.path(whole.id), "whole").expect("written");
        exports.note(&whole, Some(Done { bytes: 5, plays_us: 2_500_000 }));
        let torn = done(&at(2), 5);
        fs::write(exports.path(torn.id), "to").expect("written");
        exports.note(&torn, Some(Done { bytes: 5, plays_us: 1 }));
        let cut_off = done(&at(3), 0);
        fs::write(exports.path(cut_off.id).with_extension("part"), "half").expect("written");
        exports.note(&cut_off, None);
        // Of an earlier version, and what is none of ours.
        fs::write(exports.path(fresh_id(&at(4))), "film").expect("written");
        fs::write(exports.note_path(fresh_id(&at(5))), "{").expect("written");
        fs::write(dir.path().join("holiday.mp4"), "mine").expect("written");

        let exports = open(at(23));
        let told: Vec<Export> = exports.jobs().values().map(|job| job.to_api()).collect();
        assert_eq!(told.len(), 2);
        assert_eq!(
            (told[0].id.clone(), told[0].state, told[0].bytes),
            (whole.id.to_string(), ExportState::Done, 5)
        );
        assert_eq!((told[0].seconds, told[0].cut, told[0].progress), (Some(2.5), ExportCut::Exact, 1.0));
        assert_eq!((told[0].name.clone(), told[1].state), (whole.name(), ExportState::Failed));
        let error = told[1].error.as_ref().expect("why").to_string();
        assert!(error.contains("ended before the export was finished"), "{error}");
        assert_eq!(exports.jobs()[&whole.id].life, Duration::from_secs(3_600));
        let left = || fs::read_dir(dir.path()).expect("there").count();
        assert_eq!(left(), 4, "two notes, a film, and what is none of ours");
        assert_eq!(open(at(25)).jobs().len(), 0, "their day is over");
        assert_eq!(left(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_for_the_end_of_an_export_that_made_way() {
        let dir = tempfile::tempdir().expect("made");
        let exports = Exports::open(dir.path().to_owned(), Env::system());
        let jobs: Vec<_> = (0..=KEPT).map(|_| Arc::new(done(&Env::system(), 0))).collect();
        let going: Vec<_> =
            jobs.iter().filter_map(|job| exports.place(Arc::clone(job)).expect("there is room")).collect();
        assert_eq!(going.len(), 1);
        let gone = jobs.iter().find(|job| job.id == going[0]).expect("one of them");
        let begun = tokio::time::Instant::now();
        exports.expire(gone).await;
        assert!(begun.elapsed() < LIFE);
    }
}
