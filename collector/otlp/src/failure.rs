//! Why a request is refused, and what that means on each transport. It refuses to be a redirect.

use std::time::Duration;

use http::StatusCode;

use crate::rpc::{Detail, FieldViolation};
use crate::sink::SinkError;

/// The kinds of refusal, each answered in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The body cannot be inflated or decoded.
    Malformed,
    /// Some records of an acknowledged request were refused.
    Records,
    /// No token, or an unknown one.
    Unauthenticated,
    /// The token may not send events.
    Forbidden,
    /// No such path or service.
    NotFound,
    /// Not a `POST`.
    MethodNotAllowed,
    /// Larger than the limit, before or after inflating.
    TooLarge,
    /// A `Content-Type` or `Content-Encoding` that is not understood.
    Unsupported,
    /// Overloaded, starting, draining, or the storage failed: to be sent again.
    Unavailable,
    /// The token has sent more than it may for now: to be sent again.
    OverRate,
}

impl Reason {
    /// A lower-case label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Records => "records",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Unavailable => "unavailable",
            Self::OverRate => "over_rate",
        }
    }
}

/// One refusal, before it is put into the words of a transport.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) detail: Option<Detail>,
}

/// How much of what is wrong is said, in bytes. A message may quote the body, a reply must not exceed 4 MiB (OTLP), and
/// in gRPC it is a header, of which many clients take 8 KiB in all.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Cuts a message at the bound, and says so.
pub(crate) fn shortened(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
    message
}

impl Failure {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: shortened(message.into()), detail: None }
    }

    pub(crate) fn malformed(field: impl Into<String>, description: impl Into<String>) -> Self {
        let (field, description) = (shortened(field.into()), shortened(description.into()));
        let message = if field.is_empty() { description.clone() } else { shortened(format!("{field}: {description}")) };
        let detail = Some(Detail::BadRequest(FieldViolation { field, description }));
        Self { reason: Reason::Malformed, message, detail }
    }

    pub(crate) fn unauthenticated(message: &str) -> Self {
        Self::new(Reason::Unauthenticated, message)
    }

    pub(crate) fn forbidden(message: String) -> Self {
        Self::new(Reason::Forbidden, message)
    }

    pub(crate) fn not_found(message: String) -> Self {
        Self::new(Reason::NotFound, message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(Reason::MethodNotAllowed, "only POST is allowed here")
    }

    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        Self::new(
            Reason::TooLarge,
            format!("the body exceeds {limit_bytes} bytes (after decompression); send smaller batches"),
        )
    }

    pub(crate) fn unsupported(message: String) -> Self {
        Self::new(Reason::Unsupported, message)
    }

    pub(crate) fn overloaded(message: &str) -> Self {
        Self::unavailable(message, Duration::from_secs(1))
    }

    pub(crate) fn unavailable(message: &str, delay: Duration) -> Self {
        Self::again(Reason::Unavailable, message, delay)
    }

    pub(crate) fn over_rate(message: &str, delay: Duration) -> Self {
        Self::again(Reason::OverRate, message, delay)
    }

    /// To be sent again after `delay`, which is rounded up into 1 to 5 whole seconds: most exporters give an export
    /// 10 s in all, and some read 0 as "at once".
    fn again(reason: Reason, message: &str, delay: Duration) -> Self {
        let whole = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        let seconds = whole.clamp(1, 5) as u32;
        Self { detail: Some(Detail::RetryInfo { seconds }), ..Self::new(reason, message) }
    }

    pub(crate) fn is_too_large(&self) -> bool {
        self.reason == Reason::TooLarge
    }

    /// Seconds after which to come again; none where the sender must not.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        match &self.detail {
            Some(Detail::RetryInfo { seconds }) => Some(*seconds),
            _ => None,
        }
    }

    pub(crate) fn http_status(&self) -> StatusCode {
        match self.reason {
            Reason::Malformed | Reason::Records => StatusCode::BAD_REQUEST,
            Reason::Unauthenticated => StatusCode::UNAUTHORIZED,
            Reason::Forbidden => StatusCode::FORBIDDEN,
            Reason::NotFound => StatusCode::NOT_FOUND,
            Reason::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Reason::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Reason::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Reason::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Reason::OverRate => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The `google.rpc.Code` (`google/rpc/code.proto`) inside an HTTP error body.
    pub(crate) fn rpc_code(&self) -> i32 {
        match self.reason {
            Reason::Malformed | Reason::Records | Reason::Unsupported => 3,
            Reason::Unauthenticated => 16,
            Reason::Forbidden => 7,
            Reason::NotFound | Reason::MethodNotAllowed => 12,
            Reason::TooLarge | Reason::OverRate => 8,
            Reason::Unavailable => 14,
        }
    }

    /// The gRPC status. It differs from [`Self::rpc_code`] for an unknown compression, which the gRPC compression
    /// specification answers with UNIMPLEMENTED.
    pub(crate) fn grpc_code(&self) -> i32 {
        if self.reason == Reason::Unsupported { 12 } else { self.rpc_code() }
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        let delay = match &error {
            SinkError::Overloaded { retry_after } => *retry_after,
            SinkError::Closed => Duration::from_secs(1),
            SinkError::Disk(_) => Duration::from_secs(5),
        };
        // The storage's own words may hold paths; they are the operator's and go to the log, not to the sender.
        let message = match &error {
            SinkError::Disk(_) => "storage failed, try again later".to_owned(),
            other => other.to_string(),
        };
        Self::unavailable(&message, delay)
    }
}
