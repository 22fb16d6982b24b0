//! The running stream of a camera: its clock, its clip, its clients.
//!
//! Invariants: a sample goes out at `epoch + its time`, never later because of an earlier delay
//! (absolute schedule); RTP time and sequence of a track go on through loops and changes of the
//! clip; packets are built once and shared; a full client loses frames, it holds up nobody.
//! It does not know RTSP.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Clip, Fault, Options, ParameterSets, Start, chance,
    clip::{Builtin, VIDEO_CLOCK, VideoCodec, ticks},
    rtp::{PREFIX, Packetiser, RTP_HEADER, Unit},
    sound::{Source, Voice},
    stats::Ledger,
};

/// Frames (of all tracks) that wait for one client: about a second and a half. When it is full the
/// client loses frames up to the next key frame.
const CLIENT_QUEUE: usize = 64;
/// A key frame gets this many times the filler of another frame.
const KEY_WEIGHT: f64 = 8.0;
/// Never more filler than this in one frame, in bytes.
const MAX_FILLER: usize = 4 << 20;

/// Frames that are later than this are left out rather than sent in a burst.
const HELD_UP: Duration = Duration::from_secs(2);

pub(crate) const VIDEO: usize = 0;
pub(crate) const AUDIO: usize = 1;

/// Payload types of the SDP.
pub(crate) fn video_payload_type(codec: VideoCodec) -> u8 {
    match codec {
        VideoCodec::Mjpeg => 26,
        _ => 96,
    }
}

/// One stream (main or sub) of a camera.
pub(crate) struct Stream {
    live: Mutex<Live>,
    joined: Notify,
    ledger: Arc<Ledger>,
}

/// What changes with every frame.
struct Live {
    epoch: Instant,
    main: Clip,
    second: Clip,
    clip: Clip,
    /// Start of the present loop, in ticks since the epoch.
    base: u64,
    /// The sample that is next.
    index: usize,
    /// The fault that `clip` was chosen for.
    fault: Fault,
    /// With each loop of a changing resolution the other clip has its turn; even is the main one.
    turn: u64,
    video: Packetiser,
    video_time: u32,
    voice: Option<Voice>,
    audio: Packetiser,
    audio_time: u32,
    next_report: Instant,
    reports: Duration,
    parameter_sets: ParameterSets,
    bitrate: Option<u32>,
    clients: Vec<Client>,
    next_client: u64,
}

struct Client {
    id: u64,
    wants: [bool; 2],
    queue: mpsc::Sender<Arc<Unit>>,
    waits_for_key: bool,
}

/// A client's place in a stream; dropping it leaves.
pub(crate) struct Seat {
    stream: Arc<Stream>,
    id: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.stream.lock().clients.retain(|client| client.id != self.id);
    }
}

/// Sequence number and RTP time of the packet that is next in a track.
#[derive(Clone, Copy)]
pub(crate) struct Next {
    pub(crate) sequence: u16,
    pub(crate) time: u32,
}

impl Stream {
    pub(crate) fn new(options: &Options, clip: &Clip, is_main: bool, ledger: Arc<Ledger>) -> Self {
        let now = Instant::now();
        let source = Source::new(options.sound, clip);
        let audio_type = source.as_ref().map_or(97, Source::payload_type);
        let mut live = Live {
            // Should the machine be younger than the offset, the camera starts at zero.
            epoch: now.checked_sub(options.offset).unwrap_or(now),
            main: clip.clone(),
            second: if is_main { options.second.clone() } else { clip.clone() },
            clip: clip.clone(),
            base: 0,
            index: 0,
            fault: options.fault,
            turn: 0,
            video: Packetiser::new(VIDEO, video_payload_type(clip.codec())),
            video_time: chance::random(),
            voice: source.map(|source| Voice::new(source, options.sound_drift)),
            audio: Packetiser::new(AUDIO, audio_type),
            audio_time: chance::random(),
            next_report: now,
            reports: options.sender_reports,
            parameter_sets: options.parameter_sets,
            bitrate: options.bitrate.filter(|_| is_main && clip.codec() != VideoCodec::Mjpeg),
            clients: Vec::new(),
            next_client: 0,
        };
        live.clip = live.pick(options.fault);
        Self { live: Mutex::new(live), joined: Notify::new(), ledger }
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        // A panic while holding it would be a bug of the camera; the other clients go on.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clip that a client would see now, and the sound that goes with it.
    pub(crate) fn offered(&self, fault: Fault) -> (Clip, Option<Source>) {
        let mut live = self.lock();
        live.obey(fault);
        (live.clip.clone(), live.voice.as_ref().map(|voice| voice.source.clone()))
    }

    pub(crate) fn ssrcs(&self) -> [u32; 2] {
        let live = self.lock();
        [live.video.ssrc, live.audio.ssrc]
    }

    /// When the first frame of the clip's first loop was due, by the time of day.
    pub(crate) fn began(&self) -> SystemTime {
        let epoch = self.lock().epoch;
        wall() - epoch.elapsed()
    }

    /// Nominal bit rate of the video in bit/s.
    pub(crate) fn bitrate(&self) -> u32 {
        let live = self.lock();
        live.bitrate.unwrap_or_else(|| live.clip.bitrate())
    }

    /// Takes a client in. From now on its queue fills.
    pub(crate) fn join(
        self: &Arc<Self>,
        wants: [bool; 2],
        start: Start,
        fault: Fault,
    ) -> (Seat, mpsc::Receiver<Arc<Unit>>, [Next; 2]) {
        let (queue, receiver) = mpsc::channel(CLIENT_QUEUE);
        let mut live = self.lock();
        let now = Instant::now();
        if live.clients.is_empty() {
            live.skip_to(now, fault);
        }
        if !live.reports.is_zero() && !fault.mutes() {
            for unit in live.reports_now(now) {
                if wants[unit.track] {
                    // The queue is new and larger than the number of tracks.
                    let _ = queue.try_send(Arc::new(unit));
                }
            }
        }
        let id = live.next_client;
        live.next_client += 1;
        let waits_for_key = start == Start::KeyFrame;
        live.clients.push(Client { id, wants, queue, waits_for_key });
        let next = live.next_packets();
        drop(live);
        self.joined.notify_one();
        (Seat { stream: Arc::clone(self), id }, receiver, next)
    }

    /// Runs the camera clock until the token ends it.
    pub(crate) async fn run(self: Arc<Self>, mut fault: watch::Receiver<Fault>, end: CancellationToken) {
        loop {
            let now = *fault.borrow_and_update();
            let due = self.lock().due(now);
            let wait = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => self.joined.notified().await,
                }
            };
            tokio::select! {
                () = end.cancelled() => return,
                changed = fault.changed() => if changed.is_err() { return },
                () = wait => {}
            }
            let now = *fault.borrow();
            let dropped = self.lock().tick(Instant::now(), now);
            if dropped > 0 {
                self.ledger.note_quietly(|stats| stats.dropped += dropped);
            }
        }
    }
}

/// What is due first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Video,
    Audio,
    Report,
}

impl Live {
    /// The clip that a fault asks for. Clips that stand in for the camera's own are H.264.
    fn pick(&self, fault: Fault) -> Clip {
        let stand_in = match fault {
            Fault::ChangeResolution if self.turn % 2 == 1 => self.second.clone(),
            Fault::BFrames => Clip::builtin(Builtin::BFrames),
            Fault::HugeGop => Clip::builtin(Builtin::LongGop),
            _ => return self.main.clone(),
        };
        if stand_in.codec() == self.main.codec() { stand_in } else { self.main.clone() }
    }

    /// When the fault has changed and asks for another clip, that one begins at the next frame.
    fn obey(&mut self, fault: Fault) {
        if fault == self.fault {
            return;
        }
        self.fault = fault;
        self.turn = u64::from(fault == Fault::ChangeResolution);
        self.begin(self.pick(fault));
    }

    fn begin(&mut self, clip: Clip) {
        if !clip.is(&self.clip) {
            self.base = self.video_ticks();
            self.index = 0;
            self.clip = clip;
        }
    }

    /// When the next sample goes out, in ticks since the epoch.
    fn video_ticks(&self) -> u64 {
        self.base + self.clip.video().samples[self.index].dts
    }

    fn next_event(&self) -> (Instant, Event) {
        let mut first = (self.epoch + ticks(self.video_ticks()), Event::Video);
        if let Some(voice) = &self.voice {
            let due = self.epoch + voice.due();
            if due < first.0 {
                first = (due, Event::Audio);
            }
        }
        if !self.reports.is_zero() && self.next_report < first.0 {
            first = (self.next_report, Event::Report);
        }
        first
    }

    /// When the clock must tick next; `None` while nobody looks.
    fn due(&mut self, fault: Fault) -> Option<Instant> {
        self.obey(fault);
        (!self.clients.is_empty()).then(|| self.next_event().0)
    }

    fn advance_video(&mut self) {
        self.index += 1;
        if self.index == self.clip.video().samples.len() {
            self.base += self.clip.video().duration;
            self.index = 0;
            if self.fault == Fault::ChangeResolution {
                self.turn += 1;
                let clip = self.pick(self.fault);
                self.clip = clip;
            }
        }
    }

    /// Lets time pass that nobody watched.
    fn skip_to(&mut self, now: Instant, fault: Fault) {
        self.obey(fault);
        while self.epoch + ticks(self.video_ticks()) < now {
            self.advance_video();
        }
        if let Some(voice) = &mut self.voice {
            voice.skip_to(now.saturating_duration_since(self.epoch));
        }
        self.next_report = now + self.reports;
    }

    /// Sends what is due. Returns how many frames found a full queue.
    fn tick(&mut self, now: Instant, fault: Fault) -> u64 {
        self.obey(fault);
        if self.clients.is_empty() {
            return 0;
        }
        let mut dropped = 0;
        loop {
            let (due, event) = self.next_event();
            if due > now {
                return dropped;
            }
            // The process was held up: what is long past is not sent in a burst.
            if now - due > HELD_UP {
                self.skip_to(now, fault);
                continue;
            }
            let units = match event {
                Event::Video => Vec::from_iter(self.take_video()),
                Event::Audio => Vec::from_iter(self.take_audio()),
                Event::Report => {
                    self.next_report += self.reports;
                    Vec::from(self.reports_now(now))
                }
            };
            if fault.mutes() {
                continue;
            }
            for mut unit in units {
                match fault {
                    Fault::GarbageRtp if !unit.rtcp => damage(&mut unit),
                    // The version, and the marker with the payload type.
                    Fault::GarbageRtcp if unit.rtcp => mask(&mut unit, [0x3f, 0xff]),
                    Fault::GarbageSound if !unit.rtcp && unit.track == AUDIO => mask(&mut unit, [0x3f, 0xff]),
                    Fault::UnmarkedSound if !unit.rtcp && unit.track == AUDIO => {
                        mask(&mut unit, [0xff, 0x7f])
                    }
                    _ => {}
                }
                dropped += self.deliver(Arc::new(unit));
            }
        }
    }

    fn deliver(&mut self, unit: Arc<Unit>) -> u64 {
        let mut dropped = 0;
        let video = unit.track == VIDEO && !unit.rtcp;
        self.clients.retain_mut(|client| {
            if !client.wants[unit.track] || (video && client.waits_for_key && !unit.key) {
                return true;
            }
            match client.queue.try_send(Arc::clone(&unit)) {
                Ok(()) if video => client.waits_for_key = false,
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(_)) => {
                    dropped += 1;
                    client.waits_for_key |= video;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return false,
            }
            true
        });
        dropped
    }

    fn take_video(&mut self) -> Option<Unit> {
        let clip = self.clip.clone();
        let video = clip.video();
        let sample = &video.samples[self.index];
        let time = self.video_stamp();
        self.advance_video();
        let left_out = match self.fault {
            Fault::AudioOnly => true,
            Fault::NoKeyFrame => sample.key,
            fault => fault.mutes(),
        };
        if left_out {
            return None;
        }
        if video.codec == VideoCodec::Mjpeg {
            return self.video.jpeg(sample.nals.first()?, time);
        }
        let in_band = match self.fault {
            Fault::SdpParamsOnly => false,
            Fault::InBandParamsOnly | Fault::ChangeResolution => true,
            // A clip that is not the SDP's cannot be decoded without.
            _ => self.parameter_sets != ParameterSets::SdpOnly || !clip.is(&self.main),
        };
        let params: &[_] = if sample.key && in_band { &video.params } else { &[] };
        let filler = self.filler(&clip, sample);
        let nals = params.iter().chain(&sample.nals).map(|nal| &nal[..]);
        let nals = nals.chain(filler.as_deref());
        Some(self.video.nals(video.codec, nals, time, sample.key))
    }

    /// The filler data NAL unit that brings a frame to its share of the bit rate.
    fn filler(&self, clip: &Clip, sample: &crate::clip::Sample) -> Option<Vec<u8>> {
        let mean = f64::from(self.bitrate?) / 8.0 / clip.fps();
        let group = clip.frames() as f64 / clip.key_frames().max(1) as f64;
        let share = mean * group / (group + KEY_WEIGHT - 1.0);
        let wanted = if sample.key { share * KEY_WEIGHT } else { share };
        let present: usize = sample.nals.iter().map(|nal| nal.len()).sum();
        let missing = (wanted as usize).saturating_sub(present).min(MAX_FILLER);
        if missing < 4 {
            return None;
        }
        let mut nal = vec![0xff; missing];
        match clip.codec() {
            VideoCodec::H265 => nal[..2].copy_from_slice(&[38 << 1, 1]),
            _ => nal[0] = 12,
        }
        nal[missing - 1] = 0x80;
        Some(nal)
    }

    fn take_audio(&mut self) -> Option<Unit> {
        let voice = self.voice.as_mut()?;
        let time = self.audio_time.wrapping_add(voice.time());
        let pictures = ticks(self.clip.video().delay) + voice.start();
        let into = pictures.as_secs_f64() - ticks(self.base).as_secs_f64();
        let frame = voice.take(into.rem_euclid(self.clip.duration().as_secs_f64()));
        if self.fault.mutes() {
            return None;
        }
        Some(match voice.source {
            Source::Aac(_) => self.audio.aac(&frame, time),
            Source::G711(_) => self.audio.g711(&frame, time),
        })
    }

    fn video_stamp(&self) -> u32 {
        let sample = &self.clip.video().samples[self.index];
        self.video_time.wrapping_add((self.base as i64 + sample.pts) as u32)
    }

    fn next_packets(&self) -> [Next; 2] {
        let audio = self.voice.as_ref().map_or(0, Voice::time);
        [
            Next { sequence: self.video.sequence, time: self.video_stamp() },
            Next { sequence: self.audio.sequence, time: self.audio_time.wrapping_add(audio) },
        ]
    }

    /// Sender reports of all tracks for this instant.
    fn reports_now(&self, now: Instant) -> [Unit; 2] {
        let since = now.saturating_duration_since(self.epoch);
        let pictures = (since.as_nanos() * u128::from(VIDEO_CLOCK) / 1_000_000_000) as u32;
        let samples = self.voice.as_ref().map_or(0, |voice| voice.samples(since) as u32);
        let wall = wall();
        [
            self.video.report(wall, self.video_time.wrapping_add(pictures)),
            self.audio.report(wall, self.audio_time.wrapping_add(samples)),
        ]
    }
}

/// The camera's time of day: for sender reports, and for whoever measures how late a frame is seen.
#[allow(clippy::disallowed_methods)]
fn wall() -> SystemTime {
    SystemTime::now()
}

/// Leaves these bits of the first two bytes of each packet.
fn mask(unit: &mut Unit, bits: [u8; 2]) {
    let mut wire = unit.wire.to_vec();
    for start in &unit.starts {
        let head = &mut wire[*start as usize + PREFIX..];
        head[0] &= bits[0];
        head[1] &= bits[1];
    }
    unit.wire = wire.into();
}

/// Damages about every third packet behind its RTP header.
fn damage(unit: &mut Unit) {
    let mut wire = unit.wire.to_vec();
    let ends = unit.starts.iter().skip(1).map(|s| *s as usize).chain([wire.len()]);
    for (start, end) in unit.starts.iter().zip(ends.collect::<Vec<_>>()) {
        let body = &mut wire[*start as usize + PREFIX + RTP_HEADER..end];
        if chance::once_in(3) {
            chance::damage(body);
        }
    }
    unit.wire = wire.into();
}
