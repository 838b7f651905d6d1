//! What makes two records the same record.
use core::fmt;

/// A 128-bit identity: `log.record.uid` where the sender gives one, else the record's content (resolved time, observed
/// time, source, name, trace, attributes, body) with its occurrence number inside the request.
///
/// A retried request repeats the same identities; two honest twins inside one request differ. The hash is XXH3, the same
/// on every machine and in every version, because identities reach the disk. It is not proof against someone who forges
/// collisions: whoever may send events may also send wrong ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[repr(Rust, packed(8))]
pub struct Identity(pub u128);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", { self.0 })
    }
}
