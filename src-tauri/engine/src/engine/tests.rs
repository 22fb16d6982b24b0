//! The engine from within: cameras are scripts, what they give are real pictures.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::*;
use crate::api::SegmentState;
use crate::config::MemoryStore;
use crate::fmp4::clips::Clip;
use crate::media::{TrackInfo, rescale};
use crate::source::{Session, SessionEvent, SourceErrorCode};
use crate::store::MARKER;

const PATIENCE: Duration = Duration::from_secs(10);
const PACE: Duration = Duration::from_millis(40);

/// Every address is a camera that shows the same film.
#[derive(Clone)]
struct Films(Clip);

struct Film {
    clip: Clip,
    next: usize,
    timer: Pin<Box<Sleep>>,
}

impl Sources for Films {
    fn source(&self, _: Address, _: &Env) -> Box<dyn Source> {
        Box::new(self.clone())
    }

    fn probe(&self, _: Address, _: Env) -> BoxFuture<'static, Result<ProbeReport, SourceError>> {
        Box::pin(std::future::ready(Err(SourceError::new(SourceErrorCode::Unreachable, "scripted"))))
    }
}

impl Source for Films {
    fn open(&mut self) -> BoxFuture<'_, Result<Box<dyn Session>, SourceError>> {
        let film = Film { clip: self.0.clone(), next: 0, timer: Box::pin(sleep(PACE)) };
        Box::pin(std::future::ready(Ok(Box::new(film) as Box<dyn Session>)))
    }
}

impl Session for Film {
    fn tracks(&self) -> Arc<[TrackInfo]> {
        self.clip.tracks.clone().into()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<SessionEvent, SourceError>> {
        ready!(self.timer.as_mut().poll(cx));
        self.timer.as_mut().reset(Instant::now() + PACE);
        let frames = &self.clip.frames;
        let (round, place) = (self.next / frames.len(), self.next % frames.len());
        let mut frame = frames[place].frame(Instant::now());
        frame.pts += rescale(round as i64 * 4, 1, self.clip.tracks[0].timescale);
        self.next += 1;
        Poll::Ready(Ok(SessionEvent::Frame(frame)))
    }
}

async fn files(engine: &EngineHandle) -> Vec<SegmentState> {
    let told = engine.recordings(None, None, None).await.expect("there is a catalogue");
    told.segments.into_iter().map(|segment| segment.state).collect()
}

async fn until(engine: &EngineHandle, state: SegmentState) {
    let reached = async {
        while files(engine).await != [state] {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("not in time: {state:?}"));
}

#[tokio::test]
async fn r_n12_files_are_finished_whatever_else_does_not_end() {
    let dir = tempfile::tempdir().unwrap();
    let camera = "[recording]\nmin_free_gb = 0.0\n[[camera]]\nid = \"door\"\nurl = \"rtsp://h/\"";
    let parts = Parts {
        env: Env::system(),
        config: Config::parse(camera).expect("valid"),
        store: Arc::new(MemoryStore::default()),
        sources: Arc::new(Films(Clip::h264())),
        demo: None,
        data_dir: Some(dir.path().to_owned()),
    };
    let engine = EngineHandle::start(parts).await.expect("it starts");
    until(&engine, SegmentState::Open).await;
    // A task that does not hear that it is to end.
    let (held, holds) = oneshot::channel::<()>();
    engine.ground().tasks.spawn(async move { drop(holds.await) });
    let ending = engine.clone();
    let end = tokio::spawn(async move { ending.shutdown().await });
    // Who records holds the root; it is let go of when all files are finished.
    let root = dir.path().join("recordings").join(MARKER);
    let finished = async {
        while std::fs::File::open(&root).unwrap().try_lock().is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, finished).await.expect("the recorder ends");
    assert_eq!(files(&engine).await, [SegmentState::Sealed]);
    assert!(!end.is_finished(), "the task is still there");
    drop(held);
    end.await.expect("no panic");
}
