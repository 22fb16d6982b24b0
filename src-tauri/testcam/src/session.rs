//! One connection of a client: requests in, answers and media out, and the ways it ends.
//!
//! A connection carries at most one session. Requests are read while media is written, so that a
//! client that does not read its media still gets its requests seen.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadHalf},
    net::UdpSocket,
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    Fault, Options, Request, Transports,
    auth::{Gate, Verdict},
    rtsp::{self, Answer, Head, Malformed, Message},
    sdp,
    stats::Ledger,
    stream::{AUDIO, Seat, Stream, VIDEO},
    writer::{Out, Route, Writer},
};

/// Answers that wait to be written. The reading half waits when it is full: a client that asks
/// without reading is not read either.
const ANSWER_QUEUE: usize = 16;
/// Read at once from the socket.
const READ_CHUNK: usize = 4096;
/// Tries to find an even port with its odd neighbour free.
const PORT_TRIES: usize = 64;
/// Added to the CSeq by [`Fault::WrongCseq`].
const CSEQ_SHIFT: u64 = 1000;

/// What a connection needs to know of its camera.
pub(crate) struct Camera {
    pub(crate) options: Options,
    pub(crate) fault: watch::Receiver<Fault>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) gate: Mutex<Gate>,
    pub(crate) main: Arc<Stream>,
    pub(crate) sub: Option<Arc<Stream>>,
    pub(crate) end: CancellationToken,
}

/// How a connection came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By the client, an error, or the camera's will: an orderly close.
    Closed,
    /// By a fault: with a TCP reset.
    Reset,
}

/// Life signs of a connection, for those who end it.
struct Pulse {
    playing_since: watch::Sender<Option<Instant>>,
    last_sign: Mutex<Instant>,
}

impl Pulse {
    fn sign(&self) {
        *self.last_sign.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
    fn last(&self) -> Instant {
        *self.last_sign.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves one connection to its end; gives the socket back for a reset.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    peer: SocketAddr,
    local: SocketAddr,
    camera: &Arc<Camera>,
) -> (S, End) {
    let (mut reader, mut writer) = tokio::io::split(socket);
    let pulse =
        Arc::new(Pulse { playing_since: watch::Sender::new(None), last_sign: Mutex::new(Instant::now()) });
    let (out, outs) = mpsc::channel(ANSWER_QUEUE);
    let writing = Writer {
        socket: &mut writer,
        fault: camera.fault.clone(),
        ledger: &camera.ledger,
        trickle: camera.main.bitrate() / 16,
        free_at: None,
    };
    let mut session = Session {
        camera: Arc::clone(camera),
        pulse: Arc::clone(&pulse),
        peer,
        local,
        id: None,
        stream: None,
        routes: [None, None],
        tracks: [false; 2],
        seat: None,
        ears: Vec::new(),
        base: String::new(),
    };
    let end = tokio::select! {
        () = camera.end.cancelled() => End::Closed,
        end = strike(camera.fault.clone(), pulse.playing_since.subscribe()) => end,
        () = expire(camera, &pulse) => End::Closed,
        _ = writing.run(outs) => End::Closed,
        _ = session.read(&mut reader, out) => End::Closed,
    };
    if session.seat.is_some() {
        camera.ledger.note(|stats| stats.playing -= 1);
    }
    drop(session);
    (reader.unsplit(writer), end)
}

/// Waits for the fault that ends a playing connection after a while.
async fn strike(mut fault: watch::Receiver<Fault>, mut playing: watch::Receiver<Option<Instant>>) -> End {
    let mut fault_since = Instant::now();
    loop {
        let now = *fault.borrow_and_update();
        let plays = *playing.borrow_and_update();
        let due = match (now, plays) {
            (Fault::Close(after), Some(since)) => Some((since.max(fault_since) + after, End::Closed)),
            (Fault::Reset(after), Some(since)) => Some((since.max(fault_since) + after, End::Reset)),
            _ => None,
        };
        let wait = async {
            match due {
                Some((at, end)) => {
                    sleep_until(at).await;
                    end
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            end = wait => return end,
            changed = fault.changed() => {
                if changed.is_err() { return End::Closed }
                fault_since = Instant::now();
            }
            changed = playing.changed() => if changed.is_err() { return End::Closed },
        }
    }
}

/// Waits until a playing session has given no sign of life for too long.
async fn expire(camera: &Camera, pulse: &Pulse) {
    if !camera.options.expire_sessions {
        std::future::pending::<()>().await;
    }
    let allowed = camera.options.session_timeout.mul_f32(1.5).max(Duration::from_millis(100));
    loop {
        sleep_until(pulse.last() + allowed).await;
        if pulse.last().elapsed() < allowed {
            continue;
        }
        if pulse.playing_since.borrow().is_some() {
            camera.ledger.note(|stats| stats.expired += 1);
            return;
        }
        pulse.sign();
    }
}

struct Session {
    camera: Arc<Camera>,
    pulse: Arc<Pulse>,
    peer: SocketAddr,
    local: SocketAddr,
    id: Option<String>,
    stream: Option<Arc<Stream>>,
    routes: [Option<Route>; 2],
    /// Tracks that are set up.
    tracks: [bool; 2],
    seat: Option<Seat>,
    /// Listen for receiver reports by UDP.
    ears: Vec<AbortOnDropHandle<()>>,
    /// The stream's URL as the client wrote it, without a slash at its end.
    base: String,
}

impl Session {
    async fn read<R: AsyncRead + Unpin>(
        &mut self,
        reader: &mut ReadHalf<R>,
        out: mpsc::Sender<Out>,
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        let mut chunk = [0; READ_CHUNK];
        loop {
            let read = reader.read(&mut chunk).await?;
            if read == 0 {
                return Ok(());
            }
            buffer.extend_from_slice(&chunk[..read]);
            loop {
                match rtsp::parse(&mut buffer) {
                    Ok(None) => break,
                    Ok(Some(Message::Interleaved(_))) => {
                        self.pulse.sign();
                        self.camera.ledger.note(|stats| stats.receiver_reports += 1);
                    }
                    Ok(Some(Message::Request(head))) => {
                        self.pulse.sign();
                        let Some(answer) = self.request(head).await else {
                            continue;
                        };
                        if out.send(answer).await.is_err() {
                            return Ok(());
                        }
                    }
                    Err(Malformed) => {
                        let answer = Answer::new(400).bytes(None);
                        let _ = out.send(Out::Last(answer)).await;
                        // The writer ends the connection when the answer is out.
                        return std::future::pending().await;
                    }
                }
            }
        }
    }

    /// Obeys one request, keeps the books, and applies the faults of answers.
    async fn request(&mut self, head: Head) -> Option<Out> {
        let fault = *self.camera.fault.borrow();
        let keep_alive = self.seat.is_some()
            && matches!(head.method.as_str(), "OPTIONS" | "GET_PARAMETER" | "SET_PARAMETER");
        let (answer, play) = match fault {
            Fault::Dead => (None, None),
            Fault::NoKeepaliveAnswer if keep_alive => (None, None),
            Fault::KeepaliveError(status) if keep_alive => (Some(Answer::new(status)), None),
            _ => {
                let (answer, play) = self.obey(&head, fault).await;
                (Some(answer), play)
            }
        };
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        tracing::debug!(peer = %self.peer, method = head.method, status, keep_alive, "request");
        self.camera.ledger.request(Request {
            at: Instant::now(),
            peer: self.peer,
            method: head.method.clone(),
            uri: head.uri.clone(),
            headers: head.headers.clone(),
            keep_alive,
            status,
        });
        let shifted = || {
            let cseq: u64 = head.header("CSeq")?.parse().ok()?;
            Some(cseq.wrapping_add(CSEQ_SHIFT).to_string())
        };
        let cseq = match fault {
            Fault::WrongCseq if keep_alive => shifted(),
            _ => head.header("CSeq").map(str::to_owned),
        };
        let bytes = answer?.bytes(cseq.as_deref());
        Some(match play {
            None if matches!(head.method.as_str(), "PAUSE" | "TEARDOWN") => Out::Pause(bytes),
            None => Out::Answer(bytes),
            Some(queue) => Out::Play(bytes, queue, self.routes.clone()),
        })
    }

    async fn obey(
        &mut self,
        head: &Head,
        fault: Fault,
    ) -> (Answer, Option<mpsc::Receiver<Arc<crate::rtp::Unit>>>) {
        let refuse_all = fault == Fault::Unauthorized;
        if head.method != "OPTIONS" || refuse_all {
            let mut gate = self.camera.gate.lock().unwrap_or_else(PoisonError::into_inner);
            let quirks = &self.camera.options.quirks;
            let verdict = gate.check(&head.method, head.header("Authorization"), quirks, refuse_all);
            if let Verdict::Challenge(challenges) = verdict {
                let answer = Answer::new(401);
                let answer = challenges.into_iter().fold(answer, |a, c| a.with("WWW-Authenticate", c));
                return (answer, None);
            }
        }
        if let (Some(asked), Some(known)) = (head.header("Session"), &self.id)
            && asked.split(';').next().is_some_and(|asked| asked.trim() != known)
        {
            return (Answer::new(454), None);
        }
        let answer = match head.method.as_str() {
            "OPTIONS" => {
                let parameter = if self.camera.options.quirks.get_parameter {
                    ", GET_PARAMETER, SET_PARAMETER"
                } else {
                    ""
                };
                let methods = format!("OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN{parameter}");
                self.named(Answer::new(200).with("Public", methods))
            }
            "GET_PARAMETER" | "SET_PARAMETER" if self.camera.options.quirks.get_parameter => {
                self.named(Answer::new(200))
            }
            "DESCRIBE" => self.describe(head, fault),
            "SETUP" => self.setup(head, fault).await,
            "PLAY" => return self.play(fault),
            "PAUSE" => {
                self.leave();
                self.named(Answer::new(200))
            }
            "TEARDOWN" => {
                self.leave();
                let answer = self.named(Answer::new(200));
                (self.id, self.stream, self.tracks) = (None, None, [false; 2]);
                self.routes = [None, None];
                self.ears.clear();
                answer
            }
            _ => Answer::new(501),
        };
        (answer, None)
    }

    fn leave(&mut self) {
        if self.seat.take().is_some() {
            self.camera.ledger.note(|stats| stats.playing -= 1);
            self.pulse.playing_since.send_replace(None);
        }
    }

    /// Adds the session header.
    fn named(&self, answer: Answer) -> Answer {
        match &self.id {
            Some(id) => answer.with("Session", id.clone()),
            None => answer,
        }
    }

    /// The stream and the track that a URI names.
    fn find(&self, uri: &str) -> Option<(Arc<Stream>, Option<usize>, String)> {
        let path = match uri.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
            None => uri.trim_start_matches('/'),
        };
        let path = path.split('?').next().unwrap_or("").trim_end_matches('/');
        let (stream, track) = match path.rsplit_once("trackID=") {
            Some((stream, track)) => (stream.trim_end_matches('/'), Some(track.parse().ok()?)),
            None => (path, None),
        };
        let found = match stream {
            "" | "main" => Arc::clone(&self.camera.main),
            "sub" => Arc::clone(self.camera.sub.as_ref()?),
            _ => return None,
        };
        let base = uri.split("/trackID=").next().unwrap_or(uri).trim_end_matches('/');
        Some((found, track, base.to_owned()))
    }

    fn describe(&self, head: &Head, fault: Fault) -> Answer {
        let Some((stream, _, base)) = self.find(&head.uri).filter(|_| fault != Fault::NotFound) else {
            return Answer::new(404);
        };
        let (clip, source) = stream.offered(fault);
        let id = u64::from(stream.ssrcs()[VIDEO]);
        let mut answer = Answer::new(200).with("Content-Type", "application/sdp");
        if self.camera.options.quirks.content_base {
            answer = answer.with("Content-Base", format!("{base}/"));
        }
        answer.body = sdp::describe(&self.camera.options, fault, &clip, source.as_ref(), &base, id);
        answer
    }

    async fn setup(&mut self, head: &Head, fault: Fault) -> Answer {
        let found = self.find(&head.uri).filter(|_| fault != Fault::NotFound);
        let Some((stream, track, base)) = found else {
            return Answer::new(404);
        };
        let Some(track) = track else {
            return Answer::new(459);
        };
        let (_, source) = stream.offered(fault);
        let offered = match track {
            VIDEO => fault != Fault::AudioOnly,
            AUDIO => source.is_some(),
            _ => false,
        };
        if !offered {
            return Answer::new(404);
        }
        let other = self.stream.as_ref().is_some_and(|known| !Arc::ptr_eq(known, &stream));
        if self.seat.is_some() || other {
            return Answer::new(455);
        }
        let wanted = head.header("Transport").unwrap_or("");
        let ssrc = stream.ssrcs()[track];
        let Some((route, mut shown)) = self.route(wanted, track).await else {
            return Answer::new(461);
        };
        shown.push_str(&format!(";ssrc={ssrc:08X}"));
        self.routes[track] = Some(route);
        self.tracks[track] = true;
        (self.stream, self.base) = (Some(stream), base);
        let id = self.id.get_or_insert_with(|| format!("{:016x}", crate::chance::random::<u64>()));
        let mut session = id.clone();
        if self.camera.options.quirks.shows_timeout {
            let seconds = self.camera.options.session_timeout.as_secs().max(1);
            session.push_str(&format!(";timeout={seconds}"));
        }
        Answer::new(200).with("Transport", shown).with("Session", session)
    }

    /// The first of the transports asked for that the camera has.
    async fn route(&mut self, wanted: &str, track: usize) -> Option<(Route, String)> {
        let accepts = self.camera.options.transports;
        for spec in wanted.split(',') {
            let mut parts = spec.trim().split(';').map(str::trim);
            let profile = parts.next().unwrap_or("").to_ascii_uppercase();
            let parts: Vec<&str> = parts.collect();
            let pair = |name: &str| -> Option<(u16, u16)> {
                let value = parts.iter().find_map(|part| part.strip_prefix(name))?;
                let (low, high) = value.split_once('-').unwrap_or((value, ""));
                let low: u16 = low.parse().ok()?;
                Some((low, high.parse().unwrap_or(low.wrapping_add(1))))
            };
            match profile.as_str() {
                "RTP/AVP/TCP" if accepts != Transports::Udp => {
                    let default = (2 * track as u16, 2 * track as u16 + 1);
                    let (rtp, rtcp) = pair("interleaved=").unwrap_or(default);
                    let (Ok(rtp), Ok(rtcp)) = (u8::try_from(rtp), u8::try_from(rtcp)) else {
                        continue;
                    };
                    let shown = format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}");
                    return Some((Route::Tcp { rtp, rtcp }, shown));
                }
                "RTP/AVP" | "RTP/AVP/UDP" if accepts != Transports::Tcp && !parts.contains(&"multicast") => {
                    let Some((rtp_port, rtcp_port)) = pair("client_port=") else {
                        continue;
                    };
                    let Some((rtp, rtcp)) = port_pair(self.local.ip()).await else {
                        continue;
                    };
                    let (rtp, rtcp) = (Arc::new(rtp), Arc::new(rtcp));
                    let port = |socket: &UdpSocket| socket.local_addr().map_or(0, |a| a.port());
                    let shown = format!(
                        "RTP/AVP;unicast;client_port={rtp_port}-{rtcp_port};server_port={}-{}",
                        port(&rtp),
                        port(&rtcp)
                    );
                    // Media goes to the one who asks, never to an address named in the request.
                    let ip = self.peer.ip();
                    self.listen(Arc::clone(&rtcp));
                    let (rtp_to, rtcp_to) = (SocketAddr::new(ip, rtp_port), SocketAddr::new(ip, rtcp_port));
                    return Some((Route::Udp { rtp, rtcp, rtp_to, rtcp_to }, shown));
                }
                _ => {}
            }
        }
        None
    }

    /// Takes receiver reports for signs of life.
    fn listen(&mut self, rtcp: Arc<UdpSocket>) {
        let pulse = Arc::clone(&self.pulse);
        let ledger = Arc::clone(&self.camera.ledger);
        let peer = self.peer.ip();
        self.ears.push(AbortOnDropHandle::new(tokio::spawn(async move {
            let mut packet = [0; 1500];
            loop {
                match rtcp.recv_from(&mut packet).await {
                    Ok((_, from)) if from.ip() == peer => {
                        pulse.sign();
                        ledger.note(|stats| stats.receiver_reports += 1);
                    }
                    Ok(_) => {}
                    // ICMP's "port unreachable" arrives as an error of the next read.
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        })));
    }

    fn play(&mut self, fault: Fault) -> (Answer, Option<mpsc::Receiver<Arc<crate::rtp::Unit>>>) {
        let Some(stream) = self.stream.clone() else {
            return (Answer::new(455), None);
        };
        if self.seat.is_some() {
            return (self.named(Answer::new(200).with("Range", "npt=now-")), None);
        }
        if self.routes.iter().all(Option::is_none) {
            return (Answer::new(455), None);
        }
        let wants = self.tracks;
        let (seat, queue, next) = stream.join(wants, self.camera.options.start, fault);
        self.seat = Some(seat);
        self.pulse.playing_since.send_replace(Some(Instant::now()));
        self.camera.ledger.note(|stats| {
            stats.playing += 1;
            stats.plays += 1;
        });
        let mut answer = self.named(Answer::new(200).with("Range", "npt=now-"));
        if self.camera.options.quirks.rtp_info {
            let info: Vec<String> = (0..2)
                .filter(|track| wants[*track])
                .map(|track| {
                    let url = format!("{}/trackID={track}", self.base);
                    // Who waits for a key frame cannot be told its number yet.
                    if self.camera.options.start == crate::Start::KeyFrame && track == VIDEO {
                        format!("url={url}")
                    } else {
                        format!("url={url};seq={};rtptime={}", next[track].sequence, next[track].time)
                    }
                })
                .collect();
            answer = answer.with("RTP-Info", info.join(","));
        }
        (answer, Some(queue))
    }
}

/// An even port for RTP and the odd one after it for RTCP.
async fn port_pair(ip: IpAddr) -> Option<(UdpSocket, UdpSocket)> {
    for _ in 0..PORT_TRIES {
        let rtp = UdpSocket::bind((ip, 0)).await.ok()?;
        let port = rtp.local_addr().ok()?.port();
        if port % 2 == 0
            && let Ok(rtcp) = UdpSocket::bind((ip, port + 1)).await
        {
            return Some((rtp, rtcp));
        }
    }
    None
}
