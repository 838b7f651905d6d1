//! What a pack says, compiled: rules, facts, lifecycles and breakers, with names where the engine's own numbers come
//! later (see `Program`). Nothing here knows YAML, and nothing here runs.
pub use crate::measure::{Aggregate, AggregateSpan, Each, Measure, Statistic, Term};
pub use crate::relation::{BreakerDef, Clock, Derive, Emit, EmitOn, Fact, Keep, Quorum, Ticks};
use crate::{
    BodyTemplate, Glob,
    expr::{AsOf, Expr},
};
use alloc::{boxed::Box, string::String, vec::Vec};
use core::time::Duration;
use event::Int;

/// One pack: the rules of one system.
#[derive(Clone, Debug, Default)]
pub struct Pack {
    /// Its name, unique among the packs loaded together (`aptos-quorum-store`).
    pub name: String,
    /// What it is about, for people.
    pub about: String,
    /// Components and the channels between them.
    pub topology: Vec<Component>,
    /// Declared events.
    pub events: Vec<EventDecl>,
    /// How a node's processes start and end.
    pub lifecycles: Vec<Lifecycle>,
    /// Relations kept from events; expressions refer to them by index.
    pub facts: Vec<Fact>,
    /// Events made out of others; none rests on itself.
    pub derives: Vec<Derive>,
    /// Clocks; expressions and deadlines refer to them by index.
    pub clocks: Vec<Clock>,
    /// The rules, in the order written.
    pub rules: Vec<Rule>,
    /// The breakers, in the order written.
    pub breakers: Vec<BreakerDef>,
}

impl Pack {
    /// Calls `see` with each fact an expression rests on, computed facts looked through, and whether it asks about a
    /// span of time.
    pub fn facts_read(&self, expression: &Expr, see: &mut dyn FnMut(u16, bool)) {
        expression.visit(&mut |part| {
            let Expr::Fact { fact, as_of, .. } = part else { return };
            see(*fact, matches!(as_of, AsOf::During | AsOf::Throughout));
            // Facts are computed from earlier ones only, so this ends.
            if let Some(is) = self.facts.get(*fact as usize).and_then(|fact| fact.is.as_ref()) {
                self.facts_read(is, see);
            }
        });
    }
}

/// A part of a node, as the pack's topology declares it.
#[derive(Clone, Debug, Default)]
pub struct Component {
    /// Its name in this pack (`batch_coordinator`).
    pub name: String,
    /// What it does, for people.
    pub about: String,
    /// Scope names that are this component (`aptos_consensus::quorum_store::*`).
    pub match_scope: Vec<Glob>,
    /// The components it sends to.
    pub sends_to: Vec<String>,
}

/// A declared event: its name and its attributes' types.
#[derive(Clone, Debug, Default)]
pub struct EventDecl {
    /// The event's name.
    pub name: String,
    /// What it says, for people.
    pub about: String,
    /// Attribute names and types, in the order written.
    pub attrs: Vec<(String, Type)>,
}

/// The type of an attribute or an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Not known before it is seen.
    Any,
    /// True or false.
    Bool,
    /// An integer of any size; an attribute so declared may arrive as a decimal or 0x string.
    Int,
    /// A double.
    Double,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// A list.
    List,
    /// A map.
    Map,
    /// An instant.
    Timestamp,
    /// A length of time.
    Duration,
    /// Only null.
    Null,
}

/// How severe a broken rule is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Hygiene.
    Low,
    /// Degradation, wrong accounting.
    #[default]
    Medium,
    /// A component down, work lost.
    High,
    /// Safety or data divergence.
    Critical,
}

impl Severity {
    /// `critical`, `high`, `medium`, `low` or `info`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    /// The severity of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical]
            .into_iter()
            .find(|severity| severity.as_str() == text)
    }
}

/// What a rule's findings do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Opens incidents, pages, trips breakers.
    #[default]
    Active,
    /// Opens incidents that page nobody and trip nothing.
    Shadow,
    /// Counts only; opens no incident.
    Measure,
}

/// One invariant.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique in its pack.
    pub id: String,
    /// What it says, for people.
    pub about: String,
    /// The requirement it implements (`APT-1a`).
    pub reference: Option<String>,
    /// How bad it is when broken; where no grade says otherwise.
    pub severity: Severity,
    /// Severities that depend on what was found: the first whose condition holds counts.
    pub grades: Vec<Grade>,
    /// The parts of its key, `network` not among them.
    pub key: Vec<KeyPart>,
    /// Whether instances span networks; otherwise the network is a part of every key.
    pub across_networks: bool,
    /// The patterns, by the role they play in the kind. Kinds refer to them by index.
    pub roles: Vec<Role>,
    /// What the roles must do.
    pub kind: Kind,
    /// Restricts the rule to spans of time.
    pub during: Option<During>,
    /// What a restart of the key's node does to an open instance.
    pub on_restart: OnRestart,
    /// Report only the first violation of each key.
    pub report_first: bool,
    /// Report a key no sooner again than this.
    pub quiet: Option<Duration>,
    /// What decides where the order inside an instant would decide.
    pub ties: Ties,
    /// How long a level must last; `None`: not at all.
    pub hold: Option<Hold>,
    /// How much disorder between components' clocks tests of order forgive.
    pub slack: Duration,
    /// What findings do.
    pub mode: Mode,
    /// A disabled rule is listed and judges nothing.
    pub enabled: bool,
    /// What to tell people; `None`: the engine's plain words.
    pub message: Option<Template>,
    /// Where the runbook is.
    pub runbook_url: Option<String>,
    /// What to look at and do, for people.
    pub runbook: Option<String>,
    /// Who owns it.
    pub owner: Option<String>,
    /// Labels, for routing.
    pub labels: Vec<(String, String)>,
    /// Key parts that make the incident's group; empty: the node, else the network.
    pub group_by: Vec<String>,
    /// An absence counts even while the node that should have spoken is silent.
    pub silence_counts: bool,
    /// For how long after a node was first heard its look-backs may go past the beginning; `None`: the engine's own time.
    pub settle: Option<Duration>,
    /// How long after its last event an instance is forgotten.
    pub forget_after: Duration,
    /// How many instances it may keep.
    pub max_keys: u64,
    /// The events that its verdicts make.
    pub emits: Vec<Emit>,
    /// A hash of all that its meaning depends on, facts it reads included: equal digests keep their state when packs
    /// are replaced.
    pub digest: u64,
    /// Line of the rule in its file, from 1; 0 when there is no file.
    pub line: u32,
}

impl Rule {
    /// How long after its last event an instance is remembered: as long as the rule says, less where older events cannot
    /// count, more where something may still end by itself.
    #[must_use]
    pub fn remembered_for(&self) -> Duration {
        crate::kind::Automaton::horizon(self)
    }
}

/// Events of one timestamp are one instant without inner order. Where that order would decide, this decides.
#[derive(Clone, Debug, Default)]
pub enum Ties {
    /// The order most favourable to the rule is taken.
    #[default]
    Favourable,
    /// The least favourable one.
    Strict,
    /// The events of an instant are taken in ascending order of this, an expression over each role's kept slots. Equals
    /// remain without order; events that have no such value come first.
    By(Vec<Option<Expr>>),
}

/// One part of a rule's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPart {
    /// The attribute or `let` name.
    pub name: String,
    /// Written `worker?`: may be absent, and absence is then a value of its own.
    pub optional: bool,
}

/// Index of a role in [`Rule::roles`].
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
    pub name: String,
    /// Any of these makes an event play the role. All alternatives have the same first [`Role::kept`] slots.
    pub alternatives: Vec<Pattern>,
    /// How many of the first slots an instance keeps, because a later condition asks for them.
    pub kept: u16,
    /// What the role's events are called, for people: `quorum_store.batch.tracked` or `a or b`.
    pub label: String,
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
        /// So long; the end belongs to it.
        within: Duration,
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

    /// The expressions it evaluates in order of time.
    #[must_use]
    pub fn expressions(&self) -> Vec<&Expr> {
        match self {
            Kind::Always { assert, .. } => alloc::vec![assert],
            Kind::Response { limit: Limit::Computed(limit), .. } => alloc::vec![limit],
            Kind::Response { limit: Limit::Ticks(ticks), .. } => ticks.key.iter().collect(),
            Kind::Expected { of, member, except, .. } => [of, member].into_iter().chain(except).collect(),
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
            | Kind::Response { .. }
            | Kind::Precedence { .. }
            | Kind::Count { .. }
            | Kind::Consecutive { .. }
            | Kind::Heartbeat { .. } => Vec::new(),
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

/// What a restart of the key's node does to an open instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRestart {
    /// What was owed is broken at the start event.
    Broken,
    /// What was owed is forgiven.
    Ended,
    /// The instance starts anew.
    Reset,
    /// Nothing.
    Keep,
}

/// How a node's processes start and end.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    /// Starts. The roles' keys bind the node (and what else the lifecycle's `of` names).
    pub started: Option<Role>,
    /// Clean ends.
    pub stopped: Option<Role>,
    /// The attribute (of the event, else of its resource) whose new value is a start even without an event.
    pub instance: Option<String>,
}

/// A severity that depends on what was found.
#[derive(Clone, Debug)]
pub struct Grade {
    /// When it applies, over its slots.
    pub condition: Expr,
    /// What the condition reads, as a message's holes do; see [`Template::slots`].
    pub slots: Vec<(Option<RoleIdx>, Slot)>,
    /// How bad that is.
    pub is: Severity,
}

/// A message with holes.
#[derive(Clone, Debug, Default)]
pub struct Template {
    /// Text and holes in order.
    pub parts: Vec<TemplatePart>,
    /// What the holes' expressions read: each slot from the first evidence event of its role (`None`: the rule's main
    /// event) that has it, key parts by name first.
    pub slots: Vec<(Option<RoleIdx>, Slot)>,
}

/// A piece of a message.
#[derive(Clone, Debug)]
pub enum TemplatePart {
    /// As it stands.
    Text(String),
    /// The value of an expression over [`Template::slots`]; printed as `?` when it has none.
    Hole(Expr),
}
