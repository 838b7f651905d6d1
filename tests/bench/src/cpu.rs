//! Processor time, the only figure that holds on a machine with neighbours.

use std::fs;
use std::time::Duration;

/// How long this thread has run (`schedstat` of proc(5)); zero where the kernel does not say.
#[must_use]
pub fn of_this_thread() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default())
}

/// The least time that `work` takes in so many rounds, per item of `items`.
pub fn least_ns_per_item(rounds: usize, items: usize, mut work: impl FnMut()) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..rounds {
        let before = of_this_thread();
        work();
        let took = of_this_thread().saturating_sub(before);
        least = least.min(took.as_nanos() as f64 / items as f64);
    }
    least
}
