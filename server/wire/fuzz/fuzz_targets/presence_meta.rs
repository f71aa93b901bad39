//! The libFuzzer target `presence_meta`; its checks are in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::presence_meta(data));
