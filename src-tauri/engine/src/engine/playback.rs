//! Ways to watch: WebRTC, MSE and stills.

use bytes::Bytes;
use uuid::Uuid;

use super::{EngineHandle, probe};
use crate::api::{ApiError, CameraSpec, ErrorCode, Probe, Stream};
use crate::live::Mse;
use crate::sfu::{Answer, SfuError, ViewerStats};
use crate::still::StillError;

impl EngineHandle {
    /// Looks at a camera without keeping it. Takes as long as the camera needs, some ten seconds at most.
    ///
    /// # Errors
    /// `Invalid` with the field, or `CameraUnavailable` with the reason.
    pub async fn probe(&self, spec: CameraSpec) -> Result<Probe, ApiError> {
        let address = super::address(&spec.url, &spec, &self.config().streaming)?;
        let report = self.look(address).await.map_err(|error| {
            let mut refusal = ApiError::new(ErrorCode::CameraUnavailable, error.detail);
            refusal.field = Some(error.code.name().to_owned());
            refusal
        })?;
        Ok(super::handle::blocking(move || probe::tell(&spec.url, report)).await)
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
    pub async fn mse(&self, id: &str, stream: Stream) -> Result<Mse, ApiError> {
        Ok(Mse::new(&self.slot(id, stream).await?))
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
        self.sfu().trickle(viewer, fragment).await.map_err(|error| refusal(camera, &error))
    }

    /// Ends a viewer.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn whep_close(&self, camera: &str, viewer: &Uuid) -> Result<(), ApiError> {
        self.sfu().close(viewer).map_err(|error| refusal(camera, &error))
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
