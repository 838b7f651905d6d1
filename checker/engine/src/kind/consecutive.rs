//! `consecutive`: the n-th failure in a row, with no success between.
use alloc::vec::Vec;

use super::{Anchor, Ctx, Instant, Part, slim};
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
        let span = ctx.span(now.ts);
        let is_inside = span.is_some();
        if is_inside && self.span != span {
            *self = Consecutive { span, ..Consecutive::default() };
        }
        let inside = |touch: &&crate::touch::Touch| is_inside && touch.ts() == now.ts;
        let fails: Vec<EventRef> = now.of(fail).filter(inside).map(|touch| touch.at).collect();
        let successes = now.of(ok).filter(inside).count();
        if successes > 0 || !fails.is_empty() {
            ctx.exercise(now.ts);
        }
        let restarts = usize::from(now.restart.is_some() && ctx.rule.on_restart != OnRestart::Keep);
        let ends = successes + restarts;
        if ends == 0 {
            fails.iter().for_each(|fail| self.fail(ctx, count, *fail));
            return;
        }
        // Successes (and a restart) may stand anywhere inside the instant: where they avoid full rows, and then so that as
        // few failures as can be are left for the next row.
        let row = count.saturating_sub(1) as usize;
        let room = row.saturating_sub(self.length as usize) + (ends - 1) * row;
        let full = self.length as usize + fails.len() >= count as usize;
        let before = match (ctx.strict(), self.reported) {
            (_, true) => fails.len(),
            (false, false) => fails.len().min(room),
            // Least favourable: behind a full row, else before a new one.
            (true, false) if full => fails.len(),
            (true, false) => 0,
        };
        if ctx.strict() {
            fails[..before].iter().for_each(|fail| self.fail(ctx, count, *fail));
        }
        ctx.tally.held += successes as u64;
        *self = Consecutive { span: self.span.take(), ..Consecutive::default() };
        for fail in &fails[before..] {
            self.fail(ctx, count, *fail);
        }
    }

    fn fail(&mut self, ctx: &mut Ctx<'_>, count: u32, fail: EventRef) {
        let Kind::Consecutive { fail: role, .. } = ctx.rule.kind else { return };
        self.length = self.length.saturating_add(1);
        if self.row.len() < EVIDENCE_MAX || self.length == count {
            slim::push(&mut self.row, fail);
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
