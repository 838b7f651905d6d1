//! `heartbeat: {event, every, start, stop, expect, while}`.
use engine::{Kind, RoleIdx};

use super::{Complete, Draft};
use crate::{
    diagnostic::Code,
    fields::{Fields, Report, text},
    pattern::Context,
    rule::Roles,
    yaml::{Node, Yaml},
};

pub(super) fn read<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'n>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    let mut fields = Fields::of(node, "heartbeat", report)?;
    let of = roles.need(&mut fields, "event", cx, report);
    let every = fields.need("every", report).and_then(|node| cx.params.duration(node, report));
    let start = roles.take(&mut fields, "start", cx, report);
    let stop = roles.take(&mut fields, "stop", cx, report);
    let while_ = roles.take(&mut fields, "while", cx, report);
    let expect_node = fields.take("expect");
    fields.finish(report);
    let (expect, left) = expect_node.map_or((None, None), |node| expect(node, roles, cx, report));
    if let (Some(node), Some(_), Some(_)) = (expect_node, left, stop) {
        let message = "`expect` ends when the fact is unset, `stop` would end it too";
        report.error_help(Code::Shape, &node.span, message, "give one of them, or unset the fact by both events");
    }
    let stop = stop.or(left);
    Some(Box::new(Complete(Kind::Heartbeat { of: of?, every: every?, start, stop, expect, while_ })))
}

/// `expect: fact.members`: the events that set and unset the fact begin and end what a heartbeat expects.
fn expect<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'n>,
    report: &mut Report<'_>,
) -> (Option<RoleIdx>, Option<RoleIdx>) {
    let text = text(node, report).unwrap_or_default();
    let name = text.strip_prefix("fact.").unwrap_or(&text);
    let name = name.strip_suffix("()").unwrap_or(name);
    let found = match crate::fact::find(name, cx.facts) {
        Ok((_, known)) => cx.fact_nodes.iter().find(|(key, _)| key.name == known.name),
        Err(problem) => {
            report.inside(node, 0, problem);
            return (None, None);
        }
    };
    let Some((_, Node { value: Yaml::Map(fields), .. })) = found else { return (None, None) };
    let field = |name: &str| fields.iter().find(|(key, _)| key.name == name).map(|(_, node)| node);
    if let Some(why) = ["is", "expires"].into_iter().find(|word| field(word).is_some()) {
        let message = format!("`{name}` has `{why}`: no event says when its rows begin and end");
        report.error_help(Code::Shape, &node.span, message, "expect a fact that events set and unset");
        return (None, None);
    }
    let mut role = |field: &'n Node, word| roles.add(field, word, cx, report);
    (field("set_by").map(|node| role(node, "expect")), field("unset_by").map(|node| role(node, "stop")))
}
