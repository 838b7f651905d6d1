//! Judging a test's events: as a complete recording, and as a network would deliver them, some in time, some so late that
//! only a correction can mend what was said meanwhile.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use engine::{Engine, Input, Kind, Output, Pack, Program, Row, Timing};
use event::{Event, Identity, Source, Timestamp, Value, ValueRef};
use lang::{
    Options,
    suite::{BEGINNING, Case},
};

/// A violation that stands in the end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) rule: String,
    pub(crate) at: Timestamp,
    pub(crate) key: Vec<(String, Option<Value>)>,
}

/// What was judged.
pub(crate) struct Judged {
    /// Violations by id.
    pub(crate) standing: BTreeMap<String, Seen>,
    /// The rules in force.
    pub(crate) rules: Vec<String>,
    /// Those of them that time alone may break: they go on for as long as somebody watches.
    levels: BTreeSet<String>,
}

impl Judged {
    /// What stands however long one watches.
    pub(crate) fn settled(self) -> BTreeMap<String, Seen> {
        self.standing.into_iter().filter(|(_, seen)| !self.levels.contains(&seen.rule)).collect()
    }
}

fn program(packs: &[String], case: &Case) -> Program {
    let options = Options { params: case.params.clone() };
    let compiled = packs.iter().map(|source| {
        let (pack, diagnostics) = lang::compile(source, "pack.yaml", &options);
        Arc::new(pack.unwrap_or_else(|| panic!("{}", lang::render(&diagnostics, source))))
    });
    Program::link(compiled.collect::<Vec<Arc<Pack>>>())
}

fn feed(engine: &mut Engine, event: &Event) {
    let component = engine.program().component(&event.source.component).to_owned();
    let source = engine.source(&event.source.network, &event.source.node, &component);
    let number = engine.event(&event.name);
    let columns: Vec<Option<ValueRef<'_>>> = engine
        .columns(number)
        .iter()
        .map(|column| {
            let from = if column.of_resource { &event.resource } else { &event.attrs };
            from.iter().rev().find(|(name, _)| *name == column.name).map(|(_, value)| value.as_ref())
        })
        .collect();
    let process = engine.program().process_attributes().find_map(|name| {
        let mut own = event.attrs.iter().chain(&event.resource);
        own.find(|(key, _)| key == name).map(|(_, value)| text(value))
    });
    engine.row(&Row {
        event: number,
        name: &event.name,
        source,
        ts: event.ts,
        sent: event.ts,
        arrived: event.arrived,
        identity: event.identity,
        position: event.position,
        severity: event.severity,
        body: event.body.as_ref(),
        trace_id: &event.trace_id,
        process: process.as_deref(),
        columns: &columns,
    });
}

/// What a complete recording shows.
pub(crate) fn offline(packs: &[String], case: &Case) -> Judged {
    let mut engine = Engine::new(program(packs, case), Timing::default(), Input::Offline);
    case.events.iter().for_each(|event| feed(&mut engine, event));
    let mut said = Vec::new();
    match case.until {
        Some(until) => engine.judge_before(BEGINNING.plus(until).plus(Duration::from_nanos(1)), &mut said),
        None => engine.finish(true, &mut said),
    }
    judged(&engine, said)
}

/// What stands when all late evidence has come; with `checkpoint` over one in the middle.
pub(crate) fn live(packs: &[String], case: &Case, seed: u64, checkpoint: bool) -> Judged {
    let timing = Timing::default();
    let mut engine = Engine::new(program(packs, case), timing, Input::Live);
    let mut said = Vec::new();
    let mut clock = Timestamp::ZERO;
    let events = delivered(case, seed);
    for (number, event) in events.iter().enumerate() {
        // Time runs in small steps where something may fall due, and leaps where nothing happens.
        let begun = clock > Timestamp::ZERO;
        clock = clock.max(event.arrived.minus(Duration::from_secs(100)));
        while begun && clock.plus(Duration::from_secs(2)) < event.arrived {
            clock = clock.plus(Duration::from_secs(2));
            engine.tick(clock, &mut said);
        }
        clock = clock.max(event.arrived);
        feed(&mut engine, event);
        engine.tick(clock, &mut said);
        if checkpoint && number == events.len() / 2 {
            let bytes = engine.checkpoint().unwrap();
            engine = Engine::restore(program(packs, case), timing, &bytes).unwrap();
        }
    }
    for seconds in [60, 61] {
        engine.tick(clock.plus(Duration::from_secs(seconds)), &mut said);
    }
    judged(&engine, said)
}

/// How many instances of a rule are unknown, and when its violations that stand were found, when events have come in time.
/// `quiet`: when time runs on though nothing comes.
pub(crate) fn as_it_comes(pack: &str, events: &[Event], quiet: &[Timestamp], rule: &str) -> (u64, Vec<Duration>) {
    let (pack, _) = lang::compile(pack, "pack.yaml", &Options::default());
    let program = Program::link([Arc::new(pack.unwrap())]);
    let (number, ..) = program.rules().find(|(_, _, known)| known.id == rule).unwrap();
    let mut engine = Engine::new(program, Timing::default(), Input::Live);
    let mut said = Vec::new();
    let mut quiet = quiet.iter().copied().peekable();
    for event in events {
        while let Some(tick) = quiet.next_if(|tick| *tick < event.arrived) {
            engine.tick(tick, &mut said);
        }
        feed(&mut engine, event);
        engine.tick(event.arrived, &mut said);
    }
    let last = events.last().unwrap().arrived;
    (1..=10).for_each(|seconds| engine.tick(last.plus(Duration::from_secs(seconds)), &mut said));
    let standing = judged(&engine, said).standing;
    let own = standing.values().filter(|seen| seen.rule == rule);
    (engine.tally(number).unknown, own.map(|seen| seen.at.since(BEGINNING)).collect())
}

/// How much later than the last event every node is heard once more.
const AFTER: Duration = Duration::from_secs(3_600);

/// The events with their arrivals: every node is heard long before and long after, so that nobody is silent and nothing
/// came before the start.
fn delivered(case: &Case, seed: u64) -> Vec<Event> {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move |bound: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    let mut events: Vec<Event> = Vec::new();
    for event in &case.events {
        // From the second seed on, every third event comes 20 to 80 seconds late.
        let late = seed > 0 && next(3) == 0;
        let delay = if late { Duration::from_secs(20 + next(60)) } else { Duration::from_millis(next(900)) };
        events.push(Event { arrived: event.ts.plus(delay), ..event.clone() });
    }
    let last = case.events.iter().map(|event| event.ts).max().unwrap_or(BEGINNING);
    let nodes: BTreeSet<(String, String)> =
        case.events.iter().map(|event| (event.source.network.clone(), event.source.node.clone())).collect();
    for (number, (network, node)) in nodes.into_iter().enumerate() {
        let times = [BEGINNING.minus(Duration::from_secs(600)), last.plus(AFTER)];
        for (half, at) in times.into_iter().enumerate() {
            events.push(Event {
                name: "heard".into(),
                identity: Identity((1 << 100) + (number * 2 + half) as u128),
                ts: at,
                arrived: at,
                source: Source { network: network.clone(), node: node.clone(), component: "probe".into() },
                ..Event::default()
            });
        }
    }
    events.sort_by_key(|event| (event.arrived, event.identity));
    events
}

fn judged(engine: &Engine, said: Vec<Output>) -> Judged {
    let mut standing = BTreeMap::new();
    for output in said {
        match output {
            Output::Violated(violation) => {
                let (_, rule) = engine.program().rule(violation.rule);
                let names = rule.key.iter().map(|part| part.name.clone());
                let key = names.zip(violation.key.iter().cloned()).collect();
                let seen = Seen { rule: rule.id.clone(), at: violation.at, key };
                standing.insert(violation.id.to_string(), seen);
            }
            Output::Retracted { id, .. } => {
                standing.remove(&id.to_string());
            }
            _ => {}
        }
    }
    let rules = || engine.program().rules().filter(|(_, _, rule)| rule.enabled);
    Judged {
        standing,
        rules: rules().map(|(_, _, rule)| rule.id.clone()).collect(),
        levels: rules()
            .filter(|(_, _, rule)| matches!(rule.kind, Kind::Heartbeat { .. }))
            .map(|(_, _, rule)| rule.id.clone())
            .collect(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        other => format!("{other:?}"),
    }
}

/// Where what was found is not what the test expects.
pub(crate) fn differences(case: &Case, judged: &Judged) -> Vec<String> {
    let mut left: Vec<&Seen> = judged.standing.values().collect();
    let mut differences = Vec::new();
    for expected in &case.expect {
        let place = left.iter().position(|seen| {
            seen.rule == expected.rule
                && expected.at.is_none_or(|at| at == seen.at)
                && expected.key.iter().all(|(name, value)| {
                    let part = seen.key.iter().find(|(part, _)| part == name);
                    part.is_some_and(|(_, found)| found.as_ref().is_some_and(|found| text(found) == text(value)))
                })
        });
        match place {
            Some(place) => drop(left.remove(place)),
            None => differences.push(format!("line {}: expected {}, not found", expected.line, expected.rule)),
        }
    }
    let under_test = |seen: &&&Seen| case.rules.is_empty() || case.rules.contains(&seen.rule);
    for extra in left.iter().filter(under_test) {
        let at = event::format_duration(extra.at.since(BEGINNING));
        differences.push(format!("found {} at {at} {:?}, not expected", extra.rule, extra.key));
    }
    differences
}
