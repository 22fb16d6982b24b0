//! The loop that acts on what [`Lifecycle`] decides.

use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use rand::rngs::SmallRng;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Meter, StatusCell, Watch, state_name};
use crate::env::Env;
use crate::hub::{Publisher, Slot};
use crate::media::{Codec, Frame, TrackId, TrackInfo, TrackKind};
use crate::retry::{Action, Input, Lifecycle, Phase, Policy};
use crate::source::{Reach, Session, SessionEvent, Source, SourceError, SourceErrorCode};

/// Pace of statistics (R-P8).
const STATS_EVERY: Duration = Duration::from_secs(2);

/// Reachability checks under way at a time. Each takes a second at most, and a host that comes back shall
/// not wait for the end of one that began before.
const CHECKS: usize = 4;

/// Between two checks of a camera whose name has no address: a name server is asked.
const NAME_EVERY: Duration = Duration::from_secs(1);

/// Between two looks whether a camera that offered sound alone offers pictures: each is a login.
const OFFER_EVERY: Duration = Duration::from_secs(3);

/// What a supervisor can be told.
pub enum Order {
    /// Begin, or begin anew with another source: the configuration changed.
    Run { source: Box<dyn Source>, policy: Policy },
    /// A person wants another try now.
    Retry,
    /// Let go of the source.
    Rest,
}

/// The owner of one stream's source.
pub struct Supervisor {
    slot: Slot,
    status: StatusCell,
    env: Env,
    rng: SmallRng,
    life: Lifecycle,
    source: Option<Box<dyn Source>>,
    live: Option<Live>,
    meter: Meter,
    sessions: u64,
    /// This source gave pictures: a session of sound alone is not it whole.
    pictures: bool,
    /// The newest session had a track of pictures, whether any came or not.
    offered: bool,
}

/// An open session and its place in the hub.
struct Live {
    session: Box<dyn Session>,
    publisher: Publisher,
    /// The track that tells whether the camera lives.
    lead: Option<Lead>,
    watch: Watch,
    /// What was said of the keep-alive that is unanswered.
    keepalive: Option<SourceError>,
    next_stats: Instant,
}

#[derive(Clone, Copy)]
struct Lead {
    track: TrackId,
    timescale: u32,
    kind: TrackKind,
    codec: Codec,
}

impl Supervisor {
    /// A supervisor at rest.
    #[must_use]
    pub fn new(slot: Slot, status: StatusCell, env: Env) -> Self {
        let rng = env.rng();
        Self {
            slot,
            status,
            env,
            rng,
            life: Lifecycle::new(Policy::default()),
            source: None,
            live: None,
            meter: Meter::default(),
            sessions: 0,
            pictures: false,
            offered: false,
        }
    }

    /// Runs until `stop`, or until nobody can give orders any more. Returns at once then; the goodbye to
    /// the camera goes on in the background.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>, stop: CancellationToken) {
        let mut action = Action::Wait { until: None, check: None };
        loop {
            let step = async {
                match action {
                    Action::Open => self.open().await,
                    Action::Read { until } => self.read(until).await,
                    Action::Wait { until, check } => self.wait(until, check).await,
                }
            };
            // A step that is dropped here has changed nothing but what it owns: an attempt or a timer.
            let input = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                input = step => input,
            };
            action = self.handle(input);
        }
    }

    fn obey(&mut self, order: Order) -> Input {
        match order {
            Order::Run { source, policy } => {
                self.live = None;
                self.life.set_policy(policy);
                self.source = Some(source);
                self.pictures = false;
                Input::Start
            }
            Order::Retry if self.source.is_none() => Input::Tick,
            // A camera that is live already has nothing to try.
            Order::Retry if matches!(self.life.phase(), Phase::Live | Phase::Stalled) => Input::Tick,
            // Whoever asks takes the camera as it is now.
            Order::Retry => {
                self.pictures = false;
                Input::Start
            }
            Order::Rest => {
                self.live = None;
                self.source = None;
                Input::Stop
            }
        }
    }

    fn handle(&mut self, input: Input) -> Action {
        let now = Instant::now();
        let before = std::mem::discriminant(self.life.phase());
        let waiting = matches!(self.life.phase(), Phase::Connecting { .. });
        let action = self.life.handle(now, input, &mut self.rng);
        if !matches!(action, Action::Read { .. }) && self.live.take().is_some() {
            // Dropping the session unpublished it: subscribers know.
            self.meter = Meter::default();
        }
        let changed = before != std::mem::discriminant(self.life.phase())
            || (waiting && matches!(action, Action::Open));
        if changed {
            self.show_phase(now);
        }
        action
    }

    fn show_phase(&mut self, now: Instant) {
        let wall = self.env.wall();
        let phase = self.life.phase().clone();
        match &phase {
            Phase::Reconnecting { cause, attempt, .. } => {
                info!(tag = "RECONNECT", code = %cause.code, attempt, "lost: {}", cause.detail);
            }
            Phase::Failed { cause, .. } | Phase::Refused { cause } => {
                warn!(tag = "RECONNECT", code = %cause.code, "gave up: {}", cause.detail);
            }
            Phase::Live => info!(tag = "RTSP", "live"),
            Phase::Stalled => info!(tag = "RTSP", "stalled"),
            Phase::Idle | Phase::Connecting { .. } => {}
        }
        // What everybody is told from now on.
        debug!(tag = "CONNECTION SYNC", state = ?state_name(&phase), session = self.sessions);
        let mut status = self.status.lock();
        let named_as_before = state_name(&status.phase) == state_name(&phase);
        status.retry_at = match &phase {
            Phase::Reconnecting { until, .. } => Some(wall + until.saturating_duration_since(now)),
            _ => None,
        };
        status.since = match (&phase, status.last_frame) {
            // Without a picture since the last one, not since it was noticed.
            (Phase::Stalled, Some(at)) => back(wall, now.saturating_duration_since(at)),
            _ if named_as_before => status.since,
            _ => wall,
        };
        if matches!(status.phase, Phase::Live) {
            status.last_picture = status.last_frame.map(|at| back(wall, now.saturating_duration_since(at)));
        }
        status.phase = phase;
        drop(status);
        self.refresh(now);
    }

    /// Renews the figures and tells onlookers.
    fn refresh(&mut self, now: Instant) {
        let mut status = self.status.lock();
        status.reading = self.meter.read(now);
        status.session = self.live.as_ref().map(|live| live.session.stats()).unwrap_or_default();
        let warnings = match &mut self.live {
            Some(live) => {
                let mut warnings = live.watch.warnings(now, &status.reading);
                if !status.session.keepalive_unanswered {
                    live.keepalive = None;
                }
                warnings.extend(live.keepalive.clone());
                warnings
            }
            None => Vec::new(),
        };
        let before = std::mem::replace(&mut status.warnings, warnings.clone());
        drop(status);
        self.status.touch();
        for new in warnings.iter().filter(|new| before.iter().all(|old| old.code != new.code)) {
            warn!(tag = tag(new.code), code = %new.code, "{}", new.detail);
        }
        for old in before.iter().filter(|old| warnings.iter().all(|new| old.code != new.code)) {
            info!(tag = tag(old.code), code = %old.code, "over");
        }
    }

    async fn open(&mut self) -> Input {
        let Some(source) = &mut self.source else {
            // Only a camera that was told to run connects, and that brings the source.
            return Input::Stop;
        };
        let attempt = AssertUnwindSafe(source.open()).catch_unwind().await;
        let session = match attempt {
            Ok(Ok(session)) => session,
            Ok(Err(error)) => return Input::Ended(error),
            Err(_) => return Input::Ended(internal()),
        };
        let tracks = session.tracks();
        self.offered = tracks.iter().any(|track| track.kind == TrackKind::Video);
        let Ok(publisher) = self.slot.publish(tracks.clone()) else {
            return Input::Ended(internal());
        };
        let now = Instant::now();
        self.live = Some(Live {
            session,
            publisher,
            lead: lead(&tracks, self.pictures),
            watch: Watch::new(now),
            keepalive: None,
            next_stats: now + STATS_EVERY,
        });
        self.sessions += 1;
        self.status.lock().reconnects = self.sessions - 1;
        Input::Opened
    }

    /// Reads until something has to be decided.
    async fn read(&mut self, until: Instant) -> Input {
        let Some(live) = &mut self.live else {
            return Input::Ended(internal());
        };
        let next_stats = live.next_stats;
        let event = tokio::select! {
            biased;
            event = next(&mut *live.session) => event,
            () = live.publisher.key_frame_wanted() => {
                live.session.request_key_frame();
                return Input::Tick;
            }
            () = sleep_until(until.min(next_stats)) => {
                if next_stats <= Instant::now() {
                    live.next_stats = next_stats + STATS_EVERY;
                    self.refresh(next_stats);
                }
                return Input::Tick;
            }
        };
        match event {
            Ok(SessionEvent::Frame(frame)) => {
                let input = self.frame(frame);
                let now = Instant::now();
                if let Some(live) = &mut self.live
                    && live.next_stats <= now
                {
                    live.next_stats = now + STATS_EVERY;
                    self.refresh(now);
                }
                input
            }
            Ok(SessionEvent::Tracks) => {
                let tracks = live.session.tracks();
                live.lead = lead(&tracks, self.pictures);
                live.publisher.set_tracks(&tracks);
                self.status.touch();
                Input::Tick
            }
            Ok(SessionEvent::Warning(warning)) => {
                live.keepalive = Some(warning);
                self.refresh(Instant::now());
                Input::Tick
            }
            Err(error) => Input::Ended(error),
        }
    }

    fn frame(&mut self, frame: Frame) -> Input {
        let Some(live) = &mut self.live else { return Input::Tick };
        let input = match live.lead {
            Some(lead) if lead.track == frame.track => {
                self.meter.feed(frame.arrival, frame.pts, lead.timescale, frame.data.len(), frame.key);
                if lead.kind == TrackKind::Video {
                    self.pictures = true;
                    live.watch.picture(frame.arrival, lead.codec, frame.key, &frame.data);
                }
                let mut status = self.status.lock();
                status.frames += 1;
                status.last_frame = Some(frame.arrival);
                Input::Frame { key: frame.key }
            }
            _ => {
                live.watch.sound(frame.arrival);
                Input::OtherFrame
            }
        };
        live.publisher.push(frame);
        input
    }

    async fn wait(&mut self, until: Option<Instant>, check: Option<Duration>) -> Input {
        let end = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = end => Input::Tick,
            () = self.until_reachable(check) => Input::Reachable,
        }
    }

    /// Returns when the camera answers further than before. One that answered all along says nothing new.
    async fn until_reachable(&mut self, check: Option<Duration>) {
        let (Some(every), Some(source)) = (check, &mut self.source) else {
            return pending().await;
        };
        if let Phase::Reconnecting { cause, .. } = self.life.phase()
            && cause.code == SourceErrorCode::NoVideo
            && !self.offered
        {
            // It answers all along: only what it offers tells that it is well.
            loop {
                sleep_until(Instant::now() + OFFER_EVERY).await;
                if source.offers_pictures().await {
                    return;
                }
            }
        }
        let mut least = match self.life.phase() {
            // R-N5: a connection brings it back.
            Phase::Failed { .. } => Reach::Nothing,
            // One that answered, but not in time, is waited for like any other.
            Phase::Reconnecting { cause, .. } => cause.reached,
            _ => Reach::Answers,
        };
        let nameless = matches!(self.life.phase(), Phase::Reconnecting { cause, .. } if cause.code == SourceErrorCode::Dns);
        let every = if nameless { every.max(NAME_EVERY) } else { every };
        let mut pace = interval_at(Instant::now() + every, every);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut checks = FuturesUnordered::new();
        loop {
            tokio::select! {
                _ = pace.tick(), if checks.len() < CHECKS => checks.push(source.reach()),
                Some(reach) = checks.next() => {
                    if reach > least {
                        return;
                    }
                    least = reach;
                }
            }
        }
    }
}

/// The next event; a panic inside the session ends the session, not the camera.
async fn next(session: &mut dyn Session) -> Result<SessionEvent, SourceError> {
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| session.poll_next(cx)))
            .unwrap_or_else(|_| Poll::Ready(Err(internal())))
    })
    .await
}

fn internal() -> SourceError {
    SourceError::new(
        SourceErrorCode::Internal,
        "Nightjar made a mistake while reading this camera. Please report it with the log.",
    )
}

/// The track by which the camera is judged: the picture, or where there never was one the sound.
fn lead(tracks: &[TrackInfo], pictures: bool) -> Option<Lead> {
    let carried = |kind| tracks.iter().find(|t| t.kind == kind && t.carried());
    let sound = carried(TrackKind::Audio).filter(|_| !pictures);
    let lead = carried(TrackKind::Video).or(sound)?;
    Some(Lead { track: lead.id, timescale: lead.timescale, kind: lead.kind, codec: lead.codec })
}

/// The area of a warning (R-N13).
const fn tag(code: SourceErrorCode) -> &'static str {
    match code {
        SourceErrorCode::Buffering => "BUFFERING",
        SourceErrorCode::NoKeyFrame | SourceErrorCode::Frozen => "DECODER",
        _ => "RTSP",
    }
}

fn back(wall: SystemTime, by: Duration) -> SystemTime {
    wall.checked_sub(by).unwrap_or(wall)
}

#[cfg(test)]
mod tests;
