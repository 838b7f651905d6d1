//! `state_machine`: states change along the listed transitions only, nothing follows a terminal one, and none lasts longer
//! than its limit.
//!
//! Where events of one instant can be ordered in several lawful ways, each way is followed, so that no later event is
//! held against a path that need not have been taken.
use alloc::{borrow::Cow, string::ToString, vec, vec::Vec};
use event::Timestamp;

use super::{Anchor, Ctx, Instant, Late, Part, What, slim};
use crate::{
    expr::Val,
    pack::{Kind, MachineState, RoleIdx, Rule, StateRead},
    scope::Span,
    verdict::{EventRef, Unknown},
};

/// How many events of one instant are tried in every order; more are taken in one fixed order.
const ORDERED_MAX: usize = 6;

/// Where one instance stands.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Machine {
    /// Where it may stand; empty before the first event, when it is met in whatever state it is in.
    paths: Vec<Path>,
    /// An event has been seen.
    met: bool,
    span: Option<Span>,
}

/// One lawful reading of what was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
struct Path {
    /// `None`: in a state that is not declared, after which every state may be met.
    state: Option<u16>,
    /// The event that brought it there; `None`: it began there.
    entered: Option<EventRef>,
    /// The limit was found passed.
    overdue: bool,
    /// Its node was silent at the limit: looked at again when time has moved on to this.
    asleep_until: Option<Timestamp>,
}

/// An event and the state it is about; none: one that is not declared.
#[derive(Clone, Copy, Debug)]
struct Move {
    role: RoleIdx,
    at: EventRef,
    to: Option<u16>,
}

/// An order in which some events of an instant have been taken.
#[derive(Clone, Debug)]
struct Walk {
    /// The moves taken, as bits.
    taken: u8,
    /// Where it stands; none: nowhere yet.
    path: Option<Path>,
    /// The moves against the rule, each with what brought it where it was.
    broken: Vec<(usize, Option<EventRef>)>,
    /// Limits found passed that were left after all: when they were, and by which move.
    left: Option<(Timestamp, usize)>,
}

impl Machine {
    pub(super) fn new(initial: Option<u16>) -> Self {
        let begin = |state| Path { state: Some(state), entered: None, overdue: false, asleep_until: None };
        Machine { paths: initial.map(begin).into_iter().collect(), met: false, span: None }
    }

    pub(super) fn instant(&mut self, ctx: &mut Ctx<'_>, now: &Instant<'_>) {
        let Kind::StateMachine { initial, states, .. } = &ctx.rule.kind else { return };
        // What was left open is judged before another process or another span begins anew.
        self.wake(ctx, now.ts);
        if ctx.begins_anew(now) {
            *self = Machine::new(*initial);
        }
        let Some(span) = ctx.span(now.ts) else { return };
        if self.span.as_ref().is_some_and(|known| *known != span) {
            *self = Machine::new(*initial);
        }
        self.span = Some(span);
        let moves = moves(ctx, now, states);
        if moves.is_empty() {
            return;
        }
        ctx.exercise(now.ts);
        let (walked, rest) = moves.split_at(moves.len().min(ORDERED_MAX));
        self.walk(ctx, states, walked);
        // Beyond what can be tried in every order, one after the other.
        rest.iter().for_each(|one| self.walk(ctx, states, core::slice::from_ref(one)));
    }

    /// Judges the limits that were left open because the node was silent, once it has been heard again: before what it says
    /// now ends their states.
    fn wake(&mut self, ctx: &mut Ctx<'_>, now: Timestamp) {
        let Kind::StateMachine { states, .. } = &ctx.rule.kind else { return };
        let mut woken = false;
        for path in self.paths.iter_mut().filter(|path| path.asleep_until.is_some()) {
            if path.limit(states).is_some_and(|limit| limit < now && !ctx.silent(limit)) {
                path.asleep_until = None;
                woken = true;
            }
        }
        if woken {
            self.due(ctx, now.minus(core::time::Duration::from_nanos(1)));
        }
    }

    /// Takes some moves of one instant in the orders that break the rule least (with `strict`, most).
    fn walk(&mut self, ctx: &mut Ctx<'_>, states: &[MachineState], moves: &[Move]) {
        let starts: Vec<Option<Path>> =
            if self.paths.is_empty() { vec![None] } else { self.paths.drain(..).map(Some).collect() };
        let mut walks: Vec<Walk> =
            starts.into_iter().map(|path| Walk { taken: 0, path, broken: Vec::new(), left: None }).collect();
        for _ in moves {
            let mut further: Vec<Walk> = Vec::new();
            for walk in &walks {
                for (number, next) in moves.iter().enumerate().filter(|(number, _)| walk.taken & (1 << number) == 0) {
                    let longer = take(walk, number, next, states);
                    let twin = further.iter_mut().find(|known| {
                        known.taken == longer.taken
                            && known.path == longer.path
                            && known.broken.len() == longer.broken.len()
                    });
                    match twin {
                        Some(known) if longer.broken < known.broken => *known = longer,
                        Some(_) => {}
                        None => further.push(longer),
                    }
                }
            }
            walks = further;
        }
        let fewest = walks.iter().map(|walk| walk.broken.len()).min().unwrap_or(0);
        let most = walks.iter().map(|walk| walk.broken.len()).max().unwrap_or(0);
        let wanted = if ctx.strict() { most } else { fewest };
        walks.retain(|walk| walk.broken.len() == wanted);
        walks.sort_by(|a, b| a.broken.cmp(&b.broken).then_with(|| a.path.cmp(&b.path)));
        if let Some(told) = walks.first() {
            self.tell(ctx, told, moves);
        }
        if let Some((at, number)) = walks.iter().find_map(|walk| walk.left) {
            let by = moves[number];
            ctx.find(Anchor::Time(at), What::Late(by.role, by.at));
        }
        self.met = true;
        for path in walks.into_iter().filter_map(|walk| walk.path) {
            // Of two that stand in one state, the one that came there last has longer to stay.
            match self.paths.iter_mut().find(|known| known.state == path.state) {
                Some(known) if known.entered < path.entered => *known = path,
                Some(_) => {}
                None => slim::push(&mut self.paths, path),
            }
        }
    }

    fn tell(&mut self, ctx: &mut Ctx<'_>, told: &Walk, moves: &[Move]) {
        ctx.tally.held += (moves.len() - told.broken.len()) as u64;
        for (number, from) in &told.broken {
            let found = moves[*number];
            if !self.met
                && from.is_none()
                && let Some(why) = ctx.looks_past(Timestamp::ZERO, found.at.ts)
            {
                ctx.unknown(why);
                continue;
            }
            let mut evidence: Vec<(Part, EventRef)> = from.iter().map(|from| (Part::Before, *from)).collect();
            evidence.push((Part::Role(found.role), found.at));
            ctx.violated(Anchor::Event(found.at), found.at.ts, evidence, None);
        }
    }

    pub(super) fn next_due(&self, rule: &Rule) -> Option<Timestamp> {
        let Kind::StateMachine { states, .. } = &rule.kind else { return None };
        self.paths.iter().filter_map(|path| path.due(states)).min()
    }

    pub(super) fn due(&mut self, ctx: &mut Ctx<'_>, due: Timestamp) {
        let Kind::StateMachine { read, states, .. } = &ctx.rule.kind else { return };
        loop {
            let passed = self.paths.iter().filter(|path| path.due(states).is_some_and(|at| at <= due));
            let Some(limit) = passed.filter_map(|path| path.limit(states)).min() else { return };
            let is_over = |path: &Path| !path.overdue && path.limit(states) == Some(limit);
            if !self.paths.iter().all(is_over) {
                // Another reading is still lawful.
                self.paths.retain(|path| !is_over(path));
                continue;
            }
            // Of several that are over at the same time none is more lawful: all of them stay.
            let span_ended = self.span.as_ref().is_some_and(|span| ctx.span_ended(span, limit));
            if !span_ended && ctx.silent(limit) {
                // Nothing was heard of the node since: whether it left the state cannot be said before it speaks again.
                if self.paths.iter().all(|path| path.asleep_until.is_none()) {
                    ctx.unknown(Unknown::NodeSilent);
                }
                let again = ctx.world.sources.frontier.max(due).plus(ctx.world.timing.margin);
                self.paths.iter_mut().for_each(|path| path.asleep_until = Some(again));
                continue;
            }
            self.paths.iter_mut().for_each(|path| path.overdue = true);
            let Some(path) = self.paths.iter().min().filter(|_| !span_ended) else { continue };
            let Some(entered) = path.entered else { continue };
            let next = path.state.and_then(|state| states[state as usize].to.first()).copied();
            let missing = match read {
                StateRead::Value { of, .. } => Some(*of),
                StateRead::Roles(roles) => roles.iter().find(|(_, state)| Some(*state) == next).map(|(role, _)| *role),
            };
            let role = match read {
                StateRead::Value { of, .. } => *of,
                StateRead::Roles(roles) => {
                    roles.iter().find(|(_, state)| Some(*state) == path.state).map_or(0, |(role, _)| *role)
                }
            };
            let missing = missing.map(|role| (role, limit));
            ctx.violated(Anchor::Time(limit), limit, vec![(Part::Role(role), entered)], missing);
        }
    }

    pub(super) fn open(&self, rule: &Rule) -> u64 {
        u64::from(self.next_due(rule).is_some())
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.met
    }
}

impl Path {
    /// The last time at which it may still be in its state.
    fn limit(&self, states: &[MachineState]) -> Option<Timestamp> {
        let limit = states.get(self.state? as usize)?.limit?;
        Some(self.entered?.ts.plus(limit))
    }

    fn due(&self, states: &[MachineState]) -> Option<Timestamp> {
        let limit = self.limit(states).filter(|_| !self.overdue)?;
        Some(self.asleep_until.unwrap_or(limit))
    }
}

/// What the instant's events say, in an order that does not depend on arrival.
fn moves(ctx: &mut Ctx<'_>, now: &Instant<'_>, states: &[MachineState]) -> Vec<Move> {
    let Kind::StateMachine { read, .. } = &ctx.rule.kind else { return Vec::new() };
    let mut moves = Vec::new();
    for touch in now.touches {
        let role = touch.role();
        let to = match read {
            StateRead::Roles(roles) => match roles.iter().find(|(known, _)| *known == role) {
                Some((_, state)) => Some(*state),
                None => continue,
            },
            StateRead::Value { of, .. } if *of != role => continue,
            StateRead::Value { state, .. } => {
                let env = Late { ctx, role, slots: &touch.slots, ts: now.ts, others: &[] };
                let Some(value) = ctx.eval(state, &env) else {
                    ctx.unknown(Unknown::Absent);
                    continue;
                };
                let name: Cow<'_, str> = match &value {
                    Val::String(text) => Cow::Borrowed(text),
                    Val::Int(int) => int.to_string().into(),
                    Val::Bool(value) => value.to_string().into(),
                    _ => Cow::Borrowed(""),
                };
                states.iter().position(|state| *state.name == *name).map(|state| state as u16)
            }
        };
        moves.push(Move { role, at: touch.at, to });
    }
    moves
}

/// Takes one more move.
fn take(walk: &Walk, number: usize, next: &Move, states: &[MachineState]) -> Walk {
    let mut longer = walk.clone();
    longer.taken |= 1 << number;
    let entered = Path { state: next.to, entered: Some(next.at), overdue: false, asleep_until: None };
    let Some(path) = &walk.path else {
        // Met in whatever state it is in, if that is one.
        if next.to.is_none() {
            longer.broken.push((number, None));
        }
        longer.path = Some(entered);
        return longer;
    };
    let state = path.state.and_then(|state| states.get(state as usize));
    if state.is_some_and(|state| state.terminal) && path.entered.is_some() {
        // It stays where it is: whatever else comes is against the rule too.
        longer.broken.push((number, path.entered));
        return longer;
    }
    if next.to.is_some() && next.to == path.state {
        if path.entered.is_none() {
            // The first sign of the state it began in.
            longer.path = Some(entered);
        }
        return longer;
    }
    let lawful = match (state, next.to) {
        (Some(state), Some(to)) => state.to.contains(&to),
        // After a state that is not declared, any may be met.
        (None, Some(_)) => true,
        (_, None) => false,
    };
    if !lawful {
        longer.broken.push((number, path.entered));
    }
    if path.overdue {
        longer.left = path.limit(states).map(|limit| (limit, number));
    }
    longer.path = Some(entered);
    longer
}
