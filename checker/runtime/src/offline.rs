//! Judging a recording: everything is read and ordered by time, nothing is late.
use std::collections::{BTreeSet, HashMap};

use engine::{Engine, Input, Output, Program, Timing, Violation, ViolationId};
use event::{Position, Timestamp};
use serde_json::{Value as Json, json};

use crate::{
    evidence::{Bodies, Body, Picked},
    feed::{self, Feeder, Received},
    files::Recording,
    freeze::{self, Frozen},
};

/// What a replay found.
#[derive(Clone, Debug)]
pub struct Findings {
    /// By time, pack, rule, key.
    pub violations: Vec<Found>,
    /// See [`Summary`].
    pub summary: Summary,
}

/// One violation, with what its rule says of it.
#[derive(Clone, Debug)]
pub struct Found {
    /// As the engine said it.
    pub violation: Violation,
    /// Frozen.
    pub frozen: Frozen,
}

/// The figures of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events judged, duplicates included.
    pub events: u64,
    /// Events seen before.
    pub duplicates: u64,
    /// Violations found.
    pub violations: u64,
    /// Instances that could not be judged.
    pub unknown: u64,
    /// Obligations whose end lies past the last event.
    pub pending: u64,
    /// Rules in force.
    pub rules: u64,
    /// Rules that nothing triggered, as `pack/rule`.
    pub unexercised: Vec<String>,
}

impl Summary {
    /// The last line of the JSON output.
    #[must_use]
    pub fn to_json(&self) -> Json {
        json!({"summary": {
            "events": self.events,
            "duplicates": self.duplicates,
            "violations": self.violations,
            "unknown": self.unknown,
            "pending": self.pending,
            "rules": self.rules,
            "unexercised": self.unexercised,
        }})
    }
}

impl Found {
    /// One line of the JSON output.
    #[must_use]
    pub fn to_json(&self, program: &Program) -> Json {
        let (pack, rule) = program.rule(self.violation.rule);
        let mut line = json!({
            "pack": pack.name,
            "rule": rule.id,
            "ref": rule.reference,
            "kind": rule.kind.name(),
            "severity": self.frozen.severity.as_str(),
            "verdict": "violated",
            "at": self.violation.at.to_string(),
            "key": self.frozen.key,
            "message": self.frozen.message,
            "evidence": self.frozen.evidence,
            "missing": self.frozen.missing,
        });
        if !self.violation.values.is_empty() {
            let values = self.violation.values.iter().map(|(name, value)| (name.clone(), crate::json::value(value)));
            line["values"] = Json::Object(values.collect());
        }
        line
    }
}

/// Judges a recording. `progress` is told how many of how many requests have been read.
pub fn judge(
    program: Program,
    recording: &Recording,
    complete: bool,
    progress: &mut dyn FnMut(usize, usize),
) -> Findings {
    let mut engine = Engine::new(program, Timing::default(), Input::Offline);
    let mut feeder = Feeder::default();
    // Requests go in by their first time, so that everything before the next one's first time can be judged at once.
    let mut order: Vec<(Timestamp, usize)> = Vec::with_capacity(recording.requests.len());
    let mut groups: Vec<usize> = Vec::with_capacity(recording.requests.len());
    for (number, request) in recording.requests.iter().enumerate() {
        let group = if request.continues { groups.last().copied().unwrap_or(number) } else { number };
        groups.push(group);
        order.push((feed::first_ts(request.signal, &request.body, &request.refused), number));
    }
    order.sort();
    // Twins are counted over a whole request, however many bodies it was cut into.
    let continued = |number: usize| groups.get(number + 1) == Some(&groups[number]) || groups[number] != number;
    let whole: BTreeSet<usize> = groups.iter().copied().filter(|&group| continued(group)).collect();
    feeder.keep_occurrences(whole);
    let mut said: Vec<Output> = Vec::new();
    let mut outputs = Vec::new();
    for (done, &(_, number)) in order.iter().enumerate() {
        let request = &recording.requests[number];
        let at = Position { partition: request.file, frame: number as u64, record: 0 };
        let received = Received {
            signal: request.signal,
            body: &request.body,
            refused: &request.refused,
            notes: &[],
            arrived: Timestamp::ZERO,
            at,
            group: groups[number],
        };
        feeder.request(&mut engine, received);
        if let Some(&(next, _)) = order.get(done + 1) {
            engine.judge_before(next, &mut said);
            outputs.append(&mut said);
        }
        if done % 64 == 0 {
            progress(done, order.len());
        }
    }
    engine.finish(complete, &mut outputs);
    progress(order.len(), order.len());
    conclude(&engine, outputs, Picked::new(recording))
}

/// How many violations are frozen together: the events that they cite are in memory at once.
const FROZEN_TOGETHER: usize = 4_096;

/// Keeps what stands of all that was said, frozen and in order.
fn conclude(engine: &Engine, outputs: Vec<Output>, mut evidence: Picked<&Recording>) -> Findings {
    let mut standing = standing(outputs).into_iter().peekable();
    let program = engine.program();
    let mut violations: Vec<Found> = Vec::with_capacity(standing.len());
    while standing.peek().is_some() {
        // What was found together mostly happened together, and came in the same requests.
        let next: Vec<Violation> = standing.by_ref().take(FROZEN_TOGETHER).collect();
        evidence.gather(next.iter().flat_map(freeze::cited).collect());
        let frozen = next
            .into_iter()
            .map(|violation| Found { frozen: freeze::freeze(program, &violation, &mut evidence), violation });
        violations.extend(frozen);
    }
    violations.sort_by_cached_key(|found| {
        let (pack, rule) = program.rule(found.violation.rule);
        let key = Json::Object(found.frozen.key.clone()).to_string();
        (found.violation.at, pack.name.clone(), rule.id.clone(), key, found.violation.id)
    });
    let census = engine.census();
    let enabled = || program.rules().filter(|(_, _, rule)| rule.enabled);
    let summary = Summary {
        events: census.events,
        duplicates: census.duplicates,
        violations: violations.len() as u64,
        unknown: enabled().map(|(rule, _, _)| engine.tally(rule).unknown).sum(),
        pending: engine.pending(),
        rules: enabled().count() as u64,
        unexercised: enabled()
            .filter(|(rule, _, _)| engine.tally(*rule).exercised == Timestamp::ZERO)
            .map(|(_, pack, rule)| format!("{}/{}", pack.name, rule.id))
            .collect(),
    };
    Findings { violations, summary }
}

/// The violations among all that was said, each with its last evidence.
#[must_use]
pub fn standing(outputs: Vec<Output>) -> Vec<Violation> {
    let mut standing: Vec<Violation> = Vec::new();
    let mut places: HashMap<ViolationId, usize> = HashMap::new();
    for output in outputs {
        if let Output::Violated(violation) = output {
            match places.get(&violation.id) {
                Some(&place) => standing[place] = violation,
                None => {
                    places.insert(violation.id, standing.len());
                    standing.push(violation);
                }
            }
        }
    }
    standing
}

impl Bodies for &Recording {
    fn body(&self, frame: u64) -> Option<Body> {
        let request = self.requests.get(usize::try_from(frame).ok()?)?;
        let (bytes, refused) = (request.body.clone(), request.refused.clone());
        Some(Body { signal: request.signal, bytes, refused, arrived: Timestamp::ZERO })
    }
}
