//! The far end of a connection: a viewer made of the same crates.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use rtc::peer_connection::sdp::RTCSessionDescription;
use rtc::peer_connection::transport::RTCDtlsTransportState;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::mpsc;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState, Registry,
    SettingEngineBuilder,
};
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

use super::*;

/// The far end.
pub(super) struct Far {
    pub(super) connection: Arc<dyn PeerConnection>,
    events: mpsc::Receiver<(RtpCodecKind, rtp::Packet)>,
    tracks: mpsc::Receiver<Arc<dyn TrackRemote>>,
    /// Sequence number that has to come next, by stream.
    expected: HashMap<u32, u16>,
}

struct FarEvents {
    packets: mpsc::Sender<(RtpCodecKind, rtp::Packet)>,
    tracks: mpsc::Sender<Arc<dyn TrackRemote>>,
    gathered: watch::Sender<bool>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for FarEvents {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered.send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let packets = self.packets.clone();
        self.tracks.try_send(Arc::clone(&track)).expect("few tracks");
        tokio::spawn(async move {
            let kind = track.kind().await;
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    packets.try_send((kind, packet)).expect("the test keeps up");
                }
            }
        });
    }
}

impl Far {
    /// An offer that receives the kinds, and the end it belongs to.
    pub(super) async fn offer(kinds: &[RtpCodecKind]) -> (Self, String) {
        let mut engine = MediaEngine::default();
        engine.register_default_codecs().expect("its own codecs");
        let (packets, events) = mpsc::channel(PACKETS);
        let (track, tracks) = mpsc::channel(4);
        let (gathered, mut gathering) = watch::channel(false);
        let settings = SettingEngineBuilder::new()
            .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
            .build();
        let connection = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_setting_engine(settings)
            .with_interceptor_registry(Registry::new())
            .with_handler(Arc::new(FarEvents { packets, tracks: track, gathered }))
            .with_runtime(Arc::new(OneByOne(TokioRuntime)))
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .with_tcp_addrs(vec!["127.0.0.1:0"])
            .build()
            .await
            .expect("a connection");
        let connection: Arc<dyn PeerConnection> = Arc::new(connection);
        for kind in kinds {
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                streams: Vec::new(),
                send_encodings: Vec::new(),
            };
            connection.add_transceiver_from_kind(*kind, Some(init)).await.expect("a transceiver");
        }
        let offer = connection.create_offer(None).await.expect("an offer");
        connection.set_local_description(offer).await.expect("its own offer");
        tokio::time::timeout(PATIENCE, gathering.wait_for(|done| *done))
            .await
            .expect("gathered")
            .expect("open");
        let offer = connection.local_description().await.expect("set").sdp;
        (Self { connection, events, tracks, expected: HashMap::new() }, offer)
    }

    pub(super) async fn watch(sfu: &Sfu, slot: &Slot, kinds: &[RtpCodecKind]) -> (Self, Answer) {
        let (far, offer) = Self::offer(kinds).await;
        let answer = sfu.watch("cam", slot, &offer).await.expect("answered");
        far.accept(&answer.sdp).await;
        (far, answer)
    }

    pub(super) async fn accept(&self, answer: &str) {
        let description = RTCSessionDescription::answer(answer.to_owned()).expect("an answer");
        self.connection.set_remote_description(description).await.expect("a fitting answer");
    }

    pub(super) async fn candidate(&self, candidate: &str) {
        let candidate =
            RTCIceCandidateInit { candidate: candidate.to_owned(), ..RTCIceCandidateInit::default() };
        self.connection.add_ice_candidate(candidate).await.expect("a candidate");
    }

    /// The next packet, whatever its number.
    pub(super) async fn raw(&mut self) -> (RtpCodecKind, rtp::Packet) {
        let next = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        next.expect("a packet in time").expect("the connection lives")
    }

    /// Streams that packets came from.
    pub(super) fn streams(&self) -> usize {
        self.expected.len()
    }

    /// The next packet; numbers must have no hole.
    pub(super) async fn packet(&mut self) -> (RtpCodecKind, rtp::Packet) {
        let (kind, packet) = self.raw().await;
        let sequence = packet.header.sequence_number;
        let expected = self.expected.entry(packet.header.ssrc).or_insert(sequence);
        assert_eq!(sequence, *expected, "no hole and no repeat");
        *expected = sequence.wrapping_add(1);
        (kind, packet)
    }

    /// The next picture: timestamp, its number, and the parameter set sent before it.
    pub(super) async fn picture(&mut self) -> (u32, i64, Option<Bytes>) {
        let (mut sps, mut body) = (None, Vec::new());
        loop {
            let (kind, packet) = self.packet().await;
            if kind != RtpCodecKind::Video {
                continue;
            }
            let payload = packet.payload;
            match payload[0] & 0x1f {
                24 => {
                    let length = usize::from(u16::from_be_bytes([payload[1], payload[2]]));
                    sps = Some(payload.slice(3..3 + length));
                }
                28 => body.extend_from_slice(&payload[2..]),
                _ => body.extend_from_slice(&payload[1..]),
            }
            if packet.header.marker {
                let n = i64::from_be_bytes(body[..8].try_into().expect("a number"));
                return (packet.header.timestamp, n, sps);
            }
        }
    }

    /// The next packet of sound.
    pub(super) async fn sound(&mut self) -> rtp::Packet {
        loop {
            let (kind, packet) = self.packet().await;
            if kind == RtpCodecKind::Audio {
                return packet;
            }
        }
    }

    /// The first track that was announced, and its stream.
    pub(super) async fn track(&mut self) -> (Arc<dyn TrackRemote>, u32) {
        let track = tokio::time::timeout(PATIENCE, self.tracks.recv()).await;
        let track = track.expect("a track in time").expect("open");
        let ssrc = track.ssrcs().await.pop().expect("one stream");
        (track, ssrc)
    }

    /// Waits until the other side has said goodbye.
    pub(super) async fn ended(&self) {
        let receiver = self.connection.get_receivers().await.pop().expect("it receives");
        let transport = receiver.transport().await.expect("open").expect("negotiated");
        let closed = async {
            while transport.state().await.expect("known") != RTCDtlsTransportState::Closed {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, closed).await.expect("told in time");
    }
}

/// A runtime whose sockets give one datagram at a time. The crate's driver drops media that it reads in
/// one go with the end of the DTLS handshake; a browser does not.
#[derive(Debug)]
struct OneByOne(TokioRuntime);

#[derive(Debug)]
struct OneByOneSocket(Arc<dyn AsyncUdpSocket>, AtomicBool);

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Runtime for OneByOne {
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        self.0.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(OneByOneSocket(self.0.wrap_udp_socket(socket)?, AtomicBool::new(false))))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        self.0.wrap_tcp_listener(listener)
    }

    fn connect_tcp(&self, to: SocketAddr) -> Boxed<'_, io::Result<Arc<dyn AsyncTcpStream>>> {
        self.0.connect_tcp(to)
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        self.0.resolve_host(host)
    }

    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        self.0.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.0.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.0.block_on(future);
    }
}

impl AsyncUdpSocket for OneByOneSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if self.1.swap(false, Ordering::Relaxed) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let received = self.0.poll_recv(cx, bufs, meta);
        self.1.store(received.is_ready(), Ordering::Relaxed);
        received
    }

    fn max_gro_segments(&self) -> usize {
        self.0.max_gro_segments()
    }
}
