//! `order: {steps, within}`.
use engine::{KeyPart, Kind, OrderStep, RoleIdx};

use super::{Draft, condition, start};
use crate::{
    diagnostic::Code,
    fields::{Fields, Report},
    pattern::{Context, Layout, Parsed},
    rule::{Roles, STEPS},
    yaml::{Node, Yaml},
};

struct Steps<'n> {
    steps: Vec<(RoleIdx, Option<Parsed<'n>>)>,
    within: Option<std::time::Duration>,
}

pub(super) fn read<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    let mut fields = Fields::of(node, "order", report)?;
    let span = fields.span().clone();
    let list = fields.need("steps", report);
    let within = fields.take("within").and_then(|node| cx.params.duration(node, report));
    fields.finish(report);
    let list = list?;
    let Yaml::List(items) = &list.value else {
        report.error_help(
            Code::Shape,
            &list.span,
            format!("`steps` is a list of patterns, this is {}", list.shape()),
            "begin each step with `- `",
        );
        return None;
    };
    if items.len() < 2 || items.len() > STEPS.len() {
        let message = format!("an order has 2 to {} steps, this one has {}", STEPS.len(), items.len());
        report.error(Code::Shape, &start(&span), message);
        return None;
    }
    let mut steps = Vec::new();
    for (item, word) in items.iter().zip(STEPS.iter().copied()) {
        let condition = match &item.value {
            Yaml::Map(entries) => entries.iter().find(|(key, _)| key.name == "if").map(|(_, node)| node),
            _ => None,
        };
        let role = roles.add(item, word, cx, report);
        let condition = match condition {
            // YAML's own `false` and `true` are the simplest conditions.
            Some(node) => Some(Parsed::of(node, 0, report)?),
            None => None,
        };
        steps.push((role, condition));
    }
    Some(Box::new(Steps { steps, within }))
}

impl<'n> Draft<'n> for Steps<'n> {
    fn mark(&self, layout: &mut Layout<'_, 'n>) {
        let first = self.steps.first().map_or(0, |(role, _)| *role);
        for parsed in self.steps.iter().filter_map(|(_, parsed)| parsed.as_ref()) {
            layout.mark(first as usize, &parsed.tree);
        }
    }

    fn finish(self: Box<Self>, layout: &Layout<'_, 'n>, _: &[KeyPart], report: &mut Report<'_>) -> Option<Kind> {
        let first = self.steps.first().map_or(0, |(role, _)| *role);
        let mut steps = Vec::new();
        for (role, parsed) in &self.steps {
            let condition = match parsed {
                Some(parsed) => Some(condition(first, parsed, "if", layout, report)?),
                None => None,
            };
            steps.push(OrderStep { role: *role, condition });
        }
        Some(Kind::Order { steps, within: self.within })
    }
}
