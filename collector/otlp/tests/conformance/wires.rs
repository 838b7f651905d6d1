//! One request over each of the three wires, and its reply in one form.

use bytes::Bytes;
use http::HeaderMap;
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
};
use prost::Message;

use crate::bodies::Status;
use crate::grpc::{call, connect};
use crate::harness::Harness;

/// How a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Grpc,
    Protobuf,
    Json,
}

impl Wire {
    pub(crate) const ALL: [Self; 3] = [Self::Grpc, Self::Protobuf, Self::Json];
}

/// A request of either signal.
#[derive(Clone, Debug)]
pub(crate) enum Export {
    Logs(ExportLogsServiceRequest),
    Traces(ExportTraceServiceRequest),
}

impl Export {
    pub(crate) fn protobuf(&self) -> Vec<u8> {
        match self {
            Self::Logs(request) => request.encode_to_vec(),
            Self::Traces(request) => request.encode_to_vec(),
        }
    }

    pub(crate) fn json(&self) -> Vec<u8> {
        match self {
            Self::Logs(request) => serde_json::to_vec(request).unwrap(),
            Self::Traces(request) => serde_json::to_vec(request).unwrap(),
        }
    }

    fn path(&self, wire: Wire) -> &'static str {
        match (self, wire) {
            (Self::Logs(_), Wire::Grpc) => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            (Self::Traces(_), Wire::Grpc) => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            (Self::Logs(_), _) => "/v1/logs",
            (Self::Traces(_), _) => "/v1/traces",
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The HTTP status, or the gRPC one.
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    wire: Wire,
}

impl Reply {
    pub(crate) fn is_ok(&self) -> bool {
        self.status == if self.wire == Wire::Grpc { 0 } else { 200 }
    }

    /// How many were rejected, and the message; none where everything was taken.
    pub(crate) fn partial(&self, export: &Export) -> Option<(i64, String)> {
        assert!(self.is_ok(), "{self:?}");
        match (self.wire, export) {
            (Wire::Json, _) => {
                let reply: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
                let partial = reply.get("partialSuccess")?;
                let name = if matches!(export, Export::Logs(_)) { "rejectedLogRecords" } else { "rejectedSpans" };
                let rejected = partial.get(name).map_or("0", |count| count.as_str().unwrap());
                Some((rejected.parse().unwrap(), partial["errorMessage"].as_str().unwrap().to_owned()))
            }
            (_, Export::Logs(_)) => {
                let reply = ExportLogsServiceResponse::decode(self.body.clone()).unwrap();
                reply.partial_success.map(|partial| (partial.rejected_log_records, partial.error_message))
            }
            (_, Export::Traces(_)) => {
                let reply = ExportTraceServiceResponse::decode(self.body.clone()).unwrap();
                reply.partial_success.map(|partial| (partial.rejected_spans, partial.error_message))
            }
        }
    }

    /// `google.rpc.Status`: its code and message, wherever this wire carries it.
    pub(crate) fn failure(&self) -> (i64, String) {
        match self.wire {
            Wire::Json => {
                let status: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
                (status["code"].as_i64().unwrap(), status["message"].as_str().unwrap().to_owned())
            }
            Wire::Protobuf => {
                let status = Status::decode(self.body.clone()).unwrap();
                (status.code.into(), status.message)
            }
            Wire::Grpc => {
                use base64::Engine as _;
                let details = self.headers["grpc-status-details-bin"].as_bytes();
                let bytes = base64::engine::general_purpose::STANDARD_NO_PAD.decode(details).unwrap();
                let status = Status::decode(bytes.as_slice()).unwrap();
                (status.code.into(), status.message)
            }
        }
    }
}

/// Sends a well-formed request.
pub(crate) async fn send(harness: &Harness, wire: Wire, export: &Export) -> Reply {
    let body = if wire == Wire::Json { export.json() } else { export.protobuf() };
    send_bytes(harness, wire, export, None, body, &[]).await
}

/// Sends any bytes to where such a request would go, with more headers.
pub(crate) async fn send_bytes(
    harness: &Harness,
    wire: Wire,
    export: &Export,
    encoding: Option<&str>,
    body: Vec<u8>,
    headers: &[(&str, &str)],
) -> Reply {
    let path = export.path(wire);
    if wire == Wire::Grpc {
        let (framed, headers) = call(&mut connect(harness).await, path, encoding, &body, headers).await;
        let status = headers["grpc-status"].to_str().unwrap().parse().unwrap();
        return Reply { status, headers, body: framed.slice(framed.len().min(5)..), wire };
    }
    let content_type = if wire == Wire::Json { "application/json" } else { "application/x-protobuf" };
    let mut request = harness.post(path).header("content-type", content_type).body(body);
    for (name, value) in headers.iter().copied().chain(encoding.map(|encoding| ("content-encoding", encoding))) {
        request = request.header(name, value);
    }
    let reply = request.send().await.unwrap();
    let (status, headers) = (reply.status().as_u16(), reply.headers().clone());
    Reply { status, headers, body: reply.bytes().await.unwrap(), wire }
}
