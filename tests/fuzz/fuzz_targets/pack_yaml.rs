//! Any text is a pack that runs, or has a mistake.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::pack_yaml(data));
