//! A raw RTSP client: bytes on a socket, nothing clever, so that the camera is seen as it is.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::{collections::VecDeque, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// No exchange on loopback takes longer.
pub const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// An RTP packet.
#[derive(Debug, Clone)]
pub struct Rtp {
    pub channel: u8,
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub time: u32,
    pub payload: Vec<u8>,
}

impl Rtp {
    pub fn parse(channel: u8, bytes: &[u8]) -> Self {
        assert_eq!(bytes[0], 0x80, "version 2 without padding, extension or sources");
        Self {
            channel,
            marker: bytes[1] & 0x80 != 0,
            payload_type: bytes[1] & 0x7f,
            sequence: u16::from_be_bytes([bytes[2], bytes[3]]),
            time: u32::from_be_bytes(bytes[4..8].try_into().unwrap()),
            payload: bytes[12..].to_vec(),
        }
    }

    /// The H.264 NAL type, looked up inside fragments.
    pub fn nal(&self) -> u8 {
        match self.payload[0] & 31 {
            28 => self.payload[1] & 31,
            kind => kind,
        }
    }
}

pub struct Client {
    pub socket: TcpStream,
    pub url: String,
    pub cseq: u32,
    pub session: String,
    pub authorization: Option<String>,
    buffer: Vec<u8>,
    pub media: VecDeque<(u8, Vec<u8>)>,
}

impl Client {
    pub async fn connect(url: &str) -> Self {
        let addr = url.split('/').nth(2).unwrap();
        let socket = TcpStream::connect(addr).await.unwrap();
        Self {
            socket,
            url: url.to_owned(),
            cseq: 0,
            session: String::new(),
            authorization: None,
            buffer: Vec::new(),
            media: VecDeque::new(),
        }
    }

    pub async fn send(&mut self, method: &str, uri: &str, headers: &str) {
        self.cseq += 1;
        let mut text = format!("{method} {uri} RTSP/1.0\r\nCSeq: {}\r\n{headers}", self.cseq);
        if !self.session.is_empty() {
            text.push_str(&format!("Session: {}\r\n", self.session));
        }
        if let Some(value) = &self.authorization {
            text.push_str(&format!("Authorization: {value}\r\n"));
        }
        text.push_str("\r\n");
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads more; false at the end of the connection.
    async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.socket.read_buf(&mut self.buffer)).await;
        read.expect("bytes in time").unwrap_or(0) > 0
    }

    /// Takes one interleaved packet off the buffer, if one is there.
    fn take_packet(&mut self) -> bool {
        if self.buffer.len() < 4 || self.buffer[0] != b'$' {
            return false;
        }
        let whole = 4 + usize::from(u16::from_be_bytes([self.buffer[2], self.buffer[3]]));
        if self.buffer.len() < whole {
            return false;
        }
        let packet: Vec<u8> = self.buffer.drain(..whole).collect();
        self.media.push_back((packet[1], packet[4..].to_vec()));
        true
    }

    pub async fn answer(&mut self) -> Answer {
        loop {
            while self.take_packet() {}
            if self.buffer.starts_with(b"RTSP")
                && let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n")
            {
                let head = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
                let mut lines = head.split("\r\n");
                let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
                let headers: Vec<(String, String)> = lines
                    .filter_map(|line| line.split_once(": "))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                let mut answer = Answer { status, headers, body: String::new() };
                let length: usize = answer.header("Content-Length").parse().unwrap_or(0);
                while self.buffer.len() < end + 4 + length {
                    assert!(self.more().await, "a body");
                }
                answer.body = String::from_utf8(self.buffer[end + 4..end + 4 + length].to_vec()).unwrap();
                self.buffer.drain(..end + 4 + length);
                return answer;
            }
            assert!(self.more().await, "an answer before the end");
        }
    }

    pub async fn ask(&mut self, method: &str, uri: &str, headers: &str) -> Answer {
        self.send(method, uri, headers).await;
        let answer = self.answer().await;
        if answer.header("CSeq") == self.cseq.to_string() && answer.status == 200 {
            let session = answer.header("Session").split(';').next().unwrap();
            if !session.is_empty() {
                self.session = session.to_owned();
            }
        }
        answer
    }

    /// The next interleaved packet of any channel; `None` at the end of the connection.
    pub async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            while self.take_packet() {}
            if let Some(packet) = self.media.pop_front() {
                return Some(packet);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next RTP packet of a channel.
    pub async fn rtp(&mut self, channel: u8) -> Rtp {
        loop {
            let (from, bytes) = self.packet().await.expect("media before the end");
            if from == channel {
                return Rtp::parse(from, &bytes);
            }
        }
    }

    /// Sets up the given tracks over TCP and plays.
    pub async fn play(url: &str, tracks: &[usize]) -> Self {
        let mut client = Self::connect(url).await;
        for track in tracks {
            let uri = format!("{url}/trackID={track}");
            let transport =
                format!("Transport: RTP/AVP/TCP;unicast;interleaved={}-{}\r\n", 2 * track, 2 * track + 1);
            assert_eq!(client.ask("SETUP", &uri, &transport).await.status, 200);
        }
        assert_eq!(client.ask("PLAY", url, "Range: npt=0-\r\n").await.status, 200);
        client
    }

    /// Nothing comes for this long.
    pub async fn is_silent_for(&mut self, span: Duration) -> bool {
        let mut chunk = [0; 1024];
        timeout(span, self.socket.read(&mut chunk)).await.is_err()
    }

    /// A packet has begun whose end is missing.
    pub fn holds_part_of_a_packet(&self) -> bool {
        self.buffer.first() == Some(&b'$')
    }

    /// What comes next is neither a packet nor an answer.
    pub fn stuck_on_garbage(&mut self) -> bool {
        while self.take_packet() {}
        self.buffer.first().is_some_and(|byte| !b"$R".contains(byte))
    }

    pub async fn read_more(&mut self) {
        assert!(self.more().await, "bytes before the end");
    }
}
