//! The life of a camera, decided: what to do now, given what happened.
//!
//! ```text
//! Idle ─► Connecting ─► Live ⇄ Stalled ─► Reconnecting ─► Connecting …
//!             │                               │ limit reached
//!             ▼                               ▼
//!          Refused                          Failed ─ reachable again ─► Connecting
//! ```
//!
//! Invariants: at most one attempt at a time (the caller has exactly one [`Action`] to carry out); every
//! wait has an end or a reason to stay (refused, or failed without `auto_reconnect`); the count of
//! attempts is forgotten only after a session that lasted.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::{Backoff, Silence, Watchdog};
use crate::fault;
use crate::source::{SourceError, SourceErrorCode};

/// The numbers of a camera's life.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Try again without a person (R-K5).
    pub auto_reconnect: bool,
    /// Reconnects in a row before giving up; 0 = for ever (R-K5).
    pub max_attempts: u32,
    /// The second wait; the first is none (R-N5).
    pub first_delay: Duration,
    /// No wait is longer (R-N5).
    pub delay_cap: Duration,
    /// Silence that is shown (R-K2).
    pub stalled_after: Duration,
    /// Silence that is a loss. Above 4.5 s: a network gap of 3 s shows as 3.8 s between frames, because
    /// TCP backs off (R-K4).
    pub lost_after: Duration,
    /// No key frame since the session began: reconnect, the camera may begin with one.
    pub key_frame_after: Duration,
    /// A session this long ends the row of attempts.
    pub stable_after: Duration,
    /// Pace of the reachability check of a failed camera (R-N5).
    pub check_failed_every: Duration,
    /// Pace of the reachability check while waiting to reconnect.
    pub check_waiting_every: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            auto_reconnect: true,
            max_attempts: 5,
            first_delay: Duration::from_secs(5),
            delay_cap: Duration::from_secs(60),
            stalled_after: Duration::from_secs(2),
            lost_after: Duration::from_secs(5),
            // Cameras with "smart" coding send one key frame a minute.
            key_frame_after: Duration::from_secs(75),
            stable_after: Duration::from_secs(30),
            check_failed_every: Duration::from_secs(30),
            check_waiting_every: Duration::from_millis(300),
        }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The camera shall run. Also: its configuration changed, or a person asks for another try; whatever
    /// was going on is dropped.
    Start,
    /// The camera shall not run.
    Stop,
    /// The attempt succeeded.
    Opened,
    /// A frame of the track that matters (video where there is any).
    Frame { key: bool },
    /// A frame of another track.
    OtherFrame,
    /// The attempt failed or the session ended.
    Ended(SourceError),
    /// The time named in the action has come.
    Tick,
    /// The camera's host answers again.
    Reachable,
}

/// What to do until the next input. It replaces whatever was done before.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make one attempt. Nothing of an earlier session is left.
    Open,
    /// Read the session; [`Input::Tick`] at `until`.
    Read { until: Instant },
    /// No session. [`Input::Tick`] at `until`; meanwhile check every `check` whether the host answers.
    Wait { until: Option<Instant>, check: Option<Duration> },
}

/// Where the camera is in its life.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    Idle,
    /// `attempt` counts reconnects from 1 in each row; the first attempt of all has no `cause`.
    Connecting {
        attempt: u32,
        cause: Option<SourceError>,
    },
    Live,
    Stalled,
    Reconnecting {
        until: Instant,
        attempt: u32,
        cause: SourceError,
    },
    /// `attempts` is how many reconnects in a row there were; none without `auto_reconnect`.
    Failed {
        attempts: u32,
        cause: SourceError,
    },
    Refused {
        cause: SourceError,
    },
}

/// The machine.
#[derive(Debug)]
pub struct Lifecycle {
    policy: Policy,
    phase: Phase,
    backoff: Backoff,
    watchdog: Option<Watchdog>,
    /// When the session opened, and whether a key frame came since.
    opened: Option<(Instant, bool)>,
    /// When another track last gave a frame.
    other: Option<Instant>,
    /// Contained panics in a row.
    panics: u32,
    /// When the session was to be looked at again.
    due: Option<Instant>,
    /// After a sleep the present silence was given its time.
    graced: bool,
}

/// Contained panics in a row that park the camera.
const PANICS: u32 = 3;

/// A look that comes this much after its time means that this program did not run: it was suspended, or
/// the machine was.
const SUSPENDED: Duration = Duration::from_secs(1);
/// What the camera sent meanwhile waits in the system's buffers, and has this long to be read.
const GRACE: Duration = Duration::from_secs(1);

impl Lifecycle {
    /// A camera that does nothing yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let backoff = Backoff::new(policy.first_delay, policy.delay_cap);
        Self {
            policy,
            phase: Phase::Idle,
            backoff,
            watchdog: None,
            opened: None,
            other: None,
            panics: 0,
            due: None,
            graced: false,
        }
    }

    /// Where the camera is.
    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Another policy from now on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.backoff = Backoff::new(policy.first_delay, policy.delay_cap);
        self.policy = policy;
    }

    /// Decides.
    pub fn handle(&mut self, now: Instant, input: Input, rng: &mut impl Rng) -> Action {
        match input {
            Input::Start => {
                self.backoff.reset();
                self.panics = 0;
                self.connect()
            }
            Input::Stop => {
                self.close();
                self.phase = Phase::Idle;
                Action::Wait { until: None, check: None }
            }
            Input::Opened if matches!(self.phase, Phase::Connecting { .. }) => {
                self.opened = Some((now, false));
                self.other = None;
                let dog = Watchdog::new(self.policy.stalled_after, self.policy.lost_after, now);
                self.watchdog = Some(dog);
                (self.due, self.graced) = (None, false);
                self.read(now)
            }
            Input::Frame { key } if self.opened.is_some() => self.frame(now, key),
            Input::OtherFrame if self.opened.is_some() => {
                self.other = Some(now);
                self.read(now)
            }
            Input::Ended(cause) if self.is_trying() => self.ended(now, cause, rng),
            Input::Tick | Input::Opened | Input::Frame { .. } | Input::OtherFrame | Input::Ended(_) => {
                self.tick(now, rng)
            }
            Input::Reachable => match self.phase {
                Phase::Reconnecting { .. } => self.connect(),
                Phase::Failed { .. } if self.policy.auto_reconnect => self.connect(),
                _ => self.tick(now, rng),
            },
        }
    }

    fn is_trying(&self) -> bool {
        matches!(self.phase, Phase::Connecting { .. } | Phase::Live | Phase::Stalled)
    }

    fn connect(&mut self) -> Action {
        self.close();
        let tries = self.backoff.tries();
        let attempt = tries.max(1);
        let cause = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Reconnecting { cause, .. } | Phase::Failed { cause, .. } if tries > 0 => Some(cause),
            _ => None,
        };
        self.phase = Phase::Connecting { attempt, cause };
        Action::Open
    }

    fn close(&mut self) {
        self.opened = None;
        self.watchdog = None;
    }

    fn frame(&mut self, now: Instant, key: bool) -> Action {
        if let Some(dog) = &mut self.watchdog {
            dog.feed(now);
        }
        self.graced = false;
        if let Some((_, seen)) = &mut self.opened {
            *seen |= key;
        }
        self.phase = Phase::Live;
        if self.lasted(now) {
            self.backoff.reset();
            self.panics = 0;
        }
        self.read(now)
    }

    fn lasted(&self, now: Instant) -> bool {
        self.opened.is_some_and(|(at, _)| now.saturating_duration_since(at) >= self.policy.stable_after)
    }

    fn read(&mut self, now: Instant) -> Action {
        let silence = self.watchdog.as_ref().map(|dog| dog.deadline(now));
        let key = match self.opened {
            Some((at, false)) => Some(at + self.policy.key_frame_after),
            _ => None,
        };
        let until = silence.into_iter().chain(key).min().unwrap_or(now + self.policy.lost_after);
        self.due = Some(until);
        Action::Read { until }
    }

    fn tick(&mut self, now: Instant, rng: &mut impl Rng) -> Action {
        match &self.phase {
            Phase::Idle => Action::Wait { until: None, check: None },
            Phase::Connecting { .. } if self.opened.is_none() => Action::Open,
            Phase::Connecting { .. } | Phase::Live | Phase::Stalled => self.watch(now, rng),
            Phase::Reconnecting { until, .. } if *until > now => self.wait(),
            Phase::Reconnecting { .. } => self.connect(),
            Phase::Failed { .. } | Phase::Refused { .. } => self.wait(),
        }
    }

    /// Our own sleep is not the camera's silence.
    fn awake(&mut self, now: Instant) {
        let Some(dog) = &mut self.watchdog else { return };
        let late = self.due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        if late < SUSPENDED || std::mem::replace(&mut self.graced, true) {
            return;
        }
        let spent = self.policy.lost_after.saturating_sub(GRACE);
        dog.feed(now.checked_sub(spent).unwrap_or(now));
    }

    fn watch(&mut self, now: Instant, rng: &mut impl Rng) -> Action {
        self.awake(now);
        let silence = self.watchdog.as_ref().map_or(Silence::None, |dog| dog.silence(now));
        match silence {
            Silence::Lost => {
                let seconds = self.policy.lost_after.as_secs();
                // Sound that stopped with the picture, a packet later, is the same silence.
                let stalled = self.policy.stalled_after;
                let heard = self.other.is_some_and(|at| now.saturating_duration_since(at) < stalled);
                let cause = if heard {
                    let text = format!("Sound arrives, but no picture for {seconds} s.");
                    SourceError::new(SourceErrorCode::NoVideo, text)
                } else {
                    SourceError::new(SourceErrorCode::Stalled, format!("Nothing arrived for {seconds} s."))
                };
                return self.ended(now, cause, rng);
            }
            Silence::Stalled if self.phase == Phase::Live => self.phase = Phase::Stalled,
            _ => {}
        }
        if let Some((at, false)) = self.opened
            && now.saturating_duration_since(at) >= self.policy.key_frame_after
        {
            let text = "Pictures arrive, but never a complete one to start from.";
            return self.ended(now, SourceError::new(SourceErrorCode::NoKeyFrame, text), rng);
        }
        self.read(now)
    }

    fn ended(&mut self, now: Instant, cause: SourceError, rng: &mut impl Rng) -> Action {
        if self.lasted(now) {
            self.backoff.reset();
            self.panics = 0;
        }
        self.close();
        self.panics = if cause.code == SourceErrorCode::Internal { self.panics + 1 } else { 0 };
        if cause.verdict().action == fault::Action::Park {
            self.phase = Phase::Refused { cause };
            return self.wait();
        }
        let limit = self.policy.max_attempts != 0 && self.backoff.tries() >= self.policy.max_attempts;
        if limit || !self.policy.auto_reconnect || self.panics >= PANICS {
            self.phase = Phase::Failed { attempts: self.backoff.tries(), cause };
            return self.wait();
        }
        let until = now + self.backoff.next(rng);
        self.phase = Phase::Reconnecting { until, attempt: self.backoff.tries(), cause };
        self.wait()
    }

    fn wait(&self) -> Action {
        match &self.phase {
            Phase::Reconnecting { until, .. } => {
                Action::Wait { until: Some(*until), check: Some(self.policy.check_waiting_every) }
            }
            Phase::Failed { cause, .. }
                if self.policy.auto_reconnect && cause.code != SourceErrorCode::Internal =>
            {
                Action::Wait { until: None, check: Some(self.policy.check_failed_every) }
            }
            _ => Action::Wait { until: None, check: None },
        }
    }
}

#[cfg(test)]
mod tests;
