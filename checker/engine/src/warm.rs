//! Warming up: rules that are new, or mean something else, are shown what came before they were adopted, so that they know
//! what they would know if they had been in force: which obligations are open, what supports are there, where facts stand.
use alloc::{string::String, vec::Vec};
use core::time::Duration;
use event::Timestamp;

use crate::{
    emission,
    engine::Engine,
    first,
    kind::Automaton,
    pack::{AggregateSpan, CountSpan, Kind, Limit, Rule},
    program::{Program, RuleIdx},
    verdict::{Output, Violation},
};

/// Rules are shown no more of the past than this.
pub const WARM_UP_MAX: Duration = Duration::from_secs(3_600);

/// An engine of the packs to come that is shown what came before.
pub struct WarmUp {
    engine: Engine,
    /// What is new, by number in its program.
    rules: Vec<bool>,
    facts: Vec<usize>,
    clocks: Vec<usize>,
    from: Timestamp,
    /// Those of the rules that rest on nothing but what they are shown: what they find in the past is so.
    trusted: Vec<bool>,
    /// Where the running engine stands.
    until: Timestamp,
    found: Vec<Output>,
}

impl Engine {
    /// Prepares to show the past to what another program has and this one has not; none when that is nothing, or there is no
    /// past.
    #[must_use]
    pub fn warm_up(&self, program: &Program) -> Option<WarmUp> {
        fn new<T: PartialEq>(of: &[T], known: &[T]) -> Vec<bool> {
            of.iter().map(|item| !known.contains(item)).collect()
        }
        let (known, identities) = (self.program.identities(), program.identities());
        let rules = new(&identities.rules, &known.rules);
        let numbers =
            |new: Vec<bool>| new.iter().enumerate().filter(|(_, new)| **new).map(|(number, _)| number).collect();
        let facts: Vec<usize> = numbers(new(&identities.facts, &known.facts));
        let clocks: Vec<usize> = numbers(new(&identities.clocks, &known.clocks));
        let until = self.state.judged_to;
        if until == Timestamp::ZERO || !(rules.contains(&true) || !facts.is_empty() || !clocks.is_empty()) {
            return None;
        }
        // Packs know nothing of one another: only those are shown anything that have something new.
        let is_new = |name: &String| {
            let new = |of: &[(String, String, u64)], known: &[(String, String, u64)]| {
                of.iter().any(|item| item.0 == *name && !known.contains(item))
            };
            new(&identities.rules, &known.rules)
                || new(&identities.facts, &known.facts)
                || new(&identities.clocks, &known.clocks)
        };
        let packs = identities.packs.iter().map(is_new).collect();
        let mut engine = Engine::recalling(program.clone(), self.timing, packs);
        // Sources keep their numbers, and processes that are known are not met again.
        engine.state.sources = self.state.sources.clone();
        engine.state.restarts = self.state.restarts.iter().filter(|restart| restart.pack.is_none()).cloned().collect();
        // What facts, clocks and breakers say may rest on anything.
        let reads = |number: usize| {
            let traits = &engine.traits[number];
            !traits.reads.is_empty() || !traits.clocks.is_empty() || !traits.asks_breakers.is_empty()
        };
        // How far back each looks, and whether it rests on nothing but that: rules rest on those above them.
        let mut reaches: Vec<(Duration, bool)> = Vec::new();
        for number in 0..rules.len() {
            let own = if reads(number) { WARM_UP_MAX } else { look_back(program.rule(number as RuleIdx).1) };
            let above = emission::upstream(program, number as RuleIdx).map(|above| reaches[above as usize]);
            let (farthest, known) =
                above.fold((Duration::ZERO, true), |(far, all), (reach, known)| (far.max(reach), all && known));
            reaches.push(((own + farthest).min(WARM_UP_MAX), known && !reads(number)));
        }
        let new_ones = || reaches.iter().zip(&rules).filter(|(_, new)| **new).map(|(reach, _)| reach);
        let of_rules = new_ones().map(|(reach, _)| *reach).max().unwrap_or_default();
        let reach = if facts.is_empty() && clocks.is_empty() { of_rules } else { WARM_UP_MAX };
        let trusted = reaches.iter().zip(&rules).map(|((_, known), new)| *new && *known).collect();
        let from = until.minus(reach);
        // What can still be corrected is what the running engine can correct.
        engine.state.epochs = self.state.epochs.clone();
        // Those that were the first before are still.
        engine.state.firsts = first::untold(&self.state.firsts);
        engine.state.since.fill(from);
        Some(WarmUp { engine, rules, facts, clocks, from, trusted, until, found: Vec::new() })
    }

    /// Adopts the program of a warm-up that has been shown everything. Returns what the new rules found in the past: it is
    /// over, and trips nothing.
    pub fn adopt_warm(&mut self, mut warm: WarmUp) -> Vec<Output> {
        warm.engine.judge_before(warm.until, &mut warm.found);
        let WarmUp { mut engine, rules, facts, clocks, from, trusted, found, .. } = warm;
        self.adopt(core::mem::take(&mut engine.program));
        let (state, past) = (&mut self.state, &mut engine.state);
        for (rule, _) in rules.iter().enumerate().filter(|(_, new)| **new) {
            state.scopes[rule] = core::mem::take(&mut past.scopes[rule]);
            state.wides[rule] = core::mem::take(&mut past.wides[rule]);
            state.undecided[rule] = core::mem::take(&mut past.undecided[rule]);
            state.tallies[rule].exercised = past.tallies[rule].exercised;
            state.since[rule] = from;
        }
        for (own, past) in state.partitions.iter_mut().zip(&mut past.partitions) {
            past.leave_untold(&trusted);
            own.take_over(past, &rules, &state.epochs);
        }
        let is_new = |rule: RuleIdx| rules.get(rule as usize).copied().unwrap_or(false);
        state.mail.take_over(&mut past.mail, is_new);
        state.agenda.take_over(&mut past.agenda, is_new);
        // There may be starts and processes that only new packs know of.
        state.sources.take_over_processes(&mut past.sources);
        state.restarts.append(&mut past.restarts);
        state.restarts.sort();
        state.restarts.dedup();
        emission::take_over(
            (&mut state.emitted, &mut state.unmade),
            (core::mem::take(&mut past.emitted), core::mem::take(&mut past.unmade)),
            is_new,
        );
        first::take_over(&mut state.firsts, core::mem::take(&mut past.firsts), is_new);
        state.readings.take_over(core::mem::take(&mut past.readings), is_new);
        for fact in facts {
            state.facts.take_over(&mut past.facts, fact);
        }
        for clock in clocks {
            state.clocks.take_over(&mut past.clocks, clock);
        }
        told(found, &trusted)
    }
}

impl WarmUp {
    /// Events from here on are to be shown.
    #[must_use]
    pub fn from(&self) -> Timestamp {
        self.from
    }

    /// Less is to be shown: nothing from before that time.
    pub fn begin_at(&mut self, from: Timestamp) {
        self.from = self.from.max(from).min(self.until);
        self.engine.state.since.fill(self.from);
    }

    /// Whom to show them, in the order in which they came.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Judges as far as all has been shown, when everything has been shown that arrived before.
    pub fn shown(&mut self, arrived: Timestamp) {
        let timing = self.engine.timing;
        self.engine.state.remembered.turn(arrived, timing.remember);
        let complete = arrived.minus(timing.max_delay + timing.margin).min(self.until);
        self.engine.judge_before(complete, &mut self.found);
    }
}

/// What was found in the past by rules that can be trusted with it.
fn told(found: Vec<Output>, trusted: &[bool]) -> Vec<Output> {
    let is_told = |output: &Output| match output {
        Output::Violated(Violation { rule, .. })
        | Output::Resolved { rule, .. }
        | Output::Retracted { rule, .. }
        | Output::LateResolved { rule, .. } => trusted.get(*rule as usize).copied().unwrap_or(false),
        Output::Breaker(_) => false,
    };
    found.into_iter().filter(is_told).collect()
}

/// How far back a rule looks, its facts aside.
fn look_back(rule: &Rule) -> Duration {
    let lasts = rule.hold.map(|hold| hold.lasts.max(hold.stale_after)).unwrap_or_default();
    let bounded = match &rule.kind {
        Kind::Never { .. } => Some(Duration::ZERO),
        Kind::Always { .. } => Some(lasts),
        Kind::Response { limit: Limit::Within(within), grace, .. }
        | Kind::Expected { limit: Limit::Within(within), grace, .. } => Some(*within + *grace),
        Kind::Sequence { within, .. } => Some(*within),
        Kind::Precedence { within, since: None, .. } | Kind::Order { within, .. } => *within,
        Kind::Count { span: CountSpan::Window(window), .. } => Some(*window + lasts),
        Kind::Heartbeat { every, start: None, expect: None, .. } => Some(*every),
        Kind::Aggregate(aggregate) if !matches!(aggregate.span, AggregateSpan::Close(_)) => {
            Some(aggregate.longest() + lasts)
        }
        _ => None,
    };
    let remembers = rule.during.is_some() || rule.report_first || rule.quiet.is_some();
    let least = bounded.filter(|_| !remembers).map_or(WARM_UP_MAX, |bounded| bounded + rule.slack);
    least.min(Automaton::horizon(rule)).min(WARM_UP_MAX)
}
