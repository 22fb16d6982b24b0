//! A camera of the engine: its configuration, its streams and its public face.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, warn};

use super::complaints::{Complaints, ViewerFaults};
use super::demo::DemoSource;
use super::phone::{self, Phone};
use super::private::shown;
use super::recording::{self, Records};
use super::space::bytes;
use super::sub::Sub;
use super::{Address, DemoCameras, Sources, address};
use crate::api::{
    Camera, CameraKind, CameraSpec, CameraState, Cause, OwnSettings, RecordSettings, Recording,
    RecordingState, Stats, Timestamp, Track, TrackKind,
};
use crate::camera::{Order, Status, StatusCell, Supervisor, state_name};
use crate::config::{Streaming, demo_camera};
use crate::env::Env;
use crate::hub::{Limits, Slot};
use crate::media;
use crate::record::{self, Schedule};
use crate::retry::{Phase, Policy};
use crate::sfu::PhoneSource;
use crate::source::{Source, SourceError};
use crate::still::{Decoders, Stills};
use crate::store::MAIN;

/// Orders to a supervisor that may wait. It takes them at once; two can meet there at most.
const ORDERS: usize = 4;

/// What every camera needs from the engine.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) env: Env,
    pub(super) sources: Arc<dyn Sources>,
    pub(super) demo: Option<Arc<dyn DemoCameras>>,
    pub(super) changes: Arc<watch::Sender<u64>>,
    pub(super) tasks: TaskTracker,
    /// Those that give frames to the recorder: they alone are waited for before the files are finished.
    pub(super) feeds: TaskTracker,
    pub(super) decoders: Decoders,
    pub(super) records: Option<Records>,
}

/// A running camera.
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) spec: CameraSpec,
    pub(super) kind: CameraKind,
    pub(super) read_only: bool,
    pub(super) main: Running,
    pub(super) sub: Option<Sub>,
    pub(super) stills: Arc<Stills>,
    /// None where nothing can be recorded.
    pub(super) recording: Option<Arc<record::Recording>>,
    /// Whether it is to be recorded, as far as anybody but its own setting says.
    records: Option<Records>,
    /// When it is recorded by itself; at all times where there is none.
    schedule: Option<Schedule>,
    started: Timestamp,
    /// What makes it a phone's.
    pub(super) phone: Option<Arc<Phone>>,
    /// What its viewers complain of. Held for moments.
    pub(super) complaints: Arc<Mutex<Complaints>>,
    stop: CancellationToken,
}

/// One stream of it.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) slot: Slot,
    pub(super) status: StatusCell,
    orders: mpsc::Sender<Order>,
}

impl Entry {
    /// Starts the camera. The specification is valid.
    pub(super) fn start(
        ground: &Ground,
        id: String,
        spec: CameraSpec,
        streaming: &Streaming,
        read_only: bool,
        stop: &CancellationToken,
    ) -> Self {
        let stop = stop.child_token();
        let main = Running::spawn(ground, &id, "main", Arc::clone(&ground.changes), &stop);
        main.give(Order::Run {
            source: source(ground, &spec.url, &spec, streaming),
            policy: policy(&streaming.for_camera(&spec)),
        });
        let sub = spec.sub_url.clone().map(|url| {
            // Nobody is told of a sub-stream's state: it has no tile of its own.
            let running = Running::spawn(ground, &id, "sub", Arc::new(watch::Sender::new(0)), &stop);
            let (ground, spec, streaming) = (ground.clone(), spec.clone(), streaming.clone());
            let tasks = ground.tasks.clone();
            let make =
                move || (source(&ground, &url, &spec, &streaming), policy(&streaming.for_camera(&spec)));
            Sub::start(running, make, main.status.clone(), &tasks, stop.clone())
        });
        let kind = if demo_camera(&spec.url).is_some() { CameraKind::Demo } else { CameraKind::Rtsp };
        let started = Timestamp::from(ground.env.wall());
        let recording = recorder(ground, &id, &main, &spec);
        let records = ground.records.clone();
        let stills = Arc::new(Stills::new(ground.decoders.clone()));
        let complaints = Arc::default();
        let phone = None;
        Self {
            id,
            schedule: schedule(&spec),
            spec,
            kind,
            read_only,
            main,
            sub,
            stills,
            recording,
            records,
            started,
            phone,
            complaints,
            stop,
        }
    }

    /// A phone's camera, which waits for what is published; it rests while the phone is away.
    pub(super) fn phone(
        ground: &Ground,
        id: String,
        name: Option<String>,
        phone: Arc<Phone>,
        stop: &CancellationToken,
    ) -> Self {
        let stop = stop.child_token();
        let main = Running::spawn(ground, &id, "main", Arc::clone(&ground.changes), &stop);
        let mut spec = CameraSpec { id: Some(id.clone()), name, ..CameraSpec::default() };
        if let Some(records) = &ground.records {
            records.recall(&id, &mut spec);
        }
        let recording = recorder(ground, &id, &main, &spec);
        let entry = Self {
            id,
            schedule: schedule(&spec),
            spec,
            kind: CameraKind::Phone,
            read_only: false,
            main,
            sub: None,
            stills: Arc::new(Stills::new(ground.decoders.clone())),
            recording,
            records: ground.records.clone(),
            started: Timestamp::from(ground.env.wall()),
            phone: Some(phone),
            complaints: Arc::default(),
            stop,
        };
        if entry.phone.as_ref().is_some_and(|phone| phone.is_here()) {
            entry.wake(&ground.env);
        }
        entry
    }

    /// A phone's camera waits for frames, where it does not do so already.
    pub(super) fn wake(&self, env: &Env) {
        let Some(phone) = &self.phone else { return };
        if phone.set_rests(false) {
            let source = Box::new(PhoneSource::new(phone.feed.clone(), env.clone()));
            // Each try waits for as long as it takes: there is nothing to back off from.
            let (max_attempts, first_delay, delay_cap) = (0, Duration::ZERO, Duration::ZERO);
            let policy = Policy { max_attempts, first_delay, delay_cap, ..Policy::default() };
            self.main.give(Order::Run { source, policy });
        }
    }

    /// A phone's camera stays on the wall without a phone.
    pub(super) fn rest(&self) {
        if let Some(phone) = &self.phone
            && !phone.set_rests(true)
        {
            self.main.give(Order::Rest);
        }
    }

    /// The disk it is recorded to; empty for the main root.
    pub(super) fn disk(&self) -> &str {
        self.recording.as_ref().map_or(MAIN, |recording| recording.disk())
    }

    /// Cancelled when it is closed.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The same running camera with another name, or recorded in another way. Where that is to another disk it is to
    /// be switched on there by [`Entry::record`].
    pub(super) fn with_spec(&self, spec: CameraSpec) -> Self {
        let disk = spec.record_disk.as_deref();
        let recorder = self.records.as_ref().and_then(|records| records.recorder(disk));
        let recording = match (&self.recording, recorder) {
            (Some(now), Some(next)) if now.disk() != next.disk() => {
                let status = self.main.status.clone();
                Some(Arc::new(now.moved_to(next, move || status.touch())))
            }
            (now, _) => now.clone(),
        };
        Self {
            id: self.id.clone(),
            schedule: schedule(&spec),
            spec,
            kind: self.kind,
            read_only: self.read_only,
            main: self.main.clone(),
            sub: self.sub.clone(),
            stills: Arc::clone(&self.stills),
            recording,
            records: self.records.clone(),
            started: self.started.clone(),
            phone: self.phone.clone(),
            complaints: Arc::clone(&self.complaints),
            stop: self.stop.clone(),
        }
    }

    /// Switches recording as it is wanted, in the way that is wanted. `resumes` at the start of the program.
    pub(super) fn record(&self, resumes: bool) {
        if let (Some(recording), Some(records)) = (&self.recording, &self.records) {
            if let Some(schedule) = self.schedule.as_ref().filter(|_| resumes) {
                // What it left out while the program did not run is no gap.
                recording.set_plan(records.plan(&self.id, self.records_on_connect(), schedule));
            }
            recording.switch(self.wanted(records), resumes);
            // Afterwards: what is on needs nothing to be kept.
            let pre_roll = self.spec.pre_roll_seconds.unwrap_or_default();
            recording.set_pre_roll(Duration::from_secs(pre_roll.into()));
            recording.set_quota(bytes(self.spec.record_quota_gb.unwrap_or_default()));
        }
    }

    /// Switches recording where the schedule says something else than before. Answers whether it did.
    pub(super) fn follow(&self) -> bool {
        let (Some(recording), Some(records), Some(_)) = (&self.recording, &self.records, &self.schedule)
        else {
            return false;
        };
        let wanted = self.wanted(records);
        let differs = recording.is_on() != wanted;
        if differs {
            recording.switch(wanted, false);
        }
        differs
    }

    fn wanted(&self, records: &Records) -> bool {
        records.wanted(&self.id, self.records_on_connect(), self.schedule())
    }

    /// When it is recorded by itself, where that is not always or never.
    pub(super) fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_ref().filter(|_| self.records_on_connect())
    }

    /// Its own setting (R-N14). Cameras to try things out with are not recorded unless somebody says so.
    fn records_on_connect(&self) -> bool {
        self.spec.record.unwrap_or(self.kind != CameraKind::Demo)
    }

    /// Another try, now.
    pub(super) fn retry(&self) {
        match &self.phone {
            Some(phone) => phone.retry(),
            None => self.main.give(Order::Retry),
        }
        if let Some(sub) = &self.sub {
            sub.retry();
        }
    }

    /// Ends it. Subscribers are told.
    pub(super) fn close(&self) {
        self.stop.cancel();
        self.main.slot.close();
        if let Some(sub) = &self.sub {
            sub.running.slot.close();
        }
    }

    /// Its public face.
    pub(super) fn to_api(&self) -> Camera {
        let status = self.main.status.get();
        let (complaint, faults) = self.complaints();
        let spec = &self.spec;
        let address = (self.kind != CameraKind::Phone).then(|| shown(&spec.url));
        Camera {
            id: self.id.clone(),
            name: spec.name.clone().unwrap_or_else(|| self.id.clone()),
            kind: self.kind,
            state: self.state(&status),
            tracks: {
                let tracks = self.main.slot.tracks();
                tracks.iter().map(|info| track(&tracks, info)).collect()
            },
            recording: match &self.recording {
                Some(running) => recording::tell(running, spec.record_disk.as_deref()),
                None => {
                    let since = self.started.clone();
                    Recording { state: RecordingState::Off, since, cause: None, disk: None }
                }
            },
            warnings: {
                let warnings = status.warnings.iter().chain(&complaint).map(tell);
                warnings.chain(self.sub.as_ref().and_then(Sub::warning)).collect()
            },
            stats: stats(&status, self.viewers(), faults),
            url: address,
            sub_url: spec.sub_url.as_deref().map(shown),
            sub: spec.sub_url.is_some(),
            username: spec.username.clone(),
            has_password: spec.password.is_some(),
            tls_fingerprint: spec.tls_fingerprint.clone(),
            transport: spec.transport.unwrap_or_default(),
            record: self.records_on_connect(),
            own: OwnSettings {
                tcp_timeout: spec.tcp_timeout,
                keepalive_timeout: spec.keepalive_timeout,
                auto_reconnect: spec.auto_reconnect,
                max_reconnect_attempts: spec.max_reconnect_attempts,
                reconnect_delay_seconds: spec.reconnect_delay_seconds,
            },
            recorded: RecordSettings {
                record_schedule: spec.record_schedule.clone(),
                pre_roll_seconds: spec.pre_roll_seconds,
                record_quota_gb: spec.record_quota_gb,
                record_disk: spec.record_disk.clone(),
            },
            alerts: spec.alerts.unwrap_or(true),
            phone: self.phone.as_ref().and_then(|phone| phone.health()),
            read_only: self.read_only,
        }
    }

    /// For a phone its own diagnosis says more than that nothing arrives.
    fn state(&self, status: &Status) -> CameraState {
        let mut state = state(status);
        if self.phone.is_some() && matches!(status.phase, Phase::Idle) {
            state.cause = Some(tell(&phone::away()));
        } else if let Some(phone) = &self.phone
            && matches!(status.phase, Phase::Connecting { .. } | Phase::Stalled | Phase::Reconnecting { .. })
        {
            let (trouble, retry_at) = phone.trouble();
            state.cause = trouble.as_ref().map(tell).or(state.cause);
            state.retry_at = retry_at.map(|at| {
                let wait = at.saturating_duration_since(Instant::now());
                Timestamp::from(phone.wall() + wait)
            });
        }
        state
    }

    /// What its viewers say about it together, and how many have trouble.
    fn complaints(&self) -> (Option<SourceError>, ViewerFaults) {
        let (now, complaints) = (Instant::now(), self.complaints.lock());
        let complaints = complaints.unwrap_or_else(PoisonError::into_inner);
        (complaints.warning(now), complaints.figures(now))
    }

    /// What pages complained of so far.
    pub(super) fn viewer_faults(&self) -> ViewerFaults {
        self.complaints().1
    }

    fn viewers(&self) -> u32 {
        let of = |running: &Running| {
            let stats = running.slot.stats();
            stats.subscribers.saturating_sub(stats.unseen)
        };
        u32::try_from(of(&self.main) + self.sub.as_ref().map_or(0, |sub| of(&sub.running)))
            .unwrap_or(u32::MAX)
    }
}

impl Running {
    fn spawn(
        ground: &Ground,
        id: &str,
        stream: &'static str,
        any: Arc<watch::Sender<u64>>,
        stop: &CancellationToken,
    ) -> Self {
        let slot = Slot::new(Limits::default());
        let status = StatusCell::new(ground.env.wall(), any);
        let (orders, inbox) = mpsc::channel(ORDERS);
        let supervisor = Supervisor::new(slot.clone(), status.clone(), ground.env.clone());
        let span = tracing::info_span!("camera", id, stream);
        ground.tasks.spawn(supervisor.run(inbox, stop.clone()).instrument(span));
        Self { slot, status, orders }
    }

    pub(super) fn give(&self, order: Order) {
        // A full inbox means that orders of the same kind are waiting already; a closed one that it ended.
        let _ = self.orders.try_send(order);
    }

    pub(super) fn rests(&self) -> bool {
        matches!(self.status.get().phase, Phase::Idle)
    }
}

fn schedule(spec: &CameraSpec) -> Option<Schedule> {
    let lines = spec.record_schedule.as_deref()?;
    Some(Schedule::parse(lines).expect("an entry is made from a checked specification"))
}

/// What records a camera, where something can be recorded.
fn recorder(ground: &Ground, id: &str, main: &Running, spec: &CameraSpec) -> Option<Arc<record::Recording>> {
    let recorder = ground.records.as_ref().and_then(|it| it.recorder(spec.record_disk.as_deref()))?;
    if let Some(disk) = spec.record_disk.as_deref().filter(|disk| *disk != recorder.disk()) {
        warn!(
            tag = "RECORDING",
            camera = id,
            disk,
            "the disk is not configured: it is recorded to the main root"
        );
    }
    let status = main.status.clone();
    Some(Arc::new(recorder.camera(id, &main.slot, &ground.feeds, move || status.touch())))
}

fn policy(streaming: &Streaming) -> Policy {
    Policy {
        auto_reconnect: streaming.auto_reconnect,
        max_attempts: streaming.max_reconnect_attempts,
        first_delay: Duration::from_secs(u64::from(streaming.reconnect_delay_seconds)),
        ..Policy::default()
    }
}

fn source(ground: &Ground, url: &str, spec: &CameraSpec, streaming: &Streaming) -> Box<dyn Source> {
    let address = address(url, spec, streaming).expect("an entry is made from a checked specification");
    open_address(ground, address)
}

/// A source for any address, `demo:` among them.
pub(super) fn open_address(ground: &Ground, address: Address) -> Box<dyn Source> {
    match &ground.demo {
        Some(demo) if address.url.scheme() == "demo" => Box::new(DemoSource {
            demo: Arc::clone(demo),
            sources: Arc::clone(&ground.sources),
            env: ground.env.clone(),
            address,
        }),
        _ => ground.sources.source(address, &ground.env),
    }
}

fn state(status: &Status) -> CameraState {
    let (attempt, cause) = match &status.phase {
        Phase::Idle | Phase::Live => (None, None),
        // What moved the camera to warn is worth a word even while it stalls.
        Phase::Stalled => (None, status.warnings.first()),
        Phase::Connecting { attempt, cause } => (Some(*attempt), cause.as_ref()),
        Phase::Reconnecting { attempt, cause, .. } => (Some(*attempt), Some(cause)),
        Phase::Failed { attempts, cause } => ((*attempts > 0).then_some(*attempts), Some(cause)),
        Phase::Refused { cause } => (None, Some(cause)),
    };
    let is_live = matches!(status.phase, Phase::Live);
    CameraState {
        name: state_name(&status.phase),
        since: status.since.into(),
        attempt,
        cause: cause.map(tell),
        retry_at: status.retry_at.map(Timestamp::from),
        last_picture_at: status.last_picture.filter(|_| !is_live).map(Timestamp::from),
    }
}

/// A cause's public face.
pub(super) fn tell(error: &SourceError) -> Cause {
    Cause {
        code: error.code.name().to_owned(),
        class: error.verdict().class.name().to_owned(),
        detail: error.detail.clone(),
    }
}

/// A track's public face, among all of its camera's.
pub(super) fn track(all: &[media::TrackInfo], info: &media::TrackInfo) -> Track {
    let (width, height) = info.dimensions().unzip();
    let (sample_rate, channels) = info.sound().unzip();
    Track {
        kind: match info.kind {
            media::TrackKind::Video => TrackKind::Video,
            media::TrackKind::Audio => TrackKind::Audio,
        },
        codec: info.codec.name().to_owned(),
        width,
        height,
        sample_rate,
        channels,
        note: info.note.as_deref().map(str::to_owned),
        note_code: info.note.as_ref().map(|note| note.code().to_owned()),
        unrecorded: record::unrecorded(all, info),
    }
}

fn stats(status: &Status, viewers: u32, faults: ViewerFaults) -> Stats {
    let reading = status.reading;
    let live = matches!(status.phase, Phase::Live | Phase::Stalled);
    Stats {
        fps: if live { (reading.fps * 10.0).round() / 10.0 } else { 0.0 },
        bitrate: if live { reading.bitrate } else { 0 },
        frames: status.frames,
        last_frame_ms: status.last_frame.map(|at| {
            u64::try_from(Instant::now().saturating_duration_since(at).as_millis()).unwrap_or(u64::MAX)
        }),
        buffer_pct: if live { reading.buffer_pct } else { 0 },
        reconnects: status.reconnects,
        lost: status.session.lost,
        viewers,
        jitter_ms: (reading.jitter.as_secs_f32() * 10_000.0).round() / 10.0,
        gop: reading.gop,
        backlog_pct: status.session.backlog_pct,
        viewer_faults: faults.decoder.saturating_add(faults.display),
        degraded_viewers: faults.degraded,
    }
}

#[cfg(test)]
mod tests;
