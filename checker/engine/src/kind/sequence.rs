//! `sequence`: a signature of failure, step after step, must not be seen whole.
//!
//! A step lies strictly after the one before it, and what must not lie between lies there also at either end; with
//! `strict`, neither.
use alloc::{vec, vec::Vec};

use super::{Anchor, Ctx, Instant, Part, support::is_choosy};
use crate::{
    expr::Expr,
    pack::{Kind, SequenceStep},
    scope::Span,
    touch::{Seen, Touch, same_event},
    verdict::EventRef,
};

/// How many beginnings of one length are followed where conditions must choose among them; else one, the latest, is
/// as good as all.
const BEGINNINGS_MAX: usize = 256;

/// How far the sequence has been seen for one key.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sequence {
    /// By the number of steps seen, less one.
    stages: Vec<Vec<Beginning>>,
    span: Option<Span>,
}

/// The first steps of a sequence.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Beginning(Vec<Seen>);

impl Beginning {
    fn first(&self) -> Option<EventRef> {
        self.0.first().map(|seen| seen.at)
    }
}

impl Sequence {
    pub(super) fn new(steps: usize) -> Self {
        Sequence { stages: vec![Vec::new(); steps.saturating_sub(1)], span: None }
    }

    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Sequence { steps, within } = &ctx.rule.kind else { return };
        let Some(first) = steps.first() else { return };
        let Some(span) = ctx.span(now.ts) else { return };
        if self.span.as_ref().is_some_and(|known| *known != span) {
            self.stages.iter_mut().for_each(Vec::clear);
        }
        self.span = Some(span);
        let oldest = now.ts.minus(*within);
        for stage in &mut self.stages {
            stage.retain(|beginning| beginning.first().is_some_and(|first| first.ts >= oldest));
        }
        if now.of(first.role).next().is_some() {
            ctx.exercise(now.ts);
        }
        if ctx.begins_anew(now) {
            self.stages.iter_mut().for_each(Vec::clear);
        }
        // Taken strictly, an event may follow another of its instant, and must not follow itself: all beginnings are kept. Of
        // those at a restart, the one counts that is the start.
        let choosing = ctx.strict()
            || ctx.begins_anew(now)
            || steps.iter().any(|step| is_choosy(ctx, step.role) || step.not.iter().any(|role| is_choosy(ctx, *role)));
        if ctx.strict() {
            // Shorter ones first: a step may follow another inside the instant.
            self.begin(ctx, now, first, choosing);
            for place in 1..steps.len() {
                self.advance(ctx, now, steps, place, choosing);
            }
        } else {
            for place in (1..steps.len()).rev() {
                self.advance(ctx, now, steps, place, choosing);
            }
            self.begin(ctx, now, first, choosing);
        }
        self.interrupt(ctx, now, &steps[1..]);
        if ctx.begins_anew(now) && !ctx.strict() {
            // What is beside the start belongs to the process before, unless it is the start.
            for stage in &mut self.stages {
                stage.retain(|beginning| beginning.0.iter().all(|seen| now.is_start(&seen.at)));
            }
        }
    }

    fn begin(&mut self, ctx: &Ctx<'_>, now: &Instant<'_>, first: &SequenceStep, choosing: bool) {
        for touch in now.of(first.role).filter(|touch| fits(ctx, touch, &[])) {
            if let Some(stage) = self.stages.first_mut() {
                follow(stage, Beginning(vec![touch.seen()]), choosing);
            }
        }
    }

    /// Takes beginnings one step further, to the step at `place`.
    fn advance(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>, steps: &[SequenceStep], place: usize, choosing: bool) {
        let step = &steps[place];
        for touch in now.of(step.role) {
            let fitting = self.stages[place - 1].iter().filter(|beginning| {
                !beginning.0.iter().any(|seen| same_event(&seen.at, &touch.at))
                    && fits(ctx, touch, &beginning.0)
                    && (ctx.strict() || !interrupted(ctx, now, step, beginning))
            });
            let mut longer: Vec<Beginning> = fitting
                .map(|beginning| {
                    let mut seen = beginning.0.clone();
                    seen.push(touch.seen());
                    Beginning(seen)
                })
                .collect();
            if place + 1 < steps.len() {
                longer.into_iter().for_each(|beginning| follow(&mut self.stages[place], beginning, choosing));
                continue;
            }
            longer.sort_by_key(Beginning::first);
            match longer.pop() {
                Some(whole) => {
                    let evidence = whole.0.iter().map(|seen| (Part::Role(seen.role), seen.at)).collect();
                    ctx.violated(Anchor::Event(touch.at), now.ts, evidence, None);
                }
                None => ctx.tally.held += 1,
            }
        }
    }

    /// Drops the beginnings behind which something lies that must not.
    fn interrupt(&mut self, ctx: &Ctx<'_>, now: &Instant<'_>, later: &[SequenceStep]) {
        for (stage, step) in self.stages.iter_mut().zip(later) {
            if step.not.is_empty() {
                continue;
            }
            stage.retain(|beginning| {
                let tied = beginning.0.last().is_some_and(|seen| seen.at.ts == now.ts);
                (ctx.strict() && tied) || !interrupted(ctx, now, step, beginning)
            });
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.stages.iter().all(Vec::is_empty)
    }
}

/// Adds a beginning to those of its length. Without conditions that choose, the one that began last is as good as all.
fn follow(stage: &mut Vec<Beginning>, beginning: Beginning, choosing: bool) {
    if choosing {
        if stage.len() == BEGINNINGS_MAX {
            stage.remove(0);
        }
        let place = stage.partition_point(|known| known.first() <= beginning.first());
        stage.insert(place, beginning);
    } else if stage.first().is_none_or(|known| known.first() <= beginning.first()) {
        stage.clear();
        stage.push(beginning);
    }
}

/// Whether the instant holds something that must not lie behind that beginning.
fn interrupted(ctx: &Ctx<'_>, now: &Instant<'_>, step: &SequenceStep, beginning: &Beginning) -> bool {
    step.not.iter().any(|role| now.of(*role).any(|touch| fits(ctx, touch, &beginning.0)))
}

/// Whether an event's condition holds over the steps before it.
fn fits(ctx: &Ctx<'_>, touch: &Touch, before: &[Seen]) -> bool {
    let Some(condition) =
        ctx.condition(touch.role(), touch.alternative).filter(|condition| Expr::roles_used(condition))
    else {
        return true;
    };
    let others: Vec<_> = before.iter().map(|seen| (seen.role, &*seen.slots)).collect();
    ctx.holds(condition, touch.role(), &touch.slots, touch.ts(), &others)
}
