//! WebSockets: events, their numbers and their end.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use nightjar_engine::api::CameraSpec;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::knock::{House, PATIENCE, Request, TOKEN};

pub(crate) type Socket = WebSocketStream<TcpStream>;

pub(crate) async fn dial(house: &House, path: &str, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
    let mut request = format!("ws://{}{path}", house.addr).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(house.addr).await.unwrap();
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

pub(crate) async fn next(socket: &mut Socket) -> Message {
    timeout(PATIENCE, socket.next()).await.expect("in time").expect("open").expect("whole")
}

async fn text(socket: &mut Socket) -> Value {
    loop {
        if let Message::Text(text) = next(socket).await {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

/// RFC 6455 section 5.5.1: a browser that hears no goodbye takes the connection for broken.
#[tokio::test]
async fn who_closes_a_socket_hears_goodbye() {
    let house = House::open().await;
    for path in ["/api/v1/events", "/api/v1/cameras/fixed/live"] {
        let mut socket = dial(&house, path, &[]).await.unwrap();
        next(&mut socket).await;
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        socket.send(Message::Close(Some(frame.clone()))).await.unwrap();
        loop {
            if let Message::Close(answer) = next(&mut socket).await {
                assert_eq!(answer, Some(frame), "{path}");
                break;
            }
        }
        let end = timeout(PATIENCE, socket.next()).await.expect("in time");
        assert!(end.is_none_or(|end| end.is_err()), "{path}: it is over");
    }
    house.close().await;
}

#[tokio::test]
async fn r_n10_events_begin_with_a_snapshot_and_are_numbered() {
    let house = House::open().await;
    let mut socket = dial(&house, "/api/v1/events", &[]).await.unwrap();
    let snapshot = text(&mut socket).await;
    assert_eq!((&snapshot["type"], &snapshot["seq"]), (&"snapshot".into(), &0.into()));
    assert_eq!(snapshot["cameras"][0]["id"], "fixed");
    assert!(snapshot["alerts"].is_array());

    let door =
        CameraSpec { id: Some("door".into()), url: "rtsp://127.0.0.1:9/".into(), ..CameraSpec::default() };
    house.engine.add_camera(door).await.unwrap();
    let added = text(&mut socket).await;
    assert_eq!((&added["type"], &added["seq"]), (&"camera".into(), &1.into()));
    assert_eq!(added["camera"]["id"], "door");
    house.engine.remove_camera("door").await.unwrap();
    let mut seq = 1;
    loop {
        let event = text(&mut socket).await;
        seq += 1;
        assert_eq!(event["seq"], seq, "no number is missing");
        if event["type"] == "camera_removed" {
            assert_eq!(event["id"], "door");
            break;
        }
    }
    // Whatever a peer says changes nothing.
    socket.send(Message::text("{\"type\":\"hello\"}")).await.unwrap();
    socket.send(Message::binary(vec![0; 100])).await.unwrap();
    socket.send(Message::Ping(vec![7].into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong(vec![7].into()));
    // Each connection counts for itself.
    let mut other = dial(&house, "/api/v1/events", &[]).await.unwrap();
    assert_eq!(text(&mut other).await["seq"], 0);
    house.close().await;
}

#[tokio::test]
async fn a_socket_needs_what_every_request_needs() {
    let house = House::locked().await;
    let token = format!("Bearer {TOKEN}");
    let own = format!("http://{}", house.addr);
    let path = "/api/v1/events";
    assert_eq!(dial(&house, path, &[]).await.err(), Some(401));
    assert_eq!(dial(&house, path, &[("authorization", "Bearer x")]).await.err(), Some(401));
    let evil = ("origin", "http://evil.example");
    assert_eq!(dial(&house, path, &[("authorization", &token), evil]).await.err(), Some(403));
    let host = ("host", "evil.example");
    assert_eq!(dial(&house, path, &[("authorization", &token), host]).await.err(), Some(421));
    assert!(dial(&house, path, &[("authorization", &token), ("origin", &own)]).await.is_ok());

    let make = Request::new("POST", "/api/v1/tickets")
        .header("Authorization", token.clone())
        .json(r#"{"path":"/api/v1/events"}"#);
    let ticket = house.send(make).await.json()["ticket"].as_str().unwrap().to_owned();
    assert!(dial(&house, &format!("{path}?ticket={ticket}"), &[]).await.is_ok());
    assert_eq!(dial(&house, &format!("{path}?ticket=x{ticket}"), &[]).await.err(), Some(401));

    let plain = Request::new("GET", path).header("Authorization", token);
    house.send(plain).await.refused(400, "malformed");
    house.close().await;
}

#[tokio::test]
async fn large_messages_end_their_own_socket_alone() {
    let house = House::open().await;
    let mut quiet = dial(&house, "/api/v1/events", &[]).await.unwrap();
    text(&mut quiet).await;
    let mut loud = dial(&house, "/api/v1/events", &[]).await.unwrap();
    text(&mut loud).await;
    let _ = loud.send(Message::binary(vec![0; 1 << 20])).await;
    let end = async { while let Some(Ok(_)) = loud.next().await {} };
    timeout(PATIENCE, end).await.expect("the loud socket is ended");
    quiet.send(Message::Ping(vec![1].into())).await.unwrap();
    assert_eq!(next(&mut quiet).await, Message::Pong(vec![1].into()));
    house.close().await;
}

#[tokio::test]
async fn r_n12_open_sockets_are_told_at_the_end_and_do_not_hold_it() {
    let house = House::open().await;
    let mut told = dial(&house, "/api/v1/events", &[]).await.unwrap();
    text(&mut told).await;
    // This one never reads nor answers.
    let stuck = dial(&house, "/api/v1/events", &[]).await.unwrap();
    // And these are in the middle of a request.
    let half = TcpStream::connect(house.addr).await.unwrap();
    half.writable().await.unwrap();
    half.try_write(b"POST /api/v1/cameras HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        .unwrap();
    let began = Instant::now();
    let (stop, door) = (house.stop.clone(), house.door);
    stop.cancel();
    let message = loop {
        match next(&mut told).await {
            Message::Close(frame) => break frame,
            _ => continue,
        }
    };
    assert_eq!(u16::from(message.expect("a reason").code), 1001);
    door.await.unwrap();
    house.engine.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop((stuck, half));
}
