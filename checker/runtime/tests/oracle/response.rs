//! `response`, read directly: for each `when`, and each who is to answer it, the first thing that ends it.
use crate::{
    case::{Case, Mutant, Span},
    model::{Event, Found, Limit, NEVER, OnRestart, Response, Time},
};

/// What ends an obligation; at one time the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    Excused,
    Answered,
    Forgiven,
    Broken,
    Marked,
    Restarted,
    Deadline,
    /// The clock stood for too long.
    Stalled,
}

pub struct Obligation<'a> {
    pub when: &'a Event,
    span: Span,
    deadline: Time,
    /// When its clock is waited for no longer.
    stalled: Time,
}

/// What is owed.
pub fn asked<'a>(case: &Case<'a>, rule: &Response) -> Vec<Obligation<'a>> {
    case.all(&rule.when, None)
        .into_iter()
        .filter_map(|when| {
            let span = case.span(when.ts)?;
            let mut stalled = NEVER;
            let deadline = match &rule.limit {
                Limit::Within(within) => when.ts + within,
                Limit::Computed => when.ts + Time::try_from(when.x).unwrap() * 1_000,
                Limit::By(_) => NEVER,
                Limit::Ticks(ticks) => {
                    let at = case.ticked(ticks, when.node, when.ts);
                    let waits = ticks.or.map_or(NEVER, |or| when.ts + or);
                    if at > waits {
                        stalled = waits;
                    }
                    if at == NEVER { NEVER } else { at.max(when.ts + ticks.and.unwrap_or(0)) }
                }
            };
            Some(Obligation { when, span, deadline, stalled })
        })
        .collect()
}

/// What is owed, and when each of it is answered.
fn owed<'a>(case: &Case<'a>, rule: &Response) -> Vec<(Obligation<'a>, Time)> {
    let open = asked(case, rule);
    let answers = answered(case, rule, &open.iter().collect::<Vec<_>>(), None);
    open.into_iter().zip(answers).collect()
}

/// When each obligation is answered, by anybody or by one node.
pub fn answered(case: &Case<'_>, rule: &Response, open: &[&Obligation<'_>], by: Option<u8>) -> Vec<Time> {
    if rule.pair { pair(case, rule, open, by) } else { any(case, rule, open, by) }
}

pub fn judge(case: &Case<'_>, rule: &Response) -> Vec<Found> {
    match &rule.from {
        None => owed(case, rule).iter().filter_map(|(open, at)| violation(case, rule, open, *at)).collect(),
        Some(from) => crate::members::judge(case, rule, from),
    }
}

/// What was answered, inside its span.
pub fn held<'a>(case: &Case<'a>, rule: &Response) -> Vec<(&'a Event, Time)> {
    let ends = owed(case, rule).into_iter().map(|(open, answered)| (end(case, rule, &open, answered), open));
    ends.filter(|((at, end), open)| *at != NEVER && *end == End::Answered && !case.ended(&open.span, *at))
        .map(|((at, _), open)| (open.when, at))
        .collect()
}

/// When each obligation is first answered.
pub fn any(case: &Case<'_>, rule: &Response, open: &[&Obligation<'_>], by: Option<u8>) -> Vec<Time> {
    open.iter()
        .map(|open| {
            let thens = case.all(&rule.then, Some(open.when)).into_iter().filter(|then| is_by(then, by));
            thens.filter(|then| answers(case, open, then)).map(|then| then.ts).min().unwrap_or(NEVER)
        })
        .collect()
}

fn is_by(then: &Event, by: Option<u8>) -> bool {
    by.is_none_or(|node| then.node == node)
}

pub fn answers(case: &Case<'_>, open: &Obligation<'_>, then: &Event) -> bool {
    let not_before = match case.mutant {
        Mutant::OrderedTies => (open.when.ts, open.when.id) <= (then.ts, then.id),
        _ => open.when.ts <= then.ts,
    };
    then.id != open.when.id && not_before && !case.past(then.ts, open.deadline)
}

/// The same where each `then` answers one `when`: at every time those with the earliest deadlines that can all be
/// answered together.
fn pair(case: &Case<'_>, rule: &Response, open: &[&Obligation<'_>], by: Option<u8>) -> Vec<Time> {
    let mut answered = vec![NEVER; open.len()];
    let mut times: Vec<Time> = case.all(&rule.then, None).iter().map(|then| then.ts).collect();
    times.dedup();
    for now in times {
        let thens = case.all(&rule.then, None).into_iter().filter(|then| then.ts == now && is_by(then, by));
        let thens: Vec<&Event> = thens.collect();
        let mut waiting: Vec<usize> = (0..open.len())
            .filter(|&place| answered[place] == NEVER && end(case, rule, open[place], now) >= (now, End::Answered))
            .collect();
        let known = |place: usize| known_deadline(case, rule, open[place], now);
        waiting.sort_by_key(|&place| (known(place), open[place].when.ts, open[place].when.id));
        let mut chosen: Vec<usize> = Vec::new();
        for place in waiting {
            chosen.push(place);
            if !assignable(case, rule, open, &chosen, &thens, &mut Vec::new()) {
                chosen.pop();
            }
        }
        for place in chosen {
            answered[place] = now;
        }
    }
    answered
}

/// A deadline in ticks is known when the clock has passed it; what ends the wait for the clock stands for it before.
pub fn known_deadline(case: &Case<'_>, rule: &Response, open: &Obligation<'_>, now: Time) -> Time {
    match &rule.limit {
        Limit::Ticks(ticks) if case.ticked(ticks, open.when.node, open.when.ts) >= now => {
            ticks.or.map_or(NEVER, |or| open.when.ts + or)
        }
        _ => open.deadline,
    }
}

/// Whether every chosen obligation can have an answer of its own.
fn assignable(
    case: &Case<'_>,
    rule: &Response,
    open: &[&Obligation<'_>],
    chosen: &[usize],
    thens: &[&Event],
    taken: &mut Vec<u32>,
) -> bool {
    let Some((&first, rest)) = chosen.split_first() else { return true };
    thens.iter().any(|then| {
        let fits = case.plays(&rule.then, then, Some(open[first].when)) && answers(case, open[first], then);
        if !fits || taken.contains(&then.id) {
            return false;
        }
        taken.push(then.id);
        let rest_too = assignable(case, rule, open, rest, thens, taken);
        taken.pop();
        rest_too
    })
}

/// What ends the obligation first, if it is answered at `answered`.
pub fn end(case: &Case<'_>, rule: &Response, open: &Obligation<'_>, answered: Time) -> (Time, End) {
    let main = Some(open.when);
    let first = |events: Vec<&Event>, from: Time| {
        events.into_iter().map(|event| event.ts).filter(|ts| *ts >= from).min().unwrap_or(NEVER)
    };
    let begun = open.when.ts;
    let mut ends = vec![(answered, End::Answered), (open.deadline, End::Deadline), (open.stalled, End::Stalled)];
    ends.push((first(case.some(&rule.unless, main), begun), End::Excused));
    ends.push((first(case.some(&rule.broken_by, main), begun + 1), End::Broken));
    if let Limit::By(marker) = &rule.limit {
        ends.push((first(case.all(marker, main), begun + 1), End::Marked));
    }
    let restarts = case.restarts();
    match case.rule.on_restart {
        OnRestart::Broken if case.mutant == Mutant::SleepyRestart => {}
        OnRestart::Broken => ends.push((first(restarts, begun + 1), End::Restarted)),
        OnRestart::Ended | OnRestart::Reset => {
            // What a start asks for, the new process owes.
            let own = restarts.iter().any(|restart| restart.id == open.when.id);
            let others = restarts.into_iter().filter(|restart| !own || restart.ts > begun).collect();
            ends.push((first(others, begun), End::Forgiven));
        }
        OnRestart::Keep => {}
    }
    ends.into_iter().min().unwrap()
}

pub fn violation(case: &Case<'_>, rule: &Response, open: &Obligation<'_>, answered: Time) -> Option<Found> {
    let (at, end) = end(case, rule, open, answered);
    if at == NEVER || end <= End::Forgiven || end == End::Stalled || case.ended(&open.span, at) {
        return None;
    }
    let mut found = Found::at_event(open.when, at);
    found.certain = (at, end == End::Deadline);
    if end == End::Broken && rule.grace > 0 {
        let excuse = case.some(&rule.unless, Some(open.when)).into_iter().map(|excuse| excuse.ts);
        let excuse = excuse.filter(|ts| *ts >= at).min().unwrap_or(NEVER);
        let over = at + rule.grace;
        let restart = case.restarts().into_iter().map(|restart| restart.ts).filter(|ts| *ts >= at).min();
        let restart = restart.unwrap_or(NEVER);
        if excuse <= over && excuse <= restart {
            return None;
        }
        found.certain = (over, true);
        if restart <= over {
            if case.rule.on_restart != OnRestart::Broken {
                return None;
            }
            found.certain = (restart, false);
        }
    }
    Some(found)
}
