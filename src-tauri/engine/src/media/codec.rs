//! The codecs a camera may speak, by the names the public interface uses.

use std::fmt;

/// A codec. `Other` is one that no part of Nightjar can play; its track exists so that it can be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    H264,
    H265,
    Vp8,
    Vp9,
    Av1,
    Mjpeg,
    Aac,
    Opus,
    Pcmu,
    Pcma,
    G722,
    G726,
    L16,
    Other,
}

impl Codec {
    /// The name in JSON, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::Av1 => "av1",
            Self::Mjpeg => "mjpeg",
            Self::Aac => "aac",
            Self::Opus => "opus",
            Self::Pcmu => "pcmu",
            Self::Pcma => "pcma",
            Self::G722 => "g722",
            Self::G726 => "g726",
            Self::L16 => "l16",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
