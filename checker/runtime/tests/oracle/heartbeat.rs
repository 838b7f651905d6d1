//! `heartbeat`, read directly: from each sign of life to the next one, or to the end of what is expected.
use crate::{
    case::Case,
    model::{Event, Found, Heartbeat, NEVER, OnRestart, Time},
};

pub fn judge(case: &Case<'_>, rule: &Heartbeat, end: Time) -> Vec<Found> {
    let beats = case.all(&rule.event, None);
    let starts = case.some(&rule.start, None);
    let mut stops: Vec<Time> = case.some(&rule.stop, None).iter().map(|stop| stop.ts).collect();
    if matches!(case.rule.on_restart, OnRestart::Ended | OnRestart::Reset) {
        stops.extend(case.restarts().iter().map(|restart| restart.ts));
    }
    let inside = |event: &&&Event| case.span(event.ts).is_some();
    // What calls for the next sign: a start, or a beat; with `start`, a beat only while life is already expected.
    let expected_at = |ts: Time| {
        let begun = starts.iter().filter(inside).map(|start| start.ts).filter(|start| *start <= ts).max();
        begun.is_some_and(|begun| !stops.iter().any(|stop| begun <= *stop && *stop < ts))
    };
    let counts = |ts: &Time| rule.start.is_none() || expected_at(*ts);
    let mut signs: Vec<Time> = starts.iter().filter(inside).map(|start| start.ts).collect();
    signs.extend(beats.iter().filter(inside).map(|beat| beat.ts).filter(counts));
    // A beat outside of every span ends a silence and starts none.
    let outside: Vec<Time> = beats.iter().filter(|beat| !inside(beat)).map(|beat| beat.ts).collect();
    signs.sort_unstable();
    signs.dedup();
    let mut found = Vec::new();
    for &sign in &signs {
        // A stop of the same time comes after the sign: nothing is expected then.
        if stops.contains(&sign) {
            continue;
        }
        let Some(span) = case.span(sign) else { continue };
        let returns = signs.iter().chain(&outside).copied().filter(|next| *next > sign).min().unwrap_or(NEVER);
        let stop = stops.iter().copied().filter(|stop| *stop > sign).min().unwrap_or(NEVER);
        let onset = sign + rule.every;
        let (at, certain) = match &rule.while_ {
            None => (onset, (onset, true)),
            Some(shown) => {
                let shown = case.all(shown, None).into_iter().map(|shown| shown.ts);
                // Those outside of the sign's span show nothing.
                let first = shown.filter(|ts| case.past(*ts, onset) && case.span(*ts) == Some(span)).min();
                let at = first.unwrap_or(NEVER);
                (at, (at, false))
            }
        };
        // Time alone shows the silence after the events of that time, and an event beside what ends the silence never.
        let over = returns.min(stop);
        let silent = if rule.while_.is_some() { at < over } else { case.past(over, at) };
        if at > end || !silent || case.ended(&span, at) {
            continue;
        }
        let resolved = Some(over).filter(|over| *over <= end);
        found.push(Found { at, anchor: None, anchor_ts: onset, resolved, missing: 0, certain });
    }
    found
}
