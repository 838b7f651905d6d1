//! Patterns: which events play a role, and what of them is read and kept.
mod layout;
mod slots;
mod trees;

use std::ops::Range;

use engine::{BodyTemplate, EventDecl, Glob, TemplateError};

use crate::{
    breaker, clock,
    diagnostic::Code,
    emits::{self, Verdicts},
    fact::Known,
    fields::{Fields, Params, Report, text, texts},
    lint,
    names::{Problem, Variable},
    suggest, syntax,
    yaml::{Node, Yaml},
};
pub(crate) use layout::Layout;

/// What all patterns of a pack may refer to.
pub(crate) struct Context<'c> {
    pub(crate) params: &'c Params,
    pub(crate) events: &'c [EventDecl],
    /// The facts declared so far.
    pub(crate) facts: &'c [Known],
    /// The facts as written, for what is made of their patterns elsewhere.
    pub(crate) fact_nodes: &'c [(crate::yaml::Key, Node)],
    pub(crate) topology: &'c [engine::Component],
    pub(crate) clocks: &'c [clock::Known],
    /// The breakers, as written.
    pub(crate) breakers: &'c [breaker::Known],
    /// Records may be meant that no vocabulary declares: these patterns make events out of them.
    pub(crate) raw: bool,
    /// Derived events further down, which cannot be meant yet.
    pub(crate) later: &'c [&'c str],
    /// Verdicts that may be meant.
    pub(crate) verdicts: Verdicts<'c>,
}

impl Context<'_> {
    /// Whether a component may be meant; nothing (as a name that is not written out) may.
    pub(crate) fn component(&self, name: &str) -> Result<(), Problem> {
        if name.is_empty() || self.topology.is_empty() || self.topology.iter().any(|known| known.name == name) {
            return Ok(());
        }
        let problem = Problem::new(Code::Reference, format!("there is no component `{name}`"));
        Err(match suggest::closest(name, self.topology.iter().map(|known| known.name.as_str())) {
            Some(meant) => problem.help(format!("did you mean `{meant}`?")),
            None => problem.help("declare it in the topology"),
        })
    }
}

/// An expression's tree with the place of its text.
#[derive(Clone)]
pub(crate) struct Parsed<'n> {
    pub(crate) node: &'n Node,
    pub(crate) offset: usize,
    pub(crate) tree: syntax::Node,
}

impl<'n> Parsed<'n> {
    /// Parses the text of a scalar from `offset` on.
    pub(crate) fn of(node: &'n Node, offset: usize, report: &mut Report<'_>) -> Option<Self> {
        let whole = node.scalar()?;
        match syntax::parse(&whole[offset..]) {
            Ok(tree) => Some(Parsed { node, offset, tree }),
            Err(error) => {
                let code = if error.too_large { Code::ExpressionTooLarge } else { Code::ExpressionSyntax };
                let problem = Problem { code, message: error.message, span: error.span, help: error.help };
                report.inside(node, offset, problem);
                None
            }
        }
    }
}

/// A pattern as written.
#[derive(Clone)]
pub(crate) struct Written<'n> {
    pub(crate) name: Glob,
    name_span: Range<usize>,
    component: Option<Glob>,
    severity: Option<i32>,
    body: Option<BodyTemplate>,
    condition: Option<Parsed<'n>>,
    lets: Vec<(String, Parsed<'n>)>,
    each: Vec<(String, Parsed<'n>)>,
    key: Option<Vec<(String, Range<usize>)>>,
}

impl Written<'_> {
    /// Whether both match the same events, as far as their texts say.
    fn same(&self, other: &Self) -> bool {
        let text = |parsed: &Parsed<'_>| parsed.node.scalar().map(|text| text[parsed.offset..].to_owned());
        let all = |named: &[(String, Parsed<'_>)]| -> Vec<_> {
            named.iter().map(|(name, parsed)| (name.clone(), text(parsed))).collect()
        };
        let key = |written: &Self| -> Option<Vec<String>> {
            Some(written.key.as_ref()?.iter().map(|(name, _)| name.clone()).collect())
        };
        self.name.as_str() == other.name.as_str()
            && self.component.as_ref().map(Glob::as_str) == other.component.as_ref().map(Glob::as_str)
            && self.severity == other.severity
            && format!("{:?}", self.body) == format!("{:?}", other.body)
            && self.condition.as_ref().map(text) == other.condition.as_ref().map(text)
            && all(&self.lets) == all(&other.lets)
            && all(&self.each) == all(&other.each)
            && key(self) == key(other)
    }
}

/// A role as written.
pub(crate) struct WrittenRole<'n> {
    pub(crate) name: String,
    /// What the kind calls it, when `as` gave it another name.
    pub(crate) word: &'static str,
    pub(crate) alternatives: Vec<Written<'n>>,
    /// Variables that later conditions ask for; they come first in every alternative's slots.
    pub(crate) kept: Vec<Variable>,
}

impl<'n> WrittenRole<'n> {
    /// Where the names of its alternatives stand.
    pub(crate) fn spans(&self) -> impl Iterator<Item = Range<usize>> {
        self.alternatives.iter().map(|written| written.name_span.clone())
    }

    /// The names that its alternatives define, each with what it means in all of them.
    pub(crate) fn lets(&self) -> impl Iterator<Item = (&str, &syntax::Node)> {
        let all = || self.alternatives.iter().flat_map(|written| &written.lets);
        all()
            .filter(move |(name, parsed)| {
                let same = |other: &Parsed<'_>| other.node.scalar() == parsed.node.scalar();
                all().all(|(known, other)| known != name || same(other))
            })
            .map(|(name, parsed)| (name.as_str(), &parsed.tree))
    }

    /// Where this role has an alternative that the other one has too.
    pub(crate) fn shared(&self, other: &Self) -> Option<Range<usize>> {
        let both = self.alternatives.iter().find(|written| other.alternatives.iter().any(|other| written.same(other)));
        both.map(|written| written.name_span.clone())
    }

    /// Where this role's alternatives begin, when they are the other one's.
    pub(crate) fn same(&self, other: &Self) -> Option<Range<usize>> {
        let within = |a: &Self, b: &Self| a.alternatives.iter().all(|a| b.alternatives.iter().any(|b| a.same(b)));
        let first = self.alternatives.first()?;
        (within(self, other) && within(other, self)).then(|| first.name_span.clone())
    }

    /// Gives every alternative a `let` of that name.
    pub(crate) fn bind(&mut self, name: &str, parsed: &Parsed<'n>) {
        for written in &mut self.alternatives {
            written.lets.push((name.to_owned(), parsed.clone()));
        }
    }
}

/// Reads a pattern, or a list of them.
pub(crate) fn read<'n>(
    node: &'n Node,
    word: &'static str,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> WrittenRole<'n> {
    let mut role = WrittenRole { name: word.to_owned(), word, alternatives: Vec::new(), kept: Vec::new() };
    match &node.value {
        Yaml::List(items) => items.iter().for_each(|item| one(item, &mut role, cx, report)),
        _ => one(node, &mut role, cx, report),
    }
    role.alternatives.iter().filter_map(|written| written.condition.as_ref()).for_each(|condition| {
        lint::condition::warn(condition, report);
    });
    role
}

fn one<'n>(node: &'n Node, role: &mut WrittenRole<'n>, cx: &Context<'_>, report: &mut Report<'_>) {
    match &node.value {
        Yaml::Text(whole) => {
            let (name, condition) = match whole.split_once(" where ") {
                Some((name, rest)) => (name, Parsed::of(node, whole.len() - rest.len(), report)),
                None => (whole.as_str(), None),
            };
            let name_span = node.span.start..node.span.start + name.len().max(1);
            let names = match name.trim() {
                breaker::CHANGED => breaker::meant(&name_span, None, cx, report),
                name => emits::meant(vec![(name.to_owned(), name_span)], None, cx.verdicts, report),
            };
            for (name, span) in names {
                push(role, &name, span, cx, report, |written| written.condition = condition.clone());
            }
        }
        Yaml::Map(_) => {
            let Some(mut fields) = Fields::of(node, "pattern", report) else { return };
            let worded = fields.has("body");
            let body = fields.take("body").and_then(|node| body(node, report));
            // A plain log record has no name of its own.
            let names = match fields.take("event") {
                Some(event) => texts(event, report),
                None if worded => vec![("log".to_owned(), node.span.start..node.span.start + 1)],
                None => fields.need("event", report).map(|event| texts(event, report)).unwrap_or_default(),
            };
            let severity = fields.take("severity").and_then(|node| severity(node, report));
            let condition = fields.take("where").and_then(|node| Parsed::of(node, 0, report));
            let component = fields.take("component").and_then(|node| component(node, cx, report));
            let mut lets = Vec::new();
            if let Some(node) = fields.take("let") {
                match &node.value {
                    Yaml::Map(entries) => {
                        for (name, value) in entries {
                            lets.extend(Parsed::of(value, 0, report).map(|parsed| (name.name.clone(), parsed)));
                        }
                    }
                    _ => drop(report.error(Code::Shape, &node.span, "`let` is a map of names and expressions")),
                }
            }
            let mut each = Vec::new();
            if let Some(node) = fields.take("for_each") {
                let items = match &node.value {
                    Yaml::List(items) => items.as_slice(),
                    _ => std::slice::from_ref(node),
                };
                for item in items {
                    let Some(mut nest) = Fields::of(item, "for_each", report) else { continue };
                    let over = nest.need("in", report).and_then(|node| Parsed::of(node, 0, report));
                    let name = nest.need("as", report).and_then(|node| text(node, report));
                    each.extend(name.zip(over));
                    nest.finish(report);
                }
            }
            let key = fields.take("key").map(|node| texts(node, report));
            let rules = fields.take("rule").map(|node| texts(node, report));
            let breakers = fields.take("breaker").map(|node| texts(node, report));
            let (changes, names): (Vec<_>, Vec<_>) = names.into_iter().partition(|(name, _)| name == breaker::CHANGED);
            let names = emits::meant(names, rules, cx.verdicts, report);
            if let (Some((_, span)), true) = (breakers.iter().flatten().next(), changes.is_empty()) {
                let help = format!("it belongs to `{}`", breaker::CHANGED);
                let message = "`breaker` says whose changes are meant, and this event is none";
                report.error_help(Code::Shape, span, message, help);
            }
            let changes = changes.iter().flat_map(|(_, span)| breaker::meant(span, breakers.as_ref(), cx, report));
            let names: Vec<(String, Range<usize>)> = names.into_iter().chain(changes.collect::<Vec<_>>()).collect();
            if let Some(name) = fields.take("as").and_then(|node| text(node, report)) {
                role.name = name;
            }
            if role.word.starts_with("step") {
                // Read by the kind.
                fields.take("if");
            }
            fields.finish(report);
            for (name, span) in names {
                push(role, &name, span, cx, report, |written| {
                    written.component = component.clone();
                    written.severity = severity;
                    written.body = body.clone();
                    written.condition = condition.clone();
                    written.lets = lets.clone();
                    written.each = each.clone();
                    written.key = key.clone();
                });
            }
        }
        _ => {
            let message = format!("a pattern is an event's name or a map with `event`, this is {}", node.shape());
            report.error_help(
                Code::Shape,
                &node.span,
                message,
                "write `name`, `name where condition`, or a list of these",
            );
        }
    }
}

fn push<'n>(
    role: &mut WrittenRole<'n>,
    name: &str,
    name_span: Range<usize>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
    fill: impl FnOnce(&mut Written<'n>),
) {
    let glob = Glob::new(name);
    let known = |declared: &&EventDecl| glob.matches(&declared.name);
    let raw = name == "log" || (cx.raw && glob.literal().is_none());
    if let Some(later) = cx.later.iter().find(|later| glob.matches(later)) {
        report.error_help(
            Code::Cycle,
            &name_span,
            format!("`{later}` is derived further down"),
            "a derived event rests on those above it, so that none rests on itself: change their order",
        );
    } else if let Some((made, rule)) = cx.verdicts.below.iter().find(|(made, _)| made == name) {
        let help = if cx.verdicts.in_rule {
            "rules build on rules above them, so that none builds on itself: change their order"
        } else {
            "let a rule build on it"
        };
        let message = format!("`{made}` is made by the rule `{rule}`, on which this cannot build");
        report.error_help(Code::Cycle, &name_span, message, help);
    } else if !cx.verdicts.in_rule && cx.verdicts.firsts.contains(&name) {
        let message = format!("only rules can build on `{name}`: which event is the first may turn out later");
        report.error_help(Code::Unsupported, &name_span, message, "let a rule build on it, and this on every event");
    } else if !cx.events.is_empty()
        && !raw
        && !name.starts_with("invar.")
        && !cx.events.iter().any(|event| known(&event))
    {
        let message = format!("unknown event `{name}`");
        let help = match suggest::closest(name, cx.events.iter().map(|event| event.name.as_str())) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "declare it under `events:`".to_owned(),
        };
        report.error_help(Code::Event, &name_span, message, help);
    }
    let mut written = Written {
        name: glob,
        name_span,
        component: None,
        severity: None,
        body: None,
        condition: None,
        lets: Vec::new(),
        each: Vec::new(),
        key: None,
    };
    fill(&mut written);
    role.alternatives.push(written);
}

/// Components by name. One that the topology does not have may be meant, as a scope that is no part of it; one that it all
/// but has is not.
fn component(node: &Node, cx: &Context<'_>, report: &mut Report<'_>) -> Option<Glob> {
    let name = text(node, report)?;
    let known = || cx.topology.iter().map(|known| known.name.as_str());
    if known().all(|known| known != name)
        && suggest::nearly(&name, known()).is_some()
        && let Err(problem) = cx.component(&name)
    {
        report.inside(node, 0, Problem { span: 0..name.len(), ..problem });
    }
    Some(Glob::new(&name))
}

/// A body's template.
fn body(node: &Node, report: &mut Report<'_>) -> Option<BodyTemplate> {
    let whole = text(node, report)?;
    let (message, at) = match BodyTemplate::parse(&whole) {
        Ok(template) => return Some(template),
        Err(TemplateError::Brace(at)) => ("this brace has no partner", at),
        Err(TemplateError::Adjacent(at)) => ("nothing says where the capture before this one ends", at),
        Err(TemplateError::Twice(at)) => ("this name is taken already", at),
    };
    let problem = Problem { span: at..at + 1, ..Problem::new(Code::ExpressionSyntax, message) };
    report.inside(
        node,
        0,
        problem.help("`{name}` keeps what stands there, `{}` skips it, a brace that is meant is `{{`"),
    );
    None
}

/// A least severity, by the names of OpenTelemetry's log data model or as its number.
fn severity(node: &Node, report: &mut Report<'_>) -> Option<i32> {
    let whole = text(node, report)?;
    let names = [("trace", 1), ("debug", 5), ("info", 9), ("warn", 13), ("error", 17), ("fatal", 21)];
    let named = names.iter().find(|(name, _)| *name == whole.to_ascii_lowercase()).map(|(_, number)| *number);
    let found = named.or_else(|| whole.parse().ok().filter(|number| (1..=24).contains(number)));
    if found.is_none() {
        let message = format!("`{whole}` is no severity of a log record");
        let help = match suggest::closest(&whole, names.iter().map(|(name, _)| *name)) {
            _ if engine::Severity::parse(&whole).is_some() => {
                "how bad a violation is stands beside the kind; in a pattern it is the least severity of a log record"
                    .to_owned()
            }
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "trace, debug, info, warn, error, fatal, or 1 to 24".to_owned(),
        };
        report.error_help(Code::Shape, &node.span, message, help);
    }
    found
}
