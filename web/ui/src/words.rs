//! A rule in plain words, for those who did not write it. Reads what was compiled, so it says what is judged, whatever the
//! comment above the rule says.
mod kinds;
mod meaning;
mod written;

pub use meaning::{Side, explain};

use std::time::Duration;

use engine::{CountSpan, Kind, Limit, OnRestart, Pack, Quorum, RoleIdx, Rule};

use crate::text::span;
use written::Written;

/// One sentence or two.
pub(crate) fn rule(pack: &Pack, rule: &Rule) -> String {
    let told = Written { pack, rule };
    let mut said = format!("{}{}{}{}.", scope(rule), during(told), body(told), kinds::modifiers(rule));
    if let Some(extra) = restart(pack, rule) {
        said.push(' ');
        said.push_str(&extra);
    }
    said
}

/// `For each node, batch.author and batch.id: `
fn scope(rule: &Rule) -> String {
    let parts: Vec<&str> = rule.key.iter().map(|part| part.name.as_str()).collect();
    match parts.as_slice() {
        [] => String::new(),
        [one] => format!("For each {one}: "),
        [first @ .., last] => format!("For each {} and {last}: ", first.join(", ")),
    }
}

fn during(told: Written<'_>) -> String {
    let Some(during) = &told.rule.during else { return String::new() };
    let name = |role: Option<RoleIdx>| role.map(|role| told.event(role));
    let mut said = match (name(during.after), name(during.until)) {
        (Some(after), Some(until)) => format!("between {after} and {until}"),
        (Some(after), None) => format!("after {after}"),
        (None, Some(until)) => format!("until {until}"),
        (None, None) => return String::new(),
    };
    if !during.delay.is_zero() {
        said.push_str(&format!(", from {} later on", span(during.delay)));
    }
    if let Some(within) = during.within {
        said.push_str(&format!(", for at most {}", span(within)));
    }
    said + ", "
}

/// Until when an answer is in time.
fn until(told: Written<'_>, when: RoleIdx, limit: &Limit) -> String {
    match limit {
        Limit::Within(within) => format!("within {}", span(*within)),
        Limit::By(marker) => format!("before {}", told.event(*marker)),
        Limit::Ticks(ticks) => format!("within {}", told.ticks(ticks)),
        Limit::Computed(limit) => format!("within {}", told.of_role(when, limit)),
    }
}

/// How many of the expected are enough: `2/3`, or `more than 1/2`.
fn enough(quorum: Quorum) -> String {
    format!("{}{}/{}", if quorum.more { "more than " } else { "" }, quorum.part, quorum.whole)
}

/// What excuses and what breaks an obligation.
fn but(told: Written<'_>, unless: Option<RoleIdx>, broken_by: Option<RoleIdx>, grace: Duration) -> String {
    let mut said = String::new();
    if let Some(unless) = unless {
        said.push_str(&format!(", unless {} comes", told.event(unless)));
    }
    if let Some(broken_by) = broken_by {
        said.push_str(&format!("; {} breaks it at once", told.event(broken_by)));
        if !grace.is_zero() {
            said.push_str(&format!(" (after {})", span(grace)));
        }
    }
    said
}

fn body(told: Written<'_>) -> String {
    let rule = told.rule;
    let name = |role: RoleIdx| told.event(role);
    if let Kind::Never { of, .. } = &rule.kind {
        return format!("{} must never happen", name(*of));
    }
    if let Kind::Always { of, assert } = &rule.kind {
        return format!("{} must hold of every {}", told.of_role(*of, assert), name(*of));
    }
    if let Kind::Response { when, then, limit, unless, broken_by, grace, pair, .. } = &rule.kind {
        let who = if *pair { ", one for each" } else { "" };
        let said =
            format!("each {} must be followed by {} {}{who}", name(*when), name(*then), until(told, *when, limit));
        return said + &but(told, *unless, *broken_by, *grace);
    }
    if let Kind::Expected { when, then, limit, of, except, quorum, unless, broken_by, grace, pair, .. } = &rule.kind {
        let mut who = match quorum {
            Some(quorum) => format!("by {} of {}", enough(*quorum), told.of_role(*when, of)),
            None => format!("by each of {}", told.of_role(*when, of)),
        };
        let except: Vec<String> = except.iter().map(|except| told.of_role(*when, except)).collect();
        if !except.is_empty() {
            who.push_str(&format!(" but {}", except.join(", ")));
        }
        let one = if *pair { ", one answer of each for each" } else { "" };
        let said = format!(
            "each {} must be followed by {} {}, {who}{one}",
            name(*when),
            name(*then),
            until(told, *when, limit)
        );
        return said + &but(told, *unless, *broken_by, *grace);
    }
    if let Kind::Precedence { event, requires, all, within, ticks, since, unless } = &rule.kind {
        let supports: Vec<String> = requires.iter().map(|role| name(*role)).collect();
        let joined = supports.join(if *all { " and " } else { " or " });
        let mut said = format!("each {} must have {joined} before it", name(*event));
        if let Some(within) = within {
            said.push_str(&format!(", no more than {} earlier", span(*within)));
        }
        if let Some(ticks) = ticks {
            said.push_str(&format!(", no more than {} earlier", told.counted(ticks)));
            said.push_str(&ticks.and.map_or(String::new(), |and| format!(" (or {})", span(and))));
        }
        if let Some(since) = since {
            said.push_str(&format!(", since the last {}", name(*since)));
        }
        if let Some(unless) = unless {
            said.push_str(&format!(", unless there was {}", name(*unless)));
        }
        return said;
    }
    if let Kind::Count { of, min, max, span: over, .. } = &rule.kind {
        let bounds = match (min, max) {
            (Some(min), Some(max)) if min == max => format!("exactly {min}"),
            (Some(min), Some(max)) => format!("between {min} and {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => "any number of".to_owned(),
        };
        let over = match over {
            CountSpan::Window(window) => format!("in any {}", span(*window)),
            CountSpan::Per { when, until, within, ticks, .. } => {
                let end = match (until, within, ticks) {
                    (Some(until), ..) => format!(" until {}", name(*until)),
                    (None, Some(within), _) => format!(" for {}", span(*within)),
                    (None, None, Some(ticks)) => format!(" for {}", told.ticks(ticks)),
                    (None, None, None) => String::new(),
                };
                format!("from each {}{end}", name(*when))
            }
            _ => "ever".to_owned(),
        };
        return format!("there may be {bounds} {} {over}", name(*of)).replace("may be at least", "must be at least");
    }
    if let Kind::Agreement { of, value, among, within, voters, assert } = &rule.kind {
        let value = told.of_role(*of, value);
        let who: Vec<String> = among.iter().map(|who| told.of_role(*of, who)).collect();
        let who = if who.is_empty() { "node".to_owned() } else { who.join(" and ") };
        let listed = voters.as_ref().map(|voters| format!(" among {}", told.of_role(*of, voters)));
        let listed = listed.unwrap_or_default();
        if let Some(assert) = assert {
            let after = span(within.unwrap_or_default());
            let assert = told.with_locals(&["values", "dissent", "voters"], assert);
            return format!(
                "{after} after the first {}, {assert} must hold of the {value} that each {who}{listed} said last",
                name(*of)
            );
        }
        let within = within.map(|within| format!(" (votes count for {} after the first)", span(within)));
        let within = within.unwrap_or_default();
        return format!("every {who}{listed} that reports {} must report the same {value}{within}", name(*of));
    }
    if let Kind::Consecutive { fail, ok, count, .. } = &rule.kind {
        return format!("{} must not happen {count} times in a row without {}", name(*fail), name(*ok));
    }
    if let Kind::Heartbeat { of, every, start, stop, while_, .. } = &rule.kind {
        let mut said = format!("{} must come at least every {}", name(*of), span(*every));
        if let Some(start) = start {
            said.push_str(&format!(", from {} on", name(*start)));
        }
        if let Some(stop) = stop {
            said.push_str(&format!(", until {}", name(*stop)));
        }
        if let Some(while_) = while_ {
            said.push_str(&format!("; silence counts only while there is {}", name(*while_)));
        }
        return said;
    }
    kinds::body(told).unwrap_or_else(|| {
        let roles: Vec<String> = rule.roles.iter().map(|role| format!("{} {}", role.name, role.label)).collect();
        format!("{}: {}", rule.kind.name(), roles.join(", "))
    })
}

/// Whether a restart of the key's node can be known.
fn sees_restarts(pack: &Pack, rule: &Rule) -> bool {
    !pack.lifecycles.is_empty() && rule.key.iter().any(|part| part.name == "node")
}

fn restart(pack: &Pack, rule: &Rule) -> Option<String> {
    let Kind::Response { .. } = &rule.kind else { return None };
    if !sees_restarts(pack, rule) {
        return None;
    }
    match rule.on_restart {
        OnRestart::Broken => Some("A restart of the node breaks what is still owed.".to_owned()),
        OnRestart::Ended => Some("A restart of the node forgives what is still owed.".to_owned()),
        _ => None,
    }
}

/// The rule's own lines of its pack, with its comments before it.
pub(crate) fn as_written(yaml: &str, line: u32) -> String {
    let lines: Vec<&str> = yaml.lines().collect();
    let start = (line as usize).saturating_sub(1);
    let Some(first) = lines.get(start) else { return String::new() };
    let indent = |text: &str| text.len() - text.trim_start().len();
    let depth = indent(first);
    let end = lines[start + 1..]
        .iter()
        .position(|line| !line.trim().is_empty() && indent(line) <= depth && !line.trim_start().starts_with('#'))
        .map_or(lines.len(), |found| start + 1 + found);
    let mut from = start;
    while from > 0 && lines[from - 1].trim_start().starts_with('#') {
        from -= 1;
    }
    let mut to = end;
    while to > start + 1 && (lines[to - 1].trim().is_empty() || lines[to - 1].trim_start().starts_with('#')) {
        to -= 1;
    }
    let cut = |line: &&str| line.get(depth.min(indent(line))..).unwrap_or_default().to_owned();
    lines[from..to].iter().map(cut).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: &str = "pack: p
lifecycle:
  - of: [node]
    started: node.started
rules:
  # A comment of its own.
  - id: answered
    severity: high
    key: [node, request.id]
    response:
      when: request.received
      then: request.answered
      within: 90s
    message: \"{node}: no answer\"

  # About the next one.
  - id: quiet
    severity: low
    key: [node]
    count: { of: alarm.rang, max: 3, window: 10m }
";

    fn words() -> Vec<(String, String)> {
        let (pack, diagnostics) = lang::compile(PACK, "p.yaml", &lang::Options::default());
        let pack = pack.unwrap_or_else(|| panic!("{diagnostics:?}"));
        pack.rules.iter().map(|found| (rule(&pack, found), as_written(PACK, found.line))).collect()
    }

    #[test]
    fn rules_are_said_in_plain_words() {
        let words = words();
        assert_eq!(
            words[0].0,
            "For each node and request.id: each request.received must be followed by request.answered within 1 min 30 s. \
             A restart of the node breaks what is still owed."
        );
        assert_eq!(words[1].0, "For each node: there may be at most 3 alarm.rang in any 10 min.");
    }

    #[test]
    fn a_rule_is_shown_as_written_without_its_neighbours() {
        let written = &words()[0].1;
        assert!(written.starts_with("# A comment of its own.\n- id: answered"), "{written}");
        assert!(written.ends_with("message: \"{node}: no answer\""), "{written}");
    }
}
