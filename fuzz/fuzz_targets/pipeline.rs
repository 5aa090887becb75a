#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cauce_fuzz::run("pipeline", input));
