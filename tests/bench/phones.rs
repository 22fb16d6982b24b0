//! Many phones in one process, for the figures of `npm run bench`: each publishes H.264 by WHIP.
//!
//! `nightjar-bench-phones URL hold N KBITS` publishes N phones in the rooms `crowd_1` and so on, each with so
//! many kbit/s, says `{"publishing":N}` when all are connected, then answers each line of its input with the
//! packets sent so far, and says goodbye when the input ends. `… URL cycle N KBITS` publishes half a second of
//! pictures in the room `crowd` and leaves, N times, one after the other, and says `{"cycle":n}` after each.
//! The pictures are well-formed to whoever does not decode them: parameters, key frames, slices.

#![allow(clippy::print_stdout)]

mod endpoint;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use endpoint::{Endpoint, PATIENCE, questions};
use rtc::media_stream::MediaStreamTrack;
use rtc::peer_connection::configuration::interceptor_registry::register_default_interceptors;
use rtc::rtp;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCIceGatheringState,
    RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngineBuilder,
};

/// Between two dials of `hold`.
const PACE: Duration = Duration::from_millis(30);
const FPS: u64 = 25;
/// Pictures from one key frame to the next; a key frame has the size of four pictures.
const GOP: u64 = 50;
/// Pictures of a cycle, and how fast they follow each other.
const SHORT: u64 = 12;
const SHORT_PACE: Duration = Duration::from_millis(10);
const PAYLOAD: usize = 1_150;
/// That of the profile below, as the crate offers it.
const PAYLOAD_TYPE: u8 = 125;
/// Baseline, 1280×720.
const SPS: &[u8] = &[
    0x67, 0x42, 0xc0, 0x1f, 0xd9, 0x00, 0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00,
    0x00, 0x03, 0x03, 0x20, 0xf1, 0x83, 0x24, 0x80,
];
const PPS: &[u8] = &[0x68, 0xcb, 0x83, 0xcb, 0x20];

struct Events {
    gathered: watch::Sender<bool>,
    state: watch::Sender<RTCPeerConnectionState>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered.send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.state.send_replace(state);
    }
}

/// Makes packets of pictures.
struct Camera {
    sequence: u16,
    picture: u64,
    /// Bytes of a picture between key frames.
    size: usize,
    ssrc: u32,
}

impl Camera {
    fn new(ssrc: u32, kbits: u64) -> Self {
        // So that a group of pictures with its key frame has the rate that was asked for.
        let group = kbits * 1_000 / 8 * GOP / FPS;
        let size = usize::try_from(group / (GOP + 3)).unwrap_or(usize::MAX).max(64);
        Self { sequence: 1, picture: 0, size, ssrc }
    }

    fn next(&mut self) -> Vec<rtp::Packet> {
        let key = self.picture.is_multiple_of(GOP);
        let mut payloads = Vec::new();
        let mut rest = if key { self.size * 4 } else { self.size };
        if key {
            // Both sets in one packet, as phones send them (RFC 6184, 5.7.1).
            let mut sets = vec![0x78];
            for set in [SPS, PPS] {
                sets.extend_from_slice(&u16::try_from(set.len()).unwrap_or_default().to_be_bytes());
                sets.extend_from_slice(set);
            }
            payloads.push(Bytes::from(sets));
        }
        let (kind, mut first) = (if key { 5 } else { 1 }, true);
        while rest > 0 {
            let length = rest.min(PAYLOAD);
            rest -= length;
            // FU-A (RFC 6184, 5.8).
            let mut part = vec![0x7c, kind | u8::from(first) << 7 | u8::from(rest == 0) << 6];
            part.resize(2 + length, 0xb5);
            if first {
                part[2] = 0x88;
            }
            first = false;
            payloads.push(Bytes::from(part));
        }
        let count = payloads.len();
        let timestamp = u32::try_from(self.picture * 90_000 / FPS % (1 << 32)).unwrap_or_default();
        self.picture += 1;
        let packet = |(i, payload)| {
            let header = rtp::Header {
                version: 2,
                marker: i + 1 == count,
                payload_type: PAYLOAD_TYPE,
                sequence_number: self.sequence.wrapping_add(u16::try_from(i).unwrap_or_default()),
                timestamp,
                ssrc: self.ssrc,
                ..rtp::Header::default()
            };
            rtp::Packet { header, payload }
        };
        let packets = payloads.into_iter().enumerate().map(packet).collect();
        self.sequence = self.sequence.wrapping_add(u16::try_from(count).unwrap_or_default());
        packets
    }
}

struct Phone {
    connection: Arc<dyn PeerConnection>,
    track: Arc<TrackLocalStaticRTP>,
    session: String,
    camera: Camera,
}

impl Phone {
    async fn publish(endpoint: &Endpoint, number: u32, kbits: u64) -> anyhow::Result<Self> {
        let mut engine = MediaEngine::default();
        engine.register_default_codecs()?;
        let registry = register_default_interceptors(Registry::new(), &mut engine)?;
        let (gathered, mut gathering) = watch::channel(false);
        let (state, mut states) = watch::channel(RTCPeerConnectionState::New);
        let settings = SettingEngineBuilder::new()
            .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
            .build();
        let connection = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_setting_engine(settings)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Events { gathered, state }))
            .with_udp_addrs(vec!["127.0.0.1:0"])
            .build()
            .await?;
        let connection: Arc<dyn PeerConnection> = Arc::new(connection);
        let ssrc = 1_000 + number;
        let track = track(ssrc);
        let send = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: Vec::new(),
            send_encodings: Vec::new(),
        };
        let local = Arc::clone(&track) as Arc<dyn TrackLocal>;
        connection.add_transceiver_from_track(local, Some(send)).await?;
        let offer = connection.create_offer(None).await?;
        connection.set_local_description(offer).await?;
        timeout(PATIENCE, gathering.wait_for(|done| *done)).await??;
        let offer = connection.local_description().await.context("it was set")?.sdp;
        let (session, answer) = endpoint.offer(&offer).await?;
        connection.set_remote_description(RTCSessionDescription::answer(answer)?).await?;
        timeout(PATIENCE, states.wait_for(|state| *state == RTCPeerConnectionState::Connected)).await??;
        Ok(Self { connection, track, session, camera: Camera::new(ssrc, kbits) })
    }

    /// Sends a picture; how many packets it was.
    async fn film(&mut self) -> anyhow::Result<u64> {
        let packets = self.camera.next();
        let count = packets.len() as u64;
        for packet in packets {
            self.track.write_rtp(packet).await?;
        }
        Ok(count)
    }

    async fn leave(self, endpoint: &Endpoint) -> anyhow::Result<()> {
        endpoint.end(&self.session).await?;
        self.connection.close().await?;
        Ok(())
    }
}

fn track(ssrc: u32) -> Arc<TrackLocalStaticRTP> {
    let feedback =
        |typ: &str, parameter: &str| RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() };
    let codec = RTCRtpCodec {
        mime_type: "video/H264".to_owned(),
        clock_rate: 90_000,
        channels: 0,
        sdp_fmtp_line: "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f".to_owned(),
        rtcp_feedback: vec![feedback("nack", ""), feedback("nack", "pli")],
    };
    let coding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(ssrc),
            ..RTCRtpCodingParameters::default()
        },
        codec,
        ..RTCRtpEncodingParameters::default()
    };
    let (stream, id) = (format!("phone-{ssrc}"), "video".to_owned());
    let track = MediaStreamTrack::new(stream, id.clone(), id, RtpCodecKind::Video, vec![coding]);
    Arc::new(TrackLocalStaticRTP::new(track))
}

fn room(base: &str, name: &str) -> anyhow::Result<Endpoint> {
    Endpoint::parse(&format!("{}/api/v1/whip/{name}", base.trim_end_matches('/')))
}

async fn hold(base: &str, count: u32, kbits: u64) -> anyhow::Result<()> {
    let sent = Arc::new(AtomicU64::new(0));
    let (stop, stopped) = watch::channel(false);
    let mut tasks = Vec::new();
    for number in 1..=count {
        let endpoint = room(base, &format!("crowd_{number}"))?;
        let mut phone = Phone::publish(&endpoint, number, kbits).await?;
        let (sent, mut stopped) = (Arc::clone(&sent), stopped.clone());
        tasks.push(tokio::spawn(async move {
            let mut pace = interval(Duration::from_millis(1_000 / FPS));
            pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
            loop {
                tokio::select! {
                    _ = stopped.changed() => break,
                    _ = pace.tick() => {
                        sent.fetch_add(phone.film().await?, Relaxed);
                    }
                }
            }
            phone.leave(&endpoint).await
        }));
        sleep(PACE).await;
    }
    println!("{{\"publishing\":{count}}}");
    let mut lines = questions();
    while lines.recv().await.is_some() {
        println!("{{\"packets\":{}}}", sent.load(Relaxed));
    }
    stop.send_replace(true);
    for task in tasks {
        task.await??;
    }
    Ok(())
}

async fn cycle(base: &str, count: u32, kbits: u64) -> anyhow::Result<()> {
    let endpoint = room(base, "crowd")?;
    for n in 1..=count {
        let mut phone = Phone::publish(&endpoint, n, kbits).await?;
        for _ in 0..SHORT {
            phone.film().await?;
            sleep(SHORT_PACE).await;
        }
        phone.leave(&endpoint).await?;
        println!("{{\"cycle\":{n}}}");
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, what, count, kbits] = &args[..] else { bail!("URL hold|cycle N KBITS") };
    let (count, kbits) = (count.parse()?, kbits.parse()?);
    match what.as_str() {
        "hold" => hold(url, count, kbits).await,
        "cycle" => cycle(url, count, kbits).await,
        _ => bail!("hold or cycle"),
    }
}
