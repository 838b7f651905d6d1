//! What an automaton may look at besides its own state, and how it says what it found.
use alloc::{boxed::Box, vec::Vec};
use core::cell::Cell;
use event::{Timestamp, Value};

use super::{Anchor, Found, Instant, Part, Tally, What};
use crate::{
    expr::{AsOf, Env, Expr, Undefined, Val},
    fact::Reader,
    gap,
    instance::Finding,
    pack::{EmitOn, OnRestart, Pack, RoleIdx, Rule, Ties},
    program::{RuleIdx, Traits},
    scope::{Edge, Span},
    source::NodeState,
    touch::{Seen, Touch},
    verdict::{EventRef, Unknown},
    world::{World, violation_id},
};

/// Why an absence is not proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withheld {
    /// The node may still speak.
    ForNow(Unknown),
    /// What it said was not judged.
    ForGood(Unknown),
}

/// What an automaton may look at besides its own state.
pub(crate) struct Ctx<'a> {
    pub(crate) world: &'a World<'a>,
    pub(crate) rule: &'a Rule,
    /// The rule's number.
    pub(crate) number: RuleIdx,
    pub(crate) traits: &'a Traits,
    /// The rule's pack.
    pub(crate) pack: &'a Pack,
    pub(crate) key: &'a [u8],
    /// What was judged before is judged again, in order.
    pub(crate) replaying: bool,
    /// What of the instance was found before, while it is judged again.
    pub(crate) known: &'a [Finding],
    /// What happened to the key up to then may not be known: see [`Instance::forgotten`](crate::instance::Instance).
    pub(crate) forgotten: Cell<Timestamp>,
    /// A condition could not be decided, as what it asks for was forgotten.
    pub(crate) undecided: Cell<bool>,
    /// How often something was excused that was said before.
    pub(crate) taken_back: Cell<u64>,
    pub(crate) found: Vec<Found>,
    /// The violations among `found` that had been left open before, as their node was silent.
    pub(crate) woken: Vec<Anchor>,
    pub(crate) tally: &'a mut Tally,
}

impl Ctx<'_> {
    /// Whether the instant begins a process for which nothing of the one before counts.
    pub(super) fn begins_anew(&self, now: &Instant<'_>) -> bool {
        now.restart.is_some() && matches!(self.rule.on_restart, OnRestart::Ended | OnRestart::Reset)
    }

    /// Since when the rule has seen everything.
    fn since(&self) -> Timestamp {
        self.world.since[self.number as usize]
    }

    /// The (network, node) that the key names.
    pub(super) fn node(&self) -> Option<(&str, &str)> {
        let mut parts = crate::key::parts(self.key);
        let network = if self.rule.across_networks { "" } else { crate::key::text(parts.next()?)? };
        Some((network, crate::key::text(parts.nth(self.traits.node_part?)?)?))
    }

    /// The pack's facts, as of `ts`. Rows are kept apart by network, like everything else.
    pub(super) fn reader(&self, ts: Timestamp) -> Reader<'_> {
        let network = match crate::key::parts(self.key).next() {
            Some(network) if !self.rule.across_networks => network,
            _ => crate::key::NO_NETWORK,
        };
        Reader {
            facts: self.world.facts,
            pack: self.pack,
            base: self.traits.fact_base,
            clocks: self.world.clocks,
            clock_base: self.traits.clock_base,
            breakers: self.world.breakers,
            sources: self.world.sources,
            timing: self.world.timing,
            network,
            ts,
        }
    }

    /// The span of `during` that `ts` lies in; a span without ends when the rule has none.
    pub(super) fn span(&self, ts: Timestamp) -> Option<Span> {
        match &self.rule.during {
            None => Some(Span::default()),
            Some(during) => {
                let scope = &self.world.scopes[self.number as usize];
                scope.at(during, self.key, ts, &|role, _, edge| self.admits_edge(role, edge))
            }
        }
    }

    /// Whether that span has ended by `ts`.
    pub(super) fn span_ended(&self, span: &Span, ts: Timestamp) -> bool {
        let scope = &self.world.scopes[self.number as usize];
        let admits = |role, _: &[u8], edge: &Edge| self.admits_edge(role, edge);
        self.rule.during.as_ref().is_some_and(|during| scope.ended(during, span, self.key, ts, &admits))
    }

    /// The late condition of an event that opens or closes a span.
    pub(crate) fn admits_edge(&self, role: RoleIdx, edge: &Edge) -> bool {
        let condition = self.condition(role, edge.alternative).zip(edge.asks.as_deref().map(|slots| &**slots));
        condition.is_none_or(|(condition, slots)| self.holds(condition, role, slots, edge.at.ts, &[]))
    }

    /// Why it cannot be told whether what is owed for an event was sent between these times. Never so offline, nor where
    /// the absence was held against it already: then late evidence alone takes that back, and a gap that came as late.
    pub(super) fn withheld(&self, owed_for: EventRef, from: Timestamp, to: Timestamp) -> Option<Withheld> {
        let said = self.was_said(&Anchor::Event(owed_for));
        match self.gap(from, to, said) {
            Some(why) => Some(Withheld::ForGood(why)),
            None if said => None,
            None => self.unheard(to).map(Withheld::ForNow),
        }
    }

    /// Why a violation with that anchor is none that can be said: what it misses between these times may have come and
    /// never been judged. Where it was said already, only what came since takes it back.
    pub(super) fn excuse(&self, anchor: &Anchor, from: Timestamp, to: Timestamp) -> Option<Unknown> {
        self.gap(from, to, self.was_said(anchor))
    }

    /// Why an event that the rule asks for may have come between these times, both included, and never been judged: from
    /// the key's node, or from any of its network where the key names none. `said`: the verdict was given before.
    fn gap(&self, from: Timestamp, to: Timestamp, said: bool) -> Option<Unknown> {
        let lost = self.lost(from, to).filter(|_| !said);
        if lost.is_some() || self.world.offline {
            return lost;
        }
        match self.node() {
            Some((network, node)) => self.gap_of(network, node, from, to, said),
            None => {
                let in_network = |state: &&NodeState| self.rule.across_networks || state.network == self.network();
                self.world.sources.nodes.iter().filter(in_network).find_map(|state| self.hidden(state, from, to, said))
            }
        }
    }

    /// Whether what happened to the key between these times may have been forgotten as there was too much, while that
    /// may still matter; or there is an event between them of which nobody knows whether it belongs to the key.
    pub(super) fn lost(&self, from: Timestamp, to: Timestamp) -> Option<Unknown> {
        let last = self.forgotten.get();
        let matters = last > Timestamp::ZERO && from <= last && to.since(last) <= self.rule.forget_after;
        (matters || self.is_undecided(from, to)).then_some(Unknown::Forgotten)
    }

    /// Whether there is an event between these times of which nobody knows whether it belongs to the key.
    fn is_undecided(&self, from: Timestamp, to: Timestamp) -> bool {
        self.world.undecided[self.number as usize].between(from, to, self.key)
    }

    /// The same of one node.
    pub(super) fn gap_of(
        &self,
        network: &str,
        node: &str,
        from: Timestamp,
        to: Timestamp,
        said: bool,
    ) -> Option<Unknown> {
        if self.world.offline {
            return None;
        }
        self.hidden(self.world.sources.find_node(network, node)?, from, to, said)
    }

    fn hidden(&self, node: &NodeState, from: Timestamp, to: Timestamp, said: bool) -> Option<Unknown> {
        let why = node.gaps.between(from, to, said, &|event| gap::asks(self.rule, self.pack, event))?;
        self.taken_back.set(self.taken_back.get() + u64::from(said));
        Some(why)
    }

    /// Why the key's node may still have something to say of the time up to `to`.
    fn unheard(&self, to: Timestamp) -> Option<Unknown> {
        if self.world.offline {
            return None;
        }
        let (network, node) = self.node()?;
        let state = self.world.sources.find_node(network, node)?;
        if !self.rule.silence_counts && self.world.sources.silent(network, node, to) {
            Some(Unknown::NodeSilent)
        } else {
            (state.complete_to <= to).then_some(Unknown::Lagging)
        }
    }

    /// Whether the instance was found to have that violation before.
    pub(super) fn was_said(&self, anchor: &Anchor) -> bool {
        !self.known.is_empty() && {
            let id = violation_id(&self.traits.id_prefix, self.key, anchor);
            self.known.iter().any(|finding| finding.id == id)
        }
    }

    /// When to look again at what is withheld for now.
    pub(super) fn look_again(&self, now: Timestamp) -> Timestamp {
        self.world.sources.frontier.max(now).plus(self.world.timing.margin)
    }

    pub(super) fn exercise(&mut self, ts: Timestamp) {
        self.tally.exercised = self.tally.exercised.max(ts);
    }

    pub(super) fn find(&mut self, anchor: Anchor, what: What) {
        self.find_with(anchor, what, Vec::new());
    }

    pub(super) fn find_with(&mut self, anchor: Anchor, what: What, values: Vec<Option<Value>>) {
        self.found.push(Found { anchor, what, values, from: Vec::new(), member: None });
    }

    /// A finding about one member of a group.
    pub(super) fn find_of(&mut self, anchor: Anchor, what: What, values: Vec<Option<Value>>, member: Value) {
        self.found.push(Found { anchor, what, values, from: Vec::new(), member: Some(member) });
    }

    /// A finding about what certain members did not send.
    pub(super) fn find_from(&mut self, anchor: Anchor, what: What, from: Vec<Value>) {
        self.found.push(Found { anchor, what, values: Vec::new(), from, member: None });
    }

    /// Whether rules build on that.
    pub(super) fn emits(&self, on: EmitOn) -> bool {
        self.rule.emits.iter().any(|emit| emit.on == on)
    }

    /// Tells those who build on it what became of an anchor, and of which events.
    pub(super) fn make(
        &mut self,
        on: EmitOn,
        anchor: Anchor,
        at: Timestamp,
        of: &[&Seen],
        measured: Vec<Option<Value>>,
    ) {
        self.make_of(on, anchor, at, of, measured, None);
    }

    /// The same, where it is about one member of a group.
    pub(super) fn make_of(
        &mut self,
        on: EmitOn,
        anchor: Anchor,
        at: Timestamp,
        of: &[&Seen],
        measured: Vec<Option<Value>>,
        member: Option<Value>,
    ) {
        let Some(proof) = of.iter().map(|seen| seen.at).max().filter(|_| self.emits(on)) else { return };
        let mut values = measured;
        for (_, role, slot) in self.rule.emits.iter().filter(|emit| emit.on == on).flat_map(|emit| &emit.kept) {
            let seen = of.iter().find(|seen| seen.role == *role);
            values.push(seen.and_then(|seen| seen.slots.get(*slot as usize)?.clone()));
        }
        self.found.push(Found { anchor, what: What::Made { on, at, proof }, values, from: Vec::new(), member });
    }

    /// The same of what no single event ended: it was so with `last`.
    pub(super) fn make_at(
        &mut self,
        on: EmitOn,
        anchor: Anchor,
        last: EventRef,
        values: Vec<Option<Value>>,
        member: Option<Value>,
    ) {
        if self.emits(on) {
            let what = What::Made { on, at: last.ts, proof: last };
            self.found.push(Found { anchor, what, values, from: Vec::new(), member });
        }
    }

    /// The network of the instance.
    pub(super) fn network(&self) -> &str {
        let first = crate::key::parts(self.key).next().filter(|_| !self.rule.across_networks);
        first.and_then(crate::key::text).unwrap_or_default()
    }

    pub(super) fn violated(
        &mut self,
        anchor: Anchor,
        at: Timestamp,
        evidence: Vec<(Part, EventRef)>,
        missing: Option<(RoleIdx, Timestamp)>,
    ) {
        self.find(anchor, What::Violated { at, evidence, missing, level: false });
    }

    pub(super) fn unknown(&mut self, why: Unknown) {
        let why = if self.undecided.take() { Unknown::Forgotten } else { why };
        self.tally.unknown(why);
    }

    /// Whether the order least favourable to the rule is taken.
    pub(super) fn strict(&self) -> bool {
        matches!(self.rule.ties, Ties::Strict)
    }

    /// Why a look-back from `ts` to `from` does not see everything: it goes past what was forgotten, past what the rule has
    /// seen since it was adopted, while that may still matter, or past the first event ever heard from the key's node, and
    /// that was only just heard when `ts` came.
    pub(super) fn looks_past(&self, from: Timestamp, ts: Timestamp) -> Option<Unknown> {
        self.lost(from, ts).or_else(|| self.looks_past_the_start(from, ts).then_some(Unknown::BeforeStart))
    }

    fn looks_past_the_start(&self, from: Timestamp, ts: Timestamp) -> bool {
        if self.world.offline && !self.world.recalls {
            return false;
        }
        let node = self.node().map(|(network, node)| self.world.sources.find_node(network, node));
        if self.since() > Timestamp::ZERO && ts.since(self.since()) <= self.rule.forget_after {
            let began = match &node {
                Some(node) => node.map(|state| state.first_ts),
                None => self.world.sources.nodes.iter().map(|state| state.first_ts).min(),
            };
            if from.max(began.unwrap_or_default()) < self.since() {
                return true;
            }
        }
        let settle = self.rule.settle.unwrap_or(self.world.timing.settle);
        node.flatten().is_some_and(|state| from < state.first_ts && ts.since(state.first_ts) <= settle)
    }

    /// Why something between these times may be missing: it was forgotten, or the key's node (else any) was not heard that
    /// long ago.
    pub(super) fn lacks_since(&self, from: Timestamp, to: Timestamp) -> Option<Unknown> {
        if self.is_undecided(from, to) {
            return Some(Unknown::Forgotten);
        }
        self.lost(from, from).or_else(|| (!self.has_heard_since(from)).then_some(Unknown::BeforeStart))
    }

    fn has_heard_since(&self, from: Timestamp) -> bool {
        if self.world.offline && !self.world.recalls {
            return true;
        }
        if from < self.since() {
            return false;
        }
        match self.node() {
            Some((network, node)) => {
                self.world.sources.find_node(network, node).is_some_and(|state| state.first_ts <= from)
            }
            None => self.world.sources.nodes.iter().any(|state| state.first_ts <= from),
        }
    }

    /// Whether the key's node was not heard after `deadline`, while others were: then an absence proves nothing.
    pub(super) fn silent(&self, deadline: Timestamp) -> bool {
        let silent = |(network, node)| self.world.sources.silent(network, node, deadline);
        !self.world.offline && !self.rule.silence_counts && self.node().is_some_and(silent)
    }

    /// What a fact says as of a time.
    pub(super) fn fact(&self, fact: u16, key: &[Val<'_>], as_of: AsOf, ts: Timestamp) -> Result<Val<'_>, Undefined> {
        self.reader(ts).read(fact, key, as_of)
    }

    /// The late condition of a touch that asks for no other role.
    pub(super) fn admits(&self, touch: &Touch) -> bool {
        let Some(condition) = self.condition(touch.role(), touch.alternative) else { return true };
        condition.roles_used() || self.holds(condition, touch.role(), &touch.slots, touch.ts(), &[])
    }

    /// Whether the touch's condition asks for another event.
    pub(super) fn asks_others(&self, touch: &Touch) -> bool {
        self.condition(touch.role(), touch.alternative).is_some_and(Expr::roles_used)
    }

    /// The late conditions of two events that ask for one another.
    pub(super) fn fits(&self, a: &Seen, b: &Seen) -> bool {
        if !self.traits.pairs {
            return true;
        }
        let one_way = |own: &Seen, other: &Seen| {
            self.condition(own.role, own.alternative).is_none_or(|condition| {
                !condition.roles_used()
                    || self.holds(condition, own.role, &own.slots, own.at.ts, &[(other.role, &other.slots)])
            })
        };
        one_way(a, b) && one_way(b, a)
    }

    pub(super) fn condition(&self, role: RoleIdx, alternative: u8) -> Option<&Expr> {
        self.rule.roles.get(role as usize)?.alternatives.get(alternative as usize)?.where_late.as_ref()
    }

    pub(super) fn holds(
        &self,
        condition: &Expr,
        role: RoleIdx,
        slots: &[Option<Value>],
        ts: Timestamp,
        others: &[(RoleIdx, &[Option<Value>])],
    ) -> bool {
        self.decided(condition.test(&Late { ctx: self, role, slots, ts, others }), ts).unwrap_or(false)
    }

    /// The value of an expression over an event's kept slots, as plain values order and compare.
    pub(super) fn value_of(&self, expression: &Expr, touch: &Touch) -> Option<Value> {
        let env = Late { ctx: self, role: touch.role(), slots: &touch.slots, ts: touch.ts(), others: &[] };
        self.eval(expression, &env).map(|value| value.to_value())
    }

    /// Evaluates an expression over an event's kept slots.
    pub(super) fn eval<'e>(&'e self, expression: &'e Expr, env: &'e Late<'e>) -> Option<Val<'e>> {
        self.decided(expression.eval(env), env.ts)
    }

    /// What was evaluated for an event of that time. If that asks for something that was forgotten, nobody knows what part
    /// the event plays, as if it had been forgotten itself.
    pub(super) fn decided<T>(&self, value: Result<T, Undefined>, ts: Timestamp) -> Option<T> {
        if value.as_ref().err() == Some(&Undefined::Forgotten) {
            self.undecided.set(true);
            self.forgotten.set(self.forgotten.get().max(ts));
        }
        value.ok()
    }
}

/// A value as a key's part is written: equal values are equal bytes.
pub(super) fn encode(value: &Val<'_>) -> Box<[u8]> {
    let mut bytes = Vec::new();
    crate::key::push(&mut bytes, value);
    bytes.into()
}

/// The members that a list names, ascending; none when there is no such list.
pub(super) fn members(ctx: &Ctx<'_>, of: &Expr, env: &dyn Env, ts: Timestamp) -> Option<Vec<Box<[u8]>>> {
    let Val::List(list) = ctx.decided(of.eval(env), ts)? else { return None };
    let mut members: Vec<Box<[u8]>> = list.iter().map(|member| encode(&Val::from(member))).collect();
    members.sort_unstable();
    members.dedup();
    Some(members)
}

/// Whether the member is a node that was not heard after the deadline while others were.
pub(super) fn is_silent(ctx: &Ctx<'_>, member: &[u8], deadline: Timestamp) -> bool {
    let silent = |node: &str| ctx.world.sources.silent(ctx.network(), node, deadline);
    !ctx.rule.silence_counts && crate::key::text(member).is_some_and(silent)
}

/// Kept slots, other roles and facts, as of the event's time.
pub(super) struct Late<'a> {
    pub(super) ctx: &'a Ctx<'a>,
    pub(super) role: RoleIdx,
    pub(super) slots: &'a [Option<Value>],
    pub(super) ts: Timestamp,
    pub(super) others: &'a [(RoleIdx, &'a [Option<Value>])],
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

    fn fact(&self, fact: u16, key: &[Val<'_>], as_of: AsOf) -> Result<Val<'_>, Undefined> {
        self.ctx.fact(fact, key, as_of, self.ts)
    }

    fn clock(&self, clock: u16, key: &[Val<'_>]) -> Option<Val<'_>> {
        self.ctx.reader(self.ts).clock(clock, key)
    }

    fn breaker(&self, breaker: u16, scope: &[Val<'_>]) -> Option<Val<'_>> {
        self.ctx.reader(self.ts).breaker(breaker, scope)
    }

    fn live(&self, component: &str) -> Option<Val<'_>> {
        self.ctx.reader(self.ts).live(component)
    }
}
