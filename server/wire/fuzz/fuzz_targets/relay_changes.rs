//! The libFuzzer target `relay_changes`; its checks are in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::relay_changes(data));
