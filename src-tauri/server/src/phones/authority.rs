//! A certificate authority for one machine: made here, kept here, never shared. It signs one certificate, for
//! the addresses of this machine and its name on the network; a phone that trusts it trusts this machine alone.
//!
//! The key under that certificate is the relay's identity (`relay_id` is the hash of it) and stays the same when
//! the certificate is issued anew, so that what was pinned once stays right. So does the authority's key when its own
//! certificate is signed anew, years before its time is over: what trusts the earlier one trusts all that the key
//! signs until the earlier one runs out, and people are told in time.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use nightjar_engine::api::Timestamp;
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
use x509_parser::parse_x509_certificate;

use crate::store::FileStore;
use crate::tls::Tls;

const CA_KEY: &str = "phone-ca.key";
const CA_CERT: &str = "phone-ca.crt";
/// The one before it, which phones may still trust.
const CA_BEFORE: &str = "phone-ca-before.crt";
const RELAY_KEY: &str = "phone-relay.key";
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Systems refuse certificates of servers that live longer than 825 days; some more than 398.
const LEAF_LIFE: Duration = Duration::from_secs(397 * 24 * 3_600);
/// With so much left it is issued anew.
const LEAF_RENEW: Duration = Duration::from_secs(30 * 24 * 3_600);
/// A clock that is behind this was never set: 2026.
const BUILT: Duration = Duration::from_secs(1_767_225_600);
const CA_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);
/// With so much left the authority's own is signed anew: who trusts it from then on has years.
const CA_RENEW: Duration = Duration::from_secs(2 * 365 * 24 * 3_600);
/// So long before the one before it runs out, and after, people are told.
const CA_NOTICE: Duration = Duration::from_secs(90 * 24 * 3_600);

/// The authority, and what it signed.
pub(crate) struct Authority {
    store: Arc<FileStore>,
    ca_key: KeyPair,
    root: RwLock<Root>,
    relay_key: KeyPair,
    signing: EcdsaKeyPair,
    relay_id: String,
    leaf: Arc<Leaf>,
}

/// The authority's own certificate.
#[derive(Clone, Debug)]
struct Root {
    cert: CertificateDer<'static>,
    from: SystemTime,
    until: SystemTime,
    /// When the one before it runs out, where there was one.
    before: Option<SystemTime>,
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
    pub(crate) fn load(store: Arc<FileStore>, ips: &[IpAddr], wall: SystemTime) -> io::Result<Self> {
        let ca_key = key(&store, CA_KEY)?;
        let relay_key = key(&store, RELAY_KEY)?;
        let root = match kept(&store, &ca_key)? {
            Some(root) if !is_due(&root, wall) => root,
            old => sign_root(&store, &ca_key, old.as_ref(), wall)?,
        };
        let signing = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            relay_key.serialized_der(),
            &SystemRandom::new(),
        );
        let signing = signing.map_err(|_| io::Error::other(format!("{RELAY_KEY} holds no P-256 key")))?;
        let relay_id = URL_SAFE_NO_PAD.encode(sha256(&relay_key.subject_public_key_info()));
        let issued = issue(&ca_key, &root, &relay_key, &host_of(&relay_id), ips, wall)?;
        let leaf = Arc::new(Leaf(RwLock::new(issued)));
        Ok(Self { store, ca_key, root: RwLock::new(root), relay_key, signing, relay_id, leaf })
    }

    fn root(&self) -> Root {
        self.root.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Issues the certificate anew where addresses changed or its time is nearly over, and the authority's own
    /// years before its is. Whether it did. Blocks.
    pub(crate) fn renew(&self, ips: &[IpAddr], wall: SystemTime) -> bool {
        let mut root = self.root();
        let due = is_due(&root, wall);
        if due {
            match sign_root(&self.store, &self.ca_key, Some(&root), wall) {
                Ok(signed) => root = signed,
                Err(error) => {
                    warn!(%error, "the authority's certificate cannot be signed anew");
                    return false;
                }
            }
            *self.root.write().unwrap_or_else(PoisonError::into_inner) = root.clone();
        }
        if !due {
            let issued = self.leaf.0.read().unwrap_or_else(PoisonError::into_inner);
            let fresh = wall + LEAF_RENEW < issued.until;
            if fresh && ips.iter().all(|ip| issued.ips.contains(ip)) {
                return false;
            }
        }
        match issue(&self.ca_key, &root, &self.relay_key, &self.host(), ips, wall) {
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
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.root().cert.to_vec()
    }

    /// Until when phones that trust an earlier certificate of the authority must have taken this one; told from
    /// some months before to some months after.
    pub(crate) fn trust_again_by(&self, wall: SystemTime) -> Option<SystemTime> {
        let before = self.root().before?;
        (before < wall + CA_NOTICE && wall < before + CA_NOTICE).then_some(before)
    }

    /// SHA-256 of it, as systems show it.
    pub(crate) fn fingerprint(&self) -> String {
        let hash = sha256(&self.certificate());
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

/// From when and until when it is good, where it is a certificate of this key's.
fn span(cert: &CertificateDer<'_>, ca_key: &KeyPair) -> Option<(SystemTime, SystemTime)> {
    let (_, parsed) = parse_x509_certificate(cert).ok()?;
    if parsed.public_key().raw != ca_key.subject_public_key_info() {
        return None;
    }
    let at = |seconds: i64| {
        let since = u64::try_from(seconds).unwrap_or(0);
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since))
    };
    let validity = parsed.validity();
    Some((at(validity.not_before.timestamp())?, at(validity.not_after.timestamp())?))
}

/// The authority's certificate as it was kept; none where there is none of this key's.
fn kept(store: &FileStore, ca_key: &KeyPair) -> io::Result<Option<Root>> {
    let read = |name: &str| {
        let text = store.read(name)?;
        let cert = text.and_then(|text| CertificateDer::from_pem_slice(text.as_bytes()).ok());
        let cert = cert.map(CertificateDer::into_owned);
        Ok::<_, io::Error>(cert.and_then(|cert| Some((span(&cert, ca_key)?, cert))))
    };
    let Some(((from, until), cert)) = read(CA_CERT)? else { return Ok(None) };
    let before = read(CA_BEFORE)?.map(|((_, until), _)| until);
    Ok(Some(Root { cert, from, until, before }))
}

/// Whether it is to be signed anew. A clock that was never set says nothing.
fn is_due(root: &Root, wall: SystemTime) -> bool {
    wall >= SystemTime::UNIX_EPOCH + BUILT && (wall < root.from || root.until < wall + CA_RENEW)
}

/// Signs the authority's certificate, with the same key, and keeps it beside the one before.
fn sign_root(store: &FileStore, ca_key: &KeyPair, old: Option<&Root>, wall: SystemTime) -> io::Result<Root> {
    let cert = ca_params(ca_key, wall).self_signed(ca_key).map_err(io::Error::other)?;
    if let Some(old) = old {
        store.write(CA_BEFORE, &pem(&old.cert))?;
        warn!(
            until = Timestamp::from(old.until).as_str(),
            "the authority's certificate is signed anew: phones need it by then"
        );
    }
    let before = old.map(|old| old.until);
    store.write(CA_CERT, &cert.pem())?;
    let (from, until) = span(cert.der(), ca_key).ok_or_else(|| io::Error::other("it cannot be read"))?;
    Ok(Root { cert: cert.der().clone(), from, until, before })
}

/// RFC 7468.
fn pem(cert: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(cert);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
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
    // It is kept: what is made before the clock is set, or while it is ahead, must be good afterwards.
    let built = SystemTime::UNIX_EPOCH + BUILT;
    params.not_before = (wall.min(built) - DAY).into();
    params.not_after = (wall.max(built) + CA_LIFE).into();
    params
}

fn issue(
    ca_key: &KeyPair,
    root: &Root,
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
    let until = (wall - DAY + LEAF_LIFE).min(root.until);
    params.not_after = until.into();
    let authority = ca_params(ca_key, wall);
    let issuer = Issuer::from_params(&authority, ca_key);
    let leaf = params.signed_by(relay_key, &issuer).map_err(io::Error::other)?;
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(relay_key.serialize_der()));
    let private = any_supported_type(&private).map_err(io::Error::other)?;
    let key = CertifiedKey::new(vec![leaf.der().clone(), root.cert.clone()], private);
    Ok(Issued { key: Arc::new(key), ips: ips.to_vec(), until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_and_certificates_follow_the_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(FileStore::open(dir.path()).unwrap());
        let wall = SystemTime::UNIX_EPOCH + BUILT + DAY * 300;
        let ips: [IpAddr; 1] = ["192.168.1.20".parse().unwrap()];
        let first = Authority::load(Arc::clone(&store), &ips, wall).unwrap();
        let again = Authority::load(store, &ips, wall + DAY).unwrap();
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
        // And one that was made while the clock was ahead.
        let params = ca_params(&KeyPair::generate().unwrap(), set + DAY * 9_000);
        assert!(params.not_before < set);
    }

    #[test]
    fn an_authority_is_signed_anew_years_before_its_end_and_people_are_told_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(FileStore::open(dir.path()).unwrap());
        let load = |wall| Authority::load(Arc::clone(&store), &[], wall).unwrap();
        let made = SystemTime::UNIX_EPOCH + BUILT + DAY * 300;
        let over = made + CA_LIFE;
        let first = load(made);
        let due = over - CA_RENEW + DAY;
        let before = first.fingerprint();
        assert!(first.renew(&[], due - DAY * 2), "the leaf alone");
        assert_eq!(first.fingerprint(), before);
        let never_set = SystemTime::UNIX_EPOCH + DAY;
        assert_eq!(load(never_set).fingerprint(), first.fingerprint());
        let earlier = first.root().cert;
        assert!(first.renew(&[], due), "while it runs");
        assert_eq!(first.fingerprint(), load(due).fingerprint(), "and after a restart");
        assert!(first.root().until > due + CA_LIFE - DAY);

        // A phone that trusts the earlier one goes on, until that runs out.
        let shown = |authority: &Authority| {
            let issued = authority.leaf.0.read().unwrap();
            issued.key.cert.clone()
        };
        let trusts = |root: &CertificateDer<'static>, chain: &[CertificateDer<'static>], at: SystemTime| {
            use rustls::client::WebPkiServerVerifier;
            use rustls::client::danger::ServerCertVerifier as _;
            let mut roots = rustls::RootCertStore::empty();
            roots.add(root.clone()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            let now = rustls_pki_types::UnixTime::since_unix_epoch(since);
            let name = "localhost".try_into().unwrap();
            verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now).is_ok()
        };
        let chain = shown(&first);
        assert_ne!(chain[1], earlier);
        assert!(trusts(&earlier, &chain, due) && trusts(&chain[1], &chain, due));

        assert_eq!(first.trust_again_by(due), None, "it is years until then");
        assert_eq!(first.trust_again_by(over - CA_NOTICE + DAY), Some(over));
        assert_eq!(load(over + DAY).trust_again_by(over + DAY), Some(over));
        assert_eq!(first.trust_again_by(over + CA_NOTICE + DAY), None);
    }

    #[test]
    fn an_authority_of_another_key_or_of_a_time_to_come_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(FileStore::open(dir.path()).unwrap());
        let load = |wall| Authority::load(Arc::clone(&store), &[], wall).unwrap();
        let now = SystemTime::UNIX_EPOCH + BUILT + DAY * 300;
        let key = KeyPair::generate().unwrap();
        let mut params = ca_params(&key, now);
        params.not_before = (now + DAY * 9_000).into();
        params.not_after = (now + DAY * 19_000).into();
        let ahead = params.self_signed(&key).unwrap();
        store.write(CA_KEY, &key.serialize_pem()).unwrap();
        store.write(CA_CERT, &ahead.pem()).unwrap();
        let authority = load(now);
        let root = authority.root();
        assert!(root.cert != *ahead.der() && root.from < now);
        store.write(CA_KEY, &KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let other = load(now);
        assert_ne!(other.fingerprint(), authority.fingerprint());
        assert_eq!(other.root().before, None, "nothing that was signed by it is trusted any more");
        store.write(CA_CERT, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert_eq!(load(now).name(), other.name());
    }

    #[test]
    fn a26_what_the_relay_signs_is_of_its_own_words() {
        use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(FileStore::open(dir.path()).unwrap());
        let authority = Authority::load(store, &[], SystemTime::UNIX_EPOCH + DAY * 20_000).unwrap();
        let text = nightjar_signaling::proof::hello("relay", "nonce", "client");
        let signature = URL_SAFE_NO_PAD.decode(authority.sign(&text).unwrap()).unwrap();
        let spki = URL_SAFE_NO_PAD.decode(authority.relay_key()).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(sha256(&spki)), authority.relay_id());
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &spki[26..]);
        assert!(key.verify(text.as_bytes(), &signature).is_ok());
        assert!(text.starts_with("camrelay-v1-hello\n"));
    }
}
