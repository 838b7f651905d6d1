//! The OTLP servers: gRPC and HTTP, limits, replies.
//!
//! A request is authenticated, bounded, inflated, checked and handed to a [`Sink`]; it is acknowledged only after the
//! sink says that it is durable. What is refused is answered as the OTLP specification asks
//! (open-telemetry/opentelemetry-proto, `docs/specification.md`) and reported to [`Sink::refused`].
//!
//! Laws:
//! - No request is acknowledged before [`Sink::append`] has returned `Ok`.
//! - No reply is a redirect: some exporters count 3xx as delivered.
//! - Memory for bodies comes out of one byte budget; when it is spent, senders are slowed down with 503/UNAVAILABLE.
//! - A token over its rate is told so with 429/RESOURCE_EXHAUSTED and when to come again; others are not slowed down by it.
//! - Nothing is de-duplicated here: a repeated request is journaled again, and identity is the reader's business.
//!
//! This crate does not know the journal, the configuration file or Prometheus; the binary introduces them.

mod app;
mod budget;
mod collect;
mod content;
mod counters;
mod failure;
mod grpc;
mod http;
mod inflate;
mod ingest;
mod rate;
mod reply;
mod rpc;
mod serve;
mod sink;
mod tokens;

pub use app::{App, Settings};
pub use counters::{Counters, Endpoint, Outcome, Transport};
pub use failure::Reason;
pub use grpc::answer_grpc;
pub use http::answer_http;
pub use inflate::{Encoding, inflate};
pub use reply::ReplyBody;
pub use serve::{serve_grpc, serve_http};
pub use sink::{Batch, Refusal, Sender, Sink, SinkError};
pub use tokens::{Token, Tokens};
pub use wire::Signal;
