//! Faults of one camera's directory: it alone stops, and is tried again as a lost root is (R-N6).

use tokio::time::Instant;
use tracing::{info, warn};

use super::super::naming;
use super::super::root::Fault;
use super::super::status::{Cause, State};
use super::super::storage::{Due, Phase, Storage};
use super::{Camera, Writer};

impl Writer {
    /// The storage failed one camera. Where all others can still be written, it stops alone.
    pub(super) fn blame(&mut self, number: u64, fault: &Fault) {
        if !fault.may_be_local() || self.root.probe().is_err() {
            return self.fault(fault);
        }
        // It may have been switched off by what failed; then there is nothing left to do.
        let Some(mut camera) = self.cameras.remove(&number) else { return };
        let cause = self.local_cause(&camera, fault);
        warn!(tag = "STORAGE", camera = camera.cell.id(), code = cause.code.name(), "{}", cause.detail);
        // Its file is there, only another cannot be made.
        self.give_up(&mut camera, true, "storage_lost");
        let now = Instant::now();
        let mut trouble = Storage::new(now, cause.clone());
        trouble.lost(now, cause);
        self.keep_trouble(&mut camera, trouble);
        self.cameras.insert(number, camera);
    }

    /// Looks whether files can be made again where they could not be.
    pub(super) fn retry_local(&mut self, now: Instant) {
        let due: Vec<(u64, Due)> = (self.cameras.iter_mut())
            .filter_map(|(number, camera)| Some((*number, camera.trouble.as_mut()?.due(now)?)))
            .collect();
        for (number, due) in due {
            let Some(mut camera) = self.cameras.remove(&number) else { continue };
            let (dir, _) = naming::name(camera.cell.id(), self.env.wall(), 1);
            match self.root.probe_in(&dir) {
                Ok(()) => {
                    info!(tag = "RECORDING RETRY", camera = camera.cell.id(), "recording goes on");
                    self.all_is_well(&mut camera);
                    camera.begin_anew();
                    if let Ok(base) = self.root.base() {
                        // What could not be sealed.
                        self.mender.want(base);
                    }
                }
                Err(fault) => {
                    let cause = self.local_cause(&camera, &fault);
                    // A look does not count as a try, and puts none off.
                    if let Some(mut trouble) = camera.trouble.take_if(|_| due == Due::Try) {
                        trouble.lost(now, cause);
                        self.keep_trouble(&mut camera, trouble);
                    }
                }
            }
            self.cameras.insert(number, camera);
        }
    }

    /// Whether the files that are being written can be followed by others.
    pub(super) fn look_ahead(&self) {
        for camera in self.cameras.values().filter(|camera| camera.trouble.is_none()) {
            let barred = camera.reels.values().find_map(|reel| self.root.bars(&reel.segment.path));
            camera.cell.set_storage(barred.map(|cause| (State::StorageLost, cause)), self.env.wall());
        }
    }

    /// Nothing is wrong with a camera's directory, as far as anybody knows.
    pub(super) fn all_is_well(&self, camera: &mut Camera) {
        camera.trouble = None;
        camera.cell.set_storage(None, self.env.wall());
    }

    fn keep_trouble(&self, camera: &mut Camera, trouble: Storage) {
        let told = match trouble.phase() {
            Phase::Lost(cause) => Some((State::StorageLost, cause.clone())),
            Phase::GivenUp(cause) => Some((State::Failed, cause.clone())),
            Phase::Ready | Phase::Full(_) => None,
        };
        camera.cell.set_storage(told, self.env.wall());
        camera.trouble = Some(trouble);
    }

    fn local_cause(&self, camera: &Camera, fault: &Fault) -> Cause {
        self.root.cause(fault, Some(camera.cell.id()))
    }
}
