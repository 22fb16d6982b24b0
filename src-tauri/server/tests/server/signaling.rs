//! Signaling from outside: the older clients, word for word, and who may not come in.

use futures_util::{SinkExt as _, StreamExt as _};
use nightjar_engine::config::{Config, MemoryStore};
use nightjar_engine::engine::{EngineHandle, Parts};
use nightjar_engine::env::{Env, Secret};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::knock::{House, Mute, PATIENCE, Request, TOKEN};
use crate::sockets::{Socket, dial, next};

/// A house whose configuration says this below `[signaling]`.
async fn house(signaling: &str, token: bool) -> House {
    let config =
        format!("[signaling]\n{signaling}\n[[camera]]\nid = \"fixed\"\nurl = \"rtsp://127.0.0.1:1/\"");
    let parts = Parts {
        env: Env::system(),
        config: Config::parse(&config).unwrap(),
        store: Arc::new(MemoryStore::default()),
        sources: Arc::new(Mute),
        demo: None,
        data_dir: None,
    };
    let engine = EngineHandle::start(parts).await.unwrap();
    House::before(engine, |options| {
        options.token = token.then(|| Secret::new(TOKEN.to_owned()));
    })
    .await
}

async fn say(socket: &mut Socket, message: Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

async fn heard(socket: &mut Socket) -> String {
    loop {
        if let Message::Text(text) = next(socket).await {
            return text.to_string();
        }
    }
}

async fn json_of(socket: &mut Socket) -> Value {
    serde_json::from_str(&heard(socket).await).unwrap()
}

/// Whether nothing was said before the answer to a ping.
async fn silent(socket: &mut Socket) -> bool {
    say(socket, json!({"type": "ping"})).await;
    json_of(socket).await == json!({"type": "pong"})
}

async fn close_code(socket: &mut Socket) -> Option<u16> {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("in time") {
            Some(Ok(Message::Close(frame))) => return frame.map(|frame| u16::from(frame.code)),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return None,
        }
    }
}

fn error(message: &str) -> Value {
    json!({"type": "error", "data": {"message": message}})
}

#[tokio::test]
async fn r_s1_r_p4_the_older_clients_work_unchanged() {
    let house = house("legacy_join = true", false).await;
    let mut phone = dial(&house, "/signal", &[]).await.unwrap();
    let mut viewer = dial(&house, "/signal", &[]).await.unwrap();
    let mut other = dial(&house, "/signal", &[]).await.unwrap();
    say(&mut phone, json!({"type": "offer", "data": {"sdp": "v=0", "type": "offer"}})).await;
    assert_eq!(json_of(&mut phone).await, error("Not in a room"));
    say(&mut phone, json!({"type": "join_room", "data": {"room": "hall", "role": "publisher"}})).await;
    let joined = json_of(&mut phone).await;
    let phone_id = joined["data"]["peer_id"].as_str().unwrap().to_owned();
    assert_eq!(
        joined,
        json!({"type": "joined_room", "data": {"room": "hall", "peer_id": phone_id, "peers": []}})
    );
    say(&mut viewer, json!({"type": "join_room", "room": "hall"})).await;
    let joined = json_of(&mut viewer).await;
    let viewer_id = joined["data"]["peer_id"].as_str().unwrap().to_owned();
    assert_eq!(joined["data"]["peers"], json!([{"peer_id": phone_id, "role": "publisher"}]));
    assert_eq!(
        json_of(&mut phone).await,
        json!({"type": "peer_joined", "data": {"peer_id": viewer_id, "role": "viewer"}})
    );
    say(&mut other, json!({"type": "join_room", "data": {"room": "fixed", "role": "publisher"}})).await;
    assert_eq!(json_of(&mut other).await["type"], "joined_room");
    // Errors leave the connection as it is.
    for (raw, message) in [
        ("nonsense", "Message is not valid JSON"),
        (r#"{"type":"fly"}"#, "Unknown message type: fly"),
        (
            r#"{"type":"join_room","data":{"room":"no such name!"}}"#,
            "Invalid room: 1 to 64 letters, digits, \"_\" and \"-\" name one",
        ),
        (
            r#"{"type":"ice_candidate","data":{"candidate":"rubbish"}}"#,
            "Invalid candidate: it is no candidate",
        ),
    ] {
        phone.send(Message::text(raw)).await.unwrap();
        assert_eq!(json_of(&mut phone).await, error(message));
    }
    phone.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(json_of(&mut phone).await, error("Only text messages are understood"));
    for sdp in [json!(null), json!(""), json!("this is no description")] {
        say(&mut phone, json!({"type": "offer", "data": {"sdp": sdp, "type": "offer"}})).await;
        let message = json_of(&mut phone).await["data"]["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("Failed to process offer: "), "{message}");
    }
    say(&mut viewer, json!({"type": "reconnect_request", "reason": "No frames for 11s"})).await;
    assert_eq!(heard(&mut phone).await, r#"{"command":"reconnect"}"#);
    assert!(silent(&mut viewer).await && silent(&mut other).await);
    say(&mut phone, json!({"type": "leave_room"})).await;
    assert_eq!(json_of(&mut viewer).await, json!({"type": "peer_left", "data": {"peer_id": phone_id}}));
    drop(viewer);
    house.close().await;
}

/// An offer of sections: what it holds, its codec and its direction.
fn offer_of(sections: &[(&str, &str, &str)]) -> Value {
    let fingerprint = vec!["AB"; 32].join(":");
    let mids: String = (0..sections.len()).map(|mid| format!(" {mid}")).collect();
    let mut sdp = format!(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE{mids}\r\n"
    );
    for (mid, (kind, codec, direction)) in sections.iter().enumerate() {
        let number = 96 + mid;
        sdp += &format!(
            "m={kind} 9 UDP/TLS/RTP/SAVPF {number}\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
             a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n\
             a=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\na=rtpmap:{number} {codec}\r\na=ssrc:{number} cname:x\r\n"
        );
    }
    json!({"type": "offer", "data": {"sdp": sdp, "type": "offer"}})
}

#[tokio::test]
async fn who_publishes_is_the_same_for_the_wall_and_for_the_room() {
    let house = house("legacy_join = true", false).await;
    for (room, role, sections, publishes) in [
        ("a", json!("viewer"), &[("video", "VP8/90000", "sendrecv")][..], false),
        ("b", json!(null), &[("video", "VP8/90000", "sendrecv")], true),
        ("g", json!("viewer"), &[("video", "VP8/90000", "sendonly")], true),
        (
            "c",
            json!(null),
            &[("video", "VP8/90000", "inactive"), ("audio", "opus/48000/2", "sendonly")],
            true,
        ),
        (
            "d",
            json!(null),
            &[("video", "VP8/90000", "recvonly"), ("audio", "opus/48000/2", "sendrecv")],
            false,
        ),
        ("e", json!(null), &[("audio", "opus/48000/2", "sendonly")], true),
        ("f", json!(null), &[("video", "VP8/90000", "recvonly")], false),
    ] {
        let mut peer = dial(&house, "/signal", &[]).await.unwrap();
        say(&mut peer, json!({"type": "join_room", "data": {"room": room, "role": role}})).await;
        assert_eq!(json_of(&mut peer).await["type"], "joined_room");
        say(&mut peer, offer_of(sections)).await;
        let answer = json_of(&mut peer).await;
        assert_eq!(answer["type"], "answer", "{room}: {answer}");
        let mut other = dial(&house, "/signal", &[]).await.unwrap();
        say(&mut other, json!({"type": "join_room", "data": {"room": room}})).await;
        let shown = json_of(&mut other).await["data"]["peers"][0]["role"].clone();
        let on_the_wall = house.engine.camera(room).is_ok();
        let role = if publishes { "publisher" } else { "viewer" };
        assert_eq!((on_the_wall, shown), (publishes, json!(role)), "{room}");
    }
    let mut lost = dial(&house, "/signal", &[]).await.unwrap();
    say(&mut lost, json!({"type": "join_room", "data": {"room": "probe"}})).await;
    assert_eq!(json_of(&mut lost).await["type"], "error", "no camera may be called so");
    house.close().await;
}

#[tokio::test]
async fn a15_what_is_too_large_ends_the_connection_with_a_word() {
    let house = house("legacy_join = true", false).await;
    for size in [129 * 1_024, 2 * 1_024 * 1_024] {
        let mut socket = dial(&house, "/signal", &[]).await.unwrap();
        // The door may stop reading in the middle.
        let _ = socket.send(Message::text("x".repeat(size))).await;
        let code = close_code(&mut socket).await;
        assert!(matches!(code, Some(4413 | 1009) | None), "{code:?}");
    }
    let mut socket = dial(&house, "/signal", &[]).await.unwrap();
    assert!(silent(&mut socket).await, "others go on");
    house.close().await;
}

#[tokio::test]
async fn who_may_join_by_name_is_said_by_the_configuration() {
    // Switched off: whoever comes has to prove who it is.
    let off = house("", false).await;
    let mut socket = dial(&off, "/signal", &[]).await.unwrap();
    say(&mut socket, json!({"type": "join_room", "data": {"room": "r"}})).await;
    assert_eq!(json_of(&mut socket).await["code"], "auth_required");
    assert_eq!(close_code(&mut socket).await, Some(4401));
    off.close().await;
    // A token keeps everybody out but those whom signaling lets in by itself.
    let locked = house("", true).await;
    for path in ["/signal", "/signal?key=x", "/api/v1/sig/stream"] {
        assert_eq!(dial(&locked, path, &[]).await.err(), Some(401), "{path}");
    }
    locked.close().await;
    let open = house("legacy_join = true\nroom_key = \"open sesame\"", true).await;
    for (path, headers, status) in [
        ("/signal", vec![], None),
        ("/signal?key=wrong", vec![], None),
        ("/signal?key=open+sesame", vec![("X-Forwarded-For", "203.0.113.5")], None),
        // Through a proxy everybody seems to be at home.
        ("/signal", vec![("X-Forwarded-For", "203.0.113.5")], Some(401)),
        ("/signal?key=wrong", vec![("X-Forwarded-For", "203.0.113.5")], Some(401)),
        // A12, A13.
        ("/signal", vec![("Origin", "https://evil.example")], Some(403)),
        ("/signal", vec![("Host", "evil.example")], Some(421)),
    ] {
        assert_eq!(dial(&open, path, &headers).await.err(), status, "{path} {headers:?}");
    }
    open.close().await;
    let none = house("enabled = false", false).await;
    none.ask("GET", "/signal").await.refused(404, "not_found");
    none.close().await;
}

#[tokio::test]
async fn r_s1_the_same_messages_go_over_https() {
    let house = house("legacy_join = true", false).await;
    house.ask("GET", "/signal").await.refused(400, "malformed");
    let mut viewer = dial(&house, "/signal", &[]).await.unwrap();
    say(&mut viewer, json!({"type": "join_room", "room": "r", "role": "viewer"})).await;
    heard(&mut viewer).await;
    let mut stream = Stream::open(&house).await;
    let (event, opened) = stream.next().await;
    assert_eq!(event, "session");
    let session = opened["session"].as_str().unwrap().to_owned();
    let post = async |session: &str, message: Value| {
        let body = json!({"session": session, "message": message}).to_string();
        house.send(Request::new("POST", "/api/v1/sig").json(body)).await
    };
    let join = json!({"type": "join_room", "room": "r", "role": "publisher"});
    assert_eq!(post(&session, join.clone()).await.status, 204);
    assert_eq!(stream.next().await.1["type"], "joined_room");
    assert_eq!(json_of(&mut viewer).await["type"], "peer_joined");
    say(&mut viewer, json!({"type": "reconnect_request"})).await;
    assert_eq!(stream.next().await.1, json!({"command": "reconnect"}));
    post("guessed", join).await.refused(404, "not_found");
    let form = Request::new("POST", "/api/v1/sig").body("text/plain", "{}");
    house.send(form).await.refused(415, "unsupported_media_type");
    house.send(Request::new("POST", "/api/v1/sig").json("{}")).await.refused(400, "malformed");
    let large = format!("{{\"session\":\"{session}\",\"message\":{{\"type\":\"{}\"}}}}", "x".repeat(140_000));
    house.send(Request::new("POST", "/api/v1/sig").json(large)).await.refused(413, "too_large");
    assert_eq!(post(&session, json!({"type": "bye"})).await.status, 204);
    assert_eq!(stream.next().await, ("close".to_owned(), json!({"code": 1000, "reason": ""})));
    assert_eq!(json_of(&mut viewer).await["type"], "peer_left");
    house.close().await;
}

/// A stream of events over a connection of its own.
struct Stream {
    from: tokio::io::BufReader<tokio::net::TcpStream>,
}

impl Stream {
    async fn open(house: &House) -> Self {
        use tokio::io::AsyncWriteExt as _;
        let mut stream = tokio::net::TcpStream::connect(house.addr).await.unwrap();
        let request = Request::new("GET", "/api/v1/sig/stream").header("Connection", "keep-alive");
        stream.write_all(&request.bytes(house.addr)).await.unwrap();
        Self { from: tokio::io::BufReader::new(stream) }
    }

    /// The next event: its name, and its data.
    async fn next(&mut self) -> (String, Value) {
        use tokio::io::AsyncBufReadExt as _;
        let mut name = "message".to_owned();
        loop {
            let mut line = String::new();
            timeout(PATIENCE, self.from.read_line(&mut line)).await.expect("in time").unwrap();
            assert!(!line.is_empty(), "the stream ended");
            if let Some(event) = line.trim_end().strip_prefix("event: ") {
                name = event.to_owned();
            }
            if let Some(data) = line.trim_end().strip_prefix("data: ") {
                return (name, serde_json::from_str(data).unwrap());
            }
        }
    }
}

#[tokio::test]
async fn a16_a_flood_over_a_real_socket_is_cut_and_a_neighbour_is_served() {
    let house = house("legacy_join = true", false).await;
    let mut flood = dial(&house, "/signal", &[]).await.unwrap();
    let mut calm = dial(&house, "/signal", &[]).await.unwrap();
    for _ in 0..1_000 {
        if flood.feed(Message::text("{\"type\":\"ping\"}")).await.is_err() {
            break;
        }
    }
    let _ = flood.flush().await;
    let code = close_code(&mut flood).await;
    assert!(matches!(code, Some(4429) | None), "{code:?}");
    assert!(silent(&mut calm).await);
    house.close().await;
}

#[tokio::test]
async fn r_n12_the_end_of_the_program_is_said_to_phones() {
    let house = house("legacy_join = true", false).await;
    let mut socket = dial(&house, "/signal", &[]).await.unwrap();
    assert!(silent(&mut socket).await);
    let closing = tokio::spawn(house.close());
    assert_eq!(close_code(&mut socket).await, Some(u16::from(CloseCode::Away)));
    closing.await.unwrap();
}

/// What a phone would offer, `direction` of its pictures, with this certificate.
fn offer(direction: &str, certificate: &str) -> String {
    let fingerprint = vec![certificate; 32].join(":");
    format!(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n\
         a=mid:0\r\na={direction}\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\na=ssrc:5 cname:phone\r\n"
    )
}

#[tokio::test]
async fn a9_a19_a_description_that_is_none_or_of_somebody_else_changes_nothing() {
    let house = house("legacy_join = true", false).await;
    let mut phone = dial(&house, "/signal", &[]).await.unwrap();
    say(&mut phone, json!({"v": 1, "type": "join_room", "room": "hall", "role": "publisher"})).await;
    assert_eq!(json_of(&mut phone).await["type"], "joined_room");
    let good = offer("sendonly", "AB");
    let ask = |generation: u32, neg: u32, sdp: &str| json!({"v": 1, "type": "offer", "gen": generation, "neg": neg, "sdp": sdp});
    let hear = async |socket: &mut Socket| loop {
        let message = json_of(socket).await;
        if ["answer", "error"].contains(&message["type"].as_str().unwrap()) {
            return message;
        }
    };
    say(&mut phone, ask(1, 1, &good)).await;
    let answer = hear(&mut phone).await;
    assert_eq!((&answer["type"], &answer["gen"]), (&json!("answer"), &json!(1)), "{answer}");
    let bare: String =
        good.lines().filter(|l| !l.contains("fingerprint")).flat_map(|l| [l, "\r\n"]).collect();
    let keyed = good.replace("UDP/TLS/RTP/SAVPF", "RTP/SAVPF").replace(
        "a=setup:actpass\r\n",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n",
    );
    for (what, message) in [
        ("another certificate within one connection", ask(1, 2, &offer("sendonly", "CD"))),
        ("no certificate", ask(2, 1, &bare)),
        ("keys in the clear", ask(2, 2, &keyed.replace("a=fingerprint", "a=x-fingerprint"))),
        ("a phone that wants to watch", ask(2, 3, &offer("recvonly", "AB"))),
    ] {
        say(&mut phone, message).await;
        let no = hear(&mut phone).await;
        assert_eq!((&no["type"], &no["code"]), (&json!("error"), &json!("bad_sdp")), "{what}: {no}");
        assert_eq!(
            house.engine.camera("hall").unwrap().state.name,
            nightjar_engine::api::StateName::Connecting
        );
    }
    // The connection is what it was: a further offer of it is answered.
    say(&mut phone, ask(3, 1, &good)).await;
    let answer = hear(&mut phone).await;
    assert_eq!((&answer["type"], &answer["gen"]), (&json!("answer"), &json!(3)), "{answer}");
    assert_eq!(house.engine.cameras().len(), 2);
    house.close().await;
}

#[tokio::test]
async fn a14_a_page_of_another_site_reads_and_changes_nothing() {
    let house = house("legacy_join = true", false).await;
    let foreign = [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")];
    for path in ["/api/v1/cameras", "/api/v1/devices", "/api/v1/sig/stream", "/api/v1/openapi.json"] {
        if path != "/api/v1/sig/stream" {
            // A script tag of another site sends no Origin: what it gets is no script to its browser.
            let own = house.ask("GET", path).await;
            assert_eq!(own.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
            assert_eq!(own.header("x-content-type-options"), Some("nosniff"), "{path}");
        }
        let request =
            foreign.iter().fold(Request::new("GET", path), |r, (name, value)| r.header(name, *value));
        let answer = house.send(request).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
        answer.refused(403, "foreign_origin");
    }
    // What a form of another site can send without being asked for leave.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let request = Request::new("POST", "/api/v1/pairings").body(kind, "{}");
        house.send(request).await.refused(415, "unsupported_media_type");
    }
    let preflight = Request::new("OPTIONS", "/api/v1/pairings").header("Origin", "https://evil.example");
    assert_eq!(house.send(preflight).await.header("access-control-allow-origin"), None);
    house.close().await;
}

#[tokio::test]
async fn who_leaves_the_signaling_hears_goodbye() {
    let house = house("", false).await;
    let mut socket = dial(&house, "/signal", &[]).await.unwrap();
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    socket.send(Message::Close(Some(frame))).await.unwrap();
    assert_eq!(close_code(&mut socket).await, Some(1_000));
    house.close().await;
}
