//! libFuzzer's door to `token_refresh`; what it checks is in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::token_refresh(data));
