//! Events to send: as lines, and as OTLP requests.
use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value as Any},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Invar, Reply, request};

/// Now, in milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A time as event lines write it.
pub(crate) fn rfc3339(ms: u64) -> String {
    event::Timestamp(ms * 1_000_000).to_string()
}

/// One event, with a builder's hand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) ms: u64,
    pub(crate) node: String,
    pub(crate) component: String,
    pub(crate) network: String,
    pub(crate) event: String,
    pub(crate) attrs: Value,
    pub(crate) resource: BTreeMap<String, Value>,
}

impl Line {
    /// An event of network `testnet`, now.
    pub(crate) fn new(node: &str, component: &str, event: &str, attrs: Value) -> Self {
        Line {
            ms: now_ms(),
            node: node.to_owned(),
            component: component.to_owned(),
            network: "testnet".to_owned(),
            event: event.to_owned(),
            attrs,
            resource: BTreeMap::new(),
        }
    }

    /// At another time.
    pub(crate) fn at(mut self, ms: u64) -> Self {
        self.ms = ms;
        self
    }

    /// As `POST /v1/events` and `invar replay` read it.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "ts": rfc3339(self.ms),
            "node": self.node,
            "component": self.component,
            "network": self.network,
            "event": self.event,
            "attrs": self.attrs,
        })
    }

    /// As the senders in `sdk/` read it.
    pub(crate) fn to_scenario(&self) -> Value {
        json!({
            "at_ms": self.ms,
            "node": self.node,
            "component": self.component,
            "network": self.network,
            "event": self.event,
            "attrs": self.attrs,
            "resource": self.resource,
        })
    }
}

/// These events as one OTLP request, a resource each.
pub(crate) fn export_request(lines: &[Line]) -> ExportLogsServiceRequest {
    let text = |text: &str| AnyValue { value: Some(Any::StringValue(text.to_owned())) };
    let pair = |key: &str, value: AnyValue| KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() };
    let resource_logs = lines
        .iter()
        .map(|line| {
            let mut attributes = vec![
                pair("service.instance.id", text(&line.node)),
                pair("deployment.environment.name", text(&line.network)),
            ];
            attributes.extend(line.resource.iter().map(|(key, value)| pair(key, any(value))));
            let attrs = line.attrs.as_object().cloned().unwrap_or_default();
            let record = LogRecord {
                time_unix_nano: line.ms * 1_000_000,
                event_name: line.event.clone(),
                attributes: attrs.iter().map(|(key, value)| pair(key, any(value))).collect(),
                ..LogRecord::default()
            };
            ResourceLogs {
                resource: Some(Resource { attributes, ..Resource::default() }),
                scope_logs: vec![ScopeLogs {
                    scope: Some(InstrumentationScope {
                        name: line.component.clone(),
                        ..InstrumentationScope::default()
                    }),
                    log_records: vec![record],
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }
        })
        .collect();
    ExportLogsServiceRequest { resource_logs }
}

fn any(value: &Value) -> AnyValue {
    let value = match value {
        Value::Bool(value) => Any::BoolValue(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => Any::IntValue(value),
            None => Any::DoubleValue(number.as_f64().unwrap()),
        },
        Value::String(text) => Any::StringValue(text.clone()),
        other => Any::StringValue(other.to_string()),
    };
    AnyValue { value: Some(value) }
}

impl Invar {
    /// Posts bytes to the receiver's HTTP port.
    pub(crate) async fn receive(&self, path: &str, content_type: &str, body: Vec<u8>) -> Reply {
        let headers = [("content-type", content_type)];
        request(Method::POST, &format!("http://{}{path}", self.http), &headers, body).await
    }

    /// Posts events as lines; they must all be accepted.
    pub(crate) async fn send(&self, lines: &[Line]) {
        let body: String = lines.iter().map(|line| format!("{}\n", line.to_json())).collect();
        let reply = self.receive("/v1/events", "application/x-ndjson", body.into_bytes()).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "{}"), "{}", self.log());
    }
}
