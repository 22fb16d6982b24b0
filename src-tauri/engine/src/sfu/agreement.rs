//! What we and an offer have in common: the codecs to send, and those to take.
//!
//! Pure; nothing here knows connections.

use std::collections::HashSet;

use super::SfuError;
use super::inlet::Expected;
use super::sdp::{self, Description, Match};
use crate::media::{Codec, TrackInfo, TrackKind};

/// A codec and how the offer has it.
pub(super) type Side = (Codec, Match);

/// What we and an offer have in common.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    /// What the peer can be sent, best first.
    pub(super) video: Vec<Side>,
    pub(super) audio: Vec<Side>,
    /// What it may send.
    pub(super) takes_video: Vec<Side>,
    pub(super) takes_audio: Vec<Side>,
    /// The peer is in a room: what it gets is not known yet, so that all of it is agreed on.
    pub(super) room: bool,
    /// What an offered sound section is accepted with where the camera has no sound for it: the section
    /// then lies idle instead of being refused, and with it what the sections share.
    pub(super) idle_audio: Option<Side>,
}

/// What a phone's picture is asked for in, best first: what most can play and few have trouble with.
const VIDEO_CODECS: [Codec; 4] = [Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1];
const AUDIO_CODECS: [Codec; 3] = [Codec::Opus, Codec::Pcmu, Codec::Pcma];

impl Agreement {
    /// Finds the formats.
    ///
    /// # Errors
    /// [`SfuError::NoCommonCodec`] says why the picture (or the sound, where that is all there is) cannot
    /// be played. Sound that cannot be played beside a picture is no error.
    pub(super) fn find(offer: &Description, tracks: &[TrackInfo]) -> Result<Self, SfuError> {
        let first = |kind| tracks.iter().find(|track| track.kind == kind && track.carried());
        let sound = |codec| {
            let found = offer.receiving("audio").find_map(|section| section.find(codec))?;
            Some((codec, found))
        };
        let audio = first(TrackKind::Audio).and_then(|track| sound(track.codec));
        let idle_audio = match &audio {
            None => [Codec::Opus, Codec::Pcmu, Codec::Pcma].into_iter().find_map(sound),
            Some(_) => None,
        };
        let Some(track) = first(TrackKind::Video) else {
            return match (audio, tracks.iter().find_map(|track| track.note.as_deref())) {
                (Some(audio), _) => Ok(Self { audio: vec![audio], idle_audio, ..Self::default() }),
                (None, Some(note)) => Err(SfuError::NoCommonCodec(note.to_owned())),
                (None, None) => Err(SfuError::NoCommonCodec(
                    "the camera sends no picture, and its sound cannot be played by WebRTC".to_owned(),
                )),
            };
        };
        if let Some(reason) = unplayable(track) {
            return Err(SfuError::NoCommonCodec(reason));
        }
        let found = offer.receiving("video").find_map(|section| section.find(track.codec));
        let Some(found) = found else {
            return Err(SfuError::NoCommonCodec(format!(
                "the camera sends {}, which the offer does not ask for",
                track.codec
            )));
        };
        let (video, audio) = (vec![(track.codec, found)], audio.into_iter().collect());
        Ok(Self { video, audio, idle_audio, ..Self::default() })
    }

    /// What a member of a room may send (where it may `publish`) and can be sent, whatever is there at the
    /// moment.
    ///
    /// # Errors
    /// [`SfuError::NoCommonCodec`] where the picture (or the sound, where that is all there is) cannot be
    /// carried.
    pub(super) fn of_room(offer: &Description, publish: bool) -> Result<Self, SfuError> {
        fn common<'a>(
            sections: impl Iterator<Item = &'a sdp::Section> + Clone,
            codecs: &[Codec],
        ) -> Vec<Side> {
            let find = |codec: &Codec| Some((*codec, sections.clone().find_map(|s| s.find(*codec))?));
            codecs.iter().filter_map(find).collect()
        }
        let sections = |kind: &'static str, sends: bool| {
            let wanted = move |s: &&sdp::Section| s.kind == kind && if sends { s.sends } else { s.receives };
            offer.sections.iter().filter(wanted)
        };
        // The first of each kind: a second camera of the same phone has no place in the room.
        let first = usize::from(publish);
        let takes_video = common(sections("video", true).take(first), &VIDEO_CODECS);
        let takes_audio = common(sections("audio", true).take(first), &AUDIO_CODECS);
        let video = common(sections("video", false), &VIDEO_CODECS);
        let audio = common(sections("audio", false), &AUDIO_CODECS);
        let unmet = |kind, sends, found: &[Side]| sections(kind, sends).next().is_some() && found.is_empty();
        if (publish && unmet("video", true, &takes_video)) || unmet("video", false, &video) {
            let reason = "the offered video has none of H.264 (mode 1), VP8, VP9 and AV1";
            return Err(SfuError::NoCommonCodec(reason.to_owned()));
        }
        if [&takes_video, &takes_audio, &video, &audio].into_iter().all(Vec::is_empty) {
            return Err(SfuError::NoCommonCodec("the offer has nothing to send or to receive".to_owned()));
        }
        Ok(Self { video, audio, takes_video, takes_audio, room: true, idle_audio: None })
    }

    /// Whether the peer sends something.
    pub(super) fn takes(&self) -> bool {
        !(self.takes_video.is_empty() && self.takes_audio.is_empty())
    }

    /// What the peer may send, for its inlet.
    pub(super) fn expected(&self) -> Vec<Expected> {
        let sides = [(TrackKind::Video, &self.takes_video), (TrackKind::Audio, &self.takes_audio)];
        let expected = sides.into_iter().flat_map(|(kind, sides)| {
            sides.iter().map(move |(codec, found)| Expected {
                kind,
                codec: *codec,
                payload_type: found.format.payload_type,
                repair: found.repair,
            })
        });
        expected.collect()
    }

    /// All payload types of it, in order.
    pub(super) fn payload_types(&self) -> Vec<u8> {
        let all = [&self.takes_video, &self.video, &self.takes_audio, &self.audio].into_iter().flatten();
        let media = all.clone().map(|(_, found)| found.format.payload_type);
        let repairs = all.filter_map(|(_, found)| found.repair);
        media.chain(repairs).collect()
    }

    /// Each format once.
    pub(super) fn formats(&self) -> Vec<(TrackKind, &Side)> {
        let video = self.takes_video.iter().chain(&self.video).map(|side| (TrackKind::Video, side));
        let audio = self.takes_audio.iter().chain(&self.audio).chain(&self.idle_audio);
        let mut seen = HashSet::new();
        video
            .chain(audio.map(|side| (TrackKind::Audio, side)))
            .filter(|(_, (_, found))| seen.insert(found.format.payload_type))
            .collect()
    }
}

/// Why no browser plays this track by WebRTC, where none does.
pub(super) fn unplayable(track: &TrackInfo) -> Option<String> {
    match track.codec {
        Codec::H264 | Codec::Vp8 | Codec::Vp9 | Codec::Av1 if track.reorder() > 0 => {
            Some("the camera sends B-frames, which WebRTC cannot show in order; it plays by MSE".to_owned())
        }
        Codec::H264 | Codec::Vp8 | Codec::Vp9 | Codec::Av1 | Codec::Opus | Codec::Pcmu | Codec::Pcma => None,
        Codec::H265 => Some("the camera sends h265, which browsers play by MSE and not by WebRTC".to_owned()),
        other => Some(format!("the camera sends {other}, which WebRTC does not carry")),
    }
}
