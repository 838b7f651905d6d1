//! `exclusive`, read directly: who holds at each time, and who enters where there is no room.
use crate::{
    case::{Case, Mutant, Span},
    model::{Event, Exclusive, Found, NEVER, OnRestart, Time},
};

/// Who holds, and until when unless it is prolonged; that end not included.
struct Hold {
    holder: i64,
    until: Time,
}

struct Holds<'a> {
    max: usize,
    strict: bool,
    now: Time,
    until: Time,
    renewing: Vec<i64>,
    /// Who has come at this time and leaves at it.
    passing: Vec<i64>,
    holds: Vec<Hold>,
    found: &'a mut Vec<Found>,
}

pub fn judge(case: &Case<'_>, rule: &Exclusive) -> Vec<Found> {
    let (enters, exits, renews) =
        (case.all(&rule.enter, None), case.all(&rule.exit, None), case.some(&rule.renew, None));
    let restarts = if case.rule.on_restart == OnRestart::Keep { Vec::new() } else { case.restarts() };
    let mut times: Vec<Time> =
        enters.iter().chain(&exits).chain(&renews).chain(&restarts).map(|event| event.ts).collect();
    times.sort_unstable();
    times.dedup();
    let mut found = Vec::new();
    let mut holds: Vec<Hold> = Vec::new();
    let mut known: Option<Span> = None;
    for now in times {
        if restarts.iter().any(|start| start.ts == now) {
            holds.clear();
        }
        let Some(span) = case.span(now) else { continue };
        if known.is_some_and(|known| known != span) {
            holds.clear();
        }
        known = Some(span);
        let at = |events: &[&Event]| -> Vec<i64> {
            events.iter().filter(|event| event.ts == now).map(|event| event.x).collect()
        };
        let leaving = at(&exits);
        let entering = enters.iter().copied().filter(|event| event.ts == now);
        holds.retain(|hold| hold.until >= now);
        let mut state = Holds {
            max: usize::try_from(rule.max).unwrap(),
            strict: case.rule.strict || case.mutant == Mutant::LateExit,
            now,
            until: rule.ttl.map_or(NEVER, |ttl| now + ttl),
            renewing: at(&renews),
            passing: Vec::new(),
            holds,
            found: &mut found,
        };
        if state.strict {
            entering.for_each(|event| state.enter(event, true));
        } else {
            // Who leaves leaves first; who enters and leaves has left, before the others enter.
            state.holds.retain(|hold| !leaving.contains(&hold.holder));
            let (passing, staying): (Vec<&Event>, Vec<&Event>) = entering.partition(|event| leaving.contains(&event.x));
            passing.into_iter().for_each(|event| state.enter(event, false));
            staying.into_iter().for_each(|event| state.enter(event, true));
        }
        holds = state.holds;
        holds.retain(|hold| !leaving.contains(&hold.holder));
        let (until, renewing) = (state.until, state.renewing);
        for hold in holds.iter_mut().filter(|hold| renewing.contains(&hold.holder)) {
            hold.until = hold.until.max(until);
        }
        holds.retain(|hold| hold.until > now);
    }
    found
}

impl Holds<'_> {
    fn enter(&mut self, event: &Event, stays: bool) {
        if let Some(own) = self.holds.iter_mut().find(|hold| hold.holder == event.x) {
            own.until = self.until;
            return;
        }
        if self.passing.contains(&event.x) {
            // Before it leaves, it comes again.
            return;
        }
        // What ends now makes way, first what is not prolonged.
        let now = self.now;
        let mut ending: Vec<i64> = self.holds.iter().filter(|hold| hold.until == now).map(|hold| hold.holder).collect();
        ending.sort_by_key(|holder| self.renewing.contains(holder));
        if self.holds.len() >= self.max && !self.strict && !ending.is_empty() {
            self.holds.retain(|hold| hold.holder != ending[0]);
        }
        if self.holds.len() >= self.max {
            self.found.push(Found::at_event(event, self.now));
        }
        if stays {
            self.holds.push(Hold { holder: event.x, until: self.until });
        } else {
            self.passing.push(event.x);
        }
    }
}
