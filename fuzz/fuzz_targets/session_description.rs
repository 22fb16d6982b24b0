//! What a viewer or a phone offers: read, narrowed and answered without harm.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| nightjar_engine::sfu::hostile::description(text));
