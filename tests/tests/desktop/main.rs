//! The real desktop window, on an X server and a session bus of its own: the wall plays in the web
//! view, the tray says so, and closing, a second start and quitting do what they should.
//!
//! Needs the built app beside this test, Xvfb, dbus, /usr/bin/python3 with gi, WebKitWebDriver and
//! tauri-driver (`npm test` brings them all).

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may fail loudly")]

mod desk;
mod trouble;

use fantoccini::Locator;
use serde_json::{Value, json};

use desk::{Desk, Driven, GLANCE, Group, ONE_AT_A_TIME, PATIENCE, until};

#[tokio::test]
async fn the_tray_opens_the_window_and_quits() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut desk = Desk::new();
    let mut app = Group::spawn(&mut desk.app(&[]));
    let window = desk.window(true).await;
    assert_eq!(desk.menu().await, ["No cameras yet", "Open Nightjar", "Quit Nightjar"]);

    // The close button hides; the tray brings the same window back.
    desk.ask(&json!({"do": "close", "id": window}));
    desk.window(false).await;
    desk.click("Open Nightjar");
    assert_eq!(desk.window(true).await, window);

    // A second start shows the first one's window and ends.
    desk.ask(&json!({"do": "close", "id": window}));
    desk.window(false).await;
    let second = Group::spawn(&mut desk.app(&[])).ended().await;
    assert_eq!(second.code(), Some(0), "the second instance ends by itself");
    assert_eq!(desk.window(true).await, window);

    desk.click("Quit Nightjar");
    assert_eq!(app.ended().await.code(), Some(0));
}

#[tokio::test]
async fn without_a_tray_host_closing_the_window_ends_the_app() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut desk = Desk::with(&["Nightjar", "--no-panel"]);
    let mut app = Group::spawn(&mut desk.app(&[]));
    let window = desk.window(true).await;
    desk.ask(&json!({"do": "close", "id": window}));
    assert_eq!(app.ended().await.code(), Some(0));
}

#[tokio::test]
async fn autostart_opens_in_the_tray_and_a_signal_ends_it() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut desk = Desk::new();
    let mut app = Group::spawn(&mut desk.app(&["--hidden"]));
    // The app answers for its menu only after it has set itself up, window included.
    desk.menu().await;
    assert!(desk.windows().iter().all(|window| window["shown"] == false));
    desk.click("Open Nightjar");
    desk.window(true).await;
    app.terminate();
    assert_eq!(app.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_page_reaches_nothing_but_its_own_door() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let desk = Desk::new();
    let page = Driven::start(&desk).await;
    page.wait_for(Locator::Css("main")).await;

    // The content policy: loopback may be spoken to, the world may not.
    let refused = "new Promise((done) => {
        document.addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective));
        fetch('http://192.0.2.1/').catch(() => {});
    })";
    assert_eq!(page.value(refused).await, "connect-src");
    assert!(page.value("new Function('return 1')()").await["thrown"].is_string());

    // The capabilities: what the wall does not need, it cannot do.
    for command in ["plugin:window|destroy", "plugin:store|load", "plugin:autostart|enable"] {
        let answer = page.value(&format!("__TAURI_INTERNALS__.invoke('{command}', {{}})")).await;
        assert!(
            answer["thrown"].as_str().is_some_and(|word| word.contains("not allowed")),
            "{command}: {answer}"
        );
    }

    // The window shows the app's own pages only.
    page.value("void (location.href = 'http://127.0.0.1:9/')").await;
    assert_eq!(page.value("location.protocol").await, "tauri:");
    page.screenshot("desktop-start.png").await;
}

/// R-M5: the web view of this system has no WebRTC, and plays all the same.
#[tokio::test]
async fn r_m5_demo_cameras_play_by_mse_and_the_tray_says_that_they_are_live() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let mut desk = Desk::new();
    let page = Driven::start(&desk).await;
    let demo = page.wait_for(Locator::XPath("//button[contains(., 'demo cameras')]")).await;
    demo.click().await.expect("a button");

    // Media time starts at 0 with each attempt; frames are those that the decoder gave.
    let figures = "[...document.querySelectorAll('[data-tile]')].map((tile) => {
        const video = tile.querySelector('video');
        return {
            camera: tile.dataset.state,
            viewer: tile.dataset.viewer,
            mse: Boolean(video?.src.startsWith('blob:')),
            time: video?.currentTime ?? 0,
            frames: video?.getVideoPlaybackQuality().totalVideoFrames ?? 0,
        };
    })";
    let plays = |tile: &Value| {
        tile["camera"] == "live"
            && tile["viewer"] == "playing"
            && tile["mse"] == true
            && tile["time"].as_f64() > Some(6.0)
            && tile["frames"].as_u64() > Some(25)
    };
    // Each tile once: where decoders have to share two busy cores, one of them may be dialling anew.
    let (mut last, mut seen) = (Value::Null, [false; 4]);
    let wall = until("every tile to play for six seconds", async || {
        last = page.value(figures).await;
        let tiles = last.as_array().filter(|tiles| tiles.len() == seen.len())?;
        for (seen, tile) in seen.iter_mut().zip(tiles) {
            *seen |= plays(tile);
        }
        seen.iter().all(|seen| *seen).then_some(())
    });
    if tokio::time::timeout(PATIENCE - GLANCE, wall).await.is_err() {
        page.screenshot("desktop-wall-failed.png").await;
        panic!("the wall does not play, {seen:?}: {last:#}");
    }
    page.screenshot("desktop-wall.png").await;

    // The tray follows the same engine.
    until("the tray to be green", async || {
        (desk.menu().await.first().map(String::as_str) == Some("All 4 cameras live")).then_some(())
    })
    .await;
    let menu = desk.menu().await;
    assert_eq!(menu, ["All 4 cameras live", "Open Nightjar", "Quit Nightjar"]);

    // While one is recorded the computer stays awake, until a person decides otherwise.
    let locks = async |desk: &mut Desk| desk.ask(&json!({"do": "locks"}))["locks"].clone();
    assert_eq!(locks(&mut desk).await, json!([]));
    let record = "__TAURI_INTERNALS__.invoke('door').then(({ base_url, token }) =>
        fetch(`${base_url}/api/v1/cameras/demo_1/recording`, {
            method: 'POST',
            headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
            body: '{\"on\":true}',
        })).then((answer) => answer.status)";
    assert_eq!(page.value(record).await, 200);
    until("the computer to be kept awake", async || {
        (locks(&mut desk).await == json!(["idle", "sleep"])).then_some(())
    })
    .await;
    page.value("void (location.hash = '#/settings')").await;
    let switch = "//*[@role='switch' and @aria-label='Keep the computer awake while it records']";
    page.wait_for(Locator::XPath(switch)).await.click().await.expect("a switch");
    until("the computer may sleep", async || (locks(&mut desk).await == json!([])).then_some(())).await;

    // What the page saves is a file, though web views have no downloads of their own.
    let button = "//button[normalize-space()='Save report']";
    page.wait_for(Locator::XPath(button)).await.click().await.expect("a button");
    let report = until("the report", async || desk.saved("zip")).await;
    assert_eq!(report.get(..4), Some(&b"PK\x03\x04"[..]));
}

/// Plays one recording to its end and looks at moments of it; what is asked for is the number of the picture, counted
/// from the first.
const WATCHED: &str = r"(async () => {
    const door = await __TAURI_INTERNALS__.invoke('door');
    const path = `/api/v1/recordings/${id}.mp4`;
    const ticket = await __TAURI_INTERNALS__.invoke('ticket', { path });
    const video = document.createElement('video');
    video.muted = true;
    video.crossOrigin = 'anonymous';
    document.body.append(video);
    const told = (event) => new Promise((resolve, reject) => {
        const late = () => reject(new Error(
            `no ${event}: at ${video.currentTime} of ${video.duration}, ready ${video.readyState}, network ${video.networkState}`));
        const limit = setTimeout(late, 60_000);
        video.addEventListener(event, () => { clearTimeout(limit); resolve(); }, { once: true });
        video.addEventListener('error', () => reject(new Error(video.error?.message)), { once: true });
    });
    const known = told('loadeddata');
    video.src = `${door.base_url}${path}?ticket=${encodeURIComponent(ticket)}`;
    await known;
    const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const at = async (moment, expected) => {
        const sought = told('seeked');
        video.currentTime = moment;
        await sought;
        let seen = null;
        // The picture follows the word that it is there.
        for (let n = 0; n < 20; n += 1) {
            seen = window.__eye.read(video);
            if (seen !== null && (expected === null || seen === expected)) break;
            await pause(100);
        }
        return seen;
    };
    const first = await at(0.01, null);
    const off = [];
    for (const moment of [1.5, 0.1, 2.62, 0.94]) {
        const expected = (first + Math.floor(moment * fps)) % round;
        off.push((await at(moment, expected)) - expected);
    }
    await at(0, first);
    const over = told('ended');
    await video.play();
    await over;
    const { duration, currentTime } = video;
    video.remove();
    return { duration, currentTime, first, off };
})()";

#[tokio::test]
async fn r_n9_the_window_plays_recordings_to_the_end_and_seeks_in_them_while_they_are_written_too() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let desk = Desk::new();
    let page = Driven::start(&desk).await;
    let demo = page.wait_for(Locator::XPath("//button[contains(., 'demo cameras')]")).await;
    demo.click().await.expect("a button");
    page.value(concat!("(() => { ", include_str!("../../web/stage/eye.js"), " })()")).await;
    // The first demo camera is the front door: 25 pictures a second, 200 in a round of its clip.
    let ask = async |method: &str, path: &str, body: &str| {
        let ask = format!(
            "__TAURI_INTERNALS__.invoke('door').then(({{ base_url, token }}) => fetch(`${{base_url}}/api/v1{path}`, {{
                method: '{method}',
                headers: {{ Authorization: `Bearer ${{token}}`, 'Content-Type': 'application/json' }},
                body: {body},
            }})).then((answer) => answer.text()).then((text) => text === '' ? null : JSON.parse(text))"
        );
        page.value(&ask).await
    };
    let camera = until("the first camera to be live", async || {
        let cameras = ask("GET", "/cameras", "undefined").await;
        let first = cameras["cameras"].as_array()?.first()?.clone();
        (first["state"]["name"] == "live").then(|| first["id"].as_str().map(str::to_owned)).flatten()
    })
    .await;
    let switch = format!("/cameras/{camera}/recording");
    ask("POST", &switch, "JSON.stringify({ on: true })").await;
    let newest = async |state: &str| {
        let list = ask("GET", &format!("/recordings?camera={camera}"), "undefined").await;
        let newest = list["segments"].as_array()?.last()?.clone();
        // A recording that a picture at 2.62 s is in, on the disk.
        let long = "(({ start, end }) => Date.parse(end) - Date.parse(start))";
        let long = page.value(&format!("{long}({newest})")).await.as_f64()?;
        (newest["state"] == state && long > 3_200.0)
            .then(|| newest["id"].as_str().map(str::to_owned))
            .flatten()
    };
    for (state, on) in [("open", true), ("sealed", false)] {
        if !on {
            ask("POST", &switch, "JSON.stringify({ on: false })").await;
        }
        let id = until("a recording of some seconds", async || newest(state).await).await;
        let seen = page.value(&format!("(([id, fps, round]) => {WATCHED})(['{id}', 25, 200])")).await;
        assert_eq!(seen["off"], json!([0, 0, 0, 0]), "{state}: {seen}");
        let (length, end) = (seen["duration"].as_f64().unwrap(), seen["currentTime"].as_f64().unwrap());
        assert!(length > 3.0 && (length - end).abs() < 0.2, "{state}: {seen}");
    }

    // And keeps a part of it as a file.
    let list = ask("GET", &format!("/recordings?camera={camera}"), "undefined").await;
    let segment = list["segments"].as_array().and_then(|list| list.last()).expect("it is there").clone();
    let spec = json!({ "camera": camera, "from": segment["start"], "to": segment["end"] });
    let begun = ask("POST", "/exports", &format!("JSON.stringify({spec})")).await;
    let id = begun["id"].as_str().unwrap_or_else(|| panic!("an id: {begun}")).to_owned();
    let save = format!("__TAURI_INTERNALS__.invoke('save_export', {{ id: '{id}' }})");
    let place = until("the export to be done and saved", async || {
        page.value(&save).await.as_str().map(str::to_owned)
    })
    .await;
    assert!(place.ends_with(".mp4"), "{place}");
    let film = desk.saved("mp4").expect("it is where the page was told");
    assert_eq!(film.get(4..8), Some(&b"ftyp"[..]));
}
