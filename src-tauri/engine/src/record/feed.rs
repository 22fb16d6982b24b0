//! A camera's way to the writer: reads the hub, never waits for the disk.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use super::queue::{Hole, Queue, Word};
use super::roll::{Budget, Roll};
use crate::hub::{Gap, Slot, Subscriber};
use crate::media::{Frame, TrackKind};

/// A recording that goes on elsewhere waits so long for the key frame to part at.
const LEAVE: Duration = Duration::from_secs(30);

/// Record from now on.
#[derive(Debug)]
pub(super) struct Go {
    /// The number of the recording.
    pub(super) number: u64,
    /// Raised when the storage is back.
    pub(super) again: watch::Receiver<u64>,
    /// Until this says what comes then, or says nothing any more.
    pub(super) until: oneshot::Receiver<Then>,
}

/// What comes after a recording.
#[derive(Debug)]
pub(super) enum Then {
    Wait(Wait),
    /// Another recorder begins with the next key frame; nothing follows here.
    Leave,
}

/// When the newest frame came that a feed gave to be recorded.
pub(super) type Newest = Option<Instant>;

/// One feed of a camera ends before the next one gives anything, and says how far it came.
#[derive(Debug, Default)]
pub(super) struct Relay {
    /// Says how far the one before came.
    pub(super) before: Option<oneshot::Receiver<Newest>>,
    pub(super) after: Option<oneshot::Sender<Newest>>,
}

/// Record nothing; keep the last `span` of what comes.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) span: Duration,
    pub(super) budget: Arc<Budget>,
    /// Until this says to go, or says nothing any more.
    pub(super) until: oneshot::Receiver<Go>,
}

#[derive(Debug)]
pub(super) enum Task {
    Go(Go),
    Wait(Wait),
}

pub(super) struct Feed {
    number: u64,
    slot: Slot,
    subscriber: Subscriber,
    queue: Arc<Queue>,
    /// Frames that did not get through, since the last that did.
    hole: Option<Hole>,
    /// The source or its tracks changed while nothing got through.
    changed: bool,
    newest: Option<std::time::SystemTime>,
    relay: Relay,
    /// What came until then is in an earlier recording.
    recorded: Newest,
    /// This one came so far.
    taken: Newest,
}

impl Feed {
    pub(super) fn new(slot: &Slot, queue: Arc<Queue>, relay: Relay) -> Self {
        Self {
            number: 0,
            slot: slot.clone(),
            subscriber: slot.subscribe().unseen(),
            queue,
            hole: None,
            changed: true,
            newest: None,
            relay,
            recorded: None,
            taken: None,
        }
    }

    /// Records and waits in turns until nobody tells it anything, or the camera is removed. All through one
    /// subscription: nothing is lost or twice in between.
    pub(super) async fn run(mut self, task: Task) {
        if let Some(before) = self.relay.before.take() {
            // It was told to end, or ended long ago.
            self.recorded = before.await.ok().flatten();
        }
        let mut task = Some(task);
        while let Some(next) = task {
            task = match next {
                Task::Go(go) => self.record(go).await.map(Task::Wait),
                Task::Wait(wait) => self.wait(wait).await.map(Task::Go),
            };
        }
        if let Some(after) = self.relay.after.take() {
            // Mostly nobody waits: the camera is not switched on again.
            let _ = after.send(self.recorded);
        }
    }

    async fn wait(&mut self, wait: Wait) -> Option<Go> {
        let Wait { span, budget, mut until } = wait;
        let mut roll = Roll::new(span, self.subscriber.tracks(), budget);
        let go = loop {
            tokio::select! {
                biased;
                told = &mut until => break told.ok()?,
                item = self.subscriber.next() => match item {
                    Err(Gap::Closed) => return None,
                    item => roll.push(item),
                },
            }
        };
        (self.number, self.hole, self.changed) = (go.number, None, true);
        let (tracks, kept) = roll.take(Instant::now());
        if kept.is_empty() {
            // The hub has the newest key frame all the same.
            self.subscriber = self.slot.subscribe().unseen();
        } else {
            self.changed = !(self.push(Word::Lost) && self.push(Word::Tracks(tracks)));
            debug!(tag = "RECORDING", frames = kept.len(), "begins with what was kept");
            for item in kept {
                self.take(item);
            }
        }
        Some(go)
    }

    /// What is in the hub when it is told to stop still gets through.
    async fn record(&mut self, go: Go) -> Option<Wait> {
        let Go { number, mut again, mut until } = go;
        self.number = number;
        let mut leaves = None;
        let wait = loop {
            self.catch_up();
            let item = tokio::select! {
                biased;
                told = &mut until, if leaves.is_none() => match told {
                    Ok(Then::Wait(wait)) => break Some(wait),
                    Ok(Then::Leave) => {
                        leaves = Some(Instant::now() + LEAVE);
                        continue;
                    }
                    Err(_) => break None,
                },
                () = sleep_until(leaves.unwrap_or_else(Instant::now)), if leaves.is_some() => break None,
                raised = again.changed() => {
                    if raised.is_err() {
                        break None;
                    }
                    self.begin_anew();
                    continue;
                }
                item = self.subscriber.next() => item,
            };
            if leaves.is_some() && self.is_next_of(&item) {
                self.end(None);
                return None;
            }
            if !self.take(item) {
                break None;
            }
        };
        while let Some(item) = self.subscriber.try_next() {
            if !self.take(item) {
                break;
            }
        }
        self.end(self.taken);
        wait
    }

    /// The recording ends with what was given.
    fn end(&mut self, taken: Newest) {
        if let Some(mut hole) = self.hole.take() {
            // No frame comes any more that would tell of it.
            hole.until = self.newest.unwrap_or(hole.until);
            self.queue.push_always(self.number, Word::Hole(hole));
        }
        self.queue.push_always(self.number, Word::Off);
        self.recorded = self.recorded.max(taken);
    }

    /// Whether another recorder begins with this, and has what came so far. What it then finds in the hub from before
    /// it passes over.
    fn is_next_of(&mut self, item: &Result<Arc<Frame>, Gap>) -> bool {
        match item {
            Ok(frame) if frame.key && self.leads(frame) => {
                // By the frame itself: others may have come at the same moment.
                self.recorded = self.recorded.max(frame.arrival.checked_sub(Duration::from_nanos(1)));
                true
            }
            _ => false,
        }
    }

    /// From the newest key frame, which nobody wrote.
    fn begin_anew(&mut self) {
        self.subscriber = self.slot.subscribe().unseen();
        self.queue.push_always(self.number, Word::Again);
        self.hole = None;
        self.changed = true;
    }

    /// Tells of the tracks as they are, where the writer does not know them.
    fn catch_up(&mut self) {
        if self.changed && self.hole.is_none() {
            let tracks = Arc::clone(self.subscriber.tracks());
            self.changed = !(self.push(Word::Lost) && (tracks.is_empty() || self.push(Word::Tracks(tracks))));
        }
    }

    fn push(&self, word: Word) -> bool {
        self.queue.push(self.number, word)
    }

    /// `false` when nothing more comes.
    fn take(&mut self, item: Result<Arc<Frame>, Gap>) -> bool {
        match item {
            Ok(frame) => self.frame(frame),
            // Without a frame it was only told late of what else happened.
            Err(Gap::Skipped { frames }) => {
                if let Some(since) = self.newest.filter(|_| frames > 0) {
                    let hole = Hole { frames: 0, since, until: since, cause: "overload" };
                    self.hole.get_or_insert(hole).frames += frames;
                }
            }
            Err(Gap::TracksChanged(tracks)) => {
                if self.hole.is_some() || self.changed || !self.push(Word::Tracks(tracks)) {
                    self.changed = true;
                }
            }
            Err(Gap::SourceLost) => {
                if self.hole.is_some() || self.changed || !self.push(Word::Lost) {
                    self.changed = true;
                }
            }
            Err(Gap::Closed) => return false,
        }
        true
    }

    fn frame(&mut self, frame: Arc<Frame>) {
        if self.recorded.is_some_and(|recorded| frame.arrival <= recorded) {
            // The hub begins with its newest key frame, which may be from before recording was switched off.
            return;
        }
        self.taken = self.taken.max(Some(frame.arrival));
        let (since, wall) = (self.newest.unwrap_or(frame.wall), frame.wall);
        self.newest = Some(wall);
        if let Some(mut hole) = self.hole.take() {
            hole.until = wall;
            if !(self.leads(&frame) && frame.key && self.push(Word::Hole(hole.clone()))) {
                hole.frames += 1;
                self.hole = Some(hole);
                return;
            }
            debug!(tag = "RECORDING", frames = hole.frames, cause = hole.cause, "frames were not recorded");
            self.catch_up();
        }
        if self.changed {
            self.catch_up();
        }
        if self.changed || !self.push(Word::Frame(frame)) {
            self.hole = Some(Hole { frames: 1, since, until: wall, cause: "disk_slow" });
        }
    }

    /// Whether files begin with frames of this track.
    fn leads(&self, frame: &Frame) -> bool {
        let tracks = self.subscriber.tracks();
        let video = tracks.iter().any(|track| track.kind == TrackKind::Video && track.carried());
        let own = tracks.get(usize::from(frame.track));
        !video || own.is_some_and(|track| track.kind == TrackKind::Video)
    }
}

#[cfg(test)]
mod tests;
