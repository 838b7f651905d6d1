//! Events the plain way: decoded by `prost` into owned messages, then put together field by field. Slow, and written
//! without a look at the walk, so that the two can disagree.

use event::{Event, Position, Source, Timestamp, Value};
use opentelemetry_proto::tonic::collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use wire::Signal;

type Attributes = Vec<(String, Value)>;

/// All events of a request, in the order of its records.
///
/// # Errors
/// When `prost` cannot decode it.
pub(crate) fn events(signal: Signal, body: &[u8], arrived: Timestamp) -> Result<Vec<Event>, prost::DecodeError> {
    let mut events = match signal {
        Signal::Logs => logs(ExportLogsServiceRequest::decode(body)?, arrived),
        Signal::Traces => spans(ExportTraceServiceRequest::decode(body)?, arrived),
    };
    for (number, event) in events.iter_mut().enumerate() {
        event.position = Position { record: number as u32, ..Position::default() };
        event.arrived = arrived;
    }
    Ok(events)
}

fn logs(request: ExportLogsServiceRequest, arrived: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    for group in request.resource_logs {
        let resource = attributes(group.resource.unwrap_or_default().attributes);
        for scoped in group.scope_logs {
            let scope = scoped.scope.unwrap_or_default().name;
            for record in scoped.log_records {
                let attrs = attributes(record.attributes);
                let name = match (record.event_name, text(&attrs, "event.name")) {
                    (name, _) if !name.is_empty() => name,
                    (_, Some(name)) => name,
                    _ => "log".to_owned(),
                };
                let times = [record.time_unix_nano, record.observed_time_unix_nano, arrived.0];
                events.push(Event {
                    ts: Timestamp(times.into_iter().find(|time| *time != 0).unwrap_or(0)),
                    source: source(&resource, &scope, &attrs),
                    name,
                    attrs,
                    resource: resource.clone(),
                    body: value(record.body),
                    trace_id: hex(&record.trace_id, 16),
                    span_id: hex(&record.span_id, 8),
                    severity: record.severity_number,
                    ..Event::default()
                });
            }
        }
    }
    events
}

fn spans(request: ExportTraceServiceRequest, arrived: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    for group in request.resource_spans {
        let Resource { attributes: resource, .. } = group.resource.unwrap_or_default();
        let resource = attributes(resource);
        for scoped in group.scope_spans {
            let scope = scoped.scope.unwrap_or_default().name;
            for span in scoped.spans {
                let mut attrs = attributes(span.attributes);
                let duration = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
                let status = match span.status.unwrap_or_default().code {
                    1 => "ok",
                    2 => "error",
                    _ => "unset",
                };
                set(&mut attrs, "span.start".to_owned(), Value::from(span.start_time_unix_nano as i64));
                set(&mut attrs, "span.duration".to_owned(), Value::from(duration as i64));
                set(&mut attrs, "span.status".to_owned(), Value::from(status));
                let end = span.end_time_unix_nano;
                let (trace_id, span_id) = (hex(&span.trace_id, 16), hex(&span.span_id, 8));
                let mut push = |name: String, time: u64, attrs: Attributes| {
                    let name = match text(&attrs, "event.name") {
                        _ if !name.is_empty() => name,
                        Some(name) => name,
                        None => "log".to_owned(),
                    };
                    events.push(Event {
                        ts: if time == 0 { arrived } else { Timestamp(time) },
                        source: source(&resource, &scope, &attrs),
                        name,
                        attrs,
                        resource: resource.clone(),
                        trace_id: trace_id.clone(),
                        span_id: span_id.clone(),
                        ..Event::default()
                    });
                };
                push(span.name, end, attrs);
                for inner in span.events {
                    push(inner.name, inner.time_unix_nano, attributes(inner.attributes));
                }
            }
        }
    }
    events
}

fn source(resource: &Attributes, scope: &str, attrs: &Attributes) -> Source {
    let first = |names: [&str; 3]| names.into_iter().find_map(|name| text(resource, name)).unwrap_or_default();
    Source {
        network: first(["deployment.environment.name", "network", "service.namespace"]),
        node: first(["service.instance.id", "host.name", "service.name"]),
        component: match scope {
            "" => text(attrs, "component").or_else(|| text(resource, "service.name")).unwrap_or_default(),
            scope => scope.to_owned(),
        },
    }
}

/// A text that is there and says something.
fn text(attrs: &Attributes, name: &str) -> Option<String> {
    let (_, value) = attrs.iter().find(|(known, _)| known == name)?;
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn attributes(given: Vec<KeyValue>) -> Attributes {
    let mut attrs = Vec::new();
    for KeyValue { key, value: given, .. } in given {
        set(&mut attrs, key, value(given));
    }
    attrs
}

/// The last of equal names wins, at the place of the first.
fn set(attrs: &mut Attributes, name: String, value: Value) {
    match attrs.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = value,
        None => attrs.push((name, value)),
    }
}

fn value(given: Option<AnyValue>) -> Value {
    match given.and_then(|any| any.value) {
        None | Some(Any::StringValueStrindex(_)) => Value::Null,
        Some(Any::BoolValue(value)) => Value::Bool(value),
        Some(Any::IntValue(value)) => Value::from(value),
        Some(Any::DoubleValue(value)) => Value::Double(value),
        Some(Any::StringValue(value)) => Value::from(value.as_str()),
        Some(Any::BytesValue(value)) => Value::Bytes(value.into()),
        Some(Any::ArrayValue(list)) => Value::List(list.values.into_iter().map(|item| value(Some(item))).collect()),
        Some(Any::KvlistValue(map)) => {
            Value::Map(attributes(map.values).into_iter().map(|(name, value)| (name.into(), value)).collect())
        }
    }
}

/// An id of the wrong length is as absent.
fn hex(id: &[u8], length: usize) -> String {
    if id.len() == length { id.iter().map(|byte| format!("{byte:02x}")).collect() } else { String::new() }
}
