//! Cameras to try Nightjar out with: real RTSP on loopback, from clips that are part of the program.
//!
//! A demo camera's address is `demo:N` (and `demo:N/sub`); where it is served is found when it is opened.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use nightjar_engine::api::{ApiError, Camera, CameraSpec};
pub use nightjar_engine::config::DEMO_MAX;
use nightjar_engine::config::demo_camera;
use nightjar_engine::engine::{DemoCameras, EngineHandle};
use nightjar_engine::source::{BoxFuture, SourceError, SourceErrorCode};
use nightjar_testcam::{Options, TestCam};
use tokio::sync::Mutex;
use url::Url;

/// Demo cameras that run inside this program, each from when it is first opened.
#[derive(Default)]
pub struct LoopbackCameras {
    running: Arc<Mutex<BTreeMap<u32, TestCam>>>,
}

impl DemoCameras for LoopbackCameras {
    fn resolve(&self, url: &Url) -> BoxFuture<'static, Result<Url, SourceError>> {
        let running = Arc::clone(&self.running);
        let named = demo_camera(url.as_str());
        Box::pin(async move {
            let unknown = || SourceError::new(SourceErrorCode::NotFound, "There is no such demo camera.");
            let (number, sub) = named.ok_or_else(unknown)?;
            let mut running = running.lock().await;
            let camera = match running.entry(number) {
                Entry::Occupied(camera) => camera.into_mut(),
                Entry::Vacant(place) => {
                    place.insert(TestCam::spawn(options(number)).await.map_err(|error| {
                        let detail = format!("The demo camera does not start: {error}.");
                        SourceError::new(SourceErrorCode::Unreachable, detail)
                    })?)
                }
            };
            let address = if sub { camera.sub_url() } else { camera.url() };
            Url::parse(&address).map_err(|_| unknown())
        })
    }
}

fn options(number: u32) -> Options {
    Options::demo(usize::try_from(number).unwrap_or_default().saturating_sub(1))
}

/// The demo camera of this number, as a camera of the wall.
#[must_use]
pub fn spec(number: u32) -> CameraSpec {
    let options = options(number);
    CameraSpec {
        id: Some(format!("demo_{number}")),
        name: Some(options.name),
        url: format!("demo:{number}"),
        sub_url: options.sub.map(|_| format!("demo:{number}/sub")),
        ..CameraSpec::default()
    }
}

/// Adds so many demo cameras that are not there yet: all or none.
///
/// # Errors
/// `Invalid` where there would be more than [`DEMO_MAX`]; what [`EngineHandle::add_camera`] says.
pub async fn add(engine: &EngineHandle, count: u32) -> Result<Vec<Camera>, ApiError> {
    let there = engine.cameras();
    let taken = |number: u32| there.iter().any(|c| c.url.as_deref() == Some(spec(number).url.as_str()));
    let free: Vec<u32> = (1..=DEMO_MAX).filter(|number| !taken(*number)).collect();
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    if wanted == 0 || wanted > free.len() {
        let reason = format!("must be 1 to {DEMO_MAX}; {} demo cameras are not there yet", free.len());
        return Err(ApiError::invalid("count", reason));
    }
    let mut added = Vec::new();
    for number in free.into_iter().take(wanted) {
        let mut spec = spec(number);
        // Somebody may have given the id to another camera.
        spec.id = spec.id.filter(|id| there.iter().all(|camera| camera.id != *id));
        match engine.add_camera(spec).await {
            Ok(camera) => added.push(camera),
            Err(error) => {
                for camera in added {
                    if let Err(error) = engine.remove_camera(&camera.id).await {
                        tracing::warn!(camera = camera.id, %error, "a demo camera stays");
                    }
                }
                return Err(error);
            }
        }
    }
    Ok(added)
}
