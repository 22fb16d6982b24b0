//! WebSockets: events, and cameras for Media Source Extensions.
//!
//! Each socket is one task that never queues: what a slow peer does not take is skipped (media) or
//! replaced by the newest state (events) where it comes from. A peer that does not answer pings, or does
//! not read, is given up; at the end of the program each socket is closed with 1001.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{OriginalUri, State};
use nightjar_engine::api::{Device, ErrorCode, Event, Pairing};
use nightjar_engine::live::{Mse, MseMessage, MseState};
use nightjar_signaling::relay::Relay;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tracing::debug;

use super::phones::{device, pairing};
use super::{CameraId, media};
use crate::door::Door;
use crate::reply::{Refusal, Reply};

/// Between two pings.
const PING: Duration = Duration::from_secs(10);
/// A listener that heard nothing for this long is told that there is nothing to tell.
const QUIET: Duration = Duration::from_secs(10);
/// A peer that left this many pings in a row unanswered is gone. Pings are counted, not seconds: a computer
/// that slept wakes up with its peers.
const UNANSWERED: u32 = 2;
/// A message must be written in this time.
const WRITE: Duration = Duration::from_secs(10);
/// How long a peer may take to answer a goodbye.
const GOODBYE: Duration = Duration::from_millis(500);
/// Peers have nothing to say but pong and goodbye.
const INCOMING_MAX: usize = 4 * 1024;

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// What is sent over a socket.
trait Feed: Send + 'static {
    /// The next message; `None` at the end. Cancel-safe.
    fn next(&mut self) -> impl Future<Output = Option<Message>> + Send;
}

pub(super) fn asked(upgrade: Upgrade) -> Result<WebSocketUpgrade, Refusal> {
    upgrade
        .map_err(|_| Refusal::new(ErrorCode::Malformed, "This address speaks WebSocket (version 13) alone."))
}

/// Takes a WebSocket up and feeds it.
fn serve(door: &Arc<Door>, upgrade: WebSocketUpgrade, mut feed: impl Feed) -> Reply {
    let place = Arc::clone(&door.sockets).try_acquire_owned();
    let place = place.map_err(|_| Refusal::new(ErrorCode::Busy, "Too many WebSockets are open."))?;
    let door = Arc::clone(door);
    // Held until the socket is done with, so that the end of the program waits for its goodbye.
    let token = door.tasks.token();
    let upgrade = upgrade.max_message_size(INCOMING_MAX).max_frame_size(INCOMING_MAX);
    Ok(upgrade.on_upgrade(async move |mut socket| {
        let _held = (token, place, door.figures.socket());
        let end = talk(&door, &mut socket, &mut feed).await;
        debug!(?end, "socket ended");
        match end {
            End::Program | End::Feed => goodbye(&mut socket).await,
            End::Closed => answer_goodbye(&mut socket).await,
            End::Left | End::Silent | End::Stuck => {}
        }
    }))
}

/// Why a socket ended.
#[derive(Debug)]
enum End {
    /// The program stops.
    Program,
    /// There is nothing more to come.
    Feed,
    /// The peer said goodbye.
    Closed,
    /// The connection broke.
    Left,
    /// The peer answers no pings.
    Silent,
    /// The peer does not read.
    Stuck,
}

async fn talk(door: &Door, socket: &mut WebSocket, feed: &mut impl Feed) -> End {
    let mut pings = interval_at(Instant::now() + PING, PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut unanswered = 0;
    loop {
        let message = tokio::select! {
            () = door.stop.cancelled() => return End::Program,
            heard_of = socket.recv() => match heard_of {
                Some(Ok(Message::Close(_))) => return End::Closed,
                Some(Err(_)) | None => return End::Left,
                // Whatever a peer says shows that it is there, and nothing else.
                Some(Ok(_)) => {
                    unanswered = 0;
                    continue;
                }
            },
            _ = pings.tick() => {
                if unanswered == UNANSWERED {
                    return End::Silent;
                }
                unanswered += 1;
                Message::Ping(bytes::Bytes::new())
            }
            message = feed.next() => match message {
                Some(message) => message,
                None => return End::Feed,
            },
        };
        let sent = tokio::select! {
            () = door.stop.cancelled() => return End::Program,
            sent = timeout(WRITE, socket.send(message)) => sent,
        };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Left,
            Err(_) => return End::Stuck,
        }
    }
}

/// A peer that says goodbye hears it back (RFC 6455 section 5.5.1): the library says it when it is asked for more.
async fn answer_goodbye(socket: &mut WebSocket) {
    let rest = async { while let Some(Ok(_)) = socket.recv().await {} };
    // Late or not: the socket is dropped now.
    let _ = timeout(GOODBYE, rest).await;
}

async fn goodbye(socket: &mut WebSocket) {
    let frame = CloseFrame { code: close_code::AWAY, reason: "".into() };
    let wave = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // Late or not: the socket is dropped now.
    let _ = timeout(GOODBYE, wave).await;
}

/// Everything that happens, after a snapshot: what the engine tells, and phones and pairings between. Like the
/// engine's stream it keeps what was told, not a queue.
struct Events {
    engine: nightjar_engine::engine::EventStream,
    phones: Option<Phones>,
    started: bool,
    seq: u64,
    /// When there is something to say at the latest.
    speak: Instant,
    /// Of one look around; one for each phone and pairing at most.
    ready: VecDeque<Event>,
}

/// What of phones was told.
struct Phones {
    relay: Relay,
    changes: watch::Receiver<u64>,
    devices: HashMap<String, Device>,
    pairings: HashMap<String, Pairing>,
}

impl Phones {
    fn new(relay: &Relay) -> Self {
        let changes = relay.changes();
        let devices = relay.devices().into_iter().map(|view| (view.id.clone(), device(view))).collect();
        let pairings = relay.pairings().into_iter().map(|view| (view.id.clone(), pairing(view))).collect();
        Self { relay: relay.clone(), changes, devices, pairings }
    }

    fn look_around(&mut self, ready: &mut VecDeque<Event>) {
        for pairing in self.relay.pairings().into_iter().map(pairing) {
            if self.pairings.insert(pairing.id.clone(), pairing.clone()).as_ref() != Some(&pairing) {
                ready.push_back(Event::Pairing { seq: 0, pairing });
            }
        }
        let devices: Vec<Device> = self.relay.devices().into_iter().map(device).collect();
        self.devices.retain(|id, _| {
            let stays = devices.iter().any(|device| device.id == *id);
            if !stays {
                ready.push_back(Event::DeviceRemoved { seq: 0, id: id.clone() });
            }
            stays
        });
        for device in devices {
            if self.devices.insert(device.id.clone(), device.clone()).as_ref() != Some(&device) {
                ready.push_back(Event::Device { seq: 0, device });
            }
        }
        let known: HashSet<String> = self.relay.pairings().into_iter().map(|view| view.id).collect();
        self.pairings.retain(|id, _| known.contains(id));
    }
}

/// Ends when something of phones may have changed; never where there are none.
async fn phones_changed(phones: &mut Option<Phones>) {
    if let Some(phones) = phones
        && phones.changes.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

impl Feed for Events {
    async fn next(&mut self) -> Option<Message> {
        let event = loop {
            if let Some(event) = self.ready.pop_front() {
                break event;
            }
            // The snapshot comes first.
            if !self.started {
                let event = self.engine.next().await?;
                self.started = true;
                self.speak = Instant::now() + QUIET;
                let text = serde_json::to_string(&event).expect("events have no keys that are not texts");
                return Some(Message::text(text));
            }
            tokio::select! {
                event = self.engine.next() => break event?,
                () = sleep_until(self.speak) => break Event::Alive { seq: 0 },
                () = phones_changed(&mut self.phones) => {
                    if let Some(phones) = &mut self.phones {
                        phones.look_around(&mut self.ready);
                    }
                }
            }
        };
        self.seq += 1;
        self.speak = Instant::now() + QUIET;
        let event = event.numbered(self.seq);
        let text = serde_json::to_string(&event).expect("events have no keys that are not texts");
        Some(Message::text(text))
    }
}

pub(super) async fn events(State(door): State<Arc<Door>>, upgrade: Upgrade) -> Reply {
    let feed = Events {
        engine: door.engine.events(),
        phones: door.signal.as_ref().map(|signal| Phones::new(&signal.relay)),
        started: false,
        seq: 0,
        speak: Instant::now() + QUIET,
        ready: VecDeque::new(),
    };
    serve(&door, asked(upgrade)?, feed)
}

/// A camera in fragments: a text with the type, then the init segment, then fragments; again from the
/// type where the parameters change.
struct Live(Mse);

/// What is said between fragments.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum LiveText {
    /// For `MediaSource.isTypeSupported`; the next binary message is the init segment.
    Mime { mime: String },
    /// `live`, `stalled` (two seconds of silence), `source_lost` or `not_playable`, this with its reason.
    State {
        state: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

impl Feed for Live {
    async fn next(&mut self) -> Option<Message> {
        let text = match self.0.next().await? {
            MseMessage::Init(bytes) | MseMessage::Fragment(bytes) => return Some(Message::Binary(bytes)),
            MseMessage::Mime(mime) => LiveText::Mime { mime },
            MseMessage::State(state) => LiveText::State {
                state: state.name().to_owned(),
                reason: match state {
                    MseState::NotPlayable(reason) => Some(reason),
                    MseState::Live | MseState::Stalled | MseState::SourceLost => None,
                },
            },
        };
        Some(Message::text(serde_json::to_string(&text).expect("two texts can be written")))
    }
}

pub(super) async fn live(
    State(door): State<Arc<Door>>,
    CameraId(id): CameraId,
    OriginalUri(uri): OriginalUri,
    upgrade: Upgrade,
) -> Reply {
    door.engine.camera(&id)?;
    let upgrade = asked(upgrade)?;
    let mse = door.engine.mse(&id, media::stream(&uri)?, media::sound(&uri)?).await?;
    serve(&door, upgrade, Live(mse))
}
