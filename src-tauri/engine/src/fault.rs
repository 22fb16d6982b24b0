//! What kind of fault it is, whose it is, and what is done about it (R-N2, R-N3).
//!
//! Pure. [`classify`] goes by the kind first, then by the part that met the fault, then by its text. Every
//! cause that is told has its class from here. Invariant: what is done concerns one part alone; no fault
//! of a viewer reaches the recorder or the source, none of the recorder's the source or a viewer.

/// The class of a fault, as it is told (R-N3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    RtspNetwork,
    Storage,
    DiskFull,
    Decoder,
    VideoSink,
}

impl Class {
    /// The name in JSON and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RtspNetwork => "RTSP_NETWORK",
            Self::Storage => "STORAGE",
            Self::DiskFull => "DISK_FULL",
            Self::Decoder => "DECODER",
            Self::VideoSink => "VIDEO_SINK",
        }
    }
}

/// What happened, as far as whoever met it can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A connection was not made, broke, fell silent or is slow.
    Connection,
    /// The other side says no, and would again.
    Refusal,
    /// Nothing here takes media of that sort.
    Codec,
    /// Pictures come that cannot be decoded, or not from where they begin.
    Pictures,
    /// Pictures were decoded and are not shown.
    Display,
    /// The place for recordings is gone or does not answer.
    Storage,
    /// It is full.
    Space,
    /// None of these: the part and the text must tell.
    Other,
}

/// A part of a camera that fails and recovers by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    Source,
    Recorder,
    /// One of those who watch.
    Viewer,
}

/// What is done about a fault that ended the work of its part. About a warning nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The camera's session begins anew, after a wait that grows.
    Reconnect,
    /// Nothing is tried until somebody changes the camera or its configuration.
    Park,
    /// The recorder waits for what it can record.
    Wait,
    /// The storage is tried again.
    RetryStorage,
    /// Older recordings make room.
    MakeRoom,
    /// The part goes on at the next key frame, which is asked for.
    KeyFrame,
    /// The viewer connects anew.
    Redial,
    /// The viewer connects by another transport.
    FallBack,
}

/// What a fault comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub class: Class,
    /// Who acts.
    pub part: Part,
    pub action: Action,
}

/// Judges a fault: by its kind, then by the part that met it, then by its text.
#[must_use]
pub fn classify(kind: Kind, met_by: Part, text: &str) -> Verdict {
    let verdict = |class, part, action| Verdict { class, part, action };
    match (kind, met_by) {
        (Kind::Space, _) => verdict(Class::DiskFull, Part::Recorder, Action::MakeRoom),
        (Kind::Storage, _) => verdict(Class::Storage, Part::Recorder, Action::RetryStorage),
        (Kind::Connection, Part::Source) => verdict(Class::RtspNetwork, Part::Source, Action::Reconnect),
        (Kind::Connection | Kind::Refusal, Part::Recorder) => {
            verdict(Class::RtspNetwork, Part::Recorder, Action::Wait)
        }
        (Kind::Connection, Part::Viewer) => verdict(Class::RtspNetwork, Part::Viewer, Action::Redial),
        (Kind::Refusal, Part::Source) => verdict(Class::RtspNetwork, Part::Source, Action::Park),
        (Kind::Refusal, Part::Viewer) => verdict(Class::RtspNetwork, Part::Viewer, Action::FallBack),
        (Kind::Codec, Part::Source) => verdict(Class::Decoder, Part::Source, Action::Park),
        (Kind::Codec, Part::Recorder) => verdict(Class::Decoder, Part::Recorder, Action::Wait),
        (Kind::Codec, Part::Viewer) => verdict(Class::Decoder, Part::Viewer, Action::FallBack),
        (Kind::Pictures, Part::Source) => verdict(Class::Decoder, Part::Source, Action::Reconnect),
        (Kind::Pictures, part) => verdict(Class::Decoder, part, Action::KeyFrame),
        // Only who shows pictures has a display.
        (Kind::Display, _) => verdict(Class::VideoSink, Part::Viewer, Action::Redial),
        (Kind::Other, part) => match (part, told(text)) {
            (_, Some(kind)) => classify(kind, part, ""),
            (Part::Source, None) => classify(Kind::Connection, part, ""),
            (Part::Recorder, None) => classify(Kind::Storage, part, ""),
            (Part::Viewer, None) => classify(Kind::Display, part, ""),
        },
    }
}

/// What a text tells, lower case: words of systems, players and cameras that leave no doubt.
const WORDS: [(&str, Kind); 8] = [
    ("no space left", Kind::Space),
    ("disk quota", Kind::Space),
    ("read-only file system", Kind::Storage),
    ("input/output error", Kind::Storage),
    ("decode", Kind::Pictures),
    ("demuxer", Kind::Pictures),
    ("connection reset", Kind::Connection),
    ("timed out", Kind::Connection),
];

fn told(text: &str) -> Option<Kind> {
    let text = text.to_ascii_lowercase();
    WORDS.iter().find(|(word, _)| text.contains(word)).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::{FallBack, KeyFrame, MakeRoom, Park, Reconnect, Redial, RetryStorage, Wait};
    use Class::{Decoder, DiskFull, RtspNetwork, Storage, VideoSink};
    use Part::{Recorder, Source, Viewer};

    #[test]
    fn r_n3_a_fault_is_judged_by_its_kind_then_its_part_then_its_text() {
        for (kind, part, text, class, whose, action) in [
            (Kind::Connection, Source, "", RtspNetwork, Source, Reconnect),
            (Kind::Connection, Recorder, "", RtspNetwork, Recorder, Wait),
            (Kind::Connection, Viewer, "", RtspNetwork, Viewer, Redial),
            (Kind::Refusal, Source, "", RtspNetwork, Source, Park),
            (Kind::Refusal, Recorder, "", RtspNetwork, Recorder, Wait),
            (Kind::Refusal, Viewer, "", RtspNetwork, Viewer, FallBack),
            (Kind::Codec, Source, "", Decoder, Source, Park),
            (Kind::Codec, Recorder, "", Decoder, Recorder, Wait),
            (Kind::Codec, Viewer, "", Decoder, Viewer, FallBack),
            (Kind::Pictures, Source, "", Decoder, Source, Reconnect),
            (Kind::Pictures, Recorder, "", Decoder, Recorder, KeyFrame),
            (Kind::Pictures, Viewer, "", Decoder, Viewer, KeyFrame),
            (Kind::Display, Viewer, "", VideoSink, Viewer, Redial),
            (Kind::Storage, Recorder, "", Storage, Recorder, RetryStorage),
            (Kind::Space, Recorder, "", DiskFull, Recorder, MakeRoom),
            // The kind counts more than the text …
            (Kind::Connection, Source, "cannot decode", RtspNetwork, Source, Reconnect),
            (Kind::Storage, Recorder, "No space left on device", Storage, Recorder, RetryStorage),
            // … the part more than none, and the text where the kind does not say.
            (Kind::Other, Source, "", RtspNetwork, Source, Reconnect),
            (Kind::Other, Recorder, "", Storage, Recorder, RetryStorage),
            (Kind::Other, Viewer, "", VideoSink, Viewer, Redial),
            (Kind::Other, Recorder, "No space left on device (os error 28)", DiskFull, Recorder, MakeRoom),
            (Kind::Other, Recorder, "Disk quota exceeded", DiskFull, Recorder, MakeRoom),
            (Kind::Other, Recorder, "Input/output error", Storage, Recorder, RetryStorage),
            (Kind::Other, Viewer, "PIPELINE_ERROR_DECODE: bad", Decoder, Viewer, KeyFrame),
            (Kind::Other, Viewer, "CHUNK_DEMUXER_ERROR_APPEND_FAILED", Decoder, Viewer, KeyFrame),
            (Kind::Other, Viewer, "connection reset by peer", RtspNetwork, Viewer, Redial),
            (Kind::Other, Source, "the operation timed out", RtspNetwork, Source, Reconnect),
        ] {
            let expected = Verdict { class, part: whose, action };
            assert_eq!(classify(kind, part, text), expected, "{kind:?} met by {part:?}: {text:?}");
        }
    }

    #[test]
    fn r_n2_what_a_viewer_or_the_recorder_meets_never_ends_a_source() {
        let kinds = [
            Kind::Connection,
            Kind::Refusal,
            Kind::Codec,
            Kind::Pictures,
            Kind::Display,
            Kind::Storage,
            Kind::Space,
            Kind::Other,
        ];
        let texts = WORDS.map(|(word, _)| word);
        for kind in kinds {
            for text in texts.iter().chain(&[""]) {
                for part in [Viewer, Recorder] {
                    let verdict = classify(kind, part, text);
                    assert!(verdict.part != Source, "{kind:?} {part:?} {text}");
                    assert!(!matches!(verdict.action, Reconnect | Park), "{kind:?} {part:?} {text}");
                }
            }
        }
    }
}
