//! Clips: what a camera loops. Samples in memory, with their times, parsed once and shared.
//!
//! Sources are mp4 and mov files made by ffmpeg (H.264, H.265 or Motion JPEG, with AAC or without
//! sound), Annex-B files (`.h264`, `.h265`), and the self-made clips that are built in. Files are
//! foreign bytes: a broken one is an [`Error`], never a panic.

use std::{
    fmt,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;

use crate::{Error, annexb, mp4};

/// Video and presentation times are kept in ticks of this rate, as RTP wants them.
pub(crate) const VIDEO_CLOCK: u64 = 90_000;
/// Larger files are refused: the whole clip lives in memory.
const MAX_FILE_BYTES: u64 = 512 << 20;

/// A clip; cloning shares it.
#[derive(Clone)]
pub struct Clip(Arc<Inner>);

struct Inner {
    name: String,
    video: Video,
    audio: Option<Audio>,
}

/// The video codecs a camera can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoCodec {
    /// H.264 (RFC 6184).
    H264,
    /// H.265 (RFC 7798).
    H265,
    /// Motion JPEG (RFC 2435).
    Mjpeg,
}

/// The clips that are built in. All carry the frame number (see [`picture`](crate::picture)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builtin {
    /// H.264 constrained baseline 640×360, 25 fps, 8 s, a key frame every 4 s; AAC 16 kHz.
    FrontDoor,
    /// The front door with B-frames (H.264 main profile, 640×360, 25 fps).
    BFrames,
    /// The front door in another resolution (H.264, 480×270, 25 fps).
    Second,
    /// H.264, 320×180, 10 fps, 60 s with a single key frame.
    LongGop,
}

const BUILTINS: usize = 4;

impl Builtin {
    /// All of them, in the order of the help.
    pub const ALL: [Self; BUILTINS] = [Self::FrontDoor, Self::BFrames, Self::Second, Self::LongGop];

    /// The name by which the command line knows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::FrontDoor => "front-door",
            Self::BFrames => "b-frames",
            Self::Second => "second",
            Self::LongGop => "long-gop",
        }
    }

    fn bytes(self) -> &'static [u8] {
        match self {
            Self::FrontDoor => include_bytes!("../clips/front-door.mp4"),
            Self::BFrames => include_bytes!("../clips/b-frames.mp4"),
            Self::Second => include_bytes!("../clips/second.mp4"),
            Self::LongGop => include_bytes!("../clips/long-gop.mp4"),
        }
    }
}

impl std::str::FromStr for Builtin {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|builtin| builtin.name() == name);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::Clip { path: format!("builtin:{name}"), reason: format!("there are only {names}") }
        })
    }
}

/// The video of a clip.
pub(crate) struct Video {
    pub(crate) codec: VideoCodec,
    /// VPS, SPS, PPS in this order, without start codes; empty for Motion JPEG.
    pub(crate) params: Vec<Bytes>,
    /// Where the container tells it.
    pub(crate) size: Option<(u16, u16)>,
    pub(crate) samples: Vec<Sample>,
    /// Length of the loop in ticks of [`VIDEO_CLOCK`].
    pub(crate) duration: u64,
}

/// One access unit.
pub(crate) struct Sample {
    /// NAL units without parameter sets and delimiters; for Motion JPEG the one picture.
    pub(crate) nals: Vec<Bytes>,
    /// When it is sent, in ticks since the start of the clip.
    pub(crate) dts: u64,
    /// When it is shown, in the same ticks; never later than `dts`, for a camera sends a picture
    /// after it was taken.
    pub(crate) pts: i64,
    pub(crate) key: bool,
}

/// The AAC track of a clip.
pub(crate) struct Audio {
    /// AudioSpecificConfig.
    pub(crate) config: Bytes,
    pub(crate) rate: u32,
    pub(crate) channels: u8,
    pub(crate) frames: Vec<Bytes>,
}

impl Clip {
    /// One of the clips that are built in.
    pub fn builtin(which: Builtin) -> Self {
        static PARSED: [OnceLock<Clip>; BUILTINS] = [const { OnceLock::new() }; BUILTINS];
        let parse = || {
            Self::parse(&format!("{which:?}"), "mp4", Bytes::from_static(which.bytes()), 0.0)
                .expect("the committed clips are read by a test")
        };
        PARSED[which as usize].get_or_init(parse).clone()
    }

    /// Reads a file: mp4 or mov, or Annex B when it ends in `.h264`, `.264`, `.h265`, `.265` or
    /// `.hevc`. An Annex-B file has no times: it plays at `fps` pictures per second.
    pub fn open(path: impl AsRef<Path>, fps: f32) -> Result<Self, Error> {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let read = || {
            let length = std::fs::metadata(path)?.len();
            if length > MAX_FILE_BYTES {
                return Err(std::io::Error::other("larger than 512 MiB"));
            }
            std::fs::read(path)
        };
        let data = read().map_err(|source| Error::Read { path: shown.clone(), source })?;
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("");
        Self::parse(&shown, &ending.to_ascii_lowercase(), data.into(), fps)
    }

    fn parse(name: &str, ending: &str, data: Bytes, fps: f32) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Clip { path: name.to_owned(), reason };
        let (video, audio) = match ending {
            "h264" | "264" | "avc" => (annexb::read(VideoCodec::H264, data, fps).map_err(refuse)?, None),
            "h265" | "265" | "hevc" => (annexb::read(VideoCodec::H265, data, fps).map_err(refuse)?, None),
            _ => mp4::read(data).map_err(refuse)?,
        };
        if !video.samples.first().is_some_and(|first| first.key) {
            return Err(refuse("it does not begin with a key frame".into()));
        }
        Ok(Self(Arc::new(Inner { name: name.to_owned(), video, audio })))
    }

    /// Number of pictures in the clip: the frame number counts from 0 up to one less.
    pub fn frames(&self) -> usize {
        self.0.video.samples.len()
    }

    /// How long the clip is before it starts again.
    pub fn duration(&self) -> Duration {
        ticks(self.0.video.duration)
    }

    /// Pictures per second, on average.
    pub fn fps(&self) -> f64 {
        self.frames() as f64 / self.duration().as_secs_f64()
    }

    /// Number of key frames in the clip.
    pub fn key_frames(&self) -> usize {
        self.0.video.samples.iter().filter(|s| s.key).count()
    }

    /// Mean video bit rate in bit/s, without packet headers.
    pub fn bitrate(&self) -> u32 {
        let bytes: usize = self.0.video.samples.iter().flat_map(|s| &s.nals).map(Bytes::len).sum();
        (bytes as f64 * 8.0 / self.duration().as_secs_f64()) as u32
    }

    /// The video codec.
    pub fn codec(&self) -> VideoCodec {
        self.0.video.codec
    }

    /// Width and height in pixels; `None` for an Annex-B file.
    pub fn size(&self) -> Option<(u16, u16)> {
        self.0.video.size
    }

    /// Whether there is an AAC track.
    pub fn has_sound(&self) -> bool {
        self.0.audio.is_some()
    }

    pub(crate) fn video(&self) -> &Video {
        &self.0.video
    }

    pub(crate) fn audio(&self) -> Option<&Audio> {
        self.0.audio.as_ref()
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clip({}, {} frames)", self.0.name, self.frames())
    }
}

/// Ticks of the video clock as a duration.
pub(crate) fn ticks(ticks: u64) -> Duration {
    Duration::from_secs(ticks / VIDEO_CLOCK)
        + Duration::from_nanos(ticks % VIDEO_CLOCK * 1_000_000_000 / VIDEO_CLOCK)
}
