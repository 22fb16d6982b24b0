use rtc::interceptor::RTPHeaderExtension;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;

use super::*;

const WALL: Duration = Duration::from_secs(1_000);

/// An outlet with both streams bound, and the connection's end of it.
struct Bench {
    outlet: Outlet,
    tap: Tap,
    now: Instant,
}

fn bench() -> Bench {
    let now = tokio::time::Instant::now().into_std();
    let outlet = Outlet::new(WALL, now);
    let start = Start { timestamp: u32::MAX - 100, sequence: u16::MAX - 2 };
    let mut tap = Tap { outlet: outlet.clone(), video: start, audio: start };
    let uri = PLAYOUT_DELAY_URI.to_owned();
    tap.bind_local_stream(&StreamInfo {
        ssrc: 1,
        ssrc_rtx: Some(2),
        payload_type: 102,
        payload_type_rtx: Some(103),
        clock_rate: 90_000,
        mime_type: "video/H264".to_owned(),
        rtp_header_extensions: vec![RTPHeaderExtension { uri, id: 5 }],
        ..StreamInfo::default()
    });
    tap.bind_local_stream(&StreamInfo {
        ssrc: 3,
        payload_type: 111,
        clock_rate: 48_000,
        mime_type: "audio/opus".to_owned(),
        ..StreamInfo::default()
    });
    Bench { outlet, tap, now }
}

impl Bench {
    /// Sends a frame of packets that hold their index, in bursts of two.
    fn send(&mut self, kind: TrackKind, at: i64, packets: u8, key: bool) -> Vec<Packet> {
        let packets: Packets = (0..packets).map(|n| Bytes::from(vec![n; 10])).collect();
        let mut sent = Vec::new();
        for from in (0..packets.len()).step_by(2) {
            let part = from..packets.len().min(from + 2);
            let route = match kind {
                TrackKind::Video => Route { payload_type: 102, repair: Some(103), clock_rate: 90_000 },
                TrackKind::Audio => Route { payload_type: 111, repair: None, clock_rate: 48_000 },
            };
            self.outlet.push(Burst { kind, route, at, packets: Arc::clone(&packets), part, key });
            assert!(self.tap.poll_write().is_none(), "nothing leaves before the driver is woken");
            let wake = AttributedPacket::new(Packet::Rtcp(Vec::new()));
            let (now, transport) = (self.now, TransportContext::default());
            self.tap.handle_write(TaggedPacket { now, transport, message: wake }).expect("taken");
            sent.extend(self.leaving());
        }
        sent
    }

    fn leaving(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| self.tap.poll_write()).map(|packet| packet.message.packet).collect()
    }

    fn receive(&mut self, packet: impl rtc::rtcp::Packet + 'static) {
        let message = AttributedPacket::new(Packet::Rtcp(vec![Box::new(packet)]));
        let (now, transport) = (self.now, TransportContext::default());
        self.tap.handle_read(TaggedPacket { now, transport, message }).expect("taken");
        assert!(self.tap.poll_read().is_none(), "nothing reaches the application");
    }

    fn ask_again(&mut self, media_ssrc: u32, nacks: Vec<NackPair>) -> Vec<rtp::Packet> {
        self.receive(TransportLayerNack { sender_ssrc: 9, media_ssrc, nacks });
        media(self.leaving())
    }
}

fn media(packets: Vec<Packet>) -> Vec<rtp::Packet> {
    let media = packets.into_iter().filter_map(|packet| match packet {
        Packet::Rtp(packet) => Some(packet),
        _ => None,
    });
    media.collect()
}

fn reports(packets: &[Packet]) -> Vec<SenderReport> {
    let lists = packets.iter().filter_map(|packet| match packet {
        Packet::Rtcp(list) => Some(list),
        _ => None,
    });
    lists.flatten().filter_map(|packet| packet.as_any().downcast_ref().cloned()).collect()
}

#[test]
fn numbers_have_no_hole_and_each_stream_its_own() {
    let mut bench = bench();
    let mut packets = media(bench.send(TrackKind::Video, 0, 3, true));
    packets.extend(media(bench.send(TrackKind::Audio, 0, 1, false)));
    packets.extend(media(bench.send(TrackKind::Video, 40_000_000, 2, false)));
    let seen: Vec<_> =
        packets.iter().map(|p| (p.header.ssrc, p.header.sequence_number, p.header.marker)).collect();
    assert_eq!(
        seen,
        [
            (1, 65_533, false),
            (1, 65_534, false),
            (1, 65_535, true),
            (3, 65_533, true),
            (1, 0, false),
            (1, 1, true)
        ]
    );
    let times: Vec<u32> = packets.iter().map(|p| p.header.timestamp.wrapping_add(101)).collect();
    assert_eq!(times, [0, 0, 0, 0, 3_600, 3_600]);
    // The wish for a short buffer goes with the first packet of a key frame.
    let wishes: Vec<bool> = packets.iter().map(|p| p.header.get_extension(5).is_some()).collect();
    assert_eq!(wishes, [true, false, false, false, false, false]);
}

#[test]
fn a_burst_that_was_never_announced_holds_up_no_other() {
    let mut bench = bench();
    let route = Route { payload_type: 102, repair: Some(103), clock_rate: 90_000 };
    let packets: Packets = [Bytes::from_static(b"cut off")].into();
    bench.outlet.push(Burst { kind: TrackKind::Video, route, at: 0, packets, part: 0..1, key: true });
    bench.outlet.announce_all();
    assert_eq!(media(bench.leaving()).len(), 1);
    assert_eq!(media(bench.send(TrackKind::Video, 40_000_000, 2, false)).len(), 2);
    assert_eq!(bench.outlet.in_hand(), 0);
}

#[test]
fn a_repair_is_the_packet_in_the_repair_stream() {
    let mut bench = bench();
    let sent = media(bench.send(TrackKind::Video, 0, 5, true));
    // The third and, by the bitmap, the fifth; the bit between asks for nothing.
    let pair = NackPair { packet_id: sent[2].header.sequence_number, lost_packets: 0b10 };
    let repairs = bench.ask_again(1, vec![pair]);
    assert_eq!(repairs.len(), 2);
    for (repair, original) in repairs.iter().zip([&sent[2], &sent[4]]) {
        assert_eq!((repair.header.ssrc, repair.header.payload_type), (2, 103));
        assert_eq!(repair.header.timestamp, original.header.timestamp);
        assert_eq!(repair.header.marker, original.header.marker);
        assert_eq!(repair.payload[..2], original.header.sequence_number.to_be_bytes());
        assert_eq!(repair.payload[2..], original.payload[..]);
    }
    assert_eq!(repairs[1].header.sequence_number, repairs[0].header.sequence_number.wrapping_add(1));
    // What is not ours, not yet sent, or too old is passed over.
    let next = sent[4].header.sequence_number.wrapping_add(1);
    assert!(bench.ask_again(1, vec![NackPair { packet_id: next, lost_packets: 0 }]).is_empty());
    assert!(bench.ask_again(77, vec![pair]).is_empty());
    bench.now += HISTORY * 2;
    bench.send(TrackKind::Video, 40_000_000, 1, false);
    assert!(bench.ask_again(1, vec![pair]).is_empty());
    assert_eq!(bench.outlet.figures().repaired, 2);
}

#[test]
fn a_receiver_that_asks_for_everything_for_ever_gets_its_share() {
    let mut bench = bench();
    let sent = media(bench.send(TrackKind::Video, 0, 100, true));
    let first = sent[0].header.sequence_number;
    let all: Vec<NackPair> = (0..100u16)
        .step_by(17)
        .map(|n| NackPair { packet_id: first.wrapping_add(n), lost_packets: u16::MAX })
        .collect();
    let repaired: usize = (0..200).map(|_| bench.ask_again(1, all.clone()).len()).sum();
    assert!(repaired <= REPAIR_CREDIT as usize, "{repaired}");
}

#[test]
fn reports_tell_one_clock_for_picture_and_sound() {
    let mut bench = bench();
    let at = 5_000_000_000;
    let mut packets = bench.send(TrackKind::Video, at, 3, true);
    packets.extend(bench.send(TrackKind::Audio, at, 1, false));
    let first = reports(&packets);
    let seen: Vec<_> = first
        .iter()
        .map(|r| (r.ssrc, r.ntp_time >> 32, r.rtp_time.wrapping_add(101), r.packet_count))
        .collect();
    let seconds = WALL.as_secs() + NTP_EPOCH + 5;
    assert_eq!(seen, [(1, seconds, 450_000, 2), (3, seconds, 240_000, 1)]);
    // Not with every frame.
    bench.now += Duration::from_millis(40);
    assert!(reports(&bench.send(TrackKind::Video, at + 40_000_000, 1, false)).is_empty());
    // The receiver's answer, 30 ms on the way after half a second of its own.
    bench.now += Duration::from_millis(490);
    let report = ReceptionReport {
        ssrc: 1,
        fraction_lost: 64,
        total_lost: 7,
        last_sender_report: middle(first[0].ntp_time),
        delay: 1 << 15,
        ..ReceptionReport::default()
    };
    bench.receive(ReceiverReport { ssrc: 9, reports: vec![report], ..ReceiverReport::default() });
    let figures = bench.outlet.figures();
    assert_eq!((figures.rtt, figures.loss, figures.lost), (Some(Duration::from_millis(30)), Some(0.25), 7));
}

#[tokio::test]
async fn a_request_for_a_picture_is_heard() {
    let mut bench = bench();
    bench.receive(PictureLossIndication { sender_ssrc: 9, media_ssrc: 1 });
    bench.outlet.picture_wanted().await;
    bench.receive(FullIntraRequest { sender_ssrc: 9, media_ssrc: 1, fir: Vec::new() });
    bench.outlet.picture_wanted().await;
    assert_eq!(bench.outlet.figures().plis, 2);
}
