//! Expressions over parameters alone, `2 * param.hour`: worked out when a pack is compiled.
use std::time::Duration;

use engine::{
    RoleIdx, Type,
    expr::{Env, Expr, Val},
};

use crate::{
    diagnostic::Code,
    fact::Known,
    fields::{Params, Report},
    names::{self, Names, Problem, Variable},
    pattern::Parsed,
    syntax,
    yaml::{Node, Yaml},
};

/// Whether a text works something out of parameters, and is not just the name of one.
pub(crate) fn is_written(node: &Node, params: &Params) -> bool {
    let Yaml::Text(text) = &node.value else { return false };
    let named = text.strip_prefix("param.").is_some_and(|name| {
        params.0.iter().any(|(known, _)| known == name)
            || name.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c))
    });
    text.contains("param.") && text.contains(['+', '-', '*', '/', '%', '?', '(']) && !named
}

/// Whether an expression speaks of parameters alone, so that it can be worked out without an event.
pub(crate) fn is_constant(tree: &syntax::Node) -> bool {
    names::resolve(tree, &mut OnlyParams(None)).is_ok()
}

/// A length of time.
pub(crate) fn duration(node: &Node, params: &Params, report: &mut Report<'_>) -> Option<Duration> {
    worked_out(node, params, report, Type::Duration, "a length of time", |value| match value {
        Val::Duration(nanos) => Some(Duration::from_nanos(u64::try_from(*nanos).ok()?)),
        _ => None,
    })
}

/// A whole number.
pub(crate) fn number(node: &Node, params: &Params, report: &mut Report<'_>) -> Option<u64> {
    worked_out(node, params, report, Type::Int, "a whole number", |value| match value {
        Val::Int(int) => u64::try_from(int.to_i64()?).ok(),
        _ => None,
    })
}

/// A condition.
pub(crate) fn condition(node: &Node, params: &Params, report: &mut Report<'_>) -> Option<bool> {
    worked_out(node, params, report, Type::Bool, "`true` or `false`", |value| match value {
        Val::Bool(value) => Some(*value),
        _ => None,
    })
}

fn worked_out<T>(
    node: &Node,
    params: &Params,
    report: &mut Report<'_>,
    needed: Type,
    what: &str,
    read: impl Fn(&Val<'_>) -> Option<T>,
) -> Option<T> {
    let parsed = Parsed::of(node, 0, report)?;
    let problem = match names::resolve(&parsed.tree, &mut OnlyParams(Some(params))) {
        Ok((_, kind)) if kind != needed && kind != Type::Any => {
            Problem::new(Code::Type, format!("{what} is needed here, this is {}", names::type_name(kind)))
        }
        Ok((expression, _)) => match expression.eval(&Nothing) {
            Ok(value) => match read(&value) {
                Some(found) => return Some(found),
                None => Problem::new(Code::Type, format!("{what} is needed here, this comes to {}", said(&value))),
            },
            Err(_) => Problem::new(Code::Type, "this comes to nothing: it divides by zero, or is no number".to_owned()),
        },
        Err(problem) => problem,
    };
    let problem = if problem.span == (0..0) { Problem { span: parsed.tree.span.clone(), ..problem } } else { problem };
    report.inside(node, parsed.offset, problem);
    None
}

/// What an expression came to, for people.
fn said(value: &Val<'_>) -> String {
    match value {
        Val::Duration(nanos) => {
            let length =
                event::format_duration(Duration::from_nanos(nanos.unsigned_abs().try_into().unwrap_or(u64::MAX)));
            if *nanos < 0 { format!("less than nothing (-{length})") } else { length }
        }
        Val::Int(int) => int.to_string(),
        _ => "something else".to_owned(),
    }
}

/// Names of which only parameters mean something; without any, each may be one.
struct OnlyParams<'p>(Option<&'p Params>);

fn other<T>() -> Result<T, Problem> {
    Err(Problem::new(Code::Name, "only parameters can be spoken of here"))
}

impl Names for OnlyParams<'_> {
    fn variable(&mut self, _: Variable) -> Result<(Expr, Type), Problem> {
        other()
    }

    fn longest(&mut self, _: &[String]) -> Option<(usize, Variable)> {
        None
    }

    fn role(&mut self, _: &str) -> Option<RoleIdx> {
        None
    }

    fn role_variable(&mut self, _: RoleIdx, _: &[String]) -> Result<(usize, Expr, Type), Problem> {
        other()
    }

    fn param(&mut self, name: &str) -> Result<(Expr, Type), Problem> {
        match self.0 {
            Some(params) => params.expression(name),
            None => Ok((Expr::Const(event::Value::Null), Type::Any)),
        }
    }

    fn fact(&mut self, _: &str) -> Result<(u16, Known), Problem> {
        other()
    }
}

/// There is no event.
struct Nothing;

impl Env for Nothing {
    fn slot(&self, _: u16) -> Option<Val<'_>> {
        None
    }

    fn role(&self, _: RoleIdx, _: u16) -> Option<Val<'_>> {
        None
    }
}
