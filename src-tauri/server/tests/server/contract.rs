//! The routes and their answers (DESIGN §5).

use serde_json::json;

use crate::knock::{Answer, House, Request};

#[tokio::test]
async fn health_cameras_and_alerts_have_their_shapes() {
    let house = House::open().await;
    let health = house.ask("GET", "/api/v1/health").await;
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("ok")));
    assert!(health.json()["version"].is_string());

    let cameras = house.ask("GET", "/api/v1/cameras").await.json();
    let camera = &cameras["cameras"][0];
    assert_eq!(camera["id"], "fixed");
    assert_eq!(camera["kind"], "rtsp");
    assert_eq!(camera["state"]["name"], "connecting");
    assert!(camera["state"]["since"].as_str().unwrap().ends_with('Z'));
    assert_eq!(camera["recording"]["state"], "off");
    assert_eq!(camera["tracks"], json!([]));
    assert!(camera["stats"].as_object().unwrap().contains_key("last_frame_ms"));
    assert_eq!(camera["stats"]["last_frame_ms"], json!(null));
    assert_eq!(house.ask("GET", "/api/v1/alerts").await.json(), json!({"alerts": []}));
    house.close().await;
}

#[tokio::test]
async fn r_n10_what_is_told_is_set_while_it_runs_and_its_address_is_never_given_out() {
    let house = House::open().await;
    let path = "/api/v1/alerts/settings";
    let first = json!({"after_seconds": 10, "quiet_from": null, "quiet_until": null, "webhook": null});
    assert_eq!(house.ask("GET", path).await.json(), first);
    let change = r#"{"after_seconds":30,"quiet_from":"22:00","quiet_until":"07:00","webhook":"https://hook.example/x?key=hush-hush"}"#;
    let answer = house.send(Request::new("PATCH", path).json(change)).await;
    let now = json!({"after_seconds": 30, "quiet_from": "22:00", "quiet_until": "07:00", "webhook": "hook.example"});
    assert_eq!((answer.status, answer.json()), (200, now.clone()));
    for (body, field) in [
        (r#"{"after_seconds":-1}"#, "after_seconds"),
        (r#"{"quiet_until":null}"#, "quiet_until"),
        (r#"{"webhook":"file:///x"}"#, "webhook"),
        (r#"{"volume":3}"#, "volume"),
    ] {
        let refused = house.send(Request::new("PATCH", path).json(body)).await;
        assert_eq!((refused.status, &refused.json()["field"]), (422, &json!(field)), "{body}");
    }
    assert_eq!(house.ask("GET", path).await.json(), now, "nothing of it was taken");
    house.ask("DELETE", path).await.refused(405, "method_not_allowed");
    let off = r#"{"quiet_from":null,"quiet_until":null,"webhook":null,"after_seconds":null}"#;
    assert_eq!(house.send(Request::new("PATCH", path).json(off)).await.json(), first);
    house.close().await;
}

#[tokio::test]
async fn r_m4_a_camera_is_added_read_changed_and_removed() {
    let house = House::open().await;
    let body =
        r#"{"id":"door","name":"Door","url":"rtsp://127.0.0.1:9/a","username":"u","password":"hunter2"}"#;
    let added = house.send(Request::new("POST", "/api/v1/cameras").json(body)).await;
    assert_eq!(added.status, 201);
    assert_eq!(added.header("location"), Some("/api/v1/cameras/door"));
    assert_eq!(added.json()["has_password"], true);
    assert!(!String::from_utf8_lossy(&added.body).contains("hunter2"));
    assert_eq!(house.ask("GET", "/api/v1/cameras/door").await.json()["name"], "Door");

    let again = house.send(Request::new("POST", "/api/v1/cameras").json(body)).await;
    again.refused(409, "duplicate");
    let named = Request::new("PATCH", "/api/v1/cameras/door").json(r#"{"name":"Tor"}"#);
    assert_eq!(house.send(named).await.json()["name"], "Tor");
    assert_eq!(house.ask("POST", "/api/v1/cameras/door/retry").await.status, 202);
    let fault =
        Request::new("POST", "/api/v1/cameras/door/fault").json(r#"{"class":"DECODER","detail":"x"}"#);
    assert_eq!(house.send(fault).await.status, 204);

    let gone = house.ask("DELETE", "/api/v1/cameras/door").await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    house.ask("GET", "/api/v1/cameras/door").await.refused(404, "not_found");
    house.ask("DELETE", "/api/v1/cameras/door").await.refused(404, "not_found");
    let unnamed = Request::new("POST", "/api/v1/cameras").json(r#"{"url":"rtsp://127.0.0.1:9/a"}"#);
    assert_eq!(house.send(unnamed).await.json()["id"], "cam_01");
    house.close().await;
}

#[tokio::test]
async fn a_camera_of_the_file_is_read_only() {
    let house = House::open().await;
    let before = house.state().await;
    let change = Request::new("PATCH", "/api/v1/cameras/fixed").json(r#"{"name":"x"}"#);
    house.send(change).await.refused(409, "read_only");
    house.ask("DELETE", "/api/v1/cameras/fixed").await.refused(409, "read_only");
    assert_eq!(house.state().await, before);
    house.close().await;
}

#[tokio::test]
async fn every_bad_camera_is_refused_by_its_field_and_changes_nothing() {
    let house = House::open().await;
    let before = house.state().await;
    let long = format!(r#"{{"url":"rtsp://h/{}"}}"#, "a".repeat(3_000));
    for (body, status, code, field) in [
        ("", 400, "malformed", ""),
        ("{", 400, "malformed", ""),
        (r#"{"url":"rtsp://h/"}x"#, 400, "malformed", ""),
        ("null", 422, "invalid", "body"),
        ("[]", 422, "invalid", "body"),
        ("\"rtsp://h/\"", 422, "invalid", "body"),
        ("{}", 422, "invalid", "url"),
        (r#"{"url":null}"#, 422, "invalid", "url"),
        (r#"{"url":7}"#, 422, "invalid", "url"),
        (r#"{"url":""}"#, 422, "invalid", "url"),
        (r#"{"url":"door"}"#, 422, "invalid", "url"),
        (r#"{"url":"http://h/"}"#, 422, "invalid", "url"),
        (r#"{"url":"rtsp://"}"#, 422, "invalid", "url"),
        (r#"{"url":"rtsp:///a"}"#, 422, "invalid", "url"),
        (r#"{"url":"rtsp://h:99999/"}"#, 422, "invalid", "url"),
        (r#"{"url":"rtsp://h:0/"}"#, 422, "invalid", "url"),
        (r#"{"url":"rtsp://[::1/"}"#, 422, "invalid", "url"),
        (r#"{"url":"rtsp://u:hunter2@h/"}"#, 422, "invalid", "url"),
        (r#"{"url":"rtsp://h/\r\nX: y"}"#, 422, "invalid", "url"),
        (r#"{"url":"file:///etc/passwd"}"#, 422, "invalid", "url"),
        (&long, 422, "invalid", "url"),
        (r#"{"url":"demo:0"}"#, 422, "invalid", "url"),
        (r#"{"url":"demo:99"}"#, 422, "invalid", "url"),
        (r#"{"url":"DEMO:1"}"#, 422, "invalid", "url"),
        (r#"{"url":"demo://u:hunter2@x"}"#, 422, "invalid", "url"),
        (r#"{"url":"rtsp://h/","sub_url":"demo:1/main"}"#, 422, "invalid", "sub_url"),
        (r#"{"url":"rtsp://h/?password=***"}"#, 422, "invalid", "url"),
        (r#"{"url":"rtsp://h/","id":""}"#, 422, "invalid", "id"),
        (r#"{"url":"rtsp://h/","id":"a b"}"#, 422, "invalid", "id"),
        (r#"{"url":"rtsp://h/","id":"../x"}"#, 422, "invalid", "id"),
        (r#"{"url":"rtsp://h/","id":"é"}"#, 422, "invalid", "id"),
        (r#"{"url":"rtsp://h/","name":""}"#, 422, "invalid", "name"),
        (r#"{"url":"rtsp://h/","name":"a\u0000b"}"#, 422, "invalid", "name"),
        (r#"{"url":"rtsp://h/","transport":"quic"}"#, 422, "invalid", "transport"),
        (r#"{"url":"rtsp://h/","sub_url":"ftp://h/"}"#, 422, "invalid", "sub_url"),
        (r#"{"url":"rtsp://h/","keepalive_timeout":2}"#, 422, "invalid", "keepalive_timeout"),
        (r#"{"url":"rtsp://h/","keepalive_timeout":11}"#, 422, "invalid", "keepalive_timeout"),
        (r#"{"url":"rtsp://h/","reconnect_delay_seconds":0}"#, 422, "invalid", "reconnect_delay_seconds"),
        (r#"{"url":"rtsp://h/","colour":"red"}"#, 422, "invalid", "colour"),
    ] {
        for path in ["/api/v1/cameras", "/api/v1/cameras/probe"] {
            let answer = house.send(Request::new("POST", path).json(body)).await;
            assert_eq!(answer.refused(status, code), field, "{body}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("hunter2"));
        }
    }
    assert_eq!(house.state().await, before);
    house.close().await;
}

#[tokio::test]
async fn bodies_are_bounded_and_typed() {
    let house = House::open().await;
    let before = house.state().await;
    let large = format!(r#"{{"url":"rtsp://h/","name":"{}"}}"#, "a".repeat(70_000));
    for path in ["/api/v1/cameras", "/api/v1/cameras/fixed/retry", "/api/v1/exports", "/login"] {
        let answer = house.send(Request::new("POST", path).json(large.clone())).await;
        answer.refused(413, "too_large");
    }
    let mut chunked = Vec::new();
    for chunk in large.as_bytes().chunks(1_000) {
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let request =
        Request::new("POST", "/api/v1/cameras").header("Transfer-Encoding", "chunked").json(chunked);
    house.send(request).await.refused(413, "too_large");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application", ""] {
        let request = Request::new("POST", "/api/v1/cameras").body(kind, r#"{"url":"rtsp://h/"}"#);
        house.send(request).await.refused(415, "unsupported_media_type");
    }
    let mut untyped = Request::new("POST", "/api/v1/cameras");
    untyped.body = br#"{"url":"rtsp://h/"}"#.to_vec();
    house.send(untyped).await.refused(415, "unsupported_media_type");
    assert_eq!(house.state().await, before);
    house.close().await;
}

#[tokio::test]
async fn wrong_addresses_and_methods_are_told() {
    let house = House::open().await;
    for path in [
        "/api/v1/nope",
        "/api/v1/",
        "/api",
        "/api/v2/cameras",
        "/api/v1/cameras/",
        "/api/v1/cameras/nope",
        "/api/v1/cameras/%00",
        "/api/v1/cameras/%ff",
        "/api/v1/cameras/%zz",
        "/api/v1/cameras/..%2f..%2fetc",
        "/api/v1/cameras/fixed/",
        "/api/v1/cameras/nope/snapshot.jpg",
        "/api/v1/cameras/fixed/nope",
        "//api/v1/cameras",
        "/API/v1/cameras",
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/assets/../index.html",
        "/assets",
        "/nope",
    ] {
        house.ask("GET", path).await.refused(404, "not_found");
    }
    house.ask("POST", "/api/v1/nope").await.refused(404, "not_found");
    let long_id = format!("/api/v1/cameras/{}", "a".repeat(65));
    house.ask("GET", &long_id).await.refused(404, "not_found");
    for (method, path, allow) in [
        ("POST", "/api/v1/health", "GET,HEAD"),
        ("PUT", "/api/v1/cameras", "GET,HEAD,POST"),
        ("DELETE", "/api/v1/cameras", "GET,HEAD,POST"),
        ("GET", "/api/v1/cameras/probe", "POST"),
        ("PUT", "/api/v1/cameras/fixed", "GET,HEAD,PATCH,DELETE"),
        ("GET", "/api/v1/cameras/fixed/retry", "POST"),
        ("POST", "/api/v1/events", "GET,HEAD"),
        ("BREW", "/metrics", "GET,HEAD"),
        ("POST", "/", "GET,HEAD"),
        ("DELETE", "/api/v1/recordings/01a1faef-c2ea-7240-8a7d-2aa132667204.mp4", "GET,HEAD"),
        ("DELETE", "/api/v1/exports/x.mp4", "GET,HEAD"),
        ("PUT", "/api/v1/recordings/01a1faef-c2ea-7240-8a7d-2aa132667204.mp4", "GET,HEAD"),
        ("POST", "/api/v1/exports/x.mp4", "GET,HEAD"),
        ("PUT", "/api/v1/exports/x", "GET,HEAD,DELETE"),
    ] {
        let answer = house.ask(method, path).await;
        answer.refused(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
    }
    house.close().await;
}

#[tokio::test]
async fn r_p1_the_phones_page_may_use_its_camera_and_nobody_elses_may() {
    let house = House::open().await;
    let page = house.ask("GET", "/publish").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("permissions-policy"), Some("camera=(self), microphone=(self)"));
    for nothing in ["/publish/", "/publish/../index.html", "/publish/none.js", "/publishx"] {
        house.ask("GET", nothing).await.refused(404, "not_found");
    }
    house.close().await;
}

#[tokio::test]
async fn what_is_not_built_yet_says_so() {
    let house = House::open().await;
    house.ask("POST", "/api/v1/cameras/fixed/ptz").await.refused(501, "not_implemented");
    house.ask("POST", "/api/v1/cameras/nope/ptz").await.refused(404, "not_found");
    house.close().await;
}

#[tokio::test]
async fn requests_that_are_none_get_words_too() {
    let house = House::open().await;
    for raw in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GARBAGE\r\n\r\n",
        "POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
    ] {
        let mut raw = raw.as_bytes().to_vec();
        // Where the request is whole, its connection is closed by its own wish.
        if let Some(at) = raw.windows(4).position(|w| w == b"\r\n\r\n") {
            raw.splice(at..at, b"\r\nConnection: close".iter().copied());
        }
        house.raw(&raw).await.refused(400, "malformed");
    }
    let huge = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    house.raw(huge.as_bytes()).await.refused(431, "too_large");
    let star = Request::new("OPTIONS", "*");
    house.send(star).await.refused(400, "malformed");
    house.close().await;
}

#[tokio::test]
async fn answers_carry_their_headers_and_head_has_no_body() {
    let house = House::open().await;
    for path in ["/", "/api/v1/cameras", "/api/v1/nope"] {
        let answer = house.ask("GET", path).await;
        for (name, part) in [
            ("content-security-policy", "script-src 'self';"),
            ("content-security-policy", "frame-ancestors 'none'"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert!(answer.header(name).is_some_and(|v| v.contains(part)), "{path} {name}");
        }
        let head = house.ask("HEAD", path).await;
        assert_eq!((head.status, head.body.len()), (answer.status, 0), "{path}");
        assert_eq!(head.header("content-length"), answer.header("content-length"));
    }
    assert_eq!(house.ask("GET", "/api/v1/cameras").await.header("cache-control"), Some("no-store"));
    house.close().await;
}

#[tokio::test]
async fn metrics_speak_prometheus() {
    let house = House::open().await;
    let answer = house.ask("GET", "/metrics").await;
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.contains("nightjar_camera_state{camera=\"fixed\",state=\"connecting\"} 1\n"), "{text}");
    assert!(text.contains("nightjar_camera_viewers{camera=\"fixed\"} 0\n"));
    let mut described = std::collections::HashSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(described.insert(rest.split(' ').next().unwrap().to_owned()), "twice: {line}");
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(described.contains(sample.split('{').next().unwrap()), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    house.close().await;
}

#[tokio::test]
async fn the_description_and_the_routes_are_the_same() {
    let house = House::open().await;
    let document = house.ask("GET", "/api/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = std::collections::HashSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        // Every route refuses a method that is none, and tells those that it takes.
        let real = path.replace("{id}", "fixed").replace(['{', '}'], "");
        let answer: Answer = house.ask("BREW", &real).await;
        answer.refused(405, "method_not_allowed");
        let mut routed: Vec<String> =
            answer.header("allow").unwrap().split(',').map(str::to_ascii_lowercase).collect();
        routed.retain(|method| method != "head");
        routed.sort();
        let mut described: Vec<String> = item.as_object().unwrap().keys().cloned().collect();
        described.sort();
        assert_eq!(routed, described, "{path}");
        for (method, operation) in item.as_object().unwrap() {
            assert!(ids.insert(operation["operationId"].clone()), "{method} {path}: its id is used twice");
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.contains_key("421") && answers.contains_key("403"), "{method} {path}");
        }
    }
    // A file is no JSON, and what may be left out is not required.
    for kind in ["recordings", "exports"] {
        let answers = &document["paths"][format!("/api/v1/{kind}/{{id}}.mp4")]["get"]["responses"];
        assert_eq!(answers["200"]["content"].as_object().unwrap().keys().collect::<Vec<_>>(), ["video/mp4"]);
        let answers = &document["paths"][format!("/api/v1/{kind}/{{id}}")]["get"]["responses"];
        assert_eq!(
            answers["200"]["content"].as_object().unwrap().keys().collect::<Vec<_>>(),
            ["application/json"]
        );
        assert_eq!(answers.get("206"), None);
    }
    assert_eq!(document["paths"]["/api/v1/pairings"]["post"]["requestBody"]["required"], false);
    assert!(document["paths"]["/api/v1/exports"]["post"]["responses"]["507"].is_object());
    // Every reference leads somewhere.
    let text = document.to_string();
    for (at, _) in text.match_indices("\"#/") {
        let pointer = text[at + 2..].split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    // The contract's own list, so that a route cannot get lost on both sides.
    for path in [
        "/api/v1/health",
        "/api/v1/cameras",
        "/api/v1/cameras/probe",
        "/api/v1/cameras/{id}",
        "/api/v1/cameras/{id}/retry",
        "/api/v1/cameras/{id}/recording",
        "/api/v1/cameras/{id}/fault",
        "/api/v1/cameras/{id}/ptz",
        "/api/v1/cameras/{id}/snapshot.jpg",
        "/api/v1/cameras/{id}/whep",
        "/api/v1/cameras/{id}/live",
        "/api/v1/whip/{room}",
        "/api/v1/recordings",
        "/api/v1/recordings/{id}",
        "/api/v1/recordings/{id}.mp4",
        "/api/v1/recordings/{id}/thumbnail.jpg",
        "/api/v1/storage",
        "/api/v1/exports",
        "/api/v1/exports/{id}",
        "/api/v1/exports/{id}.mp4",
        "/api/v1/alerts",
        "/api/v1/devices",
        "/api/v1/devices/{id}",
        "/api/v1/pairings",
        "/api/v1/events",
        "/signal",
        "/api/v1/sig",
        "/api/v1/sig/stream",
        "/metrics",
        "/api/v1/debug/pipeline.dot",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    house.close().await;
}

#[tokio::test]
async fn demo_cameras_are_added_up_to_their_number() {
    let house = House::open().await;
    let demo = |count: &str| Request::new("POST", "/api/v1/demo").json(format!("{{\"count\":{count}}}"));
    for bad in ["0", "17", "-1", "1.5", "\"1\"", "null", "99999999999"] {
        assert_eq!(house.send(demo(bad)).await.refused(422, "invalid"), "count", "{bad}");
    }
    let added = house.send(demo("2")).await;
    assert_eq!(added.status, 201);
    let cameras = added.json()["cameras"].clone();
    assert_eq!((&cameras[0]["kind"], &cameras[1]["url"]), (&json!("demo"), &json!("demo:2")));
    assert_eq!(cameras[0]["name"], "Front door");
    house.send(demo("15")).await.refused(422, "invalid");
    assert_eq!(house.send(demo("14")).await.json()["cameras"].as_array().unwrap().len(), 14);
    assert_eq!(house.engine.cameras().len(), 17);
    house.close().await;
}
