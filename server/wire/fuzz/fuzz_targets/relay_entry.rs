//! libFuzzer's door to `relay_entry`; what it checks is in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::relay_entry(data));
