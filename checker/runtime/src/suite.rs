//! Running the tests beside packs.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use engine::{Engine, Input, Output, Pack, Program, Timing, breaker::BreakerState};
use event::{Event, Position, Timestamp, Value};
use lang::{
    Diagnostic, Options,
    suite::{BEGINNING, BreakerExpectation, Case, Expectation, Suite},
};

use crate::{
    feed,
    freeze::{self, Evidence},
    json, offline,
    packs::LoadError,
};

/// How one test went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What it shows.
    pub name: String,
    /// Its line in the file.
    pub line: usize,
    /// What was not as expected; empty when all was.
    pub failures: Vec<String>,
}

/// How the tests of one file went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// One entry a test.
    pub outcomes: Vec<Outcome>,
    /// Mistakes in the file or its packs, ready to print.
    pub mistakes: Vec<String>,
    /// Rules that no test sees fire, and rules that no test sees quiet, as `pack/rule`.
    pub never_fires: Vec<String>,
    /// See [`Report::never_fires`].
    pub never_quiet: Vec<String>,
    /// How many rules its packs have.
    pub rules: usize,
}

impl Report {
    /// Whether everything passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.mistakes.is_empty() && self.outcomes.iter().all(|outcome| outcome.failures.is_empty())
    }
}

/// Runs the tests of one file.
///
/// # Errors
/// When the file cannot be read; what is wrong inside it is in the report.
pub fn run(path: &Path) -> Result<Report, LoadError> {
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|source| LoadError::Io { path: path.display().to_string(), source })
    };
    let source = read(path)?;
    let mut report = Report { path: path.to_owned(), ..Report::default() };
    let (suite, diagnostics) = lang::suite::read(&source, &path.display().to_string());
    if !diagnostics.is_empty() {
        report.mistakes.push(lang::render(&diagnostics, &source));
    }
    let Some(suite) = suite else { return Ok(report) };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut packs = Vec::new();
    for pack in &suite.packs {
        let file = folder.join(pack);
        packs.push((file.display().to_string(), read(&file)?));
    }
    run_suite(&suite, &packs, &mut report);
    Ok(report)
}

fn run_suite(suite: &Suite, packs: &[(String, String)], report: &mut Report) {
    let mut fired: Vec<String> = Vec::new();
    let mut quiet: Vec<String> = Vec::new();
    let mut all: Vec<String> = Vec::new();
    // Compiling is most of the work, and most cases take the packs as they are.
    let mut compiled: Option<(&Case, Vec<Arc<Pack>>)> = None;
    for case in &suite.cases {
        let packs = match compiled.take() {
            Some((like, packs)) if like.params == case.params => packs,
            _ => match compile(packs, case) {
                Ok(packs) => packs,
                Err(mistakes) => {
                    report.mistakes.extend(mistakes);
                    return;
                }
            },
        };
        let program = Program::link(packs.iter().cloned());
        compiled = Some((case, packs));
        let names: Vec<String> = program.rules().map(|(_, pack, rule)| format!("{}/{}", pack.name, rule.id)).collect();
        if all.is_empty() {
            report.rules = names.len();
            all = names;
        }
        report.outcomes.push(run_case(case, program, &mut fired, &mut quiet));
    }
    report.never_fires = all.iter().filter(|rule| !fired.contains(rule)).cloned().collect();
    report.never_quiet = all.iter().filter(|rule| !quiet.contains(rule)).cloned().collect();
}

fn compile(packs: &[(String, String)], case: &Case) -> Result<Vec<Arc<Pack>>, Vec<String>> {
    let options = Options { params: case.params.clone() };
    let mut compiled = Vec::new();
    let mut mistakes = Vec::new();
    for (file, source) in &crate::packs::lay_over(packs) {
        let (pack, diagnostics) = lang::compile(source, file, &options);
        if diagnostics.iter().any(Diagnostic::is_error) {
            mistakes.push(lang::render(&diagnostics, source));
        }
        compiled.extend(pack.map(Arc::new));
    }
    if mistakes.is_empty() { Ok(compiled) } else { Err(mistakes) }
}

/// A violation, by what a test may say of it.
struct Seen {
    rule: String,
    at: Timestamp,
    key: Vec<(String, Option<Value>)>,
    message: String,
    matched: bool,
}

/// The events of a test, found by their places in it.
struct Written<'a>(&'a [Event]);

impl Evidence for Written<'_> {
    fn event(&mut self, position: Position) -> Option<Event> {
        self.0.get(position.record as usize).cloned()
    }
}

fn run_case(case: &Case, program: Program, fired: &mut Vec<String>, quiet: &mut Vec<String>) -> Outcome {
    let mut failures = Vec::new();
    let known: Vec<String> = program.rules().map(|(_, _, rule)| rule.id.clone()).collect();
    for rule in case.rules.iter().chain(case.expect.iter().map(|expected| &expected.rule)) {
        if !known.contains(rule) {
            failures.push(format!("there is no rule `{rule}`"));
        }
    }
    let mut engine = Engine::new(program, Timing::default(), Input::Offline);
    case.events.iter().for_each(|event| feed::event(&mut engine, event));
    let mut outputs: Vec<Output> = Vec::new();
    match case.until {
        Some(until) => {
            let end = BEGINNING.plus(until).plus(std::time::Duration::from_nanos(1));
            engine.judge_before(end, &mut outputs);
            // What breakers did last is said when time goes on.
            engine.judge_before(end, &mut outputs);
        }
        None => engine.finish(true, &mut outputs),
    }
    failures.extend(case.breakers.iter().filter_map(|expected| breaker_failure(expected, engine.program(), &outputs)));
    let standing = offline::standing(outputs);
    let under_test = |rule: &str| case.rules.is_empty() || case.rules.iter().any(|name| name == rule);
    let mut seen: Vec<Seen> = Vec::new();
    for violation in &standing {
        let (pack, rule) = engine.program().rule(violation.rule);
        fired.push(format!("{}/{}", pack.name, rule.id));
        let key = rule.key.iter().map(|part| part.name.clone()).zip(violation.key.iter().cloned()).collect();
        let asks = |expected: &Expectation| expected.message.is_some() && expected.rule == rule.id;
        let message = match case.expect.iter().any(asks) {
            true => freeze::freeze(engine.program(), violation, &mut Written(&case.events)).message,
            false => String::new(),
        };
        seen.push(Seen { rule: rule.id.clone(), at: violation.at, key, message, matched: false });
    }
    for (_, pack, rule) in engine.program().rules() {
        if under_test(&rule.id) && !seen.iter().any(|seen| seen.rule == rule.id) {
            quiet.push(format!("{}/{}", pack.name, rule.id));
        }
    }
    for expected in &case.expect {
        match seen.iter_mut().find(|seen| !seen.matched && fits(expected, seen)) {
            Some(seen) => seen.matched = true,
            None => {
                let otherwise = seen.iter().filter(|seen| !seen.matched && fits_but_message(expected, seen));
                let told: Vec<String> = otherwise.map(|seen| format!("`{}`", seen.message)).collect();
                let told = if told.is_empty() { String::new() } else { format!(": it says {}", told.join(", ")) };
                failures.push(format!("line {}: expected {}, not found{told}", expected.line, describe(expected)));
            }
        }
    }
    for extra in seen.iter().filter(|seen| !seen.matched && under_test(&seen.rule)) {
        failures.push(format!(
            "found {} at {}{}, not expected",
            extra.rule,
            relative(extra.at),
            describe_key(&extra.key)
        ));
    }
    Outcome { name: case.name.clone(), line: case.line, failures }
}

fn fits(expected: &Expectation, seen: &Seen) -> bool {
    fits_but_message(expected, seen) && expected.message.as_ref().is_none_or(|message| *message == seen.message)
}

fn fits_but_message(expected: &Expectation, seen: &Seen) -> bool {
    expected.rule == seen.rule && expected.at.is_none_or(|at| at == seen.at) && agrees(&expected.key, &seen.key)
}

/// Whether all that is expected of a key is so.
fn agrees(expected: &[(String, Value)], key: &[(String, Option<Value>)]) -> bool {
    expected.iter().all(|(name, value)| {
        key.iter().any(|(part, found)| {
            part == name && found.as_ref().is_some_and(|found| found == value || json::text(found) == json::text(value))
        })
    })
}

/// What is to be said of a breaker that is not as expected.
fn breaker_failure(expected: &BreakerExpectation, program: &Program, outputs: &[Output]) -> Option<String> {
    let known = program.packs().iter().flat_map(|pack| &pack.breakers).find(|known| known.id == expected.breaker);
    let Some(known) = known else {
        return Some(format!("line {}: there is no breaker `{}`", expected.line, expected.breaker));
    };
    let given: Vec<&str> =
        expected.key.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "network").collect();
    if given.len() != known.per.len() || known.per.iter().any(|part| !given.contains(&part.as_str())) {
        let parts = if known.per.is_empty() { "no parts".to_owned() } else { known.per.join(", ") };
        let (line, id) = (expected.line, &expected.breaker);
        return Some(format!("line {line}: the scope of the breaker `{id}` has {parts}: give them under `key`"));
    }
    let mut changes = outputs.iter().filter_map(|output| match output {
        Output::Breaker(change) if change.id == expected.breaker => Some(change),
        _ => None,
    });
    let state = changes
        .rfind(|change| {
            let network = Some(Value::from(change.network.as_str()));
            let scope: Vec<_> = change.scope.iter().cloned().chain([("network".to_owned(), network)]).collect();
            expected.at.is_none_or(|at| change.since <= at) && agrees(&expected.key, &scope)
        })
        .map_or(BreakerState::Closed, |change| change.state);
    (state != expected.is).then(|| {
        let key: Vec<_> = expected.key.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
        let at = expected.at.map_or("at the end".to_owned(), |at| format!("at {}", relative(at)));
        format!(
            "line {}: the breaker {}{} is {} {at}, expected {}",
            expected.line,
            expected.breaker,
            describe_key(&key),
            state.as_str(),
            expected.is.as_str()
        )
    })
}

fn describe(expected: &Expectation) -> String {
    let at = expected.at.map(|at| format!(" at {}", relative(at))).unwrap_or_default();
    let key: Vec<_> = expected.key.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
    let message = expected.message.as_ref().map(|message| format!(" with the message `{message}`"));
    format!("{}{at}{}{}", expected.rule, describe_key(&key), message.unwrap_or_default())
}

fn describe_key(key: &[(String, Option<Value>)]) -> String {
    let parts: Vec<String> =
        key.iter().filter_map(|(name, value)| Some(format!("{name}={}", json::text(value.as_ref()?)))).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

fn relative(at: Timestamp) -> String {
    event::format_duration(at.since(BEGINNING))
}
