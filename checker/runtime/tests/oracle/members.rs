//! `response` with `from`, read directly: what each of those owes who are expected to answer, or enough of them.
use crate::{
    case::{Case, Mutant},
    model::{Event, Found, From, NEVER, NODES, Response, Time},
    response::{End, Obligation, answered, answers, any, asked, end, known_deadline, violation},
};

/// Who is expected to answer, as of a time.
fn expected(case: &Case<'_>, from: &From, open: &Obligation<'_>, ts: Time) -> Vec<u8> {
    let mut nodes = case.here(if case.mutant == Mutant::EarlyMembers { 0 } else { ts });
    nodes.retain(|node| !(from.but_own && *node == open.when.node));
    nodes
}

pub fn judge(case: &Case<'_>, rule: &Response, from: &From) -> Vec<Found> {
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
