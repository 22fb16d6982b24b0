//! Cameras that follow a script, for scenarios on the paused clock.

use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use nightjar_engine::config::{Config, ConfigStore};
use nightjar_engine::engine::{Address, EngineHandle, Parts, Sources};
use nightjar_engine::env::Env;
use nightjar_engine::ingest::ProbeReport;
use nightjar_engine::media::{Codec, Frame, Parameters, TrackInfo, TrackKind};
use nightjar_engine::source::{BoxFuture, Session, SessionEvent, Source, SourceError, SourceErrorCode};
use tokio::time::{Instant, Sleep, sleep};

/// What the host of an address does; `Live` where nothing else was set.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Host {
    Live,
    Refuses(SourceErrorCode),
}

/// A world of cameras by address.
#[derive(Clone, Default)]
pub(crate) struct World {
    hosts: Arc<Mutex<HashMap<String, Host>>>,
    attempts: Arc<Mutex<Vec<Address>>>,
    looks: Arc<Mutex<Vec<Address>>>,
}

impl World {
    pub(crate) fn set(&self, url: &str, host: Host) {
        self.hosts.lock().unwrap().insert(url.to_owned(), host);
    }

    /// Every attempt so far.
    pub(crate) fn attempts(&self) -> Vec<Address> {
        self.attempts.lock().unwrap().clone()
    }

    /// Every look so far.
    #[allow(dead_code, reason = "not every program of tests looks")]
    pub(crate) fn looks(&self) -> Vec<Address> {
        self.looks.lock().unwrap().clone()
    }

    pub(crate) fn attempts_at(&self, url: &str) -> usize {
        self.attempts().iter().filter(|a| a.url.as_str() == url).count()
    }

    pub(crate) async fn engine(&self, config: &str, store: Arc<dyn ConfigStore>) -> EngineHandle {
        self.engine_in(None, config, store).await
    }

    /// With a data directory.
    pub(crate) async fn engine_in(
        &self,
        data_dir: Option<PathBuf>,
        config: &str,
        store: Arc<dyn ConfigStore>,
    ) -> EngineHandle {
        let parts = Parts {
            env: Env::fixed(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_186_242), 1),
            config: Config::parse(config).expect("a valid configuration"),
            store,
            sources: Arc::new(self.clone()),
            demo: None,
            data_dir,
        };
        EngineHandle::start(parts).await.expect("the engine starts")
    }
}

impl Sources for World {
    fn source(&self, address: Address, _: &Env) -> Box<dyn Source> {
        Box::new(ScriptedSource { world: self.clone(), address })
    }

    fn probe(&self, address: Address, _: Env) -> BoxFuture<'static, Result<ProbeReport, SourceError>> {
        self.looks.lock().unwrap().push(address);
        Box::pin(std::future::ready(Err(SourceError::new(SourceErrorCode::Unreachable, "scripted"))))
    }
}

struct ScriptedSource {
    world: World,
    address: Address,
}

impl Source for ScriptedSource {
    fn open(&mut self) -> BoxFuture<'_, Result<Box<dyn Session>, SourceError>> {
        self.world.attempts.lock().unwrap().push(self.address.clone());
        let world = self.world.clone();
        let url = self.address.url.to_string();
        Box::pin(async move {
            let host = world.hosts.lock().unwrap().get(&url).copied().unwrap_or(Host::Live);
            match host {
                Host::Refuses(code) => Err(SourceError::new(code, "scripted")),
                Host::Live => {
                    Ok(Box::new(ScriptedSession { world, url, number: 0, timer: Box::pin(sleep(FRAME)) })
                        as Box<dyn Session>)
                }
            }
        })
    }
}

const FRAME: Duration = Duration::from_millis(40);

/// 25 pictures a second, a key frame every second, until its host refuses.
struct ScriptedSession {
    world: World,
    url: String,
    number: i64,
    timer: Pin<Box<Sleep>>,
}

impl Session for ScriptedSession {
    fn tracks(&self) -> Arc<[TrackInfo]> {
        Arc::from([TrackInfo {
            id: 0,
            kind: TrackKind::Video,
            codec: Codec::Mjpeg,
            timescale: 90_000,
            parameters: Parameters::Video { width: 640, height: 360 },
            generation: 0,
            note: None,
        }])
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<SessionEvent, SourceError>> {
        ready!(self.timer.as_mut().poll(cx));
        self.timer.as_mut().reset(Instant::now() + FRAME);
        if let Some(Host::Refuses(_)) = self.world.hosts.lock().unwrap().get(&self.url) {
            return Poll::Ready(Err(SourceError::new(SourceErrorCode::Closed, "scripted")));
        }
        self.number += 1;
        Poll::Ready(Ok(SessionEvent::Frame(Frame {
            track: 0,
            pts: self.number * 3_600,
            arrival: Instant::now(),
            wall: SystemTime::UNIX_EPOCH,
            key: self.number % 25 == 1,
            generation: 0,
            loss: 0,
            data: Bytes::from_static(&[0; 1_000]),
            packets: Default::default(),
        })))
    }
}
