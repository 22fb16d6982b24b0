//! When to ask a camera whether it still lives, and what its silence means: a value without I/O.
//!
//! The first question is OPTIONS, right after PLAY: it measures the round trip and tells what the camera
//! offers. From then on GET_PARAMETER where it is offered, at a steady pace. A camera that answers late or
//! never while its media flows is alive; one that does neither is not.

use std::time::Duration;

use tokio::time::Instant;

/// Questions that went unanswered in a row before GET_PARAMETER is given up for OPTIONS.
const GIVE_UP_AFTER: u32 = 2;

/// A network that is gone for three seconds gives nothing for up to 3.8 (TCP sends again ever more seldom);
/// silence shorter than this is no death (R-K4).
const HICCUP: Duration = Duration::from_millis(4_500);

/// A look that comes this much after its time means that this program did not run. What the camera sent meanwhile
/// waits in the system's buffers, and has as long to be read.
const SUSPENDED: Duration = Duration::from_secs(1);

/// A request that does nothing but ask for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Options,
    GetParameter,
}

impl Question {
    /// The method on the wire.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::GetParameter => "GET_PARAMETER",
        }
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Send this.
    Ask(Question),
    /// The last question was not answered in time, yet media came since. `first` in a row.
    Missed { first: bool },
    /// The last question was not answered in time and nothing else came either.
    Dead,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    asked: Instant,
    question: Question,
    /// When its silence will mean something.
    deadline: Instant,
}

/// The pace of keep-alives on one connection.
#[derive(Debug)]
pub(super) struct KeepAlive {
    /// From question to question, and how long an answer is waited for (R-K1).
    interval: Duration,
    next: Instant,
    open: Option<Open>,
    question: Question,
    /// The newest answer.
    answered: Instant,
    missed: u32,
    get_parameter_answered: bool,
    /// GET_PARAMETER was refused or never answered.
    get_parameter_useless: bool,
}

impl KeepAlive {
    /// Starts asking now.
    pub(super) fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            next: now,
            open: None,
            question: Question::Options,
            answered: now,
            missed: 0,
            get_parameter_answered: false,
            get_parameter_useless: false,
        }
    }

    /// When [`KeepAlive::poll`] has something to do next.
    pub(super) fn deadline(&self) -> Instant {
        self.open.map_or(self.next, |open| open.deadline)
    }

    /// The next thing to do, if its time has come. `media` is when media last came.
    pub(super) fn poll(&mut self, now: Instant, media: Option<Instant>) -> Option<Act> {
        if now < self.deadline() {
            return None;
        }
        if let Some(open) = self.open {
            if media.is_none_or(|media| media <= open.asked) {
                let hiccup_until = media.unwrap_or(self.answered).max(self.answered) + HICCUP;
                let late = now.saturating_duration_since(open.deadline) >= SUSPENDED;
                let until = if late { now + SUSPENDED } else { hiccup_until };
                if now < until {
                    self.open = Some(Open { deadline: until, ..open });
                    return None;
                }
                return Some(Act::Dead);
            }
            self.open = None;
            self.missed += 1;
            let unloved = open.question == Question::GetParameter && !self.get_parameter_answered;
            if unloved && self.missed >= GIVE_UP_AFTER {
                self.question = Question::Options;
                self.get_parameter_useless = true;
            }
            return Some(Act::Missed { first: self.missed == 1 });
        }
        self.open = Some(Open { asked: now, question: self.question, deadline: now + self.interval });
        self.next = now + self.interval;
        Some(Act::Ask(self.question))
    }

    /// The camera answered the open question. `offers` is what its answer to OPTIONS said of
    /// GET_PARAMETER. Gives the round trip.
    pub(super) fn answered(&mut self, now: Instant, status: u16, offers: Option<bool>) -> Option<Duration> {
        let open = self.open.take()?;
        self.answered = now;
        self.missed = 0;
        match open.question {
            Question::Options => {
                let worth_trying = offers == Some(true) || (status != 200 && offers.is_none());
                if worth_trying && !self.get_parameter_useless {
                    self.question = Question::GetParameter;
                }
            }
            // Not known, not allowed, not implemented.
            Question::GetParameter if matches!(status, 400 | 405 | 501 | 551) => {
                self.question = Question::Options;
                self.get_parameter_useless = true;
            }
            Question::GetParameter => self.get_parameter_answered = true,
        }
        Some(now.saturating_duration_since(open.asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE: Duration = Duration::from_secs(5);

    async fn to(start: Instant, seconds: u64) -> Instant {
        tokio::time::sleep_until(start + Duration::from_secs(seconds)).await;
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn r_k1_asks_at_the_pace_with_what_the_camera_offers() {
        let start = Instant::now();
        let mut pace = KeepAlive::new(FIVE, start);
        assert_eq!(pace.poll(start, None), Some(Act::Ask(Question::Options)));
        assert_eq!(pace.poll(start, None), None);
        let now = start + Duration::from_millis(7);
        assert_eq!(pace.answered(now, 200, Some(true)), Some(Duration::from_millis(7)));
        assert_eq!(pace.deadline(), start + FIVE);
        assert_eq!(pace.poll(to(start, 5).await, None), Some(Act::Ask(Question::GetParameter)));
        pace.answered(Instant::now(), 501, None);
        assert_eq!(pace.poll(to(start, 10).await, None), Some(Act::Ask(Question::Options)));
        pace.answered(Instant::now(), 200, Some(true));
        assert_eq!(pace.poll(to(start, 15).await, None), Some(Act::Ask(Question::Options)));
    }

    #[tokio::test(start_paused = true)]
    async fn r_k1_silence_without_media_ends_within_interval_plus_timeout() {
        for seconds in [3, 5, 10] {
            let start = Instant::now();
            let interval = Duration::from_secs(seconds);
            let mut pace = KeepAlive::new(interval, start);
            pace.poll(start, None);
            // The camera dies right after its answer.
            pace.answered(start, 200, Some(true));
            assert!(matches!(pace.poll(to(start, seconds).await, Some(start)), Some(Act::Ask(_))));
            assert_eq!(pace.deadline(), start + 2 * interval);
            assert_eq!(pace.poll(to(start, 2 * seconds).await, Some(start)), Some(Act::Dead));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn r_k4_a_hiccup_right_at_a_question_is_no_death() {
        let start = Instant::now();
        let mut pace = KeepAlive::new(Duration::from_secs(3), start);
        pace.poll(start, None);
        pace.answered(start, 200, Some(true));
        let newest = to(start, 3).await;
        assert!(matches!(pace.poll(newest, Some(newest)), Some(Act::Ask(_))));
        // Three seconds of nothing: the answer is late, the silence is short.
        assert_eq!(pace.poll(to(start, 6).await, Some(newest)), None);
        assert_eq!(pace.deadline(), newest + HICCUP);
        assert!(pace.answered(Instant::now(), 200, None).is_some());
        // The same without an end is one.
        let newest = Instant::now();
        assert!(matches!(pace.poll(newest, Some(newest)), Some(Act::Ask(_))));
        assert_eq!(pace.poll(to(start, 9).await, Some(newest)), None);
        assert_eq!(pace.poll(to(start, 11).await, Some(newest)), Some(Act::Dead));
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_sleep_at_a_question_is_no_death() {
        let start = Instant::now();
        let mut pace = KeepAlive::new(FIVE, start);
        assert!(matches!(pace.poll(start, None), Some(Act::Ask(_))));
        // Stopped for a minute right after the question: the answer is read first.
        assert_eq!(pace.poll(to(start, 60).await, Some(start)), None);
        assert_eq!(pace.deadline(), start + Duration::from_secs(61));
        assert_eq!(pace.poll(to(start, 61).await, Some(start)), Some(Act::Dead));
    }

    #[tokio::test(start_paused = true)]
    async fn r_k1_unanswered_with_media_is_a_warning_and_the_method_changes() {
        let start = Instant::now();
        let mut pace = KeepAlive::new(FIVE, start);
        pace.poll(start, None);
        pace.answered(start, 200, Some(true));
        let media = |seconds: u64| Some(start + Duration::from_millis(seconds * 1_000 - 40));
        assert_eq!(pace.poll(to(start, 5).await, media(5)), Some(Act::Ask(Question::GetParameter)));
        assert_eq!(pace.poll(to(start, 10).await, media(10)), Some(Act::Missed { first: true }));
        assert_eq!(pace.poll(Instant::now(), media(10)), Some(Act::Ask(Question::GetParameter)));
        assert_eq!(pace.poll(to(start, 15).await, media(15)), Some(Act::Missed { first: false }));
        assert_eq!(pace.poll(Instant::now(), media(15)), Some(Act::Ask(Question::Options)));
        assert!(pace.answered(to(start, 16).await, 200, Some(true)).is_some());
    }
}
