//! Ways to watch: WebRTC, MSE and stills.

use bytes::Bytes;
use uuid::Uuid;

use super::patch::tidy;
use super::private::{leads_elsewhere, shown, uncover};
use super::{EngineHandle, entry, probe};
use crate::api::{ApiError, CameraSpec, ErrorCode, Probe, Stream};
use crate::hub::Slot;
use crate::live::{Mse, Sound};
use crate::sfu::{Answer, IceServerReading, SfuError, ViewerStats};
use crate::still::StillError;

impl EngineHandle {
    /// Looks at a camera without keeping it. Takes as long as the camera needs, some ten seconds at most.
    /// Where `id` names a camera that is kept, on the same host and for the same user, and no password is
    /// given, its own is used: whoever edits a camera need not know it.
    ///
    /// # Errors
    /// `Invalid` with the field, or `CameraUnavailable` with the reason.
    pub async fn probe(&self, spec: CameraSpec) -> Result<Probe, ApiError> {
        let spec = self.with_kept_secrets(spec)?;
        let address = super::address(&spec.url, &spec, &self.config().streaming)?;
        let sub = spec.sub_url.as_deref().map(|url| super::address(url, &spec, &self.config().streaming));
        let sub = sub.transpose()?;
        let look_at_sub = async {
            match sub {
                Some(address) => Ok(Some(self.look(address).await)),
                None => Ok(None),
            }
        };
        // Both at once, as they are when people watch. Without the main stream the other says nothing.
        let (report, sub) = tokio::try_join!(self.look(address), look_at_sub).map_err(|error| {
            let cause = Some(Box::new(entry::tell(&error)));
            ApiError { cause, ..ApiError::new(ErrorCode::CameraUnavailable, error.detail) }
        })?;
        Ok(super::handle::blocking(move || probe::tell(&shown(&spec.url), report, sub)).await)
    }

    /// Where a camera's frames are to be had. For the sub-stream: opens it where it rests, and gives the
    /// main stream where the camera has none or it does not come within three seconds.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn slot(&self, id: &str, stream: Stream) -> Result<Slot, ApiError> {
        let entry = self.entry(id)?;
        if stream == Stream::Sub
            && let Some(sub) = &entry.sub
            && let Some(slot) = sub.slot().await
        {
            return Ok(slot);
        }
        Ok(entry.main.slot.clone())
    }

    fn with_kept_secrets(&self, mut spec: CameraSpec) -> Result<CameraSpec, ApiError> {
        tidy(&mut spec);
        let kept = spec.id.as_deref().and_then(|id| self.entry(id).ok());
        let kept = kept.as_ref().map(|kept| &kept.spec);
        uncover(&mut spec, kept)?;
        // A password goes only where it went before.
        if let Some(kept) = kept
            && spec.password.is_none()
            && !leads_elsewhere(kept, &spec)
        {
            spec.password = kept.password.clone();
        }
        Ok(spec)
    }

    /// The newest key frame as a JPEG, `width` pixels wide or as it is.
    ///
    /// # Errors
    /// `NotFound`; `NotLive` before the first picture; `NotPlayable` where its codec cannot be decoded.
    pub async fn snapshot(&self, id: &str, width: Option<u16>) -> Result<Bytes, ApiError> {
        let entry = self.entry(id)?;
        let Some((track, frame)) = entry.main.slot.newest_key() else {
            return Err(not_live(id));
        };
        entry.stills.jpeg(&track, &frame, width).await.map_err(|error| {
            let code = match error {
                // The next key frame may do better.
                StillError::Decoder(_) | StillError::Parameters => ErrorCode::NotLive,
                StillError::Codec(_) | StillError::TooLarge { .. } => ErrorCode::NotPlayable,
                StillError::Panicked => ErrorCode::Internal,
            };
            ApiError::new(code, error.to_string())
        })
    }

    /// A camera as messages for Media Source Extensions.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn mse(&self, id: &str, stream: Stream, sound: Sound) -> Result<Mse, ApiError> {
        Ok(Mse::new(&self.slot(id, stream).await?, sound))
    }

    /// Answers a viewer's WebRTC offer.
    ///
    /// # Errors
    /// `NotFound`, `NotLive`, `NotPlayable`, `Malformed`, `TooLarge`, `Busy`.
    pub async fn whep_offer(&self, id: &str, stream: Stream, offer: &str) -> Result<Answer, ApiError> {
        let slot = self.slot(id, stream).await?;
        self.sfu().watch(id, &slot, offer).await.map_err(|error| refusal(id, &error))
    }

    /// Adds a viewer's candidates.
    ///
    /// # Errors
    /// `NotFound`, `Malformed`, `TooLarge`.
    pub async fn whep_trickle(&self, camera: &str, viewer: &Uuid, fragment: &str) -> Result<(), ApiError> {
        self.viewer_of(camera, viewer)?;
        self.sfu().trickle(viewer, fragment).await.map_err(|error| refusal(camera, &error))
    }

    /// Ends a viewer.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn whep_close(&self, camera: &str, viewer: &Uuid) -> Result<(), ApiError> {
        self.viewer_of(camera, viewer)?;
        self.sfu().close(viewer).map_err(|error| refusal(camera, &error))
    }

    fn viewer_of(&self, camera: &str, viewer: &Uuid) -> Result<(), ApiError> {
        let known = self.viewers().iter().any(|v| v.id == *viewer && v.camera == camera);
        known.then_some(()).ok_or_else(|| refusal(camera, &SfuError::UnknownViewer))
    }

    /// How far the STUN and TURN servers are.
    #[must_use]
    pub fn ice_servers(&self) -> Vec<IceServerReading> {
        self.sfu().ice_servers()
    }

    /// Who watches by WebRTC now.
    #[must_use]
    pub fn viewers(&self) -> Vec<ViewerStats> {
        self.sfu().viewers()
    }
}

fn not_live(id: &str) -> ApiError {
    ApiError::new(ErrorCode::NotLive, format!("Camera \"{id}\" gives no picture now."))
}

fn refusal(camera: &str, error: &SfuError) -> ApiError {
    let code = match error {
        SfuError::NotLive => return not_live(camera),
        SfuError::NoCommonCodec(_) => ErrorCode::NotPlayable,
        SfuError::Malformed(_) => ErrorCode::Malformed,
        SfuError::TooLarge => ErrorCode::TooLarge,
        SfuError::UnknownViewer => ErrorCode::NotFound,
        SfuError::TooManyViewers | SfuError::NoPort | SfuError::ShuttingDown => ErrorCode::Busy,
        SfuError::Internal(_) => ErrorCode::Internal,
    };
    ApiError::new(code, error.to_string())
}
