//! Request bodies, and the reply messages as a client reads them.

use std::io::Write;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span};
use prost::Message;

/// An export request of `count` log records.
pub(crate) fn logs(count: usize) -> Vec<u8> {
    log_request(&vec![0; count]).encode_to_vec()
}

/// An export request of log records with so many attributes each.
pub(crate) fn log_request(attributes: &[usize]) -> ExportLogsServiceRequest {
    let log_records = attributes
        .iter()
        .enumerate()
        .map(|(index, attributes)| LogRecord {
            time_unix_nano: 1_700_000_000_000_000_000 + index as u64,
            event_name: "batch.persisted".to_owned(),
            attributes: many(*attributes),
            ..LogRecord::default()
        })
        .collect();
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] }
}

/// An export request of spans with so many attributes each, and one event each.
pub(crate) fn span_request(attributes: &[usize]) -> ExportTraceServiceRequest {
    let spans = attributes
        .iter()
        .map(|attributes| Span {
            trace_id: vec![7; 16],
            span_id: vec![8; 8],
            name: "batch.persist".to_owned(),
            start_time_unix_nano: 1_700_000_000_000_000_000,
            end_time_unix_nano: 1_700_000_001_000_000_000,
            attributes: many(*attributes),
            events: vec![span::Event { name: "flushed".to_owned(), ..span::Event::default() }],
            ..Span::default()
        })
        .collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

fn many(count: usize) -> Vec<KeyValue> {
    (0..count).map(|number| KeyValue { key: format!("k{number}"), ..KeyValue::default() }).collect()
}

/// The same as [`logs`] with one record, in JSON.
pub(crate) const LOG_JSON: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1700000000000000000","eventName":"batch.persisted"}]}]}]}"#;

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// `google.rpc.Status`, written from the proto for this test.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}
