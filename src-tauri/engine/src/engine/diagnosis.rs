//! The running engine as figures and as a picture.

use std::fmt::Write as _;

use super::{EngineHandle, ViewerFaults, private};
use crate::camera::state_name;
use crate::env::Secret;
use crate::hub::SlotStats;

/// Figures of one camera beyond those of the interface.
#[derive(Clone, Debug)]
pub struct CameraFigures {
    pub camera: crate::api::Camera,
    pub main: SlotStats,
    pub sub: Option<SlotStats>,
    /// Round trip of the newest keep-alive, in microseconds.
    pub keepalive_rtt_us: Option<u64>,
    pub keepalive_missed: u64,
    /// What pages complained of.
    pub viewer_faults: ViewerFaults,
}

impl EngineHandle {
    /// Figures of all cameras, for metrics.
    #[must_use]
    pub fn figures(&self) -> Vec<CameraFigures> {
        let entries = self.entries();
        let figures = entries.iter().map(|entry| {
            let session = entry.main.status.get().session;
            CameraFigures {
                camera: entry.to_api(),
                main: entry.main.slot.stats(),
                sub: entry.sub.as_ref().map(|sub| sub.running.slot.stats()),
                keepalive_rtt_us: session.keepalive_rtt_us,
                keepalive_missed: session.keepalive_missed,
                viewer_faults: entry.viewer_faults(),
            }
        });
        figures.collect()
    }

    /// All that must never be told, for whoever is about to tell much: passwords, keys, and what stands in
    /// addresses behind the host, where some cameras want their password.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret<String>> {
        let config = self.config();
        let mut found: Vec<Secret<String>> = Vec::new();
        let mut hide_url = |text: &str, behind_host: bool| {
            let Ok(url) = url::Url::parse(text) else { return };
            // "subtype=main" is a word of many a page; "token=…" is not.
            let private = |key: &str| {
                let key = key.to_ascii_lowercase();
                ["pass", "pwd", "pw", "token", "auth", "key", "secret"].iter().any(|word| key.contains(word))
            };
            let values = url.query_pairs().filter(|(key, value)| private(key) || value.len() >= 12);
            found.extend(values.map(|(_, value)| Secret::new(value.into_owned())));
            found.extend(private::values(text).map(|value| Secret::new(value.to_owned())));
            found.extend(url.password().map(|password| Secret::new(password.to_owned())));
            if behind_host {
                found.push(Secret::new(text.to_owned()));
                let segments = url.path_segments().into_iter().flatten();
                // Short ones are words such as "hook".
                found
                    .extend(segments.filter(|part| part.len() >= 8).map(|part| Secret::new(part.to_owned())));
            }
        };
        for entry in self.entries() {
            for url in std::iter::once(&entry.spec.url).chain(&entry.spec.sub_url) {
                hide_url(url, false);
            }
        }
        for webhook in config.alerts.webhook.iter().chain(&self.alert_rules().borrow().webhook) {
            hide_url(webhook.reveal(), true);
        }
        for entry in self.entries() {
            let (user, password) = (&entry.spec.username, &entry.spec.password);
            found.extend(password.clone());
            if let (Some(user), Some(password)) = (user, password) {
                found.push(Secret::new(format!("{user}:{}", password.reveal())));
            }
        }
        found.extend(config.server.token.clone());
        found.extend(config.signaling.room_key.clone());
        found.extend(config.webrtc.ice_servers.iter().filter_map(|server| server.credential.clone()));
        found
    }

    /// The running graph in the DOT language: cameras, their places in the hub, who reads.
    #[must_use]
    pub fn pipeline_dot(&self) -> String {
        let mut dot =
            String::from("digraph nightjar {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n");
        let viewers = self.viewers();
        for entry in self.entries() {
            // Ids are of letters, digits, "_" and "-": nothing to escape. Names and addresses stay out.
            let id = &entry.id;
            let streams = [("main", Some(&entry.main)), ("sub", entry.sub.as_ref().map(|sub| &sub.running))];
            for (stream, running) in streams.into_iter().filter_map(|(name, r)| Some((name, r?))) {
                let status = running.status.get();
                let stats = running.slot.stats();
                let tracks: Vec<_> = running.slot.tracks().iter().map(|t| t.codec.name()).collect();
                let _ = writeln!(
                    dot,
                    "  \"{id}/{stream}\" [label=\"{id} {stream}\\n{:?}\\n{}\"];\n  \
                     \"{id}/{stream}/hub\" [label=\"hub\\n{} frames, {} KiB\\n{} skipped\", shape=cylinder];\n  \
                     \"{id}/{stream}\" -> \"{id}/{stream}/hub\" [label=\"{:.1} fps, {} kbit/s\"];",
                    state_name(&status.phase),
                    tracks.join(" + "),
                    stats.ring_frames,
                    stats.ring_bytes / 1024,
                    stats.skipped,
                    status.reading.fps,
                    status.reading.bitrate / 1000,
                );
                let _ = writeln!(
                    dot,
                    "  \"{id}/{stream}/readers\" [label=\"{} readers\", shape=ellipse];\n  \
                     \"{id}/{stream}/hub\" -> \"{id}/{stream}/readers\";",
                    stats.subscribers
                );
            }
            for viewer in viewers.iter().filter(|v| v.camera == *id) {
                let name: String = viewer.id.simple().to_string().chars().rev().take(8).collect();
                let _ = writeln!(
                    dot,
                    "  \"viewer/{name}\" [label=\"WebRTC viewer\\n{:?}, {} packets\", shape=ellipse];\n  \
                     \"{id}/main/readers\" -> \"viewer/{name}\";",
                    viewer.state, viewer.packets
                );
            }
        }
        dot.push_str("}\n");
        dot
    }
}
