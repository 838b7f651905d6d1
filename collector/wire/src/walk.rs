//! The walk: each record of a checked request visited once, borrowed, without an allocation of its own.
//!
//! Fields may come in any order, so a message that others depend on (a resource, a scope, a name) is looked for before
//! those others are read. Groups of fields are skipped by their length, which costs next to nothing.
use crate::{
    Any, Fault, Record, Refused, Signal,
    reader::{Flaw, Reader, Wire, id_of, text},
    record::{Attribute, Lazy, Resource},
};

/// What the walk keeps for reuse. One per reader, for as many requests as it likes.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// Capacity only: always empty between walks, so no borrow outlives its request.
    attrs: Vec<Attribute<'static>>,
    resource: Vec<Attribute<'static>>,
}

/// Empties a vector and gives its memory to one with another lifetime.
fn recycle<'a>(mut kept: Vec<Attribute<'static>>) -> Vec<Attribute<'a>> {
    kept.clear();
    kept.into_iter().map(|_| Attribute::EMPTY).collect()
}

/// The way back. Collecting an emptied vector in place keeps its memory.
fn give_back(mut used: Vec<Attribute<'_>>) -> Vec<Attribute<'static>> {
    used.clear();
    used.into_iter().map(|_| Attribute::EMPTY).collect()
}

/// Who visits the events of a request.
pub trait Visit<'a> {
    /// Whether the event of that number is to be read at all: asked before each log record. What is not is skipped by its
    /// length.
    fn wants(&mut self, index: u32) -> bool {
        let _ = index;
        true
    }

    /// Visits one.
    fn visit(&mut self, record: &Record<'a, '_>);
}

impl<'a, F: FnMut(&Record<'a, '_>)> Visit<'a> for F {
    fn visit(&mut self, record: &Record<'a, '_>) {
        self(record);
    }
}

/// Visits every event of a request that was not refused, in the order of the bytes.
///
/// # Errors
/// When the bytes are not what [`crate::check`] lets pass; what came before the damage has been visited. Values are read
/// when they are asked for: a damaged one is null.
pub fn walk<'a>(
    signal: Signal,
    body: &'a [u8],
    refused: &Refused,
    scratch: &mut Scratch,
    mut visit: impl FnMut(&Record<'a, '_>),
) -> Result<(), Fault> {
    walk_those(signal, body, refused, false, scratch, &mut visit)
}

/// As [`walk`], but for those events that the visitor does not want.
///
/// # Errors
/// As [`walk`].
pub fn walk_wanted<'a>(
    signal: Signal,
    body: &'a [u8],
    refused: &Refused,
    scratch: &mut Scratch,
    visitor: &mut impl Visit<'a>,
) -> Result<(), Fault> {
    walk_those(signal, body, refused, false, scratch, visitor)
}

/// Visits every event of a request that was refused: what is said of it may be whatever made it so.
///
/// # Errors
/// As [`walk`].
pub fn walk_refused<'a>(
    signal: Signal,
    body: &'a [u8],
    refused: &Refused,
    scratch: &mut Scratch,
    mut visit: impl FnMut(&Record<'a, '_>),
) -> Result<(), Fault> {
    walk_those(signal, body, refused, true, scratch, &mut visit)
}

fn walk_those<'a>(
    signal: Signal,
    body: &'a [u8],
    refused: &Refused,
    visits_refused: bool,
    scratch: &mut Scratch,
    visit: &mut impl Visit<'a>,
) -> Result<(), Fault> {
    let mut walk = Walk {
        signal,
        refused,
        visits_refused,
        index: 0,
        attrs: recycle(std::mem::take(&mut scratch.attrs)),
        resource: Resource { attrs: recycle(std::mem::take(&mut scratch.resource)), ..Resource::default() },
    };
    let outcome = walk.request(body, visit);
    scratch.attrs = give_back(walk.attrs);
    scratch.resource = give_back(walk.resource.attrs);
    Ok(outcome?)
}

struct Walk<'a, 'r> {
    signal: Signal,
    refused: &'r Refused,
    /// Whether those that were refused are visited, or those that were not.
    visits_refused: bool,
    index: u32,
    attrs: Vec<Attribute<'a>>,
    resource: Resource<'a>,
}

impl<'a> Walk<'a, '_> {
    fn request(&mut self, body: &'a [u8], visit: &mut impl Visit<'a>) -> Result<(), Flaw> {
        for field in Reader::new(body) {
            if let (1, Wire::Bytes(resource)) = field? {
                self.resource(resource, visit)?;
            }
        }
        Ok(())
    }

    fn resource(&mut self, message: &'a [u8], visit: &mut impl Visit<'a>) -> Result<(), Flaw> {
        self.resource.attrs.clear();
        for field in Reader::new(message) {
            let (1, Wire::Bytes(resource)) = field? else { continue };
            for field in Reader::new(resource) {
                if let (1, Wire::Bytes(attribute)) = field? {
                    self.resource.attrs.push(Attribute::parse(attribute)?);
                }
            }
        }
        self.resource.resolve();
        for field in Reader::new(message) {
            if let (2, Wire::Bytes(scoped)) = field? {
                self.scope(scoped, visit)?;
            }
        }
        Ok(())
    }

    fn scope(&mut self, message: &'a [u8], visit: &mut impl Visit<'a>) -> Result<(), Flaw> {
        let mut name = "";
        for field in Reader::new(message) {
            let (1, Wire::Bytes(scope)) = field? else { continue };
            for field in Reader::new(scope) {
                if let (1, Wire::Bytes(bytes)) = field? {
                    name = text(bytes)?;
                }
            }
        }
        for field in Reader::new(message) {
            if let (2, Wire::Bytes(record)) = field? {
                match self.signal {
                    Signal::Logs => self.log(record, name, visit)?,
                    Signal::Traces => self.span(record, name, visit)?,
                }
            }
        }
        Ok(())
    }

    /// `LogRecord` (opentelemetry-proto, `logs/v1/logs.proto`).
    fn log(&mut self, message: &'a [u8], scope: &'a str, visit: &mut impl Visit<'a>) -> Result<(), Flaw> {
        let index = self.index;
        self.index += 1;
        if !self.visits(index) || !visit.wants(index) {
            return Ok(());
        }
        self.attrs.clear();
        let mut record = self.blank(index, scope);
        for field in Reader::new(message) {
            match field? {
                (1, Wire::Fixed64(value)) => record.time = value,
                (2, Wire::Varint(value)) => record.severity = value as i32,
                (5, Wire::Bytes(body)) => record.body = Lazy::Sent(body),
                (6, Wire::Bytes(attribute)) => self.attrs.push(Attribute::parse(attribute)?),
                (7, Wire::Varint(value)) => record.dropped_attributes = value as u32,
                (9, Wire::Bytes(id)) => record.trace_id = id_of(id, 16),
                (10, Wire::Bytes(id)) => record.span_id = id_of(id, 8),
                (11, Wire::Fixed64(value)) => record.observed = value,
                (12, Wire::Bytes(name)) => record.event_name = text(name)?,
                _ => {}
            }
        }
        visit.visit(&record.of(self));
        Ok(())
    }

    /// `Span` (opentelemetry-proto, `trace/v1/trace.proto`): one event at its end, and one for each of its own events.
    fn span(&mut self, message: &'a [u8], scope: &'a str, visit: &mut impl Visit<'a>) -> Result<(), Flaw> {
        self.attrs.clear();
        let mut record = self.blank(self.index, scope);
        self.index += 1;
        let (mut start, mut end, mut status) = (0, 0, 0);
        for field in Reader::new(message) {
            match field? {
                (1, Wire::Bytes(id)) => record.trace_id = id_of(id, 16),
                (2, Wire::Bytes(id)) => record.span_id = id_of(id, 8),
                (5, Wire::Bytes(name)) => record.event_name = text(name)?,
                (7, Wire::Fixed64(value)) => start = value,
                (8, Wire::Fixed64(value)) => end = value,
                (9, Wire::Bytes(attribute)) => self.attrs.push(Attribute::parse(attribute)?),
                (10, Wire::Varint(value)) => record.dropped_attributes = value as u32,
                (15, Wire::Bytes(message)) => {
                    for field in Reader::new(message) {
                        if let (3, Wire::Varint(code)) = field? {
                            status = code;
                        }
                    }
                }
                _ => {}
            }
        }
        // Codes of `Status.StatusCode`.
        let status = match status {
            1 => "ok",
            2 => "error",
            _ => "unset",
        };
        self.attrs.push(Attribute::said("span.start", Any::Int(start.cast_signed())));
        self.attrs.push(Attribute::said("span.duration", Any::Int(end.saturating_sub(start).cast_signed())));
        self.attrs.push(Attribute::said("span.status", Any::Str(status)));
        record.time = end;
        if self.visits(record.index) {
            visit.visit(&record.of(self));
        }
        for field in Reader::new(message) {
            if let (11, Wire::Bytes(inner)) = field? {
                self.span_event(inner, &record, end, visit)?;
            }
        }
        Ok(())
    }

    fn span_event(
        &mut self,
        message: &'a [u8],
        span: &Blank<'a>,
        end: u64,
        visit: &mut impl Visit<'a>,
    ) -> Result<(), Flaw> {
        self.attrs.clear();
        let mut record = Blank {
            index: self.index,
            time: 0,
            sent: end,
            event_name: "",
            // What was left out of the span is not missing in its events.
            dropped_attributes: 0,
            ..*span
        };
        self.index += 1;
        for field in Reader::new(message) {
            match field? {
                (1, Wire::Fixed64(value)) => record.time = value,
                (2, Wire::Bytes(name)) => record.event_name = text(name)?,
                (3, Wire::Bytes(attribute)) => self.attrs.push(Attribute::parse(attribute)?),
                (4, Wire::Varint(value)) => record.dropped_attributes = value as u32,
                _ => {}
            }
        }
        if self.visits(record.index) {
            visit.visit(&record.of(self));
        }
        Ok(())
    }

    fn visits(&self, index: u32) -> bool {
        self.refused.contains(index) == self.visits_refused
    }

    fn blank(&self, index: u32, scope: &'a str) -> Blank<'a> {
        Blank {
            index,
            event_name: "",
            time: 0,
            observed: 0,
            sent: 0,
            severity: 0,
            body: Lazy::Said(Any::Null),
            scope,
            trace_id: &[],
            span_id: &[],
            dropped_attributes: 0,
        }
    }
}

/// A record whose attributes are still being read.
#[derive(Clone, Copy)]
struct Blank<'a> {
    index: u32,
    event_name: &'a str,
    time: u64,
    observed: u64,
    sent: u64,
    severity: i32,
    body: Lazy<'a>,
    scope: &'a str,
    trace_id: &'a [u8],
    span_id: &'a [u8],
    dropped_attributes: u32,
}

impl<'a> Blank<'a> {
    fn of<'s>(&self, walk: &'s Walk<'a, '_>) -> Record<'a, 's> {
        Record {
            index: self.index,
            event_name: self.event_name,
            time: self.time,
            observed: self.observed,
            sent: self.sent,
            severity: self.severity,
            body: self.body,
            attrs: &walk.attrs,
            resource: &walk.resource,
            scope: self.scope,
            trace_id: self.trace_id,
            span_id: self.span_id,
            dropped_attributes: self.dropped_attributes,
        }
    }
}
