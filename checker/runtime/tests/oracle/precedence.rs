//! `precedence`, read directly: for each event a search for its support.
use crate::{
    case::{Case, Mutant},
    clocks::Ticks,
    model::{Event, Found, OnRestart, Pattern, Precedence, Time},
};

/// The events that must have support, with whether they have it.
fn judged<'a>(case: &Case<'a>, rule: &Precedence) -> Vec<(&'a Event, bool)> {
    let supported = |event: &Event| {
        let span = case.span(event.ts)?;
        let oldest = match &rule.ticks {
            // Of two ends the one that reaches farther back.
            Some(ticks) => ticks.and.map_or(event.ts + 1, |and| event.ts.saturating_sub(and)),
            None => rule.within.map_or(0, |within| event.ts.saturating_sub(within)),
        };
        // A deadline in ticks that begins with the support has not passed before the event.
        let in_ticks = |support: &Event| {
            let lasts = |ticks: &Ticks| case.ticked(ticks, event.node, support.ts) >= event.ts;
            rule.ticks.as_ref().is_some_and(lasts)
        };
        let opened = case.some(&rule.since, None).into_iter().map(|opener| opener.ts);
        let mut starts: Vec<Time> = opened.filter(|ts| *ts < event.ts).collect();
        if case.rule.on_restart == OnRestart::Reset {
            starts.extend(case.restarts().into_iter().map(|start| start.ts).filter(|ts| *ts < event.ts));
        }
        let start = starts.into_iter().max().unwrap_or(0).max(span.from);
        let supported = |pattern: &Pattern| {
            case.all(pattern, Some(event)).into_iter().any(|support| {
                let not_after = match case.mutant {
                    Mutant::OrderedTies => (support.ts, support.id) <= (event.ts, event.id),
                    _ => support.ts <= event.ts,
                };
                support.id != event.id
                    && not_after
                    && support.ts >= start
                    && (in_ticks(support) || !case.too_old(support.ts, oldest))
            })
        };
        let enough = if rule.all { rule.requires.iter().all(supported) } else { rule.requires.iter().any(supported) };
        Some(enough || rule.unless.iter().any(supported))
    };
    let events = case.all(&rule.event, None).into_iter();
    events.filter_map(|event| Some((event, supported(event)?))).collect()
}

pub fn judge(case: &Case<'_>, rule: &Precedence) -> Vec<Found> {
    let unsupported = judged(case, rule).into_iter().filter(|(_, supported)| !supported);
    unsupported.map(|(event, _)| Found::at_event(event, event.ts)).collect()
}

/// The events that have it.
pub fn held<'a>(case: &Case<'a>, rule: &Precedence) -> Vec<(&'a Event, Time)> {
    let supported = judged(case, rule).into_iter().filter(|(_, supported)| *supported);
    supported.map(|(event, _)| (event, event.ts)).collect()
}
