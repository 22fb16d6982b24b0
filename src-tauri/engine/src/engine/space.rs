//! Whether the space for recordings lasts for as long as they are to be kept.
//!
//! [`Foresight`] is pure: what [`EngineHandle::storage`] says comes in. It does not know who is told.

use std::sync::Weak;
use std::time::Duration;

use tokio::time::sleep;

use super::EngineHandle;
use super::handle::Inner;
use crate::api::{Cause, Storage, StorageOutlook};
use crate::fault::Class;
use crate::record::Code;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// A rate that was there at fewer looks in a row is none to warn by.
const LOOKS: u32 = 10;
/// A warning ends when there is room for so much more than is wanted: the rate is never quite the same.
const RELIEF: f64 = 1.05;
const GIGABYTE: f64 = 1e9;

/// Bytes of gigabytes of ten to the nine, as disks are sold.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is far below 2⁶³")]
pub(super) fn bytes(gigabytes: f64) -> u64 {
    (gigabytes * GIGABYTE) as u64
}

/// What the rate meets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    /// Bytes that may still be written.
    pub(super) room: u64,
    pub(super) used: u64,
    /// Bytes of these that stay whatever happens.
    pub(super) protected: u64,
    /// Bytes a day.
    pub(super) rate: u64,
    /// Days to keep; 0 = as long as there is room.
    pub(super) days: u32,
    pub(super) overwrite: bool,
}

impl Space {
    /// Days of recordings that there is room for.
    fn keeps(&self) -> f64 {
        (self.room + self.used - self.protected.min(self.used)) as f64 / self.rate.max(1) as f64
    }

    /// Days until nothing can be written any more.
    fn lasts(&self) -> f64 {
        if self.overwrite { self.keeps() } else { self.room as f64 / self.rate.max(1) as f64 }
    }

    /// Whether `more` times what is wanted has room.
    fn is_short(&self, more: f64) -> bool {
        let wanted = if self.days == 0 { 1.0 } else { f64::from(self.days) };
        let keeps = if self.days == 0 && !self.overwrite { self.lasts() } else { self.keeps() };
        keeps < wanted * more
    }

    pub(super) fn outlook(&self) -> StorageOutlook {
        if self.rate == 0 {
            StorageOutlook::Unknown
        } else if self.lasts() < 1.0 {
            StorageOutlook::Ending
        } else if self.is_short(1.0) {
            StorageOutlook::Short
        } else {
            StorageOutlook::Enough
        }
    }
}

/// Warns, and knows when to stop.
#[derive(Debug, Default)]
struct Foresight {
    warned: bool,
    /// Looks in a row at which something was recorded.
    looks: u32,
}

impl Foresight {
    /// Why to warn now.
    fn look(&mut self, space: Space) -> Option<Cause> {
        self.looks = if space.rate == 0 { 0 } else { self.looks.saturating_add(1) };
        if space.rate == 0 {
            self.warned = false;
        } else if self.looks > LOOKS {
            self.warned = space.is_short(if self.warned { RELIEF } else { 1.0 });
        }
        self.warned.then(|| {
            let detail = if space.days == 0 || space.lasts() < 1.0 && !space.overwrite {
                format!("At the present rate the space for recordings is used up in {}.", span(space.lasts()))
            } else {
                format!(
                    "At the present rate there is room for recordings of {}, and {} days are to be kept \
                     (recording.retention_days).",
                    span(space.keeps()),
                    space.days
                )
            };
            let class = Class::DiskFull.name().to_owned();
            Cause { code: Code::SpaceShort.name().to_owned(), class, detail }
        })
    }
}

/// Days or hours in words.
fn span(days: f64) -> String {
    if days < 2.0 { format!("{:.0} hours", (days * 24.0).floor()) } else { format!("{days:.1} days") }
}

/// Looks at the space until the engine ends.
pub(super) async fn watch(engine: Weak<Inner>) {
    let mut foresight = Foresight::default();
    loop {
        let Some(inner) = engine.upgrade() else { return };
        let stop = inner.stop.clone();
        drop(inner);
        if stop.run_until_cancelled(sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
        let Some(inner) = engine.upgrade() else { return };
        let engine = EngineHandle::of(inner);
        let Ok(storage) = engine.storage().await else { continue };
        let Some(space) = engine.space_of(&storage) else { continue };
        engine.board().set_space(foresight.look(space));
        engine.look_again();
    }
}

impl EngineHandle {
    /// What the rate meets; none before the first look at the disk.
    pub(super) fn space_of(&self, storage: &Storage) -> Option<Space> {
        let recording = &self.config().recording;
        let room = storage.free_bytes?.saturating_sub(storage.reserved_bytes);
        let quota = bytes(recording.quota_gb);
        let room = if quota == 0 { room } else { room.min(quota.saturating_sub(storage.used_bytes)) };
        Some(Space {
            room,
            used: storage.used_bytes,
            protected: storage.cameras.iter().map(|camera| camera.protected_bytes).sum(),
            rate: storage.bytes_per_day,
            days: recording.retention_days,
            // What is over a quota goes, whatever else may not.
            overwrite: recording.overwrite || quota > 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(room: u64, used: u64, days: u32, overwrite: bool) -> Space {
        Space { room, used, protected: 0, rate: 10, days, overwrite }
    }

    #[test]
    fn r_n7_the_outlook_is_what_the_rate_makes_of_the_room() {
        for (space, outlook) in [
            (space(40, 30, 7, true), StorageOutlook::Enough),
            (space(39, 30, 7, true), StorageOutlook::Short),
            (Space { protected: 10, ..space(40, 30, 7, true) }, StorageOutlook::Short),
            (space(0, 9, 7, true), StorageOutlook::Ending),
            (space(9, 70, 7, false), StorageOutlook::Ending),
            (space(20, 60, 7, false), StorageOutlook::Enough),
            (space(20, 0, 0, true), StorageOutlook::Enough),
            (Space { rate: 0, ..space(0, 0, 7, true) }, StorageOutlook::Unknown),
        ] {
            assert_eq!(space.outlook(), outlook, "{space:?}");
        }
    }

    #[test]
    fn r_n10_it_warns_before_the_space_runs_out_and_stops_when_there_is_enough() {
        let mut foresight = Foresight::default();
        let short = space(35, 30, 7, true);
        assert!((0..LOOKS).all(|_| foresight.look(short).is_none()), "some minutes are no rate");
        let cause = foresight.look(short).expect("a warning");
        assert_eq!((&*cause.code, &*cause.class), ("space_short", "DISK_FULL"));
        assert!(cause.detail.contains("6.5 days, and 7 days"), "{}", cause.detail);
        assert!(foresight.look(space(42, 30, 7, true)).is_some(), "by a hair is not enough");
        assert_eq!(foresight.look(space(44, 30, 7, true)), None);
        assert_eq!(foresight.look(space(72, 0, 7, true)), None, "and does not begin by a hair");
        let cause = foresight.look(space(5, 20, 7, false)).expect("a warning");
        assert!(cause.detail.contains("used up in 12 hours"), "{}", cause.detail);
        assert_eq!(foresight.look(Space { rate: 0, ..short }), None, "nothing is recorded");
    }
}
