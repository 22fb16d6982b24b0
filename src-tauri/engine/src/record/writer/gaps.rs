//! What the writer notes of times without a recording, and why.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::warn;

use super::super::queue::Hole;
use super::super::schedule::Plan;
use super::{Camera, Writer};
use crate::store::{MAIN, Micros, Query, StoreError, micros, wall};

/// A camera that is on and gives nothing for this long has a gap.
const QUIET: Duration = Duration::from_secs(3);
/// A shorter break is none that anybody would look for.
const SHORT: i64 = 1_000_000;
/// A recording that ends so much later than now is of before the clock was set back.
const AHEAD: Duration = Duration::from_secs(5);

impl Writer {
    pub(super) fn note_hole(&self, camera: &Camera, hole: &Hole) {
        let Hole { frames, since, until, cause } = hole;
        warn!(tag = "RECORDING", camera = camera.cell.id(), frames, cause, "frames are missing");
        let (since, until) = (micros(*since), micros(*until));
        said(self.catalogue.gap(camera.cell.id(), self.root.disk(), since, Some(until), cause));
    }

    pub(super) fn open_gap(&self, camera: &mut Camera, since: SystemTime, cause: &str) {
        if camera.gap.is_none() {
            // What was recorded before the clock was set back ends after all that is missing now.
            let now = self.env.wall();
            let since = if since > now + AHEAD { now } else { since };
            let (id, disk) = (camera.cell.id(), self.root.disk());
            camera.gap = said(self.catalogue.gap(id, disk, micros(since), None, cause));
        }
    }

    pub(super) fn close_gap(&self, camera: &mut Camera, until: SystemTime) {
        if let Some(gap) = camera.gap.take() {
            said(self.catalogue.gap_closed(gap, micros(until)));
        }
    }

    /// The program did not run from the end of what there is until now: what was planned then is missing.
    pub(super) fn note_absence(&self, id: &str, until: SystemTime, plan: &Plan) {
        let until = micros(until);
        // What lies after now was recorded before the clock was set back, and says nothing of this absence. The
        // rest may lie on another disk.
        let Some(newest) = said(self.catalogue.newest_before(id, until)).flatten() else { return };
        let query = Query { camera: Some(id), from_us: newest.start_us, to_us: until };
        let ends = said(self.catalogue.segments(query)).into_iter().flatten().map(|row| row.end_us);
        let known = said(self.catalogue.gaps(query)).into_iter().flatten().filter_map(|row| row.end_us);
        let Some(since) = ends.chain(known).filter(|end| *end <= until).max() else { return };
        for (from, until) in plan.spans(wall(since), wall(until)) {
            let (from, until) = (micros(from), micros(until));
            if until - from > SHORT {
                said(self.catalogue.gap(id, self.root.disk(), from, Some(until), "not_running"));
            }
        }
    }

    /// Gaps before a camera's oldest recording say nothing any more, nor do those of a camera without any that are
    /// older than all recordings.
    pub(super) fn forget_old_gaps(&self) {
        let mut oldest: HashMap<String, Micros> = HashMap::new();
        for usage in said(self.catalogue.usage()).into_iter().flatten() {
            let known = oldest.entry(usage.camera).or_insert(usage.oldest_us);
            *known = usage.oldest_us.min(*known);
        }
        for (camera, oldest) in &oldest {
            said(self.catalogue.forget_gaps(Some(camera), *oldest));
        }
        if let Some(oldest) = oldest.into_values().min() {
            said(self.catalogue.forget_gaps(None, oldest));
        }
    }

    /// What is nobody's is the main root's.
    fn is_first(&self) -> bool {
        self.root.disk() == MAIN
    }

    /// An earlier run's gaps of this disk ended with it, as far as anybody knows.
    pub(super) fn close_old_gaps(&self) {
        let now = micros(self.env.wall());
        let own = |disk: &str| {
            disk == self.root.disk() || self.is_first() && self.estate.disks.root(disk).is_none()
        };
        for gap in said(self.catalogue.open_gaps()).into_iter().flatten().filter(|gap| own(&gap.disk)) {
            said(self.catalogue.gap_closed(gap.id, now));
        }
        self.forget_old_gaps();
    }

    pub(super) fn gap_everywhere(&mut self, cause: &'static str) {
        let numbers: Vec<u64> = self.cameras.keys().copied().collect();
        for number in numbers {
            if let Some(mut camera) = self.cameras.remove(&number) {
                let since = camera.since();
                self.open_gap(&mut camera, since, cause);
                self.cameras.insert(number, camera);
            }
        }
    }

    /// Cameras that are on and give nothing.
    pub(super) fn note_quiet(&mut self, now: Instant) {
        let quiet: Vec<u64> = (self.cameras.iter())
            .filter(|(_, camera)| camera.is_quiet(now) && self.storage.is_ready())
            .map(|(number, _)| *number)
            .collect();
        for number in quiet {
            if let Some(mut camera) = self.cameras.remove(&number) {
                let since = camera.since();
                self.open_gap(&mut camera, since, "camera_lost");
                self.cameras.insert(number, camera);
            }
        }
    }
}

/// The catalogue is made anew from the files where it fails: recording goes on without it.
pub(super) fn said<T>(result: Result<T, StoreError>) -> Option<T> {
    result.map_err(|error| warn!(tag = "STORAGE", %error, "the catalogue")).ok()
}

impl Camera {
    /// On for a while, and nothing comes.
    fn is_quiet(&self, now: Instant) -> bool {
        self.gap.is_none() && !self.cutter.is_recording() && now.saturating_duration_since(self.on_at) > QUIET
    }
}
