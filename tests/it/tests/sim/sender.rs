//! The exporter of one node: sends what it has in batches, and again what was not acknowledged, and sometimes what was.
use std::collections::VecDeque;

use bytes::Bytes;
use journal::{Entry, Kind};
use prost::Message;
use wire::{Limits, Occurrences, Signal, check_and_digest};

use super::faults::{Chance, Faults};
use crate::harness::{Line, export_request};

/// The most events a request has.
const BATCH_MAX: usize = 12;

/// How long it gathers events after a request, ms.
const GATHERS: u64 = 700;

/// How many acknowledged events a sender may come back to.
const RECENT: usize = 20;

/// One request under way.
#[derive(Clone)]
pub(crate) struct Request {
    lines: Vec<Line>,
    /// The request as bytes.
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn new(lines: Vec<Line>) -> Self {
        let body = export_request(&lines).encode_to_vec().into();
        Request { lines, body }
    }

    /// As the receivers hand it on.
    pub(crate) fn entry(&self) -> Entry {
        let (limits, mut occurrences) = (Limits::default(), Occurrences::default());
        let (census, notes) = check_and_digest(Signal::Logs, &self.body, &limits, &mut occurrences).unwrap();
        let (body, notes) = (self.body.clone(), notes.into_bytes().into());
        let refused = Bytes::copy_from_slice(census.refused.as_bytes());
        Entry { kind: Kind::LOGS, body, events: census.events, refused, notes }
    }

    /// How many of its events no receiver takes.
    pub(crate) fn refused(&self) -> usize {
        let limits = Limits::default();
        let attributes = |line: &Line| line.attrs.as_object().map_or(0, serde_json::Map::len);
        let is_refused = |line: &&Line| {
            attributes(line) > limits.attributes_per_record as usize || line.event.len() > limits.name_bytes as usize
        };
        self.lines.iter().filter(is_refused).count()
    }

    /// As OTLP JSON.
    pub(crate) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(&export_request(&self.lines)).unwrap()
    }

    /// As event lines.
    pub(crate) fn event_lines(&self) -> Vec<u8> {
        self.lines.iter().map(|line| format!("{}\n", line.to_json())).collect::<String>().into_bytes()
    }
}

/// See the module.
pub(crate) struct Sender {
    script: VecDeque<Line>,
    waiting: VecDeque<Line>,
    unanswered: Option<Request>,
    recent: VecDeque<Line>,
    next_at: u64,
}

impl Sender {
    pub(crate) fn new(script: &[Line]) -> Self {
        Sender {
            script: script.iter().cloned().collect(),
            waiting: VecDeque::new(),
            unanswered: None,
            recent: VecDeque::new(),
            next_at: 0,
        }
    }

    /// Whether everything that happened has been acknowledged.
    pub(crate) fn is_done(&self) -> bool {
        self.script.is_empty() && self.waiting.is_empty() && self.unanswered.is_none()
    }

    /// Sends nothing before then.
    pub(crate) fn rest_until(&mut self, ms: u64) {
        self.next_at = self.next_at.max(ms);
    }

    /// What it sends now, if anything.
    pub(crate) fn request(&mut self, now: u64, faults: &Faults, chance: &mut Chance) -> Option<Request> {
        while let Some(line) = self.script.pop_front_if(|line| line.ms <= now) {
            self.waiting.push_back(line);
        }
        if now < self.next_at {
            return None;
        }
        if let Some(again) = self.unanswered.take() {
            // An SDK repeats the request as it was; a Collector may cut it anew, and repeat only a part for now.
            if !chance.happens(faults.rebatches) {
                self.unanswered = Some(again);
                return self.unanswered.clone();
            }
            for line in again.lines.into_iter().rev() {
                // Twice in one request would be two events.
                if !self.waiting.contains(&line) {
                    self.waiting.push_front(line);
                }
            }
        }
        if self.waiting.is_empty() {
            return None;
        }
        let size = chance.below(BATCH_MAX as u64) as usize + 1;
        let mut lines: Vec<Line> = (0..size).map_while(|_| self.waiting.pop_front()).collect();
        while chance.happens(faults.repeats) && !self.recent.is_empty() {
            let known = chance.below(self.recent.len() as u64) as usize;
            if !lines.contains(&self.recent[known]) {
                lines.push(self.recent[known].clone());
            }
        }
        self.unanswered = Some(Request::new(lines));
        self.unanswered.clone()
    }

    /// The request was acknowledged.
    pub(crate) fn acknowledged(&mut self, now: u64) {
        self.rest_until(now + GATHERS);
        if let Some(done) = self.unanswered.take() {
            self.recent.extend(done.lines);
            let forgotten = self.recent.len().saturating_sub(RECENT);
            self.recent.drain(..forgotten);
        }
    }
}
