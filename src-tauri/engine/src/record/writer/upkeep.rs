//! The writer's look at its root every other second: whether it is still there, and whether there is room.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::super::retention::{Cleaned, Stock, keep_quotas, make_room};
use super::super::root::{Fault, gigabytes};
use super::super::status::{Cause, Code};
use super::Writer;
use super::gaps::said;

/// A word about recordings that went early stays this long.
const REMARK: Duration = Duration::from_secs(600);

impl Writer {
    /// Whether the storage is what it was, its files too, and has space.
    pub(super) fn check(&mut self, now: Instant) -> Result<(), Fault> {
        self.root.check()?;
        let root = self.root.path().to_owned();
        for camera in self.cameras.values_mut() {
            if camera.reels.values().all(|reel| reel.is_there(&root)) {
                continue;
            }
            warn!(
                tag = "STORAGE",
                camera = camera.cell.id(),
                "somebody removed the file that is being written"
            );
            let held = camera.cutter.abandon();
            camera.dropped += held as u64;
            for (_, reel) in camera.reels.drain() {
                if !root.join(&reel.segment.path).exists() {
                    self.grown.remove(&reel.segment.id);
                    said(self.catalogue.segment_removed(reel.segment.id));
                }
                self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&reel.segment.path);
            }
        }
        self.mender.remind(self.root.base()?);
        self.look_ahead();
        self.keep_quotas()?;
        if let Some(cause) = self.make_room(now)? {
            self.stop_writing(&Fault::Full, cause);
        }
        Ok(())
    }

    /// Sees to it that there is space; a cause where there is not.
    pub(super) fn make_room(&mut self, now: Instant) -> Result<Option<Cause>, Fault> {
        let needed = self.root.needed(self.retention.min_free);
        let free = self.root.free()?;
        let mut written = 0;
        self.board.count(|figures| {
            figures.free_bytes = free;
            written = figures.written_bytes;
        });
        // Twice what came since the last look: a small disk must not be full before the next.
        let soon = 2 * (written - std::mem::replace(&mut self.written, written));
        if free >= needed + soon {
            return Ok(None);
        }
        let mut cleaned = self.clean(needed + soon - free)?;
        if cleaned == Cleaned::nothing() && free < needed {
            // There is not as much to remove; less may do.
            cleaned = self.clean(needed - free)?;
        }
        self.board.count(|figures| figures.removed += cleaned.removed as u64);
        if cleaned.removed > 0 {
            self.forget_old_gaps();
        }
        if cleaned.early {
            let days = self.retention.days;
            let detail = format!(
                "The disk is full: the oldest recordings are removed for new ones although they are younger \
                 than {days} days. Add space, or keep less (recording.retention_days)."
            );
            self.board.set_remark(Some(Cause { code: Code::Overwriting, detail }));
            self.remark_until = Some(now + REMARK);
        }
        let free = self.root.free()?;
        if free >= needed || cleaned.more {
            return Ok(None);
        }
        let why = if self.retention.overwrite {
            "Removing recordings would not be enough"
        } else {
            "Recordings that are not too old may not be removed (recording.overwrite)"
        };
        let detail = format!(
            "{} are free at {}, and {} are to stay free (recording.min_free_gb). {why}: make room on the disk.",
            gigabytes(free),
            self.root.place(self.root.path()),
            gigabytes(needed),
        );
        Ok(Some(Cause { code: Code::DiskFull, detail }))
    }

    fn clean(&self, wanted: u64) -> Result<Cleaned, Fault> {
        let base = self.root.base()?;
        let stock = Stock { base: base.path(), disk: self.root.disk(), catalogue: &self.catalogue };
        let cleaned = make_room(stock, self.retention, self.env.wall(), wanted);
        Ok(cleaned.unwrap_or_else(|error| {
            warn!(tag = "DISK", %error, "recordings cannot be removed");
            Cleaned::nothing()
        }))
    }

    /// Removes what is over a quota.
    fn keep_quotas(&self) -> Result<(), Fault> {
        let own = self.estate.quotas();
        if self.retention.quota == 0 && own.is_empty() {
            return Ok(());
        }
        let base = self.root.base()?;
        let stock = Stock { base: base.path(), disk: self.root.disk(), catalogue: &self.catalogue };
        match keep_quotas(stock, self.retention.quota, &own, &self.estate.ready()) {
            Ok(cleaned) if cleaned.removed > 0 => {
                self.board.count(|figures| figures.removed += cleaned.removed as u64);
                self.forget_old_gaps();
            }
            Ok(_) => {}
            Err(error) => warn!(tag = "DISK", %error, "quotas cannot be kept"),
        }
        Ok(())
    }
}
