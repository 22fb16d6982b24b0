//! Sources that speak RTSP: the engine's own.

use std::time::Duration;

use super::{Address, Sources};
use crate::api::Transport;
use crate::env::{Env, Secret};
use crate::ingest::{self, ProbeReport, RtspOptions, RtspSource};
use crate::source::{BoxFuture, Source, SourceError};

/// Opens cameras over the network.
#[derive(Debug, Default)]
pub struct Rtsp;

impl Sources for Rtsp {
    fn source(&self, address: Address, env: &Env) -> Box<dyn Source> {
        Box::new(RtspSource::new(options(address), env.clone()))
    }

    fn probe(&self, address: Address, env: Env) -> BoxFuture<'static, Result<ProbeReport, SourceError>> {
        Box::pin(async move { ingest::probe(options(address), &env).await })
    }
}

fn options(address: Address) -> RtspOptions {
    RtspOptions {
        username: address.username.unwrap_or_default(),
        password: address.password.unwrap_or_else(|| Secret::new(String::new())),
        transport: match address.transport {
            Transport::Tcp => ingest::Transport::Tcp,
            Transport::Udp => ingest::Transport::Udp,
        },
        tcp_timeout: Duration::from_millis(u64::from(address.streaming.tcp_timeout)),
        keepalive_timeout: address.streaming.keepalive(),
        ..RtspOptions::new(address.url)
    }
}
