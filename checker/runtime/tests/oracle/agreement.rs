//! `agreement`, read directly: the first time at which the votes of a key's span show two values.
use crate::{
    case::{Case, Span},
    model::{Event, Found, Pattern, Time},
};

pub fn judge(case: &Case<'_>, event: &Pattern, within: Option<Time>) -> Vec<Found> {
    let votes: Vec<(Span, &Event)> =
        case.all(event, None).into_iter().filter_map(|vote| Some((case.span(vote.ts)?, vote))).collect();
    let mut spans: Vec<Span> = votes.iter().map(|(span, _)| *span).collect();
    spans.dedup();
    spans
        .into_iter()
        .filter_map(|span| {
            let own: Vec<&Event> = votes.iter().filter(|(known, _)| *known == span).map(|(_, vote)| *vote).collect();
            let last = within.map(|within| own[0].ts + within);
            let counted = own.iter().filter(|vote| last.is_none_or(|last| !case.past(vote.ts, last)));
            let other = counted.filter(|vote| vote.x != own[0].x).map(|vote| vote.ts).min()?;
            Some(Found {
                at: other,
                anchor: None,
                anchor_ts: span.from,
                resolved: None,
                missing: 0,
                certain: (other, false),
            })
        })
        .collect()
}
