//! The messages of OTLP's logs and traces by their JSON names (opentelemetry-proto, `opentelemetry/proto/*/v1/*.proto`).
//! It reads nothing.
use crate::{Signal, json::Name};

/// One field of a message.
pub(super) struct Field {
    /// In lowerCamelCase.
    pub(super) name: Name,
    pub(super) number: u32,
    pub(super) kind: Kind,
}

/// What a field holds, and how it is written.
pub(super) enum Kind {
    Text,
    Bool,
    /// `int64`
    Int,
    /// `double`
    Double,
    /// `bytes`, in base64
    Bytes,
    /// `bytes` of that length, in hex
    Id(usize),
    /// `fixed64`
    Time,
    /// `uint32`
    Uint32,
    /// `fixed32`
    Flags,
    /// An enum, and what its names stand for.
    Enum(fn(&[u8]) -> Option<u64>),
    Message(&'static [Field]),
    /// A message of which there are many in a list that look alike.
    Record(&'static [Field]),
    /// A `KeyValue`.
    Attribute,
    /// An `AnyValue`.
    Any,
    List(&'static Kind),
}

impl Kind {
    /// What is needed where something else stands.
    pub(super) fn wanted(&self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Bool => "a boolean",
            Kind::Int => "an int64",
            Kind::Double => "a double",
            Kind::Bytes => "base64",
            Kind::Id(_) => "hex digits",
            Kind::Time => "a uint64",
            Kind::Uint32 | Kind::Flags => "a uint32",
            Kind::Enum(_) => "an enum number",
            Kind::Message(_) | Kind::Record(_) | Kind::Attribute | Kind::Any => "an object",
            Kind::List(_) => "a list",
        }
    }
}

/// No message has more fields than this.
pub(super) const FIELDS_MAX: usize = 16;

const fn field(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name: Name::new(name), number, kind }
}

/// The fields of the whole request.
pub(super) fn request(signal: Signal) -> &'static [Field] {
    match signal {
        Signal::Logs => &LOGS_REQUEST,
        Signal::Traces => &TRACES_REQUEST,
    }
}

static LOGS_REQUEST: [Field; 1] = [field("resourceLogs", 1, Kind::List(&Kind::Message(&RESOURCE_LOGS)))];

static TRACES_REQUEST: [Field; 1] = [field("resourceSpans", 1, Kind::List(&Kind::Message(&RESOURCE_SPANS)))];

static RESOURCE_LOGS: [Field; 3] = [
    field("resource", 1, Kind::Message(&RESOURCE)),
    field("scopeLogs", 2, Kind::List(&Kind::Message(&SCOPE_LOGS))),
    field("schemaUrl", 3, Kind::Text),
];

static RESOURCE_SPANS: [Field; 3] = [
    field("resource", 1, Kind::Message(&RESOURCE)),
    field("scopeSpans", 2, Kind::List(&Kind::Message(&SCOPE_SPANS))),
    field("schemaUrl", 3, Kind::Text),
];

static RESOURCE: [Field; 2] =
    [field("attributes", 1, Kind::List(&Kind::Attribute)), field("droppedAttributesCount", 2, Kind::Uint32)];

static SCOPE_LOGS: [Field; 3] = [
    field("scope", 1, Kind::Message(&SCOPE)),
    field("logRecords", 2, Kind::List(&Kind::Record(&LOG))),
    field("schemaUrl", 3, Kind::Text),
];

static SCOPE_SPANS: [Field; 3] = [
    field("scope", 1, Kind::Message(&SCOPE)),
    field("spans", 2, Kind::List(&Kind::Record(&SPAN))),
    field("schemaUrl", 3, Kind::Text),
];

static SCOPE: [Field; 4] = [
    field("name", 1, Kind::Text),
    field("version", 2, Kind::Text),
    field("attributes", 3, Kind::List(&Kind::Attribute)),
    field("droppedAttributesCount", 4, Kind::Uint32),
];

static LOG: [Field; 11] = [
    field("timeUnixNano", 1, Kind::Time),
    field("observedTimeUnixNano", 11, Kind::Time),
    field("severityNumber", 2, Kind::Enum(severity)),
    field("severityText", 3, Kind::Text),
    field("eventName", 12, Kind::Text),
    field("body", 5, Kind::Any),
    field("attributes", 6, Kind::List(&Kind::Attribute)),
    field("droppedAttributesCount", 7, Kind::Uint32),
    field("flags", 8, Kind::Flags),
    field("traceId", 9, Kind::Id(16)),
    field("spanId", 10, Kind::Id(8)),
];

static SPAN: [Field; 16] = [
    field("traceId", 1, Kind::Id(16)),
    field("spanId", 2, Kind::Id(8)),
    field("traceState", 3, Kind::Text),
    field("parentSpanId", 4, Kind::Id(8)),
    field("flags", 16, Kind::Flags),
    field("name", 5, Kind::Text),
    field("kind", 6, Kind::Enum(span_kind)),
    field("startTimeUnixNano", 7, Kind::Time),
    field("endTimeUnixNano", 8, Kind::Time),
    field("attributes", 9, Kind::List(&Kind::Attribute)),
    field("droppedAttributesCount", 10, Kind::Uint32),
    field("events", 11, Kind::List(&Kind::Message(&SPAN_EVENT))),
    field("droppedEventsCount", 12, Kind::Uint32),
    field("links", 13, Kind::List(&Kind::Message(&LINK))),
    field("droppedLinksCount", 14, Kind::Uint32),
    field("status", 15, Kind::Message(&STATUS)),
];

static SPAN_EVENT: [Field; 4] = [
    field("timeUnixNano", 1, Kind::Time),
    field("name", 2, Kind::Text),
    field("attributes", 3, Kind::List(&Kind::Attribute)),
    field("droppedAttributesCount", 4, Kind::Uint32),
];

static LINK: [Field; 6] = [
    field("traceId", 1, Kind::Id(16)),
    field("spanId", 2, Kind::Id(8)),
    field("traceState", 3, Kind::Text),
    field("attributes", 4, Kind::List(&Kind::Attribute)),
    field("droppedAttributesCount", 5, Kind::Uint32),
    field("flags", 6, Kind::Flags),
];

static STATUS: [Field; 2] = [field("message", 2, Kind::Text), field("code", 3, Kind::Enum(status_code))];

pub(super) static KEY_VALUE: [Field; 2] = [field("key", 1, Kind::Text), field("value", 2, Kind::Any)];

/// Whether it is the name of an attribute.
pub(super) fn is_name(field: &'static Field) -> bool {
    std::ptr::eq(field, &KEY_VALUE[0])
}

pub(super) static ANY: [Field; 7] = [
    field("stringValue", 1, Kind::Text),
    field("boolValue", 2, Kind::Bool),
    field("intValue", 3, Kind::Int),
    field("doubleValue", 4, Kind::Double),
    field("arrayValue", 5, Kind::Message(&ARRAY)),
    field("kvlistValue", 6, Kind::Message(&KVLIST)),
    field("bytesValue", 7, Kind::Bytes),
];

static ARRAY: [Field; 1] = [field("values", 1, Kind::List(&Kind::Any))];

static KVLIST: [Field; 1] = [field("values", 1, Kind::List(&Kind::Attribute))];

/// Whether `key` is `name`, written in snake_case.
pub(super) fn is_snake_case_of(key: &[u8], name: &str) -> bool {
    let mut key = key.iter().copied();
    let same = name.bytes().all(|wanted| match wanted.is_ascii_uppercase() {
        true => key.next() == Some(b'_') && key.next() == Some(wanted.to_ascii_lowercase()),
        false => key.next() == Some(wanted),
    });
    same && key.next().is_none()
}

fn severity(name: &[u8]) -> Option<u64> {
    let level = name.strip_prefix(b"SEVERITY_NUMBER_")?;
    if level == b"UNSPECIFIED" {
        return Some(0);
    }
    let (word, step) = match level {
        [word @ .., digit @ b'2'..=b'4'] => (word, u64::from(digit - b'0')),
        word => (word, 1),
    };
    Some(one_of(&["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"], word)? * 4 + step)
}

fn span_kind(name: &[u8]) -> Option<u64> {
    let names = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"];
    one_of(&names, name.strip_prefix(b"SPAN_KIND_")?)
}

fn status_code(name: &[u8]) -> Option<u64> {
    one_of(&["UNSET", "OK", "ERROR"], name.strip_prefix(b"STATUS_CODE_")?)
}

fn one_of(names: &[&str], name: &[u8]) -> Option<u64> {
    names.iter().position(|known| known.as_bytes() == name).map(|at| at as u64)
}
