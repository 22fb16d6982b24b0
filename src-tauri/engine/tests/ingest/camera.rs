//! What a healthy camera gives, by every transport, and what it hears.

use nightjar_engine::ingest::{Question, probe};
use nightjar_engine::media::{Codec, Parameters};
use nightjar_engine::source::{Reach, SourceErrorCode as Code};
use nightjar_testcam::{Auth, ControlUrls, Fault, ParameterSets, Quirks, Sound, TestCam, Transports};

use super::*;

async fn watch_a_while(options: RtspOptions) -> Watched {
    let mut watched = open(options).await.unwrap();
    let tracks = watched.session.tracks();
    assert_eq!((tracks[0].id, tracks[0].kind, tracks[0].codec), (0, TrackKind::Video, Codec::H264));
    assert_eq!((tracks[1].id, tracks[1].kind, tracks[1].codec), (1, TrackKind::Audio, Codec::Aac));
    let key = watched.key().await.unwrap();
    let kinds = units(&key.data);
    assert!(kinds.contains(&5) && !kinds.contains(&7) && !kinds.contains(&8), "{kinds:?}");
    // Sound and pictures are on one clock: frames that arrive together are together.
    let picture = watched.of(TrackKind::Video).await.unwrap();
    let sound = watched.of(TrackKind::Audio).await.unwrap();
    let seconds = |frame: &Frame| {
        frame.pts as f64 / f64::from(watched.session.tracks()[usize::from(frame.track)].timescale)
    };
    let apart = seconds(&picture) - seconds(&sound);
    assert!(apart.abs() < 0.5, "{apart}");
    assert!(seconds(&picture) < 10.0);
    watched
}

#[tokio::test]
async fn r_m1_pictures_and_sound_over_tcp_and_a_goodbye() {
    let cam = TestCam::spawn(healthy()).await.unwrap();
    let watched = watch_a_while(options(&cam.url())).await;
    let Parameters::H264 { width, height, reorder, sps, pps } = watched.track(TrackKind::Video).parameters
    else {
        panic!("H.264 has its parameters from the description");
    };
    assert!(width > 300 && height > 200 && reorder == 0 && sps[0] == 0x67 && pps[0] == 0x68);
    let Parameters::Aac { config, sample_rate, channels } = watched.track(TrackKind::Audio).parameters else {
        panic!("AAC has its configuration from the description");
    };
    assert!(config.len() >= 2 && sample_rate >= 8_000 && channels >= 1);
    assert_eq!(watched.session.stats().lost, 0);
    drop(watched);
    timeout(SOON, cam.wait(|s| s.teardowns == 1 && s.open == 0)).await.unwrap();
}

#[tokio::test]
async fn r_m1_pictures_and_sound_over_udp_and_a_goodbye() {
    let cam = TestCam::spawn(healthy()).await.unwrap();
    let watched = watch_a_while(by_udp(&cam.url())).await;
    timeout(SOON, cam.wait(|s| s.keep_alives > 0)).await.unwrap();
    drop(watched);
    timeout(SOON, cam.wait(|s| s.teardowns == 1 && s.open == 0)).await.unwrap();
}

#[tokio::test]
async fn r_m1_rtsps_with_a_pinned_certificate() {
    let cam = TestCam::spawn(Options { tls: true, auth: Some(Auth::digest("admin", "secret")), ..healthy() });
    let cam = cam.await.unwrap();
    let report = probe(with_password(&cam.url(), "admin", "secret"), &Env::system()).await.unwrap();
    let mut pinned = with_password(&cam.url(), "admin", "secret");
    pinned.tls_fingerprint = report.tls_fingerprint;
    assert!(pinned.tls_fingerprint.is_some());
    watch_a_while(pinned.clone()).await;

    pinned.tls_fingerprint = Some([7; 32]);
    let error = open(pinned).await.err().unwrap();
    assert_eq!(error.code, Code::Tls);
    assert!(error.detail.contains("another certificate"), "{}", error.detail);
}

#[tokio::test]
async fn r_m1_digest_and_basic_with_the_right_password_and_the_wrong_one() {
    for auth in [Auth::digest("admin", "s3cret:x"), Auth::basic("admin", "s3cret:x")] {
        let cam = TestCam::spawn(Options { auth: Some(auth), ..healthy() }).await.unwrap();
        watch_a_while(with_password(&cam.url(), "admin", "s3cret:x")).await;
        // One refusal a connection is all that it costs.
        assert_eq!(cam.stats().requests.iter().filter(|r| r.status == 401).count(), 1);

        let error = open(with_password(&cam.url(), "admin", "s3cret:y")).await.err().unwrap();
        assert_eq!(error.code, Code::Unauthorized);
        assert!(error.detail.contains("127.0.0.1") && !error.detail.contains("s3cret"), "{}", error.detail);
        let error = open(options(&cam.url())).await.err().unwrap();
        assert_eq!(error.code, Code::Unauthorized);
        assert!(error.detail.contains("wants"), "{}", error.detail);
    }
}

#[tokio::test]
async fn a_stale_nonce_is_answered_anew() {
    let quirks = Quirks { nonce_lifetime: Duration::from_millis(700), ..Quirks::default() };
    let auth = Some(Auth::digest("admin", "secret"));
    let cam = TestCam::spawn(Options { auth, quirks, ..healthy() }).await.unwrap();
    let mut with = with_password(&cam.url(), "admin", "secret");
    with.keepalive_timeout = Duration::from_secs(1);
    let mut watched = open(with).await.unwrap();
    let asked = cam.wait(|s| s.requests.iter().filter(|r| r.keep_alive && r.status == 200).count() >= 4);
    tokio::pin!(asked);
    loop {
        tokio::select! {
            () = &mut asked => break,
            frame = watched.frame() => { frame.unwrap(); }
        }
    }
    assert!(watched.warnings.is_empty());
}

#[tokio::test]
async fn r_m3_g711_in_both_laws_and_no_sound_where_none_is_wanted() {
    let cam = TestCam::spawn(Options { sound: Sound::Pcmu, ..healthy() }).await.unwrap();
    let mut watched = open(options(&cam.url())).await.unwrap();
    let audio = watched.track(TrackKind::Audio);
    assert_eq!((audio.codec, audio.timescale), (Codec::Pcmu, 8_000));
    assert_eq!(audio.parameters, Parameters::Audio { sample_rate: 8_000, channels: 1 });
    assert!(!watched.of(TrackKind::Audio).await.unwrap().data.is_empty());
    let cam = TestCam::spawn(Options { sound: Sound::Pcma, ..healthy() }).await.unwrap();
    let mut watched = open(options(&cam.url())).await.unwrap();
    assert_eq!(watched.track(TrackKind::Audio).codec, Codec::Pcma);
    assert!(watched.of(TrackKind::Audio).await.unwrap().key);
    let mut silent = options(&cam.url());
    silent.audio = false;
    assert_eq!(open(silent).await.unwrap().session.tracks().len(), 1);
}

#[tokio::test]
async fn parameter_sets_in_band_only_are_told_before_their_key_frame() {
    for transport in [options, by_udp] {
        let sets = Options { parameter_sets: ParameterSets::InBandOnly, ..healthy() };
        let cam = TestCam::spawn(sets).await.unwrap();
        let mut watched = open(transport(&cam.url())).await.unwrap();
        assert_eq!(watched.track(TrackKind::Video).parameters, Parameters::Unknown);
        loop {
            match watched.event().await.unwrap() {
                SessionEvent::Tracks => break,
                SessionEvent::Frame(frame) => {
                    assert!(!frame.key || frame.track != 0, "no key without parameters")
                }
                SessionEvent::Warning(warning) => panic!("{warning}"),
            }
        }
        assert!(matches!(watched.track(TrackKind::Video).parameters, Parameters::H264 { .. }));
        assert_eq!(watched.track(TrackKind::Video).generation, 1);
        assert!(watched.frame().await.unwrap().key);
    }
}

#[tokio::test]
async fn parameter_sets_in_the_description_only_suffice() {
    let sets = Options { parameter_sets: ParameterSets::SdpOnly, ..healthy() };
    let cam = TestCam::spawn(sets).await.unwrap();
    let mut watched = open(options(&cam.url())).await.unwrap();
    watched.key().await.unwrap();
    watched.key().await.unwrap();
    assert_eq!(watched.track(TrackKind::Video).generation, 0);
}

#[tokio::test]
async fn cameras_that_describe_themselves_oddly_are_understood() {
    for quirks in [
        Quirks { content_base: false, ..Quirks::default() },
        Quirks { shows_timeout: false, rtp_info: false, ..Quirks::default() },
        Quirks { control: ControlUrls::Absolute, content_base: false, ..Quirks::default() },
        Quirks { control: ControlUrls::ForeignHost, ..Quirks::default() },
    ] {
        let cam = TestCam::spawn(Options { quirks: quirks.clone(), ..healthy() }).await.unwrap();
        watch_a_while(options(&cam.url())).await;
        watch_a_while(by_udp(&cam.url())).await;
    }
}

#[tokio::test]
async fn a_refused_transport_names_the_other() {
    let cam = TestCam::spawn(Options { transports: Transports::Udp, ..healthy() }).await.unwrap();
    let error = open(options(&cam.url())).await.err().unwrap();
    assert_eq!(error.code, Code::Rejected);
    assert!(error.detail.contains("UDP"), "{}", error.detail);
    watch_a_while(by_udp(&cam.url())).await;
}

#[tokio::test]
async fn r_k1_r_k6_keep_alives_at_the_pace_with_get_parameter_and_few_bytes() {
    let quirks = Quirks { get_parameter: false, ..Quirks::default() };
    let plain = TestCam::spawn(healthy()).await.unwrap();
    let without = TestCam::spawn(Options { quirks, ..healthy() }).await.unwrap();
    for (cam, method) in [(plain, "GET_PARAMETER"), (without, "OPTIONS")] {
        let mut with = options(&cam.url());
        with.keepalive_timeout = Duration::from_secs(1);
        let mut watched = open(with).await.unwrap();
        let asked = cam.wait(|s| s.keep_alives >= 4);
        tokio::pin!(asked);
        loop {
            tokio::select! {
                () = &mut asked => break,
                frame = watched.frame() => { frame.unwrap(); }
            }
        }
        let stats = cam.stats();
        let asked: Vec<_> = stats.requests.iter().filter(|r| r.keep_alive).collect();
        assert_eq!(asked[0].method, "OPTIONS");
        for pair in asked.windows(2) {
            let pace = pair[1].at - pair[0].at;
            assert_eq!(pair[1].method, method);
            assert!(pace > Duration::from_millis(700) && pace < Duration::from_millis(1_500), "{pace:?}");
        }
        for request in &asked {
            let headers: usize = request.headers.iter().map(|(n, v)| n.len() + v.len() + 4).sum();
            let bytes = request.method.len() + request.uri.len() + " RTSP/1.0\r\n\r\n ".len() + headers;
            // At the default pace of one in five seconds that is 50 bytes a second.
            assert!(bytes < 250, "{bytes}");
        }
        assert!(watched.session.stats().keepalive_rtt_us.unwrap() < 1_000_000);
        assert_eq!(watched.session.stats().keepalive_missed, 0);
    }
}

#[tokio::test]
async fn a_probe_tells_what_there_is() {
    let cam = TestCam::spawn(healthy()).await.unwrap();
    let report = timeout(SOON, probe(options(&cam.url()), &Env::system())).await.unwrap().unwrap();
    let video = &report.figures[0];
    let rate = video.rate.unwrap();
    assert!((rate - cam.options().clip.fps() as f32).abs() < 2.0, "{rate}");
    assert!(video.bitrate.unwrap() > 10_000 && video.key_frame_interval.is_some() && !video.b_frames);
    let (track, key) = report.key_frame.unwrap();
    assert!(key.key && track.dimensions().is_some());
    assert_eq!(report.keepalive, Some(Question::GetParameter));
    assert!(report.first_frame.unwrap() <= report.first_key_frame.unwrap());
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
}

/// A look begins anywhere between two key frames.
#[tokio::test]
async fn a_probe_tells_how_far_key_frames_are_apart_whenever_it_begins() {
    let looks = (0..4).map(|n| async move {
        let offset = Duration::from_millis(300 + n * 1_000);
        let cam = TestCam::spawn(Options { offset, ..Options::default() }).await.unwrap();
        let report = timeout(SOON, probe(options(&cam.url()), &Env::system())).await.unwrap().unwrap();
        let interval = report.figures[0].key_frame_interval.expect("two were seen").as_secs_f32();
        assert!((interval - 4.0).abs() < 0.2, "{offset:?}: {interval}");
        assert_eq!(report.figures[0].key_frame_at_least, None);
    });
    let rare = async {
        let fault = Fault::HugeGop;
        let cam = TestCam::spawn(Options { fault, ..Options::default() }).await.unwrap();
        let report = timeout(SOON, probe(options(&cam.url()), &Env::system())).await.unwrap().unwrap();
        assert_eq!(report.figures[0].key_frame_interval, None);
        let at_least = report.figures[0].key_frame_at_least.expect("one at most was seen");
        assert!(at_least > Duration::from_secs(5) && at_least < Duration::from_secs(11), "{at_least:?}");
    };
    tokio::join!(futures_util::future::join_all(looks), rare);
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let cam = TestCam::spawn(healthy()).await.unwrap();
    let source = RtspSource::new(options(&cam.url()), Env::system());
    assert_eq!(source.reach().await, Reach::Answers);
    cam.power_off().await;
    assert_eq!(source.reach().await, Reach::Nothing);
    // As of a program that is frozen: the system takes the connection, and nobody reads.
    let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let frozen_url = format!("rtsp://{}/", frozen.local_addr().unwrap());
    let source = RtspSource::new(options(&frozen_url), Env::system());
    assert_eq!(source.reach().await, Reach::Accepts);
    let error = open(options(&cam.url())).await.err().unwrap();
    assert_eq!(error.code, Code::Unreachable);
    assert!(error.detail.contains("refused"), "{}", error.detail);
    let error = open(options("rtsp://camera.invalid/live")).await.err().unwrap();
    assert_eq!(error.code, Code::Dns);
}
