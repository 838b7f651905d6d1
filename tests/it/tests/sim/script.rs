//! What happens on the watched nodes: the same for the calm run and the troubled ones.
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value as Json, json};

use crate::harness::Line;

/// Rules of several kinds: what is broken at once, by absence, by number, by look-back, between nodes, and as a level.
pub(crate) const PACK: &str = "\
pack: sim
rules:
  - id: jobs-end
    severity: critical
    key: [node, id]
    response: {when: job.begun, then: job.done, within: 2s}
  - id: nothing-bad
    severity: critical
    key: [node, id]
    never: job.bad
  - id: jobs-begin-once
    severity: high
    key: [node, id]
    count: {of: job.begun, max: 1}
  - id: jobs-begin-first
    severity: high
    key: [node, id]
    precedence:
      event: job.done
      requires: {any: [job.begun]}
      within: 4s
  - id: nodes-are-alive
    severity: critical
    key: [node]
    heartbeat: {event: beat, every: 5s, stop: stopped}
  - id: nodes-agree
    severity: critical
    key: [height]
    agreement: {event: block, value: hash, among: [node], within: 10m}
  - id: few-failures-in-a-row
    severity: medium
    key: [node]
    consecutive: {fail: job.bad, ok: job.done, count: 2}
";

/// When every script begins, ms since the epoch.
pub(crate) const BEGINNING: u64 = 1_795_500_000_000;

/// Jobs run between these, ms since the beginning; before it nodes are only heard, so that nothing is unknown for want of a
/// beginning, and after it, so that nothing is for want of a sign of life.
const JOBS: std::ops::Range<u64> = 6_500..36_000;
const STOPPED: u64 = 41_000;
const END: u64 = 60_000;

/// More than a record may have.
const ATTRIBUTES_TOO_MANY: u32 = 1_025;

/// Longer than a name may be, in bytes.
const NAME_TOO_LONG: usize = 1_025;

/// See the module.
pub(crate) struct Script {
    /// What each node reports, in order of time.
    pub(crate) nodes: Vec<Vec<Line>>,
    /// Nothing happens after it, ms since the epoch.
    pub(crate) end: u64,
}

impl Script {
    /// The script of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let nodes = (0..chance.random_range(2..=4)).map(|node| Node::new(node).script(&mut chance)).collect();
        Script { nodes, end: BEGINNING + END }
    }
}

struct Node {
    name: String,
    lines: Vec<Line>,
}

impl Node {
    fn new(number: u64) -> Self {
        Node { name: format!("n{number}"), lines: Vec::new() }
    }

    fn says(&mut self, at: u64, event: &str, mut attrs: Json) {
        let number = self.lines.len();
        // Some senders number their records; the others are told apart by what they say.
        if number.is_multiple_of(2) {
            attrs["log.record.uid"] = format!("{}-{number}", self.name).into();
        }
        let mut line = Line::new(&self.name, "worker", event, attrs).at(BEGINNING + at);
        line.network = "simnet".to_owned();
        self.lines.push(line);
    }

    fn script(mut self, chance: &mut StdRng) -> Vec<Line> {
        let mut faint = 0;
        for at in (0..STOPPED).step_by(2_000) {
            if faint == 0 && chance.random_ratio(1, 15) {
                faint = chance.random_range(3..6);
            }
            if faint == 0 || at == 0 {
                self.says(at + chance.random_range(0..300), "beat", json!({}));
            }
            faint = u64::saturating_sub(faint, 1);
        }
        self.says(STOPPED, "stopped", json!({}));
        for at in (STOPPED..=END).step_by(3_000) {
            self.says(at, "hello", json!({}));
        }
        for (height, at) in JOBS.step_by(3_000).enumerate() {
            let hash = if chance.random_ratio(1, 20) { "other" } else { "same" };
            self.says(at + chance.random_range(0..900), "block", json!({"height": height, "hash": hash}));
        }
        let (mut at, mut job) = (JOBS.start, 0);
        while at < JOBS.end {
            self.job(at, job, chance);
            at += chance.random_range(300..1_500);
            job += 1;
        }
        // What no receiver takes, in the middle of what all do. No rule asks for the noise; the others may be what one misses, and
        // of what has no name that can be, anything may be thought.
        let too_long = "n".repeat(NAME_TOO_LONG);
        for name in ["noise", "job.done", "job.begun", "noise", "beat", &too_long] {
            let many: serde_json::Map<String, Json> =
                (0..ATTRIBUTES_TOO_MANY).map(|number| (format!("a{number}"), number.into())).collect();
            let attrs = if name == too_long { json!({}) } else { many.into() };
            self.says(chance.random_range(JOBS), name, attrs);
        }
        self.lines.sort_by_key(|line| line.ms);
        self.lines
    }

    fn job(&mut self, at: u64, id: u64, chance: &mut StdRng) {
        let text = "x".repeat(chance.random_range(0..1_500));
        let attrs = || json!({"id": id, "text": text});
        let (soon, late) = (chance.random_range(1..1_900), chance.random_range(2_001..6_000));
        match chance.random_range(0..40) {
            0 => self.says(at, "job.begun", attrs()),
            1 => {
                self.says(at, "job.begun", attrs());
                self.says(at + late, "job.done", attrs());
            }
            2 => self.says(at, "job.done", attrs()),
            3 => {
                self.says(at, "job.begun", attrs());
                self.says(at + soon, "job.begun", attrs());
                self.says(at + soon, "job.done", attrs());
            }
            4 | 5 => {
                self.says(at, "job.begun", attrs());
                self.says(at + soon, "job.bad", attrs());
                self.says(at + soon + 20, "job.done", attrs());
            }
            _ => {
                self.says(at, "job.begun", attrs());
                self.says(at + soon, "job.done", attrs());
            }
        }
    }
}
