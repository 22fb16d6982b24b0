//! Time of day as the contract writes it.

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use specta::Type;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// Always three digits: times sort as texts, too.
const MILLISECONDS: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// RFC 3339 in UTC with milliseconds, such as `2026-11-20T14:50:42.120Z`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Type, JsonSchema)]
#[serde(transparent)]
pub struct Timestamp(String);

impl Timestamp {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The instant that a text names, which may have any offset and any number of digits.
    #[must_use]
    pub fn read(text: &str) -> Option<SystemTime> {
        // Years beyond these are none of a camera's, and could not be told again.
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)?;
        (1970..=9999).contains(&at.year()).then(|| at.into())
    }
}

/// The last moment that can be told, in milliseconds since 1970.
const LAST_MS: u64 = 253_402_300_799_999;

/// A moment before 1970 or after 9999 is told as the nearest that can be: a clock or a file may hold anything.
impl From<SystemTime> for Timestamp {
    fn from(at: SystemTime) -> Self {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = OffsetDateTime::UNIX_EPOCH + since.min(Duration::from_millis(LAST_MS));
        Self(at.format(MILLISECONDS).expect("every component is there in any time"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        let at = UNIX_EPOCH + Duration::from_micros(1_795_186_242_120_456);
        assert_eq!(Timestamp::from(at).0, "2026-11-20T14:50:42.120Z");
        assert_eq!(Timestamp::from(UNIX_EPOCH).0, "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn no_time_is_beyond_telling() {
        let far = UNIX_EPOCH + Duration::from_micros(i64::MAX.unsigned_abs());
        assert_eq!(Timestamp::from(far).0, "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from(UNIX_EPOCH - Duration::from_secs(1)).0, "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from(crate::store::wall(i64::MIN)).0, "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn times_are_read_to_the_microsecond_and_strictly() {
        let at = UNIX_EPOCH + Duration::from_micros(1_795_186_242_120_456);
        assert_eq!(Timestamp::read("2026-11-20T14:50:42.120456Z"), Some(at));
        assert_eq!(Timestamp::read("2026-11-20T23:50:42.120456+09:00"), Some(at));
        let last = Timestamp::read("9999-12-31T23:59:59.999Z").expect("the last moment of all");
        assert_eq!(Timestamp::from(last).0, "9999-12-31T23:59:59.999Z");
        for bad in [
            "",
            "9999-12-31T23:59:59-09:00",
            "2026-11-20",
            "2026-11-20T14:50:42",
            "2026-11-20 14:50",
            "2026-13-20T14:50:42Z",
            "2026-02-30T14:50:42Z",
            "2026-11-20T24:00:00Z",
            "1969-12-31T23:59:59Z",
            "now",
            "1795186242",
            " 2026-11-20T14:50:42Z",
        ] {
            assert_eq!(Timestamp::read(bad), None, "{bad}");
        }
    }
}
