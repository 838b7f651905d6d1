//! `during`: the spans of time to which a rule is restricted, kept apart from its instances because a span may open
//! before the instance it covers exists.
use alloc::{boxed::Box, vec::Vec};
use event::Timestamp;
use hashbrown::HashMap;
use smallvec::SmallVec;
use thin_vec::ThinVec;

use crate::{
    key::{self, Key, PartialKey, ShortKey},
    kind::slim::push_thin,
    pack::{During, RoleIdx},
    touch::Kept,
    verdict::EventRef,
};

/// An opener or a closer.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Edge {
    pub(crate) at: EventRef,
    pub(crate) alternative: u8,
    /// What its condition reads of it, where that asks for more than the event; none: it is one. Few have a condition.
    pub(crate) asks: Option<Box<Kept>>,
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
type Bound = HashMap<Key, ThinVec<Edge>, foldhash::fast::FixedState>;

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
            Err(place) if place == edges.len() => {
                push_thin(edges, edge);
                true
            }
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
                return edges.get(key).map(ThinVec::as_slice);
            }
            let mut bound = ShortKey::new();
            let parts = mask.iter().zip(key::parts(key)).filter(|(bound, _)| **bound);
            parts.for_each(|(_, part)| bound.extend_from_slice(part));
            edges.get(&bound[..]).map(ThinVec::as_slice)
        })
    }

    /// Forgets what nothing at or after `floor` can ask for, whatever the other edges are.
    fn prune(&mut self, floor: Timestamp, oldest: Timestamp) {
        self.retain(|_, _, edges| {
            // Of those before the floor, all of the last time stay: an opener does not close its own span, its twin does.
            let passed = edges.partition_point(|edge| edge.at.ts < floor);
            if let Some(last) = edges[..passed].last().map(|edge| edge.at.ts) {
                let keep_from = edges.partition_point(|edge| edge.at.ts < last);
                edges.drain(..keep_from);
            }
            edges.last().is_some_and(|edge| edge.at.ts >= oldest)
        });
    }

    /// Keeps the keys whose edges are to be kept, given which parts of the key are bound.
    fn retain(&mut self, mut is_kept: impl FnMut(&[bool], &[u8], &mut ThinVec<Edge>) -> bool) {
        for (mask, edges) in &mut self.by_mask {
            edges.retain(|key, edges| is_kept(mask, key, edges));
            // What a burst took is given back.
            if edges.capacity() > 1_024 && edges.len() * 4 < edges.capacity() {
                edges.shrink_to(edges.len() * 2);
            }
        }
    }

    /// Whether there may be an edge for a key of which these parts are bound.
    fn may_have(&self, mask: &[bool], key: &[u8]) -> bool {
        self.by_mask.iter().any(|(own, edges)| if own == mask { edges.contains_key(key) } else { !edges.is_empty() })
    }

    /// Decides for good on those before `floor`.
    fn decide(&mut self, floor: Timestamp, admits: &dyn Fn(&[u8], &Edge) -> bool) {
        for (key, edges) in self.by_mask.iter_mut().flat_map(|(_, bound)| bound) {
            edges.retain_mut(|edge| {
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
        self.edges(opens).insert(&mask, Key::from(key), edge)
    }

    /// The same for one with a shorter key.
    pub(crate) fn insert_wide(&mut self, opens: bool, key: &PartialKey, edge: Edge) -> bool {
        let mask: SmallVec<[bool; 8]> = key.0.iter().map(Option::is_some).collect();
        let mut bound = ShortKey::new();
        key.0.iter().flatten().for_each(|part| bound.extend_from_slice(part));
        self.edges(opens).insert(&mask, Key::from(&bound[..]), edge)
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

    /// Forgets edges that nothing at or after `floor` can ask for; `lives` says whether a key has an instance, which may remember
    /// the span that it is in.
    pub(crate) fn prune(
        &mut self,
        during: &During,
        floor: Timestamp,
        oldest: Timestamp,
        lives: impl Fn(&[u8]) -> bool,
    ) {
        self.opens.prune(floor, oldest);
        self.closes.prune(floor, oldest);
        if during.after.is_none() {
            return;
        }
        let closes = &self.closes;
        self.opens.retain(|mask, key, edges| {
            let Some(last) = edges.last().filter(|last| last.at.ts < floor && last.asks.is_none()) else { return true };
            let from = last.at.ts;
            let is_past = during.within.is_some_and(|within| from.plus(within) < floor);
            let closed = |edge: &Edge| from < edge.at.ts && edge.at.ts < floor && edge.asks.is_none();
            let is_closed = || mask.iter().all(|bound| *bound) && closes.of(key).flatten().any(closed) && !lives(key);
            !(is_past || is_closed())
        });
        // What nothing had opened before closes nothing.
        let opens = &self.opens;
        let is_new = |edges: &[Edge]| edges.last().is_some_and(|last| last.at.ts >= floor);
        self.closes.retain(|mask, key, edges| is_new(edges) || opens.may_have(mask, key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use core::time::Duration;
    use event::{Identity, Position, Value};

    fn key(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        key::push(&mut bytes, &(&Value::from(name)).into());
        bytes
    }

    fn edge(seconds: u64) -> Edge {
        let ts = Timestamp(seconds * 1_000_000_000);
        let at = EventRef { ts, identity: Identity(seconds.into()), element: 0, position: Position::default() };
        Edge { at, alternative: 0, asks: None }
    }

    /// The keys that have openers, and those that have closers, when everything before `floor` is settled and these live.
    fn left(
        edges: &[(&str, bool, u64)],
        within: Option<u64>,
        floor: u64,
        live: &[&str],
    ) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let during =
            During { after: Some(0), until: Some(1), delay: Duration::ZERO, within: within.map(Duration::from_secs) };
        let mut scope = Scope::default();
        for (name, opens, at) in edges {
            scope.insert(*opens, &key(name), edge(*at));
        }
        let live: Vec<Vec<u8>> = live.iter().map(|name| key(name)).collect();
        scope.prune(&during, edge(floor).at.ts, Timestamp::ZERO, |key| live.iter().any(|known| **known == *key));
        let keys = |edges: &Edges| {
            let mut keys: Vec<Vec<u8>> =
                edges.by_mask.iter().flat_map(|(_, bound)| bound.keys()).map(|key| key.to_vec()).collect();
            keys.sort();
            keys
        };
        (keys(&scope.opens), keys(&scope.closes))
    }

    #[test]
    fn what_closes_nothing_is_not_kept() {
        let edges = [("closed", false, 1), ("late", false, 12), ("open", true, 1), ("open", false, 2)];
        // An opener may still come before the late one.
        assert_eq!(left(&edges, None, 10, &["open"]), (vec![key("open")], vec![key("late"), key("open")]));
    }

    #[test]
    fn a_span_that_is_over_is_kept_as_long_as_an_instance_may_remember_it() {
        let edges = [("a", true, 1), ("a", false, 2), ("b", true, 1), ("b", false, 2), ("c", true, 1)];
        let (opens, closes) = left(&edges, None, 10, &["b"]);
        assert_eq!((opens, closes), (vec![key("b"), key("c")], vec![key("b")]));
        assert_eq!(
            left(&edges, Some(5), 10, &["b"]),
            (Vec::new(), Vec::new()),
            "all have lasted for as long as they may"
        );
        assert_eq!(left(&edges, Some(9), 10, &[]).0, [key("c")]);
    }

    #[test]
    fn edges_are_small() {
        assert_eq!(size_of::<Edge>(), 64);
    }
}
