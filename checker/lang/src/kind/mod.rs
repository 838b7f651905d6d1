//! Kinds that are read in files of their own: each reads its map, says what its roles must keep, and is finished when the
//! slots are laid out.
pub(crate) mod aggregate;
mod each;
pub(crate) mod exclusive;
pub(crate) mod figures;
pub(crate) mod monotonic;
pub(crate) mod order;
pub(crate) mod sequence;
pub(crate) mod state_machine;

use std::ops::Range;

use engine::{KeyPart, Kind, RoleIdx, Type, expr::Expr};

use crate::{
    diagnostic::Code,
    fields::Report,
    names::{self, Problem},
    pattern::{Context, Layout, Parsed},
    rule::Roles,
    yaml::Node,
};

/// A kind whose expressions wait for the slots to be laid out.
pub(crate) trait Draft<'n> {
    /// Marks what its expressions read of each role as kept.
    fn mark(&self, layout: &mut Layout<'_, 'n>);

    /// Compiles its expressions.
    fn finish(self: Box<Self>, layout: &Layout<'_, 'n>, key: &[KeyPart], report: &mut Report<'_>) -> Option<Kind>;
}

/// A kind that is complete as it was read.
pub(crate) struct Complete(pub(crate) Kind);

impl<'n> Draft<'n> for Complete {
    fn mark(&self, _: &mut Layout<'_, 'n>) {}

    fn finish(self: Box<Self>, _: &Layout<'_, 'n>, _: &[KeyPart], _: &mut Report<'_>) -> Option<Kind> {
        Some(self.0)
    }
}

/// Reads one of these kinds; `None` where there is nothing to go on with.
pub(crate) fn read<'n>(
    kind: &str,
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    match kind {
        "monotonic" => monotonic::read(node, roles, cx, report),
        "state_machine" => state_machine::read(node, roles, cx, report),
        "order" => order::read(node, roles, cx, report),
        "sequence" => sequence::read(node, roles, cx, report),
        "aggregate" => aggregate::read(node, roles, cx, report),
        _ => exclusive::read(node, roles, cx, report),
    }
}

/// Compiles a condition over a role's kept slots.
fn condition(
    own: RoleIdx,
    parsed: &Parsed<'_>,
    what: &str,
    layout: &Layout<'_, '_>,
    report: &mut Report<'_>,
) -> Option<Expr> {
    let (expr, kind) = layout.late(own as usize, parsed, report)?;
    if !matches!(kind, Type::Bool | Type::Any) {
        wrong_type(parsed, format!("`{what}` needs a condition, this is {}", names::type_name(kind)), None, report);
    }
    Some(expr)
}

/// Reports that a whole expression is of the wrong type.
fn wrong_type(parsed: &Parsed<'_>, message: String, help: Option<&str>, report: &mut Report<'_>) {
    let problem = Problem { span: parsed.tree.span.clone(), ..Problem::new(Code::Type, message) };
    let problem = match help {
        Some(help) => problem.help(help),
        None => problem,
    };
    report.inside(parsed.node, parsed.offset, problem);
}

/// The first character of a place, for what is missing in it.
fn start(span: &Range<usize>) -> Range<usize> {
    span.start..span.start + 1
}
