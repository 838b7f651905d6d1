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
    /// How deep lists and maps may nest inside one value; in JSON, each level is four deep. Whatever reads a value owns a
    /// stack frame for each level.
    pub depth: u32,
    /// How many messages, attributes and values one request may hold: two bytes of a body can be an attribute, which
    /// takes forty bytes once it is read.
    pub nodes: u32,
    /// How many attributes one record may have. They are looked up one after the other, by every rule that names one.
    pub attributes_per_record: u32,
    /// How many attributes a resource may have; they are looked up in the same way.
    pub attributes_per_resource: u32,
    /// How long names may be, in bytes: an event's name, and what names its source (component, node, network). Names are
    /// remembered for as long as the process lives; attributes are not.
    pub name_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 64,
            nodes: 1_000_000,
            attributes_per_record: 1024,
            attributes_per_resource: 1024,
            name_bytes: 1024,
        }
    }
}
