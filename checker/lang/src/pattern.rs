//! Patterns: which events play a role, and what of them is read and kept.
use std::ops::Range;

use engine::{
    BodyTemplate, EventDecl, ForEach, Glob, KeyPart, Pattern, Role, RoleIdx, Slot, TemplateError, Type,
    expr::{Binary, Expr},
};

use crate::{
    breaker, clock,
    diagnostic::Code,
    emits::{self, Verdicts},
    fact::{self, Known},
    fields::{Fields, Params, Report, text, texts},
    names::{self, BUILTINS, Names, Problem, Variable},
    suggest, syntax,
    yaml::{Node, Yaml},
};

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
                let problem =
                    Problem { code, message: error.message, span: error.span, help: error.help.map(str::to_owned) };
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
            let component = fields.take("component").and_then(|node| text(node, report)).map(|text| Glob::new(&text));
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
            let key_node = fields.take("key");
            let key = key_node.map(|node| texts(node, report));
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
            if let (Some(node), true) = (key_node, names.iter().any(|(name, _)| name.starts_with("invar."))) {
                report.error(
                    Code::Unsupported,
                    &node.span,
                    "a verdict is of one key: a shorter one cannot be asked for",
                );
            }
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
        report.error_help(Code::Shape, &node.span, message, "trace, debug, info, warn, error, fatal, or 1 to 24");
    }
    found
}

/// The parts of a condition joined by `&&`.
fn conjuncts(tree: &syntax::Node) -> Vec<&syntax::Node> {
    match &tree.kind {
        syntax::NodeKind::Binary(Binary::And, a, b) => {
            let mut parts = conjuncts(a);
            parts.extend(conjuncts(b));
            parts
        }
        _ => vec![tree],
    }
}

/// Calls `see` with every path of names in a tree; `fact` paths end in the fact's name.
fn paths(tree: &syntax::Node, see: &mut dyn FnMut(&[String])) {
    use syntax::NodeKind as K;
    if let Some(segments) = names::path(tree) {
        see(&segments);
        return;
    }
    match &tree.kind {
        K::Literal(_) | K::Name(_) => {}
        K::Field(of, _) | K::Unary(_, of) => paths(of, see),
        // `attr["name"]` is no path: `attr_reads` sees it.
        K::Index(a, b) if matches!(&a.kind, K::Name(name) if name == "attr" || name == "resource") => paths(b, see),
        K::Index(a, b) | K::Binary(_, a, b) => {
            paths(a, see);
            paths(b, see);
        }
        K::Call { receiver, args, name, .. } => {
            if let Some(receiver) = receiver {
                match names::path(receiver).filter(|segments| segments[0] == "fact") {
                    Some(_) => see(&["fact".to_owned(), name.clone()]),
                    None => paths(receiver, see),
                }
            } else if matches!(name.as_str(), "live" | "breaker") {
                // Who is live is a fact that nobody declares; so is what a breaker is.
                see(&["fact".to_owned(), name.clone()]);
            }
            args.iter().for_each(|arg| paths(arg, see));
        }
        K::Conditional(a, b, c) => [a, b, c].into_iter().for_each(|part| paths(part, see)),
        K::List(items) => items.iter().for_each(|item| paths(item, see)),
        K::Map(entries) => entries.iter().for_each(|(name, value)| {
            paths(name, see);
            paths(value, see);
        }),
    }
}

/// The variables of the macros in a tree.
fn variables(tree: &syntax::Node, found: &mut Vec<String>) {
    use syntax::NodeKind as K;
    match &tree.kind {
        K::Literal(_) | K::Name(_) => {}
        K::Field(of, _) | K::Unary(_, of) => variables(of, found),
        K::Index(a, b) | K::Binary(_, a, b) => [a, b].into_iter().for_each(|part| variables(part, found)),
        K::Call { receiver, args, name, .. } => {
            if let (Some(_), [variable, _]) = (receiver, args.as_slice())
                && let K::Name(variable) = &variable.kind
                && names::is_macro(name)
            {
                found.push(variable.clone());
            }
            receiver.iter().for_each(|receiver| variables(receiver, found));
            args.iter().for_each(|arg| variables(arg, found));
        }
        K::Conditional(a, b, c) => [a, b, c].into_iter().for_each(|part| variables(part, found)),
        K::List(items) => items.iter().for_each(|item| variables(item, found)),
        K::Map(entries) => entries.iter().for_each(|(name, value)| {
            variables(name, found);
            variables(value, found);
        }),
    }
}

/// Whether a condition needs order: it asks a fact, or another role.
fn is_late(tree: &syntax::Node, own: usize, roles: &[WrittenRole<'_>]) -> bool {
    let mut late = false;
    paths(tree, &mut |segments| {
        late |= segments[0] == "fact" || segments[0] == "clock" || other_role(segments, own, roles).is_some();
    });
    late
}

fn other_role(segments: &[String], own: usize, roles: &[WrittenRole<'_>]) -> Option<usize> {
    if segments.len() < 2 {
        return None;
    }
    let place = roles.iter().position(|role| role.name == segments[0] || role.word == segments[0])?;
    (place != own).then_some(place)
}

/// Which slots a set of roles lays out, and what its expressions become.
pub(crate) struct Layout<'l, 'n> {
    pub(crate) cx: &'l Context<'l>,
    pub(crate) roles: &'l mut Vec<WrittenRole<'n>>,
}

impl Layout<'_, '_> {
    /// Marks what later conditions will ask for: what the late parts of `where` read of their own event and of others.
    pub(crate) fn mark_conditions(&mut self) {
        for own in 0..self.roles.len() {
            let trees: Vec<syntax::Node> = self.roles[own]
                .alternatives
                .iter()
                .filter_map(|written| written.condition.as_ref())
                .flat_map(|parsed| conjuncts(&parsed.tree).into_iter().cloned().collect::<Vec<_>>())
                .collect();
            for tree in trees {
                if is_late(&tree, own, self.roles) {
                    self.mark(own, &tree);
                }
            }
        }
    }

    /// Marks all that an expression of role `own` reads as kept.
    pub(crate) fn mark(&mut self, own: usize, tree: &syntax::Node) {
        self.mark_but(own, tree, &[]);
    }

    /// The same, but for names that are not the event's.
    pub(crate) fn mark_but(&mut self, own: usize, tree: &syntax::Node, locals: &[&str]) {
        let mut reads: Vec<(usize, Vec<String>)> = Vec::new();
        let mut bound: Vec<String> = locals.iter().map(|&local| local.to_owned()).collect();
        variables(tree, &mut bound);
        paths(tree, &mut |segments| match other_role(segments, own, self.roles) {
            Some(other) => reads.push((other, segments[1..].to_vec())),
            None if segments[0] == self.roles[own].name && segments.len() > 1 => {
                reads.push((own, segments[1..].to_vec()));
            }
            None => reads.push((own, segments.to_vec())),
        });
        // A clock is asked with its key, which nobody writes.
        for (_, segments) in reads.clone().iter().filter(|(_, segments)| segments[0] == "clock" && segments.len() > 1) {
            let known = self.cx.clocks.iter().find(|known| known.name == segments[1]);
            for part in known.into_iter().flat_map(|known| &known.key) {
                reads.push((own, part.split('.').map(str::to_owned).collect()));
            }
        }
        attr_reads(tree, &mut |variable| self.keep(own, variable));
        for (role, segments) in reads {
            if matches!(segments[0].as_str(), "fact" | "param" | "clock") || bound.contains(&segments[0]) {
                continue;
            }
            let variable = longest(&segments, &self.roles[role], self.cx)
                .map_or_else(|| Variable::Attr(segments.join(".")), |(_, variable)| variable);
            self.keep(role, variable);
        }
    }

    /// Whether every alternative of a role can supply what an expression reads.
    pub(crate) fn knows(&self, own: usize, tree: &syntax::Node) -> bool {
        let mut known = true;
        paths(tree, &mut |segments| {
            if matches!(segments[0].as_str(), "fact" | "param" | "clock") {
                return;
            }
            let (_, variable) = longest(segments, &self.roles[own], self.cx)
                .unwrap_or_else(|| (segments.len(), Variable::Attr(segments.join("."))));
            known &= self.roles[own].alternatives.iter().all(|written| {
                let mut names = OwnNames { cx: self.cx, written, slots: Vec::new(), open: Vec::new() };
                names.make(variable.clone()).is_ok()
            });
        });
        known
    }

    pub(crate) fn keep(&mut self, role: usize, variable: Variable) {
        let kept = &mut self.roles[role].kept;
        if !kept.contains(&variable) {
            kept.push(variable);
        }
    }

    /// Compiles an expression that an instance evaluates later: only kept values are there.
    pub(crate) fn late(&self, own: usize, parsed: &Parsed<'_>, report: &mut Report<'_>) -> Option<(Expr, Type)> {
        self.late_with(own, parsed, &[], report)
    }

    /// The same, with names for what the kind itself supplies.
    pub(crate) fn late_with(
        &self,
        own: usize,
        parsed: &Parsed<'_>,
        locals: &[&str],
        report: &mut Report<'_>,
    ) -> Option<(Expr, Type)> {
        let mut names = LateNames { cx: self.cx, roles: self.roles, own };
        let locals = locals.iter().map(|&local| local.to_owned()).collect();
        names::resolve_with(&parsed.tree, &mut names, locals)
            .map_err(|problem| report.inside(parsed.node, parsed.offset, problem))
            .ok()
    }

    /// The type of a kept variable of that role.
    pub(crate) fn kept_type(&self, own: usize, variable: &Variable) -> Result<Type, Problem> {
        LateNames { cx: self.cx, roles: self.roles, own }.kept(own, variable).map(|(_, kind)| kind)
    }

    /// Compiles a role.
    pub(crate) fn role(&self, own: usize, key: &[KeyPart], report: &mut Report<'_>) -> Role {
        let written = &self.roles[own];
        let mut labels: Vec<&str> = Vec::new();
        for alternative in &written.alternatives {
            if !labels.contains(&alternative.name.as_str()) {
                labels.push(alternative.name.as_str());
            }
        }
        Role {
            name: written.name.clone(),
            kept: written.kept.len() as u16,
            label: labels.join(" or "),
            alternatives: written.alternatives.iter().map(|one| self.pattern(own, one, key, report)).collect(),
        }
    }

    fn pattern(&self, own: usize, written: &Written<'_>, key: &[KeyPart], report: &mut Report<'_>) -> Pattern {
        let mut names = OwnNames { cx: self.cx, written, slots: Vec::new(), open: Vec::new() };
        // Kept slots first, in the same order for every alternative; what they need comes after them.
        let kept = &self.roles[own].kept;
        names.slots = kept.iter().map(|variable| (variable.clone(), Slot::Name, Type::Any)).collect();
        for (place, variable) in kept.iter().enumerate() {
            match names.make(variable.clone()) {
                Ok((slot, kind)) => (names.slots[place].1, names.slots[place].2) = (slot, kind),
                Err(problem) => {
                    report.error(problem.code, &written.name_span, problem.message).help = problem.help;
                }
            }
        }
        let mut own_condition: Option<Expr> = None;
        let mut late_condition: Option<Expr> = None;
        if let Some(parsed) = &written.condition {
            for part in conjuncts(&parsed.tree) {
                let late = is_late(part, own, self.roles);
                let resolved = if late {
                    names::resolve(part, &mut LateNames { cx: self.cx, roles: self.roles, own })
                } else {
                    names::resolve(part, &mut names)
                };
                match resolved {
                    Ok((expr, Type::Bool | Type::Any)) => {
                        let place = if late { &mut late_condition } else { &mut own_condition };
                        *place = Some(match place.take() {
                            Some(before) => Expr::Binary(Binary::And, Box::new(before), Box::new(expr)),
                            None => expr,
                        });
                    }
                    Ok((_, kind)) => {
                        let message = format!("`where` needs a condition, this is {}", names::type_name(kind));
                        let problem = Problem { span: part.span.clone(), ..Problem::new(Code::Type, message) };
                        report.inside(parsed.node, parsed.offset, problem);
                    }
                    Err(problem) => report.inside(parsed.node, parsed.offset, problem),
                }
            }
        }
        let mut for_each = Vec::new();
        for (name, over) in &written.each {
            match names::resolve(&over.tree, &mut names) {
                Ok((over, _)) => {
                    let slot = names.slot(Variable::Let(name.clone())).map_or(0, |(slot, _)| slot);
                    for_each.push(ForEach { over, slot });
                }
                Err(problem) => report.inside(over.node, over.offset, problem),
            }
        }
        for (name, span) in written.key.iter().flatten() {
            let bare = name.trim_end_matches('?');
            if bare != "network" && !key.iter().any(|part| part.name == bare) {
                report.error(Code::Key, span, format!("`{name}` is not a part of the key"));
            }
        }
        let key = key.iter().map(|part| self.key_part(written, part, &mut names, report)).collect();
        Pattern {
            name: written.name.clone(),
            component: written.component.clone(),
            severity: written.severity,
            body: written.body.clone(),
            slots: names.slots.into_iter().map(|(_, slot, _)| slot).collect(),
            for_each,
            where_own: own_condition,
            where_late: late_condition,
            key,
        }
    }

    fn key_part(
        &self,
        written: &Written<'_>,
        part: &KeyPart,
        names: &mut OwnNames<'_, '_>,
        report: &mut Report<'_>,
    ) -> Option<Expr> {
        if written
            .key
            .as_ref()
            .is_some_and(|chosen| !chosen.iter().any(|(name, _)| name.trim_end_matches('?') == part.name))
        {
            return None;
        }
        let segments: Vec<String> = part.name.split('.').map(str::to_owned).collect();
        let (_, variable) = longest_in(&segments, written, self.cx).unwrap_or((0, Variable::Attr(part.name.clone())));
        // An element's field may be a part: `item.id` with `for_each: {as: item}`.
        match names::resolve_path(&segments, names) {
            Ok((expr, _)) => Some(expr),
            Err(problem) => {
                if part.optional && matches!(variable, Variable::Attr(_)) {
                    return Some(Expr::Slot(u16::MAX));
                }
                let message = format!("this event can never supply `{}`, a part of the key", part.name);
                let help = problem.help.unwrap_or_else(|| {
                    format!("give it with `let`, leave it out with a shorter `key: […]`, or write `{}?` if it may be absent", part.name)
                });
                report.error_help(Code::Key, &written.name_span, message, help);
                None
            }
        }
    }
}

/// `attr["x"]` and `resource["x"]` anywhere in a tree.
fn attr_reads(tree: &syntax::Node, see: &mut dyn FnMut(Variable)) {
    use syntax::NodeKind as K;
    match &tree.kind {
        K::Index(of, at) => {
            if let (K::Name(name), K::Literal(event::Value::String(key))) = (&of.kind, &at.kind) {
                match name.as_str() {
                    "attr" => see(Variable::Attr(key.to_string())),
                    "resource" => see(Variable::Resource(key.to_string())),
                    _ => {}
                }
            }
            attr_reads(of, see);
            attr_reads(at, see);
        }
        K::Literal(_) | K::Name(_) => {}
        K::Field(of, _) | K::Unary(_, of) => attr_reads(of, see),
        K::Binary(_, a, b) => [a, b].into_iter().for_each(|part| attr_reads(part, see)),
        K::Call { receiver, args, .. } => {
            receiver.iter().for_each(|receiver| attr_reads(receiver, see));
            args.iter().for_each(|arg| attr_reads(arg, see));
        }
        K::Conditional(a, b, c) => [a, b, c].into_iter().for_each(|part| attr_reads(part, see)),
        K::List(items) => items.iter().for_each(|item| attr_reads(item, see)),
        K::Map(entries) => entries.iter().for_each(|(name, value)| {
            attr_reads(name, see);
            attr_reads(value, see);
        }),
    }
}

/// The variable that the longest prefix of these segments names, for a role: the first alternative that knows it.
fn longest(segments: &[String], role: &WrittenRole<'_>, cx: &Context<'_>) -> Option<(usize, Variable)> {
    role.alternatives.iter().find_map(|written| longest_in(segments, written, cx))
}

fn longest_in(segments: &[String], written: &Written<'_>, cx: &Context<'_>) -> Option<(usize, Variable)> {
    let first = segments[0].as_str();
    if written.lets.iter().chain(&written.each).any(|(name, _)| name == first) {
        return Some((1, Variable::Let(first.to_owned())));
    }
    if let Some((builtin, _)) = BUILTINS.iter().find(|(name, _)| *name == first)
        && segments.len() == 1
    {
        return Some((1, Variable::Builtin(builtin)));
    }
    let captured = |name: &str| written.body.iter().any(|body| body.names().iter().any(|known| known == name));
    if let Some(length) = (1..=segments.len()).rev().find(|length| captured(&segments[..*length].join("."))) {
        return Some((length, Variable::Let(segments[..length].join("."))));
    }
    (1..=segments.len()).rev().find_map(|length| {
        let name = segments[..length].join(".");
        let declared = cx
            .events
            .iter()
            .filter(|event| written.name.matches(&event.name))
            .any(|event| event.attrs.iter().any(|(attr, _)| *attr == name));
        declared.then_some((length, Variable::Attr(name)))
    })
}

/// The declared type of an attribute of the events a pattern matches; an error where the vocabulary rules it out.
fn attr_type(name: &str, written: &Written<'_>, cx: &Context<'_>) -> Result<Type, Problem> {
    let matched: Vec<&EventDecl> = cx.events.iter().filter(|event| written.name.matches(&event.name)).collect();
    let kinds: Vec<Type> = matched
        .iter()
        .filter_map(|event| event.attrs.iter().find(|(attr, _)| attr == name).map(|(_, kind)| *kind))
        .collect();
    match kinds.first() {
        Some(&first) => Ok(if kinds.iter().all(|kind| *kind == first) { first } else { Type::Any }),
        None if matched.is_empty() || matched.iter().any(|event| event.attrs.is_empty()) => Ok(Type::Any),
        None => {
            let known = matched.iter().flat_map(|event| event.attrs.iter().map(|(attr, _)| attr.as_str()));
            let all: Vec<&str> = known.clone().chain(BUILTINS.iter().map(|(name, _)| *name)).collect();
            let problem = Problem::new(Code::Attribute, format!("unknown attribute `{name}` of `{}`", written.name));
            Err(match suggest::closest(name, all.iter().copied()) {
                Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                None => problem.help(format!("it has: {}", known.collect::<Vec<_>>().join(", "))),
            })
        }
    }
}

/// Names as an arriving event has them.
struct OwnNames<'w, 'n> {
    cx: &'w Context<'w>,
    written: &'w Written<'n>,
    slots: Vec<(Variable, Slot, Type)>,
    /// `let` names being resolved, against circles.
    open: Vec<String>,
}

impl OwnNames<'_, '_> {
    /// The slot of a variable, made if it is new.
    fn slot(&mut self, variable: Variable) -> Result<(u16, Type), Problem> {
        if let Some(place) = self.slots.iter().position(|(known, _, _)| *known == variable) {
            return Ok((place as u16, self.slots[place].2));
        }
        let (slot, kind) = self.make(variable.clone())?;
        self.slots.push((variable, slot, kind));
        Ok(((self.slots.len() - 1) as u16, kind))
    }

    fn make(&mut self, variable: Variable) -> Result<(Slot, Type), Problem> {
        Ok(match variable {
            Variable::Builtin(name) => {
                let kind = BUILTINS.iter().find(|(known, _)| *known == name).map_or(Type::Any, |(_, kind)| *kind);
                (builtin(name), kind)
            }
            Variable::Resource(name) => (Slot::Resource(name), Type::Any),
            Variable::Attr(name) => {
                let kind = attr_type(&name, self.written, self.cx)?;
                (Slot::Attr { name, int: kind == Type::Int }, kind)
            }
            Variable::Let(name) => {
                if self.written.each.iter().any(|(known, _)| *known == name) {
                    return Ok((Slot::Element, Type::Any));
                }
                let mut captures = self.written.body.iter().flat_map(|body| body.names());
                if let Some(place) = captures.position(|known| *known == name) {
                    return Ok((Slot::Captured(place as u16), Type::String));
                }
                if self.open.contains(&name) {
                    return Err(Problem::new(Code::Name, format!("`{name}` is defined by itself")));
                }
                let Some((_, parsed)) = self.written.lets.iter().find(|(known, _)| *known == name) else {
                    return Err(Problem::new(
                        Code::Name,
                        format!("`{name}` is not defined for `{}`", self.written.name),
                    ));
                };
                let parsed = parsed.clone();
                self.open.push(name);
                let resolved = names::resolve(&parsed.tree, self);
                self.open.pop();
                let (expr, kind) = resolved?;
                (Slot::Let(expr), kind)
            }
        })
    }
}

fn builtin(name: &str) -> Slot {
    match name {
        "node" => Slot::Node,
        "component" => Slot::Component,
        "network" => Slot::Network,
        "ts" => Slot::Ts,
        "severity" => Slot::Severity,
        "body" => Slot::Body,
        "trace_id" => Slot::TraceId,
        _ => Slot::Name,
    }
}

impl Names for OwnNames<'_, '_> {
    fn variable(&mut self, variable: Variable) -> Result<(Expr, Type), Problem> {
        self.slot(variable).map(|(slot, kind)| (Expr::Slot(slot), kind))
    }

    fn longest(&mut self, segments: &[String]) -> Option<(usize, Variable)> {
        longest_in(segments, self.written, self.cx)
    }

    fn role(&mut self, _name: &str) -> Option<RoleIdx> {
        None
    }

    fn role_variable(&mut self, _role: RoleIdx, _segments: &[String]) -> Result<(usize, Expr, Type), Problem> {
        Err(Problem::new(Code::Name, "another role cannot be spoken of here"))
    }

    fn param(&mut self, name: &str) -> Result<(Expr, Type), Problem> {
        self.cx.params.expression(name)
    }

    fn fact(&mut self, _name: &str) -> Result<(u16, Known), Problem> {
        Err(Problem::new(Code::Unsupported, "facts can be asked in `where` and `assert` of rules only"))
    }
}

/// Names as an instance has them later: kept values of its events, and facts.
struct LateNames<'l, 'n> {
    cx: &'l Context<'l>,
    roles: &'l [WrittenRole<'n>],
    own: usize,
}

impl LateNames<'_, '_> {
    fn kept(&self, role: usize, variable: &Variable) -> Result<(u16, Type), Problem> {
        let written = &self.roles[role];
        let place = written.kept.iter().position(|known| known == variable);
        let kinds: Vec<Type> = written
            .alternatives
            .iter()
            .map(|one| {
                OwnNames { cx: self.cx, written: one, slots: Vec::new(), open: Vec::new() }.make(variable.clone())
            })
            .map(|made| made.map(|(_, kind)| kind))
            .collect::<Result<_, _>>()?;
        let kind = match kinds.split_first() {
            Some((first, rest)) if rest.iter().all(|kind| kind == first) => *first,
            _ => Type::Any,
        };
        match place {
            Some(place) => Ok((place as u16, kind)),
            None => Err(Problem::new(Code::Name, "this value is not kept")),
        }
    }
}

impl Names for LateNames<'_, '_> {
    fn variable(&mut self, variable: Variable) -> Result<(Expr, Type), Problem> {
        let (slot, kind) = self.kept(self.own, &variable)?;
        Ok((names::typed(Expr::Slot(slot), kind), kind))
    }

    fn longest(&mut self, segments: &[String]) -> Option<(usize, Variable)> {
        longest(segments, &self.roles[self.own], self.cx)
    }

    fn role(&mut self, name: &str) -> Option<RoleIdx> {
        let place = self.roles.iter().position(|role| role.name == name || role.word == name)?;
        Some(place as RoleIdx)
    }

    fn role_variable(&mut self, role: RoleIdx, segments: &[String]) -> Result<(usize, Expr, Type), Problem> {
        let place = role as usize;
        let (used, variable) = longest(segments, &self.roles[place], self.cx)
            .unwrap_or_else(|| (segments.len(), Variable::Attr(segments.join("."))));
        let (slot, kind) = self.kept(place, &variable)?;
        let expr = if place == self.own { Expr::Slot(slot) } else { Expr::Role(role, slot) };
        Ok((used, expr, kind))
    }

    fn param(&mut self, name: &str) -> Result<(Expr, Type), Problem> {
        self.cx.params.expression(name)
    }

    fn fact(&mut self, name: &str) -> Result<(u16, Known), Problem> {
        fact::find(name, self.cx.facts)
    }

    fn live(&mut self, component: &str) -> Result<(), Problem> {
        self.cx.component(component)
    }

    fn breaker(&mut self, name: &str) -> Result<(u16, Vec<String>), Problem> {
        let (number, known) = breaker::find(name, self.cx.breakers, self.cx.verdicts.above)?;
        Ok((number, known.per.clone()))
    }

    fn clock(&mut self, name: &str) -> Result<(u16, Vec<String>), Problem> {
        clock::find(name, self.cx.clocks)
    }
}
