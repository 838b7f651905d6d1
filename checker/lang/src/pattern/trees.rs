//! What the tree of a condition asks for, before its names are resolved.
use engine::expr::Binary;

use super::WrittenRole;
use crate::{
    names::{self, Variable},
    syntax,
};

/// The parts of a condition joined by `&&`.
pub(super) fn conjuncts(tree: &syntax::Node) -> Vec<&syntax::Node> {
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
pub(super) fn paths(tree: &syntax::Node, see: &mut dyn FnMut(&[String])) {
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
pub(super) fn variables(tree: &syntax::Node, found: &mut Vec<String>) {
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
pub(super) fn is_late(tree: &syntax::Node, own: usize, roles: &[WrittenRole<'_>]) -> bool {
    let mut late = false;
    paths(tree, &mut |segments| {
        late |= segments[0] == "fact" || segments[0] == "clock" || other_role(segments, own, roles).is_some();
    });
    late
}

pub(super) fn other_role(segments: &[String], own: usize, roles: &[WrittenRole<'_>]) -> Option<usize> {
    if segments.len() < 2 {
        return None;
    }
    let place = roles.iter().position(|role| role.name == segments[0] || role.word == segments[0])?;
    (place != own).then_some(place)
}

/// `attr["x"]` and `resource["x"]` anywhere in a tree.
pub(super) fn attr_reads(tree: &syntax::Node, see: &mut dyn FnMut(Variable)) {
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
