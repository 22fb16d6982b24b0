//! Many WebRTC viewers in one process, for the figures of `npm run bench`: each dials a camera by WHEP,
//! receives, and counts what it gets.
//!
//! `nightjar-bench-viewers URL hold N` dials N viewers (of several addresses with a comma between, in turn), says `{"connected":N}`, then answers each line of
//! its input with a line of totals, and hangs up when the input ends. `… URL cycle N` dials and hangs up
//! N times, one after the other, and says `{"cycle":n}` after each. The receiving end is the same crate
//! that the SFU uses, with its default interceptors (NACK, receiver reports, transport feedback), so
//! that the sender has to do what a browser would ask of it. It does not decode.

#![allow(clippy::print_stdout)]

mod endpoint;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, bail};
use endpoint::{Endpoint, PATIENCE, questions};
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCSessionDescription, Registry, SettingEngineBuilder,
};

/// Between two dials of `hold`, as the study behind the goals had it.
const PACE: Duration = Duration::from_millis(30);
/// A cycle is over when this much came.
const ENOUGH: u64 = 20;
/// Packets among which one that comes again is known.
const WINDOW: usize = 8192;

#[derive(Default)]
struct Totals {
    packets: AtomicU64,
    bytes: AtomicU64,
    /// Packets that came a second time.
    again: AtomicU64,
    /// Numbers that never came, after repair.
    missing: AtomicI64,
}

struct Events {
    totals: Arc<Totals>,
    own: Arc<AtomicU64>,
    enough: Arc<Notify>,
    gathered: watch::Sender<bool>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered.send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let (totals, own, enough) =
            (Arc::clone(&self.totals), Arc::clone(&self.own), Arc::clone(&self.enough));
        tokio::spawn(async move {
            let mut newest: Option<u16> = None;
            // The numbers that came, each in its place: one that comes again is no news.
            let mut came = vec![None; WINDOW];
            while let Some(event) = track.poll().await {
                let TrackRemoteEvent::OnRtpPacket(packet) = event else { continue };
                totals.packets.fetch_add(1, Relaxed);
                totals.bytes.fetch_add(packet.payload.len() as u64, Relaxed);
                let number = packet.header.sequence_number;
                let again = came[usize::from(number) % WINDOW].replace(number) == Some(number);
                // A step ahead leaves holes; one that comes late fills one.
                match newest.map(|last| number.wrapping_sub(last)) {
                    _ if again => {
                        totals.again.fetch_add(1, Relaxed);
                    }
                    Some(step) if step > 0x8000 => {
                        totals.missing.fetch_sub(1, Relaxed);
                    }
                    step => {
                        totals.missing.fetch_add(i64::from(step.unwrap_or(1)) - 1, Relaxed);
                        newest = Some(number);
                    }
                }
                if own.fetch_add(1, Relaxed) + 1 == ENOUGH {
                    enough.notify_one();
                }
            }
        });
    }
}

struct Viewer {
    connection: Arc<dyn PeerConnection>,
    enough: Arc<Notify>,
    session: String,
}

impl Viewer {
    async fn dial(endpoint: &Endpoint, totals: &Arc<Totals>) -> anyhow::Result<Self> {
        let mut engine = MediaEngine::default();
        engine.register_default_codecs()?;
        let registry = register_default_interceptors(Registry::new(), &mut engine)?;
        let (gathered, mut gathering) = watch::channel(false);
        let enough = Arc::new(Notify::new());
        let events =
            Events { totals: Arc::clone(totals), own: Arc::default(), enough: Arc::clone(&enough), gathered };
        let settings = SettingEngineBuilder::new()
            .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
            .build();
        let connection = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_setting_engine(settings)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(events))
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .build()
            .await?;
        let connection: Arc<dyn PeerConnection> = Arc::new(connection);
        let receive = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Recvonly,
            streams: Vec::new(),
            send_encodings: Vec::new(),
        };
        connection.add_transceiver_from_kind(RtpCodecKind::Video, Some(receive)).await?;
        let offer = connection.create_offer(None).await?;
        connection.set_local_description(offer).await?;
        timeout(PATIENCE, gathering.wait_for(|done| *done)).await??;
        let offer = connection.local_description().await.context("it was set")?.sdp;
        let (session, answer) = endpoint.offer(&offer).await?;
        connection.set_remote_description(RTCSessionDescription::answer(answer)?).await?;
        Ok(Self { connection, enough, session })
    }

    /// Waits until media flows.
    async fn flows(&self) -> anyhow::Result<()> {
        timeout(PATIENCE, self.enough.notified()).await.context("no media came")
    }

    async fn hang_up(self, endpoint: &Endpoint) -> anyhow::Result<()> {
        endpoint.end(&self.session).await?;
        self.connection.close().await?;
        Ok(())
    }
}

async fn hold(endpoints: &[Endpoint], count: usize, totals: &Arc<Totals>) -> anyhow::Result<()> {
    let mut viewers = Vec::new();
    for endpoint in endpoints.iter().cycle().take(count) {
        viewers.push((endpoint, Viewer::dial(endpoint, totals).await?));
        sleep(PACE).await;
    }
    for (_, viewer) in &viewers {
        viewer.flows().await?;
    }
    println!("{{\"connected\":{count}}}");
    let mut lines = questions();
    while lines.recv().await.is_some() {
        let (packets, bytes) = (totals.packets.load(Relaxed), totals.bytes.load(Relaxed));
        let (missing, again) = (totals.missing.load(Relaxed), totals.again.load(Relaxed));
        println!("{{\"packets\":{packets},\"bytes\":{bytes},\"missing\":{missing},\"again\":{again}}}");
    }
    for (endpoint, viewer) in viewers {
        viewer.hang_up(endpoint).await?;
    }
    Ok(())
}

async fn cycle(endpoint: &Endpoint, count: usize, totals: &Arc<Totals>) -> anyhow::Result<()> {
    for n in 1..=count {
        let viewer = Viewer::dial(endpoint, totals).await?;
        viewer.flows().await?;
        viewer.hang_up(endpoint).await?;
        println!("{{\"cycle\":{n}}}");
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, what, count] = &args[..] else { bail!("URL hold|cycle N") };
    let endpoints: Vec<Endpoint> = url.split(',').map(Endpoint::parse).collect::<Result<_, _>>()?;
    let (count, totals) = (count.parse()?, Arc::default());
    match what.as_str() {
        "hold" => hold(&endpoints, count, &totals).await,
        "cycle" => cycle(&endpoints[0], count, &totals).await,
        _ => bail!("hold or cycle"),
    }
}
