//! Plain words for the kinds that follow values, states, steps, holders and figures.
use engine::{Aggregate, AggregateSpan, Kind, Measure, Order, RoleIdx, Rule, StateRead, Term, expr::Expr};
use event::Value;

use super::written::Written;
use crate::text::span;

/// What the rule asks, if it is of one of these kinds.
pub(super) fn body(told: Written<'_>) -> Option<String> {
    let rule = told.rule;
    let name = |role: RoleIdx| told.event(role);
    if let Kind::Monotonic { of, value, order, step, reset } = &rule.kind {
        let way = match order {
            Order::Increasing => "may only rise",
            Order::Nondecreasing => "may not fall",
            Order::Decreasing => "may only fall",
            Order::Nonincreasing => "may not rise",
        };
        let mut said = format!("{} of {} {way}", told.of_role(*of, value), name(*of));
        if let Some(step) = step {
            said.push_str(&format!(", in steps of {step}"));
        }
        if let Some(reset) = reset {
            said.push_str(&format!("; {} lets it begin anew", name(*reset)));
        }
        return Some(said);
    }
    if let Kind::StateMachine { read, initial, states } = &rule.kind {
        let named = |number: u16| states.get(usize::from(number)).map_or("?", |state| state.name.as_str());
        let mut said = match read {
            StateRead::Value { of, state } => {
                format!("{} of {} changes only along ", told.of_role(*of, state), name(*of))
            }
            StateRead::Roles(_) => String::from("states change only along "),
        };
        let ways: Vec<String> = states
            .iter()
            .filter(|state| !state.to.is_empty())
            .map(|state| {
                let to: Vec<&str> = state.to.iter().map(|next| named(*next)).collect();
                format!("{} → {}", state.name, to.join(" or "))
            })
            .collect();
        said.push_str(&ways.join(", "));
        if let Some(initial) = initial {
            said.push_str(&format!(", beginning with {}", named(*initial)));
        }
        let terminal: Vec<&str> = states.iter().filter(|s| s.terminal).map(|s| s.name.as_str()).collect();
        if !terminal.is_empty() {
            said.push_str(&format!("; nothing comes after {}", terminal.join(" or ")));
        }
        for state in states {
            if let Some(limit) = state.limit {
                said.push_str(&format!("; {} lasts at most {}", state.name, span(limit)));
            }
        }
        if let StateRead::Roles(roles) = read {
            let told: Vec<String> =
                roles.iter().map(|(role, state)| format!("{} with {}", named(*state), name(*role))).collect();
            said.push_str(&format!("; it comes to {}", told.join(", to ")));
        }
        return Some(said);
    }
    if let Kind::Order { steps, within } = &rule.kind {
        let steps: Vec<String> = steps
            .iter()
            .map(|step| {
                let due = step.condition.as_ref().map(|due| match due {
                    Expr::Const(Value::Bool(false)) => " (which need not come)".to_owned(),
                    due => format!(" (due if {})", told.of_role(steps[0].role, due)),
                });
                format!("{}{}", name(step.role), due.unwrap_or_default())
            })
            .collect();
        let within = within.map(|within| format!(", each no more than {} after the earlier ones", span(within)));
        return Some(format!("in this order: {}{}", steps.join(", then "), within.unwrap_or_default()));
    }
    if let Kind::Sequence { steps, within } = &rule.kind {
        let mut parts: Vec<String> = Vec::new();
        for step in steps {
            let not: Vec<String> = step.not.iter().map(|role| name(*role)).collect();
            let without = if not.is_empty() { String::new() } else { format!("without {} between ", not.join(" or ")) };
            parts.push(format!("{without}{}", name(step.role)));
        }
        return Some(format!("within {} this must not be seen: {}", span(*within), parts.join(", then ")));
    }
    if let Kind::Exclusive { enter, exit, renew, ttl, holder, max } = &rule.kind {
        let since = renew.map(|renew| format!(" since the last {}", name(renew))).unwrap_or_default();
        let ttl = ttl.map(|ttl| format!(" or {} have passed{since}", span(ttl))).unwrap_or_default();
        let who = holder.get(usize::from(*enter)).and_then(Option::as_ref);
        let who = who.map_or_else(|| "holder".to_owned(), |holder| told.of_role(*enter, holder));
        return Some(format!("at most {max} {who} may hold at once, from {} until {}{ttl}", name(*enter), name(*exit)));
    }
    if let Kind::Aggregate(aggregate) = &rule.kind {
        let over = match aggregate.span {
            AggregateSpan::Window(window) => format!("in any {}", span(window)),
            AggregateSpan::Close(close) => format!("at each {}, since the one before", name(close)),
            AggregateSpan::Tumbling(length) => format!("in each {} on its own", span(length)),
        };
        let terms: Vec<String> = aggregate.terms.iter().map(|term| measured(told, aggregate, term)).collect();
        let mut names: Vec<String> = aggregate.terms.iter().map(|term| term.name.clone()).collect();
        names.extend(rule.key.iter().map(|part| part.name.clone()));
        let each = aggregate.each.as_ref().map(|each| {
            let members = told.over(&names, &each.members);
            names.push(each.name.clone());
            names.extend(aggregate.names().skip(aggregate.terms.len()));
            format!(", of each {} in {members}", each.name)
        });
        let assert = told.over(&names, &aggregate.assert);
        return Some(format!("{over}{}, {assert} must hold; {}", each.unwrap_or_default(), terms.join(", ")));
    }
    None
}

/// What a term measures: `errors is the number of request.done where code >= 500`.
fn measured(told: Written<'_>, aggregate: &Aggregate, term: &Term) -> String {
    let event = told.event(term.of);
    let value = term.value.as_ref().map(|value| told.of_role(term.of, value));
    let of = |what: &str| match &value {
        Some(value) => format!("{what} {value} of {event}"),
        None => format!("{what} {event}"),
    };
    let figure = match (term.measure, &value) {
        (Measure::Count, Some(value)) if value != "1" && value != "true" => {
            format!("the number of {event} with {value}")
        }
        (Measure::Count, _) => format!("the number of {event}"),
        (Measure::Sum, _) => of("the sum of"),
        (Measure::Avg, _) => of("the mean of"),
        (Measure::Min, _) => of("the least"),
        (Measure::Max, _) => of("the greatest"),
        (Measure::First, _) => of("the first"),
        (Measure::Last, _) => of("the last"),
        (Measure::Distinct, _) => of("the number of different"),
        (Measure::Increase, _) => of("the increase of"),
        (Measure::Slope, _) => of("the slope per second of"),
        (Measure::Duration, _) => of("how long it was so:"),
        (Measure::Percentile(place), _) => {
            let place = f64::from(place) / 100.0;
            of(&format!("the {place}th percentile of"))
        }
    };
    let own = term.window.filter(|own| aggregate.window(term) == Some(*own) && !is_of_all(aggregate, term));
    let window = own.map(|own| format!(" in the last {}", span(own))).unwrap_or_default();
    let offset = if term.offset.is_zero() { String::new() } else { format!(", {} earlier", span(term.offset)) };
    format!("{} is {figure}{window}{offset}", term.name)
}

/// Whether the term's window is that of all.
fn is_of_all(aggregate: &Aggregate, term: &Term) -> bool {
    matches!(aggregate.span, AggregateSpan::Window(window) if term.window == Some(window))
}

/// What is asked of the time and the order of events besides: how long a level must last, and what ties and clocks forgive.
pub(super) fn modifiers(rule: &Rule) -> String {
    let mut said = String::new();
    if let Some(hold) = rule.hold {
        said.push_str(&format!("; what breaks it must last for more than {}", span(hold.lasts)));
    }
    if !rule.slack.is_zero() {
        said.push_str(&format!("; clocks may differ by {}", span(rule.slack)));
    }
    if matches!(rule.ties, engine::Ties::Strict) {
        said.push_str("; the same time is neither before nor after");
    }
    said
}

#[cfg(test)]
mod tests {
    /// What is said of a rule of this kind.
    fn said(rule: &str) -> String {
        let pack = format!("pack: p\nrules:\n  - id: r\n    key: [node]\n{rule}");
        let (pack, diagnostics) = lang::compile(&pack, "p.yaml", &lang::Options::default());
        let pack = pack.unwrap_or_else(|| panic!("{diagnostics:?}"));
        super::super::rule(&pack, &pack.rules[0])
    }

    #[test]
    fn the_later_kinds_are_said_in_plain_words() {
        assert_eq!(
            said(
                "    monotonic:\n      event: a\n      value: v\n      order: increasing\n      step: 1\n      reset: r\n"
            ),
            "For each node: v of a may only rise, in steps of 1; r lets it begin anew."
        );
        assert_eq!(
            said(
                "    state_machine:\n      event: a\n      state: s\n      initial: off\n      transitions:\n        off: [on_]\n        on_: [off, dead]\n        dead: []\n      terminal: [dead]\n      limits:\n        on_: 5s\n"
            ),
            "For each node: s of a changes only along off → on_, on_ → off or dead, beginning with off; nothing comes after \
             dead; on_ lasts at most 5 s."
        );
        assert_eq!(
            said(
                "    order:\n      steps:\n        - a\n        - event: b\n          if: false\n        - c\n    slack: 5ms\n"
            ),
            "For each node: in this order: a, then b (which need not come), then c; clocks may differ by 5 ms."
        );
        assert_eq!(
            said("    sequence:\n      steps:\n        - a\n        - not: n\n        - b\n      within: 30s\n"),
            "For each node: within 30 s this must not be seen: a, then without n between b."
        );
        assert_eq!(
            said("    exclusive:\n      enter: a\n      exit: b\n      ttl: 30s\n      holder: h\n"),
            "For each node: at most 1 h may hold at once, from a until b or 30 s have passed."
        );
        assert_eq!(
            said(
                "    aggregate:\n      terms:\n        n:\n          count: a\n      window: 1m\n      assert: n < 5\n    for: 10s\n"
            ),
            "For each node: in any 1 min, n < 5 must hold; n is the number of a; what breaks it must last for more than 10 s."
        );
    }
}
