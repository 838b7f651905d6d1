//! `agreement` with `assert`: what the voters of one key said, judged once when the time to vote is over.
use alloc::{borrow::Cow, boxed::Box, vec::Vec};
use event::{Int, Timestamp, Value};

use super::{Anchor, Ctx, Instant, Late, Part, What};
use crate::{
    expr::Val,
    key,
    pack::{EmitOn, Kind, RoleIdx, Rule},
    scope::Span,
    touch::Seen,
    verdict::{EventRef, Unknown},
};

/// How many voters are told apart; the votes of others are not counted.
const VOTERS_MAX: usize = 4_096;

/// How many votes of each value are cited.
const CITED_MAX: usize = 4;

/// The votes of one key.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Poll {
    first: Option<Seen>,
    span: Option<Span>,
    /// By voter: the last vote.
    votes: Vec<Vote>,
    judged: bool,
    /// Voters' nodes were silent at the end: looked at again when time has moved on to this.
    asleep_until: Option<Timestamp>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Vote {
    voter: Box<[u8]>,
    value: Value,
    at: EventRef,
}

impl Poll {
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Agreement { of, value, among, within: Some(within), .. } = &ctx.rule.kind else { return };
        let Some(span) = ctx.span(now.ts) else { return };
        if self.span.as_ref().is_some_and(|known| *known != span) {
            *self = Poll::default();
        }
        self.span = Some(span);
        for touch in now.of(*of) {
            let begun = self.first.as_ref().map_or(now.ts, |first| first.at.ts);
            if now.ts > begun.plus(*within) {
                continue;
            }
            let env = Late { ctx, role: *of, slots: &touch.slots, ts: now.ts, others: &[] };
            let Some(value) = ctx.eval(value, &env).map(|value| value.to_value()) else {
                ctx.unknown(Unknown::Absent);
                continue;
            };
            let mut voter = Vec::new();
            for part in among {
                match ctx.eval(part, &env) {
                    Some(part) => key::push(&mut voter, &part),
                    None => key::push_absent(&mut voter),
                }
            }
            ctx.exercise(now.ts);
            self.first.get_or_insert_with(|| touch.seen());
            match self.votes.binary_search_by(|vote| (*vote.voter).cmp(&voter)) {
                Ok(place) => self.votes[place] = Vote { value, at: touch.at, ..self.votes[place].clone() },
                Err(place) if self.votes.len() < VOTERS_MAX => {
                    self.votes.insert(place, Vote { voter: voter.into(), value, at: touch.at });
                }
                Err(_) => {}
            }
        }
    }

    pub(super) fn next_due(&self, rule: &Rule) -> Option<Timestamp> {
        let Kind::Agreement { within, .. } = &rule.kind else { return None };
        let first = self.first.as_ref().filter(|_| !self.judged)?;
        Some(self.asleep_until.unwrap_or(first.at.ts.plus((*within)?)))
    }

    pub(super) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        let Kind::Agreement { of, voters, assert: Some(assert), within: Some(within), .. } = &ctx.rule.kind else {
            return;
        };
        let Some(first) = &self.first else { return };
        let end = first.at.ts.plus(*within);
        self.judged = true;
        if self.span.as_ref().is_some_and(|span| ctx.span_ended(span, end)) {
            return;
        }
        let env = Late { ctx, role: *of, slots: &first.slots, ts: first.at.ts, others: &[] };
        let expected = match voters {
            None => None,
            Some(voters) => match super::members(ctx, voters, &env, first.at.ts) {
                Some(members) => Some(members),
                None => return ctx.unknown(Unknown::Absent),
            },
        };
        let counted: Vec<&Vote> = self
            .votes
            .iter()
            .filter(|vote| expected.as_ref().is_none_or(|known| known.binary_search(&vote.voter).is_ok()))
            .collect();
        let values: Vec<Value> = counted.iter().map(|vote| vote.value.clone()).collect();
        let majority = majority(&counted);
        let dissent = counted.iter().filter(|vote| Some(&vote.value) != majority).count();
        let all = expected.as_ref().map_or(counted.len(), Vec::len);
        let count = |number: usize| Val::Int(Int::Small(number as i128));
        let locals = alloc::vec![Val::List(Cow::Owned(values)), count(dissent), count(all)];
        let holds = match assert.eval_with(&env, locals) {
            Ok(Val::Bool(holds)) => holds,
            _ => return ctx.unknown(Unknown::Absent),
        };
        let anchor = self.span.as_ref().and_then(Span::opener).map_or(Anchor::Key, Anchor::Event);
        if holds {
            ctx.tally.held += 1;
            ctx.make(EmitOn::Held, anchor, end, &[first], Vec::new());
            return;
        }
        // What was said before may have been forgotten.
        if let Some(why) = ctx.lost(self.span.as_ref().map_or(Timestamp::ZERO, Span::from), end) {
            return ctx.unknown(why);
        }
        // A vote that was not judged may have decided; it may also have been the first.
        let opened = first.at.ts.minus(end.since(first.at.ts));
        let from = self.span.as_ref().map_or(opened, |span| span.from().max(opened));
        if let Some(why) = ctx.excuse(&anchor, from, end) {
            return ctx.unknown(why);
        }
        let absent = || expected.iter().flatten().filter(|voter| !self.votes.iter().any(|vote| vote.voter == **voter));
        if !ctx.world.offline && absent().any(|voter| super::is_silent(ctx, voter, end)) {
            // What a silent voter said cannot be known before it speaks again.
            if self.asleep_until.is_none() {
                ctx.unknown(Unknown::NodeSilent);
            }
            self.judged = false;
            self.asleep_until = Some(ctx.world.sources.frontier.max(due).plus(ctx.world.timing.margin));
            return;
        }
        let evidence = evidence(*of, &counted, majority);
        let from: Vec<Value> = absent().filter_map(|voter| key::decode(voter)).collect();
        let missing = (!from.is_empty()).then_some((*of, end));
        ctx.find_from(anchor, What::Violated { at: end, evidence, missing, level: false }, from);
    }

    pub(super) fn open(&self) -> u64 {
        u64::from(self.first.is_some() && !self.judged)
    }
}

/// The value with most votes; among equals the one whose first voter sorts first.
fn majority<'v>(votes: &[&'v Vote]) -> Option<&'v Value> {
    let count = |value: &Value| votes.iter().filter(|vote| vote.value == *value).count();
    let mut best: Option<(usize, &Value)> = None;
    for vote in votes {
        let votes = count(&vote.value);
        if best.is_none_or(|(most, _)| votes > most) {
            best = Some((votes, &vote.value));
        }
    }
    best.map(|(_, value)| value)
}

/// A few votes for the majority, and a few of each voter against it.
fn evidence(of: RoleIdx, votes: &[&Vote], majority: Option<&Value>) -> Vec<(Part, EventRef)> {
    let (with, against): (Vec<&Vote>, Vec<&Vote>) = votes.iter().partition(|vote| Some(&vote.value) == majority);
    let with = with.into_iter().take(CITED_MAX).map(|vote| (Part::Role(of), vote.at));
    with.chain(against.into_iter().take(CITED_MAX).map(|vote| (Part::Dissent(of), vote.at))).collect()
}
