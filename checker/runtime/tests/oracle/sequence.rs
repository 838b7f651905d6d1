//! `sequence`, read directly: for each last step a search for steps that lead to it.
use crate::{
    case::{Case, Mutant},
    model::{Event, Found, OnRestart, Sequence},
};

pub fn judge(case: &Case<'_>, rule: &Sequence) -> Vec<Found> {
    let last = rule.steps.len() - 1;
    let firsts = case.all(&rule.steps[0].of, None);
    let leads_to = |last_step: &Event| {
        firsts.iter().any(|first| {
            let near = !case.past(last_step.ts, first.ts + rule.within);
            near && reaches(case, rule, &mut vec![*first], last_step)
        })
    };
    // The last step is any that may stand there; which of the conditions on others hold is asked with its beginning.
    let mut ends = case.all(&rule.steps[last].of, None);
    ends.retain(|end| leads_to(end));
    ends.into_iter().map(|end| Found::at_event(end, end.ts)).collect()
}

/// Whether the steps taken can be continued up to that last one.
fn reaches<'a>(case: &Case<'a>, rule: &Sequence, taken: &mut Vec<&'a Event>, last: &Event) -> bool {
    let place = taken.len();
    if place == rule.steps.len() {
        return taken[place - 1].id == last.id;
    }
    let (first, before) = (taken[0], taken[place - 1]);
    let step = &rule.steps[place];
    case.all(&step.of, Some(first)).into_iter().any(|next| {
        let in_order = if case.rule.strict { before.ts <= next.ts } else { before.ts < next.ts };
        let between = |one: &&Event| {
            if case.rule.strict || case.mutant == Mutant::OpenBetween {
                before.ts < one.ts && one.ts < next.ts
            } else {
                before.ts <= one.ts && one.ts <= next.ts
            }
        };
        let interrupted = step.not.iter().any(|not| case.all(not, Some(first)).iter().any(between));
        if !in_order || interrupted || taken.iter().any(|one| one.id == next.id) || !together(case, first, next) {
            return false;
        }
        taken.push(next);
        let whole = reaches(case, rule, taken, last);
        taken.pop();
        whole
    })
}

/// Whether both lie in one span, and in the life of one process if the rule asks for that.
fn together(case: &Case<'_>, first: &Event, next: &Event) -> bool {
    // What is beside a start belongs to the process before, unless it is the start; taken strictly, to the new one.
    let restarts = case.restarts();
    let begins =
        |start: &Event| first.ts == start.ts && (case.rule.strict || restarts.iter().any(|start| start.id == first.id));
    let parts = |start: &&Event| first.ts <= start.ts && start.ts <= next.ts && !begins(start);
    let apart = matches!(case.rule.on_restart, OnRestart::Ended | OnRestart::Reset) && restarts.iter().any(parts);
    case.span(first.ts).is_some_and(|span| case.span(next.ts) == Some(span)) && !apart
}
