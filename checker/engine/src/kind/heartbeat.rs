//! `heartbeat`: a key that has shown life must not be silent for longer than `every`. A level.
use alloc::{vec, vec::Vec};
use event::Timestamp;

use super::{Anchor, Ctx, Instant, Part, What};
use crate::{
    pack::{Kind, OnRestart, Rule},
    scope::Span,
    verdict::EventRef,
};

/// The last sign of life of one key.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Heartbeat {
    /// Life is expected since this sign (or start).
    last: Option<EventRef>,
    /// The span of `during` that sign lies in.
    span: Option<Span>,
    /// The silence since then is not judged: the span ended, or life showed outside of it.
    unjudged: bool,
    /// The silence under report, by the time it became too long.
    onset: Option<Timestamp>,
}

impl Heartbeat {
    /// Of one time, signs come first, then what ends the expectation, then what would show a silence. Signs count inside
    /// `during` alone, where they begin what is judged; the silence must become too long inside the same span.
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Heartbeat { of, every, start, stop, expect, while_ } = ctx.rule.kind else { return };
        let span = ctx.span(now.ts);
        let beat = now.of(of).last().map(|touch| touch.at);
        // Being expected again is no sign of life.
        let anew = now.of_some(expect).last().map(|touch| touch.at).filter(|_| self.last.is_none());
        let started = now.of_some(start).last().map(|touch| touch.at).or(anew).filter(|_| span.is_some());
        let unasked = start.is_none() && expect.is_none();
        let expected = unasked || self.last.is_some() || started.is_some();
        if span.is_none() {
            if beat.is_some() && self.last.is_some() {
                self.recover(ctx, now.ts);
                self.unjudged = true;
            }
        } else if let Some(sign) = beat.filter(|_| expected).or(started) {
            ctx.exercise(now.ts);
            self.alive(ctx, sign);
            self.span = span.clone();
        }
        let ended = now.restart.is_some() && matches!(ctx.rule.on_restart, OnRestart::Ended | OnRestart::Reset);
        // Who leaves and joins at one time stays expected.
        let left = now.of_some(stop).next().is_some() && now.of_some(expect).next().is_none();
        if ended || left {
            self.recover(ctx, now.ts);
            self.last = None;
        }
        if let Some(last) = self.last
            && let Some(witness) = now.of_some(while_).next()
            && self.onset.is_none()
            && !self.unjudged
            && now.ts.since(last.ts) > every
            && span == self.span
        {
            self.silent(ctx, last, now.ts, Some(witness.at));
        }
    }

    fn alive(&mut self, ctx: &mut Ctx<'_>, sign: EventRef) {
        if self.onset.is_none() && self.last.is_some() {
            ctx.tally.held += 1;
        }
        self.recover(ctx, sign.ts);
        self.last = Some(sign);
        self.unjudged = false;
    }

    fn recover(&mut self, ctx: &mut Ctx<'_>, at: Timestamp) {
        if let Some(onset) = self.onset.take() {
            ctx.find(Anchor::Time(onset), What::Resolved(at));
        }
    }

    fn silent(&mut self, ctx: &mut Ctx<'_>, last: EventRef, at: Timestamp, witness: Option<EventRef>) {
        let Kind::Heartbeat { of, every, while_, .. } = ctx.rule.kind else { return };
        let onset = last.ts.plus(every);
        if let Some(why) = ctx.excuse(&Anchor::Time(onset), last.ts, at) {
            // It may have given a sign.
            ctx.unknown(why);
            self.unjudged = true;
            return;
        }
        self.onset = Some(onset);
        let mut evidence: Vec<(Part, EventRef)> = vec![(Part::Role(of), last)];
        evidence.extend(witness.zip(while_).map(|(witness, role)| (Part::Role(role), witness)));
        ctx.find(Anchor::Time(onset), What::Violated { at, evidence, missing: Some((of, onset)), level: true });
    }

    pub(super) fn next_due(&self, rule: &Rule) -> Option<Timestamp> {
        let Kind::Heartbeat { every, while_: None, .. } = rule.kind else { return None };
        self.last.filter(|_| self.onset.is_none() && !self.unjudged).map(|last| last.ts.plus(every))
    }

    pub(super) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        let Some(last) = self.last.filter(|_| self.onset.is_none()) else { return };
        if self.span.as_ref().is_some_and(|span| ctx.span_ended(span, due)) {
            self.unjudged = true;
        } else {
            self.silent(ctx, last, due, None);
        }
    }

    pub(super) fn open(&self) -> u64 {
        u64::from(self.last.is_some())
    }
}
