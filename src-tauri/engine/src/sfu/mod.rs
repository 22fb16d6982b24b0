//! Viewers and phones by WebRTC: an offer in, an answer out, and a camera's frames on their way out or in.
//!
//! The only user of `webrtc` and `rtc`. Invariants: a viewer is one connection and one task, both owned
//! here and gone after [`Sfu::shutdown`]; whatever a peer sends ends at most that peer; frames are
//! packetised once per camera, and a viewer costs headers and encryption. It knows no HTTP: the door
//! turns [`SfuError`] into a status.

mod agreement;
mod arrivals;
mod call;
mod clock;
mod depacketize;
pub mod hostile;
mod inlet;
mod outlet;
mod packetize;
mod peer;
mod ports;
mod publisher;
mod runtime;
mod sdp;
mod survey;
mod tcp;
mod viewer;

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use rtc::peer_connection::transport::RTCIceCandidateInit;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};
use uuid::Uuid;
use webrtc::peer_connection::PeerConnection;

pub use call::{Call, CallOptions, Candidate, Media};
pub use peer::ViewerState;
pub use publisher::{Feed, PhoneSource, Publication, PublicationStats};
pub use survey::IceServerReading;

use crate::env::{Env, Secret};
use crate::hub::Slot;
use crate::media::{TrackInfo, TrackKind};
use agreement::Agreement;
use outlet::{Figures, Outlet};
use peer::{Materials, Peer};
use ports::{Lease, Ports};
use sdp::{Description, Fragment, SDP_MAX};
use tcp::Door;
use viewer::{Codecs, Sight, Viewer};

/// A connection that does not close in this time is left to its driver.
const CLOSE: Duration = Duration::from_secs(2);

/// Ports that may be snatched away between looking and binding before a viewer is refused.
const PORT_TRIES: u32 = 8;

/// How viewers are served.
#[derive(Clone, Debug)]
pub struct SfuOptions {
    /// Each viewer takes one of these; so many viewers there can be at most.
    pub udp_ports: RangeInclusive<u16>,
    /// ICE over TCP for viewers that UDP does not reach, on one port for all; `None` for none.
    pub tcp_port: Option<u16>,
    /// Viewers beyond this are refused.
    pub max_viewers: usize,
    /// STUN and TURN servers, for viewers outside the local network.
    pub ice_servers: Vec<IceServer>,
    /// The addresses offered; `None` for those of the machine's interfaces, looked up for each viewer.
    pub addresses: Option<Vec<IpAddr>>,
}

impl Default for SfuOptions {
    fn default() -> Self {
        Self {
            udp_ports: 50_000..=50_199,
            tcp_port: None,
            max_viewers: 200,
            ice_servers: Vec::new(),
            addresses: None,
        }
    }
}

/// A STUN or TURN server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:` and `turn:` URLs.
    pub urls: Vec<String>,
    pub username: String,
    pub credential: Secret<String>,
}

/// Why a viewer is not served.
#[derive(Debug, thiserror::Error)]
pub enum SfuError {
    /// The camera has no source at the moment (503).
    #[error("the camera is not live")]
    NotLive,
    /// Viewer and camera have no codec in common; the sentence says why (406).
    #[error("{0}")]
    NoCommonCodec(String),
    /// The offer or fragment cannot be read (400).
    #[error("{0}")]
    Malformed(String),
    /// The offer or fragment is larger than 64 KiB (413).
    #[error("the session description is larger than {SDP_MAX} bytes")]
    TooLarge,
    /// There is no such viewer, or no longer (404).
    #[error("there is no such viewer")]
    UnknownViewer,
    /// All places are taken (503).
    #[error("too many viewers")]
    TooManyViewers,
    /// None of the configured UDP ports is free (503).
    #[error("no free UDP port for another viewer")]
    NoPort,
    /// The program is ending (503).
    #[error("shutting down")]
    ShuttingDown,
    /// A defect of Nightjar or of its libraries, contained (500).
    #[error("the viewer could not be set up: {0}")]
    Internal(String),
}

/// What any browser could play by WebRTC, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Playable {
    pub video: Result<(), String>,
    pub audio: Result<(), String>,
}

/// What of these tracks WebRTC carries. A browser may lack one of the codecs all the same.
#[must_use]
pub fn playable(tracks: &[TrackInfo]) -> Playable {
    let verdict = |kind, missing: &str| match tracks.iter().find(|t| t.kind == kind) {
        None => Err(missing.to_owned()),
        Some(TrackInfo { note: Some(note), .. }) => Err(note.to_string()),
        Some(track) => agreement::unplayable(track).map_or(Ok(()), Err),
    };
    Playable {
        video: verdict(TrackKind::Video, "the camera sends no picture"),
        audio: verdict(TrackKind::Audio, "the camera sends no sound"),
    }
}

/// An answered offer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Names the viewer from now on; cannot be guessed.
    pub id: Uuid,
    /// With all candidates in it.
    pub sdp: String,
}

/// Figures of a viewer.
#[derive(Clone, Debug)]
pub struct ViewerStats {
    pub id: Uuid,
    pub camera: String,
    pub state: ViewerState,
    /// How long it has been there.
    pub age: Duration,
    /// RTP packets sent, repairs not among them.
    pub packets: u64,
    /// Payload bytes, repairs among them.
    pub bytes: u64,
    /// Packets sent again.
    pub repaired: u64,
    pub nacks: u64,
    /// Requests for a picture.
    pub plis: u64,
    /// Round trip by the newest receiver report that tells it.
    pub rtt: Option<Duration>,
    /// Share of packets lost of late, 0 to 1.
    pub loss: Option<f32>,
    /// Packets lost in all, by the receiver's count.
    pub lost: u32,
}

/// Serves viewers. Cheap to clone; the clones are one.
#[derive(Clone)]
pub struct Sfu {
    shared: Arc<Shared>,
}

struct Shared {
    options: SfuOptions,
    env: Env,
    ports: Ports,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    door: Option<Door>,
    ending: CancellationToken,
    viewers: Mutex<HashMap<Uuid, Handle>>,
    survey: Arc<survey::Survey>,
}

/// What is kept of a viewer outside its task.
struct Handle {
    camera: String,
    since: Instant,
    connection: Arc<dyn PeerConnection>,
    outlet: Outlet,
    state: watch::Receiver<ViewerState>,
    over: CancellationToken,
    remote_ufrag: String,
    /// Candidates of it that were trickled.
    trickled: usize,
}

impl Sfu {
    /// Ready for viewers; nothing is bound before the first.
    #[must_use]
    pub fn new(options: SfuOptions, env: Env) -> Self {
        let (tasks, ending) = (TaskTracker::new(), CancellationToken::new());
        let survey = Arc::<survey::Survey>::default();
        if !options.ice_servers.is_empty() {
            let looks = Arc::clone(&survey).run(options.ice_servers.clone(), env.clone());
            let stop = ending.clone();
            tasks.spawn(async move {
                stop.run_until_cancelled(looks).await;
            });
        }
        let shared = Shared {
            ports: Ports::new(options.udp_ports.clone()),
            places: Arc::new(Semaphore::new(options.max_viewers.min(Semaphore::MAX_PERMITS))),
            door: options.tcp_port.map(|port| Door::new(port, tasks.clone(), ending.clone())),
            tasks,
            ending,
            viewers: Mutex::new(HashMap::new()),
            survey,
            options,
            env,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Answers a viewer's offer for `slot`; `camera` is its name in figures and logs.
    ///
    /// # Errors
    /// See [`SfuError`]; a refused offer leaves nothing behind.
    pub async fn watch(&self, camera: &str, slot: &Slot, offer: &str) -> Result<Answer, SfuError> {
        let shared = &self.shared;
        if shared.ending.is_cancelled() {
            return Err(SfuError::ShuttingDown);
        }
        if offer.len() > SDP_MAX {
            return Err(SfuError::TooLarge);
        }
        let description =
            Description::parse(offer).map_err(|error| SfuError::Malformed(error.to_string()))?;
        let tracks = slot.tracks();
        if !slot.is_flowing() || tracks.is_empty() {
            return Err(SfuError::NotLive);
        }
        let agreement = Agreement::find(&description, &tracks)?;
        let place = Arc::clone(&shared.places).try_acquire_owned().map_err(|_| SfuError::TooManyViewers)?;
        let addresses = shared.addresses();
        // In a task of its own: a caller that goes away leaves no half-made connection behind, and foreign
        // bytes are in a foreign parser's hands, whose panic is this offer's fault alone.
        let order = Order {
            id: self.id(),
            camera: camera.to_owned(),
            slot: slot.clone(),
            offer: offer.to_owned(),
            description,
            agreement,
            addresses,
            place,
        };
        let negotiation = shared.tasks.spawn(negotiate(Arc::clone(shared), order));
        negotiation.await.unwrap_or_else(|_| {
            warn!("an offer broke the parser");
            Err(SfuError::Malformed("the session description cannot be understood".to_owned()))
        })
    }

    /// Adds the candidates of a trickled fragment (RFC 8840) to a viewer.
    ///
    /// # Errors
    /// `UnknownViewer`, `TooLarge` or `Malformed`. A candidate that cannot be added is skipped.
    pub async fn trickle(&self, id: &Uuid, fragment: &str) -> Result<(), SfuError> {
        let (connection, remote_ufrag) = {
            let viewers = self.shared.viewers();
            let viewer = viewers.get(id).ok_or(SfuError::UnknownViewer)?;
            (Arc::clone(&viewer.connection), viewer.remote_ufrag.clone())
        };
        let local = self.shared.addresses().iter().any(IpAddr::is_loopback);
        if fragment.len() > SDP_MAX {
            return Err(SfuError::TooLarge);
        }
        let fragment = Fragment::parse(fragment).map_err(|error| SfuError::Malformed(error.to_string()))?;
        if fragment.ufrag.is_some_and(|ufrag| ufrag != remote_ufrag) {
            return Err(SfuError::Malformed("the candidates belong to another ICE session".to_owned()));
        }
        for (candidate, sdp_mid) in fragment.candidates {
            let kind = sdp::candidate_kind(&candidate);
            let counted = self.shared.viewers().get_mut(id).is_some_and(|viewer| {
                viewer.trickled += 1;
                viewer.trickled <= call::CANDIDATES_MAX
            });
            if !counted || !sdp::reaches_out(&candidate, local) {
                debug!(viewer = short(id), kind, counted, "trickled candidate left out");
                continue;
            }
            let candidate = RTCIceCandidateInit { candidate, sdp_mid, ..RTCIceCandidateInit::default() };
            let added = AssertUnwindSafe(connection.add_ice_candidate(candidate)).catch_unwind().await;
            let added = matches!(added, Ok(Ok(())));
            debug!(viewer = short(id), kind, added, "trickled candidate");
        }
        Ok(())
    }

    /// Ends a viewer. It is gone from [`Sfu::viewers`] at once; its connection closes behind.
    ///
    /// # Errors
    /// `UnknownViewer`.
    pub fn close(&self, id: &Uuid) -> Result<(), SfuError> {
        let viewer = self.shared.viewers().remove(id).ok_or(SfuError::UnknownViewer)?;
        viewer.over.cancel();
        Ok(())
    }

    /// The viewers of now, oldest first.
    #[must_use]
    pub fn viewers(&self) -> Vec<ViewerStats> {
        let viewers = self.shared.viewers();
        let mut stats: Vec<ViewerStats> = viewers.iter().map(|(id, viewer)| viewer.stats(*id)).collect();
        drop(viewers);
        stats.sort_by_key(|viewer| std::cmp::Reverse(viewer.age));
        stats
    }

    /// How far the STUN and TURN servers are, by the newest look.
    #[must_use]
    pub fn ice_servers(&self) -> Vec<IceServerReading> {
        self.shared.survey.readings()
    }

    /// Ends all viewers, refuses new ones and waits until every task is over.
    pub async fn shutdown(&self) {
        self.shared.ending.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// A version 7 identifier: its time sorts logs, its 74 random bits cannot be guessed.
    fn id(&self) -> Uuid {
        let since = self.shared.env.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        uuid::Builder::from_unix_timestamp_millis(millis, &self.shared.env.token()).into_uuid()
    }
}

/// A viewer to be.
struct Order {
    id: Uuid,
    camera: String,
    slot: Slot,
    offer: String,
    description: Description,
    agreement: Agreement,
    addresses: Vec<IpAddr>,
    place: OwnedSemaphorePermit,
}

/// Answers the offer and leaves the viewer's task running.
async fn negotiate(shared: Arc<Shared>, order: Order) -> Result<Answer, SfuError> {
    let Order { id, camera, slot, offer, description, agreement, addresses, place } = order;
    let label = short(&id);
    let origin = Instant::now();
    let (mut peer, lease) =
        shared.connect(&agreement, &description, &offer, &addresses, &label, false).await?;
    let codecs = Codecs::of(&agreement);
    let answer = Answer { id, sdp: std::mem::take(&mut peer.answer) };
    info!(
        viewer = label,
        camera,
        video = codecs.video.first().map(|(codec, _)| tracing::field::display(codec)),
        audio = codecs.audio.first().map(|(codec, _)| tracing::field::display(codec)),
        "offer answered"
    );
    let viewer = Viewer::new(&label, Sight::Camera(slot), codecs, &peer, origin);
    let handle = Handle {
        camera: camera.clone(),
        since: origin,
        connection: Arc::clone(&peer.connection),
        outlet: peer.outlet.clone(),
        state: peer.state.clone(),
        over: peer.over.clone(),
        remote_ufrag: std::mem::take(&mut peer.remote_ufrag),
        trickled: 0,
    };
    shared.viewers().insert(id, handle);
    // Dropped with the task, panic or not: then the viewer is not listed, and its port and place are free.
    let entry = Entry { shared: Arc::clone(&shared), id };
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        let (_entry, _place, _lease) = (entry, place, lease);
        let ending = shared.ending.clone();
        let end = tokio::select! {
            end = viewer.run(&mut peer) => end,
            () = ending.cancelled() => viewer::End::Asked,
        };
        let sent = peer.outlet.figures();
        info!(viewer = label, camera, end = end.name(), packets = sent.packets, "viewer ended");
        if tokio::time::timeout(CLOSE, peer.connection.close()).await.is_err() {
            warn!(viewer = label, "the connection does not close");
        }
    });
    Ok(answer)
}

impl Shared {
    fn addresses(&self) -> Vec<IpAddr> {
        self.options.addresses.clone().unwrap_or_else(ports::addresses)
    }

    /// Answers an offer on a port of its own.
    async fn connect(
        &self,
        agreement: &Agreement,
        description: &Description,
        offer: &str,
        addresses: &[IpAddr],
        label: &str,
        trickle: bool,
    ) -> Result<(Peer, Lease), SfuError> {
        let wall = self.env.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let door = match &self.door {
            Some(door) if door.open().await => Some(door),
            _ => None,
        };
        let mut tries = 0;
        loop {
            let lease = self.ports.lease(addresses).ok_or(SfuError::NoPort)?;
            let materials = Materials {
                ice_servers: &self.options.ice_servers,
                tasks: &self.tasks,
                door,
                sockets: lease.sockets(addresses),
                wall,
                rng: self.env.rng(),
                label,
                trickle,
            };
            match peer::answer(materials, agreement, description, offer).await {
                Ok(peer) => return Ok((peer, lease)),
                // Somebody else was quicker.
                Err(SfuError::NoPort) if tries < PORT_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn viewers(&self) -> MutexGuard<'_, HashMap<Uuid, Handle>> {
        self.viewers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handle {
    fn stats(&self, id: Uuid) -> ViewerStats {
        let Figures { packets, bytes, nacks, repaired, plis, rtt, loss, lost } = self.outlet.figures();
        ViewerStats {
            id,
            camera: self.camera.clone(),
            state: *self.state.borrow(),
            age: self.since.elapsed(),
            packets,
            bytes,
            repaired,
            nacks,
            plis,
            rtt,
            loss,
            lost,
        }
    }
}

/// Takes the viewer off the list when dropped.
struct Entry {
    shared: Arc<Shared>,
    id: Uuid,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.viewers().remove(&self.id);
    }
}

/// The part of an identifier that logs show: the end, since the beginning is the time.
fn short(id: &Uuid) -> String {
    let text = id.simple().to_string();
    text[text.len() - 8..].to_owned()
}

#[cfg(test)]
mod tests;
