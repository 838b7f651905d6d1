//! `sequence: {steps, within}`.
use engine::{Kind, SequenceStep};

use super::{Complete, Draft, start};
use crate::{
    diagnostic::Code,
    fields::{Fields, Report},
    pattern::Context,
    rule::{Roles, STEPS},
    yaml::{Node, Yaml},
};

pub(super) fn read<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    let mut fields = Fields::of(node, "sequence", report)?;
    let span = fields.span().clone();
    let list = fields.need("steps", report);
    let within = fields.need("within", report).and_then(|node| cx.params.duration(node, report));
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
    let mut steps: Vec<SequenceStep> = Vec::new();
    let mut not = Vec::new();
    let mut words = STEPS.iter().copied();
    for item in items {
        if let Yaml::Map(entries) = &item.value
            && entries.iter().any(|(key, _)| key.name == "not")
        {
            let mut fields = Fields::of(item, "step", report)?;
            if steps.is_empty() {
                report.error_help(
                    Code::Shape,
                    &item.span,
                    "`not` says what must not lie between two steps: none stands before it",
                    "begin with a step that must happen",
                );
            }
            not.extend(fields.take("not").map(|node| roles.add(node, "not", cx, report)));
            fields.finish(report);
            continue;
        }
        let Some(word) = words.next() else { break };
        let role = roles.add(item, word, cx, report);
        steps.push(SequenceStep { role, not: std::mem::take(&mut not) });
    }
    if !not.is_empty() {
        report.error_help(
            Code::Shape,
            &items.last().map_or(span.clone(), |item| item.span.clone()),
            "`not` says what must not lie between two steps: none follows it",
            "end with a step that must happen; for what must follow, use `response`",
        );
    }
    let mandatory = items.len()
        - items
            .iter()
            .filter(
                |item| matches!(&item.value, Yaml::Map(entries) if entries.iter().any(|(key, _)| key.name == "not")),
            )
            .count();
    if !(2..=STEPS.len()).contains(&mandatory) {
        let message = format!("a sequence has 2 to {} steps that happen, this one has {mandatory}", STEPS.len());
        report.error(Code::Shape, &start(&span), message);
        return None;
    }
    Some(Box::new(Complete(Kind::Sequence { steps, within: within? })))
}
