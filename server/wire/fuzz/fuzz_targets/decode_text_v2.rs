//! libFuzzer's door to `decode_text_v2`; what it checks is in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::decode_text_v2(data));
