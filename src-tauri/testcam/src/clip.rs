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
    /// H.264 main profile 640×360, 20 fps, 8 s, a key frame every 2 s; AAC 48 kHz.
    Garden,
    /// H.264 main profile 640×360, 15 fps, 8 s, a key frame every 4 s; no sound.
    Driveway,
    /// H.264 high profile 640×360, 25 fps, 8 s, a key frame every 2 s; AAC 16 kHz.
    LivingRoom,
    /// H.264 constrained baseline 640×360, 15 fps, 8 s, a key frame every 4 s; no sound.
    Street,
    /// H.264 main profile 640×360, 20 fps, 8 s, a key frame every 4 s; AAC 16 kHz.
    Harbour,
    /// A sub-stream: H.264 constrained baseline 320×180, 10 fps, 8 s; AAC 16 kHz.
    Sub,
    /// The front door with B-frames (H.264 main profile, 640×360, 25 fps).
    BFrames,
    /// The front door in another resolution (H.264, 480×270, 25 fps).
    Second,
    /// H.264, 320×180, 5 fps, 60 s with a single key frame; no sound.
    LongGop,
    /// H.265 main profile 640×360, 25 fps, 8 s, a key frame every 4 s; AAC 16 kHz.
    H265,
    /// H.264 main profile 1920×1080, 25 fps, 4 s, one key frame, few bits: for
    /// [`Options::bitrate`](crate::Options::bitrate) to fill up; AAC 16 kHz.
    FullHd,
    /// Motion JPEG 384×216, 5 fps, 4 s; no sound.
    Mjpeg,
}

impl Builtin {
    /// All of them, in the order of the enum.
    pub const ALL: [Self; 13] = [
        Self::FrontDoor,
        Self::Garden,
        Self::Driveway,
        Self::LivingRoom,
        Self::Street,
        Self::Harbour,
        Self::Sub,
        Self::BFrames,
        Self::Second,
        Self::LongGop,
        Self::H265,
        Self::FullHd,
        Self::Mjpeg,
    ];

    /// Its name and its bytes.
    fn file(self) -> (&'static str, &'static [u8]) {
        match self {
            Self::FrontDoor => ("front-door", include_bytes!("../clips/front-door.mp4")),
            Self::Garden => ("garden", include_bytes!("../clips/garden.mp4")),
            Self::Driveway => ("driveway", include_bytes!("../clips/driveway.mp4")),
            Self::LivingRoom => ("living-room", include_bytes!("../clips/living-room.mp4")),
            Self::Street => ("street", include_bytes!("../clips/street.mp4")),
            Self::Harbour => ("harbour", include_bytes!("../clips/harbour.mp4")),
            Self::Sub => ("sub", include_bytes!("../clips/sub.mp4")),
            Self::BFrames => ("b-frames", include_bytes!("../clips/b-frames.mp4")),
            Self::Second => ("second", include_bytes!("../clips/second.mp4")),
            Self::LongGop => ("long-gop", include_bytes!("../clips/long-gop.mp4")),
            Self::H265 => ("h265", include_bytes!("../clips/h265.mp4")),
            Self::FullHd => ("full-hd", include_bytes!("../clips/full-hd.mp4")),
            Self::Mjpeg => ("mjpeg", include_bytes!("../clips/mjpeg.mov")),
        }
    }

    /// The name by which the command line knows it.
    pub fn name(self) -> &'static str {
        self.file().0
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
    /// By how much the pictures lag behind their places because of B-frames, in the same ticks.
    pub(crate) delay: u64,
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
        static PARSED: [OnceLock<Clip>; Builtin::ALL.len()] = [const { OnceLock::new() }; Builtin::ALL.len()];
        let parse = || {
            let (name, bytes) = which.file();
            Self::parse(name, "mp4", Bytes::from_static(bytes), 0.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_clips_are_read_and_small() {
        let mut bytes = 0;
        for which in Builtin::ALL {
            let clip = Clip::builtin(which);
            bytes += which.file().1.len();
            assert_eq!(which.name().parse::<Builtin>().unwrap(), which);
            assert!(clip.frames() >= 20 && clip.frames() <= usize::from(u16::MAX), "{clip:?}");
            let samples = &clip.video().samples;
            assert!(samples.iter().all(|s| s.pts <= s.dts as i64), "{clip:?}: sent before it was taken");
            assert!(samples.windows(2).all(|s| s[0].dts < s[1].dts), "{clip:?}");
            assert!(samples.last().is_some_and(|s| s.dts < clip.video().duration), "{clip:?}");
        }
        assert!(bytes <= 2 << 20, "{bytes} bytes of clips");
    }

    #[test]
    fn a_damaged_file_is_refused_and_never_a_panic() {
        let (_, whole) = Builtin::Second.file();
        let read = |bytes: Vec<u8>| Clip::parse("x", "mp4", bytes.into(), 25.0);
        for cut in (0..whole.len().min(12_000)).step_by(97) {
            assert!(read(whole[..cut].to_vec()).is_err(), "cut at {cut}");
        }
        for at in 0..1500 {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 0xff;
            // Some bytes do not matter; none may panic.
            let _ = read(bytes);
        }
    }
}
