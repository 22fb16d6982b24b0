//! The one window: opening it, bringing it back, and what its close button means.

use tauri::webview::Color;
use tauri::{AppHandle, Manager, WebviewUrl, WebviewWindowBuilder, Window, WindowEvent};

use crate::settings::Settings;

/// The window's label, to which the capabilities are bound.
const MAIN: &str = "main";
/// Near-black, as the wall: no white flash before the page is there.
const NIGHT: Color = Color(14, 14, 15, 255);

/// Creates the window; it may stay hidden until the tray or a second start asks for it.
pub(crate) fn open(app: &AppHandle, visible: bool) -> tauri::Result<()> {
    let window = WebviewWindowBuilder::new(app, MAIN, WebviewUrl::App("index.html".into()))
        .title("Nightjar")
        .inner_size(1280.0, 800.0)
        .min_inner_size(360.0, 480.0)
        .background_color(NIGHT)
        .visible(visible)
        .on_navigation(|url| {
            // The app's own pages only; a link to elsewhere must not turn the window into a browser.
            let own = url.scheme() == "tauri" || url.host_str() == Some("tauri.localhost");
            own || (cfg!(dev) && url.host_str() == Some("localhost"))
        })
        .build()?;
    enable_webrtc(&window);
    Ok(())
}

/// Shows the window, wherever it is, and gives it the keyboard.
pub(crate) fn show(app: &AppHandle) {
    let Some(window) = app.get_webview_window(MAIN) else { return };
    for step in [window.show(), window.unminimize(), window.set_focus()] {
        if let Err(error) = step {
            tracing::warn!("the window could not be shown: {error}");
        }
    }
}

/// The close button hides the window while a tray icon can bring it back; else it ends the app.
pub(crate) fn on_event(window: &Window, event: &WindowEvent) {
    let WindowEvent::CloseRequested { api, .. } = event else { return };
    let app = window.app_handle();
    if app.state::<Settings>().get().close_to_tray && crate::tray::is_reachable(app) {
        api.prevent_close();
        if let Err(error) = window.hide() {
            tracing::warn!("the window could not be hidden: {error}");
        }
    }
}

/// Debian's WebKitGTK has no WebRTC at all; a build that has it keeps it behind this setting.
#[cfg(target_os = "linux")]
fn enable_webrtc(window: &tauri::WebviewWindow) {
    use webkit2gtk::{SettingsExt, WebViewExt};
    // Fails only where the web view is gone already.
    let _ = window.with_webview(|webview| {
        if let Some(settings) = webview.inner().settings() {
            settings.set_enable_webrtc(true);
        }
    });
}

#[cfg(not(target_os = "linux"))]
fn enable_webrtc(_: &tauri::WebviewWindow) {}
