//! `invar replay`: the rules over recorded events, offline.
use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

use anyhow::bail;
use engine::Severity;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use runtime::{
    files::Recording,
    offline::{self, Findings},
    packs,
};

use super::Outcome;

/// Judges recorded events offline: everything is read, ordered by time and judged as a running Invar would.
///
/// Reads event lines, OTLP JSON lines (as the OpenTelemetry Collector's file exporter writes them) and single OTLP
/// protobuf bodies (.pb), plain, .gz or .zst; `-` is standard input. What cannot be read is said and left out; then
/// finding nothing is no success.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  invar replay --rules rules/obyte-aa-composer.yaml recording.json.gz\n  \
                        invar replay --rules rules/ --format json --fail-on critical *.pb")]
pub struct Arguments {
    /// A pack, or a folder of packs; may be repeated
    #[arg(long, required = true, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// How to print violations: sentences, or one JSON object a line and a summary
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Let time run on after the last event until all deadlines have passed
    #[arg(long)]
    complete: bool,
    /// The least severity that makes the exit code 1 [default: info]
    #[arg(long, value_name = "SEVERITY", value_parser = severity)]
    fail_on: Option<Severity>,
    /// Recordings
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// How many of a recording's problems are printed; the others are counted.
const PROBLEMS_SHOWN: usize = 20;

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::parse(text).ok_or_else(|| "one of critical, high, medium, low, info".to_owned())
}

/// Runs the command.
///
/// # Errors
/// When packs have mistakes, a file cannot be read, or nothing was found in files that could be read only in part.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let loaded = packs::load(&arguments.rules)?;
    for file in loaded.files.iter().filter(|file| !file.diagnostics.is_empty()) {
        eprintln!("{}", file.rendered());
    }
    if loaded.has_mistakes() {
        bail!("the packs have mistakes; `invar check` lists them");
    }
    let mut recording = Recording::default();
    for path in &arguments.files {
        recording.read(path)?;
    }
    for problem in recording.problems.iter().take(PROBLEMS_SHOWN) {
        eprintln!("invar: {problem}");
    }
    if recording.problems.len() > PROBLEMS_SHOWN {
        eprintln!("invar: and {} more like these", recording.problems.len() - PROBLEMS_SHOWN);
    }
    if recording.requests.is_empty() && !recording.problems.is_empty() {
        bail!("nothing in the recording could be read");
    }
    let program = loaded.program();
    let bar = progress_bar(recording.requests.len());
    let findings = offline::judge(program.clone(), &recording, arguments.complete, &mut |done, _| {
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let mut out = io::BufWriter::new(io::stdout().lock());
    match arguments.format {
        Format::Json => print_json(&mut out, &program, &findings)?,
        Format::Text => print_text(&mut out, &program, &findings)?,
    }
    out.flush()?;
    let least = arguments.fail_on.unwrap_or(Severity::Info);
    let found = findings.violations.iter().any(|found| found.frozen.severity >= least);
    if found {
        return Ok(Outcome::Found);
    }
    if !recording.problems.is_empty() {
        bail!("parts of the recording could not be read: that nothing was found in the others does not clear it");
    }
    Ok(Outcome::Fine)
}

/// Progress with rate and time left on a terminal; nothing when it would only be noise in a log.
fn progress_bar(requests: usize) -> ProgressBar {
    let target = if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(requests as u64), target);
    if let Ok(style) = ProgressStyle::with_template("judging {bar:30} {pos}/{len} requests, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn print_json(out: &mut impl Write, program: &engine::Program, findings: &Findings) -> io::Result<()> {
    for found in &findings.violations {
        writeln!(out, "{}", found.to_json(program))?;
    }
    writeln!(out, "{}", findings.summary.to_json())
}

fn print_text(out: &mut impl Write, program: &engine::Program, findings: &Findings) -> io::Result<()> {
    for found in &findings.violations {
        let (pack, rule) = program.rule(found.violation.rule);
        let reference = rule.reference.as_deref().map(|reference| format!(" [{reference}]")).unwrap_or_default();
        writeln!(
            out,
            "{} {:<8} {}/{}{reference}: {}",
            found.violation.at,
            found.frozen.severity.as_str(),
            pack.name,
            rule.id,
            found.frozen.message
        )?;
    }
    let summary = &findings.summary;
    writeln!(
        out,
        "{} events ({} duplicates), {} rules: {} violations, {} unknown, {} pending",
        summary.events, summary.duplicates, summary.rules, summary.violations, summary.unknown, summary.pending
    )?;
    if !summary.unexercised.is_empty() {
        writeln!(out, "never exercised: {}", summary.unexercised.join(", "))?;
    }
    Ok(())
}
