//! A connection below HTTP: gives up on a peer that does not read, and puts words to HTTP errors that
//! the protocol library answers by itself, before there is a request.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use nightjar_engine::api::{ApiError, ErrorCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A peer that takes nothing for this long is gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(20);
/// Every answer of ours carries this header; an answer without it is the library's.
pub(crate) const OUR_MARK: &str = "x-content-type-options";

/// The stream under HTTP.
pub(crate) struct Wire<S> {
    stream: S,
    stuck: Option<Pin<Box<Sleep>>>,
    /// Bytes that go out before anything else.
    own_words: Bytes,
}

impl<S> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, stuck: None, own_words: Bytes::new() }
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Passes progress on, and fails where there was none for too long.
    fn patient<T>(
        &mut self,
        cx: &mut Context<'_>,
        work: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match work(Pin::new(&mut self.stream), cx) {
            Poll::Ready(done) => {
                self.stuck = None;
                Poll::Ready(done)
            }
            Poll::Pending => {
                let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(WRITE_PATIENCE)));
                ready!(stuck.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
            }
        }
    }

    fn say_own_words(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.own_words.is_empty() {
            let words = self.own_words.clone();
            let written = ready!(self.patient(cx, |stream, cx| stream.poll_write(cx, &words)))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.own_words.advance(written.min(words.len()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.say_own_words(cx))?;
        if let Some(words) = in_own_words(bytes) {
            self.own_words = words;
            return Poll::Ready(Ok(bytes.len()));
        }
        self.patient(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.say_own_words(cx))?;
        self.patient(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.say_own_words(cx))?;
        self.patient(cx, |stream, cx| stream.poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        false
    }
}

/// The library's bare refusal (`HTTP/1.1 4xx`, no body) with a body as the contract wants it.
fn in_own_words(bytes: &[u8]) -> Option<Bytes> {
    let head = std::str::from_utf8(bytes).ok()?;
    if !head.starts_with("HTTP/1.") || head.as_bytes().get(9) != Some(&b'4') || !head.ends_with("\r\n\r\n") {
        return None;
    }
    let status = head.lines().next()?;
    let empty = head.contains("\r\ncontent-length: 0\r\n");
    if !empty || head.contains(OUR_MARK) {
        return None;
    }
    let (code, message) = match status.get(9..12)? {
        "414" | "431" => (ErrorCode::TooLarge, "The head of the request is too large."),
        _ => (ErrorCode::Malformed, "The request cannot be read."),
    };
    let body = serde_json::to_string(&ApiError::new(code, message)).ok()?;
    let length = body.len();
    Some(Bytes::from(format!(
        "{status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         {OUR_MARK}: nosniff\r\nconnection: close\r\n\r\n{body}"
    )))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up() {
        let (mut peer, ours) = tokio::io::duplex(16);
        let mut wire = Wire::new(ours);
        let error = wire.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut read = [0; 16];
        peer.read_exact(&mut read).await.unwrap();
        assert!(wire.write_all(&read).await.is_ok(), "who reads again is served again");
    }

    #[tokio::test]
    async fn the_library_s_refusals_get_words_and_ours_stay() {
        for (out, ours) in [
            ("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: x\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 404 Not Found\r\nx-content-type-options: nosniff\r\ncontent-length: 0\r\n\r\n", true),
        ] {
            let (mut peer, wire) = tokio::io::duplex(4_096);
            let mut wire = Wire::new(wire);
            wire.write_all(out.as_bytes()).await.unwrap();
            wire.shutdown().await.unwrap();
            let mut read = String::new();
            peer.read_to_string(&mut read).await.unwrap();
            assert_eq!(read == out, ours, "{read}");
            assert_eq!(read.contains(r#"{"code":"malformed""#), !ours, "{read}");
        }
    }
}
