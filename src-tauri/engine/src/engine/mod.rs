//! The whole: cameras that come and go, and the one handle that the doors hold.
//!
//! Invariants: only [`EngineHandle`] changes which cameras there are; changes are made one at a time and
//! are saved before they are answered; no call waits for a camera or a network, except the probe. The
//! engine does not know who asks, nor where its configuration is kept.

mod alerts;
mod archive;
mod complaints;
mod demo;
mod diagnosis;
mod entry;
mod events;
mod exports;
mod faults;
mod handle;
mod known;
mod link;
mod patch;
mod phone;
mod phones;
mod playback;
mod private;
mod probe;
mod recording;
mod registry;
mod rtsp;
mod space;
mod storage;
mod sub;
#[cfg(test)]
mod tests;
mod whip;

use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use crate::config::{Config, ConfigStore, Streaming};
use crate::env::Env;
use crate::ingest::ProbeReport;
use crate::source::{BoxFuture, Source, SourceError};

pub use archive::RecordingFile;
pub use complaints::ViewerFaults;
pub use diagnosis::CameraFigures;
pub use events::EventStream;
pub use exports::ExportFile;
pub use handle::{EngineHandle, StartError};
pub use known::KnownPhone;
pub use link::{
    Capture, JoinError, OfferError, PeerCandidate, PeerCard, PeerRole, PhoneState, PhoneStats, SignalLink,
    Stage, ToPeer, Why,
};
pub use phones::{PhoneAnswer, PhonePeer};
pub use recording::RecordsError;
pub use rtsp::Rtsp;

/// What an engine is made of.
pub struct Parts {
    pub env: Env,
    pub config: Config,
    pub store: Arc<dyn ConfigStore>,
    pub sources: Arc<dyn Sources>,
    /// Cameras to try things out with, where the program has them.
    pub demo: Option<Arc<dyn DemoCameras>>,
    /// Where the catalogue of recordings lies, exports, and the recordings unless the configuration says
    /// another place. Nothing is recorded without.
    pub data_dir: Option<PathBuf>,
}

/// Everything needed to reach one stream of a camera.
#[derive(Clone, Debug)]
pub struct Address {
    pub url: Url,
    pub username: Option<String>,
    pub password: Option<crate::env::Secret<String>>,
    /// SHA-256 of the only certificate that is taken from it.
    pub tls_fingerprint: Option<[u8; 32]>,
    pub transport: crate::api::Transport,
    pub streaming: Streaming,
}

/// Makes sources. The engine's own speaks RTSP; tests have scripts.
pub trait Sources: Send + Sync + 'static {
    /// A source for an address. Does not connect.
    fn source(&self, address: Address, env: &Env) -> Box<dyn Source>;

    /// A look at an address, without keeping anything.
    fn probe(&self, address: Address, env: Env) -> BoxFuture<'static, Result<ProbeReport, SourceError>>;

    /// Waits for the goodbyes of sessions that were dropped. No source is opened afterwards.
    fn farewell(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Finds where a `demo:` address is served now.
pub trait DemoCameras: Send + Sync + 'static {
    /// The real address behind `demo:NAME` or `demo:NAME/sub`; starts the camera where it is not running.
    fn resolve(&self, url: &Url) -> BoxFuture<'static, Result<Url, SourceError>>;
}

/// One stream of a specification.
pub(crate) fn address(
    url: &str,
    spec: &crate::api::CameraSpec,
    streaming: &Streaming,
) -> Result<Address, crate::config::Invalid> {
    crate::config::check_camera(spec)?;
    let url = Url::parse(url).expect("check_camera parsed it");
    Ok(Address {
        url,
        username: spec.username.clone(),
        password: spec.password.clone(),
        tls_fingerprint: spec.tls_fingerprint.as_deref().and_then(crate::config::fingerprint),
        transport: spec.transport.unwrap_or_default(),
        streaming: streaming.for_camera(spec),
    })
}
