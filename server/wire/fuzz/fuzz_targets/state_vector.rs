//! The libFuzzer target `state_vector`; its checks are in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::state_vector(data));
