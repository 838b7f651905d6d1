//! `during`: the spans of time to which a rule is restricted, kept apart from its instances because a span may open
//! before the instance it covers exists.
use alloc::{boxed::Box, vec::Vec};
use event::Timestamp;
use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::{
    key::{self, Key, PartialKey},
    pack::{During, RoleIdx},
    touch::Kept,
    verdict::EventRef,
};

/// An opener or a closer.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Edge {
    pub(crate) at: EventRef,
    pub(crate) alternative: u8,
    /// What its condition reads of it, where that asks for more than the event; none: it is one.
    pub(crate) asks: Option<Kept>,
}

/// Whether an edge is one, by its condition as of its time: given its role, its key as far as it is bound, and itself.
pub(crate) type Admits<'a> = &'a dyn Fn(RoleIdx, &[u8], &Edge) -> bool;

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
type Bound = HashMap<Key, SmallVec<[Edge; 1]>, foldhash::fast::FixedState>;

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
    fn insert(&mut self, mask: &[bool], bound: Key, edge: Edge) -> bool {
        let place = self.by_mask.iter().position(|(known, _)| known == mask).unwrap_or_else(|| {
            self.by_mask.push((mask.into(), HashMap::default()));
            self.by_mask.len() - 1
        });
        let edges = self.by_mask[place].1.entry(bound).or_default();
        match edges.binary_search_by_key(&(edge.at, edge.alternative), |known| (known.at, known.alternative)) {
            Ok(_) => false,
            Err(place) => {
                edges.insert(place, edge);
                true
            }
        }
    }

    /// The edges of all keys that agree with this one.
    fn of(&self, key: &[u8]) -> impl Iterator<Item = &[Edge]> {
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
        let retained = |_: &Key, edges: &mut SmallVec<[Edge; 1]>| {
            // Of those before the floor, all of the last time stay: an opener does not close its own span, its twin does.
            let passed = edges.partition_point(|edge| edge.at.ts < floor);
            if let Some(last) = edges[..passed].last().map(|edge| edge.at.ts) {
                let keep_from = edges.partition_point(|edge| edge.at.ts < last);
                edges.drain(..keep_from);
            }
            edges.last().is_some_and(|edge| edge.at.ts >= oldest)
        };
        for (_, edges) in &mut self.by_mask {
            edges.retain(retained);
        }
    }

    /// Decides for good on those before `floor`.
    fn decide(&mut self, floor: Timestamp, admits: &dyn Fn(&[u8], &Edge) -> bool) {
        for (key, edges) in self.by_mask.iter_mut().flat_map(|(_, bound)| bound) {
            edges.retain(|edge| {
                if edge.at.ts >= floor || edge.asks.is_none() {
                    return true;
                }
                let admitted = admits(key, edge);
                edge.asks = None;
                admitted
            });
        }
    }
}

impl Scope {
    /// Records an opener or a closer. Returns whether it is news.
    pub(crate) fn insert(&mut self, opens: bool, key: &[u8], edge: Edge) -> bool {
        let mask: SmallVec<[bool; 8]> = key::parts(key).map(|_| true).collect();
        self.edges(opens).insert(&mask, Key::from_slice(key), edge)
    }

    /// The same for one with a shorter key.
    pub(crate) fn insert_wide(&mut self, opens: bool, key: &PartialKey, edge: Edge) -> bool {
        let mask: SmallVec<[bool; 8]> = key.0.iter().map(Option::is_some).collect();
        let mut bound = Key::new();
        key.0.iter().flatten().for_each(|part| bound.extend_from_slice(part));
        self.edges(opens).insert(&mask, bound, edge)
    }

    fn edges(&mut self, opens: bool) -> &mut Edges {
        if opens { &mut self.opens } else { &mut self.closes }
    }

    /// The span that `ts` lies strictly inside of; the end that `within` sets still belongs to it.
    pub(crate) fn at(&self, during: &During, key: &[u8], ts: Timestamp, admits: Admits<'_>) -> Option<Span> {
        let Some(after) = during.after else {
            let span = Span::default();
            return (!self.closed(during, &span, key, ts, admits)).then_some(span);
        };
        // The latest opener strictly before: each opening is a fresh span.
        let before = |edges: &[Edge]| {
            let mut before = edges[..edges.partition_point(|edge| edge.at.ts < ts)].iter().rev();
            before.find(|edge| edge.asks.is_none() || admits(after, key, edge)).map(|edge| edge.at)
        };
        let opener = self.opens.of(key).filter_map(before).max()?;
        let span = Span::opened_by(opener);
        let begun = opener.ts.plus(during.delay) < ts;
        let lasts = during.within.is_none_or(|within| ts <= opener.ts.plus(within));
        (begun && lasts && !self.closed(during, &span, key, ts, admits)).then_some(span)
    }

    /// Whether the span has ended at `ts`, by a closer or by its length.
    pub(crate) fn ended(&self, during: &During, span: &Span, key: &[u8], ts: Timestamp, admits: Admits<'_>) -> bool {
        self.closed(during, span, key, ts, admits)
            || during.within.zip(span.opener.as_deref()).is_some_and(|(within, opener)| ts > opener.ts.plus(within))
    }

    /// Whether a closer lies between the span's opener and `ts`, both ends included; the opener never closes its own.
    fn closed(&self, during: &During, span: &Span, key: &[u8], ts: Timestamp, admits: Admits<'_>) -> bool {
        let (from, Some(until)) = (span.from(), during.until) else { return false };
        self.closes.of(key).any(|edges| {
            edges[edges.partition_point(|edge| edge.at.ts < from)..]
                .iter()
                .take_while(|edge| edge.at.ts <= ts)
                .filter(|edge| span.opener.as_ref().is_none_or(|opener| opener.identity != edge.at.identity))
                .any(|edge| edge.asks.is_none() || admits(until, key, edge))
        })
    }

    /// Decides for good on what happened before `floor`: what conditions ask for may be forgotten from now on.
    pub(crate) fn decide(&mut self, during: &During, floor: Timestamp, admits: Admits<'_>) {
        for (edges, role) in [(&mut self.opens, during.after), (&mut self.closes, during.until)] {
            let Some(role) = role else { continue };
            edges.decide(floor, &|key, edge| admits(role, key, edge));
        }
    }

    /// Forgets edges that nothing after `floor` can ask for.
    pub(crate) fn prune(&mut self, floor: Timestamp, oldest: Timestamp) {
        self.opens.prune(floor, oldest);
        self.closes.prune(floor, oldest);
    }
}
