//! libFuzzer's door to `relay_message`; what it checks is in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::relay_message(data));
