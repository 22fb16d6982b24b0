//! Where signaling and the engine meet: the relay on one side, the engine's seat for phones on the other.
//!
//! It translates and decides nothing, but for one thing: who may join a room by its name, as the older clients
//! do. That is this machine itself, or who shows the key of the rooms, and only when switched on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use nightjar_engine::config::{Config, Webrtc};
use nightjar_engine::engine::{
    Capture, EngineHandle, KnownPhone, PeerCandidate, PeerCard, PeerRole, PhoneAnswer, PhonePeer, PhoneState,
    PhoneStats, SignalLink, ToPeer, Why,
};
use nightjar_engine::env::{Env, Secret};
use nightjar_signaling::message::{self, Candidate, Hidden, IceServer, MediaStatus, Role, Sdp, State, Stats};
use nightjar_signaling::relay::keys::{Device, WhipToken, WhipTokens, random};
use nightjar_signaling::relay::{
    self, Answered, Card, Chair, Desk, Keep, Link, Mode, Nature, Relay, Signer, Terms,
};
use subtle::ConstantTimeEq as _;
use tracing::{debug, info};

use crate::guard;
use crate::phones::{Kept, NotKept};

/// Signaling, as the routes see it.
pub(crate) struct Signal {
    pub(crate) relay: Relay,
    whip: Mutex<WhipTokens>,
    kept: Option<Arc<Kept>>,
    env: Env,
    legacy_join: bool,
    room_key: Option<Secret<String>>,
}

/// Who this relay is, and whom it knows.
#[derive(Default)]
pub(crate) struct Identity {
    pub(crate) relay_id: String,
    pub(crate) signer: Option<Arc<dyn Signer>>,
    pub(crate) devices: Vec<Device>,
}

impl Signal {
    /// Starts the relay, where it is switched on.
    pub(crate) fn start(
        engine: &EngineHandle,
        env: &Env,
        identity: Identity,
        kept: Option<Arc<Kept>>,
    ) -> Option<Self> {
        let config: &Config = engine.config();
        let signaling = &config.signaling;
        if !signaling.enabled {
            return None;
        }
        let Identity { relay_id, signer, devices } = identity;
        let keep = kept.clone().map(|kept| kept as Arc<dyn Keep>);
        let whip = WhipTokens::new(kept.as_ref().map(|kept| kept.whip()).unwrap_or_default());
        let ice_servers = ice_servers(&config.webrtc);
        let terms = Terms {
            mode: Mode::Desk,
            relay_id,
            signer,
            ice_servers: Arc::new(move |_, _| ice_servers.clone()),
            tcp: config.webrtc.tcp_port != 0,
        };
        let desk: Arc<dyn Desk> = Arc::new(Front { engine: engine.clone() });
        let nature = Arc::new(Natural(env.clone()));
        let relay = Relay::start(relay::Parts { terms, devices, desk: Some(desk), keep, nature });
        Some(Self {
            relay,
            whip: Mutex::new(whip),
            kept,
            env: env.clone(),
            legacy_join: signaling.legacy_join,
            room_key: signaling.room_key.clone(),
        })
    }

    /// The phones that were let in.
    pub(crate) fn known(&self) -> Vec<KnownPhone> {
        let devices = self.relay.devices().into_iter();
        devices.map(|view| KnownPhone { peer_id: view.id, room: view.room, name: view.name }).collect()
    }

    fn whip(&self) -> MutexGuard<'_, WhipTokens> {
        self.whip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a text is a right to publish by WHIP in a room.
    pub(crate) fn whip_opens(&self, text: &str, room: &str) -> bool {
        self.whip().opens(text, room)
    }

    /// The rights that were given.
    pub(crate) fn whip_tokens(&self) -> Vec<WhipToken> {
        self.whip().list()
    }

    /// Gives one; its text is shown once. `None`: there are too many.
    ///
    /// # Errors
    /// Where it cannot be kept; then it was not given.
    pub(crate) async fn make_whip_token(
        &self,
        name: String,
        room: String,
    ) -> Result<Option<(WhipToken, String)>, NotKept> {
        let chance = |bytes: &mut [u8]| Natural(self.env.clone()).chance(bytes);
        let id = random::<9>(&chance);
        let made = self.whip().add(id, name, room, self.env.wall(), &chance);
        let Some((token, _)) = &made else { return Ok(None) };
        if let Err(error) = self.keep_whip(None).await {
            self.whip().remove(&token.id);
            if let Some(kept) = &self.kept {
                kept.keep_whip(self.whip_tokens());
            }
            return Err(error);
        }
        Ok(made)
    }

    /// Takes one back. Whether there was such a one.
    ///
    /// # Errors
    /// Where that cannot be kept; it opens nothing until the program ends.
    pub(crate) async fn remove_whip_token(&self, id: &str) -> Result<bool, NotKept> {
        let removed = self.whip().remove(id).is_some();
        if !removed && !self.owes(id) {
            return Ok(false);
        }
        self.keep_whip(Some(id)).await?;
        Ok(true)
    }

    /// Lets a phone in no more. Whether there was such a one.
    ///
    /// # Errors
    /// Where that cannot be kept; it is out until the program ends.
    pub(crate) async fn revoke(&self, device: &str) -> Result<bool, NotKept> {
        if !self.relay.revoke(device) && !self.owes(device) {
            return Ok(false);
        }
        if let Some(kept) = &self.kept {
            kept.flush(Some(device)).await?;
        }
        Ok(true)
    }

    /// Waits until what was decided up to now is kept.
    ///
    /// # Errors
    /// Where it cannot be; it holds until the program ends.
    pub(crate) async fn kept(&self) -> Result<(), NotKept> {
        match &self.kept {
            Some(kept) => kept.flush(None).await,
            None => Ok(()),
        }
    }

    /// Whether it was taken away, and that is not kept yet.
    fn owes(&self, id: &str) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.owes(id))
    }

    async fn keep_whip(&self, without: Option<&str>) -> Result<(), NotKept> {
        let Some(kept) = &self.kept else { return Ok(()) };
        kept.keep_whip(self.whip_tokens());
        kept.flush(without).await
    }

    /// Whether a connection may join a room by its name. `own`: it comes from this machine.
    pub(crate) fn lets_in(&self, own: bool, query: Option<&str>) -> bool {
        if !self.legacy_join {
            return false;
        }
        let shown = || guard::parameter(query, "key").or_else(|| guard::parameter(query, "k"));
        let key = |key: &Secret<String>| {
            shown().is_some_and(|shown| bool::from(shown.as_bytes().ct_eq(key.reveal().as_bytes())))
        };
        own || self.room_key.as_ref().is_some_and(key)
    }
}

fn ice_servers(webrtc: &Webrtc) -> Vec<IceServer> {
    let one = |server: &nightjar_engine::config::IceServer| IceServer {
        urls: server.urls.clone(),
        username: server.username.clone(),
        credential: server.credential.as_ref().map(|secret| Hidden(secret.reveal().clone())),
    };
    webrtc.ice_servers.iter().map(one).collect()
}

/// The engine's clock and chance.
struct Natural(Env);

impl Nature for Natural {
    fn wall(&self) -> SystemTime {
        self.0.wall()
    }

    fn chance(&self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(32) {
            part.copy_from_slice(&self.0.token::<32>()[..part.len()]);
        }
    }
}

/// The engine, as the relay's desk.
struct Front {
    engine: EngineHandle,
}

impl Desk for Front {
    fn join(&self, card: Card, link: Link) -> Result<Box<dyn Chair>, String> {
        let Card { peer_id, room, role, name, legacy } = card;
        let tag = Tag { peer: peer_id.chars().take(8).collect(), room: room.clone() };
        let role = match role {
            Some(Role::Publisher) => PeerRole::Publisher,
            Some(Role::Viewer) => PeerRole::Viewer,
            None => PeerRole::Unknown,
        };
        let card = PeerCard { peer_id, room, role, name, legacy };
        let line = Arc::new(Line { link, tag: tag.clone() });
        let peer = self.engine.join(card, line).map_err(|error| error.to_string())?;
        info!(tag = "SIGNAL", peer = tag.peer, room = tag.room, ?role, legacy, "joined");
        Ok(Box::new(Guest { peer, tag }))
    }
}

/// Of whom a line of the log speaks.
#[derive(Clone)]
struct Tag {
    /// The first eight characters of the peer's id.
    peer: String,
    room: String,
}

/// `host`, `srflx`, `prflx` or `relay`.
fn kind(candidate: &str) -> &str {
    let mut words = candidate.split(' ').skip_while(|word| !word.eq_ignore_ascii_case("typ"));
    words.nth(1).unwrap_or("?")
}

/// From the engine to a peer.
struct Line {
    link: Link,
    tag: Tag,
}

impl SignalLink for Line {
    fn send(&self, message: ToPeer) {
        let Tag { peer, room } = &self.tag;
        self.link.send(match message {
            ToPeer::Candidate { generation, candidate, mid, index } => {
                debug!(tag = "SIGNAL", peer, room, kind = kind(&candidate), "our candidate");
                let candidate = Candidate { candidate, sdp_mid: mid, sdp_m_line_index: index };
                relay::ToPeer::Candidate { generation, candidate }
            }
            ToPeer::RestartCapture { generation, reason } => {
                info!(tag = "SIGNAL", peer, room, reason, "told to restart its camera");
                relay::ToPeer::RestartCapture { generation, reason }
            }
            ToPeer::Reconnect { generation, reason } => {
                info!(tag = "SIGNAL", peer, room, reason, "told to reconnect");
                relay::ToPeer::Reconnect { generation, reason }
            }
            ToPeer::MediaStatus { generation, packets, frames, last_frame_ms, stage } => {
                let stage = stage.name().to_owned();
                let status = MediaStatus { pkts: packets, frames, last_frame_ms, stage };
                relay::ToPeer::MediaStatus { generation, status }
            }
            ToPeer::Bye { reason } => relay::ToPeer::Bye { reason },
        });
    }
}

/// A peer at the engine.
struct Guest {
    peer: PhonePeer,
    tag: Tag,
}

impl Chair for Guest {
    fn offer(&self, generation: u32, neg: u16, sdp: Sdp) -> BoxFuture<'_, Result<Answered, String>> {
        let Tag { peer, room } = &self.tag;
        async move {
            info!(tag = "SIGNAL", peer, room, generation, neg, "offer");
            match self.peer.offer(generation, neg, Secret::new(sdp.0)).await {
                Ok(PhoneAnswer { sdp, publishes }) => {
                    info!(tag = "SIGNAL", peer, room, generation, neg, publishes, "answer");
                    Ok(Answered { sdp: Sdp(sdp.reveal().clone()), publishes })
                }
                Err(error) => {
                    info!(tag = "SIGNAL", peer, room, generation, neg, %error, "offer refused");
                    Err(error.to_string())
                }
            }
        }
        .boxed()
    }

    fn candidate(&self, generation: u32, candidate: Option<Candidate>) {
        let Tag { peer, room } = &self.tag;
        let kind = candidate.as_ref().map_or("end", |candidate| kind(&candidate.candidate));
        debug!(tag = "SIGNAL", peer, room, generation, kind, "its candidate");
        let candidate = candidate.map(|c| PeerCandidate {
            candidate: c.candidate,
            mid: c.sdp_mid,
            index: c.sdp_m_line_index,
        });
        self.peer.candidate(generation, candidate);
    }

    fn state(&self, generation: u32, state: State) {
        let Tag { peer, room } = &self.tag;
        debug!(tag = "SIGNAL", peer, room, generation, capture = ?state.capture, why = ?state.why, "state");
        self.peer.state(PhoneState {
            generation,
            capture: match state.capture {
                message::Capture::Live => Capture::Live,
                message::Capture::Paused => Capture::Paused,
                message::Capture::Ended => Capture::Ended,
            },
            why: state.why.map(|why| match why {
                message::Why::Hidden => Why::Hidden,
                message::Why::Locked => Why::Locked,
                message::Why::Call => Why::Call,
                message::Why::Pressure => Why::Pressure,
                message::Why::User => Why::User,
            }),
            net: state.net,
            battery: state.battery,
            charging: state.charging,
            hot: state.hot.unwrap_or(false),
            thrift: state.thrift.unwrap_or(0),
            orientation: state.orientation,
        });
    }

    fn stats(&self, generation: u32, stats: Stats) {
        self.peer.stats(PhoneStats {
            generation,
            src_frames: stats.src_frames,
            enc: stats.enc,
            keys: stats.keys,
            pkts: stats.pkts,
            bytes: stats.bytes,
            pli: stats.pli,
            qlr: stats.qlr,
            target_bps: stats.target_bps,
            pair_rtt_ms: stats.pair_rtt_ms,
            resp: stats.resp,
            muted: stats.muted,
            vis: stats.vis,
        });
    }

    fn leave(self: Box<Self>) {
        info!(tag = "SIGNAL", peer = self.tag.peer, room = self.tag.room, "left");
        self.peer.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_s6_the_log_names_the_type_of_a_candidate() {
        assert_eq!(kind("candidate:1 1 udp 1 10.0.0.1 5 typ srflx raddr 0.0.0.0 rport 0"), "srflx");
        assert_eq!(kind("typ"), "?");
    }
}
