//! Why a body cannot be decoded, and where. It does not decide what the sender is told.

/// A body that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}{}{path}: {fault}", if path.is_empty() { "" } else { ", " })]
pub struct Malformed {
    /// Where in the body, in bytes from its start.
    pub offset: usize,
    /// Which field, in the JSON names of OTLP (`resourceLogs[0].scopeLogs[0]`); empty where unknown.
    pub path: String,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong at one place of a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes end inside a field.
    #[error("the bytes end inside a field")]
    Truncated,
    /// A varint does not fit 64 bits.
    #[error("a varint is longer than 64 bits")]
    Varint,
    /// A field's number is 0 or beyond 2^29 - 1.
    #[error("a field number is 0 or above 536870911")]
    FieldNumber,
    /// A wire type that OTLP does not use: groups (3, 4), or 6 and 7, which do not exist.
    #[error("wire type {0} is not used by OTLP")]
    WireType(u8),
    /// A known field comes with another wire type than its own.
    #[error("field {0} has the wrong wire type")]
    FieldType(u32),
    /// A value comes twice where there can be one.
    #[error("field {0} comes twice")]
    Twice(u32),
    /// Values nest deeper than allowed.
    #[error("values nest too deep")]
    TooDeep,
    /// There are more messages and values than allowed.
    #[error("the request holds too many values")]
    TooMany,
    /// The JSON text cannot be read, or says something it must not.
    #[error("{0}")]
    Json(String),
    /// A value of another kind is needed.
    #[error("{0} is needed here")]
    Expected(&'static str),
    /// A string is not UTF-8.
    #[error("a string is not valid UTF-8")]
    Utf8,
}
