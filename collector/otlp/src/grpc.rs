//! OTLP over gRPC: unary calls, framed here so that the message's bytes reach the sink as they came, and so that
//! inflating stops at the limit and is paid out of the byte budget.
//!
//! Source: grpc/grpc `doc/PROTOCOL-HTTP2.md`, `doc/compression.md`, `doc/health-checking.md`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Body;
use prost::Message;

use crate::app::App;
use crate::collect::collect;
use crate::content::Form;
use crate::counters::{Endpoint, Transport};
use crate::failure::Failure;
use crate::inflate::Encoding;
use crate::ingest::{Origin, ingest, note};
use crate::reply::{Acknowledged, ReplyBody};
use crate::rpc;
use crate::sink::Sender;

/// A message is preceded by a flag (1: compressed) and its length in four bytes, big-endian.
const PREFIX_BYTES: usize = 5;
const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// A health request holds the name of a service.
const HEALTH_BYTES_MAX: usize = 4096;
/// The `google.rpc.Code` for a service that health does not know (`doc/health-checking.md`).
const NOT_FOUND: i32 = 5;
const ACCEPTED_ENCODINGS: HeaderValue = HeaderValue::from_static("identity,gzip,zstd,deflate");

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
struct HealthRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// Answers one call that came from that address, as [`serve_grpc`](crate::serve_grpc) does with each that a connection
/// brings: for whoever has connections of another kind, or none.
pub async fn answer_grpc<B>(app: App, address: SocketAddr, request: Request<B>) -> Response<ReplyBody>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let (head, body) = request.into_parts();
    if head.method != Method::POST || !is_grpc(&head.headers) {
        return bare(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    if head.uri.path() == HEALTH {
        return health(&app, body).await;
    }
    let endpoint = endpoint(&app, head.uri.path());
    let mut origin = Origin { endpoint, transport: Transport::Grpc, sender: Sender { address, token: None } };
    let mut seen = Bytes::new();
    match handle(&app, &mut origin, &head, body, &mut seen).await {
        Ok(acknowledged) => success(&acknowledged.to_protobuf()),
        Err(failure) => {
            note(&app, &origin, &failure, &seen);
            refusal(&failure)
        }
    }
}

async fn handle<B>(
    app: &App,
    origin: &mut Origin,
    head: &http::request::Parts,
    body: B,
    seen: &mut Bytes,
) -> Result<Acknowledged, Failure>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let Some(endpoint) = origin.endpoint else {
        return Err(Failure::not_found(format!("no such method: {}", head.uri.path())));
    };
    origin.sender.token = app.tokens().authorize(head.headers.get(AUTHORIZATION))?;
    app.rates().admit(origin.sender.token.as_ref(), Instant::now())?;
    let encoding =
        match head.headers.get("grpc-encoding") {
            None => Encoding::Identity,
            Some(value) => value.to_str().ok().and_then(Encoding::parse).ok_or_else(|| {
                Failure::unsupported("the grpc-encoding must be identity, gzip, zstd or deflate".into())
            })?,
        };
    let _in_flight = app.enter()?;

    let settings = app.settings();
    let mut reservation = app.budget().reserve();
    let limit = settings.body_bytes_max.saturating_add(PREFIX_BYTES);
    let framed = collect(body, limit, settings.body_timeout, &mut reservation).await.map_err(|failure| {
        // The limit is the message's, without its prefix.
        if failure.is_too_large() { Failure::too_large(settings.body_bytes_max) } else { failure }
    })?;
    let (compressed, message) = unframe(&framed)?;
    *seen = message;
    let encoding = if compressed { encoding } else { Encoding::Identity };
    if compressed && encoding == Encoding::Identity {
        return Err(Failure::malformed(
            "",
            "the message is flagged as compressed, yet grpc-encoding names no compression",
        ));
    }
    ingest(app, origin, endpoint, Form::Protobuf, encoding, seen.clone(), reservation).await
}

/// Whether a service takes requests: the server as a whole (no name) or one that is served here. Anybody may ask.
async fn health<B>(app: &App, body: B) -> Response<ReplyBody>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let mut reservation = app.budget().reserve();
    let asked = collect(body, HEALTH_BYTES_MAX, app.settings().body_timeout, &mut reservation).await;
    let asked = asked.and_then(|framed| {
        let (_, message) = unframe(&framed)?;
        HealthRequest::decode(message).map_err(|error| Failure::malformed("", error.to_string()))
    });
    match asked {
        Ok(HealthRequest { service })
            if service.is_empty() || endpoint(app, &format!("/{service}/Export")).is_some() =>
        {
            // HealthCheckResponse: field 1 is SERVING (1) or NOT_SERVING (2).
            success(&[0x08, if app.is_ready() { 1 } else { 2 }])
        }
        Ok(HealthRequest { service }) => {
            let mut reply = bare(StatusCode::OK);
            reply.headers_mut().insert("grpc-status", HeaderValue::from(NOT_FOUND));
            let message = percent_encoded(&format!("no such service: {service}"));
            if let Ok(message) = HeaderValue::from_str(&message) {
                reply.headers_mut().insert("grpc-message", message);
            }
            reply
        }
        Err(failure) => refusal(&failure),
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/grpc") || essence.eq_ignore_ascii_case("application/grpc+proto")
    })
}

fn endpoint(app: &App, path: &str) -> Option<Endpoint> {
    let accept_metrics = app.settings().accept_metrics;
    match path {
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Some(Endpoint::Logs),
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(Endpoint::Traces),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" if accept_metrics => Some(Endpoint::Metrics),
        _ => None,
    }
}

/// The one message of a unary call, and whether it is compressed.
fn unframe(framed: &Bytes) -> Result<(bool, Bytes), Failure> {
    let [flag, a, b, c, d, rest @ ..] = &framed[..] else {
        return Err(Failure::malformed("", "the call holds no message"));
    };
    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    if rest.len() != length {
        let description =
            format!("a unary call holds one message; its prefix says {length} bytes, {} came", rest.len());
        return Err(Failure::malformed("", description));
    }
    match flag {
        0 | 1 => Ok((*flag == 1, framed.slice(PREFIX_BYTES..))),
        _ => Err(Failure::malformed("", format!("the compression flag is 0 or 1, not {flag}"))),
    }
}

fn success(message: &[u8]) -> Response<ReplyBody> {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut reply = bare(StatusCode::OK);
    *reply.body_mut() = ReplyBody::new(framed.freeze()).with_trailers(trailers);
    reply
}

/// A reply of trailers only, which HTTP/2 carries as headers.
fn refusal(failure: &Failure) -> Response<ReplyBody> {
    let mut reply = bare(StatusCode::OK);
    let headers = reply.headers_mut();
    let code = failure.grpc_code();
    headers.insert("grpc-status", HeaderValue::from(code));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(&failure.message)) {
        headers.insert("grpc-message", message);
    }
    let status = rpc::to_protobuf(code, &failure.message, failure.detail.as_ref());
    if let Ok(status) = HeaderValue::from_str(&STANDARD_NO_PAD.encode(status)) {
        headers.insert("grpc-status-details-bin", status);
    }
    // Python's exporter looks for the delay here and nowhere else.
    if let Some(seconds) = failure.retry_after()
        && let Ok(delay) = HeaderValue::from_str(&STANDARD_NO_PAD.encode(rpc::retry_info(seconds)))
    {
        headers.insert("google.rpc.retryinfo-bin", delay);
    }
    reply
}

fn bare(status: StatusCode) -> Response<ReplyBody> {
    let mut reply = Response::new(ReplyBody::default());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    reply.headers_mut().insert("grpc-accept-encoding", ACCEPTED_ENCODINGS);
    reply
}

/// `Percent-Encoded` of the gRPC specification: printable ASCII but `%` stands for itself. At most 1 KiB of the message
/// goes out, because headers are bounded on the other side.
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes().take(1024) {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(byte.into()),
            // Writing to a string cannot fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}
