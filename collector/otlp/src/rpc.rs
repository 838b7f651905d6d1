//! The `google.rpc` messages of error replies, in protobuf and in their JSON mapping. Only what OTLP asks for.
//!
//! Sources: googleapis/googleapis `google/rpc/status.proto`, `google/rpc/error_details.proto`, and
//! `google/protobuf/{any,duration}.proto`.

use prost::Message;
use serde_json::{Value, json};

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    /// A `google.rpc.Code`.
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

/// `google.rpc.BadRequest`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) field_violations: Vec<FieldViolation>,
}

/// `google.rpc.BadRequest.FieldViolation`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct FieldViolation {
    /// The path of the field, as `resourceLogs[0].scopeLogs[0].logRecords[3].timeUnixNano`.
    #[prost(string, tag = "1")]
    pub(crate) field: String,
    #[prost(string, tag = "2")]
    pub(crate) description: String,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    pub(crate) retry_delay: Option<Duration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(crate) struct Duration {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(crate) nanos: i32,
}

/// What goes into `Status.details`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    BadRequest(FieldViolation),
    RetryInfo { seconds: u32 },
}

const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `RetryInfo` on its own, as the trailer `google.rpc.retryinfo-bin` carries it.
pub(crate) fn retry_info(seconds: u32) -> Vec<u8> {
    RetryInfo { retry_delay: Some(Duration { seconds: seconds.into(), nanos: 0 }) }.encode_to_vec()
}

/// A `Status` in protobuf.
pub(crate) fn to_protobuf(code: i32, message: &str, detail: Option<&Detail>) -> Vec<u8> {
    let details = detail.map(|detail| match detail {
        Detail::BadRequest(violation) => Any {
            type_url: BAD_REQUEST.to_owned(),
            value: BadRequest { field_violations: vec![violation.clone()] }.encode_to_vec(),
        },
        Detail::RetryInfo { seconds } => Any { type_url: RETRY_INFO.to_owned(), value: retry_info(*seconds) },
    });
    Status { code, message: message.to_owned(), details: details.into_iter().collect() }.encode_to_vec()
}

/// A `Status` in the JSON mapping of protobuf.
pub(crate) fn to_json(code: i32, message: &str, detail: Option<&Detail>) -> Vec<u8> {
    let mut status = json!({"code": code, "message": message});
    if let Some(detail) = detail {
        let detail: Value = match detail {
            Detail::BadRequest(FieldViolation { field, description }) => json!({
                "@type": BAD_REQUEST, "fieldViolations": [{"field": field, "description": description}],
            }),
            Detail::RetryInfo { seconds } => json!({"@type": RETRY_INFO, "retryDelay": format!("{seconds}s")}),
        };
        status["details"] = Value::Array(vec![detail]);
    }
    status.to_string().into_bytes()
}
