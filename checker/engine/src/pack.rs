//! What a pack says, compiled: rules, facts, lifecycles and breakers, with names where the engine's own numbers come
//! later (see `Program`). Nothing here knows YAML, and nothing here runs.
use crate::{Glob, expr::Expr};
use alloc::{string::String, vec::Vec};
use core::time::Duration;
use event::Value;

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
    /// The rules, in the order written.
    pub rules: Vec<Rule>,
    /// The breakers, in the order written.
    pub breakers: Vec<BreakerDef>,
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
    /// How bad it is when broken.
    pub severity: Severity,
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
    /// How long after its last event an instance is forgotten.
    pub forget_after: Duration,
    /// How many instances it may keep.
    pub max_keys: u64,
    /// A hash of all that its meaning depends on, facts it reads included: equal digests keep their state when packs
    /// are replaced.
    pub digest: u64,
    /// Line of the rule in its file, from 1; 0 when there is no file.
    pub line: u32,
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
        /// Silence counts only when one of these shows it.
        while_: Option<RoleIdx>,
    },
}

impl Kind {
    /// The word the pack's author wrote.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Never { .. } => "never",
            Kind::Always { .. } => "always",
            Kind::Response { .. } => "response",
            Kind::Precedence { .. } => "precedence",
            Kind::Count { .. } => "count",
            Kind::Agreement { .. } => "agreement",
            Kind::Consecutive { .. } => "consecutive",
            Kind::Heartbeat { .. } => "heartbeat",
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

/// A relation kept from events: one value per key, valid from the event that set it to the one that unset or replaced it.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Its name in expressions.
    pub name: String,
    /// Its key's parts.
    pub key: Vec<String>,
    /// Sets it; each alternative's key binds all parts.
    pub set_by: Role,
    /// The value, over `set_by`'s slots.
    pub value: Expr,
    /// Unsets it; a shorter key unsets all rows that agree.
    pub unset_by: Option<Role>,
    /// What it is when unset.
    pub default: Option<Value>,
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
