use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Context;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep};

use super::*;
use crate::hub::{Gap, Limits};
use crate::media::{Codec, Parameters};
use crate::source::{BoxFuture, Reach};

/// What a scripted camera does in one attempt: fail to open, or give `frames` at 25 per second and then
/// end as told.
#[derive(Clone)]
enum Attempt {
    Refuse(SourceErrorCode),
    Play {
        frames: u32,
        then: Then,
    },
    /// Sound alone, for ever.
    Sound,
}

#[derive(Clone, Copy)]
enum Then {
    Fail(SourceErrorCode),
    Silence,
    Panic,
}

#[derive(Clone)]
struct Script {
    attempts: Arc<Mutex<VecDeque<Attempt>>>,
    opened: Arc<Mutex<Vec<Instant>>>,
    reach: Arc<Mutex<Reach>>,
    offers: Arc<Mutex<bool>>,
}

struct ScriptedSource(Script);

struct ScriptedSession {
    kind: TrackKind,
    left: u32,
    number: i64,
    then: Then,
    timer: Pin<Box<Sleep>>,
}

const FRAME: Duration = Duration::from_millis(40);

impl Source for ScriptedSource {
    fn open(&mut self) -> BoxFuture<'_, Result<Box<dyn Session>, SourceError>> {
        self.0.opened.lock().unwrap().push(Instant::now());
        let attempt = self.0.attempts.lock().unwrap().pop_front().expect("an attempt in the script");
        Box::pin(async move {
            match attempt {
                Attempt::Refuse(code) => Err(SourceError::new(code, "scripted")),
                Attempt::Sound => Ok(Box::new(ScriptedSession {
                    kind: TrackKind::Audio,
                    left: u32::MAX,
                    number: 0,
                    then: Then::Silence,
                    timer: Box::pin(sleep(FRAME)),
                }) as Box<dyn Session>),
                Attempt::Play { frames, then } => Ok(Box::new(ScriptedSession {
                    kind: TrackKind::Video,
                    left: frames,
                    number: 0,
                    then,
                    timer: Box::pin(sleep(FRAME)),
                }) as Box<dyn Session>),
            }
        })
    }

    fn reach(&self) -> BoxFuture<'static, Reach> {
        Box::pin(std::future::ready(*self.0.reach.lock().unwrap()))
    }

    fn offers_pictures(&self) -> BoxFuture<'static, bool> {
        Box::pin(std::future::ready(*self.0.offers.lock().unwrap()))
    }
}

impl Session for ScriptedSession {
    fn tracks(&self) -> Arc<[TrackInfo]> {
        Arc::from([TrackInfo {
            id: 0,
            kind: self.kind,
            codec: if self.kind == TrackKind::Video { Codec::H264 } else { Codec::Pcmu },
            timescale: 90_000,
            parameters: match self.kind {
                TrackKind::Video => Parameters::Video { width: 640, height: 360 },
                TrackKind::Audio => Parameters::Audio { sample_rate: 8_000, channels: 1 },
            },
            generation: 0,
            note: None,
        }])
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<SessionEvent, SourceError>> {
        if self.left == 0 {
            match self.then {
                Then::Fail(code) => return Poll::Ready(Err(SourceError::new(code, "scripted"))),
                Then::Silence => return Poll::Pending,
                Then::Panic => panic!("scripted"),
            }
        }
        std::task::ready!(self.timer.as_mut().poll(cx));
        self.timer.as_mut().reset(Instant::now() + FRAME);
        self.left -= 1;
        self.number += 1;
        Poll::Ready(Ok(SessionEvent::Frame(Frame {
            track: 0,
            pts: self.number * 3_600,
            arrival: Instant::now(),
            wall: SystemTime::UNIX_EPOCH,
            key: self.number % 25 == 1,
            generation: 0,
            loss: 0,
            data: Bytes::from_static(&[0; 1_000]),
            packets: Default::default(),
        })))
    }
}

struct Bench {
    script: Script,
    slot: Slot,
    status: StatusCell,
    orders: mpsc::Sender<Order>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    start: Instant,
}

impl Bench {
    async fn run(attempts: impl IntoIterator<Item = Attempt>, policy: Policy) -> Self {
        let script = Script {
            attempts: Arc::new(Mutex::new(attempts.into_iter().collect())),
            opened: Arc::default(),
            reach: Arc::new(Mutex::new(Reach::Nothing)),
            offers: Arc::default(),
        };
        let env = Env::fixed(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_007), 5);
        let slot = Slot::new(Limits::default());
        let status = StatusCell::new(env.wall(), Arc::new(watch::Sender::new(0)));
        let (orders, inbox) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let supervisor = Supervisor::new(slot.clone(), status.clone(), env);
        let task = tokio::spawn(supervisor.run(inbox, stop.clone()));
        let source = Box::new(ScriptedSource(script.clone()));
        orders.send(Order::Run { source, policy }).await.expect("it listens");
        Self { script, slot, status, orders, stop, task, start: Instant::now() }
    }

    async fn until(&self, what: impl Fn(&Phase) -> bool) -> Duration {
        let mut changes = self.status.watch();
        while !what(&self.status.get().phase) {
            changes.changed().await.expect("the supervisor lives");
        }
        self.start.elapsed()
    }

    fn attempts_at(&self) -> Vec<f64> {
        let opened = self.script.opened.lock().unwrap();
        opened.iter().map(|at| at.duration_since(self.start).as_secs_f64()).collect()
    }
}

fn failed(phase: &Phase) -> bool {
    matches!(phase, Phase::Failed { .. })
}

fn live(phase: &Phase) -> bool {
    matches!(phase, Phase::Live)
}

#[tokio::test(start_paused = true)]
async fn r_n5_attempts_follow_the_schedule_and_end_in_failed() {
    let refuse = Attempt::Refuse(SourceErrorCode::Closed);
    let bench = Bench::run(vec![refuse; 6], Policy::default()).await;
    bench.until(failed).await;
    let at = bench.attempts_at();
    assert_eq!(at.len(), 6);
    assert_eq!(at[1], 0.0, "the first retry is at once");
    for (pair, full) in at[1..].windows(2).zip([5.0, 10.0, 20.0, 40.0]) {
        let wait = pair[1] - pair[0];
        assert!((0.8 * full..=full + 0.01).contains(&wait), "{wait} of {full}");
    }
}

#[tokio::test(start_paused = true)]
async fn r_n5_a_camera_that_answers_but_never_in_time_is_waited_for_all_the_same() {
    let late = Attempt::Refuse(SourceErrorCode::Timeout);
    let bench = Bench::run(vec![late; 6], Policy::default()).await;
    *bench.script.reach.lock().unwrap() = Reach::Answers;
    bench.until(failed).await;
    let at = bench.attempts_at();
    for (pair, full) in at[1..].windows(2).zip([5.0, 10.0, 20.0, 40.0]) {
        let wait = pair[1] - pair[0];
        assert!((0.8 * full..=full + 0.01).contains(&wait), "{wait} of {full}");
    }
    assert_eq!(at.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn r_k2_silence_is_shown_then_decided_and_viewers_are_told() {
    let play = |then| Attempt::Play { frames: 50, then };
    let bench = Bench::run([play(Then::Silence), play(Then::Silence)], Policy::default()).await;
    let mut viewer = bench.slot.subscribe();
    let stalled = bench.until(|p| matches!(p, Phase::Stalled)).await;
    assert_eq!(stalled, Duration::from_secs(4));
    bench.until(live).await;
    // Two seconds of frames, five of silence, and at once the next attempt.
    assert_eq!(bench.attempts_at(), [0.0, 7.0]);
    assert_eq!(bench.status.get().reconnects, 1);
    let mut gaps = Vec::new();
    while let Some(item) = viewer.try_next() {
        gaps.extend(item.err());
    }
    assert!(gaps.contains(&Gap::SourceLost), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn r_k2_the_time_of_the_last_picture_stays_whatever_is_tried_since() {
    let play = Attempt::Play { frames: 50, then: Then::Silence };
    let refuse = Attempt::Refuse(SourceErrorCode::Unreachable);
    let attempts = [play.clone(), refuse.clone(), refuse, play];
    let bench = Bench::run(attempts, Policy { max_attempts: 2, ..Policy::default() }).await;
    bench.until(live).await;
    assert_eq!(bench.status.get().last_picture, None);
    bench.until(|p| matches!(p, Phase::Stalled)).await;
    let (stalled, wall) = (bench.status.get(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_007));
    // The clock on the wall stands still in this test, and two seconds passed since the last frame.
    assert_eq!(stalled.last_picture, Some(wall - Duration::from_secs(2)));
    assert_eq!(Some(stalled.since), stalled.last_picture, "a stall began with the last frame");
    bench.until(|p| matches!(p, Phase::Reconnecting { .. })).await;
    assert_eq!(bench.status.get().last_picture, stalled.last_picture);
    bench.until(failed).await;
    assert_eq!(bench.status.get().last_picture, stalled.last_picture);
    bench.orders.send(Order::Retry).await.expect("it listens");
    bench.until(|p| matches!(p, Phase::Connecting { .. })).await;
    assert_eq!(bench.status.get().last_picture, stalled.last_picture);
}

#[tokio::test(start_paused = true)]
async fn r_k2_a_camera_that_comes_back_with_sound_only_is_not_back() {
    let play = Attempt::Play { frames: 50, then: Then::Fail(SourceErrorCode::Closed) };
    let bench = Bench::run([play.clone(), Attempt::Sound, play], Policy::default()).await;
    let no_video = |phase: &Phase| matches!(phase, Phase::Reconnecting { cause, .. } if cause.code == SourceErrorCode::NoVideo);
    // Two seconds of pictures, an end, and five of sound alone.
    assert_eq!(bench.until(no_video).await, Duration::from_secs(7));
    bench.until(live).await;
}

#[tokio::test(start_paused = true)]
async fn r_n5_a_camera_that_offers_pictures_again_is_back_within_seconds_whatever_the_wait() {
    let play = Attempt::Play { frames: 50, then: Then::Fail(SourceErrorCode::Closed) };
    let attempts = [play.clone(), Attempt::Sound, Attempt::Sound, Attempt::Sound, play];
    let bench = Bench::run(attempts, Policy::default()).await;
    *bench.script.reach.lock().unwrap() = Reach::Answers;
    bench.until(|phase| matches!(phase, Phase::Reconnecting { attempt: 4, .. })).await;
    // The wait is of sixteen seconds at least, and that it answers is nothing new.
    sleep(Duration::from_secs(5)).await;
    *bench.script.offers.lock().unwrap() = true;
    let back = Instant::now();
    bench.until(live).await;
    assert!(back.elapsed() <= OFFER_EVERY + FRAME, "{:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_never_had_pictures_is_live_with_its_sound() {
    let bench = Bench::run([Attempt::Sound], Policy::default()).await;
    bench.until(live).await;
    sleep(Duration::from_secs(60)).await;
    assert!(live(&bench.status.get().phase));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_session_is_contained() {
    let panics = Attempt::Play { frames: 1, then: Then::Panic };
    let bench = Bench::run(vec![panics; 3], Policy { max_attempts: 0, ..Policy::default() }).await;
    bench.until(failed).await;
    let Phase::Failed { cause, .. } = bench.status.get().phase else { unreachable!() };
    assert_eq!(cause.code, SourceErrorCode::Internal);
    assert!(!bench.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_refused_camera_is_left_alone_until_a_person_retries() {
    let refuse = Attempt::Refuse(SourceErrorCode::Unauthorized);
    let play = Attempt::Play { frames: 100, then: Then::Silence };
    let bench = Bench::run([refuse, play], Policy::default()).await;
    bench.until(|p| matches!(p, Phase::Refused { .. })).await;
    sleep(Duration::from_secs(86_400)).await;
    assert_eq!(bench.attempts_at().len(), 1);
    bench.orders.send(Order::Retry).await.expect("it listens");
    bench.until(live).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_comes_back_is_tried_within_a_second() {
    let down = Attempt::Refuse(SourceErrorCode::Unreachable);
    let play = Attempt::Play { frames: 100, then: Then::Silence };
    let attempts = [down.clone(), down.clone(), down.clone(), down, play];
    let bench = Bench::run(attempts, Policy::default()).await;
    bench.until(|p| matches!(p, Phase::Reconnecting { attempt: 4, .. })).await;
    sleep(Duration::from_secs(3)).await;
    *bench.script.reach.lock().unwrap() = Reach::Accepts;
    let back = Instant::now();
    bench.until(live).await;
    assert!(back.elapsed() <= Duration::from_secs(1), "{:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_camera_that_froze_twice_is_tried_once_its_program_answers() {
    let freeze = Attempt::Play { frames: 50, then: Then::Silence };
    let late = Attempt::Refuse(SourceErrorCode::Timeout);
    let play = Attempt::Play { frames: 100, then: Then::Silence };
    let bench = Bench::run([freeze.clone(), late, freeze, play], Policy::default()).await;
    *bench.script.reach.lock().unwrap() = Reach::Answers;
    // Its session was too short to start the waits from the beginning.
    bench.until(|p| matches!(p, Phase::Reconnecting { attempt: 3, .. })).await;
    *bench.script.reach.lock().unwrap() = Reach::Accepts;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.attempts_at().len(), 3, "a frozen camera is not tried");
    *bench.script.reach.lock().unwrap() = Reach::Answers;
    let back = Instant::now();
    bench.until(live).await;
    assert!(back.elapsed() <= Duration::from_secs(1), "{:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn r_n12_stopping_while_waiting_takes_no_time() {
    let bench = Bench::run(vec![Attempt::Refuse(SourceErrorCode::Closed); 3], Policy::default()).await;
    bench.until(|p| matches!(p, Phase::Reconnecting { attempt: 3, .. })).await;
    let asked = Instant::now();
    bench.stop.cancel();
    bench.task.await.expect("no panic");
    assert_eq!(asked.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn r_p8_figures_are_renewed_every_two_seconds() {
    let play = Attempt::Play { frames: 1_000, then: Then::Fail(SourceErrorCode::Closed) };
    let bench = Bench::run([play], Policy::default()).await;
    bench.until(live).await;
    let mut changes = bench.status.watch();
    changes.borrow_and_update();
    changes.changed().await.expect("alive");
    let first = Instant::now();
    changes.changed().await.expect("alive");
    assert_eq!(first.elapsed().as_secs(), 2);
    let status = bench.status.get();
    assert!((status.reading.fps - 25.0).abs() < 0.5, "{:?}", status.reading);
    assert!(status.frames > 50);
}
