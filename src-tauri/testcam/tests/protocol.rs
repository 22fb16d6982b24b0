//! The healthy camera, seen from a raw socket.
#![allow(clippy::unwrap_used)]

mod client;

use std::time::Duration;

use client::{Client, PATIENCE, Rtp};
use nightjar_testcam::{Auth, Builtin, Clip, Options, Sound, Start, TestCam, Transports};
use tokio::{
    io::AsyncWriteExt,
    net::UdpSocket,
    time::{Instant, timeout},
};

async fn camera(change: impl FnOnce(&mut Options)) -> TestCam {
    let mut options = Options::default();
    change(&mut options);
    TestCam::spawn(options).await.unwrap()
}

#[tokio::test]
async fn a_client_describes_sets_up_plays_keeps_alive_and_leaves_over_tcp() {
    let cam = camera(|_| {}).await;
    let url = cam.url();
    let mut client = Client::connect(&url).await;
    let options = client.ask("OPTIONS", &url, "").await;
    assert!(options.header("Public").contains("GET_PARAMETER"));
    let described = client.ask("DESCRIBE", &url, "Accept: application/sdp\r\n").await;
    assert_eq!(described.header("Content-Base"), format!("{url}/"));
    for part in [
        "m=video 0 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        "profile-level-id=42C0",
        "sprop-parameter-sets=Z0",
        "a=control:trackID=0",
        "a=rtpmap:97 MPEG4-GENERIC/16000/1",
        "config=14",
        "a=control:trackID=1",
    ] {
        assert!(described.body.contains(part), "{part} in {}", described.body);
    }
    let set_up = client
        .ask("SETUP", &format!("{url}/trackID=0"), "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n")
        .await;
    assert!(set_up.header("Session").ends_with(";timeout=60"), "{set_up:?}");
    assert!(set_up.header("Transport").contains("interleaved=0-1"));
    // Other channels than the usual ones are obeyed.
    let sound = client
        .ask("SETUP", &format!("{url}/trackID=1"), "Transport: RTP/AVP/TCP;unicast;interleaved=6-7\r\n")
        .await;
    assert!(sound.header("Transport").contains("interleaved=6-7"));
    let played = client.ask("PLAY", &url, "Range: npt=0-\r\n").await;
    let info = played.header("RTP-Info").to_owned();
    let (mut video, mut audio) = (Vec::new(), Vec::new());
    let mut reports = [0; 8];
    while video.len() < 150 || audio.len() < 30 {
        let (channel, bytes) = client.packet().await.unwrap();
        match channel {
            0 => video.push(Rtp::parse(0, &bytes)),
            6 => audio.push(Rtp::parse(6, &bytes)),
            other => reports[usize::from(other)] += 1,
        }
    }
    assert!(reports[1] >= 1 && reports[7] >= 1, "sender reports of both tracks at PLAY");
    for (name, packets, step) in [("video", &video, 3600), ("audio", &audio, 1024)] {
        let first = &packets[0];
        let said = format!("seq={};rtptime={}", first.sequence, first.time);
        assert!(info.contains(&said), "{name}: RTP-Info {info} and {said}");
        for pair in packets.windows(2) {
            assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1), "{name}");
            let passed = pair[1].time.wrapping_sub(pair[0].time);
            assert_eq!(passed, if pair[0].marker { step } else { 0 }, "{name}");
        }
        assert!(packets.iter().all(|p| p.payload.len() <= 1400));
    }
    let kept = client.ask("GET_PARAMETER", &url, "").await;
    assert_eq!(kept.status, 200);
    let gone = client.ask("TEARDOWN", &url, "").await;
    assert_eq!(gone.status, 200);
    timeout(PATIENCE, cam.wait(|s| s.playing == 0 && s.teardowns == 1)).await.unwrap();
    let stats = cam.stats();
    assert_eq!((stats.keep_alives, stats.plays, stats.accepted), (1, 1, 1));
    let order: Vec<&str> = stats.requests.iter().map(|r| r.method.as_str()).collect();
    let expected = ["OPTIONS", "DESCRIBE", "SETUP", "SETUP", "PLAY", "GET_PARAMETER", "TEARDOWN"];
    assert_eq!(order, expected);
    cam.stop().await;
}

#[tokio::test]
async fn frames_come_at_their_times_and_go_on_through_the_loop() {
    // Half a second before the end of the clip, so that the loop's seam is seen.
    let clip = Clip::builtin(Builtin::FrontDoor);
    let cam = camera(|o| o.offset = clip.duration() - Duration::from_millis(500)).await;
    let mut client = Client::play(&cam.url(), &[0, 1]).await;
    let mut frames: Vec<(Instant, Rtp)> = Vec::new();
    while frames.len() < 30 {
        let packet = client.rtp(0).await;
        if packet.marker {
            frames.push((Instant::now(), packet));
        }
    }
    for pair in frames.windows(2) {
        assert_eq!(pair[1].1.time.wrapping_sub(pair[0].1.time), 3600);
    }
    let span = frames[29].0 - frames[0].0;
    let off = span.as_secs_f64() - 29.0 * 0.04;
    assert!(off.abs() < 0.2, "29 frames took {span:?}");
    cam.stop().await;
}

#[tokio::test]
async fn media_and_reports_come_by_udp_to_the_ports_that_were_named() {
    let cam = camera(|_| {}).await;
    let url = cam.url();
    let mut client = Client::connect(&url).await;
    let rtp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let rtcp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let ports = (rtp.local_addr().unwrap().port(), rtcp.local_addr().unwrap().port());
    let transport = format!("Transport: RTP/AVP;unicast;client_port={}-{}\r\n", ports.0, ports.1);
    let answer = client.ask("SETUP", &format!("{url}/trackID=0"), &transport).await;
    let shown = answer.header("Transport").to_owned();
    let server = shown.split("server_port=").nth(1).unwrap().split(';').next().unwrap();
    let (low, high) = server.split_once('-').unwrap();
    let (low, high): (u16, u16) = (low.parse().unwrap(), high.parse().unwrap());
    assert!(low % 2 == 0 && high == low + 1, "{shown}");
    client.ask("PLAY", &url, "").await;
    let mut bytes = [0; 2000];
    let (length, from) = timeout(PATIENCE, rtp.recv_from(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(from.port(), low);
    assert_eq!(Rtp::parse(0, &bytes[..length]).payload_type, 96);
    let (length, from) = timeout(PATIENCE, rtcp.recv_from(&mut bytes)).await.unwrap().unwrap();
    assert_eq!((from.port(), bytes[1], length % 4), (high, 200, 0));
    rtcp.send_to(&[0x80, 201, 0, 1, 0, 0, 0, 0], from).await.unwrap();
    timeout(PATIENCE, cam.wait(|s| s.receiver_reports == 1)).await.unwrap();
    cam.stop().await;
}

#[tokio::test]
async fn a_transport_the_camera_does_not_have_is_refused() {
    let cam = camera(|o| o.transports = Transports::Tcp).await;
    let mut client = Client::connect(&cam.url()).await;
    let track = format!("{}/trackID=0", cam.url());
    let udp = "Transport: RTP/AVP;unicast;client_port=5000-5001\r\n";
    assert_eq!(client.ask("SETUP", &track, udp).await.status, 461);
    let multicast = "Transport: RTP/AVP;multicast;port=5000-5001\r\n";
    assert_eq!(client.ask("SETUP", &track, multicast).await.status, 461);
    let both = "Transport: RTP/AVP;unicast;client_port=5000-5001,RTP/AVP/TCP;interleaved=0-1\r\n";
    assert_eq!(client.ask("SETUP", &track, both).await.status, 200);
    cam.stop().await;
}

#[tokio::test]
async fn paths_states_and_sessions_get_their_statuses() {
    let cam = camera(|_| {}).await;
    let url = cam.url();
    let mut client = Client::connect(&url).await;
    assert_eq!(client.ask("DESCRIBE", &cam.url_of("/"), "").await.status, 200);
    assert_eq!(client.ask("DESCRIBE", &cam.url_of("/main?x=1"), "").await.status, 200);
    assert_eq!(client.ask("DESCRIBE", &cam.url_of("/nothing"), "").await.status, 404);
    assert_eq!(client.ask("DESCRIBE", &cam.sub_url(), "").await.status, 404, "no sub-stream");
    assert_eq!(client.ask("PLAY", &url, "").await.status, 455, "before SETUP");
    let tcp = "Transport: RTP/AVP/TCP;interleaved=0-1\r\n";
    assert_eq!(client.ask("SETUP", &format!("{url}/trackID=7"), tcp).await.status, 404);
    assert_eq!(client.ask("SETUP", &url, tcp).await.status, 459);
    assert_eq!(client.ask("SETUP", &format!("{url}/trackID=0"), tcp).await.status, 200);
    client.session = "wrong".into();
    assert_eq!(client.ask("PLAY", &url, "").await.status, 454);
    assert_eq!(client.ask("RECORD", &url, "").await.status, 454);
    client.session.clear();
    assert_eq!(client.ask("RECORD", &url, "").await.status, 501);
    client.socket.write_all(b"nonsense\r\n\r\n").await.unwrap();
    assert_eq!(client.answer().await.status, 400);
    assert!(client.packet().await.is_none(), "what is not RTSP ends the connection");
    cam.stop().await;
}

#[tokio::test]
async fn credentials_are_asked_for_and_checked() {
    for (auth, scheme) in
        [(Auth::basic("admin", "s3cret"), "Basic"), (Auth::digest("admin", "s3cret"), "Digest")]
    {
        let cam = camera(|o| o.auth = Some(auth)).await;
        let mut client = Client::connect(&cam.url()).await;
        let asked = client.ask("DESCRIBE", &cam.url(), "").await;
        assert_eq!(asked.status, 401);
        assert!(asked.header("WWW-Authenticate").starts_with(scheme), "{asked:?}");
        for (value, status) in [
            ("Basic YWRtaW46czNjcmV0", if scheme == "Basic" { 200 } else { 401 }),
            ("Basic YWRtaW46d3Jvbmc=", 401),
            ("Digest username=\"admin\"", 401),
            ("nonsense", 401),
        ] {
            client.authorization = Some(value.into());
            assert_eq!(client.ask("DESCRIBE", &cam.url(), "").await.status, status, "{value}");
        }
        let nonce = asked.header("WWW-Authenticate").split("nonce=\"").nth(1).unwrap_or("");
        let nonce = nonce.split('"').next().unwrap();
        for (password, status) in [("s3cret", 200), ("wrong", 401)] {
            let status = if scheme == "Basic" { 401 } else { status };
            client.authorization = Some(digest("DESCRIBE", &cam.url(), nonce, password));
            assert_eq!(client.ask("DESCRIBE", &cam.url(), "").await.status, status, "{password}");
        }
        client.authorization = Some(digest("DESCRIBE", &cam.url(), "other", "s3cret"));
        let again = client.ask("DESCRIBE", &cam.url(), "").await;
        let stale = again.header("WWW-Authenticate").contains("stale=true");
        assert_eq!((again.status, stale), (401, scheme == "Digest"));
        cam.stop().await;
    }
}

fn digest(method: &str, uri: &str, nonce: &str, password: &str) -> String {
    use md5::Digest as _;
    let md5 = |text: String| -> String {
        md5::Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let realm = "nightjar-testcam";
    let ha1 = md5(format!("admin:{realm}:{password}"));
    let ha2 = md5(format!("{method}:{uri}"));
    let response = md5(format!("{ha1}:{nonce}:00000001:cafe:auth:{ha2}"));
    format!(
        "Digest username=\"admin\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         qop=auth, nc=00000001, cnonce=\"cafe\", response=\"{response}\""
    )
}

#[tokio::test]
async fn a_paused_client_gets_nothing_until_it_plays_again() {
    let cam = camera(|_| {}).await;
    let mut client = Client::play(&cam.url(), &[0, 1]).await;
    client.rtp(0).await;
    assert_eq!(client.ask("PAUSE", &cam.url(), "").await.status, 200);
    client.media.clear();
    assert!(client.is_silent_for(Duration::from_millis(400)).await);
    assert_eq!(client.ask("PLAY", &cam.url(), "").await.status, 200);
    client.rtp(0).await;
    assert_eq!(client.ask("TEARDOWN", &cam.url(), "").await.status, 200);
    client.media.clear();
    assert!(client.is_silent_for(Duration::from_millis(400)).await);
    cam.stop().await;
}

#[tokio::test]
async fn a_client_that_asks_for_it_begins_at_a_key_frame() {
    let cam = camera(|o| {
        o.start = Start::KeyFrame;
        o.offset = Duration::from_millis(3700);
    })
    .await;
    let mut client = Client::play(&cam.url(), &[0]).await;
    assert_eq!(client.rtp(0).await.nal(), 7, "parameter sets come first");
    cam.stop().await;
}

#[tokio::test]
async fn a_session_without_a_sign_of_life_is_ended() {
    let cam = camera(|o| o.session_timeout = Duration::from_secs(1)).await;
    let mut client = Client::play(&cam.url(), &[1]).await;
    let before = Instant::now();
    while client.packet().await.is_some() {}
    let after = before.elapsed().as_secs_f64();
    assert!((1.3..2.5).contains(&after), "ended after {after} s");
    assert_eq!(cam.stats().expired, 1);
    cam.stop().await;
}

#[tokio::test]
async fn sound_is_made_in_g711() {
    for (sound, kind) in [(Sound::Pcmu, 0), (Sound::Pcma, 8)] {
        let cam = camera(|o| o.sound = sound).await;
        let mut client = Client::play(&cam.url(), &[1]).await;
        let (a, b) = (client.rtp(2).await, client.rtp(2).await);
        assert_eq!((a.payload_type, a.payload.len()), (kind, 160));
        assert_eq!(b.time.wrapping_sub(a.time), 160);
        cam.stop().await;
    }
}

#[tokio::test]
async fn filler_brings_the_stream_to_its_bit_rate() {
    let cam = camera(|o| {
        o.bitrate = Some(4_000_000);
        o.sound = Sound::Off;
    })
    .await;
    let mut client = Client::play(&cam.url(), &[0]).await;
    let first = client.rtp(0).await.time;
    let mut bytes = 0;
    let mut filler = 0;
    loop {
        let packet = client.rtp(0).await;
        if packet.time.wrapping_sub(first) > 4 * 90_000 {
            break;
        }
        bytes += packet.payload.len();
        filler += usize::from(packet.nal() == 12) * packet.payload.len();
    }
    let rate = bytes as f64 * 8.0 / 4.0;
    assert!((3.7e6..4.4e6).contains(&rate), "{rate} bit/s");
    assert!(filler * 2 > bytes, "most of it is filler");
    cam.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_nobody() {
    let cam = camera(|o| o.bitrate = Some(40_000_000)).await;
    let stuck = Client::play(&cam.url(), &[0, 1]).await;
    let mut other = Client::play(&cam.url(), &[0, 1]).await;
    let mut last = None;
    let mut frames = 0;
    while cam.stats().dropped == 0 || frames < 50 {
        let packet = timeout(Duration::from_secs(1), other.rtp(0)).await.expect("no hold-up");
        if let Some(last) = last {
            assert_eq!(packet.sequence, u16::wrapping_add(last, 1), "nothing is lost here");
        }
        last = Some(packet.sequence);
        frames += usize::from(packet.marker);
    }
    drop(stuck);
    cam.stop().await;
}

#[tokio::test]
async fn a_power_cycle_ends_connections_and_keeps_the_port() {
    let cam = camera(|_| {}).await;
    let mut client = Client::play(&cam.url(), &[0]).await;
    let port = cam.port();
    cam.power_off().await;
    while client.packet().await.is_some() {}
    assert!(tokio::net::TcpStream::connect(cam.addr()).await.is_err());
    cam.power_on().await.unwrap();
    assert_eq!(cam.port(), port);
    Client::play(&cam.url(), &[0]).await.rtp(0).await;
    cam.stop().await;
}
