//! Circuit breakers, and rules that ask what state one is in.
use std::ops::Range;

use engine::BreakerDef;

use crate::{
    choice::choice,
    diagnostic::Code,
    fields::{Fields, Report, text, texts},
    names::Problem,
    pattern::{self, Context, Layout},
    rule, suggest,
    yaml::{Node, Yaml},
};

/// What a rule must know of a breaker that it asks for: it is compiled after the rules.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: String,
    /// The names of its scope's parts.
    pub(crate) per: Vec<String>,
    /// The rules that trip it.
    trips: Vec<String>,
}

/// The breakers of a pack as they are written.
pub(crate) fn written(nodes: &[Node]) -> Vec<Known> {
    let all = |node: Option<&Node>| match node {
        Some(Node { value: Yaml::List(items), .. }) => items.iter().filter_map(Node::scalar).collect(),
        Some(one) => one.scalar().into_iter().collect(),
        None => Vec::new(),
    };
    let known = nodes.iter().filter_map(|node| {
        let trips = node.field("trip").and_then(|trip| trip.field("rules"));
        Some(Known { id: node.field("id")?.scalar()?, per: all(node.field("per")), trips: all(trips) })
    });
    known.collect()
}

/// The event that every change of a breaker makes.
pub(crate) const CHANGED: &str = "invar.breaker.changed";

/// The name of the events that a pattern on the changes of breakers means.
pub(crate) fn meant(
    name_span: &Range<usize>,
    breakers: Option<&Vec<(String, Range<usize>)>>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Vec<(String, Range<usize>)> {
    let Some(breakers) = breakers else {
        let help = "write `breaker: ID` beside it, with a breaker that rules above this one trip";
        report.error_help(Code::MissingField, name_span, format!("`{CHANGED}` of which breaker?"), help);
        return Vec::new();
    };
    if !cx.verdicts.in_rule {
        let help = "let a rule build on the change, and this on events";
        report.error_help(Code::Unsupported, name_span, "only rules can build on what breakers do", help);
        return Vec::new();
    }
    let mut all = Vec::new();
    for (breaker, span) in breakers {
        match find(breaker, cx.breakers, cx.verdicts.above) {
            Ok((_, known)) => all.push((BreakerDef::changes_of(&known.id), name_span.clone())),
            Err(problem) => report.error_help(problem.code, span, problem.message, problem.help.unwrap_or_default()),
        }
    }
    all
}

/// The breaker of that name, with its number, if a rule below the rules `above` may ask for it.
pub(crate) fn find<'k>(name: &str, known: &'k [Known], above: &[String]) -> Result<(u16, &'k Known), Problem> {
    let Some(place) = known.iter().position(|breaker| breaker.id == name) else {
        let problem = Problem::new(Code::Reference, format!("there is no breaker `{name}`"));
        return Err(match suggest::closest(name, known.iter().map(|known| known.id.as_str())) {
            Some(meant) => problem.help(format!("did you mean `{meant}`?")),
            None => problem.help("declare it under `breakers`"),
        });
    };
    let breaker = &known[place];
    if let Some(rule) = breaker.trips.iter().find(|rule| !above.contains(rule)) {
        let message = format!("`{name}` is tripped by the rule `{rule}`, which does not stand above this one");
        return Err(Problem::new(Code::Cycle, message).help(
            "a rule asks for breakers that rules above it trip, so that none waits for itself: change their order",
        ));
    }
    Ok((place as u16, breaker))
}

/// Compiles a breaker; `rules` are those of its pack.
pub(crate) fn compile(node: &Node, rules: &[String], cx: &Context<'_>, report: &mut Report<'_>) -> Option<BreakerDef> {
    let mut fields = Fields::of(node, "breaker", report)?;
    let id = fields.need("id", report).and_then(|node| text(node, report));
    let about = fields.take("about").and_then(|node| text(node, report)).unwrap_or_default();
    let guards = fields.take("guards").and_then(|node| guards(node, cx, report)).unwrap_or_default();
    let per = fields.take("per").map(|node| rule::key_parts(node, report)).unwrap_or_default();
    let mut trip_rules = Vec::new();
    let (mut trip_count, mut trip_within) = (1, None);
    if let Some(mut trip) = fields.need("trip", report).and_then(|node| Fields::of(node, "trip", report)) {
        let span = trip.span().clone();
        for (rule, span) in trip.take("rules").map(|node| texts(node, report)).unwrap_or_default() {
            if !rules.contains(&rule) {
                let help = match suggest::closest(&rule, rules.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("rules of this pack: {}", rules.join(", ")),
                };
                report.error_help(Code::Reference, &span, format!("there is no rule `{rule}`"), help);
            }
            trip_rules.push(rule);
        }
        if trip_rules.is_empty() {
            report.warning(Code::Untripped, &span, "no rule trips this breaker", "name some under `trip: rules:`");
        }
        trip_count = trip.take("count").and_then(|node| cx.params.number(node, report)).unwrap_or(1);
        trip_within = trip.take("within").and_then(|node| cx.params.duration(node, report));
        trip.finish(report);
    }
    let half_open_after = fields
        .take("half_open_after")
        .and_then(|node| cx.params.duration(node, report))
        .unwrap_or(std::time::Duration::from_secs(30));
    let (mut close, mut close_count) = (None, 1);
    if let Some(mut inner) = fields.take("close").and_then(|node| Fields::of(node, "close", report)) {
        close = inner.need("event", report).map(|node| {
            let mut roles = vec![pattern::read(node, "close", cx, report)];
            Layout { cx, roles: &mut roles }.role(0, &per, report)
        });
        close_count = inner.take("count").and_then(|node| cx.params.number(node, report)).unwrap_or(1);
        inner.finish(report);
    }
    let enforcing = fields.take("mode").is_some_and(|node| {
        let Some(followed) = cx.params.follow(node, report) else { return false };
        let node = Node { value: followed.value.clone(), span: node.span.clone() };
        choice(&node, "mode", &[("advisory", false), ("enforcing", true)], report).unwrap_or(false)
    });
    fields.finish(report);
    Some(BreakerDef {
        id: id?,
        about,
        guards,
        per: per.into_iter().map(|part| part.name).collect(),
        trip_rules,
        trip_count: u32::try_from(trip_count).unwrap_or(u32::MAX),
        trip_within,
        half_open_after,
        close,
        close_count: u32::try_from(close_count).unwrap_or(u32::MAX),
        enforcing,
    })
}

/// `from -> to`, or one component, of which each must be in the topology.
fn guards(node: &Node, cx: &Context<'_>, report: &mut Report<'_>) -> Option<String> {
    let whole = text(node, report)?;
    let mut at = 0;
    for part in whole.split("->") {
        let name = part.trim();
        let start = at + part.len() - part.trim_start().len();
        if let Err(problem) = cx.component(name) {
            report.inside(node, 0, Problem { span: start..start + name.len(), ..problem });
        }
        at += part.len() + "->".len();
    }
    Some(whole)
}
