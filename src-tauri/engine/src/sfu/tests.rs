//! A viewer made of the same crates, on loopback: what comes out at the far end, packet by packet.

mod far;
mod phones;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};

use bytes::Bytes;
use proptest::prelude::*;
use proptest::strategy::{Strategy, ValueTree};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;

use far::Far;

use super::*;
use crate::hub::{Limits, Publisher};
use crate::media::{Codec, Frame, Note, NoteKind, Parameters, TrackInfo, TrackKind};

/// Far more than anything here takes, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// Packets a test has yet to look at; more than any of them is sent.
const PACKETS: usize = 16_384;

/// Ports for each SFU of these tests, which run side by side.
const PORTS: u16 = 50;
static NEXT_PORTS: AtomicU16 = AtomicU16::new(20_000);

fn options() -> SfuOptions {
    let first = NEXT_PORTS.fetch_add(PORTS, Ordering::Relaxed);
    SfuOptions {
        udp_ports: first..=first + PORTS - 1,
        addresses: Some(vec![Ipv4Addr::LOCALHOST.into()]),
        ..SfuOptions::default()
    }
}

fn sfu() -> Sfu {
    Sfu::new(options(), Env::system())
}

fn h264(sps: &'static [u8]) -> TrackInfo {
    TrackInfo {
        id: 0,
        kind: TrackKind::Video,
        codec: Codec::H264,
        timescale: 90_000,
        parameters: Parameters::H264 {
            sps: Bytes::from_static(sps),
            pps: Bytes::from_static(&[0x68, 1]),
            width: 640,
            height: 360,
            reorder: 0,
        },
        generation: 0,
        note: None,
    }
}

fn sound(codec: Codec, timescale: u32) -> TrackInfo {
    let parameters = Parameters::Audio { sample_rate: timescale, channels: 1 };
    TrackInfo { id: 1, kind: TrackKind::Audio, codec, timescale, parameters, generation: 0, note: None }
}

const SPS: &[u8] = &[0x67, 0x42, 0xe0, 0x1f];

/// A picture that carries its number.
fn picture(n: i64, key: bool, size: usize) -> Frame {
    let mut data = u32::try_from(size + 9).expect("small").to_be_bytes().to_vec();
    data.push(if key { 0x65 } else { 0x41 });
    data.extend_from_slice(&n.to_be_bytes());
    data.resize(4 + 9 + size, 0xaa);
    frame(0, n * 3_600, key, data)
}

fn frame(track: u8, pts: i64, key: bool, data: Vec<u8>) -> Frame {
    Frame {
        track,
        pts,
        arrival: Instant::now(),
        wall: SystemTime::UNIX_EPOCH,
        key,
        generation: 0,
        loss: 0,
        data: data.into(),
        packets: Default::default(),
    }
}

const VIDEO: &[RtpCodecKind] = &[RtpCodecKind::Video];
const BOTH: &[RtpCodecKind] = &[RtpCodecKind::Audio, RtpCodecKind::Video];

/// A source that gives pictures. Who comes later does not see the first: nothing can begin with it.
fn publish(slot: &Slot, tracks: &[TrackInfo]) -> Publisher {
    let publisher = slot.publish(Arc::from(tracks)).expect("free");
    publisher.push(picture(0, false, 10));
    publisher
}

async fn gone(sfu: &Sfu) {
    let empty = async {
        while !sfu.viewers().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, empty).await.expect("viewers end");
}

#[tokio::test(flavor = "multi_thread")]
async fn r_m3_a_viewer_starts_with_the_cached_pictures_and_goes_on_live() {
    let (sfu, slot) = (sfu(), Slot::new(Limits::default()));
    let publisher = publish(&slot, &[h264(SPS)]);
    for n in 0..60 {
        // Some of one packet, some of many.
        publisher.push(picture(n, n % 50 == 0, if n % 7 == 0 { 30_000 } else { 100 }));
    }
    let began = Instant::now();
    let (mut far, _) = Far::watch(&sfu, &slot, VIDEO).await;
    let mut first: Option<u32> = None;
    for n in 50..60 {
        let (at, number, sps) = far.picture().await;
        assert_eq!(number, n);
        assert_eq!(sps.as_deref(), (n == 50).then_some(SPS));
        // Cached pictures are timed by when they are sent, not 40 ms apart.
        let since_first = u128::from(at.wrapping_sub(*first.get_or_insert(at))) / 90;
        assert!(since_first <= began.elapsed().as_millis(), "{n}: {since_first} ms");
    }
    publisher.push(picture(60, false, 10));
    assert_eq!(far.picture().await.1, 60);
    let viewers = sfu.viewers();
    assert_eq!((viewers.len(), &*viewers[0].camera, viewers[0].state), (1, "cam", ViewerState::Connected));
    assert!(viewers[0].packets > 11);
    sfu.shutdown().await;
    assert!(sfu.viewers().is_empty());
    far.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_no_datagram_reaches_comes_by_the_one_tcp_port() {
    // Below the range from which the system serves the other tests of this process.
    let free = |port: &u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let begin = 20_000 + u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    let port = (begin..32_000).find(free).expect("a port");
    let sfu = Sfu::new(SfuOptions { tcp_port: Some(port), ..options() }, Env::system());
    let slot = Slot::new(Limits::default());
    let publisher = publish(&slot, &[h264(SPS)]);
    // Strangers are in nobody's way.
    let _silent = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
    for _ in 0..2 {
        let (mut far, offer) = Far::offer(VIDEO).await;
        let answer = sfu.watch("cam", &slot, &offer).await.expect("answered");
        let candidates: Vec<&str> =
            answer.sdp.lines().filter(|line| line.starts_with("a=candidate:")).collect();
        let tcp = candidates.iter().find(|line| line.contains(" tcp ")).expect("offered");
        assert!(tcp.contains(&format!(" 127.0.0.1 {port} ")), "{tcp}");
        let others = answer.sdp.lines().filter(|line| !line.starts_with("a=candidate:"));
        far.accept(&others.map(|line| format!("{line}\r\n")).collect::<String>()).await;
        far.candidate(tcp.trim_start_matches("a=")).await;
        // Pictures keep coming, one after the other.
        let ((_, mut number), n) = until_live(&publisher, &mut far, 0).await;
        while number + 1 < n {
            let next = far.picture().await.1;
            assert_eq!(next, number + 1);
            number = next;
        }
    }
    sfu.shutdown().await;
}

/// Pushes pictures from `first` on until the far end has one, and returns it and the number to go on with.
async fn until_live(publisher: &Publisher, far: &mut Far, first: i64) -> ((u32, i64), i64) {
    let mut n = first;
    loop {
        publisher.push(picture(n, n == first, 10));
        n += 1;
        let next = tokio::time::timeout(Duration::from_millis(20), far.picture()).await;
        if let Ok((at, number, _)) = next {
            return ((at, number), n);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_stays_while_its_source_goes_and_comes_and_changes_its_parameters() {
    const OTHER: &[u8] = &[0x67, 0x64, 0, 0x28];
    let (sfu, slot) = (sfu(), Slot::new(Limits::default()));
    let publisher = publish(&slot, &[h264(SPS)]);
    let (mut far, _) = Far::watch(&sfu, &slot, VIDEO).await;
    let ((mut at, mut number), mut n) = until_live(&publisher, &mut far, 0).await;
    while number + 1 < n {
        (at, number, _) = far.picture().await;
    }
    // The camera restarts with another picture size; its clock begins anew.
    drop(publisher);
    let lost = Instant::now();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut publisher = publish(&slot, &[h264(OTHER)]);
    publisher.push(picture(1_000, true, 5_000));
    let (back, number, sps) = far.picture().await;
    assert_eq!((number, sps.as_deref()), (1_000, Some(OTHER)));
    // Times go on by the time that passed, give or take what this machine was busy with.
    let passed = i64::from(back.wrapping_sub(at)) / 90;
    let elapsed = i64::try_from(lost.elapsed().as_millis()).expect("short");
    assert!((290..=elapsed + 1_000).contains(&passed), "{passed} ms, not {elapsed}");
    // And once more without a break: only the parameters change.
    let mut changed = h264(SPS);
    changed.generation = 1;
    publisher.set_tracks(&[changed]);
    n = 1_001;
    publisher.push(picture(n, true, 10));
    let (next, number, sps) = far.picture().await;
    assert_eq!((number, sps.as_deref(), next.wrapping_sub(back)), (n, Some(SPS), 3_600));
    assert_eq!(sfu.viewers().len(), 1);
    // `packet` found one stream without a hole through all of it.
    assert_eq!(far.streams(), 1);
    // Another codec is another matter.
    publisher.set_tracks(&[TrackInfo { codec: Codec::H265, generation: 2, ..h264(SPS) }]);
    gone(&sfu).await;
    far.ended().await;
    sfu.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_goes_along_from_the_live_edge_on_and_shares_the_clock() {
    let (sfu, slot) = (sfu(), Slot::new(Limits::default()));
    let publisher = publish(&slot, &[h264(SPS), sound(Codec::Opus, 48_000)]);
    publisher.push(picture(0, true, 10));
    publisher.push(frame(1, 0, true, b"old".to_vec()));
    let (mut far, answer) = Far::watch(&sfu, &slot, BOTH).await;
    assert_eq!(answer.sdp.matches("a=sendonly").count(), 2, "{}", answer.sdp);
    let (_, _) = until_live(&publisher, &mut far, 1).await;
    let mut heard: Vec<(u8, u32)> = Vec::new();
    for n in 1..200 {
        publisher.push(frame(1, 48_000 + i64::from(n) * 960, true, vec![n; 3]));
        if let Ok(packet) = tokio::time::timeout(Duration::from_millis(20), far.sound()).await {
            heard.push((packet.payload[0], packet.header.timestamp));
        }
        if heard.len() == 5 {
            break;
        }
    }
    assert_eq!(heard.len(), 5);
    for pair in heard.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        assert_eq!(after.0, before.0 + 1, "nothing old, nothing left out");
        assert_eq!(after.1, before.1.wrapping_add(960));
    }
    sfu.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_that_cannot_be_played_leaves_an_inactive_section() {
    let (sfu, slot) = (sfu(), Slot::new(Limits::default()));
    let publisher = publish(&slot, &[h264(SPS), sound(Codec::Aac, 48_000)]);
    let (mut far, answer) = Far::watch(&sfu, &slot, BOTH).await;
    let audio = answer.sdp.split("m=").find(|section| section.starts_with("audio")).expect("answered");
    assert!(audio.contains("a=inactive") && !audio.starts_with("audio 0 "), "{audio}");
    until_live(&publisher, &mut far, 0).await;
    sfu.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_lost_its_picture_gets_it_from_the_cache() {
    let (sfu, slot) = (sfu(), Slot::new(Limits::default()));
    let publisher = publish(&slot, &[h264(SPS)]);
    let (mut far, _) = Far::watch(&sfu, &slot, VIDEO).await;
    let ((mut last, _), n) = until_live(&publisher, &mut far, 0).await;
    let (track, ssrc) = far.track().await;
    // Asked again and again, as browsers do; granted at most once a second.
    let replayed = async {
        loop {
            let pli = PictureLossIndication { sender_ssrc: 1, media_ssrc: ssrc };
            track.write_rtcp(vec![Box::new(pli)]).await.expect("connected");
            while let Ok((at, number, sps)) =
                tokio::time::timeout(Duration::from_millis(50), far.picture()).await
            {
                assert!(at.wrapping_sub(last) < 1 << 31, "times never go back");
                last = at;
                if number == 0 && sps.is_some() {
                    return;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, replayed).await.expect("replayed");
    for expected in 1..n {
        let (at, number, _) = far.picture().await;
        assert_eq!(number, expected);
        assert!(at.wrapping_sub(last) < 90 * 100, "times never go back");
        last = at;
    }
    assert!(sfu.viewers()[0].plis > 0);
    sfu.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_again_is_sent_again() {
    let (sfu, slot) = (sfu(), Slot::new(Limits::default()));
    let publisher = publish(&slot, &[h264(SPS)]);
    let (mut far, _) = Far::watch(&sfu, &slot, VIDEO).await;
    until_live(&publisher, &mut far, 0).await;
    let (track, media_ssrc) = far.track().await;
    publisher.push(picture(500, false, 3_000));
    let lost = loop {
        let (_, packet) = far.packet().await;
        if packet.payload.len() == packetize::PAYLOAD_MAX {
            break packet;
        }
    };
    let nacks = vec![NackPair { packet_id: lost.header.sequence_number, lost_packets: 0 }];
    let nack = TransportLayerNack { sender_ssrc: 1, media_ssrc, nacks };
    track.write_rtcp(vec![Box::new(nack)]).await.expect("connected");
    // It comes as a retransmission, which the far end puts back into its stream.
    let again = tokio::time::timeout(PATIENCE, async {
        loop {
            let (_, packet) = far.raw().await;
            if packet.header.sequence_number == lost.header.sequence_number {
                return packet;
            }
        }
    });
    let again = again.await.expect("repaired");
    assert_eq!((again.payload, again.header.timestamp), (lost.payload, lost.header.timestamp));
    let viewers = sfu.viewers();
    assert_eq!((viewers[0].nacks, viewers[0].repaired), (1, 1));
    sfu.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_picture_sections_one_is_served() {
    let (sfu, slot) = (sfu(), Slot::new(Limits::default()));
    let publisher = publish(&slot, &[h264(SPS)]);
    let (mut far, answer) = Far::watch(&sfu, &slot, &[RtpCodecKind::Video, RtpCodecKind::Video]).await;
    assert_eq!(answer.sdp.matches("a=sendonly").count(), 1, "{}", answer.sdp);
    until_live(&publisher, &mut far, 0).await;
    assert_eq!(far.streams(), 1);
    sfu.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_s8_a_silent_stun_server_costs_a_viewer_two_seconds_and_no_more() {
    // A socket that never answers.
    let silent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("stun:{}", silent.local_addr().expect("bound"));
    let ice_servers = vec![IceServer { urls: vec![url], ..IceServer::default() }];
    let sfu = Sfu::new(SfuOptions { ice_servers, ..options() }, Env::system());
    let slot = Slot::new(Limits::default());
    let publisher = publish(&slot, &[h264(SPS)]);
    let (mut far, answer) = Far::watch(&sfu, &slot, VIDEO).await;
    assert!(answer.sdp.contains(" typ host"), "{}", answer.sdp);
    until_live(&publisher, &mut far, 0).await;
    sfu.shutdown().await;
    let wrong = vec![IceServer { urls: vec!["http://nonsense".to_owned()], ..IceServer::default() }];
    let sfu = Sfu::new(SfuOptions { ice_servers: wrong, ..options() }, Env::system());
    let (_far, offer) = Far::offer(VIDEO).await;
    assert!(matches!(sfu.watch("cam", &slot, &offer).await, Err(SfuError::Internal(_))));
    sfu.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_reason_and_leaves_nothing_behind() {
    let sfu = Sfu::new(SfuOptions { max_viewers: 1, ..options() }, Env::system());
    let slot = Slot::new(Limits::default());
    let (_far, offer) = Far::offer(BOTH).await;
    assert!(matches!(sfu.watch("cam", &slot, &offer).await, Err(SfuError::NotLive)));
    let silent = slot.publish(Arc::from([h264(SPS)])).expect("free");
    assert!(matches!(sfu.watch("cam", &slot, &offer).await, Err(SfuError::NotLive)));
    drop(silent);
    for track in [
        TrackInfo { codec: Codec::H265, ..h264(SPS) },
        TrackInfo { codec: Codec::Mjpeg, ..h264(SPS) },
        TrackInfo {
            parameters: Parameters::H264 {
                sps: Bytes::new(),
                pps: Bytes::new(),
                width: 0,
                height: 0,
                reorder: 2,
            },
            ..h264(SPS)
        },
        TrackInfo { note: Some(Note::new(NoteKind::NotReceived, "no way")), ..h264(SPS) },
        TrackInfo { id: 0, ..sound(Codec::Aac, 48_000) },
    ] {
        let publisher = publish(&slot, &[track]);
        assert!(matches!(sfu.watch("cam", &slot, &offer).await, Err(SfuError::NoCommonCodec(_))));
        drop(publisher);
    }
    let _publisher = publish(&slot, &[h264(SPS)]);
    let without_h264 = offer.replace("H264/90000", "H263/90000");
    assert!(matches!(sfu.watch("cam", &slot, &without_h264).await, Err(SfuError::NoCommonCodec(_))));
    for text in ["", "v=0\r\n", "{\"sdp\":\"v=0\"}"] {
        assert!(matches!(sfu.watch("cam", &slot, text).await, Err(SfuError::Malformed(_))));
    }
    let without_fingerprint: String =
        offer.split_inclusive("\r\n").filter(|line| !line.starts_with("a=fingerprint")).collect();
    assert!(matches!(sfu.watch("cam", &slot, &without_fingerprint).await, Err(SfuError::Malformed(_))));
    let huge = offer.clone() + &"a=x\r\n".repeat(20_000);
    assert!(matches!(sfu.watch("cam", &slot, &huge).await, Err(SfuError::TooLarge)));
    assert!(sfu.viewers().is_empty());

    let answer = sfu.watch("cam", &slot, &offer).await.expect("a good offer");
    assert!(matches!(sfu.watch("cam", &slot, &offer).await, Err(SfuError::TooManyViewers)));
    sfu.trickle(&answer.id, "a=candidate:nonsense\r\n").await.expect("skipped");
    let elsewhere = "a=ice-ufrag:other\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n";
    assert!(matches!(sfu.trickle(&answer.id, elsewhere).await, Err(SfuError::Malformed(_))));
    assert!(matches!(sfu.trickle(&answer.id, "").await, Err(SfuError::Malformed(_))));
    sfu.close(&answer.id).expect("there");
    assert!(matches!(sfu.close(&answer.id), Err(SfuError::UnknownViewer)));
    assert!(matches!(sfu.trickle(&answer.id, "a=mid:0").await, Err(SfuError::UnknownViewer)));
    sfu.shutdown().await;
    assert!(matches!(sfu.watch("cam", &slot, &offer).await, Err(SfuError::ShuttingDown)));
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_that_come_and_go_leave_their_places_free() {
    let options = SfuOptions { max_viewers: 2, ..options() };
    let (sfu, slot) = (Sfu::new(options, Env::system()), Slot::new(Limits::default()));
    let publisher = publish(&slot, &[h264(SPS)]);
    publisher.push(picture(0, true, 10));
    for _ in 0..10 {
        let (mut far, answer) = Far::watch(&sfu, &slot, VIDEO).await;
        assert_eq!(far.picture().await.1, 0);
        sfu.close(&answer.id).expect("there");
        far.ended().await;
        far.connection.close().await.expect("closed");
    }
    let left = async {
        while slot.stats().subscribers > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, left).await.expect("nobody reads any more");
    sfu.shutdown().await;
    assert!(sfu.shared.tasks.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_leaves_is_gone_before_ice_would_notice() {
    let (sfu, slot) = (sfu(), Slot::new(Limits::default()));
    let publisher = publish(&slot, &[h264(SPS)]);
    let (mut far, _) = Far::watch(&sfu, &slot, VIDEO).await;
    until_live(&publisher, &mut far, 0).await;
    let left = Instant::now();
    far.connection.close().await.expect("closed");
    gone(&sfu).await;
    // ICE takes three and four seconds.
    assert!(left.elapsed() < Duration::from_secs(6), "{:?}", left.elapsed());
    sfu.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_offers_are_answered_or_refused_and_never_break_anything() {
    let sfu = sfu();
    let slot = Slot::new(Limits::default());
    let publisher = publish(&slot, &[h264(SPS), sound(Codec::Opus, 48_000)]);
    publisher.push(picture(0, true, 10));
    let (_far, offer) = Far::offer(BOTH).await;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let lines: Vec<String> = offer.split_inclusive("\r\n").map(str::to_owned).collect();
    for _ in 0..150 {
        let damage = (any::<prop::sample::Index>(), 0..6, "[ -~]{0,12}", any::<u32>());
        let (at, kind, text, number) = damage.new_tree(&mut runner).expect("a value").current();
        let mut lines = lines.clone();
        let at = at.index(lines.len());
        let other = usize::try_from(number).expect("64 bits") % lines.len();
        match kind {
            0 => drop(lines.remove(at)),
            1 => lines.swap(at, other),
            2 => lines.insert(at, lines[other].clone()),
            3 => lines[at] = format!("{}{text}\r\n", lines[at].trim_end()),
            4 => {
                let cut = usize::try_from(number).expect("64 bits") % lines[at].len();
                lines[at].truncate(cut);
            }
            _ => {
                let digits = number.to_string();
                lines[at] = lines[at].chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
                let end = lines[at].len().saturating_sub(2);
                lines[at].insert_str(end, &digits);
            }
        }
        let outcome = sfu.watch("cam", &slot, &lines.concat()).await;
        match outcome {
            Ok(answer) => sfu.close(&answer.id).expect("there"),
            Err(SfuError::Malformed(_) | SfuError::NoCommonCodec(_)) => {}
            Err(error) => unreachable!("{error:?} for {}", lines.concat()),
        }
    }
    let (mut far, _) = Far::watch(&sfu, &slot, VIDEO).await;
    assert_eq!(far.picture().await.1, 0, "a good offer is served as before");
    sfu.shutdown().await;
}
