//! What has to be known of a viewer's offer before a connection is built for it, and of its trickled
//! candidates.
//!
//! Offers are hostile until parsed. This reads the few lines that decide between an answer, a plain
//! refusal and a complaint; the full grammar is the `rtc` crate's affair, after this.

use crate::media::Codec;

/// Largest description or fragment, in bytes.
pub(super) const SDP_MAX: usize = 64 * 1024;
/// Media sections of an offer; a page offers two or three.
const SECTIONS_MAX: usize = 32;
/// Formats of a section; browsers offer about 40.
const FORMATS_MAX: usize = 128;
/// Candidates of one fragment.
const CANDIDATES_MAX: usize = 32;

/// Why an offer cannot be read, in words for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// The sections of a description.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) sections: Vec<Section>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    /// `video`, `audio` or something else.
    pub(super) kind: String,
    /// The offerer wants to receive, and did not refuse the section.
    pub(super) receives: bool,
    /// The same for sending.
    pub(super) sends: bool,
    formats: Vec<Format>,
}

/// A payload type of a section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) payload_type: u8,
    /// As written, without clock rate.
    name: String,
    pub(super) clock_rate: u32,
    pub(super) channels: u16,
    pub(super) fmtp: String,
}

/// What the offer and a track have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) format: Format,
    /// Payload type of its retransmissions.
    pub(super) repair: Option<u8>,
}

impl Description {
    /// Reads an offer.
    ///
    /// # Errors
    /// [`Malformed`] with a sentence.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        if !text.starts_with("v=0") {
            return Err(Malformed("this is no session description: it does not begin with v=0"));
        }
        let mut direction = "sendrecv";
        let (mut ufrag, mut fingerprint) = (false, false);
        let mut sections: Vec<(Section, &str)> = Vec::new();
        for line in text.lines().map(str::trim_end) {
            if let Some(media) = line.strip_prefix("m=") {
                if sections.len() == SECTIONS_MAX {
                    return Err(Malformed("the session description has too many media sections"));
                }
                sections.push((Section::parse(media)?, direction));
                continue;
            }
            let Some(attribute) = line.strip_prefix("a=") else { continue };
            let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
            match name {
                "ice-ufrag" => ufrag = true,
                "fingerprint" => fingerprint = true,
                "sendrecv" | "sendonly" | "recvonly" | "inactive" => match sections.last_mut() {
                    Some((_, own)) => *own = name,
                    None => direction = name,
                },
                _ => {}
            }
            if let Some((section, _)) = sections.last_mut() {
                section.attribute(name, value);
            }
        }
        if sections.is_empty() {
            return Err(Malformed("the session description has no media section"));
        }
        if !ufrag || !fingerprint {
            return Err(Malformed("the session description lacks ICE credentials or a DTLS fingerprint"));
        }
        let sections = sections.into_iter().map(|(mut section, direction)| {
            section.receives &= matches!(direction, "sendrecv" | "recvonly");
            section.sends &= matches!(direction, "sendrecv" | "sendonly");
            section
        });
        Ok(Self { sections: sections.collect() })
    }

    /// The sections of a kind in which the other side receives.
    pub(super) fn receiving<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Section> {
        self.sections.iter().filter(move |section| section.receives && section.kind == kind)
    }
}

impl Section {
    /// From what follows `m=`.
    fn parse(media: &str) -> Result<Self, Malformed> {
        let mut words = media.split_ascii_whitespace();
        let kind = words.next().ok_or(Malformed("a media section has no kind"))?;
        let port = words.next().ok_or(Malformed("a media section has no port"))?;
        let port = port.split('/').next().unwrap_or(port);
        let port: u16 = port.parse().map_err(|_| Malformed("a media section's port is no number"))?;
        let protocol = words.next().ok_or(Malformed("a media section has no protocol"))?;
        let formats = match protocol {
            "UDP/TLS/RTP/SAVPF" | "TCP/TLS/RTP/SAVPF" | "RTP/SAVPF" => {
                words.filter_map(|word| word.parse().ok()).take(FORMATS_MAX).map(Format::known).collect()
            }
            _ => Vec::new(),
        };
        let active = port != 0 && !formats.is_empty();
        Ok(Self { kind: kind.to_ascii_lowercase(), receives: active, sends: active, formats })
    }

    fn attribute(&mut self, name: &str, value: &str) {
        let Some((payload_type, rest)) = value.split_once(' ') else { return };
        let Ok(payload_type) = payload_type.parse::<u8>() else { return };
        let Some(format) = self.formats.iter_mut().find(|f| f.payload_type == payload_type) else { return };
        match name {
            "rtpmap" => {
                let mut parts = rest.trim().split('/');
                parts.next().unwrap_or_default().clone_into(&mut format.name);
                format.clock_rate = parts.next().and_then(|rate| rate.parse().ok()).unwrap_or(0);
                format.channels = parts.next().and_then(|count| count.parse().ok()).unwrap_or(0);
            }
            "fmtp" => rest.trim().clone_into(&mut format.fmtp),
            _ => {}
        }
    }

    /// The format in which the other side can receive `codec`.
    pub(super) fn find(&self, codec: Codec) -> Option<Match> {
        let suitable = self.formats.iter().filter_map(|f| Some((f.rank(codec)?, f)));
        // The first of the best: the order is the other side's preference.
        let (_, format) = suitable.min_by_key(|(rank, _)| *rank)?;
        let repair = self.formats.iter().find(|f| {
            f.name.eq_ignore_ascii_case("rtx")
                && f.parameter("apt").is_some_and(|apt| apt.parse() == Ok(format.payload_type))
        });
        Some(Match { format: format.clone(), repair: repair.map(|f| f.payload_type) })
    }
}

impl Format {
    /// A payload type that needs no `rtpmap` where it is one of the fixed ones.
    fn known(payload_type: u8) -> Self {
        let (name, clock_rate) = match payload_type {
            0 => ("PCMU", 8_000),
            8 => ("PCMA", 8_000),
            _ => ("", 0),
        };
        Self { payload_type, name: name.to_owned(), clock_rate, channels: 0, fmtp: String::new() }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let parameters = self.fmtp.split(';').filter_map(|p| p.trim().split_once('='));
        parameters.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// How well it carries the codec: less is better, `None` not at all.
    fn rank(&self, codec: Codec) -> Option<u8> {
        let (name, clock_rate) = match codec {
            Codec::H264 => ("H264", 90_000),
            Codec::Vp8 => ("VP8", 90_000),
            Codec::Vp9 => ("VP9", 90_000),
            Codec::Av1 => ("AV1", 90_000),
            Codec::Opus => ("opus", 48_000),
            Codec::Pcmu => ("PCMU", 8_000),
            Codec::Pcma => ("PCMA", 8_000),
            _ => return None,
        };
        if !self.name.eq_ignore_ascii_case(name) || self.clock_rate != clock_rate {
            return None;
        }
        match codec {
            Codec::H264 => {
                // Fragmented pictures need mode 1. Browsers play High where they offer Baseline, so the
                // camera's own profile does not matter; constrained Baseline is what all offer.
                let mode = self.parameter("packetization-mode")?;
                let profile = self.parameter("profile-level-id").filter(|p| p.is_ascii()).unwrap_or("42e01f");
                let rank = match profile.get(..4)?.to_ascii_lowercase().as_str() {
                    "42e0" => 0,
                    "4200" => 1,
                    "4d00" => 2,
                    _ => 3,
                };
                (mode == "1").then_some(rank)
            }
            // Profile 0 is 8 bit, what cameras send; the parameter may be missing.
            Codec::Vp9 => Some(u8::from(self.parameter("profile-id").is_some_and(|id| id != "0"))),
            Codec::Av1 => Some(u8::from(self.parameter("profile").is_some_and(|id| id != "0"))),
            _ => Some(0),
        }
    }
}

/// A fragment of trickled candidates (RFC 8840).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fragment {
    /// The username fragment it belongs to, where it says.
    pub(super) ufrag: Option<String>,
    /// With `candidate:` before each, and the section's id where one was named.
    pub(super) candidates: Vec<(String, Option<String>)>,
}

impl Fragment {
    /// Reads a fragment. Lines it does not know are passed over.
    ///
    /// # Errors
    /// [`Malformed`] where nothing in it is an attribute, or too much is.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let mut fragment = Self::default();
        let mut mid: Option<String> = None;
        let mut attributes = 0;
        for line in text.lines().map(str::trim_end) {
            if line.starts_with("m=") {
                mid = None;
            }
            let Some(attribute) = line.strip_prefix("a=") else { continue };
            attributes += 1;
            if let Some(ufrag) = attribute.strip_prefix("ice-ufrag:") {
                fragment.ufrag = Some(ufrag.to_owned());
            } else if let Some(id) = attribute.strip_prefix("mid:") {
                mid = Some(id.to_owned());
            } else if attribute.starts_with("candidate:") {
                if fragment.candidates.len() == CANDIDATES_MAX {
                    return Err(Malformed("too many candidates at once"));
                }
                fragment.candidates.push((attribute.to_owned(), mid.clone()));
            }
        }
        if attributes == 0 {
            return Err(Malformed("the fragment has no attribute"));
        }
        Ok(fragment)
    }
}

/// The offer with nothing in it but what shall be agreed on, in our order of preference, which the crate's
/// answer then keeps. `wanted` are payload types, repairs among them. Simulcast is not taken, and neither is
/// the rotation extension: without it a phone turns the picture itself.
pub(super) fn narrow(offer: &str, wanted: &[u8]) -> String {
    const DROPPED: [&str; 3] = ["simulcast:", "rid:", "ssrc-group:SIM"];
    const ROTATION: &str = "urn:3gpp:video-orientation";
    let mut out = String::with_capacity(offer.len());
    let mut kept: Option<Vec<u8>> = None;
    for line in offer.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if let Some(media) = line.strip_prefix("m=") {
            let words: Vec<&str> = media.split_ascii_whitespace().collect();
            let offered: Vec<u8> = words.iter().skip(3).filter_map(|word| word.parse().ok()).collect();
            let ours: Vec<u8> = wanted.iter().copied().filter(|pt| offered.contains(pt)).collect();
            if matches!(words.first(), Some(&"video" | &"audio")) && !ours.is_empty() {
                out.push_str("m=");
                out.push_str(&words[..3].join(" "));
                for payload_type in &ours {
                    out.push_str(&format!(" {payload_type}"));
                }
                out.push_str("\r\n");
                kept = Some(ours);
                continue;
            }
            kept = None;
        } else if let Some(attribute) = line.strip_prefix("a=") {
            let formats = ["rtpmap:", "fmtp:", "rtcp-fb:"];
            let format = formats.iter().find_map(|name| attribute.strip_prefix(name));
            let number = format.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u8>().ok());
            let foreign = kept.as_ref().zip(number).is_some_and(|(kept, number)| !kept.contains(&number));
            let rotation = attribute.starts_with("extmap:") && attribute.contains(ROTATION);
            if foreign || rotation || DROPPED.iter().any(|name| attribute.starts_with(name)) {
                continue;
            }
        }
        out.push_str(line);
        out.push_str("\r\n");
    }
    out
}

/// Whether a peer's candidate may be tried: never an address that names this machine to itself, nobody, or
/// everybody. `local` allows loopback, for peers on this machine without a network.
pub(super) fn reaches_out(candidate: &str, local: bool) -> bool {
    let Some(address) = candidate.split_ascii_whitespace().nth(4) else { return false };
    match address.parse::<std::net::IpAddr>() {
        Ok(ip) if ip.is_loopback() => local,
        Ok(std::net::IpAddr::V4(ip)) => {
            !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || ip.is_link_local())
        }
        Ok(std::net::IpAddr::V6(ip)) => {
            let inner = ip.to_ipv4_mapped();
            let link_local = ip.segments()[0] & 0xffc0 == 0xfe80;
            !(ip.is_unspecified() || ip.is_multicast() || link_local || inner.is_some())
        }
        // Names are not resolved: such a peer's checks reach us first.
        Err(_) => false,
    }
}

/// Puts straight what the crate writes: a section in which nothing is sent says so, candidates stand in a
/// section that was accepted, and none is for a second component, which does not exist. `receives` says
/// that we take what the other side sends.
pub(super) fn settle(answer: &str, receives: bool) -> String {
    let mut sections: Vec<Vec<&str>> = vec![Vec::new()];
    for line in answer.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if line.starts_with("m=") {
            sections.push(Vec::new());
        }
        sections.last_mut().expect("there is always the session's").push(line);
    }
    let (session, media) = sections.split_first_mut().expect("there is always the session's");
    let rejected = |section: &[&str]| {
        section.first().and_then(|media| media.split_ascii_whitespace().nth(1)) == Some("0")
    };
    let mut candidates = Vec::new();
    for section in &mut *media {
        let sends = section.iter().any(|line| line.starts_with("a=ssrc:"));
        let takes = receives
            && section.iter().any(|line| matches!(*line, "a=sendrecv" | "a=recvonly"))
            && !rejected(section);
        section.retain(|line| {
            let candidate = line.starts_with("a=candidate:");
            if candidate && line.split_ascii_whitespace().nth(1) == Some("1") {
                candidates.push(*line);
            }
            let direction = matches!(*line, "a=sendrecv" | "a=sendonly" | "a=recvonly" | "a=inactive");
            !(candidate || *line == "a=end-of-candidates" || (direction && !sends))
        });
        // Who only watches is not asked for its own camera, though its offer has one to give.
        if sends && !receives {
            section.iter_mut().filter(|line| **line == "a=sendrecv").for_each(|line| *line = "a=sendonly");
        }
        // A data channel has no direction.
        if !sends && !section.first().is_some_and(|media| media.starts_with("m=application")) {
            section.push(if takes { "a=recvonly" } else { "a=inactive" });
        }
    }
    if let Some(section) = media.iter_mut().find(|section| !rejected(section)) {
        section.extend(candidates);
        section.push("a=end-of-candidates");
    }
    let mut out = String::with_capacity(answer.len());
    for line in session.iter().chain(media.iter().flatten()) {
        out.push_str(line);
        out.push_str("\r\n");
    }
    out
}

/// The kind of a candidate, for the log.
pub(super) fn candidate_kind(candidate: &str) -> &'static str {
    let mut words = candidate.split_ascii_whitespace();
    match words.find(|word| *word == "typ").and_then(|_| words.next()) {
        Some("host") => "host",
        Some("srflx") => "srflx",
        Some("prflx") => "prflx",
        Some("relay") => "relay",
        _ => "unknown",
    }
}

/// The first ICE username fragment of a description.
pub(super) fn ufrag(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.trim_end().strip_prefix("a=ice-ufrag:"))
}

/// Whether the other side waits to be spoken to by DTLS, so that we have to begin (RFC 5763 section 5).
pub(super) fn is_passive(offer: &str) -> bool {
    offer.lines().any(|line| line.trim_end() == "a=setup:passive")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\n\
        a=fingerprint:sha-256 00\r\n";

    fn parse(media: &str) -> Result<Description, Malformed> {
        Description::parse(&format!("{HEAD}{media}"))
    }

    #[test]
    fn the_format_every_browser_plays_is_taken_whatever_its_place() {
        let offer = parse(
            "m=video 9 UDP/TLS/RTP/SAVPF 102 103 104 105 106 107\r\na=recvonly\r\n\
             a=rtpmap:102 H264/90000\r\na=fmtp:102 profile-level-id=64001f;packetization-mode=1\r\n\
             a=rtpmap:104 H264/90000\r\na=fmtp:104 profile-level-id=42e01f;packetization-mode=0\r\n\
             a=rtpmap:106 h264/90000\r\na=fmtp:106 packetization-mode=1; profile-level-id=42E01F\r\n\
             a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\na=rtpmap:107 rtx/90000\r\na=fmtp:107 apt=106\r\n",
        )
        .expect("well formed");
        let section = offer.receiving("video").next().expect("it receives");
        let found = section.find(Codec::H264).expect("mode 1 is there");
        assert_eq!((found.format.payload_type, found.repair), (106, Some(107)));
        assert_eq!(section.find(Codec::Vp8), None);
        assert_eq!(section.find(Codec::H265), None);
    }

    #[test]
    fn sections_that_receive_nothing_are_not_answered_with_media() {
        for (media, receives) in [
            ("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=recvonly\r\n", true),
            ("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", true),
            ("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=sendonly\r\n", false),
            ("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=inactive\r\n", false),
            ("m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=recvonly\r\n", false),
            ("m=video 9 RTP/AVP 96\r\na=recvonly\r\n", false),
            ("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=recvonly\r\n", false),
        ] {
            let offer = parse(media).expect("well formed");
            assert_eq!(offer.receiving("video").count() == 1, receives, "{media}");
        }
        let offer = Description::parse(&format!("{HEAD}a=inactive\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0 8\r\n"));
        assert_eq!(offer.expect("well formed").receiving("audio").count(), 0);
    }

    #[test]
    fn fixed_payload_types_need_no_map() {
        let offer =
            parse("m=audio 9 UDP/TLS/RTP/SAVPF 111 8\r\na=rtpmap:111 opus/48000/2\r\n").expect("fine");
        let section = offer.receiving("audio").next().expect("it receives");
        assert_eq!(section.find(Codec::Pcma).expect("there").format.payload_type, 8);
        assert_eq!(section.find(Codec::Opus).expect("there").format.channels, 2);
        assert_eq!(section.find(Codec::Pcmu), None);
    }

    #[test]
    fn what_is_no_offer_is_told_so() {
        for text in ["", "hello", "v=1\r\n", "v=0\r\n", HEAD, "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n"] {
            assert!(Description::parse(text).is_err(), "{text}");
        }
        for media in ["m=\r\n", "m=video\r\n", "m=video x UDP/TLS/RTP/SAVPF 96\r\n", "m=video 9\r\n"] {
            assert!(parse(media).is_err(), "{media}");
        }
        assert!(parse(&"m=video 9 UDP/TLS/RTP/SAVPF 96\r\n".repeat(33)).is_err());
    }

    #[test]
    fn an_answer_is_put_straight() {
        let answer = "v=0\r\na=group:BUNDLE 1 2\r\nm=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
            a=candidate:1 1 udp 9 10.0.0.1 5 typ host\r\na=candidate:1 2 udp 9 10.0.0.1 5 typ host\r\n\
            a=end-of-candidates\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=ssrc:7 cname:x\r\n\
            a=sendonly\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=sendonly\r\na=mid:2\r\n";
        assert_eq!(
            settle(answer, false),
            "v=0\r\na=group:BUNDLE 1 2\r\nm=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=inactive\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=ssrc:7 cname:x\r\na=sendonly\r\n\
             a=candidate:1 1 udp 9 10.0.0.1 5 typ host\r\na=end-of-candidates\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=inactive\r\n"
        );
    }

    #[test]
    fn who_only_watches_is_asked_for_nothing() {
        let answer = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=sendrecv\r\na=ssrc:7 cname:x\r\n";
        assert!(settle(answer, false).contains("a=sendonly"));
        assert!(settle(answer, true).contains("a=sendrecv"));
    }

    #[test]
    fn a_fragment_gives_its_candidates_and_their_section() {
        let fragment = Fragment::parse(
            "a=ice-ufrag:x\r\na=ice-pwd:y\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
             a=candidate:1 1 udp 1 10.0.0.1 5 typ host\r\na=end-of-candidates\r\n",
        );
        let candidate = ("candidate:1 1 udp 1 10.0.0.1 5 typ host".to_owned(), Some("0".to_owned()));
        assert_eq!(fragment, Ok(Fragment { ufrag: Some("x".to_owned()), candidates: vec![candidate] }));
        assert!(Fragment::parse("").is_err());
        assert!(Fragment::parse(&"a=candidate:1\r\n".repeat(33)).is_err());
        assert_eq!(candidate_kind("candidate:1 1 udp 1 10.0.0.1 5 typ srflx raddr"), "srflx");
        assert_eq!(candidate_kind("candidate:1 typ"), "unknown");
    }
}
