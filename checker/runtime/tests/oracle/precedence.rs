//! `precedence`, read directly: for each event a search for its support.
use crate::model::{Case, Event, Found, Mutant, OnRestart, Pattern, Precedence, Time};

pub fn judge(case: &Case<'_>, rule: &Precedence) -> Vec<Found> {
    let unsupported = |event: &&Event| {
        let Some(span) = case.span(event.ts) else { return false };
        let oldest = rule.within.map_or(0, |within| event.ts.saturating_sub(within));
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
                support.id != event.id && not_after && support.ts >= start && !case.too_old(support.ts, oldest)
            })
        };
        let enough = if rule.all { rule.requires.iter().all(supported) } else { rule.requires.iter().any(supported) };
        !enough && !rule.unless.iter().any(supported)
    };
    case.all(&rule.event, None).into_iter().filter(unsupported).map(|event| Found::at_event(event, event.ts)).collect()
}
