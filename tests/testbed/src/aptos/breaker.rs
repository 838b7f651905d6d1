//! Circuit breakers as a coordinator meets them: its own, one a worker, and Invar's, one a node.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Failed sends in a row that open a worker's breaker.
const FAILURES: i64 = 5;
/// How long an open breaker rests; half-open, one batch is tried per rest.
const REST: Duration = Duration::from_secs(30);
/// Invar's breaker between coordinators and generator, by its id in the pack.
const BREAKER: &str = "coordinator-to-generator";
/// How often Invar is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A breaker's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    Open,
    HalfOpen,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half_open",
        }
    }
}

/// A worker's own breaker. Every method answers with the state that the worker must report, if it changed.
#[derive(Debug)]
pub(super) struct WorkerBreaker {
    state: State,
    failures: i64,
    rests_until: Instant,
}

impl WorkerBreaker {
    pub(super) fn closed() -> WorkerBreaker {
        WorkerBreaker { state: State::Closed, failures: 0, rests_until: Instant::now() }
    }

    pub(super) fn failures(&self) -> i64 {
        self.failures
    }

    /// Whether a batch may be taken now. At the end of its rest the breaker half-opens for the batch that asks.
    pub(super) fn admits(&mut self, now: Instant) -> (bool, Option<State>) {
        match self.state {
            State::Open if now < self.rests_until => (false, None),
            State::Open => (true, self.turn(State::HalfOpen)),
            // The worker takes one batch at a time: the probe's outcome is known before the next one asks.
            State::Closed | State::HalfOpen => (true, None),
        }
    }

    pub(super) fn succeeded(&mut self) -> Option<State> {
        self.failures = 0;
        self.turn(State::Closed)
    }

    pub(super) fn failed(&mut self, now: Instant) -> Option<State> {
        self.failures += 1;
        if self.state == State::HalfOpen || self.failures >= FAILURES {
            self.rests_until = now + REST;
            return self.turn(State::Open);
        }
        None
    }

    fn turn(&mut self, state: State) -> Option<State> {
        (self.state != state).then(|| {
            self.state = state;
            state
        })
    }
}

/// What Invar's breaker lets through at this node.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    probe: AtomicBool,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { state: Mutex::new(State::Closed), probe: AtomicBool::new(false) }
    }
}

impl Gate {
    /// Whether a batch may be taken now; half-open, the first one to ask is the probe.
    pub(super) fn admits(&self) -> bool {
        match *self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Closed => true,
            State::Open => false,
            State::HalfOpen => self.probe.swap(false, Ordering::Relaxed),
        }
    }

    fn turn(&self, state: State) {
        self.probe.store(state == State::HalfOpen, Ordering::Relaxed);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// The part of Invar's answer that a node acts on.
#[derive(Debug, Deserialize)]
struct Answer {
    state: String,
    mode: String,
}

impl Answer {
    /// What to act on: an advisory breaker only says what it would do. A state of a later version is no order.
    fn order(&self) -> Option<State> {
        match (self.mode.as_str(), self.state.as_str()) {
            ("enforcing", "open") => Some(State::Open),
            ("enforcing", "half_open" | "half-open") => Some(State::HalfOpen),
            ("enforcing", "closed") | ("advisory", _) => Some(State::Closed),
            _ => None,
        }
    }
}

/// Asks Invar once a second and turns the gate. While Invar does not answer, its last word stands.
pub(super) async fn obey(base: String, node: Arc<str>, gate: Arc<Gate>) {
    let url = format!("{}/api/v1/breakers/{BREAKER}?node={node}", base.trim_end_matches('/'));
    let Ok(client) = reqwest::Client::builder().timeout(ASK_EVERY * 2).build() else {
        // No client, no orders: the node works as without Invar.
        return;
    };
    let mut acted: Option<State> = None;
    let mut probed = Instant::now();
    let mut turn = interval(ASK_EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        let Some(order) = ask(&client, &url).await else { continue };
        if acted != Some(order) {
            acted = Some(order);
            probed = Instant::now();
            gate.turn(order);
            tracing::info!(
                name: "circuit_breaker.state_changed",
                target: "batch_coordinator",
                breaker = BREAKER,
                state = order.name(),
            );
        } else if order == State::HalfOpen && probed.elapsed() >= REST {
            // The probe's outcome never reached Invar: try another.
            probed = Instant::now();
            gate.turn(order);
        }
    }
}

async fn ask(client: &reqwest::Client, url: &str) -> Option<State> {
    let response = client.get(url).send().await.ok()?.error_for_status().ok()?;
    response.json::<Answer>().await.ok()?.order()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_breaker_opens_at_the_fifth_failure_and_probes_after_its_rest() {
        let start = Instant::now();
        let mut breaker = WorkerBreaker::closed();
        for _ in 0..4 {
            assert_eq!(breaker.failed(start), None);
        }
        assert_eq!(breaker.succeeded(), None, "it was not open");
        for _ in 0..4 {
            assert_eq!(breaker.failed(start), None);
        }
        assert_eq!(breaker.failed(start), Some(State::Open));
        assert_eq!(breaker.admits(start + REST - Duration::from_millis(1)), (false, None));
        assert_eq!(breaker.admits(start + REST), (true, Some(State::HalfOpen)));
        assert_eq!(breaker.failed(start + REST), Some(State::Open));
        assert_eq!(breaker.admits(start + REST), (false, None));
        assert_eq!(breaker.admits(start + REST * 2), (true, Some(State::HalfOpen)));
        assert_eq!(breaker.succeeded(), Some(State::Closed));
    }

    #[test]
    fn gate_lets_one_probe_through_when_half_open() {
        let gate = Gate::default();
        assert!(gate.admits());
        gate.turn(State::Open);
        assert!(!gate.admits());
        gate.turn(State::HalfOpen);
        assert!(gate.admits() && !gate.admits());
    }

    #[test]
    fn only_an_enforcing_breaker_is_obeyed() {
        let order = |state: &str, mode: &str| Answer { state: state.to_owned(), mode: mode.to_owned() }.order();
        assert_eq!(order("open", "enforcing"), Some(State::Open));
        assert_eq!(order("open", "advisory"), Some(State::Closed));
        assert_eq!(order("half_open", "enforcing"), Some(State::HalfOpen));
        assert_eq!(order("melted", "enforcing"), None);
    }
}
