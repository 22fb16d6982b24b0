//! A camera's frames, cut into files and fragments. Pure: frames in, [`Cut`]s out.
//!
//! Invariants: every frame of a recorded track that comes after a first key frame is in exactly one
//! fragment, in order, until the cutter is told that frames are missing; a file begins with a key frame;
//! decode and presentation times within a file are the camera's own, counted from its first frame. Sound
//! goes with the pictures it belongs to, also where it comes a little early or late around a rotation.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::Instant;
use tracing::warn;

use super::rotation::{Limits, Mark, Rotation, Why};
use crate::audio::Transcoder;
use crate::fmp4::{DecodeClock, MuxError, Muxer, Sample};
use crate::media::{Codec, Frame, TrackId, TrackInfo, TrackKind, rescale};

/// A fragment ends with the first frame that comes after a beat of this length, so that no frame is in memory
/// alone for a second. All cameras of a root have the same beat: what they give is on the disk by one commit of
/// its journal.
const FRAGMENT: Duration = Duration::from_millis(900);
/// Frames that no other one pushes out are written after this time.
const IDLE: Duration = Duration::from_millis(1_000);
/// A fragment ends here at the latest.
pub(super) const FRAGMENT_BYTES: usize = 16 << 20;
/// Sound that belongs to the file before is waited for this long.
const LATE_SOUND: Duration = Duration::from_secs(2);
/// A file's start is where the one before it ended unless the clocks say something else than that by more.
const SNAP: Duration = Duration::from_millis(500);
const NANOS: u32 = 1_000_000_000;

/// What is to be done, in order. `take` numbers a file.
#[derive(Clone, Debug)]
pub(super) enum Cut {
    Begin {
        take: u64,
        start: SystemTime,
        tracks: Vec<TrackInfo>,
    },
    /// `reaches` is how far into the file its pictures go then.
    Fragment {
        take: u64,
        samples: Vec<Sample>,
        reaches: Duration,
    },
    /// `lasts` gives the decode time at which a track's newest sample ends, where it is known exactly.
    End {
        take: u64,
        why: Why,
        lasts: Vec<(TrackId, u64)>,
    },
}

/// One track of the present session.
#[derive(Debug)]
struct Lane {
    /// As it comes, and as it is in files.
    comes: TrackInfo,
    info: TrackInfo,
    /// Makes the one of the other.
    turn: Option<Box<Transcoder>>,
    /// When its newest frame came.
    heard: Option<(Instant, SystemTime)>,
    clock: DecodeClock,
    /// Decode time of the newest frame, and ticks between the newest two.
    newest: Option<i64>,
    pace: u32,
}

/// A frame on the session's time line.
#[derive(Clone, Debug)]
struct Held {
    lane: usize,
    decode: i64,
    pts: i64,
    duration: u32,
    key: bool,
    arrival: Instant,
    data: Bytes,
}

/// A file in the making.
#[derive(Clone, Debug)]
struct Take {
    number: u64,
    rotation: Rotation,
    /// Presentation time of its first picture, in nanoseconds.
    from: i64,
    /// Decode time zero of the file by lane, in ticks of the session.
    base: Vec<i64>,
    held: Vec<Held>,
    held_bytes: usize,
    /// How far its pictures go, in nanoseconds of the session.
    reaches: i64,
}

/// A file whose pictures are complete, waiting for its sound.
#[derive(Clone, Debug)]
struct Closing {
    take: Take,
    why: Why,
    /// Where the next file begins, in nanoseconds of the session.
    until: i64,
    since: Instant,
    lasts: Vec<(TrackId, u64)>,
}

/// The cutter of one camera.
#[derive(Debug)]
pub(super) struct Cutter {
    limits: Limits,
    /// A beat.
    beat: Instant,
    lanes: Vec<Lane>,
    current: Option<Take>,
    closing: Option<Closing>,
    next: u64,
    /// Wait for a key frame of the first lane.
    needs_key: bool,
    /// Wall and media time of a file's start in this session.
    axis: Option<(SystemTime, i64)>,
}

impl Cutter {
    /// `beat` is a moment that all cameras of a root have in common.
    pub(super) fn new(limits: Limits, beat: Instant) -> Self {
        Self {
            limits,
            beat,
            lanes: Vec::new(),
            current: None,
            closing: None,
            next: 0,
            needs_key: true,
            axis: None,
        }
    }

    /// These tracks from now on.
    ///
    /// # Errors
    /// A sentence why they cannot be recorded. Nothing is then, until others come.
    pub(super) fn tracks(&mut self, tracks: &[TrackInfo], out: &mut Vec<Cut>) -> Result<(), String> {
        let plan = plan(tracks);
        let chosen = plan.as_deref().unwrap_or_default();
        let same = |lane: &Lane, track: &TrackInfo| {
            let TrackInfo { id, codec, timescale, parameters, .. } = &lane.comes;
            (*id, *codec, *timescale, parameters)
                == (track.id, track.codec, track.timescale, &track.parameters)
        };
        if !chosen.is_empty()
            && chosen.len() == self.lanes.len()
            && self.lanes.iter().zip(chosen).all(|(lane, track)| same(lane, track))
        {
            for (lane, track) in self.lanes.iter_mut().zip(chosen) {
                lane.comes = track.clone();
                lane.info.generation = track.generation;
            }
        } else {
            self.end(Why::Parameters, out);
            self.lanes = chosen.iter().filter_map(Lane::new).collect();
            self.needs_key = true;
        }
        plan.map(|_| ())
    }

    /// Whether a file is being written.
    pub(super) fn is_recording(&self) -> bool {
        self.current.is_some()
    }

    /// The next frame of a track.
    pub(super) fn frame(&mut self, frame: &Frame, out: &mut Vec<Cut>) {
        let Some(n) = self.lanes.iter().position(|lane| lane.info.id == frame.track) else { return };
        if frame.generation != self.lanes[n].info.generation {
            return;
        }
        let leads = n == 0;
        if leads && self.needs_key && !frame.key {
            return;
        }
        if !leads && self.current.is_none() {
            return;
        }
        let lane = &mut self.lanes[n];
        let when = (frame.arrival, frame.wall);
        lane.heard = Some(when);
        let Some(turn) = &mut lane.turn else {
            return self.place(n, frame.pts, frame.key, when, frame.data.clone(), out);
        };
        for packet in turn.push(frame.pts, &frame.data) {
            self.place(n, packet.pts, true, when, packet.data, out);
        }
    }

    /// Puts what came on a lane where it belongs.
    fn place(
        &mut self,
        n: usize,
        pts: i64,
        key: bool,
        (arrival, wall): (Instant, SystemTime),
        data: Bytes,
        out: &mut Vec<Cut>,
    ) {
        let leads = n == 0;
        let lane = &mut self.lanes[n];
        if leads && self.needs_key {
            lane.clock.restart();
            self.needs_key = false;
        }
        let stamp = lane.clock.stamp(pts);
        lane.pass(stamp.decode);
        let held = Held { lane: n, decode: stamp.decode, pts, duration: lane.pace, key, arrival, data };
        let media = rescale(pts, lane.info.timescale, NANOS);
        if leads {
            self.picture(held, Mark { media, arrival, wall }, out);
        } else {
            self.sound(held, media, out);
        }
    }

    /// What is left of sound that does not fill a packet.
    fn drain(&mut self, out: &mut Vec<Cut>) {
        for n in 1..self.lanes.len() {
            let lane = &mut self.lanes[n];
            let (Some(turn), Some(when)) = (&mut lane.turn, lane.heard) else { continue };
            for packet in turn.finish() {
                self.place(n, packet.pts, true, when, packet.data, out);
            }
        }
    }

    fn picture(&mut self, held: Held, at: Mark, out: &mut Vec<Cut>) {
        if let Some(closing) = &self.closing
            && at.arrival.saturating_duration_since(closing.since) > LATE_SOUND
        {
            self.close(None, out);
        }
        let why = self.current.as_ref().filter(|_| held.key).and_then(|take| take.rotation.due(at));
        if let Some(why) = why {
            self.rotate(why, &held, at, out);
        } else if self.current.is_none() {
            self.begin(&held, at, Vec::new(), out);
        }
        self.hold(held, Some(at.media), out);
    }

    fn sound(&mut self, held: Held, media: i64, out: &mut Vec<Cut>) {
        if let Some(closing) = &mut self.closing {
            if media < closing.until {
                closing.take.held.push(held);
                return;
            }
            let lane = held.lane;
            if closing.why != Why::Hole
                && let Ok(until) = u64::try_from(held.decode - closing.take.base[lane])
            {
                closing.lasts.push((self.lanes[lane].info.id, until));
            }
            // Other tracks of sound may still come; there is one at most.
            self.close(None, out);
        }
        // What belongs before the first picture of the first file belongs nowhere.
        if self.current.as_ref().is_some_and(|take| media >= take.from) {
            self.hold(held, None, out);
        }
    }

    /// Puts a frame into the present file.
    fn hold(&mut self, held: Held, picture: Option<i64>, out: &mut Vec<Cut>) {
        let Some(take) = &mut self.current else { return };
        let beats =
            |at: Instant| at.saturating_duration_since(self.beat).as_nanos().div_euclid(FRAGMENT.as_nanos());
        let full = take.held.first().is_some_and(|first| {
            beats(held.arrival) > beats(first.arrival)
                || held.arrival.saturating_duration_since(first.arrival) >= FRAGMENT
                || take.held_bytes + held.data.len() > FRAGMENT_BYTES
        });
        if full {
            out.extend(take.flush(&self.lanes));
        }
        take.rotation.add(held.data.len(), held.arrival);
        take.held_bytes += held.data.len();
        if let Some(media) = picture {
            let scale = self.lanes[held.lane].info.timescale;
            let lasts = rescale(i64::from(held.duration), scale, NANOS);
            take.reaches = take.reaches.max(media.saturating_add(lasts));
        } else if self.lanes.len() == 1 {
            take.reaches = take.reaches.max(rescale(held.pts, self.lanes[held.lane].info.timescale, NANOS));
        }
        take.held.push(held);
    }

    /// Begins a file with the frame `first`; `early` is sound that came before its picture.
    fn begin(&mut self, first: &Held, at: Mark, early: Vec<Held>, out: &mut Vec<Cut>) {
        let guess = self.axis.map(|(wall, media)| {
            let passed = at.media.saturating_sub(media);
            let span = Duration::from_nanos(passed.unsigned_abs());
            if passed < 0 { wall.checked_sub(span) } else { wall.checked_add(span) }.unwrap_or(wall)
        });
        let near = |guess: &SystemTime| {
            let apart = at.wall.duration_since(*guess).unwrap_or_else(|before| before.duration());
            apart <= SNAP
        };
        let start = guess.filter(near).unwrap_or(at.wall);
        self.axis = Some((start, at.media));
        let scale = self.lanes[0].info.timescale;
        let base = self.lanes.iter().map(|lane| rescale(first.decode, scale, lane.info.timescale)).collect();
        let number = self.next;
        self.next += 1;
        let tracks = self.lanes.iter().map(|lane| lane.info.clone()).collect();
        out.push(Cut::Begin { take: number, start, tracks });
        self.current = Some(Take {
            number,
            rotation: Rotation::new(self.limits, at),
            from: at.media,
            base,
            held_bytes: early.iter().map(|held| held.data.len()).sum(),
            held: early,
            reaches: at.media,
        });
    }

    /// The frame `first` begins another file.
    fn rotate(&mut self, why: Why, first: &Held, at: Mark, out: &mut Vec<Cut>) {
        self.close(None, out);
        let Some(mut old) = self.current.take() else { return };
        let lanes = &self.lanes;
        let media = |held: &Held| rescale(held.pts, lanes[held.lane].info.timescale, NANOS);
        let (early, held) = old.held.drain(..).partition(|held| held.lane != 0 && media(held) >= at.media);
        old.held = held;
        out.extend(old.flush(lanes));
        let mut lasts = Vec::new();
        // Across a hole the last picture does not last until the next.
        if why != Why::Hole
            && let Ok(until) = u64::try_from(first.decode - old.base[0])
        {
            lasts.push((lanes[0].info.id, until));
        }
        let waits = lanes.len() > 1 && early.is_empty();
        self.closing = Some(Closing { take: old, why, until: at.media, since: at.arrival, lasts });
        if !waits {
            self.close(None, out);
        }
        self.begin(first, at, early, out);
    }

    /// Ends the file that waits for its sound.
    fn close(&mut self, why: Option<Why>, out: &mut Vec<Cut>) {
        let Some(mut closing) = self.closing.take() else { return };
        out.extend(closing.take.flush(&self.lanes));
        let (take, why) = (closing.take.number, why.unwrap_or(closing.why));
        out.push(Cut::End { take, why, lasts: closing.lasts });
    }

    /// Writes what was held for too long because nothing came after it.
    pub(super) fn tick(&mut self, now: Instant, out: &mut Vec<Cut>) {
        let late = self.closing.as_ref().is_some_and(|c| now.saturating_duration_since(c.since) > LATE_SOUND);
        if late {
            self.close(None, out);
        }
        if let Some(take) = &mut self.current
            && take.held.first().is_some_and(|held| now.saturating_duration_since(held.arrival) >= IDLE)
        {
            out.extend(take.flush(&self.lanes));
        }
    }

    /// Frames are missing: goes on at a key frame, in the same file unless the hole is long.
    pub(super) fn skip(&mut self, out: &mut Vec<Cut>) {
        if let Some(take) = &mut self.current {
            out.extend(take.flush(&self.lanes));
        }
        self.needs_key = true;
    }

    /// Ends what is being written; the next file begins at a key frame.
    pub(super) fn end(&mut self, why: Why, out: &mut Vec<Cut>) {
        self.drain(out);
        self.close(None, out);
        if let Some(mut take) = self.current.take() {
            out.extend(take.flush(&self.lanes));
            out.push(Cut::End { take: take.number, why, lasts: Vec::new() });
        }
        self.needs_key = true;
    }

    /// The camera is gone; its next session has other clocks.
    pub(super) fn lose(&mut self, out: &mut Vec<Cut>) {
        self.end(Why::SourceLost, out);
        self.lanes.clear();
        self.axis = None;
    }

    /// What was being written cannot be: forgets it. Answers how many frames were held.
    pub(super) fn abandon(&mut self) -> usize {
        let held = |take: Option<Take>| take.map_or(0, |take| take.held.len());
        self.needs_key = true;
        held(self.current.take()) + held(self.closing.take().map(|closing| closing.take))
    }
}

impl Lane {
    /// `None` for sound that there is no encoder for after all.
    fn new(comes: &TrackInfo) -> Option<Self> {
        let turn = match Transcoder::new(comes) {
            Ok(turn) => turn.map(Box::new),
            Err(error) => {
                warn!(tag = "RECORDING", %error, "recorded without sound");
                return None;
            }
        };
        let info = Transcoder::turned(comes).unwrap_or_else(|| comes.clone());
        let per_second = if info.kind == TrackKind::Video { 25 } else { 50 };
        Some(Self {
            clock: DecodeClock::new(info.reorder(), info.timescale),
            newest: None,
            pace: (info.timescale / per_second).max(1),
            comes: comes.clone(),
            info,
            turn,
            heard: None,
        })
    }

    /// The next frame is decoded then.
    fn pass(&mut self, decode: i64) {
        if let Some(before) = self.newest.replace(decode) {
            let pace = u32::try_from(decode.saturating_sub(before)).unwrap_or(u32::MAX).max(1);
            // A hole is not a pace.
            if pace < self.info.timescale.saturating_mul(2) {
                self.pace = pace;
            }
        }
    }
}

impl Take {
    /// All that is held, as a fragment.
    fn flush(&mut self, lanes: &[Lane]) -> Option<Cut> {
        self.held_bytes = 0;
        let samples: Vec<Sample> = self
            .held
            .drain(..)
            .filter_map(|held| {
                Some(Sample {
                    track: lanes.get(held.lane)?.info.id,
                    // Rounding between clocks may put the first sound a tick before zero.
                    decode: u64::try_from((held.decode - self.base[held.lane]).max(0)).ok()?,
                    duration: held.duration,
                    offset: i32::try_from(held.pts - held.decode).ok()?,
                    key: held.key,
                    data: held.data,
                })
            })
            .collect();
        let reaches = Duration::from_nanos(u64::try_from(self.reaches - self.from).unwrap_or(0));
        (!samples.is_empty()).then_some(Cut::Fragment { take: self.number, samples, reaches })
    }
}

/// The tracks that are recorded, as they come: the first picture and the first sound; sound alone only where there is no
/// picture at all. Empty while a camera has not said how its picture is decoded.
fn plan(tracks: &[TrackInfo]) -> Result<Vec<TrackInfo>, String> {
    let of = |kind| tracks.iter().filter(move |track| track.kind == kind && track.carried());
    let fits = |track: &&TrackInfo| Muxer::accepts(track).is_ok() && track.timescale > 0;
    let turned = |track: &&TrackInfo| Transcoder::turned(track).is_some();
    // What need not be turned is better.
    let sound = of(TrackKind::Audio).find(fits).or_else(|| of(TrackKind::Audio).find(turned));
    let Some(first) = of(TrackKind::Video).next() else {
        return match sound {
            Some(sound) => Ok(vec![sound.clone()]),
            None if tracks.is_empty() => Ok(Vec::new()),
            None => Err("The camera has no track that can be recorded.".to_owned()),
        };
    };
    match of(TrackKind::Video).find(fits) {
        Some(picture) => Ok(std::iter::once(picture).chain(sound).cloned().collect()),
        None if matches!(Muxer::accepts(first), Err(MuxError::Parameters(_))) => Ok(Vec::new()),
        None => Err(format!("{} cannot be recorded into MP4 files.", first.codec)),
    }
}

/// Why a track of a camera is not in its recordings, in a sentence. `None` where it is, where that cannot be known
/// yet, and for a track that is not even received, which says so itself.
#[must_use]
pub fn unrecorded(tracks: &[TrackInfo], track: &TrackInfo) -> Option<String> {
    if !track.carried() {
        return None;
    }
    let chosen = match plan(tracks) {
        Ok(chosen) => chosen,
        Err(reason) => return (track.kind == TrackKind::Video || tracks.len() == 1).then_some(reason),
    };
    if chosen.is_empty() || chosen.iter().any(|one| one.kind == track.kind) {
        return None;
    }
    let name = match track.codec {
        Codec::G722 => "G.722",
        Codec::G726 => "G.726",
        Codec::L16 => "L16",
        Codec::Pcma | Codec::Pcmu => "this form of G.711",
        other => other.name(),
    };
    Some(format!(
        "The camera's sound is {name}, which can't be recorded: recordings are without sound. Choose AAC or \
         G.711 (8 kHz) in the camera."
    ))
}

#[cfg(test)]
mod tests;
