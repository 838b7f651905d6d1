//! The engine: takes rows and ticks, keeps the shared state, and has partitions judge.
use alloc::{boxed::Box, collections::BTreeMap, string::String, vec, vec::Vec};
use core::time::Duration;
use event::{Timestamp, Value};
use hashbrown::{HashMap, HashSet};

use crate::{
    arrival::{Arrival, Landed, Landing, Landings},
    breaker::{Breaker, BreakerChange, Policy, Signal},
    clock::Clocks,
    expr::Val,
    fact::{Facts, Horizon},
    history::Epochs,
    hold::Hold,
    key::{self, PartialKey},
    kind::{Anchor, Tally},
    pack::{Kind, Mode},
    partition::{Partition, Said},
    program::{Column, Program, Route, RuleIdx, Target, Traits, Wanted},
    remembered::Remembered,
    row::{EventIdx, Row},
    scope::Scope,
    source::{SourceIdx, SourceState, Sources, Timing},
    touch::Touch,
    verdict::{Cited, EventRef, Output, Unknown, Violation},
    world::{Interruption, Restart, Why, World, read_key, violation_id},
};

/// The number of virtual partitions. Fixed, so that neither threads nor machines can change a verdict.
pub(crate) const PARTITIONS: usize = 256;

/// How many event names are told apart before names that only globs match are looked up anew each time.
const NAMES_MAX: usize = 65_536;

/// How many events with shorter keys are kept per rule.
const WIDES_MAX: usize = 65_536;

/// Into how many parts the time is cut for which late events correct verdicts.
const EPOCHS: u32 = 4;

/// What keeping one thing that an instance did is taken to cost; fixed, so that memory's layout cannot change a verdict.
const LOGGED_BYTES: u64 = 160;

/// How complete the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Events come as they come; time is the journal's.
    Live,
    /// All events come in order of time, and nothing came before them.
    Offline,
}

/// How many events went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Census {
    /// Rows taken.
    pub events: u64,
    /// Known already.
    pub duplicates: u64,
    /// Behind the frontier, and judged by correction.
    pub late: u64,
    /// Too far behind to be judged.
    pub too_late: u64,
    /// Too far ahead of their arrival to be judged.
    pub future: u64,
}

/// See the crate.
pub struct Engine {
    pub(crate) program: Program,
    traits: Vec<Traits>,
    /// How long each fact's history is needed.
    horizons: Vec<Horizon>,
    names: HashMap<String, EventIdx, foldhash::fast::FixedState>,
    wanted: Vec<Wanted>,
    pub(crate) timing: Timing,
    pub(crate) offline: bool,
    pub(crate) enforce_breakers: bool,
    pub(crate) state: EngineState,
    /// Emptied after each row; kept for its memory.
    landings: Landings,
}

/// Breakers by pack and id, then by scope.
pub(crate) type Breakers = BTreeMap<(String, String), BTreeMap<Box<[u8]>, Breaker>>;

/// All that a checkpoint keeps.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct EngineState {
    pub(crate) sources: Sources,
    pub(crate) remembered: Remembered,
    pub(crate) facts: Facts,
    pub(crate) clocks: Clocks,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) wides: Vec<Vec<(Touch, PartialKey)>>,
    pub(crate) restarts: Vec<Restart>,
    pub(crate) dirty: Vec<Interruption>,
    /// Events that the frontier has not passed.
    pub(crate) held: Hold,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) epochs: Epochs,
    /// How many things were logged that instances did, when the running epoch began.
    pub(crate) logged: u64,
    pub(crate) tallies: Vec<Tally>,
    pub(crate) breakers: Breakers,
    pub(crate) judged_to: Timestamp,
    pub(crate) pruned: Timestamp,
    pub(crate) last_ts: Timestamp,
    pub(crate) census: Census,
    /// Late touches wait in some partition.
    pub(crate) corrections: bool,
    /// Said on arrival, or by breakers; empty after each tick.
    #[serde(skip)]
    pub(crate) early: Vec<Output>,
}

/// How a rule is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// What was judged.
    pub tally: Tally,
    /// Instances kept.
    pub instances: u64,
    /// Obligations and levels open.
    pub open: u64,
}

impl Engine {
    /// An engine that has seen nothing.
    #[must_use]
    pub fn new(program: Program, timing: Timing, input: Input) -> Self {
        let rules = program.rules().count();
        let state = EngineState {
            facts: Facts::with_tables(program.fact_count()),
            clocks: Clocks::with_tables(program.clocks().count()),
            scopes: vec![Scope::default(); rules],
            wides: vec![Vec::new(); rules],
            partitions: (0..PARTITIONS).map(|_| Partition::with_rules(rules)).collect(),
            tallies: vec![Tally::default(); rules],
            ..EngineState::default()
        };
        Self::with_state(program, timing, input, state)
    }

    pub(crate) fn with_state(program: Program, timing: Timing, input: Input, state: EngineState) -> Self {
        let traits: Vec<Traits> =
            (0..program.rules().count() as RuleIdx).map(|rule| Traits::of(&program, rule)).collect();
        let horizons = program.horizons(&traits);
        let mut engine = Engine {
            names: HashMap::default(),
            wanted: vec![Wanted::default()],
            traits,
            horizons,
            program,
            timing,
            offline: input == Input::Offline,
            enforce_breakers: false,
            state,
            landings: Landings::default(),
        };
        let named = engine.program.names();
        for name in named {
            engine.learn(&name);
        }
        engine
    }

    /// The running program.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The number of an event's name. Number 0 is every name that no pattern matches.
    pub fn event(&mut self, name: &str) -> EventIdx {
        match self.names.get(name) {
            Some(&known) => known,
            None if !self.program.has_globs() => 0,
            None => self.learn(name),
        }
    }

    fn learn(&mut self, name: &str) -> EventIdx {
        let mut wanted = self.program.wanted(name);
        for route in &mut wanted.routes {
            route.at_once = self.is_at_once(route.target);
        }
        wanted.waits = wanted.routes.iter().any(|route| !route.at_once);
        if self.wanted.len() > NAMES_MAX {
            // The last place serves all names beyond the bound, one after the other.
            if let Some(last) = self.wanted.last_mut() {
                *last = wanted;
            }
            return (self.wanted.len() - 1) as EventIdx;
        }
        let number = if wanted.routes.is_empty() {
            0
        } else {
            self.wanted.push(wanted);
            (self.wanted.len() - 1) as EventIdx
        };
        if self.wanted.len() <= NAMES_MAX && self.names.len() <= NAMES_MAX {
            self.names.insert(name.into(), number);
        }
        number
    }

    /// Whether an event has its effect when it arrives: what is judged alone is said at once, what is derived is an event of
    /// its own, and breakers live in the time of arrivals.
    fn is_at_once(&self, target: Target) -> bool {
        match target {
            Target::Derive { .. } | Target::Success { .. } => true,
            Target::Role { rule, role } if self.traits[rule as usize].stateless => {
                matches!(self.program.rule(rule).1.kind, Kind::Never { of } | Kind::Always { of, .. } if of == role)
            }
            _ => false,
        }
    }

    /// What a row of that event must hold.
    #[must_use]
    pub fn columns(&self, event: EventIdx) -> &[Column] {
        self.wanted.get(event as usize).map_or(&[], |wanted| &wanted.columns)
    }

    /// The number of a source.
    pub fn source(&mut self, network: &str, node: &str, component: &str) -> SourceIdx {
        self.state.sources.source(network, node, component)
    }

    /// All sources.
    #[must_use]
    pub fn sources(&self) -> &[SourceState] {
        &self.state.sources.states
    }

    /// The source that holds the frontier back most.
    #[must_use]
    pub fn slowest(&self) -> Option<&SourceState> {
        self.state.sources.slowest(&self.timing)
    }

    /// Everything before this instant is believed complete and has been judged.
    #[must_use]
    pub fn frontier(&self) -> Timestamp {
        self.state.judged_to
    }

    /// How many events went which way.
    #[must_use]
    pub fn census(&self) -> Census {
        self.state.census
    }

    /// How a rule is doing.
    #[must_use]
    pub fn health(&self, rule: RuleIdx) -> Health {
        let partitions = &self.state.partitions;
        Health {
            tally: self.state.tallies.get(rule as usize).copied().unwrap_or_default(),
            instances: partitions.iter().map(|partition| partition.instance_count(rule)).sum(),
            open: partitions.iter().map(|partition| partition.open_count(rule, self.program.rule(rule).1)).sum(),
        }
    }

    /// What a rule was found to be, without counting what is open: cheap.
    #[must_use]
    pub fn tally(&self, rule: RuleIdx) -> Tally {
        self.state.tallies.get(rule as usize).copied().unwrap_or_default()
    }

    /// How many instances are kept, buffered touches and deadlines included; what memory follows.
    #[must_use]
    pub fn size(&self) -> u64 {
        let rules = self.traits.len() as RuleIdx;
        let instances = |partition: &Partition| (0..rules).map(|rule| partition.instance_count(rule)).sum::<u64>();
        let partitions = self.state.partitions.iter();
        self.state.held.len() as u64
            + partitions.map(|partition| instances(partition) + partition.waiting() as u64).sum::<u64>()
    }

    /// Takes one event.
    pub fn row(&mut self, row: &Row<'_>) {
        self.state.census.events += 1;
        if !self.state.remembered.insert(row.identity) {
            self.state.census.duplicates += 1;
            return;
        }
        if !self.offline && row.ts > row.arrived.plus(self.timing.future) {
            self.state.census.future += 1;
            self.state.sources.missed(row.source, row.ts, Unknown::Future);
            return;
        }
        self.state.last_ts = self.state.last_ts.max(row.ts);
        let live = self.state.sources.heard(&self.timing, row.source, row.ts, row.sent, row.arrived);
        if let Some(from) = live.filter(|from| *from < self.state.judged_to) {
            for rule in (0..self.traits.len()).filter(|rule| self.traits[*rule].reads_live) {
                let what = Why::Changed(from);
                self.state.dirty.push(Interruption { rule: rule as RuleIdx, what, late: true });
            }
        }
        if let Some(process) = row.process {
            let at = EventRef { ts: row.ts, identity: row.identity, element: 0, position: row.position };
            if let Some(node) = self.state.sources.process(row.source, process, at) {
                self.processes_changed(node, at.ts);
            }
        }
        if row.event == 0 {
            return;
        }
        if row.ts < self.state.judged_to {
            if row.ts < self.floor() {
                self.state.census.too_late += 1;
                self.state.sources.missed(row.source, row.ts, Unknown::TooLate);
                return;
            }
            self.state.census.late += 1;
        }
        self.arrive(row, 0);
    }

    /// Has a row, or an event derived from one, play the parts that it plays at once, and keeps it for the others until the
    /// frontier has passed it.
    pub(crate) fn arrive(&mut self, row: &Row<'_>, depth: usize) {
        let Some(wanted) = self.wanted.get(row.event as usize) else { return };
        let waits = wanted.waits && row.ts >= self.state.judged_to;
        self.play(row, depth, |route| !waits || route.at_once);
        if waits {
            self.state.held.push(row);
        }
    }

    /// Has the rows before `to` play the parts for which they waited.
    fn release(&mut self, to: Timestamp) {
        let mut held = core::mem::take(&mut self.state.held);
        held.release(to, |row| self.play(row, 0, |route| !route.at_once));
        self.state.held = held;
    }

    /// Gives events of another program their numbers and columns in this one; `known` has the columns that they came with.
    pub(crate) fn relearn(&mut self, known: &HashMap<String, Vec<Column>, foldhash::fast::FixedState>) {
        let mut held = core::mem::take(&mut self.state.held);
        held.release(Timestamp::MAX, |row| {
            let event = self.event(row.name);
            let Some(wanted) = self.wanted.get(event as usize).filter(|wanted| wanted.waits) else { return };
            let came_with = known.get(row.name).map_or(&[][..], Vec::as_slice);
            let column = |column: &Column| *row.columns.get(came_with.iter().position(|known| known == column)?)?;
            let columns: Vec<Option<event::ValueRef<'_>>> = wanted.columns.iter().map(column).collect();
            self.state.held.push(&Row { event, columns: &columns, ..*row });
        });
    }

    /// Has the rows that wait play their parts for the rules that are in force.
    pub(crate) fn settle_held(&mut self) {
        self.release(Timestamp::MAX);
    }

    /// The columns of the events that wait, by name.
    pub(crate) fn held_columns(&self) -> HashMap<String, Vec<Column>, foldhash::fast::FixedState> {
        let events: HashSet<EventIdx, foldhash::fast::FixedState> = self.state.held.events().collect();
        let named = self.names.iter().filter(|(_, event)| events.contains(*event));
        named.map(|(name, event)| (name.clone(), self.columns(*event).to_vec())).collect()
    }

    /// Has a row play the parts that `plays` chooses.
    fn play(&mut self, row: &Row<'_>, depth: usize, plays: impl Fn(&Route) -> bool) {
        let mut landings = core::mem::take(&mut self.landings);
        if let Some(source) = self.state.sources.states.get(row.source as usize) {
            let arrival = Arrival { program: &self.program, traits: &self.traits, row, source };
            let routes = self.wanted.get(row.event as usize).map_or(&[][..], |wanted| &wanted.routes);
            for route in routes.iter().filter(|route| plays(route)) {
                arrival.route(route, &mut landings);
            }
        }
        landings.judge_once();
        let Landings { list, keys, .. } = &mut landings;
        for landing in list.drain(..) {
            match landing.target {
                Target::Derive { pack, derive } => self.derived(pack, derive, &landing, row, depth),
                _ => self.land(landing, keys, row),
            }
        }
        landings.clear();
        self.landings = landings;
    }

    fn floor(&self) -> Timestamp {
        if self.offline {
            return self.state.judged_to;
        }
        self.state.judged_to.minus(self.timing.correct_for).max(self.state.epochs.floor())
    }

    /// Gives an event's part its effect.
    fn land(&mut self, landing: Landing, keys: &[u8], row: &Row<'_>) {
        let late = landing.at.ts < self.state.judged_to;
        let state = &mut self.state;
        match (landing.target, landing.what) {
            (Target::Role { rule, .. } | Target::Scope { rule, .. }, Landed::Keyless) => {
                state.tallies[rule as usize].keyless += 1;
            }
            (_, Landed::Keyless) => {}
            (Target::Role { rule, .. }, Landed::Judged { key, verdict }) => {
                let tally = &mut state.tallies[rule as usize];
                tally.exercised = tally.exercised.max(landing.at.ts);
                match verdict {
                    Some(true) => tally.held += 1,
                    None => tally.unknown(Unknown::Absent),
                    Some(false) => {
                        tally.violated += 1;
                        let violation = self.point_violation(rule, key.of(keys), landing.at);
                        self.state.early.push(Output::Violated(violation));
                    }
                }
            }
            (Target::Role { rule, role }, Landed::Keyed { key, slots }) => {
                let touch = Touch { at: landing.at, role, alternative: landing.alternative, slots };
                let partition = &mut state.partitions[key.hash as usize % PARTITIONS];
                state.corrections |= late;
                partition.push(touch, rule, key, keys, late);
            }
            (Target::Role { rule, role }, Landed::Wide { key, slots, .. }) => {
                let alternative = landing.alternative;
                let touch = Touch { at: landing.at, role, alternative, slots };
                let wides = &mut state.wides[rule as usize];
                let place = wides.partition_point(|(known, _)| known.order(&touch).is_lt());
                if wides.get(place).is_some_and(|(known, at)| known.repeats(&touch) && *at == key) {
                    return;
                }
                if late {
                    let what = Why::Wide(touch.clone(), key.clone());
                    state.dirty.push(Interruption { rule, what, late });
                }
                wides.insert(place, (touch, key));
                if wides.len() > WIDES_MAX {
                    wides.remove(0);
                }
            }
            (Target::Scope { rule, opens }, landed) => {
                let scope = &mut state.scopes[rule as usize];
                let news = match &landed {
                    Landed::Keyed { key, .. } => scope.insert(opens, key.of(keys), landing.at),
                    Landed::Wide { key, .. } => scope.insert_wide(opens, key, landing.at),
                    Landed::Keyless | Landed::Judged { .. } | Landed::Fact { .. } => false,
                };
                if news && late {
                    state.dirty.push(Interruption { rule, what: Why::Changed(landing.at.ts), late });
                }
            }
            (Target::Tick { clock }, Landed::Keyed { key, slots }) => {
                let Some(Some(Value::Int(value))) = slots.first().cloned() else { return };
                let Some(source) = state.sources.states.get(row.source as usize) else { return };
                let declared = self.program.clock(clock);
                let moved = state.clocks.report(clock, declared, key.of(keys), landing.at, source.node_idx, value);
                if moved && late {
                    for rule in (0..self.traits.len()).filter(|rule| self.traits[*rule].clocks.contains(&clock)) {
                        let what = Why::Changed(landing.at.ts);
                        state.dirty.push(Interruption { rule: rule as RuleIdx, what, late });
                    }
                }
            }
            (Target::Set { fact }, Landed::Fact { key, value, until }) => {
                let keep = self.program.fact(fact).keep;
                let news =
                    value.is_some_and(|value| state.facts.set(fact, keep, key.of(keys), landing.at, value, until));
                self.fact_changed(fact, landing.at.ts, news && late);
            }
            (Target::Unset { fact }, Landed::Keyed { key, .. }) => {
                let news = state.facts.unset(fact, self.program.fact(fact).keep, key.of(keys), landing.at);
                self.fact_changed(fact, landing.at.ts, news && late);
            }
            (Target::Unset { fact }, Landed::Wide { key, .. }) => {
                state.facts.unset_wide(fact, self.program.fact(fact).keep, key, landing.at);
                self.fact_changed(fact, landing.at.ts, late);
            }
            (Target::Started { pack, .. }, _) => {
                let Some(source) = state.sources.states.get(row.source as usize) else { return };
                let restart = Restart { at: landing.at, node: source.node_idx, pack: Some(pack) };
                let place = state.restarts.partition_point(|known| *known < restart);
                state.restarts.insert(place, restart.clone());
                if late {
                    self.restart_changed(&restart);
                }
            }
            (Target::Success { breaker }, Landed::Keyed { key, .. }) => {
                self.signal(breaker, key.of(keys), &Signal::Success, row.arrived, "", "");
            }
            (
                Target::Success { .. }
                | Target::Set { .. }
                | Target::Unset { .. }
                | Target::Role { .. }
                | Target::Derive { .. }
                | Target::Tick { .. },
                _,
            ) => {}
        }
    }

    fn point_violation(&self, rule: RuleIdx, key: &[u8], at: EventRef) -> Violation {
        let (pack, definition) = self.program.rule(rule);
        let of = match definition.kind {
            Kind::Always { of, .. } | Kind::Never { of } => of,
            _ => 0,
        };
        let (network, parts) = read_key(definition, key);
        let role = definition.roles.get(of as usize).map(|role| role.name.clone()).unwrap_or_default();
        Violation {
            id: violation_id(&pack.name, &definition.id, key, &Anchor::Event(at)),
            rule,
            network,
            key: parts,
            at: at.ts,
            evidence: vec![Cited { role, event: at }],
            missing: None,
            values: Vec::new(),
            level: false,
            grown: false,
        }
    }

    /// Has the rules that read a fact judge again what its change concerns.
    fn fact_changed(&mut self, fact: u32, from: Timestamp, late: bool) {
        if !late {
            return;
        }
        for (rule, traits) in self.traits.iter().enumerate() {
            if traits.reads.contains(&fact) {
                let rule = rule as RuleIdx;
                self.state.dirty.push(Interruption { rule, what: Why::Changed(from), late });
            }
        }
    }

    /// Makes the node's restarts anew from the first events of its processes.
    fn processes_changed(&mut self, node: u32, from: Timestamp) {
        let state = &mut self.state;
        state.restarts.retain(|restart| restart.node != node || restart.pack.is_some());
        let starts: Vec<EventRef> = state.sources.process_starts(node).collect();
        for at in starts {
            let restart = Restart { at, node, pack: None };
            let place = state.restarts.partition_point(|known| *known < restart);
            state.restarts.insert(place, restart);
        }
        if from < state.judged_to {
            let at = EventRef {
                ts: from,
                identity: event::Identity::default(),
                element: 0,
                position: event::Position::default(),
            };
            self.restart_changed(&Restart { at, node, pack: None });
        }
    }

    fn restart_changed(&mut self, restart: &Restart) {
        for rule in 0..self.traits.len() as RuleIdx {
            if self.program.knows(&self.traits[rule as usize], rule, restart.pack) {
                let what = Why::Restart(restart.at, restart.node);
                self.state.dirty.push(Interruption { rule, what, late: true });
            }
        }
    }

    /// Invar was away, or never there, until this arrival stamp. Senders may have kept events for it: the frontier follows
    /// what they deliver from where it stood, so that a backlog is judged and not thrown away as too late.
    pub fn returned(&mut self, arrived: Timestamp) {
        self.state.sources.returned(&self.timing, arrived);
    }

    /// Moves time on to an arrival stamp: computes the frontier, judges up to it, and moves breakers.
    pub fn tick(&mut self, arrived: Timestamp, out: &mut Vec<Output>) {
        self.state.remembered.turn(arrived, self.timing.remember);
        let to = self.state.sources.tick(&self.timing, arrived);
        self.advance(to, false, arrived, out);
        self.move_breakers(arrived);
        out.append(&mut self.state.early);
    }

    /// Passes on what was said, telling breakers.
    fn say(&mut self, outputs: Vec<Output>, arrived: Timestamp, out: &mut Vec<Output>) {
        for output in outputs {
            // More evidence of what was said before is no further violation.
            if let Output::Violated(violation) = &output
                && !violation.grown
            {
                self.trip(violation, arrived);
            }
            out.push(output);
        }
    }

    /// Offline: judges everything before `to`, which no later row may precede.
    pub fn judge_before(&mut self, to: Timestamp, out: &mut Vec<Output>) {
        self.advance(to, false, to, out);
    }

    /// Offline: the input is over. Deadlines up to its last time are judged; with `complete` time runs on until all have
    /// passed, except levels that only time could start.
    pub fn finish(&mut self, complete: bool, out: &mut Vec<Output>) {
        let end = Timestamp(self.state.last_ts.0.saturating_add(1));
        self.judge_before(end, out);
        if complete {
            self.advance(Timestamp::MAX, true, end, out);
        }
    }

    /// Obligations whose end has not come.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.program
            .rules()
            .filter(|(_, _, rule)| !matches!(rule.kind, Kind::Heartbeat { .. }))
            .map(|(number, _, _)| self.health(number).open)
            .sum()
    }

    fn advance(&mut self, to: Timestamp, completing: bool, arrived: Timestamp, out: &mut Vec<Output>) {
        let to = to.max(self.state.judged_to);
        let early = core::mem::take(&mut self.state.early);
        self.say(early, arrived, out);
        if to == self.state.judged_to && !self.state.corrections && self.state.dirty.is_empty() {
            return;
        }
        self.release(to);
        let interruptions = self.interruptions(to);
        self.turn_epoch();
        let state = &mut self.state;
        state.corrections = false;
        let world = World {
            program: &self.program,
            traits: &self.traits,
            sources: &state.sources,
            facts: &state.facts,
            clocks: &state.clocks,
            scopes: &state.scopes,
            wides: &state.wides,
            restarts: &state.restarts,
            timing: &self.timing,
            offline: self.offline,
            completing,
            partitions: PARTITIONS as u64,
            judged_to: state.judged_to,
            epochs: &state.epochs,
        };
        let mut said = Said::with_tallies(core::mem::take(&mut state.tallies));
        for partition in &mut state.partitions {
            partition.advance(&world, &interruptions, to, &mut said);
        }
        let settled = if self.offline { 0 } else { Self::settled(&self.timing, state, to) };
        for (epoch, end) in state.epochs.ended().take(settled) {
            for partition in &mut state.partitions {
                partition.let_go(&world, epoch, end, to, &mut said);
            }
        }
        state.epochs.let_go(settled);
        state.tallies = said.tallies;
        state.judged_to = to;
        self.prune(if self.offline { to } else { self.state.epochs.floor() });
        self.say(said.outputs, arrived, out);
    }

    /// Begins another epoch when the running one has lasted, or holds enough.
    fn turn_epoch(&mut self) {
        if self.offline || self.state.judged_to <= self.state.epochs.began() {
            return;
        }
        let logged = self.state.partitions.iter().map(Partition::logged).sum::<u64>();
        let lasts = self.timing.correct_for / EPOCHS;
        let most = self.timing.correction_memory / LOGGED_BYTES / u64::from(EPOCHS);
        if self.state.judged_to >= self.state.epochs.began().plus(lasts)
            || logged >= self.state.logged.saturating_add(most)
        {
            self.state.epochs.begin(self.state.judged_to);
            self.state.logged = logged;
        }
    }

    /// How many epochs nothing can correct any more: they ended too long ago, or too much has happened since.
    fn settled(timing: &Timing, state: &EngineState, to: Timestamp) -> usize {
        let oldest = to.minus(timing.correct_for);
        let most = timing.correction_memory / LOGGED_BYTES;
        let mut logged = state.partitions.iter().map(Partition::logged).sum::<u64>();
        let ended = state.epochs.ended().take_while(|(epoch, end)| {
            let goes = *end <= oldest || logged > most;
            logged -= state.partitions.iter().map(|partition| partition.logged_in(*epoch)).sum::<u64>();
            goes
        });
        ended.count()
    }

    /// What concerns many instances at once: what came late, and what the frontier passes now, by time.
    fn interruptions(&mut self, to: Timestamp) -> Vec<Interruption> {
        let state = &mut self.state;
        let from = state.judged_to;
        let mut interruptions = core::mem::take(&mut state.dirty);
        for (rule, wides) in state.wides.iter().enumerate() {
            let passed = &wides[wides.partition_point(|(touch, _)| touch.ts() < from)..];
            for (touch, key) in passed.iter().take_while(|(touch, _)| touch.ts() < to) {
                let what = Why::Wide(touch.clone(), key.clone());
                interruptions.push(Interruption { rule: rule as RuleIdx, what, late: false });
            }
        }
        for (rule, traits) in self.traits.iter().enumerate() {
            let Some(clock) = traits.ticks else { continue };
            for ts in state.clocks.ticks(clock, from, to) {
                interruptions.push(Interruption { rule: rule as RuleIdx, what: Why::Ticked(ts), late: false });
            }
        }
        let passed = &state.restarts[state.restarts.partition_point(|restart| restart.at.ts < from)..];
        for restart in passed.iter().take_while(|restart| restart.at.ts < to) {
            for rule in 0..self.traits.len() as RuleIdx {
                if self.program.knows(&self.traits[rule as usize], rule, restart.pack) {
                    let what = Why::Restart(restart.at, restart.node);
                    interruptions.push(Interruption { rule, what, late: false });
                }
            }
        }
        interruptions.sort_by_key(Interruption::ts);
        interruptions
    }

    /// Lets go of shared history that nothing can ask for any more.
    fn prune(&mut self, floor: Timestamp) {
        const EVERY: Duration = Duration::from_secs(60);
        const LONGEST: Duration = Duration::from_secs(24 * 3_600);
        let state = &mut self.state;
        if floor < state.pruned.plus(EVERY) {
            return;
        }
        state.pruned = floor;
        let oldest = floor.minus(LONGEST);
        let lost = state.facts.prune(floor, &self.horizons);
        for (fact, lost) in lost.iter().enumerate().filter(|(_, lost)| **lost > 0) {
            for (rule, traits) in self.traits.iter().enumerate() {
                if traits.reads.contains(&(fact as u32)) {
                    state.tallies[rule].forgotten += lost;
                }
            }
        }
        let clocks: Vec<&crate::pack::Clock> = self.program.clocks().collect();
        state.clocks.prune(&clocks, floor, oldest);
        state.scopes.iter_mut().for_each(|scope| scope.prune(floor, oldest));
        state.restarts.retain(|restart| restart.at.ts >= oldest);
        for (rule, wides) in state.wides.iter_mut().enumerate() {
            let horizon = crate::kind::Automaton::horizon(self.program.rule(rule as RuleIdx).1);
            let oldest = floor.minus(horizon);
            wides.retain(|(touch, _)| touch.ts() >= oldest);
        }
    }

    /// Tells the breakers of a violated rule.
    fn trip(&mut self, violation: &Violation, arrived: Timestamp) {
        let (_, rule) = self.program.rule(violation.rule);
        if rule.mode != Mode::Active || self.offline {
            return;
        }
        let mut tripped: Vec<(u32, Vec<u8>)> = Vec::new();
        for &breaker in &self.traits[violation.rule as usize].trips {
            let (_, definition) = self.program.breaker(breaker);
            let mut key = Vec::new();
            key::push(&mut key, &Val::String(violation.network.as_str().into()));
            for name in &definition.per {
                let part = rule.key.iter().position(|part| part.name == *name);
                match part.and_then(|part| violation.key.get(part)?.as_ref()) {
                    Some(value) => key::push(&mut key, &Val::from(value)),
                    None => key::push_absent(&mut key),
                }
            }
            tripped.push((breaker, key));
        }
        let reason = rule.id.clone();
        for (breaker, key) in tripped {
            self.signal(breaker, &key, &Signal::Violated(violation.at), arrived, &reason, "");
        }
    }

    fn move_breakers(&mut self, arrived: Timestamp) {
        for breaker in 0..self.program.breakers().count() as u32 {
            let (pack, definition) = self.program.breaker(breaker);
            let name = (pack.name.clone(), definition.id.clone());
            let due: Vec<Box<[u8]>> = self.state.breakers.get(&name).map_or_else(Vec::new, |scopes| {
                let is_due = |breaker: &Breaker| breaker.due().is_some_and(|due| due <= arrived);
                scopes.iter().filter(|(_, breaker)| is_due(breaker)).map(|(key, _)| key.clone()).collect()
            });
            for key in due {
                self.signal(breaker, &key, &Signal::Tick, arrived, "its rest is over", "");
            }
        }
    }

    /// Moves one breaker and says so when nodes must be told something new.
    fn signal(&mut self, breaker: u32, key: &[u8], signal: &Signal, now: Timestamp, reason: &str, by: &str) {
        let (pack, definition) = self.program.breaker(breaker);
        let policy = Policy {
            trip_count: definition.trip_count,
            trip_within: definition.trip_within,
            half_open_after: definition.half_open_after,
            close_count: definition.close_count,
        };
        let scopes = self.state.breakers.entry((pack.name.clone(), definition.id.clone())).or_default();
        let before = match scopes.get(key) {
            Some(breaker) => breaker.clone(),
            // A success says nothing to a breaker that no violation ever touched.
            None if *signal == Signal::Success => return,
            None => Breaker::default(),
        };
        let (state, until) = (before.state(), before.due());
        let after = before.next(&policy, signal, now);
        let changed = after.state() != state || (!by.is_empty() && after.due() != until);
        if changed {
            let mut parts = key::parts(key);
            let network = parts.next().and_then(key::text).unwrap_or_default();
            let reason = match signal {
                Signal::Success => "it succeeded again",
                _ => reason,
            };
            self.state.early.push(Output::Breaker(BreakerChange {
                pack: pack.name.clone(),
                id: definition.id.clone(),
                network: network.into(),
                scope: definition.per.iter().cloned().zip(parts.map(key::decode)).collect(),
                state: after.state(),
                enforcing: definition.enforcing || self.enforce_breakers,
                since: now,
                until: after.due(),
                reason: reason.into(),
                by: by.into(),
            }));
        }
        scopes.insert(key.into(), after);
    }

    /// What a person did to a breaker: `scope` gives its `per` parts by name.
    ///
    /// # Errors
    /// When no pack has such a breaker.
    pub fn force_breaker(&mut self, forced: &Forced<'_>, now: Timestamp) -> Result<(), UnknownBreaker> {
        let (breaker, _, definition) = self
            .program
            .breakers()
            .find(|(_, pack, breaker)| {
                breaker.id == forced.breaker && (forced.pack.is_empty() || pack.name == forced.pack)
            })
            .ok_or(UnknownBreaker)?;
        let mut key = Vec::new();
        key::push(&mut key, &Val::String(forced.network.into()));
        for name in &definition.per {
            match forced.scope.iter().find(|(part, _)| part == name) {
                Some((_, value)) => key::push(&mut key, &Val::String(value.as_str().into())),
                None => key::push_absent(&mut key),
            }
        }
        self.signal(breaker, &key, &forced.signal, now, forced.reason, forced.by);
        Ok(())
    }

    /// Makes every breaker one that nodes must obey, whatever its pack says.
    pub fn enforce_breakers(&mut self, enforce: bool) {
        self.enforce_breakers = enforce;
    }
}

/// No pack has such a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownBreaker;

/// What a person did to a breaker.
#[derive(Clone, Debug)]
pub struct Forced<'a> {
    /// The pack; empty: the only one that has such a breaker.
    pub pack: &'a str,
    /// The breaker's id.
    pub breaker: &'a str,
    /// The network.
    pub network: &'a str,
    /// The scope's other parts, by name.
    pub scope: &'a [(String, String)],
    /// [`Signal::Trip`] or [`Signal::Reset`].
    pub signal: Signal,
    /// Why.
    pub reason: &'a str,
    /// Who.
    pub by: &'a str,
}
