//! The files of the wall and of the phone's page, as `src-ui` and `mobile/web` were built. In a debug build
//! they are read from the disk on each request, in a release they are part of the program.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::reply::{Refusal, Reply};

/// What a page of ours may do. Styles may stand inline: the wall places its tiles by them.
pub(crate) const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data: blob:; media-src 'self' blob: mediastream:; connect-src 'self'; \
     worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "../../src-ui/dist"]
#[allow_missing = true]
struct Files;

#[derive(RustEmbed)]
#[folder = "../../mobile/web/dist"]
#[allow_missing = true]
struct PhoneFiles;

/// Where the phone's page and all that belongs to it lies.
pub(crate) const PHONE: &str = "publish";

const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Nightjar</title>\n\
    <h1>Nightjar runs</h1>\n<p>Its wall was not built into this program. Build it by \
    <code>npm start</code>, or by <code>npm run build -w src-ui</code> and building the program again.</p>\n\
    <p>The interface for programs is described at <a href=\"/api/v1/openapi.json\">/api/v1/openapi.json</a>.</p>\n";

/// The page itself. It finds its way by what follows `#`, so it has one address.
pub(crate) async fn index(headers: HeaderMap) -> Response {
    page(Files::get("index.html"), &headers)
}

/// The phone's page.
pub(crate) async fn phone(headers: HeaderMap) -> Response {
    let mut response = page(PhoneFiles::get("index.html"), &headers);
    let name = HeaderName::from_static("permissions-policy");
    response.headers_mut().insert(name, HeaderValue::from_static("camera=(self), microphone=(self)"));
    response
}

fn page(file: Option<EmbeddedFile>, headers: &HeaderMap) -> Response {
    match file {
        Some(file) => give("index.html", file, headers),
        None => {
            let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
            (StatusCode::OK, kind, NOT_BUILT).into_response()
        }
    }
}

/// Any other file of the two, or nothing.
pub(crate) async fn file(method: Method, uri: Uri, headers: HeaderMap) -> Reply {
    let path = uri.path().trim_start_matches('/');
    // Names of built files hold nothing else; nothing is decoded, so nothing can climb out.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    let fits = path.len() <= 200 && path.chars().all(plain) && !path.contains("..") && !path.contains("//");
    let (path, file) = match path.strip_prefix(PHONE).and_then(|rest| rest.strip_prefix('/')) {
        _ if !fits || path.is_empty() => (path, None),
        Some(rest) => (rest, PhoneFiles::get(rest)),
        None => (path, Files::get(path)),
    };
    match (file, method) {
        (Some(file), Method::GET | Method::HEAD) => Ok(give(path, file, &headers)),
        (Some(_), _) => {
            let mut response = Refusal::wrong_method().into_response();
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET,HEAD"));
            Ok(response)
        }
        (None, _) => Err(Refusal::nothing_here()),
    }
}

fn give(path: &str, file: EmbeddedFile, asked: &HeaderMap) -> Response {
    let tag: String = file.metadata.sha256_hash().iter().take(12).map(|b| format!("{b:02x}")).collect();
    let tag = format!("\"{tag}\"");
    // Built assets carry a hash of their content in their names.
    let cache = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = mime_guess::from_path(path).first_or_octet_stream();
        let kind = match kind.type_().as_str() {
            "text" => format!("{kind}; charset=utf-8"),
            _ => kind.to_string(),
        };
        ([(header::CONTENT_TYPE, kind)], file.data).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}
