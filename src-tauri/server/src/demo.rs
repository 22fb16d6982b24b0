//! Cameras to try Nightjar out with: real RTSP on loopback, from clips that are part of the program.
//!
//! A demo camera's address is `demo:N` (and `demo:N/sub`); where it is served is found when it is opened.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use nightjar_engine::api::{ApiError, Camera, CameraSpec};
use nightjar_engine::engine::{DemoCameras, EngineHandle};
use nightjar_engine::source::{BoxFuture, SourceError, SourceErrorCode};
use nightjar_testcam::{Options, TestCam};
use tokio::sync::Mutex;
use url::Url;

/// The most demo cameras there can be.
pub const DEMO_MAX: u32 = 16;

/// Demo cameras that run inside this program, each from when it is first opened.
#[derive(Default)]
pub struct LoopbackCameras {
    running: Arc<Mutex<BTreeMap<u32, TestCam>>>,
}

impl DemoCameras for LoopbackCameras {
    fn resolve(&self, url: &Url) -> BoxFuture<'static, Result<Url, SourceError>> {
        let running = Arc::clone(&self.running);
        let named = number(url.as_str());
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

/// `demo:N` or `demo:N/sub`.
fn number(url: &str) -> Option<(u32, bool)> {
    let rest = url.strip_prefix("demo:")?;
    let (digits, sub) = match rest.strip_suffix("/sub") {
        Some(digits) => (digits, true),
        None => (rest, false),
    };
    let number = digits.parse().ok().filter(|n| (1..=DEMO_MAX).contains(n))?;
    Some((number, sub))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_camera_and_its_stream() {
        assert_eq!(number("demo:1"), Some((1, false)));
        assert_eq!(number("demo:16/sub"), Some((16, true)));
        for other in ["demo:0", "demo:17", "demo:", "demo:x", "demo:1/main", "demo:-1", "demo://1", "rtsp:1"]
        {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
