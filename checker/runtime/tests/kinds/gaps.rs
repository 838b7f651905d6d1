//! What a verdict misses may have come and never been judged: refused, too late, from the future. Then it is unknown.
use engine::{Engine, Input, Output, Timing, Unknown};
use event::{Event, Identity, Source, Timestamp, Value};
use runtime::feed;

use crate::harness::{BEGIN, program_of};

fn second(at: u64) -> Timestamp {
    Timestamp((BEGIN + at) * 1_000_000_000)
}

/// What comes at a second from a node: an event with its value, or one that was refused.
struct Comes {
    at: u64,
    node: &'static str,
    name: &'static str,
    value: Option<i64>,
    /// When it arrives.
    came: u64,
}

fn ev(at: u64, name: &'static str, value: i64) -> Comes {
    Comes { at, node: "n1", name, value: Some(value), came: at }
}

fn refused(at: u64, name: &'static str) -> Comes {
    Comes { at, node: "n1", name, value: None, came: at }
}

/// Judges what comes, while both nodes are heard each second.
fn judged(rule: &str, history: &[Comes]) -> Engine {
    judged_until(rule, history, 40).0
}

/// Stands for a time of which what was accepted is lost.
const LOST: &str = "(lost)";

fn judged_until(rule: &str, history: &[Comes], end: u64) -> (Engine, Vec<Output>) {
    let body: String = rule.lines().map(|line| format!("    {line}\n")).collect();
    let pack = format!("pack: p\nrules:\n  - id: r\n{body}");
    let mut engine = Engine::new(program_of(&pack), Timing::default(), Input::Live);
    let mut outputs = Vec::new();
    let mut number = 0_u128;
    let mut take = |engine: &mut Engine, node: &str, at: Timestamp, name: &str, value: i64| {
        number += 1;
        let one = Event {
            ts: at,
            arrived: at,
            identity: Identity(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            source: Source { network: String::new(), node: node.into(), component: "c".into() },
            name: name.to_owned(),
            attrs: vec![("v".to_owned(), Value::from(value)), ("by".to_owned(), Value::from(node))],
            ..Event::default()
        };
        feed::event(engine, &one);
    };
    // Both nodes were there long before.
    for node in ["n1", "n2"] {
        take(&mut engine, node, Timestamp((BEGIN - 100_000) * 1_000_000_000), "first", 0);
    }
    for at in 0..end {
        for node in ["n1", "n2"] {
            take(&mut engine, node, second(at), "hum", 0);
        }
        for comes in history.iter().filter(|comes| comes.came == at) {
            let at = second(comes.at);
            match comes.value {
                Some(value) => take(&mut engine, comes.node, at, comes.name, value),
                None if comes.name == LOST => engine.lost(at, at),
                None => engine.refused("", comes.node, comes.name, at),
            }
        }
        engine.tick(second(at), &mut outputs);
    }
    (engine, outputs)
}

/// The rule is broken by this history, and unknown as soon as an event of that name was refused within it, or may have been
/// lost.
fn is_excused(rule: &str, history: impl Fn() -> Vec<Comes>, hidden: &'static str, at: u64) {
    let tally = judged(rule, &history()).health(0).tally;
    assert_eq!((tally.violated, tally.unknown), (1, 0), "without a gap: {rule}");
    let with = |name: &'static str, at: u64| {
        let mut history = history();
        history.insert(0, refused(at, name));
        judged(rule, &history).health(0).tally
    };
    let tally = with(hidden, at);
    assert_eq!((tally.violated, tally.why_unknown), (0, Some(Unknown::Refused)), "with a gap: {rule}");
    // Nobody asks for that one.
    let tally = with("chatter", at);
    assert_eq!((tally.violated, tally.unknown), (1, 0), "with a gap that does not matter: {rule}");
    // Of one whose name is not known, any may be thought.
    let tally = with("", at);
    assert_eq!((tally.violated, tally.why_unknown), (0, Some(Unknown::Refused)), "with a nameless gap: {rule}");
    let tally = with(LOST, at);
    assert_eq!((tally.violated, tally.why_unknown), (0, Some(Unknown::Lost)), "with a time that is lost: {rule}");
    // In whatever order they came: what was said before the gap is known is taken back.
    let came_later = |name: &'static str| {
        let mut history = history();
        history.push(Comes { came: 35, ..refused(at, name) });
        let (engine, outputs) = judged_until(rule, &history, 40);
        let retracted = outputs.iter().filter(|output| matches!(output, Output::Retracted { .. })).count();
        let tally = engine.health(0).tally;
        assert_eq!(tally.retracted, retracted as u64);
        (tally.violated, tally.retracted, tally.unknown)
    };
    assert_eq!(came_later(hidden), (1, 1, 1), "with a gap that comes later: {rule}");
    assert_eq!(came_later(""), (1, 1, 1), "with a nameless gap that comes later: {rule}");
    assert_eq!(came_later(LOST), (1, 1, 1), "with a time that turns out to be lost: {rule}");
    assert_eq!(came_later("chatter"), (1, 0, 0), "with a gap that comes later and does not matter: {rule}");
}

#[test]
fn an_answer_that_was_refused_is_not_missed() {
    let rule = "key: [node]\nresponse:\n  when: asked\n  then: answered\n  within: 5s";
    is_excused(rule, || vec![ev(3, "asked", 0)], "answered", 5);
    is_excused(&rule.replace("[node]", "[v]"), || vec![ev(3, "asked", 0)], "answered", 5);
    let tally = judged(rule, &[ev(3, "asked", 0), refused(9, "answered")]).health(0).tally;
    assert_eq!(tally.violated, 1, "it came after the deadline");
}

#[test]
fn support_that_was_refused_is_not_missed() {
    let rule = "key: [node]\nprecedence:\n  event: done\n  requires: allowed\n  within: 10s";
    is_excused(rule, || vec![ev(12, "done", 0)], "allowed", 2);
    let tally = judged(rule, &[refused(1, "allowed"), ev(12, "done", 0)]).health(0).tally;
    assert_eq!(tally.violated, 1, "it came before the look-back");
    let since = "key: [node]\nprecedence:\n  event: done\n  requires: allowed\n  since: began";
    let tally = judged(since, &[refused(2, "allowed"), ev(3, "began", 0), ev(12, "done", 0)]).health(0).tally;
    assert_eq!(tally.violated, 1, "it came before the opener");
}

#[test]
fn a_step_that_was_refused_is_not_missed() {
    is_excused("key: [node]\norder:\n  steps: [one, two]", || vec![ev(12, "two", 0)], "one", 2);
}

#[test]
fn an_exit_that_was_refused_may_have_made_room() {
    let rule = "key: [node]\nexclusive:\n  enter: entered\n  exit: left\n  holder: v";
    is_excused(rule, || vec![ev(3, "entered", 1), ev(9, "entered", 2)], "left", 5);
}

#[test]
fn a_transition_that_was_refused_may_have_been_between() {
    let rule = "key: [node]\nstate_machine:\n  event: moved\n  state: v\n  initial: any\n  transitions:\n    \"0\": [1]\n    \"1\": [2]\n    \"2\": []";
    is_excused(rule, || vec![ev(3, "moved", 0), ev(9, "moved", 2)], "moved", 5);
}

#[test]
fn a_success_that_was_refused_may_have_been_between() {
    let rule = "key: [node]\nconsecutive:\n  fail: failed\n  ok: worked\n  count: 2";
    is_excused(rule, || vec![ev(3, "failed", 0), ev(9, "failed", 0)], "worked", 5);
}

#[test]
fn an_interruption_that_was_refused_may_have_been_between() {
    let rule = "key: [node]\nsequence:\n  steps: [one, {not: saved}, two]\n  within: 20s";
    is_excused(rule, || vec![ev(3, "one", 0), ev(9, "two", 0)], "saved", 5);
}

#[test]
fn too_few_may_have_been_enough() {
    let rule = "key: [node]\ncount:\n  of: tried\n  min: 1\n  per:\n    when: began\n    within: 5s";
    is_excused(rule, || vec![ev(3, "began", 0)], "tried", 5);
    let rule = "key: [node]\ncount:\n  of: tried\n  min: 1\n  per:\n    when: began\n    before: 2s\n    until: ended";
    let history = || vec![ev(3, "began", 0), ev(9, "ended", 0)];
    is_excused(rule, history, "tried", 5);
    is_excused(rule, history, "tried", 1);
}

#[test]
fn a_sign_of_life_that_was_refused_is_one() {
    let rule = "key: [node]\nheartbeat:\n  event: beat\n  every: 20s";
    is_excused(rule, || vec![ev(3, "beat", 0)], "beat", 8);
}

#[test]
fn a_member_whose_answer_was_refused_is_not_missed() {
    let asks =
        |from: &str| format!("key: [v]\nresponse:\n  when: asked\n  then: answered\n  within: 5s\n  from:\n    {from}");
    let each = asks("each: live(\"c\")");
    let answered = |node| Comes { node, ..ev(4, "answered", 0) };
    is_excused(&each, || vec![ev(3, "asked", 0), answered("n2")], "answered", 5);
    // The other one is missed all the same.
    let tally = judged(&each, &[ev(3, "asked", 0), refused(5, "answered")]).health(0).tally;
    assert_eq!((tally.violated, tally.unknown), (1, 1));
    let quorum = asks("quorum: \"> 2/3\"\n    of: live(\"c\")");
    is_excused(&quorum, || vec![ev(3, "asked", 0), answered("n2")], "answered", 5);
    let tally = judged(&quorum, &[ev(3, "asked", 0), refused(5, "answered")]).health(0).tally;
    assert_eq!(tally.violated, 1, "one hidden answer of two is no quorum");
}

#[test]
fn a_vote_that_was_refused_may_have_decided() {
    let rule =
        "key: [v]\nagreement:\n  event: voted\n  value: by\n  among: [node]\n  within: 5s\n  assert: dissent == 0";
    let voted = |node| Comes { node, ..ev(4, "voted", 0) };
    is_excused(rule, || vec![voted("n1"), voted("n2")], "voted", 6);
    let mut history = vec![voted("n1"), voted("n2")];
    history.push(refused(20, "voted"));
    assert_eq!(judged(rule, &history).health(0).tally.violated, 1, "it came after the vote");
}

#[test]
fn a_gap_of_another_node_takes_nothing_back() {
    let rule = "key: [node]\nresponse:\n  when: asked\n  then: answered\n  within: 5s";
    let other = Comes { node: "n2", came: 35, ..refused(5, "answered") };
    let (engine, _) = judged_until(rule, &[ev(3, "asked", 0), other], 40);
    assert_eq!((engine.health(0).tally.violated, engine.health(0).tally.retracted), (1, 0));
}

#[test]
fn what_is_refused_too_late_to_correct_anything_corrects_nothing() {
    let rule = "key: [node]\nresponse:\n  when: asked\n  then: answered\n  within: 5s";
    let late = |came| Comes { came, ..refused(5, "answered") };
    for (came, retracted) in [(200, 1), (500, 0)] {
        let (engine, _) = judged_until(rule, &[ev(3, "asked", 0), late(came)], 520);
        assert_eq!((engine.health(0).tally.violated, engine.health(0).tally.retracted), (1, retracted), "{came}");
    }
}

#[test]
fn what_was_said_before_stays_said() {
    let rule = "key: [node]\nresponse:\n  when: asked\n  then: answered\n  within: 5s";
    let (engine, outputs) = judged_until(rule, &[ev(3, "asked", 0), refused(30, "hum")], 32);
    assert_eq!(engine.health(0).tally.violated, 1);
    assert!(!outputs.iter().any(|output| matches!(output, Output::Retracted { .. })));
}
