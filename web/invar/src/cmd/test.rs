//! `invar test`: the tests beside packs.
use std::path::PathBuf;

use anyhow::bail;
use runtime::{packs, suite};

use super::Outcome;

/// Runs the tests beside packs (NAME.test.yaml): events at relative times, the violations expected of the rules under
/// test, and nothing else tolerated of those.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  invar test rules/\n  invar test my-pack.yaml\n\nThe tests of my-pack.yaml stand beside it, in my-pack.test.yaml."
)]
pub struct Arguments {
    /// Packs, their test files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Name the tests that passed, too
    #[arg(long, short)]
    verbose: bool,
}

/// Runs the command.
///
/// # Errors
/// When a path cannot be read, or holds no tests.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let mut files = Vec::new();
    for path in &arguments.paths {
        files.extend(packs::test_files(path)?);
    }
    if files.is_empty() {
        bail!("no tests there: they are files that end in .test.yaml");
    }
    let (mut passed, mut failed, mut rules) = (0, 0, 0);
    let mut mistakes = false;
    for file in files {
        let report = suite::run(&file)?;
        rules += report.rules;
        for mistake in &report.mistakes {
            mistakes = true;
            eprintln!("{mistake}");
        }
        for outcome in &report.outcomes {
            if outcome.failures.is_empty() {
                passed += 1;
                if arguments.verbose {
                    println!("ok      {}:{} {}", file.display(), outcome.line, outcome.name);
                }
            } else {
                failed += 1;
                println!("FAILED  {}:{} {}", file.display(), outcome.line, outcome.name);
                outcome.failures.iter().for_each(|failure| println!("        {failure}"));
            }
        }
        for rule in &report.never_fires {
            eprintln!("warning: no test sees {rule} fire");
        }
        for rule in &report.never_quiet {
            eprintln!("warning: no test sees {rule} exercised and quiet");
        }
    }
    println!("{rules} rules: {passed} passed, {failed} failed");
    Ok(if failed == 0 && !mistakes { Outcome::Fine } else { Outcome::Found })
}
