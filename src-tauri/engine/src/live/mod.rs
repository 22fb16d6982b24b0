//! What a page can play straight from the hub: fragments for Media Source Extensions, and stills.
//!
//! Invariant: nothing here holds up a camera. A reader is a [`crate::hub::Subscriber`]: where its socket
//! is slow it skips to a key frame. Video is never transcoded; what MSE cannot carry is left out and
//! named. It knows no HTTP and no WebSocket: the door sends what comes out.

mod lane;
mod mse;
mod silence;

use std::fmt;

use crate::fmp4::{MuxError, Muxer};
use crate::media::{Codec, TrackInfo, TrackKind};

pub use mse::{Mse, MseMessage, MseState};

/// What MSE makes of a camera's tracks.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The tracks that are carried: at most one picture and one sound.
    pub carried: Vec<TrackInfo>,
    /// The tracks that are not, with the reason.
    pub left_out: Vec<LeftOut>,
}

/// Whether the sound of a camera is sent along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sound {
    #[default]
    On,
    /// For who does not listen: players pace a picture by its sound, and Chromium holds 200 ms of that.
    /// A camera without a picture is heard all the same.
    Off,
}

/// A track that MSE does not carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub kind: TrackKind,
    pub codec: Codec,
    /// One sentence for people.
    pub reason: String,
    /// It may be carried once the camera has said how it is to be decoded.
    pub pending: bool,
}

/// Nothing of a camera can be played by MSE.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotPlayable {
    /// One sentence for people.
    pub reason: String,
}

impl Plan {
    /// Chooses among the tracks of a camera.
    #[must_use]
    pub fn of(tracks: &[TrackInfo]) -> Self {
        let mut plan = Self { carried: Vec::new(), left_out: Vec::new() };
        for track in tracks {
            let taken = plan.carried.iter().any(|other| other.kind == track.kind);
            let mut pending = false;
            let reason = match (&track.note, Muxer::accepts(track)) {
                (Some(note), _) => note.to_string(),
                (None, Err(error)) => {
                    pending = matches!(error, MuxError::Parameters(_));
                    why_not(track, &error)
                }
                (None, Ok(())) if taken => "Only one track of a kind is played.".to_owned(),
                (None, Ok(())) => {
                    plan.carried.push(track.clone());
                    continue;
                }
            };
            plan.left_out.push(LeftOut { kind: track.kind, codec: track.codec, reason, pending });
        }
        // Sound alone is played only where the camera has no picture at all.
        let picture = plan.left_out.iter().find(|left| left.kind == TrackKind::Video);
        if picture.is_some() && !plan.carried.iter().any(|track| track.kind == TrackKind::Video) {
            let sound = plan.carried.drain(..).map(|track| LeftOut {
                kind: track.kind,
                codec: track.codec,
                reason: "The picture that belongs to it cannot be played.".to_owned(),
                pending: false,
            });
            plan.left_out.extend(sound);
        }
        plan
    }

    /// Leaves the sound out, unless it is all there is.
    fn mute(&mut self) {
        let is_picture = |track: &TrackInfo| track.kind == TrackKind::Video;
        if self.carried.iter().any(is_picture) {
            self.carried.retain(is_picture);
        }
    }

    /// A muxer for what is carried.
    ///
    /// # Errors
    /// [`NotPlayable`] where nothing is.
    pub fn muxer(&self) -> Result<Muxer, NotPlayable> {
        Muxer::new(&self.carried).map_err(|_| self.not_playable())
    }

    fn not_playable(&self) -> NotPlayable {
        let picture = self.left_out.iter().find(|left| left.kind == TrackKind::Video);
        let reason = picture.or(self.left_out.first()).map(|left| left.reason.clone());
        NotPlayable { reason: reason.unwrap_or_else(|| "The camera has no track.".to_owned()) }
    }
}

/// The MIME type a page would get for these tracks now, to be asked of `MediaSource.isTypeSupported`.
///
/// # Errors
/// [`NotPlayable`] where no page could play any of it by MSE.
pub fn mime(tracks: &[TrackInfo]) -> Result<String, NotPlayable> {
    Plan::of(tracks).muxer().map(|muxer| muxer.mime())
}

fn why_not(track: &TrackInfo, error: &MuxError) -> String {
    let name = Name(track.codec);
    match (error, track.codec) {
        (MuxError::Parameters(_), _) => {
            format!("The camera has not said yet how its {name} is to be decoded.")
        }
        (_, Codec::Mjpeg) => "Motion JPEG is shown as stills; browsers do not play it as video.".to_owned(),
        (_, Codec::Other) => "The codec is not known.".to_owned(),
        _ => format!("Browsers do not play {name} from MP4."),
    }
}

/// A codec as people write it.
struct Name(Codec);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Codec::H264 => "H.264",
            Codec::H265 => "H.265",
            Codec::Vp8 => "VP8",
            Codec::Vp9 => "VP9",
            Codec::Av1 => "AV1",
            Codec::Mjpeg => "Motion JPEG",
            Codec::Aac => "AAC",
            Codec::Opus => "Opus",
            Codec::Pcmu => "G.711 (µ-law)",
            Codec::Pcma => "G.711 (A-law)",
            Codec::G722 => "G.722",
            Codec::G726 => "G.726",
            Codec::L16 => "L16",
            Codec::Other => "this codec",
        })
    }
}

#[cfg(test)]
mod tests;
