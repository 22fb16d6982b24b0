//! What the tray says about the cameras: a pure function of their states and the language.

use nightjar_engine::api::{Camera, StateName};

use crate::settings::Language;

/// A menu longer than a screen helps nobody.
const MOST_LINES: usize = 15;

/// A camera as the tray knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CameraLine {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) state: StateName,
}

impl CameraLine {
    pub(crate) fn of(camera: &Camera) -> Self {
        Self { id: camera.id.clone(), name: camera.name.clone(), state: camera.state.name }
    }
}

/// There should be a picture, and there is none.
fn is_offline(state: StateName) -> bool {
    matches!(state, StateName::Stalled | StateName::Reconnecting | StateName::Failed | StateName::Refused)
}

/// The state in a word or two, as the wall says it (`src-ui/test/i18n.test.ts` compares them).
fn words(state: StateName, language: Language) -> &'static str {
    let (en, ko) = match state {
        StateName::Idle => ("off", "꺼짐"),
        StateName::Connecting => ("connecting", "연결 중"),
        StateName::Live => ("live", "실시간"),
        StateName::Stalled => ("no picture", "영상 없음"),
        StateName::Reconnecting => ("reconnecting", "재연결 중"),
        StateName::Failed => ("failed", "연결 실패"),
        StateName::Refused => ("refused", "접속 거부됨"),
    };
    match language {
        Language::En => en,
        Language::Ko => ko,
    }
}

/// What the icon's colour and shape say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Grey: nothing to watch, or still connecting.
    Idle,
    /// Green: every camera is live.
    Live,
    /// Amber, with a warning triangle: some cameras are offline.
    Trouble,
    /// Red, struck through: all cameras are offline.
    Offline,
}

/// What the tray shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) mood: Mood,
    pub(crate) headline: String,
    /// Camera id (none for "and 3 more") and words, in the cameras' order.
    pub(crate) lines: Vec<(Option<String>, String)>,
    pub(crate) open: &'static str,
    pub(crate) quit: &'static str,
}

impl View {
    pub(crate) fn of(all: &[CameraLine], language: Language) -> Self {
        // A phone that was put away is no trouble, and nobody waits for it.
        let cameras: Vec<_> = all.iter().filter(|camera| camera.state != StateName::Idle).collect();
        let (none, total) = (all.is_empty(), cameras.len());
        let live = cameras.iter().filter(|camera| camera.state == StateName::Live).count();
        let offline = cameras.iter().filter(|camera| is_offline(camera.state)).count();
        let mood = match (total, live, offline) {
            (0, _, _) => Mood::Idle,
            _ if offline == total => Mood::Offline,
            _ if offline > 0 => Mood::Trouble,
            _ if live == total => Mood::Live,
            _ => Mood::Idle,
        };
        let headline = match (language, mood) {
            (Language::En, _) if none => "No cameras yet".to_owned(),
            (Language::Ko, _) if none => "카메라 없음".to_owned(),
            (Language::En, _) if total == 0 => "No camera is on".to_owned(),
            (Language::Ko, _) if total == 0 => "켜진 카메라 없음".to_owned(),
            (Language::En, Mood::Idle) => format!("Connecting: {live} of {total} live"),
            (Language::Ko, Mood::Idle) => format!("연결 중: {total}대 중 {live}대 실시간"),
            (Language::En, Mood::Live) if total == 1 => "The camera is live".to_owned(),
            (Language::En, Mood::Live) => format!("All {total} cameras live"),
            (Language::Ko, Mood::Live) => format!("카메라 {total}대 모두 실시간"),
            (Language::En, _) => format!("{offline} of {total} offline"),
            (Language::Ko, _) => format!("{total}대 중 {offline}대 연결 끊김"),
        };
        let waiting: Vec<_> = cameras.iter().filter(|camera| camera.state != StateName::Live).collect();
        let mut lines: Vec<_> = waiting
            .iter()
            .take(MOST_LINES)
            .map(|camera| {
                let words = format!("{}: {}", camera.name, words(camera.state, language));
                (Some(camera.id.clone()), words)
            })
            .collect();
        if let more @ 1.. = waiting.len().saturating_sub(MOST_LINES) {
            let words = match language {
                Language::En => format!("and {more} more"),
                Language::Ko => format!("그 밖에 {more}대"),
            };
            lines.push((None, words));
        }
        let (open, quit) = match language {
            Language::En => ("Open Nightjar", "Quit Nightjar"),
            Language::Ko => ("Nightjar 열기", "Nightjar 종료"),
        };
        Self { mood, headline, lines, open, quit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cameras(states: &[StateName]) -> Vec<CameraLine> {
        states
            .iter()
            .enumerate()
            .map(|(n, &state)| CameraLine { id: format!("cam_{n}"), name: format!("Camera {n}"), state })
            .collect()
    }

    #[test]
    fn the_tray_says_whether_all_is_well() {
        use StateName::{Connecting, Failed, Idle, Live, Reconnecting, Refused, Stalled};
        let tells = |states: &[StateName]| {
            let view = View::of(&cameras(states), Language::En);
            (view.mood, view.headline, view.lines.len())
        };
        assert_eq!(tells(&[]), (Mood::Idle, "No cameras yet".into(), 0));
        assert_eq!(tells(&[Live]), (Mood::Live, "The camera is live".into(), 0));
        assert_eq!(tells(&[Live, Live]), (Mood::Live, "All 2 cameras live".into(), 0));
        assert_eq!(tells(&[Live, Connecting]), (Mood::Idle, "Connecting: 1 of 2 live".into(), 1));
        assert_eq!(tells(&[Live, Stalled, Refused]), (Mood::Trouble, "2 of 3 offline".into(), 2));
        assert_eq!(tells(&[Connecting, Failed]), (Mood::Trouble, "1 of 2 offline".into(), 2));
        assert_eq!(tells(&[Reconnecting, Failed]), (Mood::Offline, "2 of 2 offline".into(), 2));
        // A phone that was put away.
        assert_eq!(tells(&[Live, Idle, Live]), (Mood::Live, "All 2 cameras live".into(), 0));
        assert_eq!(tells(&[Idle]), (Mood::Idle, "No camera is on".into(), 0));
    }

    #[test]
    fn a_camera_that_is_not_live_has_its_line_and_a_long_list_is_cut() {
        let view = View::of(&cameras(&[StateName::Live, StateName::Refused]), Language::En);
        assert_eq!(view.lines, [(Some("cam_1".to_owned()), "Camera 1: refused".to_owned())]);
        let view = View::of(&cameras(&[StateName::Failed; 20]), Language::Ko);
        assert_eq!(view.lines.len(), MOST_LINES + 1);
        assert_eq!(view.lines[MOST_LINES], (None, "그 밖에 5대".to_owned()));
    }
}
