//! Everything a report of a defect needs, in one archive: log, versions, cameras, alerts, figures, the
//! running graph and the configuration.
//!
//! Invariant: nothing secret is in it. Each part leaves secrets out by itself; on top of that every text
//! is searched for all that is known to be secret, in the forms in which it travels, before it is packed.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use nightjar_engine::api::Camera;
use nightjar_engine::config::Config;
use nightjar_engine::env::Secret;
use url::Url;
use url::form_urlencoded::byte_serialize;

use crate::door::Door;
use crate::log;
use crate::metrics::Page;
use crate::zip::Zip;

/// What is shorter says nothing, and replacing it would garble everything.
const SHORTEST: usize = 4;

/// Makes the archive. Blocks: it packs a megabyte or two.
pub(crate) fn make(door: &Door) -> Vec<u8> {
    let engine = &door.engine;
    let cameras: Vec<Camera> = engine.cameras().into_iter().map(without_address).collect();
    let mut page = Page::new();
    page.door(&door.figures);
    page.cameras(&engine.figures());
    page.viewers(&engine.viewers());
    page.ice_servers(&engine.ice_servers());
    page.process();
    let json = |value: serde_json::Result<String>| value.expect("keys are texts");
    let parts = [
        ("about.txt", about()),
        ("log.txt", log::recent()),
        ("cameras.json", json(serde_json::to_string_pretty(&cameras))),
        ("alerts.json", json(serde_json::to_string_pretty(&engine.alerts()))),
        ("config.txt", config(engine.config())),
        ("metrics.txt", page.finish()),
        ("pipeline.dot", engine.pipeline_dot()),
    ];
    let mut secrets = engine.secrets();
    secrets.extend(door.auth.token());
    let forms = forms(&secrets);
    let mut zip = Zip::default();
    for (name, text) in parts {
        zip.add(name, scrub(text, &forms).as_bytes());
    }
    zip.finish()
}

fn about() -> String {
    let threads = std::thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    format!(
        "Nightjar {} ({build})\n{} {}, {threads} threads\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
}

/// Scheme, host and port: path and query may hold a password.
fn place(url: &str) -> String {
    let Ok(url) = Url::parse(url) else { return "?".to_owned() };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}/…", url.scheme(), url.host_str().unwrap_or_default())
}

fn without_address(camera: Camera) -> Camera {
    Camera {
        url: camera.url.as_deref().map(place),
        sub_url: camera.sub_url.as_deref().map(place),
        username: camera.username.map(|_| "***".to_owned()),
        ..camera
    }
}

/// The configuration as it was read; its secrets show three stars by themselves.
fn config(config: &Config) -> String {
    let mut config = config.clone();
    for camera in &mut config.camera {
        camera.url = place(&camera.url);
        camera.sub_url = camera.sub_url.as_deref().map(place);
        camera.username = camera.username.take().map(|_| "***".to_owned());
    }
    for server in &mut config.webrtc.ice_servers {
        server.username = server.username.take().map(|_| "***".to_owned());
    }
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{config:#?}");
    text
}

/// The forms in which secrets travel: plain, escaped for URLs, in base64, within JSON.
fn forms(secrets: &[Secret<String>]) -> Vec<String> {
    let mut forms = Vec::new();
    for secret in secrets.iter().map(|secret| &**secret.reveal()).filter(|text| text.len() >= SHORTEST) {
        let json = serde_json::to_string(secret).expect("a text");
        forms.extend([
            secret.to_owned(),
            byte_serialize(secret.as_bytes()).collect(),
            byte_serialize(secret.as_bytes()).collect::<String>().replace('+', "%20"),
            STANDARD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
            json.trim_matches('"').to_owned(),
        ]);
    }
    // Longer ones first: one may be a part of another.
    forms.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
    forms.dedup();
    forms
}

fn scrub(mut text: String, forms: &[String]) -> String {
    for form in forms {
        if text.contains(&**form) {
            text = text.replace(&**form, "***");
        }
    }
    text
}
