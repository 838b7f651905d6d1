//! The engine against an oracle: for each kind a direct reading of its definition over the finished set of events, with
//! nested loops and no memory from event to event, sharing no code with the engine.
//!
//! Random small packs over random small logs; the engine's verdicts must be the oracle's, offline and live, whatever the
//! order of arrival, the repeats, the cuts between requests, the lateness and the restarts. `ORACLE_SEEDS=100000` runs
//! so many cases, `ORACLE_FROM=17` starts at that seed, `ORACLE_EVENTS=40` makes logs of so many events, and
//! `ORACLE_KIND=response` keeps to one kind.
#![expect(unreachable_pub, reason = "a test binary has no outside")]
#![expect(clippy::print_stdout, reason = "a long run says what it compared")]

mod aggregate;
mod agreement;
mod case;
mod clocks;
mod compare;
mod consecutive;
mod count;
mod exclusive;
mod generate;
mod heartbeat;
mod members;
mod model;
mod monotonic;
mod mutants;
mod order;
mod point;
mod precedence;
mod render;
mod response;
mod run;
mod sequence;
mod state_machine;

use generate::{Age, Options};

#[test]
fn engine_and_oracle_agree_on_random_packs_and_logs() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().expect(name));
    let (from, seeds) = (number("ORACLE_FROM", 1), number("ORACLE_SEEDS", 300));
    let options = Options {
        events: usize::try_from(number("ORACLE_EVENTS", 24)).unwrap(),
        kind: std::env::var("ORACLE_KIND").ok(),
        age: Age::Newest,
    };
    let mut compared = compare::Compared::default();
    for seed in from..from + seeds {
        compare::case(seed, &options, &mut compared);
    }
    println!("seeds {from} to {}: {compared}", from + seeds - 1);
    assert!(compared.violations > 0, "nothing was ever violated: the cases show nothing");
}

#[test]
fn seeds_that_once_parted_them_agree() {
    let any = [22_586, 104_543, 123_425, 269_873, 373_521, 398_601, 514_377];
    let of_kind =
        [("response", 61), ("per", 97), ("never", 6_352), ("precedence", 5_648), ("count", 1_738), ("heartbeat", 58)];
    let kinds =
        any.map(|seed| (None, seed)).into_iter().chain(of_kind.map(|(kind, seed)| (Some(kind.to_owned()), seed)));
    for seed in [2_076, 624_505] {
        compare::case(seed, &Options { events: 24, kind: None, age: Age::Newer }, &mut compare::Compared::default());
    }
    let response = Some("response".to_owned());
    let any_newest = [630_316, 651_021, 901_525, 938_599, 947_556, 952_040, 1_313_590, 1_331_135, 1_357_571, 1_619_021]
        .map(|seed| (None, seed));
    for (kind, seed) in any_newest.into_iter().chain([(response, 1_465)]) {
        compare::case(seed, &Options { events: 24, kind, age: Age::Newest }, &mut compare::Compared::default());
    }
    for (kind, seed) in kinds {
        compare::case(seed, &Options { events: 24, kind, age: Age::First }, &mut compare::Compared::default());
    }
}
