//! What people are told of a violation: the message with its holes filled, what was measured, and how bad it is.
use std::sync::Arc;

use engine::{Engine, Input, Program, Severity, Timing};
use event::{Event, Identity, Position, Source, Timestamp, Value};
use runtime::{
    feed,
    freeze::{Evidence, Frozen, freeze},
    offline,
};

struct Kept(Vec<Event>);

impl Evidence for Kept {
    fn event(&mut self, position: Position) -> Option<Event> {
        self.0.get(position.record as usize).cloned()
    }
}

/// Judges a rule over some events, each a second after the one before, and freezes what it finds.
fn found(rule: &str, events: &[(&str, i64)]) -> Vec<Frozen> {
    let pack = format!("pack: p\nrules:\n{rule}");
    let (compiled, diagnostics) = lang::compile(&pack, "p.yaml", &lang::Options::default());
    assert!(compiled.is_some(), "{}", lang::render(&diagnostics, &pack));
    let mut engine = Engine::new(Program::link(compiled.map(Arc::new)), Timing::default(), Input::Offline);
    let events: Vec<Event> = events
        .iter()
        .enumerate()
        .map(|(number, (name, v))| Event {
            ts: Timestamp(1_795_500_000_000_000_000 + number as u64 * 1_000_000_000),
            identity: Identity(number as u128 + 1),
            position: Position { partition: 0, frame: 1, record: number as u32 },
            source: Source { network: String::new(), node: "n1".into(), component: "c".into() },
            name: (*name).to_owned(),
            attrs: vec![("v".to_owned(), Value::from(*v))],
            ..Event::default()
        })
        .collect();
    events.iter().for_each(|event| feed::event(&mut engine, event));
    let mut outputs = Vec::new();
    engine.finish(true, &mut outputs);
    let mut kept = Kept(events);
    offline::standing(outputs).iter().map(|violation| freeze(engine.program(), violation, &mut kept)).collect()
}

const HEIGHTS: &str = "  - id: heights
    key: [node]
    monotonic:
      event: a
      value: v
      order: increasing
";

#[test]
fn a_message_names_the_event_that_the_judged_one_is_measured_against() {
    let rule = format!("{HEIGHTS}    message: \"{{node}}: {{event.v}} after {{before.v}}\"\n");
    let told: Vec<String> = found(&rule, &[("a", 7), ("a", 5)]).into_iter().map(|frozen| frozen.message).collect();
    assert_eq!(told, ["n1: 5 after 7"]);
    let roles: Vec<_> =
        found(&rule, &[("a", 7), ("a", 5)])[0].evidence.iter().map(|event| event["role"].clone()).collect();
    assert_eq!(roles, ["before", "event"]);
}

#[test]
fn the_first_severity_whose_condition_holds_counts() {
    let rule = format!(
        "{HEIGHTS}    severity:\n      - where: event.v < 3\n        is: critical\n      - where: event.v < 5\n        is: high\n      - is: low\n"
    );
    let severities: Vec<Severity> =
        found(&rule, &[("a", 9), ("a", 6), ("a", 4), ("a", 1)]).into_iter().map(|frozen| frozen.severity).collect();
    assert_eq!(severities, [Severity::Low, Severity::High, Severity::Critical]);
}

#[test]
fn what_was_measured_is_told_with_a_message_and_without() {
    let rule = |more: &str| {
        format!(
            "  - id: sums\n    key: [node]\n    aggregate:\n      terms:\n        total:\n          sum: v\n          of: a\n        n:\n          count: a\n      window: 1m\n      assert: total < 10\n{more}"
        )
    };
    let events = [("a", 4), ("a", 7)];
    assert_eq!(found(&rule(""), &events)[0].message, "sums is broken: total = 11, n = 2 (node=n1)");
    assert_eq!(found(&rule("    message: \"{n} make {total} on {node}\"\n"), &events)[0].message, "2 make 11 on n1");
    let graded = rule("    severity:\n      - where: total > 10\n        is: high\n      - is: info\n");
    assert_eq!(found(&graded, &events)[0].severity, Severity::High);
}

#[test]
fn a_rule_without_a_message_says_what_came_and_should_not_have() {
    let told = |rule: &str, events: &[(&str, i64)]| {
        let rule = format!("  - id: r\n    key: [node]\n{rule}");
        found(&rule, events)[0].message.clone()
    };
    let seen = [("a", 1), ("a", 1), ("b", 3)];
    assert_eq!(told("    never: b\n", &seen), "b happened (node=n1)");
    assert_eq!(told("    never: b\n    about: It never ends.\n", &seen), "broken: It never ends (node=n1)");
    assert_eq!(told("    always: {event: a, assert: v > 1}\n", &seen), "a is not as it must be (node=n1)");
    assert_eq!(told("    precedence: {event: b, requires: {any: [c, d]}}\n", &seen), "b without c or d (node=n1)");
    assert_eq!(told("    count: {of: a, max: 1}\n", &seen), "more than 1 a (node=n1)");
    assert_eq!(
        told("    monotonic: {event: a, value: v, order: increasing}\n", &seen),
        "a goes the wrong way (node=n1)"
    );
    assert_eq!(told("    consecutive: {fail: a, ok: c, count: 2}\n", &seen), "2 a in a row (node=n1)");
    assert_eq!(
        told("    sequence: {steps: [a, b], within: 1h}\n", &seen),
        "b at the end of the whole sequence (node=n1)"
    );
    let machine = "    state_machine:\n      state: {one: a, two: b}\n      initial: any\n      transitions: {one: [], two: [one]}\n";
    assert_eq!(told(machine, &seen), "b where no transition leads (node=n1)");
    assert_eq!(
        told("    exclusive: {enter: a, exit: c, holder: v}\n", &[("a", 1), ("a", 2)]),
        "a while 1 held already (node=n1)"
    );
}
