//! `response`, read directly: for each `when` the first thing that ends it.
use crate::model::{Case, Event, Found, Limit, Mutant, NEVER, OnRestart, Response, Span, Time};

/// What ends an obligation; at one time the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Excused,
    Answered,
    Forgiven,
    Broken,
    Marked,
    Restarted,
    Deadline,
}

struct Obligation<'a> {
    when: &'a Event,
    span: Span,
    deadline: Time,
}

/// What is owed, and when each of it is answered.
fn owed<'a>(case: &Case<'a>, rule: &Response) -> Vec<(Obligation<'a>, Time)> {
    let open: Vec<Obligation<'a>> = case
        .all(&rule.when, None)
        .into_iter()
        .filter_map(|when| {
            let span = case.span(when.ts)?;
            let deadline = match rule.limit {
                Limit::Within(within) => when.ts + within,
                Limit::Computed => when.ts + Time::try_from(when.x).unwrap() * 1_000,
                Limit::By(_) => NEVER,
            };
            Some(Obligation { when, span, deadline })
        })
        .collect();
    let answers = if rule.pair { pair(case, rule, &open) } else { any(case, rule, &open) };
    open.into_iter().zip(answers).collect()
}

pub fn judge(case: &Case<'_>, rule: &Response) -> Vec<Found> {
    owed(case, rule).iter().filter_map(|(open, answered)| violation(case, rule, open, *answered)).collect()
}

/// What was answered, inside its span.
pub fn held<'a>(case: &Case<'a>, rule: &Response) -> Vec<(&'a Event, Time)> {
    let ends = owed(case, rule).into_iter().map(|(open, answered)| (end(case, rule, &open, answered), open));
    ends.filter(|((at, end), open)| *at != NEVER && *end == End::Answered && !case.ended(&open.span, *at))
        .map(|((at, _), open)| (open.when, at))
        .collect()
}

/// When each obligation is first answered.
fn any(case: &Case<'_>, rule: &Response, open: &[Obligation<'_>]) -> Vec<Time> {
    open.iter()
        .map(|open| {
            let thens = case.all(&rule.then, Some(open.when));
            thens.into_iter().filter(|then| answers(case, open, then)).map(|then| then.ts).min().unwrap_or(NEVER)
        })
        .collect()
}

fn answers(case: &Case<'_>, open: &Obligation<'_>, then: &Event) -> bool {
    let not_before = match case.mutant {
        Mutant::OrderedTies => (open.when.ts, open.when.id) <= (then.ts, then.id),
        _ => open.when.ts <= then.ts,
    };
    then.id != open.when.id && not_before && !case.past(then.ts, open.deadline)
}

/// The same where each `then` answers one `when`: at every time those with the earliest deadlines that can all be
/// answered together.
fn pair(case: &Case<'_>, rule: &Response, open: &[Obligation<'_>]) -> Vec<Time> {
    let mut answered = vec![NEVER; open.len()];
    let mut times: Vec<Time> = case.all(&rule.then, None).iter().map(|then| then.ts).collect();
    times.dedup();
    for now in times {
        let thens: Vec<&Event> = case.all(&rule.then, None).into_iter().filter(|then| then.ts == now).collect();
        let mut waiting: Vec<usize> = (0..open.len())
            .filter(|&place| answered[place] == NEVER && end(case, rule, &open[place], now) >= (now, End::Answered))
            .collect();
        waiting.sort_by_key(|&place| (open[place].deadline, open[place].when.ts, open[place].when.id));
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

/// Whether every chosen obligation can have an answer of its own.
fn assignable(
    case: &Case<'_>,
    rule: &Response,
    open: &[Obligation<'_>],
    chosen: &[usize],
    thens: &[&Event],
    taken: &mut Vec<u32>,
) -> bool {
    let Some((&first, rest)) = chosen.split_first() else { return true };
    thens.iter().any(|then| {
        let fits = case.plays(&rule.then, then, Some(open[first].when)) && answers(case, &open[first], then);
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
fn end(case: &Case<'_>, rule: &Response, open: &Obligation<'_>, answered: Time) -> (Time, End) {
    let main = Some(open.when);
    let first = |events: Vec<&Event>, from: Time| {
        events.into_iter().map(|event| event.ts).filter(|ts| *ts >= from).min().unwrap_or(NEVER)
    };
    let begun = open.when.ts;
    let mut ends = vec![(answered, End::Answered), (open.deadline, End::Deadline)];
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

fn violation(case: &Case<'_>, rule: &Response, open: &Obligation<'_>, answered: Time) -> Option<Found> {
    let (at, end) = end(case, rule, open, answered);
    if at == NEVER || end <= End::Forgiven || case.ended(&open.span, at) {
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
