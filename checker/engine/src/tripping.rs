//! What violations, successes, time and people do to breakers.
use alloc::{boxed::Box, string::String, vec::Vec};
use event::Timestamp;

use crate::{
    breaker::{BreakerChange, Policy, Signal},
    engine::Engine,
    expr::Val,
    key,
    pack::Mode,
    verdict::{Output, Violation},
};

/// Why a breaker tries again.
const RESTED: &str = "its rest is over";

/// What is to move a breaker, offline.
#[derive(Clone, Debug)]
pub(crate) struct Signalled {
    at: Timestamp,
    breaker: u32,
    key: Box<[u8]>,
    signal: Signal,
    reason: String,
}

impl Engine {
    /// Tells the breakers of a violated rule.
    pub(crate) fn trip(&mut self, violation: &Violation, arrived: Timestamp) {
        for tripped in self.tripped(violation) {
            self.signal(tripped.breaker, &tripped.key, &tripped.signal, arrived, &tripped.reason, "");
        }
    }

    /// What a violation says to breakers.
    fn tripped(&self, violation: &Violation) -> Vec<Signalled> {
        let (_, rule) = self.program.rule(violation.rule);
        if rule.mode != Mode::Active {
            return Vec::new();
        }
        let trips = self.traits[violation.rule as usize].trips.iter();
        let tripped = trips.map(|&breaker| {
            let (_, definition) = self.program.breaker(breaker);
            let mut key = Vec::new();
            key::push(&mut key, &Val::String(violation.network.as_str().into()));
            for name in &definition.per {
                let part = rule.key.iter().position(|part| part.name == *name);
                match part.and_then(|part| violation.key.get(part)?.as_ref()) {
                    Some(value) => key::push(&mut key, &Val::from(value)),
                    None => key::push_absent(&mut key),
                }
            }
            let signal = Signal::Violated(violation.at);
            Signalled { at: violation.at, breaker, key: key.into(), signal, reason: rule.id.clone() }
        });
        tripped.collect()
    }

    /// Offline: notes what violations will do to breakers.
    pub(crate) fn note_trips(&mut self, outputs: &[Output]) {
        if !self.offline {
            return;
        }
        for output in outputs {
            if let Output::Violated(violation) = output
                && !violation.grown
            {
                let tripped = self.tripped(violation);
                self.state.signals.extend(tripped);
            }
        }
    }

    /// A success was seen: said at once, or offline when all before it has been judged.
    pub(crate) fn succeeded(&mut self, breaker: u32, key: &[u8], at: Timestamp, arrived: Timestamp) {
        if self.offline {
            let signalled = Signalled { at, breaker, key: key.into(), signal: Signal::Success, reason: String::new() };
            self.state.signals.push(signalled);
        } else {
            self.signal(breaker, key, &Signal::Success, arrived, "", "");
        }
    }

    /// Offline: moves the breakers whose rules have all been judged up to `to`, in order of event time.
    pub(crate) fn move_breakers_before(&mut self, to: Timestamp, stratum: u8) {
        if !self.offline {
            return;
        }
        let traits = &self.traits;
        let is_judged = |breaker: u32| {
            let tripping = traits.iter().filter(|traits| traits.trips.contains(&breaker));
            tripping.map(|traits| traits.stratum).max().unwrap_or(0) == stratum
        };
        let signals = &mut self.state.signals;
        let mut passed: Vec<Signalled> =
            signals.extract_if(.., |signalled| signalled.at < to && is_judged(signalled.breaker)).collect();
        // Of one instant, what breaks comes before what succeeds.
        passed.sort_by(|a, b| {
            let order = |of: &Signalled| (of.at, of.signal == Signal::Success, of.breaker);
            order(a).cmp(&order(b)).then_with(|| a.key.cmp(&b.key))
        });
        let moved: Vec<u32> =
            (0..self.program.breakers().count() as u32).filter(|breaker| is_judged(*breaker)).collect();
        for signalled in passed {
            self.rest(&moved, signalled.at);
            let Signalled { at, breaker, key, signal, reason } = signalled;
            self.signal(breaker, &key, &signal, at, &reason, "");
        }
        self.rest(&moved, Timestamp(to.0.saturating_sub(1)));
    }

    /// Moves the breakers whose time has come by `now`, each at its own time.
    fn rest(&mut self, breakers: &[u32], now: Timestamp) {
        for &breaker in breakers {
            for (due, key) in self.due(breaker, now) {
                self.signal(breaker, &key, &Signal::Tick, due, RESTED, "");
            }
        }
    }

    /// Live: moves the breakers whose time has come.
    pub(crate) fn move_breakers(&mut self, arrived: Timestamp) {
        for breaker in 0..self.program.breakers().count() as u32 {
            for (_, key) in self.due(breaker, arrived) {
                self.signal(breaker, &key, &Signal::Tick, arrived, RESTED, "");
            }
        }
    }

    /// The scopes of a breaker whose time has come by `now`, and since when.
    fn due(&self, breaker: u32, now: Timestamp) -> Vec<(Timestamp, Box<[u8]>)> {
        let (pack, definition) = self.program.breaker(breaker);
        let scopes = self.state.breakers.scopes(&pack.name, &definition.id).into_iter().flatten();
        let due =
            scopes.filter_map(|(key, recorded)| Some((recorded.now.due().filter(|due| *due <= now)?, key.clone())));
        due.collect()
    }

    /// Moves one breaker and says so when nodes must be told something new.
    fn signal(&mut self, breaker: u32, key: &[u8], signal: &Signal, now: Timestamp, reason: &str, by: &str) {
        let (pack, definition) = self.program.breaker(breaker);
        let policy = Policy {
            trip_count: definition.trip_count,
            trip_within: definition.trip_within,
            half_open_after: definition.half_open_after,
            close_count: definition.close_count,
        };
        let scopes = self.state.breakers.scopes_mut(&pack.name, &definition.id);
        // A success says nothing to a breaker that no violation ever touched.
        if *signal == Signal::Success && !scopes.contains_key(key) {
            return;
        }
        let recorded = scopes.entry(key.into()).or_default();
        let before = core::mem::take(&mut recorded.now);
        let (state, until) = (before.state(), before.due());
        recorded.now = before.next(&policy, signal, now);
        let after = (recorded.now.state(), recorded.now.due());
        if after.0 != state {
            recorded.tell(now, after.0);
        }
        if after.0 == state && (by.is_empty() || after.1 == until) {
            return;
        }
        let mut parts = key::parts(key);
        let network = parts.next().and_then(key::text).unwrap_or_default();
        let reason = match signal {
            Signal::Success => "it succeeded again",
            _ => reason,
        };
        let change = BreakerChange {
            pack: pack.name.clone(),
            id: definition.id.clone(),
            network: network.into(),
            scope: definition.per.iter().cloned().zip(parts.map(key::decode)).collect(),
            state: after.0,
            enforcing: definition.enforcing || self.enforce_breakers,
            since: now,
            until: after.1,
            reason: reason.into(),
            by: by.into(),
        };
        if after.0 != state {
            self.announce(breaker, &change);
        }
        self.state.early.push(Output::Breaker(change));
    }

    /// What a person did to a breaker: `scope` gives its `per` parts by name.
    ///
    /// # Errors
    /// When no pack has such a breaker.
    pub fn force_breaker(&mut self, forced: &Forced<'_>, now: Timestamp) -> Result<(), UnknownBreaker> {
        let (breaker, _, definition) = self
            .program
            .breakers()
            .find(|(_, pack, breaker)| {
                breaker.id == forced.breaker && (forced.pack.is_empty() || pack.name == forced.pack)
            })
            .ok_or(UnknownBreaker)?;
        let mut key = Vec::new();
        key::push(&mut key, &Val::String(forced.network.into()));
        for name in &definition.per {
            match forced.scope.iter().find(|(part, _)| part == name) {
                Some((_, value)) => key::push(&mut key, &Val::String(value.as_str().into())),
                None => key::push_absent(&mut key),
            }
        }
        self.signal(breaker, &key, &forced.signal, now, forced.reason, forced.by);
        Ok(())
    }
}

/// No pack has such a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownBreaker;

/// What a person did to a breaker.
#[derive(Clone, Debug)]
pub struct Forced<'a> {
    /// The pack; empty: the only one that has such a breaker.
    pub pack: &'a str,
    /// The breaker's id.
    pub breaker: &'a str,
    /// The network.
    pub network: &'a str,
    /// The scope's other parts, by name.
    pub scope: &'a [(String, String)],
    /// [`Signal::Trip`] or [`Signal::Reset`].
    pub signal: Signal,
    /// Why.
    pub reason: &'a str,
    /// Who.
    pub by: &'a str,
}
