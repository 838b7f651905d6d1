//! `Export<Signal>ServiceResponse` in both encodings, and the body type of all replies.
//!
//! The three response messages share their shape (opentelemetry-proto `collector/*/v1/*_service.proto`): field 1 is the
//! partial success, whose field 1 is the rejected count and field 2 the message. Only the JSON names differ.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body, Frame, SizeHint};
use prost::Message;
use serde_json::json;

use crate::counters::Endpoint;

/// What became of a request that is acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// How many records were refused.
    pub(crate) rejected: u32,
    /// For a developer, in English; empty when all is well.
    pub(crate) message: String,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

impl Acknowledged {
    fn is_full(&self) -> bool {
        self.rejected == 0 && self.message.is_empty()
    }

    /// The response in protobuf: no byte at all for full success.
    pub(crate) fn to_protobuf(&self) -> Vec<u8> {
        let partial_success = (!self.is_full())
            .then(|| PartialSuccess { rejected: self.rejected.into(), error_message: self.message.clone() });
        Response { partial_success }.encode_to_vec()
    }

    /// The response in JSON: `{}` for full success.
    pub(crate) fn to_json(&self, endpoint: Endpoint) -> Vec<u8> {
        if self.is_full() {
            return b"{}".to_vec();
        }
        let rejected = match endpoint {
            Endpoint::Logs | Endpoint::Events => "rejectedLogRecords",
            Endpoint::Traces => "rejectedSpans",
            Endpoint::Metrics => "rejectedDataPoints",
        };
        // 64-bit integers are decimal strings in protobuf's JSON mapping, and zero is left out.
        let mut partial = json!({"errorMessage": self.message});
        if self.rejected > 0 {
            partial[rejected] = json!(self.rejected.to_string());
        }
        json!({"partialSuccess": partial}).to_string().into_bytes()
    }
}

/// A reply's body: at most one piece of data, then at most one set of trailers.
#[derive(Debug, Default)]
pub struct ReplyBody {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl ReplyBody {
    pub(crate) fn new(data: impl Into<Bytes>) -> Self {
        Self { data: Some(data.into()).filter(|data| !data.is_empty()), trailers: None }
    }

    pub(crate) fn with_trailers(self, trailers: HeaderMap) -> Self {
        Self { trailers: Some(trailers), ..self }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = match self.data.take() {
            Some(data) => Some(Frame::data(data)),
            None => self.trailers.take().map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64))
    }
}
