//! `exclusive`: no more holders at once than allowed.
//!
//! A hold covers the time from its `enter` up to its `exit`, or up to `ttl` after it was last prolonged, that end not
//! included. Inside an instant, those who leave leave first.
use alloc::{boxed::Box, vec::Vec};
use event::Timestamp;

use super::{Anchor, Ctx, Instant, Late, Part, slim};
use crate::{
    key,
    pack::Kind,
    scope::Span,
    touch::Touch,
    verdict::{EventRef, Unknown},
};

/// How many holders are told apart; beyond, the oldest is taken to have left.
const HOLDERS_MAX: usize = 1_024;

/// How many of those already there are cited.
const CITED_MAX: usize = 16;

/// Who holds one key.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Exclusive {
    holds: Vec<Hold>,
    span: Option<Span>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Hold {
    holder: Box<[u8]>,
    entered: EventRef,
    /// It covers the time before this.
    until: Timestamp,
}

impl Exclusive {
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Exclusive { enter, exit, renew, ttl, max, .. } = &ctx.rule.kind else { return };
        if ctx.begins_anew(now) {
            self.holds.clear();
        }
        let Some(span) = ctx.span(now.ts) else { return };
        if self.span.as_ref().is_some_and(|known| *known != span) {
            self.holds.clear();
        }
        self.span = Some(span);
        let until = ttl.map_or(Timestamp::MAX, |ttl| now.ts.plus(ttl));
        let leaving: Vec<Box<[u8]>> = now.of(*exit).filter_map(|touch| holder(ctx, touch)).collect();
        let renewing: Vec<Box<[u8]>> = now.of_some(*renew).filter_map(|touch| holder(ctx, touch)).collect();
        // What ends exactly now may still be prolonged, and makes way where room is needed.
        self.holds.retain(|hold| hold.until >= now.ts);
        if ctx.strict() {
            self.enter(ctx, now, *max, until, *enter);
            self.holds.retain(|hold| !leaving.contains(&hold.holder));
        } else {
            self.holds.retain(|hold| !leaving.contains(&hold.holder));
            self.enter(ctx, now, *max, until, *enter);
            // Who enters and leaves in one instant has left.
            self.holds.retain(|hold| !leaving.contains(&hold.holder));
        }
        for hold in self.holds.iter_mut().filter(|hold| renewing.contains(&hold.holder)) {
            hold.until = hold.until.max(until);
        }
        self.holds.retain(|hold| hold.until > now.ts);
    }

    fn enter(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>, max: u64, until: Timestamp, role: u8) {
        let leaving: Vec<Box<[u8]>> = match ctx.rule.kind {
            Kind::Exclusive { exit, .. } if !ctx.strict() => {
                now.of(exit).filter_map(|touch| holder(ctx, touch)).collect()
            }
            _ => Vec::new(),
        };
        let mut entering: Vec<(&Touch, Box<[u8]>)> = Vec::new();
        for touch in now.of(role) {
            ctx.exercise(now.ts);
            match holder(ctx, touch) {
                Some(holder) => entering.push((touch, holder)),
                None => ctx.unknown(Unknown::Absent),
            }
        }
        // Those who also leave come and go before the others come.
        entering.sort_by_key(|(_, holder)| !leaving.contains(holder));
        for (touch, holder) in entering {
            if let Some(known) = self.holds.iter_mut().find(|hold| hold.holder == holder) {
                // Its holder takes it again: no more holders than before.
                known.until = until;
                ctx.tally.held += 1;
                continue;
            }
            let mut others = self.holds.iter().filter(|hold| !leaving.contains(&hold.holder)).count() as u64;
            if others >= max
                && !ctx.strict()
                && let Some(ending) = self.holds.iter().position(|hold| hold.until == now.ts)
            {
                self.holds.remove(ending);
                others -= 1;
            }
            if others >= max {
                let there = self.holds.len().saturating_sub(CITED_MAX);
                let mut evidence: Vec<(Part, EventRef)> =
                    self.holds[there..].iter().map(|hold| (Part::Before, hold.entered)).collect();
                evidence.push((Part::Role(role), touch.at));
                ctx.violated(Anchor::Event(touch.at), now.ts, evidence, None);
            } else {
                ctx.tally.held += 1;
            }
            if self.holds.len() == HOLDERS_MAX {
                self.holds.remove(0);
            }
            slim::push(&mut self.holds, Hold { holder, entered: touch.at, until });
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.holds.is_empty()
    }
}

/// Who it is, in the canonical bytes of a key.
fn holder(ctx: &Ctx<'_>, touch: &Touch) -> Option<Box<[u8]>> {
    let Kind::Exclusive { holder, .. } = &ctx.rule.kind else { return None };
    let expression = holder.get(touch.role() as usize)?.as_ref()?;
    let env = Late { ctx, role: touch.role(), slots: &touch.slots, ts: touch.ts(), others: &[] };
    let value = ctx.eval(expression, &env)?;
    let mut bytes = Vec::new();
    key::push(&mut bytes, &value);
    Some(bytes.into())
}
