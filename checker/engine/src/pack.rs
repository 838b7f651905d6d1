//! What a pack says, compiled: rules, facts, lifecycles and breakers, with names where the engine's own numbers come
//! later (see `Program`). Nothing here knows YAML, and nothing here runs.
pub use crate::definition::{
    CountSpan, During, Hold, Kind, Limit, MachineState, Order, OrderStep, SequenceStep, StateRead,
};
pub use crate::measure::{Aggregate, AggregateSpan, Each, Measure, Statistic, Term};
pub use crate::pattern::{BEFORE, BEFORE_NAME, ForEach, Pattern, ROLES_MAX, Role, RoleIdx, Slot};
pub use crate::relation::{BreakerDef, Clock, Derive, Emit, EmitOn, Fact, Keep, Quorum, Ticks};
use crate::{
    Glob,
    expr::{AsOf, Expr},
};
use alloc::{string::String, vec::Vec};
use core::time::Duration;

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
