//! The house rules that a machine can see.
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Which of our crates each crate may use. Arrows point one way: web -> checker -> collector.
const MAY_USE: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("wire", &["event"]),
    ("journal", &["event"]),
    ("otlp", &["event", "wire"]),
    ("engine", &["event"]),
    ("lang", &["engine", "event"]),
    ("store", &["engine", "event"]),
    ("alert", &["engine", "event"]),
    ("runtime", &["alert", "engine", "event", "journal", "lang", "store", "wire"]),
    ("ui", &["engine", "event", "lang", "store"]),
    ("testbed", &[]),
    ("it", &["invar"]),
    ("fuzz-targets", &["engine", "event", "journal", "lang", "otlp", "wire"]),
    ("invar", &["alert", "engine", "event", "journal", "lang", "otlp", "runtime", "store", "testbed", "ui", "wire"]),
];

/// Which crate alone may use a crate of the outside world.
const ONLY: &[(&str, &[&str])] =
    &[("sqlx", &["store", "testbed"]), ("serde-saphyr", &["lang", "invar"]), ("askama", &["ui"]), ("tonic", &["otlp"])];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn crates_depend_only_downwards() {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .unwrap();
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let normal = package.dependencies.iter().filter(|d| d.kind == cargo_metadata::DependencyKind::Normal);
        for dependency in normal {
            let used = dependency.name.as_str();
            if ours.contains(used) {
                let may = MAY_USE.iter().find(|(crate_name, _)| *crate_name == name);
                if !may.is_some_and(|(_, may)| may.contains(&used)) {
                    wrong.push(format!("{name} must not use {used}"));
                }
            }
            if let Some((_, may)) = ONLY.iter().find(|(outside, _)| *outside == used)
                && !may.contains(&name)
            {
                wrong.push(format!("{name} must not use {used}: only {may:?} may"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All Rust sources of ours.
fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                if !["target", "node_modules", ".git", "test-tools"].contains(&&*name.to_string_lossy()) {
                    walk(&path, found);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["collector", "checker", "web", "tests"] {
        walk(&root().join(folder), &mut found);
    }
    assert!(found.len() > 50, "the sources were not found");
    found
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<_> =
        sources().into_iter().filter(|path| !fs::read_to_string(path).unwrap().starts_with("//!")).collect();
    assert!(silent.is_empty(), "open these with `//!`: {silent:#?}");
}

#[test]
fn no_file_has_grown_past_reading() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            (lines > 900).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "split these: {long:#?}");
}

#[test]
fn nothing_is_left_for_later() {
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("#[ign", "ore")];
    let mut left = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                left.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    assert!(left.is_empty(), "{}", left.join("\n"));
}
