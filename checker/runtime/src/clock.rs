//! The one place of the checker that asks what time it is: for arrival stamps and for retries, never for verdicts.
use std::time::{SystemTime, UNIX_EPOCH};

use event::Timestamp;

/// Now.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
