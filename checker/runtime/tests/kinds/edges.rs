//! The edges that histories drawn at random seldom meet: ties and what is said to decide them, measures one by one,
//! restarts, spans, bounds, and what can only be unknown while events still come.
use engine::{Engine, Input, Output, Timing, Unknown};
use event::{Event, Identity, Source, Timestamp, Value};
use runtime::{feed, offline};

use crate::harness::{BEGIN, Ev, Times, levels, program, program_of, recorded};

fn ev(at: u64, name: &'static str, v: i64) -> Ev {
    Ev { at, name, v, h: 0 }
}

fn by(at: u64, name: &'static str, v: i64, h: i64) -> Ev {
    Ev { at, name, v, h }
}

#[test]
fn an_answer_at_the_time_of_its_question_is_none_when_strict() {
    let response = "response:\n  when: a\n  then: b\n  within: 5s";
    let tied = [ev(0, "a", 0), ev(0, "b", 0)];
    assert_eq!(recorded(response, &tied), Times::from([]));
    assert_eq!(recorded(&format!("{response}\nstrict: true"), &tied), Times::from([5]));
    assert_eq!(recorded(&format!("{response}\nstrict: true"), &[ev(0, "a", 0), ev(1, "b", 0)]), Times::from([]));
}

#[test]
fn a_marker_ends_only_what_its_condition_speaks_of() {
    let response = "response:\n  when: a\n  then: b\n  by: c where v > when.v + 2";
    assert_eq!(recorded(response, &[ev(0, "a", 1), ev(1, "c", 3), ev(2, "b", 0), ev(3, "c", 9)]), Times::from([]));
    assert_eq!(recorded(response, &[ev(0, "a", 1), ev(1, "c", 3), ev(2, "c", 4), ev(3, "b", 0)]), Times::from([2]));
}

#[test]
fn by_gives_the_order_of_one_timestamp() {
    let precedence = "precedence:\n  event: b\n  requires: a\nby: h";
    assert_eq!(recorded(precedence, &[by(0, "a", 0, 1), by(0, "b", 0, 2)]), Times::from([]));
    assert_eq!(recorded(precedence, &[by(0, "a", 0, 2), by(0, "b", 0, 1)]), Times::from([0]));
    // Equals are again without order.
    assert_eq!(recorded(precedence, &[by(0, "a", 0, 1), by(0, "b", 0, 1)]), Times::from([]));
    let monotonic = "monotonic:\n  event: a\n  value: v\n  order: increasing\n  by: h";
    assert_eq!(recorded(monotonic, &[by(0, "a", 1, 1), by(0, "a", 2, 2), by(0, "a", 3, 3)]), Times::from([]));
    assert_eq!(recorded(monotonic, &[by(0, "a", 1, 1), by(0, "a", 3, 2), by(0, "a", 2, 3)]), Times::from([0]));
}

#[test]
fn a_success_tied_with_the_last_failure_of_a_row_saves_it_unless_strict() {
    let row = "consecutive:\n  fail: a\n  ok: b\n  count: 2";
    let history = [ev(0, "a", 0), ev(1, "a", 0), ev(1, "b", 0)];
    assert_eq!(recorded(row, &history), Times::from([]));
    assert_eq!(recorded(&format!("{row}\nstrict: true"), &history), Times::from([1]));
}

#[test]
fn a_reset_tied_with_values_stands_where_it_helps() {
    let rule = "monotonic:\n  event: a\n  value: v\n  order: increasing\n  reset: r";
    // 9 goes on from 7, the reset follows, 3 begins anew.
    assert_eq!(
        recorded(rule, &[ev(0, "a", 7), ev(1, "a", 9), ev(1, "r", 0), ev(1, "a", 3), ev(2, "a", 4)]),
        Times::from([])
    );
    assert_eq!(recorded(rule, &[ev(0, "a", 7), ev(1, "r", 0), ev(1, "a", 3), ev(2, "a", 3)]), Times::from([2]));
    // An event that is value and reset at once is the first value after it.
    let itself = "monotonic:\n  event: a\n  value: v\n  order: increasing\n  reset: a where v >= 5";
    assert_eq!(recorded(itself, &[ev(0, "a", 7), ev(1, "a", 6), ev(2, "a", 4)]), Times::from([2]));
}

#[test]
fn values_without_order_are_unknown() {
    let rule = "monotonic:\n  event: a\n  value: missing\n  order: increasing";
    assert_eq!(recorded(rule, &[ev(0, "a", 7), ev(1, "a", 6)]), Times::from([]));
}

#[test]
fn a_limit_is_over_for_every_reading_before_it_is_said() {
    let rule = "\
state_machine:
  event: a
  state: v
  initial: any
  transitions:
    \"0\": [1]
    \"1\": [0]
  limits:
    \"0\": 5s";
    // At one second 0 and 1 may have come in either order: only one reading has a limit to pass.
    assert_eq!(recorded(rule, &[ev(1, "a", 0), ev(1, "a", 1)]), Times::from([]));
    assert_eq!(recorded(rule, &[ev(1, "a", 0), ev(1, "a", 1), ev(2, "a", 0), ev(9, "a", 0)]), Times::from([7]));
}

#[test]
fn each_measure_is_what_its_name_says() {
    let rule = |measure: &str, assert: &str, more: &str| {
        format!("aggregate:\n  terms:\n    x:\n      {measure}\n      of: a\n{more}  close: c\n  assert: {assert}")
    };
    let history = [ev(0, "a", 4), ev(1, "a", 1), ev(3, "a", 7), ev(3, "a", 1), ev(5, "c", 0)];
    let holds = |measure: &str, assert: &str| {
        assert_eq!(recorded(&rule(measure, assert, ""), &history), Times::from([]), "{measure}: {assert}");
        let denied = format!("\"!({assert})\"");
        assert_eq!(recorded(&rule(measure, &denied, ""), &history), Times::from([5]), "{measure}: {denied}");
    };
    holds("count: v", "x == 4");
    holds("count: v > 1", "x == 2");
    holds("sum: v", "x == 13");
    holds("avg: v", "x == 3.25");
    holds("min: v", "x == 1");
    holds("max: v", "x == 7");
    holds("first: v", "x == 4");
    holds("distinct: v", "x == 3");
    // Nearest rank: of 1, 1, 4, 7 the second, the third, the fourth.
    holds("p50: v", "x == 1");
    holds("p75: v", "x == 4");
    holds("p999: v", "x == 7");
    // 4, then 1 (anew: 1), then 1 and 7 of one timestamp, rising: 0 and 6.
    holds("increase: v", "x == 7");
    // Mean time 1.75, mean value 3.25.
    holds("slope: v", "x > 0.33 && x < 0.34");
    // Either of the last two may be the last.
    assert_eq!(recorded(&rule("last: v", "x == 7", ""), &history), Times::from([]));
    assert_eq!(recorded(&rule("last: v", "x == 1", ""), &history), Times::from([]));
    assert_eq!(recorded(&rule("last: v", "x == 4", ""), &history), Times::from([5]));
    // Nothing was measured: nothing can be said.
    assert_eq!(recorded(&rule("avg: v", "x > 100.0", ""), &[ev(5, "c", 0)]), Times::from([]));
}

#[test]
fn what_ties_with_a_close_belongs_where_it_helps_unless_strict() {
    let rule =
        "aggregate:\n  terms:\n    put:\n      count: a\n    got:\n      count: b\n  close: c\n  assert: put == got";
    let history = [ev(0, "a", 0), ev(1, "b", 0), ev(1, "c", 0), ev(2, "c", 0)];
    assert_eq!(recorded(rule, &history), Times::from([]));
    assert_eq!(recorded(&format!("{rule}\nstrict: true"), &history), Times::from([1]));
    // The other way: what ties opens the next period.
    let history = [ev(0, "a", 0), ev(0, "b", 0), ev(1, "a", 0), ev(1, "c", 0), ev(2, "c", 0)];
    assert_eq!(recorded(rule, &history), Times::from([2]));
}

#[test]
fn a_state_may_last_only_so_long_in_a_window() {
    let rule = "\
aggregate:
  terms:
    down:
      duration: v == 0
      of: a
  window: 10s
  assert: down <= duration(\"4s\")
  every: 1s";
    // Down from 2 to 6 is four seconds; one second more is too much, until that has left the window.
    assert_eq!(levels(rule, &[ev(0, "a", 1), ev(2, "a", 0), ev(6, "a", 1)]), Vec::from([]));
    assert_eq!(levels(rule, &[ev(0, "a", 1), ev(2, "a", 0), ev(7, "a", 1)]), Vec::from([(7, Some(13))]));
}

#[test]
fn an_offset_compares_with_what_was() {
    let rule = "\
aggregate:
  terms:
    now:
      count: a
    then:
      count: a
      offset: 10s
  window: 10s
  assert: now * 2 >= then";
    // Three within two seconds, then one: twice that are less than three until the first of them is twenty seconds old.
    // And when that one is ten seconds old, there is nothing to compare it with.
    let rate = [ev(0, "a", 0), ev(1, "a", 0), ev(2, "a", 0), ev(13, "a", 0)];
    assert_eq!(levels(rule, &rate), Vec::from([(12, Some(20)), (23, Some(33))]));
}

#[test]
fn a_restart_ends_what_it_is_told_to_end() {
    let pack = |more: &str| {
        format!(
            "pack: p\nlifecycle:\n  - of: [node]\n    started: s\nrules:\n  - id: r\n    key: [node]\n    monotonic:\n      event: a\n      value: v\n      order: increasing\n{more}"
        )
    };
    let history = [ev(0, "a", 7), ev(1, "s", 0), ev(2, "a", 3)];
    let found = |more: &str| {
        let mut engine = Engine::new(program_of(&pack(more)), Timing::default(), Input::Offline);
        for (number, one) in history.iter().enumerate() {
            feed::event(&mut engine, &crate::harness::event(number, one));
        }
        let mut outputs = Vec::new();
        engine.finish(true, &mut outputs);
        offline::standing(outputs).len()
    };
    assert_eq!(found(""), 1);
    assert_eq!(found("    on_restart: reset\n"), 0);
    assert_eq!(found("    on_restart: ended\n"), 0);
}

#[test]
fn spans_begin_anew() {
    let during = "\nduring:\n  after: x\n  until: y";
    let rule = format!("monotonic:\n  event: a\n  value: v\n  order: increasing{during}");
    let history = [ev(0, "x", 0), ev(1, "a", 7), ev(2, "y", 0), ev(3, "a", 1), ev(4, "x", 0), ev(5, "a", 2)];
    assert_eq!(recorded(&rule, &history), Times::from([]));
    let rule = format!("exclusive:\n  enter: a\n  exit: b\n  holder: v{during}");
    assert_eq!(recorded(&rule, &history), Times::from([]));
    let rule = format!("sequence:\n  steps:\n    - a\n    - a\n  within: 1m{during}");
    assert_eq!(recorded(&rule, &history), Times::from([]));
    assert_eq!(recorded("sequence:\n  steps:\n    - a\n    - a\n  within: 1m", &history), Times::from([3, 5]));
}

#[test]
fn a_window_too_full_to_be_kept_says_so() {
    let rule = "aggregate:\n  terms:\n    n:\n      count: a\n  window: 1h\n  assert: n < 65536";
    let mut engine = Engine::new(program(rule), Timing::default(), Input::Offline);
    let mut outputs = Vec::new();
    for number in 0..65_540_usize {
        let mut one = crate::harness::event(number, &ev(0, "a", 0));
        one.ts = Timestamp(one.ts.0 + number as u64);
        feed::event(&mut engine, &one);
    }
    engine.judge_before(Timestamp((BEGIN + 1) * 1_000_000_000), &mut outputs);
    let tally = engine.health(0).tally;
    assert_eq!((tally.violated, tally.why_unknown), (1, Some(Unknown::TooMany)));
    // What cannot be said ends the level.
    assert!(matches!(outputs.last(), Some(Output::Resolved { .. })));
}

#[test]
fn a_restart_stands_where_it_helps_among_what_ties_with_it() {
    let pack = "pack: p\nlifecycle:\n  - of: [node]\n    started: s\nrules:\n  - id: r\n    key: [node]\n    on_restart: ended\n    monotonic:\n      event: a\n      value: v\n      order: increasing\n";
    let mut engine = Engine::new(program_of(pack), Timing::default(), Input::Offline);
    let history = [ev(0, "a", 7), ev(1, "s", 0), ev(1, "a", 9), ev(1, "a", 3), ev(2, "a", 4)];
    for (number, one) in history.iter().enumerate() {
        feed::event(&mut engine, &crate::harness::event(number, one));
    }
    let mut outputs = Vec::new();
    engine.finish(true, &mut outputs);
    assert_eq!(offline::standing(outputs).len(), 0);
}

/// An event of one of two nodes, as it happens.
fn live(engine: &mut Engine, outputs: &mut Vec<Output>, node: &str, at: u64, name: &str, v: i64) {
    let ts = Timestamp((BEGIN + at) * 1_000_000_000);
    let one = Event {
        ts,
        arrived: ts,
        identity: Identity(u128::from(at) << 64 | u128::from(node.as_bytes()[0]) << 8 | name.len() as u128),
        source: Source { network: String::new(), node: node.into(), component: "c".into() },
        name: name.to_owned(),
        attrs: vec![("v".to_owned(), Value::from(v))],
        ..Event::default()
    };
    feed::event(engine, &one);
    engine.tick(ts, outputs);
}

fn violated(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Violated(_))).count()
}

#[test]
fn a_window_not_yet_covered_is_unknown() {
    let rule = "pack: p\nrules:\n  - id: r\n    key: [node]\n    aggregate:\n      terms:\n        n:\n          count: a\n      window: 20s\n      assert: n >= 3";
    let mut engine = Engine::new(program_of(rule), Timing::default(), Input::Live);
    let mut outputs = Vec::new();
    for at in (0..60).step_by(10) {
        live(&mut engine, &mut outputs, "n1", at, "a", 0);
    }
    for at in 60..70 {
        live(&mut engine, &mut outputs, "n1", at, "other", 0);
    }
    // One in ten seconds is too few, but that can be said only once the window has been heard whole.
    let onsets: Vec<u64> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Violated(violation) => Some(violation.at.0 / 1_000_000_000 - BEGIN),
            _ => None,
        })
        .collect();
    assert_eq!(onsets, [20]);
    assert_eq!(engine.health(0).tally.why_unknown, Some(Unknown::BeforeStart));
}

const LIMITED: &str = "pack: p\nrules:\n  - id: r\n    key: [node]\n    state_machine:\n      event: a\n      state: v\n      initial: any\n      transitions:\n        \"0\": [1]\n        \"1\": []\n      limits:\n        \"0\": 5s";

#[test]
fn a_limit_that_passes_while_its_node_is_silent_waits_for_the_node() {
    let mut engine = Engine::new(program_of(LIMITED), Timing::default(), Input::Live);
    let mut outputs = Vec::new();
    live(&mut engine, &mut outputs, "n1", 0, "a", 0);
    for at in 0..30 {
        live(&mut engine, &mut outputs, "other", at, "hum", 0);
    }
    assert_eq!(violated(&outputs), 0);
    assert_eq!(engine.health(0).tally.why_unknown, Some(Unknown::NodeSilent));
    live(&mut engine, &mut outputs, "n1", 30, "hum", 0);
    for at in 31..40 {
        live(&mut engine, &mut outputs, "other", at, "hum", 0);
    }
    assert_eq!(violated(&outputs), 1);
    // It leaves the state after all: late, and by whom.
    live(&mut engine, &mut outputs, "n1", 40, "a", 1);
    for at in 41..50 {
        live(&mut engine, &mut outputs, "other", at, "hum", 0);
    }
    assert!(matches!(outputs.last(), Some(Output::LateResolved { .. })));
}

#[test]
fn a_silent_node_that_leaves_the_state_as_it_is_heard_again_left_it_late() {
    let mut engine = Engine::new(program_of(LIMITED), Timing::default(), Input::Live);
    let mut outputs = Vec::new();
    live(&mut engine, &mut outputs, "n1", 0, "a", 0);
    for at in 0..30 {
        live(&mut engine, &mut outputs, "other", at, "hum", 0);
    }
    live(&mut engine, &mut outputs, "n1", 28, "a", 1);
    for at in 30..40 {
        live(&mut engine, &mut outputs, "other", at, "hum", 0);
    }
    assert_eq!(violated(&outputs), 1);
    assert!(matches!(outputs.last(), Some(Output::LateResolved { .. })));
}
