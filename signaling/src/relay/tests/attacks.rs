//! More of who tries to break it, and what must hold whatever the desk does meanwhile.

use super::*;

fn candidate(text: &str) -> Value {
    json!({"type": "ice_candidate", "data": {"candidate": text}})
}

/// A phone in its room, with an answered offer of generation 1.
fn publishing(stage: &mut Stage, socket: SocketId, phone: &Phone, device: &str, room: &str) {
    enter(stage, socket, phone, device);
    stage.say(socket, json!({"v": 1, "type": "join_room", "room": room}));
    stage.say(socket, json!({"v": 1, "type": "offer", "gen": 1, "neg": 1, "sdp": "v=0"}));
    stage.answer(socket, Ok("answer"));
    stage.calls.clear();
}

#[test]
fn a9_a_phone_hears_of_no_other_phone_of_its_room() {
    let (one, two) = (Phone::new(), Phone::new());
    let mut stage = Stage::new(Mode::Desk, vec![one.device("d1", "r"), two.device("d2", "r")]);
    publishing(&mut stage, 1, &one, "d1", "r");
    stage.heard(1);
    enter(&mut stage, 2, &two, "d2");
    stage.say(2, json!({"v": 1, "type": "join_room", "room": "r", "role": "viewer"}));
    assert_eq!(stage.only(2)["peers"], json!([]), "the roster has no phone");
    assert_eq!(stage.heard(1), [] as [Value; 0], "nor is it told of one");
    stage.join(3, "r", Some("viewer"));
    for socket in [1, 2] {
        let told = stage.only(socket);
        assert_eq!((&told["type"], &told["role"]), (&json!("peer_joined"), &json!("viewer")));
    }
    // It names the other, or wants it reborn.
    for (id, message) in [
        json!({"v": 1, "type": "ice_candidate", "to": "d1", "gen": 1, "candidate": null}),
        json!({"v": 1, "type": "reconnect_request", "reason": "mine now"}),
        json!({"v": 1, "type": "reconnect_request", "to": "d1", "reason": "mine now"}),
    ]
    .into_iter()
    .enumerate()
    {
        stage.say(2, message);
        if id > 0 {
            assert_eq!(stage.only(2)["code"], "forbidden");
        }
    }
    stage.heard(2);
    stage.act(|rooms, at| rooms.closed(2, at));
    assert_eq!(stage.heard(1), [] as [Value; 0], "nor of its going");
}

#[test]
fn a19_a_bad_description_costs_the_session_nothing_and_ten_of_them_the_connection() {
    let phone = Phone::new();
    let mut stage = Stage::new(Mode::Desk, vec![phone.device("d1", "r1")]);
    publishing(&mut stage, 1, &phone, "d1", "r1");
    stage.join(2, "r1", Some("viewer"));
    stage.heard(1);
    stage.heard(2);
    let bad = [
        "v=0\r\n".to_owned() + &"m=a\r\n".repeat(10_000),
        "x".repeat(65 * 1_024),
        "v=0\r\na=mid:0\ra=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n".to_owned(),
    ];
    for sdp in &bad {
        stage.now += Duration::from_secs(1);
        stage.say(1, json!({"v": 1, "type": "offer", "gen": 2, "neg": 1, "sdp": sdp}));
        assert_eq!(stage.only(1)["code"], "bad_sdp");
    }
    assert_eq!((stage.calls_of(1), stage.heard(2)), (Vec::new(), Vec::new()), "nobody else notices");
    // What is there goes on: its candidates are still of its connection.
    stage.say(1, json!({"v": 1, "type": "ice_candidate", "gen": 1, "candidate": null}));
    assert_eq!(stage.calls_of(1).len(), 1);
    while !stage.closed.contains_key(&1) {
        stage.now += Duration::from_millis(100);
        stage.say(1, json!({"v": 1, "type": "offer", "gen": 2, "neg": 1, "sdp": bad[1]}));
        assert!(stage.heard(1).len() <= 3);
    }
    assert_eq!(stage.closed[&1], 4429);
}

#[test]
fn a20_ten_thousand_candidates_are_sixty_four_and_names_are_not_resolved() {
    let phone = Phone::new();
    let mut stage = Stage::new(Mode::Desk, vec![phone.device("d1", "r1")]);
    publishing(&mut stage, 1, &phone, "d1", "r1");
    stage.heard(1);
    let name = format!("candidate:1 1 udp 1 {}.local 5000 typ host", "x".repeat(300));
    for text in [
        &*name,
        "candidate:1 1 udp 1 ::1 22 typ host",
        "candidate:1 1 udp 1 ::ffff:127.0.0.1 22 typ host",
        "candidate:1 1 udp 1 224.0.0.251 5353 typ host",
        "candidate:1 1 udp 1 255.255.255.255 9 typ host",
        "candidate:1 1 tcp 1 10.0.0.1 9 typ host tcptype active",
        "candidate:1 1 udp 1 evil.example 5000 typ host",
    ] {
        stage.now += Duration::from_millis(100);
        let mut message = candidate(text)["data"].clone();
        message["v"] = json!(1);
        message["type"] = json!("ice_candidate");
        message["gen"] = json!(1);
        stage.say(1, message);
        assert_eq!(stage.calls_of(1), [], "{text}");
    }
    let mut passed = 0;
    for n in 0..10_000_u32 {
        stage.now += Duration::from_millis(50);
        let text = format!("candidate:{n} 1 udp 1 10.0.{}.{} 5000 typ host", n / 250, n % 250);
        stage.say(1, json!({"v": 1, "type": "ice_candidate", "gen": 1, "candidate": text}));
        passed += stage.calls_of(1).len();
    }
    assert!(passed <= limits::CANDIDATES, "{passed}");
    assert!(!stage.closed.contains_key(&1), "they cost nothing but themselves");
}

/// The engine knows candidates of its own before its answer is on its way.
#[test]
fn r_s2_our_candidates_stay_behind_the_answer() {
    let mut stage = Stage::desk();
    stage.join(1, "r", Some("publisher"));
    stage.say(1, json!({"type": "offer", "data": {"sdp": "v=0\r\n", "type": "offer"}}));
    let own = |n: u8| Candidate {
        candidate: format!("candidate:{n} 1 udp 1 10.0.0.{n} 5000 typ host"),
        sdp_mid: Some("0".into()),
        sdp_m_line_index: Some(0),
    };
    let tell = |stage: &mut Stage, generation, n| {
        let message = ToPeer::Candidate { generation, candidate: own(n) };
        stage.act(|rooms, at| rooms.told(1, 1, message, at));
    };
    tell(&mut stage, 1, 1);
    tell(&mut stage, 1, 2);
    assert_eq!(stage.heard(1), [] as [Value; 0], "nothing before the answer");
    stage.answer(1, Ok("v=0 answer"));
    tell(&mut stage, 1, 3);
    let heard = stage.heard(1);
    let kinds: Vec<&str> = heard.iter().map(|message| message["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["answer", "ice_candidate", "ice_candidate", "ice_candidate"]);
    for (n, message) in heard[1..].iter().enumerate() {
        assert_eq!(message["data"]["candidate"], own(u8::try_from(n + 1).unwrap()).candidate);
        assert_eq!(message["data"]["sdpMid"], "0");
    }
    // Those of a connection of the past come to nobody.
    stage.say(1, json!({"type": "offer", "data": {"sdp": "v=0\r\n", "type": "offer"}}));
    tell(&mut stage, 1, 4);
    tell(&mut stage, 2, 5);
    stage.answer(1, Ok("v=0 answer"));
    let heard = stage.heard(1);
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[1]["data"]["candidate"], own(5).candidate);
}
