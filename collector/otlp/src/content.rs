//! What a body holds: looks it through far enough to know that it can be read later, and counts its events. It refuses to
//! interpret them.

use std::cell::RefCell;

use bytes::Bytes;
use wire::{Limits, Malformed, Occurrences, Signal, Warnings};

use crate::counters::Endpoint;
use crate::failure::{Failure, shortened};

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
    pub(crate) notes: Bytes,
    pub(crate) message: String,
    /// What was taken although the specification says otherwise.
    pub(crate) warnings: Warnings,
}

thread_local! {
    /// For its memory: nothing of a request is left for the next one.
    static OCCURRENCES: RefCell<Occurrences> = RefCell::default();
}

/// Checks an inflated body; JSON and event lines become protobuf, the one form that is kept.
///
/// # Errors
/// When it cannot be decoded; the failure names the place where that is known.
pub(crate) fn accept(endpoint: Endpoint, form: Form, body: Bytes) -> Result<Accepted, Failure> {
    let limits = Limits::default();
    let signal = match endpoint {
        Endpoint::Logs | Endpoint::Events => Signal::Logs,
        Endpoint::Traces => Signal::Traces,
        Endpoint::Metrics => {
            let message = if body.is_empty() { "" } else { "metrics are not used by this server" };
            return Ok(Accepted {
                signal: None,
                body,
                events: 0,
                rejected: 0,
                refused: Bytes::new(),
                notes: Bytes::new(),
                message: message.to_owned(),
                warnings: Warnings::default(),
            });
        }
    };
    let (body, warnings) = match (endpoint, form) {
        (Endpoint::Events, _) => (wire::lines_to_protobuf(&body).map_err(malformed)?.into(), Warnings::default()),
        (_, Form::Protobuf) => (body, Warnings::default()),
        _ => {
            let (body, warnings) = wire::json_to_protobuf(signal, &body, &limits).map_err(malformed)?;
            (body.into(), warnings)
        }
    };
    let (census, digest) = OCCURRENCES
        .with_borrow_mut(|occurrences| wire::check_and_digest(signal, &body, &limits, occurrences))
        .map_err(malformed)?;
    let message = match census.refusals().first() {
        None => String::new(),
        Some(first) => shortened(format!("{} of {} records were refused; {first}", census.rejected, census.records)),
    };
    Ok(Accepted {
        signal: Some(signal),
        events: census.events,
        rejected: census.rejected,
        refused: Bytes::copy_from_slice(census.refused.as_bytes()),
        notes: digest.into_bytes().into(),
        message,
        warnings,
        body,
    })
}

fn malformed(error: Malformed) -> Failure {
    let message = error.to_string();
    Failure::malformed(error.path, message)
}
