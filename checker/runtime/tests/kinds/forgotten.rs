//! What a rule or a fact forgot because it had too much to remember is unknown: no violation is made of it.
use std::collections::BTreeSet;

use engine::{Engine, Input, Tally, Timing, Unknown, ViolationId};
use event::Timestamp;
use proptest::prelude::*;
use runtime::{feed, offline};

use crate::harness::{BEGIN, Ev, event, history, program_of};

/// One rule of each kind that judges what is not there, or that something is there too often. Left out is `consecutive`: of a
/// run that is half forgotten it finds what is so, but later than it would have been.
const RULES: &[&str] = &[
    "precedence:\n      event: b\n      requires: a",
    "precedence:\n      event: b\n      requires: a\n      within: 20s",
    "order:\n      steps:\n        - a\n        - b",
    "count:\n      of: b\n      min: 1\n      per:\n        when: a\n        before: 10s\n        within: 3s",
    "count:\n      of: b\n      min: 2\n      per:\n        when: a\n        before: 5s\n        until: c",
    "count:\n      of: b\n      max: 1",
    "response:\n      when: a\n      then: b\n      within: 4s",
    "response:\n      when: a\n      then: b\n      within: 4s\n      pair: true",
    "state_machine:\n      state:\n        one: a\n        two: b\n        three: c\n      initial: one\n      \
     transitions:\n        one: [two]\n        two: [one, three]\n        three: [one]",
    "exclusive:\n      enter: a\n      exit: b\n      holder: h",
    "sequence:\n      steps:\n        - a\n        - not: b\n        - c\n      within: 9s",
    "monotonic:\n      event: a\n      value: h\n      order: increasing\n      reset: c",
    "agreement:\n      event: a\n      value: h",
    "agreement:\n      event: a\n      value: h\n      within: 3s\n      assert: size(values) >= 2",
    "aggregate:\n      terms:\n        n:\n          count: \"1\"\n          of: b\n      close: a\n      assert: n >= 1",
];

fn pack(rule: &str, max_keys: u64) -> String {
    format!("pack: p\nrules:\n  - id: r\n    key: [v]\n    max_keys: {max_keys}\n    {rule}\n")
}

/// What is found in a recording, and live where everything comes in time, across a checkpoint after `cut` events.
fn found(pack: &str, events: &[Ev], cut: usize) -> [BTreeSet<ViolationId>; 2] {
    [Input::Offline, Input::Live].map(|input| {
        let live = matches!(input, Input::Live);
        let mut engine = Engine::new(program_of(pack), Timing::default(), input);
        let mut outputs = Vec::new();
        for (number, ev) in events.iter().enumerate() {
            let mut one = event(number, ev);
            one.arrived = one.ts;
            feed::event(&mut engine, &one);
            if live {
                engine.tick(one.arrived, &mut outputs);
            } else {
                engine.judge_before(one.ts, &mut outputs);
            }
            if live && number == cut {
                engine = Engine::restore(program_of(pack), Timing::default(), &engine.checkpoint().unwrap()).unwrap();
            }
        }
        engine.judge_before(second(90), &mut outputs);
        offline::standing(outputs).iter().map(|violation| violation.id).collect()
    })
}

fn second(at: u64) -> Timestamp {
    Timestamp((BEGIN + at) * 1_000_000_000)
}

proptest! {
    /// With as many keys as there are partitions at most, each partition keeps one.
    #[test]
    fn a_bound_invents_nothing(
        rule in prop::sample::select(RULES),
        mut events in history(&["a", "b", "c"], 90, 90),
        cut in 0_usize..90,
    ) {
        events.sort_by_key(|ev| ev.at);
        let all = found(&pack(rule, 1_000_000), &events, cut);
        let bounded = found(&pack(rule, 1), &events, cut);
        for (bounded, all) in bounded.iter().zip(&all) {
            prop_assert!(bounded.is_subset(all), "{rule}");
        }
    }
}

/// What was judged how, of a recording.
fn judged(pack: &str, events: &[Ev]) -> Tally {
    let mut engine = Engine::new(program_of(pack), Timing::default(), Input::Offline);
    for (number, ev) in events.iter().enumerate() {
        feed::event(&mut engine, &event(number, ev));
    }
    (0..900).for_each(|at| engine.judge_before(second(at), &mut Vec::new()));
    engine.tally(0)
}

fn ev(at: u64, name: &'static str, v: i64) -> Ev {
    Ev { at, name, v, h: 0 }
}

#[test]
fn what_was_forgotten_is_unknown_and_says_why() {
    let mut events: Vec<Ev> = (0..600).map(|v| ev(1, "a", v)).collect();
    events.extend((0..600).map(|v| ev(5, "b", v)));
    let tally = judged(&pack(RULES[0], 1), &events);
    assert_eq!((tally.violated, tally.why_unknown), (0, Some(Unknown::Forgotten)));
    assert_eq!(tally.held + tally.unknown, 600);
    assert!(tally.held > 0 && tally.unknown > 300, "{tally:?}");
}

#[test]
fn what_was_open_when_it_was_forgotten_is_unknown() {
    let events: Vec<Ev> = (0..600).map(|v| ev(1, "a", v)).collect();
    let tally = judged(&pack(RULES[6], 1), &events);
    assert_eq!(tally.violated + tally.unknown, 600);
    assert_eq!(tally.unknown, tally.forgotten);
}

/// Members join, and the fact keeps a few of them.
const MEMBERS: &str = "pack: p
facts:
  member:
    set_by: joined
    key: [v]
    value: \"true\"
    default: false
    max_keys: 2
rules:
  - id: r
    key: [v]
";

#[test]
fn a_condition_that_asks_for_a_forgotten_row_decides_nothing() {
    let mut events: Vec<Ev> = (0_i64..6).map(|v| ev(v.unsigned_abs(), "joined", v)).collect();
    // Time passes, and rows are counted.
    events.extend([ev(100, "joined", 9), ev(200, "joined", 9)]);
    events.extend([ev(300, "b", 1), ev(300, "b", 9)]);
    let never = judged(&format!("{MEMBERS}    never: b where !fact.member(v)\n"), &events);
    assert_eq!((never.violated, never.unknown, never.why_unknown), (0, 1, Some(Unknown::Forgotten)));
    let always = judged(&format!("{MEMBERS}    always:\n      event: b\n      assert: fact.member(v)\n"), &events);
    assert_eq!((always.violated, always.held, always.unknown), (0, 1, 1));
    assert_eq!(always.why_unknown, Some(Unknown::Forgotten));
}

#[test]
fn what_lacks_an_event_that_could_not_be_decided_on_is_unknown() {
    let mut events: Vec<Ev> = (0_i64..6).map(|v| ev(v.unsigned_abs(), "joined", v)).collect();
    events.extend([ev(100, "joined", 9), ev(200, "joined", 9)]);
    events.extend([ev(300, "a", 1), ev(300, "a", 77), ev(301, "b", 1)]);
    let rule = "    response:\n      when: a\n      then: b where fact.member(v)\n      within: 5s\n";
    let tally = judged(&format!("{MEMBERS}{rule}"), &events);
    assert_eq!((tally.violated, tally.held), (1, 0), "the one that nobody answered stays violated: {tally:?}");
    assert_eq!((tally.unknown, tally.why_unknown), (2, Some(Unknown::Forgotten)));
}

/// Who owns a thing; the fact keeps two of them.
const OWNERS: &str = "pack: p
facts:
  owner:
    set_by: joined
    key: [v]
    value: h
    max_keys: 2
rules:
  - id: r
";

/// Six things are owned, of which the fact forgets all but two.
fn owned() -> Vec<Ev> {
    let mut events: Vec<Ev> = (0_i64..6).map(|v| Ev { h: v + 10, ..ev(v.unsigned_abs(), "joined", v) }).collect();
    // Time passes, and rows are counted.
    events.extend([Ev { h: 19, ..ev(100, "joined", 9) }, Ev { h: 19, ..ev(200, "joined", 9) }]);
    events
}

/// An event of owner `h`, where the key has no thing.
fn of_owner(at: u64, name: &'static str, h: i64) -> Ev {
    Ev { at, name, v: 0, h }
}

const ASKED: &str = "\n          event: a\n          let:\n            owner: fact.owner(v)";

#[test]
fn an_event_whose_key_a_fact_has_forgotten_is_unknown() {
    let rule = format!(
        "    key: [owner]\n    response:\n      when:{ASKED}\n      then:\n        event: b\n        let:\n          owner: h\n      within: 5s\n"
    );
    let mut events = owned();
    events.extend([ev(300, "a", 1), ev(300, "a", 9), ev(310, "a", 9), of_owner(311, "b", 19)]);
    let tally = judged(&format!("{OWNERS}{rule}"), &events);
    assert_eq!((tally.violated, tally.held), (1, 1), "what is known is judged: {tally:?}");
    assert_eq!((tally.unknown, tally.why_unknown), (1, Some(Unknown::Forgotten)));
}

#[test]
fn what_lacks_an_event_whose_key_was_forgotten_is_unknown() {
    let rule = "    key: [owner]\n    response:\n      when:\n        event: b\n        let:\n          owner: h\n      \
                then:\n        event: a\n        let:\n          owner: fact.owner(v)\n      within: 5s\n";
    let mut events = owned();
    // Thing 1 was owned by somebody: any owner may have been answered for at 302.
    events.extend([of_owner(300, "b", 11), of_owner(301, "b", 77), ev(302, "a", 1), of_owner(310, "b", 11)]);
    let tally = judged(&format!("{OWNERS}{rule}"), &events);
    assert_eq!((tally.violated, tally.unknown), (1, 2), "nothing was forgotten of the last: {tally:?}");
    assert_eq!(tally.why_unknown, Some(Unknown::Forgotten));
}

#[test]
fn only_keys_that_agree_with_what_is_known_may_have_been_meant() {
    let rule = "    key: [owner, h]\n    response:\n      when:\n        event: b\n        let:\n          owner: v\n      \
                then:\n        event: a\n        let:\n          owner: fact.owner(v)\n      within: 5s\n";
    let mut events = owned();
    events.extend([Ev { h: 5, ..ev(300, "b", 11) }, Ev { h: 6, ..ev(300, "b", 11) }, Ev { h: 5, ..ev(302, "a", 1) }]);
    let tally = judged(&format!("{OWNERS}{rule}"), &events);
    assert_eq!((tally.violated, tally.unknown), (1, 1), "{tally:?}");
}

#[test]
fn a_condition_on_what_a_let_asks_of_a_forgotten_row_decides_nothing() {
    let never = "    key: [v]\n    never:\n      event: a\n      let:\n        owner: fact.owner(v)\n      where: owner != 19\n";
    let mut events = owned();
    events.extend([ev(300, "a", 1), ev(300, "a", 9)]);
    let tally = judged(&format!("{OWNERS}{never}"), &events);
    assert_eq!((tally.violated, tally.unknown, tally.why_unknown), (0, 1, Some(Unknown::Forgotten)));
    let has = never.replace("owner != 19", "\"!has(owner)\"");
    let tally = judged(&format!("{OWNERS}{has}"), &events);
    assert_eq!((tally.violated, tally.unknown), (0, 1), "nobody knows whether it has one: {tally:?}");
    let always = "    key: [v]\n    always:\n      event:\n        event: a\n        let:\n          owner: fact.owner(v)\n      assert: owner == 19\n";
    let tally = judged(&format!("{OWNERS}{always}"), &events);
    assert_eq!((tally.violated, tally.held, tally.unknown), (0, 1, 1), "{tally:?}");
}

#[test]
fn an_event_for_each_row_of_a_fact_that_has_forgotten_some_is_unknown() {
    let rows = OWNERS.replace("    key: [v]\n    value: h\n", "    row: [h]\n");
    let rule = "    key: [owner]\n    response:\n      when:\n        event: a\n        for_each:\n          in: fact.owner()\n          as: owner\n      \
                then:\n        event: b\n        let:\n          owner: h\n      within: 5s\n";
    let mut events = owned();
    events.extend([ev(300, "a", 1), ev(340, "a", 1)]);
    let tally = judged(&format!("{rows}{rule}"), &events);
    assert_eq!((tally.violated, tally.held), (0, 0), "{tally:?}");
    assert_eq!((tally.unknown, tally.why_unknown), (2, Some(Unknown::Forgotten)));
    let answered = "    key: [owner]\n    response:\n      when:\n        event: b\n        let:\n          owner: h\n      \
                    then:\n        event: a\n        for_each:\n          in: fact.owner()\n          as: owner\n      within: 5s\n";
    let mut events = owned();
    events.extend([of_owner(300, "b", 11), ev(302, "a", 1), of_owner(320, "b", 11)]);
    let tally = judged(&format!("{rows}{answered}"), &events);
    assert_eq!((tally.violated, tally.unknown), (1, 1), "{tally:?}");
}

#[test]
fn support_whose_key_was_forgotten_excuses_what_comes_after_it() {
    let rule = "    key: [owner]\n    precedence:\n      event:\n        event: b\n        let:\n          owner: h\n      \
                requires:\n        event: a\n        let:\n          owner: fact.owner(v)\n      within: 20s\n";
    let mut events = owned();
    events.extend([of_owner(290, "b", 11), ev(300, "a", 1), of_owner(310, "b", 11), of_owner(321, "b", 11)]);
    let tally = judged(&format!("{OWNERS}{rule}"), &events);
    assert_eq!((tally.violated, tally.unknown), (2, 1), "{tally:?}");
}

/// Live, where the last events come after the frontier has passed their times.
fn judged_late(pack: &str, events: &[Ev], late: &[(Ev, u64)]) -> (Tally, BTreeSet<ViolationId>) {
    let mut engine = Engine::new(program_of(pack), Timing::default(), Input::Live);
    let mut outputs = Vec::new();
    let mut late = late.iter().peekable();
    let mut events = events.iter().enumerate().peekable();
    for now in 0..400 {
        while let Some((number, ev)) = events.next_if(|(_, ev)| ev.at <= now) {
            let mut one = event(number, ev);
            one.arrived = one.ts;
            feed::event(&mut engine, &one);
        }
        while let Some((ev, _)) = late.next_if(|(_, arrives)| *arrives <= now) {
            let mut one = event(1_000 + usize::try_from(now).unwrap(), ev);
            one.arrived = second(now);
            feed::event(&mut engine, &one);
        }
        engine.tick(second(now), &mut outputs);
        if now == 330 {
            engine = Engine::restore(program_of(pack), Timing::default(), &engine.checkpoint().unwrap()).unwrap();
        }
    }
    (engine.tally(0), offline::standing(outputs).iter().map(|violation| violation.id).collect())
}

#[test]
fn what_was_undecided_is_judged_when_late_evidence_tells_what_was_forgotten() {
    let rule = "    key: [owner]\n    response:\n      when:\n        event: b\n        let:\n          owner: h\n      \
                then:\n        event: a\n        let:\n          owner: fact.owner(v)\n      within: 5s\n";
    let pack = format!("{OWNERS}{rule}");
    let mut events = owned();
    events.extend([of_owner(300, "b", 11), of_owner(300, "b", 12), ev(302, "a", 1)]);
    let (tally, violations) = judged_late(&pack, &events, &[]);
    assert_eq!((tally.unknown, violations.len()), (2, 0), "{tally:?}");
    // Somebody says late who owned it: what answered is known, and so is who was not answered.
    let told = [(Ev { h: 11, ..ev(301, "joined", 1) }, 340)];
    let (_, violations) = judged_late(&pack, &events, &told);
    assert_eq!(violations.len(), 1);
}
