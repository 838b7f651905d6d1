//! `report: first` and `quiet`: which of an instance's violations are said.
//!
//! They are taken in the order in which they are certain. One that nothing could be said of, because its node was silent,
//! may turn out to come before others that were said: as long as there is such a one, what was found since is kept, and
//! what had been said wrongly is taken back when it is known. This refuses to hold anything back for that time: what is
//! certainly broken is said at once.
use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use event::Timestamp;

use super::{Anchor, Ctx, Found, What};
use crate::pack::Rule;

/// How many violations are kept while an earlier one is uncertain; beyond that the oldest stay as they were said.
const KEPT_MAX: usize = 64;

/// When a violation is certain. What falls due at a time comes after what happens at it.
pub(super) type Certain = (Timestamp, bool);

/// What was said last.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Mute {
    reported: Option<(Timestamp, Anchor)>,
    unsure: Option<Box<Unsure>>,
}

/// What was found since something has been left open.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Unsure {
    /// What was said last before all of it.
    settled: Option<(Timestamp, Anchor)>,
    found: VecDeque<Kept>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Kept {
    certain: Certain,
    at: Timestamp,
    found: Found,
    said: bool,
}

impl Kept {
    fn order(&self) -> impl Ord + use<> {
        (self.certain, self.at, self.found.anchor.order())
    }
}

impl Mute {
    pub(super) fn is_idle(&self) -> bool {
        self.reported.is_none() && self.unsure.is_none()
    }

    /// The violations that were said and may have to be taken back.
    pub(super) fn revocable(&self) -> impl Iterator<Item = Anchor> {
        let kept = self.unsure.iter().flat_map(|unsure| &unsure.found);
        kept.filter(|kept| kept.said).map(|kept| kept.found.anchor)
    }

    /// Takes out of the context's findings what is not to be said. They were found at `certain`, those that had been left
    /// open before apart; `open`: the automaton has left something open.
    pub(super) fn sift(&mut self, ctx: &mut Ctx<'_>, certain: Certain, open: bool) {
        let woken = core::mem::take(&mut ctx.woken);
        if self.unsure.is_none() && (open || !woken.is_empty()) {
            self.unsure = Some(Box::new(Unsure { settled: self.reported, found: VecDeque::new() }));
        }
        if self.unsure.is_none() && ctx.found.is_empty() {
            return;
        }
        let (violations, others): (Vec<Found>, Vec<Found>) =
            ctx.found.drain(..).partition(|found| matches!(found.what, What::Violated { .. }));
        let mut news: Vec<Kept> = violations
            .into_iter()
            .map(|found| {
                let at = if let What::Violated { at, .. } = found.what { at } else { certain.0 };
                let certain = if woken.contains(&found.anchor) { (at, true) } else { certain };
                Kept { certain, at, found, said: false }
            })
            .collect();
        // Those of one time in an order that does not depend on how they were found.
        news.sort_by_key(Kept::order);
        match &mut self.unsure {
            None => {
                for kept in news {
                    if may_say(ctx.rule, &mut self.reported, kept.at, kept.found.anchor) {
                        ctx.found.push(kept.found);
                    }
                }
            }
            Some(unsure) => {
                self.reported = unsure.decide(ctx, news);
                if !open {
                    self.unsure = None;
                }
            }
        }
        ctx.found.extend(others);
    }
}

impl Unsure {
    /// Decides again what is said of all that was found; returns what was said last.
    fn decide(&mut self, ctx: &mut Ctx<'_>, news: Vec<Kept>) -> Option<(Timestamp, Anchor)> {
        let mut grown: Vec<Anchor> = Vec::new();
        for new in news {
            match self.found.iter_mut().find(|kept| kept.found.anchor == new.found.anchor) {
                Some(known) => {
                    grown.push(new.found.anchor);
                    known.found = new.found;
                }
                None => {
                    let place = self.found.partition_point(|kept| kept.order() <= new.order());
                    self.found.insert(place, new);
                }
            }
        }
        let mut reported = self.settled;
        for kept in &mut self.found {
            let anchor = kept.found.anchor;
            let say = may_say(ctx.rule, &mut reported, kept.at, anchor);
            match (kept.said, say) {
                (true, false) => ctx.find(anchor, What::Unsaid),
                (false, true) => ctx.found.push(kept.found.clone()),
                (true, true) if grown.contains(&anchor) => ctx.found.push(kept.found.clone()),
                _ => {}
            }
            kept.said = say;
        }
        while self.found.len() > KEPT_MAX {
            let oldest = self.found.pop_front();
            self.settled = oldest.filter(|kept| kept.said).map(|kept| (kept.at, kept.found.anchor)).or(self.settled);
        }
        reported
    }
}

/// Whether a violation at `at` is said after what was said last; then it is what was said last.
fn may_say(rule: &Rule, reported: &mut Option<(Timestamp, Anchor)>, at: Timestamp, anchor: Anchor) -> bool {
    let silent = reported.is_some_and(|(last, known)| {
        known != anchor && (rule.report_first || rule.quiet.is_some_and(|quiet| at < last.plus(quiet)))
    });
    if !silent {
        *reported = Some((at, anchor));
    }
    !silent
}
