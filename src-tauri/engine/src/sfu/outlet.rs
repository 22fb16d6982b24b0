//! The way out of a peer connection: frames in, RTP packets on the wire.
//!
//! It is an interceptor at the application's end of the chain and does the work of the usual five. A
//! burst of packets enters by one event of the connection's driver and leaves as a run of equal
//! datagrams, which the driver hands to the kernel in few calls. It numbers packets, answers NACKs from the frames
//! themselves (a history costs a few bytes a frame, the payloads being shared by all viewers), writes
//! sender reports from the viewer's own clock, and listens to what the receiver reports.
//!
//! Invariants: the sequence numbers of a stream have no hole; what the peer sends never reaches the
//! application and never makes this grow: history, repairs and reports are bounded.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use tokio::sync::Notify;

use crate::media::{Packets, TrackKind};

/// How long a frame can be asked for again: a repair that comes after the playout delay is for nobody.
const HISTORY: Duration = Duration::from_secs(1);
/// And how many frames: enough for 60 pictures and 50 packets of sound a second, and for the cache sent
/// at the start. The oldest are forgotten first.
const HISTORY_FRAMES: usize = 512;
/// Repairs waiting to leave. A receiver that asks for more gets the first ones.
const REPAIRS: usize = 512;
/// Share of repairs a receiver may ask for: one for every two packets sent, and this many at once.
const REPAIR_CREDIT: u32 = 1_024;
/// Sender reports whose answers are awaited.
const REPORTS: usize = 8;
/// From one sender report to the next.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// Minimum and maximum delay of the playout, in steps of 10 ms: the least there is, up to 0.5 s for
/// repairs. See <https://webrtc.googlesource.com/src/+/main/docs/native-code/rtp-hdrext/playout-delay>.
const PLAYOUT_DELAY: [u8; 3] = [0, 0, 50];

/// The header extension that keeps a browser's buffer short.
pub(super) const PLAYOUT_DELAY_URI: &str = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

/// Seconds from 1900 to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;

/// How a codec was negotiated. A stream may go from one to another: the receiver goes by the payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) payload_type: u8,
    /// Payload type of repairs.
    pub(super) repair: Option<u8>,
    pub(super) clock_rate: u32,
}

/// A part of a frame, ready to leave.
#[derive(Debug)]
pub(super) struct Burst {
    pub(super) kind: TrackKind,
    pub(super) route: Route,
    /// The viewer's clock, in nanoseconds.
    pub(super) at: i64,
    pub(super) packets: Packets,
    /// Which of `packets`.
    pub(super) part: Range<usize>,
    /// The frame is a key frame.
    pub(super) key: bool,
}

/// Both ends of the way: the viewer pushes, the connection's driver pulls. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// A picture is asked for. One permit: many requests are one.
    picture_wanted: Notify,
    /// The queue became empty. One permit.
    drained: Notify,
}

#[derive(Debug)]
struct State {
    /// Bursts, the packet of the first that leaves next, and how many may leave: one for each time the
    /// driver was woken, so that its queues stay as short as a burst.
    queue: VecDeque<Burst>,
    next: Option<usize>,
    allowed: usize,
    video: Option<Stream>,
    audio: Option<Stream>,
    repairs: VecDeque<rtp::Packet>,
    repair_credit: u32,
    reports: VecDeque<SenderReport>,
    awaited: VecDeque<(u32, Instant)>,
    /// Wall clock at the zero of the viewer's clock, since 1970.
    wall: Duration,
    now: Instant,
    figures: Figures,
}

/// One direction of media, as negotiated.
#[derive(Debug)]
struct Stream {
    ssrc: u32,
    repair_ssrc: Option<u32>,
    playout_delay: Option<u8>,
    base: u32,
    sequence: u16,
    repair_sequence: u16,
    packets: u32,
    octets: u32,
    reported: Option<Instant>,
    history: VecDeque<Sent>,
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    route: Route,
    first: u16,
    timestamp: u32,
    packets: Packets,
    part: Range<usize>,
}

/// What was sent and what the receiver says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) nacks: u64,
    pub(super) repaired: u64,
    pub(super) plis: u64,
    pub(super) rtt: Option<Duration>,
    /// Share of packets lost between the two newest reports.
    pub(super) loss: Option<f32>,
    pub(super) lost: u32,
}

/// Where numbers start, unpredictable by the standard's wish.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) timestamp: u32,
    pub(super) sequence: u16,
}

impl Outlet {
    /// `wall` is the time of day at the zero of the viewer's clock, counted from 1970; `now` any instant.
    pub(super) fn new(wall: Duration, now: Instant) -> Self {
        let state = State {
            queue: VecDeque::new(),
            next: None,
            allowed: 0,
            video: None,
            audio: None,
            repairs: VecDeque::new(),
            repair_credit: REPAIR_CREDIT,
            reports: VecDeque::new(),
            awaited: VecDeque::new(),
            wall,
            now,
            figures: Figures::default(),
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                picture_wanted: Notify::new(),
                drained: Notify::new(),
            }),
        }
    }

    /// The end that belongs into the connection's chain, at the slot nearest to the application.
    pub(super) fn interceptor(&self, video: Start, audio: Start) -> impl Interceptor + 'static {
        Tap { outlet: self.clone(), video, audio }
    }

    /// Hands a burst to the driver, which must be woken for it by an empty RTCP packet.
    pub(super) fn push(&self, burst: Burst) {
        self.state().queue.push_back(burst);
    }

    /// Lets the driver have what was pushed and never announced: whoever did so was cut off in between.
    pub(super) fn announce_all(&self) {
        let mut state = self.state();
        state.allowed = state.allowed.max(state.queue.len());
    }

    /// Waits until the driver took everything. Only its own user may wait.
    pub(super) async fn drained(&self) {
        loop {
            if self.state().queue.is_empty() {
                return;
            }
            self.shared.drained.notified().await;
        }
    }

    /// Waits until the receiver asks for a picture.
    pub(super) async fn picture_wanted(&self) {
        self.shared.picture_wanted.notified().await;
    }

    /// Bursts that the driver has yet to take.
    pub(super) fn in_hand(&self) -> usize {
        self.state().queue.len()
    }

    pub(super) fn figures(&self) -> Figures {
        self.state().figures
    }

    /// Whether the kind was negotiated and bound.
    pub(super) fn carries(&self, kind: TrackKind) -> bool {
        self.state().stream(kind).is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole after any panic: queues and counters.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn stream(&mut self, kind: TrackKind) -> Option<&mut Stream> {
        match kind {
            TrackKind::Video => self.video.as_mut(),
            TrackKind::Audio => self.audio.as_mut(),
        }
    }

    /// The next packet on its way to the wire: reports, then repairs, then media.
    fn next(&mut self) -> Option<Packet> {
        if let Some(report) = self.reports.pop_front() {
            return Some(Packet::Rtcp(vec![Box::new(report)]));
        }
        if let Some(repair) = self.repairs.pop_front() {
            self.figures.repaired += 1;
            self.figures.bytes += repair.payload.len() as u64;
            return Some(Packet::Rtp(repair));
        }
        self.media().map(Packet::Rtp)
    }

    fn media(&mut self) -> Option<rtp::Packet> {
        loop {
            let burst = self.queue.front()?;
            if self.allowed == 0 {
                return None;
            }
            let stream = match burst.kind {
                TrackKind::Video => self.video.as_mut(),
                TrackKind::Audio => self.audio.as_mut(),
            };
            let index = self.next.unwrap_or(burst.part.start);
            let (Some(stream), true) = (stream, index < burst.part.end) else {
                self.next = None;
                self.queue.pop_front();
                self.allowed -= 1;
                continue;
            };
            let timestamp = stream.timestamp(burst.at, burst.route);
            if self.next.is_none() {
                stream.remember(self.now, timestamp, burst);
            }
            let payload = burst.packets[index].clone();
            let marker = index + 1 == burst.packets.len();
            let mut header = stream.header(timestamp, burst.route, marker);
            if let (true, 0, Some(id)) = (burst.key, index, stream.playout_delay) {
                // Id and length in one byte, three of value: never refused.
                let _ = header.set_extension(id, Bytes::from_static(&PLAYOUT_DELAY));
            }
            stream.count(payload.len());
            self.figures.packets += 1;
            self.figures.bytes += payload.len() as u64;
            let credit = u32::from(header.sequence_number & 1);
            self.repair_credit = (self.repair_credit + credit).min(REPAIR_CREDIT);
            self.next = Some(index + 1);
            if index + 1 == burst.part.end {
                if let Some(report) = stream.report(burst.at, burst.route, self.wall, self.now) {
                    if self.awaited.len() == REPORTS {
                        self.awaited.pop_front();
                    }
                    self.awaited.push_back((middle(report.ntp_time), self.now));
                    self.reports.push_back(report);
                }
                self.next = None;
                self.queue.pop_front();
                self.allowed -= 1;
            }
            return Some(rtp::Packet { header, payload });
        }
    }

    fn repair(&mut self, nack: &TransportLayerNack) {
        self.figures.nacks += 1;
        let streams = [self.video.as_mut(), self.audio.as_mut()];
        let Some(stream) = streams.into_iter().flatten().find(|s| s.ssrc == nack.media_ssrc) else { return };
        for pair in &nack.nacks {
            let bits = (0..16).filter(|bit| pair.lost_packets >> bit & 1 == 1).map(|bit| bit + 1);
            for offset in std::iter::once(0).chain(bits) {
                if self.repair_credit == 0 || self.repairs.len() == REPAIRS {
                    return;
                }
                if let Some(packet) = stream.again(pair.packet_id.wrapping_add(offset)) {
                    self.repair_credit -= 1;
                    self.repairs.push_back(packet);
                }
            }
        }
    }

    fn received(&mut self, report: &ReceptionReport) {
        if self.video.as_ref().or(self.audio.as_ref()).is_none_or(|s| s.ssrc != report.ssrc) {
            return;
        }
        self.figures.loss = Some(f32::from(report.fraction_lost) / 256.0);
        self.figures.lost = report.total_lost;
        let sent = self.awaited.iter().find(|(ntp, _)| *ntp == report.last_sender_report);
        if let (Some((_, sent)), true) = (sent, report.last_sender_report != 0) {
            let held = Duration::from_nanos((u64::from(report.delay) * 1_000_000_000) >> 16);
            self.figures.rtt = Some(self.now.saturating_duration_since(*sent).saturating_sub(held));
        }
    }
}

impl Stream {
    fn new(info: &StreamInfo, start: Start) -> Self {
        let extension = info.rtp_header_extensions.iter().find(|e| e.uri == PLAYOUT_DELAY_URI);
        Self {
            ssrc: info.ssrc,
            repair_ssrc: info.ssrc_rtx,
            // Ids above 14 would need another form of the extension.
            playout_delay: extension.and_then(|e| u8::try_from(e.id).ok()).filter(|id| (1..15).contains(id)),
            base: start.timestamp,
            sequence: start.sequence,
            repair_sequence: start.sequence,
            packets: 0,
            octets: 0,
            reported: None,
            history: VecDeque::new(),
        }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "timestamps wrap")]
    fn timestamp(&self, nanos: i64, route: Route) -> u32 {
        let ticks = i128::from(nanos) * i128::from(route.clock_rate) / 1_000_000_000;
        self.base.wrapping_add(ticks as u32)
    }

    fn header(&mut self, timestamp: u32, route: Route, marker: bool) -> rtp::Header {
        let sequence_number = self.sequence;
        self.sequence = sequence_number.wrapping_add(1);
        rtp::Header {
            version: 2,
            marker,
            payload_type: route.payload_type,
            sequence_number,
            timestamp,
            ssrc: self.ssrc,
            ..rtp::Header::default()
        }
    }

    fn count(&mut self, payload: usize) {
        self.packets = self.packets.wrapping_add(1);
        #[allow(clippy::cast_possible_truncation, reason = "the count wraps")]
        let octets = payload as u32;
        self.octets = self.octets.wrapping_add(octets);
    }

    /// Called before the first packet of each burst.
    fn remember(&mut self, now: Instant, timestamp: u32, burst: &Burst) {
        while let Some(oldest) = self.history.front() {
            let old = now.saturating_duration_since(oldest.at) > HISTORY;
            if !old && self.history.len() < HISTORY_FRAMES {
                break;
            }
            self.history.pop_front();
        }
        // The parts of a frame follow one another: one entry tells them all.
        if let Some(newest) = self.history.back_mut()
            && Arc::ptr_eq(&newest.packets, &burst.packets)
            && newest.part.end == burst.part.start
        {
            newest.part.end = burst.part.end;
            return;
        }
        let (packets, part) = (Arc::clone(&burst.packets), burst.part.clone());
        let (route, first) = (burst.route, self.sequence);
        self.history.push_back(Sent { at: now, route, first, timestamp, packets, part });
    }

    fn again(&mut self, sequence: u16) -> Option<rtp::Packet> {
        let behind = |sent: &Sent| usize::from(sequence.wrapping_sub(sent.first));
        let sent = self.history.iter().rev().find(|sent| behind(sent) < sent.part.len())?;
        if self.sequence.wrapping_sub(sequence).wrapping_sub(1) >= 1 << 15 {
            // It has yet to be sent: the newest burst may be partly on its way.
            return None;
        }
        let index = sent.part.start + behind(sent);
        let payload = &sent.packets[index];
        let mut header = rtp::Header {
            version: 2,
            marker: index + 1 == sent.packets.len(),
            payload_type: sent.route.payload_type,
            sequence_number: sequence,
            timestamp: sent.timestamp,
            ssrc: self.ssrc,
            ..rtp::Header::default()
        };
        let Some((ssrc, payload_type)) = self.repair_ssrc.zip(sent.route.repair) else {
            return Some(rtp::Packet { header, payload: payload.clone() });
        };
        // RFC 4588: its own stream and numbers; the original number goes before the payload.
        header.ssrc = ssrc;
        header.payload_type = payload_type;
        header.sequence_number = self.repair_sequence;
        self.repair_sequence = self.repair_sequence.wrapping_add(1);
        let mut repair = BytesMut::with_capacity(2 + payload.len());
        repair.put_u16(sequence);
        repair.put_slice(payload);
        Some(rtp::Packet { header, payload: repair.freeze() })
    }

    /// A sender report where one is due. Its two times are the same instant of the viewer's clock, which
    /// picture and sound share.
    fn report(&mut self, at: i64, route: Route, wall: Duration, now: Instant) -> Option<SenderReport> {
        if self.reported.is_some_and(|before| now.saturating_duration_since(before) < REPORT_EVERY) {
            return None;
        }
        self.reported = Some(now);
        let wall = wall.saturating_add(Duration::from_nanos(u64::try_from(at).unwrap_or(0)));
        Some(SenderReport {
            ssrc: self.ssrc,
            ntp_time: ntp(wall),
            rtp_time: self.timestamp(at, route),
            packet_count: self.packets,
            octet_count: self.octets,
            ..SenderReport::default()
        })
    }
}

fn ntp(since_1970: Duration) -> u64 {
    let seconds = since_1970.as_secs().wrapping_add(NTP_EPOCH);
    (seconds << 32) | ((u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000)
}

#[allow(clippy::cast_possible_truncation, reason = "the middle 32 bits are wanted")]
fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// The connection's end.
struct Tap {
    outlet: Outlet,
    video: Start,
    audio: Start,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = rtc::shared::error::Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Self::Error> {
        // A viewer sends no media; its RTCP ends here.
        let Packet::Rtcp(packets) = &message.message.packet else { return Ok(()) };
        let mut state = self.outlet.state();
        state.now = state.now.max(message.now);
        let mut wanted = false;
        for packet in packets {
            let packet = packet.as_any();
            if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
                state.repair(nack);
            } else if packet.is::<PictureLossIndication>() || packet.is::<FullIntraRequest>() {
                state.figures.plis += 1;
                wanted = true;
            } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
                report.reports.iter().for_each(|report| state.received(report));
            } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
                report.reports.iter().for_each(|report| state.received(report));
            }
        }
        drop(state);
        if wanted {
            self.outlet.shared.picture_wanted.notify_one();
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        None
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Self::Error> {
        // All that comes from the application is the empty packet that wakes the driver.
        let mut state = self.outlet.state();
        state.now = state.now.max(message.now);
        state.allowed += 1;
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        let mut state = self.outlet.state();
        let Some(packet) = state.next() else {
            let drained = state.queue.is_empty();
            drop(state);
            if drained {
                self.outlet.shared.drained.notify_one();
            }
            return None;
        };
        let now = state.now;
        Some(TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(packet),
        })
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        let mut state = self.outlet.state();
        if info.mime_type.starts_with("video/") {
            state.video = Some(Stream::new(info, self.video));
        } else {
            state.audio = Some(Stream::new(info, self.audio));
        }
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        let mut state = self.outlet.state();
        for stream in [TrackKind::Video, TrackKind::Audio] {
            if state.stream(stream).is_some_and(|s| s.ssrc == info.ssrc) {
                match stream {
                    TrackKind::Video => state.video = None,
                    TrackKind::Audio => state.audio = None,
                }
            }
        }
    }

    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

#[cfg(test)]
mod tests;
