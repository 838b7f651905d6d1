//! What is said of a violation whose rule has no message: what did not come, or what came and should not have.
use engine::{CountSpan, Kind, Rule, Violation};

use crate::json;

/// How many members that did not answer are named in a sentence.
const MEMBERS_MAX: usize = 8;

/// The engine's plain words, with the key.
pub(crate) fn words(rule: &Rule, violation: &Violation) -> String {
    let key: Vec<String> = rule
        .key
        .iter()
        .zip(&violation.key)
        .filter_map(|(part, value)| Some(format!("{}={}", part.name, json::text(value.as_ref()?))))
        .collect();
    // Of several supports any may do: the one that is named as missing is no more so than the others.
    let missing = violation.missing.as_ref().filter(|_| !matches!(rule.kind, Kind::Precedence { .. }));
    let what = match missing {
        Some(missing) if missing.from.is_empty() => format!("no {} by {}", missing.event, missing.by),
        Some(missing) => {
            let members: Vec<String> = missing.from.iter().take(MEMBERS_MAX).map(json::text).collect();
            let more = missing.from.len() - members.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("no {} from {}{more} by {}", missing.event, members.join(", "), missing.by)
        }
        None => match rule.about.trim() {
            "" => happened(rule, violation),
            about => format!("broken: {}", about.trim_end_matches('.')),
        },
    };
    let measured = violation.values.iter().map(|(name, value)| format!("{name} = {}", json::text(value)));
    let what = match measured.collect::<Vec<_>>() {
        values if values.is_empty() => what,
        values => format!("{what}: {}", values.join(", ")),
    };
    if key.is_empty() { what } else { format!("{what} ({})", key.join(", ")) }
}

/// What came and should not have, by the kind of the rule.
fn happened(rule: &Rule, violation: &Violation) -> String {
    let name = |role: u8| rule.roles.get(usize::from(role)).map_or("an event", |role| &*role.label);
    // What was found at a time of its own was found because that time had come.
    let by_time = violation.evidence.last().is_some_and(|last| last.event.ts < violation.at);
    let last = violation.evidence.last().and_then(|last| rule.roles.iter().find(|role| role.name == last.role));
    let last = last.map_or("an event", |role| &*role.label);
    match &rule.kind {
        Kind::Never { of } => format!("{} happened", name(*of)),
        Kind::Always { of, .. } => format!("{} is not as it must be", name(*of)),
        Kind::Precedence { event, requires, all, .. } => {
            let requires: Vec<&str> = requires.iter().map(|role| name(*role)).collect();
            format!("{} without {}", name(*event), requires.join(if *all { " and " } else { " or " }))
        }
        Kind::Count { of, span: CountSpan::Per { .. }, .. } => format!("not as many {} as there must be", name(*of)),
        Kind::Count { of, max: Some(max), .. } => format!("more than {max} {}", name(*of)),
        Kind::Agreement { of, assert: None, .. } => format!("{} differs", name(*of)),
        Kind::Consecutive { fail, count, .. } => format!("{count} {} in a row", name(*fail)),
        Kind::Monotonic { of, .. } => format!("{} goes the wrong way", name(*of)),
        Kind::StateMachine { .. } if by_time => format!("{last}, and nothing followed in time"),
        Kind::StateMachine { .. } => format!("{last} where no transition leads"),
        Kind::Order { .. } => format!("{last} before its turn"),
        Kind::Sequence { .. } => format!("{last} at the end of the whole sequence"),
        Kind::Exclusive { enter, max, .. } => format!("{} while {max} held already", name(*enter)),
        _ => format!("{} is broken", rule.id),
    }
}
