//! Random histories, and the two ways to judge them: as a recording, and live in whatever order they come.
use std::{collections::BTreeSet, sync::Arc};

use engine::{Engine, Input, Output, Program, Timing, ViolationId};
use event::{Event, Identity, Position, Source, Timestamp, Value};
use proptest::prelude::*;
use runtime::{feed, offline};

/// When histories begin: far enough from the epoch for every look-back.
pub(crate) const BEGIN: u64 = 1_000_000;

/// One event of a history: seconds since its beginning, its name, and its two attributes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ev {
    pub(crate) at: u64,
    pub(crate) name: &'static str,
    pub(crate) v: i64,
    pub(crate) h: i64,
}

/// Up to `most` events with these names within half a minute, so that ties and equal distances are common.
pub(crate) fn history(names: &'static [&'static str], values: i64, most: usize) -> impl Strategy<Value = Vec<Ev>> {
    let one = (0_u64..30, prop::sample::select(names), 0..values, 0_i64..3).prop_map(|(at, name, v, h)| Ev {
        at,
        name,
        v,
        h,
    });
    prop::collection::vec(one, 0..most)
}

/// What a rule found: when, in seconds since the beginning, by level also until when.
pub(crate) type Times = Vec<u64>;

pub(crate) fn event(number: usize, ev: &Ev) -> Event {
    Event {
        ts: Timestamp((BEGIN + ev.at) * 1_000_000_000),
        // Not in order of time or of arrival.
        identity: Identity((number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        position: Position { partition: 0, frame: 1, record: number as u32 },
        source: Source { network: String::new(), node: "n".into(), component: "c".into() },
        name: ev.name.to_owned(),
        attrs: vec![("v".to_owned(), Value::from(ev.v)), ("h".to_owned(), Value::from(ev.h))],
        ..Event::default()
    }
}

/// The program of one rule without a key, or of a whole pack.
pub(crate) fn program(rule: &str) -> Program {
    if rule.starts_with("pack:") {
        return program_of(rule);
    }
    let body: String = rule.lines().map(|line| format!("    {line}\n")).collect();
    program_of(&format!("pack: p\nrules:\n  - id: r\n    key: []\n{body}"))
}

/// The program of a whole pack.
pub(crate) fn program_of(pack: &str) -> Program {
    let (compiled, diagnostics) = lang::compile(pack, "p.yaml", &lang::Options::default());
    assert!(compiled.is_some(), "{}", lang::render(&diagnostics, pack));
    Program::link(compiled.map(Arc::new))
}

fn seconds(at: Timestamp) -> u64 {
    at.0 / 1_000_000_000 - BEGIN
}

/// What is found in a recording that ends a minute after its beginning.
pub(crate) fn recorded(rule: &str, events: &[Ev]) -> Times {
    let (outputs, _) = recorded_outputs(rule, events);
    let mut times: Times = offline::standing(outputs).iter().map(|violation| seconds(violation.at)).collect();
    times.sort_unstable();
    times
}

/// The same, with the recoveries of levels.
pub(crate) fn levels(rule: &str, events: &[Ev]) -> Vec<(u64, Option<u64>)> {
    let (outputs, _) = recorded_outputs(rule, events);
    let mut levels: Vec<(ViolationId, u64, Option<u64>)> = Vec::new();
    for output in outputs {
        match output {
            Output::Violated(violation) => levels.push((violation.id, seconds(violation.at), None)),
            Output::Resolved { id, at, .. } => {
                levels.iter_mut().filter(|level| level.0 == id).for_each(|level| level.2 = Some(seconds(at)));
            }
            _ => {}
        }
    }
    let mut levels: Vec<_> = levels.into_iter().map(|(_, from, to)| (from, to)).collect();
    levels.sort_unstable();
    levels
}

fn recorded_outputs(rule: &str, events: &[Ev]) -> (Vec<Output>, BTreeSet<ViolationId>) {
    let mut engine = Engine::new(program(rule), Timing::default(), Input::Offline);
    events.iter().enumerate().for_each(|(number, ev)| feed::event(&mut engine, &event(number, ev)));
    let mut outputs = Vec::new();
    engine.judge_before(Timestamp((BEGIN + 90) * 1_000_000_000), &mut outputs);
    let ids = offline::standing(outputs.clone()).iter().map(|violation| violation.id).collect();
    (outputs, ids)
}

/// The names of what stands at the end, as a recording and live: in the order that `order` gives, some twice, with the
/// engine written to a checkpoint and taken up again after `cut` events.
pub(crate) fn both_ways(rule: &str, events: &[Ev], order: &[usize], cut: usize) -> [BTreeSet<ViolationId>; 2] {
    let (_, recorded) = recorded_outputs(rule, events);
    let mut engine = Engine::new(program(rule), Timing::default(), Input::Live);
    let mut outputs = Vec::new();
    let stamp = |ms: u64| Timestamp((BEGIN * 1_000 + ms) * 1_000_000);
    // The node was there long before: no look-back goes past the first that was heard of it.
    let early = Timestamp((BEGIN - 10_000) * 1_000_000_000);
    let mut first = event(usize::MAX - 1, &Ev { at: 0, name: "first", v: 0, h: 0 });
    (first.ts, first.arrived) = (early, early);
    feed::event(&mut engine, &first);
    engine.tick(early, &mut outputs);
    // Some histories come as they happen, before and after their time; others when all is over.
    let base = if cut.is_multiple_of(2) { 0 } else { 30_000 };
    for (step, &number) in order.iter().enumerate() {
        let mut one = event(number, &events[number]);
        one.arrived = stamp(base + step as u64 * 700);
        feed::event(&mut engine, &one);
        if step % 3 == 0 {
            feed::event(&mut engine, &one);
        }
        engine.tick(one.arrived, &mut outputs);
        if step == cut {
            let bytes = engine.checkpoint().unwrap();
            engine = Engine::restore(program(rule), Timing::default(), &bytes).unwrap();
        }
    }
    for second in 0..60 {
        engine.tick(stamp(60_000 + second * 1_000 + order.len() as u64 * 700), &mut outputs);
    }
    let mut live = BTreeSet::new();
    for output in outputs {
        match output {
            Output::Violated(violation) => drop(live.insert(violation.id)),
            Output::Retracted { id, .. } => drop(live.remove(&id)),
            _ => {}
        }
    }
    [recorded, live]
}
