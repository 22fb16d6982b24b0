//! What a phone sends as media: whole units within their bound, or nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| nightjar_engine::sfu::hostile::packets(bytes));
