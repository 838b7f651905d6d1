//! `consecutive`, read directly: at each time the failures are laid around the successes as it suits the rule best.
use crate::{
    case::{Case, Mutant, Span},
    model::{Event, Found, OnRestart, Pattern, Time},
};

pub fn judge(case: &Case<'_>, fail: &Pattern, ok: &Pattern, count: u64) -> Vec<Found> {
    let fails = case.all(fail, None);
    let ends = case.all(ok, None);
    let restarts = if case.rule.on_restart == OnRestart::Keep { Vec::new() } else { case.restarts() };
    let mut times: Vec<Time> = fails.iter().chain(&ends).chain(&restarts).map(|event| event.ts).collect();
    times.sort_unstable();
    times.dedup();
    let mut found = Vec::new();
    let mut row = 0;
    let mut last: Option<Span> = None;
    for now in times {
        let of = |events: &[&Event]| events.iter().filter(|event| event.ts == now).count();
        let span = case.span(now);
        if span.is_some() && span != last {
            (row, last) = (0, span);
        }
        let inside: Vec<&Event> = fails.iter().copied().filter(|fail| fail.ts == now && span.is_some()).collect();
        let breaks = usize::from(of(&restarts) > 0) + if span.is_some() { of(&ends) } else { 0 };
        // The rows this time may be cut into: the one under way, full ones between, the one that goes on.
        let room = if breaks == 0 {
            0
        } else if row >= count {
            inside.len()
        } else {
            usize::try_from(count - 1 - row).unwrap() + (breaks - 1) * usize::try_from(count - 1).unwrap()
        };
        let first = if case.mutant == Mutant::OrderedTies { 0 } else { room.min(inside.len()) };
        if breaks > 0 {
            row = 0;
        }
        for fail in &inside[first..] {
            row += 1;
            if row == count {
                found.push(Found::at_event(fail, now));
            }
        }
    }
    found
}
