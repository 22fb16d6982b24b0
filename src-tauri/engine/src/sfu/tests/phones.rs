//! A phone made of the same crates: what it publishes comes out as frames, and reaches those in its room.

use rtc::interceptor::{AttributedPacket, Interceptor, Packet, TaggedPacket};
use rtc::rtcp::sender_report::SenderReport;
use rtc::shared::TransportContext;

use super::super::inlet::{Expected, Inlet};
use super::*;
use crate::source::{Session, SessionEvent, Source};

const SSRC: u32 = 77;
const PT: u8 = 125;
const REPAIR_PT: u8 = 105;
/// Of a real encoder: the parser wants to read it.
const REAL_SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00,
    0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x24, 0x80,
];

/// The driver's side of a connection that publishes H.264 with repairs.
struct Wire {
    publication: Publication,
    tap: Box<dyn Interceptor>,
    sequence: u16,
}

impl Wire {
    fn new() -> Self {
        let expected = Expected {
            kind: TrackKind::Video,
            codec: Codec::H264,
            payload_type: PT,
            repair: Some(REPAIR_PT),
        };
        let inlet = Inlet::new(vec![expected], 1, Instant::now().into_std());
        let (_, state) = watch::channel(ViewerState::Connected);
        let (id, over) = (Uuid::nil(), CancellationToken::new());
        let tap = Box::new(inlet.interceptor());
        Self { publication: Publication { id, inlet, state, over }, tap, sequence: 1_000 }
    }

    fn takes(&mut self, packet: Packet) {
        let (now, transport) = (Instant::now().into_std(), TransportContext::default());
        let message = AttributedPacket::new(packet);
        self.tap.handle_read(TaggedPacket { now, transport, message }).expect("taken");
    }

    /// The packets of a picture.
    fn packets(&mut self, n: i64, key: bool) -> Vec<rtp::Packet> {
        let frame = picture(n, key, 3_000);
        let mut track = h264(REAL_SPS);
        if let Parameters::H264 { pps, .. } = &mut track.parameters {
            *pps = Bytes::from_static(&[0x68, 0xcb, 0x83, 0xcb, 0x20]);
        }
        let payloads = packetize::packets(&track, &frame);
        let packets = payloads.iter().enumerate().map(|(i, payload)| {
            let header = rtp::Header {
                version: 2,
                marker: i + 1 == payloads.len(),
                payload_type: PT,
                sequence_number: self.sequence.wrapping_add(u16::try_from(i).expect("few")),
                timestamp: u32::try_from(n * 3_600).expect("small"),
                ssrc: SSRC,
                ..rtp::Header::default()
            };
            rtp::Packet { header, payload: payload.clone() }
        });
        let packets: Vec<rtp::Packet> = packets.collect();
        self.sequence = self.sequence.wrapping_add(u16::try_from(packets.len()).expect("few"));
        packets
    }

    fn send(&mut self, n: i64, key: bool) {
        for packet in self.packets(n, key) {
            self.takes(Packet::Rtp(packet));
        }
    }

    /// What was said to the peer: packets asked for, and pictures.
    fn said(&mut self) -> (Vec<u16>, usize) {
        self.tap.handle_timeout(Instant::now().into_std()).expect("handled");
        let (mut asked, mut pictures) = (Vec::new(), 0);
        while let Some(packet) = self.tap.poll_write() {
            let Packet::Rtcp(packets) = packet.message.packet else { continue };
            for packet in packets {
                if let Some(nack) = packet.as_any().downcast_ref::<TransportLayerNack>() {
                    asked.extend(nack.nacks.iter().flat_map(NackPair::packet_list));
                }
                pictures += usize::from(packet.as_any().is::<PictureLossIndication>());
            }
        }
        (asked, pictures)
    }
}

fn number(frame: &Frame) -> i64 {
    i64::from_be_bytes(frame.data[5..13].try_into().expect("a number"))
}

/// What the session tells without waiting.
async fn told(session: &mut dyn Session) -> Vec<SessionEvent> {
    let mut events = Vec::new();
    loop {
        let next = std::future::poll_fn(|cx| session.poll_next(cx));
        match next.now_or_never() {
            Some(event) => events.push(event.expect("alive")),
            None => return events,
        }
    }
}

async fn numbers(session: &mut dyn Session) -> Vec<(i64, bool)> {
    let events = told(session).await;
    let frames = events.iter().map(|event| match event {
        SessionEvent::Frame(frame) => (number(frame), frame.key),
        other => unreachable!("{other:?}"),
    });
    frames.collect()
}

/// A source that reads `wire`, opened with the picture 0.
async fn opened(feed: &Feed, wire: &mut Wire) -> Box<dyn Session> {
    let mut source = PhoneSource::new(feed.clone(), Env::system());
    let opening = source.open();
    tokio::pin!(opening);
    assert!(opening.as_mut().now_or_never().is_none(), "there is nothing yet");
    feed.set(Some(wire.publication.clone()));
    assert!(opening.as_mut().now_or_never().is_none(), "it begins to read");
    wire.send(0, true);
    opening.await.expect("it never fails")
}

fn nothing() -> CallOptions {
    CallOptions { room: "r".to_owned(), show: watch::channel(None).1, publish: true, trickle: true }
}

#[tokio::test(start_paused = true)]
async fn r_p1_what_a_phone_publishes_comes_out_as_frames_and_goes_on_with_its_next_connection() {
    let (feed, mut wire) = (Feed::default(), Wire::new());
    let mut session = opened(&feed, &mut wire).await;
    let tracks = session.tracks();
    assert_eq!((tracks.len(), tracks[0].codec, tracks[0].dimensions()), (1, Codec::H264, Some((1280, 720))));
    wire.send(1, false);
    wire.send(2, false);
    assert_eq!(numbers(&mut *session).await, [(0, true), (1, false), (2, false)]);

    // A new connection of the same phone: nothing is told but frames, from a key frame on.
    tokio::time::advance(Duration::from_secs(4)).await;
    let mut again = Wire::new();
    again.publication.id = Uuid::max();
    feed.set(Some(again.publication.clone()));
    assert!(told(&mut *session).await.is_empty());
    again.send(7, false);
    again.send(8, true);
    again.send(9, false);
    let events = told(&mut *session).await;
    let frames: Vec<&Frame> = events
        .iter()
        .map(|event| match event {
            SessionEvent::Frame(frame) => frame,
            other => unreachable!("{other:?}"),
        })
        .collect();
    assert_eq!(frames.iter().map(|f| (number(f), f.key)).collect::<Vec<_>>(), [(8, true), (9, false)]);
    assert_eq!(frames[1].pts - frames[0].pts, 3_600);
    assert_eq!(frames[0].pts, 4 * 90_000, "times go on by the time that passed");
    assert_eq!(frames[0].generation, 0, "the parameters are the same");
    wire.send(3, true);
    assert!(told(&mut *session).await.is_empty(), "nobody reads the old one any more");
}

#[tokio::test(start_paused = true)]
async fn lost_packets_are_asked_for_and_a_picture_only_when_they_do_not_come() {
    let (feed, mut wire) = (Feed::default(), Wire::new());
    let mut session = opened(&feed, &mut wire).await;
    assert_eq!(wire.said(), (Vec::new(), 0), "it began with a key frame");
    assert_eq!(numbers(&mut *session).await, [(0, true)]);

    // One packet is late, and comes as a repair in the repair stream; then once more, as a probe does.
    let mut packets = wire.packets(1, false);
    let lost = packets.remove(1);
    for packet in packets {
        wire.takes(Packet::Rtp(packet));
    }
    assert!(numbers(&mut *session).await.is_empty());
    tokio::time::advance(Duration::from_millis(15)).await;
    assert_eq!(wire.said(), (vec![lost.header.sequence_number], 0));
    let mut repair = lost.clone();
    repair.header.payload_type = REPAIR_PT;
    repair.header.ssrc = 78;
    repair.header.sequence_number = 5;
    repair.payload = [&lost.header.sequence_number.to_be_bytes()[..], &lost.payload].concat().into();
    for _ in 0..2 {
        wire.takes(Packet::Rtp(repair.clone()));
    }
    assert_eq!(numbers(&mut *session).await, [(1, false)]);
    assert_eq!(wire.publication.stats().needless, 1);

    // One is lost for good: a few requests, then a picture is asked for, once a second.
    let mut packets = wire.packets(2, false);
    packets.remove(1);
    for packet in packets {
        wire.takes(Packet::Rtp(packet));
    }
    let (mut asked, mut pictures) = (0, 0);
    for n in 3..103 {
        tokio::time::advance(Duration::from_millis(20)).await;
        wire.send(n, false);
        assert!(numbers(&mut *session).await.is_empty(), "nothing that cannot be decoded");
        let said = wire.said();
        asked += said.0.len();
        pictures += said.1;
    }
    assert!((2..=4).contains(&asked), "{asked}");
    assert!((1..=3).contains(&pictures), "{pictures}");
    wire.send(103, true);
    wire.send(104, false);
    assert_eq!(numbers(&mut *session).await, [(103, true), (104, false)]);
    assert_eq!(session.stats().lost, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_sends_without_a_reader_or_without_leave_costs_nothing() {
    let mut wire = Wire::new();
    for n in 0..2_000 {
        wire.send(n, n % 10 == 0);
    }
    for mut packet in wire.packets(0, true) {
        packet.header.payload_type = 99;
        wire.takes(Packet::Rtp(packet));
    }
    wire.takes(Packet::Rtcp(vec![Box::new(SenderReport::default())]));
    let feed = Feed::default();
    feed.set(Some(wire.publication.clone()));
    let mut source = PhoneSource::new(feed, Env::system());
    let opening = source.open();
    tokio::pin!(opening);
    assert!(opening.as_mut().now_or_never().is_none(), "what came before is gone");
    // A reader that stands still loses, and goes on at a key frame.
    for n in 2_000..3_000 {
        wire.send(n, n == 2_000 || n == 2_990);
    }
    let mut session = opening.await.expect("it never fails");
    let seen = numbers(&mut *session).await;
    assert!(seen.len() < 1_000 && seen[0].1, "{} {:?}", seen.len(), seen.first());
}

#[tokio::test(flavor = "multi_thread")]
async fn r_s7_a_member_is_answered_before_there_is_anything_and_gets_what_comes() {
    let sfu = sfu();
    let (show, shown) = watch::channel(None);
    let (mut far, offer) = Far::offer(BOTH).await;
    let options = CallOptions { room: "r".to_owned(), show: shown, publish: true, trickle: true };
    let call = sfu.call(options, &offer).await.expect("answered without a camera");
    assert!(call.watches() && call.publication().is_none());
    far.accept(call.answer()).await;
    assert_eq!(sfu.viewers().len(), 1);

    for (first, codec_slot) in [(0, Slot::new(Limits::default())), (1_000, Slot::new(Limits::default()))] {
        let publisher = publish(&codec_slot, &[h264(SPS)]);
        show.send_replace(Some(codec_slot.clone()));
        let mut n = first;
        let seen = loop {
            publisher.push(picture(n, n == first, 10));
            n += 1;
            let next = tokio::time::timeout(Duration::from_millis(20), far.picture()).await;
            match next {
                Ok((_, number, _)) if number >= first => break number,
                _ => {}
            }
        };
        assert!(seen < n);
        // The camera goes; whoever watches stays.
        drop(publisher);
        codec_slot.close();
    }
    show.send_replace(None);
    assert_eq!(sfu.viewers().len(), 1);
    call.close();
    gone(&sfu).await;
    sfu.shutdown().await;
}

#[tokio::test]
async fn offers_that_nobody_can_serve_are_refused_in_words() {
    let sfu = sfu();
    let (_, offer) = Far::offer(BOTH).await;
    let foreign = ["H264", "VP8", "VP9", "AV1"].iter().fold(offer.clone(), |o, name| o.replace(name, "H265"));
    assert!(matches!(sfu.call(nothing(), &foreign).await, Err(SfuError::NoCommonCodec(_))));
    let idle = offer.replace("a=recvonly", "a=inactive");
    assert!(matches!(sfu.call(nothing(), &idle).await, Err(SfuError::NoCommonCodec(_))));
    assert!(matches!(sfu.call(nothing(), "v=0").await, Err(SfuError::Malformed(_))));
    let long = "x".repeat(SDP_MAX + 1);
    assert!(matches!(sfu.call(nothing(), &long).await, Err(SfuError::TooLarge)));
    sfu.shutdown().await;
}

#[tokio::test]
async fn a20_r_s8_a_candidate_that_leads_nowhere_is_skipped_and_no_packet_goes_there() {
    let sfu = sfu();
    let (_far, offer) = Far::offer(BOTH).await;
    let bare: Vec<&str> = offer.lines().filter(|line| !line.starts_with("a=candidate")).collect();
    let call = sfu.call(nothing(), &format!("{}\r\n", bare.join("\r\n"))).await.expect("answered");
    // What is sent to 0.0.0.0 reaches this machine: the second socket would hear of it.
    let good = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let bad = tokio::net::UdpSocket::bind("0.0.0.0:0").await.expect("a port");
    let port = bad.local_addr().expect("bound").port();
    let candidate = |address: &str, port: u16| Candidate {
        candidate: format!("candidate:1 1 udp 2130706431 {address} {port} typ host"),
        mid: None,
        index: Some(0),
    };
    for address in
        ["0.0.0.0", "::", "::ffff:127.0.0.1", "169.254.169.254", "224.0.0.251", "255.255.255.255", "ff02::1"]
    {
        assert!(!call.add(candidate(address, port)).await, "{address}");
    }
    for name in ["evil.example", &*format!("{}.local", "x".repeat(300)), "127.0.0.1/8", ""] {
        assert!(!call.add(candidate(name, port)).await, "{name}");
    }
    assert!(call.add(candidate("127.0.0.1", good.local_addr().expect("bound").port())).await);
    let mut bytes = [0; 1_500];
    for _ in 0..3 {
        let checked = tokio::time::timeout(PATIENCE, good.recv_from(&mut bytes)).await;
        checked.expect("the good one is tried").expect("heard");
    }
    assert!(bad.try_recv_from(&mut bytes).is_err(), "and nobody else");
    call.close();
    sfu.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_publisher_is_lost_when_its_connection_was_away_for_long_without_a_break() {
    let (states, state) = watch::channel(ViewerState::Connected);
    let publication = Publication { state, ..Wire::new().publication };
    let patience = Duration::from_secs(30);
    let (lost, began) = (publication.lost(patience), Instant::now());
    tokio::pin!(lost);
    let short = async {
        states.send_replace(ViewerState::Disconnected);
        tokio::time::sleep(Duration::from_secs(29)).await;
        states.send_replace(ViewerState::Connected);
        tokio::time::sleep(Duration::from_secs(60)).await;
    };
    tokio::select! {
        () = &mut lost => panic!("it was back in time"),
        () = short => {}
    }
    states.send_replace(ViewerState::Disconnected);
    lost.await;
    assert_eq!(began.elapsed(), Duration::from_secs(29 + 60 + 30));
}

#[tokio::test(flavor = "multi_thread")]
async fn r_s2_who_hears_of_candidates_later_does_not_wait_for_a_silent_server() {
    let silent = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("stun:{}", silent.local_addr().expect("bound"));
    let ice_servers = vec![IceServer { urls: vec![url], ..IceServer::default() }];
    let sfu = Sfu::new(SfuOptions { ice_servers, ..options() }, Env::system());
    let (_far, offer) = Far::offer(BOTH).await;
    let at_once = CallOptions { trickle: false, ..nothing() };
    let first = tokio::select! {
        call = sfu.call(nothing(), &offer) => call.expect("answered"),
        _ = sfu.call(at_once, &offer) => panic!("the answer that must have all candidates came first"),
    };
    assert!(first.answer().contains(" typ host"), "{}", first.answer());
    sfu.shutdown().await;
}
