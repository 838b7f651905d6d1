//! Patterns: which events play which part in a rule, and what of them is read.
use alloc::{string::String, sync::Arc, vec::Vec};

use crate::{BodyTemplate, Glob, expr::Expr};

/// Index of a role in [`crate::Rule::roles`].
pub type RoleIdx = u8;

/// How many roles a rule may have.
pub const ROLES_MAX: usize = 64;

/// In messages: the event that the judged one is measured against, where a kind cites one. No index of a role.
pub const BEFORE: RoleIdx = 254;

/// What the part of [`BEFORE`] is called.
pub const BEFORE_NAME: &str = "before";

/// The part an event plays in a rule (`when`, `then`, `unless`).
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name: the kind's own word, or the pattern's `as`.
    pub name: Arc<str>,
    /// Any of these makes an event play the role. All alternatives have the same first [`Role::kept`] slots.
    pub alternatives: Vec<Pattern>,
    /// How many of the first slots an instance keeps, because a later condition asks for them.
    pub kept: u16,
    /// What the role's events are called, for people: `quorum_store.batch.tracked` or `a or b`.
    pub label: Arc<str>,
}

/// Which events, and what of them.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// Names that match.
    pub name: Glob,
    /// Components that match; `None`: all.
    pub component: Option<Glob>,
    /// The least OpenTelemetry severity number that matches; `None`: all.
    pub severity: Option<i32>,
    /// What the body must be; its captures are slots.
    pub body: Option<BodyTemplate>,
    /// What the expressions of this pattern read; the first [`Role::kept`] are kept with the event.
    pub slots: Vec<Slot>,
    /// One virtual event per element, nested from left to right.
    pub for_each: Vec<ForEach>,
    /// Decided at once: reads only this event's own slots.
    pub where_own: Option<Expr>,
    /// Decided in order of time: reads facts or events in other roles.
    pub where_late: Option<Expr>,
    /// For each key part the expression that supplies it; `None`: not bound here (a shorter key).
    pub key: Vec<Option<Expr>>,
}

impl Pattern {
    /// What it evaluates of an event by itself.
    pub fn own_expressions(&self) -> impl Iterator<Item = &Expr> {
        let lets = self.slots.iter().filter_map(|slot| match slot {
            Slot::Let(expression) => Some(expression),
            _ => None,
        });
        lets.chain(self.for_each.iter().map(|each| &each.over)).chain(&self.where_own).chain(self.key.iter().flatten())
    }

    /// Whether every event of a name that matches, matches.
    #[must_use]
    pub fn is_unconditional(&self) -> bool {
        self.component.is_none() && self.severity.is_none() && self.body.is_none() && self.where_own.is_none()
    }

    /// Whether a `let` or a `for_each` asks for more than the event: facts, clocks, breakers, who is live.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.own_expressions().any(Expr::asks)
    }
}

/// A value an expression reads from its event.
#[derive(Clone, Debug)]
pub enum Slot {
    /// An attribute; `int` turns decimal and 0x text into an integer, and text that is neither into absence.
    Attr {
        /// The attribute's name.
        name: String,
        /// Whether the vocabulary declares it an integer.
        int: bool,
    },
    /// An attribute of the resource.
    Resource(String),
    /// The event's name.
    Name,
    /// The node.
    Node,
    /// The component.
    Component,
    /// The network.
    Network,
    /// The event's time.
    Ts,
    /// OpenTelemetry's severity number.
    Severity,
    /// The body.
    Body,
    /// The trace id, lower-case hex.
    TraceId,
    /// A named expression over earlier slots.
    Let(Expr),
    /// The current element of a `for_each`.
    Element,
    /// What stands in the body in the place of that capture of [`Pattern::body`].
    Captured(u16),
}

/// One virtual event per element of a list or map.
#[derive(Clone, Debug)]
pub struct ForEach {
    /// A list, a map (elements are maps of `key` and `value`) or JSON text of either.
    pub over: Expr,
    /// The slot, a [`Slot::Element`], that holds the element.
    pub slot: u16,
}
