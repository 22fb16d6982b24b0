//! What waits to be written to a peer: bounded in number and bytes. A peer that does not read in time loses its
//! connection; nobody waits for it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::limits::{QUEUE, QUEUE_BYTES};

/// The queue to one peer.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    ready: Notify,
    /// It did not read: the connection is cut off, unwritten words and all.
    pub(super) cut: CancellationToken,
}

#[derive(Debug, Default)]
struct Waiting {
    texts: VecDeque<String>,
    bytes: usize,
    close: Option<(u16, &'static str)>,
}

/// What is next for a peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Text(String),
    /// The last.
    Close(u16, &'static str),
}

impl Outbox {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it still had room. Nothing is added after the end.
    pub(super) fn push(&self, text: String) -> bool {
        let mut waiting = self.lock();
        if waiting.close.is_some() {
            return true;
        }
        if waiting.texts.len() >= QUEUE || waiting.bytes + text.len() > QUEUE_BYTES {
            drop(waiting);
            self.cut.cancel();
            return false;
        }
        waiting.bytes += text.len();
        waiting.texts.push_back(text);
        drop(waiting);
        self.ready.notify_one();
        true
    }

    /// Ends it, after what waits.
    pub(super) fn close(&self, code: u16, reason: &'static str) {
        self.lock().close.get_or_insert((code, reason));
        self.ready.notify_one();
    }

    /// The next thing to write. Cancel-safe.
    pub(super) async fn next(&self) -> Next {
        loop {
            {
                let mut waiting = self.lock();
                if let Some(text) = waiting.texts.pop_front() {
                    waiting.bytes -= text.len();
                    return Next::Text(text);
                }
                if let Some((code, reason)) = waiting.close {
                    return Next::Close(code, reason);
                }
            }
            self.ready.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a17_a_queue_has_an_end_in_number_and_bytes() {
        let outbox = Outbox::default();
        assert!((0..QUEUE).all(|_| outbox.push("x".into())));
        assert!(!outbox.push("x".into()) && outbox.cut.is_cancelled());
        let outbox = Outbox::default();
        let large = "x".repeat(QUEUE_BYTES / 4);
        assert!((0..4).all(|_| outbox.push(large.clone())));
        assert!(!outbox.push("x".into()));
        for _ in 0..4 {
            assert_eq!(outbox.next().await, Next::Text(large.clone()));
        }
        let outbox = Outbox::default();
        outbox.push("last words".into());
        outbox.close(4401, "why");
        outbox.close(1001, "");
        assert!(outbox.push("too late".into()));
        assert_eq!(outbox.next().await, Next::Text("last words".into()));
        assert_eq!(outbox.next().await, Next::Close(4401, "why"));
        assert_eq!(outbox.next().await, Next::Close(4401, "why"));
    }
}
