//! What the names of cameras mean.
//!
//! The system's resolver holds a thread for as long as a name server is silent, and cannot be told to stop. So a
//! name is looked up once at a time, however many wait for it, and that goes on when they do not; and what a name
//! meant last is kept for when nobody answers.
//!
//! Invariants: at most [`THREADS`] threads are held, at most [`KEPT`] names are remembered. Knows nothing of ports.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::source::BoxFuture;

/// Names that are looked up at a time; further ones wait. The runtime has 512 threads for what blocks.
const THREADS: usize = 64;
/// Names that are remembered; beyond it the one that was asked for longest ago is forgotten.
const KEPT: usize = 1_024;
/// What was found is not looked for again within this.
const FRESH: Duration = Duration::from_millis(300);
/// Addresses of one name, at most.
const ADDRESSES: usize = 4;

/// The names of all cameras.
pub(super) static NAMES: LazyLock<Names> = LazyLock::new(|| {
    Names::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await;
            found.map(|found| found.take(ADDRESSES).collect()).unwrap_or_default()
        })
    })
});

/// When it was found, and what.
type Answer = Option<(Instant, Vec<SocketAddr>)>;
type Resolve = Arc<dyn Fn(String) -> BoxFuture<'static, Vec<SocketAddr>> + Send + Sync>;

pub(super) struct Names {
    resolve: Resolve,
    threads: Arc<Semaphore>,
    table: Mutex<HashMap<String, Name>>,
}

struct Name {
    asked: Instant,
    /// Of the newest look-up; none while it is under way.
    answer: watch::Receiver<Answer>,
    /// What the look-ups before found.
    before: Vec<SocketAddr>,
}

impl Names {
    /// `resolve` gives the addresses of a name, with any port; none where it has none.
    fn new(resolve: impl Fn(String) -> BoxFuture<'static, Vec<SocketAddr>> + Send + Sync + 'static) -> Self {
        let threads = Arc::new(Semaphore::new(THREADS));
        Self { resolve: Arc::new(resolve), threads, table: Mutex::default() }
    }

    /// The addresses of a name, with any port, as they are found now; none where it has none. Takes as long as the
    /// name server does.
    pub(super) async fn look_up(&self, name: &str) -> Vec<SocketAddr> {
        let Some(mut answer) = self.ask(name) else { return Vec::new() };
        let found = answer.wait_for(Option::is_some).await;
        found.ok().and_then(|found| found.clone()).map(|(_, found)| found).unwrap_or_default()
    }

    /// The addresses that were found last.
    pub(super) fn known(&self, name: &str) -> Vec<SocketAddr> {
        self.table().get(name).map(Name::known).unwrap_or_default()
    }

    /// Begins a look-up where none is under way. `None` where too many are.
    fn ask(&self, name: &str) -> Option<watch::Receiver<Answer>> {
        let mut table = self.table();
        if let Some(known) = table.get(name).filter(|known| known.is_of_use()) {
            return Some(known.answer.clone());
        }
        if table.len() >= KEPT && !table.contains_key(name) {
            let idle = table.iter().filter(|(_, name)| !name.is_under_way());
            let oldest = idle.min_by_key(|(_, name)| name.asked).map(|(name, _)| name.clone())?;
            table.remove(&oldest);
        }
        let before = table.get(name).map(Name::known).unwrap_or_default();
        let (tell, answer) = watch::channel(None);
        let entry = Name { asked: Instant::now(), answer: answer.clone(), before };
        table.insert(name.to_owned(), entry);
        drop(table);
        let (threads, found) = (Arc::clone(&self.threads), (self.resolve)(name.to_owned()));
        // Whoever asked may not wait for it; the next one that asks does not begin anew.
        tokio::spawn(async move {
            let _thread = threads.acquire_owned().await.expect("it is never closed");
            let found = found.await;
            tell.send_replace(Some((Instant::now(), found)));
        });
        Some(answer)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Name>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Name {
    /// The runtime may have ended under it.
    fn is_under_way(&self) -> bool {
        self.answer.borrow().is_none() && self.answer.has_changed().is_ok()
    }

    fn is_of_use(&self) -> bool {
        let fresh = self.answer.borrow().as_ref().is_some_and(|(at, _)| at.elapsed() < FRESH);
        fresh || self.is_under_way()
    }

    fn known(&self) -> Vec<SocketAddr> {
        let newest = self.answer.borrow().clone().map(|(_, found)| found).unwrap_or_default();
        if newest.is_empty() { self.before.clone() } else { newest }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::{sleep, timeout};

    use super::*;

    /// A name server that answers after so long, and with nothing once it was asked `answers` times.
    pub(in super::super) fn server(
        answers: usize,
        takes: Duration,
        to: SocketAddr,
    ) -> (Names, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let names = Names::new(move |_| {
            let nth = count.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                sleep(takes).await;
                if nth < answers { vec![to] } else { Vec::new() }
            })
        });
        (names, asked)
    }

    fn camera() -> SocketAddr {
        "192.0.2.1:0".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_once_at_a_time_however_many_wait_and_give_up() {
        let (names, asked) = server(1, Duration::from_secs(20), camera());
        for _ in 0..15 {
            let checks = (0..4).map(|_| timeout(Duration::from_secs(1), names.look_up("door")));
            let found = futures_util::future::join_all(checks).await;
            assert!(found.iter().all(Result::is_err), "nobody answered yet");
        }
        assert_eq!((asked.load(Ordering::Relaxed), names.known("door")), (1, Vec::new()));
        assert_eq!(names.look_up("door").await, [camera()]);
        assert_eq!(names.look_up("door").await, [camera()], "it was found this moment");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        sleep(FRESH).await;
        assert!(names.look_up("door").await.is_empty());
        assert_eq!((asked.load(Ordering::Relaxed), names.known("door")), (2, vec![camera()]));
    }

    #[tokio::test(start_paused = true)]
    async fn neither_threads_nor_names_are_without_bounds() {
        let running = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let (now, peak) = (Arc::clone(&running), Arc::clone(&most));
        let names = Names::new(move |_| {
            let (now, peak) = (Arc::clone(&now), Arc::clone(&peak));
            Box::pin(async move {
                peak.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                sleep(Duration::from_secs(5)).await;
                now.fetch_sub(1, Ordering::Relaxed);
                Vec::new()
            })
        });
        for n in 0..2 * KEPT {
            drop(names.ask(&n.to_string()));
        }
        sleep(Duration::from_secs(3_600)).await;
        assert_eq!((most.load(Ordering::Relaxed), running.load(Ordering::Relaxed)), (THREADS, 0));
        drop(names.ask("another"));
        assert_eq!(names.table().len(), KEPT);
        assert!(names.table().contains_key("another"));
    }
}
