//! What viewers of one camera complain of, and what each is told to do.
//!
//! Pure; `now` is an argument. Invariants: a complaint changes nothing but its viewer's branch; a word
//! about the camera takes complaints of several viewers; so many viewers are remembered at most.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::api::ViewerAction;
use crate::fault::{Action, Class, Kind, Part, classify};
use crate::source::{SourceError, SourceErrorCode};

/// A viewer that complains again within this time was not helped by what it was told.
const AGAIN: Duration = Duration::from_secs(60);
/// So many viewers within [`AGAIN`] have one cause, and that is the camera.
const CROWD: usize = 3;
/// Viewers that are remembered; the one that was quiet longest gives way.
const VIEWERS: usize = 64;

/// The complaints of the viewers of one camera.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    viewers: VecDeque<Complaint>,
    decoder: u64,
    display: u64,
}

#[derive(Debug)]
struct Complaint {
    viewer: String,
    class: Class,
    at: Instant,
}

/// What a complaint comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Advice {
    pub(super) class: Class,
    /// For the viewer.
    pub(super) action: ViewerAction,
    /// The camera is asked for a key frame, for this viewer to go on from.
    pub(super) key_frame: bool,
}

/// What pages complained of so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewerFaults {
    pub decoder: u64,
    pub display: u64,
    /// Viewers that complained within the last minute.
    pub degraded: u32,
}

impl Complaints {
    /// Takes a complaint. Viewers without a name are taken for one.
    pub(super) fn hear(&mut self, now: Instant, viewer: &str, kind: Kind, text: &str) -> Advice {
        let verdict = classify(kind, Part::Viewer, text);
        match verdict.class {
            Class::VideoSink => self.display = self.display.saturating_add(1),
            _ => self.decoder = self.decoder.saturating_add(1),
        }
        let before = self.viewers.iter().position(|known| known.viewer == viewer);
        let again = before
            .and_then(|at| self.viewers.remove(at))
            .is_some_and(|known| now.saturating_duration_since(known.at) <= AGAIN);
        if self.viewers.len() == VIEWERS {
            self.viewers.pop_front();
        }
        self.viewers.push_back(Complaint { viewer: viewer.to_owned(), class: verdict.class, at: now });
        let helpless = again || verdict.action == Action::FallBack;
        let action = if helpless { ViewerAction::FallBack } else { ViewerAction::Redial };
        Advice { class: verdict.class, action, key_frame: verdict.action == Action::KeyFrame }
    }

    fn lately(&self, now: Instant) -> impl Iterator<Item = &Complaint> {
        self.viewers.iter().filter(move |known| now.saturating_duration_since(known.at) <= AGAIN)
    }

    pub(super) fn figures(&self, now: Instant) -> ViewerFaults {
        let degraded = u32::try_from(self.lately(now).count()).unwrap_or(u32::MAX);
        ViewerFaults { decoder: self.decoder, display: self.display, degraded }
    }

    /// What so many viewers say about the camera.
    pub(super) fn warning(&self, now: Instant) -> Option<SourceError> {
        let of = |class| self.lately(now).filter(|known| known.class == class).count();
        let (undecoded, unseen) = (of(Class::Decoder), of(Class::VideoSink));
        if undecoded >= CROWD {
            let text = format!(
                "{undecoded} viewers cannot decode this camera's pictures. Restart the camera, or choose \
                 another profile or resolution in it."
            );
            return Some(SourceError::new(SourceErrorCode::Undecodable, text));
        }
        let text = format!(
            "{unseen} viewers decode this camera's pictures and cannot show them. Update their browsers, or \
             lower the camera's resolution."
        );
        (unseen >= CROWD).then(|| SourceError::new(SourceErrorCode::NotShown, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        // One origin for all: only distances count.
        static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *ORIGIN.get_or_init(Instant::now) + Duration::from_secs(seconds)
    }

    #[test]
    fn r_n2_a_viewer_redials_first_and_falls_back_when_that_did_not_help() {
        let mut complaints = Complaints::default();
        let mut hear = |seconds, viewer, kind| {
            let advice = complaints.hear(at(seconds), viewer, kind, "");
            (advice.class, advice.action, advice.key_frame)
        };
        use ViewerAction::{FallBack, Redial};
        assert_eq!(hear(0, "a", Kind::Pictures), (Class::Decoder, Redial, true));
        assert_eq!(hear(1, "b", Kind::Display), (Class::VideoSink, Redial, false), "of another viewer");
        assert_eq!(hear(50, "a", Kind::Pictures), (Class::Decoder, FallBack, true));
        assert_eq!(hear(111, "a", Kind::Pictures), (Class::Decoder, Redial, true), "long after");
        assert_eq!(hear(112, "b", Kind::Codec), (Class::Decoder, FallBack, false), "it never will");
    }

    #[test]
    fn r_n3_many_viewers_are_a_word_about_the_camera_and_one_is_not() {
        let mut complaints = Complaints::default();
        for second in 0..30 {
            complaints.hear(at(second), "a", Kind::Pictures, "");
            assert_eq!(complaints.warning(at(second)), None, "one viewer, however often");
        }
        complaints.hear(at(30), "b", Kind::Pictures, "");
        complaints.hear(at(31), "c", Kind::Display, "");
        assert_eq!(complaints.warning(at(31)), None, "two of one sort, one of another");
        assert_eq!(complaints.figures(at(31)), ViewerFaults { decoder: 31, display: 1, degraded: 3 });
        complaints.hear(at(32), "d", Kind::Pictures, "");
        let warning = complaints.warning(at(32)).expect("three viewers");
        assert_eq!(warning.verdict().class, Class::Decoder);
        assert_eq!(complaints.warning(at(92)), None, "it is long ago");
        assert_eq!(complaints.figures(at(200)).degraded, 0);
    }

    #[test]
    fn a_crowd_takes_a_bounded_place() {
        let mut complaints = Complaints::default();
        for n in 0..10_000 {
            complaints.hear(at(0), &format!("viewer-{n}"), Kind::Display, "");
        }
        assert_eq!(complaints.viewers.len(), VIEWERS);
        assert_eq!(complaints.warning(at(0)).expect("a crowd").verdict().class, Class::VideoSink);
    }
}
