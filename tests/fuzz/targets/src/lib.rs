//! What must hold for any bytes, one function for each way in. The fuzzer calls these, and so does an ordinary test over
//! the committed corpora: a crash that was found once stays found on a toolchain that cannot fuzz.
//!
//! A function here returns nothing: it panics when what it says does not hold. It refuses to repair its input.

mod inflating;
mod json;
mod lines;
mod oracle;
mod packs;
mod protobuf;

pub use inflating::inflate;
pub use json::{otlp_json, same_events};
pub use lines::event_lines;
pub use packs::{expression, pack_yaml};
pub use protobuf::{otlp_protobuf, walked};

/// One function and the name of its fuzz target and corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("event_lines", event_lines),
    ("expression", expression),
    ("inflate", inflate),
    ("journal_frames", journal_frames),
    ("otlp_json", otlp_json),
    ("otlp_protobuf", otlp_protobuf),
    ("pack_yaml", pack_yaml),
];

/// Any bytes on disk are frames or are not.
///
/// # Panics
/// When more was read than is there.
pub fn journal_frames(data: &[u8]) {
    let (frames, bytes) = journal::frames_in([0; 16], 1, data);
    assert!(bytes <= data.len());
    // A frame is never smaller than its header.
    assert!(frames * 64 <= bytes as u64 + 8);
}
