//! RTSP/1.0 messages and interleaved data as they stand in a byte stream.
//!
//! A parser over borrowed bytes, bounded in every size, forgiving where old cameras are careless (bare
//! line feeds, stray blank lines, header lines without a colon) and final where the stream cannot be
//! RTSP at all. It edits bytes, never lossy text, and knows nothing of sessions.

/// Longest head of a message, request line to blank line.
const MAX_HEAD: usize = 16 << 10;
/// Longest body. A session description of a few hundred bytes is usual.
const MAX_BODY: usize = 256 << 10;
/// Header lines of one message; more are an attack or garbage.
const MAX_HEADERS: usize = 64;
/// Longest method name of any version of RTSP, with room.
const MAX_METHOD: usize = 24;

/// The stream is not RTSP, or breaks a bound. It cannot be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not RTSP: {0}")]
pub struct Malformed(pub &'static str);

/// What stands at the start of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Bytes that carry nothing between messages.
    Blank(usize),
    /// One interleaved packet: its channel and its length in the stream, the four bytes of its header
    /// included.
    Data { channel: u8, len: usize },
    /// A request or response and its length in the stream.
    Message { message: Message<'a>, len: usize },
}

/// A request or response.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The first line, taken apart.
    pub start: Start<'a>,
    headers: Vec<(&'a [u8], &'a [u8])>,
    /// What followed the head.
    pub body: &'a [u8],
}

/// The first line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// A request's method and URI.
    Request { method: &'a [u8], uri: &'a [u8] },
    /// A response's status code.
    Response { status: u16 },
}

impl<'a> Message<'a> {
    /// The value of the first header of that name, compared without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// The values of all headers of that name.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a [u8]> + 's {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| *value)
    }

    /// Names and values in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + '_ {
        self.headers.iter().copied()
    }

    /// The sequence number, where there is one that is a number.
    #[must_use]
    pub fn cseq(&self) -> Option<u32> {
        number(self.header("CSeq")?)
    }
}

/// Reads what stands at the start of `input`, or `None` where more bytes are needed.
///
/// # Errors
/// [`Malformed`] where no continuation could make it RTSP.
pub fn next(input: &[u8]) -> Result<Option<Piece<'_>>, Malformed> {
    match input {
        [] => Ok(None),
        [b'$', rest @ ..] => match rest {
            [channel, high, low, ..] => {
                let len = 4 + usize::from(u16::from_be_bytes([*high, *low]));
                Ok((input.len() >= len).then_some(Piece::Data { channel: *channel, len }))
            }
            _ => Ok(None),
        },
        [b'\r' | b'\n' | 0, ..] => {
            let blank = input.iter().take_while(|b| matches!(b, b'\r' | b'\n' | 0)).count();
            Ok(Some(Piece::Blank(blank)))
        }
        _ => message(input),
    }
}

fn message(input: &[u8]) -> Result<Option<Piece<'_>>, Malformed> {
    plausible(input)?;
    let mut lines = Lines { input, at: 0 };
    let Some(first) = lines.next() else { return lines.unfinished() };
    let start = start(first)?;
    let mut headers = Vec::new();
    loop {
        let Some(line) = lines.next() else { return lines.unfinished() };
        if lines.at > MAX_HEAD {
            return Err(Malformed("the head of a message is too long"));
        }
        if line.is_empty() {
            break;
        }
        // A folded line or one without a colon says nothing that is needed here.
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let name = line[..colon].trim_ascii();
        if line[0].is_ascii_whitespace() || name.is_empty() {
            continue;
        }
        if headers.len() == MAX_HEADERS {
            return Err(Malformed("a message has too many headers"));
        }
        headers.push((name, line[colon + 1..].trim_ascii()));
    }
    let mut message = Message { start, headers, body: &[] };
    let body = match message.header("Content-Length") {
        None => 0,
        Some(value) => number(value).ok_or(Malformed("a message's length is not a number"))? as usize,
    };
    if body > MAX_BODY {
        return Err(Malformed("a message is too long"));
    }
    let len = lines.at + body;
    if input.len() < len {
        return Ok(None);
    }
    message.body = &input[lines.at..len];
    Ok(Some(Piece::Message { message, len }))
}

/// Rejects as soon as the first bytes cannot begin a message, so that garbage is not waited out.
fn plausible(input: &[u8]) -> Result<(), Malformed> {
    const RESPONSE: &[u8] = b"RTSP/";
    let head = &input[..input.len().min(RESPONSE.len())];
    if RESPONSE.starts_with(head) {
        return Ok(());
    }
    let method = input.iter().take(MAX_METHOD + 1).take_while(|b| b.is_ascii_uppercase() || **b == b'_');
    let method = method.count();
    match input.get(method) {
        None => Ok(()),
        Some(b' ') if (1..=MAX_METHOD).contains(&method) => Ok(()),
        Some(_) => Err(Malformed("neither a message nor a packet")),
    }
}

fn start(line: &[u8]) -> Result<Start<'_>, Malformed> {
    let mut words = line.split(|b| *b == b' ').filter(|word| !word.is_empty());
    let (Some(first), Some(second)) = (words.next(), words.next()) else {
        return Err(Malformed("an unfinished first line"));
    };
    if first.starts_with(b"RTSP/") {
        let status = number(second).and_then(|s| u16::try_from(s).ok()).filter(|s| (100..1000).contains(s));
        return Ok(Start::Response { status: status.ok_or(Malformed("a response without a status"))? });
    }
    match words.next() {
        Some(version) if version.starts_with(b"RTSP/") => Ok(Start::Request { method: first, uri: second }),
        _ => Err(Malformed("a request of another protocol")),
    }
}

struct Lines<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line without its end, which may be CR LF or LF.
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = &self.input[self.at..];
        let end = memchr::memchr(b'\n', &rest[..rest.len().min(MAX_HEAD + 1)])?;
        self.at += end + 1;
        let line = &rest[..end];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn unfinished<T>(&self) -> Result<Option<T>, Malformed> {
        if self.input.len() > MAX_HEAD {
            return Err(Malformed("the head of a message is too long"));
        }
        Ok(None)
    }
}

/// A decimal number of at most nine digits, nothing around it.
#[must_use]
pub fn number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 9 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |n, digit| n * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(input: &[u8]) -> (Message<'_>, usize) {
        match next(input) {
            Ok(Some(Piece::Message { message, len })) => (message, len),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_response_is_taken_apart_and_its_body_kept() {
        let input =
            b"RTSP/1.0 200 OK\r\nCSeq: 3\r\nContent-length:  4\r\nSession: a;timeout=60\r\n\r\nv=0\n$\0\0\0";
        let (message, len) = one(input);
        assert_eq!(message.start, Start::Response { status: 200 });
        assert_eq!(message.cseq(), Some(3));
        assert_eq!(message.header("SESSION"), Some(&b"a;timeout=60"[..]));
        assert_eq!(message.body, b"v=0\n");
        assert_eq!(next(&input[len..]), Ok(Some(Piece::Data { channel: 0, len: 4 })));
    }

    #[test]
    fn careless_cameras_are_forgiven() {
        let (message, _) = one(
            b"RTSP/1.0  401\nWWW-Authenticate: Basic\nnonsense\n folded: x\nwww-authenticate: Digest\n\n",
        );
        assert_eq!(message.start, Start::Response { status: 401 });
        assert_eq!(message.all("WWW-Authenticate").collect::<Vec<_>>(), [&b"Basic"[..], b"Digest"]);
        assert_eq!(next(b"\r\n\0$"), Ok(Some(Piece::Blank(3))));
    }

    #[test]
    fn what_cannot_be_rtsp_is_refused_at_once() {
        for garbage in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\xff\xd8\xff",
            b"get / HTTP",
            b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(next(garbage).is_err(), "{garbage:?}");
        }
        assert!(next(b"GET / HTTP/1.1\r\n\r\n").is_err());
        assert!(next(b"RTSP/1.0 20 OK\r\n\r\n").is_err());
        assert!(next(b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n").is_err());
        assert!(next(b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n").is_err());
        let mut long = b"RTSP/1.0 200 OK\r\nX: ".to_vec();
        long.resize(MAX_HEAD + 100, b'x');
        assert!(next(&long).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer_within_them(input in proptest::collection::vec(any::<u8>(), 0..600)) {
            match next(&input) {
                Ok(Some(Piece::Blank(len) | Piece::Data { len, .. } | Piece::Message { len, .. })) => {
                    prop_assert!(len > 0 && len <= input.len());
                }
                Ok(None) | Err(_) => {}
            }
        }

        #[test]
        fn a_message_cut_anywhere_asks_for_more(cut in 0usize..70) {
            let whole = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 10\r\n\r\n0123456789";
            let cut = cut.min(whole.len() - 1);
            prop_assert_eq!(next(&whole[..cut]), Ok(None));
        }
    }
}
