//! The rule language by its meaning: packs and tests as an author writes them, judged offline, and judged again live with
//! their events out of order.
mod run;
mod silence;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use lang::suite::Suite;

fn own() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/language")
}

/// Every file of tests in a folder, with the texts of its packs.
fn suites(folder: &Path) -> Vec<(String, Suite, Vec<String>)> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".test.yaml"))
        .collect();
    names.sort();
    assert!(names.len() > 1, "the tests were not found");
    names
        .into_iter()
        .map(|name| {
            let source = fs::read_to_string(folder.join(&name)).unwrap();
            let (suite, diagnostics) = lang::suite::read(&source, &name);
            let suite = suite.unwrap_or_else(|| panic!("{}", lang::render(&diagnostics, &source)));
            let packs = suite.packs.iter().map(|pack| fs::read_to_string(folder.join(pack)).unwrap()).collect();
            (name, suite, packs)
        })
        .collect()
}

#[test]
fn every_form_of_the_language_judges_as_it_says() {
    let mut failures = Vec::new();
    for (name, suite, packs) in suites(&own()) {
        let (mut fired, mut quiet, mut rules) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for case in &suite.cases {
            let engine = run::offline(&packs, case);
            failures.extend(
                run::differences(case, &engine)
                    .into_iter()
                    .map(|what| format!("{name}:{}: {}: {what}", case.line, case.name)),
            );
            rules.extend(engine.rules.clone());
            let found: BTreeSet<String> = engine.standing.values().map(|seen| seen.rule.clone()).collect();
            quiet.extend(engine.rules.iter().filter(|rule| !found.contains(*rule)).cloned());
            fired.extend(found);
        }
        failures.extend(rules.difference(&fired).map(|rule| format!("{name}: `{rule}` never fires")));
        failures.extend(rules.difference(&quiet).map(|rule| format!("{name}: `{rule}` is never quiet")));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn shipped_packs_pass_their_tests() {
    let mut failures = Vec::new();
    for (name, suite, packs) in suites(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules")) {
        for case in &suite.cases {
            let found = run::differences(case, &run::offline(&packs, case));
            failures.extend(found.into_iter().map(|what| format!("{name}:{}: {}: {what}", case.line, case.name)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_no_shipped_rule_names_is_nobodys() {
    // A rule that names every event has each of every system judged: such a rule is off unless someone asks for it.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules");
    for (name, _, packs) in suites(&folder) {
        let compile = |source: &String| lang::compile(source, &name, &lang::Options::default()).0.unwrap();
        let packs: Vec<Arc<engine::Pack>> = packs.iter().map(compile).map(Arc::new).collect();
        let mut engine =
            engine::Engine::new(engine::Program::link(packs), engine::Timing::default(), engine::Input::Live);
        assert_eq!(engine.event("an.event.that.nobody.names"), 0, "{name}");
    }
}

#[test]
fn verdicts_do_not_depend_on_the_order_of_arrival() {
    for (name, suite, packs) in suites(&own()) {
        for case in suite.cases.iter().filter(|case| case.until.is_none()) {
            let offline = run::offline(&packs, case).settled();
            for seed in 0..4 {
                let live = run::live(&packs, case, seed, seed % 2 == 1).settled();
                assert_eq!(live, offline, "{name}: {} (seed {seed})", case.name);
            }
        }
    }
}
