//! Events that verdicts make, for the rules that build on other rules.
//!
//! A rule rests on rules above it in its pack alone, so rules stand in strata: those of one are judged up to the frontier
//! before those of the next, and what their verdicts make is there when the next ones are judged. A verdict that is
//! corrected takes back what was made of it, and those that built on it are judged again.
use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};
use event::{Identity, Timestamp, Value, ValueRef};

use crate::{
    arrival::{Arrival, Landed, Landings},
    engine::{Engine, PARTITIONS},
    expr::{AsOf, Env, Val},
    pack::{Emit, EmitOn, RoleIdx},
    program::{Program, RuleIdx, Target, Traits},
    row::Row,
    source::SourceState,
    touch::{KeyAt, Touch},
    verdict::{Output, Violation, ViolationId},
};

/// How many verdicts are remembered for what was made of them.
const EMITTED_MAX: usize = 65_536;

/// What was made of one violation.
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

/// A touch that was made.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Sent {
    rule: RuleIdx,
    key: Box<[u8]>,
    touch: Touch,
    resolved: bool,
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
        emitted.touches.retain_mut(|sent| number(sent.rule).map(|rule| sent.rule = rule).is_some());
        number(emitted.rule).map(|rule| emitted.rule = rule).is_some()
    };
    emissions.retain(|_, emitted| follow(emitted));
    unmade.retain_mut(|(_, emitted)| follow(emitted));
}

/// Forgets what nothing can correct any more.
pub(crate) fn prune(emissions: &mut Emissions, floor: Timestamp) {
    emissions.retain(|_, emitted| emitted.open || emitted.at >= floor);
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

/// The stratum of each rule: above those whose verdicts it builds on.
pub(crate) fn strata(program: &Program, traits: &mut [Traits]) -> u8 {
    let mut highest = 0;
    // Rules rest on those above them, so one pass sees all.
    for (number, pack, rule) in program.rules() {
        let mut own = 0;
        for name in rule.roles.iter().flat_map(|role| &role.alternatives).filter_map(|pattern| pattern.name.literal()) {
            for (other, of, makes) in program.rules() {
                if other < number && of.name == pack.name && makes.emits.iter().any(|emit| emit.event == name) {
                    own = own.max(traits[other as usize].stratum.saturating_add(1));
                }
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
                        self.emit_violation(violation.id, emitted);
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
                Output::Retracted { id, .. } => {
                    let taken = self.state.emitted.remove(id).map(|emitted| emitted.touches);
                    self.replace(taken.unwrap_or_default(), Vec::new());
                }
                Output::Resolved { .. } | Output::LateResolved { .. } | Output::Breaker(_) => {}
            }
        }
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
        passed.into_iter().for_each(|(id, emitted)| self.emit_violation(id, emitted));
    }

    fn emits(&self, rule: RuleIdx, on: EmitOn) -> bool {
        self.program.rule(rule).1.emits.iter().any(|emit| emit.on == on)
    }

    /// What a violation is for those who build on it; none when its rule makes nothing of verdicts.
    pub(crate) fn emitted(&self, violation: &Violation) -> Option<Emitted> {
        if self.program.rule(violation.rule).1.emits.is_empty() {
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

    fn emit_violation(&mut self, id: ViolationId, mut emitted: Emitted) {
        let known = self.state.emitted.remove(&id);
        let made = self.make(id, &emitted, EmitOn::Violated, emitted.at);
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
        let own_pack = self.program.pack_of(emitted.rule);
        let names: Vec<String> = rule.key.iter().map(|part| part.name.clone()).collect();
        let node = names.iter().position(|name| name == "node").and_then(|place| emitted.key.get(place)?.as_ref());
        let node = match node {
            Some(Value::String(node)) => String::from(&**node),
            _ => String::new(),
        };
        let source = SourceState::named(&emitted.network, &node, "invar");
        let mut made = Vec::new();
        for emit in emits {
            let event = self.event(&emit.event);
            let told = Told { emit: &emit, names: &names, emitted, at };
            let attrs: Vec<(&str, Value)> = emit
                .attrs
                .iter()
                .filter_map(|(name, value)| Some((name.as_str(), value.eval(&told).ok()?.to_value())))
                .collect();
            let columns: Vec<Option<ValueRef<'_>>> = self
                .columns(event)
                .iter()
                .map(|column| {
                    let of_event = attrs.iter().filter(|_| !column.of_resource);
                    of_event.into_iter().find(|(name, _)| *name == column.name).map(|(_, value)| value.as_ref())
                })
                .collect();
            let row = Row {
                event,
                name: &emit.event,
                source: u32::MAX,
                ts: at,
                sent: at,
                arrived: at,
                identity: identity(id, &emit.event, at),
                position: emitted.position,
                severity: 0,
                body: ValueRef::Null,
                trace_id: "",
                process: None,
                columns: &columns,
            };
            let mut landings = Landings::default();
            let arrival = Arrival { program: &self.program, traits: &self.traits, row: &row, source: &source };
            let routes = self.wanted.get(event as usize).map_or(&[][..], |wanted| &wanted.routes);
            for route in routes.iter().filter(|route| route.pack == own_pack) {
                let literal = self.program.pattern(route).name.literal().is_some();
                if literal && matches!(route.target, Target::Role { .. }) {
                    arrival.route(route, &mut landings);
                }
            }
            for landing in landings.list {
                let (Target::Role { rule, role }, alternative) = (landing.target, landing.alternative) else {
                    continue;
                };
                match landing.what {
                    Landed::Keyed { key, slots } => made.push(Sent {
                        rule,
                        key: key.of(&landings.keys).into(),
                        touch: Touch { at: landing.at, role, alternative, slots },
                        resolved: on == EmitOn::Resolved,
                    }),
                    Landed::Keyless => self.state.tallies[rule as usize].keyless += 1,
                    Landed::Wide { .. } | Landed::Fact { .. } | Landed::Judged { .. } => {}
                }
            }
        }
        made
    }

    /// Puts touches in the place of others that were made before.
    fn replace(&mut self, old: Vec<Sent>, new: Vec<Sent>) -> Vec<Sent> {
        for gone in old.iter().filter(|old| !new.contains(old)) {
            let key = KeyAt::since(0, &gone.key);
            let partition = &mut self.state.partitions[key.hash as usize % PARTITIONS];
            partition.take_back(gone.touch.clone(), gone.rule, key, &gone.key);
            self.state.corrections = true;
        }
        for sent in new.iter().filter(|new| !old.contains(new)) {
            let key = KeyAt::since(0, &sent.key);
            let late = !self.offline && sent.touch.at.ts < self.state.judged_to;
            let partition = &mut self.state.partitions[key.hash as usize % PARTITIONS];
            partition.push(sent.touch.clone(), sent.rule, key, &sent.key, late);
            self.state.corrections |= late;
        }
        new
    }
}

/// Tells an event that a verdict made from all others: the same however often that verdict is reached.
fn identity(of: ViolationId, name: &str, at: Timestamp) -> Identity {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&of.0);
    bytes.extend_from_slice(&at.0.to_le_bytes());
    bytes.extend_from_slice(name.as_bytes());
    Identity(xxhash_rust::xxh3::xxh3_128(&bytes))
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

    fn fact(&self, _: u16, _: &[Val<'_>], _: AsOf) -> Option<Val<'_>> {
        None
    }
}
