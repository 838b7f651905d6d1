//! The check: a request is looked through once before it is kept, so that what cannot be decoded is refused, not stored.
//!
//! Known fields must have their wire types, strings must be UTF-8, depth and number of values are bounded. Unknown fields
//! are skipped at every depth, as protobuf asks. What is decodable but beyond a limit of one record is refused singly: a
//! sender behind a shared Collector must not take the records of others down with its own.
//!
//! Narrower than protobuf in two places that no encoder produces: groups are refused even in unknown fields, and a value
//! that comes twice where one is meant is refused instead of merged (repeated resources, scopes and statuses are merged).
use std::fmt;

use crate::{
    Any, Digest, Limits, Malformed, Occurrences, Refused, Signal,
    any::key_value,
    digest::{Digester, Log},
    reader::{Flaw, Reader, Wire, check_text},
    record::{Attribute, Lazy, NETWORK_NAMES, NODE_NAMES},
};

/// What a well-formed request holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Events, refused ones not counted: log records, spans, span events.
    pub events: u32,
    /// Records as OTLP counts them, refused ones included: log records, spans.
    pub records: u32,
    /// How many records were refused.
    pub rejected: u32,
    /// Which events were refused.
    pub refused: Refused,
    /// Why, for the first few.
    refusals: Vec<Refusal>,
}

/// A record that can be decoded but is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The event's number in the request.
    pub record: u32,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {}: {}", self.record, self.reason)
    }
}

/// How many refusals are explained.
const REFUSALS_MAX: usize = 16;

impl Census {
    /// Why records were refused, for the first few.
    #[must_use]
    pub fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }
}

/// Looks a request through.
///
/// # Errors
/// When it cannot be decoded, with the place.
pub fn check(signal: Signal, body: &[u8], limits: &Limits) -> Result<Census, Malformed> {
    Ok(looked_through(signal, body, limits, None)?.0)
}

/// Looks a request through, and notes what is seen of its events on the way: whoever judges them later need not read those
/// again that nobody asks about. Of spans nothing is noted: they are few.
///
/// # Errors
/// As [`check`].
pub fn check_and_digest(
    signal: Signal,
    body: &[u8],
    limits: &Limits,
    occurrences: &mut Occurrences,
) -> Result<(Census, Digest), Malformed> {
    let digester = (signal == Signal::Logs).then(|| Digester::new(body, occurrences));
    let (census, digester) = looked_through(signal, body, limits, digester)?;
    Ok((census, digester.map(Digester::finish).unwrap_or_default()))
}

fn looked_through<'a, 'o>(
    signal: Signal,
    body: &'a [u8],
    limits: &Limits,
    digester: Option<Digester<'a, 'o>>,
) -> Result<(Census, Option<Digester<'a, 'o>>), Malformed> {
    let mut check = Check {
        signal,
        limits,
        nodes: 0,
        next: 0,
        census: Census::default(),
        place: Place::default(),
        resource_excess: None,
        scope_excess: None,
        digester,
    };
    check.request(body).map_err(|flaw| {
        let offset = check.place.message.map_or(0, |message| offset_of(body, message));
        Malformed { offset, path: check.place.path(signal), fault: flaw.into() }
    })?;
    Ok((check.census, check.digester))
}

/// How far into `body` the part begins.
fn offset_of(body: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(body.as_ptr() as usize).min(body.len())
}

/// Where the check is: written as it goes, read only when something is wrong.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    resource: Option<u32>,
    scope: Option<u32>,
    record: Option<u32>,
    field: &'static str,
    message: Option<&'a [u8]>,
}

impl Place<'_> {
    fn path(&self, signal: Signal) -> String {
        let names = match signal {
            Signal::Logs => ["resourceLogs", "scopeLogs", "logRecords"],
            Signal::Traces => ["resourceSpans", "scopeSpans", "spans"],
        };
        let mut path = String::new();
        for (name, index) in names.iter().zip([self.resource, self.scope, self.record]) {
            let Some(index) = index else { break };
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&format!("{name}[{index}]"));
        }
        if !self.field.is_empty() {
            path.push_str(if path.is_empty() { "" } else { "." });
            path.push_str(self.field);
        }
        path
    }
}

struct Check<'a, 'l, 'o> {
    signal: Signal,
    limits: &'l Limits,
    nodes: u32,
    next: u32,
    census: Census,
    place: Place<'a>,
    /// What the records of the current resource are refused for, if anything.
    resource_excess: Option<String>,
    /// The same of the current scope.
    scope_excess: Option<String>,
    digester: Option<Digester<'a, 'o>>,
}

/// What one event has that is bounded.
#[derive(Clone, Copy, Default)]
struct Extent {
    attributes: u32,
    name_bytes: usize,
}

impl Extent {
    /// The greatest of both, by each measure.
    fn max(self, other: Self) -> Self {
        Self { attributes: self.attributes.max(other.attributes), name_bytes: self.name_bytes.max(other.name_bytes) }
    }
}

impl<'a> Check<'a, '_, '_> {
    fn node(&mut self) -> Result<(), Flaw> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes { Err(Flaw::TooMany) } else { Ok(()) }
    }

    fn request(&mut self, body: &'a [u8]) -> Result<(), Flaw> {
        let mut number = 0;
        for field in Reader::new(body) {
            match field? {
                (1, Wire::Bytes(message)) => {
                    self.place = Place { resource: Some(number), message: Some(message), ..Place::default() };
                    number += 1;
                    self.resource(message)?;
                    self.place = Place::default();
                }
                (1, _) => return Err(Flaw::FieldType(1)),
                _ => {}
            }
        }
        Ok(())
    }

    fn resource(&mut self, message: &'a [u8]) -> Result<(), Flaw> {
        self.node()?;
        self.resource_excess = self.excess_of_resource(message);
        if let Some(digester) = &mut self.digester {
            digester.resource(all(message, 1));
        }
        let mut number = 0;
        for field in Reader::new(message) {
            match field? {
                (1, Wire::Bytes(resource)) => {
                    self.place.field = "resource";
                    for field in Reader::new(resource) {
                        match field? {
                            (1, Wire::Bytes(attribute)) => {
                                self.key_value(attribute, 0)?;
                            }
                            (2, Wire::Varint(_)) => {}
                            (3, Wire::Bytes(entity)) => self.entity(entity)?,
                            (number @ 1..=3, _) => return Err(Flaw::FieldType(number)),
                            _ => {}
                        }
                    }
                    self.place.field = "";
                }
                (2, Wire::Bytes(scoped)) => {
                    let resource = self.place;
                    self.place = Place { scope: Some(number), message: Some(scoped), ..resource };
                    number += 1;
                    self.scope(scoped)?;
                    self.place = resource;
                }
                (3, Wire::Bytes(url)) => check_text(url)?,
                (number @ 1..=3, _) => return Err(Flaw::FieldType(number)),
                _ => {}
            }
        }
        Ok(())
    }

    /// A resource, seen as what its records inherit: what cannot be read here is found out later.
    fn excess_of_resource(&self, message: &'a [u8]) -> Option<String> {
        let mut attributes = 0;
        for resource in all(message, 1) {
            for attribute in all(resource, 1) {
                attributes += 1;
                // Most attributes are shorter than any name that is too long.
                if attribute.len() > self.limits.name_bytes as usize
                    && let Ok((name, Any::Str(value))) = key_value(attribute)
                    && value.len() > self.limits.name_bytes as usize
                    && NODE_NAMES.iter().chain(&NETWORK_NAMES).any(|known| *known == name)
                {
                    let (length, most) = (value.len(), self.limits.name_bytes);
                    return Some(format!("its resource's {name} has {length} bytes, at most {most} are taken"));
                }
            }
        }
        let most = self.limits.attributes_per_resource;
        (attributes > most).then(|| format!("its resource has {attributes} attributes, at most {most} are taken"))
    }

    fn excess_of_scope(&self, message: &'a [u8]) -> Option<String> {
        let length = all(message, 1).flat_map(|scope| all(scope, 1)).map(<[u8]>::len).max().unwrap_or(0);
        let most = self.limits.name_bytes;
        (length > most as usize).then(|| format!("its scope's name has {length} bytes, at most {most} are taken"))
    }

    /// `EntityRef` (opentelemetry-proto, `common/v1/common.proto`): not used, yet it must be decodable.
    fn entity(&mut self, message: &'a [u8]) -> Result<(), Flaw> {
        self.node()?;
        for field in Reader::new(message) {
            match field? {
                (1..=4, Wire::Bytes(value)) => check_text(value)?,
                (number @ 1..=4, _) => return Err(Flaw::FieldType(number)),
                _ => {}
            }
        }
        Ok(())
    }

    fn scope(&mut self, message: &'a [u8]) -> Result<(), Flaw> {
        self.node()?;
        self.scope_excess = self.excess_of_scope(message);
        if let Some(digester) = &mut self.digester {
            digester.scope(all(message, 1).flat_map(|scope| all(scope, 1)).last());
        }
        let mut number = 0;
        for field in Reader::new(message) {
            match field? {
                (1, Wire::Bytes(scope)) => {
                    self.place.field = "scope";
                    for field in Reader::new(scope) {
                        match field? {
                            (1 | 2, Wire::Bytes(value)) => check_text(value)?,
                            (3, Wire::Bytes(attribute)) => {
                                self.key_value(attribute, 0)?;
                            }
                            (4, Wire::Varint(_)) => {}
                            (number @ 1..=4, _) => return Err(Flaw::FieldType(number)),
                            _ => {}
                        }
                    }
                    self.place.field = "";
                }
                (2, Wire::Bytes(record)) => {
                    let scope = self.place;
                    self.place = Place { record: Some(number), message: Some(record), ..scope };
                    number += 1;
                    self.census.records += 1;
                    match self.signal {
                        Signal::Logs => self.log(record)?,
                        Signal::Traces => self.span(record)?,
                    }
                    self.place = scope;
                }
                (3, Wire::Bytes(url)) => check_text(url)?,
                (number @ 1..=3, _) => return Err(Flaw::FieldType(number)),
                _ => {}
            }
        }
        Ok(())
    }

    fn log(&mut self, message: &'a [u8]) -> Result<(), Flaw> {
        self.node()?;
        let mut extent = Extent::default();
        let mut fallback_bytes = 0;
        let mut has_body = false;
        let mut log = Log::default();
        if let Some(digester) = &mut self.digester {
            digester.attributes.clear();
        }
        for field in Reader::new(message) {
            let field = field.inspect_err(|_| self.place.field = "")?;
            match field {
                (1, Wire::Fixed64(time)) => log.time = time,
                (11, Wire::Fixed64(observed)) => log.observed = observed,
                (2 | 7, Wire::Varint(_)) | (8, Wire::Fixed32) => {}
                (3, Wire::Bytes(value)) => self.string("severityText", value)?,
                (5, Wire::Bytes(body)) => {
                    self.place.field = "body";
                    if std::mem::replace(&mut has_body, true) {
                        return Err(Flaw::Twice(5));
                    }
                    self.any(body, 0)?;
                    log.body = Some(body);
                }
                (6, Wire::Bytes(attribute)) => {
                    extent.attributes += 1;
                    self.place.field = "attributes";
                    let (name, value) = self.key_value(attribute, 0)?;
                    if attribute.len() > self.limits.name_bytes as usize
                        && let Ok(("event.name", Any::Str(name))) = key_value(attribute)
                    {
                        fallback_bytes = name.len();
                    }
                    if let Some(digester) = &mut self.digester {
                        digester.attributes.push(Attribute { name, value: Lazy::Sent(value) });
                    }
                }
                (9, Wire::Bytes(id)) => log.trace_id = if id.len() == 16 { id } else { log.trace_id },
                (10, Wire::Bytes(id)) => log.span_id = if id.len() == 8 { id } else { log.span_id },
                (12, Wire::Bytes(value)) => {
                    extent.name_bytes = value.len();
                    self.string("eventName", value)?;
                    log.event_name = value;
                }
                (number @ (1..=3 | 5..=12), _) => return Err(Flaw::FieldType(number)),
                _ => {}
            }
        }
        self.place.field = "";
        if extent.name_bytes == 0 {
            extent.name_bytes = fallback_bytes;
        }
        let number = self.next;
        self.next += 1;
        let admitted = self.admit(number..=number, extent);
        if let Some(digester) = &mut self.digester {
            digester.log(admitted.then_some(&log));
        }
        Ok(())
    }

    fn span(&mut self, message: &'a [u8]) -> Result<(), Flaw> {
        self.node()?;
        let first = self.next;
        self.next += 1;
        let (mut extent, mut greatest_event) = (Extent::default(), Extent::default());
        for field in Reader::new(message) {
            match field? {
                (1 | 2 | 4, Wire::Bytes(_)) | (6 | 10 | 12 | 14, Wire::Varint(_)) => {}
                (7 | 8, Wire::Fixed64(_)) | (16, Wire::Fixed32) => {}
                (3, Wire::Bytes(value)) => self.string("traceState", value)?,
                (5, Wire::Bytes(value)) => {
                    extent.name_bytes = value.len();
                    self.string("name", value)?;
                }
                (9, Wire::Bytes(attribute)) => {
                    extent.attributes += 1;
                    self.place.field = "attributes";
                    self.key_value(attribute, 0)?;
                }
                (11, Wire::Bytes(event)) => {
                    self.place.field = "events";
                    self.next += 1;
                    greatest_event = greatest_event.max(self.span_event(event)?);
                }
                (13, Wire::Bytes(link)) => {
                    self.place.field = "links";
                    self.span_link(link)?;
                }
                (15, Wire::Bytes(status)) => {
                    self.place.field = "status";
                    for field in Reader::new(status) {
                        match field? {
                            (2, Wire::Bytes(value)) => check_text(value)?,
                            (3, Wire::Varint(_)) => {}
                            (number @ 2..=3, _) => return Err(Flaw::FieldType(number)),
                            _ => {}
                        }
                    }
                }
                (number @ 1..=16, _) => return Err(Flaw::FieldType(number)),
                _ => {}
            }
        }
        self.place.field = "";
        let last = self.next - 1;
        self.admit(first..=last, extent.max(greatest_event));
        Ok(())
    }

    fn span_event(&mut self, message: &'a [u8]) -> Result<Extent, Flaw> {
        self.node()?;
        let mut extent = Extent::default();
        for field in Reader::new(message) {
            match field? {
                (1, Wire::Fixed64(_)) | (4, Wire::Varint(_)) => {}
                (2, Wire::Bytes(value)) => {
                    extent.name_bytes = value.len();
                    check_text(value)?;
                }
                (3, Wire::Bytes(attribute)) => {
                    extent.attributes += 1;
                    self.key_value(attribute, 0)?;
                }
                (number @ 1..=4, _) => return Err(Flaw::FieldType(number)),
                _ => {}
            }
        }
        Ok(extent)
    }

    /// `Span.Link`: not used, yet it must be decodable.
    fn span_link(&mut self, message: &'a [u8]) -> Result<(), Flaw> {
        self.node()?;
        for field in Reader::new(message) {
            match field? {
                (1 | 2, Wire::Bytes(_)) | (5, Wire::Varint(_)) | (6, Wire::Fixed32) => {}
                (3, Wire::Bytes(value)) => check_text(value)?,
                (4, Wire::Bytes(attribute)) => {
                    self.key_value(attribute, 0)?;
                }
                (number @ 1..=6, _) => return Err(Flaw::FieldType(number)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes a record, or refuses it singly.
    fn admit(&mut self, events: std::ops::RangeInclusive<u32>, extent: Extent) -> bool {
        let reason = if extent.attributes > self.limits.attributes_per_record {
            format!("{} attributes, at most {} are taken", extent.attributes, self.limits.attributes_per_record)
        } else if extent.name_bytes > self.limits.name_bytes as usize {
            format!("a name of {} bytes, at most {} are taken", extent.name_bytes, self.limits.name_bytes)
        } else if let Some(excess) = self.resource_excess.as_ref().or(self.scope_excess.as_ref()) {
            excess.clone()
        } else {
            self.census.events += 1 + events.end() - events.start();
            return true;
        };
        self.census.rejected += 1;
        if self.census.refusals.len() < REFUSALS_MAX {
            self.census.refusals.push(Refusal { record: *events.start(), reason });
        }
        for event in events {
            self.census.refused.insert(event);
        }
        false
    }

    fn string(&mut self, name: &'static str, bytes: &[u8]) -> Result<(), Flaw> {
        self.place.field = name;
        check_text(bytes)
    }

    /// Looks an attribute through; says its name and its value, as they are sent.
    fn key_value(&mut self, message: &'a [u8], depth: u32) -> Result<(&'a [u8], &'a [u8]), Flaw> {
        self.node()?;
        let (mut name, mut sent): (&[u8], &[u8]) = (&[], &[]);
        let mut has_value = false;
        for field in Reader::new(message) {
            match field? {
                (1, Wire::Bytes(key)) => {
                    check_text(key)?;
                    name = key;
                }
                (2, Wire::Bytes(value)) => {
                    if std::mem::replace(&mut has_value, true) {
                        return Err(Flaw::Twice(2));
                    }
                    self.any(value, depth)?;
                    sent = value;
                }
                (3, Wire::Varint(_)) => {}
                (number @ 1..=3, _) => return Err(Flaw::FieldType(number)),
                _ => {}
            }
        }
        Ok((name, sent))
    }

    fn any(&mut self, message: &'a [u8], depth: u32) -> Result<(), Flaw> {
        if depth > self.limits.depth {
            return Err(Flaw::TooDeep);
        }
        self.node()?;
        let (mut has_list, mut has_map) = (false, false);
        for field in Reader::new(message) {
            match field? {
                (1, Wire::Bytes(value)) => check_text(value)?,
                (2 | 3 | 8, Wire::Varint(_)) | (4, Wire::Fixed64(_)) | (7, Wire::Bytes(_)) => {}
                (5, Wire::Bytes(list)) => {
                    if std::mem::replace(&mut has_list, true) {
                        return Err(Flaw::Twice(5));
                    }
                    for item in Reader::new(list) {
                        match item? {
                            (1, Wire::Bytes(item)) => self.any(item, depth + 1)?,
                            (1, _) => return Err(Flaw::FieldType(1)),
                            _ => {}
                        }
                    }
                }
                (6, Wire::Bytes(map)) => {
                    if std::mem::replace(&mut has_map, true) {
                        return Err(Flaw::Twice(6));
                    }
                    for entry in Reader::new(map) {
                        match entry? {
                            (1, Wire::Bytes(entry)) => {
                                self.key_value(entry, depth + 1)?;
                            }
                            (1, _) => return Err(Flaw::FieldType(1)),
                            _ => {}
                        }
                    }
                }
                (number @ 1..=8, _) => return Err(Flaw::FieldType(number)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// All length-delimited fields of that number, up to the first damage.
fn all(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Reader::new(message).map_while(Result::ok).filter_map(move |field| match field {
        (at, Wire::Bytes(bytes)) if at == number => Some(bytes),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;
    use opentelemetry_proto::tonic::{
        collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
        common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        resource::v1::Resource,
        trace::v1::{ResourceSpans, ScopeSpans, Span, span},
    };
    use prost::Message;

    fn text(key: &str, value: String) -> KeyValue {
        let value = Some(AnyValue { value: Some(Value::StringValue(value)) });
        KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
    }

    fn attributes(count: usize) -> Vec<KeyValue> {
        (0..count).map(|number| text(&format!("k{number}"), String::new())).collect()
    }

    fn checked(resource: Resource, scope: &str, log_records: Vec<LogRecord>, limits: &Limits) -> Result<Census, Fault> {
        let scope = Some(InstrumentationScope { name: scope.to_owned(), ..InstrumentationScope::default() });
        let scope_logs = vec![ScopeLogs { scope, log_records, ..ScopeLogs::default() }];
        let resource_logs = vec![ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() }];
        let body = ExportLogsServiceRequest { resource_logs }.encode_to_vec();
        check(Signal::Logs, &body, limits).map_err(|malformed| malformed.fault)
    }

    fn nested(levels: u32) -> AnyValue {
        (0..levels).fold(AnyValue { value: Some(Value::IntValue(1)) }, |inner, _| AnyValue {
            value: Some(Value::ArrayValue(ArrayValue { values: vec![inner] })),
        })
    }

    #[test]
    fn values_nest_as_deep_as_the_limit_and_no_deeper() {
        let record = |levels| vec![LogRecord { body: Some(nested(levels)), ..LogRecord::default() }];
        let limits = Limits::default();
        assert!(checked(Resource::default(), "", record(limits.depth), &limits).is_ok());
        assert_eq!(checked(Resource::default(), "", record(limits.depth + 1), &limits), Err(Fault::TooDeep));
    }

    #[test]
    fn attributes_without_a_value_are_counted_too() {
        // The smallest attribute: its key and value are left out, two bytes remain.
        let limits = Limits::default();
        let resource = [0x0a, 0x00].repeat(limits.nodes as usize);
        let mut body = crate::encode::Message::default();
        let mut group = crate::encode::Message::default();
        group.bytes(1, &resource);
        body.message(1, &group);
        let outcome = check(Signal::Logs, &body.into_bytes(), &limits);
        assert_eq!(outcome.unwrap_err().fault, Fault::TooMany);
    }

    #[test]
    fn records_with_too_many_attributes_are_refused_singly() {
        let limits = Limits::default();
        let most = limits.attributes_per_record as usize;
        let records =
            [most, most + 1, 0].map(|count| LogRecord { attributes: attributes(count), ..LogRecord::default() });
        let census = checked(Resource::default(), "", records.to_vec(), &limits).unwrap();
        assert_eq!((census.records, census.events, census.rejected), (3, 2, 1));
        assert!(census.refused.contains(1) && census.refusals()[0].reason.contains("1025 attributes"));
    }

    #[test]
    fn names_are_bounded_wherever_they_come_from() {
        let limits = Limits::default();
        let long = || "x".repeat(limits.name_bytes as usize + 1);
        let fits = || "x".repeat(limits.name_bytes as usize);
        let named = |event_name: String| vec![LogRecord { event_name, ..LogRecord::default() }];
        let by_attribute =
            |name| vec![LogRecord { attributes: vec![text("event.name", name)], ..LogRecord::default() }];
        let of = |key, value| Resource { attributes: vec![text(key, value)], ..Resource::default() };
        let rejected = |resource, scope: &str, records| checked(resource, scope, records, &limits).unwrap().rejected;
        assert_eq!(rejected(Resource::default(), &fits(), named(fits())), 0);
        assert_eq!(rejected(Resource::default(), "", named(long())), 1);
        assert_eq!(rejected(Resource::default(), "", by_attribute(fits())), 0);
        assert_eq!(rejected(Resource::default(), "", by_attribute(long())), 1);
        assert_eq!(rejected(Resource::default(), &long(), named(fits())), 1);
        for key in ["service.instance.id", "host.name", "service.name", "deployment.environment.name", "network"] {
            assert_eq!(rejected(of(key, long()), "", named(fits())), 1, "{key}");
            assert_eq!(rejected(of(key, fits()), "", named(fits())), 0, "{key}");
        }
        // Other attributes are not names: they may be as long as the request.
        assert_eq!(rejected(of("process.command_line", long()), "", named(fits())), 0);
    }

    #[test]
    fn a_crowded_resource_costs_its_own_records() {
        let limits = Limits::default();
        let crowded = |count| Resource { attributes: attributes(count), ..Resource::default() };
        let most = limits.attributes_per_resource as usize;
        let census = |count| checked(crowded(count), "", vec![LogRecord::default(); 2], &limits).unwrap();
        assert_eq!((census(most).rejected, census(most + 1).rejected), (0, 2));
    }

    #[test]
    fn the_attributes_of_a_span_and_of_its_events_are_counted_apart() {
        let most = Limits::default().attributes_per_record as usize;
        let span = |own, inner| Span {
            attributes: attributes(own),
            events: vec![span::Event { attributes: attributes(inner), ..span::Event::default() }; 2],
            ..Span::default()
        };
        let scope_spans =
            vec![ScopeSpans { spans: vec![span(most, most), span(0, most + 1)], ..ScopeSpans::default() }];
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }],
        };
        let census = check(Signal::Traces, &request.encode_to_vec(), &Limits::default()).unwrap();
        assert_eq!((census.records, census.events, census.rejected), (2, 3, 1));
        assert_eq!((0..6).filter(|event| census.refused.contains(*event)).collect::<Vec<_>>(), [3, 4, 5]);
    }

    #[test]
    fn a_refusal_names_the_place() {
        let mut record = LogRecord { event_name: "e".repeat(5), ..LogRecord::default() }.encode_to_vec();
        let at = record.len() - 5;
        record[at] = 0xff;
        let mut scoped = crate::encode::Message::default();
        scoped.bytes(2, &LogRecord::default().encode_to_vec());
        scoped.bytes(2, &record);
        let mut group = crate::encode::Message::default();
        group.message(2, &scoped);
        let mut body = crate::encode::Message::default();
        body.message(1, &group);
        let error = check(Signal::Logs, &body.into_bytes(), &Limits::default()).unwrap_err();
        assert_eq!((&*error.path, error.fault), ("resourceLogs[0].scopeLogs[0].logRecords[1].eventName", Fault::Utf8));
    }
}
