//! The desktop shell: a window around the wall, a tray icon that tells its state, and the settings
//! that only a desktop has. The engine and its HTTP door run inside this process.
//!
//! Invariant: the program stays reachable. Closing the window hides it only while a tray icon can
//! bring it back; a second start shows the first one's window; nothing that goes wrong with the
//! tray, the door or the store keeps the window from opening.
//!
//! It knows nothing of cameras beyond their names and states, which `door` gives it.

mod awake;
mod commands;
mod door;
mod keychain;
mod notice;
mod settings;
mod tray;
mod view;
mod window;

use std::process::ExitCode;

use nightjar_server::log;
use tauri::{Manager, RunEvent};
use tauri_plugin_autostart::MacosLauncher;

use crate::door::Door;

/// The argument with which the system's autostart opens Nightjar: in the tray, without a window.
const HIDDEN: &str = "--hidden";

/// Runs the app until it is quit; the exit code is 0 unless the window system is missing.
pub fn run() -> ExitCode {
    let wanted = std::env::var("NIGHTJAR_LOG").unwrap_or_else(|_| log::DEFAULT.to_owned());
    let filter = log::filter(&wanted).or_else(|_| log::filter(log::DEFAULT)).expect("our own filter");
    log::init(filter);

    let specta = commands::builder();
    let app = tauri::Builder::default()
        // First, so that a second start ends before it touches anything of the first one's.
        .plugin(tauri_plugin_single_instance::init(|app, _arguments, _folder| window::show(app)))
        .plugin(tauri_plugin_store::Builder::new().build())
        .plugin(tauri_plugin_autostart::init(MacosLauncher::LaunchAgent, Some(vec![HIDDEN])))
        .invoke_handler(specta.invoke_handler())
        // The wall only shows pictures: no page of ours needs a camera, a microphone or a place.
        .on_permission_request(|_, _| tauri::webview::PermissionResponse::Deny)
        .on_window_event(window::on_event)
        .setup(move |app| {
            specta.mount_events(app);
            // On Linux the desktop is spoken to directly: the plugin cannot be told of clicks.
            #[cfg(not(target_os = "linux"))]
            app.handle().plugin(tauri_plugin_notification::init())?;
            app.manage(settings::load(app.handle()));
            let door = tauri::async_runtime::block_on(Door::open(app.handle()));
            if let Err(error) = &door {
                tracing::error!(code = error.code, "the engine did not start: {}", error.message);
            }
            let cameras = door.as_ref().ok().map(Door::cameras);
            if let Ok(door) = &door {
                tauri::async_runtime::spawn(notice::follow(app.handle().clone(), door.events()));
                tauri::async_runtime::spawn(awake::follow(app.handle().clone(), door.events()));
            }
            app.manage(door);
            let in_tray = tray::build(app.handle(), cameras);
            let hidden = in_tray && std::env::args().any(|argument| argument == HIDDEN);
            window::open(app.handle(), !hidden)?;
            quit_on_signals(app.handle().clone());
            Ok(())
        })
        .build(tauri::generate_context!());
    let app = match app {
        Ok(app) => app,
        Err(error) => {
            tracing::error!("no window can be opened here: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = app.run_return(|app, event| {
        if let RunEvent::Exit = event
            && let Some(Ok(door)) = app.try_state::<Result<Door, commands::ShellError>>().as_deref()
        {
            tauri::async_runtime::block_on(door.close());
        }
    });
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Log-out, `kill` and Ctrl-C end the app as its own menu does.
fn quit_on_signals(app: tauri::AppHandle) {
    tauri::async_runtime::spawn(async move {
        #[cfg(unix)]
        let told = async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut term = signal(SignalKind::terminate())?;
            tokio::select! {
                _ = term.recv() => Ok(()),
                done = tokio::signal::ctrl_c() => done,
            }
        };
        #[cfg(not(unix))]
        let told = tokio::signal::ctrl_c();
        match told.await {
            Ok(()) => app.exit(0),
            Err(error) => tracing::warn!("signals cannot be listened for: {error}"),
        }
    });
}
