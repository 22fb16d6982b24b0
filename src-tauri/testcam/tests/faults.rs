//! Each fault, switched on while a raw client looks.
#![allow(clippy::unwrap_used)]

mod client;

use std::{collections::HashMap, time::Duration};

use client::{Client, PATIENCE, Rtp};
use nightjar_testcam::{Builtin, Clip, Fault, Options, Sound, TestCam};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, timeout},
};

/// Longer than any pause of a healthy stream.
const QUIET: Duration = Duration::from_millis(400);

async fn camera(change: impl FnOnce(&mut Options)) -> TestCam {
    let mut options = Options::default();
    change(&mut options);
    TestCam::spawn(options).await.unwrap()
}

/// Reads what is still under way after media stopped.
async fn drain(client: &mut Client) {
    while timeout(QUIET, client.packet()).await.is_ok_and(|packet| packet.is_some()) {}
}

#[tokio::test]
async fn silent_stops_media_and_goes_on_answering() {
    let cam = camera(|_| {}).await;
    let mut client = Client::play(&cam.url(), &[0, 1]).await;
    let before = client.rtp(0).await;
    cam.set_fault(Fault::Silent).await;
    drain(&mut client).await;
    assert_eq!(client.ask("GET_PARAMETER", &cam.url(), "").await.status, 200);
    assert!(client.is_silent_for(QUIET).await);
    cam.set_fault(Fault::None).await;
    let after = client.rtp(0).await;
    let passed = f64::from(after.time.wrapping_sub(before.time)) / 90_000.0;
    assert!((0.7..4.0).contains(&passed), "the camera's clock went on: {passed} s");
    cam.stop().await;
}

#[tokio::test]
async fn dead_says_nothing_to_anybody_and_hangs_up_on_nobody() {
    let cam = camera(|_| {}).await;
    let mut client = Client::play(&cam.url(), &[0, 1]).await;
    cam.set_fault(Fault::Dead).await;
    drain(&mut client).await;
    client.send("GET_PARAMETER", &cam.url(), "").await;
    assert!(client.is_silent_for(QUIET).await);
    let mut newcomer = Client::connect(&cam.url()).await;
    newcomer.send("OPTIONS", &cam.url(), "").await;
    assert!(newcomer.is_silent_for(QUIET).await);
    assert_eq!(cam.stats().keep_alives, 1, "it is seen all the same");
    cam.set_fault(Fault::None).await;
    client.rtp(0).await;
    cam.stop().await;
}

#[tokio::test]
async fn keep_alives_go_unanswered_wrongly_numbered_or_refused_while_media_flows() {
    let cam = camera(|_| {}).await;
    let url = cam.url();
    let mut client = Client::play(&url, &[0, 1]).await;
    cam.set_fault(Fault::NoKeepaliveAnswer).await;
    client.send("GET_PARAMETER", &url, "").await;
    timeout(PATIENCE, cam.wait(|s| s.keep_alives == 1)).await.unwrap();
    assert_eq!(cam.stats().requests.back().unwrap().status, 0);
    client.rtp(0).await;
    cam.set_fault(Fault::WrongCseq).await;
    let answer = client.ask("OPTIONS", &url, "").await;
    assert_eq!(answer.header("CSeq"), (client.cseq + 1000).to_string(), "the first had no answer");
    for status in [454, 500] {
        cam.set_fault(Fault::KeepaliveError(status)).await;
        assert_eq!(client.ask("SET_PARAMETER", &url, "").await.status, status);
    }
    client.rtp(0).await;
    let mut other = Client::connect(&url).await;
    assert_eq!(other.ask("OPTIONS", &url, "").await.status, 200, "not playing, no keep-alive");
    cam.stop().await;
}

#[tokio::test]
async fn close_and_reset_end_a_playing_connection_after_their_time() {
    for (fault, reset) in
        [(Fault::Close(Duration::from_millis(500)), false), (Fault::Reset(Duration::from_millis(500)), true)]
    {
        let cam = camera(|_| {}).await;
        let mut idle = Client::connect(&cam.url()).await;
        let mut client = Client::play(&cam.url(), &[0, 1]).await;
        cam.set_fault(fault).await;
        let before = Instant::now();
        let mut chunk = [0; 4096];
        let end = loop {
            match timeout(PATIENCE, client.socket.read(&mut chunk)).await.unwrap() {
                Ok(0) => break false,
                Ok(_) => {}
                Err(error) => break error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        };
        let after = before.elapsed().as_secs_f64();
        assert!((0.45..1.5).contains(&after), "{fault} after {after} s");
        assert_eq!(end, reset, "{fault}");
        assert_eq!(idle.ask("OPTIONS", &cam.url(), "").await.status, 200, "it was not playing");
        cam.stop().await;
    }
}

#[tokio::test]
async fn stop_mid_frame_cuts_inside_a_packet_and_can_go_on() {
    let cam = camera(|_| {}).await;
    let mut client = Client::play(&cam.url(), &[0]).await;
    let before = client.rtp(0).await.sequence;
    cam.set_fault(Fault::StopMidFrame).await;
    drain(&mut client).await;
    assert!(client.holds_part_of_a_packet());
    client.send("GET_PARAMETER", &cam.url(), "").await;
    assert!(client.is_silent_for(QUIET).await);
    cam.set_fault(Fault::None).await;
    assert_eq!(client.answer().await.status, 200, "the answer had to wait");
    let mut last = before;
    for _ in 0..50 {
        last = client.rtp(0).await.sequence;
    }
    // `drain` threw packets away, but the framing held.
    assert!(last.wrapping_sub(before) < 5000);
    cam.stop().await;
}

/// Reads up to the next sequence parameter set.
async fn next_sps(client: &mut Client) -> (Vec<u8>, Rtp) {
    loop {
        let packet = client.rtp(0).await;
        if packet.nal() == 7 {
            return (packet.payload.clone(), packet);
        }
    }
}

#[tokio::test]
async fn change_resolution_changes_parameter_sets_on_the_way_and_back() {
    let cam = camera(|_| {}).await;
    let mut client = Client::play(&cam.url(), &[0]).await;
    let mut previous = client.rtp(0).await;
    let mut sets: Vec<Vec<u8>> = Vec::new();
    for fault in [Fault::ChangeResolution, Fault::None] {
        cam.set_fault(fault).await;
        let asked = Instant::now();
        loop {
            let packet = client.rtp(0).await;
            assert_eq!(packet.sequence, previous.sequence.wrapping_add(1));
            let passed = packet.time.wrapping_sub(previous.time);
            assert!(passed == 3600 || !previous.marker && passed == 0, "time goes on: {passed}");
            previous = packet;
            if previous.nal() == 7 {
                break;
            }
        }
        assert!(asked.elapsed() < Duration::from_millis(500), "at once, not with the loop");
        sets.push(previous.payload.clone());
    }
    assert_ne!(sets[0], sets[1]);
    cam.stop().await;
}

#[tokio::test]
async fn b_frames_come_out_of_order() {
    let cam = camera(|o| o.fault = Fault::BFrames).await;
    let mut client = Client::play(&cam.url(), &[0]).await;
    let mut times = Vec::new();
    while times.len() < 60 {
        let packet = client.rtp(0).await;
        if packet.marker {
            times.push(packet.time);
        }
    }
    let back = times.windows(2).filter(|t| t[1].wrapping_sub(t[0]) > 1 << 31).count();
    assert!(back >= 5, "{back} steps back");
    let start = times[0].wrapping_sub(90_000);
    times.sort_by_key(|t| t.wrapping_sub(start));
    let holes = times[4..56].windows(2).filter(|t| t[1].wrapping_sub(t[0]) != 3600).count();
    assert_eq!(holes, 0, "together they make an even sequence");
    cam.stop().await;
}

#[tokio::test]
async fn parameter_sets_stand_only_where_they_should() {
    for (fault, in_sdp, in_band) in [
        (Fault::None, true, true),
        (Fault::SdpParamsOnly, true, false),
        (Fault::InBandParamsOnly, false, true),
    ] {
        // A key frame follows soon.
        let cam = camera(|o| {
            o.fault = fault;
            o.offset = Duration::from_millis(3500);
        })
        .await;
        let mut client = Client::connect(&cam.url()).await;
        let sdp = client.ask("DESCRIBE", &cam.url(), "").await.body;
        assert_eq!(sdp.contains("sprop-parameter-sets"), in_sdp, "{fault}");
        let mut client = Client::play(&cam.url(), &[0]).await;
        let mut seen = false;
        loop {
            match client.rtp(0).await.nal() {
                7 => seen = true,
                5 => break,
                _ => {}
            }
        }
        assert_eq!(seen, in_band, "{fault}");
        cam.stop().await;
    }
}

#[tokio::test]
async fn key_frames_are_rare_or_missing() {
    let long = Clip::builtin(Builtin::LongGop);
    assert_eq!((long.key_frames(), long.duration().as_secs()), (1, 60));
    let cam = camera(|_| {}).await;
    let mut client = Client::play(&cam.url(), &[0]).await;
    cam.set_fault(Fault::HugeGop).await;
    next_sps(&mut client).await;
    // Over the seam of the healthy clip, where a key frame would stand.
    cam.set_fault(Fault::NoKeyFrame).await;
    // What was under way, the key frame of the long clip included, still comes.
    let first = loop {
        let packet = client.rtp(0).await;
        if packet.nal() == 1 {
            break packet;
        }
    };
    loop {
        let packet = client.rtp(0).await;
        assert!(![5, 7, 8].contains(&packet.nal()));
        if packet.time.wrapping_sub(first.time) > 5 * 90_000 {
            break;
        }
    }
    cam.stop().await;
}

#[tokio::test]
async fn audio_only_offers_no_video_and_takes_it_away() {
    let cam = camera(|_| {}).await;
    let mut client = Client::play(&cam.url(), &[0, 1]).await;
    client.rtp(0).await;
    cam.set_fault(Fault::AudioOnly).await;
    client.rtp(2).await;
    let mut video = 0;
    for _ in 0..20 {
        let (channel, _) = client.packet().await.unwrap();
        video += usize::from(channel == 0);
    }
    // What was in the queue still comes.
    for _ in 0..20 {
        let (channel, _) = client.packet().await.unwrap();
        assert_ne!(channel, 0, "after {video} packets that were under way");
    }
    let mut other = Client::connect(&cam.url()).await;
    let sdp = other.ask("DESCRIBE", &cam.url(), "").await.body;
    assert!(!sdp.contains("m=video") && sdp.contains("m=audio"));
    let video = format!("{}/trackID=0", cam.url());
    assert_eq!(other.ask("SETUP", &video, "Transport: RTP/AVP/TCP\r\n").await.status, 404);
    cam.stop().await;
}

#[tokio::test]
async fn garbage_rtp_damages_payloads_and_leaves_the_headers() {
    let cam = camera(|o| o.sound = Sound::Pcmu).await;
    let mut client = Client::play(&cam.url(), &[1]).await;
    let mut healthy: HashMap<u32, Vec<u8>> = HashMap::new();
    // The chime repeats itself every second.
    while healthy.len() < 50 {
        let packet = client.rtp(2).await;
        healthy.insert(packet.time % 8000, packet.payload);
    }
    cam.set_fault(Fault::GarbageRtp).await;
    let mut damaged = 0;
    for _ in 0..60 {
        let packet = client.rtp(2).await;
        let known = healthy.get(&(packet.time % 8000));
        damaged += usize::from(known.is_some_and(|known| *known != packet.payload));
    }
    assert!((5..50).contains(&damaged), "{damaged} of 60");
    cam.stop().await;
}

#[tokio::test]
async fn garbage_rtsp_breaks_the_framing() {
    let cam = camera(|o| o.fault = Fault::GarbageRtsp).await;
    let mut client = Client::play(&cam.url(), &[0, 1]).await;
    let broken = async {
        loop {
            // Neither a packet nor an answer: the raw client gets stuck on it.
            if client.stuck_on_garbage() {
                return;
            }
            client.read_more().await;
        }
    };
    timeout(PATIENCE, broken).await.expect("garbage");
    cam.stop().await;
}

#[tokio::test]
async fn refusals_and_a_broken_description() {
    let cam = camera(|_| {}).await;
    let url = cam.url();
    let mut client = Client::connect(&url).await;
    cam.set_fault(Fault::Unauthorized).await;
    let answer = client.ask("DESCRIBE", &url, "").await;
    assert_eq!(answer.status, 401);
    assert!(!answer.header("WWW-Authenticate").is_empty());
    cam.set_fault(Fault::NotFound).await;
    assert_eq!(client.ask("DESCRIBE", &url, "").await.status, 404);
    cam.set_fault(Fault::GarbageSdp).await;
    let answer = client.ask("DESCRIBE", &url, "").await;
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains("H264"));
    cam.stop().await;
}

#[tokio::test]
async fn slow_halves_the_rate_and_drops_the_rest() {
    let cam = camera(|o| {
        o.bitrate = Some(4_000_000);
        o.sound = Sound::Off;
        o.fault = Fault::Slow;
    })
    .await;
    let mut client = Client::play(&cam.url(), &[0]).await;
    let began = Instant::now();
    let mut bytes = 0;
    while cam.stats().dropped == 0 || began.elapsed() < Duration::from_secs(4) {
        bytes += client.rtp(0).await.payload.len();
        assert!(began.elapsed() < Duration::from_secs(15), "the queue must fill");
    }
    let rate = bytes as f64 * 8.0 / began.elapsed().as_secs_f64();
    assert!((1.0e6..2.6e6).contains(&rate), "{rate} bit/s");
    cam.stop().await;
}

#[tokio::test]
async fn refuse_closes_the_door_and_leaves_the_guests() {
    let cam = camera(|_| {}).await;
    let mut client = Client::play(&cam.url(), &[0]).await;
    cam.set_fault(Fault::Refuse).await;
    assert!(TcpStream::connect(cam.addr()).await.is_err());
    drain_some(&mut client).await;
    cam.set_fault(Fault::None).await;
    TcpStream::connect(cam.addr()).await.unwrap();
    let shut = camera(|o| o.fault = Fault::Refuse).await;
    assert!(TcpStream::connect(shut.addr()).await.is_err());
    shut.stop().await;
    cam.stop().await;
}

async fn drain_some(client: &mut Client) {
    let first = client.rtp(0).await.time;
    while client.rtp(0).await.time.wrapping_sub(first) < 45_000 {}
}
