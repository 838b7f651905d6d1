//! What rules mean: the kinds, and what their parts are.
use alloc::{boxed::Box, string::String, vec::Vec};
use core::time::Duration;
use event::Int;

use crate::{
    expr::Expr,
    measure::Aggregate,
    pattern::RoleIdx,
    relation::{Quorum, Ticks},
};

/// What must hold among the roles.
#[derive(Clone, Debug)]
pub enum Kind {
    /// No event may match.
    Never {
        /// What must not happen.
        of: RoleIdx,
    },
    /// Every matching event satisfies the assertion.
    Always {
        /// What is asserted about.
        of: RoleIdx,
        /// The assertion, over `of`'s slots.
        assert: Expr,
    },
    /// Each `when` is answered by a `then` in time.
    Response {
        /// Opens an obligation.
        when: RoleIdx,
        /// Answers it.
        then: RoleIdx,
        /// Until when.
        limit: Limit,
        /// Each `then` answers one `when` only.
        pair: bool,
        /// Discharges it.
        unless: Option<RoleIdx>,
        /// Breaks it at once.
        broken_by: Option<RoleIdx>,
        /// How long after `broken_by` an `unless` still discharges.
        grace: Duration,
    },
    /// Each `when` is answered by every expected member, or by enough of them; written as a `response` with `from`.
    Expected {
        /// Opens an obligation.
        when: RoleIdx,
        /// Answers it, for one member.
        then: RoleIdx,
        /// Until when.
        limit: Limit,
        /// Each `then` answers one `when` only.
        pair: bool,
        /// Who is expected: a list, over the `when`'s kept slots.
        of: Expr,
        /// Whose answer a `then` is, over its kept slots.
        member: Expr,
        /// Who is not expected, over the `when`'s kept slots.
        except: Vec<Expr>,
        /// How many are enough; `None`: each is an obligation of its own.
        quorum: Option<Quorum>,
        /// Who is expected is asked at the deadline, not at the `when`.
        at_deadline: bool,
        /// Discharges it.
        unless: Option<RoleIdx>,
        /// Breaks it at once.
        broken_by: Option<RoleIdx>,
        /// How long after `broken_by` an `unless` still discharges.
        grace: Duration,
    },
    /// Each `event` has its support before it.
    Precedence {
        /// What needs support.
        event: RoleIdx,
        /// The supports.
        requires: Vec<RoleIdx>,
        /// All of them, or any.
        all: bool,
        /// How far back support counts, inclusive.
        within: Option<Duration>,
        /// The same in ticks of a clock, counted from the support; by the `event`'s slots.
        ticks: Option<Ticks>,
        /// Support counts only since the last of these.
        since: Option<RoleIdx>,
        /// Excuses like a support.
        unless: Option<RoleIdx>,
    },
    /// The number of `of` stays in bounds.
    Count {
        /// What is counted.
        of: RoleIdx,
        /// At least; only with [`CountSpan::Per`].
        min: Option<u64>,
        /// At most.
        max: Option<u64>,
        /// Over what.
        span: CountSpan,
    },
    /// All voters give the same value for a key.
    Agreement {
        /// The votes.
        of: RoleIdx,
        /// The value voted, over `of`'s slots.
        value: Expr,
        /// What tells voters apart, over `of`'s slots (default: the node).
        among: Vec<Expr>,
        /// Votes count this long after a key's first, inclusive.
        within: Option<Duration>,
        /// Only these voters count, as of the key's first vote; without `assert`, as of each vote.
        voters: Option<Expr>,
        /// Judged once at the end, over locals: the list of each voter's last value, how many of them differ from the most
        /// frequent, how many voters there are.
        assert: Option<Expr>,
    },
    /// Not so many failures in a row.
    Consecutive {
        /// A failure.
        fail: RoleIdx,
        /// Ends the row.
        ok: RoleIdx,
        /// The row's forbidden length.
        count: u32,
    },
    /// Never silent for longer than `every`.
    Heartbeat {
        /// A sign of life.
        of: RoleIdx,
        /// The longest silence that is fine.
        every: Duration,
        /// Life is expected from here; without it, from the first sign of life.
        start: Option<RoleIdx>,
        /// Life is no longer expected.
        stop: Option<RoleIdx>,
        /// Life is expected from here, unless it is already.
        expect: Option<RoleIdx>,
        /// Silence counts only when one of these shows it.
        while_: Option<RoleIdx>,
    },
    /// Values go one way only.
    Monotonic {
        /// What carries the value.
        of: RoleIdx,
        /// The value, over `of`'s slots.
        value: Expr,
        /// Which way.
        order: Order,
        /// Two different values that follow one another differ by exactly this.
        step: Option<Int>,
        /// The next value follows none.
        reset: Option<RoleIdx>,
    },
    /// States change along the listed transitions only.
    StateMachine {
        /// How an event says which state it is about.
        read: StateRead,
        /// The state before the first event; `None`: whatever state the instance is met in.
        initial: Option<u16>,
        /// The states, in the order declared.
        states: Vec<MachineState>,
    },
    /// Steps come in their order.
    Order {
        /// The steps, the first first.
        steps: Vec<OrderStep>,
        /// How far back an earlier step counts, inclusive; `None`: ever.
        within: Option<Duration>,
    },
    /// The whole sequence must not be seen.
    Sequence {
        /// The steps, the first first.
        steps: Vec<SequenceStep>,
        /// From the first step to the last, inclusive.
        within: Duration,
    },
    /// No more holders at once than allowed.
    Exclusive {
        /// Takes a hold.
        enter: RoleIdx,
        /// Lets go of it.
        exit: RoleIdx,
        /// Prolongs it.
        renew: Option<RoleIdx>,
        /// A hold lapses so long after it was taken or prolonged.
        ttl: Option<Duration>,
        /// Who holds, for each role over its slots.
        holder: Vec<Option<Expr>>,
        /// How many may.
        max: u64,
    },
    /// What many events come to satisfies the assertion.
    Aggregate(Box<Aggregate>),
}

/// How long a level must last to break its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Longer than this; a recovery at exactly this is in time.
    pub lasts: Duration,
    /// How long a sample of a gauge stands at most.
    pub stale_after: Duration,
}

/// How an event of a [`Kind::StateMachine`] says which state it is about.
#[derive(Clone, Debug)]
pub enum StateRead {
    /// By a value, which is the name of a state.
    Value {
        /// What carries the value.
        of: RoleIdx,
        /// The value, over `of`'s slots.
        state: Expr,
    },
    /// By the role it plays; roles with the numbers of their states.
    Roles(Vec<(RoleIdx, u16)>),
}

/// A state of a [`Kind::StateMachine`].
#[derive(Clone, Debug)]
pub struct MachineState {
    /// Its name.
    pub name: String,
    /// The states that may follow it. Staying is no transition.
    pub to: Vec<u16>,
    /// Nothing may happen after it.
    pub terminal: bool,
    /// How long it may last, inclusive.
    pub limit: Option<Duration>,
}

/// A step of a [`Kind::Order`].
#[derive(Clone, Debug)]
pub struct OrderStep {
    /// The step.
    pub role: RoleIdx,
    /// Only when this holds must it have happened, over the slots of the first step and other steps; `None`: always.
    pub condition: Option<Expr>,
}

/// A step of a [`Kind::Sequence`].
#[derive(Clone, Debug)]
pub struct SequenceStep {
    /// The step.
    pub role: RoleIdx,
    /// What must not lie between the step before and this one.
    pub not: Vec<RoleIdx>,
}

/// Which way the values of a [`Kind::Monotonic`] go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each is greater than the one before.
    Increasing,
    /// None is less than the one before.
    Nondecreasing,
    /// Each is less than the one before.
    Decreasing,
    /// None is greater than the one before.
    Nonincreasing,
}

impl Order {
    /// The word the pack's author wrote.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Order::Increasing => "increasing",
            Order::Nondecreasing => "nondecreasing",
            Order::Decreasing => "decreasing",
            Order::Nonincreasing => "nonincreasing",
        }
    }

    /// The order of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Order::Increasing, Order::Nondecreasing, Order::Decreasing, Order::Nonincreasing]
            .into_iter()
            .find(|order| order.as_str() == text)
    }

    /// Whether it rises.
    #[must_use]
    pub fn rises(self) -> bool {
        matches!(self, Order::Increasing | Order::Nondecreasing)
    }

    /// Whether equal values may follow one another.
    #[must_use]
    pub fn allows_equal(self) -> bool {
        matches!(self, Order::Nondecreasing | Order::Nonincreasing)
    }
}

impl Kind {
    /// Calls `see` with every expression that instances evaluate, conditions of patterns not among them.
    pub fn visit(&self, see: &mut dyn FnMut(&Expr)) {
        self.expressions().into_iter().for_each(see);
    }

    /// The word the pack's author wrote.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Never { .. } => "never",
            Kind::Always { .. } => "always",
            Kind::Response { .. } | Kind::Expected { .. } => "response",
            Kind::Precedence { .. } => "precedence",
            Kind::Count { .. } => "count",
            Kind::Agreement { .. } => "agreement",
            Kind::Consecutive { .. } => "consecutive",
            Kind::Heartbeat { .. } => "heartbeat",
            Kind::Monotonic { .. } => "monotonic",
            Kind::StateMachine { .. } => "state_machine",
            Kind::Order { .. } => "order",
            Kind::Sequence { .. } => "sequence",
            Kind::Exclusive { .. } => "exclusive",
            Kind::Aggregate(_) => "aggregate",
        }
    }

    /// What it counts in ticks of a clock.
    #[must_use]
    pub fn ticks(&self) -> Option<&Ticks> {
        match self {
            Kind::Response { limit: Limit::Ticks(ticks), .. }
            | Kind::Expected { limit: Limit::Ticks(ticks), .. }
            | Kind::Precedence { ticks: Some(ticks), .. }
            | Kind::Count { span: CountSpan::Per { ticks: Some(ticks), .. }, .. } => Some(ticks),
            _ => None,
        }
    }

    /// Whether an event in that role is itself judged, or changes what is: it does more than to answer for another one.
    pub(crate) fn judges(&self, role: RoleIdx) -> bool {
        match self {
            Kind::Response { then, unless, .. } | Kind::Expected { then, unless, .. } => {
                role != *then && Some(role) != *unless
            }
            Kind::Precedence { event, .. } => role == *event,
            Kind::Heartbeat { of, stop, .. } => role != *of && Some(role) != *stop,
            _ => true,
        }
    }

    /// Whether something may be found broken for want of an event in that role.
    pub(crate) fn may_lack(&self, role: RoleIdx) -> bool {
        match self {
            Kind::Never { .. } | Kind::Always { .. } => false,
            Kind::Response { when, pair, .. } | Kind::Expected { when, pair, .. } => role != *when || *pair,
            Kind::Precedence { event, .. } => role != *event,
            _ => true,
        }
    }

    /// The names of what is measured, in the order of a finding's values.
    #[must_use]
    pub fn measured(&self) -> Vec<String> {
        match self {
            Kind::Aggregate(aggregate) => aggregate.names().collect(),
            Kind::Count { span: CountSpan::Per { .. }, .. } => alloc::vec!["count".into()],
            _ => Vec::new(),
        }
    }

    /// The expressions it evaluates in order of time.
    #[must_use]
    pub fn expressions(&self) -> Vec<&Expr> {
        match self {
            Kind::Always { assert, .. } => alloc::vec![assert],
            Kind::Response { limit, .. } => limit.expressions(),
            Kind::Expected { limit, of, member, except, .. } => {
                [of, member].into_iter().chain(except).chain(limit.expressions()).collect()
            }
            Kind::Agreement { value, among, voters, assert, .. } => {
                core::iter::once(value).chain(among).chain(voters).chain(assert).collect()
            }
            Kind::Monotonic { value, .. } => alloc::vec![value],
            Kind::StateMachine { read: StateRead::Value { state, .. }, .. } => alloc::vec![state],
            Kind::Order { steps, .. } => steps.iter().filter_map(|step| step.condition.as_ref()).collect(),
            Kind::Exclusive { holder, .. } => holder.iter().flatten().collect(),
            Kind::Aggregate(aggregate) => {
                let values = aggregate.terms.iter().filter_map(|term| term.value.as_ref());
                let each = aggregate.each.iter().flat_map(|each| core::iter::once(&each.members).chain(&each.whose));
                core::iter::once(&aggregate.assert).chain(values).chain(each).collect()
            }
            Kind::StateMachine { .. }
            | Kind::Sequence { .. }
            | Kind::Never { .. }
            | Kind::Precedence { .. }
            | Kind::Count { .. }
            | Kind::Consecutive { .. }
            | Kind::Heartbeat { .. } => self.ticks().into_iter().flat_map(|ticks| &ticks.key).collect(),
        }
    }
}

/// How long a `response` may take.
#[derive(Clone, Debug)]
pub enum Limit {
    /// So long; the end belongs to it.
    Within(Duration),
    /// So long, by an expression over the `when`'s kept slots that yields a duration.
    Computed(Expr),
    /// Before this marker, or with it.
    By(RoleIdx),
    /// So many ticks of a clock.
    Ticks(Ticks),
}

impl Limit {
    /// What it evaluates over the `when`'s kept slots.
    fn expressions(&self) -> Vec<&Expr> {
        match self {
            Limit::Computed(limit) => alloc::vec![limit],
            Limit::Ticks(ticks) => ticks.key.iter().collect(),
            Limit::Within(_) | Limit::By(_) => Vec::new(),
        }
    }
}

/// Over what a `count` counts.
#[derive(Clone, Debug)]
pub enum CountSpan {
    /// Ever, per key; one violation a key.
    Ever,
    /// In the half-open window (t - d, t]; a level.
    Window(Duration),
    /// Around each `when`.
    Per {
        /// Opens a span.
        when: RoleIdx,
        /// Counts from so long before it.
        before: Duration,
        /// Counts until so long after it, inclusive.
        within: Option<Duration>,
        /// The same in ticks of a clock; by the opener's slots.
        ticks: Option<Ticks>,
        /// Ends the span; the opener itself never does.
        until: Option<RoleIdx>,
    },
}

/// Restricts a rule to the time between two events. What is tested must lie strictly inside, support may tie.
#[derive(Clone, Debug)]
pub struct During {
    /// Opens a span; `None`: open from the beginning.
    pub after: Option<RoleIdx>,
    /// Closes it; `None`: never.
    pub until: Option<RoleIdx>,
    /// The span begins this much after its opener.
    pub delay: Duration,
    /// The span ends by itself so long after its opener (`delay` included), inclusive.
    pub within: Option<Duration>,
}
