//! What the members of a group owe for one `when`: who is expected, who has answered, and when enough have.
use alloc::{boxed::Box, vec::Vec};
use event::Timestamp;

use super::super::{Anchor, Ctx, Late, encode, owed::answers, ticking::Ticking};
use crate::{
    key,
    pack::{EmitOn, Kind, Quorum, RoleIdx},
    scope::Span,
    touch::Seen,
    verdict::EventRef,
};

/// What is owed for one `when`.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Obligation {
    pub(super) when: Seen,
    pub(super) span: Span,
    /// The last time that is in time; once broken, the end of the grace.
    pub(super) deadline: Timestamp,
    pub(super) broken: Option<Box<(RoleIdx, EventRef)>>,
    /// How its deadline is counted in ticks, while that has not passed.
    pub(super) ticking: Option<Box<Ticking>>,
    /// Who is expected, ascending; none: whoever is a member at the deadline.
    pub(super) members: Option<Vec<Box<[u8]>>>,
    /// Who has answered, ascending, with the answer.
    pub(super) answers: Vec<(Box<[u8]>, EventRef)>,
    /// Nodes of members were silent at the deadline: looked at again when time has moved on to this.
    pub(super) asleep_until: Option<Timestamp>,
}

impl Obligation {
    /// When it is looked at; for one whose clock has not passed it, when waiting for the clock ends.
    pub(super) fn due(&self) -> Timestamp {
        let ends = self.ticking.as_ref().map_or(self.deadline, |ticking| ticking.stalled_at());
        self.asleep_until.unwrap_or(ends)
    }

    pub(super) fn answered_by(&self, ctx: &Ctx<'_>, then: &Seen) -> bool {
        self.broken.is_none() && then.at.ts <= self.deadline && answers(ctx, &self.when, then)
    }

    /// Whether an answer of that member is still of use.
    pub(super) fn lacks(&self, member: &[u8]) -> bool {
        !self.has(member)
            && self
                .members
                .as_ref()
                .is_none_or(|members| members.binary_search_by(|known| (**known).cmp(member)).is_ok())
    }

    /// How many more answers it needs; of each, and of members whom nobody knows yet, as many as come.
    pub(super) fn needs(&self, quorum: Option<Quorum>) -> usize {
        let (Some(members), Some(quorum)) = (&self.members, quorum) else { return usize::MAX };
        let answered = members.len() - self.missing(members).len();
        (answered..=members.len()).find(|count| enough(Some(quorum), *count, members.len())).unwrap_or(answered)
            - answered
    }

    /// Whether all that is needed has come.
    pub(super) fn is_met(&self, quorum: Option<Quorum>) -> bool {
        let met = |members: &Vec<Box<[u8]>>| enough(quorum, members.len() - self.missing(members).len(), members.len());
        self.members.as_ref().is_some_and(met)
    }

    /// Notes an answer, and tells those who build on it what that meets: of each, every member owes its own.
    pub(super) fn note(&mut self, ctx: &mut Ctx<'_>, quorum: Option<Quorum>, member: &[u8], then: &Seen) {
        let Err(place) = self.answers.binary_search_by(|(known, _)| (**known).cmp(member)) else { return };
        let owed = self.members.is_some() && self.lacks(member);
        self.answers.insert(place, (member.into(), then.at));
        let at = self.when.at.ts.max(then.at.ts);
        if !owed || !ctx.emits(EmitOn::Held) || ctx.span_ended(&self.span, at) {
            return;
        }
        let anchor = match quorum {
            None => Anchor::Member(self.when.at, key::hash(member)),
            Some(_) if self.is_met(quorum) => Anchor::Event(self.when.at),
            Some(_) => return,
        };
        ctx.make(EmitOn::Held, anchor, at, &[&self.when, then], Vec::new());
    }

    /// Whether that breaks it or marks its end, if it was open strictly before.
    pub(super) fn is_ended_by(&self, ctx: &Ctx<'_>, ender: &Seen) -> bool {
        self.broken.is_none()
            && self.asleep_until.is_none()
            && self.when.at.ts < ender.at.ts
            && ctx.fits(&self.when, ender)
    }

    pub(super) fn has(&self, member: &[u8]) -> bool {
        self.answers.binary_search_by(|(known, _)| (**known).cmp(member)).is_ok()
    }

    pub(super) fn missing(&self, members: &[Box<[u8]>]) -> Vec<Box<[u8]>> {
        members.iter().filter(|member| !self.has(member)).cloned().collect()
    }
}

/// The members expected for a `when`, ascending; none when that cannot be said.
pub(super) fn members(ctx: &Ctx<'_>, when: &Seen, ts: Timestamp) -> Option<Vec<Box<[u8]>>> {
    let Kind::Expected { of, except, .. } = &ctx.rule.kind else { return None };
    let env = Late { ctx, role: when.role, slots: &when.slots, ts, others: &[] };
    let excepted: Vec<Box<[u8]>> = except.iter().filter_map(|one| ctx.eval(one, &env)).map(|v| encode(&v)).collect();
    let mut members = super::super::members(ctx, of, &env, ts)?;
    members.retain(|member| !excepted.contains(member));
    Some(members)
}

/// Whether so many of so many are enough.
pub(super) fn enough(quorum: Option<Quorum>, answered: usize, expected: usize) -> bool {
    match quorum {
        None => answered >= expected,
        Some(quorum) => quorum.reached(answered as u64, expected as u64),
    }
}
