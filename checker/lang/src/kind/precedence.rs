//! `precedence: {event, requires, within, since, unless}`.
use engine::Kind;

use super::{Complete, Draft, Ticking};
use crate::{
    clock,
    diagnostic::Code,
    fields::{Fields, Report},
    pattern::Context,
    rule::Roles,
    yaml::{Node, Yaml},
};

pub(super) fn read<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    let mut fields = Fields::of(node, "precedence", report)?;
    let event = roles.need(&mut fields, "event", cx, report);
    let mut requires = Vec::new();
    let mut all = true;
    if let Some(node) = fields.need("requires", report) {
        let map = match &node.value {
            Yaml::Map(entries) => entries.iter().any(|(key, _)| key.name == "all" || key.name == "any"),
            _ => false,
        };
        let patterns = if map {
            let mut inner = Fields::of(node, "requires", report)?;
            let found = match (inner.take("all"), inner.take("any")) {
                (Some(list), None) => Some(list),
                (None, Some(list)) => {
                    all = false;
                    Some(list)
                }
                _ => {
                    report.error(Code::Shape, &node.span, "`requires` has `all` or `any`, not both");
                    None
                }
            };
            inner.finish(report);
            found
        } else {
            Some(node)
        };
        match patterns.map(|node| (&node.value, node)) {
            Some((Yaml::List(items), _)) => {
                requires.extend(items.iter().map(|item| roles.add(item, "requires", cx, report)));
            }
            Some((_, node)) => requires.push(roles.add(node, "requires", cx, report)),
            None => {}
        }
    }
    let within_node = fields.take("within");
    let ticks = within_node.and_then(|node| clock::ticks(node, cx, report));
    let within = within_node.filter(|_| ticks.is_none()).and_then(|node| cx.params.duration(node, report));
    let since = roles.take(&mut fields, "since", cx, report);
    let unless = roles.take(&mut fields, "unless", cx, report);
    fields.finish(report);
    let event = event?;
    let kind = Kind::Precedence { event, requires, all, within, ticks: None, since, unless };
    let Some((ticks, node)) = ticks.zip(within_node) else { return Some(Box::new(Complete(kind))) };
    let ticks = ticks.ok()?;
    if ticks.waits_at_most() {
        report.error_help(
            Code::Shape,
            &node.span,
            "`or` ends a wait, and what looks back waits for nothing",
            "leave it out, or write a list of which the farther end counts: `[4 height, 10m]`",
        );
    }
    Some(Box::new(Ticking { kind, of: event, ticks, node }))
}
