//! Events, rules and verdicts as the oracle sees them.
use crate::clocks::Ticks;

/// Milliseconds from the log's beginning.
pub type Time = u64;

pub const NEVER: Time = Time::MAX;

/// How many nodes there are at most.
pub const NODES: u8 = 3;

/// One event. All carry the attributes `k`, `x` and the process.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its identity; events of one time are ordered by it where an order must be chosen.
    pub id: u32,
    pub ts: Time,
    pub node: u8,
    /// `a`, `b`, …; `S` is the start of a process.
    pub name: char,
    pub k: u8,
    pub x: i64,
    /// What clocks take from an `e`.
    pub h: i64,
    pub pid: u32,
}

/// A part of a rule's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Node,
    K,
}

impl Part {
    pub fn name(self) -> &'static str {
        match self {
            Part::Node => "node",
            Part::K => "k",
        }
    }

    pub fn of(self, event: &Event) -> u8 {
        match self {
            Part::Node => event.node,
            Part::K => event.k,
        }
    }
}

pub type Key = Vec<u8>;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Compare {
    Equal,
    AtLeast,
}

impl Compare {
    pub fn sign(self) -> &'static str {
        match self {
            Compare::Equal => "==",
            Compare::AtLeast => ">=",
        }
    }

    pub fn holds(self, a: i64, b: i64) -> bool {
        match self {
            Compare::Equal => a == b,
            Compare::AtLeast => a >= b,
        }
    }
}

/// One alternative of a pattern.
#[derive(Clone, Debug)]
pub struct Alternative {
    /// `p` is derived: the first `a` of each `k`.
    pub name: char,
    /// `x` against a constant.
    pub own: Option<(Compare, i64)>,
    /// The fact `f` at the event's node, or just before the event, against a constant.
    pub fact: Option<(bool, i64)>,
    /// `x` against the `x` of the event in the rule's main role.
    pub across: Option<Compare>,
}

/// Any of the alternatives, with all of the key or fewer parts of it.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub alternatives: Vec<Alternative>,
    pub key: Option<Vec<Part>>,
    /// The fact `f` at the event's node takes the place of its `k`.
    pub k_of_fact: bool,
}

impl Pattern {
    pub fn names(&self) -> impl Iterator<Item = char> {
        self.alternatives.iter().map(|one| one.name)
    }
}

/// From whom answers are expected: the nodes that the relation `here` holds, entered by `f` and left by `g`.
#[derive(Clone, Debug)]
pub struct From {
    /// So many of so many are enough, or more; none: each.
    pub quorum: Option<(u64, u64, bool)>,
    /// Who is expected is asked in the end.
    pub at_end: bool,
    /// All but the node of the `when`.
    pub but_own: bool,
}

#[derive(Clone, Debug)]
pub enum Limit {
    Within(Time),
    /// `when.x * duration("1s")`.
    Computed,
    By(Pattern),
    Ticks(Ticks),
}

#[derive(Clone, Debug)]
pub struct Response {
    pub when: Pattern,
    pub then: Pattern,
    pub limit: Limit,
    pub pair: bool,
    pub unless: Option<Pattern>,
    pub broken_by: Option<Pattern>,
    pub grace: Time,
    pub from: Option<From>,
}

#[derive(Clone, Debug)]
pub struct Precedence {
    pub event: Pattern,
    pub requires: Vec<Pattern>,
    pub all: bool,
    pub within: Option<Time>,
    pub ticks: Option<Ticks>,
    pub since: Option<Pattern>,
    pub unless: Option<Pattern>,
}

#[derive(Clone, Debug)]
pub struct Per {
    pub of: Pattern,
    pub min: Option<u64>,
    pub max: Option<u64>,
    pub when: Pattern,
    pub before: Time,
    pub within: Option<Time>,
    pub ticks: Option<Ticks>,
    pub until: Option<Pattern>,
}

#[derive(Clone, Debug)]
pub struct Heartbeat {
    pub event: Pattern,
    pub every: Time,
    pub start: Option<Pattern>,
    pub stop: Option<Pattern>,
    pub while_: Option<Pattern>,
}

#[derive(Clone, Debug)]
pub struct Monotonic {
    pub event: Pattern,
    /// The values go up, or down.
    pub rises: bool,
    /// Equal values are allowed.
    pub equal: bool,
    pub step: Option<i64>,
    pub reset: Option<Pattern>,
}

#[derive(Clone, Debug)]
pub struct OrderStep {
    pub of: Pattern,
    /// A step that need not come: it is due never, or when the first step's `x` compares so.
    pub due: Option<Option<(Compare, i64)>>,
}

#[derive(Clone, Debug)]
pub struct Order {
    pub steps: Vec<OrderStep>,
    pub within: Option<Time>,
    pub slack: Time,
}

#[derive(Clone, Debug)]
pub struct SequenceStep {
    pub of: Pattern,
    /// What must not lie between the step before and this one.
    pub not: Vec<Pattern>,
}

#[derive(Clone, Debug)]
pub struct Sequence {
    pub steps: Vec<SequenceStep>,
    pub within: Time,
}

/// The holder is `x`.
#[derive(Clone, Debug)]
pub struct Exclusive {
    pub enter: Pattern,
    pub exit: Pattern,
    pub renew: Option<Pattern>,
    pub ttl: Option<Time>,
    pub max: u64,
}

/// What says which state it is.
#[derive(Clone, Debug)]
pub enum Read {
    /// `x`, which is a state's number.
    Value(Pattern),
    /// A pattern for each state.
    Patterns(Vec<Pattern>),
}

#[derive(Clone, Debug)]
pub struct Machine {
    pub read: Read,
    /// None: any.
    pub initial: Option<usize>,
    /// By state, those that may follow.
    pub to: Vec<Vec<usize>>,
    pub terminal: Vec<bool>,
    pub limits: Vec<Option<Time>>,
}

/// What a term measures.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    Count,
    Sum,
    Distinct,
}

/// What two terms are held against.
#[derive(Clone, Copy, Debug)]
pub enum Assert {
    AtMost(i64),
    AtLeast(i64),
    /// The first is at most so much more than the second.
    Beside(i64),
    Alike,
}

#[derive(Clone, Debug)]
pub struct Aggregate {
    pub terms: Vec<(Measure, Pattern)>,
    pub assert: Assert,
    /// How far back it looks where nothing closes it.
    pub window: Time,
    pub close: Option<Pattern>,
    /// The windows do not overlap; each is judged once.
    pub tumbles: bool,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Never(Pattern),
    Always(Pattern, Compare, i64),
    Response(Response),
    Precedence(Precedence),
    CountEver { of: Pattern, max: u64 },
    CountWindow { of: Pattern, max: u64, window: Time },
    CountPer(Per),
    Agreement { event: Pattern, within: Option<Time> },
    Consecutive { fail: Pattern, ok: Pattern, count: u64 },
    Heartbeat(Heartbeat),
    Monotonic(Monotonic),
    Order(Order),
    Sequence(Sequence),
    Exclusive(Exclusive),
    Machine(Machine),
    Aggregate(Aggregate),
}

impl Kind {
    /// Whether a pattern of those that may derive something names that event.
    pub fn names(&self, name: char) -> bool {
        let named = |pattern: &Pattern| pattern.names().any(|known| known == name);
        match self {
            Kind::Never(of) | Kind::Always(of, ..) | Kind::CountEver { of, .. } => named(of),
            Kind::Agreement { event, .. } => named(event),
            Kind::Response(response) => {
                let mut limits = match &response.limit {
                    Limit::By(marker) => vec![marker],
                    _ => Vec::new(),
                };
                limits.extend(response.unless.iter().chain(&response.broken_by));
                limits.extend([&response.when, &response.then]);
                limits.into_iter().any(named)
            }
            Kind::Precedence(rule) => {
                let others = rule.requires.iter().chain(&rule.since).chain(&rule.unless);
                others.chain([&rule.event]).any(named)
            }
            _ => false,
        }
    }
}

#[derive(Clone, Debug)]
pub struct During {
    pub after: Option<Pattern>,
    pub until: Option<Pattern>,
    pub delay: Time,
    pub within: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OnRestart {
    Broken,
    Ended,
    Reset,
    Keep,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub key: Vec<Part>,
    pub kind: Kind,
    pub during: Option<During>,
    pub on_restart: OnRestart,
    /// Ties are read against the rule.
    pub strict: bool,
    pub report_first: bool,
    pub quiet: Option<Time>,
    /// What it finds in order is found by another rule, if it can be told.
    pub watched: bool,
}

impl Rule {
    /// The part of the event to which what is found in order belongs, where another rule looks for that.
    pub fn watched_part(&self) -> Option<&'static str> {
        let part = match self.kind {
            Kind::Always(..) | Kind::Precedence(_) => "event",
            Kind::Response(Response { from: None, .. }) | Kind::CountPer(_) => "when",
            _ => return None,
        };
        self.watched.then_some(part)
    }
}

/// What is compared: the rule, its key, where it was found, the event it hangs on, and when a level recovered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Verdict {
    pub rule: usize,
    pub key: Key,
    pub at: Time,
    /// The event judged, or the one that opened the obligation; none where it is the key or a silence.
    pub anchor: Option<u32>,
    pub resolved: Option<Time>,
    /// The nodes that did not answer, as bits; of rules without `from` none.
    pub missing: u32,
}

/// A violation with the moment at which it became certain, for `report: first` and `quiet`.
#[derive(Clone, Debug)]
pub struct Found {
    pub at: Time,
    pub anchor: Option<u32>,
    pub anchor_ts: Time,
    pub resolved: Option<Time>,
    pub missing: u32,
    /// When it was certain; what time alone shows comes after the events of that time.
    pub certain: (Time, bool),
}

impl Found {
    pub fn at_event(event: &Event, at: Time) -> Self {
        Found { at, anchor: Some(event.id), anchor_ts: event.ts, resolved: None, missing: 0, certain: (at, false) }
    }
}
