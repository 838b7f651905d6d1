//! What the servers count. It refuses to name metrics: the binary exports these in Prometheus' terms.

use std::sync::atomic::{AtomicU64, Ordering};

use wire::Warnings;

/// Where a request is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v1/logs`, `LogsService`.
    Logs,
    /// `/v1/traces`, `TraceService`.
    Traces,
    /// `/v1/metrics`, `MetricsService`; taken and not used.
    Metrics,
    /// `/v1/events`: event lines, HTTP only.
    Events,
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with a protobuf body.
    HttpProtobuf,
    /// OTLP/HTTP with a JSON body, event lines, and requests whose encoding is not known.
    HttpJson,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Acknowledged whole.
    Accepted,
    /// Acknowledged, with some records refused.
    Partial,
    /// Refused for good: the sender must not send it again.
    Refused,
    /// Refused for now: the sender is asked to send it again.
    Unavailable,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Logs, Self::Traces, Self::Metrics, Self::Events];

    /// A lower-case label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Events => "events",
        }
    }
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Grpc, Self::HttpProtobuf, Self::HttpJson];

    /// A lower-case label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http_protobuf",
            Self::HttpJson => "http_json",
        }
    }
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Accepted, Self::Partial, Self::Refused, Self::Unavailable];

    /// A lower-case label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Partial => "partial",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Monotonic counts since the start, and gauges of the present; read at any time from any thread.
#[derive(Debug, Default)]
pub struct Counters {
    /// Endpoint × transport × outcome; the last endpoint row is for paths that are none of ours.
    requests: [[[AtomicU64; 4]; 3]; 5],
    pub(crate) records: AtomicU64,
    pub(crate) records_refused: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) bytes_inflated: AtomicU64,
    pub(crate) connections: AtomicU64,
    warnings: [AtomicU64; 5],
}

impl Counters {
    /// Requests answered; `None` counts those to unknown paths.
    pub fn requests(&self, endpoint: Option<Endpoint>, transport: Transport, outcome: Outcome) -> u64 {
        self.cell(endpoint, transport, outcome).load(Ordering::Relaxed)
    }

    /// Events accepted and durable.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Records refused inside requests that were acknowledged.
    pub fn records_refused(&self) -> u64 {
        self.records_refused.load(Ordering::Relaxed)
    }

    /// Body bytes as they came over the wire.
    pub fn bytes_received(&self) -> u64 {
        self.bytes_received.load(Ordering::Relaxed)
    }

    /// Body bytes after inflating (those that came uncompressed too).
    pub fn bytes_inflated(&self) -> u64 {
        self.bytes_inflated.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// What was taken in JSON although the specification says otherwise, by kind of mistake.
    pub fn warnings(&self) -> [(&'static str, u64); 5] {
        let kinds = ["snake_case", "enum_names", "large_numbers", "bad_ids", "duplicate_keys"];
        std::array::from_fn(|kind| (kinds[kind], self.warnings[kind].load(Ordering::Relaxed)))
    }

    pub(crate) fn warn(&self, warnings: &Warnings) {
        let Warnings { snake_case, enum_names, large_numbers, bad_ids, duplicate_keys } = *warnings;
        for (counter, count) in
            self.warnings.iter().zip([snake_case, enum_names, large_numbers, bad_ids, duplicate_keys])
        {
            if count > 0 {
                counter.fetch_add(count.into(), Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn count(&self, endpoint: Option<Endpoint>, transport: Transport, outcome: Outcome) {
        self.cell(endpoint, transport, outcome).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn cell(&self, endpoint: Option<Endpoint>, transport: Transport, outcome: Outcome) -> &AtomicU64 {
        &self.requests[endpoint.map_or(4, |endpoint| endpoint as usize)][transport as usize][outcome as usize]
    }
}
