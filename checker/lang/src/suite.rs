//! Tests beside a pack: `NAME.test.yaml`.
//!
//! ```yaml
//! pack: aptos-quorum-store.yaml        # beside the test file; a list for several
//! tests:
//!   - name: a batch is stored that was never announced
//!     rules: [stored-batch-was-announced]      # under test: of these nothing else may fire; default: every rule
//!     params: {breaker_failures: 3}            # in place of the pack's own
//!     events:
//!       - {at: 0s, node: n1, component: batch_store, event: quorum_store.batch.persisted, attrs: {is_remote: true}}
//!     until: 40s                               # time runs on so far; default: until all deadlines have passed
//!     expect:
//!       - {rule: stored-batch-was-announced, at: 0s, key: {node: n1}}      # `at` and parts of the key may be left out
//!       - {breaker: coordinator-to-generator, at: 3s, key: {node: n1}, is: open}      # `at`: else at the end
//! ```
//!
//! Times are relative to a fixed beginning. Events may also carry `network`, `resource`, `body`, `severity` and
//! `trace_id`.
use std::time::Duration;

use engine::breaker::BreakerState;
use event::{Event, Identity, Int, Position, Source, Timestamp, Value};

use crate::{
    bites,
    choice::choice,
    diagnostic::{Code, Diagnostic},
    fields::{Fields, Params, Report, text, texts},
    yaml::{self, Node, Yaml},
};

/// When every test begins: 2026-11-24T06:00:00Z.
pub const BEGINNING: Timestamp = Timestamp(1_795_500_000_000_000_000);

/// A file of tests.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// The packs' files, relative to the test file.
    pub packs: Vec<String>,
    /// The tests, in order.
    pub cases: Vec<Case>,
}

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Its line in the file.
    pub line: usize,
    /// The rules under test; empty: all.
    pub rules: Vec<String>,
    /// Parameters in place of the pack's own.
    pub params: Vec<(String, String)>,
    /// What happens, in the order written.
    pub events: Vec<Event>,
    /// How far time runs; none: until all deadlines have passed.
    pub until: Option<Duration>,
    /// The violations that must be found, and no others of the rules under test.
    pub expect: Vec<Expectation>,
    /// States in which breakers must be.
    pub breakers: Vec<BreakerExpectation>,
}

/// A violation that must be found.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Its rule.
    pub rule: String,
    /// When, if that matters.
    pub at: Option<Timestamp>,
    /// Parts of its key, by name.
    pub key: Vec<(String, Value)>,
    /// What people are told, if that matters.
    pub message: Option<String>,
    /// Its line in the file.
    pub line: usize,
}

/// A state in which a breaker must be.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerExpectation {
    /// Its id.
    pub breaker: String,
    /// When; none: at the end. What happens at that time has happened.
    pub at: Option<Timestamp>,
    /// All parts of its scope, by name.
    pub key: Vec<(String, Value)>,
    /// The state.
    pub is: BreakerState,
    /// Its line in the file.
    pub line: usize,
}

/// Reads a file of tests, collecting every mistake.
#[must_use]
pub fn read(source: &str, file: &str) -> (Option<Suite>, Vec<Diagnostic>) {
    let mut report = Report { source, file, diagnostics: Vec::new() };
    let document = match yaml::read(source, file) {
        Ok(mut document) => {
            bites::mend(&mut document, &mut report);
            document
        }
        Err(diagnostic) => return (None, vec![*diagnostic]),
    };
    let suite = suite(&document, &mut report);
    let broken = report.diagnostics.iter().any(Diagnostic::is_error);
    (suite.filter(|_| !broken), report.diagnostics)
}

fn suite(document: &Node, report: &mut Report<'_>) -> Option<Suite> {
    let mut fields = Fields::of(document, "test file", report)?;
    let packs = fields.need("pack", report).map(|node| texts(node, report)).unwrap_or_default();
    let mut cases = Vec::new();
    if let Some(node) = fields.need("tests", report) {
        match &node.value {
            Yaml::List(items) => cases.extend(items.iter().filter_map(|item| case(item, report))),
            _ => drop(report.error(Code::Shape, &node.span, "`tests` is a list")),
        }
    }
    fields.finish(report);
    Some(Suite { packs: packs.into_iter().map(|(pack, _)| pack).collect(), cases })
}

fn line_of(node: &Node, report: &Report<'_>) -> usize {
    report.source[..node.span.start].matches('\n').count() + 1
}

fn case(node: &Node, report: &mut Report<'_>) -> Option<Case> {
    let mut fields = Fields::of(node, "test", report)?;
    let name = fields.need("name", report).and_then(|node| text(node, report));
    let rules = fields.take("rules").map(|node| texts(node, report)).unwrap_or_default();
    let params = match fields.take("params").map(|node| (&node.value, node)) {
        Some((Yaml::Map(entries), _)) => {
            entries.iter().filter_map(|(key, value)| Some((key.name.clone(), text(value, report)?))).collect()
        }
        Some((_, node)) => {
            report.error(Code::Shape, &node.span, "`params` is a map");
            Vec::new()
        }
        None => Vec::new(),
    };
    let events: Vec<Event> = match fields.need("events", report).map(|node| (&node.value, node)) {
        Some((Yaml::List(items), _)) => {
            items.iter().enumerate().filter_map(|(number, item)| event(item, number, report)).collect()
        }
        Some((_, node)) => {
            report.error(Code::Shape, &node.span, "`events` is a list");
            Vec::new()
        }
        None => Vec::new(),
    };
    let until = fields.take("until").and_then(|node| Params::default().duration(node, report));
    let (mut expect, mut breakers) = (Vec::new(), Vec::new());
    match fields.need_present("expect", report).map(|node| (&node.value, node)) {
        Some((Yaml::List(items), _)) => {
            for item in items {
                match item.field("breaker") {
                    Some(_) => breakers.extend(breaker_expectation(item, report)),
                    None => expect.extend(expectation(item, report)),
                }
            }
        }
        Some((Yaml::Null, _)) | None => {}
        Some((_, node)) => {
            report.error_help(
                Code::Shape,
                &node.span,
                "`expect` is a list",
                "write `expect: []` when nothing may fire",
            );
        }
    }
    fields.finish(report);
    Some(Case {
        name: name?,
        line: line_of(node, report),
        rules: rules.into_iter().map(|(rule, _)| rule).collect(),
        params,
        events,
        until,
        expect,
        breakers,
    })
}

fn event(node: &Node, number: usize, report: &mut Report<'_>) -> Option<Event> {
    let mut fields = Fields::of(node, "test event", report)?;
    let at = fields.need("at", report).and_then(|node| Params::default().duration(node, report));
    let name = fields.need("event", report).and_then(|node| text(node, report));
    let mut word = |name: &'static str, report: &mut Report<'_>| {
        fields.take(name).and_then(|node| text(node, report)).unwrap_or_default()
    };
    let source =
        Source { network: word("network", report), node: word("node", report), component: word("component", report) };
    let trace_id = word("trace_id", report);
    let attrs = fields.take("attrs").map(|node| map(node, report)).unwrap_or_default();
    let resource = fields.take("resource").map(|node| map(node, report)).unwrap_or_default();
    let body = fields.take("body").map(value).unwrap_or_default();
    let severity = fields.take("severity").and_then(|node| Params::default().number(node, report)).unwrap_or(0);
    fields.finish(report);
    Some(Event {
        position: Position { partition: 0, frame: 1, record: number as u32 },
        // Every line is an event of its own, also when two lines say the same.
        identity: Identity(number as u128 + 1),
        ts: BEGINNING.plus(at?),
        source,
        name: name?,
        attrs,
        resource,
        body,
        trace_id,
        severity: i32::try_from(severity).unwrap_or(0),
        ..Event::default()
    })
}

fn map(node: &Node, report: &mut Report<'_>) -> Vec<(String, Value)> {
    match &node.value {
        Yaml::Map(entries) => entries.iter().map(|(key, node)| (key.name.clone(), value(node))).collect(),
        _ => {
            report.error(Code::Shape, &node.span, "a map of names and values is needed here");
            Vec::new()
        }
    }
}

fn value(node: &Node) -> Value {
    match &node.value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => Value::Bool(*value),
        Yaml::Number(text) => match (Int::parse(text), text.parse()) {
            (Some(int), _) => Value::Int(int),
            (None, Ok(double)) => Value::Double(double),
            (None, Err(_)) => Value::from(text.as_str()),
        },
        Yaml::Text(text) => Value::from(text.as_str()),
        Yaml::List(items) => Value::List(items.iter().map(value).collect()),
        Yaml::Map(entries) => {
            Value::Map(entries.iter().map(|(key, node)| (key.name.as_str().into(), value(node))).collect())
        }
    }
}

fn expectation(node: &Node, report: &mut Report<'_>) -> Option<Expectation> {
    let mut fields = Fields::of(node, "expectation", report)?;
    let rule = fields.need("rule", report).and_then(|node| text(node, report));
    let at = fields.take("at").and_then(|node| Params::default().duration(node, report));
    let key = fields.take("key").map(|node| map(node, report)).unwrap_or_default();
    let message = fields.take("message").and_then(|node| text(node, report));
    fields.finish(report);
    Some(Expectation { rule: rule?, at: at.map(|at| BEGINNING.plus(at)), key, message, line: line_of(node, report) })
}

fn breaker_expectation(node: &Node, report: &mut Report<'_>) -> Option<BreakerExpectation> {
    let mut fields = Fields::of(node, "breaker expectation", report)?;
    let breaker = fields.need("breaker", report).and_then(|node| text(node, report));
    let at = fields.take("at").and_then(|node| Params::default().duration(node, report));
    let key = fields.take("key").map(|node| map(node, report)).unwrap_or_default();
    let states =
        [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen].map(|state| (state.as_str(), state));
    let is = fields.need("is", report).and_then(|node| choice(node, "is", &states, report));
    fields.finish(report);
    let at = at.map(|at| BEGINNING.plus(at));
    Some(BreakerExpectation { breaker: breaker?, at, key, is: is?, line: line_of(node, report) })
}
