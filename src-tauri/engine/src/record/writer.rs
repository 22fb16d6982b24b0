//! The thread that owns the files of one root.
//!
//! It alone touches the storage. What it is told of cameras it cuts into files; what the storage does to
//! it, it tells the board. While there is no storage it goes on reading, so that nothing piles up.

mod gaps;
mod local;
mod settle;
mod upkeep;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};
use uuid::Uuid;

use super::Options;
use super::cutter::{Cut, Cutter};
use super::estate::Estate;
use super::queue::{Queue, Word};
use super::reel::{Reel, ReelError};
use super::repair::{Mender, Shelf, Taken};
use super::retention::Retention;
use super::root::{Fault, Root};
use super::rotation::{Limits, Why};
use super::schedule::Plan;
use super::status::{Board, Cause, Cell, Code, starting};
use super::storage::{Due, Phase, Storage};
use crate::env::Env;
use crate::fmp4::Sample;
use crate::media::{TrackId, TrackInfo};
use crate::store::{Catalogue, Micros, SegmentState, micros};

use gaps::said;

/// How often it looks up when nothing comes.
const TICK: Duration = Duration::from_millis(250);
/// How often it is checked that the root is still the root, and what is free.
const CHECK: Duration = Duration::from_secs(2);
/// How often the catalogue is told how far the files go. A crash costs nothing: the files tell it, too.
const NOTE: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    queue: Arc<Queue>,
    board: Arc<Board>,
    env: Env,
    catalogue: Arc<Catalogue>,
    root: Root,
    estate: Arc<Estate>,
    storage: Storage,
    limits: Limits,
    retention: Retention,
    cameras: HashMap<u64, Camera>,
    mender: Mender,
    taken: Taken,
    next_tick: Instant,
    next_check: Instant,
    remark_until: Option<Instant>,
    /// Bytes written in this run, at the last look at what is free.
    written: u64,
    /// Since then something that was written is not waited for.
    unsettled: Option<Instant>,
    /// All cameras end their fragments together.
    beat: Instant,
    /// How far files being written go on the disk, not yet in the catalogue.
    grown: HashMap<Uuid, (Micros, u64)>,
    next_note: Instant,
}

/// A recording that is on.
struct Camera {
    cell: Arc<Cell>,
    cutter: Cutter,
    /// Files being written: one, for a moment after a rotation two.
    reels: HashMap<u64, Reel>,
    on: SystemTime,
    on_at: Instant,
    /// It was on before the program started, by this plan, and nothing was written since.
    resumes: Option<Plan>,
    /// The gap that lasts.
    gap: Option<i64>,
    /// When the newest picture that is on the disk ends, and in which file it is.
    end: Option<(u64, SystemTime)>,
    /// Frames are of no use until the stream begins anew.
    awaits: bool,
    /// The storage is well, but not where its files go.
    trouble: Option<Storage>,
    raise: watch::Sender<u64>,
    dropped: u64,
}

impl Writer {
    pub(super) fn new(
        options: Options,
        queue: Arc<Queue>,
        board: Arc<Board>,
        env: Env,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let Options { disk, estate, limits, retention, catalogue, ledger } = options;
        let root = estate.disks.root(&disk).ok_or(io::ErrorKind::NotFound)?.to_owned();
        let taken = Taken::default();
        let shelf = Shelf {
            catalogue: Arc::clone(&catalogue),
            disk: disk.clone(),
            estate: Arc::clone(&estate),
            taken: Arc::clone(&taken),
        };
        let mender = Mender::start(shelf, stop)?;
        let now = Instant::now();
        Ok(Self {
            queue,
            board,
            env,
            catalogue,
            root: Root::new(disk, root, ledger),
            estate,
            storage: Storage::new(now, starting()),
            limits,
            retention,
            cameras: HashMap::new(),
            mender,
            taken,
            next_tick: now,
            next_check: now,
            remark_until: None,
            written: 0,
            unsettled: None,
            beat: now,
            grown: HashMap::new(),
            next_note: now,
        })
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) {
        self.close_old_gaps();
        loop {
            let word = self.queue.pop(self.patience());
            let now = Instant::now();
            self.board.work.fetch_add(1, Ordering::Relaxed);
            let ended = word.is_none() && self.queue.is_ended();
            if let Some((number, word)) = word {
                self.obey(number, word);
            }
            self.settle_when_due(now);
            if now >= self.next_tick {
                self.next_tick = now + TICK;
                self.tick(now);
            }
            self.board.work.fetch_add(1, Ordering::Relaxed);
            if ended {
                break;
            }
        }
        let numbers: Vec<u64> = self.cameras.keys().copied().collect();
        for number in numbers {
            self.obey(number, Word::Off);
        }
        info!(tag = "RECORDING", "the files are finished");
    }

    fn obey(&mut self, number: u64, word: Word) {
        if let Word::On { cell, resumes, at, raise } = word {
            info!(tag = "RECORDING", camera = cell.id(), "on");
            let cutter = Cutter::new(self.limits, self.beat);
            self.cameras.insert(number, Camera::new(cell, cutter, at, resumes, raise));
            return;
        }
        if let Word::Missed { camera, plan, until } = &word {
            return self.note_absence(camera, *until, plan);
        }
        // Out of the map, so that it and the rest can be worked on at once.
        let Some(mut camera) = self.cameras.remove(&number) else { return };
        let off = matches!(word, Word::Off);
        let mut cuts = Vec::new();
        match word {
            Word::On { .. } | Word::Missed { .. } => {}
            Word::Tracks(tracks) => {
                let failed = camera.cutter.tracks(&tracks, &mut cuts).err();
                let cause = failed.map(|detail| Cause { code: Code::NotRecordable, detail });
                camera.cell.set_failed(cause.map(|cause| (self.env.wall(), cause)));
            }
            // The stream begins anew at a key frame that is kept: what comes before is not lost.
            Word::Frame(_) if camera.awaits || self.is_starting() => {}
            Word::Frame(_) if !self.storage.is_ready() || camera.trouble.is_some() => {
                self.drop_frames(&mut camera, 1);
            }
            Word::Frame(frame) => camera.cutter.frame(&frame, &mut cuts),
            Word::Hole(hole) => {
                camera.cutter.skip(&mut cuts);
                self.drop_frames(&mut camera, hole.frames);
                self.note_hole(&camera, &hole);
            }
            Word::Lost => camera.cutter.lose(&mut cuts),
            Word::Again => {
                camera.cutter.lose(&mut cuts);
                camera.awaits = false;
            }
            Word::Off => camera.cutter.end(Why::Stopped, &mut cuts),
        }
        let done = self.carry_out(&mut camera, cuts);
        if off {
            self.close_gap(&mut camera, self.env.wall());
            info!(tag = "RECORDING", camera = camera.cell.id(), dropped = camera.dropped, "off");
            self.let_go(&mut camera);
        } else {
            camera.cell.set_writing(camera.cutter.is_recording());
            self.cameras.insert(number, camera);
        }
        if let Err(fault) = done {
            self.blame(number, &fault);
        }
    }

    /// The storage is looked at for the first time.
    fn is_starting(&self) -> bool {
        matches!(self.storage.phase(), Phase::Lost(cause) if cause.code == Code::Starting)
    }

    /// Does to the files what the cutter says.
    fn carry_out(&mut self, camera: &mut Camera, cuts: Vec<Cut>) -> Result<(), Fault> {
        for cut in cuts {
            match cut {
                Cut::Begin { take, start, tracks } => self.begin(camera, take, start, &tracks)?,
                Cut::Fragment { take, samples, reaches } => self.append(camera, take, &samples, reaches)?,
                Cut::End { take, why, lasts } => self.end(camera, take, why, &lasts)?,
            }
        }
        Ok(())
    }

    fn begin(
        &mut self,
        camera: &mut Camera,
        take: u64,
        start: SystemTime,
        tracks: &[TrackInfo],
    ) -> Result<(), Fault> {
        self.root.check()?;
        let base = self.root.base()?;
        let (disk, id) = (self.root.disk(), camera.cell.id());
        let reel = match Reel::create(base.path(), disk, id, start, tracks, &self.taken) {
            Ok(reel) => reel,
            Err(ReelError::Storage(fault)) => return Err(fault),
            Err(ReelError::Mux(error)) => {
                let detail = format!("This camera cannot be recorded: {error}.");
                let cause = Cause { code: Code::NotRecordable, detail };
                camera.cell.set_failed(Some((self.env.wall(), cause)));
                camera.cutter.abandon();
                return Ok(());
            }
        };
        info!(tag = "RECORDING", camera = camera.cell.id(), file = reel.segment.path, "a file begins");
        if let Some(plan) = camera.resumes.take() {
            // Before the catalogue knows of anything newer.
            self.note_absence(camera.cell.id(), start, &plan);
        }
        said(self.catalogue.segment_opened(&reel.segment));
        self.close_gap(camera, start);
        camera.reels.insert(take, reel);
        Ok(())
    }

    fn append(
        &mut self,
        camera: &mut Camera,
        take: u64,
        samples: &[Sample],
        reaches: Duration,
    ) -> Result<(), Fault> {
        let Some(reel) = camera.reels.get_mut(&take) else { return Ok(()) };
        let (before, from) = (reel.bytes(), Instant::now());
        match reel.append(samples, reaches) {
            Ok(bytes) => {
                self.unsettled.get_or_insert(from);
                self.board.count(|figures| {
                    figures.written_bytes += bytes - before;
                    figures.sync_us += passed_us(from);
                });
                Ok(())
            }
            Err(ReelError::Storage(fault)) => {
                self.drop_frames(camera, samples.len() as u64);
                Err(fault)
            }
            Err(ReelError::Mux(error)) => {
                error!(tag = "RECORDING", camera = camera.cell.id(), %error, "frames cannot be written");
                self.drop_frames(camera, samples.len() as u64);
                Ok(())
            }
        }
    }

    fn end(
        &mut self,
        camera: &mut Camera,
        take: u64,
        why: Why,
        lasts: &[(TrackId, u64)],
    ) -> Result<(), Fault> {
        let Some(reel) = camera.reels.remove(&take) else { return Ok(()) };
        let (file, end) = (reel.segment.path.clone(), reel.end());
        self.finish(camera, take, reel, lasts)?;
        info!(tag = "RECORDING", camera = camera.cell.id(), file, why = why.name(), "the file is complete");
        if why == Why::SourceLost {
            self.open_gap(camera, end, "camera_lost");
        }
        Ok(())
    }

    /// Seals a file. Where that fails it plays all the same, and is made whole later.
    fn finish(
        &mut self,
        camera: &mut Camera,
        take: u64,
        mut reel: Reel,
        lasts: &[(TrackId, u64)],
    ) -> Result<(), Fault> {
        let id = reel.segment.id;
        if reel.is_empty() {
            if let Ok(base) = self.root.base() {
                let _ = std::fs::remove_file(base.path().join(&reel.segment.path));
            }
            self.release(&reel);
            said(self.catalogue.segment_removed(id));
            return Ok(());
        }
        // What comes of it is said below.
        let grown = self.grown.remove(&id);
        let mut sealed = reel.seal(lasts);
        if matches!(&sealed, Err(ReelError::Storage(fault)) if fault.is_full()) {
            self.root.spend_reserve();
            sealed = reel.seal(lasts);
        }
        match sealed {
            Ok(bytes) => {
                self.board.count(|figures| {
                    figures.files += 1;
                    figures.fragments += reel.waiting().fragments;
                });
                camera.reaches(take, reel.end());
                let end = micros(reel.end());
                if said(self.catalogue.segment_closed(id, SegmentState::Sealed, end, bytes)).is_some() {
                    // The catalogue says from here on that it is complete.
                    self.release(&reel);
                }
                Ok(())
            }
            Err(ReelError::Storage(fault)) => {
                self.grown.extend(grown.map(|grown| (id, grown)));
                self.note_growth();
                self.release(&reel);
                self.drop_frames(camera, reel.waiting().frames);
                Err(fault)
            }
            Err(ReelError::Mux(error)) => {
                self.grown.extend(grown.map(|grown| (id, grown)));
                error!(tag = "RECORDING", file = reel.segment.path, %error, "a file stays as it is");
                Ok(())
            }
        }
    }

    /// Tells the catalogue how far the files go.
    fn note_growth(&mut self) {
        let grown: Vec<_> = self.grown.drain().map(|(id, (end, bytes))| (id, end, bytes)).collect();
        if !grown.is_empty() {
            said(self.catalogue.segments_grew(&grown));
        }
    }

    /// The file is not being written any more: where it is not complete, the repair may have it.
    fn release(&self, reel: &Reel) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&reel.segment.path);
    }

    fn let_go(&mut self, camera: &mut Camera) {
        // Before the repair has them and knows better.
        self.note_growth();
        for (_, reel) in camera.reels.drain() {
            self.release(&reel);
        }
        camera.cell.set_writing(false);
    }

    /// All of the storage failed: nothing is written any more until it is back.
    fn fault(&mut self, fault: &Fault) {
        let cause = self.root.cause(fault, None);
        self.stop_writing(fault, cause);
    }

    fn stop_writing(&mut self, fault: &Fault, cause: Cause) {
        let full = fault.is_full();
        let gap = if full { "disk_full" } else { "storage_lost" };
        warn!(tag = if full { "DISK" } else { "STORAGE" }, code = cause.code.name(), "{}", cause.detail);
        let numbers: Vec<u64> = self.cameras.keys().copied().collect();
        for number in numbers {
            let Some(mut camera) = self.cameras.remove(&number) else { continue };
            // With no space left there is enough for that: it was set aside.
            self.give_up(&mut camera, full, gap);
            self.all_is_well(&mut camera);
            self.cameras.insert(number, camera);
        }
        let now = Instant::now();
        if full {
            self.storage.full(now, cause);
        } else {
            self.root.release();
            self.storage.lost(now, cause);
        }
        self.tell_phase();
    }

    /// Nothing of a camera is written any more; its files are sealed where they can be.
    fn give_up(&mut self, camera: &mut Camera, seal: bool, gap: &str) {
        let held = camera.cutter.abandon();
        self.drop_frames(camera, held as u64);
        if seal {
            for (take, reel) in std::mem::take(&mut camera.reels) {
                let _ = self.finish(camera, take, reel, &[]);
            }
        }
        self.settle_one(camera);
        self.let_go(camera);
        let since = camera.since();
        self.open_gap(camera, since, gap);
    }

    fn tick(&mut self, now: Instant) {
        if now >= self.next_note {
            self.next_note = now + NOTE;
            self.note_growth();
        }
        if self.board.is_hurried() {
            self.storage.hurry(now);
            self.cameras
                .values_mut()
                .filter_map(|camera| camera.trouble.as_mut())
                .for_each(|it| it.hurry(now));
        }
        match self.storage.due(now) {
            Some(Due::Try) => self.attempt(now),
            Some(Due::Peek) if matches!(self.storage.phase(), Phase::Full(_)) || self.root.looks_back() => {
                self.attempt(now);
            }
            _ => {}
        }
        if self.storage.is_ready() {
            self.retry_local(now);
            self.flush(now);
            if now >= self.next_check {
                self.next_check = now + CHECK;
                if let Err(fault) = self.check(now) {
                    self.fault(&fault);
                }
            }
        }
        self.note_quiet(now);
        if self.remark_until.is_some_and(|until| now >= until) {
            self.remark_until = None;
            self.board.set_remark(None);
        }
    }

    /// Writes what no other frame pushed out.
    fn flush(&mut self, now: Instant) {
        let numbers: Vec<u64> = self.cameras.keys().copied().collect();
        for number in numbers {
            let Some(mut camera) = self.cameras.remove(&number) else { continue };
            let mut cuts = Vec::new();
            camera.cutter.tick(now, &mut cuts);
            let done = self.carry_out(&mut camera, cuts);
            self.cameras.insert(number, camera);
            if let Err(fault) = done {
                self.blame(number, &fault);
            }
        }
    }

    /// Tries to get the storage back.
    fn attempt(&mut self, now: Instant) {
        let was_full = matches!(self.storage.phase(), Phase::Full(_));
        let first = self.is_starting();
        let opened = if was_full { self.root.check() } else { self.root.open() };
        let found = opened.and_then(|()| self.make_room(now));
        match found {
            Ok(None) => {
                self.root.reserve();
                self.storage.ready();
                self.cameras.values_mut().for_each(Camera::begin_anew);
                if !first {
                    info!(tag = "RECORDING RETRY", root = %self.root.path().display(), "recording goes on");
                }
                if let Ok(base) = self.root.base() {
                    self.mender.want(base);
                }
            }
            Ok(Some(cause)) => {
                if !was_full {
                    warn!(tag = "DISK", code = cause.code.name(), "{}", cause.detail);
                    self.gap_everywhere("disk_full");
                    // Footage that the catalogue knows elsewhere can make room too.
                    if let Ok(base) = self.root.base() {
                        self.mender.want(base);
                    }
                }
                self.storage.full(now, cause);
            }
            Err(fault) => {
                let cause = self.root.cause(&fault, None);
                let known = matches!(self.storage.phase(), Phase::Lost(c) | Phase::GivenUp(c) if *c == cause);
                if !known {
                    warn!(tag = "STORAGE", code = cause.code.name(), "{}", cause.detail);
                    self.gap_everywhere("storage_lost");
                }
                self.root.release();
                self.storage.lost(now, cause);
                if matches!(self.storage.phase(), Phase::GivenUp(_)) && !known {
                    warn!(
                        tag = "RECORDING RETRY",
                        "given up; recording goes on when the storage is seen again"
                    );
                }
            }
        }
        self.tell_phase();
    }

    fn tell_phase(&self) {
        let phase = self.storage.phase();
        self.estate.set_ready(self.root.disk(), *phase == Phase::Ready);
        self.board.set_phase(phase, self.env.wall());
    }

    fn drop_frames(&self, camera: &mut Camera, frames: u64) {
        camera.dropped += frames;
        self.board.count(|figures| figures.dropped += frames);
    }
}

fn passed_us(from: Instant) -> u64 {
    u64::try_from(from.elapsed().as_micros()).unwrap_or(u64::MAX)
}

impl Camera {
    fn new(
        cell: Arc<Cell>,
        cutter: Cutter,
        on: SystemTime,
        resumes: Option<Plan>,
        raise: watch::Sender<u64>,
    ) -> Self {
        Self {
            cell,
            cutter,
            reels: HashMap::new(),
            on,
            on_at: Instant::now(),
            resumes,
            gap: None,
            end: None,
            awaits: false,
            trouble: None,
            raise,
            dropped: 0,
        }
    }

    /// So far goes what is on the disk of a file. The newest file tells: one that came after the clock was set
    /// back ends before the one that it follows.
    fn reaches(&mut self, take: u64, end: SystemTime) {
        if self.end.is_none_or(|(newest, _)| take >= newest) {
            self.end = Some((take, end));
        }
    }

    /// From when on nothing is recorded, where nothing is.
    fn since(&self) -> SystemTime {
        self.end.map_or(self.on, |(_, end)| end)
    }

    /// Its stream begins anew at its newest key frame.
    fn begin_anew(&mut self) {
        self.awaits = true;
        self.raise.send_modify(|times| *times += 1);
    }
}
