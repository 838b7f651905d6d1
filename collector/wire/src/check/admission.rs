//! Who is taken: what is decodable but beyond a limit of one record is refused singly, because a sender behind a shared
//! Collector must not take the records of others down with its own.
use std::{fmt, ops::RangeInclusive};

use crate::{
    Any, Limits, Refused,
    any::key_value,
    reader::all,
    record::{NETWORK_NAMES, NODE_NAMES},
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

/// What one event has that is bounded.
#[derive(Clone, Copy, Default)]
pub(super) struct Extent {
    pub(super) attributes: u32,
    pub(super) name_bytes: usize,
}

impl Extent {
    /// The greatest of both, by each measure.
    pub(super) fn max(self, other: Self) -> Self {
        Self { attributes: self.attributes.max(other.attributes), name_bytes: self.name_bytes.max(other.name_bytes) }
    }
}

/// Takes records, or refuses them; keeps the census.
pub(super) struct Admission<'l> {
    limits: &'l Limits,
    census: Census,
    /// What the records of the current resource are refused for, if anything.
    resource_excess: Option<String>,
    /// The same of the current scope.
    scope_excess: Option<String>,
}

impl<'l> Admission<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self { limits, census: Census::default(), resource_excess: None, scope_excess: None }
    }

    pub(super) fn into_census(self) -> Census {
        self.census
    }

    /// The next resource, seen as what its records inherit: what cannot be read here is found out later.
    pub(super) fn resource(&mut self, message: &[u8]) {
        self.resource_excess = self.excess_of_resource(message);
    }

    fn excess_of_resource(&self, message: &[u8]) -> Option<String> {
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

    /// The next scope.
    pub(super) fn scope(&mut self, message: &[u8]) {
        let length = all(message, 1).flat_map(|scope| all(scope, 1)).map(<[u8]>::len).max().unwrap_or(0);
        let most = self.limits.name_bytes;
        self.scope_excess =
            (length > most as usize).then(|| format!("its scope's name has {length} bytes, at most {most} are taken"));
    }

    /// Takes a record with its events, or refuses it singly.
    pub(super) fn record(&mut self, events: RangeInclusive<u32>, extent: Extent) -> bool {
        self.census.records += 1;
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Signal, check};
    use opentelemetry_proto::tonic::{
        collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
        common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
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

    fn checked(resource: Resource, scope: &str, log_records: Vec<LogRecord>, limits: &Limits) -> Census {
        let scope = Some(InstrumentationScope { name: scope.to_owned(), ..InstrumentationScope::default() });
        let scope_logs = vec![ScopeLogs { scope, log_records, ..ScopeLogs::default() }];
        let resource_logs = vec![ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() }];
        let body = ExportLogsServiceRequest { resource_logs }.encode_to_vec();
        check(Signal::Logs, &body, limits).unwrap()
    }

    #[test]
    fn records_with_too_many_attributes_are_refused_singly() {
        let limits = Limits::default();
        let most = limits.attributes_per_record as usize;
        let records =
            [most, most + 1, 0].map(|count| LogRecord { attributes: attributes(count), ..LogRecord::default() });
        let census = checked(Resource::default(), "", records.to_vec(), &limits);
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
        let rejected = |resource, scope: &str, records| checked(resource, scope, records, &limits).rejected;
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
        let census = |count| checked(crowded(count), "", vec![LogRecord::default(); 2], &limits);
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
}
