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
mod save;
mod settings;
mod tray;
mod view;
mod window;

use std::process::ExitCode;
use std::time::Duration;

use nightjar_server::log;
use tauri::{AppHandle, Manager, RunEvent};
use tauri_plugin_autostart::MacosLauncher;
use tokio::sync::watch;

use crate::door::{Door, Doorway, Opened};
use crate::view::CameraLine;

/// The argument with which the system's autostart opens Nightjar: in the tray, without a window.
const HIDDEN: &str = "--hidden";
/// At a log-in the tray may come after the programs that start with it.
const TRAY_COMES: Duration = Duration::from_secs(30);

/// Runs the app until it is quit; the exit code is 0 unless the window system is missing.
pub fn run() -> ExitCode {
    nightjar_server::memory::settle_allocator();
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
            let (mirror, cameras) = watch::channel(Vec::new());
            let (doorway, opened) = Doorway::new();
            app.manage(doorway);
            let in_tray = tray::build(app.handle(), cameras);
            let hidden = in_tray && std::env::args().any(|argument| argument == HIDDEN);
            window::open(app.handle(), !hidden)?;
            if hidden {
                tauri::async_runtime::spawn(appear_without_tray(app.handle().clone()));
            }
            quit_on_signals(app.handle().clone());
            // Behind the window: a keychain may wait for a person to unlock it.
            tauri::async_runtime::spawn(start(app.handle().clone(), mirror, opened));
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
            && let Some(doorway) = app.try_state::<Doorway>()
        {
            tauri::async_runtime::block_on(doorway.leave());
        }
    });
    u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// An icon may be made where nobody shows it: a program that hides there could not be found.
async fn appear_without_tray(app: AppHandle) {
    tokio::time::sleep(TRAY_COMES).await;
    if !tray::is_reachable(&app) {
        window::show(&app);
    }
}

/// Starts the engine and what follows it; where it does not start, once more whenever a person says so.
async fn start(app: AppHandle, mirror: watch::Sender<Vec<CameraLine>>, opened: Opened) {
    loop {
        match Door::open(&app, mirror.clone(), opened.leaving()).await {
            Ok(door) => {
                tauri::async_runtime::spawn(notice::follow(app.clone(), door.events()));
                tauri::async_runtime::spawn(awake::follow(app, door.events()));
                opened.tell(Ok(door));
                return;
            }
            Err(error) => {
                tracing::error!(code = error.code, "the engine did not start: {}", error.message);
                opened.tell(Err(error));
                opened.asked_again().await;
            }
        }
    }
}

/// Log-out, `kill` and Ctrl-C end the app as its own menu does.
fn quit_on_signals(app: AppHandle) {
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
