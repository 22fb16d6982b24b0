//! Large files by parts (RFC 9110 §13, §14).
//!
//! The size is what it is when the request is answered, also of a file that grows. Bytes are read on
//! blocking threads, a block at a time, as the client takes them.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::time::SystemTime;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;

/// Bytes that are read ahead of a client.
const BLOCK: u64 = 256 * 1024;

/// A file that may be taken.
pub(crate) struct Offer {
    pub(crate) file: File,
    pub(crate) bytes: u64,
    /// With its quotation marks; another one whenever a byte differs.
    pub(crate) tag: String,
    pub(crate) modified: Option<SystemTime>,
    /// To be saved under this name rather than shown.
    pub(crate) name: Option<String>,
}

/// What a request wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// First and last byte.
    Bytes(u64, u64),
    Nothing,
}

/// Answers GET and HEAD.
pub(crate) fn give(offer: Offer, method: &Method, asked: &HeaderMap) -> Response {
    let modified = offer.modified.filter(|at| *at >= SystemTime::UNIX_EPOCH);
    let known = match asked.get(header::IF_NONE_MATCH) {
        Some(value) => value.to_str().is_ok_and(|value| {
            value.split(',').any(|tag| tag.trim().trim_start_matches("W/") == offer.tag || tag.trim() == "*")
        }),
        None => unmodified_since(asked, &offer, modified),
    };
    let part = if *method == Method::GET { part(asked, &offer, modified) } else { Part::Whole };
    let (status, first, length) = match part {
        _ if known => (StatusCode::NOT_MODIFIED, 0, 0),
        Part::Whole => (StatusCode::OK, 0, offer.bytes),
        Part::Bytes(first, last) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Part::Nothing => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    set(header::ETAG, offer.tag);
    // It may be removed at any time; until then it is what it was.
    set(header::CACHE_CONTROL, "private, no-cache".to_owned());
    if let Some(at) = modified {
        set(header::LAST_MODIFIED, httpdate::fmt_http_date(at));
    }
    match status {
        StatusCode::RANGE_NOT_SATISFIABLE => set(header::CONTENT_RANGE, format!("bytes */{}", offer.bytes)),
        StatusCode::PARTIAL_CONTENT => {
            set(header::CONTENT_RANGE, format!("bytes {first}-{}/{}", first + length - 1, offer.bytes));
        }
        _ => {}
    }
    if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        set(header::CONTENT_TYPE, "video/mp4".to_owned());
        set(header::CONTENT_LENGTH, length.to_string());
        if let Some(name) = offer.name {
            set(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""));
        }
    }
    let body =
        if length > 0 && *method == Method::GET { read(offer.file, first, length) } else { Body::empty() };
    (status, headers, body).into_response()
}

/// Whether who asks has it already, by its date (RFC 9110 §13.1.3). A file that grows has none to go by.
fn unmodified_since(asked: &HeaderMap, offer: &Offer, modified: Option<SystemTime>) -> bool {
    let date = asked.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    let date = date.and_then(|value| httpdate::parse_http_date(value).ok());
    // Dates have no parts of a second.
    let whole = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date.zip(modified).is_some_and(|(date, modified)| whole(modified) <= whole(date))
        && !offer.tag.ends_with("-open\"")
}

fn part(asked: &HeaderMap, offer: &Offer, modified: Option<SystemTime>) -> Part {
    let Some(range) = asked.get(header::RANGE).and_then(|value| value.to_str().ok()) else {
        return Part::Whole;
    };
    if let Some(condition) = asked.get(header::IF_RANGE) {
        let condition = condition.to_str().unwrap_or_default().trim();
        let same = if condition.starts_with('"') {
            condition == offer.tag
        } else {
            // A date holds only where it is the very one, and old enough to be sure (RFC 9110 §13.1.5, §8.8.2.2).
            let date = httpdate::parse_http_date(condition).ok();
            let second = |at: SystemTime| httpdate::fmt_http_date(at);
            date.zip(modified).is_some_and(|(date, modified)| second(date) == second(modified))
                && !offer.tag.ends_with("-open\"")
        };
        if !same {
            return Part::Whole;
        }
    }
    parse(range, offer.bytes)
}

/// One range is answered; several at once, and what is none, are not looked at (RFC 9110 §14.2).
fn parse(range: &str, size: u64) -> Part {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        // More digits than a number has are beyond any end.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let Some((unit, set)) = range.split_once('=') else { return Part::Whole };
    let Some((first, last)) = set.trim().split_once('-') else { return Part::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Part::Whole;
    }
    match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            Some(0) => Part::Nothing,
            Some(_) if size == 0 => Part::Nothing,
            Some(count) => Part::Bytes(size.saturating_sub(count), size - 1),
            None => Part::Whole,
        },
        (first, last) => {
            let Some(first) = number(first) else { return Part::Whole };
            let last = if last.is_empty() { Some(u64::MAX) } else { number(last) };
            match last {
                None => Part::Whole,
                Some(last) if last < first => Part::Whole,
                Some(_) if first >= size => Part::Nothing,
                Some(last) => Part::Bytes(first, last.min(size - 1)),
            }
        }
    }
}

/// A file's bytes, as they are taken.
fn read(file: File, first: u64, length: u64) -> Body {
    let blocks = stream::try_unfold((Some(file), first, length), |(file, at, left)| async move {
        let Some(mut file) = file.filter(|_| left > 0) else { return Ok::<_, io::Error>(None) };
        let reading = tokio::task::spawn_blocking(move || {
            let size = usize::try_from(left.min(BLOCK)).unwrap_or(0);
            let mut block = vec![0; size];
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut block)?;
            Ok::<_, io::Error>((block, file))
        });
        let (block, file) = reading.await.map_err(io::Error::other)??;
        let size = block.len() as u64;
        Ok(Some((Bytes::from(block), (Some(file), at + size, left - size))))
    });
    Body::from_stream(blocks)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        for (range, part) in [
            ("bytes=0-0", Part::Bytes(0, 0)),
            ("bytes=0-", Part::Bytes(0, 99)),
            ("bytes=10-19", Part::Bytes(10, 19)),
            ("bytes=90-1000", Part::Bytes(90, 99)),
            ("bytes=99-99", Part::Bytes(99, 99)),
            ("bytes=-1", Part::Bytes(99, 99)),
            ("bytes=-100", Part::Bytes(0, 99)),
            ("bytes=-5000", Part::Bytes(0, 99)),
            ("Bytes=0-99999999999999999999999", Part::Bytes(0, 99)),
            ("bytes=100-", Part::Nothing),
            ("bytes=100-200", Part::Nothing),
            ("bytes=99999999999999999999999-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=20-10", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=", Part::Whole),
            ("bytes", Part::Whole),
            ("bytes=-", Part::Whole),
            ("items=0-1", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(parse(range, 100), part, "{range}");
        }
        assert_eq!(parse("bytes=0-", 0), Part::Nothing);
        assert_eq!(parse("bytes=-1", 0), Part::Nothing);
    }

    #[test]
    fn who_has_it_already_is_told_so_by_tag_and_else_by_date() {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_400);
        let date = httpdate::fmt_http_date(modified);
        let earlier = httpdate::fmt_http_date(modified - Duration::from_secs(1));
        let (tag, since) = (header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE);
        for (own, asked, known) in [
            ("\"a\"", vec![(&since, &*date)], true),
            ("\"a\"", vec![(&since, &earlier)], false),
            ("\"a\"", vec![(&since, "yesterday")], false),
            ("\"a-open\"", vec![(&since, &date)], false),
            ("\"a\"", vec![(&tag, "W/\"a\""), (&since, &earlier)], true),
            ("\"a\"", vec![(&tag, "\"b\""), (&since, &date)], false),
        ] {
            let file = tempfile::tempfile().expect("a file");
            let offer = Offer { file, bytes: 0, tag: own.to_owned(), modified: Some(modified), name: None };
            let headers: HeaderMap = asked
                .iter()
                .map(|(name, value)| ((*name).clone(), value.parse().expect("a value")))
                .collect();
            let status = give(offer, &Method::GET, &headers).status();
            assert_eq!(status == StatusCode::NOT_MODIFIED, known, "{own} {asked:?}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_always_within_the_file(range in "(bytes=)?[0-9,\\- ]{0,30}", size in 0_u64..1_000) {
            if let Part::Bytes(first, last) = parse(&range, size) {
                prop_assert!(first <= last && last < size);
            }
        }
    }
}
