//! Any bytes are OTLP JSON that becomes a readable request, or are refused.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::otlp_json(data));
