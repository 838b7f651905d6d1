//! The reorder buffer: touches wait in it until the frontier has passed them, and leave it in order.
use alloc::{
    collections::{BinaryHeap, VecDeque},
    vec::Vec,
};
use core::cmp::{Ordering, Reverse};
use event::Timestamp;

use crate::{program::RuleIdx, touch::Addressed};

/// How far from its end a touch is put into the queue; what belongs further back goes to the heap.
const NEAR: usize = 64;

/// Events mostly come nearly in order: those wait in a queue, the rest in a heap.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Buffer {
    queue: VecDeque<Addressed>,
    others: BinaryHeap<Reverse<InOrder>>,
}

/// A touch, compared by the order in which touches are worked off.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct InOrder(Addressed);

impl PartialEq for InOrder {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for InOrder {}

impl PartialOrd for InOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for InOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.order(&other.0)
    }
}

impl Buffer {
    pub(crate) fn push(&mut self, touch: Addressed) {
        let len = self.queue.len();
        let later = self.queue.iter().rev().take(NEAR).take_while(|known| known.order(&touch).is_gt()).count();
        if later < NEAR {
            self.queue.insert(len - later, touch);
        } else {
            self.others.push(Reverse(InOrder(touch)));
        }
    }

    /// The time of the first touch.
    pub(crate) fn first(&self) -> Option<Timestamp> {
        let others = self.others.peek().map(|Reverse(InOrder(touch))| touch.ts());
        self.queue.front().map(Addressed::ts).into_iter().chain(others).min()
    }

    /// Moves what is before `to` into `ready`, in order.
    pub(crate) fn take(&mut self, to: Timestamp, ready: &mut Vec<Addressed>) {
        loop {
            let queued = self.queue.front().filter(|touch| touch.ts() < to);
            let other = self.others.peek().map(|Reverse(InOrder(touch))| touch).filter(|touch| touch.ts() < to);
            let from_queue = match (queued, other) {
                (None, None) => return,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some(queued), Some(other)) => queued.order(other).is_le(),
            };
            let next = if from_queue { self.queue.pop_front() } else { self.others.pop().map(|Reverse(next)| next.0) };
            ready.extend(next);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len() + self.others.len()
    }

    /// Gives rules other numbers; touches of rules that have none are dropped.
    pub(crate) fn renumber(&mut self, number: impl Fn(RuleIdx) -> Option<RuleIdx>) {
        let (queue, others) = (core::mem::take(&mut self.queue), core::mem::take(&mut self.others));
        let others = others.into_iter().map(|Reverse(InOrder(touch))| touch);
        let mut touches: Vec<Addressed> = queue
            .into_iter()
            .chain(others)
            .filter_map(|touch| Some(Addressed { rule: number(touch.rule)?, ..touch }))
            .collect();
        touches.sort_unstable_by(Addressed::order);
        self.queue = touches.into();
    }
}
