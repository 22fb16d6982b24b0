//! Phones that were let in: each has its place on the wall, whether it is here or not.
//!
//! Who was let in is kept by whoever carries signaling; the engine is told at the start and at each change.

use std::sync::Arc;

use super::EngineHandle;
use super::entry::Entry;
use super::link::{PeerCard, PeerRole};
use super::patch::{same_recording, same_source, same_times};
use super::phone::Phone;
use crate::api::{ApiError, Camera, CameraKind, CameraPatch, CameraSpec, ErrorCode};
use crate::config::check_shown;

/// A phone that may come and publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPhone {
    /// By which it joins.
    pub peer_id: String,
    /// Where it publishes; the id of its camera, unless somebody has that already.
    pub room: String,
    /// What people call it.
    pub name: String,
}

impl EngineHandle {
    /// Gives phones a place on the wall, where they have none: idle until they come. `resumes` at the start of
    /// the program. Where a room is the name of a camera that is no phone, its phone has no place before it
    /// comes.
    pub async fn expect_phones(&self, known: Vec<KnownPhone>, resumes: bool) {
        let _one_at_a_time = self.one_change().await;
        for KnownPhone { peer_id, room, name } in known {
            if let Some(own) = self.entry_of(&peer_id) {
                own.phone.iter().for_each(|phone| phone.keep());
                continue;
            }
            let Some(id) = self.free_place(&room) else { continue };
            let name = Some(name);
            let card =
                PeerCard { peer_id, room, role: PeerRole::Publisher, name: name.clone(), legacy: false };
            let phone = Arc::new(Phone::away(card, self.env()));
            if self.add_phone(id, name, phone, resumes).is_none() {
                return;
            }
        }
    }

    /// Gives the camera of a phone its new name.
    pub async fn rename_phone(&self, peer_id: &str, name: &str) {
        if let Some(entry) = self.entry_of(peer_id) {
            let patch = CameraPatch { name: Some(Some(name.to_owned())), ..CameraPatch::default() };
            // One that went meanwhile needs no name.
            let _ = self.change_camera(&entry.id, patch).await;
        }
    }

    /// Changes what is said of a phone, and keeps it. Called within a change.
    pub(super) async fn change_phone(&self, old: &Entry, spec: CameraSpec) -> Result<Camera, ApiError> {
        if !same_source(&old.spec, &spec) {
            let message = "Of a phone only its name, its alerts and how it is recorded can be changed.";
            return Err(ApiError::new(ErrorCode::ReadOnly, message));
        }
        check_shown(&spec)?;
        if !same_times(&old.spec, &spec) {
            // The newer word counts.
            self.keep_switched(&old.id, None, None).await;
        }
        if old.spec != spec {
            self.keep_habits(&old.id, Some((&spec, old.phone.as_deref()))).await;
        }
        // Without a wait: between two disks nobody records.
        let entry = Arc::new(old.with_spec(spec));
        if !same_recording(&old.spec, &entry.spec) {
            entry.record(false);
        }
        self.replace(&entry);
        Ok(entry.to_api())
    }

    /// A phone was shown out: its publication ends, and its camera leaves the wall.
    pub async fn dismiss_phone(&self, peer_id: &str) {
        if let Some(entry) = self.entry_of(peer_id) {
            // One that went meanwhile is gone.
            let _ = self.remove_camera(&entry.id).await;
        }
    }

    /// By which the phone joins whose camera this is.
    #[must_use]
    pub fn phone_of(&self, camera: &str) -> Option<String> {
        Some(self.entry(camera).ok()?.phone.as_ref()?.owner())
    }

    pub(super) fn entry_of(&self, peer_id: &str) -> Option<Arc<Entry>> {
        self.entries().into_iter().find(|entry| entry.phone.as_ref().is_some_and(|p| p.is_of(peer_id)))
    }

    /// The id for one more phone of a room.
    fn free_place(&self, room: &str) -> Option<String> {
        let entries = self.entries();
        let taken = |id: &str| entries.iter().find(|entry| entry.id == id);
        if taken(room).is_some_and(|entry| entry.kind != CameraKind::Phone) {
            return None;
        }
        super::phones::places(room).find(|id| taken(id).is_none())
    }
}
