//! The exact texts that are signed and hashed when a phone and a relay prove who they are.
//!
//! Each text begins with its purpose, so that a signature made for one is worth nothing for another, and its
//! parts are joined by line feeds, which no part may hold.

/// What a phone signs at `auth`.
#[must_use]
pub fn auth(nonce: &str, nonce_c: &str, relay_id: &str, device_id: &str, host: &str) -> String {
    lines(&["camrelay-v1-auth", nonce, nonce_c, relay_id, device_id, host])
}

/// What the relay signs at `hello`.
#[must_use]
pub fn hello(relay_id: &str, nonce: &str, nonce_c: &str) -> String {
    lines(&["camrelay-v1-hello", relay_id, nonce, nonce_c])
}

/// What the six digits of a pairing are made of.
#[must_use]
pub fn pair(relay_id: &str, spki: &str, nonce: &str, nonce_c: &str) -> String {
    lines(&["camrelay-v1-pair", relay_id, spki, nonce, nonce_c])
}

/// The six digits, from the SHA-256 of [`pair`]'s text.
#[must_use]
pub fn digits(hash: &[u8; 32]) -> String {
    let [a, b, c, d, ..] = *hash;
    format!("{:06}", u32::from_be_bytes([a, b, c, d]) % 1_000_000)
}

/// Whether a text may stand in a proof as a nonce: 16 to 48 bytes in base64url.
#[must_use]
pub fn is_nonce(text: &str) -> bool {
    (22..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn lines(parts: &[&str]) -> String {
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_the_same_text_on_both_ends() {
        assert_eq!(auth("n", "c", "r", "d", "h:1"), "camrelay-v1-auth\nn\nc\nr\nd\nh:1");
        assert_eq!(hello("r", "n", "c"), "camrelay-v1-hello\nr\nn\nc");
        assert_eq!(pair("r", "s", "n", "c"), "camrelay-v1-pair\nr\ns\nn\nc");
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&1_234_567_u32.to_be_bytes());
        assert_eq!(digits(&hash), "234567");
        assert_eq!(digits(&[0; 32]), "000000");
    }

    #[test]
    fn a_nonce_cannot_bring_a_line_of_its_own() {
        assert!(is_nonce("AAAAAAAAAAAAAAAAAAAAAA"));
        for bad in ["", "short", "AAAAAAAAAAAAAAAAAAAAA\n", "AAAAAAAAAAAAAAAAAAAAAAAA=", &"A".repeat(65)] {
            assert!(!is_nonce(bad), "{bad}");
        }
    }
}
