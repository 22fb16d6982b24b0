//! A look at a camera, in the words of the interface.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::entry::{tell as tell_cause, track};
use crate::api::{Playback, Probe, ProbeSub, ProbeTrack, Transport};
use crate::config;
use crate::ingest::{self, ProbeReport, Remark};
use crate::live;
use crate::media::{Codec, TrackInfo, TrackKind};
use crate::sfu;
use crate::source::SourceError;
use crate::still;

/// Widest picture that a probe shows.
const PICTURE_WIDTH: u16 = 480;
/// Where key frames are further apart, a picture comes back late after each fault. A look is long enough to tell.
const LONG_GOP_SECONDS: f32 = 5.0;

/// Tells what was found. Decodes a picture, so it blocks for some milliseconds.
pub(super) fn tell(url: &str, report: ProbeReport, sub: Option<Result<ProbeReport, SourceError>>) -> Probe {
    let picture = report.key_frame.as_ref().and_then(|(track, frame)| {
        let jpeg = still::jpeg(track, frame, Some(PICTURE_WIDTH)).ok()?;
        Some(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
    });
    let mut warnings = report.warnings.clone();
    let tracks = tracks(&report);
    // Where none came at all that is said already.
    if report.key_frame.is_some() && tracks.iter().any(is_sparse) {
        let text = "Key frames are far apart: after a fault the picture comes back late. Set a key-frame (I-frame) \
                    interval of 1 to 2 seconds in the camera.";
        warnings.push(Remark { code: "long_gop", text: text.to_owned() });
    }
    let millis = |d: std::time::Duration| u32::try_from(d.as_millis()).unwrap_or(u32::MAX);
    Probe {
        url: url.to_owned(),
        transport: match report.transport {
            ingest::Transport::Tcp => Transport::Tcp,
            ingest::Transport::Udp => Transport::Udp,
        },
        playback: playback(&report.tracks),
        tracks,
        sub: sub.map(|sub| match sub {
            Ok(report) => ProbeSub { tracks: self::tracks(&report), cause: None },
            Err(error) => ProbeSub { tracks: Vec::new(), cause: Some(tell_cause(&error)) },
        }),
        picture,
        first_frame_ms: report.first_frame.map_or(0, millis),
        first_key_frame_ms: report.first_key_frame.map(millis),
        tls_fingerprint: report.tls_fingerprint.map(|bytes| config::fingerprint_text(&bytes)),
        warning_codes: warnings.iter().map(|remark| remark.code.to_owned()).collect(),
        warnings: warnings.into_iter().map(|remark| remark.text).collect(),
    }
}

fn tracks(report: &ProbeReport) -> Vec<ProbeTrack> {
    let of = |(i, info): (usize, &TrackInfo)| {
        let figures = report.figures.get(i).copied().unwrap_or_default();
        ProbeTrack {
            track: track(&report.tracks, info),
            fps: figures.rate,
            bitrate: figures.bitrate,
            key_frame_seconds: figures.key_frame_interval.map(|d| d.as_secs_f32()),
            key_frame_at_least: figures.key_frame_at_least.map(|d| d.as_secs_f32()),
            b_frames: figures.b_frames || info.reorder() > 0,
        }
    };
    report.tracks.iter().enumerate().map(of).collect()
}

fn is_sparse(track: &ProbeTrack) -> bool {
    track.key_frame_seconds.or(track.key_frame_at_least).is_some_and(|seconds| seconds > LONG_GOP_SECONDS)
}

/// How these tracks would play, best first. Whether a browser decodes a codec is for the browser to say.
fn playback(tracks: &[TrackInfo]) -> Vec<Playback> {
    let has = |kind| tracks.iter().any(|t| t.kind == kind);
    let rtc = sfu::playable(tracks);
    let webrtc = Playback {
        transport: "webrtc".to_owned(),
        video: rtc.video.is_ok() && has(TrackKind::Video),
        audio: rtc.audio.is_ok() && has(TrackKind::Audio),
        mime: None,
        note: rtc.video.err().or(rtc.audio.err()),
    };
    let plan = live::Plan::of(tracks);
    let carries = |kind| plan.carried.iter().any(|t| t.kind == kind);
    let mse = Playback {
        transport: "mse".to_owned(),
        video: carries(TrackKind::Video),
        audio: carries(TrackKind::Audio),
        mime: live::mime(tracks).ok(),
        note: plan.left_out.first().map(|left| left.reason.clone()),
    };
    let decodable = |t: &TrackInfo| {
        t.kind == TrackKind::Video && matches!(t.codec, Codec::H264 | Codec::H265 | Codec::Mjpeg)
    };
    let still = Playback {
        transport: "still".to_owned(),
        video: tracks.iter().any(decodable),
        audio: false,
        mime: None,
        note: None,
    };
    // Where WebRTC has no sound and MSE has, MSE is the better way.
    let mut ways = vec![webrtc, mse, still];
    ways.sort_by_key(|way| std::cmp::Reverse((way.video, way.audio)));
    ways
}
