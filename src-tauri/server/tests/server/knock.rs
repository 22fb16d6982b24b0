//! A door with a few scripted cameras behind it, and a client that sends exactly what it is told to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nightjar_engine::config::{Config, MemoryStore};
use nightjar_engine::engine::{Address, EngineHandle, Parts, Sources};
use nightjar_engine::env::{Env, Secret};
use nightjar_engine::ingest::ProbeReport;
use nightjar_engine::source::{BoxFuture, Session, Source, SourceError, SourceErrorCode};
use nightjar_server::{Server, ServerOptions};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Long enough for a busy machine; a test that meets it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const TOKEN: &str = "correct horse battery";

/// Cameras that never answer.
pub(crate) struct Mute;

impl Sources for Mute {
    fn source(&self, _: Address, _: &Env) -> Box<dyn Source> {
        Box::new(Self)
    }

    fn probe(&self, _: Address, _: Env) -> BoxFuture<'static, Result<ProbeReport, SourceError>> {
        let error = SourceError::new(SourceErrorCode::Timeout, "It does not answer.");
        Box::pin(std::future::ready(Err(error)))
    }
}

impl Source for Mute {
    fn open(&mut self) -> BoxFuture<'_, Result<Box<dyn Session>, SourceError>> {
        Box::pin(std::future::pending())
    }
}

/// An open door.
pub(crate) struct House {
    pub(crate) addr: SocketAddr,
    pub(crate) engine: EngineHandle,
    pub(crate) stop: CancellationToken,
    pub(crate) door: JoinHandle<()>,
}

impl House {
    /// With the camera `fixed` of the configuration file.
    pub(crate) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn locked() -> Self {
        Self::with(|options| options.token = Some(Secret::new(TOKEN.to_owned()))).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let config = "[[camera]]\nid = \"fixed\"\nurl = \"rtsp://127.0.0.1:1/\"";
        let parts = Parts {
            env: Env::system(),
            config: Config::parse(config).expect("valid"),
            store: Arc::new(MemoryStore::default()),
            sources: Arc::new(Mute),
            demo: None,
            data_dir: None,
        };
        let engine = EngineHandle::start(parts).await.expect("it starts");
        Self::before(engine, change).await
    }

    pub(crate) async fn before(engine: EngineHandle, change: impl FnOnce(&mut ServerOptions)) -> Self {
        let mut options = ServerOptions::new("127.0.0.1:0".parse().unwrap(), Env::system());
        change(&mut options);
        let server = Server::bind(options, engine.clone()).await.expect("a free port");
        let (addr, stop) = (server.addr(), CancellationToken::new());
        let door = tokio::spawn(server.run(stop.clone()));
        Self { addr, engine, stop, door }
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, method: &str, path: &str) -> Answer {
        self.send(Request::new(method, path)).await
    }

    pub(crate) async fn send(&self, request: Request<'_>) -> Answer {
        self.raw(&request.bytes(self.addr)).await
    }

    /// Sends bytes as they are and reads until the door closes the connection.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Answer {
        let talk = async {
            let mut stream = TcpStream::connect(self.addr).await.expect("it listens");
            let (mut from, mut to) = stream.split();
            let mut read = Vec::new();
            // A door that refuses early may stop reading; the answer counts.
            let write = async {
                let _ = to.write_all(bytes).await;
            };
            let read_all = async {
                let _ = from.read_to_end(&mut read).await;
            };
            tokio::join!(write, read_all);
            Answer::parse(&read)
        };
        tokio::time::timeout(PATIENCE, talk).await.expect("an answer in time")
    }

    /// What could have changed: all cameras but their ages.
    pub(crate) async fn state(&self) -> Value {
        let cameras = self.engine.cameras();
        let mut state = serde_json::to_value(cameras).unwrap();
        for camera in state.as_array_mut().unwrap() {
            for moving in ["state", "stats"] {
                camera.as_object_mut().unwrap().remove(moving);
            }
        }
        state
    }

    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.door.await.expect("the door ends well");
        self.engine.shutdown().await;
    }
}

/// A request under way.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: Vec<u8>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: &'a str, path: &'a str) -> Self {
        Self { method, path, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn json(self, body: impl Into<Vec<u8>>) -> Self {
        self.body("application/json", body)
    }

    pub(crate) fn body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("Content-Type", kind)
    }

    pub(crate) fn bytes(&self, addr: SocketAddr) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        let has = |name: &str| self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        if !has("host") {
            text += &format!("Host: {addr}\r\n");
        }
        if !has("connection") {
            text += "Connection: close\r\n";
        }
        if !has("transfer-encoding") && (!self.body.is_empty() || self.method == "POST") {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        let mut bytes = (text + "\r\n").into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| {
            panic!("no whole answer: {:?}", String::from_utf8_lossy(bytes));
        });
        let head = std::str::from_utf8(&bytes[..end]).expect("a head in ASCII");
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").expect("name and value"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {} {:?}", self.status, String::from_utf8_lossy(&self.body)))
    }

    /// An error of the contract: `{"code","message"}`, and the field where one is named.
    pub(crate) fn refused(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        let body = self.json();
        assert_eq!(body["code"], code, "{body}");
        assert!(body["message"].as_str().is_some_and(|m| !m.is_empty()), "{body}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        body["field"].as_str().unwrap_or_default().to_owned()
    }
}
