//! The handle.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info, warn};

use super::alerts::rules::Rules;
use super::alerts::{self, Board};
use super::archive::Shelf;
use super::entry::{Entry, Ground};
use super::patch::{apply, new_disk, same_recording, same_source, same_times, tidy};
use super::phone::{self, Phone};
use super::private::{leads_elsewhere, uncover};
use super::recording::{self, Records, RecordsError};
use super::registry::{self, LoadError, Registry};
use super::space;
use super::whip::Whip;
use super::{Address, EventStream, Parts};
use crate::api::{Alert, ApiError, Camera, CameraPatch, CameraSpec, ErrorCode};
use crate::config::{Config, ConfigStore, Webrtc, check_camera};
use crate::env::Env;
use crate::ingest::ProbeReport;
use crate::sfu::{IceServer, Sfu, SfuOptions};
use crate::source::SourceError;
use crate::still::Decoders;

/// More cameras than this are refused: no machine of this class carries them.
const MAX_CAMERAS: usize = 256;
/// Pictures decoded at a time, for all cameras together: stills must not take the machine.
const STILLS_AT_ONCE: usize = 2;
/// Longest wait for the tasks at the end.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);
/// What is copied for an export ends after a block; only a disk that does not answer takes longer.
const EXPORT_PATIENCE: Duration = Duration::from_millis(500);

/// The engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Load(#[from] LoadError),
    /// `place` is the camera's in the file.
    #[error(
        "camera[{place}].id: \"{id}\" is also the id of a camera that was added on the wall; give this one another \
         id, or start without it once and remove the other on the wall"
    )]
    Twice { id: String, place: usize },
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// The engine, as its doors hold it. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) ground: Ground,
    /// Names this run of the program.
    run: String,
    pub(super) config: Config,
    store: Arc<dyn ConfigStore>,
    cameras: RwLock<Registry>,
    /// One change of the registry at a time. Held across the save, so that what was answered is kept.
    changing: tokio::sync::Mutex<()>,
    sfu: Sfu,
    /// The past; none where its catalogue could not be opened.
    shelf: Option<Arc<Shelf>>,
    whip: Whip,
    pub(super) board: Board,
    pub(super) rules: Rules,
    pub(super) stop: CancellationToken,
}

impl EngineHandle {
    /// Starts all cameras. Returns as soon as they are being connected to.
    ///
    /// # Errors
    /// [`StartError`] where the stored cameras cannot be used. Nothing is overwritten then.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts { env, config, store, sources, demo, data_dir } = parts;
        let mut ground = Ground {
            env,
            sources,
            demo,
            changes: Arc::new(watch::Sender::new(0)),
            tasks: TaskTracker::new(),
            feeds: TaskTracker::new(),
            decoders: Decoders::new(STILLS_AT_ONCE),
            records: None,
        };
        let (added, rules) = blocking({
            let (store, alerts) = (Arc::clone(&store), config.alerts.clone());
            move || Ok::<_, LoadError>((registry::load(&*store)?, Rules::load(alerts, &*store)))
        })
        .await?;
        // The file is checked by itself before: such an id is one of the store's.
        let mut kept = added.iter().filter_map(|spec| spec.id.as_ref());
        let place = |id: &String| config.camera.iter().position(|spec| spec.id.as_ref() == Some(id));
        if let Some((id, place)) = kept.find_map(|id| Some((id.clone(), place(id)?))) {
            return Err(StartError::Twice { id, place });
        }
        let mut shelf = None;
        let mut earlier = Vec::new();
        if let Some(dir) = data_dir {
            let (recording, env) = (config.recording.clone(), ground.env.clone());
            let (records, opened, recalled) = blocking(move || {
                let records = Records::open(&dir, &recording, &env)?;
                let recalled = alerts::keeper::recall(&records.catalogue, env.wall());
                let opened = Shelf::open(&records, &dir, env);
                Ok::<_, RecordsError>((records, opened, recalled))
            })
            .await?;
            ground.records = Some(records);
            earlier = recalled;
            let opened = Arc::new(opened);
            opened.watch_exports();
            shelf = Some(opened);
        }
        let stop = CancellationToken::new();
        let mut registry = Registry::default();
        let named: Vec<&CameraSpec> = config.camera.iter().chain(&added).collect();
        let named: HashSet<String> = named.iter().filter_map(|spec| spec.id.clone()).collect();
        let fixed = config.camera.iter().cloned().enumerate().map(|(i, spec)| (spec, Some(i)));
        for (spec, place) in fixed.chain(added.iter().cloned().map(|spec| (spec, None))) {
            let id = spec.id.clone().unwrap_or_else(|| registry.free_id(&named));
            if registry.get(&id).is_some() {
                // The file is checked by itself before: this id is one of the store's.
                let place = config.camera.iter().position(|spec| spec.id.as_ref() == Some(&id));
                return Err(StartError::Twice { id, place: place.unwrap_or_default() });
            }
            let read_only = place.is_some();
            let entry = Entry::start(&ground, id, spec, &config.streaming, read_only, &stop);
            entry.record(true);
            registry.entries.push(Arc::new(entry));
        }
        info!(tag = "RTSP", cameras = registry.entries.len(), "engine started");
        let cameras = RwLock::new(registry);
        let changing = tokio::sync::Mutex::new(());
        let sfu = Sfu::new(sfu_options(&config.webrtc), ground.env.clone());
        let board = Board::new(&rules.now(), earlier);
        let whip = Whip::default();
        let run = u128::from_be_bytes(ground.env.token());
        let inner = Arc::new(Inner {
            ground,
            run: format!("{run:032x}"),
            config,
            store,
            cameras,
            changing,
            sfu,
            shelf,
            whip,
            board,
            rules,
            stop,
        });
        let watch = alerts::run(Arc::downgrade(&inner), inner.ground.changes.subscribe());
        inner.ground.tasks.spawn(watch);
        if let Some(records) = &inner.ground.records {
            let (catalogue, changes) = (Arc::clone(&records.catalogue), inner.ground.changes.subscribe());
            inner.ground.tasks.spawn(alerts::keeper::keep(Arc::downgrade(&inner), catalogue, changes));
        }
        inner.ground.tasks.spawn(recording::follow(Arc::downgrade(&inner)));
        inner.ground.tasks.spawn(space::watch(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    pub(super) fn of(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// The configuration it was started with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// What names this run of the program.
    pub(super) fn run(&self) -> &str {
        &self.inner.run
    }

    /// All cameras, in the order in which they were added.
    #[must_use]
    pub fn cameras(&self) -> Vec<Camera> {
        self.entries().iter().map(|entry| entry.to_api()).collect()
    }

    /// One camera.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn camera(&self, id: &str) -> Result<Camera, ApiError> {
        Ok(self.entry(id)?.to_api())
    }

    /// Adds a camera and saves it. Connecting goes on afterwards; watch its state.
    ///
    /// # Errors
    /// `Invalid` with the field, `Duplicate`, `Busy` at the limit, `Internal` where it cannot be saved.
    pub async fn add_camera(&self, mut spec: CameraSpec) -> Result<Camera, ApiError> {
        tidy(&mut spec);
        uncover(&mut spec, None)?;
        check_camera(&spec)?;
        self.config().recording.check_choice(spec.record_disk.as_deref())?;
        let _one_at_a_time = self.inner.changing.lock().await;
        let (id, mut added) = {
            let registry = self.registry();
            if registry.entries.len() >= MAX_CAMERAS {
                let message = format!("There are {MAX_CAMERAS} cameras already, which is the most.");
                return Err(ApiError::new(ErrorCode::Busy, message));
            }
            let id = spec.id.clone().unwrap_or_else(|| registry.free_id(&HashSet::new()));
            if registry.get(&id).is_some() {
                let message = format!("There is a camera \"{id}\" already. Choose another id.");
                return Err(ApiError::new(ErrorCode::Duplicate, message));
            }
            (id, registry.added())
        };
        added.push(CameraSpec { id: Some(id.clone()), ..spec.clone() });
        self.save(added).await?;
        let entry = Arc::new(self.start_entry(id, spec));
        let camera = entry.to_api();
        self.change(|registry| registry.entries.push(entry));
        Ok(camera)
    }

    /// Changes a camera and saves it. Where its source is concerned it connects anew. Its password goes only
    /// where it went before: at another scheme, host, port or user it is forgotten, unless it comes with the
    /// change.
    ///
    /// # Errors
    /// `NotFound`, `ReadOnly`, `Invalid`, `Internal`.
    pub async fn change_camera(&self, id: &str, patch: CameraPatch) -> Result<Camera, ApiError> {
        let _one_at_a_time = self.inner.changing.lock().await;
        let old = self.changeable(id)?;
        let mut spec = old.spec.clone();
        let with_password = patch.password.is_some();
        apply(&mut spec, patch);
        self.config().recording.check_choice(new_disk(&old.spec, &spec))?;
        if old.phone.is_some() {
            // It has no address, and comes and goes by itself.
            return self.change_phone(&old, spec).await;
        }
        tidy(&mut spec);
        uncover(&mut spec, Some(&old.spec))?;
        check_camera(&spec)?;
        if !with_password && leads_elsewhere(&old.spec, &spec) && spec.password.take().is_some() {
            info!(tag = "RTSP", camera = id, "its password is not for the new address, and forgotten");
        }
        let mut added = self.registry().added();
        for stored in added.iter_mut().filter(|s| s.id.as_deref() == Some(id)) {
            *stored = CameraSpec { id: Some(id.to_owned()), ..spec.clone() };
        }
        self.save(added).await?;
        if !same_times(&old.spec, &spec) {
            // The newer word counts.
            self.keep_switched(id, None, None).await;
        }
        let entry = Arc::new(if same_source(&old.spec, &spec) {
            let entry = old.with_spec(spec);
            if !same_recording(&old.spec, &entry.spec) {
                entry.record(false);
            }
            entry
        } else {
            old.close();
            self.start_entry(id.to_owned(), spec)
        });
        self.replace(&entry);
        Ok(entry.to_api())
    }

    /// Removes a camera; its viewers are told.
    ///
    /// # Errors
    /// `NotFound`, `ReadOnly`, `Internal`.
    pub async fn remove_camera(&self, id: &str) -> Result<(), ApiError> {
        let _one_at_a_time = self.inner.changing.lock().await;
        let entry = self.changeable(id)?;
        // Nothing of a phone is kept: a disk that is full keeps none on the wall.
        if entry.phone.is_none() {
            let mut added = self.registry().added();
            added.retain(|s| s.id.as_deref() != Some(id));
            self.save(added).await?;
        }
        self.keep_switched(id, None, None).await;
        self.keep_habits(id, None).await;
        self.take_down(&entry);
        Ok(())
    }

    fn take_down(&self, entry: &Entry) {
        entry.close();
        if let Some(phone) = &entry.phone {
            phone.dismiss("The camera was removed.");
        }
        self.change(|registry| registry.entries.retain(|e| e.id != entry.id));
    }

    pub(super) fn replace(&self, entry: &Arc<Entry>) {
        self.change(|registry| {
            for slot in registry.entries.iter_mut().filter(|e| e.id == entry.id) {
                *slot = Arc::clone(entry);
            }
        });
        // After the change: whoever wakes must find it.
        entry.main.status.touch();
    }

    /// Puts a phone on the wall; `None` at the limit. Called within a change. `resumes` at the start of the
    /// program.
    pub(super) fn add_phone(
        &self,
        id: String,
        name: Option<String>,
        phone: Arc<Phone>,
        resumes: bool,
    ) -> Option<Arc<Entry>> {
        let inner = &self.inner;
        if self.registry().entries.len() >= MAX_CAMERAS {
            return None;
        }
        let span = tracing::info_span!("camera", id);
        let entry = Arc::new(Entry::phone(&inner.ground, id, name, Arc::clone(&phone), &inner.stop));
        entry.record(resumes);
        self.change(|registry| registry.entries.push(Arc::clone(&entry)));
        let (engine, watched) = (self.clone(), Arc::clone(&entry));
        let remove = move || {
            let (engine, entry) = (engine.clone(), Arc::clone(&watched));
            async move {
                let owner = entry.phone.as_ref().map(|phone| phone.owner()).unwrap_or_default();
                engine.forget_phone(&entry, &owner).await;
            }
        };
        inner.ground.tasks.spawn(phone::watch(phone, Arc::clone(&entry), remove).instrument(span));
        Some(entry)
    }

    /// Takes a phone off the wall that is gone, unless it came back meanwhile, or somebody in its place.
    pub(super) async fn forget_phone(&self, entry: &Entry, peer_id: &str) {
        let _one_at_a_time = self.inner.changing.lock().await;
        let now = self.registry().get(&entry.id);
        let gone = |now: &Arc<Entry>| {
            let phone = now.phone.as_ref().filter(|_| now.main.slot.is(&entry.main.slot));
            phone.is_some_and(|phone| phone.is_of(peer_id) && !phone.is_here())
        };
        if let Some(now) = now.filter(gone) {
            self.take_down(&now);
        }
    }

    /// Held while the cameras are looked at and changed.
    pub(super) async fn one_change(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.changing.lock().await
    }

    /// Told of every change of any camera.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.ground.changes.subscribe()
    }

    pub(super) fn env(&self) -> Env {
        self.inner.ground.env.clone()
    }

    /// An identifier that cannot be guessed.
    pub(super) fn token(&self) -> String {
        let bytes: [u8; 8] = self.inner.ground.env.token();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A task that ends with the engine.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.inner.stop.clone();
        self.inner.ground.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    pub(super) fn whip(&self) -> &Whip {
        &self.inner.whip
    }

    /// Tries a camera again, now.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn retry(&self, id: &str) -> Result<Camera, ApiError> {
        let entry = self.entry(id)?;
        entry.retry();
        Ok(entry.to_api())
    }

    /// What the user would want to know, newest first: what lasts, then what is over.
    #[must_use]
    pub fn alerts(&self) -> Vec<Alert> {
        self.inner.board.all().0
    }

    pub(super) fn rules(&self) -> &Rules {
        &self.inner.rules
    }

    pub(super) fn store(&self) -> &Arc<dyn ConfigStore> {
        &self.inner.store
    }

    /// Wakes everybody who looks at all cameras.
    pub(super) fn look_again(&self) {
        self.inner.ground.changes.send_modify(|n| *n += 1);
    }

    pub(super) fn board(&self) -> &Board {
        &self.inner.board
    }

    /// Everything that happens from now on, after a snapshot.
    #[must_use]
    pub fn events(&self) -> EventStream {
        EventStream::new(self.clone(), self.inner.ground.changes.subscribe())
    }

    /// Ends everything: sources say goodbye, tasks are joined. At most three seconds.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        if let Some(shelf) = &self.inner.shelf {
            shelf.exports.cancel_all();
        }
        for entry in &self.registry().entries {
            entry.close();
        }
        let Ground { tasks, feeds, .. } = &self.inner.ground;
        tasks.close();
        feeds.close();
        self.inner.ground.changes.send_modify(|n| *n += 1);
        let farewell = self.inner.ground.sources.farewell();
        let goodbyes = async {
            // The sessions are dropped then, and their goodbyes under way.
            tasks.wait().await;
            farewell.await;
        };
        let files = async {
            // What cameras gave is in the queue then. Whatever else is slow takes no time from the disk.
            feeds.wait().await;
            if let Some(records) = self.records() {
                records.shutdown().await;
            }
        };
        let ended = async { tokio::join!(self.inner.sfu.shutdown(), goodbyes, files) };
        if tokio::time::timeout(SHUTDOWN_PATIENCE, ended).await.is_err() {
            warn!(tag = "RTSP", left = tasks.len(), "some tasks did not end in time");
        }
        if let Some(shelf) = &self.inner.shelf
            && tokio::time::timeout(EXPORT_PATIENCE, shelf.exports.ended()).await.is_err()
        {
            warn!(
                tag = "STORAGE",
                "an export did not end in time; the next start removes what there is of it"
            );
        }
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.inner.stop.is_cancelled()
    }

    pub(super) fn records(&self) -> Option<&Records> {
        self.inner.ground.records.as_ref()
    }

    pub(super) fn ground(&self) -> &Ground {
        &self.inner.ground
    }

    pub(super) fn kept(&self) -> Option<&Arc<Shelf>> {
        self.inner.shelf.as_ref()
    }

    pub(super) fn sfu(&self) -> &Sfu {
        &self.inner.sfu
    }

    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.inner.entries()
    }

    /// A look at an address, `demo:` among them.
    pub(super) async fn look(&self, address: Address) -> Result<ProbeReport, SourceError> {
        let ground = &self.inner.ground;
        let address = match &ground.demo {
            Some(demo) if address.url.scheme() == "demo" => {
                Address { url: demo.resolve(&address.url).await?, ..address }
            }
            _ => address,
        };
        ground.sources.probe(address, ground.env.clone()).await
    }

    fn registry(&self) -> std::sync::RwLockReadGuard<'_, Registry> {
        self.inner.cameras.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn entry(&self, id: &str) -> Result<Arc<Entry>, ApiError> {
        self.registry().get(id).ok_or_else(|| ApiError::no_camera(id))
    }

    fn changeable(&self, id: &str) -> Result<Arc<Entry>, ApiError> {
        let entry = self.entry(id)?;
        if entry.read_only {
            let message = format!("Camera \"{id}\" is defined in the configuration file. Change it there.");
            return Err(ApiError::new(ErrorCode::ReadOnly, message));
        }
        Ok(entry)
    }

    fn start_entry(&self, id: String, spec: CameraSpec) -> Entry {
        let inner = &self.inner;
        let entry = Entry::start(&inner.ground, id, spec, &inner.config.streaming, false, &inner.stop);
        entry.record(false);
        entry
    }

    fn change(&self, change: impl FnOnce(&mut Registry)) {
        change(&mut self.inner.cameras.write().unwrap_or_else(PoisonError::into_inner));
        self.inner.ground.changes.send_modify(|n| *n += 1);
    }

    async fn save(&self, cameras: Vec<CameraSpec>) -> Result<(), ApiError> {
        let store = Arc::clone(&self.inner.store);
        blocking(move || registry::save(&*store, cameras)).await.map_err(|error| {
            warn!(tag = "STORAGE", "cameras cannot be saved: {error}");
            ApiError::new(ErrorCode::Internal, format!("The camera could not be saved: {error}."))
        })
    }
}

impl Inner {
    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.cameras.read().unwrap_or_else(PoisonError::into_inner).entries.clone()
    }
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn sfu_options(webrtc: &Webrtc) -> SfuOptions {
    let ice_servers = webrtc.ice_servers.iter().map(|server| IceServer {
        urls: server.urls.clone(),
        username: server.username.clone().unwrap_or_default(),
        credential: server.credential.clone().unwrap_or_default(),
    });
    SfuOptions {
        udp_ports: webrtc.udp_ports.clone(),
        max_viewers: webrtc.udp_ports.len(),
        tcp_port: Some(webrtc.tcp_port).filter(|port| *port != 0),
        ice_servers: ice_servers.collect(),
        ..SfuOptions::default()
    }
}
