//! `always` with `for`: a gauge that must not be bad for so long. A level.
//!
//! A sample stands until the next one, at most `stale_after`. The gauge is bad from the first failing sample to the next
//! passing one; it breaks the rule when that lasts longer than `for`.
use alloc::{vec, vec::Vec};
use event::Timestamp;

use super::{Anchor, Ctx, Instant, Late, Part, What};
use crate::{
    expr::Val,
    pack::{Hold, Kind, Rule},
    verdict::{EventRef, Unknown},
};

/// How one key's gauge stands.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Gauge {
    bad: Option<Bad>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Bad {
    /// The first failing sample, and the last one.
    first: EventRef,
    last: EventRef,
    /// It has lasted too long, and that was said.
    reported: bool,
}

impl Bad {
    /// The first time at which it has lasted that long.
    fn lasts(&self, hold: Hold) -> Timestamp {
        self.first.ts.plus(hold.lasts)
    }

    /// When its last sample no longer stands.
    fn stale(&self, hold: Hold) -> Timestamp {
        self.last.ts.plus(hold.stale_after)
    }
}

impl Gauge {
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Always { of, assert } = &ctx.rule.kind else { return };
        if ctx.begins_anew(now) {
            self.end(ctx, now.ts);
        }
        let (mut passing, mut failing) = (false, None);
        if ctx.span(now.ts).is_none() {
            self.end(ctx, now.ts);
            return;
        }
        for touch in now.of(*of) {
            ctx.exercise(now.ts);
            let env = Late { ctx, role: *of, slots: &touch.slots, ts: now.ts, others: &[] };
            match ctx.eval(assert, &env) {
                Some(Val::Bool(true)) => passing = true,
                Some(Val::Bool(false)) => failing = Some(touch.at),
                _ => ctx.unknown(Unknown::Absent),
            }
        }
        // Of samples of one instant, the one that passes stands; with `strict`, the one that fails.
        match failing.filter(|_| !passing || ctx.strict()) {
            Some(at) => match &mut self.bad {
                Some(bad) => bad.last = at,
                None => self.bad = Some(Bad { first: at, last: at, reported: false }),
            },
            None if passing => {
                ctx.tally.held += 1;
                self.end(ctx, now.ts);
            }
            None => {}
        }
    }

    fn end(&mut self, ctx: &mut Ctx<'_>, at: Timestamp) {
        if let Some(bad) = self.bad.take().filter(|bad| bad.reported) {
            ctx.find(Anchor::Event(bad.first), What::Resolved(at));
        }
    }

    pub(super) fn next_due(&self, rule: &Rule) -> Option<Timestamp> {
        let (bad, hold) = self.bad.as_ref().zip(rule.hold)?;
        Some(if bad.reported { bad.stale(hold) } else { bad.lasts(hold).min(bad.stale(hold)) })
    }

    pub(super) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        let Kind::Always { of, .. } = ctx.rule.kind else { return };
        let Some((bad, hold)) = self.bad.as_mut().zip(ctx.rule.hold) else { return };
        if bad.stale(hold) <= due {
            let stale = bad.stale(hold);
            self.end(ctx, stale);
        } else if !bad.reported {
            bad.reported = true;
            let at = bad.lasts(hold);
            let mut evidence: Vec<(Part, EventRef)> = vec![(Part::Role(of), bad.first)];
            if bad.last != bad.first {
                evidence.push((Part::Role(of), bad.last));
            }
            let anchor = Anchor::Event(bad.first);
            ctx.find(anchor, What::Violated { at, evidence, missing: None, level: true });
        }
    }

    pub(super) fn open(&self) -> u64 {
        u64::from(self.bad.is_some())
    }

    pub(super) fn is_idle(&self) -> bool {
        self.bad.is_none()
    }
}
