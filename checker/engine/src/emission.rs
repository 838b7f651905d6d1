//! Events that verdicts make, for the rules that build on other rules.
//!
//! A rule rests on rules above it in its pack alone, so rules stand in strata: those of one are judged up to the frontier
//! before those of the next, and what their verdicts make is there when the next ones are judged. A verdict that is
//! corrected takes back what was made of it, and those that built on it are judged again.
use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};
use event::{Identity, Timestamp, Value, ValueRef};

use crate::{
    arrival::{Arrival, Landings},
    breaker::BreakerChange,
    engine::{Engine, Input},
    expr::{Env, Val},
    key,
    pack::{Emit, EmitOn, RoleIdx},
    program::{Program, RuleIdx, Traits},
    route::{Column, Target},
    row::Row,
    source::SourceState,
    touch::{KeyAt, Touch},
    verdict::{Output, Violation, ViolationId},
};

/// How many verdicts are remembered for what was made of them.
const EMITTED_MAX: usize = 1 << 18;

/// What those learn who build on it, and nobody else.
#[derive(Clone, Debug)]
pub(crate) enum Made {
    /// An obligation was met, or what a rule measures over has ended.
    Now(ViolationId, EmitOn, Emitted),
    /// That was not so after all.
    Never(ViolationId),
}

/// What was made of one finding.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Emitted {
    rule: RuleIdx,
    network: String,
    key: Vec<Option<Value>>,
    values: Vec<(String, Value)>,
    position: event::Position,
    /// When it was found, in event time.
    at: Timestamp,
    /// It may yet recover, and something is made of that.
    open: bool,
    touches: Vec<Sent>,
}

impl Emitted {
    /// Of something that is no violation.
    pub(crate) fn new(
        rule: RuleIdx,
        network: String,
        key: Vec<Option<Value>>,
        values: Vec<(String, Value)>,
        at: Timestamp,
        position: event::Position,
    ) -> Self {
        Emitted { rule, network, key, values, position, at, open: false, touches: Vec::new() }
    }
}

/// A touch that was made.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sent {
    rule: RuleIdx,
    key: Box<[u8]>,
    touch: Touch,
    resolved: bool,
}

impl Sent {
    /// One that is no recovery.
    pub(crate) fn once((rule, key, touch): (RuleIdx, Box<[u8]>, Touch)) -> Self {
        Sent { rule, key, touch, resolved: false }
    }

    pub(crate) fn rule(&self) -> RuleIdx {
        self.rule
    }

    /// Gives its rule another number; returns whether there still is such a rule.
    pub(crate) fn renumber(&mut self, number: impl Fn(RuleIdx) -> Option<RuleIdx>) -> bool {
        number(self.rule).map(|rule| self.rule = rule).is_some()
    }
}

/// What was made of verdicts, by violation.
pub(crate) type Emissions = BTreeMap<ViolationId, Emitted>;

/// Has what was made of verdicts follow rules that change their numbers; what belongs to a rule that is gone is forgotten.
pub(crate) fn renumber(
    emissions: &mut Emissions,
    unmade: &mut Vec<(ViolationId, Emitted)>,
    number: impl Fn(RuleIdx) -> Option<RuleIdx>,
) {
    let follow = |emitted: &mut Emitted| {
        emitted.touches.retain_mut(|sent| sent.renumber(&number));
        number(emitted.rule).map(|rule| emitted.rule = rule).is_some()
    };
    emissions.retain(|_, emitted| follow(emitted));
    unmade.retain_mut(|(_, emitted)| follow(emitted));
}

/// Forgets what nothing can correct any more.
pub(crate) fn prune(emissions: &mut Emissions, floor: Timestamp) {
    emissions.retain(|_, emitted| emitted.open || emitted.at >= floor);
}

/// Takes over what was made of verdicts for rules that are new, while these were shown the past: of verdicts of their own, and of
/// those of rules that are known.
pub(crate) fn take_over(
    (own, own_unmade): (&mut Emissions, &mut Vec<(ViolationId, Emitted)>),
    (past, past_unmade): (Emissions, Vec<(ViolationId, Emitted)>),
    is_new: impl Fn(RuleIdx) -> bool,
) {
    for (id, mut emitted) in past {
        emitted.touches.retain(|sent| is_new(sent.rule));
        match own.get_mut(&id) {
            Some(known) => known.touches.append(&mut emitted.touches),
            None if is_new(emitted.rule) || !emitted.touches.is_empty() => drop(own.insert(id, emitted)),
            None => {}
        }
    }
    own_unmade.extend(past_unmade.into_iter().filter(|(_, emitted)| is_new(emitted.rule)));
}

/// Makes room: half at once, so that a storm pays for it once in so many verdicts.
fn forget_older_half(emissions: &mut Emissions) {
    let mut times: Vec<Timestamp> = emissions.values().map(|emitted| emitted.at).collect();
    let middle = times.len() / 2;
    let (_, &mut middle, _) = times.select_nth_unstable(middle);
    let mut room = emissions.len() / 2;
    emissions.retain(|_, emitted| {
        let goes = room > 0 && emitted.at <= middle;
        room -= usize::from(goes);
        !goes
    });
}

/// The rules on whose verdicts a rule builds: they stand above it in its pack.
pub(crate) fn upstream(program: &Program, number: RuleIdx) -> impl Iterator<Item = RuleIdx> {
    let (pack, rule) = program.rule(number);
    let named = |event: &str| {
        let mut patterns = rule.roles.iter().flat_map(|role| &role.alternatives);
        patterns.any(|pattern| pattern.name.literal() == Some(event))
    };
    program
        .rules()
        .filter(move |(other, of, makes)| {
            *other < number && of.name == pack.name && makes.emits.iter().any(|emit| named(&emit.event))
        })
        .map(|(other, ..)| other)
}

/// The stratum of each rule: above those whose verdicts it builds on, and offline above those that trip the breakers it
/// asks for. (Live, what it asks for was so before anything of that time is judged.)
pub(crate) fn strata(program: &Program, traits: &mut [Traits], input: Input) -> u8 {
    let mut highest = 0;
    // Rules rest on those above them, so one pass sees all.
    for number in 0..traits.len() as RuleIdx {
        let above = upstream(program, number);
        let mut own = above.map(|other| traits[other as usize].stratum.saturating_add(1)).max().unwrap_or(0);
        if input == Input::Offline {
            for breaker in &traits[number as usize].asks_breakers {
                let tripping = traits[..number as usize].iter().filter(|other| other.trips.contains(breaker));
                own = tripping.map(|other| other.stratum.saturating_add(1)).fold(own, u8::max);
            }
        }
        let traits = &mut traits[number as usize];
        traits.stratum = own;
        // What is built on verdicts can be taken back, so it is not said on arrival.
        traits.stateless &= own == 0;
        highest = highest.max(own);
    }
    highest + 1
}

impl Engine {
    /// Makes the events of verdicts, and takes back those of verdicts that were corrected.
    pub(crate) fn emit(&mut self, outputs: &[Output]) {
        for output in outputs {
            match output {
                Output::Violated(violation) => {
                    if let Some(emitted) = self.emitted(violation) {
                        self.emit_finding(violation.id, EmitOn::Violated, emitted);
                    }
                }
                Output::Resolved { id, rule, at } if self.emits(*rule, EmitOn::Resolved) => {
                    let Some(mut emitted) = self.state.emitted.remove(id) else { continue };
                    let kept = emitted.touches.extract_if(.., |sent| sent.resolved).collect();
                    emitted.open = false;
                    let made = self.make(*id, &emitted, EmitOn::Resolved, *at);
                    let made = self.replace(kept, made);
                    emitted.touches.extend(made);
                    self.state.emitted.insert(*id, emitted);
                }
                Output::Retracted { id, rule } => {
                    let taken = self.unmake(*id).filter(|_| self.emits(*rule, EmitOn::Retracted));
                    if let Some(emitted) = taken {
                        let at = self.state.judged_to;
                        let made = self.make(*id, &emitted, EmitOn::Retracted, at);
                        self.replace(Vec::new(), made);
                    }
                }
                Output::Resolved { .. } | Output::LateResolved { .. } | Output::Breaker(_) => {}
            }
        }
    }

    /// Makes the events of what is no violation, and takes them back.
    pub(crate) fn emit_made(&mut self, made: Vec<Made>) {
        for made in made {
            match made {
                Made::Now(id, on, emitted) => self.emit_finding(id, on, emitted),
                Made::Never(id) => drop(self.unmake(id)),
            }
        }
    }

    /// Takes back what was made of a finding; returns that finding.
    fn unmake(&mut self, id: ViolationId) -> Option<Emitted> {
        let mut emitted = self.state.emitted.remove(&id)?;
        self.replace(core::mem::take(&mut emitted.touches), Vec::new());
        Some(emitted)
    }

    /// Remembers what was said on arrival and is to become an event when the frontier passes it.
    pub(crate) fn note_unmade(&mut self, early: &[Output]) {
        if self.strata == 1 {
            // Nobody builds on anything.
            return;
        }
        for output in early {
            if let Output::Violated(violation) = output
                && let Some(emitted) = self.emitted(violation)
            {
                self.state.unmade.push((violation.id, emitted));
            }
        }
    }

    /// Makes events of what was said on arrival and the frontier passes now.
    pub(crate) fn make_early(&mut self, to: Timestamp) {
        let passed: Vec<_> = self.state.unmade.extract_if(.., |(_, emitted)| emitted.at < to).collect();
        passed.into_iter().for_each(|(id, emitted)| self.emit_finding(id, EmitOn::Violated, emitted));
    }

    fn emits(&self, rule: RuleIdx, on: EmitOn) -> bool {
        self.program.rule(rule).1.emits.iter().any(|emit| emit.on == on)
    }

    /// What a violation is for those who build on it; none when its rule makes nothing of verdicts.
    pub(crate) fn emitted(&self, violation: &Violation) -> Option<Emitted> {
        let of_violations = [EmitOn::Violated, EmitOn::Resolved, EmitOn::Retracted];
        if !of_violations.iter().any(|on| self.emits(violation.rule, *on)) {
            return None;
        }
        Some(Emitted {
            rule: violation.rule,
            network: violation.network.clone(),
            key: violation.key.clone(),
            values: violation.values.clone(),
            position: violation.evidence.last().map(|cited| cited.event.position).unwrap_or_default(),
            at: violation.at,
            open: violation.level && self.emits(violation.rule, EmitOn::Resolved),
            touches: Vec::new(),
        })
    }

    fn emit_finding(&mut self, id: ViolationId, on: EmitOn, mut emitted: Emitted) {
        let known = self.state.emitted.remove(&id);
        let made = self.make(id, &emitted, on, emitted.at);
        // Said again: what was made of it before, a recovery that was none after all among it, is made anew.
        emitted.touches = self.replace(known.map(|known| known.touches).unwrap_or_default(), made);
        self.state.emitted.insert(id, emitted);
        if self.state.emitted.len() > EMITTED_MAX {
            forget_older_half(&mut self.state.emitted);
        }
    }

    /// The touches that a verdict makes.
    fn make(&mut self, id: ViolationId, emitted: &Emitted, on: EmitOn, at: Timestamp) -> Vec<Sent> {
        let rule = self.program.rule(emitted.rule).1;
        let emits: Vec<Emit> = rule.emits.iter().filter(|emit| emit.on == on).cloned().collect();
        let names: Vec<String> = rule.key.iter().map(|part| part.name.clone()).collect();
        let node = names.iter().position(|name| name == "node").and_then(|place| emitted.key.get(place)?.clone());
        let mut made = Vec::new();
        for emit in emits {
            let told = Told { emit: &emit, names: &names, emitted, at };
            let attrs = emit.attrs.iter();
            let news = News {
                pack: self.program.pack_of(emitted.rule),
                event: &emit.event,
                network: &emitted.network,
                node: node.as_ref(),
                at,
                identity: identity(&id.0, &emit.event, at),
                position: emitted.position,
                attrs: attrs
                    .filter_map(|(name, value)| Some((name.as_str(), value.eval(&told).ok()?.to_value())))
                    .collect(),
            };
            let touches = self.touches_of(&news).into_iter();
            made.extend(touches.map(|(rule, key, touch)| Sent { rule, key, touch, resolved: on == EmitOn::Resolved }));
        }
        made
    }

    /// Tells those who build on it that a breaker has changed. Nothing takes that back.
    pub(crate) fn announce(&mut self, breaker: u32, change: &BreakerChange) {
        let (owner, definition) = self.program.breaker(breaker);
        let event = definition.changes();
        let Some(pack) = self.program.packs().iter().position(|pack| pack.name == owner.name) else { return };
        let scope = change.scope.iter().filter_map(|(name, value)| Some((name.as_str(), value.clone()?)));
        let mut attrs: Vec<(&str, Value)> = scope.collect();
        attrs.push(("breaker", Value::from(change.id.as_str())));
        attrs.push(("state", Value::from(change.state.as_str())));
        let mut of = change.network.as_bytes().to_vec();
        for (name, value) in &attrs {
            of.extend_from_slice(name.as_bytes());
            key::push(&mut of, &Val::from(value));
        }
        let news = News {
            pack: pack as u16,
            event: &event,
            network: &change.network,
            node: attrs.iter().find(|(name, _)| *name == "node").map(|(_, node)| node),
            at: change.since,
            identity: identity(&of, &event, change.since),
            position: event::Position::default(),
            attrs: attrs.clone(),
        };
        for (rule, key, touch) in self.touches_of(&news) {
            let at = KeyAt::since(0, &key);
            self.state.mail.push(touch, rule, at, &key, false);
        }
    }

    /// The parts that an event of Invar's own plays in the rules of its pack, with their keys.
    fn touches_of(&mut self, news: &News<'_>) -> Vec<(RuleIdx, Box<[u8]>, Touch)> {
        let node = match news.node {
            Some(Value::String(node)) => node,
            _ => "",
        };
        let source = SourceState::named(news.network, node, "invar");
        let event = self.event(news.event);
        let value = |column: &Column| {
            let of_event = news.attrs.iter().filter(|_| !column.of_resource);
            of_event.into_iter().find(|(name, _)| *name == column.name).map(|(_, value)| value.as_ref())
        };
        let columns: Vec<Option<ValueRef<'_>>> = self.columns(event).iter().map(value).collect();
        let row = Row {
            event,
            name: news.event,
            source: u32::MAX,
            ts: news.at,
            sent: news.at,
            arrived: news.at,
            identity: news.identity,
            position: news.position,
            severity: 0,
            body: ValueRef::Null,
            trace_id: "",
            process: None,
            columns: &columns,
        };
        self.touches(news.pack, &row, &source)
    }

    /// The parts that an event plays in the rules of a pack that name it in full, with their keys.
    pub(crate) fn touches(
        &mut self,
        pack: u16,
        row: &Row<'_>,
        source: &SourceState,
    ) -> Vec<(RuleIdx, Box<[u8]>, Touch)> {
        let mut landings = Landings::default();
        let arrival = Arrival { program: &self.program, traits: &self.traits, row, source, known: None };
        let routes = self.wanted.get(row.event as usize).map_or(&[][..], |wanted| &wanted.routes);
        for route in routes.iter().filter(|route| route.pack == pack) {
            let literal = self.program.pattern(route).name.literal().is_some();
            if literal && !route.reads && matches!(route.target, Target::Role { .. }) {
                arrival.route(route, &mut landings);
            }
        }
        for rule in landings.keyless() {
            self.state.tallies[rule as usize].keyless += 1;
        }
        landings.touches()
    }

    /// Puts touches in the place of others that were made before.
    pub(crate) fn replace(&mut self, old: Vec<Sent>, new: Vec<Sent>) -> Vec<Sent> {
        for gone in old.iter().filter(|old| !new.contains(old)) {
            let key = KeyAt::since(0, &gone.key);
            self.state.mail.take_back(gone.touch.clone(), gone.rule, key, &gone.key);
            self.state.corrections = true;
        }
        for sent in new.iter().filter(|new| !old.contains(new)) {
            let key = KeyAt::since(0, &sent.key);
            let late = !self.offline && sent.touch.at.ts < self.state.judged_to;
            self.state.mail.push(sent.touch.clone(), sent.rule, key, &sent.key, late);
            self.state.corrections |= late;
        }
        new
    }
}

/// Tells an event that something made from all others: the same however often that comes about.
fn identity(of: &[u8], name: &str, at: Timestamp) -> Identity {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(of);
    bytes.extend_from_slice(&at.0.to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
    Identity(xxhash_rust::xxh3::xxh3_128(&bytes))
}

/// An event of Invar's own.
struct News<'a> {
    /// The pack whose rules may build on it.
    pack: u16,
    event: &'a str,
    network: &'a str,
    node: Option<&'a Value>,
    at: Timestamp,
    identity: Identity,
    /// Of the event that proves it.
    position: event::Position,
    attrs: Vec<(&'a str, Value)>,
}

/// What an emitted event's attributes may speak of.
struct Told<'a> {
    emit: &'a Emit,
    names: &'a [String],
    emitted: &'a Emitted,
    at: Timestamp,
}

impl Env for Told<'_> {
    fn slot(&self, slot: u16) -> Option<Val<'_>> {
        let name = self.emit.names.get(slot as usize)?;
        if let Some(place) = self.names.iter().position(|part| part == name) {
            return self.emitted.key.get(place)?.as_ref().map(Val::from);
        }
        if name == "at" {
            return Some(Val::Timestamp(self.at));
        }
        self.emitted.values.iter().find(|(known, _)| known == name).map(|(_, value)| Val::from(value))
    }

    fn role(&self, _: RoleIdx, _: u16) -> Option<Val<'_>> {
        None
    }
}
