//! System notifications: an alert that nobody may have seen is told by the desktop, and taken back
//! when it is over. A click shows the camera.
//!
//! What is said is decided by [`words`]; how it is shown depends on the system. Quiet hours are the
//! engine's word. Nothing here fails loudly: a desktop without notifications still has its tray.

use std::collections::HashMap;

use nightjar_engine::api::{Alert, AlertKind, Event};
use nightjar_engine::engine::EventStream;
use tauri::{AppHandle, Manager};
use tauri_specta::Event as _;

use crate::commands::OpenCamera;
use crate::settings::{Language, Settings};
use crate::window;

/// Follows the alerts until the engine ends.
pub(crate) async fn follow(app: AppHandle, mut events: EventStream) {
    let mut names: HashMap<String, String> = HashMap::new();
    let mut shown: HashMap<String, Option<u32>> = HashMap::new();
    system::listen(&app);
    while let Some(event) = events.next().await {
        let alerts = match event {
            Event::Snapshot { cameras, alerts, .. } => {
                names.extend(cameras.into_iter().map(|camera| (camera.id, camera.name)));
                alerts
            }
            Event::Camera { camera, .. } => {
                names.insert(camera.id, camera.name);
                continue;
            }
            Event::Alert { alert, .. } => vec![*alert],
            _ => continue,
        };
        for alert in alerts {
            if alert.until.is_some() {
                if let Some(Some(number)) = shown.remove(&alert.id) {
                    system::withdraw(&app, number).await;
                }
            } else if !alert.quiet && !shown.contains_key(&alert.id) {
                let language = app.state::<Settings>().get().language;
                let body = words(&alert, &names, language);
                let number = system::show(&app, body, alert.camera.clone()).await;
                shown.insert(alert.id, number);
            }
        }
    }
}

/// One sentence: what happened, and to which camera.
fn words(alert: &Alert, names: &HashMap<String, String>, language: Language) -> String {
    if let Language::En = language {
        return alert.message.clone();
    }
    let who = match &alert.cameras[..] {
        [one] => names.get(one).unwrap_or(one).clone(),
        many => format!("카메라 {}대", many.len()),
    };
    let disk = alert.disk.as_ref().map(|name| format!(" (디스크 ‘{name}’)")).unwrap_or_default();
    match alert.kind {
        AlertKind::CameraLost if alert.cameras.len() > 1 => format!("{who}가 함께 끊어졌습니다."),
        AlertKind::CameraLost => format!("{who}: 영상이 없습니다."),
        AlertKind::CameraFailed => format!("{who}: 카메라가 돌아오지 않습니다."),
        AlertKind::CameraRefused => format!("{who}: 카메라가 연결을 거부합니다."),
        AlertKind::CameraDegraded => format!("{who}: 영상은 나오지만 문제가 있습니다."),
        AlertKind::Buffering => format!("{who}: 영상이 늦게 도착합니다."),
        AlertKind::StorageLost => format!("녹화 저장소가 사라졌습니다{disk}."),
        AlertKind::DiskFull => format!("디스크가 가득 찼습니다{disk}."),
        AlertKind::SpaceShort => format!("녹화 공간이 보관 일수만큼 충분하지 않습니다{disk}."),
        AlertKind::RecordingFailed => format!("{who}: 녹화할 수 없습니다."),
        AlertKind::PhoneAsleep => format!("{who}: 휴대폰이 잠들어 있습니다."),
    }
}

/// A person clicked: the window, and the camera where it is one.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "elsewhere a click only shows the window"))]
fn clicked(app: &AppHandle, camera: Option<String>) {
    window::show(app);
    if let Some(id) = camera
        && let Err(error) = (OpenCamera { id }).emit(app)
    {
        tracing::warn!("the wall was not told which camera to show: {error}");
    }
}

/// By the desktop's own interface (org.freedesktop.Notifications 1.2): the plugin cannot be told of clicks.
#[cfg(target_os = "linux")]
mod system {
    use std::collections::HashMap;
    use std::sync::{Mutex, PoisonError};

    use tauri::{AppHandle, Manager};
    use webkit2gtk::gio;
    use webkit2gtk::glib::{self, ToVariant};

    const NAME: &str = "org.freedesktop.Notifications";
    const PATH: &str = "/org/freedesktop/Notifications";
    const TIMEOUT_MS: i32 = 2_000;
    /// What a click on the body does.
    const DEFAULT: &str = "default";

    /// The cameras of the notifications that stand.
    #[derive(Default)]
    struct Standing(Mutex<HashMap<u32, Option<String>>>);

    fn standing(app: &AppHandle, change: impl FnOnce(&mut HashMap<u32, Option<String>>)) {
        change(&mut app.state::<Standing>().0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Hears of clicks from now on.
    pub(super) fn listen(app: &AppHandle) {
        app.manage(Standing::default());
        let handle = app.clone();
        // Signals are told to the loop of the thread that asks for them.
        let asked = app.run_on_main_thread(move || {
            let Ok(bus) = gio::bus_get_sync(gio::BusType::Session, gio::Cancellable::NONE) else { return };
            let app = handle.clone();
            let flags = gio::DBusSignalFlags::NONE;
            let _ = bus.signal_subscribe(
                Some(NAME),
                Some(NAME),
                Some("ActionInvoked"),
                Some(PATH),
                None,
                flags,
                move |_, _, _, _, _, said| {
                    let Some((number, action)) = said.get::<(u32, String)>() else { return };
                    let mut ours = None;
                    standing(&app, |standing| ours = standing.remove(&number));
                    if let (Some(camera), DEFAULT) = (ours, &*action) {
                        super::clicked(&app, camera);
                    }
                },
            );
            // The connection is the session's one and lasts as long as the program.
            handle.manage(bus);
        });
        if asked.is_err() {
            tracing::debug!("clicks on notifications are not heard: the app is ending");
        }
    }

    async fn call(method: &'static str, said: glib::Variant) -> Option<glib::Variant> {
        let asked = tauri::async_runtime::spawn_blocking(move || {
            let bus = gio::bus_get_sync(gio::BusType::Session, gio::Cancellable::NONE).ok()?;
            let flags = gio::DBusCallFlags::NONE;
            let none = gio::Cancellable::NONE;
            bus.call_sync(Some(NAME), PATH, NAME, method, Some(&said), None, flags, TIMEOUT_MS, none).ok()
        });
        asked.await.ok().flatten()
    }

    pub(super) async fn show(app: &AppHandle, body: String, camera: Option<String>) -> Option<u32> {
        let hints: HashMap<String, glib::Variant> =
            HashMap::from([("desktop-entry".to_owned(), "nightjar".to_variant())]);
        let actions = vec![DEFAULT, "Nightjar"];
        let body = glib::markup_escape_text(&body);
        let said =
            ("Nightjar", 0u32, "nightjar", "Nightjar", body.as_str(), actions, hints, -1i32).to_variant();
        let Some(answer) = call("Notify", said).await else {
            tracing::debug!("this desktop shows no notifications");
            return None;
        };
        let (number,) = answer.get::<(u32,)>()?;
        standing(app, |standing| {
            standing.insert(number, camera);
        });
        Some(number)
    }

    pub(super) async fn withdraw(app: &AppHandle, number: u32) {
        standing(app, |standing| {
            standing.remove(&number);
        });
        call("CloseNotification", (number,).to_variant()).await;
    }
}

/// By the plugin, which knows neither clicks nor withdrawal; the system shows the window on a click.
#[cfg(not(target_os = "linux"))]
mod system {
    use tauri::AppHandle;
    use tauri_plugin_notification::NotificationExt as _;

    pub(super) fn listen(_: &AppHandle) {}

    pub(super) async fn show(app: &AppHandle, body: String, _: Option<String>) -> Option<u32> {
        if let Err(error) = app.notification().builder().title("Nightjar").body(body).show() {
            tracing::debug!("this desktop shows no notifications: {error}");
        }
        None
    }

    pub(super) async fn withdraw(_: &AppHandle, _: u32) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(cameras: &[&str]) -> Alert {
        serde_json::from_value(serde_json::json!({
            "id": "1", "kind": "camera_lost", "cameras": cameras, "since": "2026-11-20T14:50:42.120Z",
            "message": "Gate gives no picture.",
        }))
        .unwrap()
    }

    #[test]
    fn r_n10_an_alert_is_told_in_the_language_of_the_wall() {
        let names = HashMap::from([("gate".to_owned(), "대문".to_owned())]);
        assert_eq!(words(&alert(&["gate"]), &names, Language::En), "Gate gives no picture.");
        assert_eq!(words(&alert(&["gate"]), &names, Language::Ko), "대문: 영상이 없습니다.");
        assert_eq!(words(&alert(&["gate", "yard"]), &names, Language::Ko), "카메라 2대가 함께 끊어졌습니다.");
    }
}
