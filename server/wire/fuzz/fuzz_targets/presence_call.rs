//! The libFuzzer target `presence_call`; its checks are in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::presence_call(data));
