//! `never` and `always`, where they need order: conditions on facts, `during`, `report: first`.
use alloc::{vec, vec::Vec};

use super::{Anchor, Ctx, Instant, Late, Part};
use crate::{
    expr::Val,
    pack::{EmitOn, Kind},
    verdict::Unknown,
};

/// Judges each event of the instant by itself.
pub(crate) fn instant(ctx: &mut Ctx<'_>, now: &Instant<'_>) {
    let (of, assert) = match &ctx.rule.kind {
        Kind::Never { of } => (*of, None),
        Kind::Always { of, assert } => (*of, Some(assert)),
        _ => return,
    };
    for touch in now.of(of) {
        if ctx.span(now.ts).is_none() {
            continue;
        }
        ctx.exercise(now.ts);
        let holds = assert.map(|assert| {
            let env = Late { ctx, role: of, slots: &touch.slots, ts: now.ts, others: &[] };
            ctx.eval(assert, &env).and_then(|value| match value {
                Val::Bool(value) => Some(value),
                _ => None,
            })
        });
        match holds {
            Some(Some(true)) => {
                ctx.tally.held += 1;
                ctx.make(EmitOn::Held, Anchor::Event(touch.at), now.ts, &[touch], Vec::new());
            }
            Some(None) => ctx.unknown(Unknown::Absent),
            None | Some(Some(false)) => {
                ctx.violated(Anchor::Event(touch.at), now.ts, vec![(Part::Role(of), touch.at)], None);
            }
        }
    }
}
