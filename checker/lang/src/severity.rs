//! How bad it is: one word, or the first of several conditions that holds.
use engine::{Grade, Severity};

use crate::{
    diagnostic::Code,
    elsewhere,
    evidence::Evidence,
    fields::{Fields, Report},
    lint::{self, condition::Constant},
    pattern::{Context, Parsed},
    suggest, template,
    yaml::Node,
};

pub(crate) fn severity(node: &Node, cx: &Context<'_>, report: &mut Report<'_>) -> Option<Severity> {
    let found = cx.params.follow(node, report)?.scalar().and_then(|text| Severity::parse(&text));
    if found.is_none() {
        let known = ["critical", "high", "medium", "low", "info"];
        let written = node.scalar().unwrap_or_default();
        let worst_first = "from the worst: critical, high, medium, low, info";
        let help = match (elsewhere::severity(&written), suggest::closest(&written, known)) {
            (Some(meant), _) => format!("`{written}` of others is `{meant}` here; {worst_first}"),
            (None, Some(meant)) => format!("did you mean `{meant}`?"),
            (None, None) => worst_first.to_owned(),
        };
        report.error_help(Code::Shape, &node.span, "`severity` is critical, high, medium, low or info", help);
    }
    found
}

/// `[{where: condition, is: high}, {is: medium}]`: the first that matches, the last matching whatever is left.
pub(crate) fn grades(
    items: &[Node],
    span: &std::ops::Range<usize>,
    evidence: &Evidence<'_>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<(Severity, Vec<Grade>)> {
    let mut grades = Vec::new();
    let mut rest = None;
    let mut said = Vec::new();
    for (place, item) in items.iter().enumerate() {
        let mut fields = Fields::of(item, "severity", report)?;
        let condition = fields.take("where");
        let is = fields.need("is", report).and_then(|node| severity(node, cx, report));
        fields.finish(report);
        match condition {
            Some(node) => {
                let parsed = Parsed::of(node, 0, report)?;
                let holds = lint::condition::constant(&parsed);
                if said.contains(&node.scalar()) || holds == Some(Constant::Fails) {
                    let help =
                        "the first entry whose `where` holds counts: leave this one out, or change its condition";
                    report.warning(Code::Ungraded, &node.span, "no violation comes to this severity", help);
                } else if holds == Some(Constant::Holds) {
                    let help = "leave its `where` out and make it the last one, or change its condition";
                    report.warning(Code::Ungraded, &node.span, "what follows this severity never counts", help);
                }
                said.push(node.scalar());
                let (condition, slots) = template::condition(&parsed, evidence, cx.params, report)?;
                grades.extend(is.map(|is| Grade { condition, slots, is }));
            }
            None if place + 1 < items.len() => {
                report.error_help(
                    Code::Shape,
                    &item.span,
                    "what follows this severity never counts",
                    "only the last one stands without `where`",
                );
            }
            None => rest = is,
        }
    }
    if rest.is_none() {
        report.error_help(
            Code::MissingField,
            &(span.start..span.start + 1),
            "nothing says how severe it is when no condition holds",
            "end with an entry that has only `is`",
        );
    }
    Some((rest?, grades))
}
