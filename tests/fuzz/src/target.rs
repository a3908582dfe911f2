//! The fuzz target of one reader, by whose name cargo builds it.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| townlet_fuzz::check(env!("CARGO_BIN_NAME"), input));
