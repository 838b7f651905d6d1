//! `never` and `always`.
use engine::{KeyPart, Kind, RoleIdx};

use super::{Complete, Draft};
use crate::{
    expected,
    fields::{Fields, Report},
    lint,
    pattern::{Context, Layout, Parsed},
    rule::Roles,
    yaml::Node,
};

/// `never: P`.
pub(super) fn never<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    Some(Box::new(Complete(Kind::Never { of: roles.add(node, "event", cx, report) })))
}

struct Always<'n> {
    of: RoleIdx,
    assert: Parsed<'n>,
}

/// `always: {event, assert}`.
pub(super) fn always<'n>(
    node: &'n Node,
    roles: &mut Roles<'n>,
    cx: &Context<'_>,
    report: &mut Report<'_>,
) -> Option<Box<dyn Draft<'n> + 'n>> {
    let mut fields = Fields::of(node, "always", report)?;
    let of = roles.need(&mut fields, "event", cx, report);
    let assert = fields.need("assert", report).and_then(|node| Parsed::of(node, 0, report));
    fields.finish(report);
    Some(Box::new(Always { of: of?, assert: assert? }))
}

impl<'n> Draft<'n> for Always<'n> {
    fn mark(&self, layout: &mut Layout<'_, 'n>) {
        layout.mark(self.of as usize, &self.assert.tree);
    }

    fn finish(self: Box<Self>, layout: &Layout<'_, 'n>, _: &[KeyPart], report: &mut Report<'_>) -> Option<Kind> {
        let (assert, kind) = layout.late(self.of as usize, &self.assert, report)?;
        expected::condition(&self.assert, kind, report);
        lint::condition::warn(&self.assert, report);
        Some(Kind::Always { of: self.of, assert })
    }
}
