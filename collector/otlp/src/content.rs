//! What a body holds: decodes it far enough to know that it can be read later, and counts its events. It refuses to
//! interpret them.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest};
use prost::Message;

use crate::counters::Endpoint;
use crate::failure::Failure;

/// What an accepted body is an export request of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// `ExportLogsServiceRequest`.
    Logs,
    /// `ExportTraceServiceRequest`.
    Traces,
}

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Protobuf,
    Json,
    Lines,
}

/// A body that can be kept.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// None when there is nothing to keep (metrics).
    pub(crate) signal: Option<Signal>,
    pub(crate) body: Bytes,
    pub(crate) events: u32,
    pub(crate) rejected: u32,
    pub(crate) refused: Bytes,
    pub(crate) message: String,
}

impl Accepted {
    fn whole(signal: Signal, body: Bytes, events: usize) -> Self {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        Self { signal: Some(signal), body, events, rejected: 0, refused: Bytes::new(), message: String::new() }
    }
}

/// Checks an inflated body.
///
/// # Errors
/// When it cannot be decoded; the failure names the place where that is known.
pub(crate) fn accept(endpoint: Endpoint, form: Form, body: Bytes) -> Result<Accepted, Failure> {
    match (endpoint, form) {
        (Endpoint::Metrics, _) => {
            let message = if body.is_empty() { "" } else { "metrics are not used by this server" };
            Ok(Accepted {
                signal: None,
                body,
                events: 0,
                rejected: 0,
                refused: Bytes::new(),
                message: message.to_owned(),
            })
        }
        (Endpoint::Logs, Form::Protobuf) => {
            let request = ExportLogsServiceRequest::decode(body.clone()).map_err(malformed)?;
            Ok(Accepted::whole(Signal::Logs, body, log_records(&request)))
        }
        (Endpoint::Logs, _) => {
            let request: ExportLogsServiceRequest = json(&body)?;
            Ok(Accepted::whole(Signal::Logs, request.encode_to_vec().into(), log_records(&request)))
        }
        (Endpoint::Traces, Form::Protobuf) => {
            let request = ExportTraceServiceRequest::decode(body.clone()).map_err(malformed)?;
            Ok(Accepted::whole(Signal::Traces, body, span_events(&request)))
        }
        (Endpoint::Traces, _) => {
            let request: ExportTraceServiceRequest = json(&body)?;
            Ok(Accepted::whole(Signal::Traces, request.encode_to_vec().into(), span_events(&request)))
        }
        (Endpoint::Events, _) => Err(Failure::unsupported("event lines are not understood yet".to_owned())),
    }
}

fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::malformed("", error.to_string()))
}

fn malformed(error: prost::DecodeError) -> Failure {
    Failure::malformed("", error.to_string())
}

fn log_records(request: &ExportLogsServiceRequest) -> usize {
    request.resource_logs.iter().flat_map(|resource| &resource.scope_logs).map(|scope| scope.log_records.len()).sum()
}

/// A span is one event at its end, and each of its span events is one more.
fn span_events(request: &ExportTraceServiceRequest) -> usize {
    let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| &scope.spans).map(|span| 1 + span.events.len()).sum()
}
