//! Any text is an expression that ends, or a mistake.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::expression(data));
