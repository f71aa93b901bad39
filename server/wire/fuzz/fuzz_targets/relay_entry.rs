//! The libFuzzer target `relay_entry`; its checks are in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::relay_entry(data));
