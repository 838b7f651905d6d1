//! The kinds of rule, each an automaton that one instance runs in order of time.
//!
//! An automaton is fed whole instants: all touches of one timestamp at once, because events of one timestamp have no
//! inner order and the order most favourable to the rule is taken. Between instants it may fall due. It never learns in
//! which order events arrived, so its findings are a function of the set of events.

mod aggregate;
mod agreement;
mod consecutive;
mod count;
mod exclusive;
mod expected;
mod gauge;
mod heartbeat;
mod level;
mod machine;
mod monotonic;
mod mute;
mod order;
mod peers;
mod point;
mod poll;
mod precedence;
mod response;
mod sequence;
mod slim;
mod statistic;
mod support;
mod term;

use alloc::{boxed::Box, vec::Vec};
use core::cmp::Ordering;
use event::{Timestamp, Value};

use crate::{
    breaker::{BreakerState, Breakers},
    clock::Clocks,
    expr::{AsOf, Env, Expr, Val},
    fact::{Facts, Reader},
    instance::Finding,
    pack::{CountSpan, Kind, OnRestart, RoleIdx, Rule, Ties},
    scope::{Scope, Span},
    source::{Sources, Timing},
    touch::{Seen, Touch},
    verdict::{EventRef, Unknown},
    world::violation_id,
};

/// The state of one instance.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Automaton {
    state: State,
    /// Only where the rule holds violations back.
    mute: Option<Box<mute::Mute>>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
enum State {
    Point,
    Response(Box<response::Response>),
    Precedence(Box<precedence::Precedence>),
    Count(Box<count::Count>),
    Agreement(Box<agreement::Agreement>),
    Consecutive(Box<consecutive::Consecutive>),
    Heartbeat(Box<heartbeat::Heartbeat>),
    Monotonic(Box<monotonic::Monotonic>),
    Machine(Box<machine::Machine>),
    Order(Box<order::Order>),
    Sequence(Box<sequence::Sequence>),
    Exclusive(Box<exclusive::Exclusive>),
    Gauge(Box<gauge::Gauge>),
    Aggregate(Box<aggregate::Aggregate>),
    Peers(Box<peers::Peers>),
    Expected(Box<expected::Expected>),
    Poll(Box<poll::Poll>),
}

/// All that touches one instance at one timestamp.
#[derive(Debug)]
pub(crate) struct Instant<'a> {
    pub(crate) ts: Timestamp,
    pub(crate) touches: &'a [&'a Touch],
    /// A process of the key's node starts: the first sign of it.
    pub(crate) restart: Option<EventRef>,
    /// All signs of a start at this time.
    pub(crate) starts: &'a [EventRef],
}

impl<'a> Instant<'a> {
    /// The touches in that role.
    fn of(&self, role: RoleIdx) -> impl Iterator<Item = &'a Touch> + use<'a> {
        self.touches.iter().copied().filter(move |touch| touch.role() == role)
    }

    /// Whether the event is itself a sign of a start.
    fn is_start(&self, event: &EventRef) -> bool {
        self.starts.iter().any(|start| crate::touch::same_event(start, event))
    }

    fn of_some(&self, role: Option<RoleIdx>) -> impl Iterator<Item = &'a Touch> + use<'a> {
        self.touches.iter().copied().filter(move |touch| Some(touch.role()) == role)
    }
}

/// What tells one violation of an instance from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Anchor {
    /// The instance itself: it can be broken once.
    Key,
    /// An event: the one judged, the one that opened an obligation or a span, the onset of a level.
    Event(EventRef),
    /// A time: the onset of a silence.
    Time(Timestamp),
    /// What one member, by the hash of its name, owes an event.
    Member(EventRef, u64),
    /// The onset of what is wrong with one member, by the hash of its name.
    Peer(Timestamp, u64),
}

impl Anchor {
    /// Among violations of one time, the order in which they are taken.
    fn order(&self) -> (Timestamp, u128, u32) {
        match self {
            Anchor::Key => (Timestamp::ZERO, 0, 0),
            Anchor::Event(event) => (event.ts, event.identity.0, event.element),
            Anchor::Time(ts) => (*ts, 0, 0),
            Anchor::Peer(ts, member) => (*ts, u128::from(*member), 0),
            Anchor::Member(event, member) => (event.ts, event.identity.0, event.element ^ *member as u32),
        }
    }
}

/// The part a cited event plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Part {
    Role(RoleIdx),
    Dissent(RoleIdx),
    /// What the judged event is measured against.
    Before,
    Restart,
}

/// A finding of an automaton.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Found {
    pub(crate) anchor: Anchor,
    pub(crate) what: What,
    /// What an `aggregate` measured, by term.
    pub(crate) values: Vec<Option<Value>>,
    /// The members that did not send what is missing.
    pub(crate) from: Vec<Value>,
    /// The member of a group that it is about: the key's last part.
    pub(crate) member: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum What {
    Violated {
        at: Timestamp,
        evidence: Vec<(Part, EventRef)>,
        missing: Option<(RoleIdx, Timestamp)>,
        level: bool,
    },
    Resolved(Timestamp),
    Late(RoleIdx, EventRef),
    /// It was said, and should not have been: another is to be said in its place.
    Unsaid,
}

/// How many instances were judged how; what `invar` shows as a rule's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tally {
    /// Instances (or obligations, or events) judged and found in order.
    pub held: u64,
    /// Found broken.
    pub violated: u64,
    /// Impossible to judge.
    pub unknown: u64,
    /// Why that was so the last time.
    pub why_unknown: Option<Unknown>,
    /// Found broken and taken back.
    pub retracted: u64,
    /// Matching events that lacked a part of the key.
    pub keyless: u64,
    /// Instances forgotten because there were too many.
    pub forgotten: u64,
    /// When the rule's trigger last matched, in event time.
    pub exercised: Timestamp,
}

impl Tally {
    pub(crate) fn unknown(&mut self, why: Unknown) {
        self.unknown += 1;
        self.why_unknown = Some(why);
    }

    pub(crate) fn add(&mut self, more: &Self) {
        self.held += more.held;
        self.violated += more.violated;
        self.unknown += more.unknown;
        self.why_unknown = more.why_unknown.or(self.why_unknown);
        self.retracted += more.retracted;
        self.keyless += more.keyless;
        self.forgotten += more.forgotten;
        self.exercised = self.exercised.max(more.exercised);
    }
}

/// Why an absence is not proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Withheld {
    /// The node may still speak.
    ForNow(Unknown),
    /// What it said was not judged.
    ForGood(Unknown),
}

/// What an automaton may look at besides its own state.
pub(crate) struct Ctx<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) key: &'a [u8],
    pub(crate) scope: &'a Scope,
    pub(crate) facts: &'a Facts,
    /// Number of the pack's first fact, and the facts' declarations.
    pub(crate) fact_base: u32,
    pub(crate) fact_defaults: &'a [crate::pack::Fact],
    pub(crate) clocks: &'a Clocks,
    /// Number of the pack's first clock.
    pub(crate) clock_base: u32,
    pub(crate) breakers: &'a Breakers,
    pub(crate) breaker_defs: &'a [crate::pack::BreakerDef],
    /// Since when the rule has seen everything.
    pub(crate) since: Timestamp,
    pub(crate) sources: &'a Sources,
    pub(crate) timing: &'a Timing,
    /// Input is complete from its start and its end: nobody is silent, nothing came before.
    pub(crate) offline: bool,
    /// What came before is shown, from some time on.
    pub(crate) recalls: bool,
    /// Time runs on after the last event: levels that only time could start do not.
    pub(crate) completing: bool,
    /// What was judged before is judged again, in order.
    pub(crate) replaying: bool,
    /// The pack's name, and what of the instance was found before, while it is judged again.
    pub(crate) pack: &'a str,
    pub(crate) known: &'a [Finding],
    /// Where in the key the node stands, the network not counted.
    pub(crate) node_part: Option<usize>,
    pub(crate) found: Vec<Found>,
    /// The violations among `found` that had been left open before, as their node was silent.
    pub(crate) woken: Vec<Anchor>,
    pub(crate) tally: Tally,
}

impl Ctx<'_> {
    /// Whether the instant begins a process for which nothing of the one before counts.
    fn begins_anew(&self, now: &Instant<'_>) -> bool {
        now.restart.is_some() && matches!(self.rule.on_restart, OnRestart::Ended | OnRestart::Reset)
    }

    /// The (network, node) that the key names.
    fn node(&self) -> Option<(&str, &str)> {
        let mut parts = crate::key::parts(self.key);
        let network = if self.rule.across_networks { "" } else { crate::key::text(parts.next()?)? };
        Some((network, crate::key::text(parts.nth(self.node_part?)?)?))
    }

    /// The pack's facts, as of `ts`. Rows are kept apart by network, like everything else.
    fn reader(&self, ts: Timestamp) -> Reader<'_> {
        let network = match crate::key::parts(self.key).next() {
            Some(network) if !self.rule.across_networks => network,
            _ => crate::key::NO_NETWORK,
        };
        Reader {
            facts: self.facts,
            base: self.fact_base,
            declared: self.fact_defaults,
            clocks: self.clocks,
            clock_base: self.clock_base,
            sources: self.sources,
            timing: self.timing,
            network,
            ts,
        }
    }

    /// The span of `during` that `ts` lies in; a span without ends when the rule has none.
    fn span(&self, ts: Timestamp) -> Option<Span> {
        match &self.rule.during {
            None => Some(Span { opener: None }),
            Some(during) => self.scope.at(during, self.key, ts),
        }
    }

    /// Whether that span has ended by `ts`.
    fn span_ended(&self, span: &Span, ts: Timestamp) -> bool {
        self.rule.during.as_ref().is_some_and(|during| self.scope.ended(during, span, self.key, ts))
    }

    /// Why it cannot be told whether the key's node sent something between these times. Never so offline, nor where the
    /// absence was held against it already: then late evidence alone takes that back.
    fn withheld(&self, owed_for: EventRef, from: Timestamp, to: Timestamp) -> Option<Withheld> {
        if self.offline {
            return None;
        }
        let (network, node) = self.node()?;
        let state = self.sources.find_node(network, node)?;
        let withheld = if let Some(why) = state.gap(from, to) {
            Withheld::ForGood(why)
        } else if !self.rule.silence_counts && self.sources.silent(network, node, to) {
            Withheld::ForNow(Unknown::NodeSilent)
        } else if state.complete_to <= to {
            Withheld::ForNow(Unknown::Lagging)
        } else {
            return None;
        };
        let judged = !self.known.is_empty() && {
            let id = violation_id(self.pack, &self.rule.id, self.key, &Anchor::Event(owed_for));
            self.known.iter().any(|finding| finding.id == id)
        };
        (!judged).then_some(withheld)
    }

    /// When to look again at what is withheld for now.
    fn look_again(&self, now: Timestamp) -> Timestamp {
        self.sources.frontier.max(now).plus(self.timing.margin)
    }

    fn exercise(&mut self, ts: Timestamp) {
        self.tally.exercised = self.tally.exercised.max(ts);
    }

    fn find(&mut self, anchor: Anchor, what: What) {
        self.find_with(anchor, what, Vec::new());
    }

    fn find_with(&mut self, anchor: Anchor, what: What, values: Vec<Option<Value>>) {
        self.found.push(Found { anchor, what, values, from: Vec::new(), member: None });
    }

    /// A finding about one member of a group.
    fn find_of(&mut self, anchor: Anchor, what: What, values: Vec<Option<Value>>, member: Value) {
        self.found.push(Found { anchor, what, values, from: Vec::new(), member: Some(member) });
    }

    /// A finding about what certain members did not send.
    fn find_from(&mut self, anchor: Anchor, what: What, from: Vec<Value>) {
        self.found.push(Found { anchor, what, values: Vec::new(), from, member: None });
    }

    /// The network of the instance.
    fn network(&self) -> &str {
        let first = crate::key::parts(self.key).next().filter(|_| !self.rule.across_networks);
        first.and_then(crate::key::text).unwrap_or_default()
    }

    fn violated(
        &mut self,
        anchor: Anchor,
        at: Timestamp,
        evidence: Vec<(Part, EventRef)>,
        missing: Option<(RoleIdx, Timestamp)>,
    ) {
        self.find(anchor, What::Violated { at, evidence, missing, level: false });
    }

    fn unknown(&mut self, why: Unknown) {
        self.tally.unknown(why);
    }

    /// Whether the order least favourable to the rule is taken.
    fn strict(&self) -> bool {
        matches!(self.rule.ties, Ties::Strict)
    }

    /// Whether a look-back to `from` goes past the first event ever heard from the key's node, and that was only just
    /// heard when `ts` came; or past what the rule has seen since it was adopted, while that may still matter.
    fn looks_past_the_start(&self, from: Timestamp, ts: Timestamp) -> bool {
        if self.offline && !self.recalls {
            return false;
        }
        let node = self.node().map(|(network, node)| self.sources.find_node(network, node));
        let began = match &node {
            Some(node) => node.map(|state| state.first_ts),
            None => self.sources.nodes.iter().map(|state| state.first_ts).min(),
        };
        if from.max(began.unwrap_or_default()) < self.since && ts.since(self.since) <= self.rule.forget_after {
            return true;
        }
        let settle = self.rule.settle.unwrap_or(self.timing.settle);
        node.flatten().is_some_and(|state| from < state.first_ts && ts.since(state.first_ts) <= settle)
    }

    /// Whether the key's node (else any) was heard as long ago as `from`, so that nothing since is missing.
    fn has_heard_since(&self, from: Timestamp) -> bool {
        if self.offline && !self.recalls {
            return true;
        }
        if from < self.since {
            return false;
        }
        match self.node() {
            Some((network, node)) => self.sources.find_node(network, node).is_some_and(|state| state.first_ts <= from),
            None => self.sources.nodes.iter().any(|state| state.first_ts <= from),
        }
    }

    /// Whether the key's node was not heard after `deadline`, while others were: then an absence proves nothing.
    fn silent(&self, deadline: Timestamp) -> bool {
        let silent = |(network, node)| self.sources.silent(network, node, deadline);
        !self.offline && !self.rule.silence_counts && self.node().is_some_and(silent)
    }

    /// What a fact says as of a time.
    fn fact(&self, fact: u16, key: &[Val<'_>], as_of: AsOf, ts: Timestamp) -> Option<Val<'_>> {
        self.reader(ts).read(fact, key, as_of)
    }

    /// What a breaker of the pack was when the instant began; one that nothing ever moved is closed.
    fn breaker(&self, breaker: u16, scope: &[Val<'_>], ts: Timestamp) -> Option<Val<'_>> {
        let id = &self.breaker_defs.get(breaker as usize)?.id;
        let mut key = Vec::new();
        crate::key::push(&mut key, &Val::String(self.network().into()));
        scope.iter().for_each(|part| crate::key::push(&mut key, part));
        let recorded = self.breakers.scopes(self.pack, id).and_then(|scopes| scopes.get(&*key));
        let state = recorded.map_or(BreakerState::Closed, |recorded| recorded.before(ts));
        Some(Val::String(state.as_str().into()))
    }

    /// The late condition of a touch that asks for no other role.
    fn admits(&self, touch: &Touch) -> bool {
        let Some(condition) = self.condition(touch.role(), touch.alternative) else { return true };
        condition.roles_used() || self.holds(condition, touch.role(), &touch.slots, touch.ts(), &[])
    }

    /// Whether the touch's condition asks for another event.
    fn asks_others(&self, touch: &Touch) -> bool {
        self.condition(touch.role(), touch.alternative).is_some_and(Expr::roles_used)
    }

    /// The late conditions of two events that ask for one another.
    fn fits(&self, a: &Seen, b: &Seen) -> bool {
        let one_way = |own: &Seen, other: &Seen| {
            self.condition(own.role, own.alternative).is_none_or(|condition| {
                !condition.roles_used()
                    || self.holds(condition, own.role, &own.slots, own.at.ts, &[(other.role, &other.slots)])
            })
        };
        one_way(a, b) && one_way(b, a)
    }

    fn condition(&self, role: RoleIdx, alternative: u8) -> Option<&Expr> {
        self.rule.roles.get(role as usize)?.alternatives.get(alternative as usize)?.where_late.as_ref()
    }

    fn holds(
        &self,
        condition: &Expr,
        role: RoleIdx,
        slots: &[Option<Value>],
        ts: Timestamp,
        others: &[(RoleIdx, &[Option<Value>])],
    ) -> bool {
        condition.test(&Late { ctx: self, role, slots, ts, others }).unwrap_or(false)
    }

    /// The value of an expression over an event's kept slots, as plain values order and compare.
    fn value_of(&self, expression: &Expr, touch: &Touch) -> Option<Value> {
        let env = Late { ctx: self, role: touch.role(), slots: &touch.slots, ts: touch.ts(), others: &[] };
        self.eval(expression, &env).map(|value| value.to_value())
    }

    /// Evaluates an expression over an event's kept slots.
    fn eval<'e>(&'e self, expression: &'e Expr, env: &'e Late<'e>) -> Option<Val<'e>> {
        expression.eval(env).ok()
    }
}

/// A value as a key's part is written: equal values are equal bytes.
fn encode(value: &Val<'_>) -> Box<[u8]> {
    let mut bytes = Vec::new();
    crate::key::push(&mut bytes, value);
    bytes.into()
}

/// The members that a list names, ascending; none when there is no such list.
fn members(of: &Expr, env: &dyn Env) -> Option<Vec<Box<[u8]>>> {
    let Val::List(list) = of.eval(env).ok()? else { return None };
    let mut members: Vec<Box<[u8]>> = list.iter().map(|member| encode(&Val::from(member))).collect();
    members.sort_unstable();
    members.dedup();
    Some(members)
}

/// Whether the member is a node that was not heard after the deadline while others were.
fn is_silent(ctx: &Ctx<'_>, member: &[u8], deadline: Timestamp) -> bool {
    let silent = |node: &str| ctx.sources.silent(ctx.network(), node, deadline);
    !ctx.rule.silence_counts && crate::key::text(member).is_some_and(silent)
}

/// Kept slots, other roles and facts, as of the event's time.
struct Late<'a> {
    ctx: &'a Ctx<'a>,
    role: RoleIdx,
    slots: &'a [Option<Value>],
    ts: Timestamp,
    others: &'a [(RoleIdx, &'a [Option<Value>])],
}

impl Env for Late<'_> {
    fn slot(&self, slot: u16) -> Option<Val<'_>> {
        self.slots.get(slot as usize)?.as_ref().map(Val::from)
    }

    fn role(&self, role: RoleIdx, slot: u16) -> Option<Val<'_>> {
        if role == self.role {
            return self.slot(slot);
        }
        let (_, slots) = self.others.iter().find(|(other, _)| *other == role)?;
        slots.get(slot as usize)?.as_ref().map(Val::from)
    }

    fn fact(&self, fact: u16, key: &[Val<'_>], as_of: AsOf) -> Option<Val<'_>> {
        self.ctx.fact(fact, key, as_of, self.ts)
    }

    fn clock(&self, clock: u16, key: &[Val<'_>]) -> Option<Val<'_>> {
        self.ctx.reader(self.ts).clock(clock, key)
    }

    fn breaker(&self, breaker: u16, scope: &[Val<'_>]) -> Option<Val<'_>> {
        self.ctx.breaker(breaker, scope, self.ts)
    }

    fn live(&self, component: &str) -> Option<Val<'_>> {
        self.ctx.reader(self.ts).live(component)
    }
}

impl State {
    /// Whether something could not be judged, as its node was silent, and is looked at again.
    fn has_left_open(&self) -> bool {
        match self {
            State::Response(state) => state.has_left_open(),
            State::Count(state) => state.has_left_open(),
            _ => false,
        }
    }

    /// Whether the kind knows better than to start anew what of a restart's own time belongs to the new process.
    fn resets_itself(&self) -> bool {
        !matches!(self, State::Agreement(_) | State::Poll(_))
    }
}

impl Automaton {
    /// One that remembers nothing.
    #[cfg(test)]
    pub(crate) fn blank() -> Self {
        Automaton { state: State::Point, mute: None }
    }

    pub(crate) fn new(rule: &Rule) -> Self {
        let state = match &rule.kind {
            Kind::Always { .. } if rule.hold.is_some() => State::Gauge(Box::default()),
            Kind::Never { .. } | Kind::Always { .. } => State::Point,
            Kind::Response { .. } => State::Response(Box::default()),
            Kind::Precedence { requires, .. } => {
                State::Precedence(Box::new(precedence::Precedence::new(requires.len())))
            }
            Kind::Count { .. } => State::Count(Box::default()),
            Kind::Agreement { assert: Some(_), .. } => State::Poll(Box::default()),
            Kind::Agreement { .. } => State::Agreement(Box::default()),
            Kind::Expected { .. } => State::Expected(Box::default()),
            Kind::Consecutive { .. } => State::Consecutive(Box::default()),
            Kind::Heartbeat { .. } => State::Heartbeat(Box::default()),
            Kind::Monotonic { .. } => State::Monotonic(Box::default()),
            Kind::StateMachine { initial, .. } => State::Machine(Box::new(machine::Machine::new(*initial))),
            Kind::Order { steps, .. } => State::Order(Box::new(order::Order::new(steps.len()))),
            Kind::Sequence { steps, .. } => State::Sequence(Box::new(sequence::Sequence::new(steps.len()))),
            Kind::Exclusive { .. } => State::Exclusive(Box::default()),
            Kind::Aggregate(definition) if definition.each.is_some() => State::Peers(Box::default()),
            Kind::Aggregate(definition) => State::Aggregate(Box::new(aggregate::Aggregate::new(definition))),
        };
        Automaton { state, mute: None }
    }

    /// Works off one instant.
    pub(crate) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let admitted: Vec<&Touch>;
        let mut now = Instant { ts: now.ts, touches: now.touches, restart: now.restart, starts: now.starts };
        let repeats = |pair: &[&Touch]| pair[0].repeats_role(pair[1]);
        if now.touches.iter().any(|touch| !ctx.admits(touch)) || now.touches.windows(2).any(repeats) {
            let mut touches: Vec<&Touch> = now.touches.iter().copied().filter(|touch| ctx.admits(touch)).collect();
            // An event that several alternatives of a role match plays it once; conditions on others choose later.
            touches.dedup_by(|later, earlier| later.repeats_role(earlier) && !ctx.asks_others(earlier));
            if touches.is_empty() && now.restart.is_none() {
                // Of all that came nothing matches: nothing has happened.
                return;
            }
            admitted = touches;
            now.touches = &admitted;
        }
        match &ctx.rule.ties {
            Ties::By(by) if now.touches.len() > 1 => {
                let ranked = ranked(ctx, by, now.touches);
                let mut groups = ranked.chunk_by(|a, b| same_rank(&a.0, &b.0)).peekable();
                while let Some(group) = groups.next() {
                    let touches: Vec<&Touch> = group.iter().map(|(_, touch)| *touch).collect();
                    // The restart has no place in that order: it comes last, as the least that it can break.
                    let last = groups.peek().is_none();
                    let restart = now.restart.filter(|_| last);
                    let starts = if last { now.starts } else { &[] };
                    self.feed(ctx, &Instant { ts: now.ts, touches: &touches, restart, starts });
                }
            }
            _ => self.feed(ctx, &now),
        }
        self.sift(ctx, (now.ts, false));
    }

    fn feed(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        match &mut self.state {
            State::Point => point::instant(ctx, now),
            State::Response(state) => state.instant(ctx, now),
            State::Precedence(state) => state.instant(ctx, now),
            State::Count(state) => state.instant(ctx, now),
            State::Agreement(state) => state.instant(ctx, now),
            State::Consecutive(state) => state.instant(ctx, now),
            State::Heartbeat(state) => state.instant(ctx, now),
            State::Monotonic(state) => state.instant(ctx, now),
            State::Machine(state) => state.instant(ctx, now),
            State::Order(state) => state.instant(ctx, now),
            State::Sequence(state) => state.instant(ctx, now),
            State::Exclusive(state) => state.instant(ctx, now),
            State::Gauge(state) => state.instant(ctx, now),
            State::Aggregate(state) => state.instant(ctx, now),
            State::Peers(state) => state.instant(ctx, now),
            State::Expected(state) => state.instant(ctx, now),
            State::Poll(state) => state.instant(ctx, now),
        }
        if now.restart.is_some() && ctx.rule.on_restart == OnRestart::Reset && !self.state.resets_itself() {
            self.state = Automaton::new(ctx.rule).state;
        }
    }

    /// When it next falls due; judged when the frontier has passed this time.
    pub(crate) fn next_due(&self, rule: &Rule) -> Option<Timestamp> {
        match &self.state {
            State::Point
            | State::Agreement(_)
            | State::Consecutive(_)
            | State::Monotonic(_)
            | State::Sequence(_)
            | State::Exclusive(_) => None,
            State::Precedence(state) => state.next_due(rule),
            State::Machine(state) => state.next_due(rule),
            State::Order(state) => state.next_due(rule),
            State::Gauge(state) => state.next_due(rule),
            State::Aggregate(state) => state.next_due(rule),
            State::Peers(state) => state.next_due(rule),
            State::Response(state) => state.next_due(),
            State::Count(state) => state.next_due(rule),
            State::Heartbeat(state) => state.next_due(rule),
            State::Expected(state) => state.next_due(),
            State::Poll(state) => state.next_due(rule),
        }
    }

    /// Judges what falls due at `due`.
    pub(crate) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        match &mut self.state {
            State::Point
            | State::Agreement(_)
            | State::Consecutive(_)
            | State::Monotonic(_)
            | State::Sequence(_)
            | State::Exclusive(_) => {}
            State::Precedence(state) => state.due(ctx, due),
            State::Machine(state) => state.due(ctx, due),
            State::Order(state) => state.due(ctx, due),
            State::Gauge(state) => state.due(ctx, due),
            State::Aggregate(state) => state.due(ctx, due),
            State::Peers(state) => state.due(ctx, due),
            State::Response(state) => state.due(ctx, due),
            State::Count(state) => state.due(ctx, due),
            State::Heartbeat(state) => state.due(ctx, due),
            State::Expected(state) => state.due(ctx, due),
            State::Poll(state) => state.due(ctx, due),
        }
        self.sift(ctx, (due, true));
    }

    /// Holds back what the rule does not want said again.
    fn sift(&mut self, ctx: &mut Ctx<'_>, certain: mute::Certain) {
        if ctx.rule.report_first || ctx.rule.quiet.is_some() {
            let open = self.state.has_left_open();
            self.mute.get_or_insert_default().sift(ctx, certain, open);
        }
    }

    /// The violations that were said and that what was left open may yet take back.
    pub(crate) fn revocable(&self) -> impl Iterator<Item = Anchor> {
        self.mute.iter().flat_map(|mute| mute.revocable())
    }

    /// Sees whether something that was left open can be judged by now.
    pub(crate) fn poll(&mut self, ctx: &Ctx<'_>) {
        match &mut self.state {
            State::Response(state) => state.poll(ctx),
            State::Count(state) => state.poll(ctx),
            _ => {}
        }
    }

    /// Whether something was left open that can be judged by now: then all is judged again in order of time.
    pub(crate) fn is_awake(&self) -> bool {
        match &self.state {
            State::Response(state) => state.is_awake(),
            State::Count(state) => state.is_awake(),
            _ => false,
        }
    }

    /// How many obligations or levels are open.
    pub(crate) fn open(&self, rule: &Rule) -> u64 {
        match &self.state {
            State::Response(state) => state.open(),
            State::Count(state) => state.open(),
            State::Heartbeat(state) => state.open(),
            State::Expected(state) => state.open(),
            State::Poll(state) => state.open(),
            State::Precedence(state) => state.open(),
            State::Machine(state) => state.open(rule),
            State::Order(state) => state.open(),
            State::Gauge(state) => state.open(),
            State::Aggregate(state) => state.open(),
            State::Peers(state) => state.open(),
            State::Point
            | State::Agreement(_)
            | State::Consecutive(_)
            | State::Monotonic(_)
            | State::Sequence(_)
            | State::Exclusive(_) => 0,
        }
    }

    /// Whether it is as if it had never been touched.
    pub(crate) fn is_idle(&self) -> bool {
        self.mute.as_ref().is_none_or(|mute| mute.is_idle())
            && match &self.state {
                State::Point => true,
                State::Response(state) => state.is_idle(),
                State::Precedence(state) => state.is_idle(),
                State::Count(state) => state.is_idle(),
                State::Consecutive(state) => state.is_idle(),
                State::Monotonic(state) => state.is_idle(),
                State::Order(state) => state.is_idle(),
                State::Sequence(state) => state.is_idle(),
                State::Exclusive(state) => state.is_idle(),
                State::Gauge(state) => state.is_idle(),
                State::Aggregate(state) => state.is_idle(),
                State::Peers(state) => state.is_idle(),
                State::Machine(state) => state.is_idle(),
                State::Expected(state) => state.is_idle(),
                State::Agreement(_) | State::Heartbeat(_) | State::Poll(_) => false,
            }
    }

    /// Until when its memory matters, counted from its last touch; `None`: for as long as the rule says.
    pub(crate) fn horizon(rule: &Rule) -> core::time::Duration {
        let lasts = rule.hold.map(|hold| hold.lasts.max(hold.stale_after)).unwrap_or_default();
        match &rule.kind {
            // What was reported must be remembered for longer than what supports.
            Kind::Precedence { within: Some(within), .. }
            | Kind::Order { within: Some(within), .. }
            | Kind::Sequence { within, .. }
            | Kind::Exclusive { ttl: Some(within), .. }
                if !rule.report_first && rule.quiet.is_none() =>
            {
                (*within + rule.slack).min(rule.forget_after)
            }
            // What may still end by itself is not forgotten before.
            Kind::Aggregate(aggregate) => rule.forget_after.max(aggregate.longest() + lasts),
            Kind::Count { span: CountSpan::Window(window), .. } => rule.forget_after.max(*window + lasts),
            Kind::StateMachine { states, .. } => {
                states.iter().filter_map(|state| state.limit).fold(rule.forget_after, core::time::Duration::max)
            }
            Kind::Always { .. } => rule.forget_after.max(lasts),
            _ => rule.forget_after,
        }
    }
}

/// An instant's touches by the value that orders them; what has none comes first.
fn ranked<'t>(ctx: &Ctx<'_>, by: &[Option<Expr>], touches: &[&'t Touch]) -> Vec<(Option<Value>, &'t Touch)> {
    let rank = |touch: &Touch| ctx.value_of(by.get(touch.role() as usize)?.as_ref()?, touch);
    let mut ranked: Vec<(Option<Value>, &Touch)> = touches.iter().map(|&touch| (rank(touch), touch)).collect();
    // Stable: equals stay in the order that does not depend on arrival.
    ranked.sort_by(|(a, _), (b, _)| match (a, b) {
        (Some(a), Some(b)) => Val::from(a).compare(&Val::from(b)).unwrap_or(Ordering::Equal),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    ranked
}

fn same_rank(a: &Option<Value>, b: &Option<Value>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Val::from(a).compare(&Val::from(b)).is_none_or(Ordering::is_eq),
        (a, b) => a.is_some() == b.is_some(),
    }
}
