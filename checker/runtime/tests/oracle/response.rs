//! `response`, read directly: for each `when`, and each who is to answer it, the first thing that ends it.
use crate::model::{Case, Event, Found, From, Limit, Mutant, NEVER, NODES, OnRestart, Response, Span, Time};

/// What ends an obligation; at one time the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Excused,
    Answered,
    Forgiven,
    Broken,
    Marked,
    Restarted,
    Deadline,
    /// The clock stood for too long.
    Stalled,
}

struct Obligation<'a> {
    when: &'a Event,
    span: Span,
    deadline: Time,
    /// When its clock is waited for no longer.
    stalled: Time,
}

/// What is owed.
fn asked<'a>(case: &Case<'a>, rule: &Response) -> Vec<Obligation<'a>> {
    case.all(&rule.when, None)
        .into_iter()
        .filter_map(|when| {
            let span = case.span(when.ts)?;
            let mut stalled = NEVER;
            let deadline = match &rule.limit {
                Limit::Within(within) => when.ts + within,
                Limit::Computed => when.ts + Time::try_from(when.x).unwrap() * 1_000,
                Limit::By(_) => NEVER,
                Limit::Ticks(ticks) => {
                    let at = case.ticked(ticks, when.node, when.ts);
                    let waits = ticks.or.map_or(NEVER, |or| when.ts + or);
                    if at > waits {
                        stalled = waits;
                    }
                    if at == NEVER { NEVER } else { at.max(when.ts + ticks.and.unwrap_or(0)) }
                }
            };
            Some(Obligation { when, span, deadline, stalled })
        })
        .collect()
}

/// What is owed, and when each of it is answered.
fn owed<'a>(case: &Case<'a>, rule: &Response) -> Vec<(Obligation<'a>, Time)> {
    let open = asked(case, rule);
    let answers = answered(case, rule, &open.iter().collect::<Vec<_>>(), None);
    open.into_iter().zip(answers).collect()
}

/// When each obligation is answered, by anybody or by one node.
fn answered(case: &Case<'_>, rule: &Response, open: &[&Obligation<'_>], by: Option<u8>) -> Vec<Time> {
    if rule.pair { pair(case, rule, open, by) } else { any(case, rule, open, by) }
}

pub fn judge(case: &Case<'_>, rule: &Response) -> Vec<Found> {
    match &rule.from {
        None => owed(case, rule).iter().filter_map(|(open, at)| violation(case, rule, open, *at)).collect(),
        Some(from) => from_members(case, rule, from),
    }
}

/// Who is expected to answer, as of a time.
fn expected(case: &Case<'_>, from: &From, open: &Obligation<'_>, ts: Time) -> Vec<u8> {
    let mut nodes = case.here(if case.mutant == Mutant::EarlyMembers { 0 } else { ts });
    nodes.retain(|node| !(from.but_own && *node == open.when.node));
    nodes
}

/// From each of those expected, or from enough of them.
fn from_members(case: &Case<'_>, rule: &Response, from: &From) -> Vec<Found> {
    let open = asked(case, rule);
    let expected = |open: &Obligation<'_>, ts: Time| expected(case, from, open, ts);
    let owes = |open: &Obligation<'_>, node: u8| from.at_end || expected(open, open.when.ts).contains(&node);
    // By node, when each obligation is answered by it.
    let each = || {
        (0..NODES)
            .map(|node| {
                let own: Vec<usize> = (0..open.len()).filter(|place| owes(&open[*place], node)).collect();
                let asked: Vec<&Obligation<'_>> = own.iter().map(|place| &open[*place]).collect();
                let mut times = vec![NEVER; open.len()];
                own.iter().zip(answered(case, rule, &asked, Some(node))).for_each(|(place, at)| times[*place] = at);
                times
            })
            .collect()
    };
    let enough = |answered: usize, of: usize| enough(case, from, answered, of);
    let by_node: Vec<Vec<Time>> = match from.quorum {
        Some(_) if rule.pair && case.mutant == Mutant::FreeAnswers => {
            let asked: Vec<&Obligation<'_>> = open.iter().collect();
            (0..NODES).map(|node| any(case, rule, &asked, Some(node))).collect()
        }
        Some(_) if rule.pair => shared(case, rule, from, &open).1,
        _ => each(),
    };
    let mut found = Vec::new();
    for (place, open) in open.iter().enumerate() {
        let at_node = |node: &u8| by_node[*node as usize][place];
        // When it is over, unless those answer in time who must: each for itself, or enough of all.
        let over = |nodes: &[u8]| match from.quorum {
            None => nodes.iter().filter_map(|node| violation(case, rule, open, at_node(node))).collect(),
            Some(_) => {
                let mut times: Vec<Time> = nodes.iter().map(at_node).collect();
                times.sort_unstable();
                let needed = (0..=nodes.len()).find(|count| enough(*count, nodes.len())).unwrap();
                let last = needed.checked_sub(1).map_or(open.when.ts, |last| times[last]);
                Vec::from_iter(violation(case, rule, open, last))
            }
        };
        let (nodes, over): (Vec<u8>, Vec<Found>) = if from.at_end {
            let over = violation(case, rule, open, NEVER);
            (over.as_ref().map_or_else(Vec::new, |over| expected(open, over.at)), Vec::from_iter(over))
        } else {
            let nodes = expected(open, open.when.ts);
            let over = over(&nodes);
            (nodes, over)
        };
        let Some(end) = over.first().cloned() else { continue };
        let missing: Vec<u8> = nodes.iter().copied().filter(|node| at_node(node) > end.at).collect();
        if enough(nodes.len() - missing.len(), nodes.len()) {
            continue;
        }
        let bit = |node: &u8| 1 << node;
        match from.quorum {
            None => found.extend(missing.iter().map(|node| Found { missing: bit(node), ..end.clone() })),
            Some(_) => found.push(Found { missing: missing.iter().map(bit).sum(), ..end }),
        }
    }
    found
}

/// Whether so many of so many are enough.
fn enough(case: &Case<'_>, from: &From, answered: usize, of: usize) -> bool {
    match from.quorum {
        None => answered == of,
        Some((part, whole, more)) => {
            let answered = answered as u64 + u64::from(case.mutant == Mutant::SmallQuorum);
            let (have, need) = (answered * whole, of as u64 * part);
            of == 0 || if more { have > need } else { have >= need }
        }
    }
}

/// Whether it is settled which questions a member's answers go to, where each answers one and enough are enough: the best that
/// can be done at each time is one thing.
pub fn is_settled(case: &Case<'_>, rule: &Response) -> bool {
    let shares = rule.from.as_ref().filter(|from| rule.pair && from.quorum.is_some());
    shares.is_none_or(|from| shared(case, rule, from, &asked(case, rule)).0)
}

/// The obligations, by their places, that get the answers of nodes.
type Given = Vec<(usize, u8)>;

/// Gives each answer of a member to one obligation, as many as are needed: at every time the one with the earliest deadline
/// gets as many as it can, then the next one. Returns whether there is one best way only, and by node when each is answered.
fn shared(case: &Case<'_>, rule: &Response, from: &From, open: &[Obligation<'_>]) -> (bool, Vec<Vec<Time>>) {
    let mut by_node = vec![vec![NEVER; open.len()]; usize::from(NODES)];
    let mut settled = true;
    let thens = case.all(&rule.then, None);
    let mut times: Vec<Time> = thens.iter().map(|then| then.ts).collect();
    times.dedup();
    for now in times {
        let now_on: Vec<&Event> = thens.iter().copied().filter(|then| then.ts == now).collect();
        let expected = |place: usize| expected(case, from, &open[place], open[place].when.ts);
        let answers_of = |by_node: &[Vec<Time>], place: usize| {
            expected(place).iter().filter(|node| by_node[usize::from(**node)][place] != NEVER).count()
        };
        let is_met =
            |place: usize| !from.at_end && enough(case, from, answers_of(&by_node, place), expected(place).len());
        let mut waiting: Vec<usize> = (0..open.len())
            .filter(|&place| open[place].when.ts <= now && !is_met(place))
            .filter(|&place| end(case, rule, &open[place], now) >= (now, End::Answered))
            .collect();
        waiting.sort_by_key(|&place| {
            (known_deadline(case, rule, &open[place], now), open[place].when.ts, open[place].when.id)
        });
        // Every way in which the answers can be given: the number of a place, or nobody.
        let mut ways: Vec<Vec<Option<usize>>> = vec![Vec::new()];
        for then in &now_on {
            let fits = |place: &usize| {
                let open = &open[*place];
                case.plays(&rule.then, then, Some(open.when))
                    && answers(case, open, then)
                    && by_node[usize::from(then.node)][*place] == NEVER
                    && (from.at_end || expected(*place).contains(&then.node))
            };
            let takers: Vec<Option<usize>> = waiting.iter().copied().filter(fits).map(Some).chain([None]).collect();
            ways = ways.iter().flat_map(|way| takers.iter().map(|taker| [&way[..], &[*taker]].concat())).collect();
        }
        let given = |way: &[Option<usize>]| {
            let mut given: Given =
                way.iter().zip(&now_on).filter_map(|(taker, then)| Some(((*taker)?, then.node))).collect();
            given.sort_unstable();
            given
        };
        let served = |given: &[(usize, u8)]| -> Option<Vec<usize>> {
            // No member answers one twice, and none gets more than it needs.
            let twice = given.windows(2).any(|pair| pair[0] == pair[1]);
            let count = |place: usize| given.iter().filter(|(taker, _)| *taker == place).count();
            let too_many = |place: &&usize| {
                let before = answers_of(&by_node, **place) + count(**place);
                count(**place) > 0 && !from.at_end && enough(case, from, before - 1, expected(**place).len())
            };
            (!twice && !waiting.iter().any(|place| too_many(&place)))
                .then(|| waiting.iter().map(|place| count(*place)).collect())
        };
        let mut best: Vec<(Vec<usize>, Given)> =
            ways.iter().map(|way| given(way)).filter_map(|given| Some((served(&given)?, given))).collect();
        best.sort_unstable();
        best.dedup();
        let (most, chosen) = best.last().cloned().unwrap();
        settled &= best.iter().filter(|(served, _)| *served == most).count() == 1;
        for (place, node) in chosen {
            by_node[usize::from(node)][place] = now;
        }
    }
    (settled, by_node)
}

/// What was answered, inside its span.
pub fn held<'a>(case: &Case<'a>, rule: &Response) -> Vec<(&'a Event, Time)> {
    let ends = owed(case, rule).into_iter().map(|(open, answered)| (end(case, rule, &open, answered), open));
    ends.filter(|((at, end), open)| *at != NEVER && *end == End::Answered && !case.ended(&open.span, *at))
        .map(|((at, _), open)| (open.when, at))
        .collect()
}

/// When each obligation is first answered.
fn any(case: &Case<'_>, rule: &Response, open: &[&Obligation<'_>], by: Option<u8>) -> Vec<Time> {
    open.iter()
        .map(|open| {
            let thens = case.all(&rule.then, Some(open.when)).into_iter().filter(|then| is_by(then, by));
            thens.filter(|then| answers(case, open, then)).map(|then| then.ts).min().unwrap_or(NEVER)
        })
        .collect()
}

fn is_by(then: &Event, by: Option<u8>) -> bool {
    by.is_none_or(|node| then.node == node)
}

fn answers(case: &Case<'_>, open: &Obligation<'_>, then: &Event) -> bool {
    let not_before = match case.mutant {
        Mutant::OrderedTies => (open.when.ts, open.when.id) <= (then.ts, then.id),
        _ => open.when.ts <= then.ts,
    };
    then.id != open.when.id && not_before && !case.past(then.ts, open.deadline)
}

/// The same where each `then` answers one `when`: at every time those with the earliest deadlines that can all be
/// answered together.
fn pair(case: &Case<'_>, rule: &Response, open: &[&Obligation<'_>], by: Option<u8>) -> Vec<Time> {
    let mut answered = vec![NEVER; open.len()];
    let mut times: Vec<Time> = case.all(&rule.then, None).iter().map(|then| then.ts).collect();
    times.dedup();
    for now in times {
        let thens = case.all(&rule.then, None).into_iter().filter(|then| then.ts == now && is_by(then, by));
        let thens: Vec<&Event> = thens.collect();
        let mut waiting: Vec<usize> = (0..open.len())
            .filter(|&place| answered[place] == NEVER && end(case, rule, open[place], now) >= (now, End::Answered))
            .collect();
        let known = |place: usize| known_deadline(case, rule, open[place], now);
        waiting.sort_by_key(|&place| (known(place), open[place].when.ts, open[place].when.id));
        let mut chosen: Vec<usize> = Vec::new();
        for place in waiting {
            chosen.push(place);
            if !assignable(case, rule, open, &chosen, &thens, &mut Vec::new()) {
                chosen.pop();
            }
        }
        for place in chosen {
            answered[place] = now;
        }
    }
    answered
}

/// A deadline in ticks is known when the clock has passed it; what ends the wait for the clock stands for it before.
fn known_deadline(case: &Case<'_>, rule: &Response, open: &Obligation<'_>, now: Time) -> Time {
    match &rule.limit {
        Limit::Ticks(ticks) if case.ticked(ticks, open.when.node, open.when.ts) >= now => {
            ticks.or.map_or(NEVER, |or| open.when.ts + or)
        }
        _ => open.deadline,
    }
}

/// Whether every chosen obligation can have an answer of its own.
fn assignable(
    case: &Case<'_>,
    rule: &Response,
    open: &[&Obligation<'_>],
    chosen: &[usize],
    thens: &[&Event],
    taken: &mut Vec<u32>,
) -> bool {
    let Some((&first, rest)) = chosen.split_first() else { return true };
    thens.iter().any(|then| {
        let fits = case.plays(&rule.then, then, Some(open[first].when)) && answers(case, open[first], then);
        if !fits || taken.contains(&then.id) {
            return false;
        }
        taken.push(then.id);
        let rest_too = assignable(case, rule, open, rest, thens, taken);
        taken.pop();
        rest_too
    })
}

/// What ends the obligation first, if it is answered at `answered`.
fn end(case: &Case<'_>, rule: &Response, open: &Obligation<'_>, answered: Time) -> (Time, End) {
    let main = Some(open.when);
    let first = |events: Vec<&Event>, from: Time| {
        events.into_iter().map(|event| event.ts).filter(|ts| *ts >= from).min().unwrap_or(NEVER)
    };
    let begun = open.when.ts;
    let mut ends = vec![(answered, End::Answered), (open.deadline, End::Deadline), (open.stalled, End::Stalled)];
    ends.push((first(case.some(&rule.unless, main), begun), End::Excused));
    ends.push((first(case.some(&rule.broken_by, main), begun + 1), End::Broken));
    if let Limit::By(marker) = &rule.limit {
        ends.push((first(case.all(marker, main), begun + 1), End::Marked));
    }
    let restarts = case.restarts();
    match case.rule.on_restart {
        OnRestart::Broken if case.mutant == Mutant::SleepyRestart => {}
        OnRestart::Broken => ends.push((first(restarts, begun + 1), End::Restarted)),
        OnRestart::Ended | OnRestart::Reset => {
            // What a start asks for, the new process owes.
            let own = restarts.iter().any(|restart| restart.id == open.when.id);
            let others = restarts.into_iter().filter(|restart| !own || restart.ts > begun).collect();
            ends.push((first(others, begun), End::Forgiven));
        }
        OnRestart::Keep => {}
    }
    ends.into_iter().min().unwrap()
}

fn violation(case: &Case<'_>, rule: &Response, open: &Obligation<'_>, answered: Time) -> Option<Found> {
    let (at, end) = end(case, rule, open, answered);
    if at == NEVER || end <= End::Forgiven || end == End::Stalled || case.ended(&open.span, at) {
        return None;
    }
    let mut found = Found::at_event(open.when, at);
    found.certain = (at, end == End::Deadline);
    if end == End::Broken && rule.grace > 0 {
        let excuse = case.some(&rule.unless, Some(open.when)).into_iter().map(|excuse| excuse.ts);
        let excuse = excuse.filter(|ts| *ts >= at).min().unwrap_or(NEVER);
        let over = at + rule.grace;
        let restart = case.restarts().into_iter().map(|restart| restart.ts).filter(|ts| *ts >= at).min();
        let restart = restart.unwrap_or(NEVER);
        if excuse <= over && excuse <= restart {
            return None;
        }
        found.certain = (over, true);
        if restart <= over {
            if case.rule.on_restart != OnRestart::Broken {
                return None;
            }
            found.certain = (restart, false);
        }
    }
    Some(found)
}
