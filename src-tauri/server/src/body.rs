//! Bodies of requests: bounded in size and time, and read as strictly as the contract says.
//!
//! What cannot be read is 400; what can be read but is not what it should be is 422 and names its field.
//! A complaint never repeats a value: it may be a password.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use nightjar_engine::api::ErrorCode;
use serde::de::DeserializeOwned;

use crate::reply::Refusal;

/// Largest body; everything that the contract takes is far smaller.
pub(crate) const BODY_MAX: usize = 64 * 1024;
/// Largest message of signaling, with its session beside it.
pub(crate) const SIGNAL_MAX: usize = 132 * 1024;
/// A body must be there in this time.
const BODY_TIME: Duration = Duration::from_secs(10);
/// What is read and thrown away of a body that is too large, so that its sender comes to read the answer.
const DRAIN_MAX: usize = 4 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// Longest name of a field that is repeated to the sender.
const FIELD_MAX: usize = 64;

/// Reads the whole body, `most` bytes of it.
pub(crate) async fn collect(request: Request<Body>, most: usize) -> Result<Request<Bytes>, Refusal> {
    let (head, mut body) = request.into_parts();
    let announced =
        head.headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let waits = head.headers.contains_key(header::EXPECT);
    if announced.is_some_and(|length| length > most as u64) {
        if !waits {
            drain(&mut body).await;
        }
        return Err(too_large(most));
    }
    let read = tokio::time::timeout(BODY_TIME, read(&mut body, most)).await;
    match read {
        Ok(Ok(Some(bytes))) => Ok(Request::from_parts(head, bytes)),
        Ok(Ok(None)) => {
            drain(&mut body).await;
            Err(too_large(most))
        }
        Ok(Err(_)) => Err(Refusal::new(ErrorCode::Malformed, "The body of the request is broken.")),
        Err(_) => Err(Refusal::new(ErrorCode::Malformed, "The body of the request did not come in time.")),
    }
}

/// Reads and throws away the body of a request that was refused for another reason: a sender that is
/// still sending would else lose the answer with its connection.
pub(crate) async fn forget(headers: &HeaderMap, body: &mut Body) {
    if !headers.contains_key(header::EXPECT) {
        drain(body).await;
    }
}

fn too_large(most: usize) -> Refusal {
    Refusal::new(ErrorCode::TooLarge, format!("The body of this request may have {most} bytes at most."))
}

/// `None` where it is too large.
async fn read(body: &mut Body, most: usize) -> Result<Option<Bytes>, axum::Error> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if all.len() + data.len() > most {
                return Ok(None);
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(Some(all.freeze()))
}

async fn drain(body: &mut Body) {
    let all = async {
        let mut left = DRAIN_MAX;
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, Bytes::len);
            left = match left.checked_sub(size) {
                Some(left) => left,
                None => return,
            };
        }
    };
    // Late or not: the answer goes out now.
    let _ = tokio::time::timeout(DRAIN_TIME, all).await;
}

/// Whether the content type is this one, parameters aside.
pub(crate) fn is_type(headers: &HeaderMap, wanted: &str) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let essence = value.to_str().ok().and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(wanted))
}

/// Asks for a content type.
pub(crate) fn expect_type(headers: &HeaderMap, wanted: &str) -> Result<(), Refusal> {
    if is_type(headers, wanted) {
        return Ok(());
    }
    Err(Refusal::new(ErrorCode::UnsupportedMediaType, format!("The body must be {wanted}.")))
}

/// Reads a JSON object.
pub(crate) fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Refusal> {
    expect_type(headers, "application/json")?;
    let malformed = |what: &str| Refusal::new(ErrorCode::Malformed, format!("The body is not JSON: {what}."));
    let text = std::str::from_utf8(body).map_err(|_| malformed("it is not UTF-8"))?;
    // All of it first: what is not JSON is malformed, whatever its beginning says.
    serde_json::from_str::<serde_json::Value>(text).map_err(|e| malformed(&place(&e)))?;
    // Without this a list would be taken for an object's values in their order.
    if !text.trim_start().starts_with('{') {
        return Err(Refusal::invalid("body", "must be an object"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // It is JSON: what is still wrong is a value, although the library calls a number in the place of a word
    // a mistake of syntax.
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| complaint(&error))
}

fn place(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

/// Names the field and what it should be, without its value.
fn complaint(error: &serde_path_to_error::Error<serde_json::Error>) -> Refusal {
    let message = error.inner().to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(before, _)| before);
    let path = error.path().to_string();
    let path = if path == "." { String::new() } else { path };
    let keyed = |prefix: &str| {
        let key = message.strip_prefix(prefix)?.split('`').next()?;
        let already = path == key || path.ends_with(&format!(".{key}"));
        Some(match path.as_str() {
            "" => key.to_owned(),
            path if already => path.to_owned(),
            path => format!("{path}.{key}"),
        })
    };
    for (prefix, reason) in [
        ("unknown field `", "is not known here"),
        ("missing field `", "is missing"),
        ("duplicate field `", "stands there twice"),
    ] {
        if let Some(field) = keyed(prefix) {
            return Refusal::invalid(short(&field), reason);
        }
    }
    let field = if path.is_empty() { "body".to_owned() } else { short(&path) };
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => Refusal::invalid(field, format!("must be {expected}")),
        None => Refusal::invalid(field, "is not valid"),
    }
}

fn short(field: &str) -> String {
    field.chars().filter(|c| !c.is_control()).take(FIELD_MAX).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use nightjar_engine::api::CameraSpec;

    use super::*;

    fn parse(content_type: &'static str, body: &[u8]) -> Result<CameraSpec, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        json(&headers, body)
    }

    #[test]
    fn broken_is_malformed_and_readable_is_invalid_by_its_field() {
        let json = "Application/JSON; charset=utf-8";
        assert_eq!(parse(json, br#" {"url":"rtsp://h/"} "#).unwrap().url, "rtsp://h/");
        assert_eq!(parse("text/plain", b"{}").unwrap_err().0.code, ErrorCode::UnsupportedMediaType);
        let broken: [&[u8]; 9] = [
            b"",
            b" ",
            b"{",
            b"{\"url\":5,}",
            b"{} {}",
            b"{\"url\":\"\xff\"}",
            b"{\"url\":\"\\ud800\"}",
            b"nul",
            &[b'['; 4_000],
        ];
        for body in broken {
            assert_eq!(parse(json, body).unwrap_err().0.code, ErrorCode::Malformed, "{body:?}");
        }
        for (body, field) in [
            ("null", "body"),
            ("[null,null,\"rtsp://h/\"]", "body"),
            ("7", "body"),
            ("{}", "url"),
            ("{\"url\":5}", "url"),
            ("{\"url\":\"rtsp://h/\",\"url\":\"rtsp://h/\"}", "url"),
            ("{\"url\":\"rtsp://h/\",\"ulr\":1}", "ulr"),
            ("{\"url\":\"rtsp://h/\",\"transport\":\"sctp\"}", "transport"),
            ("{\"url\":\"rtsp://h/\",\"transport\":1}", "transport"),
            ("{\"transport\":{},\"url\":\"rtsp://h/\"}", "transport"),
            ("{\"url\":\"rtsp://h/\",\"record\":1}", "record"),
            ("{\"url\":\"rtsp://h/\",\"tcp_timeout\":-1}", "tcp_timeout"),
            ("{\"url\":\"rtsp://h/\",\"tcp_timeout\":1.5}", "tcp_timeout"),
        ] {
            let error = parse(json, body.as_bytes()).unwrap_err().0;
            assert_eq!((error.code, error.field.as_deref()), (ErrorCode::Invalid, Some(field)), "{body}");
        }
    }

    #[test]
    fn a_complaint_does_not_repeat_a_value() {
        let error = parse("application/json", br#"{"url":"rtsp://h/","password":987654}"#).unwrap_err().0;
        assert_eq!(error.field.as_deref(), Some("password"));
        assert!(!error.message.contains("987654"), "{}", error.message);
    }
}
