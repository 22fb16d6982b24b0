//! Tells Tauri which commands the page may call.

fn main() {
    #[cfg(feature = "app")]
    tauri_build::try_build(
        tauri_build::Attributes::new()
            .app_manifest(tauri_build::AppManifest::new().commands(&["dial", "say", "hang_up"])),
    )
    .expect("the configuration of the app can be read");
}
