//! `consecutive`: the n-th failure in a row, with no success between.
use alloc::vec::Vec;

use super::{Anchor, Ctx, Instant, Part};
use crate::{
    pack::{Kind, OnRestart},
    scope::Span,
    verdict::EventRef,
};

/// How many failures of a row are kept as evidence: its first ones.
const EVIDENCE_MAX: usize = 16;

/// The current row of failures.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Consecutive {
    length: u32,
    row: Vec<EventRef>,
    span: Option<Span>,
    reported: bool,
}

impl Consecutive {
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Consecutive { fail, ok, count } = ctx.rule.kind else { return };
        if now.restart.is_some() && ctx.rule.on_restart != OnRestart::Keep {
            *self = Consecutive::default();
        }
        let Some(span) = ctx.span(now.ts) else { return };
        if self.span.is_some_and(|known| known != span) {
            *self = Consecutive::default();
        }
        self.span = Some(span);
        let fails: Vec<EventRef> = now.of(fail).map(|touch| touch.at).collect();
        let succeeded = now.of(ok).next().is_some();
        if succeeded || !fails.is_empty() {
            ctx.exercise(now.ts);
        }
        if !succeeded {
            fails.iter().for_each(|fail| self.fail(ctx, count, *fail));
            return;
        }
        // The success may stand anywhere inside the instant: where it avoids a full row, and then as late as it can.
        let room = count.saturating_sub(1).saturating_sub(self.length) as usize;
        let full = self.length as usize + fails.len() >= count as usize;
        let before = match (ctx.strict(), self.reported) {
            // Least favourable: behind a full row, else before a new one.
            (true, false) => {
                if full {
                    fails.len()
                } else {
                    0
                }
            }
            (_, true) => fails.len(),
            (false, false) => fails.len().min(room),
        };
        for fail in &fails[..before] {
            self.fail(ctx, count, *fail);
        }
        ctx.tally.held += 1;
        *self = Consecutive { span: self.span, ..Consecutive::default() };
        for fail in &fails[before..] {
            self.fail(ctx, count, *fail);
        }
    }

    fn fail(&mut self, ctx: &mut Ctx<'_>, count: u32, fail: EventRef) {
        let Kind::Consecutive { fail: role, .. } = ctx.rule.kind else { return };
        self.length = self.length.saturating_add(1);
        if self.row.len() < EVIDENCE_MAX || self.length == count {
            self.row.push(fail);
        }
        if self.length == count && !self.reported {
            self.reported = true;
            let evidence = self.row.iter().map(|&fail| (Part::Role(role), fail)).collect();
            ctx.violated(Anchor::Event(fail), fail.ts, evidence, None);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.length == 0
    }
}
