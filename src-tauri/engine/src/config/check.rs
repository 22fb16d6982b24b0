//! The checks, each with the name of its field.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer, de::Error as _};
use url::Url;

use super::disks::{NAME_WANTED, is_name};
use super::{Config, Streaming};
use crate::api::{ApiError, CameraSpec};
use crate::record::Schedule;

/// The longest pre-roll, in seconds: it is kept in memory.
const PRE_ROLL_MAX: u32 = 60;

/// A field that is not right, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct Invalid {
    /// Such as `streaming.keepalive_timeout` or `camera[0].url`.
    pub field: String,
    pub reason: String,
}

impl Invalid {
    pub(super) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }

    /// The text is not TOML. The text itself is never repeated: it may hold a password.
    pub(super) fn syntax(text: &str, error: &toml::de::Error) -> Self {
        let span = error.span().unwrap_or_default();
        let before = text.get(..span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        if error.message().starts_with("duplicate key")
            && let Some(key) = text.get(span).filter(|key| key.len() <= 64 && key.chars().all(is_word))
        {
            return Self::new(key, format!("stands there twice (line {line})"));
        }
        Self::new(format!("line {line}, column {column}"), "is not TOML; is a quote or a bracket missing?")
    }

    /// It is TOML, but a key is unknown or of the wrong kind. Values are never repeated, as above.
    pub(super) fn shape(error: &serde_path_to_error::Error<toml::de::Error>) -> Self {
        let message = error.inner().message();
        let path = error.path().to_string();
        // An unknown or missing key is reported at its table; name the key itself.
        let named = [("unknown field `", "is not known"), ("missing field `", "is missing")]
            .into_iter()
            .find_map(|(prefix, reason)| Some((message.strip_prefix(prefix)?.split('`').next()?, reason)));
        if let Some((key, reason)) = named {
            let field = match path.as_str() {
                "." => key.to_owned(),
                path if path.ends_with(key) => path.to_owned(),
                path => format!("{path}.{key}"),
            };
            return Self::new(one_line(&field), reason);
        }
        // Our own sentences say what is wanted; serde's do so after the value.
        let repeats = ["invalid type", "invalid value", "invalid length", "unknown variant"];
        let reason = match message.rsplit_once(", expected ") {
            Some((_, expected)) => format!("must be {}", plain(expected)),
            None if message == "invalid socket address syntax" => {
                format!("must be {}", plain("socket address"))
            }
            None if repeats.iter().any(|start| message.starts_with(start)) => "is not valid".to_owned(),
            None => message.to_owned(),
        };
        Self::new(path, one_line(&reason))
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::invalid(invalid.field, invalid.reason)
    }
}

/// The library's word for what is wanted, in everybody's words.
fn plain(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "f32" | "f64" | "floating point number" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" => "a text in quotes",
        "a sequence" => "a list, such as [\"a\", \"b\"]",
        "a map" => "a table",
        "socket address" => "an IP address and a port, such as \"127.0.0.1:8420\"",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

pub(super) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// A name or an address of `[server] allowed_hosts`, as a `Host` header has it, and its port where it has one; none
/// of what no such header can have.
#[must_use]
pub fn allowed_host(text: &str) -> Option<(String, Option<u16>)> {
    let end = text.find(']').unwrap_or_default();
    let (name, port) = match text[end..].rfind(':') {
        Some(at) => (&text[..end + at], Some(text[end + at + 1..].parse().ok()?)),
        None => (text, None),
    };
    // Names beyond ASCII travel in another form, and an IPv6 address has one that is usual.
    let url = Url::parse(&format!("http://{name}/")).ok()?;
    let host = url.host_str().filter(|_| url.path() == "/" && url.username().is_empty())?;
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let plain = !name.is_ascii() || name.eq_ignore_ascii_case(host);
    (host.starts_with('[') || (plain && host.chars().all(letter))).then(|| (host.to_owned(), port))
}

/// The most demo cameras there can be.
pub const DEMO_MAX: u32 = 16;

/// Of `demo:N` or `demo:N/sub`: the number, and whether it is the small stream.
#[must_use]
pub fn demo_camera(url: &str) -> Option<(u32, bool)> {
    let rest = url.strip_prefix("demo:")?;
    let (digits, sub) = rest.strip_suffix("/sub").map_or((rest, false), |digits| (digits, true));
    let number = digits.parse().ok().filter(|n| (1..=DEMO_MAX).contains(n))?;
    // One camera has one address: no "01", no "+1".
    (digits == number.to_string()).then_some((number, sub))
}

/// Letters of an id.
pub const ID_MAX: usize = 64;

/// Whether a camera may have this id, and so a room in which phones publish: 1 to 64 letters, digits, `_` and `-`,
/// and not the word that stands for the look at a camera (`POST /api/v1/cameras/probe`).
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=ID_MAX).contains(&text.len()) && text.chars().all(is_word) && text != "probe"
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join(" ")
}

pub(super) fn port_range<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<RangeInclusive<u16>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let parse = |part: &str| part.trim().parse::<u16>().ok().filter(|port| *port != 0);
    text.split_once('-')
        .and_then(|(first, last)| Some(parse(first)?..=parse(last)?))
        .filter(|range| range.start() <= range.end())
        .ok_or_else(|| {
            D::Error::custom("must be two ports from 1 to 65535, the lower first, such as \"50000-50199\"")
        })
}

impl Config {
    pub(super) fn check(&self) -> Result<(), Invalid> {
        let server = &self.server;
        if server.token.as_ref().is_some_and(|t| t.reveal().is_empty()) {
            return Err(Invalid::new("server.token", "must not be empty; leave it out to run without one"));
        }
        if server.token.as_ref().is_some_and(|t| !t.reveal().bytes().all(|b| b.is_ascii_graphic())) {
            let reason = "must be ASCII letters, digits and signs without spaces: a header carries it";
            return Err(Invalid::new("server.token", reason));
        }
        for (i, host) in server.allowed_hosts.iter().enumerate() {
            if allowed_host(host).is_none() {
                let reason =
                    "must be a whole name or an address, such as \"cams.example.org\", with a port at most";
                return Err(Invalid::new(format!("server.allowed_hosts[{i}]"), reason));
            }
        }
        if let Some(url) = &server.public_url
            && !Url::parse(url).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
        {
            return Err(Invalid::new("server.public_url", "must be an http or https address"));
        }
        match (&server.tls_cert, &server.tls_key) {
            (Some(_), None) => return Err(Invalid::new("server.tls_key", "is missing beside tls_cert")),
            (None, Some(_)) => return Err(Invalid::new("server.tls_cert", "is missing beside tls_key")),
            _ => {}
        }
        check_streaming("streaming.", &self.streaming)?;
        let recording = &self.recording;
        if !(1..=86_400).contains(&recording.segment_seconds) {
            return Err(Invalid::new("recording.segment_seconds", "must be 1 to 86400 seconds"));
        }
        if recording.root.as_ref().is_some_and(|root| root.as_os_str().is_empty()) {
            let reason = "must not be empty; leave it out for the data directory's \"recordings\"";
            return Err(Invalid::new("recording.root", reason));
        }
        if !(recording.min_free_gb.is_finite() && recording.min_free_gb >= 0.0) {
            return Err(Invalid::new("recording.min_free_gb", "must be 0 or more"));
        }
        if !(recording.quota_gb.is_finite() && recording.quota_gb >= 0.0) {
            return Err(Invalid::new("recording.quota_gb", "must be 0 or more; 0 is no limit"));
        }
        recording.check_disks()?;
        let alerts = &self.alerts;
        if alerts.after_seconds > 3_600 {
            return Err(Invalid::new("alerts.after_seconds", "must be 0 to 3600 seconds"));
        }
        match (&alerts.quiet_from, &alerts.quiet_until) {
            (Some(_), None) => {
                return Err(Invalid::new("alerts.quiet_until", "is missing beside quiet_from"));
            }
            (None, Some(_)) => {
                return Err(Invalid::new("alerts.quiet_from", "is missing beside quiet_until"));
            }
            _ => {}
        }
        if let Some(webhook) = &alerts.webhook {
            // The text itself is never repeated: it may hold a secret.
            let url = Url::parse(webhook.reveal()).ok().filter(Url::has_host);
            if !url.is_some_and(|url| matches!(url.scheme(), "http" | "https")) {
                return Err(Invalid::new("alerts.webhook", "must be an http:// or https:// address"));
            }
        }
        for (i, ice) in self.webrtc.ice_servers.iter().enumerate() {
            let field = format!("webrtc.ice_servers[{i}].urls");
            if ice.urls.is_empty() {
                return Err(Invalid::new(field, "must name at least one address"));
            }
            for url in &ice.urls {
                let (scheme, host) = url.split_once(':').unwrap_or_default();
                if !["stun", "stuns", "turn", "turns"].contains(&scheme) {
                    return Err(Invalid::new(field, "must begin with stun:, turn: or turns:"));
                }
                if host.is_empty() || host.starts_with(['/', ':', '?']) || host.contains(char::is_whitespace)
                {
                    return Err(Invalid::new(field, "needs a host, such as \"turn:turn.example.org:3478\""));
                }
                for (name, missing) in
                    [("username", ice.username.is_none()), ("credential", ice.credential.is_none())]
                {
                    if missing && scheme.starts_with("turn") {
                        let field = format!("webrtc.ice_servers[{i}].{name}");
                        return Err(Invalid::new(
                            field,
                            "is missing: TURN needs both username and credential",
                        ));
                    }
                }
            }
        }
        if self.signaling.room_key.as_ref().is_some_and(|k| k.reveal().is_empty()) {
            return Err(Invalid::new("signaling.room_key", "must not be empty"));
        }
        let mut seen = HashSet::new();
        for (i, camera) in self.camera.iter().enumerate() {
            check_camera(camera).map_err(|e| Invalid { field: format!("camera[{i}].{}", e.field), ..e })?;
            if let Some(id) = &camera.id
                && !seen.insert(id)
            {
                return Err(Invalid::new(format!("camera[{i}].id"), format!("\"{id}\" is used twice")));
            }
            let disk = self.recording.check_choice(camera.record_disk.as_deref());
            disk.map_err(|e| Invalid { field: format!("camera[{i}].{}", e.field), ..e })?;
        }
        Ok(())
    }
}

fn check_streaming(prefix: &str, streaming: &Streaming) -> Result<(), Invalid> {
    let checks = [
        ("tcp_timeout", streaming.tcp_timeout, 100..=120_000, "must be 100 to 120000 milliseconds"),
        ("keepalive_timeout", streaming.keepalive_timeout, 3..=10, "must be 3 to 10 seconds"),
        ("reconnect_delay_seconds", streaming.reconnect_delay_seconds, 1..=60, "must be 1 to 60 seconds"),
    ];
    for (field, value, range, reason) in checks {
        if !range.contains(&value) {
            return Err(Invalid::new(format!("{prefix}{field}"), reason));
        }
    }
    Ok(())
}

/// Checks a camera that is to be added, probed or changed.
///
/// # Errors
/// [`Invalid`] with the bare name of the field.
pub fn check_camera(camera: &CameraSpec) -> Result<(), Invalid> {
    if let Some(id) = &camera.id {
        // One of that id could not be reached.
        if id == "probe" {
            return Err(Invalid::new("id", "must not be \"probe\"; choose another"));
        }
        if !is_id(id) {
            return Err(Invalid::new("id", "must be 1 to 64 letters, digits, \"_\" or \"-\""));
        }
    }
    check_shown(camera)?;
    check_url("url", &camera.url)?;
    if let Some(url) = &camera.sub_url {
        check_url("sub_url", url)?;
    }
    let too_long = |text: &str| text.len() > 256 || text.chars().any(char::is_control);
    if camera.username.as_deref().is_some_and(too_long) {
        return Err(Invalid::new("username", "must be 256 characters at most"));
    }
    if camera.password.as_ref().is_some_and(|p| too_long(p.reveal())) {
        return Err(Invalid::new("password", "must be 256 characters at most"));
    }
    if camera.tls_fingerprint.as_deref().is_some_and(|text| fingerprint(text).is_none()) {
        let reason = "must be the SHA-256 of the certificate, 64 hexadecimal digits";
        return Err(Invalid::new("tls_fingerprint", reason));
    }
    check_streaming("", &Streaming::default().for_camera(camera))
}

/// The SHA-256 of a certificate: 64 hexadecimal digits, or with a colon after every two as other programs show it.
#[must_use]
pub fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = match text.contains(':') {
        false => text.bytes().collect(),
        true if text.split(':').all(|pair| pair.len() == 2) => text.bytes().filter(|b| *b != b':').collect(),
        true => return None,
    };
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok());
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[a, b]| Some(nibble(*a)? << 4 | nibble(*b)?)).collect();
    bytes?.try_into().ok()
}

/// The same as text, without colons.
#[must_use]
pub fn fingerprint_text(bytes: &[u8; 32]) -> String {
    bytes.iter().fold(String::with_capacity(64), |text, byte| text + &format!("{byte:02x}"))
}

/// Checks what a camera without an address has, too: its name, and how it is recorded.
///
/// # Errors
/// [`Invalid`] with the field.
pub fn check_shown(camera: &CameraSpec) -> Result<(), Invalid> {
    if let Some(name) = &camera.name {
        let fits = (1..=100).contains(&name.trim().chars().count());
        if !fits || name.chars().any(char::is_control) {
            return Err(Invalid::new("name", "must be 1 to 100 characters"));
        }
    }
    check_recorded(camera)
}

fn check_recorded(camera: &CameraSpec) -> Result<(), Invalid> {
    if let Some(lines) = &camera.record_schedule {
        Schedule::parse(lines).map_err(|error| {
            let place = error.line.map_or(String::new(), |line| format!("[{line}]"));
            Invalid::new(format!("record_schedule{place}"), error.reason)
        })?;
    }
    if camera.record_disk.as_deref().is_some_and(|name| !is_name(name)) {
        return Err(Invalid::new("record_disk", NAME_WANTED));
    }
    if camera.pre_roll_seconds.is_some_and(|seconds| seconds > PRE_ROLL_MAX) {
        return Err(Invalid::new("pre_roll_seconds", "must be 0 to 60 seconds"));
    }
    if camera.record_quota_gb.is_some_and(|quota| !(quota.is_finite() && quota > 0.0)) {
        return Err(Invalid::new("record_quota_gb", "must be more than 0; leave it out for no limit"));
    }
    Ok(())
}

fn check_url(field: &str, text: &str) -> Result<(), Invalid> {
    if text.len() > 2_048 {
        return Err(Invalid::new(field, "must be 2048 characters at most"));
    }
    // The text itself is never repeated: it may hold a password.
    let url = Url::parse(text)
        .map_err(|_| Invalid::new(field, "must be an address such as rtsp://192.168.1.20:554/stream1"))?;
    match url.scheme() {
        "rtsp" | "rtsps" => {}
        "demo" if demo_camera(text).is_some() => return Ok(()),
        "demo" => {
            let reason = format!("must be demo:1 to demo:{DEMO_MAX}, or demo:1/sub and so on");
            return Err(Invalid::new(field, reason));
        }
        _ => return Err(Invalid::new(field, "must begin with rtsp:// or rtsps://")),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(Invalid::new(field, "has no host name"));
    }
    if url.port() == Some(0) {
        return Err(Invalid::new(field, "must not use port 0"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let reason = "must not contain a user name or password; put them into username and password";
        return Err(Invalid::new(field, reason));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::new(field, "must not contain control characters"));
    }
    if text.contains(char::is_whitespace) {
        return Err(Invalid::new(field, "must not contain spaces; write them as %20"));
    }
    Ok(())
}
