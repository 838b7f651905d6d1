//! `precedence`: an event needs its support before it.
use alloc::{collections::VecDeque, vec, vec::Vec};
use event::Timestamp;

use super::{Anchor, Ctx, Instant, Part};
use crate::{
    pack::{Kind, RoleIdx},
    touch::{Seen, Touch, same_event},
    verdict::{EventRef, Unknown},
};

/// How many supports of one role are remembered where a condition must choose among them.
const SUPPORTS_MAX: usize = 1_024;

/// The supports seen for one key.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Precedence {
    /// Per required role (and last the excuses), in order of time.
    supports: Vec<VecDeque<Seen>>,
    since: Option<EventRef>,
}

impl Precedence {
    pub(super) fn new(requires: usize) -> Self {
        Precedence { supports: vec![VecDeque::new(); requires + 1], since: None }
    }

    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Precedence { event, requires, all, within, since, unless } = &ctx.rule.kind else { return };
        let roles = requires.iter().copied().map(Some).chain([*unless]);
        for (supports, role) in self.supports.iter_mut().zip(roles) {
            for touch in now.of_some(role) {
                remember(ctx, supports, touch);
            }
        }
        for touch in now.of(*event) {
            let Some(span) = ctx.span(now.ts) else { continue };
            ctx.exercise(now.ts);
            let judged = touch.seen();
            // An event may support another only inside the same span, and no further back than allowed.
            let from = within.map_or(Timestamp::ZERO, |within| now.ts.minus(within)).max(span.from());
            let supported = |supports: &VecDeque<Seen>| {
                supports
                    .iter()
                    .rev()
                    .take_while(|support| support.at.ts >= from)
                    .any(|support| !same_event(&support.at, &judged.at) && ctx.fits(&judged, support))
            };
            let (excuses, required) = self.supports.split_last().unwrap_or((const { &VecDeque::new() }, &[]));
            let mut lacking = requires.iter().zip(required).filter(|(_, seen)| !supported(seen)).map(|(role, _)| *role);
            let first_lacking = lacking.next();
            let enough = if *all {
                first_lacking.is_none()
            } else {
                lacking.count() + usize::from(first_lacking.is_some()) < requires.len()
            };
            if enough || supported(excuses) {
                ctx.tally.held += 1;
                continue;
            }
            if self.looks_past_the_start(ctx, from, now.ts) {
                ctx.unknown(Unknown::BeforeStart);
                continue;
            }
            let mut evidence = Vec::new();
            if since.is_some() {
                evidence.extend(self.since.map(|opener| (Part::Role(since.unwrap_or_default()), opener)));
            }
            evidence.push((Part::Role(*event), touch.at));
            let missing: Option<RoleIdx> = first_lacking;
            ctx.violated(Anchor::Event(touch.at), now.ts, evidence, missing.map(|role| (role, now.ts)));
        }
        if let Some(opener) = now.of_some(*since).last() {
            self.since = Some(opener.at);
            for supports in &mut self.supports {
                supports.retain(|support| support.at.ts >= now.ts);
            }
        }
    }

    /// Whether the look-back goes past the first event ever heard from the node, and that was only just heard.
    fn looks_past_the_start(&self, ctx: &Ctx<'_>, from: Timestamp, ts: Timestamp) -> bool {
        if ctx.offline || self.since.is_some() {
            return false;
        }
        let Some((network, node)) = ctx.node() else { return false };
        ctx.sources
            .find_node(network, node)
            .is_some_and(|state| from < state.first_ts && ts.since(state.first_ts) <= ctx.timing.settle)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.since.is_none() && self.supports.iter().all(VecDeque::is_empty)
    }
}

/// Keeps a support: the latest alone where no condition could prefer an earlier one.
fn remember(ctx: &Ctx<'_>, supports: &mut VecDeque<Seen>, touch: &Touch) {
    let Kind::Precedence { event, within, .. } = &ctx.rule.kind else { return };
    let conditional = |role: RoleIdx| {
        ctx.rule.roles[role as usize]
            .alternatives
            .iter()
            .any(|pattern| pattern.where_late.as_ref().is_some_and(crate::expr::Expr::roles_used))
    };
    if conditional(touch.role()) || conditional(*event) {
        if let Some(within) = within {
            let oldest = touch.ts().minus(*within);
            while supports.front().is_some_and(|support| support.at.ts < oldest) {
                supports.pop_front();
            }
        }
        if supports.len() == SUPPORTS_MAX {
            supports.pop_front();
        }
    } else {
        // Two are kept, so that an event that plays both parts still finds the support before it.
        while supports.len() > 1 {
            supports.pop_front();
        }
    }
    supports.push_back(touch.seen());
}
