//! How fast a receiver may be sent to. Pure.
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// PagerDuty takes about 120 calls a minute and integration key (PagerDuty developer docs, events-API-v2: Rate Limits);
/// a sender that stays below is never throttled by its own doing.
const PAGERDUTY: (usize, Duration) = (100, Duration::from_secs(60));

/// Slack takes a message a second and short bursts (Slack developer docs: Rate limits).
const SLACK: (usize, Duration) = (3, Duration::from_secs(3));

/// Endpoints of unknown strength: enough for a storm, too little to be one.
const WEBHOOK: (usize, Duration) = (50, Duration::from_secs(10));

/// A rolling window over the calls of one receiver.
#[derive(Clone, Debug)]
pub struct Budget {
    most: usize,
    within: Duration,
    calls: VecDeque<Instant>,
}

impl Budget {
    /// The budget of a receiver of that schedule.
    #[must_use]
    pub fn of(schedule: crate::retry::Schedule) -> Self {
        let (most, within) = match schedule {
            crate::retry::Schedule::PagerDuty => PAGERDUTY,
            crate::retry::Schedule::Slack => SLACK,
            crate::retry::Schedule::Webhook => WEBHOOK,
        };
        Budget { most, within, calls: VecDeque::new() }
    }

    /// Spends one call, or says how long until there is one to spend.
    ///
    /// # Errors
    /// The wait.
    pub fn spend(&mut self, now: Instant) -> Result<(), Duration> {
        while self.calls.front().is_some_and(|call| now.duration_since(*call) >= self.within) {
            self.calls.pop_front();
        }
        match self.calls.front() {
            Some(first) if self.calls.len() >= self.most => Err(self.within - now.duration_since(*first)),
            _ => {
                self.calls.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_rolls_and_the_wait_is_exact() {
        let mut budget = Budget { most: 2, within: Duration::from_secs(10), calls: VecDeque::new() };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(budget.spend(at(0)), Ok(()));
        assert_eq!(budget.spend(at(4)), Ok(()));
        assert_eq!(budget.spend(at(5)), Err(Duration::from_secs(5)));
        assert_eq!(budget.spend(at(10)), Ok(()));
        assert_eq!(budget.spend(at(11)), Err(Duration::from_secs(3)));
    }
}
