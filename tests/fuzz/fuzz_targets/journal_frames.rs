//! Any bytes on disk are frames or are not; none crash the reader.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::journal_frames(data));
