//! What is private in a camera's address, and where its password may go.
//!
//! Some cameras want their password in the address itself, in the query (`?user=u&password=p`) or in the path
//! (`/user=u_password=p_channel=1.sdp`). It is shown as [`STARS`] and kept with the other secrets. Invariants:
//! what is hidden is found again in the same address only, and no secret goes where it did not go before,
//! unless somebody gives it anew.

use std::ops::Range;

use url::{Url, form_urlencoded};

use crate::api::CameraSpec;
use crate::config::Invalid;

/// Stands where something is hidden.
const STARS: &str = "***";

/// Parts of a key that make its value private.
const PRIVATE: [&str; 7] = ["pass", "pwd", "pw", "token", "auth", "key", "secret"];

/// The address as it may be shown.
pub(super) fn shown(url: &str) -> String {
    let mut shown = url.to_owned();
    for at in places(url).into_iter().rev() {
        shown.replace_range(at, STARS);
    }
    shown
}

/// The private values within an address.
pub(super) fn values(url: &str) -> impl Iterator<Item = &str> {
    places(url).into_iter().map(|at| &url[at])
}

/// Puts back into `spec` what its addresses hide, from the camera as it is kept.
///
/// # Errors
/// [`Invalid`] where stars stand for nothing that is known of that host.
pub(super) fn uncover(spec: &mut CameraSpec, kept: Option<&CameraSpec>) -> Result<(), Invalid> {
    let (url, sub_url) = (kept.map(|kept| &kept.url), kept.and_then(|kept| kept.sub_url.as_ref()));
    // Of both, the address in the same place is asked first.
    let fields =
        [("url", Some(&mut spec.url), [url, sub_url]), ("sub_url", spec.sub_url.as_mut(), [sub_url, url])];
    for (field, url, known) in fields.into_iter().filter_map(|(field, url, known)| Some((field, url?, known)))
    {
        let known: Vec<&str> = known.into_iter().flatten().map(String::as_str).collect();
        *url = uncovered(url, &known).ok_or_else(|| Invalid {
            field: field.to_owned(),
            reason: format!("hides a password behind {STARS}; write it out"),
        })?;
    }
    Ok(())
}

/// Whether what `old` logs in with may not be used for `new`: for another user, or at an address with another
/// scheme, host or port.
pub(super) fn leads_elsewhere(old: &CameraSpec, new: &CameraSpec) -> bool {
    let known: Vec<_> = addresses(old).map(origin).collect();
    old.username != new.username || addresses(new).any(|url| !known.contains(&origin(url)))
}

fn addresses(spec: &CameraSpec) -> impl Iterator<Item = &str> {
    std::iter::once(&spec.url).chain(&spec.sub_url).map(String::as_str)
}

/// Scheme, host and port; none of an address that is none.
fn origin(url: &str) -> Option<(String, Option<String>, u16)> {
    let url = Url::parse(url).ok()?;
    let usual = match url.scheme() {
        "rtsp" => 554,
        "rtsps" => 322,
        _ => 0,
    };
    Some((url.scheme().to_owned(), url.host_str().map(str::to_lowercase), url.port().unwrap_or(usual)))
}

fn uncovered(url: &str, known: &[&str]) -> Option<String> {
    let mut whole = url.to_owned();
    for at in places(url).into_iter().rev().filter(|at| &url[at.clone()] == STARS) {
        let key = key_before(url, at.start);
        // The same key's value, at the same place among those of that name.
        let nth = places(&url[..at.start]).iter().filter(|p| key_before(url, p.start) == key).count();
        let value = known.iter().filter(|other| origin(other) == origin(url)).find_map(|other| {
            let mut of_key = places(other).into_iter().filter(|p| key_before(other, p.start) == key);
            of_key.nth(nth).map(|p| &other[p])
        })?;
        whole.replace_range(at, value);
    }
    Some(whole)
}

/// Where private values stand, in order.
fn places(url: &str) -> Vec<Range<usize>> {
    let Some(host) = url.find("://").map(|at| at + 3) else { return Vec::new() };
    let start = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    let query = url.find('?').unwrap_or(url.len());
    let mut places = Vec::new();
    let mut at = start;
    while let Some(equals) = url[at..].find('=').map(|found| at + found) {
        at = equals + 1;
        let end = value_end(url, at, at <= query);
        if end > at && is_private(key_before(url, at)) {
            places.push(at..end);
            at = end;
        }
    }
    places
}

/// The word before the `=` that precedes `value`.
fn key_before(url: &str, value: usize) -> &str {
    let before = &url[..value - 1];
    let in_path = !before.contains('?');
    let parts = |c: char| "/?&;#=,".contains(c) || (c == '_' && in_path);
    let begin = before.rfind(parts).map_or(0, |at| at + 1);
    &before[begin..]
}

fn is_private(key: &str) -> bool {
    let decoded = form_urlencoded::parse(key.as_bytes()).next();
    let key = decoded.map_or_else(String::new, |(key, _)| key.to_ascii_lowercase());
    PRIVATE.iter().any(|word| key.contains(word))
}

fn value_end(url: &str, at: usize, in_path: bool) -> usize {
    let rest = &url[at..];
    let end = rest.find(if in_path { &['/', '?', '&', ';', '#'][..] } else { &['&', ';', '#'] });
    let rest = &rest[..end.unwrap_or(rest.len())];
    // In a path "_" may part the pairs, and may be of a value.
    let next = rest.match_indices('_').filter(|_| in_path).find(|(from, _)| {
        rest[from + 1..]
            .split_once('=')
            .is_some_and(|(key, _)| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric()))
    });
    at + next.map_or(rest.len(), |(from, _)| from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(url: &str, sub_url: Option<&str>) -> CameraSpec {
        CameraSpec { url: url.to_owned(), sub_url: sub_url.map(str::to_owned), ..CameraSpec::default() }
    }

    #[test]
    fn what_is_private_in_an_address_shows_three_stars() {
        for (url, told) in [
            ("rtsp://h/live?user=u&password=p%26w&subtype=1", "rtsp://h/live?user=u&password=***&subtype=1"),
            ("rtsp://h/live?PWD=a/b_c?d=e", "rtsp://h/live?PWD=***"),
            ("rtsp://h?p%61ss=x;token=", "rtsp://h?p%61ss=***;token="),
            (
                "rtsp://h/user=u_password=a_b_channel=1.sdp?x=1",
                "rtsp://h/user=u_password=***_channel=1.sdp?x=1",
            ),
            ("rtsp://h/user=u&password=p&channel=1", "rtsp://h/user=u&password=***&channel=1"),
            ("rtsp://h/?auth=YWJj_x==&auth=2#key=3", "rtsp://h/?auth=***&auth=***#key=***"),
            ("rtsp://h/ch1?é=ü&password=ü", "rtsp://h/ch1?é=ü&password=***"),
            ("rtsp://h/ch1?width=640", "rtsp://h/ch1?width=640"),
            ("rtsp://password=x", "rtsp://password=x"),
            ("demo:1", "demo:1"),
            ("", ""),
        ] {
            assert_eq!(shown(url), told);
            let mut back = spec(&shown(url), None);
            uncover(&mut back, Some(&spec(url, None))).expect("all of it is known");
            assert_eq!(back.url, url);
        }
    }

    #[test]
    fn what_is_hidden_comes_back_at_the_same_host_alone() {
        let kept = spec("rtsp://h:554/a?token=1&token=2", Some("rtsp://h/b?token=3"));
        let mut moved = spec("rtsp://h/user=me_pw=***&x", None);
        uncover(&mut moved, Some(&spec("rtsp://h/user=you_pw=4&x", None))).expect("known");
        assert_eq!(moved.url, "rtsp://h/user=me_pw=4&x");
        let mut moved = spec("rtsp://h/c?token=***&token=***&x=1", Some("rtsp://h/b?token=***"));
        uncover(&mut moved, Some(&kept)).expect("known");
        assert_eq!(moved.url, "rtsp://h/c?token=1&token=2&x=1");
        assert_eq!(moved.sub_url.as_deref(), Some("rtsp://h/b?token=3"));
        for foreign in ["rtsp://other/?token=***", "rtsps://h/?token=***", "rtsp://h:8554/?token=***"] {
            let error = uncover(&mut spec(foreign, None), Some(&kept)).expect_err(foreign);
            assert_eq!(error.field, "url");
        }
        let error =
            uncover(&mut spec("rtsp://h/", Some("rtsp://h/?pw=***")), Some(&kept)).expect_err("unknown");
        assert_eq!(error.field, "sub_url");
        uncover(&mut spec("rtsp://h/?token=***", None), None).expect_err("nothing is kept");
    }

    #[test]
    fn a_login_goes_where_it_went_before() {
        let old =
            CameraSpec { username: Some("u".to_owned()), ..spec("rtsp://h/a", Some("rtsp://h:8554/b")) };
        let with = |url: &str, sub_url: Option<&str>| CameraSpec {
            username: old.username.clone(),
            ..spec(url, sub_url)
        };
        for same in [with("rtsp://H:554/c?d", None), with("rtsp://h:8554/", Some("rtsp://h/"))] {
            assert!(!leads_elsewhere(&old, &same), "{same:?}");
        }
        for other in [
            with("rtsp://g/a", None),
            with("rtsps://h/a", None),
            with("rtsp://h:555/a", None),
            with("rtsp://h/a", Some("rtsp://g/b")),
            with("demo:1", None),
            CameraSpec { username: None, ..old.clone() },
        ] {
            assert!(leads_elsewhere(&old, &other), "{other:?}");
        }
    }
}
