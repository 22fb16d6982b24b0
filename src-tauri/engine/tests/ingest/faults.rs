//! What becomes of a session when the camera misbehaves.

use nightjar_engine::media::Parameters;
use nightjar_engine::source::SourceErrorCode as Code;
use nightjar_testcam::{Fault, TestCam};
use tokio::time::Instant;

use super::*;

async fn cam(fault: Fault) -> TestCam {
    TestCam::spawn(Options { fault, ..healthy() }).await.unwrap()
}

async fn refusal(fault: Fault) -> SourceError {
    open(options(&cam(fault).await.url())).await.err().expect("the camera refuses")
}

fn quick(cam: &TestCam) -> RtspOptions {
    let mut options = options(&cam.url());
    options.keepalive_timeout = Duration::from_secs(1);
    options
}

#[tokio::test]
async fn refusals_have_their_codes() {
    assert_eq!(refusal(Fault::Unauthorized).await.code, Code::Unauthorized);
    assert_eq!(refusal(Fault::NotFound).await.code, Code::NotFound);
    assert_eq!(refusal(Fault::Refuse).await.code, Code::Unreachable);
    let garbage = refusal(Fault::GarbageSdp).await;
    assert!(matches!(garbage.code, Code::Protocol | Code::NoCodec), "{garbage:?}");
}

#[tokio::test]
async fn a_camera_that_never_answers_is_given_up_in_time() {
    let cam = cam(Fault::Dead).await;
    let mut options = options(&cam.url());
    options.tcp_timeout = Duration::from_secs(1);
    let begun = Instant::now();
    let error = open(options).await.err().unwrap();
    assert_eq!(error.code, Code::Timeout);
    assert!(error.detail.contains("DESCRIBE"), "{}", error.detail);
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn r_k1_a_dead_camera_is_noticed_within_interval_plus_timeout() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let cam = cam(Fault::None).await;
        let mut options = quick(&cam);
        options.transport = transport;
        let mut watched = open(options).await.unwrap();
        watched.key().await.unwrap();
        cam.set_fault(Fault::Dead).await;
        let died = Instant::now();
        let error = watched.end().await;
        assert_eq!(error.code, Code::KeepaliveUnanswered, "{error}");
        // Interval and timeout are a second each here; silence counts from 4.5 s on (R-K4).
        let took = died.elapsed();
        assert!(took > Duration::from_secs(4) && took < Duration::from_secs(6), "{took:?} by {transport:?}");
        assert!(watched.session.stats().keepalive_missed >= 1);
    }
}

#[tokio::test]
async fn r_k1_unanswered_keep_alives_are_a_warning_while_media_flows() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let cam = cam(Fault::NoKeepaliveAnswer).await;
        let mut options = quick(&cam);
        options.transport = transport;
        let mut watched = open(options).await.unwrap();
        let until = Instant::now() + Duration::from_millis(4_500);
        while Instant::now() < until {
            watched.frame().await.unwrap();
        }
        let codes: Vec<_> = watched.warnings.iter().map(|w| w.code).collect();
        assert_eq!(codes, [Code::KeepaliveUnanswered], "once, not each time");
        assert!(watched.session.stats().keepalive_missed >= 3);
    }
}

#[tokio::test]
async fn a_camera_without_media_that_answers_stays_open() {
    let cam = cam(Fault::None).await;
    let mut watched = open(quick(&cam)).await.unwrap();
    watched.key().await.unwrap();
    cam.set_fault(Fault::Silent).await;
    let seen = cam.stats().keep_alives;
    timeout(SOON, async {
        tokio::select! {
            () = cam.wait(|s| s.keep_alives >= seen + 4) => {}
            // What was on the way may still come.
            error = watched.end() => panic!("{error}"),
        }
    })
    .await
    .unwrap();
    cam.set_fault(Fault::None).await;
    watched.key().await.unwrap();
}

#[tokio::test]
async fn wrong_numbers_and_refused_keep_alives_change_nothing() {
    for fault in [Fault::WrongCseq, Fault::KeepaliveError(454), Fault::KeepaliveError(501)] {
        let cam = cam(fault).await;
        let mut watched = open(quick(&cam)).await.unwrap();
        timeout(SOON, async {
            tokio::select! {
                () = cam.wait(|s| s.keep_alives >= 4) => {}
                error = watched.end() => panic!("{fault}: {error}"),
            }
        })
        .await
        .unwrap();
        assert_eq!(watched.session.stats().keepalive_missed, 0, "{fault}");
        assert!(watched.warnings.is_empty(), "{fault}");
    }
}

#[tokio::test]
async fn a_closed_and_a_reset_connection_are_told_apart() {
    for (fault, code) in [
        (Fault::Close(Duration::from_millis(300)), Code::Closed),
        (Fault::Reset(Duration::from_millis(300)), Code::Reset),
    ] {
        let cam = cam(fault).await;
        let mut watched = open(options(&cam.url())).await.unwrap();
        let error = watched.end().await;
        assert_eq!(error.code, code, "{error}");
        assert_eq!(watched.end().await.code, code, "the end is final");
    }
}

#[tokio::test]
async fn another_resolution_raises_the_generation_at_its_key_frame() {
    let cam = cam(Fault::ChangeResolution).await;
    let mut watched = open(options(&cam.url())).await.unwrap();
    let mut size = watched.track(TrackKind::Video).dimensions();
    let mut changes = 0;
    while changes < 2 {
        match watched.event().await.unwrap() {
            SessionEvent::Tracks => {
                changes += 1;
                let now = watched.track(TrackKind::Video);
                assert_eq!(now.generation, changes);
                let frame = watched.of(TrackKind::Video).await.unwrap();
                assert!(frame.key && frame.generation == changes);
                assert_ne!(now.dimensions(), size);
                size = now.dimensions();
            }
            SessionEvent::Frame(_) => {}
            SessionEvent::Warning(warning) => panic!("{warning}"),
        }
    }
}

#[tokio::test]
async fn b_frames_are_noticed() {
    let cam = cam(Fault::BFrames).await;
    let mut watched = open(options(&cam.url())).await.unwrap();
    let (mut newest, mut back) = (i64::MIN, 0);
    for _ in 0..150 {
        let frame = watched.of(TrackKind::Video).await.unwrap();
        back += u32::from(frame.pts < newest);
        newest = newest.max(frame.pts);
    }
    assert!(back > 5, "{back} frames came back in time");
    assert!(watched.track(TrackKind::Video).reorder() >= 1);
}

#[tokio::test]
async fn a_camera_that_sent_damaged_packets_can_be_opened_again() {
    for transport in [options, by_udp] {
        let cam = cam(Fault::None).await;
        let mut watched = open(transport(&cam.url())).await.unwrap();
        watched.key().await.unwrap();
        cam.set_fault(Fault::GarbageRtp).await;
        // It may end, it may go on: the damage is of any kind.
        let _ = timeout(Duration::from_secs(3), watched.end()).await;
        cam.set_fault(Fault::None).await;
        let mut watched = open(transport(&cam.url())).await.unwrap();
        watched.key().await.unwrap();
    }
}

#[tokio::test]
async fn reports_and_sound_that_cannot_be_read_cost_no_picture() {
    for (fault, transport) in [
        (Fault::GarbageRtcp, options as fn(&str) -> RtspOptions),
        (Fault::GarbageRtcp, by_udp),
        (Fault::GarbageSound, options),
        (Fault::GarbageSound, by_udp),
    ] {
        let reports = Duration::from_millis(200);
        let cam = TestCam::spawn(Options { sender_reports: reports, ..healthy() }).await.unwrap();
        let mut watched = open(transport(&cam.url())).await.unwrap();
        let mut last = watched.key().await.unwrap().pts;
        let next = watched.of(TrackKind::Video).await.unwrap().pts;
        let pace = next - std::mem::replace(&mut last, next);
        cam.set_fault(fault).await;
        for _ in 0..40 {
            let frame = watched.of(TrackKind::Video).await.unwrap();
            assert_eq!((frame.pts - last, frame.loss), (pace, 0), "{fault}");
            last = frame.pts;
        }
    }
}

#[tokio::test]
async fn a_camera_whose_sound_cannot_be_read_has_its_picture_at_the_next_attempt() {
    let cam = cam(Fault::UnmarkedSound).await;
    let mut source = RtspSource::new(options(&cam.url()), Env::system());
    let session = source.open().await.unwrap();
    let error = Watched { session, warnings: Vec::new() }.end().await;
    assert_eq!(error.code, Code::Protocol, "{error}");
    let session = source.open().await.unwrap();
    let mut watched = Watched { session, warnings: Vec::new() };
    watched.key().await.unwrap();
    for _ in 0..20 {
        watched.of(TrackKind::Video).await.unwrap();
    }
    let codes: Vec<_> = watched.warnings.iter().map(|w| w.code).collect();
    assert_eq!(codes, [Code::NoSound]);
    assert!(watched.track(TrackKind::Audio).note.is_some());
}

#[tokio::test]
async fn garbage_between_packets_ends_the_session() {
    let cam = cam(Fault::None).await;
    let mut watched = open(quick(&cam)).await.unwrap();
    watched.key().await.unwrap();
    cam.set_fault(Fault::GarbageRtsp).await;
    let error = watched.end().await;
    assert!(matches!(error.code, Code::Protocol | Code::KeepaliveUnanswered), "{error:?}");
}

#[tokio::test]
async fn a_frame_that_never_ends_is_a_dead_camera() {
    let cam = cam(Fault::None).await;
    let mut watched = open(quick(&cam)).await.unwrap();
    watched.key().await.unwrap();
    cam.set_fault(Fault::StopMidFrame).await;
    assert_eq!(watched.end().await.code, Code::KeepaliveUnanswered);
}

#[tokio::test]
async fn sound_without_pictures_is_a_session_too() {
    let cam = cam(Fault::AudioOnly).await;
    let mut watched = open(options(&cam.url())).await.unwrap();
    let tracks = watched.session.tracks();
    assert_eq!((tracks.len(), tracks[0].kind), (1, TrackKind::Audio));
    assert!(matches!(tracks[0].parameters, Parameters::Aac { .. }));
    assert!(watched.frame().await.unwrap().key);
}

#[tokio::test]
async fn a_dropped_attempt_leaves_no_session_behind() {
    let cam = cam(Fault::None).await;
    for delay in [0, 1, 2, 3, 5, 8] {
        let mut source = RtspSource::new(options(&cam.url()), Env::system());
        let _ = timeout(Duration::from_millis(delay), source.open()).await;
    }
    timeout(SOON, cam.wait(|s| s.open == 0 && s.playing == 0)).await.unwrap();
}

#[tokio::test]
async fn a_camera_of_sound_alone_tells_when_it_offers_pictures_again() {
    let cam = cam(Fault::AudioOnly).await;
    let source = RtspSource::new(options(&cam.url()), Env::system());
    assert!(!timeout(SOON, source.offers_pictures()).await.unwrap());
    cam.set_fault(Fault::None).await;
    assert!(timeout(SOON, source.offers_pictures()).await.unwrap());
    cam.power_off().await;
    assert!(!timeout(SOON, source.offers_pictures()).await.unwrap());
}
