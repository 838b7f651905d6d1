//! `exclusive: {enter, exit, renew, ttl, holder, max}`.
use engine::{KeyPart, Kind, RoleIdx};

use super::Draft;
use crate::{
    diagnostic::Code,
    fields::{Fields, Report},
    pattern::{Context, Layout, Parsed},
    rule::Roles,
    yaml::Node,
};

struct Exclusive<'n> {
    enter: RoleIdx,
    exit: RoleIdx,
    renew: Option<RoleIdx>,
    ttl: Option<std::time::Duration>,
    holder: Parsed<'n>,
    max: u64,
}

pub(super) fn read<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    let mut fields = Fields::of(node, "exclusive", report)?;
    let enter = roles.need(&mut fields, "enter", cx, report);
    let exit = roles.need(&mut fields, "exit", cx, report);
    let renew_node = fields.take("renew");
    let renew = renew_node.map(|node| roles.add(node, "renew", cx, report));
    let ttl = fields.take("ttl").and_then(|node| cx.params.duration(node, report));
    let holder = fields.need("holder", report).and_then(|node| Parsed::of(node, 0, report));
    let max_node = fields.take("max");
    let max = max_node.map_or(Some(1), |node| cx.params.number(node, report));
    if let (Some(node), None) = (renew_node, ttl) {
        report.error_help(
            Code::MissingField,
            &node.span,
            "`renew` prolongs a hold, and this one never lapses",
            "give `ttl`, how long a hold lasts without renewal",
        );
    }
    if let (Some(node), Some(0)) = (max_node, max) {
        report.error_help(Code::Shape, &node.span, "`max: 0` allows no holder", "use `never` for what must not happen");
    }
    fields.finish(report);
    Some(Box::new(Exclusive { enter: enter?, exit: exit?, renew, ttl, holder: holder?, max: max? }))
}

impl Exclusive<'_> {
    fn roles(&self) -> impl Iterator<Item = RoleIdx> {
        [Some(self.enter), Some(self.exit), self.renew].into_iter().flatten()
    }
}

impl<'n> Draft<'n> for Exclusive<'n> {
    fn mark(&self, layout: &mut Layout<'_, 'n>) {
        for role in self.roles() {
            layout.mark(role as usize, &self.holder.tree);
        }
    }

    fn finish(self: Box<Self>, layout: &Layout<'_, 'n>, _: &[KeyPart], report: &mut Report<'_>) -> Option<Kind> {
        let mut holder = vec![None; layout.roles.len()];
        for role in self.roles() {
            holder[role as usize] = Some(layout.late(role as usize, &self.holder, report)?.0);
        }
        let Exclusive { enter, exit, renew, ttl, max, .. } = *self;
        Some(Kind::Exclusive { enter, exit, renew, ttl, holder, max })
    }
}
