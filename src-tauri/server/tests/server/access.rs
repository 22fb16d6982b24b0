//! Who may come in.

use std::sync::Arc;

use nightjar_engine::env::Secret;
use nightjar_server::Tls;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::knock::{Answer, House, Request, TOKEN};

const CAMERAS: &str = "/api/v1/cameras";

fn bearer(request: Request<'_>) -> Request<'_> {
    request.header("Authorization", format!("Bearer {TOKEN}"))
}

#[tokio::test]
async fn foreign_hosts_and_pages_are_turned_away_from_everything() {
    let house = House::locked().await;
    let port = house.addr.port();
    for path in ["/", "/api/v1/health", CAMERAS, "/metrics", "/login", "/api/v1/events", "/nope"] {
        for host in
            ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.1.2.3", "localhost.", ""]
        {
            house.send(Request::new("GET", path).header("Host", host)).await.refused(421, "foreign_host");
        }
        for origin in ["http://evil.example", "null", "http://localhost:1", "file://", "garbage"] {
            let request = bearer(Request::new("GET", path)).header("Origin", origin);
            let answer = house.send(request).await;
            answer.refused(403, "foreign_origin");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
    let absolute =
        format!("GET http://evil.example/ HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
    house.raw(absolute.as_bytes()).await.refused(421, "foreign_host");
    for host in ["localhost", &format!("localhost:{port}"), &format!("[::1]:{port}")] {
        let own = Request::new("GET", "/api/v1/health").header("Host", host);
        let own = own.header("Origin", format!("http://{host}"));
        assert_eq!(house.send(own).await.status, 200, "{host}");
    }
    house.close().await;
}

#[tokio::test]
async fn the_token_is_asked_for_everywhere_but_at_the_door() {
    let house = House::locked().await;
    for path in [CAMERAS, "/api/v1/openapi.json", "/metrics", "/api/v1/events", "/api/v1/nope", "/signal"] {
        let answer = house.ask("GET", path).await;
        answer.refused(401, "unauthorized");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{path}");
    }
    for path in ["/", "/api/v1/health"] {
        assert_eq!(house.ask("GET", path).await.status, 200, "{path}");
    }
    for wrong in ["Bearer", "Bearer ", "Bearer x", "Basic dTpw", &format!("Bearer {TOKEN}x"), TOKEN] {
        let request = Request::new("GET", CAMERAS).header("Authorization", wrong);
        house.send(request).await.refused(401, "unauthorized");
    }
    let twice = bearer(bearer(Request::new("GET", CAMERAS)));
    house.send(twice).await.refused(401, "unauthorized");
    assert_eq!(house.send(bearer(Request::new("GET", CAMERAS))).await.status, 200);
    let small = Request::new("GET", CAMERAS).header("Authorization", format!("bearer {TOKEN}"));
    assert_eq!(house.send(small).await.status, 200);
    // Who posts to signaling shows the token, or a session that lives.
    let post = || Request::new("POST", "/api/v1/sig").json(r#"{"session":"guessed","message":{}}"#);
    for request in [Request::new("POST", "/api/v1/sig"), post(), post().header("Authorization", "Bearer x")] {
        house.send(request).await.refused(401, "unauthorized");
    }
    house.send(bearer(post())).await.refused(404, "not_found");
    house.close().await;
}

fn login(token: &str) -> Request<'static> {
    Request::new("POST", "/login").json(json!({ "token": token }).to_string())
}

fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_browser_logs_in_by_a_cookie_that_is_not_the_token() {
    let house = House::locked().await;
    for wrong in ["", "x", "correct horse"] {
        let answer = house.send(login(wrong)).await;
        answer.refused(401, "unauthorized");
        assert_eq!(answer.header("set-cookie"), None);
    }
    let malformed = Request::new("POST", "/login").json("{\"tok\":1}");
    assert_eq!(house.send(malformed).await.refused(422, "invalid"), "tok");

    let answer = house.send(login(TOKEN)).await;
    assert_eq!(answer.status, 204);
    let set = answer.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure") && !set.contains("horse"), "{set}");
    let form = |body: &str| Request::new("POST", "/login").body("application/x-www-form-urlencoded", body);
    house.send(form("token=wrong")).await.refused(401, "unauthorized");
    assert_eq!(house.send(form("tok=1")).await.refused(422, "invalid"), "token");
    let of_form = house.send(form(&format!("a=b&token={}", TOKEN.replace(' ', "+")))).await;
    assert_eq!((of_form.status, of_form.header("location")), (303, Some("/")));
    let with_form = Request::new("GET", CAMERAS).header("Cookie", self::cookie(&of_form));
    assert_eq!(house.send(with_form).await.status, 200);

    let cookie = cookie(&answer);
    let with = |cookie: &str| Request::new("GET", CAMERAS).header("Cookie", format!("a=b; {cookie}; c=d"));
    assert_eq!(house.send(with(&cookie)).await.status, 200);
    house.send(with(&format!("{cookie}x"))).await.refused(401, "unauthorized");
    house.send(with(&cookie.replace("nightjar", "x"))).await.refused(401, "unauthorized");
    let foreign = with(&cookie).header("Origin", "http://evil.example");
    house.send(foreign).await.refused(403, "foreign_origin");
    house.close().await;

    let open = House::open().await;
    let answer = open.send(login("whatever")).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (204, None));
    open.close().await;
}

#[tokio::test]
async fn a_ticket_opens_its_own_path_for_reading() {
    let house = House::locked().await;
    let make = |path: &str| {
        bearer(Request::new("POST", "/api/v1/tickets")).json(json!({ "path": path }).to_string())
    };
    for bad in ["", "/", "/api/v1/", "/metrics", "api/v1/cameras", "http://h/api/v1/cameras"] {
        assert_eq!(house.send(make(bad)).await.refused(422, "invalid"), "path", "{bad}");
    }
    let made = house.send(make("/api/v1/cameras/fixed?stream=sub")).await;
    assert_eq!(made.status, 201);
    let ticket = made.json()["ticket"].as_str().unwrap().to_owned();
    assert!(made.json()["expires"].as_str().unwrap().ends_with('Z'));
    let ask =
        async |method: &str, path: &str| house.ask(method, &format!("{path}?a=1&ticket={ticket}")).await;
    assert_eq!(ask("GET", "/api/v1/cameras/fixed").await.status, 200);
    ask("GET", "/api/v1/cameras/other").await.refused(401, "unauthorized");
    ask("GET", CAMERAS).await.refused(401, "unauthorized");
    ask("DELETE", "/api/v1/cameras/fixed").await.refused(401, "unauthorized");
    let forged = house.ask("GET", &format!("/api/v1/cameras/fixed?ticket={ticket}x")).await;
    forged.refused(401, "unauthorized");
    house.ask("POST", "/api/v1/tickets").await.refused(401, "unauthorized");
    house.close().await;
}

#[tokio::test]
async fn the_web_view_gets_what_a_page_of_another_origin_needs() {
    let view = "tauri://localhost";
    let house = House::with(|options| {
        options.token = Some(Secret::new(TOKEN.to_owned()));
        options.allowed_origins = vec![view.to_owned()];
    })
    .await;
    let preflight = Request::new("OPTIONS", CAMERAS)
        .header("Origin", view)
        .header("Access-Control-Request-Method", "POST")
        .header("Access-Control-Request-Headers", "authorization,content-type");
    let answer = house.send(preflight).await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some(view));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("Authorization"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("PATCH"));
    let real = house.send(bearer(Request::new("GET", CAMERAS)).header("Origin", view)).await;
    assert_eq!((real.status, real.header("access-control-allow-origin")), (200, Some(view)));
    let refused = house.send(Request::new("GET", CAMERAS).header("Origin", view)).await;
    refused.refused(401, "unauthorized");
    assert_eq!(refused.header("access-control-allow-origin"), Some(view), "a page must see why");
    let foreign = Request::new("OPTIONS", CAMERAS)
        .header("Origin", "http://evil.example")
        .header("Access-Control-Request-Method", "POST");
    house.send(foreign).await.refused(403, "foreign_origin");
    house.close().await;
}

#[tokio::test]
async fn names_of_the_configuration_are_ours() {
    let house = House::with(|options| {
        options.public_url = Some("https://cams.example/".parse().unwrap());
        options.allowed_hosts = vec!["nvr.lan".to_owned()];
    })
    .await;
    for (host, origin, status) in [
        ("cams.example", "https://cams.example", 200),
        ("nvr.lan:8420", "http://nvr.lan:8420", 200),
        ("nvr.lan", "https://nvr.lan", 200),
        ("nvr.lan", "https://nvr.lan.evil", 403),
        ("nvr.lan.evil", "https://nvr.lan", 421),
    ] {
        let request = Request::new("GET", "/api/v1/health").header("Host", host).header("Origin", origin);
        assert_eq!(house.send(request).await.status, status, "{host} {origin}");
    }
    house.close().await;
}

#[tokio::test]
async fn https_has_secure_cookies_and_pages_of_its_own_scheme() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let wrong = Tls::load(&key, &key).unwrap_err();
    assert_eq!(wrong.field, "server.tls_cert");
    assert_eq!(Tls::load(&cert, &cert).unwrap_err().field, "server.tls_key");
    let tls = Tls::load(&cert, &key).unwrap();
    let house = House::with(|options| {
        options.token = Some(Secret::new(TOKEN.to_owned()));
        options.tls = Some(tls);
    })
    .await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let ask = async |request: Request<'_>| {
        let stream = tokio::net::TcpStream::connect(house.addr).await.unwrap();
        let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        stream.write_all(&request.bytes(house.addr)).await.unwrap();
        let mut read = Vec::new();
        let _ = stream.read_to_end(&mut read).await;
        Answer::parse(&read)
    };
    assert_eq!(ask(Request::new("GET", "/api/v1/health")).await.status, 200);
    let session = ask(login(TOKEN)).await;
    assert!(session.header("set-cookie").unwrap().contains("; Secure"));
    let own = format!("https://{}", house.addr);
    assert_eq!(ask(Request::new("GET", "/api/v1/health").header("Origin", own.clone())).await.status, 200);
    let plain = Request::new("GET", "/api/v1/health").header("Origin", own.replace("https", "http"));
    ask(plain).await.refused(403, "foreign_origin");
    house.close().await;
}

#[tokio::test]
async fn a_refused_sender_of_much_still_gets_its_answer() {
    let house = House::locked().await;
    let large = "a".repeat(2_000_000);
    house.send(Request::new("POST", CAMERAS).json(large.clone())).await.refused(401, "unauthorized");
    let foreign = Request::new("POST", CAMERAS).header("Host", "evil.example").json(large);
    house.send(foreign).await.refused(421, "foreign_host");
    house.close().await;
}

#[tokio::test]
async fn beyond_loopback_a_token_is_needed() {
    let house = House::open().await;
    let options = nightjar_server::ServerOptions::new(
        "0.0.0.0:0".parse().unwrap(),
        nightjar_engine::env::Env::system(),
    );
    let error = nightjar_server::Server::bind(options, house.engine.clone()).await.err().expect("refused");
    assert!(error.to_string().contains("server.token"), "{error}");
    house.close().await;
}
