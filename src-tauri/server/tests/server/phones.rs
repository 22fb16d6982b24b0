//! Phones: their own door, the certificate they trust, pairing, and being shown out.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use futures_util::{SinkExt as _, StreamExt as _};
use nightjar_engine::api::CameraKind;
use nightjar_server::{FileStore, PhoneOptions, Tls};
use nightjar_signaling::proof;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::knock::{Answer, House, PATIENCE, Request};
use crate::sockets::dial;

const NONCE_C: &str = "CCCCCCCCCCCCCCCCCCCCCC";

/// A house with a door for phones.
struct Home {
    house: House,
    /// Of the door for phones.
    phones: String,
    trust: String,
    /// What the trust page gives out.
    ca: Vec<u8>,
}

impl Home {
    async fn open(dir: &TempDir) -> Self {
        Self::open_with(dir, None).await
    }

    async fn open_with(dir: &TempDir, tls: Option<Tls>) -> Self {
        let store = Arc::new(FileStore::open(dir.path()).unwrap());
        let listen = "127.0.0.1:0".parse().unwrap();
        let house = House::with(|options| options.phones = Some(PhoneOptions { listen, store, tls })).await;
        let door = house.ask("GET", "/api/v1/devices").await.json()["door"].clone();
        assert_eq!(door["open"], true, "{door}");
        let authority = |url: &Value| {
            let url = url.as_str().unwrap().split("://").nth(1).unwrap();
            url.split('/').next().unwrap().to_owned()
        };
        let (phones, trust) = (authority(&door["urls"][0]), authority(&door["trust_url"]));
        let ca = plain(&trust, "GET", "/ca.crt").await;
        assert_eq!(ca.header("content-type"), Some("application/x-x509-ca-cert"));
        Self { house, phones, trust, ca: ca.body }
    }

    async fn tls(&self) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(self.ca.clone())).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(&self.phones).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .expect("a certificate for this address")
    }

    async fn ask(&self, request: Request<'_>) -> Answer {
        let request = if request.headers.iter().any(|(name, _)| *name == "Host") {
            request
        } else {
            request.header("Host", self.phones.clone())
        };
        let mut stream = self.tls().await;
        stream.write_all(&request.bytes(self.house.addr)).await.unwrap();
        let mut read = Vec::new();
        // An end without TLS's goodbye is an end.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("an answer in time");
        Answer::parse(&read)
    }

    async fn dial(&self) -> Line {
        let request = format!("ws://{}/signal", self.phones).into_client_request().unwrap();
        let (socket, _) = client_async(request, self.tls().await).await.unwrap();
        let mut line = Line { socket };
        line.say(json!({"v": 1, "type": "hello", "protos": ["camrelay.v1"], "nonce_c": NONCE_C})).await;
        line
    }

    async fn pair(&self, phone: &Phone) -> (Line, Value) {
        let (mut line, path) = self.wait_at_the_door(phone).await;
        let allowed = self.house.ask("POST", &format!("{path}/allow")).await;
        assert_eq!((allowed.status, &allowed.json()["state"]), (200, &json!("paired")));
        self.house.ask("POST", &format!("{path}/allow")).await.refused(409, "duplicate");
        let ok = line.hear().await;
        assert_eq!(ok["type"], "pair_ok");
        (line, ok)
    }

    /// A phone that scanned a code and shows its six digits, and the path of its pairing.
    async fn wait_at_the_door(&self, phone: &Phone) -> (Line, String) {
        let made = self.house.send(Request::new("POST", "/api/v1/pairings").json("{}")).await;
        assert_eq!(made.status, 201);
        let made = made.json();
        let (address, fragment) = made["url"].as_str().unwrap().split_once('#').unwrap();
        assert_eq!(address, format!("https://{}/publish", self.phones));
        let parts: Vec<&str> = fragment.split('.').collect();
        assert!(made["qr"].as_str().unwrap().contains("<svg"));
        assert_eq!(made["code"], Value::Null);
        let mut line = self.dial().await;
        let hello = line.hear().await;
        assert_eq!((parts[0], hello["relay_id"].as_str()), ("1", Some(parts[2])), "the pin is the relay's");
        let request = json!({"v": 1, "type": "pair_request", "token": parts[1], "spki": phone.spki, "name": "Mina", "nonce_c": NONCE_C});
        line.say(request).await;
        let pending = line.hear().await;
        let hash = nightjar_signaling::relay::keys::sha256(
            proof::pair(parts[2], &phone.spki, hello["nonce"].as_str().unwrap(), NONCE_C).as_bytes(),
        );
        assert_eq!(
            (&pending["type"], &pending["code"]),
            (&json!("pair_pending"), &json!(proof::digits(&hash)))
        );
        let path = format!("/api/v1/pairings/{}", made["id"].as_str().unwrap());
        let asked = self.house.ask("GET", &path).await.json();
        assert_eq!(
            (&asked["state"], &asked["code"], &asked["name"]),
            (&json!("asked"), &pending["code"], &json!("Mina"))
        );
        (line, path)
    }

    fn auth(&self, phone: &Phone, device: &str, relay: &str, nonce: &str) -> Value {
        let text = proof::auth(nonce, NONCE_C, relay, device, &self.phones);
        let sig = phone.key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        json!({"v": 1, "type": "auth", "device_id": device, "nonce_c": NONCE_C, "sig": B64.encode(sig), "host": self.phones})
    }
}

/// One request without TLS.
async fn plain(addr: &str, method: &str, path: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = Request::new(method, path).header("Host", addr);
    stream.write_all(&request.bytes(addr.parse().unwrap())).await.unwrap();
    let mut read = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("in time").unwrap();
    Answer::parse(&read)
}

/// A phone's key.
struct Phone {
    key: EcdsaKeyPair,
    spki: String,
}

impl Phone {
    fn new() -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random).unwrap();
        // Before the point in the SPKI of a P-256 key.
        let mut der = B64.decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgA").unwrap();
        der.extend_from_slice(key.public_key().as_ref());
        Self { key, spki: B64.encode(der) }
    }
}

/// A phone's connection.
struct Line {
    socket: WebSocketStream<TlsStream<TcpStream>>,
}

impl Line {
    async fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("in time").expect("open").expect("whole")
            {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    async fn closed(&mut self) -> Option<u16> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("in time") {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| u16::from(frame.code)),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

#[tokio::test]
async fn a_phone_trusts_pairs_proves_itself_and_is_shown_out() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::open(&dir).await;
    let mut events = dial(&home.house, "/api/v1/events", &[]).await.unwrap();
    let phone = Phone::new();
    let (mut line, ok) = home.pair(&phone).await;
    let device = ok["device_id"].as_str().unwrap().to_owned();
    let room = ok["rooms"][0].as_str().unwrap().to_owned();
    assert_eq!(room, "phone_01");
    let relay = ok["relay_id"].as_str().unwrap().to_owned();
    line.say(home.auth(&phone, &device, &relay, ok["nonce"].as_str().unwrap())).await;
    assert_eq!(line.hear().await["type"], "auth_ok");
    line.say(json!({"v": 1, "type": "join_room", "room": room})).await;
    assert_eq!(line.hear().await["peer_id"], json!(device));
    let path = format!("/api/v1/devices/{device}");
    let shown = home.house.ask("GET", &path).await.json();
    assert_eq!((&shown["name"], &shown["online"]), (&json!("Mina"), &json!(true)));
    let renamed = home.house.send(Request::new("PATCH", &path).json("{\"name\":\" Hall phone \"}")).await;
    assert_eq!(renamed.json()["name"], "Hall phone");
    let bad = home.house.send(Request::new("PATCH", &path).json("{\"name\":\"\"}")).await;
    assert_eq!(bad.refused(422, "invalid"), "name");
    // A11: within a second.
    let began = Instant::now();
    assert_eq!(home.house.ask("DELETE", &path).await.status, 204);
    assert_eq!(line.hear().await["code"], "revoked");
    assert_eq!(line.closed().await, Some(4403));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    home.house.ask("DELETE", &path).await.refused(404, "not_found");
    let mut again = home.dial().await;
    let hello = again.hear().await;
    again.say(home.auth(&phone, &device, &relay, hello["nonce"].as_str().unwrap())).await;
    assert_eq!(again.hear().await, json!({"v": 1, "type": "auth_failed", "code": "revoked"}));
    // Whoever shows the dialog could follow all of it, in numbered events.
    let (mut seq, mut seen) = (0, Vec::new());
    while !seen.contains(&"device_removed".to_owned()) {
        let Message::Text(text) = crate::sockets::next(&mut events).await else { continue };
        let event: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(event["seq"], seq);
        seq += 1;
        let kind = event["type"].as_str().unwrap().to_owned();
        let state = event["pairing"]["state"].as_str();
        seen.push(state.map_or(kind.clone(), |state| format!("{kind} {state}")));
    }
    for wanted in ["pairing asked", "pairing paired", "device"] {
        assert!(seen.iter().any(|event| event == wanted), "{wanted}: {seen:?}");
    }
    home.house.close().await;
}

#[tokio::test]
async fn a_phone_that_was_let_in_is_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let phone = Phone::new();
    let home = Home::open(&dir).await;
    let (line, ok) = home.pair(&phone).await;
    let device = ok["device_id"].as_str().unwrap().to_owned();
    let kept = std::fs::read_to_string(dir.path().join("phones.json")).unwrap();
    assert!(kept.contains(&device), "what it was told was kept before");
    drop(line);
    let (ca, relay) = (home.ca.clone(), ok["relay_id"].as_str().unwrap().to_owned());
    home.house.close().await;
    // The thread that keeps phones holds the directory until its last word is written.
    let home = {
        let reopened = async {
            while FileStore::open(dir.path()).is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, reopened).await.expect("the directory is free again");
        Home::open(&dir).await
    };
    assert_eq!(home.ca, ca, "the phone's trust holds");
    let mut line = home.dial().await;
    let hello = line.hear().await;
    assert_eq!(hello["relay_id"], json!(relay), "and its pin");
    line.say(home.auth(&phone, &device, &relay, hello["nonce"].as_str().unwrap())).await;
    assert_eq!(line.hear().await["type"], "auth_ok");
    home.house.close().await;
}

#[tokio::test]
async fn a_pairing_that_cannot_be_kept_holds_for_now_and_a_person_hears_it() {
    let dir = tempfile::tempdir().unwrap();
    let phone = Phone::new();
    let home = Home::open(&dir).await;
    // Nothing can be put in its place.
    std::fs::create_dir(dir.path().join("phones.json")).unwrap();
    let (mut line, path) = home.wait_at_the_door(&phone).await;
    let answer = home.house.ask("POST", &format!("{path}/allow")).await;
    assert_eq!(answer.status, 500);
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("It holds for now") && message.contains("ends with a restart"), "{message}");
    assert_eq!(line.hear().await["type"], "pair_ok");
    home.house.close().await;
}

#[tokio::test]
async fn a13_a25_the_doors_for_phones_have_what_phones_need_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::open(&dir).await;
    let page = home.ask(Request::new("GET", "/publish")).await;
    assert_eq!((page.status, page.header("referrer-policy")), (200, Some("no-referrer")));
    assert_eq!(page.header("cross-origin-resource-policy"), Some("same-origin"), "A14");
    assert_eq!(page.header("access-control-allow-origin"), None);
    for path in [
        "/",
        "/api/v1/cameras",
        "/api/v1/devices",
        "/metrics",
        "/login",
        "/index.html",
        "/publish/../index.html",
        "/publish/%2e%2e/x",
        "/trust",
    ] {
        home.ask(Request::new("GET", path)).await.refused(404, "not_found");
    }
    home.ask(Request::new("GET", "/publish").header("Host", "evil.example"))
        .await
        .refused(421, "foreign_host");
    let foreign = Request::new("GET", "/api/v1/sig/stream").header("Origin", "https://evil.example");
    home.ask(foreign).await.refused(403, "foreign_origin");
    let offer = || Request::new("POST", "/api/v1/whip/hall").body("application/sdp", "v=0\r\n");
    home.ask(offer()).await.refused(401, "unauthorized");
    let made = home.house.send(Request::new("POST", "/api/v1/whip-tokens").json("{\"room\":\"hall\"}")).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    assert_ne!(home.ask(offer().header("Authorization", bearer.clone())).await.status, 401);
    let other = Request::new("POST", "/api/v1/whip/attic").body("application/sdp", "v=0\r\n");
    home.ask(other.header("Authorization", bearer.clone())).await.refused(401, "unauthorized");
    let listed = home.house.ask("GET", "/api/v1/whip-tokens").await.json();
    assert_eq!((&listed["tokens"][0]["room"], &listed["tokens"][0]["token"]), (&json!("hall"), &Value::Null));
    let path = format!("/api/v1/whip-tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(home.house.ask("DELETE", &path).await.status, 204);
    home.ask(offer().header("Authorization", bearer)).await.refused(401, "unauthorized");
    // The page over plain HTTP helps to trust, and does nothing else.
    let trust = plain(&home.trust, "GET", "/trust").await;
    let text = String::from_utf8(trust.body.clone()).unwrap();
    let door = home.house.ask("GET", "/api/v1/devices").await.json()["door"].clone();
    assert!(text.contains(door["fingerprint"].as_str().unwrap()) && text.contains("인증서 신뢰 설정"));
    let profile = plain(&home.trust, "GET", "/ca.mobileconfig").await;
    assert_eq!(profile.header("content-type"), Some("application/x-apple-aspen-config"));
    assert!(String::from_utf8(profile.body).unwrap().contains("com.apple.security.root"));
    for path in ["/", "/publish", "/signal", "/api/v1/health", "/phone-ca.key", "/api/v1/devices"] {
        plain(&home.trust, "GET", path).await.refused(404, "not_found");
    }
    home.house.close().await;
}

#[tokio::test]
async fn a_taken_port_closes_the_door_for_phones_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let store = Arc::new(FileStore::open(dir.path()).unwrap());
    let house = House::with(|options| options.phones = Some(PhoneOptions { listen, store, tls: None })).await;
    let door = house.ask("GET", "/api/v1/devices").await.json()["door"].clone();
    assert_eq!(door["open"], false);
    assert!(door["reason"].as_str().unwrap().contains("listens"), "{door}");
    house.send(Request::new("POST", "/api/v1/pairings").json("{}")).await.refused(503, "not_live");
    house.close().await;
}

/// The data directory takes nothing more, or does again.
async fn block(dir: &TempDir, blocked: bool) {
    // What is written beside the file cannot be made where a directory of that name is.
    let beside = dir.path().join("phones.json.new");
    if !blocked {
        return std::fs::remove_dir(beside).unwrap();
    }
    // What a phone said of itself may be on its way to the disk.
    let made = async {
        while std::fs::create_dir(&beside).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, made).await.expect("the writing ends");
}

#[tokio::test]
async fn a_right_that_was_taken_away_is_on_the_disk_before_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::open(&dir).await;
    let phone = Phone::new();
    let (mut line, ok) = home.pair(&phone).await;
    let (device, relay) = (ok["device_id"].as_str().unwrap(), ok["relay_id"].as_str().unwrap());
    line.say(home.auth(&phone, device, relay, ok["nonce"].as_str().unwrap())).await;
    assert_eq!(line.hear().await["type"], "auth_ok");
    let make = || home.house.send(Request::new("POST", "/api/v1/whip-tokens").json("{\"room\":\"hall\"}"));
    let kept = || std::fs::read_to_string(dir.path().join("phones.json")).unwrap();
    let token = make().await.json();
    let token = token["id"].as_str().unwrap();
    assert!(kept().contains(token), "a token that is shown is kept");
    let paths = [format!("/api/v1/devices/{device}"), format!("/api/v1/whip-tokens/{token}")];
    block(&dir, true).await;
    for path in &paths {
        for _ in 0..2 {
            home.house.ask("DELETE", path).await.refused(500, "internal");
        }
    }
    make().await.refused(500, "internal");
    assert_eq!(home.house.ask("GET", "/api/v1/whip-tokens").await.json()["tokens"], json!([]));
    // Whether it is kept or not: it holds now.
    while line.hear().await["code"] != "revoked" {}
    assert_eq!(line.closed().await, Some(4403));
    block(&dir, false).await;
    assert_eq!(home.house.ask("DELETE", &paths[0]).await.status, 204, "asked again, it is kept");
    // All of it is one file.
    for path in &paths {
        home.house.ask("DELETE", path).await.refused(404, "not_found");
    }
    let kept: Value = serde_json::from_str(&kept()).unwrap();
    assert_eq!((&kept["devices"][0]["revoked"], &kept["whip"]), (&json!(true), &json!([])));
    home.house.close().await;
    let reopened = async {
        while FileStore::open(dir.path()).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, reopened).await.expect("the directory is free again");
    let home = Home::open(&dir).await;
    let mut line = home.dial().await;
    let hello = line.hear().await;
    line.say(home.auth(&phone, device, relay, hello["nonce"].as_str().unwrap())).await;
    assert_eq!(line.hear().await["code"], "revoked");
    home.house.close().await;
}

#[tokio::test]
async fn a_phone_that_is_taken_off_the_wall_is_out_on_the_disk_too() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::open(&dir).await;
    for blocked in [true, false] {
        let (_line, ok) = home.pair(&Phone::new()).await;
        let cameras = home.house.engine.cameras();
        let camera = cameras.iter().find(|camera| camera.kind == CameraKind::Phone).expect("its place");
        if blocked {
            block(&dir, true).await;
        }
        let answer = home.house.ask("DELETE", &format!("/api/v1/cameras/{}", camera.id)).await;
        assert!(home.house.engine.camera(&camera.id).is_err(), "it is off the wall either way");
        if blocked {
            answer.refused(500, "internal");
            block(&dir, false).await;
        } else {
            assert_eq!(answer.status, 204);
            let kept = std::fs::read_to_string(dir.path().join("phones.json")).unwrap();
            let kept: Value = serde_json::from_str(&kept).unwrap();
            let devices = kept["devices"].as_array().unwrap();
            let device = devices.iter().find(|device| device["id"] == ok["device_id"]).expect("known");
            assert_eq!(device["revoked"], true);
        }
    }
    home.house.close().await;
}

#[tokio::test]
async fn no_phone_is_invited_to_be_a_camera_of_another_kind() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::open(&dir).await;
    for (room, status, code) in
        [("fixed", 409, "duplicate"), ("probe", 422, "invalid"), ("a.b", 422, "invalid")]
    {
        let body = json!({"room": room}).to_string();
        home.house.send(Request::new("POST", "/api/v1/pairings").json(body)).await.refused(status, code);
    }
    let free = home.house.send(Request::new("POST", "/api/v1/pairings").json("{\"room\":\"hall\"}")).await;
    assert_eq!(free.status, 201);
    home.house.close().await;
}

/// The hash of the key of the certificate that is shown to who asks for this name.
async fn shown_key(addr: &str, name: &str) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let shown = Arc::new(Shown(provider.signature_verification_algorithms));
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(shown)
        .with_no_client_auth();
    let stream = TcpStream::connect(addr).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let leaf = rustls::server::ParsedCertificate::try_from(&leaf).unwrap();
    B64.encode(nightjar_signaling::relay::keys::sha256(&leaf.subject_public_key_info()))
}

/// Takes whatever is shown.
#[derive(Debug)]
struct Shown(rustls::crypto::WebPkiSupportedAlgorithms);

impl rustls::client::danger::ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[tokio::test]
async fn beside_a_certificate_of_the_owners_the_key_of_the_invitation_is_the_one_that_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["cams.example".to_owned()]).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let home = Home::open_with(&dir, Some(Tls::load(&cert, &key).unwrap())).await;
    let made = home.house.send(Request::new("POST", "/api/v1/pairings").json("{}")).await.json();
    let (_, fragment) = made["url"].as_str().unwrap().split_once('#').unwrap();
    let parts: Vec<&str> = fragment.splitn(5, '.').collect();
    // By the addresses of the invitation, as the companion comes.
    for name in ["127.0.0.1", parts[4]] {
        assert_eq!(shown_key(&home.phones, name).await, parts[2], "{name}");
    }
    // A browser that asks for the owner's name is shown the owner's certificate.
    assert_ne!(shown_key(&home.phones, "cams.example").await, parts[2]);
    home.house.close().await;
}
