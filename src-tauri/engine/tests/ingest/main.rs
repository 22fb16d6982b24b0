//! RTSP ingest against a real camera in process, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod camera;
mod careless;
mod faults;

use std::future::poll_fn;
use std::time::Duration;

use nightjar_engine::env::{Env, Secret};
use nightjar_engine::ingest::{RtspOptions, RtspSource, Transport};
use nightjar_engine::media::{Frame, TrackInfo, TrackKind};
use nightjar_engine::source::{Session, SessionEvent, Source, SourceError};
use nightjar_testcam::{Options, Start};
use tokio::time::timeout;

/// Nothing on the loopback takes longer, except what a test waits for by purpose.
const SOON: Duration = Duration::from_secs(15);

/// A camera whose next key frame comes soon after it started: its clip has one every four seconds.
fn healthy() -> Options {
    Options { start: Start::KeyFrame, offset: Duration::from_millis(3_700), ..Options::default() }
}

fn options(url: &str) -> RtspOptions {
    let mut options = RtspOptions::new(url.parse().unwrap());
    options.tcp_timeout = Duration::from_secs(5);
    options
}

fn with_password(url: &str, username: &str, password: &str) -> RtspOptions {
    let mut options = options(url);
    options.username = username.to_owned();
    options.password = Secret::new(password.to_owned());
    options
}

fn by_udp(url: &str) -> RtspOptions {
    let mut options = options(url);
    options.transport = Transport::Udp;
    options
}

async fn open(options: RtspOptions) -> Result<Watched, SourceError> {
    let mut source = RtspSource::new(options, Env::system());
    let session = timeout(SOON, source.open()).await.expect("an attempt ends by itself")?;
    Ok(Watched { session, warnings: Vec::new() })
}

/// A session and what it said beside its frames.
struct Watched {
    session: Box<dyn Session>,
    warnings: Vec<SourceError>,
}

impl Watched {
    async fn event(&mut self) -> Result<SessionEvent, SourceError> {
        timeout(SOON, poll_fn(|cx| self.session.poll_next(cx))).await.expect("something happens soon")
    }

    /// The next frame of any track; its generation is that of its track.
    async fn frame(&mut self) -> Result<Frame, SourceError> {
        loop {
            match self.event().await? {
                SessionEvent::Frame(frame) => {
                    let tracks = self.session.tracks();
                    assert_eq!(frame.generation, tracks[usize::from(frame.track)].generation);
                    return Ok(frame);
                }
                SessionEvent::Tracks => {}
                SessionEvent::Warning(warning) => self.warnings.push(warning),
            }
        }
    }

    async fn of(&mut self, kind: TrackKind) -> Result<Frame, SourceError> {
        loop {
            let frame = self.frame().await?;
            if self.session.tracks()[usize::from(frame.track)].kind == kind {
                return Ok(frame);
            }
        }
    }

    async fn key(&mut self) -> Result<Frame, SourceError> {
        loop {
            let frame = self.of(TrackKind::Video).await?;
            if frame.key {
                return Ok(frame);
            }
        }
    }

    /// Reads until the end and tells why it came.
    async fn end(&mut self) -> SourceError {
        loop {
            if let Err(error) = self.frame().await {
                return error;
            }
        }
    }

    fn track(&self, kind: TrackKind) -> TrackInfo {
        self.session.tracks().iter().find(|t| t.kind == kind).expect("a track of that kind").clone()
    }
}

/// The NAL unit types of a frame of H.264.
fn units(data: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    let mut rest = data;
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let (unit, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        types.push(unit[0] & 0x1f);
        rest = tail;
    }
    assert!(rest.is_empty());
    types
}
