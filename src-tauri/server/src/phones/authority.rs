//! A certificate authority for one machine: made here, kept here, never shared. It signs one certificate, for
//! the addresses of this machine and its name on the network; a phone that trusts it trusts this machine alone.
//!
//! The key under that certificate is the relay's identity (`relay_id` is the hash of it) and stays the same when
//! the certificate is issued anew, so that what was pinned once stays right.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nightjar_signaling::relay::Signer;
use nightjar_signaling::relay::keys::sha256;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;
use tracing::warn;

use crate::store::FileStore;
use crate::tls::Tls;

const CA_KEY: &str = "phone-ca.key";
const CA_CERT: &str = "phone-ca.crt";
const RELAY_KEY: &str = "phone-relay.key";
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Systems refuse certificates of servers that live longer than 825 days; some more than 398.
const LEAF_LIFE: Duration = Duration::from_secs(397 * 24 * 3_600);
/// With so much left it is issued anew.
const LEAF_RENEW: Duration = Duration::from_secs(30 * 24 * 3_600);
/// A clock that is behind this was never set: 2026.
const BUILT: Duration = Duration::from_secs(1_767_225_600);
const CA_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// The authority, and what it signed.
pub(crate) struct Authority {
    ca_key: KeyPair,
    ca_cert: CertificateDer<'static>,
    relay_key: KeyPair,
    signing: EcdsaKeyPair,
    relay_id: String,
    leaf: Arc<Leaf>,
}

/// The certificate that phones are shown, for all connections.
#[derive(Debug)]
struct Leaf(RwLock<Issued>);

#[derive(Debug)]
struct Issued {
    key: Arc<CertifiedKey>,
    ips: Vec<IpAddr>,
    until: SystemTime,
}

impl ResolvesServerCert for Leaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).key))
    }
}

/// Our own certificate for our own name and addresses, whose key is the one that invitations pin; the owner's
/// for whoever asks for another name. (Who goes to an address names nothing: RFC 6066, section 3.)
#[derive(Debug)]
struct Both {
    own: Arc<Leaf>,
    owners: Arc<dyn ResolvesServerCert>,
    host: String,
}

impl ResolvesServerCert for Both {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let ours = |name: &str| name.eq_ignore_ascii_case(&self.host) || name == "localhost";
        if hello.server_name().is_none_or(ours) {
            self.own.resolve(hello)
        } else {
            self.owners.resolve(hello)
        }
    }
}

impl Authority {
    /// Reads the keys, or makes them. Blocks.
    pub(crate) fn load(store: &FileStore, ips: &[IpAddr], wall: SystemTime) -> io::Result<Self> {
        let ca_key = key(store, CA_KEY)?;
        let relay_key = key(store, RELAY_KEY)?;
        let kept = store.read(CA_CERT)?;
        let kept = kept.and_then(|text| CertificateDer::from_pem_slice(text.as_bytes()).ok());
        let ca_cert = match kept {
            Some(cert) => cert.into_owned(),
            None => {
                let params = ca_params(&ca_key, wall);
                let cert = params.self_signed(&ca_key).map_err(io::Error::other)?;
                store.write(CA_CERT, &cert.pem())?;
                cert.der().clone()
            }
        };
        let signing = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            relay_key.serialized_der(),
            &SystemRandom::new(),
        );
        let signing = signing.map_err(|_| io::Error::other(format!("{RELAY_KEY} holds no P-256 key")))?;
        let relay_id = URL_SAFE_NO_PAD.encode(sha256(&relay_key.subject_public_key_info()));
        let issued = issue(&ca_key, &ca_cert, &relay_key, &host_of(&relay_id), ips, wall)?;
        let leaf = Arc::new(Leaf(RwLock::new(issued)));
        Ok(Self { ca_key, ca_cert, relay_key, signing, relay_id, leaf })
    }

    /// Issues the certificate anew where addresses changed or its time is nearly over. Whether it did.
    pub(crate) fn renew(&self, ips: &[IpAddr], wall: SystemTime) -> bool {
        {
            let issued = self.leaf.0.read().unwrap_or_else(PoisonError::into_inner);
            let fresh = wall + LEAF_RENEW < issued.until;
            if fresh && ips.iter().all(|ip| issued.ips.contains(ip)) {
                return false;
            }
        }
        match issue(&self.ca_key, &self.ca_cert, &self.relay_key, &self.host(), ips, wall) {
            Ok(issued) => {
                *self.leaf.0.write().unwrap_or_else(PoisonError::into_inner) = issued;
                true
            }
            Err(error) => {
                warn!(%error, "the certificate for phones cannot be issued anew");
                false
            }
        }
    }

    /// Speaks TLS with whatever certificate is the newest, and with the owner's under the owner's names.
    pub(crate) fn tls(&self, owners: Option<&Tls>) -> Tls {
        let own = Arc::clone(&self.leaf);
        let shown: Arc<dyn ResolvesServerCert> = match owners {
            None => own,
            Some(tls) => {
                let owners = Arc::clone(&tls.acceptor.config().cert_resolver);
                Arc::new(Both { own, owners, host: self.host() })
            }
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring's provider has the default versions")
            .with_no_client_auth()
            .with_cert_resolver(shown);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Tls { acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    /// Base64url of the SHA-256 of the relay's key.
    pub(crate) fn relay_id(&self) -> String {
        self.relay_id.clone()
    }

    /// This machine's name on the network.
    pub(crate) fn host(&self) -> String {
        host_of(&self.relay_id)
    }

    /// The authority's certificate, DER.
    pub(crate) fn certificate(&self) -> &[u8] {
        self.ca_cert.as_ref()
    }

    /// SHA-256 of it, as systems show it.
    pub(crate) fn fingerprint(&self) -> String {
        let hash = sha256(self.certificate());
        hash.map(|byte| format!("{byte:02X}")).join(":")
    }

    /// The name people find it by among the certificates of a phone.
    pub(crate) fn name(&self) -> String {
        name(&self.ca_key)
    }
}

impl Signer for Authority {
    fn relay_key(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.relay_key.subject_public_key_info())
    }

    fn sign(&self, text: &str) -> Option<String> {
        let signature = self.signing.sign(&SystemRandom::new(), text.as_bytes()).ok()?;
        Some(URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Two machines in one network have two names.
fn host_of(relay_id: &str) -> String {
    let short: String =
        sha256(relay_id.as_bytes()).iter().take(2).map(|byte| format!("{byte:02x}")).collect();
    format!("nightjar-{short}.local")
}

fn key(store: &FileStore, name: &str) -> io::Result<KeyPair> {
    let bad = |error: rcgen::Error| io::Error::other(format!("{name} cannot be used: {error}"));
    if let Some(text) = store.read(name)? {
        return KeyPair::from_pem(&text).map_err(bad);
    }
    let made = KeyPair::generate().map_err(bad)?;
    store.write(name, &made.serialize_pem())?;
    Ok(made)
}

fn name(ca_key: &KeyPair) -> String {
    let hash = sha256(&ca_key.subject_public_key_info());
    format!("Nightjar {:02X}{:02X}-{:02X}{:02X}", hash[0], hash[1], hash[2], hash[3])
}

/// Made from the key alone, so that they are the same whenever something is signed.
fn ca_params(ca_key: &KeyPair, wall: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name(ca_key));
    // Without `CA:true` an iPhone does not list it among those that can be trusted.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // It is kept: what a board makes before it knows the time must be good afterwards.
    params.not_before = (wall - DAY).into();
    params.not_after = (wall.max(SystemTime::UNIX_EPOCH + BUILT) + CA_LIFE).into();
    params
}

fn issue(
    ca_key: &KeyPair,
    ca_cert: &CertificateDer<'static>,
    relay_key: &KeyPair,
    host: &str,
    ips: &[IpAddr],
    wall: SystemTime,
) -> io::Result<Issued> {
    let mut params =
        CertificateParams::new([host.to_owned(), "localhost".to_owned()]).map_err(io::Error::other)?;
    params.subject_alt_names.extend(ips.iter().map(|ip| SanType::IpAddress(*ip)));
    for own in [IpAddr::from([127, 0, 0, 1]), std::net::Ipv6Addr::LOCALHOST.into()] {
        if !ips.contains(&own) {
            params.subject_alt_names.push(SanType::IpAddress(own));
        }
    }
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, host);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    // A phone whose clock is a little behind takes it, too.
    params.not_before = (wall - DAY).into();
    let until = wall - DAY + LEAF_LIFE;
    params.not_after = until.into();
    let authority = ca_params(ca_key, wall);
    let issuer = Issuer::from_params(&authority, ca_key);
    let leaf = params.signed_by(relay_key, &issuer).map_err(io::Error::other)?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(relay_key.serialize_der()));
    let private = any_supported_type(&private).map_err(io::Error::other)?;
    let key = CertifiedKey::new(vec![leaf.der().clone(), ca_cert.clone()], private);
    Ok(Issued { key: Arc::new(key), ips: ips.to_vec(), until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_and_certificates_follow_the_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::open(dir.path()).unwrap();
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_763_600_000);
        let ips: [IpAddr; 1] = ["192.168.1.20".parse().unwrap()];
        let first = Authority::load(&store, &ips, wall).unwrap();
        let again = Authority::load(&store, &ips, wall + DAY).unwrap();
        assert_eq!(first.relay_id(), again.relay_id());
        assert_eq!(first.fingerprint(), again.fingerprint());
        assert_eq!(first.relay_id().len(), 43);
        assert!(!first.renew(&ips, wall));
        assert!(first.renew(&["10.0.0.7".parse().unwrap()], wall));
        assert!(first.renew(&["10.0.0.7".parse().unwrap()], wall + LEAF_LIFE - LEAF_RENEW));
        #[cfg(unix)]
        for name in [CA_KEY, RELAY_KEY] {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn an_authority_that_was_made_before_the_clock_was_set_is_good_afterwards() {
        let set = SystemTime::UNIX_EPOCH + BUILT + DAY * 300;
        let params = ca_params(&KeyPair::generate().unwrap(), SystemTime::UNIX_EPOCH + DAY);
        assert!(params.not_before < set && params.not_after > set + LEAF_LIFE);
    }

    #[test]
    fn a26_what_the_relay_signs_is_of_its_own_words() {
        use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::open(dir.path()).unwrap();
        let authority = Authority::load(&store, &[], SystemTime::UNIX_EPOCH + DAY * 20_000).unwrap();
        let text = nightjar_signaling::proof::hello("relay", "nonce", "client");
        let signature = URL_SAFE_NO_PAD.decode(authority.sign(&text).unwrap()).unwrap();
        let spki = URL_SAFE_NO_PAD.decode(authority.relay_key()).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(sha256(&spki)), authority.relay_id());
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &spki[26..]);
        assert!(key.verify(text.as_bytes(), &signature).is_ok());
        assert!(text.starts_with("camrelay-v1-hello\n"));
    }
}
