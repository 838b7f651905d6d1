//! OTLP bytes to borrowed values; pure: no input or output, no clock.
//!
//! This crate refuses to know how bytes arrive (the receiver's business) and where they are kept (the journal's).

mod any;
mod check;
mod digest;
mod encode;
mod from_json;
mod from_lines;
mod identity;
mod json;
mod limits;
mod malformed;
mod reader;
mod record;
mod refused;
mod walk;

pub use any::{Any, Elements, Entries, List, Map};
pub use check::{Census, Refusal, check};
pub use digest::{Digest, Digested, Noted, Source, check_and_digest};
pub use from_json::{Warnings, json_to_protobuf};
pub use from_lines::lines_to_protobuf;
pub use identity::Occurrences;
pub use limits::{Limits, Signal};
pub use malformed::{Fault, Malformed};
pub use record::Record;
pub use refused::Refused;
pub use walk::{Scratch, Visit, walk, walk_refused, walk_wanted};
