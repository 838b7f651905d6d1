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

/// Frames are counted in lots of at most about this size, and of this time: exact enough for bounds of many such, and bounded
/// in memory.
const LOT_BYTES: u64 = 1 << 20;
const LOT_LASTS: Duration = Duration::from_secs(1);

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
    lots: Mutex<Lots>,
}

/// Lots in their order, and their bytes together.
#[derive(Default)]
struct Lots {
    lots: VecDeque<Lot>,
    bytes: u64,
}

impl Lots {
    fn push(&mut self, lot: Lot) {
        self.bytes += lot.bytes;
        self.lots.push_back(lot);
    }
}

impl Backlog {
    /// What a journal holds beyond the frame `judged`.
    pub(crate) fn of(journal: &Journal, judged: u64, bytes_max: u64, age_max: Duration) -> Self {
        let mut lots = Lots::default();
        for segment in journal.segments().into_iter().filter(|segment| segment.last_frame > judged) {
            // Most of a segment may have been judged: its last frame is the one that surely was not.
            let (last_frame, first_arrival) = (segment.last_frame, segment.last_arrival);
            lots.push(Lot { last_frame, first_arrival, bytes: segment.bytes });
        }
        Backlog { bytes_max, age_max, lots: Mutex::new(lots) }
    }

    fn lots(&self) -> MutexGuard<'_, Lots> {
        // Whoever panicked with it left numbers that are at worst a little off.
        self.lots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request was acknowledged.
    pub(crate) fn grew(&self, appended: Appended, bytes: u64) {
        let mut lots = self.lots();
        let joins = |last: &&mut Lot| last.bytes < LOT_BYTES && appended.arrived.since(last.first_arrival) < LOT_LASTS;
        match lots.lots.back_mut().filter(joins) {
            Some(last) => {
                last.last_frame = last.last_frame.max(appended.frame);
                last.bytes += bytes;
                lots.bytes += bytes;
            }
            None => lots.push(Lot { last_frame: appended.frame, first_arrival: appended.arrived, bytes }),
        }
    }

    /// How much there is at `now`, when everything up to the frame `judged` has been judged.
    pub(crate) fn size(&self, judged: u64, now: Timestamp) -> Size {
        let mut lots = self.lots();
        while let Some(judged) = lots.lots.pop_front_if(|lot| lot.last_frame <= judged) {
            lots.bytes -= judged.bytes;
        }
        let age = lots.lots.front().map(|lot| now.since(lot.first_arrival)).unwrap_or_default();
        Size { bytes: lots.bytes, age }
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
    fn a_trickle_that_never_rests_is_not_old() {
        let backlog = backlog();
        for frame in 1..=600 {
            backlog.grew(Appended { frame, arrived: second(frame) }, 10);
            // All but the last one is judged, always.
            let size = backlog.size(frame - 1, second(frame));
            assert!(size.age <= Duration::from_secs(1), "{size:?}");
        }
    }

    #[test]
    fn small_requests_share_a_lot() {
        let backlog = backlog();
        for frame in 1..=100_000 {
            backlog.grew(Appended { frame, arrived: second(0) }, 100);
        }
        assert!(backlog.lots().lots.len() <= 11);
        assert_eq!(backlog.size(0, second(0)).bytes, 10_000_000);
    }
}
