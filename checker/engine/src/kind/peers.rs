//! `aggregate` with `each`: the terms are measured for every member of a group, zero-filled, and the assertion is judged
//! for every member beside what all of them come to together.
use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};
use core::time::Duration;
use event::{Timestamp, Value};

use super::{
    Anchor, Ctx, Instant, Part, What,
    aggregate::{Terms, cite, first_of, key_parts, last_of, sample, tick_from},
    encode,
    level::Level,
    statistic,
    term::Term,
};
use crate::{
    expr::Val,
    key,
    pack::{Aggregate as Definition, AggregateSpan, Each, EmitOn, Kind, RoleIdx, Rule, Statistic},
    scope::Span,
    verdict::{EventRef, Unknown},
};

/// How many members one group may have, and how many others may have been heard of; beyond, nothing is said of it.
const PEERS_MAX: usize = 4_096;

/// What the members of one group hold.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Peers {
    /// Whoever something is known of, by name as a key's part is written.
    peers: BTreeMap<Box<[u8]>, Peer>,
    span: Option<Span>,
    /// The next tick of `every` that may find something new; the end of a tumbling window in which something has happened.
    tick: Option<Timestamp>,
    /// Something has happened since the last tick.
    stirred: bool,
    /// The last closing event; in a tumbling window the last event of all.
    closed: Option<EventRef>,
}

/// What all members of a group come to at one time.
struct Measured {
    members: Vec<Box<[u8]>>,
    /// By member, what each term comes to.
    figures: Vec<Vec<Option<Value>>>,
    group: Vec<Option<Value>>,
}

impl Measured {
    /// What a member is called, and whether the assertion holds of it.
    fn judge(
        &self,
        ctx: &Ctx<'_>,
        definition: &Definition,
        place: usize,
        ts: Timestamp,
    ) -> (Option<Value>, Option<bool>) {
        let name = key::decode(&self.members[place]);
        let mut keys = key_parts(ctx);
        keys.push(name.clone());
        let env = Terms { ctx, values: &self.figures[place], keys: &keys, group: &self.group, ts };
        (name, ctx.decided(definition.assert.test(&env), ts))
    }

    /// What is told of a member: its own figures, then those of all.
    fn values(&self, place: usize) -> Vec<Option<Value>> {
        self.figures[place].iter().chain(&self.group).cloned().collect()
    }
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Peer {
    terms: Vec<Term>,
    level: Level,
}

impl Peer {
    fn new(definition: &Definition) -> Self {
        Peer { terms: definition.terms.iter().map(|_| Term::new()).collect(), level: Level::default() }
    }

    fn is_idle(&self) -> bool {
        !self.level.is_open() && self.terms.iter().all(|term| term.is_empty() && term.is_fresh())
    }
}

/// Names what is wrong with a member since then.
fn anchor(member: &[u8], since: Timestamp) -> Anchor {
    Anchor::Peer(since, xxhash_rust::xxh3::xxh3_64(member))
}

fn hold(rule: &Rule) -> Duration {
    rule.hold.map(|hold| hold.lasts).unwrap_or_default()
}

impl Peers {
    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::Aggregate(definition) = &ctx.rule.kind else { return };
        let Some(each) = &definition.each else { return };
        let span = ctx.span(now.ts);
        if ctx.begins_anew(now) || (self.span.is_some() && self.span != span) {
            self.end(ctx, now.ts);
        }
        self.span = span;
        if self.span.is_none() {
            return;
        }
        self.advance(definition, now.ts);
        if let AggregateSpan::Close(close) = definition.span {
            self.close(ctx, definition, each, now, close);
            return;
        }
        let touched = self.take(ctx, definition, each, now);
        if let AggregateSpan::Tumbling(length) = definition.span {
            if touched {
                self.tick = Some(last_of(now.ts, length));
                self.closed = now.touches.last().map(|touch| touch.at);
            }
            return;
        }
        match definition.every {
            None => self.judge(ctx, definition, each, now.ts, touched, touched),
            // The first tick that counts what happened at this instant.
            Some(every) if touched => {
                self.stirred = true;
                let tick = tick_from(now.ts, every);
                self.tick = Some(self.tick.map_or(tick, |known| known.min(tick)));
            }
            Some(_) => {}
        }
    }

    fn advance(&mut self, definition: &Definition, ts: Timestamp) {
        for peer in self.peers.values_mut() {
            for (term, state) in definition.terms.iter().zip(&mut peer.terms) {
                state.advance(term, definition.window(term), ts);
            }
        }
    }

    /// Takes the instant's events to the members they are of; returns whether there were any.
    fn take(&mut self, ctx: &mut Ctx<'_>, definition: &Definition, each: &Each, now: &Instant<'_>) -> bool {
        let mut touched = false;
        for (place, term) in definition.terms.iter().enumerate() {
            for touch in now.of(term.of) {
                ctx.exercise(now.ts);
                touched = true;
                let whose = each.whose.get(place).and_then(|whose| ctx.value_of(whose, touch));
                let (Some(member), Some(sample)) = (whose, sample(ctx, term, touch)) else {
                    ctx.unknown(Unknown::Absent);
                    continue;
                };
                let member = encode(&Val::from(&member));
                if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&member) {
                    ctx.unknown(Unknown::TooMany);
                    continue;
                }
                let peer = self.peers.entry(member).or_insert_with(|| Peer::new(definition));
                if let (Some(state), Some(sample)) = (peer.terms.get_mut(place), sample)
                    && !state.take(term, definition.window(term), sample, now.ts)
                {
                    ctx.unknown(Unknown::Incomparable);
                }
            }
        }
        touched
    }

    /// Judges every member as of `ts`: at an event, or because time or the group has moved on.
    fn judge(
        &mut self,
        ctx: &mut Ctx<'_>,
        definition: &Definition,
        each: &Each,
        ts: Timestamp,
        by_event: bool,
        stirred: bool,
    ) {
        let Some(measured) = self.measure(ctx, definition, each, ts) else {
            if by_event {
                ctx.unknown(Unknown::Absent);
            }
            self.recover_all(ctx, ts);
            return;
        };
        let members = &measured.members;
        let overflowed = self.overflowed();
        let lacks = ctx.lacks_since(ts.minus(definition.longest()), ts);
        let mut found: Vec<(Anchor, What, Vec<Option<Value>>, Value)> = Vec::new();
        for (place, member) in members.iter().enumerate() {
            let (name, verdict) = measured.judge(ctx, definition, place, ts);
            let known = self.peers.get(member).map(|peer| peer.level).unwrap_or_default();
            let fails = match verdict {
                Some(holds) if !overflowed => !holds,
                _ => {
                    if by_event {
                        ctx.unknown(if overflowed { Unknown::TooMany } else { Unknown::Absent });
                    }
                    self.recover(ctx, member, ts);
                    continue;
                }
            };
            if !fails {
                ctx.tally.held += u64::from(by_event);
                self.recover(ctx, member, ts);
                continue;
            }
            if !known.is_open() && ctx.world.completing && !stirred {
                // Only the time that runs on after the last event started it.
                continue;
            }
            if let Some(why) = lacks.filter(|_| !known.is_open()) {
                ctx.unknown(why);
                continue;
            }
            let peer = self.peers.entry(member.clone()).or_insert_with(|| Peer::new(definition));
            if let (Some(since), Some(name)) = (peer.level.fails(ts, hold(ctx.rule), by_event), name) {
                let (at, evidence) = (since.plus(hold(ctx.rule)), cite(definition, &peer.terms));
                let what = What::Violated { at, evidence, missing: None, level: true };
                found.push((anchor(member, since), what, measured.values(place), name));
            }
        }
        for (anchor, what, values, member) in found {
            ctx.find_of(anchor, what, values, member);
        }
        self.part(ctx, members, ts);
    }

    /// What all members come to; none when it cannot be said who they are, or they are too many.
    fn measure(&self, ctx: &Ctx<'_>, definition: &Definition, each: &Each, ts: Timestamp) -> Option<Measured> {
        let (keys, nothing) = (key_parts(ctx), definition.terms.iter().map(|_| None).collect::<Vec<_>>());
        let members =
            super::members(ctx, &each.members, &Terms { ctx, values: &nothing, keys: &keys, group: &[], ts }, ts)?;
        if members.len() > PEERS_MAX {
            return None;
        }
        let zero = Peer::new(definition);
        let figures: Vec<Vec<Option<Value>>> =
            members.iter().map(|member| self.figures(definition, member, &zero, ts)).collect();
        let group = (0..definition.terms.len())
            .flat_map(|place| {
                let of_all: Vec<&Value> = figures.iter().filter_map(|values| values[place].as_ref()).collect();
                Statistic::ALL.map(|statistic| statistic::of(statistic, &of_all, members.len()))
            })
            .collect();
        Some(Measured { members, figures, group })
    }

    fn overflowed(&self) -> bool {
        self.peers.values().any(|peer| peer.terms.iter().any(Term::overflowed))
    }

    /// Judges every member once, when the closing event arrives. What happens at its instant belongs to it, or all of it to
    /// what follows if nothing is wrong then.
    fn close(&mut self, ctx: &mut Ctx<'_>, definition: &Definition, each: &Each, now: &Instant<'_>, close: RoleIdx) {
        let Some(closer) = now.of(close).last() else {
            self.take(ctx, definition, each, now);
            return;
        };
        ctx.exercise(now.ts);
        let before = self.clone();
        self.take(ctx, definition, each, now);
        let both = before.measure(ctx, definition, each, now.ts).zip(self.measure(ctx, definition, each, now.ts));
        let mut ties_follow = false;
        if let Some((without, with)) = both {
            let judge = |of: &Measured, place| of.judge(ctx, definition, place, now.ts);
            let places = 0..with.members.len();
            let outcomes: Vec<_> = places.map(|place| (judge(&without, place), judge(&with, place))).collect();
            ties_follow = !ctx.strict()
                && outcomes.iter().any(|(_, (_, with))| *with == Some(false))
                && outcomes.iter().all(|((_, without), _)| *without == Some(true));
            let overflowed = self.overflowed();
            for (place, ((_, first), (name, last))) in outcomes.into_iter().enumerate() {
                // Against the rule, either will do.
                let earlier = ties_follow || (ctx.strict() && first == Some(false) && last != Some(false));
                let (values, verdict) =
                    if earlier { (without.values(place), first) } else { (with.values(place), last) };
                let anchor = Anchor::Member(closer.at, xxhash_rust::xxh3::xxh3_64(&with.members[place]));
                match verdict.filter(|_| !overflowed) {
                    None => {
                        ctx.unknown(if overflowed { Unknown::TooMany } else { Unknown::Absent });
                        continue;
                    }
                    Some(true) => {
                        ctx.tally.held += 1;
                        ctx.make_of(EmitOn::Held, anchor, now.ts, &[closer], values.clone(), name.clone());
                    }
                    Some(false) => {
                        let past = ctx.looks_past(Timestamp::ZERO, now.ts).filter(|_| self.closed.is_none());
                        if let Some(why) = past {
                            ctx.unknown(why);
                            continue;
                        }
                        let of = if earlier { &before } else { &*self };
                        let mut evidence =
                            of.peers.get(&with.members[place]).map_or(Vec::new(), |peer| cite(definition, &peer.terms));
                        evidence.push((Part::Role(close), closer.at));
                        let what = What::Violated { at: now.ts, evidence, missing: None, level: false };
                        if let Some(name) = name.clone() {
                            ctx.find_of(anchor, what, values.clone(), name);
                        }
                    }
                }
                ctx.make_of(EmitOn::Closed, anchor, now.ts, &[closer], values, name);
            }
        } else {
            ctx.unknown(Unknown::Absent);
        }
        if ties_follow {
            *self = before;
        }
        self.begin(definition);
        if ties_follow {
            self.take(ctx, definition, each, now);
        }
        self.closed = Some(closer.at);
    }

    /// Judges every member once when a tumbling window is over, all of it at its last instant.
    fn tumble(&mut self, ctx: &mut Ctx<'_>, definition: &Definition, each: &Each, due: Timestamp, length: Duration) {
        let Some(last) = self.closed else { return };
        let Some(measured) = self.measure(ctx, definition, each, due) else {
            ctx.unknown(Unknown::Absent);
            return;
        };
        let begun = first_of(due, length);
        let (overflowed, lacks) = (self.overflowed(), ctx.lacks_since(begun, due));
        for (place, member) in measured.members.iter().enumerate() {
            let (name, verdict) = measured.judge(ctx, definition, place, due);
            let (anchor, values) = (anchor(member, begun), measured.values(place));
            match verdict.filter(|_| !overflowed) {
                None => {
                    ctx.unknown(if overflowed { Unknown::TooMany } else { Unknown::Absent });
                    continue;
                }
                Some(false) => {
                    if let Some(why) = lacks {
                        ctx.unknown(why);
                        continue;
                    }
                    let evidence = self.peers.get(member).map_or(Vec::new(), |peer| cite(definition, &peer.terms));
                    let what = What::Violated { at: last.ts, evidence, missing: None, level: false };
                    if let Some(name) = name.clone() {
                        ctx.find_of(anchor, what, values.clone(), name);
                    }
                }
                Some(true) => {
                    ctx.tally.held += 1;
                    ctx.make_at(EmitOn::Held, anchor, last, values.clone(), name.clone());
                }
            }
            ctx.make_at(EmitOn::Closed, anchor, last, values, name);
        }
    }

    /// Begins to measure anew; terms with windows of their own do not end at a close.
    fn begin(&mut self, definition: &Definition) {
        for peer in self.peers.values_mut() {
            for (term, state) in definition.terms.iter().zip(&mut peer.terms) {
                if definition.window(term).is_none() {
                    *state = Term::new();
                }
            }
        }
        self.peers.retain(|_, peer| !peer.is_idle());
    }

    /// Ends what is wrong with those who are no members any more, and lets go of whom nothing is known of.
    fn part(&mut self, ctx: &mut Ctx<'_>, members: &[Box<[u8]>], ts: Timestamp) {
        let strangers: Vec<Box<[u8]>> = self
            .peers
            .iter()
            .filter(|(name, peer)| peer.level.is_open() && members.binary_search(name).is_err())
            .map(|(name, _)| name.clone())
            .collect();
        for stranger in strangers {
            self.recover(ctx, &stranger, ts);
        }
        self.peers.retain(|_, peer| !peer.is_idle());
    }

    fn figures(&self, definition: &Definition, member: &[u8], zero: &Peer, ts: Timestamp) -> Vec<Option<Value>> {
        let terms = &self.peers.get(member).unwrap_or(zero).terms;
        let figure = |(term, state): (&crate::pack::Term, &Term)| {
            state.values(term, definition.window(term), ts).into_iter().next().flatten()
        };
        definition.terms.iter().zip(terms).map(figure).collect()
    }

    fn recover(&mut self, ctx: &mut Ctx<'_>, member: &[u8], ts: Timestamp) {
        let onset = self.peers.get_mut(member).and_then(|peer| peer.level.recover());
        if let Some(since) = onset {
            ctx.find(anchor(member, since), What::Resolved(ts));
        }
    }

    fn recover_all(&mut self, ctx: &mut Ctx<'_>, ts: Timestamp) {
        for (member, peer) in &mut self.peers {
            if let Some(since) = peer.level.recover() {
                ctx.find(anchor(member, since), What::Resolved(ts));
            }
        }
    }

    fn end(&mut self, ctx: &mut Ctx<'_>, ts: Timestamp) {
        self.recover_all(ctx, ts);
        *self = Peers::default();
    }

    pub(super) fn next_due(&self, rule: &Rule) -> Option<Timestamp> {
        let Kind::Aggregate(definition) = &rule.kind else { return None };
        if matches!(definition.span, AggregateSpan::Close(_)) {
            return None;
        }
        let hold = hold(rule);
        let lasts = self.peers.values().filter_map(|peer| peer.level.lasts(hold)).min();
        let change = |peer: &Peer| {
            let terms = definition.terms.iter().zip(&peer.terms);
            terms.filter_map(|(term, state)| state.next_change(term, definition.window(term))).min()
        };
        let next = match definition.every {
            Some(_) => self.tick,
            None if matches!(definition.span, AggregateSpan::Tumbling(_)) => self.tick,
            None => self.peers.values().filter_map(change).min(),
        };
        next.into_iter().chain(lasts).min()
    }

    pub(super) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        let Kind::Aggregate(definition) = &ctx.rule.kind else { return };
        let Some(each) = &definition.each else { return };
        if self.span.as_ref().is_some_and(|span| ctx.span_ended(span, due)) {
            self.end(ctx, due);
            return;
        }
        self.advance(definition, due);
        if let AggregateSpan::Tumbling(length) = definition.span {
            self.tumble(ctx, definition, each, due, length);
            *self = Peers { span: self.span.take(), ..Peers::default() };
            return;
        }
        let mut stirred = false;
        if let Some(every) = definition.every
            && self.tick.is_some_and(|tick| tick <= due)
        {
            // Once nothing is left in any window, nothing changes any more.
            let alive = self.peers.values().any(|peer| peer.terms.iter().any(|term| !term.is_empty()));
            self.tick = alive.then(|| due.plus(every));
            stirred = core::mem::take(&mut self.stirred);
        }
        self.judge(ctx, definition, each, due, false, stirred);
    }

    pub(super) fn open(&self, rule: &Rule) -> u64 {
        let tumbles =
            matches!(&rule.kind, Kind::Aggregate(definition) if matches!(definition.span, AggregateSpan::Tumbling(_)));
        if tumbles {
            return u64::from(self.tick.is_some());
        }
        self.peers.values().filter(|peer| peer.level.is_open()).count() as u64
    }

    pub(super) fn is_idle(&self) -> bool {
        self.peers.is_empty() && self.closed.is_none()
    }
}
