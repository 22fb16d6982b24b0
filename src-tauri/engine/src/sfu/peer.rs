//! A peer connection for a viewer, from its offer to our answer.
//!
//! It agrees on one format for the picture and one for the sound, and leaves the rest of the offer
//! unanswered or inactive. After this the connection is the viewer's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{ReceiverReportBuilder, Registry, Slot as Place};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::interceptor_registry::configure_twcc_receiver_only;
use rtc::peer_connection::transport::{
    RTCDtlsRole, RTCDtlsTransportState, RTCIceCandidateInit, RTCIceServer,
};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability, RTCRtpRtxParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::transport::DtlsTransport;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceGatheringState, RTCPeerConnectionIceEvent, RTCPeerConnectionState, RTCSessionDescription,
    SettingEngineBuilder,
};
use webrtc::runtime::Runtime;

use super::agreement::Agreement;
use super::inlet::Inlet;
use super::outlet::{Outlet, PLAYOUT_DELAY_URI, Start};
use super::runtime::PeerRuntime;
use super::sdp::{self, Description, Match};
use super::tcp::{self, Door, Registration};
use super::{IceServer, SfuError};
use crate::media::{Codec, TrackKind};

/// ICE: no answer for 3 s shows, for 4 s more ends it; a keep-alive every second.
const ICE_TIMEOUTS: [Duration; 3] = [Duration::from_secs(3), Duration::from_secs(4), Duration::from_secs(1)];
/// How long an answer waits for our candidates: the host's own are there at once.
const GATHER_LOCAL: Duration = Duration::from_millis(500);
/// With STUN and TURN servers to ask, where their candidates must be in the answer.
const GATHER_SERVERS: Duration = Duration::from_secs(2);
/// How often a connection is looked at for the other side's goodbye.
const LOOK: Duration = Duration::from_secs(1);
/// Candidates of an offer that are tried. More are skipped.
const CANDIDATES_MAX: usize = 64;
/// After all of the crate's own places.
const OUTLET_PLACE: usize = 14_000;
/// Before it: what the outlet is not meant to see.
const INLET_PLACE: usize = 13_500;
/// A publisher's connection lives until it is replaced or closed, whatever the network does meanwhile.
const PUBLISHER_TIMEOUTS: [Duration; 3] =
    [Duration::from_secs(3), Duration::from_secs(24 * 3_600), Duration::from_secs(1)];
/// Packets that may come out of order.
const REPLAY_WINDOW: usize = 1_024;
/// What a connection binds for TCP; the door's addresses take its place in the answer.
const TCP_PLACEHOLDER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// How a viewer's connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewerState {
    /// ICE and DTLS are under way.
    Connecting,
    Connected,
    /// Nothing heard for three seconds; it may come back.
    Disconnected,
    /// Over: it is being closed.
    Closed,
}

impl ViewerState {
    /// The name in JSON and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Closed => "closed",
        }
    }
}

/// A negotiated connection.
pub(super) struct Peer {
    pub(super) connection: Arc<dyn PeerConnection>,
    pub(super) outlet: Outlet,
    /// The track whose channel wakes the driver, where something is sent.
    pub(super) waker: Option<Arc<TrackLocalStaticRTP>>,
    /// Where what the peer sends arrives, where it may.
    pub(super) inlet: Option<Inlet>,
    pub(super) state: watch::Receiver<ViewerState>,
    /// Cancelled when the connection is over.
    pub(super) over: CancellationToken,
    pub(super) remote_ufrag: String,
    pub(super) answer: String,
    /// Candidates of ours, those of the answer among them.
    pub(super) candidates: mpsc::Receiver<String>,
    pub(super) tcp: Option<Arc<Registration>>,
}

/// What a connection is built from, besides the offer.
pub(super) struct Materials<'a> {
    pub(super) ice_servers: &'a [IceServer],
    pub(super) tasks: &'a TaskTracker,
    /// Open, where TCP is offered.
    pub(super) door: Option<&'a Door>,
    pub(super) sockets: Vec<SocketAddr>,
    /// Time of day now, since 1970.
    pub(super) wall: Duration,
    pub(super) rng: SmallRng,
    /// The viewer's name in logs.
    pub(super) label: &'a str,
    /// The other side is told of candidates that come after the answer.
    pub(super) trickle: bool,
}

/// Builds the connection and answers the offer.
pub(super) async fn answer(
    materials: Materials<'_>,
    agreement: &Agreement,
    description: &Description,
    offer: &str,
) -> Result<Peer, SfuError> {
    let Materials { ice_servers, tasks, door, sockets, wall, mut rng, label, trickle } = materials;
    let addresses: Vec<IpAddr> = sockets.iter().map(SocketAddr::ip).collect();
    let (guest, streams) = door.map(|_| tcp::guest_channel()).unzip();
    let runtime = Arc::new(PeerRuntime::new(tasks.clone(), streams));
    let mut start = || Start { timestamp: rng.random(), sequence: rng.random() };
    let outlet = Outlet::new(wall, runtime.now());
    let mut registry = Registry::new().with(Place::from(OUTLET_PLACE), outlet.interceptor(start(), start()));

    let mut engine = MediaEngine::default();
    for (kind, (codec, found)) in agreement.formats() {
        register(&mut engine, kind, *codec, found)?;
    }
    let mut tracks = Vec::new();
    for (kind, sides) in [(TrackKind::Video, &agreement.video), (TrackKind::Audio, &agreement.audio)] {
        let Some((codec, found)) = sides.first() else { continue };
        let codec = rtp_codec(kind, *codec, found)?;
        tracks.push((kind, track(kind, codec, found.repair.is_some(), [rng.random(), rng.random()], label)));
    }
    let inlet = agreement.takes().then(|| Inlet::new(agreement.expected(), rng.random(), runtime.now()));
    if let Some(inlet) = &inlet {
        registry = registry.with(Place::from(INLET_PLACE), inlet.interceptor());
        registry = registry.with(Place::ReceiverReport, ReceiverReportBuilder::new().build());
        registry = configure_twcc_receiver_only(registry, &mut engine).map_err(internal)?;
    }
    let waker = tracks.first().map(|(_, track)| Arc::clone(track));
    if waker.is_none() && inlet.is_none() {
        return Err(SfuError::NoCommonCodec("there is nothing to play".to_owned()));
    }

    // What a phone publishes waits for it to come back; a viewer just calls again.
    let timeouts = if inlet.is_some() { PUBLISHER_TIMEOUTS } else { ICE_TIMEOUTS };
    let [disconnected, failed, keep_alive] = timeouts.map(Some);
    // Saves a flight: the browser speaks first, and it is ready by then.
    let role = if sdp::is_passive(offer) { RTCDtlsRole::Client } else { RTCDtlsRole::Server };
    let settings = SettingEngineBuilder::new()
        .with_answering_dtls_role(role)
        .with_ice_timeouts(disconnected, failed, keep_alive)
        // Names under `.local` need no resolving: such a peer's checks reach us first.
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        // Repairs without a stream of their own come late.
        .with_srtp_replay_protection_window(REPLAY_WINDOW)
        .build();
    let servers = ice_servers.iter().map(|server| RTCIceServer {
        urls: server.urls.clone(),
        username: server.username.clone(),
        credential: server.credential.reveal().clone(),
    });
    let configuration = RTCConfigurationBuilder::new().with_ice_servers(servers.collect()).build();

    let (state, states) = watch::channel(ViewerState::Connecting);
    let (gathered, mut gathering) = watch::channel(false);
    let over = CancellationToken::new();
    let (own, candidates) = mpsc::channel(CANDIDATES_MAX);
    let events = Events { label: label.to_owned(), state, gathered, over: over.clone(), candidates: own };
    let connection = PeerConnectionBuilder::new()
        .with_configuration(configuration)
        .with_media_engine(engine)
        .with_setting_engine(settings)
        .with_interceptor_registry(registry)
        .with_runtime(Arc::clone(&runtime) as Arc<dyn Runtime>)
        .with_handler(Arc::new(events))
        .with_udp_addrs(sockets)
        .with_tcp_addrs(door.map(|_| TCP_PLACEHOLDER).into_iter().collect())
        .build()
        .await
        .map_err(|error| match error.to_string() {
            // The crate has no other word for it: the port was free, and is no more.
            text if text.contains("no udp_sockets") => SfuError::NoPort,
            text => SfuError::Internal(text),
        })?;
    let connection: Arc<dyn PeerConnection> = Arc::new(connection);
    let mut unfinished = Unfinished(Some((Arc::clone(&connection), runtime)));

    for (kind, track) in &tracks {
        let track = Arc::clone(track) as Arc<dyn TrackLocal>;
        if agreement.room {
            let direction = direction(description, *kind);
            let init = RTCRtpTransceiverInit { direction, streams: Vec::new(), send_encodings: Vec::new() };
            connection.add_transceiver_from_track(track, Some(init)).await.map_err(internal)?;
        } else {
            connection.add_track(track).await.map_err(internal)?;
        }
    }
    let patience = if trickle || ice_servers.is_empty() { GATHER_LOCAL } else { GATHER_SERVERS };
    let gathered = async {
        // Late or missing candidates are no failure: those that are there may do.
        let _ = tokio::time::timeout(patience, gathering.wait_for(|gathered| *gathered)).await;
    };
    let answer = negotiate(&*connection, agreement, offer, &addresses, label, gathered).await?;
    let (answer, tcp) = match (door, guest, sdp::ufrag(&answer)) {
        (Some(door), Some(guest), Some(ufrag)) => {
            let registration = door.register(ufrag, guest);
            (tcp::rewrite_candidates(&answer, &addresses, door.port()), Some(Arc::new(registration)))
        }
        _ => (answer, None),
    };

    unfinished.0 = None;
    let remote_ufrag = sdp::ufrag(offer).unwrap_or_default().to_owned();
    Ok(Peer { connection, outlet, waker, inlet, state: states, over, remote_ufrag, answer, candidates, tcp })
}

/// One exchange of offer and answer, the first or a later one.
pub(super) async fn negotiate(
    connection: &dyn PeerConnection,
    agreement: &Agreement,
    offer: &str,
    addresses: &[IpAddr],
    label: &str,
    gathered: impl Future<Output = ()>,
) -> Result<String, SfuError> {
    let (description, candidates) = without_candidates(offer);
    let description = match agreement.room {
        true => sdp::narrow(&description, &agreement.payload_types()),
        false => description,
    };
    let description = RTCSessionDescription::offer(description).map_err(|e| malformed(&e))?;
    connection.set_remote_description(description).await.map_err(|e| malformed(&e))?;
    let mut skipped = 0;
    let local = addresses.iter().any(IpAddr::is_loopback);
    for candidate in candidates {
        let usable = sdp::reaches_out(&candidate, local);
        let candidate = RTCIceCandidateInit { candidate, ..RTCIceCandidateInit::default() };
        skipped += usize::from(!usable || connection.add_ice_candidate(candidate).await.is_err());
    }
    if skipped > 0 {
        tracing::debug!(viewer = label, skipped, "candidates of the offer that could not be added");
    }
    let answer = connection.create_answer(None).await.map_err(|e| malformed(&e))?;
    connection.set_local_description(answer).await.map_err(|e| malformed(&e))?;
    gathered.await;
    let answer = connection.local_description().await.map(|description| description.sdp);
    let answer = answer.ok_or_else(|| SfuError::Internal("there is no local description".to_owned()))?;
    let answer = sdp::settle(&answer, agreement.takes());
    check(&answer, agreement)?;
    Ok(answer)
}

/// Which way a track of ours is offered, so that the crate puts it into the section that is meant: beside
/// what the peer sends only where the peer's section goes both ways.
fn direction(offer: &Description, kind: TrackKind) -> RTCRtpTransceiverDirection {
    let name = match kind {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
    };
    let mut sections = offer.sections.iter().filter(|s| s.kind == name && s.receives);
    match sections.next() {
        Some(section) if section.sends => RTCRtpTransceiverDirection::Sendrecv,
        _ => RTCRtpTransceiverDirection::Sendonly,
    }
}

impl Peer {
    /// The pair of candidates in use, for the log.
    pub(super) async fn path(&self) -> Option<String> {
        let ice = self.transport().await?.ice_transport();
        Some(ice.get_selected_candidate_pair().await.ok()??.to_string())
    }

    /// Waits until the other side has said goodbye. The crate tells nobody: without looking, a viewer that
    /// left would be noticed when ICE gives up, seven seconds later.
    pub(super) async fn left(&self) {
        loop {
            // There may be none yet: of a connection that only receives it is known late.
            if let Some(transport) = self.transport().await
                && !matches!(transport.state().await, Ok(state) if state != RTCDtlsTransportState::Closed)
            {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn transport(&self) -> Option<Arc<dyn DtlsTransport>> {
        if let Some(sender) = self.connection.get_senders().await.into_iter().next() {
            return sender.transport().await.ok()?;
        }
        let receiver = self.connection.get_receivers().await.into_iter().next()?;
        receiver.transport().await.ok()?
    }
}

/// Closes a connection whose negotiation was left half way.
struct Unfinished(Option<(Arc<dyn PeerConnection>, Arc<PeerRuntime>)>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some((connection, runtime)) = self.0.take() {
            runtime.spawn(Box::pin(async move {
                let _ = connection.close().await;
            }));
        }
    }
}

/// The answer must send what was agreed.
fn check(answer: &str, agreement: &Agreement) -> Result<(), SfuError> {
    let answer = Description::parse(answer).map_err(|error| SfuError::Internal(error.to_string()))?;
    let [mut sends, mut takes] =
        [(&agreement.video, &agreement.audio), (&agreement.takes_video, &agreement.takes_audio)].map(
            |(video, audio)| match (video.is_empty(), audio.is_empty()) {
                (false, _) => Some("video"),
                (true, false) => Some("audio"),
                (true, true) => None,
            },
        );
    for section in &answer.sections {
        if section.sends {
            sends.take_if(|kind| *kind == section.kind);
        }
        if section.receives {
            takes.take_if(|kind| *kind == section.kind);
        }
    }
    match sends.or(takes) {
        None => Ok(()),
        Some(kind) => Err(SfuError::NoCommonCodec(format!("the offer's {kind} section was refused"))),
    }
}

/// Splits the candidates off, so that a bad one spoils nothing but itself.
fn without_candidates(offer: &str) -> (String, Vec<String>) {
    let mut candidates = Vec::new();
    let mut rest = String::with_capacity(offer.len());
    for line in offer.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        match line.strip_prefix("a=") {
            Some(candidate) if candidate.starts_with("candidate:") => {
                if candidates.len() < CANDIDATES_MAX {
                    candidates.push(candidate.to_owned());
                }
            }
            _ => {
                rest.push_str(line);
                rest.push_str("\r\n");
            }
        }
    }
    (rest, candidates)
}

fn rtp_codec(kind: TrackKind, codec: Codec, found: &Match) -> Result<RTCRtpCodec, SfuError> {
    let feedback =
        |typ: &str, parameter: &str| RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() };
    let name = match codec {
        Codec::H264 => "H264",
        Codec::Vp8 => "VP8",
        Codec::Vp9 => "VP9",
        Codec::Av1 => "AV1",
        Codec::Opus => "opus",
        Codec::Pcmu => "PCMU",
        Codec::Pcma => "PCMA",
        other => return Err(SfuError::NoCommonCodec(format!("{other} has no place in WebRTC"))),
    };
    let rtcp_feedback = match kind {
        TrackKind::Video => vec![feedback("nack", ""), feedback("nack", "pli"), feedback("ccm", "fir")],
        TrackKind::Audio => Vec::new(),
    };
    // As the offer has it, the line is an exact match for itself.
    Ok(RTCRtpCodec {
        mime_type: format!("{}/{name}", prefix(kind)),
        clock_rate: found.format.clock_rate,
        channels: found.format.channels,
        sdp_fmtp_line: found.format.fmtp.clone(),
        rtcp_feedback,
    })
}

const fn prefix(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
    }
}

fn register(engine: &mut MediaEngine, kind: TrackKind, codec: Codec, found: &Match) -> Result<(), SfuError> {
    let rtp_codec = rtp_codec(kind, codec, found)?;
    let sort = match kind {
        TrackKind::Video => RtpCodecKind::Video,
        TrackKind::Audio => RtpCodecKind::Audio,
    };
    let payload_type = found.format.payload_type;
    engine.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, sort).map_err(internal)?;
    if let Some(repair) = found.repair {
        let repair_codec = RTCRtpCodec {
            mime_type: format!("{}/rtx", prefix(kind)),
            clock_rate: found.format.clock_rate,
            channels: 0,
            sdp_fmtp_line: format!("apt={payload_type}"),
            rtcp_feedback: Vec::new(),
        };
        let repair = RTCRtpCodecParameters { rtp_codec: repair_codec, payload_type: repair };
        engine.register_codec(repair, sort).map_err(internal)?;
    }
    if kind == TrackKind::Video {
        let extension = RTCRtpHeaderExtensionCapability { uri: PLAYOUT_DELAY_URI.to_owned() };
        engine.register_header_extension(extension, sort, None).map_err(internal)?;
    }
    Ok(())
}

fn track(
    kind: TrackKind,
    codec: RTCRtpCodec,
    repaired: bool,
    [ssrc, repair]: [u32; 2],
    label: &str,
) -> Arc<TrackLocalStaticRTP> {
    let (sort, name) = match kind {
        TrackKind::Video => (RtpCodecKind::Video, "video"),
        TrackKind::Audio => (RtpCodecKind::Audio, "audio"),
    };
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            rtx: repaired.then_some(RTCRtpRtxParameters { ssrc: repair }),
            ..RTCRtpCodingParameters::default()
        },
        codec,
        ..RTCRtpEncodingParameters::default()
    };
    // One stream for both, so that the browser keeps sound and picture together.
    let stream = format!("nightjar-{label}");
    let track = MediaStreamTrack::new(stream, name.to_owned(), name.to_owned(), sort, vec![coding]);
    Arc::new(TrackLocalStaticRTP::new(track))
}

/// What the connection's driver tells. It must not be held up.
struct Events {
    label: String,
    state: watch::Sender<ViewerState>,
    gathered: watch::Sender<bool>,
    over: CancellationToken,
    candidates: mpsc::Sender<String>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        tracing::debug!(viewer = self.label, kind = %event.candidate.typ, "own candidate");
        // Those for TCP name the listener that only our door knows; the answer has the door's own.
        let tcp =
            |own: &str| own.split_ascii_whitespace().nth(2).is_some_and(|w| w.eq_ignore_ascii_case("tcp"));
        if let Some(own) = event.candidate.to_json().ok().filter(|own| !tcp(&own.candidate)) {
            // Full means that nobody takes them: the answer has them too.
            let _ = self.candidates.try_send(own.candidate);
        }
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.send_replace(true);
        }
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let state = match state {
            RTCPeerConnectionState::Connected => ViewerState::Connected,
            RTCPeerConnectionState::Disconnected => ViewerState::Disconnected,
            RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => ViewerState::Closed,
            _ => ViewerState::Connecting,
        };
        if self.state.send_replace(state) != state {
            tracing::info!(viewer = self.label, state = state.name(), "viewer's connection");
        }
        if state == ViewerState::Closed {
            self.over.cancel();
        }
    }
}

fn internal(error: impl std::fmt::Display) -> SfuError {
    SfuError::Internal(error.to_string())
}

fn malformed(error: &impl std::fmt::Display) -> SfuError {
    SfuError::Malformed(error.to_string())
}
