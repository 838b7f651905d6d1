//! `invar check`: every mistake in packs, with its place and a hint.
use std::path::PathBuf;

use runtime::packs;

use super::Outcome;

/// Finds the mistakes in packs and says how to mend them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  invar check rules/\n  invar check --format json my-pack.yaml")]
pub struct Arguments {
    /// Packs, or folders of packs
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to print what was found
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs the command.
///
/// # Errors
/// When a path cannot be read.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let loaded = packs::load(&arguments.paths)?;
    let mut mistakes = 0;
    let mut warnings = 0;
    for file in &loaded.files {
        for diagnostic in &file.diagnostics {
            if diagnostic.is_error() {
                mistakes += 1;
            } else {
                warnings += 1;
            }
        }
        match arguments.format {
            Format::Text if !file.diagnostics.is_empty() => eprintln!("{}", file.rendered()),
            Format::Text => {}
            Format::Json => {
                for diagnostic in &file.diagnostics {
                    println!("{}", serde_json::to_string(diagnostic)?);
                }
            }
        }
    }
    if matches!(arguments.format, Format::Text) {
        let rules: usize = loaded.packs().map(|pack| pack.rules.len()).sum();
        println!(
            "{}, {}: {}, {}",
            count(loaded.files.len(), "pack"),
            count(rules, "rule"),
            count(mistakes, "mistake"),
            count(warnings, "warning")
        );
    }
    Ok(if mistakes == 0 { Outcome::Fine } else { Outcome::Found })
}

fn count(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        more => format!("{more} {what}s"),
    }
}
