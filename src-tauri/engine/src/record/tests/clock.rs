//! The computer's clock is set while something is recorded, or between two runs.

use super::*;
use crate::store::{FoundSegment, MAIN, NewSegment, micros};

const FILMED: u64 = 1_795_186_242;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

#[tokio::test]
async fn what_is_missing_after_the_clock_was_set_back_is_told() {
    let back = Duration::from_secs(3_600);
    // As of the moment in which the disk goes.
    let env = Env::fixed(move || at(FILMED + 8) - back, 1);
    let bench = Bench::at(tempfile::tempdir().unwrap(), 900, 0, &env);
    let (slot, recording) = bench.camera("cam");
    until("ready", || bench.recorder.figures().free_bytes > 0).await;
    recording.switch(true, false);
    let mut cam = Cam::on(&slot, &Clip::h264());
    cam.give(4.0).await;
    cam.began -= back;
    cam.give(4.0).await;
    let newest = || bench.rows().into_iter().min_by_key(|row| row.start_us);
    until("on the disk", || {
        bench.rows().len() == 2 && newest().is_some_and(|row| row.end_us - row.start_us > 1_500_000)
    })
    .await;
    let aside = bench.dir.path().join("aside");
    fs::rename(bench.root(), &aside).unwrap();
    until("noticed", || state(&recording) == State::StorageLost).await;
    cam.give(4.0).await;
    fs::rename(&aside, bench.root()).unwrap();
    until("back", || state(&recording) == State::Recording).await;
    cam.give(3.0).await;
    until("recorded again", || bench.rows().len() == 3).await;
    let gaps = bench.catalogue.gaps(Query { camera: Some("cam"), from_us: 0, to_us: i64::MAX }).unwrap();
    let [gap] = &gaps[..] else { panic!("one gap: {gaps:?}") };
    let file = newest().expect("there");
    assert!(gap.start_us.abs_diff(file.end_us) < 2_500_000, "{gap:?} after {file:?}");
    assert!(gap.end_us.expect("it is over") - gap.start_us >= 3_000_000, "{gap:?}");
    slot.close();
    bench.close().await;
}

#[tokio::test]
async fn what_the_program_missed_is_told_although_recordings_lie_ahead_of_the_clock() {
    let now = FILMED + 100;
    let bench = Bench::at(tempfile::tempdir().unwrap(), 900, 0, &Env::fixed(move || at(now), 1));
    let found = |n: u128, from: u64, until: u64| FoundSegment {
        segment: NewSegment {
            id: uuid::Uuid::from_u128(n),
            camera: "cam".to_owned(),
            disk: MAIN.to_owned(),
            path: format!("cam/2026-11-20/cam_20261120_12000{n}.mp4"),
            start_us: micros(at(from)),
            codec: "h264".to_owned(),
            width: 320,
            height: 180,
        },
        end_us: micros(at(until)),
        bytes: 1_000,
        state: SegmentState::Sealed,
        protected: false,
    };
    // The second was made before the clock was set back.
    let rows = [found(1, FILMED, FILMED + 40), found(2, FILMED + 4_000, FILMED + 4_100)];
    bench.catalogue.segments_found(&rows).unwrap();
    let (_slot, recording) = bench.camera("cam");
    recording.set_plan(Plan::new(|_| true));
    recording.switch(false, true);
    let gaps = || bench.catalogue.gaps(Query { camera: Some("cam"), from_us: 0, to_us: i64::MAX }).unwrap();
    until("noted", || !gaps().is_empty()).await;
    let gap = &gaps()[0];
    assert_eq!((gap.start_us, gap.end_us), (micros(at(FILMED + 40)), Some(micros(at(now)))));
    bench.close().await;
}
