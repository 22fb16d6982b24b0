//! Figures for Prometheus, in its text format.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use axum::http::StatusCode;
use nightjar_engine::api::{Alert, StateName};
use nightjar_engine::engine::CameraFigures;
use nightjar_engine::env::Env;
use nightjar_engine::record::Figures as RecorderFigures;
use nightjar_engine::sfu::{IceServerReading, ViewerStats};

/// What the door counts itself.
pub(crate) struct Figures {
    started: SystemTime,
    /// Answers by the first digit of their status, from 1 to 5.
    answers: [AtomicU64; 5],
    pub(crate) sockets: AtomicU64,
}

/// Counts an open WebSocket for as long as it lives.
pub(crate) struct Counted<'a>(&'a AtomicU64);

impl Figures {
    pub(crate) fn new(env: &Env) -> Self {
        Self { started: env.wall(), answers: Default::default(), sockets: AtomicU64::new(0) }
    }

    pub(crate) fn count(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(answers) = self.answers.get(class) {
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn socket(&self) -> Counted<'_> {
        self.sockets.fetch_add(1, Ordering::Relaxed);
        Counted(&self.sockets)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

const STATES: [(StateName, &str); 7] = [
    (StateName::Idle, "idle"),
    (StateName::Connecting, "connecting"),
    (StateName::Live, "live"),
    (StateName::Stalled, "stalled"),
    (StateName::Reconnecting, "reconnecting"),
    (StateName::Failed, "failed"),
    (StateName::Refused, "refused"),
];

/// Name without its prefix, kind, help, and where it is read.
type CameraMetric = (&'static str, &'static str, &'static str, fn(&CameraFigures) -> f64);

const CAMERA_METRICS: [CameraMetric; 16] = [
    ("fps", "gauge", "Pictures per second.", |c| f64::from(c.camera.stats.fps)),
    ("bitrate_bits", "gauge", "Bits per second.", |c| c.camera.stats.bitrate as f64),
    ("frames_total", "counter", "Frames received.", |c| c.camera.stats.frames as f64),
    ("reconnects_total", "counter", "Sessions lost and opened again.", |c| c.camera.stats.reconnects as f64),
    ("lost_packets", "gauge", "Packets lost in the present session.", |c| c.camera.stats.lost as f64),
    ("viewers", "gauge", "Who watches now.", |c| f64::from(c.camera.stats.viewers)),
    ("buffer_percent", "gauge", "100 = on time, 0 = two seconds late.", |c| {
        f64::from(c.camera.stats.buffer_pct)
    }),
    ("backlog_percent", "gauge", "How full the way to the decoder was lately.", |c| {
        f64::from(c.camera.stats.backlog_pct)
    }),
    ("warnings", "gauge", "Troubles that do not stop the camera.", |c| c.camera.warnings.len() as f64),
    ("jitter_seconds", "gauge", "Jitter of arrival.", |c| f64::from(c.camera.stats.jitter_ms) / 1_000.0),
    ("last_frame_age_seconds", "gauge", "Age of the newest frame.", |c| {
        c.camera.stats.last_frame_ms.map_or(f64::NAN, |ms| ms as f64 / 1_000.0)
    }),
    ("buffered_bytes", "gauge", "Bytes kept for new viewers.", |c| {
        (c.main.ring_bytes + c.sub.map_or(0, |sub| sub.ring_bytes)) as f64
    }),
    ("skipped_frames_total", "counter", "Frames that slow viewers missed.", |c| {
        (c.main.skipped + c.sub.map_or(0, |sub| sub.skipped)) as f64
    }),
    ("degraded_viewers", "gauge", "Viewers with trouble within the last minute.", |c| {
        f64::from(c.viewer_faults.degraded)
    }),
    ("keepalive_seconds", "gauge", "Round trip of the newest keep-alive.", |c| {
        c.keepalive_rtt_us.map_or(f64::NAN, |us| us as f64 / 1_000_000.0)
    }),
    ("keepalives_missed", "gauge", "Keep-alives without an answer in the present session.", |c| {
        c.keepalive_missed as f64
    }),
];

/// The same of a recorder.
type RecorderMetric = (&'static str, &'static str, &'static str, fn(&RecorderFigures) -> f64);

const RECORDER_METRICS: [RecorderMetric; 10] = [
    ("queued_bytes", "gauge", "Bytes that wait for the disk.", |r| r.queued_bytes as f64),
    ("written_bytes_total", "counter", "Bytes written.", |r| r.written_bytes as f64),
    ("fragments_total", "counter", "Fragments brought to the disk.", |r| r.fragments as f64),
    ("syncs_total", "counter", "Times that the disk was waited for.", |r| r.syncs as f64),
    ("sync_seconds_total", "counter", "Time that writing and waiting took.", |r| r.sync_us as f64 / 1e6),
    ("sync_longest_seconds", "gauge", "The longest wait.", |r| r.longest_sync_us as f64 / 1e6),
    ("files_total", "counter", "Files completed.", |r| r.files as f64),
    ("dropped_frames_total", "counter", "Frames that were not recorded.", |r| r.dropped as f64),
    ("removed_total", "counter", "Recordings removed to make room.", |r| r.removed as f64),
    ("free_bytes", "gauge", "Bytes free where recordings go.", |r| r.free_bytes as f64),
];

/// A page of metrics under way.
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn new() -> Self {
        Self(String::with_capacity(16 * 1024))
    }

    /// Begins a metric.
    pub(crate) fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample; `labels` are of characters that need no escape.
    pub(crate) fn sample(&mut self, name: &str, labels: &str, value: f64) {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.metric(name, kind, help);
        self.sample(name, "", value);
    }

    /// Alerts that last.
    pub(crate) fn alerts(&mut self, alerts: &[Alert]) {
        let open = alerts.iter().filter(|alert| alert.until.is_none()).count();
        self.single("nightjar_alerts_open", "gauge", "Alerts that last.", open as f64);
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }

    /// The cameras' own figures.
    pub(crate) fn cameras(&mut self, cameras: &[CameraFigures]) {
        self.metric("nightjar_camera_state", "gauge", "1 for the state a camera is in.");
        for CameraFigures { camera, .. } in cameras {
            for (state, name) in STATES {
                let labels = format!("camera=\"{}\",state=\"{name}\"", camera.id);
                let here = camera.state.name == state;
                self.sample("nightjar_camera_state", &labels, if here { 1.0 } else { 0.0 });
            }
        }
        for (name, kind, help, read) in CAMERA_METRICS {
            let name = format!("nightjar_camera_{name}");
            self.metric(&name, kind, help);
            for figures in cameras {
                self.sample(&name, &format!("camera=\"{}\"", figures.camera.id), read(figures));
            }
        }
        let name = "nightjar_camera_viewer_faults_total";
        self.metric(name, "counter", "Troubles that viewers had, by the class of R-N3.");
        for CameraFigures { camera, viewer_faults, .. } in cameras {
            for (class, count) in [("DECODER", viewer_faults.decoder), ("VIDEO_SINK", viewer_faults.display)]
            {
                self.sample(name, &format!("camera=\"{}\",class=\"{class}\"", camera.id), count as f64);
            }
        }
    }

    /// The recorders, where there are some, with the names of their disks; the main root's have no label.
    pub(crate) fn recorders(&mut self, recorders: &[(String, RecorderFigures)]) {
        if recorders.is_empty() {
            return;
        }
        for (name, kind, help, read) in RECORDER_METRICS {
            let name = format!("nightjar_recorder_{name}");
            self.metric(&name, kind, help);
            for (disk, figures) in recorders {
                let labels = if disk.is_empty() { String::new() } else { format!("disk=\"{disk}\"") };
                self.sample(&name, &labels, read(figures));
            }
        }
    }

    /// Those who watch by WebRTC now.
    pub(crate) fn viewers(&mut self, viewers: &[ViewerStats]) {
        let sum = |read: fn(&ViewerStats) -> u64| viewers.iter().map(read).sum::<u64>() as f64;
        for (name, help, value) in [
            ("viewers", "Viewers by WebRTC.", viewers.len() as f64),
            ("packets", "RTP packets sent to the present viewers.", sum(|v| v.packets)),
            ("bytes", "Payload bytes sent to the present viewers.", sum(|v| v.bytes)),
            ("repaired_packets", "Packets sent again to the present viewers.", sum(|v| v.repaired)),
            ("lost_packets", "Packets that the present viewers lost.", sum(|v| u64::from(v.lost))),
            ("picture_requests", "Requests for a picture by the present viewers.", sum(|v| v.plis)),
        ] {
            self.single(&format!("nightjar_webrtc_{name}"), "gauge", help, value);
        }
    }

    /// STUN and TURN servers, where there are some.
    pub(crate) fn ice_servers(&mut self, servers: &[IceServerReading]) {
        if servers.is_empty() {
            return;
        }
        let name = "nightjar_ice_server_seconds";
        self.metric(name, "gauge", "Round trip to a STUN or TURN server; NaN where it does not answer.");
        for IceServerReading { url, round_trip } in servers {
            let url: String = url.chars().filter(|c| c.is_ascii_graphic() && !"\"\\".contains(*c)).collect();
            let seconds = round_trip.map_or(f64::NAN, |time| time.as_secs_f64());
            self.sample(name, &format!("server=\"{url}\""), seconds);
        }
    }

    /// The door's figures.
    pub(crate) fn door(&mut self, figures: &Figures) {
        self.metric("nightjar_build_info", "gauge", "The version, as a label.");
        self.sample("nightjar_build_info", concat!("version=\"", env!("CARGO_PKG_VERSION"), "\""), 1.0);
        let started = figures.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.single("nightjar_start_time_seconds", "gauge", "When it started.", started.as_secs_f64());
        self.metric("nightjar_http_answers_total", "counter", "Answers by the class of their status.");
        for (class, answers) in figures.answers.iter().enumerate() {
            let labels = format!("class=\"{}xx\"", class + 1);
            self.sample("nightjar_http_answers_total", &labels, answers.load(Ordering::Relaxed) as f64);
        }
        let sockets = figures.sockets.load(Ordering::Relaxed) as f64;
        self.single("nightjar_websockets", "gauge", "Open WebSockets.", sockets);
    }

    /// The process, where the system tells (Linux).
    pub(crate) fn process(&mut self) {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let status = read("/proc/self/status");
        let field = |name: &str| -> Option<f64> {
            status.lines().find_map(|l| l.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
        };
        if let Some(kib) = field("VmRSS:") {
            let help = "Memory that is really used.";
            self.single("process_resident_memory_bytes", "gauge", help, kib * 1024.0);
        }
        if let Some(threads) = field("Threads:") {
            self.single("process_threads", "gauge", "Threads.", threads);
        }
        // The name in parentheses may hold spaces: the fields after it count from the third.
        let stat = read("/proc/self/stat");
        let after: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |at: usize| after.get(at).and_then(|text| text.parse::<f64>().ok());
        if let (Some(user), Some(system)) = (ticks(11), ticks(12)) {
            // A hundred ticks a second, as Linux promises to programs on every machine.
            let help = "Processor time used.";
            self.single("process_cpu_seconds_total", "counter", help, (user + system) / 100.0);
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            self.single("process_open_fds", "gauge", "Open file descriptors.", open.count() as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_told_apart_by_a_label_and_the_main_one_has_none() {
        let figures = |files| RecorderFigures { files, ..RecorderFigures::default() };
        let mut page = Page::new();
        page.recorders(&[(String::new(), figures(7)), ("attic".to_owned(), figures(9))]);
        let text = page.finish();
        assert_eq!(text.matches("# TYPE nightjar_recorder_files_total counter").count(), 1);
        assert!(text.contains("\nnightjar_recorder_files_total 7\n"), "{text}");
        assert!(text.contains("\nnightjar_recorder_files_total{disk=\"attic\"} 9\n"), "{text}");
    }
}
