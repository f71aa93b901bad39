//! The libFuzzer target `decode_binary`; its checks are in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::decode_binary(data));
