//! The relay over real sockets, with a desk that plays by a script.

#![cfg(feature = "relay")]
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use nightjar_signaling::message::{Candidate, Hidden, Sdp, State, Stats};
use nightjar_signaling::relay::{
    Answered, Card, Chair, Desk, Gate, Link, Mode, Nature, Parts, Relay, Terms, ToPeer, router,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Long enough for a busy machine; a test that meets it fails.
const PATIENCE: Duration = Duration::from_secs(20);

struct Nowhere;

impl Nature for Nowhere {
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_600_000)
    }

    fn chance(&self, bytes: &mut [u8]) {
        SystemRandom::new().fill(bytes).unwrap();
    }
}

/// Answers each offer, tells a candidate before it does, and notes what else it hears.
#[derive(Default)]
struct Script {
    heard: Mutex<Vec<String>>,
    /// Offers are never answered.
    hangs: AtomicBool,
    /// Seats that were given and not given back.
    taken: AtomicUsize,
}

#[derive(Clone)]
struct Clerk(Arc<Script>);

impl Desk for Clerk {
    fn join(&self, card: Card, link: Link) -> Result<Box<dyn Chair>, String> {
        if card.room == "closed" {
            return Err("too many peers are here".to_owned());
        }
        if card.room == "fickle" {
            // The stay is over before it began.
            link.send(ToPeer::Bye { reason: "not today".to_owned() });
        }
        self.0.taken.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Seat { script: Arc::clone(&self.0), link }))
    }
}

struct Seat {
    script: Arc<Script>,
    link: Link,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.script.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Seat {
    fn note(&self, what: impl Into<String>) {
        self.script.heard.lock().unwrap().push(what.into());
    }
}

impl Chair for Seat {
    fn offer(&self, generation: u32, neg: u16, sdp: Sdp) -> BoxFuture<'_, Result<Answered, String>> {
        async move {
            self.note(format!("offer {generation} {neg}"));
            if self.script.hangs.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            if !sdp.0.starts_with("v=0") {
                return Err("no media in it".to_owned());
            }
            let candidate = "candidate:1 1 udp 1 192.168.1.2 50000 typ host".to_owned();
            let candidate = Candidate { candidate, sdp_mid: Some("0".into()), sdp_m_line_index: Some(0) };
            self.link.send(ToPeer::Candidate { generation, candidate });
            Ok(Answered { sdp: Sdp("v=0\r\nanswer".to_owned()), publishes: true })
        }
        .boxed()
    }

    fn candidate(&self, generation: u32, candidate: Option<Candidate>) {
        self.note(format!("candidate {generation} {}", candidate.map_or("end".to_owned(), |c| c.candidate)));
    }

    fn state(&self, generation: u32, _: State) {
        self.note(format!("state {generation}"));
    }

    fn stats(&self, generation: u32, _: Stats) {
        self.note(format!("stats {generation}"));
    }

    fn leave(self: Box<Self>) {
        self.note("leave");
    }
}

struct Stage {
    addr: SocketAddr,
    relay: Relay,
    script: Arc<Script>,
}

impl Stage {
    async fn open(room_key: Option<&str>) -> Self {
        let script = Arc::new(Script::default());
        let terms = Terms {
            mode: Mode::Desk,
            relay_id: "relay".to_owned(),
            signer: None,
            ice_servers: Arc::new(|_, _| Vec::new()),
            tcp: false,
        };
        let desk: Option<Arc<dyn Desk>> = Some(Arc::new(Clerk(Arc::clone(&script))));
        let relay =
            Relay::start(Parts { terms, devices: Vec::new(), desk, keep: None, nature: Arc::new(Nowhere) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let gate = Gate { room_key: room_key.map(|key| Hidden(key.to_owned())), hosts: Vec::new() };
        let service = router(relay.clone(), gate).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { addr, relay, script }
    }

    async fn dial(&self, path: &str) -> Result<Line, u16> {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        match client_async(format!("ws://{}{path}", self.addr), stream).await {
            Ok((socket, _)) => Ok(Line { socket }),
            Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn join(&self, room: &str) -> Line {
        let mut line = self.dial("/signal").await.unwrap();
        line.say(json!({"type": "join_room", "data": {"room": room}})).await;
        assert_eq!(line.hear().await["type"], "joined_room");
        line
    }

    async fn noted(&self, what: &str) {
        let there = async {
            while !self.script.heard.lock().unwrap().iter().any(|heard| heard == what) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, there).await.unwrap_or_else(|_| panic!("{what}: {:?}", self.script.heard));
    }
}

struct Line {
    socket: WebSocketStream<TcpStream>,
}

impl Line {
    async fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("in time").expect("open").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn r_p1_r_s2_the_older_flow_from_join_to_candidates() {
    let stage = Stage::open(None).await;
    let mut phone = stage.dial("/signal").await.unwrap();
    // All in one breath, as a hasty client does.
    phone.say(json!({"type": "join_room", "data": {"room": "r", "role": "publisher"}})).await;
    phone.say(json!({"type": "ice_candidate", "data": {"candidate": "1 1 udp 1 10.0.0.1 5000 typ host", "sdpMid": "0"}})).await;
    phone.say(json!({"type": "offer", "data": {"sdp": "v=0\r\n", "type": "offer"}})).await;
    phone.say(json!({"type": "ice_candidate", "data": {"candidate": {"candidate": ""}}})).await;
    assert_eq!(phone.hear().await["type"], "joined_room");
    assert_eq!(
        phone.hear().await,
        json!({"type": "answer", "data": {"sdp": "v=0\r\nanswer", "type": "answer"}}),
        "before any candidate of ours"
    );
    assert_eq!(
        phone.hear().await,
        json!({"type": "ice_candidate", "data": {
            "candidate": "candidate:1 1 udp 1 192.168.1.2 50000 typ host", "sdpMid": "0", "sdpMLineIndex": 0
        }})
    );
    stage.noted("candidate 1 end").await;
    let order = stage.script.heard.lock().unwrap().clone();
    assert_eq!(
        order,
        ["offer 1 1", "candidate 1 candidate:1 1 udp 1 10.0.0.1 5000 typ host", "candidate 1 end"]
    );
    phone.say(json!({"type": "offer", "data": {"sdp": "junk", "type": "offer"}})).await;
    assert_eq!(phone.hear().await["data"]["message"], "Failed to process offer: no media in it");
    let mut viewer = stage.join("r").await;
    assert_eq!(phone.hear().await["type"], "peer_joined");
    viewer.say(json!({"type": "reconnect_request", "reason": "No frames for 11s"})).await;
    assert_eq!(phone.hear().await, json!({"command": "reconnect"}));
    phone.say(json!({"type": "leave_room"})).await;
    assert_eq!(viewer.hear().await["type"], "peer_left");
    stage.noted("leave").await;
}

#[tokio::test]
async fn an_offer_that_hangs_holds_nobody_and_a_room_that_is_refused_is_told() {
    let stage = Stage::open(None).await;
    let mut line = stage.dial("/signal").await.unwrap();
    line.say(json!({"type": "join_room", "room": "closed"})).await;
    assert_eq!(line.hear().await, json!({"type": "error", "data": {"message": "too many peers are here"}}));
    line.say(json!({"type": "leave_room"})).await;
    assert_eq!(line.hear().await["data"]["message"], "Not in a room");
    stage.script.hangs.store(true, Ordering::Relaxed);
    let mut stuck = stage.join("r").await;
    stuck.say(json!({"type": "offer", "data": {"sdp": "v=0", "type": "offer"}})).await;
    stage.noted("offer 1 1").await;
    stuck.say(json!({"type": "leave_room"})).await;
    stage.noted("leave").await;
    stuck.say(json!({"type": "ping"})).await;
    assert_eq!(stuck.hear().await, json!({"type": "pong"}));
}

#[tokio::test]
async fn a_stay_that_ends_while_the_desk_decides_leaves_nothing_at_the_desk() {
    let stage = Stage::open(None).await;
    let mut line = stage.dial("/signal").await.unwrap();
    line.say(json!({"type": "join_room", "room": "fickle"})).await;
    let ended = async {
        while let Some(Ok(message)) = line.socket.next().await {
            if matches!(message, Message::Close(_)) {
                return;
            }
        }
    };
    timeout(PATIENCE, ended).await.expect("it is sent away");
    let given_back = async {
        while stage.script.taken.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, given_back).await.expect("the seat is given back");
}

#[tokio::test]
async fn the_relay_alone_asks_for_its_key_and_closes_well() {
    let stage = Stage::open(Some("open+sésame %")).await;
    for (path, refused) in [
        ("/signal", Some(401)),
        ("/signal?key=wrong", Some(401)),
        ("/signal?k=1&key=open%2Bs%c3%a9same+%25", None),
    ] {
        assert_eq!(stage.dial(path).await.err(), refused, "{path}");
    }
    let mut line = stage.dial("/signal?key=open%2Bs%C3%A9same%20%25").await.unwrap();
    line.say(json!({"type": "ping"})).await;
    line.hear().await;
    let relay = stage.relay.clone();
    let closing = tokio::spawn(async move { relay.shutdown().await });
    match timeout(PATIENCE, line.socket.next()).await.unwrap() {
        Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1001),
        other => panic!("{other:?}"),
    }
    closing.await.unwrap();
}

#[tokio::test]
async fn a_thousand_comings_and_goings_leave_nothing_behind() {
    let stage = Stage::open(None).await;
    for _ in 0..250 {
        let lines = futures_util::future::join_all((0..4).map(|n| {
            let stage = &stage;
            async move { stage.join(&format!("room{n}")).await }
        }));
        drop(lines.await);
    }
    let empty = async {
        while stage.relay.figures().0 > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, empty).await.expect("nobody is left");
}

/// The relay as a program; killed when dropped.
#[cfg(unix)]
struct Alone(std::process::Child);

#[cfg(unix)]
impl Drop for Alone {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn r_n12_the_relay_alone_ends_in_time_whatever_was_half_sent() {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};
    use tokio::io::AsyncWriteExt as _;
    let program = Command::new(env!("CARGO_BIN_EXE_nightjar-relay"))
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn();
    let mut relay = Alone(program.unwrap());
    let mut line = String::new();
    BufReader::new(relay.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
    let mut open = Vec::new();
    let body = "POST /api/v1/sig HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n{";
    for half in ["", "GET /signal HT", body] {
        let mut stream = TcpStream::connect(&addr).await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        open.push(stream);
    }
    // Connections are taken in their order: once this one speaks, the others are there.
    let last = TcpStream::connect(&addr).await.unwrap();
    let (socket, _) = client_async(format!("ws://{addr}/signal"), last).await.unwrap();
    let told = Command::new("kill").args(["-TERM", &relay.0.id().to_string()]).status();
    assert!(told.unwrap().success());
    let ended = async {
        loop {
            if let Some(status) = relay.0.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let status = timeout(Duration::from_secs(5), ended).await.expect("within five seconds");
    assert_eq!(status.code(), Some(0));
    drop((socket, open));
}
