//! The way of one body, the same for both transports: inflate, check, append, acknowledge; and the one place where
//! refusals are counted and told.

use std::time::Instant;

use bytes::Bytes;

use crate::app::App;
use crate::budget::Reservation;
use crate::content::{self, Accepted, Form};
use crate::counters::{Counters, Endpoint, Outcome, Transport};
use crate::failure::{Failure, Reason};
use crate::inflate::{Encoding, inflate_within};
use crate::reply::Acknowledged;
use crate::sink::{Batch, Refusal, Sender, SinkError};

/// A compressed body above this is inflated off the runtime's threads: it may hold them for many milliseconds.
const INFLATE_INLINE_BYTES_MAX: usize = 32 << 10;
/// A protobuf body above this is checked off the runtime's threads. Below, the check takes about 0.5 ms for each
/// megabyte, which is less than handing it over and back costs the rest of the process in wake-ups and cold caches.
const CHECK_INLINE_BYTES_MAX: usize = 2 << 20;
/// JSON takes half as long again for each byte, and is rewritten before it is checked.
const JSON_INLINE_BYTES_MAX: usize = 1 << 20;

/// Where a request came from and where it goes to; what is known of it before its body.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) transport: Transport,
    pub(crate) sender: Sender,
}

/// Takes a collected body all the way to the sink.
///
/// # Errors
/// Whatever the sender is to be told instead of an acknowledgement; not yet counted (see [`note`]).
#[tracing::instrument(
    name = "receive", level = "debug", skip_all, err(level = "debug"),
    fields(endpoint = endpoint.as_str(), transport = origin.transport.as_str(), bytes = body.len(), events)
)]
pub(crate) async fn ingest(
    app: &App,
    origin: &Origin,
    endpoint: Endpoint,
    form: Form,
    encoding: Encoding,
    body: Bytes,
    reservation: Reservation,
) -> Result<Acknowledged, Failure> {
    let counters = app.counters();
    Counters::add(&counters.bytes_received, body.len());
    let limit = app.settings().body_bytes_max;

    let inline_max = match (encoding, form) {
        (Encoding::Identity, Form::Protobuf) => CHECK_INLINE_BYTES_MAX,
        (Encoding::Identity, _) => JSON_INLINE_BYTES_MAX,
        _ => INFLATE_INLINE_BYTES_MAX,
    };
    let work = move |mut reservation: Reservation| {
        let inflated = inflate_within(encoding, body, limit, &mut reservation)?;
        let inflated_bytes = inflated.len();
        let accepted = content::accept(endpoint, form, inflated)?;
        reservation.grow(accepted.body.len().saturating_sub(inflated_bytes))?;
        Ok::<_, Failure>((accepted, inflated_bytes, reservation))
    };
    let (accepted, inflated_bytes, _reservation) = if reservation.bytes() <= inline_max {
        work(reservation)?
    } else {
        match tokio::task::spawn_blocking(move || work(reservation)).await {
            Ok(done) => done?,
            Err(error) => {
                tracing::error!(%error, "checking a request failed");
                return Err(Failure::overloaded("checking the request failed, try again later"));
            }
        }
    };
    Counters::add(&counters.bytes_inflated, inflated_bytes);
    app.rates().sent(origin.sender.token.as_ref(), inflated_bytes, Instant::now());
    let Accepted { signal, body, events, rejected, refused, notes, message, warnings } = accepted;
    tracing::Span::current().record("events", events);
    counters.warn(&warnings);

    // What was refused is kept, too: the verdicts that miss it must know.
    if let Some(signal) = signal
        && (events > 0 || rejected > 0)
    {
        let batch = Batch { signal, body: body.clone(), events, refused, notes, sender: origin.sender.clone() };
        app.sink().append(batch).await.inspect_err(|error| {
            if let SinkError::Disk(_) = error {
                tracing::error!(%error, "a batch could not be stored; its sender was told to come again");
            }
        })?;
        Counters::add(&counters.records, events as usize);
    }
    if rejected > 0 {
        Counters::add(&counters.records_refused, rejected as usize);
        app.sink().refused(refusal(origin, Reason::Records, &message, rejected, &body));
    }
    let outcome = if rejected > 0 { Outcome::Partial } else { Outcome::Accepted };
    counters.count(origin.endpoint, origin.transport, outcome);
    Ok(Acknowledged { rejected, message })
}

/// Counts a refused request and tells the ledger.
pub(crate) fn note(app: &App, origin: &Origin, failure: &Failure, body: &Bytes) {
    let outcome = if failure.retry_after().is_some() { Outcome::Unavailable } else { Outcome::Refused };
    app.counters().count(origin.endpoint, origin.transport, outcome);
    app.sink().refused(refusal(origin, failure.reason, &failure.message, 0, body));
}

fn refusal(origin: &Origin, reason: Reason, message: &str, records: u32, body: &Bytes) -> Refusal {
    let sample = &body[..body.len().min(Refusal::SAMPLE_BYTES_MAX)];
    Refusal {
        endpoint: origin.endpoint,
        transport: origin.transport,
        sender: origin.sender.clone(),
        reason,
        message: message.to_owned(),
        records,
        // Copied, because a slice would keep the whole body alive in the ledger.
        sample: Bytes::copy_from_slice(sample),
    }
}
