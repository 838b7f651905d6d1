//! `consecutive: {fail, ok, count}`.
use engine::Kind;

use super::{Complete, Draft};
use crate::{
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
    let mut fields = Fields::of(node, "consecutive", report)?;
    let fail = roles.need(&mut fields, "fail", cx, report);
    let ok = roles.need(&mut fields, "ok", cx, report);
    let count = fields.need("count", report).and_then(|node| cx.params.number(node, report));
    fields.finish(report);
    let count = u32::try_from(count?).unwrap_or(u32::MAX).max(1);
    Some(Box::new(Complete(Kind::Consecutive { fail: fail?, ok: ok?, count })))
}
