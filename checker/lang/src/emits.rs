//! `emits`: events that a rule's verdicts make, and patterns on verdicts. Rules build on rules above them, so that none
//! builds on itself.
use std::ops::Range;

use engine::{AggregateSpan, CountSpan, Emit, EmitOn, EventDecl, KeyPart, Kind, RoleIdx, Rule, Type, expr::Expr};
use event::Value;

use crate::{
    choice::choice,
    diagnostic::Code,
    fact::Known,
    fields::{Fields, Report, text},
    kind::figures::Figures,
    names::{self, Names, Problem, Variable},
    pattern::{Layout, Parsed},
    rule, suggest,
    yaml::{Node, Yaml},
};

/// The events that every verdict makes.
const BUILT_IN: &[(&str, EmitOn)] = &[
    ("invar.violated", EmitOn::Violated),
    ("invar.resolved", EmitOn::Resolved),
    ("invar.retracted", EmitOn::Retracted),
];

/// What may make an event, as it is written.
const VERDICTS: &[(&str, EmitOn)] = &[
    ("violated", EmitOn::Violated),
    ("resolved", EmitOn::Resolved),
    ("retracted", EmitOn::Retracted),
    ("held", EmitOn::Held),
    ("close", EmitOn::Closed),
];

/// The rules whose verdicts may be meant, and what may not be meant yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdicts<'c> {
    /// The ids of the rules above.
    pub(crate) above: &'c [String],
    /// Events that are made by rules that do not stand above, with the rule.
    pub(crate) below: &'c [(String, String)],
    /// All events that rules make, with the rule.
    pub(crate) made: &'c [(String, String)],
    /// Events that only the first of each key makes.
    pub(crate) firsts: &'c [&'c str],
    /// Only rules may build on verdicts.
    pub(crate) in_rule: bool,
}

impl Verdicts<'_> {
    /// Whether events of that name can be taken back: a verdict's, a breaker's, or those of a first that may turn out to be
    /// none.
    pub(crate) fn can_be_taken_back(&self, name: &str) -> bool {
        name.starts_with("invar.") || self.firsts.contains(&name) || self.made.iter().any(|(made, _)| made == name)
    }
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
                report.error_help(
                    Code::Shape,
                    &rule,
                    message,
                    "it belongs to `invar.violated`, `invar.resolved` and `invar.retracted`",
                );
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
        for known in above.iter() {
            for emit in known.emits.iter().filter(|emit| emit.event == name) {
                rests_on ^= known.digest.rotate_left(7) ^ rule::fnv(&format!("{emit:?}"));
            }
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
    Emit { on, event, names, kept: Vec::new(), attrs }
}

/// What a rule emits, as written.
pub(crate) struct Written<'n> {
    on: EmitOn,
    on_span: Range<usize>,
    event: String,
    set: Vec<(String, Parsed<'n>)>,
}

/// Reads what a rule emits.
pub(crate) fn read<'n>(node: &'n Node, known: &[EventDecl], report: &mut Report<'_>) -> Vec<Written<'n>> {
    let items = match &node.value {
        Yaml::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    items.iter().filter_map(|item| one(item, known, report)).collect()
}

fn one<'n>(node: &'n Node, known: &[EventDecl], report: &mut Report<'_>) -> Option<Written<'n>> {
    let mut fields = Fields::of(node, "emits", report)?;
    let on =
        fields.need("on", report).and_then(|node| Some((choice(node, "on", VERDICTS, report)?, node.span.clone())));
    let event = fields.need("event", report).and_then(|node| Some((text(node, report)?, node.span.clone())));
    let set_node = fields.take("set");
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
    let mut set = Vec::new();
    match set_node.map(|node| (&node.value, node)) {
        Some((Yaml::Map(entries), _)) => {
            for (name, value) in entries {
                set.extend(Parsed::of(value, 0, report).map(|parsed| (name.name.clone(), parsed)));
            }
        }
        Some((_, node)) => drop(report.error(Code::Shape, &node.span, "`set` is a map of attributes and expressions")),
        None => {}
    }
    let (on, on_span) = on?;
    Some(Written { on, on_span, event, set })
}

/// Marks what is emitted of events as kept.
pub(crate) fn mark(written: &[Written<'_>], layout: &mut Layout<'_, '_>) {
    for written in written.iter().filter(|written| matches!(written.on, EmitOn::Held | EmitOn::Closed)) {
        written.set.iter().for_each(|(_, value)| layout.mark_named(&value.tree));
    }
}

/// Compiles what a rule emits, with the declarations of those events.
pub(crate) fn compile(
    written: &[Written<'_>],
    kind: &Kind,
    is_gauge: bool,
    key: &[KeyPart],
    layout: &Layout<'_, '_>,
    report: &mut Report<'_>,
) -> Vec<(Emit, EventDecl)> {
    written
        .iter()
        .filter_map(|written| match at_hand(written.on, kind, is_gauge) {
            Ok(at_hand) => emit(written, kind, at_hand, key, layout, report),
            Err((message, help)) => {
                report.error_help(Code::Unsupported, &written.on_span, message, help);
                None
            }
        })
        .collect()
}

/// The roles whose events are at hand when that becomes of a rule; why it never does, and what to do, where it does not.
fn at_hand(on: EmitOn, kind: &Kind, is_gauge: bool) -> Result<Vec<RoleIdx>, (String, &'static str)> {
    let span = match kind {
        Kind::Count { span: CountSpan::Per { when, .. }, .. } => Some(vec![*when]),
        Kind::Aggregate(aggregate) => match aggregate.span {
            AggregateSpan::Close(close) => Some(vec![close]),
            AggregateSpan::Tumbling(_) => Some(Vec::new()),
            AggregateSpan::Window(_) => None,
        },
        _ => None,
    };
    match (on, kind) {
        (EmitOn::Violated | EmitOn::Resolved | EmitOn::Retracted, _) => Ok(Vec::new()),
        (EmitOn::Held | EmitOn::Closed, _) if span.is_some() => Ok(span.unwrap_or_default()),
        (EmitOn::Held, Kind::Always { of, .. }) if !is_gauge => Ok(vec![*of]),
        (EmitOn::Held, Kind::Agreement { of, assert: Some(_), .. }) => Ok(vec![*of]),
        (EmitOn::Held, Kind::Response { when, then, .. }) => Ok(vec![*when, *then]),
        (EmitOn::Held, Kind::Expected { when, then, at_deadline, .. }) => {
            Ok(if *at_deadline { vec![*when] } else { vec![*when, *then] })
        }
        (EmitOn::Held, Kind::Precedence { event, requires, .. }) => {
            Ok(std::iter::once(event).chain(requires).copied().collect())
        }
        (EmitOn::Held, _) => Err((
            format!("this `{}` has no event at which it is known to have held", kind.name()),
            "`on: held` goes with `always`, `response`, `precedence`, `count` with `per`, `agreement` with `assert`, and \
             `aggregate` with `close` or `tumbling`",
        )),
        (EmitOn::Closed, _) => Err((
            format!("this `{}` measures over nothing that ends", kind.name()),
            "`on: close` goes with `count` with `per`, and with `aggregate` with `close` or `tumbling`",
        )),
    }
}

fn emit(
    written: &Written<'_>,
    kind: &Kind,
    at_hand: Vec<RoleIdx>,
    key: &[KeyPart],
    layout: &Layout<'_, '_>,
    report: &mut Report<'_>,
) -> Option<(Emit, EventDecl)> {
    let measured: Vec<(&str, Type)> = match kind {
        Kind::Aggregate(aggregate) => aggregate.terms.iter().map(|term| (term.name.as_str(), Type::Any)).collect(),
        Kind::Count { .. } if !at_hand.is_empty() => vec![("count", Type::Int)],
        _ => Vec::new(),
    };
    let mut figures = Figures::of(&measured, key, None, layout.cx.params, &[]);
    figures.add("at", Type::Timestamp);
    let mut attrs: Vec<(String, Expr, Type)> = Vec::new();
    for part in key {
        let slot = figures.slot(&part.name)?;
        attrs.push((part.name.clone(), Expr::Slot(slot), Type::Any));
    }
    let mut names = figures.names();
    let mut told = Told { figures, layout, at_hand, first: names.len(), kept: Vec::new() };
    for (name, value) in &written.set {
        match names::resolve(&value.tree, &mut told) {
            Ok((value, kind)) => {
                attrs.retain(|(known, ..)| known != name);
                attrs.push((name.clone(), value, kind));
            }
            Err(problem) => report.inside(value.node, value.offset, problem),
        }
    }
    let kept = told.kept;
    names.extend(kept.iter().map(|(name, ..)| name.clone()));
    let declared = attrs.iter().map(|(name, _, kind)| (name.clone(), *kind)).collect();
    let declaration = EventDecl { name: written.event.clone(), about: String::new(), attrs: declared };
    let attrs = attrs.into_iter().map(|(name, value, _)| (name, value)).collect();
    Some((Emit { on: written.on, event: written.event.clone(), names, kept, attrs }, declaration))
}

/// What an emitted event's attributes may speak of: figures, and the events that are at hand.
struct Told<'f, 'l, 'c, 'n> {
    figures: Figures<'f>,
    layout: &'l Layout<'c, 'n>,
    at_hand: Vec<RoleIdx>,
    /// The slot of the first value of an event.
    first: usize,
    kept: Vec<(String, RoleIdx, u16)>,
}

impl Names for Told<'_, '_, '_, '_> {
    fn variable(&mut self, variable: Variable) -> Result<(Expr, Type), Problem> {
        self.figures.variable(variable)
    }

    fn longest(&mut self, segments: &[String]) -> Option<(usize, Variable)> {
        self.figures.longest(segments)
    }

    fn role(&mut self, name: &str) -> Option<RoleIdx> {
        // A part of the key may be written with a point.
        let is_figure = self.figures.names().iter().any(|known| known.split('.').next() == Some(name));
        if is_figure { None } else { self.layout.role_named(name) }
    }

    fn role_variable(&mut self, role: RoleIdx, segments: &[String]) -> Result<(usize, Expr, Type), Problem> {
        let name = &self.layout.roles[role as usize].name;
        if !self.at_hand.contains(&role) {
            let there: Vec<String> =
                self.at_hand.iter().map(|role| format!("`{}`", self.layout.roles[*role as usize].name)).collect();
            let problem = Problem::new(Code::Name, format!("the event of `{name}` is not at hand here"));
            return Err(problem.help(match there.as_slice() {
                [] => "one may speak here of the key, of terms and of `at`".to_owned(),
                there => format!("one may speak here of the key, of `at`, and of the events of {}", there.join(", ")),
            }));
        }
        let (used, slot, kind) = self.layout.kept_of(role, segments)?;
        let name = format!("{name}.{}", segments[..used].join("."));
        let place = self.kept.iter().position(|(known, ..)| *known == name).unwrap_or_else(|| {
            self.kept.push((name, role, slot));
            self.kept.len() - 1
        });
        Ok((used, Expr::Slot((self.first + place) as u16), kind))
    }

    fn param(&mut self, name: &str) -> Result<(Expr, Type), Problem> {
        self.figures.param(name)
    }

    fn fact(&mut self, name: &str) -> Result<(u16, Known), Problem> {
        self.figures.fact(name)
    }
}
