//! `agreement`: all voters give one value for a key. Keeps each distinct value once, never a join.
use alloc::{boxed::Box, vec::Vec};

use super::{Anchor, Ctx, Instant, Late, Part, slim};
use crate::{
    key,
    pack::Kind,
    scope::Span,
    verdict::{EventRef, Unknown},
};

/// How many distinct values, and how many voters of each, are told apart. Beyond, they only count as more of the same.
const VALUES_MAX: usize = 64;
const VOTERS_MAX: usize = 1_024;

/// How many bytes most values and voters have together.
const ENCODED: usize = 64;

/// How many voters of one value are cited.
const CITED_MAX: usize = 4;

/// The values voted for one key.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Agreement {
    first: Option<EventRef>,
    span: Option<Span>,
    values: Vec<Ballot>,
    /// When the second value appeared.
    broken: Option<EventRef>,
}

/// One value and who voted it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Ballot {
    value: Box<[u8]>,
    voters: Vec<u64>,
    cited: Vec<EventRef>,
}

impl Agreement {
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Agreement { of, value, among, within, voters, .. } = &ctx.rule.kind else { return };
        let Some(span) = ctx.span(now.ts) else { return };
        if self.span.as_ref().is_some_and(|known| *known != span) {
            *self = Agreement::default();
        }
        self.span = Some(span);
        let mut grown = false;
        // The value, and behind it the voter.
        let mut encoded = Vec::with_capacity(ENCODED);
        for touch in now.of(*of) {
            if let (Some(first), Some(within)) = (self.first, within)
                && now.ts > first.ts.plus(*within)
            {
                continue;
            }
            let env = Late { ctx, role: *of, slots: &touch.slots, ts: now.ts, others: &[] };
            let Some(value) = ctx.eval(value, &env) else {
                ctx.unknown(Unknown::Absent);
                continue;
            };
            encoded.clear();
            key::push(&mut encoded, &value);
            let value_len = encoded.len();
            for part in among {
                match ctx.eval(part, &env) {
                    Some(part) => key::push(&mut encoded, &part),
                    None => key::push_absent(&mut encoded),
                }
            }
            let (value, voter) = encoded.split_at(value_len);
            if let Some(voters) = voters {
                match super::members(ctx, voters, &env, now.ts) {
                    Some(known) if known.binary_search_by(|known| (**known).cmp(voter)).is_err() => continue,
                    Some(_) => {}
                    None => {
                        ctx.unknown(Unknown::Absent);
                        continue;
                    }
                }
            }
            ctx.exercise(now.ts);
            self.first.get_or_insert(touch.at);
            grown |= self.vote(value, key::hash(voter), touch.at);
            if self.values.len() == 1 {
                ctx.tally.held += 1;
            }
        }
        if grown && self.values.len() > 1 {
            self.report(ctx, now);
        }
    }

    /// Counts a vote; returns whether the evidence grew.
    fn vote(&mut self, value: &[u8], voter: u64, at: EventRef) -> bool {
        let place = self.values.iter().position(|ballot| *ballot.value == *value);
        let ballot = match place {
            Some(place) => &mut self.values[place],
            None if self.values.len() < VALUES_MAX => {
                let ballot = Ballot { value: value.into(), voters: Vec::new(), cited: Vec::new() };
                slim::push(&mut self.values, ballot);
                let last = self.values.len() - 1;
                &mut self.values[last]
            }
            None => return false,
        };
        if ballot.voters.contains(&voter) || ballot.voters.len() == VOTERS_MAX {
            return false;
        }
        ballot.voters.push(voter);
        if ballot.cited.len() < CITED_MAX {
            ballot.cited.push(at);
        }
        true
    }

    fn report(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Agreement { of, .. } = ctx.rule.kind else { return };
        // The majority: most voters; among equals the value that sorts first, so that order of arrival cannot matter.
        let majority = self
            .values
            .iter()
            .enumerate()
            .max_by(|(_, a), (_, b)| a.voters.len().cmp(&b.voters.len()).then_with(|| b.value.cmp(&a.value)))
            .map_or(0, |(place, _)| place);
        let mut evidence: Vec<(Part, EventRef)> = Vec::new();
        for (place, ballot) in self.values.iter().enumerate() {
            let part = if place == majority { Part::Role(of) } else { Part::Dissent(of) };
            evidence.extend(ballot.cited.iter().map(|&vote| (part, vote)));
        }
        evidence.sort_by_key(|(_, vote)| *vote);
        let broken = *self.broken.get_or_insert_with(|| now.touches.first().map_or(evidence[0].1, |touch| touch.at));
        let anchor = self.span.as_ref().and_then(Span::opener).map_or(Anchor::Key, Anchor::Event);
        ctx.violated(anchor, broken.ts, evidence, None);
    }
}
