//! Conditions that are the same for every event. What a parameter decides is not one: another site may set it otherwise.
use engine::expr::{Binary, Unary};
use event::Value;

use crate::{
    diagnostic::Code,
    fields::{Report, locate},
    pattern::Parsed,
    syntax::{Node, NodeKind},
};

/// What is known of a condition without any event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Constant {
    /// It holds.
    Holds,
    /// It does not hold.
    Fails,
    /// It is the same every time.
    Same,
}

/// Warns of a condition that is the same for every event.
pub(crate) fn warn(parsed: &Parsed<'_>, report: &mut Report<'_>) {
    let Some(constant) = constant(parsed) else { return };
    let message = match constant {
        Constant::Holds => "this condition always holds",
        Constant::Fails => "this condition never holds",
        Constant::Same => "this condition reads nothing of any event: it is always the same",
    };
    let help = match (&parsed.tree.kind, constant) {
        (NodeKind::Binary(Binary::Or, ..), Constant::Holds) => {
            "every value differs from one of two: join them by `&&`, or write `!(x in [a, b])`"
        }
        (NodeKind::Binary(Binary::And, ..), Constant::Fails) => {
            "no value is two at once: join them by `||`, or write `x in [a, b]`"
        }
        _ => "leave it out, or compare with what differs from event to event",
    };
    let span = parsed.tree.span.start + parsed.offset..parsed.tree.span.end + parsed.offset;
    report.warning(Code::Constant, &locate(report.source, parsed.node, span), message, help);
}

/// What is known of a condition without any event, if anything is.
pub(crate) fn constant(parsed: &Parsed<'_>) -> Option<Constant> {
    let text = parsed.node.scalar()?;
    judge(&parsed.tree, &text[parsed.offset..])
}

fn judge(tree: &Node, text: &str) -> Option<Constant> {
    use Constant::{Fails, Holds, Same};
    let known = match &tree.kind {
        NodeKind::Literal(Value::Bool(holds)) => Some(if *holds { Holds } else { Fails }),
        NodeKind::Unary(Unary::Not, of) => judge(of, text).map(|of| match of {
            Holds => Fails,
            Fails => Holds,
            Same => Same,
        }),
        NodeKind::Binary(binary @ (Binary::And | Binary::Or), a, b) => {
            // What decides it alone, and how two of its comparisons contradict one another.
            let (decides, other, compared) =
                if *binary == Binary::And { (Fails, Holds, Binary::Equal) } else { (Holds, Fails, Binary::NotEqual) };
            let parts = [judge(a, text), judge(b, text)];
            if parts.contains(&Some(decides)) || excludes(tree, *binary, compared, text) {
                Some(decides)
            } else {
                (parts == [Some(other); 2]).then_some(other)
            }
        }
        NodeKind::Binary(binary, a, b) if reads(a) && text.get(a.span.clone()) == text.get(b.span.clone()) => {
            match binary {
                Binary::Equal | Binary::LessEqual | Binary::GreaterEqual => Some(Holds),
                Binary::NotEqual | Binary::Less | Binary::Greater => Some(Fails),
                _ => None,
            }
        }
        _ => None,
    };
    known.or((!reads(tree)).then_some(Same))
}

/// Whether two parts of a chain of `&&` or `||` compare the same with two different literals.
fn excludes(tree: &Node, chain: Binary, compared: Binary, text: &str) -> bool {
    fn collect<'t>(tree: &'t Node, chain: Binary, compared: Binary, found: &mut Vec<(&'t Node, &'t Value)>) {
        match &tree.kind {
            NodeKind::Binary(binary, a, b) if *binary == chain => {
                collect(a, chain, compared, found);
                collect(b, chain, compared, found);
            }
            NodeKind::Binary(binary, a, b) if *binary == compared => match (&a.kind, &b.kind) {
                (_, NodeKind::Literal(value)) => found.push((a, value)),
                (NodeKind::Literal(value), _) => found.push((b, value)),
                _ => {}
            },
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(tree, chain, compared, &mut found);
    let same = |a: &Node, b: &Node| text.get(a.span.clone()) == text.get(b.span.clone());
    found.iter().enumerate().any(|(place, (a, x))| found[..place].iter().any(|(b, y)| same(a, b) && x != y))
}

/// Whether it reads an event, a parameter or anything else that has a name.
fn reads(tree: &Node) -> bool {
    match &tree.kind {
        NodeKind::Literal(_) => false,
        NodeKind::Name(_) => true,
        NodeKind::Field(of, _) | NodeKind::Unary(_, of) => reads(of),
        NodeKind::Index(a, b) | NodeKind::Binary(_, a, b) => reads(a) || reads(b),
        NodeKind::Call { receiver, name, args, .. } => {
            matches!(name.as_str(), "live" | "breaker") || receiver.iter().any(|of| reads(of)) || args.iter().any(reads)
        }
        NodeKind::Conditional(a, b, c) => reads(a) || reads(b) || reads(c),
        NodeKind::List(items) => items.iter().any(reads),
        NodeKind::Map(entries) => entries.iter().any(|(key, value)| reads(key) || reads(value)),
    }
}
