//! A camera's small stream: open while somebody watches it, and a while longer.
//!
//! Invariant: whatever becomes of it, the camera goes on; who wants it gets the main stream instead where it does
//! not come. It has no state of its own to the outside: that it does not come is a warning of its camera, which
//! stays until it came.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::entry::{Running, tell};
use crate::api::Cause;
use crate::camera::{Order, StatusCell};
use crate::hub::{Gap, Slot, Subscriber};
use crate::media::TrackKind;
use crate::retry::{Phase, Policy};
use crate::source::{Source, SourceError};

/// A stream that does not come in this time is replaced by the main one.
const PATIENCE: Duration = Duration::from_secs(3);
/// One that nobody watches is let go after this long.
const LINGER: Duration = Duration::from_secs(30);
/// One failed attempt may be an outage of the camera; so many in a row are a word worth.
const ATTEMPTS: u32 = 2;

/// The small stream of a camera that has one.
#[derive(Clone)]
pub(super) struct Sub {
    pub(super) running: Running,
    /// Why it did not come when it was wanted last. Held for moments.
    trouble: Arc<Mutex<Option<SourceError>>>,
}

impl Sub {
    /// Begins to wait for somebody who watches. `main` is told of what changes its camera's warnings.
    pub(super) fn start(
        running: Running,
        make: impl Fn() -> (Box<dyn Source>, Policy) + Send + 'static,
        main: StatusCell,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let sub = Self { running, trouble: Arc::default() };
        tasks.spawn(sub.clone().watch_trouble(main, stop.clone()));
        tasks.spawn(on_demand(sub.running.clone(), make, stop));
        sub
    }

    /// Its place, once it has a picture; none where it does not come.
    pub(super) async fn slot(&self) -> Option<Slot> {
        // Holding a subscription is what opens it.
        let wanted = self.running.slot.subscribe();
        let comes = async {
            tokio::select! {
                biased;
                () = has_picture(wanted) => true,
                () = self.fails() => false,
            }
        };
        let came = tokio::time::timeout(PATIENCE, comes).await.unwrap_or_default();
        came.then(|| self.running.slot.clone())
    }

    /// The warning that it makes of its camera.
    pub(super) fn warning(&self) -> Option<Cause> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let Cause { class, detail, .. } = tell(trouble.as_ref()?);
        let detail = format!("The small stream does not come: {detail}");
        Some(Cause { code: "sub_stream".to_owned(), class, detail })
    }

    /// Another try, now, where it is wanted.
    pub(super) fn retry(&self) {
        if !self.running.rests() {
            self.running.give(Order::Retry);
        }
    }

    async fn watch_trouble(self, main: StatusCell, stop: CancellationToken) {
        let mut changes = self.running.status.watch();
        loop {
            let phase = self.running.status.get().phase;
            let trouble = match &phase {
                Phase::Live => None,
                phase => trouble(phase).cloned(),
            };
            if trouble.is_some() || phase == Phase::Live {
                let mut told = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
                let changed = *told != trouble;
                *told = trouble;
                drop(told);
                if changed {
                    main.touch();
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Returns when it is clear that it does not come now.
    async fn fails(&self) {
        let mut changes = self.running.status.watch();
        while trouble(&self.running.status.get().phase).is_none() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Why it does not come, where that is clear.
fn trouble(phase: &Phase) -> Option<&SourceError> {
    match phase {
        Phase::Failed { cause, .. } | Phase::Refused { cause } => Some(cause),
        Phase::Reconnecting { attempt, cause, .. } | Phase::Connecting { attempt, cause: Some(cause) } => {
            (*attempt >= ATTEMPTS).then_some(cause)
        }
        Phase::Idle | Phase::Connecting { .. } | Phase::Live | Phase::Stalled => None,
    }
}

/// Keeps it open while somebody subscribes, and a while longer.
async fn on_demand(
    running: Running,
    make: impl Fn() -> (Box<dyn Source>, Policy) + Send,
    stop: CancellationToken,
) {
    let (mut watched, mut last_seen) = (false, Instant::now());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = running.slot.subscribers_changed() => {}
            () = tokio::time::sleep_until(last_seen + LINGER), if !watched && !running.rests() => {}
        }
        let was_watched = std::mem::replace(&mut watched, running.slot.stats().subscribers > 0);
        if watched || was_watched {
            last_seen = Instant::now();
        }
        let wish = match (watched, running.rests()) {
            (true, true) => {
                let (source, policy) = make();
                Order::Run { source, policy }
            }
            (false, false) if last_seen.elapsed() >= LINGER => Order::Rest,
            _ => continue,
        };
        let rest = matches!(wish, Order::Rest);
        running.give(wish);
        // Until it is so, the next look would take the old state for the answer.
        tokio::select! {
            () = stop.cancelled() => return,
            () = until(&running, rest) => {}
        }
    }
}

/// Waits until the stream rests, or does not.
async fn until(running: &Running, rest: bool) {
    let mut changes = running.status.watch();
    while running.rests() != rest {
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Returns with the first picture. A subscriber's first is a key frame.
async fn has_picture(mut wanted: Subscriber) {
    loop {
        match wanted.next().await {
            Ok(frame) => {
                let track = wanted.tracks().get(usize::from(frame.track));
                if track.is_some_and(|t| t.kind == TrackKind::Video) {
                    return;
                }
            }
            Err(Gap::Closed) => return std::future::pending().await,
            Err(_) => {}
        }
    }
}
