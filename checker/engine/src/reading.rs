//! Events whose parts depend on what is known beside them: what their patterns' `let` and `for_each` ask (facts, clocks, breakers,
//! who is live) can be said only when everything of their time has been heard, and what turns out otherwise later gives them
//! other keys.
//!
//! Such an event is kept for as long as late evidence counts. What rules were told of it is taken back and told anew when it
//! comes to something else.
use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};
use event::{Identity, Position, Timestamp, Value, ValueRef};

use crate::{
    arrival::{Arrival, Landings},
    emission::Sent,
    engine::Engine,
    expr::Val,
    fact::Reader,
    key::{self, PartialKey},
    pack::RoleIdx,
    program::RuleIdx,
    route::{Column, Route, Target},
    row::Row,
    source::{SourceIdx, SourceState},
    touch::Touch,
    verdict::Unknown,
    world::{Interruption, Why},
};

/// How many events are kept that have been read.
const READ_MAX: usize = 1 << 18;

/// See the module.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Readings {
    rows: BTreeMap<(Timestamp, Identity), Reading>,
    /// From here on things are otherwise than they were when the events were read.
    changed: Option<Timestamp>,
}

/// An event that is read.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Reading {
    name: String,
    source: SourceIdx,
    arrived: Timestamp,
    position: Position,
    severity: i32,
    body: Value,
    trace_id: String,
    columns: Vec<(Column, Value)>,
    /// What rules were told of it; none: it has not been read yet.
    told: Option<Vec<Sent>>,
}

/// What one of them comes to for the rules of one stratum.
#[derive(Debug, Default)]
struct Read {
    touches: Vec<(RuleIdx, Box<[u8]>, Touch)>,
    /// Which role nobody knows whether it plays, which element of it, and what is known of its key.
    undecided: Vec<(RuleIdx, RoleIdx, u32, PartialKey)>,
}

/// One that is to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    at: (Timestamp, Identity),
    /// It has not been read yet.
    is_new: bool,
}

impl Readings {
    /// Things are otherwise from then on.
    pub(crate) fn changed(&mut self, from: Timestamp) {
        self.changed = Some(self.changed.map_or(from, |known| known.min(from)));
    }

    /// The events before `to` that are to be read for the first time, or again.
    pub(crate) fn due(&mut self, to: Timestamp) -> Vec<Due> {
        let changed = self.changed.take().unwrap_or(Timestamp::MAX);
        let before = self.rows.range(..(to, Identity(0)));
        let due = before.filter(|((ts, _), row)| row.told.is_none() || *ts >= changed);
        due.map(|(at, row)| Due { at: *at, is_new: row.told.is_none() }).collect()
    }

    /// Forgets what nothing can correct any more.
    pub(crate) fn prune(&mut self, floor: Timestamp) {
        self.rows.retain(|(ts, _), row| *ts >= floor || row.told.is_none());
    }

    /// Has what rules were told follow rules that change their numbers.
    pub(crate) fn renumber(&mut self, number: impl Fn(RuleIdx) -> Option<RuleIdx>) {
        for told in self.rows.values_mut().filter_map(|row| row.told.as_mut()) {
            told.retain_mut(|sent| sent.renumber(&number));
        }
    }

    /// Takes over what new rules were told while they were shown the past, and what they read of events.
    pub(crate) fn take_over(&mut self, past: Readings, is_new: impl Fn(RuleIdx) -> bool) {
        for (at, mut row) in past.rows {
            row.told.iter_mut().for_each(|told| told.retain(|sent| is_new(sent.rule())));
            match self.rows.get_mut(&at) {
                None => drop(self.rows.insert(at, row)),
                Some(own) => {
                    row.columns.retain(|(column, _)| own.columns.iter().all(|(known, _)| known != column));
                    own.columns.append(&mut row.columns);
                    if let (Some(own), Some(mut told)) = (&mut own.told, row.told) {
                        own.append(&mut told);
                    }
                }
            }
        }
    }
}

impl Engine {
    /// Keeps an event until all of its time is known.
    pub(crate) fn keep_for_reading(&mut self, row: &Row<'_>) {
        let columns = self.columns(row.event).iter().zip(row.columns);
        let columns = columns.filter_map(|(column, value)| Some((column.clone(), value.as_ref()?.to_value())));
        let reading = Reading {
            name: row.name.into(),
            source: row.source,
            arrived: row.arrived,
            position: row.position,
            severity: row.severity,
            body: row.body.to_value(),
            trace_id: row.trace_id.into(),
            columns: columns.collect(),
            told: None,
        };
        self.state.corrections |= row.ts < self.state.judged_to;
        self.state.readings.rows.entry((row.ts, row.identity)).or_insert(reading);
    }

    /// Reads events, for the first time or again, for the rules of one stratum: what these ask of breakers is so when the strata
    /// before have been judged.
    pub(crate) fn read_events(&mut self, due: &[Due], stratum: u8) {
        if !self.traits.iter().any(|traits| traits.asks && traits.stratum == stratum) {
            return;
        }
        for Due { at, is_new } in due {
            let Some(mut reading) = self.state.readings.rows.remove(at) else { continue };
            let mut told = reading.told.take().unwrap_or_default();
            let of_stratum = |sent: &mut Sent| self.traits[sent.rule() as usize].stratum == stratum;
            let old: Vec<Sent> = told.extract_if(.., of_stratum).collect();
            let read = self.read(*at, &reading, stratum, *is_new);
            let made = self.decide(*at, *is_new, stratum, &old, read);
            told.append(&mut self.replace(old, made));
            self.state.readings.rows.insert(*at, Reading { told: Some(told), ..reading });
        }
    }

    /// Notes of which rules nobody knows what part the event plays in them, as what they ask was forgotten. What had been
    /// decided before that stays so. Returns what rules are to be told.
    fn decide(
        &mut self,
        (ts, identity): (Timestamp, Identity),
        is_new: bool,
        stratum: u8,
        old: &[Sent],
        Read { touches, undecided }: Read,
    ) -> Vec<Sent> {
        let mut made: Vec<Sent> = touches.into_iter().map(Sent::once).collect();
        let noted = |rule: RuleIdx| self.state.undecided[rule as usize].knows(ts, identity);
        let of_stratum =
            |rule: &RuleIdx| self.traits[*rule as usize].asks && self.traits[*rule as usize].stratum == stratum;
        let mut rules: Vec<RuleIdx> = (0..self.traits.len() as RuleIdx).filter(of_stratum).collect();
        rules.retain(|rule| noted(*rule) || undecided.iter().any(|(of, ..)| of == rule));
        for rule in rules {
            let state = &mut self.state;
            let known = &mut state.undecided[rule as usize];
            let own = || undecided.iter().filter(|(of, ..)| *of == rule);
            if !is_new && !known.knows(ts, identity) {
                made.retain(|sent| sent.rule() != rule);
                made.extend(old.iter().filter(|sent| sent.rule() == rule).cloned());
                continue;
            }
            let kind = &self.program.rule(rule).1.kind;
            if is_new {
                let judged: BTreeSet<(RoleIdx, u32)> = own()
                    .filter(|(_, role, ..)| kind.judges(*role))
                    .map(|(_, role, element, _)| (*role, *element))
                    .collect();
                judged.iter().for_each(|_| state.tallies[rule as usize].unknown(Unknown::Forgotten));
            }
            let keys = own().filter(|(_, role, ..)| kind.may_lack(*role)).map(|(.., key)| key.clone()).collect();
            if known.set(ts, identity, keys) && ts < state.judged_to {
                state.dirty.push(Interruption { rule, what: Why::Changed(ts), late: true });
            }
        }
        made
    }

    /// All strata have read these events; forgets the oldest of too many.
    pub(crate) fn have_read(&mut self, due: &[Due]) {
        let rows = &mut self.state.readings.rows;
        for Due { at, .. } in due {
            if let Some(reading) = rows.get_mut(at) {
                reading.told.get_or_insert_default();
            }
        }
        while rows.len() > READ_MAX && rows.first_key_value().is_some_and(|(_, row)| row.told.is_some()) {
            rows.pop_first();
        }
    }

    /// What the rules of one stratum are to be told of an event.
    fn read(&mut self, (ts, identity): (Timestamp, Identity), reading: &Reading, stratum: u8, is_new: bool) -> Read {
        let event = self.event(&reading.name);
        let value = |column: &Column| {
            reading.columns.iter().find(|(known, _)| known == column).map(|(_, value)| value.as_ref())
        };
        let columns: Vec<Option<ValueRef<'_>>> = self.columns(event).iter().map(value).collect();
        let row = Row {
            event,
            name: &reading.name,
            source: reading.source,
            ts,
            sent: ts,
            arrived: reading.arrived,
            identity,
            position: reading.position,
            severity: reading.severity,
            body: reading.body.as_ref(),
            trace_id: &reading.trace_id,
            process: None,
            columns: &columns,
        };
        let Some(source) = self.state.sources.states.get(reading.source as usize) else { return Read::default() };
        let mut landings = Landings::default();
        let routes = self.wanted.get(event as usize).map_or(&[][..], |wanted| &wanted.routes);
        let own = |route: &&Route| match route.target {
            Target::Role { rule, .. } => route.reads && self.traits[rule as usize].stratum == stratum,
            _ => false,
        };
        for route in routes.iter().filter(own) {
            let network = self.network(route, source);
            let known = Some(self.reader(route, &network, ts));
            let arrival = Arrival { program: &self.program, traits: &self.traits, row: &row, source, known };
            arrival.route(route, &mut landings);
        }
        if is_new {
            for rule in landings.keyless() {
                self.state.tallies[rule as usize].keyless += 1;
            }
        }
        let undecided = landings.undecided().map(|(rule, role, element, key)| (rule, role, element, key.clone()));
        Read { undecided: undecided.collect(), touches: landings.touches() }
    }

    /// The network in which a rule asks facts about an event, as a key begins with it.
    fn network(&self, route: &Route, source: &SourceState) -> Vec<u8> {
        match route.target {
            Target::Role { rule, .. } if self.program.rule(rule).1.across_networks => key::NO_NETWORK.to_vec(),
            _ => {
                let mut network = Vec::new();
                key::push(&mut network, &Val::String(source.network.as_str().into()));
                network
            }
        }
    }

    /// What a pack knows as of a time.
    fn reader<'a>(&'a self, route: &Route, network: &'a [u8], ts: Timestamp) -> Reader<'a> {
        Reader {
            facts: &self.state.facts,
            pack: &self.program.packs()[route.pack as usize],
            base: self.program.fact_base(route.pack),
            clocks: &self.state.clocks,
            clock_base: self.program.clock_base(route.pack),
            breakers: &self.state.breakers,
            sources: &self.state.sources,
            timing: &self.timing,
            network,
            ts,
        }
    }
}
