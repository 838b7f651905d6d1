//! An event's way in: told from its repeats, heard of its source, and given to the parts that it plays.
use alloc::{boxed::Box, string::String, vec, vec::Vec};
use event::{Timestamp, Value};
use hashbrown::{HashMap, HashSet};

use crate::{
    arrival::{Arrival, Landed, Landing, Landings},
    engine::Engine,
    gap,
    kind::Anchor,
    pack::Kind,
    program::RuleIdx,
    route::{Column, Route, Target},
    row::{EventIdx, Row},
    scope::Edge,
    touch::{Kept, Touch},
    verdict::{Cited, EventRef, Output, Unknown, Violation},
    world::{Interruption, Restart, Why, read_key, violation_id},
};

/// How many things that concern many instances may wait before what is hidden is no longer told apart by node.
const HIDDEN_MAX: usize = 1_024;

/// How many events with shorter keys are kept per rule.
const WIDES_MAX: usize = 65_536;

impl Engine {
    /// Takes one event.
    pub fn row(&mut self, row: &Row<'_>) {
        self.state.census.events += 1;
        if !self.state.remembered.insert(row.identity) {
            self.state.census.duplicates += 1;
            return;
        }
        if (!self.offline || self.recalls.is_some()) && row.ts > row.arrived.plus(self.timing.future) {
            self.state.census.future += 1;
            self.state.sources.missed(row.source, row.name, row.ts, Unknown::Future);
            return;
        }
        self.state.last_ts = self.state.last_ts.max(row.ts);
        let live = self.state.sources.heard(&self.timing, row.source, row.ts, row.sent, row.arrived);
        if let Some(from) = live.filter(|from| *from < self.state.judged_to) {
            self.state.readings.changed(from);
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
                self.state.sources.missed(row.source, row.name, row.ts, Unknown::TooLate);
                return;
            }
            self.state.census.late += 1;
        }
        self.arrive(row, 0);
    }

    /// Notes that an event of a node was refused when it came: what misses it is unknown, not violated. What was said before is
    /// corrected, as it would have been by the event.
    pub fn refused(&mut self, network: &str, node: &str, event: &str, ts: Timestamp) {
        let why = if ts < self.floor() { Unknown::TooLate } else { Unknown::Refused };
        if let Some(node) = self.state.sources.refused(network, node, event, ts, why) {
            self.hidden(Some(node), gap::name(event), ts, ts);
        }
    }

    /// Notes that what the nodes said between these times, both included, was lost after it had been accepted: what misses any
    /// of it is unknown, not violated.
    pub fn lost(&mut self, from: Timestamp, to: Timestamp) {
        self.state.sources.lost(from, to);
        self.hidden(None, None, from, to);
    }

    /// Has those judge again whose verdicts may miss what a node said between these times, of that name or of any.
    fn hidden(&mut self, node: Option<u32>, event: Option<&str>, from: Timestamp, to: Timestamp) {
        let floor = self.floor();
        if self.offline || to < floor || from >= self.state.judged_to {
            return;
        }
        let from = from.max(floor);
        // Beyond some number of nodes it costs less to judge those of all again than to tell them apart.
        let node = node.filter(|_| self.state.dirty.len() < HIDDEN_MAX);
        let mut known: Vec<Option<usize>> = vec![None; self.traits.len()];
        for (place, interruption) in self.state.dirty.iter().enumerate() {
            if matches!(interruption.what, Why::Hidden(_, of) if of == node) {
                known[interruption.rule as usize] = Some(place);
            }
        }
        for (rule, known) in known.into_iter().enumerate() {
            let rule = rule as RuleIdx;
            let (pack, definition) = self.program.rule(rule);
            if event.is_some_and(|event| !gap::asks(definition, pack, event)) {
                continue;
            }
            match known.and_then(|place| self.state.dirty.get_mut(place)) {
                Some(known) => known.what = Why::Hidden(known.ts().min(from), node),
                None => self.state.dirty.push(Interruption { rule, what: Why::Hidden(from, node), late: true }),
            }
        }
    }

    /// Has a row, or an event derived from one, play the parts that it plays at once, and keeps it for the others until the
    /// frontier has passed it.
    pub(crate) fn arrive(&mut self, row: &Row<'_>, depth: usize) {
        let Some(wanted) = self.wanted.get(row.event as usize) else { return };
        // What comes in order needs no waiting for those who come before it.
        let waits = wanted.waits && !self.offline && row.ts >= self.state.judged_to;
        let (reads_body, reads_trace_id) = (wanted.reads_body, wanted.reads_trace_id);
        let asks = wanted.asks;
        if wanted.at_once || !waits {
            self.play(row, depth, |route| !waits || route.at_once);
        }
        if waits {
            let body = if reads_body { row.body } else { event::ValueRef::Null };
            let trace_id = if reads_trace_id { row.trace_id } else { "" };
            self.state.held.push(&Row { body, trace_id, ..*row });
        }
        if asks {
            self.keep_for_reading(row);
        }
    }

    /// Has the rows before `to` play the parts for which they waited.
    pub(crate) fn release(&mut self, to: Timestamp) {
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
            let arrival = Arrival { program: &self.program, traits: &self.traits, row, source, known: None };
            let routes = self.wanted.get(row.event as usize).map_or(&[][..], |wanted| &wanted.routes);
            let late = row.ts < self.state.judged_to;
            for route in routes.iter().filter(|route| plays(route) && !route.reads) {
                let Some((rule, _)) = route.straight else {
                    arrival.route(route, &mut landings);
                    continue;
                };
                if !arrival.send(route, &mut landings.sent, &mut self.state.mail, late) {
                    self.state.tallies[rule as usize].keyless += 1;
                }
            }
            self.state.corrections |= late && !landings.sent.is_empty();
        }
        if landings.is_empty() {
            landings.clear();
            self.landings = landings;
            return;
        }
        landings.judge_once();
        let Landings { list, keys, .. } = &mut landings;
        for landing in list.drain(..) {
            match landing.target {
                Target::Derive { pack, derive } => self.derived(pack, derive, &landing, keys, row, depth),
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
                state.corrections |= late;
                state.mail.push(touch, rule, key, keys, late);
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
                let alternative = landing.alternative;
                let asks = self.program.scope_condition(rule, opens, alternative).is_some();
                let edge = |slots: Kept| Edge { at: landing.at, alternative, asks: asks.then(|| Box::new(slots)) };
                let news = match landed {
                    Landed::Keyed { key, slots } => scope.insert(opens, key.of(keys), edge(slots)),
                    Landed::Wide { key, slots } => scope.insert_wide(opens, &key, edge(slots)),
                    Landed::Keyless | Landed::Judged { .. } | Landed::Fact { .. } | Landed::Undecided { .. } => false,
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
                    state.readings.changed(landing.at.ts);
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
                self.succeeded(breaker, key.of(keys), row.ts, row.arrived);
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
        let definition = self.program.rule(rule).1;
        let of = match definition.kind {
            Kind::Always { of, .. } | Kind::Never { of } => of,
            _ => 0,
        };
        let (network, parts) = read_key(definition, key);
        let role = definition.roles.get(of as usize).map(|role| role.name.clone()).unwrap_or_default();
        Violation {
            id: violation_id(&self.traits[rule as usize].id_prefix, key, &Anchor::Event(at)),
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
        self.state.readings.changed(from);
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
}
