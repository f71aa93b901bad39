//! The libFuzzer target `document_updates`; its checks are in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::document_updates(data));
