//! Recordings through the door: lists, files by parts, pictures, exports.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nightjar_engine::config::{Config, MemoryStore};
use nightjar_engine::engine::{EngineHandle, Parts, Rtsp};
use nightjar_engine::env::{Env, Secret};
use nightjar_engine::store::{AlertRow, Catalogue, FoundSegment, MAIN, NewSegment, SegmentState};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::knock::{Answer, House, PATIENCE, Request, TOKEN};

/// 2026-11-20T14:00:00Z.
const START: i64 = 1_795_183_200_000_000;
const SECOND: i64 = 1_000_000;

fn id(n: u128) -> String {
    Uuid::from_u128(n).to_string()
}

/// A house with two sealed recordings of four seconds each of `fixed`, one of four that is open, and gaps.
async fn shelves(locked: bool) -> (House, TempDir, Vec<u8>) {
    let dir = TempDir::new().unwrap();
    let root = dir.path().join("recordings/fixed");
    std::fs::create_dir_all(&root).unwrap();
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc=s=320x240:r=25",
            "-t",
            "4",
            "-c:v",
            "libx264",
            "-g",
        ])
        .args(["25", "-pix_fmt", "yuv420p", "-movflags", "faststart"])
        .arg(root.join("1.mp4"))
        .status();
    assert!(made.expect("ffmpeg is installed by scripts/setup.mjs").success());
    let bytes = std::fs::read(root.join("1.mp4")).unwrap();
    for n in 2..=3 {
        std::fs::write(root.join(format!("{n}.mp4")), &bytes).unwrap();
    }
    let (catalogue, _) = Catalogue::open(&dir.path().join("catalogue.db")).unwrap();
    let found = |n: u128, state| FoundSegment {
        segment: NewSegment {
            id: Uuid::from_u128(n),
            camera: "fixed".to_owned(),
            disk: String::new(),
            path: format!("fixed/{n}.mp4"),
            start_us: START + (n as i64 - 1) * 10 * SECOND,
            codec: "h264".to_owned(),
            width: 320,
            height: 240,
        },
        // Told as the whole second.
        end_us: START + (n as i64 - 1) * 10 * SECOND + 4 * SECOND + 456,
        bytes: bytes.len() as u64,
        state,
        protected: false,
    };
    let sealed = SegmentState::Sealed;
    let just_begun = FoundSegment { bytes: 0, ..found(4, SegmentState::Open) };
    let all = [found(1, sealed), found(2, sealed), found(3, SegmentState::Open), just_begun];
    catalogue.segments_found(&all).unwrap();
    catalogue.gap("fixed", MAIN, START + 4 * SECOND, Some(START + 10 * SECOND), "source_lost").unwrap();
    catalogue.gap("fixed", MAIN, START + 24 * SECOND, None, "storage_lost").unwrap();
    let alert = AlertRow {
        id: Uuid::from_u128(77),
        kind: "camera_lost".to_owned(),
        camera: Some("fixed".to_owned()),
        since_us: START + 5 * SECOND,
        until_us: None,
        message: "gone".to_owned(),
        detail: None,
    };
    catalogue.put_alert(&alert).unwrap();
    let together = AlertRow {
        id: Uuid::from_u128(78),
        camera: None,
        since_us: START + 6 * SECOND,
        detail: Some(r#"{"cameras":["fixed","other"]}"#.to_owned()),
        ..alert
    };
    catalogue.put_alert(&together).unwrap();
    drop(catalogue);
    let config = "[recording]\nenabled = false\n[[camera]]\nid = \"fixed\"\nurl = \"rtsp://127.0.0.1:1/\"\n[[camera]]\nid = \"new\"\nurl = \"rtsp://127.0.0.1:1/\"";
    let parts = Parts {
        env: Env::system(),
        config: Config::parse(config).expect("valid"),
        store: Arc::new(MemoryStore::default()),
        sources: Arc::new(Rtsp::default()),
        demo: None,
        data_dir: Some(dir.path().to_owned()),
    };
    let engine = EngineHandle::start(parts).await.expect("it starts");
    let token = locked.then(|| Secret::new(TOKEN.to_owned()));
    let house = House::before(engine, |options| options.token = token).await;
    (house, dir, bytes)
}

fn file(n: u128) -> String {
    format!("/api/v1/recordings/{}.mp4", id(n))
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_and_gaps_of_a_span_are_listed() {
    let (house, _dir, bytes) = shelves(false).await;
    let list = house.ask("GET", "/api/v1/recordings?camera=fixed").await.json();
    let first = &list["segments"][0];
    assert_eq!(first["id"], id(1));
    assert_eq!(
        (&first["camera"], &first["state"], &first["protected"]),
        (&json!("fixed"), &json!("sealed"), &json!(false))
    );
    assert_eq!(first["start"], "2026-11-20T14:00:00.000Z");
    assert_eq!(first["end"], "2026-11-20T14:00:04.000Z");
    assert_eq!(first["bytes"], bytes.len());
    assert_eq!(list["segments"].as_array().unwrap().len(), 3);
    assert_eq!(list["segments"][2]["state"], "open");
    let gap = json!({"camera": "fixed", "start": "2026-11-20T14:00:04.000Z", "end": "2026-11-20T14:00:10.000Z", "cause": "source_lost"});
    assert_eq!(list["gaps"][0], gap);
    assert_eq!(list["gaps"][1]["open"], true);
    assert_eq!(list["events"][0]["kind"], "camera_lost");
    // What it fell together with others is its own too, and nobody else's.
    assert_eq!(list["events"][1]["cameras"], json!(["fixed", "other"]));
    assert_eq!(list["events"].as_array().unwrap().len(), 2);
    let other = house.ask("GET", "/api/v1/recordings?camera=new").await.json();
    assert_eq!(other["events"], json!([]));
    let count = |answer: Answer| answer.json()["segments"].as_array().unwrap().len();
    for (query, segments) in [
        ("", 3),
        ("?from=2026-11-20T14:00:04Z", 2),
        ("?to=2026-11-20T14:00:10Z", 1),
        ("?from=2026-11-20T14:00:03.999Z&to=2026-11-20T14:00:10.001Z", 2),
        ("?from=2026-11-20T23:00:00%2B09:00&to=2026-11-20T14:00:01Z", 1),
        ("?from=1970-01-01T00:00:00Z&to=9999-12-31T23:59:59Z", 3),
        ("?camera=new", 0),
        ("?from=2030-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(count(house.ask("GET", &format!("/api/v1/recordings{query}")).await), segments, "{query}");
    }
    for (query, field) in [
        ("?from=yesterday", "from"),
        ("?from=", "from"),
        ("?to=2026-11-20", "to"),
        ("?to=1795183200", "to"),
        ("?from=2026-11-20T14:00:00Z&to=2026-11-20T14:00:00Z", "to"),
        ("?from=2026-11-20T14:00:01Z&to=2026-11-20T14:00:00Z", "to"),
    ] {
        let answer = house.ask("GET", &format!("/api/v1/recordings{query}")).await;
        assert_eq!(answer.refused(422, "invalid"), field, "{query}");
    }
    for camera in ["nobody", "", "..%2F..", "a%20b", "%00"] {
        house.ask("GET", &format!("/api/v1/recordings?camera={camera}")).await.refused(404, "not_found");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_given_whole_and_by_parts() {
    let (house, dir, bytes) = shelves(false).await;
    let size = bytes.len();
    let path = file(1);
    let whole = house.ask("GET", &path).await;
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("video/mp4")));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert!(whole.body == bytes);
    let tag = whole.header("etag").unwrap().to_owned();
    let head = house.ask("HEAD", &path).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(size.to_string().as_str()));

    let get = |range: String| Request::new("GET", &path).header("Range", range);
    for (range, first, last) in [
        ("bytes=0-".to_owned(), 0, size - 1),
        ("bytes=0-0".to_owned(), 0, 0),
        ("bytes=1000-1999".to_owned(), 1_000, 1_999),
        ("bytes=-500".to_owned(), size - 500, size - 1),
        (format!("bytes=100-{}", size * 2), 100, size - 1),
    ] {
        let part = house.send(get(range.clone())).await;
        assert_eq!(part.status, 206, "{range}");
        assert_eq!(part.header("content-range"), Some(format!("bytes {first}-{last}/{size}").as_str()));
        assert!(part.body == bytes[first..=last], "{range}");
    }
    for range in [format!("bytes={size}-"), "bytes=-0".to_owned()] {
        let none = house.send(get(range)).await;
        assert_eq!((none.status, none.body.len()), (416, 0));
        assert_eq!(none.header("content-range"), Some(format!("bytes */{size}").as_str()));
    }
    // Not understood, so not looked at.
    for range in ["bytes=5-1", "bytes=0-1,4-5", "lines=1-2", "x"] {
        assert_eq!(house.send(get(range.to_owned())).await.status, 200, "{range}");
    }
    let ranged = |condition: &str| get("bytes=5-9".to_owned()).header("If-Range", condition);
    assert_eq!(house.send(ranged(&tag)).await.status, 206);
    assert_eq!(house.send(ranged("\"other\"")).await.status, 200);
    assert_eq!(house.send(ranged("Fri, 20 Nov 1998 14:00:00 GMT")).await.status, 200);
    let date = whole.header("last-modified").unwrap();
    assert_eq!(house.send(ranged(date)).await.status, 206);
    let again = Request::new("GET", &path).header("If-None-Match", tag.clone());
    assert_eq!(house.send(again).await.status, 304);

    // One that is being written: as large as it is when it is asked for, and never the same as before.
    let growing = file(3);
    let before = house.ask("GET", &growing).await;
    let mut grown = bytes.clone();
    grown.extend_from_slice(&[0; 1_000]);
    std::fs::write(dir.path().join("recordings/fixed/3.mp4"), &grown).unwrap();
    let after = house.ask("GET", &growing).await;
    assert_eq!((before.body.len(), after.body.len()), (size, size + 1_000));
    let stale = Request::new("GET", &growing)
        .header("Range", "bytes=5-9")
        .header("If-Range", before.header("etag").unwrap());
    assert_eq!(house.send(stale).await.status, 200);

    let one = house.ask("GET", path.trim_end_matches(".mp4")).await.json();
    assert_eq!(one["id"], id(1));
    for wrong in [
        file(99),
        "/api/v1/recordings/x.mp4".to_owned(),
        "/api/v1/recordings/..%2F..%2Fcatalogue.db".to_owned(),
        "/api/v1/recordings/fixed%2F1.mp4".to_owned(),
        path.to_uppercase().replace("/API/V1/RECORDINGS", "/api/v1/recordings"),
        path.replace(".mp4", ".mp4.mp4"),
        path.replace(".mp4", ".webm"),
    ] {
        house.ask("GET", &wrong).await.refused(404, "not_found");
    }
    std::fs::remove_file(dir.path().join("recordings/fixed/2.mp4")).unwrap();
    house.ask("GET", &file(2)).await.refused(404, "not_found");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_protected_and_removed() {
    let (house, dir, _) = shelves(false).await;
    let path = |n| format!("/api/v1/recordings/{}", id(n));
    let change = |n, body: &str| (path(n), body.to_owned());
    for (body, field) in
        [("{}", "protected"), (r#"{"protected":1}"#, "protected"), (r#"{"protected":true,"x":1}"#, "x")]
    {
        let (path, body) = change(1, body);
        let answer = house.send(Request::new("PATCH", &path).json(body.clone())).await;
        assert_eq!(answer.refused(422, "invalid"), field, "{body}");
    }
    let first = path(1);
    let protect = |on: bool| Request::new("PATCH", &first).json(format!("{{\"protected\":{on}}}"));
    let answer = house.send(protect(true)).await;
    assert_eq!((answer.status, &answer.json()["protected"]), (200, &json!(true)));
    house.ask("DELETE", &first).await.refused(409, "conflict");
    assert_eq!(house.send(protect(false)).await.json()["protected"], false);
    assert_eq!(house.ask("DELETE", &first).await.status, 204);
    house.ask("DELETE", &first).await.refused(404, "not_found");
    house.send(protect(true)).await.refused(404, "not_found");
    house.ask("DELETE", &path(3)).await.refused(409, "conflict");
    house.ask("DELETE", &file(2)).await.refused(405, "method_not_allowed");
    assert!(!dir.path().join("recordings/fixed/1.mp4").exists());
    assert!(dir.path().join("recordings/fixed/2.mp4").exists());
    let list = house.ask("GET", "/api/v1/recordings").await.json();
    assert_eq!(list["gaps"][0]["cause"], "removed");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_of_a_recording_has_a_picture() {
    let (house, _dir, _) = shelves(false).await;
    let path = format!("/api/v1/recordings/{}/thumbnail.jpg", id(1));
    let still = house.ask("GET", &path).await;
    assert_eq!((still.status, still.header("content-type")), (200, Some("image/jpeg")));
    assert_eq!(still.header("last-modified"), Some("Fri, 20 Nov 2026 14:00:00 GMT"));
    let later = house.ask("GET", &format!("{path}?at=2026-11-20T14:00:02.900Z&width=160")).await;
    assert_eq!(later.header("last-modified"), Some("Fri, 20 Nov 2026 14:00:02 GMT"));
    assert!(later.body.len() < still.body.len() && later.body.starts_with(&[0xff, 0xd8]));
    for (query, field) in
        [("?at=soon", "at"), ("?at=2026-11-20T14:00:09Z", "at"), ("?width=1", "width"), ("?width=x", "width")]
    {
        assert_eq!(
            house.ask("GET", &format!("{path}{query}")).await.refused(422, "invalid"),
            field,
            "{query}"
        );
    }
    house.ask("GET", &path.replace(&id(1), &id(9))).await.refused(404, "not_found");
    house.close().await;
}

async fn finished(house: &House, export: &str) -> Value {
    let done = async {
        loop {
            let now = house.ask("GET", &format!("/api/v1/exports/{export}")).await.json();
            if now["state"] == "done" || now["state"] == "failed" {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.expect("it is done in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_is_exported_and_taken_away() {
    let (house, dir, _) = shelves(false).await;
    let post = |body: Value| Request::new("POST", "/api/v1/exports").json(body.to_string());
    let (from, to) = ("2026-11-20T14:00:01Z", "2026-11-20T14:00:12Z");
    for (body, field) in [
        (json!({"from": from, "to": to}), "camera"),
        (json!({"camera": "fixed", "to": to}), "from"),
        (json!({"camera": "fixed", "from": from}), "to"),
        (json!({"camera": "fixed", "from": "x", "to": to}), "from"),
        (json!({"camera": "fixed", "from": from, "to": 5}), "to"),
        (json!({"camera": "fixed", "from": to, "to": from}), "to"),
        (json!({"camera": "fixed", "from": from, "to": from}), "to"),
        (json!({"camera": "fixed", "from": from, "to": to, "cut": "fine"}), "cut"),
        (json!({"camera": "fixed", "from": from, "to": to, "path": "/etc/passwd"}), "path"),
        (json!({"camera": "fixed", "from": "2026-11-20T14:00:05Z", "to": "2026-11-20T14:00:09Z"}), "from"),
        (json!({"camera": "new", "from": from, "to": to}), "from"),
    ] {
        assert_eq!(house.send(post(body.clone())).await.refused(422, "invalid"), field, "{body}");
    }
    house.send(post(json!({"camera": "nobody", "from": from, "to": to}))).await.refused(404, "not_found");
    house.send(Request::new("POST", "/api/v1/exports").json("{")).await.refused(400, "malformed");

    let begun = house.send(post(json!({"camera": "fixed", "from": from, "to": to}))).await;
    assert_eq!(begun.status, 202);
    let export = begun.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(begun.header("location"), Some(format!("/api/v1/exports/{export}").as_str()));
    let done = finished(&house, &export).await;
    assert_eq!(
        (&done["state"], &done["progress"], &done["cut"]),
        (&json!("done"), &json!(1.0), &json!("exact"))
    );
    // Three seconds before the gap, two after it.
    assert_eq!(done["seconds"], 5.0);
    assert_eq!(done["name"], "fixed_20261120_140001Z.mp4");
    let film = house.ask("GET", &format!("/api/v1/exports/{export}.mp4")).await;
    assert_eq!((film.status, film.body.len() as u64), (200, done["bytes"].as_u64().unwrap()));
    let saved = "attachment; filename=\"fixed_20261120_140001Z.mp4\"";
    assert_eq!(film.header("content-disposition"), Some(saved));
    let part = format!("/api/v1/exports/{export}.mp4");
    let part = house.send(Request::new("GET", &part).header("Range", "bytes=0-7")).await;
    assert_eq!((part.status, &part.body[4..]), (206, &b"ftyp"[..]));
    assert_eq!(house.ask("GET", "/api/v1/exports").await.json()["exports"].as_array().unwrap().len(), 1);
    let path = format!("/api/v1/exports/{export}");
    assert_eq!(house.ask("DELETE", &path).await.status, 204);
    house.ask("GET", &path).await.refused(404, "not_found");
    house.ask("GET", &format!("{path}.mp4")).await.refused(404, "not_found");
    house.ask("DELETE", &path).await.refused(404, "not_found");
    assert_eq!(std::fs::read_dir(dir.path().join("exports")).unwrap().count(), 0);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn films_are_for_those_who_may_see_them() {
    let (house, _dir, bytes) = shelves(true).await;
    let path = file(1);
    house.ask("GET", &path).await.refused(401, "unauthorized");
    house.ask("GET", "/api/v1/recordings").await.refused(401, "unauthorized");
    let ask = Request::new("POST", "/api/v1/tickets")
        .header("Authorization", format!("Bearer {TOKEN}"))
        .json(json!({ "path": path }).to_string());
    let ticket = house.send(ask).await.json()["ticket"].as_str().unwrap().to_owned();
    let opened = house.ask("GET", &format!("{path}?ticket={ticket}")).await;
    assert_eq!(opened.status, 200);
    assert!(opened.body == bytes);
    assert_eq!(opened.header("cross-origin-resource-policy"), Some("cross-origin"));
    house.ask("GET", &format!("{}?ticket={ticket}", file(2))).await.refused(401, "unauthorized");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_recordings_take_is_told() {
    let (house, _dir, bytes) = shelves(false).await;
    let storage = house.ask("GET", "/api/v1/storage").await.json();
    assert_eq!(storage["used_bytes"], 3 * bytes.len());
    assert_eq!(storage["cameras"][0]["camera"], "fixed");
    assert_eq!(storage["cameras"][0]["segments"], 4, "with the one that was just begun");
    assert_eq!(storage["reserved_bytes"], 2_000_000_000_u64);
    house.close().await;
}
