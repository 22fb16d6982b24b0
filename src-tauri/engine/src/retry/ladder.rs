//! What to do about a phone whose pictures stop, decided on media progress and never on the state of a
//! connection, which stays "connected" for ever while only the camera stands still.
//!
//! ```text
//! Live ─2 s─► key frame ─1 s─► capture restart ─► (over 10 s, or both ends agree) reconnect ─► watch ≤ 30 s
//!              (all)            (protocol v1)                     ▲                             │ failed
//!                                                                 └──── wait 10, 30, 60, 120 s ─┘
//! ```
//!
//! Invariants: it never gives up (R-P7); at most one command every five seconds; nothing is done while the
//! phone says that it pauses. It looks at [`Facts`] whenever it is asked to, and says when to look again.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

/// Silence that is shown and acted upon.
const SUSPECT: Duration = Duration::from_secs(2);
/// How long a key frame may take after it was asked for.
const KEY_FRAME: Duration = Duration::from_secs(1);
/// The first and the second warning (R-P2).
const WARNINGS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(8)];
/// More than ten seconds: dead (R-P2).
const DEAD: Duration = Duration::from_millis(10_250);
/// Both ends must have had the time to say that the connection is dead.
const AGREED: Duration = Duration::from_secs(5);
/// A fresh offer must follow a command within this time (R-P6).
const OBEY: Duration = Duration::from_secs(10);
/// An attempt is watched for this long (R-P6).
const WATCH: Duration = Duration::from_secs(30);
/// Frames younger than this are success (R-P6).
const FRESH: Duration = Duration::from_secs(5);
/// Waits between attempts (R-P7); the last one repeats.
const WAITS: [Duration; 4] =
    [Duration::from_secs(10), Duration::from_secs(30), Duration::from_secs(60), Duration::from_secs(120)];
/// Part of a wait by which chance moves it, either way.
const JITTER: f64 = 0.2;
/// A phone that comes back by itself is about to send an offer by itself.
const SETTLE: Duration = Duration::from_secs(2);
/// Two commands are at least this far apart, whatever comes and goes meanwhile.
const APART: Duration = Duration::from_secs(5);
/// How soon to look again while something is awaited.
const LOOK: Duration = Duration::from_millis(200);

/// What is done about a publication at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// No frame came yet.
    Waiting,
    Live,
    /// Two seconds without a frame.
    Stalled,
    /// A key frame was asked for.
    KeyFrame,
    /// The phone was asked to restart its camera.
    Capture,
    /// The phone was told to build its connection anew.
    Reconnect,
    /// The phone said that it pauses: nothing is done.
    Paused,
}

impl Stage {
    /// The name in messages and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Live => "live",
            Self::Stalled => "stalled",
            Self::KeyFrame => "key_frame",
            Self::Capture => "capture",
            Self::Reconnect => "reconnect",
            Self::Paused => "paused",
        }
    }
}

/// What is known of a publication.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// When the newest frame came.
    pub frame: Option<Instant>,
    /// Offers so far; the newest of them came at `offered`.
    pub offers: u64,
    pub offered: Instant,
    /// The phone can be told something.
    pub reachable: bool,
    /// It understands more than the plain command.
    pub talks: bool,
    /// It said that it pauses.
    pub paused: bool,
    /// Both ends' figures say that the connection carries nothing.
    pub agreed: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// Ask for a key frame.
    KeyFrame,
    /// Ask for a restart of the camera.
    Capture,
    /// Command a new connection; the count of commands in this row, from 1.
    Reconnect { attempt: u32 },
}

/// What is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// Without frames for this many seconds; the count of the warning (R-P2).
    Warning { failure: u32, seconds: u64 },
    /// Frames again after this long: resuming monitoring (R-P6).
    Recovered { after: Duration },
    /// An attempt failed (R-P6); the next one follows in `next`.
    Failed { why: Failure, next: Duration },
    /// The phone came back by itself.
    CameBack,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    NoOffer,
    SocketClosed,
    NoFrames,
}

impl Failure {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoOffer => "no fresh offer within 10 s",
            Self::SocketClosed => "the phone's signaling is gone",
            Self::NoFrames => "no frames within 30 s",
        }
    }
}

/// What a look gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub rung: Option<Rung>,
    pub note: Option<Note>,
    pub stage: Stage,
    /// When the next command is due, where one is awaited.
    pub retry_at: Option<Instant>,
    /// Look again by then, or when something changed.
    pub look_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Frames come, or the first ones are awaited.
    Watching { rung: u8, warned: usize },
    /// A command went out, or a fresh offer came instead of one.
    Attempt { at: Instant, offers: u64 },
    /// The next command is due at `until`.
    Resting { until: Instant, offers: u64, reachable: bool },
}

/// The machine of one phone.
#[derive(Debug)]
pub struct Ladder {
    state: State,
    attempts: u32,
    /// When the newest command went out.
    commanded: Option<Instant>,
    /// Silence counts from here: a pause that ended, for instance.
    since: Instant,
    /// What was there last before the silence of now, or the newest.
    silent: Instant,
    paused: bool,
}

impl Ladder {
    /// A phone whose first offer was answered at `now`.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self {
            state: State::Watching { rung: 0, warned: 0 },
            attempts: 0,
            commanded: None,
            since: now,
            silent: now,
            paused: false,
        }
    }

    /// Looks at how things are.
    pub fn look(&mut self, now: Instant, facts: &Facts, rng: &mut impl Rng) -> Verdict {
        if facts.paused {
            self.paused = true;
            return verdict(Stage::Paused, now + Duration::from_secs(1));
        }
        if std::mem::take(&mut self.paused) {
            // It comes back by itself, and has all the time that a phone at the start has.
            self.since = now;
            self.state = State::Watching { rung: 0, warned: 0 };
        }
        match self.state {
            State::Watching { rung, warned } => self.watch(now, facts, rung, warned),
            State::Attempt { at, offers } => self.attempt(now, facts, at, offers, rng),
            State::Resting { until, offers, reachable } => self.rest(now, facts, until, offers, reachable),
        }
    }

    fn watch(&mut self, now: Instant, facts: &Facts, rung: u8, warned: usize) -> Verdict {
        // A connection that is being built has no frames yet.
        let begun = if facts.offered <= now { facts.offered } else { now };
        let fed = facts.frame.unwrap_or(begun).max(begun).max(self.since);
        let silence = now.saturating_duration_since(fed);
        let first = facts.frame.is_none();
        if silence < SUSPECT {
            let after = facts.frame.map_or(silence, |frame| frame.saturating_duration_since(self.silent));
            let note = (rung > 0 && !first).then_some(Note::Recovered { after });
            self.state = State::Watching { rung: 0, warned: 0 };
            let stage = if first { Stage::Waiting } else { Stage::Live };
            return Verdict { note, ..verdict(stage, fed + SUSPECT) };
        }
        if rung == 0 {
            self.silent = fed;
        }
        if silence >= DEAD || (facts.talks && facts.agreed && silence >= AGREED) {
            return self.command(now, facts);
        }
        let due = WARNINGS.iter().filter(|limit| silence >= **limit).count();
        let note = (due > warned).then(|| Note::Warning {
            failure: u32::try_from(due).unwrap_or(u32::MAX),
            seconds: silence.as_secs(),
        });
        let (rung, done) = match rung {
            0 => (1, Some(Rung::KeyFrame)),
            1 if facts.talks && facts.reachable && silence >= SUSPECT + KEY_FRAME => (2, Some(Rung::Capture)),
            _ => (rung, None),
        };
        self.state = State::Watching { rung, warned: due };
        let stage = match rung {
            2 => Stage::Capture,
            _ if silence < SUSPECT + KEY_FRAME => Stage::KeyFrame,
            _ => Stage::Stalled,
        };
        Verdict { rung: done, note, ..verdict(stage, now + LOOK) }
    }

    fn command(&mut self, now: Instant, facts: &Facts) -> Verdict {
        if let Some(earliest) = self.commanded.map(|at| at + APART).filter(|at| *at > now) {
            let (offers, reachable) = (facts.offers, facts.reachable);
            self.state = State::Resting { until: earliest, offers, reachable };
            return Verdict { retry_at: Some(earliest), ..verdict(Stage::Stalled, now + LOOK) };
        }
        self.attempts += 1;
        self.commanded = facts.reachable.then_some(now).or(self.commanded);
        self.state = State::Attempt { at: now, offers: facts.offers };
        let rung = facts.reachable.then_some(Rung::Reconnect { attempt: self.attempts });
        Verdict { rung, ..verdict(Stage::Reconnect, now + LOOK) }
    }

    fn attempt(
        &mut self,
        now: Instant,
        facts: &Facts,
        at: Instant,
        offers: u64,
        rng: &mut impl Rng,
    ) -> Verdict {
        if let Some(recovered) = self.recovered(now, facts, at) {
            return recovered;
        }
        let waited = now.saturating_duration_since(at);
        let why = if waited >= WATCH {
            Failure::NoFrames
        } else if !facts.reachable {
            Failure::SocketClosed
        } else if waited >= OBEY && facts.offers == offers {
            Failure::NoOffer
        } else {
            return verdict(Stage::Reconnect, now + LOOK);
        };
        let row = usize::try_from(self.attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = WAITS[row.min(WAITS.len() - 1)].mul_f64(rng.random_range(1.0 - JITTER..=1.0 + JITTER));
        let until = now + wait;
        self.state = State::Resting { until, offers: facts.offers, reachable: facts.reachable };
        let note = Some(Note::Failed { why, next: wait });
        Verdict { note, retry_at: Some(until), ..verdict(Stage::Stalled, now + LOOK) }
    }

    fn rest(&mut self, now: Instant, facts: &Facts, until: Instant, offers: u64, reachable: bool) -> Verdict {
        let began = self.since;
        if let Some(recovered) = self.recovered(now, facts, began) {
            return recovered;
        }
        if facts.offers != offers {
            // As if it had been told to.
            self.state = State::Attempt { at: now, offers };
            return Verdict { note: Some(Note::CameBack), ..verdict(Stage::Reconnect, now + LOOK) };
        }
        let mut until = until;
        let mut note = None;
        if facts.reachable && !reachable {
            until = until.min(now + SETTLE);
            note = Some(Note::CameBack);
        }
        if now >= until {
            return self.command(now, facts);
        }
        self.state = State::Resting { until, offers, reachable: facts.reachable };
        Verdict { note, retry_at: Some(until), ..verdict(Stage::Stalled, until.min(now + LOOK)) }
    }

    /// Frames that came after `at` and are young.
    fn recovered(&mut self, now: Instant, facts: &Facts, at: Instant) -> Option<Verdict> {
        let frame = facts.frame.filter(|frame| *frame > at)?;
        let young = now.saturating_duration_since(frame) < FRESH;
        if !young {
            return None;
        }
        self.attempts = 0;
        self.state = State::Watching { rung: 0, warned: 0 };
        let after = frame.saturating_duration_since(self.silent);
        Some(Verdict { note: Some(Note::Recovered { after }), ..verdict(Stage::Live, now + LOOK) })
    }
}

fn verdict(stage: Stage, look_at: Instant) -> Verdict {
    Verdict { rung: None, note: None, stage, retry_at: None, look_at }
}

#[cfg(test)]
mod tests;
