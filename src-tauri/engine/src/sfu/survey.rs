//! How far the STUN and TURN servers are: a binding request to each, now and then (RFC 8489). A TURN server
//! answers it like any other, without credentials. It changes nothing; it is for whoever looks for a cause.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::IceServer;
use crate::env::Env;

/// Between two looks at all of them.
const PACE: Duration = Duration::from_secs(60);
/// A request that was not answered is repeated after this long, so often.
const WAIT: Duration = Duration::from_millis(600);
const TRIES: usize = 3;
/// Servers that are looked at; further ones are not.
const MOST: usize = 8;
const BINDING_REQUEST: [u8; 2] = [0, 1];
const BINDING_SUCCESS: [u8; 2] = [1, 1];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// What was found of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceServerReading {
    /// As it was configured.
    pub url: String,
    /// `None` where it does not answer.
    pub round_trip: Option<Duration>,
}

/// The newest readings.
#[derive(Debug, Default)]
pub(super) struct Survey(Mutex<Vec<IceServerReading>>);

impl Survey {
    pub(super) fn readings(&self) -> Vec<IceServerReading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at all of them until it is dropped.
    pub(super) async fn run(self: Arc<Self>, servers: Vec<IceServer>, env: Env) {
        let urls = servers.into_iter().flat_map(|server| server.urls);
        let known: Vec<(String, String)> =
            urls.filter_map(|url| Some((url.clone(), place(&url)?))).take(MOST).collect();
        if known.is_empty() {
            return;
        }
        loop {
            let mut found = Vec::new();
            for (url, place) in &known {
                let round_trip = measure(place, &env).await;
                match round_trip {
                    Some(time) => debug!(server = url, ms = time.as_millis() as u64, "ICE server answers"),
                    None => warn!(server = url, "ICE server does not answer: phones may not get through"),
                }
                found.push(IceServerReading { url: url.clone(), round_trip });
            }
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = found;
            tokio::time::sleep(PACE).await;
        }
    }
}

/// `host:port` of a server that is reached by UDP.
fn place(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once(':')?;
    let (host, query) = rest.split_once('?').map_or((rest, ""), |(host, query)| (host, query));
    if !matches!(scheme, "stun" | "turn") || query.contains("transport=tcp") || host.is_empty() {
        return None;
    }
    // An address of IPv6 stands in brackets; its last colon is not the port's.
    let port = host.rsplit_once(':').is_some_and(|(before, port)| {
        port.parse::<u16>().is_ok() && (!before.contains(':') || before.ends_with(']'))
    });
    Some(if port { host.to_owned() } else { format!("{host}:3478") })
}

async fn measure(place: &str, env: &Env) -> Option<Duration> {
    let server = timeout(WAIT, tokio::net::lookup_host(place)).await.ok()?.ok()?.next()?;
    let any = if server.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(server).await.ok()?;
    for _ in 0..TRIES {
        let id: [u8; 12] = env.token();
        let mut request = [0; 20];
        request[..2].copy_from_slice(&BINDING_REQUEST);
        request[4..8].copy_from_slice(&COOKIE);
        request[8..].copy_from_slice(&id);
        let asked = Instant::now();
        socket.send(&request).await.ok()?;
        let answered = async {
            let mut answer = [0; 1_500];
            loop {
                let length = socket.recv(&mut answer).await.ok()?;
                let ours = length >= 20 && answer[..2] == BINDING_SUCCESS && answer[8..20] == id;
                if ours {
                    return Some(asked.elapsed());
                }
            }
        };
        if let Ok(Some(time)) = timeout(WAIT, answered).await {
            return Some(time);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_udp_reaches_are_looked_at() {
        for (url, expected) in [
            ("stun:stun.example", Some("stun.example:3478")),
            ("turn:10.0.0.1:3479?transport=udp", Some("10.0.0.1:3479")),
            ("turn:[2001:db8::1]:5000", Some("[2001:db8::1]:5000")),
            ("turn:[2001:db8::1]", Some("[2001:db8::1]:3478")),
            ("turn:t.example?transport=tcp", None),
            ("turns:t.example:5349", None),
            ("rubbish", None),
            ("stun:", None),
        ] {
            assert_eq!(place(url).as_deref(), expected, "{url}");
        }
    }

    #[tokio::test]
    async fn r_s8_the_way_to_a_server_is_measured_and_who_does_not_answer_is_told() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = server.local_addr().unwrap();
        tokio::spawn(async move {
            let mut bytes = [0; 100];
            // The first is lost, the second gets somebody else's answer first.
            for round in 0.. {
                let (length, from) = server.recv_from(&mut bytes).await.unwrap();
                let mut answer = bytes[..length].to_vec();
                answer[0] = 1;
                if round == 1 {
                    let mut foreign = answer.clone();
                    foreign[19] ^= 1;
                    server.send_to(&foreign, from).await.unwrap();
                    server.send_to(&answer, from).await.unwrap();
                }
            }
        });
        let found = measure(&at.to_string(), &Env::system()).await.expect("it answers");
        assert!(found < WAIT, "{found:?}");
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        assert_eq!(measure(&silent.local_addr().unwrap().to_string(), &Env::system()).await, None);
    }
}
