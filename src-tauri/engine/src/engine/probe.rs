//! A look at a camera, in the words of the interface.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::entry::track;
use crate::api::{Playback, Probe, ProbeTrack, Transport};
use crate::config;
use crate::ingest::{self, ProbeReport};
use crate::live;
use crate::media::{Codec, TrackInfo, TrackKind};
use crate::sfu;
use crate::still;

/// Widest picture that a probe shows.
const PICTURE_WIDTH: u16 = 480;
/// Pictures further apart than this make a new viewer's first picture a still.
const LONG_GOP_SECONDS: f32 = 10.0;

/// Tells what was found. Decodes a picture, so it blocks for some milliseconds.
pub(super) fn tell(url: &str, report: ProbeReport) -> Probe {
    let picture = report.key_frame.as_ref().and_then(|(track, frame)| {
        let jpeg = still::jpeg(track, frame, Some(PICTURE_WIDTH)).ok()?;
        Some(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
    });
    let mut warnings = report.warnings.clone();
    let tracks: Vec<ProbeTrack> = report
        .tracks
        .iter()
        .enumerate()
        .map(|(i, info)| {
            let figures = report.figures.get(i).copied().unwrap_or_default();
            let key_frame_seconds = figures.key_frame_interval.map(|d| d.as_secs_f32());
            if info.kind == TrackKind::Video && key_frame_seconds.is_some_and(|s| s > LONG_GOP_SECONDS) {
                warnings.push(
                    "Key frames are far apart. Set a key-frame (I-frame) interval of 1 to 4 seconds in the camera."
                        .to_owned(),
                );
            }
            ProbeTrack {
                track: track(&report.tracks, info),
                fps: figures.rate,
                bitrate: figures.bitrate,
                key_frame_seconds,
                b_frames: figures.b_frames || info.reorder() > 0,
            }
        })
        .collect();
    let millis = |d: std::time::Duration| u32::try_from(d.as_millis()).unwrap_or(u32::MAX);
    Probe {
        url: url.to_owned(),
        transport: match report.transport {
            ingest::Transport::Tcp => Transport::Tcp,
            ingest::Transport::Udp => Transport::Udp,
        },
        playback: playback(&report.tracks),
        tracks,
        picture,
        first_frame_ms: report.first_frame.map_or(0, millis),
        first_key_frame_ms: report.first_key_frame.map(millis),
        tls_fingerprint: report.tls_fingerprint.map(|bytes| config::fingerprint_text(&bytes)),
        warnings,
    }
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
