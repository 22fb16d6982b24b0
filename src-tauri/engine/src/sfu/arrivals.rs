//! The packets of one stream, brought into order: duplicates out, gaps asked for, what does not come given
//! up.
//!
//! Pure: time is an argument. Invariants: what comes out is in order and never twice; a missing packet is
//! asked for at most [`ASKS`] times and waited for at most as long as it was told to; nothing grows beyond
//! [`MISSING_MAX`] and [`HELD_MAX`], whatever the sender does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A packet that is late by less than this is reordered, not lost.
const REORDER: Duration = Duration::from_millis(10);
/// Waits before a missing packet is asked for again.
const ASK_AGAIN: [Duration; 3] =
    [Duration::from_millis(60), Duration::from_millis(100), Duration::from_millis(150)];
/// Requests for one packet.
const ASKS: usize = 4;
/// Packets asked for at a time.
const ASKED_AT_ONCE: usize = 128;
/// With more missing than this the stream is begun anew: what is there is not worth the wait.
const MISSING_MAX: usize = 512;
/// The same for packets that wait for others.
const HELD_MAX: usize = 1_024;
/// Numbers further ahead than this are another sender's, or this one's after a restart.
const JUMP: i32 = 3_000;

/// A packet in its order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrived<T> {
    /// Packets lost right before it.
    pub(super) lost: u16,
    pub(super) item: T,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    /// It was there before, or it comes too late.
    Needless,
}

#[derive(Debug)]
struct Missing {
    since: Instant,
    asked: usize,
    ask_at: Instant,
}

/// The window.
#[derive(Debug)]
pub(super) struct Arrivals<T> {
    patience: Duration,
    /// Whether the sender can be asked.
    asks: bool,
    /// The number to be given out next, and the newest that came; both without wrap.
    ends: Option<(i64, i64)>,
    held: BTreeMap<i64, T>,
    missing: BTreeMap<i64, Missing>,
    /// Given up since the last packet that was given out.
    lost: u16,
    /// The number after the newest one that was far off: two in a row are a restart.
    restart: Option<u16>,
}

impl<T> Arrivals<T> {
    /// Missing packets are waited for as long as `patience`, and asked for where `asks`.
    pub(super) fn new(patience: Duration, asks: bool) -> Self {
        Self {
            patience,
            asks,
            ends: None,
            held: BTreeMap::new(),
            missing: BTreeMap::new(),
            lost: 0,
            restart: None,
        }
    }

    /// Takes a packet; `repair` says that it is one that was sent again.
    pub(super) fn insert(&mut self, now: Instant, sequence: u16, repair: bool, item: T) -> Verdict {
        let Some((next, newest)) = self.ends else {
            if repair {
                return Verdict::Needless;
            }
            let number = i64::from(sequence);
            self.ends = Some((number, number));
            self.held.insert(number, item);
            return Verdict::Taken;
        };
        let step = i32::from(sequence.wrapping_sub((newest & 0xffff) as u16) as i16);
        if step.abs() > JUMP {
            if repair || self.restart.replace(sequence.wrapping_add(1)) != Some(sequence) {
                return Verdict::Needless;
            }
            // Beyond all that came, with the packet's own number in the low bits.
            let number = ((newest >> 16) + 2) << 16 | i64::from(sequence);
            self.begin_anew(number);
            self.held.insert(number, item);
            return Verdict::Taken;
        }
        self.restart = None;
        let number = newest + i64::from(step);
        if number < next || self.held.contains_key(&number) {
            return Verdict::Needless;
        }
        if number > newest {
            for gap in newest + 1..number {
                let missing = Missing { since: now, asked: 0, ask_at: now + REORDER };
                self.missing.insert(gap, missing);
            }
            self.ends = Some((next, number));
        } else {
            self.missing.remove(&number);
        }
        self.held.insert(number, item);
        if self.missing.len() > MISSING_MAX || self.held.len() > HELD_MAX {
            let item = self.held.remove(&number).expect("it was put there");
            self.begin_anew(number);
            self.held.insert(number, item);
        }
        Verdict::Taken
    }

    /// The next packet in order, if it may go.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Arrived<T>> {
        let (next, newest) = self.ends.as_mut()?;
        loop {
            if let Some(item) = self.held.remove(next) {
                *next += 1;
                return Some(Arrived { lost: std::mem::take(&mut self.lost), item });
            }
            if *next > *newest {
                return None;
            }
            if let Some(missing) = self.missing.get(next)
                && now.saturating_duration_since(missing.since) < self.patience
            {
                return None;
            }
            self.missing.remove(next);
            self.lost = self.lost.saturating_add(1);
            *next += 1;
        }
    }

    /// Numbers to ask for now.
    pub(super) fn wanted(&mut self, now: Instant) -> Vec<u16> {
        if !self.asks {
            return Vec::new();
        }
        let due = self.missing.iter_mut().filter(|(_, m)| m.asked < ASKS && m.ask_at <= now);
        let asked = due.take(ASKED_AT_ONCE).map(|(number, missing)| {
            let wait = ASK_AGAIN.get(missing.asked).copied().unwrap_or(ASK_AGAIN[ASK_AGAIN.len() - 1]);
            missing.asked += 1;
            missing.ask_at = now + wait;
            (number & 0xffff) as u16
        });
        asked.collect()
    }

    /// When there is something to ask for or to give up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let give_up = self.missing.values().next().map(|missing| missing.since + self.patience);
        let ask = self.missing.values().filter(|m| self.asks && m.asked < ASKS).map(|m| m.ask_at).min();
        give_up.into_iter().chain(ask).min()
    }

    /// Goes on at `number`; what was waited for is lost.
    fn begin_anew(&mut self, number: i64) {
        let gone = self.missing.len() + self.held.len();
        self.lost = self.lost.saturating_add(u16::try_from(gone).unwrap_or(u16::MAX)).max(1);
        self.held.clear();
        self.missing.clear();
        self.restart = None;
        self.ends = Some((number, number));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(300);

    fn drain(arrivals: &mut Arrivals<u16>, now: Instant) -> Vec<(u16, u16)> {
        std::iter::from_fn(|| arrivals.pop(now)).map(|a| (a.item, a.lost)).collect()
    }

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn duplicates_and_reordering_leave_no_trace() {
        let start = start();
        let mut arrivals = Arrivals::new(PATIENCE, true);
        let mut out = Vec::new();
        for n in [65_534, 65_535, 1, 0, 0, 65_534, 2, 4, 3] {
            arrivals.insert(start, n, false, n);
            out.extend(drain(&mut arrivals, start));
        }
        assert_eq!(out, [65_534, 65_535, 0, 1, 2, 3, 4].map(|n| (n, 0)));
        assert!(arrivals.wanted(start + ms(50)).is_empty());
    }

    #[test]
    fn a_missing_packet_is_asked_for_a_few_times_and_then_given_up() {
        let start = start();
        let mut arrivals = Arrivals::new(PATIENCE, true);
        for n in [10, 12, 13] {
            arrivals.insert(start, n, false, n);
        }
        assert_eq!(drain(&mut arrivals, start), [(10, 0)]);
        assert!(arrivals.wanted(start).is_empty(), "it may only be late");
        let mut asked = 0;
        for at in (0..400).step_by(5) {
            asked += arrivals.wanted(start + ms(at)).len();
        }
        assert_eq!(asked, ASKS);
        assert_eq!(drain(&mut arrivals, start + ms(299)), []);
        assert_eq!(drain(&mut arrivals, start + ms(300)), [(12, 1), (13, 0)]);
        assert_eq!(arrivals.insert(start + ms(301), 11, true, 11), Verdict::Needless);
    }

    #[test]
    fn a_repair_fills_the_gap() {
        let start = start();
        let mut arrivals = Arrivals::new(PATIENCE, true);
        for n in [10, 12] {
            arrivals.insert(start, n, false, n);
        }
        assert_eq!(arrivals.wanted(start + ms(10)), [11]);
        assert_eq!(arrivals.insert(start + ms(40), 11, true, 11), Verdict::Taken);
        assert_eq!(drain(&mut arrivals, start + ms(40)), [(10, 0), (11, 0), (12, 0)]);
        assert_eq!(arrivals.deadline(), None);
    }

    #[test]
    fn old_repairs_as_probes_restart_nothing_but_a_new_numbering_does() {
        let start = start();
        let mut arrivals = Arrivals::new(PATIENCE, true);
        for n in 30_000..30_010 {
            arrivals.insert(start, n, false, n);
        }
        assert_eq!(drain(&mut arrivals, start).len(), 10);
        for n in [20_000, 20_001] {
            assert_eq!(arrivals.insert(start, n, true, n), Verdict::Needless);
        }
        assert_eq!(arrivals.insert(start, 5, false, 5), Verdict::Needless);
        assert_eq!(arrivals.insert(start, 6, false, 6), Verdict::Taken);
        assert_eq!(arrivals.insert(start, 7, false, 7), Verdict::Taken);
        assert_eq!(drain(&mut arrivals, start), [(6, 1), (7, 0)]);
    }

    proptest! {
        #[test]
        fn whatever_comes_what_goes_out_is_in_order_and_bounded(
            steps in proptest::collection::vec((any::<u16>(), 0u64..40, any::<bool>(), 0u8..10), 1..400),
        ) {
            let mut now = start();
            let mut arrivals = Arrivals::new(PATIENCE, true);
            let mut at = 0u16;
            let mut asked = 0;
            for (wild, wait, repair, dice) in steps {
                now += ms(wait);
                at = at.wrapping_add(1);
                let number = match dice { 0 => wild, 1 => at.wrapping_sub(wild % 50), 2 => { at = at.wrapping_add(wild % 20); at } _ => at };
                arrivals.insert(now, number, repair, number);
                asked += arrivals.wanted(now).len();
                while arrivals.pop(now).is_some() {}
                prop_assert!(arrivals.held.len() <= HELD_MAX && arrivals.missing.len() <= MISSING_MAX + JUMP as usize);
            }
            prop_assert!(asked <= 400 * 60 * ASKS);
            // In the end nothing is held back.
            now += PATIENCE;
            while arrivals.pop(now).is_some() {}
            prop_assert!(arrivals.held.is_empty() && arrivals.missing.is_empty());
        }
    }
}
