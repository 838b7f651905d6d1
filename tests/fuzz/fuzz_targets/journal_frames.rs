//! Any bytes on disk are frames or are not; none crash the reader.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (frames, bytes) = journal::frames_in([0; 16], 1, data);
    assert!(bytes <= data.len());
    // A frame is never smaller than its header.
    assert!(frames * 64 <= bytes as u64 + 8);
});
