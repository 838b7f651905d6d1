//! OTLP over HTTP: paths, headers, replies. It never redirects, and answers no path but its own.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Body;

use crate::app::App;
use crate::collect::collect;
use crate::content::Form;
use crate::counters::{Endpoint, Transport};
use crate::failure::{Failure, Reason};
use crate::inflate::Encoding;
use crate::ingest::{Origin, ingest, note};
use crate::reply::{Acknowledged, ReplyBody};
use crate::rpc;
use crate::sink::Sender;

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers one request that came from that address, as [`serve_http`](crate::serve_http) does with each that a connection
/// brings: for whoever has connections of another kind, or none.
pub async fn answer_http<B>(app: App, address: SocketAddr, request: Request<B>) -> Response<ReplyBody>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let (head, body) = request.into_parts();
    let endpoint = endpoint(app.settings().accept_metrics, head.uri.path());
    let form = endpoint.and_then(|endpoint| form(endpoint, &head.headers));
    let transport = if form == Some(Form::Protobuf) { Transport::HttpProtobuf } else { Transport::HttpJson };
    let mut origin = Origin { endpoint, transport, sender: Sender { address, token: None } };
    let mut seen = Bytes::new();

    let outcome = handle(&app, &mut origin, &head, form, body, &mut seen).await;
    match outcome {
        Ok((endpoint, acknowledged)) => success(endpoint, form, &acknowledged),
        Err(failure) => {
            note(&app, &origin, &failure, &seen);
            let mut reply = refusal(form, &failure);
            if head.version < Version::HTTP_2 && !matches!(failure.reason, Reason::Malformed) {
                // The rest of the body may never have been read.
                reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            reply
        }
    }
}

async fn handle<B>(
    app: &App,
    origin: &mut Origin,
    head: &http::request::Parts,
    form: Option<Form>,
    body: B,
    seen: &mut Bytes,
) -> Result<(Endpoint, Acknowledged), Failure>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let Some(endpoint) = origin.endpoint else {
        return Err(Failure::not_found(format!("no such path: {}", head.uri.path())));
    };
    if head.method != Method::POST {
        return Err(Failure::method_not_allowed());
    }
    origin.sender.token = app.tokens().authorize(head.headers.get(AUTHORIZATION))?;
    app.rates().admit(origin.sender.token.as_ref(), Instant::now())?;
    let Some(form) = form else {
        return Err(Failure::unsupported(match endpoint {
            Endpoint::Events => "send event lines as application/x-ndjson, application/json or text/plain".to_owned(),
            _ => "the Content-Type must be application/x-protobuf or application/json".to_owned(),
        }));
    };
    let encoding = content_encoding(&head.headers)?;
    let _in_flight = app.enter()?;

    let settings = app.settings();
    let mut reservation = app.budget().reserve();
    *seen = collect(body, settings.body_bytes_max, settings.body_timeout, &mut reservation).await?;
    let acknowledged = ingest(app, origin, endpoint, form, encoding, seen.clone(), reservation).await?;
    Ok((endpoint, acknowledged))
}

fn endpoint(accept_metrics: bool, path: &str) -> Option<Endpoint> {
    match path {
        "/v1/logs" => Some(Endpoint::Logs),
        "/v1/traces" => Some(Endpoint::Traces),
        "/v1/metrics" if accept_metrics => Some(Endpoint::Metrics),
        "/v1/events" => Some(Endpoint::Events),
        _ => None,
    }
}

/// What the body is written in; none when that is not understood. Parameters (`; charset=utf-8`) do not matter.
fn form(endpoint: Endpoint, headers: &HeaderMap) -> Option<Form> {
    let given = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let essence = given.map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    if endpoint == Endpoint::Events {
        return match essence.as_deref() {
            // What curl sends with --data-binary when told nothing is let through: event lines are typed by hand.
            None
            | Some("application/json" | "application/x-ndjson" | "application/jsonl" | "application/jsonlines")
            | Some("text/plain" | "application/x-www-form-urlencoded" | "application/octet-stream") => {
                Some(Form::Lines)
            }
            Some(_) => None,
        };
    }
    match essence.as_deref() {
        Some("application/x-protobuf" | "application/protobuf") => Some(Form::Protobuf),
        Some("application/json") => Some(Form::Json),
        _ => None,
    }
}

fn content_encoding(headers: &HeaderMap) -> Result<Encoding, Failure> {
    let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
    value
        .to_str()
        .ok()
        .and_then(Encoding::parse)
        .ok_or_else(|| Failure::unsupported("the Content-Encoding must be identity, gzip, zstd or deflate".to_owned()))
}

fn success(endpoint: Endpoint, form: Option<Form>, acknowledged: &Acknowledged) -> Response<ReplyBody> {
    let body = match form {
        Some(Form::Protobuf) => acknowledged.to_protobuf(),
        _ => acknowledged.to_json(endpoint),
    };
    reply(StatusCode::OK, form, body)
}

fn refusal(form: Option<Form>, failure: &Failure) -> Response<ReplyBody> {
    let (code, detail) = (failure.rpc_code(), failure.detail.as_ref());
    // Where the way of asking is itself not understood, JSON is what a person can read.
    let form = form.filter(|_| !matches!(failure.reason, Reason::Unsupported | Reason::MethodNotAllowed));
    let body = match form {
        Some(Form::Protobuf) => rpc::to_protobuf(code, &failure.message, detail),
        _ => rpc::to_json(code, &failure.message, detail),
    };
    let mut reply = reply(failure.http_status(), form, body);
    let headers = reply.headers_mut();
    match failure.reason {
        Reason::MethodNotAllowed => {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        Reason::Unauthenticated => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    if let Some(seconds) = failure.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}

fn reply(status: StatusCode, form: Option<Form>, body: Vec<u8>) -> Response<ReplyBody> {
    let mut reply = Response::new(ReplyBody::new(body));
    *reply.status_mut() = status;
    let content_type = if form == Some(Form::Protobuf) { PROTOBUF } else { JSON };
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}
