//! The engine: takes rows and ticks, keeps the shared state, and has partitions judge.
use alloc::{string::String, vec, vec::Vec};
use core::time::Duration;
use event::Timestamp;
use hashbrown::HashMap;

use crate::{
    agenda::Agenda,
    arrival::Landings,
    breaker::Breakers,
    clock::Clocks,
    emission::{self, Emissions, Emitted},
    fact::{Facts, Horizon},
    first::{self, Firsts},
    history::Epochs,
    hold::Hold,
    judge,
    key::{self, PartialKey},
    kind::Tally,
    mail::Mail,
    pack::{Kind, RoleIdx},
    partition::{Partition, Said},
    program::{Program, RuleIdx, Traits},
    reading::Readings,
    remembered::Remembered,
    route::{Column, Route, Target, Wanted},
    row::EventIdx,
    scope::Scope,
    source::{SourceIdx, SourceState, Sources, Timing},
    touch::Touch,
    tripping::Signalled,
    undecided::Undecided,
    verdict::{Output, ViolationId},
    world::{Interruption, Restart, Why, World},
};

/// The number of virtual partitions. Fixed, so that neither threads nor machines can change a verdict.
pub(crate) const PARTITIONS: usize = 256;

/// How many event names are told apart before names that only globs match are looked up anew each time.
const NAMES_MAX: usize = 65_536;

/// Into how many parts the time is cut for which late events correct verdicts.
const EPOCHS: u32 = 4;

/// How many events are judged in one go: what they need on their way is not needed for a whole backlog at once.
const SLICE: usize = 1 << 14;

/// What keeping one thing that an instance did, or that it did something, is taken to cost; fixed, so that memory's layout
/// cannot change a verdict.
const LOGGED_BYTES: u64 = 100;

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
    pub(crate) traits: Vec<Traits>,
    /// Into how many strata they fall.
    pub(crate) strata: u8,
    /// How long each fact's history is needed.
    horizons: Vec<Horizon>,
    pub(crate) names: HashMap<String, EventIdx, foldhash::fast::FixedState>,
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) timing: Timing,
    pub(crate) offline: bool,
    pub(crate) enforce_breakers: bool,
    /// It is shown what came before, as it came, for the packs that are so marked.
    pub(crate) recalls: Option<Vec<bool>>,
    pub(crate) state: EngineState,
    /// Emptied after each row; kept for its memory.
    pub(crate) landings: Landings,
}

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
    /// Touches on their way to their instances.
    pub(crate) mail: Mail,
    pub(crate) agenda: Agenda,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) epochs: Epochs,
    /// How many things were logged that instances did, when the running epoch began.
    pub(crate) logged: u64,
    pub(crate) tallies: Vec<Tally>,
    /// Since when each rule has seen everything; zero: since ever.
    pub(crate) since: Vec<Timestamp>,
    pub(crate) breakers: Breakers,
    /// What was made of verdicts.
    pub(crate) emitted: Emissions,
    /// Said on arrival, and not made events of yet: the frontier has not passed them.
    pub(crate) unmade: Vec<(ViolationId, Emitted)>,
    /// The first events of which others are derived.
    pub(crate) firsts: Firsts,
    /// Events whose parts depend on facts.
    pub(crate) readings: Readings,
    /// Of each rule those of which nobody knows what part they play.
    pub(crate) undecided: Vec<Undecided>,
    pub(crate) judged_to: Timestamp,
    pub(crate) pruned: Timestamp,
    pub(crate) last_ts: Timestamp,
    pub(crate) census: Census,
    /// Late touches wait in some partition.
    pub(crate) corrections: bool,
    /// Offline: what is to move breakers when all before it has been judged.
    #[serde(skip)]
    pub(crate) signals: Vec<Signalled>,
    /// Said on arrival, or by breakers; empty after each tick.
    #[serde(skip)]
    pub(crate) early: Vec<Output>,
}

impl EngineState {
    /// That of an engine of this program that has seen nothing.
    fn of(program: &Program) -> Self {
        let rules = program.rules().count();
        EngineState {
            facts: Facts::with_tables(program.fact_count()),
            clocks: Clocks::with_tables(program.clocks().count()),
            scopes: vec![Scope::default(); rules],
            wides: vec![Vec::new(); rules],
            partitions: (0..PARTITIONS).map(|number| Partition::with_rules(number as u8, rules)).collect(),
            tallies: vec![Tally::default(); rules],
            since: vec![Timestamp::ZERO; rules],
            undecided: vec![Undecided::default(); rules],
            ..EngineState::default()
        }
    }
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
        let state = EngineState::of(&program);
        Self::with_state(program, timing, input, None, state)
    }

    /// An engine that is shown what came before, for the packs that are so marked.
    pub(crate) fn recalling(program: Program, timing: Timing, packs: Vec<bool>) -> Self {
        let state = EngineState::of(&program);
        Self::with_state(program, timing, Input::Offline, Some(packs), state)
    }

    pub(crate) fn with_state(
        program: Program,
        timing: Timing,
        input: Input,
        recalls: Option<Vec<bool>>,
        state: EngineState,
    ) -> Self {
        let mut traits: Vec<Traits> =
            (0..program.rules().count() as RuleIdx).map(|rule| Traits::of(&program, rule)).collect();
        let strata = emission::strata(&program, &mut traits, input);
        let horizons = program.horizons(&traits);
        let mut engine = Engine {
            names: HashMap::default(),
            wanted: vec![Wanted::default()],
            traits,
            strata,
            horizons,
            program,
            timing,
            offline: input == Input::Offline,
            enforce_breakers: false,
            recalls,
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
        if let Some(packs) = &self.recalls {
            wanted.routes.retain(|route| packs.get(route.pack as usize).copied().unwrap_or(false));
        }
        for route in &mut wanted.routes {
            route.at_once = self.is_at_once(route.target);
            route.straight = self.straight(route);
        }
        wanted.at_once = wanted.routes.iter().any(|route| route.at_once);
        wanted.waits = wanted.routes.iter().any(|route| !route.at_once && !route.reads);
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

    /// The rule and the role that a route leads to whose events need nothing but their rows to become touches.
    fn straight(&self, route: &Route) -> Option<(RuleIdx, RoleIdx)> {
        let Target::Role { rule, role } = route.target else { return None };
        let needs_more = self.traits[rule as usize].stateless || route.reads || route.wide || route.plain_key.is_none();
        (!needs_more && self.program.pattern(route).for_each.is_empty()).then_some((rule, role))
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
            + (self.state.mail.waiting() + self.state.agenda.deadlines.len()) as u64
            + partitions.map(instances).sum::<u64>()
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
                && !self.offline
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
        out.append(&mut self.state.early);
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
        while let Some(next) = self.state.held.slice(SLICE).filter(|next| *next < to) {
            self.step(next, false, arrived, out);
        }
        self.step(to, completing, arrived, out);
    }

    fn step(&mut self, to: Timestamp, completing: bool, arrived: Timestamp, out: &mut Vec<Output>) {
        let to = to.max(self.state.judged_to);
        let early = core::mem::take(&mut self.state.early);
        self.note_unmade(&early);
        self.note_trips(&early);
        self.say(early, arrived, out);
        if to == self.state.judged_to && !self.state.corrections && self.state.dirty.is_empty() {
            return;
        }
        self.release(to);
        let unread = self.state.readings.due(to);
        let mut interruptions = self.interruptions(to);
        self.turn_epoch();
        self.state.corrections = false;
        self.make_early(to);
        let agenda = core::mem::take(&mut self.state.agenda);
        let mut said = Said::new(agenda, core::mem::take(&mut self.state.tallies));
        let mut made = 0;
        for stratum in 0..self.strata {
            let only = (self.strata > 1).then_some(stratum);
            self.state.tallies = core::mem::take(&mut said.tallies);
            self.read_events(&unread, stratum);
            interruptions.append(&mut self.state.dirty);
            said.tallies = core::mem::take(&mut self.state.tallies);
            self.judge(only, &interruptions, to, completing, &mut said);
            self.state.tallies = core::mem::take(&mut said.tallies);
            if only.is_some() {
                self.emit(&said.outputs[made..]);
                self.emit_made(core::mem::take(&mut said.made));
            }
            self.note_trips(&said.outputs[made..]);
            self.move_breakers_before(to, stratum);
            made = said.outputs.len();
            said.tallies = core::mem::take(&mut self.state.tallies);
        }
        self.have_read(&unread);
        self.settle(to, completing, &mut said);
        self.state.tallies = core::mem::take(&mut said.tallies);
        self.state.agenda = core::mem::take(&mut said.agenda);
        self.state.judged_to = to;
        if self.strata > 1 {
            self.emit(&said.outputs[made..]);
            self.emit_made(core::mem::take(&mut said.made));
        }
        self.note_trips(&said.outputs[made..]);
        let floor = match (self.offline, self.recalls.is_some()) {
            (true, false) => to,
            (true, true) => to.min(self.state.epochs.floor()),
            (false, _) => self.state.epochs.floor(),
        };
        self.prune(floor);
        self.say(said.outputs, arrived, out);
    }

    /// Has the partitions judge everything before `to`: the rules of one stratum, or all.
    fn judge(
        &mut self,
        stratum: Option<u8>,
        interruptions: &[Interruption],
        to: Timestamp,
        completing: bool,
        said: &mut Said,
    ) {
        let mut mail = core::mem::take(&mut self.state.mail);
        let (world, partitions) = self.world(completing);
        judge::judge(&world, partitions, &mut mail, stratum, interruptions, to, said);
        self.state.mail = mail;
    }

    /// Lets go of the epochs that nothing can correct any more.
    fn settle(&mut self, to: Timestamp, completing: bool, said: &mut Said) {
        let settled = if self.offline { 0 } else { Self::settled(&self.timing, &self.state, to) };
        if settled == 0 {
            return;
        }
        let (world, partitions) = self.world(completing);
        for (epoch, end) in world.epochs.ended().take(settled) {
            for partition in partitions.iter_mut() {
                partition.let_go(&world, epoch, end, to, said);
            }
        }
        self.state.epochs.let_go(settled);
    }

    /// What all partitions share while they work, and the partitions.
    fn world(&mut self, completing: bool) -> (World<'_>, &mut [Partition]) {
        let state = &mut self.state;
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
            recalls: self.recalls.is_some(),
            completing,
            partitions: PARTITIONS as u64,
            judged_to: state.judged_to,
            epochs: &state.epochs,
            breakers: &state.breakers,
            undecided: &state.undecided,
            since: &state.since,
        };
        (world, &mut state.partitions)
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
            for ts in traits.ticks(&state.clocks, &state.facts, from, to) {
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

    /// Decides which events open and close spans, where their conditions ask for history that is let go of.
    fn decide_spans(&mut self, floor: Timestamp) {
        let mut scopes = core::mem::take(&mut self.state.scopes);
        let (world, _) = self.world(false);
        for (number, scope) in scopes.iter_mut().enumerate() {
            let rule = number as RuleIdx;
            let Some(during) = world.rule(rule).during.as_ref().filter(|_| world.traits[number].conditions) else {
                continue;
            };
            scope.decide(during, floor, &|role, key, edge| {
                world.ctx(rule, key, Timestamp::ZERO, &mut Tally::default()).admits_edge(role, edge)
            });
        }
        self.state.scopes = scopes;
    }

    /// Lets go of shared history that nothing can ask for any more.
    fn prune(&mut self, floor: Timestamp) {
        const RARELY: Duration = Duration::from_secs(60);
        const LONGEST: Duration = Duration::from_secs(24 * 3_600);
        let state = &mut self.state;
        if floor < state.pruned.plus(RARELY.min(self.timing.correct_for / EPOCHS)) {
            return;
        }
        state.pruned = floor;
        let oldest = floor.minus(LONGEST);
        self.decide_spans(floor);
        let state = &mut self.state;
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
        for (rule, scope) in state.scopes.iter_mut().enumerate() {
            let rule = rule as RuleIdx;
            let Some(during) = &self.program.rule(rule).1.during else { continue };
            let lives = |key: &[u8]| {
                let hash = key::hash(key);
                state.partitions[hash as usize % PARTITIONS].has(rule, key, hash)
            };
            scope.prune(during, floor, oldest, lives);
        }
        state.restarts.retain(|restart| restart.at.ts >= oldest);
        emission::prune(&mut state.emitted, floor);
        first::prune(&mut state.firsts, floor);
        state.readings.prune(floor);
        state.breakers.prune(floor);
        for (rule, wides) in state.wides.iter_mut().enumerate() {
            let horizon = crate::kind::Automaton::horizon(self.program.rule(rule as RuleIdx).1);
            let oldest = floor.minus(horizon);
            wides.retain(|(touch, _)| touch.ts() >= oldest);
            state.undecided[rule].prune(oldest);
        }
    }

    /// Makes every breaker one that nodes must obey, whatever its pack says.
    pub fn enforce_breakers(&mut self, enforce: bool) {
        self.enforce_breakers = enforce;
    }
}
