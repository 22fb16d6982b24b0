//! Who is asked, and on whose behalf: judges the `Host` and `Origin` of a request.
//!
//! A page of a foreign site may send requests to this machine, and a foreign name may be made to resolve
//! to it. So the name that was asked for must be one of ours, and a page that asks must come from us.
//! Pure: it knows neither sockets nor answers.

use std::net::{IpAddr, SocketAddr};

use nightjar_engine::config::allowed_host;
use url::Url;

/// The names under which the door may be reached, and the pages that may knock.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    /// Names with an optional port, in lower case.
    allowed: Vec<(String, Option<u16>)>,
    public: Option<Public>,
    /// Origins of the desktop's web view, as they are sent.
    web_views: Vec<String>,
}

#[derive(Debug)]
struct Public {
    host: String,
    origin: String,
}

/// What was found out about the name that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A name of this machine itself.
    Own,
    /// A name that the configuration allows. A proxy may stand in between and carry TLS.
    Allowed,
    Foreign,
}

/// Where a page comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// Our own page.
    Same,
    /// The desktop's web view, which needs CORS headers.
    WebView,
    Foreign,
}

impl Hosts {
    pub(crate) fn new(public_url: Option<&Url>, allowed_hosts: &[String], web_views: &[String]) -> Self {
        let public = public_url.map(|url| Public {
            host: url.host_str().unwrap_or_default().to_ascii_lowercase(),
            origin: url.origin().ascii_serialization(),
        });
        let allowed = allowed_hosts.iter().filter_map(|host| allowed_host(host)).collect();
        Self { allowed, public, web_views: web_views.to_vec() }
    }

    /// Judges the value of `Host`. The port does not matter unless the configuration names one: what a
    /// foreign site can choose is the name.
    pub(crate) fn judge_host(&self, host: &str, local: SocketAddr) -> Named {
        let Some((name, port)) = split(host) else { return Named::Foreign };
        if name == "localhost" {
            return Named::Own;
        }
        if let Ok(ip) = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>()
            && (ip.is_loopback() || ip.to_canonical() == local.ip().to_canonical())
        {
            return Named::Own;
        }
        let public = self.public.as_ref().is_some_and(|public| public.host == name);
        let allowed = |(other, other_port): &(String, Option<u16>)| {
            *other == name && (other_port.is_none() || *other_port == port)
        };
        if public || self.allowed.iter().any(allowed) { Named::Allowed } else { Named::Foreign }
    }

    /// Judges the value of `Origin` for a request to `host`, which was not foreign.
    pub(crate) fn judge_origin(&self, origin: &str, host: &str, named: Named, tls: bool) -> Page {
        if self.web_views.iter().any(|own| own == origin) {
            return Page::WebView;
        }
        let origin = origin.to_ascii_lowercase();
        if self.public.as_ref().is_some_and(|public| public.origin == origin) {
            return Page::Same;
        }
        let own = if tls { "https" } else { "http" };
        let Some((scheme, authority)) = origin.split_once("://") else { return Page::Foreign };
        // A proxy may carry TLS for a name that is not this machine's own.
        let scheme_fits = scheme == own || (named == Named::Allowed && !tls && scheme == "https");
        let plain = |text: &str| {
            let port = if scheme == "https" { ":443" } else { ":80" };
            text.strip_suffix(port).unwrap_or(text).to_ascii_lowercase()
        };
        if scheme_fits && plain(authority) == plain(host) { Page::Same } else { Page::Foreign }
    }
}

/// `name[:port]` in lower case; `None` for what is no host.
fn split(host: &str) -> Option<(String, Option<u16>)> {
    let host = host.to_ascii_lowercase();
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (inner, after) = rest.split_once(']')?;
            inner.parse::<std::net::Ipv6Addr>().ok()?;
            (format!("[{inner}]"), after)
        }
        None => match host.find(':') {
            Some(at) => (host.get(..at)?.to_owned(), host.get(at..)?),
            None => (host.clone(), ""),
        },
    };
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if name.is_empty() || !(name.starts_with('[') || name.chars().all(letter)) {
        return None;
    }
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        None if port.is_empty() => None,
        _ => return None,
    };
    Some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB_VIEW: &str = "tauri://localhost";

    fn hosts() -> Hosts {
        let public = Url::parse("https://Cams.Example").unwrap();
        let allowed = ["nvr.lan", "nas.lan:9000", "Büro.lan", "[fd00:0::1]"].map(str::to_owned);
        Hosts::new(Some(&public), &allowed, &[WEB_VIEW.to_owned()])
    }

    #[test]
    fn only_names_of_this_machine_and_of_the_configuration_are_ours() {
        let local: SocketAddr = "192.168.1.5:8420".parse().unwrap();
        for (host, named) in [
            ("localhost", Named::Own),
            ("LocalHost:8420", Named::Own),
            ("127.0.0.1:8420", Named::Own),
            ("[::1]:8420", Named::Own),
            ("192.168.1.5:8420", Named::Own),
            ("[::ffff:192.168.1.5]", Named::Own),
            ("cams.example", Named::Allowed),
            ("NVR.lan:8420", Named::Allowed),
            ("nas.lan:9000", Named::Allowed),
            ("xn--bro-hoa.lan:8420", Named::Allowed),
            ("[fd00::1]:8420", Named::Allowed),
            ("nas.lan:9001", Named::Foreign),
            ("192.168.1.6:8420", Named::Foreign),
            ("evil.example", Named::Foreign),
            ("localhost.evil.example", Named::Foreign),
            ("127.0.0.1.evil.example", Named::Foreign),
            ("127.0.0.1@evil.example", Named::Foreign),
            ("evil.example#localhost", Named::Foreign),
            ("localhost:8420:1", Named::Foreign),
            ("localhost:99999", Named::Foreign),
            ("localhost:+80", Named::Foreign),
            ("[::1", Named::Foreign),
            ("[localhost]", Named::Foreign),
            ("", Named::Foreign),
        ] {
            assert_eq!(hosts().judge_host(host, local), named, "{host}");
        }
    }

    #[test]
    fn only_pages_of_ours_may_knock() {
        let judge = |origin: &str, host: &str, tls: bool| {
            let named = hosts().judge_host(host, "127.0.0.1:8420".parse().unwrap());
            hosts().judge_origin(origin, host, named, tls)
        };
        for (origin, host, tls, from) in [
            ("http://127.0.0.1:8420", "127.0.0.1:8420", false, Page::Same),
            ("http://localhost", "localhost:80", false, Page::Same),
            ("https://localhost:8420", "localhost:8420", true, Page::Same),
            ("https://cams.example", "cams.example", false, Page::Same),
            ("https://nvr.lan", "nvr.lan", false, Page::Same),
            (WEB_VIEW, "127.0.0.1:8420", false, Page::WebView),
            ("https://cams.example", "127.0.0.1:8420", false, Page::Same),
            ("https://127.0.0.1:8420", "127.0.0.1:8420", false, Page::Foreign),
            ("http://localhost:8420", "localhost:8420", true, Page::Foreign),
            ("http://localhost:3000", "localhost:8420", false, Page::Foreign),
            ("http://localhost:8420", "127.0.0.1:8420", false, Page::Foreign),
            ("http://evil.example", "127.0.0.1:8420", false, Page::Foreign),
            ("http://127.0.0.1:8420.evil.example", "127.0.0.1:8420", false, Page::Foreign),
            ("tauri://localhost.evil", "127.0.0.1:8420", false, Page::Foreign),
            ("null", "127.0.0.1:8420", false, Page::Foreign),
            ("", "127.0.0.1:8420", false, Page::Foreign),
        ] {
            assert_eq!(judge(origin, host, tls), from, "{origin} on {host}");
        }
    }
}
