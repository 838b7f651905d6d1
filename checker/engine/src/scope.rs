//! `during`: the spans of time to which a rule is restricted, kept apart from its instances because a span may open
//! before the instance it covers exists.
use alloc::{boxed::Box, vec::Vec};
use event::Timestamp;
use hashbrown::HashMap;

use crate::{
    key::{self, PartialKey},
    pack::During,
    verdict::EventRef,
};

/// The openers and closers of one rule's spans.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Scope {
    opens: Edges,
    closes: Edges,
}

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Edges {
    /// Which parts edges bind; patterns of one role may differ.
    masks: Vec<Vec<bool>>,
    by_key: HashMap<PartialKey, Vec<EventRef>, foldhash::fast::FixedState>,
}

/// The span that covers a time: its opener, or none when it is open from the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Span {
    pub(crate) opener: Option<EventRef>,
}

impl Span {
    /// When it began.
    pub(crate) fn from(&self) -> Timestamp {
        self.opener.map_or(Timestamp::ZERO, |opener| opener.ts)
    }
}

impl Edges {
    fn insert(&mut self, key: PartialKey, at: EventRef) -> bool {
        let mask: Vec<bool> = key.0.iter().map(Option::is_some).collect();
        if !self.masks.contains(&mask) {
            self.masks.push(mask);
        }
        let edges = self.by_key.entry(key).or_default();
        match edges.binary_search(&at) {
            Ok(_) => false,
            Err(place) => {
                edges.insert(place, at);
                true
            }
        }
    }

    /// The edges of all keys that agree with this one.
    fn of(&self, key: &[u8]) -> impl Iterator<Item = &[EventRef]> {
        self.masks.iter().filter_map(move |mask| {
            let bound = |(bound, part): (&bool, &[u8])| bound.then(|| Box::from(part));
            let projected = PartialKey(mask.iter().zip(key::parts(key)).map(bound).collect());
            self.by_key.get(&projected).map(Vec::as_slice)
        })
    }

    fn prune(&mut self, floor: Timestamp, oldest: Timestamp) {
        self.by_key.retain(|_, edges| {
            // Of those before the floor, all of the last time stay: an opener does not close its own span, its twin does.
            let passed = edges.partition_point(|edge| edge.ts < floor);
            if let Some(last) = edges[..passed].last().map(|edge| edge.ts) {
                let keep_from = edges.partition_point(|edge| edge.ts < last);
                edges.drain(..keep_from);
            }
            edges.last().is_some_and(|edge| edge.ts >= oldest)
        });
    }
}

impl Scope {
    /// Records an opener or a closer. Returns whether it is news.
    pub(crate) fn insert(&mut self, opens: bool, key: PartialKey, at: EventRef) -> bool {
        if opens { self.opens.insert(key, at) } else { self.closes.insert(key, at) }
    }

    /// The span that `ts` lies strictly inside of; the end that `within` sets still belongs to it.
    pub(crate) fn at(&self, during: &During, key: &[u8], ts: Timestamp) -> Option<Span> {
        if during.after.is_none() {
            let span = Span { opener: None };
            return (!self.closed(&span, key, ts)).then_some(span);
        }
        // The latest opener strictly before: each opening is a fresh span.
        let before = |edges: &[EventRef]| edges[..edges.partition_point(|edge| edge.ts < ts)].last().copied();
        let opener = self.opens.of(key).filter_map(before).max()?;
        let span = Span { opener: Some(opener) };
        let begun = opener.ts.plus(during.delay) < ts;
        let lasts = during.within.is_none_or(|within| ts <= opener.ts.plus(within));
        (begun && lasts && !self.closed(&span, key, ts)).then_some(span)
    }

    /// Whether the span has ended at `ts`, by a closer or by its length.
    pub(crate) fn ended(&self, during: &During, span: &Span, key: &[u8], ts: Timestamp) -> bool {
        self.closed(span, key, ts)
            || during.within.zip(span.opener).is_some_and(|(within, opener)| ts > opener.ts.plus(within))
    }

    /// Whether a closer lies between the span's opener and `ts`, both ends included; the opener never closes its own.
    fn closed(&self, span: &Span, key: &[u8], ts: Timestamp) -> bool {
        let from = span.from();
        self.closes.of(key).any(|edges| {
            edges[edges.partition_point(|edge| edge.ts < from)..]
                .iter()
                .take_while(|edge| edge.ts <= ts)
                .any(|edge| span.opener.is_none_or(|opener| opener.identity != edge.identity))
        })
    }

    /// Forgets edges that nothing after `floor` can ask for.
    pub(crate) fn prune(&mut self, floor: Timestamp, oldest: Timestamp) {
        self.opens.prune(floor, oldest);
        self.closes.prune(floor, oldest);
    }
}
