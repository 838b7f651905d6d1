//! No body inflates beyond the limit.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::inflate(data));
