//! What later events lean on: the events of one role, remembered no further back than they can count.
use core::time::Duration;
use event::Timestamp;
use thin_vec::ThinVec;

use super::{Ctx, slim};
use crate::{
    pack::RoleIdx,
    touch::{Seen, Touch, same_event},
};

/// How many are remembered where one must be chosen among them.
const SUPPORTS_MAX: usize = 1_024;

/// Events of one role, in order of time. Mostly none or one: no larger than a pointer.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Supports(ThinVec<Seen>);

impl Supports {
    pub(super) const EMPTY: Self = Supports(ThinVec::new());

    /// Remembers an event: with those before it when `choosing` among them may be necessary, else almost alone.
    pub(super) fn remember(&mut self, touch: &Touch, choosing: bool, within: Option<Duration>) {
        if choosing {
            if let Some(within) = within {
                let oldest = touch.ts().minus(within);
                let passed = self.0.iter().take_while(|seen| seen.at.ts < oldest).count();
                self.0.drain(..passed);
            }
            if self.0.len() == SUPPORTS_MAX {
                self.0.remove(0);
            }
        } else {
            // Those of two times are kept, so that one that plays both parts still finds the support before it.
            if self.0.last().is_some_and(|last| same_event(&last.at, &touch.at)) {
                self.0.pop();
            }
            while self.0.get(1).is_some_and(|second| second.at.ts < touch.ts()) || self.0.len() == SUPPORTS_MAX {
                self.0.remove(0);
            }
        }
        slim::push_thin(&mut self.0, touch.seen());
    }

    /// The latest one from `from` on that an event may lean on, never that event itself.
    pub(super) fn of(&self, ctx: &Ctx<'_>, judged: &Seen, from: Timestamp) -> Option<&Seen> {
        self.0
            .iter()
            .rev()
            .take_while(|seen| seen.at.ts >= from)
            .find(|seen| !same_event(&seen.at, &judged.at) && ctx.fits(judged, seen))
    }

    /// The earliest one from `from` on that goes with an event.
    pub(super) fn earliest(&self, ctx: &Ctx<'_>, judged: &Seen, from: Timestamp) -> Option<&Seen> {
        self.0.iter().find(|seen| seen.at.ts >= from && !same_event(&seen.at, &judged.at) && ctx.fits(judged, seen))
    }

    /// The latest one.
    pub(super) fn last(&self) -> Option<&Seen> {
        self.0.last()
    }

    /// The latest ones: all of that time.
    pub(super) fn last_ones(&self) -> impl Iterator<Item = &Seen> {
        let last = self.last().map(|seen| seen.at.ts);
        self.0.iter().rev().take_while(move |seen| Some(seen.at.ts) == last)
    }

    /// Forgets what happened before.
    pub(super) fn forget_before(&mut self, ts: Timestamp) {
        self.0.retain(|seen| seen.at.ts >= ts);
    }

    pub(super) fn look(&self) -> usize {
        self.0.last().map_or(0, |seen| seen.role.into())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a condition of the role asks for events in other roles, so that one must be chosen among them.
pub(super) fn is_choosy(ctx: &Ctx<'_>, role: RoleIdx) -> bool {
    ctx.traits.pairs
        && ctx.rule.roles.get(role as usize).is_some_and(|role| {
            role.alternatives
                .iter()
                .any(|pattern| pattern.where_late.as_ref().is_some_and(crate::expr::Expr::roles_used))
        })
}
