//! `count: {of, min, max, window, per}`.
use engine::{CountSpan, Kind};

use super::{Complete, Draft, Ticking};
use crate::{
    clock,
    diagnostic::Code,
    fields::{Fields, Report},
    pattern::Context,
    rule::Roles,
    yaml::Node,
};

pub(super) fn read<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    let mut fields = Fields::of(node, "count", report)?;
    let of = roles.need(&mut fields, "of", cx, report);
    let bounded = fields.has("min") || fields.has("max");
    let min = fields.take("min").and_then(|node| cx.params.number(node, report));
    let max = fields.take("max").and_then(|node| cx.params.number(node, report));
    let window = fields.take("window").and_then(|node| cx.params.duration(node, report));
    let per = fields.take("per");
    let mut ticks = None;
    let span = match (window, per) {
        (Some(_), Some(node)) => {
            report.error(Code::Shape, &node.span, "`window` and `per` are alternatives: give one of them");
            return None;
        }
        (Some(window), None) => CountSpan::Window(window),
        (None, None) => CountSpan::Ever,
        (None, Some(node)) => {
            let mut per = Fields::of(node, "per", report)?;
            let when = roles.need(&mut per, "when", cx, report);
            let before = per.take("before").and_then(|node| cx.params.duration(node, report)).unwrap_or_default();
            let within_node = per.take("within");
            let in_ticks = within_node.and_then(|node| clock::ticks(node, cx, report));
            let within = within_node.filter(|_| in_ticks.is_none()).and_then(|node| cx.params.duration(node, report));
            let until = roles.take(&mut per, "until", cx, report);
            per.finish(report);
            if within_node.is_none() && until.is_none() {
                report.error_help(
                    Code::MissingField,
                    &node.span,
                    "these spans never end",
                    "give `within`, `until`, or both",
                );
            }
            ticks = in_ticks.zip(within_node).zip(when);
            CountSpan::Per { when: when?, before, within, ticks: None, until }
        }
    };
    let place = fields.span().clone();
    if !bounded {
        let help = "exactly one is `min: 1` with `max: 1`, at most three `max: 3`";
        let start = place.start..place.start + 1;
        report.error_help(Code::MissingField, &start, "a count has `min`, `max` or both", help);
    }
    if min.is_some() && !matches!(span, CountSpan::Per { .. }) {
        report.error_help(
            Code::Shape,
            &place,
            "`min` needs an end at which it is judged",
            "give `per: {when: …, within: …}`",
        );
    }
    fields.finish(report);
    let kind = Kind::Count { of: of?, min, max, span };
    let Some(((ticks, node), of)) = ticks else { return Some(Box::new(Complete(kind))) };
    Some(Box::new(Ticking { kind, of, ticks: ticks.ok()?, node }))
}
