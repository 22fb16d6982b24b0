use std::time::SystemTime;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::media::{Codec, Parameters};

fn video(generation: u32) -> Arc<[TrackInfo]> {
    Arc::from([TrackInfo {
        id: 0,
        kind: TrackKind::Video,
        codec: Codec::H264,
        timescale: 90_000,
        parameters: Parameters::Video { width: 640, height: 360 },
        generation,
        note: None,
    }])
}

fn frame(n: i64, key: bool, size: usize) -> Frame {
    Frame {
        track: 0,
        pts: n * 3_600,
        arrival: Instant::now(),
        wall: SystemTime::UNIX_EPOCH,
        key,
        generation: 0,
        loss: 0,
        data: Bytes::from(vec![0; size]),
        packets: Default::default(),
    }
}

fn drain(subscriber: &mut Subscriber) -> Vec<Result<i64, Gap>> {
    std::iter::from_fn(|| subscriber.try_next()).map(|item| item.map(|f| f.pts / 3_600)).collect()
}

async fn gap(subscriber: &mut Subscriber) -> Gap {
    subscriber.next().await.expect_err("a gap, not a frame")
}

const FRAME: Duration = Duration::from_millis(40);

#[tokio::test(start_paused = true)]
async fn r_m2_a_new_subscriber_starts_at_the_cached_key_frame() {
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(video(0)).expect("free");
    for n in 0..60 {
        publisher.push(frame(n, n % 25 == 0, 100));
        tokio::time::advance(FRAME).await;
    }
    let mut subscriber = slot.subscribe();
    assert_eq!(drain(&mut subscriber), (50..60).map(Ok).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_slot_flows_from_the_first_picture_of_a_session_to_its_end() {
    let slot = Slot::new(Limits::default());
    for _ in 0..2 {
        let publisher = slot.publish(video(0)).expect("free");
        assert!(slot.is_published() && !slot.is_flowing());
        publisher.push(Frame { track: 1, ..frame(0, true, 100) });
        assert!(!slot.is_flowing(), "sound is no picture");
        publisher.push(frame(0, false, 100));
        assert!(slot.is_flowing());
        drop(publisher);
        assert!(!slot.is_flowing());
    }
    let mut sound = video(0).to_vec();
    sound[0].kind = TrackKind::Audio;
    let publisher = slot.publish(sound.into()).expect("free");
    publisher.push(frame(0, true, 100));
    assert!(slot.is_flowing(), "where there is nothing else");
}

#[tokio::test(start_paused = true)]
async fn r_m2_a_slow_subscriber_skips_to_a_key_frame_and_the_other_sees_all() {
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(video(0)).expect("free");
    let (mut slow, mut quick) = (slot.subscribe(), slot.subscribe());
    let mut seen = Vec::new();
    for n in 0..200 {
        publisher.push(frame(n, n % 50 == 0, 100));
        tokio::time::advance(FRAME).await;
        seen.extend(drain(&mut quick));
    }
    assert_eq!(seen, (0..200).map(Ok).collect::<Vec<_>>());
    let late = drain(&mut slow);
    assert_eq!(late[0], Err(Gap::Skipped { frames: 150 }));
    assert_eq!(late[1..], (150..200).map(Ok).collect::<Vec<_>>());
    assert_eq!(slot.stats().skipped, 150);
}

#[tokio::test(start_paused = true)]
async fn a_group_of_pictures_over_the_cap_leaves_its_key_frame_as_a_still() {
    let slot = Slot::new(Limits { bytes: 3_000, ..Limits::default() });
    let publisher = slot.publish(video(0)).expect("free");
    for n in 0..30 {
        publisher.push(frame(n, n == 0, 100));
    }
    let mut subscriber = slot.subscribe();
    assert_eq!(drain(&mut subscriber), [Ok(0)]);
    publisher.push(frame(30, false, 100));
    assert_eq!(drain(&mut subscriber), [], "not decodable without its key frame");
    publisher.push(frame(31, true, 100));
    assert_eq!(drain(&mut subscriber), [Ok(31)]);
    assert!(slot.stats().ring_bytes <= 3_000);
}

#[tokio::test(start_paused = true)]
async fn an_earlier_session_s_picture_is_not_the_start_of_this_one() {
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(video(0)).expect("free");
    publisher.push(frame(0, true, 100));
    drop(publisher);
    let publisher = slot.publish(video(0)).expect("free again");
    publisher.push(frame(0, false, 100));
    let mut subscriber = slot.subscribe();
    assert_eq!(drain(&mut subscriber), [], "nothing of this session can be decoded yet");
    publisher.push(frame(1, true, 100));
    assert_eq!(drain(&mut subscriber), [Ok(1)]);
}

#[tokio::test(start_paused = true)]
async fn r_m7_a_camera_that_opens_and_sends_nothing_costs_no_memory() {
    let slot = Slot::new(Limits::default());
    for _ in 0..10_000 {
        drop(slot.publish(video(0)).expect("free"));
        tokio::time::advance(Duration::from_secs(30)).await;
    }
    assert!(slot.stats().ring_frames <= 4, "{:?}", slot.stats());
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_outlives_its_source() {
    let slot = Slot::new(Limits::default());
    let mut subscriber = slot.subscribe();
    for session in 0..2u32 {
        let publisher = slot.publish(video(0)).expect("free");
        assert!(matches!(slot.publish(video(0)), Err(Taken)));
        publisher.push(frame(0, true, 1));
        publisher.push(frame(1, false, 1));
        drop(publisher);
        // The slot keeps generations apart.
        assert_eq!(gap(&mut subscriber).await, Gap::TracksChanged(video(session)));
        assert_eq!(subscriber.next().await.expect("key").generation, session);
        assert_eq!(subscriber.next().await.expect("second").pts, 3_600);
        assert_eq!(gap(&mut subscriber).await, Gap::SourceLost);
    }
    slot.close();
    assert_eq!(gap(&mut subscriber).await, Gap::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_slept_through_a_reconnect_is_told_of_it() {
    let slot = Slot::new(Limits { bytes: 700, ..Limits::default() });
    let publisher = slot.publish(video(0)).expect("free");
    let mut subscriber = slot.subscribe();
    publisher.push(frame(0, true, 100));
    assert_eq!(drain(&mut subscriber), [Ok(0)]);
    drop(publisher);
    let publisher = slot.publish(video(0)).expect("free again");
    for n in 0..6 {
        publisher.push(frame(n, n == 4, 100));
    }
    assert_eq!(
        drain(&mut subscriber),
        [
            Err(Gap::Skipped { frames: 4 }),
            Err(Gap::SourceLost),
            Err(Gap::TracksChanged(video(1))),
            Ok(4),
            Ok(5)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_waiting_subscriber_wakes_and_a_cancelled_wait_takes_nothing() {
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(video(0)).expect("free");
    let mut subscriber = slot.subscribe();
    assert!(tokio::time::timeout(FRAME, subscriber.next()).await.is_err());
    let reader = tokio::spawn(async move { subscriber.next().await.map(|f| f.pts) });
    tokio::task::yield_now().await;
    publisher.push(frame(3, true, 1));
    assert_eq!(reader.await.expect("no panic"), Ok(3 * 3_600));
    assert_eq!(slot.stats().subscribers, 0);
}

#[tokio::test(start_paused = true)]
async fn who_shows_nothing_to_anybody_is_told_apart() {
    let slot = Slot::new(Limits::default());
    let figures = || (slot.stats().subscribers, slot.stats().unseen);
    let (viewer, recorder) = (slot.subscribe(), slot.subscribe().unseen().unseen());
    assert_eq!(figures(), (2, 1));
    drop(recorder);
    assert_eq!(figures(), (1, 0));
    drop(viewer);
    assert_eq!(figures(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_key_frame_request_reaches_the_publisher_once() {
    let slot = Slot::new(Limits::default());
    let publisher = slot.publish(video(0)).expect("free");
    slot.request_key_frame();
    slot.request_key_frame();
    publisher.key_frame_wanted().await;
    assert!(tokio::time::timeout(FRAME, publisher.key_frame_wanted()).await.is_err());
}

proptest! {
    /// Whatever the order of pushes, reads, losses and sizes: frames come in order, the first one after any
    /// gap is a key frame, and lost frames plus read frames plus undecodable frames add up.
    #[test]
    fn frames_come_in_order_and_begin_with_a_key(
        steps in prop::collection::vec((0u8..20, 1usize..400), 1..300)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().start_paused(true).enable_time().build()
            .expect("a runtime");
        runtime.block_on(async {
            let slot = Slot::new(Limits { bytes: 2_000, leeway: Duration::from_millis(200) });
            let mut publisher = Some(slot.publish(video(0)).expect("free"));
            let mut subscriber = slot.subscribe();
            let (mut n, mut last, mut need_key) = (0, -1, true);
            for (step, size) in steps {
                match step {
                    0 => publisher = None,
                    1..=4 => while let Some(item) = subscriber.try_next() {
                        match item {
                            Ok(frame) => {
                                let at = frame.pts / 3_600;
                                assert!(at > last, "{at} after {last}");
                                assert!(!need_key || frame.key, "{at} cannot be decoded");
                                (last, need_key) = (at, false);
                            }
                            Err(Gap::Closed) => unreachable!("nobody closed it"),
                            Err(_) => need_key = true,
                        }
                    },
                    _ => {
                        let key = step < 7;
                        publisher.get_or_insert_with(|| slot.publish(video(0)).expect("free"))
                            .push(frame(n, key, size));
                        n += 1;
                        tokio::time::advance(FRAME).await;
                    }
                }
                assert!(slot.stats().ring_bytes <= 2_000 + 400);
            }
        });
    }
}
