//! The TypeScript types of the public interface are those of this commit.
//!
//! `NIGHTJAR_BINDINGS=write cargo test -p nightjar-engine --test bindings` renews the file.

use std::path::Path;

use nightjar_engine::api;
use specta::Types;
use specta_typescript::Typescript;

#[test]
fn typescript_types_are_fresh() {
    let types = Types::default()
        .register::<api::Camera>()
        .register::<api::CameraSpec>()
        .register::<api::CameraPatch>()
        .register::<api::Probe>()
        .register::<api::Fault>()
        .register::<api::FaultAdvice>()
        .register::<api::Stream>()
        .register::<api::Event>()
        .register::<api::AlertSettings>()
        .register::<api::AlertSettingsPatch>()
        .register::<api::DevicePatch>()
        .register::<api::NewPairing>()
        .register::<api::PairingSpec>()
        .register::<api::WhipToken>()
        .register::<api::WhipTokenSpec>()
        .register::<api::Recordings>()
        .register::<api::SegmentPatch>()
        .register::<api::ExportSpec>()
        .register::<api::ExportBegun>()
        .register::<api::Export>()
        .register::<api::Storage>()
        .register::<api::ApiError>();
    let fresh = Typescript::default()
        .header("// Made from src-tauri/engine/src/api. Do not edit: the test `bindings` renews it.\n")
        .export(&types, specta_serde::Format)
        .expect("every type has a TypeScript form");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src-ui/src/bindings/api.ts");
    if std::env::var_os("NIGHTJAR_BINDINGS").is_some_and(|v| v == "write") {
        std::fs::create_dir_all(path.parent().expect("it has a folder")).expect("writable");
        std::fs::write(&path, &fresh).expect("writable");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed, fresh,
        "run: NIGHTJAR_BINDINGS=write cargo test -p nightjar-engine --test bindings"
    );
}
