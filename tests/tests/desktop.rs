//! The real desktop window, on an X server and a session bus of its own: the wall plays in the web
//! view, the tray says so, and closing, a second start and quitting do what they should.
//!
//! Needs the built app beside this test, Xvfb, dbus, /usr/bin/python3 with gi, WebKitWebDriver and
//! tauri-driver (`npm test` brings them all).

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may fail loudly")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::wd::TimeoutConfiguration;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// What any single step may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often a state that changes without telling is looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// One desktop at a time: two browsers and their decoders on two cores only wait for each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A child in a process group of its own, killed with everything it started.
struct Group(Child);

impl Group {
    fn spawn(command: &mut Command) -> Self {
        let child = command.process_group(0).spawn();
        Self(child.unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program())))
    }

    /// Asks the program itself to end, not its children: that is its own business.
    fn terminate(&self) {
        let done = Command::new("kill").arg(self.0.id().to_string()).status();
        assert!(done.expect("kill is there").success());
    }

    async fn ended(&mut self) -> ExitStatus {
        until("the program to end", async || self.0.try_wait().expect("our own child")).await
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

/// An X server, a session bus, a home and a tray host that belong to one test.
struct Desk {
    home: PathBuf,
    variables: Vec<(String, String)>,
    say: ChildStdin,
    heard: mpsc::Receiver<Value>,
    _helper: Group,
    _bus: Group,
    _screen: Group,
}

impl Desk {
    fn new() -> Self {
        Self::with(&["Nightjar"])
    }

    fn with(helper: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let home = std::env::temp_dir().join(format!("nightjar-desk-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&home);
        for folder in ["run", "data", "config", "cache"] {
            std::fs::create_dir_all(home.join(folder)).unwrap();
        }
        make_private(&home.join("run"));

        let (screen, display) = first_line(
            Command::new("Xvfb").args("-displayfd 1 -screen 0 1280x800x24 -nolisten tcp".split(' ')),
        );
        let (bus, address) =
            first_line(Command::new("dbus-daemon").args(["--session", "--nofork", "--print-address=1"]));
        let path = |folder: &str| home.join(folder).display().to_string();
        let variables: Vec<(String, String)> = [
            ("HOME", home.display().to_string()),
            ("XDG_RUNTIME_DIR", path("run")),
            ("XDG_DATA_HOME", path("data")),
            ("XDG_CONFIG_HOME", path("config")),
            ("XDG_CACHE_HOME", path("cache")),
            ("DISPLAY", format!(":{display}")),
            ("DBUS_SYSTEM_BUS_ADDRESS", address.clone()),
            ("DBUS_SESSION_BUS_ADDRESS", address),
            ("GDK_BACKEND", "x11".into()),
            ("NO_AT_BRIDGE", "1".into()),
            ("LIBGL_ALWAYS_SOFTWARE", "1".into()),
            ("LANG", "C.UTF-8".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();

        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("desktop/desk.py");
        let mut helper_group = Group::spawn(
            // Debian's own Python: it is the one that has gi.
            Command::new("/usr/bin/python3")
                .arg(script)
                .args(helper)
                .envs(variables.clone())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        );
        let say = helper_group.0.stdin.take().expect("piped");
        let lines = BufReader::new(helper_group.0.stdout.take().expect("piped")).lines();
        let (send, heard) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = send.send(serde_json::from_str(&line).expect("the helper speaks JSON"));
            }
        });
        let desk = Self { home, variables, say, heard, _helper: helper_group, _bus: bus, _screen: screen };
        assert_eq!(desk.listen()["ready"], true);
        desk
    }

    fn listen(&self) -> Value {
        self.heard.recv_timeout(PATIENCE).expect("the desk's helper answers")
    }

    /// Asks the helper; the answer may be an error, as the app comes and goes.
    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.say, "{request}").expect("the helper listens");
        self.listen()
    }

    fn app(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(nightjar());
        command.args(arguments).envs(self.variables.clone()).stdin(Stdio::null());
        let log = std::fs::File::options().create(true).append(true).open(self.log()).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    fn log(&self) -> PathBuf {
        self.home.join("app.log")
    }

    /// The bytes of the file of this kind that the app put into the folder for downloads.
    fn saved(&self, ending: &str) -> Option<Vec<u8>> {
        let files = std::fs::read_dir(self.home.join("Downloads")).ok()?;
        let found = files.flatten().find(|file| file.path().extension().is_some_and(|e| e == ending))?;
        std::fs::read(found.path()).ok().filter(|bytes| !bytes.is_empty())
    }

    /// The labels of the tray menu, once there is one; separators left out.
    async fn menu(&mut self) -> Vec<String> {
        until("the tray icon", async || {
            let there = !self.ask(&json!({"do": "item"}))["item"].is_null();
            let menu = if there { self.ask(&json!({"do": "menu"})) } else { Value::Null };
            let entries = menu["menu"].as_array()?;
            let labels = entries.iter().filter(|entry| entry["separator"] != true);
            Some(labels.map(|entry| entry["label"].as_str().unwrap_or_default().to_owned()).collect())
        })
        .await
    }

    fn click(&mut self, label: &str) {
        let answer = self.ask(&json!({"do": "click", "label": label}));
        assert_eq!(answer, json!({}), "clicking {label:?}");
    }

    fn windows(&mut self) -> Vec<Value> {
        self.ask(&json!({"do": "windows"}))["windows"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until the one window is shown, or hidden; gives its id.
    async fn window(&mut self, shown: bool) -> u64 {
        let what = if shown { "the window to be shown" } else { "the window to be hidden" };
        until(what, async || {
            let windows = self.windows();
            (windows.len() == 1 && windows[0]["shown"] == shown).then(|| windows[0]["id"].as_u64()).flatten()
        })
        .await
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            eprintln!("--- the app's log ---\n{log}");
        }
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// tauri-driver and the WebDriver session on the app.
struct Driven {
    client: Client,
    _driver: Group,
}

impl Driven {
    async fn start(desk: &Desk) -> Self {
        let (port, native) = (free_port(), free_port());
        let program = std::env::var_os("TAURI_DRIVER").map_or_else(default_driver, PathBuf::from);
        let log = std::fs::File::create(desk.log()).unwrap();
        // Its own group and a file for its words: its children outlive it and would hold a pipe open.
        let driver = Group::spawn(
            Command::new(program)
                .args(["--port", &port.to_string(), "--native-port", &native.to_string()])
                .envs(desk.variables.clone())
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log),
        );
        let capabilities = json!({
            "browserName": "wry",
            "tauri:options": {"application": nightjar()},
        });
        let address = format!("http://127.0.0.1:{port}");
        let client = until("the WebDriver session", async || {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities.as_object().expect("an object").clone());
            builder.connect(&address).await.ok()
        })
        .await;
        let patience = TimeoutConfiguration::new(Some(PATIENCE), None, None);
        client.update_timeouts(patience).await.expect("a session");
        Self { client, _driver: driver }
    }

    /// The value of an expression in the page; a promise is awaited.
    async fn value(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             Promise.resolve().then(() => {expression}).then(done, (error) => done({{thrown: String(error)}}));"
        );
        self.client.execute_async(&script, vec![]).await.expect("the script runs")
    }

    async fn screenshot(&self, name: &str) {
        let folder = std::env::var_os("NIGHTJAR_TEST_OUT").map_or_else(std::env::temp_dir, PathBuf::from);
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.client.screenshot().await.expect("a screenshot");
        std::fs::write(folder.join(name), picture).unwrap();
    }

    async fn wait_for(&self, locator: Locator<'_>) -> Element {
        let found = self.client.wait().at_most(PATIENCE).for_element(locator).await;
        found.unwrap_or_else(|error| panic!("{locator:?}: {error}"))
    }
}

/// Looks again and again until there is something; the bound is generous, the result exact.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(GLANCE).await;
    }
}

/// Starts a server that prints where it can be reached as its first line.
fn first_line(command: &mut Command) -> (Group, String) {
    let mut group = Group::spawn(command.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null()));
    let mut line = String::new();
    let mut output = BufReader::new(group.0.stdout.take().expect("piped"));
    output.read_line(&mut line).unwrap();
    assert!(!line.trim().is_empty(), "{:?} did not start", command.get_program());
    (group, line.trim().to_owned())
}

/// The app that was built together with this test.
fn nightjar() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).expect("target/debug/deps").join("nightjar");
    assert!(path.exists(), "{} is missing: build it with cargo build --workspace", path.display());
    path
}

fn default_driver() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| Path::new(&std::env::var_os("HOME").expect("a home")).join(".cache"), PathBuf::from);
    cache.join("nightjar/tools/tauri-driver-2.1.0/bin/tauri-driver")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn make_private(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
}

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
    page.value(concat!("(() => { ", include_str!("../web/stage/eye.js"), " })()")).await;
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
