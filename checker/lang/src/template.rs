//! Messages with holes: `"{node}: batch {batch.id}"`.
use engine::{BEFORE, BEFORE_NAME, RoleIdx, Slot, Template, TemplatePart, Type, expr::Expr};

use crate::{
    diagnostic::Code,
    fact::Known,
    fields::{Params, Report},
    names::{self, BUILTINS, Names, Problem, Variable},
    pattern::Parsed,
    syntax,
    yaml::Node,
};

/// Compiles a message. Holes may name key parts, attributes of any event in evidence, `role.attribute` and parameters.
pub(crate) fn compile(
    node: &Node,
    roles: &[(String, &'static str)],
    params: &Params,
    report: &mut Report<'_>,
) -> Option<Template> {
    let text = node.scalar()?;
    let mut names = Told { roles, params, slots: Vec::new() };
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let offset = text.len() - rest.len() + at;
        if rest[at..].starts_with("{{") || rest[at..].starts_with("}}") {
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
                help: error.help.map(str::to_owned),
            }),
        };
        match compiled {
            Ok((expr, _)) => {
                if !plain.is_empty() {
                    parts.push(TemplatePart::Text(std::mem::take(&mut plain)));
                }
                parts.push(TemplatePart::Hole(expr));
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
    roles: &[(String, &'static str)],
    params: &Params,
    report: &mut Report<'_>,
) -> Option<(Expr, Slots)> {
    let mut names = Told { roles, params, slots: Vec::new() };
    match names::resolve(&parsed.tree, &mut names) {
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
    roles: &'t [(String, &'static str)],
    params: &'t Params,
    slots: Slots,
}

impl Told<'_> {
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
            Variable::Attr(name) | Variable::Let(name) => Slot::Attr { name: name.clone(), int: false },
        };
        self.slots.push((role, slot));
        Expr::Slot((self.slots.len() - 1) as u16)
    }
}

impl Names for Told<'_> {
    fn variable(&mut self, variable: Variable) -> Result<(Expr, Type), Problem> {
        Ok((self.add(None, &variable), Type::Any))
    }

    fn longest(&mut self, segments: &[String]) -> Option<(usize, Variable)> {
        let builtin = BUILTINS.iter().find(|(name, _)| segments.len() == 1 && *name == segments[0]);
        Some(match builtin {
            Some((name, _)) => (1, Variable::Builtin(name)),
            None => (segments.len(), Variable::Attr(segments.join("."))),
        })
    }

    fn role(&mut self, name: &str) -> Option<RoleIdx> {
        let role = self.roles.iter().position(|(own, word)| own == name || *word == name);
        role.map(|place| place as RoleIdx).or_else(|| (name == BEFORE_NAME).then_some(BEFORE))
    }

    fn role_variable(&mut self, role: RoleIdx, segments: &[String]) -> Result<(usize, Expr, Type), Problem> {
        let (used, variable) = self.longest(segments).unwrap_or((segments.len(), Variable::Attr(segments.join("."))));
        Ok((used, self.add(Some(role), &variable), Type::Any))
    }

    fn param(&mut self, name: &str) -> Result<(Expr, Type), Problem> {
        self.params.expression(name)
    }

    fn fact(&mut self, name: &str) -> Result<(u16, Known), Problem> {
        Err(Problem::new(Code::Unsupported, format!("`fact.{name}` cannot be read in a message")))
    }
}
