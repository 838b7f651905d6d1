//! The time that nodes print into their events. It follows tokio's clock, so that tests can run it fast.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Wall-clock time, counted on from the testbed's start by tokio's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// The start, since 1970.
    genesis: Duration,
    start: Instant,
}

impl Clock {
    pub(crate) fn starting_now() -> Clock {
        let genesis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { genesis, start: Instant::now() }
    }

    /// Microseconds since 1970, as Aptos counts time.
    pub(crate) fn unix_usecs(&self) -> i64 {
        micros(self.genesis + self.start.elapsed())
    }

    /// When the testbed started, in whole milliseconds since 1970: what tells one run's ids from another's.
    pub(crate) fn genesis_ms(&self) -> i64 {
        i64::try_from(self.genesis.as_millis()).unwrap_or(i64::MAX)
    }

    /// When the testbed started, on tokio's clock.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }
}

/// A duration in whole microseconds, as an OTLP integer.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A duration in whole milliseconds, as an OTLP integer.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
