//! What a camera is like: everything that is decided before it starts.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use crate::{Auth, Builtin, Clip, Fault};

/// The camera's make-up. Every field has a sensible default: a camera on a free loopback port that
/// shows the front door with AAC sound, without credentials.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The clip of the main stream (`/` and `/main`).
    pub clip: Clip,
    /// The clip of the sub-stream (`/sub`); without one `/sub` is 404.
    pub sub: Option<Clip>,
    /// The clip to which [`Fault::ChangeResolution`] changes.
    pub second: Clip,
    /// The sound track.
    pub sound: Sound,
    /// How much faster than it says the camera samples its sound, in parts per million: its crystal is another
    /// than that of the pictures.
    pub sound_drift: i16,
    /// Credentials the camera asks for.
    pub auth: Option<Auth>,
    /// Serve `rtsps` with a certificate made at the start.
    pub tls: bool,
    /// The fault at the start.
    pub fault: Fault,
    /// The session timeout that SETUP announces.
    pub session_timeout: Duration,
    /// End a session that sent no sign of life for one and a half session timeouts.
    pub expire_sessions: bool,
    /// Where H.264 and H.265 parameter sets stand.
    pub parameter_sets: ParameterSets,
    /// Fills frames up with filler data (H.264 and H.265) so that the main stream has this bit
    /// rate, in bit/s. Key frames get eight times the share of the others.
    pub bitrate: Option<u32>,
    /// At which frame a client begins.
    pub start: Start,
    /// Which transports SETUP accepts; others get 461.
    pub transports: Transports,
    /// Time between RTCP sender reports; the first one goes out at PLAY. Zero: none.
    pub sender_reports: Duration,
    /// How far the camera's clock is ahead in its clip at the start, so that several cameras with
    /// the same clip differ.
    pub offset: Duration,
    /// Odd but real behaviours of single makes.
    pub quirks: Quirks,
    /// The session name in the SDP (`s=`); one line.
    pub name: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            clip: Clip::builtin(Builtin::FrontDoor),
            sub: None,
            second: Clip::builtin(Builtin::Second),
            sound: Sound::Clip,
            sound_drift: 0,
            auth: None,
            tls: false,
            fault: Fault::None,
            session_timeout: Duration::from_secs(60),
            expire_sessions: true,
            parameter_sets: ParameterSets::Both,
            bitrate: None,
            start: Start::Live,
            transports: Transports::Both,
            sender_reports: Duration::from_secs(5),
            offset: Duration::ZERO,
            quirks: Quirks::default(),
            name: "Nightjar test camera".into(),
        }
    }
}

impl Options {
    /// The demo camera of that number, counted from 0; six look different, then they come again,
    /// at another place of their clip. The name is in [`Options::name`].
    pub fn demo(index: usize) -> Self {
        const LOOKS: [(Builtin, &str); 6] = [
            (Builtin::FrontDoor, "Front door"),
            (Builtin::Garden, "Garden"),
            (Builtin::Driveway, "Driveway"),
            (Builtin::LivingRoom, "Living room"),
            (Builtin::Street, "Street"),
            (Builtin::Harbour, "Harbour"),
        ];
        let (look, name) = LOOKS[index % LOOKS.len()];
        let round = index / LOOKS.len();
        Self {
            clip: Clip::builtin(look),
            sub: (look == Builtin::FrontDoor).then(|| Clip::builtin(Builtin::Sub)),
            name: if round == 0 { name.into() } else { format!("{name} {}", round + 1) },
            // Key frames of several cameras at once would make bursts.
            offset: Duration::from_millis(470 * index as u64 % 8000),
            ..Self::default()
        }
    }
}

/// The camera's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sound {
    /// The AAC track of the clip; none when the clip has none.
    #[default]
    Clip,
    /// A chime in G.711 µ-law, 8 kHz, made by the camera.
    Pcmu,
    /// The same in A-law.
    Pcma,
    /// No sound.
    Off,
}

/// Where the parameter sets of H.264 and H.265 stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParameterSets {
    /// In the SDP, and in band before each key frame.
    #[default]
    Both,
    /// In the SDP only.
    SdpOnly,
    /// In band only.
    InBandOnly,
}

/// Where in the stream a client begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// At the frame that is next, whatever it is, as real cameras do.
    #[default]
    Live,
    /// At the next key frame; sound begins at once.
    KeyFrame,
}

/// What SETUP accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transports {
    /// TCP interleaved and UDP unicast.
    #[default]
    Both,
    /// TCP interleaved only.
    Tcp,
    /// UDP unicast only.
    Udp,
}

/// What `a=control` of the SDP looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ControlUrls {
    /// `trackID=0`.
    #[default]
    Relative,
    /// The whole URL.
    Absolute,
    /// The whole URL with a host that is not the camera's, as behind a port forward.
    ForeignHost,
}

/// Behaviours that real cameras have and clients must live with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quirks {
    /// DESCRIBE answers with `Content-Base`.
    pub content_base: bool,
    /// SETUP's `Session` header shows the timeout.
    pub shows_timeout: bool,
    /// PLAY answers with `RTP-Info`.
    pub rtp_info: bool,
    /// OPTIONS lists GET_PARAMETER; without it the request is answered with 501.
    pub get_parameter: bool,
    /// The form of the control URLs.
    pub control: ControlUrls,
    /// A Digest nonce is stale after this long; zero: never.
    pub nonce_lifetime: Duration,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            content_base: true,
            shows_timeout: true,
            rtp_info: true,
            get_parameter: true,
            control: ControlUrls::Relative,
            nonce_lifetime: Duration::ZERO,
        }
    }
}
