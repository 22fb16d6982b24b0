//! The rules of the house that a machine can check.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace holds this package").to_owned()
}

/// All files below `dir` with one of the endings, without what tools made.
fn files(dir: &str, endings: &[&str]) -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let made = ["target", "node_modules", "dist", "gen", "corpus", "artifacts", "out"];
            if name.starts_with('.') || made.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(dir), &mut found);
    found.sort();
    found
        .into_iter()
        .filter(|p| endings.iter().any(|e| p.to_string_lossy().ends_with(e)))
        .filter_map(|p| {
            let name = p.strip_prefix(root()).ok()?.to_string_lossy().replace('\\', "/");
            Some((name, fs::read_to_string(p).ok()?))
        })
        .collect()
}

fn assert_none(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// Layers of the engine. A module imports lower layers only; layer 2 modules never import each other.
const LAYERS: [&[&str]; 4] = [
    &["media", "env", "fault"],
    &["hub", "source", "fmp4", "retry", "still", "audio", "store"],
    &["ingest", "sfu", "live", "record", "archive"],
    &["camera", "engine", "config", "api"],
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}

/// The names that follow `crate::` in a file, those inside a top-level brace list too.
fn imports(text: &str) -> BTreeSet<String> {
    let word = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (i, _) in text.match_indices("crate::") {
        if text[..i].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &text[i + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let (mut depth, mut item) = (1, String::new());
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (depth == 1 && c == ',') {
                    found.insert(word(item.trim()));
                    item.clear();
                } else {
                    item.push(c);
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            found.insert(word(rest));
        }
    }
    found
}

/// Lines that are code: no comments.
fn code(text: &str) -> String {
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn engine_modules_import_downwards() {
    let mut problems = Vec::new();
    for (name, text) in files("src-tauri/engine/src", &[".rs"]) {
        let module = name.trim_start_matches("src-tauri/engine/src/").split(['/', '.']).next().unwrap_or("");
        if module == "lib" {
            continue;
        }
        let Some(own) = layer(module) else {
            problems
                .push(format!("{name}: module `{module}` has no layer; give it one in tests/tests/tidy.rs"));
            continue;
        };
        for import in imports(&code(&text)) {
            let Some(other) = layer(&import) else { continue };
            let beside = own == 2 && other == 2 && import != module;
            if other > own || beside {
                problems.push(format!("{name}: layer {own} must not import `{import}` of layer {other}"));
            }
        }
    }
    assert_none(problems);
}

#[test]
fn a_library_has_one_home() {
    let homes = [
        ("retina::", "src-tauri/engine/src/ingest/"),
        ("webrtc::", "src-tauri/engine/src/sfu/"),
        ("rtc::", "src-tauri/engine/src/sfu/"),
        ("mp4_atom::", "src-tauri/engine/src/fmp4/"),
        ("openh264::", "src-tauri/engine/src/still/"),
        ("opus::", "src-tauri/engine/src/audio/"),
        ("rusty_h265::", "src-tauri/engine/src/still/"),
        ("jpeg_encoder::", "src-tauri/engine/src/still/"),
        ("rusqlite::", "src-tauri/engine/src/store/"),
        ("rustix::", "src-tauri/engine/src/record/"),
        ("tauri::", "src-tauri/src/"),
        ("axum::", "src-tauri/server/src/"),
    ];
    let mut problems = Vec::new();
    for (name, text) in files("src-tauri", &[".rs"]) {
        // The test camera reads clips by itself: it must not lean on what it tests.
        if name.contains("/tests/") || name.contains("/benches/") || name.starts_with("src-tauri/testcam/") {
            continue;
        }
        let text = code(&text);
        for (library, home) in homes {
            let used = text
                .match_indices(library)
                .any(|(i, _)| !text[..i].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
            let test = name.ends_with("tests.rs") || name.ends_with("clips.rs");
            if used && !name.starts_with(home) && !test {
                problems.push(format!("{name}: `{library}` belongs into {home}"));
            }
        }
    }
    assert_none(problems);
}

#[test]
fn the_engine_knows_neither_doors_nor_windows() {
    let manifest = fs::read_to_string(root().join("src-tauri/engine/Cargo.toml")).expect("it is there");
    let dependencies = manifest.split("[dev-dependencies]").next().unwrap_or(&manifest);
    for foreign in ["tauri", "axum", "hyper", "tower", "nightjar-server", "nightjar-testcam"] {
        let named = dependencies.lines().any(|l| l.split(['.', ' ', '=']).next() == Some(foreign));
        assert!(!named, "the engine must not depend on {foreign}");
    }
}

#[test]
fn every_module_says_what_it_is() {
    let mut problems = Vec::new();
    for dir in ["src-tauri", "signaling", "mobile", "tests"] {
        for (name, text) in files(dir, &[".rs"]) {
            let tests =
                name.ends_with("/tests.rs") || name.contains("/tests/") && !name.starts_with("tests/");
            if !tests && !name.ends_with("build.rs") && !text.starts_with("//!") && !text.starts_with("#![") {
                problems.push(format!("{name}: begin with `//!` and what the module is"));
            }
        }
    }
    assert_none(problems);
}

#[test]
fn files_are_short() {
    let mut lengths = Vec::new();
    for dir in ["src-tauri", "signaling", "mobile", "tests", "src-ui/src"] {
        for (name, text) in files(dir, &[".rs", ".ts", ".svelte"]) {
            if name.ends_with("tests.rs") || name.contains(".test.") || name.contains("/bindings/") {
                continue;
            }
            let own = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(&text);
            lengths.push((own.lines().count(), name));
        }
    }
    lengths.sort();
    let long: Vec<_> = lengths.iter().filter(|(n, _)| *n > 1_000).collect();
    assert!(long.is_empty(), "over 1,000 lines: {long:?}");
    let (p95, name) = &lengths[lengths.len() * 95 / 100];
    assert!(*p95 <= 600, "one file in twenty is over 600 lines; the first is {name} with {p95}");
}

#[test]
fn names_say_what_is_inside() {
    let empty =
        ["core", "common", "util", "utils", "shared", "manager", "service", "helper", "helpers", "misc"];
    let mut problems = Vec::new();
    for dir in ["src-tauri", "signaling", "mobile", "src-ui/src"] {
        for (name, _) in files(dir, &[".rs", ".ts", ".svelte"]) {
            for part in name.split(['/', '.']) {
                if empty.contains(&part) {
                    problems.push(format!("{name}: `{part}` says nothing"));
                }
            }
        }
    }
    assert_none(problems);
}

#[test]
fn only_the_platform_folder_speaks_to_the_outside() {
    let mut problems = Vec::new();
    for (name, text) in files("src-ui/src", &[".ts", ".svelte"]) {
        if name.starts_with("src-ui/src/platform/") || name.contains(".test.") || name.contains("/bindings/")
        {
            continue;
        }
        for door in ["@tauri-apps", "fetch(", "new WebSocket(", "new EventSource("] {
            if text.contains(door) {
                problems.push(format!("{name}: `{door}` belongs into src-ui/src/platform"));
            }
        }
    }
    assert_none(problems);
}

#[test]
fn no_test_is_left_out_in_silence() {
    let mut problems = Vec::new();
    let marks = ["#[ignore", ".skip(", ".only(", "test.todo", "it.todo"];
    for dir in ["src-tauri", "signaling", "mobile", "tests", "src-ui/src"] {
        for (name, text) in files(dir, &[".rs", ".ts", ".mjs", ".svelte"]) {
            let test = name.contains("test") && name != "tests/tests/tidy.rs";
            // In Rust they are methods as others are; `#[ignore` is the mark.
            let found = marks.iter().filter(|m| !(name.ends_with(".rs") && m.starts_with('.')));
            for mark in found.filter(|m| test && text.contains(**m)) {
                problems.push(format!("{name}: `{mark}`"));
            }
        }
    }
    assert_none(problems);
}

/// What the web view may do is a list that a person agreed to.
#[test]
fn the_web_view_may_do_little() {
    let allowed =
        ["core:event:allow-listen", "core:event:allow-unlisten", "core:window:allow-set-fullscreen"];
    let mut problems = Vec::new();
    for (name, text) in files("src-tauri/capabilities", &[".json"]) {
        let capability: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
        assert!(capability.get("remote").is_none(), "{name}: no remote page may call commands");
        for permission in capability["permissions"].as_array().expect("a list") {
            let permission = permission.as_str().unwrap_or("(a scoped permission)");
            if !allowed.contains(&permission) {
                problems.push(format!("{name}: `{permission}` is not on the list in tests/tests/tidy.rs"));
            }
        }
    }
    assert_none(problems);
}
