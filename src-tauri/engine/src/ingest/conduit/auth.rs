//! Answers to a camera's demand for a password, Basic or Digest.
//!
//! Holds the newest challenge and answers every later request with it, so that one refusal per
//! connection is all that authentication costs. Never answers Basic where that would tell the password to
//! somebody else than the camera it belongs to.

use http_auth::{PasswordClient, PasswordParams};

use crate::env::Secret;

/// Longest challenge that is looked at.
const MAX_CHALLENGE: usize = 2 << 10;

/// User name and password of one camera.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: Secret<String>,
}

/// Why a challenge was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// No user name or password is configured.
    NoCredentials,
    /// They were sent and refused.
    Refused,
    /// The camera asks for something that is not supported, or for Basic where that is unsafe.
    Unsupported,
}

/// The state of authentication on one connection.
#[derive(Debug)]
pub(super) struct Authenticator {
    credentials: Option<Credentials>,
    client: Option<PasswordClient>,
    allow_basic: bool,
}

impl Authenticator {
    pub(super) fn new(credentials: Option<Credentials>, allow_basic: bool) -> Self {
        Self { credentials, client: None, allow_basic }
    }

    /// The same credentials for another connection.
    pub(super) fn moved(&self, allow_basic: bool) -> Self {
        Self::new(self.credentials.clone(), allow_basic)
    }

    /// The value of the `Authorization` header of a request, once the camera asked for one.
    pub(super) fn answer(&mut self, method: &str, uri: &str) -> Option<String> {
        let credentials = self.credentials.as_ref()?;
        let params = PasswordParams {
            username: &credentials.username,
            password: credentials.password.reveal(),
            uri,
            method,
            body: Some(&[]),
        };
        self.client.as_mut()?.respond(&params).ok()
    }

    /// Takes the challenges of a 401. `answered` tells whether the refused request carried an answer.
    ///
    /// Ok means that the request is worth sending once more.
    pub(super) fn challenge<'a>(
        &mut self,
        challenges: impl Iterator<Item = &'a [u8]>,
        answered: bool,
        stale_retry_left: bool,
    ) -> Result<(), Unanswered> {
        if self.credentials.is_none() {
            return Err(Unanswered::NoCredentials);
        }
        let mut builder = PasswordClient::builder();
        for challenge in challenges.filter(|c| c.len() <= MAX_CHALLENGE) {
            if let Ok(text) = std::str::from_utf8(challenge) {
                builder = builder.challenges(text);
            }
        }
        let client = builder.build().map_err(|_| Unanswered::Unsupported)?;
        let stale = match &client {
            PasswordClient::Digest(digest) => digest.stale(),
            PasswordClient::Basic(_) if !self.allow_basic => return Err(Unanswered::Unsupported),
            _ => false,
        };
        if answered && !(stale && stale_retry_left) {
            return Err(Unanswered::Refused);
        }
        self.client = Some(client);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &[u8] = br#"Digest realm="cam", nonce="abc""#;
    const STALE: &[u8] = br#"Digest realm="cam", nonce="def", stale=true"#;
    const BASIC: &[u8] = br#"Basic realm="cam""#;

    fn authenticator(allow_basic: bool) -> Authenticator {
        let credentials =
            Credentials { username: "admin".into(), password: Secret::new("hunter2".to_owned()) };
        Authenticator::new(Some(credentials), allow_basic)
    }

    #[test]
    fn digest_is_preferred_and_then_sent_unasked() {
        let mut auth = authenticator(true);
        assert_eq!(auth.answer("DESCRIBE", "rtsp://c/"), None);
        assert_eq!(auth.challenge([BASIC, DIGEST].into_iter(), false, true), Ok(()));
        let answer = auth.answer("DESCRIBE", "rtsp://c/").unwrap();
        assert!(answer.starts_with("Digest ") && !answer.contains("hunter2"), "{answer}");
        assert!(auth.answer("PLAY", "rtsp://c/").is_some());
    }

    #[test]
    fn a_wrong_password_is_tried_once_and_a_stale_nonce_twice() {
        let mut auth = authenticator(true);
        auth.challenge([DIGEST].into_iter(), false, true).unwrap();
        assert_eq!(auth.challenge([DIGEST].into_iter(), true, true), Err(Unanswered::Refused));
        assert_eq!(auth.challenge([STALE].into_iter(), true, true), Ok(()));
        assert_eq!(auth.challenge([STALE].into_iter(), true, false), Err(Unanswered::Refused));
    }

    #[test]
    fn basic_stays_at_home() {
        let mut auth = authenticator(false);
        assert_eq!(auth.challenge([BASIC].into_iter(), false, true), Err(Unanswered::Unsupported));
        let mut auth = authenticator(true);
        assert_eq!(auth.challenge([BASIC].into_iter(), false, true), Ok(()));
        assert_eq!(auth.answer("DESCRIBE", "*").as_deref(), Some("Basic YWRtaW46aHVudGVyMg=="));
        assert_eq!(
            authenticator(true).challenge([&b"Bearer x"[..]].into_iter(), false, true),
            Err(Unanswered::Unsupported)
        );
    }
}
