//! What has been acknowledged and not been judged yet, in bytes and age, and when it is too much.
//!
//! The journal is the buffer of an overload: more than can be judged is acknowledged and judged later. Without a bound it
//! would fill the disk, as what is not judged is not let go of; beyond the bound senders are told to come back, and they
//! keep what they have.
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use event::Timestamp;
use journal::{Appended, Journal};

/// Frames are counted in lots of about this size: exact enough for bounds of many such, and bounded in memory.
const LOT_BYTES: u64 = 1 << 20;

/// Frames that follow one another.
#[derive(Clone, Copy, Debug)]
struct Lot {
    last_frame: u64,
    first_arrival: Timestamp,
    bytes: u64,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    /// Bytes of acknowledged requests.
    pub(crate) bytes: u64,
    /// How long ago the oldest of them was acknowledged.
    pub(crate) age: Duration,
}

/// See the module.
pub(crate) struct Backlog {
    bytes_max: u64,
    age_max: Duration,
    lots: Mutex<VecDeque<Lot>>,
}

impl Backlog {
    /// What a journal holds beyond the frame `judged`.
    pub(crate) fn of(journal: &Journal, judged: u64, bytes_max: u64, age_max: Duration) -> Self {
        let unjudged = journal.segments().into_iter().filter(|segment| segment.last_frame > judged);
        let lots = unjudged.map(|segment| Lot {
            last_frame: segment.last_frame,
            first_arrival: segment.first_arrival,
            bytes: segment.bytes,
        });
        Backlog { bytes_max, age_max, lots: Mutex::new(lots.collect()) }
    }

    fn lots(&self) -> MutexGuard<'_, VecDeque<Lot>> {
        // Whoever panicked with it left numbers that are at worst a little off.
        self.lots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request was acknowledged.
    pub(crate) fn grew(&self, appended: Appended, bytes: u64) {
        let mut lots = self.lots();
        match lots.back_mut() {
            Some(last) if last.bytes < LOT_BYTES => {
                last.last_frame = last.last_frame.max(appended.frame);
                last.bytes += bytes;
            }
            _ => lots.push_back(Lot { last_frame: appended.frame, first_arrival: appended.arrived, bytes }),
        }
    }

    /// How much there is at `now`, when everything up to the frame `judged` has been judged.
    pub(crate) fn size(&self, judged: u64, now: Timestamp) -> Size {
        let mut lots = self.lots();
        while lots.front().is_some_and(|lot| lot.last_frame <= judged) {
            lots.pop_front();
        }
        Size {
            bytes: lots.iter().map(|lot| lot.bytes).sum(),
            age: lots.front().map(|lot| now.since(lot.first_arrival)).unwrap_or_default(),
        }
    }

    /// Whether that is too much to take more.
    pub(crate) fn is_full(&self, size: Size) -> bool {
        size.bytes >= self.bytes_max || size.age >= self.age_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog() -> Backlog {
        Backlog { bytes_max: 3 * LOT_BYTES, age_max: Duration::from_secs(60), lots: Mutex::default() }
    }

    fn second(second: u64) -> Timestamp {
        Timestamp(second * 1_000_000_000)
    }

    #[test]
    fn it_grows_with_what_is_acknowledged_and_shrinks_with_what_is_judged() {
        let backlog = backlog();
        for frame in 1..=4 {
            backlog.grew(Appended { frame, arrived: second(frame) }, LOT_BYTES);
        }
        let size = backlog.size(0, second(10));
        assert_eq!(size, Size { bytes: 4 * LOT_BYTES, age: Duration::from_secs(9) });
        assert!(backlog.is_full(size));
        let size = backlog.size(2, second(10));
        assert_eq!(size, Size { bytes: 2 * LOT_BYTES, age: Duration::from_secs(7) });
        assert!(!backlog.is_full(size));
        assert_eq!(backlog.size(4, second(10)), Size::default());
    }

    #[test]
    fn what_is_old_is_too_much_however_little_it_is() {
        let backlog = backlog();
        backlog.grew(Appended { frame: 1, arrived: second(0) }, 10);
        assert!(!backlog.is_full(backlog.size(0, second(59))));
        assert!(backlog.is_full(backlog.size(0, second(60))));
    }

    #[test]
    fn small_requests_share_a_lot() {
        let backlog = backlog();
        for frame in 1..=100_000 {
            backlog.grew(Appended { frame, arrived: second(0) }, 100);
        }
        assert!(backlog.lots().len() <= 11);
        assert_eq!(backlog.size(0, second(0)).bytes, 10_000_000);
    }
}
