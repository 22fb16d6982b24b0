//! The runtime that peer connections run on: tokio, with the tasks counted and the sockets kept small.
//!
//! It knows nothing of media. A connection's driver is spawned through it, so that whoever shuts the
//! SFU down can wait for the last of them.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

use super::tcp::{Guest, Stream};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Datagrams a viewer's system may hand over as one. What viewers send is small; the buffers for more
/// would cost 100 KB a socket.
const RECEIVE_SEGMENTS: usize = 4;
/// Datagrams that leave in one call. The driver batches runs of this many or more, so that it is also
/// the smallest run worth a batch: 8 packets a picture are 2 Mbit/s.
const SEND_SEGMENTS: usize = 8;

/// Tokio, for one peer connection.
pub(super) struct PeerRuntime {
    tokio: TokioRuntime,
    tasks: TaskTracker,
    /// What the connection's TCP listener will accept, until the connection asks for that listener.
    streams: Mutex<Option<mpsc::Receiver<Arc<Stream>>>>,
}

impl PeerRuntime {
    /// Spawned tasks are counted in `tasks`. The connection's first TCP listener accepts `streams` and
    /// nothing else.
    pub(super) fn new(tasks: TaskTracker, streams: Option<mpsc::Receiver<Arc<Stream>>>) -> Self {
        Self { tokio: TokioRuntime, tasks, streams: Mutex::new(streams) }
    }
}

impl fmt::Debug for PeerRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerRuntime")
    }
}

impl Runtime for PeerRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        Box::new(Task(self.tasks.spawn(future)))
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(Socket(self.tokio.wrap_udp_socket(socket)?)))
    }

    fn wrap_tcp_listener(&self, listener: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        // The listener made way for the port number that names its candidate, and is closed again.
        let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner).take();
        let streams = streams.ok_or(io::ErrorKind::Unsupported)?;
        Ok(Arc::new(Guest::new(listener.local_addr()?, streams)))
    }

    fn connect_tcp(&self, _: SocketAddr) -> Boxed<'_, io::Result<Arc<dyn AsyncTcpStream>>> {
        // A viewer's candidate must not make this machine open connections for it.
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        self.tokio.resolve_host(host)
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        self.tokio.sleep(duration)
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        self.tokio.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.tokio.block_on(future);
    }

    fn yield_now(&self) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        self.tokio.yield_now()
    }

    fn name(&self) -> &'static str {
        "nightjar"
    }
}

struct Task(tokio::task::JoinHandle<()>);

impl JoinHandle for Task {
    fn detach(&self) {}

    fn abort(&self) {
        self.0.abort();
    }

    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// A socket with other limits.
#[derive(Debug)]
struct Socket(Arc<dyn AsyncUdpSocket>);

impl AsyncUdpSocket for Socket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_recv(cx, bufs, meta)
    }

    fn max_gso_segments(&self) -> usize {
        self.0.max_gso_segments().min(SEND_SEGMENTS)
    }

    fn max_gro_segments(&self) -> usize {
        self.0.max_gro_segments().min(RECEIVE_SEGMENTS)
    }
}
