//! `count`, read directly: ever, in a window, and around each opener.
use crate::{
    case::{Case, Mutant, Span},
    clocks::Ticks,
    model::{Event, Found, NEVER, OnRestart, Pattern, Per, Time},
};

/// The counted events with the span and the run of the node each belongs to. Events at a start belong to the ended run
/// as far as there is room, and else to the new one.
fn counted<'a>(
    case: &Case<'a>,
    of: &Pattern,
    max: u64,
    room: impl Fn(&[Counted<'a>], Time) -> u64,
) -> Vec<Counted<'a>> {
    let mut starts: Vec<Time> = match case.rule.on_restart {
        OnRestart::Ended | OnRestart::Reset => case.restarts().iter().map(|start| start.ts).collect(),
        OnRestart::Broken | OnRestart::Keep => Vec::new(),
    };
    starts.dedup();
    let mut counted: Vec<Counted<'a>> = Vec::new();
    for event in case.all(of, None) {
        let Some(span) = case.span(event.ts) else { continue };
        let run = starts.iter().filter(|start| **start < event.ts).count();
        let tied = starts.contains(&event.ts);
        let older: Vec<Counted<'a>> =
            counted.iter().filter(|one| one.run == run && one.span == span).cloned().collect();
        let run = if tied && room(&older, event.ts) >= max { run + 1 } else { run };
        counted.push(Counted { event, span, run });
    }
    counted
}

#[derive(Clone)]
struct Counted<'a> {
    event: &'a Event,
    span: Span,
    run: usize,
}

pub fn ever(case: &Case<'_>, of: &Pattern, max: u64) -> Vec<Found> {
    let counted = counted(case, of, max, |older, _| older.len() as u64);
    let mut groups: Vec<(Span, usize)> = counted.iter().map(|one| (one.span, one.run)).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
        .into_iter()
        .filter_map(|(span, run)| {
            let own = counted.iter().filter(|one| (one.span, one.run) == (span, run));
            let excess = own.map(|one| one.event).nth(usize::try_from(max).unwrap())?;
            let at = excess.ts;
            Some(Found { at, anchor: None, anchor_ts: at, resolved: None, missing: 0, certain: (at, false) })
        })
        .collect()
}

pub fn window(case: &Case<'_>, of: &Pattern, max: u64, window: Time) -> Vec<Found> {
    let old = |ts: Time, now: Time| {
        if case.mutant == Mutant::ClosedWindow { ts + window < now } else { ts + window <= now }
    };
    let counted =
        counted(case, of, max, |older, now| older.iter().filter(|one| !old(one.event.ts, now)).count() as u64);
    let starts: Vec<Time> = match case.rule.on_restart {
        OnRestart::Ended | OnRestart::Reset => case.restarts().iter().map(|start| start.ts).collect(),
        OnRestart::Broken | OnRestart::Keep => Vec::new(),
    };
    // The number at any time is that of its last event's span and of the node's current run.
    let full = |now: Time| {
        let mut times = starts.clone();
        times.dedup();
        let run = times.iter().filter(|start| **start <= now).count();
        let span = counted.iter().rev().find(|one| one.event.ts <= now).map(|one| one.span);
        let inside = counted
            .iter()
            .filter(|one| one.event.ts <= now && !old(one.event.ts, now) && Some(one.span) == span && one.run == run);
        inside.count() as u64 > max
    };
    let mut times: Vec<Time> = counted.iter().flat_map(|one| [one.event.ts, one.event.ts + window]).collect();
    times.extend(counted.iter().map(|one| one.event.ts + window + 1));
    times.extend(&starts);
    times.sort_unstable();
    times.dedup();
    let mut found: Vec<Found> = Vec::new();
    let mut on = false;
    for now in times {
        match (on, full(now)) {
            (false, true) => {
                let last = counted.iter().rev().find(|one| one.event.ts == now).map(|one| one.event).unwrap();
                found.push(Found::at_event(last, now));
            }
            (true, false) => found.last_mut().unwrap().resolved = Some(now),
            _ => {}
        }
        on = full(now);
    }
    found
}

pub fn per(case: &Case<'_>, rule: &Per) -> Vec<Found> {
    case.all(&rule.when, None).into_iter().filter_map(|when| around(case, rule, when)?.err()).collect()
}

/// The openers around which the count is in bounds, and when that is known.
pub fn held<'a>(case: &Case<'a>, rule: &Per) -> Vec<(&'a Event, Time)> {
    let openers = case.all(&rule.when, None).into_iter();
    openers.filter_map(|when| Some((when, around(case, rule, when)?.ok()?))).collect()
}

/// The count around one opener: when it ends in bounds, or how it does not; none where it is not judged. Events beside its
/// start or its end may lie on either side, as it suits the rule.
fn around(case: &Case<'_>, rule: &Per, when: &Event) -> Option<Result<Time, Found>> {
    let span = case.span(when.ts)?;
    let of: Vec<&Event> = case.all(&rule.of, Some(when)).into_iter().filter(|one| one.id != when.id).collect();
    let mut from = when.ts.saturating_sub(rule.before);
    let restarts: Vec<Time> = case.restarts().into_iter().map(|start| start.ts).collect();
    let own = case.restarts().iter().any(|start| start.id == when.id);
    if case.rule.on_restart == OnRestart::Reset {
        from = restarts.iter().copied().filter(|ts| *ts < when.ts).fold(from, Time::max);
    }
    let tied_start = |ts: Time| rule.before == 0 && ts == when.ts && case.mutant != Mutant::OrderedTies;
    let looked_back = |ts: Time| ts >= from && !(rule.before > 0 && case.too_old(ts, from));
    let min = rule.min.unwrap_or(0);
    let beside = of.iter().filter(|one| looked_back(one.ts) && one.ts <= when.ts).count() as u64;

    let closers: Vec<Time> = case
        .some(&rule.until, Some(when))
        .into_iter()
        .filter(|closer| closer.id != when.id)
        .map(|closer| closer.ts)
        .filter(|ts| *ts > when.ts || (*ts == when.ts && beside >= min))
        .collect();
    let closed = closers.into_iter().min().unwrap_or(NEVER);
    let restarted = match case.rule.on_restart {
        OnRestart::Broken => restarts.into_iter().filter(|ts| *ts > when.ts).min(),
        OnRestart::Ended | OnRestart::Reset => {
            restarts.into_iter().filter(|ts| *ts > when.ts || (*ts == when.ts && !own)).min()
        }
        OnRestart::Keep => None,
    };
    let restarted = restarted.unwrap_or(NEVER);
    let forgiving = matches!(case.rule.on_restart, OnRestart::Ended | OnRestart::Reset);
    let ticked = |ticks: &Ticks| {
        let at = case.ticked(ticks, when.node, when.ts);
        if at == NEVER { NEVER } else { at.max(when.ts + ticks.and.unwrap_or(0)) }
    };
    let within = rule.within.map(|within| when.ts + within);
    let deadline = within.or(rule.ticks.as_ref().map(ticked)).unwrap_or(NEVER);
    // If its clock has not passed it by then, nobody knows.
    let waits = rule.ticks.as_ref().and_then(|ticks| ticks.or).map_or(NEVER, |or| when.ts + or);
    let stalled = deadline > waits && case.mutant != Mutant::Patient;
    let deadline = if stalled { waits } else { deadline };
    let by_event = closed.min(restarted);
    let (end, at_event) = if by_event <= deadline { (by_event, true) } else { (deadline, false) };

    // What certainly lies inside by `now`, and what may.
    let certain = |now: Time| {
        let inside = |ts: Time| {
            looked_back(ts) && ts <= now && !tied_start(ts) && if at_event { ts < end } else { !case.past(ts, end) }
        };
        of.iter().filter(|one| inside(one.ts)).count() as u64
    };
    if let Some(max) = rule.max {
        let times = of.iter().map(|one| one.ts.max(when.ts));
        let over = times.filter(|now| *now <= end && certain(*now) > max).min();
        if let Some(at) = over.filter(|at| !case.ended(&span, *at)) {
            return Some(Err(Found::at_event(when, at)));
        }
        if over.is_some() {
            return None;
        }
    }
    let possible = of
        .iter()
        .filter(|one| looked_back(one.ts))
        .filter(|one| if at_event { one.ts <= end } else { !case.past(one.ts, end) });
    let few = (possible.count() as u64) < min;
    let forgiven = forgiving && restarted <= end;
    if end == NEVER || case.ended(&span, end) || forgiven || stalled && !at_event {
        return None;
    }
    if !few {
        return Some(Ok(end));
    }
    let mut found = Found::at_event(when, end);
    found.certain = (end, !at_event);
    Some(Err(found))
}
