//! Credentials for a TURN server that shares a secret with us (draft-uberti-behave-turn-rest): good for minutes,
//! and known to nobody but who was let in.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::message::{Hidden, IceServer};

/// How long a credential is good.
pub const LIFE: Duration = Duration::from_secs(600);

/// A TURN server as `coturn` is set up with `use-auth-secret`.
#[derive(Clone, Debug)]
pub struct Turn {
    pub urls: Vec<String>,
    pub secret: Hidden,
}

impl Turn {
    /// What a peer may use it with, for [`LIFE`].
    #[must_use]
    pub fn credential(&self, peer_id: &str, wall: SystemTime) -> IceServer {
        let until = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + LIFE;
        let username = format!("{}:{peer_id}", until.as_secs());
        // SHA-1 is what TURN servers know; as a MAC it still holds.
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.secret.0.as_bytes());
        let credential = STANDARD.encode(hmac::sign(&key, username.as_bytes()));
        IceServer { urls: self.urls.clone(), username: Some(username), credential: Some(Hidden(credential)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_the_one_that_coturn_computes() {
        let turn = Turn { urls: vec!["turn:turn.example".into()], secret: Hidden("north".into()) };
        let given = turn.credential("p1", SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
        assert_eq!(given.username.as_deref(), Some("1600:p1"));
        // printf 1600:p1 | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(given.credential.unwrap().0, "ty+NylS6SxHQ/3lUaonryCc+19E=");
        assert!(!format!("{turn:?}").contains("north"));
    }
}
