//! What is noted of each event of a request while it is checked: who sent it, what it is called, when it happened, and its
//! identity. Most events have a name that no rule reads; of those nothing else is ever asked, so whoever has the notes need
//! not read the request again. The notes belong to one process and are never stored.
use event::{Identity, Timestamp};

use crate::{
    Any, Census, Limits, Malformed, Occurrences, Record, Signal,
    check::{Log, Observer, check, check_observed},
    reader::{all, text},
    record::{Attribute, Lazy, Resource},
};

/// Requests with more names or sources than this are not noted: looking them up would take longer than reading them again.
const DISTINCT_MAX: usize = 64;

/// What sources say of themselves is noted as long as it has no more bytes than this, all together. Beyond, the notes say where
/// it stands, and are of use only beside the request.
const RESOURCE_BYTES_MAX: usize = 4 << 10;

/// Numbers of records, names, resources and sources, and the attributes' marks.
const HEADER_BYTES: usize = 16 + MARKS * 8;
/// Identity, time, source, name, and whether it is an event.
const RECORD_BYTES: usize = 32;
/// Words of a set of attributes' names, of which each is one bit.
const MARKS: usize = 4;

/// The notes of one request, as bytes; empty when there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest(Vec<u8>);

impl Digest {
    /// The form that [`Digested::read`] takes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Looks a request through, and notes what is seen of its events on the way: whoever judges them later need not read those
/// again that nobody asks about. Of spans nothing is noted: they are few.
///
/// # Errors
/// As [`check`](crate::check).
pub fn check_and_digest(
    signal: Signal,
    body: &[u8],
    limits: &Limits,
    occurrences: &mut Occurrences,
) -> Result<(Census, Digest), Malformed> {
    if signal == Signal::Traces {
        return Ok((check(signal, body, limits)?, Digest::default()));
    }
    let mut digester = Digester::new(body, occurrences);
    let census = check_observed(signal, body, limits, &mut digester)?;
    Ok((census, digester.finish()))
}

/// Takes notes of what the check sees.
struct Digester<'a, 'o> {
    /// Those of the record that is being read.
    attributes: Vec<Attribute<'a>>,
    body: &'a [u8],
    occurrences: &'o mut Occurrences,
    resource: Resource<'a>,
    /// Where the resource stands; none where it comes in parts.
    resource_at: Option<&'a [u8]>,
    scope: &'a str,
    names: Vec<&'a str>,
    resources: Vec<&'a [u8]>,
    sources: Vec<Source<'a>>,
    notes: Vec<u8>,
    records: u32,
    marks: [u64; MARKS],
    gave_up: bool,
}

/// A source's name, and what says more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'a> {
    /// See [`Record::network`].
    pub network: &'a str,
    /// See [`Record::node`].
    pub node: &'a str,
    /// See [`Record::component`].
    pub component: &'a str,
    resource: &'a [u8],
}

impl<'a> Source<'a> {
    /// The resource's attribute of that name; see [`Record::resource_attr`].
    #[must_use]
    pub fn resource_attr(&self, name: &str) -> Option<Any<'a>> {
        let attributes = all(self.resource, 1).filter_map(|attribute| Attribute::parse(attribute).ok());
        attributes.filter(|attribute| attribute.name == name.as_bytes()).last().map(|attribute| attribute.value.value())
    }
}

impl<'a, 'o> Digester<'a, 'o> {
    fn new(body: &'a [u8], occurrences: &'o mut Occurrences) -> Self {
        occurrences.clear();
        // About what records of some hundred bytes need.
        let mut notes = Vec::with_capacity(HEADER_BYTES + body.len() / 8);
        notes.resize(HEADER_BYTES, 0);
        Self {
            attributes: Vec::new(),
            body,
            occurrences,
            resource: Resource::default(),
            resource_at: None,
            scope: "",
            names: Vec::new(),
            resources: Vec::new(),
            sources: Vec::new(),
            notes,
            records: 0,
            marks: [0; MARKS],
            gave_up: false,
        }
    }

    fn note(&mut self, log: &Log<'a>) -> Option<[u8; RECORD_BYTES]> {
        let resource = self.resource_at?;
        if self.resources.last().is_none_or(|last| last.as_ptr() != resource.as_ptr()) {
            self.resources.push(resource);
        }
        let record = Record {
            index: self.records - 1,
            event_name: text(log.event_name).ok()?,
            time: log.time,
            observed: log.observed,
            sent: 0,
            severity: 0,
            body: log.body.map_or(Lazy::Said(Any::Null), Lazy::Sent),
            attrs: &self.attributes,
            resource: &self.resource,
            scope: self.scope,
            trace_id: log.trace_id,
            span_id: log.span_id,
            dropped_attributes: 0,
        };
        let identity = record.identity(self.occurrences);
        let (network, node, component) = (record.network(), record.node(), record.component());
        let source = Source { network, node, component, resource };
        let same = |known: &Source<'_>| known.resource.as_ptr() == resource.as_ptr() && known.component == component;
        let source = number_of(&mut self.sources, source, same)?;
        let name = record.name();
        let name = number_of(&mut self.names, name, |known| *known == name)?;
        let time = record.ts(Timestamp::ZERO);
        for attribute in &self.attributes {
            let (word, bit) = mark(attribute.name);
            self.marks[word] |= bit;
        }
        let mut noted = [0; RECORD_BYTES];
        noted[..16].copy_from_slice(&identity.0.to_le_bytes());
        noted[16..24].copy_from_slice(&time.0.to_le_bytes());
        noted[24..26].copy_from_slice(&source.to_le_bytes());
        noted[26..28].copy_from_slice(&name.to_le_bytes());
        noted[28] = 1;
        Some(noted)
    }

    fn finish(self) -> Digest {
        let Self { body, names, mut resources, sources, mut notes, records, marks, gave_up, .. } = self;
        if gave_up {
            return Digest::default();
        }
        // Those of refused records alone say nothing of anybody.
        resources.retain(|resource| sources.iter().any(|source| source.resource.as_ptr() == resource.as_ptr()));
        let numbers = [records, names.len() as u32, resources.len() as u32, sources.len() as u32].map(u32::to_le_bytes);
        notes[..16].copy_from_slice(numbers.as_flattened());
        notes[16..HEADER_BYTES].copy_from_slice(marks.map(u64::to_le_bytes).as_flattened());
        let mut push = |text: &[u8]| {
            notes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            notes.extend_from_slice(text);
        };
        names.iter().for_each(|name| push(name.as_bytes()));
        let whole = resources.iter().map(|resource| resource.len()).sum::<usize>() <= RESOURCE_BYTES_MAX;
        for resource in &resources {
            push(&[u8::from(whole)]);
            let at = (resource.as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
            let place = [at as u32, resource.len() as u32].map(u32::to_le_bytes);
            push(if whole { resource } else { place.as_flattened() });
        }
        for source in sources {
            [source.network, source.node, source.component].iter().for_each(|part| push(part.as_bytes()));
            let resource = resources.iter().position(|known| known.as_ptr() == source.resource.as_ptr());
            push(&(resource.unwrap_or_default() as u32).to_le_bytes());
        }
        Digest(notes)
    }
}

impl<'a> Observer<'a> for Digester<'a, '_> {
    /// What cannot be read of it, the check finds.
    fn resource(&mut self, message: &'a [u8]) {
        let mut parts = all(message, 1);
        self.resource_at = Some(parts.next().unwrap_or_default()).filter(|_| parts.next().is_none());
        self.resource.attrs.clear();
        for attribute in all(self.resource_at.unwrap_or_default(), 1) {
            if let Ok(attribute) = Attribute::parse(attribute) {
                self.resource.attrs.push(attribute);
            }
        }
        self.resource.resolve();
    }

    fn scope(&mut self, message: &'a [u8]) {
        let name = all(message, 1).flat_map(|scope| all(scope, 1)).last();
        self.scope = text(name.unwrap_or_default()).unwrap_or_default();
    }

    fn begin(&mut self) {
        self.attributes.clear();
    }

    fn attribute(&mut self, name: &'a [u8], value: &'a [u8]) {
        self.attributes.push(Attribute { name, value: Lazy::Sent(value) });
    }

    fn end(&mut self, log: Option<&Log<'a>>) {
        self.records += 1;
        if self.gave_up {
            return;
        }
        let noted = match log {
            None => Some([0; RECORD_BYTES]),
            Some(log) => self.note(log),
        };
        match noted {
            Some(noted) => self.notes.extend_from_slice(&noted),
            None => self.gave_up = true,
        }
    }
}

/// The number of what is the `same` among those that are known; the new one's where none is.
fn number_of<T>(known: &mut Vec<T>, new: T, same: impl Fn(&T) -> bool) -> Option<u16> {
    // What comes next is mostly what came last.
    let place = known.iter().rposition(same).unwrap_or_else(|| {
        known.push(new);
        known.len() - 1
    });
    (place < DISTINCT_MAX).then_some(place as u16)
}

/// The bit that stands for an attribute's name.
fn mark(name: &[u8]) -> (usize, u64) {
    let ends = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29),
        _ => name.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    let hash = (ends ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    ((hash / 64) as usize, 1 << (hash % 64))
}

/// What is noted of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Its place in [`Digested::names`].
    pub name: usize,
    /// Its place in [`Digested::sources`].
    pub source: usize,
    /// See [`Record::identity`].
    pub identity: Identity,
    time: u64,
}

impl Noted {
    /// When it happened; see [`Record::ts`].
    #[must_use]
    pub fn ts(&self, arrived: Timestamp) -> Timestamp {
        if self.time == 0 { arrived } else { Timestamp(self.time) }
    }
}

/// The notes of one request, read.
#[derive(Clone, Debug)]
pub struct Digested<'a> {
    /// The names of its events.
    pub names: Vec<&'a str>,
    /// Who sent them.
    pub sources: Vec<Source<'a>>,
    records: &'a [[u8; RECORD_BYTES]],
    marks: [u64; MARKS],
}

impl<'a> Digested<'a> {
    /// Reads the notes of this request; none where there are none. Most are of use also where the request is not at hand, and
    /// `body` is empty: then those that are not say nothing.
    #[must_use]
    pub fn read(notes: &'a [u8], body: &'a [u8]) -> Option<Self> {
        let mut rest = notes;
        let mut take = |bytes: usize| {
            let (taken, left) = rest.split_at_checked(bytes)?;
            rest = left;
            Some(taken)
        };
        let number = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize);
        let (records, names) = (number(take(4)?)?, number(take(4)?)?);
        let (resources, sources) = (number(take(4)?)?, number(take(4)?)?);
        let mut marks = [0; MARKS];
        for word in &mut marks {
            *word = u64::from_le_bytes(take(8)?.try_into().ok()?);
        }
        let records = take(records.checked_mul(RECORD_BYTES)?)?.as_chunks::<RECORD_BYTES>().0;
        let mut part = || {
            let length = number(take(4)?)?;
            take(length)
        };
        let names = (0..names).map(|_| text(part()?).ok()).collect::<Option<_>>()?;
        let resources = (0..resources).map(|_| {
            if part()? == [1] {
                return part();
            }
            let (at, length) = part()?.split_at_checked(4)?;
            body.get(number(at)?..)?.get(..number(length)?)
        });
        let resources: Vec<&[u8]> = resources.collect::<Option<_>>()?;
        let sources = (0..sources).map(|_| {
            let [network, node, component] = [text(part()?).ok()?, text(part()?).ok()?, text(part()?).ok()?];
            let resource = resources.get(number(part()?)?)?;
            Some(Source { network, node, component, resource })
        });
        Some(Self { names, sources: sources.collect::<Option<_>>()?, records, marks })
    }

    /// How many records there are, refused ones counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What is noted of a record; none where it was refused.
    #[must_use]
    pub fn record(&self, index: u32) -> Option<Noted> {
        let noted = self.records.get(index as usize)?;
        let u16_at = |at: usize| usize::from(u16::from_le_bytes([noted[at], noted[at + 1]]));
        (noted[28] == 1).then_some(Noted {
            name: u16_at(26),
            source: u16_at(24),
            identity: Identity(u128::from_le_bytes(*noted.first_chunk()?)),
            time: u64::from_le_bytes(*noted[16..].first_chunk()?),
        })
    }

    /// The identities of all events.
    pub fn identities(&self) -> impl Iterator<Item = Identity> {
        (0..self.records.len() as u32).filter_map(|index| Some(self.record(index)?.identity))
    }

    /// Whether some record may have an attribute of that name; false only where none has.
    #[must_use]
    pub fn may_have(&self, attribute: &str) -> bool {
        let (word, bit) = mark(attribute.as_bytes());
        self.marks[word] & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Refused, Scratch, walk};
    use opentelemetry_proto::tonic::{
        collector::logs::v1::ExportLogsServiceRequest,
        common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        resource::v1::Resource,
    };
    use proptest::prelude::*;
    use prost::Message;

    fn attribute(key: &str, value: &str) -> KeyValue {
        let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    fn attributes(keys: &'static [&'static str]) -> impl Strategy<Value = Vec<KeyValue>> {
        let one = (prop::sample::select(keys), "[a-c]{0,2}").prop_map(|(key, value)| attribute(key, &value));
        prop::collection::vec(one, 0..4)
    }

    fn record() -> impl Strategy<Value = LogRecord> {
        const KEYS: &[&str] = &["event.name", "component", "log.record.uid", "process.pid", "x"];
        let times = (prop_oneof![Just(0u64), 1u64..9], prop_oneof![Just(0u64), 1u64..9]);
        let ids = (prop::collection::vec(any::<u8>(), 15..17), prop::collection::vec(any::<u8>(), 7..9));
        // Some are refused: a name that is too long.
        let name = prop_oneof![8 => "[ab]{0,1}", 1 => Just("n".repeat(2_000))];
        (times, ids, name, attributes(KEYS), prop::option::of("[a-z]{0,3}")).prop_map(
            |((time_unix_nano, observed_time_unix_nano), (trace_id, span_id), event_name, attributes, body)| {
                LogRecord {
                    time_unix_nano,
                    observed_time_unix_nano,
                    trace_id,
                    span_id,
                    event_name,
                    attributes,
                    body: body.map(|text| AnyValue { value: Some(Value::StringValue(text)) }),
                    ..LogRecord::default()
                }
            },
        )
    }

    fn request() -> impl Strategy<Value = ExportLogsServiceRequest> {
        const KEYS: &[&str] = &["service.name", "service.instance.id", "network", "process.pid"];
        let scoped = ("[st]{0,1}", prop::collection::vec(record(), 0..5)).prop_map(|(name, log_records)| ScopeLogs {
            scope: Some(InstrumentationScope { name, ..InstrumentationScope::default() }),
            log_records,
            ..ScopeLogs::default()
        });
        let resource = prop::option::of(attributes(KEYS))
            .prop_map(|attributes| attributes.map(|attributes| Resource { attributes, ..Resource::default() }));
        let group = (resource, prop::collection::vec(scoped, 0..3)).prop_map(|(resource, scope_logs)| ResourceLogs {
            resource,
            scope_logs,
            ..ResourceLogs::default()
        });
        prop::collection::vec(group, 0..3).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
    }

    fn digested(body: &[u8]) -> (Refused, Vec<u8>) {
        let mut occurrences = Occurrences::default();
        let (census, digest) = check_and_digest(Signal::Logs, body, &Limits::default(), &mut occurrences).unwrap();
        (census.refused, digest.into_bytes())
    }

    proptest! {
        #[test]
        fn what_is_noted_is_what_a_walk_sees(request in request()) {
            let body = request.encode_to_vec();
            let (refused, notes) = digested(&body);
            let digest = Digested::read(&notes, &body).unwrap();
            let mut occurrences = Occurrences::default();
            let mut events = 0;
            walk(Signal::Logs, &body, &refused, &mut Scratch::default(), |record| {
                events += 1;
                let noted = digest.record(record.index()).unwrap();
                let source = digest.sources[noted.source];
                assert_eq!(noted.identity, record.identity(&mut occurrences));
                assert_eq!(digest.names[noted.name], record.name());
                assert_eq!((source.network, source.node, source.component), (record.network(), record.node(), record.component()));
                assert_eq!(noted.ts(Timestamp(77)), record.ts(Timestamp(77)));
                assert_eq!(noted.ts(Timestamp(77)), record.sent_at(Timestamp(77)));
                for name in ["process.pid", "x", "service.name"] {
                    assert_eq!(source.resource_attr(name), record.resource_attr(name));
                    assert!(record.attr(name).is_none() || digest.may_have(name));
                }
            })
            .unwrap();
            let noted = (0..digest.len() as u32).filter_map(|index| digest.record(index)).count();
            prop_assert_eq!(noted, events);
            prop_assert_eq!(digest.len(), events + refused.len());
            // The request need not be at hand.
            let alone = Digested::read(&notes, &[]).unwrap();
            prop_assert_eq!((alone.names, alone.sources), (digest.names, digest.sources));
        }

        #[test]
        fn no_notes_are_read_where_there_are_none(bytes in any::<Vec<u8>>()) {
            if let Some(digest) = Digested::read(&bytes, &[]) {
                prop_assert!((0..digest.len() as u32).filter_map(|index| digest.record(index)).count() <= bytes.len());
            }
        }
    }

    fn named(names: impl Iterator<Item = String>) -> Vec<u8> {
        let log_records = names.map(|event_name| LogRecord { event_name, ..LogRecord::default() }).collect();
        let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
        ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] }
            .encode_to_vec()
    }

    #[test]
    fn a_request_of_very_many_names_is_not_noted() {
        let most = named((0..DISTINCT_MAX).map(|number| format!("n{number}")));
        assert_eq!(Digested::read(&digested(&most).1, &most).unwrap().names.len(), DISTINCT_MAX);
        let more = named((0..=DISTINCT_MAX).map(|number| format!("n{number}")));
        assert!(digested(&more).1.is_empty() && Digested::read(&[], &more).is_none());
    }

    #[test]
    fn of_those_who_say_much_of_themselves_the_notes_are_of_use_beside_the_request_alone() {
        let said = |bytes: usize| {
            let attributes = vec![attribute("process.pid", "7"), attribute("process.command_line", &"x".repeat(bytes))];
            let resource = Some(Resource { attributes, ..Resource::default() });
            let scope_logs = vec![ScopeLogs { log_records: vec![LogRecord::default()], ..ScopeLogs::default() }; 2];
            let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
            ExportLogsServiceRequest { resource_logs }.encode_to_vec()
        };
        let (little, much) = (said(RESOURCE_BYTES_MAX / 2), said(RESOURCE_BYTES_MAX));
        for (body, alone) in [(&little, true), (&much, false)] {
            let notes = digested(body).1;
            assert_eq!(Digested::read(&notes, &[]).is_some(), alone);
            let digest = Digested::read(&notes, body).unwrap();
            assert_eq!(digest.sources[0].resource_attr("process.pid"), Some(Any::Str("7")));
            assert!(notes.len() < RESOURCE_BYTES_MAX);
        }
    }

    #[test]
    fn a_resource_that_comes_in_parts_is_not_noted() {
        let part = |text: &str| Resource { attributes: vec![attribute("service.name", text)], ..Resource::default() };
        let mut group = crate::encode::Message::default();
        group.bytes(1, &part("one").encode_to_vec());
        group.bytes(1, &part("two").encode_to_vec());
        group.bytes(2, &ScopeLogs { log_records: vec![LogRecord::default()], ..ScopeLogs::default() }.encode_to_vec());
        let mut body = crate::encode::Message::default();
        body.message(1, &group);
        assert!(digested(&body.into_bytes()).1.is_empty());
    }
}
