//! `never` and `always`, read directly.
use crate::{
    case::Case,
    model::{Compare, Event, Found, Pattern, Time},
};

pub fn never(case: &Case<'_>, of: &Pattern) -> Vec<Found> {
    let inside = case.all(of, None).into_iter().filter(|event| case.span(event.ts).is_some());
    inside.map(|event| Found::at_event(event, event.ts)).collect()
}

/// The events that are as they should be.
pub fn held<'a>(case: &Case<'a>, of: &Pattern, compare: Compare, value: i64) -> Vec<(&'a Event, Time)> {
    let inside = case.all(of, None).into_iter().filter(|event| case.span(event.ts).is_some());
    inside.filter(|event| compare.holds(event.x, value)).map(|event| (event, event.ts)).collect()
}

pub fn always(case: &Case<'_>, of: &Pattern, compare: Compare, value: i64) -> Vec<Found> {
    let inside = case.all(of, None).into_iter().filter(|event| case.span(event.ts).is_some());
    inside.filter(|event| !compare.holds(event.x, value)).map(|event| Found::at_event(event, event.ts)).collect()
}
