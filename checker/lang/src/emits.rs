//! `emits`: events that a rule's verdicts make, and patterns on verdicts. Rules build on rules above them, so that none
//! builds on itself.
use std::ops::Range;

use engine::{Emit, EmitOn, EventDecl, KeyPart, Kind, Rule, Type, expr::Expr};
use event::Value;

use crate::{
    choice::choice,
    diagnostic::Code,
    fields::{Fields, Params, Report, text},
    kind::figures::Figures,
    names,
    pattern::Parsed,
    suggest,
    yaml::{Node, Yaml},
};

/// The events that every verdict makes.
const BUILT_IN: &[(&str, EmitOn)] = &[("invar.violated", EmitOn::Violated), ("invar.resolved", EmitOn::Resolved)];

/// The rules whose verdicts may be meant, and what may not be meant yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdicts<'c> {
    /// The ids of the rules above.
    pub(crate) above: &'c [String],
    /// Events that are made by rules that do not stand above, with the rule.
    pub(crate) below: &'c [(String, String)],
    /// Only rules may build on verdicts.
    pub(crate) in_rule: bool,
}

/// Whether that is the name of an event that verdicts make by themselves.
pub(crate) fn is_built_in(name: &str) -> bool {
    BUILT_IN.iter().any(|(known, _)| *known == name)
}

/// The events that a rule makes as it is written, for those who would build on it too early.
pub(crate) fn written(rule: &Node) -> Vec<(String, String)> {
    let id = rule.field("id").and_then(Node::scalar).unwrap_or_default();
    let items = match rule.field("emits") {
        Some(Node { value: Yaml::List(items), .. }) => items.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    let events = items.iter().filter_map(|item| item.field("event")?.scalar());
    events.map(|event| (event, id.clone())).collect()
}

/// The name by which an event of one rule's verdicts is known.
fn of_rule(name: &str, rule: &str) -> String {
    format!("{name}/{rule}")
}

/// The names of the events that a pattern on verdicts means.
pub(crate) fn meant(
    names: Vec<(String, Range<usize>)>,
    rules: Option<Vec<(String, Range<usize>)>>,
    verdicts: Verdicts<'_>,
    report: &mut Report<'_>,
) -> Vec<(String, Range<usize>)> {
    let mut all = Vec::new();
    for (name, span) in names {
        match (is_built_in(&name), &rules) {
            (false, None) => all.push((name, span)),
            (false, Some(rules)) => {
                let (_, rule) = rules.first().cloned().unwrap_or((String::new(), span.clone()));
                let message = format!("`rule` says whose verdicts are meant, and `{name}` is none");
                report.error_help(Code::Shape, &rule, message, "it belongs to `invar.violated` and `invar.resolved`");
                all.push((name, span));
            }
            (true, None) => {
                let help = "write `rule: ID` beside it, with a rule above this one";
                report.error_help(Code::MissingField, &span, format!("`{name}` of which rule?"), help);
            }
            (true, Some(_)) if !verdicts.in_rule => {
                let help = "let a rule build on the verdict, and this on events";
                report.error_help(Code::Unsupported, &span, "only rules can build on verdicts", help);
            }
            (true, Some(rules)) => {
                for (rule, at) in rules {
                    if verdicts.above.contains(rule) {
                        all.push((of_rule(&name, rule), span.clone()));
                        continue;
                    }
                    let above = verdicts.above.iter().map(String::as_str);
                    let help = match suggest::closest(rule, above) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => "rules build on rules above them, so that none builds on itself".to_owned(),
                    };
                    report.error_help(Code::Reference, at, format!("there is no rule `{rule}` above this one"), help);
                }
            }
        }
    }
    all
}

/// Has the rules above make the verdict events that a rule asks for; returns what the rule's meaning rests on.
pub(crate) fn provide(rule: &Rule, above: &mut [Rule]) -> u64 {
    let mut rests_on = 0;
    for name in rule.roles.iter().flat_map(|role| &role.alternatives).filter_map(|pattern| pattern.name.literal()) {
        for (built_in, on) in BUILT_IN {
            let Some(id) = name.strip_prefix(built_in).and_then(|rest| rest.strip_prefix('/')) else { continue };
            for known in above.iter_mut().filter(|known| known.id == id) {
                if !known.emits.iter().any(|emit| emit.event == name) {
                    known.emits.push(plain(known, *on, name.to_owned()));
                }
            }
        }
        for known in above.iter().filter(|known| known.emits.iter().any(|emit| emit.event == name)) {
            rests_on ^= known.digest.rotate_left(7);
        }
    }
    rests_on
}

/// An event with the rule's id and the parts of its key.
fn plain(rule: &Rule, on: EmitOn, event: String) -> Emit {
    let names: Vec<String> = rule.key.iter().map(|part| part.name.clone()).collect();
    let mut attrs: Vec<(String, Expr)> =
        names.iter().enumerate().map(|(slot, name)| (name.clone(), Expr::Slot(slot as u16))).collect();
    attrs.push(("rule".to_owned(), Expr::Const(Value::from(rule.id.as_str()))));
    Emit { on, event, names, attrs }
}

/// Compiles what a rule emits, with the declarations of those events.
pub(crate) fn compile(
    node: &Node,
    kind: &Kind,
    key: &[KeyPart],
    params: &Params,
    known: &[EventDecl],
    report: &mut Report<'_>,
) -> Vec<(Emit, EventDecl)> {
    let items = match &node.value {
        Yaml::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    items.iter().filter_map(|item| one(item, kind, key, params, known, report)).collect()
}

fn one(
    node: &Node,
    kind: &Kind,
    key: &[KeyPart],
    params: &Params,
    known: &[EventDecl],
    report: &mut Report<'_>,
) -> Option<(Emit, EventDecl)> {
    let mut fields = Fields::of(node, "emits", report)?;
    let verdicts = [("violated", EmitOn::Violated), ("resolved", EmitOn::Resolved)];
    let on = fields.need("on", report).and_then(|node| choice(node, "on", &verdicts, report));
    let event = fields.need("event", report).and_then(|node| Some((text(node, report)?, node.span.clone())));
    let set = fields.take("set");
    fields.finish(report);
    let (event, span) = event?;
    if event.starts_with("invar.") {
        report.error_help(
            Code::Name,
            &span,
            format!("`{event}` is a name that verdicts have by themselves"),
            "give it a name of your system, such as `reboot.unintended`",
        );
        return None;
    }
    if known.iter().any(|known| known.name == event) {
        report.error_help(
            Code::Duplicate,
            &span,
            format!("`{event}` is declared as an event that components send"),
            "an emitted event is declared by being emitted: take it out of `events`, or choose another name",
        );
        return None;
    }
    let terms: Vec<(&str, Type)> = match kind {
        Kind::Aggregate(aggregate) => aggregate.terms.iter().map(|term| (term.name.as_str(), Type::Any)).collect(),
        _ => Vec::new(),
    };
    let mut figures = Figures::of(&terms, key, None, params, &[]);
    figures.add("at", Type::Timestamp);
    let mut attrs: Vec<(String, Expr, Type)> = Vec::new();
    for part in key {
        let slot = figures.slot(&part.name)?;
        attrs.push((part.name.clone(), Expr::Slot(slot), Type::Any));
    }
    match set.map(|node| (&node.value, node)) {
        Some((Yaml::Map(entries), _)) => {
            for (name, value) in entries {
                let Some(parsed) = Parsed::of(value, 0, report) else { continue };
                match names::resolve(&parsed.tree, &mut figures) {
                    Ok((value, kind)) => {
                        attrs.retain(|(known, ..)| *known != name.name);
                        let kind = match kind {
                            // Kept as plain values, both of them.
                            Type::Timestamp => Type::String,
                            Type::Duration => Type::Int,
                            kind => kind,
                        };
                        attrs.push((name.name.clone(), value, kind));
                    }
                    Err(problem) => report.inside(parsed.node, parsed.offset, problem),
                }
            }
        }
        Some((_, node)) => drop(report.error(Code::Shape, &node.span, "`set` is a map of attributes and expressions")),
        None => {}
    }
    let declared = attrs.iter().map(|(name, _, kind)| (name.clone(), *kind)).collect();
    let declaration = EventDecl { name: event.clone(), about: String::new(), attrs: declared };
    let attrs = attrs.into_iter().map(|(name, value, _)| (name, value)).collect();
    Some((Emit { on: on?, event, names: figures.names(), attrs }, declaration))
}
