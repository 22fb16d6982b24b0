//! A whole session with a camera that agrees to everything and then sends what it likes: the first byte
//! chooses its description, the second how often it speaks up, the rest is what it sends after PLAY.
#![no_main]

use std::future::poll_fn;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use nightjar_engine::env::Env;
use nightjar_engine::ingest::{RtspOptions, RtspSource};
use nightjar_engine::source::Source;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::timeout;

const DESCRIPTIONS: [&str; 6] = [
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:1\r\n",
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\na=control:1\r\n",
    "m=video 0 RTP/AVP 26\r\na=control:1\r\n",
    "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/16000/1\r\na=fmtp:97 mode=AAC-hbr;config=1408;sizelength=13;indexlength=3;indexdeltalength=3\r\na=control:1\r\n",
    "m=audio 0 RTP/AVP 0\r\na=control:1\r\n",
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z0LAH9kAUAW7AQAAAwAQAAADAyDxgySA,aMuDyyA=\r\na=control:1\r\nm=audio 0 RTP/AVP 8\r\na=control:2\r\n",
];

/// Puts the bytes into interleaved RTP packets with good headers, so that they reach what lies behind.
fn packets(how: u8, bytes: &[u8]) -> Vec<u8> {
    if how == 0 {
        return bytes.to_vec();
    }
    let mut out = Vec::new();
    for (i, chunk) in bytes.chunks(usize::from(how)).enumerate() {
        let (flags, payload) = chunk.split_first().expect("a chunk is not empty");
        let number = u16::try_from(i).unwrap_or(u16::MAX);
        let time = u32::from(number) / 2 * 3_600;
        out.extend_from_slice(&[b'$', (flags >> 6 & 1) * 2]);
        out.extend_from_slice(&(12 + payload.len() as u16).to_be_bytes());
        out.extend_from_slice(&[0x80, flags & 0x80 | 96]);
        out.extend_from_slice(&number.wrapping_add(u16::from(*flags == 0x55)).to_be_bytes());
        out.extend_from_slice(&time.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0, 1]);
        out.extend_from_slice(payload);
    }
    out
}

async fn camera(listener: &TcpListener, description: &str, media: &[u8]) {
    let Ok((mut stream, _)) = listener.accept().await else { return };
    let (mut asked, mut played) = (Vec::new(), false);
    let body = format!("v=0\r\no=- 0 0 IN IP4 0\r\ns=x\r\nt=0 0\r\na=control:*\r\n{description}");
    let mut track = 0;
    while !played {
        let Some(end) = asked.windows(4).position(|w| w == b"\r\n\r\n") else {
            match stream.read_buf(&mut asked).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        let head = String::from_utf8_lossy(&asked[..end]).into_owned();
        asked.drain(..end + 4);
        let number = head.lines().find_map(|l| l.strip_prefix("CSeq: ")).unwrap_or("0");
        let mut answer = format!("RTSP/1.0 200 OK\r\nCSeq: {number}\r\n");
        match head.split(' ').next() {
            Some("DESCRIBE") => {
                answer +=
                    &format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            }
            Some("SETUP") => {
                answer += &format!(
                    "Session: 1\r\nTransport: RTP/AVP/TCP;interleaved={}-{}\r\n\r\n",
                    track,
                    track + 1
                );
                track += 2;
            }
            Some("PLAY") => {
                answer += "\r\n";
                played = true;
            }
            _ => answer += "\r\n",
        }
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
    let _ = stream.write_all(media).await;
    // The end of what it says is its end.
}

static RUNTIME: OnceLock<(Runtime, TcpListener, String)> = OnceLock::new();

fuzz_target!(|bytes: &[u8]| {
    let [which, how, rest @ ..] = bytes else { return };
    let (runtime, listener, url) = RUNTIME.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("rtsp://{}/", listener.local_addr().expect("an address"));
        (runtime, listener, url)
    });
    let description = DESCRIPTIONS[usize::from(*which) % DESCRIPTIONS.len()];
    let media = packets(*how, rest);
    runtime.block_on(async {
        let env = Env::fixed(|| SystemTime::UNIX_EPOCH, 7);
        let mut source = RtspSource::new(RtspOptions::new(url.parse().expect("a URL")), env);
        let watch = async {
            let Ok(mut session) = source.open().await else { return };
            while poll_fn(|cx| session.poll_next(cx)).await.is_ok() {}
        };
        let both = async { tokio::join!(camera(listener, description, &media), watch) };
        timeout(Duration::from_secs(20), both).await.expect("a camera that hung up is over");
    });
});
