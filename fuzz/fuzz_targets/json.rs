//! What a page or a file says: it is taken or refused with a sentence, and what is taken is valid.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nightjar_engine::api::{CameraPatch, CameraSpec};
use nightjar_engine::config::{Config, check_camera};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(spec) = serde_json::from_str::<CameraSpec>(text) {
        match check_camera(&spec) {
            Ok(()) => assert!(spec.url.parse::<url::Url>().is_ok()),
            Err(invalid) => assert!(!invalid.to_string().is_empty()),
        }
        // A password is never given out.
        let shown = serde_json::to_string(&spec).expect("it was read from JSON");
        assert!(!shown.contains("\"password\""), "{shown}");
    }
    let _ = serde_json::from_str::<CameraPatch>(text);
    match Config::parse(text) {
        Ok(config) => assert!(config.camera.iter().all(|camera| check_camera(camera).is_ok())),
        Err(invalid) => assert!(!invalid.to_string().is_empty()),
    }
});
