//! An expression by itself, over one event whose attributes are known: for trying one out. There is no pack around it, so
//! it has neither parameters nor facts nor other events.
use engine::{RoleIdx, Slot, Type, expr::Expr};

use crate::{
    diagnostic::{Code, Diagnostic},
    fact::Known,
    names::{self, Names, Problem, Variable},
    syntax,
};

/// A compiled expression and what it reads.
#[derive(Clone, Debug)]
pub struct Standalone {
    /// The expression, over `slots`.
    pub expr: Expr,
    /// What its slots stand for.
    pub slots: Vec<Slot>,
    /// What it gives, as far as that is known without the event.
    pub kind: Type,
}

/// Compiles an expression for an event that has these attributes; dotted names are told from fields by them.
///
/// # Errors
/// What is wrong, with its place in the text.
pub fn standalone(text: &str, attributes: &[&str]) -> Result<Standalone, Box<Diagnostic>> {
    const FILE: &str = "expression";
    let tree = syntax::parse(text).map_err(|error| {
        let code = if error.too_large { Code::ExpressionTooLarge } else { Code::ExpressionSyntax };
        let mut diagnostic = Diagnostic::error(code, error.message, FILE, text, error.span);
        diagnostic.help = error.help;
        Box::new(diagnostic)
    })?;
    let mut event = OneEvent { attributes, slots: Vec::new() };
    let (expr, kind) = names::resolve(&tree, &mut event).map_err(|problem| {
        let mut diagnostic = Diagnostic::error(problem.code, problem.message, FILE, text, problem.span);
        diagnostic.help = problem.help;
        Box::new(diagnostic)
    })?;
    Ok(Standalone { expr, slots: event.slots, kind })
}

/// Names as one event has them.
struct OneEvent<'a> {
    attributes: &'a [&'a str],
    slots: Vec<Slot>,
}

impl Names for OneEvent<'_> {
    fn variable(&mut self, variable: Variable) -> Result<(Expr, Type), Problem> {
        let (slot, kind) = match variable {
            Variable::Builtin(name) => {
                let kind =
                    names::BUILTINS.iter().find(|(known, _)| *known == name).map_or(Type::Any, |(_, kind)| *kind);
                let slot = match name {
                    "node" => Slot::Node,
                    "component" => Slot::Component,
                    "network" => Slot::Network,
                    "event" => Slot::Name,
                    "ts" => Slot::Ts,
                    "severity" => Slot::Severity,
                    "body" => Slot::Body,
                    _ => Slot::TraceId,
                };
                (slot, kind)
            }
            Variable::Attr(name) if self.attributes.contains(&name.as_str()) => {
                (Slot::Attr { name, int: false }, Type::Any)
            }
            Variable::Attr(name) => {
                let problem = Problem::new(Code::Attribute, format!("the event has no attribute `{name}`"));
                let known = crate::suggest::closest(&name, self.attributes.iter().copied());
                let of_role =
                    name.split_once('.').is_some_and(|(first, _)| matches!(first, "when" | "then" | "before"));
                return Err(match known {
                    _ if of_role => problem.help("other events of a rule are there in rules only: here is one event"),
                    Some(known) => problem.help(format!("did you mean `{known}`?")),
                    None if self.attributes.is_empty() => problem.help("it has no attributes at all"),
                    None => problem.help(format!("it has: {}", self.attributes.join(", "))),
                });
            }
            Variable::Resource(name) => (Slot::Resource(name), Type::Any),
            Variable::Let(name) => return Err(Problem::new(Code::Name, format!("`{name}` is not defined here"))),
        };
        self.slots.push(slot);
        Ok((Expr::Slot((self.slots.len() - 1) as u16), kind))
    }

    fn longest(&mut self, segments: &[String]) -> Option<(usize, Variable)> {
        let builtin = names::BUILTINS.iter().find(|(name, _)| *name == segments[0]);
        if let Some((name, _)) = builtin {
            return Some((1, Variable::Builtin(name)));
        }
        (1..=segments.len()).rev().find_map(|used| {
            let name = segments[..used].join(".");
            self.attributes.contains(&name.as_str()).then_some((used, Variable::Attr(name)))
        })
    }

    fn role(&mut self, _name: &str) -> Option<RoleIdx> {
        None
    }

    fn role_variable(&mut self, _role: RoleIdx, _segments: &[String]) -> Result<(usize, Expr, Type), Problem> {
        Err(Problem::new(Code::Name, "there is only one event here"))
    }

    fn param(&mut self, name: &str) -> Result<(Expr, Type), Problem> {
        let problem = Problem::new(Code::Name, format!("there is no pack here that could say what `param.{name}` is"));
        Err(problem.help("put its value in its place"))
    }

    fn fact(&mut self, name: &str) -> Result<(u16, Known), Problem> {
        let problem = Problem::new(Code::Name, format!("there is no pack here that could say what `fact.{name}` is"));
        Err(problem.help("a rule that asks facts is tried by a test beside its pack: `invar test`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn refused(text: &str) -> String {
        let diagnostic = standalone(text, &["batch.id", "bytes"]).unwrap_err();
        crate::render(&[*diagnostic], text)
    }

    #[test]
    fn dotted_names_are_attributes_as_far_as_the_event_has_them() {
        let made = standalone("batch.id.prefix == node", &["batch.id"]).unwrap();
        assert!(matches!(&made.slots[..], [Slot::Attr { name, .. }, Slot::Node] if name == "batch.id"));
        assert_eq!(made.kind, Type::Bool);
    }

    #[test]
    fn a_misspelt_attribute_is_answered_with_the_one_that_is_there() {
        expect![[r#"
            error[I204]: the event has no attribute `byte`
             --> expression:1:1
              |
            1 | byte > 3
              | ^^^^
              |
              = help: did you mean `bytes`?
        "#]]
        .assert_eq(&refused("byte > 3"));
    }

    #[test]
    fn what_only_a_pack_has_is_said_to_be_missing() {
        assert!(refused("fact.capacity(node) > 3").contains("no pack here"));
        assert!(refused("param.limit > 3").contains("no pack here"));
    }
}
