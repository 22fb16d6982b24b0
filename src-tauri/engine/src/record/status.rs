//! How recordings are, for those who look on.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Figures;
use super::queue::Queue;
use super::storage::Phase;
use crate::env::Env;
use crate::fault::{Kind, Part, Verdict, classify};

/// A writer that is seen busy with one thing as often as this has a disk that does not answer.
const STALL_LOOKS: u32 = 15;
/// What arrived waits longer than this for a disk that does not answer, or is too slow. The disk is asked once a
/// second, and told of within three.
const STALL: Duration = Duration::from_millis(1_500);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The public name of a recording's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Off,
    /// Switched on, and the storage is there.
    Recording,
    StorageLost,
    DiskFull,
    /// Nothing is tried any more, or this camera cannot be recorded.
    Failed,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    pub code: Code,
    /// One sentence for people, with what to do.
    pub detail: String,
}

/// Kinds of causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The storage was not opened yet.
    Starting,
    StorageGone,
    StorageOther,
    StorageInUse,
    StorageInvalid,
    StorageFailed,
    /// The disk does not answer; nothing is lost yet.
    StorageStalled,
    DiskFull,
    /// Recordings younger than the days to keep are removed for new ones.
    Overwriting,
    /// The space will not last for the days to keep.
    SpaceShort,
    /// Its disk is not in the configuration: it goes to the main root.
    DiskUnknown,
    /// It is switched on, but the camera gives no picture.
    WaitingForCamera,
    /// Nothing of this camera fits into a file.
    NotRecordable,
    /// The writer is gone, by a defect of ours.
    Broken,
}

impl Code {
    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "storage_starting",
            Self::StorageGone => "storage_gone",
            Self::StorageOther => "storage_other",
            Self::StorageInUse => "storage_in_use",
            Self::StorageInvalid => "storage_invalid",
            Self::StorageFailed => "storage_failed",
            Self::StorageStalled => "storage_stalled",
            Self::DiskFull => "disk_full",
            Self::Overwriting => "overwriting",
            Self::SpaceShort => "space_short",
            Self::DiskUnknown => "disk_unknown",
            Self::WaitingForCamera => "waiting_for_camera",
            Self::NotRecordable => "not_recordable",
            Self::Broken => "internal",
        }
    }

    /// What kind of fault it is.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::DiskFull | Self::Overwriting | Self::SpaceShort => Kind::Space,
            Self::WaitingForCamera => Kind::Connection,
            Self::NotRecordable => Kind::Codec,
            Self::Starting
            | Self::StorageGone
            | Self::StorageOther
            | Self::StorageInUse
            | Self::StorageInvalid
            | Self::DiskUnknown
            | Self::StorageStalled => Kind::Storage,
            // What the system said of it may tell more.
            Self::StorageFailed | Self::Broken => Kind::Other,
        }
    }
}

impl Cause {
    /// Its class, and what is done about it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        classify(self.code.kind(), Part::Recorder, &self.detail)
    }
}

/// A recording as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    pub since: SystemTime,
    pub cause: Option<Cause>,
}

/// One camera's part.
pub(super) struct Cell {
    id: String,
    own: Mutex<Own>,
    tell: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cell").field(&self.id).finish()
    }
}

#[derive(Debug)]
struct Own {
    on: Option<SystemTime>,
    off: SystemTime,
    writing: bool,
    failed: Option<(SystemTime, Cause)>,
    /// The storage is well, but not where this camera's files go.
    storage: Option<(SystemTime, State, Cause)>,
}

impl Cell {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On since then, or off since `now`.
    pub(super) fn switch(&self, on: Option<SystemTime>, now: SystemTime) {
        let mut own = self.own();
        *own = Own { on, off: now, writing: false, failed: None, storage: None };
        drop(own);
        (self.tell)();
    }

    /// Whether a file of it is being written.
    pub(super) fn set_writing(&self, writing: bool) {
        if std::mem::replace(&mut self.own().writing, writing) != writing {
            (self.tell)();
        }
    }

    /// What is wrong where its files go, and with nobody else's; or nothing any more.
    pub(super) fn set_storage(&self, trouble: Option<(State, Cause)>, now: SystemTime) {
        let mut own = self.own();
        let before = own.storage.as_ref();
        if before.map(|(_, state, cause)| (state, cause))
            == trouble.as_ref().map(|(state, cause)| (state, cause))
        {
            return;
        }
        let since = before.filter(|(_, state, _)| trouble.as_ref().is_some_and(|(s, _)| s == state));
        let since = since.map_or(now, |(since, ..)| *since);
        own.storage = trouble.map(|(state, cause)| (since, state, cause));
        drop(own);
        (self.tell)();
    }

    /// It cannot be recorded, or can again.
    pub(super) fn set_failed(&self, failed: Option<(SystemTime, Cause)>) {
        let mut own = self.own();
        let same = own.failed.as_ref().map(|(_, cause)| cause) == failed.as_ref().map(|(_, cause)| cause);
        if !same {
            own.failed = failed;
            drop(own);
            (self.tell)();
        }
    }
}

/// What all cameras of a root share.
#[derive(Debug)]
pub(super) struct Board {
    root: Mutex<RootState>,
    cells: Mutex<Vec<Weak<Cell>>>,
    /// Odd while the writer is busy with something.
    pub(super) work: AtomicU64,
    hurry: AtomicBool,
    pub(super) figures: Mutex<Figures>,
}

#[derive(Debug)]
struct RootState {
    phase: Phase,
    since: SystemTime,
    stalled: Option<SystemTime>,
    /// A word about a storage that is ready.
    remark: Option<Cause>,
}

impl RootState {
    /// What keeps all cameras of the root from being recorded, and since when.
    fn trouble(&self) -> Option<(State, SystemTime, Cause)> {
        match (&self.phase, self.stalled) {
            (Phase::Full(cause), _) => Some((State::DiskFull, self.since, cause.clone())),
            (Phase::GivenUp(cause), _) => Some((State::Failed, self.since, cause.clone())),
            (Phase::Lost(cause), _) => Some((State::StorageLost, self.since, cause.clone())),
            (Phase::Ready, Some(since)) => {
                let detail = "The disk does not answer, or is too slow. What arrives waits in memory for some \
                              seconds; check the disk and its connection.";
                let cause = Cause { code: Code::StorageStalled, detail: detail.to_owned() };
                Some((State::StorageLost, since, cause))
            }
            (Phase::Ready, None) => None,
        }
    }
}

impl Board {
    pub(super) fn new(now: SystemTime) -> Self {
        let cause = starting();
        Self {
            root: Mutex::new(RootState {
                phase: Phase::Lost(cause),
                since: now,
                stalled: None,
                remark: None,
            }),
            cells: Mutex::default(),
            work: AtomicU64::new(0),
            hurry: AtomicBool::new(false),
            figures: Mutex::default(),
        }
    }

    fn root(&self) -> MutexGuard<'_, RootState> {
        self.root.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cell(
        &self,
        id: &str,
        now: SystemTime,
        tell: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Cell> {
        let own = Own { on: None, off: now, writing: false, failed: None, storage: None };
        let cell = Arc::new(Cell { id: id.to_owned(), own: Mutex::new(own), tell: Box::new(tell) });
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.retain(|cell| cell.strong_count() > 0);
        cells.push(Arc::downgrade(&cell));
        cell
    }

    fn tell_all(&self) {
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for cell in cells.iter().filter_map(Weak::upgrade) {
            (cell.tell)();
        }
    }

    pub(super) fn set_phase(&self, phase: &Phase, now: SystemTime) {
        let mut root = self.root();
        if root.phase == *phase {
            return;
        }
        if std::mem::discriminant(&root.phase) != std::mem::discriminant(phase) {
            root.since = now;
        }
        root.phase = phase.clone();
        drop(root);
        self.tell_all();
    }

    pub(super) fn set_remark(&self, remark: Option<Cause>) {
        let mut root = self.root();
        if root.remark != remark {
            root.remark = remark;
            drop(root);
            self.tell_all();
        }
    }

    /// The writer is gone, by a defect of ours.
    pub(super) fn set_broken(&self, now: SystemTime) {
        let detail = "Recording stopped by a defect of Nightjar. What was recorded is safe; start Nightjar \
                      again, and report the defect (Settings)."
            .to_owned();
        // Even: it is not busy, and not stalled.
        self.work.fetch_and(!1, Ordering::Relaxed);
        self.set_phase(&Phase::GivenUp(Cause { code: Code::Broken, detail }), now);
    }

    fn set_stalled(&self, stalled: Option<SystemTime>) {
        let mut root = self.root();
        if root.stalled.is_some() != stalled.is_some() {
            root.stalled = stalled;
            drop(root);
            self.tell_all();
        }
    }

    /// A person wants another try.
    pub(super) fn hurry(&self) {
        self.hurry.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_hurried(&self) -> bool {
        self.hurry.swap(false, Ordering::Relaxed)
    }

    pub(super) fn figures(&self) -> Figures {
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Figures)) {
        change(&mut self.figures.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// How the root is; none before the first look at it.
    pub(super) fn storage(&self) -> Option<(State, Option<Cause>)> {
        let root = self.root();
        match root.trouble() {
            Some((_, _, cause)) if cause.code == Code::Starting => None,
            Some((state, _, cause)) => Some((state, Some(cause))),
            None => Some((State::Recording, root.remark.clone())),
        }
    }

    pub(super) fn status(&self, cell: &Cell) -> Status {
        let own = cell.own();
        let Some(on) = own.on else {
            return Status { state: State::Off, since: own.off, cause: None };
        };
        if let Some((since, cause)) = &own.failed {
            return Status { state: State::Failed, since: *since, cause: Some(cause.clone()) };
        }
        let (writing, local) = (own.writing, own.storage.clone());
        drop(own);
        let root = self.root();
        let with =
            |state, since: SystemTime, cause: Option<Cause>| Status { state, since: since.max(on), cause };
        match root.trouble() {
            // The first look at a storage takes a moment; nothing is lost meanwhile.
            Some((_, _, cause)) if cause.code == Code::Starting => with(State::Recording, on, None),
            Some((state, since, cause)) => with(state, since, Some(cause)),
            None => {
                if let Some((since, state, cause)) = local {
                    return with(state, since, Some(cause));
                }
                let waiting = || Cause {
                    code: Code::WaitingForCamera,
                    detail: "Recording goes on as soon as the camera gives a picture.".to_owned(),
                };
                let cause = if writing { root.remark.clone() } else { Some(waiting()) };
                with(State::Recording, root.since, cause)
            }
        }
    }
}

pub(super) fn starting() -> Cause {
    Cause { code: Code::Starting, detail: "The storage is being looked at.".to_owned() }
}

/// Notices a disk that does not answer: its thread cannot say so itself.
pub(super) async fn watch_over(board: Arc<Board>, queue: Arc<Queue>, env: Env, stop: CancellationToken) {
    let (mut seen, mut looks) = (0, 0);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let work = board.work.load(Ordering::Relaxed);
        looks = if work % 2 == 1 && work == seen { looks + 1 } else { 0 };
        seen = work;
        if looks >= STALL_LOOKS || queue.waits(Instant::now()) > STALL {
            board.set_stalled(Some(env.wall()));
        } else if looks == 0 {
            board.set_stalled(None);
        }
    }
}
