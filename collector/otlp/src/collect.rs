//! Reads a request's body into one buffer, under a limit, a deadline and the byte budget.

use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;

use crate::budget::Reservation;
use crate::failure::Failure;

/// A length that is only announced reserves no more than this.
const TRUSTED_BYTES: u64 = 1 << 20;

/// Reads all of `body`.
///
/// # Errors
/// More than `limit` bytes, a spent budget, a body that does not arrive within `timeout` or breaks off.
pub(crate) async fn collect<B>(
    body: B,
    limit: usize,
    timeout: Duration,
    reservation: &mut Reservation,
) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    // A sender that is too slow may be behind a poor link: 408 would make it drop the batch, 503 makes it try again.
    match tokio::time::timeout(timeout, read(body, limit, reservation)).await {
        Ok(read) => read,
        Err(_) => Err(Failure::overloaded(&format!("the body did not arrive within {} s", timeout.as_secs()))),
    }
}

async fn read<B>(body: B, limit: usize, reservation: &mut Reservation) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(Failure::too_large(limit));
    }
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::overloaded(&format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = first.len() + rest.len() + data.remaining();
        if length > limit {
            return Err(Failure::too_large(limit));
        }
        reservation.grow(data.len())?;
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            rest.reserve(length.max(announced.min(TRUSTED_BYTES) as usize));
            rest.extend_from_slice(&first);
            first = Bytes::new();
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}
