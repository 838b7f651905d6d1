//! `aggregate`: an assertion over what many events come to, in sliding windows (a level), at a closing event, or in windows
//! that do not overlap.
use alloc::vec::Vec;
use core::time::Duration;
use event::{Timestamp, Value};

use super::{
    Anchor, Ctx, Instant, Part, What,
    level::Level,
    term::{Sample, Term},
};
use crate::{
    expr::{AsOf, Env, Undefined, Val},
    key,
    pack::{Aggregate as Definition, AggregateSpan, EmitOn, Kind, RoleIdx, Rule},
    scope::Span,
    touch::Touch,
    verdict::{EventRef, Unknown},
};

/// How many events are cited: the latest of those that count.
const CITED_MAX: usize = 16;

/// How many combinations of values are tried where samples of one instant may stand in several orders.
const ORDERS_MAX: usize = 64;

/// What the terms of one key hold.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Aggregate {
    terms: Vec<Term>,
    span: Option<Span>,
    /// The assertion is false.
    level: Level,
    /// The next tick of `every` that may find something new; the end of a tumbling window in which something has happened.
    tick: Option<Timestamp>,
    /// Something has happened since the last tick.
    stirred: bool,
    /// The last closing event; in a tumbling window the last event of all.
    closed: Option<EventRef>,
}

/// What the assertion came to.
enum Judged {
    Holds(Vec<Option<Value>>),
    Fails(Vec<Option<Value>>),
    Unknown(Unknown),
}

impl Aggregate {
    pub(super) fn new(definition: &Definition) -> Self {
        Aggregate { terms: definition.terms.iter().map(|_| Term::new()).collect(), ..Aggregate::default() }
    }

    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Aggregate(definition) = &ctx.rule.kind else { return };
        let span = ctx.span(now.ts);
        if ctx.begins_anew(now) || (self.span.is_some() && self.span != span) {
            self.recover(ctx, now.ts);
            *self = Aggregate::new(definition);
        }
        self.span = span;
        if self.span.is_none() {
            return;
        }
        match definition.span {
            AggregateSpan::Window(_) => {
                self.advance(definition, now.ts);
                let touched = self.take(ctx, definition, now);
                match definition.every {
                    // Without an event of a term nothing has come or gone.
                    None if touched => self.judge(ctx, definition, now.ts, true, true),
                    None => {}
                    // The first tick that counts what happened at this instant.
                    Some(every) if touched => {
                        self.stirred = true;
                        let tick = tick_from(now.ts, every);
                        self.tick = Some(self.tick.map_or(tick, |known| known.min(tick)));
                    }
                    Some(_) => {}
                }
            }
            AggregateSpan::Close(close) => self.close(ctx, definition, now, close),
            AggregateSpan::Tumbling(length) => {
                self.advance(definition, now.ts);
                if self.take(ctx, definition, now) {
                    self.tick = Some(last_of(now.ts, length));
                    self.closed = now.touches.last().map(|touch| touch.at);
                }
            }
        }
    }

    /// Judges once a tumbling window that is over, all of it at its last instant.
    fn tumble(&mut self, ctx: &mut Ctx<'_>, definition: &Definition, due: Timestamp, length: Duration) {
        let Some(last) = self.closed else { return };
        let anchor = Anchor::Time(first_of(due, length));
        match self.evaluate(ctx, definition, due) {
            Judged::Unknown(why) => ctx.unknown(why),
            Judged::Fails(values) => {
                if let Some(why) = ctx.lacks_since(first_of(due, length), due) {
                    ctx.unknown(why);
                    return;
                }
                let evidence = cite(definition, &self.terms);
                let what = What::Violated { at: last.ts, evidence, missing: None, level: false };
                ctx.find_with(anchor, what, values.clone());
                ctx.make_at(EmitOn::Closed, anchor, last, values, None);
            }
            Judged::Holds(values) => {
                ctx.tally.held += 1;
                ctx.make_at(EmitOn::Held, anchor, last, values.clone(), None);
                ctx.make_at(EmitOn::Closed, anchor, last, values, None);
            }
        }
    }

    /// Moves the windows on to `ts`.
    fn advance(&mut self, definition: &Definition, ts: Timestamp) {
        for (term, state) in definition.terms.iter().zip(&mut self.terms) {
            state.advance(term, definition.window(term), ts);
        }
    }

    /// Takes the instant's events into the terms; returns whether there were any.
    fn take(&mut self, ctx: &mut Ctx<'_>, definition: &Definition, now: &Instant<'_>) -> bool {
        let mut touched = false;
        for (term, state) in definition.terms.iter().zip(&mut self.terms) {
            for touch in now.of(term.of) {
                ctx.exercise(now.ts);
                touched = true;
                match sample(ctx, term, touch) {
                    Some(Some(sample)) => {
                        if !state.take(term, definition.window(term), sample, now.ts) {
                            ctx.unknown(Unknown::Incomparable);
                        }
                    }
                    Some(None) => {}
                    None => ctx.unknown(Unknown::Absent),
                }
            }
        }
        touched
    }

    /// Judges the level as of `ts`: at an event, or because time has passed; `stirred` says that events led to it.
    fn judge(&mut self, ctx: &mut Ctx<'_>, definition: &Definition, ts: Timestamp, by_event: bool, stirred: bool) {
        match self.evaluate(ctx, definition, ts) {
            Judged::Holds(_) => {
                ctx.tally.held += u64::from(by_event);
                self.recover(ctx, ts);
            }
            Judged::Unknown(why) => {
                if by_event {
                    ctx.unknown(why);
                }
                self.recover(ctx, ts);
            }
            Judged::Fails(values) => {
                if !self.level.is_open() {
                    if ctx.world.completing && !stirred {
                        // Only the time that runs on after the last event started it.
                        return;
                    }
                    if let Some(why) = ctx.lacks_since(ts.minus(definition.longest()), ts) {
                        ctx.unknown(why);
                        return;
                    }
                }
                let hold = ctx.rule.hold.map(|hold| hold.lasts).unwrap_or_default();
                if let Some(since) = self.level.fails(ts, hold, by_event) {
                    let (at, evidence) = (since.plus(hold), cite(definition, &self.terms));
                    let what = What::Violated { at, evidence, missing: None, level: true };
                    ctx.find_with(Anchor::Time(since), what, values);
                }
            }
        }
    }

    fn recover(&mut self, ctx: &mut Ctx<'_>, ts: Timestamp) {
        if let Some(since) = self.level.recover() {
            ctx.find(Anchor::Time(since), What::Resolved(ts));
        }
    }

    /// Judges once, when the closing event arrives; what happens at its instant may belong to it or to what follows.
    fn close(&mut self, ctx: &mut Ctx<'_>, definition: &Definition, now: &Instant<'_>, close: RoleIdx) {
        self.advance(definition, now.ts);
        let Some(closer) = now.of(close).last() else {
            self.take(ctx, definition, now);
            return;
        };
        ctx.exercise(now.ts);
        let without = self.evaluate(ctx, definition, now.ts);
        let mut after = Aggregate { closed: Some(closer.at), span: self.span.take(), ..Aggregate::new(definition) };
        // Terms with windows of their own do not end at the close.
        for ((term, own), kept) in definition.terms.iter().zip(&self.terms).zip(&mut after.terms) {
            if definition.window(term).is_some() {
                *kept = own.clone();
            }
        }
        self.take(ctx, definition, now);
        let with = self.evaluate(ctx, definition, now.ts);
        let evidence = {
            let mut evidence = cite(definition, &self.terms);
            evidence.push((Part::Role(close), closer.at));
            evidence
        };
        let told = |ctx: &mut Ctx<'_>, on, values: &[Option<Value>]| {
            ctx.make(on, Anchor::Event(closer.at), now.ts, &[closer], values.to_vec());
        };
        let ties_follow = match (&with, &without, ctx.strict()) {
            (Judged::Holds(values), Judged::Holds(_), _) | (Judged::Holds(values), _, false) => {
                ctx.tally.held += 1;
                told(ctx, EmitOn::Held, values);
                told(ctx, EmitOn::Closed, values);
                false
            }
            (_, Judged::Holds(values), false) => {
                ctx.tally.held += 1;
                told(ctx, EmitOn::Held, values);
                told(ctx, EmitOn::Closed, values);
                true
            }
            (Judged::Fails(values), ..) | (_, Judged::Fails(values), true) => {
                let past = ctx.looks_past(Timestamp::ZERO, now.ts).filter(|_| self.closed.is_none());
                if let Some(why) = past {
                    ctx.unknown(why);
                } else {
                    let what = What::Violated { at: now.ts, evidence, missing: None, level: false };
                    ctx.find_with(Anchor::Event(closer.at), what, values.clone());
                    told(ctx, EmitOn::Closed, values);
                }
                false
            }
            (Judged::Unknown(why), ..) | (_, Judged::Unknown(why), _) => {
                ctx.unknown(*why);
                false
            }
        };
        let windows_taken: Vec<Term> = core::mem::take(&mut self.terms);
        *self = after;
        if ties_follow {
            self.take(ctx, definition, now);
        } else {
            for ((term, taken), kept) in definition.terms.iter().zip(windows_taken).zip(&mut self.terms) {
                if definition.window(term).is_some() {
                    *kept = taken;
                }
            }
        }
    }

    /// Evaluates the assertion over all that the terms may be.
    fn evaluate(&self, ctx: &Ctx<'_>, definition: &Definition, ts: Timestamp) -> Judged {
        let mut choices: Vec<Vec<Option<Value>>> = Vec::with_capacity(self.terms.len());
        for (term, state) in definition.terms.iter().zip(&self.terms) {
            if state.overflowed() {
                return Judged::Unknown(Unknown::TooMany);
            }
            choices.push(state.values(term, definition.window(term), ts));
        }
        let orders = choices.iter().map(Vec::len).product::<usize>().min(ORDERS_MAX);
        let keys: Vec<Option<Value>> = key_parts(ctx);
        let (mut fails, mut holds) = (None, None);
        for order in 0..orders {
            let mut rest = order;
            let mut values: Vec<Option<Value>> = Vec::with_capacity(choices.len());
            for choice in &choices {
                values.push(choice[rest % choice.len()].clone());
                rest /= choice.len();
            }
            let env = Terms { ctx, values: &values, keys: &keys, group: &[], ts };
            match ctx.decided(definition.assert.test(&env), ts) {
                Some(true) if !ctx.strict() => return Judged::Holds(values),
                Some(true) => holds = holds.or(Some(values)),
                Some(false) => fails = fails.or(Some(values)),
                None => {}
            }
        }
        match (fails, holds) {
            (Some(values), _) => Judged::Fails(values),
            (None, Some(values)) => Judged::Holds(values),
            (None, None) => Judged::Unknown(Unknown::Absent),
        }
    }

    pub(super) fn next_due(&self, rule: &Rule) -> Option<Timestamp> {
        let Kind::Aggregate(definition) = &rule.kind else { return None };
        if matches!(definition.span, AggregateSpan::Close(_)) {
            return None;
        }
        let hold = rule.hold.map(|hold| hold.lasts).unwrap_or_default();
        let lasts = self.level.lasts(hold);
        let next = match definition.every {
            Some(_) => self.tick,
            None if matches!(definition.span, AggregateSpan::Tumbling(_)) => self.tick,
            None => definition
                .terms
                .iter()
                .zip(&self.terms)
                .filter_map(|(term, state)| state.next_change(term, definition.window(term)))
                .min(),
        };
        next.into_iter().chain(lasts).min()
    }

    pub(super) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        let Kind::Aggregate(definition) = &ctx.rule.kind else { return };
        let ends = self.span.as_ref().is_some_and(|span| ctx.span_ended(span, due));
        if ends {
            self.recover(ctx, due);
            *self = Aggregate::new(definition);
            return;
        }
        self.advance(definition, due);
        if let AggregateSpan::Tumbling(length) = definition.span {
            self.tumble(ctx, definition, due, length);
            *self = Aggregate { span: self.span.take(), ..Aggregate::new(definition) };
            return;
        }
        let mut stirred = false;
        if let Some(every) = definition.every {
            if self.tick.is_some_and(|tick| tick <= due) {
                // Once nothing is left in any window, nothing changes any more.
                let alive = self.terms.iter().any(|term| !term.is_empty());
                self.tick = alive.then(|| due.plus(every));
                stirred = core::mem::take(&mut self.stirred);
            } else {
                // Only `for` has fallen due.
                self.lasting(ctx, definition, due);
                return;
            }
        }
        self.judge(ctx, definition, due, false, stirred);
    }

    /// Says what has been bad long enough, between two ticks.
    fn lasting(&mut self, ctx: &mut Ctx<'_>, definition: &Definition, due: Timestamp) {
        let hold = ctx.rule.hold.map(|hold| hold.lasts).unwrap_or_default();
        match self.evaluate(ctx, definition, due) {
            Judged::Fails(values) => {
                if let Some(since) = self.level.fails(due, hold, false) {
                    let (at, evidence) = (since.plus(hold), cite(definition, &self.terms));
                    let what = What::Violated { at, evidence, missing: None, level: true };
                    ctx.find_with(Anchor::Time(since), what, values);
                }
            }
            // What holds by now is said at the next tick; until then it has not lasted.
            Judged::Holds(_) | Judged::Unknown(_) => drop(self.level.recover()),
        }
    }

    pub(super) fn open(&self, rule: &Rule) -> u64 {
        let tumbles =
            matches!(&rule.kind, Kind::Aggregate(definition) if matches!(definition.span, AggregateSpan::Tumbling(_)));
        u64::from(self.level.is_open() || (tumbles && self.tick.is_some()))
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.level.is_open()
            && self.closed.is_none()
            && self.terms.iter().all(|term| term.is_empty() && term.is_fresh())
    }
}

/// The latest events that count.
pub(super) fn cite(definition: &Definition, terms: &[Term]) -> Vec<(Part, EventRef)> {
    let mut cited: Vec<(Part, EventRef)> = Vec::new();
    for (term, state) in definition.terms.iter().zip(terms) {
        for at in state.latest(CITED_MAX) {
            if !cited.contains(&(Part::Role(term.of), at)) {
                cited.push((Part::Role(term.of), at));
            }
        }
    }
    cited.sort_by_key(|(_, at)| *at);
    cited.drain(..cited.len().saturating_sub(CITED_MAX));
    cited
}

/// The first tick at or after `ts`.
pub(super) fn tick_from(ts: Timestamp, every: Duration) -> Timestamp {
    let every = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX).max(1);
    Timestamp(ts.0.div_ceil(every).saturating_mul(every))
}

/// The first instant of the tumbling window that `ts` lies in.
pub(super) fn first_of(ts: Timestamp, length: Duration) -> Timestamp {
    let length = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX).max(1);
    Timestamp(ts.0 - ts.0 % length)
}

/// The last instant of the tumbling window that `ts` lies in.
pub(super) fn last_of(ts: Timestamp, length: Duration) -> Timestamp {
    Timestamp(first_of(ts, length).plus(length).0.saturating_sub(1))
}

/// What a term takes of an event: `None` where its value is absent, `Some(None)` where the event does not count.
pub(super) fn sample(ctx: &Ctx<'_>, term: &crate::pack::Term, touch: &Touch) -> Option<Option<Sample>> {
    let value = match &term.value {
        None => Value::Bool(true),
        Some(value) => ctx.value_of(value, touch)?,
    };
    let counts = !(term.counts() && value == Value::Bool(false));
    Some(counts.then_some(Sample { at: touch.at, value }))
}

pub(super) fn key_parts(ctx: &Ctx<'_>) -> Vec<Option<Value>> {
    key::parts(ctx.key).skip(usize::from(!ctx.rule.across_networks)).map(key::decode).collect()
}

/// What the assertion reads: the terms, then the key's parts.
pub(super) struct Terms<'a> {
    pub(super) ctx: &'a Ctx<'a>,
    pub(super) values: &'a [Option<Value>],
    pub(super) keys: &'a [Option<Value>],
    /// What all members come to together.
    pub(super) group: &'a [Option<Value>],
    pub(super) ts: Timestamp,
}

impl Env for Terms<'_> {
    fn slot(&self, slot: u16) -> Option<Val<'_>> {
        let slot = slot as usize;
        let value = self.values.iter().chain(self.keys).chain(self.group).nth(slot)?;
        value.as_ref().map(Val::from)
    }

    fn role(&self, _: RoleIdx, _: u16) -> Option<Val<'_>> {
        None
    }

    fn fact(&self, fact: u16, key: &[Val<'_>], as_of: AsOf) -> Result<Val<'_>, Undefined> {
        self.ctx.fact(fact, key, as_of, self.ts)
    }

    fn live(&self, component: &str) -> Option<Val<'_>> {
        self.ctx.reader(self.ts).live(component)
    }
}
