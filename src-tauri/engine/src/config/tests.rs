use super::*;

#[test]
fn r_k5_r_m8_the_keys_of_the_contract_and_their_defaults() {
    let text = r#"
        [server]
        listen = "127.0.0.1:9000"
        token = "t"
        public_url = "https://cams.example"
        allowed_hosts = ["cams.example"]
        [streaming]
        tcp_timeout = 5000
        keepalive_timeout = 3
        auto_reconnect = false
        max_reconnect_attempts = 0
        reconnect_delay_seconds = 1
        [recording]
        root = "/srv/video"
        enabled = false
        segment_seconds = 60
        segment_bytes = 1000000
        retention_days = 1
        min_free_gb = 0.5
        overwrite = false
        quota_gb = 500.0
        [[recording.disk]]
        name = "attic"
        root = "/mnt/attic"
        min_free_gb = 10
        quota_gb = 2000
        [webrtc]
        udp_ports = "40000-40010"
        tcp_port = 8555
        ice_servers = [{ urls = ["turn:turn.example:3478"], username = "u", credential = "c" }]
        [signaling]
        enabled = false
        listen = "127.0.0.1:8444"
        legacy_join = true
        room_key = "k"
        [[camera]]
        id = "cam_01"
        name = "Door"
        url = "rtsp://192.168.1.20/main"
        username = "admin"
        password = "hunter2"
        transport = "udp"
        sub_url = "rtsp://192.168.1.20/sub"
        tls_fingerprint = "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
        record = true
        record_schedule = ["Mon-Fri 08:00-18:00", "22:00-06:00"]
        pre_roll_seconds = 10
        record_quota_gb = 20
        record_disk = "attic"
        keepalive_timeout = 10
    "#;
    let config = Config::parse(text).expect("valid");
    assert_eq!(config.webrtc.udp_ports, 40_000..=40_010);
    assert_eq!(config.streaming.for_camera(&config.camera[0]).keepalive_timeout, 10);
    assert!(!format!("{config:?}").contains("hunter2"), "no secret in a log");
    let empty = Config::parse("").expect("every key has a default");
    assert_eq!(empty, Config::default());
    assert_eq!(empty.streaming.tcp_timeout, 10_000);
    assert_eq!(empty.server.listen.to_string(), "127.0.0.1:8420");
}

#[test]
fn every_complaint_names_its_field_in_one_line() {
    for (text, field) in [
        ("[server]\nlisten = \"nowhere\"", "server.listen"),
        ("[server]\nlisen = \"127.0.0.1:1\"", "server.lisen"),
        ("[server]\ntoken = \"\"", "server.token"),
        ("[server]\ntls_cert = \"a\"", "server.tls_key"),
        ("[server]\npublic_url = \"cams\"", "server.public_url"),
        ("sever = 1", "sever"),
        ("[streaming]\nkeepalive_timeout = 2", "streaming.keepalive_timeout"),
        ("[streaming]\nkeepalive_timeout = 11", "streaming.keepalive_timeout"),
        ("[streaming]\nkeepalive_timeout = \"5\"", "streaming.keepalive_timeout"),
        ("[streaming]\nmax_reconnect_attempts = -1", "streaming.max_reconnect_attempts"),
        ("[recording]\nmin_free_gb = nan", "recording.min_free_gb"),
        ("[recording]\nsegment_seconds = 0", "recording.segment_seconds"),
        ("[recording]\nquota_gb = -1", "recording.quota_gb"),
        ("[[camera]]\nurl = \"rtsp://h/\"\nrecord_schedule = []", "camera[0].record_schedule: must name"),
        (
            "[[camera]]\nurl = \"rtsp://h/\"\nrecord_schedule = [\"08:00-09:00\", \"Mo 08:00-09:00\"]",
            "camera[0].record_schedule[1]",
        ),
        ("[[camera]]\nurl = \"rtsp://h/\"\npre_roll_seconds = 61", "camera[0].pre_roll_seconds"),
        ("[[camera]]\nurl = \"rtsp://h/\"\nrecord_quota_gb = 0.0", "camera[0].record_quota_gb"),
        ("[[recording.disk]]\nroot = \"/a\"", "recording.disk[0].name: is missing"),
        ("[[recording.disk]]\nname = \"a\"", "recording.disk[0].root: is missing"),
        ("[[recording.disk]]\nname = \"a\"\nroot = \"\"", "recording.disk[0].root"),
        ("[[recording.disk]]\nname = \"a b\"\nroot = \"/a\"", "recording.disk[0].name"),
        ("[[recording.disk]]\nname = \"a\"\nroot = \"/a\"\nquota = 1", "recording.disk[0].quota"),
        ("[[recording.disk]]\nname = \"a\"\nroot = \"/a\"\nquota_gb = -1", "recording.disk[0].quota_gb"),
        (
            "[[recording.disk]]\nname = \"a\"\nroot = \"/a\"\nmin_free_gb = nan",
            "recording.disk[0].min_free_gb",
        ),
        (
            "[[recording.disk]]\nname = \"a\"\nroot = \"/a\"\n[[recording.disk]]\nname = \"a\"\nroot = \"/b\"",
            "recording.disk[1].name: \"a\" is used twice",
        ),
        (
            "[recording]\nroot = \"/srv/v\"\n[[recording.disk]]\nname = \"a\"\nroot = \"/srv/./x/../v/\"",
            "recording.disk[0].root: is the same directory as recording.root",
        ),
        (
            "[recording]\nroot = \"/srv/v\"\n[[recording.disk]]\nname = \"a\"\nroot = \"/srv/v/a\"",
            "recording.disk[0].root: lies inside recording.root",
        ),
        (
            "[[recording.disk]]\nname = \"a\"\nroot = \"/srv/v\"\n[[recording.disk]]\nname = \"b\"\nroot = \"/srv\"",
            "recording.disk[1].root: lies around recording.disk[0].root",
        ),
        (
            "[[camera]]\nurl = \"rtsp://h/\"\nrecord_disk = \"x\"",
            "camera[0].record_disk: there is no disk \"x\" in the configuration (recording.disk: there is none)",
        ),
        (
            "[[recording.disk]]\nname = \"a\"\nroot = \"/a\"\n[[camera]]\nurl = \"rtsp://h/\"\nrecord_disk = \"x\"",
            "camera[0].record_disk: there is no disk \"x\" in the configuration (recording.disk: \"a\")",
        ),
        ("[webrtc]\nudp_ports = \"9-1\"", "webrtc.udp_ports"),
        ("[webrtc]\nice_servers = [{ urls = [\"http://x\"] }]", "webrtc.ice_servers[0].urls"),
        ("[[camera]]\nid = \"a\"", "camera[0].url"),
        ("[[camera]]\nid = \"a b\"\nurl = \"rtsp://h/\"", "camera[0].id"),
        ("[[camera]]\nid = \"a\"\nurl = \"http://h/\"", "camera[0].url"),
        ("[[camera]]\nid = \"a\"\nurl = \"rtsp://u:p@h/\"", "camera[0].url"),
        ("[[camera]]\nid = \"a\"\nurl = \"rtsp://h/\"\nrecrod = true", "camera[0].recrod"),
        ("[[camera]]\nid=\"a\"\nurl=\"rtsp://h/\"\n[[camera]]\nid=\"a\"\nurl=\"rtsp://h/\"", "camera[1].id"),
        ("[server", "line 1"),
        ("[server]\ntoken = \"ä\"", "server.token"),
        ("[server]\nallowed_hosts = [\"a\", \"http://x/\"]", "server.allowed_hosts[1]"),
        ("[server]\nallowed_hosts = [\"\"]", "server.allowed_hosts[0]"),
        ("[server]\nallowed_hosts = [\"*.lan\"]", "server.allowed_hosts[0]"),
        ("[recording]\nroot = \"\"", "recording.root"),
        ("[webrtc]\nice_servers = [{ urls = [\"stun:\"] }]", "webrtc.ice_servers[0].urls"),
        ("[webrtc]\nice_servers = [{ urls = [\"turn:h\"] }]", "webrtc.ice_servers[0].username"),
        ("[[camera]]\nurl = \"rtsp://h/x y\"", "camera[0].url"),
        ("[[camera]]\nurl = \"demo:17\"", "camera[0].url"),
        ("[[camera]]\nurl = \"demo:1\"\nsub_url = \"demo:0/sub\"", "camera[0].sub_url"),
        ("[streaming]\ntcp_timeout = 1000\ntcp_timeout = 2000", "tcp_timeout"),
    ] {
        let error = Config::parse(text).expect_err(text);
        assert!(error.to_string().starts_with(field), "{text}: {error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        assert!(!error.to_string().contains("u:p@"), "{error}");
    }
}

#[test]
fn an_allowed_host_is_one_that_a_browser_can_ask_for() {
    let host = |text: &str| allowed_host(text).map(|(name, port)| (name, port.unwrap_or_default()));
    for (text, name, port) in [
        ("cams.example.org", "cams.example.org", 0),
        ("NAS_1.lan:9000", "nas_1.lan", 9_000),
        ("h:80", "h", 80),
        ("büro.lan:80", "xn--bro-hoa.lan", 80),
        ("192.168.1.5", "192.168.1.5", 0),
        ("[::1]:8420", "[::1]", 8_420),
        ("[FD00:0::1]", "[fd00::1]", 0),
    ] {
        assert_eq!(host(text), Some((name.to_owned(), port)), "{text}");
    }
    for wrong in [
        "",
        "*",
        "*.lan",
        "a b",
        "a,b",
        "http://x/",
        "x/",
        "x/y",
        "x?",
        "x#",
        "u@x",
        "u:p@x",
        "x:",
        "x:y",
        "x:99999",
        "::1",
        "[::1",
        "[x]",
        "x]",
        "1",
        "0x7f.1",
        "a..b*",
        "x\n",
        "x\t",
        "%61",
        "a:1:2",
    ] {
        assert_eq!(host(wrong), None, "{wrong:?}");
    }
}

#[test]
fn a_demo_camera_has_one_address() {
    assert_eq!(demo_camera("demo:1"), Some((1, false)));
    assert_eq!(demo_camera("demo:16/sub"), Some((16, true)));
    for other in [
        "demo:0",
        "demo:17",
        "demo:",
        "demo:x",
        "demo:1/main",
        "demo:-1",
        "demo:+1",
        "demo:01",
        "demo://1",
        "DEMO:1",
        "demo:1 ",
        "demo:1?x",
        "demo:99999999999",
        "rtsp:1",
    ] {
        assert_eq!(demo_camera(other), None, "{other}");
    }
}

#[test]
fn no_complaint_repeats_a_value() {
    for text in [
        "[server]\ntoken = \"hunter2\"x",
        "[server]\ntoken = \"hunter2",
        "[server]\ntoken = hunter2",
        "[server]\ntoken = [\"hunter2\"]",
        "[server]\ntls_cert = 1\ntoken = \"hunter2\"",
        "[[camera]]\nurl = \"rtsp://h/\"\npassword = { a = \"hunter2\" }",
        "[[camera]]\nurl = \"rtsp://h/\"\ntransport = \"hunter2\"",
        "[[camera]]\nurl = \"rtsp://h/\"\nrecord = \"hunter2\"",
        "[[camera]]\nurl = \"hunter2\"",
        "[server]\nlisten = \"hunter2\"",
    ] {
        let error = Config::parse(text).expect_err(text);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let number = Config::parse("[[camera]]\nurl = \"rtsp://h/\"\npassword = 987654").expect_err("a number");
    assert_eq!(number.to_string(), "camera[0].password: must be a text in quotes");
}

#[test]
fn quiet_hours_reach_over_midnight_and_nonsense_is_refused() {
    let quiet = |from: &str, until: &str, hour: u64| {
        let text = format!("[alerts]\nquiet_from = \"{from}\"\nquiet_until = \"{until}\"");
        let alerts = Config::parse(&text).unwrap().alerts;
        // The machine's own offset, whatever it is.
        let offset = time::UtcOffset::local_offset_at(time::OffsetDateTime::UNIX_EPOCH).unwrap();
        let seconds = i64::try_from(hour * 3_600).unwrap() + 86_400 - i64::from(offset.whole_seconds());
        alerts.is_quiet(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.try_into().unwrap()))
    };
    assert_eq!(
        [21, 22, 23, 0, 6, 7].map(|hour| quiet("22:00", "07:00", hour)),
        [false, true, true, true, true, false]
    );
    assert_eq!([8, 9, 16, 17].map(|hour| quiet("09:00", "17:00", hour)), [false, true, true, false]);
    for (field, text) in [
        ("alerts.quiet_from", "quiet_from = \"24:00\"\nquiet_until = \"07:00\""),
        ("alerts.quiet_from", "quiet_from = \"7:00\"\nquiet_until = \"07:00\""),
        ("alerts.quiet_until", "quiet_from = \"22:00\""),
        ("alerts.after_seconds", "after_seconds = 3601"),
        ("alerts.webhook", "webhook = \"ftp://secret-token/\""),
    ] {
        let error = Config::parse(&format!("[alerts]\n{text}")).unwrap_err();
        assert_eq!(error.field, field);
        assert!(!error.to_string().contains("secret-token"), "{error}");
    }
}

#[test]
fn a_fingerprint_is_read_as_programs_show_it_and_not_by_half() {
    let bytes: [u8; 32] = std::array::from_fn(|i| u8::try_from(i * 8).expect("below 256"));
    let plain = fingerprint_text(&bytes);
    let colons = bytes.map(|byte| format!("{byte:02X}")).join(":");
    assert_eq!((plain.len(), fingerprint(&plain)), (64, Some(bytes)));
    assert_eq!(fingerprint(&colons), Some(bytes));
    for wrong in
        ["", "0b", &plain[..62], &plain[1..], &format!("{plain}00"), &colons.replacen("00:08", "000:8", 1)]
    {
        assert_eq!(fingerprint(wrong), None, "{wrong}");
    }
    assert_eq!(fingerprint(&plain.replacen('0', "g", 1)), None);
    assert_eq!(fingerprint(&plain.replacen('0', "ä", 1)), None);
}

#[test]
fn roots_that_meet_through_a_link_are_told_apart_from_those_that_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let [main, other] = ["main", "other"].map(|name| dir.path().join(name));
    std::fs::create_dir(&main).unwrap();
    let recording = |root: &std::path::Path| Recording {
        disk: vec![Disk { name: "a".into(), root: root.to_owned(), min_free_gb: None, quota_gb: None }],
        ..Recording::default()
    };
    recording(&other).check_places(&main).expect("apart; it need not be there yet");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&main, &other).unwrap();
        let error = recording(&other.join("deep")).check_places(&main).expect_err("inside");
        assert_eq!(error.field, "recording.disk[0].root");
    }
}

#[test]
fn spaces_around_an_address_are_no_part_of_it() {
    let config = Config::parse("[[camera]]\nurl = \" rtsp://h/s1\t\"\nsub_url = \"rtsp://h/s2 \"").unwrap();
    assert_eq!(
        (&*config.camera[0].url, config.camera[0].sub_url.as_deref()),
        ("rtsp://h/s1", Some("rtsp://h/s2"))
    );
}

/// The keys of a table, as the complaint about one that it does not have lists them.
fn keys_of(prefix: &str, text: &str) -> Vec<String> {
    let error = toml::from_str::<Config>(&format!("{text}\nno_such_key = 1")).expect_err("there is none");
    let (_, listed) = error.message().split_once("expected ").expect("it lists them");
    listed.split('`').skip(1).step_by(2).map(|key| format!("{prefix}{key}")).collect()
}

#[test]
fn the_readme_lists_each_key_in_a_row_of_its_own_and_no_other() {
    let camera = "[[camera]]\nurl = \"rtsp://h/\"";
    let disk = "[[recording.disk]]\nname = \"a\"\nroot = \"/a\"";
    let mut known: Vec<_> = ["server", "streaming", "recording", "webrtc", "signaling", "alerts"]
        .iter()
        .flat_map(|table| keys_of(&format!("{table}."), &format!("[{table}]")))
        .chain(keys_of("recording.disk.", disk))
        .chain(keys_of("camera.", camera))
        // A table, not a key; and what a camera sets in place of the table of all is told in one row.
        .filter(|key| key != "recording.disk")
        .filter(|key| {
            let streaming = keys_of("camera.", "[streaming]");
            !streaming.contains(key)
        })
        .collect();
    known.sort();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(path).expect("the README is there");
    let (_, table) = readme.split_once("| key | default | |").expect("it has the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut listed: Vec<_> =
        rows.map(|row| row.split('|').nth(1).expect("a cell").trim().trim_matches('`')).collect();
    listed.sort_unstable();
    assert_eq!(listed, known);
}
