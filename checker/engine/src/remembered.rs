//! Identities remembered for a while, so that what a sender repeats is judged once.
use alloc::vec::Vec;
use core::{fmt, time::Duration};
use event::{Identity, Timestamp};
use hashbrown::HashSet;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
    ser::SerializeSeq,
};

use crate::Engine;

impl Engine {
    /// How many of these events have come before. Also readies the memory for the rows: it answers those who ask for many
    /// things at once much sooner than those who wait for each.
    pub fn known(&self, identities: impl Iterator<Item = Identity>) -> usize {
        self.state.remembered.known(identities)
    }
}

/// Two generations of identities: each is remembered for at least the time given, at most twice that.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Remembered {
    current: Shards,
    previous: Shards,
    turned: Timestamp,
}

impl Remembered {
    /// Remembers it; false when it was known.
    #[inline]
    pub(crate) fn insert(&mut self, identity: Identity) -> bool {
        !self.previous.contains(identity) && self.current.insert(identity)
    }

    /// How many of these are known.
    pub(crate) fn known(&self, identities: impl Iterator<Item = Identity>) -> usize {
        identities.filter(|identity| self.current.contains(*identity) || self.previous.contains(*identity)).count()
    }

    /// Forgets what is older than twice `span`.
    pub(crate) fn turn(&mut self, now: Timestamp, span: Duration) {
        if self.turned.plus(span) <= now {
            let mut free = core::mem::replace(&mut self.previous, core::mem::take(&mut self.current));
            free.make_room_for(&self.previous);
            self.current = free;
            self.turned = now;
        }
    }
}

/// Into how many sets identities are divided. A set that grows is built anew: one of all identities of two busy minutes would
/// keep everybody waiting for a tenth of a second, in which the journal's memory runs full.
const SHARDS: usize = 256;

type Shard = HashSet<u128, foldhash::fast::FixedState>;

/// A set of identities in many small ones. It is written down as one.
#[derive(Clone, Debug)]
struct Shards(Vec<Shard>);

impl Default for Shards {
    fn default() -> Self {
        Self(alloc::vec![Shard::default(); SHARDS])
    }
}

/// The set that it belongs to. Identities are hashes: any part of one is as good as another.
#[inline]
fn place(identity: u128) -> usize {
    (identity >> 64) as usize % SHARDS
}

impl Shards {
    #[inline]
    fn contains(&self, Identity(identity): Identity) -> bool {
        self.0[place(identity)].contains(&identity)
    }

    #[inline]
    fn insert(&mut self, Identity(identity): Identity) -> bool {
        self.0[place(identity)].insert(identity)
    }

    /// Forgets everything, and keeps memory for about as many as another has: as many will come in the next span, and memory
    /// that was used before costs much less than new one.
    fn make_room_for(&mut self, expected: &Self) {
        for (shard, expected) in self.0.iter_mut().zip(&expected.0) {
            shard.clear();
            if shard.capacity() > SPARE * expected.len() {
                *shard = Shard::default();
            }
            shard.reserve(expected.len());
        }
    }
}

/// Memory for so many times what is expected is given back.
const SPARE: usize = 4;

impl Serialize for Shards {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = serializer.serialize_seq(Some(self.0.iter().map(Shard::len).sum()))?;
        self.0.iter().flatten().try_for_each(|identity| all.serialize_element(identity))?;
        all.end()
    }
}

impl<'de> Deserialize<'de> for Shards {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(All)
    }
}

/// Reads all identities of a set.
struct All;

impl<'de> Visitor<'de> for All {
    type Value = Shards;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("identities")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Shards, A::Error> {
        let mut all = Shards::default();
        while let Some(identity) = sequence.next_element()? {
            all.insert(Identity(identity));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(120);

    fn identity(number: u64) -> Identity {
        Identity(xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes()))
    }

    #[test]
    fn an_identity_is_known_for_one_span_and_forgotten_after_two() {
        let mut remembered = Remembered::default();
        let at = |seconds: u64| Timestamp(seconds * 1_000_000_000);
        remembered.turn(at(1_000), SPAN);
        assert!(remembered.insert(identity(1)) && !remembered.insert(identity(1)));
        remembered.turn(at(1_120), SPAN);
        assert!(!remembered.insert(identity(1)));
        assert_eq!(remembered.known([identity(1), identity(2)].into_iter()), 1);
        remembered.turn(at(1_240), SPAN);
        assert!(remembered.insert(identity(1)));
    }

    #[test]
    fn identities_are_written_down_as_one_set_in_whatever_sets_they_are_kept() {
        let mut remembered = Remembered::default();
        (0..10_000).for_each(|number| assert!(remembered.insert(identity(number))));
        remembered.turn(Timestamp(SPAN.as_nanos() as u64), SPAN);
        assert!(remembered.insert(identity(10_000)));
        let written = postcard::to_allocvec(&remembered).unwrap();
        // As it would be without the division.
        type Whole = (Vec<u128>, Vec<u128>, Timestamp);
        let (current, previous, _) = postcard::from_bytes::<Whole>(&written).unwrap();
        assert_eq!((current.len(), previous.len()), (1, 10_000));
        let read: Remembered = postcard::from_bytes(&written).unwrap();
        assert_eq!(read.known((0..10_001).map(identity)), 10_001);
        assert_eq!(read.known((10_001..20_000).map(identity)), 0);
    }
}
