//! Whether the space for recordings lasts for as long as they are to be kept.
//!
//! [`Foresight`] is pure: what [`EngineHandle::survey`] says of a disk comes in. It does not know who is told.

use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::sleep;

use super::EngineHandle;
use super::handle::Inner;
use crate::api::{Cause, StorageOutlook};
use crate::fault::Class;
use crate::record::Code;
use crate::store::MAIN;

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
    /// Why to warn now of the disk of this name.
    fn look(&mut self, disk: &str, space: Space) -> Option<Cause> {
        self.looks = if space.rate == 0 { 0 } else { self.looks.saturating_add(1) };
        if space.rate == 0 {
            self.warned = false;
        } else if self.looks > LOOKS {
            self.warned = space.is_short(if self.warned { RELIEF } else { 1.0 });
        }
        self.warned.then(|| {
            let on = if disk == MAIN { String::new() } else { format!(" on the disk \"{disk}\"") };
            let detail = if space.days == 0 || space.lasts() < 1.0 && !space.overwrite {
                format!(
                    "At the present rate the space for recordings{on} is used up in {}.",
                    span(space.lasts())
                )
            } else {
                format!(
                    "At the present rate there is room for recordings of {}{on}, and {} days are to be kept \
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
    let mut foresights: HashMap<String, Foresight> = HashMap::new();
    loop {
        let Some(inner) = engine.upgrade() else { return };
        let stop = inner.stop.clone();
        drop(inner);
        if stop.run_until_cancelled(sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
        let Some(inner) = engine.upgrade() else { return };
        let engine = EngineHandle::of(inner);
        let Ok(survey) = engine.survey().await else { continue };
        let short = survey.spaces.into_iter().filter_map(|(disk, space)| {
            let cause = foresights.entry(disk.clone()).or_default().look(&disk, space)?;
            Some((disk, cause))
        });
        engine.board().set_space(short.collect());
        engine.look_again();
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
        assert!((0..LOOKS).all(|_| foresight.look(MAIN, short).is_none()), "some minutes are no rate");
        let cause = foresight.look(MAIN, short).expect("a warning");
        assert_eq!((&*cause.code, &*cause.class), ("space_short", "DISK_FULL"));
        assert!(cause.detail.contains("6.5 days, and 7 days"), "{}", cause.detail);
        assert!(foresight.look(MAIN, space(42, 30, 7, true)).is_some(), "by a hair is not enough");
        assert_eq!(foresight.look(MAIN, space(44, 30, 7, true)), None);
        assert_eq!(foresight.look(MAIN, space(72, 0, 7, true)), None, "and does not begin by a hair");
        let cause = foresight.look(MAIN, space(5, 20, 7, false)).expect("a warning");
        assert!(cause.detail.contains("used up in 12 hours"), "{}", cause.detail);
        assert_eq!(foresight.look(MAIN, Space { rate: 0, ..short }), None, "nothing is recorded");
        let mut attic = Foresight { warned: true, looks: LOOKS };
        let cause = attic.look("attic", short).expect("a warning");
        assert!(cause.detail.contains("on the disk \"attic\""), "{}", cause.detail);
    }
}
