//! libFuzzer's door to `presence_meta`; what it checks is in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::presence_meta(data));
