//! Fan-out: one [`Publisher`] per camera writes, any number of [`Subscriber`]s read.
//!
//! Invariants: [`Publisher::push`] never waits and never fails; a slow, stuck or leaving subscriber
//! changes nothing for the source or for the others; the first video frame a subscriber gets, at its start
//! and after every [`Gap`], is a key frame (or nothing of that track comes).
//!
//! A camera's [`Slot`] outlives its sources: a subscriber stays across reconnects and is told of them in
//! order with the frames. The ring keeps everything since the newest key frame, so that a new subscriber
//! has a picture at once, and at least the last second, so that a slow one has leeway. The hub knows no
//! protocol, no file and no clock but the frames' own arrival.

mod ring;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::media::{Frame, TrackInfo, TrackKind};
use ring::{Entry, Ring};

/// How much a camera's ring holds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of frames. A group of pictures larger than this is not kept whole: new subscribers then get
    /// its key frame as a still and wait for the next one.
    pub bytes: usize,
    /// Frames older than the newest key frame stay this long for slow subscribers.
    pub leeway: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        // 8 MB: four seconds of a 4K camera at 16 Mbit/s; 64 such cameras stay under half a gigabyte.
        Self { bytes: 8 << 20, leeway: Duration::from_secs(1) }
    }
}

/// Why [`Subscriber::next`] gave no frame. The subscription goes on, except after `Closed`.
#[derive(Clone, Debug, PartialEq)]
pub enum Gap {
    /// The subscriber was too slow for the ring and lost this many frames.
    Skipped { frames: u64 },
    /// The frames that follow belong to these tracks. Sent at each start of a source and at each change.
    TracksChanged(Arc<[TrackInfo]>),
    /// The source is gone; another may come. Media times start anew then.
    SourceLost,
    /// The camera was removed. Final.
    Closed,
}

/// The slot is taken: a camera has one source at a time.
#[derive(Debug, thiserror::Error)]
#[error("this camera is being published already")]
pub struct Taken;

/// A camera's place in the hub. Cheap to clone; the place lives as long as any clone or subscriber.
#[derive(Clone, Debug)]
pub struct Slot {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Wakes every subscriber after a push. A subscriber that is not waiting misses nothing: it looks at
    /// the ring before it waits again.
    pushed: Notify,
    /// Wakes the publisher. One permit: requests while one is pending are one request.
    key_frame_wanted: Notify,
    /// Wakes whoever opens sources on demand. One permit: it looks at the count afterwards.
    subscribers_changed: Notify,
    subscribers: AtomicUsize,
    unseen: AtomicUsize,
    skipped: AtomicU64,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    tracks: Arc<[TrackInfo]>,
    /// The first generation number that was never used.
    next_generation: u32,
    published: bool,
    /// The present source gave a picture, or any frame where it has none to give.
    flowing: bool,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned ring is whole: every mutation below is a single push or pop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// An empty slot.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let state = State {
            ring: Ring::new(limits),
            tracks: Arc::from([]),
            next_generation: 0,
            published: false,
            flowing: false,
            closed: false,
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                pushed: Notify::new(),
                key_frame_wanted: Notify::new(),
                subscribers_changed: Notify::new(),
                subscribers: AtomicUsize::new(0),
                unseen: AtomicUsize::new(0),
                skipped: AtomicU64::new(0),
            }),
        }
    }

    /// Takes the exclusive right to write. Generations of `tracks` and of the frames pushed later count
    /// from zero in each session; the slot makes them unique.
    ///
    /// # Errors
    /// [`Taken`] while another publisher lives.
    pub fn publish(&self, tracks: Arc<[TrackInfo]>) -> Result<Publisher, Taken> {
        let mut state = self.shared.state();
        if state.published {
            return Err(Taken);
        }
        state.published = true;
        state.flowing = false;
        let mut publisher = Publisher { shared: Arc::clone(&self.shared), base: state.next_generation };
        publisher.announce(&mut state, &tracks);
        drop(state);
        self.shared.pushed.notify_waiters();
        Ok(publisher)
    }

    /// Subscribes, starting at the newest key frame that is cached.
    #[must_use]
    pub fn subscribe(&self) -> Subscriber {
        let state = self.shared.state();
        let start = state.ring.start();
        let mut subscriber = Subscriber {
            shared: Arc::clone(&self.shared),
            next: start.number,
            expected: start.frame,
            markers: state.ring.markers(),
            losses: state.ring.losses(),
            tracks: Arc::clone(&state.tracks),
            pending: Vec::new(),
            still: None,
            wait_for_key: has_video(&state.tracks),
            unseen: false,
        };
        if start.still && state.published {
            subscriber.still = state.ring.newest_key().cloned();
        }
        drop(state);
        self.shared.subscribers.fetch_add(1, Ordering::Relaxed);
        self.shared.subscribers_changed.notify_one();
        subscriber
    }

    /// The tracks of the present source, or of the last one.
    #[must_use]
    pub fn tracks(&self) -> Arc<[TrackInfo]> {
        Arc::clone(&self.shared.state().tracks)
    }

    /// The newest key frame of the video track and its track, from the present source or the last one.
    #[must_use]
    pub fn newest_key(&self) -> Option<(TrackInfo, Arc<Frame>)> {
        let state = self.shared.state();
        let frame = state.ring.newest_key()?;
        let track = state.ring.newest_key_track()?;
        Some((track.clone(), Arc::clone(frame)))
    }

    /// Whether both are the same place.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Whether a source is writing.
    #[must_use]
    pub fn is_published(&self) -> bool {
        self.shared.state().published
    }

    /// Whether a source is writing and gave a picture, or any frame where it has no pictures to give. An open
    /// session alone is no promise: cameras accept one and stay silent.
    #[must_use]
    pub fn is_flowing(&self) -> bool {
        let state = self.shared.state();
        state.published && state.flowing
    }

    /// Asks the source for a key frame. RTSP cameras cannot serve it; phones can.
    pub fn request_key_frame(&self) {
        self.shared.key_frame_wanted.notify_one();
    }

    /// Waits until somebody subscribed or left since the last call. For one listener.
    pub async fn subscribers_changed(&self) {
        self.shared.subscribers_changed.notified().await;
    }

    /// Ends the slot: every subscriber gets [`Gap::Closed`] once it has read what was there.
    pub fn close(&self) {
        self.shared.state().closed = true;
        self.shared.pushed.notify_waiters();
    }

    /// Who reads now, what the ring holds, and what slow readers lost so far.
    #[must_use]
    pub fn stats(&self) -> SlotStats {
        let state = self.shared.state();
        SlotStats {
            subscribers: self.shared.subscribers.load(Ordering::Relaxed),
            unseen: self.shared.unseen.load(Ordering::Relaxed),
            ring_bytes: state.ring.bytes(),
            ring_frames: state.ring.frames(),
            skipped: self.shared.skipped.load(Ordering::Relaxed),
        }
    }
}

/// Figures of a slot.
#[derive(Clone, Copy, Debug, Default)]
pub struct SlotStats {
    pub subscribers: usize,
    /// Of these, those that show what they read to nobody.
    pub unseen: usize,
    pub ring_bytes: usize,
    pub ring_frames: usize,
    /// Frames that slow subscribers missed, all together.
    pub skipped: u64,
}

/// The exclusive write handle of a slot. Dropping it tells the subscribers [`Gap::SourceLost`].
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
    base: u32,
}

impl Publisher {
    /// Hands a frame to everybody. Never waits.
    pub fn push(&self, mut frame: Frame) {
        frame.generation = frame.generation.saturating_add(self.base);
        let mut state = self.shared.state();
        state.flowing |= !has_video(&state.tracks) || is_video(&state.tracks, &frame);
        state.ring.push(Arc::new(frame));
        drop(state);
        self.shared.pushed.notify_waiters();
    }

    /// The tracks changed; the frames that follow belong to the new ones.
    pub fn set_tracks(&mut self, tracks: &[TrackInfo]) {
        let shared = Arc::clone(&self.shared);
        self.announce(&mut shared.state(), tracks);
        shared.pushed.notify_waiters();
    }

    fn announce(&mut self, state: &mut State, tracks: &[TrackInfo]) {
        let mut tracks: Vec<TrackInfo> = tracks.to_vec();
        for track in &mut tracks {
            track.generation = track.generation.saturating_add(self.base);
            state.next_generation = state.next_generation.max(track.generation.saturating_add(1));
        }
        state.tracks = tracks.into();
        let tracks = Arc::clone(&state.tracks);
        state.ring.set_tracks(tracks);
    }

    /// Waits until somebody asks for a key frame.
    pub async fn key_frame_wanted(&self) {
        self.shared.key_frame_wanted.notified().await;
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.published = false;
        state.ring.lose();
        drop(state);
        self.shared.pushed.notify_waiters();
    }
}

/// A read handle. It holds a place in the ring, not a queue: what it does not read costs nobody anything.
#[derive(Debug)]
pub struct Subscriber {
    shared: Arc<Shared>,
    /// Number of the ring entry to read next.
    next: u64,
    /// Number of the frame that should come next, to count what was lost.
    expected: u64,
    markers: u64,
    losses: u64,
    tracks: Arc<[TrackInfo]>,
    /// Gaps to tell before anything else, last first; at most three.
    pending: Vec<Gap>,
    still: Option<Arc<Frame>>,
    wait_for_key: bool,
    unseen: bool,
}

impl Subscriber {
    /// It shows what it reads to nobody, and is no viewer.
    #[must_use]
    pub fn unseen(mut self) -> Self {
        if !std::mem::replace(&mut self.unseen, true) {
            self.shared.unseen.fetch_add(1, Ordering::Relaxed);
        }
        self
    }

    /// The tracks that the next frame belongs to. Empty before the first source.
    #[must_use]
    pub fn tracks(&self) -> &Arc<[TrackInfo]> {
        &self.tracks
    }

    /// The next frame, in order.
    ///
    /// Cancel-safe: a dropped call has taken nothing.
    ///
    /// # Errors
    /// A [`Gap`] tells what lies between the last frame and the next; call again, except after
    /// [`Gap::Closed`].
    pub async fn next(&mut self) -> Result<Arc<Frame>, Gap> {
        let shared = Arc::clone(&self.shared);
        loop {
            let pushed = shared.pushed.notified();
            tokio::pin!(pushed);
            // Listening before looking: a push in between is not missed.
            pushed.as_mut().enable();
            if let Some(item) = self.try_next() {
                return item;
            }
            pushed.await;
        }
    }

    /// Like [`Subscriber::next`], or `None` where that would wait.
    pub fn try_next(&mut self) -> Option<Result<Arc<Frame>, Gap>> {
        if let Some(gap) = self.pending.pop() {
            return Some(Err(gap));
        }
        if let Some(frame) = self.still.take() {
            return Some(Ok(frame));
        }
        let shared = Arc::clone(&self.shared);
        let state = shared.state();
        if self.next < state.ring.first() {
            return Some(Err(self.skip(&state)));
        }
        while let Some((number, entry)) = state.ring.get(self.next) {
            self.next += 1;
            match entry {
                Entry::Frame(frame) => {
                    self.expected = number + 1;
                    if self.wait_for_key && is_video(&self.tracks, frame) {
                        if !frame.key {
                            continue;
                        }
                        self.wait_for_key = false;
                    }
                    return Some(Ok(Arc::clone(frame)));
                }
                Entry::Tracks(tracks) => {
                    self.markers += 1;
                    self.tracks = Arc::clone(tracks);
                    self.wait_for_key = has_video(tracks);
                    return Some(Err(Gap::TracksChanged(Arc::clone(tracks))));
                }
                Entry::Lost => {
                    self.markers += 1;
                    self.losses += 1;
                    return Some(Err(Gap::SourceLost));
                }
            }
        }
        state.closed.then_some(Err(Gap::Closed))
    }

    /// Frames in the ring that were not read yet.
    #[must_use]
    pub fn behind(&self) -> u64 {
        self.shared.state().ring.end().saturating_sub(self.next)
    }

    /// Jumps to where a new subscriber would start, and tells all that was missed on the way.
    fn skip(&mut self, state: &State) -> Gap {
        let start = state.ring.start();
        let frames = start.frame.saturating_sub(self.expected);
        self.shared.skipped.fetch_add(frames, Ordering::Relaxed);
        self.next = start.number;
        self.expected = start.frame;
        self.wait_for_key = has_video(&state.tracks);
        self.pending.clear();
        if self.markers != state.ring.markers() {
            self.tracks = Arc::clone(&state.tracks);
            if !state.published {
                self.pending.push(Gap::SourceLost);
            }
            self.pending.push(Gap::TracksChanged(Arc::clone(&state.tracks)));
            if self.losses != state.ring.losses() && state.published {
                self.pending.push(Gap::SourceLost);
            }
        }
        self.markers = state.ring.markers();
        self.losses = state.ring.losses();
        Gap::Skipped { frames }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if self.unseen {
            self.shared.unseen.fetch_sub(1, Ordering::Relaxed);
        }
        self.shared.subscribers.fetch_sub(1, Ordering::Relaxed);
        self.shared.subscribers_changed.notify_one();
    }
}

fn has_video(tracks: &[TrackInfo]) -> bool {
    tracks.iter().any(|t| t.kind == TrackKind::Video && t.carried())
}

fn is_video(tracks: &[TrackInfo], frame: &Frame) -> bool {
    tracks.get(usize::from(frame.track)).is_some_and(|t| t.kind == TrackKind::Video)
}

#[cfg(test)]
mod tests;
