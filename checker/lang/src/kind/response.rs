//! `response: {when, then, within | by, from, pair, unless, broken_by, grace}`.
use std::time::Duration;

use engine::{KeyPart, Kind, Limit, RoleIdx, Type};

use super::{Draft, wrong_type};
use crate::{
    clock, constant,
    diagnostic::Code,
    expected,
    fields::{Fields, Report},
    names,
    pattern::{Context, Layout, Parsed},
    rule::Roles,
    yaml::{Node, Yaml},
};

/// What ends the wait for an answer.
enum End<'n> {
    Within(Duration),
    /// A marker, by its role.
    By(RoleIdx),
    /// So many ticks of a clock.
    Ticks(clock::Written, &'n Node),
    /// An expression over the `when`.
    Computed(Parsed<'n>),
}

/// A response as written.
struct Written<'n> {
    when: RoleIdx,
    then: RoleIdx,
    end: End<'n>,
    pair: bool,
    unless: Option<RoleIdx>,
    broken_by: Option<RoleIdx>,
    grace: Duration,
    from: Option<expected::From<'n>>,
}

pub(super) fn read<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    let mut fields = Fields::of(node, "response", report)?;
    let when = roles.need(&mut fields, "when", cx, report);
    let then = roles.need(&mut fields, "then", cx, report);
    let within = fields.take("within");
    let by = roles.take(&mut fields, "by", cx, report);
    let unless = roles.take(&mut fields, "unless", cx, report);
    let broken_by = roles.take(&mut fields, "broken_by", cx, report);
    let grace = fields.take("grace").and_then(|node| cx.params.duration(node, report)).unwrap_or_default();
    let pair = fields.take("pair").and_then(|node| cx.params.bool(node, report)).unwrap_or(false);
    let from = fields.take("from").map(|node| expected::read(node, cx, report));
    let span = fields.span().clone();
    fields.finish(report);
    let end = match (within, by) {
        (Some(_), Some(_)) => {
            report.error(Code::Shape, &span, "`within` and `by` are alternatives: give one of them");
            None
        }
        (None, None) => {
            report.error_help(
                Code::MissingField,
                &(span.start..span.start + 1),
                "this response has no end",
                "give `within: 5s`, or `by:` with a marker event",
            );
            None
        }
        (Some(node), None) => end(node, cx, report),
        (None, Some(by)) => Some(End::By(by)),
    };
    let from = match from {
        Some(from) => Some(from?),
        None => None,
    };
    let (when, then, end) = (when?, then?, end?);
    Some(Box::new(Written { when, then, end, pair, unless, broken_by, grace, from }))
}

/// Reads `within`: a length of time, ticks of a clock, or an expression over the `when`.
fn end<'n>(node: &'n Node, cx: &Context<'_>, report: &mut Report<'_>) -> Option<End<'n>> {
    if let Some(ticks) = clock::ticks(node, cx, report) {
        return Some(End::Ticks(ticks.ok()?, node));
    }
    let expression = match &node.value {
        Yaml::Text(text) => text.contains(['*', '(', '+']) || (text.contains('.') && !text.starts_with("param.")),
        _ => false,
    };
    if expression && engine::expr::parse_duration(&node.scalar().unwrap_or_default()).is_none() {
        let parsed = Parsed::of(node, 0, report)?;
        if !constant::is_constant(&parsed.tree) {
            return Some(End::Computed(parsed));
        }
    }
    Some(End::Within(cx.params.duration(node, report)?))
}

impl End<'_> {
    /// Marks what it reads of the `when`.
    fn mark(&self, when: RoleIdx, layout: &mut Layout<'_, '_>) {
        match self {
            End::Ticks(ticks, _) => ticks.mark(when, layout),
            End::Computed(limit) => layout.mark(when as usize, &limit.tree),
            End::Within(_) | End::By(_) => {}
        }
    }

    fn finish(self, when: RoleIdx, layout: &Layout<'_, '_>, report: &mut Report<'_>) -> Option<Limit> {
        Some(match self {
            End::Within(within) => Limit::Within(within),
            End::By(by) => Limit::By(by),
            End::Ticks(ticks, node) => Limit::Ticks(ticks.finish(when, node, layout, report)?),
            End::Computed(written) => {
                let (expression, of) = layout.late(when as usize, &written, report)?;
                if !matches!(of, Type::Duration | Type::Any) {
                    let message = format!("`within` needs a duration, this is {}", names::type_name(of));
                    let help = "multiply by a length: `when.ttl_s * duration(\"1s\")`";
                    wrong_type(&written, message, Some(help), report);
                }
                Limit::Computed(expression)
            }
        })
    }
}

impl<'n> Draft<'n> for Written<'n> {
    fn mark(&self, layout: &mut Layout<'_, 'n>) {
        self.end.mark(self.when, layout);
        if let Some(from) = &self.from {
            from.mark(self.when, self.then, layout);
        }
    }

    fn finish(self: Box<Self>, layout: &Layout<'_, 'n>, _: &[KeyPart], report: &mut Report<'_>) -> Option<Kind> {
        let Written { when, then, end, pair, unless, broken_by, grace, from } = *self;
        let limit = end.finish(when, layout, report)?;
        let Some(from) = from else {
            return Some(Kind::Response { when, then, limit, pair, unless, broken_by, grace });
        };
        let expected::Group { of, member, except, quorum, at_deadline } = from.finish(when, then, layout, report)?;
        Some(Kind::Expected {
            when,
            then,
            limit,
            pair,
            of,
            member,
            except,
            quorum,
            at_deadline,
            unless,
            broken_by,
            grace,
        })
    }
}
