//! `monotonic`, read directly: each value beside the one before it.
use crate::{
    case::{Case, Mutant, Span},
    model::{Event, Found, Monotonic, OnRestart, Time},
};

pub fn judge(case: &Case<'_>, rule: &Monotonic) -> Vec<Found> {
    let resets = case.some(&rule.reset, None);
    let restarts = match case.rule.on_restart {
        OnRestart::Ended | OnRestart::Reset => case.restarts(),
        OnRestart::Broken | OnRestart::Keep => Vec::new(),
    };
    let all = case.all(&rule.event, None);
    let mut times: Vec<Time> = all.iter().chain(&resets).chain(&restarts).map(|event| event.ts).collect();
    times.sort_unstable();
    times.dedup();
    let mut run = Run { rule, last: None, found: Vec::new() };
    let mut known: Option<Span> = None;
    for now in times {
        let span = case.span(now);
        if span.is_none() || span != known {
            run.last = None;
        }
        known = span;
        let mut values: Vec<&Event> = all.iter().copied().filter(|value| value.ts == now && span.is_some()).collect();
        // In the order asked for, or against it.
        values.sort_by_key(|value| (value.x, value.id));
        if rule.rises == case.rule.strict {
            values.reverse();
        }
        if case.mutant == Mutant::OrderedTies {
            values.sort_by_key(|value| value.id);
        }
        let is_reset = |value: &Event| resets.iter().any(|reset| reset.id == value.id);
        if !resets.iter().chain(&restarts).any(|cut| cut.ts == now) {
            values.into_iter().for_each(|value| run.take(value));
            continue;
        }
        // Before the cut whatever goes on, behind it the others.
        let mut behind = Vec::new();
        for value in values {
            let goes_on = run.last.is_none_or(|last| rule.follows(last, value.x));
            if !is_reset(value) && (goes_on || case.rule.strict) {
                run.take(value);
            } else {
                behind.push(value);
            }
        }
        run.last = None;
        behind.into_iter().for_each(|value| run.take(value));
    }
    run.found
}

struct Run<'a> {
    rule: &'a Monotonic,
    last: Option<i64>,
    found: Vec<Found>,
}

impl Run<'_> {
    fn take(&mut self, value: &Event) {
        if self.last.is_some_and(|last| !self.rule.follows(last, value.x)) {
            self.found.push(Found::at_event(value, value.ts));
        }
        self.last = Some(value.x);
    }
}

impl Monotonic {
    fn follows(&self, last: i64, next: i64) -> bool {
        let up = if self.rises { next - last } else { last - next };
        if up == 0 { self.equal } else { up > 0 && self.step.is_none_or(|step| up == step) }
    }
}
