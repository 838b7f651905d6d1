//! `precedence: {event, requires, within, since, unless}`.
use engine::Kind;

use super::{Complete, Draft};
use crate::{
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
    let within = fields.take("within").and_then(|node| cx.params.duration(node, report));
    let since = roles.take(&mut fields, "since", cx, report);
    let unless = roles.take(&mut fields, "unless", cx, report);
    fields.finish(report);
    Some(Box::new(Complete(Kind::Precedence { event: event?, requires, all, within, since, unless })))
}
