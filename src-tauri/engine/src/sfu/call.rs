//! A member of a room: one peer connection that may publish, watch, or both.
//!
//! Its sections are answered whether or not there is something to watch yet, and carry what comes. A call
//! that publishes lives until it is closed, whatever the network does; one that only watches ends when its
//! connection fails. The call does not know rooms: it is told what to show.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rtc::peer_connection::transport::RTCIceCandidateInit;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;
use webrtc::peer_connection::PeerConnection;

use super::agreement::Agreement;
use super::peer::{self, Peer, ViewerState};
use super::publisher::Publication;
use super::sdp::{self, Description, SDP_MAX};
use super::tcp::{self, Registration};
use super::viewer::{CONNECT, Codecs, End, Sight, Viewer};
use super::{CLOSE, Entry, Handle, Sfu, SfuError, Shared, short};
use crate::hub::Slot;

/// Candidates of a peer that are tried, in the whole life of its connection.
pub(super) const CANDIDATES_MAX: usize = 256;

/// What a call is made for.
#[derive(Debug)]
pub struct CallOptions {
    /// Its name in figures and logs.
    pub room: String,
    /// What the peer is shown, now and later; `None` inside while there is nothing.
    pub show: watch::Receiver<Option<Slot>>,
    /// What the peer sends is taken.
    pub publish: bool,
    /// The peer is told of candidates that come after the answer, which then does not wait for those of servers.
    pub trickle: bool,
}

/// What an offer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media {
    /// It sends pictures, and sound.
    pub video: bool,
    pub audio: bool,
    /// It sends pictures by a section that takes none.
    pub only_sends_video: bool,
    /// It wants pictures.
    pub wants_video: bool,
}

impl Media {
    /// Of an offer.
    ///
    /// # Errors
    /// `TooLarge` or `Malformed`.
    pub fn of(offer: &str) -> Result<Self, SfuError> {
        let description = read(offer)?;
        let any = |kind: &str, sends: bool| {
            description.sections.iter().any(|s| s.kind == kind && if sends { s.sends } else { s.receives })
        };
        let only_sends = |s: &sdp::Section| s.kind == "video" && s.sends && !s.receives;
        Ok(Self {
            video: any("video", true),
            audio: any("audio", true),
            only_sends_video: description.sections.iter().any(only_sends),
            wants_video: any("video", false),
        })
    }
}

fn read(offer: &str) -> Result<Description, SfuError> {
    if offer.len() > SDP_MAX {
        return Err(SfuError::TooLarge);
    }
    Description::parse(offer).map_err(|error| SfuError::Malformed(error.to_string()))
}

/// A candidate, its section named by id or by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// With `candidate:` before it.
    pub candidate: String,
    pub mid: Option<String>,
    pub index: Option<u16>,
}

/// A connection. Dropping it leaves it running; see [`Call::close`].
pub struct Call {
    id: Uuid,
    label: String,
    answer: String,
    connection: Arc<dyn PeerConnection>,
    over: CancellationToken,
    shared: Arc<Shared>,
    publication: Option<Publication>,
    watches: bool,
    /// Credentials and certificate of the newest offer.
    identity: Mutex<Identity>,
    candidates: Mutex<usize>,
    own: Mutex<Option<mpsc::Receiver<String>>>,
    section: (Option<String>, u16),
    local: bool,
    /// By what it is found over TCP, as long as it lives.
    tcp: Weak<Registration>,
}

/// What tells one connection of a peer from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Identity {
    ufrag: String,
    fingerprint: String,
}

impl Identity {
    fn of(offer: &str) -> Self {
        let fingerprint = offer.lines().find_map(|line| line.trim_end().strip_prefix("a=fingerprint:"));
        Self {
            ufrag: sdp::ufrag(offer).unwrap_or_default().to_owned(),
            fingerprint: fingerprint.unwrap_or_default().to_ascii_lowercase(),
        }
    }
}

impl Sfu {
    /// Answers the offer of a member of a room.
    ///
    /// # Errors
    /// See [`SfuError`]; a refused offer leaves nothing behind.
    pub async fn call(&self, options: CallOptions, offer: &str) -> Result<Call, SfuError> {
        let shared = &self.shared;
        if shared.ending.is_cancelled() {
            return Err(SfuError::ShuttingDown);
        }
        let description = read(offer)?;
        let agreement = Agreement::of_room(&description, options.publish)?;
        let place = Arc::clone(&shared.places).try_acquire_owned().map_err(|_| SfuError::TooManyViewers)?;
        let order = Order { id: self.id(), options, offer: offer.to_owned(), description, agreement, place };
        // As for viewers: foreign bytes are in a foreign parser's hands.
        let negotiation = shared.tasks.spawn(negotiate(Arc::clone(shared), order));
        negotiation.await.unwrap_or_else(|_| {
            warn!("an offer broke the parser");
            Err(SfuError::Malformed("the session description cannot be understood".to_owned()))
        })
    }
}

struct Order {
    id: Uuid,
    options: CallOptions,
    offer: String,
    description: Description,
    agreement: Agreement,
    place: tokio::sync::OwnedSemaphorePermit,
}

async fn negotiate(shared: Arc<Shared>, order: Order) -> Result<Call, SfuError> {
    let Order { id, options, offer, description, agreement, place } = order;
    let label = short(&id);
    let origin = Instant::now();
    let addresses = shared.addresses();
    let (mut peer, lease) =
        shared.connect(&agreement, &description, &offer, &addresses, &label, options.trickle).await?;
    let codecs = Codecs::of(&agreement);
    let watches = peer.waker.is_some();
    info!(peer = label, room = options.room, sends = agreement.takes(), watches, "offer answered");
    let publication = peer.inlet.clone().map(|inlet| Publication {
        id,
        inlet,
        state: peer.state.clone(),
        over: peer.over.clone(),
    });
    let answer = std::mem::take(&mut peer.answer);
    let (_, empty) = mpsc::channel(1);
    let call = Call {
        id,
        label: label.clone(),
        section: section(&answer),
        answer,
        connection: Arc::clone(&peer.connection),
        over: peer.over.clone(),
        shared: Arc::clone(&shared),
        publication,
        watches,
        identity: Mutex::new(Identity::of(&offer)),
        candidates: Mutex::new(0),
        own: Mutex::new(Some(std::mem::replace(&mut peer.candidates, empty))),
        local: addresses.iter().any(std::net::IpAddr::is_loopback),
        tcp: peer.tcp.as_ref().map(Arc::downgrade).unwrap_or_default(),
    };
    if watches {
        // It is a viewer like any other in the figures.
        let handle = Handle {
            camera: options.room.clone(),
            since: origin,
            connection: Arc::clone(&peer.connection),
            outlet: peer.outlet.clone(),
            state: peer.state.clone(),
            over: peer.over.clone(),
            remote_ufrag: peer.remote_ufrag.clone(),
            trickled: 0,
        };
        shared.viewers().insert(id, handle);
    }
    let viewer = watches.then(|| Viewer::new(&label, Sight::Room(options.show), codecs, &peer, origin));
    let publishes = call.publication.is_some();
    let entry = Entry { shared: Arc::clone(&shared), id };
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        let (_entry, _place, _lease) = (entry, place, lease);
        let ending = shared.ending.clone();
        let end = tokio::select! {
            end = run(viewer, publishes, &mut peer) => end,
            () = ending.cancelled() => End::Asked,
        };
        info!(peer = label, end = end.name(), "connection ended");
        peer.over.cancel();
        if tokio::time::timeout(CLOSE, peer.connection.close()).await.is_err() {
            warn!(peer = label, "the connection does not close");
        }
    });
    Ok(call)
}

async fn run(viewer: Option<Viewer>, publishes: bool, peer: &mut Peer) -> End {
    let over = peer.over.clone();
    match viewer {
        Some(viewer) => {
            let end = viewer.run(peer).await;
            // Who publishes goes on doing so, although there is nobody left to watch with.
            if publishes && !matches!(end, End::Asked | End::Left | End::NeverConnected) {
                over.cancelled().await;
            }
            end
        }
        None => {
            {
                let connected = peer.state.wait_for(|state| *state != ViewerState::Connecting);
                match tokio::time::timeout(CONNECT, over.run_until_cancelled(connected)).await {
                    Err(_) => return End::NeverConnected,
                    Ok(None) => return End::Asked,
                    Ok(Some(_)) => {}
                }
            }
            tokio::select! {
                () = over.cancelled() => End::Asked,
                () = peer.left() => End::Left,
            }
        }
    }
}

impl Call {
    /// Names it; cannot be guessed.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The answer to its first offer, with the candidates that were there by then.
    #[must_use]
    pub fn answer(&self) -> &str {
        &self.answer
    }

    /// What it publishes, if anything.
    #[must_use]
    pub fn publication(&self) -> Option<&Publication> {
        self.publication.as_ref()
    }

    /// Whether it receives.
    #[must_use]
    pub fn watches(&self) -> bool {
        self.watches
    }

    /// Our candidates, those of the answer among them, as they come. Once.
    pub fn candidates(&self) -> Option<mpsc::Receiver<String>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The section that our candidates belong to.
    #[must_use]
    pub fn section(&self) -> (Option<String>, u16) {
        self.section.clone()
    }

    /// Whether an offer is of this very connection: another round of its negotiation.
    #[must_use]
    pub fn continues(&self, offer: &str) -> bool {
        !self.over.is_cancelled() && *self.identity() == Identity::of(offer)
    }

    /// Whether an offer shows the certificate that this connection has.
    #[must_use]
    pub fn is_of(&self, offer: &str) -> bool {
        self.identity().fingerprint == Identity::of(offer).fingerprint
    }

    /// Answers a further offer of the same connection.
    ///
    /// # Errors
    /// See [`SfuError`]. The connection goes on as it was.
    pub async fn renegotiate(&self, offer: &str) -> Result<String, SfuError> {
        let agreement = Agreement::of_room(&read(offer)?, self.publication.is_some())?;
        let (connection, offer) = (Arc::clone(&self.connection), offer.to_owned());
        let (addresses, label) = (self.shared.addresses(), self.label.clone());
        let inlet = self.publication.as_ref().map(|publication| publication.inlet.clone());
        let (identity, tcp) = (Identity::of(&offer), self.tcp.upgrade());
        let negotiation = self.shared.tasks.spawn(async move {
            let done = std::future::ready(());
            let mut answer =
                peer::negotiate(&*connection, &agreement, &offer, &addresses, &label, done).await?;
            if let (Some(tcp), Some(ufrag)) = (tcp, sdp::ufrag(&answer)) {
                tcp.also(ufrag);
                answer = tcp::rewrite_candidates(&answer, &addresses, tcp.port());
            }
            if let (Some(inlet), true) = (inlet, agreement.takes()) {
                inlet.expect(agreement.expected());
            }
            Ok(answer)
        });
        let answer = negotiation.await.unwrap_or_else(|_| {
            warn!("an offer broke the parser");
            Err(SfuError::Malformed("the session description cannot be understood".to_owned()))
        })?;
        *self.identity() = identity;
        Ok(answer)
    }

    /// Adds a candidate of the peer. One that cannot be added is counted and skipped (R-S8): false.
    pub async fn add(&self, candidate: Candidate) -> bool {
        {
            let mut count = self.candidates.lock().unwrap_or_else(PoisonError::into_inner);
            if *count >= CANDIDATES_MAX {
                return false;
            }
            *count += 1;
        }
        let kind = sdp::candidate_kind(&candidate.candidate);
        if !sdp::reaches_out(&candidate.candidate, self.local) {
            debug!(peer = self.label, kind, "candidate of the peer leads nowhere");
            return false;
        }
        let candidate = RTCIceCandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.mid,
            sdp_mline_index: candidate.index,
            ..RTCIceCandidateInit::default()
        };
        let connection = Arc::clone(&self.connection);
        // In a task: a panic of the parser ends nothing but this.
        let adding = self.shared.tasks.spawn(async move { connection.add_ice_candidate(candidate).await });
        let added = matches!(adding.await, Ok(Ok(())));
        debug!(peer = self.label, kind, added, "candidate of the peer");
        added
    }

    /// Adds the candidates of a trickled fragment (RFC 8840).
    ///
    /// # Errors
    /// `TooLarge` or `Malformed`.
    pub async fn trickle(&self, fragment: &str) -> Result<(), SfuError> {
        if fragment.len() > SDP_MAX {
            return Err(SfuError::TooLarge);
        }
        let fragment =
            sdp::Fragment::parse(fragment).map_err(|error| SfuError::Malformed(error.to_string()))?;
        if fragment.ufrag.is_some_and(|ufrag| ufrag != self.identity().ufrag) {
            return Err(SfuError::Malformed("the candidates belong to another ICE session".to_owned()));
        }
        for (candidate, mid) in fragment.candidates {
            self.add(Candidate { candidate, mid, index: None }).await;
        }
        Ok(())
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Waits until it is over.
    pub async fn ended(&self) {
        self.over.cancelled().await;
    }

    /// Ends it.
    pub fn close(&self) {
        self.over.cancel();
    }

    fn identity(&self) -> std::sync::MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first section of an answer that was not refused: it carries the candidates of all.
fn section(answer: &str) -> (Option<String>, u16) {
    let mut index = None;
    let mut refused = true;
    for line in answer.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            index = Some(index.map_or(0, |index: u16| index.saturating_add(1)));
            refused = media.split_ascii_whitespace().nth(1) == Some("0");
        } else if let (Some(mid), false) = (line.strip_prefix("a=mid:"), refused) {
            return (Some(mid.trim_end().to_owned()), index.unwrap_or(0));
        }
    }
    (None, 0)
}
