//! What a camera offers, sorted into what can be received and what can only be named.

use bytes::Bytes;
use retina::client::Stream;
use retina::codec::{ParametersRef, VideoParametersCodec};

use crate::media::{Codec, Note, NoteKind, Parameters, TrackId, TrackInfo, TrackKind, h264, h265};
use crate::source::{SourceError, SourceErrorCode};

/// Streams of one camera that are looked at. Real ones have up to five.
const MAX_STREAMS: usize = 16;

/// The tracks of a session before it is set up.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) tracks: Vec<TrackInfo>,
    /// Indexes among the camera's streams of the tracks that are to be received.
    pub(super) wanted: Vec<(TrackId, usize)>,
}

/// Of sound that the client gave up at.
pub(super) const UNREADABLE: &str =
    "The camera's sound comes in packets that can't be read; its pictures go on without.";

impl Choice {
    /// Receives pictures alone, where there are any. Whether that changes something.
    pub(super) fn forgo_sound(&mut self) -> bool {
        let is_video =
            |id: TrackId| self.tracks.get(usize::from(id)).is_some_and(|t| t.kind == TrackKind::Video);
        let before = self.wanted.len();
        if !self.wanted.iter().any(|(id, _)| is_video(*id)) {
            return false;
        }
        self.wanted.retain(|(id, _)| is_video(*id));
        for track in self.tracks.iter_mut().filter(|track| track.kind == TrackKind::Audio) {
            track.note.get_or_insert_with(|| Note::new(NoteKind::Unreadable, UNREADABLE));
        }
        self.wanted.len() < before
    }
}

/// Picks the first usable video and the first usable sound; where there is none, the first that must be
/// named with a note.
///
/// # Errors
/// [`SourceErrorCode::NoCodec`] where nothing can be received, naming what was offered.
pub(super) fn choose(streams: &[Stream], audio: bool, host: &str) -> Result<Choice, SourceError> {
    let mut choice = Choice { tracks: Vec::new(), wanted: Vec::new() };
    let streams = &streams[..streams.len().min(MAX_STREAMS)];
    for kind in [TrackKind::Video, TrackKind::Audio] {
        if kind == TrackKind::Audio && !audio {
            continue;
        }
        let of_kind = || streams.iter().enumerate().filter(move |(_, s)| kind_of(s) == Some(kind));
        let usable = of_kind().find(|(_, stream)| is_usable(stream));
        let Some((index, stream)) = usable.or_else(|| of_kind().next()) else { continue };
        // At most two.
        let id = TrackId::try_from(choice.tracks.len()).unwrap_or_default();
        if usable.is_some() {
            choice.wanted.push((id, index));
        }
        choice.tracks.push(TrackInfo {
            id,
            kind,
            codec: codec_of(stream),
            timescale: stream.clock_rate_hz().max(1),
            parameters: parameters(stream),
            generation: 0,
            note: usable.is_none().then(|| note(stream, kind)),
        });
    }
    if choice.wanted.is_empty() {
        let mut offered: Vec<String> = streams.iter().map(offer).collect();
        offered.sort_unstable();
        offered.dedup();
        let offered = if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") };
        let detail = format!("The camera at {host} offers nothing that can be received, only {offered}.");
        return Err(SourceError::new(SourceErrorCode::NoCodec, detail));
    }
    Ok(choice)
}

fn kind_of(stream: &Stream) -> Option<TrackKind> {
    match stream.media() {
        "video" | "image" => Some(TrackKind::Video),
        "audio" => Some(TrackKind::Audio),
        _ => None,
    }
}

/// Whether the client library can take the stream apart, as far as it lets that be seen.
fn is_usable(stream: &Stream) -> bool {
    match (stream.media(), stream.encoding_name()) {
        ("video", "h264" | "h265") => stream.clock_rate_hz() == 90_000,
        ("video" | "image", "jpeg") => stream.clock_rate_hz() > 0,
        // It knows the parameters of every sound it can take apart from the description alone.
        ("audio", _) => stream.clock_rate_hz() > 0 && stream.parameters().is_some(),
        _ => false,
    }
}

fn codec_of(stream: &Stream) -> Codec {
    match stream.encoding_name() {
        "h264" => Codec::H264,
        "h265" => Codec::H265,
        "vp8" => Codec::Vp8,
        "vp9" => Codec::Vp9,
        "av1" => Codec::Av1,
        "jpeg" => Codec::Mjpeg,
        "mpeg4-generic" | "mp4a-latm" => Codec::Aac,
        "opus" => Codec::Opus,
        "pcmu" => Codec::Pcmu,
        "pcma" => Codec::Pcma,
        "g722" => Codec::G722,
        "g726-16" | "g726-24" | "g726-32" | "g726-40" => Codec::G726,
        "l16" => Codec::L16,
        _ => Codec::Other,
    }
}

/// A codec's name for people. Foreign text, so only what a name may contain is kept.
fn spoken(stream: &Stream) -> String {
    match codec_of(stream) {
        Codec::H264 => "H.264".to_owned(),
        Codec::H265 => "H.265".to_owned(),
        Codec::Mjpeg => "JPEG".to_owned(),
        Codec::Opus => "Opus".to_owned(),
        Codec::Aac => "AAC".to_owned(),
        _ => {
            let safe = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
            let name: String = stream.encoding_name().chars().filter(safe).take(24).collect();
            if name.is_empty() { "an unnamed codec".to_owned() } else { name.to_ascii_uppercase() }
        }
    }
}

fn offer(stream: &Stream) -> String {
    match kind_of(stream) {
        Some(TrackKind::Video) => format!("{} video", spoken(stream)),
        Some(TrackKind::Audio) => format!("{} sound", spoken(stream)),
        None => "metadata".to_owned(),
    }
}

fn note(stream: &Stream, kind: TrackKind) -> Note {
    let (noted, text) = match (kind, stream.encoding_name()) {
        (TrackKind::Audio, "mpeg4-generic") => (
            NoteKind::AacForm,
            "The camera's sound is AAC in a form that can't be received over RTSP yet.".to_owned(),
        ),
        (TrackKind::Audio, "mp4a-latm") => (
            NoteKind::AacLatm,
            "The camera's sound is AAC in LATM packets, which can't be received over RTSP yet.".to_owned(),
        ),
        (TrackKind::Audio, _) => (
            NoteKind::NotReceived,
            format!("The camera's sound is {}, which can't be received over RTSP yet.", spoken(stream)),
        ),
        (TrackKind::Video, _) => (
            NoteKind::NotReceived,
            format!("The camera's video is {}, which can't be received over RTSP yet.", spoken(stream)),
        ),
    };
    Note::new(noted, text)
}

/// What a decoder must know of the stream, as far as the client knows it by now.
pub(super) fn parameters(stream: &Stream) -> Parameters {
    match stream.parameters() {
        Some(ParametersRef::Video(video)) => {
            let (width, height) = video.pixel_dimensions();
            let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
            let (width, height) = (side(width), side(height));
            match video.codec_params() {
                VideoParametersCodec::H264 { sps, pps } => {
                    let read = h264::Sps::parse(sps);
                    let (width, height) = read.map_or((width, height), |sps| (sps.width, sps.height));
                    let reorder = read.and_then(|sps| sps.reorder).unwrap_or(0);
                    Parameters::H264 { sps: sps.clone(), pps: pps.clone(), width, height, reorder }
                }
                VideoParametersCodec::H265 { vps, sps, pps } => {
                    let read = h265::Sps::parse(sps);
                    let (width, height) = read.map_or((width, height), |sps| (sps.width, sps.height));
                    let reorder = read.map_or(0, |sps| sps.reorder);
                    let (vps, sps, pps) = (vps.clone(), sps.clone(), pps.clone());
                    Parameters::H265 { vps, sps, pps, width, height, reorder }
                }
                _ => Parameters::Video { width, height },
            }
        }
        Some(ParametersRef::Audio(audio)) => {
            let channels = u8::try_from(audio.channels().get()).unwrap_or(u8::MAX);
            match codec_of(stream) {
                Codec::Aac => Parameters::Aac {
                    config: Bytes::copy_from_slice(audio.extra_data()),
                    sample_rate: audio.clock_rate(),
                    channels,
                },
                // Its RTP clock is half its sampling rate, by an old mistake (RFC 3551 4.5.2).
                Codec::G722 => Parameters::Audio { sample_rate: 16_000, channels },
                _ => Parameters::Audio { sample_rate: audio.clock_rate(), channels },
            }
        }
        _ => Parameters::Unknown,
    }
}
