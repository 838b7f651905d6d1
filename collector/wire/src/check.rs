//! The check: a request is looked through once before it is kept, so that what cannot be decoded is refused, not stored.
//!
//! Known fields must have their wire types, strings must be UTF-8, depth and number of values are bounded. Unknown fields
//! are skipped at every depth, as protobuf asks. Which records are taken of what is decodable stands in [`admission`]; who
//! wants to know what was seen is an [`Observer`].
//!
//! Narrower than protobuf in two places that no encoder produces: groups are refused even in unknown fields, and a value
//! that comes twice where one is meant is refused instead of merged (repeated resources, scopes and statuses are merged).
mod admission;
mod place;

use crate::{
    Any, Limits, Malformed, Signal,
    any::key_value,
    reader::{Flaw, Reader, Wire, check_text, id_of},
};
use admission::{Admission, Extent};
pub use admission::{Census, Refusal};
use place::Place;

/// Looks a request through.
///
/// # Errors
/// When it cannot be decoded, with the place.
pub fn check(signal: Signal, body: &[u8], limits: &Limits) -> Result<Census, Malformed> {
    check_observed(signal, body, limits, &mut ())
}

/// Looks a request through, and tells what it sees of its log records.
pub(crate) fn check_observed<'a>(
    signal: Signal,
    body: &'a [u8],
    limits: &Limits,
    observer: &mut impl Observer<'a>,
) -> Result<Census, Malformed> {
    let admission = Admission::new(limits);
    let mut check = Check { signal, limits, nodes: 0, next: 0, place: Place::default(), admission, observer };
    match check.request(body) {
        Ok(()) => Ok(check.admission.into_census()),
        Err(flaw) => {
            Err(Malformed { offset: check.place.offset(body), path: check.place.path(signal), fault: flaw.into() })
        }
    }
}

/// Who is told of each resource, scope and log record in the order of the request. What it is told is not looked through
/// yet, unless it says so: where the check fails in the end, nobody may use it.
pub(crate) trait Observer<'a> {
    /// The next `ResourceLogs` (opentelemetry-proto, `logs/v1/logs.proto`).
    fn resource(&mut self, message: &'a [u8]);
    /// Its next `ScopeLogs`.
    fn scope(&mut self, message: &'a [u8]);
    /// A log record begins.
    fn begin(&mut self);
    /// An attribute of the record that has begun, looked through: its name and value as they are sent.
    fn attribute(&mut self, name: &'a [u8], value: &'a [u8]);
    /// The record ends; none where it is refused.
    fn end(&mut self, log: Option<&Log<'a>>);
}

/// Nobody.
impl<'a> Observer<'a> for () {
    fn resource(&mut self, _: &'a [u8]) {}
    fn scope(&mut self, _: &'a [u8]) {}
    fn begin(&mut self) {}
    fn attribute(&mut self, _: &'a [u8], _: &'a [u8]) {}
    fn end(&mut self, _: Option<&Log<'a>>) {}
}

/// The fields of a log record besides its attributes that an observer is told, as they are sent.
#[derive(Clone, Copy, Default)]
pub(crate) struct Log<'a> {
    pub(crate) time: u64,
    pub(crate) observed: u64,
    pub(crate) body: Option<&'a [u8]>,
    pub(crate) trace_id: &'a [u8],
    pub(crate) span_id: &'a [u8],
    pub(crate) event_name: &'a [u8],
}

struct Check<'a, 'c, O> {
    signal: Signal,
    limits: &'c Limits,
    nodes: u32,
    next: u32,
    place: Place<'a>,
    admission: Admission<'c>,
    observer: &'c mut O,
}

impl<'a, O: Observer<'a>> Check<'a, '_, O> {
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
        self.admission.resource(message);
        self.observer.resource(message);
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
        self.admission.scope(message);
        self.observer.scope(message);
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
        self.observer.begin();
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
                    self.observer.attribute(name, value);
                }
                (9, Wire::Bytes(id)) => log.trace_id = id_of(id, 16),
                (10, Wire::Bytes(id)) => log.span_id = id_of(id, 8),
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
        let admitted = self.admission.record(number..=number, extent);
        self.observer.end(admitted.then_some(&log));
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
        self.admission.record(first..=last, extent.max(greatest_event));
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

    fn string(&mut self, name: &'static str, bytes: &[u8]) -> Result<(), Flaw> {
        self.place.field = name;
        check_text(bytes)
    }

    /// Looks an attribute through; says its name and its value, as they are sent.
    fn key_value(&mut self, message: &'a [u8], depth: u32) -> Result<(&'a [u8], &'a [u8]), Flaw> {
        if let Some(plain) = plain_attribute(message)
            && depth <= self.limits.depth
            && self.limits.nodes.saturating_sub(self.nodes) >= 2
        {
            self.nodes += 2;
            return Ok(plain);
        }
        self.any_attribute(message, depth)
    }

    fn any_attribute(&mut self, message: &'a [u8], depth: u32) -> Result<(&'a [u8], &'a [u8]), Flaw> {
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

/// Name and value of an attribute as nearly all are encoded: the name first, then one scalar, both shorter than 128 bytes. None
/// where something else stands there, be it right or wrong.
#[inline]
fn plain_attribute(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let &[0x0a, length, ref rest @ ..] = message else { return None };
    let (name, rest) = rest.split_at_checked(usize::from(length))?;
    let &[0x12, value_length, ref value @ ..] = rest else { return None };
    if length >= 0x80 || value_length >= 0x80 || usize::from(value_length) != value.len() {
        return None;
    }
    let is_plain = match value {
        [0x0a, length, text @ ..] => usize::from(*length) == text.len() && check_text(text).is_ok(),
        [0x18 | 0x10, more @ .., last] => more.len() < 9 && *last < 0x80 && more.iter().all(|byte| *byte >= 0x80),
        [0x21, bits @ ..] => bits.len() == 8,
        _ => false,
    };
    (is_plain && check_text(name).is_ok()).then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;
    use opentelemetry_proto::tonic::{
        collector::logs::v1::ExportLogsServiceRequest,
        common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value},
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    };
    use proptest::prelude::*;
    use prost::Message;

    fn nested(levels: u32) -> AnyValue {
        (0..levels).fold(AnyValue { value: Some(Value::IntValue(1)) }, |inner, _| AnyValue {
            value: Some(Value::ArrayValue(ArrayValue { values: vec![inner] })),
        })
    }

    #[test]
    fn values_nest_as_deep_as_the_limit_and_no_deeper() {
        let limits = Limits::default();
        let checked = |levels| {
            let log_records = vec![LogRecord { body: Some(nested(levels)), ..LogRecord::default() }];
            let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
            let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
            check(Signal::Logs, &ExportLogsServiceRequest { resource_logs }.encode_to_vec(), &limits)
        };
        assert!(checked(limits.depth).is_ok());
        assert_eq!(checked(limits.depth + 1).unwrap_err().fault, Fault::TooDeep);
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

    proptest! {
        #[test]
        fn attributes_told_by_their_encoding_are_the_attributes_that_are_read(
            name in ".{0,4}",
            value in prop_oneof![
                ".{0,140}".prop_map(Value::StringValue),
                any::<i64>().prop_map(Value::IntValue),
                (0i64..300).prop_map(Value::IntValue),
                any::<bool>().prop_map(Value::BoolValue),
                any::<f64>().prop_map(Value::DoubleValue),
                any::<Vec<u8>>().prop_map(Value::BytesValue),
            ],
            damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
            cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        ) {
            let value = Some(AnyValue { value: Some(value) });
            let mut message = KeyValue { key: name, value, ..KeyValue::default() }.encode_to_vec();
            if let Some((at, byte)) = damage {
                let at = at.index(message.len());
                message[at] = byte;
            }
            if let Some(cut) = cut {
                message.truncate(cut.index(message.len()));
            }
            if let Some(plain) = plain_attribute(&message) {
                let limits = Limits::default();
                let (admission, observer) = (Admission::new(&limits), &mut ());
                let (signal, place) = (Signal::Logs, Place::default());
                let mut check = Check { signal, limits: &limits, nodes: 0, next: 0, place, admission, observer };
                prop_assert_eq!(check.any_attribute(&message, 0), Ok(plain));
                prop_assert_eq!(check.nodes, 2);
            }
        }
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
