//! `response`: each `when` is answered by a `then` within a time, or before a marker.
use alloc::{boxed::Box, vec, vec::Vec};
use core::time::Duration;
use event::Timestamp;
use smallvec::SmallVec;
use thin_vec::ThinVec;

use super::{
    Anchor, Ctx, Instant, Part, What, Withheld,
    owed::{self, answers},
    pairing::Pairing,
    slim,
    ticking::{self, Ticking},
};
use crate::{
    pack::{EmitOn, Kind, Limit, OnRestart, RoleIdx, Ticks},
    scope::Span,
    touch::{Seen, Touch, same_event},
    verdict::{EventRef, Unknown},
};

/// How many violated obligations are remembered per key, to say by how much their answer was late.
const OVERDUE_MAX: usize = 16;

/// How many answers are kept for questions that `slack` lets come after them.
const EARLY_MAX: usize = 1_024;

/// The obligations of one key, by deadline.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Response {
    pending: SmallVec<[Obligation; 1]>,
    asleep: ThinVec<Asleep>,
    overdue: ThinVec<Seen>,
    /// Answers of the last `slack`, which a question may still come for.
    early: ThinVec<Seen>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Obligation {
    when: Seen,
    span: Span,
    /// The last time that is in time; once broken, the end of the grace.
    deadline: Timestamp,
    broken: Option<Box<(RoleIdx, EventRef)>>,
    /// How its deadline is counted in ticks, while that has not passed.
    ticking: Option<Box<Ticking>>,
}

/// An obligation whose deadline passed while nothing was heard of its node.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Asleep {
    obligation: Obligation,
    /// When to look again.
    again: Timestamp,
    /// It can be judged by now.
    awake: bool,
    /// The answer that came after the deadline.
    late: Option<(RoleIdx, EventRef)>,
}

impl Obligation {
    /// When it is looked at; for one whose clock has not passed it, when waiting for the clock ends.
    fn due(&self) -> Timestamp {
        self.ticking.as_ref().map_or(self.deadline, |ticking| ticking.stalled_at())
    }

    fn answered_by(&self, ctx: &Ctx<'_>, then: &Seen) -> bool {
        self.broken.is_none() && then.at.ts <= self.deadline && answers(ctx, &self.when, then)
    }
}

/// Tells those who build on it that a question was answered, inside its span.
fn held(ctx: &mut Ctx<'_>, when: &Seen, span: &Span, then: &Seen) {
    let at = when.at.ts.max(then.at.ts);
    if ctx.emits(EmitOn::Held) && !ctx.span_ended(span, at) {
        ctx.make(EmitOn::Held, Anchor::Event(when.at), at, &[when, then], Vec::new());
    }
}

impl Response {
    /// What one time brings is taken in the order that suits the rule: excuses, answers, forgiving restarts, then what
    /// breaks, what marks an end, and the restart that leaves things undone.
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Response { when, then, limit, pair, unless, broken_by, grace } = &ctx.rule.kind else { return };
        if ctx.replaying {
            // What was left open before all this comes first.
            self.wake(ctx, *then, now.ts);
        }
        for touch in now.of(*when) {
            if let Some(span) = ctx.span(now.ts) {
                ctx.exercise(now.ts);
                let when = touch.seen();
                let Some((deadline, ticking)) = owed::until(ctx, limit, &when) else {
                    ctx.unknown(Unknown::Absent);
                    continue;
                };
                if let Some(then) = self.answered_early(ctx, &when, *pair) {
                    ctx.tally.held += 1;
                    held(ctx, &when, &span, &then);
                    continue;
                }
                self.push(Obligation { when, span, deadline, broken: None, ticking });
            }
        }
        for touch in now.of_some(*unless) {
            let excuse = touch.seen();
            self.pending.retain(|open| !owed::excuses(ctx, &open.when, &excuse));
        }
        let thens: SmallVec<[Seen; 1]> = now.of(*then).map(Touch::seen).collect();
        if *pair {
            self.pair(ctx, &thens);
        } else {
            thens.iter().for_each(|then| self.answer(ctx, then));
        }
        let forgiving = matches!(ctx.rule.on_restart, OnRestart::Ended | OnRestart::Reset);
        if forgiving && now.restart.is_some() {
            // What a start event itself asks for, the new process owes.
            self.pending.retain(|open| now.is_start(&open.when.at));
        }
        for touch in now.of_some(*broken_by) {
            self.break_all(ctx, *then, &touch.seen(), *grace);
        }
        if let Limit::By(marker) = limit {
            self.mark(ctx, now, *marker);
        }
        if let Limit::Ticks(ticks) = limit {
            self.tick(ctx, ticks, now.ts);
        }
        if let Some(restart) = now.restart.filter(|_| ctx.rule.on_restart == OnRestart::Broken) {
            self.restart(ctx, *then, restart);
        }
    }

    /// Looks which deadlines their clock has passed by now.
    fn tick(&mut self, ctx: &Ctx<'_>, ticks: &Ticks, now: Timestamp) {
        let mut passed = false;
        for open in &mut self.pending {
            passed |= ticking::settle(&mut open.deadline, &mut open.ticking, ctx, ticks, now);
        }
        if passed {
            let pending = core::mem::take(&mut self.pending);
            pending.into_iter().for_each(|open| self.push(open));
        }
    }

    /// Keeps the obligations in order of deadline; those of one rule mostly come in it.
    fn push(&mut self, open: Obligation) {
        let mut place = self.pending.len();
        while place > 0 && self.pending[place - 1].due() > open.due() {
            place -= 1;
        }
        self.pending.insert(place, open);
    }

    /// The answer of the last `slack`, if there is one.
    fn answered_early(&mut self, ctx: &Ctx<'_>, when: &Seen, pair: bool) -> Option<Seen> {
        let oldest = when.at.ts.minus(ctx.rule.slack);
        let passed = self.early.iter().take_while(|then| then.at.ts < oldest).count();
        self.early.drain(..passed);
        let place = self.early.iter().position(|then| owed::answers_early(ctx, when, then))?;
        if pair { Some(self.early.remove(place)) } else { self.early.get(place).cloned() }
    }

    /// Keeps an answer for questions that `slack` lets come after it.
    fn keep_early(&mut self, ctx: &Ctx<'_>, then: &Seen) {
        if ctx.rule.slack.is_zero() {
            return;
        }
        if self.early.len() == EARLY_MAX {
            self.early.remove(0);
        }
        self.early.push(then.clone());
    }

    /// Takes an answer that may answer many.
    fn answer(&mut self, ctx: &mut Ctx<'_>, then: &Seen) {
        let (before, told) = (self.pending.len(), ctx.emits(EmitOn::Held));
        let mut answered = Vec::new();
        self.pending.retain(|open| {
            let is_answered = open.answered_by(ctx, then);
            if is_answered && told {
                answered.push((open.when.clone(), open.span.clone()));
            }
            !is_answered
        });
        ctx.tally.held += (before - self.pending.len()) as u64;
        answered.iter().for_each(|(when, span)| held(ctx, when, span, then));
        self.keep_early(ctx, then);
        for asleep in self.asleep.iter_mut().filter(|asleep| asleep.late.is_none()) {
            if answers(ctx, &asleep.obligation.when, then) {
                asleep.late = Some((then.role, then.at));
            }
        }
        if self.overdue.is_empty() {
            return;
        }
        let (late, overdue) = self.overdue.drain(..).partition(|when: &Seen| answers(ctx, when, then));
        self.overdue = overdue;
        for when in late {
            ctx.find(Anchor::Event(when.at), What::Late(then.role, then.at));
        }
    }

    /// Gives each answer of one time to one obligation: those with the earliest deadlines that can be answered together.
    fn pair(&mut self, ctx: &mut Ctx<'_>, thens: &[Seen]) {
        // An event that several alternatives match answers once.
        let groups: Vec<&[Seen]> =
            thens.chunk_by(|a, b| same_event(&a.at, &b.at) && a.at.element == b.at.element).collect();
        let mut pairing = Pairing::of(vec![0; groups.len()]);
        let fits =
            |place: usize, group: usize| groups[group].iter().any(|then| self.pending[place].answered_by(ctx, then));
        for place in 0..self.pending.len() {
            if pairing.is_spent() {
                break;
            }
            pairing.assign(place, &fits);
        }
        let owners = pairing.owners();
        let mut answered: Vec<usize> = owners.iter().copied().flatten().collect();
        answered.sort_unstable();
        ctx.tally.held += answered.len() as u64;
        if ctx.emits(EmitOn::Held) {
            for (owner, group) in owners.iter().zip(&groups) {
                let Some(open) = owner.map(|place| &self.pending[place]) else { continue };
                if let Some(then) = group.iter().find(|then| open.answered_by(ctx, then)) {
                    held(ctx, &open.when, &open.span, then);
                }
            }
        }
        for place in answered.into_iter().rev() {
            self.pending.remove(place);
        }
        for then in owners.iter().zip(&groups).filter(|(owner, _)| owner.is_none()).map(|(_, group)| &group[0]) {
            self.keep_early(ctx, then);
            if let Some(asleep) = self
                .asleep
                .iter_mut()
                .find(|asleep| asleep.late.is_none() && answers(ctx, &asleep.obligation.when, then))
            {
                asleep.late = Some((then.role, then.at));
            } else if let Some(place) = self.overdue.iter().position(|when| answers(ctx, when, then)) {
                let when = self.overdue.remove(place);
                ctx.find(Anchor::Event(when.at), What::Late(then.role, then.at));
            }
        }
    }

    /// Breaks what was open strictly before.
    fn break_all(&mut self, ctx: &mut Ctx<'_>, then: RoleIdx, breaker: &Seen, grace: Duration) {
        let mut open: Vec<Obligation> = self.pending.drain(..).collect();
        for obligation in &mut open {
            if obligation.broken.is_none()
                && obligation.when.at.ts < breaker.at.ts
                && ctx.fits(&obligation.when, breaker)
                && !ctx.span_ended(&obligation.span, breaker.at.ts)
            {
                obligation.broken = Some(Box::new((breaker.role, breaker.at)));
                obligation.deadline = breaker.at.ts.plus(grace);
                obligation.ticking = None;
            }
        }
        for obligation in open {
            match obligation.broken {
                Some(_) if grace.is_zero() => self.conclude(ctx, then, obligation),
                _ => self.push(obligation),
            }
        }
    }

    /// Judges at a marker what was open strictly before.
    fn mark(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>, marker: RoleIdx) {
        let Kind::Response { when, then, .. } = ctx.rule.kind else { return };
        let markers: Vec<Seen> = now.of(marker).map(Touch::seen).collect();
        if markers.is_empty() {
            return;
        }
        for open in core::mem::take(&mut self.pending) {
            let passed = open.broken.is_none() && open.when.at.ts < now.ts;
            match markers.iter().find(|marker| passed && ctx.fits(&open.when, marker)) {
                None => self.push(open),
                Some(_) if ctx.span_ended(&open.span, now.ts) => {}
                Some(marker) => {
                    if let Some(Withheld::ForGood(why)) = ctx.withheld(open.when.at, open.when.at.ts, now.ts) {
                        ctx.unknown(why);
                        continue;
                    }
                    let evidence = vec![(Part::Role(when), open.when.at), (Part::Role(marker.role), marker.at)];
                    self.violate(ctx, open.when, now.ts, evidence, Some((then, now.ts)));
                }
            }
        }
    }

    /// Breaks what the dead process owed.
    fn restart(&mut self, ctx: &mut Ctx<'_>, then: RoleIdx, restart: EventRef) {
        let (owed, open) = self.pending.drain(..).partition(|open: &Obligation| open.when.at.ts < restart.ts);
        self.pending = open;
        for obligation in owed {
            if obligation.broken.is_some() {
                self.conclude(ctx, then, obligation);
            } else if !ctx.span_ended(&obligation.span, restart.ts) {
                let role = obligation.when.role;
                let evidence = vec![(Part::Role(role), obligation.when.at), (Part::Restart, restart)];
                // A deadline that nobody knows yet would have come after the restart.
                let by = if obligation.deadline == Timestamp::MAX { restart.ts } else { obligation.deadline };
                self.violate(ctx, obligation.when, restart.ts, evidence, Some((then, by)));
            }
        }
    }

    /// Reports an obligation whose grace or deadline is over.
    fn conclude(&mut self, ctx: &mut Ctx<'_>, then: RoleIdx, obligation: Obligation) {
        let mut evidence = vec![(Part::Role(obligation.when.role), obligation.when.at)];
        let at = match obligation.broken.as_deref().copied() {
            Some((role, breaker)) => {
                evidence.push((Part::Role(role), breaker));
                breaker.ts
            }
            None => obligation.deadline,
        };
        self.violate(ctx, obligation.when, at, evidence, Some((then, at)));
    }

    fn violate(
        &mut self,
        ctx: &mut Ctx<'_>,
        when: Seen,
        at: Timestamp,
        evidence: Vec<(Part, EventRef)>,
        missing: Option<(RoleIdx, Timestamp)>,
    ) {
        ctx.violated(Anchor::Event(when.at), at, evidence, missing);
        if self.overdue.len() == OVERDUE_MAX {
            self.overdue.remove(0);
        }
        slim::push_thin(&mut self.overdue, when);
    }

    /// Looks again at what was left open. What can be judged now is concluded where all is judged in order of time;
    /// else that is asked for.
    fn wake(&mut self, ctx: &mut Ctx<'_>, then: RoleIdx, now: Timestamp) {
        for mut asleep in core::mem::take(&mut self.asleep) {
            let when = asleep.obligation.when.at;
            match ctx.withheld(when, when.ts, asleep.obligation.deadline) {
                _ if asleep.again > now && !ctx.replaying => self.asleep.push(asleep),
                Some(Withheld::ForGood(_)) => {}
                Some(Withheld::ForNow(_)) => {
                    asleep.again = ctx.look_again(now);
                    self.asleep.push(asleep);
                }
                None if !ctx.replaying => {
                    asleep.again = Timestamp::MAX;
                    asleep.awake = true;
                    self.asleep.push(asleep);
                }
                None => {
                    ctx.woken.push(Anchor::Event(when));
                    self.conclude(ctx, then, asleep.obligation);
                    if let Some((role, late)) = asleep.late {
                        self.overdue.retain(|known| known.at != when);
                        ctx.find(Anchor::Event(when), What::Late(role, late));
                    }
                }
            }
        }
    }

    pub(super) fn poll(&mut self, ctx: &Ctx<'_>) {
        for asleep in &mut self.asleep {
            let when = asleep.obligation.when.at;
            let withheld = ctx.withheld(when, when.ts, asleep.obligation.deadline);
            asleep.awake |= !matches!(withheld, Some(Withheld::ForNow(_)));
        }
    }

    pub(super) fn is_awake(&self) -> bool {
        self.asleep.iter().any(|asleep| asleep.awake)
    }

    pub(super) fn has_left_open(&self) -> bool {
        !self.asleep.is_empty()
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let due = self.pending.first().map(Obligation::due);
        if self.asleep.is_empty() {
            return due;
        }
        let again = self.asleep.iter().map(|asleep| asleep.again).min().filter(|again| *again < Timestamp::MAX);
        due.into_iter().chain(again).min()
    }

    pub(super) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        let Kind::Response { then, .. } = ctx.rule.kind else { return };
        self.wake(ctx, then, due);
        let passed = self.pending.iter().take_while(|open| open.due() <= due).count();
        let passed: SmallVec<[Obligation; 1]> = self.pending.drain(..passed).collect();
        for open in passed {
            if open.broken.is_none() && ctx.span_ended(&open.span, open.deadline.min(open.due())) {
                continue;
            }
            if open.ticking.is_some() {
                ctx.unknown(Unknown::ClockStalled);
                continue;
            }
            match ctx.withheld(open.when.at, open.when.at.ts, open.deadline).filter(|_| open.broken.is_none()) {
                Some(Withheld::ForGood(why)) => {
                    ctx.unknown(why);
                    continue;
                }
                Some(Withheld::ForNow(why)) => {
                    // Whether the answer came cannot be said before the node speaks again.
                    ctx.unknown(why);
                    let again = ctx.look_again(due);
                    self.asleep.push(Asleep { obligation: open, again, awake: false, late: None });
                    continue;
                }
                None => {}
            }
            self.conclude(ctx, then, open);
        }
    }

    pub(super) fn open(&self) -> u64 {
        (self.pending.len() + self.asleep.len()) as u64
    }

    pub(super) fn look(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.asleep.is_empty() && self.overdue.is_empty() && self.early.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There are as many as obligations are open. The allocator has no size between this one and the next power of two.
    #[test]
    fn what_one_key_owes_is_small() {
        assert!(size_of::<Response>() <= 128, "{}", size_of::<Response>());
    }
}
