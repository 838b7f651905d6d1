//! `precedence`: an event needs its support before it.
use alloc::{boxed::Box, vec::Vec};
use event::Timestamp;
use smallvec::SmallVec;
use thin_vec::ThinVec;

use super::{
    Anchor, Ctx, Instant, Part, slim,
    support::{Supports, is_choosy},
    ticking,
};
use crate::{
    pack::{EmitOn, Kind, OnRestart, RoleIdx, Rule},
    touch::{Seen, same_event},
    verdict::{EventRef, Unknown},
};

/// The supports seen for one key.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Precedence {
    /// Per required role (and last the excuses), in order of time.
    supports: SmallVec<[Supports; 3]>,
    since: Option<Box<EventRef>>,
    /// What lacks support that `slack` may still bring, in order of time.
    lacking: ThinVec<Lacking>,
}

/// An event that lacks support.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Lacking {
    event: Seen,
    /// Support counts from here.
    from: Timestamp,
    since: Option<EventRef>,
    roles: Vec<RoleIdx>,
}

impl Precedence {
    pub(super) fn new(requires: usize) -> Self {
        Precedence { supports: (0..=requires).map(|_| Supports::default()).collect(), ..Precedence::default() }
    }

    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Precedence { event, since, .. } = &ctx.rule.kind else { return };
        if ctx.strict() {
            // Support of the same instant comes too late.
            self.judge(ctx, now, *event);
            self.remember(ctx, now);
        } else {
            self.remember(ctx, now);
            self.forgive(ctx, now);
            self.judge(ctx, now, *event);
        }
        if let Some(opener) = now.of_some(*since).last() {
            self.since = Some(Box::new(opener.at));
            self.supports.iter_mut().for_each(|supports| supports.forget_before(now.ts));
        }
        if now.restart.is_some() && ctx.rule.on_restart == OnRestart::Reset {
            // What supports at the start's own time may already belong to the new process.
            self.since = None;
            self.supports.iter_mut().for_each(|supports| supports.forget_before(now.ts));
        }
    }

    fn remember(&mut self, ctx: &Ctx<'_>, now: &Instant<'_>) {
        let Kind::Precedence { event, requires, within, unless, .. } = &ctx.rule.kind else { return };
        let roles = requires.iter().copied().map(Some).chain([*unless]);
        for (supports, role) in self.supports.iter_mut().zip(roles) {
            for touch in now.of_some(role) {
                let choosing = is_choosy(ctx, touch.role()) || is_choosy(ctx, *event);
                supports.remember(touch, choosing, *within);
            }
        }
    }

    fn judge(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>, event: RoleIdx) {
        let Kind::Precedence { requires, all, within, ticks, .. } = &ctx.rule.kind else { return };
        for touch in now.of(event) {
            let Some(span) = ctx.span(now.ts) else { continue };
            ctx.exercise(now.ts);
            let judged = touch.seen();
            // An event may support another only inside the same span, and no further back than allowed.
            let from = match ticks {
                None => within.map_or(Timestamp::ZERO, |within| now.ts.minus(within)),
                Some(ticks) => match ticking::since(ctx, ticks, &judged) {
                    Some(since) => since,
                    None => {
                        ctx.unknown(Unknown::Absent);
                        continue;
                    }
                },
            };
            let from = from.max(span.from());
            let supported = |supports: &Supports| supports.of(ctx, &judged, from).is_some();
            let (excuses, required) = self.supports.split_last().unwrap_or((const { &EMPTY }, &[]));
            let roles: Vec<RoleIdx> =
                requires.iter().zip(required).filter(|(_, seen)| !supported(seen)).map(|(role, _)| *role).collect();
            let enough = if *all { roles.is_empty() } else { roles.len() < requires.len() };
            if enough || supported(excuses) {
                ctx.tally.held += 1;
                hold(ctx, &self.supports, &judged, from, now.ts);
                continue;
            }
            let lacking = Lacking { event: judged, from, since: self.since.as_deref().copied(), roles };
            if ctx.rule.slack.is_zero() {
                conclude(ctx, &lacking);
            } else {
                slim::push_thin(&mut self.lacking, lacking);
            }
        }
    }

    /// Lets support that comes within the slack count as if it had come before.
    fn forgive(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Precedence { requires, all, unless, .. } = &ctx.rule.kind else { return };
        let told = ctx.emits(EmitOn::Held);
        let mut supported: Vec<(Seen, Timestamp)> = Vec::new();
        let before = self.lacking.len();
        let fits = |lacking: &Lacking, role: RoleIdx| {
            now.of(role).any(|touch| {
                let support = touch.seen();
                !same_event(&support.at, &lacking.event.at) && ctx.fits(&lacking.event, &support)
            })
        };
        self.lacking.retain_mut(|lacking| {
            let found: Vec<RoleIdx> = lacking.roles.iter().copied().filter(|role| fits(lacking, *role)).collect();
            lacking.roles.retain(|role| !found.contains(role));
            let enough = if *all { lacking.roles.is_empty() } else { lacking.roles.len() < requires.len() };
            let lacks = !enough && !unless.is_some_and(|role| fits(lacking, role));
            if !lacks && told {
                supported.push((lacking.event.clone(), lacking.from));
            }
            lacks
        });
        ctx.tally.held += (before - self.lacking.len()) as u64;
        supported.iter().for_each(|(event, from)| hold(ctx, &self.supports, event, *from, now.ts));
    }

    pub(super) fn next_due(&self, rule: &Rule) -> Option<Timestamp> {
        self.lacking.first().map(|lacking| lacking.event.at.ts.plus(rule.slack))
    }

    pub(super) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        let is_due = |lacking: &&Lacking| lacking.event.at.ts.plus(ctx.rule.slack) <= due;
        let passed = self.lacking.iter().take_while(is_due).count();
        self.lacking.drain(..passed).for_each(|lacking| conclude(ctx, &lacking));
    }

    pub(super) fn open(&self) -> u64 {
        self.lacking.len() as u64
    }

    pub(super) fn look(&self) -> usize {
        self.supports.iter().map(|supports| supports.look()).sum()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.since.is_none() && self.lacking.is_empty() && self.supports.iter().all(Supports::is_empty)
    }
}

static EMPTY: Supports = Supports::EMPTY;

/// Tells those who build on it that an event has its support, with the latest of each.
fn hold(ctx: &mut Ctx<'_>, supports: &[Supports], event: &Seen, from: Timestamp, at: Timestamp) {
    if ctx.emits(EmitOn::Held) {
        let latest = supports.iter().filter_map(|supports| supports.of(ctx, event, from));
        let of: Vec<&Seen> = core::iter::once(event).chain(latest).collect();
        ctx.make(EmitOn::Held, Anchor::Event(event.at), at, &of, Vec::new());
    }
}

/// Reports an event whose support did not come.
fn conclude(ctx: &mut Ctx<'_>, lacking: &Lacking) {
    let Kind::Precedence { event, since, .. } = &ctx.rule.kind else { return };
    let at = lacking.event.at;
    let past = ctx.looks_past(lacking.from, at.ts).filter(|_| lacking.since.is_none());
    let from = lacking.since.map_or(lacking.from, |since| since.ts.max(lacking.from));
    if let Some(why) = past.or_else(|| ctx.excuse(&Anchor::Event(at), from, at.ts)) {
        ctx.unknown(why);
        return;
    }
    let mut evidence = Vec::new();
    evidence.extend(since.zip(lacking.since).map(|(role, opener)| (Part::Role(role), opener)));
    evidence.push((Part::Role(*event), at));
    let missing = lacking.roles.first().map(|role| (*role, at.ts));
    ctx.violated(Anchor::Event(at), at.ts, evidence, missing);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There are as many as keys were allowed or done something.
    #[test]
    fn what_one_key_leans_on_is_small() {
        assert!(size_of::<Precedence>() <= 48, "{}", size_of::<Precedence>());
    }
}
