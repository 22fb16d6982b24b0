//! One session with a camera by retina.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream as _;
use retina::client::{
    Demuxed, InitialSequenceNumberPolicy, InitialTimestampPolicy, PlayOptions, SessionIdPolicy,
    SessionOptions, SetupOptions, TeardownPolicy, UnknownRtcpSsrcPolicy,
};
use retina::codec::{AudioFrame, CodecItem, FrameFormat, VideoFrame};
use retina::rtcp::ReceivedCompoundPacket;
use tokio::time::{Instant, timeout};

use super::clock::Clock;
use super::conduit::{self, Conduit, Fingerprint, Plan, Question, Shared, host_of};
use super::picture::{self, Order, Picture};
use super::tracks::{self, Choice};
use super::{RtspOptions, Transport};
use crate::env::Env;
use crate::media::{Codec, Frame, Note, NoteKind, Parameters, TrackId, TrackInfo, TrackKind};
use crate::source::{
    BoxFuture, Reach, Session, SessionEvent, SessionStats, Source, SourceError, SourceErrorCode as Code,
};

/// Packets in error without a single good picture between them before the session is given up.
const MAX_ERRORS: u32 = 256;
/// What a camera offers, before anything of it is asked for.
type Described = retina::client::Session<retina::client::Described>;

/// How long [`Source::reach`] may take.
const REACH: Duration = Duration::from_secs(1);

/// A camera at an address.
#[derive(Clone, Debug)]
pub struct RtspSource {
    options: RtspOptions,
    env: Env,
    /// A session ended by its sound: the next ones do without.
    unreadable: Arc<AtomicBool>,
}

impl RtspSource {
    /// A source. Does not connect.
    #[must_use]
    pub fn new(options: RtspOptions, env: Env) -> Self {
        Self { options: options.without_url_credentials(), env, unreadable: Arc::default() }
    }

    /// A connection, and what the camera offers on it.
    async fn described(&self) -> Result<(Conduit, Described), SourceError> {
        let options = &self.options;
        let host = host_of(&options.url);
        let plan = Plan {
            url: &options.url,
            username: &options.username,
            password: &options.password,
            pin: options.tls_fingerprint,
            udp: options.transport == Transport::Udp,
            connect_timeout: options.tcp_timeout,
            keepalive: options.keepalive_timeout,
            conduits: &options.conduits,
        };
        let conduit = Conduit::open(&plan, &self.env).await?;
        let steps = Steps { host: &host, limit: options.tcp_timeout, shared: conduit.shared() };

        let session_options = SessionOptions::default()
            // The conduit says goodbye, to cameras by UDP too, and repairs a changing session id.
            .teardown(TeardownPolicy::Never)
            .session_id(SessionIdPolicy::UseFirst);
        let describe = retina::client::Session::describe(conduit.url().clone(), session_options);
        let session = steps.take("DESCRIBE", describe).await?;
        Ok((conduit, session))
    }

    /// One attempt, as [`Source::open`], with the type kept.
    pub(super) async fn attempt(&self) -> Result<RtspSession, SourceError> {
        let options = &self.options;
        let host = host_of(&options.url);
        let (conduit, mut session) = self.described().await?;
        let steps = Steps { host: &host, limit: options.tcp_timeout, shared: conduit.shared() };

        let mut choice = tracks::choose(session.streams(), options.audio, &host)?;
        let mut queued = VecDeque::with_capacity(2);
        if self.unreadable.load(Ordering::Relaxed) && choice.forgo_sound() {
            queued.push_back(SessionEvent::Warning(SourceError::new(Code::NoSound, tracks::UNREADABLE)));
        }
        let Choice { mut tracks, wanted } = choice;
        let mut ids = vec![None; session.streams().len()];
        for (id, stream) in wanted {
            let transport = match options.transport {
                Transport::Tcp => retina::client::Transport::Tcp(Default::default()),
                Transport::Udp => retina::client::Transport::Udp(Default::default()),
            };
            let setup = SetupOptions::default().transport(transport).frame_format(FrameFormat::MP4);
            let track = &mut tracks[usize::from(id)];
            match steps.take("SETUP", session.setup(stream, setup)).await {
                Ok(()) => ids[stream] = Some(id),
                // Pictures without sound are better than neither.
                Err(error)
                    if track.kind == TrackKind::Audio
                        && ids.iter().any(Option::is_some)
                        && matches!(error.code, Code::Rejected | Code::NotFound) =>
                {
                    let text = "The camera refused to send its sound.";
                    track.note = Some(Note::new(NoteKind::Withheld, text));
                }
                Err(error) => return Err(error),
            }
        }

        let play = PlayOptions::default()
            .initial_timestamp(InitialTimestampPolicy::Permissive)
            // Some servers name a number and begin with another.
            .initial_seq(InitialSequenceNumberPolicy::Ignore)
            .unknown_rtcp_ssrc(UnknownRtcpSsrcPolicy::DropPackets);
        let playing = steps.take("PLAY", session.play(play)).await?;
        let demuxed = playing.demuxed().map_err(|_| {
            SourceError::new(Code::NoCodec, format!("What the camera at {host} offers cannot be received."))
        })?;
        let rates = tracks.iter().map(|track| (track.kind, track.timescale));
        let clock = Clock::new(Instant::now(), conduit.shared().rtp_times(), rates);
        let states = tracks.iter().map(|_| TrackState::default()).collect();
        Ok(RtspSession {
            demuxed,
            shared: Arc::clone(conduit.shared()),
            fingerprint: conduit.fingerprint(),
            udp: options.transport == Transport::Udp,
            host,
            env: self.env.clone(),
            tracks: tracks.into(),
            states,
            ids,
            clock,
            queued,
            blamed: None,
            unreadable: Arc::clone(&self.unreadable),
            errors: 0,
            lost: 0,
            ended: false,
        })
    }
}

impl Source for RtspSource {
    fn open(&mut self) -> BoxFuture<'_, Result<Box<dyn Session>, SourceError>> {
        Box::pin(async { Ok(Box::new(self.attempt().await?) as Box<dyn Session>) })
    }

    fn reach(&self) -> BoxFuture<'static, Reach> {
        let url = self.options.url.clone();
        Box::pin(async move { conduit::reach(&url, REACH).await })
    }

    fn offers_pictures(&self) -> BoxFuture<'static, bool> {
        let source = self.clone();
        Box::pin(async move {
            let described = source.described().await;
            described.is_ok_and(|(_, session)| session.streams().iter().any(|s| s.media() == "video"))
        })
    }
}

/// The steps of an attempt: each with its time limit and the true reason of its failure.
struct Steps<'a> {
    host: &'a str,
    limit: Duration,
    shared: &'a Shared,
}

impl Steps<'_> {
    async fn take<T>(
        &self,
        step: &'static str,
        work: impl Future<Output = Result<T, retina::Error>>,
    ) -> Result<T, SourceError> {
        let host = self.host;
        match timeout(self.limit, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(_)) => {
                // The client's own words may hold the session description.
                let known = self.shared.take_refusal().or_else(|| self.shared.end());
                Err(known.unwrap_or_else(|| {
                    let detail = match step {
                        "DESCRIBE" => format!(
                            "The camera at {host} describes its streams in a way that cannot be read."
                        ),
                        _ => format!("The camera at {host} answered {step} in a way that cannot be read."),
                    };
                    SourceError::new(Code::Protocol, detail)
                }))
            }
            Err(_) => {
                let seconds = self.limit.as_secs_f32();
                let detail = format!("The camera at {host} did not answer {step} within {seconds:.0} s.");
                Err(SourceError::new(Code::Timeout, detail))
            }
        }
    }
}

/// An open session.
pub(super) struct RtspSession {
    demuxed: Demuxed,
    shared: Arc<Shared>,
    fingerprint: Option<Fingerprint>,
    udp: bool,
    host: String,
    env: Env,
    tracks: Arc<[TrackInfo]>,
    states: Vec<TrackState>,
    /// Track of each of the camera's streams.
    ids: Vec<Option<TrackId>>,
    clock: Clock,
    /// What one access unit brought beside its first event: at most a change of tracks before a frame.
    queued: VecDeque<SessionEvent>,
    /// Whose packet it was that could not be used last.
    blamed: Option<usize>,
    unreadable: Arc<AtomicBool>,
    errors: u32,
    lost: u64,
    ended: bool,
}

#[derive(Debug, Default)]
struct TrackState {
    /// Pictures refer to one that is missing, until the next key frame.
    damaged: bool,
    /// Packets lost since the last frame that was handed on.
    loss: u16,
    order: Order,
}

impl RtspSession {
    /// Of the camera's certificate.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }

    /// How the camera is asked for life, once it answered.
    pub(super) fn question(&self) -> Option<Question> {
        self.shared.question()
    }

    fn end(&mut self) -> SourceError {
        self.ended = true;
        self.shared.end().unwrap_or_else(|| {
            // What the client cannot take apart it ends with, although the pictures are fine.
            let sound = self.blamed.is_some_and(|track| self.tracks[track].kind == TrackKind::Audio);
            self.unreadable.fetch_or(sound, Ordering::Relaxed);
            let detail = format!("The camera at {} sent media that cannot be read.", self.host);
            SourceError::new(Code::Protocol, detail)
        })
    }

    fn video(&mut self, frame: VideoFrame) {
        let arrival = Instant::now();
        let stream = frame.stream_id();
        let Some(id) = self.ids.get(stream).copied().flatten() else { return };
        let track = usize::from(id);
        let codec = self.tracks[track].codec;
        let timestamp = frame.timestamp();
        let (new_parameters, loss) = (frame.has_new_parameters(), frame.loss());
        let random_access = frame.is_random_access_point();
        let data = Bytes::from(frame.into_data());
        let seen = picture::look(codec, &data);
        let known = self.tracks[track].parameters != Parameters::Unknown;
        if new_parameters || !known {
            let parameters = tracks::parameters(&self.demuxed.streams()[stream]);
            self.set_parameters(track, parameters);
        }
        let state = &mut self.states[track];
        self.lost += u64::from(loss);
        state.loss = state.loss.saturating_add(loss);
        if loss > 0 {
            state.damaged = true;
        }
        if seen == Picture::None {
            return;
        }
        let pts = self.clock.place(track, timestamp.elapsed(), timestamp.start(), arrival);
        if codec == Codec::H264 {
            state.order.note(pts, seen);
        }
        let known = self.tracks[track].parameters != Parameters::Unknown;
        // The client knows the IDR pictures of H.265 alone; cameras with open groups send CRA ones.
        let key = known && (random_access || codec == Codec::H265) && seen == Picture::Key;
        if key {
            state.damaged = false;
            self.raise_reorder(track);
        } else if state.damaged {
            return;
        }
        self.errors = 0;
        self.hand_on(id, pts, arrival, key, data);
    }

    fn audio(&mut self, frame: &AudioFrame) {
        let arrival = Instant::now();
        let Some(id) = self.ids.get(frame.stream_id()).copied().flatten() else { return };
        let track = usize::from(id);
        let timestamp = frame.timestamp();
        let pts = self.clock.place(track, timestamp.elapsed(), timestamp.start(), arrival);
        let state = &mut self.states[track];
        self.lost += u64::from(frame.loss());
        state.loss = state.loss.saturating_add(frame.loss());
        if self.tracks[0].kind == TrackKind::Audio {
            self.errors = 0;
        }
        // The client lends it only; it is small.
        self.hand_on(id, pts, arrival, true, Bytes::copy_from_slice(frame.data()));
    }

    /// A sender report says what the camera's clocks are to each other.
    fn report(&mut self, packets: &ReceivedCompoundPacket) {
        let Some(id) = self.ids.get(packets.stream_id()).copied().flatten() else { return };
        let report = packets.pkts().next().and_then(|first| first.as_sender_report().ok().flatten());
        if let (Some(at), Some(report)) = (packets.rtp_timestamp(), report) {
            let wall = report.ntp_timestamp().0;
            self.clock.report(usize::from(id), at.elapsed(), wall, Instant::now());
        }
    }

    fn hand_on(&mut self, id: TrackId, pts: i64, arrival: Instant, key: bool, data: Bytes) {
        let track = usize::from(id);
        self.queued.push_back(SessionEvent::Frame(Frame {
            track: id,
            pts,
            arrival,
            wall: self.env.wall(),
            key,
            generation: self.tracks[track].generation,
            loss: std::mem::take(&mut self.states[track].loss),
            data,
            packets: Default::default(),
        }));
    }

    /// Takes new parameters where they are new, and tells before the next frame.
    fn set_parameters(&mut self, track: usize, parameters: Parameters) {
        let parameters = with_reorder(parameters, self.states[track].order.seen);
        if self.tracks[track].parameters == parameters || parameters == Parameters::Unknown {
            return;
        }
        let mut tracks = self.tracks.to_vec();
        tracks[track].parameters = parameters;
        tracks[track].generation += 1;
        self.tracks = tracks.into();
        self.queued.push_back(SessionEvent::Tracks);
    }

    /// Pictures were out of order although the stream did not say that they would be.
    fn raise_reorder(&mut self, track: usize) {
        if self.tracks[track].reorder() < self.states[track].order.seen {
            let parameters = self.tracks[track].parameters.clone();
            self.set_parameters(track, parameters);
        }
    }

    /// A packet could not be used. The client goes on behind it, unless it is the connection.
    fn damage(&mut self, error: &retina::Error) -> Result<(), SourceError> {
        let (blamed, reports) = self.blame(&error.to_string());
        self.blamed = blamed;
        self.errors += 1;
        if let Some(end) = self.shared.end() {
            self.ended = true;
            return Err(end);
        }
        if self.errors > MAX_ERRORS {
            return Err(self.end());
        }
        if reports {
            // No media was in it.
            return Ok(());
        }
        for (at, (track, state)) in self.tracks.iter().zip(&mut self.states).enumerate() {
            if blamed.map_or(track.kind == TrackKind::Video, |blamed| blamed == at) {
                state.damaged |= track.kind == TrackKind::Video;
                state.loss = state.loss.saturating_add(1);
            }
        }
        self.lost += 1;
        Ok(())
    }

    /// Whose packet it was, and whether it was RTCP. The client tells it in words alone; where those are others
    /// than were known, it may have been any picture's.
    fn blame(&self, words: &str) -> (Option<usize>, bool) {
        let of = |stream: &retina::client::Stream| {
            stream.ctx().is_some_and(|context| words.contains(&format!("\nstream: {context}\n")))
        };
        let stream = self.demuxed.streams().iter().position(of);
        let track = stream.and_then(|stream| self.ids.get(stream).copied().flatten());
        let media = words.contains("\nssrc: ") || words.starts_with("corrupt RTP header");
        (track.map(usize::from), track.is_some() && !media)
    }
}

fn with_reorder(mut parameters: Parameters, seen: u8) -> Parameters {
    if let Parameters::H264 { reorder, .. } = &mut parameters {
        *reorder = (*reorder).max(seen);
    }
    parameters
}

impl Session for RtspSession {
    fn tracks(&self) -> Arc<[TrackInfo]> {
        Arc::clone(&self.tracks)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<SessionEvent, SourceError>> {
        loop {
            if let Some(event) = self.queued.pop_front() {
                return Poll::Ready(Ok(event));
            }
            if self.ended {
                return Poll::Ready(Err(self.end()));
            }
            if let Some(warning) = self.shared.poll_warning(cx.waker()) {
                return Poll::Ready(Ok(SessionEvent::Warning(warning)));
            }
            let item = match std::pin::Pin::new(&mut self.demuxed).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(item) => item,
            };
            if self.udp {
                self.shared.saw_media();
            }
            if matches!(item, Some(Ok(_))) {
                self.blamed = None;
            }
            match item {
                Some(Ok(CodecItem::VideoFrame(frame))) => self.video(frame),
                Some(Ok(CodecItem::AudioFrame(frame))) => self.audio(&frame),
                Some(Ok(CodecItem::Rtcp(packets))) => self.report(&packets),
                // Messages; a kind that is not known yet.
                Some(Ok(_)) => {}
                Some(Err(error)) => self.damage(&error)?,
                None => return Poll::Ready(Err(self.end())),
            }
        }
    }

    fn stats(&self) -> SessionStats {
        SessionStats {
            lost: self.lost,
            keepalive_rtt_us: self.shared.rtt_us(),
            keepalive_missed: self.shared.missed(),
            keepalive_unanswered: self.shared.is_unanswered(),
            backlog_pct: self.shared.take_backlog_pct(),
        }
    }
}
