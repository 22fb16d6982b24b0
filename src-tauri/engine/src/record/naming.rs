//! What files are called: `<camera>/<YYYY-MM-DD>/<camera>_<YYYYMMDD>_<HHMMSS>.mp4`, in local time.
//!
//! A name that does not look like this is not ours, and nothing of ours is ever deleted or repaired by
//! another rule.

use std::path::{Component, Path};
use std::time::SystemTime;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

const DAY: &[BorrowedFormatItem<'static>] = format_description!("[year]-[month]-[day]");
const STAMP: &[BorrowedFormatItem<'static>] =
    format_description!("[year][month][day]_[hour][minute][second]");

/// How often a name may be taken; more files in one second are not made.
pub(super) const TRIES: u32 = 1_000;

/// The directory of a camera's file that begins at `start`, relative to the root, and the file's name for
/// the `nth` try, from one.
pub(super) fn name(camera: &str, start: SystemTime, nth: u32) -> (String, String) {
    let utc = OffsetDateTime::from(start);
    let local = utc.to_offset(UtcOffset::local_offset_at(utc).unwrap_or(UtcOffset::UTC));
    let day = local.format(DAY).expect("every component is there in any time");
    let stamp = local.format(STAMP).expect("every component is there in any time");
    let suffix = if nth > 1 { format!("_{nth}") } else { String::new() };
    (format!("{camera}/{day}"), format!("{camera}_{stamp}{suffix}.mp4"))
}

/// The camera of a file that is named as ours are; `path` is relative to the root.
pub(super) fn camera_of(path: &Path) -> Option<&str> {
    let mut parts = path.components().map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    let (camera, day, file) = (parts.next()??, parts.next()??, parts.next()??);
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let known = |id: &str| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let mut date = day.split('-');
    let dated = digits(date.next()?, 4) && digits(date.next()?, 2) && digits(date.next()?, 2);
    let mut stamp = file.strip_prefix(camera)?.strip_prefix('_')?.strip_suffix(".mp4")?.split('_');
    let stamped = digits(stamp.next()?, 8) && digits(stamp.next()?, 6);
    let numbered = stamp.next().is_none_or(|n| n.parse::<u32>().is_ok_and(|n| (2..=TRIES).contains(&n)));
    let whole = parts.next().is_none() && date.next().is_none() && stamp.next().is_none();
    (whole && dated && stamped && numbered && known(camera) && !camera.is_empty()).then_some(camera)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn r_n8_names_are_local_times_and_are_known_again() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_186_242);
        for camera in ["cam_01", "a", "_", "x_20251110_160000"] {
            for nth in [1, 2, 17] {
                let (dir, file) = name(camera, at, nth);
                assert_eq!(camera_of(Path::new(&format!("{dir}/{file}"))), Some(camera), "{dir}/{file}");
                assert_eq!(file.ends_with(&format!("_{nth}.mp4")), nth > 1);
            }
        }
    }

    #[test]
    fn what_is_not_named_so_is_not_ours() {
        for other in [
            "cam/2025-11-10/holiday.mp4",
            "cam/2025-11-10/cam_20251110_160000.mp4.part",
            "cam/2025-11-10/other_20251110_160000.mp4",
            "cam/2025-11-10/deep/cam_20251110_160000.mp4",
            "../2025-11-10/.._20251110_160000.mp4",
            "cam/cam_20251110_160000.mp4",
            "cam/20251110/cam_20251110_160000.mp4",
            "cam/2025-11-10/cam_20251110_160000_1.mp4",
            "cam/2025-11-10/cam_20251110_160000_x.mp4",
            "/cam/2025-11-10/cam_20251110_160000.mp4",
        ] {
            assert_eq!(camera_of(Path::new(other)), None, "{other}");
        }
    }
}
