//! A look at a camera: what it offers and how it behaves, without keeping it.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::rtsp::RtspSource;
use super::{Fingerprint, Question, RtspOptions, Transport};
use crate::env::Env;
use crate::media::{Frame, TrackInfo, TrackKind};
use crate::source::{Session as _, SessionEvent, SourceError, SourceErrorCode};

/// How long to look at most, once media flows: two key frames that are five seconds apart are seen in it, whenever
/// the look begins.
const LOOK: Duration = Duration::from_secs(10);
/// How long to look at least, for the rate to mean something.
const LOOK_AT_LEAST: Duration = Duration::from_secs(1);

/// What was found.
#[derive(Clone, Debug)]
pub struct ProbeReport {
    /// The tracks as they were at the end of the look, those that cannot be received among them.
    pub tracks: Arc<[TrackInfo]>,
    /// Of each track, in order.
    pub figures: Vec<TrackFigures>,
    pub transport: Transport,
    /// From the call to the first frame of any track.
    pub first_frame: Option<Duration>,
    /// From the call to the first key frame of the video.
    pub first_key_frame: Option<Duration>,
    /// The first key frame and its track, for a picture.
    pub key_frame: Option<(TrackInfo, Arc<Frame>)>,
    /// What the camera takes as a keep-alive; none where it answered none.
    pub keepalive: Option<Question>,
    /// Its round trip.
    pub keepalive_rtt: Option<Duration>,
    /// With `rtsps`: what may be pinned.
    pub tls_fingerprint: Option<Fingerprint>,
    /// Packets lost while looking.
    pub lost: u64,
    /// What may trouble.
    pub warnings: Vec<Remark>,
}

/// Something that a person should know: what kind it is, and plain words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// `no_key_frame`, `lost`, or the code of a fault.
    pub code: &'static str,
    pub text: String,
}

impl From<SourceError> for Remark {
    fn from(error: SourceError) -> Self {
        Self { code: error.code.name(), text: error.detail }
    }
}

/// The measured behaviour of a track.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TrackFigures {
    /// Frames per second of media time.
    pub rate: Option<f32>,
    /// Bits per second.
    pub bitrate: Option<u32>,
    /// From key frame to key frame, where two were seen.
    pub key_frame_interval: Option<Duration>,
    /// Of pictures where two were not seen: it is at least this.
    pub key_frame_at_least: Option<Duration>,
    /// Pictures are out of display order.
    pub b_frames: bool,
}

/// Opens the camera, looks until its key frames tell their distance or ten seconds passed, and leaves.
///
/// # Errors
/// Whatever kept it from being opened, or ended it before the first frame.
pub async fn probe(options: RtspOptions, env: &Env) -> Result<ProbeReport, SourceError> {
    let begun = Instant::now();
    let transport = options.transport;
    let mut session = RtspSource::new(options, env.clone()).attempt().await?;
    let opened = Instant::now();
    let mut sums: Vec<Sum> = session.tracks().iter().map(|_| Sum::default()).collect();
    let mut report = ProbeReport {
        tracks: session.tracks(),
        figures: Vec::new(),
        transport,
        first_frame: None,
        first_key_frame: None,
        key_frame: None,
        keepalive: None,
        keepalive_rtt: None,
        tls_fingerprint: session.fingerprint(),
        lost: 0,
        warnings: Vec::new(),
    };
    loop {
        let event = match timeout_at(opened + LOOK, poll_fn(|cx| session.poll_next(cx))).await {
            Err(_) => break,
            Ok(Ok(event)) => event,
            Ok(Err(error)) if report.first_frame.is_none() => return Err(error),
            Ok(Err(error)) => {
                report.warnings.push(error.into());
                break;
            }
        };
        match event {
            SessionEvent::Tracks => {}
            SessionEvent::Warning(warning) => report.warnings.push(warning.into()),
            SessionEvent::Frame(frame) => {
                let since = frame.arrival.saturating_duration_since(begun);
                report.first_frame.get_or_insert(since);
                sums[usize::from(frame.track)].add(&frame);
                let track = &session.tracks()[usize::from(frame.track)];
                if frame.key && track.kind == TrackKind::Video && report.key_frame.is_none() {
                    report.first_key_frame = Some(since);
                    report.key_frame = Some((track.clone(), Arc::new(frame)));
                }
            }
        }
        let enough =
            session.tracks().iter().zip(&sums).filter(|(track, _)| track.carried()).all(|(track, sum)| {
                match track.kind {
                    TrackKind::Video => sum.keys >= 2,
                    TrackKind::Audio => true,
                }
            });
        if enough && opened.elapsed() >= LOOK_AT_LEAST {
            break;
        }
    }
    if report.first_frame.is_none() {
        let text = format!("The camera answered, but sent no picture within {} s.", LOOK.as_secs());
        return Err(SourceError::new(SourceErrorCode::Stalled, text));
    }
    let stats = session.stats();
    report.tracks = session.tracks();
    let look = (opened, Instant::now());
    report.figures = report.tracks.iter().zip(&sums).map(|(track, sum)| sum.figures(track, look)).collect();
    report.keepalive = session.question();
    report.keepalive_rtt = stats.keepalive_rtt_us.map(Duration::from_micros);
    report.lost = stats.lost;
    report.warnings.extend(remarks(&report));
    Ok(report)
}

fn remarks(report: &ProbeReport) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let video: Option<&TrackInfo> = report.tracks.iter().find(|t| t.kind == TrackKind::Video && t.carried());
    if video.is_some() && report.key_frame.is_none() {
        let text = "No key frame came while looking; the camera's key frame interval is very long.";
        remarks.push(Remark { code: SourceErrorCode::NoKeyFrame.name(), text: text.to_owned() });
    }
    if report.lost > 0 {
        let text = format!("{} packets were lost while looking.", report.lost);
        remarks.push(Remark { code: "lost", text });
    }
    remarks
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    frames: u32,
    bytes: u64,
    keys: u32,
    first: Option<(i64, Instant)>,
    newest: Option<(i64, Instant)>,
    first_key: Option<(i64, Instant)>,
    newest_key: Option<(i64, Instant)>,
}

impl Sum {
    fn add(&mut self, frame: &Frame) {
        let at = (frame.pts, frame.arrival);
        self.first.get_or_insert(at);
        self.newest = Some(self.newest.map_or(at, |newest| (newest.0.max(at.0), at.1)));
        self.frames += 1;
        self.bytes += frame.data.len() as u64;
        if frame.key {
            self.keys += 1;
            self.first_key.get_or_insert(at);
            self.newest_key = Some(at);
        }
    }

    fn figures(&self, track: &TrackInfo, (begun, ended): (Instant, Instant)) -> TrackFigures {
        let seconds = |from: i64, to: i64| {
            let ticks = to.saturating_sub(from);
            (ticks > 0).then(|| ticks as f64 / f64::from(track.timescale))
        };
        let span = self.first.zip(self.newest).and_then(|(first, newest)| seconds(first.0, newest.0));
        let steps = f64::from(self.frames.saturating_sub(1));
        let interval = (track.kind == TrackKind::Video && self.keys >= 2)
            .then(|| seconds(self.first_key?.0, self.newest_key?.0))
            .flatten()
            .map(|span| Duration::from_secs_f64(span / f64::from(self.keys - 1)));
        // The longest time of the look without one.
        let at_least = (track.kind == TrackKind::Video && track.carried() && self.keys < 2).then(|| {
            let alone = self.first_key.map_or(ended, |(_, at)| at);
            let (before, after) =
                (alone.saturating_duration_since(begun), ended.saturating_duration_since(alone));
            before.max(after)
        });
        TrackFigures {
            rate: span.map(|span| (steps / span) as f32),
            bitrate: span.map(|span| (self.bytes as f64 * 8.0 / span) as u32),
            key_frame_interval: interval,
            key_frame_at_least: at_least,
            b_frames: track.reorder() > 0,
        }
    }
}
