//! The libFuzzer target `term_size`; its checks are in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::term_size(data));
