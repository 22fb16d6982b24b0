//! Trust in a key that was scanned instead of in certificate authorities.
//!
//! A certificate is public: who shows it has proved nothing. So the hash of its key is compared, and the
//! signature of the handshake, which only the key's owner can make, is verified like any other (TLS 1.3,
//! RFC 8446 section 4.4.3). Names and dates do not matter: computers at home change their addresses.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme, version,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use subtle::ConstantTimeEq as _;

/// The SHA-256 of a public key (SPKI, DER).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

/// It is no pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pin is 32 bytes in base64url")]
pub struct BadPin;

impl Pin {
    /// Reads it as the QR code has it.
    ///
    /// # Errors
    /// [`BadPin`] where it is none.
    pub fn parse(text: &str) -> Result<Self, BadPin> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadPin)?;
        bytes.try_into().map(Self).map_err(|_| BadPin)
    }

    /// The pin of a key.
    #[must_use]
    pub fn of(spki: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, spki).as_ref());
        Self(hash)
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({}…)", &URL_SAFE_NO_PAD.encode(self.0)[..8])
    }
}

/// How to speak TLS with the owners of some keys, and nobody else.
#[derive(Clone)]
pub struct PinnedTls(pub(crate) Arc<ClientConfig>);

impl PinnedTls {
    /// Any of the pins will do: a computer that changes its key announces the next one first.
    #[must_use]
    pub fn new(pins: Vec<Pin>) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier { pins, algorithms: provider.signature_verification_algorithms };
        let mut config = config(provider)
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }
}

impl fmt::Debug for PinnedTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinnedTls")
    }
}

fn config(provider: Arc<CryptoProvider>) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])
        .expect("ring's provider has TLS 1.3")
}

#[derive(Debug)]
struct Verifier {
    pins: Vec<Pin>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let shown = Pin::of(&certificate.subject_public_key_info());
        let known = self.pins.iter().any(|pin| bool::from(pin.0.ct_eq(&shown.0)));
        if known {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_whole_or_not_at_all() {
        let text = "A".repeat(43);
        assert_eq!(Pin::parse(&text), Ok(Pin([0; 32])));
        for bad in
            ["", "AAAA", &"A".repeat(42), &"A".repeat(44), &format!("{}=", "A".repeat(43)), &"é".repeat(22)]
        {
            assert_eq!(Pin::parse(bad), Err(BadPin), "{bad}");
        }
        assert_eq!(format!("{:?}", Pin([0; 32])), "Pin(AAAAAAAA…)");
    }
}
