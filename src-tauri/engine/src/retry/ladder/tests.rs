use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::*;

/// A phone and its ladder on an invented clock that steps by 100 ms.
struct Stage0 {
    start: Instant,
    now: Instant,
    ladder: Ladder,
    facts: Facts,
    rng: SmallRng,
    log: Vec<(u64, Rung)>,
    notes: Vec<(u64, Note)>,
    stage: Stage,
}

impl Stage0 {
    fn new(talks: bool) -> Self {
        // Instants before the start must exist.
        let start = Instant::now() + Duration::from_secs(3_600);
        let facts = Facts {
            frame: Some(start),
            offers: 1,
            offered: start,
            reachable: true,
            talks,
            paused: false,
            agreed: false,
        };
        let rng = SmallRng::seed_from_u64(7);
        let ladder = Ladder::new(start);
        Self { start, now: start, ladder, facts, rng, log: Vec::new(), notes: Vec::new(), stage: Stage::Live }
    }

    /// Lets time pass; `each` may change what is known at every step.
    fn run(&mut self, time: Duration, mut each: impl FnMut(&mut Facts, Instant, Option<Rung>)) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(100);
            let verdict = self.ladder.look(self.now, &self.facts, &mut self.rng);
            let at = u64::try_from((self.now - self.start).as_millis()).expect("short");
            self.log.extend(verdict.rung.map(|rung| (at, rung)));
            self.notes.extend(verdict.note.map(|note| (at, note)));
            self.stage = verdict.stage;
            assert!(verdict.look_at > self.now || verdict.stage == Stage::Live, "{verdict:?}");
            each(&mut self.facts, self.now, verdict.rung);
        }
    }

    fn commands(&self) -> Vec<u64> {
        let commands = self.log.iter().filter(|(_, rung)| matches!(rung, Rung::Reconnect { .. }));
        commands.map(|(at, _)| *at).collect()
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn r_p2_a_legacy_phone_is_warned_of_and_commanded_after_ten_seconds() {
    let mut phone = Stage0::new(false);
    phone.run(secs(12), |_, _, _| {});
    let warnings: Vec<_> = phone.notes.iter().map(|(at, note)| (at / 1_000, *note)).collect();
    assert_eq!(
        warnings,
        [(5, Note::Warning { failure: 1, seconds: 5 }), (8, Note::Warning { failure: 2, seconds: 8 })]
    );
    assert_eq!(phone.log[0], (2_000, Rung::KeyFrame));
    assert_eq!(phone.log.len(), 2, "nothing that it does not understand");
    assert!((10_000..=12_000).contains(&phone.commands()[0]), "{:?}", phone.log);
}

#[test]
fn r_p9_a_phone_that_talks_is_asked_step_by_step() {
    let mut phone = Stage0::new(true);
    phone.run(secs(4), |_, _, _| {});
    assert_eq!(phone.log, [(2_000, Rung::KeyFrame), (3_000, Rung::Capture)]);
    // Both ends say that nothing arrives: no need to wait for ten seconds.
    phone.facts.agreed = true;
    phone.run(secs(2), |_, _, _| {});
    assert_eq!(phone.commands(), [5_000]);
}

#[test]
fn r_p6_frames_end_an_attempt_at_once() {
    let mut phone = Stage0::new(false);
    let mut told = None;
    phone.run(secs(20), |facts, now, rung| {
        if matches!(rung, Some(Rung::Reconnect { .. })) {
            told = Some(now);
        }
        if told.is_some_and(|told| now - told >= Duration::from_millis(400)) {
            facts.offers = 2;
            facts.frame = Some(now);
        }
    });
    assert_eq!(phone.commands().len(), 1);
    let recovered = phone.notes.iter().find(|(_, note)| matches!(note, Note::Recovered { .. }));
    assert!(recovered.is_some_and(|(at, _)| *at < 11_500), "{:?}", phone.notes);
    let after = recovered.map(|(_, note)| *note);
    let silence = phone.commands()[0] + 400;
    assert_eq!(
        after,
        Some(Note::Recovered { after: Duration::from_millis(silence) }),
        "since the last frame"
    );
    assert_eq!(phone.stage, Stage::Live);
}

#[test]
fn r_p7_a_phone_that_ignores_commands_gets_them_for_ever() {
    let mut phone = Stage0::new(false);
    phone.run(secs(1_000), |_, _, _| {});
    let commands = phone.commands();
    let waits: Vec<f64> = commands.windows(2).map(|w| (w[1] - w[0]) as f64 / 1_000.0 - 10.0).collect();
    for (n, wait) in waits.iter().enumerate() {
        let expected = [10.0, 30.0, 60.0, 120.0][n.min(3)];
        assert!((wait - expected).abs() <= expected * 0.2 + 0.5, "{n}: {waits:?}");
    }
    assert!(commands.len() >= 8, "{commands:?}");
    let failures =
        phone.notes.iter().filter(|(_, n)| matches!(n, Note::Failed { why: Failure::NoOffer, .. }));
    assert!(failures.count() >= 7);
}

#[test]
fn r_p7_a_phone_that_comes_back_by_itself_is_not_waited_for() {
    let mut phone = Stage0::new(false);
    phone.facts.reachable = false;
    phone.run(secs(100), |_, _, _| {});
    assert!(phone.commands().is_empty(), "there is nobody to tell");
    // It is there again and sends an offer after a second, pictures after another.
    let back = phone.now;
    phone.facts.reachable = true;
    phone.run(secs(5), |facts, now, _| {
        if now - back >= secs(1) {
            facts.offers = 2;
            facts.offered = back + secs(1);
        }
        if now - back >= secs(2) {
            facts.frame = Some(now);
        }
    });
    assert!(phone.commands().is_empty(), "{:?}", phone.log);
    assert_eq!(phone.stage, Stage::Live);
    // A later loss starts from the beginning.
    phone.run(secs(15), |_, _, _| {});
    assert_eq!(phone.commands().len(), 1);
}

#[test]
fn a_phone_that_is_back_but_does_not_offer_is_told_to() {
    let mut phone = Stage0::new(false);
    phone.facts.reachable = false;
    phone.run(secs(100), |_, _, _| {});
    phone.facts.reachable = true;
    phone.run(secs(3), |_, _, _| {});
    assert_eq!(phone.commands().len(), 1);
}

#[test]
fn nothing_is_done_while_the_phone_pauses() {
    let mut phone = Stage0::new(true);
    phone.facts.paused = true;
    phone.run(secs(600), |_, _, _| {});
    assert!(phone.log.is_empty() && phone.notes.is_empty());
    assert_eq!(phone.stage, Stage::Paused);
    phone.facts.paused = false;
    phone.run(Duration::from_millis(1_900), |_, _, _| {});
    assert!(phone.log.is_empty());
    phone.run(secs(1), |_, _, _| {});
    assert_eq!(phone.log[0].1, Rung::KeyFrame);
}

#[test]
fn hiccups_below_two_seconds_cause_nothing() {
    let mut phone = Stage0::new(true);
    let mut n = 0;
    phone.run(secs(60), |facts, now, _| {
        n += 1;
        if n % 18 == 0 {
            facts.frame = Some(now);
        }
    });
    assert!(phone.log.is_empty(), "{:?}", phone.log);
}

proptest! {
    #[test]
    fn whatever_happens_commands_are_rare_and_never_cease(
        script in proptest::collection::vec((0u8..6, 1u64..400), 1..80),
        talks in any::<bool>(),
    ) {
        let mut phone = Stage0::new(talks);
        for (what, tenths) in script {
            match what {
                0 => phone.facts.reachable = !phone.facts.reachable,
                1 => phone.facts.paused = !phone.facts.paused,
                2 => { phone.facts.offers += 1; phone.facts.offered = phone.now; }
                3 => phone.facts.agreed = !phone.facts.agreed,
                4 => phone.facts.frame = Some(phone.now),
                _ => {}
            }
            phone.run(Duration::from_millis(tenths * 100), |_, _, _| {});
        }
        let commands = phone.commands();
        prop_assert!(commands.windows(2).all(|w| w[1] - w[0] >= 5_000), "{:?}", commands);
        // Left alone, dead and reachable, it gets another one within the longest wait and its watch.
        phone.facts.paused = false;
        phone.facts.reachable = true;
        let before = phone.commands().len();
        phone.run(secs(200), |_, _, _| {});
        prop_assert!(phone.commands().len() > before);
    }
}
