//! Feeding: records walked out of a request become rows of the columns that rules name, and nothing else of them is read.
use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
};

use engine::{Engine, EventIdx, Row, SourceIdx};
use event::{Event, Identity, Position, Timestamp, Value, ValueRef};
use wire::{Any, Digested, Occurrences, Record, Refused, Scratch, Signal, Visit};

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

/// A request as it was kept.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What it carries.
    pub signal: Signal,
    /// Its bytes; may be left out where [`Feeder::reads_none`] says so.
    pub body: &'a [u8],
    /// Which of its records were refused.
    pub refused: &'a Refused,
    /// What was noted of it when it was checked; empty: nothing.
    pub notes: &'a [u8],
    /// When it was accepted.
    pub arrived: Timestamp,
    /// Where it stands.
    pub at: Position,
    /// Bodies of one group are one request.
    pub group: usize,
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

    /// Feeds all events of a request, and tells of those that were refused. With the notes that were taken of it, only those
    /// events are read that some rule names. Returns how many were fed; a body that turns out to be malformed is fed up to the
    /// damage.
    pub fn request(&mut self, engine: &mut Engine, received: Received<'_>) -> u32 {
        let Received { signal, body, refused, notes, arrived, at, group } = received;
        let mut occurrences = match self.whole.contains(&group) {
            true => self.shared.remove(&group).unwrap_or_default(),
            false => std::mem::take(&mut self.occurrences),
        };
        if !self.whole.contains(&group) {
            occurrences.clear();
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let noted = Digested::read(notes, body).and_then(|digest| self.numbered(engine, digest));
        if let Some(noted) = &noted {
            // The answer is asked for its side effect on memory alone.
            std::hint::black_box(engine.known(noted.digest.identities()));
        }
        let reads_some = noted.as_ref().is_none_or(Numbered::reads_some);
        let mut request = Request { feeder: self, engine, arrived, at, occurrences: &mut occurrences, noted, fed: 0 };
        if reads_some {
            // The body was checked before it was kept; what the walk cannot read now, nobody was promised.
            let _ = wire::walk_wanted(signal, body, refused, &mut scratch, &mut request);
        } else {
            request.in_short();
        }
        let fed = request.fed;
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

    /// Whether these notes say all that is asked of a request, so that it is fed without its body: no rule reads any of its
    /// events.
    pub fn reads_none(&mut self, engine: &mut Engine, notes: &[u8]) -> bool {
        let noted = Digested::read(notes, &[]).and_then(|digest| self.numbered(engine, digest));
        noted.is_some_and(|noted| !noted.reads_some())
    }

    /// The engine's numbers for what is noted; none where the notes do not say all that the engine asks of every event.
    fn numbered<'a>(&mut self, engine: &mut Engine, digest: Digested<'a>) -> Option<Numbered<'a>> {
        self.learn_process_attributes(engine);
        let attributes = self.process_attributes.as_deref().unwrap_or_default();
        if attributes.iter().any(|name| digest.may_have(name)) {
            return None;
        }
        let mut processes = Vec::with_capacity(digest.sources.len());
        for source in &digest.sources {
            let process = attributes.iter().find_map(|name| source.resource_attr(name));
            processes.push(process.map(|value| process_name(&value, &mut String::new()).to_owned()));
        }
        let sources =
            digest.sources.iter().map(|source| self.source(engine, source.network, source.node, source.component));
        let sources = sources.collect();
        let events = digest.names.iter().map(|name| engine.event(name)).collect();
        Some(Numbered { digest, events, sources, processes })
    }

    fn learn_process_attributes(&mut self, engine: &Engine) {
        self.process_attributes.get_or_insert_with(|| {
            let mut names: Vec<String> = Vec::new();
            for name in engine.program().process_attributes() {
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
            names
        });
    }

    fn record(
        &mut self,
        engine: &mut Engine,
        record: &Record<'_, '_>,
        arrived: Timestamp,
        at: Position,
        identity: Identity,
    ) {
        let source = self.source(engine, record.network(), record.node(), record.component());
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
        self.learn_process_attributes(engine);
        let attributes = self.process_attributes.as_deref().unwrap_or_default();
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
    fn source(&mut self, engine: &mut Engine, network: &str, node: &str, component: &str) -> SourceIdx {
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

/// The notes of a request, with the engine's numbers for what they name.
struct Numbered<'a> {
    digest: Digested<'a>,
    events: Vec<EventIdx>,
    sources: Vec<SourceIdx>,
    /// By source.
    processes: Vec<Option<String>>,
}

impl Numbered<'_> {
    /// Whether some rule reads one of the events.
    fn reads_some(&self) -> bool {
        self.events.iter().any(|event| *event != UNREAD)
    }
}

/// A request that is being fed.
struct Request<'f, 'a> {
    feeder: &'f mut Feeder,
    engine: &'f mut Engine,
    arrived: Timestamp,
    at: Position,
    occurrences: &'f mut Occurrences,
    noted: Option<Numbered<'a>>,
    fed: u32,
}

impl Request<'_, '_> {
    /// Feeds all events by their notes.
    fn in_short(&mut self) {
        let records = self.noted.as_ref().map_or(0, |noted| noted.digest.len());
        for index in 0..records as u32 {
            self.wants(index);
        }
    }
}

impl<'a> Visit<'a> for Request<'_, '_> {
    /// An event that no rule reads is fed by its notes, and not wanted.
    fn wants(&mut self, index: u32) -> bool {
        let Some(numbered) = &self.noted else { return true };
        let Some(noted) = numbered.digest.record(index) else { return false };
        if numbered.events[noted.name] != UNREAD {
            return true;
        }
        let ts = noted.ts(self.arrived);
        self.engine.row(&Row {
            event: UNREAD,
            name: numbered.digest.names[noted.name],
            source: numbered.sources[noted.source],
            ts,
            sent: ts,
            arrived: self.arrived,
            identity: noted.identity,
            position: Position { record: index, ..self.at },
            severity: 0,
            body: ValueRef::Null,
            trace_id: "",
            process: numbered.processes[noted.source].as_deref(),
            columns: &[],
        });
        self.fed += 1;
        false
    }

    fn visit(&mut self, record: &Record<'a, '_>) {
        let noted = self.noted.as_ref().and_then(|numbered| numbered.digest.record(record.index()));
        let identity = noted.map_or_else(|| record.identity(self.occurrences), |noted| noted.identity);
        self.feeder.record(self.engine, record, self.arrived, self.at, identity);
        self.fed += 1;
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

#[cfg(test)]
mod tests {
    use engine::{Input, Program, Timing};
    use proptest::prelude::*;
    use wire::Limits;

    use super::*;

    const PACK: &str = "\
pack: fed
lifecycle:
  - {of: [node], instance: process.pid}
rules:
  - id: pairs
    severity: high
    key: [node, id]
    response: {when: begun, then: done, within: 2s}
  - id: never
    severity: high
    key: [node]
    never: bad
";

    fn engine() -> Engine {
        let file = crate::packs::PackFile::compile(std::path::Path::new("fed.yaml"), PACK.to_owned());
        Engine::new(Program::link(file.pack), Timing::default(), Input::Live)
    }

    /// A record as the tests make it: name, node, process, id, time.
    type Said = (usize, usize, Option<u8>, u8, u64);

    fn line((name, node, process, id, ts): &Said) -> String {
        let name = ["begun", "done", "bad", "other", "another"][*name];
        let process = process.map_or_else(String::new, |process| format!(r#","process.pid":"p{process}""#));
        let ts = 1_000_000_000_000 + ts * 500_000_000;
        format!(r#"{{"ts":{ts},"node":"n{node}","component":"c","event":"{name}","attrs":{{"id":{id}{process}}}}}"#)
    }

    proptest! {
        #[test]
        fn what_is_fed_by_its_notes_is_judged_as_what_is_read(
            requests in prop::collection::vec(
                prop::collection::vec((0usize..5, 0usize..2, prop::option::weighted(0.1, 0u8..2), 0u8..3, 0u64..20), 1..12),
                1..8,
            ),
        ) {
            let (mut by_notes, mut read, mut in_short) = (engine(), engine(), engine());
            let (mut feeder, mut reader, mut short) = (Feeder::default(), Feeder::default(), Feeder::default());
            let (mut said, mut wanted, mut told) = (Vec::new(), Vec::new(), Vec::new());
            for (number, records) in requests.iter().enumerate() {
                let lines: Vec<String> = records.iter().map(line).collect();
                let body = wire::lines_to_protobuf(lines.join("\n").as_bytes()).unwrap();
                let (limits, mut occurrences) = (Limits::default(), Occurrences::default());
                let (_, notes) = wire::check_and_digest(Signal::Logs, &body, &limits, &mut occurrences).unwrap();
                let notes = notes.into_bytes();
                prop_assert!(!notes.is_empty());
                let arrived = Timestamp(1_000_000_000_000 + 3_000_000_000 * (number as u64 + 1));
                let at = Position { partition: 0, frame: number as u64 + 1, record: 0 };
                let (signal, refused) = (Signal::Logs, &Refused::default());
                let received = Received { signal, body: &body, refused, notes: &notes, arrived, at, group: 0 };
                let fed = feeder.request(&mut by_notes, received);
                prop_assert_eq!(fed, records.len() as u32);
                prop_assert_eq!(fed, reader.request(&mut read, Received { notes: &[], ..received }));
                let bodiless = short.reads_none(&mut in_short, &notes);
                prop_assert_eq!(bodiless, !records.iter().any(|(name, _, process, ..)| *name < 3 || process.is_some()));
                let body = if bodiless { &[] } else { &*body };
                prop_assert_eq!(fed, short.request(&mut in_short, Received { body, ..received }));
                by_notes.tick(arrived, &mut said);
                read.tick(arrived, &mut wanted);
                in_short.tick(arrived, &mut told);
            }
            prop_assert_eq!(&said, &wanted);
            prop_assert_eq!(&told, &wanted);
            prop_assert_eq!(in_short.checkpoint().unwrap(), read.checkpoint().unwrap());
            prop_assert_eq!(by_notes.checkpoint().unwrap(), read.checkpoint().unwrap());
        }
    }
}
