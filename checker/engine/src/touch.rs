//! An event as a rule sees it: the part it plays, its key, and the few values later conditions ask for.
use alloc::boxed::Box;
use core::cmp::Ordering;
use event::{Timestamp, Value};

use crate::{pack::RoleIdx, program::RuleIdx, verdict::EventRef};

/// One event (or one element of it) in one part, owned, on its way through the reorder buffer and in an instance's trail.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Touch {
    pub(crate) at: EventRef,
    pub(crate) rule: RuleIdx,
    pub(crate) role: RoleIdx,
    pub(crate) alternative: u8,
    /// Stable hash of `key`.
    pub(crate) hash: u64,
    pub(crate) key: Box<[u8]>,
    /// The role's kept slots.
    pub(crate) slots: Box<[Option<Value>]>,
}

impl Touch {
    pub(crate) fn ts(&self) -> Timestamp {
        self.at.ts
    }

    pub(crate) fn role(&self) -> RoleIdx {
        self.role
    }

    /// The order in which touches are worked off: by time, then in an order that does not depend on arrival.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        self.at
            .ts
            .cmp(&other.at.ts)
            .then_with(|| self.rule.cmp(&other.rule))
            .then_with(|| self.hash.cmp(&other.hash))
            .then_with(|| self.key.cmp(&other.key))
            .then_with(|| self.order_inside(other))
    }

    /// The order among the touches of one instance at one time.
    pub(crate) fn order_inside(&self, other: &Self) -> Ordering {
        let order = |touch: &Self| (touch.role, touch.at, touch.alternative);
        order(self).cmp(&order(other))
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen { at: self.at, role: self.role(), alternative: self.alternative, slots: self.slots.clone() }
    }
}

/// What an automaton remembers of an event.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Seen {
    pub(crate) at: EventRef,
    pub(crate) role: RoleIdx,
    pub(crate) alternative: u8,
    pub(crate) slots: Box<[Option<Value>]>,
}

impl Touch {
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
