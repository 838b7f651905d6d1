//! What all partitions share while they work: the program, facts, spans, restarts. Read only, so that partitions could
//! work side by side.
use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};
use core::cell::Cell;
use event::{Timestamp, Value};
use smallvec::SmallVec;

use crate::{
    breaker::Breakers,
    clock::Clocks,
    emission::{Emitted, Made},
    fact::Facts,
    history::Epochs,
    key::{self, PartialKey},
    kind::{Anchor, Automaton, Ctx, Found, Part, Tally, What},
    pack::{BEFORE_NAME, EmitOn, Kind, Rule},
    partition::Said,
    program::{Program, RuleIdx, Traits},
    scope::Scope,
    source::{Sources, Timing},
    touch::Touch,
    undecided::Undecided,
    verdict::{Cited, EventRef, Missing, Output, Violation, ViolationId},
};

/// See the module.
pub(crate) struct World<'a> {
    pub(crate) program: &'a Program,
    pub(crate) traits: &'a [Traits],
    pub(crate) sources: &'a Sources,
    pub(crate) facts: &'a Facts,
    pub(crate) clocks: &'a Clocks,
    pub(crate) scopes: &'a [Scope],
    pub(crate) wides: &'a [Vec<(Touch, PartialKey)>],
    pub(crate) restarts: &'a [Restart],
    pub(crate) timing: &'a Timing,
    pub(crate) offline: bool,
    /// What came before is shown, from some time on.
    pub(crate) recalls: bool,
    /// Time runs on after the last event: levels that only time could start do not.
    pub(crate) completing: bool,
    pub(crate) partitions: u64,
    /// Everything before this has been judged already.
    pub(crate) judged_to: Timestamp,
    pub(crate) epochs: &'a Epochs,
    pub(crate) breakers: &'a Breakers,
    /// Of each rule the events of which nobody knows what part they play.
    pub(crate) undecided: &'a [Undecided],
    /// Since when each rule has seen everything.
    pub(crate) since: &'a [Timestamp],
}

/// The start of a process that is not its node's first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) struct Restart {
    pub(crate) at: EventRef,
    pub(crate) node: u32,
    /// The pack whose lifecycle names the start event; none: a new process was seen.
    pub(crate) pack: Option<u16>,
}

/// Something that concerns many instances of a rule at once.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Interruption {
    pub(crate) rule: RuleIdx,
    pub(crate) what: Why,
    /// The frontier had passed it when it came: instances must run again.
    pub(crate) late: bool,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Why {
    /// An event with a shorter key.
    Wide(Touch, PartialKey),
    /// A restart of this node.
    Restart(EventRef, u32),
    /// What conditions read is different from this time on: a fact, a span.
    Changed(Timestamp),
    /// A clock by which deadlines are counted moves.
    Ticked(Timestamp),
    /// What this node said at that time, or later, was not judged; none: what any node said.
    Hidden(Timestamp, Option<u32>),
}

impl Interruption {
    pub(crate) fn ts(&self) -> Timestamp {
        match &self.what {
            Why::Wide(touch, _) => touch.ts(),
            Why::Restart(at, _) => at.ts,
            Why::Changed(at) | Why::Ticked(at) | Why::Hidden(at, _) => *at,
        }
    }

    pub(crate) fn concerns(&self, world: &World<'_>, key: &[u8]) -> bool {
        match &self.what {
            Why::Wide(_, partial) => partial.agrees(key),
            Why::Restart(_, node) => world.is_of_node(self.rule, key, *node),
            Why::Hidden(_, Some(node)) => world.may_miss(self.rule, key, *node),
            Why::Changed(_) | Why::Ticked(_) | Why::Hidden(_, None) => true,
        }
    }

    /// Whether it takes back what was found and does nothing else: whoever found nothing that can be corrected is not concerned.
    pub(crate) fn takes_back(&self) -> bool {
        matches!(self.what, Why::Hidden(..))
    }
}

impl<'a> World<'a> {
    /// Whether late evidence may yet correct what happened at a time. What comes in order is not corrected, but what is shown
    /// of the past may be when it has been taken over.
    pub(crate) fn corrects(&self, ts: Timestamp) -> bool {
        !self.offline || (self.recalls && ts >= self.epochs.floor())
    }

    pub(crate) fn rule(&self, rule: RuleIdx) -> &'a Rule {
        self.program.rule(rule).1
    }

    pub(crate) fn wides(&self, rule: RuleIdx) -> &'a [(Touch, PartialKey)] {
        &self.wides[rule as usize]
    }

    /// What an automaton of the rule may look at; what it judges is counted in `tally`.
    /// What happened to the key up to `forgotten` may not be known.
    pub(crate) fn ctx<'k>(
        &'k self,
        number: RuleIdx,
        key: &'k [u8],
        forgotten: Timestamp,
        tally: &'k mut Tally,
    ) -> Ctx<'k> {
        let (pack, rule) = self.program.rule(number);
        Ctx {
            world: self,
            rule,
            number,
            traits: &self.traits[number as usize],
            pack,
            key,
            replaying: false,
            known: &[],
            forgotten: Cell::new(forgotten),
            undecided: Cell::new(false),
            taken_back: Cell::new(0),
            found: Vec::new(),
            woken: Vec::new(),
            tally,
        }
    }

    /// Whether the key names that node.
    pub(crate) fn is_of_node(&self, rule: RuleIdx, key: &[u8], node: u32) -> bool {
        let across = self.rule(rule).across_networks;
        let mut parts = key::parts(key);
        let Some(state) = self.sources.nodes.get(node as usize) else { return false };
        let same_network = across || parts.next().and_then(key::text) == Some(&state.network);
        let part = self.traits[rule as usize].node_part.and_then(|part| parts.nth(part)).and_then(key::text);
        same_network && part == Some(&state.node)
    }

    /// Whether a verdict on the key may miss something that this node says.
    fn may_miss(&self, rule: RuleIdx, key: &[u8], node: u32) -> bool {
        let definition = self.rule(rule);
        if self.traits[rule as usize].node_part.is_some() && !matches!(definition.kind, Kind::Expected { .. }) {
            return self.is_of_node(rule, key, node);
        }
        let network = self.sources.nodes.get(node as usize).map(|state| state.network.as_str());
        definition.across_networks || key::parts(key).next().and_then(key::text) == network
    }

    /// The restarts of the key's node that the rule's pack knows, by time.
    pub(crate) fn restarts(&self, rule: RuleIdx, key: &[u8]) -> impl Iterator<Item = EventRef> {
        self.restarts
            .iter()
            .filter(move |restart| {
                self.program.knows(&self.traits[rule as usize], rule, restart.pack)
                    && self.is_of_node(rule, key, restart.node)
            })
            .map(|restart| restart.at)
    }

    /// The times in [from, to) at which a clock moves by which the rule counts its deadlines, or the members change whom
    /// it measures.
    pub(crate) fn ticks(&self, rule: RuleIdx, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        self.traits[rule as usize].ticks(self.clocks, self.facts, from, to)
    }

    /// When an automaton of that rule next falls due.
    pub(crate) fn next_due(&self, rule: RuleIdx, automaton: &Automaton) -> Option<Timestamp> {
        let rule = self.rule(rule);
        let only_time = self.completing && matches!(rule.kind, Kind::Heartbeat { .. });
        if only_time { None } else { automaton.next_due(rule) }
    }

    /// When an instance last touched at `last` may be forgotten.
    pub(crate) fn forget_at(&self, rule: RuleIdx, last: Timestamp) -> Timestamp {
        let horizon = Automaton::horizon(self.rule(rule));
        // What a late event may still ask for lies that much further back.
        last.plus(if self.offline { horizon } else { horizon.saturating_add(self.timing.correct_for) })
    }

    /// The name of the violation of this instance with that anchor.
    pub(crate) fn violation_id(&self, rule: RuleIdx, key: &[u8], anchor: &Anchor) -> ViolationId {
        violation_id(&self.traits[rule as usize].id_prefix, key, anchor)
    }

    /// The name of a finding of this instance: that of its violation, or one beside it.
    pub(crate) fn finding_id(&self, rule: RuleIdx, key: &[u8], found: &Found) -> ViolationId {
        let id = self.violation_id(rule, key, &found.anchor);
        match found.what {
            What::Made { on, .. } => beside(id, on),
            _ => id,
        }
    }

    /// Says what was found.
    pub(crate) fn say(&self, rule: RuleIdx, key: &[u8], id: ViolationId, found: &Found, grown: bool, said: &mut Said) {
        said.outputs.push(match &found.what {
            What::Made { on, at, proof } => {
                let definition = self.rule(rule);
                let kept = definition.emits.iter().filter(|emit| emit.on == *on).flat_map(|emit| &emit.kept);
                let names = definition.kind.measured().into_iter().chain(kept.map(|(name, ..)| name.clone()));
                let values = names.zip(&found.values).filter_map(|(name, value)| Some((name, value.clone()?)));
                let (network, mut key) = read_key(definition, key);
                key.extend(found.member.clone().map(Some));
                let emitted = Emitted::new(rule, network, key, values.collect(), *at, proof.position);
                said.made.push(Made::Now(id, *on, emitted));
                return;
            }
            What::Unsaid => Output::Retracted { id, rule },
            What::Resolved(at) => Output::Resolved { id, rule, at: *at },
            What::Late(role, event) => {
                Output::LateResolved { id, rule, by: Cited { role: self.part(rule, Part::Role(*role)), event: *event } }
            }
            What::Violated { at, evidence, missing, level } => {
                let definition = self.rule(rule);
                let (network, mut key) = read_key(definition, key);
                key.extend(found.member.clone().map(Some));
                let mut evidence: Vec<Cited> = evidence
                    .iter()
                    .map(|(part, event)| Cited { role: self.part(rule, *part), event: *event })
                    .collect();
                evidence.sort_by_key(|cited| cited.event);
                Output::Violated(Violation {
                    id,
                    rule,
                    network,
                    key,
                    at: *at,
                    evidence,
                    missing: missing.map(|(role, by)| Missing {
                        role: self.part(rule, Part::Role(role)),
                        event: definition.roles.get(role as usize).map(|role| role.label.clone()).unwrap_or_default(),
                        by,
                        from: found.from.clone(),
                    }),
                    values: definition
                        .kind
                        .measured()
                        .into_iter()
                        .zip(&found.values)
                        .filter_map(|(name, value)| Some((name, value.clone()?)))
                        .collect(),
                    level: *level,
                    grown,
                })
            }
        });
    }

    fn part(&self, rule: RuleIdx, part: Part) -> Arc<str> {
        let name =
            |role: u8| self.rule(rule).roles.get(role as usize).map(|role| role.name.clone()).unwrap_or_default();
        match part {
            Part::Role(role) => name(role),
            Part::Dissent(_) => "dissent".into(),
            Part::Before => BEFORE_NAME.into(),
            Part::Restart => "restart".into(),
        }
    }
}

/// What the names of all violations of a rule begin with, before they are hashed.
pub(crate) fn id_prefix(pack: &str, rule: &str) -> Box<[u8]> {
    let mut prefix = Vec::new();
    for part in [pack.as_bytes(), rule.as_bytes()] {
        prefix.extend_from_slice(&(part.len() as u64).to_le_bytes());
        prefix.extend_from_slice(part);
    }
    prefix.into()
}

/// A hash of pack, rule, key and anchor.
pub(crate) fn violation_id(prefix: &[u8], key: &[u8], anchor: &Anchor) -> ViolationId {
    let mut bytes: SmallVec<[u8; 256]> = SmallVec::from_slice(prefix);
    bytes.extend_from_slice(&(key.len() as u64).to_le_bytes());
    bytes.extend_from_slice(key);
    let event = |bytes: &mut SmallVec<[u8; 256]>, event: &EventRef| {
        bytes.extend_from_slice(&event.identity.0.to_le_bytes());
        bytes.extend_from_slice(&event.element.to_le_bytes());
    };
    match anchor {
        Anchor::Key => bytes.push(0),
        Anchor::Event(of) => {
            bytes.push(1);
            event(&mut bytes, of);
        }
        Anchor::Time(ts) => {
            bytes.push(2);
            bytes.extend_from_slice(&ts.0.to_le_bytes());
        }
        Anchor::Member(of, member) => {
            bytes.push(3);
            event(&mut bytes, of);
            bytes.extend_from_slice(&member.to_le_bytes());
        }
        Anchor::Peer(ts, member) => {
            bytes.push(4);
            bytes.extend_from_slice(&ts.0.to_le_bytes());
            bytes.extend_from_slice(&member.to_le_bytes());
        }
    }
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..16]);
    ViolationId(id)
}

/// The name of what is made of something that is no violation, where that one would have this name.
fn beside(id: ViolationId, on: EmitOn) -> ViolationId {
    let mut bytes = [0; 17];
    bytes[..16].copy_from_slice(&id.0);
    bytes[16] = on as u8;
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..16]);
    ViolationId(id)
}

/// The network and the declared parts of an encoded key.
pub(crate) fn read_key(rule: &Rule, key: &[u8]) -> (String, Vec<Option<Value>>) {
    let mut parts = key::parts(key);
    let network = if rule.across_networks { None } else { parts.next().and_then(key::text) };
    (network.unwrap_or_default().into(), parts.map(key::decode).collect())
}
