//! Recording: what arrived is in files that play, whatever happens to program, disk or camera.
//!
//! A camera's task reads the hub and gives frames to the writer, one thread per root, through a queue that
//! is bounded by bytes; the writer cuts them into files of fragments (hybrid MP4), waits for the disk
//! after each of about a second, for all cameras at once, and seals a file when it is full. Faults of the
//! storage stay in here:
//! live view never notices, a slow disk delays nobody, and what had to be dropped is counted and becomes a
//! gap with its cause. A second thread makes whole what an earlier run left.
//!
//! It knows no protocol and no camera: it sees slots of the hub and ids.

mod cutter;
mod estate;
mod feed;
mod ledger;
mod naming;
mod queue;
mod reel;
mod repair;
mod retention;
mod roll;
mod root;
mod rotation;
mod schedule;
mod status;
mod storage;
mod writer;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, warn};

use crate::env::Env;
use crate::hub::Slot;
use crate::store::Catalogue;

pub use cutter::unrecorded;
pub use estate::Estate;
pub use ledger::{Habits, Ledger};
pub use repair::{RepairError, mend, scan};
pub use retention::Retention;
pub use root::free_space;
pub use rotation::{Limits, Why};
pub use schedule::{Plan, Schedule, ScheduleError, local};
pub use status::{Cause, Code, State, Status};

use feed::{Feed, Go, Newest, Relay, Task, Then, Wait};
use queue::{QUEUE_BYTES, Queue, Word};
use status::{Board, Cell};

/// The writer's end is not waited for any longer than this.
const END: Duration = Duration::from_millis(2_500);

/// What a recorder is made of.
pub struct Options {
    /// Whose root it writes to; empty for the main root. The estate knows it.
    pub disk: String,
    /// What it has in common with the recorders of the other roots.
    pub estate: Arc<Estate>,
    pub limits: Limits,
    pub retention: Retention,
    /// It is filled from the files where it lacks them.
    pub catalogue: Arc<Catalogue>,
    pub ledger: Arc<Ledger>,
}

/// The recorder of one root. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Arc<Queue>,
    board: Arc<Board>,
    env: Env,
    next: AtomicU64,
    disk: String,
    estate: Arc<Estate>,
    stop: Arc<AtomicBool>,
    /// Closed when the writer has ended.
    ended: Mutex<Option<tokio::sync::oneshot::Receiver<()>>>,
    watching: CancellationToken,
}

/// Figures of a recorder.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Bytes that wait for the disk.
    pub queued_bytes: usize,
    /// Bytes written in this run.
    pub written_bytes: u64,
    /// Fragments made durable in this run, and how often the disk was waited for.
    pub fragments: u64,
    pub syncs: u64,
    /// Time that writing and waiting took, in microseconds; the longest wait of all.
    pub sync_us: u64,
    pub longest_sync_us: u64,
    /// Files ended in this run.
    pub files: u64,
    /// Frames that could not be recorded in this run.
    pub dropped: u64,
    /// Recordings removed to make room in this run.
    pub removed: u64,
    /// Bytes free at the last look.
    pub free_bytes: u64,
}

impl Recorder {
    /// Starts the writer, within a runtime. A root that cannot be used is tried again; that is no error.
    ///
    /// # Errors
    /// Where the threads cannot be started.
    pub fn start(options: Options, env: &Env) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(QUEUE_BYTES));
        let board = Arc::new(Board::new(env.wall()));
        let stop = Arc::new(AtomicBool::new(false));
        let (done, ended) = tokio::sync::oneshot::channel();
        let (disk, estate) = (options.disk.clone(), Arc::clone(&options.estate));
        let writer = writer::Writer::new(
            options,
            Arc::clone(&queue),
            Arc::clone(&board),
            env.clone(),
            Arc::clone(&stop),
        )?;
        let (last_words, unread) = (Arc::clone(&board), Arc::clone(&queue));
        let clock = env.clone();
        let (lost, common) = (disk.clone(), Arc::clone(&estate));
        std::thread::Builder::new().name("nightjar-disk".to_owned()).spawn(move || {
            // What a defect leaves of the writer's state cannot be trusted: the files are made whole at the
            // next start, everything but recording goes on, and the reason is the true one.
            if catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
                last_words.set_broken(clock.wall());
                common.set_ready(&lost, false);
                unread.abandon();
            }
            drop(done);
        })?;
        let watching = CancellationToken::new();
        // Of its own, and not one of the cameras' tasks: the recorder ends after those.
        tokio::spawn(status::watch_over(
            Arc::clone(&board),
            Arc::clone(&queue),
            env.clone(),
            watching.clone(),
        ));
        Ok(Self {
            shared: Arc::new(Shared {
                queue,
                board,
                env: env.clone(),
                next: AtomicU64::new(0),
                disk,
                estate,
                stop,
                ended: Mutex::new(Some(ended)),
                watching,
            }),
        })
    }

    /// A camera that can be recorded; off at first. `tell` is called after every change of its state, from
    /// any thread, and must not block.
    #[must_use]
    pub fn camera(
        &self,
        id: &str,
        slot: &Slot,
        tasks: &TaskTracker,
        tell: impl Fn() + Send + Sync + 'static,
    ) -> Recording {
        let cell = self.shared.board.cell(id, self.shared.env.wall(), tell);
        Recording {
            shared: Arc::clone(&self.shared),
            cell,
            slot: slot.clone(),
            tasks: tasks.clone(),
            own: Mutex::default(),
        }
    }

    /// The disk it writes to; empty for the main root.
    #[must_use]
    pub fn disk(&self) -> &str {
        &self.shared.disk
    }

    /// How the root is, and why where that is not well; none before the first look at it.
    #[must_use]
    pub fn storage(&self) -> Option<(State, Option<Cause>)> {
        self.shared.board.storage()
    }

    /// Figures of this run.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures { queued_bytes: self.shared.queue.bytes(), ..self.shared.board.figures() }
    }

    /// Seals every file and ends the writer. The cameras' tasks have ended before. At most two and a half
    /// seconds: a disk that does not answer is left to itself, and repaired at the next start.
    pub async fn shutdown(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.watching.cancel();
        self.shared.queue.close();
        let ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended
            && tokio::time::timeout(END, ended).await.is_err()
        {
            warn!(tag = "STORAGE", "the disk does not answer: its files are made whole at the next start");
        }
    }
}

impl Drop for Shared {
    /// Also of one that was never shut down: another start of the engine finds its root free.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.queue.close();
        self.watching.cancel();
    }
}

/// A camera's recording. Its files end when it is dropped.
#[derive(Debug)]
pub struct Recording {
    shared: Arc<Shared>,
    cell: Arc<Cell>,
    slot: Slot,
    tasks: TaskTracker,
    own: Mutex<Own>,
}

#[derive(Debug, Default)]
struct Own {
    stage: Stage,
    pre_roll: Duration,
    /// What was to be recorded while the program did not run; at all times where there is none.
    plan: Option<Plan>,
    /// How far the newest task came, once it ended.
    ended: Option<oneshot::Receiver<Newest>>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Off,
    /// Off; what comes is kept for a while.
    Waiting(oneshot::Sender<Go>),
    On(oneshot::Sender<Then>),
}

impl Recording {
    /// Says when it was to be recorded before the program started; without it that is at all times.
    pub fn set_plan(&self, plan: Plan) {
        self.own().plan = Some(plan);
    }

    /// Switches it on or off. `resumes` where that goes on with what was before the program started: what was
    /// missed meanwhile becomes a gap.
    pub fn switch(&self, on: bool, resumes: bool) {
        let mut own = self.own();
        let plan = own.plan.take();
        if let Some(plan) = plan.clone().filter(|_| resumes && !on) {
            let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
            let (camera, until) = (self.cell.id().to_owned(), self.shared.env.wall());
            self.shared.queue.push_always(number, Word::Missed { camera, plan, until });
        }
        let before = std::mem::take(&mut own.stage);
        own.stage = match (on, before) {
            (true, Stage::On(running)) => {
                // A person who switches on what is on wants another try.
                self.shared.board.hurry();
                Stage::On(running)
            }
            (true, before) => {
                let (raise, again) = watch::channel(0);
                let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
                let now = self.shared.env.wall();
                let cell = Arc::clone(&self.cell);
                let resumes = resumes.then(|| plan.unwrap_or_else(|| Plan::new(|_| true)));
                self.shared.queue.push_always(number, Word::On { cell, resumes, at: now, raise });
                self.cell.switch(Some(now), now);
                let (stop, until) = oneshot::channel();
                let go = Go { number, again, until };
                match before {
                    Stage::Waiting(waiting) => {
                        // The camera was removed where nobody waits any more; the new task finds that out, too.
                        waiting.send(go).unwrap_or_else(|go| self.spawn(&mut own, Task::Go(go)));
                    }
                    _ => self.spawn(&mut own, Task::Go(go)),
                }
                Stage::On(stop)
            }
            (false, Stage::On(running)) => {
                self.cell.switch(None, self.shared.env.wall());
                match self.waiting(own.pre_roll) {
                    Some((wait, go)) => {
                        if let Err(Then::Wait(wait)) = running.send(Then::Wait(wait)) {
                            self.spawn(&mut own, Task::Wait(wait));
                        }
                        Stage::Waiting(go)
                    }
                    None => Stage::Off,
                }
            }
            (false, before) => before,
        };
    }

    /// Whether it is switched on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        matches!(self.own().stage, Stage::On(_))
    }

    /// Recordings begin this long before they are switched on, as far as the camera gave something. What
    /// that takes is kept in memory while recording is off.
    pub fn set_pre_roll(&self, span: Duration) {
        let mut own = self.own();
        if std::mem::replace(&mut own.pre_roll, span) == span || matches!(own.stage, Stage::On(_)) {
            return;
        }
        // Who waited so far is told by that.
        own.stage = match self.waiting(span) {
            Some((wait, go)) => {
                // The one that waited so far ends by that.
                own.stage = Stage::Off;
                self.spawn(&mut own, Task::Wait(wait));
                Stage::Waiting(go)
            }
            None => Stage::Off,
        };
    }

    /// The disk it is recorded to; empty for the main root.
    #[must_use]
    pub fn disk(&self) -> &str {
        &self.shared.disk
    }

    /// The same camera with another recorder, off at first. This one ends; where it was on, the other begins with
    /// the key frame before which this one ended, and no frame is lost or written twice.
    #[must_use]
    pub fn moved_to(&self, recorder: &Recorder, tell: impl Fn() + Send + Sync + 'static) -> Self {
        let moved = recorder.camera(self.cell.id(), &self.slot, &self.tasks, tell);
        let mut own = self.own();
        let (stage, ended) = (std::mem::take(&mut own.stage), own.ended.take());
        drop(own);
        if let Stage::On(running) = stage {
            // One that ended by itself needs no word.
            let _ = running.send(Then::Leave);
            self.cell.switch(None, self.shared.env.wall());
        }
        moved.own().ended = ended;
        moved
    }

    /// The most its recordings may take on all disks, in bytes; 0 = no limit of its own.
    pub fn set_quota(&self, bytes: u64) {
        self.shared.estate.set_quota(self.cell.id(), bytes);
    }

    fn waiting(&self, span: Duration) -> Option<(Wait, oneshot::Sender<Go>)> {
        let (go, until) = oneshot::channel();
        let budget = Arc::clone(&self.shared.estate.budget);
        (!span.is_zero()).then_some((Wait { span, budget, until }, go))
    }

    fn spawn(&self, own: &mut Own, task: Task) {
        let (after, ended) = oneshot::channel();
        let relay = Relay { before: own.ended.replace(ended), after: Some(after) };
        let feed = Feed::new(&self.slot, Arc::clone(&self.shared.queue), relay);
        let span = tracing::info_span!("recording", id = self.cell.id());
        self.tasks.spawn(feed.run(task).instrument(span));
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.board.status(&self.cell)
    }
}

#[cfg(test)]
mod tests;
