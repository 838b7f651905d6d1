//! Plain words for the kinds that follow values, states, steps, holders and figures.
use engine::{AggregateSpan, Kind, Order, RoleIdx, Rule};

use super::label;
use crate::text::span;

/// What the rule asks, if it is of one of these kinds.
pub(super) fn body(rule: &Rule) -> Option<String> {
    let name = |role: RoleIdx| label(rule, role);
    if let Kind::Monotonic { of, order, step, reset, .. } = &rule.kind {
        let way = match order {
            Order::Increasing => "may only rise",
            Order::Nondecreasing => "may not fall",
            Order::Decreasing => "may only fall",
            Order::Nonincreasing => "may not rise",
        };
        let mut said = format!("the value of {} {way}", name(*of));
        if let Some(step) = step {
            said.push_str(&format!(", in steps of {step}"));
        }
        if let Some(reset) = reset {
            said.push_str(&format!("; {} lets it begin anew", name(*reset)));
        }
        return Some(said);
    }
    if let Kind::StateMachine { initial, states, .. } = &rule.kind {
        let named = |number: u16| states.get(usize::from(number)).map_or("?", |state| state.name.as_str());
        let mut said = String::from("states change only along ");
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
        return Some(said);
    }
    if let Kind::Order { steps, within } = &rule.kind {
        let steps: Vec<String> = steps
            .iter()
            .map(|step| {
                let optional = if step.condition.is_some() { " (where it is due)" } else { "" };
                format!("{}{optional}", name(step.role))
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
    if let Kind::Exclusive { enter, exit, ttl, max, .. } = &rule.kind {
        let ttl = ttl.map(|ttl| format!(" or {} have passed", span(ttl))).unwrap_or_default();
        return Some(format!("at most {max} may hold at once, from {} until {}{ttl}", name(*enter), name(*exit)));
    }
    if let Kind::Aggregate(aggregate) = &rule.kind {
        let terms: Vec<String> =
            aggregate.terms.iter().map(|term| format!("{} of {}", term.name, name(term.of))).collect();
        let over = match aggregate.span {
            AggregateSpan::Window(window) => format!("in any {}", span(window)),
            AggregateSpan::Close(close) => format!("at each {}", name(close)),
            AggregateSpan::Tumbling(length) => format!("in each {} on its own", span(length)),
        };
        return Some(format!("{over}, {} must be as the rule asserts", terms.join(" and ")));
    }
    None
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
        super::super::rule(&pack.unwrap_or_else(|| panic!("{diagnostics:?}")).rules[0])
    }

    #[test]
    fn the_later_kinds_are_said_in_plain_words() {
        assert_eq!(
            said(
                "    monotonic:\n      event: a\n      value: v\n      order: increasing\n      step: 1\n      reset: r\n"
            ),
            "For each node: the value of a may only rise, in steps of 1; r lets it begin anew."
        );
        assert_eq!(
            said(
                "    state_machine:\n      event: a\n      state: s\n      initial: off\n      transitions:\n        off: [on_]\n        on_: [off, dead]\n        dead: []\n      terminal: [dead]\n      limits:\n        on_: 5s\n"
            ),
            "For each node: states change only along off → on_, on_ → off or dead, beginning with off; nothing comes after \
             dead; on_ lasts at most 5 s."
        );
        assert_eq!(
            said(
                "    order:\n      steps:\n        - a\n        - event: b\n          if: false\n        - c\n    slack: 5ms\n"
            ),
            "For each node: in this order: a, then b (where it is due), then c; clocks may differ by 5 ms."
        );
        assert_eq!(
            said("    sequence:\n      steps:\n        - a\n        - not: n\n        - b\n      within: 30s\n"),
            "For each node: within 30 s this must not be seen: a, then without n between b."
        );
        assert_eq!(
            said("    exclusive:\n      enter: a\n      exit: b\n      ttl: 30s\n      holder: h\n"),
            "For each node: at most 1 may hold at once, from a until b or 30 s have passed."
        );
        assert_eq!(
            said(
                "    aggregate:\n      terms:\n        n:\n          count: a\n      window: 1m\n      assert: n < 5\n    for: 10s\n"
            ),
            "For each node: in any 1 min, n of a must be as the rule asserts; what breaks it must last for more than 10 s."
        );
    }
}
