//! The kinds, a file each: a kind reads its map, says what its roles must keep, and is finished when the
//! slots are laid out.
mod aggregate;
mod agreement;
mod consecutive;
mod count;
mod each;
mod exclusive;
pub(crate) mod figures;
mod heartbeat;
mod monotonic;
mod order;
mod point;
mod precedence;
mod response;
mod sequence;
mod state_machine;

use std::ops::Range;

use engine::{CountSpan, KeyPart, Kind, RoleIdx, Type, expr::Expr};

use crate::{
    clock,
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

/// A kind that counts in ticks of a clock.
struct Ticking<'n> {
    kind: Kind,
    /// The events whose slots give the clock's key.
    of: RoleIdx,
    ticks: clock::Written,
    node: &'n Node,
}

impl<'n> Draft<'n> for Ticking<'n> {
    fn mark(&self, layout: &mut Layout<'_, 'n>) {
        self.ticks.mark(self.of, layout);
    }

    fn finish(self: Box<Self>, layout: &Layout<'_, 'n>, _: &[KeyPart], report: &mut Report<'_>) -> Option<Kind> {
        let Ticking { mut kind, of, ticks: written, node } = *self;
        let ticking = written.finish(of, node, layout, report)?;
        match &mut kind {
            Kind::Precedence { ticks, .. } | Kind::Count { span: CountSpan::Per { ticks, .. }, .. } => {
                *ticks = Some(ticking);
            }
            _ => {}
        }
        Some(kind)
    }
}

/// Reads what stands under a kind's name; `None` where there is nothing to go on with.
pub(crate) fn read<'n>(
    kind: &str,
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'n>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    match kind {
        "never" => point::never(node, roles, cx, report),
        "always" => point::always(node, roles, cx, report),
        "response" => response::read(node, roles, cx, report),
        "precedence" => precedence::read(node, roles, cx, report),
        "count" => count::read(node, roles, cx, report),
        "agreement" => agreement::read(node, roles, cx, report),
        "consecutive" => consecutive::read(node, roles, cx, report),
        "heartbeat" => heartbeat::read(node, roles, cx, report),
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
