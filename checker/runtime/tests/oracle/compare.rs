//! One case: the oracle, the engine offline and the engine live must say the same.
use std::{collections::BTreeSet, fmt, panic, sync::Arc};

use rand::{SeedableRng, rngs::StdRng};

use crate::{
    case::{self, Mutant},
    generate::{self, Generated, Options},
    model::{Event, Time, Verdict},
    render,
    run::{Subject, Verdicts},
};

/// How long after the last event of a log everything is over.
const AFTERWARDS: Time = 20_000;

/// How much was compared.
#[derive(Default)]
pub struct Compared {
    pub cases: u64,
    pub events: u64,
    pub violations: u64,
    pub runs: u64,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Compared { cases, events, violations, runs } = self;
        write!(f, "{cases} cases, {runs} runs over {events} events, {violations} violations in all runs")
    }
}

/// A case, ready to be judged.
pub struct Prepared {
    pub generated: Generated,
    pub yaml: String,
    pub pack: Arc<engine::Pack>,
    pub end: Time,
}

pub fn prepare(seed: u64, options: &Options) -> Prepared {
    let generated = generate::case(seed, options);
    let yaml = render::pack(&generated.rules);
    let (pack, diagnostics) = lang::compile(&yaml, "random.yaml", &lang::Options::default());
    let Some(pack) = pack.filter(|_| !diagnostics.iter().any(lang::Diagnostic::is_error)) else {
        panic!("seed {seed}: the pack is refused:\n{}\n{yaml}", lang::render(&diagnostics, &yaml));
    };
    let end = generated.log.iter().map(|event| event.ts).max().unwrap_or(0) + AFTERWARDS;
    Prepared { generated, yaml, pack: Arc::new(pack), end }
}

pub fn case(seed: u64, options: &Options, compared: &mut Compared) {
    let prepared = prepare(seed, options);
    let Generated { rules, log } = &prepared.generated;
    let expected = case::verdicts(rules, log, prepared.end, Mutant::None);
    let subject = Subject { rules, pack: prepared.pack.clone(), log, end: prepared.end };
    let mut random = StdRng::seed_from_u64(seed ^ 0x5eed);
    let mut offline: Option<Verdicts> = None;
    for run in ["offline", "live", "live again"] {
        let said = panic::catch_unwind(panic::AssertUnwindSafe(|| match run {
            "offline" => subject.offline(&mut random),
            _ => subject.live(&mut random),
        }));
        let Ok(said) = said else { fail(seed, run, "the engine panicked or contradicted itself", &prepared) };
        let found: BTreeSet<Verdict> = said.values().cloned().collect();
        if found != expected || found.len() != said.len() {
            let missing: Vec<_> = expected.difference(&found).collect();
            let extra: Vec<_> = found.difference(&expected).collect();
            let what = format!(
                "the oracle alone says {missing:#?}\nthe engine alone says {extra:#?}\n{} ids for {} verdicts",
                said.len(),
                found.len()
            );
            fail(seed, run, &what, &prepared);
        }
        if offline.as_ref().is_some_and(|offline| *offline != said) {
            fail(seed, run, "the same verdicts have other ids than offline", &prepared);
        }
        compared.runs += 1;
        compared.events += log.len() as u64;
        compared.violations += said.len() as u64;
        offline = Some(said);
    }
    let adopted = panic::catch_unwind(panic::AssertUnwindSafe(|| subject.adopted(&mut random)));
    let Ok((said, stood)) = adopted else {
        fail(seed, "adopted", "the engine panicked or contradicted itself", &prepared)
    };
    let after = |verdicts: &BTreeSet<Verdict>| -> BTreeSet<Verdict> {
        verdicts.iter().filter(|verdict| verdict.at >= stood).cloned().collect()
    };
    let (expected, found) = (after(&expected), after(&said.values().cloned().collect()));
    if expected != found {
        let missing: Vec<_> = expected.difference(&found).collect();
        let extra: Vec<_> = found.difference(&expected).collect();
        let what = format!(
            "adopted when the engine stood at {stood}, the oracle alone says {missing:#?}\nthe engine alone says {extra:#?}"
        );
        fail(seed, "adopted", &what, &prepared);
    }
    compared.cases += 1;
}

fn fail(seed: u64, run: &str, what: &str, prepared: &Prepared) -> ! {
    let mut log: Vec<&Event> = prepared.generated.log.iter().collect();
    log.sort_by_key(|event| (event.ts, event.id));
    let lines: Vec<String> = log
        .iter()
        .map(|event| {
            let Event { id, ts, node, name, k, x, h, pid } = event;
            format!("{ts:>6} n{node} {name} k={k} x={x} h={h} pid={pid} #{id}")
        })
        .collect();
    panic!("seed {seed}, {run}: {what}\n{}\n{}\nORACLE_FROM={seed} ORACLE_SEEDS=1", prepared.yaml, lines.join("\n"));
}
