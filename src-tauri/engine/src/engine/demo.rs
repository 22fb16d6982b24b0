//! A source whose address is found when it is needed: `demo:1` is served somewhere else after each start.
//!
//! It is what stands behind its address, in everything: an attempt, a look from afar, a question.

use std::sync::Arc;

use super::{Address, DemoCameras, Sources};
use crate::env::Env;
use crate::source::{BoxFuture, Reach, Session, Source, SourceError};

/// Looks up where its demo camera is before each attempt.
pub(super) struct DemoSource {
    pub(super) demo: Arc<dyn DemoCameras>,
    pub(super) sources: Arc<dyn Sources>,
    pub(super) env: Env,
    pub(super) address: Address,
}

impl DemoSource {
    /// What stands behind the address now.
    fn found(&self) -> BoxFuture<'static, Result<Box<dyn Source>, SourceError>> {
        let url = self.demo.resolve(&self.address.url);
        let (sources, env, address) = (Arc::clone(&self.sources), self.env.clone(), self.address.clone());
        Box::pin(async move { Ok(sources.source(Address { url: url.await?, ..address }, &env)) })
    }
}

impl Source for DemoSource {
    fn open(&mut self) -> BoxFuture<'_, Result<Box<dyn Session>, SourceError>> {
        let found = self.found();
        Box::pin(async move { found.await?.open().await })
    }

    fn reach(&self) -> BoxFuture<'static, Reach> {
        let found = self.found();
        Box::pin(async move {
            let Ok(source) = found.await else { return Reach::Nothing };
            source.reach().await
        })
    }

    fn offers_pictures(&self) -> BoxFuture<'static, bool> {
        let found = self.found();
        Box::pin(async move {
            let Ok(source) = found.await else { return false };
            source.offers_pictures().await
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use url::Url;

    use super::*;
    use crate::api::Transport;
    use crate::config::Streaming;
    use crate::ingest::ProbeReport;
    use crate::source::SourceErrorCode;

    /// Demo camera 1 is here, and answers; there is no other.
    struct Here;

    impl DemoCameras for Here {
        fn resolve(&self, url: &Url) -> BoxFuture<'static, Result<Url, SourceError>> {
            let found = if url.as_str() == "demo:1" { Url::parse("rtsp://127.0.0.1:5/").ok() } else { None };
            Box::pin(ready(found.ok_or_else(|| SourceError::new(SourceErrorCode::NotFound, "no"))))
        }
    }

    impl Sources for Here {
        fn source(&self, address: Address, _env: &Env) -> Box<dyn Source> {
            assert_eq!(address.url.as_str(), "rtsp://127.0.0.1:5/");
            Box::new(Answering)
        }

        fn probe(&self, _: Address, _: Env) -> BoxFuture<'static, Result<ProbeReport, SourceError>> {
            Box::pin(ready(Err(SourceError::new(SourceErrorCode::NotFound, "no"))))
        }
    }

    struct Answering;

    impl Source for Answering {
        fn open(&mut self) -> BoxFuture<'_, Result<Box<dyn Session>, SourceError>> {
            Box::pin(ready(Err(SourceError::new(SourceErrorCode::Rejected, "not now"))))
        }

        fn reach(&self) -> BoxFuture<'static, Reach> {
            Box::pin(ready(Reach::Answers))
        }

        fn offers_pictures(&self) -> BoxFuture<'static, bool> {
            Box::pin(ready(true))
        }
    }

    #[tokio::test]
    async fn r_n5_a_demo_camera_is_found_again_as_soon_as_it_answers() {
        let source = |url: &str| {
            let address = Address {
                url: Url::parse(url).expect("a URL"),
                username: None,
                password: None,
                tls_fingerprint: None,
                transport: Transport::Tcp,
                streaming: Streaming::default(),
            };
            let (demo, env) = (Arc::new(Here), Env::system());
            DemoSource { sources: Arc::clone(&demo) as Arc<dyn Sources>, demo, env, address }
        };
        let mut there = source("demo:1");
        assert_eq!(there.reach().await, Reach::Answers);
        assert!(there.offers_pictures().await);
        assert_eq!(there.open().await.err().map(|error| error.code), Some(SourceErrorCode::Rejected));
        let nowhere = source("demo:2");
        assert_eq!(nowhere.reach().await, Reach::Nothing);
        assert!(!nowhere.offers_pictures().await);
    }
}
