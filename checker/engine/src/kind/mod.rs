//! The kinds of rule, each an automaton that one instance runs in order of time.
//!
//! An automaton is fed whole instants: all touches of one timestamp at once, because events of one timestamp have no
//! inner order and the order most favourable to the rule is taken. Between instants it may fall due. It never learns in
//! which order events arrived, so its findings are a function of the set of events.

mod aggregate;
mod agreement;
mod consecutive;
mod context;
mod count;
mod exclusive;
mod expected;
mod gauge;
mod heartbeat;
mod level;
mod machine;
mod monotonic;
mod mute;
mod order;
mod owed;
mod pairing;
mod peers;
mod point;
mod poll;
mod precedence;
mod response;
mod sequence;
pub(crate) mod slim;
mod statistic;
mod support;
mod term;
mod ticking;

use alloc::{boxed::Box, vec::Vec};
use core::cmp::Ordering;
use event::{Position, Timestamp, Value};

use crate::{
    expr::{Expr, Val},
    pack::{CountSpan, EmitOn, Kind, OnRestart, RoleIdx, Rule, Ties},
    touch::Touch,
    verdict::{EventRef, Unknown},
};
pub(crate) use context::Ctx;
use context::{Late, Withheld, encode, is_silent, members};

/// The state of one instance.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Automaton {
    state: State,
    /// Only where the rule holds violations back.
    mute: Option<Box<mute::Mute>>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
enum State {
    Point,
    Response(Box<response::Response>),
    Precedence(Box<precedence::Precedence>),
    Count(Box<count::Count>),
    Agreement(Box<agreement::Agreement>),
    Consecutive(Box<consecutive::Consecutive>),
    Heartbeat(Box<heartbeat::Heartbeat>),
    Monotonic(Box<monotonic::Monotonic>),
    Machine(Box<machine::Machine>),
    Order(Box<order::Order>),
    Sequence(Box<sequence::Sequence>),
    Exclusive(Box<exclusive::Exclusive>),
    Gauge(Box<gauge::Gauge>),
    Aggregate(Box<aggregate::Aggregate>),
    Peers(Box<peers::Peers>),
    Expected(Box<expected::Expected>),
    Poll(Box<poll::Poll>),
}

/// All that touches one instance at one timestamp.
#[derive(Debug)]
pub(crate) struct Instant<'a> {
    pub(crate) ts: Timestamp,
    pub(crate) touches: &'a [&'a Touch],
    /// A process of the key's node starts: the first sign of it.
    pub(crate) restart: Option<EventRef>,
    /// All signs of a start at this time.
    pub(crate) starts: &'a [EventRef],
}

impl<'a> Instant<'a> {
    /// The touches in that role.
    fn of(&self, role: RoleIdx) -> impl Iterator<Item = &'a Touch> + use<'a> {
        self.touches.iter().copied().filter(move |touch| touch.role() == role)
    }

    /// Whether the event is itself a sign of a start, or made of one.
    fn is_start(&self, event: &EventRef) -> bool {
        let made_of = |start: &EventRef| start.position == event.position && event.position != Position::default();
        self.starts.iter().any(|start| crate::touch::same_event(start, event) || made_of(start))
    }

    fn of_some(&self, role: Option<RoleIdx>) -> impl Iterator<Item = &'a Touch> + use<'a> {
        self.touches.iter().copied().filter(move |touch| Some(touch.role()) == role)
    }
}

/// What tells one violation of an instance from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Anchor {
    /// The instance itself: it can be broken once.
    Key,
    /// An event: the one judged, the one that opened an obligation or a span, the onset of a level.
    Event(EventRef),
    /// A time: the onset of a silence.
    Time(Timestamp),
    /// What one member, by the hash of its name, owes an event.
    Member(EventRef, u64),
    /// The onset of what is wrong with one member, by the hash of its name.
    Peer(Timestamp, u64),
}

impl Anchor {
    /// Among violations of one time, the order in which they are taken.
    fn order(&self) -> (Timestamp, u128, u32) {
        match self {
            Anchor::Key => (Timestamp::ZERO, 0, 0),
            Anchor::Event(event) => (event.ts, event.identity.0, event.element),
            Anchor::Time(ts) => (*ts, 0, 0),
            Anchor::Peer(ts, member) => (*ts, u128::from(*member), 0),
            Anchor::Member(event, member) => (event.ts, event.identity.0, event.element ^ *member as u32),
        }
    }
}

/// The part a cited event plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Part {
    Role(RoleIdx),
    Dissent(RoleIdx),
    /// What the judged event is measured against.
    Before,
    Restart,
}

/// A finding of an automaton.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Found {
    pub(crate) anchor: Anchor,
    pub(crate) what: What,
    /// What was measured, by its name in [`Kind::measured`], and what is emitted of events.
    pub(crate) values: Vec<Option<Value>>,
    /// The members that did not send what is missing.
    pub(crate) from: Vec<Value>,
    /// The member of a group that it is about: the key's last part.
    pub(crate) member: Option<Value>,
}

impl Found {
    pub(crate) fn is_violation(&self) -> bool {
        matches!(self.what, What::Violated { .. })
    }
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) enum What {
    Violated {
        at: Timestamp,
        evidence: Vec<(Part, EventRef)>,
        missing: Option<(RoleIdx, Timestamp)>,
        level: bool,
    },
    Resolved(Timestamp),
    Late(RoleIdx, EventRef),
    /// It was said, and should not have been: another is to be said in its place.
    Unsaid,
    /// Something that only those learn of who build on it, and the last event that proves it.
    Made {
        on: EmitOn,
        at: Timestamp,
        proof: EventRef,
    },
}

/// How many instances were judged how; what `invar` shows as a rule's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tally {
    /// Instances (or obligations, or events) judged and found in order.
    pub held: u64,
    /// Found broken.
    pub violated: u64,
    /// Impossible to judge.
    pub unknown: u64,
    /// Why that was so the last time.
    pub why_unknown: Option<Unknown>,
    /// Found broken and taken back.
    pub retracted: u64,
    /// Matching events that lacked a part of the key.
    pub keyless: u64,
    /// Instances forgotten because there were too many.
    pub forgotten: u64,
    /// When the rule's trigger last matched, in event time.
    pub exercised: Timestamp,
}

impl Tally {
    pub(crate) fn unknown(&mut self, why: Unknown) {
        self.unknown += 1;
        self.why_unknown = Some(why);
    }
}

impl State {
    /// Whether something could not be judged, as its node was silent, and is looked at again.
    fn has_left_open(&self) -> bool {
        match self {
            State::Response(state) => state.has_left_open(),
            State::Count(state) => state.has_left_open(),
            _ => false,
        }
    }

    /// Whether the kind knows better than to start anew what of a restart's own time belongs to the new process.
    fn resets_itself(&self) -> bool {
        !matches!(self, State::Agreement(_) | State::Poll(_))
    }
}

impl Automaton {
    /// One that remembers nothing.
    #[cfg(test)]
    pub(crate) fn blank() -> Self {
        Automaton { state: State::Point, mute: None }
    }

    pub(crate) fn new(rule: &Rule) -> Self {
        let state = match &rule.kind {
            Kind::Always { .. } if rule.hold.is_some() => State::Gauge(Box::default()),
            Kind::Never { .. } | Kind::Always { .. } => State::Point,
            Kind::Response { .. } => State::Response(Box::default()),
            Kind::Precedence { requires, .. } => {
                State::Precedence(Box::new(precedence::Precedence::new(requires.len())))
            }
            Kind::Count { .. } => State::Count(Box::default()),
            Kind::Agreement { assert: Some(_), .. } => State::Poll(Box::default()),
            Kind::Agreement { .. } => State::Agreement(Box::default()),
            Kind::Expected { .. } => State::Expected(Box::default()),
            Kind::Consecutive { .. } => State::Consecutive(Box::default()),
            Kind::Heartbeat { .. } => State::Heartbeat(Box::default()),
            Kind::Monotonic { .. } => State::Monotonic(Box::default()),
            Kind::StateMachine { initial, .. } => State::Machine(Box::new(machine::Machine::new(*initial))),
            Kind::Order { steps, .. } => State::Order(Box::new(order::Order::new(steps.len()))),
            Kind::Sequence { steps, .. } => State::Sequence(Box::new(sequence::Sequence::new(steps.len()))),
            Kind::Exclusive { .. } => State::Exclusive(Box::default()),
            Kind::Aggregate(definition) if definition.each.is_some() => State::Peers(Box::default()),
            Kind::Aggregate(definition) => State::Aggregate(Box::new(aggregate::Aggregate::new(definition))),
        };
        Automaton { state, mute: None }
    }

    /// Reads a little of what it needs first.
    pub(crate) fn look(&self) -> usize {
        match &self.state {
            State::Response(state) => state.look(),
            State::Precedence(state) => state.look(),
            State::Count(state) => state.look(),
            _ => 0,
        }
    }

    /// Works off one instant.
    pub(crate) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let admitted: Vec<&Touch>;
        let mut now = Instant { ts: now.ts, touches: now.touches, restart: now.restart, starts: now.starts };
        let repeats = |pair: &[&Touch]| pair[0].repeats_role(pair[1]);
        let is_out = |touch: &&Touch| !ctx.admits(touch);
        if ctx.traits.conditions && now.touches.iter().any(is_out) || now.touches.windows(2).any(repeats) {
            let mut touches: Vec<&Touch> = now.touches.iter().copied().filter(|touch| ctx.admits(touch)).collect();
            // An event that several alternatives of a role match plays it once; conditions on others choose later.
            touches.dedup_by(|later, earlier| later.repeats_role(earlier) && !ctx.asks_others(earlier));
            let waits_for_ticks = ctx.traits.ticks.is_some() || !ctx.traits.members.is_empty();
            if touches.is_empty() && now.restart.is_none() && !waits_for_ticks {
                // Of all that came nothing matches: nothing has happened. A clock may have moved at that time, though.
                return excuse(ctx);
            }
            admitted = touches;
            now.touches = &admitted;
        }
        match &ctx.rule.ties {
            Ties::By(by) if now.touches.len() > 1 => {
                let ranked = ranked(ctx, by, now.touches);
                let mut groups = ranked.chunk_by(|a, b| same_rank(&a.0, &b.0)).peekable();
                while let Some(group) = groups.next() {
                    let touches: Vec<&Touch> = group.iter().map(|(_, touch)| *touch).collect();
                    // The restart has no place in that order: it comes last, as the least that it can break.
                    let last = groups.peek().is_none();
                    let restart = now.restart.filter(|_| last);
                    let starts = if last { now.starts } else { &[] };
                    self.feed(ctx, &Instant { ts: now.ts, touches: &touches, restart, starts });
                }
            }
            _ => self.feed(ctx, &now),
        }
        excuse(ctx);
        self.sift(ctx, (now.ts, false));
    }

    fn feed(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        match &mut self.state {
            State::Point => point::instant(ctx, now),
            State::Response(state) => state.instant(ctx, now),
            State::Precedence(state) => state.instant(ctx, now),
            State::Count(state) => state.instant(ctx, now),
            State::Agreement(state) => state.instant(ctx, now),
            State::Consecutive(state) => state.instant(ctx, now),
            State::Heartbeat(state) => state.instant(ctx, now),
            State::Monotonic(state) => state.instant(ctx, now),
            State::Machine(state) => state.instant(ctx, now),
            State::Order(state) => state.instant(ctx, now),
            State::Sequence(state) => state.instant(ctx, now),
            State::Exclusive(state) => state.instant(ctx, now),
            State::Gauge(state) => state.instant(ctx, now),
            State::Aggregate(state) => state.instant(ctx, now),
            State::Peers(state) => state.instant(ctx, now),
            State::Expected(state) => state.instant(ctx, now),
            State::Poll(state) => state.instant(ctx, now),
        }
        if now.restart.is_some() && ctx.rule.on_restart == OnRestart::Reset && !self.state.resets_itself() {
            self.state = Automaton::new(ctx.rule).state;
        }
    }

    /// When it next falls due; judged when the frontier has passed this time.
    pub(crate) fn next_due(&self, rule: &Rule) -> Option<Timestamp> {
        match &self.state {
            State::Point
            | State::Agreement(_)
            | State::Consecutive(_)
            | State::Monotonic(_)
            | State::Sequence(_)
            | State::Exclusive(_) => None,
            State::Precedence(state) => state.next_due(rule),
            State::Machine(state) => state.next_due(rule),
            State::Order(state) => state.next_due(rule),
            State::Gauge(state) => state.next_due(rule),
            State::Aggregate(state) => state.next_due(rule),
            State::Peers(state) => state.next_due(rule),
            State::Response(state) => state.next_due(),
            State::Count(state) => state.next_due(rule),
            State::Heartbeat(state) => state.next_due(rule),
            State::Expected(state) => state.next_due(),
            State::Poll(state) => state.next_due(rule),
        }
    }

    /// Judges what falls due at `due`.
    pub(crate) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        match &mut self.state {
            State::Point
            | State::Agreement(_)
            | State::Consecutive(_)
            | State::Monotonic(_)
            | State::Sequence(_)
            | State::Exclusive(_) => {}
            State::Precedence(state) => state.due(ctx, due),
            State::Machine(state) => state.due(ctx, due),
            State::Order(state) => state.due(ctx, due),
            State::Gauge(state) => state.due(ctx, due),
            State::Aggregate(state) => state.due(ctx, due),
            State::Peers(state) => state.due(ctx, due),
            State::Response(state) => state.due(ctx, due),
            State::Count(state) => state.due(ctx, due),
            State::Heartbeat(state) => state.due(ctx, due),
            State::Expected(state) => state.due(ctx, due),
            State::Poll(state) => state.due(ctx, due),
        }
        excuse(ctx);
        self.sift(ctx, (due, true));
    }

    /// Holds back what the rule does not want said again.
    fn sift(&mut self, ctx: &mut Ctx<'_>, certain: mute::Certain) {
        if ctx.rule.report_first || ctx.rule.quiet.is_some() {
            let open = self.state.has_left_open();
            self.mute.get_or_insert_default().sift(ctx, certain, open);
        }
    }

    /// The violations that were said and that what was left open may yet take back.
    pub(crate) fn revocable(&self) -> impl Iterator<Item = Anchor> {
        self.mute.iter().flat_map(|mute| mute.revocable())
    }

    /// Sees whether something that was left open can be judged by now.
    pub(crate) fn poll(&mut self, ctx: &Ctx<'_>) {
        match &mut self.state {
            State::Response(state) => state.poll(ctx),
            State::Count(state) => state.poll(ctx),
            _ => {}
        }
    }

    /// Whether something was left open that can be judged by now: then all is judged again in order of time.
    pub(crate) fn is_awake(&self) -> bool {
        match &self.state {
            State::Response(state) => state.is_awake(),
            State::Count(state) => state.is_awake(),
            _ => false,
        }
    }

    /// How many obligations or levels are open.
    pub(crate) fn open(&self, rule: &Rule) -> u64 {
        match &self.state {
            State::Response(state) => state.open(),
            State::Count(state) => state.open(),
            State::Heartbeat(state) => state.open(),
            State::Expected(state) => state.open(),
            State::Poll(state) => state.open(),
            State::Precedence(state) => state.open(),
            State::Machine(state) => state.open(rule),
            State::Order(state) => state.open(),
            State::Gauge(state) => state.open(),
            State::Aggregate(state) => state.open(rule),
            State::Peers(state) => state.open(rule),
            State::Point
            | State::Agreement(_)
            | State::Consecutive(_)
            | State::Monotonic(_)
            | State::Sequence(_)
            | State::Exclusive(_) => 0,
        }
    }

    /// Whether it is as if it had never been touched.
    pub(crate) fn is_idle(&self) -> bool {
        self.mute.as_ref().is_none_or(|mute| mute.is_idle())
            && match &self.state {
                State::Point => true,
                State::Response(state) => state.is_idle(),
                State::Precedence(state) => state.is_idle(),
                State::Count(state) => state.is_idle(),
                State::Consecutive(state) => state.is_idle(),
                State::Monotonic(state) => state.is_idle(),
                State::Order(state) => state.is_idle(),
                State::Sequence(state) => state.is_idle(),
                State::Exclusive(state) => state.is_idle(),
                State::Gauge(state) => state.is_idle(),
                State::Aggregate(state) => state.is_idle(),
                State::Peers(state) => state.is_idle(),
                State::Machine(state) => state.is_idle(),
                State::Expected(state) => state.is_idle(),
                State::Agreement(_) | State::Heartbeat(_) | State::Poll(_) => false,
            }
    }

    /// Until when its memory matters, counted from its last touch; `None`: for as long as the rule says.
    pub(crate) fn horizon(rule: &Rule) -> core::time::Duration {
        let lasts = rule.hold.map(|hold| hold.lasts.max(hold.stale_after)).unwrap_or_default();
        match &rule.kind {
            // What was reported must be remembered for longer than what supports.
            Kind::Precedence { within: Some(within), .. }
            | Kind::Order { within: Some(within), .. }
            | Kind::Sequence { within, .. }
            | Kind::Exclusive { ttl: Some(within), .. }
                if !rule.report_first && rule.quiet.is_none() =>
            {
                (*within + rule.slack).min(rule.forget_after)
            }
            // What may still end by itself is not forgotten before.
            Kind::Aggregate(aggregate) => rule.forget_after.max(aggregate.longest() + lasts),
            Kind::Count { span: CountSpan::Window(window), .. } => rule.forget_after.max(*window + lasts),
            Kind::StateMachine { states, .. } => {
                states.iter().filter_map(|state| state.limit).fold(rule.forget_after, core::time::Duration::max)
            }
            Kind::Always { .. } => rule.forget_after.max(lasts),
            _ => rule.forget_after,
        }
    }
}

/// Counts what could not be decided, and says nothing that rests on an absence which a gap may hide: the exit that would have made room, the transition, the
/// success, the interruption between. Kinds that look back know how far, and see to it themselves.
fn excuse(ctx: &mut Ctx<'_>) {
    if ctx.undecided.get() {
        ctx.unknown(Unknown::Forgotten);
    }
    let rests_on_absence = match &ctx.rule.kind {
        Kind::StateMachine { .. } | Kind::Exclusive { .. } | Kind::Consecutive { .. } => true,
        Kind::Sequence { steps, .. } => steps.iter().any(|step| !step.not.is_empty()),
        _ => false,
    };
    if !rests_on_absence || ctx.found.is_empty() {
        return;
    }
    let mut found = core::mem::take(&mut ctx.found);
    found.retain(|found| {
        let What::Violated { at, evidence, .. } = &found.what else { return true };
        let from = evidence.iter().map(|(_, event)| event.ts).min().unwrap_or(*at);
        let why = ctx.excuse(&found.anchor, from, *at);
        if let Some(why) = why {
            ctx.unknown(why);
        }
        why.is_none()
    });
    ctx.found = found;
}

/// An instant's touches by the value that orders them; what has none comes first.
fn ranked<'t>(ctx: &Ctx<'_>, by: &[Option<Expr>], touches: &[&'t Touch]) -> Vec<(Option<Value>, &'t Touch)> {
    let rank = |touch: &Touch| ctx.value_of(by.get(touch.role() as usize)?.as_ref()?, touch);
    let mut ranked: Vec<(Option<Value>, &Touch)> = touches.iter().map(|&touch| (rank(touch), touch)).collect();
    // Stable: equals stay in the order that does not depend on arrival.
    ranked.sort_by(|(a, _), (b, _)| match (a, b) {
        (Some(a), Some(b)) => Val::from(a).compare(&Val::from(b)).unwrap_or(Ordering::Equal),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    ranked
}

fn same_rank(a: &Option<Value>, b: &Option<Value>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Val::from(a).compare(&Val::from(b)).is_none_or(Ordering::is_eq),
        (a, b) => a.is_some() == b.is_some(),
    }
}
