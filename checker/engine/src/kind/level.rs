//! A level of an aggregate: from the onset of what is wrong until it recovers one violation, said once it has lasted.
use core::time::Duration;
use event::Timestamp;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Level {
    /// It has been bad since.
    since: Option<Timestamp>,
    /// That was said.
    said: bool,
}

impl Level {
    /// It is bad as of `ts`. Returns the onset when that is to be said now: it has lasted for `hold`; `by_event` says that
    /// an event led here, and one at the very end of `hold` may still be the recovery.
    pub(super) fn fails(&mut self, ts: Timestamp, hold: Duration, by_event: bool) -> Option<Timestamp> {
        let since = *self.since.get_or_insert(ts);
        let say = !self.said && since.plus(hold) <= ts && (hold.is_zero() || !by_event);
        self.said |= say;
        say.then_some(since)
    }

    /// It is fine again. Returns the onset where that was said.
    pub(super) fn recover(&mut self) -> Option<Timestamp> {
        let onset = self.since.filter(|_| self.said);
        *self = Level::default();
        onset
    }

    pub(super) fn is_open(&self) -> bool {
        self.since.is_some()
    }

    /// When it has lasted for `hold`.
    pub(super) fn lasts(&self, hold: Duration) -> Option<Timestamp> {
        self.since.filter(|_| !self.said && !hold.is_zero()).map(|since| since.plus(hold))
    }
}
