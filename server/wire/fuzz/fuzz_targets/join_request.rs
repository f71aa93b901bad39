//! libFuzzer's door to `join_request`; what it checks is in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::join_request(data));
