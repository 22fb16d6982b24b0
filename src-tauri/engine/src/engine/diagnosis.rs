//! The running engine as figures and as a picture.

use std::fmt::Write as _;

use super::EngineHandle;
use crate::camera::state_name;
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
                sub: entry.sub.as_ref().map(|sub| sub.slot.stats()),
                keepalive_rtt_us: session.keepalive_rtt_us,
                keepalive_missed: session.keepalive_missed,
            }
        });
        figures.collect()
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
            let streams = [("main", Some(&entry.main)), ("sub", entry.sub.as_ref())];
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
