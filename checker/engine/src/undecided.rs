//! Events of which nobody knows what part they play in a rule: what their patterns' `let` and `for_each` ask of a fact was
//! forgotten, as the fact had too much to remember.
//!
//! Such an event is one that a verdict may miss: what lacks an event of its time is unknown wherever the key may be the
//! event's.
use alloc::{collections::BTreeMap, vec::Vec};
use event::{Identity, Timestamp};

use crate::key::PartialKey;

/// How many events of a rule are remembered.
const EVENTS_MAX: usize = 4_096;

/// Those of one rule.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Undecided {
    /// With what is known of their keys.
    events: BTreeMap<(Timestamp, Identity), Vec<PartialKey>>,
    /// The time of the last one that is not remembered; zero: there is none.
    lost: Timestamp,
}

impl Undecided {
    /// Whether nothing is known of that event.
    pub(crate) fn knows(&self, ts: Timestamp, identity: Identity) -> bool {
        self.events.contains_key(&(ts, identity))
    }

    /// Puts what is known of an event's keys in the place of what was; returns whether that is something else.
    pub(crate) fn set(&mut self, ts: Timestamp, identity: Identity, keys: Vec<PartialKey>) -> bool {
        let at = (ts, identity);
        if keys.is_empty() {
            return self.events.remove(&at).is_some();
        }
        let changed = self.events.get(&at) != Some(&keys);
        self.events.insert(at, keys);
        while self.events.len() > EVENTS_MAX {
            self.lost = self.events.pop_first().map_or(self.lost, |((ts, _), _)| self.lost.max(ts));
        }
        changed
    }

    /// Whether an event of that key may be among those between these times, both included.
    pub(crate) fn between(&self, from: Timestamp, to: Timestamp, key: &[u8]) -> bool {
        if from > to || (self.events.is_empty() && self.lost == Timestamp::ZERO) {
            return false;
        }
        let mut between = self.events.range((from, Identity(0))..=(to, Identity(u128::MAX)));
        (self.lost > Timestamp::ZERO && from <= self.lost)
            || between.any(|(_, keys)| keys.iter().any(|partial| partial.agrees(key)))
    }

    /// Forgets what happened before `oldest`.
    pub(crate) fn prune(&mut self, oldest: Timestamp) {
        if !self.events.is_empty() {
            self.events.retain(|(ts, _), _| *ts >= oldest);
        }
        if self.lost < oldest {
            self.lost = Timestamp::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{boxed::Box, vec};

    fn part(byte: u8) -> Option<Box<[u8]>> {
        let mut key = Vec::new();
        crate::key::push_ref(&mut key, event::ValueRef::Int(byte.into()));
        Some(key.into())
    }

    fn key(parts: &[u8]) -> Vec<u8> {
        parts.iter().flat_map(|byte| part(*byte).unwrap_or_default().into_vec()).collect()
    }

    #[test]
    fn it_may_be_any_event_of_its_time_that_has_what_is_known_of_its_key() {
        let mut undecided = Undecided::default();
        assert!(!undecided.between(Timestamp(0), Timestamp(9), &key(&[1, 2])));
        assert!(undecided.set(Timestamp(5), Identity(1), vec![PartialKey(vec![part(1), None])]));
        assert!(!undecided.set(Timestamp(5), Identity(1), vec![PartialKey(vec![part(1), None])]), "said before");
        let between =
            |undecided: &Undecided, from, to, parts| undecided.between(Timestamp(from), Timestamp(to), &key(parts));
        assert!(between(&undecided, 5, 5, &[1, 2]));
        assert!(!between(&undecided, 5, 5, &[2, 2]), "another key");
        assert!(!between(&undecided, 0, 4, &[1, 2]) && !between(&undecided, 6, 9, &[1, 2]), "another time");
        assert!(!between(&undecided, 9, 0, &[1, 2]), "no time at all");
        assert!(undecided.set(Timestamp(5), Identity(1), Vec::new()) && !undecided.knows(Timestamp(5), Identity(1)));
        assert!(!between(&undecided, 0, 9, &[1, 2]), "it turned out to be something else");
    }

    #[test]
    fn of_too_many_the_oldest_may_have_been_anything() {
        let mut undecided = Undecided::default();
        for ts in 1..=EVENTS_MAX as u64 + 1 {
            undecided.set(Timestamp(ts), Identity(0), vec![PartialKey(vec![part(1)])]);
        }
        assert!(undecided.between(Timestamp(0), Timestamp(1), &key(&[2])));
        assert!(!undecided.between(Timestamp(2), Timestamp(9_999), &key(&[2])));
        undecided.prune(Timestamp(5_000));
        assert!(!undecided.between(Timestamp(0), Timestamp(9_999), &key(&[1])));
    }
}
