//! The frames a camera keeps, numbered, with the marks of its sources between them.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::Limits;
use crate::media::{Frame, TrackId, TrackInfo, TrackKind};

#[derive(Debug)]
pub(super) enum Entry {
    Frame(Arc<Frame>),
    Tracks(Arc<[TrackInfo]>),
    Lost,
}

/// Where a new subscriber begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// Number of the entry.
    pub(super) number: u64,
    /// Number of the first frame from there on.
    pub(super) frame: u64,
    /// The group of pictures is not here whole: show the newest key frame as a still.
    pub(super) still: bool,
}

#[derive(Debug)]
struct Numbered {
    /// Number of the frame, or of the next one for a mark.
    frame: u64,
    /// Arrival of the frame, or the moment of the mark.
    at: Instant,
    entry: Entry,
}

/// What a frame costs: its bytes and itself, which is more than the bytes of a packet of sound.
fn size(frame: &Frame) -> usize {
    frame.data.len() + size_of::<Frame>()
}

/// Invariant: `entries` are consecutive from `first`; a frame's own number counts frames only.
#[derive(Debug)]
pub(super) struct Ring {
    limits: Limits,
    entries: VecDeque<Numbered>,
    first: u64,
    bytes: usize,
    next_frame: u64,
    /// Entry number of the newest key frame of the lead track since the last mark.
    key: Option<u64>,
    newest_key: Option<Arc<Frame>>,
    newest_key_track: Option<TrackInfo>,
    lead: Option<TrackId>,
    tracks: Arc<[TrackInfo]>,
    markers: u64,
    losses: u64,
}

impl Ring {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: VecDeque::new(),
            first: 0,
            bytes: 0,
            next_frame: 0,
            key: None,
            newest_key: None,
            newest_key_track: None,
            lead: None,
            tracks: Arc::from([]),
            markers: 0,
            losses: 0,
        }
    }

    pub(super) fn push(&mut self, frame: Arc<Frame>) {
        let number = self.end();
        if frame.key && self.lead == Some(frame.track) {
            self.key = Some(number);
            self.newest_key = Some(Arc::clone(&frame));
            self.newest_key_track = self.tracks.get(usize::from(frame.track)).cloned();
        }
        self.bytes += size(&frame);
        let at = frame.arrival;
        self.entries.push_back(Numbered { frame: self.next_frame, at, entry: Entry::Frame(frame) });
        self.next_frame += 1;
        self.trim();
    }

    pub(super) fn set_tracks(&mut self, tracks: Arc<[TrackInfo]>) {
        self.tracks = Arc::clone(&tracks);
        self.lead = tracks.iter().find(|t| t.kind == TrackKind::Video && t.carried()).map(|t| t.id);
        self.mark(Entry::Tracks(tracks));
    }

    pub(super) fn lose(&mut self) {
        self.losses += 1;
        self.mark(Entry::Lost);
    }

    fn mark(&mut self, entry: Entry) {
        self.markers += 1;
        self.key = None;
        self.entries.push_back(Numbered { frame: self.next_frame, at: Instant::now(), entry });
        self.trim();
    }

    /// Drops what neither a new subscriber nor a moderately slow one needs.
    fn trim(&mut self) {
        let Some(newest) = self.entries.back().map(|e| e.at) else { return };
        // Without a key frame to start from (sound only), the leeway alone decides.
        let keep_from = self.key.unwrap_or(u64::MAX);
        while let Some(oldest) = self.entries.front() {
            let over = self.bytes > self.limits.bytes;
            let old =
                self.first < keep_from && newest.saturating_duration_since(oldest.at) > self.limits.leeway;
            // The newest entry stays: its subscribers have not seen it.
            if !(over || old) || self.entries.len() == 1 {
                break;
            }
            if let Some(Numbered { entry: Entry::Frame(frame), .. }) = self.entries.pop_front() {
                self.bytes -= size(&frame);
            }
            self.first += 1;
        }
        if self.key.is_some_and(|key| key < self.first) {
            self.key = None;
        }
    }

    pub(super) fn start(&self) -> Start {
        if let Some(number) = self.key {
            let frame = self.get(number).map_or(self.next_frame, |(frame, _)| frame);
            return Start { number, frame, still: false };
        }
        // A generation belongs to one session and one set of parameters: an older still is not of this stream.
        let lead = self.lead.and_then(|id| self.tracks.get(usize::from(id)));
        let still = lead.zip(self.newest_key.as_ref()).is_some_and(|(t, key)| t.generation == key.generation);
        Start { number: self.end(), frame: self.next_frame, still }
    }

    pub(super) fn get(&self, number: u64) -> Option<(u64, &Entry)> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get(index).map(|e| (e.frame, &e.entry))
    }

    /// Number of the oldest entry.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Number the next entry will have.
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(super) fn newest_key(&self) -> Option<&Arc<Frame>> {
        self.newest_key.as_ref()
    }

    pub(super) fn newest_key_track(&self) -> Option<&TrackInfo> {
        self.newest_key_track.as_ref()
    }

    pub(super) fn markers(&self) -> u64 {
        self.markers
    }

    pub(super) fn losses(&self) -> u64 {
        self.losses
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn frames(&self) -> usize {
        self.entries.len()
    }
}
