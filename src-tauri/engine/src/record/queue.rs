//! The way from the cameras' tasks to the writer: bounded by bytes, never waited for by those who write.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::Instant;

use super::schedule::Plan;
use super::status::Cell;
use crate::media::{Frame, TrackInfo};

/// What waits for the disk at most, for all cameras of a root together: ten seconds of sixteen cameras of
/// 4 Mbit/s. What does not fit is dropped up to a key frame, counted, and becomes a gap.
pub(super) const QUEUE_BYTES: usize = 96 << 20;
/// So long rests a reader that has read all: what comes meanwhile it reads together, instead of being woken for
/// each frame. Sixteen cameras have a thousand frames a second.
const REST: Duration = Duration::from_millis(20);
/// What an item costs beside its frame's bytes.
const ITEM: usize = 256;

/// Frames that did not reach the writer.
#[derive(Clone, Debug)]
pub(super) struct Hole {
    pub(super) frames: u64,
    pub(super) since: SystemTime,
    pub(super) until: SystemTime,
    pub(super) cause: &'static str,
}

/// One word to the writer about the recording of that number.
#[derive(Debug)]
pub(super) enum Word {
    /// It was to be recorded by a plan while the program did not run, up to `until`, and is not now.
    Missed {
        camera: String,
        plan: Plan,
        until: SystemTime,
    },
    /// Record from now on. `resumes` where it was on before the program started; `raise` is raised when the
    /// storage is back: the camera begins anew at its newest key frame.
    On {
        cell: Arc<Cell>,
        resumes: Option<Plan>,
        at: SystemTime,
        raise: watch::Sender<u64>,
    },
    Tracks(Arc<[TrackInfo]>),
    Frame(Arc<Frame>),
    /// Frames are missing here; a key frame follows.
    Hole(Hole),
    /// The source is gone.
    Lost,
    /// The stream begins anew at its newest key frame, as was asked for.
    Again,
    /// Record no more.
    Off,
}

#[derive(Debug, Default)]
struct State {
    words: VecDeque<(u64, Instant, Word)>,
    bytes: usize,
    closed: bool,
    /// Nobody reads any more.
    broken: bool,
    /// The reader waits to be woken.
    sleeps: bool,
    /// The newest look found a word.
    busy: bool,
}

/// The queue of one root.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    limit: usize,
}

fn cost(word: &Word) -> usize {
    ITEM + if let Word::Frame(frame) = word { frame.data.len() } else { 0 }
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), filled: Condvar::new(), limit }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change below is one push or pop: a poisoned queue is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a word to the writer. `false` where there is no room for it; it is gone then.
    #[must_use]
    pub(super) fn push(&self, recording: u64, word: Word) -> bool {
        let state = self.state();
        if state.bytes + cost(&word) > self.limit {
            return false;
        }
        self.add(state, recording, word);
        true
    }

    /// Gives a word that must arrive: the first and the last of a recording, which are few.
    pub(super) fn push_always(&self, recording: u64, word: Word) {
        self.add(self.state(), recording, word);
    }

    fn add(&self, mut state: MutexGuard<'_, State>, recording: u64, word: Word) {
        if state.broken {
            return;
        }
        state.bytes += cost(&word);
        state.words.push_back((recording, Instant::now(), word));
        let wake = std::mem::take(&mut state.sleeps);
        drop(state);
        if wake {
            self.filled.notify_one();
        }
    }

    /// The next word, or `None` after `patience`.
    pub(super) fn pop(&self, patience: Duration) -> Option<(u64, Word)> {
        let mut state = self.state();
        if state.words.is_empty() && !state.closed && state.busy {
            drop(state);
            std::thread::sleep(REST.min(patience));
            state = self.state();
        }
        if state.words.is_empty() && !state.closed {
            state.sleeps = true;
            let wait = self.filled.wait_timeout(state, patience);
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
            state.sleeps = false;
        }
        state.busy = !state.words.is_empty();
        let (recording, _, word) = state.words.pop_front()?;
        state.bytes -= cost(&word);
        Some((recording, word))
    }

    /// The reader is gone: what waits is of no use, and what comes neither.
    pub(super) fn abandon(&self) {
        *self.state() = State { closed: true, broken: true, ..State::default() };
    }

    /// Nothing more will come: the writer ends when it has read all.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.filled.notify_one();
    }

    pub(super) fn is_ended(&self) -> bool {
        let state = self.state();
        state.closed && state.words.is_empty()
    }

    /// How long the oldest word waits.
    pub(super) fn waits(&self, now: Instant) -> Duration {
        let oldest = self.state().words.front().map(|(_, since, _)| *since);
        oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    pub(super) fn bytes(&self) -> usize {
        self.state().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_word_says_how_far_the_disk_is_behind() {
        let (queue, start) = (Queue::new(1_000), Instant::now());
        assert_eq!(queue.waits(start + Duration::from_secs(9)), Duration::ZERO);
        assert!(queue.push(1, Word::Again));
        assert!(queue.push(1, Word::Lost));
        assert!(queue.waits(start + Duration::from_secs(9)) > Duration::from_secs(8));
        queue.pop(Duration::ZERO);
        queue.pop(Duration::ZERO);
        assert_eq!(queue.waits(start + Duration::from_secs(9)), Duration::ZERO);
    }

    #[test]
    fn what_has_no_room_is_refused_and_what_must_arrive_arrives() {
        let queue = Queue::new(2 * ITEM);
        assert!(queue.push(1, Word::Again));
        assert!(queue.push(1, Word::Lost));
        assert!(!queue.push(1, Word::Lost));
        queue.push_always(1, Word::Off);
        queue.close();
        assert!(matches!(queue.pop(Duration::ZERO), Some((1, Word::Again))));
        assert!(matches!(queue.pop(Duration::ZERO), Some((1, Word::Lost))));
        assert!(!queue.is_ended());
        assert!(matches!(queue.pop(Duration::ZERO), Some((1, Word::Off))));
        assert!(queue.is_ended());
        assert_eq!(queue.bytes(), 0);
    }
}
