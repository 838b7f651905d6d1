//! What is owed for a `when`, by one or by many: until when, what answers it, and what excuses it.
use alloc::boxed::Box;
use core::time::Duration;
use event::Timestamp;

use super::{Ctx, Late, ticking::Ticking};
use crate::{
    expr::Val,
    pack::Limit,
    touch::{Seen, same_event},
};

/// Until when it is owed: the last time that is in time (the end of all time where nobody knows yet), and how that is
/// counted in ticks, while the clock has not passed it. None when the event lacks what that depends on.
pub(super) fn until(ctx: &Ctx<'_>, limit: &Limit, when: &Seen) -> Option<(Timestamp, Option<Box<Ticking>>)> {
    let ts = when.at.ts;
    Some(match limit {
        Limit::Within(within) => (ts.plus(*within), None),
        Limit::Computed(expression) => {
            let env = Late { ctx, role: when.role, slots: &when.slots, ts, others: &[] };
            let Val::Duration(nanos) = ctx.eval(expression, &env)? else { return None };
            (ts.plus(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))), None)
        }
        Limit::By(_) => (Timestamp::MAX, None),
        Limit::Ticks(ticks) => (Timestamp::MAX, Some(Box::new(Ticking::new(ctx, ticks, when)?))),
    })
}

/// Whether it is an answer: not before the question, with `strict` not even with it.
pub(super) fn answers(ctx: &Ctx<'_>, when: &Seen, then: &Seen) -> bool {
    let follows = if ctx.strict() { when.at.ts < then.at.ts } else { when.at.ts <= then.at.ts };
    follows && !same_event(&when.at, &then.at) && ctx.fits(when, then)
}

/// Whether it is an answer that came before its question, where `slack` allows that.
pub(super) fn answers_early(ctx: &Ctx<'_>, when: &Seen, then: &Seen) -> bool {
    let near = then.at.ts >= when.at.ts.minus(ctx.rule.slack);
    near && !same_event(&when.at, &then.at) && ctx.fits(when, then)
}

/// Whether it excuses: with `strict` it must come later.
pub(super) fn excuses(ctx: &Ctx<'_>, when: &Seen, excuse: &Seen) -> bool {
    (!ctx.strict() || when.at.ts < excuse.at.ts) && ctx.fits(when, excuse)
}
