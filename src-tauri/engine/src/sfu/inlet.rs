//! The way in of a peer connection: RTP packets off the wire, in order, for whoever reads.
//!
//! An interceptor at the application's end of the chain, like [`super::outlet`]. It unpacks repairs itself,
//! so that what was repaired is not asked for again (the crate's own generator never sees repairs), asks
//! for what is missing, and asks for a picture at most once a second. Only the first stream of each kind is
//! taken; another one takes its place when it has fallen silent.
//!
//! Invariants: a reader that does not keep up loses packets and is told so, the connection's driver never
//! waits; what the peer sends cannot make this grow beyond its named bounds.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use tokio::sync::Notify;

use super::arrivals::{Arrivals, Verdict};
use super::depacketize::Part;
use crate::media::{Codec, TrackKind};

/// How long a missing packet of the picture is waited for.
const VIDEO_PATIENCE: Duration = Duration::from_millis(400);
/// Sound is not sent again: only reordering is waited for.
const AUDIO_PATIENCE: Duration = Duration::from_millis(60);
/// A picture is asked for at most this often.
const PICTURE_EVERY: Duration = Duration::from_secs(1);
/// How soon a wish for a picture is noticed while nothing arrives.
const IDLE: Duration = Duration::from_millis(200);
/// A stream that was silent for this long makes way for another.
const SILENT: Duration = Duration::from_secs(1);
/// Packets and bytes that wait for the reader: a second of 16 Mbit/s. Beyond it all of them are dropped,
/// and the reader is told of the loss.
const QUEUE: usize = 2_048;
const QUEUE_BYTES: usize = 4 << 20;

/// A payload type that the peer may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) kind: TrackKind,
    pub(super) codec: Codec,
    pub(super) payload_type: u8,
    pub(super) repair: Option<u8>,
}

/// A packet for the reader.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) kind: TrackKind,
    pub(super) codec: Codec,
    pub(super) at: Instant,
    pub(super) part: Part,
}

/// What arrived so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) lost: u64,
    /// Packets that came again without need.
    pub(super) needless: u64,
    pub(super) repaired: u64,
    /// Packets asked for.
    pub(super) asked: u64,
    /// Pictures asked for.
    pub(super) plis: u64,
    /// When the newest packet of media came.
    pub(super) newest: Option<Instant>,
    /// The same for RTCP: the peer lives although it sends no media.
    pub(super) sign: Option<Instant>,
}

/// When a sender's clock showed which of its timestamps: NTP seconds and fractions, and RTP ticks.
pub(super) type Clocking = (u64, u32);

/// Both ends of the way. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Inlet {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The first packet came. One permit.
    arrived: Notify,
}

#[derive(Debug)]
struct State {
    expected: Vec<Expected>,
    video: Side,
    audio: Side,
    queue: VecDeque<Delivery>,
    queued: usize,
    /// Somebody reads; else packets are counted and dropped.
    reader: Option<Waker>,
    reading: bool,
    picture_wanted: bool,
    asked_picture: Option<Instant>,
    /// Passing through, our own among them.
    writes: Passing,
    reads: Passing,
    /// Sender of our RTCP.
    ssrc: u32,
    now: Instant,
    figures: Figures,
}

/// Packets between two calls of the connection's driver.
#[derive(Default)]
struct Passing(VecDeque<TaggedPacket>);

impl std::fmt::Debug for Passing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} packets", self.0.len())
    }
}

/// The stream of one kind.
#[derive(Debug)]
struct Side {
    ssrc: Option<u32>,
    heard: Option<Instant>,
    arrivals: Arrivals<(Codec, Instant, rtp::Packet)>,
    clocking: Option<Clocking>,
    /// Dropped for want of a reader in time.
    dropped: u16,
}

impl Side {
    fn new(kind: TrackKind) -> Self {
        Self { ssrc: None, heard: None, arrivals: arrivals(kind), clocking: None, dropped: 0 }
    }
}

fn arrivals(kind: TrackKind) -> Arrivals<(Codec, Instant, rtp::Packet)> {
    match kind {
        TrackKind::Video => Arrivals::new(VIDEO_PATIENCE, true),
        TrackKind::Audio => Arrivals::new(AUDIO_PATIENCE, false),
    }
}

impl Inlet {
    /// `ssrc` names us in what we send back; `now` is any instant.
    pub(super) fn new(expected: Vec<Expected>, ssrc: u32, now: Instant) -> Self {
        let state = State {
            expected,
            video: Side::new(TrackKind::Video),
            audio: Side::new(TrackKind::Audio),
            queue: VecDeque::new(),
            queued: 0,
            reader: None,
            reading: false,
            picture_wanted: false,
            asked_picture: None,
            writes: Passing::default(),
            reads: Passing::default(),
            ssrc,
            now,
            figures: Figures::default(),
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), arrived: Notify::new() }) }
    }

    /// The end that belongs into the connection's chain, before the application's.
    pub(super) fn interceptor(&self) -> impl Interceptor + 'static {
        Tap { inlet: self.clone() }
    }

    /// What the peer may send from now on, after another negotiation.
    pub(super) fn expect(&self, expected: Vec<Expected>) {
        self.state().expected = expected;
    }

    /// Whether the peer may send this kind.
    pub(super) fn expects(&self, kind: TrackKind) -> bool {
        self.state().expected.iter().any(|e| e.kind == kind)
    }

    /// The codec of a kind that the peer was asked for first.
    pub(super) fn first(&self, kind: TrackKind) -> Option<Codec> {
        self.state().expected.iter().find(|e| e.kind == kind).map(|e| e.codec)
    }

    /// Begins to read: what came before is dropped.
    pub(super) fn open(&self) {
        let mut state = self.state();
        state.queue.clear();
        state.queued = 0;
        state.video.dropped = 0;
        state.audio.dropped = 0;
        state.reading = true;
    }

    /// Nobody reads any more.
    pub(super) fn shut(&self) {
        let mut state = self.state();
        state.reading = false;
        state.reader = None;
        state.queue.clear();
        state.queued = 0;
    }

    /// The next packet. For one reader.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Delivery> {
        let mut state = self.state();
        if let Some(delivery) = state.queue.pop_front() {
            state.queued -= delivery.part.payload.len();
            return Poll::Ready(delivery);
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Asks the peer for a picture, as soon as the last request is old enough.
    pub(super) fn want_picture(&self) {
        self.state().picture_wanted = true;
    }

    /// Waits until media has come.
    pub(super) async fn arrived(&self) {
        while self.state().figures.newest.is_none() {
            self.shared.arrived.notified().await;
        }
        // For whoever waits beside us.
        self.shared.arrived.notify_one();
    }

    /// The newest report of each sender.
    pub(super) fn clocking(&self, kind: TrackKind) -> Option<Clocking> {
        let mut state = self.state();
        state.side(kind).clocking
    }

    pub(super) fn figures(&self) -> Figures {
        self.state().figures
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole after any panic: queues and counters.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn side(&mut self, kind: TrackKind) -> &mut Side {
        match kind {
            TrackKind::Video => &mut self.video,
            TrackKind::Audio => &mut self.audio,
        }
    }

    /// True for the first packet of all.
    fn receive(&mut self, now: Instant, mut packet: rtp::Packet) -> bool {
        let payload_type = packet.header.payload_type;
        let found = self.expected.iter().find_map(|e| {
            let repair = e.repair == Some(payload_type);
            (repair || e.payload_type == payload_type).then_some((*e, repair))
        });
        let Some((expected, repair)) = found else { return false };
        let mut sequence = packet.header.sequence_number;
        if repair {
            // RFC 4588: the number of the packet that is sent again stands before its payload.
            let Some(original) = packet.payload.first_chunk::<2>() else { return false };
            sequence = u16::from_be_bytes(*original);
            packet.payload = packet.payload.slice(2..);
        }
        let ssrc = packet.header.ssrc;
        let side = self.side(expected.kind);
        if !repair {
            if side.ssrc != Some(ssrc) {
                if side.heard.is_some_and(|heard| now.saturating_duration_since(heard) < SILENT) {
                    return false;
                }
                // Where another stream was before, what follows has nothing to do with it.
                let dropped = u16::from(side.ssrc.is_some());
                *side = Side { ssrc: Some(ssrc), dropped, ..Side::new(expected.kind) };
            }
            side.heard = Some(now);
        }
        let bytes = packet.payload.len() as u64;
        let verdict = side.arrivals.insert(now, sequence, repair, (expected.codec, now, packet));
        self.figures.bytes += bytes;
        match verdict {
            Verdict::Needless => self.figures.needless += 1,
            Verdict::Taken => {
                self.figures.packets += 1;
                self.figures.repaired += u64::from(repair);
            }
        }
        if !repair && bytes > 0 {
            return self.figures.newest.replace(now).is_none();
        }
        false
    }

    /// Moves what is in order to the reader.
    fn deliver(&mut self, now: Instant) {
        for kind in [TrackKind::Video, TrackKind::Audio] {
            while let Some(arrived) = self.side(kind).arrivals.pop(now) {
                let (codec, at, packet) = arrived.item;
                self.figures.lost += u64::from(arrived.lost);
                let side = self.side(kind);
                let lost = arrived.lost.saturating_add(std::mem::take(&mut side.dropped));
                if !self.reading {
                    self.side(kind).dropped = 1;
                    continue;
                }
                if self.queue.len() >= QUEUE || self.queued >= QUEUE_BYTES {
                    self.queue.clear();
                    self.queued = 0;
                    self.video.dropped = 1;
                    self.audio.dropped = 1;
                    continue;
                }
                self.queued += packet.payload.len();
                let part = Part {
                    timestamp: packet.header.timestamp,
                    marker: packet.header.marker,
                    lost,
                    payload: packet.payload,
                };
                self.queue.push_back(Delivery { kind, codec, at, part });
            }
        }
        if !self.queue.is_empty()
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }

    /// Says to the peer what is due.
    fn ask(&mut self, now: Instant) {
        let Some(media_ssrc) = self.video.ssrc else { return };
        let wanted = self.video.arrivals.wanted(now);
        if !wanted.is_empty() {
            self.figures.asked += wanted.len() as u64;
            let nacks = nack_pairs_from_sequence_numbers(&wanted);
            let nack = TransportLayerNack { sender_ssrc: self.ssrc, media_ssrc, nacks };
            self.write(now, Box::new(nack));
        }
        let rested = self.asked_picture.is_none_or(|at| now.saturating_duration_since(at) >= PICTURE_EVERY);
        if self.picture_wanted && rested {
            self.picture_wanted = false;
            self.asked_picture = Some(now);
            self.figures.plis += 1;
            self.write(now, Box::new(PictureLossIndication { sender_ssrc: self.ssrc, media_ssrc }));
        }
    }

    fn write(&mut self, now: Instant, packet: Box<dyn rtc::rtcp::Packet>) {
        let message = AttributedPacket::new(Packet::Rtcp(vec![packet]));
        self.writes.0.push_back(TaggedPacket { now, transport: TransportContext::default(), message });
    }

    fn report(&mut self, report: &SenderReport) {
        for side in [&mut self.video, &mut self.audio] {
            if side.ssrc == Some(report.ssrc) {
                side.clocking = Some((report.ntp_time, report.rtp_time));
            }
        }
    }
}

/// The connection's end.
struct Tap {
    inlet: Inlet,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = rtc::shared::error::Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Self::Error> {
        let mut state = self.inlet.state();
        let now = state.now.max(message.now);
        state.now = now;
        let first = match message.message.packet {
            Packet::Rtp(packet) => {
                let first = state.receive(now, packet);
                state.deliver(now);
                first
            }
            Packet::Rtcp(ref packets) => {
                state.figures.sign = Some(now);
                for packet in packets {
                    if let Some(report) = packet.as_any().downcast_ref::<SenderReport>() {
                        state.report(report);
                    }
                }
                state.reads.0.push_back(message);
                false
            }
            _ => false,
        };
        drop(state);
        if first {
            self.inlet.shared.arrived.notify_one();
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inlet.state().reads.0.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Self::Error> {
        self.inlet.state().writes.0.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        let mut state = self.inlet.state();
        let now = state.now;
        state.ask(now);
        state.writes.0.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Self::Error> {
        let mut state = self.inlet.state();
        let now = state.now.max(now);
        state.now = now;
        state.deliver(now);
        state.ask(now);
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let state = self.inlet.state();
        let gaps = [&state.video, &state.audio].into_iter().filter_map(|side| side.arrivals.deadline());
        gaps.chain([state.now + IDLE]).min()
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}
