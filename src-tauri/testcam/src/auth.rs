//! Basic and Digest authentication, the camera's side (RFC 7617, RFC 7616 with MD5).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};
use tokio::time::Instant;

use crate::options::Quirks;

/// The credentials a camera asks for, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct Auth {
    scheme: Scheme,
    user: String,
    password: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Basic,
    Digest,
    Both,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth(…)")
    }
}

const REALM: &str = "nightjar-testcam";

/// What is to be done with a request.
pub(crate) enum Verdict {
    Welcome,
    /// Answer 401 with these `WWW-Authenticate` values.
    Challenge(Vec<String>),
}

impl Auth {
    /// Basic only.
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { scheme: Scheme::Basic, user: user.into(), password: password.into() }
    }
    /// Digest only (MD5, `qop=auth`).
    pub fn digest(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { scheme: Scheme::Digest, user: user.into(), password: password.into() }
    }
    /// Both are offered, Digest first.
    pub fn any(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { scheme: Scheme::Both, user: user.into(), password: password.into() }
    }
}

/// The camera's memory of the nonce it handed out.
pub(crate) struct Gate {
    auth: Option<Auth>,
    nonce: String,
    made: Instant,
}

impl Gate {
    pub(crate) fn new(auth: Option<Auth>) -> Self {
        Self { auth, nonce: fresh(), made: Instant::now() }
    }

    /// Judges a request by its `Authorization` header; `refuse_all` lets nobody in.
    pub(crate) fn check(
        &mut self,
        method: &str,
        header: Option<&str>,
        quirks: &Quirks,
        refuse_all: bool,
    ) -> Verdict {
        let known = match (&self.auth, refuse_all) {
            (None, false) => return Verdict::Welcome,
            (None, true) => return Verdict::Challenge(vec![self.digest_challenge(false)]),
            (Some(auth), _) => auth.clone(),
        };
        let mut stale = false;
        if let Some(header) = header.filter(|_| !refuse_all) {
            let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header, ""));
            if scheme.eq_ignore_ascii_case("basic") && known.scheme != Scheme::Digest {
                let text = STANDARD.decode(rest.trim()).unwrap_or_default();
                if text == format!("{}:{}", known.user, known.password).as_bytes() {
                    return Verdict::Welcome;
                }
            }
            if scheme.eq_ignore_ascii_case("digest") && known.scheme != Scheme::Basic {
                let fields = fields(rest);
                let age = self.made.elapsed();
                let old = !quirks.nonce_lifetime.is_zero() && age > quirks.nonce_lifetime;
                let right = |nonce: &str| digest_fits(&known, method, &fields, nonce);
                let nonce = field(&fields, "nonce");
                if right(nonce) {
                    if nonce == self.nonce && !old {
                        return Verdict::Welcome;
                    }
                    stale = true;
                }
                if old {
                    (self.nonce, self.made) = (fresh(), Instant::now());
                }
            }
        }
        let mut challenges = Vec::new();
        if known.scheme != Scheme::Basic {
            challenges.push(self.digest_challenge(stale));
        }
        if known.scheme != Scheme::Digest {
            challenges.push(format!("Basic realm=\"{REALM}\""));
        }
        Verdict::Challenge(challenges)
    }

    fn digest_challenge(&self, stale: bool) -> String {
        let stale = if stale { ", stale=true" } else { "" };
        format!("Digest realm=\"{REALM}\", nonce=\"{}\", algorithm=MD5, qop=\"auth\"{stale}", self.nonce)
    }
}

fn fresh() -> String {
    format!("{:032x}", crate::chance::random::<u128>())
}

fn digest_fits(auth: &Auth, method: &str, fields: &[(String, String)], nonce: &str) -> bool {
    if field(fields, "username") != auth.user || field(fields, "realm") != REALM {
        return false;
    }
    let ha1 = md5(&format!("{}:{REALM}:{}", auth.user, auth.password));
    let ha2 = md5(&format!("{method}:{}", field(fields, "uri")));
    let expected = match field(fields, "qop") {
        "auth" => {
            md5(&format!("{ha1}:{nonce}:{}:{}:auth:{ha2}", field(fields, "nc"), field(fields, "cnonce")))
        }
        // Clients of RFC 2069 leave qop out; cameras accept them.
        "" => md5(&format!("{ha1}:{nonce}:{ha2}")),
        _ => return false,
    };
    field(fields, "response").eq_ignore_ascii_case(&expected)
}

fn md5(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

/// Splits `a="b, c", d=e` into its pairs; keys in lower case.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim_matches([' ', ',', '\t']).to_ascii_lowercase();
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        out.push((key, value.trim().to_owned()));
        rest = next;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_fields_with_commas_and_without_quotes_are_read() {
        let seen = fields(r#"username="a, b", nc=00000001,qop=auth, uri="rtsp://h/x=1""#);
        assert_eq!(field(&seen, "username"), "a, b");
        assert_eq!(field(&seen, "nc"), "00000001");
        assert_eq!(field(&seen, "qop"), "auth");
        assert_eq!(field(&seen, "uri"), "rtsp://h/x=1");
        for odd in ["", "=", "a=\"", ",,,", "a", "a=\"b"] {
            fields(odd);
        }
    }

    #[test]
    fn the_example_of_rfc_2069_style_digest_fits() {
        let auth = Auth::digest("u", "p");
        let ha1 = md5(&format!("u:{REALM}:p"));
        let ha2 = md5("DESCRIBE:rtsp://h/");
        let response = md5(&format!("{ha1}:n:{ha2}"));
        let header = format!(r#"username="u", realm="{REALM}", uri="rtsp://h/", response="{response}""#);
        assert!(digest_fits(&auth, "DESCRIBE", &fields(&header), "n"));
        assert!(!digest_fits(&auth, "PLAY", &fields(&header), "n"));
        assert!(!digest_fits(&Auth::digest("u", "q"), "DESCRIBE", &fields(&header), "n"));
    }
}
