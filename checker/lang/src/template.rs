//! Messages with holes: `"{node}: batch {batch.id}"`.
use engine::{RoleIdx, Slot, Template, TemplatePart, Type, expr::Expr};

use crate::{
    diagnostic::Code,
    elsewhere,
    evidence::Evidence,
    fact::Known,
    fields::{Params, Report, locate},
    names::{self, BUILTINS, Names, Problem, Variable},
    pattern::Parsed,
    syntax,
    yaml::Node,
};

/// Compiles a message. Holes may name key parts, attributes of any event in evidence, `role.attribute` and parameters.
pub(crate) fn compile(
    node: &Node,
    evidence: &Evidence<'_>,
    params: &Params,
    report: &mut Report<'_>,
) -> Option<Template> {
    let text = node.scalar()?;
    let mut names = Told { evidence, params, slots: Vec::new(), lacking: None, open: Vec::new(), compares: false };
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let offset = text.len() - rest.len() + at;
        if rest[at..].starts_with("{{") || rest[at..].starts_with("}}") {
            let inside = rest[at + 2..].split("}}").next().unwrap_or_default();
            if rest[at..].starts_with('{') && elsewhere::is_hole(inside) {
                let span = locate(report.source, node, offset..offset + inside.len() + 4);
                let message = format!("`{{{{{inside}}}}}` is no hole: doubled braces are printed");
                report.warning(Code::Untold, &span, message, "a hole is `{attribute}`, with single braces");
            }
            plain.push_str(&rest[at..=at]);
            rest = &rest[at + 2..];
            continue;
        }
        let Some(end) = rest[at..].find('}').filter(|_| rest[at..].starts_with('{')) else {
            let problem = Problem {
                span: offset..offset + 1,
                ..Problem::new(Code::ExpressionSyntax, "this brace has no partner")
            };
            report.inside(node, 0, problem.help("a brace that is meant is written twice: `{{`"));
            return None;
        };
        let hole = &rest[at + 1..at + end];
        let compiled = match syntax::parse(hole) {
            Ok(tree) => names::resolve(&tree, &mut names),
            Err(error) => Err(Problem {
                code: Code::ExpressionSyntax,
                message: error.message,
                span: error.span,
                help: error.help,
            }),
        };
        let lacking = names.lacking.take();
        match compiled {
            Ok((expr, _)) => {
                if !plain.is_empty() {
                    parts.push(TemplatePart::Text(std::mem::take(&mut plain)));
                }
                parts.push(TemplatePart::Hole(expr));
                if let Some((message, help)) = lacking {
                    let span = locate(report.source, node, offset + 1..offset + end);
                    report.warning(Code::Untold, &span, format!("{message}: the message will say `?`"), help);
                }
            }
            Err(problem) => report.inside(node, offset + 1, problem),
        }
        rest = &rest[at + end + 1..];
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(TemplatePart::Text(plain));
    }
    Some(Template { parts, slots: names.slots })
}

/// What an expression reads, and from which role's event.
pub(crate) type Slots = Vec<(Option<RoleIdx>, Slot)>;

/// Compiles a condition over what a message may speak of.
pub(crate) fn condition(
    parsed: &Parsed<'_>,
    evidence: &Evidence<'_>,
    params: &Params,
    report: &mut Report<'_>,
) -> Option<(Expr, Slots)> {
    let mut names = Told { evidence, params, slots: Vec::new(), lacking: None, open: Vec::new(), compares: true };
    let resolved = names::resolve(&parsed.tree, &mut names);
    if let Some((message, help)) = names.lacking.take() {
        let span = parsed.tree.span.start + parsed.offset..parsed.tree.span.end + parsed.offset;
        let span = locate(report.source, parsed.node, span);
        report.warning(Code::Untold, &span, format!("{message}: a condition on it never holds"), help);
    }
    match resolved {
        Ok((expr, Type::Bool | Type::Any)) => Some((expr, names.slots)),
        Ok((_, kind)) => {
            let message = format!("`where` needs a condition, this is {}", names::type_name(kind));
            let problem = Problem { span: parsed.tree.span.clone(), ..Problem::new(Code::Type, message) };
            report.inside(parsed.node, parsed.offset, problem);
            None
        }
        Err(problem) => {
            report.inside(parsed.node, parsed.offset, problem);
            None
        }
    }
}

struct Told<'t> {
    evidence: &'t Evidence<'t>,
    params: &'t Params,
    slots: Slots,
    /// The first name that nothing has, with how to mend it.
    lacking: Option<(String, String)>,
    /// The `let`s being resolved, with their roles, the innermost last.
    open: Vec<(RoleIdx, String)>,
    /// Values are compared, not shown: integers are read as such from whatever text they came in.
    compares: bool,
}

impl Told<'_> {
    /// What the beginning of a path names, built-in names aside.
    fn named(&self, role: Option<RoleIdx>, segments: &[String]) -> (usize, Variable) {
        let first = segments[0].as_str();
        if !(role.is_none() && self.evidence.gives(first)) && self.evidence.defined(role, first).is_some() {
            return (1, Variable::Let(first.to_owned()));
        }
        let used = self.evidence.longest(role, segments);
        (used, Variable::Attr(segments[..used].join(".")))
    }

    /// What a pattern defines, worked out over the event that plays its role.
    fn defined(&mut self, role: Option<RoleIdx>, name: String) -> Result<(Expr, Type), Problem> {
        let Some((role, tree)) = self.evidence.defined(role, &name) else {
            return Err(Problem::new(Code::Name, format!("`{name}` is not defined here")));
        };
        if self.open.contains(&(role, name.clone())) {
            return Err(Problem::new(Code::Name, format!("`{name}` is defined by itself")));
        }
        self.open.push((role, name));
        let resolved = names::resolve(tree, self);
        self.open.pop();
        // Its places are those of the definition, not of what speaks of it.
        resolved.map_err(|problem| Problem { span: 0..0, ..problem })
    }

    fn add(&mut self, role: Option<RoleIdx>, variable: &Variable) -> Expr {
        let slot = match variable {
            Variable::Builtin(name) => match *name {
                "node" => Slot::Node,
                "component" => Slot::Component,
                "network" => Slot::Network,
                "ts" => Slot::Ts,
                "severity" => Slot::Severity,
                "body" => Slot::Body,
                "trace_id" => Slot::TraceId,
                _ => Slot::Name,
            },
            Variable::Resource(name) => Slot::Resource(name.clone()),
            Variable::Attr(name) | Variable::Let(name) => {
                let computes = self.compares || !self.open.is_empty();
                Slot::Attr { name: name.clone(), int: computes && self.evidence.is_int(role, name) }
            }
        };
        if let Slot::Attr { name, .. } = &slot
            && self.lacking.is_none()
        {
            self.lacking = self.evidence.lacks(role, name);
        }
        self.slots.push((role, slot));
        Expr::Slot((self.slots.len() - 1) as u16)
    }
}

impl Names for Told<'_> {
    fn variable(&mut self, variable: Variable) -> Result<(Expr, Type), Problem> {
        let role = self.open.last().map(|(role, _)| *role);
        match variable {
            Variable::Let(name) => self.defined(role, name),
            variable => Ok((self.add(role, &variable), Type::Any)),
        }
    }

    fn longest(&mut self, segments: &[String]) -> Option<(usize, Variable)> {
        let builtin = BUILTINS.iter().find(|(name, _)| segments.len() == 1 && *name == segments[0]);
        Some(match builtin {
            Some((name, _)) => (1, Variable::Builtin(name)),
            None => self.named(self.open.last().map(|(role, _)| *role), segments),
        })
    }

    fn role(&mut self, name: &str) -> Option<RoleIdx> {
        self.evidence.role(name)
    }

    fn role_variable(&mut self, role: RoleIdx, segments: &[String]) -> Result<(usize, Expr, Type), Problem> {
        // A term and its events go by one name; what its figures come to is meant before an attribute of the events.
        if let Some(word) = self.evidence.name(role)
            && let figure = format!("{word}.{}", segments.join("."))
            && self.evidence.gives(&figure)
        {
            return Ok((segments.len(), self.add(None, &Variable::Attr(figure)), Type::Any));
        }
        let builtin = BUILTINS.iter().find(|(name, _)| segments.len() == 1 && *name == segments[0]);
        let (used, variable) = match builtin {
            Some((name, _)) => (1, Variable::Builtin(name)),
            None => self.named(Some(role), segments),
        };
        match variable {
            Variable::Let(name) => self.defined(Some(role), name).map(|(expr, kind)| (used, expr, kind)),
            variable => Ok((used, self.add(Some(role), &variable), Type::Any)),
        }
    }

    fn param(&mut self, name: &str) -> Result<(Expr, Type), Problem> {
        self.params.expression(name)
    }

    fn fact(&mut self, name: &str) -> Result<(u16, Known), Problem> {
        Err(Problem::new(Code::Unsupported, format!("`fact.{name}` cannot be read in a message")))
    }
}
