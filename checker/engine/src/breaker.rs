//! Circuit breakers: closed, open, half-open. Pure; live, time is the journal's arrival time, offline that of the events.
//!
//! The states and their names are those of Nygard, "Release It!" (2007), and of resilience4j.
use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    string::String,
    vec::Vec,
};
use core::time::Duration;
use event::{Timestamp, Value};

/// What a breaker tells nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Work may flow.
    Closed,
    /// Work must stop.
    Open,
    /// A little work may flow, to try.
    HalfOpen,
}

impl BreakerState {
    /// `closed`, `open` or `half_open`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::Open => "open",
            BreakerState::HalfOpen => "half_open",
        }
    }
}

/// A breaker of one scope, at one time.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Breaker {
    /// Counts violations, by the event times at which they were found.
    Closed {
        /// Those that still count.
        violations: VecDeque<Timestamp>,
    },
    /// Rests until it may try; `None`: forced, until someone resets it.
    Open {
        /// When it will try.
        until: Option<Timestamp>,
    },
    /// Counts successes.
    HalfOpen {
        /// So far.
        good: u32,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker::Closed { violations: VecDeque::new() }
    }
}

/// A breaker of one scope, and what it was.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Recorded {
    pub(crate) now: Breaker,
    /// What nodes were told, and since when.
    told: VecDeque<(Timestamp, BreakerState)>,
}

/// How many changes of one breaker are kept for those who ask what it was.
const TOLD_MAX: usize = 256;

impl Recorded {
    /// What it was when that instant began: what changes it in an instant cannot be obeyed in it.
    pub(crate) fn before(&self, ts: Timestamp) -> BreakerState {
        let place = self.told.partition_point(|(since, _)| *since < ts);
        place.checked_sub(1).map_or(BreakerState::Closed, |place| self.told[place].1)
    }

    pub(crate) fn tell(&mut self, since: Timestamp, state: BreakerState) {
        if self.told.len() == TOLD_MAX {
            self.told.pop_front();
        }
        self.told.push_back((since, state));
    }

    /// Lets go of what nobody can ask for any more.
    fn prune(&mut self, floor: Timestamp) {
        while self.told.get(1).is_some_and(|(since, _)| *since < floor) {
            self.told.pop_front();
        }
    }
}

/// Breakers by pack, id and scope (the network and the parts that `per` names).
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Breakers(BTreeMap<String, BTreeMap<String, Scopes>>);

/// One breaker's scopes.
pub(crate) type Scopes = BTreeMap<Box<[u8]>, Recorded>;

impl Breakers {
    pub(crate) fn scopes(&self, pack: &str, id: &str) -> Option<&Scopes> {
        self.0.get(pack)?.get(id)
    }

    pub(crate) fn scopes_mut(&mut self, pack: &str, id: &str) -> &mut Scopes {
        self.0.entry(pack.into()).or_default().entry(id.into()).or_default()
    }

    pub(crate) fn prune(&mut self, floor: Timestamp) {
        let scopes = self.0.values_mut().flat_map(BTreeMap::values_mut);
        scopes.flat_map(BTreeMap::values_mut).for_each(|recorded| recorded.prune(floor));
    }
}

/// What moves a breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// One of its rules was found broken at this event time.
    Violated(Timestamp),
    /// A success was seen.
    Success,
    /// Time went on.
    Tick,
    /// Someone opened it by hand, until then or until reset.
    Trip(Option<Timestamp>),
    /// Someone closed it by hand.
    Reset,
}

/// When a breaker moves.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// So many violations open it.
    pub trip_count: u32,
    /// Within this much event time, half-open: (t - d, t]; `None`: ever since it closed.
    pub trip_within: Option<Duration>,
    /// It rests so long.
    pub half_open_after: Duration,
    /// So many successes close it.
    pub close_count: u32,
}

impl Breaker {
    /// What nodes are told.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        match self {
            Breaker::Closed { .. } => BreakerState::Closed,
            Breaker::Open { .. } => BreakerState::Open,
            Breaker::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// When time alone will move it.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        match self {
            Breaker::Open { until } => *until,
            Breaker::Closed { .. } | Breaker::HalfOpen { .. } => None,
        }
    }

    /// The state that follows. A forced state is left only by [`Signal::Reset`], [`Signal::Trip`] or its own end.
    #[must_use]
    pub fn next(self, policy: &Policy, signal: &Signal, now: Timestamp) -> Self {
        let open = Breaker::Open { until: Some(now.plus(policy.half_open_after)) };
        match (self, signal) {
            (Breaker::Closed { mut violations }, Signal::Violated(at)) => {
                violations.push_back(*at);
                if let Some(within) = policy.trip_within {
                    let newest = violations.iter().copied().max().unwrap_or(*at);
                    violations.retain(|&seen| newest.since(seen) < within);
                }
                if violations.len() >= policy.trip_count.max(1) as usize {
                    open
                } else {
                    Breaker::Closed { violations }
                }
            }
            (Breaker::HalfOpen { .. }, Signal::Violated(_)) => open,
            // Stragglers from before the trip say nothing about recovery.
            (state @ Breaker::Open { .. }, Signal::Violated(_) | Signal::Success) => state,
            (Breaker::Open { until: Some(until) }, Signal::Tick) if until <= now => Breaker::HalfOpen { good: 0 },
            (Breaker::HalfOpen { good }, Signal::Success) if good + 1 >= policy.close_count.max(1) => {
                Breaker::default()
            }
            (Breaker::HalfOpen { good }, Signal::Success) => Breaker::HalfOpen { good: good + 1 },
            (state @ Breaker::Closed { .. }, Signal::Success | Signal::Tick) => state,
            (state @ (Breaker::Open { .. } | Breaker::HalfOpen { .. }), Signal::Tick) => state,
            (_, Signal::Trip(until)) => Breaker::Open { until: *until },
            (_, Signal::Reset) => Breaker::default(),
        }
    }
}

/// A breaker changed its state.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerChange {
    /// The pack it belongs to.
    pub pack: String,
    /// Its id in the pack.
    pub id: String,
    /// The network of its scope.
    pub network: String,
    /// The scope's other parts (`node` = `n1`).
    pub scope: Vec<(String, Option<Value>)>,
    /// What nodes are told now.
    pub state: BreakerState,
    /// Whether nodes must obey.
    pub enforcing: bool,
    /// Since when, by the journal's arrival time.
    pub since: Timestamp,
    /// When it will move by itself.
    pub until: Option<Timestamp>,
    /// Why, in a few words.
    pub reason: String,
    /// Who did it by hand; empty when nobody did.
    pub by: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::ToString};
    use expect_test::{Expect, expect};

    const POLICY: Policy = Policy {
        trip_count: 2,
        trip_within: Some(Duration::from_secs(60)),
        half_open_after: Duration::from_secs(30),
        close_count: 2,
    };

    fn secs(text: &str) -> Timestamp {
        Timestamp(text.parse::<u64>().unwrap() * 1_000_000_000)
    }

    /// `"0 violated; 31 tick"`: a script of seconds and signals to the states it goes through.
    fn check(script: &str, states: Expect) {
        let mut breaker = Breaker::default();
        let mut told = Vec::new();
        for step in script.split("; ") {
            let (at, signal) = step.split_once(' ').unwrap();
            let now = secs(at);
            let signal = match signal {
                "violated" => Signal::Violated(now),
                "good" => Signal::Success,
                "tick" => Signal::Tick,
                "trip" => Signal::Trip(None),
                "reset" => Signal::Reset,
                other => panic!("{other}"),
            };
            breaker = breaker.next(&POLICY, &signal, now);
            told.push(match &breaker {
                Breaker::Closed { violations } => format!("closed {}", violations.len()),
                Breaker::Open { until: Some(until) } => format!("open until {}", until.0 / 1_000_000_000),
                Breaker::Open { until: None } => "forced open".to_string(),
                Breaker::HalfOpen { good } => format!("half-open {good}"),
            });
        }
        states.assert_eq(&told.join("; "));
    }

    #[test]
    fn opens_after_two_violations_and_closes_after_two_successes() {
        check(
            "0 violated; 1 violated; 30 tick; 31 tick; 32 good; 33 good",
            expect!["closed 1; open until 31; open until 31; half-open 0; half-open 1; closed 0"],
        );
    }

    #[test]
    fn violations_too_far_apart_do_not_add_up() {
        check("0 violated; 60 violated; 61 violated", expect!["closed 1; closed 1; open until 91"]);
    }

    #[test]
    fn a_violation_while_half_open_opens_it_again() {
        check(
            "0 violated; 1 violated; 31 tick; 32 good; 33 violated; 34 good",
            expect!["closed 1; open until 31; half-open 0; half-open 1; open until 63; open until 63"],
        );
    }

    #[test]
    fn what_a_person_did_holds_until_a_person_undoes_it() {
        check("0 trip; 100 tick; 101 good; 102 reset", expect!["forced open; forced open; forced open; closed 0"]);
    }
}
