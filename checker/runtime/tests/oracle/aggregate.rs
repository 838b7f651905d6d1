//! `aggregate`, read directly: at each time at which something comes or leaves, all that is in the window is measured.
use std::collections::BTreeSet;

use crate::{
    case::{Case, Mutant},
    model::{Aggregate, Assert, Event, Found, Measure, Pattern, Time},
};

pub fn judge(case: &Case<'_>, rule: &Aggregate) -> Vec<Found> {
    let terms: Vec<Vec<&Event>> = rule.terms.iter().map(|(_, of)| case.all(of, None)).collect();
    match (&rule.close, rule.window) {
        (Some(close), _) => at_close(case, rule, &terms, close),
        (None, length) if rule.tumbles => each_by_itself(case, rule, &terms, length),
        (None, window) => in_window(case, rule, &terms, window),
    }
}

fn in_window(case: &Case<'_>, rule: &Aggregate, terms: &[Vec<&Event>], window: Time) -> Vec<Found> {
    let events: BTreeSet<Time> = terms.iter().flatten().map(|event| event.ts).collect();
    let mut times = events.clone();
    times.extend(events.iter().map(|ts| ts + window));
    if case.mutant == Mutant::ClosedWindow {
        times.extend(events.iter().map(|ts| ts + window + 1));
    }
    let inside = |ts: Time, now: Time| {
        let old = if case.mutant == Mutant::ClosedWindow { ts + window < now } else { ts + window <= now };
        ts <= now && !old
    };
    let mut found: Vec<Found> = Vec::new();
    let mut on = false;
    for now in times {
        let fails = !rule.holds(terms, |event| inside(event.ts, now));
        if fails && !on {
            let certain = (now, !events.contains(&now));
            found.push(Found { at: now, anchor: None, anchor_ts: now, resolved: None, missing: 0, certain });
        } else if on && !fails {
            found.last_mut().unwrap().resolved = Some(now);
        }
        on = fails;
    }
    found
}

/// Every stretch of time in which something happens is judged when it is over.
fn each_by_itself(case: &Case<'_>, rule: &Aggregate, terms: &[Vec<&Event>], length: Time) -> Vec<Found> {
    let stretches: BTreeSet<Time> = terms.iter().flatten().map(|event| event.ts / length).collect();
    let longer = case.mutant == Mutant::LongStretch;
    let inside = |ts: Time, of: Time| ts / length == of || (longer && ts == (of + 1) * length);
    let broken = stretches.into_iter().filter(|of| !rule.holds(terms, |event| inside(event.ts, *of)));
    broken
        .map(|of| {
            let at = terms.iter().flatten().map(|event| event.ts).filter(|ts| ts / length == of).max().unwrap();
            let certain = ((of + 1) * length - 1, true);
            Found { at, anchor: None, anchor_ts: of * length, resolved: None, missing: 0, certain }
        })
        .collect()
}

/// What happens at the time of a close belongs to it or to what follows, as it suits the assertion of that close.
fn at_close(case: &Case<'_>, rule: &Aggregate, terms: &[Vec<&Event>], close: &Pattern) -> Vec<Found> {
    let closers = case.all(close, None);
    let times: BTreeSet<Time> = closers.iter().map(|closer| closer.ts).collect();
    let mut found = Vec::new();
    // What counts, from the last close on.
    let (mut from, mut ties_follow) = (0, true);
    for now in times {
        let begun = |ts: Time| ts > from || (ts == from && ties_follow);
        let with = rule.holds(terms, |event| begun(event.ts) && event.ts <= now);
        let without = rule.holds(terms, |event| begun(event.ts) && event.ts < now);
        let fixed = case.mutant == Mutant::OrderedTies;
        let holds = if case.rule.strict { with && without } else { with || (without && !fixed) };
        if !holds {
            // Closing events of one time are one.
            let last = closers.iter().rfind(|closer| closer.ts == now).unwrap();
            found.push(Found::at_event(last, now));
        }
        (from, ties_follow) = (now, holds && !with);
    }
    found
}

impl Aggregate {
    fn holds(&self, terms: &[Vec<&Event>], counts: impl Fn(&Event) -> bool) -> bool {
        let figures = self.terms.iter().zip(terms).map(|((measure, _), events)| {
            let values = events.iter().filter(|event| counts(event)).map(|event| event.x);
            match measure {
                Measure::Count => i64::try_from(values.count()).unwrap(),
                Measure::Sum => values.sum(),
                Measure::Distinct => i64::try_from(values.collect::<BTreeSet<i64>>().len()).unwrap(),
            }
        });
        let figures: Vec<i64> = figures.collect();
        match self.assert {
            Assert::AtMost(number) => figures[0] <= number,
            Assert::AtLeast(number) => figures[0] >= number,
            Assert::Beside(number) => figures[0] <= figures[1] + number,
            Assert::Alike => figures[0] == figures[1],
        }
    }
}
