//! Deadlines in ticks of a clock, and look-backs in them.
use alloc::{boxed::Box, vec::Vec};
use event::{Int, Timestamp};

use super::{Ctx, Late};
use crate::{expr::Val, pack::Ticks, touch::Seen};

/// A deadline that a clock has not passed yet.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Ticking {
    /// The clock's key.
    key: Box<[u8]>,
    /// It passes when the clock exceeds this; none: the clock did not run yet.
    over: Option<Int>,
    /// Not before this time.
    least: Timestamp,
    /// When waiting for the clock ends.
    stalled_at: Timestamp,
}

impl Ticking {
    /// One that begins with an event; none when that lacks a part of the clock's key.
    pub(super) fn new(ctx: &Ctx<'_>, ticks: &Ticks, opener: &Seen) -> Option<Self> {
        let ts = opener.at.ts;
        Some(Ticking {
            key: key(ctx, ticks, opener)?,
            over: None,
            least: ts.plus(ticks.and.unwrap_or_default()),
            stalled_at: ticks.or.map_or(Timestamp::MAX, |or| ts.plus(or)),
        })
    }

    /// When waiting for the clock ends.
    pub(super) fn stalled_at(&self) -> Timestamp {
        self.stalled_at
    }

    /// The deadline, if the clock has passed it by now.
    pub(super) fn passed(&mut self, ctx: &Ctx<'_>, ticks: &Ticks, now: Timestamp) -> Option<Timestamp> {
        let clock = ctx.traits.clock_base + u32::from(ticks.clock);
        if self.over.is_none() {
            let stands = ctx.world.clocks.at(clock, &self.key, now);
            self.over = stands.map(|stands| stands.add(&Int::Small(i128::from(ticks.count))));
        }
        let at = ctx.world.clocks.exceeds(clock, &self.key, self.over.as_ref()?, now)?;
        Some(at.max(self.least))
    }
}

/// Sets a deadline for good, if its clock has passed it by now; returns whether it has.
pub(super) fn settle(
    deadline: &mut Timestamp,
    ticking: &mut Option<Box<Ticking>>,
    ctx: &Ctx<'_>,
    ticks: &Ticks,
    now: Timestamp,
) -> bool {
    let Some(at) = ticking.as_mut().and_then(|ticking| ticking.passed(ctx, ticks, now)) else { return false };
    *deadline = at;
    *ticking = None;
    true
}

/// Since when what came before an event lies no more than so many ticks back: from then on a deadline counted from there would
/// not have passed before the event. None when the event lacks a part of the clock's key.
pub(super) fn since(ctx: &Ctx<'_>, ticks: &Ticks, event: &Seen) -> Option<Timestamp> {
    let (key, clock) = (key(ctx, ticks, event)?, ctx.traits.clock_base + u32::from(ticks.clock));
    let since = ctx.world.clocks.reaches_back(clock, &key, &Int::Small(i128::from(ticks.count)), event.at.ts);
    // Of two ends the one that reaches farther.
    Some(ticks.and.map_or(since, |and| since.min(event.at.ts.minus(and))))
}

fn key(ctx: &Ctx<'_>, ticks: &Ticks, event: &Seen) -> Option<Box<[u8]>> {
    let reader = ctx.reader(event.at.ts);
    let env = Late { ctx, role: event.role, slots: &event.slots, ts: event.at.ts, others: &[] };
    let parts: Option<Vec<Val<'_>>> = ticks.key.iter().map(|part| ctx.eval(part, &env)).collect();
    Some(reader.key(&parts?).into())
}
