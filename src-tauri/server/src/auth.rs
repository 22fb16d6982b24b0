//! Who may come in: the token, sessions made from it, and tickets for what cannot send headers.
//!
//! A session is the cookie of a browser: an expiry signed with a key made from the token, so that it
//! outlives a restart and dies with the token. A ticket opens one path for half a minute; it is signed
//! with a key of this run. Nothing is kept in memory for either. Wrong tokens are answered slowly per address, and
//! from some number on at once and the same way; the right one always opens, whoever else guesses behind its address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nightjar_engine::api::Timestamp;
use nightjar_engine::env::{Env, Secret};
use nightjar_signaling::relay::limits::network;
use ring::hmac;
use schemars::JsonSchema;
use serde::Serialize;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

/// How long a browser stays logged in; renewed while it is used.
const SESSION: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How long a ticket may be shown.
const TICKET: Duration = Duration::from_secs(30);
/// The same for recordings and exports: a player asks for their parts as long as it plays.
const FOOTAGE_TICKET: Duration = Duration::from_secs(4 * 3_600);
/// Below these.
const FOOTAGE: [&str; 2] = ["/api/v1/recordings/", "/api/v1/exports/"];
/// Wrong tokens from one address are answered this far apart …
const GUESS_PACE: Duration = Duration::from_millis(100);
/// … after so many that are answered at once.
const GUESS_BURST: Duration = Duration::from_millis(500);
/// From here on wrong ones are only told to be too many.
const GUESS_LIMIT: Duration = Duration::from_secs(5);
/// Addresses that are remembered; beyond it the one that has been quiet longest is forgotten.
const GUESSERS: usize = 1_024;
/// A token of fewer characters can be guessed if that may be tried often enough.
const GUESSED_BELOW: usize = 16;

/// The lock of the door.
pub(crate) struct Auth {
    token: Option<Secret<String>>,
    sessions: hmac::Key,
    tickets: hmac::Key,
    started: Instant,
    env: Env,
    guesses: Mutex<HashMap<IpAddr, Instant>>,
}

/// What a token turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    /// To be told at that time.
    Wrong(Instant),
    /// Wrong, as were too many others from that address.
    TooMany,
}

/// Leave to open one path for a short time, for what cannot send headers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Ticket {
    /// To be appended as `?ticket=`.
    pub ticket: String,
    /// Until then it may be shown; a connection made with it lives on.
    pub expires: Timestamp,
}

impl Auth {
    /// The token, for whoever keeps it out of something.
    pub(crate) fn token(&self) -> Option<Secret<String>> {
        self.token.clone()
    }

    pub(crate) fn new(token: Option<Secret<String>>, env: Env) -> Self {
        let text = token.as_ref().map_or("", |t| t.reveal().as_str());
        // One key for each purpose: a signature of one is worth nothing to another.
        let root = hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
        let sessions =
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, b"nightjar browser session 1").as_ref());
        let tickets = hmac::Key::new(hmac::HMAC_SHA256, &env.token::<32>());
        let guesses = Mutex::new(HashMap::new());
        Self { token, sessions, tickets, started: Instant::now(), env, guesses }
    }

    /// Whether anybody may come in.
    pub(crate) fn is_open(&self) -> bool {
        self.token.is_none()
    }

    /// Looks at a token. Everything is right where none is configured.
    pub(crate) fn judge(&self, presented: &str, from: IpAddr) -> Verdict {
        let Some(token) = &self.token else { return Verdict::Right };
        let right = token.reveal().as_bytes().ct_eq(presented.as_bytes()).into();
        // It opens whoever guesses beside it, as long as nobody guesses it at the pace of the network.
        if right && token.reveal().len() >= GUESSED_BELOW {
            return Verdict::Right;
        }
        let now = Instant::now();
        let from = network(from);
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        let busy_until = guesses.get(&from).copied().filter(|at| *at > now).unwrap_or(now);
        if busy_until - now > GUESS_LIMIT {
            return Verdict::TooMany;
        }
        if right {
            return Verdict::Right;
        }
        if guesses.len() >= GUESSERS
            && let Some(quiet) = guesses.iter().min_by_key(|(_, at)| **at).map(|(address, _)| *address)
        {
            guesses.remove(&quiet);
        }
        let busy_until = busy_until + GUESS_PACE;
        guesses.insert(from, busy_until);
        Verdict::Wrong((busy_until - GUESS_BURST.min(busy_until - now)).max(now))
    }

    /// A new session: its value and how many seconds it lives.
    pub(crate) fn session(&self) -> (String, u64) {
        let expires = seconds(self.env.wall()) + SESSION.as_secs();
        let nonce = URL_SAFE_NO_PAD.encode(self.env.token::<12>());
        let claim = format!("{expires}.{nonce}");
        let seal = URL_SAFE_NO_PAD.encode(hmac::sign(&self.sessions, claim.as_bytes()));
        (format!("{claim}.{seal}"), SESSION.as_secs())
    }

    /// Whether a session holds, and how much of its life is left.
    pub(crate) fn session_left(&self, value: &str) -> Option<Duration> {
        let (claim, seal) = value.rsplit_once('.')?;
        let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
        hmac::verify(&self.sessions, claim.as_bytes(), &seal).ok()?;
        let expires: u64 = claim.split('.').next()?.parse().ok()?;
        let left = expires.checked_sub(seconds(self.env.wall()))?;
        (left > 0).then(|| Duration::from_secs(left))
    }

    /// Whether a session with so much life left should be replaced.
    pub(crate) fn ages(left: Duration) -> bool {
        left < SESSION / 2
    }

    /// A ticket for a path and what lies below it.
    pub(crate) fn ticket(&self, path: &str) -> Ticket {
        let life = if FOOTAGE.iter().any(|root| path.starts_with(root)) { FOOTAGE_TICKET } else { TICKET };
        let until = self.started.elapsed() + life;
        let millis = until.as_millis();
        let seal = URL_SAFE_NO_PAD.encode(hmac::sign(&self.tickets, claim(path, millis).as_bytes()));
        Ticket { ticket: format!("{millis}.{seal}"), expires: (self.env.wall() + life).into() }
    }

    /// Whether a ticket opens a path.
    pub(crate) fn ticket_opens(&self, ticket: &str, path: &str) -> bool {
        let Some((millis, seal)) = ticket.split_once('.') else { return false };
        let (Ok(millis), Ok(seal)) = (millis.parse::<u128>(), URL_SAFE_NO_PAD.decode(seal)) else {
            return false;
        };
        if millis < self.started.elapsed().as_millis() {
            return false;
        }
        let above = path.match_indices('/').filter_map(|(at, _)| path.get(..at)).filter(|p| !p.is_empty());
        above.chain([path]).any(|p| hmac::verify(&self.tickets, claim(p, millis).as_bytes(), &seal).is_ok())
    }
}

fn claim(path: &str, millis: u128) -> String {
    format!("{millis} {path}")
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn auth(token: &str, clock: &Arc<AtomicU64>) -> Auth {
        let clock = Arc::clone(clock);
        let wall = move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed));
        Auth::new(Some(Secret::new(token.to_owned())), Env::fixed(wall, 1))
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_outlives_the_program_but_neither_its_time_nor_its_token() {
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let (session, _) = auth("secret", &clock).session();
        assert!(!session.contains("secret"));
        let restarted = auth("secret", &clock);
        assert!(restarted.session_left(&session).is_some());
        assert!(auth("other", &clock).session_left(&session).is_none());
        let later = session.replacen("1000000", "9000000", 1);
        assert!(restarted.session_left(&format!("9{later}")).is_none());
        for broken in ["", ".", "1.2.3", "9999999999..", "secret"] {
            assert!(restarted.session_left(broken).is_none(), "{broken}");
        }
        clock.fetch_add(SESSION.as_secs(), Ordering::Relaxed);
        assert!(restarted.session_left(&session).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_opens_its_path_for_half_a_minute() {
        let auth = auth("secret", &Arc::new(AtomicU64::new(0)));
        let ticket = auth.ticket("/api/v1/cameras/a").ticket;
        assert!(auth.ticket_opens(&ticket, "/api/v1/cameras/a"));
        assert!(auth.ticket_opens(&ticket, "/api/v1/cameras/a/live"));
        for path in ["/api/v1/cameras/ab", "/api/v1/cameras", "/api/v1/cameras/b/live", "/", ""] {
            assert!(!auth.ticket_opens(&ticket, path), "{path}");
        }
        for forged in ["", ".", "99999999.", "99999999.AAAA", &format!("9{ticket}"), &format!("{ticket}A")] {
            assert!(!auth.ticket_opens(forged, "/api/v1/cameras/a"), "{forged}");
        }
        let film = auth.ticket("/api/v1/recordings/1.mp4").ticket;
        tokio::time::advance(TICKET + Duration::from_millis(2)).await;
        assert!(!auth.ticket_opens(&ticket, "/api/v1/cameras/a"));
        assert!(auth.ticket_opens(&film, "/api/v1/recordings/1.mp4"), "a film plays longer");
        assert!(!auth.ticket_opens(&film, "/api/v1/recordings/2.mp4"));
        tokio::time::advance(FOOTAGE_TICKET).await;
        assert!(!auth.ticket_opens(&film, "/api/v1/recordings/1.mp4"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_token_opens_whoever_guesses_beside_it() {
        let auth = auth("sixteen-or-more!", &Arc::new(AtomicU64::new(0)));
        let from: IpAddr = "192.0.2.1".parse().unwrap();
        let wrong = (0..100).map(|_| auth.judge("guess", from)).last();
        assert_eq!(wrong, Some(Verdict::TooMany));
        assert_eq!(auth.judge("sixteen-or-more!", from), Verdict::Right);
    }

    #[tokio::test(start_paused = true)]
    async fn guessing_is_slow_and_hurts_nobody_else() {
        let auth = auth("secret", &Arc::new(AtomicU64::new(0)));
        let (guesser, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let now = Instant::now();
        let wrong = |n: u32| (0..n).map(|_| auth.judge("guess", guesser)).last();
        assert_eq!(wrong(5), Some(Verdict::Wrong(now)), "the first few cost nothing");
        assert_eq!(wrong(5), Some(Verdict::Wrong(now + Duration::from_millis(500))));
        assert_eq!(auth.judge("secret", guesser), Verdict::Right);
        assert_eq!(wrong(100), Some(Verdict::TooMany));
        // So short a token might be guessed by now; from elsewhere it opens.
        assert_eq!(auth.judge("secret", guesser), Verdict::TooMany);
        assert_eq!(auth.judge("secret", other), Verdict::Right);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(wrong(1), Some(Verdict::Wrong(_))), "it is looked at again");
        for n in 0..3_000_u32 {
            auth.judge("guess", IpAddr::from(n.to_be_bytes()));
        }
        assert!(auth.guesses.lock().unwrap().len() <= GUESSERS);
    }
}
