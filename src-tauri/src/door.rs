//! The engine and its HTTP door inside the app: on a loopback port of its own, behind a token that
//! is new in every run.
//!
//! Cameras and their passwords lie in the app's data directory, each file replaced as a whole and
//! readable by the user alone, the passwords sealed by a key of the system's keychain; the store plugin writes in place and takes a damaged file for an
//! empty one, so it keeps only what can be set again. Its key `config` may hold the sections of
//! `nightjar.toml`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nightjar_engine::api::Event;
use nightjar_engine::config::{Config, ConfigStore};
use nightjar_engine::engine::{EngineHandle, EventStream, ExportFile, Parts, Rtsp};
use nightjar_engine::env::{Env, Secret};
use nightjar_server::demo::LoopbackCameras;
use nightjar_server::{FileStore, PhoneOptions, Server, ServerOptions, Tickets};
use tauri::{AppHandle, Manager};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::commands::{DoorAddress, ShellError};
use crate::view::CameraLine;
use crate::{keychain, settings};

/// The web view's own pages, by what each system calls them.
const ORIGINS: [&str; 3] = ["tauri://localhost", "http://tauri.localhost", "https://tauri.localhost"];
/// Vite's server, in `npm run dev` only.
const DEV_ORIGIN: &str = "http://localhost:5173";
/// The end is not waited for any longer than this.
const END: Duration = Duration::from_millis(4500);
/// Nor is a door that is being opened at the end: it may be a keychain that waits for a person.
const OPENING: Duration = Duration::from_millis(2500);

/// The running engine; dropping it does not stop it, [`Door::close`] does.
pub(crate) struct Door {
    address: DoorAddress,
    tickets: Tickets,
    engine: EngineHandle,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Door {
    /// Starts the engine with the app's data directory and opens its door.
    /// The names and states of its cameras are mirrored into `mirror`. Nothing is left of it when the person quits
    /// meanwhile.
    pub(crate) async fn open(
        app: &AppHandle,
        mirror: watch::Sender<Vec<CameraLine>>,
        leaving: &CancellationToken,
    ) -> Result<Self, ShellError> {
        let dir = app.path().app_data_dir().map_err(|error| ShellError::new("data_dir", error))?;
        let left = || ShellError::new("quit", "Nightjar is being ended.");
        let store = leaving.run_until_cancelled(open_store(dir.clone())).await.ok_or_else(left)??;
        let store = Arc::new(store);
        let env = Env::system();
        let parts = Parts {
            env: env.clone(),
            config: config(app)?,
            store: Arc::clone(&store) as Arc<dyn ConfigStore>,
            sources: Arc::new(Rtsp::default()),
            demo: Some(Arc::new(LoopbackCameras::default())),
            data_dir: Some(dir),
        };
        let engine = EngineHandle::start(parts).await.map_err(|error| ShellError::new("engine", error))?;
        if leaving.is_cancelled() {
            engine.shutdown().await;
            return Err(left());
        }

        let token: String = env.token::<32>().iter().map(|byte| format!("{byte:02x}")).collect();
        let own = ORIGINS.into_iter().chain(cfg!(dev).then_some(DEV_ORIGIN));
        let options = ServerOptions {
            token: Some(Secret::new(token.clone())),
            allowed_origins: own.map(str::to_owned).collect(),
            phones: Some(PhoneOptions { listen: engine.config().signaling.listen, store, tls: None }),
            ..ServerOptions::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), env)
        };
        let server = match Server::bind(options, engine.clone()).await {
            Ok(server) => server,
            Err(error) => {
                engine.shutdown().await;
                return Err(ShellError::new("listen", error));
            }
        };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let door = Self {
            address: DoorAddress { base_url: server.url(), token },
            tickets: server.tickets(),
            engine: engine.clone(),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(server.run(stop));
        tasks.spawn(reflect(engine.events(), mirror));
        Ok(door)
    }

    pub(crate) fn address(&self) -> DoorAddress {
        self.address.clone()
    }

    /// A short-lived ticket for one path.
    pub(crate) fn ticket(&self, path: &str) -> String {
        self.tickets.ticket(path).ticket
    }

    /// A finished export.
    pub(crate) async fn export(&self, id: &str) -> Result<ExportFile, ShellError> {
        let id = Uuid::try_parse(id).map_err(|error| ShellError::new("not_found", error))?;
        let export = self.engine.export_file(id).await;
        export.map_err(|error| ShellError::new("export", error.message))
    }

    /// All that happens, after a snapshot.
    pub(crate) fn events(&self) -> EventStream {
        self.engine.events()
    }

    /// Ends every connection and camera.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        let ended = async { tokio::join!(self.engine.shutdown(), self.tasks.wait()) };
        if tokio::time::timeout(END, ended).await.is_err() {
            tracing::warn!("the engine did not end in time");
        }
    }
}

/// What became of opening the door.
type Outcome = Option<Result<Arc<Door>, ShellError>>;

/// Where the window's page waits for the door.
pub(crate) struct Doorway {
    told: watch::Sender<Outcome>,
    leaving: CancellationToken,
}

/// Tells those who wait.
pub(crate) struct Opened {
    tell: watch::Sender<Outcome>,
    leaving: CancellationToken,
}

impl Doorway {
    pub(crate) fn new() -> (Self, Opened) {
        let tell = watch::Sender::new(None);
        let leaving = CancellationToken::new();
        (Self { told: tell.clone(), leaving: leaving.clone() }, Opened { tell, leaving })
    }

    /// The door, once it is open, or why it is not.
    pub(crate) async fn door(&self) -> Result<Arc<Door>, ShellError> {
        let mut told = self.told.subscribe();
        let outcome =
            told.wait_for(Option::is_some).await.map_err(|error| ShellError::new("engine", error))?;
        outcome.clone().expect("it was waited for")
    }

    /// Has the door opened once more where it could not be; whoever asks for it from now on waits for that.
    /// Answers whether it could not.
    pub(crate) fn again(&self) -> bool {
        self.told.send_if_modified(|outcome| {
            let failed = matches!(outcome, Some(Err(_)));
            if failed {
                *outcome = None;
            }
            failed
        })
    }

    /// Closes the door. One that is being opened is waited for, as what it started has to be ended; not for long.
    pub(crate) async fn leave(&self) {
        self.leaving.cancel();
        match tokio::time::timeout(OPENING, self.door()).await {
            Ok(Ok(door)) => door.close().await,
            Ok(Err(error)) => tracing::debug!(code = error.code, "there is no door to close"),
            Err(_) => tracing::warn!("the engine was still being started at the end"),
        }
    }
}

impl Opened {
    pub(crate) fn tell(&self, door: Result<Door, ShellError>) {
        self.tell.send_replace(Some(door.map(Arc::new)));
    }

    /// Cancelled when nobody wants the door any more.
    pub(crate) fn leaving(&self) -> &CancellationToken {
        &self.leaving
    }

    /// Returns when somebody wants another try.
    pub(crate) async fn asked_again(&self) {
        // It is its own sender, so there always is one.
        let _ = self.tell.subscribe().wait_for(Option::is_none).await;
    }
}

/// The data directory, its secrets sealed by the system's keychain where there is one.
async fn open_store(dir: PathBuf) -> Result<FileStore, ShellError> {
    let opened = tokio::task::spawn_blocking(move || FileStore::open_with(&dir, || keychain::key(&dir)));
    let opened = opened.await.map_err(|error| ShellError::new("data_dir", error))?;
    opened.map_err(|error| ShellError::new("data_dir", error))
}

/// The configuration that the store holds, or the built-in one.
fn config(app: &AppHandle) -> Result<Config, ShellError> {
    let Some(stored) = settings::stored_config(app) else { return Ok(Config::default()) };
    let text = toml::to_string(&stored).map_err(|error| ShellError::new("config", error))?;
    Config::parse(&text).map_err(|error| ShellError::new("config", format!("{}: {error}", settings::FILE)))
}

/// Keeps names and states of the cameras for the tray, until the engine ends.
async fn reflect(mut events: EventStream, tell: watch::Sender<Vec<CameraLine>>) {
    while let Some(event) = events.next().await {
        tell.send_if_modified(|lines| match event {
            Event::Snapshot { cameras, .. } => {
                *lines = cameras.iter().map(CameraLine::of).collect();
                true
            }
            Event::Camera { camera, .. } => {
                let line = CameraLine::of(&camera);
                match lines.iter_mut().find(|known| known.id == line.id) {
                    Some(known) if *known == line => return false,
                    Some(known) => *known = line,
                    None => lines.push(line),
                }
                true
            }
            Event::CameraRemoved { id, .. } => {
                lines.retain(|line| line.id != id);
                true
            }
            Event::Alert { .. }
            | Event::Pairing { .. }
            | Event::Device { .. }
            | Event::DeviceRemoved { .. }
            | Event::Alive { .. } => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_quits_while_the_door_is_opened_waits_until_what_was_started_is_ended() {
        let (doorway, opened) = Doorway::new();
        let begun = tokio::time::Instant::now();
        let opening = tauri::async_runtime::spawn(async move {
            opened.leaving().cancelled().await;
            opened.tell(Err(ShellError::new("quit", "ended")));
        });
        tauri::async_runtime::block_on(doorway.leave());
        assert!(doorway.told.borrow().is_some() && begun.elapsed() < OPENING, "{:?}", begun.elapsed());
        tauri::async_runtime::block_on(opening).expect("no panic");
    }
}
