//! ICE candidates in every spelling that is about, made one (R-S4).
//!
//! Pure. What comes out has the prefix `candidate:` exactly once and stands on one line; what would make us
//! knock at addresses that no phone has is dropped here (research: A20). A candidate that cannot be read costs
//! its sender nothing but the candidate.

use std::net::{IpAddr, Ipv4Addr};

use serde_json::{Map, Value};

use crate::message::Candidate;

/// Longest candidate that is read, in bytes.
pub const CANDIDATE_MAX: usize = 1_024;
/// Longest `sdpMid` and user fragment.
const NAME_MAX: usize = 256;
const PREFIX: &str = "candidate:";

/// What a message about candidates says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Candidate {
        candidate: Candidate,
        /// User fragment of the ICE session that it belongs to, where it says so.
        ufrag: Option<String>,
    },
    /// There are no more.
    End,
    /// It is well-formed, and of no use to us.
    Dropped(Drop),
}

/// Why a candidate is left aside without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drop {
    /// A name that only its own network can resolve. The phone finds us instead.
    Mdns,
    /// An address that no phone can have, or TCP where we listen for none.
    Filtered,
}

/// It cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCandidate {
    #[error("it is nested too deeply")]
    Nested,
    #[error("it is longer than {CANDIDATE_MAX} bytes")]
    Long,
    #[error("it has characters that have no place in it")]
    Characters,
    #[error("it is no candidate")]
    Form,
}

/// What we can use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taken {
    /// TCP candidates are wanted.
    pub tcp: bool,
    /// Loopback addresses are wanted: the phone is on this machine, as in tests.
    pub loopback: bool,
}

/// Reads the fields of a message about a candidate, flat or nested.
///
/// # Errors
/// [`BadCandidate`] where it cannot be read.
pub fn read(message: &Map<String, Value>, taken: Taken) -> Result<Heard, BadCandidate> {
    let (text, fields) = match message.get("candidate") {
        None | Some(Value::Null) => return Ok(Heard::End),
        Some(Value::String(text)) => (text, message),
        Some(Value::Object(inner)) => match inner.get("candidate") {
            None | Some(Value::Null) => return Ok(Heard::End),
            Some(Value::String(text)) => (text, inner),
            Some(Value::Object(_)) => return Err(BadCandidate::Nested),
            Some(_) => return Err(BadCandidate::Form),
        },
        Some(_) => return Err(BadCandidate::Form),
    };
    let Some(line) = line(text)? else { return Ok(Heard::End) };
    let (kind, ufrag) = judge(&line, taken)?;
    if let Some(drop) = kind {
        return Ok(Heard::Dropped(drop));
    }
    let first = |names: &[&str]| names.iter().find_map(|name| fields.get(*name).filter(|v| !v.is_null()));
    let mid = match first(&["sdpMid", "sdp_mid", "mid"]) {
        None => None,
        Some(Value::String(mid)) => Some(word(mid)?),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(_) => return Err(BadCandidate::Form),
    };
    let index = match first(&["sdpMLineIndex", "sdp_mline_index", "sdp_m_line_index"]) {
        None => None,
        Some(value) => {
            let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
            Some(number.and_then(|n| u16::try_from(n).ok()).ok_or(BadCandidate::Form)?)
        }
    };
    let named = first(&["usernameFragment", "ufrag"]).or_else(|| message.get("ufrag"));
    let ufrag = match named.and_then(Value::as_str) {
        Some(named) => Some(word(named)?),
        None => ufrag,
    };
    // All media share one connection: what names no section belongs to the first.
    let index = if mid.is_none() && index.is_none() { Some(0) } else { index };
    let candidate = Candidate { candidate: line, sdp_mid: mid, sdp_m_line_index: index };
    Ok(Heard::Candidate { candidate, ufrag })
}

fn word(text: &str) -> Result<String, BadCandidate> {
    if text.len() > NAME_MAX || text.chars().any(char::is_control) {
        return Err(BadCandidate::Characters);
    }
    Ok(text.to_owned())
}

/// The line with its prefix once; `None` for the end of candidates.
fn line(text: &str) -> Result<Option<String>, BadCandidate> {
    if text.len() > CANDIDATE_MAX {
        return Err(BadCandidate::Long);
    }
    let text = text.trim();
    if text.chars().any(|c| c.is_control() || !c.is_ascii()) {
        return Err(BadCandidate::Characters);
    }
    let text = strip(text, "a=");
    if text.is_empty() || text.eq_ignore_ascii_case("end-of-candidates") {
        return Ok(None);
    }
    let bare = strip(text, PREFIX).trim_start();
    if bare.is_empty() {
        return Ok(None);
    }
    let words: Vec<&str> = bare.split_ascii_whitespace().collect();
    Ok(Some(format!("{PREFIX}{}", words.join(" "))))
}

/// Without a prefix, whatever its case.
fn strip<'a>(text: &'a str, prefix: &str) -> &'a str {
    match text.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => &text[prefix.len()..],
        _ => text,
    }
}

/// Checks a candidate's words (RFC 8839, section 5.1): foundation, component, transport, priority, address,
/// port, `typ`, type, then pairs. Says whether it is dropped, and its user fragment.
fn judge(line: &str, taken: Taken) -> Result<(Option<Drop>, Option<String>), BadCandidate> {
    let words: Vec<&str> = line[PREFIX.len()..].split(' ').collect();
    let [_, component, transport, priority, address, port, typ, kind, rest @ ..] = words.as_slice() else {
        return Err(BadCandidate::Form);
    };
    let component_fits = component.parse::<u16>().is_ok_and(|c| (1..=256).contains(&c));
    let known = ["host", "srflx", "prflx", "relay"].iter().any(|k| kind.eq_ignore_ascii_case(k));
    if !component_fits || priority.parse::<u32>().is_err() || !typ.eq_ignore_ascii_case("typ") || !known {
        return Err(BadCandidate::Form);
    }
    let Ok(port) = port.parse::<u16>() else { return Err(BadCandidate::Form) };
    let tcp = match transport.to_ascii_lowercase().as_str() {
        "udp" => false,
        "tcp" | "ssltcp" => true,
        _ => return Err(BadCandidate::Form),
    };
    let value = |name: &str| {
        let mut pairs = rest.chunks_exact(2);
        pairs.find(|pair| pair[0].eq_ignore_ascii_case(name)).map(|pair| pair[1])
    };
    let ufrag = value("ufrag").map(str::to_owned);
    let name = address.to_ascii_lowercase();
    if name.ends_with(".local") || name.ends_with(".invalid") {
        return Ok((Some(Drop::Mdns), ufrag));
    }
    let Ok(address) = name.parse::<IpAddr>() else { return Err(BadCandidate::Form) };
    // On this machine a low port is a service, never a phone.
    let service = address.is_loopback() && port < 1_024;
    let wanted = if tcp { taken.tcp } else { port != 0 };
    let wanted = wanted && !service && is_reachable(address, taken.loopback);
    Ok(((!wanted).then_some(Drop::Filtered), ufrag))
}

/// Whether a phone can have the address.
fn is_reachable(address: IpAddr, loopback: bool) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let metadata = v4 == Ipv4Addr::new(169, 254, 169, 254);
            let null_net = v4.octets()[0] == 0;
            !(null_net || metadata || v4.is_multicast() || v4.is_broadcast())
                && (loopback || !v4.is_loopback())
        }
        IpAddr::V6(v6) => !(v6.is_unspecified() || v6.is_multicast()) && (loopback || !v6.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const HOST: &str = "1 1 udp 2122260223 192.168.1.7 50028 typ host";

    fn heard(value: Value) -> Result<Heard, BadCandidate> {
        read(value.as_object().expect("an object"), Taken::default())
    }

    fn given(value: Value) -> (String, Option<String>, Option<u16>) {
        match heard(value.clone()) {
            Ok(Heard::Candidate { candidate: c, .. }) => (c.candidate, c.sdp_mid, c.sdp_m_line_index),
            other => panic!("{value} gave {other:?}"),
        }
    }

    #[test]
    fn r_s4_fourteen_spellings_have_one_meaning() {
        let line = format!("candidate:{HOST}");
        let whole = (line.clone(), Some("0".to_owned()), Some(0));
        for same in [
            json!({"candidate": {"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0}}),
            json!({"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0}),
            json!({"candidate": HOST, "sdpMid": "0", "sdpMLineIndex": 0}),
            json!({"candidate": {"candidate": HOST, "sdpMid": "0", "sdpMLineIndex": 0}}),
            json!({"candidate": format!("a={line}\r\n"), "sdpMid": "0", "sdpMLineIndex": 0}),
            json!({"candidate": format!("  candidate: {HOST}"), "sdpMid": "0", "sdpMLineIndex": 0}),
            json!({"candidate": line, "sdp_mid": "0", "sdp_mline_index": 0}),
            json!({"candidate": line, "sdpMid": 0, "sdpMLineIndex": 0}),
            json!({"candidate": line, "mid": "0", "sdpMLineIndex": "0"}),
        ] {
            assert_eq!(given(same), whole);
        }
        let loud =
            json!({"candidate": "CANDIDATE:1 1 UDP 2122260223 192.168.1.7 50028 typ host", "sdpMid": "0"});
        assert_eq!(given(loud).0, "candidate:1 1 UDP 2122260223 192.168.1.7 50028 typ host");
        // 8: who names a section has it; who names none has the first.
        assert_eq!(given(json!({"candidate": line, "sdpMLineIndex": 1})), (line.clone(), None, Some(1)));
        let named = (line.clone(), Some("video".into()), None);
        assert_eq!(given(json!({"candidate": line, "sdpMid": "video"})), named);
        for neither in
            [json!({"candidate": line}), json!({"candidate": line, "sdpMid": null, "sdpMLineIndex": null})]
        {
            assert_eq!(given(neither), (line.clone(), None, Some(0)));
        }
        // 9
        for end in [
            json!({"candidate": ""}),
            json!({"candidate": null}),
            json!({}),
            json!({"candidate": {"candidate": ""}}),
            json!({"candidate": {"candidate": null}}),
            json!({"candidate": {}}),
            json!({"candidate": "a=end-of-candidates"}),
            json!({"candidate": "candidate:"}),
        ] {
            assert_eq!(heard(end.clone()), Ok(Heard::End), "{end}");
        }
        // 10, 11, 12
        let at = |address: &str, more: &str| {
            heard(json!({"candidate": format!("candidate:1 1 udp 1 {address} {more} typ host")}))
        };
        let mdns = at("3f2c9e1a-0b1c-4d5e-8f90-123456789abc.local", "50028");
        assert_eq!(mdns, Ok(Heard::Dropped(Drop::Mdns)));
        for nowhere in [
            "127.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "ff02::1",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert_eq!(at(nowhere, "22"), Ok(Heard::Dropped(Drop::Filtered)), "{nowhere}");
        }
        let tcp = json!({"candidate": "candidate:1 1 tcp 1518280447 192.168.1.7 9 typ host tcptype active"});
        assert_eq!(heard(tcp.clone()), Ok(Heard::Dropped(Drop::Filtered)));
        let with_tcp = read(tcp.as_object().unwrap(), Taken { tcp: true, loopback: false });
        assert!(matches!(with_tcp, Ok(Heard::Candidate { .. })));
        // 13
        for address in ["2001:db8::7", "fe80::1"] {
            let text = format!(
                "candidate:1 1 udp 1 {address} 50028 typ srflx raddr 10.0.0.1 rport 9 generation 0 ufrag abc network-id 1 network-cost 50"
            );
            let Ok(Heard::Candidate { ufrag, .. }) = heard(json!({"candidate": text})) else {
                panic!("{text}")
            };
            assert_eq!(ufrag.as_deref(), Some("abc"));
        }
        // 14
        let long = format!("candidate:{HOST} {}", "x".repeat(2_000));
        for (bad, why) in [
            (json!({"candidate": {"candidate": {"candidate": line}}}), BadCandidate::Nested),
            (json!({"candidate": long}), BadCandidate::Long),
            (json!({"candidate": "candidate:1 1 udp 1 192.168.1.7 99999 typ host"}), BadCandidate::Form),
            (json!({"candidate": format!("{line}\ncandidate:{HOST}")}), BadCandidate::Characters),
            (json!({"candidate": format!("{line}\0")}), BadCandidate::Characters),
            (json!({"candidate": "candidate:1 1 udp 1 192.168.1.7"}), BadCandidate::Form),
            (json!({"candidate": "candidate:1 1 udp 1 example.com 5 typ host"}), BadCandidate::Form),
            (json!({"candidate": "candidate:candidate:1 1 udp 1 192.168.1.7 5 typ"}), BadCandidate::Form),
            (json!({"candidate": 7}), BadCandidate::Form),
            (json!({"candidate": [line]}), BadCandidate::Form),
            (json!({"candidate": line, "sdpMLineIndex": 70000}), BadCandidate::Form),
            (json!({"candidate": line, "sdpMid": {}}), BadCandidate::Form),
        ] {
            assert_eq!(heard(bad.clone()), Err(why), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn r_s4_what_comes_out_has_the_prefix_once_and_comes_out_the_same_again(text in ".{0,80}", flat: bool) {
            let text = format!("{HOST} {text}");
            let message = if flat { json!({"candidate": text}) } else { json!({"candidate": {"candidate": text}}) };
            if let Ok(Heard::Candidate { candidate, .. }) = heard(message) {
                let out = &candidate.candidate;
                prop_assert!(out.starts_with(PREFIX) && !out.contains(['\r', '\n', '\0']));
                let again = serde_json::to_value(&candidate).unwrap();
                prop_assert_eq!(&given(again).0, out);
            }
        }

        #[test]
        fn nothing_makes_the_reader_fall(text in "\\PC{0,200}", mid in ".{0,20}") {
            let _ = heard(json!({"candidate": text, "sdpMid": mid}));
        }
    }
}
