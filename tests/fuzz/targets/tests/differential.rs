//! Generated requests and damaged ones, through the same functions as the fuzzers.

use fuzz_targets::{event_lines, otlp_json, otlp_protobuf, same_events};
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span},
};
use proptest::prelude::*;
use prost::Message;
use wire::Signal;

fn value() -> impl Strategy<Value = Option<AnyValue>> {
    let leaf = prop_oneof![
        Just(None),
        any::<bool>().prop_map(|v| Some(Value::BoolValue(v))),
        any::<i64>().prop_map(|v| Some(Value::IntValue(v))),
        any::<f64>()
            .prop_filter("JSON has no such numbers", |v| v.is_finite())
            .prop_map(|v| Some(Value::DoubleValue(v))),
        ".{0,8}".prop_map(|v| Some(Value::StringValue(v))),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(|v| Some(Value::BytesValue(v))),
    ]
    .prop_map(|value| AnyValue { value });
    let nested = leaf.prop_recursive(3, 16, 3, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..3)
            .prop_map(|values| AnyValue { value: Some(Value::ArrayValue(ArrayValue { values })) });
        let map = prop::collection::vec(("[ab]{0,2}", inner), 0..3).prop_map(|pairs| {
            let values = pairs
                .into_iter()
                .map(|(key, value)| KeyValue { key, value: Some(value), ..KeyValue::default() })
                .collect();
            AnyValue { value: Some(Value::KvlistValue(KeyValueList { values })) }
        });
        prop_oneof![list, map]
    });
    prop::option::of(nested)
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let key = prop_oneof![
        "[a-c]{1,2}",
        prop::sample::select(vec![
            "event.name",
            "component",
            "log.record.uid",
            "service.name",
            "service.instance.id",
            "host.name",
            "network",
            "span.status",
        ])
        .prop_map(str::to_owned),
    ];
    let pair = (key, value()).prop_map(|(key, value)| KeyValue { key, value, ..KeyValue::default() });
    prop::collection::vec(pair, 0..4)
}

fn id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), length)]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 1_700_000_000_000_000_000..1_800_000_000_000_000_000_u64]
}

fn resource() -> impl Strategy<Value = Option<Resource>> {
    prop::option::of(attributes().prop_map(|attributes| Resource { attributes, ..Resource::default() }))
}

fn scope() -> impl Strategy<Value = Option<InstrumentationScope>> {
    prop::option::of(("[a-z]{0,3}", attributes()).prop_map(|(name, attributes)| InstrumentationScope {
        name,
        attributes,
        ..InstrumentationScope::default()
    }))
}

fn log() -> impl Strategy<Value = LogRecord> {
    ((time(), time(), any::<i32>(), "[a-z]{0,3}", value(), attributes()), (id(16), id(8), any::<u32>(), any::<u32>()))
        .prop_map(|((time, observed, severity, name, body, attributes), (trace, span, dropped, flags))| LogRecord {
            time_unix_nano: time,
            observed_time_unix_nano: observed,
            severity_number: severity,
            severity_text: name.clone(),
            body,
            attributes,
            dropped_attributes_count: dropped,
            flags,
            trace_id: trace,
            span_id: span,
            event_name: name,
        })
}

fn logs() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let scoped = (scope(), prop::collection::vec(log(), 0..4)).prop_map(|(scope, log_records)| ScopeLogs {
        scope,
        log_records,
        schema_url: "https://s".into(),
    });
    let group = (resource(), prop::collection::vec(scoped, 0..3)).prop_map(|(resource, scope_logs)| ResourceLogs {
        resource,
        scope_logs,
        ..ResourceLogs::default()
    });
    prop::collection::vec(group, 0..3).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

fn span_event() -> impl Strategy<Value = span::Event> {
    (time(), "[a-z]{0,3}", attributes(), any::<u32>()).prop_map(|(time_unix_nano, name, attributes, dropped)| {
        span::Event { time_unix_nano, name, attributes, dropped_attributes_count: dropped }
    })
}

fn link() -> impl Strategy<Value = span::Link> {
    (id(16), id(8), attributes()).prop_map(|(trace_id, span_id, attributes)| span::Link {
        trace_id,
        span_id,
        attributes,
        ..span::Link::default()
    })
}

fn one_span() -> impl Strategy<Value = Span> {
    let parts = (prop::collection::vec(span_event(), 0..3), prop::collection::vec(link(), 0..2), attributes());
    (id(16), id(8), "[a-z]{0,3}", time(), time(), any::<i32>(), prop::option::of(any::<i32>()), parts).prop_map(
        |(trace_id, span_id, name, start, end, kind, code, (events, links, attributes))| Span {
            trace_id,
            span_id: span_id.clone(),
            parent_span_id: span_id,
            name,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            events,
            links,
            status: code.map(|code| Status { code, message: "m".into() }),
            ..Span::default()
        },
    )
}

fn spans() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scoped = (scope(), prop::collection::vec(one_span(), 0..3)).prop_map(|(scope, spans)| ScopeSpans {
        scope,
        spans,
        ..ScopeSpans::default()
    });
    let group = (resource(), prop::collection::vec(scoped, 0..3)).prop_map(|(resource, scope_spans)| ResourceSpans {
        resource,
        scope_spans,
        ..ResourceSpans::default()
    });
    prop::collection::vec(group, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

/// What happens to bytes on their way.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Repeat(prop::sample::Index, prop::sample::Index),
    Cut(prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let index = any::<prop::sample::Index>;
    let one = prop_oneof![
        (index(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        index().prop_map(Damage::Remove),
        (index(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        (index(), index()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        index().prop_map(Damage::Cut),
    ];
    prop::collection::vec(one, 1..4)
}

fn damaged(mut bytes: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for damage in damage {
        if bytes.is_empty() {
            return bytes;
        }
        match damage {
            Damage::Set(at, byte) => *at.get_mut(&mut bytes) = *byte,
            Damage::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Damage::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
            Damage::Repeat(from, to) => {
                let (a, b) = (from.index(bytes.len()), to.index(bytes.len()));
                let part = bytes[a.min(b)..a.max(b)].to_vec();
                bytes.extend_from_slice(&part);
            }
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
    bytes
}

/// A document as another sender would write it: members in another order, fields that nobody knows, white space, escapes;
/// and, where `twice`, members that come twice, of which the last one holds.
fn dressed(document: &serde_json::Value, taste: &mut dyn FnMut() -> u8, twice: bool) -> String {
    use serde_json::Value;
    let mut space = ["", " ", "\n", "\t\r"][usize::from(taste() % 4)].to_owned();
    if taste() > 60 {
        space.clear();
    }
    let quoted = |text: &str, taste: &mut dyn FnMut() -> u8| {
        if taste() > 60 {
            return Value::from(text).to_string();
        }
        let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        format!("\"{units}\"")
    };
    let written = match document {
        Value::Object(members) => {
            let mut written = Vec::new();
            for (key, value) in members {
                if taste() < 30 {
                    written.push(format!(r#""unknown{}":[{{"x":null,"x":[]}},1e5,true,"\""]"#, taste()));
                }
                if twice && taste() < 30 {
                    written.push(format!("{}:{}", quoted(key, taste), dressed(value, taste, twice)));
                }
                let key = quoted(key, taste);
                let value = dressed(value, taste, twice);
                written.push(format!("{key}{space}:{value}"));
            }
            if !twice && !written.is_empty() {
                let by = usize::from(taste()) % written.len();
                written.rotate_left(by);
            }
            format!("{{{space}{}}}", written.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| dressed(item, taste, twice)).collect();
            format!("[{space}{}]", items.join(","))
        }
        Value::String(text) => quoted(text, taste),
        other => other.to_string(),
    };
    format!("{space}{written}{space}")
}

/// A document in another dress is the same request to us, and to the model, which takes no member twice.
fn same_in_any_dress<R>(signal: Signal, request: &R, tastes: &[u8], twice: bool)
where
    R: Message + Default + PartialEq + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let mut tastes = tastes.iter().copied().cycle();
    let mut taste = || tastes.next().unwrap_or(255);
    let text = dressed(&serde_json::to_value(request).unwrap(), &mut taste, twice);
    let rewritten = wire::json_to_protobuf(signal, text.as_bytes(), &wire::Limits::default());
    let (rewritten, warnings) = rewritten.unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(R::decode(rewritten.as_slice()).unwrap(), *request, "{text}");
    assert_eq!(warnings, wire::Warnings { duplicate_keys: warnings.duplicate_keys, ..wire::Warnings::default() });
    if !twice {
        assert_eq!(serde_json::from_str::<R>(&text).unwrap(), *request, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn generated_logs_read_as_prost_reads_them(request in logs()) {
        otlp_protobuf(&request.encode_to_vec());
    }

    #[test]
    fn generated_spans_read_as_prost_reads_them(request in spans()) {
        otlp_protobuf(&request.encode_to_vec());
    }

    #[test]
    fn damaged_logs_are_taken_or_refused_as_prost_does(request in logs(), damage in damage()) {
        otlp_protobuf(&damaged(request.encode_to_vec(), &damage));
    }

    #[test]
    fn damaged_spans_are_taken_or_refused_as_prost_does(request in spans(), damage in damage()) {
        otlp_protobuf(&damaged(request.encode_to_vec(), &damage));
    }

    #[test]
    fn logs_say_the_same_in_json(request in logs()) {
        same_events(Signal::Logs, &request.encode_to_vec(), &serde_json::to_vec(&request).unwrap());
    }

    #[test]
    fn spans_say_the_same_in_json(request in spans()) {
        same_events(Signal::Traces, &request.encode_to_vec(), &serde_json::to_vec(&request).unwrap());
    }

    #[test]
    fn logs_say_the_same_in_any_dress(request in logs(), tastes in prop::collection::vec(any::<u8>(), 1..300), twice in any::<bool>()) {
        same_in_any_dress(Signal::Logs, &request, &tastes, twice);
    }

    #[test]
    fn spans_say_the_same_in_any_dress(request in spans(), tastes in prop::collection::vec(any::<u8>(), 1..300), twice in any::<bool>()) {
        same_in_any_dress(Signal::Traces, &request, &tastes, twice);
    }

    #[test]
    fn damaged_json_is_rewritten_readably_or_refused(request in logs(), damage in damage()) {
        otlp_json(&damaged(serde_json::to_vec(&request).unwrap(), &damage));
    }

    #[test]
    fn event_lines_keep_their_number_and_order(names in prop::collection::vec(".{1,9}", 0..5), damage in damage()) {
        let line = |name: &String| serde_json::json!({"ts": 5, "node": "n", "event": name, "attrs": {"k": [1, {"l": null}]}});
        let lines = names.iter().map(|name| line(name).to_string()).collect::<Vec<_>>().join("\n");
        event_lines(lines.as_bytes());
        event_lines(&damaged(lines.into_bytes(), &damage));
    }
}

/// Fields that no schema has yet, in every message there is: they change nothing.
#[test]
fn unknown_fields_are_ignored_at_every_depth() {
    let unknown: &[u8] =
        &[0xa0, 0x3f, 0x05, 0xa2, 0x3f, 0x02, 0xff, 0xfe, 0xa5, 0x3f, 1, 2, 3, 4, 0xa1, 0x3f, 1, 2, 3, 4, 5, 6, 7, 8];
    let wrap = |field: u8, content: &[u8]| {
        let content = [unknown, content, unknown].concat();
        assert!(content.len() < 1 << 14);
        [&[field << 3 | 2, content.len() as u8 | 0x80, (content.len() >> 7) as u8][..], &content].concat()
    };
    let plain = |field: u8, content: &[u8]| {
        [&[field << 3 | 2, content.len() as u8 | 0x80, (content.len() >> 7) as u8][..], content].concat()
    };
    let request = |message: &dyn Fn(u8, &[u8]) -> Vec<u8>| {
        let value = message(5, &message(1, b"\x0a\x01v"));
        let attribute = [b"\x0a\x01k".to_vec(), message(2, &value)].concat();
        let record = [message(6, &attribute), message(5, b"\x18\x05"), b"\x62\x01e".to_vec()].concat();
        let scoped = [message(1, b"\x0a\x01s"), message(2, &record)].concat();
        let group = [message(1, &message(1, b"\x0a\x09host.name\x12\x03\x0a\x01h")), message(2, &scoped)].concat();
        message(1, &group)
    };
    let (with, without) = (request(&wrap), request(&plain));
    assert!(with.len() > 2 * without.len());
    otlp_protobuf(&with);
    let events = |body: &[u8]| {
        let census = wire::check(Signal::Logs, body, &wire::Limits::default()).unwrap();
        fuzz_targets::walked(Signal::Logs, body, &census)
    };
    assert_eq!(events(&with), events(&without));
    let event = &events(&with)[0];
    assert_eq!((&*event.name, &*event.source.node, &*event.source.component), ("e", "h", "s"));
    assert_eq!(event.attrs.len(), 1);
}

/// Repeated messages are merged, as protobuf asks; a value that comes twice is refused, which is the one difference.
#[test]
fn repeated_resources_and_scopes_are_merged() {
    let message = |field: u8, content: &[u8]| [&[field << 3 | 2, content.len() as u8][..], content].concat();
    let attribute = |key: &str, value: &str| {
        let value = message(2, &message(1, value.as_bytes()));
        message(1, &[message(1, key.as_bytes()), value].concat())
    };
    let record = message(2, b"\x62\x01e");
    let scoped =
        message(2, &[message(1, b"\x0a\x01a"), record, message(1, b"\x12\x01v"), message(1, b"\x0a\x01b")].concat());
    let group = [
        message(1, &attribute("host.name", "h")),
        scoped,
        message(1, &attribute("network", "n")),
        message(1, &attribute("host.name", "g")),
    ];
    let body = message(1, &group.concat());
    otlp_protobuf(&body);
    let census = wire::check(Signal::Logs, &body, &wire::Limits::default()).unwrap();
    let source = fuzz_targets::walked(Signal::Logs, &body, &census).remove(0).source;
    assert_eq!((&*source.network, &*source.node, &*source.component), ("n", "g", "b"));

    let twice = message(1, &message(2, &message(2, &[message(5, b"\x18\x05"), message(5, b"\x18\x06")].concat())));
    let refused = wire::check(Signal::Logs, &twice, &wire::Limits::default()).unwrap_err();
    assert_eq!(refused.fault, wire::Fault::Twice(5));
    otlp_protobuf(&twice);
}
