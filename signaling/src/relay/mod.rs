//! The relay: sockets in, rooms between, and a desk that answers offers, or none.
//!
//! [`Rooms`] decides, under one lock that is never held across a wait; what it wants done is done here. Words to
//! peers are queued under the lock, so that all peers hear things in one order. So is what the desk is asked, one
//! clerk a seat; the desk itself is called outside the lock, as it may speak to peers from within.

mod forward;
pub mod keys;
pub mod limits;
mod outbox;
mod rooms;
mod seat;
mod sockets;
#[cfg(test)]
mod tests;
pub mod turn;
mod words;

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use keys::{Device, Devices, PairingView, Started};
use outbox::Outbox;

pub use rooms::{
    Answered, Call, Card, Counts, DESK, IceServers, Mode, Moment, Origin, Output, Rooms, Signer, SocketId,
    Terms, ToPeer,
};
pub use sockets::{Gate, PostError, router};

use crate::message::{Candidate, Sdp, State, Stats};

/// Calls to the desk that wait for an offer to be answered. Beyond it the peer is let go.
const CALLS: usize = 256;
/// Goodbyes at the end take no longer than this.
const FAREWELL: Duration = Duration::from_secs(1);

/// The clock on the wall, and chance.
pub trait Nature: Send + Sync + 'static {
    fn wall(&self) -> SystemTime;
    /// Fills with bytes that nobody can guess.
    fn chance(&self, bytes: &mut [u8]);
}

/// Keeps the devices that were let in.
pub trait Keep: Send + Sync + 'static {
    /// Never blocks; the newest call counts.
    fn keep(&self, devices: Vec<Device>);
}

/// Whoever answers offers.
pub trait Desk: Send + Sync + 'static {
    /// A peer wants into a room. Never blocks.
    ///
    /// # Errors
    /// A sentence for the peer.
    fn join(&self, card: Card, link: Link) -> Result<Box<dyn Chair>, String>;
}

/// A peer at the desk. Dropped when its socket is gone.
pub trait Chair: Send + Sync + 'static {
    /// Answers an offer; an error is a sentence for the peer.
    fn offer(&self, generation: u32, neg: u16, sdp: Sdp) -> BoxFuture<'_, Result<Answered, String>>;
    /// A candidate, or the end of them; after the offer of its generation.
    fn candidate(&self, generation: u32, candidate: Option<Candidate>);
    fn state(&self, generation: u32, state: State);
    fn stats(&self, generation: u32, stats: Stats);
    /// It said goodbye.
    fn leave(self: Box<Self>);
}

/// From the desk to one peer, for one stay in a room.
#[derive(Clone)]
pub struct Link {
    shared: Weak<Shared>,
    socket: SocketId,
    seat: u64,
}

impl Link {
    /// Never blocks. What comes after the peer left is lost.
    pub fn send(&self, message: ToPeer) {
        let Some(shared) = self.shared.upgrade() else { return };
        shared.act(|rooms, at| rooms.told(self.socket, self.seat, message, at));
    }
}

/// What a relay is made of.
pub struct Parts {
    pub terms: Terms,
    pub devices: Vec<Device>,
    pub desk: Option<Arc<dyn Desk>>,
    pub keep: Option<Arc<dyn Keep>>,
    pub nature: Arc<dyn Nature>,
}

/// The running relay. Cheap to clone.
#[derive(Clone)]
pub struct Relay(Arc<Shared>);

struct Shared {
    rooms: Mutex<Rooms>,
    lines: Mutex<HashMap<SocketId, Arc<Outbox>>>,
    clerks: Mutex<HashMap<(SocketId, u64), Clerk>>,
    /// Sessions over HTTPS, by their secrets.
    sessions: Mutex<HashMap<String, (SocketId, Instant)>>,
    desk: Option<Arc<dyn Desk>>,
    keep: Option<Arc<dyn Keep>>,
    nature: Arc<dyn Nature>,
    next: AtomicU64,
    /// Raised when pairings or devices changed.
    changes: watch::Sender<u64>,
    /// The machine's deadline may have moved.
    wake: Notify,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Clerk {
    calls: mpsc::Sender<Call>,
    /// The stay is over; `true`: the peer said goodbye.
    end: oneshot::Sender<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A device, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    pub id: String,
    pub name: String,
    pub room: String,
    /// Seconds since 1970.
    pub paired_at: u64,
    pub last_seen: Option<u64>,
    pub online: bool,
}

impl Relay {
    /// Starts it. Needs a runtime of tokio.
    #[must_use]
    pub fn start(parts: Parts) -> Self {
        let Parts { terms, devices, desk, keep, nature } = parts;
        let shared = Arc::new(Shared {
            rooms: Mutex::new(Rooms::new(terms, Devices::new(devices))),
            lines: Mutex::default(),
            clerks: Mutex::default(),
            sessions: Mutex::default(),
            desk,
            keep,
            nature,
            next: AtomicU64::new(1),
            changes: watch::Sender::new(0),
            wake: Notify::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        shared.tasks.spawn(watch_time(Arc::downgrade(&shared), shared.stop.clone()));
        Self(shared)
    }

    /// Closes every connection with 1001 and waits a moment for it.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        for line in lock(&self.0.lines).values() {
            line.close(1001, "");
        }
        self.0.wake.notify_one();
        self.0.tasks.close();
        if tokio::time::timeout(FAREWELL, self.0.tasks.wait()).await.is_err() {
            debug!(left = self.0.tasks.len(), "connections of the relay cut off at the end");
        }
        for line in lock(&self.0.lines).values() {
            line.cut.cancel();
        }
    }

    /// A QR code's worth of leave to come in.
    #[must_use]
    pub fn start_pairing(&self, room: Option<String>) -> Started {
        let id = self.0.uuid();
        let started = self.0.with(|rooms, at| rooms.pairings.start(room, at.now, at.wall, id, at.chance));
        self.0.changed();
        started
    }

    /// Pairings of late.
    #[must_use]
    pub fn pairings(&self) -> Vec<PairingView> {
        lock(&self.0.rooms).pairings.views()
    }

    /// A person let the phone in that asks. `taken`: room names that cannot be given away. `false`: nobody asks.
    pub fn allow(&self, pairing: &str, taken: &dyn Fn(&str) -> bool) -> bool {
        let device = self.0.uuid();
        let done = self.0.act_if(|rooms, at| rooms.allow(pairing, device, taken, at));
        self.0.changed();
        done
    }

    /// Tells the phone that was let in by [`Relay::allow`], which is to be called when that is kept.
    pub fn confirm(&self, pairing: &str) {
        self.0.act_if(|rooms, at| rooms.confirm(pairing, at));
    }

    /// A person refused, or gave up. `false`: there is no such pairing.
    pub fn end_pairing(&self, pairing: &str) -> bool {
        let done = self.0.act_if(|rooms, at| rooms.end_pairing(pairing, at));
        self.0.changed();
        done
    }

    /// The phones that were let in.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceView> {
        let rooms = lock(&self.0.rooms);
        let listed = rooms.devices.listed();
        let view = |device: &Device| DeviceView {
            id: device.id.clone(),
            name: device.name.clone(),
            room: device.room.clone(),
            paired_at: device.paired_at,
            last_seen: device.last_seen,
            online: rooms.is_online(&device.id),
        };
        listed.map(view).collect()
    }

    /// Gives a device another name. `false`: there is no such device.
    pub fn rename(&self, device: &str, name: &str) -> bool {
        self.0.act_if(|rooms, _| rooms.rename(device, name))
    }

    /// Lets a device in no more; its connection and its publication end at once. `false`: there is no such device.
    pub fn revoke(&self, device: &str) -> bool {
        self.0.act_if(|rooms, at| rooms.revoke(device, at))
    }

    /// A number that is raised when pairings or devices changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Connections at present, and what went wrong so far.
    #[must_use]
    pub fn figures(&self) -> (usize, Counts) {
        let rooms = lock(&self.0.rooms);
        (rooms.len(), rooms.counts)
    }
}

impl Shared {
    fn moment<T>(&self, work: impl FnOnce(&Moment<'_>) -> T) -> T {
        let chance = |bytes: &mut [u8]| self.nature.chance(bytes);
        work(&Moment { now: Instant::now(), wall: self.nature.wall(), chance: &chance })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Rooms, &Moment<'_>) -> T) -> T {
        self.moment(|at| work(&mut lock(&self.rooms), at))
    }

    /// UUID version 7, of our own clock and chance.
    fn uuid(&self) -> String {
        let since = self.nature.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let mut bytes = [0; 10];
        self.nature.chance(&mut bytes);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid().to_string()
    }

    fn changed(&self) {
        self.changes.send_modify(|n| *n += 1);
    }

    /// Lets the machine decide, and does what it wants.
    fn act(self: &Arc<Self>, decide: impl FnOnce(&mut Rooms, &Moment<'_>) -> Vec<Output>) {
        self.act_if(|rooms, at| Some(decide(rooms, at)));
    }

    /// As [`Shared::act`]; `false` where there was nothing to decide.
    fn act_if(self: &Arc<Self>, decide: impl FnOnce(&mut Rooms, &Moment<'_>) -> Option<Vec<Output>>) -> bool {
        let calls = self.moment(|at| {
            let mut rooms = lock(&self.rooms);
            let before = rooms.version();
            let outputs = decide(&mut rooms, at)?;
            let calls = self.deliver(&mut rooms, outputs, at);
            let changed = before != rooms.version();
            Some((calls, changed))
        });
        self.wake.notify_one();
        let Some((calls, changed)) = calls else { return false };
        for (socket, seat, call) in calls {
            self.call(socket, seat, call);
        }
        if changed {
            self.changed();
        }
        true
    }

    /// Queues words, questions and ends; gives back who comes to the desk or leaves it. Runs under the lock of
    /// the rooms.
    fn deliver(
        &self,
        rooms: &mut Rooms,
        outputs: Vec<Output>,
        at: &Moment<'_>,
    ) -> Vec<(SocketId, u64, Call)> {
        let mut calls = Vec::new();
        let mut outputs: std::collections::VecDeque<Output> = outputs.into();
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Send { socket, text } => {
                    let line = lock(&self.lines).get(&socket).cloned();
                    if line.is_some_and(|line| !line.push(text)) {
                        info!(socket, "a peer does not read: its connection is cut off");
                        outputs.extend(rooms.closed(socket, at));
                    }
                }
                Output::Close { socket, code, reason } => {
                    if let Some(line) = lock(&self.lines).get(&socket) {
                        line.close(code, reason);
                    }
                }
                Output::Desk { socket, seat, call: call @ (Call::Join(_) | Call::Leave | Call::Gone) } => {
                    calls.push((socket, seat, call));
                }
                Output::Desk { socket, seat, call } => self.ask(socket, seat, call),
                Output::Keep => {
                    if let Some(keep) = &self.keep {
                        keep.keep(rooms.devices.kept().to_vec());
                    }
                }
            }
        }
        calls
    }

    /// Queues a question for the clerk of a seat.
    fn ask(&self, socket: SocketId, seat: u64, call: Call) {
        let full =
            lock(&self.clerks).get(&(socket, seat)).is_some_and(|clerk| clerk.calls.try_send(call).is_err());
        if full {
            debug!(socket, "the desk is behind: the connection is cut off");
            if let Some(line) = lock(&self.lines).get(&socket) {
                line.cut.cancel();
            }
        }
    }

    /// Somebody comes to the desk, or leaves it.
    fn call(self: &Arc<Self>, socket: SocketId, seat: u64, call: Call) {
        let key = (socket, seat);
        match call {
            Call::Join(card) => {
                let Some(desk) = &self.desk else { return };
                let link = Link { shared: Arc::downgrade(self), socket, seat };
                let joined = desk.join(card, link).map(|chair| {
                    let (calls, asked) = mpsc::channel(CALLS);
                    let (end, ended) = oneshot::channel();
                    lock(&self.clerks).insert(key, Clerk { calls, end });
                    self.tasks.spawn(clerk(Arc::downgrade(self), key, chair, asked, ended));
                });
                let mut sits = false;
                self.act(|rooms, at| {
                    let mut out = Vec::new();
                    sits = rooms.admitted(socket, seat, joined, at, &mut out);
                    out
                });
                if !sits {
                    // The peer went while the desk decided: the end of its stay found no clerk yet.
                    self.call(socket, seat, Call::Gone);
                }
            }
            Call::Leave | Call::Gone => {
                let clerk = lock(&self.clerks).remove(&key);
                if let Some(clerk) = clerk {
                    // Gone already where the clerk is.
                    let _ = clerk.end.send(call == Call::Leave);
                }
            }
            call => self.ask(socket, seat, call),
        }
    }
}

/// Hands the calls of one stay to the desk, one after the other, until it is over.
async fn clerk(
    shared: Weak<Shared>,
    (socket, seat): (SocketId, u64),
    chair: Box<dyn Chair>,
    mut calls: mpsc::Receiver<Call>,
    mut ended: oneshot::Receiver<bool>,
) {
    let left = loop {
        let call = tokio::select! {
            biased;
            left = &mut ended => break left.unwrap_or(false),
            call = calls.recv() => match call {
                Some(call) => call,
                None => break false,
            },
        };
        match call {
            Call::Offer { generation, neg, sdp } => {
                let result = tokio::select! {
                    left = &mut ended => break left.unwrap_or(false),
                    result = chair.offer(generation, neg, sdp) => result,
                };
                let Some(shared) = shared.upgrade() else { break false };
                shared.act(|rooms, at| rooms.answered(socket, seat, (generation, neg), result, at));
            }
            Call::Candidate { generation, candidate } => chair.candidate(generation, candidate),
            Call::State { generation, state } => chair.state(generation, state),
            Call::Stats { generation, stats } => chair.stats(generation, stats),
            Call::Join(_) | Call::Leave | Call::Gone => {}
        }
    };
    if left {
        chair.leave();
    }
}

/// Wakes the machine when it has something to do.
async fn watch_time(shared: Weak<Shared>, stop: CancellationToken) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let deadline = lock(&strong.rooms).deadline();
        let woken = async {
            match deadline {
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at) => true,
                        () = strong.wake.notified() => false,
                    }
                }
                None => {
                    strong.wake.notified().await;
                    false
                }
            }
        };
        let due = tokio::select! {
            () = stop.cancelled() => return,
            due = woken => due,
        };
        if due {
            strong.act(|rooms, at| rooms.tick(at));
        }
    }
}
