//! How rules and sources are doing, as the store keeps it. What has not changed since it was last told is not told again.
use std::{collections::HashMap, hash::Hash, time::Duration};

use engine::Engine;
use event::Timestamp;
use store::{RuleHealthRow, SourceRow};

/// Sources that were not heard for so long have been told of already.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// What was told last, by name.
#[derive(Debug)]
pub(crate) struct Told<K, R>(HashMap<K, R>);

impl<K, R> Default for Told<K, R> {
    fn default() -> Self {
        Told(HashMap::new())
    }
}

impl<K: Eq + Hash, R: Clone + PartialEq> Told<K, R> {
    /// The rows that are news.
    pub(crate) fn news(&self, rows: &[R], name: impl Fn(&R) -> K) -> Vec<R> {
        rows.iter().filter(|row| self.0.get(&name(row)) != Some(row)).cloned().collect()
    }

    /// Remembers rows that have been told.
    pub(crate) fn note(&mut self, rows: Vec<R>, name: impl Fn(&R) -> K) {
        self.0.extend(rows.into_iter().map(|row| (name(&row), row)));
    }
}

fn time(ts: Timestamp) -> String {
    if ts == Timestamp::ZERO { String::new() } else { ts.to_string() }
}

fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// How all rules are doing.
pub(crate) fn rules(engine: &Engine) -> Vec<RuleHealthRow> {
    let row = |(number, pack, rule): (engine::RuleIdx, &engine::Pack, &engine::Rule)| {
        let health = engine.health(number);
        RuleHealthRow {
            pack: pack.name.clone(),
            rule: rule.id.clone(),
            exercised: time(health.tally.exercised),
            held: int(health.tally.held),
            violated: int(health.tally.violated),
            unknown: int(health.tally.unknown),
            why_unknown: health.tally.why_unknown.map(|why| why.as_str().to_owned()).unwrap_or_default(),
            retracted: int(health.tally.retracted),
            keyless: int(health.tally.keyless),
            forgotten: int(health.tally.forgotten),
            instances: int(health.instances),
            open: int(health.open),
        }
    };
    engine.program().rules().map(row).collect()
}

/// The sources that were heard shortly before the journal's time.
pub(crate) fn sources(engine: &Engine, now: Timestamp) -> Vec<SourceRow> {
    let heard = engine.sources().iter().filter(|source| source.last_arrival.plus(HEARD_WITHIN) >= now);
    let row = |source: &engine::SourceState| SourceRow {
        network: source.network.clone(),
        node: source.node.clone(),
        component: source.component.clone(),
        last_seen: time(source.last_arrival),
        last_ts: time(source.last_ts),
        lag_ms: int(source.lag_ns() / 1_000_000),
        events: int(source.events),
    };
    heard.map(row).collect()
}
