//! Cameras as only a script can play them: what real makes have sent, and worse.

use nightjar_engine::media::Codec;
use nightjar_engine::source::SourceErrorCode as Code;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const SPS_PPS: &str = "Z0LAH9kAUAW7AQAAAwAQAAADAyDxgySA,aMuDyyA=";

/// One answer per request: `{n}` is the request's number.
type Script = &'static [(&'static str, &'static str)];

fn sdp(audio: &str) -> String {
    format!(
        "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\na=control:*\r\n\
         m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
         a=fmtp:96 packetization-mode=1;sprop-parameter-sets={SPS_PPS}\r\na=control:track1\r\n{audio}"
    )
}

async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
            buffer.drain(..end + 4);
            return Some(head);
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// Plays a script on every connection, then sends key frames until the client goes. Gives its address.
async fn play(script: Script, body: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let body = body.clone();
            tokio::spawn(async move {
                let mut buffer = Vec::new();
                let mut playing = false;
                let mut sequence = 1u16;
                loop {
                    let asked = if playing {
                        let packet = idr(sequence);
                        sequence += 1;
                        if stream.write_all(&packet).await.is_err() {
                            return;
                        }
                        timeout(Duration::from_millis(40), request(&mut stream, &mut buffer)).await.ok()
                    } else {
                        Some(request(&mut stream, &mut buffer).await)
                    };
                    let Some(asked) = asked else { continue };
                    let Some(asked) = asked else { return };
                    let number = asked.lines().find_map(|l| l.strip_prefix("CSeq: ")).unwrap_or("0");
                    let method = asked.split(' ').next().unwrap_or_default();
                    playing |= method == "PLAY";
                    let answer = script.iter().find(|(m, _)| *m == method).map_or(DEFAULT, |(_, a)| a);
                    let answer = answer
                        .replace("{n}", number)
                        .replace("{port}", &address.port().to_string())
                        .replace("{length}", &body.len().to_string())
                        .replace("{body}", &body);
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    format!("rtsp://127.0.0.1:{}/live", address.port())
}

/// An interleaved packet with an IDR slice that fills a picture.
fn idr(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0xe0];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&(u32::from(sequence) * 3_600).to_be_bytes());
    packet.extend_from_slice(&[1, 2, 3, 4, 0x65, 0x88, 0x84, 0x00, 0x10]);
    let mut framed = vec![b'$', 0];
    framed.extend_from_slice(&u16::try_from(packet.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(&packet);
    framed
}

const DEFAULT: &str = "RTSP/1.0 200 OK\r\nCSeq: {n}\r\n\r\n";
const DESCRIBE: (&str, &str) = (
    "DESCRIBE",
    "RTSP/1.0 200 OK\r\nCSeq: {n}\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}",
);
const SETUP: (&str, &str) = (
    "SETUP",
    "RTSP/1.0 200 OK\r\nCSeq: {n}\r\nSession: 7\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
);

async fn plays(script: Script) {
    let mut options = options(&play(script, sdp("")).await);
    options.keepalive_timeout = Duration::from_millis(200);
    let mut watched = open(options).await.unwrap_or_else(|error| panic!("{script:?}: {error:?}"));
    for _ in 0..25 {
        watched.key().await.unwrap_or_else(|error| panic!("{script:?}: {error:?}"));
    }
}

async fn refuses(script: Script, body: String) -> SourceError {
    open(options(&play(script, body).await)).await.err().expect("it must be refused")
}

#[tokio::test]
async fn replies_with_wrong_numbers_or_none_are_matched_in_order() {
    plays(&[DESCRIBE, SETUP]).await;
    plays(&[
        (
            "DESCRIBE",
            "RTSP/1.0 200 OK\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}",
        ),
        ("SETUP", "RTSP/1.0 200 OK\r\nSession: 7\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"),
        ("PLAY", "RTSP/1.0 200 OK\r\n\r\n"),
        ("OPTIONS", "RTSP/1.0 200 OK\r\nPublic: GET_PARAMETER\r\n\r\n"),
        ("GET_PARAMETER", "RTSP/1.0 200 OK\r\n\r\n"),
    ])
    .await;
    plays(&[
        ("DESCRIBE", "RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"),
        ("SETUP", "RTSP/1.0 200 OK\r\nCSeq: 1\r\nSession: 7\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"),
        ("PLAY", "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"),
        ("OPTIONS", "RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: GET_PARAMETER\r\n\r\n"),
        ("GET_PARAMETER", "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn repeated_replies_and_requests_by_the_camera_do_not_disturb() {
    plays(&[
        DESCRIBE,
        (
            "SETUP",
            "OPTIONS * RTSP/1.0\r\nCSeq: 99\r\n\r\nRTSP/1.0 100 Continue\r\nCSeq: {n}\r\n\r\n\
             RTSP/1.0 200 OK\r\nCSeq: {n}\r\nSession: 7;timeout=60;foo=1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n\
             RTSP/1.0 200 OK\r\nCSeq: {n}\r\nSession: 7;timeout=60;foo=1\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n",
        ),
        ("GET_PARAMETER", "RTSP/1.0 200 OK\r\nCSeq: {n}\r\n\r\nRTSP/1.0 200 OK\r\nCSeq: {n}\r\n\r\n"),
        ("OPTIONS", "ANNOUNCE * RTSP/1.0\r\nCSeq: 1\r\n\r\nRTSP/1.0 200 OK\r\nCSeq: {n}\r\nPublic: PLAY, GET_PARAMETER\r\n\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn headers_that_the_client_could_not_read_are_repaired() {
    plays(&[
        (
            "DESCRIBE",
            "RTSP/1.0 200 OK\nCSeq: {n}\nnonsense\nX-\u{fffd}: \u{fffd}\nContent-type: Application/SDP; charset=utf-8\nContent-Length: {length}\n\n{body}",
        ),
        ("SETUP", "RTSP/1.0 200 OK\r\nCSeq: {n}\r\nSession: 7; Timeout=0\r\nTransport: RTP/AVP/TCP;unicast;source=cam.local;server_port=x\r\n\r\n"),
        ("PLAY", "RTSP/1.0 200 OK\r\nCSeq: {n}\r\nRTP-Info: track1;seq=99999;rtptime\r\n\r\n"),
    ])
    .await;
}

#[tokio::test]
async fn a_redirect_is_followed_once() {
    let there = play(&[DESCRIBE, SETUP], sdp("")).await;
    let location = format!("RTSP/1.0 302 Moved\r\nCSeq: {{n}}\r\nLocation: {there}\r\n\r\n");
    let script: Script = Box::leak(Box::new([("DESCRIBE", &*location.leak())]));
    let mut watched = open(options(&play(script, sdp("")).await)).await.unwrap();
    watched.key().await.unwrap();

    let circle =
        [("DESCRIBE", "RTSP/1.0 302 Moved\r\nCSeq: {n}\r\nLocation: rtsp://127.0.0.1:{port}/x\r\n\r\n")];
    let circle: Script = Box::leak(Box::new(circle));
    let error = refuses(circle, sdp("")).await;
    assert_eq!(error.code, Code::Rejected, "{error}");
}

#[tokio::test]
async fn r_m3_opus_sound_is_named_and_the_pictures_play() {
    let audio = "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\na=control:track2\r\n";
    let url = play(&[DESCRIBE, SETUP], sdp(audio)).await;
    let mut watched = open(options(&url)).await.unwrap();
    let track = watched.track(TrackKind::Audio);
    assert_eq!((track.codec, track.carried()), (Codec::Opus, false));
    let note = track.note.unwrap();
    assert!(note.contains("Opus"));
    assert_eq!(note.code(), "not_received");
    watched.key().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_received_is_refused_by_name() {
    let only = "v=0\r\no=- 0 0 IN IP4 0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n\
                m=audio 0 RTP/AVP 97\r\na=rtpmap:97 opus/48000/2\r\n";
    let error = refuses(&[DESCRIBE], only.to_owned()).await;
    assert_eq!(error.code, Code::NoCodec);
    assert!(error.detail.contains("VP8 video") && error.detail.contains("Opus sound"), "{}", error.detail);
}

#[tokio::test]
async fn a_camera_that_refuses_its_sound_still_shows_pictures() {
    let audio = "m=audio 0 RTP/AVP 0\r\na=control:track2\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsp://{}/live", listener.local_addr().unwrap());
    let body = sdp(audio);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = Vec::new();
        while let Some(asked) = request(&mut stream, &mut buffer).await {
            let number = asked.lines().find_map(|l| l.strip_prefix("CSeq: ")).unwrap().to_owned();
            let answer = match asked.split(' ').next().unwrap() {
                "DESCRIBE" => {
                    DESCRIBE.1.replace("{length}", &body.len().to_string()).replace("{body}", &body)
                }
                "SETUP" if asked.contains("track2") => "RTSP/1.0 500 No\r\nCSeq: {n}\r\n\r\n".to_owned(),
                "SETUP" => SETUP.1.to_owned(),
                _ => DEFAULT.to_owned(),
            };
            stream.write_all(answer.replace("{n}", &number).as_bytes()).await.unwrap();
            if asked.starts_with("PLAY") {
                stream.write_all(&idr(1)).await.unwrap();
            }
        }
    });
    let mut watched = open(options(&url)).await.unwrap();
    assert!(watched.track(TrackKind::Audio).note.is_some());
    watched.key().await.unwrap();
}

#[tokio::test]
async fn servers_that_are_no_cameras_end_the_attempt() {
    for answer in [
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "RTSP/1.0 200 OK\r\nCSeq: {n}\r\nContent-Length: 99999999\r\n\r\n",
        "\u{0}\u{1}\u{2}\u{3}",
    ] {
        let script: Script = Box::leak(Box::new([("DESCRIBE", answer)]));
        let error = refuses(script, String::new()).await;
        assert_eq!(error.code, Code::Protocol, "{answer:?}: {error}");
    }
    let error = refuses(&[("DESCRIBE", "RTSP/1.0 503 Busy\r\nCSeq: {n}\r\n\r\n")], String::new()).await;
    assert_eq!(error.code, Code::Rejected);
    assert!(error.detail.contains("busy"), "{}", error.detail);
}

#[tokio::test]
async fn tls_where_there_is_none_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("rtsps://{}/live", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"RTSP/1.0 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let error = open(options(&url)).await.err().unwrap();
    assert_eq!(error.code, Code::Tls, "{error}");
    assert!(error.detail.contains("rtsp://"), "{error}");
}
