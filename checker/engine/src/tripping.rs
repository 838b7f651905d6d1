//! What violations, successes, time and people do to breakers.
use alloc::{boxed::Box, string::String, vec::Vec};
use event::Timestamp;

use crate::{
    breaker::{Breaker, BreakerChange, Policy, Signal},
    engine::Engine,
    expr::Val,
    key,
    pack::Mode,
    verdict::{Output, Violation},
};

impl Engine {
    /// Tells the breakers of a violated rule.
    pub(crate) fn trip(&mut self, violation: &Violation, arrived: Timestamp) {
        let (_, rule) = self.program.rule(violation.rule);
        if rule.mode != Mode::Active || self.offline {
            return;
        }
        let mut tripped: Vec<(u32, Vec<u8>)> = Vec::new();
        for &breaker in &self.traits[violation.rule as usize].trips {
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
            tripped.push((breaker, key));
        }
        let reason = rule.id.clone();
        for (breaker, key) in tripped {
            self.signal(breaker, &key, &Signal::Violated(violation.at), arrived, &reason, "");
        }
    }

    pub(crate) fn move_breakers(&mut self, arrived: Timestamp) {
        for breaker in 0..self.program.breakers().count() as u32 {
            let (pack, definition) = self.program.breaker(breaker);
            let name = (pack.name.clone(), definition.id.clone());
            let due: Vec<Box<[u8]>> = self.state.breakers.get(&name).map_or_else(Vec::new, |scopes| {
                let is_due = |breaker: &Breaker| breaker.due().is_some_and(|due| due <= arrived);
                scopes.iter().filter(|(_, breaker)| is_due(breaker)).map(|(key, _)| key.clone()).collect()
            });
            for key in due {
                self.signal(breaker, &key, &Signal::Tick, arrived, "its rest is over", "");
            }
        }
    }

    /// Moves one breaker and says so when nodes must be told something new.
    pub(crate) fn signal(&mut self, breaker: u32, key: &[u8], signal: &Signal, now: Timestamp, reason: &str, by: &str) {
        let (pack, definition) = self.program.breaker(breaker);
        let policy = Policy {
            trip_count: definition.trip_count,
            trip_within: definition.trip_within,
            half_open_after: definition.half_open_after,
            close_count: definition.close_count,
        };
        let scopes = self.state.breakers.entry((pack.name.clone(), definition.id.clone())).or_default();
        let before = match scopes.get(key) {
            Some(breaker) => breaker.clone(),
            // A success says nothing to a breaker that no violation ever touched.
            None if *signal == Signal::Success => return,
            None => Breaker::default(),
        };
        let (state, until) = (before.state(), before.due());
        let after = before.next(&policy, signal, now);
        let changed = after.state() != state || (!by.is_empty() && after.due() != until);
        if changed {
            let mut parts = key::parts(key);
            let network = parts.next().and_then(key::text).unwrap_or_default();
            let reason = match signal {
                Signal::Success => "it succeeded again",
                _ => reason,
            };
            self.state.early.push(Output::Breaker(BreakerChange {
                pack: pack.name.clone(),
                id: definition.id.clone(),
                network: network.into(),
                scope: definition.per.iter().cloned().zip(parts.map(key::decode)).collect(),
                state: after.state(),
                enforcing: definition.enforcing || self.enforce_breakers,
                since: now,
                until: after.due(),
                reason: reason.into(),
                by: by.into(),
            }));
        }
        scopes.insert(key.into(), after);
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
