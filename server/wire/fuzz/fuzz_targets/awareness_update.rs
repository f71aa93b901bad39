//! The libFuzzer target `awareness_update`; its checks are in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::awareness_update(data));
