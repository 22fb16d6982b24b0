//! A small real RTSP 1.0 camera that loops a clip, with faults that can be switched while it runs.
//!
//! It stands in for the cameras of this world: in the tests of the engine and the server (in
//! process, [`TestCam::spawn`]), behind `nightjar-server --demo N`, and alone as the program
//! `nightjar-testcam`. It speaks real RTSP over TCP (and TLS), sends real RTP and RTCP, interleaved
//! or by UDP, and keeps its own camera clock: clients join a stream that is already running, in the
//! middle of a group of pictures, as they would with a real camera.
//!
//! ```no_run
//! # async fn example() -> Result<(), nightjar_testcam::Error> {
//! use nightjar_testcam::{Fault, Options, TestCam};
//! let cam = TestCam::spawn(Options::default()).await?;
//! let url = cam.url(); // rtsp://127.0.0.1:…/main
//! cam.set_fault(Fault::Silent).await; // from now on it answers, but sends no media
//! cam.stop().await;
//! # Ok(()) }
//! ```
//!
//! The path of a frame: [`Clip`] (samples in memory) → stream (the camera clock picks the sample
//! that is due, packets are built once) → one bounded queue per client → session (one write per
//! frame and client). Invariants: RTP time and sequence go on across the loops of a clip; a slow
//! client loses frames up to the next key frame and never delays another one; nothing that a
//! client sends makes the camera panic or grow without bound.
//!
//! It knows nothing of the engine it tests.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod annexb;
mod auth;
mod cam;
mod chance;
mod clip;
mod fault;
mod mp4;
mod options;
pub mod picture;
mod rtp;
mod rtsp;
mod sdp;
mod session;
mod sound;
mod stats;
mod stream;
mod writer;

pub use auth::Auth;
pub use cam::TestCam;
pub use clip::{Builtin, Clip, VideoCodec};
pub use fault::{Fault, FaultError};
pub use options::{ControlUrls, Options, ParameterSets, Quirks, Sound, Start, Transports};
pub use stats::{Request, Stats};

/// Why a camera could not be started or a clip not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address that was asked for.
        addr: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The clip's file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The clip's bytes are not what the camera can play.
    #[error("cannot play {path}: {reason}")]
    Clip {
        /// The file, or the name of the clip.
        path: String,
        /// What is wrong with it, in words.
        reason: String,
    },
    /// The certificate for `rtsps` could not be made.
    #[error("cannot make a certificate: {0}")]
    Tls(String),
}
