//! `order`: steps come in their order. A step needs the earlier ones before it; one that need not come at all may not come
//! strictly later than a step that follows it.
use alloc::{collections::VecDeque, vec, vec::Vec};
use event::{Timestamp, Value};

use super::{
    Anchor, Ctx, Instant, Part,
    support::{Supports, is_choosy},
};
use crate::{
    pack::{Kind, RoleIdx, Rule},
    touch::{Kept, Seen, Touch, same_event},
    verdict::EventRef,
};

/// The steps seen for one key.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Order {
    steps: Vec<Supports>,
    /// Steps that lack an earlier one that `slack` may still bring, in order of time.
    lacking: VecDeque<Lacking>,
}

/// A step that came while earlier ones had not.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Lacking {
    step: Seen,
    /// Earlier steps count from here.
    from: Timestamp,
    roles: Vec<RoleIdx>,
}

impl Order {
    pub(super) fn new(steps: usize) -> Self {
        Order { steps: vec![Supports::default(); steps], lacking: VecDeque::new() }
    }

    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Order { steps, within } = &ctx.rule.kind else { return };
        // What lies strictly before this instant is what a step that need not come can be later than.
        let mut late: Vec<(RoleIdx, EventRef, EventRef)> = Vec::new();
        for (place, step) in steps.iter().enumerate().filter(|(_, step)| step.condition.is_some()) {
            for touch in now.of(step.role) {
                late.extend(self.too_late(ctx, now, place, touch).map(|follower| (step.role, touch.at, follower)));
            }
        }
        if ctx.strict() {
            self.judge(ctx, now);
        }
        for (supports, step) in self.steps.iter_mut().zip(steps) {
            for touch in now.of(step.role) {
                let choosing = !ctx.rule.slack.is_zero() || steps.iter().any(|step| is_choosy(ctx, step.role));
                supports.remember(touch, choosing, *within);
            }
        }
        if !ctx.strict() {
            self.forgive(ctx, now);
            self.judge(ctx, now);
        }
        for (role, at, follower) in late {
            let evidence = vec![(Part::Before, follower), (Part::Role(role), at)];
            ctx.violated(Anchor::Event(at), now.ts, evidence, None);
        }
        if ctx.begins_anew(now) {
            // What is beside the start may already belong to the new process.
            self.steps.iter_mut().for_each(|supports| supports.forget_before(now.ts));
        }
    }

    /// The time from which on earlier steps count for one at `ts`; none outside the rule's spans.
    fn from(ctx: &Ctx<'_>, ts: Timestamp) -> Option<Timestamp> {
        let Kind::Order { within, .. } = &ctx.rule.kind else { return None };
        let span = ctx.span(ts)?;
        Some(within.map_or(Timestamp::ZERO, |within| ts.minus(within)).max(span.from()))
    }

    /// The follower that a step that need not come comes strictly later than, unless it has come before as well.
    fn too_late(&self, ctx: &Ctx<'_>, now: &Instant<'_>, place: usize, touch: &Touch) -> Option<EventRef> {
        let Kind::Order { steps, .. } = &ctx.rule.kind else { return None };
        let from = Self::from(ctx, now.ts)?;
        let judged = touch.seen();
        if self.steps[place].of(ctx, &judged, from).is_some() || self.is_due(ctx, place, now.ts, true) {
            return None;
        }
        let last = now.ts.minus(ctx.rule.slack);
        let before = self.steps[place + 1..]
            .iter()
            .filter_map(|followers| followers.earliest(ctx, &judged, from))
            .find(|follower| follower.at.ts < last)
            .map(|follower| follower.at);
        before.or_else(|| {
            let tied = |role| now.of(role).map(|touch| touch.at).find(|at| !same_event(at, &judged.at));
            ctx.strict().then(|| steps[place + 1..].iter().find_map(|step| tied(step.role))).flatten()
        })
    }

    /// Whether a step must have happened by `ts`, by the last first step. Of several at one time the one counts that suits
    /// the rule, which would `rather` have the step due or not.
    fn is_due(&self, ctx: &Ctx<'_>, place: usize, ts: Timestamp, rather: bool) -> bool {
        let Kind::Order { steps, .. } = &ctx.rule.kind else { return false };
        let Some(condition) = &steps[place].condition else { return true };
        let seen = |supports: &Supports| supports.last().map(|seen| (seen.role, seen.slots.clone()));
        let known: Vec<(RoleIdx, Kept)> = self.steps.iter().filter_map(seen).collect();
        let others: Vec<(RoleIdx, &[Option<Value>])> = known.iter().map(|(role, slots)| (*role, &**slots)).collect();
        let holds = |first: &[Option<Value>]| ctx.holds(condition, steps[0].role, first, ts, &others);
        let mut firsts = self.steps[0].last_ones().peekable();
        if firsts.peek().is_none() {
            return holds(&[]);
        }
        if rather == ctx.strict() {
            firsts.all(|first| holds(&first.slots))
        } else {
            firsts.any(|first| holds(&first.slots))
        }
    }

    fn judge(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Order { steps, .. } = &ctx.rule.kind else { return };
        for (place, step) in steps.iter().enumerate() {
            for touch in now.of(step.role) {
                let Some(from) = Self::from(ctx, now.ts) else { continue };
                ctx.exercise(now.ts);
                let judged = touch.seen();
                let roles: Vec<RoleIdx> = (0..place)
                    .filter(|&earlier| {
                        self.steps[earlier].of(ctx, &judged, from).is_none() && self.is_due(ctx, earlier, now.ts, false)
                    })
                    .map(|earlier| steps[earlier].role)
                    .collect();
                if roles.is_empty() {
                    ctx.tally.held += 1;
                    continue;
                }
                let lacking = Lacking { step: judged, from, roles };
                if ctx.rule.slack.is_zero() {
                    conclude(ctx, &lacking);
                } else {
                    self.lacking.push_back(lacking);
                }
            }
        }
    }

    /// Lets steps that come within the slack count as if they had come before.
    fn forgive(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let before = self.lacking.len();
        self.lacking.retain_mut(|lacking| {
            let judged = lacking.step.clone();
            lacking.roles.retain(|role| {
                !now.of(*role).any(|touch| {
                    let earlier = touch.seen();
                    !same_event(&earlier.at, &judged.at) && ctx.fits(&judged, &earlier)
                })
            });
            !lacking.roles.is_empty()
        });
        ctx.tally.held += (before - self.lacking.len()) as u64;
    }

    pub(super) fn next_due(&self, rule: &Rule) -> Option<Timestamp> {
        self.lacking.front().map(|lacking| lacking.step.at.ts.plus(rule.slack))
    }

    pub(super) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        while self.lacking.front().is_some_and(|lacking| lacking.step.at.ts.plus(ctx.rule.slack) <= due) {
            let Some(lacking) = self.lacking.pop_front() else { return };
            conclude(ctx, &lacking);
        }
    }

    pub(super) fn open(&self) -> u64 {
        self.lacking.len() as u64
    }

    pub(super) fn is_idle(&self) -> bool {
        self.lacking.is_empty() && self.steps.iter().all(Supports::is_empty)
    }
}

/// Reports a step whose earlier ones did not come.
fn conclude(ctx: &mut Ctx<'_>, lacking: &Lacking) {
    let at = lacking.step.at;
    let past = ctx.looks_past(lacking.from, at.ts);
    if let Some(why) = past.or_else(|| ctx.excuse(&Anchor::Event(at), lacking.from, at.ts)) {
        ctx.unknown(why);
        return;
    }
    let missing = lacking.roles.first().map(|role| (*role, at.ts));
    ctx.violated(Anchor::Event(at), at.ts, vec![(Part::Role(lacking.step.role), at)], missing);
}
