//! What the recorders of all roots have in common: where the roots are, which of them are there, and what a camera
//! may take on all of them together.
//!
//! Held for moments, and never while a disk is touched: no root waits for another.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::roll::Budget;
use crate::store::Disks;

/// Shared by the recorders of one engine.
#[derive(Debug)]
pub struct Estate {
    pub(super) disks: Disks,
    /// What cameras keep that wait to be recorded.
    pub(super) budget: Arc<Budget>,
    /// Bytes by camera, where it has a limit of its own.
    quotas: Mutex<HashMap<String, u64>>,
    /// Disks that are well: they can be cleaned up now.
    ready: Mutex<BTreeSet<String>>,
}

impl Estate {
    /// For these roots.
    #[must_use]
    pub fn new(disks: Disks) -> Arc<Self> {
        Arc::new(Self { disks, budget: Arc::default(), quotas: Mutex::default(), ready: Mutex::default() })
    }

    /// Where the roots are.
    #[must_use]
    pub fn disks(&self) -> &Disks {
        &self.disks
    }

    /// 0 = no limit.
    pub(super) fn set_quota(&self, camera: &str, bytes: u64) {
        let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        match bytes {
            0 => drop(quotas.remove(camera)),
            _ => drop(quotas.insert(camera.to_owned(), bytes)),
        }
    }

    pub(super) fn quotas(&self) -> HashMap<String, u64> {
        self.quotas.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What lies on a disk that is away counts for no quota until it is back.
    pub(super) fn set_ready(&self, disk: &str, ready: bool) {
        let mut all = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready {
            all.insert(disk.to_owned());
        } else {
            all.remove(disk);
        }
    }

    pub(super) fn ready(&self) -> BTreeSet<String> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
