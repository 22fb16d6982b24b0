//! Sources that speak RTSP: the engine's own.

use tokio_util::task::TaskTracker;

use super::{Address, Sources};
use crate::api::Transport;
use crate::env::{Env, Secret};
use crate::ingest::{self, ProbeReport, RtspOptions, RtspSource};
use crate::source::{BoxFuture, Source, SourceError};

/// Opens cameras over the network.
#[derive(Debug, Default)]
pub struct Rtsp {
    /// The conduits, which outlive their sessions by a goodbye.
    conduits: TaskTracker,
}

impl Sources for Rtsp {
    fn source(&self, address: Address, env: &Env) -> Box<dyn Source> {
        Box::new(RtspSource::new(self.options(address), env.clone()))
    }

    fn probe(&self, address: Address, env: Env) -> BoxFuture<'static, Result<ProbeReport, SourceError>> {
        let options = self.options(address);
        Box::pin(async move { ingest::probe(options, &env).await })
    }

    fn farewell(&self) -> BoxFuture<'static, ()> {
        let conduits = self.conduits.clone();
        conduits.close();
        Box::pin(async move { conduits.wait().await })
    }
}

impl Rtsp {
    fn options(&self, address: Address) -> RtspOptions {
        RtspOptions {
            username: address.username.unwrap_or_default(),
            password: address.password.unwrap_or_else(|| Secret::new(String::new())),
            transport: match address.transport {
                Transport::Tcp => ingest::Transport::Tcp,
                Transport::Udp => ingest::Transport::Udp,
            },
            tls_fingerprint: address.tls_fingerprint,
            tcp_timeout: address.streaming.step_timeout(),
            keepalive_timeout: address.streaming.keepalive(),
            conduits: self.conduits.clone(),
            ..RtspOptions::new(address.url)
        }
    }
}
