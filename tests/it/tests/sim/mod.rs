//! A whole Invar in a simulated world: the real journal, checker, engine, store and delivery, over a disk, a clock, a network
//! and receivers that are simulated and fail by a seed; requests come to the journal or through the real receivers, in every form
//! and encoding. What it finds and whom it tells must be what a calm run of the same
//! events finds and tells, however often it is killed on the way.
//!
//! Nothing runs beside anything else in a world: every step is taken by [`run`], in an order that follows from the seed, so that a seed
//! that failed fails again. `INVAR_SIM_SEED=7` runs one, with its story; `INVAR_SIM_SEEDS=10000` runs so many.
mod changes;
mod compare;
mod damage;
mod door;
mod faults;
mod machine;
mod pager;
mod run;
mod script;
mod sender;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use compare::Outcome;
use faults::Faults;
use run::Story;
use script::Script;

/// How many seeds CI tries.
const SEEDS: u64 = 100;

/// So many seeds share a script, and with it the calm run that they are compared with.
const SEEDS_PER_SCRIPT: u64 = 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn calm(script: &Script) -> Outcome {
    let story = run::run(script, 0, Faults::none()).await;
    assert!(story.problems.is_empty(), "a calm run went wrong: {:#?}", story.problems);
    story.outcome
}

async fn troubled(script: &Script, seed: u64) -> Story {
    run::run(script, seed, Faults::of(seed)).await
}

/// What is wrong with a troubled run.
fn problems(calm: &Outcome, troubled: &Story) -> Vec<String> {
    let mut problems = troubled.problems.clone();
    problems.extend(calm.differences(&troubled.outcome));
    problems
}

/// How often what went wrong, and how many violations there were to be found.
type Totals = BTreeMap<&'static str, u64>;

/// Runs those of the seeds that share a script; with `aloud` their stories are told.
#[expect(clippy::print_stdout, reason = "whoever asks for one seed wants its story")]
async fn compare(number: u64, seeds: &Range<u64>, aloud: bool) -> Totals {
    let script = Script::of(number);
    let calm = calm(&script).await;
    let mut totals = Totals::new();
    let first = number * SEEDS_PER_SCRIPT;
    for seed in first.max(seeds.start)..(first + SEEDS_PER_SCRIPT).min(seeds.end) {
        let troubled = troubled(&script, seed).await;
        if aloud {
            println!("{}", troubled.told.join("\n"));
        }
        let problems = problems(&calm, &troubled);
        assert!(
            problems.is_empty(),
            "INVAR_SIM_SEED={seed} repeats this:\n{}\n{} things went wrong:\n{}",
            troubled.last(40),
            problems.len(),
            problems.join("\n")
        );
        for (what, times) in &troubled.counts {
            *totals.entry(what).or_default() += times;
        }
        *totals.entry("violation that stands").or_default() += calm.violations.len() as u64;
    }
    totals
}

#[test]
#[expect(clippy::print_stdout, reason = "a long run says what it compared")]
fn faults_change_nothing_that_is_found_or_told() {
    let only = number("INVAR_SIM_SEED");
    let from = only.unwrap_or_else(|| number("INVAR_SIM_FROM").unwrap_or(0));
    let seeds = from..from + only.map_or_else(|| number("INVAR_SIM_SEEDS").unwrap_or(SEEDS), |_| 1);
    let started = Instant::now();
    let next = AtomicU64::new(seeds.start / SEEDS_PER_SCRIPT);
    let totals = Mutex::new(Totals::new());
    // Scripts run beside one another: each in a world of its own, on one thread.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                runtime().block_on(async {
                    loop {
                        let script = next.fetch_add(1, Ordering::Relaxed);
                        if script * SEEDS_PER_SCRIPT >= seeds.end {
                            return;
                        }
                        for (what, times) in compare(script, &seeds, only.is_some()).await {
                            *totals.lock().unwrap().entry(what).or_default() += times;
                        }
                    }
                });
            });
        }
    });
    let totals = totals.into_inner().unwrap();
    println!("seeds {seeds:?} in {:.1?}: {totals:#?}", started.elapsed());
    if seeds.end - seeds.start >= SEEDS {
        for fault in faults::KINDS {
            assert!(totals.contains_key(fault), "there never was a {fault}");
        }
    }
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    runtime().block_on(async {
        // Two of those that have much to tell.
        let mut compared = 0;
        for seed in 0..50 {
            let script = Script::of(seed);
            let one = troubled(&script, seed).await;
            if one.told.len() <= 100 {
                continue;
            }
            let other = troubled(&script, seed).await;
            for (one, other) in one.told.iter().zip(&other.told) {
                assert_eq!(one, other, "seed {seed}");
            }
            assert_eq!(one.told.len(), other.told.len(), "seed {seed}");
            compared += 1;
            if compared == 2 {
                return;
            }
        }
        panic!("no seed has much to tell");
    });
}
