//! The app: the page in a web view, and the commands by which it speaks to its computer.
//!
//! The page says when to dial and when to hang up; here one wire at a time is held for it. Invariant: what is
//! told of a wire carries the number that the page dialled it with, and a wire that was replaced says nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tauri::ipc::Channel;
use tauri::webview::{PermissionKind, PermissionResponse};
use tauri::{AppHandle, Manager as _, State};
use tokio::sync::mpsc;

use crate::{Address, End, Event, Pin, PinnedTls, Wire, WireError};

/// Messages of the page that wait while the wire is being opened.
const EARLY: usize = 64;

/// What the page hears of its wire.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Told {
    Open,
    Message {
        text: String,
    },
    /// Over. With a code where the computer gave one; `impostor` where it was not the computer.
    Closed {
        code: Option<u16>,
        impostor: bool,
    },
}

/// The wire that is held.
#[derive(Default)]
struct Held(Mutex<Option<(u32, mpsc::Sender<String>)>>);

impl Held {
    fn lock(&self) -> MutexGuard<'_, Option<(u32, mpsc::Sender<String>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a wire, in place of the one that is held.
#[tauri::command]
fn dial(
    held: State<'_, Held>,
    number: u32,
    origin: String,
    pins: Vec<String>,
    tell: Channel<Told>,
) -> Result<(), String> {
    let address = Address::parse(&origin).map_err(|error| error.to_string())?;
    let pins: Result<Vec<Pin>, _> = pins.iter().map(|pin| Pin::parse(pin)).collect();
    let tls = PinnedTls::new(pins.map_err(|error| error.to_string())?);
    let (say, said) = mpsc::channel(EARLY);
    // The one before is hung up by this: its sender is gone.
    *held.lock() = Some((number, say));
    tauri::async_runtime::spawn(carry(address, tls, said, tell));
    Ok(())
}

/// Sends a message on the wire of this number; says whether it could be queued.
#[tauri::command]
fn say(held: State<'_, Held>, number: u32, text: String) -> bool {
    match &*held.lock() {
        Some((is, say)) if *is == number => say.try_send(text).is_ok(),
        _ => false,
    }
}

/// Ends the wire of this number.
#[tauri::command]
fn hang_up(held: State<'_, Held>, number: u32) {
    let mut held = held.lock();
    if held.as_ref().is_some_and(|(is, _)| *is == number) {
        *held = None;
    }
}

async fn carry(address: Address, tls: PinnedTls, mut said: mpsc::Receiver<String>, tell: Channel<Told>) {
    let closed = |code, impostor| Told::Closed { code, impostor };
    let mut wire = match Wire::open(&address, &tls).await {
        Ok(wire) => wire,
        Err(error) => {
            // A page that is gone hears nothing, and nothing is lost by it.
            let _ = tell.send(closed(None, matches!(error, WireError::Impostor)));
            return;
        }
    };
    if tell.send(Told::Open).is_err() {
        return;
    }
    loop {
        let told = tokio::select! {
            text = said.recv() => match text {
                Some(text) => {
                    if wire.send(text) {
                        continue;
                    }
                    closed(None, false)
                }
                // Hung up by the page, which expects no answer.
                None => return,
            },
            event = wire.next() => match event {
                Some(Event::Message(text)) => Told::Message { text },
                Some(Event::Ended(End::Closed(code))) => closed(code, false),
                Some(Event::Ended(_)) | None => closed(None, false),
            },
        };
        let over = matches!(told, Told::Closed { .. });
        if tell.send(told).is_err() || over {
            return;
        }
    }
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
        .manage(Held::default())
        .on_permission_request(|webview, kind| permit(webview.app_handle(), kind))
        .invoke_handler(tauri::generate_handler![dial, say, hang_up]);
    #[cfg(mobile)]
    let builder = builder.plugin(tauri_plugin_barcode_scanner::init());
    builder.run(tauri::generate_context!()).expect("a phone has a web view");
}
