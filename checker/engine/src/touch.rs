//! An event as a rule sees it: the part it plays and the few values that later conditions ask for.
use alloc::vec::Vec;
use core::{cmp::Ordering, ops::Deref};
use event::{Timestamp, Value};
use triomphe::ThinArc;

use crate::{engine::PARTITIONS, key, pack::RoleIdx, program::RuleIdx, verdict::EventRef};

/// One event (or one element of it) in one part: what automata take, and remember.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Touch {
    pub(crate) at: EventRef,
    pub(crate) role: RoleIdx,
    pub(crate) alternative: u8,
    /// The role's kept slots.
    pub(crate) slots: Kept,
}

/// What an automaton remembers of an event.
pub(crate) type Seen = Touch;

/// A touch on its way to its instance.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Addressed {
    pub(crate) touch: Touch,
    pub(crate) rule: RuleIdx,
    pub(crate) key: KeyAt,
    /// The slot of its instance, when that was last looked for.
    #[serde(skip)]
    pub(crate) guess: Option<u32>,
}

/// Where an encoded key stands in the memory that keys share on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct KeyAt {
    from: u32,
    len: u32,
    /// Stable hash of the key.
    pub(crate) hash: u64,
}

impl KeyAt {
    /// The key that has been written to the end of `keys`, from `from` on.
    pub(crate) fn since(from: usize, keys: &[u8]) -> Self {
        let written = &keys[from..];
        KeyAt { from: from as u32, len: written.len() as u32, hash: key::hash(written) }
    }

    /// The same key, written to the end of `to`.
    pub(crate) fn copied(self, keys: &[u8], to: &mut Vec<u8>) -> Self {
        let from = to.len() as u32;
        to.extend_from_slice(self.of(keys));
        KeyAt { from, ..self }
    }

    /// The virtual partition of the key's instances.
    pub(crate) fn partition(self) -> usize {
        self.hash as usize % PARTITIONS
    }

    pub(crate) fn of(self, keys: &[u8]) -> &[u8] {
        let from = self.from as usize;
        keys.get(from..from + self.len as usize).unwrap_or_default()
    }
}

/// Values kept of an event, shared by all who remember it. Most events are remembered without any: a pointer is all that
/// takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kept(Option<ThinArc<(), Option<Value>>>);

impl Kept {
    /// The first `count` values that `value` gives.
    pub(crate) fn first(count: u16, value: impl FnMut(u16) -> Option<Value>) -> Self {
        Kept((count > 0).then(|| ThinArc::from_header_and_iter((), (0..count).map(value))))
    }
}

impl From<Vec<Option<Value>>> for Kept {
    fn from(values: Vec<Option<Value>>) -> Self {
        Kept((!values.is_empty()).then(|| ThinArc::from_header_and_iter((), values.into_iter())))
    }
}

impl Deref for Kept {
    type Target = [Option<Value>];

    fn deref(&self) -> &[Option<Value>] {
        self.0.as_ref().map_or(&[], |kept| &kept.slice)
    }
}

impl serde::Serialize for Kept {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Kept {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Kept::from)
    }
}

impl Addressed {
    pub(crate) fn ts(&self) -> Timestamp {
        self.touch.at.ts
    }

    /// Whether both are for the same instance.
    pub(crate) fn same_instance(&self, other: &Self, keys: &[u8]) -> bool {
        self.rule == other.rule && self.key.hash == other.key.hash && self.key.of(keys) == other.key.of(keys)
    }

    /// The order in which touches are worked off: by time, then in an order that does not depend on arrival.
    pub(crate) fn order(&self, other: &Self, keys: &[u8]) -> Ordering {
        (self.ts(), self.rule, self.key.hash)
            .cmp(&(other.ts(), other.rule, other.key.hash))
            .then_with(|| self.key.of(keys).cmp(other.key.of(keys)))
            .then_with(|| self.touch.order_inside(&other.touch))
    }
}

impl Touch {
    pub(crate) fn ts(&self) -> Timestamp {
        self.at.ts
    }

    pub(crate) fn role(&self) -> RoleIdx {
        self.role
    }

    /// The order among the touches of one instance.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        self.ts().cmp(&other.ts()).then_with(|| self.order_inside(other))
    }

    /// The order among the touches of one instance at one time.
    pub(crate) fn order_inside(&self, other: &Self) -> Ordering {
        let order = |touch: &Self| (touch.role, touch.at, touch.alternative);
        order(self).cmp(&order(other))
    }

    pub(crate) fn seen(&self) -> Seen {
        self.clone()
    }

    /// Whether it is the very same touch, come again.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        self.repeats_role(other) && self.alternative == other.alternative
    }

    /// Whether it is the same event in the same part, by whatever alternative.
    pub(crate) fn repeats_role(&self, other: &Self) -> bool {
        self.at.identity == other.at.identity && self.at.element == other.at.element && self.role == other.role
    }
}

/// Whether two references are to the same event, whatever element of it.
pub(crate) fn same_event(a: &EventRef, b: &EventRef) -> bool {
    a.identity == b.identity
}
