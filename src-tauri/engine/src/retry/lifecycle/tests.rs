use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

/// The machine on invented time.
struct Bench {
    life: Lifecycle,
    now: Instant,
    rng: SmallRng,
    action: Action,
}

impl Bench {
    fn new(policy: Policy) -> Self {
        let action = Action::Wait { until: None, check: None };
        let mut bench = Self {
            life: Lifecycle::new(policy),
            now: Instant::now(),
            rng: SmallRng::seed_from_u64(3),
            action,
        };
        bench.give(Input::Start);
        bench
    }

    fn give(&mut self, input: Input) -> &Phase {
        self.action = self.life.handle(self.now, input, &mut self.rng);
        self.life.phase()
    }

    fn after(&mut self, ms: u64, input: Input) -> &Phase {
        self.now += Duration::from_millis(ms);
        self.give(input)
    }

    /// Lets time run to the end of the present action.
    fn tick(&mut self) -> Duration {
        let until = match self.action {
            Action::Read { until } | Action::Wait { until: Some(until), .. } => until,
            ref other => unreachable!("{other:?} has no end"),
        };
        let waited = until.saturating_duration_since(self.now);
        self.now = self.now.max(until);
        self.give(Input::Tick);
        waited
    }

    /// Frames every 40 ms.
    fn live_for(&mut self, ms: u64) {
        self.give(Input::Opened);
        self.give(Input::Frame { key: true });
        for _ in 0..ms / 40 {
            self.after(40, Input::Frame { key: false });
        }
    }
}

fn lost() -> Input {
    Input::Ended(SourceError::new(SourceErrorCode::Closed, "The camera closed the connection."))
}

#[test]
fn r_k2_silence_shows_at_two_seconds_and_is_decided_at_five() {
    let mut bench = Bench::new(Policy::default());
    assert_eq!(bench.action, Action::Open);
    bench.live_for(400);
    assert_eq!(bench.tick(), Duration::from_secs(2));
    assert_eq!(bench.life.phase(), &Phase::Stalled);
    assert_eq!(bench.tick(), Duration::from_secs(3));
    let Phase::Reconnecting { until, attempt: 1, cause } = bench.life.phase() else {
        panic!("{bench:?}", bench = bench.life)
    };
    assert_eq!((*until, cause.code), (bench.now, SourceErrorCode::Stalled));
}

#[test]
fn r_k4_a_gap_of_3_8_seconds_never_reconnects() {
    let mut bench = Bench::new(Policy::default());
    bench.live_for(400);
    bench.tick();
    assert_eq!(bench.after(1_800, Input::Frame { key: false }), &Phase::Live);
    assert_eq!(bench.tick(), Duration::from_secs(2));
    assert_eq!(bench.after(1_800, Input::Frame { key: false }), &Phase::Live);
}

#[test]
fn r_n5_first_retry_at_once_then_growing_waits_until_the_limit() {
    let mut bench = Bench::new(Policy::default());
    bench.give(lost());
    for full in [0u64, 5, 10, 20, 40] {
        let waited = bench.tick();
        assert!(waited <= Duration::from_secs(full) && waited >= Duration::from_secs(full).mul_f64(0.8));
        assert!(matches!(bench.life.phase(), Phase::Connecting { .. }));
        bench.give(lost());
    }
    assert!(matches!(bench.life.phase(), Phase::Failed { attempts: 5, .. }));
    let check = Some(Duration::from_secs(30));
    assert_eq!(bench.action, Action::Wait { until: None, check });
    assert!(matches!(bench.give(Input::Reachable), Phase::Connecting { attempt: 5, cause: Some(_) }));
}

#[test]
fn r_k5_without_auto_reconnect_a_loss_waits_for_a_person() {
    let mut bench = Bench::new(Policy { auto_reconnect: false, ..Policy::default() });
    bench.live_for(400);
    assert!(matches!(bench.give(lost()), Phase::Failed { attempts: 0, .. }));
    assert_eq!(bench.action, Action::Wait { until: None, check: None });
    assert!(matches!(bench.give(Input::Reachable), Phase::Failed { .. }));
    assert_eq!(bench.give(Input::Start), &Phase::Connecting { attempt: 1, cause: None });
}

#[test]
fn r_k5_zero_attempts_means_for_ever() {
    let mut bench = Bench::new(Policy { max_attempts: 0, ..Policy::default() });
    for _ in 0..100 {
        assert!(matches!(bench.give(lost()), Phase::Reconnecting { .. }));
        bench.tick();
    }
}

#[test]
fn only_a_session_that_lasted_resets_the_waits() {
    let mut bench = Bench::new(Policy::default());
    bench.give(lost());
    bench.tick();
    bench.live_for(20_000);
    assert!(matches!(bench.give(lost()), Phase::Reconnecting { attempt: 2, .. }));
    bench.tick();
    bench.live_for(30_000);
    assert!(matches!(bench.give(lost()), Phase::Reconnecting { attempt: 1, .. }));
}

#[test]
fn a_refusal_parks_and_is_not_hammered() {
    let mut bench = Bench::new(Policy::default());
    let refused = SourceError::new(SourceErrorCode::Unauthorized, "The camera refused the password.");
    assert!(matches!(bench.give(Input::Ended(refused)), Phase::Refused { .. }));
    assert_eq!(bench.action, Action::Wait { until: None, check: None });
    assert!(matches!(bench.after(86_400_000, Input::Tick), Phase::Refused { .. }));
    assert_eq!(bench.give(Input::Start), &Phase::Connecting { attempt: 1, cause: None });
}

#[test]
fn a_host_that_answers_again_cuts_the_wait_short() {
    let mut bench = Bench::new(Policy::default());
    for _ in 0..3 {
        bench.give(lost());
        bench.tick();
    }
    bench.give(lost());
    assert!(matches!(bench.after(100, Input::Tick), Phase::Reconnecting { .. }));
    assert!(matches!(bench.after(100, Input::Reachable), Phase::Connecting { .. }));
}

#[test]
fn sound_without_picture_is_a_loss_of_its_own() {
    let mut bench = Bench::new(Policy::default());
    bench.live_for(400);
    for _ in 0..45 {
        bench.after(100, Input::OtherFrame);
    }
    bench.tick();
    let Phase::Reconnecting { cause, .. } = bench.life.phase() else { panic!("not noticed") };
    assert_eq!(cause.code, SourceErrorCode::NoVideo);
}

#[test]
fn sound_that_stops_with_the_picture_is_plain_silence() {
    let mut bench = Bench::new(Policy::default());
    bench.live_for(400);
    bench.after(20, Input::OtherFrame);
    bench.tick();
    bench.tick();
    let Phase::Reconnecting { cause, .. } = bench.life.phase() else { panic!("not noticed") };
    assert_eq!(cause.code, SourceErrorCode::Stalled);
}

#[test]
fn packets_without_a_key_frame_are_noticed() {
    let mut bench = Bench::new(Policy::default());
    bench.give(Input::Opened);
    for _ in 0..1_875 {
        bench.after(40, Input::Frame { key: false });
    }
    bench.give(Input::Tick);
    let Phase::Reconnecting { cause, .. } = bench.life.phase() else { panic!("not noticed") };
    assert_eq!(cause.code, SourceErrorCode::NoKeyFrame);
}

#[test]
fn three_contained_panics_park_the_camera() {
    let mut bench = Bench::new(Policy { max_attempts: 0, ..Policy::default() });
    let panic = || Input::Ended(SourceError::new(SourceErrorCode::Internal, "internal error"));
    bench.give(panic());
    bench.tick();
    bench.give(panic());
    bench.tick();
    assert!(matches!(bench.give(panic()), Phase::Failed { .. }));
}

#[test]
fn our_own_sleep_is_not_the_camera_s_silence() {
    let mut bench = Bench::new(Policy::default());
    bench.live_for(1_000);
    // Stopped for a minute: what was sent meanwhile is read before anything is decided.
    assert_eq!(bench.after(60_000, Input::Tick), &Phase::Stalled);
    assert_eq!(bench.after(20, Input::Frame { key: false }), &Phase::Live);
    // A camera that is gone is found so soon after.
    assert_eq!(bench.after(60_000, Input::Tick), &Phase::Stalled);
    assert_eq!(bench.tick(), GRACE);
    assert!(matches!(bench.life.phase(), Phase::Reconnecting { .. }), "{:?}", bench.life.phase());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]
    /// Any sequence of inputs: an attempt is only asked for while connecting, reading only with a session,
    /// every wait stays within the cap, and a camera that may try again always has a way to.
    #[test]
    fn no_sequence_of_faults_forgets_a_camera(
        steps in prop::collection::vec((0u8..10, 0u64..70_000), 1..60), seed: u64
    ) {
        let policy = Policy::default();
        let mut bench = Bench::new(policy.clone());
        bench.rng = SmallRng::seed_from_u64(seed);
        for (step, ms) in steps {
            let input = match step {
                0 => Input::Start,
                1 => Input::Opened,
                2 => Input::Frame { key: true },
                3 => Input::Frame { key: false },
                4 => Input::OtherFrame,
                5 | 6 => lost(),
                7 => Input::Tick,
                8 => Input::Reachable,
                _ => Input::Ended(SourceError::new(SourceErrorCode::Timeout, "late")),
            };
            bench.after(ms, input);
            match (&bench.action, bench.life.phase()) {
                (Action::Open, Phase::Connecting { .. }) => prop_assert!(bench.life.opened.is_none()),
                (Action::Read { .. }, Phase::Connecting { .. } | Phase::Live | Phase::Stalled) => {
                    prop_assert!(bench.life.opened.is_some());
                }
                (Action::Wait { until: Some(until), check: Some(_) }, Phase::Reconnecting { .. }) => {
                    prop_assert!(*until <= bench.now + policy.delay_cap);
                    prop_assert!(bench.life.opened.is_none());
                }
                (Action::Wait { until: None, check: Some(_) }, Phase::Failed { .. }) => {}
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
