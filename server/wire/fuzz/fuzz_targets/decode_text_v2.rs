//! The libFuzzer target `decode_text_v2`; its checks are in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::decode_text_v2(data));
