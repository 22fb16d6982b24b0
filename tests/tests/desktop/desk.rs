//! A desk of its own: an X server, a session bus, a home, a tray host, and the app on it.

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
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// How often a state that changes without telling is looked at.
pub(crate) const GLANCE: Duration = Duration::from_millis(100);

/// One desktop at a time: two browsers and their decoders on two cores only wait for each other.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A child in a process group of its own, killed with everything it started.
pub(crate) struct Group(Child);

impl Group {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let child = command.process_group(0).spawn();
        Self(child.unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program())))
    }

    /// Asks the program itself to end, not its children: that is its own business.
    pub(crate) fn terminate(&self) {
        let done = Command::new("kill").arg(self.0.id().to_string()).status();
        assert!(done.expect("kill is there").success());
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
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
pub(crate) struct Desk {
    pub(crate) home: PathBuf,
    variables: Vec<(String, String)>,
    say: ChildStdin,
    heard: mpsc::Receiver<Value>,
    _helper: Group,
    _bus: Group,
    _screen: Group,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self::with(&["Nightjar"])
    }

    pub(crate) fn with(helper: &[&str]) -> Self {
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
    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.say, "{request}").expect("the helper listens");
        self.listen()
    }

    pub(crate) fn app(&self, arguments: &[&str]) -> Command {
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
    pub(crate) fn saved(&self, ending: &str) -> Option<Vec<u8>> {
        let files = std::fs::read_dir(self.home.join("Downloads")).ok()?;
        let found = files.flatten().find(|file| file.path().extension().is_some_and(|e| e == ending))?;
        std::fs::read(found.path()).ok().filter(|bytes| !bytes.is_empty())
    }

    /// The labels of the tray menu, once there is one; separators left out.
    pub(crate) async fn menu(&mut self) -> Vec<String> {
        until("the tray icon", async || {
            let there = !self.ask(&json!({"do": "item"}))["item"].is_null();
            let menu = if there { self.ask(&json!({"do": "menu"})) } else { Value::Null };
            let entries = menu["menu"].as_array()?;
            let labels = entries.iter().filter(|entry| entry["separator"] != true);
            Some(labels.map(|entry| entry["label"].as_str().unwrap_or_default().to_owned()).collect())
        })
        .await
    }

    pub(crate) fn click(&mut self, label: &str) {
        let answer = self.ask(&json!({"do": "click", "label": label}));
        assert_eq!(answer, json!({}), "clicking {label:?}");
    }

    pub(crate) fn windows(&mut self) -> Vec<Value> {
        self.ask(&json!({"do": "windows"}))["windows"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until the one window is shown, or hidden; gives its id.
    pub(crate) async fn window(&mut self, shown: bool) -> u64 {
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
pub(crate) struct Driven {
    pub(crate) client: Client,
    _driver: Group,
}

impl Driven {
    pub(crate) async fn start(desk: &Desk) -> Self {
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
    pub(crate) async fn value(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             Promise.resolve().then(() => {expression}).then(done, (error) => done({{thrown: String(error)}}));"
        );
        self.client.execute_async(&script, vec![]).await.expect("the script runs")
    }

    pub(crate) async fn screenshot(&self, name: &str) {
        let folder = std::env::var_os("NIGHTJAR_TEST_OUT").map_or_else(std::env::temp_dir, PathBuf::from);
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.client.screenshot().await.expect("a screenshot");
        std::fs::write(folder.join(name), picture).unwrap();
    }

    pub(crate) async fn wait_for(&self, locator: Locator<'_>) -> Element {
        let found = self.client.wait().at_most(PATIENCE).for_element(locator).await;
        found.unwrap_or_else(|error| panic!("{locator:?}: {error}"))
    }
}

/// Looks again and again until there is something; the bound is generous, the result exact.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
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
