//! What is worth an alert, decided: cameras as they are go in, alerts that changed come out.
//!
//! Pure: time, quiet hours and ids are arguments. Invariants: a camera stands in at most one open alert of
//! each [`Slot`]; an open alert ends when none of its cameras has that trouble any more; what began
//! together is one alert.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::api::{Alert, AlertKind, Camera, CameraKind, Cause, RecordingState, StateName};

/// Losses that began within this of each other have one cause.
const TOGETHER: Duration = Duration::from_secs(5);
/// Silence is noticed after this (R-K2). What is longer when it is seen first was our own: this program did not
/// run, and the camera may be well.
const NOTICED: Duration = Duration::from_secs(2);
/// A disk that does not answer is told of after this: what arrives waits in memory for as long.
const STALL_DELAY: Duration = Duration::from_secs(10);
/// A camera that was given up on is told of at once, unless more patience than this was asked for.
const GIVEN_UP: Duration = Duration::from_secs(10);
/// Alerts that are over and kept for whoever asks; older ones go.
pub(super) const KEPT: usize = 200;
/// A warning of a stream that runs must last this many times longer than a loss: it is less.
const PATIENCE_WITH_WARNINGS: u32 = 3;

/// What an alert is about; each camera has at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Slot {
    /// There is no picture.
    Absence,
    /// There is one, with trouble.
    Degraded,
    /// It is not recorded.
    Recording,
    /// It is, but not for as long as it should be.
    Space,
}

impl Slot {
    /// The disk that it is about, where that is one with a name.
    fn disk_of(self, camera: &Camera) -> Option<String> {
        match self {
            Self::Recording | Self::Space => camera.recording.disk.clone(),
            Self::Absence | Self::Degraded => None,
        }
    }
}

struct Trouble {
    slot: Slot,
    kind: AlertKind,
    cause: Option<Cause>,
    /// How long it must last.
    delay: Duration,
}

#[derive(Debug)]
struct Pending {
    began: Instant,
    wall: SystemTime,
}

#[derive(Debug)]
struct Open {
    alert: Alert,
    slot: Slot,
    began: Instant,
}

/// All alerts of an engine.
#[derive(Debug)]
pub(crate) struct Ledger {
    after: Duration,
    pending: HashMap<(String, Slot), Pending>,
    open: Vec<Open>,
    over: VecDeque<Alert>,
    /// Why the space for recordings will not last, by disk.
    short: HashMap<String, Cause>,
}

impl Ledger {
    /// With alerts that are over, newest first; troubles that last `after` are told.
    pub(crate) fn new(after: Duration, over: Vec<Alert>) -> Self {
        Self { after, pending: HashMap::new(), open: Vec::new(), over: over.into(), short: HashMap::new() }
    }

    /// Another span from now on.
    pub(crate) fn set_after(&mut self, after: Duration) {
        self.after = after;
    }

    /// The space for recordings will not last on these disks.
    pub(crate) fn set_space(&mut self, short: HashMap<String, Cause>) {
        self.short = short;
    }

    /// Alerts, newest first: those that last, then those that are over.
    pub(crate) fn all(&self) -> Vec<Alert> {
        self.open.iter().rev().map(|open| &open.alert).chain(&self.over).cloned().collect()
    }

    /// Looks at all cameras. Gives the alerts that changed, and when to look again if nothing happens.
    pub(crate) fn look(
        &mut self,
        (now, wall): (Instant, SystemTime),
        quiet: bool,
        cameras: &[Camera],
        mut id: impl FnMut() -> String,
    ) -> (Vec<Alert>, Option<Instant>) {
        let mut changed = Vec::new();
        let troubles: Vec<(&Camera, Trouble)> = cameras
            .iter()
            .filter(|camera| camera.alerts)
            .flat_map(|camera| self.troubles(camera).into_iter().map(move |trouble| (camera, trouble)))
            .collect();
        self.end(wall, &troubles, &mut changed);
        self.renew(&troubles, &mut changed);
        self.begin(now, wall, &troubles);
        self.raise(now, quiet, &troubles, &mut changed, &mut id);
        let due = troubles.iter().filter_map(|(camera, trouble)| {
            let pending = self.pending.get(&(camera.id.clone(), trouble.slot))?;
            Some(pending.began + trouble.delay)
        });
        (changed, due.min())
    }

    fn troubles(&self, camera: &Camera) -> Vec<Trouble> {
        let mut found = Vec::new();
        let state = &camera.state;
        let asleep = camera.kind == CameraKind::Phone
            && state.cause.as_ref().is_some_and(|cause| cause.code.starts_with("paused"));
        let absence = match state.name {
            StateName::Stalled | StateName::Reconnecting | StateName::Failed if asleep => {
                Some(AlertKind::PhoneAsleep)
            }
            StateName::Stalled | StateName::Reconnecting => Some(AlertKind::CameraLost),
            StateName::Failed => Some(AlertKind::CameraFailed),
            StateName::Refused => Some(AlertKind::CameraRefused),
            StateName::Idle | StateName::Connecting | StateName::Live => None,
        };
        let after = self.after;
        found.extend(absence.map(|kind| Trouble {
            slot: Slot::Absence,
            kind,
            cause: state.cause.clone(),
            delay: if kind == AlertKind::CameraFailed && after <= GIVEN_UP { Duration::ZERO } else { after },
        }));
        if state.name == StateName::Live
            && let Some(warning) = camera.warnings.first()
        {
            let kind =
                if warning.code == "buffering" { AlertKind::Buffering } else { AlertKind::CameraDegraded };
            let delay = after * PATIENCE_WITH_WARNINGS;
            found.push(Trouble { slot: Slot::Degraded, kind, cause: Some(warning.clone()), delay });
        }
        let recording = match camera.recording.state {
            RecordingState::StorageLost => Some(AlertKind::StorageLost),
            RecordingState::DiskFull => Some(AlertKind::DiskFull),
            RecordingState::Failed => Some(AlertKind::RecordingFailed),
            RecordingState::Off | RecordingState::Recording => None,
        };
        found.extend(recording.map(|kind| Trouble {
            slot: Slot::Recording,
            kind,
            cause: camera.recording.cause.clone(),
            // Footage is being lost: at once. A disk that only does not answer may come to it.
            delay: if stalled(camera.recording.cause.as_ref()) { STALL_DELAY } else { Duration::ZERO },
        }));
        if camera.recording.state == RecordingState::Recording
            && let Some(short) = self.short.get(camera.recording.disk.as_deref().unwrap_or_default())
        {
            let cause = Some(short.clone());
            found.push(Trouble {
                slot: Slot::Space,
                kind: AlertKind::SpaceShort,
                cause,
                delay: Duration::ZERO,
            });
        }
        found
    }

    /// Troubles that are over.
    fn end(&mut self, wall: SystemTime, troubles: &[(&Camera, Trouble)], changed: &mut Vec<Alert>) {
        let lasts = |id: &str, slot| troubles.iter().any(|(camera, t)| camera.id == id && t.slot == slot);
        self.pending.retain(|(id, slot), _| lasts(id, *slot));
        for open in &mut self.open {
            let Open { alert, slot, .. } = open;
            let back: Vec<String> = alert.cameras.iter().filter(|id| !lasts(id, *slot)).cloned().collect();
            if back != alert.back {
                if back.len() == alert.cameras.len() {
                    alert.until = Some(wall.into());
                }
                alert.back = back;
                changed.push(alert.clone());
            }
        }
        let (over, open) = self.open.drain(..).partition(|open| open.alert.until.is_some());
        self.open = open;
        let over: Vec<Open> = over;
        for open in over {
            self.over.push_front(open.alert);
        }
        self.over.truncate(KEPT);
    }

    /// What became of troubles that were told.
    fn renew(&mut self, troubles: &[(&Camera, Trouble)], changed: &mut Vec<Alert>) {
        for Open { alert, slot, .. } in &mut self.open {
            let [only] = &alert.cameras[..] else { continue };
            let now = troubles.iter().find(|(camera, trouble)| camera.id == *only && trouble.slot == *slot);
            let Some((camera, trouble)) = now else { continue };
            let disk = slot.disk_of(camera);
            let code = |cause: &Option<Cause>| cause.as_ref().map(|cause| cause.code.clone());
            // The words of a cause change with every try; its kind is what matters.
            if alert.kind != trouble.kind
                || alert.disk != disk
                || (trouble.cause.is_some() && code(&alert.cause) != code(&trouble.cause))
            {
                alert.kind = trouble.kind;
                alert.disk = disk;
                alert.cause.clone_from(&trouble.cause);
                (alert.message, alert.remedy) = words(alert, &[&camera.name]);
                changed.push(alert.clone());
            }
        }
    }

    fn told(&self, id: &str, slot: Slot) -> bool {
        self.open.iter().any(|open| open.slot == slot && open.alert.cameras.iter().any(|own| own == id))
    }

    /// Troubles that are new.
    fn begin(&mut self, now: Instant, wall: SystemTime, troubles: &[(&Camera, Trouble)]) {
        for (camera, trouble) in troubles {
            if self.told(&camera.id, trouble.slot) {
                continue;
            }
            // A loss began with the last picture, not when it was noticed.
            let silent = match (trouble.slot, camera.stats.last_frame_ms) {
                (Slot::Absence, Some(ms)) => Duration::from_millis(ms).min(NOTICED),
                _ => Duration::ZERO,
            };
            self.pending.entry((camera.id.clone(), trouble.slot)).or_insert_with(|| Pending {
                began: now.checked_sub(silent).unwrap_or(now),
                wall: wall.checked_sub(silent).unwrap_or(wall),
            });
        }
    }

    /// Troubles that lasted long enough.
    fn raise(
        &mut self,
        now: Instant,
        quiet: bool,
        troubles: &[(&Camera, Trouble)],
        changed: &mut Vec<Alert>,
        id: &mut impl FnMut() -> String,
    ) {
        for (camera, trouble) in troubles {
            let key = (camera.id.clone(), trouble.slot);
            let Some(pending) = self.pending.get(&key) else { continue };
            if now.saturating_duration_since(pending.began) < trouble.delay {
                continue;
            }
            let (began, wall) = (pending.began, pending.wall);
            let apart = |other: Instant| {
                if other > began { other - began } else { began - other }
            };
            let disk = trouble.slot.disk_of(camera);
            // A full disk is one event however late a camera finds out.
            let joins = |kind: AlertKind, slot: Slot, on: &Option<String>, other: Instant| {
                slot == trouble.slot
                    && *on == disk
                    && match slot {
                        Slot::Absence => {
                            kind == AlertKind::CameraLost
                                && trouble.kind == AlertKind::CameraLost
                                && apart(other) <= TOGETHER
                        }
                        Slot::Recording => kind == trouble.kind,
                        // It is one for all of the disk.
                        Slot::Space => true,
                        Slot::Degraded => false,
                    }
            };
            let known = self
                .open
                .iter_mut()
                .find(|open| joins(open.alert.kind, open.slot, &open.alert.disk, open.began));
            let fellows: Vec<&Camera> = troubles
                .iter()
                .filter(|(other, t)| {
                    let pending = self.pending.get(&(other.id.clone(), t.slot));
                    other.id == camera.id && t.slot == trouble.slot
                        || pending.is_some_and(|pending| {
                            joins(t.kind, t.slot, &t.slot.disk_of(other), pending.began)
                        })
                })
                .map(|(camera, _)| *camera)
                .collect();
            let ids = fellows.iter().map(|fellow| fellow.id.clone());
            let alert = match known {
                Some(open) => {
                    let alert = &mut open.alert;
                    alert.cameras.extend(ids);
                    alert.camera = None;
                    alert
                }
                None => {
                    let alert = Alert {
                        id: id(),
                        kind: trouble.kind,
                        camera: (fellows.len() == 1).then(|| camera.id.clone()),
                        cameras: ids.collect(),
                        back: Vec::new(),
                        since: wall.into(),
                        until: None,
                        cause: trouble.cause.clone(),
                        message: String::new(),
                        remedy: String::new(),
                        quiet,
                        disk: disk.clone(),
                    };
                    self.open.push(Open { alert, slot: trouble.slot, began });
                    &mut self.open.last_mut().expect("it was just put there").alert
                }
            };
            let named: Vec<&str> = alert
                .cameras
                .iter()
                .map(|id| {
                    let found = troubles.iter().find(|(camera, _)| camera.id == *id);
                    found.map_or(&**id, |(camera, _)| &*camera.name)
                })
                .collect();
            let (message, remedy) = words(alert, &named);
            (alert.message, alert.remedy) = (message, remedy);
            changed.retain(|known: &Alert| known.id != alert.id);
            changed.push(alert.clone());
            for fellow in fellows {
                self.pending.remove(&(fellow.id.clone(), trouble.slot));
            }
        }
    }
}

fn stalled(cause: Option<&Cause>) -> bool {
    cause.is_some_and(|cause| cause.code == "storage_stalled")
}

/// What happened and what to do, in one sentence each.
fn words(alert: &Alert, names: &[&str]) -> (String, String) {
    let who = match names {
        [one] => (*one).to_owned(),
        [first, rest @ ..] if rest.len() < 3 => format!("{first}, {}", rest.join(", ")),
        many => format!("{} cameras", many.len()),
    };
    let code = alert.cause.as_ref().map_or("", |cause| &*cause.code);
    let together = names.len() > 1;
    let storage = match &alert.disk {
        Some(name) => format!("The disk \"{name}\" for recordings"),
        None => "The storage for recordings".to_owned(),
    };
    let message = match alert.kind {
        AlertKind::CameraLost if together => format!("{who} were lost together."),
        AlertKind::CameraLost => format!("{who} gives no picture."),
        AlertKind::CameraFailed => format!("{who} does not come back; trying again only now and then."),
        AlertKind::CameraRefused => format!("{who} refuses the connection."),
        AlertKind::CameraDegraded => format!("{who} has trouble."),
        AlertKind::Buffering => format!("{who}: pictures arrive late."),
        AlertKind::StorageLost if stalled(alert.cause.as_ref()) => {
            format!("{storage} does not answer: {who} cannot be recorded.")
        }
        AlertKind::StorageLost => format!("{storage} is gone: {who} cannot be recorded."),
        AlertKind::DiskFull => {
            let disk = alert.disk.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default();
            format!("The disk{disk} is full: {who} cannot be recorded.")
        }
        AlertKind::SpaceShort => match &alert.disk {
            Some(name) => format!("The space for recordings on the disk \"{name}\" will not last."),
            None => "The space for recordings will not last.".to_owned(),
        },
        AlertKind::RecordingFailed => format!("{who} cannot be recorded."),
        AlertKind::PhoneAsleep => format!("The phone {who} is asleep."),
    };
    let remedy = match (alert.kind, code) {
        (AlertKind::CameraLost, _) if together => {
            "Look at what they share: a switch, its power, or this computer's network."
        }
        (AlertKind::CameraLost | AlertKind::CameraFailed, "dns") => {
            "Check the name in the camera's address and this network's name server."
        }
        (AlertKind::CameraLost | AlertKind::CameraFailed, "no_video") => {
            "The camera sends sound alone. Restart it, or switch its video on."
        }
        (AlertKind::CameraLost | AlertKind::CameraFailed, "no_key_frame") => {
            "Set a key frame (I-frame) interval of one to four seconds in the camera."
        }
        (AlertKind::CameraLost | AlertKind::CameraFailed, "tls") => {
            "Check whether the camera's certificate or encryption settings changed."
        }
        (AlertKind::CameraLost | AlertKind::CameraFailed, _) => {
            "Check the camera's power and network cable. Nightjar goes on trying."
        }
        (AlertKind::CameraRefused, "unauthorized") => {
            "Enter the right user name and password; nothing is tried meanwhile, as some cameras lock."
        }
        (AlertKind::CameraRefused, "not_found") => "Check the path in the camera's address.",
        (AlertKind::CameraRefused, _) => "Set the camera to H.264 or H.265.",
        (AlertKind::Buffering, _) => "Lower the camera's bit rate, or improve its network.",
        (AlertKind::CameraDegraded, "keepalive_unanswered") => {
            "Pictures go on. A newer firmware of the camera may help."
        }
        (AlertKind::CameraDegraded, "no_sound") => "Check the camera's microphone and sound settings.",
        (AlertKind::CameraDegraded, "undecodable") => {
            "Restart the camera, or choose another profile or resolution in it."
        }
        (AlertKind::CameraDegraded, "not_shown") => {
            "Update the browsers that watch, or lower the camera's resolution."
        }
        (AlertKind::CameraDegraded, _) => "Restart the camera.",
        (AlertKind::StorageLost, _) => {
            "Connect the disk again. Recording resumes by itself; the live picture goes on."
        }
        (AlertKind::DiskFull, _) => "Free some space, or allow older recordings to be overwritten.",
        (AlertKind::SpaceShort, _) => {
            "Add space, keep recordings for fewer days, or lower the cameras' bit rates."
        }
        (AlertKind::RecordingFailed, _) => "Check the folder for recordings and its permissions.",
        (AlertKind::PhoneAsleep, _) => "Wake the phone and open Nightjar on it.",
    };
    (message, remedy.to_owned())
}

#[cfg(test)]
mod tests;
