//! What a request means: names, times, sources, and which of its records are the same as one that came before.
use event::{Event, Position, Timestamp, Value};
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span},
};
use prost::Message;
use wire::{Limits, Occurrences, Refused, Scratch, Signal};

const ARRIVED: Timestamp = Timestamp(1_795_176_000_000_000_000);

fn read(signal: Signal, body: &[u8]) -> Vec<Event> {
    wire::check(signal, body, &Limits::default()).unwrap();
    let (mut events, mut occurrences) = (Vec::new(), Occurrences::default());
    wire::walk(signal, body, &Refused::default(), &mut Scratch::default(), |record| {
        let mut event = record.to_event(ARRIVED, Position::default());
        event.identity = record.identity(&mut occurrences);
        events.push(event);
    })
    .unwrap();
    events
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn logs(resource: &[(&str, &str)], scope: &str, log_records: Vec<LogRecord>) -> Vec<Event> {
    let attributes = resource.iter().map(|(key, value)| text(key, value)).collect();
    let scope = Some(InstrumentationScope { name: scope.to_owned(), ..InstrumentationScope::default() });
    let scope_logs = vec![ScopeLogs { scope, log_records, ..ScopeLogs::default() }];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let resource_logs = vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }];
    read(Signal::Logs, &ExportLogsServiceRequest { resource_logs }.encode_to_vec())
}

fn log(attributes: &[(&str, &str)]) -> LogRecord {
    LogRecord {
        time_unix_nano: 7,
        event_name: "e".to_owned(),
        attributes: attributes.iter().map(|(key, value)| text(key, value)).collect(),
        ..LogRecord::default()
    }
}

#[test]
fn of_an_id_that_comes_twice_the_last_counts_also_where_it_is_none() {
    let part = |field: u8, content: &[u8]| [&[field << 3 | 2, content.len() as u8], content].concat();
    let traces_of = |signal, id_field, ids: &[&[u8]]| {
        let record: Vec<u8> = ids.iter().flat_map(|id| part(id_field, id)).collect();
        read(signal, &part(1, &part(2, &part(2, &record)))).remove(0).trace_id
    };
    for (signal, id_field) in [(Signal::Logs, 9), (Signal::Traces, 1)] {
        assert_eq!(traces_of(signal, id_field, &[&[1; 16]]), "01".repeat(16));
        assert_eq!(traces_of(signal, id_field, &[&[1; 16], &[2; 16]]), "02".repeat(16));
        assert_eq!(traces_of(signal, id_field, &[&[1; 16], &[2; 28]]), "");
        assert_eq!(traces_of(signal, id_field, &[&[2; 3], &[1; 16]]), "01".repeat(16));
    }
}

#[test]
fn a_log_record_is_named_by_itself_then_by_its_attribute_then_log() {
    let name = |event_name: &str, attributes: &[(&str, &str)]| {
        let record = LogRecord { event_name: event_name.to_owned(), ..log(attributes) };
        logs(&[], "", vec![record])[0].name.clone()
    };
    assert_eq!(name("own", &[("event.name", "older")]), "own");
    assert_eq!(name("", &[("event.name", "older")]), "older");
    assert_eq!(name("", &[("event.name", "")]), "log");
    assert_eq!(name("", &[]), "log");
    // What `tracing` calls an event without a name is no name.
    assert_eq!(name("event src/merge.rs:120", &[]), "log");
    assert_eq!(name("event src/merge.rs:120", &[("event.name", "older")]), "older");
    for own in ["event", "event ", "event horizon", "event src/merge.rs:", "event.src:1", "block:7"] {
        assert_eq!(name(own, &[]), own);
    }
}

#[test]
fn the_time_is_the_records_own_then_the_observed_one_then_the_arrival() {
    let ts = |time_unix_nano, observed_time_unix_nano| {
        logs(&[], "", vec![LogRecord { time_unix_nano, observed_time_unix_nano, ..LogRecord::default() }])[0].ts
    };
    assert_eq!(ts(5, 6), Timestamp(5));
    assert_eq!(ts(0, 6), Timestamp(6));
    assert_eq!(ts(0, 0), ARRIVED);
    for extreme in [1, 1 << 63, u64::MAX] {
        assert_eq!(ts(extreme, 0), Timestamp(extreme));
    }
}

#[test]
fn sources_fall_back_in_the_order_of_the_conventions() {
    let source = |resource: &[(&str, &str)], scope: &str, attributes: &[(&str, &str)]| {
        let source = logs(resource, scope, vec![log(attributes)]).remove(0).source;
        (source.network, source.node, source.component)
    };
    let told = |network: &str, node: &str, component: &str| (network.to_owned(), node.to_owned(), component.to_owned());
    let all = [
        ("service.name", "s"),
        ("host.name", "h"),
        ("service.instance.id", "i"),
        ("service.namespace", "ns"),
        ("network", "n"),
        ("deployment.environment.name", "env"),
    ];
    assert_eq!(source(&all, "scope", &[("component", "c")]), told("env", "i", "scope"));
    assert_eq!(source(&all[..5], "", &[("component", "c")]), told("n", "i", "c"));
    assert_eq!(source(&all[..4], "", &[("component", "")]), told("ns", "i", "s"));
    assert_eq!(source(&all[..2], "", &[]), told("", "h", "s"));
    assert_eq!(source(&all[..1], "", &[]), told("", "s", "s"));
    assert_eq!(source(&[], "", &[]), told("", "", ""));
    // An empty name names nobody.
    assert_eq!(source(&[("service.instance.id", ""), ("host.name", "h")], "", &[]), told("", "h", ""));
}

#[test]
fn a_span_is_one_event_at_its_end_and_each_of_its_events_is_one_of_its_own() {
    let span = Span {
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        name: "batch.persist".to_owned(),
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 4_000,
        attributes: vec![text("batch.id", "b1"), text("span.status", "what the sender says")],
        dropped_attributes_count: 3,
        events: vec![
            span::Event {
                time_unix_nano: 2_000,
                name: "flushed".into(),
                attributes: vec![text("file", "f")],
                ..Default::default()
            },
            span::Event { time_unix_nano: 0, name: "closed".into(), ..Default::default() },
        ],
        status: Some(Status { code: 2, ..Status::default() }),
        ..Span::default()
    };
    let open = Span { name: "open".into(), start_time_unix_nano: 9, ..Span::default() };
    let scope = Some(InstrumentationScope { name: "store".into(), ..InstrumentationScope::default() });
    let scope_spans = vec![ScopeSpans { scope, spans: vec![span, open], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let events = read(Signal::Traces, &body);
    let seen: Vec<_> = events.iter().map(|event| (event.name.as_str(), event.ts.0)).collect();
    assert_eq!(seen, [("batch.persist", 4_000), ("flushed", 2_000), ("closed", ARRIVED.0), ("open", ARRIVED.0)]);
    assert!(events[..3].iter().all(|event| event.trace_id == "ab".repeat(16) && event.span_id == "cd".repeat(8)));
    assert!(events.iter().all(|event| event.source.component == "store"));

    let attr = |event: usize, name: &str| events[event].attr(name).cloned();
    assert_eq!(attr(0, "span.start"), Some(Value::from(1_000)));
    assert_eq!(attr(0, "span.duration"), Some(Value::from(3_000)));
    assert_eq!(attr(0, "span.status"), Some(Value::from("error")));
    assert_eq!(attr(0, "batch.id"), Some(Value::from("b1")));
    assert_eq!((attr(1, "file"), attr(1, "batch.id"), attr(1, "span.start")), (Some(Value::from("f")), None, None));
    // A span that ends before it starts lasted no time.
    assert_eq!((attr(3, "span.duration"), attr(3, "span.status")), (Some(Value::from(0)), Some(Value::from("unset"))));

    let mut dropped = Vec::new();
    let mut sent = Vec::new();
    wire::walk(Signal::Traces, &body, &Refused::default(), &mut Scratch::default(), |record| {
        dropped.push(record.dropped_attributes());
        sent.push(record.sent_at(ARRIVED).0);
    })
    .unwrap();
    assert_eq!(dropped, [3, 0, 0, 0]);
    // An event inside a span leaves its process when the span ends.
    assert_eq!(sent, [4_000, 4_000, 4_000, ARRIVED.0]);
}

#[test]
fn a_uid_is_the_identity_whatever_else_the_record_says() {
    let named = |resource: &[(&str, &str)], uid: &str, other: &str| {
        logs(resource, "", vec![log(&[("log.record.uid", uid), ("k", other)])])[0].identity
    };
    let node = [("service.instance.id", "n1")];
    assert_eq!(named(&node, "u", "a"), named(&node, "u", "b"));
    assert_ne!(named(&node, "u", "a"), named(&node, "v", "a"));
    assert_ne!(named(&node, "u", "a"), named(&[("service.instance.id", "n2")], "u", "a"));
    // The same uid twice in one request is one record.
    let twice = logs(&node, "", vec![log(&[("log.record.uid", "u")]), log(&[("log.record.uid", "u")])]);
    assert_eq!(twice[0].identity, twice[1].identity);
}

#[test]
fn content_with_its_number_among_equals_is_the_identity_otherwise() {
    let three = || vec![log(&[("k", "v")]), log(&[("k", "v")]), log(&[("k", "w")])];
    let first = logs(&[], "", three());
    let again = logs(&[], "", three());
    assert!(first.iter().zip(&again).all(|(a, b)| a.identity == b.identity));
    assert_ne!(first[0].identity, first[1].identity);
    // Cut into other requests, the third is the same and the twin is taken for its brother.
    assert_eq!(logs(&[], "", vec![log(&[("k", "w")])])[0].identity, first[2].identity);

    let base = logs(&[], "", vec![log(&[])])[0].identity;
    let changed = [
        LogRecord { time_unix_nano: 8, ..log(&[]) },
        LogRecord { observed_time_unix_nano: 1, ..log(&[]) },
        LogRecord { event_name: "f".into(), ..log(&[]) },
        LogRecord { trace_id: vec![1; 16], ..log(&[]) },
        LogRecord { span_id: vec![1; 8], ..log(&[]) },
        LogRecord { body: Some(AnyValue { value: Some(any_value::Value::BoolValue(false)) }), ..log(&[]) },
        log(&[("k", "")]),
    ];
    for record in changed {
        assert_ne!(logs(&[], "", vec![record.clone()])[0].identity, base, "{record:?}");
    }
    for (resource, scope) in [(&[("network", "x")][..], ""), (&[("host.name", "x")][..], ""), (&[][..], "x")] {
        assert_ne!(logs(resource, scope, vec![log(&[])])[0].identity, base);
    }
    // What is not content: how loud it is, and what the resource says beyond who speaks.
    assert_eq!(logs(&[], "", vec![LogRecord { severity_number: 17, ..log(&[]) }])[0].identity, base);
    assert_eq!(logs(&[("process.pid", "5")], "", vec![log(&[])])[0].identity, base);
}

#[test]
fn a_value_with_very_many_keys_is_owned_in_time() {
    // Quadratic work over these would take minutes.
    let values: Vec<KeyValue> = (0..200_000).map(|number| text(&format!("k{}", number % 150_000), "v")).collect();
    let map = any_value::Value::KvlistValue(opentelemetry_proto::tonic::common::v1::KeyValueList { values });
    let record = LogRecord { body: Some(AnyValue { value: Some(map) }), ..LogRecord::default() };
    let events = logs(&[], "", vec![record]);
    let Value::Map(entries) = &events[0].body else { panic!("not a map") };
    assert_eq!(entries.len(), 150_000);
}
