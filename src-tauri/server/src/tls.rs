//! The certificate and key of `https`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Ready to speak TLS 1.2 and 1.3.
#[derive(Clone)]
pub struct Tls {
    pub(crate) acceptor: TlsAcceptor,
}

/// Certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{field}: {} {reason}", path.display())]
pub struct TlsError {
    /// `server.tls_cert` or `server.tls_key`.
    pub field: &'static str,
    pub path: PathBuf,
    pub reason: String,
}

impl Tls {
    /// Reads PEM files: a certificate with its chain, and its private key. Blocks.
    ///
    /// # Errors
    /// [`TlsError`] names the file that cannot be used.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let wrong = |field, path: &Path, reason: String| TlsError { field, path: path.to_owned(), reason };
        let wrong_cert = |reason| wrong("server.tls_cert", cert, reason);
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
            .and_then(Iterator::collect)
            .map_err(|error| wrong_cert(format!("cannot be read: {error}")))?;
        if chain.is_empty() {
            return Err(wrong_cert("holds no certificate".to_owned()));
        }
        // The error's text is of the parser and holds nothing of the key.
        let private = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| wrong("server.tls_key", key, format!("cannot be read: {error}")))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring's provider has the default versions")
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(|error| wrong("server.tls_key", key, format!("does not fit: {error}")))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}
