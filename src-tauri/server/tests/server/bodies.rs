//! Whatever is sent: never a fault of ours, and nothing changes but by what is right.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::knock::{House, Request};

/// JSON of any shape, with the contract's own keys among others.
fn anything() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("rtsp://127.0.0.1:9/a".to_owned()),
        Just("cam".to_owned()),
        Just("udp".to_owned()),
        "\\PC{0,12}",
        "(rtsp|rtsps|http|demo)://[a-z0-9:@/%.\\[\\]-]{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let key = prop_oneof![
        3 => prop::sample::select(vec![
            "id", "name", "url", "username", "password", "transport", "sub_url", "record", "tcp_timeout",
            "keepalive_timeout", "auto_reconnect", "class", "detail", "count", "token", "path",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A right body, or JSON, with a few bytes put elsewhere.
fn mangled() -> impl Strategy<Value = Vec<u8>> {
    let right = json!({"id": "door", "url": "rtsp://127.0.0.1:9/a", "name": "Door", "transport": "udp"});
    let base = prop_oneof![Just(right), anything()].prop_map(|value| value.to_string().into_bytes());
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..4);
    (base, edits).prop_map(|(mut bytes, edits)| {
        for (at, byte, how) in edits {
            let at = at.index(bytes.len() + 1);
            match how {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

#[test]
fn no_body_is_a_fault_of_ours_and_a_refused_one_changes_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let house = runtime.block_on(House::open());
    let paths = [
        ("POST", "/api/v1/cameras"),
        ("PATCH", "/api/v1/cameras/door"),
        ("PATCH", "/api/v1/cameras/fixed"),
        ("POST", "/api/v1/cameras/fixed/fault"),
        ("POST", "/api/v1/demo"),
        ("POST", "/api/v1/tickets"),
        ("POST", "/login"),
    ];
    let mut runner = TestRunner::new(Config { cases: 600, failure_persistence: None, ..Config::default() });
    let case = (prop::sample::select(paths.to_vec()), mangled());
    let checked = runner.run(&case, |((method, path), body)| {
        runtime.block_on(async {
            let before = house.state().await;
            let answer = house.send(Request::new(method, path).json(body)).await;
            prop_assert!(answer.status < 500, "{}", answer.status);
            if answer.status >= 400 {
                let told = answer.json();
                prop_assert!(told["code"].is_string() && told["message"].is_string(), "{told}");
                prop_assert_eq!(house.state().await, before);
            } else {
                // What was right is undone, so that the next case begins the same.
                for camera in house.engine.cameras().iter().filter(|c| c.id != "fixed") {
                    house.engine.remove_camera(&camera.id).await.unwrap();
                }
            }
            Ok(())
        })
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
    runtime.block_on(house.close());
}
