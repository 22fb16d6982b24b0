//! Embeds the built wall, the capabilities and the icons.

fn main() {
    // The wall is embedded at compile time: a new one needs a new program.
    println!("cargo:rerun-if-changed=../src-ui/dist/index.html");
    tauri_build::build();
}
