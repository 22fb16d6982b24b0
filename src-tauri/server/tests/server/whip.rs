//! Publishing by WHIP, as far as a publisher without a network sees it.

use crate::knock::{House, Request, TOKEN};

const SDP: &str = "application/sdp";

/// As OBS writes it, with what a server looks at.
fn offer(video: &str, direction: &str) -> String {
    let fingerprint = vec!["AB"; 32].join(":");
    format!(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
         a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=fingerprint:sha-256 {fingerprint}\r\na=setup:actpass\r\n\
         a=mid:0\r\na={direction}\r\na=rtcp-mux\r\na=rtpmap:96 {video}/90000\r\n\
         a=fmtp:96 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n\
         a=ssrc:5 cname:obs\r\n"
    )
}

#[tokio::test]
async fn a_publisher_is_answered_and_ended_as_rfc_9725_says() {
    let house = House::locked().await;
    fn post(path: &str, body: String) -> Request<'_> {
        Request::new("POST", path).body(SDP, body)
    }
    fn ask(request: Request<'_>) -> Request<'_> {
        request.header("Authorization", format!("Bearer {TOKEN}"))
    }

    house.send(post("/api/v1/whip/studio", offer("H264", "sendonly"))).await.refused(401, "unauthorized");
    let answer = house.send(ask(post("/api/v1/whip/studio", offer("H264", "sendonly")))).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some(SDP));
    let text = String::from_utf8(answer.body.clone()).expect("text");
    assert!(text.contains("a=recvonly") && text.contains("a=candidate:") && text.contains("a=setup:passive"));
    // As ffmpeg has it: who waits for the first word of DTLS is spoken to.
    let waits = offer("H264", "sendonly").replace("actpass", "passive");
    let spoken_to = house.send(ask(post("/api/v1/whip/film", waits))).await;
    assert!(String::from_utf8_lossy(&spoken_to.body).contains("a=setup:active"), "{spoken_to:?}");
    let session = answer.header("location").expect("a session").to_owned();
    assert!(session.starts_with("/api/v1/whip/studio/"), "{session}");
    let tag = answer.header("etag").expect("a tag").to_owned();
    let camera = house.engine.camera("studio").expect("on the wall");
    assert_eq!((camera.kind, camera.url), (nightjar_engine::api::CameraKind::Phone, None));

    let fragment = "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\nm=video 9 RTP/AVP 0\r\na=mid:0\r\n\
                    a=candidate:1 1 udp 1 192.0.2.7 5000 typ host\r\na=end-of-candidates\r\n";
    let patch = |tag: &str| {
        let request = Request::new("PATCH", &session).body("application/trickle-ice-sdpfrag", fragment);
        ask(request.header("If-Match", tag))
    };
    assert_eq!(house.send(patch(&tag)).await.status, 204);
    house.send(patch("\"other\"")).await.refused(412, "no_match");
    house.send(patch("*")).await.refused(422, "invalid");

    for (path, allow, name, accepted) in [
        ("/api/v1/whip/studio", "POST,OPTIONS", "accept-post", SDP),
        (&*session, "PATCH,DELETE,OPTIONS", "accept-patch", "application/trickle-ice-sdpfrag"),
    ] {
        let options = house.send(ask(Request::new("OPTIONS", path))).await;
        assert_eq!(
            (options.status, options.header("allow"), options.header(name)),
            (204, Some(allow), Some(accepted))
        );
    }

    assert_eq!(house.send(ask(Request::new("DELETE", &session))).await.status, 200);
    house.send(ask(Request::new("DELETE", &session))).await.refused(404, "not_found");
    let gone = async {
        while house.engine.camera("studio").is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(crate::knock::PATIENCE, gone).await.expect("the camera goes with its publisher");
    house.close().await;
}

#[tokio::test]
async fn what_cannot_be_published_is_refused_in_words() {
    let house = House::open().await;
    for (path, body, status, code) in [
        ("/api/v1/whip/fixed", offer("H264", "sendonly"), 409, "duplicate"),
        ("/api/v1/whip/a.b", offer("H264", "sendonly"), 422, "invalid"),
        // No camera may be called so: that is where one is looked at.
        ("/api/v1/whip/probe", offer("H264", "sendonly"), 422, "invalid"),
        ("/api/v1/whip/r", offer("H265", "sendonly"), 406, "not_playable"),
        ("/api/v1/whip/r", offer("H264", "recvonly"), 406, "not_playable"),
        ("/api/v1/whip/r", "hello".to_owned(), 400, "malformed"),
    ] {
        house.send(Request::new("POST", path).body(SDP, body)).await.refused(status, code);
    }
    let text = Request::new("POST", "/api/v1/whip/r").body("text/plain", "v=0");
    house.send(text).await.refused(415, "unsupported_media_type");
    assert!(house.engine.camera("r").is_err());
    house.close().await;
}
