//! What every request passes through, in this order: its host, its origin, its credentials, its body;
//! then its route; and what every answer carries.
//!
//! Invariant: nothing changes before all of it is passed. Logs show paths, never queries: tickets are there.

use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use nightjar_engine::api::ErrorCode;
use tokio::time::{Instant, sleep_until};
use tower::ServiceExt as _;
use tracing::{debug, error, warn};

use crate::auth::{Auth, Verdict};
use crate::body;
use crate::door::{Arrival, Door, Way};
use crate::hosts::{Hosts, Named, Page};
use crate::reply::Refusal;
use crate::wall;
use crate::wire::OUR_MARK;

/// Where messages of signaling are posted.
const POSTED: &str = "/api/v1/sig";
/// How far a path is shown in logs.
const PATH_SHOWN: usize = 200;
/// Methods that any route takes.
const METHODS: &str = "GET, HEAD, POST, PATCH, DELETE, OPTIONS";

/// What is known about a request once it may go on.
#[derive(Default)]
struct Passed {
    /// The web view that asks, for its CORS headers.
    web_view: Option<HeaderValue>,
    /// A renewed session.
    cookie: Option<HeaderValue>,
    /// It showed a ticket: an `<img>` or a `<video>` of the web view may use the answer.
    ticket: bool,
    /// It is posted to signaling without the token: only a session that lives lets it in.
    unproven: Option<Refusal>,
}

/// Answers a request.
pub(crate) async fn answer(
    door: &Door,
    router: Router,
    arrival: Arrival,
    request: Request<Body>,
) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut passed = Passed::default();
    let answered = AssertUnwindSafe(pass(door, router, arrival, request, &mut passed)).catch_unwind().await;
    let mut response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => {
            error!(%method, "a request met a defect");
            Refusal::new(ErrorCode::Internal, "A defect of Nightjar. The log says more.").into_response()
        }
    };
    dress(response.headers_mut(), &path, passed);
    let status = response.status();
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let shown: String = path.chars().filter(|c| !c.is_control()).take(PATH_SHOWN).collect();
    if status.is_server_error() && !matches!(status.as_u16(), 501..=503) {
        warn!(%method, path = shown, status = status.as_u16(), ms, "answered");
    } else {
        debug!(%method, path = shown, status = status.as_u16(), ms, "answered");
    }
    door.figures.count(status);
    response
}

async fn pass(
    door: &Door,
    router: Router,
    arrival: Arrival,
    request: Request<Body>,
    passed: &mut Passed,
) -> Result<Response, Refusal> {
    let (mut request, mut body) = request.into_parts();
    let reading = matches!(request.method, Method::GET | Method::HEAD);
    match admit(door, arrival, &request, passed).await {
        Ok(None) => {}
        Ok(Some(answer)) => return Ok(answer),
        Err(refusal) => {
            if !reading {
                body::forget(&request.headers, &mut body).await;
            }
            return Err(refusal);
        }
    }
    request.extensions.insert(arrival);
    let request = Request::from_parts(request, body);
    let most = if request.uri().path() == POSTED { body::SIGNAL_MAX } else { body::BODY_MAX };
    let collected =
        if reading { Ok(request) } else { body::collect(request, most).await.map(|r| r.map(Body::from)) };
    let answered = match collected {
        Ok(request) => match router.oneshot(request).await {
            Ok(response) => Ok(response),
            Err(never) => match never {},
        },
        Err(refusal) => Err(refusal),
    };
    match passed.unproven.take() {
        Some(unproven) if !answered.as_ref().is_ok_and(|a| a.status().is_success()) => Err(unproven),
        _ => answered,
    }
}

/// Lets a request in, or answers it at the door.
async fn admit(
    door: &Door,
    arrival: Arrival,
    request: &Parts,
    passed: &mut Passed,
) -> Result<Option<Response>, Refusal> {
    let (host, named) = host(door, arrival, request)?;
    let origin = origin(door, arrival, request, &host, named)?;
    if let Some((Page::WebView, value)) = &origin {
        passed.web_view = Some(value.clone());
        if is_preflight(request) {
            return Ok(Some(preflight(&request.headers)));
        }
    }
    if !request.uri.path().starts_with('/') {
        return Err(Refusal::new(ErrorCode::Malformed, "The address of the request cannot be read."));
    }
    if !arrival.way.has(request.uri.path()) {
        return Err(Refusal::nothing_here());
    }
    let https = origin.is_some_and(|(_, origin)| is_https(&origin));
    credentials(door, arrival, request, https, passed).await?;
    Ok(None)
}

/// The names that hold for a way in.
fn hosts(door: &Door, way: Way) -> &Hosts {
    match way {
        Way::Main => &door.hosts,
        Way::Phones | Way::Trust => &door.phone_hosts,
    }
}

/// The name that was asked for, which is ours.
fn host(door: &Door, arrival: Arrival, request: &Parts) -> Result<(String, Named), Refusal> {
    let mut values = request.headers.get_all(header::HOST).iter();
    let (Some(host), None) = (values.next(), values.next()) else {
        return Err(Refusal::new(ErrorCode::Malformed, "The request must have one Host header."));
    };
    let host = String::from_utf8_lossy(host.as_bytes()).into_owned();
    let hosts = hosts(door, arrival.way);
    let named = hosts.judge_host(&host, arrival.local);
    // A request may name its host in its first line too; both must be ours.
    let first_line = request.uri.authority().map(|a| hosts.judge_host(a.as_str(), arrival.local));
    if named == Named::Foreign || first_line == Some(Named::Foreign) {
        let message = "This is not the host that was asked for. Names beyond this machine's own stand in \
                       server.public_url and server.allowed_hosts.";
        return Err(Refusal::new(ErrorCode::ForeignHost, message));
    }
    Ok((host, named))
}

/// The page that asks, where one does: ours.
fn origin(
    door: &Door,
    arrival: Arrival,
    request: &Parts,
    host: &str,
    named: Named,
) -> Result<Option<(Page, HeaderValue)>, Refusal> {
    let mut values = request.headers.get_all(header::ORIGIN).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let page = match (value.to_str(), values.next()) {
        (Ok(origin), None) => hosts(door, arrival.way).judge_origin(origin, host, named, arrival.tls),
        _ => Page::Foreign,
    };
    if page == Page::Foreign {
        let message = "A page of another site may not use this server.";
        return Err(Refusal::new(ErrorCode::ForeignOrigin, message));
    }
    Ok(Some((page, value.clone())))
}

fn is_https(origin: &HeaderValue) -> bool {
    origin.as_bytes().starts_with(b"https://")
}

fn is_preflight(request: &Parts) -> bool {
    request.method == Method::OPTIONS && request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, If-Match"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Chromium asks before a page may reach into a private network.
    if asked.contains_key("access-control-request-private-network") {
        let name = HeaderName::from_static("access-control-allow-private-network");
        headers.insert(name, HeaderValue::from_static("true"));
    }
    response
}

/// Whether a path is for everybody: the page itself and what it needs to ask for the token.
fn is_open(path: &str) -> bool {
    let closed = ["/api", "/metrics", "/signal"];
    let below =
        |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    path == "/api/v1/health" || !closed.iter().any(|root| below(root))
}

async fn credentials(
    door: &Door,
    arrival: Arrival,
    request: &Parts,
    https: bool,
    passed: &mut Passed,
) -> Result<(), Refusal> {
    let path = request.uri.path();
    let headers = &request.headers;
    if let Some(room) = whip_room(path) {
        if whip(door, headers, &room) {
            return Ok(());
        }
        // Beyond this machine somebody must have said who may publish.
        if arrival.way == Way::Phones && door.auth.is_open() {
            return Err(unauthorized("Send \"Authorization: Bearer <token>\" with a token for this room."));
        }
    } else if arrival.way != Way::Main {
        // Signaling looks at who comes by itself; the rest is for everybody.
        return Ok(());
    }
    if door.auth.is_open() || is_open(path) {
        return Ok(());
    }
    if signals(door, arrival, request) {
        return Ok(());
    }
    let proof = prove(door, arrival, request, https, passed).await;
    // Posted messages name a session that only its owner knows; the relay looks at it.
    if path == POSTED && request.method == Method::POST && door.signal.is_some() {
        passed.unproven = proof.err();
        return Ok(());
    }
    proof
}

/// Looks at the token, a ticket or a session of a browser.
async fn prove(
    door: &Door,
    arrival: Arrival,
    request: &Parts,
    https: bool,
    passed: &mut Passed,
) -> Result<(), Refusal> {
    let (path, headers) = (request.uri.path(), &request.headers);
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    if let Some(value) = authorizations.next() {
        let bearer = value.to_str().ok().and_then(bearer).filter(|_| authorizations.next().is_none());
        let Some(token) = bearer else { return Err(unauthorized("Send \"Authorization: Bearer <token>\".")) };
        return check_token(door, arrival, token).await;
    }
    if matches!(request.method, Method::GET | Method::HEAD)
        && let Some(ticket) = parameter(request.uri.query(), "ticket")
        && door.auth.ticket_opens(&ticket, path)
    {
        passed.ticket = true;
        return Ok(());
    }
    let session = cookies(headers, &door.cookie).find_map(|value| door.auth.session_left(value));
    let Some(left) = session else { return Err(unauthorized("Log in, or send the token.")) };
    if Auth::ages(left) {
        passed.cookie = Some(session_cookie(door, arrival.tls || https));
    }
    Ok(())
}

/// The room of a WHIP address.
fn whip_room(path: &str) -> Option<String> {
    path.strip_prefix("/api/v1/whip/")?.split('/').next().map(str::to_owned)
}

/// Whether a request shows a right to publish in a room.
fn whip(door: &Door, headers: &HeaderMap, room: &str) -> bool {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let token = shown.next().and_then(|value| bearer(value.to_str().ok()?));
    let Some(signal) = &door.signal else { return false };
    shown.next().is_none() && token.is_some_and(|token| signal.whip_opens(token, room))
}

/// Whether signaling itself looks at who comes: the older clients, where they may.
fn signals(door: &Door, arrival: Arrival, request: &Parts) -> bool {
    let Some(signal) = &door.signal else { return false };
    match request.uri.path() {
        "/signal" | "/api/v1/sig/stream" => {
            signal.lets_in(is_own(door, arrival, &request.headers), request.uri.query())
        }
        _ => false,
    }
}

/// Whether a request comes from this machine itself, and not through a proxy on it.
pub(crate) fn is_own(door: &Door, arrival: Arrival, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let proxied = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    arrival.peer.ip().to_canonical().is_loopback()
        && hosts(door, arrival.way).judge_host(host, arrival.local) == Named::Own
        && !proxied.iter().any(|name| headers.contains_key(*name))
}

/// Looks at a token; a wrong one is told late.
pub(crate) async fn check_token(door: &Door, arrival: Arrival, token: &str) -> Result<(), Refusal> {
    match door.auth.judge(token, arrival.peer.ip()) {
        Verdict::Right => Ok(()),
        Verdict::Wrong(at) => {
            sleep_until(at).await;
            Err(unauthorized("The token is wrong."))
        }
        Verdict::TooMany => {
            Err(Refusal::new(ErrorCode::Busy, "Too many wrong tokens came from your address. Wait a little."))
        }
    }
}

fn unauthorized(message: &str) -> Refusal {
    Refusal::new(ErrorCode::Unauthorized, message)
}

/// The token of `Bearer <token>`.
pub(crate) fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A new session as a cookie.
pub(crate) fn session_cookie(door: &Door, secure: bool) -> HeaderValue {
    let (session, seconds) = door.auth.session();
    let name = &door.cookie;
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{name}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(cookie).expect("digits, dots and base64 are fit for a header")
}

fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs =
        headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';'));
    pairs.filter_map(move |pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// A parameter of a query, decoded.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query?.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Headers that every answer has.
fn dress(headers: &mut HeaderMap, path: &str, passed: Passed) {
    let mut set = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    set(HeaderName::from_static(OUR_MARK), "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::CONTENT_SECURITY_POLICY, wall::POLICY);
    set(header::CACHE_CONTROL, "no-store");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    let who = if passed.ticket || passed.web_view.is_some() { "cross-origin" } else { "same-origin" };
    set(HeaderName::from_static("cross-origin-resource-policy"), who);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = passed.web_view {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let shown = HeaderValue::from_static("Location, Date, Last-Modified, ETag, Retry-After");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, shown);
    }
    if let Some(cookie) = passed.cookie
        && path != "/login"
    {
        headers.append(header::SET_COOKIE, cookie);
    }
}
