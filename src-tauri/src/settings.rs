//! What only a desktop can be told: close to the tray, start with the system, and the language of
//! the tray's words. Kept by the store plugin as `settings.json` in the app's data directory.

use serde::{Deserialize, Serialize};
use specta::Type;
use tauri::{AppHandle, Manager};
use tauri_plugin_autostart::ManagerExt;
use tauri_plugin_store::StoreExt;
use tokio::sync::watch;

use crate::commands::ShellError;

pub(crate) const FILE: &str = "settings.json";
const KEY: &str = "shell";

/// The language of the tray; the wall tells it which one it speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Type)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    #[default]
    En,
    Ko,
}

/// The desktop's own settings, as the wall shows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Type)]
pub(crate) struct DesktopSettings {
    /// Closing the window keeps Nightjar watching in the tray.
    pub(crate) close_to_tray: bool,
    /// Start in the tray when the person logs in. Mirrors what the system says.
    pub(crate) autostart: bool,
    /// The computer does not go to sleep by itself while cameras are recorded.
    pub(crate) keep_awake: bool,
}

/// Everything that is stored; what a file of another version leaves out has its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Stored {
    pub(crate) close_to_tray: bool,
    pub(crate) language: Language,
    pub(crate) keep_awake: bool,
}

impl Default for Stored {
    fn default() -> Self {
        Self { close_to_tray: true, language: Language::En, keep_awake: true }
    }
}

/// The settings as they stand, shared by the window, the tray and the commands.
pub(crate) struct Settings(watch::Sender<Stored>);

impl Settings {
    pub(crate) fn get(&self) -> Stored {
        self.0.borrow().clone()
    }

    /// The settings as they are and will be.
    pub(crate) fn changes(&self) -> watch::Receiver<Stored> {
        self.0.subscribe()
    }
}

/// Reads the settings; an unreadable store gives the defaults and a word in the log.
pub(crate) fn load(app: &AppHandle) -> Settings {
    let stored = app.store(FILE).map(|store| store.get(KEY)).unwrap_or_else(|error| {
        tracing::warn!("the settings cannot be read, the defaults hold: {error}");
        None
    });
    Settings(watch::Sender::new(
        stored.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default(),
    ))
}

/// The engine's configuration, where somebody put one into the store.
pub(crate) fn stored_config(app: &AppHandle) -> Option<serde_json::Value> {
    let store = app.store(FILE).ok()?;
    // A person may have corrected it since the start. What cannot be read is as it was.
    let _ = store.reload_ignore_defaults();
    store.get("config")
}

/// What the wall shows; whether Nightjar starts with the system is the system's word.
pub(crate) fn shown(app: &AppHandle) -> DesktopSettings {
    let Stored { close_to_tray, keep_awake, .. } = app.state::<Settings>().get();
    DesktopSettings { close_to_tray, autostart: app.autolaunch().is_enabled().unwrap_or(false), keep_awake }
}

/// Applies and stores what the wall set.
pub(crate) fn apply(app: &AppHandle, wanted: &DesktopSettings) -> Result<(), ShellError> {
    if wanted.autostart != shown(app).autostart {
        let autolaunch = app.autolaunch();
        let done = if wanted.autostart { autolaunch.enable() } else { autolaunch.disable() };
        done.map_err(|error| ShellError::new("autostart", error))?;
    }
    store(app, |stored| {
        stored.close_to_tray = wanted.close_to_tray;
        stored.keep_awake = wanted.keep_awake;
    })
}

/// Makes the tray speak the wall's language.
pub(crate) fn speak(app: &AppHandle, language: Language) -> Result<(), ShellError> {
    if app.state::<Settings>().get().language != language {
        store(app, |stored| stored.language = language)?;
        crate::tray::refresh(app);
    }
    Ok(())
}

fn store(app: &AppHandle, change: impl FnOnce(&mut Stored)) -> Result<(), ShellError> {
    let state = app.state::<Settings>();
    state.0.send_modify(change);
    let value = serde_json::to_value(&*state.0.borrow()).expect("plain fields have a JSON form");
    let file = app.store(FILE).map_err(|error| ShellError::new("store", error))?;
    file.set(KEY, value);
    file.save().map_err(|error| ShellError::new("store", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_another_version_keep_what_they_say_and_take_defaults_for_the_rest() {
        let old: Stored = serde_json::from_str(r#"{"close_to_tray":false,"gone":1}"#).unwrap();
        assert_eq!(old, Stored { close_to_tray: false, ..Stored::default() });
    }
}
