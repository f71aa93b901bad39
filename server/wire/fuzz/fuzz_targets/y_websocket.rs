//! The libFuzzer target `y_websocket`; its checks are in `../src`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire_fuzz::y_websocket(data));
