//! The terms of an `aggregate`: what the events of a window come to, kept up to date event by event where that is exact.
use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    vec,
    vec::Vec,
};
use core::{cmp::Ordering, time::Duration};
use event::{Int, Timestamp, Value};

use crate::{
    expr::Val,
    key,
    pack::{Measure, Term as Definition},
    verdict::EventRef,
};

/// How many events one window may hold; beyond, its rule cannot say any more.
const SAMPLES_MAX: usize = 65_536;

/// How many events are kept for evidence where their values are not needed.
const LATEST_MAX: usize = 16;

/// One event that counts, with its value.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Sample {
    pub(super) at: EventRef,
    pub(super) value: Value,
}

/// What one term holds.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Term {
    /// Not in its window yet, because of an offset.
    coming: VecDeque<Sample>,
    /// In its window, in order of time; without a window the latest alone, where that is enough.
    samples: VecDeque<Sample>,
    count: u64,
    /// The exact sum of the integers.
    sum: Int,
    /// How many are no integers, and what those that will never leave add up to.
    fractions: u64,
    fraction: f64,
    /// Their values in order, where an order is asked for.
    sorted: Vec<Value>,
    /// How often each value is there, where that is asked for.
    distinct: BTreeMap<Box<[u8]>, u64>,
    /// The value that stood when the window began.
    standing: bool,
    overflowed: bool,
}

impl Term {
    pub(super) fn new() -> Self {
        Term {
            coming: VecDeque::new(),
            samples: VecDeque::new(),
            count: 0,
            sum: Int::Small(0),
            fractions: 0,
            fraction: 0.0,
            sorted: Vec::new(),
            distinct: BTreeMap::new(),
            standing: false,
            overflowed: false,
        }
    }

    /// Takes an event; returns whether its value is of use.
    pub(super) fn take(&mut self, term: &Definition, window: Option<Duration>, sample: Sample, now: Timestamp) -> bool {
        let useful = match term.measure {
            Measure::Count | Measure::First | Measure::Last | Measure::Distinct => true,
            Measure::Duration => matches!(sample.value, Value::Bool(_)),
            Measure::Sum | Measure::Avg | Measure::Increase | Measure::Slope => is_number(&sample.value),
            Measure::Min | Measure::Max | Measure::Percentile(_) => {
                // What does not even compare with itself (no number) has no place among others.
                let known = self.sorted.first().unwrap_or(&sample.value);
                compare(known, &sample.value).is_some()
            }
        };
        if !useful {
            return false;
        }
        self.coming.push_back(sample);
        self.enter(term, window, now);
        true
    }

    /// Moves the window on to `ts`.
    pub(super) fn advance(&mut self, term: &Definition, window: Option<Duration>, ts: Timestamp) {
        self.enter(term, window, ts);
        let Some(window) = window else { return };
        while self.samples.front().is_some_and(|sample| sample.at.ts.plus(term.offset).plus(window) <= ts) {
            let Some(left) = self.samples.pop_front() else { return };
            self.leave(term, &left);
        }
        if self.samples.is_empty() {
            self.overflowed = false;
        }
    }

    fn enter(&mut self, term: &Definition, window: Option<Duration>, ts: Timestamp) {
        while self.coming.front().is_some_and(|sample| sample.at.ts.plus(term.offset) <= ts) {
            let Some(sample) = self.coming.pop_front() else { return };
            self.add(term, window.is_some(), sample);
        }
        if self.coming.len() > SAMPLES_MAX {
            self.coming.pop_front();
            self.overflowed = true;
        }
    }

    fn add(&mut self, term: &Definition, sliding: bool, sample: Sample) {
        if self.sorted.first().is_some_and(|known| compare(known, &sample.value).is_none()) {
            return;
        }
        self.count += 1;
        match (term.measure, &sample.value) {
            (Measure::Sum | Measure::Avg, Value::Int(int)) => self.sum = self.sum.add(int),
            (Measure::Sum | Measure::Avg, value) => {
                self.fractions += 1;
                self.fraction += if sliding { 0.0 } else { double(value) };
            }
            (Measure::Min | Measure::Max | Measure::Percentile(_), value) => {
                let place = self.sorted.partition_point(|known| compare(known, value) == Some(Ordering::Less));
                self.sorted.insert(place, value.clone());
            }
            (Measure::Distinct, value) => *self.distinct.entry(encode(value)).or_default() += 1,
            _ => {}
        }
        // What will never leave need not be kept when the figures above say all.
        let needed = sliding
            || match term.measure {
                Measure::Count
                | Measure::Sum
                | Measure::Avg
                | Measure::Distinct
                | Measure::Min
                | Measure::Max
                | Measure::Percentile(_) => false,
                Measure::First | Measure::Last | Measure::Increase | Measure::Slope | Measure::Duration => true,
            };
        self.samples.push_back(sample);
        if !needed && self.samples.len() > LATEST_MAX {
            self.samples.pop_front();
        }
        if self.samples.len() > SAMPLES_MAX || self.sorted.len() > SAMPLES_MAX || self.distinct.len() > SAMPLES_MAX {
            self.overflowed = true;
            if let Some(left) = self.samples.pop_front() {
                self.leave(term, &left);
            }
        }
    }

    fn leave(&mut self, term: &Definition, left: &Sample) {
        self.count = self.count.saturating_sub(1);
        match (term.measure, &left.value) {
            (Measure::Sum | Measure::Avg, Value::Int(int)) => self.sum = self.sum.sub(int),
            (Measure::Sum | Measure::Avg, _) => self.fractions = self.fractions.saturating_sub(1),
            (Measure::Min | Measure::Max | Measure::Percentile(_), value) => {
                let from = self.sorted.partition_point(|known| compare(known, value) == Some(Ordering::Less));
                // Equal values may be of two kinds (1 and 1.0): that very one leaves.
                let same = self.sorted[from..].iter().position(|known| known == value).map(|place| from + place);
                if let Some(place) = same {
                    self.sorted.remove(place);
                }
            }
            (Measure::Distinct, value) => {
                let encoded = encode(value);
                if let Some(times) = self.distinct.get_mut(&encoded) {
                    *times -= 1;
                    if *times == 0 {
                        self.distinct.remove(&encoded);
                    }
                }
            }
            (Measure::Duration, value) => self.standing = *value == Value::Bool(true),
            _ => {}
        }
    }

    /// What it may come to as of `ts`: several values only where samples of one instant may stand in several orders.
    pub(super) fn values(&self, term: &Definition, window: Option<Duration>, ts: Timestamp) -> Vec<Option<Value>> {
        vec![match term.measure {
            Measure::Count => Some(Value::Int(int(self.count))),
            Measure::Sum => Some(self.sum(window.is_some())),
            Measure::Avg => {
                (self.count > 0).then(|| Value::Double(double(&self.sum(window.is_some())) / self.count as f64))
            }
            Measure::Min => self.sorted.first().cloned(),
            Measure::Max => self.sorted.last().cloned(),
            Measure::Percentile(percentile) => self.percentile(percentile),
            Measure::Distinct => Some(Value::Int(int(self.distinct.len() as u64))),
            Measure::First => return tied(self.samples.iter()),
            Measure::Last => return tied(self.samples.iter().rev()),
            Measure::Increase => self.increase(),
            Measure::Slope => self.slope(),
            Measure::Duration => Some(self.duration(term, window, ts)),
        }]
    }

    fn sum(&self, sliding: bool) -> Value {
        if self.fractions == 0 {
            return Value::Int(self.sum.clone());
        }
        // Doubles of a window are added anew in order of time: what has left leaves no rounding behind.
        let fraction = |sample: &Sample| match sample.value {
            Value::Double(double) => double,
            _ => 0.0,
        };
        let fractions = if sliding { self.samples.iter().map(fraction).sum() } else { self.fraction };
        Value::Double(self.sum.to_f64() + fractions)
    }

    /// Nearest rank: the least value that so many hundredths of a per cent of all do not exceed.
    fn percentile(&self, percentile: u16) -> Option<Value> {
        let rank = (self.sorted.len() * percentile as usize).div_ceil(10_000).max(1);
        self.sorted.get(rank - 1).cloned()
    }

    /// By how much a counter rose, one that falls having begun anew at 0; samples of one instant rise.
    fn increase(&self) -> Option<Value> {
        let mut ordered: Vec<&Sample> = self.samples.iter().collect();
        ordered
            .sort_by(|a, b| a.at.ts.cmp(&b.at.ts).then_with(|| compare(&a.value, &b.value).unwrap_or(Ordering::Equal)));
        let mut risen = Value::Int(Int::Small(0));
        for pair in ordered.windows(2) {
            let fell = compare(&pair[1].value, &pair[0].value) == Some(Ordering::Less);
            let more = if fell { pair[1].value.clone() } else { minus(&pair[1].value, &pair[0].value) };
            risen = plus(&risen, &more);
        }
        (!ordered.is_empty()).then_some(risen)
    }

    /// The slope of the least-squares line through the samples, per second.
    fn slope(&self) -> Option<Value> {
        let first = self.samples.front()?.at.ts;
        let points: Vec<(f64, f64)> = self
            .samples
            .iter()
            .map(|sample| ((sample.at.ts.0 - first.0) as f64 / 1e9, double(&sample.value)))
            .collect();
        let n = points.len() as f64;
        let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / n;
        let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / n;
        let spread: f64 = points.iter().map(|(x, _)| (x - mean_x) * (x - mean_x)).sum();
        let along: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        (spread > 0.0).then(|| Value::Double(along / spread))
    }

    /// For how many nanoseconds of the window the value stood at true, each sample standing until the next.
    fn duration(&self, term: &Definition, window: Option<Duration>, ts: Timestamp) -> Value {
        let end = ts.minus(term.offset);
        let begin = window.map_or(Timestamp::ZERO, |window| end.minus(window));
        let (mut from, mut stands, mut total) = (begin, self.standing, 0_u64);
        for sample in &self.samples {
            if stands {
                total += sample.at.ts.0.saturating_sub(from.0);
            }
            (from, stands) = (sample.at.ts.max(begin), sample.value == Value::Bool(true));
        }
        if stands {
            total += end.0.saturating_sub(from.0);
        }
        Value::Int(int(total))
    }

    /// The latest events that count.
    pub(super) fn latest(&self, most: usize) -> impl Iterator<Item = EventRef> {
        self.samples.iter().rev().take(most).map(|sample| sample.at)
    }

    /// When an event next enters or leaves the window.
    pub(super) fn next_change(&self, term: &Definition, window: Option<Duration>) -> Option<Timestamp> {
        let enters = self.coming.front().map(|sample| sample.at.ts.plus(term.offset));
        let leaves = self.samples.front().zip(window);
        let leaves = leaves.map(|(sample, window)| sample.at.ts.plus(term.offset).plus(window));
        enters.into_iter().chain(leaves).min()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.coming.is_empty() && self.samples.is_empty()
    }

    /// Whether nothing that has left is remembered.
    pub(super) fn is_fresh(&self) -> bool {
        self.count == 0 && !self.standing
    }

    pub(super) fn overflowed(&self) -> bool {
        self.overflowed
    }
}

/// The values of all samples that share the first one's instant; one absent value when there is none.
fn tied<'s>(mut samples: impl Iterator<Item = &'s Sample>) -> Vec<Option<Value>> {
    let Some(first) = samples.next() else { return vec![None] };
    let mut values = vec![first.value.clone()];
    for sample in samples.take_while(|sample| sample.at.ts == first.at.ts) {
        if !values.contains(&sample.value) {
            values.push(sample.value.clone());
        }
    }
    values.into_iter().map(Some).collect()
}

pub(super) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    Val::from(a).compare(&Val::from(b))
}

fn is_number(value: &Value) -> bool {
    match value {
        Value::Int(_) => true,
        Value::Double(double) => double.is_finite(),
        _ => false,
    }
}

pub(super) fn double(value: &Value) -> f64 {
    match value {
        Value::Int(int) => int.to_f64(),
        Value::Double(double) => *double,
        _ => 0.0,
    }
}

pub(super) fn int(value: u64) -> Int {
    Int::Small(i128::from(value))
}

pub(super) fn plus(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.add(b)),
        _ => Value::Double(double(a) + double(b)),
    }
}

fn minus(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.sub(b)),
        _ => Value::Double(double(a) - double(b)),
    }
}

fn encode(value: &Value) -> Box<[u8]> {
    let mut bytes = Vec::new();
    key::push(&mut bytes, &Val::from(value));
    bytes.into()
}
