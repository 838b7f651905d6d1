//! Feeding: records walked out of a request become rows of the columns that rules name, and nothing else of them is read.
use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
};

use engine::{Engine, EventIdx, Row, SourceIdx};
use event::{Event, Position, Timestamp, Value, ValueRef};
use wire::{Any, Occurrences, Record, Refused, Scratch, Signal};

/// What is kept from request to request, for its memory.
#[derive(Default)]
pub struct Feeder {
    scratch: Scratch,
    occurrences: Occurrences,
    /// Counters of requests that come in several bodies, by group.
    shared: HashMap<usize, Occurrences>,
    whole: BTreeSet<usize>,
    source: Option<(Source, SourceIdx)>,
    /// Where records say which process they are of, as the engine's packs ask for it.
    process_attributes: Option<Vec<String>>,
    /// The text of a process that is sent as a number.
    process: String,
}

/// The number of all events that no rule reads.
const UNREAD: EventIdx = 0;

#[derive(Default, PartialEq, Eq)]
struct Source {
    network: String,
    node: String,
    component: String,
}

impl Feeder {
    /// Names the groups of bodies that are one request each: their twins are counted together.
    pub fn keep_occurrences(&mut self, groups: BTreeSet<usize>) {
        self.whole = groups;
    }

    /// Feeds all events of a request that came at `arrived` and stands at `at`, and tells of those that were refused.
    /// Returns how many were fed; a body that turns out to be malformed is fed up to the damage.
    pub fn request(
        &mut self,
        engine: &mut Engine,
        signal: Signal,
        body: &[u8],
        refused: &Refused,
        arrived: Timestamp,
        at: Position,
        group: usize,
    ) -> u32 {
        let mut occurrences = match self.whole.contains(&group) {
            true => self.shared.remove(&group).unwrap_or_default(),
            false => std::mem::take(&mut self.occurrences),
        };
        if !self.whole.contains(&group) {
            occurrences.clear();
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut fed = 0;
        // The body was checked before it was kept; what the walk cannot read now, nobody was promised.
        let _ = wire::walk(signal, body, refused, &mut scratch, |record| {
            self.record(engine, record, arrived, at, &mut occurrences);
            fed += 1;
        });
        if !refused.is_empty() {
            let _ = wire::walk_refused(signal, body, refused, &mut scratch, |record| {
                engine.refused(record.network(), record.node(), record.name(), record.ts(arrived));
            });
        }
        self.scratch = scratch;
        match self.whole.contains(&group) {
            true => {
                self.shared.insert(group, occurrences);
            }
            false => self.occurrences = occurrences,
        }
        fed
    }

    fn record(
        &mut self,
        engine: &mut Engine,
        record: &Record<'_, '_>,
        arrived: Timestamp,
        at: Position,
        occurrences: &mut Occurrences,
    ) {
        let identity = record.identity(occurrences);
        let source = self.source(engine, record);
        let event = engine.event(record.name());
        // What no rule reads is not decoded; most events have a name that none does.
        let wanted = engine.columns(event);
        let mut decoded: Vec<(usize, Value)> = Vec::new();
        let mut columns: Vec<Option<ValueRef<'_>>> = Vec::with_capacity(wanted.len());
        for (place, column) in wanted.iter().enumerate() {
            let name = column.name.as_str();
            let value = if column.of_resource { record.resource_attr(name) } else { record.attr(name) };
            columns.push(value.and_then(|value| {
                let plain = plain(&value);
                if plain.is_none() {
                    decoded.push((place, value.to_value()));
                }
                plain
            }));
        }
        for (place, value) in &decoded {
            columns[*place] = Some(value.as_ref());
        }
        let mut hex = [0; 32];
        let (body, trace_id) = match event {
            UNREAD => (None, ""),
            _ => (Some(record.body()), record.trace_id_hex_in(&mut hex)),
        };
        let nested = body.filter(|body| plain(body).is_none()).map(Any::to_value);
        let body = nested.as_ref().map(Value::as_ref).or_else(|| plain(&body?)).unwrap_or(ValueRef::Null);
        let attributes = self.process_attributes.get_or_insert_with(|| {
            let mut names: Vec<String> = Vec::new();
            for name in engine.program().process_attributes() {
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
            names
        });
        let process = attributes.iter().find_map(|name| record.attr(name).or_else(|| record.resource_attr(name)));
        let process = process.as_ref().map(|value| process_name(value, &mut self.process));
        engine.row(&Row {
            event,
            name: record.name(),
            source,
            ts: record.ts(arrived),
            sent: record.sent_at(arrived),
            arrived,
            identity,
            position: Position { record: record.index(), ..at },
            severity: record.severity(),
            body,
            trace_id,
            process,
            columns: &columns,
        });
    }

    /// The source's number; records of one scope mostly follow one another.
    fn source(&mut self, engine: &mut Engine, record: &Record<'_, '_>) -> SourceIdx {
        let (network, node, component) = (record.network(), record.node(), record.component());
        if let Some((known, number)) = &self.source
            && known.network == network
            && known.node == node
            && known.component == component
        {
            return *number;
        }
        let name = engine.program().component(component).to_owned();
        let number = engine.source(network, node, &name);
        let source = Source { network: network.into(), node: node.into(), component: component.into() };
        self.source = Some((source, number));
        number
    }

    /// Forgets what it knows of the engine: for another one, or other packs.
    pub fn reset(&mut self) {
        self.source = None;
        self.process_attributes = None;
    }
}

/// A value that needs no decoding.
fn plain<'a>(value: &Any<'a>) -> Option<ValueRef<'a>> {
    Some(match *value {
        Any::Null => ValueRef::Null,
        Any::Bool(value) => ValueRef::Bool(value),
        Any::Int(value) => ValueRef::Int(value),
        Any::Double(value) => ValueRef::Double(value),
        Any::Str(value) => ValueRef::String(value),
        Any::Bytes(value) => ValueRef::Bytes(value),
        Any::Array(_) | Any::Map(_) => return None,
    })
}

/// A process as text: its own, or written into `text`.
fn process_name<'t>(value: &Any<'t>, text: &'t mut String) -> &'t str {
    text.clear();
    match value {
        Any::Str(name) => return name,
        // Writing to a string cannot fail.
        Any::Int(number) => drop(write!(text, "{number}")),
        other => text.push_str(&crate::json::text(&other.to_value())),
    }
    text
}

/// The least time in a request; [`Timestamp::MAX`] when it holds nothing.
#[must_use]
pub fn first_ts(signal: Signal, body: &[u8], refused: &Refused) -> Timestamp {
    let mut first = Timestamp::MAX;
    let _ = wire::walk(signal, body, refused, &mut Scratch::default(), |record| {
        first = first.min(record.ts(Timestamp::ZERO));
    });
    first
}

/// All events of a request, owned.
#[must_use]
pub fn events(signal: Signal, body: &[u8], refused: &Refused, arrived: Timestamp, at: Position) -> Vec<Event> {
    picked(signal, body, refused, arrived, at, |_| true)
}

/// The events of a request whose records' numbers are wanted, owned.
#[must_use]
pub fn picked(
    signal: Signal,
    body: &[u8],
    refused: &Refused,
    arrived: Timestamp,
    at: Position,
    wanted: impl Fn(u32) -> bool,
) -> Vec<Event> {
    let mut events = Vec::new();
    let mut occurrences = Occurrences::default();
    let _ = wire::walk(signal, body, refused, &mut Scratch::default(), |record| {
        // Twins are told apart by those before them, wanted or not.
        let identity = record.identity(&mut occurrences);
        if wanted(record.index()) {
            let position = Position { record: record.index(), ..at };
            events.push(Event { identity, ..record.to_event(arrived, position) });
        }
    });
    events
}

/// Feeds one event that is at hand.
pub fn event(engine: &mut Engine, event: &Event) {
    let component = engine.program().component(&event.source.component).to_owned();
    let source = engine.source(&event.source.network, &event.source.node, &component);
    let number = engine.event(&event.name);
    let columns: Vec<Option<ValueRef<'_>>> = engine
        .columns(number)
        .iter()
        .map(|column| {
            let from = if column.of_resource { &event.resource } else { &event.attrs };
            from.iter().rev().find(|(name, _)| *name == column.name).map(|(_, value)| value.as_ref())
        })
        .collect();
    let process = engine.program().process_attributes().find_map(|name| {
        event
            .attrs
            .iter()
            .chain(&event.resource)
            .find(|(key, _)| key == name)
            .map(|(_, value)| crate::json::text(value))
    });
    engine.row(&Row {
        event: number,
        name: &event.name,
        source,
        ts: event.ts,
        sent: event.ts,
        arrived: event.arrived,
        identity: event.identity,
        position: event.position,
        severity: event.severity,
        body: event.body.as_ref(),
        trace_id: &event.trace_id,
        process: process.as_deref(),
        columns: &columns,
    });
}
