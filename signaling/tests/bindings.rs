//! The TypeScript types of signaling are the committed ones.

use std::path::Path;

use nightjar_signaling::message::{AuthOk, Closed, FromPeer, Message, Opened, Posted, ToPhone};
use specta::Types;
use specta_typescript::Typescript;

#[test]
fn typescript_types_are_fresh() {
    let types = Types::default()
        .register::<Message<FromPeer>>()
        .register::<Message<ToPhone>>()
        .register::<AuthOk>()
        .register::<Posted<Message<FromPeer>>>()
        .register::<Opened>()
        .register::<Closed>();
    let fresh = Typescript::default()
        .header("// Made from signaling/src/message.rs. Do not edit: the test `bindings` renews it.\n")
        .export(&types, specta_serde::Format)
        .expect("every type has a TypeScript form");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mobile/web/src/bindings/signaling.ts");
    if std::env::var_os("NIGHTJAR_BINDINGS").is_some_and(|v| v == "write") {
        std::fs::create_dir_all(path.parent().expect("it has a folder")).expect("writable");
        std::fs::write(&path, &fresh).expect("writable");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed, fresh,
        "run: NIGHTJAR_BINDINGS=write cargo test -p nightjar-signaling --test bindings"
    );
}
