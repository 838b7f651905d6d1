//! Every committed corpus through its target.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fuzz_targets::TARGETS;

fn fuzz(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_target_has_a_fuzzer_and_a_corpus() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz("fuzz_targets")), targets);
    assert_eq!(names(&fuzz("corpus")), targets);
    let manifest = fs::read_to_string(fuzz("Cargo.toml")).unwrap();
    for target in &targets {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is no binary of the fuzz crate");
    }
}

#[test]
fn corpora_hold() {
    for (name, target) in TARGETS {
        let folder = fuzz("corpus").join(name);
        let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 3, "{} holds next to nothing", folder.display());
        for file in files {
            let bytes = fs::read(&file).unwrap();
            if let Err(panic) = std::panic::catch_unwind(|| target(&bytes)) {
                let said = panic.downcast_ref::<String>().cloned();
                panic!("{}: {}", file.display(), said.unwrap_or_else(|| "it panicked".to_owned()));
            }
        }
    }
}
