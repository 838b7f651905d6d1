//! `response`: each `when` is answered by a `then` within a time, or before a marker.
use alloc::{collections::VecDeque, vec, vec::Vec};
use core::time::Duration;
use event::Timestamp;

use super::{Anchor, Ctx, Instant, Late, Part, What};
use crate::{
    expr::Val,
    pack::{Kind, Limit, OnRestart, RoleIdx},
    scope::Span,
    touch::{Seen, same_event},
    verdict::{EventRef, Unknown},
};

/// How many violated obligations are remembered per key, to say by how much their answer was late.
const OVERDUE_MAX: usize = 16;

/// How many answers are kept for questions that `slack` lets come after them.
const EARLY_MAX: usize = 1_024;

/// The obligations of one key, by deadline.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Response {
    pending: VecDeque<Obligation>,
    overdue: VecDeque<Seen>,
    /// Answers of the last `slack`, which a question may still come for.
    early: VecDeque<Seen>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Obligation {
    when: Seen,
    span: Span,
    /// The last time that is in time; once broken, the end of the grace.
    deadline: Timestamp,
    broken: Option<(RoleIdx, EventRef)>,
    /// Its node was silent at the deadline: looked at again when time has moved on to this.
    asleep_until: Option<Timestamp>,
}

impl Obligation {
    fn due(&self) -> Timestamp {
        self.asleep_until.unwrap_or(self.deadline)
    }

    fn answered_by(&self, ctx: &Ctx<'_>, then: &Seen) -> bool {
        self.broken.is_none() && then.at.ts <= self.deadline && answers(ctx, &self.when, then)
    }
}

/// Whether it is an answer: not before the question, with `strict` not even with it.
fn answers(ctx: &Ctx<'_>, when: &Seen, then: &Seen) -> bool {
    let follows = if ctx.strict() { when.at.ts < then.at.ts } else { when.at.ts <= then.at.ts };
    follows && !same_event(&when.at, &then.at) && ctx.fits(when, then)
}

impl Response {
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Response { when, then, limit, pair, unless, broken_by, grace } = &ctx.rule.kind else { return };
        for touch in now.of(*when) {
            if let Some(span) = ctx.span(now.ts) {
                ctx.exercise(now.ts);
                let when = touch.seen();
                let deadline = match limit {
                    Limit::Within(within) => now.ts.plus(*within),
                    Limit::Computed(expression) => {
                        let env = Late { ctx, role: when.role, slots: &when.slots, ts: now.ts, others: &[] };
                        match ctx.eval(expression, &env) {
                            Some(Val::Duration(nanos)) => {
                                now.ts.plus(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
                            }
                            _ => {
                                ctx.unknown(Unknown::Absent);
                                continue;
                            }
                        }
                    }
                    Limit::By(_) => Timestamp::MAX,
                };
                if self.answered_early(ctx, &when, *pair) {
                    ctx.tally.held += 1;
                    continue;
                }
                self.push(Obligation { when, span, deadline, broken: None, asleep_until: None });
            }
        }
        for touch in now.of(*then) {
            let then = touch.seen();
            self.answer(ctx, &then, *pair);
        }
        for touch in now.of_some(*unless) {
            let excuse = touch.seen();
            let late_enough = |open: &Obligation| !ctx.strict() || open.when.at.ts < excuse.at.ts;
            self.pending.retain(|open| !late_enough(open) || !ctx.fits(&open.when, &excuse));
        }
        for touch in now.of_some(*broken_by) {
            self.break_all(ctx, *then, &touch.seen(), *grace);
        }
        if let Limit::By(marker) = limit {
            let markers: Vec<Seen> = now.of(*marker).map(|touch| touch.seen()).collect();
            let mut passed = Vec::new();
            for open in core::mem::take(&mut self.pending) {
                let over = |marker: &&Seen| open.when.at.ts < now.ts && ctx.fits(&open.when, marker);
                match markers.iter().find(over).map(|marker| (marker.role, marker.at)) {
                    Some(marker) => passed.push((open, marker)),
                    None => self.pending.push_back(open),
                }
            }
            for (open, (role, at)) in passed {
                let evidence = vec![(Part::Role(*when), open.when.at), (Part::Role(role), at)];
                self.violate(ctx, open.when, now.ts, evidence, Some((*then, now.ts)));
            }
        }
        if let Some(restart) = now.restart {
            self.restart(ctx, *then, restart);
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

    /// Whether an answer of the last `slack` is the one.
    fn answered_early(&mut self, ctx: &Ctx<'_>, when: &Seen, pair: bool) -> bool {
        let oldest = when.at.ts.minus(ctx.rule.slack);
        while self.early.front().is_some_and(|then| then.at.ts < oldest) {
            self.early.pop_front();
        }
        let fits = |then: &Seen| !same_event(&when.at, &then.at) && ctx.fits(when, then);
        let Some(place) = self.early.iter().position(fits) else { return false };
        if pair {
            self.early.remove(place);
        }
        true
    }

    fn answer(&mut self, ctx: &mut Ctx<'_>, then: &Seen, pair: bool) {
        let before = self.pending.len();
        if pair {
            if let Some(first) = self.pending.iter().position(|open| open.answered_by(ctx, then)) {
                self.pending.remove(first);
            }
        } else {
            self.pending.retain(|open| !open.answered_by(ctx, then));
        }
        ctx.tally.held += (before - self.pending.len()) as u64;
        if !ctx.rule.slack.is_zero() && (before == self.pending.len() || !pair) {
            if self.early.len() == EARLY_MAX {
                self.early.pop_front();
            }
            self.early.push_back(then.clone());
        }
        if before == self.pending.len() || !pair {
            let (late, overdue) = self.overdue.drain(..).partition(|when: &Seen| answers(ctx, when, then));
            self.overdue = overdue;
            for when in late {
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
            {
                obligation.broken = Some((breaker.role, breaker.at));
                obligation.deadline = breaker.at.ts.plus(grace);
                obligation.asleep_until = None;
            }
        }
        for obligation in open {
            match obligation.broken {
                Some(_) if grace.is_zero() => self.conclude(ctx, then, obligation),
                _ => self.push(obligation),
            }
        }
    }

    fn restart(&mut self, ctx: &mut Ctx<'_>, then: RoleIdx, restart: EventRef) {
        match ctx.rule.on_restart {
            OnRestart::Broken => {
                let (owed, open) = self.pending.drain(..).partition(|open: &Obligation| open.when.at.ts < restart.ts);
                self.pending = open;
                for obligation in owed {
                    if obligation.broken.is_some() {
                        self.conclude(ctx, then, obligation);
                        continue;
                    }
                    let role = obligation.when.role;
                    let evidence = vec![(Part::Role(role), obligation.when.at), (Part::Restart, restart)];
                    let by = obligation.deadline;
                    self.violate(ctx, obligation.when, restart.ts, evidence, Some((then, by)));
                }
            }
            OnRestart::Ended | OnRestart::Reset => self.pending.clear(),
            OnRestart::Keep => {}
        }
    }

    /// Reports an obligation whose grace or deadline is over.
    fn conclude(&mut self, ctx: &mut Ctx<'_>, then: RoleIdx, obligation: Obligation) {
        let mut evidence = vec![(Part::Role(obligation.when.role), obligation.when.at)];
        let at = match obligation.broken {
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
            self.overdue.pop_front();
        }
        self.overdue.push_back(when);
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.pending.front().map(Obligation::due)
    }

    pub(super) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        let Kind::Response { then, .. } = ctx.rule.kind else { return };
        while self.pending.front().is_some_and(|open| open.due() <= due) {
            let Some(mut open) = self.pending.pop_front() else { return };
            if open.broken.is_none() && ctx.span_ended(&open.span, open.deadline) {
                continue;
            }
            if open.broken.is_none() && ctx.silent(open.deadline) {
                // Nothing was heard of the node since: whether the answer came cannot be said before it speaks again.
                if open.asleep_until.is_none() {
                    ctx.unknown(Unknown::NodeSilent);
                }
                open.asleep_until = Some(ctx.sources.frontier.max(due).plus(ctx.timing.margin));
                self.push(open);
                continue;
            }
            self.conclude(ctx, then, open);
        }
    }

    pub(super) fn open(&self) -> u64 {
        self.pending.len() as u64
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.overdue.is_empty() && self.early.is_empty()
    }
}
