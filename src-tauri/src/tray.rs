//! The tray icon: its colour and shape, its first menu line and one line per camera that is not
//! live say at a glance whether all is well.
//!
//! Invariant: every action is in the menu, because on Linux the icon itself cannot be clicked. What
//! to show is decided by [`View::of`]; showing it happens on the main thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tauri::image::Image;
use tauri::menu::{Menu, MenuBuilder, MenuEvent, MenuItemBuilder};
use tauri::tray::{MouseButton, TrayIconBuilder, TrayIconEvent};
use tauri::{AppHandle, Manager, include_image};
use tauri_specta::Event;
use tokio::sync::watch;

use crate::commands::OpenCamera;
use crate::settings::Settings;
use crate::view::{CameraLine, Mood, View};
use crate::window;

const ID: &str = "nightjar";
const OPEN: &str = "open";
const QUIT: &str = "quit";
const CAMERA: &str = "camera:";
impl View {
    fn icon(&self) -> Image<'static> {
        match self.mood {
            Mood::Idle => include_image!("icons/tray-idle.png"),
            Mood::Live => include_image!("icons/tray-live.png"),
            Mood::Trouble => include_image!("icons/tray-trouble.png"),
            Mood::Offline => include_image!("icons/tray-offline.png"),
        }
    }

    fn menu(&self, app: &AppHandle) -> tauri::Result<Menu<tauri::Wry>> {
        let plain =
            |id: &str, words: &str, enabled| MenuItemBuilder::with_id(id, words).enabled(enabled).build(app);
        let mut menu = MenuBuilder::new(app).item(&plain("headline", &self.headline, false)?).separator();
        for (id, words) in &self.lines {
            let item = match id {
                Some(id) => plain(&format!("{CAMERA}{id}"), words, true)?,
                None => plain("more", words, false)?,
            };
            menu = menu.item(&item);
        }
        if !self.lines.is_empty() {
            menu = menu.separator();
        }
        menu.item(&plain(OPEN, self.open, true)?).item(&plain(QUIT, self.quit, true)?).build()
    }

    fn show(&self, app: &AppHandle) -> tauri::Result<()> {
        let Some(icon) = app.tray_by_id(ID) else { return Ok(()) };
        icon.set_icon(Some(self.icon()))?;
        icon.set_tooltip(Some(format!("Nightjar: {}", self.headline)))?;
        icon.set_menu(Some(self.menu(app)?))
    }
}

/// The cameras that the tray mirrors; none until the engine started.
struct Mirror(watch::Receiver<Vec<CameraLine>>);

/// Puts the icon into the tray and keeps it true; false when this system cannot have one.
pub(crate) fn build(app: &AppHandle, mut cameras: watch::Receiver<Vec<CameraLine>>) -> bool {
    app.manage(Mirror(cameras.clone()));
    // Where libayatana-appindicator is missing, loading it panics; the app lives on without a tray.
    let built = catch_unwind(AssertUnwindSafe(|| icon(app).map_err(|error| error.to_string())));
    let built = built.unwrap_or_else(|_| Err("libayatana-appindicator3 is missing".to_owned()));
    if let Err(error) = built {
        tracing::warn!("no tray icon: {error}");
        return false;
    }
    let app = app.clone();
    tauri::async_runtime::spawn(async move {
        while cameras.changed().await.is_ok() {
            refresh(&app);
        }
    });
    true
}

fn icon(app: &AppHandle) -> tauri::Result<()> {
    let view = current(app);
    TrayIconBuilder::with_id(ID)
        .icon(view.icon())
        .menu(&view.menu(app)?)
        .show_menu_on_left_click(cfg!(target_os = "macos"))
        .tooltip(format!("Nightjar: {}", view.headline))
        .on_menu_event(on_menu)
        .on_tray_icon_event(|icon, event| {
            if let TrayIconEvent::Click { button: MouseButton::Left, .. } = event {
                window::show(icon.app_handle());
            }
        })
        .build(app)?;
    Ok(())
}

/// Shows the present state.
pub(crate) fn refresh(app: &AppHandle) {
    let view = current(app);
    let handle = app.clone();
    // Fails only when the app is ending.
    let _ = app.run_on_main_thread(move || {
        if let Err(error) = view.show(&handle) {
            tracing::warn!("the tray could not be brought up to date: {error}");
        }
    });
}

fn current(app: &AppHandle) -> View {
    let language = app.state::<Settings>().get().language;
    View::of(&app.state::<Mirror>().0.borrow(), language)
}

fn on_menu(app: &AppHandle, event: MenuEvent) {
    match event.id().as_ref() {
        OPEN => window::show(app),
        QUIT => app.exit(0),
        other => {
            let Some(id) = other.strip_prefix(CAMERA) else { return };
            window::show(app);
            if let Err(error) = (OpenCamera { id: id.to_owned() }).emit(app) {
                tracing::warn!("the wall was not told which camera to show: {error}");
            }
        }
    }
}

/// Whether a person can get at the icon: it was built, and on Linux a panel shows such icons.
pub(crate) fn is_reachable(app: &AppHandle) -> bool {
    app.tray_by_id(ID).is_some() && has_host()
}

#[cfg(target_os = "linux")]
fn has_host() -> bool {
    use webkit2gtk::gio;
    use webkit2gtk::glib::{self, ToVariant};
    const TIMEOUT_MS: i32 = 500;
    let Ok(bus) = gio::bus_get_sync(gio::BusType::Session, gio::Cancellable::NONE) else { return false };
    let reply = bus.call_sync(
        Some("org.freedesktop.DBus"),
        "/org/freedesktop/DBus",
        "org.freedesktop.DBus",
        "NameHasOwner",
        Some(&("org.kde.StatusNotifierWatcher",).to_variant()),
        Some(glib::VariantTy::new("(b)").expect("a well-formed type string")),
        gio::DBusCallFlags::NO_AUTO_START,
        TIMEOUT_MS,
        gio::Cancellable::NONE,
    );
    reply.ok().and_then(|reply| reply.get::<(bool,)>()).is_some_and(|(owned,)| owned)
}

#[cfg(not(target_os = "linux"))]
fn has_host() -> bool {
    true
}
