//! The borrowed reader and prost take the same requests and find the same events.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::otlp_protobuf(data));
