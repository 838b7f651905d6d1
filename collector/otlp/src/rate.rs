//! How much each ingest token may send. It refuses to wait: whoever is over the rate is told when to come again.
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A): each byte costs its share of a second, and a token may be ahead of its
//! rate by as much as a burst. A body is paid for when its size is known, so the last one of a burst may go beyond it; those
//! that follow wait for it.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// How far a token may be ahead of its rate: an exporter that was put off sends what it kept all at once.
const BURST: Duration = Duration::from_secs(5);

/// The rate of each token, and what they have sent.
#[derive(Debug)]
pub(crate) struct Rates {
    /// Of inflated bodies; none: no token is limited.
    bytes_per_second: Option<NonZeroU64>,
    /// When each token will have paid for what it has sent.
    paid_at: Mutex<HashMap<Arc<str>, Instant>>,
}

impl Rates {
    pub(crate) fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        Self { bytes_per_second, paid_at: Mutex::default() }
    }

    fn paid_at(&self) -> MutexGuard<'_, HashMap<Arc<str>, Instant>> {
        self.paid_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a token may send now.
    ///
    /// # Errors
    /// When it is ahead of its rate by more than a burst; the sender is to come again.
    pub(crate) fn admit(&self, token: Option<&Arc<str>>, now: Instant) -> Result<(), Failure> {
        let (Some(rate), Some(token)) = (self.bytes_per_second, token) else { return Ok(()) };
        let ahead = self.paid_at().get(token).map_or(Duration::ZERO, |paid_at| paid_at.saturating_duration_since(now));
        match ahead.checked_sub(BURST) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(delay) => Err(Failure::over_rate(
                &format!("the token `{token}` has sent more than {rate} bytes a second, try again later"),
                delay,
            )),
        }
    }

    /// Counts what a token has sent.
    pub(crate) fn sent(&self, token: Option<&Arc<str>>, bytes: usize, now: Instant) {
        let (Some(rate), Some(token)) = (self.bytes_per_second, token) else { return };
        let cost = Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        let mut paid_at = self.paid_at();
        let paid_at = paid_at.entry(Arc::clone(token)).or_insert(now);
        *paid_at = (*paid_at).max(now) + cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> (Rates, Arc<str>, Arc<str>, Instant) {
        (Rates::new(NonZeroU64::new(1_000)), "a".into(), "b".into(), Instant::now())
    }

    #[test]
    fn a_token_may_be_ahead_by_a_burst_and_waits_for_what_is_beyond() {
        let (rates, a, b, start) = rates();
        for _ in 0..5 {
            assert!(rates.admit(Some(&a), start).is_ok());
            rates.sent(Some(&a), 1_000, start);
        }
        assert!(rates.admit(Some(&a), start).is_ok(), "it is ahead by a burst, and not by more");
        rates.sent(Some(&a), 1_500, start);
        assert_eq!(rates.admit(Some(&a), start).unwrap_err().retry_after(), Some(2));
        assert!(rates.admit(Some(&b), start).is_ok(), "another token pays for itself");
        assert!(rates.admit(None, start).is_ok());
        assert!(rates.admit(Some(&a), start + Duration::from_millis(1_499)).is_err());
        assert!(rates.admit(Some(&a), start + Duration::from_millis(1_500)).is_ok());
    }

    #[test]
    fn who_was_quiet_saves_no_more_than_a_burst_and_a_huge_body_is_waited_for() {
        let (rates, a, _, start) = rates();
        rates.sent(Some(&a), 10, start);
        let later = start + Duration::from_secs(3_600);
        rates.sent(Some(&a), 20_000, later);
        // No exporter waits for longer than this at once; it asks again.
        assert_eq!(rates.admit(Some(&a), later).unwrap_err().retry_after(), Some(5));
        assert!(rates.admit(Some(&a), later + Duration::from_secs(15)).is_ok());
    }

    #[test]
    fn without_a_rate_nobody_is_limited() {
        let (_, a, _, start) = rates();
        let rates = Rates::new(None);
        rates.sent(Some(&a), usize::MAX, start);
        assert!(rates.admit(Some(&a), start).is_ok());
    }
}
