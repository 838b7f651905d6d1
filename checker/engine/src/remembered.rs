//! Identities remembered for a while, so that what a sender repeats is judged once.
use core::time::Duration;
use event::{Identity, Timestamp};
use hashbrown::HashSet;

use crate::Engine;

impl Engine {
    /// How many of these events have come before. Also readies the memory for the rows: it answers those who ask for many
    /// things at once much sooner than those who wait for each.
    pub fn known(&self, identities: impl Iterator<Item = Identity>) -> usize {
        self.state.remembered.known(identities)
    }
}

/// Two generations of identities: each is remembered for at least the time given, at most twice that.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Remembered {
    current: HashSet<u128, foldhash::fast::FixedState>,
    previous: HashSet<u128, foldhash::fast::FixedState>,
    turned: Timestamp,
}

impl Remembered {
    /// Remembers it; false when it was known.
    pub(crate) fn insert(&mut self, identity: Identity) -> bool {
        !self.previous.contains(&{ identity.0 }) && self.current.insert(identity.0)
    }

    /// How many of these are known.
    pub(crate) fn known(&self, identities: impl Iterator<Item = Identity>) -> usize {
        let knows =
            |identity: &Identity| self.current.contains(&{ identity.0 }) || self.previous.contains(&{ identity.0 });
        identities.filter(knows).count()
    }

    /// Forgets what is older than twice `span`.
    pub(crate) fn turn(&mut self, now: Timestamp, span: Duration) {
        if self.turned.plus(span) <= now {
            // As many will come in the next span: the memory for them is taken in one go.
            let expected = HashSet::with_capacity_and_hasher(self.current.len(), foldhash::fast::FixedState::default());
            self.previous = core::mem::replace(&mut self.current, expected);
            self.turned = now;
        }
    }
}
