//! Any bytes are event lines or are refused at one of them.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::event_lines(data));
