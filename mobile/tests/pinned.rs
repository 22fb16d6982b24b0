//! A23: who shows the computer's certificate without having its key gets nowhere, and neither does anybody
//! with a certificate of his own.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use nightjar_mobile::{
    Address, BadDial, End, Event, Line, MESSAGE_MAX, Pin, PinnedTls, Told, Wire, WireError,
};
use rcgen::{CertifiedKey, PublicKeyData as _};
use rustls::ServerConfig;
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::sign::SingleCertAndKey;
use rustls_pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

type Identity = CertifiedKey<rcgen::KeyPair>;

fn identity() -> Identity {
    rcgen::generate_simple_self_signed(vec!["somebody.else".to_owned()]).expect("a certificate")
}

fn pin(identity: &Identity) -> Pin {
    Pin::of(&identity.signing_key.subject_public_key_info())
}

/// Shows one's certificate and signs with another's key.
fn server(shown: &Identity, signs: &Identity, tls12: bool) -> ServerConfig {
    let key = PrivateKeyDer::Pkcs8(signs.signing_key.serialize_der().into());
    let key = any_ecdsa_type(&key).expect("an ECDSA key");
    let certified = rustls::sign::CertifiedKey::new(vec![shown.cert.der().clone()], key);
    let versions: &[&rustls::SupportedProtocolVersion] =
        if tls12 { &[&rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("ring has both")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
}

/// A computer that answers each message with it, says goodbye with 4403 at `bye`, and a flood at `flood`.
/// It gives whether the handshake came to its end.
async fn computer(config: ServerConfig) -> (Address, JoinHandle<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("somebody comes");
        let Ok(stream) = acceptor.accept(stream).await else { return false };
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return false };
        while let Some(Ok(Message::Text(text))) = socket.next().await {
            match text.as_str() {
                "bye" => {
                    let frame = CloseFrame { code: CloseCode::from(4403), reason: "".into() };
                    let _ = socket.close(Some(frame)).await;
                }
                "flood" => {
                    let _ = socket.send(Message::text("x".repeat(MESSAGE_MAX + 1))).await;
                }
                echo => socket.send(Message::text(echo)).await.expect("it is read"),
            }
        }
        true
    });
    (Address::parse(&format!("https://127.0.0.1:{port}")).expect("an address"), task)
}

#[tokio::test]
async fn the_owner_of_the_pinned_key_is_spoken_with_under_any_name() {
    let own = identity();
    let (address, _task) = computer(server(&own, &own, false)).await;
    let mut wire =
        Wire::open(&address, &PinnedTls::new(vec![pin(&identity()), pin(&own)])).await.expect("it opens");
    assert!(wire.send("hello".to_owned()));
    assert_eq!(wire.next().await, Some(Event::Message("hello".to_owned())));
    assert!(!wire.send("x".repeat(MESSAGE_MAX + 1)), "it is too large to be sent");
    assert!(wire.send("bye".to_owned()));
    assert_eq!(wire.next().await, Some(Event::Ended(End::Closed(Some(4403)))));
    assert_eq!(wire.next().await, None);
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_wire() {
    let own = identity();
    let (address, _task) = computer(server(&own, &own, false)).await;
    let mut wire = Wire::open(&address, &PinnedTls::new(vec![pin(&own)])).await.expect("it opens");
    assert!(wire.send("flood".to_owned()));
    assert_eq!(wire.next().await, Some(Event::Ended(End::Broken)));
}

#[tokio::test]
async fn a23_another_certificate_and_a_stolen_one_are_refused_before_anything_is_said() {
    let (own, thief) = (identity(), identity());
    let tls = PinnedTls::new(vec![pin(&own)]);
    for (shown, signs, tls12, what) in [
        (&thief, &thief, false, "a certificate of his own"),
        (&own, &thief, false, "the stolen certificate without its key"),
        (&own, &own, true, "the right key by TLS 1.2, which is not spoken"),
    ] {
        let (address, task) = computer(server(shown, signs, tls12)).await;
        let refused = Wire::open(&address, &tls).await;
        assert!(matches!(refused, Err(WireError::Impostor)), "{what}: {refused:?}");
        assert!(!task.await.expect("it ran"), "{what}: the handshake ended well for the other side");
    }
}

#[tokio::test]
async fn the_stolen_certificate_would_do_where_signatures_are_taken_on_trust() {
    // The attack is a real one: a client that checks the certificate alone falls for it.
    let (own, thief) = (identity(), identity());
    let (address, task) = computer(server(&own, &thief, false)).await;
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous))
            .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(address.authority()).await.expect("it answers");
    let name = rustls_pki_types::ServerName::try_from("127.0.0.1").expect("a name");
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let url = format!("wss://{}/signal", address.authority());
    let opened = tokio_tungstenite::client_async(url, stream.expect("it is fooled")).await;
    drop(opened.expect("it speaks with the thief"));
    task.await.expect("it ran");
}

/// Dials as the page does; what the page is told.
fn dial(line: &Line, number: u32, address: &Address, pins: &[&Identity]) -> mpsc::UnboundedReceiver<Told> {
    let pins: Vec<String> = pins.iter().map(|identity| in_base64url(identity)).collect();
    let (tell, told) = mpsc::unbounded_channel();
    let origin = format!("https://{}", address.authority());
    let carried =
        line.dial(number, &origin, &pins, move |told| tell.send(told).is_ok()).expect("it is dialled");
    tokio::spawn(carried);
    told
}

fn in_base64url(identity: &Identity) -> String {
    use base64::Engine as _;
    let spki = identity.signing_key.subject_public_key_info();
    let hash = ring::digest::digest(&ring::digest::SHA256, &spki);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash)
}

#[tokio::test]
async fn the_page_speaks_on_the_wire_that_it_dialled_last_and_hears_of_no_other() {
    let own = identity();
    let (line, message) = (Line::default(), |text: &str| Told::Message { text: text.to_owned() });
    let (first, first_task) = computer(server(&own, &own, false)).await;
    let mut heard = dial(&line, 1, &first, &[&own]);
    // Said while it is being dialled: it waits.
    assert!(line.say(1, "early".to_owned()));
    assert_eq!(heard.recv().await, Some(Told::Open));
    assert_eq!(heard.recv().await, Some(message("early")));

    let (second, second_task) = computer(server(&own, &own, false)).await;
    let mut heard_next = dial(&line, 2, &second, &[&own]);
    assert!(first_task.await.expect("it ran"), "the wire before was hung up");
    assert_eq!(heard.recv().await, None, "of a wire that was hung up nothing is told");
    assert!(!line.say(1, "late".to_owned()));
    assert!(line.say(2, "here".to_owned()));
    assert_eq!(heard_next.recv().await, Some(Told::Open));
    assert_eq!(heard_next.recv().await, Some(message("here")));
    assert!(line.say(2, "bye".to_owned()));
    assert_eq!(heard_next.recv().await, Some(Told::Closed { code: Some(4403), impostor: false }));
    assert_eq!(heard_next.recv().await, None);

    let (third, third_task) = computer(server(&own, &own, false)).await;
    let mut heard = dial(&line, 3, &third, &[&own]);
    assert_eq!(heard.recv().await, Some(Told::Open));
    line.hang_up(2);
    assert!(line.say(3, "still".to_owned()), "another number's end is not this one's");
    assert_eq!(heard.recv().await, Some(message("still")));
    line.hang_up(3);
    assert!(third_task.await.expect("it ran"));
    assert_eq!(heard.recv().await, None);
    drop(second_task);
}

#[tokio::test]
async fn a23_the_page_is_told_of_an_impostor_and_of_a_computer_that_it_cannot_mean() {
    let (own, thief) = (identity(), identity());
    let line = Line::default();
    let (address, task) = computer(server(&thief, &thief, false)).await;
    let mut heard = dial(&line, 1, &address, &[&own]);
    assert_eq!(heard.recv().await, Some(Told::Closed { code: None, impostor: true }));
    assert!(!task.await.expect("it ran"), "nothing was said to him");
    // Without any pin nobody is trusted.
    let (address, _task) = computer(server(&own, &own, false)).await;
    let mut heard = dial(&line, 2, &address, &[]);
    assert_eq!(heard.recv().await, Some(Told::Closed { code: None, impostor: true }));

    let refused = |origin: &str, pin: &str| line.dial(3, origin, &[pin.to_owned()], |_| true).err();
    let pin = in_base64url(&own);
    assert!(matches!(refused("http://192.168.1.20:8443", &pin), Some(BadDial::Address(_))));
    assert!(matches!(refused("https://192.168.1.20:8443", "AAAA"), Some(BadDial::Pin(_))));
}

#[tokio::test]
async fn nobody_there_is_told_apart_from_somebody_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let address = Address::parse(&format!("https://127.0.0.1:{port}")).expect("an address");
    let refused = Wire::open(&address, &PinnedTls::new(vec![pin(&identity())])).await;
    assert!(matches!(refused, Err(WireError::Unreachable(_))), "{refused:?}");
}

#[derive(Debug)]
struct Credulous;

impl rustls::client::danger::ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _end_entity: &rustls_pki_types::CertificateDer<'_>,
        _intermediates: &[rustls_pki_types::CertificateDer<'_>],
        _server_name: &rustls_pki_types::ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &rustls_pki_types::CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &rustls_pki_types::CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
