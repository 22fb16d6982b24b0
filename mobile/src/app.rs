//! The app: the page in a web view, and the commands by which it speaks on its [`Line`].

use tauri::ipc::Channel;
use tauri::webview::{PermissionKind, PermissionResponse};
use tauri::{AppHandle, Manager as _, State};

use crate::{Line, Told};

/// Opens a wire, in place of the one that is held.
#[tauri::command]
fn dial(
    line: State<'_, Line>,
    number: u32,
    origin: String,
    pins: Vec<String>,
    tell: Channel<Told>,
) -> Result<(), String> {
    let tell = move |told| tell.send(told).is_ok();
    let carried = line.dial(number, &origin, &pins, tell).map_err(|error| error.to_string())?;
    tauri::async_runtime::spawn(carried);
    Ok(())
}

/// Sends a message on the wire of this number; says whether it could be queued.
#[tauri::command]
fn say(line: State<'_, Line>, number: u32, text: String) -> bool {
    line.say(number, text)
}

/// Ends the wire of this number.
#[tauri::command]
fn hang_up(line: State<'_, Line>, number: u32) {
    line.hang_up(number);
}

/// Whether a page may film: the app's own, and nothing else is ever shown here.
fn permit(app: &AppHandle, kind: PermissionKind) -> PermissionResponse {
    let own = app.get_webview_window("main").and_then(|window| window.url().ok()).is_some_and(|url| {
        matches!(url.scheme(), "tauri") && url.host_str() == Some("localhost")
            || url.host_str() == Some("tauri.localhost")
    });
    match kind {
        // On Android the answer must leave the system's own question in place.
        PermissionKind::Camera | PermissionKind::Microphone if own => {
            if cfg!(target_os = "android") {
                PermissionResponse::Default
            } else {
                PermissionResponse::Allow
            }
        }
        _ => PermissionResponse::Deny,
    }
}

/// Runs the app until it is closed.
#[cfg_attr(mobile, tauri::mobile_entry_point)]
pub fn run() {
    let builder = tauri::Builder::default()
        .plugin(tauri_plugin_deep_link::init())
        .manage(Line::default())
        .on_permission_request(|webview, kind| permit(webview.app_handle(), kind))
        .invoke_handler(tauri::generate_handler![dial, say, hang_up]);
    #[cfg(mobile)]
    let builder = builder.plugin(tauri_plugin_barcode_scanner::init());
    builder.run(tauri::generate_context!()).expect("a phone has a web view");
}
