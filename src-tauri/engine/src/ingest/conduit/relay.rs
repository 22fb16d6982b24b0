//! The relay's task: one client, one camera, and the conversation between them.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until, timeout};
use url::Url;

use super::auth::Authenticator;
use super::dial::{self, Fingerprint, Reader, Writer};
use super::keepalive::{Act, KeepAlive, Question};
use super::message::{self, Message, Piece, Start};
use super::refusal;
use super::repair::{self, Reply};
use super::{GOODBYE, Shared};
use crate::source::{SourceError, SourceErrorCode as Code};

/// How long the client may take to show itself after the camera answered.
const ACCEPT: Duration = Duration::from_secs(5);
/// How long a stranger on the listener may hold it up.
const STRANGER: Duration = Duration::from_millis(500);
/// Bytes that wait for the client before the camera is no longer read: beyond it the camera's own
/// connection fills, and the camera decides what to drop.
pub(super) const HIGH_WATER: usize = 256 << 10;
/// Bytes of requests and answers that wait for the camera; a camera that takes none of them is broken.
const MAX_TO_CAMERA: usize = 64 << 10;
/// Free space before a read. One read takes what a burst left in the socket.
const READ: usize = 64 << 10;
/// Requests that wait for their answer.
const MAX_PENDING: usize = 8;
/// Longest session id that is repeated to a camera.
const MAX_SESSION: usize = 256;
/// Tracks whose start is remembered.
const MAX_TRACKS: usize = 8;
/// Shortest interval between keep-alives, where a camera's session would expire earlier than configured.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

const USER_AGENT: &str = concat!("User-Agent: Nightjar/", env!("CARGO_PKG_VERSION"), "\r\n");

/// What a relay is started with.
pub(super) struct Setting {
    pub(super) target: Url,
    pub(super) prefix: String,
    pub(super) auth: Authenticator,
    pub(super) pin: Option<Fingerprint>,
    pub(super) udp: bool,
    pub(super) connect_timeout: Duration,
    pub(super) keepalive: Duration,
    pub(super) peer: IpAddr,
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Relay {
    setting: Setting,
    host: String,
    /// The sequence number of the next request. Starts above what a camera that ignores ours may repeat.
    cseq: u32,
    pending: VecDeque<Sent>,
    to_camera: BytesMut,
    to_client: BytesMut,
    session: Option<Session>,
    pace: Option<KeepAlive>,
    redirected: bool,
    /// The newest reply that bore its request's number, to know a repetition by.
    last_reply: Option<(u32, u64)>,
    goodbye: Option<Instant>,
}

struct Session {
    id: Vec<u8>,
    timeout: Option<Duration>,
    /// What the newest SETUP or PLAY was about, for keep-alives and the goodbye.
    uri: String,
}

/// A request on its way.
struct Sent {
    cseq: u32,
    method: String,
    uri: String,
    /// Header lines beside sequence number and authorisation.
    headers: Vec<u8>,
    origin: Origin,
    /// It carried an answer to a challenge.
    authorized: bool,
    stale_retries: u8,
}

#[derive(Clone)]
enum Origin {
    /// The client's request with its own sequence number.
    Client(Vec<u8>),
    KeepAlive(Question),
    Goodbye,
}

/// What a step leads to.
enum Flow {
    On,
    /// The camera is elsewhere; this was asked.
    Redirect(Url, Sent),
    /// All was said.
    Over,
}

impl Relay {
    pub(super) fn new(setting: Setting) -> Self {
        Self {
            host: dial::host_of(&setting.target),
            setting,
            cseq: 2,
            pending: VecDeque::with_capacity(MAX_PENDING),
            to_camera: BytesMut::new(),
            to_client: BytesMut::new(),
            session: None,
            pace: None,
            redirected: false,
            last_reply: None,
            goodbye: None,
        }
    }

    /// Serves the client until either side is gone.
    pub(super) async fn run(mut self, listener: TcpListener, reader: Reader, writer: Writer) {
        let Some((client, requests)) = self.accept(listener).await else { return };
        let (mut client_in, mut client_out) = client.into_split();
        let served = self.serve(&mut client_in, &mut client_out, requests, reader, writer).await;
        if let Err(error) = served {
            tracing::debug!(tag = "RTSP", host = %self.host, code = %error.code, "the conduit ended");
            // Before the client's socket closes: whoever sees that asks here why.
            self.setting.shared.set_end(error);
        }
        drop((client_in, client_out));
    }

    /// Waits for the one client that knows the token. Others are turned away.
    async fn accept(&self, listener: TcpListener) -> Option<(TcpStream, BytesMut)> {
        let prefix = self.setting.prefix.as_bytes();
        timeout(ACCEPT, async {
            loop {
                let (mut stream, _) = listener.accept().await.ok()?;
                let mut buffer = BytesMut::with_capacity(4 << 10);
                let known = timeout(STRANGER, async {
                    loop {
                        if stream.read_buf(&mut buffer).await.ok()? == 0 || buffer.len() > HIGH_WATER {
                            return None;
                        }
                        if let Some(Piece::Message { message, .. }) = message::next(&buffer).ok()? {
                            let Start::Request { uri, .. } = message.start else { return None };
                            return uri.starts_with(prefix).then_some(());
                        }
                    }
                });
                if known.await.ok().flatten().is_some() && stream.set_nodelay(true).is_ok() {
                    return Some((stream, buffer));
                }
            }
        })
        .await
        .ok()
        .flatten()
    }

    async fn serve(
        &mut self,
        client_in: &mut OwnedReadHalf,
        client_out: &mut OwnedWriteHalf,
        mut requests: BytesMut,
        mut camera_in: Reader,
        mut camera_out: Writer,
    ) -> Result<(), SourceError> {
        let mut inbound = BytesMut::with_capacity(READ);
        let mut unflushed = false;
        let alarm = sleep_until(Instant::now());
        tokio::pin!(alarm);
        self.hear_client(&mut requests)?;
        loop {
            inbound.reserve(READ);
            let deadline = self.deadline();
            if let Some(deadline) = deadline.filter(|deadline| *deadline != alarm.deadline()) {
                alarm.as_mut().reset(deadline);
            }
            tokio::select! {
                biased;
                read = client_in.read_buf(&mut requests), if self.goodbye.is_none() => {
                    if matches!(read, Ok(0) | Err(_)) {
                        if !self.say_goodbye() {
                            return Ok(());
                        }
                    } else {
                        self.hear_client(&mut requests)?;
                    }
                }
                () = &mut alarm, if deadline.is_some() => {
                    if self.goodbye.is_some() {
                        return Ok(());
                    }
                    self.keep_alive()?;
                }
                pushed = push(&mut camera_out, &mut self.to_camera), if unflushed || !self.to_camera.is_empty() => {
                    unflushed = pushed.map_err(|error| dial::lost(&self.host, &error))?;
                }
                written = client_out.write_buf(&mut self.to_client), if !self.to_client.is_empty() => {
                    if written.is_err() {
                        self.to_client.clear();
                    }
                }
                read = camera_in.read_buf(&mut inbound), if self.to_client.len() < HIGH_WATER => {
                    match read {
                        Ok(0) => return Err(dial::closed(&self.host)),
                        Ok(_) => {}
                        Err(error) => return Err(dial::lost(&self.host, &error)),
                    }
                    match self.hear_camera(&mut inbound)? {
                        Flow::On => {}
                        Flow::Over => return Ok(()),
                        Flow::Redirect(url, sent) => {
                            (camera_in, camera_out) = self.redirect(url, sent).await?;
                            inbound.clear();
                        }
                    }
                    // Mostly there is room: a second turn through the select is saved.
                    if let Ok(written) = client_out.try_write(&self.to_client) {
                        self.to_client.advance(written);
                    }
                    if !self.to_client.is_empty() {
                        self.setting.shared.saw_backlog(self.to_client.len());
                    } else if self.to_client.try_reclaim(2 * READ) {
                        // What a burst needed is not kept until the next one.
                        self.to_client = BytesMut::new();
                    }
                }
            }
            if self.to_camera.len() > MAX_TO_CAMERA {
                return Err(self.protocol("takes no requests"));
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.goodbye.or(self.pace.as_ref().map(KeepAlive::deadline))
    }

    fn protocol(&self, what: &str) -> SourceError {
        SourceError::new(Code::Protocol, format!("The camera at {} {what}.", self.host))
    }

    // Towards the camera.

    fn hear_client(&mut self, requests: &mut BytesMut) -> Result<(), SourceError> {
        let defect = || SourceError::new(Code::Internal, "The RTSP client sent something unexpected.");
        loop {
            let taken = match message::next(requests).map_err(|_| defect())? {
                None => return Ok(()),
                Some(Piece::Blank(len) | Piece::Data { len, .. }) => len,
                Some(Piece::Message { message, len }) => {
                    let Start::Request { method, uri } = message.start else { return Err(defect()) };
                    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| defect());
                    let (method, uri) = (text(method)?.to_owned(), self.camera_uri(text(uri)?));
                    let cseq = message.header("CSeq").unwrap_or(b"0").to_vec();
                    let asks_for_life = matches!(&*method, "OPTIONS" | "GET_PARAMETER" | "SET_PARAMETER");
                    if self.pace.is_some() && asks_for_life {
                        // The relay keeps the session alive; the client shall not wait for a slow camera.
                        let reply = Reply::new(200, &cseq).finish(&[]);
                        self.to_client.extend_from_slice(&reply);
                    } else {
                        let headers = forwarded(&message);
                        self.send(method, uri, headers, Origin::Client(cseq), 0)?;
                    }
                    len
                }
            };
            requests.advance(taken);
        }
    }

    /// The camera's name for what the client names by the relay's address.
    fn camera_uri(&self, uri: &str) -> String {
        match uri.strip_prefix(&*self.setting.prefix) {
            Some(rest) => format!("{}{rest}", self.setting.target),
            None => uri.to_owned(),
        }
    }

    fn send(
        &mut self,
        method: String,
        uri: String,
        headers: Vec<u8>,
        origin: Origin,
        stale_retries: u8,
    ) -> Result<(), SourceError> {
        if self.pending.len() == MAX_PENDING {
            return Err(self.protocol("leaves requests unanswered"));
        }
        let cseq = self.cseq;
        self.cseq = self.cseq.wrapping_add(1);
        let out = &mut self.to_camera;
        out.extend_from_slice(format!("{method} {uri} RTSP/1.0\r\nCSeq: {cseq}\r\n").as_bytes());
        let answer = self.setting.auth.answer(&method, &uri);
        if let Some(answer) = &answer {
            out.extend_from_slice(b"Authorization: ");
            out.extend_from_slice(answer.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&headers);
        out.extend_from_slice(b"\r\n");
        let authorized = answer.is_some();
        self.pending.push_back(Sent { cseq, method, uri, headers, origin, authorized, stale_retries });
        Ok(())
    }

    fn keep_alive(&mut self) -> Result<(), SourceError> {
        let Some(pace) = &mut self.pace else { return Ok(()) };
        match pace.poll(Instant::now(), self.setting.shared.media()) {
            None => Ok(()),
            Some(Act::Ask(question)) => {
                let (uri, headers) = self.about_session();
                self.send(question.method().to_owned(), uri, headers, Origin::KeepAlive(question), 0)
            }
            Some(Act::Missed { first }) => {
                // Its answer may still come; it is then one that nobody waits for.
                self.pending.retain(|sent| !matches!(sent.origin, Origin::KeepAlive(_)));
                let warning = first.then(|| {
                    let detail = format!("The camera at {} leaves keep-alives unanswered.", self.host);
                    SourceError::new(Code::KeepaliveUnanswered, detail)
                });
                self.setting.shared.unanswered(warning);
                Ok(())
            }
            Some(Act::Dead) => {
                self.setting.shared.unanswered(None);
                let detail = format!("The camera at {} answers no more and sends nothing.", self.host);
                Err(SourceError::new(Code::KeepaliveUnanswered, detail))
            }
        }
    }

    /// URI and Session header of a request about the whole session.
    fn about_session(&self) -> (String, Vec<u8>) {
        let Some(session) = &self.session else { return (self.setting.target.to_string(), Vec::new()) };
        let mut headers = b"Session: ".to_vec();
        headers.extend_from_slice(&session.id);
        headers.extend_from_slice(b"\r\n");
        (session.uri.clone(), headers)
    }

    /// The client is gone. False where there is nothing to say to the camera.
    fn say_goodbye(&mut self) -> bool {
        if self.session.is_none() {
            return false;
        }
        self.goodbye = Some(Instant::now() + GOODBYE);
        self.to_client.clear();
        let (uri, headers) = self.about_session();
        self.send("TEARDOWN".to_owned(), uri, headers, Origin::Goodbye, 0).is_ok()
    }

    async fn redirect(&mut self, url: Url, sent: Sent) -> Result<(Reader, Writer), SourceError> {
        // Another host never gets the password in the clear.
        let same = url.host_str() == self.setting.target.host_str();
        let dialed = dial::dial(&url, self.setting.pin, self.setting.connect_timeout).await?;
        self.setting.auth = self.setting.auth.moved(same);
        self.setting.peer = dialed.peer.ip();
        self.host = dial::host_of(&url);
        self.setting.target = url;
        self.redirected = true;
        self.pending.clear();
        self.to_camera.clear();
        let uri = self.setting.target.to_string();
        self.send(sent.method, uri, sent.headers, sent.origin, 0)?;
        Ok((dialed.reader, dialed.writer))
    }

    // From the camera.

    fn hear_camera(&mut self, inbound: &mut BytesMut) -> Result<Flow, SourceError> {
        let mut at = 0;
        let mut media = false;
        let mut flow = Flow::On;
        loop {
            match message::next(&inbound[at..]) {
                Ok(None) => break,
                Ok(Some(Piece::Blank(len))) => at += len,
                Ok(Some(Piece::Data { len, .. })) => {
                    media = true;
                    if self.goodbye.is_none() {
                        self.to_client.extend_from_slice(&inbound[at..at + len]);
                    }
                    at += len;
                }
                Ok(Some(Piece::Message { message, len })) => {
                    match message.start {
                        Start::Request { method, .. } => self.answer_camera(method, &message),
                        Start::Response { status } => {
                            let mut hash = DefaultHasher::new();
                            hash.write(&inbound[at..at + len]);
                            flow = self.response(status, &message, hash.finish())?;
                        }
                    }
                    at += len;
                    if !matches!(flow, Flow::On) {
                        break;
                    }
                }
                Err(malformed) => {
                    tracing::debug!(tag = "RTSP", host = %self.host, "{malformed}");
                    let what =
                        if self.session.is_some() { "broke the protocol" } else { "does not speak RTSP" };
                    return Err(self.protocol(what));
                }
            }
        }
        inbound.advance(at);
        if media {
            self.setting.shared.saw_media();
        }
        Ok(flow)
    }

    /// Cameras may ask too; the client would not know how to answer.
    fn answer_camera(&mut self, method: &[u8], message: &Message<'_>) {
        let known = matches!(method, b"OPTIONS" | b"GET_PARAMETER" | b"SET_PARAMETER");
        let status = if known { "200 OK" } else { "501 Not Implemented" };
        let out = &mut self.to_camera;
        out.extend_from_slice(format!("RTSP/1.0 {status}\r\n").as_bytes());
        if let Some(cseq) = message.cseq() {
            out.extend_from_slice(format!("CSeq: {cseq}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The request that this reply answers. Cameras repeat replies, number them wrongly or not at all.
    fn claim(&mut self, cseq: Option<u32>, hash: u64) -> Option<Sent> {
        if let Some(i) = self.pending.iter().position(|sent| Some(sent.cseq) == cseq) {
            self.last_reply = cseq.map(|cseq| (cseq, hash));
            return self.pending.remove(i);
        }
        let repeated = self.last_reply.is_some() && self.last_reply == cseq.map(|cseq| (cseq, hash));
        let keeps_alive = matches!(self.pending.front()?.origin, Origin::KeepAlive(_));
        if repeated && !keeps_alive {
            return None;
        }
        self.pending.pop_front()
    }

    fn response(&mut self, status: u16, message: &Message<'_>, hash: u64) -> Result<Flow, SourceError> {
        if status < 200 {
            return Ok(Flow::On);
        }
        let Some(mut sent) = self.claim(message.cseq(), hash) else { return Ok(Flow::On) };
        if status == 401 {
            let challenges = message.all("WWW-Authenticate");
            let retry = self.setting.auth.challenge(challenges, sent.authorized, sent.stale_retries == 0);
            match retry {
                Ok(()) => {
                    let stale = sent.stale_retries + u8::from(sent.authorized);
                    self.send(sent.method, sent.uri, sent.headers, sent.origin, stale)?;
                    return Ok(Flow::On);
                }
                Err(why) => self.setting.shared.set_refusal(refusal::unauthorized(&self.host, why)),
            }
        }
        let cseq = match &sent.origin {
            Origin::Goodbye => return Ok(Flow::Over),
            Origin::KeepAlive(question) => {
                let offers = (status == 200)
                    .then(|| message.header("Public").map(|m| repair::lists(m, "GET_PARAMETER")))
                    .flatten();
                if let Some(rtt) =
                    self.pace.as_mut().and_then(|pace| pace.answered(Instant::now(), status, offers))
                {
                    let best = if offers == Some(true) { Question::GetParameter } else { *question };
                    self.setting.shared.answered(rtt, best);
                }
                return Ok(Flow::On);
            }
            Origin::Client(cseq) => cseq.clone(),
        };
        if self.goodbye.is_some() {
            return Ok(Flow::On);
        }
        if (300..400).contains(&status) && sent.method == "DESCRIBE" {
            let url = self.location(message)?;
            sent.origin = Origin::Client(cseq);
            return Ok(Flow::Redirect(url, sent));
        }
        if status >= 300 && status != 401 {
            self.setting.shared.set_refusal(refusal::refused(&self.host, &sent.method, status));
        }
        let mut reply = Reply::new(status, &cseq);
        if status < 300 {
            self.accepted(&sent, message, &mut reply);
        }
        let reply = reply.finish(message.body);
        self.to_client.extend_from_slice(&reply);
        Ok(Flow::On)
    }

    /// Learns from a reply that grants a request, and puts into the client's reply what it needs.
    fn accepted(&mut self, sent: &Sent, message: &Message<'_>, reply: &mut Reply) {
        match &*sent.method {
            "DESCRIBE" => reply.describe(message, &self.setting.target),
            "SETUP" => {
                if self.session.is_none()
                    && let Some((id, timeout)) = message.header("Session").and_then(repair::session)
                    && id.len() <= MAX_SESSION
                {
                    let timeout = timeout.map(|seconds| Duration::from_secs(seconds.into()));
                    self.session = Some(Session { id: id.to_vec(), timeout, uri: sent.uri.clone() });
                }
                // Cameras that change the id halfway mean the first one.
                if let Some(session) = &self.session {
                    let asked = header_of(&sent.headers, b"Transport:").unwrap_or_default();
                    let udp = self.setting.udp.then_some(self.setting.peer);
                    reply.setup(&session.id, message, asked, udp);
                }
            }
            "PLAY" => {
                reply.play(message);
                let info = message.header("RTP-Info").unwrap_or_default();
                self.setting.shared.set_rtp_times(repair::rtp_times(info, MAX_TRACKS));
                if let Some(session) = &mut self.session {
                    session.uri.clone_from(&sent.uri);
                }
                self.pace = Some(KeepAlive::new(self.interval(), Instant::now()));
            }
            _ => {}
        }
    }

    /// The configured pace, or a quicker one where the camera's session would not last that long.
    fn interval(&self) -> Duration {
        let expires = self.session.as_ref().and_then(|session| session.timeout);
        let half = expires.map_or(Duration::MAX, |timeout| (timeout / 2).max(MIN_INTERVAL));
        self.setting.keepalive.min(half)
    }

    fn location(&self, message: &Message<'_>) -> Result<Url, SourceError> {
        let location = message.header("Location").and_then(|value| std::str::from_utf8(value).ok());
        let Some(mut url) = location.and_then(|value| Url::parse(value).ok()).filter(Url::has_host) else {
            return Err(self.protocol("sends elsewhere without saying where"));
        };
        let downgrade = self.setting.target.scheme() == "rtsps" && url.scheme() != "rtsps";
        if self.redirected || downgrade || !matches!(url.scheme(), "rtsp" | "rtsps") {
            let what =
                if downgrade { "sends to an unencrypted address" } else { "sends from place to place" };
            return Err(SourceError::new(Code::Rejected, format!("The camera at {} {what}.", self.host)));
        }
        // A URL with a host takes both.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(url)
    }
}

/// Writes some, or flushes what was written. True where a flush is due. Cancel-safe, as both are.
async fn push(writer: &mut Writer, bytes: &mut BytesMut) -> std::io::Result<bool> {
    if bytes.is_empty() {
        writer.flush().await?;
        return Ok(false);
    }
    writer.write_buf(bytes).await?;
    Ok(true)
}

/// The client's header lines that concern the camera.
fn forwarded(message: &Message<'_>) -> Vec<u8> {
    let mut lines = Vec::with_capacity(128);
    for (name, value) in message.headers() {
        let own = ["CSeq", "Authorization", "User-Agent", "Content-Length"];
        if own.iter().any(|own| name.eq_ignore_ascii_case(own.as_bytes())) {
            continue;
        }
        lines.extend_from_slice(name);
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value);
        lines.extend_from_slice(b"\r\n");
    }
    lines.extend_from_slice(USER_AGENT.as_bytes());
    lines
}

fn header_of<'a>(lines: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines.split(|b| *b == b'\n').find_map(|line| Some(line.strip_prefix(name)?.trim_ascii()))
}
