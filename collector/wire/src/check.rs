//! The check: a request is looked through once before it is kept, so that what cannot be decoded is refused, not stored.
//!
//! Known fields must have their wire types, strings must be UTF-8, depth and number of values are bounded. Unknown fields
//! are skipped at every depth, as protobuf asks. What is decodable but beyond a limit of one record is refused singly.
use std::fmt;

use crate::{
    Fault, Limits, Malformed, Refused, Signal,
    reader::{Reader, Wire, text},
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
    let mut check = Check { signal, limits, nodes: 0, next: 0, census: Census::default(), place: Place::default() };
    check.request(body).map_err(|fault| {
        let offset = check.place.message.map_or(0, |message| offset_of(body, message));
        Malformed { offset, path: check.place.path(signal), fault }
    })?;
    Ok(check.census)
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

struct Check<'a, 'l> {
    signal: Signal,
    limits: &'l Limits,
    nodes: u32,
    next: u32,
    census: Census,
    place: Place<'a>,
}

impl<'a> Check<'a, '_> {
    fn node(&mut self) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes { Err(Fault::TooMany) } else { Ok(()) }
    }

    fn request(&mut self, body: &'a [u8]) -> Result<(), Fault> {
        let mut number = 0;
        for field in Reader::new(body) {
            match field? {
                (1, Wire::Bytes(message)) => {
                    self.place = Place { resource: Some(number), message: Some(message), ..Place::default() };
                    number += 1;
                    self.resource(message)?;
                    self.place = Place::default();
                }
                (1, _) => return Err(Fault::FieldType(1)),
                _ => {}
            }
        }
        Ok(())
    }

    fn resource(&mut self, message: &'a [u8]) -> Result<(), Fault> {
        self.node()?;
        let mut number = 0;
        for field in Reader::new(message) {
            match field? {
                (1, Wire::Bytes(resource)) => {
                    self.place.field = "resource";
                    self.attributes_of(resource, 1)?;
                    self.place.field = "";
                }
                (2, Wire::Bytes(scoped)) => {
                    let resource = self.place;
                    self.place = Place { scope: Some(number), message: Some(scoped), ..resource };
                    number += 1;
                    self.scope(scoped)?;
                    self.place = resource;
                }
                (3, Wire::Bytes(url)) => text(url).map(drop)?,
                (number @ 1..=3, _) => return Err(Fault::FieldType(number)),
                _ => {}
            }
        }
        Ok(())
    }

    fn scope(&mut self, message: &'a [u8]) -> Result<(), Fault> {
        self.node()?;
        let mut number = 0;
        for field in Reader::new(message) {
            match field? {
                (1, Wire::Bytes(scope)) => {
                    self.place.field = "scope";
                    for field in Reader::new(scope) {
                        match field? {
                            (1 | 2, Wire::Bytes(value)) => text(value).map(drop)?,
                            (3, Wire::Bytes(attribute)) => self.key_value(attribute, 0)?,
                            (number @ 1..=3, _) => return Err(Fault::FieldType(number)),
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
                (3, Wire::Bytes(url)) => text(url).map(drop)?,
                (number @ 1..=3, _) => return Err(Fault::FieldType(number)),
                _ => {}
            }
        }
        Ok(())
    }

    fn log(&mut self, message: &'a [u8]) -> Result<(), Fault> {
        self.node()?;
        let (mut attributes, mut name) = (0, 0);
        for field in Reader::new(message) {
            let field = field.inspect_err(|_| self.place.field = "")?;
            match field {
                (1 | 11, Wire::Fixed64(_)) | (2 | 7, Wire::Varint(_)) | (8, Wire::Fixed32) => {}
                (3, Wire::Bytes(value)) => self.string("severityText", value)?,
                (5, Wire::Bytes(body)) => {
                    self.place.field = "body";
                    self.any(body, 0)?;
                }
                (6, Wire::Bytes(attribute)) => {
                    attributes += 1;
                    self.place.field = "attributes";
                    self.key_value(attribute, 0)?;
                }
                (9 | 10, Wire::Bytes(_)) => {}
                (12, Wire::Bytes(value)) => {
                    name = value.len();
                    self.string("eventName", value)?;
                }
                (number @ (1..=3 | 5..=12), _) => return Err(Fault::FieldType(number)),
                _ => {}
            }
        }
        self.place.field = "";
        let number = self.next;
        self.next += 1;
        self.admit(number..=number, attributes, name);
        Ok(())
    }

    fn span(&mut self, message: &'a [u8]) -> Result<(), Fault> {
        self.node()?;
        let first = self.next;
        self.next += 1;
        let (mut attributes, mut name) = (0, 0);
        for field in Reader::new(message) {
            match field? {
                (1 | 2 | 4, Wire::Bytes(_)) | (6 | 10, Wire::Varint(_)) | (7 | 8, Wire::Fixed64(_)) => {}
                (3, Wire::Bytes(value)) => self.string("traceState", value)?,
                (5, Wire::Bytes(value)) => {
                    name = value.len();
                    self.string("name", value)?;
                }
                (9, Wire::Bytes(attribute)) => {
                    attributes += 1;
                    self.place.field = "attributes";
                    self.key_value(attribute, 0)?;
                }
                (11, Wire::Bytes(event)) => {
                    self.place.field = "events";
                    self.next += 1;
                    self.node()?;
                    for field in Reader::new(event) {
                        match field? {
                            (1, Wire::Fixed64(_)) | (4, Wire::Varint(_)) => {}
                            (2, Wire::Bytes(value)) => text(value).map(drop)?,
                            (3, Wire::Bytes(attribute)) => {
                                attributes += 1;
                                self.key_value(attribute, 0)?;
                            }
                            (number @ 1..=4, _) => return Err(Fault::FieldType(number)),
                            _ => {}
                        }
                    }
                }
                (15, Wire::Bytes(status)) => {
                    self.place.field = "status";
                    for field in Reader::new(status) {
                        match field? {
                            (2, Wire::Bytes(value)) => text(value).map(drop)?,
                            (3, Wire::Varint(_)) => {}
                            (number @ 2..=3, _) => return Err(Fault::FieldType(number)),
                            _ => {}
                        }
                    }
                }
                (number @ (1..=11 | 15), _) => return Err(Fault::FieldType(number)),
                _ => {}
            }
        }
        self.place.field = "";
        let last = self.next - 1;
        self.admit(first..=last, attributes, name);
        Ok(())
    }

    /// Takes a record, or refuses it singly.
    fn admit(&mut self, events: std::ops::RangeInclusive<u32>, attributes: u32, name_bytes: usize) {
        let reason = if attributes > self.limits.attributes_per_record {
            format!("{attributes} attributes, at most {} are taken", self.limits.attributes_per_record)
        } else if name_bytes > self.limits.event_name_bytes as usize {
            format!("a name of {name_bytes} bytes, at most {} are taken", self.limits.event_name_bytes)
        } else {
            self.census.events += 1 + events.end() - events.start();
            return;
        };
        self.census.rejected += 1;
        if self.census.refusals.len() < REFUSALS_MAX {
            self.census.refusals.push(Refusal { record: *events.start(), reason });
        }
        for event in events {
            self.census.refused.insert(event);
        }
    }

    fn string(&mut self, name: &'static str, bytes: &[u8]) -> Result<(), Fault> {
        self.place.field = name;
        text(bytes).map(drop)
    }

    /// The attributes, at that field number, of a message that holds nothing else of interest.
    fn attributes_of(&mut self, message: &'a [u8], number: u32) -> Result<(), Fault> {
        for field in Reader::new(message) {
            match field? {
                (at, Wire::Bytes(attribute)) if at == number => self.key_value(attribute, 0)?,
                (at, _) if at == number => return Err(Fault::FieldType(number)),
                _ => {}
            }
        }
        Ok(())
    }

    fn key_value(&mut self, message: &'a [u8], depth: u32) -> Result<(), Fault> {
        for field in Reader::new(message) {
            match field? {
                (1, Wire::Bytes(key)) => text(key).map(drop)?,
                (2, Wire::Bytes(value)) => self.any(value, depth)?,
                (number @ 1..=2, _) => return Err(Fault::FieldType(number)),
                _ => {}
            }
        }
        Ok(())
    }

    fn any(&mut self, message: &'a [u8], depth: u32) -> Result<(), Fault> {
        if depth > self.limits.depth {
            return Err(Fault::TooDeep);
        }
        self.node()?;
        for field in Reader::new(message) {
            match field? {
                (1, Wire::Bytes(value)) => text(value).map(drop)?,
                (2 | 3, Wire::Varint(_)) | (4, Wire::Fixed64(_)) | (7, Wire::Bytes(_)) => {}
                (5, Wire::Bytes(list)) => {
                    for item in Reader::new(list) {
                        match item? {
                            (1, Wire::Bytes(item)) => self.any(item, depth + 1)?,
                            (1, _) => return Err(Fault::FieldType(1)),
                            _ => {}
                        }
                    }
                }
                (6, Wire::Bytes(map)) => {
                    for entry in Reader::new(map) {
                        match entry? {
                            (1, Wire::Bytes(entry)) => self.key_value(entry, depth + 1)?,
                            (1, _) => return Err(Fault::FieldType(1)),
                            _ => {}
                        }
                    }
                }
                (number @ 1..=7, _) => return Err(Fault::FieldType(number)),
                _ => {}
            }
        }
        Ok(())
    }
}
