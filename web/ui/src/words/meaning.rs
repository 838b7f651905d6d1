//! A rule's exact meaning: what is judged, when that is known, what time and order decide, what absence proves, what is kept,
//! and what follows from a violation. For authors, where one sentence is not enough.
use std::time::Duration;

use engine::{AggregateSpan, CountSpan, Emit, EmitOn, Kind, Limit, Mode, OnRestart, Pack, Rule, Ties};

use super::{rule as sentence, sees_restarts, written::Written};
use crate::text::{number, span};

/// About what an instance at rest takes besides its key, in bytes, where it keeps one event or two.
const AT_REST_BYTES: u64 = 250;

/// For how long a node has just begun, where the rule does not say.
const SETTLE: Duration = Duration::from_secs(5);

/// What is said of one side of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// What it is about.
    pub title: &'static str,
    /// What is to be said, a sentence or two each.
    pub said: Vec<String>,
}

/// Explains a rule of a pack, side by side.
#[must_use]
pub fn explain(pack: &Pack, rule: &Rule) -> Vec<Side> {
    let told = Written { pack, rule };
    let side = |title, said: Vec<String>| Side { title, said };
    let mut sides = vec![
        side("Meaning", vec![sentence(pack, rule)]),
        side("Found", found(told)),
        side("Time and order", order(rule)),
        side("Absence, silence, restarts", absence(pack, rule)),
        side("State", state(rule)),
        side("What follows", follows(pack, rule)),
    ];
    sides.retain(|side| !side.said.is_empty());
    sides
}

/// When a violation is known.
fn found(told: Written<'_>) -> Vec<String> {
    let rule = told.rule;
    let name = |role| told.label(role);
    let mut said = vec![match &rule.kind {
        Kind::Never { .. } if is_judged_alone(rule) => "At the event itself, as soon as it arrives.".to_owned(),
        Kind::Never { .. } => "At the event itself, once all of its time has been heard.".to_owned(),
        Kind::Always { of, .. } if rule.hold.is_some() => {
            format!("At the first {} that fails, once it has failed for long enough; a level, which recovers.", name(*of))
        }
        Kind::Always { of, .. } => format!(
            "At the {} that fails. One that lacks an attribute which the assertion asks for is unknown, not broken.",
            name(*of)
        ),
        Kind::Response { limit, broken_by, .. } => {
            let earlier = broken_by.map(|breaker| format!("; earlier at {}", name(breaker))).unwrap_or_default();
            format!("{}{earlier}.", end(told, limit))
        }
        Kind::Expected { limit, quorum, broken_by, .. } => {
            let who = if quorum.is_some() { "as long as too few have answered" } else { "for each member that has not answered" };
            let earlier = broken_by.map(|breaker| format!("; earlier at {}", name(breaker))).unwrap_or_default();
            format!("{}, {who}{earlier}.", end(told, limit))
        }
        Kind::Precedence { event, .. } => format!("At the {} that lacks its support.", name(*event)),
        Kind::Count { span: over, .. } => match over {
            CountSpan::Ever => "At the event too many. One violation a key: more of them are more evidence.".to_owned(),
            CountSpan::Window(window) => format!(
                "At the event too many; a level, which recovers when fewer are left in the last {}.",
                span(*window)
            ),
            CountSpan::Per { .. } => "At the event too many, or at the end of the span, when too few came.".to_owned(),
        },
        Kind::Agreement { assert: Some(_), within, .. } => {
            format!("Once a key, {} after its first vote.", span(within.unwrap_or_default()))
        }
        Kind::Agreement { .. } => {
            "At the first vote that differs. One violation a key, which names the minority; more votes are more evidence."
                .to_owned()
        }
        Kind::Heartbeat { every, while_, .. } => match while_ {
            Some(shows) => format!("At the first {} after more than {} of silence; a level.", name(*shows), span(*every)),
            None => format!("{} after the last sign of life; a level, which recovers at the next.", span(*every)),
        },
        Kind::Consecutive { count, .. } => format!("At failure number {count}, once a row."),
        Kind::Monotonic { .. } => "At the event whose value goes the wrong way, against the one before it.".to_owned(),
        Kind::StateMachine { states, .. } if states.iter().any(|state| state.limit.is_some()) => {
            "At the event that makes a forbidden transition, or when a state has lasted too long.".to_owned()
        }
        Kind::StateMachine { .. } => "At the event that makes a forbidden transition.".to_owned(),
        Kind::Order { .. } => "At the step that comes before its turn.".to_owned(),
        Kind::Sequence { .. } => "At the last step, when all of it has been seen.".to_owned(),
        Kind::Exclusive { .. } => "At the event that enters while as many as may hold do.".to_owned(),
        Kind::Aggregate(aggregate) => match aggregate.span {
            AggregateSpan::Window(_) => {
                "At the event, or the end of one's time in the window, that makes the assertion false; a level. Before a whole \
                 window has been heard it is unknown."
                    .to_owned()
            }
            AggregateSpan::Close(close) => format!("At each {}, over what came since the one before.", name(close)),
            AggregateSpan::Tumbling(length) => format!(
                "When a stretch of {} is over in which something happened, at the last event in it; the stretches are counted \
                 from 1970. One whose beginning was not heard is unknown.",
                span(length)
            ),
        },
    }];
    if rule.report_first {
        said.push("Only the first violation of each key is reported.".to_owned());
    }
    if let Some(quiet) = rule.quiet {
        said.push(format!("A key that was reported is not reported again for {}.", span(quiet)));
    }
    said
}

/// Whether an event is judged by what it says itself.
fn is_judged_alone(rule: &Rule) -> bool {
    let patterns = || rule.roles.iter().flat_map(|role| &role.alternatives);
    rule.during.is_none()
        && rule.quiet.is_none()
        && !rule.report_first
        && patterns().all(|pattern| pattern.where_late.is_none() && !pattern.asks())
}

/// When the wait for an answer ends.
fn end(told: Written<'_>, limit: &Limit) -> String {
    match limit {
        Limit::Within(within) => format!("At the deadline, {} after the event that asked", span(*within)),
        Limit::Computed(_) => "At the deadline, which each event that asks sets itself".to_owned(),
        Limit::Ticks(ticks) => {
            let clock =
                format!("At the deadline: when the clock first exceeds its value then by more than {}", ticks.count);
            let least = ticks.and.map(|and| format!(", and not before {} have passed", span(and)));
            let stalled = ticks.or.map(|or| format!(". After {} without that it is unknown (clock stalled)", span(or)));
            clock + &least.unwrap_or_default() + &stalled.unwrap_or_default()
        }
        Limit::By(marker) => format!("At {}, if it is still owed then", told.label(*marker)),
    }
}

/// What ends, ties and clocks decide.
fn order(rule: &Rule) -> Vec<String> {
    let mut said = Vec::new();
    match &rule.kind {
        Kind::Response { .. } | Kind::Expected { .. } => {
            said.push("The deadline itself is still in time. An event never answers itself.".to_owned());
        }
        Kind::Precedence { within: Some(within), .. } => {
            said.push(format!("Support exactly {} earlier still counts.", span(*within)));
        }
        Kind::Precedence { ticks: Some(ticks), .. } => said.push(format!(
            "Support counts until the clock first exceeds its value at the support by more than {}; that instant still does.",
            ticks.count
        )),
        Kind::Count { span: CountSpan::Window(window), .. } => {
            said.push(format!("The window at t is (t − {}, t]: its beginning does not belong to it.", span(*window)));
        }
        Kind::Aggregate(aggregate) if matches!(aggregate.span, AggregateSpan::Window(_)) => {
            said.push("A window of length d at t is (t − d, t]: its beginning does not belong to it.".to_owned());
        }
        Kind::Aggregate(aggregate) if matches!(aggregate.span, AggregateSpan::Tumbling(_)) => {
            said.push("A stretch of length d is [k·d, (k + 1)·d): its end belongs to the next one.".to_owned());
        }
        _ => {}
    }
    said.push(match &rule.ties {
        Ties::Favourable => {
            "Events of one time have no order among them: the one that suits the rule best is taken.".to_owned()
        }
        Ties::Strict => {
            "Events of one time have no order among them: the one that suits the rule least is taken (strict)."
                .to_owned()
        }
        Ties::By(_) => "Events of one time are taken in the order that `by` gives them.".to_owned(),
    });
    if rule.roles.iter().flat_map(|role| &role.alternatives).any(engine::Pattern::asks) {
        said.push(
            "What a `let` or `for_each` asks (facts, clocks, who is live) is as it holds at the event's time. If it turns out \
             otherwise later, the event is taken back and judged anew."
                .to_owned(),
        );
    }
    if rule.during.is_some() {
        said.push(
            "What is tested must lie strictly inside the span of `during`; what supports it may lie at its ends."
                .to_owned(),
        );
    }
    said.push(
        "Times are those that events bear. What arrives late is put in its place for up to 5 min: a violation is then taken \
         back, or added."
            .to_owned(),
    );
    said
}

/// What it means that something did not come.
fn absence(pack: &Pack, rule: &Rule) -> Vec<String> {
    let mut said = Vec::new();
    let of_node = rule.key.iter().any(|part| part.name == "node");
    let waits = matches!(rule.kind, Kind::Response { .. } | Kind::Expected { .. } | Kind::Count { min: Some(_), .. });
    if waits && of_node && rule.silence_counts {
        said.push("That a node is silent altogether is no excuse: what it owes is broken at the deadline.".to_owned());
    } else if waits && of_node {
        said.push(
            "A node of which nothing is heard after a deadline, while others are, is silent: what it owes is unknown until it \
             speaks again or restarts, then it is judged."
                .to_owned(),
        );
    }
    if let Kind::Heartbeat { .. } = rule.kind {
        said.push("Silence is what it looks for: a node that is silent altogether breaks it as well.".to_owned());
    }
    if let Kind::Precedence { .. } | Kind::Order { .. } = rule.kind {
        let settle = span(rule.settle.unwrap_or(SETTLE));
        said.push(format!(
            "A look-back past the first that was ever heard of a node is unknown for {settle} after that."
        ));
    }
    if waits && of_node && pack.lifecycles.is_empty() {
        said.push("The pack declares no `lifecycle`: a restart of the node is not seen.".to_owned());
    }
    if sees_restarts(pack, rule) {
        said.push(
            match rule.on_restart {
                OnRestart::Broken => {
                    "A restart of the node breaks what the dead process owed, without waiting for the deadline."
                }
                OnRestart::Ended => "A restart of the node forgives what the dead process owed.",
                OnRestart::Reset => "A restart of the node begins anew: what was before no longer counts.",
                OnRestart::Keep => "A restart of the node changes nothing.",
            }
            .to_owned(),
        );
    }
    said
}

/// What is kept, for how long, and how much of it there may be.
fn state(rule: &Rule) -> Vec<String> {
    let parts: Vec<&str> = rule.key.iter().map(|part| part.name.as_str()).collect();
    let network = if rule.across_networks { "over all networks" } else { "per network" };
    let per = match parts.as_slice() {
        [] => format!("One instance {network}."),
        _ => format!("One instance {network} and value of ({}).", parts.join(", ")),
    };
    let optional: Vec<&str> = rule.key.iter().filter(|part| part.optional).map(|part| part.name.as_str()).collect();
    let mut said = vec![per];
    if !optional.is_empty() {
        said.push(format!("{} may be absent; that is a value of its own.", optional.join(", ")));
    }
    if !parts.is_empty() {
        let other = if optional.is_empty() { "a" } else { "another" };
        said.push(format!("An event that lacks {other} part of the key is counted against the rule and not judged."));
    }
    let stateless = matches!(rule.kind, Kind::Never { .. } | Kind::Always { .. }) && rule.hold.is_none();
    if stateless {
        said.push("Nothing is kept from one event to the next.".to_owned());
        return said;
    }
    said.push(
        match &rule.kind {
            Kind::Response { .. } | Kind::Expected { .. } => {
                "An instance keeps what is owed, and the last 16 that were answered too late or never."
            }
            Kind::Precedence { .. } | Kind::Order { .. } => {
                "An instance keeps the latest event of each part; where a condition must choose, up to 1,024 of them."
            }
            Kind::Count { .. } | Kind::Aggregate(_) => "An instance keeps the events that still count.",
            Kind::Agreement { .. } => "An instance keeps each value that was voted, with its voters.",
            Kind::Heartbeat { .. } => "An instance keeps its last sign of life.",
            Kind::StateMachine { .. } => "An instance keeps the state that it is in, and since when.",
            Kind::Sequence { .. } => "An instance keeps the beginnings that may still be completed.",
            Kind::Exclusive { .. } => "An instance keeps who holds.",
            Kind::Monotonic { .. } | Kind::Consecutive { .. } | Kind::Never { .. } | Kind::Always { .. } => {
                "An instance keeps the last value, or the row that it is in."
            }
        }
        .to_owned(),
    );
    said.push(format!(
        "It is forgotten {} after its last event, when nothing is owed any more.",
        span(rule.remembered_for())
    ));
    said.push(format!(
        "At most {} keys are kept (about {} MiB at rest, and the keys): beyond that the oldest are forgotten, and the rule is \
         shown as degraded.",
        number(&i64::try_from(rule.max_keys).unwrap_or(i64::MAX)),
        rule.max_keys.saturating_mul(AT_REST_BYTES) >> 20
    ));
    said
}

/// What a violation does.
fn follows(pack: &Pack, rule: &Rule) -> Vec<String> {
    if !rule.enabled {
        return vec!["Nothing: the rule is not enabled.".to_owned()];
    }
    let group = if rule.group_by.is_empty() { "node, else network".to_owned() } else { rule.group_by.join(", ") };
    let severity = match rule.grades.as_slice() {
        [] => format!("severity {}", rule.severity.as_str()),
        grades => {
            let named: Vec<&str> = grades.iter().map(|grade| grade.is.as_str()).collect();
            format!("severity {} where its condition holds, else {}", named.join(" or "), rule.severity.as_str())
        }
    };
    let mut said = vec![match rule.mode {
        Mode::Active => format!("An incident per {group}, {severity}; whoever the alerts' routes name is paged."),
        Mode::Shadow => {
            format!("An incident per {group}, {severity}, in the shadow: nobody is paged, no breaker trips.")
        }
        Mode::Measure => "It is counted; no incident opens.".to_owned(),
    }];
    let trips: Vec<&str> =
        pack.breakers.iter().filter(|b| b.trip_rules.contains(&rule.id)).map(|b| b.id.as_str()).collect();
    if !trips.is_empty() && rule.mode == Mode::Active {
        said.push(format!("It counts against the breaker {}.", trips.join(" and ")));
    }
    // What verdicts make by themselves bears the name of its rule.
    let own = rule.emits.iter().filter(|emit| !emit.event.contains('/'));
    said.extend(own.map(|emit| {
        format!("{} makes an event `{}`, on which rules below build.", makes(Written { pack, rule }, emit), emit.event)
    }));
    if let Some(owner) = &rule.owner {
        said.push(format!("Owned by {owner}."));
    }
    if !rule.labels.is_empty() {
        let labels: Vec<String> = rule.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        said.push(format!("Labels: {}.", labels.join(", ")));
    }
    if let Some(url) = &rule.runbook_url {
        said.push(format!("Runbook: {url}"));
    }
    said
}

/// What makes an event of a verdict.
fn makes(told: Written<'_>, emit: &Emit) -> String {
    let (rule, name) = (told.rule, |role| told.label(role));
    match (emit.on, &rule.kind) {
        (EmitOn::Violated, _) => "Each violation".to_owned(),
        (EmitOn::Resolved, _) => "Each recovery".to_owned(),
        (EmitOn::Retracted, _) => "Each violation that late evidence takes back".to_owned(),
        (EmitOn::Held, Kind::Always { of, .. }) => format!("Each {} that passes", name(*of)),
        (EmitOn::Held, Kind::Response { then, .. }) => {
            format!("Each {} that answers in time, at its time,", name(*then))
        }
        (EmitOn::Held, Kind::Expected { quorum: Some(_), .. }) => "The answer with which there are enough".to_owned(),
        (EmitOn::Held, Kind::Expected { .. }) => "Each member's answer in time".to_owned(),
        (EmitOn::Held, Kind::Precedence { event, .. }) => format!("Each {} that has its support", name(*event)),
        (EmitOn::Held, Kind::Count { .. }) => "The end of each span in which the number was right".to_owned(),
        (EmitOn::Held, _) => "Each judgement that finds nothing wrong".to_owned(),
        (EmitOn::Closed, _) => "Each end of what it measures over, whatever is found,".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect_file;
    use std::fmt::Write as _;

    /// One rule of each kind, with each modifier somewhere.
    const PACK: &str = include_str!("../../test_data/kinds.yaml");

    #[test]
    fn restarts_that_nobody_sees_break_nothing() {
        let rule = "rules:\n  - id: r\n    key: [node]\n    response: {when: a, then: b, within: 1s}\n";
        let said = |lifecycle: &str| {
            let (pack, _) = lang::compile(&format!("pack: p\n{lifecycle}{rule}"), "p.yaml", &lang::Options::default());
            let pack = pack.unwrap();
            let sides = explain(&pack, &pack.rules[0]);
            sides.into_iter().flat_map(|side| side.said).filter(|said| said.contains("restart")).collect::<Vec<_>>()
        };
        assert_eq!(said("lifecycle:\n  - of: [node]\n    instance: process.pid\n").len(), 3);
        let unseen = said("");
        assert!(unseen.len() == 2 && unseen[1].starts_with("The pack declares no `lifecycle`"), "{unseen:?}");
    }

    #[test]
    fn what_waits_for_its_time_is_not_said_to_be_judged_on_arrival() {
        let found = |rule: &str| {
            let pack = format!("pack: p\nrules:\n  - id: r\n    key: [node]\n{rule}");
            let (pack, _) = lang::compile(&pack, "p.yaml", &lang::Options::default());
            let pack = pack.unwrap();
            explain(&pack, &pack.rules[0])[1].said[0].clone()
        };
        assert_eq!(found("    never: a where x > 1\n"), "At the event itself, as soon as it arrives.");
        let later = "At the event itself, once all of its time has been heard.";
        assert_eq!(found("    never: a\n    during: {after: b, until: c}\n"), later);
        assert_eq!(found("    never: a\n    quiet: 1m\n"), later);
    }

    #[test]
    fn every_kind_is_explained() {
        let (pack, diagnostics) = lang::compile(PACK, "kinds.yaml", &lang::Options::default());
        let pack = pack.unwrap_or_else(|| panic!("{}", lang::render(&diagnostics, PACK)));
        let mut text = String::new();
        for rule in &pack.rules {
            let _ = writeln!(text, "{} ({})", rule.id, rule.kind.name());
            for side in explain(&pack, rule) {
                let _ = writeln!(text, "  {}", side.title);
                for said in side.said {
                    let _ = writeln!(text, "    {said}");
                }
            }
        }
        expect_file!["../../test_data/kinds.explained.txt"].assert_eq(&text);
    }
}
