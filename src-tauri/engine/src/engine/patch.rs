//! What a change of a camera's specification is, and what it asks for.

use crate::api::{CameraPatch, CameraSpec};

/// Only what people see differs, or how it is recorded: no need to connect anew.
pub(super) fn same_source(old: &CameraSpec, new: &CameraSpec) -> bool {
    let seen = |spec: &CameraSpec| CameraSpec {
        name: None,
        record: None,
        record_schedule: None,
        pre_roll_seconds: None,
        record_quota_gb: None,
        record_disk: None,
        alerts: None,
        ..spec.clone()
    };
    seen(old) == seen(new)
}

/// Whether both say the same of when the camera is recorded.
pub(super) fn same_times(old: &CameraSpec, new: &CameraSpec) -> bool {
    (old.record, &old.record_schedule) == (new.record, &new.record_schedule)
}

/// Whether both say the same of how it is recorded, too.
pub(super) fn same_recording(old: &CameraSpec, new: &CameraSpec) -> bool {
    let how = |spec: &CameraSpec| (spec.pre_roll_seconds, spec.record_quota_gb);
    same_times(old, new) && how(old) == how(new) && old.record_disk == new.record_disk
}

/// Takes off what stands around pasted addresses.
pub(super) fn tidy(spec: &mut CameraSpec) {
    for url in std::iter::once(&mut spec.url).chain(&mut spec.sub_url) {
        *url = url.trim_matches(' ').to_owned();
    }
}

/// The disk that it is to be recorded to from now on. One that it had before may have gone from the configuration:
/// that is no reason to refuse another change.
pub(super) fn new_disk<'a>(old: &CameraSpec, new: &'a CameraSpec) -> Option<&'a str> {
    new.record_disk.as_deref().filter(|_| new.record_disk != old.record_disk)
}

/// Makes the change.
pub(super) fn apply(spec: &mut CameraSpec, patch: CameraPatch) {
    fn set<T>(field: &mut Option<T>, change: Option<Option<T>>) {
        if let Some(value) = change {
            *field = value;
        }
    }
    let CameraPatch {
        name,
        url,
        username,
        password,
        tls_fingerprint,
        transport,
        sub_url,
        record,
        record_schedule,
        pre_roll_seconds,
        record_quota_gb,
        record_disk,
        alerts,
        tcp_timeout,
        keepalive_timeout,
        auto_reconnect,
        max_reconnect_attempts,
        reconnect_delay_seconds,
    } = patch;
    set(&mut spec.name, name);
    if let Some(url) = url {
        spec.url = url;
    }
    set(&mut spec.username, username);
    set(&mut spec.password, password);
    set(&mut spec.tls_fingerprint, tls_fingerprint);
    set(&mut spec.transport, transport);
    set(&mut spec.sub_url, sub_url);
    set(&mut spec.record, record);
    set(&mut spec.record_schedule, record_schedule);
    set(&mut spec.pre_roll_seconds, pre_roll_seconds);
    set(&mut spec.record_quota_gb, record_quota_gb);
    set(&mut spec.record_disk, record_disk);
    set(&mut spec.alerts, alerts);
    set(&mut spec.tcp_timeout, tcp_timeout);
    set(&mut spec.keepalive_timeout, keepalive_timeout);
    set(&mut spec.auto_reconnect, auto_reconnect);
    set(&mut spec.max_reconnect_attempts, max_reconnect_attempts);
    set(&mut spec.reconnect_delay_seconds, reconnect_delay_seconds);
}
