//! `response: {when, then, within | by, from, pair, unless, broken_by, grace}`.
use std::time::Duration;

use engine::{KeyPart, Kind, Limit, RoleIdx, Type};

use super::{Complete, Draft, Ticking, wrong_type};
use crate::{
    clock,
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
    Within(&'n Node),
    /// A marker, by its role.
    By(RoleIdx),
}

/// With an end that is an expression over the `when`.
struct Computed<'n> {
    kind: Kind,
    limit: Parsed<'n>,
}

/// With answers from members.
struct Expected<'n> {
    roles: expected::Roles,
    from: expected::From<'n>,
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
    let has_grace = fields.has("grace");
    let grace = fields.take("grace").and_then(|node| cx.params.duration(node, report)).unwrap_or_default();
    let pair = fields.take("pair").and_then(|node| cx.params.bool(node, report)).unwrap_or(false);
    let from_node = fields.take("from");
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
        (Some(node), None) => Some(End::Within(node)),
        (None, Some(by)) => Some(End::By(by)),
    };
    if let Some(node) = from_node {
        let from = expected::read(node, cx, report);
        if pair || has_grace {
            let message = "with `from` a response has neither `pair` nor `grace`";
            report.error_help(Code::Shape, &node.span, message, "make a rule of its own of the rest");
        }
        let (within, by) = match end? {
            End::Within(node) => (Some(cx.params.duration(node, report)?), None),
            End::By(by) => (None, Some(by)),
        };
        let roles = expected::Roles { when: when?, then: then?, unless, broken_by, by, within };
        return Some(Box::new(Expected { roles, from: from? }));
    }
    let kind = |limit| Some(Kind::Response { when: when?, then: then?, limit, pair, unless, broken_by, grace });
    let node = match end? {
        End::Within(node) => node,
        End::By(by) => return Some(Box::new(Complete(kind(Limit::By(by))?))),
    };
    let expression = match &node.value {
        Yaml::Text(text) => text.contains(['*', '(']) || (text.contains('.') && !text.starts_with("param.")),
        _ => false,
    };
    if let Some(ticks) = clock::ticks(node, cx, report) {
        let kind = kind(Limit::Within(Duration::ZERO))?;
        return Some(Box::new(Ticking { kind, of: when?, ticks: ticks.ok()?, node }));
    }
    if expression && engine::expr::parse_duration(&node.scalar().unwrap_or_default()).is_none() {
        let limit = Parsed::of(node, 0, report)?;
        return Some(Box::new(Computed { kind: kind(Limit::Within(Duration::ZERO))?, limit }));
    }
    let within = cx.params.duration(node, report)?;
    Some(Box::new(Complete(kind(Limit::Within(within))?)))
}

impl<'n> Draft<'n> for Computed<'n> {
    fn mark(&self, layout: &mut Layout<'_, 'n>) {
        if let Kind::Response { when, .. } = self.kind {
            layout.mark(when as usize, &self.limit.tree);
        }
    }

    fn finish(self: Box<Self>, layout: &Layout<'_, 'n>, _: &[KeyPart], report: &mut Report<'_>) -> Option<Kind> {
        let Computed { mut kind, limit: written } = *self;
        if let Kind::Response { when, limit, .. } = &mut kind {
            let (expression, of) = layout.late(*when as usize, &written, report)?;
            if !matches!(of, Type::Duration | Type::Any) {
                let message = format!("`within` needs a duration, this is {}", names::type_name(of));
                wrong_type(&written, message, Some("multiply by a length: `when.ttl_s * duration(\"1s\")`"), report);
            }
            *limit = Limit::Computed(expression);
        }
        Some(kind)
    }
}

impl<'n> Draft<'n> for Expected<'n> {
    fn mark(&self, layout: &mut Layout<'_, 'n>) {
        self.from.mark(&self.roles, layout);
    }

    fn finish(self: Box<Self>, layout: &Layout<'_, 'n>, _: &[KeyPart], report: &mut Report<'_>) -> Option<Kind> {
        self.from.finish(&self.roles, layout, report)
    }
}
