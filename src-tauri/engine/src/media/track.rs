//! The description of a track.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use super::Codec;

/// Index of a track among the tracks of its session. Video first where there is any.
pub type TrackId = u8;

/// Picture or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrackKind {
    Video,
    Audio,
}

/// What a track is and what a decoder must know before its first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackInfo {
    /// Index among the session's tracks.
    pub id: TrackId,
    pub kind: TrackKind,
    pub codec: Codec,
    /// Ticks per second of [`super::Frame::pts`].
    pub timescale: u32,
    pub parameters: Parameters,
    /// Raised whenever `parameters` change; frames name the generation they need. Never repeats within
    /// the life of a camera's slot, reconnects included.
    pub generation: u32,
    /// Why the track gives no frames, where it gives none.
    pub note: Option<Note>,
}

/// Why a track gives no frames: a kind that pages have words for, and one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    kind: NoteKind,
    text: Arc<str>,
}

/// Kinds of notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// Its codec cannot be received over RTSP.
    NotReceived,
    /// AAC in a form that cannot be received.
    AacForm,
    /// AAC in LATM packets.
    AacLatm,
    /// The camera offered it and would not send it.
    Withheld,
    /// Its packets cannot be read.
    Unreadable,
}

impl Note {
    /// A note in plain words.
    #[must_use]
    pub fn new(kind: NoteKind, text: impl Into<Arc<str>>) -> Self {
        Self { kind, text: text.into() }
    }

    /// The name of its kind.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.kind {
            NoteKind::NotReceived => "not_received",
            NoteKind::AacForm => "aac_form",
            NoteKind::AacLatm => "aac_latm",
            NoteKind::Withheld => "withheld",
            NoteKind::Unreadable => "unreadable",
        }
    }
}

/// Its words.
impl Deref for Note {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// Decoder configuration by codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// Not known yet.
    Unknown,
    /// NAL units without length or start code. `reorder` is the number of pictures that may precede a
    /// picture in decode order and follow it in display order (0 = no B-frames).
    H264 {
        sps: Bytes,
        pps: Bytes,
        width: u16,
        height: u16,
        reorder: u8,
    },
    H265 {
        vps: Bytes,
        sps: Bytes,
        pps: Bytes,
        width: u16,
        height: u16,
        reorder: u8,
    },
    /// Any other video.
    Video {
        width: u16,
        height: u16,
    },
    /// AudioSpecificConfig (ISO 14496-3 1.6.2.1).
    Aac {
        config: Bytes,
        sample_rate: u32,
        channels: u8,
    },
    /// Any other sound.
    Audio {
        sample_rate: u32,
        channels: u8,
    },
}

impl TrackInfo {
    /// Width and height in pixels, where known.
    #[must_use]
    pub fn dimensions(&self) -> Option<(u16, u16)> {
        match self.parameters {
            Parameters::H264 { width, height, .. }
            | Parameters::H265 { width, height, .. }
            | Parameters::Video { width, height } => Some((width, height)),
            _ => None,
        }
    }

    /// Samples per second and channels, where known.
    #[must_use]
    pub fn sound(&self) -> Option<(u32, u8)> {
        match self.parameters {
            Parameters::Aac { sample_rate, channels, .. } | Parameters::Audio { sample_rate, channels } => {
                Some((sample_rate, channels))
            }
            _ => None,
        }
    }

    /// Pictures that may be out of display order (0 = none, no B-frames).
    #[must_use]
    pub fn reorder(&self) -> u8 {
        match self.parameters {
            Parameters::H264 { reorder, .. } | Parameters::H265 { reorder, .. } => reorder,
            _ => 0,
        }
    }

    /// Whether frames may be expected of it.
    #[must_use]
    pub fn carried(&self) -> bool {
        self.note.is_none()
    }
}
