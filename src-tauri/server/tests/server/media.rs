//! Ways to watch, with a real camera behind the door.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use nightjar_engine::api::StateName;
use nightjar_engine::config::{Config, MemoryStore};
use nightjar_engine::engine::{EngineHandle, Parts, Rtsp};
use nightjar_engine::env::Env;
use nightjar_server::demo::LoopbackCameras;
use nightjar_testcam::{Fault, Options, TestCam};
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::knock::{House, PATIENCE, Request};
use crate::sockets::{dial, next};

/// A house whose camera `demo` is live; `fixed` is not.
async fn live() -> House {
    live_as("url = \"demo:2\"").await
}

async fn live_as(url: &str) -> House {
    let config = format!(
        "[[camera]]\nid = \"demo\"\n{url}\n[[camera]]\nid = \"fixed\"\nurl = \"rtsp://127.0.0.1:1/\""
    );
    let parts = Parts {
        env: Env::system(),
        config: Config::parse(&config).expect("valid"),
        store: Arc::new(MemoryStore::default()),
        sources: Arc::new(Rtsp::default()),
        demo: Some(Arc::new(LoopbackCameras::default())),
        data_dir: None,
    };
    let engine = EngineHandle::start(parts).await.expect("it starts");
    let house = House::before(engine, |_| {}).await;
    let slot = house.engine.slot("demo", Default::default()).await.unwrap();
    let ready = async {
        while house.engine.camera("demo").unwrap().state.name != StateName::Live
            || slot.newest_key().is_none()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("the camera is live in time");
    house
}

/// As Chromium writes it, with what a server looks at.
fn offer(video: &str) -> String {
    let fingerprint = vec!["AB"; 32].join(":");
    format!(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         a=msid-semantic: WMS\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\nc=IN IP4 0.0.0.0\r\n\
         a=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
         a=ice-options:trickle\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\na=mid:0\r\n\
         a=recvonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:102 {video}/90000\r\na=rtcp-fb:102 nack\r\n\
         a=rtcp-fb:102 nack pli\r\n\
         a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"
    )
}

fn whep(path: &str, sdp: impl Into<Vec<u8>>) -> Request<'_> {
    Request::new("POST", path).body("application/sdp", sdp)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_the_newest_picture_as_wide_as_asked() {
    let house = live().await;
    let path = "/api/v1/cameras/demo/snapshot.jpg";
    let still = house.ask("GET", path).await;
    assert_eq!((still.status, still.header("content-type")), (200, Some("image/jpeg")));
    assert_eq!(still.header("cache-control"), Some("no-store"));
    assert!(still.header("last-modified").unwrap().ends_with("GMT"));
    assert_eq!(width(&still.body), 640);
    let small = house.ask("GET", &format!("{path}?width=160")).await;
    assert_eq!(width(&small.body), 160);
    let head = house.ask("HEAD", path).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    for bad in ["15", "3841", "-1", "", "abc", "1e3", "99999999999999999999", "160.5", "%31%36%30x"] {
        let answer = house.ask("GET", &format!("{path}?width={bad}")).await;
        assert_eq!(answer.refused(422, "invalid"), "width", "{bad}");
    }
    house.ask("GET", "/api/v1/cameras/fixed/snapshot.jpg").await.refused(503, "not_live");
    house.ask("GET", "/api/v1/cameras/nope/snapshot.jpg").await.refused(404, "not_found");
    house.close().await;
}

/// The width in a JPEG's frame header.
fn width(jpeg: &[u8]) -> u16 {
    assert_eq!(jpeg[..2], [0xff, 0xd8], "a JPEG");
    let mut at = 2;
    loop {
        let (marker, length) = (jpeg[at + 1], u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        if (0xc0..=0xc2).contains(&marker) {
            return u16::from_be_bytes([jpeg[at + 7], jpeg[at + 8]]);
        }
        at += 2 + usize::from(length);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whep_answers_trickles_and_ends() {
    let house = live().await;
    let path = "/api/v1/cameras/demo/whep";
    let answer = house.send(whep(path, offer("H264"))).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), Some("application/sdp"));
    let sdp = String::from_utf8(answer.body.clone()).unwrap();
    assert!(sdp.starts_with("v=0") && sdp.contains("m=video") && sdp.contains("a=candidate:"), "{sdp}");
    let viewer = answer.header("location").unwrap().to_owned();
    assert!(viewer.starts_with(&format!("{path}/")), "{viewer}");

    let kind = "application/trickle-ice-sdpfrag";
    let fragment = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=video 9 RTP/AVP 0\r\na=mid:0\r\n\
                    a=candidate:1 1 udp 2130706431 127.0.0.1 50000 typ host\r\n";
    let patch = house.send(Request::new("PATCH", &viewer).body(kind, fragment)).await;
    assert_eq!((patch.status, patch.body.len()), (204, 0), "{}", String::from_utf8_lossy(&patch.body));
    let typed = house.send(Request::new("PATCH", &viewer).body("text/plain", fragment)).await;
    typed.refused(415, "unsupported_media_type");
    let long = house.send(Request::new("PATCH", &viewer).body(kind, "a".repeat(70_000))).await;
    long.refused(413, "too_large");
    let tag = answer.header("etag").unwrap().to_owned();
    let meant = |tag: &str| Request::new("PATCH", &viewer).header("if-match", tag).body(kind, fragment);
    assert_eq!(house.send(meant(&format!("\"x\", {tag}"))).await.status, 204);
    house.send(meant("\"x\"")).await.refused(412, "no_match");
    assert_eq!(house.ask("DELETE", &viewer).await.status, 200);
    house.ask("DELETE", &viewer).await.refused(404, "not_found");
    let late = Request::new("PATCH", &viewer).body(kind, fragment);
    house.send(late).await.refused(404, "not_found");
    house.ask("DELETE", &format!("{path}/x")).await.refused(404, "not_found");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_offer_gets_its_error_and_leaves_no_viewer() {
    let house = live().await;
    let path = "/api/v1/cameras/demo/whep";
    let good = offer("H264");
    house.send(whep("/api/v1/cameras/nope/whep", good.clone())).await.refused(404, "not_found");
    house.send(whep("/api/v1/cameras/fixed/whep", good.clone())).await.refused(503, "not_live");
    house.send(whep(path, offer("VP8"))).await.refused(406, "not_playable");
    let mut large = good.clone();
    large += &"a=x\r\n".repeat(20_000);
    house.send(whep(path, large)).await.refused(413, "too_large");
    let stream = format!("{path}?stream=best");
    assert_eq!(house.send(whep(&stream, good.clone())).await.refused(422, "invalid"), "stream");
    for kind in ["application/json", "text/plain", "application/sdpx"] {
        let typed = Request::new("POST", path).body(kind, good.clone());
        house.send(typed).await.refused(415, "unsupported_media_type");
    }
    let broken: [&[u8]; 9] = [
        b"",
        b" ",
        b"hello",
        b"{\"sdp\":1}",
        b"v=0\r\n",
        b"v=0\r\no=- 1 1 IN IP4 0\r\ns=-\r\nt=0 0\r\n",
        b"\xff\xfe\x00",
        &good.as_bytes()[..200],
        b"v=1\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\n",
    ];
    for sdp in broken {
        for path in [path, "/api/v1/cameras/fixed/whep"] {
            house.send(whep(path, sdp)).await.refused(400, "malformed");
        }
    }
    assert!(house.engine.viewers().is_empty());
    let answer = house.ask("OPTIONS", path).await;
    assert_eq!((answer.status, answer.header("accept-post")), (204, Some("application/sdp")));
    let wrong = house.ask("GET", path).await;
    wrong.refused(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), Some("POST,OPTIONS"));
    house.close().await;
}

/// DESIGN §5: not live is 503. A session that is open says nothing yet of pictures.
#[tokio::test(flavor = "multi_thread")]
async fn whep_waits_for_a_picture_of_this_session() {
    let cam = TestCam::spawn(Options { fault: Fault::Silent, ..Options::default() }).await.unwrap();
    let config = format!("[[camera]]\nid = \"demo\"\nurl = \"{}\"", cam.url());
    let parts = Parts {
        env: Env::system(),
        config: Config::parse(&config).expect("valid"),
        store: Arc::new(MemoryStore::default()),
        sources: Arc::new(Rtsp::default()),
        demo: None,
        data_dir: None,
    };
    let engine = EngineHandle::start(parts).await.expect("it starts");
    let house = House::before(engine, |_| {}).await;
    let slot = house.engine.slot("demo", Default::default()).await.unwrap();
    let until = async |there: &dyn Fn() -> bool| {
        let ready = async {
            while !there() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, ready).await.expect("it comes to that in time");
    };
    let path = "/api/v1/cameras/demo/whep";
    until(&|| slot.is_published()).await;
    assert_eq!(house.engine.camera("demo").unwrap().state.name, StateName::Connecting);
    house.send(whep(path, offer("H264"))).await.refused(503, "not_live");
    assert!(house.engine.viewers().is_empty());
    cam.set_fault(Fault::None).await;
    until(&|| house.engine.camera("demo").unwrap().state.name == StateName::Live).await;
    assert_eq!(house.send(whep(path, offer("H264"))).await.status, 201);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mse_is_a_type_an_init_segment_and_fragments() {
    let house = live_as("url = \"demo:1\"\nsub_url = \"demo:1/sub\"").await;
    for path in ["/api/v1/cameras/demo/live", "/api/v1/cameras/demo/live?stream=sub"] {
        let mut socket = dial(&house, path, &[]).await.unwrap();
        let (mut typed, mut inits, mut fragments) = (false, 0, 0);
        while fragments < 10 {
            match next(&mut socket).await {
                Message::Text(text) => {
                    let text: Value = serde_json::from_str(&text).unwrap();
                    if let Some(mime) = text["mime"].as_str() {
                        assert!(mime.starts_with("video/mp4; codecs=\"avc1."), "{mime}");
                        typed = true;
                    } else {
                        assert!(text["state"].is_string(), "{text}");
                    }
                }
                Message::Binary(bytes) if &bytes[4..8] == b"ftyp" => {
                    assert!(typed, "the type comes first");
                    inits += 1;
                }
                Message::Binary(bytes) => {
                    assert_eq!(&bytes[4..8], b"moof");
                    assert!(inits > 0, "the init segment comes first");
                    fragments += 1;
                }
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    // A camera that is not live keeps its socket and says so.
    let mut waiting = dial(&house, "/api/v1/cameras/fixed/live", &[]).await.unwrap();
    let Message::Text(state) = next(&mut waiting).await else { panic!("a state") };
    assert!(state.contains("\"state\":\"source_lost\""), "{state}");
    assert_eq!(dial(&house, "/api/v1/cameras/nope/live", &[]).await.err(), Some(404));
    assert_eq!(dial(&house, "/api/v1/cameras/demo/live?stream=x", &[]).await.err(), Some(422));
    house.ask("GET", "/api/v1/cameras/demo/live").await.refused(400, "malformed");
    house.close().await;
}

/// Reads on until a state is told, and gives it with how long that took.
async fn told(socket: &mut crate::sockets::Socket) -> (String, Duration) {
    let from = tokio::time::Instant::now();
    loop {
        if let Message::Text(text) = next(socket).await {
            let text: Value = serde_json::from_str(&text).unwrap();
            if let Some(state) = text["state"].as_str() {
                return (state.to_owned(), from.elapsed());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r_k2_a_page_is_told_at_once_when_its_camera_falls_silent_or_goes_and_when_it_is_back() {
    let camera = TestCam::spawn(Options::default()).await.expect("a free port");
    let house = live_as(&format!("url = \"{}\"", camera.url())).await;
    let mut socket = dial(&house, "/api/v1/cameras/demo/live", &[]).await.unwrap();
    assert_eq!(told(&mut socket).await.0, "live");

    camera.set_fault(Fault::Silent).await;
    let (state, after) = told(&mut socket).await;
    assert_eq!(state, "stalled");
    assert!((1_500..3_000).contains(&after.as_millis()), "{after:?}");
    camera.set_fault(Fault::None).await;
    assert_eq!(told(&mut socket).await.0, "live");

    camera.power_off().await;
    let (state, after) = told(&mut socket).await;
    assert_eq!(state, "source_lost");
    assert!(after < Duration::from_secs(1), "{after:?}");
    camera.power_on().await.expect("its port is free");
    assert_eq!(told(&mut socket).await.0, "live");
    house.close().await;
    camera.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_n2_a_fault_of_a_page_is_its_own_and_it_is_told_what_to_do() {
    let house = live().await;
    let report = |body: &str| Request::new("POST", "/api/v1/cameras/demo/fault").json(body);
    let decoder = r#"{"class":"DECODER","detail":"PIPELINE_ERROR_DECODE","viewer":"a1","transport":"mse"}"#;
    for action in ["redial", "fall_back", "fall_back"] {
        let answer = house.send(report(decoder)).await;
        assert_eq!(answer.status, 200);
        let advice = answer.json();
        assert_eq!((&advice["action"], &advice["cause"]["class"]), (&action.into(), &"DECODER".into()));
    }
    assert_eq!(house.send(report(r#"{"class":"VIDEO_SINK"}"#)).await.status, 204, "nobody asks");
    house.send(report(r#"{"class":"RTSP_NETWORK"}"#)).await.refused(422, "invalid");
    house.send(report(r#"{"class":"DECODER","viewer":"a b"}"#)).await.refused(422, "invalid");

    let camera = house.ask("GET", "/api/v1/cameras/demo").await.json();
    assert_eq!((&camera["state"]["name"], &camera["stats"]["reconnects"]), (&"live".into(), &0.into()));
    assert_eq!(
        (&camera["stats"]["viewer_faults"], &camera["stats"]["degraded_viewers"]),
        (&4.into(), &2.into())
    );
    assert_eq!(camera["warnings"], serde_json::json!([]));
    for viewer in ["b2", "c3"] {
        let body = format!(r#"{{"class":"DECODER","viewer":"{viewer}"}}"#);
        assert_eq!(house.send(report(&body)).await.status, 200);
    }
    let camera = house.ask("GET", "/api/v1/cameras/demo").await.json();
    let warning = &camera["warnings"][0];
    assert_eq!((&warning["code"], &warning["class"]), (&"undecodable".into(), &"DECODER".into()));
    assert_eq!((&camera["state"]["name"], &camera["stats"]["reconnects"]), (&"live".into(), &0.into()));
    let metrics = String::from_utf8(house.ask("GET", "/metrics").await.body).unwrap();
    for line in [
        "nightjar_camera_viewer_faults_total{camera=\"demo\",class=\"DECODER\"} 5",
        "nightjar_camera_viewer_faults_total{camera=\"demo\",class=\"VIDEO_SINK\"} 1",
        "nightjar_camera_degraded_viewers{camera=\"demo\"} 4",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_m2_a_viewer_that_does_not_read_holds_nobody_up() {
    let house = live().await;
    let path = "/api/v1/cameras/demo/live";
    let stuck = dial(&house, path, &[]).await.unwrap();
    let mut reader = dial(&house, path, &[]).await.unwrap();
    let fragments = async {
        let mut count = 0;
        while count < 50 {
            if let Some(Ok(Message::Binary(_))) = reader.next().await {
                count += 1;
            }
        }
    };
    timeout(PATIENCE, fragments).await.expect("two seconds of pictures in time");
    drop(stuck);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_a_camera_saves_nothing() {
    let house = live().await;
    let before = house.state().await;
    let look = Request::new("POST", "/api/v1/cameras/probe").json(r#"{"url":"demo:2"}"#);
    let found = house.send(look).await;
    assert_eq!(found.status, 200, "{}", String::from_utf8_lossy(&found.body));
    let found = found.json();
    assert_eq!(found["tracks"][0]["codec"], "h264");
    assert!(found["picture"].as_str().unwrap().starts_with("data:image/jpeg;base64,"));
    assert_eq!(found.get("sub"), None, "none was asked about");
    for (sub, codec, code) in [("demo:1/sub", "h264", ""), ("rtsp://127.0.0.1:1/", "", "unreachable")] {
        let both = serde_json::json!({"url": "demo:1", "sub_url": sub}).to_string();
        let found = house.send(Request::new("POST", "/api/v1/cameras/probe").json(both)).await;
        assert_eq!(found.status, 200, "{}", String::from_utf8_lossy(&found.body));
        let sub = found.json()["sub"].clone();
        assert_eq!(sub["tracks"][0]["codec"].as_str().unwrap_or_default(), codec, "{sub}");
        assert_eq!(sub["cause"]["code"].as_str().unwrap_or_default(), code, "{sub}");
    }
    let nobody = Request::new("POST", "/api/v1/cameras/probe").json(r#"{"url":"rtsp://127.0.0.1:1/"}"#);
    house.send(nobody).await.refused(502, "camera_unavailable");
    assert_eq!(house.state().await, before);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r_m1_the_certificate_that_was_seen_is_the_only_one_that_is_taken() {
    let house = live().await;
    let [camera, other] = [(), ()].map(|()| TestCam::spawn(Options { tls: true, ..Options::default() }));
    let (camera, other) = (camera.await.unwrap(), other.await.unwrap());
    let see = |url: &str| {
        let look = serde_json::json!({ "url": url }).to_string();
        Request::new("POST", "/api/v1/cameras/probe").json(look)
    };
    let seen = house.send(see(&camera.url())).await.json()["tls_fingerprint"].clone();
    let foreign = house.send(see(&other.url())).await.json()["tls_fingerprint"].clone();
    assert!(seen.is_string() && seen != foreign, "each has its own: {seen} {foreign}");

    let spec = serde_json::json!({ "id": "safe", "url": camera.url(), "tls_fingerprint": seen });
    let added = house.send(Request::new("POST", "/api/v1/cameras").json(spec.to_string())).await;
    assert_eq!((added.status, &added.json()["tls_fingerprint"]), (201, &seen));
    until(&house, "safe", |state, _| state == StateName::Live).await;

    let patch = |body: Value| Request::new("PATCH", "/api/v1/cameras/safe").json(body.to_string());
    house.send(patch(serde_json::json!({ "tls_fingerprint": "0b" }))).await.refused(422, "invalid");
    house.send(patch(serde_json::json!({ "tls_fingerprint": foreign }))).await;
    until(&house, "safe", |state, cause| state == StateName::Reconnecting && cause == "tls").await;
    house.send(patch(serde_json::json!({ "tls_fingerprint": null }))).await;
    until(&house, "safe", |state, _| state == StateName::Live).await;
    house.close().await;
}

/// Waits until a camera's state and the code of its cause are so.
async fn until(house: &House, id: &str, is_so: impl Fn(StateName, &str) -> bool) {
    let ready = async {
        loop {
            let state = house.engine.camera(id).unwrap().state;
            if is_so(state.name, state.cause.as_ref().map_or("", |cause| &cause.code)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("the state in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn r_n13_the_running_graph_can_be_drawn() {
    let house = live().await;
    let answer = house.ask("GET", "/api/v1/debug/pipeline.dot").await;
    assert!(answer.header("content-type").unwrap().starts_with("text/vnd.graphviz"));
    let dot = String::from_utf8(answer.body).unwrap();
    assert!(dot.starts_with("digraph") && dot.contains("demo") && dot.trim_end().ends_with('}'), "{dot}");
    house.close().await;
}
