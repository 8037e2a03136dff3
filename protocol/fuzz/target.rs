//! Every fuzz target: which one it is, its binary's name says.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gtv_protocol::fuzz::run(env!("CARGO_BIN_NAME"), data));
