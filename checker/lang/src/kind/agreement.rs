//! `agreement: {event, value, among, within, voters, assert}`.
use std::time::Duration;

use engine::{KeyPart, Kind, RoleIdx, expr::Expr};

use super::Draft;
use crate::{
    diagnostic::Code,
    expected,
    fields::{Fields, Report},
    names::Variable,
    pattern::{Context, Layout, Parsed},
    rule::Roles,
    yaml::{Node, Yaml},
};

/// What `assert` may speak of besides the first vote.
const POLLED: &[&str] = &["values", "dissent", "voters"];

struct Agreement<'n> {
    of: RoleIdx,
    value: Parsed<'n>,
    among: Vec<Parsed<'n>>,
    within: Option<Duration>,
    voters: Option<Parsed<'n>>,
    assert: Option<Parsed<'n>>,
}

pub(super) fn read<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    let mut fields = Fields::of(node, "agreement", report)?;
    let of = roles.need(&mut fields, "event", cx, report);
    let value = fields.need("value", report).and_then(|node| Parsed::of(node, 0, report));
    let among = match fields.take("among") {
        Some(Node { value: Yaml::List(items), .. }) => {
            items.iter().filter_map(|item| Parsed::of(item, 0, report)).collect()
        }
        Some(node) => Parsed::of(node, 0, report).into_iter().collect(),
        None => Vec::new(),
    };
    let within = fields.take("within").and_then(|node| cx.params.duration(node, report));
    let voters_node = fields.take("voters");
    let voters = voters_node.and_then(|node| Parsed::of(node, 0, report));
    let assert_node = fields.take("assert");
    let assert = assert_node.and_then(|node| Parsed::of(node, 0, report));
    fields.finish(report);
    if let (Some(node), None) = (assert_node, within) {
        report.error_help(
            Code::MissingField,
            &node.span,
            "`assert` is judged when the time to vote is over, and this rule has none",
            "give `within: 10m`, counted from the first vote",
        );
    }
    if let (Some(node), true) = (voters_node, among.len() > 1) {
        let message = "`voters` lists single names, and `among` tells voters apart by several";
        report.error_help(Code::Shape, &node.span, message, "give one expression under `among`, the node by default");
    }
    Some(Box::new(Agreement { of: of?, value: value?, among, within, voters, assert }))
}

impl<'n> Draft<'n> for Agreement<'n> {
    fn mark(&self, layout: &mut Layout<'_, 'n>) {
        let Agreement { of, value, among, voters, assert, .. } = self;
        layout.mark(*of as usize, &value.tree);
        voters.iter().for_each(|voters| layout.mark(*of as usize, &voters.tree));
        assert.iter().for_each(|assert| layout.mark_but(*of as usize, &assert.tree, POLLED));
        among.iter().for_each(|part| layout.mark(*of as usize, &part.tree));
        if among.is_empty() {
            layout.keep(*of as usize, Variable::Builtin("node"));
        }
    }

    fn finish(self: Box<Self>, layout: &Layout<'_, 'n>, _: &[KeyPart], report: &mut Report<'_>) -> Option<Kind> {
        let Agreement { of, value, among, within, voters, assert } = *self;
        let (value, _) = layout.late(of as usize, &value, report)?;
        let mut by: Vec<Expr> =
            among.iter().filter_map(|part| layout.late(of as usize, part, report)).map(|(expr, _)| expr).collect();
        if by.is_empty() {
            let node = layout.roles[of as usize].kept.iter().position(|v| *v == Variable::Builtin("node"));
            by.push(Expr::Slot(node? as u16));
        }
        let voters = voters.and_then(|voters| expected::list(of, &voters, layout, report));
        let assert = assert.and_then(|assert| {
            let (expr, kind) = layout.late_with(of as usize, &assert, POLLED, report)?;
            expected::condition(&assert, kind, report);
            Some(expr)
        });
        Some(Kind::Agreement { of, value, among: by, within, voters, assert })
    }
}
