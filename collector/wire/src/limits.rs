//! What a request may hold. It does not measure requests.

/// Which of OpenTelemetry's signals a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// An `ExportLogsServiceRequest`.
    Logs,
    /// An `ExportTraceServiceRequest`.
    Traces,
}

/// Bounds on one request: beyond `depth` or `nodes` it is malformed, beyond the others single records are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How deep messages (in JSON: objects and lists) may nest.
    pub depth: u32,
    /// How many messages and values one request may hold.
    pub nodes: u32,
    /// How many attributes one record may have.
    pub attributes_per_record: u32,
    /// How long an event's name may be, in bytes.
    pub event_name_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: 64, nodes: 1_000_000, attributes_per_record: 1024, event_name_bytes: 1024 }
    }
}
