//! `response` with `from`: each `when` is answered by every expected member, or by enough of them, within a time.
//!
//! Who is expected is a list that an expression yields (rows of a fact, live nodes); whose answer a `then` is, another
//! says. What a member did not send is unknown while its node is silent, like every absence.
use alloc::{boxed::Box, collections::VecDeque, vec, vec::Vec};
use event::{Timestamp, Value};

use super::{Anchor, Ctx, Instant, Late, Part, What, encode, is_silent};
use crate::{
    expr::Expr,
    key,
    pack::{EmitOn, Kind, OnRestart, Quorum, RoleIdx},
    scope::Span,
    touch::{Seen, same_event},
    verdict::{EventRef, Unknown},
};

/// How many members that owe an answer are remembered per key, to say by how much it was late.
const OVERDUE_MAX: usize = 64;

/// How many answers are cited where there were too few.
const CITED_MAX: usize = 8;

/// The obligations of one key, by deadline.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Expected {
    pending: VecDeque<Obligation>,
    overdue: VecDeque<(Seen, Box<[u8]>)>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Obligation {
    when: Seen,
    span: Span,
    /// The last time that is in time.
    deadline: Timestamp,
    /// Who is expected, ascending; none: whoever is a member at the deadline.
    members: Option<Vec<Box<[u8]>>>,
    /// Who has answered, ascending, with the answer.
    answers: Vec<(Box<[u8]>, EventRef)>,
    /// Nodes of members were silent at the deadline: looked at again when time has moved on to this.
    asleep_until: Option<Timestamp>,
}

impl Obligation {
    fn due(&self) -> Timestamp {
        self.asleep_until.unwrap_or(self.deadline)
    }

    fn has(&self, member: &[u8]) -> bool {
        self.answers.binary_search_by(|(known, _)| (**known).cmp(member)).is_ok()
    }

    fn missing(&self, members: &[Box<[u8]>]) -> Vec<Box<[u8]>> {
        members.iter().filter(|member| !self.has(member)).cloned().collect()
    }
}

/// The members expected for a `when`, ascending; none when that cannot be said.
fn members(ctx: &Ctx<'_>, when: &Seen, ts: Timestamp) -> Option<Vec<Box<[u8]>>> {
    let Kind::Expected { of, except, .. } = &ctx.rule.kind else { return None };
    let env = Late { ctx, role: when.role, slots: &when.slots, ts, others: &[] };
    let excepted: Vec<Box<[u8]>> = except.iter().filter_map(|one| ctx.eval(one, &env)).map(|v| encode(&v)).collect();
    let mut members = super::members(of, &env)?;
    members.retain(|member| !excepted.contains(member));
    Some(members)
}

/// Whether so many of so many are enough.
fn enough(quorum: Option<Quorum>, answered: usize, expected: usize) -> bool {
    match quorum {
        None => answered >= expected,
        Some(quorum) => quorum.reached(answered as u64, expected as u64),
    }
}

impl Expected {
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Expected { when, then, within, by, member, quorum, at_deadline, unless, broken_by, .. } =
            &ctx.rule.kind
        else {
            return;
        };
        for touch in now.of(*when) {
            let Some(span) = ctx.span(now.ts) else { continue };
            ctx.exercise(now.ts);
            let when = touch.seen();
            let expected = if *at_deadline {
                None
            } else {
                match members(ctx, &when, now.ts) {
                    Some(members) if members.is_empty() => {
                        ctx.tally.held += 1;
                        continue;
                    }
                    Some(members) => Some(members),
                    None => {
                        ctx.unknown(Unknown::Absent);
                        continue;
                    }
                }
            };
            let deadline = within.map_or(Timestamp::MAX, |within| now.ts.plus(within));
            let open = Obligation { when, span, deadline, members: expected, answers: Vec::new(), asleep_until: None };
            self.push(open);
        }
        for touch in now.of_some(*unless) {
            let excuse = touch.seen();
            self.pending.retain(|open| !ctx.fits(&open.when, &excuse));
        }
        for touch in now.of(*then) {
            self.answer(ctx, &touch.seen(), member, *quorum);
        }
        for touch in now.of_some(*broken_by).chain(now.of_some(*by)) {
            self.end_all(ctx, &touch.seen());
        }
        if let Some(restart) = now.restart {
            match ctx.rule.on_restart {
                OnRestart::Keep => {}
                OnRestart::Ended | OnRestart::Reset => self.pending.clear(),
                OnRestart::Broken => {
                    let (owed, open) =
                        self.pending.drain(..).partition(|open: &Obligation| open.when.at.ts < restart.ts);
                    self.pending = open;
                    let owed: VecDeque<Obligation> = owed;
                    for open in owed {
                        self.conclude(ctx, open, restart.ts, Some((Part::Restart, restart)));
                    }
                }
            }
        }
    }

    /// Keeps the obligations in order of deadline.
    fn push(&mut self, open: Obligation) {
        let mut place = self.pending.len();
        while place > 0 && self.pending[place - 1].due() > open.due() {
            place -= 1;
        }
        self.pending.insert(place, open);
    }

    fn answer(&mut self, ctx: &mut Ctx<'_>, then: &Seen, member: &Expr, quorum: Option<Quorum>) {
        let env = Late { ctx, role: then.role, slots: &then.slots, ts: then.at.ts, others: &[] };
        let Some(member) = ctx.eval(member, &env).map(|value| encode(&value)) else { return };
        let meant = |ctx: &Ctx<'_>, when: &Seen| {
            when.at.ts <= then.at.ts && !same_event(&when.at, &then.at) && ctx.fits(when, then)
        };
        let told = ctx.emits(EmitOn::Held);
        let mut met: Vec<(Anchor, Seen)> = Vec::new();
        for open in &mut self.pending {
            if then.at.ts <= open.deadline
                && meant(ctx, &open.when)
                && let Err(place) = open.answers.binary_search_by(|(known, _)| known.cmp(&member))
            {
                open.answers.insert(place, (member.clone(), then.at));
                // Of each, every member owes its own answer.
                let owed = open.members.as_ref().is_some_and(|members| members.binary_search(&member).is_ok());
                if told && quorum.is_none() && owed && !ctx.span_ended(&open.span, then.at.ts) {
                    met.push((Anchor::Member(open.when.at, key::hash(&member)), open.when.clone()));
                }
            }
        }
        let before = self.pending.len();
        self.pending.retain(|open| {
            let Some(members) = &open.members else { return true };
            let missing = open.missing(members).len();
            let is_met = enough(quorum, members.len() - missing, members.len());
            if told && is_met && quorum.is_some() && !ctx.span_ended(&open.span, then.at.ts) {
                met.push((Anchor::Event(open.when.at), open.when.clone()));
            }
            !is_met
        });
        ctx.tally.held += (before - self.pending.len()) as u64;
        for (anchor, when) in met {
            ctx.make(EmitOn::Held, anchor, then.at.ts, &[&when, then], Vec::new());
        }
        let (late, overdue) =
            self.overdue.drain(..).partition(|(when, owing): &(Seen, _)| *owing == member && meant(ctx, when));
        self.overdue = overdue;
        let late: VecDeque<(Seen, Box<[u8]>)> = late;
        for (when, member) in late {
            ctx.find(Anchor::Member(when.at, key::hash(&member)), What::Late(then.role, then.at));
        }
    }

    /// Judges what was open strictly before what breaks it or marks its end.
    fn end_all(&mut self, ctx: &mut Ctx<'_>, ender: &Seen) {
        let at = ender.at.ts;
        let ends =
            |open: &Obligation| open.when.at.ts < at && open.asleep_until.is_none() && ctx.fits(&open.when, ender);
        let (ended, open): (VecDeque<Obligation>, VecDeque<Obligation>) = self.pending.drain(..).partition(ends);
        self.pending = open;
        for open in ended {
            if !ctx.span_ended(&open.span, at) {
                self.conclude(ctx, open, at, Some((Part::Role(ender.role), ender.at)));
            }
        }
    }

    /// Judges an obligation that is over, at its deadline or by an event that ends it.
    fn conclude(&mut self, ctx: &mut Ctx<'_>, mut open: Obligation, at: Timestamp, ended_by: Option<(Part, EventRef)>) {
        let Kind::Expected { then, quorum, at_deadline, .. } = &ctx.rule.kind else { return };
        let Some(expected) = open.members.take().or_else(|| members(ctx, &open.when, at)) else {
            ctx.unknown(Unknown::Absent);
            return;
        };
        let mut missing = open.missing(&expected);
        let answered = expected.len() - missing.len();
        if *at_deadline && quorum.is_none() {
            for member in expected.iter().filter(|member| open.has(member)) {
                let anchor = Anchor::Member(open.when.at, key::hash(member));
                ctx.make(EmitOn::Held, anchor, at, &[&open.when], Vec::new());
            }
        }
        if enough(*quorum, answered, expected.len()) {
            ctx.tally.held += 1;
            if *at_deadline && quorum.is_some() && !expected.is_empty() {
                ctx.make(EmitOn::Held, Anchor::Event(open.when.at), at, &[&open.when], Vec::new());
            }
            return;
        }
        // What some of them sent may never have been judged.
        let hidden: Vec<(Box<[u8]>, Unknown)> = missing
            .iter()
            .filter_map(|member| {
                let anchor = match quorum {
                    Some(_) => Anchor::Event(open.when.at),
                    None => Anchor::Member(open.when.at, key::hash(member)),
                };
                let gap = ctx.gap_of(ctx.network(), key::text(member)?, open.when.at.ts, at)?;
                (!ctx.was_said(&anchor)).then(|| (member.clone(), gap))
            })
            .collect();
        if let Some(&(_, why)) = hidden.first() {
            ctx.unknown(why);
            missing.retain(|member| !hidden.iter().any(|(known, _)| known == member));
            if missing.is_empty() || quorum.is_some() && enough(*quorum, answered + hidden.len(), expected.len()) {
                return;
            }
        }
        let silent: Vec<Box<[u8]>> = if ctx.world.offline || ended_by.is_some() {
            Vec::new()
        } else {
            missing.iter().filter(|member| is_silent(ctx, member, open.deadline)).cloned().collect()
        };
        let mut evidence = vec![(Part::Role(open.when.role), open.when.at)];
        evidence.extend(ended_by);
        // A deadline that nobody knows yet would have come after the end.
        let owed = match ended_by {
            Some((Part::Role(_), _)) => Some((*then, at)),
            _ if open.deadline == Timestamp::MAX => Some((*then, at)),
            _ => Some((*then, open.deadline)),
        };
        if quorum.is_some() {
            if !enough(*quorum, answered + silent.len(), expected.len()) {
                evidence.extend(open.answers.iter().take(CITED_MAX).map(|(_, answer)| (Part::Role(*then), *answer)));
                let from = missing.iter().filter_map(|member| key::decode(member)).collect();
                ctx.find_from(Anchor::Event(open.when.at), violated(at, evidence, owed), from);
                return;
            }
            self.sleep(ctx, open, expected);
            return;
        }
        for member in missing.iter().filter(|member| !silent.contains(member)) {
            let anchor = Anchor::Member(open.when.at, key::hash(member));
            let from: Vec<Value> = key::decode(member).into_iter().collect();
            ctx.find_from(anchor, violated(at, evidence.clone(), owed), from);
            if self.overdue.len() == OVERDUE_MAX {
                self.overdue.pop_front();
            }
            self.overdue.push_back((open.when.clone(), member.clone()));
        }
        if !silent.is_empty() {
            self.sleep(ctx, open, silent);
        }
    }

    /// Nothing was heard of some members' nodes since: what they sent cannot be said before they speak again.
    fn sleep(&mut self, ctx: &mut Ctx<'_>, mut open: Obligation, members: Vec<Box<[u8]>>) {
        if open.asleep_until.is_none() {
            ctx.unknown(Unknown::NodeSilent);
        }
        open.members = Some(members);
        open.asleep_until = Some(ctx.world.sources.frontier.max(open.due()).plus(ctx.world.timing.margin));
        self.push(open);
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.pending.front().map(Obligation::due)
    }

    pub(super) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        while self.pending.front().is_some_and(|open| open.due() <= due) {
            let Some(open) = self.pending.pop_front() else { return };
            if !ctx.span_ended(&open.span, open.deadline) {
                let at = open.deadline;
                self.conclude(ctx, open, at, None);
            }
        }
    }

    pub(super) fn open(&self) -> u64 {
        self.pending.len() as u64
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.overdue.is_empty()
    }
}

fn violated(at: Timestamp, evidence: Vec<(Part, EventRef)>, missing: Option<(RoleIdx, Timestamp)>) -> What {
    What::Violated { at, evidence, missing, level: false }
}
