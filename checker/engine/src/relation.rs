//! What a pack declares beside its rules: facts, clocks, derived events, breakers, and the ends and shares that rules
//! count by them.
//! Only what they are; nothing here runs.
use alloc::{string::String, vec::Vec};
use core::time::Duration;
use event::{Int, Value};

use crate::{
    expr::Expr,
    pack::{Role, RoleIdx},
};

/// A named event made out of others, at the same time and of the same source.
#[derive(Clone, Debug)]
pub struct Derive {
    /// Its name.
    pub name: String,
    /// What it is made out of; the kept slots are its attributes.
    pub from: Role,
    /// Its attributes, by the kept slots.
    pub attrs: Vec<String>,
    /// Only the first event of each key makes it, by the patterns' keys: a hash of all that decides which that is. None:
    /// every event does.
    pub first_per: Option<u64>,
}

/// A relation kept from events, each row valid from the event that set it to the one that unset or replaced it: one value
/// per key, or with `row` as many rows as were set.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Its name in expressions.
    pub name: String,
    /// Its key's parts.
    pub key: Vec<String>,
    /// A relation's further columns; empty: one value per key.
    pub row: Vec<String>,
    /// Sets it; each alternative's key binds all columns. Without alternatives for a computed fact.
    pub set_by: Role,
    /// The value, over `set_by`'s slots.
    pub value: Expr,
    /// Unsets it; a shorter key unsets all rows that agree.
    pub unset_by: Option<Role>,
    /// Which of several values of one key it keeps.
    pub keep: Keep,
    /// When a row ends by itself, over `set_by`'s slots: an instant, or a length of time after it was set.
    pub expires: Option<Expr>,
    /// Computed from other facts: locals are the key's parts, then the asking time.
    pub is: Option<Expr>,
    /// What it is when unset.
    pub default: Option<Value>,
    /// How long after its last change a row is forgotten.
    pub forget_after: Duration,
    /// How many rows it may keep.
    pub max_keys: u64,
}

impl Fact {
    /// The names of its columns, a value's own not among them.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.key.iter().chain(&self.row).map(String::as_str)
    }
}

/// Which of several values of one key a fact keeps until it is unset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// The last one set.
    #[default]
    Last,
    /// The greatest.
    Max,
    /// The least.
    Min,
    /// None of them: how many there were.
    Count,
}

/// A deadline in ticks: it passes when the clock first exceeds where it stood plus `count`.
#[derive(Clone, Debug)]
pub struct Ticks {
    /// The clock's number in its pack.
    pub clock: u16,
    /// The clock's key, over the `when`'s kept slots.
    pub key: Vec<Expr>,
    /// How many.
    pub count: u64,
    /// Not before so much time has passed too.
    pub and: Option<Duration>,
    /// When so much time has passed and the deadline has not, the verdict is unknown.
    pub or: Option<Duration>,
}

/// Time in ticks: the running maximum of a value that nodes report.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Its name in expressions and deadlines.
    pub name: String,
    /// Its key's parts.
    pub key: Vec<String>,
    /// What reports a value; each alternative's key binds all parts.
    pub of: Role,
    /// The value, over `of`'s slots.
    pub value: Expr,
    /// So many nodes must have reached a value.
    pub quorum: u64,
    /// A value farther ahead than this needs a second node that has reached it.
    pub max_step: Option<Int>,
}

/// How many of the expected are enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// This share of them,
    pub part: u64,
    /// of this whole,
    pub whole: u64,
    /// or strictly more.
    pub more: bool,
}

impl Quorum {
    /// Whether `answered` of `expected` are enough. Nobody of nobody is.
    #[must_use]
    pub fn reached(self, answered: u64, expected: u64) -> bool {
        let (have, need) =
            (u128::from(answered) * u128::from(self.whole), u128::from(expected) * u128::from(self.part));
        expected == 0 || if self.more { have > need } else { have >= need }
    }
}

/// An event that a rule's verdicts make, for other rules to build on.
#[derive(Clone, Debug)]
pub struct Emit {
    /// What makes it.
    pub on: EmitOn,
    /// Its name.
    pub event: String,
    /// What its expressions read, by their slots: parts of the key, what was measured, `at`, values of [`Emit::kept`].
    pub names: Vec<String>,
    /// Those of the names that are values of events: the event's role and the slot that keeps it.
    pub kept: Vec<(String, RoleIdx, u16)>,
    /// Its attributes.
    pub attrs: Vec<(String, Expr)>,
}

/// What makes an event of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum EmitOn {
    /// The rule was found broken; it happens where in event time that was found.
    Violated,
    /// A level has recovered.
    Resolved,
    /// An obligation was met, or an event judged and found in order.
    Held,
    /// What a rule measures over has ended, whatever was found.
    Closed,
    /// Late evidence has taken a violation back; it happens when Invar comes to know, and nothing undoes it.
    Retracted,
}

/// A circuit breaker.
#[derive(Clone, Debug)]
pub struct BreakerDef {
    /// Unique in its pack.
    pub id: String,
    /// What it is about, for people.
    pub about: String,
    /// The channel or component it guards (`batch_coordinator -> batch_generator`).
    pub guards: String,
    /// The key parts that give each scope its own breaker; empty: one per network.
    pub per: Vec<String>,
    /// Rules whose violations trip it.
    pub trip_rules: Vec<String>,
    /// How many violations trip it.
    pub trip_count: u32,
    /// Within what time; `None`: ever since it closed.
    pub trip_within: Option<Duration>,
    /// How long it stays open before it tries.
    pub half_open_after: Duration,
    /// The event that counts as a success; keys bind the `per` parts.
    pub close: Option<Role>,
    /// How many successes close it.
    pub close_count: u32,
    /// Whether nodes must obey; otherwise it only says what it would do.
    pub enforcing: bool,
}

impl BreakerDef {
    /// The name by which the event is known that each of its changes makes.
    #[must_use]
    pub fn changes(&self) -> String {
        Self::changes_of(&self.id)
    }

    /// The same, of a breaker's id.
    #[must_use]
    pub fn changes_of(id: &str) -> String {
        alloc::format!("invar.breaker.changed/{id}")
    }
}
