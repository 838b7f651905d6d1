//! `order`, read directly: for each step a search for the steps that it needs, and for those that it comes too late for.
use crate::{
    case::{Case, Mutant},
    model::{Event, Found, OnRestart, Order, Time},
};

pub fn judge(case: &Case<'_>, rule: &Order) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (place, step) in rule.steps.iter().enumerate() {
        for event in case.all(&step.of, None) {
            let Some(from) = look_back(case, rule, event) else { continue };
            let late = step.due.is_some() && comes_too_late(case, rule, place, event, from);
            let lacking = (0..place).any(|earlier| {
                is_due(case, rule, earlier, event, false) && !has_come(case, rule, earlier, event, from)
            });
            if !late && !lacking {
                continue;
            }
            let mut one = Found::at_event(event, event.ts);
            if !late && rule.slack > 0 {
                one.certain = (event.ts + rule.slack, true);
            }
            // One event, one violation.
            match found.iter_mut().find(|known| known.anchor == one.anchor) {
                Some(known) => known.certain = known.certain.min(one.certain),
                None => found.push(one),
            }
        }
    }
    found
}

/// From when on earlier steps count; none outside of every span.
fn look_back(case: &Case<'_>, rule: &Order, event: &Event) -> Option<Time> {
    let span = case.span(event.ts)?;
    let oldest = rule.within.map_or(0, |within| event.ts.saturating_sub(within));
    let mut from = oldest.max(span.from);
    if case.mutant == Mutant::OpenLookBack && rule.within.is_some() {
        from += 1;
    }
    Some(from.max(begun(case, event)))
}

/// Whether an earlier step has come, or still comes within the slack.
fn has_come(case: &Case<'_>, rule: &Order, earlier: usize, event: &Event, from: Time) -> bool {
    let in_time = |one: &Event| {
        if case.rule.strict {
            one.ts < event.ts
        } else if case.mutant == Mutant::OrderedTies && one.ts == event.ts {
            one.id < event.id
        } else {
            one.ts <= event.ts + rule.slack
        }
    };
    case.all(&rule.steps[earlier].of, None).into_iter().any(|one| one.id != event.id && one.ts >= from && in_time(one))
}

/// Whether a step that need not come does so strictly later than one that follows it, and not for the second time.
fn comes_too_late(case: &Case<'_>, rule: &Order, place: usize, event: &Event, from: Time) -> bool {
    let again = case.all(&rule.steps[place].of, None).into_iter().any(|one| one.ts >= from && one.ts < event.ts);
    let followed = rule.steps[place + 1..].iter().any(|step| {
        case.all(&step.of, None).into_iter().any(|follower| {
            let earlier = if case.rule.strict { follower.ts <= event.ts } else { follower.ts + rule.slack < event.ts };
            follower.id != event.id && follower.ts >= from && earlier
        })
    });
    !again && followed && !is_due(case, rule, place, event, true)
}

/// Whether a step must come, by the `x` of the last first step. Of several at one time the one counts that suits the rule,
/// which would `rather` have the step due or not. What comes too late asks those strictly before it, and what a restart has
/// ended is not asked.
fn is_due(case: &Case<'_>, rule: &Order, place: usize, event: &Event, rather: bool) -> bool {
    let Some(condition) = rule.steps[place].due else { return true };
    let Some((compare, value)) = condition else { return false };
    let begun = begun(case, event);
    let known = |first: &&Event| {
        first.ts >= begun && if case.rule.strict || rather { first.ts < event.ts } else { first.ts <= event.ts }
    };
    let firsts: Vec<&Event> = case.all(&rule.steps[0].of, None).into_iter().filter(known).collect();
    let Some(last) = firsts.last().map(|first| first.ts) else { return false };
    let mut asked = firsts.iter().filter(|first| first.ts == last).map(|first| compare.holds(first.x, value));
    if rather == case.rule.strict { asked.all(|due| due) } else { asked.any(|due| due) }
}

/// When the run began that an event belongs to, where a restart ends an instance.
fn begun(case: &Case<'_>, event: &Event) -> Time {
    if !matches!(case.rule.on_restart, OnRestart::Ended | OnRestart::Reset) {
        return 0;
    }
    case.restarts().iter().map(|start| start.ts).filter(|ts| *ts < event.ts).max().unwrap_or(0)
}
