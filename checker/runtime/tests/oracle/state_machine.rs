//! `state_machine`, read directly: at each time every order of the events is walked through from every state that the
//! orders before may have ended in.
use crate::{
    case::{Case, Mutant, Span},
    model::{Event, Found, Machine, Read, Time},
};

/// How many events of one time are taken in every order; the others follow in a fixed one.
const ORDERED: usize = 6;

/// Where one lawful reading stands.
#[derive(Clone, PartialEq)]
struct Stand {
    /// None: a state that is not declared.
    state: Option<usize>,
    /// The event that brought it there; none where it began there.
    entered: Option<(Time, u32)>,
    overdue: bool,
}

struct Move<'a> {
    event: &'a Event,
    to: Option<usize>,
}

/// One order of the events of a time: which of them break the rule, each with what was entered before, and where it ends.
#[derive(Clone)]
struct Walk {
    broken: Vec<(usize, Option<(Time, u32)>)>,
    /// None: not met yet.
    end: Option<Stand>,
}

pub fn judge(case: &Case<'_>, rule: &Machine, end: Time) -> Vec<Found> {
    let moves = moves(case, rule);
    let mut times: Vec<Time> = moves.iter().map(|one| one.event.ts).collect();
    times.sort_unstable();
    times.dedup();
    let begin = || -> Vec<Stand> {
        let stand = |state| Stand { state: Some(state), entered: None, overdue: false };
        rule.initial.map(stand).into_iter().collect()
    };
    let mut stands = begin();
    let mut known: Option<Span> = None;
    let mut found = Vec::new();
    for now in times {
        expire(case, rule, &mut stands, known, now, &mut found);
        let Some(span) = case.span(now) else { continue };
        if known.is_some_and(|known| known != span) {
            stands = begin();
        }
        known = Some(span);
        let tied: Vec<&Move<'_>> = moves.iter().filter(|one| one.event.ts == now).collect();
        let (walked, rest) = tied.split_at(tied.len().min(ORDERED));
        take(case, rule, &mut stands, walked, &mut found);
        rest.iter().for_each(|one| take(case, rule, &mut stands, &[*one], &mut found));
    }
    expire(case, rule, &mut stands, known, end + 1, &mut found);
    found
}

/// What the events say, those of one time by the state, then by identity.
fn moves<'a>(case: &Case<'a>, rule: &Machine) -> Vec<Move<'a>> {
    match &rule.read {
        Read::Value(of) => {
            let state = |x: i64| usize::try_from(x).ok().filter(|state| *state < rule.to.len());
            case.all(of, None).into_iter().map(|event| Move { event, to: state(event.x) }).collect()
        }
        Read::Patterns(of) => {
            let each = of.iter().enumerate();
            each.flat_map(|(to, of)| case.all(of, None).into_iter().map(move |event| Move { event, to: Some(to) }))
                .collect()
        }
    }
}

/// Takes the events of one time in the orders that break the rule least, or most.
fn take(case: &Case<'_>, rule: &Machine, stands: &mut Vec<Stand>, moves: &[&Move<'_>], found: &mut Vec<Found>) {
    let mut walks = Vec::new();
    let begins: Vec<Option<Stand>> = if stands.is_empty() { vec![None] } else { stands.drain(..).map(Some).collect() };
    for begin in begins {
        let walk = Walk { broken: Vec::new(), end: begin };
        orders(rule, moves, &mut Vec::new(), walk, &mut walks, case.mutant == Mutant::OrderedTies);
    }
    let counts = walks.iter().map(|walk| walk.broken.len());
    let wanted = if case.rule.strict { counts.max() } else { counts.min() }.unwrap_or(0);
    walks.retain(|walk| walk.broken.len() == wanted);
    // Of several such orders one is told.
    let told = walks.iter().map(|walk| walk.broken.clone()).min().unwrap_or_default();
    found.extend(told.iter().map(|(place, _)| Found::at_event(moves[*place].event, moves[*place].event.ts)));
    for stand in walks.into_iter().filter_map(|walk| walk.end) {
        match stands.iter_mut().find(|known| known.state == stand.state) {
            // Who came there last may stay longest.
            Some(known) if known.entered < stand.entered => *known = stand,
            Some(_) => {}
            None => stands.push(stand),
        }
    }
}

fn orders(rule: &Machine, moves: &[&Move<'_>], taken: &mut Vec<usize>, walk: Walk, walks: &mut Vec<Walk>, fixed: bool) {
    if taken.len() == moves.len() {
        walks.push(walk);
        return;
    }
    for place in (0..moves.len()).filter(|place| !taken.contains(place)).collect::<Vec<_>>() {
        taken.push(place);
        orders(rule, moves, taken, step(rule, &walk, place, moves[place]), walks, fixed);
        taken.pop();
        if fixed {
            break;
        }
    }
}

fn step(rule: &Machine, walk: &Walk, place: usize, next: &Move<'_>) -> Walk {
    let mut further = walk.clone();
    let entered = Stand { state: next.to, entered: Some((next.event.ts, next.event.id)), overdue: false };
    let Some(stand) = &walk.end else {
        if next.to.is_none() {
            further.broken.push((place, None));
        }
        further.end = Some(entered);
        return further;
    };
    let terminal = stand.entered.is_some() && stand.state.is_some_and(|state| rule.terminal[state]);
    let lawful = match (stand.state, next.to) {
        _ if terminal => false,
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(from), Some(to)) => from == to || rule.to[from].contains(&to),
    };
    if !lawful {
        further.broken.push((place, stand.entered));
    }
    let stays = stand.entered.is_some() && next.to.is_some() && next.to == stand.state;
    if !terminal && !stays {
        further.end = Some(entered);
    }
    further
}

/// Judges the limits that lie before `now`: readings whose limit has passed are given up while another is left.
fn expire(
    case: &Case<'_>,
    rule: &Machine,
    stands: &mut Vec<Stand>,
    span: Option<Span>,
    now: Time,
    found: &mut Vec<Found>,
) {
    let limit = |stand: &Stand| Some(stand.entered?.0 + rule.limits[stand.state?]?);
    loop {
        let open = stands.iter().enumerate().filter(|(_, stand)| !stand.overdue);
        let over = open.filter_map(|(place, stand)| Some((limit(stand)?, place)));
        let Some((at, _)) = over.min().filter(|(at, _)| case.past(now, *at)) else { return };
        let is_over = |stand: &Stand| !stand.overdue && limit(stand) == Some(at);
        if !stands.iter().all(is_over) {
            stands.retain(|stand| !is_over(stand));
            continue;
        }
        stands.iter_mut().for_each(|stand| stand.overdue = true);
        if !span.is_some_and(|span| case.ended(&span, at)) {
            found.push(Found { at, anchor: None, anchor_ts: at, resolved: None, missing: 0, certain: (at, true) });
        }
    }
}
