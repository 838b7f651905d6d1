//! `heartbeat`: a key that has shown life must not be silent for longer than `every`. A level.
use alloc::{vec, vec::Vec};
use event::Timestamp;

use super::{Anchor, Ctx, Instant, Part, What};
use crate::{
    pack::{Kind, Rule},
    verdict::EventRef,
};

/// The last sign of life of one key.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Heartbeat {
    /// Life is expected since this sign (or start).
    last: Option<EventRef>,
    /// The silence under report, by the time it became too long.
    onset: Option<Timestamp>,
}

impl Heartbeat {
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Heartbeat { of, every, start, stop, while_ } = ctx.rule.kind else { return };
        let beat = now.of(of).last().map(|touch| touch.at);
        let started = now.of_some(start).last().map(|touch| touch.at);
        // A sign at the same instant comes before whatever would show the silence.
        if let Some(beat) = beat.filter(|_| start.is_none() || self.last.is_some() || started.is_some()) {
            ctx.exercise(now.ts);
            self.alive(ctx, beat);
        } else if let Some(started) = started {
            ctx.exercise(now.ts);
            self.alive(ctx, started);
        }
        if let Some(last) = self.last
            && let Some(witness) = now.of_some(while_).next()
            && self.onset.is_none()
            && now.ts.since(last.ts) > every
        {
            self.silent(ctx, last, now.ts, Some(witness.at));
        }
        if now.of_some(stop).next().is_some() && beat.is_none() && started.is_none() {
            self.recover(ctx, now.ts);
            self.last = None;
        }
    }

    fn alive(&mut self, ctx: &mut Ctx<'_>, sign: EventRef) {
        if self.onset.is_none() && self.last.is_some() {
            ctx.tally.held += 1;
        }
        self.recover(ctx, sign.ts);
        self.last = Some(sign);
    }

    fn recover(&mut self, ctx: &mut Ctx<'_>, at: Timestamp) {
        if let Some(onset) = self.onset.take() {
            ctx.find(Anchor::Time(onset), What::Resolved(at));
        }
    }

    fn silent(&mut self, ctx: &mut Ctx<'_>, last: EventRef, at: Timestamp, witness: Option<EventRef>) {
        let Kind::Heartbeat { of, every, while_, .. } = ctx.rule.kind else { return };
        let onset = last.ts.plus(every);
        self.onset = Some(onset);
        let mut evidence: Vec<(Part, EventRef)> = vec![(Part::Role(of), last)];
        evidence.extend(witness.zip(while_).map(|(witness, role)| (Part::Role(role), witness)));
        ctx.find(Anchor::Time(onset), What::Violated { at, evidence, missing: Some((of, onset)), level: true });
    }

    pub(super) fn next_due(&self, rule: &Rule) -> Option<Timestamp> {
        let Kind::Heartbeat { every, while_: None, .. } = rule.kind else { return None };
        self.last.filter(|_| self.onset.is_none()).map(|last| last.ts.plus(every))
    }

    pub(super) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        if let Some(last) = self.last.filter(|_| self.onset.is_none()) {
            self.silent(ctx, last, due, None);
        }
    }

    pub(super) fn open(&self) -> u64 {
        u64::from(self.last.is_some())
    }
}
