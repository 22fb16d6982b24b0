//! When a camera is recorded by itself: spans of the week, in local time. Pure: time and zone come in.
//!
//! A moment is looked at by what the clocks on the wall show then. So an hour that clocks skip is in no
//! span, and one that they show twice is twice in it; a span over the night of such a change is as much
//! longer or shorter.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use time::{OffsetDateTime, UtcOffset};

const DAY: i64 = 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// More lines than anybody writes.
const LINES_MAX: usize = 64;
/// What was missed is told of for so long at most: the newest month.
const MISSED_MAX: Duration = Duration::from_secs(31 * 86_400);
/// 1 January 1970 was a Thursday.
const EPOCH_DAY: i64 = 3;

/// One line that is not right, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ScheduleError {
    /// Which, from zero; none where there is none or there are too many.
    pub line: Option<usize>,
    pub reason: &'static str,
}

/// A span of some days; where it ends before it begins it ends on the day after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// By bit, Monday first.
    days: u8,
    /// Minutes of the day.
    from: i64,
    until: i64,
}

/// The spans in which a camera is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    spans: Vec<Span>,
}

impl Schedule {
    /// Reads lines such as `Mon-Fri 08:00-18:00`, `Sat,Sun 00:00-24:00`, or `22:00-06:00` for every day.
    ///
    /// # Errors
    /// [`ScheduleError`] names the first line that is not right.
    pub fn parse<T: AsRef<str>>(lines: &[T]) -> Result<Self, ScheduleError> {
        if lines.is_empty() {
            let reason = "must name at least one span; leave it out to record at all times";
            return Err(ScheduleError { line: None, reason });
        }
        if lines.len() > LINES_MAX {
            return Err(ScheduleError { line: None, reason: "must have 64 spans at most" });
        }
        let read = |(n, line): (usize, &T)| {
            span(line.as_ref()).map_err(|reason| ScheduleError { line: Some(n), reason })
        };
        Ok(Self { spans: lines.iter().enumerate().map(read).collect::<Result<_, _>>()? })
    }

    /// Whether it records at `at`, where clocks are off by `zone`.
    #[must_use]
    pub fn is_on(&self, at: SystemTime, zone: impl Fn(SystemTime) -> UtcOffset) -> bool {
        let local = seconds(at) + i64::from(zone(at).whole_seconds());
        self.shows(local.div_euclid(60))
    }

    /// The minute after `at` with which that is no more so. None where nothing ever changes.
    #[must_use]
    pub fn next_change(&self, at: SystemTime, zone: impl Fn(SystemTime) -> UtcOffset) -> Option<SystemTime> {
        let now = self.is_on(at, &zone);
        let minute = seconds(at).div_euclid(60);
        // A week, and a day for clocks that change.
        (minute + 1..=minute + 8 * DAY)
            .map(|minute| {
                let since = Duration::from_secs(60 * minute.unsigned_abs());
                if minute < 0 { SystemTime::UNIX_EPOCH - since } else { SystemTime::UNIX_EPOCH + since }
            })
            .find(|at| self.is_on(*at, &zone) != now)
    }

    /// Whether it records while clocks show that minute, counted from the epoch's midnight.
    fn shows(&self, minute: i64) -> bool {
        let day = (minute.div_euclid(DAY) + EPOCH_DAY).rem_euclid(7);
        let within = minute.rem_euclid(DAY);
        self.spans.iter().any(|span| {
            let (today, before) = (span.on(day), span.on((day + 6) % 7));
            if span.from < span.until {
                today && (span.from..span.until).contains(&within)
            } else {
                today && within >= span.from || before && within < span.until
            }
        })
    }
}

impl Span {
    fn on(self, day: i64) -> bool {
        self.days & (1 << day) != 0
    }
}

fn seconds(at: SystemTime) -> i64 {
    OffsetDateTime::from(at).unix_timestamp()
}

/// Whether a camera was to be recorded at a moment that is over.
#[derive(Clone)]
pub struct Plan(Arc<dyn Fn(SystemTime) -> bool + Send + Sync>);

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plan")
    }
}

impl Plan {
    /// What `is_on` says changes with minutes.
    #[must_use]
    pub fn new(is_on: impl Fn(SystemTime) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_on))
    }

    /// The spans between two moments in which it was.
    pub(super) fn spans(&self, from: SystemTime, until: SystemTime) -> Vec<(SystemTime, SystemTime)> {
        let from = until.checked_sub(MISSED_MAX).map_or(from, |month| from.max(month));
        let next = |at: SystemTime| {
            let within = Duration::from_secs(seconds(at).rem_euclid(60).unsigned_abs());
            let nanos = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
            at - Duration::from_nanos(nanos.into()) - within + Duration::from_secs(60)
        };
        let mut spans = Vec::new();
        let mut begun: Option<SystemTime> = None;
        let mut at = from;
        while at < until {
            match ((self.0)(at), begun) {
                (true, None) => begun = Some(at),
                (false, Some(from)) => {
                    spans.push((from, at));
                    begun = None;
                }
                _ => {}
            }
            at = next(at);
        }
        spans.extend(begun.map(|from| (from, until)));
        spans
    }
}

/// What the clocks of this machine are off by at a moment; nothing where the system does not say.
#[must_use]
pub fn local(at: SystemTime) -> UtcOffset {
    UtcOffset::local_offset_at(OffsetDateTime::from(at)).unwrap_or(UtcOffset::UTC)
}

fn span(line: &str) -> Result<Span, &'static str> {
    const FORM: &str = "must be days and times, such as \"Mon-Fri 08:00-18:00\"";
    let mut words = line.split_ascii_whitespace();
    let (first, second) = (words.next().ok_or(FORM)?, words.next());
    if words.next().is_some() {
        return Err(FORM);
    }
    let (named, times) = match second {
        Some(times) => (days(first)?, times),
        None if first.contains(':') => (0x7f, first),
        None => return Err(FORM),
    };
    let (from, until) = times.split_once('-').ok_or(FORM)?;
    let (from, until) = (clock(from)?, clock(until)?);
    if from == until {
        return Err("must not begin and end at the same time; a whole day is 00:00-24:00");
    }
    if from == DAY {
        return Err("must not begin at 24:00");
    }
    Ok(Span { days: named, from, until })
}

fn days(list: &str) -> Result<u8, &'static str> {
    let day = |name: &str| {
        let found = DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
        found.ok_or("must name days as Mon, Tue, Wed, Thu, Fri, Sat or Sun")
    };
    let mut all = 0;
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        // Over the weekend, too: Sat-Mon.
        let length = (last + 7 - first) % 7;
        all |= (0..=length).fold(0, |days, n| days | 1 << ((first + n) % 7));
    }
    Ok(all)
}

fn clock(text: &str) -> Result<i64, &'static str> {
    const FORM: &str = "must have times from 00:00 to 24:00, such as 08:30";
    let (hour, minute) = text.split_once(':').ok_or(FORM)?;
    let number = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<i64>().ok().filter(|_| plain).ok_or(FORM)
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let all = hour * 60 + minute;
    if minute < 60 && all <= DAY { Ok(all) } else { Err(FORM) }
}

#[cfg(test)]
mod tests {
    use time::macros::{datetime, offset};

    use super::*;

    fn read(lines: &[&str]) -> Schedule {
        Schedule::parse(lines).expect("a schedule")
    }

    fn at(moment: OffsetDateTime) -> SystemTime {
        moment.into()
    }

    /// Clocks of Berlin in 2026: an hour ahead, two from 29 March to 25 October, 01:00 UTC.
    fn berlin(moment: SystemTime) -> UtcOffset {
        let summer = at(datetime!(2026-03-29 01:00 UTC))..at(datetime!(2026-10-25 01:00 UTC));
        if summer.contains(&moment) { offset!(+2) } else { offset!(+1) }
    }

    fn utc(_: SystemTime) -> UtcOffset {
        UtcOffset::UTC
    }

    #[test]
    fn r_n14_spans_are_of_local_days_and_may_go_over_midnight() {
        let shop = read(&["Mon-Fri 08:00-18:00", "sat 09:30-13:00"]);
        // 20 November 2026 is a Friday.
        for (moment, on) in [
            (datetime!(2026-11-20 06:59:59 UTC), false),
            (datetime!(2026-11-20 07:00 UTC), true),
            (datetime!(2026-11-20 16:59:59 UTC), true),
            (datetime!(2026-11-20 17:00 UTC), false),
            (datetime!(2026-11-21 08:30 UTC), true),
            (datetime!(2026-11-21 12:00 UTC), false),
            (datetime!(2026-11-22 10:00 UTC), false),
        ] {
            assert_eq!(shop.is_on(at(moment), berlin), on, "{moment}");
        }
        let night = read(&["Fri,Sun 22:00-06:00"]);
        for (moment, on) in [
            (datetime!(2026-11-20 21:59 UTC), false),
            (datetime!(2026-11-20 22:00 UTC), true),
            (datetime!(2026-11-21 05:59 UTC), true),
            (datetime!(2026-11-21 06:00 UTC), false),
            (datetime!(2026-11-21 23:00 UTC), false),
            (datetime!(2026-11-23 00:30 UTC), true),
        ] {
            assert_eq!(night.is_on(at(moment), utc), on, "{moment}");
        }
        assert!(read(&["Sat-Mon 00:00-24:00"]).is_on(at(datetime!(2026-11-22 23:59 UTC)), utc));
        assert!(!read(&["Sat-Mon 00:00-24:00"]).is_on(at(datetime!(2026-11-24 00:00 UTC)), utc));
        assert!(read(&["00:00-24:00"]).is_on(SystemTime::UNIX_EPOCH, utc));
    }

    #[test]
    fn r_n14_it_follows_the_clocks_when_they_change() {
        let early = read(&["Sun 02:30-03:30"]);
        // In spring 02:00 is followed by 03:00: half an hour is left of it.
        let spring = at(datetime!(2026-03-29 00:00 UTC));
        let begins = early.next_change(spring, berlin).expect("it begins");
        assert_eq!(begins, at(datetime!(2026-03-29 01:00 UTC)));
        assert_eq!(early.next_change(begins, berlin), Some(at(datetime!(2026-03-29 01:30 UTC))));
        // In autumn 02:00 to 03:00 is there twice.
        let mut edges = vec![at(datetime!(2026-10-25 00:00 UTC))];
        for _ in 0..4 {
            edges.push(early.next_change(edges[edges.len() - 1], berlin).expect("another"));
        }
        let times = [
            datetime!(2026-10-25 00:30 UTC),
            datetime!(2026-10-25 01:00 UTC),
            datetime!(2026-10-25 01:30 UTC),
            datetime!(2026-10-25 02:30 UTC),
        ];
        assert_eq!(edges[1..], times.map(at));
        let night = read(&["Sat 22:00-06:00"]);
        let (from, until) = (datetime!(2026-10-24 20:00 UTC), datetime!(2026-10-25 05:00 UTC));
        assert_eq!(night.next_change(at(datetime!(2026-10-24 12:00 UTC)), berlin), Some(at(from)));
        assert_eq!(night.next_change(at(from), berlin), Some(at(until)), "nine hours, without a break");
    }

    #[test]
    fn r_n14_what_was_missed_is_what_was_to_be_recorded() {
        let shop = read(&["Mon-Fri 08:00-18:00"]);
        let plan = Plan::new(move |at| shop.is_on(at, utc));
        // From a Friday afternoon to a Monday morning.
        let (from, until) = (datetime!(2026-11-20 17:10:07.5 UTC), datetime!(2026-11-23 08:20:01 UTC));
        let missed = [(from, datetime!(2026-11-20 18:00 UTC)), (datetime!(2026-11-23 08:00 UTC), until)];
        assert_eq!(plan.spans(at(from), at(until)), missed.map(|(from, until)| (at(from), at(until))));
        assert!(
            plan.spans(at(datetime!(2026-11-20 18:00 UTC)), at(datetime!(2026-11-23 08:00 UTC))).is_empty()
        );
        let year = plan.spans(at(datetime!(2025-11-20 17:00 UTC)), at(until));
        assert_eq!(year.len(), 22, "of a long time the newest month");
        assert!(plan.spans(at(until), at(from)).is_empty());
    }

    #[test]
    fn what_never_changes_has_no_next_change() {
        assert_eq!(read(&["Mon-Sun 00:00-24:00"]).next_change(SystemTime::UNIX_EPOCH, utc), None);
        let weekly = read(&["Fri 08:00-08:01"]);
        let over = at(datetime!(2026-11-20 08:01 UTC));
        assert_eq!(weekly.next_change(over, utc), Some(at(datetime!(2026-11-27 08:00 UTC))));
    }

    #[test]
    fn what_is_not_right_is_named() {
        for (line, word) in [
            ("", "days and times"),
            ("Mon-Fri", "days and times"),
            ("Mon 08:00-18:00 x", "days and times"),
            ("Mo 08:00-18:00", "Mon, Tue"),
            ("Mon- 08:00-18:00", "Mon, Tue"),
            ("Mon 8:00-18:00", "00:00 to 24:00"),
            ("Mon 08:00-24:01", "00:00 to 24:00"),
            ("Mon 08:60-18:00", "00:00 to 24:00"),
            ("Mon 08:00-08:00", "same time"),
            ("Mon 24:00-08:00", "begin at 24:00"),
        ] {
            let error = Schedule::parse(&["00:00-24:00", line]).expect_err(line);
            assert_eq!(error.line, Some(1));
            assert!(error.reason.contains(word), "{line}: {error}");
        }
        assert_eq!(Schedule::parse::<&str>(&[]).expect_err("none").line, None);
        assert_eq!(Schedule::parse(&["00:00-24:00"; 65]).expect_err("many").line, None);
    }
}
