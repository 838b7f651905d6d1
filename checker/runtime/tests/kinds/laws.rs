//! What holds for every history.
use proptest::prelude::*;

use crate::{
    harness::{Ev, both_ways, history, levels, recorded},
    naive,
};

const MONOTONIC: &str = "monotonic:\n  event: a\n  value: v\n  order: increasing\n  reset: r";
const MACHINE: &str = "\
state_machine:
  event: a
  state: v
  initial: any
  transitions:
    \"0\": [1]
    \"1\": [2, 0]
    \"2\": [3, 1]
    \"3\": []
  terminal: [3]";
const LIMITED: &str = "\
state_machine:
  state:
    x: a
    y: b
    z: c
  initial: x
  transitions:
    x: [y]
    y: [z, x]
    z: [x]
  limits:
    y: 5s";
const ORDER: &str = "\
order:
  steps:
    - a
    - event: b
      if: false
    - c
  within: 8s";
const SEQUENCE: &str = "sequence:\n  steps:\n    - a\n    - not: n\n    - b\n    - c\n  within: 10s";
const CHOOSY: &str = "\
sequence:
  steps:
    - event: a
      as: one
    - event: b
      where: v > one.v
    - event: c
      where: v == one.v
  within: 10s";
const EXCLUSIVE: &str = "exclusive:\n  enter: a\n  exit: b\n  holder: h";
const LEASE: &str = "exclusive:\n  enter: a\n  exit: b\n  renew: c\n  ttl: 5s\n  holder: h\n  max: 2";
const PRECEDENCE: &str = "precedence:\n  event: b\n  requires: a\n  within: 6s";
const RESPONSE: &str = "response:\n  when: a\n  then: b\n  within: 4s";
const CONSECUTIVE: &str = "consecutive:\n  fail: a\n  ok: b\n  count: 3";
const ALL_CLOSED: &str = "\
aggregate:
  each:
    in: '[0, 1, 2]'
    as: h
  terms:
    put:
      sum: v
      of: a
    got:
      sum: v
      of: b
  close: c
  assert: put >= got";
const COUNTED: &str = "\
aggregate:
  terms:
    n:
      count: a
    high:
      max: v
      of: a
    total:
      sum: v
      of: b
  window: 5s
  assert: n <= 3 && total < 6";
const SAMPLED: &str = "\
aggregate:
  terms:
    x:
      p50: v
      of: a
    y:
      distinct: v
      of: a
      offset: 3s
    z:
      increase: v
      of: b
  window: 6s
  assert: y < 3 && (!has(x) || x < 4) && (!has(z) || z < 7)
  every: 2s";
const CLOSED: &str = "\
aggregate:
  terms:
    put:
      sum: v
      of: a
    got:
      sum: v
      of: b
  close: c
  assert: put >= got";
const COUNT: &str = "count:\n  of: a\n  max: 2\n  window: 5s";
const GAUGE: &str = "always:\n  event: a\n  assert: v < 3\nfor: 4s\nstale_after: 7s";

fn with(rule: &str, more: &str) -> String {
    format!("{rule}\n{more}")
}

const ABC: &[&str] = &["a", "b", "c"];
const ALL: &[&str] = &["a", "b", "c", "n", "r"];

fn only(events: &[Ev], name: &str) -> Vec<Ev> {
    events.iter().filter(|ev| ev.name == name).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn monotonic_means_each_value_against_the_one_before(events in history(&["a"], 8, 12)) {
        let rule = "monotonic:\n  event: a\n  value: v\n  order: increasing";
        prop_assert_eq!(recorded(rule, &events), naive::monotonic(&events, false));
        let rule = "monotonic:\n  event: a\n  value: v\n  order: nondecreasing";
        prop_assert_eq!(recorded(rule, &events), naive::monotonic(&events, true));
    }

    #[test]
    fn state_machine_is_broken_when_no_order_is_lawful(events in history(&["a"], 4, 10)) {
        let lawful = |from: i64, to: i64| matches!((from, to), (0, 1) | (1, 2 | 0) | (2, 3 | 1));
        let busy = events.iter().any(|ev| events.iter().filter(|other| other.at == ev.at).count() > 6);
        prop_assume!(!busy);
        let first = recorded(MACHINE, &events).first().copied();
        prop_assert_eq!(first, naive::state_machine(&events, lawful, 3));
    }

    #[test]
    fn order_means_earlier_steps_before_and_optional_ones_not_after(events in history(ABC, 4, 12)) {
        prop_assert_eq!(recorded(ORDER, &events), naive::order(&events, 8, 0, false));
        prop_assert_eq!(recorded(&with(ORDER, "slack: 2s"), &events), naive::order(&events, 8, 2, false));
        prop_assert_eq!(recorded(&with(ORDER, "strict: true"), &events), naive::order(&events, 8, 0, true));
    }

    #[test]
    fn sequence_means_the_whole_of_it(events in history(&["a", "b", "c", "n"], 4, 14)) {
        prop_assert_eq!(recorded(SEQUENCE, &events), naive::sequence(&events, 10, false));
        prop_assert_eq!(recorded(&with(SEQUENCE, "strict: true"), &events), naive::sequence(&events, 10, true));
    }

    #[test]
    fn exclusive_means_no_more_at_once(events in history(&["a", "b"], 4, 12)) {
        // Who enters and leaves at one time is the documentation's business.
        let passing = events.iter().any(|a| {
            a.name == "a" && events.iter().any(|b| b.name == "b" && b.at == a.at && b.h == a.h)
        });
        prop_assume!(!passing);
        prop_assert_eq!(recorded(EXCLUSIVE, &events), naive::exclusive(&events, 1));
        prop_assert_eq!(recorded(&with(EXCLUSIVE, "  max: 2"), &events), naive::exclusive(&events, 2));
    }

    #[test]
    fn slack_and_strictness_move_the_edge_of_an_order(events in history(&["a", "b"], 4, 12)) {
        prop_assert_eq!(recorded(PRECEDENCE, &events), naive::precedence(&events, 6, 0, false));
        prop_assert_eq!(recorded(&with(PRECEDENCE, "slack: 2s"), &events), naive::precedence(&events, 6, 2, false));
        prop_assert_eq!(recorded(&with(PRECEDENCE, "strict: true"), &events), naive::precedence(&events, 6, 0, true));
        prop_assert_eq!(recorded(RESPONSE, &events), naive::response(&events, 4, 0, false));
        prop_assert_eq!(recorded(&with(RESPONSE, "slack: 2s"), &events), naive::response(&events, 4, 2, false));
        prop_assert_eq!(recorded(&with(RESPONSE, "strict: true"), &events), naive::response(&events, 4, 0, true));
    }

    #[test]
    fn aggregate_levels_last_as_long_as_the_assertion_is_false(events in history(&["a", "b"], 4, 14)) {
        let bad = |at| {
            let total: i64 = naive::window(&events, "b", at, 5).iter().sum();
            naive::window(&events, "a", at, 5).len() > 3 || total >= 6
        };
        prop_assert_eq!(levels(COUNTED, &events), naive::lasting(bad, 90, 0));
        prop_assert_eq!(levels(&with(COUNTED, "for: 2s"), &events), naive::lasting(bad, 90, 2));
    }

    #[test]
    fn aggregate_closes_its_books(events in history(ABC, 4, 14)) {
        // A time at which both sides and the close meet may be read either way: that is the documentation's business.
        let tied = events.iter().any(|c| c.name == "c" && events.iter().any(|ev| ev.at == c.at && ev.name != "c"));
        prop_assume!(!tied);
        let mut closes: Vec<u64> = only(&events, "c").iter().map(|ev| ev.at).collect();
        closes.sort_unstable();
        closes.dedup();
        let closes_of_all = closes.clone();
        let mut from = 0;
        let mut expected = Vec::new();
        for close in closes {
            let sum = |name: &str| -> i64 {
                only(&events, name).iter().filter(|ev| ev.at >= from && ev.at < close).map(|ev| ev.v).sum()
            };
            if sum("a") < sum("b") {
                expected.push(close);
            }
            from = close;
        }
        prop_assert_eq!(recorded(CLOSED, &events), expected);
        let mut from = 0;
        let mut expected = Vec::new();
        for close in closes_of_all {
            for h in 0..3 {
                let sum = |name: &str| -> i64 {
                    let own = only(&events, name).into_iter().filter(|ev| ev.h == h && ev.at >= from && ev.at < close);
                    own.map(|ev| ev.v).sum()
                };
                if sum("a") < sum("b") {
                    expected.push(close);
                }
            }
            from = close;
        }
        prop_assert_eq!(recorded(ALL_CLOSED, &events), expected);
    }

    #[test]
    fn the_first_of_each_key_is_the_first_in_event_time(events in history(&["a", "b"], 4, 14)) {
        let rule = "pack: p\nderive:\n  begun:\n    from: a\n    first_per: [h]\n    set:\n      h: h\nrules:\n  - id: r\n    key: [h]\n    never: begun\n";
        let mut firsts: Vec<u64> =
            (0..3).filter_map(|h| only(&events, "a").iter().filter(|ev| ev.h == h).map(|ev| ev.at).min()).collect();
        firsts.sort_unstable();
        prop_assert_eq!(recorded(rule, &events), firsts);
    }

    #[test]
    fn an_event_is_one_for_each_row_that_holds_at_its_time(events in history(&["c", "n", "r"], 3, 16)) {
        let rule = "pack: p\nfacts:\n  members:\n    row: [v]\n    set_by: n\n    unset_by: r\nrules:\n  - id: r\n    key: [m]\n    never:\n      event: c\n      for_each:\n        in: fact.members()\n        as: m\n      where: m > 0\n";
        let holds = |v: i64, at: u64| {
            let own = events.iter().filter(|ev| ev.v == v && ev.at <= at && matches!(ev.name, "n" | "r"));
            // What is unset and set at one time is set.
            own.max_by_key(|ev| (ev.at, ev.name == "n")).is_some_and(|ev| ev.name == "n")
        };
        let mut expected: Vec<u64> = Vec::new();
        for asking in only(&events, "c") {
            expected.extend((1..3).filter(|v| holds(*v, asking.at)).map(|_| asking.at));
        }
        expected.sort_unstable();
        prop_assert_eq!(recorded(rule, &events), expected);
    }

    #[test]
    fn a_look_back_in_ticks_is_a_deadline_in_ticks_seen_from_its_end(events in history(&["a", "b", "n"], 4, 16)) {
        let rule = "pack: p\nclocks:\n  height:\n    event: n\n    value: v\nrules:\n  - id: r\n    key: []\n    precedence:\n      event: b\n      requires: a\n      within: 1 height\n";
        let stands = |at: u64| only(&events, "n").iter().filter(|ev| ev.at <= at).map(|ev| ev.v).max();
        // A clock that does not run yet starts with its first tick.
        let first = only(&events, "n").iter().map(|ev| ev.at).min().and_then(stands);
        let in_time = |from: u64, to: u64| {
            let begins = stands(from).or(first);
            let exceeded = (0..to).any(|at| stands(at).zip(begins).is_some_and(|(stands, begins)| stands > begins + 1));
            from <= to && !exceeded
        };
        let supports = only(&events, "a");
        let mut lacking: Vec<u64> = only(&events, "b").iter().map(|ev| ev.at).collect();
        lacking.retain(|at| !supports.iter().any(|support| in_time(support.at, *at)));
        lacking.sort_unstable();
        prop_assert_eq!(recorded(rule, &events), lacking);
    }

    #[test]
    fn count_levels_last_as_long_as_the_window_is_too_full(events in history(&["a"], 2, 14)) {
        let bad = |at| naive::window(&events, "a", at, 5).len() > 2;
        prop_assert_eq!(levels(COUNT, &events), naive::lasting(bad, 90, 0));
        prop_assert_eq!(levels(&with(COUNT, "for: 2s"), &events), naive::lasting(bad, 90, 2));
    }

    #[test]
    fn gauge_is_broken_when_it_is_bad_for_longer(events in history(&["a"], 5, 12)) {
        let bad = |at| naive::gauge(&events, "a", at, 7, 3);
        prop_assert_eq!(levels(GAUGE, &events), naive::lasting(bad, 90, 4));
    }

}

proptest! {
    // Each history is judged by many rules, twice.
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_are_a_function_of_the_set_of_events(
        (events, order) in history(ALL, 4, 14).prop_flat_map(|events| {
            let order: Vec<usize> = (0..events.len()).collect();
            (Just(events), Just(order).prop_shuffle())
        }),
        cut in 0_usize..14,
    ) {
        let rules = [
            MONOTONIC, MACHINE, LIMITED, ORDER, SEQUENCE, CHOOSY, EXCLUSIVE, LEASE, PRECEDENCE, RESPONSE, CONSECUTIVE,
            COUNT, COUNTED, SAMPLED, CLOSED, ALL_CLOSED, GAUGE,
        ];
        for rule in rules {
            let variants = match rule {
                ORDER | PRECEDENCE | RESPONSE => vec![String::new(), "slack: 2s".into(), "strict: true".into(), "by: h".into()],
                GAUGE => vec![String::new(), "strict: true".into()],
                COUNT => vec![String::new(), "for: 2s".into()],
                COUNTED => vec![String::new(), "for: 2s".into(), "strict: true".into()],
                SAMPLED => vec![String::new(), "for: 3s".into()],
                CLOSED | ALL_CLOSED | MONOTONIC | LEASE => vec![String::new(), "strict: true".into()],
                _ => vec![String::new(), "strict: true".into(), "by: h".into()],
            };
            for more in variants {
                let rule = with(rule, &more);
                let [recorded, live] = both_ways(&rule, &events, &order, cut);
                prop_assert_eq!(recorded, live, "{}", rule);
            }
        }
    }
}
