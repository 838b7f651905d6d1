//! `during`: the spans of time to which a rule is restricted, kept apart from its instances because a span may open
//! before the instance it covers exists.
use alloc::{boxed::Box, vec::Vec};
use event::Timestamp;
use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::{
    key::{self, Key, PartialKey},
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
    /// By which parts edges bind; patterns of one role may differ.
    by_mask: Vec<(Vec<bool>, Bound)>,
}

/// Edges in order of time, by the bound parts of their keys. Most keys have one.
type Bound = HashMap<Key, SmallVec<[EventRef; 1]>, foldhash::fast::FixedState>;

/// The span that covers a time: its opener, or none when it is open from the beginning. Most rules have no `during`, and
/// many of their instances remember a span: it is no larger than a pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Span {
    opener: Option<Box<EventRef>>,
}

impl Span {
    fn opened_by(opener: EventRef) -> Self {
        Span { opener: Some(Box::new(opener)) }
    }

    /// The event that opened it.
    pub(crate) fn opener(&self) -> Option<EventRef> {
        self.opener.as_deref().copied()
    }

    /// When it began.
    pub(crate) fn from(&self) -> Timestamp {
        self.opener.as_ref().map_or(Timestamp::ZERO, |opener| opener.ts)
    }
}

impl Edges {
    /// `mask` says which parts of the key `bound` holds.
    fn insert(&mut self, mask: &[bool], bound: Key, at: EventRef) -> bool {
        let place = self.by_mask.iter().position(|(known, _)| known == mask).unwrap_or_else(|| {
            self.by_mask.push((mask.into(), HashMap::default()));
            self.by_mask.len() - 1
        });
        let edges = self.by_mask[place].1.entry(bound).or_default();
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
        self.by_mask.iter().filter_map(move |(mask, edges)| {
            if mask.iter().all(|bound| *bound) {
                return edges.get(key).map(SmallVec::as_slice);
            }
            let mut bound = Key::new();
            let parts = mask.iter().zip(key::parts(key)).filter(|(bound, _)| **bound);
            parts.for_each(|(_, part)| bound.extend_from_slice(part));
            edges.get(&bound[..]).map(SmallVec::as_slice)
        })
    }

    fn prune(&mut self, floor: Timestamp, oldest: Timestamp) {
        let retained = |_: &Key, edges: &mut SmallVec<[EventRef; 1]>| {
            // Of those before the floor, all of the last time stay: an opener does not close its own span, its twin does.
            let passed = edges.partition_point(|edge| edge.ts < floor);
            if let Some(last) = edges[..passed].last().map(|edge| edge.ts) {
                let keep_from = edges.partition_point(|edge| edge.ts < last);
                edges.drain(..keep_from);
            }
            edges.last().is_some_and(|edge| edge.ts >= oldest)
        };
        for (_, edges) in &mut self.by_mask {
            edges.retain(retained);
        }
    }
}

impl Scope {
    /// Records an opener or a closer. Returns whether it is news.
    pub(crate) fn insert(&mut self, opens: bool, key: &[u8], at: EventRef) -> bool {
        let mask: SmallVec<[bool; 8]> = key::parts(key).map(|_| true).collect();
        self.edges(opens).insert(&mask, Key::from_slice(key), at)
    }

    /// The same for one with a shorter key.
    pub(crate) fn insert_wide(&mut self, opens: bool, key: &PartialKey, at: EventRef) -> bool {
        let mask: SmallVec<[bool; 8]> = key.0.iter().map(Option::is_some).collect();
        let mut bound = Key::new();
        key.0.iter().flatten().for_each(|part| bound.extend_from_slice(part));
        self.edges(opens).insert(&mask, bound, at)
    }

    fn edges(&mut self, opens: bool) -> &mut Edges {
        if opens { &mut self.opens } else { &mut self.closes }
    }

    /// The span that `ts` lies strictly inside of; the end that `within` sets still belongs to it.
    pub(crate) fn at(&self, during: &During, key: &[u8], ts: Timestamp) -> Option<Span> {
        if during.after.is_none() {
            let span = Span::default();
            return (!self.closed(&span, key, ts)).then_some(span);
        }
        // The latest opener strictly before: each opening is a fresh span.
        let before = |edges: &[EventRef]| edges[..edges.partition_point(|edge| edge.ts < ts)].last().copied();
        let opener = self.opens.of(key).filter_map(before).max()?;
        let span = Span::opened_by(opener);
        let begun = opener.ts.plus(during.delay) < ts;
        let lasts = during.within.is_none_or(|within| ts <= opener.ts.plus(within));
        (begun && lasts && !self.closed(&span, key, ts)).then_some(span)
    }

    /// Whether the span has ended at `ts`, by a closer or by its length.
    pub(crate) fn ended(&self, during: &During, span: &Span, key: &[u8], ts: Timestamp) -> bool {
        self.closed(span, key, ts)
            || during.within.zip(span.opener.as_deref()).is_some_and(|(within, opener)| ts > opener.ts.plus(within))
    }

    /// Whether a closer lies between the span's opener and `ts`, both ends included; the opener never closes its own.
    fn closed(&self, span: &Span, key: &[u8], ts: Timestamp) -> bool {
        let from = span.from();
        self.closes.of(key).any(|edges| {
            edges[edges.partition_point(|edge| edge.ts < from)..]
                .iter()
                .take_while(|edge| edge.ts <= ts)
                .any(|edge| span.opener.as_ref().is_none_or(|opener| opener.identity != edge.identity))
        })
    }

    /// Forgets edges that nothing after `floor` can ask for.
    pub(crate) fn prune(&mut self, floor: Timestamp, oldest: Timestamp) {
        self.opens.prune(floor, oldest);
        self.closes.prune(floor, oldest);
    }
}
