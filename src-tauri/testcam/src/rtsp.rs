//! RTSP messages: reading requests off the wire, writing answers.
//!
//! Everything read is foreign: sizes are bounded, odd bytes become an error, nothing panics.

/// Longest request head, and longest body, in bytes.
const MAX_HEAD: usize = 16 << 10;
const MAX_BODY: usize = 64 << 10;

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Request(Head),
    /// An interleaved packet of the client (a receiver report), which channel.
    Interleaved(u8),
}

/// A request without its body.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// The bytes are not RTSP; the connection cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Takes the first whole message off the buffer; `Ok(None)` wants more bytes.
pub(crate) fn parse(buffer: &mut Vec<u8>) -> Result<Option<Message>, Malformed> {
    // Empty lines between messages are allowed.
    let blank = buffer.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    buffer.drain(..blank);
    if buffer.first() == Some(&b'$') {
        let &[_, channel, high, low, ..] = &buffer[..] else {
            return Ok(None);
        };
        let whole = 4 + usize::from(u16::from_be_bytes([high, low]));
        if buffer.len() < whole {
            return Ok(None);
        }
        buffer.drain(..whole);
        return Ok(Some(Message::Interleaved(channel)));
    }
    let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else {
        return if buffer.len() > MAX_HEAD { Err(Malformed) } else { Ok(None) };
    };
    let head = head(&buffer[..end]).filter(|_| end <= MAX_HEAD).ok_or(Malformed)?;
    let body = match head.header("Content-Length") {
        Some(text) => text.trim().parse().ok().filter(|n| *n <= MAX_BODY).ok_or(Malformed)?,
        None => 0,
    };
    if buffer.len() < end + 4 + body {
        return Ok(None);
    }
    buffer.drain(..end + 4 + body);
    Ok(Some(Message::Request(head)))
}

fn head(bytes: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, uri, version) = (first.next()?, first.next()?, first.next()?);
    let plain = |c: char| c.is_ascii_uppercase() || c == '_';
    if !version.starts_with("RTSP/1.") || method.is_empty() || !method.chars().all(plain) {
        return None;
    }
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().to_owned(), value.trim().to_owned()))
    });
    Some(Head { method: method.to_owned(), uri: uri.to_owned(), headers: headers.collect::<Option<_>>()? })
}

/// The words that go with a status.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        454 => "Session Not Found",
        455 => "Method Not Valid in This State",
        459 => "Aggregate Operation Not Allowed",
        461 => "Unsupported Transport",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

/// An answer in the making.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn bytes(&self, cseq: Option<&str>) -> Vec<u8> {
        let mut out = format!("RTSP/1.0 {} {}\r\n", self.status, reason(self.status));
        if let Some(cseq) = cseq {
            out.push_str(&format!("CSeq: {cseq}\r\n"));
        }
        out.push_str("Server: nightjar-testcam\r\n");
        for (name, value) in &self.headers {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            out.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        out.push_str("\r\n");
        out.push_str(&self.body);
        out.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_off_one_by_one_whatever_the_cuts() {
        let wire = b"\r\nOPTIONS rtsp://h/ RTSP/1.0\r\nCSeq: 1\r\n\r\n$\x01\0\x03abcSET_PARAMETER * RTSP/1.0\r\nContent-Length: 2\r\n\r\nhiX";
        for cut in 0..wire.len() {
            let mut seen = Vec::new();
            let mut buffer = Vec::new();
            for part in [&wire[..cut], &wire[cut..]] {
                buffer.extend_from_slice(part);
                while let Some(message) = parse(&mut buffer).unwrap() {
                    seen.push(message);
                }
            }
            assert_eq!(buffer, b"X");
            assert_eq!(seen.len(), 3, "cut at {cut}");
            assert_eq!(seen[1], Message::Interleaved(1));
            let Message::Request(head) = &seen[0] else { panic!() };
            assert_eq!((head.method.as_str(), head.header("cseq")), ("OPTIONS", Some("1")));
        }
    }

    #[test]
    fn what_is_not_rtsp_is_refused_and_bounded() {
        for bad in [
            "GET / HTTP/1.1\r\n\r\n",
            "\0\0\0\r\n\r\n",
            "PLAY\r\n\r\n",
            "PLAY x RTSP/1.0\r\nno colon\r\n\r\n",
            "PLAY x RTSP/1.0\r\nContent-Length: 99999999\r\n\r\n",
            "PLAY x RTSP/1.0\r\nContent-Length: -1\r\n\r\n",
        ] {
            assert_eq!(parse(&mut bad.as_bytes().to_vec()), Err(Malformed), "{bad:?}");
        }
        assert_eq!(parse(&mut vec![b'x'; MAX_HEAD + 1]), Err(Malformed));
    }
}
