//! What the engine says: violations with their evidence, and what becomes of them.
use alloc::{string::String, sync::Arc, vec::Vec};
use core::fmt;
use event::{Identity, Position, Timestamp, Value};

use crate::{breaker::BreakerChange, program::RuleIdx};

/// Names a violation: a hash of pack, rule, key and anchor, the same however its events arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct ViolationId(pub [u8; 16]);

impl fmt::Display for ViolationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One thing the engine says.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A rule instance is broken; said again with the same id when its evidence grew.
    Violated(Violation),
    /// Evidence that was in time came late: the violation never was.
    Retracted {
        /// Which.
        id: ViolationId,
        /// Whose.
        rule: RuleIdx,
    },
    /// A level recovered.
    Resolved {
        /// Which.
        id: ViolationId,
        /// Whose.
        rule: RuleIdx,
        /// When, in event time.
        at: Timestamp,
    },
    /// The missing event happened, after its deadline. The violation stands.
    LateResolved {
        /// Which.
        id: ViolationId,
        /// Whose.
        rule: RuleIdx,
        /// The event that came late.
        by: Cited,
    },
    /// A breaker changed.
    Breaker(BreakerChange),
}

/// A rule instance found broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Its name.
    pub id: ViolationId,
    /// The rule, in the running program.
    pub rule: RuleIdx,
    /// The instance's network; empty when the rule spans networks or events name none.
    pub network: String,
    /// The instance's key, in the rule's order; `None` for an optional part that is absent.
    pub key: Vec<Option<Value>>,
    /// Where in event time it was found.
    pub at: Timestamp,
    /// The events that prove it, in order of time.
    pub evidence: Vec<Cited>,
    /// What did not come.
    pub missing: Option<Missing>,
    /// What an `aggregate` measured, by the names of its terms.
    pub values: Vec<(String, Value)>,
    /// Whether it lasts until it recovers.
    pub level: bool,
    /// It was said before: only its evidence has grown.
    pub grown: bool,
}

/// Why a verdict is impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Unknown {
    /// The look-back goes past the first event ever heard from the node, and that was only just heard.
    BeforeStart,
    /// The assertion asks for an attribute that the event lacks.
    Absent,
    /// A window holds more events than can be kept.
    TooMany,
    /// Two values that have no order.
    Incomparable,
    /// The clock that the deadline is counted by stood still for longer than the rule waits.
    ClockStalled,
    /// The node that should have sent the event was not heard after the deadline, while others were.
    NodeSilent,
    /// A source of the node that should have sent the event lags too far behind to be waited for.
    Lagging,
    /// An event of that node came too late to be judged, and may have been the one.
    TooLate,
    /// An event of that node came with a time too far ahead to be judged, and may have been the one.
    Future,
    /// A record of that node was refused when it came, and may have been the one.
    Refused,
    /// What came then was accepted, and lost before it was judged.
    Lost,
    /// What came before was forgotten, as there were too many keys or rows to be kept.
    Forgotten,
}

impl Unknown {
    /// The reason in a few words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Unknown::BeforeStart => "before the start",
            Unknown::Absent => "attribute absent",
            Unknown::TooMany => "too many events in a window",
            Unknown::Incomparable => "values without order",
            Unknown::ClockStalled => "clock stalled",
            Unknown::NodeSilent => "node silent",
            Unknown::Lagging => "source lagging",
            Unknown::TooLate => "event too late",
            Unknown::Future => "event from the future",
            Unknown::Refused => "record refused",
            Unknown::Lost => "records lost",
            Unknown::Forgotten => "forgotten",
        }
    }
}

/// An event called as evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Cited {
    /// The part it plays, as the rule names it.
    pub role: Arc<str>,
    /// Which event.
    pub event: EventRef,
}

/// Enough of an event to find it again and to tell it from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct EventRef {
    /// When it happened.
    pub ts: Timestamp,
    /// What tells it from others.
    pub identity: Identity,
    /// Which element of it, where a pattern makes one virtual event per element; else 0.
    pub element: u32,
    /// Where it is kept.
    pub position: Position,
}

/// An event that did not come.
#[derive(Clone, Debug, PartialEq)]
pub struct Missing {
    /// The part it should have played.
    pub role: Arc<str>,
    /// What it is called.
    pub event: Arc<str>,
    /// By when it should have come.
    pub by: Timestamp,
    /// The members that should have sent it, where the rule expects it from members.
    pub from: Vec<Value>,
}
