//! libFuzzer's door to `presence_call`; what it checks is in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::presence_call(data));
