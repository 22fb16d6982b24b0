//! Sequence parameter sets of H.264 and H.265: a picture with sides, or nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nightjar_engine::media::{h264, h265};

fuzz_target!(|bytes: &[u8]| {
    let _ = h264::is_b_slice(bytes);
    if let Some(sps) = h264::Sps::parse(bytes) {
        assert!(sps.width > 0 && sps.height > 0);
    }
    if let Some(sps) = h265::Sps::parse(bytes) {
        assert!(sps.width > 0 && sps.height > 0 && sps.reorder <= 16);
    }
});
