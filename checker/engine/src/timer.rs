//! Deadlines of one partition, earliest first.
use alloc::collections::{BinaryHeap, VecDeque};
use core::cmp::Reverse;
use event::Timestamp;

use crate::instance::Handle;

/// A priority queue for deadlines that mostly come in order: those that do wait in a plain queue, the rest in a heap.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Timers {
    in_order: VecDeque<(Timestamp, Handle)>,
    others: BinaryHeap<Reverse<(Timestamp, Handle)>>,
}

impl Timers {
    pub(crate) fn push(&mut self, due: Timestamp, handle: Handle) {
        if self.in_order.back().is_none_or(|(last, _)| *last <= due) {
            self.in_order.push_back((due, handle));
        } else {
            self.others.push(Reverse((due, handle)));
        }
    }

    /// Takes the earliest one that is due strictly before `frontier`.
    pub(crate) fn pop_before(&mut self, frontier: Timestamp) -> Option<(Timestamp, Handle)> {
        let first = self.in_order.front().map(|(due, _)| *due);
        let other = self.others.peek().map(|Reverse((due, _))| *due);
        let from_others = match (first, other) {
            (Some(first), Some(other)) => other < first,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let due = if from_others { other } else { first }?;
        if due >= frontier {
            return None;
        }
        if from_others { self.others.pop().map(|Reverse(entry)| entry) } else { self.in_order.pop_front() }
    }

    /// Keeps and rewrites entries; for when rules change their numbers.
    pub(crate) fn rewrite(&mut self, mut change: impl FnMut(Handle) -> Option<Handle>) {
        let in_order = core::mem::take(&mut self.in_order);
        self.in_order = in_order.into_iter().filter_map(|(due, handle)| Some((due, change(handle)?))).collect();
        let others = core::mem::take(&mut self.others);
        self.others =
            others.into_iter().filter_map(|Reverse((due, handle))| Some(Reverse((due, change(handle)?)))).collect();
    }

    pub(crate) fn len(&self) -> usize {
        self.in_order.len() + self.others.len()
    }
}
