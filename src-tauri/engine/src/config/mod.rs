//! What the user decides: one structure with one `Default`, read from TOML, checked in one place.
//!
//! Invariant: a [`Config`] that passed [`Config::parse`] is valid; nothing later has to check it again.
//! Every complaint names its field. Where it is kept is not known here, see [`ConfigStore`].

mod check;
mod disks;
mod store;

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use time::{OffsetDateTime, UtcOffset};

use crate::api::CameraSpec;
use crate::env::Secret;

pub use check::{
    DEMO_MAX, ID_MAX, Invalid, allowed_host, check_camera, check_shown, demo_camera, fingerprint,
    fingerprint_text, is_id,
};
pub use store::{ConfigStore, MemoryStore};

/// `nightjar.toml`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub server: Server,
    pub streaming: Streaming,
    pub recording: Recording,
    pub webrtc: Webrtc,
    pub signaling: Signaling,
    pub alerts: Alerts,
    /// Cameras of the file. They cannot be changed while running.
    pub camera: Vec<CameraSpec>,
}

/// `[server]`: the HTTP door.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    pub listen: SocketAddr,
    /// Asked of everybody when set; required beyond loopback.
    pub token: Option<Secret<String>>,
    /// The address people use, when it differs from `listen` (a proxy, a name).
    pub public_url: Option<String>,
    /// Names besides loopback, `listen` and `public_url` under which the server may be reached.
    pub allowed_hosts: Vec<String>,
    /// PEM files; both or none.
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8420)),
            token: None,
            public_url: None,
            allowed_hosts: Vec::new(),
            tls_cert: None,
            tls_key: None,
        }
    }
}

/// `[alerts]`: what is told, when and where.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Alerts {
    /// A loss must last this long, in seconds (0 to 3,600).
    pub after_seconds: u32,
    /// From and until when nobody is disturbed, as `"22:00"`, local time; both or none. What happens then
    /// stands in the list all the same.
    pub quiet_from: Option<Clock>,
    pub quiet_until: Option<Clock>,
    /// Each alert is also sent there, by POST. The address may hold a secret.
    pub webhook: Option<Secret<String>>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self { after_seconds: 10, quiet_from: None, quiet_until: None, webhook: None }
    }
}

impl Alerts {
    /// Whether nobody is to be disturbed at that time.
    #[must_use]
    pub fn is_quiet(&self, at: SystemTime) -> bool {
        let (Some(from), Some(until)) = (self.quiet_from, self.quiet_until) else { return false };
        let at = OffsetDateTime::from(at);
        // Where the system does not say where it is, its clock is taken as it stands.
        let local = UtcOffset::local_offset_at(at).map_or(at, |offset| at.to_offset(offset));
        let now = Clock::new(local.hour(), local.minute());
        if from <= until { from <= now && now < until } else { from <= now || now < until }
    }
}

/// A time of day, to the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Clock(u16);

impl Clock {
    const fn new(hour: u8, minute: u8) -> Self {
        Self(hour as u16 * 60 + minute as u16)
    }
}

impl std::fmt::Display for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl TryFrom<String> for Clock {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "must be a time of day such as 22:00";
        let (hour, minute) = text.split_once(':').ok_or(WRONG)?;
        let number = |digits: &str, limit: u8| {
            let plain = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse::<u8>().ok().filter(|n| plain && *n < limit).ok_or(WRONG)
        };
        Ok(Self::new(number(hour, 24)?, number(minute, 60)?))
    }
}

/// `[streaming]`: how cameras are held on to (R-K5). A camera may set any of these for itself.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Streaming {
    /// Limit of each step of connecting, in milliseconds (100 to 120,000).
    pub tcp_timeout: u32,
    /// Seconds between keep-alives, and for their answers (3 to 10).
    pub keepalive_timeout: u32,
    pub auto_reconnect: bool,
    /// In a row; 0 = for ever.
    pub max_reconnect_attempts: u32,
    /// The second wait; the first is none, later ones double up to 60 (1 to 60).
    pub reconnect_delay_seconds: u32,
}

impl Default for Streaming {
    fn default() -> Self {
        Self {
            tcp_timeout: 10_000,
            keepalive_timeout: 5,
            auto_reconnect: true,
            max_reconnect_attempts: 5,
            reconnect_delay_seconds: 5,
        }
    }
}

impl Streaming {
    /// These settings with a camera's own in front.
    #[must_use]
    pub fn for_camera(&self, camera: &CameraSpec) -> Self {
        Self {
            tcp_timeout: camera.tcp_timeout.unwrap_or(self.tcp_timeout),
            keepalive_timeout: camera.keepalive_timeout.unwrap_or(self.keepalive_timeout),
            auto_reconnect: camera.auto_reconnect.unwrap_or(self.auto_reconnect),
            max_reconnect_attempts: camera.max_reconnect_attempts.unwrap_or(self.max_reconnect_attempts),
            reconnect_delay_seconds: camera.reconnect_delay_seconds.unwrap_or(self.reconnect_delay_seconds),
        }
    }

    /// [`Streaming::tcp_timeout`] as a duration.
    #[must_use]
    pub fn step_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.tcp_timeout))
    }

    /// [`Streaming::keepalive_timeout`] as a duration.
    #[must_use]
    pub fn keepalive(&self) -> Duration {
        Duration::from_secs(u64::from(self.keepalive_timeout))
    }
}

/// `[recording]`: where recordings go, what a file is, and what stays (R-N1, R-N7).
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Recording {
    /// `<data-dir>/recordings` when left out.
    pub root: Option<PathBuf>,
    pub enabled: bool,
    pub segment_seconds: u32,
    /// 0 = no limit.
    pub segment_bytes: u64,
    pub retention_days: u32,
    pub min_free_gb: f64,
    pub overwrite: bool,
    /// What all recordings of a disk together may take; 0 = no limit.
    pub quota_gb: f64,
    /// Further disks, for cameras that name one.
    pub disk: Vec<Disk>,
}

/// `[[recording.disk]]`: one more root. What it does not say of itself is as in `[recording]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub name: String,
    pub root: PathBuf,
    #[serde(default)]
    pub min_free_gb: Option<f64>,
    #[serde(default)]
    pub quota_gb: Option<f64>,
}

impl Default for Recording {
    fn default() -> Self {
        Self {
            root: None,
            enabled: true,
            segment_seconds: 900,
            segment_bytes: 0,
            retention_days: 7,
            min_free_gb: 2.0,
            overwrite: true,
            quota_gb: 0.0,
            disk: Vec::new(),
        }
    }
}

/// `[webrtc]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Webrtc {
    /// First and last UDP port, such as `50000-50199`. A viewer needs one.
    #[serde(deserialize_with = "check::port_range")]
    pub udp_ports: RangeInclusive<u16>,
    /// 0 = off.
    pub tcp_port: u16,
    pub ice_servers: Vec<IceServer>,
}

impl Default for Webrtc {
    fn default() -> Self {
        Self { udp_ports: 50_000..=50_199, tcp_port: 0, ice_servers: Vec::new() }
    }
}

/// A STUN or TURN server.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    pub urls: Vec<String>,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub credential: Option<Secret<String>>,
}

/// `[signaling]`: the door for phones.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Signaling {
    pub enabled: bool,
    pub listen: SocketAddr,
    pub legacy_join: bool,
    pub room_key: Option<Secret<String>>,
}

impl Default for Signaling {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443)),
            legacy_join: false,
            room_key: None,
        }
    }
}

impl Config {
    /// Reads and checks a configuration file's text.
    ///
    /// # Errors
    /// [`Invalid`] names the first field that is not right.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let deserializer = toml::Deserializer::parse(text).map_err(|e| Invalid::syntax(text, &e))?;
        let mut config: Self =
            serde_path_to_error::deserialize(deserializer).map_err(|e| Invalid::shape(&e))?;
        for camera in &mut config.camera {
            for url in std::iter::once(&mut camera.url).chain(&mut camera.sub_url) {
                *url = url.trim().to_owned();
            }
        }
        config.check()?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
