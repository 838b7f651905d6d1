//! The engine on four patterns, beside a hand-written loop for each: a response in time, a precedence looking back, exactly
//! once, agreement of ten voters. One million events over 100,000 keys, one event per instant. Prints events per CPU-second
//! and the ratio of the two, and fails when their verdicts differ.
//!
//! `cargo bench -p bench --bench engine` (`-- --test`: a tiny input, as a test; `-- a`: that pattern
//! alone, `-- a live`: that alone, for a profiler; `-- memory`: what an open obligation takes).
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::{
    collections::{HashMap, HashSet},
    fs,
    sync::Arc,
    time::Instant,
};

use engine::{Engine, Input, Output, Program, Row, Timing};
use event::{Identity, Position, Timestamp, ValueRef};

/// The allocator of the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One event of a pattern: which of its names, which key, which voter, which value.
#[derive(Clone, Copy)]
struct Step {
    name: usize,
    key: u32,
    voter: u32,
    value: i64,
}

struct Pattern {
    title: &'static str,
    names: [&'static str; 2],
    rule: &'static str,
    steps: fn(usize, u32) -> Vec<Step>,
    by_hand: fn(&[Step], &[String]) -> u64,
}

/// One millisecond between events.
const GAP: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000_000_000;

/// A generator that is the same everywhere (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

const PATTERNS: &[Pattern] = &[
    Pattern {
        title: "a: response in 5 s",
        names: ["asked", "answered"],
        rule: "    response:\n      when: asked\n      then: answered\n      within: 5s\n",
        steps: |events, keys| {
            // A question each other step; its answer comes 1 to 6 s later, so that some are too late.
            let mut random = SplitMix(1);
            let mut steps: Vec<Option<Step>> = vec![None; events];
            let mut key = 0;
            for at in 0..events {
                if steps[at].is_none() {
                    steps[at] = Some(Step { name: 0, key, voter: 0, value: 0 });
                    let answer = at + 1_000 + (random.next() % 4_200) as usize;
                    if let Some(place) = steps.get_mut(answer).filter(|place| place.is_none()) {
                        *place = Some(Step { name: 1, key, voter: 0, value: 0 });
                    }
                    key = (key + 1) % keys;
                }
            }
            steps.into_iter().flatten().collect()
        },
        by_hand: |steps, keys| {
            let mut open: HashMap<&str, u64> = HashMap::new();
            let mut deadlines = std::collections::VecDeque::new();
            let mut broken = 0;
            for (at, step) in steps.iter().enumerate() {
                let now = at as u64 * GAP;
                while deadlines.front().is_some_and(|&(due, _)| due < now) {
                    let Some((due, key)) = deadlines.pop_front() else { break };
                    if open.get(key) == Some(&due) {
                        open.remove(key);
                        broken += 1;
                    }
                }
                let key = keys[step.key as usize].as_str();
                if step.name == 0 {
                    let due = now + 5_000_000_000;
                    // A key is asked again only long after; the open question stays the judged one.
                    if open.insert(key, due).is_some() {
                        broken += 0;
                    }
                    deadlines.push_back((due, key));
                } else {
                    open.remove(key);
                }
            }
            let end = (steps.len() as u64 - 1) * GAP;
            broken + deadlines.iter().filter(|(due, key)| *due <= end && open.get(key) == Some(due)).count() as u64
        },
    },
    Pattern {
        title: "b: precedence, 60 s back",
        names: ["allowed", "done"],
        rule: "    precedence:\n      event: done\n      requires:\n        any: [allowed]\n      within: 60s\n",
        steps: |events, keys| {
            let mut random = SplitMix(2);
            let step = |_| Step {
                name: (random.next() % 2) as usize,
                key: (random.next() % u64::from(keys)) as u32,
                voter: 0,
                value: 0,
            };
            (0..events).map(step).collect()
        },
        by_hand: |steps, keys| {
            let mut last: HashMap<&str, u64> = HashMap::new();
            let mut broken = 0;
            for (at, step) in steps.iter().enumerate() {
                let (now, key) = (at as u64 * GAP, keys[step.key as usize].as_str());
                if step.name == 0 {
                    last.insert(key, now);
                } else if last.get(key).is_none_or(|&seen| now - seen > 60_000_000_000) {
                    broken += 1;
                }
            }
            broken
        },
    },
    Pattern {
        title: "c: exactly once",
        names: ["applied", "other"],
        rule: "    count:\n      of: applied\n      max: 1\n",
        steps: |events, keys| {
            let mut random = SplitMix(3);
            let step =
                |_| Step { name: 0, key: (random.next() % (u64::from(keys) * 10)) as u32 % keys, voter: 0, value: 0 };
            (0..events).map(step).collect()
        },
        by_hand: |steps, keys| {
            let mut seen: HashMap<&str, u32> = HashMap::new();
            let mut broken = 0;
            for step in steps {
                let count = seen.entry(keys[step.key as usize].as_str()).or_default();
                *count += 1;
                broken += u64::from(*count == 2);
            }
            broken
        },
    },
    Pattern {
        title: "d: agreement, 10 voters",
        names: ["root", "other"],
        rule: "    agreement:\n      event: root\n      value: value\n",
        steps: |events, keys| {
            let mut random = SplitMix(4);
            (0..events)
                .map(|at| Step {
                    name: 0,
                    key: (at / 10) as u32 % keys,
                    voter: (at % 10) as u32,
                    value: (at / 10) as i64 + i64::from(random.next().is_multiple_of(1_000)),
                })
                .collect()
        },
        by_hand: |steps, keys| {
            let mut first: HashMap<&str, (i64, bool)> = HashMap::new();
            let mut broken = 0;
            for step in steps {
                let vote = first.entry(keys[step.key as usize].as_str()).or_insert((step.value, false));
                if vote.0 != step.value && !vote.1 {
                    vote.1 = true;
                    broken += 1;
                }
            }
            broken
        },
    },
];

/// Nanoseconds this thread has spent on a CPU.
fn cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}

fn measure<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let (from, wall) = (cpu_ns(), Instant::now());
    let result = work();
    let spent = cpu_ns().saturating_sub(from);
    (result, if spent == 0 { wall.elapsed().as_secs_f64() } else { spent as f64 / 1e9 })
}

fn pack(pattern: &Pattern) -> engine::Pack {
    let key = if pattern.title.starts_with('d') { "[id]" } else { "[node, id]" };
    let yaml = format!("pack: bench\nrules:\n  - id: rule\n    key: {key}\n{}", pattern.rule);
    let (pack, diagnostics) = lang::compile(&yaml, "bench.yaml", &lang::Options::default());
    assert!(diagnostics.iter().all(|d| !d.is_error()), "{}", lang::render(&diagnostics, &yaml));
    pack.expect("no errors, so a pack")
}

/// Feeds the steps as they would come live (arrival 1 ms after the fact, a tick every 512 events), or in order offline.
fn run(pattern: &Pattern, steps: &[Step], keys: &[String], input: Input) -> u64 {
    let mut engine = Engine::new(Program::link([Arc::new(pack(pattern))]), Timing::default(), input);
    let events: Vec<_> = pattern.names.iter().map(|name| engine.event(name)).collect();
    let sources: Vec<_> = (0..10).map(|node| engine.source("", &format!("n{node}"), "component")).collect();
    let columns: Vec<Vec<engine::Column>> = events.iter().map(|&event| engine.columns(event).to_vec()).collect();
    // Every node was heard long before, so that a look-back is never unknown.
    for &source in &sources {
        let ts = Timestamp(START - 60_000_000_000 - u64::from(source));
        engine.row(&Row {
            event: 0,
            name: "started",
            source,
            ts,
            sent: ts,
            arrived: Timestamp(ts.0 + GAP),
            identity: Identity(u128::from(source) << 96 | 1),
            position: Position::default(),
            severity: 0,
            body: ValueRef::Null,
            trace_id: "",
            process: None,
            columns: &[],
        });
    }
    let mut out = Vec::new();
    let mut broken = HashSet::new();
    let mut values: Vec<Option<ValueRef<'_>>> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let ts = Timestamp(START + at as u64 * GAP);
        values.clear();
        values.extend(columns[step.name].iter().map(|column| match column.name.as_str() {
            "id" => Some(ValueRef::String(&keys[step.key as usize])),
            "value" => Some(ValueRef::Int(step.value)),
            _ => None,
        }));
        engine.row(&Row {
            event: events[step.name],
            name: pattern.names[step.name],
            source: sources[step.voter as usize],
            ts,
            sent: ts,
            arrived: Timestamp(ts.0 + GAP),
            identity: Identity((at as u128) << 64 | u128::from(SplitMix(at as u64).next())),
            position: Position { partition: 0, frame: at as u64 / 512, record: at as u32 % 512 },
            severity: 0,
            body: ValueRef::Null,
            trace_id: "",
            process: None,
            columns: &values,
        });
        if at % 512 == 511 {
            match input {
                Input::Live => engine.tick(Timestamp(ts.0 + GAP), &mut out),
                Input::Offline => engine.judge_before(ts, &mut out),
            }
            out.drain(..).for_each(|output| tally(&mut broken, &output));
        }
    }
    engine.finish(false, &mut out);
    out.iter().for_each(|output| tally(&mut broken, output));
    broken.len() as u64
}

/// Keeps the violations that stand; some are said again when their evidence grows.
fn tally(broken: &mut HashSet<engine::ViolationId>, output: &Output) {
    match output {
        Output::Violated(violation) => {
            broken.insert(violation.id);
        }
        Output::Retracted { id, .. } => {
            broken.remove(id);
        }
        Output::Resolved { .. } | Output::LateResolved { .. } | Output::Breaker(_) => {}
    }
}

/// Bytes of memory that are this process's own.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// What an open obligation takes: right after it was opened, when late events may still correct it, and when it is at rest.
fn obligations(keys: u32) {
    let yaml = "pack: bench\nrules:\n  - id: rule\n    key: [node, id]\n    response:\n      when: asked\n      then: answered\n      within: 2h\n    max_keys: 100000000\n";
    let (pack, diagnostics) = lang::compile(yaml, "bench.yaml", &lang::Options::default());
    let pack = pack.unwrap_or_else(|| panic!("{}", lang::render(&diagnostics, yaml)));
    let mut engine = Engine::new(Program::link([Arc::new(pack)]), Timing::default(), Input::Live);
    let (event, source) = (engine.event("asked"), engine.source("", "n1", "component"));
    let before = resident();
    let mut out = Vec::new();
    for key in 0..keys {
        let ts = Timestamp(START + u64::from(key) * 100_000);
        let id = format!("0x{key:016x}");
        let columns: Vec<Option<ValueRef<'_>>> =
            engine.columns(event).iter().map(|column| (column.name == "id").then_some(ValueRef::String(&id))).collect();
        engine.row(&Row {
            event,
            name: "asked",
            source,
            ts,
            sent: ts,
            arrived: ts,
            identity: Identity(u128::from(key) << 64 | u128::from(SplitMix(key.into()).next())),
            position: Position { partition: 0, frame: u64::from(key) / 512, record: key % 512 },
            severity: 0,
            body: ValueRef::Null,
            trace_id: "",
            process: None,
            columns: &columns,
        });
        if key % 512 == 511 {
            engine.tick(ts, &mut out);
        }
    }
    let end = START + u64::from(keys) * 100_000;
    let per_key = |engine: &Engine| {
        assert_eq!(engine.health(0).open, u64::from(keys), "obligations are missing");
        resident().saturating_sub(before) / u64::from(keys.max(1))
    };
    engine.tick(Timestamp(end + 10_000_000_000), &mut out);
    let at_work = per_key(&engine);
    let written = |engine: &Engine| {
        let mut bytes = 0;
        let (outcome, seconds) = measure(|| engine.checkpoint_into(|piece| bytes += piece.len() as u64));
        assert!(outcome.is_ok(), "no checkpoint can be written");
        (bytes / u64::from(keys.max(1)), seconds * 1e3)
    };
    let (working_bytes, working_ms) = written(&engine);
    for second in 11..600 {
        engine.tick(Timestamp(end + second * 1_000_000_000), &mut out);
    }
    let at_rest = per_key(&engine);
    let (resting_bytes, resting_ms) = written(&engine);
    println!("{keys} open obligations: {at_work} bytes each at work, {at_rest} at rest");
    println!(
        "in a checkpoint: {working_bytes} bytes each at work, {working_ms:.0} ms; {resting_bytes} at rest, {resting_ms:.0} ms"
    );
}

fn main() {
    let tiny = std::env::args().any(|argument| argument == "--test");
    let (events, keys) = if tiny { (20_000, 20_000) } else { (1_000_000, 100_000) };
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let only = |input: &str| chosen.iter().any(|name| name == input);
    if let (Some(pattern), true) = (PATTERNS.iter().find(|pattern| only(&pattern.title[..1])), only("live")) {
        let names: Vec<String> = (0..keys).map(|key| format!("0x{key:016x}")).collect();
        let (broken, seconds) = measure(|| run(pattern, &(pattern.steps)(events, keys), &names, Input::Live));
        println!("{}: {broken} violations in {seconds:.3} s", pattern.title);
        return;
    }
    let is_chosen =
        |pattern: &Pattern| chosen.is_empty() || chosen.iter().any(|letter| pattern.title.starts_with(letter));
    let names: Vec<String> = (0..keys).map(|key| format!("0x{key:016x}")).collect();
    if chosen.is_empty() || chosen.iter().any(|name| name == "memory") {
        // First, while the process has no memory to use again.
        obligations(if tiny { 10_000 } else { 1_000_000 });
    }
    println!(
        "{:<28} {:>12} {:>12} {:>12} {:>8} {:>10}",
        "pattern", "live/s", "offline/s", "by hand/s", "ratio", "violations"
    );
    for pattern in PATTERNS.iter().filter(|pattern| is_chosen(pattern)) {
        let steps = (pattern.steps)(events, keys);
        let (expected, by_hand) = measure(|| (pattern.by_hand)(&steps, &names));
        let (live, live_s) = measure(|| run(pattern, &steps, &names, Input::Live));
        let (offline, offline_s) = measure(|| run(pattern, &steps, &names, Input::Offline));
        assert_eq!(live, expected, "{}: live verdicts differ from the hand-written loop", pattern.title);
        assert_eq!(offline, expected, "{}: offline verdicts differ from the hand-written loop", pattern.title);
        let rate = |seconds: f64| steps.len() as f64 / seconds;
        println!(
            "{:<28} {:>12.0} {:>12.0} {:>12.0} {:>8.2} {:>10}",
            pattern.title,
            rate(live_s),
            rate(offline_s),
            rate(by_hand),
            live_s / by_hand,
            expected
        );
    }
}
