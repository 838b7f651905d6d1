//! Suites that others published, with their verdicts: what `invar replay` finds in their logs is what they say.
//!
//! The logs are not part of this repository. `INVAR_SUITES_DIR` says where they are: a folder with `internet-computer`,
//! `pobserve` and `etcd-raft` in it, event lines beside what must be found.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::Value;

use crate::harness::{invar, root};

/// A finding: the policy, its key, and when, to the millisecond.
type Finding = (String, BTreeMap<String, String>, String);

/// Where a suite lies; none, and said, when nobody has it.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn suite(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("INVAR_SUITES_DIR").map(|suites| Path::new(&suites).join(name));
    let found = folder.filter(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("skipped: the published suite `{name}` is not here; INVAR_SUITES_DIR says where suites are");
    }
    found
}

/// The cases of a suite: folders with a log and what must be found in it.
fn cases(suite: &Path) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(suite)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|policy| policy.is_dir())
        .flat_map(|policy| fs::read_dir(policy).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>())
        .filter(|case| case.join("expected.json").is_file())
        .collect();
    cases.sort();
    cases
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A time to the millisecond, as it is published.
fn millis(time: &Value) -> String {
    time.as_str().unwrap()[..23].to_owned()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn key(value: &Value) -> BTreeMap<String, String> {
    value.as_object().unwrap().iter().map(|(name, value)| (name.clone(), plain(value))).collect()
}

/// What is found in a log by a pack: each violation with its rule's id.
fn replay(rules: &str, log: &Path) -> Vec<Finding> {
    let ran = invar(&["replay", "--rules", rules, "--format", "json", log.to_str().unwrap()], b"");
    assert!(matches!(ran.code, Some(0 | 1)), "{}: {}", log.display(), ran.stderr);
    let lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let violations = lines.filter(|line| line.get("summary").is_none());
    violations.map(|line| (plain(&line["rule"]), key(&line["key"]), millis(&line["at"]))).collect()
}

/// What must be found. Violations of one level or of one key are said once, at their beginning.
fn expected(case: &Path) -> Vec<Finding> {
    let expected = json(&case.join("expected.json"));
    let violations = expected["violations"].as_array().unwrap().iter();
    let begun = violations.filter(|violation| violation.get("onset") != Some(&Value::Bool(false)));
    begun.map(|violation| (plain(&violation["policy"]), key(&violation["key"]), millis(&violation["time"]))).collect()
}

fn set(findings: Vec<Finding>) -> BTreeSet<Finding> {
    findings.into_iter().collect()
}

#[test]
fn policies_of_the_internet_computer() {
    let Some(suite) = suite("internet-computer") else { return };
    let rules = tempfile::tempdir().unwrap();
    for pack in
        ["rules/internet-computer.yaml", "tests/it/suites/every-point-in-time.yaml", "tests/it/suites/dummy.yaml"]
    {
        let pack = root().join(pack);
        fs::copy(&pack, rules.path().join(pack.file_name().unwrap())).unwrap();
    }
    let mut seen = 0;
    for case in cases(&suite) {
        let policy = plain(&json(&case.join("expected.json"))["policy"]);
        let mut found = replay(rules.path().to_str().unwrap(), &case.join("events.ndjson"));
        found.retain(|(rule, ..)| *rule == policy);
        let mut wanted = expected(&case);
        if policy == "unauthorized_connections" {
            // A node is known here by its address, which is what the event says; the registry's name for it is not in the key.
            for (_, key, _) in &mut wanted {
                let node = key.remove("dest_node").unwrap();
                key.remove("subnet");
                key.insert("dest_addr".to_owned(), node.replace("_id", "_addr"));
            }
        }
        assert_eq!(set(found), set(wanted), "{}", case.display());
        seen += 1;
    }
    assert!(seen >= 20, "only {seen} cases");
}

#[test]
fn specifications_of_pobserve() {
    let Some(suite) = suite("pobserve") else { return };
    let mut seen = 0;
    for case in cases(&suite) {
        let policy = plain(&json(&case.join("expected.json"))["policy"]);
        // The publisher stops at the first violation of a key, by whichever part of a specification.
        let mut first: BTreeMap<String, String> = BTreeMap::new();
        let found = replay("tests/it/suites/pobserve.yaml", &case.join("events.ndjson"));
        for (_, key, at) in found.into_iter().filter(|(rule, ..)| rule.starts_with(&policy)) {
            let known = first.entry(key["key"].clone()).or_insert_with(|| at.clone());
            *known = at.min(known.clone());
        }
        let wanted: BTreeMap<String, String> =
            expected(&case).into_iter().map(|(_, key, at)| (key["key"].clone(), at)).collect();
        assert_eq!(first, wanted, "{}", case.display());
        seen += 1;
    }
    assert!(seen >= 48, "only {seen} cases");
}

/// A line of the trace as a mutation leaves it: `None` when it is lost.
fn mutate(lines: &[Value], mutation: &Value) -> Vec<Value> {
    let mut rows: Vec<Option<Value>> = lines.iter().cloned().map(Some).collect();
    for step in mutation["ops"].as_array().unwrap() {
        let at = step["line"].as_u64().unwrap() as usize - 1;
        match step["op"].as_str().unwrap() {
            "delete" => rows[at] = None,
            "set" => merge(&mut rows[at].as_mut().unwrap()["attrs"], &step["attrs"]),
            "set_event" => merge(rows[at].as_mut().unwrap(), &step["event"]),
            "duplicate" => rows.push(rows[at].clone()),
            "move_to_end" => {
                let moved = rows[at].take();
                rows.push(moved);
            }
            other => panic!("unknown step {other}"),
        }
    }
    rows.into_iter().flatten().collect()
}

fn merge(into: &mut Value, from: &Value) {
    for (name, value) in from.as_object().unwrap() {
        into[name] = value.clone();
    }
}

fn judge_trace(lines: &[Value]) -> BTreeSet<Finding> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("trace.ndjson");
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    fs::write(&log, text.join("\n")).unwrap();
    set(replay("tests/it/suites/etcd-raft.yaml", &log))
}

#[test]
fn invariants_of_raft_and_their_mutations() {
    let Some(suite) = suite("etcd-raft") else { return };
    let text = fs::read_to_string(suite.join("events.ndjson")).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(judge_trace(&lines), BTreeSet::new(), "the recorded run is in order");
    let mutations = json(&suite.join("mutations.json"));
    let mutations = mutations["mutations"].as_array().unwrap();
    assert!(mutations.len() >= 7);
    for mutation in mutations {
        let wanted: BTreeSet<Finding> = mutation["violations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|violation| (plain(&violation["policy"]), key(&violation["key"]), millis(&violation["time"])))
            .collect();
        // A message is known by ten parts, of which the suite names three.
        let known: BTreeSet<&String> = wanted.iter().flat_map(|(_, key, _)| key.keys()).collect();
        let found = judge_trace(&mutate(&lines, mutation)).into_iter().map(|(rule, mut key, at)| {
            key.retain(|name, _| known.contains(name));
            (rule, key, at)
        });
        assert_eq!(found.collect::<BTreeSet<_>>(), wanted, "{}", mutation["name"]);
    }
    lines.shuffle(&mut StdRng::seed_from_u64(1));
    assert_eq!(judge_trace(&lines), BTreeSet::new(), "the same run in another order");
}
