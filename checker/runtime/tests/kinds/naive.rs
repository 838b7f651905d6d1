//! The kinds as one would read them aloud: over the whole history, with no state and no hurry.
use std::collections::BTreeMap;

use crate::harness::{Ev, Times};

fn named<'e>(events: &'e [Ev], name: &'e str) -> impl Iterator<Item = &'e Ev> {
    events.iter().filter(move |ev| ev.name == name)
}

/// The events by time.
fn instants(events: &[Ev]) -> BTreeMap<u64, Vec<&Ev>> {
    let mut instants: BTreeMap<u64, Vec<&Ev>> = BTreeMap::new();
    events.iter().for_each(|ev| instants.entry(ev.at).or_default().push(ev));
    instants
}

/// `monotonic: {event: a, value: v, order: nondecreasing or increasing}`, values of one instant ascending.
pub(crate) fn monotonic(events: &[Ev], equal: bool) -> Times {
    let mut values: Vec<(u64, i64)> = named(events, "a").map(|ev| (ev.at, ev.v)).collect();
    values.sort_unstable();
    let bad = |pair: &&[(u64, i64)]| if equal { pair[1].1 < pair[0].1 } else { pair[1].1 <= pair[0].1 };
    values.windows(2).filter(bad).map(|pair| pair[1].0).collect()
}

/// The first instant by which no order of the events inside each instant is lawful. States are numbers; a history begins
/// in any of them.
pub(crate) fn state_machine(events: &[Ev], lawful: fn(i64, i64) -> bool, terminal: i64) -> Option<u64> {
    let mut ends: Vec<Option<i64>> = vec![None];
    for (at, group) in instants(events) {
        let mut reached = Vec::new();
        for end in &ends {
            walk(*end, &group.iter().map(|ev| ev.v).collect::<Vec<_>>(), lawful, terminal, &mut reached);
        }
        if reached.is_empty() {
            return Some(at);
        }
        reached.sort_unstable();
        reached.dedup();
        ends = reached.into_iter().map(Some).collect();
    }
    None
}

fn walk(from: Option<i64>, rest: &[i64], lawful: fn(i64, i64) -> bool, terminal: i64, reached: &mut Vec<i64>) {
    let (Some(from), true) = (from, rest.is_empty()) else {
        for (place, next) in rest.iter().enumerate() {
            let fine = from.is_none_or(|from| from != terminal && (from == *next || lawful(from, *next)));
            if fine {
                let mut left = rest.to_vec();
                left.remove(place);
                walk(Some(*next), &left, lawful, terminal, reached);
            }
        }
        return;
    };
    reached.push(from);
}

/// `order: {steps: [a, {event: b, if: false}, c], within}` with `slack`.
pub(crate) fn order(events: &[Ev], within: u64, slack: u64, strict: bool) -> Times {
    let before = |name, at: u64| {
        named(events, name).any(|ev| {
            let early = if strict { ev.at < at } else { ev.at <= at + slack };
            early && ev.at + within >= at
        })
    };
    let mut times = Vec::new();
    for ev in events {
        let lacks_a = matches!(ev.name, "b" | "c") && !before("a", ev.at);
        let repeated = named(events, "b").any(|b| b.at < ev.at && b.at + within >= ev.at);
        let late = ev.name == "b"
            && !repeated
            && named(events, "c").any(|c| {
                let earlier = if strict { c.at <= ev.at } else { c.at + slack < ev.at };
                earlier && c.at + within >= ev.at
            });
        if lacks_a || late {
            times.push(ev.at);
        }
    }
    times.sort_unstable();
    times
}

/// `sequence: {steps: [a, {not: n}, b, c], within}`.
pub(crate) fn sequence(events: &[Ev], within: u64, strict: bool) -> Times {
    let follows = |a: &Ev, b: &Ev| if strict { a.at <= b.at } else { a.at < b.at };
    let between = |a: &Ev, b: &Ev, n: &Ev| {
        if strict { a.at < n.at && n.at < b.at } else { a.at <= n.at && n.at <= b.at }
    };
    let whole = |c: &Ev| {
        named(events, "a").any(|a| {
            a.at + within >= c.at
                && named(events, "b")
                    .any(|b| follows(a, b) && follows(b, c) && !named(events, "n").any(|n| between(a, b, n)))
        })
    };
    let mut times: Times = named(events, "c").filter(|c| whole(c)).map(|c| c.at).collect();
    times.sort_unstable();
    times
}

/// `exclusive: {enter: a, exit: b, holder: h, max}`, without a `ttl`.
pub(crate) fn exclusive(events: &[Ev], max: usize) -> Times {
    let mut holding: Vec<i64> = Vec::new();
    let mut times = Vec::new();
    for (at, group) in instants(events) {
        let leaving: Vec<i64> = group.iter().filter(|ev| ev.name == "b").map(|ev| ev.h).collect();
        holding.retain(|holder| !leaving.contains(holder));
        // Those who enter and leave now hold for no time: they only meet those who stay.
        let entering: Vec<i64> = group.iter().filter(|ev| ev.name == "a").map(|ev| ev.h).collect();
        let staying: Vec<i64> = entering.iter().copied().filter(|holder| !leaving.contains(holder)).collect();
        let passing: Vec<i64> = entering.into_iter().filter(|holder| leaving.contains(holder)).collect();
        // How many break the rule is all that is told: who came first among equals is not.
        for holder in staying {
            if !holding.contains(&holder) {
                if holding.len() >= max {
                    times.push(at);
                }
                holding.push(holder);
            }
        }
        let _ = passing;
    }
    times
}

/// `precedence: {event: b, requires: a, within}` with `slack`, or `strict`.
pub(crate) fn precedence(events: &[Ev], within: u64, slack: u64, strict: bool) -> Times {
    let supported = |b: &&Ev| {
        named(events, "a").any(|a| {
            let early = if strict { a.at < b.at } else { a.at <= b.at + slack };
            early && a.at + within >= b.at
        })
    };
    let mut times: Times = named(events, "b").filter(|b| !supported(b)).map(|b| b.at).collect();
    times.sort_unstable();
    times
}

/// `response: {when: a, then: b, within}` with `slack`, or `strict`; found at the deadline.
pub(crate) fn response(events: &[Ev], within: u64, slack: u64, strict: bool) -> Times {
    let answered = |a: &&Ev| {
        named(events, "b").any(|b| {
            let follows = if strict { b.at > a.at } else { b.at + slack >= a.at };
            follows && b.at <= a.at + within
        })
    };
    let mut times: Times = named(events, "a").filter(|a| !answered(a)).map(|a| a.at + within).collect();
    times.sort_unstable();
    times
}

/// From when to when each level lasted, given whether it is bad at each second: those that last longer than `hold`, from
/// the time at which they have.
pub(crate) fn lasting(bad: impl Fn(u64) -> bool, end: u64, hold: u64) -> Vec<(u64, Option<u64>)> {
    let mut levels = Vec::new();
    let mut since = None;
    for at in 0..end {
        match (bad(at), since) {
            (true, None) => since = Some(at),
            (false, Some(from)) => {
                if hold == 0 || at > from + hold {
                    levels.push((from + hold, Some(at)));
                }
                since = None;
            }
            _ => {}
        }
    }
    levels.extend(since.filter(|from| end > from + hold).map(|from| (from + hold, None)));
    levels
}

/// The values of `name` in the window (at - window, at].
pub(crate) fn window<'e>(events: &'e [Ev], name: &'e str, at: u64, window: u64) -> Vec<i64> {
    named(events, name).filter(|ev| ev.at <= at && ev.at + window > at).map(|ev| ev.v).collect()
}

/// Whether the last sample of `name` at `at` is bad: none of those of the last instant passes, and it still stands.
pub(crate) fn gauge(events: &[Ev], name: &str, at: u64, stale: u64, limit: i64) -> bool {
    let Some(last) = named(events, name).filter(|ev| ev.at <= at).map(|ev| ev.at).max() else { return false };
    at < last + stale && named(events, name).filter(|ev| ev.at == last).all(|ev| ev.v >= limit)
}
