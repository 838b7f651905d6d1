//! `response` with `from`: each `when` is answered by every expected member, or by enough of them, within a time or before a
//! marker.
//!
//! Who is expected is a list that an expression yields (rows of a fact, live nodes); whose answer a `then` is, another
//! says. What a member did not send is unknown while its node is silent, like every absence.
mod obligation;

use alloc::{
    boxed::Box,
    collections::{BTreeMap, VecDeque},
    vec,
    vec::Vec,
};
use core::time::Duration;
use event::{Timestamp, Value};

use super::{
    Anchor, Ctx, Instant, Late, Part, What, encode, is_silent,
    owed::{self, answers},
    pairing::Pairing,
    ticking,
};
use crate::{
    key,
    pack::{EmitOn, Kind, Limit, OnRestart, Quorum, RoleIdx, Ticks},
    scope::Span,
    touch::{Seen, Touch, same_event},
    verdict::{EventRef, Unknown},
};
use obligation::{Obligation, enough, members};

/// How many members that owe an answer are remembered per key, to say by how much it was late.
const OVERDUE_MAX: usize = 64;

/// How many answers are cited where there were too few.
const CITED_MAX: usize = 8;

/// How many answers are kept for questions that `slack` lets come after them.
const EARLY_MAX: usize = 1_024;

/// The obligations of one key, by deadline.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Expected {
    pending: VecDeque<Obligation>,
    overdue: VecDeque<(Seen, Box<[u8]>)>,
    /// Answers of the last `slack` with whose they are, which a question may still come for.
    early: VecDeque<(Seen, Box<[u8]>)>,
}

/// An answer of a member.
struct Given {
    member: Box<[u8]>,
    /// The member's number among those who answer at that time.
    giver: usize,
    /// In all the alternatives of its role that it matches.
    answer: Vec<Seen>,
}

impl Expected {
    /// What one time brings is taken in the order that suits the rule: excuses, answers, forgiving restarts, then what
    /// breaks, what marks an end, and the restart that leaves things undone.
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Expected { when, then, limit, pair, member, quorum, unless, broken_by, grace, .. } = &ctx.rule.kind
        else {
            return;
        };
        for touch in now.of(*when) {
            if let Some(span) = ctx.span(now.ts) {
                ctx.exercise(now.ts);
                self.ask(ctx, touch.seen(), span);
            }
        }
        for touch in now.of_some(*unless) {
            let excuse = touch.seen();
            self.pending.retain(|open| open.asleep_until.is_some() || !owed::excuses(ctx, &open.when, &excuse));
        }
        let whose = |then: Seen| {
            let env = Late { ctx, role: then.role, slots: &then.slots, ts: then.at.ts, others: &[] };
            let member = ctx.eval(member, &env).map(|value| encode(&value))?;
            Some((then, member))
        };
        let thens: Vec<(Seen, Box<[u8]>)> = now.of(*then).map(Touch::seen).filter_map(whose).collect();
        if *pair {
            self.pair(ctx, thens, *quorum);
        } else {
            thens.into_iter().for_each(|(then, member)| self.answer(ctx, then, member, *quorum));
        }
        let forgiving = matches!(ctx.rule.on_restart, OnRestart::Ended | OnRestart::Reset);
        if forgiving && now.restart.is_some() {
            // What a start event itself asks for, the new process owes.
            self.pending.retain(|open| open.asleep_until.is_some() || now.is_start(&open.when.at));
        }
        for touch in now.of_some(*broken_by) {
            self.break_all(ctx, &touch.seen(), *grace);
        }
        match limit {
            Limit::By(marker) => now.of(*marker).for_each(|touch| self.end_all(ctx, &touch.seen())),
            Limit::Ticks(ticks) => self.tick(ctx, ticks, now.ts),
            Limit::Within(_) | Limit::Computed(_) => {}
        }
        if let Some(restart) = now.restart.filter(|_| ctx.rule.on_restart == OnRestart::Broken) {
            self.restart(ctx, restart);
        }
    }

    /// Opens an obligation, unless nobody owes anything.
    fn ask(&mut self, ctx: &mut Ctx<'_>, when: Seen, span: Span) {
        let Kind::Expected { limit, pair, quorum, at_deadline, .. } = &ctx.rule.kind else { return };
        let expected = if *at_deadline { Some(None) } else { members(ctx, &when, when.at.ts).map(Some) };
        let (Some(members), Some((deadline, ticking))) = (expected, owed::until(ctx, limit, &when)) else {
            ctx.unknown(Unknown::Absent);
            return;
        };
        let mut open = Obligation {
            when,
            span,
            deadline,
            broken: None,
            ticking,
            members,
            answers: Vec::new(),
            asleep_until: None,
        };
        self.take_early(ctx, &mut open, *pair, *quorum);
        if open.is_met(*quorum) {
            ctx.tally.held += 1;
        } else {
            self.push(open);
        }
    }

    /// Takes the answers of the last `slack`.
    fn take_early(&mut self, ctx: &mut Ctx<'_>, open: &mut Obligation, pair: bool, quorum: Option<Quorum>) {
        let oldest = open.when.at.ts.minus(ctx.rule.slack);
        let passed = self.early.iter().take_while(|(then, _)| then.at.ts < oldest).count();
        self.early.drain(..passed);
        let mut kept = VecDeque::new();
        for (then, member) in core::mem::take(&mut self.early) {
            let takes = !open.is_met(quorum) && open.lacks(&member) && owed::answers_early(ctx, &open.when, &then);
            if takes {
                open.note(ctx, quorum, &member, &then);
            }
            if !(takes && pair) {
                kept.push_back((then, member));
            }
        }
        self.early = kept;
    }

    /// Keeps an answer for questions that `slack` lets come after it.
    fn keep_early(&mut self, ctx: &Ctx<'_>, then: Seen, member: Box<[u8]>) {
        if ctx.rule.slack.is_zero() {
            return;
        }
        if self.early.len() == EARLY_MAX {
            self.early.pop_front();
        }
        self.early.push_back((then, member));
    }

    /// Keeps the obligations in order of deadline.
    fn push(&mut self, open: Obligation) {
        let mut place = self.pending.len();
        while place > 0 && self.pending[place - 1].due() > open.due() {
            place -= 1;
        }
        self.pending.insert(place, open);
    }

    /// Takes an answer that may answer many.
    fn answer(&mut self, ctx: &mut Ctx<'_>, then: Seen, member: Box<[u8]>, quorum: Option<Quorum>) {
        for open in &mut self.pending {
            if open.answered_by(ctx, &then) {
                open.note(ctx, quorum, &member, &then);
            }
        }
        self.let_go_of_met(ctx, quorum);
        let (late, overdue) =
            self.overdue.drain(..).partition(|(when, owing): &(Seen, _)| *owing == member && answers(ctx, when, &then));
        self.overdue = overdue;
        let late: VecDeque<(Seen, Box<[u8]>)> = late;
        for (when, member) in late {
            ctx.find(Anchor::Member(when.at, key::hash(&member)), What::Late(then.role, then.at));
        }
        self.keep_early(ctx, then, member);
    }

    fn let_go_of_met(&mut self, ctx: &mut Ctx<'_>, quorum: Option<Quorum>) {
        let before = self.pending.len();
        self.pending.retain(|open| !open.is_met(quorum));
        ctx.tally.held += (before - self.pending.len()) as u64;
    }

    /// Gives each answer of one time to one obligation: the one with the earliest deadline gets as many as it needs and can
    /// have, the next one as many as it can have beside it, and so on.
    fn pair(&mut self, ctx: &mut Ctx<'_>, thens: Vec<(Seen, Box<[u8]>)>, quorum: Option<Quorum>) {
        // An event that several alternatives match answers once.
        let mut given: BTreeMap<Box<[u8]>, Vec<Vec<Seen>>> = BTreeMap::new();
        for (then, member) in thens {
            let of_member = given.entry(member).or_default();
            match of_member.last_mut().filter(|last| {
                last.iter().any(|known| same_event(&known.at, &then.at) && known.at.element == then.at.element)
            }) {
                Some(same) => same.push(then),
                None => of_member.push(vec![then]),
            }
        }
        let given: Vec<Given> = (given.into_iter().zip(0..))
            .flat_map(|((member, answers), giver)| {
                answers.into_iter().map(move |answer| Given { member: member.clone(), giver, answer })
            })
            .collect();
        let mut pairing = Pairing::of(given.iter().map(|of| of.giver).collect());
        let serving = |place: usize, number: usize| {
            let (Given { member, answer, .. }, open) = (&given[number], &self.pending[place]);
            answer.iter().find(|then| open.lacks(member) && open.answered_by(ctx, then))
        };
        let fits = |place: usize, number: usize| serving(place, number).is_some();
        for place in 0..self.pending.len() {
            if pairing.is_spent() {
                break;
            }
            let needed = self.pending[place].needs(quorum);
            (0..needed).take_while(|_| pairing.assign(place, &fits)).for_each(drop);
        }
        let mut served: Vec<(usize, &[u8], Seen)> = Vec::new();
        let mut left: Vec<(Seen, Box<[u8]>)> = Vec::new();
        for (number, owner) in pairing.owners().iter().enumerate() {
            let Given { member, answer, .. } = &given[number];
            match owner.and_then(|place| Some((place, serving(place, number)?))) {
                Some((place, then)) => served.push((place, member, then.clone())),
                None => left.extend(answer.first().map(|then| (then.clone(), member.clone()))),
            }
        }
        for (place, member, then) in served {
            self.pending[place].note(ctx, quorum, member, &then);
        }
        self.let_go_of_met(ctx, quorum);
        for (then, member) in left {
            let late = |(when, owing): &(Seen, Box<[u8]>)| *owing == member && answers(ctx, when, &then);
            if let Some((when, member)) =
                self.overdue.iter().position(late).and_then(|place| self.overdue.remove(place))
            {
                ctx.find(Anchor::Member(when.at, key::hash(&member)), What::Late(then.role, then.at));
            } else {
                self.keep_early(ctx, then, member);
            }
        }
    }

    /// Looks which deadlines their clock has passed by now.
    fn tick(&mut self, ctx: &Ctx<'_>, ticks: &Ticks, now: Timestamp) {
        let mut passed = false;
        for open in &mut self.pending {
            passed |= ticking::settle(&mut open.deadline, &mut open.ticking, ctx, ticks, now);
        }
        if passed {
            core::mem::take(&mut self.pending).into_iter().for_each(|open| self.push(open));
        }
    }

    /// Breaks what was open strictly before: at once, or when the grace is over.
    fn break_all(&mut self, ctx: &mut Ctx<'_>, breaker: &Seen, grace: Duration) {
        if grace.is_zero() {
            self.end_all(ctx, breaker);
            return;
        }
        for mut open in core::mem::take(&mut self.pending) {
            if open.is_ended_by(ctx, breaker) && !ctx.span_ended(&open.span, breaker.at.ts) {
                open.broken = Some(Box::new((breaker.role, breaker.at)));
                open.deadline = breaker.at.ts.plus(grace);
                open.ticking = None;
            }
            self.push(open);
        }
    }

    /// Breaks what the dead process owed.
    fn restart(&mut self, ctx: &mut Ctx<'_>, restart: EventRef) {
        let (owed, open): (VecDeque<Obligation>, VecDeque<Obligation>) =
            self.pending.drain(..).partition(|open| open.asleep_until.is_none() && open.when.at.ts < restart.ts);
        self.pending = open;
        for open in owed {
            if open.broken.is_some() {
                self.conclude_broken(ctx, open);
            } else if !ctx.span_ended(&open.span, open.deadline.min(restart.ts)) {
                self.conclude(ctx, open, restart.ts, Some((Part::Restart, restart)));
            }
        }
    }

    /// Judges what was open strictly before what breaks it or marks its end.
    fn end_all(&mut self, ctx: &mut Ctx<'_>, ender: &Seen) {
        let at = ender.at.ts;
        let (ended, open): (VecDeque<Obligation>, VecDeque<Obligation>) =
            self.pending.drain(..).partition(|open| open.is_ended_by(ctx, ender));
        self.pending = open;
        for open in ended {
            if !ctx.span_ended(&open.span, at) {
                self.conclude(ctx, open, at, Some((Part::Role(ender.role), ender.at)));
            }
        }
    }

    /// Judges an obligation whose grace is over, or will never be.
    fn conclude_broken(&mut self, ctx: &mut Ctx<'_>, open: Obligation) {
        if let Some((role, breaker)) = open.broken.as_deref().copied() {
            self.conclude(ctx, open, breaker.ts, Some((Part::Role(role), breaker)));
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
                let from = open.when.at.ts;
                let of_node = || ctx.gap_of(ctx.network(), key::text(member)?, from, at);
                let gap = ctx.lost(from, at).or_else(of_node)?;
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
            if open.broken.is_some() {
                self.conclude_broken(ctx, open);
            } else if ctx.span_ended(&open.span, open.deadline.min(open.due())) {
                // What is owed inside a span is owed no more when that is over.
            } else if open.ticking.is_some() {
                ctx.unknown(Unknown::ClockStalled);
            } else {
                let at = open.deadline;
                self.conclude(ctx, open, at, None);
            }
        }
    }

    pub(super) fn open(&self) -> u64 {
        self.pending.len() as u64
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.overdue.is_empty() && self.early.is_empty()
    }
}

fn violated(at: Timestamp, evidence: Vec<(Part, EventRef)>, missing: Option<(RoleIdx, Timestamp)>) -> What {
    What::Violated { at, evidence, missing, level: false }
}
