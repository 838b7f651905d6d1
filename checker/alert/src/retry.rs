//! When to try again. Pure.
use std::time::{Duration, SystemTime};

use rand::Rng;

/// A receiver's schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// 30 s, 30 s, 1 min, 2 min, 5 min, then every 10 min, for 6 h.
    PagerDuty,
    /// 1 s, 2 s, 4 s and so on up to 1 min, then every minute, for an hour.
    Slack,
    /// 5 s, 30 s, 5 min, 30 min, then every 2 h, for 3 days.
    Webhook,
}

/// The most a receiver's own `Retry-After` is obeyed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// How long until the next try after `attempts` of them failed; none when the schedule is spent. Half of each step is
/// chance, so that receivers that come back are not met by everyone at once.
pub fn next(
    schedule: Schedule,
    attempts: u32,
    retry_after: Option<Duration>,
    chance: &mut impl Rng,
) -> Option<Duration> {
    let (steps, then, tries): (&[u64], u64, u32) = match schedule {
        Schedule::PagerDuty => (&[30, 30, 60, 120, 300], 600, 40),
        Schedule::Slack => (&[1, 2, 4, 8, 16, 32], 60, 65),
        Schedule::Webhook => (&[5, 30, 300, 1_800], 7_200, 40),
    };
    if attempts >= tries {
        return None;
    }
    if let Some(asked) = retry_after {
        return Some(asked.min(RETRY_AFTER_MAX));
    }
    let step = steps.get(attempts.saturating_sub(1) as usize).copied().unwrap_or(then);
    let millis = step * 1_000;
    Some(Duration::from_millis(millis / 2 + chance.random_range(0..=millis / 2)))
}

/// How long a `Retry-After` header asks to wait: whole seconds, or a date (RFC 9110, 10.2.3).
#[must_use]
pub fn after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    match header.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(header).ok()?;
            Some(date.duration_since(now).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn steps_grow_and_end() {
        let mut chance = StdRng::seed_from_u64(1);
        for (attempts, low, high) in [(1, 15, 30), (3, 30, 60), (5, 150, 300), (30, 300, 600)] {
            let wait = next(Schedule::PagerDuty, attempts, None, &mut chance).unwrap().as_secs_f64();
            assert!((f64::from(low)..=f64::from(high)).contains(&wait), "{attempts}: {wait}");
        }
        assert_eq!(next(Schedule::PagerDuty, 40, None, &mut chance), None);
    }

    #[test]
    fn a_receiver_asks_in_seconds_or_by_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        assert_eq!(after(" 7 ", now), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(after("soon", now), None);
    }

    #[test]
    fn what_the_receiver_asks_is_obeyed_within_reason() {
        let mut chance = StdRng::seed_from_u64(1);
        let asked =
            |seconds| next(Schedule::Webhook, 1, Some(Duration::from_secs(seconds)), &mut StdRng::seed_from_u64(2));
        assert_eq!(asked(7), Some(Duration::from_secs(7)));
        assert_eq!(asked(100_000), Some(RETRY_AFTER_MAX));
        assert!(next(Schedule::Webhook, 1, None, &mut chance).unwrap() <= Duration::from_secs(5));
    }
}
