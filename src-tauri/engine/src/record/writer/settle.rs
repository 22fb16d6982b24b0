//! What was written is brought to the disk, for all cameras at once.
//!
//! Invariant: what the catalogue, the gaps and the figures are told was waited for before.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::super::reel::Reel;
use super::super::root::Fault;
use super::{Camera, TICK, Writer, passed_us};
use crate::store::{Micros, micros};

/// What was written is waited for so much later at most: others write meanwhile, and one commit of the file
/// system's journal serves them all.
const GATHER: Duration = Duration::from_millis(150);

impl Writer {
    /// How long the queue may be waited for.
    pub(super) fn patience(&self) -> Duration {
        let due = self.unsettled.map(|since| (since + GATHER).saturating_duration_since(Instant::now()));
        due.map_or(TICK, |due| due.min(TICK))
    }

    /// Waits for the disk where it is time.
    pub(super) fn settle_when_due(&mut self, now: Instant) {
        if self.unsettled.is_some_and(|since| now >= since + GATHER)
            && let Err((number, fault)) = self.settle()
        {
            self.blame(number, &fault);
        }
    }

    /// Waits until all that was written is on the disk. Answers whose is not, and why.
    fn settle(&mut self) -> Result<(), (u64, Fault)> {
        let since = self.unsettled.take();
        let from = Instant::now();
        let mut numbers: Vec<u64> = self.cameras.keys().copied().collect();
        for camera in numbers.iter().filter_map(|number| self.cameras.get(number)) {
            camera.reels.values().for_each(Reel::start_sync);
        }
        // The last that was sent is waited for first: when it has arrived, so have the others, and the commit that
        // it asks for is theirs, too.
        numbers.reverse();
        let mut fragments = 0;
        let mut done = Ok(());
        for number in numbers {
            let Some(camera) = self.cameras.get_mut(&number) else { continue };
            match wait_for(camera, &mut self.grown) {
                Ok(settled) => fragments += settled,
                Err(fault) => {
                    done = Err((number, fault));
                    // The others' turn comes with the next look.
                    self.unsettled = since;
                    break;
                }
            }
        }
        let took = passed_us(from);
        self.board.count(|figures| {
            figures.fragments += fragments;
            figures.syncs += 1;
            figures.sync_us += took;
            figures.longest_sync_us = figures.longest_sync_us.max(took);
        });
        done
    }

    /// The same for a camera whose files are given up: what does not reach the disk is counted.
    pub(super) fn settle_one(&mut self, camera: &mut Camera) {
        match wait_for(camera, &mut self.grown) {
            Ok(fragments) => self.board.count(|figures| figures.fragments += fragments),
            Err(_) => {
                let frames = camera.reels.values().map(|reel| reel.waiting().frames).sum();
                self.drop_frames(camera, frames);
            }
        }
    }
}

/// Waits for what was written of a camera. Answers the fragments.
fn wait_for(camera: &mut Camera, grown: &mut HashMap<Uuid, (Micros, u64)>) -> Result<u64, Fault> {
    let mut fragments = 0;
    let mut ends = Vec::new();
    let mut done = Ok(());
    for (take, reel) in &mut camera.reels {
        match reel.sync() {
            Ok(settled) if settled.fragments > 0 => {
                fragments += settled.fragments;
                ends.push((*take, reel.end()));
                grown.insert(reel.segment.id, (micros(reel.end()), reel.bytes()));
            }
            Ok(_) => {}
            Err(fault) => {
                done = Err(fault);
                break;
            }
        }
    }
    ends.into_iter().for_each(|(take, end)| camera.reaches(take, end));
    done.map(|()| fragments)
}
