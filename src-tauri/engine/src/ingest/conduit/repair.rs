//! A camera's replies as the client library wants them: rebuilt from the few headers that it reads, so
//! that the rest, and most of what cameras get wrong, never reaches it.

use std::net::IpAddr;

use url::Url;

use super::message::{Message, number};

/// Session timeout shown to the client, in seconds. The relay keeps the real session alive and answers
/// the client's own keep-alives, so this only sets how seldom it asks.
const SHOWN_TIMEOUT: u32 = 60;

/// The reply to a client's request of `method`, its sequence number already in the client's terms.
pub(super) struct Reply {
    bytes: Vec<u8>,
}

impl Reply {
    pub(super) fn new(status: u16, cseq: &[u8]) -> Self {
        let mut reply = Self { bytes: format!("RTSP/1.0 {status} {}\r\n", phrase(status)).into_bytes() };
        reply.header("CSeq", cseq);
        reply
    }

    pub(super) fn header(&mut self, name: &str, value: &[u8]) {
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        // The client's parser takes text; nothing it needs is anything else.
        self.bytes.extend(value.iter().map(|b| if b.is_ascii_graphic() || *b == b' ' { *b } else { b'?' }));
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// The description of the streams. `base` is where relative names in it belong if the camera does
    /// not say.
    pub(super) fn describe(&mut self, message: &Message<'_>, base: &Url) {
        let kind = message.header("Content-Type").unwrap_or_default();
        let usual = kind.is_empty() || kind.to_ascii_lowercase().starts_with(b"application/sdp");
        self.header("Content-Type", if usual { b"application/sdp" } else { kind });
        let given = ["Content-Base", "Content-Location"];
        let mut based = false;
        for name in given {
            if let Some(value) = message.header(name).filter(|value| !value.is_empty()) {
                self.header(name, value);
                based = true;
            }
        }
        if !based {
            self.header("Content-Base", base.as_str().as_bytes());
        }
    }

    /// The agreed session and transport. `asked` is the client's Transport header, `udp` has the
    /// camera's address where media goes by UDP.
    pub(super) fn setup(&mut self, session: &[u8], message: &Message<'_>, asked: &[u8], udp: Option<IpAddr>) {
        let mut value = session.to_vec();
        value.extend_from_slice(format!(";timeout={SHOWN_TIMEOUT}").as_bytes());
        self.header("Session", &value);
        let given = message.header("Transport").unwrap_or_default();
        self.header("Transport", &transport(given, asked, udp));
    }

    /// The start of the tracks, where the camera tells it in a form that can be used.
    pub(super) fn play(&mut self, message: &Message<'_>) {
        if let Some(info) = message.header("RTP-Info").filter(|info| sound_rtp_info(info)) {
            self.header("RTP-Info", info);
        }
    }

    pub(super) fn finish(mut self, body: &[u8]) -> Vec<u8> {
        if !body.is_empty() {
            self.bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.extend_from_slice(body);
        self.bytes
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        200..=299 => "OK",
        300..=399 => "Moved",
        _ => "Refused",
    }
}

/// Session id and timeout in seconds of a Session header.
pub(super) fn session(value: &[u8]) -> Option<(&[u8], Option<u32>)> {
    let mut parts = value.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let id = parts.next().filter(|id| !id.is_empty())?;
    let timeout = parts.find_map(|part| {
        let (name, value) = part.split_at_checked(b"timeout=".len())?;
        name.eq_ignore_ascii_case(b"timeout=").then(|| number(value.trim_ascii()))?
    });
    Some((id, timeout))
}

/// The parts of a Transport header that the client reads, as it reads them.
fn transport(given: &[u8], asked: &[u8], udp: Option<IpAddr>) -> Vec<u8> {
    let part = |header: &[u8], name: &str| -> Option<String> {
        let parts = header.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let mut found = parts.filter_map(|part| {
            let (key, value) = part.split_at_checked(name.len())?;
            key.eq_ignore_ascii_case(name.as_bytes()).then_some(value.trim_ascii())
        });
        found.next().and_then(|value| std::str::from_utf8(value).ok()).map(str::to_owned)
    };
    let mut out = String::from(if udp.is_some() { "RTP/AVP/UDP;unicast" } else { "RTP/AVP/TCP;unicast" });
    let mut add = |name: &str, value: &str| {
        out.push(';');
        out.push_str(name);
        out.push_str(value);
    };
    match udp {
        None => {
            // Some cameras agree without repeating the channels.
            let channels = part(given, "interleaved=").or_else(|| part(asked, "interleaved="));
            add("interleaved=", &channels.unwrap_or_default());
        }
        Some(camera) => {
            let source = part(given, "source=").and_then(|source| source.parse::<IpAddr>().ok());
            let source = source.filter(|s| !s.is_unspecified() && s.is_ipv4() == camera.is_ipv4());
            add("source=", &source.unwrap_or(camera).to_string());
            if let Some(ports) = part(given, "server_port=") {
                add("server_port=", &ports);
            }
        }
    }
    if let Some(ssrc) = part(given, "ssrc=") {
        add("ssrc=", &ssrc);
    }
    out.into_bytes()
}

/// Whether the client can read this RTP-Info; one that it cannot read would end the session.
fn sound_rtp_info(info: &[u8]) -> bool {
    info.split(|b| *b == b',').map(<[u8]>::trim_ascii).all(|entry| {
        let mut parts = entry.split(|b| *b == b';');
        parts.next().is_some_and(|url| url.starts_with(b"url="))
            && parts.all(|part| match part.strip_prefix(b"seq=") {
                Some(seq) => number(seq).is_some_and(|seq| u16::try_from(seq).is_ok()),
                None => part.is_empty() || part.contains(&b'='),
            })
    })
}

/// The `rtptime` values of an RTP-Info header, of the first `max` tracks.
pub(super) fn rtp_times(info: &[u8], max: usize) -> Vec<u32> {
    info.split(|b| matches!(b, b',' | b';'))
        .filter_map(|part| part.trim_ascii().strip_prefix(b"rtptime="))
        .filter_map(|value| std::str::from_utf8(value).ok()?.parse().ok())
        .take(max)
        .collect()
}

/// Whether a list of methods, as in the `Public` header, has this one.
pub(super) fn lists(methods: &[u8], method: &str) -> bool {
    methods.split(|b| *b == b',').any(|m| m.trim_ascii().eq_ignore_ascii_case(method.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sessions_are_read_however_they_are_written() {
        assert_eq!(session(b"66334873;timeout=60;foo=1"), Some((&b"66334873"[..], Some(60))));
        assert_eq!(session(b"a; Timeout=5"), Some((&b"a"[..], Some(5))));
        assert_eq!(session(b"a;foo"), Some((&b"a"[..], None)));
        assert_eq!(session(b" ;timeout=5"), None);
    }

    #[test]
    fn a_transport_says_what_the_client_needs() {
        let asked = b"RTP/AVP/TCP;unicast;interleaved=2-3";
        assert_eq!(transport(b"", asked, None), b"RTP/AVP/TCP;unicast;interleaved=2-3");
        let given = b"RTP/AVP/TCP;unicast; interleaved=4-5;source=cam.local;ssrc=0A0B0C0D;mode=\"PLAY\"";
        assert_eq!(transport(given, asked, None), b"RTP/AVP/TCP;unicast;interleaved=4-5;ssrc=0A0B0C0D");
        let camera: IpAddr = "192.168.1.20".parse().unwrap();
        assert_eq!(
            transport(b"RTP/AVP;unicast;source=cam.local;server_port=6970-6971", asked, Some(camera)),
            b"RTP/AVP/UDP;unicast;source=192.168.1.20;server_port=6970-6971"
        );
        assert_eq!(
            transport(b"RTP/AVP;source=10.0.0.9;server_port=1-2", asked, Some(camera)),
            b"RTP/AVP/UDP;unicast;source=10.0.0.9;server_port=1-2"
        );
    }

    #[test]
    fn an_unreadable_rtp_info_is_recognised() {
        assert!(sound_rtp_info(b"url=rtsp://c/1;seq=1;rtptime=7,url=rtsp://c/2;seq=65535"));
        assert!(!sound_rtp_info(b"url=rtsp://c/1;seq=65536;rtptime=7"));
        assert!(!sound_rtp_info(b"seq=1;rtptime=7"));
        assert!(!sound_rtp_info(b"url=rtsp://c/1;broken"));
        assert_eq!(
            rtp_times(b"url=a;rtptime=7, url=b;seq=1;rtptime=4294967295,url=c;rtptime=x", 8),
            [7, u32::MAX]
        );
    }

    proptest! {
        #[test]
        fn whatever_a_camera_writes_the_client_gets_lines_of_text(
            value in proptest::collection::vec(any::<u8>(), 0..200),
            asked in proptest::collection::vec(any::<u8>(), 0..60),
            udp in any::<bool>(),
        ) {
            let _ = (session(&value), sound_rtp_info(&value), lists(&value, "GET_PARAMETER"));
            prop_assert!(rtp_times(&value, 3).len() <= 3);
            let mut reply = Reply::new(200, &value);
            let camera = udp.then_some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
            reply.header("Transport", &transport(&value, &asked, camera));
            let text = reply.finish(&[]);
            let lines = text.split(|b| *b == b'\n').count();
            prop_assert!(text.is_ascii() && lines == 5, "{:?}", text);
        }
    }
}
