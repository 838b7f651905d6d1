//! Would a mistake be noticed? Oracles with one mistake each must part from the engine on the same random cases.
use std::collections::BTreeSet;

use rand::{SeedableRng, rngs::StdRng};

use crate::{
    case::{self, Mutant},
    compare,
    generate::{Age, KINDS, LATER, Options},
    model::Verdict,
    run::Subject,
};

/// How many of the first cases tell the engine from an oracle with that mistake.
fn noticed(mutant: Mutant, kind: &str) -> usize {
    among(mutant, kind, Age::First, 120)
}

/// The same of the cases that have what came later.
fn noticed_of_newer(mutant: Mutant, kind: &str) -> usize {
    among(mutant, kind, Age::Newer, 120)
}

/// The same of the cases that have what came last.
fn noticed_of_newest(mutant: Mutant, kind: &str) -> usize {
    among(mutant, kind, Age::Newest, 400)
}

fn among(mutant: Mutant, kind: &str, age: Age, cases: u64) -> usize {
    let options = Options { events: 24, kind: Some(kind.to_owned()), age };
    let differs = |seed: &u64| {
        let prepared = compare::prepare(*seed, &options);
        let (rules, log) = (&prepared.generated.rules, &prepared.generated.log);
        let wrong = case::verdicts(rules, log, prepared.end, mutant);
        let subject = Subject { rules, pack: prepared.pack.clone(), log, end: prepared.end };
        let said: BTreeSet<Verdict> = subject.offline(&mut StdRng::seed_from_u64(*seed)).into_values().collect();
        said != wrong
    };
    (1..=cases).filter(differs).count()
}

#[test]
fn deadline_without_its_end_is_noticed() {
    assert!(noticed(Mutant::OpenDeadline, "response") >= 5);
    assert!(noticed(Mutant::OpenDeadline, "per") >= 1);
    assert!(noticed(Mutant::OpenDeadline, "heartbeat") >= 1);
    assert!(noticed(Mutant::OpenDeadline, "agreement") >= 1);
    assert!(noticed(Mutant::OpenDeadline, "sequence") >= 1);
    assert!(noticed(Mutant::OpenDeadline, "state_machine") >= 1);
}

#[test]
fn look_back_without_its_beginning_is_noticed() {
    assert!(noticed(Mutant::OpenLookBack, "precedence") >= 5);
    assert!(noticed(Mutant::OpenLookBack, "per") >= 1);
    assert!(noticed(Mutant::OpenLookBack, "order") >= 2);
}

#[test]
fn window_with_its_beginning_is_noticed() {
    assert!(noticed(Mutant::ClosedWindow, "count") >= 2);
    assert!(noticed(Mutant::ClosedWindow, "aggregate") >= 5);
}

#[test]
fn ties_taken_in_order_of_identity_are_noticed() {
    assert!(noticed(Mutant::OrderedTies, "response") >= 5);
    assert!(noticed(Mutant::OrderedTies, "precedence") >= 5);
    assert!(noticed(Mutant::OrderedTies, "per") >= 2);
    assert!(noticed(Mutant::OrderedTies, "consecutive") >= 2);
    assert!(noticed(Mutant::OrderedTies, "monotonic") >= 5);
    assert!(noticed(Mutant::OrderedTies, "order") >= 5);
    assert!(noticed(Mutant::OrderedTies, "state_machine") >= 5);
    assert!(noticed(Mutant::OrderedTies, "aggregate") >= 1);
}

#[test]
fn restart_that_waits_for_the_deadline_is_noticed() {
    assert!(noticed(Mutant::SleepyRestart, "response") >= 3);
}

#[test]
fn interruption_that_must_not_touch_a_step_is_noticed() {
    assert!(noticed(Mutant::OpenBetween, "sequence") >= 1);
}

#[test]
fn exit_after_those_who_enter_is_noticed() {
    assert!(noticed(Mutant::LateExit, "exclusive") >= 2);
}

#[test]
fn span_that_includes_its_end_is_noticed() {
    assert!(noticed(Mutant::ClosedSpan, "never") >= 1);
    assert!(noticed(Mutant::ClosedSpan, "response") >= 2);
}

#[test]
fn clock_that_only_reaches_a_deadline_is_noticed() {
    assert!(noticed_of_newer(Mutant::EarlyTick, "response") >= 3);
    assert!(noticed_of_newer(Mutant::EarlyTick, "precedence") >= 1);
    assert!(noticed_of_newer(Mutant::EarlyTick, "per") >= 2);
}

#[test]
fn clock_without_its_guards_and_a_wait_without_end_are_noticed() {
    assert!(noticed_of_newest(Mutant::LoneClock, "response") >= 1);
    assert!(noticed_of_newest(Mutant::Credulous, "response") >= 1);
    assert!(noticed_of_newest(Mutant::Patient, "per") >= 1);
}

#[test]
fn span_that_does_not_ask_its_fact_is_noticed() {
    assert!(noticed_of_newest(Mutant::PlainSpans, "never") >= 2);
    assert!(noticed_of_newest(Mutant::PlainSpans, "response") >= 2);
}

#[test]
fn quorum_that_is_too_small_and_members_of_another_time_are_noticed() {
    assert!(noticed_of_newer(Mutant::SmallQuorum, "response") >= 3);
    assert!(noticed_of_newest(Mutant::FreeAnswers, "response") >= 1);
    assert!(noticed_of_newer(Mutant::EarlyMembers, "response") >= 5);
}

#[test]
fn key_without_the_fact_that_gives_it_is_noticed() {
    for kind in ["never", "response", "precedence", "count", "per", "agreement"] {
        assert!(noticed_of_newer(Mutant::PlainKeys, kind) >= 2, "{kind}");
    }
}

#[test]
fn derived_event_of_every_event_is_noticed() {
    for kind in ["never", "response", "precedence", "count"] {
        assert!(noticed_of_newer(Mutant::EveryFirst, kind) >= 1, "{kind}");
    }
}

#[test]
fn stretch_that_includes_the_beginning_of_the_next_is_noticed() {
    assert!(noticed_of_newer(Mutant::LongStretch, "aggregate") >= 2);
}

#[test]
fn sound_oracle_never_parts_from_the_engine() {
    for kind in KINDS.iter().chain(LATER) {
        assert_eq!(noticed(Mutant::None, kind) + among(Mutant::None, kind, Age::Newest, 120), 0, "{kind}");
    }
}
