//! What the conduit takes from a camera's byte stream: whole pieces within the bytes, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nightjar_engine::ingest::conduit::message::{Piece, next};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some(piece)) = next(rest) {
        let taken = match piece {
            Piece::Blank(len) | Piece::Data { len, .. } => len,
            Piece::Message { message, len } => {
                let _ = message.cseq();
                assert!(message.body.len() < len);
                assert!(message.headers().all(|(name, _)| !name.is_empty()));
                len
            }
        };
        assert!(taken > 0 && taken <= rest.len());
        rest = &rest[taken..];
    }
});
