//! Secrets at rest, sealed by a key that lies elsewhere: in the system's keychain.
//!
//! Invariant: what is opened is what was sealed, to the byte, or an error (AES-256-GCM). It knows neither
//! where the key comes from nor what the text is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

/// The first line of a sealed file.
const HEAD: &str = "nightjar sealed 1\n";

/// A key. Its `Debug` tells nothing.
pub struct SealKey(LessSafeKey);

/// A sealed text cannot be opened.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SealError {
    /// There is no key: the keychain is locked, or is not there any more.
    #[error(
        "it is sealed, and the system's keychain does not give its key; unlock the keychain and start again"
    )]
    Locked,
    /// Another key, or other bytes.
    #[error("it is damaged, or was sealed with another key")]
    Damaged,
}

impl SealKey {
    /// Bytes of a key.
    pub const LENGTH: usize = 32;

    /// A key of these bytes, which must be random.
    #[must_use]
    pub fn new(bytes: &[u8; Self::LENGTH]) -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("32 bytes are a key")))
    }

    /// The text, sealed. Two of the same text differ.
    pub(crate) fn seal(&self, text: &str) -> String {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).expect("the system has randomness");
        let mut bytes = text.as_bytes().to_vec();
        let aad = Aad::from(HEAD.as_bytes());
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut bytes)
            .expect("a file is shorter than what the cipher takes");
        format!("{HEAD}{}\n", STANDARD.encode([&nonce[..], &bytes].concat()))
    }

    fn open(&self, text: &str) -> Option<String> {
        let mut bytes = STANDARD.decode(text.trim()).ok()?;
        let nonce = Nonce::try_assume_unique_for_key(bytes.get(..NONCE_LEN)?).ok()?;
        let opened = self.0.open_within(nonce, Aad::from(HEAD.as_bytes()), &mut bytes, NONCE_LEN..).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Whether a text is a sealed one.
pub(crate) fn is_sealed(text: &str) -> bool {
    text.starts_with(HEAD)
}

/// What was sealed; a text that never was is given back as it is.
pub(crate) fn open(key: Option<&SealKey>, text: String) -> Result<String, SealError> {
    let Some(sealed) = text.strip_prefix(HEAD) else { return Ok(text) };
    key.ok_or(SealError::Locked)?.open(sealed).ok_or(SealError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_with_its_key_alone_and_only_whole() {
        let key = SealKey::new(&[7; 32]);
        let sealed = key.seal("hush");
        assert!(is_sealed(&sealed) && !sealed.contains("hush"));
        assert_ne!(sealed, key.seal("hush"));
        assert_eq!(open(Some(&key), sealed.clone()).as_deref(), Ok("hush"));
        assert_eq!(open(None, sealed.clone()), Err(SealError::Locked));
        assert_eq!(open(Some(&SealKey::new(&[8; 32])), sealed.clone()), Err(SealError::Damaged));
        for cut in [HEAD.len(), HEAD.len() + 8, sealed.len() - 5] {
            assert_eq!(open(Some(&key), sealed[..cut].to_owned()), Err(SealError::Damaged));
        }
        assert_eq!(open(None, "{}".to_owned()).as_deref(), Ok("{}"));
    }
}
